//! Schema — decides which fields a document has in the index, and what text of it is searched. It never
//! stores or scores one.

use tantivy::{
    IndexSettings, TantivyDocument,
    schema::{FAST, Field, STORED, STRING, Schema, TEXT, Value},
};

use crate::{
    name::{SeqNo, Term},
    search::engine::Failure,
};

/// The fields of every index: Elasticsearch's metadata fields, and all text of the document in one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    id: Field,
    source: Field,
    pub(super) body: Field,
    seq_no: Field,
    term: Field,
    version: Field,
}

/// A document as an index stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) seq_no: SeqNo,
    pub(super) term: Term,
    pub(super) version: u64,
}

impl Fields {
    /// The schema of every index.
    pub(super) fn schema() -> (Schema, Self) {
        let mut schema = Schema::builder();
        let fields = Self {
            id: schema.add_text_field("_id", STRING | STORED),
            source: schema.add_text_field("_source", STORED),
            body: schema.add_text_field("body", TEXT),
            seq_no: schema.add_u64_field("_seq_no", FAST | STORED),
            term: schema.add_u64_field("_primary_term", FAST | STORED),
            version: schema.add_u64_field("_version", FAST | STORED),
        };
        (schema.build(), fields)
    }

    /// The document to index.
    pub(super) fn document(
        &self,
        id: &str,
        source: &str,
        seq_no: SeqNo,
        term: Term,
        version: u64,
    ) -> TantivyDocument {
        let mut document = TantivyDocument::default();
        document.add_text(self.id, id);
        document.add_text(self.source, source);
        document.add_text(self.body, text_of(source));
        document.add_u64(self.seq_no, seq_no.0 as u64);
        document.add_u64(self.term, term.0);
        document.add_u64(self.version, version);
        document
    }

    /// What a stored document says.
    pub(super) fn stored(&self, document: &TantivyDocument) -> Result<Stored, Failure> {
        let text = |field| document.get_first(field).and_then(|value| value.as_str()).map(str::to_owned);
        let number = |field| document.get_first(field).and_then(|value| value.as_u64());
        let stored = || {
            Some(Stored {
                id: text(self.id)?,
                source: text(self.source)?,
                seq_no: SeqNo(number(self.seq_no)? as i64),
                term: Term(number(self.term)?),
                version: number(self.version)?,
            })
        };
        stored().ok_or_else(|| Failure("a stored document lacks a field".to_owned()))
    }
}

/// Settings of every index: nothing is left to a thread.
pub(super) fn settings() -> IndexSettings {
    IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() }
}

/// All strings of a JSON document, in order of their keys, with a blank between: what a full-text search
/// over all fields sees (as Elasticsearch's `copy_to` of every text field). Empty if it is no JSON.
pub(super) fn text_of(source: &str) -> String {
    let mut text = String::new();
    if let Ok(value) = serde_json::from_str(source) {
        collect_strings(&value, &mut text);
    }
    text
}

fn collect_strings(value: &serde_json::Value, text: &mut String) {
    match value {
        serde_json::Value::String(string) => {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(string);
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_strings(item, text)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| collect_strings(field, text)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_every_string_leaf() {
        let source = r#"{"title":"a b","n":1,"tags":["c",{"deep":"d"}],"none":null}"#;
        assert_eq!(text_of(source), "c d a b");
    }

    #[test]
    fn text_of_what_is_no_json_is_empty() {
        assert_eq!(text_of("{"), "");
    }

    #[test]
    fn document_round_trips() {
        let (_, fields) = Fields::schema();
        let document = fields.document("7", "{}", SeqNo(3), Term(2), 5);
        let stored = fields.stored(&document).unwrap();
        let wanted =
            Stored { id: "7".into(), source: "{}".into(), seq_no: SeqNo(3), term: Term(2), version: 5 };
        assert_eq!(stored, wanted);
    }
}
