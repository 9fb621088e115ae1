//! Deciders — decides whether a copy may go to a node, stay there, or move, and by which rule not. It never
//! decides which of several allowed nodes is best (`balanced`).
//!
//! Each is one of Elasticsearch's `AllocationDecider`s, with its name and its words, cheap ones first. Of
//! several answers the strongest counts: no, then throttle (later, and here), then yes.

mod awareness;
mod disk;
mod filter;
mod limits;
mod order;
mod throttle;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::round::RoutingAllocation;
use crate::{
    name::{HostId, ShardId},
    search::state::{ShardCopy, ShardTable},
};

/// What a decider can say; the greater the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Decision {
    /// Allowed.
    Yes,
    /// Allowed, but not now: wait, do not go elsewhere.
    Throttle,
    /// Not allowed.
    No,
}

/// A decision, and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The decision.
    pub decision: Decision,
    /// The decider, by Elasticsearch's name.
    pub decider: &'static str,
    /// Why, for people; empty unless they asked.
    pub why: Cow<'static, str>,
}

/// About which copy a decider is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The shard.
    pub shard: &'a ShardId,
    /// Its table.
    pub table: &'a ShardTable,
    /// The copy.
    pub copy: &'a ShardCopy,
}

impl Asked<'_> {
    /// Whether it is a primary that no node ever had.
    pub(super) fn is_new_primary(&self) -> bool {
        self.copy.primary && self.copy.node.is_none() && self.table.in_sync.is_empty()
    }
}

type ToAllocate = fn(&RoutingAllocation<'_>, &Asked<'_>, HostId) -> Ruling;
type AboutCopy = fn(&RoutingAllocation<'_>, &Asked<'_>) -> Ruling;

/// In Elasticsearch's order.
const TO_ALLOCATE: &[ToAllocate] = &[
    limits::max_retry,
    order::replica_after_primary_active,
    limits::enable,
    filter::to_allocate,
    order::same_shard,
    disk::to_allocate,
    throttle::throttling,
    limits::shards_limit,
    awareness::to_allocate,
];

/// Those that hold even if a primary would have no node at all (`AllocationDecider.canForceAllocatePrimary`).
const TO_FORCE_PRIMARY: &[ToAllocate] = &[limits::max_retry, order::same_shard, throttle::throttling];

const TO_REMAIN: &[AboutCopy] =
    &[filter::to_remain, disk::to_remain, limits::shards_limit_to_remain, awareness::to_remain];

const TO_REBALANCE: &[AboutCopy] = &[
    order::rebalance_only_when_active,
    order::cluster_rebalance,
    throttle::concurrent_rebalance,
    limits::enable_rebalance,
];

fn ruling(decision: Decision, decider: &'static str, why: Cow<'static, str>) -> Ruling {
    Ruling { decision, decider, why }
}

/// The strongest of several rulings, the first of equals; no more are asked after a no.
fn strongest(rulings: impl Iterator<Item = Ruling>) -> Ruling {
    let mut strongest = ruling(Decision::Yes, "all", "".into());
    for next in rulings {
        if next.decision > strongest.decision {
            strongest = next;
        }
        if strongest.decision == Decision::No {
            break;
        }
    }
    strongest
}

impl RoutingAllocation<'_> {
    pub(super) fn ruling_to_allocate(&self, asked: &Asked<'_>, node: HostId) -> Ruling {
        strongest(TO_ALLOCATE.iter().map(|decider| decider(self, asked, node)))
    }

    /// Of a primary that has served, on a node that has its data.
    pub(super) fn ruling_to_force_primary(&self, asked: &Asked<'_>, node: HostId) -> Ruling {
        strongest(TO_FORCE_PRIMARY.iter().map(|decider| decider(self, asked, node)))
    }

    pub(super) fn ruling_to_remain(&self, asked: &Asked<'_>) -> Ruling {
        strongest(TO_REMAIN.iter().map(|decider| decider(self, asked)))
    }

    pub(super) fn ruling_to_rebalance(&self, asked: &Asked<'_>) -> Ruling {
        strongest(TO_REBALANCE.iter().map(|decider| decider(self, asked)))
    }

    /// What each decider says, whatever the others do.
    pub(super) fn rulings_to_allocate(&self, asked: &Asked<'_>, node: HostId) -> Vec<Ruling> {
        TO_ALLOCATE.iter().map(|decider| decider(self, asked, node)).collect()
    }

    /// What each decider says, whatever the others do.
    pub(super) fn rulings_to_remain(&self, asked: &Asked<'_>) -> Vec<Ruling> {
        TO_REMAIN.iter().map(|decider| decider(self, asked)).collect()
    }

    /// What each decider says, whatever the others do.
    pub(super) fn rulings_to_rebalance(&self, asked: &Asked<'_>) -> Vec<Ruling> {
        TO_REBALANCE.iter().map(|decider| decider(self, asked)).collect()
    }
}
