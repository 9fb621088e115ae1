//! Reroute and explanation for clients — decides how copies are ordered about and explained. It never decides where
//! one goes.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ClusterStateView, StateRequest};
use crate::search::{
    allocation::{
        explain::Subject,
        reroute::{Explanation, Orders},
    },
    state::ClusterState,
};

/// `POST /_cluster/reroute`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RerouteRequest {
    /// What is ordered.
    pub orders: Orders,
    /// Whether only to say what would become of it.
    pub dry_run: bool,
    /// How long to wait for nodes; none: 30 s.
    pub timeout: Option<Duration>,
    /// How long to wait for the controller; none: 30 s.
    pub master_timeout: Option<Duration>,
}

/// `POST /_cluster/allocation/explain`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationExplainRequest {
    /// Which copy; none: some unassigned one, a primary before others.
    pub subject: Option<Subject>,
    /// How long to wait for the controller; none: 30 s.
    pub master_timeout: Option<Duration>,
}

/// The answer to [`RerouteRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rerouted {
    /// Whether every node has applied it in time; of a dry run: true.
    pub acknowledged: bool,
    /// What deciders say to each command.
    pub explanations: Vec<Explanation>,
    /// Whether they were asked for.
    pub explain: bool,
    /// Of a dry run: the state that would follow. What was done is seen in the cluster state (`metric=none`, the
    /// only way that Elasticsearch 8 does not deprecate).
    pub state: Option<Arc<ClusterState>>,
}

impl Rerouted {
    /// Elasticsearch's reply body.
    pub fn body(&self) -> Value {
        let mut body = json!({"acknowledged": self.acknowledged});
        if let Some(state) = self.state.clone() {
            body["state"] = ClusterStateView { state, request: StateRequest::default() }.body();
        }
        if self.explain {
            body["explanations"] = self.explanations.iter().map(Explanation::body).collect();
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::HostId,
        search::allocation::{
            Decision,
            reroute::{Command, DeciderAnswer},
        },
    };

    #[test]
    fn explanation_is_told_as_elasticsearch_tells_it() {
        let (index, shard, node) = ("a".into(), 9, HostId::search(1));
        let command = Command::Cancel { index, shard, node, allow_primary: false };
        let decision = DeciderAnswer {
            decider: "cancel_allocation_command".into(),
            decision: Decision::No,
            explanation: "can't cancel".into(),
        };
        let explanations = vec![Explanation { command, decisions: vec![decision] }];
        let rerouted = Rerouted { acknowledged: true, explanations, explain: true, state: None };
        let parameters = json!({"index": "a", "shard": 9, "node": "search-1", "allow_primary": false});
        let decisions = json!([{
            "decider": "cancel_allocation_command", "decision": "NO", "explanation": "can't cancel",
        }]);
        let told = json!({"command": "cancel", "parameters": parameters, "decisions": decisions});
        assert_eq!(rerouted.body(), json!({"acknowledged": true, "explanations": [told]}));
        let silent = Rerouted { explain: false, ..rerouted };
        assert_eq!(silent.body(), json!({"acknowledged": true}));
    }

    #[test]
    fn dry_run_tells_the_state_that_would_follow() {
        let state = Some(Arc::new(ClusterState { version: 7, ..ClusterState::default() }));
        let rerouted = Rerouted { acknowledged: true, explanations: Vec::new(), explain: false, state };
        assert_eq!(rerouted.body()["state"]["version"], 7);
    }
}
