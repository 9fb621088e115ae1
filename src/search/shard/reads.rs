//! Reads — decides what a copy answers to gets and searches, and when it refreshes for them. It never waits.
//!
//! A refresh is due at every multiple of the refresh interval, but is made only when a search would see the
//! difference: an index that nobody searches costs nothing (Elasticsearch's search-idle shards).

use std::time::Duration;

use super::{Phase, Shard};
use crate::{
    core::Instant,
    event::EventKind,
    search::{
        api::GotDoc,
        engine::Failure,
        shards::{ShardRefusal, Step},
    },
};

impl Shard {
    /// Realtime get.
    pub fn get(&mut self, step: &mut Step<'_, '_>, id: &str) -> Result<Option<GotDoc>, ShardRefusal> {
        self.check_serves()?;
        let got = self.open_store().engine.get(id);
        self.or_fail(step, got)
    }

    /// Refreshes if that is due since the last time.
    pub(super) fn refresh_if_due(&mut self, step: &mut Step<'_, '_>) -> Result<(), ShardRefusal> {
        if self.refreshed_at < last_multiple(step.now(), step.desk.config.search.refresh_interval) {
            self.refresh(step)?;
        }
        Ok(())
    }

    /// Makes everything searchable.
    pub fn refresh(&mut self, step: &mut Step<'_, '_>) -> Result<(), ShardRefusal> {
        self.check_serves()?;
        self.refreshed_at = step.now();
        let store = self.open_store();
        let (up_to, was_behind) = (store.local_checkpoint(), store.engine.is_behind());
        let refreshed = store.engine.refresh(up_to);
        self.or_fail(step, refreshed)?;
        if !was_behind {
            return Ok(());
        }
        self.hand_on_disk(step);
        let (shard, allocation) = (self.id.clone(), self.allocation);
        step.note(EventKind::CopyRefreshed { shard, allocation, up_to });
        Ok(())
    }

    /// Notes what an active copy holds.
    pub fn inspect(&mut self, step: &mut Step<'_, '_>) {
        if !matches!(self.phase, Phase::Replica | Phase::Primary(_)) || self.refresh(step).is_err() {
            return;
        }
        let store = self.open_store();
        let (local_checkpoint, max_seq_no) = (store.local_checkpoint(), store.max_seq_no());
        let (docs, searchable) = (store.held(), store.engine.searchable());
        step.note(EventKind::CopyInspected {
            shard: self.id.clone(),
            allocation: self.allocation,
            primary: matches!(self.phase, Phase::Primary(_)),
            local_checkpoint,
            max_seq_no,
            docs,
            searchable,
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_are_due_at_multiples_of_the_interval() {
        let due = |now| last_multiple(Instant(now), Duration::from_nanos(100)).0;
        assert_eq!([due(0), due(99), due(100), due(250)], [0, 0, 100, 200]);
        assert_eq!(last_multiple(Instant(7), Duration::ZERO), Instant(7), "always due");
    }
}
