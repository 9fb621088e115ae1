//! Sessions — decides whether what one session reads ever goes back in history. It never asks that a read
//! be fresh.

use std::collections::BTreeMap;

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, broken, clock},
    },
    event::{Event, EventKind},
    name::{HostId, SessionId, SimTime, Zxid},
};

pub(super) const MONOTONIC: Law = Law {
    name: "session.monotonic",
    sentence: "The zxids that one session is shown never go back, whichever servers it talks to.",
    source: "ZooKeeper programmer's guide, consistency guarantees: single system image; ZooKeeperServer.java, \
             lastZxidSeen ahead of the server's: connection dropped",
    monitor: || Box::<Monotonic>::default(),
};

pub(super) const UNIQUE: Law = Law {
    name: "session.unique",
    sentence: "No two sessions are given the same id.",
    source: "ZOOKEEPER-1622: ids of servers' sessions collided; SessionTrackerImpl.initializeNextSessionId",
    monitor: || Box::<Unique>::default(),
};

/// Each server applies the transaction that opens a session, and again after a restart. A transaction that was cut from a
/// log leaves its id to nobody: whoever asked for the session is given another one.
#[derive(Default)]
struct Unique(BTreeMap<SessionId, Zxid>);

impl Monitor for Unique {
    fn observe(&mut self, event: &Event) -> Judged {
        let EventKind::SessionOpened { session, zxid, .. } = &event.kind else { return Ok(()) };
        let first = *self.0.entry(*session).or_insert(*zxid);
        if first == *zxid {
            return Ok(());
        }
        broken(event, format!("session {session} is opened by {zxid}, and was by {first} before"))
    }
}

/// Allowed: stale reads without bound (reads are sequential, not linearizable). A header of 0 says nothing:
/// it is that of an auth reply, and the Java client ignores it too.
#[derive(Default)]
struct Monotonic {
    sessions: BTreeMap<SessionId, Sight>,
}

struct Sight {
    server: Option<HostId>,
    zxid: Zxid,
    shown_by: Option<HostId>,
    at: SimTime,
}

impl Monotonic {
    fn sight(&mut self, session: SessionId) -> &mut Sight {
        let blind = Sight { server: None, zxid: Zxid(0), shown_by: None, at: SimTime(0) };
        self.sessions.entry(session).or_insert(blind)
    }
}

impl Monitor for Monotonic {
    fn observe(&mut self, event: &Event) -> Judged {
        let (session, zxid, op) = match &event.kind {
            EventKind::ClientConnected { session, server, .. } => {
                self.sight(*session).server = Some(*server);
                return Ok(());
            }
            EventKind::ClientReplied { session, zxid, op, .. } if zxid.0 != 0 => (*session, *zxid, op),
            _ => return Ok(()),
        };
        let sight = self.sight(session);
        if zxid >= sight.zxid {
            (sight.zxid, sight.shown_by, sight.at) = (zxid, sight.server, event.at);
            return Ok(());
        }
        let server =
            |server: Option<HostId>| server.map_or("a server".to_owned(), |server| server.to_string());
        broken(
            event,
            format!(
                "session {session} was shown {zxid} by {} ({op}), after {} by {} at {}",
                server(sight.server),
                sight.zxid,
                server(sight.shown_by),
                clock(sight.at)
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search, txn, zk},
        event::EventKind as E,
    };

    fn replied(zxid: Zxid) -> E {
        {
            let (session, op, path) = (SessionId(9), "getData".into(), "/n".into());
            E::ClientReplied { session, xid: 1, zxid, op, error: 0, path, stat: None }
        }
    }

    #[test]
    fn older_zxid_from_the_next_server_fails() {
        let mut record = Record::default();
        let connected =
            |server| E::ClientConnected { session: SessionId(9), server, resumed: true, read_only: false };
        record.on(search(1), connected(zk(1))).on(search(1), replied(txn(1, 8).zxid));
        record.on(search(1), connected(zk(2))).on(search(1), replied(txn(1, 7).zxid));
        record.assert_fails(
            "session.monotonic",
            "session 0x9 was shown 0x100000007 by zk-2 (getData), after 0x100000008 by zk-1 at",
        );
    }

    #[test]
    fn id_that_is_given_twice_fails() {
        let opened = |counter| E::SessionOpened {
            session: SessionId(9),
            zxid: txn(1, counter).zxid,
            timeout_ms: 4_000,
        };
        let mut record = Record::default();
        record.on(zk(1), opened(3)).on(zk(2), opened(3));
        record.assert_passes("session.unique");
        record.on(zk(1), opened(4));
        record.assert_fails(
            "session.unique",
            "session 0x9 is opened by 0x100000004, and was by 0x100000003 before",
        );
    }

    #[test]
    fn header_of_zero_is_ignored() {
        let mut record = Record::default();
        for zxid in [txn(1, 8).zxid, Zxid(0), txn(1, 8).zxid] {
            record.on(search(1), replied(zxid));
        }
        record.assert_passes("session.monotonic");
    }
}
