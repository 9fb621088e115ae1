//! Usurped — decides when a node may count on a session that somebody else has ended. It never judges a get.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::verdict::Point,
    event::{Event, EventKind},
    name::{HostId, SessionId},
};

/// The spans during which some node cannot know that its session is over, and answers by its lease. Whoever has id and
/// password of a session can close it before its timeout (ZooKeeper's FAQ, how to expire a session in a test): a lease
/// that counts on the timeout is good for nothing then, until its owner hears of it.
#[derive(Debug, Default)]
pub(super) struct Usurped {
    by_lease: bool,
    owners: BTreeMap<SessionId, HostId>,
    /// Sessions that ended for silence, by the rules.
    expired: BTreeSet<SessionId>,
    /// Of a node's session, from its end until the node knows.
    open: BTreeMap<HostId, (SessionId, Point)>,
    spans: Vec<(Point, Point)>,
}

impl Usurped {
    /// Reads the next event.
    pub(super) fn observe(&mut self, event: &Event) {
        match (&event.kind, event.host) {
            (EventKind::RunStarted { read_policy, .. }, _) => self.by_lease = &**read_policy == "lease",
            (EventKind::NodeRegistered { session }, Some(host)) => {
                self.knows(host, event);
                self.owners.insert(*session, host);
            }
            (EventKind::SessionExpired { session }, _) => _ = self.expired.insert(*session),
            (EventKind::SessionClosed { session, .. }, _) if !self.expired.contains(session) => {
                // Each server applies it: the first counts.
                if let Some(owner) = self.owners.remove(session) {
                    self.open.insert(owner, (*session, event.into()));
                }
            }
            (EventKind::ClientExpired { session }, Some(host)) if self.counts_on(host, *session) => {
                self.knows(host, event);
            }
            (EventKind::HostCrashed { .. }, Some(host)) => self.knows(host, event),
            _ => {}
        }
    }

    fn counts_on(&self, host: HostId, session: SessionId) -> bool {
        self.open.get(&host).is_some_and(|(open, _)| *open == session)
    }

    fn knows(&mut self, host: HostId, event: &Event) {
        self.spans.extend(self.open.remove(&host).map(|(_, since)| (since, event.into())));
    }

    /// Whether a get between these points may have been answered by such a node.
    pub(super) fn excuses(&self, sent: Point, at: Point) -> bool {
        let ended = self.spans.iter().any(|(from, to)| *from <= at && sent <= *to);
        self.by_lease && (ended || self.open.values().any(|(_, from)| *from <= at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search, txn, zk},
        event::EventKind as E,
    };

    const SESSION: SessionId = SessionId(9);

    fn registered(read_policy: &'static str) -> Record {
        let mut record = Record::healthy();
        record.events.truncate(1);
        if let E::RunStarted { read_policy: policy, .. } = &mut record.events[0].kind {
            *policy = read_policy.into();
        }
        record.on(search(1), E::NodeRegistered { session: SESSION });
        record
    }

    fn closed() -> E {
        E::SessionClosed { session: SESSION, zxid: txn(1, 1).zxid }
    }

    /// Whether a get now is excused.
    fn excuses(record: &Record) -> bool {
        let mut usurped = Usurped::default();
        let events = record.numbered();
        events.iter().for_each(|event| usurped.observe(event));
        let now = Point::from(events.last().unwrap());
        let later = Point { seq: now.seq + 1, ..now };
        usurped.excuses(later, later)
    }

    #[test]
    fn node_whose_session_was_closed_is_excused_until_it_hears_dies_or_registers_anew() {
        let mut record = registered("lease");
        assert!(!excuses(&record));
        record.on(zk(1), closed()).on(zk(2), closed());
        assert!(excuses(&record));
        let ends = [
            E::ClientExpired { session: SESSION },
            E::HostCrashed { power: false },
            E::NodeRegistered { session: SessionId(10) },
        ];
        for end in ends {
            let mut record = record.clone();
            record.on(search(1), end).on(zk(3), closed());
            assert!(!excuses(&record));
        }
    }

    #[test]
    fn nobody_is_excused_by_a_timeout_nor_without_leases() {
        let mut record = registered("lease");
        record.on(zk(1), E::SessionExpired { session: SESSION }).on(zk(1), closed());
        assert!(!excuses(&record));
        let mut record = registered("primary");
        record.on(zk(1), closed());
        assert!(!excuses(&record));
    }
}
