//! The modeled ZooKeeper ensemble: pure cores for servers and clients.

pub mod access;
pub mod client;
pub mod election;
pub mod jute;
pub mod log;
pub mod membership;
pub mod peer;
pub mod recipes;
pub mod request;
pub mod server;
pub mod session;
mod told;
pub mod tree;
pub mod txn;
pub mod watch;
pub mod wire;
pub mod zab;
