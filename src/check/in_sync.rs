//! In-sync sets — decides whether every copy that may become primary has every acknowledged write. It never
//! looks into documents.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        forfeit::Commands,
        holdings::{Excuse, Holdings, Lost, Runs},
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock},
    },
    event::{CopyRef, Event, EventKind, Placement},
    name::{AllocationId, SeqNo, ShardId, Term},
};

pub(super) const COMPLETE: Law = Law {
    name: "in-sync.complete",
    sentence: "Every copy in the in-sync set of the newest committed state has every acknowledged write, when it is \
               acknowledged, when the copy enters the set, and as long as it stays.",
    source: "Elasticsearch, data replication model: an operation is acknowledged when every in-sync copy has it, and only \
             in-sync copies are promoted; #14671, #20031, #21976",
    monitor: || Box::<Complete>::default(),
};

/// An in-sync set as the newest noted state has it, with copies that no routing entry is.
type Sets = BTreeMap<ShardId, BTreeSet<AllocationId>>;

/// A primary that acts on a state may do so before the state's writer has noted it. So a write acknowledged when
/// a state has been seen applied that is not noted yet is judged once it is; if it never is (its writer died or
/// lost the answer) the write is not judged by it.
///
/// Allowed: under `index.translog.durability: async` a machine that loses power, or whose disk refuses to write, takes
/// with it what its copy had not synced, acknowledged or not; from then on nobody needs to have that. A shard for which a reroute command
/// accepted the loss of data begins anew. A copy whose disk is gone has nothing until its node tells that it is; it
/// must not be opened as one that is in sync.
#[derive(Default)]
struct Complete {
    /// Copies whose disk is gone.
    wiped: BTreeSet<AllocationId>,
    holdings: Holdings,
    commands: Commands,
    acknowledged: BTreeMap<ShardId, Runs>,
    /// Acknowledged operations that some copy need not have synced.
    unsynced: BTreeMap<ShardId, Runs>,
    sets: Sets,
    /// The newest version noted.
    noted: u64,
    /// The newest version noted or applied.
    seen: u64,
    /// Operations acknowledged when the newest version seen was not noted yet, by that version.
    deferred: BTreeMap<u64, Vec<Acknowledgement>>,
}

#[derive(Clone)]
struct Acknowledgement {
    at: Point,
    shard: ShardId,
    seq_no: SeqNo,
    term: Term,
}

impl Complete {
    fn acknowledge(&mut self, new: Acknowledgement, durable: bool) -> Judged {
        put(&mut self.acknowledged, &new);
        if !durable {
            put(&mut self.unsynced, &new);
        }
        if self.seen > self.noted {
            self.deferred.entry(self.seen).or_default().push(new);
            return Ok(());
        }
        self.judge(&self.sets, &new)
    }

    /// Every copy of these sets must have this operation.
    fn judge(&self, sets: &Sets, acknowledged: &Acknowledgement) -> Judged {
        let Acknowledgement { at, shard, seq_no, term } = acknowledged;
        let is_needed = self.acknowledged.get(shard).is_some_and(|runs| runs.get(*seq_no) == Some(*term));
        let mut copies = sets.get(shard).into_iter().flatten();
        let lacks =
            |copy: &&AllocationId| !self.holdings.get(**copy).is_some_and(|held| held.has(*seq_no, *term));
        let lacks = |copy: &&AllocationId| lacks(copy) && !self.wiped.contains(*copy);
        match copies.find(lacks) {
            Some(copy) if is_needed => broken(
                *at,
                format!(
                    "operation {seq_no} of term {term} of {shard} is acknowledged, but copy {copy}{}, in sync by the newest \
                     committed state, does not have it",
                    self.whereabouts(*copy)
                ),
            ),
            _ => Ok(()),
        }
    }

    fn whereabouts(&self, copy: AllocationId) -> String {
        self.holdings.get(copy).map_or(String::new(), |held| format!(" on {}", held.host))
    }

    fn publish(
        &mut self,
        event: &Event,
        version: u64,
        routing: &[Placement],
        unlisted: &[CopyRef],
    ) -> Judged {
        self.seen = self.seen.max(version);
        let waiting = self.deferred.remove(&version).unwrap_or_default();
        if version < self.noted {
            let sets = sets(routing, unlisted);
            return waiting.iter().try_for_each(|one| self.judge(&sets, one));
        }
        self.noted = version;
        self.deferred = self.deferred.split_off(&version);
        self.enter(event, routing, unlisted)?;
        waiting.iter().try_for_each(|one| self.judge(&self.sets, one))
    }

    /// Takes the sets of a newer state over. Copies that were in none before must have everything.
    fn enter(&mut self, event: &Event, routing: &[Placement], unlisted: &[CopyRef]) -> Judged {
        let new = sets(routing, unlisted);
        let listed: BTreeSet<_> = routing.iter().map(|copy| &copy.shard).collect();
        self.acknowledged.retain(|shard, _| listed.contains(shard));
        let old = std::mem::replace(&mut self.sets, new);
        for (shard, copies) in &self.sets {
            let Some(needed) = self.acknowledged.get(shard) else { continue };
            let before = old.get(shard);
            let entered = copies.iter().filter(|copy| before.is_none_or(|before| !before.contains(copy)));
            for copy in entered {
                self.has_all(event, shard, *copy, needed, "enters the in-sync set")?;
            }
        }
        Ok(())
    }

    fn has_all(
        &self,
        event: &Event,
        shard: &ShardId,
        copy: AllocationId,
        needed: &Runs,
        how: &str,
    ) -> Judged {
        let nothing = || needed.first();
        let missing = self.holdings.get(copy).map_or_else(nothing, |held| held.first_missing(needed));
        let Some((seq_no, term)) = missing.filter(|_| !self.wiped.contains(&copy)) else { return Ok(()) };
        broken(
            event,
            format!(
                "copy {copy} of {shard}{} {how} at {} without operation {seq_no} of term {term}, which is acknowledged",
                self.whereabouts(copy),
                clock(event.at)
            ),
        )
    }

    /// A copy is opened: one whose disk was gone has what it finds there, which is nothing.
    fn open(&mut self, event: &Event, shard: &ShardId, copy: AllocationId) -> Judged {
        let was_wiped = self.wiped.remove(&copy);
        let is_in = self.sets.get(shard).is_some_and(|copies| copies.contains(&copy));
        match self.acknowledged.get(shard) {
            Some(needed) if was_wiped && is_in => {
                self.has_all(event, shard, copy, needed, "is opened in the in-sync set")
            }
            _ => Ok(()),
        }
    }

    /// A copy has lost operations: it must not be in sync, unless the loss is one that counts for all.
    fn lose(&mut self, event: &Event, shard: &ShardId, lost: &Lost) -> Judged {
        for (seq_no, term, excuse) in &lost.operations {
            let unsynced = self.unsynced.get(shard).is_some_and(|runs| runs.get(*seq_no) == Some(*term));
            if unsynced && *excuse == Excuse::Unsynced {
                self.acknowledged.entry(shard.clone()).and_modify(|runs| runs.remove(*seq_no));
            }
        }
        let is_in = self.sets.get(shard).is_some_and(|copies| copies.contains(&lost.allocation));
        match self.acknowledged.get(shard) {
            Some(needed) if is_in && self.seen == self.noted => {
                self.has_all(event, shard, lost.allocation, needed, "stays in the in-sync set")
            }
            _ => Ok(()),
        }
    }
}

fn put(all: &mut BTreeMap<ShardId, Runs>, one: &Acknowledgement) {
    match all.get_mut(&one.shard) {
        Some(runs) => runs.put(one.seq_no, one.term),
        None => all.entry(one.shard.clone()).or_default().put(one.seq_no, one.term),
    }
}

fn sets(routing: &[Placement], unlisted: &[CopyRef]) -> Sets {
    let mut sets = Sets::new();
    let listed = routing.iter().filter(|copy| copy.in_sync);
    let listed = listed.filter_map(|copy| Some((&copy.shard, copy.allocation?)));
    for (shard, copy) in listed.chain(unlisted.iter().map(|copy| (&copy.shard, copy.allocation))) {
        match sets.get_mut(shard) {
            Some(copies) => _ = copies.insert(copy),
            None => _ = sets.insert(shard.clone(), [copy].into()),
        }
    }
    sets
}

impl Monitor for Complete {
    fn observe(&mut self, event: &Event) -> Judged {
        if let (EventKind::DiskWiped, Some(host)) = (&event.kind, event.host) {
            self.wiped.extend(self.holdings.on(host));
        }
        if let Some(lost) = self.holdings.observe(event)
            && let Some(shard) = event.kind.shard()
        {
            return self.lose(event, shard, &lost);
        }
        for (shard, _) in self.commands.observe(event) {
            self.acknowledged.remove(&shard);
        }
        match &event.kind {
            EventKind::WriteAcknowledged { shard, term, seq_no, durable, .. } => {
                let (shard, seq_no, term) = (shard.clone(), *seq_no, *term);
                self.acknowledge(Acknowledgement { at: event.into(), shard, seq_no, term }, *durable)
            }
            EventKind::StatePublished { version, routing, unlisted, .. } => {
                self.publish(event, *version, routing, unlisted)
            }
            EventKind::StateApplied { version, .. } => {
                self.seen = self.seen.max(*version);
                Ok(())
            }
            EventKind::CopyOpened { shard, allocation, .. } => self.open(event, shard, *allocation),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, numbered, search, shard},
        event::{CopyState::Started, Digest, EventKind as E},
        name::Epoch,
    };

    const LAW: &str = "in-sync.complete";

    fn appended(record: &mut Record, node: u16, seq_no: i64) {
        let (shard, allocation, term) = (shard(), AllocationId(u64::from(node)), Term(1));
        let (seq_no, digest) = (SeqNo(seq_no), Digest(seq_no as u64));
        record.on(
            search(node),
            match node {
                1 => numbered((1, 1), seq_no.0, digest.0),
                _ => E::ReplicaAppended {
                    shard,
                    allocation,
                    sender_term: term,
                    term,
                    seq_no,
                    digest,
                    global_checkpoint: SeqNo::NONE,
                },
            },
        );
    }

    fn acknowledged(record: &mut Record, seq_no: i64, durable: bool) {
        let (shard, term, seq_no) = (shard(), Term(1), SeqNo(seq_no));
        record.on(search(1), E::WriteAcknowledged { shard, term, seq_no, copies: 2, durable });
    }

    fn applied(record: &mut Record, version: u64) {
        record.on(search(1), E::StateApplied { epoch: Epoch(1), version });
    }

    fn opened(record: &mut Record, node: u16, up_to: i64) {
        let (shard, allocation) = (shard(), AllocationId(u64::from(node)));
        record.on(search(node), E::CopyOpened { shard, allocation, up_to: SeqNo(up_to), above: vec![] });
    }

    /// Two copies in sync, with operations 0 on both and 1 on the primary only.
    fn behind() -> Record {
        let mut record = Record::default();
        record.publish(search(3), 1, &[(1, Started), (2, Started)]);
        [(1, 0), (2, 0), (1, 1)].into_iter().for_each(|(node, seq_no)| appended(&mut record, node, seq_no));
        acknowledged(&mut record, 0, true);
        record
    }

    /// Elasticsearch #7572: acknowledged before the replica has it.
    #[test]
    fn write_that_an_in_sync_copy_lacks_fails() {
        let mut record = behind();
        acknowledged(&mut record, 1, true);
        record.assert_fails(
            LAW,
            "operation 1 of term 1 of articles/0 is acknowledged, but copy 2 on search-2, in sync by the newest",
        );
    }

    #[test]
    fn write_without_a_copy_that_was_taken_out_is_allowed_even_before_that_is_noted() {
        for version in [2, 3] {
            let mut record = behind();
            applied(&mut record, version);
            acknowledged(&mut record, 1, true);
            record.publish(search(3), 2, &[(1, Started)]);
            record.assert_passes(LAW);
        }
    }

    #[test]
    fn write_that_a_state_noted_later_has_a_lagging_copy_for_fails() {
        let mut record = behind();
        applied(&mut record, 2);
        acknowledged(&mut record, 1, true);
        record.publish(search(3), 2, &[(1, Started), (2, Started)]);
        record.assert_fails(LAW, "operation 1 of term 1 of articles/0 is acknowledged, but copy 2");
    }

    #[test]
    fn copy_that_enters_the_set_without_an_acknowledged_write_fails() {
        let mut record = behind();
        record.publish(search(3), 2, &[(1, Started)]);
        acknowledged(&mut record, 1, true);
        record.publish(search(3), 3, &[(1, Started), (2, Started)]);
        record.assert_fails(LAW, "copy 2 of articles/0 on search-2 enters the in-sync set");
        let mut record = behind();
        record.publish(search(3), 2, &[(1, Started)]);
        acknowledged(&mut record, 1, true);
        let (shard, allocation) = (shard(), AllocationId(2));
        record.on(search(2), E::FilesInstalled { shard, allocation, up_to: SeqNo(1) });
        record.publish(search(3), 3, &[(1, Started), (2, Started)]);
        record.assert_passes(LAW);
    }

    #[test]
    fn in_sync_copy_that_comes_back_without_an_acknowledged_write_fails() {
        let back = |up_to| {
            let mut record = behind();
            appended(&mut record, 2, 1);
            acknowledged(&mut record, 1, true);
            record.on(search(2), E::HostCrashed { power: true });
            opened(&mut record, 2, up_to);
            record
        };
        back(0).assert_fails(LAW, "copy 2 of articles/0 on search-2 stays in the in-sync set");
        back(1).assert_passes(LAW);
    }

    #[test]
    fn unsynced_write_lost_with_the_power_is_allowed_if_it_was_acknowledged_as_such() {
        let lost = |durable, power, synced| {
            let mut record = behind();
            appended(&mut record, 2, 1);
            if synced {
                let (shard, allocation) = (shard(), AllocationId(2));
                record.on(search(2), E::TranslogSynced { shard, allocation, up_to: SeqNo(1) });
            }
            acknowledged(&mut record, 1, durable);
            record.on(search(2), E::HostCrashed { power });
            opened(&mut record, 2, 0);
            record
        };
        lost(false, true, false).assert_passes(LAW);
        for record in [lost(true, true, false), lost(false, false, false), lost(false, true, true)] {
            record.assert_fails(LAW, "without operation 1 of term 1, which is acknowledged");
        }
    }

    #[test]
    fn unsynced_write_that_the_disk_refused_is_allowed_to_be_lost_if_it_was_acknowledged_as_such() {
        for (durable, is_refused, passes) in [(false, true, true), (true, true, false), (false, false, false)]
        {
            let mut record = behind();
            appended(&mut record, 2, 1);
            acknowledged(&mut record, 1, durable);
            if is_refused {
                let (file, error) = ("translog.1".into(), "no space left on device".into());
                record.on(search(2), E::DiskFailed { file, error });
            }
            opened(&mut record, 2, 0);
            if passes {
                record.assert_passes(LAW);
            } else {
                record.assert_fails(LAW, "without operation 1 of term 1, which is acknowledged");
            }
        }
    }

    #[test]
    fn copy_whose_disk_is_gone_needs_nothing_until_it_is_opened_as_if_it_were_not() {
        let gone = || {
            let mut record = behind();
            appended(&mut record, 2, 1);
            record.on(search(2), E::DiskWiped);
            acknowledged(&mut record, 1, true);
            record
        };
        gone().assert_passes(LAW);
        let mut record = gone();
        opened(&mut record, 2, -1);
        record.assert_fails(LAW, "copy 2 of articles/0 on search-2 is opened in the in-sync set");
    }
}
