//! Nonsense — whatever a peer or a client says at whatever moment, no server panics.

use std::sync::Arc;

use shardarium::{
    core::{Entropy, Port},
    zookeeper::{
        election::{Notice, Notification, PeerState, Vote},
        log::{Record, write_snapshot},
        membership::{Membership, Role},
        peer::{Ask, ElectionFrame, LeaderFrame, LearnerFrame, Message, Write},
        tree::Database,
        txn::{Lifetime, LoggedTxn, Txn, TxnHeader},
    },
};

use crate::*;

struct Liar(Entropy);

impl Liar {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.draw() % limit
    }

    fn zxid(&mut self) -> Zxid {
        let counter = [self.below(12) as u32, self.below(12) as u32, u32::MAX][self.below(3) as usize];
        Zxid::new(self.epoch(), counter)
    }

    fn epoch(&mut self) -> Epoch {
        Epoch([self.below(4) as u32, self.below(4) as u32, u32::MAX][self.below(3) as usize])
    }

    fn server(&mut self) -> HostId {
        zk(self.below(5) as u16)
    }

    fn session(&mut self) -> SessionId {
        SessionId((self.below(4) << 56) + self.below(2))
    }

    fn op(&mut self) -> Op {
        let path = ["/", "/a", "/a/b", "", "x", "/\0", "/zookeeper"][self.below(7) as usize].to_owned();
        match self.below(9) {
            0 => create(&path),
            1 => create_ephemeral(&path),
            2 => Op::Delete { path, version: -1 },
            3 => Op::Check { path, version: 3 },
            4 => Op::Multi(vec![create(&path), Op::Ping, Op::Multi(vec![])]),
            5 => Op::Sync { path },
            6 => Op::CloseSession,
            7 => Op::GetChildren { path, watch: true },
            _ => Op::Ping,
        }
    }

    fn txn(&mut self) -> Txn {
        let path = ["/a", "/b", "/zookeeper", "nonsense", ""][self.below(5) as usize].to_owned();
        match self.below(8) {
            6 => Txn::Reconfig { members: self.members(), version: -1 },
            7 => Txn::Reconfig { members: "nonsense".into(), version: -1 },
            0 => Txn::CreateSession { timeout_ms: self.below(9) },
            1 => Txn::CloseSession { paths: vec![path] },
            2 => Txn::Delete { path },
            3 => Txn::SetData { path, data: None, version: 7 },
            4 => Txn::Multi(vec![Txn::Error(ZkError::NoNode), Txn::Delete { path }]),
            _ => {
                let lifetime = Lifetime::Ephemeral(self.session());
                Txn::Create { path, data: None, acl: Acl::open(), lifetime, parent_cversion: 3 }
            }
        }
    }

    fn record(&mut self) -> Arc<Record> {
        let (session, zxid) = (self.session(), self.zxid());
        let header = TxnHeader { session, xid: self.below(5) as i32, zxid, wall_ms: 1 };
        Arc::new(Record::new(LoggedTxn { header, txn: self.txn() }))
    }

    fn learner_frame(&mut self) -> LearnerFrame {
        let session = self.session();
        match self.below(8) {
            0 => LearnerFrame::FollowerInfo {
                server: self.server(),
                role: [Role::Participant, Role::Observer][self.below(2) as usize],
                accepted_epoch: self.epoch(),
                configuration: [Zxid(0), self.zxid()][self.below(2) as usize],
            },
            1 => LearnerFrame::AckEpoch {
                current_epoch: (self.below(2) == 0).then(|| self.epoch()),
                last_zxid: self.zxid(),
                cut_floor: self.zxid(),
            },
            2 => LearnerFrame::NewLeaderAck { epoch: self.epoch() },
            3 => LearnerFrame::Ack { zxid: self.zxid() },
            4 => LearnerFrame::Pong { touched: vec![(session, u64::MAX), (session, 0)] },
            5 => {
                let open = Ask::Open { timeout_ms: u64::MAX };
                let ask = [Ask::Op(self.op()), open][self.below(2) as usize].clone();
                LearnerFrame::Request(Write { session, xid: 1, ids: Arc::default(), ask })
            }
            6 => LearnerFrame::Sync { session, xid: 2 },
            _ => LearnerFrame::Revalidate { session, timeout_ms: u64::MAX },
        }
    }

    fn leader_frame(&mut self) -> LeaderFrame {
        match self.below(16) {
            0 => LeaderFrame::LeaderInfo { epoch: self.epoch() },
            1 => LeaderFrame::Diff,
            2 => LeaderFrame::Trunc { zxid: self.zxid() },
            3 => LeaderFrame::Snap { zxid: self.zxid(), bytes: b"nonsense".as_slice().into() },
            4 => LeaderFrame::Snap { zxid: Zxid(0), bytes: write_snapshot(&Database::default()) },
            5 => LeaderFrame::Proposal(self.record()),
            6 => LeaderFrame::Commit { zxid: self.zxid() },
            7 => LeaderFrame::NewLeader { epoch: self.epoch(), configuration: self.configuration() },
            8 => LeaderFrame::UpToDate,
            9 => LeaderFrame::Synced { session: self.session(), xid: 1 },
            10 => LeaderFrame::Revalidated { session: self.session(), alive: self.below(2) == 0 },
            11 => LeaderFrame::Inform(self.record()),
            12 => LeaderFrame::InformAndActivate { record: self.record(), leader: self.server() },
            13 => LeaderFrame::CommitAndActivate { zxid: self.zxid(), leader: self.server() },
            _ => LeaderFrame::Ping,
        }
    }

    fn configuration(&mut self) -> Membership {
        let lines = self.members();
        Membership::read(&lines).expect("lines of the right form").with_version(self.zxid())
    }

    fn members(&mut self) -> String {
        let all = ["server.1=a:1:2;3", "server.2=b:1:2;3", "server.3=c:1:2:observer;3", "server.4=d:1:2;3"];
        let some: Vec<&str> = all.into_iter().filter(|_| self.below(2) == 0).collect();
        some.join("\n")
    }

    fn vote(&mut self) -> ElectionFrame {
        if self.below(4) == 0 {
            return ElectionFrame::Hello { server: self.server() };
        }
        let vote = Vote { leader: self.server(), zxid: self.zxid(), peer_epoch: self.epoch() };
        let states = [PeerState::Looking, PeerState::Following, PeerState::Leading, PeerState::Observing];
        let notification = Notification { vote, round: self.below(6), state: states[self.below(4) as usize] };
        ElectionFrame::Notification(Notice { notification, configuration: self.configuration() })
    }

    fn client_frame(&mut self) -> ClientFrame {
        match self.below(3) {
            0 => ClientFrame::Connect {
                last_zxid_seen: Zxid(self.below(3)),
                timeout_ms: u64::MAX,
                session: self.session(),
                password: u128::from(self.below(2)),
                read_only: self.below(2) == 0,
            },
            _ => ClientFrame::Request { xid: self.below(9) as i32 - 9, op: self.op() },
        }
    }

    fn message(&mut self) -> Message {
        match self.below(6) {
            0 => self.vote().into(),
            1 => self.learner_frame().into(),
            2..=3 => self.leader_frame().into(),
            _ => self.client_frame().into(),
        }
    }
}

#[test]
fn no_message_makes_a_server_panic() {
    for seed in 0..200 {
        eprintln!("seed {seed}");
        let mut liar = Liar(Entropy::new(seed));
        let (mut world, mut clients) = serving(3, &[1, 2, 3]);
        for client in &mut clients {
            world.call(client, create("/a"));
        }
        for _ in 0..120 {
            let (server, pause) = (zk(1 + liar.below(3) as u16), liar.below(30));
            let port = [Port::ZkClient, Port::ZkQuorum, Port::ZkElection][liar.below(3) as usize];
            world.dial_port(server, port);
            let burst = 1 + liar.below(3);
            for _ in 0..burst {
                let pick = liar.below(1 << 20);
                world.forge(pick, liar.message());
            }
            world.run_for(pause);
        }
        world.run_for(100);
    }
}
