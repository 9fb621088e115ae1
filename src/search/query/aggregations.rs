//! Aggregations — decides what is to be computed over all that a search finds, or how the request is
//! malformed. It never computes.

use std::collections::BTreeMap;

use super::{
    Malformed,
    json::{Json, Node},
};

/// Aggregations by their names.
pub type Aggregations = BTreeMap<String, Aggregation>;

/// One aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregation {
    /// Its kind, such as `terms`.
    pub kind: String,
    /// The field it is over.
    pub field: String,
    /// Its parameters, the field aside, as given.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Aggregations over each bucket.
    pub sub: Aggregations,
}

/// Kinds, with the parameters that each understands beside `field`, and whether it makes buckets.
const KINDS: &[(&str, &[&str], bool)] = &[
    ("avg", &["missing"], false),
    ("cardinality", &["missing"], false),
    (
        "date_histogram",
        &["fixed_interval", "offset", "min_doc_count", "hard_bounds", "extended_bounds", "keyed"],
        true,
    ),
    ("extended_stats", &["missing", "sigma"], false),
    ("histogram", &["interval", "offset", "min_doc_count", "hard_bounds", "extended_bounds", "keyed"], true),
    ("max", &["missing"], false),
    ("min", &["missing"], false),
    ("percentiles", &["missing", "percents", "keyed"], false),
    ("range", &["ranges", "keyed"], true),
    ("stats", &["missing"], false),
    ("sum", &["missing"], false),
    ("terms", &["size", "shard_size", "order", "min_doc_count", "missing"], true),
    ("value_count", &["missing"], false),
];

/// Reads `aggs`.
pub(super) fn read(node: &Node) -> Result<Aggregations, Malformed> {
    let Json::Object(fields) = &node.json else {
        let reason = format!("Expected [START_OBJECT] under [aggs], but got a [{}]", node.token());
        return Err(Malformed::parsing(node.at, reason));
    };
    let read = |(name, node): &(String, Node)| Ok((name.clone(), read_one(name, node)?));
    fields.iter().map(read).collect()
}

fn read_one(name: &str, node: &Node) -> Result<Aggregation, Malformed> {
    if name.is_empty() || name.contains(['[', ']', '>']) {
        let reason = format!(
            "Invalid aggregation name [{name}]. Aggregation names can contain any character except '[', ']', and '>'"
        );
        return Err(Malformed::parsing(node.at, reason));
    }
    let Json::Object(fields) = &node.json else {
        let reason = format!(
            "Aggregation definition for [{name} starts with a [{}], expected a [START_OBJECT].",
            node.token()
        );
        return Err(Malformed::parsing(node.at, reason));
    };
    let (mut found, mut sub): (Option<(String, bool, Params)>, _) = (None, Aggregations::new());
    for (key, value) in fields {
        match key.as_str() {
            "aggs" | "aggregations" => sub = read(value)?,
            "meta" => {}
            kind if found.is_some() => {
                let known = found.map_or_else(String::new, |(known, ..)| known);
                let reason =
                    format!("Found two aggregation type definitions in [{name}]: [{known}] and [{kind}]");
                return Err(Malformed::parsing(value.at, reason));
            }
            kind => found = Some((kind.to_owned(), kind_of(kind, value)?, read_params(kind, value)?)),
        }
    }
    let Some((kind, makes_buckets, (field, params))) = found else {
        return Err(Malformed::parsing(node.at, format!("Missing definition for aggregation [{name}]")));
    };
    if !sub.is_empty() && !makes_buckets {
        let reason = format!("Aggregator [{name}] of type [{kind}] cannot accept sub-aggregations");
        return Err(Malformed { kind: "aggregation_initialization_exception", ..Malformed::illegal(reason) });
    }
    Ok(Aggregation { kind, field, params, sub })
}

/// Whether the kind makes buckets, if there is such a kind.
fn kind_of(kind: &str, node: &Node) -> Result<bool, Malformed> {
    match KINDS.iter().find(|(known, ..)| *known == kind) {
        Some((.., makes_buckets)) => Ok(*makes_buckets),
        None => {
            let alike = KINDS
                .iter()
                .map(|(known, ..)| *known)
                .find(|known| strsim::normalized_levenshtein(known, kind) > 0.5);
            let meant = alike.map_or_else(String::new, |known| format!(" did you mean [{known}]?"));
            Err(Malformed::parsing(node.at, format!("Unknown aggregation type [{kind}]{meant}")))
        }
    }
}

type Params = (String, serde_json::Map<String, serde_json::Value>);

fn read_params(kind: &str, node: &Node) -> Result<Params, Malformed> {
    let Json::Object(fields) = &node.json else {
        let reason = format!("[{kind}] aggregation definition must be an object, found a [{}]", node.token());
        return Err(Malformed::parsing(node.at, reason));
    };
    let understood =
        KINDS.iter().find(|(known, ..)| *known == kind).map_or(&[][..], |(_, params, _)| *params);
    let (mut field, mut params) = (None, serde_json::Map::new());
    for (name, value) in fields {
        match (name.as_str(), &value.json) {
            ("field", Json::Text(name)) => field = Some(name.clone()),
            (name, _) if understood.contains(&name) => {
                params.insert(name.to_owned(), value.plain());
            }
            (name, _) => {
                return Err(Malformed::content(value.at, &format!("[{kind}] unknown field [{name}]")));
            }
        }
    }
    let missing = || Malformed::illegal("Required one of fields [field, script], but none were specified. ");
    let field = field.ok_or_else(missing)?;
    check(kind, &params)?;
    Ok((field, params))
}

/// A whole number with a unit. A calendar's months and years are no fixed spans, and not modeled.
fn is_fixed_interval(interval: &serde_json::Value) -> bool {
    let Some(text) = interval.as_str() else { return false };
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let count: u64 = text[..text.len() - unit.len()].parse().unwrap_or(0);
    count > 0 && matches!(unit, "ms" | "s" | "m" | "h" | "d")
}

/// What Elasticsearch refuses of the parameters, before any shard sees them.
fn check(kind: &str, params: &serde_json::Map<String, serde_json::Value>) -> Result<(), Malformed> {
    let number = |name: &str| params.get(name).and_then(serde_json::Value::as_f64);
    if kind == "histogram" && !number("interval").is_some_and(|interval| interval > 0.0) {
        return Err(Malformed::illegal("[interval] must be >0 for histogram aggregation"));
    }
    if kind == "date_histogram" && !params.get("fixed_interval").is_some_and(is_fixed_interval) {
        let reason =
            "Required one of fields [interval, calendar_interval, fixed_interval], but none were specified. ";
        return Err(Malformed::illegal(reason));
    }
    if kind == "terms" && params.contains_key("size") && !number("size").is_some_and(|size| size >= 1.0) {
        let size = &params["size"];
        return Err(Malformed::illegal(format!("[size] must be greater than 0. Found [{size}] in [terms]")));
    }
    if kind == "range" && !params.get("ranges").is_some_and(serde_json::Value::is_array) {
        return Err(Malformed::illegal("No [ranges] specified for the [range] aggregation"));
    }
    Ok(())
}
