//! Prefix — decides whether what a client is shown is the tree after the transactions up to the zxid it is
//! shown. It never asks that this be the newest.

use crate::{
    check::{
        clients::Connections,
        committed::Committed,
        law::{Law, Monitor},
        line::{Line, is_reserved},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind},
    name::{HostId, SessionId, Zxid},
    zookeeper::wire::Stat,
};

pub(in crate::check) const PREFIX: Law = Law {
    name: "client.prefix",
    sentence: "A reply shows the tree after exactly the committed transactions up to the zxid in its header.",
    source: "ZooKeeper programmer's guide, consistency guarantees: single system image, atomicity; ZOOKEEPER-3642, \
             ZOOKEEPER-4837, ZOOKEEPER-4846",
    monitor: || Box::<Prefix>::default(),
};

/// KeeperException.NoNode.
const NO_NODE: i32 = -101;

/// Allowed: a state as old as it may be (reads are sequential, not linearizable). A server in read-only mode
/// answers from its own log, uncommitted tail included, and is not judged. Nor is `/zookeeper`, which servers
/// fill without transactions, nor the times.
#[derive(Default)]
struct Prefix {
    connections: Connections,
    committed: Committed,
    line: Line,
}

impl Prefix {
    fn shown(&self, event: &Event, path: &str, zxid: Zxid, shown: &Stat) -> Judged {
        match self.line.at(path, zxid) {
            None => broken(event, format!("a reply shows {path} as of {zxid}, when there was no such node")),
            Some(node) if node.stat(shown) == *shown => Ok(()),
            Some(node) => broken(
                event,
                format!("a reply shows {path} as of {zxid} as {shown:?}, but it was {:?}", node.stat(shown)),
            ),
        }
    }

    fn reply(
        &self,
        event: &Event,
        zxid: Zxid,
        (op, path): (&str, &str),
        end: (i32, Option<&Stat>),
    ) -> Judged {
        let is_there = || self.line.at(path, zxid).is_some();
        match (op, end) {
            (_, (0, Some(stat))) => self.shown(event, path, zxid, stat),
            ("exists" | "getData" | "getChildren" | "getACL", (NO_NODE, _)) if is_there() => {
                broken(event, format!("a reply shows no {path} as of {zxid}, when there was one"))
            }
            ("delete", (0, _)) if is_there() => {
                broken(event, format!("{path} is removed, but is there as of the reply's {zxid}"))
            }
            _ => Ok(()),
        }
    }
}

impl Monitor for Prefix {
    fn observe(&mut self, event: &Event) -> Judged {
        self.connections.observe(event);
        for proposal in self.committed.observe(event) {
            self.line.add(&proposal);
        }
        let client = |session: SessionId| event.host.map(|host: HostId| (host, session));
        match &event.kind {
            EventKind::ClientReplied { session, zxid, op, error, path, stat, .. }
                if !is_reserved(path) && zxid.0 != 0 && zxid.0 != u64::MAX =>
            {
                if client(*session).is_some_and(|client| self.connections.is_read_only(client)) {
                    return Ok(());
                }
                self.reply(event, *zxid, (op, path), (*error, stat.as_ref()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::clients::story::{Story, made, removed, set, stat},
        event::EventKind as E,
    };

    const LAW: &str = "client.prefix";

    fn story() -> Story {
        let mut story = Story::new();
        story.write(vec![made("/a", 1)]).write(vec![set("/a", 1)]).write(vec![removed("/a")]);
        story.connect(1, 1, false);
        story
    }

    fn shows(at: u32, result: Result<Option<Stat>, i32>) -> Story {
        let mut story = story();
        story.answer(1, 1, at, ("getData", "/a"), result);
        story
    }

    #[test]
    fn each_state_of_the_past_is_allowed() {
        for (at, result) in
            [(1, Ok(Some(stat(1, 1, 0)))), (2, Ok(Some(stat(1, 2, 1)))), (3, Err(NO_NODE)), (0, Err(NO_NODE))]
        {
            shows(at, result).record.assert_passes(LAW);
        }
    }

    #[test]
    fn state_of_another_transaction_fails() {
        shows(2, Ok(Some(stat(1, 1, 0)))).record.assert_fails(LAW, "shows /a as of 0x100000002 as Stat {");
        shows(1, Ok(Some(stat(1, 2, 1)))).record.assert_fails(LAW, "shows /a as of 0x100000001 as Stat {");
        shows(3, Ok(Some(stat(1, 2, 1)))).record.assert_fails(LAW, "when there was no such node");
        shows(2, Err(NO_NODE)).record.assert_fails(LAW, "shows no /a as of 0x100000002, when there was one");
    }

    #[test]
    fn write_that_was_never_committed_may_not_be_shown() {
        let mut story = Story::new();
        story.connect(1, 1, false).propose(1, 1, vec![made("/a", 1)]);
        story.answer(1, 1, 1, ("create", "/a"), Ok(Some(stat(1, 1, 0))));
        story.record.assert_fails(LAW, "shows /a as of 0x100000001, when there was no such node");
    }

    #[test]
    fn read_only_server_may_show_what_is_not_committed() {
        let mut story = Story::new();
        let server = HostId::zookeeper(2);
        let connected = |session| E::ClientConnected { session, server, resumed: false, read_only: true };
        story.note(1, connected).propose(1, 1, vec![made("/a", 1)]);
        story.answer(1, 1, 1, ("getData", "/a"), Ok(Some(stat(1, 1, 0))));
        story.record.assert_passes(LAW);
    }

    #[test]
    fn node_that_is_there_after_its_removal_was_answered_fails() {
        let mut story = story();
        story.answer(1, 1, 2, ("delete", "/a"), Ok(None));
        story.record.assert_fails(LAW, "/a is removed, but is there as of the reply's 0x100000002");
    }
}
