//! Committed — decides, from the record alone, which proposals have become part of the one history, in its
//! order. It never judges a proposal.
//!
//! A proposal is committed when its leader says so, or when a leader is established whose history holds it;
//! one that a later leader begins without is dead. An established leader tells the end of its history
//! only: what is older than its first entry was decided before.

use std::collections::BTreeMap;

use crate::{
    event::{Change, Event, EventKind, TxnRef},
    name::{Epoch, HostId, SessionId, Zxid},
};

/// A transaction as its leader has proposed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) zxid: Zxid,
    pub(super) session: SessionId,
    pub(super) xid: i32,
    pub(super) op: String,
    pub(super) changes: Vec<Change>,
}

/// What is proposed, and not yet known to be committed or dead.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pending: BTreeMap<Zxid, Proposal>,
    /// The end of each server's log when it last began to look for a leader.
    ends: BTreeMap<HostId, Zxid>,
    newest: Epoch,
    last: Zxid,
}

impl Committed {
    /// Reads the next event. The transactions that it shows to be committed, in their order.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<Proposal> {
        match (&event.kind, event.host) {
            (EventKind::TxnProposed { zxid, session, xid, op, changes, .. }, _) => {
                if zxid.epoch() >= self.newest && *zxid > self.last {
                    let (op, changes) = (op.to_string(), changes.clone());
                    let proposal = Proposal { zxid: *zxid, session: *session, xid: *xid, op, changes };
                    self.pending.insert(*zxid, proposal);
                }
                Vec::new()
            }
            (EventKind::TxnCommitted { zxid, .. }, _) => self.up_to(*zxid),
            (EventKind::ServerRestored { zxid, .. }, Some(host)) => {
                self.ends.insert(host, *zxid);
                Vec::new()
            }
            (EventKind::LeaderEstablished { epoch, history }, Some(host)) => {
                self.establish(host, *epoch, history)
            }
            _ => Vec::new(),
        }
    }

    fn up_to(&mut self, zxid: Zxid) -> Vec<Proposal> {
        let mut found = Vec::new();
        while let Some(first) = self.pending.first_entry()
            && *first.key() <= zxid
        {
            found.push(first.remove());
        }
        self.last = self.last.max(zxid);
        found
    }

    fn establish(&mut self, host: HostId, epoch: Epoch, history: &[TxnRef]) -> Vec<Proposal> {
        if epoch < self.newest {
            return Vec::new();
        }
        self.newest = epoch;
        let told = |zxid: Zxid| history.binary_search_by_key(&zxid, |txn| txn.zxid).is_ok();
        let first = history.first().map(|txn| txn.zxid);
        let end = history.last().map(|txn| txn.zxid).or(self.ends.get(&host).copied()).unwrap_or_default();
        self.pending
            .retain(|zxid, _| *zxid <= end && (first.is_none_or(|first| *zxid < first) || told(*zxid)));
        self.up_to(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, proposed, txn, zk},
        event::EventKind as E,
    };

    fn after(record: &Record) -> Vec<Zxid> {
        let mut committed = Committed::default();
        record.events.iter().flat_map(|event| committed.observe(event)).map(|txn| txn.zxid).collect()
    }

    fn established(epoch: u32, history: &[TxnRef]) -> E {
        E::LeaderEstablished { epoch: Epoch(epoch), history: history.to_vec() }
    }

    fn three_proposals() -> Record {
        let mut record = Record::default();
        (1..=3).for_each(|counter| _ = record.on(zk(1), proposed(txn(1, counter), vec![])));
        let first = txn(1, 1);
        record.on(zk(1), E::TxnCommitted { zxid: first.zxid, digest: first.digest });
        record
    }

    #[test]
    fn new_leaders_history_commits_what_it_holds_and_buries_the_rest() {
        let mut record = three_proposals();
        assert_eq!(after(&record), [txn(1, 1).zxid]);
        record.on(zk(2), established(2, &[txn(1, 1), txn(1, 2)]));
        let (late, next) = (txn(1, 4), txn(2, 1));
        record.on(zk(1), proposed(late, vec![])).on(zk(2), proposed(next, vec![]));
        record.on(zk(2), E::TxnCommitted { zxid: next.zxid, digest: next.digest });
        assert_eq!(after(&record), [txn(1, 1).zxid, txn(1, 2).zxid, next.zxid]);
    }

    #[test]
    fn leader_without_a_window_has_what_its_log_ended_with() {
        let mut record = three_proposals();
        let (accepted_epoch, current_epoch) = (Epoch(1), Epoch(1));
        let (zxid, sessions, ephemerals) = (txn(1, 2).zxid, vec![], vec![]);
        record.on(zk(2), E::ServerRestored { zxid, accepted_epoch, current_epoch, sessions, ephemerals });
        record.on(zk(2), established(2, &[]));
        assert_eq!(after(&record), [txn(1, 1).zxid, txn(1, 2).zxid]);
    }
}
