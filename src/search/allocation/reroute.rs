//! Reroute — decides what becomes of a cluster state when somebody orders copies about. It never decides who may.
//!
//! The commands of Elasticsearch's `POST /_cluster/reroute`, with its reasons. The first that cannot be done
//! spoils all of them, unless an explanation is asked for: then it is explained, and the others are carried out.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    deciders::{Asked, Decision, Ruling},
    round::{Inputs, Leave, RoutingAllocation, Words},
};
use crate::{
    event::CopyState,
    name::{AllocationId, HostId, IndexName, ShardId},
    search::{
        api::ApiError,
        state::{ClusterState, UnassignedInfo, UnassignedReason},
        transition::Cause,
    },
};

/// What is ordered at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Orders {
    /// The commands, in order.
    pub commands: Vec<Command>,
    /// Whether what cannot be done is explained instead of refused.
    pub explain: bool,
    /// Whether copies that failed too often are tried again.
    pub retry_failed: bool,
}

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

    /// The shard it is about.
    pub fn shard(&self) -> ShardId {
        let (Self::Move { index, shard, .. }
        | Self::Cancel { index, shard, .. }
        | Self::AllocateReplica { index, shard, .. }
        | Self::AllocateStalePrimary { index, shard, .. }
        | Self::AllocateEmptyPrimary { index, shard, .. }) = self;
        ShardId { index: index.clone(), number: *shard }
    }

    /// Its parameters, as the API shows them.
    fn parameters(&self) -> Value {
        let told = serde_json::to_value(self).map(|mut told| told[self.name()].take());
        told.unwrap_or_else(|error| unreachable!("a command can be written down: {error}"))
    }

    /// Under which name a refusal is told among the deciders.
    fn speaker(&self) -> &'static str {
        match self {
            Self::Move { .. } => "move_allocation_command",
            Self::Cancel { .. } => "cancel_allocation_command",
            Self::AllocateReplica { .. } => "allocate_replica (allocation command)",
            Self::AllocateStalePrimary { .. } => "allocate_stale_primary (allocation command)",
            Self::AllocateEmptyPrimary { .. } => "allocate_empty_primary (allocation command)",
        }
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

impl Explanation {
    /// Elasticsearch's shape.
    pub fn body(&self) -> Value {
        json!({
            "command": self.command.name(),
            "parameters": self.command.parameters(),
            "decisions": self.decisions,
        })
    }
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
/// are noted in the state ([`ClusterState::commanded`]). That allocation is switched off does not matter to
/// somebody who says what to do (`ignoreDisable`).
///
/// # Errors
///
/// 400 `illegal_argument_exception` for the first command that cannot be done and is not to be explained, or that
/// names an unknown node; 404 `index_not_found_exception`.
pub fn apply(
    mut state: ClusterState,
    orders: &Orders,
    inputs: Inputs<'_>,
) -> Result<(ClusterState, Vec<Explanation>), ApiError> {
    if orders.retry_failed {
        state.retry_failed();
    }
    let mut round = RoutingAllocation::new(state, inputs);
    (round.words, round.leave) = (Words::Said, Leave::Ordered);
    let mut explanations = Vec::new();
    for command in &orders.commands {
        let decisions = match round.command(command)? {
            Ok(rulings) => rulings.into_iter().map(DeciderAnswer::from).collect(),
            Err(refusal) if orders.explain => vec![refused_by(command, refusal)],
            Err(refusal) => return Err(ApiError::illegal(refusal)),
        };
        explanations.push(Explanation { command: command.clone(), decisions });
    }
    Ok((round.into_parts().0, explanations))
}

fn refused_by(command: &Command, refusal: String) -> DeciderAnswer {
    let (decider, decision) = (command.speaker().to_owned(), Decision::No);
    let told =
        refusal.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map(|(_, told)| told.to_owned());
    DeciderAnswer { decider, decision, explanation: told.unwrap_or(refusal) }
}

/// The primaries that serve and that these commands would replace by another copy, with their nodes.
pub fn deposed(state: &ClusterState, orders: &Orders) -> BTreeMap<ShardId, HostId> {
    let deposes = |command: &Command| match command {
        Command::Cancel { node, allow_primary: true, .. } => {
            let shard = command.shard();
            let copy = state.shard(&shard)?.on(*node)?;
            (copy.primary && copy.is_active()).then_some((shard, *node))
        }
        _ => None,
    };
    orders.commands.iter().filter_map(deposes).collect()
}

impl RoutingAllocation<'_> {
    fn command(&mut self, command: &Command) -> Result<Done, ApiError> {
        let shard = command.shard();
        if !self.state.indices.contains_key(&shard.index) {
            return Err(ApiError::no_index(&shard.index));
        }
        if let Some(node) = command.nodes().into_iter().find(|node| !self.state.nodes.contains_key(node)) {
            return Err(ApiError::illegal(format!("failed to resolve [{node}], no matching nodes")));
        }
        if self.state.shard(&shard).is_none() {
            return Ok(Err(format!("no such shard [{}][{}]", shard.index, shard.number)));
        }
        let done = self.carry_out(command, &shard);
        if done.is_ok() {
            self.state.commanded.insert(shard);
        }
        Ok(done)
    }

    fn carry_out(&mut self, command: &Command, shard: &ShardId) -> Done {
        match command {
            Command::Move { from_node, to_node, .. } => self.command_move(shard, *from_node, *to_node),
            Command::Cancel { node, allow_primary, .. } => self.command_cancel(shard, *node, *allow_primary),
            Command::AllocateReplica { node, .. } => self.command_replica(shard, *node),
            Command::AllocateStalePrimary { node, accept_data_loss, .. } => {
                self.command_stale_primary(shard, *node, *accept_data_loss)
            }
            Command::AllocateEmptyPrimary { node, accept_data_loss, .. } => {
                self.command_empty_primary(shard, *node, *accept_data_loss)
            }
        }
    }

    fn command_move(&mut self, shard: &ShardId, from: HostId, to: HostId) -> Done {
        let name = bracketed(shard);
        let table = self.table(shard);
        let Some(copy) = table.on(from) else {
            return Err(format!("[move_allocation] can't move {name}, failed to find it on node {from}"));
        };
        let id = copy.allocation.filter(|_| copy.state == CopyState::Started);
        let Some(id) = id else {
            let state = copy.state.routing_word();
            return Err(format!(
                "[move_allocation] can't move {name}, shard is not started (state = {state}]"
            ));
        };
        let rulings = self.rulings_to_allocate(&Asked { shard, table, copy }, to);
        if let Some(no) = objection(&rulings) {
            return Err(format!(
                "[move_allocation] can't move {name}, from {from}, to {to}, since its not allowed, reason: {no}"
            ));
        }
        self.relocate(shard, id, to, "ordered".to_owned());
        Ok(rulings)
    }

    fn command_cancel(&mut self, shard: &ShardId, node: HostId, allow_primary: bool) -> Done {
        let name = bracketed(shard);
        let Some(copy) = self.table(shard).on(node).cloned() else {
            return Err(format!("[cancel_allocation] can't find {name}, failed to find it on node {node}"));
        };
        // A primary that is on its way may be given up: its source goes on.
        if copy.primary && !allow_primary {
            let what = if copy.is_active() { "started" } else { "initializing its state" };
            return Err(format!(
                "[cancel_allocation] can't cancel {name} on node {node}, shard is primary and {what}"
            ));
        }
        let Some((table, _)) = self.state.table_mut(shard) else { return Ok(Vec::new()) };
        if let Some(id) = copy.allocation {
            table.lose(id, Cause::Cancelled);
        }
        self.state.forget_homes();
        self.recount();
        Ok(vec![yes("cancel_allocation_command", format!("shard {name} on node {node} can be cancelled"))])
    }

    fn command_replica(&mut self, shard: &ShardId, node: HostId) -> Done {
        let name = bracketed(shard);
        let table = self.table(shard);
        if table.primary().is_none() {
            return Err(format!(
                "[allocate_replica] trying to allocate a replica shard {name}, while corresponding primary shard is \
                 still unassigned"
            ));
        }
        let Some(slot) = table.copies.iter().position(|copy| copy.state == CopyState::Unassigned) else {
            return Err(format!(
                "[allocate_replica] all copies of {name} are already assigned. Use the move allocation command instead"
            ));
        };
        let copy = &table.copies[slot];
        let rulings = self.rulings_to_allocate(&Asked { shard, table, copy }, node);
        if let Some(no) = objection(&rulings) {
            return Err(format!(
                "[allocate_replica] allocation of {name} on node {node} is not allowed, reason: {no}"
            ));
        }
        let own = copy.allocation.filter(|id| self.state.homes.get(id) == Some(&node));
        self.place(shard, slot, node, own, "ordered".to_owned());
        Ok(rulings)
    }

    fn command_stale_primary(&mut self, shard: &ShardId, node: HostId, accept_data_loss: bool) -> Done {
        let name = bracketed(shard);
        self.check_no_primary("allocate_stale_primary", shard)?;
        if !accept_data_loss {
            return Err(format!(
                "[allocate_stale_primary] allocating a stale primary for {name} can result in data loss. Please \
                 confirm by setting the accept_data_loss parameter to true"
            ));
        }
        if self.table(shard).in_sync.is_empty() {
            return Err(format!(
                "[allocate_stale_primary] trying to allocate an existing primary shard {name}, while no such shard \
                 has ever been active"
            ));
        }
        let Some(id) = self.data_on(shard, node) else {
            let ShardId { index, number } = shard;
            return Err(format!("No data for shard [{number}] of index [{index}] found on node [{node}]"));
        };
        let slot = self.state.choose_primary(shard, id);
        self.begin_anew(shard, slot, Some(id), UnassignedReason::ManualAllocation);
        self.place(shard, slot, node, Some(id), "ordered: a stale primary".to_owned());
        Ok(vec![yes("allocate_stale_primary (allocation command)", "ignore deciders")])
    }

    /// A copy of the shard whose data lies there: one that is in sync before others, the newest of several.
    fn data_on(&self, shard: &ShardId, node: HostId) -> Option<AllocationId> {
        let table = self.table(shard);
        let known =
            table.copies.iter().filter_map(|copy| copy.allocation).chain(table.in_sync.iter().copied());
        let here = known.filter(|id| self.state.homes.get(id) == Some(&node));
        here.max_by_key(|id| (table.in_sync.contains(id), *id))
    }

    fn command_empty_primary(&mut self, shard: &ShardId, node: HostId, accept_data_loss: bool) -> Done {
        self.check_no_primary("allocate_empty_primary", shard)?;
        if !accept_data_loss && !self.table(shard).in_sync.is_empty() {
            return Err(format!(
                "[allocate_empty_primary] allocating an empty primary for {} can result in data loss. Please confirm \
                 by setting the accept_data_loss parameter to true",
                bracketed(shard)
            ));
        }
        let slot = self.table(shard).copies.iter().position(|copy| copy.primary).unwrap_or(0);
        self.begin_anew(shard, slot, None, UnassignedReason::ForcedEmptyPrimary);
        self.place(shard, slot, node, None, "ordered: an empty primary".to_owned());
        Ok(vec![yes("allocate_empty_primary (allocation command)", "ignore deciders")])
    }

    fn check_no_primary(&self, command: &str, shard: &ShardId) -> Result<(), String> {
        match self.table(shard).primary() {
            Some(_) => Err(format!("[{command}] primary {} is already assigned", bracketed(shard))),
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
        self.state.given_up.insert(shard.clone());
        self.state.forget_homes();
    }
}

/// What deciders say to a command that is carried out, or why it is not.
type Done = Result<Vec<Ruling>, String>;

fn yes(decider: &'static str, why: impl Into<Cow<'static, str>>) -> Ruling {
    Ruling { decision: Decision::Yes, decider, why: why.into() }
}

fn objection(rulings: &[Ruling]) -> Option<String> {
    let mut no = rulings.iter().filter(|ruling| ruling.decision == Decision::No);
    no.next().map(|ruling| format!("[NO({}: {})]", ruling.decider, ruling.why))
}

fn bracketed(shard: &ShardId) -> String {
    format!("[{}][{}]", shard.index, shard.number)
}
