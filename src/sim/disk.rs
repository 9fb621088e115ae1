//! Disk — decides what a host's files hold, and what is left of them after a crash. It never decides what is
//! written.
//!
//! The fault contract. A host sees all of its changes at once; a sync of a file makes every change made to
//! that file before the sync began durable when it ends. When the *process* dies, nothing is lost: the
//! machine's page cache has it. When the *machine* loses power, this and no other damage is legal:
//!
//! - Appends and truncations of a file that were not synced survive as a prefix of their sequence: none, all,
//!   or some; the last surviving append may be torn, that is, keep only its first bytes, followed by nothing
//!   or by zeros up to its length (a file whose size reached the disk before its data).
//! - Replacements and removals that were not synced survive as a prefix of their sequence over the whole
//!   disk (an ordered journal); a file shows the old or the new content as a whole. A sync of any file
//!   commits all replacements and removals before it, as ext4's and XFS's journals do.
//! - What was synced survives unchanged. Bit rot and misdirected writes do not happen here.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    core::{Deferred, DiskOp, FileName, Files},
    event::EventKind,
    name::HostId,
    sim::dice::{Dice, Die},
};

/// One host's disk. `M` is what its deferred effects may send.
#[derive(Debug)]
pub struct Disk<M> {
    durable: BTreeMap<FileName, Vec<u8>>,
    /// Appends and truncations that are not durable yet, in the order made.
    data: BTreeMap<FileName, Vec<Change>>,
    /// Replacements and removals that are not durable yet, in the order made.
    journal: Vec<Change>,
    made: u64,
    syncs: BTreeMap<FileName, Syncing<M>>,
    crashes: u64,
}

#[derive(Debug)]
struct Change {
    nth: u64,
    op: DiskOp,
}

impl Change {
    fn is_journaled(&self) -> bool {
        matches!(self.op, DiskOp::Replace { .. } | DiskOp::Remove { .. })
    }
}

/// The syncs of one file: one at a time, the next one collects.
#[derive(Debug)]
struct Syncing<M> {
    covers: u64,
    waiting: Vec<Deferred<M>>,
    next: Vec<Deferred<M>>,
}

impl<M> Default for Disk<M> {
    fn default() -> Self {
        Self {
            durable: BTreeMap::new(),
            data: BTreeMap::new(),
            journal: Vec::new(),
            made: 0,
            syncs: BTreeMap::new(),
            crashes: 0,
        }
    }
}

/// What to do with a deferred effect.
#[derive(Debug, PartialEq)]
pub enum AfterSync<M> {
    /// Its file is durable already: carry it out now.
    Now(Deferred<M>),
    /// A sync must begin; it ends with [`Disk::synced`].
    Begin,
    /// A sync under way will release it.
    Waits,
}

impl<M> Disk<M> {
    /// Makes a change, visible at once, durable only after a sync.
    pub fn change(&mut self, op: DiskOp) {
        self.made += 1;
        let change = Change { nth: self.made, op };
        if change.is_journaled() {
            self.journal.push(change);
        } else {
            self.data.entry(change.op.file().clone()).or_default().push(change);
        }
    }

    /// Takes an effect that waits for `file`.
    pub fn after_sync(&mut self, file: &FileName, then: Deferred<M>) -> AfterSync<M> {
        let newest = self.newest_change(file);
        match self.syncs.get_mut(file) {
            Some(sync) if sync.next.is_empty() && newest <= sync.covers => sync.waiting.push(then),
            Some(sync) => sync.next.push(then),
            None if newest == 0 => return AfterSync::Now(then),
            None => {
                self.begin(file, vec![then]);
                return AfterSync::Begin;
            }
        }
        AfterSync::Waits
    }

    /// The number of the last change to `file` that is not durable; 0 if all are.
    fn newest_change(&self, file: &FileName) -> u64 {
        let data = self.data.get(file).and_then(|changes| changes.last());
        let journal = self.journal.iter().rev().find(|change| change.op.file() == file);
        data.into_iter().chain(journal).map(|change| change.nth).max().unwrap_or(0)
    }

    fn begin(&mut self, file: &FileName, waiting: Vec<Deferred<M>>) {
        let sync = Syncing { covers: self.made, waiting, next: Vec::new() };
        self.syncs.insert(file.clone(), sync);
    }

    /// The sync of `file` ended: what it covered is durable. Returns what waited for it, and whether another
    /// sync of the file begins now.
    pub fn synced(&mut self, file: &FileName) -> (Vec<Deferred<M>>, bool) {
        let sync = self.syncs.remove(file).expect("a sync ends once, after it began");
        let journaled = self.journal.partition_point(|change| change.nth <= sync.covers);
        let mut durable: Vec<_> = self.journal.drain(..journaled).collect();
        for change in &durable {
            self.forget_before(change.op.file().clone(), change.nth);
        }
        if let Some(mut changes) = self.data.remove(file) {
            let later = changes.split_off(changes.partition_point(|change| change.nth <= sync.covers));
            if !later.is_empty() {
                self.data.insert(file.clone(), later);
            }
            durable.extend(changes);
        }
        durable.sort_by_key(|change| change.nth);
        self.write(durable);
        let again = !sync.next.is_empty();
        if again {
            self.begin(file, sync.next);
        }
        (sync.waiting, again)
    }

    /// A committed replacement or removal leaves nothing of earlier appends to its file.
    fn forget_before(&mut self, file: FileName, nth: u64) {
        if let Some(changes) = self.data.get_mut(&file) {
            changes.retain(|change| change.nth > nth);
        }
    }

    fn write(&mut self, changes: Vec<Change>) {
        for change in changes {
            apply(&mut self.durable, &change.op);
        }
    }

    /// The process died: its waits are gone, its changes are safe with the machine.
    pub fn process_died(&mut self) {
        self.syncs.clear();
    }

    /// The machine lost power. Returns what happened to files.
    pub fn power_lost(&mut self, dice: &Dice, host: HostId) -> Vec<EventKind> {
        self.syncs.clear();
        self.crashes += 1;
        let mut survivors = std::mem::take(&mut self.journal);
        let committed = dice.at("disk.journal", (host, self.crashes)).below(survivors.len() as u64 + 1);
        survivors.truncate(committed as usize);
        let mut damages = Vec::new();
        for (file, changes) in std::mem::take(&mut self.data) {
            if changes.is_empty() {
                continue;
            }
            let die = dice.at("disk.crash", (host, self.crashes, &*file));
            let (kept, damage) = damage(&file, changes, die);
            survivors.extend(kept);
            damages.push(damage);
        }
        survivors.sort_by_key(|change| change.nth);
        self.write(survivors);
        damages
    }

    /// Another, empty disk is put in while the machine is off.
    pub fn wiped(&mut self) {
        *self = Self { made: self.made, crashes: self.crashes, ..Self::default() };
    }

    /// What a booting process finds.
    pub fn files(&self) -> Files {
        let mut files = self.durable.clone();
        let mut pending: Vec<_> = self.data.values().flatten().chain(&self.journal).collect();
        pending.sort_by_key(|change| change.nth);
        for change in pending {
            apply(&mut files, &change.op);
        }
        files.into_iter().map(|(name, bytes)| (name, Arc::from(bytes))).collect()
    }
}

fn apply(files: &mut BTreeMap<FileName, Vec<u8>>, op: &DiskOp) {
    match op {
        DiskOp::Append { file, bytes } => files.entry(file.clone()).or_default().extend_from_slice(bytes),
        DiskOp::Truncate { file, len } => files.entry(file.clone()).or_default().truncate(*len as usize),
        DiskOp::Replace { file, bytes } => {
            files.insert(file.clone(), bytes.to_vec());
        }
        DiskOp::Remove { file } => {
            files.remove(file);
        }
    }
}

/// Which of a file's unsynced changes survive.
fn damage(file: &FileName, changes: Vec<Change>, mut die: Die) -> (Vec<Change>, EventKind) {
    let total: u64 = changes.iter().map(|change| size(&change.op)).sum();
    let (mut left, zeros) = match die.below(4) {
        0 => (0, false),
        1 => (total, false),
        2 => (die.below(total + 1), false),
        _ => (die.below(total + 1), true),
    };
    let (mut kept, mut torn) = (Vec::new(), false);
    for change in changes {
        let size = size(&change.op);
        if left >= size {
            left -= size;
            kept.push(change);
            continue;
        }
        if left > 0 {
            torn = true;
            kept.push(tear(change, left as usize, zeros));
        }
        break;
    }
    let survived: u64 = kept.iter().map(|change| size(&change.op)).sum();
    let event = EventKind::DiskDamaged {
        file: file.to_string(),
        kept: survived,
        lost: total.saturating_sub(survived),
        torn,
    };
    (kept, event)
}

fn size(op: &DiskOp) -> u64 {
    match op {
        DiskOp::Append { bytes, .. } => bytes.len() as u64,
        _ => 1,
    }
}

fn tear(change: Change, keep: usize, zeros: bool) -> Change {
    let DiskOp::Append { file, bytes } = change.op else {
        unreachable!("only appends are larger than what is left of them");
    };
    let mut part = bytes[..keep].to_vec();
    if zeros {
        part.resize(bytes.len(), 0);
    }
    Change { nth: change.nth, op: DiskOp::Append { file, bytes: part.into() } }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Plain = Disk<()>;

    fn append(file: &str, bytes: &[u8]) -> DiskOp {
        DiskOp::Append { file: file.into(), bytes: bytes.into() }
    }

    fn tell(token: u64) -> Deferred<()> {
        Deferred::Tell { token }
    }

    fn content(disk: &Plain, file: &str) -> Option<Vec<u8>> {
        disk.files().get(file).map(|bytes| bytes.to_vec())
    }

    #[test]
    fn synced_bytes_survive_power_loss_whatever_the_dice_say() {
        for seed in 0..200 {
            let mut disk = Plain::default();
            disk.change(append("log", b"safe"));
            assert_eq!(disk.after_sync(&"log".into(), tell(1)), AfterSync::Begin);
            disk.change(append("log", b"unsafe"));
            assert_eq!(disk.synced(&"log".into()), (vec![tell(1)], false));
            disk.power_lost(&Dice::new(seed), HostId::zookeeper(1));
            let left = content(&disk, "log").unwrap();
            assert!(left.starts_with(b"safe") && left.len() <= 10, "{left:?}");
        }
    }

    #[test]
    fn unsynced_bytes_are_lost_kept_and_torn_over_seeds() {
        let outcome = |seed| {
            let mut disk = Plain::default();
            disk.change(append("log", b"abcdef"));
            disk.power_lost(&Dice::new(seed), HostId::zookeeper(1));
            content(&disk, "log").unwrap_or_default()
        };
        let seen: std::collections::BTreeSet<_> = (0..300).map(outcome).collect();
        for expected in [&b""[..], b"abcdef", b"abc", b"abc\0\0\0"] {
            assert!(seen.contains(expected), "{seen:?} lacks {expected:?}");
        }
    }

    #[test]
    fn process_death_loses_nothing() {
        let mut disk = Plain::default();
        disk.change(append("log", b"abc"));
        disk.process_died();
        assert_eq!(content(&disk, "log").unwrap(), b"abc");
    }

    #[test]
    fn replacement_shows_old_or_new_as_a_whole() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let mut disk = Plain::default();
            disk.change(DiskOp::Replace { file: "epoch".into(), bytes: (*b"1").into() });
            disk.after_sync(&"epoch".into(), tell(1));
            disk.synced(&"epoch".into());
            disk.change(DiskOp::Replace { file: "epoch".into(), bytes: (*b"22").into() });
            disk.power_lost(&Dice::new(seed), HostId::zookeeper(1));
            seen.insert(content(&disk, "epoch").unwrap());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [b"1".to_vec(), b"22".to_vec()]);
    }

    #[test]
    fn sync_of_another_file_commits_earlier_removals() {
        let mut disk = Plain::default();
        disk.change(append("old", b"x"));
        disk.after_sync(&"old".into(), tell(1));
        disk.synced(&"old".into());
        disk.change(DiskOp::Remove { file: "old".into() });
        disk.change(append("new", b"y"));
        disk.after_sync(&"new".into(), tell(2));
        disk.synced(&"new".into());
        disk.power_lost(&Dice::new(1), HostId::zookeeper(1));
        assert_eq!((content(&disk, "old"), content(&disk, "new")), (None, Some(b"y".to_vec())));
    }

    #[test]
    fn committed_removal_leaves_no_unsynced_append() {
        let mut disk = Plain::default();
        disk.change(append("segment", b"x"));
        disk.change(DiskOp::Remove { file: "segment".into() });
        disk.change(append("log", b"y"));
        disk.after_sync(&"log".into(), tell(1));
        disk.synced(&"log".into());
        assert_eq!(content(&disk, "segment"), None);
        disk.power_lost(&Dice::new(1), HostId::zookeeper(1));
        assert_eq!(content(&disk, "segment"), None);
    }

    #[test]
    fn write_during_a_sync_waits_for_the_next_one() {
        let mut disk = Plain::default();
        let log: FileName = "log".into();
        disk.change(append("log", b"a"));
        assert_eq!(disk.after_sync(&log, tell(1)), AfterSync::Begin);
        assert_eq!(disk.after_sync(&log, tell(2)), AfterSync::Waits);
        disk.change(append("log", b"b"));
        assert_eq!(disk.after_sync(&log, tell(3)), AfterSync::Waits);
        assert_eq!(disk.synced(&log), (vec![tell(1), tell(2)], true));
        assert_eq!(disk.synced(&log), (vec![tell(3)], false));
        assert_eq!(disk.after_sync(&log, tell(4)), AfterSync::Now(tell(4)));
    }
}
