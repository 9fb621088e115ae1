//! Placement — decides whether the routing table keeps copies of one shard apart. It never asks for balance.

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind, Placement},
};

pub(super) const ONE_COPY_PER_NODE: Law = Law {
    name: "allocation.one-copy-per-node",
    sentence: "No published state has two copies of a shard on one node.",
    source: "Elasticsearch, SameShardAllocationDecider",
    monitor: || Box::<OneCopyPerNode>::default(),
};

/// The source and the target of a relocation count as two copies.
#[derive(Default)]
struct OneCopyPerNode;

/// Two copies of one shard on one node, if there are such.
fn crowded(routing: &[Placement]) -> Option<(&Placement, &Placement)> {
    let mut placed: Vec<_> = routing.iter().filter(|copy| copy.node.is_some()).collect();
    placed.sort_by(|a, b| (a.node, &a.shard).cmp(&(b.node, &b.shard)));
    placed.windows(2).map(|pair| (pair[0], pair[1])).find(|(a, b)| (a.node, &a.shard) == (b.node, &b.shard))
}

impl Monitor for OneCopyPerNode {
    fn observe(&mut self, event: &Event) -> Judged {
        let EventKind::StatePublished { version, routing, .. } = &event.kind else { return Ok(()) };
        let Some((first, second)) = crowded(routing) else { return Ok(()) };
        let copy = |copy: &Placement| copy.allocation.map_or("?".to_owned(), |id| id.to_string());
        let node = first.node.map_or("?".to_owned(), |node| node.to_string());
        broken(
            event,
            format!(
                "version {version} has copies {} and {} of {} both on {node}",
                copy(first),
                copy(second),
                first.shard
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::record::{Record, search},
        event::EventKind as E,
    };

    #[test]
    fn two_copies_on_one_node_fail() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(3, |kind| matches!(kind, E::StatePublished { .. }));
        if let E::StatePublished { routing, .. } = at {
            routing.iter_mut().for_each(|copy| copy.node = Some(search(2)));
        }
        record.assert_fails(
            "allocation.one-copy-per-node",
            "version 4 has copies 1 and 2 of articles/0 both on search-2",
        );
    }
}
