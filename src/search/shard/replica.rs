//! Replica — decides which operations a copy takes from which primary. It never numbers one.
//!
//! Elasticsearch's `IndexShard.acquireReplicaOperationPermit`: a lower term is refused with the newer one, a
//! higher term is adopted before the operation is taken.

use super::{Phase, Shard, store::Taken};
use crate::{
    defect::Defect,
    event::EventKind,
    name::{AllocationId, HostId, SeqNo, Term},
    search::{
        engine::Failure,
        shards::{Body, Operations, Purpose, Step},
    },
};

impl Shard {
    /// Operations from a copy that takes itself for the primary of `term`.
    pub(super) fn take_operations(
        &mut self,
        step: &mut Step<'_, '_>,
        from: (HostId, AllocationId),
        term: Term,
        operations: Operations,
    ) -> Result<(), Failure> {
        let request = operations.request;
        if !self.takes_operations(step, term) {
            let over = term < self.term;
            let body = if over { Body::Refused { request } } else { Body::Absent { request } };
            step.send(from.0, self.message(from.1, body));
            return Ok(());
        }
        self.learn_term(step, term);
        self.recovery_goes_on(step, &operations);
        self.store_operations(step, term, &operations)?;
        self.prune_tombstones(step);
        let skips_refresh = step.desk.config.defects.has(Defect::ReplicaSkipsRefresh);
        if operations.purpose == (Purpose::Write { refresh: true }) && !skips_refresh {
            self.want_refresh(step);
        }
        self.hand_on_disk(step);
        // A recovery is durable before it ends (`RecoveryTarget.indexTranslogOperations`).
        let recovers = matches!(operations.purpose, Purpose::Recovery { .. });
        let syncs_first = recovers || self.syncs_first(step);
        let store = self.open_store();
        let (translog, mut local_checkpoint) = (store.translog_file(), store.local_checkpoint());
        if !syncs_first {
            local_checkpoint = store.persisted_checkpoint();
            self.sync_later(step);
        }
        // Also to a primary of an older term, if a defect lets its operations pass: it must believe us.
        let mut taken = self.message(from.1, Body::Taken { request, local_checkpoint });
        taken.term = term;
        if syncs_first {
            step.send_after_sync(&translog, from.0, taken);
        } else {
            step.send(from.0, taken);
        }
        self.flush_if_due(step)
    }

    fn takes_operations(&mut self, step: &mut Step<'_, '_>, term: Term) -> bool {
        let ignores_term = step.desk.config.defects.has(Defect::ReplicaIgnoresTerm);
        match &self.phase {
            Phase::Primary(_) if term > self.term => {
                self.depose(step);
                false
            }
            Phase::Primary(_) => ignores_term && term < self.term,
            Phase::Replica | Phase::Recovered { .. } => ignores_term || term >= self.term,
            Phase::Recovering(target) => target.is_following() && term >= self.term,
            _ => false,
        }
    }

    fn store_operations(
        &mut self,
        step: &mut Step<'_, '_>,
        sender_term: Term,
        operations: &Operations,
    ) -> Result<(), Failure> {
        let (shard, allocation) = (self.id.clone(), self.allocation);
        let in_sync = !matches!(self.phase, Phase::Recovering(_));
        let store = self.open_store();
        let mut is_rebuilt = false;
        for operation in &operations.operations {
            let taken = store.take(operation)?;
            if taken == Taken::Known {
                continue;
            }
            is_rebuilt |= taken == Taken::Superseding;
            store.drain().into_iter().for_each(|op| step.ctx.out.disk(op));
            step.note(EventKind::ReplicaAppended {
                shard: shard.clone(),
                allocation,
                sender_term,
                term: operation.term,
                seq_no: operation.seq_no,
                digest: operation.digest(),
                global_checkpoint: operations.global_checkpoint,
            });
        }
        store.learn_global_checkpoint(operations.global_checkpoint, in_sync);
        if is_rebuilt {
            self.show_rebuilt(step);
        }
        if let Purpose::Resync { trim_above: Some(above) } = operations.purpose {
            self.trim(step, above)?;
        }
        Ok(())
    }

    /// Voids what the primary has not sent: it does not have it.
    pub(super) fn trim(&mut self, step: &mut Step<'_, '_>, above: SeqNo) -> Result<(), Failure> {
        let void = self.open_store().trim_unconfirmed()?;
        if !void.is_empty() {
            self.hand_on_disk(step);
            let (shard, allocation) = (self.id.clone(), self.allocation);
            let above = above.min(self.open_store().max_seq_no());
            step.note(EventKind::OperationsTrimmed { shard, allocation, above, void });
            self.show_rebuilt(step);
        }
        Ok(())
    }

    /// The engine was built anew from its last commit: searches would go back to that, and miss what they have shown
    /// (`IndexShard.resetEngineToGlobalCheckpoint` refreshes before it lets anybody in). If it fails, so does the copy.
    fn show_rebuilt(&mut self, step: &mut Step<'_, '_>) {
        if self.serves() {
            let _ = self.refresh(step);
        }
    }

    /// The primary of `term` says how far all in-sync copies are.
    pub(super) fn take_global_checkpoint(
        &mut self,
        step: &mut Step<'_, '_>,
        term: Term,
        checkpoint: SeqNo,
    ) -> Result<(), Failure> {
        let replica = matches!(self.phase, Phase::Replica | Phase::Recovered { .. });
        if replica && term == self.term {
            if checkpoint > self.open_store().global_checkpoint() {
                self.note_learned(step, checkpoint);
            }
            self.open_store().learn_global_checkpoint(checkpoint, true);
            return self.flush_if_due(step);
        }
        Ok(())
    }

    fn note_learned(&self, step: &mut Step<'_, '_>, global_checkpoint: SeqNo) {
        let (shard, allocation, sender_term) = (self.id.clone(), self.allocation, self.term);
        step.note(EventKind::GlobalCheckpointLearned { shard, allocation, sender_term, global_checkpoint });
    }
}
