//! Writes — decides what a client's write becomes on the primary: refused, queued, or a numbered operation
//! on its way to every copy. It never acknowledges one (`primary`).
//!
//! The order is Elasticsearch's: check allocation and term (#20320), check the condition, number and execute,
//! sample the global checkpoint *before* the replication group, send to all copies at once.

use std::sync::Arc;

use super::{Phase, Shard};
use crate::{
    core::Instant,
    defect::Defect,
    event::EventKind,
    name::{SeqNo, Term},
    search::{
        api::{ApiError, WriteResult},
        engine::{Failure, Version},
        operation::{Action, Operation},
        shards::{ShardNews, ShardRefusal, Step, WriteCall, Written},
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
    /// A write for the primary of `term`.
    pub fn write(&mut self, step: &mut Step<'_, '_>, token: u64, term: Term, call: WriteCall) {
        let deadline = step.request_deadline();
        let queued = Queued { token, call, deadline };
        let result = match &mut self.phase {
            Phase::Primary(primary) if term == self.term => {
                if let Err(error) = check(&queued.call) {
                    let result = Err(ShardRefusal::Error(error));
                    step.desk.news.push(ShardNews::Write { token, result });
                    return;
                }
                primary.queue.push_back(queued);
                self.work_off_queue(step).map(|()| self.complete_writes(step))
            }
            _ => {
                queued.refuse(step);
                Ok(())
            }
        };
        self.settle(step, result);
    }

    /// Numbers the writes that wait, unless they still have to.
    pub(super) fn work_off_queue(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        while let Phase::Primary(primary) = &mut self.phase
            && !primary.is_blocked()
            && let Some(queued) = primary.queue.pop_front()
        {
            self.execute(step, queued)?;
        }
        Ok(())
    }

    fn execute(&mut self, step: &mut Step<'_, '_>, queued: Queued) -> Result<(), Failure> {
        let Queued { token, call, deadline } = queued;
        let (term, store) = (self.term, self.open_store());
        let (id, known) = (id_of(&call).to_owned(), store.engine.version(id_of(&call)));
        if let Err(error) = check_condition(&call, known) {
            step.desk.news.push(ShardNews::Write { token, result: Err(ShardRefusal::Error(error)) });
            return Ok(());
        }
        let written = Written {
            result: result_of(&call, known),
            seq_no: store.max_seq_no().next(),
            term,
            version: known.map_or(1, |known| known.version + 1),
            copies: (1, 0),
        };
        let action = match call {
            WriteCall::Index { source, .. } => Action::Index { id, source },
            WriteCall::Delete { .. } => Action::Delete { id },
        };
        let Written { seq_no, version, .. } = written;
        let operation = Arc::new(Operation { seq_no, term, version, action });
        self.append(step, &operation)?;
        self.replicate(step, token, written, &operation, deadline);
        self.await_own_disk(step);
        self.flush_if_due(step)
    }

    /// Puts an operation that this primary has numbered into its own engine and translog.
    pub(super) fn append(
        &mut self,
        step: &mut Step<'_, '_>,
        operation: &Arc<Operation>,
    ) -> Result<(), Failure> {
        self.open_store().take(operation)?;
        self.hand_on_disk(step);
        let Operation { seq_no, term, .. } = **operation;
        let (shard, allocation, digest) = (self.id.clone(), self.allocation, operation.digest());
        step.note(EventKind::PrimaryAppended { shard, allocation, term, seq_no, digest });
        Ok(())
    }

    fn replicate(
        &mut self,
        step: &mut Step<'_, '_>,
        token: u64,
        written: Written,
        operation: &Arc<Operation>,
        deadline: Instant,
    ) {
        let reachable = self.reachable(step);
        let Phase::Primary(primary) = &mut self.phase else { return };
        let unreachable = primary.group.begin(token, written, deadline, |copy| reachable.contains(&copy));
        let copies: Vec<_> = primary.group.tracked().collect();
        if step.desk.config.defects.has(Defect::CheckpointAfterGroup) {
            primary.unsent.push((copies, operation.clone()));
        } else {
            self.send_to_group(step, copies, operation);
        }
        for copy in unreachable {
            self.report_copy(step, copy, "in sync, but on no node");
        }
    }
}

fn id_of(call: &WriteCall) -> &str {
    match call {
        WriteCall::Index { id, .. } | WriteCall::Delete { id } => id,
    }
}

fn check(call: &WriteCall) -> Result<(), ApiError> {
    let refused = |kind: &'static str, reason: String| {
        Err(ApiError { status: 400, kind: kind.into(), reason, certain: true })
    };
    let id = id_of(call);
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        let reason = format!("a document id takes 1 to {ID_BYTES_MAX} bytes, this one {}", id.len());
        return refused("illegal_argument_exception", reason);
    }
    if let WriteCall::Index { source, .. } = call {
        let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(source);
        if let Err(error) = object {
            return refused("document_parsing_exception", format!("the document is no JSON object: {error}"));
        }
    }
    Ok(())
}

// if_seq_no and if_primary_term: equal to those of the living document, or a conflict.
fn check_condition(call: &WriteCall, known: Option<&Version>) -> Result<(), ApiError> {
    let WriteCall::Index { id, condition: Some(wanted), .. } = call else { return Ok(()) };
    let living = known.filter(|known| known.digest.is_some());
    let found: Option<(SeqNo, Term)> = living.map(|known| (known.seq_no, known.term));
    if found == Some(*wanted) {
        return Ok(());
    }
    let (seq_no, term) = wanted;
    let found = found.map_or_else(
        || "but no document was found".to_owned(),
        |(seq_no, term)| format!("current document has seqNo [{seq_no}] and primary term [{term}]"),
    );
    Err(ApiError {
        status: 409,
        kind: "version_conflict_engine_exception".into(),
        reason: format!(
            "[{id}]: version conflict, required seqNo [{seq_no}], primary term [{term}]. {found}"
        ),
        certain: true,
    })
}

fn result_of(call: &WriteCall, known: Option<&Version>) -> WriteResult {
    let exists = known.is_some_and(|known| known.digest.is_some());
    match (call, exists) {
        (WriteCall::Index { .. }, false) => WriteResult::Created,
        (WriteCall::Index { .. }, true) => WriteResult::Updated,
        (WriteCall::Delete { .. }, true) => WriteResult::Deleted,
        (WriteCall::Delete { .. }, false) => WriteResult::NotFound,
    }
}
