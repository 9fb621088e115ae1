//! Statistics — decides which figures of the collection a query's scores need, and adds them up. It never
//! scores.
//!
//! A shard scores by its own figures (`query_then_fetch`), or by those of all shards that a round before has
//! collected (`dfs_query_then_fetch`).

use std::collections::{BTreeMap, BTreeSet};

use super::{Clause, Query, Value, analysis};

/// What the sub-field is called that holds a string as a whole.
const KEYWORD: &str = ".keyword";

/// The field that a name means, and whether it is the keyword below it.
pub fn keyword_of(field: &str) -> Option<&str> {
    field.strip_suffix(KEYWORD)
}

/// A field and a word in it.
pub type Word = (String, String);

/// How large a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldSize {
    /// Documents that have it.
    pub docs: u64,
    /// Words in all of them.
    pub words: u64,
}

/// Figures that scores are made of. Dead documents count until they are merged away, as in Lucene.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Sizes of fields.
    pub fields: BTreeMap<String, FieldSize>,
    /// Documents that have a word.
    pub docs: BTreeMap<Word, u64>,
}

impl Statistics {
    /// Adds another shard's.
    pub fn add(&mut self, other: &Self) {
        for (field, size) in &other.fields {
            let sum = self.fields.entry(field.clone()).or_default();
            sum.docs += size.docs;
            sum.words += size.words;
        }
        for (word, docs) in &other.docs {
            *self.docs.entry(word.clone()).or_default() += docs;
        }
    }

    /// How rare a word is: `ln(1 + (N - n + 0.5) / (n + 0.5))` (Lucene's `BM25Similarity.idf`).
    pub fn rarity(&self, field: &str, word: &str) -> f32 {
        let all = self.fields.get(field).map_or(0, |size| size.docs);
        let with = self.docs.get(&(field.to_owned(), word.to_owned())).copied().unwrap_or(0);
        let (all, with) = (all.max(with) as f64, with as f64);
        libm::log(1.0 + (all - with + 0.5) / (with + 0.5)) as f32
    }

    /// Words of a document in this field on average; 1 if there is none.
    pub fn mean_length(&self, field: &str) -> f32 {
        match self.fields.get(field) {
            Some(size) if size.docs > 0 => (size.words as f64 / size.docs as f64) as f32,
            _ => 1.0,
        }
    }
}

/// The words whose rarity makes the score of a query.
pub fn scoring_words(clause: &Clause) -> BTreeSet<Word> {
    let mut words = BTreeSet::new();
    gather(clause, &mut words);
    words
}

fn gather(clause: &Clause, words: &mut BTreeSet<Word>) {
    match &clause.query {
        Query::Match { field, text, .. } => {
            words.extend(words_in(field, &text.text()).into_iter().map(|word| (field.clone(), word)));
        }
        Query::MatchPhrase { field, text, .. } => {
            words.extend(words_in(field, text).into_iter().map(|word| (field.clone(), word)));
        }
        Query::Term { field, value: Value::Text(word) } => {
            words.insert((field.clone(), word.clone()));
        }
        Query::MultiMatch { matches, .. } => matches.iter().for_each(|clause| gather(clause, words)),
        Query::Bool(parts) => parts.must.iter().chain(&parts.should).for_each(|clause| gather(clause, words)),
        _ => {}
    }
}

/// The words of a text as they are searched for: a keyword is one word.
pub fn words_in(field: &str, text: &str) -> Vec<String> {
    if keyword_of(field).is_some() { vec![text.to_owned()] } else { analysis::words(text) }
}
