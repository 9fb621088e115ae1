//! Tests of disks, delays and retries — decides whether known bugs of Elasticsearch's allocation are none here. It never
//! times anything.

use super::*;
use crate::search::allocation::info::{DiskUsage, ShardLoad};

impl Cluster {
    fn disk(&mut self, number: u16, total: u64, free: u64) {
        self.info.disks.insert(HostId::search(number), DiskUsage { total, free });
    }

    fn size(&mut self, index: &str, number: u32, bytes: u64) {
        let shard = ShardId { index: index.into(), number };
        self.info.shards.insert(shard, ShardLoad { bytes, write_load_micros: 0 });
    }

    /// Disks of this size, as full as what is on them says, everything at `bytes` a copy.
    fn measure(&mut self, total: u64, base: &[u64], bytes: u64) {
        for (number, base) in (1..).zip(base) {
            let held = self.count(number, any) as u64;
            self.disk(number, total, total.saturating_sub(base + held * bytes));
            let copies = self.state.shards().flat_map(|(_, table)| &table.copies);
            let here = copies.filter(|copy| copy.node == Some(HostId::search(number)));
            let counted = here.filter_map(|copy| Some((copy.allocation?, bytes))).collect();
            self.info.counted.insert(HostId::search(number), counted);
        }
    }
}

/// E3, Elasticsearch #128021: reports that change no more than figures do not start the computation over.
#[test]
fn goal_is_reached_however_often_disks_are_measured() {
    let rounds = |measured: bool| {
        let mut cluster = Cluster::of(8);
        cluster.allocator = AllocatorFactory::new(DesiredBalance::default).make();
        for index in ["a", "b", "c", "d", "e"] {
            cluster.index(index, 8, 1);
        }
        for round in 0..200 {
            for number in (1..=8).filter(|_| measured) {
                cluster.disk(number, 1_000_000, 900_000 - 37 * round - u64::from(number));
            }
            let moves = cluster.reroute();
            if moves + cluster.start_all() == 0 {
                assert_eq!((cluster.unassigned(), cluster.relocations()), (0, 0));
                return round;
            }
        }
        panic!("no end");
    };
    assert_eq!(rounds(true), rounds(false));
}

/// E5, Elasticsearch 28d3c44: what is about to leave a disk is on it until it has left.
#[test]
fn bytes_of_leaving_copies_are_not_given_to_those_that_come() {
    let mut cluster = Cluster::of(2);
    cluster.index("a", 2, 0);
    for number in 0..2 {
        cluster.state.assign(&ShardId { index: "a".into(), number }, 0, HostId::search(1), None);
        cluster.size("a", number, 100);
    }
    cluster.start_all();
    cluster.disk(1, 1_000, 160);
    cluster.disk(2, 1_000, 900);
    for number in 0..2 {
        let shard = ShardId { index: "a".into(), number };
        let id = cluster.state.shard(&shard).unwrap().copies[0].allocation.unwrap();
        cluster.state.relocate(&shard, id, HostId::search(2));
    }
    cluster.index("b", 1, 0);
    cluster.size("b", 0, 100);
    cluster.set(&[("cluster.routing.allocation.require._name", "search-1")]);
    cluster.reroute();
    assert_eq!(cluster.copies_of("b", 1), 0, "840 + 100 is above 90 %, though 200 will leave");
    cluster.start_all();
    cluster.disk(1, 1_000, 360);
    cluster.reroute();
    assert_eq!(cluster.copies_of("b", 1), 1);
}

/// E6: a copy that left a node beyond the high watermark does not come back from the next one, even if what is known
/// of disks is old.
#[test]
fn copies_do_not_go_to_and_fro_between_nearly_full_nodes() {
    for stale in [1, 3, 7] {
        let mut cluster = Cluster::of(3);
        cluster.index("a", 6, 0);
        for number in 0..6 {
            cluster.state.assign(&ShardId { index: "a".into(), number }, 0, HostId::search(1), None);
            cluster.size("a", number, 50);
        }
        cluster.start_all();
        let base = [640, 700, 730];
        let mut hops = BTreeSet::new();
        for round in 0..60 {
            if round % stale == 0 {
                cluster.measure(1_000, &base, 50);
            }
            cluster.reroute();
            cluster.start_all();
        }
        cluster.measure(1_000, &base, 50);
        for made in &cluster.moves {
            let Action::Relocate { from, to, .. } = made.action else { continue };
            assert!(!hops.contains(&(made.shard.clone(), to, from)), "{:?}", cluster.moves);
            hops.insert((made.shard.clone(), from, to));
        }
        assert!(!hops.is_empty() && cluster.reroute() == 0, "{:?}", cluster.moves);
        assert!(cluster.info.disks.values().all(|disk| disk.free >= 100), "{:?}", cluster.info.disks);
    }
}

/// E10, Elasticsearch #14765: at the moment of its deadline a copy does not wait any more, by one and the same clock.
#[test]
fn copy_is_placed_at_the_very_moment_of_its_deadline() {
    let (mut cluster, ..) = bereft();
    let at = *cluster.deadlines.values().next().unwrap();
    cluster.now = Instant(at.0 - 1);
    assert_eq!(cluster.reroute(), 0);
    cluster.now = at;
    assert_eq!(cluster.reroute(), 1);
}

/// E12, Elasticsearch #16346: a copy that failed is another one when it is assigned again, so that what is said of the
/// first does not concern the second; and a primary that keeps its identity is not tried for ever.
#[test]
fn failed_copy_is_assigned_again_under_another_identity() {
    let mut cluster = Cluster::of(2);
    cluster.index("a", 1, 1);
    cluster.converge();
    let shard: ShardId = "a/0".parse().unwrap();
    let replica = |cluster: &Cluster| {
        let table = cluster.state.shard(&shard).unwrap();
        table.copies.iter().find(|copy| !copy.primary).unwrap().clone()
    };
    let first = replica(&cluster);
    let term = cluster.state.shard(&shard).unwrap().term;
    let fail = |cluster: &mut Cluster, copy: &ShardCopy| {
        cluster.state.copy_failed(&shard, copy.allocation.unwrap(), term, copy.node.unwrap(), "it failed")
    };
    assert!(fail(&mut cluster, &first));
    cluster.reroute();
    let second = replica(&cluster);
    assert!(second.node.is_some() && second.allocation != first.allocation);
    assert!(!fail(&mut cluster, &first), "the first one is no more");
}

#[test]
fn primary_that_fails_whenever_it_starts_is_left_alone() {
    let mut cluster = Cluster::of(2);
    cluster.index("a", 1, 0);
    cluster.converge();
    let shard: ShardId = "a/0".parse().unwrap();
    let mut tries = 0;
    loop {
        let table = cluster.state.shard(&shard).unwrap();
        let Some(copy) = table.primary() else { break };
        let (id, term, node) = (copy.allocation.unwrap(), table.term, copy.node.unwrap());
        assert!(cluster.state.copy_failed(&shard, id, term, node, "it failed"));
        cluster.reroute();
        tries += 1;
        assert!(tries < 20, "for ever");
    }
    assert_eq!(tries, 5);
    cluster.state.retry_failed();
    assert_eq!(cluster.reroute(), 1);
}

/// ReplicaShardAllocator.processExistingRecoveries: a replica that is built anew is given up for a node that comes back
/// with an in-sync copy.
#[test]
fn recovery_is_given_up_for_a_node_with_a_better_copy() {
    let mut cluster = Cluster::of(3);
    cluster.index("a", 1, 1);
    cluster.converge();
    let shard: ShardId = "a/0".parse().unwrap();
    let replica = |cluster: &Cluster| {
        let table = cluster.state.shard(&shard).unwrap();
        table.copies.iter().find(|copy| !copy.primary).unwrap().clone()
    };
    let good = replica(&cluster);
    let home = good.node.unwrap();
    cluster.leave(home.number);
    cluster.reroute();
    let anew = replica(&cluster);
    assert!(anew.state == CopyState::Initializing && anew.node != good.node);
    cluster.join(home.number);
    cluster.reroute();
    let kept = replica(&cluster);
    assert_eq!((kept.allocation, kept.node), (good.allocation, Some(home)));
    assert_eq!(kept.unassigned.unwrap().reason.name(), "REALLOCATED_REPLICA");
    cluster.converge();
    assert_eq!(cluster.unassigned(), 0);
}
