//! Drawn — decides whether a document that was sent without an id became one document. It never asks which.

use crate::{
    check::{
        history::History,
        law::{Law, Monitor},
        verdict::{Judged, broken, listed},
    },
    event::{DocOp, Event, EventKind},
    name::RequestId,
};

pub(in crate::check) const DRAWN: Law = Law {
    name: "documents.drawn-once",
    sentence: "A document that is sent without an id is given one, and one only, however often its node has to try.",
    source: "Elasticsearch, index API (automatic ids); #7729, #9468, #21189, #20300",
    monitor: || Box::<Drawn>::default(),
};

/// Allowed: a client that sends the same document without an id once more sends another document (`POST` is not
/// idempotent; whoever wants it to be gives ids).
#[derive(Default)]
struct Drawn {
    history: History,
    draws_ids: bool,
}

impl Monitor for Drawn {
    fn observe(&mut self, event: &Event) -> Judged {
        self.history.observe(event);
        match &event.kind {
            EventKind::DocInvoked { op: DocOp::Add, .. } => {
                self.draws_ids = true;
                Ok(())
            }
            EventKind::PrimaryAppended { source: Some(source), .. } if self.draws_ids => {
                let Some((requests, ids)) = self.history.drawn(*source) else { return Ok(()) };
                if ids.len() <= requests.len() {
                    return Ok(());
                }
                let requests = listed(requests.iter().map(|request| RequestId(*request).to_string()), 4);
                let ids = listed(ids.into_iter().map(str::to_owned), 4);
                broken(event, format!("what was sent by request {requests} without an id is now {ids}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::record::Record;

    const LAW: &str = "documents.drawn-once";

    #[test]
    fn one_document_however_often_it_is_numbered_passes() {
        let mut record = Record::default();
        record.add(1, 7).appended((1, 0), "x", Some(7)).appended((2, 1), "x", Some(7)).added(1, "x", (1, 2));
        record.assert_passes(LAW);
    }

    #[test]
    fn second_request_is_another_document() {
        let mut record = Record::default();
        record.add(1, 7).appended((1, 0), "x", Some(7)).add(2, 7).appended((1, 1), "y", Some(7));
        record.assert_passes(LAW);
    }

    /// D22: "retry of auto-id add": the node that coordinates it tries again under another id.
    #[test]
    fn request_that_became_two_documents_fails() {
        let mut record = Record::default();
        record.add(1, 7).appended((1, 0), "x", Some(7)).appended((2, 1), "y", Some(7));
        record.assert_fails(LAW, "what was sent by request 1 without an id is now x, y");
    }
}
