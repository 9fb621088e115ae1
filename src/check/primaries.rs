//! Primaries — decides whether one copy at a time numbers a shard's operations, and the others take them
//! from no one else. It never looks into documents.

use std::collections::BTreeMap;

use crate::{
    check::{
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock},
    },
    event::{Digest, Event, EventKind},
    name::{AllocationId, HostId, SeqNo, ShardId, Term},
};

pub(super) const ONE_PRIMARY: Law = Law {
    name: "copies.one-primary",
    sentence: "One copy of a shard is the acting primary in a term, unless it hands the term over to the target of its \
               relocation; only the acting primary numbers operations.",
    source: "Elasticsearch, data replication model: a primary term for each assigned primary; primary context handoff; \
             #19269",
    monitor: || Box::<OnePrimary>::default(),
};

pub(super) const ONE_OPERATION: Law = Law {
    name: "copies.one-operation",
    sentence: "Term and sequence number name one operation of a shard, on every copy.",
    source: "Elasticsearch, sequence ids: (primary term, sequence number) identifies an operation; #10708",
    monitor: || Box::<OneOperation>::default(),
};

pub(super) const TERM_FENCE: Law = Law {
    name: "copies.term-fence",
    sentence: "A copy that knows of a term takes no operation from the primary of an older one.",
    source: "Elasticsearch, data replication model: replicas reject operations of a stale primary; #7572, #24779",
    monitor: || Box::<TermFence>::default(),
};

/// A copy in a term.
#[derive(Clone, PartialEq, Eq)]
struct Actor {
    host: HostId,
    allocation: AllocationId,
    shard: ShardId,
    term: Term,
}

/// What became of the copy that last acted in a term.
struct Acting {
    copy: Actor,
    since: Point,
    duty: Duty,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Duty {
    Acts,
    HandedOff,
    Ended,
}

/// Allowed: the same copy acts again in the same term after its process died, as long as nobody else has;
/// that it must not number anew what it had numbered is `copies.one-operation`.
#[derive(Default)]
struct OnePrimary {
    terms: BTreeMap<(ShardId, Term), Acting>,
}

impl OnePrimary {
    fn activate(&mut self, event: &Event, copy: &Actor) -> Judged {
        let new = Acting { copy: copy.clone(), since: event.into(), duty: Duty::Acts };
        let Some(old) = self.terms.insert((copy.shard.clone(), copy.term), new) else { return Ok(()) };
        let then = match old.duty {
            _ if old.copy == *copy => return Ok(()),
            Duty::HandedOff => return Ok(()),
            Duty::Acts => "still does",
            Duty::Ended => "did not hand it over",
        };
        let Actor { host, allocation, shard, term } = copy;
        let (other, since) = (&old.copy, clock(old.since.at));
        broken(
            event,
            format!(
                "copy {allocation} of {shard} on {host} acts as primary in term {term}, in which copy {} on {} acted \
                 since {since} and {then}",
                other.allocation, other.host
            ),
        )
    }

    /// The copy, if it acts.
    fn acting(&mut self, copy: &Actor) -> Option<&mut Acting> {
        let acting = self.terms.get_mut(&(copy.shard.clone(), copy.term));
        acting.filter(|acting| acting.duty == Duty::Acts && acting.copy == *copy)
    }

    fn append(&mut self, event: &Event, copy: &Actor) -> Judged {
        if self.acting(copy).is_some() {
            return Ok(());
        }
        let Actor { host, allocation, shard, term } = copy;
        let what = format!("copy {allocation} of {shard} on {host} numbered an operation in term {term}");
        broken(event, format!("{what} without acting as its primary"))
    }

    fn deactivate(&mut self, copy: &Actor, why: &str) {
        if let Some(acting) = self.acting(copy) {
            acting.duty = if why == "handed-off" { Duty::HandedOff } else { Duty::Ended };
        }
    }

    fn end_life(&mut self, host: HostId) {
        let acting = self.terms.values_mut().filter(|acting| acting.copy.host == host);
        acting.filter(|acting| acting.duty == Duty::Acts).for_each(|acting| acting.duty = Duty::Ended);
    }
}

impl Monitor for OnePrimary {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else { return Ok(()) };
        let copy = |shard: &ShardId, allocation: &AllocationId, term: &Term| Actor {
            host,
            allocation: *allocation,
            shard: shard.clone(),
            term: *term,
        };
        match &event.kind {
            EventKind::PrimaryActivated { shard, allocation, term } => {
                self.activate(event, &copy(shard, allocation, term))
            }
            EventKind::PrimaryAppended { shard, allocation, term, .. } => {
                self.append(event, &copy(shard, allocation, term))
            }
            EventKind::PrimaryDeactivated { shard, allocation, term, why } => {
                self.deactivate(&copy(shard, allocation, term), why);
                Ok(())
            }
            kind if is_new_life(kind) => {
                self.end_life(host);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Operations that no copy but a dead primary's ever had count too: a later primary of the same term cannot
/// give their number away again, for it has a higher term.
#[derive(Default)]
struct OneOperation {
    operations: BTreeMap<ShardId, Operations>,
}

/// Each operation as it was first seen: what it does, where, when.
type Operations = BTreeMap<(Term, SeqNo), (Digest, HostId, Point)>;

impl OneOperation {
    fn see(
        &mut self,
        event: &Event,
        host: HostId,
        shard: &ShardId,
        name: (Term, SeqNo),
        digest: Digest,
    ) -> Judged {
        if !self.operations.contains_key(shard) {
            self.operations.insert(shard.clone(), BTreeMap::new());
        }
        let Some(operations) = self.operations.get_mut(shard) else { return Ok(()) };
        let (first, on, since) = *operations.entry(name).or_insert((digest, host, event.into()));
        if first == digest {
            return Ok(());
        }
        broken(
            event,
            format!(
                "operation {} of term {} of {shard} is {:016x} on {host}, but {:016x} on {on} at {}",
                name.1,
                name.0,
                digest.0,
                first.0,
                clock(since.at)
            ),
        )
    }
}

impl Monitor for OneOperation {
    fn observe(&mut self, event: &Event) -> Judged {
        match (&event.kind, event.host) {
            (EventKind::PrimaryAppended { shard, term, seq_no, digest, .. }, Some(host))
            | (EventKind::ReplicaAppended { shard, term, seq_no, digest, .. }, Some(host)) => {
                self.see(event, host, shard, (*term, *seq_no), *digest)
            }
            _ => Ok(()),
        }
    }
}

/// A copy learns of a term by adopting it, by taking an operation from its primary, or by acting in it. A
/// restart forgets what it learned: the copy learns it again from the cluster state, before it serves.
#[derive(Default)]
struct TermFence {
    known: BTreeMap<(HostId, AllocationId), (Term, Point)>,
}

impl TermFence {
    fn learn(&mut self, event: &Event, copy: (HostId, AllocationId), term: Term) -> Judged {
        let known = self.known.entry(copy).or_insert((term, event.into()));
        if term > known.0 {
            *known = (term, event.into());
        }
        Ok(())
    }

    fn check(
        &self,
        event: &Event,
        copy: (HostId, AllocationId),
        shard: &ShardId,
        term: Term,
        act: &str,
    ) -> Judged {
        let Some((known, since)) = self.known.get(&copy).filter(|(known, _)| *known > term) else {
            return Ok(());
        };
        let (host, allocation) = copy;
        broken(
            event,
            format!(
                "copy {allocation} of {shard} on {host} {act} term {term}, but knew of term {known} since {}",
                clock(since.at)
            ),
        )
    }
}

impl Monitor for TermFence {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::TermAdopted { allocation, term, .. }
            | EventKind::PrimaryActivated { allocation, term, .. } => {
                self.learn(event, (host, *allocation), *term)
            }
            EventKind::PrimaryAppended { shard, allocation, term, .. } => {
                self.check(event, (host, *allocation), shard, *term, "numbered an operation as primary of")
            }
            EventKind::ReplicaAppended { shard, allocation, sender_term, term, seq_no, .. } => {
                let copy = (host, *allocation);
                self.check(event, copy, shard, *sender_term, "took an operation from the primary of")?;
                if term > sender_term {
                    let why = format!(
                        "{host} took operation {seq_no} of term {term} of {shard} from a primary of term {sender_term}"
                    );
                    return broken(event, why);
                }
                self.learn(event, copy, *sender_term)
            }
            kind if is_new_life(kind) => {
                self.known.retain(|(on, _), _| *on != host);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{self, Record, SHARD, search, shard},
        event::EventKind as E,
    };

    fn activated(allocation: u64, term: u64) -> E {
        E::PrimaryActivated { shard: shard(), allocation: AllocationId(allocation), term: Term(term) }
    }

    fn deactivated(allocation: u64, term: u64, why: &'static str) -> E {
        E::PrimaryDeactivated {
            shard: shard(),
            allocation: AllocationId(allocation),
            term: Term(term),
            why: why.into(),
        }
    }

    fn numbered(allocation: u64, term: u64, seq_no: i64, digest: u64) -> E {
        record::numbered((allocation, term), seq_no, digest)
    }

    fn taken(allocation: u64, sender_term: u64, term: u64) -> E {
        E::ReplicaAppended {
            shard: shard(),
            allocation: AllocationId(allocation),
            sender_term: Term(sender_term),
            term: Term(term),
            seq_no: SeqNo(90),
            digest: Digest(90),
            global_checkpoint: SeqNo::NONE,
        }
    }

    #[test]
    fn second_copy_acting_in_a_term_fails() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(1, |kind| matches!(kind, E::PrimaryActivated { .. }));
        *at = activated(2, 1);
        record.assert_fails(
            "copies.one-primary",
            "copy 2 of articles/0 on search-2 acts as primary in term 1, in which copy 1 on search-1 acted",
        );
    }

    #[test]
    fn term_passes_only_by_a_hand_off_before() {
        for (why, passes) in [("handed-off", true), ("deposed", false)] {
            let mut record = Record::default();
            record
                .on(search(1), activated(1, 1))
                .on(search(1), deactivated(1, 1, why))
                .on(search(2), activated(2, 1));
            if passes {
                record.assert_passes("copies.one-primary");
            } else {
                record.assert_fails("copies.one-primary", "and did not hand it over");
            }
        }
        let mut record = Record::default();
        record.on(search(1), activated(1, 1)).on(search(2), activated(2, 1));
        record.on(search(1), deactivated(1, 1, "handed-off"));
        record.assert_fails("copies.one-primary", "and still does");
    }

    #[test]
    fn operation_numbered_by_a_copy_that_does_not_act_fails() {
        for end in [deactivated(1, 1, "handed-off"), E::HostCrashed { power: false }] {
            let mut record = Record::default();
            record.on(search(1), activated(1, 1)).on(search(1), end).on(search(1), numbered(1, 1, 0, 0));
            record.assert_fails(
                "copies.one-primary",
                "numbered an operation in term 1 without acting as its primary",
            );
        }
    }

    #[test]
    fn number_given_to_two_operations_fails() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(1, |kind| matches!(kind, E::ReplicaAppended { .. }));
        if let E::ReplicaAppended { digest, .. } = at {
            *digest = Digest(5);
        }
        record.assert_fails(
            "copies.one-operation",
            &format!("operation 1 of term 1 of {SHARD} is 0000000000000005"),
        );
    }

    /// Elasticsearch #24779: a replica that sees a higher term takes nothing from a lower one.
    #[test]
    fn operation_of_a_deposed_primary_fails() {
        let adopted = E::TermAdopted { shard: shard(), allocation: AllocationId(2), term: Term(2) };
        for learned in [adopted, taken(2, 2, 1), activated(2, 2)] {
            let mut record = Record::default();
            record.on(search(2), learned).on(search(2), taken(2, 1, 1));
            record.assert_fails(
                "copies.term-fence",
                "copy 2 of articles/0 on search-2 took an operation from the primary of term 1, but knew of term 2",
            );
        }
    }

    #[test]
    fn term_is_forgotten_with_the_process() {
        let mut record = Record::default();
        record.on(search(2), taken(2, 2, 1)).on(search(2), E::HostStarted { incarnation: 2 });
        record.on(search(2), taken(2, 1, 1));
        record.assert_passes("copies.term-fence");
    }

    #[test]
    fn operation_of_a_later_term_than_its_sender_fails() {
        let mut record = Record::default();
        record.on(search(2), taken(2, 1, 2));
        record.assert_fails(
            "copies.term-fence",
            "took operation 90 of term 2 of articles/0 from a primary of term 1",
        );
    }
}
