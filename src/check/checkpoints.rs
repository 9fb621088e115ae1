//! Checkpoints — decides whether the global checkpoint is what every in-sync copy has. It never looks at what
//! operations do.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind, Placement},
    name::{AllocationId, Epoch, HostId, SeqNo, ShardId},
};

pub(super) const GLOBAL_CHECKPOINT: Law = Law {
    name: "replication.global-checkpoint",
    sentence: "The global checkpoint is never above the local checkpoint of an in-sync copy, and no copy that serves as \
               one is told of a global checkpoint above its own.",
    source: "Elasticsearch, ReplicationTracker (the lowest local checkpoint of the in-sync copies) and \
             ReplicationOperation (sampled before the replication group)",
    monitor: || Box::<GlobalCheckpoint>::default(),
};

/// What a copy has, is what it was seen to take, or to be given in files; a restart may have taken some of it,
/// which is then on its way again, so the ghost may be ahead of the copy and never behind.
///
/// Allowed: a copy that recovers, also one that served before in the same process, is told of a checkpoint above its
/// own (`IndexShard` says so too: it has yet to receive what is below). A primary that does not know the newest state yet is not judged by it: it counts
/// copies that the controller has removed since, or not those that it has added.
#[derive(Default)]
struct GlobalCheckpoint {
    copies: BTreeMap<AllocationId, Copy>,
    /// In-sync copies, as the newest state has them.
    groups: BTreeMap<ShardId, Vec<AllocationId>>,
    newest: (Epoch, u64),
    applied: BTreeMap<HostId, (Epoch, u64)>,
    /// Copies that a state has shown as serving and in sync, that were not opened anew since, and whose nodes have not
    /// applied a state that shows them otherwise, each with its node: a copy that no operation has reached yet is known from states alone.
    serving: BTreeMap<AllocationId, HostId>,
    /// Of those, the first state that shows them otherwise.
    leaving: BTreeMap<AllocationId, (Epoch, u64)>,
}

/// The operations that one copy has.
struct Copy {
    /// All up to here.
    reached: SeqNo,
    above: BTreeSet<SeqNo>,
}

impl Copy {
    fn take(&mut self, seq_no: SeqNo) {
        if seq_no > self.reached {
            self.above.insert(seq_no);
            self.close_up();
        }
    }

    fn take_up_to(&mut self, seq_no: SeqNo) {
        self.reached = self.reached.max(seq_no);
        self.above.retain(|above| *above > seq_no);
        self.close_up();
    }

    fn close_up(&mut self) {
        while self.above.first() == Some(&self.reached.next()) {
            self.above.pop_first();
            self.reached = self.reached.next();
        }
    }

    fn drop(&mut self, void: &[SeqNo]) {
        if let Some(first) = void.iter().filter(|seq_no| **seq_no <= self.reached).min() {
            let kept = first.0 + 1..=self.reached.0;
            self.above.extend(kept.map(SeqNo));
            self.reached = SeqNo(first.0 - 1);
        }
        void.iter().for_each(|seq_no| _ = self.above.remove(seq_no));
    }
}

fn serves(placement: &Placement) -> bool {
    placement.in_sync && placement.state.is_active()
}

impl GlobalCheckpoint {
    fn copy(&mut self, allocation: AllocationId) -> &mut Copy {
        let new = || Copy { reached: SeqNo::NONE, above: BTreeSet::new() };
        self.copies.entry(allocation).or_insert_with(new)
    }

    fn reached(&self, allocation: AllocationId) -> SeqNo {
        self.copies.get(&allocation).map_or(SeqNo::NONE, |copy| copy.reached)
    }

    fn publish(&mut self, state: (Epoch, u64), routing: &[Placement]) {
        if state < self.newest {
            return;
        }
        self.newest = state;
        self.groups.clear();
        let serve = routing.iter().filter(|placement| serves(placement));
        let serve: BTreeSet<_> = serve.filter_map(|placement| placement.allocation).collect();
        self.leaving.retain(|copy, _| !serve.contains(copy));
        for copy in self.serving.keys().filter(|copy| !serve.contains(copy)) {
            self.leaving.entry(*copy).or_insert(state);
        }
        self.end_service();
        for placement in routing.iter().filter(|placement| placement.in_sync) {
            let Some(allocation) = placement.allocation else { continue };
            if let Some(node) = placement.node.filter(|_| serves(placement)) {
                self.serving.insert(allocation, node);
            }
            match self.groups.get_mut(&placement.shard) {
                Some(group) => group.push(allocation),
                None => _ = self.groups.insert(placement.shard.clone(), vec![allocation]),
            }
        }
    }

    /// Copies whose nodes know that they serve no more, do not.
    fn end_service(&mut self) {
        let Self { leaving, applied, serving, .. } = self;
        serving.retain(|copy, node| {
            let left = leaving.get(copy);
            left.is_none_or(|left| applied.get(node).is_none_or(|applied| applied < left))
        });
    }

    fn end_life(&mut self, host: HostId) {
        self.serving.retain(|_, node| *node != host);
    }

    /// The primary on this host says that all in-sync copies are so far.
    fn advance(&self, event: &Event, host: HostId, shard: &ShardId, reached: SeqNo) -> Judged {
        if self.applied.get(&host) != Some(&self.newest) {
            return Ok(());
        }
        let mut group = self.groups.get(shard).into_iter().flatten();
        let Some(behind) = group.find(|copy| self.reached(**copy) < reached) else { return Ok(()) };
        broken(
            event,
            format!(
                "the global checkpoint of {shard} is {reached} on {host}, but the in-sync copy {behind} has all \
                 operations only up to {}",
                self.reached(*behind)
            ),
        )
    }

    /// A copy on this host is told that all in-sync copies are so far.
    fn told(
        &self,
        event: &Event,
        host: HostId,
        (shard, copy): (&ShardId, AllocationId),
        told: SeqNo,
    ) -> Judged {
        let own = self.reached(copy);
        if told <= own || !self.serving.contains_key(&copy) {
            return Ok(());
        }
        broken(
            event,
            format!(
                "copy {copy} of {shard} on {host} is told of global checkpoint {told}, but has all operations only \
                 up to {own}"
            ),
        )
    }
}

impl Monitor for GlobalCheckpoint {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::PrimaryAppended { allocation, seq_no, .. } => self.copy(*allocation).take(*seq_no),
            EventKind::ReplicaAppended { shard, allocation, seq_no, global_checkpoint, .. } => {
                self.told(event, host, (shard, *allocation), *global_checkpoint)?;
                self.copy(*allocation).take(*seq_no);
            }
            EventKind::GlobalCheckpointLearned { shard, allocation, global_checkpoint, .. } => {
                self.told(event, host, (shard, *allocation), *global_checkpoint)?;
            }
            EventKind::GlobalCheckpointAdvanced { shard, global_checkpoint, .. } => {
                self.advance(event, host, shard, *global_checkpoint)?;
            }
            EventKind::FilesInstalled { allocation, up_to, .. } => {
                self.copy(*allocation).take_up_to(*up_to);
            }
            EventKind::OperationsTrimmed { allocation, void, .. } => self.copy(*allocation).drop(void),
            EventKind::StatePublished { epoch, version, routing, .. } => {
                self.publish((*epoch, *version), routing);
            }
            EventKind::StateApplied { epoch, version } => {
                self.applied.insert(host, (*epoch, *version));
                self.end_service();
            }
            EventKind::RecoveryStarted { allocation, .. } | EventKind::CopyRemoved { allocation, .. } => {
                self.serving.remove(allocation);
            }
            EventKind::HostStarted { .. } => self.end_life(host),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::record::{Record, search, shard},
        event::{CopyState, EventKind as E},
        name::{AllocationId, Epoch, SeqNo, Term},
    };

    const LAW: &str = "replication.global-checkpoint";

    fn learned(copy: u64, term: u64, told: i64) -> E {
        let (allocation, sender_term) = (AllocationId(copy), Term(term));
        E::GlobalCheckpointLearned { shard: shard(), allocation, sender_term, global_checkpoint: SeqNo(told) }
    }

    /// Where the second write has been taken by the replica.
    fn after_second_write(record: &Record) -> usize {
        record.index(1, |event| matches!(event.kind, E::GlobalCheckpointAdvanced { .. }))
    }

    #[test]
    fn checkpoint_above_an_in_sync_copy_fails() {
        let mut record = Record::healthy();
        let lost = record.index(1, |event| matches!(event.kind, E::ReplicaAppended { .. }));
        record.events.remove(lost);
        record.assert_fails(
            LAW,
            "the global checkpoint of articles/0 is 1 on search-1, but the in-sync copy 2 has all operations only up \
             to 0",
        );
    }

    #[test]
    fn copy_told_of_a_checkpoint_above_its_own_fails() {
        let mut record = Record::healthy();
        let index = after_second_write(&record);
        record.insert(index, search(2), learned(2, 1, 2));
        record.assert_fails(
            LAW,
            "copy 2 of articles/0 on search-2 is told of global checkpoint 2, but has all operations only up to 1",
        );
    }

    #[test]
    fn operation_that_carries_its_own_number_fails() {
        let mut record = Record::healthy();
        if let (_, E::ReplicaAppended { seq_no, global_checkpoint, .. }) =
            record.nth(2, |kind| matches!(kind, E::ReplicaAppended { .. }))
        {
            *global_checkpoint = *seq_no;
        }
        record.assert_fails(LAW, "is told of global checkpoint 2, but has all operations only up to 1");
    }

    #[test]
    fn checkpoint_up_to_what_the_copy_has_passes() {
        let mut record = Record::healthy();
        let index = after_second_write(&record);
        record.insert(index, search(2), learned(2, 1, 1));
        record.assert_passes(LAW);
    }

    #[test]
    fn copy_that_recovers_may_be_told_more() {
        let mut record = Record::healthy();
        let index = after_second_write(&record);
        let (allocation, from) = (AllocationId(2), "operations".into());
        record.insert(index, search(2), learned(2, 1, 9));
        record.insert(index, search(2), E::RecoveryStarted { shard: shard(), allocation, from });
        record.assert_passes(LAW);
    }

    #[test]
    fn copy_that_was_taken_out_and_is_built_again_may_be_told_more() {
        let told = |state: CopyState, applied: u64| {
            let mut record = Record::default();
            record.publish(search(3), 1, &[(1, CopyState::Started), (2, CopyState::Started)]);
            record.publish(search(3), 2, &[(1, CopyState::Started)]);
            record.publish(search(3), 3, &[(1, CopyState::Started), (2, state)]);
            record.on(search(2), E::StateApplied { epoch: Epoch(1), version: applied });
            record.on(search(2), learned(2, 1, 9));
            record
        };
        told(CopyState::Initializing, 3).assert_passes(LAW);
        for (state, applied) in [(CopyState::Initializing, 1), (CopyState::Started, 3)] {
            told(state, applied).assert_fails(LAW, "is told of global checkpoint 9");
        }
    }

    #[test]
    fn empty_copy_that_was_opened_anew_may_be_told_more() {
        let mut record = Record::healthy();
        let first = record.index(0, |event| matches!(event.kind, E::ReplicaAppended { .. }));
        record.insert(first, search(2), learned(2, 1, 9));
        record.assert_fails(LAW, "is told of global checkpoint 9, but has all operations only up to -1");
        record.insert(first, search(2), E::HostStarted { incarnation: 2 });
        record.assert_passes(LAW);
    }

    #[test]
    fn primary_that_does_not_know_the_newest_state_is_not_judged_by_it() {
        let mut record = Record::healthy();
        let late = record.index(2, |event| matches!(event.kind, E::ReplicaAppended { .. }));
        record.events.swap(late, late + 1);
        record.assert_fails(LAW, "the in-sync copy 2 has all operations only up to 1");
        let applied = |event: &crate::event::Event| {
            event.host == Some(search(1)) && matches!(event.kind, E::StateApplied { .. })
        };
        let last = record.last(|event| applied(event) && event.seq < late as u64);
        record.events.remove(last);
        record.assert_passes(LAW);
    }
}
