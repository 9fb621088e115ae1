//! Server — decides which part of a ZooKeeper server an input is for, and when it changes its role. It
//! never decides what the parts do.

mod clients;
mod greeting;
mod read_only;
mod serving;
mod silence;
mod size;
pub mod status;
mod tally;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use self::tally::{LastAnswer, Latency, Traffic};
use self::{clients::Clients, read_only::ReadOnly, tally::Aside};
use super::{
    election::{Election, Links, Notice},
    log::{Record, Refusal, Storage, Told, restore, restore_views},
    membership::{self, Membership, Views},
    peer::{ElectionFrame, LeaderFrame, LearnerFrame, Message},
    session::{LocalSessionTracker, SessionIds},
    tree::Database,
    watch::Watches,
    wire::EnsembleConfig,
    zab::{GiveUp, Leader, Learner, Replica, Turn},
};
use crate::{
    core::{ConnId, Core, Entropy, Files, Input, Instant, Now, Output, Port},
    defect::{Defect, Defects},
    event::EventKind,
    name::{Epoch, HostId, Zxid},
};

type Out = Output<Message>;

/// An observer that has lost its leader waits up to this long before it looks for one
/// (`observer.election.DelayMs`).
const OBSERVER_ELECTION_DELAY: Duration = Duration::from_millis(200);

/// What a server is at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Role {
    /// Not started: its disk is not ready, or it refused to start. Or an observer that waits before it looks
    /// for a leader again, so as not to burden the voters.
    Dormant,
    /// In search of a leader.
    Looking,
    /// Joins or follows a leader.
    Following(Box<Learner>),
    /// Gathers followers or leads.
    Leading(Box<Leader>),
}

/// One ZooKeeper server: a voter of its ensemble, an observer, or one that is not let in yet. It can be
/// cloned, compared and hashed as a whole; large parts (records, snapshots, payloads) are shared between
/// clones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    replica: Replica,
    role: Role,
    election: Election,
    links: Links,
    clients: Clients,
    /// Addresses of connections that are yet to be accepted.
    addresses: BTreeMap<ConnId, Arc<str>>,
    watches: Watches,
    /// Sessions that only this server knows.
    local: LocalSessionTracker,
    read_only: ReadOnly,
    traffic: Aside<Traffic>,
    started: Aside<Instant>,
    session_ids: SessionIds,
    /// When an observer that has lost its leader looks for one.
    looks_at: Option<Instant>,
    refusal: Option<Refusal>,
}

impl Server {
    /// The server as it comes up on this disk. One whose files cannot be right halts at its first input.
    ///
    /// # Panics
    ///
    /// If nobody votes in the ensemble. This server need not be in it: then it follows without a vote, until
    /// a reconfiguration lets it in.
    pub fn boot(
        config: EnsembleConfig,
        me: HostId,
        defects: Defects,
        entropy: Entropy,
        files: &Files,
        now: Now,
    ) -> Self {
        assert!(!config.servers.is_empty(), "an ensemble has voters");
        let (found, views, refusal) = match restore_all(files, &config) {
            Ok((found, views)) => (found, views, None),
            Err(refusal) => {
                let nothing = restore_all(&Files::new(), &config);
                let (found, views) = nothing.expect("nothing can be wrong with no files");
                (found, views, Some(refusal))
            }
        };
        Self {
            election: Election::new(me, views.quorums().clone()),
            links: Links::new(me),
            watches: Watches::new(config.compat),
            local: LocalSessionTracker::new(config.tick_ms),
            replica: Replica::new((me, config), defects, entropy, views, found),
            role: Role::Dormant,
            clients: Clients::default(),
            addresses: BTreeMap::new(),
            read_only: ReadOnly::Off,
            traffic: Aside::default(),
            started: Aside(now.mono),
            session_ids: SessionIds::new(me.number as u8, now.mono.0 / 1_000_000),
            looks_at: None,
            refusal,
        }
    }

    fn start(&mut self, now: Now, out: &mut Out) {
        if let Some(refusal) = &self.refusal {
            return out.halt(refusal.to_string());
        }
        out.note(self.replica.restored());
        self.replica.storage.repair(out);
        if self.replica.storage.is_founded() {
            self.look(now, out);
        } else {
            self.replica.storage.found(&self.replica.tree, out);
        }
    }

    fn look(&mut self, now: Now, out: &mut Out) {
        self.role = Role::Looking;
        self.read_only = ReadOnly::look(&self.replica.config, now.mono);
        self.replica.appointed = None;
        self.election.reconfigure(self.replica.views.quorums().clone());
        self.election.look(now.mono, self.replica.first_vote());
        out.note(EventKind::ElectionStarted { round: self.election.round() });
        self.send_votes(now, out);
    }

    fn send_votes(&mut self, now: Now, out: &mut Out) {
        for (to, notification) in self.election.drain() {
            let configuration = self.replica.views.committed().clone();
            self.links.send(now.mono, to, Notice { notification, configuration }, out);
        }
    }

    /// Takes the role that the election has brought. Whoever was served without a quorum is cut off.
    fn play(&mut self, leader: HostId, now: Now, out: &mut Out) {
        self.read_only = ReadOnly::Off;
        self.cut_clients(out);
        out.note(EventKind::ElectionDecided { round: self.election.round(), leader });
        if self.replica.role() == membership::Role::Observer {
            self.election.observe();
        }
        let mut turn = Turn { now, replica: &mut self.replica, out };
        self.role = if leader == turn.replica.me {
            Role::Leading(Box::new(Leader::lead(&mut turn)))
        } else {
            Role::Following(Box::new(Learner::follow(leader, &mut turn)))
        };
    }

    /// Gives the role up: clients are cut off, the log becomes this server's history, and it looks again;
    /// or goes on under the leader that a reconfiguration has named.
    fn lose_role(&mut self, GiveUp(why): GiveUp, now: Now, out: &mut Out) {
        out.note(EventKind::RoleLost { why: why.into() });
        match std::mem::replace(&mut self.role, Role::Looking) {
            Role::Following(learner) => learner.leave(out),
            Role::Leading(leader) => leader.leave(out),
            Role::Dormant | Role::Looking => {}
        }
        self.cut_clients(out);
        self.replica.fast_forward();
        out.note(self.replica.restored());
        if let Some(leader) = self.replica.appointed.take() {
            self.election.reconfigure(self.replica.views.quorums().clone());
            self.election.appoint(leader, self.replica.storage.last_zxid());
            self.play(leader, now, out);
        } else if self.replica.role() == membership::Role::Observer {
            self.role = Role::Dormant;
            let delay = self.replica.draw_below(OBSERVER_ELECTION_DELAY.as_nanos() as u64);
            self.looks_at = Some(now.mono + Duration::from_nanos(delay));
        } else {
            self.look(now, out);
        }
    }

    /// Applies what has become committed, or gives up.
    fn settle(&mut self, outcome: Result<(), GiveUp>, now: Now, out: &mut Out) {
        match outcome {
            Ok(()) => self.apply_committed(now, out),
            Err(why) => self.lose_role(why, now, out),
        }
    }

    fn apply_committed(&mut self, now: Now, out: &mut Out) {
        while let Some(record) = self.next_committed(now, out) {
            let applied = self.replica.apply(&record, out);
            if let Role::Leading(leader) = &mut self.role {
                leader.applied(&record);
            }
            self.deliver(&record, applied, now, out);
        }
        if let Some(epoch) = self.epoch() {
            self.election.enter_epoch(epoch);
        }
        if matches!(&self.role, Role::Following(learner) if learner.leaves()) {
            self.lose_role(GiveUp("a reconfiguration has changed the role or the leader"), now, out);
        }
    }

    fn next_committed(&mut self, now: Now, out: &mut Out) -> Option<Arc<Record>> {
        match &mut self.role {
            Role::Following(learner) => learner.next_committed(),
            Role::Leading(leader) => {
                leader.next_committed(&mut Turn { now, replica: &mut self.replica, out })
            }
            Role::Dormant | Role::Looking => None,
        }
    }

    /// The epoch of the leader, if clients may be served.
    fn epoch(&self) -> Option<Epoch> {
        match &self.role {
            Role::Following(learner) if learner.serves() => Some(self.replica.storage.current_epoch()),
            Role::Leading(leader) if leader.serves() => Some(leader.epoch()),
            _ => None,
        }
    }

    /// What reply headers show, if clients may be served: the last transaction applied; on a leader at
    /// least `epoch:0`.
    fn header_zxid(&self) -> Option<Zxid> {
        let applied = self.replica.applied();
        match &self.role {
            Role::Leading(leader) if leader.serves() => Some(applied.max(Zxid::new(leader.epoch(), 0))),
            Role::Following(learner) if learner.serves() => Some(applied),
            Role::Looking if self.read_only.serves() => Some(applied),
            _ => None,
        }
    }

    fn accepted(&mut self, conn: ConnId, from: HostId, port: Port, now: Now, out: &mut Out) {
        match (port, &mut self.role) {
            (Port::ZkElection, _) => self.links.accepted(conn, from),
            (Port::ZkQuorum, Role::Leading(leader)) if leader.listens() => leader.accepted(conn, now.mono),
            (Port::ZkClient, _) => self.accept_client(conn, from, now, out),
            _ => out.close(conn),
        }
    }

    fn connected(&mut self, conn: ConnId, now: Now, out: &mut Out) {
        self.links.connected(conn, out);
        if let Role::Following(learner) = &mut self.role
            && learner.owns(conn)
        {
            learner.connected(&mut Turn { now, replica: &mut self.replica, out });
        }
    }

    fn closed(&mut self, conn: ConnId, now: Now, out: &mut Out) {
        self.links.closed(conn);
        self.forget_client(conn);
        match &mut self.role {
            Role::Following(learner) if learner.owns(conn) => {
                let outcome = learner.closed(now.mono);
                self.settle(outcome, now, out);
            }
            Role::Leading(leader) => leader.closed(conn),
            _ => {}
        }
    }

    fn received(&mut self, conn: ConnId, message: Message, now: Now, out: &mut Out) {
        match message {
            Message::ToServer(frame) => self.client_says(conn, frame, now, out),
            Message::Election(frame) => self.voter_says(conn, frame, now, out),
            Message::ToLeader(frame) => self.learner_says(conn, frame, now, out),
            Message::ToLearner(frame) => self.leader_says(conn, frame, now, out),
            Message::ToClient(_) => {}
        }
    }

    fn voter_says(&mut self, conn: ConnId, frame: ElectionFrame, now: Now, out: &mut Out) {
        match frame {
            ElectionFrame::Hello { server } if self.links.owns(conn) => {
                self.links.greeted(now.mono, conn, server, out);
            }
            ElectionFrame::Notification(notice) => {
                let Some(from) = self.links.speaker(conn) else { return };
                if self.learns_configuration(notice.configuration, out) {
                    return self.look(now, out);
                }
                let decided = self.election.receive(now.mono, from, notice.notification);
                self.after_election(decided, now, out);
            }
            ElectionFrame::Hello { .. } => {}
        }
    }

    /// Configurations spread with votes: one that is newer than this server's and lists others begins the
    /// election anew (`FastLeaderElection`, `WorkerReceiver`).
    fn learns_configuration(&mut self, heard: Membership, out: &mut Out) -> bool {
        if !self.election.is_looking() {
            return false;
        }
        let before = self.replica.activate_configuration(heard, out);
        self.election.reconfigure(self.replica.views.quorums().clone());
        before.is_some_and(|before| !before.lists_the_same(self.replica.views.committed()))
    }

    fn after_election(&mut self, decided: Option<HostId>, now: Now, out: &mut Out) {
        self.send_votes(now, out);
        if let Some(leader) = decided {
            self.play(leader, now, out);
        }
    }

    fn learner_says(&mut self, conn: ConnId, frame: LearnerFrame, now: Now, out: &mut Out) {
        if let Role::Leading(leader) = &mut self.role {
            let mut turn = Turn { now, replica: &mut self.replica, out };
            let outcome = leader.receive(conn, frame, &mut turn);
            self.settle(outcome, now, out);
        }
    }

    fn leader_says(&mut self, conn: ConnId, frame: LeaderFrame, now: Now, out: &mut Out) {
        let Role::Following(learner) = &mut self.role else { return };
        if !learner.owns(conn) {
            return;
        }
        let mut turn = Turn { now, replica: &mut self.replica, out };
        match frame {
            LeaderFrame::Synced { session, xid } => {
                learner.heard(&turn);
                self.synced(session, xid, now, out);
            }
            LeaderFrame::Revalidated { session, alive } => {
                learner.heard(&turn);
                self.revalidated(session, alive, now, out);
            }
            frame => {
                let outcome = learner.receive(frame, &mut turn);
                self.settle(outcome, now, out);
            }
        }
    }

    fn disk_synced(&mut self, token: u64, now: Now, out: &mut Out) {
        let Some(told) = self.replica.storage.synced(token, out) else { return };
        match &mut self.role {
            Role::Dormant if told == Told::Founded => self.look(now, out),
            Role::Leading(leader) => {
                leader.told(told, &mut Turn { now, replica: &mut self.replica, out });
                self.apply_committed(now, out);
            }
            _ => {}
        }
    }

    fn wake(&mut self, now: Now, out: &mut Out) {
        self.links.wake(now.mono, out);
        self.read_only.wake(now.mono);
        self.expire_local_sessions(now, out);
        self.close_silent(now, out);
        if self.looks_at.take_if(|at| now.mono >= *at).is_some() {
            self.look(now, out);
        }
        let decided = self.election.wake(now.mono);
        self.after_election(decided, now, out);
        let mut turn = Turn { now, replica: &mut self.replica, out };
        let outcome = match &mut self.role {
            Role::Following(learner) => learner.wake(&mut turn),
            Role::Leading(leader) => leader.wake(&mut turn),
            Role::Dormant | Role::Looking => return,
        };
        self.settle(outcome, now, out);
    }

    fn inspect(&self, out: &mut Out) {
        let (digest, znodes) = self.replica.tree.inspect();
        out.note(EventKind::TreeInspected { zxid: self.replica.applied(), digest, znodes });
    }
}

/// What a booting server makes of its files.
fn restore_all(files: &Files, config: &EnsembleConfig) -> Result<((Storage, Database), Views), Refusal> {
    Ok((restore(files)?, restore_views(files, config)?))
}

impl Core for Server {
    type Message = Message;

    fn step(&mut self, now: Now, input: Input<Message>, out: &mut Out) {
        match input {
            Input::Start => self.start(now, out),
            _ if self.refusal.is_some() => {}
            Input::Wake => self.wake(now, out),
            Input::Connected { conn } => self.connected(conn, now, out),
            Input::Accepted { conn, from, port } => self.accepted(conn, from, port, now, out),
            Input::Received { conn, message } => self.received(conn, message, now, out),
            Input::Closed { conn, .. } => self.closed(conn, now, out),
            Input::Synced { token } => self.disk_synced(token, now, out),
            // Whatever could not be written or synced, the server ends (`ZooKeeperCriticalThread`, and
            // `takeSnapshot` with `isSevere`).
            Input::DiskFailed { .. } if self.replica.defects.has(Defect::ZkIgnoresDiskFailure) => {}
            Input::DiskFailed { file, error, .. } => out.halt(format!("{file}: {error}")),
            // It reads its files only when it starts.
            Input::Reread { .. } | Input::DiskMeasured { .. } => {}
            Input::Inspect => self.inspect(out),
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let role = match &self.role {
            Role::Following(learner) => Some(learner.next_wake()),
            Role::Leading(leader) => Some(leader.next_wake()),
            Role::Dormant | Role::Looking => None,
        };
        let own = [self.looks_at, self.read_only.next_wake()];
        let clients = [self.local.next_expiry(), self.clients.next_wake()];
        let others = [self.election.next_wake(), self.links.next_wake(), role];
        own.into_iter().chain(clients).chain(others).flatten().min()
    }
}
