//! Operations — decides how single requests of document clients are written in scenario files and plans. It never
//! draws one.
//!
//! A workload says how often its client asks what; a plan can instead say every request with its time and
//! arguments, so that one can be taken out without any other being changed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    name::{HostId, RequestId},
    scenario::{defaults::is_default, duration},
};

/// `[[operations]]`: one request of the client of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Who asks: `client-2` is the client of the first of `[[workloads]]`, `client-3` of the second. Required.
    pub client: HostId,
    /// Its number among the requests of that client: what else is left to chance hangs on it. Required.
    pub number: u32,
    /// When it is asked. Required.
    #[serde(with = "duration::Span")]
    pub at: Duration,
    /// The node that is asked. Required.
    pub node: HostId,
    /// What is asked. Required.
    pub ask: Ask,
    /// The document's id; nothing of a search, of a document without one and of several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub document: String,
    /// Of a search: the word that is looked for. Default: everything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub word: String,
    /// Of a write with a version of the client's own: the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Of a search: what it asks for, as JSON, in place of a word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// How it is asked: parameters, with `&` between, such as `refresh=wait_for` or `preference=_local`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parameters: String,
    /// Of several writes or gets: how many.
    #[serde(default, skip_serializing_if = "is_default")]
    pub items: u32,
    /// Of a document without an id: whether it is sent once more if the answer is lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

/// Parameters that writes take.
pub const OF_WRITES: &[&str] =
    &["refresh=true", "refresh=wait_for", "wait_for_active_shards=all", "timeout=1s"];

/// What a compare-and-set takes as well: it is made with the numbers of one of the last answers about the document,
/// without getting it first.
pub const REMEMBERED: &str = "remembered=true";

/// Parameters that searches take; those that end in `=` with any value.
pub const OF_SEARCHES: &[&str] =
    &["search_type=dfs_query_then_fetch", "allow_partial_search_results=false", "preference="];

/// The first of these parameters that is not among those taken.
pub fn stranger<'a>(parameters: &'a str, taken: &[&str]) -> Option<&'a str> {
    let is_taken =
        |it: &str| taken.iter().any(|taken| it == *taken || taken.ends_with('=') && it.starts_with(taken));
    parameters.split('&').find(|it| !it.is_empty() && !is_taken(it))
}

/// What one operation asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Index, whatever was there.
    Index,
    /// Index only if there is no such document.
    Create,
    /// Get, change, and index only if nobody else has.
    Cas,
    /// Index with a version of the client's own.
    External,
    /// The same with `version_type=external_gte`.
    ExternalGte,
    /// Merge into the document, or put it if there is none.
    Update,
    /// Index, without an id: the node draws one.
    Add,
    /// Delete.
    Delete,
    /// Several writes in one request.
    Bulk,
    /// A realtime get.
    Get,
    /// Several gets in one request.
    Mget,
    /// A search.
    Search,
}

impl Ask {
    /// Whether it brings a version.
    pub fn is_versioned(self) -> bool {
        matches!(self, Self::External | Self::ExternalGte)
    }

    /// Whether it is made of several writes or gets.
    pub fn is_several(self) -> bool {
        matches!(self, Self::Bulk | Self::Mget)
    }

    /// Whether it is about one document that it names.
    pub fn names_a_document(self) -> bool {
        !self.is_several() && !matches!(self, Self::Search | Self::Add)
    }

    /// Whether it writes.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::Mget | Self::Search)
    }
}

impl Operation {
    /// Requests that an operation can be made of: a compare-and-set asks twice, several in one are told apart.
    pub const REQUESTS: u32 = RequestId::PER_OPERATION;

    /// The most writes or gets of one request.
    pub const ITEMS_MAX: u32 = Self::REQUESTS - 1;

    /// The highest number: beyond it, requests of two clients would have one number.
    pub const NUMBER_MAX: u32 = u32::MAX / Self::REQUESTS;

    /// Whether it is asked with this parameter.
    pub fn has(&self, parameter: &str) -> bool {
        self.parameters.split('&').any(|it| it == parameter)
    }

    /// The number of its first request, unique in a run.
    pub fn request(&self) -> u64 {
        RequestId::first(self.client, self.number).0
    }

    /// The number of the request that carries several, which have numbers of their own.
    pub fn envelope(&self) -> u64 {
        self.request() + u64::from(Self::ITEMS_MAX)
    }
}
