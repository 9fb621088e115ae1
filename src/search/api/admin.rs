//! Administrative API — decides what administrators can ask and what they are told; Elasticsearch's names and
//! shapes. It never decides an answer.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::name::IndexName;

/// How many copies of each shard must be active (`wait_for_active_shards`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActiveShards {
    /// All of them.
    All,
    /// At least so many.
    AtLeast(u32),
}

impl ActiveShards {
    /// Reads `all` or a number.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            number => number.parse().ok().map(Self::AtLeast),
        }
    }

    /// Whether `active` copies of a shard that should have `copies` are enough.
    pub fn is_met(self, active: usize, copies: usize) -> bool {
        match self {
            Self::All => active >= copies,
            Self::AtLeast(least) => active >= least as usize,
        }
    }
}

/// `PUT /index`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateIndexRequest {
    /// Its name.
    pub index: IndexName,
    /// number_of_shards.
    pub shards: u32,
    /// number_of_replicas.
    pub replicas: u32,
}

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

/// Health of the cluster as a node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAnswer {
    /// The worst of all shards.
    pub status: Health,
    /// Nodes in the cluster state.
    pub nodes: u32,
}

impl HealthAnswer {
    /// The body, as Elasticsearch writes it.
    pub fn body(&self) -> Value {
        json!({ "status": self.status, "number_of_nodes": self.nodes })
    }
}
