//! Plans — decides the explicit steps of one run: scenario + seed, nothing left to chance but the dice that
//! the world keys by the seed. It never runs anything.
//!
//! A plan can be printed, stored, changed and run again; it is the pivot of shrinking and replay.

use std::{collections::BTreeMap, fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::fault::{
    Budget, CutMode, Direction, DiskFailure, FaultAction, FaultStep, FileKind, HEAL_ALL, InFlight, LinkKind,
    PartitionShape, Reconfiguration,
};
use crate::{
    defect::Defects,
    name::{HostId, IndexName, ShardId},
    scenario::{
        defaults::is_default,
        dice::FixedDraw,
        ensemble::ZooKeeperClients,
        load::{Options, SearchMix, WriteMix},
        operations::Operation,
        recipes::RecipeClients,
        steps::StepPlan,
        values::Values,
        zookeeper_operations::ZooKeeperOperation,
    },
    zookeeper::wire::EnsembleConfig,
};

/// All that a run needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Title of the scenario.
    pub title: String,
    /// The seed of the dice.
    pub seed: u64,
    /// The modeled ensemble.
    pub zookeeper: EnsembleConfig,
    /// Servers that run but are no members until they are added.
    #[serde(default)]
    pub spares: Vec<HostId>,
    /// Search nodes, in order of their numbers.
    pub nodes: Vec<NodePlan>,
    /// What decides where copies go.
    #[serde(default)]
    pub allocator: AllocatorKind,
    /// Settings of the search cluster.
    pub search: SearchConfig,
    /// Cluster settings that an operator sets before the first index is created.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    pub settings: Values,
    /// Delays of links.
    pub links: LinkPlan,
    /// Clock errors of hosts.
    pub clocks: ClockPlan,
    /// Delays of disks.
    pub disks: DiskPlan,
    /// Indices that an operator creates at the start.
    pub indices: Vec<IndexPlan>,
    /// Simulated clients.
    pub workloads: Vec<WorkloadPlan>,
    /// Single requests of the clients of workloads, beside those that come of their rates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// Simulated clients of ZooKeeper alone.
    #[serde(default)]
    pub zookeeper_clients: Vec<ZooKeeperClients>,
    /// Simulated clients that follow a recipe of ZooKeeper's.
    #[serde(default)]
    pub recipe_clients: Vec<RecipeClients>,
    /// Single operations of both, beside those that come of their rates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zookeeper_operations: Vec<ZooKeeperOperation>,
    /// Faults, in order of the scenario file; what repeats stands there once for each time.
    pub faults: Vec<FaultStep>,
    /// Draws of the dice that are fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dice: Vec<FixedDraw>,
    /// Who must survive them.
    #[serde(default)]
    pub budget: Budget,
    /// Administrative steps, in order of the scenario file.
    #[serde(default)]
    pub steps: Vec<StepPlan>,
    /// What must hold.
    pub expect: Expectations,
    /// How long the workload runs.
    pub duration: Duration,
    /// Historic bugs that are switched on.
    #[serde(default)]
    pub defects: Defects,
}

/// A search node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePlan {
    /// `search-N`.
    pub host: HostId,
    /// Its zone: decides link delays, and is an attribute in the cluster state.
    pub zone: String,
    /// Its other attributes, such as `rack`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// When it first starts.
    pub joins_at: Duration,
    /// The size of its disk in bytes; none: without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
}

/// Settings of the search cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// ZooKeeper session timeout that nodes ask for.
    pub session_timeout: Duration,
    /// `index.refresh_interval`.
    pub refresh_interval: Duration,
    /// `index.unassigned.node_left.delayed_timeout`: how long a replica waits for its node to return.
    pub delayed_allocation: Duration,
    /// How long a coordinating node or a primary waits for another node.
    pub request_timeout: Duration,
    /// Operations in the translog that cause a flush.
    pub flush_operations: u32,
    /// Which copies answer a realtime get.
    #[serde(default)]
    pub read_policy: ReadPolicy,
    /// Threads of a node's write pool: with more than one, operations that reach a copy close together may
    /// overtake each other.
    #[serde(default = "one")]
    pub write_threads: u32,
}

fn one() -> u32 {
    1
}

/// Which copies answer a realtime get, and what they must know before they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadPolicy {
    /// Any active copy, at once, as in Elasticsearch: reads may be stale or dirty.
    #[default]
    Any,
    /// The primary, once the in-sync copies have confirmed that it still is: linearizable.
    Primary,
    /// The primary, if it can prove by its own clock that its session lives: linearizable.
    Lease,
}

impl ReadPolicy {
    /// Its name, as scenario files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Primary => "primary",
            Self::Lease => "lease",
        }
    }
}

/// What decides where copies of shards go; one's own can be given to a run instead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AllocatorKind {
    /// By weights, as Elasticsearch did until 8.6.
    #[default]
    Balanced,
    /// By the number of copies alone.
    LeastLoaded,
    /// The goal first, then the way to it, as Elasticsearch does since 8.6.
    DesiredBalance,
}

/// Delays of links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkPlan {
    /// Within a zone (ZooKeeper server n and clients count as zone of search node 1).
    pub within_zone: Delay,
    /// Between zones.
    pub between_zones: Delay,
    /// Exceptions for an ordered pair of hosts.
    pub pairs: Vec<(HostId, HostId, Delay)>,
}

/// A distribution of delays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// Never less.
    pub min: Duration,
    /// On average.
    pub mean: Duration,
    /// How what is above the least is distributed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shape: DelayShape,
    /// If given, the mean above the least rises to its double and falls to nothing once in this span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Duration>,
}

impl Delay {
    /// At least `min`, and an exponentially distributed rest.
    pub const fn exponential(min: Duration, mean: Duration) -> Self {
        Self { min, mean, shape: DelayShape::Exponential, period: None }
    }
}

/// How delays are distributed above their least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DelayShape {
    /// Exponentially.
    #[default]
    Exponential,
    /// All the same.
    Constant,
    /// Evenly, up to twice the mean.
    Uniform,
    /// Log-normally, with a sigma of 1.
    LogNormal,
    /// Exponentially, but one in a hundred takes twenty times as long.
    SlowTail,
}

/// Clock errors: each host's offset and drift are drawn once per run from these ranges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockPlan {
    /// Wall clocks are off by at most this.
    pub offset_max: Duration,
    /// Clocks run fast or slow by at most this many parts per million.
    pub drift_max_ppm: u32,
}

/// Delays of disks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskPlan {
    /// How long a sync takes.
    pub sync: Delay,
}

/// An index to create at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexPlan {
    /// Its name.
    pub name: IndexName,
    /// number_of_shards.
    pub shards: u32,
    /// number_of_replicas.
    pub replicas: u32,
    /// Its other settings.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    pub settings: Values,
}

/// A simulated client: requests at a rate, of a mix, on one index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadPlan {
    /// The index it works on.
    pub index: IndexName,
    /// Writes (index or delete) a second, on average; arrivals are a Poisson process.
    pub writes_per_second: f64,
    /// Realtime gets a second.
    pub reads_per_second: f64,
    /// Searches a second.
    pub searches_per_second: f64,
    /// Documents it chooses among.
    pub documents: u32,
    /// Share of writes that delete, 0 to 1.
    pub delete_ratio: f64,
    /// Of what kinds the other writes are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub write_mix: WriteMix,
    /// What searches ask for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub search_mix: SearchMix,
    /// How often requests are asked in another way than the plainest.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: Options,
    /// Whether documents have a number, a keyword and a date beside their words.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fields: bool,
    /// The least length of a document, in bytes.
    #[serde(default)]
    pub document_bytes: u32,
    /// When it begins.
    pub starts_at: Duration,
    /// How long it waits for an answer.
    pub timeout: Duration,
}

/// When a fault strikes, or a step is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Trigger {
    /// At this time since the start.
    At(Duration),
    /// Right after an event, before the same step's later effects.
    When {
        /// The event's name, as in `event.rs`.
        event: String,
        /// On this host only.
        host: Option<Selector>,
        /// At its how-manieth occurrence, from 1.
        nth: u32,
        /// Not before this time.
        after: Duration,
    },
}

/// Whom a fault hits; resolved when it strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Selector {
    /// `search-2`, `zk-1`: this host.
    Host(HostId),
    /// `zk-leader`: the established leader of the newest epoch.
    ZkLeader,
    /// `zk-follower`: the first live server that is not the leader.
    ZkFollower,
    /// `zk-elected`: the server that has last decided to lead, established or not.
    ZkElected,
    /// `event-host`: the host of the event that the fault waits for.
    EventHost,
    /// `controller`: the node that last published as controller.
    Controller,
    /// `primary(articles/0)`: the host of the acting primary.
    Primary(ShardId),
    /// `replica(articles/0)`: the host of the first started replica.
    Replica(ShardId),
    /// `zone(b)`: every search node of the zone.
    Zone(String),
    /// `zookeeper`: every ZooKeeper server.
    AllZooKeeper,
    /// `search`: every search node.
    AllSearch,
    /// `minority(zookeeper)`: fewer than half of the servers, the leader among them.
    ZkMinority,
    /// `majority(zookeeper)`: more than half of the servers, the leader among them.
    ZkMajority,
    /// `all`: every server and search node.
    All,
    /// `clients`: every client.
    Clients,
    /// `random(search)`: one of these that is up.
    Random(Group),
}

/// Hosts of which one is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// Every server and search node.
    All,
    /// Every ZooKeeper server.
    ZooKeeper,
    /// Every search node.
    Search,
    /// Every client.
    Clients,
    /// Every search node of the zone.
    Zone(String),
}

impl Group {
    /// The group that a selector means, if it means one.
    pub fn of(selector: &Selector) -> Option<Self> {
        match selector {
            Selector::All => Some(Self::All),
            Selector::AllZooKeeper => Some(Self::ZooKeeper),
            Selector::AllSearch => Some(Self::Search),
            Selector::Clients => Some(Self::Clients),
            Selector::Zone(zone) => Some(Self::Zone(zone.clone())),
            _ => None,
        }
    }
}

impl From<&Group> for Selector {
    fn from(group: &Group) -> Self {
        match group {
            Group::All => Self::All,
            Group::ZooKeeper => Self::AllZooKeeper,
            Group::Search => Self::AllSearch,
            Group::Clients => Self::Clients,
            Group::Zone(zone) => Self::Zone(zone.clone()),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "{host}"),
            Self::ZkLeader => f.write_str("zk-leader"),
            Self::ZkFollower => f.write_str("zk-follower"),
            Self::ZkElected => f.write_str("zk-elected"),
            Self::EventHost => f.write_str("event-host"),
            Self::Controller => f.write_str("controller"),
            Self::Primary(shard) => write!(f, "primary({shard})"),
            Self::Replica(shard) => write!(f, "replica({shard})"),
            Self::Zone(zone) => write!(f, "zone({zone})"),
            Self::AllZooKeeper => f.write_str("zookeeper"),
            Self::AllSearch => f.write_str("search"),
            Self::ZkMinority => f.write_str("minority(zookeeper)"),
            Self::ZkMajority => f.write_str("majority(zookeeper)"),
            Self::All => f.write_str("all"),
            Self::Clients => f.write_str("clients"),
            Self::Random(group) => write!(f, "random({})", Self::from(group)),
        }
    }
}

/// What must hold at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Laws to judge by; empty: all.
    pub laws: Vec<String>,
    /// Goals this scenario is there to reach (over a sweep, not in each run).
    pub goals: Vec<String>,
}
