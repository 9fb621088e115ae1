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
#[derive(Debug, Clone)]
pub struct SessionTracker {
    tick: Duration,
    sessions: BTreeMap<SessionId, Tracked>,
    /// Who expires when; times are multiples of the tick.
    buckets: BTreeMap<Instant, BTreeSet<SessionId>>,
}

#[derive(Debug, Clone, Copy)]
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
        let tick = Duration::from_millis(tick_ms);
        let mut tracker = Self { tick, sessions: BTreeMap::new(), buckets: BTreeMap::new() };
        for (&session, &timeout_ms) in sessions {
            tracker.open(session, timeout_ms, now);
        }
        tracker
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
        let deadline = self.deadline(timeout_ms, now);
        let Some(Tracked { deadline: Some(current), .. }) = self.sessions.get_mut(&session) else {
            return false;
        };
        let before = std::mem::replace(current, deadline);
        self.leave_bucket(session, before);
        self.buckets.entry(deadline).or_default().insert(session);
        true
    }

    /// Rounds up to the next multiple of the tick, so that many sessions share one scan.
    fn deadline(&self, timeout_ms: u64, now: Instant) -> Instant {
        let tick = self.tick.as_nanos() as u64;
        let end = now + Duration::from_millis(timeout_ms);
        Instant((end.0 / tick + 1).saturating_mul(tick))
    }

    fn leave_bucket(&mut self, session: SessionId, deadline: Instant) {
        let Some(bucket) = self.buckets.get_mut(&deadline) else { return };
        bucket.remove(&session);
        if bucket.is_empty() {
            self.buckets.remove(&deadline);
        }
    }

    /// The answer to a server to which a client has come with this session: whether it lives. It belongs
    /// to that server from now on.
    pub fn claim(&mut self, session: SessionId, owner: HostId) -> bool {
        match self.sessions.get_mut(&session) {
            Some(tracked) if tracked.deadline.is_some() => {
                tracked.owner = Some(owner);
                true
            }
            _ => false,
        }
    }

    /// Whether `owner` may speak for the session. The first to speak for one without an owner gets it.
    ///
    /// # Errors
    ///
    /// SessionExpired if the session is unknown or closing, then SessionMoved if it belongs to another
    /// server.
    pub fn check(&mut self, session: SessionId, owner: HostId) -> Result<(), ZkError> {
        let live = self.sessions.get_mut(&session).filter(|tracked| tracked.deadline.is_some());
        let tracked = live.ok_or(ZkError::SessionExpired)?;
        if *tracked.owner.get_or_insert(owner) == owner { Ok(()) } else { Err(ZkError::SessionMoved) }
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

    /// When [`Self::expire`] next has something to do.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.buckets.first_key_value().map(|(deadline, _)| *deadline)
    }
}
