//! Agendas — decides which operation of a client comes next, and when: of those listed and those drawn, in order of
//! time. It never carries one out.

use std::{fmt, iter::Peekable, time::Duration};

use crate::{
    core::Instant,
    name::HostId,
    scenario::{operations::Operation, plan::Plan, zookeeper_operations::ZooKeeperOperation},
};

/// An operation less often than once in so long does not come in any run.
const GAP_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Operations are drawn as for the first life of a client: one that comes back goes on with the same ones.
pub(super) const FIRST_LIFE: u32 = 1;

/// The span between operations of this rate, on average; none if there are none.
pub(super) fn gap(rate: f64) -> Option<Duration> {
    let gap = || Duration::try_from_secs_f64(1.0 / rate).unwrap_or(GAP_MAX).min(GAP_MAX);
    (rate > 0.0).then(gap)
}

/// What is asked at a time.
pub(super) trait Timed {
    /// What decides the order of the operations of one client.
    fn turn(&self) -> (Duration, u32);
}

impl Timed for Operation {
    fn turn(&self) -> (Duration, u32) {
        (self.at, self.number)
    }
}

impl Timed for ZooKeeperOperation {
    fn turn(&self) -> (Duration, u32) {
        (self.at, self.number)
    }
}

/// Operations in order of time.
pub(super) type Source<T> = Box<dyn Iterator<Item = T> + Send>;

/// Several streams in order of time as one.
pub(super) struct Merge<T: Timed>(Vec<Peekable<Source<T>>>);

impl<T: Timed + Send + 'static> Merge<T> {
    /// What is listed, in any order, and what is drawn, as long as the plan lasts.
    pub(super) fn new(plan: &Plan, mut listed: Vec<T>, drawn: impl IntoIterator<Item = Source<T>>) -> Self {
        listed.sort_by_key(Timed::turn);
        let end = plan.duration;
        let until = move |source: Source<T>| {
            Box::new(source.take_while(move |operation| operation.turn().0 < end)) as Source<T>
        };
        let sources = std::iter::once(Box::new(listed.into_iter()) as Source<T>);
        Self(sources.chain(drawn.into_iter().map(until)).map(Iterator::peekable).collect())
    }
}

impl Merge<ZooKeeperOperation> {
    /// What is listed for this client of ZooKeeper, and what is drawn.
    pub(super) fn of_zookeeper(
        plan: &Plan,
        client: HostId,
        drawn: impl IntoIterator<Item = Source<ZooKeeperOperation>>,
    ) -> Self {
        let listed = plan.zookeeper_operations.iter().filter(|one| one.client == client);
        Self::new(plan, listed.cloned().collect(), drawn)
    }
}

impl<T: Timed> Iterator for Merge<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let heads = self.0.iter_mut().enumerate();
        let turns = heads.filter_map(|(at, source)| source.peek().map(|next| (next.turn(), at)));
        let (_, first) = turns.min()?;
        self.0[first].next()
    }
}

/// What a client of ZooKeeper does of itself, on its own clock.
pub struct Agenda {
    starts_at: Instant,
    ends_at: Instant,
    next: Option<ZooKeeperOperation>,
    rest: Source<ZooKeeperOperation>,
}

impl Agenda {
    /// An agenda of these, in order of time since `starts_at`; nothing is done from `ends_at` on.
    pub fn new(
        starts_at: Instant,
        ends_at: Instant,
        operations: impl Iterator<Item = ZooKeeperOperation> + Send + 'static,
    ) -> Self {
        let mut rest: Source<_> = Box::new(operations);
        Self { starts_at, ends_at, next: rest.next(), rest }
    }

    /// When the next one is due, if there is one.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let at = self.starts_at + self.next.as_ref()?.at;
        Some(at).filter(|at| *at < self.ends_at)
    }

    /// The next one, if it is due. What was slept through when the time of doing is over is never done.
    pub(super) fn due(&mut self, now: Instant) -> Option<ZooKeeperOperation> {
        if now >= self.ends_at {
            self.next = None;
        }
        self.next_at().filter(|at| *at <= now)?;
        std::mem::replace(&mut self.next, self.rest.next())
    }

    /// The last one that is due: of those that were slept through, one is done.
    pub(super) fn last_due(&mut self, now: Instant) -> Option<ZooKeeperOperation> {
        std::iter::from_fn(|| self.due(now)).last()
    }
}

impl fmt::Debug for Agenda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agenda").field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::zookeeper_operations::ZooKeeperAsk;

    fn at(number: u32, second: u64) -> ZooKeeperOperation {
        let at = Duration::from_secs(second);
        ZooKeeperOperation::new(HostId::client(2), number, at, ZooKeeperAsk::Get)
    }

    fn agenda() -> Agenda {
        let second = 1_000_000_000;
        let operations = [at(0, 1), at(1, 2), at(2, 9)];
        Agenda::new(Instant(100 * second), Instant(105 * second), operations.into_iter())
    }

    fn second(nth: u64) -> Instant {
        Instant((100 + nth) * 1_000_000_000)
    }

    #[test]
    fn operations_are_due_on_ones_own_clock_and_not_past_the_end() {
        let mut agenda = agenda();
        assert_eq!(agenda.next_at(), Some(second(1)));
        assert_eq!(agenda.due(second(0)), None);
        assert_eq!(agenda.due(second(3)), Some(at(0, 1)));
        assert_eq!(agenda.due(second(3)), Some(at(1, 2)));
        assert_eq!((agenda.next_at(), agenda.due(second(9))), (None, None));
    }

    #[test]
    fn what_was_slept_through_at_the_end_is_not_waited_for() {
        let mut agenda = agenda();
        assert_eq!((agenda.due(second(5)), agenda.next_at()), (None, None));
    }

    #[test]
    fn of_several_slept_through_the_last_is_done() {
        assert_eq!(agenda().last_due(second(3)), Some(at(1, 2)));
    }

    #[test]
    fn rate_of_nothing_has_no_gap_and_a_tiny_one_an_age() {
        assert_eq!((gap(0.0), gap(2.0)), (None, Some(Duration::from_millis(500))));
        assert_eq!(gap(1e-300), Some(GAP_MAX));
    }
}
