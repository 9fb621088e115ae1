//! Shard — decides what one copy of a shard is at any time: opening, recovering, recovered, replica, primary,
//! handed off, failed. It never decides where copies should be.
//!
//! The rooms below each own one part of a copy's life; this one holds what they share and hands on what
//! comes in.

pub mod checkpoint;
mod damage;
mod durability;
mod flush;
mod gets;
mod group_refresh;
pub mod layout;
mod lease;
mod lifecycle;
pub mod pace;
mod pool;
mod primary;
mod reads;
mod refreshes;
mod replica;
mod searching;
mod source;
pub mod store;
mod target;
mod update;
mod versioning;
mod writes;

use crate::{
    core::{Files, Instant},
    event::{EventKind, Word},
    name::{AllocationId, HostId, SeqNo, ShardId, Term},
    search::{
        control::ShardReport,
        engine::Failure,
        recovery::Target,
        shard::{durability::Background, flush::Flush, primary::Primary, source::Handed, store::Store},
        shards::{Awaited, Body, PrimaryContext, ShardMessage, ShardNews, Step, Ticket},
        state::{ShardCopy, ShardTable},
    },
};

/// What a copy is.
#[derive(Debug)]
enum Phase {
    /// Not open: its data is kept, nothing is served.
    Closed,
    /// Being opened from its own disk, or anew.
    Opening {
        /// Operations that the translog had.
        operations: u64,
        /// Who it builds on.
        from: Origin,
        /// So many of its files are being synced.
        waiting: usize,
    },
    /// Getting what it lacks from the primary.
    Recovering(Target),
    /// Has everything; waits until the cluster state shows it as started.
    Recovered {
        /// In which term.
        term: Term,
        /// Of the target of a primary's relocation: what the source handed over.
        context: Option<PrimaryContext>,
    },
    /// Takes what the primary sends.
    Replica,
    /// Is to be the primary, as soon as its disk says so.
    Promoting {
        /// What the predecessor in this term handed over.
        context: Option<PrimaryContext>,
    },
    /// Numbers operations.
    Primary(Box<Primary>),
    /// Was the primary and has handed that off to another copy.
    Relocated(Box<Handed>),
    /// Was the primary and has learned of a newer one.
    Deposed,
    /// Cannot go on; not before the controller tries again, which counts the failures of the copy.
    Failed { failures: u32 },
}

/// Whom a copy builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Its own disk: it is to be the primary.
    Store,
    /// The primary.
    Peer,
}

/// One copy of a shard, on this node.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    allocation: AllocationId,
    /// One more each time it is opened: what an earlier life waited for is void.
    life: u64,
    term: Term,
    phase: Phase,
    store: Option<Store>,
    /// One more each time it gets another store.
    store_life: u64,
    /// During a recovery by files: the store that the disk's `state` names until the new one is durable.
    replaced: Option<Store>,
    /// What the disk held at boot, until it is opened.
    disk: Files,
    /// A file that was found damaged while the copy was open.
    marker: Option<String>,
    flush: Flush,
    late: Option<pool::Late>,
    refreshed_at: Instant,
    contexts: searching::Contexts,
    background: Background,
    /// Whether the next search has to see everything, whenever the next refresh is due.
    refresh_wanted: bool,
    /// Since when the cluster state has shown it as started while it is not.
    expected_since: Option<Instant>,
}

impl Shard {
    /// A copy that the disk may hold; it is opened when a cluster state says so.
    pub fn closed(id: ShardId, allocation: AllocationId, disk: Files) -> Self {
        Self {
            id,
            allocation,
            life: 0,
            term: Term(0),
            phase: Phase::Closed,
            store: None,
            store_life: 0,
            replaced: None,
            disk,
            marker: None,
            flush: Flush::Idle,
            late: None,
            refreshed_at: Instant(0),
            contexts: searching::Contexts::default(),
            background: Background::Clean,
            refresh_wanted: false,
            expected_since: None,
        }
    }

    /// A message from another copy.
    pub fn receive(&mut self, step: &mut Step<'_, '_>, node: HostId, message: ShardMessage) {
        let ShardMessage { from, term, body, .. } = message;
        if !matches!(body, Body::Operations(_)) {
            let result = self.take_late(step);
            self.settle(step, result);
        }
        let result = match body {
            Body::Operations(operations) => self.operations_received(step, (node, from), term, operations),
            Body::Refresh { request } => {
                self.refresh_asked(step, (node, from), term, request);
                Ok(())
            }
            Body::Refreshed { request } => {
                self.refresh_answered(step, request, true);
                Ok(())
            }
            Body::GlobalCheckpoint(checkpoint) => self.take_global_checkpoint(step, term, checkpoint),
            Body::Persisted { local_checkpoint } => self.copy_persisted(step, from, term, local_checkpoint),
            Body::RetentionLeases(leases) => {
                self.take_leases(term, *leases);
                Ok(())
            }
            Body::Taken { request, local_checkpoint } => {
                self.operations_taken(step, from, term, request, local_checkpoint)
            }
            Body::Refused { .. } => self.refused(step, term),
            Body::Absent { request } => self.absent(step, from, request),
            Body::Recover { attempt, next } => self.recovery_asked(step, (node, from), term, attempt, next),
            Body::Fetch { attempt, file, offset } => {
                self.chunk_asked(step, (node, from), attempt, file, offset)
            }
            Body::Later { attempt } => self.recovery_put_off(step, attempt),
            Body::Files { attempt, files } => self.files_offered(step, term, attempt, files),
            Body::Chunk { attempt, file, offset, bytes } => {
                self.chunk_received(step, attempt, &file, offset, &bytes)
            }
            Body::Finalized { attempt, global_checkpoint } => {
                self.recovery_finalized(step, term, attempt, global_checkpoint, None)
            }
            Body::HandOff { attempt, context } => {
                self.recovery_finalized(step, term, attempt, context.global_checkpoint, Some(context))
            }
        };
        self.settle(step, result);
    }

    /// What it waited for is durable.
    pub fn synced(&mut self, step: &mut Step<'_, '_>, life: u64, awaited: Awaited) {
        use Awaited as A;
        let current = match awaited {
            A::Opened | A::Appended { .. } | A::Marked => self.life,
            A::InBackground | A::CommitFile | A::CommitNamed | A::TranslogCut | A::Switched => {
                self.store_life
            }
        };
        if life != current {
            return;
        }
        let result = match awaited {
            A::Opened => self.opened(step),
            A::Marked => self.marked(step),
            A::Appended { up_to } => self.appended(step, up_to),
            A::InBackground => self.synced_in_background(step),
            A::CommitFile => self.commit_file_synced(step),
            A::CommitNamed => self.commit_named(step),
            A::TranslogCut => self.translog_cut(),
            A::Switched => self.switched(step),
        };
        self.settle(step, result);
    }

    /// The connection to a node broke.
    pub fn peer_lost(&mut self, step: &mut Step<'_, '_>, node: HostId) {
        match &self.phase {
            Phase::Primary(_) => self.group_peer_lost(step, node),
            Phase::Recovering(_) => self.source_lost(step, node),
            Phase::Relocated(handed) if handed.node == node => self.hand_off_again(step),
            _ => {}
        }
    }

    /// Time passed.
    pub fn wake(&mut self, step: &mut Step<'_, '_>) {
        if self.late.as_ref().is_some_and(|late| late.until() <= step.now()) {
            let result = self.take_late(step);
            self.settle(step, result);
        }
        let result = match &self.phase {
            Phase::Primary(_) => self.primary_wake(step),
            Phase::Recovering(_) => self.target_wake(step),
            Phase::Relocated(handed) if handed.again_at <= step.now() => {
                self.hand_off_again(step);
                Ok(())
            }
            _ => Ok(()),
        };
        let result = result.and_then(|()| self.sync_in_background(step));
        self.settle(step, result);
        self.report_if_missing(step);
    }

    /// When it wants to be woken.
    pub fn next_wake(&self, missing_after: std::time::Duration) -> Option<Instant> {
        let own = match &self.phase {
            Phase::Primary(primary) => primary.next_wake(),
            Phase::Recovering(target) => target.next_wake(),
            Phase::Relocated(handed) => Some(handed.again_at),
            _ => None,
        };
        let missing = self.expected_since.map(|since| since + missing_after);
        let late = self.late.as_ref().map(pool::Late::until);
        [own, missing, late, self.background.next_wake()].into_iter().flatten().min()
    }

    // After every step: hands the changes of the disk on, and ends the copy if something is broken.
    fn settle(&mut self, step: &mut Step<'_, '_>, result: Result<(), Failure>) {
        self.hand_on_disk(step);
        if let Err(failure) = result {
            self.fail(step, &failure.0);
        }
    }

    fn hand_on_disk(&mut self, step: &mut Step<'_, '_>) {
        if let Some(store) = &mut self.store {
            store.drain().into_iter().for_each(|op| step.ctx.out.disk(op));
        }
    }

    /// The copy cannot go on.
    fn fail(&mut self, step: &mut Step<'_, '_>, why: &str) {
        self.deactivate(step, "failed".into());
        let is_corrupt = self.mark_if_corrupt(step);
        let (shard, allocation) = (self.id.clone(), self.allocation);
        step.note(EventKind::CopyFailed { shard, allocation, why: why.to_owned() });
        self.report_failed(step, self.allocation, why);
        // A copy that served begins a new row of failures.
        let failures = self.entry(step).filter(|copy| !copy.state.is_active());
        let failures = failures.map_or(0, |copy| copy.failures);
        self.life = step.desk.draw();
        self.phase = Phase::Failed { failures };
        if is_corrupt {
            self.let_go_corrupt(step);
        }
    }

    fn report_failed(&self, step: &mut Step<'_, '_>, allocation: AllocationId, why: &str) {
        let (shard, term) = (self.id.clone(), self.term);
        let report = ShardReport::Failed { shard, allocation, term, why: why.to_owned() };
        step.desk.news.push(ShardNews::Report(report));
    }

    fn report_started(&self, step: &mut Step<'_, '_>) {
        let (shard, allocation, term) = (self.id.clone(), self.allocation, self.term);
        step.desk.news.push(ShardNews::Report(ShardReport::Started { shard, allocation, term }));
    }

    fn table<'s>(&self, step: &'s Step<'_, '_>) -> Option<&'s ShardTable> {
        step.table(&self.id)
    }

    fn entry<'s>(&self, step: &'s Step<'_, '_>) -> Option<&'s ShardCopy> {
        self.table(step)?.copy(self.allocation)
    }

    fn message(&self, to: AllocationId, body: Body) -> ShardMessage {
        ShardMessage { shard: self.id.clone(), from: self.allocation, to, term: self.term, body }
    }

    fn ticket(&self, awaited: Awaited) -> Ticket {
        Ticket { shard: self.id.clone(), allocation: self.allocation, life: self.life, awaited }
    }

    fn recovery_started(&self, step: &mut Step<'_, '_>, from: impl Into<Word>) {
        let (shard, allocation) = (self.id.clone(), self.allocation);
        step.note(EventKind::RecoveryStarted { shard, allocation, from: from.into() });
    }

    fn recovery_completed(&self, step: &mut Step<'_, '_>, operations: u64) {
        let (shard, allocation) = (self.id.clone(), self.allocation);
        step.note(EventKind::RecoveryCompleted { shard, allocation, operations });
    }

    // An open copy has a store: every phase but Closed and Failed is entered with one.
    fn open_store(&mut self) -> &mut Store {
        self.store.as_mut().expect("an open copy has a store")
    }

    /// Whether it answers reads.
    pub fn serves(&self) -> bool {
        matches!(
            self.phase,
            Phase::Recovered { .. }
                | Phase::Replica
                | Phase::Promoting { .. }
                | Phase::Primary(_)
                | Phase::Relocated(_)
        )
    }

    /// What it has, for tests: local checkpoint, highest number, global checkpoint.
    pub fn numbers(&self) -> Option<(SeqNo, SeqNo, SeqNo)> {
        let store = self.store.as_ref()?;
        Some((store.local_checkpoint(), store.max_seq_no(), store.global_checkpoint()))
    }
}
