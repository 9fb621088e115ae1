//! Flush — decides when segments become durable and the translog is cut. It never loses an operation doing so.
//!
//! Segments first, then `meta.json` that names them, then the translog: each step waits for the disk. A
//! commit is held back until the global checkpoint has reached it, so that the disk's commit is always safe.

use super::{Phase, Shard};
use crate::{
    core::FileName,
    event::EventKind,
    name::SeqNo,
    search::{
        engine::Failure,
        shards::{Awaited, Step},
    },
};

/// How far a flush is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// None is under way.
    Idle,
    /// A commit is prepared and waits for the global checkpoint.
    Prepared,
    /// So many files of the commit are being synced.
    Syncing { left: usize },
    /// `meta.json` is being synced.
    Naming,
    /// The translog's new generation is being synced.
    Cutting,
}

impl Shard {
    /// After operations or a new global checkpoint: begins a flush, or goes on with one.
    pub(super) fn flush_if_due(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let (due_after, threshold) =
            (step.desk.config.search.flush_operations, step.pace(&self.id).flush_threshold);
        let serves = self.serves();
        let Some(store) = &mut self.store else { return Ok(()) };
        if self.flush == Flush::Idle
            && serves
            && (store.uncommitted() >= due_after || store.uncommitted_bytes() >= threshold)
        {
            store.prepare_commit()?;
            if store.engine.candidate().is_some() {
                self.flush = Flush::Prepared;
            }
        }
        self.publish_if_safe(step)
    }

    fn publish_if_safe(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        if self.flush != Flush::Prepared {
            return Ok(());
        }
        let store = self.open_store();
        let Some(commit) = store.engine.candidate() else {
            // The engine was built anew: the commit held an operation that is void now.
            self.flush = Flush::Idle;
            return Ok(());
        };
        if commit.max_seq_no <= store.global_checkpoint() {
            store.engine.begin_publish();
            self.sync_commit(step)?;
        }
        Ok(())
    }

    /// Has the files of the commit on its way synced.
    pub(super) fn sync_commit(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        self.hand_on_disk(step);
        let replacing = self.replaced.is_some();
        let store = self.open_store();
        let mut files = store.engine.files_to_sync();
        files.extend(replacing.then(|| store.translog_file()));
        self.flush = Flush::Syncing { left: files.len() };
        for file in &files {
            self.await_store(step, file, Awaited::CommitFile);
        }
        if files.is_empty() { self.name_commit(step) } else { Ok(()) }
    }

    pub(super) fn commit_file_synced(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let Flush::Syncing { left } = &mut self.flush else { return Ok(()) };
        *left -= 1;
        if *left == 0 { self.name_commit(step) } else { Ok(()) }
    }

    fn name_commit(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let meta = self.open_store().engine.name_commit();
        self.hand_on_disk(step);
        self.flush = Flush::Naming;
        self.await_store(step, &meta, Awaited::CommitNamed);
        Ok(())
    }

    pub(super) fn commit_named(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        if self.replaced.is_some() {
            return self.switch_folder(step);
        }
        let store = self.open_store();
        store.engine.published();
        let up_to = store.committed();
        store.cut_translog();
        let translog = store.translog_file();
        let (shard, allocation) = (self.id.clone(), self.allocation);
        step.note(EventKind::CopyFlushed { shard, allocation, up_to });
        self.hand_on_disk(step);
        self.flush = Flush::Cutting;
        self.await_store(step, &translog, Awaited::TranslogCut);
        Ok(())
    }

    pub(super) fn translog_cut(&mut self) -> Result<(), Failure> {
        if self.flush == Flush::Cutting {
            self.flush = Flush::Idle;
            let needed_above = self.needed_above();
            let store = self.open_store();
            store.drop_old_translog();
            store.prune_history(needed_above);
        }
        Ok(())
    }

    // What a copy that is behind may still ask for.
    fn needed_above(&self) -> SeqNo {
        let store = self.store.as_ref().map_or(SeqNo::NONE, |store| store.global_checkpoint());
        match &self.phase {
            Phase::Primary(primary) => primary.needed_above().min(store),
            _ => store,
        }
    }

    fn await_store(&self, step: &mut Step<'_, '_>, file: &FileName, awaited: Awaited) {
        let ticket = self.ticket(awaited);
        step.tell_after_sync(file, super::Ticket { life: self.store_life, ..ticket });
    }
}
