//! Silence — decides when a connection has said nothing for too long. It never ends a session: that is for
//! the leader.
//!
//! `NIOServerCnxnFactory.java`, `ExpiryQueue.java`: a connection ends when nothing has come for its session's
//! timeout; before it has a session, for [`SESSIONLESS`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::core::{ConnId, Instant};

/// How long a connection without a session may be silent (`zookeeper.nio.sessionlessCnxnTimeout`); all
/// deadlines are rounded up to a multiple of it.
pub(super) const SESSIONLESS: Duration = Duration::from_millis(10_000);

/// Who is closed when if nothing comes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Silence {
    deadlines: BTreeMap<ConnId, Instant>,
    /// The same the other way round; no empty sets.
    buckets: BTreeMap<Instant, BTreeSet<ConnId>>,
}

impl Silence {
    /// Something has come.
    pub(super) fn broken(&mut self, conn: ConnId, timeout: Duration, now: Instant) {
        let deadline = round_up(now + timeout);
        let before = self.deadlines.insert(conn, deadline);
        if before != Some(deadline) {
            self.leave_bucket(conn, before);
            self.buckets.entry(deadline).or_default().insert(conn);
        }
    }

    /// The connection is gone.
    pub(super) fn forget(&mut self, conn: ConnId) {
        let before = self.deadlines.remove(&conn);
        self.leave_bucket(conn, before);
    }

    /// Whoever has been silent for too long, in order of deadline, then id.
    pub(super) fn too_long(&self, now: Instant) -> Vec<ConnId> {
        self.buckets.range(..=now).flat_map(|(_, bucket)| bucket).copied().collect()
    }

    /// When [`Self::too_long`] next finds somebody.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.buckets.first_key_value().map(|(deadline, _)| *deadline)
    }

    fn leave_bucket(&mut self, conn: ConnId, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        let Some(bucket) = self.buckets.get_mut(&deadline) else { return };
        bucket.remove(&conn);
        if bucket.is_empty() {
            self.buckets.remove(&deadline);
        }
    }
}

fn round_up(end: Instant) -> Instant {
    let interval = SESSIONLESS.as_nanos() as u64;
    Instant((end.0 / interval + 1).saturating_mul(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId(1);

    fn at(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    #[test]
    fn deadline_is_rounded_up_and_moves_with_every_packet() {
        let mut silence = Silence::default();
        silence.broken(CONN, SESSIONLESS, at(0));
        assert_eq!(silence.next_wake(), Some(at(20_000)));
        silence.broken(CONN, Duration::from_millis(4_000), at(1_000));
        assert_eq!(silence.next_wake(), Some(at(10_000)));
        assert_eq!(silence.too_long(at(9_999)), []);
        assert_eq!(silence.too_long(at(10_000)), [CONN]);
        silence.broken(CONN, Duration::from_millis(4_000), at(9_000));
        assert_eq!(silence.too_long(at(10_000)), []);
        silence.forget(CONN);
        assert_eq!(silence, Silence::default());
    }
}
