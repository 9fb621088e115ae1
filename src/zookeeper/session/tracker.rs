//! Tracker — decides on the leader which sessions live, which server each is on, and when nobody has heard
//! of one for too long. It never closes a session: that takes a transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    core::Instant,
    name::{HostId, SessionId},
    zookeeper::wire::ZkError,
};

/// The sessions of the ensemble as its leader sees them (`SessionTrackerImpl.java`, `ExpiryQueue.java`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionTracker {
    tick: Duration,
    sessions: BTreeMap<SessionId, Tracked>,
    /// Who expires when; times are multiples of the tick.
    buckets: BTreeMap<Instant, BTreeSet<SessionId>>,
    /// The server that tracks, if sessions can be local to one server.
    local_to: Option<HostId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Tracked {
    /// None while closing.
    deadline: Option<Instant>,
    /// The server whose client it is; none until it is first heard of.
    owner: Option<HostId>,
}

impl SessionTracker {
    /// A new leader's tracker: every session of its database gets a fresh deadline, and belongs to the
    /// server that first speaks for it.
    pub fn new(tick_ms: u64, sessions: &BTreeMap<SessionId, u64>, now: Instant) -> Self {
        assert!(tick_ms > 0, "deadlines are multiples of a tick that takes time");
        let tick = Duration::from_millis(tick_ms);
        let mut tracker = Self { tick, sessions: BTreeMap::new(), buckets: BTreeMap::new(), local_to: None };
        for (&session, &timeout_ms) in sessions {
            tracker.open(session, timeout_ms, now);
        }
        tracker
    }

    /// The same in an ensemble with local sessions, on the server `me`: a session it does not know may be one
    /// that another server keeps to itself.
    pub fn with_local_sessions(self, me: HostId) -> Self {
        Self { local_to: Some(me), ..self }
    }

    /// Tracks a session from the preparation of its createSession on. One that is tracked already is only
    /// touched.
    pub fn open(&mut self, session: SessionId, timeout_ms: u64, now: Instant) {
        let fresh = Tracked { deadline: Some(Instant::default()), owner: None };
        self.sessions.entry(session).or_insert(fresh);
        self.touch(session, timeout_ms, now);
    }

    /// A sign of life: the deadline moves. False if the session is unknown or closing.
    pub fn touch(&mut self, session: SessionId, timeout_ms: u64, now: Instant) -> bool {
        let Some(Tracked { deadline: Some(current), .. }) = self.sessions.get_mut(&session) else {
            return false;
        };
        let deadline = round_up(self.tick, timeout_ms, now);
        let before = std::mem::replace(current, deadline);
        if before == deadline {
            return true;
        }
        self.leave_bucket(session, before);
        self.buckets.entry(deadline).or_default().insert(session);
        true
    }

    fn leave_bucket(&mut self, session: SessionId, deadline: Instant) {
        let Some(bucket) = self.buckets.get_mut(&deadline) else { return };
        bucket.remove(&session);
        if bucket.is_empty() {
            self.buckets.remove(&deadline);
        }
    }

    /// The answer to a server to which a client has come with this session: whether it lives. If so it
    /// belongs to that server from now on, and is touched with the timeout negotiated there
    /// (`Leader.java`, `revalidateSession`).
    pub fn claim(&mut self, session: SessionId, timeout_ms: u64, owner: HostId, now: Instant) -> bool {
        let lives = self.touch(session, timeout_ms, now);
        if let Some(tracked) = self.sessions.get_mut(&session).filter(|_| lives) {
            tracked.owner = Some(owner);
        }
        lives
    }

    /// Whether `owner` may speak for the session. With local sessions an unknown one is taken to be local
    /// to its server, which the top byte of its id names, unless that is this server and it does not ask
    /// itself (`LeaderSessionTracker.checkSession`).
    ///
    /// # Errors
    ///
    /// As [`Self::check_global`].
    pub fn check(&mut self, session: SessionId, owner: HostId) -> Result<(), ZkError> {
        let local = |me: HostId| owner == me || session.0 >> 56 != u64::from(me.number as u8);
        if !self.sessions.contains_key(&session) && self.local_to.is_some_and(local) {
            return Ok(());
        }
        self.check_global(session, owner)
    }

    /// Whether `owner` may speak for the session, and the whole ensemble knows it: only so it may own
    /// ephemeral nodes. The first to speak for one without an owner gets it.
    ///
    /// # Errors
    ///
    /// SessionExpired if the session is unknown or closing, then SessionMoved if it belongs to another
    /// server.
    pub fn check_global(&mut self, session: SessionId, owner: HostId) -> Result<(), ZkError> {
        let live = self.sessions.get_mut(&session).filter(|tracked| tracked.deadline.is_some());
        let tracked = live.ok_or(ZkError::SessionExpired)?;
        if *tracked.owner.get_or_insert(owner) == owner { Ok(()) } else { Err(ZkError::SessionMoved) }
    }

    /// Whether this is a session of the leader's own client that the ensemble does not know.
    pub fn is_local_to_leader(&self, session: SessionId, owner: HostId) -> bool {
        self.local_to == Some(owner) && !self.sessions.contains_key(&session)
    }

    /// From here on the session's writes are refused, so that none of its ephemeral nodes can follow its
    /// closeSession (ZOOKEEPER-1208).
    pub fn mark_closing(&mut self, session: SessionId) {
        let Some(tracked) = self.sessions.get_mut(&session) else { return };
        if let Some(deadline) = tracked.deadline.take() {
            self.leave_bucket(session, deadline);
        }
    }

    /// Forgets a session whose closeSession has been applied.
    pub fn remove(&mut self, session: SessionId) {
        self.mark_closing(session);
        self.sessions.remove(&session);
    }

    /// Marks all sessions as closing whose deadline has come, and returns them, in order of deadline, then
    /// id. For each the leader has to submit a closeSession.
    pub fn expire(&mut self, now: Instant) -> Vec<SessionId> {
        let due: Vec<_> = self.buckets.range(..=now).flat_map(|(_, bucket)| bucket).copied().collect();
        for &session in &due {
            self.mark_closing(session);
        }
        due
    }

    /// Whether the session is known, closing or not.
    pub fn tracks(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Whether the session is known and not closing.
    pub fn lives(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|tracked| tracked.deadline.is_some())
    }

    /// Every session known, in order.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    /// Who expires when.
    pub fn expiries(&self) -> &BTreeMap<Instant, BTreeSet<SessionId>> {
        &self.buckets
    }

    /// When [`Self::expire`] next has something to do.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.buckets.first_key_value().map(|(deadline, _)| *deadline)
    }
}

/// When a session ends that is not heard of again: the next multiple of the tick, so that many sessions share
/// one scan.
fn round_up(tick: Duration, timeout_ms: u64, now: Instant) -> Instant {
    let tick = tick.as_nanos() as u64;
    let end = now + Duration::from_millis(timeout_ms);
    Instant((end.0 / tick + 1).saturating_mul(tick))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_MS: u64 = 2_000;
    const OURS: SessionId = SessionId(1);
    const OTHER: SessionId = SessionId(2);
    const ZK_1: HostId = HostId::zookeeper(1);
    const ZK_2: HostId = HostId::zookeeper(2);

    fn at(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    fn tracker() -> SessionTracker {
        SessionTracker::new(TICK_MS, &BTreeMap::new(), at(0))
    }

    fn with_session(now_ms: u64, timeout_ms: u64) -> SessionTracker {
        let mut tracker = tracker();
        tracker.open(OURS, timeout_ms, at(now_ms));
        tracker
    }

    /// "deadline = (floor((now+timeout)/tick)+1)*tick on the leader's monotonic clock"
    #[test]
    fn deadline_is_the_next_multiple_of_the_tick() {
        for (now, timeout, deadline) in [
            (0, 4_000, 6_000),
            (1, 4_000, 6_000),
            (1_999, 4_000, 6_000),
            (2_000, 4_000, 8_000),
            (500, 5_000, 6_000),
        ] {
            assert_eq!(with_session(now, timeout).next_expiry(), Some(at(deadline)), "{now} {timeout}");
        }
    }

    #[test]
    fn session_expires_at_its_deadline_and_once() {
        let mut tracker = with_session(0, 4_000);
        assert_eq!(tracker.expire(Instant(at(6_000).0 - 1)), []);
        assert_eq!(tracker.expire(at(6_000)), [OURS]);
        assert_eq!(tracker.expire(at(60_000)), []);
        assert_eq!(tracker.next_expiry(), None);
    }

    #[test]
    fn sessions_of_many_buckets_expire_in_order_of_deadline() {
        let mut tracker = with_session(0, 8_000);
        tracker.open(SessionId(9), 4_000, at(0));
        tracker.open(OTHER, 4_000, at(0));
        assert_eq!(tracker.expire(at(20_000)), [OTHER, SessionId(9), OURS]);
    }

    #[test]
    fn touch_moves_the_deadline_also_forward_in_time() {
        let mut tracker = with_session(0, 20_000);
        assert!(tracker.touch(OURS, 20_000, at(5_000)));
        assert_eq!(tracker.next_expiry(), Some(at(26_000)));
        assert!(tracker.touch(OURS, 4_000, at(5_000)), "a reconnect may have shortened the timeout");
        assert_eq!(tracker.next_expiry(), Some(at(10_000)));
    }

    #[test]
    fn closing_session_cannot_be_touched_claimed_or_used() {
        let mut tracker = with_session(0, 4_000);
        tracker.mark_closing(OURS);
        assert!(!tracker.touch(OURS, 4_000, at(1)));
        assert!(!tracker.claim(OURS, 4_000, ZK_1, at(1)));
        assert_eq!(tracker.check(OURS, ZK_1), Err(ZkError::SessionExpired));
        assert_eq!(tracker.next_expiry(), None);
        tracker.open(OURS, 4_000, at(1));
        assert_eq!(tracker.check(OURS, ZK_1), Err(ZkError::SessionExpired), "closing is for good");
    }

    #[test]
    fn unknown_or_removed_session_is_expired() {
        let mut tracker = with_session(0, 4_000);
        assert_eq!(tracker.check(OTHER, ZK_1), Err(ZkError::SessionExpired));
        assert!(!tracker.touch(OTHER, 4_000, at(0)));
        tracker.remove(OURS);
        assert_eq!(tracker.check(OURS, ZK_1), Err(ZkError::SessionExpired));
        assert_eq!(tracker.next_expiry(), None);
    }

    /// "leader notes the new owner … a write is refused by the leader with SessionMoved"
    #[test]
    fn session_claimed_by_another_server_has_moved() {
        let mut tracker = with_session(0, 4_000);
        assert_eq!(tracker.check(OURS, ZK_1), Ok(()));
        assert!(tracker.claim(OURS, 4_000, ZK_2, at(0)));
        assert_eq!(tracker.check(OURS, ZK_1), Err(ZkError::SessionMoved));
        assert_eq!(tracker.check(OURS, ZK_2), Ok(()));
    }

    #[test]
    fn claim_touches_with_the_timeout_negotiated_anew() {
        let mut tracker = with_session(0, 4_000);
        assert!(tracker.claim(OURS, 10_000, ZK_1, at(3_000)));
        assert_eq!(tracker.next_expiry(), Some(at(14_000)));
    }

    /// "the new leader starts all deadlines afresh from the session table of its database"
    #[test]
    fn new_leader_starts_deadlines_afresh_and_knows_no_owner() {
        let table = BTreeMap::from([(OURS, 4_000), (OTHER, 10_000)]);
        let mut tracker = SessionTracker::new(TICK_MS, &table, at(100_000));
        assert_eq!(tracker.check(OURS, ZK_2), Ok(()));
        assert_eq!(tracker.check(OURS, ZK_1), Err(ZkError::SessionMoved));
        assert_eq!(tracker.expire(at(106_000)), [OURS]);
        assert_eq!(tracker.expire(at(112_000)), [OTHER]);
    }

    /// The recordings `local_session_ephemeral` and `local_session_no_move` of a 3.8.0 ensemble: a local
    /// session writes through the leader, which does not know it, and can own nothing.
    #[test]
    fn unknown_session_may_write_as_the_local_one_of_another_server_and_own_nothing() {
        let of = |server: u64| SessionId(server << 56 | 7);
        let mut tracker = tracker().with_local_sessions(ZK_1);
        assert_eq!(tracker.check(of(2), ZK_2), Ok(()));
        assert_eq!(tracker.check(of(1), ZK_1), Ok(()));
        assert_eq!(tracker.check(of(1), ZK_2), Err(ZkError::SessionExpired), "ours cannot move");
        assert_eq!(tracker.check_global(of(2), ZK_2), Err(ZkError::SessionExpired));
        tracker.open(of(2), 4_000, at(0));
        assert!(tracker.claim(of(2), 4_000, ZK_2, at(0)));
        assert_eq!(tracker.check_global(of(2), ZK_2), Ok(()), "once upgraded");
        assert_eq!(tracker.check(of(2), ZK_1), Err(ZkError::SessionMoved));
        tracker.mark_closing(of(2));
        assert_eq!(tracker.check(of(2), ZK_2), Err(ZkError::SessionExpired));
    }
}
