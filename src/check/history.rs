//! History — decides, from the record alone, what clients wrote to each document and what they were told. It
//! never judges what copies hold.

use std::collections::BTreeMap;

use crate::{
    check::verdict::Point,
    event::{Digest, DocOp, Event, EventKind, Outcome},
    name::{SeqNo, Term},
};

/// What clients asked and were told, by document.
#[derive(Debug, Default)]
pub(super) struct History {
    docs: Vec<Doc>,
    names: BTreeMap<String, BTreeMap<String, usize>>,
    requests: BTreeMap<u64, Request>,
}

#[derive(Debug, Clone, Copy)]
enum Request {
    Get { doc: usize },
    Write { doc: usize, nth: usize },
}

/// One document and the writes sent to it, in order of sending.
#[derive(Debug)]
pub(super) struct Doc {
    /// Its index.
    pub(super) index: String,
    /// Its id.
    pub(super) id: String,
    /// What clients sent.
    pub(super) writes: Vec<Write>,
}

/// One write that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    /// Number of the request.
    pub(super) request: u64,
    /// Hash of the source; none if it deletes.
    pub(super) source: Option<Digest>,
    /// What the client was told.
    pub(super) end: End,
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
}

impl Doc {
    /// The acknowledged write with the highest number: no copy may hold anything older.
    pub(super) fn last_acknowledged(&self) -> Option<&Write> {
        self.writes
            .iter()
            .filter(|write| write.acknowledged().is_some())
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

/// A get that found something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    /// Of which document.
    pub(super) doc: &'a Doc,
    /// What it found.
    pub(super) source: Digest,
    /// The operation's number and term, if told.
    pub(super) operation: Option<(SeqNo, Term)>,
}

impl History {
    /// Reads the next event. What a get found, if the event is the end of one.
    pub(super) fn observe(&mut self, event: &Event) -> Option<Sight<'_>> {
        match &event.kind {
            EventKind::DocInvoked { request, index, id, op, source } => {
                let doc = self.place(index, id);
                self.invoke(*request, doc, *op, *source);
                None
            }
            EventKind::DocCompleted { request, outcome, seq_no, term, source, .. } => {
                match *self.requests.get(request)? {
                    Request::Write { doc, nth } => {
                        let end = end(event, *outcome, *seq_no, *term);
                        self.docs[doc].writes[nth].end = end;
                        None
                    }
                    Request::Get { doc } => {
                        Some(Sight { doc: &self.docs[doc], source: (*source)?, operation: seq_no.zip(*term) })
                    }
                }
            }
            _ => None,
        }
    }

    fn place(&mut self, index: &str, id: &str) -> usize {
        if let Some(place) = self.names.get(index).and_then(|ids| ids.get(id)) {
            return *place;
        }
        self.docs.push(Doc { index: index.to_owned(), id: id.to_owned(), writes: Vec::new() });
        let place = self.docs.len() - 1;
        self.names.entry(index.to_owned()).or_default().insert(id.to_owned(), place);
        place
    }

    fn invoke(&mut self, request: u64, doc: usize, op: DocOp, source: Option<Digest>) {
        let source = match op {
            DocOp::Get => {
                self.requests.insert(request, Request::Get { doc });
                return;
            }
            DocOp::Index => source,
            DocOp::Delete => None,
        };
        let writes = &mut self.docs[doc].writes;
        self.requests.insert(request, Request::Write { doc, nth: writes.len() });
        writes.push(Write { request, source, end: End::Open });
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
    use crate::check::record::Record;

    #[test]
    fn last_acknowledged_is_the_highest_number_not_the_latest_answer() {
        let mut record = Record::default();
        record.write(1, "a", Some(1)).write(2, "a", Some(2)).write(3, "a", None);
        record.acknowledge(2, 8, 1).acknowledge(1, 7, 1);
        let mut history = History::default();
        record.events.iter().for_each(|event| _ = history.observe(event));
        let doc = history.doc("articles", "a").unwrap();
        assert_eq!(doc.last_acknowledged().map(|write| write.request), Some(2));
        assert!(doc.may_hold(None), "the delete has not been answered");
    }
}
