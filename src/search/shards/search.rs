//! Shard searches — decides what the two rounds of a search ask of a copy, and how it answers. It never runs
//! them.

use std::sync::Arc;

use crate::{
    event::ShardSeen,
    search::{
        engine::{Found, Ranked},
        query::{SearchBody, Statistics},
    },
};

/// What a search asks of one copy.
#[derive(Debug, Clone, PartialEq)]
pub enum SearchAsk {
    /// The figures that scores are made of (the round before of `dfs_query_then_fetch`).
    Statistics {
        /// What is searched for.
        body: Arc<SearchBody>,
    },
    /// Which documents match best; the copy keeps a reader of them.
    Query {
        /// What is searched for.
        body: Arc<SearchBody>,
        /// The figures of all shards; none: the copy's own.
        statistics: Option<Arc<Statistics>>,
        /// Whether the documents come along, because this is the only shard.
        fetch: Fetch,
    },
    /// The documents that won.
    Fetch {
        /// The reader that the query phase left.
        context: u64,
        /// Which documents.
        winners: Vec<Ranked>,
    },
    /// The reader is not needed any more.
    Release {
        /// Which.
        context: u64,
    },
}

/// When the documents themselves come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// In the second round, those that won.
    Later,
    /// With the answer to the query.
    Now,
}

impl SearchAsk {
    /// A word for traces.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Statistics { .. } => "dfs",
            Self::Query { .. } => "query",
            Self::Fetch { .. } => "fetch",
            Self::Release { .. } => "free-context",
        }
    }
}

/// What a copy answers.
#[derive(Debug, Clone, PartialEq)]
pub enum SearchServed {
    /// Figures.
    Statistics(Statistics),
    /// What matches best.
    Found(Box<ShardFound>),
    /// The documents asked for, in that order.
    Fetched(Vec<FetchedDoc>),
    /// The reader is gone.
    Released,
}

impl SearchServed {
    /// A word for traces.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Statistics(_) => "dfs-result",
            Self::Found(_) => "found",
            Self::Fetched(_) => "fetched",
            Self::Released => "freed",
        }
    }
}

/// What a copy found.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardFound {
    /// What its index says.
    pub found: Found,
    /// The reader that it keeps for the second round; none if none is needed.
    pub context: Option<u64>,
    /// The documents, if they were to come along.
    pub docs: Vec<FetchedDoc>,
    /// As of which operations it answered.
    pub seen: ShardSeen,
    /// Requests that wait on its node.
    pub queue: u32,
}

/// A document as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchedDoc {
    /// Its id.
    pub id: String,
    /// What of it is shown; none if nothing is.
    pub source: Option<Arc<str>>,
    /// `_routing`, if it was not routed by its id.
    pub routing: Option<String>,
}
