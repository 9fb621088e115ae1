//! Exhausted shards — decides, from the record alone, which shards have failed so often that they are left alone. It
//! never asks which of their copies did.

use std::collections::BTreeSet;

use crate::{
    event::{CopyState, Event, EventKind, Placement},
    name::ShardId,
};

/// Shards of which a copy has failed `index.allocation.max_retries` times in a row (`MaxRetryAllocationDecider`), until
/// somebody has retries begin anew, or a state shows that they have.
#[derive(Debug, Default)]
pub(super) struct Exhausted {
    /// A copy without a node stays without one.
    copies: BTreeSet<ShardId>,
    /// A copy that serves stays where it is.
    moves: BTreeSet<ShardId>,
    version: u64,
}

impl Exhausted {
    /// Reads the next event.
    pub(super) fn observe(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RetriesExhausted { shard, moves: true, .. } => _ = self.moves.insert(shard.clone()),
            EventKind::RetriesExhausted { shard, .. } => _ = self.copies.insert(shard.clone()),
            EventKind::RetriesReset { shards } => self.forgive(|shard| shards.contains(shard)),
            _ => {}
        }
    }

    /// The same, for a law that takes it as given that nobody places a copy that is left alone: a shard whose copies all
    /// have a node has none.
    pub(super) fn follow(&mut self, event: &Event) {
        self.observe(event);
        if let EventKind::StatePublished { version, routing, .. } = &event.kind
            && *version > self.version
        {
            self.version = *version;
            let waits = |copy: &Placement| copy.state == CopyState::Unassigned;
            self.copies.retain(|shard| routing.iter().any(|copy| copy.shard == *shard && waits(copy)));
        }
    }

    /// Such shards are left alone no more.
    pub(super) fn forgive(&mut self, is_forgiven: impl Fn(&ShardId) -> bool) {
        self.copies.retain(|shard| !is_forgiven(shard));
        self.moves.retain(|shard| !is_forgiven(shard));
    }

    /// Whether the shard's copies that have no node are left alone.
    pub(super) fn has(&self, shard: &ShardId) -> bool {
        self.copies.contains(shard)
    }

    /// Whether some copy of the shard is left alone, without a node or where it is.
    pub(super) fn has_any(&self, shard: &ShardId) -> bool {
        self.has(shard) || self.moves.contains(shard)
    }
}
