//! Explanation — decides how allocation tells people why a copy is where it is, or nowhere. It never moves one.
//!
//! The reply of Elasticsearch's `GET /_cluster/allocation/explain`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    deciders::{Asked, Decision, Ruling},
    reroute::DeciderAnswer,
    round::{Inputs, RoutingAllocation, Words},
    weights::Weights,
};
use crate::{
    event::CopyState,
    name::{HostId, ShardId},
    search::{
        api::ApiError,
        state::{ClusterState, ShardCopy},
    },
};

/// Why a copy is where it is, or nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllocationExplanation {
    /// Which shard.
    pub shard: ShardId,
    /// Whether the primary is meant.
    pub primary: bool,
    /// What state it is in.
    pub state: CopyState,
    /// Where it is.
    pub node: Option<HostId>,
    /// Of an unassigned copy: why it is, since when, after how many failures, what for people.
    pub unassigned: Option<WhyUnassigned>,
    /// Of an unassigned copy: whether it can be assigned, in Elasticsearch's word.
    pub can_allocate: Option<String>,
    /// Of a started copy: whether it may remain.
    pub can_remain: Option<bool>,
    /// What objects to its remaining.
    pub remain_decisions: Vec<DeciderAnswer>,
    /// Of a copy that may remain: whether the cluster lets it move for balance.
    pub can_rebalance_cluster: Option<Decision>,
    /// What objects to its moving.
    pub rebalance_decisions: Vec<DeciderAnswer>,
    /// Of a copy that may remain: whether another node would be better.
    pub can_rebalance_to_other_node: Option<bool>,
    /// All of it in a sentence.
    pub summary: String,
    /// What speaks against each node, the best node first.
    pub nodes: Vec<NodeDecision>,
    /// Whether nobody said which copy: there may be others.
    pub any: bool,
}

/// Why a copy is unassigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyUnassigned {
    /// Elasticsearch's name for the reason.
    pub reason: String,
    /// Since when, in milliseconds of the controller's wall clock.
    pub at_ms: i64,
    /// How often it failed in a row.
    pub failed_attempts: u32,
    /// More about it.
    pub details: String,
    /// What the last attempt to place it came to.
    pub last_allocation_status: String,
}

/// What speaks for and against a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDecision {
    /// The node.
    pub node: HostId,
    /// All deciders together.
    pub decision: NodeVerdict,
    /// Its place by weight, from 1.
    pub weight_ranking: u32,
    /// Deciders that do not say yes.
    pub deciders: Vec<DeciderAnswer>,
}

/// What becomes of a node as a place for the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeVerdict {
    /// It may go there.
    Yes,
    /// It may, but it would be no better.
    WorseBalance,
    /// It may, later.
    Throttled,
    /// It may not.
    No,
}

/// Which copy is to be explained.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// Of which shard.
    pub shard: ShardId,
    /// The primary, or a replica.
    pub primary: bool,
    /// On which node it is; none: an unassigned replica before others.
    pub current_node: Option<HostId>,
}

/// Explains one copy; without a subject some unassigned one, a primary before others.
///
/// # Errors
///
/// 404 `index_not_found_exception`, or 400 `illegal_argument_exception` if there is no such shard or copy.
pub fn explain(
    state: &ClusterState,
    subject: Option<&Subject>,
    inputs: Inputs<'_>,
) -> Result<AllocationExplanation, ApiError> {
    let (shard, copy) = match subject {
        Some(subject) => (subject.shard.clone(), find(state, subject)?),
        None => any_unassigned(state)?,
    };
    let mut round = RoutingAllocation::new(state.clone(), inputs);
    round.words = Words::Said;
    Ok(AllocationExplanation { any: subject.is_none(), ..round.explanation(&shard, copy) })
}

fn find<'a>(state: &'a ClusterState, subject: &Subject) -> Result<&'a ShardCopy, ApiError> {
    let Subject { shard, primary, current_node } = subject;
    if !state.indices.contains_key(&shard.index) {
        return Err(ApiError::no_index(&shard.index));
    }
    let copies = state.shard(shard).map_or(&[][..], |table| &table.copies);
    let meant = copies.iter().filter(|copy| copy.primary == *primary && !copy.is_target());
    let Some(node) = current_node else {
        let copy = meant.min_by_key(|copy| copy.state != CopyState::Unassigned);
        let missing = || format!("unable to find any shards to explain [{shard}] in the routing table");
        return copy.ok_or_else(|| ApiError::illegal(missing()));
    };
    let copy = meant.into_iter().find(|copy| copy.node == Some(*node));
    let what = if *primary { "primary shard" } else { "a replica shard" };
    copy.ok_or_else(|| ApiError::illegal(format!("unable to find {what} assigned to node [{node}]")))
}

fn any_unassigned(state: &ClusterState) -> Result<(ShardId, &ShardCopy), ApiError> {
    let unassigned = state.shards().flat_map(|(shard, table)| {
        let copies = table.copies.iter().filter(|copy| copy.state == CopyState::Unassigned);
        copies.map(move |copy| (shard.clone(), copy))
    });
    let first = unassigned.min_by_key(|(_, copy)| !copy.primary);
    first
        .ok_or_else(|| ApiError::illegal("no shard was named, and there are no unassigned shards to explain"))
}

impl RoutingAllocation<'_> {
    fn explanation(&self, shard: &ShardId, copy: &ShardCopy) -> AllocationExplanation {
        let table = self.table(shard);
        let asked = Asked { shard, table, copy };
        let is_started = copy.state == CopyState::Started;
        let remain = if is_started { objections(self.rulings_to_remain(&asked)) } else { Vec::new() };
        let rebalance = if is_started { self.rulings_to_rebalance(&asked) } else { Vec::new() };
        let nodes = self.node_decisions(&asked);
        let stays = is_started && remain.is_empty();
        let mut explanation = AllocationExplanation {
            shard: shard.clone(),
            primary: copy.primary,
            state: copy.state,
            node: copy.node,
            unassigned: self.why_unassigned(&asked, &nodes),
            can_allocate: (copy.node.is_none()).then(|| self.status(&asked, &nodes).to_owned()),
            can_remain: is_started.then_some(remain.is_empty()),
            remain_decisions: remain,
            can_rebalance_cluster: stays.then(|| strongest(&rebalance)),
            rebalance_decisions: objections(rebalance),
            can_rebalance_to_other_node: stays
                .then(|| nodes.iter().any(|node| node.decision == NodeVerdict::Yes)),
            summary: String::new(),
            nodes,
            any: false,
        };
        explanation.summary = explanation.sentence().to_owned();
        explanation
    }

    fn why_unassigned(&self, asked: &Asked<'_>, nodes: &[NodeDecision]) -> Option<WhyUnassigned> {
        let info = asked.copy.unassigned.as_ref().filter(|_| asked.copy.node.is_none())?;
        let status = match self.status(asked, nodes) {
            "yes" => "no_attempt",
            "throttled" => "throttled",
            "no" => "no",
            status => status,
        };
        Some(WhyUnassigned {
            reason: info.reason.name().to_owned(),
            at_ms: info.at_ms,
            failed_attempts: asked.copy.failures,
            details: info.message.clone(),
            last_allocation_status: status.to_owned(),
        })
    }

    /// Elasticsearch's `AllocationDecision`.
    fn status(&self, asked: &Asked<'_>, nodes: &[NodeDecision]) -> &'static str {
        if self.waits(asked.copy) {
            return "allocation_delayed";
        }
        if self.is_waiting_for_data(asked.table, asked.copy) {
            return "no_valid_shard_copy";
        }
        let any = |verdict| nodes.iter().any(|node| node.decision == verdict);
        if any(NodeVerdict::Yes) {
            "yes"
        } else if any(NodeVerdict::Throttled) {
            "throttled"
        } else {
            "no"
        }
    }

    /// Every node but the copy's own, the lightest first; those that may take it before the others.
    fn node_decisions(&self, asked: &Asked<'_>) -> Vec<NodeDecision> {
        let weights = Weights::of(self.state(), self.settings(), self.info());
        let index = &asked.shard.index;
        let load = self.load(asked.shard);
        let ranked = weights
            .sorted(index)
            .into_iter()
            .zip(1..)
            .filter(|((_, node), _)| asked.copy.node != Some(*node));
        let decide = |((_, node), weight_ranking): ((f64, HostId), u32)| {
            let rulings = self.rulings_to_allocate(asked, node);
            let is_better = match asked.copy.node {
                Some(from) if self.ruling_to_remain(asked).decision == Decision::Yes => {
                    weights.is_worth(index, load, (from, node))
                }
                _ => true,
            };
            let decision = match strongest(&rulings) {
                Decision::Yes if is_better => NodeVerdict::Yes,
                Decision::Yes => NodeVerdict::WorseBalance,
                Decision::Throttle => NodeVerdict::Throttled,
                Decision::No => NodeVerdict::No,
            };
            NodeDecision { node, decision, weight_ranking, deciders: objections(rulings) }
        };
        let mut nodes: Vec<NodeDecision> = ranked.map(decide).collect();
        nodes.sort_by_key(|node| (node.decision as u8, node.weight_ranking));
        nodes
    }
}

fn strongest(rulings: &[Ruling]) -> Decision {
    rulings.iter().map(|ruling| ruling.decision).max().unwrap_or(Decision::Yes)
}

fn objections(rulings: Vec<Ruling>) -> Vec<DeciderAnswer> {
    rulings.into_iter().filter(|ruling| ruling.decision != Decision::Yes).map(DeciderAnswer::from).collect()
}

impl AllocationExplanation {
    fn sentence(&self) -> &'static str {
        match (self.can_allocate.as_deref(), self.can_remain) {
            (Some("allocation_delayed"), _) => {
                "The node containing this shard copy recently left the cluster. Elasticsearch is waiting for it to return."
            }
            (Some("no_valid_shard_copy"), _) => {
                "Elasticsearch can't allocate this shard because there are no copies of its data in the cluster."
            }
            (Some("yes"), _) => "Elasticsearch can allocate the shard.",
            (Some("throttled"), _) => {
                "Elasticsearch is currently busy with other activities. It expects to be able to allocate this shard \
                 when those activities finish."
            }
            (Some(_), _) => {
                "Elasticsearch isn't allowed to allocate this shard to any of the nodes in the cluster."
            }
            (None, Some(false)) => "This shard may not remain on its current node.",
            (None, Some(true)) if self.can_rebalance_cluster != Some(Decision::Yes) => {
                "Elasticsearch is not allowed to rebalance this shard now."
            }
            (None, Some(true)) if self.can_rebalance_to_other_node == Some(true) => {
                "This shard can be moved to another node to even out the cluster."
            }
            (None, Some(true)) => "This shard can remain where it is; no other node would be better.",
            (None, None) => "The shard is being recovered or moved.",
        }
    }

    /// Elasticsearch's reply body.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "index": self.shard.index.0,
            "shard": self.shard.number,
            "primary": self.primary,
            "current_state": format!("{:?}", self.state).to_lowercase(),
            "node_allocation_decisions": self.nodes.iter().map(NodeDecision::body).collect::<Vec<_>>(),
        });
        let mut put = |name: &str, value: Value| body[name] = value;
        if self.any {
            put(
                "note",
                json!(
                    "No shard was named, so this is one of the unassigned shards; others may be unassigned for other reasons."
                ),
            );
        }
        if let Some(node) = self.node {
            put("current_node", json!({ "id": node.to_string(), "name": node.to_string() }));
        }
        if let Some(why) = &self.unassigned {
            put("unassigned_info", why.body());
        }
        if let Some(can_allocate) = &self.can_allocate {
            put("can_allocate", json!(can_allocate));
            put("allocate_explanation", json!(self.summary));
        }
        if let Some(can_remain) = self.can_remain {
            put("can_remain_on_current_node", json!(if can_remain { "yes" } else { "no" }));
            let list = if can_remain { "rebalance_explanation" } else { "move_explanation" };
            put(list, json!(self.summary));
        }
        if !self.remain_decisions.is_empty() {
            put("can_remain_decisions", json!(self.remain_decisions));
        }
        if let Some(decision) = self.can_rebalance_cluster {
            let word = match decision {
                Decision::Yes => "yes",
                Decision::Throttle => "throttled",
                Decision::No => "no",
            };
            put("can_rebalance_cluster", json!(word));
        }
        if !self.rebalance_decisions.is_empty() {
            put("can_rebalance_cluster_decisions", json!(self.rebalance_decisions));
        }
        if let Some(better) = self.can_rebalance_to_other_node {
            put("can_rebalance_to_other_node", json!(if better { "yes" } else { "no" }));
        }
        body
    }
}

impl WhyUnassigned {
    fn body(&self) -> Value {
        let mut body = json!({
            "reason": self.reason,
            "at_millis": self.at_ms,
            "last_allocation_status": self.last_allocation_status,
        });
        if self.failed_attempts > 0 {
            body["failed_allocation_attempts"] = json!(self.failed_attempts);
        }
        if !self.details.is_empty() {
            body["details"] = json!(self.details);
        }
        body
    }
}

impl NodeDecision {
    fn body(&self) -> Value {
        json!({
            "node_id": self.node.to_string(),
            "node_name": self.node.to_string(),
            "node_decision": self.decision,
            "weight_ranking": self.weight_ranking,
            "deciders": self.deciders,
        })
    }
}
