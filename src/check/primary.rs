//! Primary order — decides whether transactions come from whom they may, and in which order. It never looks
//! at disks.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock},
    },
    event::{Event, EventKind, TxnRef},
    name::{Epoch, HostId, Zxid},
};

pub(super) const LOCAL_ORDER: Law = Law {
    name: "zab.primary-order",
    sentence: "The transactions of an epoch are proposed by its established leader alone, numbered one by one from 1.",
    source: "Zab (DSN 2011) §III, local primary order: a primary's transactions are delivered in the order in which it \
             broadcast them; §IV, Phase 3: a leader broadcasts once it is established",
    monitor: || Box::<LocalOrder>::default(),
};

pub(super) const PRIMARY_INTEGRITY: Law = Law {
    name: "zab.primary-integrity",
    sentence: "Nothing of an earlier epoch is delivered that an established leader of a later epoch does not begin with.",
    source: "Zab (DSN 2011) §III, global primary order and primary integrity; ZOOKEEPER-335, ZOOKEEPER-1154",
    monitor: || Box::<PrimaryIntegrity>::default(),
};

pub(super) const INTEGRITY: Law = Law {
    name: "zab.integrity",
    sentence: "What is logged, committed, applied or in a leader's history was proposed.",
    source: "Zab (DSN 2011) §III, integrity: what is delivered was broadcast by a primary",
    monitor: || Box::<Integrity>::default(),
};

/// With LOCAL_ORDER, `zab.order` gives global order: servers apply in the order of zxids, and an epoch
/// stands above its numbers. A leader that has lost its quorum and does not know it yet may still propose:
/// nothing of that gets committed, but it is numbered as the rest.
#[derive(Default)]
struct LocalOrder {
    leaders: BTreeMap<Epoch, HostId>,
    last: BTreeMap<Epoch, u32>,
}

impl LocalOrder {
    fn propose(&mut self, event: &Event, host: HostId, zxid: Zxid) -> Judged {
        let epoch = zxid.epoch();
        let leader = self.leaders.get(&epoch);
        if leader != Some(&host) {
            let known = leader.map_or("nobody leads".to_owned(), |leader| format!("{leader} leads"));
            return broken(event, format!("{host} proposed {zxid}, but in epoch {epoch} {known}"));
        }
        let last = self.last.insert(epoch, zxid.counter()).unwrap_or(0);
        if zxid.counter().checked_sub(1) == Some(last) {
            return Ok(());
        }
        broken(event, format!("{host} proposed {zxid} after {}", Zxid::new(epoch, last)))
    }

    /// A leader that has given its role up must not go on in its epoch.
    fn resign(&mut self, host: HostId) -> Judged {
        self.leaders.retain(|_, leader| *leader != host);
        Ok(())
    }
}

impl Monitor for LocalOrder {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::TxnProposed { zxid, .. } => self.propose(event, host, *zxid),
            EventKind::LeaderEstablished { epoch, .. } => {
                self.leaders.insert(*epoch, host);
                Ok(())
            }
            EventKind::RoleLost { .. } => self.resign(host),
            kind if is_new_life(kind) => self.resign(host),
            _ => Ok(()),
        }
    }
}

/// Allowed: a leader's history is told as a window of its newest 500, and older ones are not asked for.
/// A server that does not serve may hold a tail that later leaders lack: it is in its log, and not delivered
/// (`TxnApplied` tells of committed ones only).
#[derive(Default)]
struct PrimaryIntegrity {
    beginnings: BTreeMap<Epoch, Beginning>,
}

/// What a leader began with.
struct Beginning {
    host: HostId,
    since: Point,
    history: Vec<Zxid>,
}

impl PrimaryIntegrity {
    fn deliver(&self, event: &Event, zxid: Zxid) -> Judged {
        let Some(next) = zxid.epoch().0.checked_add(1) else { return Ok(()) };
        let lacks = |begun: &Beginning| {
            let is_told = begun.history.first().is_some_and(|first| *first <= zxid);
            is_told && begun.history.binary_search(&zxid).is_err()
        };
        match self.beginnings.range(Epoch(next)..).find(|(_, begun)| lacks(begun)) {
            None => Ok(()),
            Some((epoch, begun)) => broken(
                event,
                format!(
                    "{zxid} is delivered, but {}, established in epoch {epoch} at {}, began without it",
                    begun.host,
                    clock(begun.since.at)
                ),
            ),
        }
    }
}

impl Monitor for PrimaryIntegrity {
    fn observe(&mut self, event: &Event) -> Judged {
        match (&event.kind, event.host) {
            (EventKind::TxnApplied { zxid, .. }, _) => self.deliver(event, *zxid),
            (EventKind::LeaderEstablished { epoch, history }, Some(host)) => {
                let mut history: Vec<_> = history.iter().map(|txn| txn.zxid).collect();
                history.sort_unstable();
                self.beginnings.insert(*epoch, Beginning { host, since: event.into(), history });
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// That it is the same transaction is for `zab.agreement`.
#[derive(Default)]
struct Integrity {
    proposed: BTreeSet<Zxid>,
}

impl Integrity {
    fn see(&self, event: &Event, zxid: Zxid, act: &str) -> Judged {
        if self.proposed.contains(&zxid) {
            return Ok(());
        }
        let host = event.host.map_or("nobody".to_owned(), |host| host.to_string());
        broken(event, format!("{host} {act} {zxid}, which no leader has proposed"))
    }
}

impl Monitor for Integrity {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::TxnProposed { zxid, .. } => {
                self.proposed.insert(*zxid);
                Ok(())
            }
            EventKind::TxnLogged { zxid, .. } => self.see(event, *zxid, "logged"),
            EventKind::TxnCommitted { zxid, .. } => self.see(event, *zxid, "committed"),
            EventKind::TxnApplied { zxid, .. } => self.see(event, *zxid, "applied"),
            EventKind::LeaderEstablished { history, .. } => {
                history.iter().try_for_each(|TxnRef { zxid, .. }| self.see(event, *zxid, "begins with"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, proposed, txn, zk},
        event::EventKind as E,
    };

    fn proposals() -> impl Fn(&Event) -> bool {
        |event| matches!(event.kind, E::TxnProposed { .. })
    }

    #[test]
    fn proposal_that_skips_a_number_fails() {
        let mut record = Record::healthy();
        let third = record.index(2, proposals());
        record.events.remove(third);
        record.assert_fails("zab.primary-order", "zk-3 proposed 0x100000004 after 0x100000002");
    }

    #[test]
    fn proposal_by_another_server_fails() {
        let mut record = Record::healthy();
        let third = record.index(2, proposals());
        record.events[third].host = Some(zk(1));
        record.assert_fails("zab.primary-order", "zk-1 proposed 0x100000003, but in epoch 1 zk-3 leads");
    }

    #[test]
    fn leader_that_goes_on_after_it_gave_up_fails() {
        let mut record = Record::healthy();
        let third = record.index(2, proposals());
        record.insert(third, zk(3), E::RoleLost { why: "no quorum".into() });
        record.assert_fails("zab.primary-order", "zk-3 proposed 0x100000003, but in epoch 1 nobody leads");
    }

    /// It does not know yet that another one leads a later epoch.
    #[test]
    fn deposed_leader_may_propose_in_its_own_epoch() {
        let mut record = Record::default();
        record.on(zk(1), E::LeaderEstablished { epoch: Epoch(1), history: vec![] });
        record.on(zk(1), proposed(txn(1, 1), vec![]));
        record.on(zk(2), E::LeaderEstablished { epoch: Epoch(2), history: vec![] });
        record.on(zk(1), proposed(txn(1, 2), vec![])).on(zk(2), proposed(txn(2, 1), vec![]));
        record.assert_passes("zab.primary-order");
    }

    fn late_delivery(history: &[TxnRef]) -> Record {
        let (mut record, late) = (Record::default(), txn(1, 2));
        record.on(zk(2), E::LeaderEstablished { epoch: Epoch(2), history: history.to_vec() });
        record.on(zk(1), E::TxnApplied { zxid: late.zxid, digest: late.digest });
        record
    }

    #[test]
    fn delivery_of_what_a_later_leader_began_without_fails() {
        late_delivery(&[txn(1, 1)]).assert_fails(
            "zab.primary-integrity",
            "0x100000002 is delivered, but zk-2, established in epoch 2 at 0.001 s, began without it",
        );
    }

    #[test]
    fn late_delivery_of_what_the_later_leader_began_with_is_allowed() {
        late_delivery(&[txn(1, 1), txn(1, 2)]).assert_passes("zab.primary-integrity");
        late_delivery(&[txn(1, 3)]).assert_passes("zab.primary-integrity");
    }

    #[test]
    fn transaction_that_nobody_proposed_fails() {
        let mut record = Record::healthy();
        let third = record.index(2, proposals());
        record.events.remove(third);
        record.assert_fails("zab.integrity", "zk-1 logged 0x100000003, which no leader has proposed");
    }
}
