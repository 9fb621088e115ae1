//! Operations — decides how single requests of document clients are written in scenario files and plans. It never
//! draws one.
//!
//! A workload says how often its client asks what; a plan can instead say every request with its time and
//! arguments, so that one can be taken out without any other being changed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{name::HostId, scenario::duration};

/// `[[operations]]`: one request of the client of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The document's id; nothing of a search.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub document: String,
    /// Of a search: the word that is looked for. Default: everything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub word: String,
    /// Of a write with a version of the client's own: the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// What one operation asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Delete.
    Delete,
    /// A realtime get.
    Get,
    /// A search.
    Search,
}

impl Ask {
    /// Whether it brings a version.
    pub fn is_versioned(self) -> bool {
        matches!(self, Self::External | Self::ExternalGte)
    }
}

impl Operation {
    /// Requests that an operation can be made of: a compare-and-set asks twice.
    pub const REQUESTS: u32 = 2;

    /// The highest number: beyond it, requests of two clients would have one number.
    pub const NUMBER_MAX: u32 = u32::MAX / Self::REQUESTS;

    /// The number of its first request, unique in a run.
    pub fn request(&self) -> u64 {
        u64::from(self.client.number) << 32 | u64::from(self.number) * u64::from(Self::REQUESTS)
    }
}
