//! Scatter — decides which copies a search is asked of, how their hits are merged, and when partial results
//! are an answer. It never scores.
//!
//! Elasticsearch's query-then-fetch asks for ids and scores first and fetches the winners in a second round.
//! Here one round brings hits with their sources; the order and the choice of hits are the same, and so is
//! what a client can observe, except that a copy cannot fail between the two rounds.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque},
};

use super::{
    Ask, Outcome, Served, error,
    flow::{Ending, Flow, Move},
};
use crate::{
    name::{HostId, IndexName, ShardId},
    search::{
        api::{ApiAnswer, Hit, Query, SearchAnswer},
        shards::ShardHits,
        state::ClusterState,
    },
};

/// The course of a search.
#[derive(Debug)]
pub(super) struct SearchFlow {
    index: IndexName,
    query: Query,
    size: u32,
    /// Shards still to answer, with the copies not asked yet.
    waiting: BTreeMap<u32, VecDeque<HostId>>,
    shards_total: u32,
    found: BTreeMap<u32, ShardHits>,
}

impl SearchFlow {
    /// A search of each shard, on the first of its nodes that can.
    pub(super) fn new(index: IndexName, query: Query, size: u32, shards: Vec<VecDeque<HostId>>) -> Self {
        let shards_total = shards.len() as u32;
        let waiting = (0..).zip(shards).collect();
        Self { index, query, size, waiting, shards_total, found: BTreeMap::new() }
    }

    fn next(&mut self, number: u32) -> Option<Move> {
        let Some(to) = self.waiting.get_mut(&number)?.pop_front() else {
            self.waiting.remove(&number);
            return None;
        };
        let shard = ShardId { index: self.index.clone(), number };
        let ask = Ask::Search { shard, query: self.query.clone(), size: self.size };
        Some(Move::Ask { to, part: number, ask })
    }

    fn or_end(&mut self, moves: Vec<Move>) -> Vec<Move> {
        if self.waiting.is_empty() { vec![Move::End(self.ending())] } else { moves }
    }

    fn ending(&mut self) -> Ending {
        let found = std::mem::take(&mut self.found);
        if found.is_empty() && self.shards_total > 0 {
            return Err(error::all_shards_failed());
        }
        Ok(ApiAnswer::Found(SearchAnswer {
            shards_total: self.shards_total,
            shards_successful: found.len() as u32,
            total: found.values().map(|shard| shard.total).sum(),
            hits: merge(found, self.size),
        }))
    }
}

impl Flow for SearchFlow {
    fn begin(&mut self, _state: &ClusterState) -> Vec<Move> {
        let moves = (0..self.shards_total).filter_map(|number| self.next(number)).collect();
        self.or_end(moves)
    }

    fn heard(&mut self, part: u32, outcome: Outcome, _state: &ClusterState) -> Vec<Move> {
        let moves = match outcome {
            Ok(Served::Found(hits)) => {
                self.waiting.remove(&part);
                self.found.insert(part, hits);
                Vec::new()
            }
            _ => Vec::from_iter(self.next(part)),
        };
        self.or_end(moves)
    }

    fn timed_out(&mut self) -> Ending {
        self.ending()
    }
}

/// The best hits of all shards: by score, best first, then shard number, then document id.
fn merge(found: BTreeMap<u32, ShardHits>, size: u32) -> Vec<Hit> {
    let ranked = found.into_iter().flat_map(|(shard, found)| found.hits.into_iter().map(move |h| (shard, h)));
    let mut ranked: Vec<(u32, Hit)> = ranked.collect();
    ranked.sort_by(better);
    ranked.into_iter().map(|(_, hit)| hit).take(size as usize).collect()
}

fn better((left_shard, left): &(u32, Hit), (right_shard, right): &(u32, Hit)) -> Ordering {
    let by_score = right.score.total_cmp(&left.score);
    by_score.then(left_shard.cmp(right_shard)).then_with(|| left.id.cmp(&right.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::coordination::flow::lost;

    fn flow(shards: &[&[u16]], size: u32) -> SearchFlow {
        let nodes = |shard: &&[u16]| shard.iter().copied().map(HostId::search).collect();
        SearchFlow::new("articles".into(), Query::MatchAll, size, shards.iter().map(nodes).collect())
    }

    fn begin(flow: &mut SearchFlow) -> Vec<(u32, u16)> {
        asked(&flow.begin(&ClusterState::default()))
    }

    fn asked(moves: &[Move]) -> Vec<(u32, u16)> {
        let asked = moves.iter().map(|step| match step {
            Move::Ask { to, part, .. } => (*part, to.number),
            other => panic!("expected a search, not {other:?}"),
        });
        asked.collect()
    }

    fn heard(flow: &mut SearchFlow, part: u32, outcome: Outcome) -> Vec<Move> {
        flow.heard(part, outcome, &ClusterState::default())
    }

    fn hits(total: u64, hits: &[(&str, f32)]) -> Outcome {
        let hit =
            |(id, score): &(&str, f32)| Hit { id: (*id).to_owned(), score: *score, source: "{}".into() };
        Ok(Served::Found(ShardHits { total, hits: hits.iter().map(hit).collect() }))
    }

    fn found(moves: &[Move]) -> (u32, u32, u64, String) {
        let [Move::End(Ok(ApiAnswer::Found(found)))] = moves else { panic!("expected hits, not {moves:?}") };
        let SearchAnswer { shards_total, shards_successful, total, hits } = found;
        let ids: Vec<&str> = hits.iter().map(|hit| hit.id.as_str()).collect();
        (*shards_total, *shards_successful, *total, ids.join(" "))
    }

    #[test]
    fn hits_come_by_score_then_shard_then_id() {
        let mut flow = flow(&[&[1], &[2]], 4);
        assert_eq!(begin(&mut flow), [(0, 1), (1, 2)]);
        assert_eq!(heard(&mut flow, 1, hits(3, &[("top", 2.0), ("a", 1.0), ("z", 0.5)])), []);
        let end = heard(&mut flow, 0, hits(2, &[("b", 1.0), ("c", 1.0)]));
        assert_eq!(found(&end), (2, 2, 5, "top b c a".to_owned()));
    }

    #[test]
    fn failed_copy_is_followed_by_the_next() {
        let mut flow = flow(&[&[1, 2], &[2]], 10);
        begin(&mut flow);
        assert_eq!(asked(&heard(&mut flow, 0, lost(false))), [(0, 2)]);
        heard(&mut flow, 1, hits(0, &[]));
        assert_eq!(found(&heard(&mut flow, 0, hits(1, &[("a", 1.0)]))), (2, 2, 1, "a".to_owned()));
    }

    #[test]
    fn shard_without_copies_makes_results_partial() {
        let mut flow = flow(&[&[], &[2]], 10);
        assert_eq!(begin(&mut flow), [(1, 2)]);
        assert_eq!(found(&heard(&mut flow, 1, hits(1, &[("a", 1.0)]))), (2, 1, 1, "a".to_owned()));
    }

    #[test]
    fn shard_that_does_not_answer_in_time_makes_results_partial() {
        let mut flow = flow(&[&[1], &[2]], 10);
        begin(&mut flow);
        heard(&mut flow, 1, hits(1, &[("a", 1.0)]));
        assert_eq!(found(&[Move::End(flow.timed_out())]), (2, 1, 1, "a".to_owned()));
    }

    #[test]
    fn search_without_any_shard_fails() {
        let mut flow = flow(&[&[1], &[]], 10);
        begin(&mut flow);
        let moves = heard(&mut flow, 0, lost(false));
        let [Move::End(Err(error))] = moves.as_slice() else { panic!("{moves:?}") };
        assert_eq!((error.status, &*error.kind), (503, "search_phase_execution_exception"));
    }
}
