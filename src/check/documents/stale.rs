//! Stale — decides whether a get that shows too little is one that Elasticsearch allows. It never judges gets
//! that show too much.

use std::collections::BTreeMap;

use super::usurped::Usurped;
use crate::{
    check::{
        forfeit::Forfeit,
        history::{Doc, Get, History, Write},
        law::{Law, Monitor},
        strays::Strays,
        verdict::{Judged, broken, clock},
    },
    event::{Event, EventKind},
    name::{RequestId, SeqNo},
};

pub(in crate::check) const STALE: Law = Law {
    name: "documents.stale",
    sentence: "A get that shows less than was acknowledged before it was sent meets a copy that is out of the in-sync set \
               and whose node has not heard of it; there is no such get where only the primary answers.",
    source: "Elasticsearch, data replication model: acknowledged when every in-sync copy has it, a stale read comes from \
             a copy that does not know that it was removed; #20031, #52400",
    monitor: || Box::<Stale>::default(),
};

/// Every copy in the in-sync set has what was acknowledged, and a realtime get shows what a copy has. So only a
/// copy that is out of the set can show less, as long as it may serve ([`Strays`]). (The record does not say which
/// copy answered: one such copy of the index excuses the get.) Under the read policies `primary` and `lease` it may not
/// serve: a primary that was replaced has to find that out before it answers; but for one that counts on a session that
/// somebody else has closed ([`Usurped`]).
#[derive(Default)]
struct Stale {
    primary_alone: bool,
    history: History,
    forfeit: Forfeit,
    strays: Strays,
    usurped: Usurped,
}

impl Stale {
    /// Whether a copy may have answered this get that need not have had everything.
    fn is_excused(&self, doc: &Doc, get: &Get) -> bool {
        if self.primary_alone {
            return self.usurped.excuses(get.sent, get.at);
        }
        let mut strays = self.strays.iter().filter(|stray| *stray.index.0 == *doc.index);
        strays.any(|stray| stray.may_have_served(get.sent, get.at))
    }

    fn judge(&self, doc: &Doc) -> Judged {
        let newest = Newest::of(doc);
        let stale = doc.gets.iter().filter_map(|get| Some((get, newest.missed(doc, get)?)));
        for (get, write) in stale {
            if self.is_excused(doc, get) {
                continue;
            }
            let shown = match get.found {
                Some((_, Some((seq_no, term)))) => format!("operation {seq_no} of term {term}"),
                Some(_) => "an older one".into(),
                None => "nothing".into(),
            };
            let (seq_no, _) = write.operation().unwrap_or_default();
            return broken(
                get.at,
                format!(
                    "request {} for {}/{}, sent at {}, shows {shown}, but operation {seq_no} was acknowledged to request {} \
                     at {}; every copy that may serve had it",
                    RequestId(get.request),
                    doc.index,
                    doc.id,
                    clock(get.sent.at),
                    RequestId(write.request),
                    clock(write.acknowledged_at().unwrap_or_default().at)
                ),
            );
        }
        Ok(())
    }
}

/// The newest acknowledged write of a document, as of each acknowledgement.
struct Newest<'a>(BTreeMap<u64, &'a Write>);

impl<'a> Newest<'a> {
    fn of(doc: &'a Doc) -> Self {
        let mut acknowledged: Vec<_> =
            doc.writes.iter().filter(|write| write.operation().is_some()).collect();
        acknowledged.sort_by_key(|write| write.acknowledged_at());
        let mut newest: Option<&Write> = None;
        let steps = acknowledged.into_iter().filter_map(|write| {
            let is_newer = newest.is_none_or(|newest| newest.operation() < write.operation());
            newest = if is_newer { Some(write) } else { newest };
            Some((write.acknowledged_at()?.seq, newest?))
        });
        Self(steps.collect())
    }

    /// The acknowledged write that this get should have shown, or a later one.
    fn missed(&self, doc: &Doc, get: &Get) -> Option<&'a Write> {
        let (_, newest) = self.0.range(..get.sent.seq).next_back()?;
        let (seq_no, _) = newest.operation()?;
        let misses = match get.found {
            Some((_, Some((shown, _)))) => shown < seq_no,
            Some((source, None)) => {
                let mut writes = doc.writes.iter().filter(|write| write.source == Some(source));
                writes.all(|write| write.operation().is_some_and(|(shown, _)| shown < seq_no))
            }
            None => newest.source.is_some() && !may_be_deleted(doc, get, seq_no),
        };
        misses.then_some(*newest)
    }
}

/// Whether a delete after this operation may have been what a get showed.
fn may_be_deleted(doc: &Doc, get: &Get, after: SeqNo) -> bool {
    let mut deletes = doc.writes.iter().filter(|write| write.source.is_none() && write.sent < get.at);
    // A delete that has failed by now may have been shown before (a dirty read).
    deletes.any(|delete| delete.operation().is_none_or(|(seq_no, _)| seq_no > after))
}

impl Monitor for Stale {
    fn observe(&mut self, event: &Event) -> Judged {
        if let EventKind::RunStarted { read_policy, .. } = &event.kind {
            self.primary_alone = matches!(read_policy.as_ref(), "primary" | "lease");
        }
        self.history.observe(event);
        self.forfeit.observe(event);
        self.strays.observe(event);
        self.usurped.observe(event);
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        let mut docs = self.history.docs().iter().filter(|doc| self.forfeit.stands_by(doc));
        docs.try_for_each(|doc| self.judge(doc))
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::record::{Record, search},
        event::{CopyState, EventKind as E},
        name::{AllocationId, Epoch},
    };

    const LAW: &str = "documents.stale";

    fn applied(record: &mut Record, node: u16, version: u64) {
        record.on(search(node), E::StateApplied { epoch: Epoch(1), version });
    }

    /// Two copies serve; a write is acknowledged; a get shows what was before. In between, this happens.
    fn old_get(between: impl FnOnce(&mut Record)) -> Record {
        use CopyState::Started;
        let mut record = Record::default();
        record.publish(search(3), 1, &[(1, Started), (2, Started)]);
        record.write(1, "a", Some(1)).acknowledge(1, 0, 1);
        between(&mut record);
        record.write(2, "a", Some(2)).acknowledge(2, 1, 1);
        record.get(3, "a").got(3, Some((1, 0, 1)));
        record
    }

    #[test]
    fn old_content_from_copies_that_are_all_in_sync_fails() {
        old_get(|_| ()).assert_fails(
            LAW,
            "shows operation 0 of term 1, but operation 1 was acknowledged to request 2 at",
        );
    }

    #[test]
    fn old_content_from_a_copy_that_does_not_know_it_is_out_is_allowed() {
        let remove = |record: &mut Record| _ = record.publish(search(3), 2, &[(1, CopyState::Started)]);
        old_get(remove).assert_passes(LAW);
        old_get(|record| applied(record, 1, 2)).assert_fails(LAW, "every copy that may serve had it");
        // The state is noted only after the primary has acted on it.
        let mut late = old_get(|record| applied(record, 1, 2));
        remove(&mut late);
        late.assert_passes(LAW);
    }

    #[test]
    fn old_content_is_never_allowed_where_only_the_primary_answers() {
        for (policy, passes) in [("any", true), ("primary", false), ("lease", false)] {
            let mut record = Record::healthy();
            record.events.truncate(1);
            if let E::RunStarted { read_policy, .. } = &mut record.events[0].kind {
                *read_policy = policy.into();
            }
            let remove = |record: &mut Record| _ = record.publish(search(3), 2, &[(1, CopyState::Started)]);
            record.events.extend(old_get(remove).events);
            if passes {
                record.assert_passes(LAW);
            } else {
                record.assert_fails(LAW, "every copy that may serve had it");
            }
        }
    }

    #[test]
    fn old_content_after_the_copy_has_heard_or_died_fails() {
        let ends = [
            E::StateApplied { epoch: Epoch(1), version: 2 },
            E::HostCrashed { power: false },
            E::CopyRemoved { shard: crate::check::record::shard(), allocation: AllocationId(2) },
        ];
        for end in ends {
            old_get(|record| {
                record.publish(search(3), 2, &[(1, CopyState::Started)]).on(search(2), end);
            })
            .assert_fails(LAW, "every copy that may serve had it");
        }
    }

    #[test]
    fn nothing_is_shown_only_if_a_delete_may_have_been() {
        let nothing = |deletes: bool| {
            let mut record = Record::default();
            record.publish(search(3), 1, &[(1, CopyState::Started)]);
            record.write(1, "a", Some(1)).acknowledge(1, 0, 1);
            if deletes {
                record.write(2, "a", None);
            }
            record.get(3, "a").got(3, None);
            record
        };
        nothing(true).assert_passes(LAW);
        nothing(false).assert_fails(LAW, "shows nothing, but operation 0 was acknowledged to request 1");
    }

    #[test]
    fn old_content_that_was_asked_for_before_the_acknowledgement_is_allowed() {
        let mut record = Record::default();
        record.publish(search(3), 1, &[(1, CopyState::Started)]);
        record.write(1, "a", Some(1)).acknowledge(1, 0, 1).write(2, "a", Some(2)).get(3, "a");
        record.acknowledge(2, 1, 1).got(3, Some((1, 0, 1)));
        record.assert_passes(LAW);
    }
}
