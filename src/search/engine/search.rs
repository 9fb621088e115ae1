//! Searching — decides what an index answers to a search: the query phase, and the fetch phase by a reader
//! that stays as it was. It never refreshes.

use std::{collections::BTreeMap, sync::Arc};

use tantivy::{TantivyDocument, store::StoreReader};

use super::{
    Engine, Failure,
    aggregate::Aggregator,
    query::{self, Matcher},
    schema::Fields,
    segment::Segment,
    top::{Ranked, Top},
};
use crate::search::query::{Clause, Query, SearchBody, SortBy, Statistics, keyword_of, scoring_words};

/// What a shard finds in the query phase.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// Documents that match.
    pub total: u64,
    /// The best score of all that match; none if nothing does.
    pub max_score: Option<f32>,
    /// The best, best first.
    pub best: Vec<Ranked>,
    /// Whether counting stopped at `terminate_after`.
    pub terminated_early: bool,
    /// The intermediate result of the aggregations, if any were asked for.
    pub aggregations: Option<Vec<u8>>,
}

/// Why a search cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchFailure {
    /// The index is broken.
    Index(Failure),
    /// The request asks what this index cannot do: `illegal_argument_exception`, 400.
    Request(String),
}

impl From<Failure> for SearchFailure {
    fn from(failure: Failure) -> Self {
        Self::Index(failure)
    }
}

/// The documents of an index as they were when it was searched.
pub struct Reader(BTreeMap<u64, Arc<StoreReader>>);

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({} segments)", self.0.len())
    }
}

/// A document as its index stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedSource {
    /// Its id.
    pub id: String,
    /// The document: a JSON object.
    pub source: String,
    /// What it was routed by, if not its id.
    pub routing: Option<String>,
}

impl Reader {
    /// The id and source of a document.
    ///
    /// # Errors
    ///
    /// If its segment cannot be read, or the reader has no such document.
    pub fn fetch(&self, ranked: &Ranked) -> Result<FetchedSource, Failure> {
        let missing = || Failure(format!("no segment {} in this search context", ranked.segment));
        let store = self.0.get(&ranked.segment).ok_or_else(missing)?;
        let document: TantivyDocument = store.get(ranked.doc)?;
        let stored = Fields::shared().stored(&document)?;
        Ok(FetchedSource { id: stored.id, source: stored.source, routing: stored.routing })
    }
}

impl Engine {
    /// The figures of this index that the query's scores need.
    ///
    /// # Errors
    ///
    /// If a segment cannot be read.
    pub fn statistics(&self, clause: &Clause) -> Result<Statistics, Failure> {
        query::statistics(self.segments.values(), scoring_words(clause).into_iter())
    }

    /// What the last refresh made searchable and the body asks for, scored by these figures or else by those of
    /// this index.
    ///
    /// # Errors
    ///
    /// If a segment cannot be read, or the request asks what this index cannot do.
    pub fn find(&self, body: &SearchBody, statistics: Option<&Statistics>) -> Result<Found, SearchFailure> {
        self.check_fields(body)?;
        let all = Clause::plain(Query::MatchAll);
        let clause = body.query.as_ref().unwrap_or(&all);
        let own = if statistics.is_some() { Statistics::default() } else { self.statistics(clause)? };
        let matcher = Matcher { statistics: statistics.unwrap_or(&own) };
        let (mut found, mut top) = (Found::default(), Top::new(body));
        let mut aggregator = match body.aggregations.is_empty() {
            true => None,
            false => Some(
                Aggregator::new(&body.aggregations).map_err(|failure| SearchFailure::Request(failure.0))?,
            ),
        };
        for (number, segment) in &self.segments {
            let mut matches = matcher.matches(segment, clause, 1.0)?;
            matches.retain(|(doc, score)| {
                segment.is_alive(*doc) && body.min_score.is_none_or(|least| *score >= least)
            });
            if body.terminate_after > 0 && found.total + matches.len() as u64 >= body.terminate_after {
                matches.truncate((body.terminate_after - found.total) as usize);
                found.terminated_early = true;
            }
            found.total += matches.len() as u64;
            let best = matches.iter().map(|(_, score)| *score).reduce(f32::max);
            found.max_score = found.max_score.into_iter().chain(best).reduce(f32::max);
            if body.window() > 0 {
                top.add(*number, segment, &matches)?;
            }
            if let Some(aggregator) = &mut aggregator {
                aggregator.add(segment, &matches).map_err(|failure| SearchFailure::Request(failure.0))?;
            }
            if found.terminated_early {
                break;
            }
        }
        found.best = top.finish();
        found.aggregations = aggregator.map(Aggregator::finish).transpose()?;
        Ok(found)
    }

    /// A reader of these documents, whatever the index does meanwhile.
    pub fn reader(&self, best: &[Ranked]) -> Reader {
        let numbers = best.iter().map(|ranked| ranked.segment);
        let store = |number| Some((number, self.segments.get(&number)?.store.clone()));
        Reader(numbers.filter_map(store).collect())
    }

    /// Ids that a search for everything finds, sorted.
    pub fn searchable(&self) -> Vec<String> {
        let ids = self.segments.values().flat_map(Segment::living).map(|(_, id)| id.to_string());
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        ids
    }

    // Text is analysed: it has no value to sort or to count by.
    fn check_fields(&self, body: &SearchBody) -> Result<(), SearchFailure> {
        let sorted = body.sort.iter().filter_map(|key| match &key.by {
            SortBy::Field(field) => Some(field.as_str()),
            SortBy::Score | SortBy::Doc => None,
        });
        let aggregated = body.aggregations.values().map(|aggregation| aggregation.field.as_str());
        match sorted.chain(aggregated).find(|field| self.is_text(field)) {
            None => Ok(()),
            Some(field) => Err(SearchFailure::Request(format!(
                "Text fields are not optimised for operations that require per-document field data like \
                 aggregations and sorting, so these operations are disabled by default. Please use a keyword \
                 field instead. Alternatively, set fielddata=true on [{field}] in order to load field data by \
                 uninverting the inverted index. Note that this can use significant memory."
            ))),
        }
    }

    fn is_text(&self, field: &str) -> bool {
        keyword_of(field).is_none() && self.segments.values().any(|segment| segment.norms.contains_key(field))
    }
}
