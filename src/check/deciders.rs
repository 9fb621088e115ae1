//! Deciders — decides whether every copy that was placed or moved was allowed to go where it went. It never
//! asks the allocator: the rules are written down here a second time.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        disks::{Disks, Mark},
        exhausted::Exhausted,
        law::{Law, Monitor},
        rules::{Rules, is_enabled},
        verdict::{Judged, broken},
    },
    event::{CopyState, Event, EventKind, Placement},
    name::{AllocationId, HostId, ShardId},
};

pub(super) const HOLD: Law = Law {
    name: "allocation.deciders-hold",
    sentence: "No published state places or moves a copy against a decider: filters, awareness, limits, enable, disks, \
               throttles, order, retries.",
    source: "Elasticsearch, AllocationDeciders",
    monitor: || Box::<Hold>::default(),
};

/// Judged are copies that come to a node with the state, not those that are there: settings may have changed
/// since. Allowed: what a reroute command asked for; and a primary that comes back from its data, which is forced upon
/// its node if no other with the data may have it (`PrimaryShardAllocator`; "this setting does not affect the recovery of
/// local primary shards", says the reference of `cluster.routing.allocation.enable`): of it only throttles are judged. Of
/// disks only the low watermark is judged (of a new primary the high one): how large a copy is when it comes is in no
/// event. Copies that came with a state that nobody told of (its controller lost its session before it knew that it had
/// written it) are not judged by the next one. Of shards with several replicas it cannot be told which of them has failed
/// too often: those may be retried. Where it is moves that have failed too often, the other copy still has its own retries.
#[derive(Default)]
struct Hold {
    rules: Rules,
    commanded: BTreeSet<ShardId>,
    placed: BTreeMap<AllocationId, CopyState>,
    /// Copies that came as the targets of moves.
    targets: BTreeSet<AllocationId>,
    disks: Disks,
    /// Shards of two copies, of which one is to be left alone.
    exhausted: Exhausted,
    /// The version of the state before.
    version: u64,
}

/// A published state, and the copies that come to a node with it.
struct Published<'a> {
    routing: &'a [Placement],
    by_shard: BTreeMap<&'a ShardId, Vec<&'a Placement>>,
    arrived: Vec<(&'a Placement, HostId, AllocationId)>,
    /// Those of them that are the targets of moves.
    targets: BTreeSet<AllocationId>,
    was: &'a BTreeMap<AllocationId, CopyState>,
}

impl Published<'_> {
    fn group(&self, shard: &ShardId) -> &[&Placement] {
        self.by_shard.get(shard).map_or(&[], Vec::as_slice)
    }

    fn primary(&self, shard: &ShardId) -> Option<&Placement> {
        self.group(shard).iter().find(|copy| copy.primary && copy.node.is_some()).copied()
    }

    /// Notes which of the copies that come are the targets of moves. A copy that moves has one, and another when that
    /// one has failed; where a replica comes in the same state, both count as such.
    fn note_targets(&mut self, known: &BTreeSet<AllocationId>) {
        let is_target = |(copy, _, _): &&(&Placement, HostId, AllocationId)| {
            let group = self.group(&copy.shard);
            let moving = group.iter().filter(|other| other.state == CopyState::Relocating).count();
            let is_held = |other: &&&Placement| {
                other.state == CopyState::Initializing
                    && other.allocation.is_some_and(|id| known.contains(&id))
            };
            let held = group.iter().filter(is_held).count();
            !copy.primary && moving > held
        };
        self.targets = self.arrived.iter().filter(is_target).map(|(_, _, id)| *id).collect();
    }

    /// Whether a copy comes as the target of a move.
    fn is_target(&self, copy: &Placement) -> bool {
        copy.allocation.is_some_and(|id| self.targets.contains(&id))
    }

    /// Copies of the shard whose move begins or, if none does, those that are to move to another target.
    fn leaving(&self, shard: &ShardId) -> Vec<&Placement> {
        let moving = || self.group(shard).iter().filter(|copy| copy.state == CopyState::Relocating).copied();
        let was = |copy: &Placement| copy.allocation.and_then(|id| self.was.get(&id));
        let begun: Vec<_> = moving().filter(|copy| was(copy) != Some(&CopyState::Relocating)).collect();
        if begun.is_empty() { moving().collect() } else { begun }
    }

    /// Copies that are built on each node, and from each node.
    fn recoveries(&self) -> (BTreeMap<HostId, u64>, BTreeMap<HostId, u64>, BTreeMap<HostId, u64>) {
        let (mut starting, mut incoming, mut outgoing) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for copy in self.routing.iter().filter(|copy| copy.state == CopyState::Initializing) {
            let Some(node) = copy.node else { continue };
            if copy.primary {
                *starting.entry(node).or_default() += 1;
                continue;
            }
            *incoming.entry(node).or_default() += 1;
            if let Some(source) = self.primary(&copy.shard).and_then(|primary| primary.node) {
                *outgoing.entry(source).or_default() += 1;
            }
        }
        (starting, incoming, outgoing)
    }
}

fn is_active(copy: &Placement) -> bool {
    copy.state.is_active()
}

impl Hold {
    /// What forbids that this copy came here, apart from what else goes on.
    fn objection(
        &self,
        state: &Published<'_>,
        nodes: &[HostId],
        copy: &Placement,
        node: HostId,
    ) -> Option<String> {
        let index = &copy.shard.index;
        let is_forced = copy.primary && copy.in_sync;
        if is_forced {
            return None;
        }
        if let Some(filter) = self.rules.filtered(index, node) {
            return Some(format!("filter: {filter} keeps it away"));
        }
        if !copy.primary && self.exhausted.has(&copy.shard) && !state.is_target(copy) {
            return Some("max_retry: it has failed too often".to_owned());
        }
        let held: Vec<_> = state
            .group(&copy.shard)
            .iter()
            .filter(|copy| copy.state != CopyState::Relocating)
            .map(|copy| copy.node)
            .collect();
        if let Some(attribute) = self.rules.crowded(nodes, &held, node) {
            return Some(format!("awareness: too many copies with that {attribute}"));
        }
        if !copy.primary && !state.primary(&copy.shard).is_some_and(is_active) {
            return Some("replica_after_primary_active: its primary is not active".to_owned());
        }
        let on_node: Vec<_> = state
            .routing
            .iter()
            .filter(|other| other.node == Some(node) && other.state != CopyState::Relocating)
            .collect();
        let of_index = on_node.iter().filter(|other| other.shard.index == *index).count() as u64;
        let (most, most_of_index) = self.rules.limits(index);
        if on_node.len() as u64 > most || of_index > most_of_index {
            return Some("shards_limit: too many copies on the node".to_owned());
        }
        let mark = if copy.primary { Mark::High } else { Mark::Low };
        if self.disks.is_beyond(node, mark) {
            return Some(format!("disk_threshold: its disk is beyond the {mark:?} watermark"));
        }
        let enabled = self.rules.enabled(index);
        (!is_enabled(enabled, copy.primary)).then(|| format!("enable: only {enabled}"))
    }

    /// What forbids so much at once.
    fn overload(&self, state: &Published<'_>) -> Option<String> {
        let (starting, incoming, outgoing) = state.recoveries();
        let over = |counts: &BTreeMap<HostId, u64>, node: HostId, most: u64| {
            counts.get(&node).is_some_and(|count| *count > most)
        };
        for (copy, node, _) in &state.arrived {
            if self.commanded.contains(&copy.shard) {
                continue;
            }
            if copy.primary {
                if over(&starting, *node, self.rules.number("node_initial_primaries_recoveries", 4)) {
                    return Some(format!("throttling: too many primaries start on {node}"));
                }
                continue;
            }
            if over(&incoming, *node, self.rules.number("node_concurrent_incoming_recoveries", 2)) {
                return Some(format!("throttling: too many copies are built on {node}"));
            }
            let source = state.primary(&copy.shard).and_then(|primary| primary.node);
            let most = self.rules.number("node_concurrent_outgoing_recoveries", 2);
            if let Some(source) = source.filter(|source| over(&outgoing, *source, most)) {
                return Some(format!("throttling: too many copies are built from {source}"));
            }
        }
        None
    }

    /// What forbids moves for the sake of balance.
    fn restlessness(&self, state: &Published<'_>, nodes: &[HostId]) -> Option<String> {
        let targets = state
            .arrived
            .iter()
            .filter(|(copy, _, _)| state.is_target(copy) && !self.commanded.contains(&copy.shard));
        let by_choice: Vec<_> =
            targets.filter(|(copy, _, _)| !self.must_leave(state, nodes, &copy.shard)).collect();
        let (copy, _, _) = by_choice.first()?;
        let moving = state.routing.iter().filter(|copy| copy.state == CopyState::Relocating).count() as u64;
        if moving > self.rules.number("cluster_concurrent_rebalance", 2) {
            return Some(format!("concurrent_rebalance: {moving} copies are on the move"));
        }
        let rule = self.rules.text("allow_rebalance").unwrap_or("indices_all_active");
        let is_judged = |copy: &&Placement| {
            rule == "indices_all_active" || rule == "indices_primaries_active" && copy.primary
        };
        let idle = state.routing.iter().filter(is_judged).find(|copy| match copy.state {
            CopyState::Unassigned => true,
            CopyState::Initializing => {
                !state.group(&copy.shard).iter().any(|other| other.state == CopyState::Relocating)
            }
            _ => false,
        });
        idle.map(|idle| {
            format!("cluster_rebalance: {} moves while a copy of {} is not active", copy.shard, idle.shard)
        })
    }

    /// Whether a copy of the shard that leaves could not have stayed.
    fn must_leave(&self, state: &Published<'_>, nodes: &[HostId], shard: &ShardId) -> bool {
        // Limits and awareness look at the state before; where they are set, a move may be forced.
        let may_be_forced = self.rules.text("awareness.attributes").is_some()
            || self.rules.limits(&shard.index) != (u64::MAX, u64::MAX);
        let leaving = state.leaving(shard);
        let filtered = |copy: &&Placement| {
            copy.node.is_some_and(|node| self.rules.filtered(&shard.index, node).is_some())
        };
        let is_full =
            |copy: &&Placement| copy.node.is_some_and(|node| self.disks.may_be_beyond(node, Mark::High));
        may_be_forced || leaving.iter().any(filtered) || leaving.iter().any(is_full) || nodes.is_empty()
    }

    /// A replica that has been built is no failure any more, and of a shard with more copies or fewer none is judged.
    fn forgive(&mut self, routing: &[Placement]) {
        self.exhausted.forgive(|shard| {
            let stays = |copy: &&Placement| copy.shard == *shard && copy.state != CopyState::Relocating;
            let copies: Vec<_> = routing.iter().filter(stays).collect();
            copies.len() != 2 || copies.iter().any(|copy| !copy.primary && is_active(copy))
        });
    }

    fn published(&mut self, event: &Event, version: u64, nodes: &[HostId], routing: &[Placement]) -> Judged {
        let mut by_shard: BTreeMap<&ShardId, Vec<&Placement>> = BTreeMap::new();
        for copy in routing {
            by_shard.entry(&copy.shard).or_default().push(copy);
        }
        let arrived = routing.iter().filter_map(|copy| {
            let (node, id) = (copy.node?, copy.allocation?);
            let comes = copy.state == CopyState::Initializing && !self.placed.contains_key(&id);
            comes.then_some((copy, node, id))
        });
        let (arrived, targets) = (arrived.collect(), BTreeSet::new());
        let mut state = Published { routing, by_shard, arrived, targets, was: &self.placed };
        state.note_targets(&self.targets);
        for (copy, node, id) in
            state.arrived.iter().filter(|(copy, _, _)| !self.commanded.contains(&copy.shard))
        {
            if let Some(why) = self.objection(&state, nodes, copy, *node) {
                return broken(
                    event,
                    format!("version {version} places copy {id} of {} on {node}; {why}", copy.shard),
                );
            }
        }
        if let Some(why) = self.overload(&state).or_else(|| self.restlessness(&state, nodes)) {
            return broken(event, format!("version {version}: {why}"));
        }
        self.targets.extend(state.targets);
        Ok(())
    }
}

impl Monitor for Hold {
    fn observe(&mut self, event: &Event) -> Judged {
        self.rules.observe(event);
        self.exhausted.observe(event);
        match &event.kind {
            EventKind::RerouteCommanded { shards, .. } => self.commanded.extend(shards.iter().cloned()),
            EventKind::StatePublished { version, nodes, routing, .. } => {
                self.forgive(routing);
                let follows = self.version == 0 || *version <= self.version + 1;
                self.version = *version;
                if follows {
                    self.published(event, *version, nodes, routing)?;
                }
                let placed = routing.iter().filter(|copy| copy.node.is_some());
                self.targets.retain(|id| routing.iter().any(|copy| copy.allocation == Some(*id)));
                self.placed = placed.filter_map(|copy| Some((copy.allocation?, copy.state))).collect();
                self.commanded.clear();
            }
            _ => {}
        }
        self.disks.observe(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            record::{Record, search},
            rules::AREA,
        },
        name::{Epoch, Term},
    };

    const LAW: &str = "allocation.deciders-hold";

    /// A copy: shard number, identity, node, state, whether it is primary.
    type Copy = (u32, u64, Option<u16>, CopyState, bool);

    fn publish(record: &mut Record, version: u64, copies: &[Copy]) {
        let placement = |(number, id, node, state, primary): &Copy| Placement {
            shard: ShardId { index: "a".into(), number: *number },
            node: node.map(search),
            allocation: node.map(|_| AllocationId(*id)),
            primary: *primary,
            state: *state,
            in_sync: state.is_active(),
            term: Term(1),
        };
        let kind = EventKind::StatePublished {
            epoch: Epoch(1),
            version,
            nodes: (1..=4).map(search).collect(),
            routing: copies.iter().map(placement).collect(),
            unlisted: Vec::new(),
            why: String::new(),
        };
        record.on(search(1), kind);
    }

    fn set(record: &mut Record, cluster: &[(&str, &str)]) {
        let pairs = cluster.iter().map(|(name, value)| (format!("{AREA}.{name}"), (*value).to_owned()));
        let zone = |node: u16| {
            (search(node), [("zone".to_owned(), if node < 3 { "x" } else { "y" }.to_owned())].into())
        };
        let kind = EventKind::AllocationInputs {
            cluster: pairs.collect(),
            indices: BTreeMap::new(),
            attributes: (1..=4).map(zone).collect(),
        };
        record.on(search(1), kind);
    }

    use CopyState::{Initializing, Relocating, Started, Unassigned};

    /// A started primary on search-1, and a replica that comes to `node`.
    fn replica_comes_to(record: &mut Record, node: u16) {
        publish(record, 1, &[(0, 1, Some(1), Started, true), (0, 2, None, Unassigned, false)]);
        publish(record, 2, &[(0, 1, Some(1), Started, true), (0, 2, Some(node), Initializing, false)]);
    }

    #[test]
    fn copy_on_an_excluded_node_fails_unless_it_was_ordered() {
        let mut record = Record::default();
        set(&mut record, &[("exclude.zone", "w,y*")]);
        let mut elsewhere = record.clone();
        replica_comes_to(&mut record, 3);
        record.assert_fails(
            LAW,
            "places copy 2 of a/0 on search-3; filter: cluster.routing.allocation.exclude keeps it away",
        );
        replica_comes_to(&mut elsewhere, 2);
        elsewhere.assert_passes(LAW);
    }

    #[test]
    fn copy_that_failed_too_often_comes_only_after_a_reset() {
        let shard = ShardId { index: "a".into(), number: 0 };
        let mut record = Record::default();
        publish(&mut record, 1, &[(0, 1, Some(1), Started, true), (0, 2, Some(2), Initializing, false)]);
        record.on(search(1), EventKind::RetriesExhausted { shard: shard.clone(), failures: 5, moves: false });
        let mut reset = record.clone();
        replica_comes_to(&mut record, 3);
        record.assert_fails(LAW, "places copy 2 of a/0 on search-3; max_retry: it has failed too often");
        let (mut more, mut fewer, mut again) = (reset.clone(), reset.clone(), reset.clone());
        reset.on(search(1), EventKind::RetriesReset { shards: vec![shard] });
        replica_comes_to(&mut reset, 3);
        reset.assert_passes(LAW);
        let third = (0, 3, Some(3), Initializing, false);
        publish(&mut more, 2, &[(0, 1, Some(1), Started, true), (0, 2, None, Unassigned, false), third]);
        more.assert_passes(LAW);
        publish(&mut fewer, 2, &[(0, 1, Some(1), Relocating, true), (0, 4, Some(3), Initializing, false)]);
        publish(&mut fewer, 3, &[(0, 1, Some(1), Relocating, true), (0, 5, Some(3), Initializing, false)]);
        fewer.assert_passes(LAW);
        let replica = (0, 2, None, Unassigned, false);
        let moving = |id| [(0, 1, Some(1), Relocating, true), replica, (0, id, Some(3), Initializing, false)];
        set(&mut again, &[("exclude._name", "search-1")]);
        publish(&mut again, 2, &moving(4));
        let mut beside = again.clone();
        publish(&mut again, 3, &moving(5));
        again.assert_passes(LAW);
        let [primary, _, target] = moving(4);
        publish(&mut beside, 3, &[primary, (0, 2, Some(2), Initializing, false), target]);
        beside.assert_fails(LAW, "places copy 2 of a/0 on search-2; max_retry: it has failed too often");
    }

    #[test]
    fn replica_may_come_when_it_was_a_move_that_failed_too_often() {
        let shard = ShardId { index: "a".into(), number: 0 };
        for moves in [true, false] {
            let mut record = Record::default();
            set(&mut record, &[("exclude._name", "search-1")]);
            let (gone, comes) = ((0, 2, None, Unassigned, false), (0, 2, Some(2), Initializing, false));
            let target = (0, 4, Some(3), Initializing, false);
            publish(&mut record, 1, &[(0, 1, Some(1), Relocating, true), gone, target]);
            record.on(search(1), EventKind::RetriesExhausted { shard: shard.clone(), failures: 5, moves });
            publish(&mut record, 2, &[(0, 1, Some(1), Started, true), gone]);
            publish(&mut record, 3, &[(0, 1, Some(1), Started, true), comes]);
            if moves {
                record.assert_passes(LAW);
            } else {
                record.assert_fails(LAW, "places copy 2 of a/0 on search-2; max_retry");
            }
        }
    }

    #[test]
    fn primary_without_data_on_an_excluded_node_fails_and_one_from_its_data_passes() {
        let mut record = Record::default();
        set(&mut record, &[("exclude._name", "search-1")]);
        publish(&mut record, 1, &[(0, 1, Some(1), Initializing, true)]);
        let mut forced = record.clone();
        record.assert_fails(LAW, "places copy 1 of a/0 on search-1; filter");
        if let EventKind::StatePublished { routing, .. } = &mut forced.events[1].kind {
            routing[0].in_sync = true;
        }
        forced.assert_passes(LAW);
    }

    #[test]
    fn two_copies_in_one_zone_fail_under_awareness() {
        let mut record = Record::default();
        set(&mut record, &[("awareness.attributes", "zone")]);
        let mut spread = record.clone();
        replica_comes_to(&mut record, 2);
        record.assert_fails(LAW, "awareness: too many copies with that zone");
        replica_comes_to(&mut spread, 3);
        spread.assert_passes(LAW);
    }

    #[test]
    fn copy_that_may_have_come_with_a_state_that_nobody_told_of_is_not_judged() {
        for (version, passes) in [(2, false), (3, true)] {
            let mut record = Record::default();
            set(&mut record, &[("exclude._name", "search-3")]);
            publish(&mut record, 1, &[(0, 1, Some(1), Started, true), (0, 2, None, Unassigned, false)]);
            let come = [(0, 1, Some(1), Started, true), (0, 2, Some(3), Initializing, false)];
            publish(&mut record, version, &come);
            if passes {
                record.assert_passes(LAW);
            } else {
                record.assert_fails(LAW, "places copy 2 of a/0 on search-3");
            }
        }
    }

    #[test]
    fn replica_before_its_primary_fails() {
        let mut record = Record::default();
        publish(&mut record, 1, &[(0, 1, Some(1), Initializing, true), (0, 2, Some(2), Initializing, false)]);
        record.assert_fails(LAW, "replica_after_primary_active");
    }

    #[test]
    fn third_copy_that_is_built_on_a_node_at_once_fails() {
        let mut record = Record::default();
        let copies = |many: u32| -> Vec<Copy> {
            let primaries = (0..many)
                .map(|number| (number, u64::from(number), Some(1 + 2 * (number % 2) as u16), Started, true));
            let replicas =
                (0..many).map(|number| (number, 10 + u64::from(number), Some(2), Initializing, false));
            primaries.chain(replicas).collect()
        };
        publish(&mut record, 1, &copies(2));
        record.assert_passes(LAW);
        publish(&mut record, 2, &copies(3));
        record.assert_fails(LAW, "throttling: too many copies are built on search-2");
    }

    #[test]
    fn limit_and_enable_are_kept() {
        for (name, value, why) in [
            ("total_shards_per_node", "1", "shards_limit"),
            ("enable", "primaries", "enable: only primaries"),
        ] {
            let mut record = Record::default();
            set(&mut record, &[(name, value)]);
            publish(&mut record, 1, &[(0, 1, Some(1), Started, true), (1, 3, Some(2), Started, true)]);
            publish(
                &mut record,
                2,
                &[
                    (0, 1, Some(1), Started, true),
                    (1, 3, Some(2), Started, true),
                    (0, 2, Some(2), Initializing, false),
                ],
            );
            record.assert_fails(LAW, why);
        }
    }

    #[test]
    fn copy_on_a_node_beyond_the_low_watermark_fails() {
        let mut record = Record::default();
        let full = |free| EventKind::DiskReported { node: search(2), total: 100, free };
        record.on(search(1), full(10));
        let mut freed = record.clone();
        replica_comes_to(&mut record, 2);
        record.assert_fails(LAW, "disk_threshold: its disk is beyond the Low watermark");
        publish(&mut freed, 1, &[(0, 1, Some(1), Started, true)]);
        freed.on(search(1), full(90));
        replica_comes_to(&mut freed, 2);
        freed.assert_passes(LAW);
    }

    #[test]
    fn move_for_balance_while_a_copy_is_missing_fails() {
        let mut record = Record::default();
        publish(&mut record, 1, &[(0, 1, Some(1), Started, true), (1, 2, None, Unassigned, true)]);
        let moving = [
            (0, 1, Some(1), Relocating, true),
            (0, 3, Some(2), Initializing, false),
            (1, 2, None, Unassigned, true),
        ];
        let mut forced = record.clone();
        publish(&mut record, 2, &moving);
        record.assert_fails(LAW, "cluster_rebalance: a/0 moves while a copy of a/1 is not active");
        set(&mut forced, &[("exclude._name", "search-1")]);
        publish(&mut forced, 2, &moving);
        forced.assert_passes(LAW);
    }
}
