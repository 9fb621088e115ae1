//! Fixtures — decides how tests of the search rooms write down a cluster state. It never leaves the tests.

use crate::{
    event::CopyState,
    name::{AllocationId, HostId, IndexUuid, SessionId, Term},
    search::state::{ClusterState, IndexMetadata, NodeEntry, ShardCopy, ShardTable},
};

/// A copy with this identity on search node `node`.
pub(crate) fn copy(node: u16, allocation: u64, primary: bool, state: CopyState) -> ShardCopy {
    ShardCopy {
        primary,
        state,
        node: Some(HostId::search(node)),
        allocation: Some(AllocationId(allocation)),
        relocating: None,
        failures: 0,
        unassigned: None,
    }
}

/// A shard in term 1 whose active copies are in sync.
pub(crate) fn table(copies: Vec<ShardCopy>) -> ShardTable {
    let in_sync = copies.iter().filter(|copy| copy.is_active()).filter_map(|copy| copy.allocation);
    ShardTable { term: Term(1), in_sync: in_sync.collect(), copies }
}

/// A state of this version with nodes 1 to 3 and the index `articles` of these shards.
pub(crate) fn state(version: u64, shards: Vec<ShardTable>) -> ClusterState {
    let entry = |number| NodeEntry::new(SessionId(u64::from(number) + 100), "a");
    let nodes = (1..=3).map(|number| (HostId::search(number), entry(number)));
    let articles = IndexMetadata {
        uuid: IndexUuid(1),
        replicas: 1,
        read_only_allow_delete: false,
        routing_shards: shards.len() as u32,
        shards,
    };
    ClusterState {
        version,
        nodes: nodes.collect(),
        indices: [("articles".into(), articles)].into(),
        ..ClusterState::default()
    }
}
