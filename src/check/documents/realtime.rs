//! Realtime — decides whether what a get shows can be there at all. It never asks that it be fresh.

use std::collections::BTreeMap;

use crate::{
    check::{
        history::{Doc, History},
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock},
    },
    event::{Digest, Event},
    name::{RequestId, SeqNo, Term},
};

pub(in crate::check) const REALTIME: Law = Law {
    name: "documents.realtime",
    sentence: "A get returns only content that someone sent for that document, and one number shows one content.",
    source: "Elasticsearch, get API (realtime); sequence ids: (primary term, sequence number) names one operation; \
             #52400 for what it does not promise",
    monitor: || Box::<Realtime>::default(),
};

/// Allowed: stale reads (a copy that lags) and dirty reads (a copy that shows a write before it is
/// acknowledged, even one that fails later), for a get is answered by any one copy (#52400).
#[derive(Default)]
struct Realtime {
    history: History,
    /// What each operation was first shown to do, by document.
    shown: BTreeMap<(usize, Term, SeqNo), Shown>,
}

#[derive(Clone, Copy)]
struct Shown {
    source: Option<Digest>,
    request: u64,
    at: Point,
}

fn text(source: Option<Digest>) -> String {
    source.map_or("a delete".into(), |source| format!("{:016x}", source.0))
}

impl Realtime {
    /// What an answer says of the document `doc`: this operation did this.
    fn show(&mut self, event: &Event, doc: usize, (seq_no, term): (SeqNo, Term), new: Shown) -> Judged {
        let first = *self.shown.entry((doc, term, seq_no)).or_insert(new);
        if first.source == new.source {
            return Ok(());
        }
        let Doc { index, id, .. } = &self.history.docs()[doc];
        broken(
            event,
            format!(
                "operation {seq_no} of term {term} of {index}/{id} is {} by the answer to request {}, but was {} by that \
                 to request {} at {}",
                text(new.source),
                RequestId(new.request),
                text(first.source),
                RequestId(first.request),
                clock(first.at.at)
            ),
        )
    }
}

impl Monitor for Realtime {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(answer) = self.history.observe(event) else { return Ok(()) };
        let doc = &self.history.docs()[answer.doc];
        let Some(nth) = answer.write else {
            let Some(get) = doc.gets.last() else { return Ok(()) };
            let Some((digest, operation)) = get.found else { return Ok(()) };
            if !doc.was_sent(digest) {
                let (index, id, digest) = (&doc.index, &doc.id, digest.0);
                let why = format!("a get of {index}/{id} returned {digest:016x}, which nobody sent");
                return broken(event, why);
            }
            let shown = Shown { source: Some(digest), request: get.request, at: get.at };
            return operation.map_or(Ok(()), |operation| self.show(event, answer.doc, operation, shown));
        };
        let write = &doc.writes[nth];
        let shown = Shown { source: write.source, request: write.request, at: event.into() };
        write.operation().map_or(Ok(()), |operation| self.show(event, answer.doc, operation, shown))
    }
}

#[cfg(test)]
mod tests {
    use crate::{check::record::Record, event::Outcome};

    const LAW: &str = "documents.realtime";

    #[test]
    fn get_of_content_that_nobody_sent_fails() {
        let mut record = Record::default();
        record.write(1, "a", Some(1)).acknowledge(1, 0, 1);
        record.get(2, "a").got(2, Some((7, 0, 1)));
        record.assert_fails(LAW, "a get of articles/a returned 0000000000000007, which nobody sent");
    }

    #[test]
    fn get_of_content_that_is_sent_later_fails() {
        let mut record = Record::default();
        record.get(2, "a").got(2, Some((1, 0, 1)));
        record.write(1, "a", Some(1)).acknowledge(1, 0, 1);
        record.assert_fails(LAW, "which nobody sent");
    }

    #[test]
    fn get_of_an_old_or_failed_or_missing_content_is_allowed() {
        let mut record = Record::default();
        record.write(1, "a", Some(1)).acknowledge(1, 0, 1).write(2, "a", Some(2)).acknowledge(2, 1, 1);
        record.write(3, "a", Some(3)).complete(3, Outcome::Failed, None);
        record
            .get(4, "a")
            .got(4, Some((1, 0, 1)))
            .get(5, "a")
            .got(5, Some((3, 2, 1)))
            .get(6, "a")
            .got(6, None);
        record.assert_passes(LAW);
    }

    #[test]
    fn operation_that_is_shown_to_do_two_things_fails() {
        let mut record = Record::default();
        record.write(1, "a", Some(1)).acknowledge(1, 0, 1).write(2, "a", Some(2));
        record.get(3, "a").got(3, Some((2, 0, 1)));
        record.assert_fails(
            LAW,
            "operation 0 of term 1 of articles/a is 0000000000000002 by the answer to request 3, but was \
             0000000000000001 by that to request 1",
        );
        let mut record = Record::default();
        record.write(1, "a", Some(1)).write(2, "a", None);
        record.get(3, "a").got(3, Some((1, 0, 1))).acknowledge(2, 0, 1);
        record
            .assert_fails(LAW, "operation 0 of term 1 of articles/a is a delete by the answer to request 2");
    }
}
