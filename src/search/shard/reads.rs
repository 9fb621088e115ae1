//! Reads — decides what a copy answers to searches and to its inspection. It never waits.

use super::{Phase, Shard};
use crate::{
    event::EventKind,
    search::{
        api::Query,
        shards::{ShardHits, ShardRefusal, Step},
    },
};

impl Shard {
    /// Searches, as of the last refresh that is due.
    pub fn search(
        &mut self,
        step: &mut Step<'_, '_>,
        query: &Query,
        size: u32,
    ) -> Result<ShardHits, ShardRefusal> {
        self.check_serves()?;
        self.refresh_if_due(step)?;
        let hits = self.open_store().engine.search(query, size);
        self.or_fail(step, hits)
    }

    /// Notes what an active copy holds.
    pub fn inspect(&mut self, step: &mut Step<'_, '_>) {
        if !matches!(self.phase, Phase::Replica | Phase::Primary(_)) || self.refresh(step).is_err() {
            return;
        }
        let store = self.open_store();
        let (local_checkpoint, max_seq_no) = (store.local_checkpoint(), store.max_seq_no());
        let (docs, searchable) = (store.held(), store.engine.searchable());
        if let Ok(searchable) = self.or_fail(step, searchable) {
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
    }
}
