//! Ranking — decides which of the documents that match come first. It never decides which match.
//!
//! Hits that compare equal come in the order in which they lie in the index, segment by segment, as Lucene's
//! do; so two copies of a shard may order them in two ways.

use std::cmp::Ordering;

use super::{
    Failure,
    columns::{self, Kind},
    query::Matches,
    segment::Segment,
};
use crate::search::query::{Missing, Order, SearchBody, SortBy, SortKey, SortValue, compare, keyword_of};

/// A document that matches.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The number of its segment.
    pub segment: u64,
    /// Its number there.
    pub doc: u32,
    /// How well it matches.
    pub score: f32,
    /// What it is compared by, if not by score.
    pub sort: Vec<SortValue>,
}

/// Gathers the best documents of one segment after the other.
pub(super) struct Top<'a> {
    body: &'a SearchBody,
    best: Vec<Ranked>,
    /// Documents in the segments before.
    before: u32,
}

impl<'a> Top<'a> {
    /// Nothing gathered.
    pub(super) fn new(body: &'a SearchBody) -> Self {
        Self { body, best: Vec::new(), before: 0 }
    }

    /// Takes up the matches of a segment.
    pub(super) fn add(&mut self, number: u64, segment: &Segment, matches: &Matches) -> Result<(), Failure> {
        let columns = self.body.sort.iter().map(|key| column(segment, key)).collect::<Result<Vec<_>, _>>()?;
        for (doc, score) in matches {
            let keys = self.body.sort.iter().zip(&columns);
            let sort = keys.map(|(key, column)| match key.by {
                SortBy::Score => SortValue::Double(f64::from(*score)),
                SortBy::Doc => SortValue::Long(i64::from(self.before + *doc)),
                SortBy::Field(_) => column.get(*doc as usize).cloned().unwrap_or(SortValue::Null),
            });
            let ranked = Ranked { segment: number, doc: *doc, score: *score, sort: sort.collect() };
            if self.comes_after(&ranked) {
                self.best.push(ranked);
            }
        }
        if self.best.len() > 2 * self.body.window().max(512) {
            self.cut();
        }
        self.before += segment.reader.max_doc();
        Ok(())
    }

    /// The best, best first.
    pub(super) fn finish(mut self) -> Vec<Ranked> {
        self.cut();
        self.best
    }

    fn cut(&mut self) {
        let body = self.body;
        // Stable, so that equal ones stay as they lie.
        self.best.sort_by(|a, b| order(body, a, b));
        self.best.truncate(body.window());
    }

    fn comes_after(&self, ranked: &Ranked) -> bool {
        match &self.body.search_after {
            None => true,
            Some(after) if self.body.is_by_score() => {
                let score = SortValue::Double(f64::from(ranked.score));
                let by_score =
                    SortKey { by: SortBy::Score, order: Order::Descending, missing: Missing::Last };
                compare(&[by_score], &[score], after).is_gt()
            }
            Some(after) => compare(&self.body.sort, &ranked.sort, after).is_gt(),
        }
    }
}

fn order(body: &SearchBody, left: &Ranked, right: &Ranked) -> Ordering {
    if body.is_by_score() {
        right.score.total_cmp(&left.score)
    } else {
        compare(&body.sort, &left.sort, &right.sort)
    }
}

/// What each document of the segment is compared by: of several values the least if the order ascends, else the
/// greatest (`mode`).
fn column(segment: &Segment, key: &SortKey) -> Result<Vec<SortValue>, Failure> {
    let SortBy::Field(field) = &key.by else { return Ok(Vec::new()) };
    let missing = match &key.missing {
        Missing::As(value) => value.clone(),
        Missing::First | Missing::Last => SortValue::Null,
    };
    let mut values = vec![None; segment.reader.max_doc() as usize];
    let (field, kind) = match keyword_of(field) {
        Some(keyword) => (keyword, Kind::Keywords),
        None => (field.as_str(), Kind::Others),
    };
    let plain = SortKey { missing: Missing::Last, ..key.clone() };
    columns::each(segment, field, kind, |doc, value| {
        let (held, value) = (&mut values[doc as usize], value.sort_value());
        let is_better = |held: &SortValue| {
            compare(std::slice::from_ref(&plain), std::slice::from_ref(&value), std::slice::from_ref(held))
                .is_lt()
        };
        if held.as_ref().is_none_or(is_better) {
            *held = Some(value);
        }
    })?;
    Ok(values.into_iter().map(|value| value.unwrap_or_else(|| missing.clone())).collect())
}
