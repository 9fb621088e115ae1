//! Transitions — decides how a cluster state follows from another when nodes, copies or users do something.
//! It never decides where a copy should go (`allocation`), nor when a state is written (`controller`).
//!
//! The rules are those of Elasticsearch's `RoutingNodes`, `IndexMetadataUpdater` and `AllocationService`:
//! a primary is replaced only by an active copy of the in-sync set, and every assignment of a primary raises
//! the term; a copy leaves the in-sync set when a write went on without it, never because its node left.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    api::ApiError,
    state::{
        ClusterState, IndexMetadata, NodeEntry, ShardCopy, ShardTable, UnassignedInfo, UnassignedReason,
    },
};
use crate::{
    event::CopyState,
    name::{AllocationId, Epoch, HostId, IndexName, IndexUuid, ShardId, Term},
};

mod replicas;

/// Most shards an index may have (`index.max_number_of_shards`).
const SHARDS_MAX: u32 = 1024;

/// Most copies there may be for each node (`cluster.max_shards_per_node`).
const COPIES_PER_NODE_MAX: u64 = 1000;

/// number_of_routing_shards of a new index: the largest `shards` × 2^k that is at most 1024.
pub fn routing_shards(shards: u32) -> u32 {
    let mut routing = shards.max(1);
    while routing <= SHARDS_MAX / 2 {
        routing *= 2;
    }
    routing
}

/// Why a copy left its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause<'a> {
    /// Its node's session is over; the data may come back with the node.
    NodeLeft,
    /// The copy is no good, by its own or its primary's word, which is this.
    Failed(&'a str),
    /// Its primary went while it was being built.
    PrimaryGone,
    /// A command cancelled it.
    Cancelled,
    /// A better copy to build on was found.
    Reallocated,
}

impl Cause<'_> {
    fn reason(self) -> UnassignedReason {
        match self {
            Self::NodeLeft => UnassignedReason::NodeLeft,
            Self::Failed(_) => UnassignedReason::AllocationFailed,
            Self::PrimaryGone => UnassignedReason::PrimaryFailed,
            Self::Cancelled => UnassignedReason::RerouteCancelled,
            Self::Reallocated => UnassignedReason::ReallocatedReplica,
        }
    }

    fn message(self) -> String {
        match self {
            Self::NodeLeft => "its node left".to_owned(),
            Self::Failed(why) => why.to_owned(),
            Self::PrimaryGone => "primary failed while replica initializing".to_owned(),
            Self::Cancelled => String::new(),
            Self::Reallocated => "another node has a copy that is in sync".to_owned(),
        }
    }
}

impl ClusterState {
    /// Adds an index; its copies are unassigned.
    ///
    /// # Errors
    ///
    /// 400 if the name is taken or malformed, or the number of shards is out of range.
    pub fn create_index(&mut self, name: &IndexName, shards: u32, replicas: u32) -> Result<(), ApiError> {
        if self.indices.contains_key(name) {
            return Err(refused(
                "resource_already_exists_exception",
                format!("index [{name}] already exists"),
            ));
        }
        if !is_index_name(&name.0) {
            return Err(refused("invalid_index_name_exception", format!("Invalid index name [{name}]")));
        }
        if !(1..=SHARDS_MAX).contains(&shards) {
            let why = format!("number_of_shards must be between 1 and {SHARDS_MAX}, not {shards}");
            return Err(refused("illegal_argument_exception", why));
        }
        let added = u64::from(shards) * (1 + u64::from(replicas));
        let limit = COPIES_PER_NODE_MAX * self.nodes.len().max(1) as u64;
        if added + self.configured_copies() > limit {
            let why = format!("this action would add [{added}] shards, but the cluster may have [{limit}]");
            return Err(refused("validation_exception", why));
        }
        let table = ShardTable::unassigned(replicas);
        let shards_of = vec![table; shards as usize];
        let index = IndexMetadata {
            uuid: IndexUuid::default(),
            replicas,
            read_only_allow_delete: false,
            routing_shards: routing_shards(shards),
            shards: shards_of,
        };
        self.indices.insert(name.clone(), index);
        Ok(())
    }

    /// Takes over the list of members: copies on nodes whose session is over are lost. A node that has come
    /// back in a new session has lost its copies, too. Returns what changed, for people.
    pub fn set_members(&mut self, members: &BTreeMap<HostId, NodeEntry>) -> Vec<String> {
        let lives_on =
            |host, was: &NodeEntry| members.get(host).is_some_and(|entry| entry.session == was.session);
        let gone: BTreeSet<HostId> =
            self.nodes.iter().filter(|(host, was)| !lives_on(host, was)).map(|(host, _)| *host).collect();
        let joined: Vec<HostId> = members
            .keys()
            .filter(|host| gone.contains(host) || !self.nodes.contains_key(host))
            .copied()
            .collect();
        self.nodes.clone_from(members);
        for table in self.tables_mut() {
            table.lose_nodes(&gone);
        }
        self.forget_homes();
        let left = gone.iter().map(|host| format!("{host} left"));
        left.chain(joined.iter().map(|host| format!("{host} joined"))).collect()
    }

    /// A copy reports from its node that it has recovered. Returns whether that changes anything: reports of
    /// another term, or of a copy that is not being built there, are moot.
    pub fn copy_started(&mut self, shard: &ShardId, id: AllocationId, term: Term, from: HostId) -> bool {
        let Some((table, replicas)) = self.table_mut(shard) else { return false };
        let former = table.identities();
        let is_due = |copy: &ShardCopy| copy.state == CopyState::Initializing && copy.node == Some(from);
        if table.term != term || !table.copy(id).is_some_and(is_due) {
            return false;
        }
        table.start(id, replicas);
        self.forget_homes_of(shard, &former);
        true
    }

    /// A node reports that a copy must go. Returns whether that changes anything. Heard are the node of the
    /// copy, and the node of the primary as long as the term is its own. `why` is for people.
    pub fn copy_failed(
        &mut self,
        shard: &ShardId,
        id: AllocationId,
        term: Term,
        from: HostId,
        why: &str,
    ) -> bool {
        let Some((table, _)) = self.table_mut(shard) else { return false };
        if !table.may_fail(id, term, from) {
            return false;
        }
        let former = table.identities();
        let is_assigned = table.copy(id).is_some_and(|copy| copy.node.is_some());
        let changes = if is_assigned {
            table.lose(id, Cause::Failed(why));
            true
        } else {
            table.in_sync.remove(&id)
        };
        self.forget_homes_of(shard, &former);
        changes
    }

    /// Puts an unassigned copy on a node: with `id` if its data is there, else as a new, empty one.
    ///
    /// # Panics
    ///
    /// If there is no such unassigned copy.
    pub fn assign(&mut self, shard: &ShardId, slot: usize, node: HostId, id: Option<AllocationId>) {
        let id = id.unwrap_or_else(|| self.draw_allocation());
        self.homes.insert(id, node);
        let Some((table, _)) = self.table_mut(shard) else { unreachable!("a shard that is assigned exists") };
        let copy = &mut table.copies[slot];
        assert!(copy.state == CopyState::Unassigned, "only an unassigned copy is assigned");
        copy.state = CopyState::Initializing;
        copy.node = Some(node);
        let former = copy.allocation.replace(id);
        if copy.primary {
            table.term = table.term.next();
        }
        if former.is_some_and(|former| !table.knows(former)) {
            former.and_then(|former| self.homes.remove(&former));
        }
    }

    /// Makes the copy that has this identity the one to be primary. It may be in the table or only in the
    /// in-sync set; no copy of the shard is active.
    ///
    /// # Panics
    ///
    /// If a primary is assigned.
    pub fn choose_primary(&mut self, shard: &ShardId, id: AllocationId) -> usize {
        let Some((table, _)) = self.table_mut(shard) else { unreachable!("a shard with a choice exists") };
        assert!(table.primary().is_none(), "a shard has one primary");
        let slot = table.slot(id).or_else(|| table.copies.iter().position(|copy| copy.primary));
        let slot = slot.unwrap_or(0);
        table.copies[slot].allocation = Some(id);
        for (at, copy) in table.copies.iter_mut().enumerate() {
            copy.primary = at == slot;
        }
        slot
    }

    /// Begins to move a started copy to another node; returns the target's identity.
    ///
    /// # Panics
    ///
    /// If the copy is not started.
    pub fn relocate(&mut self, shard: &ShardId, id: AllocationId, node: HostId) -> AllocationId {
        let target = self.draw_allocation();
        self.homes.insert(target, node);
        let Some((table, _)) = self.table_mut(shard) else { unreachable!("a shard that moves exists") };
        let source = table.slot(id).map(|slot| &mut table.copies[slot]);
        let Some(source) = source.filter(|copy| copy.state == CopyState::Started) else {
            unreachable!("only a started copy moves");
        };
        source.state = CopyState::Relocating;
        source.relocating = Some(target);
        table.copies.push(ShardCopy {
            state: CopyState::Initializing,
            node: Some(node),
            allocation: Some(target),
            relocating: Some(id),
            ..ShardCopy::unassigned(false)
        });
        target
    }

    /// Hands the state to a new epoch: its allocation ids are numbered anew.
    pub fn enter_epoch(&mut self, epoch: Epoch, controller: HostId) {
        if self.epoch != epoch {
            self.next_allocation = 0;
        }
        self.epoch = epoch;
        self.controller = Some(controller);
    }

    /// Copies that all indices should have.
    pub(super) fn configured_copies(&self) -> u64 {
        let copies =
            self.indices.values().map(|index| index.shards.len() as u64 * u64::from(1 + index.replicas));
        copies.sum()
    }

    fn draw_allocation(&mut self) -> AllocationId {
        let id = AllocationId(u64::from(self.epoch.0) << 32 | u64::from(self.next_allocation));
        self.next_allocation += 1;
        id
    }

    fn tables_mut(&mut self) -> impl Iterator<Item = &mut ShardTable> {
        self.indices.values_mut().flat_map(|index| &mut index.shards)
    }

    pub(super) fn table_mut(&mut self, shard: &ShardId) -> Option<(&mut ShardTable, u32)> {
        let index = self.indices.get_mut(&shard.index)?;
        Some((index.shards.get_mut(shard.number as usize)?, index.replicas))
    }

    /// Forgets where copies of this shard lie that its table knew, and knows no more.
    fn forget_homes_of(&mut self, shard: &ShardId, former: &[AllocationId]) {
        let Some((table, _)) = self.table_mut(shard) else { return };
        let gone: Vec<AllocationId> = former.iter().copied().filter(|id| !table.knows(*id)).collect();
        for id in gone {
            self.homes.remove(&id);
        }
    }

    /// Forgets where copies lie that no table knows any more.
    pub(super) fn forget_homes(&mut self) {
        let tables = self.indices.values().flat_map(|index| &index.shards);
        let known = tables.flat_map(|table| {
            table.copies.iter().filter_map(|copy| copy.allocation).chain(table.in_sync.iter().copied())
        });
        let known: BTreeSet<AllocationId> = known.collect();
        self.homes.retain(|id, _| known.contains(id));
    }

    /// Forgets failures, so that copies are tried again (`reroute?retry_failed`, `resetFailedAllocationCounter`).
    pub fn retry_failed(&mut self) {
        let copies = self.tables_mut().flat_map(|table| &mut table.copies);
        for copy in copies.filter(|copy| copy.failures > 0) {
            copy.failures = 0;
            if let Some(info) = &mut copy.unassigned {
                info.reason = UnassignedReason::ManualAllocation;
                info.failed_nodes.clear();
            }
        }
    }

    /// Notes when copies became unassigned that have become so just now; wall time in milliseconds.
    pub fn note_unassigned(&mut self, wall_ms: i64) {
        let copies = self.tables_mut().flat_map(|table| &mut table.copies);
        let infos = copies.filter_map(|copy| copy.unassigned.as_mut());
        infos.filter(|info| info.at_ms == 0).for_each(|info| info.at_ms = wall_ms);
    }
}

impl ShardTable {
    /// A shard that no node has yet.
    fn unassigned(replicas: u32) -> Self {
        let info = Some(Box::new(UnassignedInfo::new(UnassignedReason::IndexCreated)));
        let copy = |nth| ShardCopy { unassigned: info.clone(), ..ShardCopy::unassigned(nth == 0) };
        let copies = (0..=replicas).map(copy).collect();
        Self { copies, ..Self::default() }
    }

    /// Every identity that it knows, some of them twice.
    fn identities(&self) -> Vec<AllocationId> {
        let listed = self.copies.iter().filter_map(|copy| copy.allocation);
        listed.chain(self.in_sync.iter().copied()).collect()
    }

    pub(super) fn slot(&self, id: AllocationId) -> Option<usize> {
        self.copies.iter().position(|copy| copy.allocation == Some(id))
    }

    /// The active copies of the in-sync set, by identity: those that may be promoted.
    fn promotable(&self) -> impl Iterator<Item = AllocationId> {
        let ids = self.active().filter(|copy| !copy.primary).filter_map(|copy| copy.allocation);
        ids.filter(|id| self.in_sync.contains(id))
    }

    /// The copies on these nodes are lost: replicas first, so that none of them is promoted on a node that is gone as well.
    fn lose_nodes(&mut self, gone: &BTreeSet<HostId>) {
        let is_lost = |copy: &&ShardCopy| copy.node.is_some_and(|node| gone.contains(&node));
        let mut lost: Vec<&ShardCopy> = self.copies.iter().filter(is_lost).collect();
        lost.sort_by_key(|copy| copy.primary);
        for id in lost.iter().filter_map(|copy| copy.allocation).collect::<Vec<_>>() {
            self.lose(id, Cause::NodeLeft);
        }
    }

    /// Takes a copy from its node, with all that follows for the rest of its group.
    pub(super) fn lose(&mut self, id: AllocationId, cause: Cause<'_>) {
        // It may be gone by now, as the target of another copy that was lost.
        let Some(copy) = self.copy(id).cloned() else { return };
        match copy.relocating {
            Some(_) if copy.is_target() => return self.cancel_relocation(id, cause),
            Some(target) => self.cancel_relocation(target, Cause::PrimaryGone),
            None => {}
        }
        if copy.primary {
            self.lose_initializing(id);
            self.promote();
        }
        // The last copy stays in the set, whatever is wrong with it: nothing else has the writes.
        let is_replaced = self.primary().is_some_and(|primary| primary.allocation != Some(id));
        if matches!(cause, Cause::Failed(_)) && is_replaced {
            self.in_sync.remove(&id);
        }
        self.unassign(id, cause);
    }

    /// Copies that are being built from a primary that goes are failed first.
    fn lose_initializing(&mut self, primary: AllocationId) {
        let is_built = |copy: &&ShardCopy| copy.state == CopyState::Initializing;
        let ids = self.copies.iter().filter(is_built).filter_map(|copy| copy.allocation);
        for id in ids.filter(|id| *id != primary).collect::<Vec<_>>() {
            if self.copy(id).is_some_and(ShardCopy::is_target) {
                self.cancel_relocation(id, Cause::PrimaryGone);
            } else {
                self.unassign(id, Cause::PrimaryGone);
            }
        }
    }

    /// Makes an active copy of the in-sync set the primary: the one that was allocated first.
    fn promote(&mut self) {
        let Some(heir) = self.promotable().min() else { return };
        for copy in &mut self.copies {
            copy.primary = copy.allocation == Some(heir);
        }
        self.term = self.term.next();
    }

    /// Removes the target; the source goes on as before.
    pub(super) fn cancel_relocation(&mut self, target: AllocationId, cause: Cause<'_>) {
        self.copies.retain(|copy| copy.allocation != Some(target) || !copy.is_target());
        for source in self.copies.iter_mut().filter(|copy| copy.relocating == Some(target)) {
            source.state = CopyState::Started;
            source.relocating = None;
            source.failures += u32::from(matches!(cause, Cause::Failed(_)));
        }
    }

    /// Its identity is kept if its data is worth coming back to: it is in sync, or only its node is away.
    fn unassign(&mut self, id: AllocationId, cause: Cause<'_>) {
        let keep = cause == Cause::NodeLeft || self.in_sync.contains(&id);
        let Some(slot) = self.slot(id) else { return };
        let copy = &mut self.copies[slot];
        copy.note_loss(cause);
        // What failed while it served were moves: they say nothing of its allocation, which had succeeded
        // (`UnassignedInfo.failedAllocations` is apart from `RelocationFailureInfo.failedRelocations`).
        if copy.state.is_active() {
            copy.failures = 0;
        }
        copy.state = CopyState::Unassigned;
        copy.node = None;
        copy.allocation = Some(id).filter(|_| keep);
        match cause {
            Cause::NodeLeft => copy.failures = 0,
            Cause::Failed(_) => copy.failures += 1,
            Cause::PrimaryGone | Cause::Cancelled | Cause::Reallocated => {}
        }
    }

    /// The copy serves, and has every acknowledged write.
    fn start(&mut self, id: AllocationId, replicas: u32) {
        let Some(slot) = self.slot(id) else { return };
        if let Some(source) = self.copies[slot].relocating {
            self.take_place(source, slot);
        }
        let Some(slot) = self.slot(id) else { return };
        let copy = &mut self.copies[slot];
        copy.state = CopyState::Started;
        copy.failures = 0;
        copy.unassigned = None;
        if self.in_sync.insert(id) {
            self.trim_in_sync(1 + replicas as usize);
        }
    }

    /// A relocation target takes the place of its source, which goes. The term stays: the source hands its
    /// whole knowledge over.
    fn take_place(&mut self, source: AllocationId, target: usize) {
        let Some(place) = self.slot(source) else { return };
        let mut copy = self.copies[target].clone();
        copy.relocating = None;
        copy.primary = self.copies[place].primary;
        self.copies[place] = copy;
        self.copies.remove(target);
        self.in_sync.remove(&source);
    }

    /// Trimmed only when it grows, and then of copies that no node has (Elasticsearch #21976): nothing that
    /// serves is ever dropped.
    fn trim_in_sync(&mut self, most: usize) {
        let is_away = |id: &AllocationId| self.copy(*id).is_none_or(|copy| copy.node.is_none());
        let away: Vec<AllocationId> = self.in_sync.iter().copied().filter(is_away).collect();
        for id in away.into_iter().take(self.in_sync.len().saturating_sub(most)) {
            self.in_sync.remove(&id);
        }
    }

    /// A primary whose term is over has no say; a copy's own node may always give up a replica. Nobody
    /// takes the last copy out of the in-sync set.
    fn may_fail(&self, id: AllocationId, term: Term, from: HostId) -> bool {
        let own = self.copy(id).filter(|copy| copy.node == Some(from));
        let by_primary = term == self.term && self.primary().is_some_and(|copy| copy.node == Some(from));
        match own {
            Some(copy) => !copy.primary || term == self.term,
            None => by_primary && self.knows(id),
        }
    }
}

impl ShardCopy {
    /// A copy that was never assigned.
    pub fn unassigned(primary: bool) -> Self {
        let (node, allocation, relocating) = (None, None, None);
        let (state, failures, unassigned) = (CopyState::Unassigned, 0, None);
        Self { primary, state, node, allocation, relocating, failures, unassigned }
    }

    /// Notes why it loses its node, and which that is; failures add up until it is started again.
    fn note_loss(&mut self, cause: Cause<'_>) {
        let former = self.unassigned.take();
        let mut failed_nodes = former.map(|info| info.failed_nodes).unwrap_or_default();
        match cause {
            Cause::NodeLeft => failed_nodes.clear(),
            Cause::Failed(_) => failed_nodes.extend(self.node),
            Cause::PrimaryGone | Cause::Cancelled | Cause::Reallocated => {}
        }
        self.unassigned = Some(Box::new(UnassignedInfo {
            message: cause.message(),
            last_node: self.node,
            failed_nodes,
            ..UnassignedInfo::new(cause.reason())
        }));
    }
}

fn refused(kind: &'static str, reason: String) -> ApiError {
    ApiError { status: 400, kind: kind.into(), reason, certain: true }
}

/// Elasticsearch's rules for index names, as far as ASCII goes.
fn is_index_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_uppercase() && !c.is_control() && !" \"*\\<|,>/?#:".contains(c);
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with(['-', '_', '+', '.'])
        && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests;
