//! Durability — decides whether a committed transaction can ever be lost. It never looks at what a
//! transaction does.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        held::{Held, Shrunk},
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock, listed},
    },
    event::{Event, EventKind, TxnRef},
    name::{Epoch, HostId, Zxid},
};

pub(super) const COMMIT_QUORUM: Law = Law {
    name: "zab.commit-quorum",
    sentence: "A transaction is committed only when a quorum of servers has it synced to disk.",
    source: "Zab (DSN 2011) §IV, Phase 3: f accepts a proposal by writing it to stable storage before its ACK; \
             ZOOKEEPER-3911, ZOOKEEPER-4646",
    monitor: || Box::<CommitQuorum>::default(),
};

pub(super) const DURABLE: Law = Law {
    name: "zab.durable",
    sentence: "No committed transaction is lost: every later leader's history holds it, and a quorum of disks keeps it.",
    source: "Zab (DSN 2011) §IV, leader completeness by Phase 1 (the history of the newest epoch, then the longest); \
             ZOOKEEPER-2355, ZOOKEEPER-4643, ZOOKEEPER-4837",
    monitor: || Box::<Durable>::default(),
};

/// Acknowledgements that an old leader reads late commit nothing that a quorum has not on disk, so a commit
/// noted after the next leader's establishment is judged alike. A server that its leader is just bringing
/// level counts for what it had before, see [`Durable`]. So does one whose disk is lost after it acknowledged,
/// until it starts again: its acknowledgement is on its way.
#[derive(Default)]
struct CommitQuorum {
    held: Held,
}

impl Monitor for CommitQuorum {
    fn observe(&mut self, event: &Event) -> Judged {
        if event.kind != EventKind::DiskWiped {
            self.held.observe(event);
        }
        let EventKind::TxnCommitted { zxid, .. } = &event.kind else { return Ok(()) };
        let Some(holders) = self.held.too_few(*zxid) else { return Ok(()) };
        broken(
            event,
            format!(
                "{zxid} is committed, but is synced only on {} of {} servers ({})",
                holders.len(),
                self.held.voters().len(),
                names(&holders)
            ),
        )
    }
}

fn names(hosts: &[HostId]) -> String {
    if hosts.is_empty() { "none".into() } else { listed(hosts.iter().map(HostId::to_string), 7) }
}

/// An established leader commits its whole initial history: a quorum has acknowledged NEWLEADER on top of
/// it (Zab §IV, Phase 2).
///
/// When a truncation is a loss: Zab's follower replaces its history by the leader's in one step;
/// ZooKeeper cuts the log first and then sends the rest. So between LogTruncated (or SnapshotInstalled) and
/// FollowerSynced a server may lack committed transactions that it had, for they are on their way to it
/// again (`LearnerHandler.syncFollower`: TRUNC, then the outstanding proposals). It is a loss once the
/// server is level, back in election or restarted without them, and fewer than a quorum of disks are left
/// that hold them: then a leader without them can be elected.
///
/// A disk that is replaced is no server's doing: ZooKeeper promises that what it acknowledged survives
/// crashes that leave a quorum of disks. It is a loss once a leader is established without it.
///
/// The history of LeaderEstablished is a window (the last 500): what is older than its first transaction is
/// not judged by it. A leader established late, after a newer epoch, is asked only for epochs before its
/// own.
#[derive(Default)]
struct Durable {
    held: Held,
    committed: BTreeSet<Zxid>,
    leaders: BTreeMap<Epoch, Leader>,
}

struct Leader {
    host: HostId,
    since: Point,
    history: Vec<Zxid>,
    /// The last transaction on its disk when it was established; counts if the window is empty.
    last: Zxid,
}

impl Leader {
    fn lacks(&self, zxid: Zxid) -> bool {
        match self.history.first() {
            Some(first) => zxid >= *first && self.history.binary_search(&zxid).is_err(),
            None => zxid > self.last,
        }
    }
}

impl Durable {
    /// The oldest of these that a leader of a later epoch lacks.
    fn missed(&self, zxids: impl Iterator<Item = Zxid>) -> Option<(Zxid, Epoch, &Leader)> {
        let mut misses = zxids.filter_map(|zxid| {
            let later = self.leaders.range(zxid.epoch().0.checked_add(1).map(Epoch)?..);
            later.map(|(epoch, leader)| (zxid, *epoch, leader)).find(|(zxid, _, leader)| leader.lacks(*zxid))
        });
        misses.next()
    }

    fn commit(&mut self, event: &Event, zxid: Zxid) -> Judged {
        self.committed.insert(zxid);
        match self.missed(std::iter::once(zxid)) {
            None => Ok(()),
            Some((zxid, epoch, leader)) => broken(
                event,
                format!(
                    "{zxid} is committed, but {}, established in epoch {epoch} at {}, does not have it",
                    leader.host,
                    clock(leader.since.at)
                ),
            ),
        }
    }

    fn establish(&mut self, event: &Event, host: HostId, epoch: Epoch, history: &[TxnRef]) -> Judged {
        let mut zxids: Vec<_> = history.iter().map(|txn| txn.zxid).collect();
        zxids.sort_unstable();
        let leader = Leader { host, since: event.into(), last: self.held.last(host), history: zxids };
        let start = leader.history.first().copied().unwrap_or(leader.last);
        let expected = self.committed.range(start..).take_while(|zxid| zxid.epoch() < epoch);
        let lost: Vec<_> = expected.filter(|zxid| leader.lacks(**zxid)).collect();
        if let Some(first) = lost.first() {
            let end = leader.history.last().unwrap_or(&leader.last);
            return broken(
                event,
                format!(
                    "{host} is established in epoch {epoch} with a history up to {end} that lacks {} committed \
                     transactions, the first {first}",
                    lost.len()
                ),
            );
        }
        self.leaders.insert(epoch, leader);
        history.iter().try_for_each(|txn| self.commit(event, txn.zxid))
    }

    /// A disk lost what is above `to`. The newest committed transaction that was on it is on the fewest
    /// others.
    fn shrink(&self, event: &Event, host: HostId, shrunk: Shrunk) -> Judged {
        let gone = (std::ops::Bound::Excluded(shrunk.to), std::ops::Bound::Included(shrunk.from));
        let Some(zxid) = self.committed.range(gone).next_back() else { return Ok(()) };
        let Some(holders) = self.held.too_few(*zxid) else { return Ok(()) };
        broken(
            event,
            format!(
                "{host} held transactions up to {} and now only up to {}: {zxid}, which is committed, is left on {} of \
                 {} servers ({})",
                shrunk.from,
                shrunk.to,
                holders.len(),
                self.held.voters().len(),
                names(&holders)
            ),
        )
    }
}

impl Monitor for Durable {
    fn observe(&mut self, event: &Event) -> Judged {
        let shrunk = self.held.observe(event);
        let Some(host) = event.host else { return Ok(()) };
        if let Some(shrunk) = shrunk.filter(|_| event.kind != EventKind::DiskWiped) {
            self.shrink(event, host, shrunk)?;
        }
        match &event.kind {
            EventKind::TxnCommitted { zxid, .. } => self.commit(event, *zxid),
            EventKind::LeaderEstablished { epoch, history } => self.establish(event, host, *epoch, history),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, txn, zk},
        event::EventKind as E,
    };

    #[test]
    fn commit_before_a_quorum_has_synced_fails() {
        let mut record = Record::healthy();
        record.events.retain(|event| {
            let logged = matches!(event.kind, E::TxnLogged { zxid, .. } if zxid == txn(1, 4).zxid);
            !logged || event.host == Some(zk(3))
        });
        record.assert_fails(
            "zab.commit-quorum",
            "0x100000004 is committed, but is synced only on 1 of 3 servers (zk-3)",
        );
    }

    /// Its acknowledgement is on its way when the disk is lost.
    #[test]
    fn wiped_disk_counts_for_what_its_server_acknowledged() {
        let mut record = Record::healthy();
        let fourth = txn(1, 4).zxid;
        record.events.retain(|event| {
            let logged = matches!(event.kind, E::TxnLogged { zxid, .. } if zxid == fourth);
            !logged || event.host != Some(zk(1))
        });
        let committed = |event: &Event| matches!(event.kind, E::TxnCommitted { zxid, .. } if zxid == fourth);
        let place = record.index(0, committed);
        record.insert(place, zk(2), E::DiskWiped);
        record.assert_passes("zab.commit-quorum");
    }

    fn second_history(record: &mut Record) -> &mut Vec<TxnRef> {
        match record.nth(1, |kind| matches!(kind, E::LeaderEstablished { .. })) {
            (_, E::LeaderEstablished { history, .. }) => history,
            _ => unreachable!("the record has a second leader"),
        }
    }

    #[test]
    fn new_leader_without_the_last_committed_transaction_fails() {
        let mut record = Record::healthy();
        let last = second_history(&mut record).pop().unwrap();
        record
            .assert_fails("zab.durable", &format!("lacks 1 committed transactions, the first {}", last.zxid));
    }

    #[test]
    fn new_leader_with_a_hole_in_its_history_fails() {
        let mut record = Record::healthy();
        second_history(&mut record).remove(3);
        record.assert_fails("zab.durable", "lacks 1 committed transactions, the first 0x100000004");
    }

    #[test]
    fn window_that_begins_later_is_allowed() {
        let mut record = Record::healthy();
        second_history(&mut record).drain(..3);
        record.assert_passes("zab.durable");
    }

    #[test]
    fn old_leader_that_commits_what_the_new_one_lacks_fails() {
        let mut record = Record::healthy();
        let index = record.index(1, |event| matches!(event.kind, E::LeaderEstablished { .. }));
        let TxnRef { zxid, digest } = txn(1, 900);
        record.insert(index + 1, zk(3), E::TxnCommitted { zxid, digest });
        record.assert_fails("zab.durable", "0x100000384 is committed, but zk-2, established in epoch 2");
    }

    #[test]
    fn quorum_of_disks_that_loses_a_committed_transaction_fails() {
        let mut record = Record::healthy();
        let end = record.events.len() - 1;
        for (host, fails) in [(zk(1), false), (zk(2), true)] {
            let restored = E::ServerRestored {
                zxid: txn(2, 1).zxid,
                accepted_epoch: Epoch(2),
                current_epoch: Epoch(2),
                sessions: vec![],
                ephemerals: vec![],
            };
            record.insert(end, host, restored);
            record.insert(end, host, E::HostStarted { incarnation: 2 });
            if fails {
                record.assert_fails("zab.durable", "is left on 1 of 3 servers (zk-3)");
            } else {
                record.assert_passes("zab.durable");
            }
        }
    }
}
