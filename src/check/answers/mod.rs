//! Answers — decides whether a search found what a model query over the documents that were visible finds. It
//! never asks that they be the newest ones.

mod figures;
mod wanted;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value;

use self::{
    figures::Figures,
    wanted::{Known, Wanted},
};
use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Digest, Event, EventKind, Outcome, ShardSeen},
    name::{RequestId, SeqNo, ShardId},
};

pub(super) const ANSWERS: Law = Law {
    name: "search.answers",
    sentence: "A search finds exactly the documents that match among those visible on the copies that answered, in the \
               order asked for, and computes its aggregations over those, or says which shards did not answer.",
    source: "Elasticsearch, near real-time search, search API (hits.total, _shards.failed, sort) and aggregations; \
             SEARCH.md §d",
    monitor: || Box::<Answers>::default(),
};

/// The model knows each shard's operations from what its primaries numbered (`PrimaryAppended`), the words and fields
/// of a document from the client that sent it, and from each answer as of which operations it was given.
///
/// Allowed:
/// - documents of which nobody has told the words (another workload's) may match or not;
/// - operations above the copy's local checkpoint may be visible or not, since a copy takes operations in any
///   order and searches what it has (the sequence numbers between are on their way);
/// - a number that two terms gave to two operations may mean either or, if the second is about nothing (gaps are
///   filled so), what was before: a copy holds one of them until a new primary has resynced it;
/// - a shard that failed is left out of hits and total, if the answer says so; one that failed when its
///   documents were fetched has been counted and shows none;
/// - the order of hits by score, and scores, are not judged: they differ between copies (dead documents count until
///   they are merged away); nor is which of several documents comes first that are sorted by the same value;
/// - aggregations and sorted hits are judged only where it is certain which documents were visible.
#[derive(Default)]
struct Answers {
    /// What is known of documents, by the hashes of their sources.
    known: BTreeMap<Digest, Known>,
    shards: BTreeMap<ShardId, Shard>,
    asked: BTreeMap<u64, Asked>,
}

#[derive(Default)]
struct Shard {
    docs: BTreeMap<String, History>,
    /// How many operations were given each number.
    numbers: BTreeMap<SeqNo, u32>,
}

impl Shard {
    fn is_disputed(&self, seq_no: SeqNo) -> bool {
        self.numbers.get(&seq_no).is_some_and(|count| *count > 1)
    }

    /// Shows what the document may have been when a copy answered as `seen` says.
    fn visible(&self, history: &History, seen: &ShardSeen, mut show: impl FnMut(Option<Digest>)) {
        for (seq_no, sources) in history.0.range(..=seen.max_seq_no.max(seen.up_to)).rev() {
            sources.iter().for_each(|source| show(*source));
            if *seq_no <= seen.up_to && !self.is_disputed(*seq_no) {
                return;
            }
        }
        show(None);
    }
}

/// Operations on one document: number, and the source it puts, if it does.
#[derive(Default)]
struct History(BTreeMap<SeqNo, Vec<Option<Digest>>>);

struct Asked {
    index: String,
    wanted: Wanted,
    from: u64,
    size: u64,
    /// The number that hits are sorted by, and whether the highest comes first.
    sort: Option<(String, bool)>,
    figures: Figures,
}

/// What a client was told.
struct Answer<'a> {
    successful: u32,
    total: u64,
    hits: &'a [String],
    seen: &'a [ShardSeen],
    aggregations: &'a str,
}

/// Documents that match.
#[derive(Default)]
struct Matches<'a> {
    surely: u64,
    maybe: u64,
    /// Both.
    ids: BTreeSet<&'a str>,
    /// Those that match for certain as what they are for certain.
    docs: Vec<(&'a str, &'a Known)>,
}

impl Matches<'_> {
    fn is_certain(&self) -> bool {
        self.docs.len() == self.ids.len()
    }
}

/// Whether a document is found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Surely,
    Maybe,
    Never,
}

impl Found {
    /// If it is one or the other.
    fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Maybe }
    }
}

impl Asked {
    /// What is understood of the request: nothing, if it asks for more than the model knows.
    fn read(index: &str, body: &str) -> Option<Self> {
        let body: Value = serde_json::from_str(body).ok()?;
        let known = ["query", "from", "size", "sort", "aggs", "timeout"];
        body.as_object()?.keys().all(|name| known.contains(&name.as_str())).then_some(())?;
        let number = |name, default| body.get(name).map_or(Some(default), Value::as_u64);
        let figures = body.get("aggs").map(figures::read).unwrap_or_default();
        let (from, size, wanted) =
            (number("from", 0)?, number("size", 10)?, Wanted::read(body.get("query")?)?);
        let sort = match body.get("sort") {
            Some(sort) => Some(sort_key(sort)?),
            None => None,
        };
        Some(Self { index: index.to_owned(), wanted, from, size, sort, figures })
    }

    /// Hits that an answer shows of so many documents.
    fn shown(&self, total: u64) -> u64 {
        self.size.min(total.saturating_sub(self.from))
    }
}

fn sort_key(sort: &Value) -> Option<(String, bool)> {
    let [Value::Object(key)] = sort.as_array()?.as_slice() else { return None };
    let (field, order) = key.iter().next().filter(|_| key.len() == 1)?;
    Some((field.clone(), order.as_str()? == "desc"))
}

/// Numbers as hits are sorted by them; documents without one come last.
fn by_number(left: Option<f64>, right: Option<f64>, is_descending: bool) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) if is_descending => right.total_cmp(&left),
        (Some(left), Some(right)) => left.total_cmp(&right),
        (left, right) => right.is_some().cmp(&left.is_some()),
    }
}

impl Answers {
    fn invoke(&mut self, source: Digest, words: &str, fields: &str) {
        if !words.is_empty() && !self.known.contains_key(&source) {
            self.known.insert(source, Known::new(words, fields));
        }
    }

    fn append(&mut self, shard: &ShardId, id: &str, seq_no: SeqNo, source: Option<Digest>) {
        if !self.shards.contains_key(shard) {
            self.shards.insert(shard.clone(), Shard::default());
        }
        let Some(shard) = self.shards.get_mut(shard) else { return };
        *shard.numbers.entry(seq_no).or_default() += 1;
        if !id.is_empty() && !shard.docs.contains_key(id) {
            shard.docs.insert(id.to_owned(), History::default());
        }
        if let Some(history) = shard.docs.get_mut(id) {
            history.0.entry(seq_no).or_default().push(source);
        }
    }

    fn matches(&self, wanted: &Wanted, source: Option<Digest>) -> Found {
        match (source, wanted) {
            (None, _) => Found::Never,
            (Some(_), Wanted::Everything) => Found::Surely,
            (Some(source), _) => match self.known.get(&source) {
                None => Found::Maybe,
                Some(doc) if wanted.finds(doc) => Found::Surely,
                Some(_) => Found::Never,
            },
        }
    }

    /// Adds the documents of a shard that match, as a copy saw them.
    fn add<'a>(&'a self, asked: &Asked, number: &ShardId, seen: &ShardSeen, matches: &mut Matches<'a>) {
        let Some(shard) = self.shards.get(number) else { return };
        for (id, history) in &shard.docs {
            let (mut verdict, mut only, mut differs) = (None::<Found>, None, false);
            shard.visible(history, seen, |source| {
                let found = self.matches(&asked.wanted, source);
                differs |= verdict.is_some() && only != source;
                (verdict, only) = (Some(verdict.map_or(found, |so_far| so_far.or(found))), source);
            });
            match verdict {
                Some(Found::Surely) => matches.surely += 1,
                Some(Found::Maybe) => matches.maybe += 1,
                Some(Found::Never) | None => continue,
            }
            matches.ids.insert(id);
            if verdict == Some(Found::Surely) && !differs {
                matches
                    .docs
                    .extend(only.and_then(|source| self.known.get(&source)).map(|doc| (id.as_str(), doc)));
            }
        }
    }

    /// What is impossible about an answer.
    fn flaw(&self, asked: &Asked, answer: &Answer<'_>) -> Option<String> {
        let (mut matches, mut sum) = (Matches::default(), 0);
        for seen in answer.seen {
            let number = ShardId { index: asked.index.as_str().into(), number: seen.shard };
            let before = (matches.surely, matches.maybe);
            self.add(asked, &number, seen, &mut matches);
            let least = matches.surely - before.0;
            let most = least + matches.maybe - before.1;
            if !(least..=most).contains(&seen.total) {
                let (total, up_to) = (seen.total, seen.up_to.0);
                let range = if least == most { most.to_string() } else { format!("{least} to {most}") };
                return Some(format!("{number} counts {total} as of operation {up_to}, but {range} match"));
            }
            sum += seen.total;
        }
        let (total, hits, size) = (answer.total, answer.hits.len() as u64, asked.size);
        if sum != total {
            return Some(format!("{total} documents in all, but the shards count {sum}"));
        }
        if let Some(ghost) = answer.hits.iter().find(|hit| !matches.ids.contains(hit.as_str())) {
            return Some(format!("{ghost} is found, but does not match where it was visible"));
        }
        let is_whole = answer.successful as usize == answer.seen.len();
        if is_whole && hits != asked.shown(total) {
            return Some(format!("{hits} hits, but {total} documents match and {size} are asked for"));
        }
        let disorder = || (is_whole && matches.is_certain()).then(|| disorder(asked, answer, &matches))?;
        disorder().or_else(|| computed(asked, answer, &matches))
    }
}

/// What is wrong with the order of the hits.
fn disorder(asked: &Asked, answer: &Answer<'_>, matches: &Matches<'_>) -> Option<String> {
    let (field, is_descending) = asked.sort.as_ref()?;
    let of: BTreeMap<_, _> = matches.docs.iter().copied().collect();
    let told: Vec<_> =
        answer.hits.iter().map(|hit| of.get(hit.as_str()).and_then(|doc| doc.number(field))).collect();
    let mut wanted: Vec<_> = matches.docs.iter().map(|(_, doc)| doc.number(field)).collect();
    wanted.sort_by(|left, right| by_number(*left, *right, *is_descending));
    let wanted: Vec<_> = wanted.into_iter().skip(asked.from as usize).take(asked.size as usize).collect();
    (told != wanted).then(|| format!("hits sorted by {field} are {told:?}, but must be {wanted:?}"))
}

/// What is wrong with the aggregations.
fn computed(asked: &Asked, answer: &Answer<'_>, matches: &Matches<'_>) -> Option<String> {
    if asked.figures.is_empty() || !matches.is_certain() {
        return None;
    }
    let results: Value = serde_json::from_str(answer.aggregations).unwrap_or_default();
    let docs: Vec<_> = matches.docs.iter().map(|(_, doc)| *doc).collect();
    figures::flaw(&asked.figures, &docs, &results)
}

impl Monitor for Answers {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::DocInvoked { source: Some(source), words, fields, .. } => {
                self.invoke(*source, words, fields);
                Ok(())
            }
            EventKind::PrimaryAppended { shard, id, seq_no, source, .. } => {
                self.append(shard, id, *seq_no, *source);
                Ok(())
            }
            EventKind::SearchInvoked { request, index, query, .. } => {
                self.asked.extend(Asked::read(index, query).map(|asked| (*request, asked)));
                Ok(())
            }
            EventKind::SearchCompleted {
                request,
                outcome: Outcome::Ok,
                shards_successful: successful,
                total,
                hits,
                seen,
                aggregations,
                ..
            } => {
                let Some(asked) = self.asked.remove(request) else { return Ok(()) };
                let answer = Answer { successful: *successful, total: *total, hits, seen, aggregations };
                match self.flaw(&asked, &answer) {
                    None => Ok(()),
                    Some(flaw) => {
                        let search = RequestId(*request);
                        broken(event, format!("search {search} on {}: {flaw}", asked.index))
                    }
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, client},
        event::{DocOp, ShardSeen},
        name::AllocationId,
    };

    const LAW: &str = "search.answers";

    /// Three documents, written in order: `a` red, `b` blue, and `a` again, blue.
    fn written() -> Record {
        let mut record = Record::default();
        for (seq_no, id, words) in [(0, "a", "red fox"), (1, "b", "blue fox"), (2, "a", "blue owl")] {
            put(&mut record, (1, seq_no), id, words);
        }
        record
    }

    fn put(record: &mut Record, number: (u64, i64), id: &str, words: &str) {
        put_with(record, number, id, words, "");
    }

    fn put_with(record: &mut Record, number: (u64, i64), id: &str, words: &str, fields: &str) {
        let source = Digest::of(format!("{words}{fields}").as_bytes());
        record.on(
            client(),
            EventKind::DocInvoked {
                request: 1,
                index: "articles".to_owned(),
                id: id.into(),
                op: DocOp::Index,
                source: Some(source),
                words: words.to_owned(),
                fields: fields.to_owned(),
                parameters: String::new(),
            },
        );
        record.appended(number, id, Some(source.0));
    }

    /// A search for a word, answered as of these operations.
    fn answered(record: &mut Record, word: &str, as_of: (i64, i64), total: u64, hits: &[&str]) {
        answered_of(record, word, as_of, (total, total), hits);
    }

    fn answered_of(
        record: &mut Record,
        word: &str,
        as_of: (i64, i64),
        (counted, total): (u64, u64),
        hits: &[&str],
    ) {
        let query = serde_json::json!({ "query": { "match": { "body": word } }, "size": 10 }).to_string();
        record.searched(9, &query, "").found(9, total, hits, vec![seen(as_of, counted)]);
    }

    fn seen((up_to, max_seq_no): (i64, i64), total: u64) -> ShardSeen {
        let (up_to, max_seq_no) = (SeqNo(up_to), SeqNo(max_seq_no));
        ShardSeen { shard: 0, allocation: AllocationId(1), up_to, max_seq_no, total }
    }

    /// Three documents with numbers 30, 10 and 20, and what a search of them is told.
    fn numbered(body: &str, total: u64, hits: &[&str], aggregations: &str) -> Record {
        let mut record = Record::default();
        for (seq_no, id, n) in [(0, "a", 30), (1, "b", 10), (2, "c", 20)] {
            put_with(&mut record, (1, seq_no), id, "fox", &format!(r#"{{"n":{n},"tag":"{id}"}}"#));
        }
        record.searched(9, body, "").found(9, total, hits, vec![seen((2, 2), total)]);
        if let Some(EventKind::SearchCompleted { aggregations: told, .. }) =
            record.events.last_mut().map(|event| &mut event.kind)
        {
            *told = aggregations.to_owned();
        }
        record
    }

    #[test]
    fn sorted_hits_come_in_order_from_where_they_were_asked() {
        let body = r#"{"query":{"range":{"n":{"gte":10}}},"sort":[{"n":"desc"}],"from":1,"size":1}"#;
        numbered(body, 3, &["c"], "").assert_passes(LAW);
        let flaw = "hits sorted by n are [Some(10.0)], but must be [Some(20.0)]";
        numbered(body, 3, &["b"], "").assert_fails(LAW, flaw);
        numbered(body, 3, &[], "").assert_fails(LAW, "0 hits, but 3 documents match");
    }

    #[test]
    fn aggregations_are_over_what_was_visible() {
        let body = r#"{"query":{"match_all":{}},"size":0,"aggs":{"most":{"max":{"field":"n"}}}}"#;
        numbered(body, 3, &[], r#"{"most":{"value":30.0}}"#).assert_passes(LAW);
        let flaw =
            "search 9 on articles: aggregation most: value is Some(20.0), but the documents make Some(30.0)";
        numbered(body, 3, &[], r#"{"most":{"value":20.0}}"#).assert_fails(LAW, flaw);
        numbered(body, 3, &[], "").assert_fails(LAW, "aggregation most: is missing");
    }

    fn judged(word: &str, as_of: (i64, i64), total: u64, hits: &[&str]) -> Record {
        let mut record = written();
        answered(&mut record, word, as_of, total, hits);
        record
    }

    #[test]
    fn answer_as_of_any_refresh_passes() {
        judged("red", (0, 0), 1, &["a"]).assert_passes(LAW);
        judged("red", (2, 2), 0, &[]).assert_passes(LAW);
        judged("blue owl", (2, 2), 2, &["b", "a"]).assert_passes(LAW);
        judged("fox", (-1, -1), 0, &[]).assert_passes(LAW);
    }

    #[test]
    fn operation_above_the_checkpoint_may_be_visible_or_not() {
        judged("red", (1, 2), 1, &["a"]).assert_passes(LAW);
        judged("red", (1, 2), 0, &[]).assert_passes(LAW);
        judged("blue", (1, 2), 0, &[])
            .assert_fails(LAW, "articles/0 counts 0 as of operation 1, but 1 to 2 match");
    }

    #[test]
    fn number_of_two_operations_means_either() {
        for hits in [&["a"][..], &[]] {
            let mut record = written();
            record.appended((2, 2), "", None);
            answered(&mut record, "red", (2, 2), hits.len() as u64, hits);
            record.assert_passes(LAW);
        }
    }

    #[test]
    fn unknown_words_and_queries_are_not_judged() {
        for hits in [&["c"][..], &[]] {
            let mut record = written();
            record.appended((1, 3), "c", Some(77));
            answered(&mut record, "red", (3, 3), hits.len() as u64, hits);
            record.assert_passes(LAW);
        }
    }

    #[test]
    fn answers_that_no_visible_documents_give_fail() {
        let flaws = [
            (judged("red", (2, 2), 1, &["a"]), "articles/0 counts 1 as of operation 2, but 0 match"),
            (judged("blue", (2, 2), 1, &["b"]), "articles/0 counts 1 as of operation 2, but 2 match"),
            (judged("blue", (1, 1), 1, &["a"]), "a is found, but does not match where it was visible"),
            (judged("blue", (2, 2), 2, &["b"]), "1 hits, but 2 documents match and 10 are asked for"),
        ];
        for (record, flaw) in flaws {
            record.assert_fails(LAW, &format!("search 9 on articles: {flaw}"));
        }
    }

    #[test]
    fn total_that_is_not_the_sum_of_the_shards_fails() {
        let mut record = written();
        answered_of(&mut record, "blue", (2, 2), (2, 3), &["a", "b"]);
        record.assert_fails(LAW, "search 9 on articles: 3 documents in all, but the shards count 2");
    }
}
