//! Replicas — decides how a state follows when an index gets another number of replicas, or is deleted. It never
//! decides who may ask for that.

use super::*;

/// Names of deleted indices that are kept (`cluster.indices.tombstones.size`).
const GRAVES_MAX: usize = 500;

impl ClusterState {
    /// Gives every shard of an index so many replicas. New ones are unassigned; of those there are, copies without
    /// a node go first, then copies that are being built, then copies that serve. The primary's place stays.
    ///
    /// What is known to be in sync is not forgotten unless a primary serves that is in sync itself: the copy of a
    /// node that is away may be the sole good one (Elasticsearch #21719, #21976).
    pub fn set_replicas(&mut self, index: &IndexName, replicas: u32) {
        let Some(metadata) = self.indices.get_mut(index) else { return };
        metadata.replicas = replicas;
        for table in &mut metadata.shards {
            table.resize(replicas as usize);
        }
        self.forget_homes();
    }

    /// Removes an index, with its settings from the document. Its copies are closed and removed by the nodes that
    /// have them, since no state knows their identities any more.
    pub fn delete_index(&mut self, index: &IndexName) {
        if let Some(term) =
            self.indices.remove(index).and_then(|gone| gone.shards.iter().map(|table| table.term).max())
        {
            self.graveyard.insert(index.clone(), term);
        }
        while self.graveyard.len() > GRAVES_MAX {
            self.graveyard.pop_first();
        }
        self.forget_homes();
    }
}

impl ShardTable {
    fn resize(&mut self, replicas: usize) {
        let places = |table: &Self| table.copies.iter().filter(|copy| !copy.is_target()).count();
        while places(self) > 1 + replicas {
            self.drop_replica();
        }
        // In front of targets of relocations, which come last.
        while places(self) < 1 + replicas {
            let at = places(self);
            let unassigned = Some(Box::new(UnassignedInfo::new(UnassignedReason::ReplicaAdded)));
            self.copies.insert(at, ShardCopy { unassigned, ..ShardCopy::unassigned(false) });
        }
    }

    fn drop_replica(&mut self) {
        let spared = |copy: &ShardCopy| match copy.state {
            CopyState::Unassigned => 0,
            CopyState::Initializing => 1,
            CopyState::Started => 2,
            CopyState::Relocating => 3,
        };
        let replicas = self.copies.iter().enumerate().filter(|(_, copy)| !copy.primary && !copy.is_target());
        // The last of the most dispensable ones.
        let Some((at, _)) = replicas.min_by_key(|(at, copy)| (spared(copy), usize::MAX - at)) else { return };
        if let Some(target) = self.copies[at].relocating {
            self.cancel_relocation(target, Cause::PrimaryGone);
        }
        let dropped = self.copies.remove(at);
        let led = self.primary().filter(|primary| primary.is_active()).and_then(|primary| primary.allocation);
        if let Some(id) = dropped.allocation
            && led.is_some_and(|led| self.in_sync.contains(&led))
        {
            self.in_sync.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{
        fixture::{copy, state, table},
        soundness::assert_sound,
    };
    use CopyState::{Initializing, Started, Unassigned};

    fn articles() -> IndexName {
        "articles".into()
    }

    fn with(copies: Vec<ShardCopy>, replicas: u32) -> ClusterState {
        let mut state = state(1, vec![table(copies)]);
        state.homes = state
            .shards()
            .flat_map(|(_, table)| table.in_sync.clone())
            .map(|id| (id, HostId::search(1)))
            .collect();
        for copy in state.indices[&articles()].shards[0].copies.clone() {
            copy.allocation.into_iter().for_each(|id| _ = state.homes.insert(id, HostId::search(1)));
        }
        state.set_replicas(&articles(), replicas);
        assert_sound(&state);
        state
    }

    fn ids(state: &ClusterState) -> Vec<u64> {
        let copies = &state.indices[&articles()].shards[0].copies;
        copies.iter().filter_map(|copy| copy.allocation).map(|id| id.0).collect()
    }

    #[test]
    fn more_replicas_are_unassigned_copies() {
        let state = with(vec![copy(1, 1, true, Started), copy(2, 2, false, Started)], 3);
        let states: Vec<_> =
            state.indices[&articles()].shards[0].copies.iter().map(|copy| copy.state).collect();
        assert_eq!(states, [Started, Started, Unassigned, Unassigned]);
    }

    #[test]
    fn fewer_replicas_leave_those_that_serve() {
        let away = ShardCopy { node: None, ..copy(3, 3, false, Unassigned) };
        let copies = || vec![copy(1, 1, true, Started), copy(2, 2, false, Started), away.clone()];
        assert_eq!(ids(&with(copies(), 1)), [1, 2]);
        assert_eq!(ids(&with(copies(), 0)), [1]);
        let building =
            vec![copy(1, 1, true, Started), copy(2, 2, false, Initializing), copy(3, 3, false, Started)];
        assert_eq!(ids(&with(building, 1)), [1, 3]);
    }

    /// SEARCH-DEFECTS D13: lowering the number of replicas while the primary is lost keeps the good copy.
    #[test]
    fn sole_good_copy_is_not_trimmed() {
        let lost = ShardCopy::unassigned(true);
        let good = ShardCopy { node: None, ..copy(2, 2, false, Unassigned) };
        let mut table = table(vec![lost, good]);
        table.in_sync = [AllocationId(2)].into();
        let mut state = state(1, vec![table]);
        state.homes = [(AllocationId(2), HostId::search(2))].into();
        state.set_replicas(&articles(), 0);
        let table = &state.indices[&articles()].shards[0];
        assert!(table.in_sync.contains(&AllocationId(2)) && state.homes.contains_key(&AllocationId(2)));
    }

    #[test]
    fn copy_that_moves_goes_with_its_target() {
        let source =
            ShardCopy { relocating: Some(AllocationId(3)), ..copy(2, 2, false, CopyState::Relocating) };
        let target = ShardCopy { relocating: Some(AllocationId(2)), ..copy(3, 3, false, Initializing) };
        assert_eq!(ids(&with(vec![copy(1, 1, true, Started), source, target], 0)), [1]);
    }

    #[test]
    fn deleted_index_leaves_nothing() {
        let mut state = with(vec![copy(1, 1, true, Started)], 0);
        state.delete_index(&articles());
        assert!(state.indices.is_empty() && state.homes.is_empty());
    }
}
