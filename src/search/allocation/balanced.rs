//! Balanced allocator — decides by weights where copies go, copies that must leave their node, and which
//! copies move to even out the cluster. It never decides whether a move is allowed (`deciders`).
//!
//! Elasticsearch's `BalancedShardsAllocator`: unassigned copies are placed, copies that must leave their node
//! are moved, and then the cluster is balanced, one index at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Allocator,
    deciders::{Asked, Decision},
    round::{RoutingAllocation, Unassigned},
    weights::Weights,
};
use crate::{
    event::CopyState,
    name::{AllocationId, HostId, IndexName, ShardId},
};

/// Whether a move has to be worth while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Worth {
    /// It brings the cluster closer to balance.
    #[default]
    Asked,
    /// Elasticsearch #88384: it need not.
    Ignored,
}

/// The default allocator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Balanced {
    worth: Worth,
}

impl Balanced {
    /// One that asks this of its moves.
    pub fn new(worth: Worth) -> Self {
        Self { worth }
    }
}

impl Allocator for Balanced {
    fn name(&self) -> &'static str {
        "balanced"
    }

    fn allocate(&mut self, round: &mut RoutingAllocation<'_>) {
        let actual = Weights::of(round.state(), round.settings(), round.info());
        let model = actual.clone();
        let mut balancer = Balancer { round, model, actual, held: BTreeSet::new(), worth: self.worth };
        balancer.allocate_unassigned();
        balancer.move_shards();
        balancer.balance();
    }
}

/// One run. What is throttled now is done in the model all the same, so that nothing else is done in its stead.
struct Balancer<'r, 'a> {
    round: &'r mut RoutingAllocation<'a>,
    /// With what will be done later.
    model: Weights,
    /// With what is done.
    actual: Weights,
    /// Copies that will be moved later.
    held: BTreeSet<AllocationId>,
    worth: Worth,
}

/// For each node the copies of an index that it holds and that may be moved, the highest shard number first.
type Movable = BTreeMap<HostId, Vec<(u32, AllocationId)>>;

impl Balancer<'_, '_> {
    fn allocate_unassigned(&mut self) {
        if self.round.tally().unassigned().copies == 0 {
            return;
        }
        for copy in self.round.unassigned() {
            self.place(&copy);
        }
    }

    /// On the lightest node that is allowed now or soon; if soon, the copy waits.
    fn place(&mut self, copy: &Unassigned) {
        let Some((node, decision)) = self.best_node(&copy.shard, copy.slot) else { return };
        let (index, load) = (&copy.shard.index, self.round.load(&copy.shard));
        if decision == Decision::Yes {
            let why = format!("lightest allowed node, {:.3}", self.model.weight(index, node));
            self.round.place(&copy.shard, copy.slot, node, None, why);
            self.actual.add(index, node, load);
        }
        self.model.add(index, node, load);
    }

    /// Of equally light nodes one that need not wait.
    fn best_node(&self, shard: &ShardId, slot: usize) -> Option<(HostId, Decision)> {
        let table = self.round.table(shard);
        let asked = Asked { shard, table, copy: &table.copies[slot] };
        let mut soon: Option<(f64, HostId)> = None;
        for (weight, node) in self.model.lightest(&shard.index) {
            if soon.is_some_and(|(lightest, _)| weight > lightest) {
                break;
            }
            match self.round.ruling_to_allocate(&asked, node).decision {
                Decision::Yes => return Some((node, Decision::Yes)),
                Decision::Throttle => soon = soon.or(Some((weight, node))),
                Decision::No => {}
            }
        }
        soon.map(|(_, node)| (node, Decision::Throttle))
    }

    /// Copies that may not stay where they are go to the lightest node that takes them, whatever the balance
    /// and however yellow the cluster (Elasticsearch #17698).
    fn move_shards(&mut self) {
        for (shard, id, from) in self.round.misplaced() {
            // Enough others may have left meanwhile.
            let table = self.round.table(&shard);
            let Some(slot) = table.copies.iter().position(|copy| copy.allocation == Some(id)) else {
                continue;
            };
            if self.round.can_remain(&shard, &table.copies[slot]).decision != Decision::No {
                continue;
            }
            let Some((to, decision)) = self.best_node(&shard, slot) else { continue };
            if decision == Decision::Yes {
                self.round.relocate(&shard, id, to, format!("it cannot remain on {from}"));
                self.shift_actual(&shard, (from, to));
            } else {
                self.held.insert(id);
            }
            self.shift_model(&shard, (from, to));
        }
    }

    fn shift_actual(&mut self, shard: &ShardId, (from, to): (HostId, HostId)) {
        let load = self.round.load(shard);
        self.actual.remove(&shard.index, from, load);
        self.actual.add(&shard.index, to, load);
    }

    fn shift_model(&mut self, shard: &ShardId, (from, to): (HostId, HostId)) {
        let load = self.round.load(shard);
        self.model.remove(&shard.index, from, load);
        self.model.add(&shard.index, to, load);
    }

    /// Not while a copy waits for its node (Elasticsearch #14387): it would all be moved back.
    fn balance(&mut self) {
        let is_closed = self.round.cluster_rebalance().decision != Decision::Yes || self.round.awaits_data();
        if is_closed || self.round.state().nodes.len() < 2 {
            return;
        }
        let least = self.least_lead();
        let spreads =
            self.round.state().indices.keys().map(|index| (self.model.spread(index), index.clone()));
        let mut indices: Vec<(f64, IndexName)> = spreads.filter(|(spread, _)| *spread > least).collect();
        indices.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, index) in indices {
            let mut movable = self.movable(&index);
            while self.balance_once(&index, &mut movable) {}
        }
    }

    fn least_lead(&self) -> f64 {
        match self.worth {
            Worth::Asked => self.model.least_lead_of_any(),
            Worth::Ignored => 1e-3,
        }
    }

    fn movable(&self, index: &IndexName) -> Movable {
        let mut movable = Movable::new();
        let shards = self.round.state().indices.get(index).map_or(&[][..], |metadata| &metadata.shards);
        for (number, table) in shards.iter().enumerate().rev() {
            for copy in table.copies.iter().filter(|copy| copy.state == CopyState::Started) {
                if let (Some(node), Some(id)) = (copy.node, copy.allocation)
                    && !self.held.contains(&id)
                {
                    movable.entry(node).or_default().push((number as u32, id));
                }
            }
        }
        movable
    }

    /// Moves one copy of the index from a heavy node to a light one: from the heaviest to the lightest, to
    /// heavier ones if that is not allowed, then from the next heaviest (Elasticsearch #3580).
    fn balance_once(&mut self, index: &IndexName, movable: &mut Movable) -> bool {
        let nodes = self.model.sorted(index);
        let least = self.least_lead();
        for (high, (heavy, from)) in nodes.iter().enumerate().rev() {
            if movable.get(from).is_none_or(Vec::is_empty) {
                continue;
            }
            for (_, to) in nodes[..high].iter().take_while(|(light, _)| heavy - light > least) {
                if self.try_move(index, movable, (*from, *to)) {
                    return true;
                }
            }
        }
        false
    }

    /// What may move later is counted as moved, so that nothing else moves in its stead.
    fn try_move(&mut self, index: &IndexName, movable: &mut Movable, ends: (HostId, HostId)) -> bool {
        let copies = movable.get(&ends.0).map_or(&[][..], Vec::as_slice);
        let found = copies.iter().enumerate().find_map(|(at, (number, id))| {
            let shard = ShardId { index: index.clone(), number: *number };
            let decision = self.decide(&shard, *id, ends)?;
            Some((at, shard, *id, decision))
        });
        let Some((at, shard, id, decision)) = found else { return false };
        if let Some(copies) = movable.get_mut(&ends.0) {
            copies.remove(at);
        }
        // Worth while as the cluster will be; now it has to be so without what is throttled, too.
        let is_worth =
            self.worth == Worth::Ignored || self.actual.is_worth(index, self.round.load(&shard), ends);
        if decision == Decision::Yes && is_worth {
            let weigh = |node| self.actual.weight(index, node);
            let why = format!("balance: {:.3} against {:.3}", weigh(ends.0), weigh(ends.1));
            self.round.relocate(&shard, id, ends.1, why);
            self.shift_actual(&shard, ends);
        } else {
            self.held.insert(id);
        }
        self.shift_model(&shard, ends);
        true
    }

    /// Whether the copy may make this move now or soon; none if it may not, or it is not worth while.
    fn decide(&self, shard: &ShardId, id: AllocationId, ends: (HostId, HostId)) -> Option<Decision> {
        let table = self.round.table(shard);
        let copy = table.copy(id)?;
        let asked = Asked { shard, table, copy };
        if !self.is_worth(shard, ends) {
            return None;
        }
        let arrive = self.round.ruling_to_allocate(&asked, ends.1).decision;
        let decision = if arrive == Decision::No {
            arrive
        } else {
            arrive.max(self.round.ruling_to_rebalance(&asked).decision)
        };
        (decision != Decision::No).then_some(decision)
    }

    fn is_worth(&self, shard: &ShardId, ends: (HostId, HostId)) -> bool {
        match self.worth {
            Worth::Asked => self.model.is_worth(&shard.index, self.round.load(shard), ends),
            Worth::Ignored => true,
        }
    }
}

impl RoutingAllocation<'_> {
    /// Started copies that may not stay where they are, in order.
    pub fn misplaced(&self) -> Vec<(ShardId, AllocationId, HostId)> {
        if !self.may_expel() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (shard, table) in self.state().shards() {
            for copy in table.copies.iter().filter(|copy| copy.state == CopyState::Started) {
                let remains = self.ruling_to_remain(&Asked { shard: &shard, table, copy });
                if let (Decision::No, Some(id), Some(node)) = (remains.decision, copy.allocation, copy.node) {
                    found.push((shard.clone(), id, node));
                }
            }
        }
        found
    }

    /// Whether anything is set or known that could make a copy leave: with defaults nothing is.
    fn may_expel(&self) -> bool {
        let settings = self.settings();
        let by_settings = settings.version > 0;
        let by_disks = settings.disk.is_enabled && !self.info().disks.is_empty();
        by_settings || by_disks
    }
}
