//! Tests of the data plane: a few nodes' shards, wired by queues, under hand-made cluster states.

mod crash;
mod disk;
mod durability;
mod failover;
mod fuzz;
mod gets;
mod harness;
mod papers;
mod recovery;
mod refreshes;
mod refusals;
mod relocation;
mod tombstones;
mod writes;
