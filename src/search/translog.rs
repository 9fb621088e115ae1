//! Translog — decides how operations are kept on disk so that none that was acknowledged is lost. It never
//! decides when to sync or cut.
//!
//! A generation is a file of frames: length, checksum, record, a last byte. Records are only added at the end; a cut
//! writes what is still needed into the next generation and removes the older ones afterwards. Reading tells
//! a torn tail (the end of an unsynced write: nothing was promised about it, it is cut off) from damage (what was
//! promised is gone: the copy must fail), as Elasticsearch's `TranslogCorruptedException` does by its checkpoint
//! file: a torn write is its first bytes, followed by nothing or zeros, and so lacks the last byte of a frame.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    core::{DiskOp, FileName, Files},
    name::SeqNo,
    search::operation::Operation,
};

/// Length (4 bytes), its complement (4 bytes) and checksum (8 bytes), little-endian.
const HEADER: usize = 16;

/// The last byte of a frame, never zero.
const END: u8 = 0xff;

/// An entry of the translog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A generation begins; every operation up to here is on all in-sync copies.
    Begin {
        /// The global checkpoint as known then.
        global_checkpoint: SeqNo,
    },
    /// An operation; it takes the place of an earlier one of its number.
    Operation {
        /// The operation.
        operation: Arc<Operation>,
        /// The global checkpoint as known then.
        global_checkpoint: SeqNo,
    },
    /// These operations are void: the primary does not have them.
    Trim {
        /// Their numbers.
        void: Vec<SeqNo>,
    },
}

/// A translog that cannot be trusted: a frame is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {at}")]
pub struct Damage {
    /// The file.
    pub file: FileName,
    /// Where the damaged frame begins.
    pub at: usize,
}

/// What a translog holds, replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Operations by number; later records have taken the place of earlier ones.
    pub operations: BTreeMap<SeqNo, Arc<Operation>>,
    /// The highest global checkpoint that it knows of.
    pub global_checkpoint: Option<SeqNo>,
}

/// The translog of one copy.
#[derive(Debug)]
pub struct Translog {
    prefix: Arc<str>,
    generation: u64,
    older: Vec<FileName>,
    journal: Vec<DiskOp>,
}

impl Translog {
    /// A new translog whose files are named `prefix` + generation.
    pub fn create(prefix: &str, global_checkpoint: SeqNo) -> Self {
        let mut translog =
            Self { prefix: prefix.into(), generation: 1, older: Vec::new(), journal: Vec::new() };
        translog.append(&Record::Begin { global_checkpoint });
        translog
    }

    /// The translog that a disk holds, and what it says. A torn tail is cut off.
    ///
    /// # Errors
    ///
    /// If a frame is damaged that was whole once.
    pub fn open(prefix: &str, disk: &Files) -> Result<(Self, Replayed), Damage> {
        let mut generations: Vec<(u64, &FileName)> =
            disk.keys().filter_map(|file| Some((file.strip_prefix(prefix)?.parse().ok()?, file))).collect();
        generations.sort_unstable();
        let Some(&(generation, _)) = generations.last() else {
            return Ok((Self::create(prefix, SeqNo::NONE), Replayed::default()));
        };
        let mut replayed = Replayed::default();
        let mut journal = Vec::new();
        for (_, file) in &generations {
            let sound = replayed.read(file, &disk[*file])?;
            if sound < disk[*file].len() {
                journal.push(DiskOp::Truncate { file: (*file).clone(), len: sound as u64 });
            }
        }
        generations.pop();
        let older = generations.into_iter().map(|(_, file)| file.clone()).collect();
        Ok((Self { prefix: prefix.into(), generation, older, journal }, replayed))
    }

    /// The file that is written now: syncing it makes every record durable that a reader needs.
    pub fn file(&self) -> FileName {
        format!("{}{}", self.prefix, self.generation).into()
    }

    /// Every file of it.
    pub fn files(&self) -> Vec<FileName> {
        self.older.iter().cloned().chain([self.file()]).collect()
    }

    /// Adds a record; gives its length in bytes.
    pub fn append(&mut self, record: &Record) -> u64 {
        let bytes: Arc<[u8]> = frame(record).into();
        let len = bytes.len() as u64;
        self.journal.push(DiskOp::Append { file: self.file(), bytes });
        len
    }

    /// Begins a new generation with the operations that are still needed; the older files stay until
    /// [`Self::drop_older`].
    pub fn cut<'a>(&mut self, kept: impl Iterator<Item = &'a Arc<Operation>>, global_checkpoint: SeqNo) {
        self.older.push(self.file());
        self.generation += 1;
        let mut bytes = frame(&Record::Begin { global_checkpoint });
        for operation in kept {
            bytes.extend(frame(&Record::Operation { operation: operation.clone(), global_checkpoint }));
        }
        self.journal.push(DiskOp::Append { file: self.file(), bytes: bytes.into() });
    }

    /// The new generation is durable: removes the older ones.
    pub fn drop_older(&mut self) {
        self.journal.extend(self.older.drain(..).map(|file| DiskOp::Remove { file }));
    }

    /// Changes to the disk since the last call, in order.
    pub fn drain(&mut self) -> Vec<DiskOp> {
        std::mem::take(&mut self.journal)
    }
}

impl Replayed {
    /// Reads a generation; gives the length of its sound part.
    fn read(&mut self, file: &FileName, bytes: &[u8]) -> Result<usize, Damage> {
        let mut at = 0;
        while let Some((record, next)) = unframe::<Record>(bytes, at) {
            self.replay(record);
            at = next;
        }
        let sound_behind = || (at + 1..bytes.len()).any(|at| unframe::<Record>(bytes, at).is_some());
        if !is_torn(&bytes[at..]) || sound_behind() { Err(Damage { file: file.clone(), at }) } else { Ok(at) }
    }

    fn replay(&mut self, record: Record) {
        match record {
            Record::Begin { global_checkpoint } => self.learn(global_checkpoint),
            Record::Operation { operation, global_checkpoint } => {
                self.learn(global_checkpoint);
                self.operations.insert(operation.seq_no, operation);
            }
            Record::Trim { void } => self.operations.retain(|seq_no, _| !void.contains(seq_no)),
        }
    }

    fn learn(&mut self, global_checkpoint: SeqNo) {
        self.global_checkpoint = self.global_checkpoint.max(Some(global_checkpoint));
    }
}

/// Puts a value into a frame of its own.
///
/// # Panics
///
/// If the value takes 4 GiB or more.
pub fn frame(value: &impl Serialize) -> Vec<u8> {
    let payload = postcard::to_stdvec(value).expect("records are made of plain values");
    let len = u32::try_from(payload.len()).expect("a record is far below 4 GiB");
    let mut bytes = Vec::with_capacity(HEADER + payload.len() + 1);
    bytes.extend(len.to_le_bytes());
    bytes.extend((!len).to_le_bytes());
    bytes.extend(xxh3_64(&payload).to_le_bytes());
    bytes.extend(payload);
    bytes.push(END);
    bytes
}

/// The length and checksum in a header, if the length can be trusted.
fn header(bytes: &[u8]) -> Option<(usize, u64)> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (complement, rest) = rest.split_first_chunk::<4>()?;
    let checksum = rest.first_chunk::<8>()?;
    let len = u32::from_le_bytes(*len);
    (len == !u32::from_le_bytes(*complement)).then(|| (len as usize, u64::from_le_bytes(*checksum)))
}

/// Whether these bytes, which no sound frame begins with, can be what a crash left of an unsynced write.
fn is_torn(bytes: &[u8]) -> bool {
    let zero_from = |start: usize| bytes.iter().skip(start).all(|byte| *byte == 0);
    match header(bytes) {
        Some((len, _)) => bytes.len() <= HEADER + len || zero_from(HEADER + len),
        None => bytes.len() < HEADER || zero_from(HEADER),
    }
}

/// The value of the frame at `at`, if it is sound, and where the next one begins.
pub fn unframe<T: for<'de> Deserialize<'de>>(bytes: &[u8], at: usize) -> Option<(T, usize)> {
    let (len, checksum) = header(bytes.get(at..)?)?;
    let last = (at + HEADER).checked_add(len)?;
    let payload = bytes.get(at + HEADER..last)?;
    if bytes.len() <= last || xxh3_64(payload) != checksum {
        return None;
    }
    Some((postcard::from_bytes(payload).ok()?, last + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{name::Term, search::operation::Action};

    fn operation(seq_no: i64, term: u64) -> Arc<Operation> {
        let action = Action::Delete { id: format!("doc-{seq_no}") };
        Arc::new(Operation { seq_no: SeqNo(seq_no), term: Term(term), version: 1, action })
    }

    fn appended(seq_no: i64, term: u64) -> Record {
        Record::Operation { operation: operation(seq_no, term), global_checkpoint: SeqNo(seq_no - 1) }
    }

    fn carry_out(disk: &mut Files, ops: Vec<DiskOp>) {
        for op in ops {
            match op {
                DiskOp::Append { file, bytes } => {
                    let before = disk.get(&file).map(|held| held.to_vec()).unwrap_or_default();
                    disk.insert(file, [&before[..], &bytes[..]].concat().into());
                }
                DiskOp::Truncate { file, len } => {
                    let kept = disk[&file][..len as usize].into();
                    disk.insert(file, kept);
                }
                DiskOp::Replace { file, bytes } => {
                    disk.insert(file, bytes);
                }
                DiskOp::Remove { file } => {
                    disk.remove(&file);
                }
            }
        }
    }

    fn written(records: &[Record]) -> (Translog, Files) {
        let mut translog = Translog::create("t.", SeqNo::NONE);
        records.iter().for_each(|record| _ = translog.append(record));
        let mut disk = Files::new();
        carry_out(&mut disk, translog.drain());
        (translog, disk)
    }

    fn numbers(replayed: &Replayed) -> Vec<i64> {
        replayed.operations.keys().map(|seq_no| seq_no.0).collect()
    }

    #[test]
    fn operations_and_checkpoint_are_read_back() {
        let (_, disk) = written(&[appended(0, 1), appended(1, 1)]);
        let (translog, replayed) = Translog::open("t.", &disk).unwrap();
        assert_eq!(numbers(&replayed), [0, 1]);
        assert_eq!(replayed.global_checkpoint, Some(SeqNo(0)));
        assert_eq!(&*translog.file(), "t.1");
    }

    #[test]
    fn later_operation_takes_the_number_and_trimmed_ones_are_void() {
        let (_, disk) = written(&[
            appended(0, 1),
            appended(1, 1),
            appended(2, 1),
            appended(1, 2),
            Record::Trim { void: vec![SeqNo(2)] },
        ]);
        let (_, replayed) = Translog::open("t.", &disk).unwrap();
        assert_eq!(numbers(&replayed), [0, 1]);
        assert_eq!(replayed.operations[&SeqNo(1)].term, Term(2));
    }

    #[test]
    fn torn_tail_is_cut_off_at_every_byte() {
        // Its payload does not end in a zero, which a tail of zeros would make up for.
        let (_, disk) = written(&[appended(0, 1), appended(2, 1)]);
        let whole = disk["t.1"].clone();
        let two =
            frame(&Record::Begin { global_checkpoint: SeqNo::NONE }).len() + frame(&appended(0, 1)).len();
        let cuts = (two..whole.len()).flat_map(|len| [(len, 0), (len, whole.len() - len)]);
        for (len, zeros) in cuts {
            let left = [&whole[..len], &vec![0; zeros]].concat();
            // A record that lacks nothing but its last byte, or zeros, is whole.
            if left.starts_with(&whole[..whole.len() - 1]) && left.len() == whole.len() {
                continue;
            }
            let torn: Files = [("t.1".into(), left.into())].into();
            let (mut translog, replayed) = Translog::open("t.", &torn).unwrap();
            assert_eq!(numbers(&replayed), [0], "cut at {len}");
            let mut disk = torn.clone();
            carry_out(&mut disk, translog.drain());
            assert_eq!(disk["t.1"].len(), two);
        }
    }

    #[test]
    fn damage_is_told_from_a_torn_tail_wherever_it_is() {
        let records = [appended(0, 1), appended(1, 1), appended(2, 1)];
        let (_, disk) = written(&records);
        let whole = disk["t.1"].clone();
        let begin = frame(&Record::Begin { global_checkpoint: SeqNo::NONE }).len();
        let mut last_bytes = vec![begin - 1];
        for record in &records {
            last_bytes.push(last_bytes[last_bytes.len() - 1] + frame(record).len());
        }
        for at in 0..whole.len() {
            let mut rotten = whole.to_vec();
            rotten[at] ^= 0x40;
            let opened = Translog::open("t.", &[("t.1".into(), rotten.into())].into());
            match opened {
                Ok((_, replayed)) if last_bytes.contains(&at) => assert_eq!(numbers(&replayed), [0, 1, 2]),
                opened => assert!(opened.is_err(), "byte {at}"),
            }
        }
    }

    #[test]
    fn cut_keeps_what_is_needed_at_every_crash_point() {
        let (mut translog, disk) = written(&[appended(0, 1), appended(1, 1), appended(2, 1)]);
        translog.cut([&operation(2, 1)].into_iter(), SeqNo(1));
        let cut = translog.drain();
        translog.drop_older();
        let dropped = translog.drain();
        let mut after_cut = disk.clone();
        carry_out(&mut after_cut, cut);
        for len in 0..=after_cut["t.2"].len() {
            let mut torn = after_cut.clone();
            torn.insert("t.2".into(), after_cut["t.2"][..len].into());
            assert_eq!(numbers(&Translog::open("t.", &torn).unwrap().1), [0, 1, 2]);
        }
        carry_out(&mut after_cut, dropped);
        let (translog, replayed) = Translog::open("t.", &after_cut).unwrap();
        assert_eq!((numbers(&replayed), &*translog.file()), (vec![2], "t.2"));
        assert_eq!(replayed.global_checkpoint, Some(SeqNo(1)));
    }
}
