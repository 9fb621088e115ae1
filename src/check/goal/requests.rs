//! Requests — decides which goals a client meets by how it asks, and by what it is told for that. It never judges.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ACTIVE_REFUSED, AGGREGATION_MERGED, BULK_ITEM_FAILED, DFS_ROUND, DRAWN_RETRIED, Goal, PARTIAL_REFUSED,
    REFRESH_WAITED, ROUTED, SEARCH_TIMED_OUT, UPDATED,
};
use crate::{
    check::history::has,
    event::{Digest, DocOp, Event, EventKind, Outcome, ShardSeen},
};

/// What must be remembered to tell.
#[derive(Default)]
pub(super) struct Requests {
    /// Parameters of requests under way that have any.
    asked: BTreeMap<u64, String>,
    updates: BTreeSet<u64>,
    /// Documents that were sent without an id, and the ids under which they were numbered.
    adds: BTreeMap<Digest, BTreeSet<String>>,
}

/// How a search ended.
struct Searched<'a> {
    outcome: Outcome,
    seen: &'a [ShardSeen],
    timed_out: bool,
    aggregations: &'a str,
}

impl Requests {
    /// The goals that the next event meets.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<Goal> {
        match &event.kind {
            EventKind::DocInvoked { request, op, source, parameters, .. } => {
                self.invoke(*request, *op, *source, parameters);
                Vec::new()
            }
            EventKind::SearchInvoked { request, parameters, .. } => {
                self.invoke(*request, DocOp::Get, None, parameters);
                Vec::new()
            }
            EventKind::PrimaryAppended { id, source: Some(source), .. } if !self.adds.is_empty() => {
                let numbered = self.adds.get_mut(source);
                let again = numbered.is_some_and(|ids| !ids.insert(id.clone()));
                again.then_some(DRAWN_RETRIED).into_iter().collect()
            }
            EventKind::DocCompleted { request, outcome, result, error, .. } => {
                let parameters = self.asked.remove(request).unwrap_or_default();
                let is_update = self.updates.remove(request);
                let mut met = written(&parameters, *outcome, error.as_deref());
                met.extend((is_update && result.as_deref() == Some("updated")).then_some(UPDATED));
                met
            }
            EventKind::SearchCompleted { request, outcome, seen, timed_out, aggregations, .. } => {
                let parameters = self.asked.remove(request).unwrap_or_default();
                searched(
                    &parameters,
                    &Searched { outcome: *outcome, seen, timed_out: *timed_out, aggregations },
                )
            }
            _ => Vec::new(),
        }
    }

    fn invoke(&mut self, request: u64, op: DocOp, source: Option<Digest>, parameters: &str) {
        if !parameters.is_empty() {
            self.asked.insert(request, parameters.to_owned());
        }
        match (op, source) {
            (DocOp::Update, _) => _ = self.updates.insert(request),
            (DocOp::Add, Some(source)) => _ = self.adds.entry(source).or_default(),
            _ => {}
        }
    }
}

fn written(parameters: &str, outcome: Outcome, error: Option<&str>) -> Vec<Goal> {
    let (failed, done) = (outcome == Outcome::Failed, outcome == Outcome::Ok);
    let lacks_copies = error == Some("unavailable_shards_exception");
    let met = [
        (BULK_ITEM_FAILED, failed && has(parameters, "_bulk")),
        (REFRESH_WAITED, done && has(parameters, "refresh=wait_for")),
        (ACTIVE_REFUSED, failed && lacks_copies && has(parameters, "wait_for_active_shards=all")),
        (ROUTED, done && parameters.split('&').any(|one| one.starts_with("routing="))),
    ];
    met.into_iter().filter(|(_, is_met)| *is_met).map(|(goal, _)| goal).collect()
}

fn searched(parameters: &str, end: &Searched<'_>) -> Vec<Goal> {
    let done = end.outcome == Outcome::Ok;
    let contributing = end.seen.iter().filter(|seen| seen.total > 0).count();
    let is_strict = has(parameters, "allow_partial_search_results=false");
    let met = [
        (PARTIAL_REFUSED, end.outcome == Outcome::Failed && is_strict),
        (DFS_ROUND, done && end.seen.len() > 1 && has(parameters, "search_type=dfs_query_then_fetch")),
        (AGGREGATION_MERGED, done && contributing > 1 && !end.aggregations.is_empty()),
        (SEARCH_TIMED_OUT, done && end.timed_out),
    ];
    met.into_iter().filter(|(_, is_met)| *is_met).map(|(goal, _)| goal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::Record,
        name::{AllocationId, SeqNo},
    };

    fn met(record: &Record) -> Vec<&'static str> {
        let mut requests = Requests::default();
        record.events.iter().flat_map(|event| requests.observe(event)).map(|goal| goal.name).collect()
    }

    fn write(parameters: &str, outcome: Outcome, error: Option<&'static str>) -> Vec<&'static str> {
        let mut record = Record::default();
        record.write(1, "a", Some(1)).with(parameters).complete(1, outcome, None);
        if let Some(EventKind::DocCompleted { error: told, .. }) =
            record.events.last_mut().map(|event| &mut event.kind)
        {
            *told = error.map(Into::into);
        }
        met(&record)
    }

    #[test]
    fn writes_count_by_their_parameters_and_ends() {
        let conflict = Some("version_conflict_engine_exception");
        assert_eq!(write("_bulk&refresh=true", Outcome::Failed, conflict), ["bulk-item-failed"]);
        assert_eq!(write("refresh=wait_for", Outcome::Ok, None), ["refresh-waited-for"]);
        assert_eq!(write("_bulk&routing=r1", Outcome::Ok, None), ["document-routed"]);
        let few = Some("unavailable_shards_exception");
        let active = "wait_for_active_shards=all&timeout=1s";
        assert_eq!(write(active, Outcome::Failed, few), ["active-copies-refused"]);
        assert!(write("", Outcome::Failed, few).is_empty() && write(active, Outcome::Ok, None).is_empty());
    }

    #[test]
    fn drawn_id_that_is_numbered_again_counts() {
        let mut record = Record::default();
        record.add(1, 7).appended((1, 0), "x", Some(7)).add(2, 7).appended((1, 1), "y", Some(7));
        assert!(met(&record).is_empty(), "the client has sent it twice");
        record.appended((2, 0), "x", Some(7));
        assert_eq!(met(&record), ["drawn-id-retried"]);
    }

    #[test]
    fn searches_count_by_their_parameters_and_answers() {
        let seen = |shard, total| ShardSeen {
            shard,
            allocation: AllocationId(u64::from(shard)),
            up_to: SeqNo(1),
            max_seq_no: SeqNo(1),
            total,
        };
        let search = |parameters, change: fn(&mut EventKind)| {
            let mut record = Record::default();
            record.searched(1, "{}", parameters).found(1, 4, &[], vec![seen(0, 1), seen(1, 3)]);
            record.events.last_mut().into_iter().for_each(|event| change(&mut event.kind));
            met(&record)
        };
        assert_eq!(search("search_type=dfs_query_then_fetch", |_| ()), ["dfs-round"]);
        assert_eq!(
            search("", |kind| if let EventKind::SearchCompleted { aggregations, timed_out, .. } = kind {
                (*aggregations, *timed_out) = ("{}".into(), true);
            }),
            ["aggregation-merged", "search-timed-out"]
        );
        assert_eq!(
            search("allow_partial_search_results=false", |kind| {
                if let EventKind::SearchCompleted { outcome, .. } = kind {
                    *outcome = Outcome::Failed;
                }
            }),
            ["partial-search-refused"]
        );
    }
}
