//! Ephemerals — decides, server by server, whether an ephemeral znode lives exactly as long as its session.
//! It never says when a session should end.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, listed},
    },
    event::{Ephemeral, Event, EventKind},
    name::{HostId, SessionId, Zxid},
};

pub(super) const EPHEMERALS: Law = Law {
    name: "session.ephemerals",
    sentence: "On every server an ephemeral znode is there only between its session's opening and closing; the closing \
               removes all of them in its own transaction, and nothing but that or a delete removes one.",
    source: "ZooKeeper programmer's guide, ephemeral nodes; CloseSessionTxn; ZOOKEEPER-1208, ZOOKEEPER-1496, \
             ZOOKEEPER-3144, ZOOKEEPER-4837",
    monitor: || Box::<Ephemerals>::default(),
};

/// The events of one transaction may come in any order among themselves, so a closing is judged when the
/// server goes on to the next transaction. A crash in between leaves it unjudged: what the disk then holds
/// is a new picture, and that is judged as a whole.
#[derive(Default)]
struct Ephemerals {
    servers: BTreeMap<HostId, Picture>,
    ended: bool,
}

/// What one server's database holds.
#[derive(Default)]
struct Picture {
    sessions: BTreeSet<SessionId>,
    owners: BTreeMap<String, SessionId>,
    zxid: Zxid,
    closed: Vec<(SessionId, Point)>,
    deleted: Vec<(String, SessionId, Point)>,
}

impl Picture {
    fn new(sessions: &[SessionId], ephemerals: &[Ephemeral]) -> Self {
        let owners = ephemerals.iter().map(|node| (node.path.clone(), node.session));
        Self { sessions: sessions.iter().copied().collect(), owners: owners.collect(), ..Self::default() }
    }

    /// An ephemeral whose owner has no session here.
    fn orphan(&self) -> Option<(&String, SessionId)> {
        let orphan = self.owners.iter().find(|(_, owner)| !self.sessions.contains(owner))?;
        Some((orphan.0, *orphan.1))
    }

    /// The server comes to this transaction: the one before is complete and can be judged.
    fn turn_to(&mut self, host: HostId, zxid: Zxid) -> Judged {
        if zxid == self.zxid {
            return Ok(());
        }
        self.zxid = zxid;
        let (closed, deleted) = (std::mem::take(&mut self.closed), std::mem::take(&mut self.deleted));
        for (session, at) in &closed {
            let left: Vec<_> = self.owners.iter().filter(|(_, owner)| *owner == session).collect();
            if !left.is_empty() {
                let paths = listed(left.iter().map(|(path, _)| (*path).clone()), 3);
                return broken(
                    *at,
                    format!("{host} closed session {session} and kept its ephemerals {paths}"),
                );
            }
        }
        if closed.is_empty() {
            return Ok(());
        }
        match deleted.iter().find(|(_, owner, _)| closed.iter().all(|(session, _)| session != owner)) {
            None => Ok(()),
            Some((path, owner, at)) => broken(
                *at,
                format!("{host} removed {path} of session {owner} when it closed session {}", closed[0].0),
            ),
        }
    }

    fn create(&mut self, host: HostId, event: &Event, path: &str, session: SessionId) -> Judged {
        if !self.sessions.contains(&session) {
            return broken(
                event,
                format!("{host} made the ephemeral {path} for session {session}, which is not open"),
            );
        }
        self.owners.insert(path.to_owned(), session);
        Ok(())
    }

    fn delete(&mut self, host: HostId, event: &Event, path: &str, session: SessionId) -> Judged {
        match self.owners.remove(path) {
            Some(owner) if owner == session => {
                self.deleted.push((path.to_owned(), session, event.into()));
                Ok(())
            }
            Some(owner) => broken(
                event,
                format!("{host} removed {path} as session {session}'s, but it is session {owner}'s"),
            ),
            None => broken(
                event,
                format!("{host} removed the ephemeral {path} of session {session}, which was not there"),
            ),
        }
    }
}

impl Ephemerals {
    fn replace(
        &mut self,
        host: HostId,
        event: &Event,
        sessions: &[SessionId],
        nodes: &[Ephemeral],
    ) -> Judged {
        let picture = Picture::new(sessions, nodes);
        if let Some((path, owner)) = picture.orphan() {
            return broken(
                event,
                format!("{host} holds the ephemeral {path} of session {owner}, which is not in its database"),
            );
        }
        self.servers.insert(host, picture);
        Ok(())
    }

    fn apply(&mut self, host: HostId, event: &Event, zxid: Zxid) -> Judged {
        let picture = self.servers.entry(host).or_default();
        picture.turn_to(host, zxid)?;
        match &event.kind {
            EventKind::SessionOpened { session, .. } => {
                picture.sessions.insert(*session);
                Ok(())
            }
            EventKind::SessionClosed { session, .. } => {
                picture.sessions.remove(session);
                picture.closed.push((*session, event.into()));
                Ok(())
            }
            EventKind::EphemeralCreated { path, session, .. } => picture.create(host, event, path, *session),
            EventKind::EphemeralDeleted { path, session, .. } => picture.delete(host, event, path, *session),
            _ => Ok(()),
        }
    }
}

impl Monitor for Ephemerals {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else {
            self.ended |= event.kind == EventKind::RunEnded;
            return Ok(());
        };
        match &event.kind {
            EventKind::ServerRestored { sessions, ephemerals, .. }
            | EventKind::LogTruncated { sessions, ephemerals, .. }
            | EventKind::SnapshotInstalled { sessions, ephemerals, .. } => {
                self.replace(host, event, sessions, ephemerals)
            }
            EventKind::TxnApplied { zxid, .. }
            | EventKind::SessionOpened { zxid, .. }
            | EventKind::SessionClosed { zxid, .. }
            | EventKind::EphemeralCreated { zxid, .. }
            | EventKind::EphemeralDeleted { zxid, .. } => self.apply(host, event, *zxid),
            kind if is_new_life(kind) => {
                self.servers.remove(&host);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Judged {
        if !self.ended {
            return Ok(());
        }
        let end = Zxid(u64::MAX);
        self.servers.iter_mut().try_for_each(|(host, picture)| picture.turn_to(*host, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, zk},
        event::EventKind as E,
    };

    const LAW: &str = "session.ephemerals";

    fn first_close(record: &Record) -> usize {
        record.index(0, |event| matches!(event.kind, E::SessionClosed { .. }))
    }

    #[test]
    fn closing_that_keeps_an_ephemeral_fails() {
        let mut record = Record::healthy();
        let deleted = record.index(0, |event| matches!(event.kind, E::EphemeralDeleted { .. }));
        record.events.remove(deleted);
        record.assert_fails(LAW, "zk-1 closed session 0x1 and kept its ephemerals /nodes/search-1");
    }

    #[test]
    fn ephemeral_made_after_the_closing_fails() {
        let mut record = Record::healthy();
        let index = record.index(0, |event| matches!(event.kind, E::RunEnded));
        let zxid = Zxid(u64::MAX - 1);
        let made = E::EphemeralCreated { path: "/nodes/late".into(), session: SessionId(1), zxid };
        record.insert(index, zk(1), made);
        record.assert_fails(LAW, "zk-1 made the ephemeral /nodes/late for session 0x1, which is not open");
    }

    #[test]
    fn ephemeral_removed_with_another_session_fails() {
        let mut record = Record::healthy();
        let index = first_close(&record);
        let E::SessionClosed { zxid, .. } = record.events[index].kind else { unreachable!("just found") };
        let gone = E::EphemeralDeleted { path: "/nodes/search-2".into(), session: SessionId(2), zxid };
        let host = record.events[index].host.unwrap();
        record.insert(index + 1, host, gone);
        record.assert_fails(LAW, "zk-1 removed /nodes/search-2 of session 0x2 when it closed session 0x1");
    }

    #[test]
    fn ephemeral_removed_twice_fails() {
        let mut record = Record::healthy();
        let index = record.index(0, |event| matches!(event.kind, E::EphemeralDeleted { .. }));
        record.duplicate(index);
        record.assert_fails(
            LAW,
            "zk-1 removed the ephemeral /nodes/search-1 of session 0x1, which was not there",
        );
    }

    #[test]
    fn ephemeral_without_session_in_a_restored_database_fails() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(3, |kind| matches!(kind, E::ServerRestored { .. }));
        if let E::ServerRestored { ephemerals, .. } = at {
            ephemerals.push(Ephemeral { path: "/nodes/old".into(), session: SessionId(77) });
        }
        record.assert_fails(
            LAW,
            "zk-3 holds the ephemeral /nodes/old of session 0x4d, which is not in its database",
        );
    }

    #[test]
    fn crash_in_the_middle_of_a_closing_is_allowed() {
        let mut record = Record::healthy();
        let index = first_close(&record);
        record.events.truncate(index + 1);
        let host = record.events[index].host.unwrap();
        record.on(host, E::HostCrashed { power: true }).world(E::RunEnded);
        record.assert_passes(LAW);
    }
}
