//! Moves — decides whether copies move for a reason, and primaries come from copies that have every write. It
//! never weighs a node.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        disks::Disks,
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{CopyRef, CopyState, Event, EventKind, Placement},
    name::{AllocationId, HostId, ShardId, Term},
};

pub(super) const NO_STALE_PRIMARY: Law = Law {
    name: "allocation.no-stale-primary",
    sentence: "No copy that is not in sync becomes primary, and no in-sync set runs empty, unless somebody ordered it.",
    source: "Elasticsearch, in-sync allocation ids (#14671, #14739)",
    monitor: || Box::<NoStalePrimary>::default(),
};

pub(super) const MOVES_END: Law = Law {
    name: "allocation.moves-end",
    sentence: "While nothing changes that allocation goes by, moves bring back no placement of copies that has been, and \
               no more of them begin than two for each copy; but for `balanced`, no copy moves back at all.",
    source: "Elasticsearch #88384, #87279; for `balanced` #11107",
    monitor: || Box::<MovesEnd>::default(),
};

/// What the last state said of a shard.
#[derive(Debug, Clone, Default)]
struct Shard {
    term: Term,
    in_sync: BTreeSet<AllocationId>,
    listed: BTreeSet<AllocationId>,
}

/// Allowed: a primary of a shard without in-sync copies, which is new; a copy that was being built when the last
/// state was written, since it may have come into sync and been promoted between two states; whatever a
/// reroute command asked for, with `accept_data_loss`. An index of the same name that was made anew begins with
/// a term that is no higher.
#[derive(Default)]
struct NoStalePrimary {
    shards: BTreeMap<ShardId, Shard>,
    given_up: BTreeSet<ShardId>,
}

fn shards_of(routing: &[Placement], unlisted: &[CopyRef]) -> BTreeMap<ShardId, Shard> {
    let mut shards: BTreeMap<ShardId, Shard> = BTreeMap::new();
    for copy in routing {
        let shard = shards.entry(copy.shard.clone()).or_default();
        shard.term = copy.term;
        shard.listed.extend(copy.allocation);
        shard.in_sync.extend(copy.allocation.filter(|_| copy.in_sync));
    }
    for copy in unlisted {
        shards.entry(copy.shard.clone()).or_default().in_sync.insert(copy.allocation);
    }
    shards
}

impl NoStalePrimary {
    fn judge(
        &self,
        event: &Event,
        version: u64,
        routing: &[Placement],
        now: &BTreeMap<ShardId, Shard>,
    ) -> Judged {
        for copy in routing.iter().filter(|copy| copy.primary && copy.node.is_some()) {
            let (Some(id), Some(shard)) = (copy.allocation, now.get(&copy.shard)) else { continue };
            if self.given_up.contains(&copy.shard) {
                continue;
            }
            let name = &copy.shard;
            let former = self.shards.get(name).filter(|former| shard.term > former.term);
            let is_of_former = |former: &Shard| former.in_sync.contains(&id) || former.listed.contains(&id);
            let is_stale = !shard.in_sync.is_empty() && !copy.in_sync
                || former.is_some_and(|former| !former.in_sync.is_empty() && !is_of_former(former));
            if is_stale {
                let in_sync = shard.in_sync.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return broken(
                    event,
                    format!(
                        "version {version} makes copy {id} of {name} primary, which is not in sync; in sync: {in_sync}"
                    ),
                );
            }
            if shard.in_sync.is_empty() && former.is_some_and(|former| !former.in_sync.is_empty()) {
                return broken(event, format!("version {version} leaves {name} without any in-sync copy"));
            }
        }
        Ok(())
    }
}

impl Monitor for NoStalePrimary {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::RerouteCommanded { given_up, .. } => self.given_up.extend(given_up.iter().cloned()),
            EventKind::StatePublished { version, routing, unlisted, .. } => {
                let now = shards_of(routing, unlisted);
                self.judge(event, *version, routing, &now)?;
                self.shards = now;
                self.given_up.clear();
            }
            _ => {}
        }
        Ok(())
    }
}

/// A shard's move from one node to another.
type Hop = (ShardId, HostId, HostId);

/// What allocation goes by: nodes, and how many copies each shard has.
type Inputs = (Vec<HostId>, BTreeMap<ShardId, usize>);

/// How many copies of a shard a node has more than when all that are placed now had a place.
type Gains = BTreeMap<(ShardId, HostId), i32>;

/// Counted anew when nodes, indices, replicas, settings or attributes change, when a copy is lost or a
/// relocation given up, and once a move that somebody has ordered was made: it may be undone, but for good.
///
/// Allowed: `balanced` may send a copy back once other copies have moved. It sees one index at a time and does not look
/// ahead, as Elasticsearch before its desired balance (#11107, where a copy goes on from where it has just come to;
/// #87279, open for that allocator). A whole placement never comes back: each move that is worth while brings the
/// cluster closer to balance.
#[derive(Default)]
struct MovesEnd {
    is_greedy: bool,
    inputs: Option<Inputs>,
    placed: BTreeMap<AllocationId, CopyState>,
    moved: BTreeSet<Hop>,
    gains: Gains,
    /// What the gains have been.
    been: BTreeSet<Gains>,
    begun: usize,
    /// The next state shows what somebody has ordered.
    commanded: bool,
    disks: Disks,
}

impl MovesEnd {
    fn restart(&mut self) {
        self.moved.clear();
        self.begun = 0;
        self.forget();
    }

    /// No placement that has been can come back.
    fn forget(&mut self) {
        self.gains.clear();
        self.been.clear();
    }

    fn gain(&mut self, shard: &ShardId, node: HostId, copies: i32) {
        let place = (shard.clone(), node);
        let gained = self.gains.remove(&place).unwrap_or(0) + copies;
        if gained != 0 {
            self.gains.insert(place, gained);
        }
    }

    /// A move begins. Why it should not, if so.
    fn begin(&mut self, hop: Hop) -> Option<&'static str> {
        self.begun += 1;
        self.been.insert(self.gains.clone());
        let (shard, from, to) = &hop;
        self.gain(shard, *from, -1);
        self.gain(shard, *to, 1);
        let goes_back = self.moved.contains(&(shard.clone(), *to, *from));
        self.moved.insert(hop);
        if self.been.contains(&self.gains) {
            return Some("all copies are where they have been before");
        }
        (goes_back && !self.is_greedy).then_some("nothing has changed")
    }

    /// Whether a copy that had a node has none any more, other than by the end of its move.
    fn has_lost(&self, now: &BTreeMap<AllocationId, CopyState>) -> bool {
        let ended = self.placed.iter().filter(|(id, _)| !now.contains_key(id));
        ended.into_iter().any(|(_, state)| *state != CopyState::Relocating)
            || self.placed.iter().any(|(id, state)| {
                *state == CopyState::Relocating && now.get(id).is_some_and(|now| *now == CopyState::Started)
            })
    }

    fn published(&mut self, event: &Event, version: u64, nodes: &[HostId], routing: &[Placement]) -> Judged {
        let placed = routing.iter().filter(|copy| copy.node.is_some());
        let placed: BTreeMap<_, _> = placed.filter_map(|copy| Some((copy.allocation?, copy.state))).collect();
        let mut copies: BTreeMap<ShardId, usize> = BTreeMap::new();
        for copy in routing.iter().filter(|copy| copy.state != CopyState::Relocating) {
            *copies.entry(copy.shard.clone()).or_default() += 1;
        }
        let inputs = (nodes.to_vec(), copies);
        if self.inputs.as_ref() != Some(&inputs) || self.has_lost(&placed) {
            self.restart();
        }
        let was = std::mem::replace(&mut self.placed, placed);
        let count = inputs.1.values().sum::<usize>();
        let hops = begun(&was, routing);
        // More copies have a place than ever before.
        if places_anew(&was, routing, &hops) {
            self.forget();
        }
        for hop in hops {
            let (shard, from, to) = hop.clone();
            if let Some(reason) = self.begin(hop) {
                let why = format!(
                    "version {version} moves a copy of {shard} from {from} back to {to}, though {reason}"
                );
                return broken(event, why);
            }
        }
        self.inputs = Some(inputs);
        if std::mem::take(&mut self.commanded) {
            self.restart();
        }
        // To where it must go, and then to where it is best.
        if self.begun > 2 * count {
            let begun = self.begun;
            let why = format!(
                "version {version} begins move {begun} of {count} copies, though nothing has changed"
            );
            return broken(event, why);
        }
        Ok(())
    }
}

/// Whether a copy gets a node with this state, other than by a move.
fn places_anew(was: &BTreeMap<AllocationId, CopyState>, routing: &[Placement], hops: &[Hop]) -> bool {
    routing.iter().filter(|copy| copy.node.is_some()).any(|copy| {
        copy.allocation.is_some_and(|id| !was.contains_key(&id))
            && !hops.iter().any(|(shard, _, to)| *shard == copy.shard && Some(*to) == copy.node)
    })
}

/// The moves that begin with this state, of shards of which one copy moves.
fn begun(was: &BTreeMap<AllocationId, CopyState>, routing: &[Placement]) -> Vec<Hop> {
    let is_new = |copy: &&Placement, state: CopyState| {
        copy.state == state && copy.allocation.is_some_and(|id| was.get(&id) != Some(&state))
    };
    let mut hops = Vec::new();
    for source in routing.iter().filter(|copy| is_new(copy, CopyState::Relocating)) {
        let of_shard = routing.iter().filter(|copy| copy.shard == source.shard);
        let target = of_shard.filter(|copy| is_new(copy, CopyState::Initializing)).find(|copy| !copy.in_sync);
        if let (Some(from), Some(to)) = (source.node, target.and_then(|target| target.node)) {
            hops.push((source.shard.clone(), from, to));
        }
    }
    hops
}

impl Monitor for MovesEnd {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::RunStarted { allocator, .. } => self.is_greedy = &**allocator == "balanced",
            EventKind::RerouteCommanded { .. } => {
                self.commanded = true;
                self.restart();
            }
            EventKind::AllocationInputs { .. } => self.restart(),
            EventKind::StatePublished { version, nodes, routing, .. } => {
                self.published(event, *version, nodes, routing)?;
            }
            _ => {}
        }
        if self.disks.observe(event).is_some() {
            self.restart();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search, shard},
        name::Epoch,
    };

    /// A copy: identity, node, state, whether it is primary and in sync.
    type Copy = (u64, u16, CopyState, bool, bool);

    fn publish(record: &mut Record, version: u64, term: u64, copies: &[Copy], unlisted: &[u64]) {
        let placement = |(id, node, state, primary, in_sync): &Copy| Placement {
            shard: shard(),
            node: Some(search(*node)),
            allocation: Some(AllocationId(*id)),
            primary: *primary,
            state: *state,
            in_sync: *in_sync,
            term: Term(term),
        };
        let unlisted = unlisted.iter().map(|id| CopyRef { shard: shard(), allocation: AllocationId(*id) });
        let kind = EventKind::StatePublished {
            epoch: Epoch(1),
            version,
            nodes: vec![search(1), search(2), search(3)],
            routing: copies.iter().map(placement).collect(),
            unlisted: unlisted.collect(),
            why: String::new(),
        };
        record.on(search(1), kind);
    }

    use CopyState::{Initializing, Relocating, Started};

    #[test]
    fn primary_that_is_not_in_sync_fails_unless_it_was_ordered() {
        let mut record = Record::default();
        publish(&mut record, 1, 1, &[(1, 1, Started, true, true)], &[]);
        let mut ordered = record.clone();
        publish(&mut record, 2, 2, &[(2, 2, Initializing, true, false)], &[1]);
        record.assert_fails(
            "allocation.no-stale-primary",
            "makes copy 2 of articles/0 primary, which is not in sync; in sync: 1",
        );
        let mut moved = ordered.clone();
        let shards = vec![shard()];
        ordered
            .on(search(1), EventKind::RerouteCommanded { shards: shards.clone(), given_up: shards.clone() });
        publish(&mut ordered, 2, 2, &[(2, 2, Initializing, true, false)], &[1]);
        ordered.assert_passes("allocation.no-stale-primary");
        moved.on(search(1), EventKind::RerouteCommanded { shards, given_up: vec![] });
        publish(&mut moved, 2, 2, &[(2, 2, Initializing, true, false)], &[1]);
        moved.assert_fails("allocation.no-stale-primary", "which is not in sync");
    }

    #[test]
    fn stale_copy_that_is_declared_in_sync_fails() {
        let mut record = Record::default();
        publish(&mut record, 1, 1, &[(1, 1, Started, true, true)], &[]);
        publish(&mut record, 2, 2, &[(2, 2, Initializing, true, true)], &[]);
        record.assert_fails("allocation.no-stale-primary", "makes copy 2 of articles/0 primary");
    }

    #[test]
    fn in_sync_set_that_runs_empty_fails() {
        let mut record = Record::default();
        publish(&mut record, 1, 1, &[(1, 1, Started, true, true)], &[]);
        publish(&mut record, 2, 2, &[(1, 2, Initializing, true, false)], &[]);
        record.assert_fails("allocation.no-stale-primary", "leaves articles/0 without any in-sync copy");
    }

    #[test]
    fn promotion_of_a_copy_that_was_being_built_passes() {
        let mut record = Record::default();
        publish(&mut record, 1, 1, &[(1, 1, Started, true, true), (2, 2, Initializing, false, false)], &[]);
        publish(&mut record, 2, 2, &[(2, 2, Started, true, true)], &[1]);
        record.assert_passes("allocation.no-stale-primary");
    }

    fn to_and_fro() -> Record {
        let mut record = Record::default();
        publish(&mut record, 1, 1, &[(1, 1, Started, true, true)], &[]);
        publish(
            &mut record,
            2,
            1,
            &[(1, 1, Relocating, true, true), (2, 2, Initializing, false, false)],
            &[],
        );
        publish(&mut record, 3, 1, &[(2, 2, Started, true, true)], &[]);
        record
    }

    fn back(record: &mut Record) {
        publish(record, 4, 1, &[(2, 2, Relocating, true, true), (3, 1, Initializing, false, false)], &[]);
    }

    #[test]
    fn copy_that_moves_back_fails_unless_something_has_changed() {
        let mut record = to_and_fro();
        let mut changed = record.clone();
        back(&mut record);
        record.assert_fails(
            "allocation.moves-end",
            "moves a copy of articles/0 from search-2 back to search-1",
        );
        changed.on(search(1), EventKind::RerouteCommanded { shards: vec![shard()], given_up: vec![] });
        back(&mut changed);
        changed.assert_passes("allocation.moves-end");
    }

    /// What was ordered may be undone; that it is done again nobody has ordered.
    #[test]
    fn ordered_move_may_be_undone_once() {
        for allocator in ["balanced", "desired-balance"] {
            let mut record = began_under(allocator);
            publish_pairs(&mut record, 1, [&[(1, 1)], &[(11, 1)]]);
            record.on(search(1), EventKind::RerouteCommanded { shards: vec![shard()], given_up: vec![] });
            publish_pairs(&mut record, 2, [&[(1, 1), (2, 2)], &[(11, 1)]]);
            publish_pairs(&mut record, 3, [&[(2, 2), (3, 1)], &[(11, 1)]]);
            record.assert_passes("allocation.moves-end");
            publish_pairs(&mut record, 4, [&[(3, 1), (4, 2)], &[(11, 1)]]);
            record.assert_fails("allocation.moves-end", "moves a copy of articles/0 from search-1 back to");
        }
    }

    /// Copies of two shards, by identity and node; a second pair is a move that goes on, none a copy without a node.
    fn publish_pairs(record: &mut Record, version: u64, shards: [&[(u64, u16)]; 2]) {
        let mut routing = Vec::new();
        for (copies, number) in shards.into_iter().zip(0..) {
            let placement = |place: Option<&(u64, u16)>, state| Placement {
                shard: ShardId { index: "articles".into(), number },
                node: place.map(|(_, node)| search(*node)),
                allocation: place.map(|(id, _)| AllocationId(*id)),
                primary: true,
                state,
                in_sync: state != Initializing,
                term: Term(1),
            };
            match copies {
                [] => routing.push(placement(None, CopyState::Unassigned)),
                [one] => routing.push(placement(Some(one), Started)),
                [from, to, ..] => {
                    routing.extend([placement(Some(from), Relocating), placement(Some(to), Initializing)]);
                }
            }
        }
        let kind = EventKind::StatePublished {
            epoch: Epoch(1),
            version,
            nodes: vec![search(1), search(2)],
            routing,
            unlisted: vec![],
            why: String::new(),
        };
        record.on(search(1), kind);
    }

    fn began_under(allocator: &'static str) -> Record {
        let mut record = Record::healthy();
        record.events.truncate(1);
        if let EventKind::RunStarted { allocator: by, .. } = &mut record.events[0].kind {
            *by = allocator.into();
        }
        record
    }

    /// A copy goes from 1 to 2, another after it, and the first goes back.
    fn back_after_another(allocator: &'static str) -> Record {
        let mut record = began_under(allocator);
        publish_pairs(&mut record, 1, [&[(1, 1)], &[(11, 1)]]);
        publish_pairs(&mut record, 2, [&[(1, 1), (2, 2)], &[(11, 1)]]);
        publish_pairs(&mut record, 3, [&[(2, 2)], &[(11, 1), (12, 2)]]);
        publish_pairs(&mut record, 4, [&[(2, 2), (3, 1)], &[(12, 2)]]);
        record
    }

    #[test]
    fn copy_that_moves_back_after_others_fails_unless_the_allocator_is_greedy() {
        const LAW: &str = "allocation.moves-end";
        let why = "moves a copy of articles/0 from search-2 back to search-1, though nothing has changed";
        back_after_another("desired-balance").assert_fails(LAW, why);
        back_after_another("balanced").assert_passes(LAW);
    }

    #[test]
    fn placement_that_comes_back_fails_under_a_greedy_allocator_too() {
        let mut record = back_after_another("balanced");
        publish_pairs(&mut record, 5, [&[(3, 1)], &[(12, 2), (13, 1)]]);
        record.assert_fails(
            "allocation.moves-end",
            "moves a copy of articles/1 from search-2 back to search-1, though all copies are where they have been before",
        );
    }

    #[test]
    fn copy_that_was_placed_meanwhile_makes_another_placement() {
        let mut record = began_under("balanced");
        publish_pairs(&mut record, 1, [&[(1, 1)], &[]]);
        publish_pairs(&mut record, 2, [&[(1, 1), (2, 2)], &[]]);
        publish_pairs(&mut record, 3, [&[(2, 2)], &[(11, 1)]]);
        publish_pairs(&mut record, 4, [&[(2, 2), (3, 1)], &[(11, 1)]]);
        record.assert_passes("allocation.moves-end");
    }

    #[test]
    fn moves_without_end_fail() {
        let mut record = to_and_fro();
        publish(
            &mut record,
            4,
            1,
            &[(2, 2, Relocating, true, true), (3, 3, Initializing, false, false)],
            &[],
        );
        record.assert_passes("allocation.moves-end");
        publish(&mut record, 5, 1, &[(3, 3, Started, true, true)], &[]);
        publish(
            &mut record,
            6,
            1,
            &[(3, 3, Relocating, true, true), (4, 4, Initializing, false, false)],
            &[],
        );
        record.assert_fails("allocation.moves-end", "begins move 3 of 1 copies");
    }
}
