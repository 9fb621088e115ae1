//! Cluster state — decides what every node knows of nodes, indices and copies. It never decides how a state
//! follows from another (`transition`), where a copy should go (`allocation`), nor who may write it
//! (`controller`).
//!
//! Primary terms and in-sync sets are Elasticsearch's (`IndexMetadata`), the routing table is
//! `IndexShardRoutingTable`; all of it is one value here, since ZooKeeper keeps it in one znode.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::settings::SettingsDocument;
use crate::{
    event::{CopyRef, CopyState, Placement},
    name::{AllocationId, Epoch, HostId, IndexName, SessionId, ShardId, Term},
};

/// What every node knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// Epoch of the controller that wrote it.
    pub epoch: Epoch,
    /// One more for each write; (epoch, version) never goes back.
    pub version: u64,
    /// The controller that wrote it.
    pub controller: Option<HostId>,
    /// Nodes of the cluster.
    pub nodes: BTreeMap<HostId, NodeEntry>,
    /// Indices by name.
    pub indices: BTreeMap<IndexName, IndexMetadata>,
    /// The next number for an allocation id in this epoch.
    pub next_allocation: u32,
    /// On which node's disk the data of each known copy lies, also of copies that are not assigned now.
    #[serde(default)]
    pub homes: BTreeMap<AllocationId, HostId>,
    /// The settings by which the controller decided; their znode may be newer.
    #[serde(default)]
    pub settings: Arc<SettingsDocument>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// The session that owns its registration: tells a restarted node from its former life.
    pub session: SessionId,
    /// Its zone.
    pub zone: String,
}

/// An index: settings and shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexMetadata {
    /// Replicas of each shard, beside the primary.
    pub replicas: u32,
    /// number_of_routing_shards: the modulus of document routing.
    pub routing_shards: u32,
    /// Its shards; the position is the shard's number.
    pub shards: Vec<ShardTable>,
}

/// One shard: term, in-sync set, copies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardTable {
    /// One more whenever a primary is assigned.
    pub term: Term,
    /// Copies that have every acknowledged write.
    pub in_sync: BTreeSet<AllocationId>,
    /// Its copies: 1 + replicas of them, and the targets of relocations.
    pub copies: Vec<ShardCopy>,
}

/// One copy of a shard, assigned or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCopy {
    /// Whether it is (or will be) the primary.
    pub primary: bool,
    /// Its state.
    pub state: CopyState,
    /// Where it is; none when unassigned.
    pub node: Option<HostId>,
    /// Its identity; none when never assigned. An unassigned copy that has one waits for its node.
    pub allocation: Option<AllocationId>,
    /// Of a relocating copy: the target. Of its target: the source.
    pub relocating: Option<AllocationId>,
    /// Failed attempts in a row to bring it up.
    pub failures: u32,
}

impl ClusterState {
    /// Whether this state is newer than `other`: by epoch, then version.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.epoch, self.version) > (other.epoch, other.version)
    }

    /// The state as it stands in its znode (postcard).
    pub fn to_bytes(&self) -> Arc<[u8]> {
        let bytes = postcard::to_stdvec(self);
        bytes.unwrap_or_else(|error| unreachable!("a cluster state can be written down: {error}")).into()
    }

    /// The state in a znode's data: the empty one if none was written yet, none if it cannot be read.
    pub fn from_bytes(data: Option<&[u8]>) -> Option<Self> {
        match data {
            None | Some([]) => Some(Self::default()),
            Some(bytes) => postcard::from_bytes(bytes).ok(),
        }
    }

    /// The table of a shard.
    pub fn shard(&self, id: &ShardId) -> Option<&ShardTable> {
        self.indices.get(&id.index)?.shards.get(id.number as usize)
    }

    /// Every shard with its table, in order.
    pub fn shards(&self) -> impl Iterator<Item = (ShardId, &ShardTable)> {
        self.indices.iter().flat_map(|(index, metadata)| {
            metadata
                .shards
                .iter()
                .zip(0..)
                .map(|(table, number)| (ShardId { index: index.clone(), number }, table))
        })
    }

    /// Every copy, as events show it.
    pub fn placements(&self) -> Vec<Placement> {
        let placements = self.shards().flat_map(|(shard, table)| {
            table.copies.iter().map(move |copy| Placement {
                shard: shard.clone(),
                node: copy.node,
                allocation: copy.allocation,
                primary: copy.primary,
                state: copy.state,
                in_sync: copy.allocation.is_some_and(|id| table.in_sync.contains(&id)),
                term: table.term,
            })
        });
        placements.collect()
    }

    /// The in-sync copies that no routing entry is, as events show them.
    pub fn unlisted(&self) -> Vec<CopyRef> {
        let unlisted = self.shards().flat_map(|(shard, table)| {
            let ids = table.in_sync.iter().filter(|id| table.copy(**id).is_none());
            ids.map(move |id| CopyRef { shard: shard.clone(), allocation: *id })
        });
        unlisted.collect()
    }
}

impl ShardTable {
    /// The primary, if one is on a node (it may still be initializing).
    pub fn primary(&self) -> Option<&ShardCopy> {
        self.copies.iter().find(|copy| copy.primary && copy.node.is_some())
    }

    /// The copy with this identity.
    pub fn copy(&self, id: AllocationId) -> Option<&ShardCopy> {
        self.copies.iter().find(|copy| copy.allocation == Some(id))
    }

    /// Whether a copy's data may still be wanted: it is in the table, or in the in-sync set.
    pub fn knows(&self, id: AllocationId) -> bool {
        self.in_sync.contains(&id) || self.copy(id).is_some()
    }

    /// The copy on this node. Never more than one: the same-shard rule holds for relocation targets, too.
    pub fn on(&self, node: HostId) -> Option<&ShardCopy> {
        self.copies.iter().find(|copy| copy.node == Some(node))
    }

    /// Copies that serve.
    pub fn active(&self) -> impl Iterator<Item = &ShardCopy> {
        self.copies.iter().filter(|copy| copy.is_active())
    }
}

impl ShardCopy {
    /// Whether it serves: started, or the source of a relocation.
    pub fn is_active(&self) -> bool {
        matches!(self.state, CopyState::Started | CopyState::Relocating)
    }

    /// Whether it is the target of a relocation.
    pub fn is_target(&self) -> bool {
        self.state == CopyState::Initializing && self.relocating.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_survives_its_znode() {
        let mut state = ClusterState { version: 3, ..ClusterState::default() };
        state.enter_epoch(Epoch(2), HostId::search(1));
        let entry = NodeEntry { session: SessionId(7), zone: "a".to_owned() };
        state.set_members(&[(HostId::search(1), entry)].into());
        state.create_index(&"articles".into(), 2, 1).unwrap();
        state.assign(&"articles/0".parse().unwrap(), 0, HostId::search(1), None);
        assert_eq!(ClusterState::from_bytes(Some(&state.to_bytes())), Some(state));
    }

    #[test]
    fn garbage_is_no_state_and_nothing_is_the_first_one() {
        assert_eq!(ClusterState::from_bytes(Some(&[0xff; 9])), None);
        assert_eq!(ClusterState::from_bytes(None), Some(ClusterState::default()));
    }
}
