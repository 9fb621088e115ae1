//! Cluster info — decides what is known of disks and of the sizes of shards. It never decides what follows
//! from it.
//!
//! Elasticsearch's `ClusterInfo`: nodes report every `cluster.info.update.interval`, so what it says is old.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    core::Instant,
    name::{AllocationId, HostId, ShardId},
};

/// What nodes have reported. Empty, nothing is known: deciders that go by it have no objection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    /// Each node's disk.
    pub disks: BTreeMap<HostId, DiskUsage>,
    /// How large each shard is.
    pub shards: BTreeMap<ShardId, ShardLoad>,
    /// The copies that the report of a node has counted already.
    pub counted: BTreeMap<HostId, BTreeMap<AllocationId, u64>>,
    /// When each node last reported, by the controller's clock.
    pub at: BTreeMap<HostId, Instant>,
}

/// A node's disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUsage {
    /// Its size in bytes.
    pub total: u64,
    /// What is free of it, in bytes.
    pub free: u64,
}

/// What a copy of a shard takes of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardLoad {
    /// Bytes on disk.
    pub bytes: u64,
    /// Forecast write load, in millionths of a busy write thread.
    pub write_load_micros: u64,
}

/// What one node reports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStats {
    /// Its disk.
    pub disk: DiskUsage,
    /// Its copies, with their bytes; the primaries tell the size of their shards.
    pub copies: Vec<CopyStats>,
}

/// What a node reports of one of its copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStats {
    /// Of which shard.
    pub shard: ShardId,
    /// Which copy.
    pub allocation: AllocationId,
    /// Whether it is the primary.
    pub primary: bool,
    /// Bytes on disk.
    pub bytes: u64,
}

impl ClusterInfo {
    /// What is known of a shard.
    pub fn shard(&self, shard: &ShardId) -> ShardLoad {
        if self.shards.is_empty() {
            ShardLoad::default()
        } else {
            self.shards.get(shard).copied().unwrap_or_default()
        }
    }

    /// Takes a node's report.
    pub fn report(&mut self, node: HostId, stats: &NodeStats, now: Instant) {
        self.disks.insert(node, stats.disk);
        self.at.insert(node, now);
        let counted = stats.copies.iter().map(|copy| (copy.allocation, copy.bytes));
        self.counted.insert(node, counted.collect());
        for copy in &stats.copies {
            let load = self.shards.entry(copy.shard.clone()).or_default();
            load.bytes = if copy.primary { copy.bytes } else { load.bytes.max(copy.bytes) };
        }
    }

    /// Forgets nodes that are gone, and shards that are no more.
    pub fn retain(&mut self, is_node: impl Fn(HostId) -> bool, is_shard: impl Fn(&ShardId) -> bool) {
        self.disks.retain(|node, _| is_node(*node));
        self.at.retain(|node, _| is_node(*node));
        self.counted.retain(|node, _| is_node(*node));
        self.shards.retain(|shard, _| is_shard(shard));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_tells_the_size_of_its_shard() {
        let mut info = ClusterInfo::default();
        let shard: ShardId = "a/0".parse().unwrap();
        let stats = |primary, bytes| NodeStats {
            disk: DiskUsage { total: 100, free: 50 },
            copies: vec![CopyStats { shard: shard.clone(), allocation: AllocationId(1), primary, bytes }],
        };
        info.report(HostId::search(1), &stats(false, 30), Instant(5));
        assert_eq!(info.shard(&shard).bytes, 30);
        info.report(HostId::search(2), &stats(true, 20), Instant(6));
        assert_eq!((info.shard(&shard).bytes, info.at[&HostId::search(2)]), (20, Instant(6)));
        info.retain(|node| node == HostId::search(1), |_| false);
        assert_eq!((info.disks.len(), info.shard(&shard).bytes), (1, 0));
    }
}
