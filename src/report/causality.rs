//! Causality — decides which events of a record can have caused which: what a host did before, and what the sender of
//! a message had done when it was sent. It never goes by time, but where the world itself strikes a host.
//!
//! Lamport's happened-before: nothing here says that an event did cause another one, only that it could have. A timer
//! that runs out is caused by what its host did before, not by the message that did not come.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    event::{Event, EventKind},
    name::HostId,
};

/// The causes in a record.
#[derive(Debug)]
pub struct Causes<'a> {
    events: &'a [Event],
    hosts: BTreeMap<HostId, Vec<usize>>,
    /// The event of the same host before each; of what the world does to a host, also the world's.
    before: Vec<[Option<usize>; 2]>,
}

/// How many messages lie between an event and what it led to.
pub type Hops = u32;

impl<'a> Causes<'a> {
    /// The causes in these events, which must be numbered from 0 without gaps.
    pub fn of(events: &'a [Event]) -> Self {
        let mut hosts: BTreeMap<HostId, Vec<usize>> = BTreeMap::new();
        let mut before = Vec::with_capacity(events.len());
        let mut world = None;
        for (number, event) in events.iter().enumerate() {
            let struck = if is_worldly(&event.kind) { world } else { None };
            let own = event.host.and_then(|host| {
                let told = hosts.entry(host).or_default();
                let last = told.last().copied();
                told.push(number);
                last
            });
            before.push([own, struck]);
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
    use crate::name::SimTime;

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
    fn fault_is_a_cause_of_the_crash_it_brings_and_of_nothing_else() {
        let host = HostId::search(1);
        let fault = EventKind::FaultBegan { step: 0, what: "crash".into(), hosts: vec![host] };
        let events = record(vec![
            (Some(host), EventKind::ElectionStarted { round: 1 }),
            (None, fault),
            (Some(host), EventKind::ElectionStarted { round: 2 }),
            (Some(host), EventKind::HostCrashed { power: true }),
        ]);
        let causes = Causes::of(&events);
        assert_eq!(causes.past(3).keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(causes.past(2).keys().copied().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn message_from_before_anything_was_told_has_no_cause() {
        let (one, two) = (HostId::zookeeper(1), HostId::zookeeper(2));
        let events = record(vec![(Some(two), delivered(one, 0)), (Some(two), delivered(one, 99))]);
        let causes = Causes::of(&events);
        assert_eq!((causes.sent_after(0), causes.sent_after(1)), (None, None));
    }
}
