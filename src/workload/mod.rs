//! Workloads — decides what simulated clients ask, and records what they asked and were told. It never looks
//! inside a server.

pub mod administrator;
pub mod arrivals;
mod bulk;
pub mod documents;
pub mod history;
pub mod operator;
mod orders;
mod queries;
pub mod recipes;
mod sources;
pub mod zookeeper;

use std::sync::Arc;

use crate::{
    name::HostId,
    scenario::cast::Part,
    sim::{client::Client, world::World},
};

/// The life of a host that is a client of the search cluster.
pub async fn live(world: Arc<World>, host: HostId) {
    let plan = world.plan().clone();
    let client = Client::start(world, host);
    match plan.part(host) {
        Part::Operator => operator::run(&client, &plan).await,
        Part::Documents { workload } => documents::run(&client, &plan, workload).await,
        Part::ZooKeeper { .. } | Part::Recipe { .. } | Part::Administrator => {}
    }
    std::future::pending::<()>().await;
}
