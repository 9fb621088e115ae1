//! Errors — decides what clients are told when the coordinating node gives up. It never decides when.
//!
//! Statuses and types are Elasticsearch's (`RestStatus` of the exception, its name in snake case).

use std::collections::BTreeMap;

use crate::{
    name::{IndexName, ShardId},
    search::{
        api::{ApiError, ShardFailure},
        query::Malformed,
    },
};

fn failed(status: u16, kind: &'static str, reason: String) -> ApiError {
    ApiError { status, kind: kind.into(), reason, certain: true }
}

fn unknown(error: ApiError) -> ApiError {
    ApiError { certain: false, ..error }
}

/// No cluster state has been seen yet, or there is no controller to turn to.
pub(super) fn no_master() -> ApiError {
    failed(503, "master_not_discovered_exception", "no controller is known to this node".to_owned())
}

/// The node is cut off from ZooKeeper (`no_master_block: write`, block 2).
pub(super) fn no_master_block() -> ApiError {
    let reason = "blocked by: [SERVICE_UNAVAILABLE/2/no master];";
    failed(503, "cluster_block_exception", reason.to_owned())
}

/// No primary came up in time, and nothing was sent to one that may have done the write.
pub(super) fn no_primary(shard: &ShardId) -> ApiError {
    failed(503, "unavailable_shards_exception", format!("[{shard}] primary shard is not active"))
}

/// The primary is there, but fewer copies are active than the write asks for.
pub(super) fn unavailable(shard: &ShardId, why: &str) -> ApiError {
    let ShardId { index, number } = shard;
    failed(503, "unavailable_shards_exception", format!("[{index}][{number}] {why}"))
}

/// The primary was lost with the write under way.
pub(super) fn primary_lost(shard: &ShardId) -> ApiError {
    let reason = format!("[{shard}] primary was lost before it answered");
    unknown(failed(503, "unavailable_shards_exception", reason))
}

/// The primary did not answer in time.
pub(super) fn write_timed_out(shard: &ShardId) -> ApiError {
    unknown(failed(503, "timeout_exception", format!("[{shard}] primary did not answer in time")))
}

/// The controller did not answer in time.
pub(super) fn admin_timed_out() -> ApiError {
    let reason = "the controller did not answer in time".to_owned();
    unknown(failed(503, "process_cluster_event_timeout_exception", reason))
}

/// An index is blocked for what was asked.
pub(super) fn blocked(status: u16, index: &IndexName, block: &str) -> ApiError {
    failed(status, "cluster_block_exception", format!("index [{index}] blocked by: [{block}];"))
}

/// No copy of the shard could be read.
pub(super) fn no_copy(shard: &ShardId) -> ApiError {
    failed(503, "no_shard_available_action_exception", format!("No shard available for [{shard}]"))
}

/// Not one shard answered a search.
pub(super) fn all_shards_failed(failures: &BTreeMap<u32, ShardFailure>) -> ApiError {
    failed(status_of(failures), "search_phase_execution_exception", "all shards failed".to_owned())
}

/// Some shards did not answer a search that takes all or nothing.
pub(super) fn partial_failure(failures: &BTreeMap<u32, ShardFailure>) -> ApiError {
    failed(status_of(failures), "search_phase_execution_exception", "Partial shards failure".to_owned())
}

// `ExceptionsHelper.status`: that of the first failure, unless one is the server's fault.
fn status_of(failures: &BTreeMap<u32, ShardFailure>) -> u16 {
    let statuses = || failures.values().map(|failure| failure.status);
    statuses().find(|status| *status >= 500).or(statuses().next()).unwrap_or(503)
}

/// A request's body is malformed.
pub(super) fn malformed(malformed: Malformed) -> ApiError {
    failed(400, malformed.kind, malformed.reason)
}
