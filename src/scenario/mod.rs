//! Scenarios: data in, data out. TOML text to a [`Scenario`](format::Scenario), with a seed to a [`plan`].

pub mod builtin;
pub mod cast;
pub mod check;
pub mod deeds;
pub mod duration;
pub mod ensemble;
pub mod fault;
pub mod format;
pub mod load;
pub mod make_plan;
pub mod nearest;
pub mod nemesis;
pub mod operations;
pub mod overlay;
pub mod plan;
pub mod problem;
pub mod read;
pub mod recipes;
pub mod reroute;
pub mod seed;
pub mod select;
pub mod settle;
pub mod steps;
pub mod unplan;
pub mod values;
