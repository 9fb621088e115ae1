//! Least-loaded allocator — decides by the number of copies alone where copies go. It never looks at indices,
//! sizes or loads.
//!
//! For comparisons: what the simplest rule comes to that keeps counts even.

use super::{Allocator, deciders::Decision, round::RoutingAllocation};
use crate::{
    event::CopyState,
    name::{HostId, ShardId},
    search::state::ShardCopy,
};

/// Each copy goes to the allowed node with the fewest copies; copies move while one node has two more than
/// another.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeastLoaded;

impl Allocator for LeastLoaded {
    fn name(&self) -> &'static str {
        "least-loaded"
    }

    fn allocate(&mut self, round: &mut RoutingAllocation<'_>) {
        for copy in round.unassigned() {
            let unassigned = round.table(&copy.shard).copies[copy.slot].clone();
            if let Some(node) = emptiest(round, &copy.shard, &unassigned) {
                round.assign(&copy, node, "fewest copies");
            }
        }
        for (shard, id, from) in round.misplaced() {
            let Some(copy) = round.table(&shard).copy(id).cloned() else { continue };
            if let Some(node) = emptiest(round, &shard, &copy) {
                round.move_away(&shard, id, node, format!("it cannot remain on {from}"));
            }
        }
        if !round.awaits_data() {
            while level_once(round) {}
        }
    }
}

/// Nodes by the number of their copies, the emptiest first.
fn by_count(round: &RoutingAllocation<'_>) -> Vec<HostId> {
    let mut nodes: Vec<HostId> = round.nodes().collect();
    nodes.sort_by_key(|node| (round.tally().copies(*node), *node));
    nodes
}

/// The emptiest node that takes the copy, now or soon.
fn emptiest(round: &RoutingAllocation<'_>, shard: &ShardId, copy: &ShardCopy) -> Option<HostId> {
    let is_allowed = |node: &HostId| round.can_allocate(shard, copy, *node).decision != Decision::No;
    by_count(round).into_iter().find(is_allowed)
}

/// Makes one move; whether there was one to make.
fn level_once(round: &mut RoutingAllocation<'_>) -> bool {
    if round.cluster_rebalance().decision != Decision::Yes {
        return false;
    }
    let nodes = by_count(round);
    let (Some(least), Some(most)) = (nodes.first(), nodes.last()) else { return false };
    if round.tally().copies(*most) < round.tally().copies(*least) + 2 {
        return false;
    }
    for from in nodes.iter().rev() {
        for (shard, copy) in started_on(round, *from) {
            let Some(to) = emptiest(round, &shard, &copy) else { continue };
            let is_lighter = round.tally().copies(*from) >= round.tally().copies(to) + 2;
            let may_go = round.can_rebalance(&shard, &copy).decision != Decision::No;
            if let (Some(id), true) = (copy.allocation, is_lighter && may_go) {
                return round.rebalance(&shard, id, to, "fewer copies there") == Decision::Yes;
            }
        }
    }
    false
}

fn started_on(round: &RoutingAllocation<'_>, node: HostId) -> Vec<(ShardId, ShardCopy)> {
    let started = round.state().shards().filter_map(|(shard, table)| {
        let copy = table.on(node).filter(|copy| copy.state == CopyState::Started)?;
        Some((shard, copy.clone()))
    });
    started.collect()
}
