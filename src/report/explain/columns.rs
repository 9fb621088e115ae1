//! Columns — decides what a line shows of each host: whether it lives, leads, follows, controls, and of how many
//! shards it is the primary. It never looks at more than events.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    event::{Event, EventKind as E},
    name::{HostId, HostKind, ShardId},
};

/// Width of a column, in characters.
pub(super) const WIDTH: usize = 4;

/// The state of every host, as far as the record has been read.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    pulses: BTreeMap<HostId, char>,
    roles: BTreeMap<HostId, char>,
    controller: Option<HostId>,
    primaries: BTreeMap<ShardId, HostId>,
    seen: BTreeSet<HostId>,
}

impl Columns {
    /// Reads the next event.
    pub(super) fn observe(&mut self, event: &Event) {
        let Some(host) = event.host.filter(|host| host.kind != HostKind::Client) else { return };
        self.seen.insert(host);
        match &event.kind {
            E::HostStarted { .. } | E::HostResumed => drop(self.pulses.remove(&host)),
            E::HostPaused => drop(self.pulses.insert(host, 'z')),
            E::HostCrashed { .. } | E::HostHalted { .. } => {
                self.pulses.insert(host, 'x');
                self.roles.remove(&host);
                self.primaries.retain(|_, primary| *primary != host);
                self.controller = self.controller.filter(|controller| *controller != host);
            }
            E::ElectionStarted { .. } => drop(self.roles.insert(host, '?')),
            E::LeaderEstablished { .. } => drop(self.roles.insert(host, 'L')),
            E::FollowerSynced { .. } => drop(self.roles.insert(host, 'F')),
            E::RoleLost { .. } => drop(self.roles.insert(host, '?')),
            E::ControllerElected { .. } => self.controller = Some(host),
            E::ControllerResigned { .. } if self.controller == Some(host) => self.controller = None,
            E::PrimaryActivated { shard, .. } => drop(self.primaries.insert(shard.clone(), host)),
            E::PrimaryDeactivated { shard, .. } if self.primaries.get(shard) == Some(&host) => {
                self.primaries.remove(shard);
            }
            _ => {}
        }
    }

    /// The hosts that have been seen, in order.
    pub(super) fn hosts(&self) -> impl Iterator<Item = HostId> {
        self.seen.iter().copied()
    }

    /// What stands in a host's column.
    pub(super) fn cell(&self, host: HostId) -> String {
        let pulse = self.pulses.get(&host);
        let state = match (pulse, host.kind) {
            (Some('x'), _) => "x".into(),
            (_, HostKind::ZooKeeper) => self.roles.get(&host).unwrap_or(&'.').to_string(),
            _ => {
                let primaries = self.primaries.values().filter(|primary| **primary == host).count();
                let controls = if self.controller == Some(host) { "C" } else { "" };
                match (controls, primaries) {
                    ("", 0) => ".".into(),
                    (controls, 0) => controls.into(),
                    (controls, count) => format!("{controls}{count}"),
                }
            }
        };
        if pulse == Some(&'z') { format!("{state}z") } else { state }
    }
}

/// The head of a host's column: `z1` for `zk-1`, `s12` for `search-12`.
pub(super) fn head(host: HostId) -> String {
    let letter = if host.kind == HostKind::ZooKeeper { 'z' } else { 's' };
    format!("{letter}{}", host.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{AllocationId, Epoch, SimTime, Term};

    fn cell(host: HostId, kinds: Vec<E>) -> String {
        let mut columns = Columns::default();
        for kind in kinds {
            columns.observe(&Event { seq: 0, at: SimTime(0), host: Some(host), kind });
        }
        columns.cell(host)
    }

    fn activated(number: u32) -> E {
        let shard = ShardId { index: "a".into(), number };
        E::PrimaryActivated { shard, allocation: AllocationId(1), term: Term(1) }
    }

    #[test]
    fn server_leads_until_it_loses_its_role() {
        let leads = E::LeaderEstablished { epoch: Epoch(1), history: vec![] };
        assert_eq!(cell(HostId::zookeeper(1), vec![leads.clone()]), "L");
        assert_eq!(cell(HostId::zookeeper(1), vec![leads.clone(), E::HostPaused]), "Lz");
        assert_eq!(cell(HostId::zookeeper(1), vec![leads, E::RoleLost { why: "x".into() }]), "?");
    }

    #[test]
    fn node_shows_control_and_primaries_until_it_dies() {
        let controls = E::ControllerElected { epoch: Epoch(1) };
        let node = HostId::search(2);
        assert_eq!(cell(node, vec![controls.clone(), activated(0), activated(1)]), "C2");
        assert_eq!(cell(node, vec![controls, activated(0), E::HostCrashed { power: true }]), "x");
        assert_eq!(cell(node, vec![activated(0), activated(0)]), "1");
        assert_eq!(head(node), "s2");
    }
}
