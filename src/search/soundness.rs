//! Soundness — decides, for tests, whether a cluster state could ever be right. It never leaves the tests.

use std::collections::BTreeSet;

use super::state::{ClusterState, IndexMetadata, ShardTable};
use crate::event::CopyState;

/// Panics if the state breaks one of its own rules.
pub(crate) fn assert_sound(state: &ClusterState) {
    let mut ids = BTreeSet::new();
    for index in state.indices.values() {
        for table in &index.shards {
            assert_table(state, index, table);
            let known = table.copies.iter().filter_map(|copy| copy.allocation);
            assert!(known.clone().all(|id| ids.insert(id)), "no two copies share an identity");
            assert!(known.chain(table.in_sync.iter().copied()).all(|id| state.homes.contains_key(&id)));
        }
    }
}

fn assert_table(state: &ClusterState, index: &IndexMetadata, table: &ShardTable) {
    let copies = &table.copies;
    let targets = copies.iter().filter(|copy| copy.is_target()).count();
    assert_eq!(copies.len() - targets, 1 + index.replicas as usize, "every configured copy has its place");
    assert_eq!(copies.iter().filter(|copy| copy.primary).count(), 1, "a shard has one primary");
    let nodes: Vec<_> = copies.iter().filter_map(|copy| copy.node).collect();
    let distinct: BTreeSet<_> = nodes.iter().collect();
    assert_eq!(distinct.len(), nodes.len(), "never two copies of a shard on one node");
    assert!(nodes.iter().all(|node| state.nodes.contains_key(node)), "copies are on nodes that are here");
    for copy in copies {
        assert_eq!(copy.node.is_some(), copy.state != CopyState::Unassigned);
        assert!(copy.node.is_none() || copy.allocation.is_some(), "a copy on a node has an identity");
        let in_sync = copy.allocation.is_some_and(|id| table.in_sync.contains(&id));
        assert!(in_sync || !copy.is_active(), "what serves is in sync");
        assert!(!copy.is_target() || !copy.primary, "a target becomes primary when it takes its place");
        assert_eq!(copy.state == CopyState::Relocating || copy.is_target(), copy.relocating.is_some());
        if let Some(other) = copy.relocating {
            assert_eq!(table.copy(other).and_then(|other| other.relocating), copy.allocation);
        }
    }
    let serves = table.active().count() > 0;
    let led = table.primary().is_some_and(|primary| primary.is_active());
    assert_eq!(serves, led, "a copy that serves has a primary that serves");
}
