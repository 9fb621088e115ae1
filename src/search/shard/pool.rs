//! Write pool — decides in which order a copy works off the operations that reach it close together. It never
//! looks at what they do.
//!
//! Elasticsearch spreads the replication of one shard over several connections and threads, so operations may
//! overtake each other on their way into a replica; sequence numbers are there to bear that. A node with one thread
//! takes them as they come. With more, some wait for a moment and let the next one pass.

use std::time::Duration;

use super::Shard;
use crate::{
    core::Instant,
    event::Digest,
    name::{AllocationId, HostId, Term},
    search::{
        engine::Failure,
        shards::{Operations, Purpose, Step},
    },
};

/// How long an operation may be overtaken.
const LATE: Duration = Duration::from_millis(5);

/// Operations that another thread has begun with and not ended.
#[derive(Debug)]
pub(super) struct Late {
    from: (HostId, AllocationId),
    term: Term,
    operations: Operations,
    until: Instant,
}

impl Late {
    /// When they are done at the latest.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

impl Shard {
    /// Operations have come: takes them, now or a little later.
    pub(super) fn operations_received(
        &mut self,
        step: &mut Step<'_, '_>,
        from: (HostId, AllocationId),
        term: Term,
        operations: Operations,
    ) -> Result<(), Failure> {
        if self.late.is_none() && step.desk.config.search.write_threads > 1 && is_slow(&operations) {
            self.late = Some(Late { from, term, operations, until: step.after(LATE) });
            return Ok(());
        }
        self.take_operations(step, from, term, operations)?;
        self.take_late(step)
    }

    /// Ends what is late.
    pub(super) fn take_late(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        match self.late.take() {
            Some(Late { from, term, operations, .. }) => self.take_operations(step, from, term, operations),
            None => Ok(()),
        }
    }
}

// Half of the single writes, by their numbers.
fn is_slow(operations: &Operations) -> bool {
    match (operations.purpose, operations.operations.as_slice()) {
        (Purpose::Write { .. }, [operation]) => {
            Digest::of(&operation.seq_no.0.to_le_bytes()).0.is_multiple_of(2)
        }
        _ => false,
    }
}
