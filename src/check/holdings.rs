//! Holdings — decides, from the record alone, which operations each copy of a shard has. It never judges.
//!
//! What a copy has in memory counts, synced or not: what a crash took is told when the copy is opened again.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    event::{Event, EventKind},
    name::{AllocationId, HostId, SeqNo, Term},
};

/// Operations by number, with their terms, as runs of numbers that follow each other in one term.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Runs(BTreeMap<SeqNo, (SeqNo, Term)>);

impl Runs {
    /// The term of the operation of this number.
    pub(super) fn get(&self, seq_no: SeqNo) -> Option<Term> {
        let (_, (last, term)) = self.0.range(..=seq_no).next_back()?;
        (seq_no <= *last).then_some(*term)
    }

    /// Adds an operation; it takes the place of another one of its number.
    pub(super) fn put(&mut self, seq_no: SeqNo, term: Term) {
        if let Some(mut run) = self.0.last_entry()
            && run.get().1 == term
            && run.get().0.next() == seq_no
        {
            run.get_mut().0 = seq_no;
            return;
        }
        if self.get(seq_no) != Some(term) {
            self.remove(seq_no);
            self.insert(seq_no, term);
        }
    }

    fn insert(&mut self, seq_no: SeqNo, term: Term) {
        let mut run = (seq_no, seq_no);
        if let Some((first, (last, of))) = self.0.range(..seq_no).next_back()
            && *of == term
            && last.next() == seq_no
        {
            run.0 = *first;
        }
        if let Some((last, of)) = self.0.get(&seq_no.next()).copied()
            && of == term
        {
            self.0.remove(&seq_no.next());
            run.1 = last;
        }
        self.0.insert(run.0, (run.1, term));
    }

    /// Takes an operation out.
    pub(super) fn remove(&mut self, seq_no: SeqNo) {
        let Some((first, (last, term))) = self.0.range(..=seq_no).next_back() else { return };
        let (first, last, term) = (*first, *last, *term);
        if seq_no > last {
            return;
        }
        self.0.remove(&first);
        if first < seq_no {
            self.0.insert(first, (SeqNo(seq_no.0 - 1), term));
        }
        if seq_no < last {
            self.0.insert(seq_no.next(), (last, term));
        }
    }

    /// Takes out all above this number. Gives them.
    fn split_above(&mut self, seq_no: SeqNo) -> Self {
        let mut above = self.0.split_off(&seq_no.next());
        if let Some(mut run) = self.0.last_entry()
            && run.get().0 > seq_no
        {
            let (last, term) = *run.get();
            run.get_mut().0 = seq_no;
            above.insert(seq_no.next(), (last, term));
        }
        Self(above)
    }

    /// The first operation.
    pub(super) fn first(&self) -> Option<(SeqNo, Term)> {
        self.0.first_key_value().map(|(first, (_, term))| (*first, *term))
    }

    /// Every operation, by number.
    fn iter(&self) -> impl Iterator<Item = (SeqNo, Term)> {
        let each = |(first, (last, term)): (&SeqNo, &(SeqNo, Term))| {
            let term = *term;
            (first.0..=last.0).map(move |seq_no| (SeqNo(seq_no), term))
        };
        self.0.iter().flat_map(each)
    }
}

/// Which operations of a copy are synced, as far as it said so of itself.
#[derive(Debug, Clone)]
pub(super) struct Synced {
    up_to: SeqNo,
    /// Those up to there that have taken the place of others since.
    anew: BTreeSet<SeqNo>,
}

impl Synced {
    /// Nothing is.
    pub(super) fn nothing() -> Self {
        Self { up_to: SeqNo::NONE, anew: BTreeSet::new() }
    }

    /// An operation is taken.
    pub(super) fn append(&mut self, seq_no: SeqNo) {
        if seq_no <= self.up_to {
            self.anew.insert(seq_no);
        }
    }

    /// Every operation up to here is synced.
    pub(super) fn sync(&mut self, up_to: SeqNo) {
        self.up_to = self.up_to.max(up_to);
        self.anew = self.anew.split_off(&up_to.next());
    }

    /// Whether the operation of this number is.
    pub(super) fn has(&self, seq_no: SeqNo) -> bool {
        seq_no <= self.up_to && !self.anew.contains(&seq_no)
    }
}

/// What one copy has.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    /// On which node.
    pub(super) host: HostId,
    /// Up to here it came by files, whatever there was.
    files: SeqNo,
    runs: Runs,
    synced: Synced,
    /// Whether its machine has lost power, or its disk refused to write, since it was opened.
    dark: bool,
}

impl Holding {
    fn on(host: HostId) -> Self {
        Self { host, files: SeqNo::NONE, runs: Runs::default(), synced: Synced::nothing(), dark: false }
    }

    fn append(&mut self, seq_no: SeqNo, term: Term) {
        self.synced.append(seq_no);
        self.runs.put(seq_no, term);
    }

    /// Whether it has this operation.
    pub(super) fn has(&self, seq_no: SeqNo, term: Term) -> bool {
        seq_no <= self.files || self.runs.get(seq_no) == Some(term)
    }

    /// Whether it has an operation of this number and another term.
    pub(super) fn has_another(&self, seq_no: SeqNo, term: Term) -> bool {
        self.runs.get(seq_no).is_some_and(|known| known != term)
    }

    /// The first of these operations that it does not have.
    pub(super) fn first_missing(&self, of: &Runs) -> Option<(SeqNo, Term)> {
        // Run by run; only one that is not covered by one of ours is looked at number by number.
        of.0.iter().find_map(|(first, (last, term))| {
            let from = (*first).max(self.files.next());
            let run = self.runs.0.range(..=from).next_back();
            let is_covered = run.is_some_and(|(_, (ours, of))| *of == *term && *ours >= *last);
            if is_covered || from > *last {
                return None;
            }
            (from.0..=last.0)
                .map(|seq_no| (SeqNo(seq_no), *term))
                .find(|(seq_no, term)| !self.has(*seq_no, *term))
        })
    }

    fn open(&mut self, up_to: SeqNo, above: &[SeqNo]) -> Vec<(SeqNo, Term, bool)> {
        self.files = self.files.min(up_to);
        let lost = self.runs.split_above(up_to);
        let mut gone = Vec::new();
        for (seq_no, term) in lost.iter() {
            if above.binary_search(&seq_no).is_ok() {
                self.runs.put(seq_no, term);
            } else {
                gone.push((seq_no, term, self.synced.has(seq_no)));
            }
        }
        gone
    }
}

/// What every copy has.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    copies: BTreeMap<AllocationId, Holding>,
}

/// What a copy has lost by an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// Which copy.
    pub(super) allocation: AllocationId,
    /// Its operations that are gone, and why.
    pub(super) operations: Vec<(SeqNo, Term, Excuse)>,
}

/// Why an operation is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excuse {
    /// Its machine lost power, or its disk refused to write, before the copy had synced it.
    Unsynced,
    /// None that counts.
    None,
}

impl Holdings {
    /// What this copy has, if it was ever heard of.
    pub(super) fn get(&self, allocation: AllocationId) -> Option<&Holding> {
        self.copies.get(&allocation)
    }

    /// The copies on this host.
    pub(super) fn on(&self, host: HostId) -> impl Iterator<Item = AllocationId> {
        self.copies.iter().filter(move |(_, copy)| copy.host == host).map(|(allocation, _)| *allocation)
    }

    fn copy(&mut self, host: HostId, allocation: AllocationId) -> &mut Holding {
        self.copies.entry(allocation).or_insert_with(|| Holding::on(host))
    }

    /// Reads the next event. What a copy has lost by it, if any.
    pub(super) fn observe(&mut self, event: &Event) -> Option<Lost> {
        let host = event.host?;
        match &event.kind {
            EventKind::PrimaryAppended { allocation, term, seq_no, .. }
            | EventKind::ReplicaAppended { allocation, term, seq_no, .. } => {
                self.copy(host, *allocation).append(*seq_no, *term);
            }
            EventKind::TranslogSynced { allocation, up_to, .. } => {
                self.copy(host, *allocation).synced.sync(*up_to);
            }
            EventKind::FilesInstalled { allocation, up_to, .. } => {
                let copy = self.copy(host, *allocation);
                copy.files = *up_to;
                copy.runs = copy.runs.split_above(*up_to);
                copy.synced.sync(*up_to);
            }
            EventKind::OperationsTrimmed { allocation, void, .. } => {
                return self.trim(host, *allocation, void);
            }
            EventKind::CopyOpened { allocation, up_to, above, .. } => {
                return self.open(host, *allocation, *up_to, above);
            }
            EventKind::CopyRemoved { allocation, .. } => _ = self.copies.remove(allocation),
            EventKind::DiskWiped => self.copies.retain(|_, copy| copy.host != host),
            EventKind::HostCrashed { power: true } | EventKind::DiskFailed { .. } => {
                self.copies.values_mut().filter(|copy| copy.host == host).for_each(|copy| copy.dark = true);
            }
            _ => {}
        }
        None
    }

    fn trim(&mut self, host: HostId, allocation: AllocationId, void: &[SeqNo]) -> Option<Lost> {
        let copy = self.copy(host, allocation);
        let mut operations = Vec::new();
        for seq_no in void {
            operations.extend(copy.runs.get(*seq_no).map(|term| (*seq_no, term, Excuse::None)));
            copy.runs.remove(*seq_no);
        }
        (!operations.is_empty()).then_some(Lost { allocation, operations })
    }

    fn open(
        &mut self,
        host: HostId,
        allocation: AllocationId,
        up_to: SeqNo,
        above: &[SeqNo],
    ) -> Option<Lost> {
        let copy = self.copy(host, allocation);
        let (gone, dark) = (copy.open(up_to, above), std::mem::take(&mut copy.dark));
        let excuse = |synced: bool| if dark && !synced { Excuse::Unsynced } else { Excuse::None };
        let operations: Vec<_> =
            gone.into_iter().map(|(seq_no, term, synced)| (seq_no, term, excuse(synced))).collect();
        (!operations.is_empty()).then_some(Lost { allocation, operations })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        check::record::{Record, search, shard},
        event::{Digest, EventKind as E},
    };

    fn runs(list: &[(i64, u64)]) -> Runs {
        let mut runs = Runs::default();
        list.iter().for_each(|(seq_no, term)| runs.put(SeqNo(*seq_no), Term(*term)));
        runs
    }

    #[test]
    fn operations_that_follow_each_other_are_one_run() {
        let all = runs(&[(0, 1), (2, 1), (1, 1), (3, 2), (3, 1)]);
        assert_eq!(all, Runs([(SeqNo(0), (SeqNo(3), Term(1)))].into()));
    }

    #[test]
    fn first_missing_is_found_behind_files_and_terms() {
        let mut copy = Holding::on(HostId::search(1));
        (copy.files, copy.runs) = (SeqNo(1), runs(&[(2, 1), (3, 1), (5, 2)]));
        assert_eq!(copy.first_missing(&runs(&[(0, 1), (1, 7), (2, 1), (3, 1), (5, 2)])), None);
        assert_eq!(copy.first_missing(&runs(&[(2, 1), (3, 1), (4, 1)])), Some((SeqNo(4), Term(1))));
        assert_eq!(copy.first_missing(&runs(&[(5, 1)])), Some((SeqNo(5), Term(1))));
    }

    #[test]
    fn what_takes_the_place_of_a_synced_operation_is_not_synced() {
        let (shard, allocation) = (shard(), AllocationId(1));
        let opened = |between: &[E]| {
            let mut record = Record::default();
            let up_to = SeqNo(5);
            let appended = |seq_no, term| E::ReplicaAppended {
                shard: shard.clone(),
                allocation,
                sender_term: Term(term),
                term: Term(term),
                seq_no: SeqNo(seq_no),
                digest: Digest(0),
                global_checkpoint: SeqNo(1),
            };
            (0..=5).for_each(|seq_no| _ = record.on(search(1), appended(seq_no, 1)));
            record.on(search(1), E::TranslogSynced { shard: shard.clone(), allocation, up_to });
            between.iter().for_each(|event| _ = record.on(search(1), event.clone()));
            record.on(search(1), appended(3, 2)).on(search(1), E::HostCrashed { power: true });
            let (up_to, above) = (SeqNo(2), vec![]);
            record.on(search(1), E::CopyOpened { shard: shard.clone(), allocation, up_to, above });
            let mut holdings = Holdings::default();
            record.events.iter().filter_map(|event| holdings.observe(event)).last().unwrap().operations
        };
        let void = vec![SeqNo(3), SeqNo(4), SeqNo(5)];
        let trimmed = E::OperationsTrimmed { shard: shard.clone(), allocation, above: SeqNo(2), void };
        assert_eq!(opened(&[trimmed]), [(SeqNo(3), Term(2), Excuse::Unsynced)]);
        assert_eq!(
            opened(&[]),
            [
                (SeqNo(3), Term(2), Excuse::Unsynced),
                (SeqNo(4), Term(1), Excuse::None),
                (SeqNo(5), Term(1), Excuse::None)
            ]
        );
    }

    proptest! {
        /// Runs are what a map of numbers to terms is.
        #[test]
        fn runs_are_a_map(steps in prop::collection::vec((0..3u8, 0..12_i64, 1..3_u64), 0..40)) {
            let (mut runs, mut map) = (Runs::default(), BTreeMap::new());
            for (what, seq_no, term) in steps {
                let (seq_no, term) = (SeqNo(seq_no), Term(term));
                match what {
                    0 => {
                        runs.remove(seq_no);
                        map.remove(&seq_no);
                    }
                    1 if term == Term(1) => {
                        let above = runs.split_above(seq_no);
                        let expected = map.split_off(&seq_no.next());
                        prop_assert_eq!(above.iter().collect::<BTreeMap<_, _>>(), expected);
                    }
                    _ => {
                        runs.put(seq_no, term);
                        map.insert(seq_no, term);
                    }
                }
                prop_assert_eq!(runs.iter().collect::<BTreeMap<_, _>>(), map.clone());
            }
        }
    }
}
