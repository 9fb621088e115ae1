//! Log — decides what of a server's state is on its disk, in which files, and in which order it gets
//! there. It never decides what is committed.
//!
//! Files (`FileTxnLog.java`, `FileSnap.java`, `QuorumPeer.java`):
//!
//! | file | content |
//! | --- | --- |
//! | `log.<zxid>` | the zxid it follows, then records from this one on; appended, cut, never rewritten |
//! | `snapshot.<zxid>` | the database after this transaction; written whole |
//! | `acceptedEpoch`, `currentEpoch` | a number each; written whole |
//!
//! A log file is opened only when the one before it is durable, a file is removed only when what replaces
//! it is durable, and files go from the newest to the oldest when a log is cut: so that what a crash
//! leaves is always a prefix of what was there.

mod queue;
mod record;
mod restore;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

pub use record::{Record, read_snapshot, write_snapshot};
pub use restore::{Refusal, restore};

use queue::{Queue, Work};
use record::{LOG_HEAD, log_head, write_epoch};

use super::{peer::Message, tree::Database};
use crate::{
    core::{ConnId, Deferred, DiskOp, FileName, Output},
    event::{EventKind, TxnRef},
    name::{Epoch, Zxid},
};

/// Snapshots kept (`autopurge.snapRetainCount`).
const SNAPSHOTS_KEPT: usize = 3;

/// The name of the acceptedEpoch file.
pub const ACCEPTED_EPOCH: &str = "acceptedEpoch";
/// The name of the currentEpoch file.
pub const CURRENT_EPOCH: &str = "currentEpoch";

/// What was waited for has become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The log up to this transaction.
    Logged(Zxid),
    /// acceptedEpoch is this.
    Accepted(Epoch),
    /// currentEpoch is this, and the whole log before it.
    Entered(Epoch),
    /// The snapshot that a server without any file began with.
    Founded,
    /// A snapshot.
    Snapshot(Zxid),
}

#[derive(Debug)]
struct LogFile {
    name: FileName,
    /// The transaction before its first record.
    after: Zxid,
    /// Bytes written, those that still wait included.
    len: u64,
}

#[derive(Debug)]
struct Kept {
    record: Arc<Record>,
    /// The length of its file up to its end.
    end: u64,
}

#[derive(Debug)]
struct Snapshot {
    zxid: Zxid,
    file: FileName,
    bytes: Arc<[u8]>,
}

/// A server's log, snapshots and epochs: in memory as they will be once all that was asked of the disk is
/// done.
#[derive(Debug)]
pub struct Storage {
    /// Oldest first. A file that no record is in does not exist.
    files: Vec<LogFile>,
    /// Everything after the oldest snapshot, oldest first.
    records: VecDeque<Kept>,
    /// The transaction before the first of `records`, and the length of its file up to its end.
    base: (Zxid, u64),
    /// Oldest first, never empty once founded.
    snapshots: Vec<Snapshot>,
    /// The next record begins a new file.
    rolled: bool,
    accepted_epoch: Epoch,
    current_epoch: Epoch,
    queue: Queue,
    awaited: BTreeMap<u64, Told>,
    /// What booting found to be in the way.
    repairs: Vec<Work>,
}

impl Storage {
    /// The promise on disk, or on its way there, not to follow an older epoch.
    pub fn accepted_epoch(&self) -> Epoch {
        self.accepted_epoch
    }

    /// The newest epoch whose leader's history this log holds.
    pub fn current_epoch(&self) -> Epoch {
        self.current_epoch
    }

    /// The last transaction in log or snapshot, committed or not.
    pub fn last_zxid(&self) -> Zxid {
        self.records.back().map_or(self.base.0, |kept| kept.record.zxid())
    }

    /// How far back [`Storage::cut`] can go.
    pub fn cut_floor(&self) -> Zxid {
        self.base.0
    }

    /// How large the newest snapshot is, in bytes.
    pub fn snapshot_len(&self) -> usize {
        self.snapshots.last().map_or(0, |snapshot| snapshot.bytes.len())
    }

    /// The records after `zxid`, oldest first.
    pub fn after(&self, zxid: Zxid) -> impl DoubleEndedIterator<Item = &Arc<Record>> + ExactSizeIterator {
        let start = self.records.partition_point(|kept| kept.record.zxid() <= zxid);
        self.records.range(start..).map(|kept| &kept.record)
    }

    /// Bytes that the log spends on the records after `zxid`.
    pub fn log_len_after(&self, zxid: Zxid) -> usize {
        self.after(zxid).map(|record| record.frame().len()).sum()
    }

    /// The newest record at or before `zxid`, if it is not older than the oldest snapshot.
    pub fn at_or_before(&self, zxid: Zxid) -> Option<Zxid> {
        match self.records.partition_point(|kept| kept.record.zxid() <= zxid).checked_sub(1) {
            Some(index) => Some(self.records[index].record.zxid()),
            None => (self.base.0 <= zxid).then_some(self.base.0),
        }
    }

    /// The last `limit` transactions, oldest first.
    pub fn history(&self, limit: usize) -> Vec<TxnRef> {
        let skip = self.records.len().saturating_sub(limit);
        self.records.range(skip..).map(|kept| kept.record.txn_ref()).collect()
    }

    /// Carries out what booting found to be necessary. The token comes back when the disk can be relied
    /// on; none if it can be already.
    pub fn start(&mut self, tree: &Database, out: &mut Output<Message>) -> Option<Told> {
        for work in std::mem::take(&mut self.repairs) {
            self.queue.push(work, out);
        }
        if !self.snapshots.is_empty() {
            return None;
        }
        let file = self.write_snapshot(tree.last_processed(), write_snapshot(tree), out);
        self.tell(&file, Told::Founded, out);
        Some(Told::Founded)
    }

    /// Adds a record to the log.
    pub fn append(&mut self, record: Arc<Record>, out: &mut Output<Message>) {
        let last = self.last_zxid();
        assert!(record.zxid() > last, "a log holds transactions in the order of their zxids");
        if self.rolled || self.files.is_empty() {
            self.open(record.zxid(), last, out);
        }
        let file = self.files.last_mut().expect("a file was opened");
        file.len += record.frame().len() as u64;
        let end = file.len;
        let op = DiskOp::Append { file: file.name.clone(), bytes: record.frame().clone() };
        self.queue.push(Work::Change(op), out);
        self.note_logged(&record, out);
        self.records.push_back(Kept { record, end });
    }

    /// Sends once the log up to here is durable.
    pub fn send_when_logged(&mut self, conn: ConnId, message: impl Into<Message>, out: &mut Output<Message>) {
        let file = self.files.last().expect("something was logged").name.clone();
        self.queue.push(Work::After(file, Deferred::Send { conn, message: message.into() }), out);
    }

    /// Tells once the log up to here is durable.
    pub fn tell_when_logged(&mut self, out: &mut Output<Message>) {
        let file = self.files.last().expect("something was logged").name.clone();
        self.tell(&file, Told::Logged(self.last_zxid()), out);
    }

    /// Promises not to follow an older epoch than this one.
    pub fn accept_epoch(&mut self, epoch: Epoch, out: &mut Output<Message>) {
        assert!(epoch > self.accepted_epoch, "accepted epochs go up");
        self.accepted_epoch = epoch;
        self.replace(ACCEPTED_EPOCH, write_epoch(epoch), out);
        self.after_file(ACCEPTED_EPOCH, Deferred::Note(EventKind::EpochAccepted { epoch }), out);
    }

    /// Sends once the accepted epoch is durable.
    pub fn send_when_accepted(
        &mut self,
        conn: ConnId,
        message: impl Into<Message>,
        out: &mut Output<Message>,
    ) {
        self.after_file(ACCEPTED_EPOCH, Deferred::Send { conn, message: message.into() }, out);
    }

    /// Tells once the accepted epoch is durable.
    pub fn tell_when_accepted(&mut self, out: &mut Output<Message>) {
        self.tell(&ACCEPTED_EPOCH.into(), Told::Accepted(self.accepted_epoch), out);
    }

    /// Enters an epoch: first the whole log becomes durable, only then currentEpoch is written
    /// (ZOOKEEPER-4643 had it the other way round).
    pub fn enter_epoch(&mut self, epoch: Epoch, out: &mut Output<Message>) {
        assert!(epoch >= self.current_epoch && epoch <= self.accepted_epoch, "an epoch is accepted first");
        self.current_epoch = epoch;
        if let Some(file) = self.files.last() {
            self.queue.push(Work::Barrier(file.name.clone()), out);
        }
        self.replace(CURRENT_EPOCH, write_epoch(epoch), out);
        self.after_file(CURRENT_EPOCH, Deferred::Note(EventKind::EpochEntered { epoch }), out);
    }

    /// Sends once the current epoch is durable, and all that was logged before it.
    pub fn send_when_entered(
        &mut self,
        conn: ConnId,
        message: impl Into<Message>,
        out: &mut Output<Message>,
    ) {
        self.after_file(CURRENT_EPOCH, Deferred::Send { conn, message: message.into() }, out);
    }

    /// Tells once the current epoch is durable, and all that was logged before it.
    pub fn tell_when_entered(&mut self, out: &mut Output<Message>) {
        self.tell(&CURRENT_EPOCH.into(), Told::Entered(self.current_epoch), out);
    }

    /// Takes a snapshot of the tree and lets the log go on in a new file. Older files go when it is
    /// durable.
    pub fn take_snapshot(&mut self, tree: &Database, out: &mut Output<Message>) {
        let zxid = tree.last_processed();
        if self.snapshots.last().is_some_and(|newest| newest.zxid >= zxid) {
            return;
        }
        let file = self.write_snapshot(zxid, write_snapshot(tree), out);
        self.queue.push(Work::After(file.clone(), Deferred::Note(EventKind::SnapshotTaken { zxid })), out);
        self.tell(&file, Told::Snapshot(zxid), out);
        if let Some(current) = self.files.last()
            && !self.rolled
        {
            self.queue.push(Work::Barrier(current.name.clone()), out);
            self.rolled = true;
        }
    }

    /// Cuts the log after `zxid`, snapshots of later states included (ZOOKEEPER-4837), and returns the
    /// database of what is left.
    ///
    /// # Panics
    ///
    /// If `zxid` is before [`Storage::cut_floor`].
    pub fn cut(&mut self, zxid: Zxid, out: &mut Output<Message>) -> Database {
        assert!(zxid >= self.cut_floor(), "a log is not cut before its oldest snapshot");
        while self.last_zxid() > zxid {
            self.records.pop_back();
        }
        while let Some(late) = self.snapshots.pop_if(|snapshot| snapshot.zxid > zxid) {
            self.remove(late.file, out);
        }
        self.cut_files(out);
        self.rebuild()
    }

    /// Replaces everything by a leader's snapshot.
    pub fn install(&mut self, zxid: Zxid, bytes: Arc<[u8]>, out: &mut Output<Message>) {
        let old = std::mem::take(&mut self.snapshots);
        let file = self.write_snapshot(zxid, bytes, out);
        self.queue.push(Work::Barrier(file.clone()), out);
        while let Some(log) = self.files.pop() {
            self.remove(log.name, out);
        }
        for stale in old.into_iter().rev().filter(|snapshot| snapshot.file != file) {
            self.remove(stale.file, out);
        }
        self.records.clear();
        self.base = (zxid, 0);
    }

    /// The disk has done what this token waited for. What it means to others, if anything.
    pub fn synced(&mut self, token: u64, out: &mut Output<Message>) -> Option<Told> {
        if self.queue.synced(token, out) {
            return None;
        }
        let told = self.awaited.remove(&token)?;
        if let Told::Snapshot(zxid) = told {
            self.purge(zxid, out);
        }
        Some(told)
    }

    fn open(&mut self, first: Zxid, after: Zxid, out: &mut Output<Message>) {
        let name: FileName = format!("log.{:x}", first.0).into();
        let op = DiskOp::Append { file: name.clone(), bytes: log_head(after) };
        self.queue.push(Work::Change(op), out);
        self.files.push(LogFile { name, after, len: LOG_HEAD as u64 });
        self.rolled = false;
    }

    fn note_logged(&mut self, record: &Record, out: &mut Output<Message>) {
        let file = self.files.last().expect("a record is in a file").name.clone();
        let event = EventKind::TxnLogged { zxid: record.zxid(), digest: record.digest() };
        self.queue.push(Work::After(file, Deferred::Note(event)), out);
    }

    fn write_snapshot(&mut self, zxid: Zxid, bytes: Arc<[u8]>, out: &mut Output<Message>) -> FileName {
        let file: FileName = format!("snapshot.{:x}", zxid.0).into();
        self.replace(&file, bytes.clone(), out);
        self.snapshots.push(Snapshot { zxid, file: file.clone(), bytes });
        file
    }

    /// Removes the files that hold nothing of what is left, the newest first, then cuts the last one.
    fn cut_files(&mut self, out: &mut Output<Message>) {
        let last = self.last_zxid();
        while let Some(late) = self.files.pop_if(|file| file.after >= last) {
            self.remove(late.name, out);
        }
        let end = self.records.back().map_or(self.base.1, |kept| kept.end);
        if let Some(file) = self.files.last_mut()
            && file.len > end
        {
            file.len = end;
            let op = DiskOp::Truncate { file: file.name.clone(), len: end };
            self.queue.push(Work::Change(op), out);
        }
    }

    /// The database of the whole log.
    fn rebuild(&self) -> Database {
        let newest = self.snapshots.last().expect("the oldest snapshot is never cut off");
        let mut tree = read_snapshot(&newest.bytes).expect("snapshots are checked before they are kept");
        for record in self.after(newest.zxid) {
            tree.apply(record.txn());
        }
        tree
    }

    /// Drops what the newest durable snapshots make superfluous.
    fn purge(&mut self, durable: Zxid, out: &mut Output<Message>) {
        let count = self.snapshots.iter().filter(|snapshot| snapshot.zxid <= durable).count();
        for old in self.snapshots.drain(..count.saturating_sub(SNAPSHOTS_KEPT)) {
            self.queue.push(Work::Change(DiskOp::Remove { file: old.file }), out);
        }
        let oldest = self.snapshots[0].zxid;
        let superfluous = self.files.windows(2).take_while(|pair| pair[1].after <= oldest).count();
        for old in self.files.drain(..superfluous) {
            self.queue.push(Work::Change(DiskOp::Remove { file: old.name }), out);
        }
        while let Some(kept) = self.records.pop_front_if(|kept| kept.record.zxid() <= oldest) {
            self.base.1 = kept.end;
        }
        self.base.0 = oldest;
    }

    /// Removes a file for good before anything else happens.
    fn remove(&mut self, file: FileName, out: &mut Output<Message>) {
        self.queue.push(Work::Change(DiskOp::Remove { file: file.clone() }), out);
        self.queue.push(Work::Barrier(file), out);
    }

    fn replace(&mut self, file: &str, bytes: Arc<[u8]>, out: &mut Output<Message>) {
        self.queue.push(Work::Change(DiskOp::Replace { file: file.into(), bytes }), out);
    }

    fn after_file(&mut self, file: &str, then: Deferred<Message>, out: &mut Output<Message>) {
        self.queue.push(Work::After(file.into(), then), out);
    }

    fn tell(&mut self, file: &FileName, told: Told, out: &mut Output<Message>) {
        let token = self.queue.token();
        self.awaited.insert(token, told);
        self.queue.push(Work::After(file.clone(), Deferred::Tell { token }), out);
    }
}
