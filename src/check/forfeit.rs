//! Forfeit — decides which acknowledged writes may be gone because somebody chose so. It never judges.
//!
//! Elasticsearch keeps what it has acknowledged unless it is told otherwise: an index is deleted, a durability is
//! chosen that does not wait for the disk, a reroute command accepts the loss of data. Nothing else counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::history::{Doc, Operation, Write},
    event::{CopyState, Event, EventKind, Placement},
    name::{HostKind, IndexName, ShardId},
};

/// Reroute commands that may accept the loss of data.
///
/// Only a stale or an empty primary is one, and neither is allocated while a copy is active: so a shard of which data
/// was given up, and that has no active copy in the state that shows it, begins anew with what it is given.
#[derive(Debug, Default)]
pub(super) struct Commands(BTreeSet<ShardId>);

impl Commands {
    /// Reads the next event. The shards that begin anew by it.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<ShardId> {
        match &event.kind {
            EventKind::RerouteCommanded { given_up, .. } => {
                self.0.extend(given_up.iter().cloned());
                Vec::new()
            }
            EventKind::StatePublished { routing, .. } if !self.0.is_empty() => {
                let active =
                    |copy: &&Placement| matches!(copy.state, CopyState::Started | CopyState::Relocating);
                let active: BTreeSet<_> = routing.iter().filter(active).map(|copy| &copy.shard).collect();
                let commanded = std::mem::take(&mut self.0);
                commanded.into_iter().filter(|shard| !active.contains(shard)).collect()
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
    /// Indices that were deleted, or of which a shard began anew.
    given_up: BTreeSet<IndexName>,
    /// Operations that were acknowledged before every copy had synced them.
    unsynced: BTreeMap<IndexName, BTreeSet<Operation>>,
    /// Those of them that were followed by a loss of power.
    lost: BTreeMap<IndexName, BTreeSet<Operation>>,
}

impl Forfeit {
    /// Reads the next event.
    pub(super) fn observe(&mut self, event: &Event) {
        self.given_up.extend(self.commands.observe(event).into_iter().map(|shard| shard.index));
        match &event.kind {
            EventKind::StatePublished { version, routing, .. } if *version >= self.version => {
                self.version = *version;
                self.publish(routing);
            }
            EventKind::WriteAcknowledged { shard, term, seq_no, durable: false, .. } => {
                self.unsynced.entry(shard.index.clone()).or_default().insert((*seq_no, *term));
            }
            EventKind::HostCrashed { power: true }
                if event.host.is_some_and(|host| host.kind == HostKind::Search) =>
            {
                for (index, operations) in std::mem::take(&mut self.unsynced) {
                    self.lost.entry(index).or_default().extend(operations);
                }
            }
            _ => {}
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
        self.given_up.extend(old.into_iter().filter(|index| !self.present.contains(index)));
    }

    /// Whether nothing that was written to an index of this name has to be there any more.
    pub(super) fn has_given_up(&self, index: &str) -> bool {
        self.given_up.iter().any(|given_up| *given_up.0 == *index)
    }

    /// Whether a write may be gone although it was acknowledged.
    pub(super) fn may_be_gone(&self, index: &str, write: &Write) -> bool {
        let Some(operation) = write.operation() else { return false };
        let mut lost = self.lost.iter().filter(|(lost, _)| *lost.0 == *index);
        lost.any(|(_, operations)| operations.contains(&operation))
    }

    /// Whether clients can rely on all that they were told of this document.
    pub(super) fn stands_by(&self, doc: &Doc) -> bool {
        !self.has_given_up(&doc.index) && !doc.writes.iter().any(|write| self.may_be_gone(&doc.index, write))
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
        name::{SeqNo, Term},
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
        record.write(1, "a", Some(1));
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
    fn deleted_index_is_forfeit_even_if_there_is_another_one_of_its_name() {
        let mut record = written(true);
        assert!(stands_by(&record));
        record.publish(search(3), 2, &[]).publish(search(3), 3, &[(2, Started)]);
        assert!(!stands_by(&record));
    }
}
