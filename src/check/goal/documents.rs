//! Documents — decides which goals of what clients asked and were told an event meets. It never judges.

use super::{DELETED_NOTHING, DIRTY_READ, Goal, READ_BACKWARD, STALE_READ, WRITE_REFUSED};
use crate::{
    check::history::{Doc, End, Get, History},
    event::Event,
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
        let Some(answer) = self.history.observe(event) else { return Vec::new() };
        let doc = &self.history.docs()[answer.doc];
        match answer.write {
            Some(nth) => written(doc, nth).into_iter().collect(),
            None => doc.gets.last().map_or(Vec::new(), |get| read(doc, get)),
        }
    }
}

fn written(doc: &Doc, nth: usize) -> Option<Goal> {
    let write = &doc.writes[nth];
    match write.end {
        End::Failed => Some(WRITE_REFUSED),
        End::Acknowledged { .. } if write.source.is_none() => {
            let is_first = doc.writes.iter().all(|other| other.source.is_none());
            is_first.then_some(DELETED_NOTHING)
        }
        End::Acknowledged { .. } | End::Open => None,
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
    use crate::{check::record::Record, event::Outcome};

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
    fn writes_that_are_refused_or_delete_nothing_count() {
        let mut record = Record::default();
        record.write(1, "a", None).acknowledge(1, 0, 1).write(2, "a", Some(1)).complete(
            2,
            Outcome::Failed,
            None,
        );
        assert_eq!(met(&record), ["deleted-nothing", "write-refused"]);
    }
}
