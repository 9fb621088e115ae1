//! Desired-balance allocator — decides first where every copy should be in the end, and then which moves bring
//! the cluster there. It never lets the way decide the goal.
//!
//! Elasticsearch's `DesiredBalanceShardsAllocator`: the goal is computed on a simulated routing table in which
//! recoveries end at once, and kept until its inputs change; the reconciler moves toward it under deciders and
//! throttles. A new input begins from the goal that was, so that it is never started over (#128021).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Allocator, Deadlines,
    balanced::Balanced,
    deciders::Decision,
    round::{Inputs, RoutingAllocation, Unassigned},
};
use crate::{
    event::CopyState,
    name::{AllocationId, HostId, IndexName, ShardId},
    search::{
        settings::Watermark,
        state::{ClusterState, ShardTable},
    },
};

/// Rounds of a simulation after which the goal is taken as it is.
const ROUNDS_MAX: usize = 200;

/// The allocator, with the goal it holds.
#[derive(Debug, Clone, Default)]
pub struct DesiredBalance {
    goal: BTreeMap<ShardId, BTreeSet<HostId>>,
    inputs: Option<Shape>,
}

/// What the goal depends on.
#[derive(Debug, Clone, PartialEq)]
struct Shape {
    settings: u64,
    nodes: Vec<HostId>,
    indices: Vec<(IndexName, usize, u32)>,
    /// Disks beyond a watermark: low, high.
    full: Vec<(HostId, bool, bool)>,
}

impl Shape {
    fn of(round: &RoutingAllocation<'_>) -> Self {
        let settings = round.settings();
        let disks = round.info().disks.iter().map(|(node, disk)| {
            let is_passed = |mark: Watermark| mark.is_passed(disk.total, disk.free);
            (*node, is_passed(settings.disk.low), is_passed(settings.disk.high))
        });
        let indices = round.state().indices.iter();
        Self {
            settings: settings.version,
            nodes: round.nodes().collect(),
            indices: indices
                .map(|(name, index)| (name.clone(), index.shards.len(), index.replicas))
                .collect(),
            full: disks.filter(|(_, low, _)| *low).collect(),
        }
    }
}

impl Allocator for DesiredBalance {
    fn name(&self) -> &'static str {
        "desired-balance"
    }

    fn allocate(&mut self, round: &mut RoutingAllocation<'_>) {
        let shape = Shape::of(round);
        if self.inputs.as_ref() != Some(&shape) {
            self.goal = self.compute(round);
            self.inputs = Some(shape);
        }
        self.take_commands(round);
        self.reconcile(round);
    }
}

impl DesiredBalance {
    /// Where every copy should be: throttles lifted, recoveries ended at once, until nothing moves.
    fn compute(&self, round: &RoutingAllocation<'_>) -> BTreeMap<ShardId, BTreeSet<HostId>> {
        let settings = round.settings().unthrottled();
        let deadlines = Deadlines::new();
        let inputs = Inputs { settings: &settings, deadlines: &deadlines, ..round.inputs() };
        let mut state = round.state().clone();
        for _ in 0..ROUNDS_MAX {
            let mut simulated = RoutingAllocation::new(state, inputs);
            simulated.allocate_existing();
            self.place_as_before(&mut simulated);
            Balanced::default().allocate(&mut simulated);
            state = simulated.into_parts().0;
            if start_all(&mut state) == 0 {
                break;
            }
        }
        let nodes = |table: &ShardTable| table.copies.iter().filter_map(|copy| copy.node).collect();
        state.shards().map(|(shard, table)| (shard, nodes(table))).collect()
    }

    /// What somebody has ordered is what is wanted (`PendingDesiredBalanceMoves`): a copy does not go back from where it
    /// was moved to.
    fn take_commands(&mut self, round: &RoutingAllocation<'_>) {
        for shard in &round.state().commanded {
            let Some(table) = round.state().shard(shard) else { continue };
            let stays = table.copies.iter().filter(|copy| copy.state != CopyState::Relocating);
            let mut nodes: BTreeSet<HostId> = stays.filter_map(|copy| copy.node).collect();
            // Copies that wait for a node go where they were to go.
            let wanted = self.goal.remove(shard).unwrap_or_default();
            let lacks = table.copies.iter().filter(|copy| copy.node.is_none()).count();
            let others: Vec<_> = wanted.difference(&nodes).take(lacks).copied().collect();
            nodes.extend(others);
            self.goal.insert(shard.clone(), nodes);
        }
    }

    /// Unassigned copies go where the goal so far wants them, if they may.
    fn place_as_before(&self, round: &mut RoutingAllocation<'_>) {
        for copy in round.unassigned() {
            self.place_as_wanted(round, &copy);
        }
    }

    fn place_as_wanted(&self, round: &mut RoutingAllocation<'_>, copy: &Unassigned) -> Decision {
        let wanted = self.goal.get(&copy.shard).into_iter().flatten();
        let unassigned = round.table(&copy.shard).copies[copy.slot].clone();
        let is_allowed =
            |node: &&HostId| round.can_allocate(&copy.shard, &unassigned, **node).decision != Decision::No;
        match wanted.into_iter().find(is_allowed).copied() {
            Some(node) => round.assign(copy, node, "where it should be"),
            None => Decision::No,
        }
    }

    fn reconcile(&self, round: &mut RoutingAllocation<'_>) {
        for copy in round.unassigned() {
            if self.place_as_wanted(round, &copy) == Decision::No {
                place_anywhere(round, &copy);
            }
        }
        for (shard, id, from) in round.misplaced() {
            let Some(copy) = round.table(&shard).copy(id) else { continue };
            let takes = |node: &HostId| round.can_allocate(&shard, copy, *node).decision != Decision::No;
            let to = self.vacant(round, &shard).into_iter().chain(round.nodes()).find(takes);
            if let Some(to) = to {
                round.move_away(&shard, id, to, format!("it cannot remain on {from}"));
            }
        }
        if round.cluster_rebalance().decision == Decision::Yes && !round.awaits_data() {
            self.move_toward_goal(round);
        }
    }

    /// Nodes that should have a copy of the shard, and have none.
    fn vacant(&self, round: &RoutingAllocation<'_>, shard: &ShardId) -> Vec<HostId> {
        let table = round.table(shard);
        let wanted = self.goal.get(shard).into_iter().flatten();
        wanted.filter(|node| table.on(**node).is_none()).copied().collect()
    }

    fn move_toward_goal(&self, round: &mut RoutingAllocation<'_>) {
        for (shard, id) in self.undesired(round) {
            let Some(copy) = round.table(&shard).copy(id) else { continue };
            let takes = |node: &HostId| round.can_allocate(&shard, copy, *node).decision == Decision::Yes;
            let may_go = round.can_rebalance(&shard, copy).decision == Decision::Yes;
            let to = self.vacant(round, &shard).into_iter().find(takes).filter(|_| may_go);
            if let Some(to) = to {
                round.rebalance(&shard, id, to, "it should be there");
            }
        }
    }

    /// Started copies on nodes where they should not be, in order.
    fn undesired(&self, round: &RoutingAllocation<'_>) -> Vec<(ShardId, AllocationId)> {
        let mut found = Vec::new();
        for (shard, table) in round.state().shards() {
            let Some(wanted) = self.goal.get(&shard) else { continue };
            for copy in table.copies.iter().filter(|copy| copy.state == CopyState::Started) {
                if let (Some(node), Some(id)) = (copy.node, copy.allocation)
                    && !wanted.contains(&node)
                {
                    found.push((shard.clone(), id));
                }
            }
        }
        found
    }
}

/// Any node that takes it, the one with the fewest copies first.
fn place_anywhere(round: &mut RoutingAllocation<'_>, copy: &Unassigned) {
    let mut nodes: Vec<HostId> = round.nodes().collect();
    nodes.sort_by_key(|node| (round.tally().copies(*node), *node));
    let unassigned = round.table(&copy.shard).copies[copy.slot].clone();
    let takes = |node: &HostId| round.can_allocate(&copy.shard, &unassigned, *node).decision != Decision::No;
    if let Some(node) = nodes.into_iter().find(takes) {
        round.assign(copy, node, "where it may be");
    }
}

/// Every recovery ends at once, as a plan assumes; returns how many there were.
pub fn start_all(state: &mut ClusterState) -> usize {
    let mut due = Vec::new();
    for (shard, table) in state.shards() {
        for copy in table.copies.iter().filter(|copy| copy.state == CopyState::Initializing) {
            if let (Some(id), Some(node)) = (copy.allocation, copy.node) {
                due.push((shard.clone(), id, table.term, node));
            }
        }
    }
    for (shard, id, term, node) in &due {
        state.copy_started(shard, *id, *term, *node);
    }
    due.len()
}
