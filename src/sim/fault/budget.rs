//! Budget — decides whether a fault would harm more than a run has promised to survive. It never strikes one.
//!
//! A host is harmed while a fault stops, pauses, cuts or ails it; a server whose disk was damaged until it has another
//! one and follows again. What is committed lies on a majority: a fault that damages a server's disk has to leave one of
//! servers that lead or follow. Lateness, clocks and lost answers harm nobody. A copy is good as long as no damage was
//! done to its node's disk since it was last published as started under its allocation: a copy that was built anew after
//! the damage has another.

use std::collections::BTreeSet;

use super::{Faults, Strike, Switch};
use crate::{
    event::Placement,
    name::{AllocationId, HostId, HostKind, ShardId},
    scenario::plan::FaultAction,
    sim::world::World,
};

impl World {
    /// Why a fault would break a promise; none if it may strike. Notes which copies it damages.
    pub(super) fn beyond_budget(
        &self,
        action: &FaultAction,
        hosts: &[HostId],
        strike: &Strike,
    ) -> Option<String> {
        let budget = self.plan().budget;
        if !(budget.quorum || budget.copies) || !harms(action) {
            return None;
        }
        let hit = self.harmed_by(action, hosts, strike);
        let mut harmed = self.faults().harmed();
        harmed.extend(&hit);
        harmed.extend(self.roles().damaged_servers());
        if damages(action) && hit.iter().any(|host| host.kind == HostKind::ZooKeeper) {
            harmed.extend(self.roles().idle_servers());
        }
        let quorum = budget.quorum.then(|| self.quorum_lost(&harmed)).flatten();
        let lost = quorum.or_else(|| budget.copies.then(|| self.copy_lost(action, &hit, &harmed)).flatten());
        if lost.is_none() && damages(action) {
            let copies = self.copies_on(&hit);
            self.faults().damaged.extend(copies);
        }
        lost
    }

    /// Whom a fault harms: of a cut the lesser side.
    fn harmed_by(&self, action: &FaultAction, hosts: &[HostId], strike: &Strike) -> BTreeSet<HostId> {
        let to = match action {
            FaultAction::Cut { to: Some(to), .. } => self.meant(to, strike),
            _ => Vec::new(),
        };
        let lesser = if !to.is_empty() && to.len() < hosts.len() { &to[..] } else { hosts };
        lesser.iter().copied().collect()
    }

    fn quorum_lost(&self, harmed: &BTreeSet<HostId>) -> Option<String> {
        let servers = &self.plan().zookeeper.servers;
        let well = servers.iter().filter(|server| !harmed.contains(server)).count();
        (well <= servers.len() / 2).then(|| format!("only {well} of {} servers would be left", servers.len()))
    }

    fn copy_lost(
        &self,
        action: &FaultAction,
        hit: &BTreeSet<HostId>,
        harmed: &BTreeSet<HostId>,
    ) -> Option<String> {
        let roles = self.roles();
        let faults = self.faults();
        let mut kept: BTreeSet<&ShardId> = BTreeSet::new();
        let started = |copy: &&Placement| copy.state.is_active();
        for copy in roles.routing().iter().filter(started) {
            let Some((node, allocation)) = copy.node.zip(copy.allocation) else { continue };
            let is_damaged = faults.damaged.contains(&allocation) || damages(action) && hit.contains(&node);
            if !is_damaged && !harmed.contains(&node) {
                kept.insert(&copy.shard);
            }
        }
        let lost = roles.routing().iter().find(|copy| !kept.contains(&copy.shard))?;
        Some(format!("no good copy of {} would be left", lost.shard))
    }

    fn copies_on(&self, hosts: &BTreeSet<HostId>) -> Vec<AllocationId> {
        let roles = self.roles();
        let here = |copy: &&Placement| copy.node.is_some_and(|node| hosts.contains(&node));
        roles.routing().iter().filter(here).filter_map(|copy| copy.allocation).collect()
    }
}

impl Faults {
    /// Whom faults under way harm.
    fn harmed(&self) -> BTreeSet<HostId> {
        let mut harmed = BTreeSet::new();
        for switches in self.under_way.values() {
            let cut = |switch: &Switch| match switch {
                Switch::Cut(from, to) => Some([*from, *to]),
                _ => None,
            };
            let cuts: Vec<_> = switches.iter().filter_map(cut).collect();
            harmed.extend(lesser_side(&cuts));
            harmed.extend(switches.iter().filter_map(|switch| match switch {
                Switch::Stopped(host) | Switch::Paused(host, _) | Switch::Disk(host) => Some(*host),
                _ => None,
            }));
        }
        harmed
    }
}

/// Those who have lost the most links: a set whose absence heals all cuts.
fn lesser_side(cuts: &[[HostId; 2]]) -> BTreeSet<HostId> {
    let mut left: Vec<[HostId; 2]> = cuts.to_vec();
    let mut harmed = BTreeSet::new();
    while !left.is_empty() {
        let hosts: BTreeSet<HostId> = left.iter().flatten().copied().collect();
        let links = |host: &HostId| left.iter().filter(|pair| pair.contains(host)).count();
        let Some(worst) = hosts.into_iter().max_by_key(links) else { break };
        left.retain(|pair| !pair.contains(&worst));
        harmed.insert(worst);
    }
    harmed
}

/// Whether a fault takes hosts away at all.
fn harms(action: &FaultAction) -> bool {
    match action {
        FaultAction::Crash { .. }
        | FaultAction::Pause { .. }
        | FaultAction::Cut { .. }
        | FaultAction::Partition { .. }
        | FaultAction::Wipe { .. }
        | FaultAction::Rot { .. }
        | FaultAction::Misdirect { .. }
        | FaultAction::FailDisk { .. }
        | FaultAction::Fill { .. } => true,
        FaultAction::Slow { .. }
        | FaultAction::Expire { .. }
        | FaultAction::Reconfigure { .. }
        | FaultAction::SlowDisk { .. }
        | FaultAction::LoseReply { .. }
        | FaultAction::Disconnect { .. }
        | FaultAction::JumpClock { .. }
        | FaultAction::DriftClock { .. }
        | FaultAction::Heal { .. } => false,
    }
}

/// Whether what a disk holds is not what it was, even when the fault is over.
fn damages(action: &FaultAction) -> bool {
    matches!(
        action,
        FaultAction::Wipe { .. }
            | FaultAction::Rot { .. }
            | FaultAction::Misdirect { .. }
            | FaultAction::FailDisk { .. }
    )
}
