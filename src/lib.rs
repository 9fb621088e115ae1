//! Shardarium.

#[cfg(not(madsim))]
compile_error!(
    "Shardarium runs on simulated time: build it with `--cfg madsim` (its own `.cargo/config.toml` does; in your \
     project put `[build] rustflags = [\"--cfg\", \"madsim\"]` into `.cargo/config.toml`)"
);

pub mod check;
pub mod cli;
pub mod core;
pub mod defect;
pub mod event;
pub mod name;
pub mod report;
pub mod scenario;
pub mod search;
pub mod sim;
pub mod sweep;
pub mod trial;
pub mod workload;
pub mod zookeeper;
