//! Cat API — decides which tables of text can be asked for. It never writes one.

use serde::{Deserialize, Serialize};

/// `GET /_cat/…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatRequest {
    /// Which table.
    pub table: CatTable,
    /// `v`: whether the names of the columns come first.
    pub verbose: bool,
}

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatTable {
    /// The health of the cluster in a row.
    Health,
    /// Every index and its health.
    Indices,
    /// Every node, the elected one with a star.
    Nodes,
    /// The elected node.
    Master,
    /// Every copy of every shard.
    Shards,
    /// Copies of each node.
    Allocation,
    /// Copies that are being built.
    Recovery,
}
