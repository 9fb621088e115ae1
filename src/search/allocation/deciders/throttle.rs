//! Throttling — decides how much may go on at once. It never says no for good.

use super::{Asked, Decision, Ruling, ruling};
use crate::{event::CopyState, name::HostId, search::allocation::round::RoutingAllocation};

const AREA: &str = "cluster.routing.allocation";

/// Only so many copies move at once for the sake of balance, in the whole cluster. Moves that must be are
/// counted, but not held back (Elasticsearch #17698).
pub(super) fn concurrent_rebalance(round: &RoutingAllocation<'_>, _: &Asked<'_>) -> Ruling {
    let name = "concurrent_rebalance";
    let count = round.tally.relocating();
    match round.settings().concurrent_rebalance {
        None => ruling(Decision::Yes, name, "unlimited concurrent rebalances are allowed".into()),
        Some(limit) if count >= limit => {
            let why = round.say(|| {
                format!(
                    "reached the limit of concurrently rebalancing shards [{count}], cluster setting \
                     [{AREA}.cluster_concurrent_rebalance={limit}]"
                )
            });
            ruling(Decision::Throttle, name, why)
        }
        Some(limit) => {
            let why = round.say(|| {
                format!("below threshold [{limit}] for concurrent rebalances, current rebalance shard count [{count}]")
            });
            ruling(Decision::Yes, name, why)
        }
    }
}

/// Only so many primaries start at once on a node from its disk, only so many copies are built on it, and only
/// so many from a primary on one node. A copy that moves is built from its primary as well (or is it).
pub(super) fn throttling(round: &RoutingAllocation<'_>, asked: &Asked<'_>, node: HostId) -> Ruling {
    if asked.copy.primary && asked.copy.state == CopyState::Unassigned {
        return initial_primaries(round, node);
    }
    let name = "throttling";
    let (tally, settings) = (&round.tally, round.settings());
    let source = asked.table.primary().and_then(|primary| primary.node);
    let outgoing = source.map_or(0, |source| tally.outgoing(source));
    let incoming = tally.incoming(node);
    let full = |way: &str, count: u32, on: String| {
        round.say(|| {
            format!(
                "reached the limit of {way} shard recoveries [{count}]{on}, cluster setting \
                 [{AREA}.node_concurrent_{way}_recoveries={count}] (can also be set via \
                 [{AREA}.node_concurrent_recoveries])"
            )
        })
    };
    if outgoing >= settings.outgoing_recoveries {
        let holder = source.map(|source| format!(" on the node [{source}] which holds the primary"));
        ruling(Decision::Throttle, name, full("outgoing", outgoing, holder.unwrap_or_default()))
    } else if incoming >= settings.incoming_recoveries {
        ruling(Decision::Throttle, name, full("incoming", incoming, String::new()))
    } else {
        let (most_out, most_in) = (settings.outgoing_recoveries, settings.incoming_recoveries);
        let why = round.say(|| {
            format!(
                "below shard recovery limit of outgoing: [{outgoing} < {most_out}] incoming: [{incoming} < {most_in}]"
            )
        });
        ruling(Decision::Yes, name, why)
    }
}

fn initial_primaries(round: &RoutingAllocation<'_>, node: HostId) -> Ruling {
    let name = "throttling";
    let (count, limit) = (round.tally.initial_primaries(node), round.settings().initial_primaries);
    if count >= limit {
        let why = round.say(|| {
            format!(
                "reached the limit of ongoing initial primary recoveries [{count}], cluster setting \
                 [{AREA}.node_initial_primaries_recoveries={limit}]"
            )
        });
        return ruling(Decision::Throttle, name, why);
    }
    ruling(Decision::Yes, name, round.say(|| format!("below primary recovery limit of [{limit}]")))
}
