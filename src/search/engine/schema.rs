//! Schema — decides which fields every index has, and what of a document is stored in them. It never scores.

use std::sync::LazyLock;

use tantivy::{
    Index, IndexSettings, TantivyDocument,
    schema::{
        Field, IndexRecordOption, JsonObjectOptions, STORED, Schema, TextFieldIndexing, TextOptions, Value,
    },
    tokenizer::{Token, TokenStream, Tokenizer},
};

use super::{Failure, directory::Directory, mapping::Mapped};
use crate::{
    name::{SeqNo, Term},
    search::query::analysis,
};

/// How the standard analyzer is called.
const STANDARD: &str = "standard";
/// The field that holds keywords, numbers and booleans; their own fields lie below it.
pub(super) const VALUES: &str = "value";

/// The schema of every index, made once: an empty index costs no more than its name.
static SHARED: LazyLock<(Schema, Fields)> = LazyLock::new(Fields::schema);

/// The fields of every index: Elasticsearch's metadata fields, the text of the document, and its values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    id: Field,
    source: Field,
    routing: Field,
    pub(super) text: Field,
    values: Field,
    seq_no: Field,
    term: Field,
    version: Field,
}

/// A document as an index stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) source: String,
    /// What it was routed by, if not its id.
    pub(super) routing: Option<String>,
    pub(super) seq_no: SeqNo,
    pub(super) term: Term,
    pub(super) version: u64,
}

impl Fields {
    /// Those of every index.
    pub(super) fn shared() -> Self {
        SHARED.1
    }

    fn schema() -> (Schema, Self) {
        let mut schema = Schema::builder();
        let analysed = TextFieldIndexing::default()
            .set_tokenizer(STANDARD)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions)
            .set_fieldnorms(false);
        let text = JsonObjectOptions::default().set_indexing_options(analysed).set_expand_dots_enabled();
        let values = JsonObjectOptions::default().set_fast("raw").set_expand_dots_enabled();
        let fields = Self {
            id: schema.add_text_field("_id", TextOptions::from(STORED)),
            source: schema.add_text_field("_source", TextOptions::from(STORED)),
            routing: schema.add_text_field("_routing", TextOptions::from(STORED)),
            text: schema.add_json_field("text", text),
            values: schema.add_json_field(VALUES, values),
            seq_no: schema.add_u64_field("_seq_no", STORED),
            term: schema.add_u64_field("_primary_term", STORED),
            version: schema.add_u64_field("_version", STORED),
        };
        (schema.build(), fields)
    }

    /// The document to index.
    pub(super) fn document(
        &self,
        (id, source, routing): (&str, &str, Option<&str>),
        (seq_no, term, version): (SeqNo, Term, u64),
        mapped: &mut Mapped,
    ) -> TantivyDocument {
        let mut document = TantivyDocument::default();
        document.add_text(self.id, id);
        document.add_text(self.source, source);
        routing.into_iter().for_each(|routing| document.add_text(self.routing, routing));
        document.add_object(self.text, std::mem::take(&mut mapped.text));
        document.add_object(self.values, std::mem::take(&mut mapped.values));
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
                routing: text(self.routing),
                seq_no: SeqNo(number(self.seq_no)? as i64),
                term: Term(number(self.term)?),
                version: number(self.version)?,
            })
        };
        stored().ok_or_else(|| Failure("a stored document lacks a field".to_owned()))
    }
}

/// The schema of every index.
pub(super) fn schema() -> Schema {
    SHARED.0.clone()
}

/// Settings of every index: nothing is left to a thread.
pub(super) fn settings() -> IndexSettings {
    IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() }
}

/// A tantivy index over these files.
pub(super) fn index(directory: &Directory) -> Result<Index, Failure> {
    let index = Index::create(directory.clone(), schema(), settings())?;
    index.tokenizers().register(STANDARD, Standard);
    Ok(index)
}

/// The standard analyzer, as tantivy asks for it.
#[derive(Debug, Clone, Copy)]
struct Standard;

struct Words {
    words: std::vec::IntoIter<Token>,
    token: Token,
}

impl Tokenizer for Standard {
    type TokenStream<'a> = Words;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Words {
        let spans = analysis::spans(text).into_iter().enumerate();
        let token = |(position, span): (usize, std::ops::Range<usize>)| Token {
            offset_from: span.start,
            offset_to: span.end,
            position,
            text: text[span].to_lowercase(),
            position_length: 1,
        };
        let words: Vec<_> = spans.map(token).collect();
        Words { words: words.into_iter(), token: Token::default() }
    }
}

impl TokenStream for Words {
    fn advance(&mut self) -> bool {
        self.words.next().map(|token| self.token = token).is_some()
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_round_trips() {
        let fields = Fields::shared();
        for routing in [None, Some("r")] {
            let (named, numbers) = (("7", "{}", routing), (SeqNo(3), Term(2), 5));
            let stored = fields.stored(&fields.document(named, numbers, &mut Mapped::of("{}"))).unwrap();
            let (id, source, routing) = ("7".to_owned(), "{}".to_owned(), routing.map(str::to_owned));
            let wanted = Stored { id, source, routing, seq_no: SeqNo(3), term: Term(2), version: 5 };
            assert_eq!(stored, wanted);
        }
    }
}
