//! Primary — decides how a copy acts as the primary of its term: taking over, resync, acknowledging, stepping
//! down. It never takes a client's write (`writes`) nor feeds a recovery (`source`).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    Phase, Shard,
    gets::PendingGet,
    group_refresh::PendingRefresh,
    refreshes::Listeners,
    source::{Draining, Session},
    store::Store,
    writes::Queued,
};
use crate::{
    core::Instant,
    defect::Defect,
    event::{EventKind, Word},
    name::{AllocationId, HostId, SeqNo, Term},
    search::{
        engine::Failure,
        operation::Operation,
        replication::{Group, PendingWrite},
        shards::{Awaited, Body, Operations, PrimaryContext, Purpose, ShardNews, ShardRefusal, Step},
    },
};

/// Operations in one message of a resync or recovery.
const BATCH: usize = 100;

/// What a copy has beside its store while it is the primary.
#[derive(Debug)]
pub(super) struct Primary {
    pub(super) group: Group,
    /// Requests of the resync that are unanswered; none once it is over.
    resync: Option<BTreeSet<(AllocationId, u64)>>,
    /// Writes that wait until it is over, or until a hand-off is done or cancelled.
    pub(super) queue: VecDeque<Queued>,
    /// Gets that wait for what they show to be on every copy.
    pub(super) gets: Vec<PendingGet>,
    /// Writes that wait to be searchable.
    pub(super) listeners: Listeners,
    /// Refreshes that wait for the other copies.
    pub(super) refreshes: Vec<PendingRefresh>,
    pub(super) sessions: BTreeMap<AllocationId, Session>,
    pub(super) draining: Option<Draining>,
    checkpoint_sync_at: Option<Instant>,
    pub(super) lease_sync_at: Option<Instant>,
    /// Operations that have not been sent to the group that was sampled for them.
    pub(super) unsent: Vec<(Sampled, Vec<Arc<Operation>>)>,
}

/// Copies of a group as it was sampled, and where they are.
pub(super) type Sampled = Vec<(AllocationId, HostId)>;

impl Primary {
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let queued = self.queue.front().map(|queued| queued.deadline);
        let throttled = self.sessions.values().filter_map(Session::next_wake).min();
        // Of one timeout, the first is the oldest.
        let asked = self.gets.first().map(PendingGet::deadline);
        let listening = self.listeners.next_wake();
        let refreshing = self.refreshes.first().map(PendingRefresh::deadline);
        let background = [self.checkpoint_sync_at, self.lease_sync_at, throttled];
        [self.group.next_deadline(), queued, asked, listening, refreshing]
            .into_iter()
            .chain(background)
            .flatten()
            .min()
    }

    /// Whether writes have to wait.
    pub(super) fn is_blocked(&self) -> bool {
        self.resync.is_some() || self.draining.is_some()
    }

    pub(super) fn is_resyncing(&self) -> bool {
        self.resync.is_some()
    }

    /// Operations above this number may be asked for by a copy that recovers by files.
    pub(super) fn needed_above(&self) -> SeqNo {
        let sessions = self.sessions.values().filter_map(Session::committed).min();
        sessions.unwrap_or(SeqNo(i64::MAX))
    }
}

impl Shard {
    /// Becomes the acting primary of its term. With what its predecessor in that term handed over there is
    /// nothing to resync; otherwise the others may lack operations or have some too many.
    pub(super) fn activate(
        &mut self,
        step: &mut Step<'_, '_>,
        context: Option<PrimaryContext>,
    ) -> Result<(), Failure> {
        let term = self.term;
        let store = self.open_store();
        store.confirm_all();
        if let Some(context) = &context {
            store.learn_global_checkpoint(context.global_checkpoint, true);
            store.leases = context.leases.clone();
        }
        let global_checkpoint = store.global_checkpoint();
        let (shard, allocation) = (self.id.clone(), self.allocation);
        step.note(EventKind::PrimaryActivated { shard, allocation, term });
        self.phase = Phase::Primary(Box::new(Primary {
            group: Group::new(global_checkpoint),
            resync: None,
            queue: VecDeque::new(),
            gets: Vec::new(),
            listeners: Listeners::default(),
            refreshes: Vec::new(),
            sessions: BTreeMap::new(),
            draining: None,
            checkpoint_sync_at: None,
            lease_sync_at: None,
            unsent: Vec::new(),
        }));
        self.open_channels(step, context.as_ref());
        self.add_missing_leases(step);
        self.fill_gaps(step)?;
        self.await_own_disk(step);
        if context.is_none() && !step.desk.config.defects.has(Defect::NoResync) {
            self.resync(step, global_checkpoint)?;
        }
        self.advance(step)
    }

    fn open_channels(&mut self, step: &mut Step<'_, '_>, context: Option<&PrimaryContext>) {
        let me = self.allocation;
        let Some(table) = step.table(&self.id).cloned() else { return };
        self.adopt_group(step);
        let Phase::Primary(primary) = &mut self.phase else { return };
        let others = table.copies.iter().filter(|copy| copy.allocation != Some(me));
        for copy in others {
            let (Some(node), Some(allocation)) = (copy.node, copy.allocation) else { continue };
            let checkpoint = context.and_then(|context| context.in_sync.get(&allocation)).copied();
            if copy.is_active() || checkpoint.is_some() {
                primary.group.track(allocation, node, checkpoint);
            }
            if checkpoint.is_some() && !table.in_sync.contains(&allocation) {
                primary.group.finalize(allocation);
            }
        }
    }

    // Elasticsearch's `fillSeqNoGaps`: a number that the former primary drew and this copy never got would
    // hold the checkpoints back for ever (#24238).
    fn fill_gaps(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let term = self.term;
        for seq_no in self.open_store().gaps() {
            self.append(step, &Store::no_op(seq_no, term))?;
        }
        Ok(())
    }

    fn resync(&mut self, step: &mut Step<'_, '_>, above: SeqNo) -> Result<(), Failure> {
        let store = self.open_store();
        let max_seq_no = store.max_seq_no();
        let operations = store
            .operations_from(above.next())
            .ok_or_else(|| Failure("operations above the global checkpoint are gone".to_owned()))?;
        let (shard, term) = (self.id.clone(), self.term);
        step.note(EventKind::ResyncStarted { shard, term, operations: operations.len() as u64 });
        let Phase::Primary(primary) = &mut self.phase else { return Ok(()) };
        let copies: Vec<_> = primary.group.tracked().collect();
        self.send_leases(step);
        let mut waiting = BTreeSet::new();
        for (copy, node) in copies {
            let purpose = |last: bool| Purpose::Resync { trim_above: last.then_some(max_seq_no) };
            for request in self.send_batches(step, (node, copy), &operations, purpose) {
                waiting.insert((copy, request));
            }
        }
        if let Phase::Primary(primary) = &mut self.phase {
            primary.resync = Some(waiting);
        }
        Ok(())
    }

    /// Sends operations in messages of a bounded size, at least one; `purpose` is told which is the last.
    /// Gives the numbers of the requests.
    pub(super) fn send_batches(
        &mut self,
        step: &mut Step<'_, '_>,
        to: (HostId, AllocationId),
        operations: &[Arc<Operation>],
        purpose: impl Fn(bool) -> Purpose,
    ) -> Vec<u64> {
        let count = operations.len().div_ceil(BATCH).max(1);
        let mut requests = Vec::with_capacity(count);
        for batch in 0..count {
            let end = operations.len().min((batch + 1) * BATCH);
            let part = operations[batch * BATCH..end].to_vec();
            requests.push(self.send_operations(step, to, purpose(batch + 1 == count), part));
        }
        requests
    }

    /// Sends operations to a tracked copy and remembers that it owes an answer. Gives the request's number.
    pub(super) fn send_operations(
        &mut self,
        step: &mut Step<'_, '_>,
        (node, copy): (HostId, AllocationId),
        purpose: Purpose,
        operations: Vec<Arc<Operation>>,
    ) -> u64 {
        let (request, deadline) = (step.desk.draw(), step.request_deadline());
        let Phase::Primary(primary) = &mut self.phase else { return request };
        let global_checkpoint = primary.group.global_checkpoint();
        let operations = Operations { request, purpose, operations, global_checkpoint };
        primary.group.sent(copy, operations.clone(), deadline);
        step.send(node, self.message(copy, Body::Operations(operations)));
        request
    }

    /// Sends clients' operations to the copies that were tracked when they were numbered.
    pub(super) fn send_to_group(
        &mut self,
        step: &mut Step<'_, '_>,
        copies: &[(AllocationId, HostId)],
        purpose: Purpose,
        operations: &[Arc<Operation>],
    ) {
        for (copy, node) in copies {
            for part in operations.chunks(BATCH) {
                self.send_operations(step, (*node, *copy), purpose, part.to_vec());
            }
        }
    }

    /// Has this copy told when its own translog is durable up to here.
    pub(super) fn await_own_disk(&mut self, step: &mut Step<'_, '_>) {
        self.hand_on_disk(step);
        let syncs_first = self.syncs_first(step);
        let store = self.open_store();
        let (translog, up_to) = (store.translog_file(), store.local_checkpoint());
        if !syncs_first && let Phase::Primary(primary) = &mut self.phase {
            primary.group.processed(up_to);
            return self.sync_later(step);
        }
        step.tell_after_sync(&translog, self.ticket(Awaited::Appended { up_to }));
    }

    pub(super) fn appended(&mut self, step: &mut Step<'_, '_>, up_to: SeqNo) -> Result<(), Failure> {
        let Phase::Primary(primary) = &mut self.phase else { return Ok(()) };
        primary.group.synced(up_to);
        for (copies, operations) in std::mem::take(&mut primary.unsent) {
            self.send_to_group(step, &copies, Purpose::Write { refresh: false }, &operations);
        }
        self.advance(step)
    }

    /// A copy has the operations of a request.
    pub(super) fn operations_taken(
        &mut self,
        step: &mut Step<'_, '_>,
        copy: AllocationId,
        term: Term,
        request: u64,
        local_checkpoint: SeqNo,
    ) -> Result<(), Failure> {
        self.track_late(step, copy, request, local_checkpoint);
        let Phase::Primary(primary) = &mut self.phase else { return Ok(()) };
        if term != self.term || primary.group.taken(copy, request, local_checkpoint).is_none() {
            return Ok(());
        }
        if let Some(waiting) = &mut primary.resync {
            waiting.remove(&(copy, request));
        }
        primary.gets.iter_mut().for_each(|get| get.confirm(copy, request));
        self.recovery_answered(step, copy, request);
        self.advance(step)
    }

    /// A copy has refused operations because it knows a newer term: this one's time is over. It must not
    /// acknowledge, nor fail the copy (#7572: that would be a deposed primary's word).
    pub(super) fn refused(&mut self, step: &mut Step<'_, '_>, term: Term) -> Result<(), Failure> {
        if matches!(self.phase, Phase::Primary(_)) && term > self.term {
            self.depose(step);
        }
        Ok(())
    }

    pub(super) fn depose(&mut self, step: &mut Step<'_, '_>) {
        self.deactivate(step, "deposed".into());
        self.phase = Phase::Deposed;
    }

    /// A copy is not open where the state shows it.
    pub(super) fn absent(
        &mut self,
        step: &mut Step<'_, '_>,
        copy: AllocationId,
        request: u64,
    ) -> Result<(), Failure> {
        self.refresh_answered(step, request, false);
        match &mut self.phase {
            Phase::Primary(primary) if primary.group.awaits(copy, request) => {
                self.report_copy(step, copy, "not open on its node");
                Ok(())
            }
            Phase::Recovering(_) => self.recovery_put_off(step, request),
            _ => Ok(()),
        }
    }

    /// After anything that may have moved: the global checkpoint, acknowledgements, resync, hand-off.
    pub(super) fn advance(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        self.complete_writes(step);
        self.hand_off_if_drained(step);
        self.work_off_queue(step)?;
        self.flush_if_due(step)
    }

    /// The global checkpoint, acknowledgements, the end of a resync.
    pub(super) fn complete_writes(&mut self, step: &mut Step<'_, '_>) {
        let sync_after = step.pace(&self.id).checkpoint_sync;
        let sync_at = step.after(sync_after);
        self.advance_global_checkpoint(step);
        let Phase::Primary(primary) = &mut self.phase else { return };
        if step.desk.config.defects.has(Defect::AcknowledgesBeforeReplicas) {
            primary.group.wait_for_nobody();
        }
        if primary.checkpoint_sync_at.is_none() && !primary.group.untold().is_empty() {
            primary.checkpoint_sync_at = Some(sync_at);
        }
        let done = primary.group.complete();
        let resynced = primary.resync.as_ref().is_some_and(BTreeSet::is_empty);
        if resynced {
            primary.resync = None;
        }
        done.into_iter().for_each(|write| self.acknowledge(step, write));
        if resynced {
            let (shard, term) = (self.id.clone(), self.term);
            step.note(EventKind::ResyncCompleted { shard, term });
        }
        self.answer_gets(step);
    }

    fn advance_global_checkpoint(&mut self, step: &mut Step<'_, '_>) {
        let Phase::Primary(primary) = &mut self.phase else { return };
        let before = primary.group.global_checkpoint();
        let global_checkpoint = primary.group.advance();
        if global_checkpoint > before {
            let (shard, allocation, term) = (self.id.clone(), self.allocation, self.term);
            step.note(EventKind::GlobalCheckpointAdvanced { shard, allocation, term, global_checkpoint });
            self.open_store().learn_global_checkpoint(global_checkpoint, false);
            self.renew_leases_later(step.now());
        }
    }

    fn acknowledge(&mut self, step: &mut Step<'_, '_>, write: PendingWrite) {
        let PendingWrite { token, written, .. } = write;
        let durable = self.syncs_first(step);
        step.note(EventKind::WriteAcknowledged {
            shard: self.id.clone(),
            term: written.term,
            seq_no: written.seq_no,
            copies: written.copies.1,
            durable,
        });
        let now = step.now();
        let Phase::Primary(primary) = &mut self.phase else { return };
        if let Some(written) = primary.listeners.hold(token, written, now) {
            step.desk.news.push(ShardNews::Write { token, result: Ok(written) });
        }
    }

    /// A newer state, in which this copy is still the primary of its term.
    pub(super) fn group_changed(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        self.adopt_group(step);
        self.report_unreachable(step);
        self.report_untracked(step);
        self.report_unconfirmed(step);
        let target = self.entry(step).and_then(|copy| copy.relocating);
        let Phase::Primary(primary) = &mut self.phase else { return Ok(()) };
        let tracked: BTreeSet<_> = primary.group.tracked().map(|(copy, _)| copy).collect();
        if let Some(waiting) = &mut primary.resync {
            waiting.retain(|(copy, _)| tracked.contains(copy));
        }
        if primary.draining.as_ref().is_some_and(|draining| Some(draining.target) != target) {
            primary.draining = None;
        }
        self.advance(step)
    }

    fn adopt_group(&mut self, step: &mut Step<'_, '_>) {
        let me = self.allocation;
        let Some(table) = step.table(&self.id) else { return };
        let in_sync = table.in_sync.iter().copied().filter(|copy| *copy != me).collect();
        let listed = table.copies.iter().filter(|copy| copy.node.is_some());
        let listed: BTreeSet<_> = listed.filter_map(|copy| copy.allocation).collect();
        // A copy that is built anew has been gone since: what its former life was sent is void (#24333).
        let rebuilt = table.copies.iter().filter(|copy| !copy.is_active());
        let rebuilt: Vec<_> = rebuilt.filter_map(|copy| copy.allocation).collect();
        let active = table.copies.iter().filter(|copy| copy.is_active());
        let active: Vec<_> = active.filter_map(|copy| copy.allocation).collect();
        let deadline = step.request_deadline();
        let Phase::Primary(primary) = &mut self.phase else { return };
        primary.group.adopt(in_sync, &listed);
        primary.group.started(active);
        let Primary { group, gets, .. } = primary.as_mut();
        gets.iter_mut().for_each(|get| get.retain(|copy| group.is_in_sync(copy)));
        primary.sessions.retain(|copy, _| listed.contains(copy));
        for copy in rebuilt.into_iter().filter(|copy| !primary.sessions.contains_key(copy)) {
            primary.group.forget_life(copy, deadline);
        }
    }

    // "mark unavailable in-sync ids stale": before a write is acknowledged, the controller must have taken
    // out of the in-sync set every copy that cannot have it (`ReplicationOperation`).
    fn report_unreachable(&mut self, step: &mut Step<'_, '_>) {
        let (reachable, deadline) = (self.reachable(step), step.request_deadline());
        let Phase::Primary(primary) = &mut self.phase else { return };
        for copy in primary.group.unreachable(deadline, |copy| reachable.contains(&copy)) {
            self.report_copy(step, copy, "in sync, but on no node");
        }
    }

    // A copy that serves is one that this primary has found or made level. Another one was started by the
    // word of an earlier life (#24333); nothing would ever be sent to it.
    fn report_untracked(&mut self, step: &mut Step<'_, '_>) {
        let me = self.allocation;
        let copies = self.table(step).into_iter().flat_map(|table| table.active());
        let active: Vec<_> = copies.filter_map(|copy| copy.allocation).filter(|copy| *copy != me).collect();
        for copy in active {
            let Phase::Primary(primary) = &self.phase else { return };
            if primary.group.channel(copy).is_none() {
                self.report_copy(step, copy, "started, but not by this primary");
            }
        }
    }

    /// Copies that are on a node, as the newest state has it.
    pub(super) fn reachable(&self, step: &Step<'_, '_>) -> BTreeSet<AllocationId> {
        let copies = self.table(step).into_iter().flat_map(|table| &table.copies);
        copies.filter(|copy| copy.node.is_some()).filter_map(|copy| copy.allocation).collect()
    }

    /// Tells the controller, once, that a copy must go; until it has, what waits for the copy waits.
    pub(super) fn report_copy(&mut self, step: &mut Step<'_, '_>, copy: AllocationId, why: &str) {
        if let Phase::Primary(primary) = &mut self.phase
            && primary.group.report(copy)
        {
            self.report_failed(step, copy, why);
        }
    }

    pub(super) fn group_peer_lost(&mut self, step: &mut Step<'_, '_>, node: HostId) {
        let Phase::Primary(primary) = &mut self.phase else { return };
        primary.group.peer_lost(node, step.now());
        self.refreshes_lost(step, node);
    }

    // `ReplicationOperation`: a request that a copy has not taken because its node could not be reached, or was
    // too busy, is sent again for as long as its time lasts.
    fn send_again(&mut self, step: &mut Step<'_, '_>) {
        let now = step.now();
        let Phase::Primary(primary) = &mut self.phase else { return };
        for (copy, node, operations) in primary.group.due_retries(now) {
            step.send(node, self.message(copy, Body::Operations(operations)));
        }
    }

    pub(super) fn primary_wake(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let now = step.now();
        let Phase::Primary(primary) = &mut self.phase else { return Ok(()) };
        let mut expired = Vec::new();
        while primary.queue.front().is_some_and(|queued| queued.deadline <= now) {
            expired.extend(primary.queue.pop_front());
        }
        for copy in primary.group.overdue(now) {
            self.report_copy(step, copy, "silent for too long");
        }
        expired.into_iter().for_each(|queued| queued.refuse(step));
        self.gets_wake(step);
        self.listeners_wake(step);
        self.refreshes_wake(step);
        self.sync_global_checkpoint(step);
        self.renew_leases(step);
        self.send_throttled(step);
        self.send_again(step);
        Ok(())
    }

    fn sync_global_checkpoint(&mut self, step: &mut Step<'_, '_>) {
        let now = step.now();
        let Phase::Primary(primary) = &mut self.phase else { return };
        if primary.checkpoint_sync_at.is_none_or(|at| at > now) {
            return;
        }
        primary.checkpoint_sync_at = None;
        let global_checkpoint = primary.group.global_checkpoint();
        let untold = primary.group.untold();
        for (copy, _) in &untold {
            primary.group.told(*copy, global_checkpoint);
        }
        for (copy, node) in untold {
            step.send(node, self.message(copy, Body::GlobalCheckpoint(global_checkpoint)));
        }
    }

    /// Stops to be the acting primary, if it is. What is not acknowledged never will be by this copy, but may
    /// yet turn out to have happened; what still waited in the queue surely has not.
    pub(super) fn deactivate(&mut self, step: &mut Step<'_, '_>, why: Word) {
        if !matches!(self.phase, Phase::Primary(_)) {
            return;
        }
        let (shard, allocation, term) = (self.id.clone(), self.allocation, self.term);
        step.note(EventKind::PrimaryDeactivated { shard, allocation, term, why });
        let Phase::Primary(primary) = std::mem::replace(&mut self.phase, Phase::Deposed) else { return };
        let Primary { mut group, queue, gets, listeners, refreshes, .. } = *primary;
        refreshes.into_iter().for_each(|refresh| refresh.refuse(step));
        listeners.close(step);
        gets.into_iter().for_each(|get| get.refuse(step));
        for write in group.abandon() {
            let result = Err(ShardRefusal::NotHere { certain: false });
            step.desk.news.push(ShardNews::Write { token: write.token, result });
        }
        queue.into_iter().for_each(|queued| queued.refuse(step));
    }
}
