//! Sorting — decides in which order hits come, and what they are compared by. It never reads a document.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{
    Malformed,
    json::{Json, Node},
    leaf,
};

/// What hits are ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortBy {
    /// `_score`.
    Score,
    /// `_doc`: as they lie in the index.
    Doc,
    /// A field.
    Field(String),
}

/// `asc` or `desc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the definition")]
pub enum Order {
    Ascending,
    Descending,
}

/// Where documents without a value come.
#[derive(Debug, Clone, PartialEq)]
pub enum Missing {
    /// `_last`, the default.
    Last,
    /// `_first`.
    First,
    /// As if they had this value.
    As(SortValue),
}

/// One key of the order.
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// By what.
    pub by: SortBy,
    /// In which direction.
    pub order: Order,
    /// Where documents without a value come.
    pub missing: Missing,
}

/// What a hit is compared by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SortValue {
    /// The document has none.
    Null,
    /// A whole number.
    Long(i64),
    /// Any other number, a score among them.
    Double(f64),
    /// A keyword.
    Text(String),
}

impl SortValue {
    /// Numbers by size, keywords by their bytes; a number comes before a keyword.
    fn by_size(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Long(a), Self::Long(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Text(_), _) => Ordering::Greater,
            (_, Self::Text(_)) => Ordering::Less,
            (a, b) => a.decimal().total_cmp(&b.decimal()),
        }
    }

    fn decimal(&self) -> f64 {
        match self {
            Self::Long(number) => *number as f64,
            Self::Double(number) => *number,
            Self::Null | Self::Text(_) => 0.0,
        }
    }
}

/// How two hits compare by these keys; equal ones are for the caller to tell apart.
pub fn compare(keys: &[SortKey], left: &[SortValue], right: &[SortValue]) -> Ordering {
    let pairs = keys.iter().zip(left.iter().zip(right));
    pairs
        .map(|(key, (left, right))| key.compare(left, right))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

impl SortKey {
    fn compare(&self, left: &SortValue, right: &SortValue) -> Ordering {
        let nulls_first = self.missing == Missing::First;
        match (left, right) {
            (SortValue::Null, SortValue::Null) => Ordering::Equal,
            (SortValue::Null, _) if nulls_first => Ordering::Less,
            (SortValue::Null, _) => Ordering::Greater,
            (_, SortValue::Null) if nulls_first => Ordering::Greater,
            (_, SortValue::Null) => Ordering::Less,
            _ => match self.order {
                Order::Ascending => left.by_size(right),
                Order::Descending => right.by_size(left),
            },
        }
    }
}

/// Reads `sort`: a name, an object, or a list of them.
pub(super) fn read(node: &Node) -> Result<Vec<SortKey>, Malformed> {
    let mut keys = Vec::new();
    match &node.json {
        Json::List(items) => {
            for item in items {
                read_item(item, &mut keys)?;
            }
        }
        _ => read_item(node, &mut keys)?,
    }
    // By score alone is the order that holds anyway.
    if let [SortKey { by: SortBy::Score, order: Order::Descending, .. }] = keys.as_slice() {
        keys.clear();
    }
    Ok(keys)
}

fn read_item(node: &Node, keys: &mut Vec<SortKey>) -> Result<(), Malformed> {
    match &node.json {
        Json::Text(name) => keys.push(plain(name)),
        Json::Object(fields) => {
            for (name, value) in fields {
                keys.push(read_key(name, value)?);
            }
        }
        _ => {
            let reason =
                "malformed sort format, within the sort array, an object, or an actual string are allowed";
            return Err(Malformed::illegal(reason));
        }
    }
    Ok(())
}

fn plain(name: &str) -> SortKey {
    let (by, order) = match name {
        "_score" => (SortBy::Score, Order::Descending),
        "_doc" => (SortBy::Doc, Order::Ascending),
        _ => (SortBy::Field(name.to_owned()), Order::Ascending),
    };
    SortKey { by, order, missing: Missing::Last }
}

fn read_key(name: &str, node: &Node) -> Result<SortKey, Malformed> {
    let mut key = plain(name);
    let Json::Object(params) = &node.json else {
        key.order = order(node)?;
        return Ok(key);
    };
    for (param, value) in params {
        match (param.as_str(), &value.json) {
            ("order", _) => key.order = order(value)?,
            ("missing", Json::Text(text)) if text == "_last" => key.missing = Missing::Last,
            ("missing", Json::Text(text)) if text == "_first" => key.missing = Missing::First,
            ("missing", _) => key.missing = Missing::As(read_value(value)?),
            // Understood by Elasticsearch; here a field that no document has sorts as missing in any case.
            ("unmapped_type", Json::Text(_)) => {}
            _ => {
                let parser = if key.by == SortBy::Score { "_score" } else { "field_sort" };
                let reason = format!("[{parser}] unknown field [{param}]");
                return Err(Malformed::content(value.at, &reason));
            }
        }
    }
    Ok(key)
}

fn order(node: &Node) -> Result<Order, Malformed> {
    let text = node.scalar_text().unwrap_or_default();
    match text.to_lowercase().as_str() {
        "asc" => Ok(Order::Ascending),
        "desc" => Ok(Order::Descending),
        _ => {
            let name = text.to_uppercase();
            Err(Malformed::illegal(format!(
                "No enum constant org.elasticsearch.search.sort.SortOrder.{name}"
            )))
        }
    }
}

/// Reads `search_after`.
pub(super) fn read_values(node: &Node, items: &[Node]) -> Result<Vec<SortValue>, Malformed> {
    if items.is_empty() {
        return Err(Malformed::illegal("Values must contains at least one value."));
    }
    let values = items.iter().map(read_value).collect::<Result<_, _>>();
    values.map_err(|_| {
        let reason = "Expected [VALUE_STRING] or [VALUE_NUMBER] or [VALUE_BOOLEAN] or [VALUE_NULL] inside search_after.";
        Malformed::parsing(node.at, reason)
    })
}

fn read_value(node: &Node) -> Result<SortValue, Malformed> {
    if node.json == Json::Null {
        return Ok(SortValue::Null);
    }
    Ok(match leaf::value(node)? {
        super::Value::Text(text) => SortValue::Text(text),
        super::Value::Long(number) => SortValue::Long(number),
        super::Value::Double(number) => SortValue::Double(number),
        super::Value::Bool(value) => SortValue::Long(value.into()),
    })
}
