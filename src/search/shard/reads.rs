//! Inspection — decides what a copy says it holds at the end of a run. It never waits.

use super::{Phase, Shard};
use crate::{event::EventKind, search::shards::Step};

impl Shard {
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
}
