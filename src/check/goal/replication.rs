//! Replication — decides which goals of copies, their terms and their recoveries an event meets. It never
//! judges.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ACKNOWLEDGED_LOST, ASYNC_ACKNOWLEDGED, CHECKPOINT_SYNCED, COPY_FLUSHED, COPY_REBUILT, COPY_RETURNED,
    CORRUPTION_FOUND, CORRUPTION_HEALED, FAILED_COPY_REPLACED, GAP_FILLED, Goal, HANDED_OFF_IN_WRITES,
    LONE_WRITE, OPERATION_SUPERSEDED, OPERATIONS_LOST, OPERATIONS_VOIDED, PRIMARY_FENCED, PRIMARY_RETURNED,
    RECOVERY_TRIED_AGAIN, RESYNC_RESENT, TERM_ADOPTED,
};
use crate::{
    check::holdings::{Excuse, Holdings},
    event::{Event, EventKind},
    name::{AllocationId, HostId, SeqNo, ShardId, Term},
};

/// What must be remembered to tell.
#[derive(Default)]
pub(super) struct Replication {
    holdings: Holdings,
    acting: BTreeMap<ShardId, Acting>,
    /// Copies that were opened from their disks, or had to begin again, and have not recovered yet.
    opened: BTreeSet<AllocationId>,
    /// How the recoveries under way began.
    recovering: BTreeMap<AllocationId, Beginning>,
    /// Shards with a copy that failed or was found corrupt, and where it is.
    failed: BTreeMap<ShardId, HostId>,
    corrupt: BTreeMap<ShardId, AllocationId>,
    /// The terms of operations that were acknowledged unsynced.
    unsynced: BTreeMap<ShardId, BTreeMap<SeqNo, Term>>,
}

/// The acting primary of a shard, as events show it.
struct Acting {
    allocation: AllocationId,
    term: Term,
    /// It has just been activated, and has not yet begun to resend.
    is_new: bool,
    /// Its predecessor in the term, if that had numbered an operation.
    succeeds_writer: bool,
    /// What it has numbered and not acknowledged.
    open: BTreeSet<SeqNo>,
    has_written: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Store,
    Operations,
    Files,
}

impl Replication {
    /// The goals that the next event meets.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<Goal> {
        let mut met = Vec::new();
        let (Some(host), Some(shard)) = (event.host, event.kind.shard()) else {
            self.holdings.observe(event);
            return met;
        };
        if let EventKind::ReplicaAppended { allocation, seq_no, term, .. } = &event.kind
            && self.holdings.get(*allocation).is_some_and(|held| held.has_another(*seq_no, *term))
        {
            met.push(OPERATION_SUPERSEDED);
        }
        let lost = self.holdings.observe(event);
        let unsynced =
            lost.iter().flat_map(|lost| &lost.operations).any(|(_, _, why)| *why == Excuse::Unsynced);
        met.extend(unsynced.then_some(OPERATIONS_LOST));
        met.extend(self.gone(shard, &event.kind));
        met.extend(self.primary(shard, &event.kind));
        met.extend(self.recovery(host, shard, &event.kind));
        met.extend(match &event.kind {
            EventKind::OperationsTrimmed { .. } => Some(OPERATIONS_VOIDED),
            EventKind::GlobalCheckpointLearned { .. } => Some(CHECKPOINT_SYNCED),
            EventKind::TermAdopted { .. } => Some(TERM_ADOPTED),
            EventKind::CopyFlushed { .. } => Some(COPY_FLUSHED),
            EventKind::CorruptionFound { .. } => Some(CORRUPTION_FOUND),
            EventKind::ResyncStarted { operations: 1.., .. } => Some(RESYNC_RESENT),
            EventKind::WriteAcknowledged { durable: false, .. } => Some(ASYNC_ACKNOWLEDGED),
            EventKind::WriteAcknowledged { copies: 1, .. } => Some(LONE_WRITE),
            _ => None,
        });
        met
    }

    /// What was acknowledged unsynced is gone once its number is given to another operation.
    fn gone(&mut self, shard: &ShardId, kind: &EventKind) -> Option<Goal> {
        match kind {
            EventKind::WriteAcknowledged { seq_no, term, durable: false, .. } => {
                self.unsynced.entry(shard.clone()).or_default().insert(*seq_no, *term);
                None
            }
            EventKind::PrimaryAppended { seq_no, term, .. } if !self.unsynced.is_empty() => {
                let before = self.unsynced.get(shard)?.get(seq_no)?;
                (before < term).then_some(ACKNOWLEDGED_LOST)
            }
            _ => None,
        }
    }

    fn primary(&mut self, shard: &ShardId, kind: &EventKind) -> Option<Goal> {
        if let EventKind::PrimaryActivated { allocation, term, .. } = kind {
            let before = self.acting.get(shard);
            let succeeds_writer = before.is_some_and(|before| before.term == *term && before.has_written);
            let is_new = before.is_some_and(|before| before.term < *term);
            let (allocation, term) = (*allocation, *term);
            let open = BTreeSet::new();
            let new = Acting { allocation, term, is_new, succeeds_writer, open, has_written: false };
            self.acting.insert(shard.clone(), new);
            return None;
        }
        let acting = self.acting.get_mut(shard)?;
        match kind {
            EventKind::PrimaryAppended { allocation, seq_no, .. } if *allocation == acting.allocation => {
                acting.open.insert(*seq_no);
                acting.has_written = true;
                match () {
                    () if std::mem::take(&mut acting.succeeds_writer) => Some(HANDED_OFF_IN_WRITES),
                    () => acting.is_new.then_some(GAP_FILLED),
                }
            }
            EventKind::ResyncStarted { .. } => {
                acting.is_new = false;
                None
            }
            EventKind::WriteAcknowledged { seq_no, .. } => {
                acting.is_new = false;
                acting.open.remove(seq_no);
                None
            }
            EventKind::PrimaryDeactivated { allocation, why, .. } => {
                let is_cut_short = *allocation == acting.allocation && !acting.open.is_empty();
                (is_cut_short && why == "deposed").then_some(PRIMARY_FENCED)
            }
            _ => None,
        }
    }

    fn recovery(&mut self, host: HostId, shard: &ShardId, kind: &EventKind) -> Option<Goal> {
        match kind {
            EventKind::CopyOpened { allocation, .. } => {
                self.opened.insert(*allocation);
                None
            }
            EventKind::CopyFailed { .. } => {
                self.failed.insert(shard.clone(), host);
                None
            }
            EventKind::CorruptionFound { allocation, .. } => {
                self.corrupt.insert(shard.clone(), *allocation);
                None
            }
            EventKind::RecoveryStarted { allocation, from, .. } => {
                let beginning = match from.as_ref() {
                    "store" => Beginning::Store,
                    "operations" => Beginning::Operations,
                    _ => Beginning::Files,
                };
                let before = self.recovering.insert(*allocation, beginning);
                before.is_some().then_some(RECOVERY_TRIED_AGAIN)
            }
            EventKind::RecoveryCompleted { allocation, .. } => self.recovered(host, shard, *allocation),
            _ => None,
        }
    }

    fn recovered(&mut self, host: HostId, shard: &ShardId, allocation: AllocationId) -> Option<Goal> {
        let beginning = self.recovering.remove(&allocation)?;
        let had_data = self.opened.remove(&allocation);
        if beginning != Beginning::Store && self.corrupt.remove(shard).is_some() {
            return Some(CORRUPTION_HEALED);
        }
        if self.failed.get(shard).is_some_and(|failed| *failed != host) {
            self.failed.remove(shard);
            return Some(FAILED_COPY_REPLACED);
        }
        had_data.then_some(match beginning {
            Beginning::Store => PRIMARY_RETURNED,
            Beginning::Operations => COPY_RETURNED,
            Beginning::Files => COPY_REBUILT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, numbered, search, shard},
        event::{Digest, EventKind as E},
    };

    fn met(events: Vec<(u16, E)>) -> Vec<&'static str> {
        let mut record = Record::default();
        events.into_iter().for_each(|(node, kind)| _ = record.on(search(node), kind));
        let mut replication = Replication::default();
        let met = record.numbered().iter().flat_map(|event| replication.observe(event)).collect::<Vec<_>>();
        met.into_iter().map(|goal| goal.name).collect()
    }

    fn activated(allocation: u64, term: u64) -> E {
        E::PrimaryActivated { shard: shard(), allocation: AllocationId(allocation), term: Term(term) }
    }

    fn appended(allocation: u64, term: u64, seq_no: i64) -> E {
        numbered((allocation, term), seq_no, 1)
    }

    fn taken(allocation: u64, term: u64) -> E {
        let (sender_term, term, seq_no, digest) = (Term(term), Term(term), SeqNo(0), Digest(1));
        let (allocation, global_checkpoint) = (AllocationId(allocation), SeqNo::NONE);
        E::ReplicaAppended {
            shard: shard(),
            allocation,
            sender_term,
            term,
            seq_no,
            digest,
            global_checkpoint,
        }
    }

    fn deactivated(allocation: u64, why: &'static str) -> E {
        let (allocation, term, why) = (AllocationId(allocation), Term(1), why.into());
        E::PrimaryDeactivated { shard: shard(), allocation, term, why }
    }

    fn acknowledged(seq_no: i64, copies: u32, durable: bool) -> E {
        E::WriteAcknowledged { shard: shard(), term: Term(1), seq_no: SeqNo(seq_no), copies, durable }
    }

    fn resent(operations: u64) -> E {
        E::ResyncStarted { shard: shard(), term: Term(1), operations }
    }

    fn started(allocation: u64, from: &'static str) -> E {
        let allocation = AllocationId(allocation);
        E::RecoveryStarted { shard: shard(), allocation, from: from.into() }
    }

    fn completed(allocation: u64) -> E {
        E::RecoveryCompleted { shard: shard(), allocation: AllocationId(allocation), operations: 0 }
    }

    fn opened(allocation: u64) -> E {
        let (allocation, up_to) = (AllocationId(allocation), SeqNo::NONE);
        E::CopyOpened { shard: shard(), allocation, up_to, above: vec![] }
    }

    #[test]
    fn primary_that_cannot_acknowledge_any_more_counts() {
        let cut_short = vec![
            (1, activated(1, 1)),
            (1, resent(0)),
            (1, appended(1, 1, 0)),
            (1, deactivated(1, "deposed")),
        ];
        assert_eq!(met(cut_short), ["primary-fenced"]);
        let done = vec![
            (1, activated(1, 1)),
            (1, resent(0)),
            (1, appended(1, 1, 0)),
            (1, acknowledged(0, 2, true)),
            (1, deactivated(1, "deposed")),
        ];
        assert!(met(done).is_empty());
    }

    #[test]
    fn number_filled_before_the_resync_counts_as_a_gap() {
        assert_eq!(
            met(vec![(2, activated(2, 1)), (1, activated(1, 2)), (1, appended(1, 2, 4)), (1, resent(3))]),
            ["gap-filled", "resync-resent"]
        );
    }

    #[test]
    fn hand_off_between_writes_counts() {
        let events = vec![
            (1, activated(1, 1)),
            (1, resent(0)),
            (1, appended(1, 1, 0)),
            (1, acknowledged(0, 2, true)),
            (1, deactivated(1, "handed-off")),
            (2, activated(2, 1)),
            (2, appended(2, 1, 1)),
        ];
        assert_eq!(met(events), ["handed-off-in-writes"]);
    }

    #[test]
    fn acknowledgements_alone_or_unsynced_count() {
        assert_eq!(
            met(vec![(1, acknowledged(0, 1, true)), (1, acknowledged(1, 2, false))]),
            ["lone-write", "async-acknowledged"]
        );
    }

    #[test]
    fn number_of_an_unsynced_write_that_is_given_again_counts() {
        let lost = vec![(1, appended(1, 1, 0)), (1, acknowledged(0, 1, false)), (2, appended(2, 2, 0))];
        assert_eq!(met(lost), ["async-acknowledged", "acknowledged-write-lost"]);
        let kept = vec![(1, acknowledged(0, 2, false)), (2, appended(2, 2, 1))];
        assert_eq!(met(kept), ["async-acknowledged"]);
    }

    #[test]
    fn operation_that_takes_the_place_of_another_counts() {
        assert_eq!(met(vec![(2, taken(2, 1)), (2, taken(2, 2))]), ["operation-superseded"]);
    }

    #[test]
    fn operations_that_the_power_took_count() {
        let events = vec![(2, taken(2, 1)), (2, E::HostCrashed { power: true }), (2, opened(2))];
        assert_eq!(met(events), ["operations-lost"]);
    }

    #[test]
    fn recovery_counts_by_what_the_copy_had() {
        for (from, goal) in
            [("store", "primary-returned"), ("operations", "copy-returned"), ("files", "copy-rebuilt")]
        {
            assert_eq!(met(vec![(2, opened(2)), (2, started(2, from)), (2, completed(2))]), [goal]);
        }
        assert!(met(vec![(2, started(2, "files")), (2, completed(2))]).is_empty());
        assert_eq!(met(vec![(2, started(2, "files")), (2, started(2, "files"))]), ["recovery-tried-again"]);
    }

    #[test]
    fn copy_built_in_place_of_a_failed_or_corrupt_one_counts() {
        let allocation = AllocationId(1);
        let failed = E::CopyFailed { shard: shard(), allocation, why: "broken".into() };
        assert_eq!(
            met(vec![(1, failed), (2, started(2, "files")), (2, completed(2))]),
            ["failed-copy-replaced"]
        );
        let corrupt = E::CorruptionFound { shard: shard(), allocation, file: "translog.1".into() };
        let events = vec![(1, corrupt), (2, started(2, "files")), (2, completed(2))];
        assert_eq!(met(events), ["corruption-found", "corruption-healed"]);
    }
}
