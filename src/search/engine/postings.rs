//! Postings — decides which documents of a segment have which words, how often and where. It never scores.

use tantivy::{
    DocId, DocSet, Term,
    index::InvertedIndexReader,
    postings::Postings,
    schema::{IndexRecordOption, Type},
};

use super::{Failure, schema::Fields, segment::Segment};

/// A document that has a word, and how often.
pub(super) type Posting = (DocId, u32);

fn reader(segment: &Segment) -> Result<std::sync::Arc<InvertedIndexReader>, Failure> {
    Ok(segment.reader.inverted_index(Fields::shared().text)?)
}

fn path(field: &str) -> Term {
    Term::from_field_json_path(Fields::shared().text, field, true)
}

fn term(field: &str, word: &str) -> Term {
    let mut term = path(field);
    term.append_type_and_str(word);
    term
}

/// How many documents have the word, dead ones included.
pub(super) fn count(segment: &Segment, field: &str, word: &str) -> Result<u64, Failure> {
    Ok(u64::from(reader(segment)?.doc_freq(&term(field, word))?))
}

/// Documents with the word.
pub(super) fn of_word(segment: &Segment, field: &str, word: &str) -> Result<Vec<Posting>, Failure> {
    let mut found = Vec::new();
    if let Some(mut postings) =
        reader(segment)?.read_postings(&term(field, word), IndexRecordOption::WithFreqs)?
    {
        while postings.doc() != tantivy::TERMINATED {
            found.push((postings.doc(), postings.term_freq()));
            postings.advance();
        }
    }
    Ok(found)
}

/// Documents with the word, and where in the field it is.
pub(super) fn positions(
    segment: &Segment,
    field: &str,
    word: &str,
) -> Result<Vec<(DocId, Vec<u32>)>, Failure> {
    let mut found = Vec::new();
    let option = IndexRecordOption::WithFreqsAndPositions;
    if let Some(mut postings) = reader(segment)?.read_postings(&term(field, word), option)? {
        while postings.doc() != tantivy::TERMINATED {
            let mut positions = Vec::new();
            postings.positions(&mut positions);
            found.push((postings.doc(), positions));
            postings.advance();
        }
    }
    Ok(found)
}

/// Documents with any word that is wanted, by number.
pub(super) fn of_any_word(
    segment: &Segment,
    field: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<DocId>, Failure> {
    let reader = reader(segment)?;
    let mut prefix = path(field).serialized_value_bytes().to_vec();
    prefix.push(Type::Str.to_code());
    let mut words = reader.terms().range().ge(&prefix).into_stream()?;
    let mut found = Vec::new();
    while words.advance() {
        let Some(word) = words.key().strip_prefix(prefix.as_slice()) else { break };
        if std::str::from_utf8(word).is_ok_and(&is_wanted) {
            let mut postings = reader.read_postings_from_terminfo(words.value(), IndexRecordOption::Basic)?;
            while postings.doc() != tantivy::TERMINATED {
                found.push(postings.doc());
                postings.advance();
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}
