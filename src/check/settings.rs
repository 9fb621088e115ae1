//! Settings — decides whether every node went by the history of the settings, forward, and all by the same in the
//! end. It never judges a value.

use std::collections::BTreeMap;

use crate::{
    check::{
        calm::Calm,
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock},
    },
    event::{Digest, Event, EventKind},
    name::{HostId, HostKind},
};

pub(super) const PREFIX: Law = Law {
    name: "settings.prefix",
    sentence: "A version of the settings is one document for all; a node goes by them only forward; in the end every live \
               node goes by the last one.",
    source: "Elasticsearch, cluster state updates: settings are applied in the order of versions; ZooKeeper recipes, \
             configuration: a watched znode is read again after each event",
    monitor: || Box::<Prefix>::default(),
};

/// Allowed: versions that a node left out, for events of a watch coalesce; versions that nobody noted as written,
/// where the writer lost the answer, or was no controller but somebody with the right to write the znode.
/// Whether all go by the last one is not judged if the cluster had no time to settle.
#[derive(Default)]
struct Prefix {
    calm: Calm,
    history: BTreeMap<u64, (Digest, Option<HostId>, Point)>,
    applied: BTreeMap<HostId, (u64, Point)>,
}

impl Prefix {
    fn is_one(&mut self, event: &Event, version: u64, digest: Digest) -> Judged {
        let new = (digest, event.host, Point::from(event));
        let (known, by, at) = *self.history.entry(version).or_insert(new);
        if known == digest {
            return Ok(());
        }
        let whose = |host: Option<HostId>| host.map_or("nobody".to_owned(), |host| host.to_string());
        let (host, by, when) = (whose(event.host), whose(by), clock(at.at));
        broken(event, format!("{host} has settings {version} with another content than {by} had at {when}"))
    }

    fn goes_forward(&mut self, event: &Event, host: HostId, version: u64) -> Judged {
        match self.applied.insert(host, (version, event.into())) {
            Some((former, at)) if former >= version => {
                let at = clock(at.at);
                broken(
                    event,
                    format!("{host} applied settings {version} after it had applied {former} at {at}"),
                )
            }
            _ => Ok(()),
        }
    }

    /// The first live node that does not go by the last version.
    fn behind(&self) -> Option<(Option<Point>, String)> {
        let (last, _) = self.history.last_key_value()?;
        let live = self.calm.hosts.live(HostKind::Search);
        live.into_iter().find_map(|host| match self.applied.get(&host) {
            Some((version, _)) if version == last => None,
            Some((version, at)) => {
                Some((Some(*at), format!("{host} goes by settings {version}, but the last are {last}")))
            }
            None => Some((None, format!("{host} has applied no settings, but the last are {last}"))),
        })
    }
}

impl Monitor for Prefix {
    fn observe(&mut self, event: &Event) -> Judged {
        self.calm.observe(event);
        match (&event.kind, event.host) {
            (EventKind::SettingsWritten { version, digest }, _) => self.is_one(event, *version, *digest),
            (EventKind::SettingsApplied { version, digest }, Some(host)) => {
                self.is_one(event, *version, *digest)?;
                self.goes_forward(event, host, *version)
            }
            (kind, Some(host)) if is_new_life(kind) => {
                self.applied.remove(&host);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Judged {
        if self.history.is_empty() {
            return Ok(());
        }
        self.calm.is_long_enough()?;
        self.calm.judge_end(|end| self.behind().map(|(at, why)| (at.unwrap_or(end), why)))
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::record::{Record, search},
        event::{Digest, EventKind as E},
    };

    const LAW: &str = "settings.prefix";

    fn applied(version: u64, digest: u64) -> E {
        E::SettingsApplied { version, digest: Digest(digest) }
    }

    fn written(version: u64, digest: u64) -> E {
        E::SettingsWritten { version, digest: Digest(digest) }
    }

    /// The healthy run, in which three nodes live at the end, with these events before its last.
    fn healthy(middle: impl FnOnce(&mut Record)) -> Record {
        let mut record = Record::healthy();
        let end = record.events.pop().unwrap();
        middle(&mut record);
        record.world(end.kind);
        record
    }

    #[test]
    fn settings_that_all_apply_in_order_pass() {
        let record = healthy(|record| {
            record.on(search(1), written(1, 7)).on(search(1), applied(1, 7)).on(search(2), applied(1, 7));
            record.on(search(1), written(2, 8));
            for node in 1..=3 {
                record.on(search(node), applied(2, 8));
            }
        });
        record.assert_passes(LAW);
    }

    #[test]
    fn settings_applied_backwards_fail() {
        let mut record = Record::default();
        record.on(search(1), applied(2, 8)).on(search(1), applied(1, 7));
        record.assert_fails(LAW, "search-1 applied settings 1 after it had applied 2");
    }

    #[test]
    fn two_documents_of_one_version_fail() {
        let mut record = Record::default();
        record.on(search(1), written(1, 7)).on(search(2), applied(1, 8));
        record.assert_fails(LAW, "search-2 has settings 1 with another content than search-1");
    }

    #[test]
    fn node_that_never_hears_of_the_last_settings_fails() {
        let record = healthy(|record| {
            record.on(search(1), written(2, 8));
            record.on(search(1), applied(2, 8)).on(search(2), applied(2, 8)).on(search(3), applied(1, 7));
        });
        record.assert_fails(LAW, "search-3 goes by settings 1, but the last are 2");
    }

    #[test]
    fn new_life_may_begin_anew() {
        let mut record = Record::default();
        record.on(search(1), applied(2, 8)).on(search(1), E::HostStarted { incarnation: 2 });
        record.on(search(1), applied(2, 8));
        let verdict = record.verdict(LAW);
        assert!(!matches!(verdict, crate::check::verdict::Verdict::Fail { .. }), "{verdict:?}");
    }
}
