//! Roles — decides who a selector means at this moment, from the events so far. It never asks a core.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    event::{Event, EventKind, Lookers, Placement},
    name::{Epoch, HostId, HostKind, SessionId, ShardId},
    scenario::plan::{Plan, Selector},
};

/// Who plays which part.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    servers: Vec<HostId>,
    zones: BTreeMap<HostId, String>,
    clients: Vec<HostId>,
    down: BTreeSet<HostId>,
    leader: Option<(Epoch, HostId)>,
    elected: Option<HostId>,
    sessions: BTreeMap<HostId, SessionId>,
    /// Servers whose disk was damaged, and those of them that have another one by now.
    damaged: BTreeSet<HostId>,
    replaced: BTreeSet<HostId>,
    /// Servers that lead or follow: they have whatever is committed, or are about to.
    serving: BTreeSet<HostId>,
    lookers: Lookers,
    controller: Option<HostId>,
    routing: Vec<Placement>,
}

impl Roles {
    /// The roles of a plan before anything happened: nobody runs.
    pub fn new(plan: &Plan) -> Self {
        let zones: BTreeMap<_, _> = plan.nodes.iter().map(|node| (node.host, node.zone.clone())).collect();
        let servers: Vec<_> = plan.servers().collect();
        let clients: Vec<_> = plan.clients().into_iter().map(|(host, _)| host).collect();
        let down = servers.iter().chain(zones.keys()).copied().collect();
        Self { servers, zones, clients, down, ..Self::default() }
    }

    /// Follows the record.
    pub fn observe(&mut self, event: &Event) {
        self.lookers.observe(event);
        let Some(host) = event.host else { return };
        match &event.kind {
            EventKind::HostStarted { .. } => {
                self.down.remove(&host);
            }
            EventKind::HostCrashed { .. } | EventKind::HostHalted { .. } => {
                self.down.insert(host);
                self.serving.remove(&host);
            }
            EventKind::LeaderEstablished { epoch, .. } => {
                self.leader = Some((*epoch, host));
                self.serving.insert(host);
            }
            EventKind::ElectionDecided { leader, .. } if *leader == host => self.elected = Some(host),
            EventKind::RoleLost { .. } => {
                self.serving.remove(&host);
                self.leader = self.leader.filter(|(_, leader)| *leader != host);
                self.elected = self.elected.filter(|elected| *elected != host);
            }
            EventKind::ClientConnected { session, .. } => {
                self.sessions.insert(host, *session);
            }
            EventKind::DiskRotted { .. } | EventKind::DiskWiped if host.kind == HostKind::ZooKeeper => {
                let replaced = matches!(event.kind, EventKind::DiskWiped);
                self.damaged.insert(host);
                self.replaced.extend(replaced.then_some(host));
            }
            EventKind::FollowerSynced { .. } => {
                self.serving.insert(host);
                if self.replaced.remove(&host) {
                    self.damaged.remove(&host);
                }
            }
            EventKind::ControllerElected { .. } => self.controller = Some(host),
            EventKind::StatePublished { routing, .. } => {
                self.controller = Some(host);
                self.routing = routing.clone();
            }
            _ => {}
        }
    }

    /// The hosts that a selector means now, whether or not they run; empty if there is no such.
    pub fn resolve(&self, selector: &Selector) -> Vec<HostId> {
        let live_leader = || self.leader.map(|(_, host)| host).filter(|host| !self.down.contains(host));
        match selector {
            Selector::Host(host) => vec![*host],
            Selector::ZkLeader => live_leader().into_iter().collect(),
            Selector::ZkFollower => {
                let leader = live_leader();
                let follower = |host: &&HostId| Some(**host) != leader && !self.down.contains(host);
                self.servers.iter().find(follower).into_iter().copied().collect()
            }
            Selector::ZkElected => {
                self.elected.filter(|host| !self.down.contains(host)).into_iter().collect()
            }
            // The world puts the host of the event, or the one drawn, in its place before it asks.
            Selector::EventHost | Selector::Random(_) => Vec::new(),
            Selector::Controller => self.controller.into_iter().collect(),
            Selector::Primary(shard) => self.copies(shard, true),
            Selector::Replica(shard) => self.copies(shard, false).into_iter().take(1).collect(),
            Selector::Zone(zone) => {
                self.zones.iter().filter(|(_, z)| *z == zone).map(|(host, _)| *host).collect()
            }
            Selector::AllZooKeeper => self.servers.clone(),
            Selector::AllSearch => self.zones.keys().copied().collect(),
            Selector::ZkMinority => self.leader_and_others(live_leader(), (self.servers.len() - 1) / 2),
            Selector::ZkMajority => self.leader_and_others(live_leader(), self.servers.len() / 2 + 1),
            Selector::All => self.servers.iter().chain(self.zones.keys()).copied().collect(),
            Selector::Clients => self.clients.clone(),
        }
    }

    /// The session that a host has last been connected with, living or not.
    pub fn session(&self, host: HostId) -> Option<SessionId> {
        self.sessions.get(&host).copied()
    }

    fn copies(&self, shard: &ShardId, primary: bool) -> Vec<HostId> {
        let active =
            |copy: &&Placement| copy.shard == *shard && copy.primary == primary && copy.state.is_active();
        self.routing.iter().filter(active).filter_map(|copy| copy.node).collect()
    }

    fn leader_and_others(&self, leader: Option<HostId>, count: usize) -> Vec<HostId> {
        let others = self.servers.iter().copied().filter(|host| Some(*host) != leader);
        leader.into_iter().chain(others).take(count).collect()
    }

    /// A search node's zone.
    pub fn zone(&self, host: HostId) -> Option<&str> {
        self.zones.get(&host).map(String::as_str)
    }

    /// Servers whose disk lacks, or may lack, what was written to it.
    pub fn damaged_servers(&self) -> &BTreeSet<HostId> {
        &self.damaged
    }

    /// Servers that neither lead nor follow: they may lack what is committed.
    pub fn idle_servers(&self) -> impl Iterator<Item = HostId> {
        self.servers.iter().copied().filter(|server| !self.serving.contains(server))
    }

    /// Servers that look for a leader.
    pub fn lookers(&self) -> &Lookers {
        &self.lookers
    }

    /// Where the copies are, as last published.
    pub fn routing(&self) -> &[Placement] {
        &self.routing
    }
}
