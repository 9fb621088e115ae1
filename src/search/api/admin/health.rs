//! Health — decides how health is asked for and told. It never decides how healthy a cluster is.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{ActiveShards, CLUSTER_NAME};
use crate::name::IndexName;

/// Health, worst shard first (`red` < `yellow` < `green`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// A primary is not active.
    Red,
    /// A replica is not active.
    Yellow,
    /// Every copy is active.
    Green,
}

/// `GET /_cluster/health`: at once if it waits for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRequest {
    /// Of which index; none: of all.
    pub index: Option<IndexName>,
    /// Wait until it is at least so good.
    pub wait_for_status: Option<Health>,
    /// Wait until there are so many nodes: `3`, `>=3`, `<=3`, `>3`, `<3`, `ge(3)` and so on.
    pub wait_for_nodes: Option<String>,
    /// Wait until no copy moves.
    pub wait_for_no_relocating_shards: bool,
    /// Wait until no copy is being built.
    pub wait_for_no_initializing_shards: bool,
    /// Wait until so many copies are active, in all; `All`: every one that is configured.
    pub wait_for_active_shards: Option<ActiveShards>,
    /// How long to wait; none: 30 s.
    pub timeout: Option<Duration>,
}

/// Copies of an index, or of all, by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexCounts {
    /// Worst shard.
    pub status: Health,
    /// Shards.
    pub shards: u32,
    /// Replicas of each; of all indices: none.
    pub replicas: u32,
    /// Primaries that serve.
    pub active_primaries: u32,
    /// Copies that serve, moving ones included.
    pub active: u32,
    /// Copies that move.
    pub relocating: u32,
    /// Copies that are being built, targets of moves included.
    pub initializing: u32,
    /// Copies without a node.
    pub unassigned: u32,
    /// Of those, copies that wait for a node that left.
    pub delayed: u32,
}

/// The answer to [`HealthRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterHealth {
    /// Whether what was waited for did not come in time.
    pub timed_out: bool,
    /// Nodes of the cluster; all hold data.
    pub nodes: u32,
    /// Of all indices asked for.
    pub counts: IndexCounts,
    /// By index.
    pub indices: BTreeMap<IndexName, IndexCounts>,
    /// Tasks that wait for the next write of the state, on a node that is the controller; else 0.
    pub pending_tasks: u32,
}

impl ClusterHealth {
    /// HTTP status: 408 if it timed out.
    pub fn status(&self) -> u16 {
        if self.timed_out { 408 } else { 200 }
    }

    /// Elasticsearch's reply body. Nobody fetches shard stores, so none are in flight.
    pub fn body(&self) -> Value {
        let counts = &self.counts;
        let all = counts.active + counts.initializing + counts.unassigned;
        let percent = if all == 0 { 100.0 } else { f64::from(counts.active) * 100.0 / f64::from(all) };
        let mut body = json!({
            "cluster_name": CLUSTER_NAME,
            "timed_out": self.timed_out,
            "number_of_nodes": self.nodes,
            "number_of_data_nodes": self.nodes,
            "number_of_pending_tasks": self.pending_tasks,
            "number_of_in_flight_fetch": 0,
            "task_max_waiting_in_queue_millis": 0,
            "delayed_unassigned_shards": counts.delayed,
            "active_shards_percent_as_number": percent,
        });
        merge(&mut body, counts.body());
        let detailed = |(index, counts): (&IndexName, &IndexCounts)| {
            let mut told = counts.body();
            let numbers = json!({"number_of_shards": counts.shards, "number_of_replicas": counts.replicas});
            merge(&mut told, numbers);
            (index.to_string(), told)
        };
        if !self.indices.is_empty() {
            body["indices"] = Value::Object(self.indices.iter().map(detailed).collect::<Map<_, _>>());
        }
        body
    }
}

impl IndexCounts {
    /// No shard at all, which is green.
    pub const NONE: Self = Self {
        status: Health::Green,
        shards: 0,
        replicas: 0,
        active_primaries: 0,
        active: 0,
        relocating: 0,
        initializing: 0,
        unassigned: 0,
        delayed: 0,
    };

    fn body(&self) -> Value {
        json!({
            "status": self.status,
            "active_primary_shards": self.active_primaries,
            "active_shards": self.active,
            "relocating_shards": self.relocating,
            "initializing_shards": self.initializing,
            "unassigned_shards": self.unassigned,
        })
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_has_every_field_of_elasticsearch() {
        let counts = IndexCounts {
            status: Health::Yellow,
            shards: 2,
            replicas: 1,
            active_primaries: 2,
            active: 3,
            relocating: 1,
            initializing: 0,
            unassigned: 1,
            delayed: 1,
        };
        let indices = [("a".into(), counts)].into();
        let health = ClusterHealth { timed_out: true, nodes: 3, counts, indices, pending_tasks: 0 };
        let body = json!({
            "cluster_name": "shardarium",
            "status": "yellow",
            "timed_out": true,
            "number_of_nodes": 3,
            "number_of_data_nodes": 3,
            "active_primary_shards": 2,
            "active_shards": 3,
            "relocating_shards": 1,
            "initializing_shards": 0,
            "unassigned_shards": 1,
            "delayed_unassigned_shards": 1,
            "number_of_pending_tasks": 0,
            "number_of_in_flight_fetch": 0,
            "task_max_waiting_in_queue_millis": 0,
            "active_shards_percent_as_number": 75.0,
            "indices": {"a": {
                "status": "yellow",
                "number_of_shards": 2,
                "number_of_replicas": 1,
                "active_primary_shards": 2,
                "active_shards": 3,
                "relocating_shards": 1,
                "initializing_shards": 0,
                "unassigned_shards": 1,
            }},
        });
        assert_eq!(health.body(), body);
        assert_eq!(health.status(), 408);
    }
}
