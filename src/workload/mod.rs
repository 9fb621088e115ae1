//! Workloads — decides what simulated clients ask, and records what they asked and were told. It never looks
//! inside a server.

pub mod documents;
pub mod operator;

use std::sync::Arc;

use crate::{
    name::HostId,
    sim::{client::Client, world::World},
};

/// The life of a client's host: the first is the operator, who creates indices; the others each run one
/// workload of the plan.
pub async fn live(world: Arc<World>, host: HostId) {
    let plan = world.plan().clone();
    let client = Client::start(world, host);
    match host.number {
        1 => operator::create_indices(&client, &plan).await,
        number => documents::run(&client, &plan, usize::from(number) - 2).await,
    }
    std::future::pending::<()>().await;
}
