//! Queries — decides which documents a query finds and how they rank. It never refreshes.

use std::sync::Arc;

use tantivy::{
    DocId, Searcher, SegmentReader, Term,
    query::{AllQuery, Bm25StatisticsProvider, BooleanQuery, EnableScoring, TermQuery, Weight},
    schema::{Field, IndexRecordOption},
    tokenizer::{TextAnalyzer, TokenStream},
};

use super::{Failure, schema::Fields, segment::Segment};
use crate::search::{
    api::{Hit, Query},
    shards::ShardHits,
};

/// A living document that matches.
struct Match<'a> {
    score: f32,
    id: &'a Arc<str>,
    segment: &'a Segment,
    doc: DocId,
}

/// What a search needs beside the segments.
pub(super) struct Search<'a> {
    pub(super) fields: &'a Fields,
    /// An empty one: it stands for the schema, while the segments below are searched.
    pub(super) schema: &'a Searcher,
    pub(super) analyzer: TextAnalyzer,
}

impl Search<'_> {
    /// The `size` best living documents: by score, then id.
    pub(super) fn run(
        mut self,
        segments: &[&Segment],
        query: &Query,
        size: u32,
    ) -> Result<ShardHits, Failure> {
        let query = self.parse(query);
        let statistics = Statistics { segments };
        let scoring = EnableScoring::enabled_from_statistics_provider(&statistics, self.schema);
        let weight = query.weight(scoring)?;
        let mut matches = Vec::new();
        for segment in segments {
            collect(segment, weight.as_ref(), &mut matches)?;
        }
        let total = matches.len() as u64;
        matches.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(b.id)));
        matches.truncate(size as usize);
        let hits = matches.iter().map(|hit| self.fetch(hit)).collect::<Result<_, _>>()?;
        Ok(ShardHits { total, hits })
    }

    fn parse(&mut self, query: &Query) -> Box<dyn tantivy::query::Query> {
        match query {
            Query::MatchAll => Box::new(AllQuery),
            Query::Match(words) => Box::new(any_of(self.fields.body, &self.tokens(words))),
        }
    }

    fn tokens(&mut self, words: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        self.analyzer.token_stream(words).process(&mut |token| tokens.push(token.text.clone()));
        tokens
    }

    fn fetch(&self, hit: &Match<'_>) -> Result<Hit, Failure> {
        let stored = hit.segment.stored(self.fields, hit.doc)?;
        Ok(Hit { id: stored.id, score: hit.score, source: stored.source.into() })
    }
}

fn any_of(field: Field, tokens: &[String]) -> BooleanQuery {
    let terms = tokens.iter().map(|token| {
        let term = Term::from_field_text(field, token);
        Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)) as Box<dyn tantivy::query::Query>
    });
    BooleanQuery::union(terms.collect())
}

fn collect<'a>(
    segment: &'a Segment,
    weight: &dyn Weight,
    matches: &mut Vec<Match<'a>>,
) -> Result<(), Failure> {
    weight.for_each(&segment.reader, &mut |doc, score| {
        if segment.is_alive(doc) {
            matches.push(Match { score, id: &segment.ids[doc as usize], segment, doc });
        }
    })?;
    Ok(())
}

/// Collection statistics over all segments; dead documents count until they are merged away, as in Lucene.
struct Statistics<'a> {
    segments: &'a [&'a Segment],
}

impl Statistics<'_> {
    fn sum(&self, part: impl Fn(&SegmentReader) -> tantivy::Result<u64>) -> tantivy::Result<u64> {
        self.segments.iter().map(|segment| part(&segment.reader)).sum()
    }
}

impl Bm25StatisticsProvider for Statistics<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        self.sum(|reader| Ok(reader.inverted_index(field)?.total_num_tokens()))
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        self.sum(|reader| Ok(u64::from(reader.max_doc())))
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        self.sum(|reader| Ok(u64::from(reader.inverted_index(term.field())?.doc_freq(term)?)))
    }
}
