//! Held — decides, from the record alone, which transactions are on which server's disk. It never judges
//! whether they should be.
//!
//! One number a server is enough: Zab gives every log the prefix property, so a server that has a
//! transaction on disk has every one before it of the same line. Where a server's log has left the line
//! (its tail is uncommitted and will be cut), the committed part of the line is still a prefix.

use std::collections::BTreeMap;

use crate::{
    check::hosts::is_new_life,
    event::{Event, EventKind},
    name::{HostId, Zxid},
};

/// What every server's disk holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    voters: usize,
    disks: BTreeMap<HostId, Disk>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Disk {
    /// The last transaction in log or snapshot.
    last: Zxid,
    /// While it is being brought level: the last one it had before its leader cut or replaced its log.
    before_sync: Zxid,
}

impl Disk {
    fn reach(self) -> Zxid {
        self.last.max(self.before_sync)
    }

    fn rewind(&mut self, zxid: Zxid) {
        *self = Self { last: zxid, before_sync: self.reach() };
    }
}

/// A server's disk holds less than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shrunk {
    /// The last transaction it held.
    pub(super) from: Zxid,
    /// The last one it holds.
    pub(super) to: Zxid,
}

impl Held {
    /// Reads the next event. What the server's disk lost by it, if anything.
    pub(super) fn observe(&mut self, event: &Event) -> Option<Shrunk> {
        if let EventKind::RunStarted { servers, .. } = &event.kind {
            self.voters = servers.len();
        }
        let disk = self.disks.entry(event.host?).or_default();
        let from = disk.reach();
        match &event.kind {
            EventKind::TxnLogged { zxid, .. } => disk.last = disk.last.max(*zxid),
            EventKind::LogTruncated { zxid, .. } | EventKind::SnapshotInstalled { zxid, .. } => {
                disk.rewind(*zxid)
            }
            EventKind::ServerRestored { zxid, .. } => *disk = Disk { last: *zxid, before_sync: Zxid(0) },
            EventKind::FollowerSynced { .. } | EventKind::LeaderEstablished { .. } => {
                disk.before_sync = Zxid(0)
            }
            kind if is_new_life(kind) => disk.before_sync = Zxid(0),
            _ => return None,
        }
        let to = disk.reach();
        (to < from).then_some(Shrunk { from, to })
    }

    /// The last transaction on this server's disk.
    pub(super) fn last(&self, host: HostId) -> Zxid {
        self.disks.get(&host).copied().unwrap_or_default().last
    }

    /// The servers whose disks hold this transaction, or will again as soon as the sync under way is done.
    pub(super) fn holders(&self, zxid: Zxid) -> Vec<HostId> {
        self.disks.iter().filter(|(_, disk)| disk.reach() >= zxid).map(|(host, _)| *host).collect()
    }

    /// How many servers decide.
    pub(super) fn quorum(&self) -> usize {
        self.voters / 2 + 1
    }

    /// How many servers vote; 0 if the record does not say.
    pub(super) fn voters(&self) -> usize {
        self.voters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, txn, zk},
        event::{EventKind as E, SyncMode},
        name::Epoch,
    };

    fn after(record: &Record) -> Held {
        let mut held = Held::default();
        record.events.iter().for_each(|event| _ = held.observe(event));
        held
    }

    fn truncated() -> Record {
        let mut record = Record::default();
        let (kept, cut) = (txn(1, 1), txn(1, 2));
        record.on(zk(1), E::TxnLogged { zxid: kept.zxid, digest: kept.digest });
        record.on(zk(1), E::TxnLogged { zxid: cut.zxid, digest: cut.digest });
        record.on(zk(1), E::LogTruncated { zxid: kept.zxid, sessions: vec![], ephemerals: vec![] });
        record
    }

    #[test]
    fn server_in_sync_still_holds_what_its_leader_sends_again() {
        let held = after(&truncated());
        assert_eq!(held.holders(txn(1, 2).zxid), [zk(1)]);
        assert_eq!(held.last(zk(1)), txn(1, 1).zxid);
    }

    #[test]
    fn server_that_is_level_or_dead_without_it_holds_it_no_more() {
        let zxid = txn(1, 1).zxid;
        let synced = E::FollowerSynced { leader: zk(2), epoch: Epoch(1), mode: SyncMode::Trunc, zxid };
        for end in [synced, E::HostCrashed { power: true }] {
            let mut record = truncated();
            record.on(zk(1), end);
            let held = after(&record);
            assert!(held.holders(txn(1, 2).zxid).is_empty());
            assert_eq!(held.holders(txn(1, 1).zxid), [zk(1)]);
        }
    }
}
