//! Mapping — decides which fields a document has and what of them is indexed. It never writes an index.
//!
//! As Elasticsearch's dynamic mapping: a string is text and, up to 256 characters, a keyword
//! (`field.keyword`), unless it is a date; dates, numbers and booleans are values; the fields of an object are named with dots; a list is
//! its items. Unlike there, the type is that of each value and not of the field: a document whose value has
//! another type than an earlier one's is taken, and both are found as what they are. So what a copy does with
//! a document never depends on which documents it has seen before.

use std::collections::BTreeMap;

use tantivy::{DateTime, schema::OwnedValue};

use crate::search::query::{analysis, dates};

/// Longer strings are no keywords (`ignore_above` of a dynamically mapped string).
const KEYWORD_CHARS_MAX: usize = 256;

/// What an index takes of a document.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    /// Strings by field, to be analysed.
    pub(super) text: BTreeMap<String, OwnedValue>,
    /// Keywords, dates, numbers and booleans by field.
    pub(super) values: BTreeMap<String, OwnedValue>,
    /// How many words each text field has.
    pub(super) lengths: BTreeMap<String, u32>,
}

impl Mapped {
    /// The fields of a document; none if it is no JSON object.
    pub(super) fn of(source: &str) -> Self {
        let mut mapped = Self::default();
        if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(source) {
            mapped.object("", object);
        }
        mapped
    }

    fn object(&mut self, prefix: &str, object: serde_json::Map<String, serde_json::Value>) {
        for (name, value) in object {
            let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            self.value(&path, value);
        }
    }

    fn value(&mut self, path: &str, value: serde_json::Value) {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::Bool(value) => push(&mut self.values, path, OwnedValue::Bool(value)),
            serde_json::Value::Number(number) => push(&mut self.values, path, of_number(&number)),
            serde_json::Value::String(text) => self.text(path, text),
            serde_json::Value::Array(items) => items.into_iter().for_each(|item| self.value(path, item)),
            serde_json::Value::Object(object) => self.object(path, object),
        }
    }

    fn text(&mut self, path: &str, text: String) {
        // `date_detection`.
        if let Some(millis) = dates::millis(&text) {
            let date = OwnedValue::Date(DateTime::from_timestamp_millis(millis));
            return push(&mut self.values, path, date);
        }
        let words = analysis::spans(&text).len() as u32;
        if words > 0 {
            *self.lengths.entry(path.to_owned()).or_default() += words;
            push(&mut self.text, path, OwnedValue::Str(text.clone()));
        }
        if text.chars().count() <= KEYWORD_CHARS_MAX {
            push(&mut self.values, path, OwnedValue::Str(text));
        }
    }
}

fn push(fields: &mut BTreeMap<String, OwnedValue>, path: &str, value: OwnedValue) {
    match fields.get_mut(path) {
        Some(OwnedValue::Array(values)) => values.push(value),
        Some(first) => *first = OwnedValue::Array(vec![first.clone(), value]),
        None => drop(fields.insert(path.to_owned(), value)),
    }
}

fn of_number(number: &serde_json::Number) -> OwnedValue {
    match number.as_i64() {
        Some(number) => OwnedValue::I64(number),
        None => OwnedValue::F64(number.as_f64().unwrap_or(f64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_with_dots_and_lists_are_their_items() {
        let mapped =
            Mapped::of(r#"{"title":"A b","n":1,"tags":["c",{"deep":"d e"}],"x":null,"ok":true,"d":0.5}"#);
        let names =
            |fields: &BTreeMap<String, OwnedValue>| fields.keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(names(&mapped.text), "tags tags.deep title");
        assert_eq!(names(&mapped.values), "d n ok tags tags.deep title");
        assert_eq!(mapped.lengths, [("tags".into(), 1), ("tags.deep".into(), 2), ("title".into(), 2)].into());
    }

    #[test]
    fn date_is_neither_text_nor_keyword() {
        let mapped = Mapped::of(r#"{"at":"2024-01-05T06:00:00Z","on":"2024"}"#);
        assert!(matches!(mapped.values["at"], OwnedValue::Date(_)) && !mapped.text.contains_key("at"));
        assert!(matches!(mapped.values["on"], OwnedValue::Str(_)) && mapped.text.contains_key("on"));
    }

    #[test]
    fn long_string_is_no_keyword() {
        let mapped = Mapped::of(&format!(r#"{{"a":"{}"}}"#, "x ".repeat(129)));
        assert_eq!((mapped.text.len(), mapped.values.len()), (1, 0));
        assert!(Mapped::of("[1]").values.is_empty() && Mapped::of("{").values.is_empty());
    }
}
