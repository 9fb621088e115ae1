//! Creation — decides what a client is told while the controller makes an index. It never makes one.

use super::{
    Outcome, error,
    flow::{Ending, Flow, Move},
};
use crate::{name::IndexName, search::state::ClusterState};

/// The course of a create-index request: the node's control part carries it out.
#[derive(Debug)]
pub(super) struct CreateFlow {
    index: IndexName,
}

impl CreateFlow {
    /// Waits for this index.
    pub(super) fn new(index: IndexName) -> Self {
        Self { index }
    }
}

impl Flow for CreateFlow {
    fn begin(&mut self, _state: &ClusterState) -> Vec<Move> {
        Vec::new()
    }

    fn heard(&mut self, _part: u32, _outcome: Outcome, _state: &ClusterState) -> Vec<Move> {
        Vec::new()
    }

    fn timed_out(&mut self) -> Ending {
        Err(error::create_timed_out(&self.index))
    }
}
