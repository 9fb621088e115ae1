//! Writes — decides what a client's write becomes on the primary: refused, queued, or a numbered operation
//! on its way to every copy. It never acknowledges one (`primary`).
//!
//! The order is Elasticsearch's: check allocation and term (#20320), check the condition, number and execute,
//! sample the global checkpoint *before* the replication group, send to all copies at once.

use std::sync::Arc;

use super::{
    Phase, Shard,
    update::{self, Update},
    versioning,
};
use crate::{
    core::Instant,
    defect::Defect,
    event::EventKind,
    name::Term,
    search::{
        api::{ActiveShards, ApiError, GotDoc, RefreshPolicy, WriteResult},
        engine::Failure,
        operation::{Action, Operation},
        shards::{Purpose, ShardNews, ShardRefusal, Step, WriteAction, WriteCall, Written},
        state::ShardCopy,
    },
};

/// `_id` may take this many bytes (`IdFieldMapper`).
const ID_BYTES_MAX: usize = 512;

/// A write that waits until the primary may number it.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) token: u64,
    pub(super) call: WriteCall,
    pub(super) deadline: Instant,
}

impl Queued {
    /// Ends it: it has no effect.
    pub(super) fn refuse(self, step: &mut Step<'_, '_>) {
        let result = Err(ShardRefusal::NotHere { certain: true });
        step.desk.news.push(ShardNews::Write { token: self.token, result });
    }
}

impl Shard {
    /// Writes for the primary of `term`, in this order, each with its token.
    pub fn write(&mut self, step: &mut Step<'_, '_>, term: Term, calls: Vec<(u64, WriteCall)>) {
        let deadline = step.request_deadline();
        for (token, call) in calls {
            let queued = Queued { token, call, deadline };
            match &mut self.phase {
                Phase::Primary(primary) if term == self.term => match check(&queued.call) {
                    Ok(()) => primary.queue.push_back(queued),
                    Err(error) => {
                        let result = Err(ShardRefusal::Error(error));
                        step.desk.news.push(ShardNews::Write { token, result });
                    }
                },
                _ => queued.refuse(step),
            }
        }
        let result = self.work_off_queue(step).map(|()| self.complete_writes(step));
        self.settle(step, result);
    }

    /// Numbers the writes that wait, unless they still have to. They go to the other copies together
    /// (`TransportShardBulkAction`: one request to each copy).
    pub(super) fn work_off_queue(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let (mut operations, mut refresh) = (Vec::new(), false);
        while let Phase::Primary(primary) = &mut self.phase
            && !primary.is_blocked()
            && let Some(queued) = primary.queue.pop_front()
        {
            let policy = queued.call.refresh;
            if let Some(operation) = self.execute(step, queued)? {
                refresh |= policy != RefreshPolicy::None;
                operations.push(operation);
            }
        }
        if operations.is_empty() {
            return Ok(());
        }
        self.replicate(step, Purpose::Write { refresh }, &operations);
        self.await_own_disk(step);
        self.flush_if_due(step)
    }

    /// Gives the operation that a write has become, unless it has ended.
    fn execute(
        &mut self,
        step: &mut Step<'_, '_>,
        queued: Queued,
    ) -> Result<Option<Arc<Operation>>, Failure> {
        let Queued { token, call, deadline } = queued;
        if let Err(why) = self.check_active(step, &call) {
            step.desk.news.push(ShardNews::Write { token, result: Err(ShardRefusal::Unavailable(why)) });
            return Ok(None);
        }
        let call = match self.resolve_update(call)? {
            Ok(Update::Write(call)) => call,
            Ok(Update::Noop(doc)) => {
                let GotDoc { seq_no, term, version, .. } = doc;
                let (result, copies) = (WriteResult::Noop, (0, 0));
                let written = Written { result, seq_no, term, version, copies, forced_refresh: false };
                step.desk.news.push(ShardNews::Write { token, result: Ok(written) });
                return Ok(None);
            }
            Err(error) => {
                step.desk.news.push(ShardNews::Write { token, result: Err(ShardRefusal::Error(error)) });
                return Ok(None);
            }
        };
        let (term, store) = (self.term, self.open_store());
        let (result, version) = match versioning::plan(&call, store.engine.version(&call.id)) {
            Ok(plan) => plan,
            Err(error) => {
                step.desk.news.push(ShardNews::Write { token, result: Err(ShardRefusal::Error(error)) });
                return Ok(None);
            }
        };
        let seq_no = store.max_seq_no().next();
        let mut written = Written { result, seq_no, term, version, copies: (0, 0), forced_refresh: false };
        let WriteCall { id, action, refresh, routing, .. } = call;
        let action = match action {
            WriteAction::Index { source } | WriteAction::Update { doc: source, .. } => {
                Action::Index { id, source, routing }
            }
            WriteAction::Delete => Action::Delete { id },
        };
        let operation = Arc::new(Operation { seq_no, term, version, action });
        self.append(step, &operation)?;
        written.forced_refresh = self.refresh_for(step, token, refresh);
        self.begin(step, (token, deadline), written);
        Ok(Some(operation))
    }

    fn resolve_update(&mut self, call: WriteCall) -> Result<Result<Update, ApiError>, Failure> {
        let current = match call.action {
            WriteAction::Update { .. } => self.open_store().engine.get(&call.id)?,
            WriteAction::Index { .. } | WriteAction::Delete => None,
        };
        Ok(update::resolve(call, current))
    }

    // `wait_for_active_shards`: says nothing of how many copies will have the operation.
    fn check_active(&self, step: &mut Step<'_, '_>, call: &WriteCall) -> Result<(), String> {
        let wanted = call.active_shards.unwrap_or(step.tuning(&self.id.index).active_shards);
        let Some(table) = self.table(step) else { return Ok(()) };
        let is_target = |copy: &ShardCopy| copy.relocating.is_some() && !copy.is_active();
        let copies = table.copies.iter().filter(|copy| !is_target(copy)).count();
        let active = table.active().count();
        if wanted.is_met(active, copies) {
            return Ok(());
        }
        let needed = match wanted {
            ActiveShards::All => copies,
            ActiveShards::AtLeast(least) => least as usize,
        };
        let wanted = match wanted {
            ActiveShards::All => "ALL".to_owned(),
            ActiveShards::AtLeast(least) => least.to_string(),
        };
        let text = "Not enough active copies to meet shard count of";
        Err(format!("{text} [{wanted}] (have {active}, needed {needed})."))
    }

    /// Puts an operation that this primary has numbered into its own engine and translog.
    pub(super) fn append(
        &mut self,
        step: &mut Step<'_, '_>,
        operation: &Arc<Operation>,
    ) -> Result<(), Failure> {
        self.open_store().take(operation)?;
        self.prune_tombstones(step);
        self.hand_on_disk(step);
        let Operation { seq_no, term, .. } = **operation;
        let (shard, allocation, digest) = (self.id.clone(), self.allocation, operation.digest());
        let (id, source) = operation.document();
        step.note(EventKind::PrimaryAppended { shard, allocation, term, seq_no, digest, id, source });
        Ok(())
    }

    fn begin(&mut self, step: &mut Step<'_, '_>, (token, deadline): (u64, Instant), mut written: Written) {
        let (reachable, me) = (self.reachable(step), Some(self.allocation));
        let copies = self.table(step).into_iter().flat_map(|table| &table.copies);
        let others: Vec<_> = copies.map(|copy| copy.allocation).filter(|copy| *copy != me).collect();
        let Phase::Primary(primary) = &mut self.phase else { return };
        written.copies.0 = primary.group.skipped(others);
        let unreachable = primary.group.begin(token, written, deadline, |copy| reachable.contains(&copy));
        for copy in unreachable {
            self.report_copy(step, copy, "in sync, but on no node");
        }
    }

    fn replicate(&mut self, step: &mut Step<'_, '_>, purpose: Purpose, operations: &[Arc<Operation>]) {
        let Phase::Primary(primary) = &mut self.phase else { return };
        let copies: Vec<_> = primary.group.tracked().collect();
        if step.desk.config.defects.has(Defect::CheckpointAfterGroup) {
            let each = operations.iter().map(|operation| (copies.clone(), vec![operation.clone()]));
            primary.unsent.extend(each);
        } else {
            self.send_to_group(step, &copies, purpose, operations);
        }
    }
}

fn check(call: &WriteCall) -> Result<(), ApiError> {
    let bytes = call.id.len();
    if bytes == 0 || bytes > ID_BYTES_MAX {
        let reason = format!("a document id takes 1 to {ID_BYTES_MAX} bytes, this one {bytes}");
        return Err(ApiError::illegal(reason));
    }
    let object = |source| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(source);
    match call.source().map(|source| object(source)) {
        Some(Err(error)) => {
            let reason = format!("the document is no JSON object: {error}");
            Err(ApiError::new(400, "document_parsing_exception", reason))
        }
        _ => Ok(()),
    }
}
