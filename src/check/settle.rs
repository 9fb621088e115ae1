//! Settling — decides whether ensemble and cluster come to rest in time after the last disturbance, and
//! stay so; if not, it says what they wait for. It never judges a run too short to tell.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        calm::Calm,
        disks::{Disks, Mark},
        exhausted::Exhausted,
        hosts::is_new_life,
        law::{Law, Monitor},
        rules::Rules,
        verdict::{Judged, Point, broken, clock, listed, undecided},
    },
    event::{CopyRef, CopyState, Event, EventKind, Outcome, Placement},
    name::{AllocationId, Epoch, HostId, HostKind, ShardId},
};

pub(super) const ENSEMBLE_SETTLES: Law = Law {
    name: "ensemble.settles",
    sentence: "Within the derived bound after the last disturbance one ZooKeeper leader is established, every live server \
               serves under it, and it stays so.",
    source: "ZooKeeper: initLimit, syncLimit, FastLeaderElection; ZOOKEEPER-975, ZOOKEEPER-1732, ZOOKEEPER-4394",
    monitor: || Box::<EnsembleSettles>::default(),
};

pub(super) const CLUSTER_SETTLES: Law = Law {
    name: "cluster.settles",
    sentence: "Within the derived bound after the last disturbance every copy of every index is started, the nodes of the \
               cluster are the live ones, and it stays so.",
    source: "Elasticsearch, cluster health green; its own tests' stabilisation bound (SEARCH.md §e)",
    monitor: || Box::<ClusterSettles>::default(),
};

/// A state that must be reached by a deadline, and kept.
#[derive(Default)]
struct Deadline {
    calm: Calm,
    /// What is waited for; none while settled.
    waits: Option<String>,
    /// The first place after the deadline where something was waited for.
    late: Option<(Point, String)>,
    settled: Option<Point>,
}

impl Deadline {
    /// Time passes up to this event.
    fn pass(&mut self, event: &Event) {
        let is_past = self
            .calm
            .due()
            .is_some_and(|due| event.at > due || event.at == due && event.kind == EventKind::RunEnded);
        if is_past && self.late.is_none() {
            self.late = self.waits.clone().map(|waits| (event.into(), waits));
        }
        if self.calm.observe(event) {
            self.late = None;
        }
    }

    /// What is waited for after this event; none: settled.
    fn wait(&mut self, event: &Event, waits: Option<String>) {
        if waits.is_none() && self.waits.is_some() {
            self.settled = Some(event.into());
        }
        self.waits = waits;
    }

    fn judge(&self, who: &str) -> Judged {
        self.calm.is_long_enough()?;
        let Some((at, waits)) = &self.late else { return Ok(()) };
        if let Some(links) = self.calm.hosts.cut_links() {
            return undecided(format!("{who} waits for {waits}, with links cut to the end: {links}"));
        }
        let then = match (&self.waits, self.settled) {
            (None, Some(settled)) => format!("settled at {}", clock(settled.at)),
            _ => "and it never settled".into(),
        };
        broken(*at, format!("{who} still waits for {waits} ({}; {then})", self.calm.due_text()))
    }
}

/// The election bound says nothing if no quorum is alive: then the law is not judged. Allowed: a server whose files of
/// accepted and current epoch have rotted. They are numbers without a checksum (`QuorumPeer.readLongFromFile`); who reads
/// one that is too high refuses every leader, for ever (`Learner.registerWithLeader`).
#[derive(Default)]
struct EnsembleSettles {
    deadline: Deadline,
    servers: BTreeSet<HostId>,
    spoiled: BTreeSet<HostId>,
    roles: BTreeMap<HostId, (Epoch, HostId)>,
}

impl EnsembleSettles {
    fn live(&self) -> BTreeSet<HostId> {
        self.deadline.calm.hosts.live(HostKind::ZooKeeper)
    }

    fn waits(&self) -> Option<String> {
        let live = self.live();
        if live.is_empty() && self.servers.is_empty() {
            return None;
        }
        let leads = |host: &HostId| {
            self.roles.get(host).filter(|(_, leader)| leader == host).map(|(epoch, _)| *epoch)
        };
        let Some((leader, epoch)) =
            live.iter().filter_map(|host| Some((*host, leads(host)?))).max_by_key(|(_, epoch)| *epoch)
        else {
            let sound: BTreeSet<_> = live.difference(&self.spoiled).collect();
            if sound.len() < live.len() && sound.len() <= self.servers.len() / 2 {
                return None;
            }
            let names = listed(sound.into_iter().map(|host| host.to_string()), 7);
            let (quorum, of) = (self.servers.len() / 2 + 1, self.servers.len());
            return Some(format!("a leader to be established by {quorum} of {of}, with {names} live"));
        };
        let sound = live.difference(&self.spoiled);
        let idle: Vec<_> = sound.filter(|host| self.roles.get(host) != Some(&(epoch, leader))).collect();
        let names = listed(idle.iter().map(|host| host.to_string()), 7);
        (!idle.is_empty()).then(|| format!("{names} to serve in epoch {epoch} under {leader}"))
    }
}

impl Monitor for EnsembleSettles {
    fn observe(&mut self, event: &Event) -> Judged {
        self.deadline.pass(event);
        match (&event.kind, event.host) {
            (EventKind::RunStarted { servers, .. }, _) => self.servers = servers.iter().copied().collect(),
            (EventKind::LeaderEstablished { epoch, .. }, Some(host)) => {
                self.roles.insert(host, (*epoch, host));
            }
            (EventKind::FollowerSynced { leader, epoch, .. }, Some(host)) => {
                self.roles.insert(host, (*epoch, *leader));
            }
            (EventKind::RoleLost { .. } | EventKind::ElectionStarted { .. }, Some(host)) => {
                self.roles.remove(&host);
            }
            (EventKind::DiskRotted { file, .. }, Some(host)) if file.ends_with("Epoch") => {
                self.spoiled.insert(host);
            }
            (EventKind::DiskWiped, Some(host)) => _ = self.spoiled.remove(&host),
            (EventKind::HostPaused | EventKind::HostResumed, Some(_)) => {}
            (kind, Some(host)) if is_new_life(kind) => {
                self.roles.remove(&host);
            }
            _ => return Ok(()),
        }
        let waits = self.waits();
        self.deadline.wait(event, waits);
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        self.deadline.calm.end()?;
        let live = self.live();
        if live.len() < self.servers.len() / 2 + 1 && !self.servers.is_empty() {
            return undecided(format!(
                "only {} of {} ZooKeeper servers live at the end",
                live.len(),
                self.servers.len()
            ));
        }
        self.deadline.judge("the ensemble")
    }
}

/// Green. Allowed to stay unassigned: replicas for which there are too few live nodes, since two copies of a shard
/// never share a node; copies that no live node may take by the settings that stand (filters, limits, awareness,
/// `enable`) or by its disk, a primary by those of the nodes that have its data; copies of a shard that has failed
/// `index.allocation.max_retries` times, until somebody has them tried again. How many copies there have to be is not judged
/// after a step, or an index of the plan, of which nobody knows whether it was done: the controller may do it long after
/// its client has given up.
#[derive(Default)]
struct ClusterSettles {
    rules: Rules,
    disks: Disks,
    /// Shards that failed too often.
    exhausted: Exhausted,
    deadline: Deadline,
    planned: Vec<HostId>,
    copies: u32,
    is_unsure: bool,
    state: Option<State>,
    leader: Option<HostId>,
    controller: Option<HostId>,
    /// Where each copy was last.
    homes: BTreeMap<AllocationId, HostId>,
}

/// The last published state, as far as settling goes.
struct State {
    version: u64,
    nodes: BTreeSet<HostId>,
    routing: Vec<Placement>,
    unlisted: Vec<CopyRef>,
}

impl ClusterSettles {
    fn waits(&self) -> Option<String> {
        let live = self.deadline.calm.hosts.live(HostKind::Search);
        if self.planned.is_empty() && live.is_empty() {
            return None;
        }
        let mut waits = match &self.state {
            None => vec!["a first cluster state".to_owned()],
            Some(state) => [self.membership(state, &live), self.health(state, live.len())].concat(),
        };
        if waits.is_empty() {
            return None;
        }
        let is_live = |host: &HostId| self.deadline.calm.hosts.is_live(*host);
        if self.leader.filter(is_live).is_none() {
            waits.push("(there is no ZooKeeper leader)".into());
        }
        if self.controller.filter(is_live).is_none() {
            waits.push("(there is no controller)".into());
        }
        Some(listed(waits, 8))
    }

    fn membership(&self, state: &State, live: &BTreeSet<HostId>) -> Vec<String> {
        let joining = live.difference(&state.nodes).map(|node| format!("{node} to join the cluster"));
        let leaving = state.nodes.difference(live).map(|node| format!("{node} to be removed"));
        joining.chain(leaving).collect()
    }

    fn health(&self, state: &State, live: usize) -> Vec<String> {
        let mut shards: BTreeMap<&ShardId, Vec<&Placement>> = BTreeMap::new();
        state.routing.iter().for_each(|copy| shards.entry(&copy.shard).or_default().push(copy));
        let nodes: Vec<HostId> = state.nodes.iter().copied().collect();
        let mut waits = Vec::new();
        let mut settled = 0;
        for copies in shards.values() {
            let mut homeless = copies.len().saturating_sub(live);
            for copy in copies {
                let is_alone = copy.state == CopyState::Unassigned && homeless > 0;
                homeless -= usize::from(is_alone);
                let is_homeless = is_alone || self.is_kept_out(state, &nodes, copy);
                let is_home = copy.node.is_some_and(|node| state.nodes.contains(&node));
                if is_homeless || copy.state == CopyState::Started && is_home {
                    settled += 1;
                } else {
                    waits.push(self.unsettled(state, copy));
                }
            }
        }
        if waits.is_empty() && !self.is_unsure && settled != self.copies {
            waits.push(format!("{} copies, where the state has {settled}", self.copies));
        }
        waits
    }

    fn publish(&mut self, version: u64, nodes: &[HostId], routing: &[Placement], unlisted: &[CopyRef]) {
        let homes = routing.iter().filter_map(|copy| Some((copy.allocation?, copy.node?)));
        self.homes.extend(homes);
        if self.state.as_ref().is_none_or(|state| version >= state.version) {
            let nodes = nodes.iter().copied().collect();
            let (routing, unlisted) = (routing.to_vec(), unlisted.to_vec());
            self.state = Some(State { version, nodes, routing, unlisted });
        }
    }

    /// Whether the settings that stand let no live node take a copy that is nowhere.
    fn is_kept_out(&self, state: &State, nodes: &[HostId], copy: &Placement) -> bool {
        if copy.state != CopyState::Unassigned {
            return false;
        }
        if self.exhausted.has(&copy.shard) {
            return true;
        }
        let with_data = self.with_data(state, copy);
        let is_choice = |node: &&HostId| !copy.primary || with_data.is_empty() || with_data.contains(node);
        let mut choices = nodes.iter().filter(is_choice);
        !choices.any(|node| {
            let is_full = self.disks.may_be_beyond(*node, Mark::Low);
            !is_full && self.rules.may_hold(nodes, &state.routing, copy, *node)
        })
    }

    /// Live nodes that have the data of an in-sync copy of the shard.
    fn with_data(&self, state: &State, copy: &Placement) -> BTreeSet<HostId> {
        let homes = self.in_sync(state, &copy.shard).into_iter();
        homes
            .filter_map(|id| self.homes.get(&id).copied())
            .filter(|host| state.nodes.contains(host))
            .collect()
    }

    fn in_sync(&self, state: &State, shard: &ShardId) -> BTreeSet<AllocationId> {
        let routed = state.routing.iter().filter(|copy| copy.in_sync && copy.shard == *shard);
        let unlisted = state.unlisted.iter().filter(|copy| copy.shard == *shard);
        let unlisted = unlisted.map(|copy| copy.allocation);
        routed.filter_map(|copy| copy.allocation).chain(unlisted).collect()
    }

    /// What a copy that is not started waits for.
    fn unsettled(&self, state: &State, copy: &Placement) -> String {
        let role = if copy.primary { "primary" } else { "replica" };
        let node = copy.node.map_or("?".to_owned(), |node| node.to_string());
        match copy.state {
            CopyState::Unassigned if copy.primary => {
                format!("a node for a primary of {} ({})", copy.shard, self.no_promotion(state, &copy.shard))
            }
            CopyState::Unassigned => format!("a node for a {role} of {}", copy.shard),
            CopyState::Relocating => format!("the {role} of {} to leave {node}", copy.shard),
            CopyState::Initializing | CopyState::Started => {
                format!("the {role} of {} on {node} to start", copy.shard)
            }
        }
    }

    /// Why no copy of a shard is its primary: only those of the in-sync set may be.
    fn no_promotion(&self, state: &State, shard: &ShardId) -> String {
        let in_sync = self.in_sync(state, shard);
        let place = |copy: &AllocationId| match self.homes.get(copy) {
            Some(host) if self.deadline.calm.hosts.is_live(*host) => {
                format!("{copy} on {host}, which is live")
            }
            Some(host) => format!("{copy} on {host}, which is down"),
            None => format!("{copy} nowhere yet"),
        };
        match in_sync.is_empty() {
            true => "no copy is in sync, so none may be promoted".into(),
            false => format!("only in-sync copies may be promoted: {}", listed(in_sync.iter().map(place), 4)),
        }
    }
}

impl Monitor for ClusterSettles {
    fn observe(&mut self, event: &Event) -> Judged {
        self.deadline.pass(event);
        self.rules.observe(event);
        self.disks.observe(event);
        self.exhausted.follow(event);
        match (&event.kind, event.host) {
            (EventKind::RetriesExhausted { .. } | EventKind::RetriesReset { .. }, _) => {}
            (EventKind::RunStarted { nodes, copies, .. }, _) => {
                self.planned.clone_from(nodes);
                self.copies = *copies;
            }
            (EventKind::SetupFailed { outcome, copies, .. }, _) => {
                self.is_unsure |= *outcome == Outcome::Unknown;
                self.copies = *copies;
            }
            (EventKind::StepEnded { outcome, copies, .. }, _) => {
                self.is_unsure |= *outcome == Outcome::Unknown;
                self.copies = copies.unwrap_or(self.copies);
            }
            (EventKind::StatePublished { version, nodes, routing, unlisted, .. }, _) => {
                self.publish(*version, nodes, routing, unlisted)
            }
            (EventKind::LeaderEstablished { .. }, host) => self.leader = host,
            (EventKind::RoleLost { .. }, host) if host == self.leader => self.leader = None,
            (EventKind::ControllerElected { .. }, host) => self.controller = host,
            (EventKind::ControllerResigned { .. }, host) if host == self.controller => self.controller = None,
            (EventKind::HostPaused | EventKind::HostResumed, Some(_)) => {}
            (kind, Some(_)) if is_new_life(kind) => {}
            _ => return Ok(()),
        }
        let waits = self.waits();
        self.deadline.wait(event, waits);
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        self.deadline.judge("the cluster")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            record::{Record, search, zk},
            verdict::Verdict,
        },
        event::EventKind as E,
    };

    const LAW: &str = "cluster.settles";

    fn last_routing(record: &mut Record) -> (&mut Vec<HostId>, &mut Vec<Placement>) {
        let last = record.last(|event| matches!(event.kind, E::StatePublished { .. }));
        match &mut record.events[last].kind {
            E::StatePublished { nodes, routing, .. } => (nodes, routing),
            _ => unreachable!("only publications are chosen"),
        }
    }

    #[test]
    fn copy_that_never_starts_fails_and_is_named() {
        let mut record = Record::healthy();
        last_routing(&mut record).1[1].state = CopyState::Initializing;
        record
            .assert_fails(LAW, "the cluster still waits for the replica of articles/0 on search-3 to start");
        record.assert_fails(LAW, "10.000 s after the end of `zk-3 restarted`");
    }

    #[test]
    fn node_that_never_joins_fails_and_is_named() {
        let mut record = Record::healthy();
        last_routing(&mut record).0.retain(|node| *node != search(1));
        record.assert_fails(LAW, "search-1 to join the cluster");
    }

    #[test]
    fn index_that_is_missing_fails() {
        let mut record = Record::healthy();
        last_routing(&mut record).1.clear();
        record.assert_fails(LAW, "waits for 2 copies, where the state has 0");
    }

    #[test]
    fn index_that_is_missing_fails_unless_nobody_knows_what_became_of_a_step() {
        for (outcome, passes) in [(Outcome::Failed, false), (Outcome::Unknown, true)] {
            let mut record = Record::healthy();
            last_routing(&mut record).1.clear();
            let (what, error) = ("a step".into(), Some("no answer in time".into()));
            record.insert_world(1, E::StepEnded { step: 0, what, outcome, error, copies: None });
            if passes {
                record.assert_passes(LAW);
            } else {
                record.assert_fails(LAW, "waits for 2 copies, where the state has 0");
            }
        }
    }

    #[test]
    fn index_of_the_plan_that_could_not_be_made_need_not_be_there() {
        for (outcome, copies, passes) in
            [(Outcome::Failed, 0, true), (Outcome::Failed, 1, false), (Outcome::Unknown, 2, true)]
        {
            let mut record = Record::healthy();
            last_routing(&mut record).1.clear();
            let (what, error) = ("index articles".into(), "no controller is known".into());
            record.insert_world(1, E::SetupFailed { what, outcome, error, copies });
            if passes {
                record.assert_passes(LAW);
            } else {
                record.assert_fails(LAW, "waits for 1 copies, where the state has 0");
            }
        }
    }

    #[test]
    fn cluster_that_does_not_stay_settled_fails() {
        let mut record = Record::healthy();
        let last = record.last(|event| matches!(event.kind, E::StatePublished { .. }));
        let mut broken = record.events[last].kind.clone();
        let mut mended = broken.clone();
        let versions = [(&mut broken, 8, CopyState::Unassigned), (&mut mended, 9, CopyState::Started)];
        for (kind, new_version, state) in versions {
            if let E::StatePublished { version, routing, .. } = kind {
                *version = new_version;
                routing[1].state = state;
            }
        }
        let end = record.events.len() - 1;
        record.insert(end, search(2), mended);
        record.insert(end, search(2), broken);
        record.assert_fails(LAW, "a node for a replica of articles/0");
        record.assert_fails(LAW, "; settled at");
    }

    #[test]
    fn replica_without_a_node_to_go_to_is_allowed() {
        for (live, passes) in [(1, true), (2, false)] {
            let mut record = Record::healthy();
            let (nodes, routing) = last_routing(&mut record);
            nodes.retain(|node| node.number <= live);
            (routing[1].state, routing[1].node) = (CopyState::Unassigned, None);
            routing[0].node = Some(search(1));
            for gone in live + 1..=3 {
                let start = record.index(0, |event| matches!(event.kind, E::StatePublished { .. }));
                record.insert(start, search(gone), E::HostCrashed { power: true });
                record.events.retain(|event| {
                    event.host != Some(search(gone))
                        || !matches!(event.kind, E::HostStarted { incarnation: 2 })
                });
            }
            match passes {
                true => record.assert_passes(LAW),
                false => record.assert_fails(LAW, "a node for a replica of articles/0"),
            }
        }
    }

    #[test]
    fn copy_that_settings_or_retries_keep_out_is_allowed() {
        let homeless = |kind: Option<E>| {
            let mut record = Record::healthy();
            let (_, routing) = last_routing(&mut record);
            (routing[1].state, routing[1].node) = (CopyState::Unassigned, None);
            let after = 1 + record.last(|event| matches!(event.kind, E::StatePublished { .. }));
            kind.into_iter().for_each(|kind| record.insert(after, search(1), kind));
            record
        };
        let inputs = |value: &str| {
            let cluster = [("cluster.routing.allocation.exclude._name".to_owned(), value.to_owned())];
            E::AllocationInputs {
                cluster: cluster.into(),
                indices: BTreeMap::new(),
                attributes: BTreeMap::new(),
            }
        };
        let shard = last_routing(&mut Record::healthy()).1[1].shard.clone();
        homeless(None).assert_fails(LAW, "a node for a replica of articles/0");
        homeless(Some(inputs("search-9"))).assert_fails(LAW, "a node for a replica of articles/0");
        homeless(Some(inputs("search-*"))).assert_passes(LAW);
        let exhausted =
            |moves| homeless(Some(E::RetriesExhausted { shard: shard.clone(), failures: 5, moves }));
        exhausted(false).assert_passes(LAW);
        exhausted(true).assert_fails(LAW, "a node for a replica of articles/0");
        let mut reset = homeless(Some(E::RetriesReset { shards: vec![shard.clone()] }));
        let before = reset.last(|event| matches!(event.kind, E::RetriesReset { .. }));
        reset.insert(before, search(1), E::RetriesExhausted { shard, failures: 5, moves: false });
        reset.assert_fails(LAW, "a node for a replica of articles/0");
        let mut full = homeless(None);
        let last = full.last(|event| matches!(event.kind, E::StatePublished { .. }));
        for node in 1..=3 {
            full.insert(last, search(1), E::DiskReported { node: search(node), total: 100, free: 5 });
        }
        full.assert_passes(LAW);
    }

    #[test]
    fn primary_without_a_copy_that_may_be_promoted_says_where_those_are() {
        let mut record = Record::healthy();
        let (_, routing) = last_routing(&mut record);
        (routing[0].state, routing[0].node) = (CopyState::Unassigned, None);
        routing[1].in_sync = false;
        record.assert_fails(LAW, "a node for a primary of articles/0 (only in-sync copies may be promoted: ");
        record.assert_fails(LAW, ", which is live)");
        let (_, routing) = last_routing(&mut record);
        routing[0].in_sync = false;
        record.assert_fails(LAW, "no copy is in sync, so none may be promoted");
    }

    #[test]
    fn run_too_short_to_tell_is_unknown() {
        for law in [LAW, "ensemble.settles"] {
            let mut record = Record::healthy();
            let (_, at) = record.nth(0, |kind| matches!(kind, E::RunStarted { .. }));
            if let E::RunStarted { settle_bound, .. } = at {
                *settle_bound = u64::MAX;
            }
            assert!(matches!(record.verdict(law), Verdict::Unknown { .. }));
        }
    }

    #[test]
    fn server_that_never_serves_again_fails() {
        let mut record = Record::healthy();
        let last = record.last(|event| matches!(event.kind, E::FollowerSynced { .. }));
        record.events.remove(last);
        record.assert_fails(
            "ensemble.settles",
            "the ensemble still waits for zk-3 to serve in epoch 2 under zk-2",
        );
    }

    #[test]
    fn server_whose_epochs_have_rotted_need_not_serve_unless_its_disk_is_new() {
        let rotted = |file: &str| E::DiskRotted { file: file.into(), bytes: 1 };
        for (happens, passes) in [
            (vec![rotted("acceptedEpoch")], true),
            (vec![rotted("log.100000001")], false),
            (vec![rotted("currentEpoch"), E::DiskWiped], false),
        ] {
            let mut record = Record::healthy();
            let last = record.last(|event| matches!(event.kind, E::FollowerSynced { .. }));
            record.events.remove(last);
            happens.into_iter().rev().for_each(|kind| record.insert(1, zk(3), kind));
            if passes {
                record.assert_passes("ensemble.settles");
            } else {
                record.assert_fails("ensemble.settles", "waits for zk-3 to serve in epoch 2");
            }
        }
        let mut leads = Record::healthy();
        leads.insert(1, zk(2), rotted("acceptedEpoch"));
        leads.assert_passes("ensemble.settles");
    }

    #[test]
    fn ensemble_without_leader_fails() {
        let mut record = Record::healthy();
        let index = record.index(0, |event| matches!(event.kind, E::QuietBegan));
        record.insert(index, zk(2), E::RoleLost { why: "no quorum".into() });
        record.assert_fails(
            "ensemble.settles",
            "waits for a leader to be established by 2 of 3, with zk-1, zk-2, zk-3 live",
        );
    }
}
