//! Leader — decides the epoch, brings learners level, and numbers, proposes and commits transactions. It
//! never talks to a client.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    GiveUp, Turn,
    follower::{Follower, Stage as FollowerStage},
    proposals::Proposals,
    sync::{self, LearnerLog, Plan},
};
use crate::{
    core::{ConnId, Instant, Output},
    defect::Defect,
    event::EventKind,
    name::{Epoch, HostId, SessionId, Zxid},
    zookeeper::{
        log::{Record, Told, write_snapshot},
        peer::{Ask, LeaderFrame, LearnerFrame, Message, Write},
        request::Preparer,
        session::SessionTracker,
        txn::{Txn, TxnHeader},
        wire::Op,
    },
};

/// Transactions that a new leader lists as its history.
const HISTORY_LEN: usize = 500;

/// How far a leader has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Until a quorum has said which epochs it accepted.
    Discovery,
    /// Until a quorum has accepted the new epoch.
    EpochProposed,
    /// Until a quorum has the leader's history.
    Synchronization,
    /// Serving.
    Broadcast,
}

/// A client's sync that waits for what was proposed before it.
#[derive(Debug)]
struct PendingSync {
    behind: Zxid,
    conn: ConnId,
    frame: LeaderFrame,
}

/// The role of a leader.
#[derive(Debug)]
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
    syncs: VecDeque<PendingSync>,
    preparer: Preparer,
    sessions: SessionTracker,
    /// Pings go out twice a tick; at every second one the quorum is checked.
    half_tick_at: Instant,
    half_ticks: u64,
}

impl Leader {
    /// Starts to lead: waits for followers.
    pub fn lead(turn: &mut Turn<'_>) -> Self {
        let replica = &*turn.replica;
        let now = turn.now.mono;
        let own_promise = (replica.me, replica.storage.accepted_epoch());
        let mut leader = Self {
            stage: Stage::Discovery,
            deadline: now + replica.init_limit(),
            epoch: Epoch(0),
            own: (replica.storage.current_epoch(), replica.storage.last_zxid()),
            promised: BTreeMap::from([own_promise]),
            acked: BTreeSet::new(),
            followers: BTreeMap::new(),
            proposals: Proposals::new(replica.config.servers.clone(), Epoch(0)),
            syncs: VecDeque::new(),
            preparer: Preparer::default(),
            sessions: SessionTracker::new(replica.config.tick_ms, &BTreeMap::new(), now),
            half_tick_at: now + replica.tick() / 2,
            half_ticks: 0,
        };
        leader.advance(turn);
        leader
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
            (LearnerFrame::FollowerInfo { server, accepted_epoch }, FollowerStage::Calling, _) => {
                self.meet(conn, server, accepted_epoch, turn);
            }
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
            Told::Logged(zxid) => self.proposals.ack(zxid, me),
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

    /// Numbers and proposes a write that came through the server `owner`.
    ///
    /// # Errors
    ///
    /// If the epoch has no zxid left.
    pub fn submit(&mut self, owner: HostId, write: Write, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let zxid = self.proposals.next_zxid().ok_or(GiveUp("the epoch has no zxid left"))?;
        let (session, xid) = (write.session, write.xid);
        let header = TxnHeader { session, xid, zxid, wall_ms: turn.now.wall_ms };
        let logged = match write.ask {
            Ask::Open { timeout_ms } => {
                let now = turn.now.mono;
                self.preparer.prepare_session(&mut self.sessions, owner, header, timeout_ms, now)
            }
            Ask::Op(op) if op.is_write() => {
                self.preparer.prepare(&turn.replica.tree, &mut self.sessions, owner, header, &op)
            }
            Ask::Op(_) => return Ok(()),
        };
        self.propose(Arc::new(Record::new(logged)), turn);
        Ok(())
    }

    /// Whether the session lives; from now on it belongs to the server `owner`.
    pub fn claim(&mut self, session: SessionId, timeout_ms: u64, owner: HostId, now: Instant) -> bool {
        self.sessions.claim(session, timeout_ms, owner, now)
    }

    /// A client of this session has been heard of.
    pub fn touch(&mut self, session: SessionId, timeout_ms: u64, now: Instant) {
        self.sessions.touch(session, timeout_ms, now);
    }

    /// Commits the oldest proposal if a quorum has it; then it is to be applied.
    pub fn next_committed(&mut self, turn: &mut Turn<'_>) -> Option<Arc<Record>> {
        if !self.serves() {
            return None;
        }
        let record = self.proposals.pop_committed()?;
        let zxid = record.zxid();
        turn.out.note(EventKind::TxnCommitted { zxid, digest: record.digest() });
        for (conn, _) in self.followers.iter().filter(|(_, follower)| follower.gets_proposals()) {
            turn.out.send(*conn, LeaderFrame::Commit { zxid });
        }
        while let Some(sync) = self.syncs.pop_front_if(|sync| sync.behind <= zxid) {
            turn.out.send(sync.conn, sync.frame);
        }
        Some(record)
    }

    /// A committed transaction has been applied to this server's tree.
    pub fn applied(&mut self, record: &Record) {
        self.preparer.committed(record.zxid());
        if matches!(record.txn().txn, Txn::CloseSession { .. }) {
            self.sessions.remove(record.txn().header.session);
        }
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
        if self.serves() { self.expire_sessions(turn) } else { Ok(()) }
    }

    /// When [`Leader::wake`] has something to do.
    pub fn next_wake(&self) -> Instant {
        let other = if self.serves() { self.sessions.next_expiry() } else { Some(self.deadline) };
        other.map_or(self.half_tick_at, |at| at.min(self.half_tick_at))
    }

    /// Stops leading.
    pub fn leave(self, out: &mut Output<Message>) {
        for conn in self.followers.into_keys() {
            out.close(conn);
        }
    }

    /// FOLLOWERINFO. A learner that comes again replaces its former connection.
    fn meet(&mut self, conn: ConnId, server: HostId, accepted_epoch: Epoch, turn: &mut Turn<'_>) {
        if server == turn.replica.me || !turn.replica.config.servers.contains(&server) {
            return self.cut_off(conn, turn.out);
        }
        let former = self.followers.iter().find(|(_, follower)| follower.host == Some(server));
        if let Some(former) = former.map(|(conn, _)| *conn) {
            self.cut_off(former, turn.out);
        }
        let follower = self.followers.get_mut(&conn).expect("it just spoke");
        follower.host = Some(server);
        if self.stage == Stage::Discovery {
            self.promised.insert(server, accepted_epoch);
        }
        follower.stage = FollowerStage::Met;
        if self.stage != Stage::Discovery {
            self.inform(conn, turn);
        }
    }

    /// LEADERINFO, once this server's own promise is on disk.
    fn inform(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        self.follower(conn).stage = FollowerStage::Informed;
        let frame = LeaderFrame::LeaderInfo { epoch: self.epoch };
        turn.replica.storage.send_when_accepted(conn, frame, turn.out);
    }

    /// ACKEPOCH. "A follower that is ahead (epoch, zxid) … not counted. Later joiners are not checked."
    fn epoch_accepted(
        &mut self,
        conn: ConnId,
        current_epoch: Option<Epoch>,
        log: LearnerLog,
        turn: &mut Turn<'_>,
    ) {
        let follower = self.follower(conn);
        follower.stage = FollowerStage::Accepted { log };
        let host = follower.host.expect("it has introduced itself");
        match current_epoch {
            _ if self.stage != Stage::EpochProposed => self.synchronize(conn, log, turn),
            Some(epoch) if (epoch, log.last) > self.own => self.cut_off(conn, turn.out),
            Some(_) => {
                self.acked.insert(host);
            }
            None => {}
        }
    }

    /// The acknowledgement of NEWLEADER.
    fn history_accepted(&mut self, conn: ConnId, host: HostId, turn: &mut Turn<'_>) {
        self.follower(conn).stage = FollowerStage::Synchronized;
        if self.serves() {
            self.admit(conn, turn.out);
        } else {
            self.acked.insert(host);
        }
    }

    fn admit(&mut self, conn: ConnId, out: &mut Output<Message>) {
        self.follower(conn).stage = FollowerStage::Following;
        out.send(conn, LeaderFrame::UpToDate);
    }

    /// What a follower says while it follows.
    fn serve(
        &mut self,
        conn: ConnId,
        host: HostId,
        frame: LearnerFrame,
        turn: &mut Turn<'_>,
    ) -> Result<(), GiveUp> {
        match frame {
            LearnerFrame::Ack { zxid } => {
                self.follower(conn).acked(zxid);
                self.proposals.ack(zxid, host);
            }
            LearnerFrame::Request(write) => self.submit(host, write, turn)?,
            LearnerFrame::Sync { session, xid } => {
                self.sync(conn, LeaderFrame::Synced { session, xid }, turn.out);
            }
            LearnerFrame::Revalidate { session, timeout_ms } => {
                let alive = self.claim(session, timeout_ms, host, turn.now.mono);
                turn.out.send(conn, LeaderFrame::Revalidated { session, alive });
            }
            LearnerFrame::FollowerInfo { .. }
            | LearnerFrame::AckEpoch { .. }
            | LearnerFrame::Pong { .. }
            | LearnerFrame::NewLeaderAck { .. } => self.cut_off(conn, turn.out),
        }
        Ok(())
    }

    /// A sync is answered behind the commit of all that was proposed before it.
    fn sync(&mut self, conn: ConnId, frame: LeaderFrame, out: &mut Output<Message>) {
        if self.proposals.is_empty() {
            out.send(conn, frame);
        } else {
            self.syncs.push_back(PendingSync { behind: self.proposals.last(), conn, frame });
        }
    }

    /// Goes to the next stage as soon as a quorum, this server included, has done its part.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        let quorum = turn.replica.config.quorum();
        let me = turn.replica.me;
        if self.stage == Stage::Discovery && self.promised.len() >= quorum {
            self.choose_epoch(turn);
        }
        let acked = |leader: &Self| leader.acked.contains(&me) && leader.acked.len() >= quorum;
        if self.stage == Stage::EpochProposed && acked(self) {
            self.enter_epoch(turn);
        }
        if self.stage == Stage::Synchronization && acked(self) {
            self.establish(turn);
        }
    }

    /// "leader: max(acceptedEpoch of a quorum incl. itself) + 1, written to acceptedEpoch file, LEADERINFO".
    fn choose_epoch(&mut self, turn: &mut Turn<'_>) {
        let newest = self.promised.values().max().expect("it has promised itself");
        self.epoch = newest.next();
        turn.replica.storage.accept_epoch(self.epoch, turn.out);
        turn.replica.storage.tell_when_accepted(turn.out);
        self.begin(Stage::EpochProposed, turn);
        for conn in self.conns(|follower| follower.stage == FollowerStage::Met) {
            self.inform(conn, turn);
        }
    }

    fn enter_epoch(&mut self, turn: &mut Turn<'_>) {
        turn.replica.storage.enter_epoch(self.epoch, turn.out);
        turn.replica.storage.tell_when_entered(turn.out);
        self.proposals = Proposals::new(turn.replica.config.servers.clone(), self.epoch);
        self.begin(Stage::Synchronization, turn);
        for conn in self.conns(|follower| matches!(follower.stage, FollowerStage::Accepted { .. })) {
            if let FollowerStage::Accepted { log } = self.follower(conn).stage {
                self.synchronize(conn, log, turn);
            }
        }
    }

    fn establish(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.mono;
        let replica = &*turn.replica;
        self.begin(Stage::Broadcast, turn);
        let history = replica.storage.history(HISTORY_LEN);
        turn.out.note(EventKind::LeaderEstablished { epoch: self.epoch, history });
        self.sessions = SessionTracker::new(replica.config.tick_ms, replica.tree.sessions(), now);
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

    /// Brings a learner level: the committed history, then what is proposed, then NEWLEADER. From here on
    /// it gets every proposal.
    fn synchronize(&mut self, conn: ConnId, log: LearnerLog, turn: &mut Turn<'_>) {
        let replica = &*turn.replica;
        let committed = replica.applied();
        let (first, after) = match sync::plan(&replica.storage, committed, log) {
            Plan::Diff { after } => (LeaderFrame::Diff, after),
            Plan::Trunc { to } => (LeaderFrame::Trunc { zxid: to }, to),
            Plan::Snap => {
                let bytes = write_snapshot(&replica.tree);
                (LeaderFrame::Snap { zxid: committed, bytes }, committed)
            }
        };
        turn.out.send(conn, first);
        for record in replica.storage.after(after).take_while(|record| record.zxid() <= committed) {
            turn.out.send(conn, LeaderFrame::Proposal(record.clone()));
            turn.out.send(conn, LeaderFrame::Commit { zxid: record.zxid() });
        }
        for record in self.proposals.outstanding() {
            turn.out.send(conn, LeaderFrame::Proposal(record.clone()));
        }
        turn.out.send(conn, LeaderFrame::NewLeader { epoch: self.epoch });
        self.follower(conn).stage = FollowerStage::Synchronizing;
    }

    fn propose(&mut self, record: Arc<Record>, turn: &mut Turn<'_>) {
        let (zxid, digest) = (record.zxid(), record.digest());
        turn.out.note(EventKind::TxnProposed { zxid, digest });
        self.proposals.add(record.clone());
        for (conn, follower) in self.followers.iter_mut().filter(|(_, follower)| follower.gets_proposals()) {
            follower.proposed(zxid, turn.now.mono);
            turn.out.send(*conn, LeaderFrame::Proposal(record.clone()));
        }
        turn.replica.storage.append(record, turn.out);
        if turn.replica.defects.has(Defect::ZabAckBeforeSync) {
            self.proposals.ack(zxid, turn.replica.me);
        } else {
            turn.replica.storage.tell_when_logged(turn.out);
        }
    }

    /// Pings followers, and cuts off those who have been silent or have owed an acknowledgement for too
    /// long.
    fn tend_followers(&mut self, turn: &mut Turn<'_>) {
        let (init_limit, sync_limit) = (turn.replica.init_limit(), turn.replica.sync_limit());
        let now = turn.now.mono;
        for conn in self.conns(|follower| follower.is_overdue(now, init_limit, sync_limit)) {
            self.cut_off(conn, turn.out);
        }
        for conn in self.conns(Follower::gets_proposals) {
            turn.out.send(conn, LeaderFrame::Ping);
        }
    }

    /// "leader gives up: checked once per tick: learners that are synced (+ itself) not a quorum".
    fn check_quorum(&self, turn: &Turn<'_>) -> Result<(), GiveUp> {
        let synced = 1 + self.followers.values().filter(|follower| follower.is_synced()).count();
        if self.serves() && synced < turn.replica.config.quorum() {
            return Err(GiveUp("not enough followers are synced"));
        }
        Ok(())
    }

    fn expire_sessions(&mut self, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        for session in self.sessions.expire(turn.now.mono) {
            turn.out.note(EventKind::SessionExpired { session });
            let close = Write { session, xid: 0, ask: Ask::Op(Op::CloseSession) };
            self.submit(turn.replica.me, close, turn)?;
        }
        Ok(())
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
