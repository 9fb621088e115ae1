//! Routing — decides which goals of the routing table and its in-sync sets an event meets. It never judges.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AWARENESS_HELD, CLUSTER_YELLOW, COPY_WAITED_FOR, DATA_GIVEN_UP, DELAY_MET, DELAY_OVER, DISK_FLOODED,
    DISK_FREED, DISK_HIGH, DISK_LOW, DISK_RELIEVED, Goal, IN_SYNC_SHRUNK, INDEX_BLOCKED, INDEX_DELETED,
    INDEX_RELEASED, NODE_DRAINED, REROUTE_COMMANDED, RETRIES_EXHAUSTED, RETRIES_RESET, SETTINGS_CHANGED,
    SHARD_RED, SHARD_RED_HEALED,
};
use crate::{
    check::{
        disks::{Disks, Mark},
        forfeit::Commands,
    },
    event::{CopyRef, CopyState, Event, EventKind, Placement},
    name::{AllocationId, HostId, ShardId},
};

/// What must be remembered to tell.
#[derive(Default)]
pub(super) struct Routing {
    in_sync: BTreeMap<ShardId, BTreeSet<AllocationId>>,
    /// Shards whose in-sync set lost a copy since the last acknowledgement.
    shrunk: BTreeSet<ShardId>,
    /// Copies that wait for their node.
    waiting: BTreeMap<AllocationId, ShardId>,
    /// Shards whose primary served once and does not now.
    red: BTreeSet<ShardId>,
    served: BTreeSet<ShardId>,
    commands: Commands,
    disks: Disks,
    /// Nodes beyond the high watermark.
    full: BTreeSet<HostId>,
    /// Settings of the cluster, if any were ever set.
    settings: Option<BTreeMap<String, String>>,
}

fn is_active(copy: &Placement) -> bool {
    copy.state.is_active()
}

impl Routing {
    /// The goals that the next event meets.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<Goal> {
        let begins_anew = !self.commands.observe(event).is_empty();
        let mut met = self.disk(event);
        met.extend(self.table(event, begins_anew));
        met
    }

    fn disk(&mut self, event: &Event) -> Vec<Goal> {
        let mut met = Vec::new();
        if let EventKind::StatePublished { routing, .. } = &event.kind {
            let leaves = |copy: &Placement| {
                let node = copy.node.filter(|_| copy.state == CopyState::Relocating);
                node.is_some_and(|node| self.disks.is_beyond(node, Mark::High))
            };
            met.extend(routing.iter().any(leaves).then_some(DISK_RELIEVED));
        }
        match self.disks.observe(event) {
            Some((node, None)) => met.extend(self.full.remove(&node).then_some(DISK_FREED)),
            Some((_, Some(Mark::Low))) => met.push(DISK_LOW),
            Some((node, Some(mark))) => {
                self.full.insert(node);
                met.push(if mark == Mark::High { DISK_HIGH } else { DISK_FLOODED });
            }
            None => {}
        }
        met
    }

    fn table(&mut self, event: &Event, begins_anew: bool) -> Vec<Goal> {
        match &event.kind {
            EventKind::StatePublished { routing, unlisted, .. } => {
                let mut met = self.delays(routing);
                met.extend(begins_anew.then_some(DATA_GIVEN_UP));
                met.extend(self.rules(routing));
                met.extend(self.health(routing));
                self.sets(routing, unlisted);
                met
            }
            EventKind::RerouteCommanded { .. } => vec![REROUTE_COMMANDED],
            EventKind::IndexBlocked { .. } => vec![INDEX_BLOCKED],
            EventKind::IndexReleased { .. } => vec![INDEX_RELEASED],
            EventKind::RetriesExhausted { .. } => vec![RETRIES_EXHAUSTED],
            EventKind::RetriesReset { .. } => vec![RETRIES_RESET],
            EventKind::AllocationInputs { cluster, .. } => {
                self.settings.replace(cluster.clone()).map_or(Vec::new(), |_| vec![SETTINGS_CHANGED])
            }
            EventKind::WriteAcknowledged { shard, .. } if self.shrunk.remove(shard) => vec![IN_SYNC_SHRUNK],
            _ => Vec::new(),
        }
    }

    fn delays(&mut self, routing: &[Placement]) -> Vec<Goal> {
        let mut met = Vec::new();
        let nodes: BTreeMap<_, _> =
            routing.iter().filter_map(|copy| Some((copy.allocation?, copy.node))).collect();
        let is_away = |id: &AllocationId| nodes.get(id).is_some_and(Option::is_none);
        for (id, _) in self.waiting.extract_if(.., |id, _| !is_away(id)) {
            met.push(if nodes.contains_key(&id) { DELAY_MET } else { DELAY_OVER });
        }
        for copy in routing.iter().filter(|copy| copy.node.is_none()) {
            let Some(id) = copy.allocation else { continue };
            if self.waiting.insert(id, copy.shard.clone()).is_none() {
                met.push(COPY_WAITED_FOR);
            }
        }
        met
    }

    fn health(&mut self, routing: &[Placement]) -> Vec<Goal> {
        let mut met = Vec::new();
        for copy in routing {
            match (copy.primary, is_active(copy)) {
                (true, true) => {
                    self.served.insert(copy.shard.clone());
                    met.extend(self.red.remove(&copy.shard).then_some(SHARD_RED_HEALED));
                }
                (true, false) if self.served.contains(&copy.shard) && copy.node.is_none() => {
                    self.red.insert(copy.shard.clone());
                    met.push(SHARD_RED);
                }
                (false, false) if self.served.contains(&copy.shard) && copy.node.is_none() => {
                    met.push(CLUSTER_YELLOW)
                }
                _ => {}
            }
        }
        let listed: BTreeSet<_> = routing.iter().map(|copy| &copy.shard).collect();
        let before = self.served.len();
        self.served.retain(|shard| listed.contains(shard));
        met.extend((self.served.len() < before).then_some(INDEX_DELETED));
        met
    }

    /// Goals that copies meet under the settings in force.
    fn rules(&self, routing: &[Placement]) -> Vec<Goal> {
        let set = self.settings.iter().flatten();
        let below = |prefix: &'static str| set.clone().filter(move |(name, _)| name.starts_with(prefix));
        let excluded: Vec<_> = below("cluster.routing.allocation.exclude._name")
            .flat_map(|(_, names)| names.split(',').map(str::trim))
            .collect();
        let leaves = |copy: &Placement| {
            let node = copy.node.filter(|_| copy.state == CopyState::Relocating);
            node.is_some_and(|node| excluded.contains(&node.to_string().as_str()))
        };
        let is_forced = below("cluster.routing.allocation.awareness.force.").next().is_some();
        let is_held = |copy: &Placement| copy.node.is_none() && copy.allocation.is_none() && !copy.primary;
        let drained = (!excluded.is_empty() && routing.iter().any(leaves)).then_some(NODE_DRAINED);
        let held = (is_forced && routing.iter().any(is_held)).then_some(AWARENESS_HELD);
        drained.into_iter().chain(held).collect()
    }

    fn sets(&mut self, routing: &[Placement], unlisted: &[CopyRef]) {
        let mut sets: BTreeMap<ShardId, BTreeSet<AllocationId>> = BTreeMap::new();
        let listed = routing.iter().filter(|copy| copy.in_sync);
        let listed = listed.filter_map(|copy| Some((&copy.shard, copy.allocation?)));
        for (shard, id) in listed.chain(unlisted.iter().map(|copy| (&copy.shard, copy.allocation))) {
            match sets.get_mut(shard) {
                Some(copies) => _ = copies.insert(id),
                None => _ = sets.insert(shard.clone(), [id].into()),
            }
        }
        let old = std::mem::replace(&mut self.in_sync, sets);
        let lost = old
            .into_iter()
            .filter(|(shard, copies)| self.in_sync.get(shard).is_some_and(|now| !copies.is_subset(now)));
        self.shrunk.extend(lost.map(|(shard, _)| shard));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search, shard},
        event::{
            CopyState::{Started, Unassigned},
            EventKind as E,
        },
        name::{Epoch, SeqNo, Term},
    };

    /// One copy: its id, whether it is the primary, its state.
    type One = (u64, bool, CopyState);

    fn met(states: &[&[One]], then: Option<E>) -> Vec<&'static str> {
        let mut record = Record::default();
        for (copies, version) in states.iter().zip(1..) {
            let placement = |(id, primary, state): &One| Placement {
                shard: shard(),
                node: (*state != Unassigned).then_some(search(*id as u16)),
                allocation: Some(AllocationId(*id)),
                primary: *primary,
                state: *state,
                in_sync: true,
                term: Term(1),
            };
            let (epoch, nodes, why) = (Epoch(1), vec![], String::new());
            let routing = copies.iter().map(placement).collect();
            let unlisted = vec![];
            record.on(search(3), E::StatePublished { epoch, version, nodes, routing, unlisted, why });
        }
        then.into_iter().for_each(|kind| _ = record.on(search(1), kind));
        let mut routing = Routing::default();
        let met = record.numbered().iter().flat_map(|event| routing.observe(event)).collect::<Vec<_>>();
        met.into_iter().map(|goal| goal.name).collect()
    }

    const BOTH: &[One] = &[(1, true, Started), (2, false, Started)];

    #[test]
    fn delay_is_met_by_its_copy_and_over_without_it() {
        let away: &[One] = &[(1, true, Started), (2, false, Unassigned)];
        let moved: &[One] = &[(1, true, Started), (3, false, Started)];
        assert_eq!(met(&[BOTH, away, BOTH], None), ["copy-waited-for", "cluster-yellow", "delay-met"]);
        assert_eq!(met(&[BOTH, away, moved], None), ["copy-waited-for", "cluster-yellow", "delay-over"]);
    }

    #[test]
    fn shard_without_primary_is_red_until_it_is_back() {
        let red: &[One] = &[(1, true, Unassigned)];
        let back: &[One] = &[(1, true, Started)];
        assert_eq!(
            met(&[back, red, back], None),
            ["copy-waited-for", "shard-red", "delay-met", "shard-red-healed"]
        );
    }

    #[test]
    fn write_without_a_copy_that_was_taken_out_counts() {
        let acknowledged = E::WriteAcknowledged {
            shard: shard(),
            term: Term(1),
            seq_no: SeqNo(0),
            copies: 1,
            durable: true,
        };
        assert_eq!(met(&[BOTH, &[(1, true, Started)]], Some(acknowledged.clone())), ["in-sync-shrunk"]);
        assert!(met(&[BOTH, BOTH], Some(acknowledged)).is_empty());
    }

    #[test]
    fn copies_that_follow_settings_count() {
        let under = |name: &str, value: &str, copy: Placement| {
            let mut record = Record::default();
            let cluster = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let (indices, attributes) = (BTreeMap::new(), BTreeMap::new());
            let inputs = E::AllocationInputs { cluster, indices, attributes };
            record.on(search(3), inputs.clone()).on(search(3), inputs);
            let (epoch, version, nodes, why) = (Epoch(1), 1, vec![], String::new());
            let (routing, unlisted) = (vec![copy], vec![]);
            record.on(search(3), E::StatePublished { epoch, version, nodes, routing, unlisted, why });
            let mut routing = Routing::default();
            let met = record.numbered().iter().flat_map(|event| routing.observe(event)).collect::<Vec<_>>();
            met.into_iter().map(|goal| goal.name).collect::<Vec<_>>()
        };
        let leaving = Placement {
            shard: shard(),
            node: Some(search(2)),
            allocation: Some(AllocationId(2)),
            primary: false,
            state: CopyState::Relocating,
            in_sync: true,
            term: Term(1),
        };
        let held = Placement { node: None, allocation: None, state: Unassigned, ..leaving.clone() };
        let exclude = "cluster.routing.allocation.exclude._name";
        assert_eq!(
            under(exclude, "search-1, search-2", leaving.clone()),
            ["allocation-settings-changed", "node-drained"]
        );
        assert_eq!(under(exclude, "search-1", leaving), ["allocation-settings-changed"]);
        let force = "cluster.routing.allocation.awareness.force.zone.values";
        assert_eq!(under(force, "a,b", held), ["allocation-settings-changed", "awareness-held"]);
    }

    #[test]
    fn disks_that_fill_and_are_freed_count() {
        let mut record = Record::default();
        for free in [50, 14, 9, 3, 50] {
            record.on(search(3), E::DiskReported { node: search(1), total: 100, free });
        }
        let mut routing = Routing::default();
        let met = record.numbered().iter().flat_map(|event| routing.observe(event)).collect::<Vec<_>>();
        let met: Vec<_> = met.into_iter().map(|goal| goal.name).collect();
        assert_eq!(met, ["disk-low-watermark", "disk-high-watermark", "disk-flood-stage", "disk-freed"]);
    }

    #[test]
    fn commanded_shard_without_an_active_copy_counts_as_given_up() {
        let mut record = Record::default();
        record.on(search(3), E::RerouteCommanded { shards: vec![shard()], given_up: vec![shard()] });
        record.publish(search(3), 1, &[(1, CopyState::Initializing)]);
        let mut routing = Routing::default();
        let met = record.numbered().iter().flat_map(|event| routing.observe(event)).collect::<Vec<_>>();
        let met: Vec<_> = met.into_iter().map(|goal| goal.name).collect();
        assert_eq!(met, ["reroute-commanded", "data-given-up"]);
    }

    #[test]
    fn index_that_is_gone_counts() {
        assert_eq!(met(&[BOTH, &[]], None), ["index-deleted"]);
    }
}
