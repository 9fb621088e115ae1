//! Writes — decides whether writes are one after the other, each in its place, as clients are told. It never
//! looks at what a server holds.

use std::collections::BTreeMap;

use crate::{
    check::{
        clients::connections::{Client, is_write},
        committed::Committed,
        hosts::is_new_life,
        law::{Law, Monitor},
        line::{Line, parent},
        verdict::{Judged, broken},
    },
    event::{Act, Change, Event, EventKind},
    name::{SessionId, Zxid},
};

pub(in crate::check) const IN_PLACE: Law = Law {
    name: "write.in-place",
    sentence: "Every committed write holds at its place in the order: it makes what was not there, below a node that is, \
               with the next counter; it changes or removes what is there, with the next version.",
    source: "ZooKeeper programmer's guide, consistency guarantees: atomicity; PrepRequestProcessor.java, outstanding \
             changes; ZOOKEEPER-1496, ZOOKEEPER-2678",
    monitor: || Box::<InPlace>::default(),
};

pub(in crate::check) const LINEARIZABLE: Law = Law {
    name: "write.linearizable",
    sentence: "An acknowledged write is committed, under the zxid that its client is shown, after every write that was \
               acknowledged before it was asked for; a sequential name has the counter of its place.",
    source: "Zab (DSN 2011) §II, linearizable writes; ZooKeeper programmer's guide, sequence nodes; ZOOKEEPER-2355",
    monitor: || Box::<Linearizable>::default(),
};

/// A multi is judged change by change, each after those before it. Allowed: the versions of `/zookeeper`,
/// which servers fill without transactions.
#[derive(Default)]
struct InPlace {
    committed: Committed,
    line: Line,
}

impl Monitor for InPlace {
    fn observe(&mut self, event: &Event) -> Judged {
        for proposal in self.committed.observe(event) {
            if let Some(wrong) = self.line.add(&proposal) {
                return broken(event, format!("{} ({}) is committed: {wrong}", proposal.zxid, proposal.op));
            }
        }
        Ok(())
    }
}

/// Where a write stands in the order, and which node it made, if it made one.
type Place = (Zxid, Option<(String, i32)>);

/// Allowed: a write whose answer is lost may be anywhere, or nowhere. A write that failed is not judged; nor
/// is closeSession, which the client need not have asked for.
#[derive(Default)]
struct Linearizable {
    committed: Committed,
    /// By session and request: where it stands, and which node it made, if it made one.
    places: BTreeMap<(SessionId, i32), Place>,
    /// The newest write acknowledged when each request was asked, and the path asked for.
    asked: BTreeMap<(Client, i32), (Zxid, String)>,
    acknowledged: Zxid,
}

fn made(changes: &[Change]) -> Option<(String, i32)> {
    match changes {
        [Change { path, act: Act::Created { parent_creates, .. } }] => Some((path.clone(), *parent_creates)),
        _ => None,
    }
}

/// What is wrong with the name that a create was given, if anything: it is the one asked for, or that one and
/// the number of children that the node above has had before.
fn misnamed(asked: &str, path: &str, creates: i32) -> Option<String> {
    let number = format!("{:010}", creates.wrapping_sub(1));
    let is_right = path == asked || path.strip_prefix(asked) == Some(&number);
    (!is_right).then(|| {
        let above = parent(path).unwrap_or_default();
        format!("{asked} was made as {path}, but its counter below {above} is {number}")
    })
}

impl Linearizable {
    fn acknowledge(
        &mut self,
        event: &Event,
        client: Client,
        (xid, op): (i32, &str),
        (zxid, path): (Zxid, &str),
    ) -> Judged {
        let (floor, wanted) = self.asked.remove(&(client, xid)).unwrap_or_default();
        let told = format!("{op} (xid {xid}) of session {} is acknowledged as {zxid}", client.1);
        if zxid <= floor {
            return broken(event, format!("{told}, but {floor} was acknowledged before it was asked"));
        }
        let Some((place, node)) = self.places.remove(&(client.1, xid)) else {
            return broken(event, format!("{told}, but no such transaction is committed"));
        };
        if place != zxid {
            return broken(event, format!("{told}, but is committed as {place}"));
        }
        self.acknowledged = self.acknowledged.max(zxid);
        match node {
            Some((made, _)) if made != path => {
                broken(event, format!("{told} with the name {path}, but has made {made}"))
            }
            Some((made, creates)) => match misnamed(&wanted, &made, creates) {
                Some(wrong) if op == "create" => broken(event, wrong),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }
}

impl Monitor for Linearizable {
    fn observe(&mut self, event: &Event) -> Judged {
        for proposal in self.committed.observe(event) {
            if proposal.xid > 0 && proposal.op != "error" {
                let place = (proposal.zxid, made(&proposal.changes).filter(|_| proposal.op == "create"));
                self.places.insert((proposal.session, proposal.xid), place);
            }
        }
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::ClientAsked { session, xid, op, path, .. } if is_write(op) => {
                self.asked.insert(((host, *session), *xid), (self.acknowledged, path.clone()));
                Ok(())
            }
            EventKind::ClientReplied { session, xid, op, zxid, error: 0, path, .. } if is_write(op) => {
                self.acknowledge(event, (host, *session), (*xid, op), (*zxid, path))
            }
            kind if is_new_life(kind) => {
                self.asked.retain(|((owner, _), _), _| *owner != host);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::clients::story::{Story, made, removed, set};

    #[test]
    fn version_that_leaves_one_out_fails() {
        let mut story = Story::new();
        story.write(vec![made("/a", 1)]).write(vec![set("/a", 1)]);
        story.record.assert_passes("write.in-place");
        story.write(vec![set("/a", 3)]);
        story
            .record
            .assert_fails("write.in-place", "0x100000003 (multi) is committed: /a gets version 3 after 1");
    }

    #[test]
    fn removal_of_what_is_not_there_fails_unless_it_is_never_committed() {
        let mut story = Story::new();
        story.propose(1, 1, vec![removed("/a")]);
        story.record.assert_passes("write.in-place");
        story.commit();
        story.record.assert_fails("write.in-place", "/a is changed or removed, but is not there");
    }

    const LAW: &str = "write.linearizable";

    /// Client 1's write `xid` from question to answer.
    fn write(story: &mut Story, xid: i32, at: u32, changes: Vec<Change>) {
        story.ask(1, xid, "multi", "", "").propose(1, xid, changes).commit();
        story.answer(1, xid, at, ("multi", ""), Ok(None));
    }

    #[test]
    fn writes_one_after_the_other_hold() {
        let mut story = Story::new();
        write(&mut story, 1, 1, vec![made("/a", 1)]);
        write(&mut story, 2, 2, vec![set("/a", 1)]);
        story.record.assert_passes(LAW);
    }

    #[test]
    fn acknowledged_write_below_an_earlier_one_fails() {
        let mut story = Story::new();
        write(&mut story, 1, 1, vec![made("/a", 1)]);
        write(&mut story, 2, 1, vec![set("/a", 1)]);
        story.record.assert_fails(LAW, "but 0x100000001 was acknowledged before it was asked");
    }

    #[test]
    fn acknowledged_write_that_is_not_committed_fails() {
        let mut story = Story::new();
        story.ask(1, 1, "multi", "", "").propose(1, 1, vec![made("/a", 1)]);
        story.answer(1, 1, 1, ("multi", ""), Ok(None));
        story.record.assert_fails(LAW, "acknowledged as 0x100000001, but no such transaction is committed");
    }

    #[test]
    fn acknowledged_write_under_another_zxid_fails() {
        let mut story = Story::new();
        write(&mut story, 1, 2, vec![made("/a", 1)]);
        story.record.assert_fails(LAW, "is acknowledged as 0x100000002, but is committed as 0x100000001");
    }

    fn sequential(asked: &str, path: &str, nth: i32) -> Story {
        let mut story = Story::new();
        story.ask(1, 1, "create", asked, "").propose(1, 1, vec![made(path, nth)]);
        if let Some(EventKind::TxnProposed { op, .. }) =
            story.record.events.last_mut().map(|event| &mut event.kind)
        {
            *op = "create".into();
        }
        story.commit().answer(1, 1, 1, ("create", path), Ok(None));
        story
    }

    #[test]
    fn sequential_name_with_another_counter_fails() {
        sequential("/n-", "/n-0000000004", 5).record.assert_passes(LAW);
        sequential("/n", "/n", 5).record.assert_passes(LAW);
        sequential("/n-", "/n-0000000003", 5)
            .record
            .assert_fails(LAW, "/n- was made as /n-0000000003, but its counter below / is 0000000004");
    }
}
