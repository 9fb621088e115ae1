//! Search API — decides what searches can ask and what they are told; Elasticsearch's names and shapes. It never
//! decides an answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::name::IndexName;

/// `POST /index/_search`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchRequest {
    /// The index.
    pub index: IndexName,
    /// What to find.
    pub query: Query,
    /// How many hits at most.
    pub size: u32,
}

/// What to find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// Every document, score 1.
    MatchAll,
    /// Documents with any of these words in any of their strings, by BM25.
    Match(String),
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

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchAnswer {
    /// Shards asked.
    pub shards_total: u32,
    /// Shards that answered; fewer than asked means partial results.
    pub shards_successful: u32,
    /// Matching documents.
    pub total: u64,
    /// The best, best first: score, then shard, then document id.
    pub hits: Vec<Hit>,
}

impl SearchAnswer {
    /// The body, as Elasticsearch writes it.
    pub fn body(&self) -> Value {
        let hits: Vec<_> =
            self.hits.iter().map(|hit| json!({ "_id": hit.id, "_score": hit.score })).collect();
        let failed = self.shards_total - self.shards_successful;
        json!({
            "_shards": { "total": self.shards_total, "successful": self.shards_successful, "failed": failed },
            "hits": { "total": { "value": self.total, "relation": "eq" }, "hits": hits },
        })
    }
}
