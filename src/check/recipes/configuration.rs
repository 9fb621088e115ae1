//! Configuration — decides whether values were applied in the order in which they were written, and all have
//! the last one in the end. It never asks that every value be applied.

use std::collections::BTreeMap;

use super::Sayings;
use crate::{
    check::{
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock},
    },
    event::{Digest, Event, EventKind},
    name::{HostId, Zxid},
};

pub(in crate::check) const FORWARD: Law = Law {
    name: "recipes.configuration-forward",
    sentence: "A host applies values only in the order in which they were written, a transaction wrote one value, and a \
               change that took effect is the next version after the one it built on.",
    source: "zookeeper::recipes::configuration, 1 to 3: version check in setData, values known by mzxid",
    monitor: || Box::<Forward>::default(),
};

pub(in crate::check) const CONFIGURED: Law = Law {
    name: "recipes.configured",
    sentence: "At the end every live host has applied the last value that was written.",
    source: "zookeeper::recipes::configuration, 4: each value is read with the watch that announces the next",
    monitor: || Box::<Configured>::default(),
};

/// A value, as a transaction wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value {
    version: i32,
    digest: Digest,
}

/// Allowed: values that nobody applied, or wrote as far as its author knows.
#[derive(Default)]
struct Forward {
    values: BTreeMap<String, BTreeMap<Zxid, Value>>,
    writers: BTreeMap<(String, Zxid), HostId>,
    applied: BTreeMap<(String, HostId), (Zxid, Point)>,
}

impl Forward {
    /// One transaction, one value; later transactions, later versions.
    fn agree(&mut self, event: &Event, path: &str, zxid: Zxid, value: Value) -> Judged {
        let values = self.values.entry(path.to_owned()).or_default();
        let first = *values.entry(zxid).or_insert(value);
        if first != value {
            return broken(
                event,
                format!("{path} has two values by {zxid}: version {} and {}", first.version, value.version),
            );
        }
        let before = values.range(..zxid).next_back().filter(|(_, other)| other.version >= value.version);
        let after = values.range(zxid..).nth(1).filter(|(_, other)| other.version <= value.version);
        match before.or(after) {
            None => Ok(()),
            Some((other, Value { version, .. })) => broken(
                event,
                format!("{path} has version {} by {zxid}, but {version} by {other}", value.version),
            ),
        }
    }

    fn apply(&mut self, event: &Event, host: HostId, path: &str, zxid: Zxid) -> Judged {
        let former = self.applied.insert((path.to_owned(), host), (zxid, event.into()));
        match former.filter(|(former, _)| *former >= zxid) {
            None => Ok(()),
            Some((former, at)) => broken(
                event,
                format!("{host} applied {path} of {zxid}, after that of {former} at {}", clock(at.at)),
            ),
        }
    }
}

impl Monitor for Forward {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::ConfigApplied { path, version, zxid, value } => {
                self.agree(event, path, *zxid, Value { version: *version, digest: *value })?;
                self.apply(event, host, path, *zxid)
            }
            EventKind::ConfigWritten { path, version, zxid, value } => {
                self.agree(event, path, *zxid, Value { version: *version, digest: *value })?;
                match self.writers.insert((path.clone(), *zxid), host) {
                    None => Ok(()),
                    Some(other) => broken(event, format!("{host} and {other} both wrote {path} by {zxid}")),
                }
            }
            kind if is_new_life(kind) => {
                self.applied.retain(|(_, other), _| *other != host);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Not judged if the run ended before its time to settle, or while links are cut.
#[derive(Default)]
struct Configured {
    sayings: Sayings<Zxid>,
    last: BTreeMap<String, Zxid>,
}

impl Configured {
    fn astray(&self, end: Point) -> Option<(Point, String)> {
        self.sayings.live().find_map(|(path, hosts)| {
            let last = self.last.get(path).copied().unwrap_or_default();
            hosts.into_iter().find_map(|(host, said)| match said {
                None => Some((end, format!("{host} has applied no value of {path} in this life"))),
                Some((at, zxid)) => (*zxid != last)
                    .then(|| (*at, format!("{host} has {path} of {zxid}, but the last value is of {last}"))),
            })
        })
    }
}

impl Monitor for Configured {
    fn observe(&mut self, event: &Event) -> Judged {
        self.sayings.observe(event);
        let (EventKind::ConfigApplied { path, zxid, .. } | EventKind::ConfigWritten { path, zxid, .. }) =
            &event.kind
        else {
            return Ok(());
        };
        let last = self.last.entry(path.clone()).or_default();
        *last = (*last).max(*zxid);
        if matches!(event.kind, EventKind::ConfigApplied { .. }) {
            self.sayings.says(event, path, *zxid);
        }
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        if self.sayings.said.is_empty() {
            return Ok(());
        }
        self.sayings.calm.is_quiet()?;
        self.sayings.calm.judge_end(|end| self.astray(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            recipes::tests::{client, quiet},
            record::{Record, txn},
        },
        event::EventKind as E,
    };

    fn applied(counter: u32, version: i32, value: u64) -> E {
        let (path, zxid, value) = ("/c".into(), txn(1, counter).zxid, Digest(value));
        E::ConfigApplied { path, version, zxid, value }
    }

    fn written(counter: u32, version: i32, value: u64) -> E {
        let (path, zxid, value) = ("/c".into(), txn(1, counter).zxid, Digest(value));
        E::ConfigWritten { path, version, zxid, value }
    }

    const FORWARD: &str = "recipes.configuration-forward";

    #[test]
    fn value_applied_after_a_later_one_fails() {
        let mut record = Record::default();
        record.on(client(2), applied(6, 2, 20)).on(client(2), applied(5, 1, 10));
        record.assert_fails(FORWARD, "client-2 applied /c of 0x100000005, after that of 0x100000006");
    }

    #[test]
    fn two_values_of_one_transaction_fail() {
        let mut record = Record::default();
        record.on(client(2), applied(6, 2, 20)).on(client(3), applied(6, 2, 21));
        record.assert_fails(FORWARD, "/c has two values by 0x100000006");
    }

    #[test]
    fn version_that_does_not_grow_fails() {
        let mut record = Record::default();
        record.on(client(2), applied(6, 2, 20)).on(client(3), written(7, 2, 30));
        record.assert_fails(FORWARD, "/c has version 2 by 0x100000007, but 2 by 0x100000006");
    }

    #[test]
    fn change_claimed_by_two_fails() {
        let mut record = Record::default();
        record.on(client(2), written(6, 2, 20)).on(client(3), written(6, 2, 20));
        record.assert_fails(FORWARD, "client-3 and client-2 both wrote /c");
    }

    #[test]
    fn new_life_may_begin_with_an_old_value() {
        let mut record = Record::default();
        record.on(client(2), applied(6, 2, 20)).on(client(2), E::HostStarted { incarnation: 2 });
        record.on(client(2), applied(5, 1, 10));
        record.assert_passes(FORWARD);
    }

    #[test]
    fn host_that_lacks_the_last_value_fails() {
        let record = quiet(|record| {
            record.on(client(2), applied(5, 1, 10)).on(client(3), applied(5, 1, 10));
            record.on(client(2), applied(6, 2, 20));
        });
        record.assert_fails("recipes.configured", "client-3 has /c of 0x100000005, but the last value is of");
    }

    #[test]
    fn value_that_its_author_alone_knows_of_fails() {
        let record = quiet(|record| {
            record.on(client(2), applied(5, 1, 10)).on(client(2), written(6, 2, 20));
        });
        record.assert_fails("recipes.configured", "client-2 has /c of 0x100000005");
    }

    #[test]
    fn equal_values_pass() {
        let record = quiet(|record| {
            record.on(client(2), applied(5, 1, 10)).on(client(3), applied(5, 1, 10));
        });
        record.assert_passes("recipes.configured");
    }
}
