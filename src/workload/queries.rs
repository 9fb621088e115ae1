//! Queries — decides what a workload's richer searches ask for: Elasticsearch's JSON. It never sends one.

use serde_json::{Value, json};

use super::sources::{NUMBERS, keyword, word};
use crate::{scenario::load::SearchKind, sim::dice::Die};

/// Hits that a search asks for.
pub(super) const SIZE: u32 = 10;

/// The body of a search of this kind.
pub(super) fn body(kind: SearchKind, die: &mut Die) -> Value {
    match kind {
        SearchKind::Words => hits(&json!({ "match": { "body": word(die) } })),
        SearchKind::Term => hits(&term(die)),
        SearchKind::Range => hits(&range(die)),
        SearchKind::Bool => hits(&combination(die)),
        SearchKind::Phrase => {
            hits(&json!({ "match_phrase": { "body": format!("{} {}", word(die), word(die)) } }))
        }
        SearchKind::Prefix => hits(&json!({ "prefix": { "body": &word(die)[..2] } })),
        SearchKind::Sort => sorted(die),
        SearchKind::Aggregations => figures(die),
    }
}

/// The first hits of a query.
pub(super) fn hits(query: &Value) -> Value {
    json!({ "query": query, "size": SIZE })
}

fn term(die: &mut Die) -> Value {
    if die.chance(0.5) {
        json!({ "term": { "tag.keyword": keyword(die) } })
    } else {
        json!({ "terms": { "n": [die.below(NUMBERS), die.below(NUMBERS), die.below(NUMBERS)] } })
    }
}

fn range(die: &mut Die) -> Value {
    let from = die.below(NUMBERS);
    json!({ "range": { "n": { "gte": from, "lt": from + die.below(NUMBERS / 2) } } })
}

fn combination(die: &mut Die) -> Value {
    let (one, other, third) = (word(die), word(die), word(die));
    if die.chance(0.5) {
        json!({ "bool": {
            "must": [{ "match": { "body": one } }],
            "must_not": [{ "match": { "body": other } }],
            "filter": [range(die)],
        } })
    } else {
        let should = [one, other, third].map(|word| json!({ "match": { "body": word } }));
        json!({ "bool": { "should": should, "minimum_should_match": 2 } })
    }
}

fn sorted(die: &mut Die) -> Value {
    let order = if die.chance(0.5) { "asc" } else { "desc" };
    let query = if die.chance(0.5) { json!({ "match_all": {} }) } else { range(die) };
    json!({ "query": query, "sort": [{ "n": order }], "from": die.below(30), "size": SIZE })
}

fn figures(die: &mut Die) -> Value {
    json!({
        "size": 0,
        "query": { "match": { "body": word(die) } },
        "aggs": {
            "tags": { "terms": { "field": "tag.keyword" }, "aggs": { "most": { "max": { "field": "n" } } } },
            "numbers": { "stats": { "field": "n" } },
            "weeks": { "date_histogram": { "field": "at", "fixed_interval": "7d" } },
            "spread": { "histogram": { "field": "n", "interval": 10 } },
            "halves": { "range": { "field": "n", "ranges": [{ "to": 50 }, { "from": 50 }] } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{scenario::load::SearchMix, search::query, sim::dice::Dice};

    #[test]
    fn every_kind_of_search_is_understood() {
        for (key, kind, _) in SearchMix::default().weights() {
            for nth in 0..20 {
                let body = body(kind, &mut Dice::new(1).at(key, nth)).to_string();
                assert!(query::read(&body).is_ok(), "{body}");
            }
        }
    }
}
