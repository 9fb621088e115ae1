//! Searching — decides what a copy answers to the rounds of a search, and how long it keeps a reader between
//! them. It never waits.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::Shard;
use crate::{
    core::Instant,
    event::ShardSeen,
    search::{
        api::ApiError,
        engine::{Failure, FetchedSource, Found, Ranked, Reader, SearchFailure},
        query::{Clause, Query, SearchBody, SourceFilter, Statistics},
        shards::{Fetch, FetchedDoc, SearchAsk, SearchServed, ShardFound, ShardRefusal, Step},
    },
};

/// How long a reader is kept for a second round that does not come (`search.default_keep_alive`). It is looked
/// for only when the next reader is made: an idle copy needs no alarm.
const KEEP_ALIVE: Duration = Duration::from_secs(300);

/// The readers that searches left between their rounds.
#[derive(Debug, Default)]
pub(super) struct Contexts(BTreeMap<u64, Context>);

#[derive(Debug)]
struct Context {
    reader: Reader,
    source: SourceFilter,
    since: Instant,
}

impl Contexts {
    fn keep(&mut self, number: u64, context: Context) {
        let now = context.since;
        self.0.retain(|_, context| context.since + KEEP_ALIVE > now);
        self.0.insert(number, context);
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Shard {
    /// One round of a search, as of the last refresh that is due.
    pub fn search(&mut self, step: &mut Step<'_, '_>, ask: &SearchAsk) -> Result<SearchServed, ShardRefusal> {
        self.check_serves()?;
        self.check_reads(step)?;
        match ask {
            SearchAsk::Statistics { body } => {
                self.refresh_if_due(step)?;
                self.statistics(step, body)
            }
            SearchAsk::Query { body, statistics, fetch } => {
                self.refresh_if_due(step)?;
                self.query(step, body, statistics.as_deref(), *fetch)
            }
            SearchAsk::Fetch { context, winners } => self.fetch_winners(step, *context, winners),
            SearchAsk::Release { context } => {
                self.contexts.0.remove(context);
                Ok(SearchServed::Released)
            }
        }
    }

    fn statistics(
        &mut self,
        step: &mut Step<'_, '_>,
        body: &SearchBody,
    ) -> Result<SearchServed, ShardRefusal> {
        let all = Clause::plain(Query::MatchAll);
        let statistics = self.open_store().engine.statistics(body.query.as_ref().unwrap_or(&all));
        self.or_fail(step, statistics).map(SearchServed::Statistics)
    }

    fn query(
        &mut self,
        step: &mut Step<'_, '_>,
        body: &Arc<SearchBody>,
        statistics: Option<&Statistics>,
        fetch: Fetch,
    ) -> Result<SearchServed, ShardRefusal> {
        let found = match self.open_store().engine.find(body, statistics) {
            Ok(found) => found,
            Err(SearchFailure::Request(reason)) => {
                return Err(ShardRefusal::Error(ApiError::illegal(reason)));
            }
            Err(SearchFailure::Index(failure)) => return self.or_fail(step, Err(failure)),
        };
        let (mut context, mut docs) = (None, Vec::new());
        let reader = self.open_store().engine.reader(&found.best);
        if fetch == Fetch::Now {
            let shown = show(&reader, &body.source, &found.best);
            docs = self.or_fail(step, shown)?;
        } else if !found.best.is_empty() {
            let number = step.desk.draw();
            let kept = Context { reader, source: body.source.clone(), since: step.now() };
            self.contexts.keep(number, kept);
            context = Some(number);
        }
        Ok(SearchServed::Found(Box::new(self.answer(found, context, docs))))
    }

    fn answer(&mut self, found: Found, context: Option<u64>, docs: Vec<FetchedDoc>) -> ShardFound {
        let (shard, allocation) = (self.id.number, self.allocation);
        let (up_to, max_seq_no) = self.open_store().engine.visible();
        let seen = ShardSeen { shard, allocation, up_to, max_seq_no, total: found.total };
        ShardFound { found, context, docs, seen, queue: 0 }
    }

    fn fetch_winners(
        &mut self,
        step: &mut Step<'_, '_>,
        context: u64,
        winners: &[Ranked],
    ) -> Result<SearchServed, ShardRefusal> {
        let Some(kept) = self.contexts.0.remove(&context) else {
            let reason = format!("No search context found for id [{context}]");
            return Err(ShardRefusal::Error(ApiError::new(404, "search_context_missing_exception", reason)));
        };
        let shown = show(&kept.reader, &kept.source, winners);
        self.or_fail(step, shown).map(SearchServed::Fetched)
    }
}

fn show(reader: &Reader, filter: &SourceFilter, ranked: &[Ranked]) -> Result<Vec<FetchedDoc>, Failure> {
    let doc = |ranked: &Ranked| {
        let FetchedSource { id, source, routing } = reader.fetch(ranked)?;
        Ok(FetchedDoc { id, source: filter.shown(source.into()), routing })
    };
    ranked.iter().map(doc).collect()
}
