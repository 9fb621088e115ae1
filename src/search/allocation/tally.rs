//! Tally — decides how many copies each node has, in all and by index, how busy it is and what is on its way
//! to it. It never decides what is too many.

use std::collections::{BTreeMap, BTreeSet};

use super::info::ClusterInfo;
use crate::{
    event::CopyState,
    name::{HostId, IndexName, ShardId},
    search::state::{ClusterState, ShardCopy, ShardTable},
};

/// Copies and recoveries of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Load {
    copies: u32,
    by_index: BTreeMap<IndexName, u32>,
    initial_primaries: u32,
    incoming: u32,
    outgoing: u32,
    incoming_bytes: u64,
    leaving_bytes: u64,
    gone_bytes: u64,
}

/// Counts over a cluster state, kept up to date move by move. The source of a relocation is not counted on
/// its node, its target is: what counts is where copies will be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    nodes: BTreeMap<HostId, Load>,
    relocating: u32,
    unassigned: Count,
    initializing: Count,
}

/// A count of copies, and of the primaries among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Primaries and replicas.
    pub copies: u32,
    /// Primaries.
    pub primaries: u32,
}

impl Count {
    fn add(&mut self, copy: &ShardCopy) {
        self.copies += 1;
        self.primaries += u32::from(copy.primary);
    }

    fn remove(&mut self, copy: &ShardCopy) {
        self.copies -= 1;
        self.primaries -= u32::from(copy.primary);
    }
}

impl Tally {
    /// The counts of this state.
    pub fn of(state: &ClusterState, info: &ClusterInfo) -> Self {
        let nodes = state.nodes.keys().map(|node| (*node, Load::default())).collect();
        let mut tally = Self { nodes, ..Self::default() };
        for (shard, table) in state.shards() {
            for copy in &table.copies {
                tally.count(info, &shard, table, copy);
            }
        }
        tally.count_gone(state, info);
        tally
    }

    /// What a node has counted in its last report and does not have any more.
    fn count_gone(&mut self, state: &ClusterState, info: &ClusterInfo) {
        if info.counted.is_empty() {
            return;
        }
        let copies = || state.shards().flat_map(|(_, table)| &table.copies);
        let here: BTreeSet<_> = copies().filter_map(|copy| Some((copy.node?, copy.allocation?))).collect();
        for (node, counted) in &info.counted {
            let gone = counted.iter().filter(|(id, _)| !here.contains(&(*node, **id)));
            self.load(*node).gone_bytes = gone.map(|(_, bytes)| bytes).sum();
        }
    }

    fn count(&mut self, info: &ClusterInfo, shard: &ShardId, table: &ShardTable, copy: &ShardCopy) {
        match copy.state {
            CopyState::Unassigned => self.unassigned.add(copy),
            CopyState::Relocating => self.leave(info, shard, copy),
            CopyState::Initializing => self.arrive(info, shard, table, copy),
            CopyState::Started => self.hold(shard, copy),
        }
    }

    fn hold(&mut self, shard: &ShardId, copy: &ShardCopy) {
        let Some(node) = copy.node else { return };
        let load = self.load(node);
        load.copies += 1;
        match load.by_index.get_mut(&shard.index) {
            Some(count) => *count += 1,
            None => drop(load.by_index.insert(shard.index.clone(), 1)),
        }
    }

    fn release(&mut self, shard: &ShardId, copy: &ShardCopy) {
        let Some(node) = copy.node else { return };
        let load = self.load(node);
        load.copies -= 1;
        if let Some(count) = load.by_index.get_mut(&shard.index) {
            *count -= 1;
        }
    }

    /// A copy is being built: a primary that is no target starts from its own disk, any other copy is built
    /// from the primary, wherever the copy is that it replaces (#18701).
    fn arrive(&mut self, info: &ClusterInfo, shard: &ShardId, table: &ShardTable, copy: &ShardCopy) {
        let Some(node) = copy.node else { return };
        self.hold(shard, copy);
        self.load(node).incoming_bytes += to_come(info, shard, copy);
        if !copy.is_target() {
            self.initializing.add(copy);
        }
        if copy.primary {
            self.load(node).initial_primaries += 1;
            return;
        }
        self.load(node).incoming += 1;
        if let Some(source) = table.primary().and_then(|primary| primary.node) {
            self.load(source).outgoing += 1;
        }
    }

    fn leave(&mut self, info: &ClusterInfo, shard: &ShardId, copy: &ShardCopy) {
        let Some(node) = copy.node else { return };
        self.relocating += 1;
        self.load(node).leaving_bytes += info.shard(shard).bytes;
    }

    /// An unassigned copy has been assigned: `copy` is what it is now.
    pub(super) fn assigned(
        &mut self,
        info: &ClusterInfo,
        shard: &ShardId,
        table: &ShardTable,
        copy: &ShardCopy,
    ) {
        self.unassigned.remove(copy);
        self.arrive(info, shard, table, copy);
    }

    /// A started copy has begun to move: both ends are what they are now.
    pub(super) fn moved(
        &mut self,
        info: &ClusterInfo,
        shard: &ShardId,
        table: &ShardTable,
        (source, target): (&ShardCopy, &ShardCopy),
    ) {
        self.release(shard, source);
        self.leave(info, shard, source);
        self.arrive(info, shard, table, target);
    }

    fn load(&mut self, node: HostId) -> &mut Load {
        self.nodes.entry(node).or_default()
    }

    /// Copies on a node, in all.
    pub fn copies(&self, node: HostId) -> u32 {
        self.nodes.get(&node).map_or(0, |load| load.copies)
    }

    /// Copies of an index on a node.
    pub fn copies_of(&self, index: &IndexName, node: HostId) -> u32 {
        let load = self.nodes.get(&node);
        load.and_then(|load| load.by_index.get(index)).copied().unwrap_or(0)
    }

    /// Copies that are on the move in the whole cluster.
    pub fn relocating(&self) -> u32 {
        self.relocating
    }

    /// Copies that have no node.
    pub fn unassigned(&self) -> Count {
        self.unassigned
    }

    /// Copies that are being built and that nothing else serves for.
    pub fn initializing(&self) -> Count {
        self.initializing
    }

    /// Primaries that start on a node from its own disk.
    pub fn initial_primaries(&self, node: HostId) -> u32 {
        self.nodes.get(&node).map_or(0, |load| load.initial_primaries)
    }

    /// Copies being built on a node from another one.
    pub fn incoming(&self, node: HostId) -> u32 {
        self.nodes.get(&node).map_or(0, |load| load.incoming)
    }

    /// Copies being built from primaries on a node.
    pub fn outgoing(&self, node: HostId) -> u32 {
        self.nodes.get(&node).map_or(0, |load| load.outgoing)
    }

    /// Bytes that copies which are being built on a node will take beyond what it has reported.
    pub fn incoming_bytes(&self, node: HostId) -> u64 {
        self.nodes.get(&node).map_or(0, |load| load.incoming_bytes)
    }

    /// Bytes of copies that have left a node since it reported.
    pub fn gone_bytes(&self, node: HostId) -> u64 {
        self.nodes.get(&node).map_or(0, |load| load.gone_bytes)
    }

    /// Bytes of copies that are moving away from a node.
    pub fn leaving_bytes(&self, node: HostId) -> u64 {
        self.nodes.get(&node).map_or(0, |load| load.leaving_bytes)
    }
}

/// What a copy that is being built will take beyond what its node has counted in its last report.
fn to_come(info: &ClusterInfo, shard: &ShardId, copy: &ShardCopy) -> u64 {
    let whole = info.shard(shard).bytes;
    if whole == 0 {
        return 0;
    }
    let counted = copy.node.and_then(|node| info.counted.get(&node));
    let here = copy.allocation.and_then(|id| counted?.get(&id)).copied().unwrap_or(0);
    whole.saturating_sub(here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::AllocationId,
        search::fixture::{copy, state, table},
    };

    /// E11, Elasticsearch #18701: the node that sends is the primary's, not the one a replica leaves.
    #[test]
    fn moving_replica_is_built_from_its_primary() {
        use CopyState::{Initializing, Relocating, Started};
        let mut source = copy(2, 2, false, Relocating);
        source.relocating = Some(AllocationId(3));
        let mut target = copy(3, 3, false, Initializing);
        target.relocating = Some(AllocationId(2));
        let state = state(1, vec![table(vec![copy(1, 1, true, Started), source, target])]);
        let tally = Tally::of(&state, &ClusterInfo::default());
        let node = HostId::search;
        assert_eq!((tally.outgoing(node(1)), tally.outgoing(node(2)), tally.incoming(node(3))), (1, 0, 1));
        assert_eq!((tally.copies(node(2)), tally.copies(node(3)), tally.relocating()), (0, 1, 1));
        assert_eq!((tally.unassigned().copies, tally.initializing().copies), (0, 0));
    }
}
