//! Matching — decides which documents of a segment a query finds, and how well. It never sorts them.
//!
//! Scores are Elasticsearch's: BM25 with k1 1.2 and b 0.75, `(k1 + 1)` included; a keyword counts as a field
//! without length; everything that is found by comparing values has the score of its boost.

use std::collections::BTreeMap;

use tantivy::DocId;

use super::{
    Failure,
    columns::{self, Kind},
    phrase, postings,
    segment::Segment,
};
use crate::search::query::{
    Bool, Bound, Clause, FieldSize, Operator, Query, Statistics, Value, Word, keyword_of, words_in,
};

const K1: f32 = 1.2;
const B: f32 = 0.75;

/// Documents that match, by number, with their scores.
pub(super) type Matches = Vec<(DocId, f32)>;

/// What scores are made of, beside the segment.
pub(super) struct Matcher<'a> {
    pub(super) statistics: &'a Statistics,
}

/// The figures of these segments for these words.
pub(super) fn statistics<'a>(
    segments: impl Iterator<Item = &'a Segment> + Clone,
    words: impl Iterator<Item = Word>,
) -> Result<Statistics, Failure> {
    let mut statistics = Statistics::default();
    for (field, word) in words {
        let size = size_of(segments.clone(), &field)?;
        let mut docs = 0;
        for segment in segments.clone() {
            docs += match keyword_of(&field) {
                None => postings::count(segment, &field, &word)?,
                Some(keyword) => with_keyword(segment, keyword, &word)?.len() as u64,
            };
        }
        statistics.fields.insert(field.clone(), size);
        statistics.docs.insert((field, word), docs);
    }
    Ok(statistics)
}

fn size_of<'a>(segments: impl Iterator<Item = &'a Segment>, field: &str) -> Result<FieldSize, Failure> {
    let mut sum = FieldSize::default();
    for segment in segments {
        let size = match keyword_of(field) {
            None => segment.norms.get(field).map_or_else(FieldSize::default, |norms| norms.size),
            Some(keyword) => {
                let docs = columns::find(segment, keyword, Kind::Keywords, |_| true)?.len() as u64;
                FieldSize { docs, words: docs }
            }
        };
        sum.docs += size.docs;
        sum.words += size.words;
    }
    Ok(sum)
}

fn with_keyword(segment: &Segment, field: &str, word: &str) -> Result<Vec<DocId>, Failure> {
    columns::find(segment, field, Kind::Keywords, |value| {
        value.compare(&Value::Text(word.to_owned())) == Some(std::cmp::Ordering::Equal)
    })
}

impl Matcher<'_> {
    /// The documents of the segment that match, dead ones included.
    pub(super) fn matches(&self, segment: &Segment, clause: &Clause, boost: f32) -> Result<Matches, Failure> {
        let boost = boost * clause.boost;
        match &clause.query {
            Query::MatchAll => Ok((0..segment.reader.max_doc()).map(|doc| (doc, boost)).collect()),
            Query::MatchNone => Ok(Vec::new()),
            Query::Match { field, text, operator, minimum } => {
                let words = words_in(field, &text.text());
                let needed = match (operator, minimum) {
                    (Operator::And, _) => words.len(),
                    (Operator::Or, None) => 1,
                    (Operator::Or, Some(minimum)) => minimum.of(words.len()).max(1),
                };
                let found = words.iter().map(|word| self.word(segment, field, word, boost));
                let by_words = at_least(found.collect::<Result<_, _>>()?, needed);
                self.or_value(segment, field, text, boost, by_words)
            }
            Query::MultiMatch { matches, tie_breaker } => self.best(segment, matches, *tie_breaker, boost),
            Query::MatchPhrase { field, text, slop } => self.phrase(segment, field, text, *slop, boost),
            Query::Term { field, value } if field == "_id" => ids(segment, &[value.text()], boost),
            Query::Term { field, value } => {
                let by_word = self.word(segment, field, &value.text(), boost)?;
                self.or_value(segment, field, value, boost, by_word)
            }
            Query::Terms { field, values } => {
                let terms =
                    values.iter().map(|value| Query::Term { field: field.clone(), value: value.clone() });
                let found = terms.map(|term| self.matches(segment, &Clause::plain(term), 1.0));
                Ok(constant(at_least(found.collect::<Result<_, _>>()?, 1), boost))
            }
            Query::Range { field, from, to } => range(segment, field, from.as_ref(), to.as_ref(), boost),
            Query::Prefix { field, prefix } => with_prefix(segment, field, prefix, boost),
            Query::Exists { field } => {
                Ok(same(columns::with_any(segment, keyword_of(field).unwrap_or(field))?, boost))
            }
            Query::Ids { values } => ids(segment, values, boost),
            Query::ConstantScore(filter) => Ok(constant(self.matches(segment, filter, 1.0)?, boost)),
            Query::Bool(parts) => self.bool(segment, parts, boost),
        }
    }

    /// Documents with this word, or this keyword.
    fn word(&self, segment: &Segment, field: &str, word: &str, boost: f32) -> Result<Matches, Failure> {
        let weight = boost * self.statistics.rarity(field, word) * (K1 + 1.0);
        if let Some(keyword) = keyword_of(field) {
            return Ok(same(with_keyword(segment, keyword, word)?, weight / (1.0 + K1)));
        }
        let score = self.by_length(segment, field, weight);
        let found = postings::of_word(segment, field, word)?.into_iter();
        Ok(found.map(|(doc, frequency)| (doc, score(doc, frequency as f32))).collect())
    }

    fn by_length<'a>(
        &self,
        segment: &'a Segment,
        field: &str,
        weight: f32,
    ) -> impl Fn(DocId, f32) -> f32 + 'a {
        let (mean, norms) = (self.statistics.mean_length(field), segment.norms.get(field));
        move |doc, frequency| {
            let length = norms.map_or(0, |norms| norms.length(doc)) as f32;
            weight * frequency / (frequency + K1 * (1.0 - B + B * length / mean))
        }
    }

    /// Also documents with this value, if the field has numbers or booleans.
    fn or_value(
        &self,
        segment: &Segment,
        field: &str,
        value: &Value,
        boost: f32,
        by_words: Matches,
    ) -> Result<Matches, Failure> {
        let is_equal = |ours: columns::Scalar<'_>| ours.compare(value) == Some(std::cmp::Ordering::Equal);
        let by_value = columns::find(segment, field, Kind::Others, is_equal)?;
        Ok(if by_value.is_empty() { by_words } else { at_least(vec![by_words, same(by_value, boost)], 1) })
    }

    fn phrase(
        &self,
        segment: &Segment,
        field: &str,
        text: &str,
        slop: u32,
        boost: f32,
    ) -> Result<Matches, Failure> {
        let words = words_in(field, text);
        let Some(first) = words.first() else { return Ok(Vec::new()) };
        if words.len() == 1 {
            return self.word(segment, field, first, boost);
        }
        let rarity: f32 = words.iter().map(|word| self.statistics.rarity(field, word)).sum();
        let mut places: BTreeMap<DocId, Vec<Vec<u32>>> = BTreeMap::new();
        for (nth, word) in words.iter().enumerate() {
            for (doc, positions) in postings::positions(segment, field, word)? {
                let so_far = places.entry(doc).or_default();
                if so_far.len() == nth {
                    so_far.push(positions);
                }
            }
        }
        let score = self.by_length(segment, field, boost * rarity * (K1 + 1.0));
        let whole = places.into_iter().filter(|(_, places)| places.len() == words.len());
        let counted = whole.map(|(doc, places)| (doc, phrase::frequency(&places, slop)));
        Ok(counted.filter(|(_, frequency)| *frequency > 0.0).map(|(doc, n)| (doc, score(doc, n))).collect())
    }

    /// The best clause counts, the others as far as the tie breaker says (Lucene's `DisjunctionMaxQuery`).
    fn best(
        &self,
        segment: &Segment,
        clauses: &[Clause],
        tie_breaker: f32,
        boost: f32,
    ) -> Result<Matches, Failure> {
        let mut scores: BTreeMap<DocId, (f32, f32)> = BTreeMap::new();
        for clause in clauses {
            for (doc, score) in self.matches(segment, clause, boost)? {
                let (best, sum) = scores.entry(doc).or_default();
                (*best, *sum) = (best.max(score), *sum + score);
            }
        }
        Ok(scores.into_iter().map(|(doc, (best, sum))| (doc, best + (sum - best) * tie_breaker)).collect())
    }

    fn bool(&self, segment: &Segment, parts: &Bool, boost: f32) -> Result<Matches, Failure> {
        let all = |clauses: &[Clause]| -> Result<Vec<Matches>, Failure> {
            clauses.iter().map(|clause| self.matches(segment, clause, boost)).collect()
        };
        let is_required = !parts.must.is_empty() || !parts.filter.is_empty();
        let needed = match &parts.minimum {
            Some(minimum) => minimum.of(parts.should.len()),
            None => usize::from(!is_required && !parts.should.is_empty()),
        };
        let mut found: BTreeMap<DocId, (usize, f64)> = BTreeMap::new();
        if !is_required && needed == 0 {
            // Nothing but exclusions: every other document, with score 0; no clause at all: as match_all.
            let is_empty = parts.must_not.is_empty() && parts.should.is_empty();
            let score = if is_empty { f64::from(boost) } else { 0.0 };
            found.extend((0..segment.reader.max_doc()).map(|doc| (doc, (0, score))));
        }
        let required = all(&parts.must)?.into_iter().map(|part| (part, true));
        let filters = all(&parts.filter)?.into_iter().map(|part| (part, false));
        for (nth, (part, scores)) in required.chain(filters).enumerate() {
            let mut kept = BTreeMap::new();
            for (doc, score) in part {
                let so_far = if nth == 0 { Some((0, 0.0)) } else { found.get(&doc).copied() };
                if let Some((_, sum)) = so_far {
                    kept.insert(doc, (0, if scores { sum + f64::from(score) } else { sum }));
                }
            }
            found = kept;
        }
        for part in all(&parts.should)? {
            for (doc, score) in part {
                if let Some((count, sum)) = found.get_mut(&doc) {
                    (*count, *sum) = (*count + 1, *sum + f64::from(score));
                } else if !is_required && needed > 0 {
                    found.insert(doc, (1, f64::from(score)));
                }
            }
        }
        for part in all(&parts.must_not)? {
            for (doc, _) in part {
                found.remove(&doc);
            }
        }
        let enough = found.into_iter().filter(|(_, (count, _))| *count >= needed);
        Ok(enough.map(|(doc, (_, sum))| (doc, sum as f32)).collect())
    }
}

fn same(docs: Vec<DocId>, score: f32) -> Matches {
    docs.into_iter().map(|doc| (doc, score)).collect()
}

fn constant(matches: Matches, score: f32) -> Matches {
    matches.into_iter().map(|(doc, _)| (doc, score)).collect()
}

/// Documents in at least `needed` of the parts, with the sum of their scores.
fn at_least(mut parts: Vec<Matches>, needed: usize) -> Matches {
    if parts.len() == 1 && needed <= 1 {
        return parts.pop().unwrap_or_default();
    }
    let mut sums: BTreeMap<DocId, (usize, f64)> = BTreeMap::new();
    for (doc, score) in parts.into_iter().flatten() {
        let (count, sum) = sums.entry(doc).or_default();
        (*count, *sum) = (*count + 1, *sum + f64::from(score));
    }
    let enough = sums.into_iter().filter(|(_, (count, _))| *count >= needed);
    enough.map(|(doc, (_, sum))| (doc, sum as f32)).collect()
}

fn ids(segment: &Segment, wanted: &[String], boost: f32) -> Result<Matches, Failure> {
    let ids = (0..).zip(&segment.ids);
    let found = ids.filter(|(_, id)| wanted.iter().any(|wanted| **wanted == ***id));
    Ok(found.map(|(doc, _)| (doc, boost)).collect())
}

fn range(
    segment: &Segment,
    field: &str,
    from: Option<&Bound>,
    to: Option<&Bound>,
    boost: f32,
) -> Result<Matches, Failure> {
    if let Some(keyword) = keyword_of(field) {
        let found = columns::find(segment, keyword, Kind::Keywords, |value| value.is_within(from, to))?;
        return Ok(same(found, boost));
    }
    let by_value = columns::find(segment, field, Kind::Others, |value| value.is_within(from, to))?;
    let is_word_in = |word: &str| columns::Scalar::Keyword(word).is_within(from, to);
    let by_word = postings::of_any_word(segment, field, is_word_in)?;
    Ok(constant(at_least(vec![same(by_value, 1.0), same(by_word, 1.0)], 1), boost))
}

fn with_prefix(segment: &Segment, field: &str, prefix: &str, boost: f32) -> Result<Matches, Failure> {
    let found = match keyword_of(field) {
        None => postings::of_any_word(segment, field, |word| word.starts_with(prefix))?,
        Some(keyword) => {
            let begins = |value: columns::Scalar<'_>| matches!(value, columns::Scalar::Keyword(word) if word.starts_with(prefix));
            columns::find(segment, keyword, Kind::Keywords, begins)?
        }
    };
    Ok(same(found, boost))
}
