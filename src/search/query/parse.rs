//! Parsing — decides what a search request's body means, or how it is malformed. It never guesses: what
//! Elasticsearch refuses is refused with its words.

use std::time::Duration;

use super::{
    Bool, Clause, Malformed, MinimumShouldMatch, Query, SearchBody, SourceFilter, TrackTotalHits,
    aggregations,
    json::{self, Json, Node},
    leaf, sort,
};
use crate::search::settings;

/// How deep `bool` queries may lie in each other (`indices.query.bool.max_nested_depth`).
const DEPTH_MAX: u32 = 30;

/// What a body asks; an empty one asks for everything.
///
/// # Errors
///
/// If it is malformed.
pub fn read(body: &str) -> Result<SearchBody, Malformed> {
    if body.trim().is_empty() {
        return Ok(SearchBody::default());
    }
    let root = json::read(body)?;
    let Json::Object(fields) = &root.json else {
        let reason = format!("Expected [START_OBJECT] but found [{}]", root.token());
        return Err(Malformed::parsing(root.at, reason));
    };
    let mut search = SearchBody::default();
    for (name, node) in fields {
        key(&mut search, name, node)?;
    }
    if search.search_after.as_ref().is_some_and(|after| after.len() != search.sort.len().max(1)) {
        let (after, sort) = (search.search_after.map_or(0, |after| after.len()), search.sort.len());
        let reason = format!("search_after has {after} value(s) but sort has {sort}.");
        return Err(Malformed::illegal(reason));
    }
    if search.search_after.is_some() && search.from > 0 {
        let reason = "`from` parameter must be set to 0 when `search_after` is used.";
        return Err(Malformed { kind: "action_request_validation_exception", ..Malformed::illegal(reason) });
    }
    Ok(search)
}

fn key(search: &mut SearchBody, name: &str, node: &Node) -> Result<(), Malformed> {
    match (name, &node.json) {
        ("query", Json::Object(_)) => search.query = Some(clause(node, 0)?),
        ("from", json) if !is_nested(json) => search.from = natural("from", node)?,
        ("size", json) if !is_nested(json) => search.size = natural("size", node)?,
        ("timeout", Json::Text(text)) => search.timeout = timeout(text)?,
        ("terminate_after", json) if !is_nested(json) => {
            search.terminate_after = natural("terminateAfter", node)?.into();
        }
        ("min_score", json) if !is_nested(json) => search.min_score = Some(leaf::decimal(node)?),
        ("track_scores", json) if !is_nested(json) => search.track_scores = leaf::boolean(node)?,
        ("track_total_hits", json) if !is_nested(json) => search.track_total_hits = track_total_hits(node)?,
        ("_source", json) if *json != Json::Null => search.source = SourceFilter::read(node)?,
        ("sort", Json::Text(_) | Json::List(_) | Json::Object(_)) => search.sort = sort::read(node)?,
        ("search_after", Json::List(items)) => search.search_after = Some(sort::read_values(node, items)?),
        ("aggs" | "aggregations", Json::Object(_)) => search.aggregations = aggregations::read(node)?,
        _ => {
            let reason = format!("Unknown key for a {} in [{name}].", node.token());
            return Err(Malformed::parsing(node.at, reason));
        }
    }
    Ok(())
}

fn is_nested(json: &Json) -> bool {
    matches!(json, Json::Object(_) | Json::List(_) | Json::Null)
}

fn natural(name: &str, node: &Node) -> Result<u32, Malformed> {
    let number = leaf::integer(node)?;
    u32::try_from(number).map_err(|_| {
        let name = if name == "terminateAfter" { name.to_owned() } else { format!("[{name}] parameter") };
        if number < 0 {
            Malformed::illegal(format!("{name} cannot be negative, found [{number}]"))
        } else {
            leaf::not_a_number(&number.to_string())
        }
    })
}

fn timeout(text: &str) -> Result<Option<Duration>, Malformed> {
    if text == "-1" {
        return Ok(None);
    }
    settings::duration(text).map(Some).ok_or_else(|| {
        Malformed::illegal(format!("failed to parse setting [timeout] with value [{text}] as a time value: unit is missing or unrecognized"))
    })
}

fn track_total_hits(node: &Node) -> Result<TrackTotalHits, Malformed> {
    match &node.json {
        Json::Bool(true) => return Ok(TrackTotalHits::UpTo(u64::MAX)),
        Json::Bool(false) => return Ok(TrackTotalHits::No),
        Json::Text(text) if text == "true" => return Ok(TrackTotalHits::UpTo(u64::MAX)),
        Json::Text(text) if text == "false" => return Ok(TrackTotalHits::No),
        _ => {}
    }
    match leaf::integer(node)? {
        -1 => Ok(TrackTotalHits::No),
        count if count >= 0 => Ok(TrackTotalHits::UpTo(count as u64)),
        count => {
            let reason =
                format!("[track_total_hits] parameter must be positive or equals to -1, got {count}");
            Err(Malformed::illegal(reason))
        }
    }
}

/// Reads one query (`AbstractQueryBuilder.parseInnerQueryBuilder`).
pub(super) fn clause(node: &Node, depth: u32) -> Result<Clause, Malformed> {
    let Json::Object(fields) = &node.json else {
        return Err(Malformed::parsing(node.at, "[_na] query malformed, must start with start_object"));
    };
    let Some((name, inner)) = fields.first() else {
        return Err(Malformed::illegal("query malformed, empty clause found"));
    };
    let Json::Object(params) = &inner.json else {
        let reason = format!("[{name}] query malformed, no start_object after query name");
        return Err(Malformed::parsing(inner.at, reason));
    };
    let clause = match name.as_str() {
        "bool" => boolean(params, depth)?,
        "constant_score" => constant_score(inner, params, depth)?,
        _ => leaf::read(name, inner, params)?,
    };
    if let Some((_, second)) = fields.get(1) {
        let reason = format!("[{name}] malformed query, expected [END_OBJECT] but found [FIELD_NAME]");
        return Err(Malformed::parsing(second.at, reason));
    }
    Ok(clause)
}

fn boolean(params: &[(String, Node)], depth: u32) -> Result<Clause, Malformed> {
    if depth >= DEPTH_MAX {
        let reason = format!(
            "The nested depth of the query exceeds the maximum nested depth for queries set in \
             [indices.query.bool.max_nested_depth]: [{DEPTH_MAX}]"
        );
        return Err(Malformed::illegal(reason));
    }
    let (mut parts, mut boost) = (Bool::default(), 1.0);
    for (name, value) in params {
        // What fails inside of an object parser is told as that field's failure.
        let clauses = || clauses(value, depth + 1).map_err(|_| failed_field(value, "bool", name));
        match name.as_str() {
            "must" => parts.must = clauses()?,
            "filter" => parts.filter = clauses()?,
            "should" => parts.should = clauses()?,
            "must_not" | "mustNot" => parts.must_not = clauses()?,
            "minimum_should_match" => {
                let minimum = MinimumShouldMatch::read(value);
                parts.minimum = Some(minimum.ok_or_else(|| failed_field(value, "bool", name))?);
            }
            "boost" => boost = leaf::boost(value)?,
            "_name" | "adjust_pure_negative" => {}
            _ => return Err(unknown_field(value, "bool", name)),
        }
    }
    Ok(Clause { query: Query::Bool(Box::new(parts)), boost })
}

fn clauses(node: &Node, depth: u32) -> Result<Vec<Clause>, Malformed> {
    match &node.json {
        Json::List(items) => items.iter().map(|item| clause(item, depth)).collect(),
        _ => Ok(vec![clause(node, depth)?]),
    }
}

fn constant_score(node: &Node, params: &[(String, Node)], depth: u32) -> Result<Clause, Malformed> {
    let (mut filter, mut boost) = (None, 1.0);
    for (name, value) in params {
        match (name.as_str(), &value.json) {
            ("filter", Json::Object(_)) => filter = Some(clause(value, depth + 1)?),
            ("boost", _) => boost = leaf::boost(value)?,
            ("_name", _) => {}
            (_, Json::List(_)) => return Err(Malformed::parsing(value.at, "unexpected token [START_ARRAY]")),
            _ => {
                let reason = format!("[constant_score] query does not support [{name}]");
                return Err(Malformed::parsing(value.at, reason));
            }
        }
    }
    let missing = || Malformed::parsing(node.at, "[constant_score] requires a 'filter' element");
    Ok(Clause { query: Query::ConstantScore(Box::new(filter.ok_or_else(missing)?)), boost })
}

/// A field that an object parser of Elasticsearch does not know.
pub(super) fn unknown_field(node: &Node, query: &str, name: &str) -> Malformed {
    Malformed::content(node.at, &format!("[{query}] unknown field [{name}]"))
}

/// A field whose value an object parser of Elasticsearch could not read.
pub(super) fn failed_field(node: &Node, query: &str, name: &str) -> Malformed {
    Malformed::content(node.at, &format!("[{query}] failed to parse field [{name}]"))
}
