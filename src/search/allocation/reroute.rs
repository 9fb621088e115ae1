//! Reroute — decides what becomes of a cluster state when somebody orders copies about. It never decides who may.
//!
//! The commands of Elasticsearch's `POST /_cluster/reroute`, with its reasons. The first that cannot be done
//! spoils all of them.

use serde::{Deserialize, Serialize};

use super::{
    deciders::{Asked, Decision, Ruling},
    round::{Inputs, RoutingAllocation, Words},
};
use crate::{
    event::CopyState,
    name::{AllocationId, HostId, IndexName, ShardId},
    search::{
        api::ApiError,
        state::{ClusterState, ShardCopy, UnassignedInfo, UnassignedReason},
        transition::Cause,
    },
};

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A started copy is to move.
    Move {
        /// Its index.
        index: IndexName,
        /// Its shard.
        shard: u32,
        /// Where it is.
        from_node: HostId,
        /// Where it is to go.
        to_node: HostId,
    },
    /// The recovery of a copy, or the copy itself, is to be given up; it is placed anew.
    Cancel {
        /// Its index.
        index: IndexName,
        /// Its shard.
        shard: u32,
        /// Where it is.
        node: HostId,
        /// Whether it may be the primary.
        #[serde(default)]
        allow_primary: bool,
    },
    /// An unassigned replica is to be built on a node.
    AllocateReplica {
        /// Its index.
        index: IndexName,
        /// Its shard.
        shard: u32,
        /// Where.
        node: HostId,
    },
    /// A copy that may lack acknowledged writes is to be the primary.
    AllocateStalePrimary {
        /// Its index.
        index: IndexName,
        /// Its shard.
        shard: u32,
        /// Where its data is.
        node: HostId,
        /// Must be true.
        #[serde(default)]
        accept_data_loss: bool,
    },
    /// An empty primary is to take the place of what was there.
    AllocateEmptyPrimary {
        /// Its index.
        index: IndexName,
        /// Its shard.
        shard: u32,
        /// Where.
        node: HostId,
        /// Must be true if the shard ever had a primary.
        #[serde(default)]
        accept_data_loss: bool,
    },
}

impl Command {
    /// Elasticsearch's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Move { .. } => "move",
            Self::Cancel { .. } => "cancel",
            Self::AllocateReplica { .. } => "allocate_replica",
            Self::AllocateStalePrimary { .. } => "allocate_stale_primary",
            Self::AllocateEmptyPrimary { .. } => "allocate_empty_primary",
        }
    }

    fn shard(&self) -> ShardId {
        let (Self::Move { index, shard, .. }
        | Self::Cancel { index, shard, .. }
        | Self::AllocateReplica { index, shard, .. }
        | Self::AllocateStalePrimary { index, shard, .. }
        | Self::AllocateEmptyPrimary { index, shard, .. }) = self;
        ShardId { index: index.clone(), number: *shard }
    }

    fn nodes(&self) -> Vec<HostId> {
        match self {
            Self::Move { from_node, to_node, .. } => vec![*from_node, *to_node],
            Self::Cancel { node, .. }
            | Self::AllocateReplica { node, .. }
            | Self::AllocateStalePrimary { node, .. }
            | Self::AllocateEmptyPrimary { node, .. } => vec![*node],
        }
    }
}

/// What deciders say to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The command.
    pub command: Command,
    /// Each decider's answer.
    pub decisions: Vec<DeciderAnswer>,
}

/// A decider's answer, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeciderAnswer {
    /// Its name.
    pub decider: String,
    /// What it says.
    pub decision: Decision,
    /// Why.
    pub explanation: String,
}

impl From<Ruling> for DeciderAnswer {
    fn from(ruling: Ruling) -> Self {
        let Ruling { decision, decider, why } = ruling;
        Self { decider: decider.to_owned(), decision, explanation: why.into_owned() }
    }
}

/// Carries out commands, in order; what follows from them by itself is left to the next allocation. The shards
/// are noted in the state ([`ClusterState::commanded`]).
///
/// # Errors
///
/// 400 `illegal_argument_exception` or 404 `index_not_found_exception` for the first command that cannot be done.
pub fn apply(
    state: ClusterState,
    commands: &[Command],
    inputs: Inputs<'_>,
) -> Result<(ClusterState, Vec<Explanation>), ApiError> {
    let mut round = RoutingAllocation::new(state, inputs);
    round.words = Words::Said;
    let mut explanations = Vec::new();
    for command in commands {
        let decisions = round.command(command)?;
        let decisions = decisions.into_iter().map(DeciderAnswer::from).collect();
        explanations.push(Explanation { command: command.clone(), decisions });
        round.state.commanded.insert(command.shard());
    }
    Ok((round.into_parts().0, explanations))
}

impl RoutingAllocation<'_> {
    fn command(&mut self, command: &Command) -> Result<Vec<Ruling>, ApiError> {
        let shard = command.shard();
        if !self.state.indices.contains_key(&shard.index) {
            return Err(no_index(&shard.index));
        }
        if self.state.shard(&shard).is_none() {
            return Err(refused(format!("no such shard [{}][{}]", shard.index, shard.number)));
        }
        if let Some(node) = command.nodes().into_iter().find(|node| !self.state.nodes.contains_key(node)) {
            return Err(refused(format!("failed to resolve [{node}], no matching nodes")));
        }
        match command {
            Command::Move { from_node, to_node, .. } => self.command_move(&shard, *from_node, *to_node),
            Command::Cancel { node, allow_primary, .. } => self.command_cancel(&shard, *node, *allow_primary),
            Command::AllocateReplica { node, .. } => self.command_replica(&shard, *node),
            Command::AllocateStalePrimary { node, accept_data_loss, .. } => {
                self.command_stale_primary(&shard, *node, *accept_data_loss)
            }
            Command::AllocateEmptyPrimary { node, accept_data_loss, .. } => {
                self.command_empty_primary(&shard, *node, *accept_data_loss)
            }
        }
    }

    fn command_move(&mut self, shard: &ShardId, from: HostId, to: HostId) -> Result<Vec<Ruling>, ApiError> {
        let name = bracketed(shard);
        let table = self.table(shard);
        let Some(copy) = table.on(from) else {
            return Err(refused(format!(
                "[move_allocation] can't move {name}, failed to find it on node {from}"
            )));
        };
        let id = copy.allocation.filter(|_| copy.state == CopyState::Started);
        let Some(id) = id else {
            let state = format!("{:?}", copy.state).to_uppercase();
            return Err(refused(format!(
                "[move_allocation] can't move {name}, shard is not started (state = {state}]"
            )));
        };
        let rulings = self.rulings_to_allocate(&Asked { shard, table, copy }, to);
        if let Some(no) = objection(&rulings) {
            return Err(refused(format!(
                "[move_allocation] can't move {name}, from {from}, to {to}, since its not allowed, reason: {no}"
            )));
        }
        self.relocate(shard, id, to, "ordered".to_owned());
        Ok(rulings)
    }

    fn command_cancel(
        &mut self,
        shard: &ShardId,
        node: HostId,
        allow_primary: bool,
    ) -> Result<Vec<Ruling>, ApiError> {
        let name = bracketed(shard);
        let Some(copy) = self.table(shard).on(node).cloned() else {
            return Err(refused(format!(
                "[cancel_allocation] can't find {name}, failed to find it on node {node}"
            )));
        };
        let leads = copy.primary || self.is_target_of_primary(shard, &copy);
        if leads && !allow_primary {
            let what = if copy.is_active() { "started" } else { "initializing its state" };
            return Err(refused(format!(
                "[cancel_allocation] can't cancel {name} on node {node}, shard is primary and {what}"
            )));
        }
        let Some((table, _)) = self.state.table_mut(shard) else { return Ok(Vec::new()) };
        if let Some(id) = copy.allocation {
            table.lose(id, Cause::Cancelled);
        }
        self.state.forget_homes();
        self.recount();
        Ok(Vec::new())
    }

    fn is_target_of_primary(&self, shard: &ShardId, copy: &ShardCopy) -> bool {
        let source = copy.relocating.filter(|_| copy.is_target());
        source.and_then(|id| self.table(shard).copy(id)).is_some_and(|source| source.primary)
    }

    fn command_replica(&mut self, shard: &ShardId, node: HostId) -> Result<Vec<Ruling>, ApiError> {
        let name = bracketed(shard);
        let table = self.table(shard);
        if table.primary().is_none() {
            return Err(refused(format!(
                "[allocate_replica] trying to allocate a replica shard {name}, while corresponding primary shard is \
                 still unassigned"
            )));
        }
        let Some(slot) = table.copies.iter().position(|copy| copy.state == CopyState::Unassigned) else {
            return Err(refused(format!(
                "[allocate_replica] all copies of {name} are already assigned. Use the move allocation command instead"
            )));
        };
        let copy = &table.copies[slot];
        let rulings = self.rulings_to_allocate(&Asked { shard, table, copy }, node);
        if let Some(no) = objection(&rulings) {
            return Err(refused(format!(
                "[allocate_replica] allocation of {name} on node {node} is not allowed, reason: {no}"
            )));
        }
        let own = copy.allocation.filter(|id| self.state.homes.get(id) == Some(&node));
        self.place(shard, slot, node, own, "ordered".to_owned());
        Ok(rulings)
    }

    fn command_stale_primary(
        &mut self,
        shard: &ShardId,
        node: HostId,
        accept_data_loss: bool,
    ) -> Result<Vec<Ruling>, ApiError> {
        let name = bracketed(shard);
        self.check_no_primary("allocate_stale_primary", shard)?;
        if !accept_data_loss {
            return Err(refused(format!(
                "[allocate_stale_primary] allocating a stale primary for {name} can result in data loss. Please \
                 confirm by setting the accept_data_loss parameter to true"
            )));
        }
        if self.table(shard).in_sync.is_empty() {
            return Err(refused(format!(
                "[allocate_stale_primary] trying to allocate an existing primary shard {name}, while no such shard \
                 has ever been active"
            )));
        }
        let Some(id) = self.data_on(shard, node) else {
            let ShardId { index, number } = shard;
            return Err(refused(format!(
                "No data for shard [{number}] of index [{index}] found on node [{node}]"
            )));
        };
        let slot = self.state.choose_primary(shard, id);
        self.begin_anew(shard, slot, Some(id), UnassignedReason::ManualAllocation);
        self.place(shard, slot, node, Some(id), "ordered: a stale primary".to_owned());
        Ok(Vec::new())
    }

    /// A copy of the shard whose data lies there: one that is in sync before others, the newest of several.
    fn data_on(&self, shard: &ShardId, node: HostId) -> Option<AllocationId> {
        let table = self.table(shard);
        let known =
            table.copies.iter().filter_map(|copy| copy.allocation).chain(table.in_sync.iter().copied());
        let here = known.filter(|id| self.state.homes.get(id) == Some(&node));
        here.max_by_key(|id| (table.in_sync.contains(id), *id))
    }

    fn command_empty_primary(
        &mut self,
        shard: &ShardId,
        node: HostId,
        accept_data_loss: bool,
    ) -> Result<Vec<Ruling>, ApiError> {
        self.check_no_primary("allocate_empty_primary", shard)?;
        if !accept_data_loss && !self.table(shard).in_sync.is_empty() {
            return Err(refused(format!(
                "[allocate_empty_primary] allocating an empty primary for {} can result in data loss. Please confirm \
                 by setting the accept_data_loss parameter to true",
                bracketed(shard)
            )));
        }
        let slot = self.table(shard).copies.iter().position(|copy| copy.primary).unwrap_or(0);
        self.begin_anew(shard, slot, None, UnassignedReason::ForcedEmptyPrimary);
        self.place(shard, slot, node, None, "ordered: an empty primary".to_owned());
        Ok(Vec::new())
    }

    fn check_no_primary(&self, command: &str, shard: &ShardId) -> Result<(), ApiError> {
        match self.table(shard).primary() {
            Some(_) => Err(refused(format!("[{command}] primary {} is already assigned", bracketed(shard)))),
            None => Ok(()),
        }
    }

    /// The shard's history begins anew with this copy, or with none. What other copies have may be more than
    /// that, so none of them is built on again (Elasticsearch gives the shard a new history uuid).
    fn begin_anew(
        &mut self,
        shard: &ShardId,
        slot: usize,
        heir: Option<AllocationId>,
        reason: UnassignedReason,
    ) {
        let Some((table, _)) = self.state.table_mut(shard) else { return };
        table.in_sync = heir.into_iter().collect();
        for copy in table.copies.iter_mut().filter(|copy| copy.state == CopyState::Unassigned) {
            copy.allocation = copy.allocation.filter(|id| heir == Some(*id));
        }
        table.copies[slot].failures = 0;
        table.copies[slot].unassigned = Some(Box::new(UnassignedInfo::new(reason)));
        self.state.forget_homes();
    }
}

fn objection(rulings: &[Ruling]) -> Option<String> {
    let mut no = rulings.iter().filter(|ruling| ruling.decision == Decision::No);
    no.next().map(|ruling| format!("[NO({}: {})]", ruling.decider, ruling.why))
}

fn bracketed(shard: &ShardId) -> String {
    format!("[{}][{}]", shard.index, shard.number)
}

fn no_index(index: &IndexName) -> ApiError {
    let (kind, reason) = ("index_not_found_exception".into(), format!("no such index [{index}]"));
    ApiError { status: 404, kind, reason, certain: true }
}

fn refused(reason: String) -> ApiError {
    ApiError { status: 400, kind: "illegal_argument_exception".into(), reason, certain: true }
}
