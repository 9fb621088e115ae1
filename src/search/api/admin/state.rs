//! Cluster state for clients — decides how a cluster state is asked for and told. It never decides what is in it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{CLUSTER_NAME, nested};
use crate::{
    event::Digest,
    name::{HostId, IndexName},
    search::state::{ClusterState, IndexMetadata, ShardCopy},
};

/// `GET /_cluster/state`. Every node answers by the state it has applied, as Elasticsearch's does with
/// `local=true`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRequest {
    /// Which parts: `version`, `master_node`, `nodes`, `blocks`, `metadata`, `routing_table`, `routing_nodes`; none or
    /// `_all`: all.
    pub metrics: Vec<String>,
    /// Of which index; none: of all.
    pub index: Option<IndexName>,
}

/// The answer to [`StateRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStateView {
    /// What the node has applied.
    pub state: Arc<ClusterState>,
    /// What was asked.
    pub request: StateRequest,
}

impl ClusterStateView {
    /// Elasticsearch's reply body.
    pub fn body(&self) -> Value {
        let state = &*self.state;
        let uuid = |text: &str| format!("{:016x}", Digest::of(text.as_bytes()).0);
        let cluster_uuid = uuid(CLUSTER_NAME);
        let mut body = json!({"cluster_name": CLUSTER_NAME, "cluster_uuid": cluster_uuid});
        let parts: [(&str, &dyn Fn() -> Value); 7] = [
            ("version", &|| state.version.into()),
            ("master_node", &|| state.controller.map(|host| host.to_string()).into()),
            ("blocks", &|| self.blocks()),
            ("nodes", &|| nodes(state)),
            ("metadata", &|| self.metadata(&cluster_uuid)),
            ("routing_table", &|| self.routing_table()),
            ("routing_nodes", &|| self.routing_nodes()),
        ];
        for (name, part) in parts {
            if self.wants(name) {
                body[name] = part();
            }
        }
        if self.wants("version") {
            body["term"] = state.epoch.0.into();
            body["state_uuid"] = uuid(&format!("{}/{}", state.epoch, state.version)).into();
        }
        body
    }

    fn wants(&self, part: &str) -> bool {
        let metrics = &self.request.metrics;
        metrics.is_empty() || metrics.iter().any(|metric| metric == part || metric == "_all")
    }

    fn indices(&self) -> impl Iterator<Item = (&IndexName, &IndexMetadata)> {
        let is_wanted = |name: &IndexName| self.request.index.as_ref().is_none_or(|index| index == name);
        self.state.indices.iter().filter(move |(name, _)| is_wanted(name))
    }

    fn blocks(&self) -> Value {
        let blocked = self.indices().filter_map(|(name, index)| {
            let settings = index.settings(self.state.settings.of_index(name));
            let set = settings.below("index.blocks.").filter(|(_, value)| *value == "true");
            let set: Map<_, _> = set.map(|(block, _)| (block.to_owned(), true.into())).collect();
            (!set.is_empty()).then(|| (name.to_string(), Value::Object(set)))
        });
        let blocked: Map<_, _> = blocked.collect();
        if blocked.is_empty() { json!({}) } else { json!({"indices": blocked}) }
    }

    fn metadata(&self, cluster_uuid: &str) -> Value {
        let indices = self.indices().map(|(name, index)| (name.to_string(), self.index(name, index)));
        json!({
            "cluster_uuid": cluster_uuid,
            "settings": nested(&self.state.settings.cluster.0),
            "indices": indices.collect::<Map<_, _>>(),
        })
    }

    fn index(&self, name: &IndexName, index: &IndexMetadata) -> Value {
        let numbered = || (0..).zip(&index.shards);
        let terms = numbered().map(|(number, table): (u32, _)| (number.to_string(), table.term.0.into()));
        let in_sync = numbered().map(|(number, table): (u32, _)| {
            let ids: Vec<String> = table.in_sync.iter().map(ToString::to_string).collect();
            (number.to_string(), ids.into())
        });
        json!({
            "state": "open",
            "settings": nested(&index.settings(self.state.settings.of_index(name)).0),
            "primary_terms": terms.collect::<Map<_, _>>(),
            "in_sync_allocations": in_sync.collect::<Map<_, _>>(),
        })
    }

    fn routing_table(&self) -> Value {
        let shards = |name: &IndexName, index: &IndexMetadata| {
            let tables = (0..).zip(&index.shards).map(|(number, table): (u32, _)| {
                let copies = table.copies.iter().map(|copy| self.copy(name, number, copy));
                (number.to_string(), copies.collect::<Value>())
            });
            json!({"shards": tables.collect::<Map<_, _>>()})
        };
        let indices = self.indices().map(|(name, index)| (name.to_string(), shards(name, index)));
        json!({"indices": indices.collect::<Map<_, _>>()})
    }

    fn routing_nodes(&self) -> Value {
        let on = |node: Option<HostId>| {
            let tables = self.indices().flat_map(|(name, index)| {
                (0..).zip(&index.shards).map(move |(number, table): (u32, _)| (name, number, table))
            });
            let copies = tables.flat_map(move |(name, number, table)| {
                table.copies.iter().map(move |copy| (name, number, copy))
            });
            let here = copies.filter(|(_, _, copy)| copy.node == node);
            here.map(|(name, number, copy)| self.copy(name, number, copy)).collect::<Value>()
        };
        let nodes = self.state.nodes.keys().map(|host| (host.to_string(), on(Some(*host))));
        json!({"unassigned": on(None), "nodes": nodes.collect::<Map<_, _>>()})
    }

    fn copy(&self, index: &IndexName, number: u32, copy: &ShardCopy) -> Value {
        let table = self.state.indices.get(index).and_then(|found| found.shards.get(number as usize));
        let other = copy.relocating.and_then(|id| table?.copy(id)?.node);
        let mut told = json!({
            "state": copy.state.routing_word(),
            "primary": copy.primary,
            "node": copy.node.map(|host| host.to_string()),
            "relocating_node": other.map(|host| host.to_string()),
            "shard": number,
            "index": index,
        });
        if let Some(id) = copy.allocation.filter(|_| copy.node.is_some()) {
            told["allocation_id"] = json!({"id": id.to_string()});
        }
        told
    }
}

fn nodes(state: &ClusterState) -> Value {
    let node = |(host, entry): (&HostId, &crate::search::state::NodeEntry)| {
        let mut attributes = entry.attributes.clone();
        attributes.insert("zone".to_owned(), entry.zone.clone());
        let told = json!({
            "name": host.to_string(),
            "ephemeral_id": entry.session.to_string(),
            "attributes": attributes,
            "roles": ["data", "ingest", "master"],
        });
        (host.to_string(), told)
    };
    Value::Object(state.nodes.iter().map(node).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::CopyState,
        search::fixture::{copy, state, table},
    };

    fn view(metrics: &[&str]) -> Value {
        let shards = vec![table(vec![
            copy(1, 16, true, CopyState::Started),
            copy(2, 17, false, CopyState::Initializing),
        ])];
        let metrics = metrics.iter().map(|metric| (*metric).to_owned()).collect();
        let request = StateRequest { metrics, index: None };
        ClusterStateView { state: Arc::new(state(7, shards)), request }.body()
    }

    #[test]
    fn state_has_every_part_of_elasticsearchs() {
        let body = view(&[]);
        assert_eq!(body["version"], 7);
        assert_eq!(body["nodes"]["search-2"]["name"], "search-2");
        let index = &body["metadata"]["indices"]["articles"];
        assert_eq!(index["primary_terms"], json!({"0": 1}));
        assert_eq!(index["in_sync_allocations"], json!({"0": ["10"]}));
        assert_eq!(index["settings"]["index"]["number_of_replicas"], "1");
        let started = json!({
            "state": "STARTED",
            "primary": true,
            "node": "search-1",
            "relocating_node": null,
            "shard": 0,
            "index": "articles",
            "allocation_id": {"id": "10"},
        });
        assert_eq!(body["routing_table"]["indices"]["articles"]["shards"]["0"][0], started);
        assert_eq!(body["routing_nodes"]["nodes"]["search-1"], json!([started]));
        assert_eq!(body["routing_nodes"]["unassigned"], json!([]));
        assert!(body["state_uuid"].is_string() && body["blocks"] == json!({}));
    }

    #[test]
    fn metrics_choose_the_parts() {
        let body = view(&["nodes"]);
        let parts: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(parts, ["cluster_name", "cluster_uuid", "nodes"]);
    }
}
