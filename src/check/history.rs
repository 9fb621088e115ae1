//! History — decides, from the record alone, what clients wrote to each document and what they were told. It
//! never judges what copies hold.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::verdict::Point,
    event::{Digest, DocOp, Event, EventKind, Outcome},
    name::{SeqNo, ShardId, Term},
};

/// Whether a request was sent with this parameter (`refresh=true`), or in this kind of call (`_bulk`).
pub(super) fn has(parameters: &str, name: &str) -> bool {
    parameters.split('&').any(|it| it == name)
}

/// What clients asked and were told, by document.
#[derive(Debug, Default)]
pub(super) struct History {
    docs: Vec<Doc>,
    names: BTreeMap<String, BTreeMap<String, usize>>,
    requests: BTreeMap<u64, Request>,
    /// Documents that were sent without an id, by their sources.
    adds: BTreeMap<Digest, Vec<u64>>,
}

#[derive(Debug, Clone)]
enum Request {
    Get { doc: usize, sent: Point },
    Write { doc: usize, nth: usize },
    Add(Add),
}

/// A document that was sent without an id. Which one it was given shows when a primary numbers it; by two tries that
/// were given two ids it is two documents.
#[derive(Debug, Clone)]
struct Add {
    write: Write,
    index: String,
    /// The documents and the places among their writes.
    drawn: Vec<(usize, usize)>,
}

/// One document and the writes sent to it, in order of sending.
#[derive(Debug)]
pub(super) struct Doc {
    /// Its index.
    pub(super) index: String,
    /// Its id.
    pub(super) id: String,
    /// The shards that have numbered an operation of it: one, unless it was routed in several ways.
    pub(super) shards: Vec<u32>,
    /// What clients sent.
    pub(super) writes: Vec<Write>,
    /// The gets that were answered, in order of answers.
    pub(super) gets: Vec<Get>,
}

/// Number and term of an operation.
pub(super) type Operation = (SeqNo, Term);

/// One write that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    /// Number of the request.
    pub(super) request: u64,
    /// When it was sent.
    pub(super) sent: Point,
    /// Hash of the source; none if it deletes.
    pub(super) source: Option<Digest>,
    /// What it asks of the document before.
    pub(super) condition: Condition,
    /// What the client was told.
    pub(super) end: End,
    /// The document's version after it, if told.
    pub(super) version: Option<u64>,
    /// What the client was told of the document before it.
    pub(super) before: Before,
}

/// What a write's result says of the document before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Untold,
    /// There was none (`created`, `not_found`).
    Missing,
    /// There was one (`updated`, `deleted`).
    There,
}

/// What a write asks of the document before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing.
    Any,
    /// That it is missing (`op_type=create`).
    Missing,
    /// That it is there, by this operation (`if_seq_no`, `if_primary_term`).
    Is(Operation),
    /// That its version is below this one, which it gets (`version_type=external`).
    Below(u64),
    /// That its version is not above this one, which it gets (`version_type=external_gte`).
    UpTo(u64),
}

/// A get that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Get {
    /// Number of the request.
    pub(super) request: u64,
    /// When it was sent.
    pub(super) sent: Point,
    /// When it was answered.
    pub(super) at: Point,
    /// The source, hashed, and its operation, if told; none if there was no document.
    pub(super) found: Option<(Digest, Option<Operation>)>,
    /// The document's version, if told.
    pub(super) version: Option<u64>,
}

/// What a client was told of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing, or nothing certain: it may take effect at any time.
    Open,
    /// It surely has no effect.
    Failed,
    /// It is done.
    Acknowledged {
        /// Where the record says so.
        at: Point,
        /// Number of the operation, or `SeqNo::NONE` if not told.
        seq_no: SeqNo,
        /// Its term, if told.
        term: Option<Term>,
    },
}

impl Write {
    fn sent(request: u64, sent: Point, source: Option<Digest>, condition: Condition) -> Self {
        let (end, version, before) = (End::Open, None, Before::Untold);
        Self { request, sent, source, condition, end, version, before }
    }

    fn learn(&mut self, (end, version, before): (End, Option<u64>, Before)) {
        (self.end, self.version, self.before) = (end, version, before);
    }

    /// Whether it may have taken effect, or may yet.
    pub(super) fn may_count(&self) -> bool {
        self.end != End::Failed
    }

    /// Number of its operation, if it was acknowledged.
    pub(super) fn acknowledged(&self) -> Option<SeqNo> {
        match self.end {
            End::Acknowledged { seq_no, .. } => Some(seq_no),
            End::Open | End::Failed => None,
        }
    }

    /// Its operation, if the client was told all of it.
    pub(super) fn operation(&self) -> Option<Operation> {
        match self.end {
            End::Acknowledged { seq_no, term: Some(term), .. } if seq_no > SeqNo::NONE => {
                Some((seq_no, term))
            }
            End::Acknowledged { .. } | End::Open | End::Failed => None,
        }
    }

    /// When it was acknowledged.
    pub(super) fn acknowledged_at(&self) -> Option<Point> {
        match self.end {
            End::Acknowledged { at, .. } => Some(at),
            End::Open | End::Failed => None,
        }
    }
}

impl Doc {
    /// Whether this shard has numbered an operation of it.
    pub(super) fn is_in(&self, shard: &ShardId) -> bool {
        *shard.index.0 == *self.index && self.shards.contains(&shard.number)
    }

    /// Of the acknowledged writes that count, the one with the highest number: no copy may hold anything older.
    pub(super) fn last_acknowledged(&self, counts: impl Fn(&Write) -> bool) -> Option<&Write> {
        self.writes
            .iter()
            .filter(|write| write.acknowledged().is_some() && counts(write))
            .max_by_key(|write| write.acknowledged())
    }

    /// Whether someone sent this content (none: a delete) and was not told that it failed.
    pub(super) fn may_hold(&self, source: Option<Digest>) -> bool {
        self.writes.iter().any(|write| write.source == source && write.may_count())
    }

    /// Whether someone sent this content, whatever they were told.
    pub(super) fn was_sent(&self, source: Digest) -> bool {
        self.writes.iter().any(|write| write.source == Some(source))
    }
}

/// The end of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    /// Of which document, by place.
    pub(super) doc: usize,
    /// Of which of its writes, by place; none: of a get.
    pub(super) write: Option<usize>,
}

impl History {
    /// Reads the next event. What was answered, if the event is the end of a request.
    pub(super) fn observe(&mut self, event: &Event) -> Option<Answer> {
        match &event.kind {
            EventKind::DocInvoked { request, index, op: DocOp::Add, source: Some(source), .. } => {
                self.adds.entry(*source).or_default().push(*request);
                let write = Write::sent(*request, event.into(), Some(*source), Condition::Any);
                let add = Add { write, index: index.clone(), drawn: Vec::new() };
                self.requests.insert(*request, Request::Add(add));
                None
            }
            EventKind::DocInvoked { request, index, id, op, source, .. } => {
                let doc = self.place(index, id);
                self.invoke(event.into(), *request, doc, (*op, *source));
                None
            }
            EventKind::DocCompleted {
                request,
                outcome,
                seq_no,
                term,
                version,
                result,
                source,
                drawn,
                ..
            } => match self.requests.get_mut(request)? {
                Request::Write { doc, nth } => {
                    let (doc, nth) = (*doc, *nth);
                    let told = (end(event, *outcome, *seq_no, *term), *version, before(result.as_deref()));
                    self.docs[doc].writes[nth].learn(told);
                    Some(Answer { doc, write: Some(nth) })
                }
                Request::Get { doc, sent } if *outcome == Outcome::Ok => {
                    let (doc, sent) = (*doc, *sent);
                    let found = source.map(|source| (source, seq_no.zip(*term)));
                    let (request, at, version) = (*request, event.into(), *version);
                    self.docs[doc].gets.push(Get { request, sent, at, found, version });
                    Some(Answer { doc, write: None })
                }
                Request::Get { .. } => None,
                Request::Add(add) => {
                    let told = (end(event, *outcome, *seq_no, *term), *version, before(result.as_deref()));
                    // What is numbered later is another try than the one that its client was told of.
                    if told.0 == End::Failed {
                        add.write.learn(told);
                    }
                    self.added(*request, told, drawn.as_deref())
                }
            },
            EventKind::PrimaryAppended { shard, id, source, .. } => {
                let adds = source.and_then(|source| self.adds.get(&source));
                for request in adds.cloned().unwrap_or_default() {
                    self.draw(request, &shard.index.0, id);
                }
                if let Some(place) = self.names.get(&*shard.index.0).and_then(|ids| ids.get(id))
                    && let shards = &mut self.docs[*place].shards
                    && !shards.contains(&shard.number)
                {
                    shards.push(shard.number);
                }
                None
            }
            _ => None,
        }
    }

    fn place(&mut self, index: &str, id: &str) -> usize {
        if let Some(place) = self.names.get(index).and_then(|ids| ids.get(id)) {
            return *place;
        }
        self.docs.push(Doc {
            index: index.to_owned(),
            id: id.to_owned(),
            shards: Vec::new(),
            writes: Vec::new(),
            gets: Vec::new(),
        });
        let place = self.docs.len() - 1;
        self.names.entry(index.to_owned()).or_default().insert(id.to_owned(), place);
        place
    }

    fn invoke(&mut self, sent: Point, request: u64, doc: usize, (op, source): (DocOp, Option<Digest>)) {
        let source = match op {
            DocOp::Get => {
                self.requests.insert(request, Request::Get { doc, sent });
                return;
            }
            DocOp::Delete => None,
            _ => source,
        };
        let condition = match op {
            DocOp::Create => Condition::Missing,
            DocOp::Cas { seq_no, term } => Condition::Is((seq_no, term)),
            DocOp::External { version } => Condition::Below(version),
            DocOp::ExternalGte { version } => Condition::UpTo(version),
            _ => Condition::Any,
        };
        let writes = &mut self.docs[doc].writes;
        self.requests.insert(request, Request::Write { doc, nth: writes.len() });
        writes.push(Write::sent(request, sent, source, condition));
    }

    /// The document of `request` has this id, or one of several.
    fn draw(&mut self, request: u64, index: &str, id: &str) {
        if !matches!(self.requests.get(&request), Some(Request::Add(add)) if *add.index == *index) {
            return;
        }
        let doc = self.place(index, id);
        let Some(Request::Add(add)) = self.requests.get_mut(&request) else { return };
        if add.drawn.iter().all(|(drawn, _)| *drawn != doc) {
            let writes = &mut self.docs[doc].writes;
            add.drawn.push((doc, writes.len()));
            // The try that its client is told of, and those before, of which nobody is told.
            writes.extend([add.write.clone(), add.write.clone()]);
        }
    }

    /// What became of a document without an id: what its client was told holds for the one that it was told of, and
    /// nobody knows of any other one.
    fn added(&mut self, request: u64, told: (End, Option<u64>, Before), id: Option<&str>) -> Option<Answer> {
        if let (Some(id), Some(Request::Add(add))) = (id, self.requests.get(&request)) {
            let index = add.index.clone();
            self.draw(request, &index, id);
        }
        let Some(Request::Add(add)) = self.requests.get(&request) else { return None };
        let mut answer = None;
        for (doc, nth) in add.drawn.clone() {
            if id.is_none_or(|id| self.docs[doc].id == id) {
                self.docs[doc].writes[nth].learn(told);
                answer = Some(Answer { doc, write: Some(nth) });
            }
            if told.0 == End::Failed {
                self.docs[doc].writes[nth + 1].learn(told);
            }
        }
        answer
    }

    /// The requests that sent this source without an id, and the ids that it was given; none if there are no such.
    pub(super) fn drawn(&self, source: Digest) -> Option<(&[u64], BTreeSet<&str>)> {
        let requests = self.adds.get(&source)?;
        let adds = requests.iter().filter_map(|request| match self.requests.get(request) {
            Some(Request::Add(add)) => Some(add),
            _ => None,
        });
        let ids = adds.flat_map(|add| &add.drawn).map(|(doc, _)| self.docs[*doc].id.as_str());
        Some((requests, ids.collect()))
    }

    /// Every document that was ever asked for, in order of first asking.
    pub(super) fn docs(&self) -> &[Doc] {
        &self.docs
    }

    /// A document, if it was ever asked for.
    pub(super) fn doc(&self, index: &str, id: &str) -> Option<&Doc> {
        self.names.get(index)?.get(id).map(|place| &self.docs[*place])
    }
}

fn before(result: Option<&str>) -> Before {
    match result {
        Some("created" | "not_found") => Before::Missing,
        Some("updated" | "deleted") => Before::There,
        _ => Before::Untold,
    }
}

fn end(event: &Event, outcome: Outcome, seq_no: Option<SeqNo>, term: Option<Term>) -> End {
    match outcome {
        Outcome::Ok => End::Acknowledged { at: event.into(), seq_no: seq_no.unwrap_or(SeqNo::NONE), term },
        Outcome::Failed => End::Failed,
        Outcome::Unknown => End::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::record::Record, name::AllocationId};

    #[test]
    fn last_acknowledged_is_the_highest_number_not_the_latest_answer() {
        let mut record = Record::default();
        record.write(1, "a", Some(1)).write(2, "a", Some(2)).write(3, "a", None);
        record.acknowledge(2, 8, 1).acknowledge(1, 7, 1);
        let mut history = History::default();
        record.events.iter().for_each(|event| _ = history.observe(event));
        let doc = history.doc("articles", "a").unwrap();
        assert_eq!(doc.last_acknowledged(|_| true).map(|write| write.request), Some(2));
        assert!(doc.may_hold(None), "the delete has not been answered");
    }

    #[test]
    fn try_that_is_numbered_after_the_answer_to_another_has_no_answer() {
        let mut record = Record::default();
        record.add(1, 7).added(1, "told", (0, 1));
        let mut history = History::default();
        record.events.iter().for_each(|event| _ = history.observe(event));
        let appended = EventKind::PrimaryAppended {
            shard: "articles/0".parse().unwrap(),
            allocation: AllocationId(1),
            term: Term(1),
            seq_no: SeqNo(1),
            digest: Digest(1),
            id: "late".into(),
            source: Some(Digest(7)),
        };
        history.observe(&Event { kind: appended, ..record.events[0].clone() });
        let acknowledged = |id: &str| {
            let writes = &history.doc("articles", id).unwrap().writes;
            writes.iter().map(|write| write.acknowledged().is_some()).collect::<Vec<_>>()
        };
        assert_eq!(acknowledged("told"), [true, false]);
        assert_eq!(acknowledged("late"), [false, false]);
    }

    #[test]
    fn same_source_numbered_in_another_index_makes_no_document() {
        let mut record = Record::default();
        record.add(1, 7);
        let mut history = History::default();
        record.events.iter().for_each(|event| _ = history.observe(event));
        let mut numbered = |shard: &str| {
            let kind = EventKind::PrimaryAppended {
                shard: shard.parse().unwrap(),
                allocation: AllocationId(1),
                term: Term(1),
                seq_no: SeqNo(0),
                digest: Digest(1),
                id: "drawn".into(),
                source: Some(Digest(7)),
            };
            let event = Event { kind, ..record.events[0].clone() };
            history.observe(&event);
            history.docs().len()
        };
        assert_eq!((numbered("books/0"), numbered("articles/0")), (0, 1));
    }
}
