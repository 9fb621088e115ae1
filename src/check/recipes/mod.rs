//! Recipes — decides whether leader election, membership, configuration and notification keep what their docs
//! promise. It never looks at znodes, only at what members say of themselves.
//!
//! Each law is one sentence of the section "What holds" in `zookeeper::recipes`.

mod configuration;
mod leadership;
mod membership;
mod notification;

use std::collections::BTreeMap;

pub(super) use self::{
    configuration::{CONFIGURED, FORWARD},
    leadership::{EPOCH_ONCE, FENCED, LED},
    membership::MEMBERS,
    notification::{NOTICE_ORDER, NOTICES_WHOLE},
};
use crate::{
    check::{calm::Calm, hosts::is_new_life, verdict::Point},
    event::Event,
    name::HostId,
};

/// What live hosts said last of a group, a znode or a topic.
#[derive(Debug)]
struct Sayings<T> {
    calm: Calm,
    said: BTreeMap<String, BTreeMap<HostId, Said<T>>>,
}

/// What a host said last; none: it has not yet spoken in this life.
type Said<T> = Option<(Point, T)>;

impl<T> Default for Sayings<T> {
    fn default() -> Self {
        Self { calm: Calm::default(), said: BTreeMap::new() }
    }
}

impl<T> Sayings<T> {
    /// Follows the hosts' lives.
    fn observe(&mut self, event: &Event) {
        self.calm.observe(event);
        let Some(host) = event.host.filter(|_| is_new_life(&event.kind)) else { return };
        for hosts in self.said.values_mut() {
            hosts.entry(host).and_modify(|said| *said = None);
        }
    }

    fn says(&mut self, event: &Event, of: &str, what: T) {
        if let Some(host) = event.host {
            self.said.entry(of.to_owned()).or_default().insert(host, Some((event.into(), what)));
        }
    }

    /// For each thing, the live hosts that ever spoke of it, and what they said last.
    fn live(&self) -> impl Iterator<Item = (&str, Vec<(HostId, &Said<T>)>)> {
        self.said.iter().map(|(of, hosts)| {
            let live = hosts.iter().filter(|(host, _)| self.calm.hosts.is_live(**host));
            (of.as_str(), live.map(|(host, said)| (*host, said)).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{check::record::Record, event::EventKind as E, name::HostId};

    pub(super) fn client(number: u16) -> HostId {
        HostId::client(number)
    }

    /// A run with these events whose quiet end comes late enough for everything to be settled.
    pub(super) fn quiet(middle: impl FnOnce(&mut Record)) -> Record {
        let mut record = Record::default();
        record.world(E::RunStarted {
            scenario: "recipes".into(),
            seed: 1,
            servers: vec![HostId::zookeeper(1)],
            nodes: Vec::new(),
            copies: 0,
            settle_bound: 1_000_000_000,
            read_policy: "any".into(),
            allocator: "balanced".into(),
        });
        for number in [2, 3, 9] {
            record.on(client(number), E::HostStarted { incarnation: 1 });
        }
        middle(&mut record);
        record.world(E::QuietBegan).wait(2_000).world(E::RunEnded);
        record
    }
}
