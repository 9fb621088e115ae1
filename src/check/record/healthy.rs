//! A healthy run — decides what happens in the record that every law passes. It never judges it.
//!
//! Three servers, three nodes, one shard with a replica. The node of primary and controller loses power and
//! returns; then the ZooKeeper leader does, with a transaction that only it had logged.

use super::{Record, client, numbered, search, shard, txn, zk};
use crate::{
    event::{
        Act, Change, ClusterChange, CopyState, Digest, Ephemeral, EventKind as E, HeldDoc, Outcome,
        Placement, SyncMode, TxnRef, Word,
    },
    name::{AllocationId, Epoch, HostId, SeqNo, SessionId, Term, Zxid},
};

/// Where the shard's two copies are: allocation, node, state of each.
type Copies = [Option<(u64, u16, CopyState)>; 2];

struct Run {
    record: Record,
    leader: HostId,
    live: Vec<HostId>,
    counter: u32,
    history: Vec<(TxnRef, Vec<E>)>,
    version: u64,
    /// Child creates of `/nodes`.
    registrations: i32,
}

impl Record {
    /// The healthy run.
    pub(in crate::check) fn healthy() -> Self {
        let mut run = Run {
            record: Self::default(),
            leader: zk(3),
            live: vec![zk(1), zk(2), zk(3)],
            counter: 0,
            history: Vec::new(),
            version: 0,
            registrations: 0,
        };
        run.start();
        run.register();
        run.create_index();
        run.serve_clients();
        run.lose_primary();
        run.take_node_back();
        run.lose_leader();
        run.take_server_back();
        run.end();
        run.record
    }
}

fn session(number: u64) -> SessionId {
    SessionId(number)
}

fn created(path: &str, owner: SessionId, parent_creates: i32) -> Change {
    let lifetime = if owner == SessionId::NONE { "persistent" } else { "ephemeral" }.into();
    Change {
        path: path.into(),
        act: Act::Created { owner, lifetime, parent_creates, data_length: 0, open: true },
    }
}

fn registration(node: u16) -> String {
    format!("/nodes/search-{node}")
}

/// Sessions and ephemerals after these effects.
fn database(history: &[(TxnRef, Vec<E>)]) -> (Vec<SessionId>, Vec<Ephemeral>) {
    let (mut sessions, mut nodes) = (Vec::new(), Vec::new());
    for effect in history.iter().flat_map(|(_, effects)| effects) {
        match effect {
            E::SessionOpened { session, .. } => sessions.push(*session),
            E::SessionClosed { session, .. } => sessions.retain(|open| open != session),
            E::EphemeralCreated { path, session, .. } => {
                nodes.push(Ephemeral { path: path.clone(), session: *session });
            }
            E::EphemeralDeleted { path, .. } => nodes.retain(|node| node.path != *path),
            _ => {}
        }
    }
    (sessions, nodes)
}

impl Run {
    fn epoch(&self) -> u32 {
        if self.leader == zk(3) { 1 } else { 2 }
    }

    fn next_zxid(&self) -> Zxid {
        txn(self.epoch(), self.counter + 1).zxid
    }

    fn last(&self) -> Zxid {
        self.history.last().map_or(Zxid(0), |(txn, _)| txn.zxid)
    }

    /// One transaction with these effects, from proposal to application everywhere.
    fn commit(&mut self, effects: Vec<E>) {
        self.counter += 1;
        let TxnRef { zxid, digest } = txn(self.epoch(), self.counter);
        let (op, session, changes) = self.told(&effects);
        self.record.on(self.leader, E::TxnProposed { zxid, digest, session, xid: 0, op, changes });
        let acked = E::TxnAcked { zxid };
        for server in &self.live {
            self.record.on(*server, E::TxnLogged { zxid, digest }).on(*server, acked.clone());
        }
        self.record.on(self.leader, E::TxnCommitted { zxid, digest });
        self.history.push((TxnRef { zxid, digest }, effects));
        for server in self.live.clone() {
            self.apply(server, self.history.len() - 1);
        }
    }

    /// What the transaction with these effects is, whose, and what it does to znodes. The first registration
    /// makes the parent of all.
    fn told(&mut self, effects: &[E]) -> (Word, SessionId, Vec<Change>) {
        let (mut op, mut whose, mut changes) = ("multi", SessionId::NONE, Vec::new());
        for effect in effects {
            match effect {
                E::SessionOpened { session, .. } => (op, whose) = ("createSession", *session),
                E::SessionClosed { session, .. } => (op, whose) = ("closeSession", *session),
                E::EphemeralCreated { path, session, .. } => {
                    if self.registrations == 0 {
                        changes.push(created("/nodes", SessionId::NONE, 1));
                    }
                    self.registrations += 1;
                    whose = *session;
                    changes.push(created(path, *session, self.registrations));
                }
                E::EphemeralDeleted { path, .. } => {
                    changes.push(Change { path: path.clone(), act: Act::Deleted });
                }
                _ => {}
            }
        }
        (op.into(), whose, changes)
    }

    fn apply(&mut self, server: HostId, nth: usize) {
        let (TxnRef { zxid, digest }, effects) = self.history[nth].clone();
        effects.into_iter().for_each(|effect| _ = self.record.on(server, effect));
        self.record.on(server, E::TxnApplied { zxid, digest });
    }

    fn restore(&mut self, server: HostId, zxid: Zxid) {
        let epoch = Epoch(self.epoch() - 1);
        let upto = self.history.iter().take_while(|(txn, _)| txn.zxid <= zxid).count();
        let (sessions, ephemerals) = database(&self.history[..upto]);
        self.record.on(
            server,
            E::ServerRestored { zxid, accepted_epoch: epoch, current_epoch: epoch, sessions, ephemerals },
        );
    }

    fn establish(&mut self) {
        let epoch = Epoch(self.epoch());
        self.counter = 0;
        for server in self.live.clone() {
            self.record.on(server, E::ElectionStarted { round: 1 });
            self.record.on(server, E::ElectionDecided { round: 1, leader: self.leader });
            self.record.on(server, E::EpochAccepted { epoch }).on(server, E::EpochEntered { epoch });
        }
        let history = self.history.iter().map(|(txn, _)| *txn).collect();
        self.record.on(self.leader, E::LeaderEstablished { epoch, history });
        let (leader, zxid) = (self.leader, self.last());
        for server in self.live.clone().into_iter().filter(|server| *server != leader) {
            self.record.on(server, E::FollowerSynced { leader, epoch, mode: SyncMode::Diff, zxid });
        }
    }

    fn start(&mut self) {
        let (servers, nodes) = (self.live.clone(), vec![search(1), search(2), search(3)]);
        self.record.world(E::RunStarted {
            scenario: "healthy".into(),
            seed: 1,
            servers: servers.clone(),
            nodes: nodes.clone(),
            copies: 2,
            settle_bound: 10_000_000_000,
            read_policy: "any".into(),
            allocator: "balanced".into(),
        });
        for host in servers.iter().chain(&nodes).chain([&client()]) {
            self.record.on(*host, E::HostStarted { incarnation: 1 });
        }
        servers.iter().for_each(|server| self.restore(*server, Zxid(0)));
        self.establish();
    }

    fn connect(&mut self, node: u16, number: u64, server: HostId, resumed: bool) {
        let (session, zxid) = (session(number), self.last());
        self.record.on(search(node), E::ClientConnected { session, server, resumed, read_only: false });
        let (xid, op, path): (_, Word, String) = (1, "getChildren".into(), "/".into());
        let asked = E::ClientAsked { session, xid, op: op.clone(), path: path.clone(), watch: "".into() };
        let replied = E::ClientReplied { session, xid, zxid, op, error: 0, path, stat: None };
        self.record.on(search(node), asked).on(search(node), replied);
    }

    fn open(&mut self, node: u16, number: u64) {
        let (session, zxid) = (session(number), self.next_zxid());
        self.commit(vec![E::SessionOpened { session, zxid, timeout_ms: 4_000 }]);
        self.connect(node, number, zk(3), false);
        let (path, zxid) = (registration(node), self.next_zxid());
        self.commit(vec![E::EphemeralCreated { path, session, zxid }]);
        self.record.on(search(node), E::NodeRegistered { session });
    }

    fn see(&mut self, nodes: &[u16]) {
        let members: Vec<_> = nodes.iter().map(|node| search(*node)).collect();
        for node in members.clone() {
            self.record.on(node, E::MembershipSeen { members: members.clone() });
        }
    }

    fn register(&mut self) {
        (1..=3).for_each(|node| self.open(node, u64::from(node)));
        self.see(&[1, 2, 3]);
    }

    /// The controller of this number, which is its epoch too, publishes; every node applies.
    fn publish(&mut self, controller: u16, nodes: &[u16], copies: Copies) {
        self.commit(vec![]);
        self.version += 1;
        let (epoch, version) = (Epoch(u32::from(controller)), self.version);
        let routing = copies.iter().enumerate().map(|(rank, copy)| Placement {
            shard: shard(),
            node: copy.map(|(_, node, _)| search(node)),
            allocation: copy.map(|(id, _, _)| AllocationId(id)),
            primary: rank == 0,
            state: copy.map_or(CopyState::Unassigned, |(_, _, state)| state),
            in_sync: copy.is_some_and(|(_, _, state)| state == CopyState::Started),
            term: Term(u64::from(controller)),
        });
        let routing = if self.version == 1 { Vec::new() } else { routing.collect() };
        let nodes: Vec<_> = nodes.iter().map(|node| search(*node)).collect();
        let (why, unlisted) = ("because".into(), Vec::new());
        let state = E::StatePublished { epoch, version, nodes: nodes.clone(), routing, unlisted, why };
        self.record.on(search(controller), state);
        let changes = changes(version);
        if !changes.is_empty() {
            self.record.on(search(controller), E::ChangesAnnounced { epoch, version, changes });
        }
        nodes.iter().for_each(|node| _ = self.record.on(*node, E::StateApplied { epoch, version }));
    }

    fn elect(&mut self, controller: u16) {
        self.commit(vec![]);
        self.record.on(search(controller), E::ControllerElected { epoch: Epoch(u32::from(controller)) });
    }

    fn activate(&mut self, node: u16, id: u64, term: u64) {
        let (allocation, term) = (AllocationId(id), Term(term));
        self.record.on(search(node), E::PrimaryActivated { shard: shard(), allocation, term });
    }

    fn recover(&mut self, node: u16, id: u64, from: &'static str, up_to: i64) {
        let allocation = AllocationId(id);
        self.record.on(search(node), E::RecoveryStarted { shard: shard(), allocation, from: from.into() });
        if from == "files" {
            let up_to = SeqNo(up_to);
            self.record.on(search(node), E::FilesInstalled { shard: shard(), allocation, up_to });
        }
        self.record.on(search(node), E::RecoveryCompleted { shard: shard(), allocation, operations: 0 });
    }

    fn create_index(&mut self) {
        use CopyState::{Initializing, Started};
        self.elect(1);
        self.publish(1, &[1, 2, 3], [None, None]);
        self.publish(1, &[1, 2, 3], [Some((1, 1, Initializing)), None]);
        self.recover(1, 1, "store", -1);
        self.activate(1, 1, 1);
        self.publish(1, &[1, 2, 3], [Some((1, 1, Started)), Some((2, 2, Initializing))]);
        self.recover(2, 2, "files", -1);
        self.publish(1, &[1, 2, 3], [Some((1, 1, Started)), Some((2, 2, Started))]);
    }

    /// A write from client to primary to replica and back; primary and replica as (node, allocation).
    fn write(
        &mut self,
        request: u64,
        id: &str,
        source: Option<u64>,
        primary: (u16, u64),
        replica: (u16, u64),
        term: u64,
    ) {
        let (seq_no, digest) = (SeqNo(request as i64 - 1), Digest(request * 1_000));
        let term_of = Term(term);
        self.record.write(request, id, source);
        let (on, allocation) = (search(primary.0), AllocationId(primary.1));
        let mut kind = numbered((primary.1, term), seq_no.0, digest.0);
        if let E::PrimaryAppended { id: named, source: put, .. } = &mut kind {
            (*named, *put) = (id.to_owned(), source.map(Digest));
        }
        self.record.on(on, kind);
        self.take(replica, term_of, seq_no, digest);
        let moved = E::GlobalCheckpointAdvanced {
            shard: shard(),
            allocation,
            term: term_of,
            global_checkpoint: seq_no,
        };
        self.record.on(on, moved);
        let (copies, durable) = (2, true);
        self.record.on(on, E::WriteAcknowledged { shard: shard(), term: term_of, seq_no, copies, durable });
        self.record.acknowledge(request, seq_no.0, term);
    }

    fn take(&mut self, replica: (u16, u64), term: Term, seq_no: SeqNo, digest: Digest) {
        let (allocation, sender_term) = (AllocationId(replica.1), term);
        let global_checkpoint = SeqNo(seq_no.0 - 1);
        let (on, shard) = (search(replica.0), shard());
        self.record.on(
            on,
            E::ReplicaAppended { shard, allocation, sender_term, term, seq_no, digest, global_checkpoint },
        );
    }

    fn serve_clients(&mut self) {
        self.write(1, "doc-1", Some(1), (1, 1), (2, 2), 1);
        self.write(2, "doc-2", Some(2), (1, 1), (2, 2), 1);
        self.record.get(100, "doc-1").got(100, Some((1, 0, 1)));
        let (index, query) = ("articles".into(), "everything".into());
        self.record.on(client(), E::SearchInvoked { request: 101, index, query, parameters: String::new() });
        let (shards_successful, shards_total, total) = (1, 1, 2);
        let (outcome, hits) = (Outcome::Ok, vec!["doc-1".into(), "doc-2".into()]);
        self.record.on(
            client(),
            E::SearchCompleted {
                request: 101,
                outcome,
                shards_successful,
                shards_total,
                total,
                hits,
                seen: vec![],
                timed_out: false,
                aggregations: String::new(),
                error: None,
            },
        );
        self.write(3, "doc-2", None, (1, 1), (2, 2), 1);
    }

    fn lose_primary(&mut self) {
        use CopyState::{Initializing, Started};
        let what = "search-1 lost power".to_owned();
        self.record.world(E::FaultBegan { step: 0, what, hosts: vec![search(1)] });
        self.record.on(search(1), E::HostCrashed { power: true });
        let file = "articles/0/translog".into();
        self.record.on(search(1), E::DiskDamaged { file, kept: 10, lost: 20, torn: false }).wait(6_000);
        self.record.on(zk(3), E::SessionExpired { session: session(1) });
        let (path, session, zxid) = (registration(1), session(1), self.next_zxid());
        self.commit(vec![E::SessionClosed { session, zxid }, E::EphemeralDeleted { path, session, zxid }]);
        self.see(&[2, 3]);
        self.elect(2);
        self.publish(2, &[2, 3], [Some((2, 2, Started)), Some((3, 3, Initializing))]);
        self.activate(2, 2, 2);
        self.record.on(search(2), E::ResyncStarted { shard: shard(), term: Term(2), operations: 0 });
        self.record.on(search(2), E::ResyncCompleted { shard: shard(), term: Term(2) });
        self.recover(3, 3, "files", 2);
        self.publish(2, &[2, 3], [Some((2, 2, Started)), Some((3, 3, Started))]);
        self.write(4, "doc-3", Some(3), (2, 2), (3, 3), 2);
    }

    fn take_node_back(&mut self) {
        use CopyState::Started;
        self.record.world(E::FaultEnded { step: 0, what: "search-1 restarted".into() });
        self.record.on(search(1), E::HostStarted { incarnation: 2 });
        self.open(1, 4);
        self.see(&[1, 2, 3]);
        self.publish(2, &[1, 2, 3], [Some((2, 2, Started)), Some((3, 3, Started))]);
    }

    fn lose_leader(&mut self) {
        let TxnRef { zxid, digest } = txn(1, self.counter + 1);
        let (op, changes, asker) = ("multi".into(), vec![], SessionId::NONE);
        self.record.on(zk(3), E::TxnProposed { zxid, digest, session: asker, xid: 0, op, changes });
        self.record.on(zk(3), E::TxnLogged { zxid, digest }).on(zk(3), E::TxnAcked { zxid });
        let what = "zk-3 lost power".to_owned();
        self.record.world(E::FaultBegan { step: 1, what, hosts: vec![zk(3)] });
        self.record.on(zk(3), E::HostCrashed { power: true });
        for server in [zk(1), zk(2)] {
            self.record.on(server, E::RoleLost { why: "leader lost".into() });
        }
        (self.leader, self.live) = (zk(2), vec![zk(1), zk(2)]);
        self.establish();
        for (node, number) in [(1, 4), (2, 2), (3, 3)] {
            self.record.on(search(node), E::ClientDisconnected { session: session(number) });
            self.connect(node, number, zk(1), true);
        }
        (0..3).for_each(|_| self.commit(vec![]));
    }

    fn take_server_back(&mut self) {
        self.record.world(E::FaultEnded { step: 1, what: "zk-3 restarted".into() });
        let kept = self.history.iter().filter(|(txn, _)| txn.zxid.epoch() == Epoch(1)).count();
        let TxnRef { zxid, .. } = self.history[kept - 1].0;
        self.record.on(zk(3), E::HostStarted { incarnation: 2 });
        self.restore(zk(3), Zxid(zxid.0 + 1));
        let (sessions, ephemerals) = database(&self.history[..kept]);
        self.record.on(zk(3), E::LogTruncated { zxid, sessions, ephemerals });
        for nth in kept..self.history.len() {
            let TxnRef { zxid, digest } = self.history[nth].0;
            self.record.on(zk(3), E::TxnLogged { zxid, digest });
            self.apply(zk(3), nth);
        }
        let (leader, zxid) = (zk(2), self.last());
        self.record.on(zk(3), E::FollowerSynced { leader, epoch: Epoch(2), mode: SyncMode::Trunc, zxid });
        self.live.push(zk(3));
        self.commit(vec![]);
    }

    fn inspect_copy(&mut self, node: u16, id: u64, primary: bool) {
        let held = |id: &str, seq_no, term, source: Option<u64>| HeldDoc {
            id: id.into(),
            seq_no: SeqNo(seq_no),
            term: Term(term),
            source: source.map(Digest),
        };
        let docs =
            vec![held("doc-1", 0, 1, Some(1)), held("doc-2", 2, 1, None), held("doc-3", 3, 2, Some(3))];
        self.record.on(
            search(node),
            E::CopyInspected {
                shard: shard(),
                allocation: AllocationId(id),
                primary,
                local_checkpoint: SeqNo(3),
                max_seq_no: SeqNo(3),
                docs,
                searchable: vec!["doc-1".into(), "doc-3".into()],
            },
        );
    }

    fn end(&mut self) {
        self.record.wait(12_000).world(E::QuietBegan).wait(1_000);
        self.see(&[1, 2, 3]);
        let zxid = self.last();
        for server in [zk(1), zk(2), zk(3)] {
            self.record.on(server, E::TreeInspected { zxid, digest: Digest(42), znodes: 7 });
        }
        self.inspect_copy(2, 2, true);
        self.inspect_copy(3, 3, false);
        self.record.world(E::RunEnded);
    }
}

/// What is announced with each state.
fn changes(version: u64) -> Vec<ClusterChange> {
    let (allocation, node, term) = (AllocationId(2), search(2), Term(2));
    match version {
        2 => vec![ClusterChange::IndexCreated { index: "articles".into() }],
        5 => vec![
            ClusterChange::NodeLeft { node: search(1) },
            ClusterChange::ShardPromoted { shard: shard(), allocation, node, term },
        ],
        7 => vec![ClusterChange::NodeJoined { node: search(1) }],
        _ => Vec::new(),
    }
}
