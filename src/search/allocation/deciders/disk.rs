//! Disk threshold decider — decides how full a node's disk may become. It never frees any.
//!
//! What is on its way to a node counts as there. What is on its way from it counts as gone only when a copy is
//! asked whether it may stay (Elasticsearch 28d3c44): or else a disk would be filled before it was emptied.

use super::{Asked, Decision, Ruling, ruling};
use crate::{
    name::HostId,
    search::{
        allocation::{info::DiskUsage, round::RoutingAllocation},
        settings::Watermark,
    },
};

const NAME: &str = "disk_threshold";
const AREA: &str = "cluster.routing.allocation.disk";

/// Before a copy is built on the node: below the low watermark now (a primary that no node ever had: below
/// the high one), and below the high one with it.
pub(super) fn to_allocate(round: &RoutingAllocation<'_>, asked: &Asked<'_>, node: HostId) -> Ruling {
    let Some(usage) = known(round, node) else { return unknown(round) };
    let disk = round.settings().disk;
    let total = usage.total;
    let free = usage.free.saturating_sub(round.tally.incoming_bytes(node));
    if disk.low.is_passed(total, free) {
        if !asked.is_new_primary() {
            let why = round.say(|| above("low", "low", disk.low, total, free));
            return ruling(Decision::No, NAME, why);
        }
        if disk.high.is_passed(total, free) {
            let why = round.say(|| above("high", "high", disk.high, total, free));
            return ruling(Decision::No, NAME, why);
        }
        let why = "the node is above the low watermark, but less than the high watermark, and this primary shard has \
                   never been allocated before";
        return ruling(Decision::Yes, NAME, why.into());
    }
    let bytes = round.load(asked.shard).bytes;
    let after = free.saturating_sub(bytes);
    if bytes > free || disk.high.is_passed(total, after) {
        let why = round.say(|| {
            format!(
                "allocating the shard to this node will bring the node above the high watermark cluster setting \
                 [{AREA}.watermark.high={}] and cause it to have less than the minimum required free space (free: \
                 [{free}b], used: [{}b], estimated shard size: [{bytes}b])",
                shown(disk.high),
                total.saturating_sub(free)
            )
        });
        return ruling(Decision::No, NAME, why);
    }
    let why = round.say(|| {
        format!("enough disk for shard on node, free: [{free}b], shard size: [{bytes}b], free after allocating shard: [{after}b]")
    });
    ruling(Decision::Yes, NAME, why)
}

/// For a copy that is there: below the high watermark, once those that leave have left; those that have left since the
/// node reported are gone. Elasticsearch forgets the latter, so that too many leave while what it knows is old.
pub(super) fn to_remain(round: &RoutingAllocation<'_>, asked: &Asked<'_>) -> Ruling {
    let Some(node) = asked.copy.node else { return unknown(round) };
    let Some(usage) = known(round, node) else { return unknown(round) };
    let tally = &round.tally;
    let freed = tally.leaving_bytes(node) + tally.gone_bytes(node);
    let free = usage.free.saturating_sub(tally.incoming_bytes(node)) + freed;
    let (total, high) = (usage.total, round.settings().disk.high);
    if high.is_passed(total, free) {
        let why = round.say(|| {
            format!(
                "the shard cannot remain on this node because it is above the high watermark cluster setting \
                 [{AREA}.watermark.high={}] and there is less than the required free space on node, actual free: \
                 [{free}b], actual used: [{}b]",
                shown(high),
                total.saturating_sub(free)
            )
        });
        return ruling(Decision::No, NAME, why);
    }
    let why =
        round.say(|| format!("there is enough disk on this node for the shard to remain, free: [{free}b]"));
    ruling(Decision::Yes, NAME, why)
}

fn known(round: &RoutingAllocation<'_>, node: HostId) -> Option<DiskUsage> {
    let usage = round.info().disks.get(&node).copied();
    usage.filter(|usage| round.settings().disk.is_enabled && usage.total > 0)
}

fn unknown(round: &RoutingAllocation<'_>) -> Ruling {
    let why = match round.settings().disk.is_enabled {
        true => "disk usages are unavailable",
        false => "the disk threshold decider is disabled",
    };
    ruling(Decision::Yes, NAME, why.into())
}

fn above(mark: &str, setting: &str, watermark: Watermark, total: u64, free: u64) -> String {
    format!(
        "the node is above the {mark} watermark cluster setting [{AREA}.watermark.{setting}={}], having less than the \
         minimum required free space, actual free: [{free}b], actual used: [{}b]",
        shown(watermark),
        total.saturating_sub(free)
    )
}

fn shown(watermark: Watermark) -> String {
    match watermark {
        Watermark::Used(share) => format!("{}%", (share * 1000.0).round() / 10.0),
        Watermark::Free(bytes) => format!("{bytes}b"),
    }
}
