//! Order deciders — decides what must be there before a copy may be built or moved: its primary, all of its
//! group, all of the cluster. It never counts recoveries.

use super::{Asked, Decision, Ruling, ruling};
use crate::{
    name::HostId,
    search::{
        allocation::{round::RoutingAllocation, settings::AllowRebalance},
        state::ShardCopy,
    },
};

/// A replica is built from its primary, so that must be active.
pub(super) fn replica_after_primary_active(
    _: &RoutingAllocation<'_>,
    asked: &Asked<'_>,
    _: HostId,
) -> Ruling {
    let name = "replica_after_primary_active";
    if asked.copy.primary {
        ruling(Decision::Yes, name, "shard is primary and can be allocated".into())
    } else if asked.table.primary().is_some_and(ShardCopy::is_active) {
        ruling(Decision::Yes, name, "primary shard for this replica is already active".into())
    } else {
        ruling(Decision::No, name, "primary shard for this replica is not yet active".into())
    }
}

/// Never two copies of a shard on one node, targets of relocations included; nor on one host, if
/// `same_shard.host` is set and nodes have an attribute `host`.
pub(super) fn same_shard(round: &RoutingAllocation<'_>, asked: &Asked<'_>, node: HostId) -> Ruling {
    let name = "same_shard";
    if asked.table.on(node).is_some() {
        let why = round.say(|| format!("a copy of this shard is already allocated to this node [{node}]"));
        return ruling(Decision::No, name, why);
    }
    let host = |node: HostId| round.state.nodes.get(&node)?.attribute("host");
    if round.settings().same_shard_host
        && let Some(own) = host(node)
    {
        let others = asked.table.copies.iter().filter(|copy| copy.allocation != asked.copy.allocation);
        if others.filter_map(|copy| copy.node).any(|other| host(other) == Some(own)) {
            let why = round.say(|| {
                format!(
                    "cannot allocate to node [{node}] because a copy of this shard is already allocated to another \
                     node with the same host name [{own}] and cluster setting \
                     [cluster.routing.allocation.same_shard.host] is [true]"
                )
            });
            return ruling(Decision::No, name, why);
        }
    }
    ruling(Decision::Yes, name, "this node does not hold a copy of this shard".into())
}

/// A shard moves only while its whole group is active.
pub(super) fn rebalance_only_when_active(_: &RoutingAllocation<'_>, asked: &Asked<'_>) -> Ruling {
    let name = "rebalance_only_when_active";
    if asked.table.copies.iter().all(|copy| copy.is_active() || copy.is_target()) {
        let why = "rebalancing is allowed as all replicas are active in the cluster";
        ruling(Decision::Yes, name, why.into())
    } else {
        let why = "rebalancing is not allowed until all replicas in the cluster are active";
        ruling(Decision::No, name, why.into())
    }
}

/// Nothing moves before every primary, or every copy, of every index is active.
pub(super) fn cluster_rebalance(round: &RoutingAllocation<'_>, _: &Asked<'_>) -> Ruling {
    round.cluster_rebalance()
}

impl RoutingAllocation<'_> {
    /// Whether the whole cluster is in a state in which copies move for the sake of balance.
    pub fn cluster_rebalance(&self) -> Ruling {
        let name = "cluster_rebalance";
        let (unassigned, initializing) = (self.tally.unassigned(), self.tally.initializing());
        let no = |what: &str, setting: &str| {
            let why = self.say(|| {
                format!(
                    "the cluster has {what} and cluster setting [cluster.routing.allocation.allow_rebalance] is set \
                     to [{setting}]"
                )
            });
            ruling(Decision::No, name, why)
        };
        match self.settings().allow_rebalance {
            AllowRebalance::Always => ruling(Decision::Yes, name, "rebalancing is always allowed".into()),
            AllowRebalance::PrimariesActive if unassigned.primaries > 0 => {
                no("unassigned primary shards", "indices_primaries_active")
            }
            AllowRebalance::PrimariesActive if initializing.primaries > 0 => {
                no("inactive primary shards", "indices_primaries_active")
            }
            AllowRebalance::PrimariesActive => {
                ruling(Decision::Yes, name, "all primary shards are active".into())
            }
            AllowRebalance::AllActive if unassigned.copies > 0 => {
                no("unassigned shards", "indices_all_active")
            }
            AllowRebalance::AllActive if initializing.copies > 0 => {
                no("inactive shards", "indices_all_active")
            }
            AllowRebalance::AllActive => ruling(Decision::Yes, name, "all shards are active".into()),
        }
    }
}
