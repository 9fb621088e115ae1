//! API — decides what clients can ask of a search node and what they are told; Elasticsearch's names and
//! shapes. It never decides an answer.

pub mod admin;
pub mod bulk;
pub mod documents;
pub mod multi_get;
pub mod search;
pub mod update;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::admin::{
    Acknowledged, AllocationExplainRequest, CatRequest, ClusterHealth, ClusterSettings, ClusterStateView,
    DeleteIndexRequest, GetClusterSettingsRequest, GetIndexSettingsRequest, HealthRequest, IndexCreated,
    IndexSettings, NodeList, NodesRequest, PendingTasks, PendingTasksRequest, RerouteRequest, Rerouted,
    StateRequest, UpdateClusterSettingsRequest, UpdateIndexSettingsRequest,
};
pub use self::{
    admin::{ActiveShards, CreateIndexRequest, Health},
    bulk::{BulkAction, BulkAnswer, BulkItem, BulkRequest, BulkWrite},
    documents::{
        DeleteRequest, GetAnswer, GetRequest, GotDoc, IndexRequest, OpType, RefreshAnswer, RefreshPolicy,
        RefreshRequest, VersionType, WriteAnswer, WriteOptions, WriteResult,
    },
    multi_get::{FailedGet, MultiGetAnswer, MultiGetRequest},
    search::{Hit, SearchAnswer, SearchRequest, SearchType, ShardFailure, Total},
    update::UpdateRequest,
};
use crate::{event::Word, name::IndexName, search::allocation::explain::AllocationExplanation};

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
    /// `POST /_cluster/reroute`.
    Reroute(RerouteRequest),
    /// `POST /_cluster/allocation/explain`.
    AllocationExplain(AllocationExplainRequest),
    /// `GET /_cat/…`.
    Cat(CatRequest),
    /// `PUT /index/_doc/id`, `POST /index/_doc`.
    Index(IndexRequest),
    /// `DELETE /index/_doc/id`.
    Delete(DeleteRequest),
    /// `POST /index/_update/id`.
    Update(UpdateRequest),
    /// `POST /_bulk`.
    Bulk(BulkRequest),
    /// `GET /index/_doc/id`.
    Get(GetRequest),
    /// `GET /_mget`.
    MultiGet(MultiGetRequest),
    /// `POST /index/_refresh`.
    Refresh(RefreshRequest),
    /// `POST /index/_search`.
    Search(SearchRequest),
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiReply {
    /// The request's.
    pub id: u64,
    /// What came of it.
    pub result: Result<ApiAnswer, ApiError>,
}

impl ApiReply {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match &self.result {
            Ok(ApiAnswer::Written(answer)) => answer.status(),
            Ok(ApiAnswer::Got(answer)) => answer.status(),
            Ok(ApiAnswer::Health(answer)) => answer.status(),
            Ok(_) => 200,
            Err(error) => error.status,
        }
    }

    /// The body, as Elasticsearch writes it.
    pub fn body(&self) -> Value {
        match &self.result {
            Ok(ApiAnswer::IndexCreated(answer)) => answer.body(),
            Ok(ApiAnswer::Acknowledged(answer)) => answer.body(),
            Ok(ApiAnswer::IndexSettings(answer)) => answer.body(),
            Ok(ApiAnswer::ClusterSettings(answer)) => answer.body(),
            Ok(ApiAnswer::State(answer)) => answer.body(),
            Ok(ApiAnswer::Nodes(answer)) => answer.body(),
            Ok(ApiAnswer::PendingTasks(answer)) => answer.body(),
            Ok(ApiAnswer::Rerouted(answer)) => answer.body(),
            Ok(ApiAnswer::Cat(text)) => Value::String(text.clone()),
            Ok(ApiAnswer::AllocationExplained(answer)) => answer.body(),
            Ok(ApiAnswer::Written(answer)) => answer.body(),
            Ok(ApiAnswer::Bulk(answer)) => answer.body(),
            Ok(ApiAnswer::Got(answer)) => answer.body(),
            Ok(ApiAnswer::GotSeveral(answer)) => answer.body(),
            Ok(ApiAnswer::Refreshed(answer)) => answer.body(),
            Ok(ApiAnswer::Found(answer)) => answer.body(),
            Ok(ApiAnswer::Health(answer)) => answer.body(),
            Err(error) => error.body(),
        }
    }
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
    /// State.
    State(ClusterStateView),
    /// Nodes.
    Nodes(NodeList),
    /// PendingTasks.
    PendingTasks(PendingTasks),
    /// Reroute.
    Rerouted(Rerouted),
    /// Cat: columns of text.
    Cat(String),
    /// AllocationExplain.
    AllocationExplained(Box<AllocationExplanation>),
    /// Index, Delete: every in-sync copy has it, durable.
    Written(WriteAnswer),
    /// Bulk: each item by itself.
    Bulk(BulkAnswer),
    /// Get: the document, or none (404, found: false).
    Got(GetAnswer),
    /// MultiGet: each get by itself.
    GotSeveral(MultiGetAnswer),
    /// Refresh: shards that did it.
    Refreshed(RefreshAnswer),
    /// Search.
    Found(SearchAnswer),
    /// Health of the cluster as this node sees it.
    Health(ClusterHealth),
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

impl ApiError {
    /// One that surely had no effect.
    pub fn new(status: u16, kind: &'static str, reason: impl Into<String>) -> Self {
        Self { status, kind: kind.into(), reason: reason.into(), certain: true }
    }

    /// 404 `index_not_found_exception`.
    pub fn no_index(index: &IndexName) -> Self {
        Self::new(404, "index_not_found_exception", format!("no such index [{index}]"))
    }

    /// 400 `illegal_argument_exception`.
    pub fn illegal(reason: impl Into<String>) -> Self {
        Self::new(400, "illegal_argument_exception", reason)
    }

    /// 400 `action_request_validation_exception` with all that is wrong, numbered
    /// (`ValidationException.validationErrors`).
    pub fn invalid<T: AsRef<str>>(problems: &[T]) -> Self {
        let numbered =
            (1..).zip(problems).map(|(number, problem)| format!(" {number}: {};", problem.as_ref()));
        let reason = format!("Validation Failed:{}", numbered.collect::<String>());
        Self::new(400, "action_request_validation_exception", reason)
    }

    /// `type` and `reason`, as they stand in `error` and in `root_cause`.
    pub fn cause(&self) -> Value {
        json!({ "type": self.kind, "reason": self.reason })
    }

    /// The body, as Elasticsearch writes it.
    pub fn body(&self) -> Value {
        let cause = self.cause();
        let error = json!({ "root_cause": [cause], "type": self.kind, "reason": self.reason });
        json!({ "error": error, "status": self.status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_has_its_root_cause_and_status() {
        let error = ApiError::illegal("no");
        let reply = ApiReply { id: 1, result: Err(error) };
        let cause = json!({ "type": "illegal_argument_exception", "reason": "no" });
        let wanted = json!({
            "error": { "root_cause": [cause], "type": "illegal_argument_exception", "reason": "no" },
            "status": 400,
        });
        assert_eq!((reply.status(), reply.body()), (400, wanted));
    }

    #[test]
    fn problems_of_a_request_are_numbered() {
        let error = ApiError::invalid(&["this", "that"]);
        assert_eq!(error.reason, "Validation Failed: 1: this; 2: that;");
    }
}
