//! Lifecycle — decides what a newer cluster state makes of a copy. It never looks at operations.
//!
//! Only the state says what a copy is: a node that has lost ZooKeeper goes on as it last knew, and the terms
//! at the replicas and the in-sync rule keep that harmless, as in Elasticsearch.

use std::collections::BTreeSet;

use super::{Origin, Phase, Shard, Store};
use crate::{
    core::{DiskOp, FileName},
    event::{CopyState, EventKind},
    name::{AllocationId, Term},
    search::{
        engine::Failure,
        shard::layout::state_file,
        shards::{Awaited, PrimaryContext, Step},
        state::{ClusterState, ShardCopy},
    },
};

/// What a cluster state says of a copy on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Nothing, and its data is of no use.
    Forgotten,
    /// Not (any more) to be open here; its data has every acknowledged write.
    Kept,
    /// To be built.
    Building { from: Origin, failures: u32 },
    /// Serving, as a replica.
    Replica,
    /// Serving, as the primary; perhaps with a target that is to replace it.
    Primary { target: Option<AllocationId> },
}

impl Shard {
    /// A newer cluster state has been applied. Gives whether the copy is done with: its files are gone.
    pub fn react(&mut self, step: &mut Step<'_, '_>) -> bool {
        let role = self.role(step);
        let term = self.table(step).map_or(Term(0), |table| table.term);
        let result = match role {
            Role::Forgotten => {
                self.remove(step);
                return true;
            }
            Role::Kept => self.close(step),
            Role::Building { from, failures } => self.react_building(step, from, failures, term),
            Role::Replica => {
                self.react_replica(step, term);
                Ok(())
            }
            Role::Primary { target } => self.react_primary(step, target, term),
        };
        self.expect(step, role);
        self.settle(step, result);
        false
    }

    /// The node has left the cluster since: in its new session its copies begin anew, since the controller
    /// has forgotten what was said of them in the old one.
    pub fn begin_anew(&mut self, step: &mut Step<'_, '_>) {
        let result = self.close(step);
        self.settle(step, result);
    }

    fn role(&self, step: &Step<'_, '_>) -> Role {
        let Some(table) = self.table(step) else {
            // A node that has just booted may read a state from before the copy was assigned.
            return if knows(&step.desk.state, self.allocation) { Role::Forgotten } else { Role::Kept };
        };
        match table.copy(self.allocation) {
            Some(copy) if copy.node == Some(step.ctx.me) => role_of(copy),
            // Unassigned, it waits for its node; and a copy that may be the last good one is never removed.
            Some(copy) if copy.node.is_none() => Role::Kept,
            _ if !knows(&step.desk.state, self.allocation) => Role::Kept,
            _ if table.in_sync.contains(&self.allocation) => Role::Kept,
            _ => Role::Forgotten,
        }
    }

    fn react_building(
        &mut self,
        step: &mut Step<'_, '_>,
        from: Origin,
        failures: u32,
        term: Term,
    ) -> Result<(), Failure> {
        match &self.phase {
            Phase::Failed { failures: then } if *then >= failures => Ok(()),
            Phase::Opening { from: now, .. } if *now == from => {
                self.learn_term(step, term);
                Ok(())
            }
            Phase::Recovered { term: then, .. } if *then >= term => Ok(()),
            Phase::Recovering(_) if self.term >= term && from == Origin::Peer => self.look_for_source(step),
            // Whatever it was, it is to be built anew: a serving copy that the state shows as initializing
            // has been failed and assigned again in between.
            _ => self.build(step, from, term),
        }
    }

    fn build(&mut self, step: &mut Step<'_, '_>, from: Origin, term: Term) -> Result<(), Failure> {
        self.deactivate(step, "deposed".into());
        self.life = step.desk.draw();
        self.learn_term(step, term);
        let operations = self.open(step)?;
        // Whatever it gets until it serves: its first search shows it (`IndexShard.finalizeRecovery`).
        self.refresh_wanted = true;
        let store = self.open_store();
        if from == Origin::Store && !store.mark_primary(term) {
            self.phase = Phase::Closed;
            return Ok(());
        }
        self.hand_on_disk(step);
        let store = self.open_store();
        // What a process left unsynced when it died may still be volatile: nothing is promised before.
        let files = [store.state_file(), store.translog_file()];
        self.phase = Phase::Opening { operations, from, waiting: files.len() };
        for file in files {
            step.tell_after_sync(&file, self.ticket(Awaited::Opened));
        }
        Ok(())
    }

    // Gives how many operations the translog had beyond the commit.
    fn open(&mut self, step: &mut Step<'_, '_>) -> Result<u64, Failure> {
        self.undo_install(step)?;
        if self.store.is_none() {
            let tried_before = self.entry(step).is_some_and(|copy| copy.failures > 0);
            let in_sync = self.table(step).is_some_and(|table| table.in_sync.contains(&self.allocation));
            let opened = match &self.marker {
                Some(file) => Err(Failure(format!("{file} is damaged"))),
                None => Store::open(&self.id, self.allocation, &self.disk),
            };
            if opened.is_err() {
                self.note_damage(step);
            }
            self.store = match opened {
                Ok(None) if in_sync => return Err(Failure("the data of an in-sync copy is gone".to_owned())),
                Err(failure) if in_sync || !tried_before => return Err(failure),
                Ok(Some(store)) => Some(store),
                Ok(None) | Err(_) => Some(self.start_anew(step)?),
            };
            if !self.disk.is_empty() {
                self.note_opened(step);
            }
            self.disk.clear();
            self.store_life = step.desk.draw();
            self.term = self.term.max(self.open_store().known_term());
        }
        Ok(u64::from(self.open_store().uncommitted()))
    }

    fn note_damage(&self, step: &mut Step<'_, '_>) {
        let damaged = || Store::damaged_file(&self.id, self.allocation, &self.disk);
        if let Some(file) = self.marker.clone().or_else(damaged) {
            let (shard, allocation) = (self.id.clone(), self.allocation);
            step.note(EventKind::CorruptionFound { shard, allocation, file });
        }
    }

    fn note_opened(&self, step: &mut Step<'_, '_>) {
        let Some(store) = &self.store else { return };
        let (shard, allocation, up_to) = (self.id.clone(), self.allocation, store.local_checkpoint());
        step.note(EventKind::CopyOpened { shard, allocation, up_to, above: store.numbers_above(up_to) });
    }

    fn start_anew(&mut self, step: &mut Step<'_, '_>) -> Result<Store, Failure> {
        self.marker = None;
        for file in self.disk.keys().cloned() {
            step.ctx.out.disk(DiskOp::Remove { file });
        }
        Store::create(&self.id, self.allocation)
    }

    /// Its `state` file is durable: a restart will find it.
    pub(super) fn opened(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let Phase::Opening { operations, from, waiting } = &mut self.phase else { return Ok(()) };
        *waiting -= 1;
        if *waiting > 0 {
            return Ok(());
        }
        let (operations, from) = (*operations, *from);
        match from {
            Origin::Peer => self.begin_recovery(step),
            Origin::Store => {
                self.recovery_started(step, "store");
                self.recovery_completed(step, operations);
                self.phase = Phase::Recovered { term: self.term, context: None };
                self.report_started(step);
                Ok(())
            }
        }
    }

    fn react_replica(&mut self, step: &mut Step<'_, '_>, term: Term) {
        match &self.phase {
            Phase::Recovered { .. } => {
                self.learn_term(step, term);
                self.phase = Phase::Replica;
            }
            Phase::Replica => self.learn_term(step, term),
            Phase::Primary(_) | Phase::Relocated(_) | Phase::Promoting { .. } => {
                self.deactivate(step, "deposed".into());
                self.phase = Phase::Deposed;
            }
            _ => {}
        }
    }

    fn react_primary(
        &mut self,
        step: &mut Step<'_, '_>,
        target: Option<AllocationId>,
        term: Term,
    ) -> Result<(), Failure> {
        match &mut self.phase {
            Phase::Recovered { context, .. } => {
                let context = context.take();
                self.promote(step, term, context)
            }
            Phase::Replica => self.promote(step, term, None),
            Phase::Deposed | Phase::Promoting { .. } if term > self.term => self.promote(step, term, None),
            Phase::Primary(_) if term == self.term => self.group_changed(step),
            Phase::Primary(_) => {
                self.deactivate(step, "deposed".into());
                self.promote(step, term, None)
            }
            Phase::Relocated(handed) if target != Some(handed.target) => {
                let context = handed.context.clone();
                self.promote(step, term, Some(context))
            }
            _ => Ok(()),
        }
    }

    // The disk must say that this copy acts in the term before it does.
    fn promote(
        &mut self,
        step: &mut Step<'_, '_>,
        term: Term,
        context: Option<PrimaryContext>,
    ) -> Result<(), Failure> {
        let context = context.filter(|_| term == self.term);
        let store = self.open_store();
        let marked = store.primary_term() >= term;
        if !store.mark_primary(term) {
            return Ok(());
        }
        self.term = term;
        if marked {
            return self.activate(step, context);
        }
        self.hand_on_disk(step);
        self.life = step.desk.draw();
        let state = self.open_store().state_file();
        step.tell_after_sync(&state, self.ticket(Awaited::Marked));
        self.phase = Phase::Promoting { context };
        Ok(())
    }

    /// The disk says so.
    pub(super) fn marked(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let Phase::Promoting { context } = &mut self.phase else { return Ok(()) };
        let context = context.take();
        self.activate(step, context)
    }

    // A copy that the state shows as started and that is not (its node was restarted and nobody noticed, or the
    // controller died with the report of its failure) is reported after a while: the controller should find out by the
    // node's new session before that. Elasticsearch's `IndicesClusterStateService` reports a failure again with each
    // state that still shows the copy.
    fn expect(&mut self, step: &Step<'_, '_>, role: Role) {
        let missing = match role {
            Role::Replica | Role::Primary { .. } => {
                let phase = &self.phase;
                matches!(phase, Phase::Closed | Phase::Deposed | Phase::Recovering(_) | Phase::Failed { .. })
            }
            Role::Building { failures, .. } => match self.phase {
                Phase::Closed => true,
                Phase::Failed { failures: then } => then >= failures,
                _ => false,
            },
            Role::Forgotten | Role::Kept => false,
        };
        self.expected_since = missing.then(|| self.expected_since.unwrap_or(step.now()));
    }

    pub(super) fn report_if_missing(&mut self, step: &mut Step<'_, '_>) {
        let patience = step.desk.missing_after();
        if self.expected_since.is_some_and(|since| since + patience <= step.now()) {
            let has_failed = matches!(self.phase, Phase::Failed { .. });
            self.expected_since = has_failed.then_some(step.now());
            if let Some(table) = self.table(step) {
                self.term = self.term.max(table.term);
            }
            self.report_failed(step, self.allocation, "shown as started, but it is not");
        }
    }

    /// Learns of a term: nothing of an older one is taken from now on.
    pub(super) fn learn_term(&mut self, step: &mut Step<'_, '_>, term: Term) {
        if term <= self.term {
            return;
        }
        self.term = term;
        if let Some(store) = &mut self.store {
            store.doubt();
        }
        if matches!(self.phase, Phase::Replica | Phase::Recovered { .. } | Phase::Recovering(_)) {
            let (shard, allocation) = (self.id.clone(), self.allocation);
            step.note(EventKind::TermAdopted { shard, allocation, term });
        }
    }

    fn close(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        self.contexts.clear();
        self.deactivate(step, "removed".into());
        self.life = step.desk.draw();
        self.phase = Phase::Closed;
        self.undo_install(step)
    }

    fn remove(&mut self, step: &mut Step<'_, '_>) {
        self.deactivate(step, "removed".into());
        self.hand_on_disk(step);
        let (shard, allocation) = (self.id.clone(), self.allocation);
        step.note(EventKind::CopyRemoved { shard, allocation });
        let stores = [&self.store, &self.replaced].into_iter().flatten();
        let mut files: BTreeSet<FileName> = stores.flat_map(Store::files).collect();
        files.extend(self.disk.keys().cloned());
        // `state` first: what remains of a copy without it is of no use to anyone.
        let state: FileName = state_file(&self.id, self.allocation).into();
        for file in files.take(&state).into_iter().chain(files) {
            step.ctx.out.disk(DiskOp::Remove { file });
        }
    }
}

// Allocation ids are drawn in order: one that the state has not drawn yet is from a newer state.
fn knows(state: &ClusterState, allocation: AllocationId) -> bool {
    let (epoch, number) = ((allocation.0 >> 32) as u32, allocation.0 as u32);
    (epoch, number) < (state.epoch.0, state.next_allocation)
}

fn role_of(copy: &ShardCopy) -> Role {
    match copy.state {
        CopyState::Unassigned => Role::Kept,
        CopyState::Initializing => {
            let own = copy.primary && copy.relocating.is_none();
            let from = if own { Origin::Store } else { Origin::Peer };
            Role::Building { from, failures: copy.failures }
        }
        CopyState::Started | CopyState::Relocating if copy.primary => {
            Role::Primary { target: copy.relocating }
        }
        CopyState::Started | CopyState::Relocating => Role::Replica,
    }
}
