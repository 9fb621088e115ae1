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

use super::settings::{Settings, SettingsDocument};
use crate::{
    event::{CopyRef, CopyState, Digest, Placement},
    name::{AllocationId, Epoch, HostId, IndexName, IndexUuid, SessionId, ShardId, Term},
};

/// How a written state begins, before the digest of the rest: what does not is none.
const MAGIC: &[u8; 4] = b"SHS1";
/// Bytes of the magic and the digest.
const HEADER: usize = MAGIC.len() + size_of::<u64>();

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
    /// Shards for which a reroute command was carried out with this state.
    #[serde(default)]
    pub commanded: BTreeSet<ShardId>,
    /// Those of them whose data was given up: what else is left of them is never built on again.
    #[serde(default)]
    pub given_up: BTreeSet<ShardId>,
    /// Shards whose primary is to be replaced by command while its node lives, and since which state: it
    /// proves by the other copies, not by its session alone, that it still is what it was (`reroute`).
    #[serde(default)]
    pub yielding: BTreeMap<ShardId, (Epoch, u64)>,
    /// The highest primary term of each index that was deleted (Elasticsearch's index graveyard keeps their names):
    /// where the terms of the next index of that name begin, so that no term of a shard's name is ever used twice.
    #[serde(default)]
    pub graveyard: BTreeMap<IndexName, Term>,
    /// The settings by which the controller decided; their znode may be newer.
    #[serde(default)]
    pub settings: Arc<SettingsDocument>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// The session that owns its registration: tells a restarted node from its former life.
    pub session: SessionId,
    /// Its zone: the value of its attribute `zone`.
    pub zone: String,
    /// Its other attributes (`node.attr.*`), such as `rack`.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// An index: settings and shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexMetadata {
    /// Its identity: an index that is made again under the same name is another one.
    #[serde(default)]
    pub uuid: IndexUuid,
    /// Replicas of each shard, beside the primary.
    pub replicas: u32,
    /// Whether a node that holds a copy of it ran into the flood-stage watermark: only deletes are served, as
    /// under `index.blocks.read_only_allow_delete`. Set and taken back by the controller, not by users.
    #[serde(default)]
    pub read_only_allow_delete: bool,
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
    /// Why it has no node, or had none before it began to recover.
    #[serde(default)]
    pub unassigned: Option<Box<UnassignedInfo>>,
}

/// Why a copy became unassigned (`UnassignedInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnassignedInfo {
    /// The kind of reason.
    pub reason: UnassignedReason,
    /// Since when, in milliseconds of the controller's wall clock; 0 until the controller has noted it.
    pub at_ms: i64,
    /// More about it, for people; may be empty.
    pub message: String,
    /// The node it was on last.
    pub last_node: Option<HostId>,
    /// Nodes on which it could not be brought up since it was started last.
    pub failed_nodes: BTreeSet<HostId>,
}

/// The kinds of reasons for a copy to be unassigned (`UnassignedInfo.Reason`), as far as the model has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnassignedReason {
    /// Its index was made.
    IndexCreated,
    /// number_of_replicas was raised.
    ReplicaAdded,
    /// It could not be brought up, or failed while it served.
    AllocationFailed,
    /// Its node left.
    NodeLeft,
    /// A command cancelled its recovery.
    RerouteCancelled,
    /// It was a relocation's target that became a plain copy again, or its recovery began anew.
    Reinitialized,
    /// A better copy to build on was found.
    ReallocatedReplica,
    /// Its primary failed while it was being built.
    PrimaryFailed,
    /// A command asked for a new, empty primary.
    ForcedEmptyPrimary,
    /// A command placed it.
    ManualAllocation,
}

impl UnassignedReason {
    /// Elasticsearch's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::IndexCreated => "INDEX_CREATED",
            Self::ReplicaAdded => "REPLICA_ADDED",
            Self::AllocationFailed => "ALLOCATION_FAILED",
            Self::NodeLeft => "NODE_LEFT",
            Self::RerouteCancelled => "REROUTE_CANCELLED",
            Self::Reinitialized => "REINITIALIZED",
            Self::ReallocatedReplica => "REALLOCATED_REPLICA",
            Self::PrimaryFailed => "PRIMARY_FAILED",
            Self::ForcedEmptyPrimary => "FORCED_EMPTY_PRIMARY",
            Self::ManualAllocation => "MANUAL_ALLOCATION",
        }
    }
}

impl UnassignedInfo {
    /// For this reason, and nothing else known yet.
    pub fn new(reason: UnassignedReason) -> Self {
        let (message, last_node, failed_nodes) = (String::new(), None, BTreeSet::new());
        Self { reason, at_ms: 0, message, last_node, failed_nodes }
    }
}

impl NodeEntry {
    /// A node with this session and zone, and no other attributes.
    pub fn new(session: SessionId, zone: &str) -> Self {
        Self { session, zone: zone.to_owned(), attributes: BTreeMap::new() }
    }

    /// The value of an attribute; `zone` is one like the others.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        match name {
            "zone" => Some(&self.zone),
            _ => self.attributes.get(name).map(String::as_str),
        }
    }

    /// The content of its registration: the zone, and one line for each other attribute.
    pub fn content(zone: &str, attributes: &BTreeMap<String, String>) -> String {
        let lines = attributes.iter().map(|(name, value)| format!("\n{name}={value}"));
        std::iter::once(zone.to_owned()).chain(lines).collect()
    }

    /// The node whose registration has this content.
    pub fn of_content(session: SessionId, content: &str) -> Self {
        let mut lines = content.lines();
        let zone = lines.next().unwrap_or_default();
        let pairs = lines.filter_map(|line| line.split_once('='));
        let attributes = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { attributes, ..Self::new(session, zone) }
    }
}

impl ClusterState {
    /// Forgets which commands were carried out with the last state, and which wait.
    pub fn forget_orders(&mut self) {
        self.commanded.clear();
        self.given_up.clear();
        self.yielding.clear();
    }

    /// Whether this state is newer than `other`: by epoch, then version.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.epoch, self.version) > (other.epoch, other.version)
    }

    /// The state as it stands in its znode: a magic, the digest of what follows, and that (postcard).
    pub fn to_bytes(&self) -> Arc<[u8]> {
        let bytes = postcard::to_extend(self, vec![0; HEADER]);
        let mut bytes =
            bytes.unwrap_or_else(|error| unreachable!("a cluster state can be written down: {error}"));
        let digest = Digest::of(&bytes[HEADER..]);
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()..HEADER].copy_from_slice(&digest.0.to_le_bytes());
        bytes.into()
    }

    /// The state in a znode's data: the empty one if none was written yet, none if it is not whole.
    pub fn from_bytes(data: Option<&[u8]>) -> Option<Self> {
        match data {
            None | Some([]) => Some(Self::default()),
            Some(bytes) => {
                let (digest, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
                let is_whole = Digest::of(rest).0 == u64::from_le_bytes(*digest);
                if is_whole { postcard::from_bytes(rest).ok() } else { None }
            }
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

impl IndexMetadata {
    /// Its settings as clients are told: those that are set, and what stands in the metadata itself.
    pub fn settings(&self, set: &Settings) -> Settings {
        let mut told = set.clone();
        let own = [
            ("index.number_of_shards", self.shards.len().to_string()),
            ("index.number_of_replicas", self.replicas.to_string()),
            ("index.uuid", self.uuid.to_string()),
        ];
        told.0.extend(own.map(|(name, value)| (name.to_owned(), value)));
        if self.read_only_allow_delete {
            told.0.insert("index.blocks.read_only_allow_delete".to_owned(), "true".to_owned());
        }
        told
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
        self.state.is_active()
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
        let entry = NodeEntry::new(SessionId(7), "a");
        state.set_members(&[(HostId::search(1), entry)].into());
        state.create_index(&"articles".into(), 2, 1).unwrap();
        state.assign(&"articles/0".parse().unwrap(), 0, HostId::search(1), None);
        assert_eq!(ClusterState::from_bytes(Some(&state.to_bytes())), Some(state));
    }

    #[test]
    fn attributes_survive_the_registration() {
        let attributes = [("rack".to_owned(), "r=1".to_owned())].into();
        let content = NodeEntry::content("b", &attributes);
        let entry = NodeEntry::of_content(SessionId(7), &content);
        assert_eq!(entry, NodeEntry { attributes, ..NodeEntry::new(SessionId(7), "b") });
        assert_eq!((entry.attribute("zone"), entry.attribute("rack")), (Some("b"), Some("r=1")));
        assert_eq!(NodeEntry::of_content(SessionId(7), ""), NodeEntry::new(SessionId(7), ""));
    }

    #[test]
    fn garbage_is_no_state_and_nothing_is_the_first_one() {
        assert_eq!(ClusterState::from_bytes(Some(&[0xff; 9])), None);
        let mut bytes = ClusterState { version: 3, ..ClusterState::default() }.to_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(ClusterState::from_bytes(Some(&bytes)), None, "one bit is enough");
        assert_eq!(ClusterState::from_bytes(None), Some(ClusterState::default()));
    }
}
