//! Allocation — decides where copies of shards go, with a reason for each move. It never decides what
//! happens to a copy that is lost (`transition`), and it remembers nothing.
//!
//! In Elasticsearch's order: unassigned copies are placed, copies that must leave their node are moved (no
//! decider here forces a copy to leave), and then the cluster is balanced.

pub mod balancer;
pub mod deciders;
mod place;
pub mod tally;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::state::{ClusterState, ShardTable};
use crate::{
    core::Instant,
    event::CopyState,
    name::{AllocationId, HostId, IndexName, ShardId},
};
use deciders::Decision;
use tally::Tally;

/// Settings of the allocator; the defaults are Elasticsearch's.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `cluster.routing.allocation.balance.shard`.
    pub balance_shard: f64,
    /// `cluster.routing.allocation.balance.index`.
    pub balance_index: f64,
    /// `cluster.routing.allocation.balance.threshold`; at least 1.
    pub threshold: f64,
    /// `cluster.routing.allocation.node_initial_primaries_recoveries`.
    pub initial_primaries: u32,
    /// `cluster.routing.allocation.node_concurrent_incoming_recoveries`.
    pub incoming_recoveries: u32,
    /// `cluster.routing.allocation.node_concurrent_outgoing_recoveries`.
    pub outgoing_recoveries: u32,
    /// `cluster.routing.allocation.cluster_concurrent_rebalance`.
    pub concurrent_rebalance: u32,
    /// `index.allocation.max_retries`.
    pub retries_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            balance_shard: 0.45,
            balance_index: 0.55,
            threshold: 1.0,
            initial_primaries: 4,
            incoming_recoveries: 2,
            outgoing_recoveries: 2,
            concurrent_rebalance: 2,
            retries_max: 5,
        }
    }
}

/// Until when an unassigned copy waits for the node that has its data. A copy that is not named does not
/// wait.
pub type Deadlines = BTreeMap<AllocationId, Instant>;

/// What is done with a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// An unassigned primary goes to a node.
    AssignPrimary {
        /// Where.
        node: HostId,
        /// The copy of the in-sync set whose data it has; none: it is new and empty.
        from_disk: Option<AllocationId>,
    },
    /// An unassigned replica goes to a node.
    AssignReplica {
        /// Where.
        node: HostId,
        /// The copy that was there before and has come back; none: it is built anew.
        from_disk: Option<AllocationId>,
    },
    /// A started copy moves.
    Relocate {
        /// Which.
        copy: AllocationId,
        /// From where.
        from: HostId,
        /// To where.
        to: HostId,
    },
}

/// One decision of the allocator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The shard.
    pub shard: ShardId,
    /// What is done.
    pub action: Action,
    /// Why, for people.
    pub why: String,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shard, action, why } = self;
        match action {
            Action::AssignPrimary { node, .. } => write!(f, "{shard} primary to {node} ({why})"),
            Action::AssignReplica { node, .. } => write!(f, "{shard} replica to {node} ({why})"),
            Action::Relocate { from, to, .. } => write!(f, "{shard} from {from} to {to} ({why})"),
        }
    }
}

/// What the allocator came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Rerouted {
    /// The state after all moves.
    pub state: ClusterState,
    /// The moves, in order.
    pub moves: Vec<Move>,
}

/// Places what is unassigned, then balances, as far as the deciders allow it now. The same input gives the
/// same moves.
pub fn reroute(state: ClusterState, settings: &Settings, deadlines: &Deadlines, now: Instant) -> Rerouted {
    let tally = Tally::of(&state);
    let mut round =
        Round { state, settings, deadlines, now, tally, held: BTreeSet::new(), moves: Vec::new() };
    if !round.state.nodes.is_empty() {
        round.allocate_unassigned();
        round.balance();
    }
    Rerouted { state: round.state, moves: round.moves }
}

/// One run of the allocator.
struct Round<'a> {
    state: ClusterState,
    settings: &'a Settings,
    deadlines: &'a Deadlines,
    now: Instant,
    tally: Tally,
    held: BTreeSet<AllocationId>,
    moves: Vec<Move>,
}

impl Round<'_> {
    fn table(&self, shard: &ShardId) -> &ShardTable {
        self.state.shard(shard).unwrap_or_else(|| unreachable!("a round never removes a shard"))
    }

    fn balance(&mut self) {
        // The guard that every shard would meet, once.
        if deciders::cluster_rebalance(&self.state).decision == Decision::No {
            return;
        }
        for index in balancer::by_spread(&self.tally, self.settings, self.state.indices.keys()) {
            while self.balance_once(&index) {}
        }
    }

    fn balance_once(&mut self, index: &IndexName) -> bool {
        let pairs: Vec<_> = balancer::unbalanced_pairs(&self.tally, self.settings, index).collect();
        pairs.into_iter().any(|(from, to)| self.try_move(index, from, to))
    }

    /// Moves one copy of the index from one node to the other, the highest shard number first. What may
    /// move later is counted as moved, so that nothing else moves in its stead.
    fn try_move(&mut self, index: &IndexName, from: HostId, to: HostId) -> bool {
        let Some((number, copy, decision)) = self.find_movable(index, from, to) else { return false };
        let shard = ShardId { index: index.clone(), number };
        if decision == Decision::Yes {
            self.relocate(shard, copy, from, to);
        } else {
            self.held.insert(copy);
        }
        self.tally.remove(index, from);
        self.tally.add(index, to);
        true
    }

    fn find_movable(
        &self,
        index: &IndexName,
        from: HostId,
        to: HostId,
    ) -> Option<(u32, AllocationId, Decision)> {
        let shards = &self.state.indices.get(index)?.shards;
        (0..shards.len()).rev().find_map(|number| {
            let (copy, decision) = self.movable(&shards[number], from, to)?;
            Some((number as u32, copy, decision))
        })
    }

    fn movable(&self, table: &ShardTable, from: HostId, to: HostId) -> Option<(AllocationId, Decision)> {
        let copy = table.on(from).filter(|copy| copy.state == CopyState::Started)?;
        let id = copy.allocation.filter(|id| !self.held.contains(id))?;
        let (tally, settings) = (&self.tally, self.settings);
        let leave = deciders::can_rebalance(&self.state, tally, settings, table, copy);
        let arrive = deciders::can_allocate(tally, settings, table, copy, to);
        let decision = leave.decision.max(arrive.decision);
        (decision != Decision::No).then_some((id, decision))
    }

    fn relocate(&mut self, shard: ShardId, copy: AllocationId, from: HostId, to: HostId) {
        let weigh = |node| balancer::weight(&self.tally, self.settings, &shard.index, node);
        let why = format!("balance: {:.2} against {:.2}", weigh(from), weigh(to));
        let target = self.state.relocate(&shard, copy, to);
        self.tally.add_relocation();
        self.count_recovery(&shard, target, to);
        self.moves.push(Move { shard, action: Action::Relocate { copy, from, to }, why });
    }

    fn count_recovery(&mut self, shard: &ShardId, id: AllocationId, node: HostId) {
        let table = self.table(shard).clone();
        if let Some(copy) = table.copy(id) {
            self.tally.count_recovery(&table, copy, node);
        }
    }
}

#[cfg(test)]
mod tests;
