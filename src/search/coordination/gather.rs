//! Gathering — decides what the answers of the shards make together: the ranking, the totals, the aggregations.
//! It never asks a shard anything.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use crate::{
    event::ShardSeen,
    name::IndexName,
    search::{
        api::{ApiError, Hit, SearchAnswer, ShardFailure, Total},
        engine::{self, Ranked},
        query::{SearchBody, SortBy, TrackTotalHits, compare},
        shards::{FetchedDoc, ShardFound},
    },
};

/// A hit, by its shard and its place among that shard's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    pub(super) shard: u32,
    place: usize,
    pub(super) ranked: Ranked,
}

/// What the shards that have answered found, merged.
#[derive(Debug)]
pub(super) struct Gathered {
    body: Arc<SearchBody>,
    batch: usize,
    best: Vec<Candidate>,
    /// Shards whose hits are not merged yet.
    unmerged: usize,
    total: u64,
    max_score: Option<f32>,
    terminated_early: bool,
    aggregations: BTreeMap<u32, Vec<u8>>,
    seen: BTreeMap<u32, ShardSeen>,
    docs: BTreeMap<(u32, usize), FetchedDoc>,
}

impl Gathered {
    /// Nothing yet; hits are merged whenever `batch` shards have answered (`batched_reduce_size`).
    pub(super) fn new(body: Arc<SearchBody>, batch: u32) -> Self {
        Self {
            body,
            batch: batch.max(2) as usize,
            best: Vec::new(),
            unmerged: 0,
            total: 0,
            max_score: None,
            terminated_early: false,
            aggregations: BTreeMap::new(),
            seen: BTreeMap::new(),
            docs: BTreeMap::new(),
        }
    }

    /// Takes up what a shard found.
    pub(super) fn add(&mut self, shard: u32, answer: ShardFound) {
        let ShardFound { found, docs, seen, .. } = answer;
        self.total += found.total;
        self.max_score = self.max_score.into_iter().chain(found.max_score).reduce(f32::max);
        self.terminated_early |= found.terminated_early;
        self.aggregations.extend(found.aggregations.map(|bytes| (shard, bytes)));
        self.seen.insert(shard, seen);
        self.docs.extend(docs.into_iter().enumerate().map(|(place, doc)| ((shard, place), doc)));
        let candidates = found.best.into_iter().enumerate();
        self.best.extend(candidates.map(|(place, ranked)| Candidate { shard, place, ranked }));
        self.unmerged += 1;
        if self.unmerged >= self.batch {
            self.merge();
        }
    }

    fn merge(&mut self) {
        let body = &self.body;
        self.best.sort_by(|a, b| better(body, a, b));
        self.best.truncate(body.window());
        self.unmerged = 0;
    }

    /// Shards that have answered and are not among those that failed.
    pub(super) fn answered(&self, failures: &BTreeMap<u32, ShardFailure>) -> u32 {
        self.seen.keys().filter(|shard| !failures.contains_key(shard)).count() as u32
    }

    /// The hits that won, best first.
    pub(super) fn winners(&mut self) -> Vec<Candidate> {
        self.merge();
        self.best.iter().skip(self.body.from as usize).cloned().collect()
    }

    /// Whether this winner's document is here.
    pub(super) fn has(&self, winner: &Candidate) -> bool {
        self.docs.contains_key(&(winner.shard, winner.place))
    }

    /// Takes up the documents of these winners.
    pub(super) fn fetched<'a>(
        &mut self,
        winners: impl Iterator<Item = &'a Candidate>,
        docs: Vec<FetchedDoc>,
    ) {
        let places = winners.map(|winner| (winner.shard, winner.place));
        self.docs.extend(places.zip(docs));
    }

    /// The answer; hits whose documents are not here are left out.
    ///
    /// # Errors
    ///
    /// If the aggregations of the shards do not fit together.
    pub(super) fn answer(
        &mut self,
        index: IndexName,
        shards_total: u32,
        failures: BTreeMap<u32, ShardFailure>,
        timed_out: bool,
    ) -> Result<SearchAnswer, ApiError> {
        let winners = self.winners();
        let hits = winners.into_iter().filter_map(|winner| self.hit(winner)).collect();
        Ok(SearchAnswer {
            index,
            took_ms: 0,
            timed_out,
            terminated_early: self.terminated_early,
            shards_total,
            shards_successful: self.answered(&failures),
            failures: failures.into_values().collect(),
            total: self.total(),
            max_score: self.max_score.filter(|_| self.tells_scores() && self.body.window() > 0),
            hits,
            aggregations: self.aggregations()?,
            seen: self.seen.values().copied().collect(),
        })
    }

    fn hit(&mut self, winner: Candidate) -> Option<Hit> {
        let FetchedDoc { id, source, routing } = self.docs.remove(&(winner.shard, winner.place))?;
        let score = self.tells_scores().then_some(winner.ranked.score);
        Some(Hit { id, score, source, routing, sort: winner.ranked.sort })
    }

    fn tells_scores(&self) -> bool {
        let by_score = self.body.sort.iter().any(|key| key.by == SortBy::Score);
        self.body.is_by_score() || by_score || self.body.track_scores
    }

    fn total(&self) -> Option<Total> {
        match self.body.track_total_hits {
            TrackTotalHits::No => None,
            TrackTotalHits::UpTo(most) if self.total > most => Some(Total { value: most, is_exact: false }),
            TrackTotalHits::UpTo(_) => Some(Total { value: self.total, is_exact: true }),
        }
    }

    fn aggregations(&self) -> Result<Option<String>, ApiError> {
        if self.body.aggregations.is_empty() {
            return Ok(None);
        }
        let parts = self.aggregations.values().map(Vec::as_slice);
        let reduced = engine::reduce(&self.body.aggregations, parts);
        reduced.map(|result| Some(result.to_string())).map_err(|failure| ApiError::illegal(failure.0))
    }
}

/// By score or by the keys of the request; then by shard, then as in the shard.
fn better(body: &SearchBody, left: &Candidate, right: &Candidate) -> Ordering {
    let (a, b) = (&left.ranked, &right.ranked);
    let by_rank =
        if body.is_by_score() { b.score.total_cmp(&a.score) } else { compare(&body.sort, &a.sort, &b.sort) };
    by_rank.then(left.shard.cmp(&right.shard)).then(left.place.cmp(&right.place))
}
