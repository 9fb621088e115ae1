//! Wanted — decides, by a model of its own, which documents a query finds. It never looks at an index.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What is known of a document.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The words of its `body`, in order.
    pub(super) words: Vec<String>,
    /// Its other fields.
    pub(super) fields: Map<String, Value>,
}

impl Known {
    /// Of the words and fields that its client told of.
    pub(super) fn new(words: &str, fields: &str) -> Self {
        let words = words.split_whitespace().map(str::to_lowercase).collect();
        Self { words, fields: serde_json::from_str(fields).unwrap_or_default() }
    }

    /// The number in this field.
    pub(super) fn number(&self, field: &str) -> Option<f64> {
        self.fields.get(field)?.as_f64()
    }

    /// The keyword in this field, named with or without `.keyword`.
    pub(super) fn keyword(&self, field: &str) -> Option<&str> {
        self.fields.get(field.strip_suffix(".keyword").unwrap_or(field))?.as_str()
    }
}

/// The queries that the model understands.
#[derive(Debug)]
pub(super) enum Wanted {
    Everything,
    /// Any of these words in `body`.
    Words(BTreeSet<String>),
    /// These words in `body`, one after the other.
    Phrase(Vec<String>),
    /// A word in `body` that begins so.
    Prefix(String),
    /// This keyword.
    Keyword(String, String),
    /// One of these numbers.
    Numbers(String, Vec<f64>),
    /// A number in a range.
    Range(String, Vec<Bound>),
    Bool {
        all: Vec<Wanted>,
        none: Vec<Wanted>,
        some: Vec<Wanted>,
        least: usize,
    },
}

/// One end of a range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    end: End,
    value: f64,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Above,
    From,
    Below,
    UpTo,
}

impl Bound {
    fn read(name: &str, value: &Value) -> Option<Self> {
        let end = match name {
            "gt" => End::Above,
            "gte" => End::From,
            "lt" => End::Below,
            "lte" => End::UpTo,
            _ => return None,
        };
        Some(Self { end, value: value.as_f64()? })
    }

    fn holds(self, number: f64) -> bool {
        match self.end {
            End::Above => number > self.value,
            End::From => number >= self.value,
            End::Below => number < self.value,
            End::UpTo => number <= self.value,
        }
    }
}

impl Wanted {
    /// What a query asks for; none if it is more than the model understands.
    pub(super) fn read(query: &Value) -> Option<Self> {
        let query = query.as_object().filter(|query| query.len() == 1)?;
        let (name, body) = query.iter().next()?;
        match name.as_str() {
            "match_all" => Some(Self::Everything),
            "match" => Some(Self::Words(words_of(body)?.into_iter().collect())),
            "match_phrase" => Some(Self::Phrase(words_of(body)?)),
            "prefix" => of_body(body)?.as_str().map(|prefix| Self::Prefix(prefix.to_owned())),
            "term" => {
                let (field, value) = only(body)?;
                let field = field.strip_suffix(".keyword")?;
                Some(Self::Keyword(field.to_owned(), value.as_str()?.to_owned()))
            }
            "terms" => {
                let (field, values) = only(body)?;
                let numbers = values.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
                Some(Self::Numbers(field.clone(), numbers))
            }
            "range" => {
                let (field, bounds) = only(body)?;
                let bounds = bounds.as_object()?.iter().map(|(name, value)| Bound::read(name, value));
                Some(Self::Range(field.clone(), bounds.collect::<Option<_>>()?))
            }
            "bool" => Self::combination(body.as_object()?),
            _ => None,
        }
    }

    fn combination(body: &Map<String, Value>) -> Option<Self> {
        let (mut all, mut none, mut some, mut least) = (Vec::new(), Vec::new(), Vec::new(), None);
        for (name, clauses) in body {
            match name.as_str() {
                "must" | "filter" => all.extend(Self::several(clauses)?),
                "must_not" => none.extend(Self::several(clauses)?),
                "should" => some.extend(Self::several(clauses)?),
                "minimum_should_match" => least = Some(clauses.as_u64()? as usize),
                _ => return None,
            }
        }
        let is_optional = some.is_empty() || !all.is_empty();
        let least = least.unwrap_or(if is_optional { 0 } else { 1 });
        Some(Self::Bool { all, none, some, least })
    }

    fn several(clauses: &Value) -> Option<Vec<Self>> {
        clauses.as_array()?.iter().map(Self::read).collect()
    }

    /// Whether it finds this document.
    pub(super) fn finds(&self, doc: &Known) -> bool {
        match self {
            Self::Everything => true,
            Self::Words(wanted) => doc.words.iter().any(|word| wanted.contains(word)),
            Self::Phrase(phrase) => doc.words.windows(phrase.len().max(1)).any(|words| words == phrase),
            Self::Prefix(prefix) => doc.words.iter().any(|word| word.starts_with(prefix)),
            Self::Keyword(field, wanted) => doc.keyword(field) == Some(wanted),
            Self::Numbers(field, wanted) => doc.number(field).is_some_and(|number| wanted.contains(&number)),
            Self::Range(field, bounds) => {
                doc.number(field).is_some_and(|number| bounds.iter().all(|bound| bound.holds(number)))
            }
            Self::Bool { all, none, some, least } => {
                all.iter().all(|clause| clause.finds(doc))
                    && !none.iter().any(|clause| clause.finds(doc))
                    && some.iter().filter(|clause| clause.finds(doc)).count() >= *least
            }
        }
    }
}

fn only(body: &Value) -> Option<(&String, &Value)> {
    body.as_object().filter(|fields| fields.len() == 1)?.iter().next()
}

fn of_body(body: &Value) -> Option<&Value> {
    only(body).filter(|(field, _)| *field == "body").map(|(_, value)| value)
}

fn words_of(body: &Value) -> Option<Vec<String>> {
    Some(of_body(body)?.as_str()?.split_whitespace().map(str::to_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn assert_finds(query: Value, finds: bool) {
        let doc = Known::new("red fox runs", r#"{"n":7,"tag":"owl"}"#);
        assert_eq!(Wanted::read(&query).map(|wanted| wanted.finds(&doc)), Some(finds), "{query}");
    }

    #[test]
    fn queries_find_what_they_ask_for() {
        let cases = [
            (json!({ "match_all": {} }), true),
            (json!({ "match": { "body": "blue fox" } }), true),
            (json!({ "match": { "body": "blue" } }), false),
            (json!({ "match_phrase": { "body": "fox runs" } }), true),
            (json!({ "match_phrase": { "body": "red runs" } }), false),
            (json!({ "prefix": { "body": "ru" } }), true),
            (json!({ "term": { "tag.keyword": "owl" } }), true),
            (json!({ "term": { "tag.keyword": "ow" } }), false),
            (json!({ "terms": { "n": [1, 7] } }), true),
            (json!({ "range": { "n": { "gte": 7, "lt": 8 } } }), true),
            (json!({ "range": { "n": { "gt": 7 } } }), false),
            (json!({ "range": { "m": { "lte": 7 } } }), false),
        ];
        cases.into_iter().for_each(|(query, finds)| assert_finds(query, finds));
    }

    #[test]
    fn combinations_count_their_clauses() {
        let (red, blue) = (json!({ "match": { "body": "red" } }), json!({ "match": { "body": "blue" } }));
        assert_finds(json!({ "bool": { "should": [blue, red] } }), true);
        assert_finds(json!({ "bool": { "should": [blue], "must": [red] } }), true);
        assert_finds(json!({ "bool": { "should": [blue, red], "minimum_should_match": 2 } }), false);
        assert_finds(json!({ "bool": { "must": [red], "must_not": [blue] } }), true);
        assert_finds(json!({ "bool": { "filter": [red], "must_not": [red] } }), false);
    }

    #[test]
    fn queries_that_the_model_does_not_know_are_not_judged() {
        for query in [json!({ "ids": { "values": [] } }), json!({ "match": { "title": "x" } }), json!({})] {
            assert!(Wanted::read(&query).is_none(), "{query}");
        }
    }
}
