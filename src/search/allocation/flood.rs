//! Flood stage — decides which indices are only served deletes because a disk is nearly full. It never moves a copy.
//!
//! Elasticsearch's `DiskThresholdMonitor`: an index with a copy on a node beyond the flood stage is blocked; it is
//! released when every node that has a copy of it is known to be below the high watermark again.

use super::{
    info::{ClusterInfo, DiskUsage},
    settings::Settings,
};
use crate::{
    name::{HostId, IndexName},
    search::state::{ClusterState, IndexMetadata},
};

/// What became of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flood {
    /// It is blocked now.
    Blocked(IndexName),
    /// It is blocked no more.
    Released(IndexName),
}

/// Blocks and releases indices by what is known of disks. Nothing is known: nothing changes.
pub fn apply(state: &mut ClusterState, settings: &Settings, info: &ClusterInfo) -> Vec<Flood> {
    if info.disks.is_empty() || !settings.disk.is_enabled {
        return Vec::new();
    }
    let mut changes = Vec::new();
    for (index, metadata) in &mut state.indices {
        let wanted = match metadata.read_only_allow_delete {
            false => is_flooded(metadata, settings, info),
            true => !is_drained(metadata, settings, info),
        };
        if wanted != metadata.read_only_allow_delete {
            metadata.read_only_allow_delete = wanted;
            let name = index.clone();
            changes.push(if wanted { Flood::Blocked(name) } else { Flood::Released(name) });
        }
    }
    changes
}

fn is_flooded(metadata: &IndexMetadata, settings: &Settings, info: &ClusterInfo) -> bool {
    let is_beyond =
        |DiskUsage { total, free }: &DiskUsage| settings.disk.flood_stage.is_passed(*total, *free);
    holders(metadata).any(|node| info.disks.get(&node).is_some_and(is_beyond))
}

fn is_drained(metadata: &IndexMetadata, settings: &Settings, info: &ClusterInfo) -> bool {
    let is_below = |DiskUsage { total, free }: &DiskUsage| !settings.disk.high.is_passed(*total, *free);
    holders(metadata).all(|node| info.disks.get(&node).is_some_and(is_below))
}

fn holders(metadata: &IndexMetadata) -> impl Iterator<Item = HostId> {
    metadata.shards.iter().flat_map(|table| &table.copies).filter_map(|copy| copy.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::CopyState::Started,
        search::fixture::{copy, state, table},
    };

    fn info(free: &[u64]) -> ClusterInfo {
        let disk = |free| DiskUsage { total: 100, free };
        let nodes = (1..).map(HostId::search);
        ClusterInfo {
            disks: nodes.zip(free).map(|(node, free)| (node, disk(*free))).collect(),
            ..Default::default()
        }
    }

    fn after(blocked: bool, free: &[u64]) -> bool {
        let mut state = state(1, vec![table(vec![copy(1, 1, true, Started), copy(2, 2, false, Started)])]);
        let articles = IndexName::from("articles");
        state.indices.get_mut(&articles).unwrap().read_only_allow_delete = blocked;
        let changes = apply(&mut state, &Settings::default(), &info(free));
        let is_blocked = state.indices[&articles].read_only_allow_delete;
        assert_eq!(changes.is_empty(), is_blocked == blocked);
        is_blocked
    }

    #[test]
    fn index_is_blocked_beyond_the_flood_stage_of_any_of_its_nodes() {
        assert!(!after(false, &[5, 50]), "exactly at 95 %");
        assert!(after(false, &[50, 4]));
        assert!(!after(false, &[50, 50, 1]), "no copy is there");
    }

    #[test]
    fn index_is_released_when_all_of_its_nodes_are_known_to_be_below_the_high_watermark() {
        assert!(after(true, &[50, 8]), "below the flood stage is not enough");
        assert!(after(true, &[50]), "of the other one nothing is known");
        assert!(!after(true, &[50, 10]));
        assert!(after(true, &[]));
    }
}
