//! Order — decides whether every server applies the committed transactions, all of them, in one order. It
//! never compares contents.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind},
    name::{HostId, Zxid},
};

pub(super) const ORDER: Law = Law {
    name: "zab.order",
    sentence: "Every server applies the committed transactions in the order of their zxids and leaves none out; a \
               server that serves applies nothing that is not committed.",
    source: "Zab (DSN 2011) §III, total order, prefix and integrity; ZOOKEEPER-2355, ZOOKEEPER-4785, ZOOKEEPER-4925",
    monitor: || Box::<Order>::default(),
};

/// Allowed: a server that does not serve may apply what no quorum has yet. It does so when it reloads its
/// own log, uncommitted tail included, and when a leader that is not established yet brings it level
/// (`Learner.syncWithLeader` applies at NEWLEADER). Such a tail can be truncated later, which resets its
/// position. Clients do not see it, for the server answers them only after UPTODATE.
#[derive(Default)]
struct Order {
    committed: BTreeSet<Zxid>,
    servers: BTreeMap<HostId, Server>,
}

/// What one server has applied since its picture was last replaced as a whole.
#[derive(Default)]
struct Server {
    base: Zxid,
    applied: Vec<Zxid>,
    serves: bool,
}

impl Server {
    fn position(&self) -> Zxid {
        self.applied.last().copied().unwrap_or(self.base)
    }

    fn reset(&mut self, base: Zxid) {
        *self = Self { base, applied: Vec::new(), serves: false };
    }

    fn lacks(&self, zxid: Zxid) -> bool {
        self.base < zxid && zxid < self.position() && self.applied.binary_search(&zxid).is_err()
    }
}

impl Order {
    fn commit(&mut self, event: &Event, zxid: Zxid) -> Judged {
        if !self.committed.insert(zxid) {
            return Ok(());
        }
        match self.servers.iter().find(|(_, server)| server.lacks(zxid)) {
            None => Ok(()),
            Some((host, server)) => broken(
                event,
                format!("{zxid} is committed, but {host} has applied up to {} without it", server.position()),
            ),
        }
    }

    fn apply(&mut self, event: &Event, host: HostId, zxid: Zxid) -> Judged {
        let server = self.servers.entry(host).or_default();
        let last = server.position();
        if zxid <= last {
            return broken(event, format!("{host} applied {zxid} when it had applied {last} already"));
        }
        let between = (std::ops::Bound::Excluded(last), std::ops::Bound::Excluded(zxid));
        if let Some(left_out) = self.committed.range(between).next() {
            return broken(
                event,
                format!(
                    "{host} applied {zxid} right after {last} and left out {left_out}, which is committed"
                ),
            );
        }
        if server.serves && !self.committed.contains(&zxid) {
            return broken(event, format!("{host} serves and applied {zxid}, which is not committed"));
        }
        server.applied.push(zxid);
        Ok(())
    }

    fn serve(&mut self, host: HostId, serves: bool) -> Judged {
        self.servers.entry(host).or_default().serves = serves;
        Ok(())
    }
}

impl Monitor for Order {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::TxnApplied { zxid, .. } => self.apply(event, host, *zxid),
            EventKind::TxnCommitted { zxid, .. } => self.commit(event, *zxid),
            EventKind::LeaderEstablished { history, .. } => {
                history.iter().try_for_each(|txn| self.commit(event, txn.zxid))?;
                self.serve(host, true)
            }
            EventKind::FollowerSynced { .. } => self.serve(host, true),
            EventKind::RoleLost { .. } | EventKind::ElectionStarted { .. } => self.serve(host, false),
            EventKind::ServerRestored { zxid, .. }
            | EventKind::LogTruncated { zxid, .. }
            | EventKind::SnapshotInstalled { zxid, .. } => {
                self.servers.entry(host).or_default().reset(*zxid);
                Ok(())
            }
            kind if is_new_life(kind) => self.serve(host, false),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            record::{Record, txn, zk},
            verdict::Verdict,
        },
        event::{EventKind as E, SyncMode},
        name::Epoch,
    };

    fn applied_on(host: HostId) -> impl Fn(&Event) -> bool {
        move |event| event.host == Some(host) && matches!(event.kind, E::TxnApplied { .. })
    }

    #[test]
    fn server_that_leaves_a_committed_transaction_out_fails() {
        let mut record = Record::healthy();
        let index = record.index(3, applied_on(zk(1)));
        record.events.remove(index);
        record.assert_fails(
            "zab.order",
            "zk-1 applied 0x100000005 right after 0x100000003 and left out 0x100000004",
        );
    }

    #[test]
    fn server_that_applies_twice_fails() {
        let mut record = Record::healthy();
        let index = record.index(3, applied_on(zk(1)));
        record.duplicate(index);
        record.assert_fails("zab.order", "zk-1 applied 0x100000004 when it had applied 0x100000004 already");
    }

    #[test]
    fn serving_server_that_applies_before_the_commit_fails() {
        let mut record = Record::healthy();
        let commit = record.index(3, |event| matches!(event.kind, E::TxnCommitted { .. }));
        record.events.remove(commit);
        record.assert_fails("zab.order", "serves and applied 0x100000004, which is not committed");
    }

    #[test]
    fn transaction_committed_behind_what_a_server_applied_fails() {
        let mut record = Record::default();
        let (early, late) = (txn(1, 1), txn(1, 2));
        record.on(zk(1), E::TxnApplied { zxid: late.zxid, digest: late.digest });
        record.on(zk(2), E::TxnCommitted { zxid: early.zxid, digest: early.digest });
        record.assert_fails(
            "zab.order",
            "0x100000001 is committed, but zk-1 has applied up to 0x100000002 without it",
        );
    }

    /// `Learner.syncWithLeader`: what a leader that never gets established has sent is applied, then cut.
    #[test]
    fn uncommitted_tail_of_a_server_that_does_not_serve_is_allowed() {
        let mut record = Record::default();
        let (lost, kept) = (txn(1, 5), txn(2, 1));
        record.on(zk(1), E::TxnApplied { zxid: lost.zxid, digest: lost.digest });
        let zxid = txn(1, 4).zxid;
        record.on(zk(1), E::LogTruncated { zxid, sessions: vec![], ephemerals: vec![] });
        record.on(zk(2), E::LeaderEstablished { epoch: Epoch(2), history: vec![] });
        record.on(zk(1), E::FollowerSynced { leader: zk(2), epoch: Epoch(2), mode: SyncMode::Trunc, zxid });
        record.on(zk(2), E::TxnCommitted { zxid: kept.zxid, digest: kept.digest });
        record.on(zk(1), E::TxnApplied { zxid: kept.zxid, digest: kept.digest });
        assert_eq!(record.verdict("zab.order"), Verdict::Pass);
    }
}
