//! Forfeit — decides which acknowledged writes may be gone because somebody chose so. It never judges.
//!
//! Elasticsearch keeps what it has acknowledged unless it is told otherwise: an index is deleted, a durability is
//! chosen that does not wait for the disk, a reroute command accepts the loss of data, replicas are taken away while the
//! disk of the primary that stays is lost. Nothing else counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        history::{Doc, Operation, Write},
        holdings::Synced,
    },
    event::{CopyRef, CopyState, Event, EventKind, Placement},
    name::{AllocationId, HostId, IndexName, ShardId, Term},
};

/// Reroute commands that may accept the loss of data.
///
/// Only a stale or an empty primary is one, and neither is allocated while a copy is active: so a shard of which data
/// was given up, and that has no active copy in the state that shows it, begins anew with what it is given.
#[derive(Debug, Default)]
pub(super) struct Commands(BTreeSet<ShardId>);

impl Commands {
    /// Reads the next event. The shards that begin anew by it, and the terms in which they do.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<(ShardId, Term)> {
        match &event.kind {
            EventKind::RerouteCommanded { given_up, .. } => {
                self.0.extend(given_up.iter().cloned());
                Vec::new()
            }
            EventKind::StatePublished { routing, .. } if !self.0.is_empty() => {
                let active = |copy: &&Placement| copy.state.is_active();
                let active: BTreeSet<_> = routing.iter().filter(active).map(|copy| &copy.shard).collect();
                let commanded = std::mem::take(&mut self.0).into_iter();
                let term =
                    |shard: &ShardId| routing.iter().find(|copy| copy.shard == *shard).map(|copy| copy.term);
                let anew = commanded.filter(|shard| !active.contains(shard));
                anew.filter_map(|shard| Some((term(&shard)?, shard)))
                    .map(|(term, shard)| (shard, term))
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What was given up so far.
#[derive(Debug, Default)]
pub(super) struct Forfeit {
    version: u64,
    /// The indices of the newest noted state.
    present: BTreeSet<IndexName>,
    commands: Commands,
    /// Indices that were deleted. What is written to another index of the name is not told apart.
    deleted: BTreeSet<IndexName>,
    /// Shards that began anew: whatever was numbered in a term before this one may be gone.
    anew: BTreeMap<ShardId, Term>,
    /// Operations that were acknowledged before every copy had synced them.
    unsynced: BTreeMap<ShardId, BTreeSet<Operation>>,
    copies: BTreeMap<AllocationId, Copy>,
    /// How many copies each shard has, by the newest noted state.
    counts: BTreeMap<ShardId, usize>,
    /// Operations of which a copy was lost that had not synced them.
    lost: BTreeMap<ShardId, BTreeSet<Operation>>,
}

/// A copy of a shard, as far as its disk goes.
#[derive(Debug)]
struct Copy {
    shard: ShardId,
    host: HostId,
    synced: Synced,
    /// Whether its disk was lost.
    is_wiped: bool,
}

impl Forfeit {
    /// Reads the next event.
    pub(super) fn observe(&mut self, event: &Event) {
        for (shard, term) in self.commands.observe(event) {
            self.begin_anew(shard, term);
        }
        match &event.kind {
            EventKind::StatePublished { version, routing, unlisted, .. } if *version >= self.version => {
                self.version = *version;
                self.publish(routing);
                self.take_away(routing, unlisted);
            }
            EventKind::WriteAcknowledged { shard, term, seq_no, durable: false, .. } => {
                self.unsynced.entry(shard.clone()).or_default().insert((*seq_no, *term));
            }
            EventKind::HostCrashed { power: true } | EventKind::DiskWiped | EventKind::DiskFailed { .. } => {
                let is_wiped = event.kind == EventKind::DiskWiped;
                event.host.into_iter().for_each(|host| self.lose(host, is_wiped));
            }
            _ => self.copy(event),
        }
    }

    fn begin_anew(&mut self, shard: ShardId, term: Term) {
        let since = self.anew.entry(shard).or_default();
        *since = term.max(*since);
    }

    fn copy(&mut self, event: &Event) {
        let (shard, allocation) = match &event.kind {
            EventKind::PrimaryAppended { shard, allocation, .. }
            | EventKind::ReplicaAppended { shard, allocation, .. }
            | EventKind::TranslogSynced { shard, allocation, .. }
            | EventKind::CopyFlushed { shard, allocation, .. } => (shard, allocation),
            EventKind::CopyRemoved { allocation, .. } => return drop(self.copies.remove(allocation)),
            _ => return,
        };
        let Some(host) = event.host else { return };
        let new = || Copy { shard: shard.clone(), host, synced: Synced::nothing(), is_wiped: false };
        let copy = self.copies.entry(*allocation).or_insert_with(new);
        if copy.host != host {
            *copy = new();
        }
        match &event.kind {
            EventKind::TranslogSynced { up_to, .. } | EventKind::CopyFlushed { up_to, .. } => {
                copy.synced.sync(*up_to)
            }
            EventKind::PrimaryAppended { seq_no, .. } | EventKind::ReplicaAppended { seq_no, .. } => {
                copy.synced.append(*seq_no);
            }
            _ => {}
        }
    }

    /// A node has lost power, or its disk refuses to write: what its copies had not synced may be gone with it; with its
    /// disk all is.
    fn lose(&mut self, host: HostId, is_wiped: bool) {
        for copy in self.copies.values_mut().filter(|copy| copy.host == host) {
            copy.is_wiped |= is_wiped;
            let Some(operations) = self.unsynced.get(&copy.shard) else { continue };
            let lost = operations.iter().filter(|(seq_no, _)| !copy.synced.has(*seq_no));
            self.lost.entry(copy.shard.clone()).or_default().extend(lost);
        }
    }

    fn publish(&mut self, routing: &[Placement]) {
        let mut listed: BTreeSet<&IndexName> = BTreeSet::new();
        for copies in routing.chunk_by(|one, other| one.shard.index == other.shard.index) {
            listed.insert(&copies[0].shard.index);
        }
        if listed.len() == self.present.len() && listed.iter().all(|index| self.present.contains(*index)) {
            return;
        }
        let new = listed.into_iter().cloned().collect();
        let old = std::mem::replace(&mut self.present, new);
        self.deleted.extend(old.into_iter().filter(|index| !self.present.contains(index)));
    }

    /// Where a shard has fewer copies than before, an operator has taken them away: with the last of them that had its data
    /// if the disks of all that stay were lost.
    fn take_away(&mut self, routing: &[Placement], unlisted: &[CopyRef]) {
        let mut given_up = Vec::new();
        let is_wiped = |id: AllocationId| self.copies.get(&id).is_some_and(|known| known.is_wiped);
        let is_lost = |copy: &Placement| !copy.in_sync || copy.allocation.is_some_and(is_wiped);
        let has_spare =
            |shard: &ShardId| unlisted.iter().any(|copy| copy.shard == *shard && !is_wiped(copy.allocation));
        for copies in routing.chunk_by(|one, other| one.shard == other.shard) {
            let shard = &copies[0].shard;
            let count = copies.iter().filter(|copy| copy.state != CopyState::Relocating).count();
            match self.counts.get_mut(shard) {
                Some(before) => {
                    if count < *before && copies.iter().all(is_lost) && !has_spare(shard) {
                        given_up.push((shard.clone(), copies[0].term.next()));
                    }
                    *before = count;
                }
                None => drop(self.counts.insert(shard.clone(), count)),
            }
        }
        given_up.into_iter().for_each(|(shard, term)| self.begin_anew(shard, term));
    }

    /// Whether nothing that was written to an index of this name has to be there any more.
    pub(super) fn is_deleted(&self, index: &str) -> bool {
        self.deleted.iter().any(|deleted| *deleted.0 == *index)
    }

    /// Whether the shard began anew, or its index is gone.
    pub(super) fn has_given_up(&self, shard: &ShardId) -> bool {
        self.anew.contains_key(shard) || self.deleted.contains(&shard.index)
    }

    /// Whether something that the shard took may be gone although it was acknowledged.
    pub(super) fn has_lost(&self, shard: &ShardId) -> bool {
        self.has_given_up(shard) || self.lost.get(shard).is_some_and(|operations| !operations.is_empty())
    }

    /// Whether a write of a document, whose index is there, may be gone although it was acknowledged.
    pub(super) fn may_be_gone(&self, doc: &Doc, write: &Write) -> bool {
        let told = write.operation();
        // A write whose client was told of no term may be one of any.
        let term = told.map_or(Term(0), |(_, term)| term);
        let is_lost = |operation: Operation| {
            self.lost.iter().any(|(shard, lost)| doc.is_in(shard) && lost.contains(&operation))
        };
        self.anew.iter().any(|(shard, since)| doc.is_in(shard) && term < *since) || told.is_some_and(is_lost)
    }

    /// Whether clients can rely on all that they were told of this document.
    pub(super) fn stands_by(&self, doc: &Doc) -> bool {
        !self.is_deleted(&doc.index)
            && !self.anew.keys().any(|shard| doc.is_in(shard))
            && !doc.writes.iter().any(|write| self.may_be_gone(doc, write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            history::History,
            record::{Record, search, shard, zk},
        },
        event::{
            CopyState::{Initializing, Started},
            EventKind as E,
        },
        name::SeqNo,
    };

    fn stands_by(record: &Record) -> bool {
        let (mut forfeit, mut history) = (Forfeit::default(), History::default());
        for event in &record.events {
            forfeit.observe(event);
            history.observe(event);
        }
        forfeit.stands_by(&history.docs()[0])
    }

    fn written(durable: bool) -> Record {
        let mut record = Record::default();
        record.publish(search(3), 1, &[(1, Started)]);
        let (term, seq_no, copies) = (Term(1), SeqNo(0), 1);
        record.write(1, "a", Some(1)).appended((1, 0), "a", Some(1));
        record.on(search(1), E::WriteAcknowledged { shard: shard(), term, seq_no, copies, durable });
        record.acknowledge(1, 0, 1);
        record
    }

    #[test]
    fn unsynced_write_is_forfeit_with_the_power_of_a_node() {
        let after = |durable, host, power| {
            let mut record = written(durable);
            record.on(host, E::HostCrashed { power });
            stands_by(&record)
        };
        assert!(!after(false, search(1), true));
        assert!(after(false, search(1), false), "what a process has written survives it");
        assert!(after(false, zk(1), true) && after(true, search(1), true));
        assert!(after(false, search(2), true), "it has no copy of the shard");
        for (durable, stands) in [(false, false), (true, true)] {
            let mut record = written(durable);
            let (file, error) = ("translog.1".into(), "no space left on device".into());
            record.on(search(1), E::DiskFailed { file, error });
            assert_eq!(stands_by(&record), stands);
        }
    }

    #[test]
    fn write_that_was_synced_before_the_power_went_is_not_forfeit() {
        let synced = |up_to| {
            let mut record = written(false);
            let (allocation, up_to) = (AllocationId(1), SeqNo(up_to));
            record.on(search(1), E::TranslogSynced { shard: shard(), allocation, up_to });
            record.on(search(1), E::HostCrashed { power: true });
            stands_by(&record)
        };
        assert!(synced(0) && !synced(-1));
    }

    #[test]
    fn shard_that_begins_anew_by_command_is_forfeit() {
        let commanded = |given_up, state| {
            let mut record = written(true);
            record.on(search(3), E::RerouteCommanded { shards: vec![shard()], given_up });
            record.publish(search(3), 2, &[(1, state)]);
            stands_by(&record)
        };
        assert!(!commanded(vec![shard()], Initializing));
        assert!(commanded(vec![shard()], Started), "a copy was active, so nothing was given up");
        assert!(commanded(vec![], Initializing), "nobody accepted a loss");
    }

    #[test]
    fn what_is_written_to_a_shard_after_it_began_anew_stands_and_so_do_other_shards() {
        let mut record = written(true);
        record.on(search(3), E::RerouteCommanded { shards: vec![shard()], given_up: vec![shard()] });
        record.publish(search(3), 2, &[(1, Initializing)]);
        let last = record.events.last_mut().map(|event| &mut event.kind);
        let Some(E::StatePublished { routing, .. }) = last else { panic!("not published") };
        routing.iter_mut().for_each(|copy| copy.term = Term(2));
        record.write(2, "a", Some(2)).appended((2, 0), "a", Some(2)).acknowledge(2, 0, 2);
        record.write(3, "b", Some(3));
        let (mut forfeit, mut history) = (Forfeit::default(), History::default());
        for event in &record.events {
            forfeit.observe(event);
            history.observe(event);
        }
        let [a, b] = history.docs() else { panic!("two documents") };
        let gone: Vec<_> = a.writes.iter().map(|write| forfeit.may_be_gone(a, write)).collect();
        assert_eq!(gone, [true, false]);
        assert!(!forfeit.stands_by(a) && forfeit.stands_by(b), "no operation of b was ever in that shard");
        assert!(!forfeit.has_lost(&ShardId { number: 1, ..shard() }) && forfeit.has_lost(&shard()));
    }

    #[test]
    fn shard_whose_replicas_are_taken_away_is_forfeit_if_the_disk_of_the_primary_was_lost() {
        let left = |wiped: &[HostId], stays: &[(u64, crate::event::CopyState)]| {
            let mut record = Record::default();
            record.publish(search(3), 1, &[(1, Started), (2, Started)]);
            record.write(1, "a", Some(1)).appended((1, 0), "a", Some(1)).acknowledge(1, 0, 1);
            wiped.iter().for_each(|host| _ = record.on(*host, E::DiskWiped));
            record.publish(search(3), 2, stays);
            stands_by(&record)
        };
        assert!(!left(&[search(1)], &[(1, Started)]));
        assert!(left(&[], &[(1, Started)]), "the primary has all");
        assert!(left(&[search(2)], &[(1, Started)]), "the other one's disk was lost");
        assert!(left(&[search(1)], &[(1, Started), (2, Started)]), "nobody took anything away");
    }

    #[test]
    fn deleted_index_is_forfeit_even_if_there_is_another_one_of_its_name() {
        let mut record = written(true);
        assert!(stands_by(&record));
        record.publish(search(3), 2, &[]).publish(search(3), 3, &[(2, Started)]);
        assert!(!stands_by(&record));
    }
}
