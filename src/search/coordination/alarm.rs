//! Alarms — decides which of many deadlines comes next. It never looks at a clock.

use std::collections::BTreeSet;

use crate::core::Instant;

/// Deadlines, each with what it is for.
#[derive(Debug)]
pub(super) struct Alarms<A>(BTreeSet<(Instant, A)>);

impl<A> Default for Alarms<A> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<A: Ord + Copy> Alarms<A> {
    /// Sets one.
    pub(super) fn set(&mut self, at: Instant, what: A) {
        self.0.insert((at, what));
    }

    /// Takes one back; nothing happens if it has rung.
    pub(super) fn cancel(&mut self, at: Instant, what: A) {
        self.0.remove(&(at, what));
    }

    /// When the next one rings.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The next one that is due, taken out.
    pub(super) fn pop(&mut self, now: Instant) -> Option<A> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, what)| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_alarms_ring_in_order_of_time() {
        let mut alarms = Alarms::default();
        alarms.set(Instant(7), 'b');
        alarms.set(Instant(9), 'c');
        alarms.set(Instant(5), 'a');
        alarms.set(Instant(6), 'x');
        alarms.cancel(Instant(6), 'x');
        let rung: String = std::iter::from_fn(|| alarms.pop(Instant(7))).collect();
        assert_eq!((rung.as_str(), alarms.next()), ("ab", Some(Instant(9))));
    }
}
