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
//! | `zoo.cfg.dynamic`, `zoo.cfg.dynamic.next` | the configuration committed and the one proposed |
//!
//! A log file is opened only when the one before it is durable, a file is removed only when what replaces
//! it is durable, and files go from the newest to the oldest when a log is cut: so that what a crash
//! leaves is always a prefix of what was there.

mod configuration;
mod epochs;
mod queue;
mod record;
mod restore;
mod snapshots;
#[cfg(test)]
pub(crate) mod workshop;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

pub use configuration::restore_views;
pub use record::{Record, read_snapshot, write_snapshot};
pub use restore::{Refusal, restore};

use queue::{Queue, Work};
use record::{LOG_HEAD, log_head};
use snapshots::Snapshot;

use super::peer::Message;
use crate::{
    core::{ConnId, Deferred, DiskOp, FileName, Output},
    event::{EventKind, TxnRef},
    name::{Epoch, Zxid},
};

/// What was waited for has become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LogFile {
    name: FileName,
    /// The transaction before its first record.
    after: Zxid,
    /// Bytes written, those that still wait included.
    len: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kept {
    record: Arc<Record>,
    /// The length of its file up to its end.
    end: u64,
}

/// A server's log, snapshots and epochs: in memory as they will be once all that was asked of the disk is
/// done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// The last transaction in log or snapshot, committed or not.
    pub fn last_zxid(&self) -> Zxid {
        self.records.back().map_or(self.base.0, |kept| kept.record.zxid())
    }

    /// How far back [`Storage::cut`] can go.
    pub fn cut_floor(&self) -> Zxid {
        self.base.0
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

    /// Carries out what booting found to be necessary.
    pub fn repair(&mut self, out: &mut Output<Message>) {
        for work in std::mem::take(&mut self.repairs) {
            self.queue.push(work, out);
        }
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

    /// Notes once the log up to here is durable.
    pub fn note_when_logged(&mut self, event: EventKind, out: &mut Output<Message>) {
        let file = self.files.last().expect("something was logged").name.clone();
        self.queue.push(Work::After(file, Deferred::Note(event)), out);
    }

    /// Tells once the log up to here is durable.
    pub fn tell_when_logged(&mut self, out: &mut Output<Message>) {
        let file = self.files.last().expect("something was logged").name.clone();
        self.tell(&file, Told::Logged(self.last_zxid()), out);
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
        self.note_when_logged(EventKind::TxnLogged { zxid: record.zxid(), digest: record.digest() }, out);
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

#[cfg(test)]
mod tests {
    use super::{
        workshop::{Workshop, record},
        *,
    };
    use crate::core::{Effect, Files};

    /// "follower: log append + fsync, then ACK".
    #[test]
    fn logged_is_told_only_after_a_sync_of_the_file() {
        let mut workshop = Workshop::on(Files::new());
        workshop.storage.append(record(1, 1), &mut workshop.out);
        workshop.storage.send_when_logged(
            ConnId(1),
            crate::zookeeper::peer::LeaderFrame::Ping,
            &mut workshop.out,
        );
        let effects = workshop.out.effects();
        assert!(effects.iter().all(|effect| !matches!(effect, Effect::Send { .. } | Effect::Note(_))));
        let waits = |effect: &&Effect<Message>| matches!(effect, Effect::AfterSync { file, .. } if &**file == "log.100000001");
        assert_eq!(effects.iter().filter(waits).count(), 2, "the note and the message: {effects:?}");
    }

    #[test]
    #[should_panic(expected = "in the order of their zxids")]
    fn log_never_goes_back() {
        let mut workshop = Workshop::on(Files::new());
        workshop.log(1, 2..=2);
        workshop.log(1, 1..=1);
    }

    #[test]
    fn history_is_the_newest_part_of_the_log() {
        let mut workshop = Workshop::on(Files::new());
        workshop.log(1, 1..=9);
        let history: Vec<u32> = workshop.storage.history(3).iter().map(|txn| txn.zxid.counter()).collect();
        assert_eq!(history, [7, 8, 9]);
    }

    #[test]
    fn search_finds_the_record_before_a_gap() {
        let mut workshop = Workshop::on(Files::new());
        workshop.log(1, 1..=2);
        workshop.log(2, 1..=1);
        let zxid = |epoch, counter| Zxid::new(Epoch(epoch), counter);
        assert_eq!(workshop.storage.at_or_before(zxid(1, 9)), Some(zxid(1, 2)));
        assert_eq!(workshop.storage.at_or_before(zxid(2, 1)), Some(zxid(2, 1)));
        assert_eq!(workshop.storage.at_or_before(Zxid(5)), Some(Zxid(0)), "the first snapshot is at 0");
        assert_eq!(workshop.storage.after(zxid(1, 9)).len(), 1);
    }
}
