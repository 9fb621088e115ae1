//! Refreshed — decides whether searches show what writes with `refresh` were acknowledged for. It never asks what
//! they show of it.

use std::collections::BTreeMap;

use crate::{
    check::{
        forfeit::Forfeit,
        history::has,
        law::{Law, Monitor},
        strays::Strays,
        verdict::{Judged, Point, broken, clock},
    },
    event::{Digest, DocOp, Event, EventKind, Outcome, ShardSeen},
    name::{RequestId, SeqNo, ShardId},
};

pub(super) const REFRESHED: Law = Law {
    name: "search.refreshed",
    sentence: "A write that was acknowledged with refresh=true or wait_for is visible to every search sent after that.",
    source: "Elasticsearch, refresh parameter: `true` refreshes the relevant primary and replica shards, `wait_for` \
             replies once the changes are visible; a recovered copy refreshes before it serves \
             (IndexShard.finalizeRecovery); #9421, #13068",
    monitor: || Box::<Refreshed>::default(),
};

/// A write is acknowledged when every copy of the replication group has it, and `refresh` goes with it; what joins
/// the group later refreshes when its recovery ends. What a search saw is what its copies say; whether they showed it
/// is for `search.answers`.
///
/// Allowed:
/// - a copy that is out of the in-sync set, as long as its node has not heard of it, need not have the write; nor one that
///   may be, by a state that others have applied before anybody told what is in it;
/// - an update that changed nothing (`noop`) refreshes nothing;
/// - nothing is promised of an index that was deleted or began anew, nor of one that lost writes which were
///   acknowledged unsynced (`index.translog.durability: async`).
#[derive(Default)]
struct Refreshed {
    strays: Strays,
    forfeit: Forfeit,
    /// Writes with `refresh` under way.
    awaited: BTreeMap<u64, Awaited>,
    /// By shard: from which place of the record on, which operation must be visible.
    promised: BTreeMap<ShardId, BTreeMap<u64, SeqNo>>,
    searches: BTreeMap<u64, (String, Point)>,
}

struct Awaited {
    index: String,
    id: String,
    source: Option<Digest>,
    is_add: bool,
    shard: Option<ShardId>,
}

impl Awaited {
    fn is_numbered(&self, index: &str, id: &str, source: Option<Digest>) -> bool {
        *self.index == *index && if self.is_add { self.source == source } else { *self.id == *id }
    }
}

fn asks_for_refresh(parameters: &str) -> bool {
    has(parameters, "refresh=true") || has(parameters, "refresh=wait_for")
}

impl Refreshed {
    fn promise(&mut self, at: u64, request: u64, seq_no: Option<SeqNo>) {
        let shard = self.awaited.remove(&request).and_then(|awaited| awaited.shard);
        let (Some(shard), Some(seq_no)) = (shard, seq_no) else { return };
        let promised = self.promised.entry(shard).or_default();
        let before = promised.last_key_value().map(|(_, seq_no)| *seq_no);
        if before.is_none_or(|before| before < seq_no) {
            promised.insert(at, seq_no);
        }
    }

    /// What a copy should have shown and did not have.
    fn missed(&self, shard: &ShardId, sent: Point, answered: Point, seen: &ShardSeen) -> Option<SeqNo> {
        let (_, promised) = self.promised.get(shard)?.range(..sent.seq).next_back()?;
        let is_missed = seen.max_seq_no.max(seen.up_to) < *promised;
        (is_missed && !self.strays.may_have_been(seen.allocation, sent, answered)).then_some(*promised)
    }

    fn judge(&mut self, event: &Event, request: u64, seen: &[ShardSeen]) -> Judged {
        let Some((index, sent)) = self.searches.remove(&request) else { return Ok(()) };
        for seen in seen {
            let shard = ShardId { index: index.as_str().into(), number: seen.shard };
            if self.forfeit.has_lost(&shard) {
                continue;
            }
            if let Some(seq_no) = self.missed(&shard, sent, event.into(), seen) {
                let (copy, had) = (seen.allocation, seen.max_seq_no.max(seen.up_to));
                let why = format!(
                    "search {}, sent at {}, was answered by copy {copy} of {shard} as of operation {had}, but operation \
                     {seq_no} had been acknowledged with a refresh",
                    RequestId(request),
                    clock(sent.at)
                );
                return broken(event, why);
            }
        }
        Ok(())
    }
}

impl Monitor for Refreshed {
    fn observe(&mut self, event: &Event) -> Judged {
        self.strays.observe(event);
        self.forfeit.observe(event);
        match &event.kind {
            EventKind::DocInvoked { request, index, id, op, source, parameters, .. }
                if asks_for_refresh(parameters) =>
            {
                let (index, id, source) = (index.clone(), id.clone(), *source);
                let is_add = *op == DocOp::Add;
                self.awaited.insert(*request, Awaited { index, id, source, is_add, shard: None });
            }
            EventKind::PrimaryAppended { shard, id, source, .. } if !self.awaited.is_empty() => {
                for awaited in self.awaited.values_mut() {
                    if awaited.shard.is_none() && awaited.is_numbered(&shard.index.0, id, *source) {
                        awaited.shard = Some(shard.clone());
                    }
                }
            }
            EventKind::DocCompleted { request, outcome, seq_no, result, .. } => {
                let is_done = *outcome == Outcome::Ok && result.as_deref() != Some("noop");
                self.promise(event.seq, *request, seq_no.filter(|_| is_done));
            }
            EventKind::SearchInvoked { request, index, .. } if !self.promised.is_empty() => {
                self.searches.insert(*request, (index.clone(), event.into()));
            }
            EventKind::SearchCompleted { request, outcome: Outcome::Ok, seen, .. } => {
                return self.judge(event, *request, seen);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search, shard},
        event::CopyState,
        name::{AllocationId, Epoch, Term},
    };

    const LAW: &str = "search.refreshed";

    /// Two copies serve, operation 3 is acknowledged to such a request; then this; then copy 2 answers a search as of
    /// these operations.
    fn searched(parameters: &str, then: impl FnOnce(&mut Record), (up_to, max): (i64, i64)) -> Record {
        let mut record = Record::default();
        record.publish(search(3), 1, &[(1, CopyState::Started), (2, CopyState::Started)]);
        record.write(1, "a", Some(1)).with(parameters).appended((1, 3), "a", Some(1)).acknowledge(1, 3, 1);
        then(&mut record);
        let (up_to, max_seq_no, allocation) = (SeqNo(up_to), SeqNo(max), AllocationId(2));
        let seen = ShardSeen { shard: 0, allocation, up_to, max_seq_no, total: 0 };
        record.searched(2, "{}", "").found(2, 0, &[], vec![seen]);
        record
    }

    #[test]
    fn copy_that_has_refreshed_passes() {
        searched("refresh=true", |_| (), (3, 3)).assert_passes(LAW);
        searched("_bulk&refresh=wait_for", |_| (), (1, 4)).assert_passes(LAW);
        searched("refresh=false", |_| (), (2, 2)).assert_passes(LAW);
    }

    /// D29: "refresh skips a copy whose state is behind: index–refresh–search misses a doc".
    #[test]
    fn copy_that_was_skipped_fails() {
        for parameters in ["refresh=true", "refresh=wait_for"] {
            searched(parameters, |_| (), (2, 2)).assert_fails(
                LAW,
                "was answered by copy 2 of articles/0 as of operation 2, but operation 3 had been acknowledged",
            );
        }
    }

    #[test]
    fn copy_that_does_not_know_that_it_is_out_is_allowed() {
        let out = |record: &mut Record| _ = record.publish(search(3), 2, &[(1, CopyState::Started)]);
        searched("refresh=true", out, (2, 2)).assert_passes(LAW);
    }

    #[test]
    fn copy_that_may_be_out_by_a_state_that_nobody_told_of_is_allowed() {
        let applied = |record: &mut Record, host, version| {
            record.on(search(host), EventKind::StateApplied { epoch: Epoch(2), version });
        };
        let untold = |record: &mut Record| applied(record, 1, 2);
        searched("refresh=true", untold, (2, 2)).assert_passes(LAW);
        let known = |record: &mut Record| {
            applied(record, 1, 2);
            applied(record, 2, 2);
        };
        searched("refresh=true", known, (2, 2)).assert_fails(LAW, "was answered by copy 2");
        let told = |record: &mut Record| {
            applied(record, 1, 2);
            record.publish(search(3), 2, &[(1, CopyState::Started), (2, CopyState::Started)]);
        };
        searched("refresh=true", told, (2, 2)).assert_fails(LAW, "was answered by copy 2");
    }

    #[test]
    fn primary_that_has_handed_over_is_allowed_until_it_is_removed() {
        let (shard, allocation) = (shard(), AllocationId(2));
        let gone = |kinds: Vec<EventKind>| {
            searched(
                "refresh=true",
                |record| kinds.into_iter().for_each(|kind| _ = record.on(search(2), kind)),
                (2, 2),
            )
        };
        let handed = EventKind::PrimaryDeactivated {
            shard: shard.clone(),
            allocation,
            term: Term(1),
            why: "handed-off".into(),
        };
        let again = EventKind::PrimaryActivated { shard, allocation, term: Term(1) };
        gone(vec![handed.clone()]).assert_passes(LAW);
        gone(vec![handed, again]).assert_fails(LAW, "was answered by copy 2");
    }

    #[test]
    fn search_that_was_sent_before_the_acknowledgement_is_not_judged() {
        let mut record = Record::default();
        record.publish(search(3), 1, &[(2, CopyState::Started)]).searched(2, "{}", "");
        record.write(1, "a", Some(1)).with("refresh=true").appended((1, 3), "a", Some(1));
        record.acknowledge(1, 3, 1);
        let (up_to, max_seq_no, allocation) = (SeqNo(0), SeqNo(0), AllocationId(2));
        record.found(2, 0, &[], vec![ShardSeen { shard: 0, allocation, up_to, max_seq_no, total: 0 }]);
        record.assert_passes(LAW);
    }
}
