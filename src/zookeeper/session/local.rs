//! Local sessions — decides which sessions one server keeps to itself, and when they end. It never asks
//! another server.

use std::collections::{BTreeMap, BTreeSet};

use super::SessionTracker;
use crate::{core::Instant, name::SessionId};

/// The sessions that only this server knows: "no txn, no zxid, known only to their server"
/// (`LocalSessionTracker.java`, `UpgradeableSessionTracker.java`). They end with the role that the server
/// plays.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalSessionTracker {
    tracker: SessionTracker,
    /// Sessions whose createSession is on its way.
    upgrading: BTreeSet<SessionId>,
}

impl LocalSessionTracker {
    /// No sessions yet; deadlines are multiples of this tick.
    pub fn new(tick_ms: u64) -> Self {
        let tracker = SessionTracker::new(tick_ms, &BTreeMap::new(), Instant::default());
        Self { tracker, upgrading: BTreeSet::new() }
    }

    /// Opens a session.
    pub fn open(&mut self, session: SessionId, timeout_ms: u64, now: Instant) {
        self.tracker.open(session, timeout_ms, now);
    }

    /// A sign of life; false if the session is not one of these, or closing.
    pub fn touch(&mut self, session: SessionId, timeout_ms: u64, now: Instant) -> bool {
        self.tracker.touch(session, timeout_ms, now)
    }

    /// Whether the session is one of these, closing or not.
    pub fn tracks(&self, session: SessionId) -> bool {
        self.tracker.tracks(session)
    }

    /// Whether the session's createSession is on its way.
    pub fn is_upgrading(&self, session: SessionId) -> bool {
        self.upgrading.contains(&session)
    }

    /// From here on the session ends: it can neither be touched nor upgraded (ZOOKEEPER-3471).
    pub fn mark_closing(&mut self, session: SessionId) {
        self.tracker.mark_closing(session);
    }

    /// Forgets a session: it has ended, or the whole ensemble knows it.
    pub fn remove(&mut self, session: SessionId) {
        self.tracker.remove(session);
        self.upgrading.remove(&session);
    }

    /// The session is to become global: its createSession is sent. False if it is not one of these, or
    /// closing.
    pub fn upgrade(&mut self, session: SessionId) -> bool {
        let lives = self.tracker.lives(session);
        if lives {
            self.tracker.remove(session);
            self.upgrading.insert(session);
        }
        lives
    }

    /// Takes out all sessions whose deadline has come, in order of deadline, then id.
    pub fn expire(&mut self, now: Instant) -> Vec<SessionId> {
        let due = self.tracker.expire(now);
        for &session in &due {
            self.tracker.remove(session);
        }
        due
    }

    /// When [`Self::expire`] next has something to do.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.tracker.next_expiry()
    }

    /// Every session, in order.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.tracker.sessions()
    }

    /// Who expires when.
    pub fn expiries(&self) -> &BTreeMap<Instant, BTreeSet<SessionId>> {
        self.tracker.expiries()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OURS: SessionId = SessionId(7);

    fn at(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    fn with_session() -> LocalSessionTracker {
        let mut local = LocalSessionTracker::new(2_000);
        local.open(OURS, 4_000, at(0));
        local
    }

    #[test]
    fn session_expires_on_its_own_server_and_is_gone() {
        let mut local = with_session();
        assert_eq!(local.next_expiry(), Some(at(6_000)));
        assert_eq!(local.expire(at(6_000)), [OURS]);
        assert!(!local.tracks(OURS) && !local.touch(OURS, 4_000, at(6_000)));
    }

    /// "first ephemeral create upgrades (a createSession txn first)"
    #[test]
    fn upgraded_session_is_no_longer_local_and_upgraded_once() {
        let mut local = with_session();
        assert!(local.upgrade(OURS));
        assert!(local.is_upgrading(OURS) && !local.tracks(OURS));
        assert!(!local.upgrade(OURS));
        local.remove(OURS);
        assert_eq!(local, LocalSessionTracker::new(2_000));
    }

    /// ZOOKEEPER-3471: "Local session upgraded while its close is under way: ephemerals stay".
    #[test]
    fn closing_session_is_not_upgraded() {
        let mut local = with_session();
        local.mark_closing(OURS);
        assert!(!local.upgrade(OURS) && !local.is_upgrading(OURS));
        assert!(!local.touch(OURS, 4_000, at(0)));
        assert!(local.tracks(OURS), "until the close is answered");
    }
}
