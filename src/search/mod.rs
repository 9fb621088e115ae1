//! The search cluster: pure cores around real tantivy indices, with Elasticsearch's replication and
//! allocation, coordinated through ZooKeeper.

pub mod acknowledgements;
pub mod administration;
pub mod allocation;
pub mod api;
pub mod control;
pub mod controller;
pub mod coordination;
pub mod discovery;
pub mod engine;
#[cfg(test)]
pub(crate) mod fixture;
pub mod leases;
pub mod node;
pub mod notices;
pub mod operation;
pub mod petitions;
pub mod query;
pub mod reading;
pub mod recovery;
pub mod replication;
pub mod routing;
pub mod settings;
pub mod shard;
pub mod shards;
#[cfg(test)]
pub(crate) mod soundness;
pub mod state;
pub mod stats;
pub mod tasks;
pub mod tenure;
pub mod transition;
pub mod translog;
pub mod transport;
pub mod wire;
