//! Load — decides what requests a workload can be made of, and how often each is asked. It never asks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often a workload's writes are of which kind: weights, of which only the proportions count. Deletes have a
/// share of their own, `delete_ratio`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WriteMix {
    /// Index, whatever was there. Default 1.
    pub index: f64,
    /// Index only if there is no such document (`op_type=create`). Default 0.
    pub create: f64,
    /// Get, change, and index only if nobody else has (`if_seq_no`, `if_primary_term`). Default 0.
    pub cas: f64,
    /// Index with a version of the client's own, mostly a higher one (`version_type=external`, on documents that
    /// are written in no other way). Default 0.
    pub external: f64,
    /// The same with `version_type=external_gte`. Default 0.
    pub external_gte: f64,
    /// Merge into the document, or put it if there is none (`_update` with `doc_as_upsert`). Default 0.
    pub update: f64,
    /// Index without an id: the coordinating node draws one. Default 0.
    pub add: f64,
}

impl Default for WriteMix {
    fn default() -> Self {
        Self { index: 1.0, create: 0.0, cas: 0.0, external: 0.0, external_gte: 0.0, update: 0.0, add: 0.0 }
    }
}

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the mix defines them")]
pub enum WriteKind {
    Index,
    Create,
    Cas,
    External,
    ExternalGte,
    Update,
    Add,
}

impl WriteMix {
    /// Every weight with its key and kind.
    pub fn weights(&self) -> [(&'static str, WriteKind, f64); 7] {
        [
            ("index", WriteKind::Index, self.index),
            ("create", WriteKind::Create, self.create),
            ("cas", WriteKind::Cas, self.cas),
            ("external", WriteKind::External, self.external),
            ("external_gte", WriteKind::ExternalGte, self.external_gte),
            ("update", WriteKind::Update, self.update),
            ("add", WriteKind::Add, self.add),
        ]
    }

    /// The kind at this point of the whole, 0 to 1.
    pub fn kind_at(&self, point: f64) -> WriteKind {
        at(point, &self.weights()).unwrap_or(WriteKind::Index)
    }
}

/// How often a workload's searches are of which kind: weights, as for writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SearchMix {
    /// Documents with a word, and one time in ten all documents. Default 1.
    pub words: f64,
    /// Documents with a keyword, or with one of several numbers. Default 0.
    pub term: f64,
    /// Documents with a number in a range. Default 0.
    pub range: f64,
    /// Combinations: with a word, without another, with a number in a range. Default 0.
    pub bool: f64,
    /// Documents with two words after each other. Default 0.
    pub phrase: f64,
    /// Documents with a word that begins so. Default 0.
    pub prefix: f64,
    /// Everything by its number, from somewhere in the middle (`sort`, `from`, `size`). Default 0.
    pub sort: f64,
    /// Figures over all documents with a word (`aggs`). Default 0.
    pub aggregations: f64,
}

impl Default for SearchMix {
    fn default() -> Self {
        Self {
            words: 1.0,
            term: 0.0,
            range: 0.0,
            bool: 0.0,
            phrase: 0.0,
            prefix: 0.0,
            sort: 0.0,
            aggregations: 0.0,
        }
    }
}

/// A kind of search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the mix defines them")]
pub enum SearchKind {
    Words,
    Term,
    Range,
    Bool,
    Phrase,
    Prefix,
    Sort,
    Aggregations,
}

impl SearchMix {
    /// Every weight with its key and kind.
    pub fn weights(&self) -> [(&'static str, SearchKind, f64); 8] {
        [
            ("words", SearchKind::Words, self.words),
            ("term", SearchKind::Term, self.term),
            ("range", SearchKind::Range, self.range),
            ("bool", SearchKind::Bool, self.bool),
            ("phrase", SearchKind::Phrase, self.phrase),
            ("prefix", SearchKind::Prefix, self.prefix),
            ("sort", SearchKind::Sort, self.sort),
            ("aggregations", SearchKind::Aggregations, self.aggregations),
        ]
    }

    /// The kind at this point of the whole, 0 to 1.
    pub fn kind_at(&self, point: f64) -> SearchKind {
        at(point, &self.weights()).unwrap_or(SearchKind::Words)
    }
}

/// How often requests are asked in another way than the plainest: shares, 0 to 1, all of them 0 by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Of writes: several in one request (`_bulk`).
    pub bulk: f64,
    /// Writes in one such request. Default 5.
    pub bulk_size: u32,
    /// Of writes: `refresh=true`.
    pub refresh: f64,
    /// Of writes: `refresh=wait_for`.
    pub wait_for: f64,
    /// Of writes: `wait_for_active_shards=all`, and no longer than a second.
    pub active_shards: f64,
    /// Of documents without an id whose answer was lost: sent once more.
    pub retry: f64,
    /// Of compare-and-sets: with the numbers of one of the last answers about the document, without getting it first.
    pub remembered: f64,
    /// Of gets: several in one request (`_mget`).
    pub mget: f64,
    /// Of documents: always sent and asked for with a `routing` that is not their id.
    pub routed: f64,
    /// Of searches: `search_type=dfs_query_then_fetch`.
    pub dfs: f64,
    /// Of searches: `preference`.
    pub preference: f64,
    /// Of searches: `allow_partial_search_results=false`.
    pub strict: f64,
    /// Of searches: a `timeout` of a few milliseconds.
    pub timeout: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bulk: 0.0,
            bulk_size: 5,
            refresh: 0.0,
            wait_for: 0.0,
            active_shards: 0.0,
            retry: 0.0,
            remembered: 0.0,
            mget: 0.0,
            routed: 0.0,
            dfs: 0.0,
            preference: 0.0,
            strict: 0.0,
            timeout: 0.0,
        }
    }
}

impl Options {
    /// Every share with its key.
    pub fn shares(&self) -> [(&'static str, f64); 12] {
        [
            ("bulk", self.bulk),
            ("refresh", self.refresh),
            ("wait_for", self.wait_for),
            ("active_shards", self.active_shards),
            ("retry", self.retry),
            ("remembered", self.remembered),
            ("mget", self.mget),
            ("routed", self.routed),
            ("dfs", self.dfs),
            ("preference", self.preference),
            ("strict", self.strict),
            ("timeout", self.timeout),
        ]
    }
}

fn at<K: Copy>(point: f64, weights: &[(&'static str, K, f64)]) -> Option<K> {
    let mut left = point * weights.iter().map(|(_, _, weight)| weight).sum::<f64>();
    let found = weights.iter().find(|(_, _, weight)| {
        left -= weight;
        left < 0.0
    });
    found.map(|(_, kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_shares_of_the_whole() {
        let mix = WriteMix { index: 1.0, cas: 2.0, external_gte: 1.0, ..WriteMix::default() };
        let drawn = [0.0, 0.2, 0.3, 0.7, 0.8, 0.99].map(|point| mix.kind_at(point));
        use WriteKind::{Cas, ExternalGte, Index};
        assert_eq!(drawn, [Index, Index, Cas, Cas, ExternalGte, ExternalGte]);
    }
}
