//! Room — decides whether a write still fits on a disk that has a size. It never writes anything.
//!
//! Files take their bytes, durable or not, and nothing more. A replacement needs room for the new file beside the old
//! one, since it is written before the old one goes. What another program takes up is never more than there is.

use std::collections::BTreeMap;

use crate::core::{DiskOp, FileName};

/// What a disk has room for; without a size for everything, and nothing is counted.
#[derive(Debug, Default)]
pub(super) struct Room {
    total: Option<u64>,
    files: BTreeMap<FileName, u64>,
    used: u64,
    /// What others take up, by the fault that makes them.
    others: BTreeMap<u32, u64>,
}

/// How full a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Its size in bytes.
    pub total: u64,
    /// What is free, in bytes.
    pub free: u64,
    /// The host's files.
    pub files: BTreeMap<FileName, u64>,
}

impl Room {
    pub(super) fn of(total: Option<u64>) -> Self {
        Self { total, ..Self::default() }
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    fn free(&self, total: u64) -> u64 {
        total.saturating_sub(self.used + self.others.values().sum::<u64>())
    }

    /// Whether a change would need more than is free.
    pub(super) fn lacks(&self, op: &DiskOp) -> bool {
        let (DiskOp::Append { bytes, .. } | DiskOp::Replace { bytes, .. }) = op else { return false };
        self.total.is_some_and(|total| bytes.len() as u64 > self.free(total))
    }

    /// A change was made.
    pub(super) fn count(&mut self, op: &DiskOp) {
        if self.total.is_none() {
            return;
        }
        let former = self.files.remove(op.file());
        let now = match op {
            DiskOp::Append { bytes, .. } => Some(former.unwrap_or_default() + bytes.len() as u64),
            DiskOp::Truncate { len, .. } => Some(former.unwrap_or_default().min(*len)),
            DiskOp::Replace { bytes, .. } => Some(bytes.len() as u64),
            DiskOp::Remove { .. } => None,
        };
        self.used = self.used - former.unwrap_or_default() + now.unwrap_or_default();
        self.files.extend(now.map(|len| (op.file().clone(), len)));
    }

    /// These are the files now.
    pub(super) fn recount(&mut self, files: impl Iterator<Item = (FileName, u64)>) {
        if self.total.is_some() {
            self.files = files.collect();
            self.used = self.files.values().sum();
        }
    }

    /// Another program takes up so much, or what there is.
    pub(super) fn fill(&mut self, fault: u32, bytes: u64) {
        if let Some(total) = self.total {
            self.others.insert(fault, bytes.min(self.free(total)));
        }
    }

    /// It gives it back.
    pub(super) fn empty(&mut self, fault: u32) {
        self.others.remove(&fault);
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        let total = self.total?;
        Some(Usage { total, free: self.free(total), files: self.files.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(file: &str, len: usize) -> DiskOp {
        DiskOp::Append { file: file.into(), bytes: vec![0; len].into() }
    }

    fn replace(file: &str, len: usize) -> DiskOp {
        DiskOp::Replace { file: file.into(), bytes: vec![0; len].into() }
    }

    fn free(room: &Room) -> u64 {
        room.usage().unwrap().free
    }

    #[test]
    fn files_take_their_bytes_and_give_them_back() {
        let mut room = Room::of(Some(100));
        room.count(&append("a", 30));
        room.count(&append("a", 30));
        assert_eq!(free(&room), 40);
        room.count(&DiskOp::Truncate { file: "a".into(), len: 10 });
        room.count(&replace("b", 5));
        room.count(&replace("b", 20));
        assert_eq!(free(&room), 70);
        room.count(&DiskOp::Remove { file: "b".into() });
        assert_eq!((free(&room), room.usage().unwrap().files.len()), (90, 1));
    }

    #[test]
    fn write_beyond_the_size_lacks_room_and_a_cut_never_does() {
        let mut room = Room::of(Some(100));
        room.count(&append("a", 60));
        assert!(room.lacks(&append("b", 41)) && !room.lacks(&append("b", 40)));
        assert!(room.lacks(&replace("a", 41)), "the old file is there until the new one is");
        assert!(!room.lacks(&DiskOp::Remove { file: "a".into() }));
        assert!(!Room::of(None).lacks(&append("b", 1 << 20)));
    }

    #[test]
    fn others_take_no_more_than_there_is() {
        let mut room = Room::of(Some(100));
        room.count(&append("a", 60));
        room.fill(7, 1_000);
        assert_eq!(free(&room), 0);
        room.empty(7);
        assert_eq!(free(&room), 40);
    }
}
