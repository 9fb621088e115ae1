//! Leader — decides in which stage a leader is and whether it can go on. It never talks to a client.

mod broadcast;
mod follower;
mod joining;
mod proposals;
mod reaper;
mod reconfiguring;
mod sync;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::{
    broadcast::PendingSync,
    follower::{Follower, Stage as FollowerStage},
    joining::Introduction,
    proposals::Proposals,
    reaper::Reaper,
    sync::LearnerLog,
};
use super::{GiveUp, Turn};
use crate::{
    core::{ConnId, Instant, Output},
    defect::Defect,
    event::EventKind,
    name::{Epoch, HostId, SessionId, Zxid},
    zookeeper::{
        log::Told,
        peer::{LeaderFrame, LearnerFrame, Message},
        request::Preparer,
        session::SessionTracker,
        wire::LocalSessions,
    },
};

/// Transactions that a new leader lists as its history.
const HISTORY_LEN: usize = 500;

/// How far a leader has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    /// Until a snapshot of what it begins with is on disk; nobody can connect.
    Loading,
    /// Until a quorum has said which epochs it accepted.
    Discovery,
    /// Until a quorum has accepted the new epoch.
    EpochProposed,
    /// Until a quorum has the leader's history.
    Synchronization,
    /// Serving.
    Broadcast,
}

/// The role of a leader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leader {
    stage: Stage,
    /// When the stage has lasted too long; without meaning while broadcasting.
    deadline: Instant,
    epoch: Epoch,
    /// What this server's own history was at the start.
    own: (Epoch, Zxid),
    /// Accepted epochs of those who came during discovery.
    promised: BTreeMap<HostId, Epoch>,
    /// Who has acknowledged the current stage.
    acked: BTreeSet<HostId>,
    followers: BTreeMap<ConnId, Follower>,
    proposals: Proposals,
    /// False once a reconfiguration has named another leader: what is committed from then on, that one
    /// commits.
    may_commit: bool,
    syncs: VecDeque<PendingSync>,
    preparer: Preparer,
    sessions: SessionTracker,
    reaper: Reaper,
    /// Pings go out twice a tick; at every second one the quorum is checked.
    half_tick_at: Instant,
    half_ticks: u64,
}

impl Leader {
    /// Starts to lead: takes a snapshot, then waits for followers.
    pub fn lead(turn: &mut Turn<'_>) -> Self {
        let replica = &*turn.replica;
        let now = turn.now.mono;
        let own_promise = (replica.me, replica.storage.accepted_epoch());
        let mut leader = Self {
            stage: Stage::Loading,
            deadline: now + replica.init_limit(),
            epoch: Epoch(0),
            own: (replica.storage.current_epoch(), replica.storage.last_zxid()),
            promised: BTreeMap::from([own_promise]),
            acked: BTreeSet::new(),
            followers: BTreeMap::new(),
            proposals: Proposals::new(Epoch(0)),
            may_commit: true,
            syncs: VecDeque::new(),
            preparer: Preparer::default(),
            sessions: SessionTracker::new(replica.config.tick_ms, &BTreeMap::new(), now),
            reaper: Reaper::new(&replica.config, now),
            half_tick_at: now + replica.tick() / 2,
            half_ticks: 0,
        };
        if !turn.replica.storage.take_interim_snapshot(&turn.replica.tree, turn.out) {
            leader.listen(turn);
        }
        leader
    }

    /// Whether learners can connect. One that comes before is refused, and dials again.
    pub fn listens(&self) -> bool {
        self.stage != Stage::Loading
    }

    fn listen(&mut self, turn: &mut Turn<'_>) {
        self.begin(Stage::Discovery, turn);
        self.advance(turn);
    }

    /// Whether clients may be served.
    pub fn serves(&self) -> bool {
        self.stage == Stage::Broadcast
    }

    /// The epoch, once it is chosen.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether this connection is a learner's.
    pub fn owns(&self, conn: ConnId) -> bool {
        self.followers.contains_key(&conn)
    }

    /// A learner has connected.
    pub fn accepted(&mut self, conn: ConnId, now: Instant) {
        self.followers.insert(conn, Follower::new(now));
    }

    /// A learner's connection ended.
    pub fn closed(&mut self, conn: ConnId) {
        self.followers.remove(&conn);
    }

    /// Takes what a learner says. One that makes no sense is cut off.
    ///
    /// # Errors
    ///
    /// If this server cannot go on leading.
    pub fn receive(&mut self, conn: ConnId, frame: LearnerFrame, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let Some(follower) = self.followers.get_mut(&conn) else { return Ok(()) };
        follower.heard = turn.now.mono;
        match (frame, follower.stage, follower.host) {
            (
                LearnerFrame::FollowerInfo { server, role, accepted_epoch, configuration },
                FollowerStage::Calling,
                _,
            ) => self.meet(conn, Introduction { server, role, accepted_epoch, configuration }, turn),
            (LearnerFrame::AckEpoch { current_epoch, last_zxid, cut_floor }, FollowerStage::Informed, _) => {
                let log = LearnerLog { last: last_zxid, floor: cut_floor };
                self.epoch_accepted(conn, current_epoch, log, turn);
            }
            (LearnerFrame::NewLeaderAck { epoch }, FollowerStage::Synchronizing, Some(host))
                if epoch == self.epoch =>
            {
                self.history_accepted(conn, host, turn);
            }
            (LearnerFrame::Pong { touched }, _, Some(_)) => {
                for (session, timeout_ms) in touched {
                    self.touch(session, timeout_ms, turn.now.mono);
                }
            }
            (frame, FollowerStage::Following, Some(host)) => {
                return self.serve(conn, host, frame, turn);
            }
            _ => self.cut_off(conn, turn.out),
        }
        self.advance(turn);
        Ok(())
    }

    /// The disk has done something this role waits for.
    pub fn told(&mut self, told: Told, turn: &mut Turn<'_>) {
        let me = turn.replica.me;
        match told {
            Told::Logged(zxid) => {
                turn.out.note(EventKind::TxnAcked { zxid });
                self.proposals.ack(zxid, me);
            }
            Told::Snapshot(_) if self.stage == Stage::Loading => return self.listen(turn),
            Told::Accepted(epoch) if self.stage == Stage::EpochProposed && epoch == self.epoch => {
                self.acked.insert(me);
            }
            Told::Entered(epoch) if self.stage == Stage::Synchronization && epoch == self.epoch => {
                self.acked.insert(me);
            }
            _ => return,
        }
        self.advance(turn);
    }

    /// Whether the session lives; from now on it belongs to the server `owner`.
    pub fn claim(&mut self, session: SessionId, timeout_ms: u64, owner: HostId, now: Instant) -> bool {
        self.sessions.claim(session, timeout_ms, owner, now)
    }

    /// A client of this session has been heard of; false if the session is unknown or closing.
    pub fn touch(&mut self, session: SessionId, timeout_ms: u64, now: Instant) -> bool {
        self.sessions.touch(session, timeout_ms, now)
    }

    /// The sessions as this leader tracks them.
    pub fn sessions(&self) -> &SessionTracker {
        &self.sessions
    }

    /// The learners that have come, in that order: who, if it has said so, and whether it is synced.
    pub fn learners(&self) -> impl Iterator<Item = (Option<HostId>, bool)> {
        self.followers.values().map(|follower| (follower.host, follower.is_synced()))
    }

    /// How many syncs of clients wait for a commit.
    pub fn pending_syncs(&self) -> usize {
        self.syncs.len()
    }

    /// Carries out what is due.
    ///
    /// # Errors
    ///
    /// If a quorum has not come in time, or has gone.
    pub fn wake(&mut self, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let now = turn.now.mono;
        if !self.serves() && now >= self.deadline {
            return Err(GiveUp("no quorum of followers came in time"));
        }
        if now >= self.half_tick_at {
            self.half_tick_at = now + turn.replica.tick() / 2;
            self.half_ticks += 1;
            self.tend_followers(turn);
            if self.half_ticks.is_multiple_of(2) {
                self.check_quorum(turn)?;
            }
        }
        if self.serves() {
            self.expire_sessions(turn)?;
            self.reap(turn)?;
        }
        Ok(())
    }

    /// When [`Leader::wake`] has something to do.
    pub fn next_wake(&self) -> Instant {
        if !self.serves() {
            return self.half_tick_at.min(self.deadline);
        }
        let at = self.half_tick_at.min(self.reaper.next_wake());
        self.sessions.next_expiry().map_or(at, |expiry| expiry.min(at))
    }

    /// Stops leading.
    pub fn leave(self, out: &mut Output<Message>) {
        for conn in self.followers.into_keys() {
            out.close(conn);
        }
    }

    /// Goes to the next stage as soon as a quorum, this server included, has done its part. The epoch is a
    /// matter of the committed configuration, the history of a proposed one too (`Leader.java`,
    /// `newLeaderProposal`).
    fn advance(&mut self, turn: &mut Turn<'_>) {
        let me = turn.replica.me;
        let views = &turn.replica.views;
        if self.stage == Stage::Discovery
            && views.committed().is_quorum(|voter| self.promised.contains_key(&voter))
        {
            self.choose_epoch(turn);
        }
        let views = &turn.replica.views;
        let acked = |voter: HostId| self.acked.contains(&voter);
        if self.stage == Stage::EpochProposed && acked(me) && views.committed().is_quorum(acked) {
            self.enter_epoch(turn);
        }
        let views = &turn.replica.views;
        let acked = |voter: HostId| self.acked.contains(&voter);
        let alone = turn.replica.defects.has(Defect::ZabNoQuorumOfNewLeader);
        if self.stage == Stage::Synchronization && acked(me) && (alone || views.quorums().agree(acked)) {
            self.establish(turn);
        }
    }

    /// "leader: max(acceptedEpoch of a quorum incl. itself) + 1, written to acceptedEpoch file, LEADERINFO".
    fn choose_epoch(&mut self, turn: &mut Turn<'_>) {
        let newest = self.promised.values().max().expect("it has promised itself");
        self.epoch = newest.next();
        if turn.replica.defects.has(Defect::ZabEpochNotWritten) {
            turn.replica.storage.accept_epoch_in_memory(self.epoch);
        } else {
            turn.replica.storage.accept_epoch(self.epoch, turn.out);
        }
        turn.replica.storage.tell_when_accepted(turn.out);
        self.begin(Stage::EpochProposed, turn);
        for conn in self.conns(|follower| follower.stage == FollowerStage::Met) {
            self.inform(conn, turn);
        }
    }

    fn enter_epoch(&mut self, turn: &mut Turn<'_>) {
        turn.replica.storage.enter_epoch(self.epoch, turn.out);
        turn.replica.storage.tell_when_entered(turn.out);
        self.proposals = Proposals::new(self.epoch);
        self.number_configuration(turn);
        self.begin(Stage::Synchronization, turn);
        for conn in self.conns(|follower| matches!(follower.stage, FollowerStage::Accepted { .. })) {
            if let FollowerStage::Accepted { log } = self.follower(conn).stage {
                self.synchronize(conn, log, turn);
            }
        }
    }

    /// The first configuration of all has no version of its own: it gets this epoch's, so that it takes
    /// precedence over others that were never established (ZOOKEEPER-1783).
    fn number_configuration(&self, turn: &mut Turn<'_>) {
        let proposed = turn.replica.views.proposed();
        if proposed.version() == Zxid(0) {
            let numbered = proposed.with_version(Zxid::new(self.epoch, 0));
            turn.replica.see_configuration(numbered, turn.out);
        }
    }

    fn establish(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.mono;
        let supporters = self.acked.iter().copied().collect();
        self.begin(Stage::Broadcast, turn);
        let history = turn.replica.storage.history(HISTORY_LEN);
        turn.out.note(EventKind::LeaderEstablished { epoch: self.epoch, history });
        let pending = turn.replica.views.proposed().clone();
        self.activate(pending, supporters, turn);
        let replica = &*turn.replica;
        self.reaper = Reaper::new(&replica.config, now);
        let sessions = SessionTracker::new(replica.config.tick_ms, replica.tree.sessions(), now);
        self.sessions = match replica.config.local_sessions {
            LocalSessions::Off => sessions,
            LocalSessions::On | LocalSessions::Upgrading => sessions.with_local_sessions(replica.me),
        };
        self.half_tick_at = now + replica.tick() / 2;
        self.half_ticks = 0;
        for conn in self.conns(|follower| follower.stage == FollowerStage::Synchronized) {
            self.admit(conn, turn.out);
        }
    }

    fn begin(&mut self, stage: Stage, turn: &Turn<'_>) {
        self.stage = stage;
        self.acked.clear();
        self.deadline = turn.now.mono + turn.replica.init_limit();
    }

    /// Pings followers, and cuts off those who have been silent or have owed an acknowledgement for too
    /// long.
    fn tend_followers(&mut self, turn: &mut Turn<'_>) {
        let (init_limit, sync_limit) = (turn.replica.init_limit(), turn.replica.sync_limit());
        let now = turn.now.mono;
        for conn in self.conns(|follower| follower.is_overdue(now, init_limit, sync_limit)) {
            self.cut_off(conn, turn.out);
        }
        for conn in self.conns(Follower::is_forwarded_to) {
            turn.out.send(conn, LeaderFrame::Ping);
        }
    }

    /// "leader gives up: checked once per tick: learners that are synced (+ itself) not a quorum". Whoever
    /// is connected and not late counts, also one that is still joining (`LearnerHandler.synced`).
    fn check_quorum(&self, turn: &Turn<'_>) -> Result<(), GiveUp> {
        let live =
            |voter| voter == turn.replica.me || self.live(turn).any(|follower| follower.host == Some(voter));
        if self.serves() && !turn.replica.views.quorums().agree(live) {
            return Err(GiveUp("not enough followers are synced"));
        }
        Ok(())
    }

    /// Learners that are not late.
    fn live(&self, turn: &Turn<'_>) -> impl Iterator<Item = &Follower> {
        let (init_limit, sync_limit) = (turn.replica.init_limit(), turn.replica.sync_limit());
        let now = turn.now.mono;
        self.followers.values().filter(move |follower| !follower.is_overdue(now, init_limit, sync_limit))
    }

    fn cut_off(&mut self, conn: ConnId, out: &mut Output<Message>) {
        self.followers.remove(&conn);
        out.close(conn);
    }

    fn conns(&self, wanted: impl Fn(&Follower) -> bool) -> Vec<ConnId> {
        self.followers.iter().filter(|(_, follower)| wanted(follower)).map(|(conn, _)| *conn).collect()
    }

    fn follower(&mut self, conn: ConnId) -> &mut Follower {
        self.followers.get_mut(&conn).expect("the connection is a learner's")
    }
}
