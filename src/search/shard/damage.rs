//! Damage — decides what a copy does when its disk refuses it something, or holds something else than was written.
//! It never repairs a file: a copy that fails is built anew from another one.

use std::sync::Arc;

use super::{Flush, Phase, Shard, Store};
use crate::{
    core::{FileName, Files},
    event::EventKind,
    search::{
        shard::durability::Background,
        shards::{ShardRefusal, Step},
    },
};

impl Shard {
    /// The disk has refused something. The copy fails (a tragic event of Elasticsearch's engine); whatever it is
    /// opened from again is what the disk holds now.
    pub fn disk_failed(&mut self, step: &mut Step<'_, '_>, why: &str, found: Files) {
        if !matches!(self.phase, Phase::Closed | Phase::Failed { .. }) {
            self.fail(step, why);
        }
        self.let_go(step);
        self.disk = found;
    }

    /// Reading a file gives something else than was written.
    pub fn reread(&mut self, file: &FileName, bytes: &Arc<[u8]>) {
        if let Some(store) = &mut self.store {
            store.engine.reread(file, bytes);
        } else if let Some(held) = self.disk.get_mut(file) {
            *held = bytes.clone();
        }
    }

    /// Nothing is read from files that may be damaged before their checksums are right.
    pub(super) fn check_reads(&mut self, step: &mut Step<'_, '_>) -> Result<(), ShardRefusal> {
        let Some(store) = &mut self.store else { return Ok(()) };
        let sound = store.engine.check_reread();
        self.or_fail(step, sound)
    }

    /// A damaged file is reported before the copy fails for it, and the copy is not opened from it again (the marker
    /// file of Elasticsearch's `Store.markStoreCorrupted`).
    pub(super) fn mark_if_corrupt(&mut self, step: &mut Step<'_, '_>) -> bool {
        let damaged = self.store.as_ref().and_then(|store| store.engine.damaged_by_rereading());
        let Some(file) = damaged else { return false };
        let (shard, allocation) = (self.id.clone(), self.allocation);
        step.note(EventKind::CorruptionFound { shard, allocation, file: file.clone() });
        self.marker = Some(file);
        true
    }

    /// Nothing of a corrupt copy is used any more; its files are still to be removed.
    pub(super) fn let_go_corrupt(&mut self, step: &mut Step<'_, '_>) {
        let files = self.store.as_ref().map(Store::files).unwrap_or_default();
        self.let_go(step);
        self.disk = files.into_iter().map(|file| (file, Arc::default())).collect();
    }

    // What it holds in memory is not what its disk holds.
    fn let_go(&mut self, step: &mut Step<'_, '_>) {
        (self.store, self.replaced, self.late) = (None, None, None);
        (self.flush, self.background) = (Flush::Idle, Background::Clean);
        self.contexts.clear();
        self.store_life = step.desk.draw();
    }
}
