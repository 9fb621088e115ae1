//! Restore — decides what a booting server makes of the files it finds. It never writes one: what has to
//! be repaired is left as work for the first step.
//!
//! The newest snapshot that can be read counts, and the log from it on (`FileTxnSnapLog.java`, `restore`).
//! A torn tail ends the log. What ZooKeeper refuses is refused: a log with no snapshot (ZOOKEEPER-2325),
//! a hole in the log, epochs that contradict each other.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    Kept, LogFile, Storage,
    epochs::{ACCEPTED_EPOCH, CURRENT_EPOCH},
    queue::{Queue, Work},
    record::{LogContent, read_epoch, read_log, read_snapshot},
    snapshots::Snapshot,
};
use crate::{
    core::{DiskOp, FileName, Files},
    name::{Epoch, Zxid},
    zookeeper::tree::Database,
};

/// Why a server does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the definition")]
pub enum Refusal {
    #[error("the file `{0}` does not hold an epoch")]
    DamagedEpoch(&'static str),
    #[error("the accepted epoch {accepted} is less than the current epoch {current}")]
    EpochsContradict { accepted: Epoch, current: Epoch },
    #[error("no valid snapshot found, but there are logs or damaged snapshots")]
    NoSnapshot,
    #[error("the log has a hole: it begins after {base}, the newest valid snapshot is {snapshot}")]
    Hole { base: Zxid, snapshot: Zxid },
}

/// A log file as found.
struct Found {
    name: FileName,
    content: LogContent,
    torn: bool,
}

/// Reads what the disk holds.
///
/// # Errors
///
/// If the files cannot be the prefix of any history: see [`Refusal`].
pub fn restore(files: &Files) -> Result<(Storage, Database), Refusal> {
    let (accepted_epoch, current_epoch) = epochs(files)?;
    let mut storage = Storage {
        files: Vec::new(),
        records: VecDeque::new(),
        base: (Zxid(0), 0),
        snapshots: Vec::new(),
        rolled: false,
        accepted_epoch,
        current_epoch,
        queue: Queue::default(),
        awaited: BTreeMap::new(),
        repairs: Vec::new(),
    };
    let Some(mut tree) = storage.load_snapshots(files) else {
        let untouched = named(files, "log.").is_empty() && named(files, "snapshot.").is_empty();
        return if untouched { Ok((storage, Database::default())) } else { Err(Refusal::NoSnapshot) };
    };
    storage.load_logs(files, tree.last_processed())?;
    for record in storage.after(tree.last_processed()) {
        tree.apply(record.txn());
    }
    Ok((storage, tree))
}

/// Epochs from their files; a server that never took part has none.
fn epochs(files: &Files) -> Result<(Epoch, Epoch), Refusal> {
    let read = |name: &'static str| match files.get(name) {
        Some(bytes) => read_epoch(bytes).ok_or(Refusal::DamagedEpoch(name)),
        None => Ok(Epoch(0)),
    };
    let (accepted, current) = (read(ACCEPTED_EPOCH)?, read(CURRENT_EPOCH)?);
    if accepted < current {
        return Err(Refusal::EpochsContradict { accepted, current });
    }
    Ok((accepted, current))
}

/// Files of this prefix, by the zxid in their names.
fn named<'a>(files: &'a Files, prefix: &str) -> BTreeMap<Zxid, (&'a FileName, &'a Arc<[u8]>)> {
    let zxid = |name: &str| u64::from_str_radix(name.strip_prefix(prefix)?, 16).ok().map(Zxid);
    files.iter().filter_map(|(name, bytes)| Some((zxid(name)?, (name, bytes)))).collect()
}

impl Storage {
    /// Keeps the snapshots that can be read; the database of the newest one.
    fn load_snapshots(&mut self, files: &Files) -> Option<Database> {
        let mut newest = None;
        for (zxid, (file, bytes)) in named(files, "snapshot.") {
            match read_snapshot(bytes).filter(|tree| tree.last_processed() == zxid) {
                Some(tree) => {
                    self.snapshots.push(Snapshot { zxid, file: file.clone(), bytes: bytes.clone() });
                    newest = Some(tree);
                }
                None => self.repair_remove(file),
            }
        }
        newest
    }

    /// Keeps the longest part of the log that has no hole and reaches its end, and the snapshots in it.
    fn load_logs(&mut self, files: &Files, newest: Zxid) -> Result<(), Refusal> {
        let mut found = self.read_logs(files);
        let start = unbroken_from(&found);
        let base = found.get(start).and_then(|file| file.content.after);
        if base.is_some_and(|base| base > newest) {
            return Err(Refusal::Hole { base: base.unwrap_or_default(), snapshot: newest });
        }
        if end_of(&found).is_none_or(|end| end < newest) {
            self.rely_on_snapshot(newest, &found);
            return Ok(());
        }
        for broken in found.drain(..start) {
            self.repair_remove(&broken.name);
        }
        let base = base.unwrap_or(newest);
        while self.snapshots[0].zxid < base {
            let old = self.snapshots.remove(0);
            self.repair_remove(&old.file);
        }
        self.keep(found);
        Ok(())
    }

    /// Log files in order; one that has no readable head is as good as absent.
    fn read_logs(&mut self, files: &Files) -> Vec<Found> {
        let mut all = Vec::new();
        for (name, bytes) in named(files, "log.").into_values() {
            let content = read_log(bytes);
            if content.records.is_empty() {
                self.repair_remove(name);
                continue;
            }
            let torn = content.valid < bytes.len() as u64;
            all.push(Found { name: name.clone(), content, torn });
        }
        all
    }

    /// The log ends before the newest snapshot, which is durable now if it was not before: nothing but the
    /// snapshot is needed.
    fn rely_on_snapshot(&mut self, newest: Zxid, logs: &[Found]) {
        let snapshot = self.snapshots.pop().expect("the newest snapshot was read");
        self.repairs.push(Work::Barrier(snapshot.file.clone()));
        for log in logs.iter().rev() {
            self.repair_remove(&log.name);
        }
        for old in std::mem::take(&mut self.snapshots).iter().rev() {
            self.repair_remove(&old.file);
        }
        self.snapshots.push(snapshot);
        self.base = (newest, 0);
    }

    fn keep(&mut self, found: Vec<Found>) {
        let oldest = self.snapshots[0].zxid;
        self.base = (oldest, 0);
        for file in found {
            if file.torn {
                let op = DiskOp::Truncate { file: file.name.clone(), len: file.content.valid };
                self.repairs.push(Work::Change(op));
            }
            for (record, end) in file.content.records {
                if record.zxid() <= oldest {
                    self.base.1 = end;
                } else {
                    self.records.push_back(Kept { record, end });
                }
            }
            let after = file.content.after.expect("a file with records has a head");
            self.files.push(LogFile { name: file.name, after, len: file.content.valid });
        }
    }

    fn repair_remove(&mut self, file: &FileName) {
        self.repairs.push(Work::Change(DiskOp::Remove { file: file.clone() }));
        self.repairs.push(Work::Barrier(file.clone()));
    }
}

/// Where the part of the log begins that reaches its end without a hole.
fn unbroken_from(found: &[Found]) -> usize {
    let follows = |pair: &[Found]| {
        pair[0].content.records.last().map(|(record, _)| record.zxid()) == pair[1].content.after
    };
    found.windows(2).rposition(|pair| !follows(pair)).map_or(0, |hole| hole + 1)
}

fn end_of(found: &[Found]) -> Option<Zxid> {
    let (record, _) = found.last()?.content.records.last()?;
    Some(record.zxid())
}
