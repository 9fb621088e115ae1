//! Refreshes — decides when a copy makes its operations searchable, and when a write that waits for that is
//! answered. It never searches.
//!
//! A refresh is due at every multiple of `index.refresh_interval`, and at once after a write with `refresh=true`,
//! but is made only when a search would see the difference. So an index that nobody searches costs nothing, and the
//! first search after a pause waits for a refresh: what Elasticsearch has search-idle shards for
//! (`index.search.idle.after`). A write with `refresh=wait_for` is answered when the primary's next refresh is due;
//! on the other copies it is due when they take the operation, which is sooner than in Elasticsearch, where each of
//! them waits for its own.

use std::{collections::BTreeMap, time::Duration};

use super::{Phase, Shard};
use crate::{
    core::Instant,
    defect::Defect,
    event::EventKind,
    name::SeqNo,
    search::{
        api::RefreshPolicy,
        engine::Failure,
        shards::{ShardNews, ShardRefusal, Step, Written},
    },
};

/// `index.max_refresh_listeners`: so many writes may wait for a refresh before one is forced.
const LISTENERS_MAX: usize = 1_000;
/// A time that never comes.
const NEVER: Instant = Instant(u64::MAX);

/// Writes that are answered when they are searchable.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// Those that are not on every copy yet, by token, and when each is searchable here.
    under_way: BTreeMap<u64, Instant>,
    waiting: BTreeMap<(Instant, u64), Written>,
}

impl Listeners {
    /// When the first of them is to be answered.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(due, _)| *due).filter(|due| *due < NEVER)
    }

    fn count(&self) -> usize {
        self.under_way.len() + self.waiting.len()
    }

    fn add(&mut self, token: u64, due: Instant) {
        self.under_way.insert(token, due);
    }

    /// A write is on every copy: gives it back, unless it has to wait.
    pub(super) fn hold(&mut self, token: u64, written: Written, now: Instant) -> Option<Written> {
        match self.under_way.remove(&token) {
            Some(due) if due > now => {
                self.waiting.insert((due, token), written);
                None
            }
            _ => Some(written),
        }
    }

    /// Takes out those that are due.
    fn due(&mut self, now: Instant) -> BTreeMap<(Instant, u64), Written> {
        let later = self.waiting.split_off(&(Instant(now.0 + 1), 0));
        std::mem::replace(&mut self.waiting, later)
    }

    /// Everything is searchable.
    fn refreshed(&mut self) -> BTreeMap<(Instant, u64), Written> {
        self.under_way.values_mut().for_each(|due| *due = Instant(0));
        std::mem::take(&mut self.waiting)
    }
}

/// Tells who wrote.
pub(super) fn answer_all(step: &mut Step<'_, '_>, answers: BTreeMap<(Instant, u64), Written>) {
    let news =
        answers.into_iter().map(|((_, token), written)| ShardNews::Write { token, result: Ok(written) });
    step.desk.news.extend(news);
}

impl Listeners {
    /// The copy is the primary no more: what waits is on every copy, and is answered.
    pub(super) fn close(self, step: &mut Step<'_, '_>) {
        answer_all(step, self.waiting);
    }
}

impl Shard {
    /// Makes everything searchable if a refresh is due.
    pub(super) fn refresh_if_due(&mut self, step: &mut Step<'_, '_>) -> Result<(), ShardRefusal> {
        let interval = step.tuning(&self.id.index).refresh_interval;
        let due = interval.map(|interval| last_multiple(step.now(), interval));
        if self.refresh_wanted || Some(self.refreshed_at) < due { self.refresh(step) } else { Ok(()) }
    }

    /// Makes everything searchable.
    pub fn refresh(&mut self, step: &mut Step<'_, '_>) -> Result<(), ShardRefusal> {
        self.check_serves()?;
        self.refreshed_at = step.now();
        self.refresh_wanted = false;
        let store = self.open_store();
        let (up_to, was_behind) = (store.local_checkpoint(), store.engine.is_behind());
        let refreshed = store.engine.refresh(up_to);
        let merged = self.or_fail(step, refreshed)?;
        let (shard, allocation) = (&self.id, self.allocation);
        if merged > 0 {
            let (shard, segments) = (shard.clone(), merged as u32);
            step.note(EventKind::SegmentsMerged { shard, allocation, segments });
        }
        if was_behind {
            let shard = shard.clone();
            self.hand_on_disk(step);
            step.note(EventKind::CopyRefreshed { shard, allocation, up_to });
        }
        self.prune_tombstones(step);
        self.tell_listeners(step);
        Ok(())
    }

    /// Forgets the tombstones that are not needed any more: everything up to them is on every copy.
    pub(super) fn prune_tombstones(&mut self, step: &mut Step<'_, '_>) {
        let keep = step.tuning(&self.id.index).gc_deletes;
        let drops_at_once = step.desk.config.defects.has(Defect::DropsTombstonesAtOnce);
        let now = step.now();
        let store = self.open_store();
        let up_to = store.local_checkpoint().min(store.global_checkpoint());
        let (keep, up_to) = if drops_at_once { (Duration::ZERO, SeqNo(i64::MAX)) } else { (keep, up_to) };
        let tombstones = store.engine.prune_tombstones(now, keep, up_to) as u64;
        if tombstones > 0 {
            let (shard, allocation) = (self.id.clone(), self.allocation);
            step.note(EventKind::TombstonesPruned { shard, allocation, tombstones });
        }
    }

    /// The next search sees all that this copy has.
    pub(super) fn want_refresh(&mut self, step: &mut Step<'_, '_>) {
        self.refresh_wanted = true;
        self.tell_listeners(step);
    }

    fn tell_listeners(&mut self, step: &mut Step<'_, '_>) {
        if let Phase::Primary(primary) = &mut self.phase {
            answer_all(step, primary.listeners.refreshed());
        }
    }

    /// A write has been numbered: gives whether a refresh is forced for it.
    pub(super) fn refresh_for(&mut self, step: &mut Step<'_, '_>, token: u64, policy: RefreshPolicy) -> bool {
        let Phase::Primary(primary) = &mut self.phase else { return false };
        let forced = match policy {
            RefreshPolicy::None => return false,
            RefreshPolicy::Immediate => true,
            RefreshPolicy::WaitFor => primary.listeners.count() >= LISTENERS_MAX,
        };
        if forced {
            self.want_refresh(step);
        } else {
            let interval = step.tuning(&self.id.index).refresh_interval;
            primary.listeners.add(token, interval.map_or(NEVER, |span| next_multiple(step.now(), span)));
        }
        forced
    }

    /// Answers the writes whose refresh is due by now.
    pub(super) fn listeners_wake(&mut self, step: &mut Step<'_, '_>) {
        let now = step.now();
        if let Phase::Primary(primary) = &mut self.phase {
            answer_all(step, primary.listeners.due(now));
        }
    }

    pub(super) fn check_serves(&self) -> Result<(), ShardRefusal> {
        if self.serves() { Ok(()) } else { Err(ShardRefusal::NotHere { certain: true }) }
    }

    pub(super) fn or_fail<T>(
        &mut self,
        step: &mut Step<'_, '_>,
        result: Result<T, Failure>,
    ) -> Result<T, ShardRefusal> {
        result.map_err(|failure| {
            self.fail(step, &failure.0);
            ShardRefusal::NotHere { certain: true }
        })
    }
}

fn last_multiple(now: Instant, interval: Duration) -> Instant {
    let interval = (interval.as_nanos() as u64).max(1);
    Instant(now.0 / interval * interval)
}

fn next_multiple(now: Instant, interval: Duration) -> Instant {
    last_multiple(now, interval) + interval.max(Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_are_due_at_multiples_of_the_interval() {
        let due = |now| last_multiple(Instant(now), Duration::from_nanos(100)).0;
        assert_eq!([due(0), due(99), due(100), due(250)], [0, 0, 100, 200]);
        assert_eq!(last_multiple(Instant(7), Duration::ZERO), Instant(7), "always due");
        let next = |now| next_multiple(Instant(now), Duration::from_nanos(100)).0;
        assert_eq!([next(0), next(99), next(100)], [100, 100, 200]);
    }
}
