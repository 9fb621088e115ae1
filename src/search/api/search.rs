//! Search API — decides what searches can ask and what they are told; Elasticsearch's names and shapes. It never
//! decides an answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    event::ShardSeen,
    name::{HostId, IndexName},
    search::query::SortValue,
};

/// `POST /index/_search`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchRequest {
    /// The index.
    pub index: IndexName,
    /// The body: Elasticsearch's JSON; empty asks for everything.
    pub body: Arc<str>,
    /// search_type.
    pub search_type: SearchType,
    /// routing: only the shards of these values, with commas between.
    pub routing: Option<String>,
    /// preference: which copies to ask.
    pub preference: Option<String>,
    /// allow_partial_search_results; none: as the cluster is set.
    pub allow_partial_search_results: Option<bool>,
    /// max_concurrent_shard_requests: how many shards of one node are asked at once.
    pub max_concurrent_shard_requests: u32,
    /// batched_reduce_size: after how many shards results are merged.
    pub batched_reduce_size: u32,
}

/// `search_type`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchType {
    /// Each shard scores by its own figures.
    #[default]
    QueryThenFetch,
    /// A round before collects the figures of all shards.
    DfsQueryThenFetch,
}

impl SearchRequest {
    /// What this body asks, all parameters at their defaults.
    pub fn new(index: IndexName, body: impl Into<Arc<str>>) -> Self {
        Self {
            index,
            body: body.into(),
            search_type: SearchType::default(),
            routing: None,
            preference: None,
            allow_partial_search_results: None,
            max_concurrent_shard_requests: 5,
            batched_reduce_size: 512,
        }
    }

    /// Everything, `size` hits of it.
    pub fn everything(index: IndexName, size: u32) -> Self {
        Self::new(index, json!({ "query": { "match_all": {} }, "size": size }).to_string())
    }

    /// Documents with any of these words in this field, the best `size` of them.
    pub fn words(index: IndexName, field: &str, words: &str, size: u32) -> Self {
        Self::new(index, json!({ "query": { "match": { field: words } }, "size": size }).to_string())
    }
}

/// One hit of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Document id.
    pub id: String,
    /// Its score; none if hits come in another order and scores are not tracked.
    pub score: Option<f32>,
    /// What of the document is shown; none if nothing is.
    pub source: Option<Arc<str>>,
    /// `_routing`, if it was not routed by its id.
    pub routing: Option<String>,
    /// What it was compared by, if not by score.
    pub sort: Vec<SortValue>,
}

/// How many documents match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// So many.
    pub value: u64,
    /// Or at least so many.
    pub is_exact: bool,
}

/// Why a shard did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardFailure {
    /// Its number.
    pub shard: u32,
    /// The node that was asked last; none if there was no copy to ask.
    pub node: Option<HostId>,
    /// HTTP status.
    pub status: u16,
    /// Elasticsearch's `type`.
    pub kind: String,
    /// For people.
    pub reason: String,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchAnswer {
    /// The index.
    pub index: IndexName,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Whether time ran out: results are partial.
    pub timed_out: bool,
    /// Whether a shard stopped at `terminate_after`.
    pub terminated_early: bool,
    /// Shards asked.
    pub shards_total: u32,
    /// Shards that answered; fewer than asked means partial results.
    pub shards_successful: u32,
    /// Why the others did not, by shard.
    pub failures: Vec<ShardFailure>,
    /// Matching documents; none if they were not to be counted.
    pub total: Option<Total>,
    /// The best score of all that match; none if nothing does, or scores are not tracked.
    pub max_score: Option<f32>,
    /// The best, best first; equal ones by shard, then as they lie in the shard's index.
    pub hits: Vec<Hit>,
    /// Results of the aggregations, if any were asked for: a JSON object.
    pub aggregations: Option<String>,
    /// As of which operations the shards answered. Not part of the reply's body.
    pub seen: Vec<ShardSeen>,
}

impl SearchAnswer {
    /// The body, as Elasticsearch writes it.
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("took".into(), self.took_ms.into());
        body.insert("timed_out".into(), self.timed_out.into());
        if self.terminated_early {
            body.insert("terminated_early".into(), true.into());
        }
        body.insert("_shards".into(), self.shards());
        body.insert("hits".into(), self.hits());
        if let Some(aggregations) = &self.aggregations {
            body.insert("aggregations".into(), parsed(aggregations));
        }
        body.into()
    }

    fn shards(&self) -> Value {
        let failed = self.shards_total.saturating_sub(self.shards_successful);
        let mut shards = json!({
            "total": self.shards_total,
            "successful": self.shards_successful,
            "skipped": 0,
            "failed": failed,
        });
        if !self.failures.is_empty() {
            let failures = self.failures.iter().map(|failure| failure.body(&self.index));
            shards["failures"] = failures.collect();
        }
        shards
    }

    fn hits(&self) -> Value {
        let mut hits = Map::new();
        if let Some(Total { value, is_exact }) = self.total {
            let relation = if is_exact { "eq" } else { "gte" };
            hits.insert("total".into(), json!({ "value": value, "relation": relation }));
        }
        hits.insert("max_score".into(), json!(self.max_score));
        hits.insert("hits".into(), self.hits.iter().map(|hit| hit.body(&self.index)).collect());
        hits.into()
    }
}

impl Hit {
    fn body(&self, index: &IndexName) -> Value {
        let mut hit = json!({ "_index": index.to_string(), "_id": self.id, "_score": self.score });
        if let Some(routing) = &self.routing {
            hit["_routing"] = routing.as_str().into();
        }
        if let Some(source) = &self.source {
            hit["_source"] = parsed(source);
        }
        if !self.sort.is_empty() {
            hit["sort"] = json!(self.sort);
        }
        hit
    }
}

impl ShardFailure {
    fn body(&self, index: &IndexName) -> Value {
        json!({
            "shard": self.shard,
            "index": index.to_string(),
            "node": self.node.map(|node| node.to_string()),
            "reason": { "type": self.kind, "reason": self.reason },
        })
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_shaped_as_elasticsearchs() {
        let failure = ShardFailure {
            shard: 1,
            node: Some(HostId::search(2)),
            status: 503,
            kind: "node_not_connected_exception".into(),
            reason: "gone".into(),
        };
        let hit = Hit {
            id: "7".into(),
            score: Some(1.5),
            source: Some(r#"{"a":1}"#.into()),
            routing: None,
            sort: Vec::new(),
        };
        let answer = SearchAnswer {
            index: "articles".into(),
            took_ms: 3,
            timed_out: false,
            terminated_early: false,
            shards_total: 2,
            shards_successful: 1,
            failures: vec![failure],
            total: Some(Total { value: 10_000, is_exact: false }),
            max_score: Some(1.5),
            hits: vec![hit],
            aggregations: Some(r#"{"n":{"value":2.0}}"#.into()),
            seen: Vec::new(),
        };
        let failure = json!({
            "shard": 1, "index": "articles", "node": "search-2",
            "reason": { "type": "node_not_connected_exception", "reason": "gone" },
        });
        let wanted = json!({
            "took": 3,
            "timed_out": false,
            "_shards": { "total": 2, "successful": 1, "skipped": 0, "failed": 1, "failures": [failure] },
            "hits": {
                "total": { "value": 10_000, "relation": "gte" },
                "max_score": 1.5,
                "hits": [{ "_index": "articles", "_id": "7", "_score": 1.5, "_source": { "a": 1 } }],
            },
            "aggregations": { "n": { "value": 2.0 } },
        });
        assert_eq!(answer.body(), wanted);
    }
}
