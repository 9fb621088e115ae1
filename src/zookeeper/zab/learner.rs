//! Learner — decides how a follower or an observer joins its leader, what it logs and when it says so. It
//! never counts a vote or an acknowledgement.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{GiveUp, Turn};
use crate::{
    core::{Address, ConnId, Instant, Output, Port},
    defect::Defect,
    event::{EventKind, SyncMode},
    name::{Epoch, HostId, SessionId, Zxid},
    zookeeper::{
        log::{Record, read_snapshot},
        membership::{Member, Membership, Role},
        peer::{LeaderFrame, LearnerFrame, Message},
        tree::Database,
    },
};

/// How often a learner dials its leader.
const DIALS_MAX: u32 = 5;
/// How long it waits in between (`leaderConnectDelayDuringRetryMs`).
const REDIAL_DELAY: Duration = Duration::from_millis(100);

/// How far a follower has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    /// Until LEADERINFO.
    Joining,
    /// ACKEPOCH is on its way.
    Accepted,
    /// The leader's history comes in.
    Synchronizing { mode: SyncMode },
    /// NEWLEADER is acknowledged; UPTODATE is to come.
    Waiting { mode: SyncMode },
    /// Serving.
    Following,
}

/// The role of a follower or an observer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Learner {
    leader: HostId,
    /// As what it has joined.
    role: Role,
    conn: Option<ConnId>,
    dials: u32,
    redial_at: Option<Instant>,
    stage: Stage,
    /// When the leader's silence has lasted too long.
    deadline: Instant,
    /// Proposals that are not applied, oldest first.
    pending: VecDeque<Arc<Record>>,
    /// How many of them, from the front, are committed.
    committed: usize,
    /// How many of them, from the front, are in the log.
    logged: usize,
    /// Sessions heard of since the last ping.
    touched: BTreeMap<SessionId, u64>,
    /// The configuration that came with NEWLEADER.
    configuration: Option<Membership>,
    /// Whether a reconfiguration wants this server in another role or under another leader.
    leaves: bool,
}

impl Learner {
    /// Starts to follow a leader.
    pub fn follow(leader: HostId, turn: &mut Turn<'_>) -> Self {
        let mut learner = Self {
            leader,
            role: turn.replica.role(),
            conn: None,
            dials: 0,
            redial_at: None,
            stage: Stage::Joining,
            deadline: turn.now.mono + turn.replica.init_limit(),
            pending: VecDeque::new(),
            committed: 0,
            logged: 0,
            touched: BTreeMap::new(),
            configuration: None,
            leaves: false,
        };
        learner.dial(turn.out);
        learner
    }

    /// Whether this connection is the one to the leader.
    pub fn owns(&self, conn: ConnId) -> bool {
        self.conn == Some(conn)
    }

    /// Whether clients may be served.
    pub fn serves(&self) -> bool {
        self.stage == Stage::Following
    }

    /// Says something to the leader.
    pub fn tell_leader(&self, frame: LearnerFrame, out: &mut Output<Message>) {
        if let Some(conn) = self.conn {
            out.send(conn, frame);
        }
    }

    /// A client of this session has been heard of.
    pub fn touch(&mut self, session: SessionId, timeout_ms: u64) {
        self.touched.insert(session, timeout_ms);
    }

    /// The dial succeeded.
    pub fn connected(&mut self, turn: &mut Turn<'_>) {
        let introduction = LearnerFrame::FollowerInfo {
            server: turn.replica.me,
            role: self.role,
            accepted_epoch: turn.replica.storage.accepted_epoch(),
            configuration: turn.replica.views.committed().version(),
        };
        self.tell_leader(introduction, turn.out);
    }

    /// The connection ended. A leader that does not listen yet is dialled again.
    ///
    /// # Errors
    ///
    /// If it was more than a dial, or one too many.
    pub fn closed(&mut self, now: Instant) -> Result<(), GiveUp> {
        self.conn = None;
        if self.stage != Stage::Joining {
            return Err(GiveUp("the connection to the leader is gone"));
        }
        if self.dials >= DIALS_MAX {
            return Err(GiveUp("the leader cannot be reached"));
        }
        self.redial_at = Some(now + REDIAL_DELAY);
        Ok(())
    }

    /// Takes what the leader says about the log.
    ///
    /// # Errors
    ///
    /// On anything that does not fit.
    pub fn receive(&mut self, frame: LeaderFrame, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        self.heard(turn);
        match (frame, self.stage) {
            (LeaderFrame::LeaderInfo { epoch }, Stage::Joining) => self.accept_epoch(epoch, turn),
            (LeaderFrame::Diff, Stage::Accepted) => self.begin_sync(SyncMode::Diff),
            (LeaderFrame::Trunc { zxid }, Stage::Accepted) => self.cut(zxid, turn),
            (LeaderFrame::Snap { zxid, bytes }, Stage::Accepted) => self.install(zxid, bytes, turn),
            (LeaderFrame::Proposal(record), _) if self.synchronizes() => self.take(record, turn),
            (LeaderFrame::Commit { zxid }, _) if self.synchronizes() => self.commit(zxid),
            (LeaderFrame::CommitAndActivate { zxid, leader }, _) if self.synchronizes() => {
                self.commit_and_activate(zxid, leader, turn)
            }
            (LeaderFrame::Inform(record), _) if self.synchronizes() => self.learn(record, turn),
            (LeaderFrame::InformAndActivate { record, leader }, _) if self.synchronizes() => {
                let zxid = record.zxid();
                self.learn(record, turn)?;
                self.activate(zxid, leader, turn)
            }
            (LeaderFrame::NewLeader { epoch, configuration }, Stage::Synchronizing { mode }) => {
                turn.replica.see_configuration(configuration.clone(), turn.out);
                self.configuration = Some(configuration);
                self.enter_epoch(epoch, mode, turn)
            }
            (LeaderFrame::UpToDate, Stage::Waiting { mode }) => self.start_following(mode, turn),
            (LeaderFrame::Ping, _) => {
                let touched = std::mem::take(&mut self.touched).into_iter().collect();
                self.tell_leader(LearnerFrame::Pong { touched }, turn.out);
                Ok(())
            }
            _ => Err(GiveUp("the leader said something unexpected")),
        }
    }

    /// The next transaction to apply, if there is one that is committed for sure.
    pub fn next_committed(&mut self) -> Option<Arc<Record>> {
        if self.committed == 0 || !self.serves() {
            return None;
        }
        self.committed -= 1;
        self.logged -= 1;
        self.pending.pop_front()
    }

    /// Whether it has to go, once what is committed is applied.
    pub fn leaves(&self) -> bool {
        self.leaves
    }

    /// The leader is alive.
    pub fn heard(&mut self, turn: &Turn<'_>) {
        let limit = match self.stage {
            Stage::Joining | Stage::Accepted | Stage::Synchronizing { .. } => turn.replica.init_limit(),
            Stage::Waiting { .. } | Stage::Following => turn.replica.sync_limit(),
        };
        self.deadline = turn.now.mono + limit;
    }

    /// Carries out what is due.
    ///
    /// # Errors
    ///
    /// If the leader has been silent for too long.
    pub fn wake(&mut self, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        if turn.now.mono >= self.deadline {
            return Err(GiveUp("the leader is silent"));
        }
        if self.redial_at.is_some_and(|at| turn.now.mono >= at) {
            self.redial_at = None;
            self.dial(turn.out);
        }
        Ok(())
    }

    /// When [`Learner::wake`] has something to do.
    pub fn next_wake(&self) -> Instant {
        self.redial_at.map_or(self.deadline, |at| at.min(self.deadline))
    }

    /// Stops following.
    pub fn leave(self, out: &mut Output<Message>) {
        if let Some(conn) = self.conn {
            out.close(conn);
        }
    }

    fn dial(&mut self, out: &mut Output<Message>) {
        self.dials += 1;
        self.conn = Some(out.dial(Address { host: self.leader, port: Port::ZkQuorum }));
    }

    fn synchronizes(&self) -> bool {
        !matches!(self.stage, Stage::Joining | Stage::Accepted)
    }

    /// "new > acceptedEpoch: persist, answer currentEpoch; equal: answer -1 (must not count as a second
    /// promise); smaller: give up."
    fn accept_epoch(&mut self, epoch: Epoch, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let storage = &mut turn.replica.storage;
        let fresh = epoch > storage.accepted_epoch();
        if epoch < storage.accepted_epoch() {
            return Err(GiveUp("the leader's epoch is older than the accepted one"));
        }
        if fresh {
            storage.accept_epoch(epoch, turn.out);
        }
        let answer = LearnerFrame::AckEpoch {
            current_epoch: fresh.then_some(storage.current_epoch()),
            last_zxid: storage.last_zxid(),
            cut_floor: storage.cut_floor(),
        };
        let conn = self.conn.expect("the leader spoke on it");
        storage.send_when_accepted(conn, answer, turn.out);
        self.stage = Stage::Accepted;
        Ok(())
    }

    fn begin_sync(&mut self, mode: SyncMode) -> Result<(), GiveUp> {
        self.stage = Stage::Synchronizing { mode };
        Ok(())
    }

    /// A log that has never had the transaction it is cut after is not yet what the leader takes it for:
    /// then the next attempt tells the leader what is left.
    fn cut(&mut self, zxid: Zxid, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let replica = &mut *turn.replica;
        if zxid < replica.storage.cut_floor() {
            return Err(GiveUp("the log cannot be cut that far back"));
        }
        replica.tree = replica.storage.cut(zxid, turn.out);
        replica.show_configuration();
        let kept = replica.storage.last_zxid();
        let (sessions, ephemerals) = replica.living();
        turn.out.note(EventKind::LogTruncated { zxid: kept, sessions, ephemerals });
        if kept != zxid {
            return Err(GiveUp("the log lacks the transaction to cut after"));
        }
        self.begin_sync(SyncMode::Trunc)
    }

    fn install(&mut self, zxid: Zxid, bytes: Arc<[u8]>, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let fits = |tree: &Database| tree.last_processed() == zxid && fits_epoch(zxid, turn);
        let tree = read_snapshot(&bytes).filter(fits);
        let replica = &mut *turn.replica;
        replica.tree = tree.ok_or(GiveUp("the leader's snapshot is damaged"))?;
        replica.storage.install(zxid, bytes, turn.out);
        replica.show_configuration();
        let (sessions, ephemerals) = replica.living();
        turn.out.note(EventKind::SnapshotInstalled { zxid, sessions, ephemerals });
        self.begin_sync(SyncMode::Snap)
    }

    fn take(&mut self, record: Arc<Record>, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let last = self.pending.back().map_or(turn.replica.storage.last_zxid(), |record| record.zxid());
        if record.zxid() <= last || !fits_epoch(record.zxid(), turn) {
            return Err(GiveUp("a proposal came out of order"));
        }
        if let Some(proposed) = Membership::proposed_by(record.txn()) {
            turn.replica.see_configuration(proposed, turn.out);
        }
        self.pending.push_back(record);
        if self.serves() {
            self.log_up_to(self.pending.len(), turn);
        }
        Ok(())
    }

    /// "follower on COMMIT: must match the head of its pending list".
    fn commit(&mut self, zxid: Zxid) -> Result<(), GiveUp> {
        if self.pending.get(self.committed).is_none_or(|record| record.zxid() != zxid) {
            return Err(GiveUp("a commit does not match the oldest proposal"));
        }
        self.committed += 1;
        Ok(())
    }

    /// INFORM: proposed and committed in one.
    fn learn(&mut self, record: Arc<Record>, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let zxid = record.zxid();
        self.take(record, turn)?;
        self.commit(zxid)
    }

    fn commit_and_activate(&mut self, zxid: Zxid, leader: HostId, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        self.commit(zxid)?;
        self.activate(zxid, leader, turn)
    }

    /// A reconfiguration is committed. A server that gets another role or another leader goes there at once,
    /// with no election in between (`QuorumPeer.processReconfig`).
    fn activate(&mut self, zxid: Zxid, leader: HostId, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let nth = self.committed.checked_sub(1).expect("the reconfiguration was just committed");
        let record = &self.pending[nth];
        let proposed = Membership::proposed_by(record.txn()).filter(|_| record.zxid() == zxid);
        let committed = proposed.ok_or(GiveUp("what is to be activated is no configuration"))?;
        if turn.replica.activate_configuration(committed, turn.out).is_none() {
            return Ok(());
        }
        if leader == self.leader && turn.replica.role() == self.role {
            return Ok(());
        }
        turn.replica.appointed = Some(leader);
        self.leaves = true;
        if self.serves() { Ok(()) } else { Err(LEAVES) }
    }

    /// The configuration that came with NEWLEADER is committed with UPTODATE. It names no leader: who has to
    /// go looks for one.
    fn adopt_configuration(&mut self, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let Some(configuration) = self.configuration.take() else { return Ok(()) };
        let Some(before) = turn.replica.activate_configuration(configuration, turn.out) else {
            return Ok(());
        };
        let after = turn.replica.views.committed();
        let votes = |member: &&Member| member.role == Role::Participant;
        let led = before.member(self.leader).filter(votes).zip(after.member(self.leader).filter(votes));
        let leads_on =
            led.is_some_and(|(before, after)| before.addresses.same_quorum_address(&after.addresses));
        let stays = before.lists_the_same(after) || (leads_on && turn.replica.role() == self.role);
        if stays { Ok(()) } else { Err(LEAVES) }
    }

    /// NEWLEADER: the leader's history is logged, then currentEpoch is written, then it is acknowledged.
    /// Proposals of the new epoch wait for UPTODATE.
    fn enter_epoch(&mut self, epoch: Epoch, mode: SyncMode, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        if epoch != turn.replica.storage.accepted_epoch() {
            return Err(GiveUp("the leader's epoch is not the accepted one"));
        }
        let storage = &mut turn.replica.storage;
        for record in self.pending.range(..self.committed) {
            storage.append(record.clone(), turn.out);
        }
        self.logged = self.committed;
        storage.enter_epoch(epoch, turn.out);
        let conn = self.conn.expect("the leader spoke on it");
        storage.send_when_entered(conn, LearnerFrame::NewLeaderAck { epoch }, turn.out);
        self.stage = Stage::Waiting { mode };
        self.heard(turn);
        Ok(())
    }

    fn start_following(&mut self, mode: SyncMode, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        self.adopt_configuration(turn)?;
        self.stage = Stage::Following;
        self.log_up_to(self.pending.len(), turn);
        turn.out.note(EventKind::FollowerSynced {
            leader: self.leader,
            epoch: turn.replica.storage.current_epoch(),
            mode,
            zxid: turn.replica.storage.last_zxid(),
        });
        Ok(())
    }

    /// Logs proposals, and acknowledges each when it is on disk. What an observer logs is committed, and
    /// nobody waits for it.
    fn log_up_to(&mut self, count: usize, turn: &mut Turn<'_>) {
        let conn = self.conn.expect("a follower has a leader");
        let eager = turn.replica.defects.has(Defect::ZabAckBeforeSync);
        for record in self.pending.range(self.logged..count) {
            let zxid = record.zxid();
            let (ack, acked) = (LearnerFrame::Ack { zxid }, EventKind::TxnAcked { zxid });
            turn.replica.storage.append(record.clone(), turn.out);
            if self.role == Role::Observer {
                continue;
            }
            if eager {
                turn.out.note(acked);
                turn.out.send(conn, ack);
            } else {
                turn.replica.storage.note_when_logged(acked, turn.out);
                turn.replica.storage.send_when_logged(conn, ack, turn.out);
            }
        }
        self.logged = count;
    }
}

/// Why a server goes that a reconfiguration has moved.
const LEAVES: GiveUp = GiveUp("a reconfiguration has changed the role or the leader");

/// No transaction has an epoch after that of the leader who sends it.
fn fits_epoch(zxid: Zxid, turn: &Turn<'_>) -> bool {
    zxid.epoch() <= turn.replica.storage.accepted_epoch()
}
