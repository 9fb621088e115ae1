//! Workloads — decides what simulated clients ask, and records what they asked and were told. It never looks
//! inside a server.

pub mod administrator;
pub mod agenda;
pub mod arrivals;
mod bulk;
pub mod documents;
pub mod guest;
pub mod history;
pub mod operator;
mod orders;
mod queries;
pub mod recipes;
mod sources;
pub mod zookeeper;

use std::sync::Arc;

use madsim::task::spawn_local;

use crate::{
    name::HostId,
    scenario::{cast::Part, plan::Plan},
    sim::{client::Client, world::World},
};

/// The life of a host that is a client of the search cluster.
pub async fn live(world: Arc<World>, host: HostId) {
    let plan = world.plan().clone();
    let client = Client::start(world.clone(), host);
    match plan.part(host) {
        Part::Operator => {
            invite(&world, &client, &plan);
            operator::run(&client, &plan).await;
        }
        Part::Documents { workload } => documents::run(&client, &plan, workload).await,
        Part::ZooKeeper { .. } | Part::Recipe { .. } | Part::Administrator => {}
    }
    std::future::pending::<()>().await;
}

/// The caller's own workload lives beside the operator.
fn invite(world: &World, client: &Client, plan: &Plan) {
    if let Some(workload) = &world.extensions().workload {
        let (halt, life) = (world.halt(), workload.live(guest::Cluster::new(client.clone(), plan)));
        spawn_local(async move { halt.part(life).await });
    }
}
