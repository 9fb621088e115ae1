//! Adaptive replica selection — decides which of the nodes that hold a copy is likely to answer a search
//! soonest. It never measures anything itself.
//!
//! Elasticsearch's `ResponseCollectorService` and `IndexShardRoutingTable.rankShardsAndUpdateStats`, after the
//! C3 algorithm: rank = R − S + (1 + outstanding × clients + queue)³ × S, with response time R, service time S
//! and queue of each node as moving averages; the lowest rank comes first, and nodes of which nothing is known
//! come before all others.

use std::collections::{BTreeMap, VecDeque};

use crate::name::HostId;

/// How much the newest value counts in a moving average.
const ALPHA: f64 = 0.3;

/// What is known of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
struct NodeStatistics {
    queue: f64,
    /// Milliseconds, as all times here.
    response: f64,
    service: f64,
}

/// The searches that each node has been sent and has not answered.
pub type Outstanding = BTreeMap<HostId, u64>;

/// What this node knows of those that it sent searches to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResponseCollector {
    nodes: BTreeMap<HostId, NodeStatistics>,
    outstanding: Outstanding,
}

fn moved(average: f64, value: f64) -> f64 {
    ALPHA * value + (1.0 - ALPHA) * average
}

impl ResponseCollector {
    /// A search was sent to this node.
    pub fn sent(&mut self, node: HostId) {
        *self.outstanding.entry(node).or_default() += 1;
    }

    /// A search that was sent to this node has ended, in whatever way.
    pub fn ended(&mut self, node: HostId) {
        if let Some(count) = self.outstanding.get_mut(&node) {
            *count = count.saturating_sub(1);
        }
    }

    /// Searches under way.
    pub fn outstanding(&self) -> Outstanding {
        self.outstanding.clone()
    }

    /// Forgets a node that has left (`removeNode`).
    pub fn forget(&mut self, gone: impl Fn(HostId) -> bool) {
        self.nodes.retain(|node, _| !gone(*node));
    }

    /// Takes up what an answer shows: the length of the node's queue, and how long the answer took and the work
    /// itself, in milliseconds.
    pub fn add(&mut self, node: HostId, queue: u32, response_ms: f64, service_ms: f64) {
        let queue = f64::from(queue);
        let first = NodeStatistics { queue, response: response_ms, service: service_ms };
        let known = self.nodes.get(&node).map(|known| NodeStatistics {
            queue: moved(known.queue, queue),
            response: moved(known.response, response_ms),
            // The node's own average came with the answer.
            service: service_ms,
        });
        self.nodes.insert(node, known.unwrap_or(first));
    }

    fn rank(&self, node: HostId, outstanding: u64) -> Option<f64> {
        let NodeStatistics { queue, response, service } = *self.nodes.get(&node)?;
        // The average of the queue counts as a whole number, as in `ComputedNodeStats`.
        Some(rank(queue.trunc(), response, service, outstanding, self.nodes.len() as u64))
    }

    /// Puts the nodes of one shard into order, those that rank equal as they come, and brings those that did not
    /// win nearer to the winner, so that a slow node is tried again some day.
    pub fn order(&mut self, nodes: VecDeque<HostId>, outstanding: &mut Outstanding) -> VecDeque<HostId> {
        if nodes.len() <= 1 {
            return nodes;
        }
        let ranked = self.ranked(nodes, outstanding);
        if let Some(best) = self.nodes.get(&ranked[0]).copied() {
            ranked.iter().skip(1).for_each(|node| self.approach(*node, best));
            *outstanding.entry(ranked[0]).or_default() += 1;
        }
        ranked
    }

    fn ranked(&self, nodes: VecDeque<HostId>, outstanding: &Outstanding) -> VecDeque<HostId> {
        let of = |node: HostId| outstanding.get(&node).copied().unwrap_or(0);
        let mut ranked: Vec<_> = nodes.into_iter().map(|node| (self.rank(node, of(node)), node)).collect();
        ranked.sort_by(|(a, _), (b, _)| match (a, b) {
            (Some(a), Some(b)) => a.total_cmp(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        ranked.into_iter().map(|(_, node)| node).collect()
    }

    // As `adjustStats`.
    fn approach(&mut self, node: HostId, best: NodeStatistics) {
        let Some(known) = self.nodes.get(&node).copied() else { return };
        let queue = (best.queue as u32 + known.queue as u32) / 2;
        let response = f64::midpoint(best.response, known.response);
        let service = moved(known.service, f64::midpoint(best.service, known.service));
        self.add(node, queue, response, service);
    }
}

fn rank(queue: f64, response: f64, service: f64, outstanding: u64, clients: u64) -> f64 {
    let expected = 1.0 + (outstanding * clients) as f64 + queue;
    response - service + expected * expected * expected * service
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../tests/vectors/adaptive_replica_selection.json")).unwrap()
    }

    fn node(name: &str) -> HostId {
        let number: u16 = name.strip_prefix("node_").unwrap().parse().unwrap();
        HostId::search(number + 1)
    }

    #[test]
    fn ranks_are_those_of_elasticsearch() {
        let vectors = vectors();
        let rows = vectors["ranks_computed"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        for row in rows {
            let number = |name: &str| row[name].as_f64().unwrap();
            let whole = |name: &str| row[name].as_u64().unwrap();
            let ours = rank(
                number("queue"),
                number("resp_ms"),
                number("service_ms"),
                whole("outstanding"),
                whole("clients"),
            );
            assert_eq!(ours, number("rank"), "{row}");
        }
    }

    #[test]
    fn the_sequence_of_picks_is_that_of_elasticsearch() {
        let (vectors, mut collector) = (vectors(), ResponseCollector::default());
        let nodes: VecDeque<HostId> = (1..=3).map(HostId::search).collect();
        let mut turned = nodes.clone();
        for node in &nodes {
            let first = collector.order(turned.clone(), &mut Outstanding::new())[0];
            assert_eq!(first, *node, "nothing known yet");
            turned.rotate_left(1);
        }
        // The picks follow from the figures alone: what a pick does to the others' figures is left out.
        let outstanding: Outstanding = nodes.iter().map(|node| (*node, 1)).collect();
        for step in vectors["sequence"]["then"].as_array().unwrap() {
            for (name, row) in step["add"].as_object().unwrap() {
                let number = |at: usize| row[at].as_f64().unwrap();
                collector.add(node(name), number(0) as u32, number(1), number(2));
            }
            let picked = collector.ranked(nodes.clone(), &outstanding)[0];
            assert_eq!(picked, node(step["pick"].as_str().unwrap()), "{step}");
        }
    }

    #[test]
    fn losers_come_nearer_to_the_winner() {
        let [a, b] = [1, 2].map(HostId::search);
        let mut collector = ResponseCollector::default();
        collector.add(a, 0, 10.0, 1.0);
        collector.add(b, 4, 1_000.0, 1.0);
        for _ in 0..50 {
            collector.order([a, b].into(), &mut Outstanding::new());
        }
        assert!(collector.nodes[&b].response < 15.0 && collector.nodes[&b].queue < 1.0, "{collector:?}");
        assert_eq!(collector.nodes[&a].response, 10.0);
    }

    #[test]
    fn unknown_nodes_come_first_and_busy_ones_last() {
        let [a, b, c] = [1, 2, 3].map(HostId::search);
        let mut collector = ResponseCollector::default();
        collector.add(a, 0, 2.0, 1.0);
        collector.add(b, 0, 2.0, 1.0);
        assert_eq!(collector.order([a, b, c].into(), &mut Outstanding::new()), [c, a, b]);
        let mut outstanding: Outstanding = [(a, 2)].into();
        assert_eq!(collector.order([a, b].into(), &mut outstanding), [b, a]);
        assert_eq!(outstanding[&b], 1, "the winner counts for the next shard of this search");
        collector.forget(|node| node == a);
        assert_eq!(collector.order([b, a].into(), &mut Outstanding::new()), [a, b]);
    }
}
