//! Fences — decides whether terms keep a deposed primary from acknowledging anything. It never looks at what
//! copies hold.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock},
    },
    event::{CopyState, Event, EventKind, Placement},
    name::{AllocationId, HostId, SeqNo, ShardId, Term},
};

pub(super) const ACKNOWLEDGE_FENCED: Law = Law {
    name: "copies.acknowledge-fenced",
    sentence: "A write is acknowledged in the term of the newest committed state, or was numbered before any other in-sync \
               copy of that state knew the newer term.",
    source: "Elasticsearch, data replication model: the in-sync copies of a newer term refuse an older primary, which so \
             learns that it is one; #7572, #10426",
    monitor: || Box::<AcknowledgeFenced>::default(),
};

pub(super) const TERMS_GROW: Law = Law {
    name: "copies.terms-grow",
    sentence: "The term of a shard never goes back along committed states, and is higher whenever another copy than the \
               target of its relocation becomes the primary.",
    source: "Elasticsearch, data replication model: the primary term is incremented whenever a primary is assigned; \
             #19269",
    monitor: || Box::<TermsGrow>::default(),
};

/// A deposed primary cannot know that it is one, so it may acknowledge what its in-sync copies took before they
/// learned better; all of that is on the copy that was promoted. But an in-sync copy that knows the newer term
/// takes nothing more, and the deposed primary can have nobody remove it: so nothing that it numbers from then
/// on is ever acknowledged.
///
/// What a copy knew is forgotten with its process, and learned again before it serves. Not judged: an
/// acknowledgement under a state that has been seen applied and is not noted (yet).
#[derive(Default)]
struct AcknowledgeFenced {
    noted: u64,
    seen: u64,
    shards: BTreeMap<ShardId, Group>,
    /// Since when each copy knows terms, by term.
    known: BTreeMap<AllocationId, Vec<(Term, Point)>>,
    hosts: BTreeMap<AllocationId, HostId>,
    /// Operations that are not acknowledged yet: by whom and when they were numbered.
    numbered: BTreeMap<ShardId, Numbered>,
}

/// Who numbered an operation, and when.
type Numbered = BTreeMap<(Term, SeqNo), (AllocationId, Point)>;

/// What the newest noted state says of a shard.
#[derive(Default)]
struct Group {
    term: Term,
    in_sync: BTreeSet<AllocationId>,
}

impl AcknowledgeFenced {
    fn publish(&mut self, version: u64, routing: &[Placement]) {
        self.seen = self.seen.max(version);
        if version < self.noted {
            return;
        }
        self.noted = version;
        self.shards.values_mut().for_each(|group| group.in_sync.clear());
        for copy in routing {
            let group = match self.shards.get_mut(&copy.shard) {
                Some(group) => group,
                None => self.shards.entry(copy.shard.clone()).or_default(),
            };
            group.term = copy.term;
            group.in_sync.extend(copy.allocation.filter(|_| copy.in_sync));
        }
    }

    fn learn(&mut self, event: &Event, copy: AllocationId, term: Term) {
        self.hosts.extend(event.host.map(|host| (copy, host)));
        let known = self.known.entry(copy).or_default();
        if known.last().is_none_or(|(last, _)| *last < term) {
            known.push((term, event.into()));
        }
    }

    fn acknowledge(&mut self, event: &Event, shard: &ShardId, term: Term, seq_no: SeqNo) -> Judged {
        let numbered = self.numbered.get_mut(shard).and_then(|all| all.remove(&(term, seq_no)));
        let (Some((by, at)), Some(group)) = (numbered, self.shards.get(shard)) else { return Ok(()) };
        if self.noted != self.seen || group.term == term {
            return Ok(());
        }
        let what = format!("operation {seq_no} of {shard} is acknowledged in term {term}");
        if group.term < term {
            return broken(event, format!("{what}, but the newest committed state has term {}", group.term));
        }
        let others = group.in_sync.iter().filter(|copy| **copy != by);
        let knew = others.filter_map(|copy| {
            let (newer, since) = self.known.get(copy)?.iter().find(|(known, _)| *known > term)?;
            (*since < at).then_some((copy, newer, since))
        });
        match knew.min_by_key(|(_, _, since)| **since) {
            None => Ok(()),
            Some((copy, newer, since)) => broken(
                event,
                format!(
                    "{what}, numbered at {}, but in-sync copy {copy} knew term {newer} since {}",
                    clock(at.at),
                    clock(since.at)
                ),
            ),
        }
    }
}

impl Monitor for AcknowledgeFenced {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::StatePublished { version, routing, .. } => self.publish(*version, routing),
            EventKind::StateApplied { version, .. } => self.seen = self.seen.max(*version),
            EventKind::TermAdopted { allocation, term, .. }
            | EventKind::PrimaryActivated { allocation, term, .. } => self.learn(event, *allocation, *term),
            EventKind::ReplicaAppended { allocation, sender_term, .. } => {
                self.learn(event, *allocation, *sender_term);
            }
            EventKind::PrimaryAppended { shard, allocation, term, seq_no, .. } => {
                if !self.numbered.contains_key(shard) {
                    self.numbered.insert(shard.clone(), BTreeMap::new());
                }
                let new = (*allocation, event.into());
                self.numbered.entry(shard.clone()).or_default().insert((*term, *seq_no), new);
            }
            EventKind::WriteAcknowledged { shard, term, seq_no, .. } => {
                return self.acknowledge(event, shard, *term, *seq_no);
            }
            EventKind::HostStarted { .. } | EventKind::HostCrashed { .. } | EventKind::HostHalted { .. } => {
                let hosts = &self.hosts;
                self.known.retain(|copy, _| hosts.get(copy).copied() != event.host);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Judged along versions, and only from one version to the next: what happened in one that nobody noted is
/// not known. An index that is made again under its name begins anew; it is one none of whose copies the
/// former state knew.
#[derive(Default)]
struct TermsGrow {
    newest: u64,
    shards: BTreeMap<ShardId, Reign>,
}

/// What a state says of a shard's primary.
#[derive(Clone, Default)]
struct Reign {
    version: u64,
    term: Term,
    primary: Option<AllocationId>,
    /// Copies that are or may become the target of the primary's relocation.
    targets: Vec<AllocationId>,
    copies: Vec<AllocationId>,
}

impl Reign {
    fn of(version: u64, copies: &[&Placement]) -> Self {
        let mut reign = Self { version, ..Self::default() };
        for copy in copies {
            reign.term = copy.term;
            reign.copies.extend(copy.allocation);
            if copy.primary && copy.state != CopyState::Initializing {
                reign.primary = copy.allocation.or(reign.primary);
            }
            if copy.state == CopyState::Initializing {
                reign.targets.extend(copy.allocation);
            }
        }
        if !copies.iter().any(|copy| copy.state == CopyState::Relocating && copy.primary) {
            reign.targets.clear();
        }
        reign
    }

    fn flaw(&self, after: &Self) -> Option<String> {
        let is_made_again = !after.copies.iter().any(|copy| self.copies.contains(copy));
        if after.term < self.term && !is_made_again {
            return Some(format!("has term {} after term {}", after.term, self.term));
        }
        let (before, now) = (self.primary?, after.primary?);
        let is_passed = before == now || self.targets.contains(&now);
        let is_next = after.version == self.version + 1;
        (is_next && !is_passed && after.term <= self.term && !is_made_again).then(|| {
            format!("has copy {now} for its primary after copy {before}, both in term {}", after.term)
        })
    }
}

impl TermsGrow {
    fn publish(&mut self, event: &Event, version: u64, routing: &[Placement]) -> Judged {
        if version < self.newest {
            return Ok(());
        }
        self.newest = version;
        for copies in routing.chunk_by(|one, other| one.shard == other.shard) {
            let copies: Vec<_> = copies.iter().collect();
            let shard = &copies[0].shard;
            let after = Reign::of(version, &copies);
            match self.shards.get_mut(shard) {
                None => _ = self.shards.insert(shard.clone(), after),
                Some(before) => {
                    let flaw = before.flaw(&after);
                    *before = after;
                    if let Some(flaw) = flaw {
                        return broken(event, format!("{shard} {flaw} in version {version}"));
                    }
                }
            }
        }
        self.shards.retain(|_, reign| reign.version == version);
        Ok(())
    }
}

impl Monitor for TermsGrow {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::StatePublished { version, routing, .. } => self.publish(event, *version, routing),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, numbered, search, shard},
        event::{
            CopyState::{Initializing, Relocating, Started},
            EventKind as E,
        },
        name::Epoch,
    };

    const FENCED: &str = "copies.acknowledge-fenced";
    const GROW: &str = "copies.terms-grow";

    /// One copy: its id, whether it is the primary, its state.
    type One = (u64, bool, CopyState);

    fn publish(record: &mut Record, version: u64, term: u64, copies: &[One]) {
        let placement = |(id, primary, state): &One| Placement {
            shard: shard(),
            node: Some(search(*id as u16)),
            allocation: Some(AllocationId(*id)),
            primary: *primary,
            state: *state,
            in_sync: *state != Initializing,
            term: Term(term),
        };
        record.on(
            search(3),
            E::StatePublished {
                epoch: Epoch(1),
                version,
                nodes: vec![],
                routing: copies.iter().map(placement).collect(),
                unlisted: vec![],
                why: String::new(),
            },
        );
    }

    fn knows(record: &mut Record, copy: u64, term: u64) {
        let (allocation, term) = (AllocationId(copy), Term(term));
        record.on(search(copy as u16), E::TermAdopted { shard: shard(), allocation, term });
    }

    fn numbers(record: &mut Record, copy: u64, term: u64) {
        record.on(search(copy as u16), numbered((copy, term), 5, 5));
    }

    fn acknowledges(record: &mut Record, copy: u64, term: u64) {
        let (term, seq_no) = (Term(term), SeqNo(5));
        let acknowledged = E::WriteAcknowledged { shard: shard(), term, seq_no, copies: 1, durable: true };
        record.on(search(copy as u16), acknowledged);
    }

    /// Copy 1 was deposed in favour of copy 2, with term 2.
    fn deposed(then: impl FnOnce(&mut Record)) -> Record {
        let mut record = Record::default();
        publish(&mut record, 1, 1, &[(1, true, Started), (2, false, Started)]);
        publish(&mut record, 2, 2, &[(2, true, Started)]);
        then(&mut record);
        acknowledges(&mut record, 1, 1);
        record
    }

    /// Elasticsearch #7572: the isolated primary acknowledges alone.
    #[test]
    fn write_numbered_when_the_new_primary_knew_its_term_fails() {
        let record = deposed(|record| {
            knows(record, 2, 2);
            numbers(record, 1, 1);
        });
        record.assert_fails(FENCED, "operation 5 of articles/0 is acknowledged in term 1, numbered at");
        record.assert_fails(FENCED, "but in-sync copy 2 knew term 2 since");
    }

    #[test]
    fn write_numbered_before_is_allowed() {
        deposed(|record| {
            numbers(record, 1, 1);
            knows(record, 2, 2);
        })
        .assert_passes(FENCED);
    }

    #[test]
    fn write_under_a_state_that_is_not_noted_yet_is_not_judged() {
        deposed(|record| {
            knows(record, 2, 2);
            numbers(record, 1, 1);
            record.on(search(2), E::StateApplied { epoch: Epoch(1), version: 3 });
        })
        .assert_passes(FENCED);
    }

    #[test]
    fn write_in_a_term_of_no_state_fails() {
        let mut record = Record::default();
        publish(&mut record, 1, 1, &[(1, true, Started)]);
        numbers(&mut record, 1, 7);
        acknowledges(&mut record, 1, 7);
        record.assert_fails(FENCED, "is acknowledged in term 7, but the newest committed state has term 1");
    }

    #[test]
    fn term_that_goes_back_fails() {
        let mut record = Record::default();
        publish(&mut record, 1, 2, &[(1, true, Started)]);
        publish(&mut record, 3, 1, &[(1, true, Started)]);
        record.assert_fails(GROW, "articles/0 has term 1 after term 2 in version 3");
    }

    #[test]
    fn new_primary_in_the_old_term_fails_unless_it_was_the_target() {
        let states = |before: &[One]| {
            let mut record = Record::default();
            publish(&mut record, 1, 1, before);
            publish(&mut record, 2, 1, &[(2, true, Started)]);
            record
        };
        states(&[(1, true, Started), (2, false, Started)])
            .assert_fails(GROW, "has copy 2 for its primary after copy 1, both in term 1 in version 2");
        states(&[(1, true, Relocating), (2, true, Initializing)]).assert_passes(GROW);
        states(&[(1, true, Started)]).assert_passes(GROW);
    }
}
