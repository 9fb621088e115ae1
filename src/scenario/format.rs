//! Scenario files — decides what can be written in one, and what holds where nothing is written. It never
//! says whether what is written makes sense; [`check`](super::check) does.
//!
//! The defaults make a small cluster on quick timeouts, so that much happens within a minute of simulated
//! time: Elasticsearch and ZooKeeper's own are 10 to 60 times slower, in like proportions.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::deeds::Fault;
use crate::{
    defect::Defect,
    name::HostId,
    scenario::{
        bytes::Bytes,
        defaults::is_default,
        dice::FixedDraw,
        duration,
        ensemble::{ZooKeeperClients, ZooKeeperSettings},
        load::{Options, SearchMix, WriteMix},
        nemesis::Swarm,
        operations::Operation,
        plan::{AllocatorKind, Budget, Delay, DelayShape, ReadPolicy, Selector},
        recipes::RecipeClients,
        schema, seed,
        steps::Step,
        values::Values,
        zookeeper_operations::ZooKeeperOperation,
    },
};

/// A scenario: what is built, what works on it, what breaks, what must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What it is about, in a few words. Required.
    pub title: String,
    /// What it shows and how, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How long the workload runs. Required.
    #[serde(with = "duration::Span")]
    pub duration: Duration,
    /// The seed to run it with, unless another is asked for. Default 1.
    #[serde(with = "seed", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::Seed")]
    pub seed: Option<u64>,
    /// Historic bugs to switch on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<Defect>,
    /// The ensemble and the search cluster.
    pub cluster: Cluster,
    /// More settings of the ensemble.
    #[serde(skip_serializing_if = "is_default")]
    pub zookeeper: ZooKeeperSettings,
    /// More search nodes, each with a zone and a time to join.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Node>,
    /// Delays of links.
    pub links: Links,
    /// Errors of clocks.
    pub clocks: Clocks,
    /// Delays of disks.
    pub disks: Disks,
    /// Indices that an operator creates at the start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indices: Vec<Index>,
    /// Simulated clients.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<Workload>,
    /// Single requests of the clients of workloads, beside those that come of their rates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// Simulated clients of ZooKeeper alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zookeeper_clients: Vec<ZooKeeperClients>,
    /// Simulated clients that follow a recipe of ZooKeeper's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipe_clients: Vec<RecipeClients>,
    /// Single operations of both, beside those that come of their rates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zookeeper_operations: Vec<ZooKeeperOperation>,
    /// What breaks, and when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Which kinds of faults a run has. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm: Option<Swarm>,
    /// Draws of the dice that are fixed; every other is as without them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dice: Vec<FixedDraw>,
    /// Who must survive the faults. Default: nobody.
    #[serde(skip_serializing_if = "is_default")]
    pub budget: Budget,
    /// What an administrator does, and when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What must hold.
    pub expect: Expect,
    /// A run that must break a law: every sweep of the scenario does it first. Default: a built-in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// The ensemble and the search cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Voting ZooKeeper servers, 1 to 7. Default 3.
    pub zookeeper: u16,
    /// ZooKeeper's tickTime. Default 500 ms.
    #[serde(with = "duration::Span")]
    pub tick: Duration,
    /// ZooKeeper's initLimit, in ticks. Default 10.
    pub init_limit: u32,
    /// ZooKeeper's syncLimit, in ticks. Default 5.
    pub sync_limit: u32,
    /// ZooKeeper's snapCount, in transactions. Default 200, so that a run sees snapshots.
    pub snap_count: u32,
    /// Search nodes that start with the run, before those of `[[nodes]]`. Default 3, or none if there are
    /// `[[nodes]]`, `[[zookeeper_clients]]` or `[[recipe_clients]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<u16>,
    /// Zones, given to search nodes in turn. Default one, `a`.
    pub zones: Vec<String>,
    /// Attributes of search nodes (`node.attr.*`), such as `rack`: values given in turn. Default none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Vec<String>>,
    /// ZooKeeper session timeout that nodes ask for; granted within 2 to 20 ticks. Default 4 s.
    #[serde(with = "duration::Span")]
    pub session_timeout: Duration,
    /// `index.refresh_interval`. Default 1 s.
    #[serde(with = "duration::Span")]
    pub refresh_interval: Duration,
    /// `index.unassigned.node_left.delayed_timeout`. Default 10 s.
    #[serde(with = "duration::Span")]
    pub delayed_allocation: Duration,
    /// How long a coordinating node or a primary waits for another node. Default 5 s.
    #[serde(with = "duration::Span")]
    pub request_timeout: Duration,
    /// Operations in a translog that cause a flush. Default 200.
    pub flush_operations: u32,
    /// Which copies answer a realtime get: `any` (Elasticsearch's, the default), `primary` or `lease`.
    pub read_policy: ReadPolicy,
    /// Threads of a node's write pool: with more than one, operations that reach a copy close together may
    /// overtake each other, as on Elasticsearch's several connections. Default 1.
    pub write_threads: u32,
    /// What decides where copies go: `balanced` (the default), `least-loaded` or `desired-balance`.
    pub allocator: AllocatorKind,
    /// Elasticsearch's cluster settings, set before the first index is created.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub settings: Values,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            zookeeper: 3,
            tick: Duration::from_millis(500),
            init_limit: 10,
            sync_limit: 5,
            snap_count: 200,
            search: None,
            zones: vec!["a".into()],
            attributes: BTreeMap::new(),
            session_timeout: Duration::from_secs(4),
            refresh_interval: Duration::from_secs(1),
            delayed_allocation: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
            flush_operations: 200,
            read_policy: ReadPolicy::Any,
            write_threads: 1,
            allocator: AllocatorKind::Balanced,
            settings: Values::default(),
        }
    }
}

/// One more search node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Its zone. Default: the next in turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its attributes, beside or instead of those given in turn.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The size of its disk. Default: that of `[disks] capacity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Bytes>,
    /// When it first starts. Default: with the run.
    #[serde(with = "duration::Span")]
    pub joins_at: Duration,
}

/// Delays of links, one way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Links {
    /// Within a zone. Default 50 us at least, 200 us on average.
    pub within_zone: Spread,
    /// Between zones. Default 300 us at least, 800 us on average.
    pub between_zones: Spread,
    /// Exceptions for an ordered pair of hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
}

impl Default for Links {
    fn default() -> Self {
        Self { within_zone: Spread::micros(50, 200), between_zones: Spread::micros(300, 800), pairs: vec![] }
    }
}

/// A delay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Never less.
    #[serde(with = "duration::Span")]
    pub min: Duration,
    /// On average.
    #[serde(with = "duration::Span")]
    pub mean: Duration,
    /// How what is above the least is distributed: `exponential`, `constant`, `uniform`, `log-normal`, or
    /// `slow-tail` (one in a hundred takes twenty times as long). Default `exponential`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shape: DelayShape,
    /// If given, the mean above the least rises to its double and falls to nothing once in this span.
    #[serde(default, with = "duration::OptionalSpan", skip_serializing_if = "Option::is_none")]
    pub period: Option<Duration>,
}

impl Spread {
    const fn micros(min: u64, mean: u64) -> Self {
        Self {
            min: Duration::from_micros(min),
            mean: Duration::from_micros(mean),
            shape: DelayShape::Exponential,
            period: None,
        }
    }
}

impl From<Spread> for Delay {
    fn from(Spread { min, mean, shape, period }: Spread) -> Self {
        Self { min, mean, shape, period }
    }
}

impl From<Delay> for Spread {
    fn from(Delay { min, mean, shape, period }: Delay) -> Self {
        Self { min, mean, shape, period }
    }
}

/// The delay from one host to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The sender.
    pub from: HostId,
    /// The receiver.
    pub to: HostId,
    /// Never less.
    #[serde(with = "duration::Span")]
    pub min: Duration,
    /// On average.
    #[serde(with = "duration::Span")]
    pub mean: Duration,
}

/// Errors of clocks; each host draws its own, once per run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Clocks {
    /// Wall clocks are off by at most this. Default 50 ms.
    #[serde(with = "duration::Span")]
    pub offset_max: Duration,
    /// Clocks run fast or slow by at most this many parts per million. Default 100.
    pub drift_max_ppm: u32,
}

impl Default for Clocks {
    fn default() -> Self {
        Self { offset_max: Duration::from_millis(50), drift_max_ppm: 100 }
    }
}

/// Delays of disks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Disks {
    /// How long a sync takes. Default 200 us at least, 1 ms on average.
    pub sync: Spread,
    /// The size of each search node's disk, such as `"8mb"`. Default: without a limit, and never measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Bytes>,
}

impl Default for Disks {
    fn default() -> Self {
        Self { sync: Spread::micros(200, 1000), capacity: None }
    }
}

/// An index that an operator creates at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Index {
    /// Its name. Required.
    pub name: String,
    /// number_of_shards. Default 1.
    pub shards: u32,
    /// number_of_replicas. Default 1.
    pub replicas: u32,
    /// Its other settings, with or without `index.` before their names.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub settings: Values,
}

impl Default for Index {
    fn default() -> Self {
        Self { name: String::new(), shards: 1, replicas: 1, settings: Values::default() }
    }
}

/// A simulated client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// The index it works on. Required.
    pub index: String,
    /// Writes (index or delete) a second, on average. Default 0.
    pub writes_per_second: f64,
    /// Realtime gets a second, on average. Default 0.
    pub reads_per_second: f64,
    /// Searches a second, on average. Default 0.
    pub searches_per_second: f64,
    /// Documents it chooses among. Default 100.
    pub documents: u32,
    /// Share of writes that delete, 0 to 1. Default 0.1.
    pub delete_ratio: f64,
    /// Of what kinds the other writes are. Default: index, whatever was there.
    #[serde(skip_serializing_if = "is_default")]
    pub write_mix: WriteMix,
    /// What searches ask for. Default: documents with a word, and now and then all of them.
    #[serde(skip_serializing_if = "is_default")]
    pub search_mix: SearchMix,
    /// How often requests are asked in another way than the plainest. Default: never.
    #[serde(skip_serializing_if = "is_default")]
    pub options: Options,
    /// Whether documents have a number, a keyword and a date beside their words. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fields: bool,
    /// The least length of a document, in bytes; it is filled up with words. Default 0.
    pub document_bytes: u32,
    /// When it begins. Default with the run.
    #[serde(with = "duration::Span")]
    pub starts_at: Duration,
    /// How long it waits for an answer. Default 10 s.
    #[serde(with = "duration::Span")]
    pub timeout: Duration,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            index: String::new(),
            writes_per_second: 0.0,
            reads_per_second: 0.0,
            searches_per_second: 0.0,
            documents: 100,
            delete_ratio: 0.1,
            write_mix: WriteMix::default(),
            search_mix: SearchMix::default(),
            options: Options::default(),
            fields: false,
            document_bytes: 0,
            starts_at: Duration::ZERO,
            timeout: Duration::from_secs(10),
        }
    }
}

/// The event that a fault waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The event's name. Required; `shardarium list events` has them.
    pub event: String,
    /// On this host only. Default: anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Selector>,
    /// At its how-manieth occurrence, from 1. Default 1.
    pub nth: u32,
    /// Not before this time; earlier occurrences do not count. Default: from the start.
    #[serde(with = "duration::Span")]
    pub after: Duration,
}

impl Default for When {
    fn default() -> Self {
        Self { event: String::new(), host: None, nth: 1, after: Duration::ZERO }
    }
}

/// What must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// Laws to judge by. Default: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub laws: Vec<String>,
    /// Goals that some run of a sweep must meet. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub goals: Vec<String>,
}

/// A run that must break a law, to prove that the laws look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Canary {
    /// The historic bug that is switched on in it. Required.
    pub defect: Option<Defect>,
    /// A seed at which it is known to break a law. Default 0.
    pub seed: u64,
}
