//! Routing allocation — decides whether a move that an allocator wants is made: only if every decider says so.
//! It never chooses a node.
//!
//! Elasticsearch's `RoutingAllocation` with its `RoutingNodes`: the state as it becomes, move by move, what is
//! known of disks and sizes, the settings, the clock.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    Action, Deadlines, Lineage, Move,
    deciders::{Asked, Decision, Ruling},
    info::{ClusterInfo, ShardLoad},
    settings::{IndexRules, Settings},
    tally::Tally,
};
use crate::{
    core::Instant,
    event::CopyState,
    name::{AllocationId, HostId, ShardId},
    search::state::{ClusterState, ShardCopy, ShardTable},
};

/// What an allocation goes by, beside the state.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Settings, as read from the state's document.
    pub settings: &'a Settings,
    /// Disks and sizes.
    pub info: &'a ClusterInfo,
    /// Which unassigned copies wait for their node, and until when.
    pub deadlines: &'a Deadlines,
    /// The controller's clock.
    pub now: Instant,
    /// From which copies a primary may come.
    pub lineage: Lineage,
}

/// Whether deciders say why, or only what: texts are made for people who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// They say why.
    Said,
    /// They do not.
    Spared,
}

/// Whether a move may be made although allocation is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Only what `cluster.routing.allocation.enable` leaves.
    Settings,
    /// Somebody has ordered it (`RoutingAllocation.ignoreDisable`).
    Ordered,
}

/// An unassigned copy: its shard, and its place in the shard's table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unassigned {
    /// The shard.
    pub shard: ShardId,
    /// The position among the copies of its table.
    pub slot: usize,
    /// Whether it is the primary.
    pub primary: bool,
}

/// One run of allocation: the state, and what changes it.
#[derive(Debug)]
pub struct RoutingAllocation<'a> {
    pub(super) state: ClusterState,
    pub(super) inputs: Inputs<'a>,
    pub(super) tally: Tally,
    pub(super) words: Words,
    pub(super) leave: Leave,
    /// The values that each attribute of awareness has among the nodes.
    pub(super) attribute_values: BTreeMap<String, BTreeSet<String>>,
    /// Unassigned copies that are not the allocator's business: they wait, or have been dealt with.
    ignored: BTreeSet<(ShardId, usize)>,
    moves: Vec<Move>,
    refused: Vec<Move>,
}

impl<'a> RoutingAllocation<'a> {
    /// An allocation that starts from this state.
    pub fn new(state: ClusterState, inputs: Inputs<'a>) -> Self {
        let tally = Tally::of(&state, inputs.info);
        let values = |attribute: &String| {
            let values = state.nodes.values().filter_map(|node| node.attribute(attribute));
            (attribute.clone(), values.map(str::to_owned).collect())
        };
        let attribute_values = inputs.settings.awareness.iter().map(values).collect();
        let (ignored, moves, refused) = (BTreeSet::new(), Vec::new(), Vec::new());
        let (words, leave) = (Words::Spared, Leave::Settings);
        Self { state, inputs, tally, words, leave, attribute_values, ignored, moves, refused }
    }

    /// The state as it is now, with all moves made so far.
    pub fn state(&self) -> &ClusterState {
        &self.state
    }

    /// The settings.
    pub fn settings(&self) -> &'a Settings {
        self.inputs.settings
    }

    /// What is known of disks and sizes.
    pub fn info(&self) -> &'a ClusterInfo {
        self.inputs.info
    }

    /// What allocation goes by.
    pub fn inputs(&self) -> Inputs<'a> {
        self.inputs
    }

    /// Counts over the state as it is now.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = HostId> {
        self.state.nodes.keys().copied()
    }

    /// What is known of a shard's size.
    pub fn load(&self, shard: &ShardId) -> ShardLoad {
        self.inputs.info.shard(shard)
    }

    /// A shard's table.
    ///
    /// # Panics
    ///
    /// If there is no such shard.
    pub fn table(&self, shard: &ShardId) -> &ShardTable {
        self.state.shard(shard).unwrap_or_else(|| panic!("{shard} is a shard"))
    }

    pub(super) fn rules(&self, shard: &ShardId) -> &'a IndexRules {
        self.inputs.settings.of_index(&shard.index)
    }

    pub(super) fn say(&self, text: impl FnOnce() -> String) -> Cow<'static, str> {
        match self.words {
            Words::Said => text().into(),
            Words::Spared => "".into(),
        }
    }

    /// The unassigned copies that the allocator is to place: primaries first (`PriorityComparator`), in order of
    /// index and shard. Copies with data on some disk are not among them while it can be used or waited for.
    pub fn unassigned(&self) -> Vec<Unassigned> {
        let mut primaries = Vec::new();
        let mut replicas = Vec::new();
        for (shard, table) in self.state.shards() {
            for (slot, copy) in table.copies.iter().enumerate() {
                if copy.state != CopyState::Unassigned || self.ignores(&shard, slot) {
                    continue;
                }
                let list = if copy.primary { &mut primaries } else { &mut replicas };
                list.push(Unassigned { shard: shard.clone(), slot, primary: copy.primary });
            }
        }
        primaries.append(&mut replicas);
        primaries
    }

    fn ignores(&self, shard: &ShardId, slot: usize) -> bool {
        !self.ignored.is_empty() && self.ignored.contains(&(shard.clone(), slot))
    }

    /// The allocator has nothing to do with this copy.
    pub(super) fn ignore(&mut self, shard: &ShardId, slot: usize) {
        self.ignored.insert((shard.clone(), slot));
    }

    /// Whether a copy waits for the node that has its data.
    pub(super) fn waits(&self, copy: &ShardCopy) -> bool {
        let deadline = |id: AllocationId| self.inputs.deadlines.get(&id);
        copy.node.is_none() && copy.allocation.and_then(deadline).is_some_and(|at| self.inputs.now < *at)
    }

    /// Whether a copy that is unassigned may come back with a node that is away: nothing is balanced
    /// meanwhile (Elasticsearch #14387).
    pub fn awaits_data(&self) -> bool {
        if self.inputs.deadlines.is_empty() {
            return false;
        }
        self.state.shards().any(|(_, table)| table.copies.iter().any(|copy| self.waits(copy)))
    }

    /// Whether this copy, unassigned or about to move, may be built on the node now.
    pub fn can_allocate(&self, shard: &ShardId, copy: &ShardCopy, node: HostId) -> Ruling {
        self.ruling_to_allocate(&Asked { shard, table: self.table(shard), copy }, node)
    }

    /// Whether this copy may stay where it is.
    pub fn can_remain(&self, shard: &ShardId, copy: &ShardCopy) -> Ruling {
        self.ruling_to_remain(&Asked { shard, table: self.table(shard), copy })
    }

    /// Whether this copy may move now for the sake of balance.
    pub fn can_rebalance(&self, shard: &ShardId, copy: &ShardCopy) -> Ruling {
        self.ruling_to_rebalance(&Asked { shard, table: self.table(shard), copy })
    }

    /// Assigns an unassigned copy, new and empty, if every decider says yes. Returns what they say.
    pub fn assign(&mut self, to: &Unassigned, node: HostId, why: impl Into<String>) -> Decision {
        let copy = self.table(&to.shard).copies.get(to.slot).cloned();
        let Some(copy) = copy.filter(|copy| copy.state == CopyState::Unassigned) else { return Decision::No };
        if self.ignores(&to.shard, to.slot) || !self.state.nodes.contains_key(&node) {
            return Decision::No;
        }
        let ruling = self.can_allocate(&to.shard, &copy, node);
        let why = why.into();
        match ruling.decision {
            Decision::Yes => self.place(&to.shard, to.slot, node, None, why),
            _ => self.refuse(&to.shard, action(copy.primary, node, None), &ruling, &why),
        }
        ruling.decision
    }

    /// Moves a copy that may not stay where it is, if every decider lets it go there. Returns what they say.
    pub fn move_away(
        &mut self,
        shard: &ShardId,
        id: AllocationId,
        to: HostId,
        why: impl Into<String>,
    ) -> Decision {
        let must_go = |round: &Self, copy: &ShardCopy| match round.can_remain(shard, copy).decision {
            Decision::No => Decision::Yes,
            _ => Decision::No,
        };
        self.move_if(shard, id, to, why.into(), must_go)
    }

    /// Moves a copy for the sake of balance, if every decider lets it go and lets it go there. Returns what they
    /// say.
    pub fn rebalance(
        &mut self,
        shard: &ShardId,
        id: AllocationId,
        to: HostId,
        why: impl Into<String>,
    ) -> Decision {
        let may_go = |round: &Self, copy: &ShardCopy| round.can_rebalance(shard, copy).decision;
        self.move_if(shard, id, to, why.into(), may_go)
    }

    fn move_if(
        &mut self,
        shard: &ShardId,
        id: AllocationId,
        to: HostId,
        why: String,
        leave: impl FnOnce(&Self, &ShardCopy) -> Decision,
    ) -> Decision {
        let Some(copy) = self.state.shard(shard).and_then(|table| table.copy(id)) else {
            return Decision::No;
        };
        let Some(from) = copy.node.filter(|_| copy.state == CopyState::Started) else { return Decision::No };
        if !self.state.nodes.contains_key(&to) {
            return Decision::No;
        }
        let (copy, leave) = (copy.clone(), leave(self, copy));
        let arrive = self.can_allocate(shard, &copy, to);
        let decision = leave.max(arrive.decision);
        if decision == Decision::Yes {
            self.relocate(shard, id, to, why);
        } else {
            self.refuse(shard, Action::Relocate { copy: id, from, to }, &arrive, &why);
        }
        decision
    }

    /// Puts an unassigned copy on a node, whatever deciders say.
    pub(super) fn place(
        &mut self,
        shard: &ShardId,
        slot: usize,
        node: HostId,
        from_disk: Option<AllocationId>,
        why: String,
    ) {
        self.state.assign(shard, slot, node, from_disk);
        let Self { state, tally, inputs, .. } = self;
        let Some(table) = state.shard(shard) else { return };
        let copy = &table.copies[slot];
        tally.assigned(inputs.info, shard, table, copy);
        let action = action(copy.primary, node, from_disk);
        self.moves.push(Move { shard: shard.clone(), action, why });
    }

    /// Begins to move a started copy, whatever deciders say.
    pub(super) fn relocate(&mut self, shard: &ShardId, id: AllocationId, to: HostId, why: String) {
        let target = self.state.relocate(shard, id, to);
        let Self { state, tally, inputs, .. } = self;
        let Some(table) = state.shard(shard) else { return };
        let (Some(source), Some(target)) = (table.copy(id), table.copy(target)) else { return };
        tally.moved(inputs.info, shard, table, (source, target));
        if let Some(from) = source.node {
            self.moves.push(Move {
                shard: shard.clone(),
                action: Action::Relocate { copy: id, from, to },
                why,
            });
        }
    }

    /// Counts anew, after the state was changed otherwise than by moves.
    pub(super) fn recount(&mut self) {
        self.tally = Tally::of(&self.state, self.inputs.info);
    }

    fn refuse(&mut self, shard: &ShardId, action: Action, ruling: &Ruling, why: &str) {
        let why = format!("{why}; refused by {}", ruling.decider);
        self.refused.push(Move { shard: shard.clone(), action, why });
    }

    /// The state, the moves that were made, and those that deciders refused.
    pub(super) fn into_parts(self) -> (ClusterState, Vec<Move>, Vec<Move>) {
        (self.state, self.moves, self.refused)
    }
}

fn action(primary: bool, node: HostId, from_disk: Option<AllocationId>) -> Action {
    match primary {
        true => Action::AssignPrimary { node, from_disk },
        false => Action::AssignReplica { node, from_disk },
    }
}
