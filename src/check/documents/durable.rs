//! Durable — decides whether acknowledged writes are there in the end. It never looks at reads.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        calm::Calm,
        exhausted::Exhausted,
        forfeit::Forfeit,
        history::{Doc, End, History, Write},
        inspected::{Inspected, InspectedCopy},
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock, listed},
    },
    event::{Event, EventKind, HeldDoc},
    name::{RequestId, ShardId},
};

pub(in crate::check) const DURABLE: Law = Law {
    name: "documents.durable",
    sentence: "No acknowledged write is lost: in the end every serving copy has it, or a later write that someone sent.",
    source: "Elasticsearch, data replication model: acknowledged when every in-sync copy has it; resiliency status; \
             #7572, #14671",
    monitor: || Box::<Durable>::default(),
};

/// Allowed:
/// - a write that failed for its client without certainty (`Outcome::Unknown`, or never answered) may take
///   effect or not, at any time (Elasticsearch's data replication model: an unacknowledged operation may be
///   replicated and acknowledged later);
/// - a request may be executed twice, for a coordinating node tries again on the new primary when it cannot
///   know what became of the first attempt; so a later number may carry content acknowledged earlier;
/// - an index may be deleted, and what was acknowledged unsynced (`index.translog.durability: async`) may be gone
///   after a node has lost power;
/// - a shard that has failed too often has no serving copy until somebody has retries begin anew
///   (`MaxRetryAllocationDecider`): what it took lies on a disk that nobody opens;
/// - the tombstone of a delete may be gone (`index.gc_deletes`), so that nothing is left of the document.
#[derive(Default)]
struct Durable {
    calm: Calm,
    history: History,
    inspected: Inspected,
    forfeit: Forfeit,
    acknowledged: BTreeMap<ShardId, Point>,
    /// Shards that have failed too often.
    exhausted: Exhausted,
}

/// An acknowledged write that is not where it must be.
struct Loss {
    doc: String,
    /// The write, unless the document holds what nobody wrote.
    write: Option<(Point, String)>,
    at: Point,
    found: String,
}

/// What is wrong with `held`, given what clients sent and were told, and the `last` write that must not be gone;
/// none if it may be so.
fn wrong(doc: &Doc, last: Option<&Write>, held: Option<&HeldDoc>) -> Option<String> {
    let Some(held) = held else {
        let may_be_gone = last.is_none() || doc.may_hold(None) && !is_outdone(doc, last);
        return (!may_be_gone).then(|| "does not have it".to_owned());
    };
    let what = if held.source.is_some() { "operation" } else { "a delete, operation" };
    let found = format!("has {what} {} of term {}", held.seq_no, held.term);
    match last.map(|write| (write, write.end)) {
        Some((_, End::Acknowledged { seq_no, .. })) if held.seq_no < seq_no => Some(found),
        Some((write, End::Acknowledged { seq_no, term, .. })) if held.seq_no == seq_no => {
            let same = held.source == write.source && term.is_none_or(|term| term == held.term);
            (!same).then(|| format!("{found} with another content"))
        }
        _ => (!doc.may_hold(held.source)).then(|| format!("{found}, which nobody sent")),
    }
}

/// Whether every delete that may have counted was acknowledged before the last acknowledged write.
fn is_outdone(doc: &Doc, last: Option<&Write>) -> bool {
    let Some(last) = last.filter(|last| last.source.is_some()) else { return false };
    let mut deletes = doc.writes.iter().filter(|write| write.source.is_none() && write.may_count());
    deletes.all(|delete| delete.acknowledged().is_some_and(|seq_no| Some(seq_no) < last.acknowledged()))
}

impl Durable {
    fn losses(&self, bare: &BTreeSet<&ShardId>, end: Point) -> Vec<Loss> {
        let copies: Vec<_> = self.inspected.active().collect();
        let mut losses: Vec<_> = self.phantoms(&copies).collect();
        for doc in self.history.docs().iter().filter(|doc| !self.forfeit.is_deleted(&doc.index)) {
            let last = doc.last_acknowledged(|write| !self.forfeit.may_be_gone(doc, write));
            let homes: BTreeSet<_> =
                copies.iter().filter(|copy| holds(copy, doc)).map(|copy| &copy.shard).collect();
            let is_hidden = homes.is_empty() && bare.iter().any(|shard| doc.is_in(shard));
            match homes.first() {
                _ if is_hidden => {}
                Some(home) if homes.len() == 1 => {
                    losses.extend(copies.iter().filter(|copy| copy.shard == **home).filter_map(|copy| {
                        let found = wrong(doc, last, copy.docs.get(&doc.id))?;
                        Some(loss(doc, copy.at, format!("{} {found}", copy.name())))
                    }));
                }
                Some(_) => {
                    let shards = listed(homes.iter().map(|shard| shard.to_string()), 4);
                    losses.push(loss(doc, end, format!("more than one shard holds it: {shards}")));
                }
                None => losses.extend(
                    wrong(doc, last, None)
                        .map(|_| loss(doc, end, format!("no serving copy of {} has it", doc.index))),
                ),
            }
        }
        losses
    }

    /// What copies hold although no client ever named it.
    fn phantoms<'a>(&'a self, copies: &'a [&'a InspectedCopy]) -> impl Iterator<Item = Loss> + 'a {
        copies.iter().flat_map(move |copy| {
            let unknown =
                copy.docs.values().filter(|held| self.history.doc(&copy.shard.index.0, &held.id).is_none());
            unknown.map(|held| Loss {
                doc: format!("{}/{}", copy.shard.index, held.id),
                write: None,
                at: copy.at,
                found: format!(
                    "{} has operation {} of term {}, which nobody sent",
                    copy.name(),
                    held.seq_no,
                    held.term
                ),
            })
        })
    }

    /// Shards that took acknowledged writes and have no serving copy.
    fn bare(&self) -> BTreeSet<&ShardId> {
        let served: BTreeSet<_> = self.inspected.active().map(|copy| &copy.shard).collect();
        let bare = self.acknowledged.keys().filter(|shard| !served.contains(shard));
        bare.filter(|shard| !self.forfeit.has_given_up(shard)).collect()
    }
}

fn holds(copy: &InspectedCopy, doc: &Doc) -> bool {
    *copy.shard.index.0 == *doc.index && copy.docs.contains_key(&doc.id)
}

fn loss(doc: &Doc, at: Point, found: String) -> Loss {
    let write = doc.last_acknowledged(|_| true).map(|write| {
        let (at, number) = match write.end {
            End::Acknowledged { at, seq_no, term: Some(term) } => {
                (at, format!("operation {seq_no} of term {term}"))
            }
            End::Acknowledged { at, seq_no, term: None } => (at, format!("operation {seq_no}")),
            End::Open | End::Failed => (at, "no operation".into()),
        };
        (at, format!("request {}, acknowledged at {} as {number}", RequestId(write.request), clock(at.at)))
    });
    Loss { doc: format!("{}/{}", doc.index, doc.id), write, at, found }
}

/// Which documents, how many, and the first in detail.
fn report(mut losses: Vec<Loss>) -> Judged {
    losses.sort_by_key(|loss| (loss.write.is_none(), loss.write.as_ref().map(|(at, _)| *at), loss.at));
    let Some(first) = losses.first() else { return Ok(()) };
    let mut ids: Vec<_> = losses.iter().map(|loss| loss.doc.clone()).collect();
    ids.dedup();
    let write = first.write.as_ref().map_or("never acknowledged", |(_, text)| text);
    broken(
        first.at,
        format!(
            "{} documents are not as they must be ({}); the first, {} ({write}): {}",
            ids.len(),
            listed(ids.clone(), 8),
            first.doc,
            first.found
        ),
    )
}

impl Monitor for Durable {
    fn observe(&mut self, event: &Event) -> Judged {
        self.calm.observe(event);
        self.history.observe(event);
        self.inspected.observe(event);
        self.forfeit.observe(event);
        self.exhausted.follow(event);
        if let EventKind::WriteAcknowledged { shard, .. } = &event.kind
            && !self.acknowledged.contains_key(shard)
        {
            self.acknowledged.insert(shard.clone(), event.into());
        }
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        let end = self.calm.end()?;
        let bare = self.bare();
        report(self.losses(&bare, end))?;
        let Some(shard) = bare.iter().find(|shard| !self.exhausted.has(shard)) else { return Ok(()) };
        self.calm.is_long_enough()?;
        broken(
            end,
            format!(
                "{shard} took acknowledged writes, and no serving copy of it is left: {}",
                self.inspected.whereabouts(shard)
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            record::{Record, search},
            verdict::Verdict,
        },
        event::{Digest, EventKind as E, Outcome},
        name::{AllocationId, SeqNo, Term},
    };

    const LAW: &str = "documents.durable";

    fn held(record: &mut Record, copy: usize) -> &mut Vec<HeldDoc> {
        match record.nth(copy, |kind| matches!(kind, E::CopyInspected { .. })) {
            (_, E::CopyInspected { docs, .. }) => docs,
            _ => unreachable!("only inspections are chosen"),
        }
    }

    /// Lets the healthy record's last inspection hold this of `doc-1` instead, on both copies.
    fn with_held(change: impl Fn(&mut HeldDoc)) -> Record {
        let mut record = Record::healthy();
        for copy in 0..2 {
            held(&mut record, copy).iter_mut().filter(|doc| doc.id == "doc-1").for_each(&change);
        }
        record
    }

    #[test]
    fn acknowledged_document_missing_from_one_copy_fails() {
        let mut record = Record::healthy();
        held(&mut record, 1).retain(|doc| doc.id != "doc-1");
        record.assert_fails(LAW, "the first, articles/doc-1 (request 1, acknowledged at");
        record.assert_fails(LAW, "copy 3 of articles/0 on search-3 does not have it");
    }

    /// D32: "ack before fsync (allowed only with `async`)": lost is only what the copy had not synced whose power went,
    /// and only if it was acknowledged unsynced.
    #[test]
    fn loss_with_the_power_of_a_node_is_allowed_under_async_durability_alone() {
        let lost = |durable: bool, synced: i64| {
            let mut record = Record::healthy();
            let acknowledged = |kind: &E| matches!(kind, E::WriteAcknowledged { seq_no: SeqNo(0), .. });
            let (place, kind) = record.nth(0, acknowledged);
            if let E::WriteAcknowledged { durable: told, .. } = kind {
                *told = durable;
            }
            let (shard, allocation, up_to) = (crate::check::record::shard(), AllocationId(1), SeqNo(synced));
            record.insert(place + 1, search(1), E::HostCrashed { power: true });
            record.insert(place + 1, search(1), E::TranslogSynced { shard, allocation, up_to });
            (0..2).for_each(|copy| held(&mut record, copy).retain(|doc| doc.id != "doc-1"));
            record
        };
        lost(false, -1).assert_passes(LAW);
        lost(true, -1).assert_fails(LAW, "articles/doc-1 (request 1, acknowledged at");
        lost(false, 0).assert_fails(LAW, "articles/doc-1 (request 1, acknowledged at");
    }

    #[test]
    fn acknowledged_documents_missing_everywhere_are_counted() {
        let mut record = Record::healthy();
        (0..2).for_each(|copy| held(&mut record, copy).clear());
        record.assert_fails(LAW, "2 documents are not as they must be (articles/doc-1, articles/doc-3)");
        record.assert_fails(LAW, "no serving copy of articles has it");
    }

    #[test]
    fn older_operation_than_acknowledged_fails() {
        with_held(|doc| doc.seq_no = SeqNo(-1)).assert_fails(LAW, "has operation -1 of term 1");
    }

    #[test]
    fn acknowledged_number_with_another_content_fails() {
        with_held(|doc| doc.source = Some(Digest(99))).assert_fails(LAW, "with another content");
        with_held(|doc| doc.term = Term(2)).assert_fails(LAW, "with another content");
    }

    #[test]
    fn later_content_that_nobody_sent_fails() {
        let change = |doc: &mut HeldDoc| (doc.seq_no, doc.source) = (SeqNo(50), Some(Digest(99)));
        with_held(change).assert_fails(LAW, "has operation 50 of term 1, which nobody sent");
    }

    #[test]
    fn later_content_counts_unless_its_sender_was_told_that_it_failed() {
        for (outcome, passes) in
            [(None, true), (Some(Outcome::Unknown), true), (Some(Outcome::Failed), false)]
        {
            let change = |doc: &mut HeldDoc| (doc.seq_no, doc.source) = (SeqNo(50), Some(Digest(99)));
            let mut record = with_held(change);
            let quiet = record.index(0, |event| matches!(event.kind, E::QuietBegan));
            let mut sent = Record::default();
            sent.write(900, "doc-1", Some(99));
            outcome.into_iter().for_each(|outcome| _ = sent.complete(900, outcome, None));
            record.splice(quiet, sent);
            match passes {
                true => record.assert_passes(LAW),
                false => record.assert_fails(LAW, "which nobody sent"),
            }
        }
    }

    #[test]
    fn deleted_document_may_have_no_tombstone_but_must_not_live() {
        let mut record = Record::healthy();
        (0..2).for_each(|copy| held(&mut record, copy).retain(|doc| doc.source.is_some()));
        record.assert_passes(LAW);
        let mut record = Record::healthy();
        let back = |doc: &mut HeldDoc| (doc.seq_no, doc.source) = (SeqNo(1), Some(Digest(2)));
        held(&mut record, 0).iter_mut().filter(|doc| doc.source.is_none()).for_each(back);
        record.assert_fails(LAW, "articles/doc-2 (request 3");
    }

    #[test]
    fn document_that_nobody_named_fails() {
        let mut record = Record::healthy();
        let ghost = HeldDoc { id: "ghost".into(), seq_no: SeqNo(1), term: Term(1), source: Some(Digest(1)) };
        held(&mut record, 0).push(ghost);
        record.assert_fails(LAW, "articles/ghost (never acknowledged): copy 2 of articles/0 on search-2 has");
    }

    #[test]
    fn shard_without_serving_copy_fails() {
        let mut record = Record::healthy();
        record.events.retain(|event| !matches!(event.kind, E::CopyInspected { .. }));
        record.assert_fails(LAW, "articles/0 took acknowledged writes, and no serving copy of it is left");
        let shard = crate::check::record::shard();
        let exhausted = |moves| E::RetriesExhausted { shard: shard.clone(), failures: 5, moves };
        let mut before = record.clone();
        before.insert(1, search(1), exhausted(false));
        before.assert_fails(LAW, "no serving copy of it is left");
        let end = record.events.len() - 1;
        record.insert(end, search(1), exhausted(true));
        record.assert_fails(LAW, "no serving copy of it is left");
        record.insert(end, search(1), exhausted(false));
        record.assert_passes(LAW);
        record.insert(end + 2, search(1), E::RetriesReset { shards: vec![shard] });
        record.assert_fails(LAW, "no serving copy of it is left");
    }

    #[test]
    fn record_that_stops_early_is_unknown() {
        let mut record = Record::healthy();
        record.events.pop();
        assert!(matches!(record.verdict(LAW), Verdict::Unknown { .. }));
    }
}
