//! Read-only mode — decides whether a server without a quorum answers reads. It never lets a write pass
//! (`ReadOnlyZooKeeperServer.java`, `QuorumPeer.java`).

use std::time::Duration;

use crate::{
    core::Instant,
    zookeeper::wire::{EnsembleConfig, Op},
};

/// How long a server looks for a leader at least before it serves alone: a server that restarts should not
/// fall into this mode and out of it again.
const GRACE_MIN: Duration = Duration::from_millis(2_000);

/// Whether a server serves without a quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum ReadOnly {
    /// It does not: it plays a role, or the mode is not enabled.
    #[default]
    Off,
    /// From then on, if it finds no leader before.
    Due(Instant),
    /// It does.
    Serving,
}

impl ReadOnly {
    /// The server begins to look for a leader.
    pub(super) fn look(config: &EnsembleConfig, now: Instant) -> Self {
        let grace = GRACE_MIN.max(Duration::from_millis(config.tick_ms));
        if config.read_only { Self::Due(now + grace) } else { Self::Off }
    }

    /// Carries out what is due.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.next_wake().is_some_and(|at| now >= at) {
            *self = Self::Serving;
        }
    }

    /// When [`Self::wake`] has something to do.
    pub(super) fn next_wake(self) -> Option<Instant> {
        if let Self::Due(at) = self { Some(at) } else { None }
    }

    pub(super) fn serves(self) -> bool {
        self == Self::Serving
    }
}

/// Whether an operation is refused: "write, sync, multi, setACL: NotReadOnly" (`ReadOnlyRequestProcessor`).
/// The end of a session is not: without a quorum all sessions are this server's own.
pub(super) fn is_refused(op: &Op) -> bool {
    match op {
        Op::CloseSession => false,
        Op::Sync { .. } => true,
        op => op.is_write(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looking(read_only: bool, tick_ms: u64) -> ReadOnly {
        let config = EnsembleConfig { read_only, tick_ms, ..EnsembleConfig::default() };
        ReadOnly::look(&config, Instant::default())
    }

    /// "a server LOOKING longer than max(2000 ms, tick) serves reads"
    #[test]
    fn grace_is_two_seconds_or_a_tick() {
        let at = |ms| Instant::default() + Duration::from_millis(ms);
        for (tick_ms, grace_ms) in [(200, 2_000), (3_000, 3_000)] {
            let mut mode = looking(true, tick_ms);
            mode.wake(at(grace_ms - 1));
            assert!(!mode.serves() && mode.next_wake() == Some(at(grace_ms)));
            mode.wake(at(grace_ms));
            assert!(mode.serves() && mode.next_wake().is_none());
        }
    }

    #[test]
    fn mode_that_is_not_enabled_never_comes() {
        let mut mode = looking(false, 200);
        mode.wake(Instant(u64::MAX));
        assert!(!mode.serves() && mode.next_wake().is_none());
    }
}
