//! Forward — decides whether what a client is shown of one node ever goes back. It never compares two nodes.

use std::collections::BTreeMap;

use crate::{
    check::{
        clients::{Connections, connections::Client},
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind},
    name::Zxid,
    zookeeper::wire::Stat,
};

pub(in crate::check) const STAT_FORWARD: Law = Law {
    name: "client.stat-forward",
    sentence: "To one client, versions and zxids in the Stat of a node only grow, and a node that was made later never \
               gives way to one made before.",
    source: "ZooKeeper programmer's guide, ZooKeeper Stat structure, and consistency guarantees: single system image; \
             ZOOKEEPER-3145",
    monitor: || Box::<Forward>::default(),
};

/// Allowed: anything on a server in read-only mode, and from there on, since what it shows may never have
/// been committed. Versions that have wrapped.
#[derive(Default)]
struct Forward {
    connections: Connections,
    seen: BTreeMap<Client, BTreeMap<String, Stat>>,
}

/// What must not fall, in order: another czxid is another node.
fn fields(stat: &Stat) -> [(&'static str, i128); 6] {
    [
        ("mzxid", stat.mzxid.0.into()),
        ("pzxid", stat.pzxid.0.into()),
        ("version", stat.version.into()),
        ("cversion", stat.cversion.into()),
        ("aversion", stat.aversion.into()),
        ("czxid", stat.czxid.0.into()),
    ]
}

/// What is wrong with being shown this after that, if anything.
fn falls(path: &str, before: &Stat, now: &Stat) -> Option<String> {
    if now.czxid > before.czxid {
        return None;
    }
    let pairs = fields(before).into_iter().zip(fields(now));
    let wrapped = |name: &str, before: i128| name.ends_with("version") && before > i128::from(i32::MAX / 2);
    let mut fallen = pairs.filter(|((name, before), (_, now))| now < before && !wrapped(name, *before));
    if let Some(((name, _), _)) = fallen.next() {
        return Some(format!("{path} was shown with {before:?}, then with a lower {name}: {now:?}"));
    }
    (now.mzxid == before.mzxid && (now.mtime != before.mtime || now.data_length != before.data_length))
        .then(|| format!("{path} was shown with {before:?}, then otherwise after the same write: {now:?}"))
}

impl Forward {
    fn show(&mut self, event: &Event, client: Client, path: &str, stat: &Stat) -> Judged {
        let seen = self.seen.entry(client).or_default();
        let wrong = seen.get(path).and_then(|before| falls(path, before, stat));
        seen.insert(path.to_owned(), *stat);
        wrong.map_or(Ok(()), |why| broken(event, format!("to session {} {why}", client.1)))
    }
}

impl Monitor for Forward {
    fn observe(&mut self, event: &Event) -> Judged {
        self.connections.observe(event);
        let EventKind::ClientReplied { session, zxid, path, stat: Some(stat), .. } = &event.kind else {
            return Ok(());
        };
        let Some(client) = event.host.map(|host| (host, *session)) else { return Ok(()) };
        if self.connections.is_read_only(client) {
            self.seen.remove(&client);
            return Ok(());
        }
        if *zxid == Zxid(0) || path.starts_with("/zookeeper/") {
            return Ok(());
        }
        self.show(event, client, path, stat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::clients::story::{Story, stat};

    const LAW: &str = "client.stat-forward";

    fn shown(stats: &[Stat]) -> Story {
        let mut story = Story::new();
        story.connect(1, 1, false);
        for (xid, stat) in (1..).zip(stats) {
            story.answer(1, xid, 9, ("getData", "/a"), Ok(Some(*stat)));
        }
        story
    }

    #[test]
    fn field_that_falls_fails() {
        let (new, old) = (stat(1, 5, 2), stat(1, 4, 1));
        shown(&[new, old]).record.assert_fails(LAW, "then with a lower mzxid");
        let older = [
            (Stat { version: 1, ..new }, "version"),
            (Stat { cversion: -3, ..new }, "cversion"),
            (Stat { aversion: -1, ..new }, "aversion"),
            (Stat { pzxid: Zxid(1), ..new }, "pzxid"),
        ];
        for (older, name) in older {
            shown(&[new, older]).record.assert_fails(LAW, &format!("then with a lower {name}"));
        }
    }

    #[test]
    fn node_of_the_past_fails() {
        shown(&[stat(7, 7, 0), stat(1, 8, 1)]).record.assert_fails(LAW, "then with a lower pzxid");
        let past = Stat { pzxid: stat(7, 7, 0).pzxid, ..stat(1, 8, 1) };
        shown(&[stat(7, 7, 0), past]).record.assert_fails(LAW, "then with a lower czxid");
    }

    #[test]
    fn node_made_again_begins_anew() {
        shown(&[stat(1, 5, 9), stat(7, 7, 0), stat(7, 8, 1)]).record.assert_passes(LAW);
    }

    #[test]
    fn same_write_shown_with_another_time_fails() {
        let (one, other) = (stat(1, 5, 2), Stat { mtime: 3, ..stat(1, 5, 2) });
        shown(&[one, other]).record.assert_fails(LAW, "then otherwise after the same write");
    }
}
