//! Fifo — decides whether a client's requests are answered, and take effect, in the order in which it sent
//! them. It never asks that one be answered.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    check::{
        clients::connections::Client,
        committed::{Committed, Proposal},
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind},
    name::{HostId, SessionId, Zxid},
};

pub(in crate::check) const FIFO: Law = Law {
    name: "client.fifo",
    sentence: "Replies come in the order of requests, and a session's writes take effect in that order, across servers too.",
    source: "ZooKeeper programmer's guide, consistency guarantees: sequential consistency; Zab (DSN 2011) §II, FIFO client \
             order; ZOOKEEPER-2024",
    monitor: || Box::<Fifo>::default(),
};

/// The xid of auth.
const AUTH: i32 = -4;

/// Allowed: what was asked on a connection that is lost may have taken effect or not, and may yet do so, but
/// not after a later request of the session. A write that has no effect on any node (it failed, or its session
/// has moved) may stand anywhere. auth is answered at once, whatever waits (`ZooKeeperServer.processPacket`).
/// A closeSession may be asked by whoever knows the id and the password of a session, with a number of its own
/// (programmer's guide, ZooKeeper sessions); what comes after it is for `client.over`.
#[derive(Default)]
struct Fifo {
    asked: BTreeMap<Client, VecDeque<(i32, String)>>,
    committed: Committed,
    effects: BTreeMap<SessionId, (i32, Zxid)>,
}

impl Fifo {
    fn reply(&mut self, event: &Event, client: Client, xid: i32, op: &str) -> Judged {
        match self.asked.entry(client).or_default().pop_front() {
            Some((expected, _)) if expected == xid => Ok(()),
            Some((expected, first)) => broken(
                event,
                format!(
                    "session {} was answered {op} (xid {xid}), before its {first} (xid {expected})",
                    client.1
                ),
            ),
            None => broken(
                event,
                format!("session {} was answered {op} (xid {xid}), which it has not asked", client.1),
            ),
        }
    }

    fn take_effect(&mut self, event: &Event, proposal: &Proposal) -> Judged {
        let Proposal { zxid, session, xid, op, changes } = proposal;
        if changes.is_empty() || *xid <= 0 || op == "closeSession" {
            return Ok(());
        }
        match self.effects.insert(*session, (*xid, *zxid)) {
            Some((before, at)) if before >= *xid => broken(
                event,
                format!(
                    "request {xid} of session {session} takes effect as {zxid}, after its request {before} as {at}"
                ),
            ),
            _ => Ok(()),
        }
    }

    fn forget(&mut self, client: Client) -> Judged {
        self.asked.remove(&client);
        Ok(())
    }

    fn forget_all(&mut self, host: HostId) -> Judged {
        self.asked.retain(|(owner, _), _| *owner != host);
        Ok(())
    }
}

impl Monitor for Fifo {
    fn observe(&mut self, event: &Event) -> Judged {
        for proposal in self.committed.observe(event) {
            self.take_effect(event, &proposal)?;
        }
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::ClientAsked { xid: AUTH, .. } | EventKind::ClientReplied { xid: AUTH, .. } => Ok(()),
            EventKind::ClientAsked { session, xid, op, .. } => {
                self.asked.entry((host, *session)).or_default().push_back((*xid, op.to_string()));
                Ok(())
            }
            EventKind::ClientReplied { session, xid, op, .. } => {
                self.reply(event, (host, *session), *xid, op)
            }
            EventKind::ClientConnected { session, .. }
            | EventKind::ClientDisconnected { session }
            | EventKind::ClientExpired { session } => self.forget((host, *session)),
            kind if is_new_life(kind) => self.forget_all(host),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::clients::story::{Story, made, set},
        event::EventKind,
    };

    const LAW: &str = "client.fifo";

    fn two_requests() -> Story {
        let mut story = Story::new();
        story.connect(1, 1, false).ask(1, 1, "getData", "/a", "").ask(1, 2, "getData", "/b", "");
        story
    }

    #[test]
    fn reply_that_overtakes_another_fails() {
        let mut story = two_requests();
        story.answer(1, 2, 1, ("getData", "/b"), Ok(None));
        story
            .record
            .assert_fails(LAW, "session 0x1 was answered getData (xid 2), before its getData (xid 1)");
    }

    #[test]
    fn reply_to_nothing_fails() {
        let mut story = two_requests();
        story.answer(1, 1, 1, ("getData", "/a"), Ok(None)).answer(1, 2, 1, ("getData", "/b"), Ok(None));
        story.record.assert_passes(LAW);
        story.answer(1, 2, 1, ("getData", "/b"), Ok(None));
        story.record.assert_fails(LAW, "which it has not asked");
    }

    #[test]
    fn reply_lost_with_its_connection_is_allowed() {
        let mut story = two_requests();
        story.disconnect(1).connect(1, 2, true).read(1, 3, 1, "getData", "/a", "");
        story.record.assert_passes(LAW);
    }

    #[test]
    fn write_that_takes_effect_after_a_later_one_fails() {
        let mut story = Story::new();
        story.propose(1, 1, vec![made("/a", 1)]).commit().propose(1, 3, vec![set("/a", 1)]).commit();
        story.record.assert_passes(LAW);
        story.propose(1, 2, vec![set("/a", 2)]).commit();
        story.record.assert_fails(
            LAW,
            "request 2 of session 0x1 takes effect as 0x100000003, after its request 3 as 0x100000002",
        );
    }

    #[test]
    fn refused_write_of_a_former_connection_is_allowed() {
        let mut story = Story::new();
        story.propose(1, 3, vec![made("/a", 1)]).commit().propose(1, 2, vec![]).commit();
        story.record.assert_passes(LAW);
    }

    /// Whoever knows id and password may close a session, with a number of its own; nothing else.
    #[test]
    fn close_asked_by_another_is_allowed() {
        let asked = |op: &str| {
            let mut story = Story::new();
            story.propose(1, 3, vec![made("/a", 1)]).commit().propose(1, 1, vec![set("/a", 1)]).commit();
            let proposed = |kind: &EventKind| matches!(kind, EventKind::TxnProposed { .. });
            if let (_, EventKind::TxnProposed { op: asked, .. }) = story.record.nth(1, proposed) {
                *asked = op.to_owned().into();
            }
            story.record
        };
        asked("closeSession").assert_passes(LAW);
        asked("setData").assert_fails(LAW, "request 1 of session 0x1 takes effect as 0x100000002, after");
    }
}
