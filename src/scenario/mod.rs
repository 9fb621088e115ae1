//! Scenarios: data in, data out. TOML text to [`format`](mod@format), with a seed to a [`plan`].

pub mod bound;
pub mod format;
pub mod plan;
pub mod read;
