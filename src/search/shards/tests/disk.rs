//! Disk — decides what a test node's files hold before and after a crash: two images, volatile and durable. It
//! never draws: the test says what is lost.

use std::{collections::BTreeSet, sync::Arc};

use crate::core::{DiskOp, FileName, Files};

/// What a crash does to what is not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// It is gone.
    All,
    /// It survives.
    Nothing,
    /// Of each file, half of what was added survives.
    Torn,
}

/// The two images of a node's files.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) volatile: Files,
    pub(super) durable: Files,
    /// Files that were written anew as a whole: a crash leaves the old or the new.
    replaced: BTreeSet<FileName>,
}

impl Disk {
    pub(super) fn carry_out(&mut self, op: DiskOp) {
        let file = op.file().clone();
        let before = self.volatile.get(&file).map(|held| held.to_vec()).unwrap_or_default();
        let after: Option<Arc<[u8]>> = match op {
            DiskOp::Append { bytes, .. } => Some([&before[..], &bytes[..]].concat().into()),
            DiskOp::Truncate { len, .. } => Some(before[..len as usize].into()),
            DiskOp::Replace { bytes, .. } => {
                self.replaced.insert(file.clone());
                Some(bytes)
            }
            DiskOp::Remove { .. } => None,
        };
        set(&mut self.volatile, &file, after);
    }

    pub(super) fn sync(&mut self, file: &FileName) {
        let held = self.volatile.get(file).cloned();
        set(&mut self.durable, file, held);
    }

    pub(super) fn crash(&mut self, loss: Loss) {
        let names: BTreeSet<FileName> = self.volatile.keys().chain(self.durable.keys()).cloned().collect();
        for file in names {
            let (new, old) = (self.volatile.get(&file), self.durable.get(&file));
            let kept = match loss {
                Loss::All => old.cloned(),
                Loss::Nothing => new.cloned(),
                Loss::Torn if self.replaced.contains(&file) => old.cloned(),
                Loss::Torn => torn(old, new),
            };
            set(&mut self.durable, &file, kept);
        }
        self.volatile.clone_from(&self.durable);
    }
}

fn set(files: &mut Files, file: &FileName, bytes: Option<Arc<[u8]>>) {
    match bytes {
        Some(bytes) => files.insert(file.clone(), bytes),
        None => files.remove(file),
    };
}

fn torn(old: Option<&Arc<[u8]>>, new: Option<&Arc<[u8]>>) -> Option<Arc<[u8]>> {
    let kept = old.map(|old| old.len()).unwrap_or_default();
    let new = new?;
    if !new.starts_with(old.map(|old| &old[..]).unwrap_or_default()) {
        return old.cloned();
    }
    let half = kept + (new.len() - kept) / 2;
    (half > 0).then(|| new[..half].into())
}
