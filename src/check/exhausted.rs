//! Exhausted shards — decides, from the record alone, which shards have failed so often that they are left alone. It
//! never asks which of their copies did.

use std::collections::BTreeSet;

use crate::{
    event::{Event, EventKind},
    name::ShardId,
};

/// Shards of which a copy has failed `index.allocation.max_retries` times in a row (`MaxRetryAllocationDecider`), until
/// somebody has retries begin anew.
#[derive(Debug, Default)]
pub(super) struct Exhausted(BTreeSet<ShardId>);

impl Exhausted {
    /// Reads the next event.
    pub(super) fn observe(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RetriesExhausted { shard, .. } => _ = self.0.insert(shard.clone()),
            EventKind::RetriesReset { shards } => self.forgive(|shard| shards.contains(shard)),
            _ => {}
        }
    }

    /// Such shards are left alone no more.
    pub(super) fn forgive(&mut self, is_forgiven: impl Fn(&ShardId) -> bool) {
        self.0.retain(|shard| !is_forgiven(shard));
    }

    /// Whether the shard is left alone.
    pub(super) fn has(&self, shard: &ShardId) -> bool {
        self.0.contains(shard)
    }
}
