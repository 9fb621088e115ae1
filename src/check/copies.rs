//! Copies — decides whether, after quiet, the serving copies of a shard are the same. It never says which of
//! them is right.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        calm::Calm,
        inspected::{Inspected, InspectedCopy},
        law::{Law, Monitor},
        verdict::{Judged, broken, listed},
    },
    event::{Event, HeldDoc},
    name::ShardId,
};

pub(super) const EQUAL: Law = Law {
    name: "copies.equal",
    sentence: "After quiet all serving copies of a shard hold the same documents by the same operations, have processed \
               every one, and a refreshed search finds exactly the live ones.",
    source: "Elasticsearch, data replication model; its own tests' assertConsistentHistory and assertDocs; #10708, #24841",
    monitor: || Box::<Equal>::default(),
};

/// Allowed: a tombstone that only one copy still has, for each copy drops them in its own time
/// (`index.gc_deletes`). Not judged unless the run gave the cluster its time to settle, with the workload
/// stopped.
#[derive(Default)]
struct Equal {
    calm: Calm,
    inspected: Inspected,
}

impl Equal {
    /// Every copy that the cluster calls active is really there, on a live node.
    fn all_there(&self) -> Judged {
        let end = self.calm.end()?;
        let missing = self.inspected.serving().find(|(placement, inspected)| {
            inspected.is_none() && placement.node.is_some_and(|node| self.calm.hosts.is_live(node))
        });
        match missing {
            Some((placement, _)) if self.inspected.any() => {
                let node = placement.node.map_or(String::new(), |node| node.to_string());
                let id = placement.allocation.map_or("?".into(), |id| id.to_string());
                let why = format!(
                    "the cluster state calls copy {id} of {} active on {node}, which does not hold it",
                    placement.shard
                );
                broken(end, why)
            }
            _ => Ok(()),
        }
    }
}

/// What one copy must be by itself.
fn whole(copy: &InspectedCopy) -> Judged {
    if copy.local_checkpoint != copy.max_seq_no {
        return broken(
            copy.at,
            format!(
                "{} has seen operation {} but processed only up to {}",
                copy.name(),
                copy.max_seq_no,
                copy.local_checkpoint
            ),
        );
    }
    let live: Vec<_> = copy.live().map(|doc| doc.id.as_str()).collect();
    if copy.searchable.iter().eq(live.iter()) {
        return Ok(());
    }
    let found: BTreeSet<_> = copy.searchable.iter().map(String::as_str).collect();
    let held: BTreeSet<_> = live.iter().copied().collect();
    let ids = |of: &BTreeSet<&str>, not: &BTreeSet<&str>| {
        let text = listed(of.difference(not).map(|id| (*id).to_owned()), 4);
        if text.is_empty() { "nothing".to_owned() } else { text }
    };
    broken(
        copy.at,
        format!(
            "{} holds {} documents and finds {}: it does not find {}, and finds beside {}",
            copy.name(),
            live.len(),
            copy.searchable.len(),
            ids(&held, &found),
            ids(&found, &held)
        ),
    )
}

/// Whether two copies may differ so: only by a tombstone that one of them has dropped.
fn agree(one: Option<&HeldDoc>, other: Option<&HeldDoc>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other,
        (Some(only), None) | (None, Some(only)) => only.source.is_none(),
        (None, None) => true,
    }
}

fn text(held: Option<&HeldDoc>) -> String {
    match held {
        None => "nothing".into(),
        Some(doc) if doc.source.is_none() => {
            format!("the tombstone of operation {} of term {}", doc.seq_no, doc.term)
        }
        Some(doc) => format!("operation {} of term {}", doc.seq_no, doc.term),
    }
}

/// What two copies of one shard must be to each other.
fn same(one: &InspectedCopy, other: &InspectedCopy) -> Judged {
    let ids: BTreeSet<_> = one.docs.keys().chain(other.docs.keys()).collect();
    let differ: Vec<_> =
        ids.into_iter().filter(|id| !agree(one.docs.get(*id), other.docs.get(*id))).collect();
    if let Some(first) = differ.first() {
        return broken(
            one.at.max(other.at),
            format!(
                "{} and {} differ in {} documents; of {first} the one has {}, the other {}",
                one.name(),
                other.name(),
                differ.len(),
                text(one.docs.get(*first)),
                text(other.docs.get(*first))
            ),
        );
    }
    if one.max_seq_no != other.max_seq_no {
        return broken(
            one.at.max(other.at),
            format!(
                "{} ends with operation {}, {} with operation {}",
                one.name(),
                one.max_seq_no,
                other.name(),
                other.max_seq_no
            ),
        );
    }
    Ok(())
}

impl Monitor for Equal {
    fn observe(&mut self, event: &Event) -> Judged {
        self.calm.observe(event);
        self.inspected.observe(event);
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        self.calm.is_quiet()?;
        self.all_there()?;
        let mut shards: BTreeMap<&ShardId, &InspectedCopy> = BTreeMap::new();
        for copy in self.inspected.active() {
            whole(copy)?;
            same(shards.entry(&copy.shard).or_insert(copy), copy)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::record::Record, event::EventKind as E, name::SeqNo};

    const LAW: &str = "copies.equal";

    fn doctored(change: impl FnOnce(&mut SeqNo, &mut SeqNo, &mut Vec<HeldDoc>, &mut Vec<String>)) -> Record {
        let mut record = Record::healthy();
        match record.nth(1, |kind| matches!(kind, E::CopyInspected { .. })) {
            (_, E::CopyInspected { local_checkpoint, max_seq_no, docs, searchable, .. }) => {
                change(local_checkpoint, max_seq_no, docs, searchable);
            }
            _ => unreachable!("only inspections are chosen"),
        }
        record
    }

    #[test]
    fn copy_with_another_operation_fails() {
        let record = doctored(|_, _, docs, _| docs[0].seq_no = SeqNo(70));
        record.assert_fails(
            LAW,
            "differ in 1 documents; of doc-1 the one has operation 0 of term 1, the other operation 70",
        );
    }

    #[test]
    fn copy_without_a_live_document_fails() {
        let record = doctored(|_, _, docs, searchable| {
            docs.retain(|doc| doc.id != "doc-1");
            searchable.retain(|id| id != "doc-1");
        });
        record.assert_fails(LAW, "of doc-1 the one has operation 0 of term 1, the other nothing");
    }

    #[test]
    fn dropped_tombstone_is_allowed() {
        doctored(|_, _, docs, _| docs.retain(|doc| doc.source.is_some())).assert_passes(LAW);
    }

    #[test]
    fn gap_in_the_processed_operations_fails() {
        let record = doctored(|local_checkpoint, _, _, _| *local_checkpoint = SeqNo(1));
        record.assert_fails(
            LAW,
            "copy 3 of articles/0 on search-3 has seen operation 3 but processed only up to 1",
        );
    }

    #[test]
    fn copy_that_ends_earlier_fails() {
        let record = doctored(|local_checkpoint, max_seq_no, _, _| {
            (*local_checkpoint, *max_seq_no) = (SeqNo(2), SeqNo(2));
        });
        record.assert_fails(LAW, "copy 2 of articles/0 on search-2 ends with operation 3, copy 3");
    }

    #[test]
    fn search_that_misses_or_invents_a_document_fails() {
        doctored(|_, _, _, searchable| _ = searchable.pop()).assert_fails(LAW, "it does not find doc-3");
        doctored(|_, _, _, searchable| searchable.push("doc-2".into()))
            .assert_fails(LAW, "finds beside doc-2");
    }

    #[test]
    fn active_copy_that_its_live_node_does_not_hold_fails() {
        let mut record = Record::healthy();
        let index = record.index(1, |event| matches!(event.kind, E::CopyInspected { .. }));
        record.events.remove(index);
        record.assert_fails(LAW, "calls copy 3 of articles/0 active on search-3, which does not hold it");
    }
}
