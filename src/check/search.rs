//! Search — decides whether what a search reports can be true. It never asks that it be fresh or complete.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        history::has,
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{DocOp, Event, EventKind, Outcome},
    name::RequestId,
};

pub(super) const COMPLETE: Law = Law {
    name: "search.complete",
    sentence: "A search says how many of its shards answered, finds each hit once, and finds only documents that someone \
               wrote.",
    source: "Elasticsearch, search API: _shards.successful of _shards.total, hits.total; SEARCH.md §d",
    monitor: || Box::<Complete>::default(),
};

/// Allowed: fewer shards than asked (`allow_partial_search_results`, the default; not if the request says `false`),
/// and results as of the
/// last refresh of whichever copies answered.
#[derive(Default)]
struct Complete {
    written: BTreeMap<String, BTreeSet<String>>,
    /// Whether clients send documents without ids: those are what primaries number.
    draws_ids: bool,
    asked: BTreeMap<u64, Asked>,
}

struct Asked {
    index: String,
    /// `allow_partial_search_results=false`.
    is_strict: bool,
}

/// What a search reported.
struct Report<'a> {
    successful: u32,
    asked: u32,
    total: u64,
    hits: &'a [String],
    timed_out: bool,
}

impl Report<'_> {
    /// What is impossible about it, given the ids ever written to the index.
    fn flaw(&self, written: &BTreeSet<String>) -> Option<String> {
        let mut seen = BTreeSet::new();
        let hits = self.hits.len();
        if self.successful > self.asked {
            Some(format!("{} of {} shards answered", self.successful, self.asked))
        } else if self.successful == 0 && self.asked > 0 {
            Some("no shard answered, which is an error, not a result".into())
        } else if self.total > written.len() as u64 {
            Some(format!("{} documents match, but only {} were ever written", self.total, written.len()))
        } else if hits as u64 > self.total {
            Some(format!("{hits} hits, but only {} documents match", self.total))
        } else if let Some(twice) = self.hits.iter().find(|hit| !seen.insert(*hit)) {
            Some(format!("{twice} is found twice"))
        } else {
            let ghost = self.hits.iter().find(|hit| !written.contains(*hit))?;
            Some(format!("{ghost} is found, but was never written"))
        }
    }
}

impl Complete {
    fn write(&mut self, index: &str, id: &str) -> Judged {
        if let Some(ids) = self.written.get_mut(index) {
            if !ids.contains(id) {
                ids.insert(id.to_owned());
            }
        } else {
            self.written.insert(index.to_owned(), [id.to_owned()].into());
        }
        Ok(())
    }

    fn judge(&mut self, event: &Event, request: u64, report: &Report<'_>) -> Judged {
        let Some(Asked { index, is_strict }) = self.asked.remove(&request) else { return Ok(()) };
        let nothing = BTreeSet::new();
        let partial = || {
            let is_partial = report.timed_out || report.successful < report.asked;
            (is_strict && is_partial).then(|| "partial results, which were not asked for".to_owned())
        };
        match report.flaw(self.written.get(&index).unwrap_or(&nothing)).or_else(partial) {
            None => Ok(()),
            Some(flaw) => broken(event, format!("search {} on {index}: {flaw}", RequestId(request))),
        }
    }
}

impl Monitor for Complete {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::DocInvoked { op: DocOp::Add, .. } => {
                self.draws_ids = true;
                Ok(())
            }
            EventKind::DocInvoked { index, id, source: Some(_), .. } => self.write(index, id),
            EventKind::PrimaryAppended { shard, id, source: Some(_), .. } if self.draws_ids => {
                self.write(&shard.index.0, id)
            }
            EventKind::SearchInvoked { request, index, parameters, .. } => {
                let is_strict = has(parameters, "allow_partial_search_results=false");
                self.asked.insert(*request, Asked { index: index.clone(), is_strict });
                Ok(())
            }
            EventKind::SearchCompleted {
                request,
                outcome: Outcome::Ok,
                shards_successful: successful,
                shards_total,
                total,
                hits,
                timed_out,
                ..
            } => {
                let (asked, total, timed_out) = (*shards_total, *total, *timed_out);
                let report = Report { successful: *successful, asked, total, hits, timed_out };
                self.judge(event, *request, &report)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::record::{Record, client};

    const LAW: &str = "search.complete";

    fn searched(shards: (u32, u32), total: u64, hits: &[&str]) -> Record {
        searched_with("", shards, total, hits)
    }

    fn searched_with(parameters: &str, shards: (u32, u32), total: u64, hits: &[&str]) -> Record {
        let mut record = Record::default();
        record.write(1, "a", Some(1)).write(2, "b", Some(2)).write(3, "c", None);
        record.on(
            client(),
            EventKind::SearchInvoked {
                request: 9,
                index: "articles".into(),
                query: "everything".into(),
                parameters: parameters.into(),
            },
        );
        record.on(
            client(),
            EventKind::SearchCompleted {
                request: 9,
                outcome: Outcome::Ok,
                shards_successful: shards.0,
                shards_total: shards.1,
                total,
                hits: hits.iter().map(|hit| (*hit).to_owned()).collect(),
                seen: Vec::new(),
                timed_out: false,
                aggregations: String::new(),
                error: None,
            },
        );
        record
    }

    #[test]
    fn partial_and_stale_results_are_allowed() {
        searched((3, 3), 2, &["b", "a"]).assert_passes(LAW);
        searched((1, 3), 0, &[]).assert_passes(LAW);
    }

    #[test]
    fn partial_results_fail_where_they_were_ruled_out() {
        let strict = |shards| searched_with("a=b&allow_partial_search_results=false", shards, 1, &["a"]);
        strict((3, 3)).assert_passes(LAW);
        strict((2, 3)).assert_fails(LAW, "search 9 on articles: partial results, which were not asked for");
        let mut late = strict((3, 3));
        let end = late.last(|event| matches!(event.kind, EventKind::SearchCompleted { .. }));
        if let EventKind::SearchCompleted { timed_out, .. } = &mut late.events[end].kind {
            *timed_out = true;
        }
        late.assert_fails(LAW, "search 9 on articles: partial results, which were not asked for");
    }

    /// Documents without an id are known by what primaries number.
    #[test]
    fn drawn_id_is_found() {
        let mut record = Record::default();
        record.add(1, 7).appended((1, 0), "drawn", Some(7));
        record.searched(2, "{}", "").found(2, 1, &["drawn"], Vec::new());
        record.assert_passes(LAW);
        let mut record = Record::default();
        record.add(1, 7).searched(2, "{}", "").found(2, 1, &["drawn"], Vec::new());
        record.assert_fails(LAW, "1 documents match, but only 0 were ever written");
    }

    #[test]
    fn impossible_results_fail() {
        let flaws = [
            (searched((4, 3), 0, &[]), "4 of 3 shards answered"),
            (searched((0, 3), 0, &[]), "no shard answered"),
            (searched((3, 3), 3, &[]), "3 documents match, but only 2 were ever written"),
            (searched((3, 3), 1, &["a", "b"]), "2 hits, but only 1 documents match"),
            (searched((3, 3), 2, &["a", "a"]), "a is found twice"),
            (searched((3, 3), 2, &["a", "c"]), "c is found, but was never written"),
        ];
        for (record, flaw) in flaws {
            record.assert_fails(LAW, &format!("search 9 on articles: {flaw}"));
        }
    }
}
