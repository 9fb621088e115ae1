//! Leaves — decides what the queries mean that hold no other queries. It never combines any.

use super::{
    Bound, Clause, Malformed, MinimumShouldMatch, Operator, Query, Value,
    json::{Json, Node},
    parse::{failed_field, unknown_field},
};

/// Names of queries, for what was perhaps meant.
const NAMES: &[&str] = &[
    "bool",
    "constant_score",
    "exists",
    "ids",
    "match",
    "match_all",
    "match_none",
    "match_phrase",
    "multi_match",
    "prefix",
    "range",
    "term",
    "terms",
];

/// How alike a name must be to be suggested (`LevenshteinDistance` above 0.5, as Elasticsearch's
/// `SuggestingErrorOnUnknown`).
const LIKENESS_MIN: f64 = 0.5;

type Params = [(String, Node)];

/// Reads the query `name` with these parameters.
pub(super) fn read(name: &str, node: &Node, params: &Params) -> Result<Clause, Malformed> {
    match name {
        "match_all" => all_or_none(name, params, Query::MatchAll),
        "match_none" => all_or_none(name, params, Query::MatchNone),
        "match" => read_match(node, params),
        "multi_match" => multi_match(node, params),
        "match_phrase" => match_phrase(node, params),
        "term" => term(node, params),
        "terms" => terms(node, params),
        "range" => range(params),
        "prefix" => prefix(node, params),
        "exists" => exists(node, params),
        "ids" => ids(node, params),
        _ => Err(Malformed::parsing(node.at, format!("unknown query [{name}]{}", meant(name)))),
    }
}

fn meant(name: &str) -> String {
    let mut alike: Vec<(f64, &str)> = NAMES
        .iter()
        .map(|known| (strsim::normalized_levenshtein(known, name), *known))
        .filter(|(likeness, _)| *likeness > LIKENESS_MIN)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    match alike.as_slice() {
        [] => String::new(),
        [(_, one)] => format!(" did you mean [{one}]?"),
        several => {
            let names: Vec<_> = several.iter().map(|(_, name)| *name).collect();
            format!(" did you mean any of [{}]?", names.join(", "))
        }
    }
}

fn unsupported(node: &Node, query: &str, name: &str) -> Malformed {
    Malformed::parsing(node.at, format!("[{query}] query does not support [{name}]"))
}

/// The one field of a query such as `match`, with what is said of it.
fn one_field<'a>(query: &str, node: &Node, params: &'a Params) -> Result<(&'a str, &'a Node), Malformed> {
    match params {
        [] if query == "match" || query == "match_phrase" => {
            Err(Malformed::illegal(format!("[{query}] requires fieldName")))
        }
        [] => Err(Malformed::illegal("field name is null or empty")),
        [(field, value)] => Ok((field, value)),
        [(first, _), (second, _), ..] => {
            let reason =
                format!("[{query}] query doesn't support multiple fields, found [{first}] and [{second}]");
            Err(Malformed::parsing(node.at, reason))
        }
    }
}

fn all_or_none(name: &str, params: &Params, query: Query) -> Result<Clause, Malformed> {
    let mut clause = Clause::plain(query);
    for (param, value) in params {
        match param.as_str() {
            "boost" => clause.boost = boost(value)?,
            "_name" => {}
            _ => return Err(unknown_field(value, name, param)),
        }
    }
    Ok(clause)
}

fn read_match(node: &Node, params: &Params) -> Result<Clause, Malformed> {
    let (field, value) = one_field("match", node, params)?;
    let mut options = MatchOptions::default();
    match &value.json {
        Json::Object(inner) => {
            for (name, value) in inner {
                options.take("match", name, value)?;
            }
        }
        _ => options.text = Some(text_of("match", field, value)?),
    }
    options.clause(value, field)
}

/// The parameters that `match` and `multi_match` share.
#[derive(Debug, Clone, Default)]
struct MatchOptions {
    text: Option<Value>,
    is_and: bool,
    minimum: Option<MinimumShouldMatch>,
    boost: Option<f32>,
}

impl MatchOptions {
    fn take(&mut self, query: &str, name: &str, value: &Node) -> Result<(), Malformed> {
        match (name, &value.json) {
            (_, Json::List(_) | Json::Object(_)) => {
                let reason = format!("[{query}] unknown token [{}] after [{name}]", value.token());
                return Err(Malformed::parsing(value.at, reason));
            }
            ("query", _) => self.text = Some(text_of(query, name, value)?),
            ("operator", _) => self.is_and = operator(value)? == Operator::And,
            ("minimum_should_match", _) => {
                let minimum = MinimumShouldMatch::read(value);
                self.minimum =
                    Some(minimum.ok_or_else(|| not_a_number(&value.scalar_text().unwrap_or_default()))?);
            }
            ("boost", _) => self.boost = Some(boost(value)?),
            ("_name", _) => {}
            // Understood by Elasticsearch, and without effect on what is modeled: one analyzer for all fields.
            ("analyzer", Json::Text(name)) if name == "standard" => {}
            ("lenient" | "auto_generate_synonyms_phrase_query", Json::Bool(_)) => {}
            _ => return Err(unsupported(value, query, name)),
        }
        Ok(())
    }

    fn clause(self, node: &Node, field: &str) -> Result<Clause, Malformed> {
        let missing = || Malformed::parsing(node.at, "No text specified for text query");
        let text = self.text.ok_or_else(missing)?;
        let operator = if self.is_and { Operator::And } else { Operator::Or };
        let query = Query::Match { field: field.to_owned(), text, operator, minimum: self.minimum };
        Ok(Clause { query, boost: self.boost.unwrap_or(1.0) })
    }
}

fn text_of(query: &str, field: &str, node: &Node) -> Result<Value, Malformed> {
    match node.json {
        Json::List(_) | Json::Object(_) => {
            let reason = format!("[{query}] unknown token [{}] after [{field}]", node.token());
            Err(Malformed::parsing(node.at, reason))
        }
        Json::Null => Err(Malformed::illegal(format!("[{query}] requires query value"))),
        _ => value(node),
    }
}

fn operator(node: &Node) -> Result<Operator, Malformed> {
    let text = node.scalar_text().unwrap_or_default();
    match text.to_lowercase().as_str() {
        "and" => Ok(Operator::And),
        "or" => Ok(Operator::Or),
        _ => {
            let name = text.to_uppercase();
            Err(Malformed::illegal(format!("No enum constant org.elasticsearch.index.query.Operator.{name}")))
        }
    }
}

fn multi_match(node: &Node, params: &Params) -> Result<Clause, Malformed> {
    let (mut options, mut fields, mut tie_breaker) = (MatchOptions::default(), Vec::new(), 0.0);
    for (name, value) in params {
        match (name.as_str(), &value.json) {
            ("fields", Json::Text(_)) => fields.push(boosted_field(value)?),
            ("fields", Json::List(items)) => {
                fields = items.iter().map(boosted_field).collect::<Result<_, _>>()?;
            }
            ("type", Json::Text(kind)) if kind == "best_fields" => tie_breaker = 0.0,
            ("type", Json::Text(kind)) if kind == "most_fields" => tie_breaker = 1.0,
            ("type", _) => {
                let kind = value.scalar_text().unwrap_or_default();
                let reason = format!("failed to parse [multi_match] query type [{kind}]. unknown type.");
                return Err(Malformed { kind: "parse_exception", ..Malformed::illegal(reason) });
            }
            ("tie_breaker", _) => tie_breaker = decimal(value)?,
            _ => options.take("multi_match", name, value)?,
        }
    }
    let boost = options.boost.take().unwrap_or(1.0);
    if fields.is_empty() {
        return Err(Malformed::illegal("[multi_match] requires field names"));
    }
    let matches = fields.into_iter().map(|(field, boost)| {
        let clause = options.clone().clause(node, &field)?;
        Ok(Clause { boost, ..clause })
    });
    let query = Query::MultiMatch { matches: matches.collect::<Result<_, Malformed>>()?, tie_breaker };
    Ok(Clause { query, boost })
}

/// `field` or `field^boost`.
fn boosted_field(node: &Node) -> Result<(String, f32), Malformed> {
    let Json::Text(text) = &node.json else {
        return Err(Malformed::parsing(node.at, "[multi_match] query does not support [fields]"));
    };
    match text.split_once('^') {
        None => Ok((text.clone(), 1.0)),
        Some((field, boost)) => Ok((field.to_owned(), boost.parse().map_err(|_| not_a_number(boost))?)),
    }
}

fn match_phrase(node: &Node, params: &Params) -> Result<Clause, Malformed> {
    let (field, value) = one_field("match_phrase", node, params)?;
    let (mut text, mut slop, mut factor) = (None, 0, 1.0);
    match &value.json {
        Json::Object(inner) => {
            for (name, value) in inner {
                match (name.as_str(), &value.json) {
                    ("query", _) => text = Some(text_of("match_phrase", name, value)?),
                    ("slop", _) => slop = integer(value)?,
                    ("boost", _) => factor = boost(value)?,
                    ("_name", _) => {}
                    _ => return Err(unsupported(value, "match_phrase", name)),
                }
            }
        }
        _ => text = Some(text_of("match_phrase", field, value)?),
    }
    let text = text.ok_or_else(|| Malformed::illegal("[match_phrase] requires query value"))?.text();
    let slop = u32::try_from(slop).map_err(|_| Malformed::illegal("No negative slop allowed."))?;
    Ok(Clause { query: Query::MatchPhrase { field: field.to_owned(), text, slop }, boost: factor })
}

/// A query of one field and one value, given as such or as `value` (or `also`) of an object.
fn field_value(
    query: &str,
    also: &str,
    node: &Node,
    params: &Params,
) -> Result<(String, Value, f32), Malformed> {
    let (field, given) = one_field(query, node, params)?;
    let (mut found, mut factor) = (None, 1.0);
    match &given.json {
        Json::Object(inner) => {
            for (name, inner) in inner {
                match name.as_str() {
                    "value" => found = Some(inner),
                    name if name == also => found = Some(inner),
                    "boost" => factor = boost(inner)?,
                    "_name" => {}
                    "case_insensitive" if inner.json == Json::Bool(false) => {}
                    _ => return Err(unsupported(inner, query, name)),
                }
            }
        }
        Json::List(_) => {
            let reason = format!("[{query}] query does not support array of values");
            return Err(Malformed::parsing(given.at, reason));
        }
        _ => found = Some(given),
    }
    let found = found.filter(|found| found.json != Json::Null);
    let found = found.ok_or_else(|| Malformed::illegal("value cannot be null"))?;
    if matches!(found.json, Json::List(_) | Json::Object(_)) {
        let reason = format!("[{query}] query does not support array of values");
        return Err(Malformed::parsing(found.at, reason));
    }
    Ok((field.to_owned(), value(found)?, factor))
}

fn term(node: &Node, params: &Params) -> Result<Clause, Malformed> {
    let (field, value, boost) = field_value("term", "term", node, params)?;
    Ok(Clause { query: Query::Term { field, value }, boost })
}

fn prefix(node: &Node, params: &Params) -> Result<Clause, Malformed> {
    let (field, value, boost) = field_value("prefix", "prefix", node, params)?;
    Ok(Clause { query: Query::Prefix { field, prefix: value.text() }, boost })
}

fn terms(node: &Node, params: &Params) -> Result<Clause, Malformed> {
    let (mut found, mut factor) = (None, 1.0);
    for (name, inner) in params {
        match (name.as_str(), &inner.json) {
            ("boost", _) => factor = boost(inner)?,
            ("_name", _) => {}
            (field, Json::List(items)) if found.is_none() => {
                let values = items.iter().map(value).collect::<Result<_, _>>()?;
                found = Some(Query::Terms { field: field.to_owned(), values });
            }
            (_, Json::List(_)) => {
                return Err(Malformed::parsing(inner.at, "[terms] query does not support multiple fields"));
            }
            _ => return Err(unsupported(inner, "terms", name)),
        }
    }
    let reason =
        "[terms] query requires a field name, followed by array of terms or a document lookup specification";
    let query = found.ok_or_else(|| Malformed::parsing(node.at, reason))?;
    Ok(Clause { query, boost: factor })
}

fn range(params: &Params) -> Result<Clause, Malformed> {
    let (field, given) = match params {
        [] => return Err(Malformed::illegal("field name is null or empty")),
        [(field, given)] => (field, given),
        [(first, given), (second, _), ..] => {
            let reason =
                format!("[range] query doesn't support multiple fields, found [{first}] and [{second}]");
            return Err(Malformed::parsing(given.at, reason));
        }
    };
    let Json::Object(inner) = &given.json else { return Err(unsupported(given, "range", field)) };
    let (mut from, mut to, mut factor) = (None, None, 1.0);
    for (name, inner) in inner {
        match name.as_str() {
            "gte" => from = bound(inner, true)?,
            "gt" => from = bound(inner, false)?,
            "lte" => to = bound(inner, true)?,
            "lt" => to = bound(inner, false)?,
            "boost" => factor = boost(inner)?,
            "_name" => {}
            _ => return Err(unsupported(inner, "range", name)),
        }
    }
    Ok(Clause { query: Query::Range { field: field.clone(), from, to }, boost: factor })
}

fn bound(node: &Node, inclusive: bool) -> Result<Option<Bound>, Malformed> {
    match node.json {
        Json::Null => Ok(None),
        _ => Ok(Some(Bound { value: value(node)?, inclusive })),
    }
}

fn exists(node: &Node, params: &Params) -> Result<Clause, Malformed> {
    let (mut found, mut factor) = (None, 1.0);
    for (name, value) in params {
        match (name.as_str(), value.scalar_text()) {
            ("field", Some(field)) => found = Some(field),
            ("boost", _) => factor = boost(value)?,
            ("_name", _) => {}
            _ => return Err(unsupported(value, "exists", name)),
        }
    }
    let missing = || Malformed::parsing(node.at, "[exists] must be provided with a [field]");
    let field = found.ok_or_else(missing)?;
    if field.is_empty() {
        return Err(Malformed::illegal("field name is null or empty"));
    }
    Ok(Clause { query: Query::Exists { field }, boost: factor })
}

fn ids(node: &Node, params: &Params) -> Result<Clause, Malformed> {
    let (mut found, mut factor) = (None, 1.0);
    for (name, value) in params {
        match (name.as_str(), &value.json) {
            ("values", Json::List(items)) => {
                let ids = items.iter().map(Node::scalar_text).collect::<Option<Vec<_>>>();
                found = Some(ids.ok_or_else(|| failed_field(value, "ids", name))?);
            }
            ("values", Json::Text(id)) => found = Some(vec![id.clone()]),
            ("values", _) => return Err(failed_field(value, "ids", name)),
            ("boost", _) => factor = boost(value)?,
            ("_name", _) => {}
            _ => return Err(unknown_field(value, "ids", name)),
        }
    }
    let missing = || Malformed::content(node.at, "Required [values]");
    Ok(Clause { query: Query::Ids { values: found.ok_or_else(missing)? }, boost: factor })
}

/// A value to compare with.
pub(super) fn value(node: &Node) -> Result<Value, Malformed> {
    match &node.json {
        Json::Text(text) => Ok(Value::Text(text.clone())),
        Json::Long(number) => Ok(Value::Long(*number)),
        Json::Double(number) => Ok(Value::Double(*number)),
        Json::Bool(value) => Ok(Value::Bool(*value)),
        Json::Null | Json::List(_) | Json::Object(_) => {
            Err(Malformed::illegal("No value specified for terms query"))
        }
    }
}

/// What Java says of a text that is no number.
pub(super) fn not_a_number(text: &str) -> Malformed {
    Malformed { kind: "number_format_exception", reason: format!("For input string: \"{text}\""), at: None }
}

pub(super) fn integer(node: &Node) -> Result<i64, Malformed> {
    let text = node.scalar_text().unwrap_or_default();
    match &node.json {
        Json::Long(number) if i32::try_from(*number).is_ok() => Ok(*number),
        // As Jackson coerces: towards zero.
        Json::Double(number) if number.abs() < f64::from(i32::MAX) => Ok(*number as i64),
        Json::Text(text) => text.parse::<i32>().map(i64::from).map_err(|_| not_a_number(text)),
        _ => Err(not_a_number(&text)),
    }
}

pub(super) fn decimal(node: &Node) -> Result<f32, Malformed> {
    let text = node.scalar_text().unwrap_or_default();
    let number: Option<f32> = match &node.json {
        Json::Long(number) => Some(*number as f32),
        Json::Double(number) => Some(*number as f32),
        Json::Text(text) => text.parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| not_a_number(&text))
}

pub(super) fn boolean(node: &Node) -> Result<bool, Malformed> {
    match node.scalar_text().as_deref() {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        text => {
            let text = text.unwrap_or_default();
            let reason = format!("Failed to parse value [{text}] as only [true] or [false] are allowed.");
            Err(Malformed::illegal(reason))
        }
    }
}

pub(super) fn boost(node: &Node) -> Result<f32, Malformed> {
    let boost = decimal(node)?;
    if boost < 0.0 {
        let reason =
            format!("negative [boost] are not allowed in [{boost}], use a value between 0 and 1 to deboost");
        return Err(Malformed::illegal(reason));
    }
    Ok(boost)
}
