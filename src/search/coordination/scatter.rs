//! Scatter — decides which copies a search is asked of, in which rounds, and when partial results are an
//! answer. It never scores, and it never ranks.
//!
//! Elasticsearch's query-then-fetch (`AbstractSearchAsyncAction`, `FetchSearchPhase`): the first round asks one
//! copy of each shard for its best documents, the next one if that fails; the second round fetches the
//! documents that won from the copies that found them, and a copy that is lost by then is a failed shard.
//! `dfs_query_then_fetch` collects the figures of all shards in a round before. A search of one shard takes one
//! round. No more than a few shards of one node are asked at once.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    Ask, Outcome, Served, error,
    flow::{Ending, Flow, Move},
    gather::{Candidate, Gathered},
};
use crate::{
    name::{HostId, IndexName, ShardId},
    search::{
        api::{ApiAnswer, ApiError, SearchType, ShardFailure},
        query::{SearchBody, Statistics},
        shards::{Fetch, SearchAsk, SearchServed, ShardFound, ShardRefusal},
        state::ClusterState,
    },
};

/// What a search is to do.
#[derive(Debug, Clone)]
pub(super) struct SearchPlan {
    pub(super) index: IndexName,
    pub(super) body: Arc<SearchBody>,
    pub(super) search_type: SearchType,
    /// Whether partial results are an answer.
    pub(super) allow_partial: bool,
    /// Shards of one node that are asked at once.
    pub(super) concurrent: u32,
    /// After how many shards results are merged.
    pub(super) batch: u32,
    /// After how long partial results are given; none: as any request.
    pub(super) timeout: Option<Duration>,
}

/// The rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Statistics,
    Query,
    Fetch,
}

/// A shard in a round.
#[derive(Debug, Default)]
struct Part {
    /// Copies not asked yet.
    copies: VecDeque<HostId>,
    /// The copy asked last.
    node: Option<HostId>,
    /// The reader that it keeps.
    context: Option<u64>,
    failure: Option<ShardFailure>,
    /// Whether its answer comes too late.
    is_late: bool,
}

/// The course of a search.
#[derive(Debug)]
pub(super) struct SearchFlow {
    plan: SearchPlan,
    phase: Phase,
    parts: BTreeMap<u32, Part>,
    /// Shards that have not ended this round.
    open: u32,
    /// Shards that have.
    ended: BTreeSet<u32>,
    statistics: Statistics,
    gathered: Gathered,
    winners: Vec<Candidate>,
    failures: BTreeMap<u32, ShardFailure>,
    /// Shards of each node that are being asked, and those that wait for them.
    busy: BTreeMap<HostId, u32>,
    held: BTreeMap<HostId, VecDeque<u32>>,
    timed_out: bool,
}

impl SearchFlow {
    /// A search of these shards, each on the first of its nodes that can.
    pub(super) fn new(plan: SearchPlan, shards: BTreeMap<u32, VecDeque<HostId>>) -> Self {
        let phase = match plan.search_type {
            SearchType::DfsQueryThenFetch => Phase::Statistics,
            SearchType::QueryThenFetch => Phase::Query,
        };
        let parts = shards.into_iter().map(|(number, copies)| (number, Part { copies, ..Part::default() }));
        Self {
            gathered: Gathered::new(plan.body.clone(), plan.batch),
            plan,
            phase,
            parts: parts.collect(),
            open: 0,
            ended: BTreeSet::new(),
            statistics: Statistics::default(),
            winners: Vec::new(),
            failures: BTreeMap::new(),
            busy: BTreeMap::new(),
            held: BTreeMap::new(),
            timed_out: false,
        }
    }

    /// Asks every shard that has not failed in this round.
    fn round(&mut self) -> Vec<Move> {
        let numbers: Vec<u32> =
            self.parts.keys().copied().filter(|it| !self.failures.contains_key(it)).collect();
        self.open = numbers.len() as u32;
        self.ended = self.failures.keys().copied().collect();
        let mut moves: Vec<Move> = numbers.into_iter().flat_map(|number| self.next_copy(number)).collect();
        if self.open == 0 {
            moves.extend(self.next_phase());
        }
        moves
    }

    /// Turns to the next copy of the shard; without one, the shard has failed.
    fn next_copy(&mut self, number: u32) -> Option<Move> {
        let part = self.parts.get_mut(&number)?;
        match part.copies.pop_front() {
            Some(node) => {
                part.node = Some(node);
                self.ask(number, node)
            }
            None => {
                let failure = part.failure.take().unwrap_or_else(|| no_copy(&self.plan.index, number));
                self.failures.insert(number, failure);
                self.ended.insert(number);
                self.open -= 1;
                None
            }
        }
    }

    /// Asks the node, or has the shard wait until the node is less busy.
    fn ask(&mut self, number: u32, node: HostId) -> Option<Move> {
        let busy = self.busy.entry(node).or_default();
        if *busy >= self.plan.concurrent {
            self.held.entry(node).or_default().push_back(number);
            return None;
        }
        *busy += 1;
        Some(Move::Ask { to: node, part: number, ask: self.question(number) })
    }

    fn question(&self, number: u32) -> Ask {
        let shard = ShardId { index: self.plan.index.clone(), number };
        let body = self.plan.body.clone();
        let ask = match self.phase {
            Phase::Statistics => SearchAsk::Statistics { body },
            Phase::Query => {
                let is_dfs = self.plan.search_type == SearchType::DfsQueryThenFetch;
                let statistics = is_dfs.then(|| Arc::new(self.statistics.clone()));
                let fetch = if self.parts.len() == 1 { Fetch::Now } else { Fetch::Later };
                SearchAsk::Query { body, statistics, fetch }
            }
            Phase::Fetch => {
                let winners = self.winners_of(number).map(|winner| winner.ranked.clone()).collect();
                SearchAsk::Fetch { context: self.context(number).unwrap_or_default(), winners }
            }
        };
        Ask::Search { shard, ask }
    }

    fn context(&self, number: u32) -> Option<u64> {
        self.parts.get(&number)?.context
    }

    fn winners_of(&self, number: u32) -> impl Iterator<Item = &Candidate> {
        self.winners.iter().filter(move |winner| winner.shard == number)
    }

    /// The node that answered for the shard has room for another one.
    fn relieve(&mut self, number: u32) -> Option<Move> {
        let node = self.parts.get(&number)?.node?;
        *self.busy.entry(node).or_default() -= 1;
        let next = self.held.get_mut(&node)?.pop_front()?;
        self.ask(next, node)
    }

    fn answered(&mut self, number: u32, answer: SearchServed) {
        self.open -= 1;
        self.ended.insert(number);
        match answer {
            SearchServed::Statistics(statistics) => {
                self.statistics.add(&statistics);
                // The query goes to the copy whose figures these are, and to no other.
                if let Some(part) = self.parts.get_mut(&number) {
                    part.copies = part.node.into_iter().collect();
                }
            }
            SearchServed::Found(found) => self.found(number, *found),
            SearchServed::Fetched(docs) => {
                let winners: Vec<_> = self.winners_of(number).cloned().collect();
                self.gathered.fetched(winners.iter(), docs);
            }
            SearchServed::Released => {}
        }
    }

    fn found(&mut self, number: u32, found: ShardFound) {
        if let Some(part) = self.parts.get_mut(&number) {
            part.context = found.context;
        }
        self.gathered.add(number, found);
    }

    fn refused(&mut self, number: u32, refusal: &ShardRefusal) -> Option<Move> {
        let part = self.parts.get_mut(&number)?;
        part.failure = Some(failure(number, part.node, refusal));
        if self.phase == Phase::Fetch {
            part.copies.clear();
        }
        self.next_copy(number)
    }

    fn next_phase(&mut self) -> Vec<Move> {
        match self.phase {
            Phase::Statistics => {
                self.phase = Phase::Query;
                self.round()
            }
            Phase::Query if self.is_refused() => self.end(),
            Phase::Query => self.fetch(),
            Phase::Fetch => self.end(),
        }
    }

    fn begin_fetch(&mut self) {
        self.phase = Phase::Fetch;
        let winners = self.gathered.winners();
        self.winners = winners.into_iter().filter(|winner| !self.gathered.has(winner)).collect();
    }

    fn fetch(&mut self) -> Vec<Move> {
        self.begin_fetch();
        let numbers: Vec<u32> =
            self.parts.keys().copied().filter(|it| self.winners_of(*it).next().is_some()).collect();
        self.open = numbers.len() as u32;
        if numbers.is_empty() {
            return self.end();
        }
        let asks = numbers.into_iter().filter_map(|number| {
            let node = self.parts.get(&number)?.node?;
            self.ask(number, node)
        });
        asks.collect()
    }

    /// Frees the readers that nobody will fetch from, and tells the client.
    fn end(&mut self) -> Vec<Move> {
        let mut moves = self.releases();
        moves.push(Move::End(self.ending()));
        moves
    }

    fn releases(&self) -> Vec<Move> {
        let kept = self.parts.iter().filter(|(number, _)| self.winners_of(**number).next().is_none());
        let release = |(number, part): (&u32, &Part)| {
            let shard = ShardId { index: self.plan.index.clone(), number: *number };
            let ask = Ask::Search { shard, ask: SearchAsk::Release { context: part.context? } };
            Some(Move::Ask { to: part.node?, part: *number, ask })
        };
        kept.filter_map(release).collect()
    }

    /// Shards that have not ended this round have failed: time is up.
    fn give_up_open(&mut self) {
        self.timed_out = true;
        (self.held, self.busy) = (BTreeMap::new(), BTreeMap::new());
        let is_open = |number: &u32| match self.phase {
            Phase::Statistics | Phase::Query => !self.ended.contains(number),
            Phase::Fetch => self.winners_of(*number).any(|winner| !self.gathered.has(winner)),
        };
        let open: Vec<u32> = self.parts.keys().copied().filter(is_open).collect();
        for number in open {
            if let Some(part) = self.parts.get_mut(&number) {
                part.is_late = true;
                self.failures.entry(number).or_insert_with(|| late(number, part.node));
            }
        }
        self.open = 0;
    }

    fn is_refused(&self) -> bool {
        let is_none = self.gathered.answered(&BTreeMap::new()) == 0 && !self.parts.is_empty();
        is_none || (!self.plan.allow_partial && !self.failures.is_empty())
    }

    fn ending(&mut self) -> Ending {
        let failures = std::mem::take(&mut self.failures);
        if self.gathered.answered(&failures) == 0 && !self.parts.is_empty() {
            return Err(error::all_shards_failed(&failures));
        }
        if !self.plan.allow_partial && (self.timed_out || !failures.is_empty()) {
            return Err(error::partial_failure(&failures));
        }
        let total = self.parts.len() as u32;
        let answer = self.gathered.answer(self.plan.index.clone(), total, failures, self.timed_out)?;
        Ok(ApiAnswer::Found(answer))
    }
}

impl Flow for SearchFlow {
    fn begin(&mut self, _state: &ClusterState) -> Vec<Move> {
        self.round()
    }

    fn heard(&mut self, part: u32, outcome: Outcome, _state: &ClusterState) -> Vec<Move> {
        if self.parts.get(&part).is_none_or(|part| part.is_late) {
            return Vec::new();
        }
        let mut moves = Vec::from_iter(self.relieve(part));
        match outcome {
            Ok(Served::Searched(answer)) => self.answered(part, answer),
            Ok(_) => moves.extend(self.refused(part, &ShardRefusal::NotHere { certain: true })),
            Err(refusal) => moves.extend(self.refused(part, &refusal)),
        }
        if self.open == 0 {
            moves.extend(self.next_phase());
        }
        moves
    }

    // Whoever has answered but was not fetched from shows nothing: that shard has failed too.
    fn timed_out(&mut self) -> Ending {
        self.give_up_open();
        if self.phase != Phase::Fetch {
            self.begin_fetch();
            self.give_up_open();
        }
        self.ending()
    }

    // Also a search without a limit of its own leaves time to fetch what was found.
    fn time_limit(&self, patience: Duration) -> Option<Duration> {
        let most = patience * 3 / 4;
        Some(self.plan.timeout.map_or(most, |timeout| timeout.min(most)))
    }

    fn hurry(&mut self) -> Vec<Move> {
        self.give_up_open();
        self.next_phase()
    }
}

fn no_copy(index: &IndexName, shard: u32) -> ShardFailure {
    let ApiError { status, kind, reason, .. } =
        error::no_copy(&ShardId { index: index.clone(), number: shard });
    ShardFailure { shard, node: None, status, kind: kind.into_owned(), reason }
}

fn late(shard: u32, node: Option<HostId>) -> ShardFailure {
    let (status, kind) = (504, "search_timeout_exception".to_owned());
    ShardFailure { shard, node, status, kind, reason: "Time exceeded".to_owned() }
}

fn failure(shard: u32, node: Option<HostId>, refusal: &ShardRefusal) -> ShardFailure {
    let (status, kind, reason) = match refusal {
        ShardRefusal::NotHere { .. } => {
            let reason =
                node.map_or_else(|| "disconnected".to_owned(), |node| format!("[{node}] disconnected"));
            (503, "node_disconnected_exception".to_owned(), reason)
        }
        ShardRefusal::Unavailable(reason) => (503, "unavailable_shards_exception".to_owned(), reason.clone()),
        ShardRefusal::Error(error) => (error.status, error.kind.clone().into_owned(), error.reason.clone()),
    };
    ShardFailure { shard, node, status, kind, reason }
}

#[cfg(test)]
mod tests;
