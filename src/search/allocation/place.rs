//! Placing — decides which node an unassigned copy goes to. It never moves a copy that has a node.

use super::{
    Action, Move, Round, balancer,
    deciders::{self, Decision, Ruling},
};
use crate::{
    event::CopyState,
    name::{AllocationId, HostId, ShardId},
    search::state::{ShardCopy, ShardTable},
};

impl Round<'_> {
    /// Every primary before any replica (`PriorityComparator`), in order of index and shard.
    pub(super) fn allocate_unassigned(&mut self) {
        let shards: Vec<ShardId> = self.state.shards().map(|(shard, _)| shard).collect();
        for shard in &shards {
            if self.table(shard).primary().is_none() {
                self.place_primary(shard);
            }
        }
        for shard in &shards {
            for slot in 0..self.table(shard).copies.len() {
                let copy = &self.table(shard).copies[slot];
                if copy.state == CopyState::Unassigned && !copy.primary {
                    self.place_replica(shard, slot);
                }
            }
        }
    }

    /// A primary that has served before may only come from a copy that has every acknowledged write; until
    /// one is there, the shard has none (`no_valid_shard_copy`).
    fn place_primary(&mut self, shard: &ShardId) {
        let table = self.table(shard);
        if table.in_sync.is_empty() {
            let Some(slot) = table.copies.iter().position(|copy| copy.primary) else { return };
            return self.place_anew(shard, slot);
        }
        let Some((id, node)) = self.in_sync_on_disk(table) else { return };
        let copy = table.copy(id).cloned().unwrap_or_else(|| ShardCopy::unassigned(true));
        let copy = ShardCopy { primary: true, ..copy };
        let ruling = deciders::can_allocate(&self.tally, self.settings, table, &copy, node);
        if ruling.decision == Decision::Yes {
            let slot = self.state.choose_primary(shard, id);
            self.assign(shard, slot, node, Some(id), "the node has an in-sync copy".to_owned());
        }
    }

    /// An in-sync copy on the disk of a node that is here: the last primary if possible, else the one that
    /// was allocated first.
    fn in_sync_on_disk(&self, table: &ShardTable) -> Option<(AllocationId, HostId)> {
        let on_disk = |id: &AllocationId| Some((*id, self.live_home(*id)?));
        let was_primary = |id: AllocationId| table.copy(id).is_some_and(|copy| copy.primary);
        let candidates = table.in_sync.iter().filter_map(on_disk);
        candidates.min_by_key(|(id, _)| (!was_primary(*id), *id))
    }

    fn live_home(&self, id: AllocationId) -> Option<HostId> {
        self.state.homes.get(&id).copied().filter(|node| self.state.nodes.contains_key(node))
    }

    /// A replica whose data lies on some disk goes there as soon as the node is here, and waits for it until
    /// its deadline; then it is built elsewhere.
    fn place_replica(&mut self, shard: &ShardId, slot: usize) {
        let table = self.table(shard);
        let copy = &table.copies[slot];
        let back = copy.allocation.and_then(|id| Some((id, self.live_home(id)?)));
        if let Some((id, node)) = back {
            let ruling = deciders::can_allocate(&self.tally, self.settings, table, copy, node);
            match ruling.decision {
                Decision::Yes => {
                    return self.assign(shard, slot, node, Some(id), "its node is back".to_owned());
                }
                Decision::Throttle => return,
                Decision::No => {}
            }
        } else if copy.allocation.is_some_and(|id| self.deadlines.get(&id).is_some_and(|at| self.now < *at)) {
            return;
        }
        self.place_anew(shard, slot);
    }

    /// On the lightest node that is allowed now or soon; if soon, the copy waits, and its weight is counted
    /// there, so that others are not misled.
    fn place_anew(&mut self, shard: &ShardId, slot: usize) {
        let Some((weight, node, ruling)) = self.best_node(shard, slot) else { return };
        if ruling.decision == Decision::Yes {
            let why = format!("lightest allowed node, {weight:.2}");
            self.assign(shard, slot, node, None, why);
        } else {
            self.tally.add(&shard.index, node);
        }
    }

    fn best_node(&self, shard: &ShardId, slot: usize) -> Option<(f64, HostId, Ruling)> {
        let table = self.table(shard);
        let copy = &table.copies[slot];
        let nodes = balancer::by_weight(&self.tally, self.settings, &shard.index);
        let rulings = nodes.into_iter().map(|(weight, node)| {
            (weight, node, deciders::can_allocate(&self.tally, self.settings, table, copy, node))
        });
        let mut allowed: Vec<_> = rulings.filter(|(_, _, ruling)| ruling.decision != Decision::No).collect();
        // Of equally light nodes one that need not wait.
        allowed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.decision.cmp(&b.2.decision)));
        allowed.into_iter().next()
    }

    fn assign(
        &mut self,
        shard: &ShardId,
        slot: usize,
        node: HostId,
        from_disk: Option<AllocationId>,
        why: String,
    ) {
        self.state.assign(shard, slot, node, from_disk);
        let copy = self.table(shard).copies[slot].clone();
        self.tally.add(&shard.index, node);
        if let Some(id) = copy.allocation {
            self.count_recovery(shard, id, node);
        }
        let action = match copy.primary {
            true => Action::AssignPrimary { node, from_disk },
            false => Action::AssignReplica { node, from_disk },
        };
        self.moves.push(Move { shard: shard.clone(), action, why });
    }
}
