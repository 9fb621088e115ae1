//! Queries — decides what a search request asks for: Elasticsearch's JSON as types, or Elasticsearch's error.
//! It never looks at an index.

mod aggregations;
pub mod analysis;
pub mod dates;
mod json;
mod leaf;
mod minimum;
mod parse;
mod sort;
mod source;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::{
    aggregations::{Aggregation, Aggregations},
    minimum::MinimumShouldMatch,
    parse::read,
    sort::{Missing, Order, SortBy, SortKey, SortValue, compare},
    source::SourceFilter,
    statistics::{FieldSize, Statistics, Word, keyword_of, scoring_words, words_in},
};
use json::At;

/// Why a request is refused: Elasticsearch's `type` and `reason`; the status is 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {reason}")]
pub struct Malformed {
    /// `type`.
    pub kind: &'static str,
    /// `reason`.
    pub reason: String,
    /// `line` and `col` of a `parsing_exception`.
    pub at: Option<(usize, usize)>,
}

impl Malformed {
    fn parsing(at: At, reason: impl Into<String>) -> Self {
        Self { kind: "parsing_exception", reason: reason.into(), at: Some((at.line, at.column)) }
    }

    fn content(at: At, reason: &str) -> Self {
        let reason = format!("[{}:{}] {reason}", at.line, at.column);
        Self { kind: "x_content_parse_exception", reason, at: None }
    }

    fn illegal(reason: impl Into<String>) -> Self {
        Self { kind: "illegal_argument_exception", reason: reason.into(), at: None }
    }
}

/// A value that documents are compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Long(i64),
    /// Any other number.
    Double(f64),
    /// `true` or `false`.
    Bool(bool),
}

impl Value {
    /// As text.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Long(number) => number.to_string(),
            Self::Double(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
        }
    }

    /// As a number, if it is one or reads as one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Long(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            Self::Bool(_) => None,
        }
    }

    /// As a moment in milliseconds since 1970, if it is a number or reads as a date.
    pub fn moment(&self) -> Option<i64> {
        match self {
            Self::Text(text) => dates::millis(text).or_else(|| text.parse().ok()),
            Self::Long(millis) => Some(*millis),
            Self::Double(_) | Self::Bool(_) => None,
        }
    }

    /// As `true` or `false`, if it is one or reads as one.
    pub fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Text(text) => text.parse().ok(),
            Self::Long(_) | Self::Double(_) => None,
        }
    }
}

/// `and` or `or` between the words of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the definition")]
pub enum Operator {
    And,
    Or,
}

/// A query with the factor on its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// What matches.
    pub query: Query,
    /// `boost`.
    pub boost: f32,
}

impl Clause {
    /// With a boost of 1.
    pub fn plain(query: Query) -> Self {
        Self { query, boost: 1.0 }
    }
}

/// What matches, and how well.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Every document, with score 1.
    MatchAll,
    /// No document.
    MatchNone,
    /// Documents with words of a text.
    Match {
        /// In which field.
        field: String,
        /// The text, or a value that is compared as such.
        text: Value,
        /// Whether all words must be there.
        operator: Operator,
        /// How many must be there.
        minimum: Option<MinimumShouldMatch>,
    },
    /// The same in several fields: the best one counts, the others as far as the tie breaker says.
    MultiMatch {
        /// A match a field.
        matches: Vec<Clause>,
        /// `tie_breaker`: 0 is `best_fields`, 1 is `most_fields`.
        tie_breaker: f32,
    },
    /// Documents with the words of a text in this order.
    MatchPhrase {
        /// In which field.
        field: String,
        /// The text.
        text: String,
        /// How far words may have to be moved.
        slop: u32,
    },
    /// Documents with exactly this value.
    Term {
        /// In which field.
        field: String,
        /// The value.
        value: Value,
    },
    /// Documents with one of these values.
    Terms {
        /// In which field.
        field: String,
        /// The values.
        values: Vec<Value>,
    },
    /// Documents with a value in a range.
    Range {
        /// In which field.
        field: String,
        /// From here.
        from: Option<Bound>,
        /// Up to here.
        to: Option<Bound>,
    },
    /// Documents with a value that begins so.
    Prefix {
        /// In which field.
        field: String,
        /// The beginning.
        prefix: String,
    },
    /// Documents with any value.
    Exists {
        /// In which field.
        field: String,
    },
    /// Documents of these ids.
    Ids {
        /// The ids.
        values: Vec<String>,
    },
    /// What the filter finds, all with the same score.
    ConstantScore(Box<Clause>),
    /// A combination.
    Bool(Box<Bool>),
}

/// An end of a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The value.
    pub value: Value,
    /// Whether the value itself is in the range.
    pub inclusive: bool,
}

/// The clauses of a `bool` query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bool {
    /// All must match, and add to the score.
    pub must: Vec<Clause>,
    /// All must match.
    pub filter: Vec<Clause>,
    /// Some should match, and add to the score.
    pub should: Vec<Clause>,
    /// None must match.
    pub must_not: Vec<Clause>,
    /// How many of `should` must match.
    pub minimum: Option<MinimumShouldMatch>,
}

/// `track_total_hits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackTotalHits {
    /// Count up to here; more is told as "at least".
    UpTo(u64),
    /// Do not count.
    No,
}

/// What a search asks of the index.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchBody {
    /// What matches; everything if none.
    pub query: Option<Clause>,
    /// Hits to leave out at the beginning.
    pub from: u32,
    /// Hits at most.
    pub size: u32,
    /// The order; none: by score.
    pub sort: Vec<SortKey>,
    /// `search_after`: hits that come after these values.
    pub search_after: Option<Vec<SortValue>>,
    /// Which part of the documents to show.
    pub source: SourceFilter,
    /// What to compute over all that matches.
    pub aggregations: Aggregations,
    /// How exactly to count.
    pub track_total_hits: TrackTotalHits,
    /// Whether scores are told although the order is another.
    pub track_scores: bool,
    /// Hits of a lower score are left out.
    pub min_score: Option<f32>,
    /// After how long partial results are an answer.
    pub timeout: Option<std::time::Duration>,
    /// After how many documents each shard stops; 0: never.
    pub terminate_after: u64,
}

/// `track_total_hits` where the request says nothing.
const TRACK_TOTAL_HITS_DEFAULT: u64 = 10_000;
/// `size` where the request says nothing.
const SIZE_DEFAULT: u32 = 10;

impl Default for SearchBody {
    fn default() -> Self {
        Self {
            query: None,
            from: 0,
            size: SIZE_DEFAULT,
            sort: Vec::new(),
            search_after: None,
            source: SourceFilter::default(),
            aggregations: BTreeMap::new(),
            track_total_hits: TrackTotalHits::UpTo(TRACK_TOTAL_HITS_DEFAULT),
            track_scores: false,
            min_score: None,
            timeout: None,
            terminate_after: 0,
        }
    }
}

impl SearchBody {
    /// Whether hits come by score alone.
    pub fn is_by_score(&self) -> bool {
        self.sort.is_empty()
    }

    /// Hits that each shard must offer: any of them may be among the winners.
    pub fn window(&self) -> usize {
        self.from as usize + self.size as usize
    }
}
