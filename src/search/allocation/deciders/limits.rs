//! Limit deciders — decides what settings forbid outright: any allocation, more retries, more copies on a
//! node. It never looks at a node's attributes or disk.

use super::{Asked, Decision, Ruling, ruling};
use crate::{
    name::HostId,
    search::allocation::{
        round::{Leave, RoutingAllocation},
        settings::{EnableAllocation, EnableRebalance},
    },
};

/// A copy that failed too often in a row is left alone until somebody looks at it. One that serves is not
/// kept from leaving a node by that.
pub(super) fn max_retry(round: &RoutingAllocation<'_>, asked: &Asked<'_>, _: HostId) -> Ruling {
    let name = "max_retry";
    let (failures, most) = (asked.copy.failures, round.rules(asked.shard).retries_max);
    if failures == 0 {
        return ruling(Decision::Yes, name, "shard has no previous failures".into());
    }
    if failures < most {
        let why = round.say(|| {
            format!("shard has failed allocating [{failures}] times but [{most}] retries are allowed")
        });
        return ruling(Decision::Yes, name, why);
    }
    let why = round.say(|| {
        let last = asked.copy.unassigned.as_ref().map(|info| format!(", [{}]", info.message));
        format!(
            "shard has exceeded the maximum number of retries [{most}] on failed allocation attempts - manually call \
             [POST /_cluster/reroute?retry_failed] to retry{}",
            last.unwrap_or_default()
        )
    });
    ruling(Decision::No, name, why)
}

/// `cluster.routing.allocation.enable`, or the index's own word; targets of relocations are allocations, too.
pub(super) fn enable(round: &RoutingAllocation<'_>, asked: &Asked<'_>, _: HostId) -> Ruling {
    let name = "enable";
    if round.leave == Leave::Ordered {
        let why = "explicitly ignoring any disabling of allocation due to manual allocation commands via the reroute API";
        return ruling(Decision::Yes, name, why.into());
    }
    let (own, all) = (round.rules(asked.shard).allocation, round.settings().allocation);
    let enabled = own.unwrap_or(all);
    let setting = || match own {
        Some(_) => format!("index setting [index.routing.allocation.enable={}]", enabled.word()),
        None => format!("cluster setting [cluster.routing.allocation.enable={}]", enabled.word()),
    };
    let no = |what: &str| {
        ruling(Decision::No, name, round.say(|| format!("{what} are forbidden due to {}", setting())))
    };
    match enabled {
        EnableAllocation::All => ruling(Decision::Yes, name, "all allocations are allowed".into()),
        EnableAllocation::None => ruling(
            Decision::No,
            name,
            round.say(|| format!("no allocations are allowed due to {}", setting())),
        ),
        EnableAllocation::NewPrimaries if asked.is_new_primary() => {
            ruling(Decision::Yes, name, "new primary allocations are allowed".into())
        }
        EnableAllocation::NewPrimaries => no("non-new primary allocations"),
        EnableAllocation::Primaries if asked.copy.primary => {
            ruling(Decision::Yes, name, "primary allocations are allowed".into())
        }
        EnableAllocation::Primaries => no("replica allocations"),
    }
}

/// `cluster.routing.rebalance.enable`, or the index's own word.
pub(super) fn enable_rebalance(round: &RoutingAllocation<'_>, asked: &Asked<'_>) -> Ruling {
    let name = "enable";
    let (own, all) = (round.rules(asked.shard).rebalance, round.settings().rebalance);
    let enabled = own.unwrap_or(all);
    let setting = || match own {
        Some(_) => format!("index setting [index.routing.rebalance.enable={}]", enabled.word()),
        None => format!("cluster setting [cluster.routing.rebalance.enable={}]", enabled.word()),
    };
    let no = |what: &str| {
        ruling(Decision::No, name, round.say(|| format!("{what} is forbidden due to {}", setting())))
    };
    match enabled {
        EnableRebalance::All => ruling(Decision::Yes, name, "all rebalancing is allowed".into()),
        EnableRebalance::None => ruling(
            Decision::No,
            name,
            round.say(|| format!("no rebalancing is allowed due to {}", setting())),
        ),
        EnableRebalance::Primaries if asked.copy.primary => {
            ruling(Decision::Yes, name, "primary rebalancing is allowed".into())
        }
        EnableRebalance::Primaries => no("replica rebalancing"),
        EnableRebalance::Replicas if !asked.copy.primary => {
            ruling(Decision::Yes, name, "replica rebalancing is allowed".into())
        }
        EnableRebalance::Replicas => no("primary rebalancing"),
    }
}

/// `total_shards_per_node`, of the index and of the cluster, before one more is added.
pub(super) fn shards_limit(round: &RoutingAllocation<'_>, asked: &Asked<'_>, node: HostId) -> Ruling {
    over_limit(round, asked, node, 1)
}

/// The same for a copy that is there.
pub(super) fn shards_limit_to_remain(round: &RoutingAllocation<'_>, asked: &Asked<'_>) -> Ruling {
    match asked.copy.node {
        Some(node) => over_limit(round, asked, node, 0),
        None => ruling(Decision::Yes, "shards_limit", "the shard is on no node".into()),
    }
}

fn over_limit(round: &RoutingAllocation<'_>, asked: &Asked<'_>, node: HostId, added: u32) -> Ruling {
    let name = "shards_limit";
    let (of_index, of_cluster) = (round.rules(asked.shard).shards_per_node, round.settings().shards_per_node);
    if of_index.is_none() && of_cluster.is_none() {
        let why = "total shard limits are disabled: [index: -1, cluster: -1] <= 0";
        return ruling(Decision::Yes, name, why.into());
    }
    let (index, copies) = (&asked.shard.index, round.tally.copies(node));
    if let Some(limit) = of_cluster
        && copies + added > limit
    {
        let why = round.say(|| {
            format!(
                "too many shards [{copies}] allocated to this node, cluster setting \
                 [cluster.routing.allocation.total_shards_per_node={limit}]"
            )
        });
        return ruling(Decision::No, name, why);
    }
    let here = round.tally.copies_of(index, node);
    if let Some(limit) = of_index
        && here + added > limit
    {
        let why = round.say(|| {
            format!(
                "too many shards [{here}] allocated to this node for index [{index}], index setting \
                 [index.routing.allocation.total_shards_per_node={limit}]"
            )
        });
        return ruling(Decision::No, name, why);
    }
    let shown = |limit: Option<u32>| limit.map_or(-1, i64::from);
    let why = round.say(|| {
        format!(
            "the shard count [{copies}] for this node is under the index limit [{}] and cluster level node limit [{}]",
            shown(of_index),
            shown(of_cluster)
        )
    });
    ruling(Decision::Yes, name, why)
}

impl EnableAllocation {
    fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Primaries => "primaries",
            Self::NewPrimaries => "new_primaries",
            Self::None => "none",
        }
    }
}

impl EnableRebalance {
    fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Primaries => "primaries",
            Self::Replicas => "replicas",
            Self::None => "none",
        }
    }
}
