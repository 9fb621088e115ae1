//! Target — decides how a copy that recovers from the primary gets level. It never serves before it is.

use super::{Phase, Shard, durability::Background, flush::Flush};
use crate::{
    core::DiskOp,
    event::{EventKind, Word},
    name::{HostId, SeqNo, Term},
    search::{
        engine::Failure,
        recovery::{CommitFile, Download, Progress, Target},
        shards::{Awaited, Body, Operations, PrimaryContext, Purpose, Step},
    },
};

impl Shard {
    /// The copy is open: what it has above the global checkpoint may be void, what it lacks is to come.
    pub(super) fn begin_recovery(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        self.open_store().doubt();
        self.phase = Phase::Recovering(Target::new());
        self.look_for_source(step)
    }

    /// Asks the primary that the newest state shows, unless it has been asked.
    pub(super) fn look_for_source(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let primary = self.table(step).and_then(|table| table.primary()).filter(|copy| copy.is_active());
        let source = primary.and_then(|copy| Some((copy.node?, copy.allocation?)));
        let Phase::Recovering(target) = &mut self.phase else { return Ok(()) };
        let same = source == target.source && !matches!(target.progress, Progress::NoSource);
        if same || matches!(target.progress, Progress::Installing) {
            return Ok(());
        }
        match source {
            Some(source) => self.ask(step, source),
            None => {
                target.progress = Progress::NoSource;
                target.acts_at = None;
            }
        }
        Ok(())
    }

    fn ask(&mut self, step: &mut Step<'_, '_>, source: (HostId, crate::name::AllocationId)) {
        let (attempt, deadline) = (step.desk.draw(), step.request_deadline());
        let store = self.open_store();
        store.doubt();
        let next = store.global_checkpoint().next();
        if let Phase::Recovering(target) = &mut self.phase {
            target.ask(attempt, source, deadline);
        }
        step.send(source.0, self.message(source.1, Body::Recover { attempt, next }));
    }

    fn target_of(&mut self, attempt: u64) -> Option<&mut Target> {
        match &mut self.phase {
            Phase::Recovering(target) if target.attempt == attempt => Some(target),
            _ => None,
        }
    }

    /// The primary cannot be asked now, or does not have this copy in its state yet.
    pub(super) fn recovery_put_off(&mut self, step: &mut Step<'_, '_>, attempt: u64) -> Result<(), Failure> {
        let delay = step.pace(&self.id).retry_state;
        let until = step.after(delay);
        if let Some(target) = self.target_of(attempt) {
            target.back_off(until);
        }
        Ok(())
    }

    pub(super) fn source_lost(&mut self, step: &mut Step<'_, '_>, node: HostId) {
        let pace = step.pace(&self.id);
        let Phase::Recovering(target) = &mut self.phase else { return };
        let asked = target.source.is_some_and(|(source, _)| source == node);
        let waiting =
            matches!(target.progress, Progress::Asked | Progress::Fetching(_) | Progress::Following);
        if asked && waiting {
            // A recovery that had begun begins anew; one that could not begin waits for the network.
            let begun = !matches!(target.progress, Progress::Asked);
            let delay = if begun { pace.retry_state } else { pace.retry_network };
            target.back_off(step.after(delay));
        }
    }

    pub(super) fn target_wake(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let now = step.now();
        let Phase::Recovering(target) = &mut self.phase else { return Ok(()) };
        if target.acts_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        target.progress = Progress::NoSource;
        target.acts_at = None;
        self.look_for_source(step)
    }

    fn announce(&mut self, step: &mut Step<'_, '_>, from: impl Into<Word>) {
        if let Phase::Recovering(target) = &mut self.phase
            && !std::mem::replace(&mut target.announced, true)
        {
            self.recovery_started(step, from);
        }
    }

    /// Operations are about to be taken; they may be part of this recovery.
    pub(super) fn recovery_goes_on(&mut self, step: &mut Step<'_, '_>, operations: &Operations) {
        let Purpose::Recovery { attempt } = operations.purpose else { return };
        let deadline = step.request_deadline();
        let Some(target) = self.target_of(attempt) else { return };
        target.progress = Progress::Following;
        target.acts_at = Some(deadline);
        target.operations += operations.operations.len() as u64;
        self.announce(step, "operations");
    }

    /// The primary's history does not reach back far enough: files first.
    pub(super) fn files_offered(
        &mut self,
        step: &mut Step<'_, '_>,
        term: Term,
        attempt: u64,
        files: Vec<CommitFile>,
    ) -> Result<(), Failure> {
        if term != self.term || self.target_of(attempt).is_none() {
            return Ok(());
        }
        self.announce(step, "files");
        let held = self.open_store().engine.snapshot();
        if let Some(target) = self.target_of(attempt) {
            target.progress = Progress::Fetching(Download::new(files, &held));
        }
        self.fetch(step, attempt)
    }

    fn fetch(&mut self, step: &mut Step<'_, '_>, attempt: u64) -> Result<(), Failure> {
        let pace = step.pace(&self.id);
        let at_a_time = pace.chunks_on_the_way;
        let deadline = step.request_deadline() + pace.recovery_pause();
        let Some(target) = self.target_of(attempt) else { return Ok(()) };
        let (Progress::Fetching(download), Some((node, source))) = (&mut target.progress, target.source)
        else {
            return Ok(());
        };
        let (pieces, files) = (download.next_pieces(at_a_time), download.finish());
        let damaged = files.as_ref().is_some_and(|files| !download.is_sound(files));
        target.acts_at = Some(deadline);
        for (file, offset) in pieces {
            step.send(node, self.message(source, Body::Fetch { attempt, file, offset }));
        }
        match files {
            Some(_) if damaged => self.recovery_put_off(step, attempt),
            Some(files) => self.install(step, &files),
            None => Ok(()),
        }
    }

    /// A piece of a file.
    pub(super) fn chunk_received(
        &mut self,
        step: &mut Step<'_, '_>,
        attempt: u64,
        file: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let Some(Target { progress: Progress::Fetching(download), .. }) = self.target_of(attempt) else {
            return Ok(());
        };
        if download.receive(file, offset, bytes) {
            self.fetch(step, attempt)
        } else {
            self.recovery_put_off(step, attempt)
        }
    }

    // The old folder stays until `state` durably names the new one: until then a restart finds the copy as
    // it was, with every operation that it has ever promised.
    fn install(
        &mut self,
        step: &mut Step<'_, '_>,
        files: &std::collections::BTreeMap<String, std::sync::Arc<[u8]>>,
    ) -> Result<(), Failure> {
        let installed = match self.open_store().install(files) {
            Ok(installed) => installed,
            Err(_) => {
                let attempt = if let Phase::Recovering(target) = &self.phase { target.attempt } else { 0 };
                return self.recovery_put_off(step, attempt);
            }
        };
        self.hand_on_disk(step);
        let (shard, allocation, up_to) = (self.id.clone(), self.allocation, installed.committed());
        step.note(EventKind::FilesInstalled { shard, allocation, up_to });
        self.replaced = self.store.replace(installed);
        self.store_life = step.desk.draw();
        // What is in the new translog is synced with the commit.
        self.background = Background::Clean;
        if let Phase::Recovering(target) = &mut self.phase {
            target.progress = Progress::Installing;
            target.acts_at = None;
        }
        self.sync_commit(step)
    }

    /// The files are durable, and `meta.json` names them: `state` may name the folder.
    pub(super) fn switch_folder(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        self.flush = Flush::Idle;
        let store = self.open_store();
        store.engine.published();
        store.write_state();
        let state = store.state_file();
        self.hand_on_disk(step);
        step.tell_after_sync(
            &state,
            super::Ticket { life: self.store_life, ..self.ticket(Awaited::Switched) },
        );
        Ok(())
    }

    pub(super) fn switched(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        if let Some(old) = self.replaced.take() {
            let state = old.state_file();
            for file in old.files().into_iter().filter(|file| *file != state) {
                step.ctx.out.disk(DiskOp::Remove { file });
            }
        }
        if let Phase::Recovering(target) = &mut self.phase {
            target.progress = Progress::NoSource;
        }
        self.look_for_source(step)
    }

    /// The copy is closed or built anew while its store was being replaced: back to the one that `state`
    /// names on disk.
    pub(super) fn undo_install(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let Some(old) = self.replaced.take() else { return Ok(()) };
        self.hand_on_disk(step);
        if let Some(mut installed) = self.store.replace(old) {
            installed.drain();
            let state = installed.state_file();
            for file in installed.files().into_iter().filter(|file| *file != state) {
                step.ctx.out.disk(DiskOp::Remove { file });
            }
        }
        self.open_store().write_state();
        self.store_life = step.desk.draw();
        self.flush = Flush::Idle;
        // A sync that went on when the files were installed is told to nobody.
        self.background = Background::Clean;
        self.sync_later(step);
        if self.open_store().engine.publishing().is_some() { self.sync_commit(step) } else { Ok(()) }
    }

    /// The primary says that this copy is level; to the copy that replaces it, it hands over its role too.
    pub(super) fn recovery_finalized(
        &mut self,
        step: &mut Step<'_, '_>,
        term: Term,
        attempt: u64,
        global_checkpoint: SeqNo,
        context: Option<PrimaryContext>,
    ) -> Result<(), Failure> {
        let Some(target) = self.target_of(attempt) else { return Ok(()) };
        let operations = target.operations;
        if term != self.term || !matches!(self.phase_progress(), Some(Progress::Following)) {
            return Ok(());
        }
        let store = self.open_store();
        store.learn_global_checkpoint(global_checkpoint, true);
        let above = store.local_checkpoint();
        self.trim(step, above)?;
        self.recovery_completed(step, operations);
        self.phase = Phase::Recovered { term, context };
        self.report_started(step);
        Ok(())
    }

    fn phase_progress(&self) -> Option<&Progress> {
        match &self.phase {
            Phase::Recovering(target) => Some(&target.progress),
            _ => None,
        }
    }
}
