//! Inspected — decides which copies were serving when the run was inspected, and keeps what they held. It
//! never compares them.

use std::collections::BTreeMap;

use crate::{
    check::verdict::Point,
    event::{Event, EventKind, HeldDoc, Placement},
    name::{AllocationId, HostId, SeqNo, ShardId},
};

/// The last published routing table, and the copies inspected.
#[derive(Debug, Default)]
pub(super) struct Inspected {
    version: u64,
    routing: Vec<Placement>,
    copies: BTreeMap<(ShardId, AllocationId), InspectedCopy>,
}

/// What one copy held when it was inspected.
#[derive(Debug)]
pub(super) struct InspectedCopy {
    /// Where the record says so.
    pub(super) at: Point,
    /// On which node.
    pub(super) host: HostId,
    /// Of which shard.
    pub(super) shard: ShardId,
    /// Which copy.
    pub(super) allocation: AllocationId,
    /// Its local checkpoint.
    pub(super) local_checkpoint: SeqNo,
    /// The highest number it has seen.
    pub(super) max_seq_no: SeqNo,
    /// Documents and known tombstones, by id.
    pub(super) docs: BTreeMap<String, HeldDoc>,
    /// Ids that a search finds, sorted.
    pub(super) searchable: Vec<String>,
}

impl InspectedCopy {
    /// Its name, for people.
    pub(super) fn name(&self) -> String {
        format!("copy {} of {} on {}", self.allocation, self.shard, self.host)
    }

    /// Documents that are not tombstones.
    pub(super) fn live(&self) -> impl Iterator<Item = &HeldDoc> {
        self.docs.values().filter(|doc| doc.source.is_some())
    }
}

fn is_active(copy: &Placement) -> bool {
    copy.state.is_active()
}

impl Inspected {
    /// Reads the next event.
    pub(super) fn observe(&mut self, event: &Event) {
        match (&event.kind, event.host) {
            (EventKind::StatePublished { version, routing, .. }, _) if *version >= self.version => {
                self.version = *version;
                self.routing.clone_from(routing);
            }
            (EventKind::CopyInspected { .. }, Some(host)) => self.inspect(event, host),
            _ => {}
        }
    }

    fn inspect(&mut self, event: &Event, host: HostId) {
        let EventKind::CopyInspected {
            shard,
            allocation,
            local_checkpoint,
            max_seq_no,
            docs,
            searchable,
            ..
        } = &event.kind
        else {
            return;
        };
        let mut searchable = searchable.clone();
        searchable.sort_unstable();
        let copy = InspectedCopy {
            at: event.into(),
            host,
            shard: shard.clone(),
            allocation: *allocation,
            local_checkpoint: *local_checkpoint,
            max_seq_no: *max_seq_no,
            docs: docs.iter().map(|doc| (doc.id.clone(), doc.clone())).collect(),
            searchable,
        };
        self.copies.insert((shard.clone(), *allocation), copy);
    }

    /// Whether any copy was inspected.
    pub(super) fn any(&self) -> bool {
        !self.copies.is_empty()
    }

    /// The inspected copies that the last published state calls active, where it says they are.
    pub(super) fn active(&self) -> impl Iterator<Item = &InspectedCopy> {
        self.serving().filter_map(|(_, inspected)| inspected)
    }

    /// The copies that the last published state calls active, and what was inspected of each.
    pub(super) fn serving(&self) -> impl Iterator<Item = (&Placement, Option<&InspectedCopy>)> {
        self.routing.iter().filter(|placement| is_active(placement)).map(|placement| {
            let inspected =
                placement.allocation.and_then(|id| self.copies.get(&(placement.shard.clone(), id)));
            (placement, inspected.filter(|copy| Some(copy.host) == placement.node))
        })
    }

    /// Where the last published state has copies of this shard, active or not, for people.
    pub(super) fn whereabouts(&self, shard: &ShardId) -> String {
        let copies = self.routing.iter().filter(|copy| copy.shard == *shard).map(|copy| {
            let state = format!("{:?}", copy.state).to_lowercase();
            match copy.node {
                Some(node) => format!("{state} on {node}"),
                None => state,
            }
        });
        let text = super::verdict::listed(copies, 6);
        if text.is_empty() { "in no published state".into() } else { text }
    }
}
