//! Hosts — decides, from the record alone, which hosts are alive and which links are cut. It never judges
//! whether they should be.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    event::{Event, EventKind},
    name::{HostId, HostKind},
};

/// Who is there, as far as the record has been read.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    running: BTreeMap<HostId, Pulse>,
    cuts: BTreeSet<(HostId, HostId)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulse {
    Running,
    Paused,
    Down,
}

impl Hosts {
    /// Reads the next event. Whether it changed who is alive or who reaches whom.
    pub(super) fn observe(&mut self, event: &Event) -> bool {
        match (&event.kind, event.host) {
            (EventKind::HostStarted { .. } | EventKind::HostResumed, Some(host)) => {
                self.set(host, Pulse::Running)
            }
            (EventKind::HostPaused, Some(host)) => self.set(host, Pulse::Paused),
            (EventKind::HostCrashed { .. } | EventKind::HostHalted { .. }, Some(host)) => {
                self.set(host, Pulse::Down)
            }
            (EventKind::LinkCut { from, to }, _) => self.cuts.insert((*from, *to)),
            (EventKind::LinkHealed { from, to }, _) => self.cuts.remove(&(*from, *to)),
            _ => false,
        }
    }

    fn set(&mut self, host: HostId, pulse: Pulse) -> bool {
        self.running.insert(host, pulse) != Some(pulse)
    }

    /// Whether the host's process runs and is scheduled.
    pub(super) fn is_live(&self, host: HostId) -> bool {
        self.running.get(&host) == Some(&Pulse::Running)
    }

    /// The live hosts of a kind, in order.
    pub(super) fn live(&self, kind: HostKind) -> BTreeSet<HostId> {
        let live = self.running.iter().filter(|(host, pulse)| host.kind == kind && **pulse == Pulse::Running);
        live.map(|(host, _)| *host).collect()
    }

    /// The links that are cut, as text for people; none if all get through.
    pub(super) fn cut_links(&self) -> Option<String> {
        let links = self.cuts.iter().map(|(from, to)| format!("{from}→{to}"));
        (!self.cuts.is_empty()).then(|| super::verdict::listed(links, 4))
    }
}

/// Whether this event ends a process or begins a new one: what it knew only in memory is gone.
pub(super) fn is_new_life(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::HostStarted { .. } | EventKind::HostCrashed { .. } | EventKind::HostHalted { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::record::Record, event::EventKind as E};

    #[test]
    fn paused_or_crashed_host_is_not_live_until_it_is_back() {
        let (one, two) = (HostId::search(1), HostId::search(2));
        let mut record = Record::default();
        record.on(one, E::HostStarted { incarnation: 1 }).on(two, E::HostStarted { incarnation: 1 });
        record.on(one, E::HostPaused).on(two, E::HostCrashed { power: true });
        let mut hosts = Hosts::default();
        record.events.iter().for_each(|event| _ = hosts.observe(event));
        assert!(hosts.live(HostKind::Search).is_empty());

        let mut record = Record::default();
        record.on(one, E::HostResumed).on(two, E::HostStarted { incarnation: 2 });
        record.events.iter().for_each(|event| _ = hosts.observe(event));
        assert_eq!(hosts.live(HostKind::Search), [one, two].into());
    }

    #[test]
    fn cut_link_is_named_until_it_heals() {
        let (from, to) = (HostId::search(1), HostId::zookeeper(2));
        let mut record = Record::default();
        record.world(E::LinkCut { from, to }).world(E::LinkHealed { from, to });
        let mut hosts = Hosts::default();
        hosts.observe(&record.events[0]);
        assert_eq!(hosts.cut_links().as_deref(), Some("search-1→zk-2"));
        hosts.observe(&record.events[1]);
        assert_eq!(hosts.cut_links(), None);
    }
}
