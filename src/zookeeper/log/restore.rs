//! Restore — decides what a booting server makes of the files it finds. It never writes one: what has to
//! be repaired is left as work for the first step.
//!
//! The newest snapshot that can be read counts, and the log from it on (`FileTxnSnapLog.java`, `restore`).
//! A torn tail ends the log. What ZooKeeper refuses is refused: a log with no snapshot (ZOOKEEPER-2325),
//! damage in the middle of the log, a hole in it, epochs that contradict each other.

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
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the definition")]
pub enum Refusal {
    #[error("the file `{0}` does not hold an epoch")]
    DamagedEpoch(&'static str),
    #[error("the file `{0}` does not hold a configuration of an ensemble")]
    DamagedConfiguration(&'static str),
    #[error("the accepted epoch {accepted} is less than the current epoch {current}")]
    EpochsContradict { accepted: Epoch, current: Epoch },
    #[error("no valid snapshot found, but there are logs or damaged snapshots")]
    NoSnapshot,
    #[error("the log file `{file}` is damaged in the middle: a record follows at {beyond}")]
    DamagedLog { file: FileName, beyond: Zxid },
    #[error("the log file `{file}` is damaged behind {last}")]
    RottenTail { file: FileName, last: Zxid },
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
                    self.snapshots.push(Snapshot {
                        zxid,
                        file: file.clone(),
                        bytes: bytes.clone(),
                        interim: false,
                    });
                    newest = Some(tree);
                }
                None => self.repair_remove(file),
            }
        }
        newest
    }

    /// Keeps the longest part of the log that has no hole and reaches its end, and the snapshots in it.
    fn load_logs(&mut self, files: &Files, newest: Zxid) -> Result<(), Refusal> {
        let mut found = self.read_logs(files, newest)?;
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

    /// Log files in order; one that has no readable record is as good as absent, unless damage hides
    /// records of it that are needed.
    fn read_logs(&mut self, files: &Files, newest: Zxid) -> Result<Vec<Found>, Refusal> {
        let mut all = Vec::new();
        let logs = named(files, "log.");
        for (first, (name, bytes)) in &logs {
            let content = read_log(bytes);
            if let Some(beyond) = content.beyond.filter(|beyond| *beyond > newest) {
                return Err(Refusal::DamagedLog { file: (*name).clone(), beyond });
            }
            // What the damage hides is older than the next file.
            let next = logs.range(Zxid(first.0 + 1)..).next();
            if content.rotten && next.is_none_or(|(next, _)| *next > newest) {
                let last = content.records.last().map_or(Zxid(0), |(record, _)| record.zxid());
                return Err(Refusal::RottenTail { file: (*name).clone(), last });
            }
            if content.records.is_empty() {
                self.repair_remove(name);
                continue;
            }
            let torn = content.valid < bytes.len() as u64;
            all.push(Found { name: (*name).clone(), content, torn });
        }
        Ok(all)
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

#[cfg(test)]
mod tests {
    use super::{super::workshop::Workshop, *};

    fn zxid(counter: u32) -> Zxid {
        Zxid::new(Epoch(1), counter)
    }

    /// Snapshots at 0, 3 and 6, log files from 1, 4 and 7; the log goes on to 8.
    fn files() -> Files {
        let mut workshop = Workshop::on(Files::new());
        workshop.log(1, 1..=3);
        workshop.snapshot();
        workshop.log(1, 4..=6);
        workshop.snapshot();
        workshop.log(1, 7..=8);
        workshop.files
    }

    fn damage(files: &mut Files, name: &str) {
        assert!(files.insert(name.into(), b"garbage".as_slice().into()).is_some(), "{name} is there");
    }

    #[test]
    fn server_without_files_starts_from_nothing() {
        let (storage, tree) = restore(&Files::new()).unwrap();
        assert_eq!((storage.last_zxid(), storage.is_founded()), (Zxid(0), false));
        assert_eq!(tree, Database::default());
    }

    #[test]
    fn newest_snapshot_and_the_log_after_it_make_the_tree() {
        let (storage, tree) = restore(&files()).unwrap();
        assert_eq!((storage.last_zxid(), tree.last_processed()), (zxid(8), zxid(8)));
        assert_eq!(tree.sessions().len(), 8);
        assert_eq!(storage.cut_floor(), Zxid(0));
    }

    #[test]
    fn damaged_snapshots_fall_back_to_older_ones() {
        let mut files = files();
        for name in ["snapshot.100000006", "snapshot.100000003"] {
            damage(&mut files, name);
            let (_, tree) = restore(&files).unwrap();
            assert_eq!(tree.sessions().len(), 8, "without {name}");
        }
        let again = Workshop::on(files);
        assert!(!again.names().contains(&"snapshot.100000003"), "it is out of the way");
    }

    /// "no valid snapshot but logs present: refuses to start … (ZOOKEEPER-2325)".
    #[test]
    fn log_without_any_snapshot_is_refused() {
        let mut files = files();
        for name in ["snapshot.100000006", "snapshot.100000003", "snapshot.0"] {
            damage(&mut files, name);
        }
        assert_eq!(restore(&files).err(), Some(Refusal::NoSnapshot));
    }

    #[test]
    fn hole_after_the_newest_snapshot_is_refused() {
        let mut files = files();
        damage(&mut files, "log.100000004");
        damage(&mut files, "snapshot.100000006");
        let refusal = Refusal::Hole { base: zxid(6), snapshot: zxid(3) };
        assert_eq!(restore(&files).err(), Some(refusal));
    }

    #[test]
    fn hole_before_the_newest_snapshot_costs_only_the_way_back() {
        let mut files = files();
        damage(&mut files, "log.100000004");
        let workshop = Workshop::on(files);
        assert_eq!(workshop.tree.sessions().len(), 8);
        assert_eq!(workshop.storage.cut_floor(), zxid(6));
        assert_eq!(workshop.names(), ["log.100000007", "snapshot.100000006"]);
    }

    /// "cut at the first bad record where that is safe, refuse to start with a reason where it is not".
    #[test]
    fn damage_before_the_end_of_the_log_is_refused() {
        let mut files = files();
        let mut log = files["log.100000007"].to_vec();
        log[20] ^= 1;
        files.insert("log.100000007".into(), log.into());
        let refusal = Refusal::DamagedLog { file: "log.100000007".into(), beyond: zxid(8) };
        assert_eq!(restore(&files).err(), Some(refusal));
    }

    /// A committed transaction may be applied, and be in a snapshot, before this server has synced it.
    #[test]
    fn log_that_ends_before_the_snapshot_is_not_needed() {
        let mut files = files();
        files.remove("log.100000007");
        let log = files["log.100000004"].clone();
        files.insert("log.100000004".into(), log[..log.len() - 1].into());
        let mut workshop = Workshop::on(files);
        assert_eq!((workshop.storage.last_zxid(), workshop.storage.cut_floor()), (zxid(6), zxid(6)));
        workshop.log(1, 7..=7);
        assert_eq!(workshop.reopened().tree.sessions().len(), 7);
    }

    #[test]
    fn torn_tail_is_cut_off_and_written_over() {
        let mut files = files();
        let log = files["log.100000007"].clone();
        files.insert("log.100000007".into(), log[..log.len() - 1].into());
        let mut workshop = Workshop::on(files);
        assert_eq!(workshop.storage.last_zxid(), zxid(7));
        workshop.log(2, 1..=2);
        let again = workshop.reopened();
        assert_eq!(again.logged(), workshop.logged());
    }
}
