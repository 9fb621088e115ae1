//! Balancer — decides how heavy a node is and which pair of nodes is out of balance. It never decides
//! whether a move is allowed (`deciders`).
//!
//! The two-factor weight function of Elasticsearch's `BalancedShardsAllocator` (before 8.6), and its
//! balancing of one index at a time.

use super::{Settings, tally::Tally};
use crate::name::{HostId, IndexName};

/// What a move has to bring beyond the threshold, against rounding.
const TOLERANCE: f64 = 0.001;

/// How much heavier than average a node is for an index: 0.45 for each copy too many, and 0.55 for each copy
/// of the index too many (with the default factors).
pub fn weight(tally: &Tally, settings: &Settings, index: &IndexName, node: HostId) -> f64 {
    weight_of(
        settings,
        (f64::from(tally.copies(node)), tally.average()),
        (f64::from(tally.copies_of(index, node)), tally.average_of(index)),
    )
}

/// The weight of (copies, their average a node) and (copies of the index, their average a node).
fn weight_of(settings: &Settings, all: (f64, f64), of_index: (f64, f64)) -> f64 {
    let sum = settings.balance_shard + settings.balance_index;
    settings.balance_shard / sum * (all.0 - all.1) + settings.balance_index / sum * (of_index.0 - of_index.1)
}

/// Nodes by weight for an index, lightest first; of equals the lower host.
pub fn by_weight(tally: &Tally, settings: &Settings, index: &IndexName) -> Vec<(f64, HostId)> {
    let mut nodes: Vec<(f64, HostId)> =
        tally.nodes().map(|node| (weight(tally, settings, index, node), node)).collect();
    nodes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    nodes
}

/// Indices by how unevenly they are spread, worst first; of equals the first name.
pub fn by_spread<'a>(
    tally: &Tally,
    settings: &Settings,
    indices: impl Iterator<Item = &'a IndexName>,
) -> Vec<IndexName> {
    let spread = |index: &IndexName| {
        let nodes = by_weight(tally, settings, index);
        nodes.last().zip(nodes.first()).map_or(0.0, |(heaviest, lightest)| heaviest.0 - lightest.0)
    };
    let mut indices: Vec<(f64, &IndexName)> = indices.map(|index| (spread(index), index)).collect();
    indices.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    indices.into_iter().map(|(_, index)| index.clone()).collect()
}

/// Pairs (from, to) whose difference is worth a move, in the order they are tried: from the heaviest to the
/// lightest, to heavier ones if that is not allowed, then from the next heaviest (#3580).
pub fn unbalanced_pairs(
    tally: &Tally,
    settings: &Settings,
    index: &IndexName,
) -> impl Iterator<Item = (HostId, HostId)> {
    let nodes = by_weight(tally, settings, index);
    let least = settings.threshold.max(1.0) + TOLERANCE;
    let heaviest_first = (0..nodes.len()).rev();
    heaviest_first.flat_map(move |high| {
        let (heavy, from) = nodes[high];
        let lighter = nodes[..high].iter().take_while(move |(light, _)| heavy - light > least);
        lighter.map(|(_, to)| (from, *to)).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        weights: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        node_shards: f64,
        avg_node_shards: f64,
        node_index_shards: f64,
        avg_index_shards: f64,
        weight: f64,
    }

    /// `w(node, index) = θ0·(shards(node) − avg) + θ1·(shards(node,index) − avg_index)`.
    #[test]
    fn weights_equal_the_closed_form() {
        let text = include_str!("../../../tests/vectors/balancer.json");
        let vectors: Vectors = serde_json::from_str(text).unwrap();
        assert_eq!(vectors.weights.len(), 5);
        for vector in vectors.weights {
            let all = (vector.node_shards, vector.avg_node_shards);
            let of_index = (vector.node_index_shards, vector.avg_index_shards);
            let weight = weight_of(&Settings::default(), all, of_index);
            assert!((weight - vector.weight).abs() < 1e-9, "{weight} is not {}", vector.weight);
        }
    }
}
