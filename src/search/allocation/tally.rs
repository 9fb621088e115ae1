//! Tally — decides how many copies each node has, in all and by index, and how busy it is. It never decides
//! what is too many.

use std::collections::BTreeMap;

use crate::{
    event::CopyState,
    name::{HostId, IndexName},
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
}

/// Counts over a cluster state. The source of a relocation is not counted, its target is
/// (`BalancedShardsAllocator`'s model): what counts is where copies will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    nodes: BTreeMap<HostId, Load>,
    average: f64,
    average_by_index: BTreeMap<IndexName, f64>,
    relocating: u32,
}

impl Tally {
    /// The counts of this state.
    pub fn of(state: &ClusterState) -> Self {
        let mut tally = Self::empty(state);
        for (shard, table) in state.shards() {
            for copy in &table.copies {
                tally.count(&shard.index, table, copy);
            }
        }
        tally
    }

    fn empty(state: &ClusterState) -> Self {
        let nodes: BTreeMap<_, _> = state.nodes.keys().map(|node| (*node, Load::default())).collect();
        let spread = |copies: u32| f64::from(copies) / nodes.len().max(1) as f64;
        let wanted = state
            .indices
            .iter()
            .map(|(name, index)| (name, index.shards.len() as u32 * (1 + index.replicas)));
        let average = spread(wanted.clone().map(|(_, copies)| copies).sum());
        let average_by_index = wanted.map(|(name, copies)| (name.clone(), spread(copies))).collect();
        Self { nodes, average, average_by_index, relocating: 0 }
    }

    fn count(&mut self, index: &IndexName, table: &ShardTable, copy: &ShardCopy) {
        let Some(node) = copy.node else { return };
        match copy.state {
            CopyState::Relocating => self.relocating += 1,
            _ => self.add(index, node),
        }
        if copy.state == CopyState::Initializing {
            self.count_recovery(table, copy, node);
        }
    }

    /// Counts a recovery that is under way or begins: a primary that is no target starts from its own disk,
    /// any other copy is built from the primary.
    pub(super) fn count_recovery(&mut self, table: &ShardTable, copy: &ShardCopy, node: HostId) {
        if copy.primary && !copy.is_target() {
            self.load(node).initial_primaries += 1;
            return;
        }
        self.load(node).incoming += 1;
        if let Some(source) = table.primary().and_then(|primary| primary.node) {
            self.load(source).outgoing += 1;
        }
    }

    /// Counts a copy of `index` on `node`.
    pub(super) fn add(&mut self, index: &IndexName, node: HostId) {
        let load = self.load(node);
        load.copies += 1;
        *load.by_index.entry(index.clone()).or_default() += 1;
    }

    /// Counts a copy of `index` away from `node`.
    pub(super) fn remove(&mut self, index: &IndexName, node: HostId) {
        let load = self.load(node);
        load.copies = load.copies.saturating_sub(1);
        if let Some(copies) = load.by_index.get_mut(index) {
            *copies = copies.saturating_sub(1);
        }
    }

    /// Counts one more relocation.
    pub(super) fn add_relocation(&mut self) {
        self.relocating += 1;
    }

    fn load(&mut self, node: HostId) -> &mut Load {
        self.nodes.entry(node).or_default()
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = HostId> {
        self.nodes.keys().copied()
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

    /// Configured copies a node, unassigned ones included.
    pub fn average(&self) -> f64 {
        self.average
    }

    /// Configured copies of an index a node.
    pub fn average_of(&self, index: &IndexName) -> f64 {
        self.average_by_index.get(index).copied().unwrap_or(0.0)
    }

    /// Copies that are on the move in the whole cluster.
    pub fn relocating(&self) -> u32 {
        self.relocating
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
}
