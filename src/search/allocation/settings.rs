//! Settings of the allocator — decides which values of the cluster's and the indices' settings the allocator
//! goes by, read once for each version of the document. It never decides what follows from them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::filter::{Filter, Filters, Match};
use crate::{
    name::IndexName,
    search::settings::{Scope, Settings as Set, SettingsDocument, Watermark},
};

/// What the allocator goes by; the defaults are Elasticsearch 8's.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The version of the document that they were read from.
    pub version: u64,
    /// `cluster.routing.allocation.balance.*`.
    pub balance: Factors,
    /// `cluster.routing.allocation.balance.threshold`; at least 1.
    pub threshold: f64,
    /// `cluster.routing.allocation.node_initial_primaries_recoveries`.
    pub initial_primaries: u32,
    /// `cluster.routing.allocation.node_concurrent_incoming_recoveries`.
    pub incoming_recoveries: u32,
    /// `cluster.routing.allocation.node_concurrent_outgoing_recoveries`.
    pub outgoing_recoveries: u32,
    /// `cluster.routing.allocation.cluster_concurrent_rebalance`; none: no limit.
    pub concurrent_rebalance: Option<u32>,
    /// `cluster.routing.allocation.allow_rebalance`.
    pub allow_rebalance: AllowRebalance,
    /// `cluster.routing.allocation.enable`.
    pub allocation: EnableAllocation,
    /// `cluster.routing.rebalance.enable`.
    pub rebalance: EnableRebalance,
    /// `cluster.routing.allocation.same_shard.host`.
    pub same_shard_host: bool,
    /// `cluster.routing.allocation.total_shards_per_node`; none: no limit.
    pub shards_per_node: Option<u32>,
    /// `cluster.routing.allocation.awareness.attributes`.
    pub awareness: Vec<String>,
    /// `cluster.routing.allocation.awareness.force.<attribute>.values`.
    pub forced: BTreeMap<String, BTreeSet<String>>,
    /// `cluster.routing.allocation.{include,exclude,require}.*`.
    pub filters: Filters,
    /// `cluster.routing.allocation.disk.*`.
    pub disk: Disk,
    /// What holds for an index that has no settings of its own.
    pub any_index: IndexRules,
    /// What holds for those that have some.
    pub indices: BTreeMap<IndexName, IndexRules>,
}

/// Factors of the weight function, not normalized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// For each copy.
    pub shard: f64,
    /// For each copy of the same index.
    pub index: f64,
    /// For each unit of forecast write load.
    pub write_load: f64,
    /// For each byte on disk.
    pub disk_usage: f64,
}

/// When copies may move for the sake of balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowRebalance {
    /// At any time.
    Always,
    /// When every primary is active.
    PrimariesActive,
    /// When every copy is active.
    AllActive,
}

/// Which copies may be assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnableAllocation {
    /// Every copy.
    All,
    /// Primaries.
    Primaries,
    /// Primaries of indices that were never started.
    NewPrimaries,
    /// None.
    None,
}

/// Which copies may move for the sake of balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnableRebalance {
    /// Every copy.
    All,
    /// Primaries.
    Primaries,
    /// Replicas.
    Replicas,
    /// None.
    None,
}

/// How full disks may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disk {
    /// Whether it matters at all.
    pub is_enabled: bool,
    /// Beyond it a node gets no more copies.
    pub low: Watermark,
    /// Beyond it copies must leave.
    pub high: Watermark,
    /// Beyond it the indices on a node are only served deletes.
    pub flood_stage: Watermark,
}

/// What holds for one index.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexRules {
    /// `index.allocation.max_retries`.
    pub retries_max: u32,
    /// `index.routing.allocation.enable`, if set: it has the say over the cluster's.
    pub allocation: Option<EnableAllocation>,
    /// `index.routing.rebalance.enable`, if set.
    pub rebalance: Option<EnableRebalance>,
    /// `index.routing.allocation.total_shards_per_node`; none: no limit.
    pub shards_per_node: Option<u32>,
    /// `index.routing.allocation.{include,exclude,require}.*`.
    pub filters: Filters,
    /// `index.routing.allocation.initial_recovery.*`.
    pub initial_recovery: Option<Filter>,
    /// `index.unassigned.node_left.delayed_timeout`, if set.
    pub delayed_timeout: Option<Duration>,
}

const AREA: &str = "cluster.routing.allocation";

impl Default for Settings {
    fn default() -> Self {
        Self::of(&SettingsDocument::default())
    }
}

impl Settings {
    /// Reads them.
    pub fn of(document: &SettingsDocument) -> Self {
        let set = &document.cluster;
        let number = |name: &str| set.decimal(Scope::Cluster, &format!("{AREA}.balance.{name}"));
        let count = |name: &str| set.integer(Scope::Cluster, &format!("{AREA}.{name}"));
        let at_most = |name: &str| count(name).max(0) as u32;
        let indices = document.indices.iter().map(|(index, set)| (index.clone(), IndexRules::of(set)));
        Self {
            version: document.version,
            balance: Factors {
                shard: number("shard"),
                index: number("index"),
                write_load: number("write_load"),
                disk_usage: number("disk_usage"),
            },
            threshold: number("threshold").max(1.0),
            initial_primaries: at_most("node_initial_primaries_recoveries"),
            incoming_recoveries: at_most("node_concurrent_incoming_recoveries"),
            outgoing_recoveries: at_most("node_concurrent_outgoing_recoveries"),
            concurrent_rebalance: u32::try_from(count("cluster_concurrent_rebalance")).ok(),
            allow_rebalance: allow_rebalance(set.text(Scope::Cluster, &format!("{AREA}.allow_rebalance"))),
            allocation: enable_allocation(set.text(Scope::Cluster, &format!("{AREA}.enable"))),
            rebalance: enable_rebalance(set.text(Scope::Cluster, "cluster.routing.rebalance.enable")),
            same_shard_host: set.flag(Scope::Cluster, &format!("{AREA}.same_shard.host")),
            shards_per_node: limit(count("total_shards_per_node")),
            awareness: owned(set.list(Scope::Cluster, &format!("{AREA}.awareness.attributes"))),
            forced: forced(set),
            filters: Filters::of(set, AREA),
            disk: Disk::of(set),
            any_index: IndexRules::of(&Set::default()),
            indices: indices.collect(),
        }
    }

    /// What holds for this index.
    pub fn of_index(&self, index: &IndexName) -> &IndexRules {
        if self.indices.is_empty() {
            &self.any_index
        } else {
            self.indices.get(index).unwrap_or(&self.any_index)
        }
    }

    /// The same without a limit on what may go on at once: for plans, not for what is done.
    pub fn unthrottled(&self) -> Self {
        Self {
            initial_primaries: u32::MAX,
            incoming_recoveries: u32::MAX,
            outgoing_recoveries: u32::MAX,
            concurrent_rebalance: None,
            ..self.clone()
        }
    }
}

impl Disk {
    fn of(set: &Set) -> Self {
        let mark = |name: &str| {
            let text = set.text(Scope::Cluster, &format!("{AREA}.disk.watermark.{name}"));
            Watermark::read(text).unwrap_or(Watermark::Used(1.0))
        };
        Self {
            is_enabled: set.flag(Scope::Cluster, &format!("{AREA}.disk.threshold_enabled")),
            low: mark("low"),
            high: mark("high"),
            flood_stage: mark("flood_stage"),
        }
    }
}

impl IndexRules {
    fn of(set: &Set) -> Self {
        const AREA: &str = "index.routing.allocation";
        let delayed = "index.unassigned.node_left.delayed_timeout";
        Self {
            retries_max: set.integer(Scope::Index, "index.allocation.max_retries").max(0) as u32,
            allocation: set.set("index.routing.allocation.enable").map(enable_allocation),
            rebalance: set.set("index.routing.rebalance.enable").map(enable_rebalance),
            shards_per_node: limit(
                set.integer(Scope::Index, "index.routing.allocation.total_shards_per_node"),
            ),
            filters: Filters::of(set, AREA),
            initial_recovery: Filter::of(set, &format!("{AREA}.initial_recovery."), Match::Any),
            delayed_timeout: set.set(delayed).and_then(|_| set.span(Scope::Index, delayed)),
        }
    }
}

fn limit(count: i64) -> Option<u32> {
    u32::try_from(count).ok().filter(|count| *count > 0)
}

fn owned(words: Vec<&str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn forced(set: &Set) -> BTreeMap<String, BTreeSet<String>> {
    let prefix = format!("{AREA}.awareness.force.");
    let all = set.below(&prefix).filter_map(|(rest, values)| Some((rest.strip_suffix(".values")?, values)));
    let split = |values: &str| -> BTreeSet<String> {
        let values = values.split(',').map(str::trim).filter(|value| !value.is_empty());
        values.map(str::to_owned).collect()
    };
    all.map(|(attribute, values)| (attribute.to_owned(), split(values))).collect()
}

fn allow_rebalance(word: &str) -> AllowRebalance {
    match word {
        "always" => AllowRebalance::Always,
        "indices_primaries_active" => AllowRebalance::PrimariesActive,
        _ => AllowRebalance::AllActive,
    }
}

fn enable_allocation(word: &str) -> EnableAllocation {
    match word {
        "none" => EnableAllocation::None,
        "new_primaries" => EnableAllocation::NewPrimaries,
        "primaries" => EnableAllocation::Primaries,
        _ => EnableAllocation::All,
    }
}

fn enable_rebalance(word: &str) -> EnableRebalance {
    match word {
        "none" => EnableRebalance::None,
        "primaries" => EnableRebalance::Primaries,
        "replicas" => EnableRebalance::Replicas,
        _ => EnableRebalance::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(cluster: &[(&str, &str)], index: &[(&str, &str)]) -> SettingsDocument {
        let set = |pairs: &[(&str, &str)]| {
            Set(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        SettingsDocument { version: 3, cluster: set(cluster), indices: [("a".into(), set(index))].into() }
    }

    #[test]
    fn defaults_are_elasticsearchs() {
        let settings = Settings::default();
        assert_eq!((settings.initial_primaries, settings.incoming_recoveries), (4, 2));
        assert_eq!((settings.outgoing_recoveries, settings.concurrent_rebalance), (2, Some(2)));
        assert_eq!((settings.any_index.retries_max, settings.shards_per_node), (5, None));
        assert_eq!(settings.allow_rebalance, AllowRebalance::AllActive);
        assert_eq!(settings.disk.high, Watermark::Used(0.9));
    }

    #[test]
    fn what_is_set_holds() {
        let settings = Settings::of(&document(
            &[
                ("cluster.routing.allocation.cluster_concurrent_rebalance", "-1"),
                ("cluster.routing.allocation.awareness.attributes", "rack, zone"),
                ("cluster.routing.allocation.awareness.force.rack.values", "r1,r2"),
                ("cluster.routing.allocation.disk.watermark.low", "10gb"),
            ],
            &[
                ("index.unassigned.node_left.delayed_timeout", "0"),
                ("index.routing.allocation.enable", "none"),
            ],
        ));
        assert_eq!((settings.version, settings.concurrent_rebalance), (3, None));
        assert_eq!(settings.awareness, ["rack", "zone"]);
        assert_eq!(settings.forced["rack"].len(), 2);
        assert_eq!(settings.disk.low, Watermark::Free(10 << 30));
        let rules = settings.of_index(&"a".into());
        assert_eq!(rules.delayed_timeout, Some(Duration::ZERO));
        assert_eq!(rules.allocation, Some(EnableAllocation::None));
        assert_eq!(settings.of_index(&"b".into()), &settings.any_index);
    }
}
