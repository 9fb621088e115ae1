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
//! - What was synced survives unchanged, unless a fault says otherwise.
//!
//! Faults (`ailments`) add this damage and no other:
//!
//! - *Rot*: bits of a durable file are flipped, at any place. Its length stays.
//! - *Misdirected write*: the last bytes of a durable file are noise, never all zeros (what the place held before),
//!   and another durable file has them in its middle.
//! - *Write error*: an append is refused after none, some or all of its bytes were written; a replacement leaves the
//!   old content. *Full*: nothing of it is written; files can still be cut and removed. A disk that has a size is full
//!   when what there is and the write are more than that (`room`).
//! - *Sync error*: what was to be synced stays to be synced, or is dropped: then the file is what the disk holds, the
//!   process sees it so, and nothing of it ever comes back. (Linux's third way, pages that are marked clean and
//!   still readable until they are evicted, does not happen here: no program can tell it from success.)
//! - *Read error*: a process that starts reads noise where the file was, or is told so; the disk still holds it.
//!
//! After a refusal nothing more is written to the file until the process has been told: no later write of the same
//! step lands behind the gap.

mod damage;
mod room;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::room::Room;
pub use self::room::Usage;

use crate::{
    core::{Deferred, DiskError, DiskOp, FileName, Files},
    event::EventKind,
    name::HostId,
    scenario::{
        dice::{DISK_CRASH, DISK_JOURNAL},
        plan::{DiskFailure, FileKind},
    },
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
    ailments: Vec<Ailment>,
    /// Files of which something was refused that the process has not been told yet.
    refused: BTreeSet<FileName>,
    room: Room,
}

/// A fault under way.
#[derive(Debug)]
struct Ailment {
    fault: u32,
    files: FileKind,
    how: DiskFailure,
    /// How much of a write lands.
    die: Die,
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
            ailments: Vec::new(),
            refused: BTreeSet::new(),
            room: Room::default(),
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
    /// An empty disk of this size in bytes, or without a limit.
    pub fn of(total: Option<u64>) -> Self {
        Self { room: Room::of(total), ..Self::default() }
    }

    /// How full it is, if it has a size.
    pub fn usage(&self) -> Option<Usage> {
        self.room.usage()
    }

    /// Another program takes up so many bytes, or what there is, until the same fault is cured.
    pub fn fill(&mut self, fault: u32, bytes: u64) {
        self.room.fill(fault, bytes);
    }

    /// Makes a change, visible at once, durable only after a sync.
    ///
    /// # Errors
    ///
    /// If the disk refuses: then the process is to be told ([`Self::told`]).
    pub fn change(&mut self, op: DiskOp) -> Result<(), DiskError> {
        if self.refused.contains(op.file()) {
            return Ok(());
        }
        if let Some((error, part)) = self.refusal(&op) {
            self.refused.insert(op.file().clone());
            part.into_iter().for_each(|part| self.make(part));
            return Err(error);
        }
        self.make(op);
        Ok(())
    }

    fn make(&mut self, op: DiskOp) {
        self.made += 1;
        self.room.count(&op);
        let change = Change { nth: self.made, op };
        if change.is_journaled() {
            self.journal.push(change);
        } else {
            self.data.entry(change.op.file().clone()).or_default().push(change);
        }
    }

    /// Why a change is not made, and what of it is made all the same.
    fn refusal(&mut self, op: &DiskOp) -> Option<(DiskError, Option<DiskOp>)> {
        if matches!(op, DiskOp::Truncate { .. } | DiskOp::Remove { .. }) {
            return None;
        }
        if self.room.lacks(op) {
            return Some((DiskError::Full, None));
        }
        let refuses = |ailment: &&mut Ailment| {
            matches!(ailment.how, DiskFailure::Write | DiskFailure::Full) && ailment.files.has(op.file())
        };
        let ailment = self.ailments.iter_mut().find(refuses)?;
        match (ailment.how, op) {
            (DiskFailure::Full, _) => Some((DiskError::Full, None)),
            (_, DiskOp::Append { file, bytes }) => {
                let landed = ailment.die.below(bytes.len() as u64 + 1) as usize;
                let part = DiskOp::Append { file: file.clone(), bytes: bytes[..landed].into() };
                Some((DiskError::Write, (landed > 0).then_some(part)))
            }
            _ => Some((DiskError::Write, None)),
        }
    }

    /// The process is told that something of this file was refused: it may go on with it.
    pub fn told(&mut self, file: &FileName) {
        self.refused.remove(file);
    }

    /// From now on operations on these files fail, until the same fault is cured.
    pub fn ail(&mut self, fault: u32, files: FileKind, how: DiskFailure, die: Die) {
        self.ailments.push(Ailment { fault, files, how, die });
    }

    /// Ends what this fault did.
    pub fn cure(&mut self, fault: u32) {
        self.ailments.retain(|ailment| ailment.fault != fault);
        self.room.empty(fault);
    }

    fn ails(&self, file: &str, how: DiskFailure) -> bool {
        self.ailments.iter().any(|ailment| ailment.how == how && ailment.files.has(file))
    }

    /// A file that a process that starts cannot read.
    pub fn unreadable(&self) -> Option<FileName> {
        let file = self.durable.keys().find(|file| self.ails(file, DiskFailure::Read));
        file.cloned()
    }

    /// Takes an effect that waits for `file`.
    pub fn after_sync(&mut self, file: &FileName, then: Deferred<M>) -> AfterSync<M> {
        if self.refused.contains(file) {
            return AfterSync::Waits;
        }
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
    ///
    /// # Errors
    ///
    /// If it failed: whatever waited for it, or for the next one, is gone.
    pub fn synced(&mut self, file: &FileName) -> Result<(Vec<Deferred<M>>, bool), DiskError> {
        let sync = self.syncs.remove(file).expect("a sync ends once, after it began");
        if self.ails(file, DiskFailure::SyncKept) {
            return Err(DiskError::Sync);
        }
        if self.ails(file, DiskFailure::SyncDropped) {
            self.drop_unsynced(file);
            return Err(DiskError::Sync);
        }
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
        Ok((sync.waiting, again))
    }

    fn drop_unsynced(&mut self, file: &FileName) {
        self.data.remove(file);
        let is_lost = |change: &Change| matches!(&change.op, DiskOp::Replace { file: replaced, .. } if replaced == file);
        self.journal.retain(|change| !is_lost(change));
        self.recount();
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
        self.refused.clear();
    }

    /// The machine lost power. Returns what happened to files.
    pub fn power_lost(&mut self, dice: &Dice, host: HostId) -> Vec<EventKind> {
        self.process_died();
        self.crashes += 1;
        let mut survivors = std::mem::take(&mut self.journal);
        let committed = dice.at(DISK_JOURNAL, (host, self.crashes)).below(survivors.len() as u64 + 1);
        survivors.truncate(committed as usize);
        let mut damages = Vec::new();
        for (file, changes) in std::mem::take(&mut self.data) {
            if changes.is_empty() {
                continue;
            }
            let die = dice.at(DISK_CRASH, (host, self.crashes, file.clone()));
            let (kept, damage) = damage(&file, changes, die);
            survivors.extend(kept);
            damages.push(damage);
        }
        survivors.sort_by_key(|change| change.nth);
        self.write(survivors);
        self.recount();
        damages
    }

    fn recount(&mut self) {
        if self.room.total().is_some() {
            let files = self.visible();
            self.room.recount(files.into_iter().map(|(name, bytes)| (name, bytes.len() as u64)));
        }
    }

    /// Another, empty disk is put in while the machine is off.
    pub fn wiped(&mut self) {
        let room = Room::of(self.room.total());
        *self = Self { made: self.made, crashes: self.crashes, room, ..Self::default() };
    }

    /// What a booting process finds: noise where it cannot read.
    pub fn files(&self) -> Files {
        let files = self.visible();
        let content = |name: &FileName, bytes: Vec<u8>| match self.ails(name, DiskFailure::Read) {
            true => Arc::from([NOISE; STRIP]),
            false => Arc::from(bytes),
        };
        files.into_iter().map(|(name, bytes)| (name.clone(), content(&name, bytes))).collect()
    }

    /// What was written, durable or not.
    fn visible(&self) -> BTreeMap<FileName, Vec<u8>> {
        let mut files = self.durable.clone();
        let mut pending: Vec<_> = self.data.values().flatten().chain(&self.journal).collect();
        pending.sort_by_key(|change| change.nth);
        for change in pending {
            apply(&mut files, &change.op);
        }
        files
    }

    /// What a process that runs reads of a file that is damaged under it.
    pub fn reread(&self, file: &FileName) -> Option<Arc<[u8]>> {
        self.files().remove(file)
    }
}

/// The most that one write sends astray, in bytes.
const STRIP: usize = 64;

/// What stands for bytes that cannot be read.
const NOISE: u8 = 0xa5;

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
mod tests;
