//! Documents — decides which goals of what clients asked and were told an event meets. It never judges.

use super::{
    CAS_CONFLICT, CAS_DONE, CREATE_CONFLICT, DELETED_NOTHING, DIRTY_READ, EXTERNAL_CONFLICT, EXTERNAL_DONE,
    Goal, READ_BACKWARD, READ_REFUSED, STALE_READ, WRITE_REFUSED,
};
use crate::{
    check::history::{Before, Condition, Doc, End, Get, History, Write},
    event::{Event, EventKind, Outcome},
    name::SeqNo,
};

/// What must be remembered to tell.
#[derive(Default)]
pub(super) struct Documents {
    history: History,
}

impl Documents {
    /// The goals that the next event meets.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<Goal> {
        let answer = self.history.observe(event);
        let EventKind::DocCompleted { outcome, error, .. } = &event.kind else { return Vec::new() };
        match answer.map(|answer| (&self.history.docs()[answer.doc], answer.write)) {
            Some((doc, Some(nth))) => written(&doc.writes[nth], error.as_deref()).into_iter().collect(),
            Some((doc, None)) => doc.gets.last().map_or(Vec::new(), |get| read(doc, get)),
            // A get that was not answered.
            None => {
                (*outcome != Outcome::Ok && error.is_some()).then_some(READ_REFUSED).into_iter().collect()
            }
        }
    }
}

fn written(write: &Write, error: Option<&str>) -> Option<Goal> {
    let conflicts = error == Some("version_conflict_engine_exception");
    match (write.end, write.condition) {
        (End::Failed, Condition::Is(_)) if conflicts => Some(CAS_CONFLICT),
        (End::Failed, Condition::Missing) if conflicts => Some(CREATE_CONFLICT),
        (End::Failed, Condition::Below(_) | Condition::UpTo(_)) if conflicts => Some(EXTERNAL_CONFLICT),
        (End::Failed, _) => Some(WRITE_REFUSED),
        (End::Acknowledged { .. }, Condition::Is(_)) => Some(CAS_DONE),
        (End::Acknowledged { .. }, Condition::Below(_) | Condition::UpTo(_)) => Some(EXTERNAL_DONE),
        (End::Acknowledged { .. }, _) if write.source.is_none() => {
            (write.before == Before::Missing).then_some(DELETED_NOTHING)
        }
        (End::Acknowledged { .. } | End::Open, _) => None,
    }
}

fn read(doc: &Doc, get: &Get) -> Vec<Goal> {
    let shown = match get.found {
        Some((_, Some((seq_no, _)))) => seq_no,
        Some((_, None)) => return Vec::new(),
        None => SeqNo::NONE,
    };
    let mut met = Vec::new();
    let acknowledged =
        doc.writes.iter().filter(|write| write.acknowledged_at().is_some_and(|at| at < get.sent));
    let newest =
        acknowledged.filter(|write| write.source.is_some()).filter_map(|write| write.acknowledged()).max();
    let deletes = doc.writes.iter().any(|write| write.source.is_none() && write.sent < get.at);
    met.extend((newest > Some(shown) && (get.found.is_some() || !deletes)).then_some(STALE_READ));
    if let Some((source, _)) = get.found {
        let of = doc.writes.iter().find(|write| write.source == Some(source));
        let is_known = of.is_some_and(|write| write.acknowledged_at().is_some());
        met.extend((of.is_some() && !is_known).then_some(DIRTY_READ));
        let before = doc.gets.iter().filter(|other| other.at < get.sent);
        let seen = before.filter_map(|other| Some(other.found?.1?.0)).max();
        met.extend((seen > Some(shown)).then_some(READ_BACKWARD));
    }
    met
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, client},
        event::DocOp,
        name::Term,
    };

    fn met(record: &Record) -> Vec<&'static str> {
        let mut documents = Documents::default();
        let events = record.numbered();
        events.iter().flat_map(|event| documents.observe(event)).map(|goal| goal.name).collect()
    }

    #[test]
    fn reads_that_are_old_early_or_go_back_count() {
        let mut record = Record::default();
        record.write(1, "a", Some(1)).acknowledge(1, 0, 1).write(2, "a", Some(2));
        record.get(3, "a").got(3, Some((2, 1, 1))).get(4, "a").got(4, Some((1, 0, 1)));
        assert_eq!(met(&record), ["dirty-read", "read-backward"]);
        let mut record = Record::default();
        record.write(1, "a", Some(1)).acknowledge(1, 0, 1).write(2, "a", Some(2)).acknowledge(2, 1, 1);
        record.get(4, "a").got(4, Some((1, 0, 1)));
        assert_eq!(met(&record), ["stale-read"]);
    }

    #[test]
    fn writes_count_by_what_they_asked_and_how_they_ended() {
        let ended = |op, end: (Outcome, Option<&'static str>, Option<&'static str>)| {
            let mut record = Record::default();
            let (index, id, source) = ("articles".to_owned(), "a".to_owned(), None);
            record.on(
                client(),
                EventKind::DocInvoked {
                    request: 1,
                    index,
                    id,
                    op,
                    source,
                    words: String::new(),
                    fields: String::new(),
                    parameters: String::new(),
                },
            );
            let (outcome, result, error) = (end.0, end.1.map(Into::into), end.2.map(Into::into));
            let (seq_no, term, version, source) = (None, None, None, None);
            record.on(
                client(),
                EventKind::DocCompleted {
                    request: 1,
                    outcome,
                    seq_no,
                    term,
                    version,
                    result,
                    source,
                    error,
                    drawn: None,
                },
            );
            met(&record)
        };
        let conflict = (Outcome::Failed, None, Some("version_conflict_engine_exception"));
        let done = (Outcome::Ok, Some("not_found"), None);
        let cas = DocOp::Cas { seq_no: SeqNo(1), term: Term(1) };
        let external = DocOp::External { version: 1 };
        assert_eq!(ended(cas, conflict), ["cas-conflict"]);
        assert_eq!(ended(cas, done), ["cas-done"]);
        assert_eq!(ended(external, conflict), ["external-conflict"]);
        assert_eq!(ended(external, done), ["external-done"]);
        assert_eq!(ended(DocOp::Create, conflict), ["create-conflict"]);
        assert_eq!(ended(DocOp::Delete, done), ["deleted-nothing"]);
        assert_eq!(ended(DocOp::Index, (Outcome::Failed, None, Some("x"))), ["write-refused"]);
        assert_eq!(ended(DocOp::Get, (Outcome::Unknown, None, Some("x"))), ["read-refused"]);
    }
}
