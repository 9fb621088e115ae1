//! Parts — decides which pairs of hosts a cut or a partition separates. It never cuts a link.

use std::collections::BTreeSet;

use super::Strike;
use crate::{
    name::{HostId, HostKind},
    scenario::{
        dice::FAULT_PARTITION,
        plan::{Direction, LinkKind, PartitionShape, Selector},
    },
    sim::{
        dice::Die,
        world::{World, hosts_of},
    },
};

impl World {
    /// The ordered pairs that a cut or a slow link concerns.
    pub(super) fn pairs(
        &self,
        from: &[HostId],
        to: Option<&Selector>,
        direction: Direction,
        links: Option<LinkKind>,
        strike: &Strike,
    ) -> Vec<(HostId, HostId)> {
        let others = match (to, links) {
            (Some(to), _) => self.meant(to, strike),
            (None, Some(_)) => hosts_of(self.plan()),
            // A cut is of the cluster's network; clients have their own way in.
            (None, None) => self.servers_and_nodes(),
        };
        let mut pairs = Vec::new();
        for (a, b) in from.iter().flat_map(|a| others.iter().map(move |b| (*a, *b))) {
            if from.contains(&b) && (links.is_none() || b <= a) || !links.is_none_or(|kind| joins(kind, a, b))
            {
                continue;
            }
            if direction != Direction::Incoming {
                pairs.push((a, b));
            }
            if direction != Direction::Outgoing {
                pairs.push((b, a));
            }
        }
        pairs
    }

    fn servers_and_nodes(&self) -> Vec<HostId> {
        let nodes = self.plan().nodes.iter().map(|node| node.host);
        self.plan().servers().chain(nodes).collect()
    }

    /// The ordered pairs that a partition separates.
    pub(super) fn separated(
        &self,
        shape: PartitionShape,
        hosts: &[HostId],
        strike: &Strike,
    ) -> Vec<(HostId, HostId)> {
        let mut order = hosts.to_vec();
        shuffle(&mut order, self.die(FAULT_PARTITION, strike));
        let roles = self.roles();
        let zone = |host: HostId| roles.zone(host);
        let mut pairs = Vec::new();
        for (a, b) in (0..order.len()).flat_map(|a| (0..order.len()).map(move |b| (a, b))) {
            let apart = match shape {
                PartitionShape::Zones => {
                    let zones = (zone(order[a]), zone(order[b]));
                    matches!(zones, (Some(one), Some(other)) if one != other)
                }
                shape => is_separated(shape, (a, b), order.len()),
            };
            if apart {
                pairs.push((order[a], order[b]));
            }
        }
        pairs
    }
}

/// Whether the hosts of these places in a group of so many do not reach each other.
fn is_separated(shape: PartitionShape, (a, b): (usize, usize), count: usize) -> bool {
    let half = count / 2;
    match shape {
        PartitionShape::Halves => (a < half) != (b < half),
        PartitionShape::IsolateOne => (a == 0) != (b == 0),
        PartitionShape::Minority => {
            let minority = count.saturating_sub(1) / 2;
            (a < minority) != (b < minority)
        }
        PartitionShape::Bridge => {
            // The first is the bridge.
            let side = |place: usize| place <= count.saturating_sub(1) / 2;
            a != 0 && b != 0 && side(a) != side(b)
        }
        PartitionShape::Ring => {
            let steps = a.abs_diff(b).min(count - a.abs_diff(b));
            // On each side so many that all of them and itself are a majority.
            steps > (count / 2).div_ceil(2)
        }
        PartitionShape::Zones => false,
    }
}

fn joins(kind: LinkKind, a: HostId, b: HostId) -> bool {
    let is =
        |one: HostKind, other: HostKind| (a.kind, b.kind) == (one, other) || (b.kind, a.kind) == (one, other);
    match kind {
        LinkKind::Zookeeper => is(HostKind::ZooKeeper, HostKind::ZooKeeper),
        LinkKind::Nodes => is(HostKind::Search, HostKind::Search),
        LinkKind::Clients => is(HostKind::Search, HostKind::Client),
        LinkKind::Sessions => {
            is(HostKind::ZooKeeper, HostKind::Search) || is(HostKind::ZooKeeper, HostKind::Client)
        }
    }
}

fn shuffle(hosts: &mut [HostId], mut die: Die) {
    for last in (1..hosts.len()).rev() {
        hosts.swap(last, die.below(last as u64 + 1) as usize);
    }
}

/// The hosts of some pairs, each once.
pub(super) fn ends_of(pairs: &[(HostId, HostId)]) -> Vec<HostId> {
    let hosts: BTreeSet<_> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
    hosts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(shape: PartitionShape, from: usize, count: usize) -> Vec<usize> {
        (0..count).filter(|to| !is_separated(shape, (from, *to), count)).collect()
    }

    #[test]
    fn separation_is_mutual_and_nobody_is_separated_from_itself() {
        use PartitionShape::{Bridge, Halves, IsolateOne, Minority, Ring};
        for shape in [Bridge, Halves, IsolateOne, Minority, Ring] {
            for count in 1..9 {
                for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
                    let apart = is_separated(shape, (a, b), count);
                    assert_eq!(apart, is_separated(shape, (b, a), count), "{shape:?} of {count}");
                    assert!(!apart || a != b);
                }
            }
        }
    }

    #[test]
    fn each_of_a_ring_reaches_a_majority_of_its_own() {
        for count in [5, 7] {
            let all: Vec<_> = (0..count).map(|from| reached(PartitionShape::Ring, from, count)).collect();
            assert!(all.iter().all(|reached| reached.len() > count / 2 && reached.len() < count), "{all:?}");
            let distinct: BTreeSet<_> = all.iter().collect();
            assert_eq!(distinct.len(), count);
        }
    }

    #[test]
    fn bridge_is_reached_by_two_halves_that_do_not_reach_each_other() {
        assert_eq!(reached(PartitionShape::Bridge, 0, 5), [0, 1, 2, 3, 4]);
        assert_eq!(reached(PartitionShape::Bridge, 1, 5), [0, 1, 2]);
        assert_eq!(reached(PartitionShape::Bridge, 4, 5), [0, 3, 4]);
    }

    #[test]
    fn links_are_told_by_their_ends() {
        let [server, node, client] = [HostId::zookeeper(1), HostId::search(1), HostId::client(1)];
        for (a, b) in [(server, node), (client, server), (server, client)] {
            assert!(joins(LinkKind::Sessions, a, b) && !joins(LinkKind::Clients, a, b));
        }
        assert!(joins(LinkKind::Clients, client, node) && joins(LinkKind::Nodes, node, node));
        assert!(joins(LinkKind::Zookeeper, server, server) && !joins(LinkKind::Zookeeper, server, node));
    }
}
