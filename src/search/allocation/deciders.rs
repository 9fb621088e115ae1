//! Deciders — decides whether a copy may go to a node, or move, and by which rule not. It never decides
//! which of several allowed nodes is best (`balancer`).
//!
//! Each is one of Elasticsearch's `AllocationDecider`s, cheap ones first. Of several answers the strongest
//! counts: no, then throttle (later, and here), then yes.

use serde::{Deserialize, Serialize};

use super::{Settings, tally::Tally};
use crate::{
    event::CopyState,
    name::HostId,
    search::state::{ClusterState, ShardCopy, ShardTable},
};

/// What a decider can say; the greater the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Allowed.
    Yes,
    /// Allowed, but not now: wait, do not go elsewhere.
    Throttle,
    /// Not allowed.
    No,
}

/// A decision, and who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling {
    /// The decision.
    pub decision: Decision,
    /// The decider, by Elasticsearch's name.
    pub decider: &'static str,
    /// Why, for people.
    pub why: &'static str,
}

/// What nobody objects to.
const ALLOWED: Ruling = Ruling { decision: Decision::Yes, decider: "all", why: "no decider objects" };

/// Says `decision` if `holds`.
fn rule(holds: bool, decision: Decision, decider: &'static str, why: &'static str) -> Ruling {
    if holds { Ruling { decision, decider, why } } else { ALLOWED }
}

/// The strongest of several rulings; the first of equals.
fn strongest(rulings: impl IntoIterator<Item = Ruling>) -> Ruling {
    rulings.into_iter().fold(ALLOWED, |best, next| if next.decision > best.decision { next } else { best })
}

/// Whether this unassigned copy, or a target for this started one, may be built on `node`.
pub fn can_allocate(
    tally: &Tally,
    settings: &Settings,
    table: &ShardTable,
    copy: &ShardCopy,
    node: HostId,
) -> Ruling {
    strongest([
        max_retry(settings, copy),
        replica_after_primary_active(table, copy),
        same_shard(table, node),
        throttling(tally, settings, table, copy, node),
    ])
}

/// Whether this started copy may move for the sake of balance.
pub fn can_rebalance(
    state: &ClusterState,
    tally: &Tally,
    settings: &Settings,
    table: &ShardTable,
    copy: &ShardCopy,
) -> Ruling {
    strongest([
        max_retry(settings, copy),
        rebalance_only_when_active(table),
        cluster_rebalance(state),
        concurrent_rebalance(tally, settings),
    ])
}

/// A copy that failed too often in a row is left alone until somebody looks at it.
pub fn max_retry(settings: &Settings, copy: &ShardCopy) -> Ruling {
    let why = "the copy failed too often in a row";
    rule(copy.failures >= settings.retries_max, Decision::No, "max_retry", why)
}

/// A replica is built from its primary, so that must be active.
pub fn replica_after_primary_active(table: &ShardTable, copy: &ShardCopy) -> Ruling {
    let active = table.primary().is_some_and(ShardCopy::is_active);
    let why = "the primary of this shard is not active";
    rule(!copy.primary && !active, Decision::No, "replica_after_primary_active", why)
}

/// Never two copies of a shard on one node, targets of relocations included.
pub fn same_shard(table: &ShardTable, node: HostId) -> Ruling {
    let why = "a copy of this shard is already on the node";
    rule(table.on(node).is_some(), Decision::No, "same_shard", why)
}

/// A shard moves only while its whole group is active.
pub fn rebalance_only_when_active(table: &ShardTable) -> Ruling {
    let all = table.copies.iter().all(|copy| copy.is_active() || copy.is_target());
    rule(!all, Decision::No, "rebalance_only_when_active", "not every copy of this shard is active")
}

/// Nothing moves before every copy of every index is active (`indices_all_active`).
pub fn cluster_rebalance(state: &ClusterState) -> Ruling {
    let mut copies = state.shards().flat_map(|(_, table)| &table.copies);
    let all = copies.all(|copy| copy.is_active() || copy.is_target());
    rule(!all, Decision::No, "cluster_rebalance", "not every copy of every index is active")
}

/// Only so many copies move at once for the sake of balance, in the whole cluster.
pub fn concurrent_rebalance(tally: &Tally, settings: &Settings) -> Ruling {
    let full = tally.relocating() >= settings.concurrent_rebalance;
    rule(full, Decision::Throttle, "concurrent_rebalance", "enough copies are on the move")
}

/// Only so many primaries start at once on a node, only so many copies are built on it, and only so many
/// from a primary on one node. A copy that moves is built from its primary as well (or is it).
pub fn throttling(
    tally: &Tally,
    settings: &Settings,
    table: &ShardTable,
    copy: &ShardCopy,
    node: HostId,
) -> Ruling {
    if copy.primary && copy.state == CopyState::Unassigned {
        let full = tally.initial_primaries(node) >= settings.initial_primaries;
        return rule(full, Decision::Throttle, "throttling", "enough primaries are starting on the node");
    }
    let source = table.primary().and_then(|primary| primary.node);
    let outgoing = source.map_or(0, |source| tally.outgoing(source));
    let incoming = tally.incoming(node) >= settings.incoming_recoveries;
    strongest([
        rule(incoming, Decision::Throttle, "throttling", "enough copies are being built on the node"),
        rule(
            outgoing >= settings.outgoing_recoveries,
            Decision::Throttle,
            "throttling",
            "enough copies are being built from the primary's node",
        ),
    ])
}
