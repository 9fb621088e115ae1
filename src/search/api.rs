//! API — decides what clients can ask of a search node and what they are told; Elasticsearch's names and
//! shapes. It never decides an answer.

pub mod admin;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::admin::Health;
use self::admin::{
    Acknowledged, ClusterHealth, ClusterSettings, ClusterStateView, CreateIndexRequest, DeleteIndexRequest,
    GetClusterSettingsRequest, GetIndexSettingsRequest, HealthRequest, IndexCreated, IndexSettings, NodeList,
    NodesRequest, PendingTasks, PendingTasksRequest, StateRequest, UpdateClusterSettingsRequest,
    UpdateIndexSettingsRequest,
};
use crate::{
    event::Word,
    name::{IndexName, SeqNo, Term},
};

/// A request to the coordinating node, answered by one [`ApiReply`] of the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiRequest {
    /// The client's number for it.
    pub id: u64,
    /// What it asks.
    pub call: ApiCall,
}

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApiCall {
    /// `PUT /index`.
    CreateIndex(CreateIndexRequest),
    /// `DELETE /index`.
    DeleteIndex(DeleteIndexRequest),
    /// `GET /index/_settings`.
    GetIndexSettings(GetIndexSettingsRequest),
    /// `PUT /index/_settings`.
    UpdateIndexSettings(UpdateIndexSettingsRequest),
    /// `GET /_cluster/settings`.
    GetClusterSettings(GetClusterSettingsRequest),
    /// `PUT /_cluster/settings`.
    UpdateClusterSettings(UpdateClusterSettingsRequest),
    /// `GET /_cluster/health`.
    Health(HealthRequest),
    /// `GET /_cluster/state`.
    State(StateRequest),
    /// `GET /_nodes`.
    Nodes(NodesRequest),
    /// `GET /_cluster/pending_tasks`.
    PendingTasks(PendingTasksRequest),
    /// `PUT /index/_doc/id`.
    Index {
        /// The index.
        index: IndexName,
        /// Document id.
        id: String,
        /// The document: a JSON object.
        source: Arc<str>,
        /// if_seq_no and if_primary_term: write only if the document was last changed by this operation.
        condition: Option<(SeqNo, Term)>,
    },
    /// `DELETE /index/_doc/id`.
    Delete {
        /// The index.
        index: IndexName,
        /// Document id.
        id: String,
    },
    /// `GET /index/_doc/id` (realtime).
    Get {
        /// The index.
        index: IndexName,
        /// Document id.
        id: String,
    },
    /// `POST /index/_refresh`.
    Refresh {
        /// The index.
        index: IndexName,
    },
    /// `POST /index/_search`.
    Search {
        /// The index.
        index: IndexName,
        /// What to find.
        query: Query,
        /// How many hits at most.
        size: u32,
    },
}

/// What to find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// Every document, score 1.
    MatchAll,
    /// Documents with any of these words in any of their strings, by BM25.
    Match(String),
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiReply {
    /// The request's.
    pub id: u64,
    /// What came of it.
    pub result: Result<ApiAnswer, ApiError>,
}

/// `result` of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the definition")]
pub enum WriteResult {
    Created,
    Updated,
    Deleted,
    NotFound,
}

/// One hit of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Document id.
    pub id: String,
    /// BM25 score.
    pub score: f32,
    /// The document.
    pub source: Arc<str>,
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ApiAnswer {
    /// CreateIndex.
    IndexCreated(IndexCreated),
    /// DeleteIndex, UpdateIndexSettings.
    Acknowledged(Acknowledged),
    /// GetIndexSettings.
    IndexSettings(IndexSettings),
    /// GetClusterSettings, UpdateClusterSettings.
    ClusterSettings(ClusterSettings),
    /// Health of the cluster as this node sees it.
    Health(ClusterHealth),
    /// State.
    State(ClusterStateView),
    /// Nodes.
    Nodes(NodeList),
    /// PendingTasks.
    PendingTasks(PendingTasks),
    /// Index, Delete: every in-sync copy has it, durable.
    Written {
        /// What it did.
        result: WriteResult,
        /// The operation's number.
        seq_no: SeqNo,
        /// Its term.
        term: Term,
        /// `_version` of the document.
        version: u64,
        /// Copies that the write should have gone to, and copies that have it.
        copies: (u32, u32),
    },
    /// Get: the document, or none (404, found: false).
    Got(Option<GotDoc>),
    /// Refresh: shards that did it.
    Refreshed {
        /// Copies that did.
        successful: u32,
        /// Copies asked.
        total: u32,
    },
    /// Search.
    Found {
        /// Shards asked.
        shards_total: u32,
        /// Shards that answered; fewer than asked means partial results.
        shards_successful: u32,
        /// Matching documents.
        total: u64,
        /// The best, best first: score, then shard, then document id.
        hits: Vec<Hit>,
    },
}

/// A document found by get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GotDoc {
    /// The document.
    pub source: Arc<str>,
    /// The operation that wrote it.
    pub seq_no: SeqNo,
    /// That operation's term.
    pub term: Term,
    /// `_version`.
    pub version: u64,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{status} {kind}: {reason}")]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Elasticsearch's `type`, such as `version_conflict_engine_exception`.
    pub kind: Word,
    /// For people.
    pub reason: String,
    /// True if the write surely has no effect, now or later; false if nobody knows.
    pub certain: bool,
}
