//! Operator — decides when the plan's indices are created: at once, and again until it is done. It never
//! touches documents.

use std::time::Duration;

use crate::{
    name::HostId,
    scenario::plan::{IndexPlan, Plan},
    search::api::{ApiCall, CreateIndexRequest},
    sim::client::{CallError, Client},
};

/// Creates every index of the plan, asking node after node.
pub async fn create_indices(client: &Client, plan: &Plan) {
    let nodes: Vec<HostId> = plan.nodes.iter().map(|node| node.host).collect();
    for index in &plan.indices {
        for node in nodes.iter().cycle() {
            if create(client, plan, *node, index).await {
                break;
            }
            client.sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Asks one node; true if the index exists afterwards.
async fn create(client: &Client, plan: &Plan, node: HostId, index: &IndexPlan) -> bool {
    let IndexPlan { name, shards, replicas } = index.clone();
    let call = ApiCall::CreateIndex(CreateIndexRequest { index: name, shards, replicas });
    match client.call(node, call, 2 * plan.search.request_timeout).await {
        Ok(_) => true,
        Err(CallError::Refused(error)) => error.kind == "resource_already_exists_exception",
        Err(_) => false,
    }
}
