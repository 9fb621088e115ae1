//! Flows — decides the language between a coordinating node and the course of one request. It never sends.

use std::{fmt::Debug, time::Duration};

use super::{Ask, Outcome};
use crate::{
    name::{HostId, IndexUuid, ShardId},
    search::{
        api::{ApiAnswer, ApiError},
        control::Granted,
        shards::ShardRefusal,
        state::{ClusterState, ShardTable},
    },
};

/// How a request ended.
pub(super) type Ending = Result<ApiAnswer, ApiError>;

/// What a flow wants next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Move {
    /// Ask this node; `part` comes back with the outcome.
    Ask {
        /// Whom.
        to: HostId,
        /// The flow's own number for it.
        part: u32,
        /// What.
        ask: Ask,
    },
    /// Wait for a newer cluster state ([`Flow::state_applied`]).
    Wait,
    /// The flow's time is up so long after now, whatever was said before.
    Patience(Duration),
    /// Tell the client. The last move of a flow.
    End(Ending),
}

/// The course of one request: says what to do at the start and after each thing that happens.
pub(super) trait Flow: Debug {
    /// The first moves.
    fn begin(&mut self, state: &ClusterState) -> Vec<Move>;

    /// What was asked as `part` came to this. A lost peer is a copy that is not there
    /// ([`lost`]).
    fn heard(&mut self, part: u32, outcome: Outcome, state: &ClusterState) -> Vec<Move>;

    /// A newer state was applied, or it is time for another try.
    fn state_applied(&mut self, _state: &ClusterState) -> Vec<Move> {
        Vec::new()
    }

    /// What the controller was asked for is done.
    fn granted(&mut self, _granted: Granted, _state: &ClusterState) -> Vec<Move> {
        Vec::new()
    }

    /// How long it takes at the most; none: as long as any request.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// After how long it is to hurry, if it has `patience` in all; none: never.
    fn time_limit(&self, _patience: Duration) -> Option<Duration> {
        None
    }

    /// The client's own time limit has passed: what can still be done without waiting for what is missing.
    fn hurry(&mut self) -> Vec<Move> {
        Vec::new()
    }

    /// Time is up: what the client is told.
    fn timed_out(&mut self) -> Ending;
}

/// The table of a shard, as long as its index is the one that a request was for when it looked first: another one of the
/// name may have the document in another shard (Elasticsearch's `ShardId` has the index's uuid).
pub(super) fn table_of<'a>(
    state: &'a ClusterState,
    shard: &ShardId,
    uuid: &mut Option<IndexUuid>,
) -> Option<&'a ShardTable> {
    let now = state.indices.get(&shard.index)?.uuid;
    if *uuid.get_or_insert(now) == now { state.shard(shard) } else { None }
}

/// What a lost peer amounts to: its copy is not there; `certain`: what was asked never left this node.
pub(super) fn lost(certain: bool) -> Outcome {
    Err(ShardRefusal::NotHere { certain })
}
