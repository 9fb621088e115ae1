//! Causality — decides which events of a record can have caused which: what a host did before, and what the sender of
//! a message had done when it was sent. It never goes by time, but where the world itself strikes a host.
//!
//! Lamport's happened-before: nothing here says that an event did cause another one, only that it could have. A fault is
//! before all that the hosts do which it hits. A timer that runs out is caused by what its host did before, not by the
//! message that did not come; but a connection that ends, and a session that expires, also by what holds the other side
//! down or cuts it off then.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    event::{Event, EventKind},
    name::{HostId, SessionId},
};

/// The causes in a record.
#[derive(Debug)]
pub struct Causes<'a> {
    events: &'a [Event],
    hosts: BTreeMap<HostId, Vec<usize>>,
    /// The event of the same host before each, and what the world and the other side of a connection have to do with it.
    before: Vec<[Option<usize>; 4]>,
}

/// How many messages lie between an event and what it led to.
pub type Hops = u32;

impl<'a> Causes<'a> {
    /// The causes in these events, which must be numbered from 0 without gaps.
    pub fn of(events: &'a [Event]) -> Self {
        let mut hosts: BTreeMap<HostId, Vec<usize>> = BTreeMap::new();
        let mut before = Vec::with_capacity(events.len());
        let mut troubles = Troubles::default();
        let mut world = None;
        for (number, event) in events.iter().enumerate() {
            let struck = if is_worldly(&event.kind) { world } else { None };
            let own = event.host.and_then(|host| {
                let told = hosts.entry(host).or_default();
                let last = told.last().copied();
                told.push(number);
                last
            });
            let hit = event.host.and_then(|host| troubles.hit.remove(&host));
            before.push([own, struck, hit, troubles.of_other_side(event)]);
            troubles.observe(number, event);
            if event.host.is_none() {
                world = Some(number);
            }
        }
        Self { events, hosts, before }
    }

    /// The last thing that the sender of this delivery had told when it sent; none if it is no delivery.
    pub fn sent_after(&self, number: usize) -> Option<usize> {
        let EventKind::Delivered { from, sent, .. } = &self.events.get(number)?.kind else { return None };
        let told = self.hosts.get(from)?;
        let until = (*sent).min(number as u64) as usize;
        told.get(told.partition_point(|at| *at < until).checked_sub(1)?).copied()
    }

    /// Every event that can have caused this one, with the fewest messages between them.
    pub fn past(&self, number: usize) -> BTreeMap<usize, Hops> {
        let mut found = BTreeMap::new();
        let mut next = VecDeque::from([(number, 0)]);
        while let Some((at, hops)) = next.pop_front() {
            if found.get(&at).is_some_and(|known| *known <= hops) {
                continue;
            }
            found.insert(at, hops);
            let own = self.before.get(at).into_iter().flatten().flatten();
            own.for_each(|cause| next.push_front((*cause, hops)));
            next.extend(self.sent_after(at).map(|cause| (cause, hops + 1)));
        }
        found.remove(&number);
        found
    }
}

/// What keeps hosts from answering, as far as the record has been read.
#[derive(Debug, Default)]
struct Troubles {
    /// The fault that has hit a host which has told nothing since.
    hit: BTreeMap<HostId, usize>,
    /// Hosts that are down or paused.
    down: BTreeMap<HostId, usize>,
    cuts: BTreeMap<(HostId, HostId), usize>,
    sessions: BTreeMap<SessionId, HostId>,
}

impl Troubles {
    fn observe(&mut self, number: usize, event: &Event) {
        match (&event.kind, event.host) {
            (EventKind::FaultBegan { hosts, .. }, _) => {
                self.hit.extend(hosts.iter().map(|host| (*host, number)));
            }
            (EventKind::LinkCut { from, to }, _) => drop(self.cuts.insert((*from, *to), number)),
            (EventKind::LinkHealed { from, to }, _) => drop(self.cuts.remove(&(*from, *to))),
            (
                EventKind::HostCrashed { .. } | EventKind::HostHalted { .. } | EventKind::HostPaused,
                Some(host),
            ) => drop(self.down.insert(host, number)),
            (EventKind::HostStarted { .. } | EventKind::HostResumed, Some(host)) => {
                self.down.remove(&host);
            }
            (EventKind::ClientConnected { session, .. }, Some(host)) => {
                self.sessions.insert(*session, host);
            }
            _ => {}
        }
    }

    /// What has become of the other side of a connection that ends, or of a session that expires.
    fn of_other_side(&self, event: &Event) -> Option<usize> {
        let host = event.host?;
        let other = match &event.kind {
            EventKind::ConnectionEnded { peer, .. } => peer,
            EventKind::SessionExpired { session } => self.sessions.get(session)?,
            _ => return None,
        };
        let cut = self.cuts.get(&(host, *other)).or_else(|| self.cuts.get(&(*other, host)));
        self.down.get(other).or(cut).copied()
    }
}

/// Whether the world does this to a host: then a fault or a step, told just before, can be its cause.
fn is_worldly(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::HostStarted { .. }
            | EventKind::HostCrashed { .. }
            | EventKind::HostPaused
            | EventKind::HostResumed
            | EventKind::DiskDamaged { .. }
            | EventKind::DiskWiped
            | EventKind::LinkCut { .. }
            | EventKind::LinkHealed { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::CloseReason, name::SimTime};

    fn record(kinds: Vec<(Option<HostId>, EventKind)>) -> Vec<Event> {
        let event = |(seq, (host, kind)): (u64, _)| Event { seq, at: SimTime(seq), host, kind };
        (0..).zip(kinds).map(event).collect()
    }

    fn delivered(from: HostId, sent: u64) -> EventKind {
        EventKind::Delivered { from, message: "m".into(), sent }
    }

    #[test]
    fn message_carries_what_its_sender_had_told_when_it_was_sent() {
        let (one, two) = (HostId::zookeeper(1), HostId::zookeeper(2));
        let round = |round| EventKind::ElectionStarted { round };
        let events = record(vec![
            (Some(one), round(1)),
            (Some(one), round(2)),
            (Some(two), round(3)),
            (Some(two), delivered(one, 1)),
            (Some(two), round(4)),
        ]);
        let causes = Causes::of(&events);
        assert_eq!((causes.sent_after(3), causes.sent_after(4)), (Some(0), None));
        assert_eq!(causes.past(4), BTreeMap::from([(0, 1), (2, 0), (3, 0)]));
        assert!(causes.past(1).contains_key(&0) && !causes.past(2).contains_key(&1));
    }

    #[test]
    fn fault_is_a_cause_of_what_the_hosts_do_that_it_hits_and_of_nothing_else() {
        let (host, other) = (HostId::search(1), HostId::search(2));
        let fault = EventKind::FaultBegan { step: 0, what: "crash".into(), hosts: vec![host] };
        let events = record(vec![
            (Some(host), EventKind::ElectionStarted { round: 1 }),
            (None, fault),
            (Some(other), EventKind::ElectionStarted { round: 2 }),
            (Some(host), EventKind::HostCrashed { power: true }),
        ]);
        let causes = Causes::of(&events);
        assert_eq!(causes.past(3).keys().copied().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(causes.past(2), BTreeMap::new());
    }

    #[test]
    fn end_of_a_connection_is_caused_by_the_death_of_the_other_side() {
        let (client, server) = (HostId::client(1), HostId::zookeeper(1));
        let ended = || EventKind::ConnectionEnded { peer: server, reason: CloseReason::Reset };
        let events = record(vec![
            (Some(client), ended()),
            (Some(server), EventKind::HostCrashed { power: false }),
            (Some(client), ended()),
            (Some(server), EventKind::HostStarted { incarnation: 2 }),
            (None, EventKind::LinkCut { from: server, to: client }),
            (Some(client), ended()),
        ]);
        let causes = Causes::of(&events);
        assert_eq!(causes.past(0), BTreeMap::new());
        assert!(causes.past(2).contains_key(&1));
        assert!(causes.past(5).contains_key(&4) && !causes.past(5).contains_key(&3));
    }

    #[test]
    fn message_from_before_anything_was_told_has_no_cause() {
        let (one, two) = (HostId::zookeeper(1), HostId::zookeeper(2));
        let events = record(vec![(Some(two), delivered(one, 0)), (Some(two), delivered(one, 99))]);
        let causes = Causes::of(&events);
        assert_eq!((causes.sent_after(0), causes.sent_after(1)), (None, None));
    }
}
