//! Clock — decides what the servers of this process read when they ask for the time. It never runs backward.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real clients live in real time")]

use std::time::Duration;

use crate::core::{Instant, Now};

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: std::time::Instant,
    /// Nanoseconds from 1970 to the start: so that two runs of the program never show the same monotonic
    /// time, on which session ids are built.
    origin: u64,
}

impl Clock {
    /// Starts now.
    pub(super) fn start() -> Self {
        Self { start: std::time::Instant::now(), origin: since_1970().as_nanos() as u64 }
    }

    /// What the clocks show.
    pub(super) fn now(&self) -> Now {
        let mono = Instant(self.origin) + self.start.elapsed();
        Now { mono, wall_ms: since_1970().as_millis() as i64 }
    }
}

fn since_1970() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
