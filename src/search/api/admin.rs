//! Administrative API — decides what administrators can ask and what they are told; Elasticsearch's names and
//! shapes. It never decides an answer.

mod cat;
mod health;
mod reroute;
mod state;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use self::{
    cat::{CatRequest, CatTable},
    health::{ClusterHealth, Health, HealthRequest, IndexCounts},
    reroute::{AllocationExplainRequest, RerouteRequest, Rerouted},
    state::{ClusterStateView, StateRequest},
};
pub use crate::search::allocation::reroute::{Command, Orders};
use crate::{
    name::{Epoch, HostId, IndexName},
    search::settings::{CLUSTER, Changes, INDEX, Settings},
};

/// `cluster_name` of every reply.
pub const CLUSTER_NAME: &str = "shardarium";
/// `timeout` and `master_timeout` where a request names none.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How many copies of each shard must be active (`wait_for_active_shards`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActiveShards {
    /// All of them.
    All,
    /// At least so many.
    AtLeast(u32),
}

impl ActiveShards {
    /// Reads `all` or a number.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            number => number.parse().ok().map(Self::AtLeast),
        }
    }

    /// Whether `active` copies of a shard that should have `copies` are enough.
    pub fn is_met(self, active: usize, copies: usize) -> bool {
        match self {
            Self::All => active >= copies,
            Self::AtLeast(least) => active >= least as usize,
        }
    }
}

/// `PUT /index`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateIndexRequest {
    /// Its name.
    pub index: IndexName,
    /// Its settings, with or without `index.` before their names.
    pub settings: BTreeMap<String, String>,
    /// How many copies of each shard must be active before the answer; none: what
    /// `index.write.wait_for_active_shards` says, 1 by default.
    pub wait_for_active_shards: Option<ActiveShards>,
    /// How long to wait for nodes and for shards; none: 30 s.
    pub timeout: Option<Duration>,
    /// How long to wait for the controller; none: 30 s.
    pub master_timeout: Option<Duration>,
}

impl CreateIndexRequest {
    /// An index of so many shards and replicas, all else by default.
    pub fn new(index: impl Into<IndexName>, shards: u32, replicas: u32) -> Self {
        let numbers = [("index.number_of_shards", shards), ("index.number_of_replicas", replicas)];
        Self {
            index: index.into(),
            settings: numbers.map(|(name, number)| (name.to_owned(), number.to_string())).into(),
            wait_for_active_shards: None,
            timeout: None,
            master_timeout: None,
        }
    }
}

/// `DELETE /index`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteIndexRequest {
    /// Which.
    pub index: IndexName,
    /// How long to wait for nodes; none: 30 s.
    pub timeout: Option<Duration>,
    /// How long to wait for the controller; none: 30 s.
    pub master_timeout: Option<Duration>,
}

/// `GET /index/_settings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetIndexSettingsRequest {
    /// Which; none: all.
    pub index: Option<IndexName>,
    /// Whether what is not set is told, too.
    pub include_defaults: bool,
}

/// `PUT /index/_settings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateIndexSettingsRequest {
    /// Of which index.
    pub index: IndexName,
    /// What to set, or to take back.
    pub settings: Changes,
    /// Whether what is set already stays.
    pub preserve_existing: bool,
    /// How long to wait for nodes; none: 30 s.
    pub timeout: Option<Duration>,
    /// How long to wait for the controller; none: 30 s.
    pub master_timeout: Option<Duration>,
}

/// `GET /_cluster/settings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetClusterSettingsRequest {
    /// Whether what is not set is told, too.
    pub include_defaults: bool,
}

/// `PUT /_cluster/settings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateClusterSettingsRequest {
    /// What to set, or to take back.
    pub persistent: Changes,
    /// How long to wait for nodes; none: 30 s.
    pub timeout: Option<Duration>,
    /// How long to wait for the controller; none: 30 s.
    pub master_timeout: Option<Duration>,
}

/// `GET /_nodes`: who is there, and how far each is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesRequest {
    /// How long to wait for the controller; none: 30 s.
    pub master_timeout: Option<Duration>,
}

/// `GET /_cluster/pending_tasks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingTasksRequest {
    /// How long to wait for the controller; none: 30 s.
    pub master_timeout: Option<Duration>,
}

/// The answer to [`CreateIndexRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexCreated {
    /// Whether every node has applied it in time.
    pub acknowledged: bool,
    /// Whether enough copies of each shard became active in time.
    pub shards_acknowledged: bool,
    /// Its name.
    pub index: IndexName,
}

impl IndexCreated {
    /// Elasticsearch's reply body.
    pub fn body(&self) -> Value {
        let Self { acknowledged, shards_acknowledged, index } = self;
        json!({"acknowledged": acknowledged, "shards_acknowledged": shards_acknowledged, "index": index})
    }
}

/// The answer to a change: whether every node has applied it in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// False: it is in the cluster state, but some node has not said in time that it has applied it.
    pub acknowledged: bool,
}

impl Acknowledged {
    /// Elasticsearch's reply body.
    pub fn body(&self) -> Value {
        json!({"acknowledged": self.acknowledged})
    }
}

/// The answer to [`GetIndexSettingsRequest`]: what is set, by index; numbers of shards and replicas included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSettings {
    /// By index.
    pub indices: BTreeMap<IndexName, Settings>,
    /// Whether what is not set is told, too.
    pub include_defaults: bool,
}

impl IndexSettings {
    /// Elasticsearch's reply body.
    pub fn body(&self) -> Value {
        let told = |settings: &Settings| {
            let mut told = json!({"settings": nested(&settings.0)});
            if self.include_defaults {
                let unset = INDEX.iter().filter(|setting| settings.set(setting.name).is_none());
                told["defaults"] = nested(&defaults(unset.map(|setting| (setting.name, setting.default))));
            }
            told
        };
        self.indices.iter().map(|(index, settings)| (index.to_string(), told(settings))).collect()
    }
}

/// The answer to [`GetClusterSettingsRequest`] and [`UpdateClusterSettingsRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSettings {
    /// Of a change: whether every node has applied it in time.
    pub acknowledged: Option<bool>,
    /// What is set; of a change: what it has set.
    pub persistent: Settings,
    /// Whether what is not set is told, too.
    pub include_defaults: bool,
}

impl ClusterSettings {
    /// Elasticsearch's reply body.
    pub fn body(&self) -> Value {
        let mut body = json!({"persistent": nested(&self.persistent.0), "transient": {}});
        if let Some(acknowledged) = self.acknowledged {
            body["acknowledged"] = acknowledged.into();
        }
        if self.include_defaults {
            let unset = CLUSTER.iter().filter(|setting| self.persistent.set(setting.name).is_none());
            body["defaults"] = nested(&defaults(unset.map(|setting| (setting.name, setting.default))));
        }
        body
    }
}

/// A node, as the controller knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStanding {
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Epoch and version of the newest state it said it has applied, and the version of its settings.
    pub applied: Option<(Epoch, u64, u64)>,
    /// Whether it has been behind for longer than `cluster.follower_lag.timeout`.
    pub lagging: bool,
}

/// The answer to [`NodesRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeList {
    /// The controller.
    pub master: Option<HostId>,
    /// By name.
    pub nodes: BTreeMap<HostId, NodeStanding>,
}

impl NodeList {
    /// Elasticsearch's reply body, with what each node has applied beside it.
    pub fn body(&self) -> Value {
        let node = |(host, standing): (&HostId, &NodeStanding)| {
            let (epoch, state, settings) = standing.applied.unwrap_or_default();
            let told = json!({
                "name": host.to_string(),
                "host": host.to_string(),
                "roles": ["data", "ingest", "master"],
                "attributes": standing.attributes,
                "master": self.master == Some(*host),
                "lagging": standing.lagging,
                "applied": {"term": epoch.0, "state_version": state, "settings_version": settings},
            });
            (host.to_string(), told)
        };
        let count = self.nodes.len();
        json!({
            "_nodes": {"total": count, "successful": count, "failed": 0},
            "cluster_name": CLUSTER_NAME,
            "nodes": self.nodes.iter().map(node).collect::<Map<_, _>>(),
        })
    }
}

/// The answer to [`PendingTasksRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingTasks {
    /// Tasks that wait for the next write of the state.
    pub count: u32,
}

impl PendingTasks {
    /// The reply body: Elasticsearch lists the tasks, here they are only counted.
    pub fn body(&self) -> Value {
        json!({"number_of_pending_tasks": self.count})
    }
}

fn defaults(unset: impl Iterator<Item = (&'static str, &'static str)>) -> BTreeMap<String, String> {
    let named = unset.filter(|(name, _)| !name.ends_with('*'));
    named.map(|(name, default)| (name.to_owned(), default.to_owned())).collect()
}

/// Settings as nested objects: `index.number_of_replicas` is in `index` under `number_of_replicas`.
fn nested(settings: &BTreeMap<String, String>) -> Value {
    let mut root = Value::Object(Map::new());
    for (name, value) in settings {
        let mut place = &mut root;
        for part in name.split('.') {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[part];
        }
        *place = Value::String(value.clone());
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn created_index_is_told_as_elasticsearch_tells_it() {
        let created = IndexCreated { acknowledged: true, shards_acknowledged: false, index: "a".into() };
        let body = json!({"acknowledged": true, "shards_acknowledged": false, "index": "a"});
        assert_eq!(created.body(), body);
        assert_eq!(Acknowledged { acknowledged: false }.body(), json!({"acknowledged": false}));
    }

    #[test]
    fn settings_are_told_as_nested_objects() {
        let set = settings(&[("index.number_of_replicas", "2"), ("index.blocks.write", "true")]);
        let told = IndexSettings { indices: [("a".into(), set)].into(), include_defaults: false };
        let index = json!({"number_of_replicas": "2", "blocks": {"write": "true"}});
        assert_eq!(told.body(), json!({"a": {"settings": {"index": index}}}));
        let all = IndexSettings { include_defaults: true, ..told }.body();
        assert_eq!(all["a"]["defaults"]["index"]["refresh_interval"], "1s");
        assert_eq!(all["a"]["defaults"]["index"]["blocks"].get("write"), None);
    }

    #[test]
    fn changed_cluster_settings_say_whether_they_are_acknowledged() {
        let persistent = settings(&[("cluster.routing.allocation.enable", "none")]);
        let told = ClusterSettings { acknowledged: Some(true), persistent, include_defaults: false };
        let nested = json!({"cluster": {"routing": {"allocation": {"enable": "none"}}}});
        assert_eq!(told.body(), json!({"acknowledged": true, "persistent": nested, "transient": {}}));
        let all = ClusterSettings { acknowledged: None, include_defaults: true, ..told }.body();
        assert_eq!(all["defaults"]["cluster"]["routing"]["rebalance"]["enable"], "all");
    }

    #[test]
    fn nodes_are_told_with_what_they_have_applied() {
        let standing = NodeStanding {
            attributes: [("zone".to_owned(), "a".to_owned())].into(),
            applied: Some((Epoch(2), 7, 3)),
            lagging: false,
        };
        let host = HostId::search(1);
        let body = NodeList { master: Some(host), nodes: [(host, standing)].into() }.body();
        assert_eq!(body["_nodes"], json!({"total": 1, "successful": 1, "failed": 0}));
        let applied = json!({"term": 2, "state_version": 7, "settings_version": 3});
        assert_eq!(body["nodes"]["search-1"]["applied"], applied);
        assert_eq!(body["nodes"]["search-1"]["attributes"]["zone"], "a");
        assert_eq!(PendingTasks { count: 2 }.body()["number_of_pending_tasks"], 2);
    }

    #[test]
    fn active_shards_are_read_and_compared() {
        assert_eq!(ActiveShards::read("all"), Some(ActiveShards::All));
        assert_eq!(ActiveShards::read("2"), Some(ActiveShards::AtLeast(2)));
        assert_eq!(ActiveShards::read("-1"), None);
        assert!(ActiveShards::All.is_met(3, 3) && !ActiveShards::All.is_met(2, 3));
        assert!(ActiveShards::AtLeast(2).is_met(2, 3) && !ActiveShards::AtLeast(2).is_met(1, 3));
    }
}
