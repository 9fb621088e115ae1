//! The world, on madsim: hosts, network, disks, clocks, faults. The only room that lies.

use std::time::Duration;

use crate::{event::Event, scenario::plan::Plan};

/// What a run leaves behind.
#[derive(Debug, Clone)]
pub struct Run {
    /// Everything that happened, in order.
    pub events: Vec<Event>,
    /// The hash over all of it.
    pub fingerprint: u128,
    /// Its size.
    pub figures: Figures,
}

/// The size of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Events recorded.
    pub events: u64,
    /// Messages that arrived at a core.
    pub messages: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Wall time.
    pub wall: Duration,
}

/// A run that did not come to its end: something panicked outside what is tested.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the run panicked at simulated time {at:?}: {message}")]
pub struct RunError {
    /// How far it came.
    pub at: Duration,
    /// What it said.
    pub message: String,
    /// What had happened until then.
    pub events: Vec<Event>,
}

/// Runs a plan on a fresh thread and waits for its end.
///
/// # Errors
///
/// If anything panics inside the run.
#[allow(clippy::todo, reason = "contract, to be filled in")]
pub fn run(_plan: &Plan) -> Result<Run, RunError> {
    todo!()
}
