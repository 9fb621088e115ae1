//! Held — decides, from the record alone, which transactions are on which server's disk. It never judges
//! whether they should be.
//!
//! One number a server is enough: Zab gives every log the prefix property, so a server that has a
//! transaction on disk has every one before it of the same line. Where a server's log has left the line
//! (its tail is uncommitted and will be cut), the committed part of the line is still a prefix.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::hosts::is_new_life,
    event::{Event, EventKind},
    name::{HostId, HostKind, Zxid},
};

/// What every server's disk holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    voters: BTreeSet<HostId>,
    /// The reconfiguration that made them voters.
    ensemble: Zxid,
    disks: BTreeMap<HostId, Disk>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Disk {
    /// The last transaction in log or snapshot, synced.
    last: Zxid,
    /// While it is being brought level: the last one it had before its leader cut or replaced its log.
    before_sync: Zxid,
    /// Whether its process has read it, and goes on from what it knows.
    is_read: bool,
}

impl Disk {
    fn reach(self) -> Zxid {
        self.last.max(self.before_sync)
    }

    /// A booting process reads what there is. One that only gave up its role knows its log, of which the
    /// tail may not be synced yet.
    fn restore(&mut self, zxid: Zxid) {
        let last = if self.is_read { self.last.min(zxid) } else { zxid };
        *self = Self { last, before_sync: Zxid(0), is_read: true };
    }

    fn note(&mut self, kind: &EventKind) {
        match kind {
            EventKind::TxnLogged { zxid, .. } => self.last = self.last.max(*zxid),
            EventKind::LogTruncated { zxid, .. } => {
                self.before_sync = self.reach();
                self.last = self.last.min(*zxid);
            }
            EventKind::SnapshotInstalled { zxid, .. } => {
                self.before_sync = self.reach();
                self.last = *zxid;
            }
            EventKind::FollowerSynced { zxid, .. } => self.before_sync = self.before_sync.min(*zxid),
            EventKind::ServerRestored { zxid, .. } => self.restore(*zxid),
            EventKind::DiskWiped => *self = Self::default(),
            kind if is_new_life(kind) => self.is_read = false,
            _ => {}
        }
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
        match &event.kind {
            EventKind::RunStarted { servers, .. } => self.voters = servers.iter().copied().collect(),
            EventKind::EnsembleChanged { zxid, voters, .. } if *zxid > self.ensemble => {
                self.ensemble = *zxid;
                self.voters = voters.iter().copied().collect();
            }
            _ => {}
        }
        let host = event.host.filter(|host| host.kind == HostKind::ZooKeeper)?;
        let disk = self.disks.entry(host).or_default();
        let from = disk.reach();
        disk.note(&event.kind);
        let to = disk.reach();
        (to < from).then_some(Shrunk { from, to })
    }

    /// The last transaction on this server's disk.
    pub(super) fn last(&self, host: HostId) -> Zxid {
        self.disks.get(&host).copied().unwrap_or_default().last
    }

    /// The voters whose disks hold this transaction, or will again as soon as the sync under way is done.
    pub(super) fn holders(&self, zxid: Zxid) -> Vec<HostId> {
        let disks =
            self.disks.iter().filter(|(host, _)| self.voters.is_empty() || self.voters.contains(host));
        disks.filter(|(_, disk)| disk.reach() >= zxid).map(|(host, _)| *host).collect()
    }

    /// The holders of this transaction, if they are no quorum.
    pub(super) fn too_few(&self, zxid: Zxid) -> Option<Vec<HostId>> {
        let holders = self.holders(zxid);
        (!self.voters.is_empty() && !self.is_quorum(holders.len())).then_some(holders)
    }

    /// Whether so many voters decide.
    pub(super) fn is_quorum(&self, count: usize) -> bool {
        count > self.voters.len() / 2
    }

    /// The servers that vote; none if the record does not say.
    pub(super) fn voters(&self) -> &BTreeSet<HostId> {
        &self.voters
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

    fn restored(zxid: Zxid) -> E {
        let (accepted_epoch, current_epoch) = (Epoch(1), Epoch(1));
        E::ServerRestored { zxid, accepted_epoch, current_epoch, sessions: vec![], ephemerals: vec![] }
    }

    #[test]
    fn server_that_is_level_or_back_without_it_holds_it_no_more() {
        let zxid = txn(1, 1).zxid;
        let synced = E::FollowerSynced { leader: zk(2), epoch: Epoch(1), mode: SyncMode::Trunc, zxid };
        for end in [synced, restored(zxid)] {
            let mut record = truncated();
            record.on(zk(1), end);
            let held = after(&record);
            assert!(held.holders(txn(1, 2).zxid).is_empty());
            assert_eq!(held.holders(txn(1, 1).zxid), [zk(1)]);
        }
    }

    #[test]
    fn server_that_is_level_with_it_holds_it_until_it_is_synced_again() {
        let mut record = truncated();
        let zxid = txn(1, 2).zxid;
        record.on(zk(1), E::FollowerSynced { leader: zk(2), epoch: Epoch(1), mode: SyncMode::Trunc, zxid });
        assert_eq!(after(&record).holders(zxid), [zk(1)]);
    }

    #[test]
    fn tail_that_a_server_has_in_memory_is_not_on_disk() {
        let mut record = Record::default();
        record.on(zk(1), E::HostStarted { incarnation: 1 }).on(zk(1), restored(txn(1, 1).zxid));
        record.on(zk(1), E::RoleLost { why: "leader lost".into() }).on(zk(1), restored(txn(1, 2).zxid));
        assert!(after(&record).holders(txn(1, 2).zxid).is_empty());
        record.on(zk(1), E::HostStarted { incarnation: 2 }).on(zk(1), restored(txn(1, 2).zxid));
        assert_eq!(after(&record).holders(txn(1, 2).zxid), [zk(1)]);
    }
}
