//! Weights — decides how heavy each node is for an index. It never decides whether a move is allowed
//! (`deciders`).
//!
//! The weight function of Elasticsearch 8's `BalancedShardsAllocator`: a node's lead over the average in
//! copies, in copies of the index, in write load and in bytes, each with its factor, normalized. It is
//! kept up to date move by move; nodes are ordered by what is not of an index, so that the lightest ones are
//! found without looking at all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    info::{ClusterInfo, ShardLoad},
    settings::{Factors, Settings},
};
use crate::{
    event::CopyState,
    name::{HostId, IndexName},
    search::state::{ClusterState, IndexMetadata},
};

/// What a move has to bring beyond the threshold, against rounding.
const TOLERANCE: f64 = 0.001;

/// What a node holds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Load {
    copies: u32,
    write_load_micros: u64,
    bytes: u64,
}

/// Weights of all nodes.
#[derive(Debug, Clone)]
pub struct Weights {
    factors: Factors,
    threshold: f64,
    nodes: BTreeMap<HostId, Load>,
    order: BTreeSet<(u64, HostId)>,
    indices: BTreeMap<IndexName, BTreeMap<HostId, u32>>,
    averages: BTreeMap<IndexName, f64>,
    average: Average,
}

/// What all configured copies come to, a node.
#[derive(Debug, Clone, Copy, Default)]
struct Average {
    copies: f64,
    write_load: f64,
    bytes: f64,
}

impl Factors {
    /// With a sum of one.
    fn normalized(self) -> Self {
        let sum = self.shard + self.index + self.write_load + self.disk_usage;
        if sum <= 0.0 {
            return self;
        }
        Self {
            shard: self.shard / sum,
            index: self.index / sum,
            write_load: self.write_load / sum,
            disk_usage: self.disk_usage / sum,
        }
    }

    /// The weight of a lead in copies, copies of the index, write load and bytes over the average.
    fn weigh(self, copies: f64, of_index: f64, write_load: f64, bytes: f64) -> f64 {
        self.shard * copies + self.index * of_index + self.write_load * write_load + self.disk_usage * bytes
    }
}

impl Weights {
    /// The weights in this state. The source of a relocation weighs nothing, its target does.
    pub fn of(state: &ClusterState, settings: &Settings, info: &ClusterInfo) -> Self {
        let nodes: BTreeMap<HostId, Load> = state.nodes.keys().map(|node| (*node, Load::default())).collect();
        let spread = |copies: u32| f64::from(copies) / nodes.len().max(1) as f64;
        let wanted = state
            .indices
            .iter()
            .map(|(name, index)| (name, index.shards.len() as u32 * (1 + index.replicas)));
        let average = Average::of(state, info);
        let averages = wanted.map(|(name, copies)| (name.clone(), spread(copies))).collect();
        let indices = state.indices.keys().map(|index| (index.clone(), BTreeMap::new())).collect();
        let (factors, threshold) = (settings.balance.normalized(), settings.threshold);
        let order = BTreeSet::new();
        let mut weights = Self { factors, threshold, nodes, order, indices, averages, average };
        weights.fill(state, info);
        weights.order = weights.nodes.keys().map(|node| (weights.key(*node), *node)).collect();
        weights
    }

    fn fill(&mut self, state: &ClusterState, info: &ClusterInfo) {
        for (shard, table) in state.shards() {
            let load = info.shard(&shard);
            let Some(of_index) = self.indices.get_mut(&shard.index) else { continue };
            for copy in table.copies.iter().filter(|copy| copy.state != CopyState::Relocating) {
                let Some(node) = copy.node else { continue };
                *of_index.entry(node).or_default() += 1;
                self.nodes.entry(node).or_default().add(load);
            }
        }
    }

    /// What a node weighs apart from any index.
    fn base(&self, node: HostId) -> f64 {
        self.nodes.get(&node).map_or(0.0, |load| {
            let write_load = load.write_load_micros as f64 / 1e6;
            self.factors.weigh(f64::from(load.copies), 0.0, write_load, load.bytes as f64)
        })
    }

    /// Its base as a key that sorts like it; it is never negative.
    fn key(&self, node: HostId) -> u64 {
        self.base(node).to_bits()
    }

    fn count(&self, index: &IndexName, node: HostId) -> u32 {
        self.indices.get(index).and_then(|of_index| of_index.get(&node)).copied().unwrap_or(0)
    }

    fn raw(&self, index: &IndexName, node: HostId) -> f64 {
        self.base(node) + self.factors.index * f64::from(self.count(index, node))
    }

    /// How much heavier than average a node is for an index.
    pub fn weight(&self, index: &IndexName, node: HostId) -> f64 {
        let of_index = self.averages.get(index).copied().unwrap_or(0.0);
        let Average { copies, write_load, bytes } = self.average;
        self.raw(index, node) - self.factors.weigh(copies, of_index, write_load, bytes)
    }

    /// Counts a copy on a node.
    pub fn add(&mut self, index: &IndexName, node: HostId, load: ShardLoad) {
        self.order.remove(&(self.key(node), node));
        self.nodes.entry(node).or_default().add(load);
        self.order.insert((self.key(node), node));
        if let Some(of_index) = self.indices.get_mut(index) {
            *of_index.entry(node).or_default() += 1;
        }
    }

    /// Counts a copy away from a node.
    ///
    /// # Panics
    ///
    /// If no copy of the index is counted there.
    pub fn remove(&mut self, index: &IndexName, node: HostId, load: ShardLoad) {
        self.order.remove(&(self.key(node), node));
        if let Some(held) = self.nodes.get_mut(&node) {
            held.remove(load);
        }
        self.order.insert((self.key(node), node));
        let of_index = self.indices.get_mut(index);
        if let Some(count) = of_index.and_then(|of_index| of_index.get_mut(&node)) {
            *count -= 1;
        }
    }

    /// Nodes by weight for an index, lightest first; of equals the lower host. Lazy: the first few cost
    /// little.
    pub fn lightest(&self, index: &IndexName) -> impl Iterator<Item = (f64, HostId)> + use<'_> {
        let held = self.indices.get(index);
        let holds = held.into_iter().flatten().filter(|(_, count)| **count > 0);
        let raw = |count: u32, node| self.base(node) + self.factors.index * f64::from(count);
        let mut holders: Vec<(f64, HostId)> =
            holds.map(|(node, count)| (raw(*count, *node), *node)).collect();
        holders.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let is_held = move |node| held.is_some_and(|held| held.get(&node).is_some_and(|count| *count > 0));
        let others = self.order.iter().filter(move |(_, node)| !is_held(*node));
        let others = others.map(|(key, node)| (f64::from_bits(*key), *node));
        Merged { left: holders.into_iter().peekable(), right: others.peekable() }
    }

    /// Nodes by weight for an index, lightest first, all of them.
    pub fn sorted(&self, index: &IndexName) -> Vec<(f64, HostId)> {
        self.lightest(index).collect()
    }

    /// How far apart the lightest and the heaviest node are for an index.
    pub fn spread(&self, index: &IndexName) -> f64 {
        let Some((lightest, _)) = self.lightest(index).next() else { return 0.0 };
        let holders = self.indices.get(index).into_iter().flatten().filter(|(_, count)| **count > 0);
        let holders = holders.map(|(node, _)| self.raw(index, *node));
        let other = self.order.iter().next_back().map(|(key, _)| f64::from_bits(*key));
        holders.chain(other).fold(lightest, f64::max) - lightest
    }

    /// The least lead for which moving a copy with this load is worth while: `threshold` times what the
    /// move itself makes of it (`minWeightDelta`), and a little against rounding.
    pub fn least_lead(&self, load: ShardLoad) -> f64 {
        let write_load = load.write_load_micros as f64 / 1e6;
        self.threshold * self.factors.weigh(1.0, 1.0, write_load, load.bytes as f64) + TOLERANCE
    }

    /// The least lead that any move of the index can be worth.
    pub fn least_lead_of_any(&self) -> f64 {
        self.least_lead(ShardLoad::default())
    }

    /// Whether moving a copy from one node to the other makes the cluster more even: the sum of the squares of
    /// all loads becomes less. With that, no sequence of moves ever comes back to where it began (#88384).
    pub fn improves(&self, index: &IndexName, load: ShardLoad, (from, to): (HostId, HostId)) -> bool {
        let Factors { shard, index: of_index, write_load, disk_usage } = self.factors;
        let (Some(heavy), Some(light)) = (self.nodes.get(&from), self.nodes.get(&to)) else { return false };
        let gain = |heavy: f64, light: f64, moved: f64| moved * (heavy - light - moved);
        let copies = gain(f64::from(heavy.copies), f64::from(light.copies), 1.0);
        let counts = gain(f64::from(self.count(index, from)), f64::from(self.count(index, to)), 1.0);
        let micros = |micros: u64| micros as f64 / 1e6;
        let (wrote, moves) = (micros(heavy.write_load_micros), micros(load.write_load_micros));
        let writes = gain(wrote, micros(light.write_load_micros), moves);
        // Bytes in units of which one weighs like a copy, so that the squares are of one size.
        let bytes = |bytes: u64| bytes as f64 * disk_usage;
        let disk = gain(bytes(heavy.bytes), bytes(light.bytes), bytes(load.bytes));
        shard * copies + of_index * counts + write_load * writes + disk > 1e-9
    }

    /// Whether a move is worth while here: the lead is large enough, and the cluster becomes more even.
    pub fn is_worth(&self, index: &IndexName, load: ShardLoad, (from, to): (HostId, HostId)) -> bool {
        let lead = self.raw(index, from) - self.raw(index, to);
        lead > self.least_lead(load) && self.improves(index, load, (from, to))
    }
}

impl Average {
    fn of(state: &ClusterState, info: &ClusterInfo) -> Self {
        let nodes = state.nodes.len().max(1) as f64;
        let copies = |index: &IndexMetadata| f64::from(1 + index.replicas);
        let all = state.indices.values().map(|index| index.shards.len() as f64 * copies(index));
        let mut sum = Self { copies: all.sum(), ..Self::default() };
        for (shard, load) in &info.shards {
            let copies = state.indices.get(&shard.index).map_or(0.0, copies);
            sum.write_load += copies * load.write_load_micros as f64 / 1e6;
            sum.bytes += copies * load.bytes as f64;
        }
        Self { copies: sum.copies / nodes, write_load: sum.write_load / nodes, bytes: sum.bytes / nodes }
    }
}

impl Load {
    fn add(&mut self, load: ShardLoad) {
        self.copies += 1;
        self.write_load_micros += load.write_load_micros;
        self.bytes += load.bytes;
    }

    fn remove(&mut self, load: ShardLoad) {
        self.copies -= 1;
        self.write_load_micros -= load.write_load_micros;
        self.bytes -= load.bytes;
    }
}

/// Two sorted lists as one.
struct Merged<L: Iterator, R: Iterator> {
    left: std::iter::Peekable<L>,
    right: std::iter::Peekable<R>,
}

impl<L, R> Iterator for Merged<L, R>
where
    L: Iterator<Item = (f64, HostId)>,
    R: Iterator<Item = (f64, HostId)>,
{
    type Item = (f64, HostId);

    fn next(&mut self) -> Option<Self::Item> {
        match (self.left.peek(), self.right.peek()) {
            (Some(left), Some(right)) if right.0.total_cmp(&left.0).then(right.1.cmp(&left.1)).is_lt() => {
                self.right.next()
            }
            (Some(_), _) => self.left.next(),
            (None, _) => self.right.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        weights_computed: Vec<Vector>,
    }

    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Vector {
        node_shards: f64,
        avg_node_shards: f64,
        node_index_shards: f64,
        avg_index_shards: f64,
        write_load: Option<f64>,
        avg_write_load: f64,
        disk: f64,
        avg_disk: f64,
        weight: f64,
        min_weight_delta_zero_load: Option<f64>,
    }

    /// `w(node, index) = θ0·(shards(node) − avg) + θ1·(shards(node,index) − avg_index) + θ2·(writeLoad(node) −
    /// avgWL) + θ3·(diskBytes(node) − avgDisk)`, before 8.6 with the first two factors only.
    #[test]
    fn weights_equal_the_closed_form() {
        let text = include_str!("../../../tests/vectors/balancer.json");
        let vectors: Vectors = serde_json::from_str(text).unwrap();
        assert_eq!(vectors.weights_computed.len(), 7);
        let all = Settings::default().balance;
        for vector in vectors.weights_computed {
            let two = Factors { write_load: 0.0, disk_usage: 0.0, ..all };
            let factors = if vector.write_load.is_some() { all } else { two }.normalized();
            let weight = factors.weigh(
                vector.node_shards - vector.avg_node_shards,
                vector.node_index_shards - vector.avg_index_shards,
                vector.write_load.unwrap_or(0.0) - vector.avg_write_load,
                vector.disk - vector.avg_disk,
            );
            assert!((weight - vector.weight).abs() < 1e-9, "{weight} is not {}", vector.weight);
            if let Some(delta) = vector.min_weight_delta_zero_load {
                assert!((factors.weigh(1.0, 1.0, 0.0, 0.0) - delta).abs() < 1e-9);
            }
        }
    }
}
