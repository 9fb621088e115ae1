//! Source filters — decides which part of a document a hit shows (`_source`). It never changes a document.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Malformed,
    json::{Json, Node},
};

/// What of a document a hit shows; the default shows all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceFilter {
    /// Nothing.
    is_off: bool,
    /// Only these paths, if there are any; `*` stands for any characters.
    includes: Vec<String>,
    /// None of these.
    excludes: Vec<String>,
}

impl SourceFilter {
    /// Nothing is shown (`_source=false`).
    pub fn off() -> Self {
        Self { is_off: true, ..Self::default() }
    }

    /// Paths that are shown, all if there are none, but for some (`_source_includes`, `_source_excludes`).
    pub fn paths(includes: Vec<String>, excludes: Vec<String>) -> Self {
        Self { is_off: false, includes, excludes }
    }

    /// Whether hits show nothing of the document.
    pub fn is_off(&self) -> bool {
        self.is_off
    }

    /// Whether hits show the whole document.
    pub fn is_whole(&self) -> bool {
        *self == Self::default()
    }

    /// What is shown of a document; none if nothing is.
    pub fn shown(&self, source: Arc<str>) -> Option<Arc<str>> {
        match () {
            () if self.is_off() => None,
            () if self.is_whole() => Some(source),
            () => Some(self.apply(&source).into()),
        }
    }

    /// The part of `source` that is shown; a source that is no object is shown as it is.
    pub fn apply(&self, source: &str) -> String {
        match serde_json::from_str::<serde_json::Value>(source) {
            Ok(serde_json::Value::Object(object)) => {
                serde_json::Value::Object(self.object(object, "")).to_string()
            }
            _ => source.to_owned(),
        }
    }

    fn object(
        &self,
        object: serde_json::Map<String, serde_json::Value>,
        prefix: &str,
    ) -> serde_json::Map<String, serde_json::Value> {
        let shown = object.into_iter().filter_map(|(name, value)| {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            self.value(value, &path).map(|value| (name, value))
        });
        shown.collect()
    }

    fn value(&self, value: serde_json::Value, path: &str) -> Option<serde_json::Value> {
        if self.excludes.iter().any(|pattern| covers(pattern, path)) {
            return None;
        }
        let is_included =
            self.includes.is_empty() || self.includes.iter().any(|pattern| covers(pattern, path));
        match value {
            serde_json::Value::Object(object) => {
                let was_empty = object.is_empty();
                let shown = self.object(object, path);
                (!shown.is_empty() || (was_empty && is_included)).then_some(shown.into())
            }
            serde_json::Value::Array(items)
                if items.iter().any(|item| item.is_object() || item.is_array()) =>
            {
                let shown: Vec<_> = items.into_iter().filter_map(|item| self.value(item, path)).collect();
                (!shown.is_empty()).then_some(shown.into())
            }
            value => is_included.then_some(value),
        }
    }

    /// Reads `_source`: a flag, a pattern, a list of them, or `includes` and `excludes`.
    pub(super) fn read(node: &Node) -> Result<Self, Malformed> {
        match &node.json {
            Json::Bool(shown) => Ok(Self { is_off: !shown, ..Self::default() }),
            Json::Text(pattern) => Ok(Self { includes: vec![pattern.clone()], ..Self::default() }),
            Json::List(_) => Ok(Self { includes: patterns(node)?, ..Self::default() }),
            Json::Object(fields) => {
                let mut filter = Self::default();
                for (name, value) in fields {
                    match name.as_str() {
                        "includes" | "include" => filter.includes = patterns(value)?,
                        "excludes" | "exclude" => filter.excludes = patterns(value)?,
                        _ => {
                            let reason = format!("Unknown key for a {} in [{name}].", value.token());
                            return Err(Malformed::parsing(value.at, reason));
                        }
                    }
                }
                Ok(filter)
            }
            _ => {
                let reason = format!(
                    "Expected one of [VALUE_BOOLEAN, VALUE_STRING, START_ARRAY, START_OBJECT] but found [{}]",
                    node.token()
                );
                Err(Malformed::parsing(node.at, reason))
            }
        }
    }
}

fn patterns(node: &Node) -> Result<Vec<String>, Malformed> {
    let one = |node: &Node| match &node.json {
        Json::Text(pattern) => Ok(pattern.clone()),
        _ => {
            let reason = format!("Unknown key for a {} in [_source].", node.token());
            Err(Malformed::parsing(node.at, reason))
        }
    };
    match &node.json {
        Json::List(items) => items.iter().map(one).collect(),
        _ => Ok(vec![one(node)?]),
    }
}

/// Whether a pattern names this path, or something above it.
fn covers(pattern: &str, path: &str) -> bool {
    let ends = path.match_indices('.').map(|(end, _)| end).chain([path.len()]);
    ends.into_iter().any(|end| is_match(pattern, &path[..end]))
}

fn is_match(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            let Some(rest) = text.strip_prefix(head) else { return false };
            let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            starts.into_iter().any(|at| is_match(tail, &rest[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::query::json;

    fn shown(filter: &str, source: &str) -> String {
        SourceFilter::read(&json::read(filter).unwrap()).unwrap().apply(source)
    }

    #[test]
    fn filters_show_what_they_name() {
        let source = r#"{"a":1,"b":{"c":2,"d":[{"e":3,"f":4}]}}"#;
        let cases = [
            (r#""a""#, r#"{"a":1}"#),
            (r#"["b.d.e","a"]"#, r#"{"a":1,"b":{"d":[{"e":3}]}}"#),
            (r#""b.*""#, r#"{"b":{"c":2,"d":[{"e":3,"f":4}]}}"#),
            (r#"{"excludes":["b"]}"#, r#"{"a":1}"#),
            (r#"{"includes":"b","excludes":["*.d"]}"#, r#"{"b":{"c":2}}"#),
            (r#""none""#, "{}"),
        ];
        for (filter, wanted) in cases {
            assert_eq!(shown(filter, source), wanted, "{filter}");
        }
        assert!(SourceFilter::read(&json::read("false").unwrap()).unwrap().is_off());
    }
}
