//! Tally — decides how requests and answers are counted for whoever asks how a server does. It never has a
//! say in what the server does: two servers that differ in tallies alone are the same.

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use crate::{core::Instant, name::Zxid};

/// A value that is told, and is no part of a state that is compared or hashed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Aside<T>(pub(super) T);

impl<T> PartialEq for Aside<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Aside<T> {}

impl<T> Hash for Aside<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// How long answers took (`ServerStats.java`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// How many answers.
    pub count: u64,
    /// The time that all of them took.
    pub total: Duration,
    /// The shortest; zero before the first.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
    /// That of the last answer.
    pub last: Duration,
}

impl Latency {
    /// The mean; zero before the first answer.
    pub fn avg(&self) -> Duration {
        self.total.checked_div(u32::try_from(self.count).unwrap_or(u32::MAX)).unwrap_or_default()
    }

    fn add(&mut self, took: Duration) {
        self.min = if self.count == 0 { took } else { self.min.min(took) };
        self.max = self.max.max(took);
        (self.count, self.total, self.last) = (self.count + 1, self.total + took, took);
    }
}

/// What went over one connection, or over all of a server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Packets that came.
    pub received: u64,
    /// Packets that went: replies and events.
    pub sent: u64,
    /// How long answers took.
    pub latency: Latency,
}

impl Traffic {
    /// An answer to what was asked then goes out.
    pub(super) fn answered(&mut self, asked: Instant, now: Instant) {
        self.sent += 1;
        self.latency.add(now.since(asked));
    }
}

/// The last answer on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAnswer {
    /// ZooKeeper's name for the operation.
    pub op: &'static str,
    /// The client's number for it.
    pub xid: i32,
    /// In the header.
    pub zxid: Zxid,
    /// When, by the server's monotonic clock.
    pub at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_keeps_least_most_mean_and_last() {
        let mut latency = Latency::default();
        assert_eq!(latency.avg(), Duration::ZERO);
        for ms in [4, 1, 7] {
            latency.add(Duration::from_millis(ms));
        }
        let shown = [latency.min, latency.max, latency.avg(), latency.last].map(|span| span.as_millis());
        assert_eq!(shown, [1, 7, 4, 7]);
    }

    #[test]
    fn aside_is_no_part_of_a_state() {
        assert_eq!(Aside(1), Aside(2));
    }
}
