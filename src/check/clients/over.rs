//! Over — decides whether a session that has ended is ever served again. It never says when one should end.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        clients::{Connections, connections::Client},
        committed::{Committed, Proposal},
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind},
    name::{SessionId, Zxid},
};

pub(in crate::check) const OVER: Law = Law {
    name: "client.over",
    sentence: "When a session has ended, no write of it takes effect any more, no server that knows it answers it, and a \
               client that was told of it never has it again.",
    source: "ZooKeeper programmer's guide, sessions: an expired session's client must make a new one; \
             PrepRequestProcessor.java, closing flag; ZOOKEEPER-1208, ZOOKEEPER-1496",
    monitor: || Box::<Over>::default(),
};

/// Allowed: reads through a server that has not applied the end yet ("a follower makes no session check for
/// reads"): they show an older zxid. So does a client come back to such a server, as long as it has not been
/// told. An error is no success, and closeSession is answered after the end. In read-only mode a server knows
/// of no end.
#[derive(Default)]
struct Over {
    connections: Connections,
    committed: Committed,
    ends: BTreeMap<SessionId, Zxid>,
    told: BTreeSet<Client>,
}

impl Over {
    fn commit(&mut self, event: &Event, proposal: &Proposal) -> Judged {
        let Proposal { zxid, session, op, changes, .. } = proposal;
        if let Some(end) = self.ends.get(session)
            && !changes.is_empty()
        {
            return broken(
                event,
                format!("{op} of session {session} takes effect as {zxid}, but {end} has closed it"),
            );
        }
        if op == "closeSession" {
            self.ends.insert(*session, *zxid);
        }
        Ok(())
    }

    fn answer(&self, event: &Event, client: Client, zxid: Zxid, op: &str) -> Judged {
        if self.told.contains(&client) {
            return broken(
                event,
                format!("session {} was answered {op} after it was told of its end", client.1),
            );
        }
        match self.ends.get(&client.1) {
            Some(end) if *end <= zxid && op != "closeSession" && !self.connections.is_read_only(client) => {
                broken(
                    event,
                    format!("session {} was answered {op} as of {zxid}, but {end} has closed it", client.1),
                )
            }
            _ => Ok(()),
        }
    }

    fn connect(&self, event: &Event, client: Client) -> Judged {
        if self.told.contains(&client) {
            return broken(
                event,
                format!("session {} goes on after its client was told of its end", client.1),
            );
        }
        Ok(())
    }

    fn tell(&mut self, client: Client) -> Judged {
        self.told.insert(client);
        Ok(())
    }
}

impl Monitor for Over {
    fn observe(&mut self, event: &Event) -> Judged {
        self.connections.observe(event);
        for proposal in self.committed.observe(event) {
            self.commit(event, &proposal)?;
        }
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::ClientReplied { session, zxid, op, error: 0, .. } => {
                let client = (host, *session);
                self.answer(event, client, *zxid, op)?;
                if op == "closeSession" { self.tell(client) } else { Ok(()) }
            }
            EventKind::ClientConnected { session, .. } => self.connect(event, (host, *session)),
            EventKind::ClientExpired { session } => self.tell((host, *session)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::{
            clients::story::{Story, client, made, removed},
            record::zk,
        },
        event::{Change, EventKind as E},
    };

    const LAW: &str = "client.over";

    /// Session 1 makes a node and is closed by transaction 2.
    fn closed() -> Story {
        let mut story = Story::new();
        story.connect(1, 1, false).propose(1, 1, vec![made("/a", 1)]).commit();
        close(&mut story, vec![removed("/a")]);
        story
    }

    fn close(story: &mut Story, changes: Vec<Change>) {
        story.propose(1, 0, changes);
        if let Some(E::TxnProposed { op, .. }) = story.record.events.last_mut().map(|event| &mut event.kind) {
            *op = "closeSession".into();
        }
        story.commit();
    }

    #[test]
    fn write_of_a_closed_session_fails() {
        let mut story = closed();
        story.propose(1, 2, vec![made("/b", 2)]).commit();
        story.record.assert_fails(
            LAW,
            "multi of session 0x1 takes effect as 0x100000003, but 0x100000002 has closed it",
        );
    }

    #[test]
    fn refused_write_of_a_closed_session_is_allowed() {
        let mut story = closed();
        story.propose(1, 2, vec![]).commit();
        story.record.assert_passes(LAW);
    }

    #[test]
    fn answer_that_shows_the_end_fails_and_an_older_one_does_not() {
        let mut story = closed();
        story.read(1, 2, 1, "getData", "/a", "");
        story.record.assert_passes(LAW);
        story.read(1, 3, 2, "getData", "/a", "");
        story.record.assert_fails(
            LAW,
            "session 0x1 was answered getData as of 0x100000002, but 0x100000002 has closed it",
        );
    }

    #[test]
    fn client_that_was_told_of_the_end_and_goes_on_fails() {
        let mut expired = closed();
        expired.note(1, |session| E::ClientExpired { session }).connect(1, 2, true);
        expired.record.assert_fails(LAW, "session 0x1 goes on after its client was told of its end");

        let mut told = closed();
        told.read(1, 2, 2, "closeSession", "", "");
        told.record.assert_passes(LAW);
        told.read(1, 3, 1, "getData", "/a", "");
        told.record.assert_fails(LAW, "session 0x1 was answered getData after it was told of its end");
    }

    #[test]
    fn read_only_server_knows_of_no_end() {
        let mut story = closed();
        let connected =
            |session| E::ClientConnected { session, server: zk(3), resumed: true, read_only: true };
        story.note(1, connected).read(1, 2, 2, "getData", "/a", "");
        assert_eq!(client(1).1.0, 1);
        story.record.assert_passes(LAW);
    }
}
