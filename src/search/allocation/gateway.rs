//! Gateway — decides which node an unassigned copy goes to whose data lies on some disk. It never places a
//! copy that is new.
//!
//! Elasticsearch's `GatewayAllocator`: it comes before any allocator, so that none of them can make a primary of
//! a copy that lacks writes.

use super::{
    deciders::{Asked, Decision, Ruling},
    round::RoutingAllocation,
};
use crate::{
    event::CopyState,
    name::{AllocationId, HostId, ShardId},
    search::{
        state::{ShardCopy, ShardTable},
        transition::Cause,
    },
};

/// Whether a copy is a replica that is being built, not on what it left on its own node.
fn is_built_anew(table: &ShardTable, copy: &ShardCopy) -> bool {
    let is_own = copy.allocation.is_some_and(|id| table.in_sync.contains(&id));
    let last_node = copy.unassigned.as_ref().and_then(|info| info.last_node);
    let is_replica = copy.state == CopyState::Initializing && !copy.primary && !copy.is_target();
    is_replica && !is_own && last_node != copy.node
}

/// From which copies the primary of a shard that has served may come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lineage {
    /// Those of the in-sync set.
    #[default]
    InSync,
    /// Elasticsearch #14671: any whose data is on a disk, the one with the newest identity first.
    Any,
}

impl RoutingAllocation<'_> {
    /// Assigns what can be built on data that is there: every primary before any replica.
    pub(super) fn allocate_existing(&mut self) {
        if self.tally.initializing().copies > 0 {
            self.give_up_inferior_recoveries();
        }
        if self.tally.unassigned().copies == 0 {
            return;
        }
        for copy in self.unassigned() {
            let table = self.table(&copy.shard);
            if copy.primary && table.primary().is_none() && !table.in_sync.is_empty() {
                self.place_existing_primary(&copy.shard, copy.slot);
            }
        }
        for copy in self.unassigned() {
            if !copy.primary {
                self.place_existing_replica(&copy.shard, copy.slot);
            }
        }
    }

    /// A primary that has served before may only come from a copy that has every acknowledged write; until
    /// one is there, the shard has none (`no_valid_shard_copy`).
    fn place_existing_primary(&mut self, shard: &ShardId, slot: usize) {
        match self.home_for_primary(shard) {
            Some((id, node, why)) => {
                let slot = self.state.choose_primary(shard, id);
                self.place(shard, slot, node, Some(id), why.to_owned());
            }
            None => self.ignore(shard, slot),
        }
    }

    /// The first node with the data that may take the primary now. If none may for now or ever, it is forced upon the
    /// first that only rules about where copies had better be keep it from
    /// (`PrimaryShardAllocator.makeAllocationDecision`): a shard without a primary is worse.
    fn home_for_primary(&self, shard: &ShardId) -> Option<(AllocationId, HostId, &'static str)> {
        let table = self.table(shard);
        let data = self.data_for_primary(table);
        let decide = |ruling: fn(&Self, &Asked<'_>, HostId) -> Ruling| -> Vec<Decision> {
            let decided = data.iter().map(|(id, node)| {
                let copy = table.copy(*id).cloned().unwrap_or_else(|| ShardCopy::unassigned(true));
                let copy = ShardCopy { primary: true, ..copy };
                ruling(self, &Asked { shard, table, copy: &copy }, *node).decision
            });
            decided.collect()
        };
        let first = |decisions: &[Decision], why| {
            let chosen = decisions.iter().position(|decision| *decision == Decision::Yes)?;
            Some((data[chosen].0, data[chosen].1, why))
        };
        let decisions = decide(Self::ruling_to_allocate);
        if decisions.iter().any(|decision| *decision != Decision::No) {
            return first(&decisions, "the node has an in-sync copy");
        }
        first(&decide(Self::ruling_to_force_primary), "forced: only this node has an in-sync copy")
    }

    /// Copies on disks of nodes that are here, the best first: those that did not fail there lately, the last primary
    /// before others, else the one that was allocated first.
    fn data_for_primary(&self, table: &ShardTable) -> Vec<(AllocationId, HostId)> {
        let on_disk = |id: AllocationId| Some((id, self.live_home(id)?));
        let was_primary = |id: AllocationId| table.copy(id).is_some_and(|copy| copy.primary);
        let has_failed = |id: AllocationId, node: HostId| {
            let info = table.copy(id).and_then(|copy| copy.unassigned.as_ref());
            info.is_some_and(|info| info.failed_nodes.contains(&node))
        };
        match self.inputs.lineage {
            Lineage::InSync => {
                let mut data: Vec<_> = table.in_sync.iter().copied().filter_map(on_disk).collect();
                data.sort_by_key(|(id, node)| (has_failed(*id, *node), !was_primary(*id), *id));
                data
            }
            Lineage::Any => {
                let known = table.copies.iter().filter_map(|copy| copy.allocation);
                known.chain(table.in_sync.iter().copied()).filter_map(on_disk).max().into_iter().collect()
            }
        }
    }

    fn live_home(&self, id: AllocationId) -> Option<HostId> {
        self.state.homes.get(&id).copied().filter(|node| self.state.nodes.contains_key(node))
    }

    /// A replica whose data lies on some disk goes there as soon as the node is here, and waits for it until
    /// its deadline. Then it is built where an in-sync copy of the shard still lies, if that is anywhere: that
    /// costs the fewest operations.
    fn place_existing_replica(&mut self, shard: &ShardId, slot: usize) {
        let table = self.table(shard);
        let copy = &table.copies[slot];
        let own = copy.allocation.and_then(|id| Some((id, self.live_home(id)?)));
        if own.is_none() && self.waits(copy) {
            return self.ignore(shard, slot);
        }
        let Some((id, node)) = own.or_else(|| self.data_for_replica(table)) else { return };
        match self.can_allocate(shard, copy, node).decision {
            Decision::Yes => self.place(shard, slot, node, Some(id), "the node has its data".to_owned()),
            Decision::Throttle => self.ignore(shard, slot),
            Decision::No => {}
        }
    }

    fn data_for_replica(&self, table: &ShardTable) -> Option<(AllocationId, HostId)> {
        let spare = table.in_sync.iter().filter(|id| table.copy(**id).is_none());
        let on_disk = spare.filter_map(|id| Some((*id, self.live_home(*id)?)));
        on_disk.into_iter().find(|(_, node)| table.on(*node).is_none())
    }

    /// A replica that is built anew is given up if a node has come back that has an in-sync copy: that one lacks the
    /// fewest operations (`ReplicaShardAllocator.processExistingRecoveries`).
    fn give_up_inferior_recoveries(&mut self) {
        let built = self.state.shards().flat_map(|(shard, table)| {
            let copies = table.copies.iter().enumerate();
            let is_built = copies.filter(|(_, copy)| is_built_anew(table, copy));
            is_built.map(|(slot, _)| (shard.clone(), slot)).collect::<Vec<_>>()
        });
        for (shard, slot) in built.collect::<Vec<_>>() {
            self.give_up_for_better(&shard, slot);
        }
    }

    fn give_up_for_better(&mut self, shard: &ShardId, slot: usize) {
        let table = self.table(shard);
        let Some((better, node)) = self.data_for_replica(table) else { return };
        let Some(id) = table.copies[slot].allocation else { return };
        let moved = ShardCopy { node: None, state: CopyState::Unassigned, ..table.copies[slot].clone() };
        if self.can_allocate(shard, &moved, node).decision != Decision::Yes {
            return;
        }
        let Some((table, _)) = self.state.table_mut(shard) else { return };
        table.lose(id, Cause::Reallocated);
        self.recount();
        self.place(shard, slot, node, Some(better), "the node has a better copy".to_owned());
        self.state.forget_homes();
    }

    /// Takes a copy for what waits: neither placed nor to be placed by the allocator.
    pub(super) fn is_waiting_for_data(&self, table: &ShardTable, copy: &ShardCopy) -> bool {
        copy.state == CopyState::Unassigned
            && (self.waits(copy)
                || copy.primary && !table.in_sync.is_empty() && self.data_for_primary(table).is_empty())
    }
}
