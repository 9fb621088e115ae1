//! Answers — decides whether a search found what a model query over the documents that were visible finds. It
//! never asks that they be the newest ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Digest, Event, EventKind, Outcome, ShardSeen},
    name::{SeqNo, ShardId},
};

pub(super) const ANSWERS: Law = Law {
    name: "search.answers",
    sentence: "A search finds exactly the documents that match among those visible on the copies that answered, or says \
               which shards did not.",
    source: "Elasticsearch, near real-time search and search API: hits.total, _shards.failed; SEARCH.md §d",
    monitor: || Box::<Answers>::default(),
};

/// The model knows each shard's operations from what its primaries numbered (`PrimaryAppended`), the words of a
/// document from the client that sent it, and from each answer as of which operations it was given.
///
/// Allowed:
/// - documents of which nobody has told the words (another workload's) may match or not;
/// - operations above the copy's local checkpoint may be visible or not, since a copy takes operations in any
///   order and searches what it has (the sequence numbers between are on their way);
/// - a number that two terms gave to two operations may mean either or, if the second is about nothing (gaps are
///   filled so), what was before: a copy holds one of them until a new primary has resynced it;
/// - a shard that failed is left out of hits and total, if the answer says so; one that failed when its
///   documents were fetched has been counted and shows none;
/// - the order of hits, and scores, are not judged: they differ between copies (dead documents count until they
///   are merged away).
#[derive(Default)]
struct Answers {
    /// Words of a document, by the hash of its source.
    words: BTreeMap<Digest, BTreeSet<String>>,
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
}

/// Operations on one document: number, and the source it puts, if it does.
#[derive(Default)]
struct History(BTreeMap<SeqNo, Vec<Option<Digest>>>);

struct Asked {
    index: String,
    wanted: Wanted,
    size: u64,
}

/// The queries that the model understands.
enum Wanted {
    Everything,
    /// Documents with any of these words in `body`.
    Words(BTreeSet<String>),
}

/// What a client was told.
struct Answer<'a> {
    successful: u32,
    total: u64,
    hits: &'a [String],
    seen: &'a [ShardSeen],
}

/// Documents of a shard that match.
#[derive(Default)]
struct Counted<'a> {
    surely: u64,
    maybe: u64,
    /// Both.
    ids: BTreeSet<&'a str>,
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

impl Wanted {
    fn read(body: &serde_json::Value) -> Option<Self> {
        let query = body.get("query")?.as_object()?;
        match query.iter().next()? {
            (name, _) if query.len() == 1 && name == "match_all" => Some(Self::Everything),
            (name, fields) if query.len() == 1 && name == "match" => {
                let fields = fields.as_object().filter(|fields| fields.len() == 1)?;
                let words = fields.get("body")?.as_str()?.split_whitespace();
                Some(Self::Words(words.map(str::to_lowercase).collect()))
            }
            _ => None,
        }
    }
}

impl Asked {
    /// What is understood of the request: nothing, if it asks for more than the model knows.
    fn read(index: &str, body: &str) -> Option<Self> {
        let body: serde_json::Value = serde_json::from_str(body).ok()?;
        let known = |name: &String| ["query", "size"].contains(&name.as_str());
        body.as_object()?.keys().all(known).then_some(())?;
        let size = body.get("size").map_or(Some(10), serde_json::Value::as_u64)?;
        Some(Self { index: index.to_owned(), wanted: Wanted::read(&body)?, size })
    }
}

impl Answers {
    fn invoke(&mut self, source: Digest, words: &str) {
        if !words.is_empty() && !self.words.contains_key(&source) {
            self.words.insert(source, words.split_whitespace().map(str::to_lowercase).collect());
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
            (Some(source), Wanted::Words(wanted)) => match self.words.get(&source) {
                None => Found::Maybe,
                Some(words) if words.is_disjoint(wanted) => Found::Never,
                Some(_) => Found::Surely,
            },
        }
    }

    /// Whether a copy that answered as `seen` says finds the document.
    fn found(&self, wanted: &Wanted, shard: &Shard, history: &History, seen: &ShardSeen) -> Found {
        let mut verdict = None;
        let mut see = |found| verdict = Some(verdict.map_or(found, |so_far: Found| so_far.or(found)));
        let visible = history.0.range(..=seen.max_seq_no.max(seen.up_to)).rev();
        for (seq_no, sources) in visible {
            sources.iter().for_each(|source| see(self.matches(wanted, *source)));
            if *seq_no <= seen.up_to && !shard.is_disputed(*seq_no) {
                return verdict.unwrap_or(Found::Never);
            }
        }
        see(Found::Never);
        verdict.unwrap_or(Found::Never)
    }

    fn count(&self, asked: &Asked, number: &ShardId, seen: &ShardSeen) -> Counted<'_> {
        let mut counted = Counted::default();
        let Some(shard) = self.shards.get(number) else { return counted };
        for (id, history) in &shard.docs {
            match self.found(&asked.wanted, shard, history, seen) {
                Found::Surely => counted.surely += 1,
                Found::Maybe => counted.maybe += 1,
                Found::Never => continue,
            }
            counted.ids.insert(id);
        }
        counted
    }

    /// What is impossible about an answer.
    fn flaw(&self, asked: &Asked, answer: &Answer<'_>) -> Option<String> {
        let (mut ids, mut sum) = (BTreeSet::new(), 0);
        for seen in answer.seen {
            let number = ShardId { index: asked.index.as_str().into(), number: seen.shard };
            let counted = self.count(asked, &number, seen);
            let (least, most) = (counted.surely, counted.surely + counted.maybe);
            if !(least..=most).contains(&seen.total) {
                let (total, up_to) = (seen.total, seen.up_to.0);
                let range = if least == most { most.to_string() } else { format!("{least} to {most}") };
                return Some(format!("{number} counts {total} as of operation {up_to}, but {range} match"));
            }
            ids.extend(counted.ids);
            sum += seen.total;
        }
        let (total, hits, size) = (answer.total, answer.hits.len() as u64, asked.size);
        if sum != total {
            return Some(format!("{total} documents in all, but the shards count {sum}"));
        }
        if let Some(ghost) = answer.hits.iter().find(|hit| !ids.contains(hit.as_str())) {
            return Some(format!("{ghost} is found, but does not match where it was visible"));
        }
        let is_whole = answer.successful as usize == answer.seen.len();
        (is_whole && hits != size.min(total))
            .then(|| format!("{hits} hits, but {total} documents match and {size} are asked for"))
    }
}

impl Monitor for Answers {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::DocInvoked { source: Some(source), words, .. } => {
                self.invoke(*source, words);
                Ok(())
            }
            EventKind::PrimaryAppended { shard, id, seq_no, source, .. } => {
                self.append(shard, id, *seq_no, *source);
                Ok(())
            }
            EventKind::SearchInvoked { request, index, query } => {
                self.asked.extend(Asked::read(index, query).map(|asked| (*request, asked)));
                Ok(())
            }
            EventKind::SearchCompleted {
                request,
                outcome: Outcome::Ok,
                shards_successful,
                total,
                hits,
                seen,
                ..
            } => {
                let Some(asked) = self.asked.remove(request) else { return Ok(()) };
                let answer = Answer { successful: *shards_successful, total: *total, hits, seen };
                match self.flaw(&asked, &answer) {
                    None => Ok(()),
                    Some(flaw) => broken(event, format!("search {request} on {}: {flaw}", asked.index)),
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
        check::record::{Record, client, search, shard},
        event::{DocOp, ShardSeen},
        name::{AllocationId, Term},
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
        let source = Some(Digest::of(words.as_bytes()));
        let (index, request) = ("articles".to_owned(), 1);
        let words = words.to_owned();
        record.on(
            client(),
            EventKind::DocInvoked { request, index, id: id.into(), op: DocOp::Index, source, words },
        );
        append(record, number, id, source);
    }

    fn append(record: &mut Record, (term, seq_no): (u64, i64), id: &str, source: Option<Digest>) {
        let (shard, allocation, term, seq_no) = (shard(), AllocationId(1), Term(term), SeqNo(seq_no));
        let (digest, id) = (Digest(1), id.to_owned());
        record.on(
            search(1),
            EventKind::PrimaryAppended { shard, allocation, term, seq_no, digest, id, source },
        );
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
        let (request, allocation) = (9, AllocationId(1));
        record.on(client(), EventKind::SearchInvoked { request, index: "articles".into(), query });
        let (up_to, max_seq_no) = (SeqNo(as_of.0), SeqNo(as_of.1));
        record.on(
            client(),
            EventKind::SearchCompleted {
                request,
                outcome: Outcome::Ok,
                shards_successful: 1,
                shards_total: 2,
                total,
                hits: hits.iter().map(|hit| (*hit).to_owned()).collect(),
                seen: vec![ShardSeen { shard: 0, allocation, up_to, max_seq_no, total: counted }],
            },
        );
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
            append(&mut record, (2, 2), "", None);
            answered(&mut record, "red", (2, 2), hits.len() as u64, hits);
            record.assert_passes(LAW);
        }
    }

    #[test]
    fn unknown_words_and_queries_are_not_judged() {
        for hits in [&["c"][..], &[]] {
            let mut record = written();
            append(&mut record, (1, 3), "c", Some(Digest(77)));
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
