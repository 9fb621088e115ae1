//! Elasticsearch's own tests of allocation — decides whether clusters end as theirs do. It never times anything.

use super::*;
use crate::search::allocation::info::{DiskUsage, ShardLoad};

/// Racks, as AwarenessAllocationTests sets them up.
fn racks(nodes: &[(u16, &str)]) -> Cluster {
    let mut cluster = Cluster::of(0);
    cluster.set(&[
        ("cluster.routing.allocation.awareness.attributes", "rack_id"),
        ("cluster.routing.allocation.allow_rebalance", "always"),
        ("cluster.routing.allocation.cluster_concurrent_rebalance", "-1"),
        ("cluster.routing.allocation.node_concurrent_incoming_recoveries", "10"),
        ("cluster.routing.allocation.node_concurrent_outgoing_recoveries", "10"),
        ("cluster.routing.allocation.node_initial_primaries_recoveries", "10"),
    ]);
    for (node, rack) in nodes {
        cluster.join_with(*node, &[("rack_id", rack)]);
    }
    cluster
}

fn started(cluster: &Cluster, node: u16) -> usize {
    cluster.count(node, |copy| copy.state == CopyState::Started)
}

#[test]
fn awareness_added_1_one_copy_goes_to_the_new_rack() {
    let mut cluster = racks(&[(1, "r1"), (2, "r1")]);
    cluster.index("a", 1, 1);
    cluster.converge();
    cluster.join_with(3, &[("rack_id", "r2")]);
    cluster.reroute();
    assert_eq!((cluster.relocations(), cluster.initializing()[0].2), (1, HostId::search(3)));
    cluster.converge();
    cluster.join_with(4, &[("rack_id", "r3")]);
    assert_eq!(cluster.reroute(), 0);
}

#[test]
fn awareness_added_3_half_of_the_copies_go_to_the_new_rack() {
    let mut cluster = racks(&[(1, "r1"), (2, "r1")]);
    cluster.index("a", 5, 1);
    cluster.converge();
    cluster.join_with(3, &[("rack_id", "r2")]);
    cluster.reroute();
    assert_eq!(cluster.relocations(), 5);
    cluster.converge();
    assert_eq!((started(&cluster, 3), started(&cluster, 1) + started(&cluster, 2)), (5, 5));
    cluster.join_with(4, &[("rack_id", "r3")]);
    cluster.converge();
    assert!(started(&cluster, 4) > 0);
    assert_eq!(cluster.reroute(), 0);
}

#[test]
fn awareness_added_4_racks_are_even_with_two_indices() {
    let mut cluster = racks(&[(1, "r1"), (2, "r1")]);
    cluster.index("a", 5, 1);
    cluster.index("b", 5, 1);
    cluster.converge();
    cluster.join_with(3, &[("rack_id", "r2")]);
    cluster.converge();
    assert_eq!([1, 2, 3].map(|node| started(&cluster, node)), [5, 5, 10]);
    cluster.join_with(4, &[("rack_id", "r3")]);
    cluster.converge();
    assert_eq!([1, 2, 3, 4].map(|node| started(&cluster, node)), [5, 5, 5, 5]);
}

#[test]
fn awareness_added_5_missing_copy_goes_to_the_new_rack() {
    let mut cluster = racks(&[(1, "r1"), (2, "r1")]);
    cluster.index("a", 1, 2);
    cluster.converge();
    assert_eq!(cluster.unassigned(), 1);
    cluster.join_with(3, &[("rack_id", "r2")]);
    cluster.reroute();
    assert_eq!(cluster.initializing()[0].2, HostId::search(3));
    cluster.converge();
    cluster.join_with(4, &[("rack_id", "r3")]);
    cluster.reroute();
    assert_eq!((cluster.relocations(), cluster.initializing()[0].2), (1, HostId::search(4)));
}

#[test]
fn awareness_added_6_one_copy_goes_to_each_new_rack() {
    let mut cluster = racks(&[(1, "r1"), (2, "r1"), (3, "r1"), (4, "r1")]);
    cluster.index("a", 1, 3);
    cluster.converge();
    for (joined, rack) in [(5, "r2"), (6, "r3")] {
        cluster.join_with(joined, &[("rack_id", rack)]);
        cluster.reroute();
        let targets: Vec<_> = cluster.initializing().into_iter().map(|(_, _, node)| node).collect();
        assert_eq!(targets, [HostId::search(joined)]);
        cluster.converge();
    }
}

/// Forced awareness: values that no node has keep their share of the copies back.
#[test]
fn copies_of_an_absent_forced_value_stay_unassigned() {
    let mut cluster = racks(&[(1, "r1"), (2, "r1")]);
    cluster.set(&[
        ("cluster.routing.allocation.awareness.attributes", "rack_id"),
        ("cluster.routing.allocation.awareness.force.rack_id.values", "r1,r2"),
    ]);
    cluster.index("a", 1, 1);
    cluster.converge();
    assert_eq!(cluster.unassigned(), 1);
    cluster.join_with(3, &[("rack_id", "r2")]);
    cluster.converge();
    assert_eq!((cluster.unassigned(), started(&cluster, 3)), (0, 1));
}

/// DiskThresholdDeciderTests.
#[test]
fn full_disks_get_no_copies_and_lose_those_they_have() {
    let marks = |low, high| {
        [
            ("cluster.routing.allocation.disk.watermark.low", low),
            ("cluster.routing.allocation.disk.watermark.high", high),
        ]
    };
    let mut cluster = Cluster::of(2);
    cluster.set(&marks("70%", "80%"));
    let load = ShardLoad { bytes: 10, write_load_micros: 0 };
    cluster.info.shards.insert("a/0".parse().unwrap(), load);
    for (node, free) in [(1, 10), (2, 35), (3, 60), (4, 80)] {
        cluster.info.disks.insert(HostId::search(node), DiskUsage { total: 100, free });
    }
    cluster.index("a", 1, 1);
    cluster.converge();
    assert_eq!([started(&cluster, 1), started(&cluster, 2)], [0, 1]);
    cluster.join(3);
    cluster.converge();
    let expected = [0, 1, 1, 0];
    assert_eq!([1, 2, 3, 4].map(|node| started(&cluster, node)), expected);
    for (low, high) in [("60%", "70%"), ("50%", "60%")] {
        cluster.set(&marks(low, high));
        cluster.converge();
        assert_eq!([1, 2, 3, 4].map(|node| started(&cluster, node)), expected, "{low} {high}");
    }
    cluster.join(4);
    cluster.converge();
    assert_eq!([1, 2, 3, 4].map(|node| started(&cluster, node)), [0, 0, 1, 1]);
}

fn twelve_indices(settings: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::of(25);
    cluster.set(settings);
    for index in 'a'..='l' {
        cluster.index(&index.to_string(), 2, 2);
    }
    cluster.converge();
    cluster
}

/// BalanceConfigurationTests: index factor 1, shard factor 0.
#[test]
fn balance_by_index_alone_evens_out_each_index() {
    let only_index = [
        ("cluster.routing.allocation.balance.shard", "0"),
        ("cluster.routing.allocation.balance.index", "1"),
    ];
    let mut cluster = twelve_indices(&only_index);
    let check = |cluster: &Cluster, nodes: std::ops::RangeInclusive<u16>| {
        let most = (6.0 / nodes.clone().count() as f64 + 1.0).ceil() as u32;
        for (node, index) in nodes.flat_map(|node| ('a'..='l').map(move |index| (node, index))) {
            assert!(cluster.copies_of(&index.to_string(), node) <= most);
        }
    };
    check(&cluster, 1..=25);
    cluster.join(26);
    cluster.converge();
    check(&cluster, 1..=26);
    (14..=26).for_each(|node| cluster.leave(node));
    cluster.converge();
    check(&cluster, 1..=13);
}

/// BalanceConfigurationTests: index factor 0, shard factor 1.
#[test]
fn balance_by_shard_alone_evens_out_all_copies() {
    let only_shard = [
        ("cluster.routing.allocation.balance.shard", "1"),
        ("cluster.routing.allocation.balance.index", "0"),
    ];
    let mut cluster = twelve_indices(&only_shard);
    (1..=25).for_each(|node| assert!((1..=4).contains(&started(&cluster, node))));
    cluster.join(26);
    cluster.converge();
    (1..=26).for_each(|node| assert!((1..=4).contains(&started(&cluster, node))));
    (14..=26).for_each(|node| cluster.leave(node));
    cluster.converge();
    (1..=13).for_each(|node| assert!((4..=7).contains(&started(&cluster, node))));
}

/// How uneven a cluster is: the sum of the squares of all counts.
fn unevenness(cluster: &Cluster) -> u64 {
    let square = |count: u32| u64::from(count) * u64::from(count);
    let tally = Tally::of(&cluster.state, &cluster.info);
    let of_node = |node: HostId| {
        let by_index = cluster.state.indices.keys().map(|index| 55 * square(tally.copies_of(index, node)));
        45 * square(tally.copies(node)) + by_index.sum::<u64>()
    };
    cluster.state.nodes.keys().map(|node| of_node(*node)).sum()
}

/// The layout of #88384, from the vectors.
fn layout_of_88384() -> Cluster {
    let text = include_str!("../../../../tests/vectors/balancer.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    let scenarios = vectors["scenarios"].as_array().unwrap();
    let found = scenarios.iter().find(|scenario| scenario["src"] == "issue #88384").unwrap();
    let mut cluster = Cluster::of(3);
    for (index, counts) in found["layout"].as_object().unwrap() {
        cluster.index(index, 10, 0);
        let counts = counts.as_array().unwrap().iter().map(|count| count.as_u64().unwrap() as usize);
        let nodes =
            counts.zip(1..).flat_map(|(count, node)| std::iter::repeat_n(HostId::search(node), count));
        for (node, number) in nodes.zip(0..) {
            let shard = ShardId { index: index.as_str().into(), number };
            cluster.state.assign(&shard, 0, node, None);
        }
    }
    cluster.start_all();
    assert_eq!([1, 2, 3].map(|node| cluster.count(node, any)), [24, 24, 22]);
    cluster
}

/// E1, Elasticsearch #88384, and E2, #87279: every move makes the cluster more even, whatever is throttled.
#[test]
fn no_move_leaves_the_cluster_as_uneven_as_it_was() {
    for limit in [1, 2, 5] {
        let mut cluster = layout_of_88384();
        cluster.settings.incoming_recoveries = limit;
        cluster.settings.outgoing_recoveries = limit;
        cluster.settings.concurrent_rebalance = Some(limit + 2);
        loop {
            let before = unevenness(&cluster);
            let moves = cluster.reroute();
            assert!(moves == 0 || unevenness(&cluster) < before, "{:?}", cluster.moves);
            if moves + cluster.start_all() == 0 {
                break;
            }
        }
        assert_balanced(&cluster);
        assert!(cluster.relocations() <= 4, "{:?}", cluster.moves);
    }
}

/// E4, Elasticsearch #45177: what was placed in the same round counts, so that no disk is filled beyond its
/// watermark.
#[test]
fn copies_placed_in_one_round_do_not_overfill_a_disk() {
    let mut cluster = Cluster::of(2);
    cluster.settings.initial_primaries = 100;
    for node in 1..=2 {
        cluster.info.disks.insert(HostId::search(node), DiskUsage { total: 1_000, free: 390 });
    }
    cluster.index("a", 10, 0);
    for number in 0..10 {
        let shard = ShardId { index: "a".into(), number };
        cluster.info.shards.insert(shard, ShardLoad { bytes: 100, write_load_micros: 0 });
    }
    cluster.reroute();
    assert_eq!([1, 2].map(|node| cluster.count(node, any)), [2, 2], "610 + 3 x 100 is above 90 %");
    assert_eq!(cluster.unassigned(), 6);
}

/// E7, Elasticsearch #17698: a copy leaves an excluded node though the cluster is yellow.
#[test]
fn excluded_node_is_drained_while_the_cluster_is_yellow() {
    let mut cluster = Cluster::of(3);
    cluster.index("a", 2, 1);
    cluster.index("yellow", 1, 3);
    cluster.converge();
    assert_eq!(cluster.unassigned(), 1);
    let held = cluster.count(1, |copy| copy.state == CopyState::Started);
    assert!(held > 0);
    cluster.set(&[("cluster.routing.allocation.exclude._name", "search-1")]);
    cluster.converge();
    let yellow = cluster.copies_of("yellow", 1);
    assert_eq!(cluster.count(1, any) as u32, yellow, "only what has nowhere to go is left");
    assert_eq!(cluster.copies_of("a", 1), 0);
}

/// E8, Elasticsearch #3580: a pair of nodes between which nothing may move does not stop the others.
#[test]
fn balance_goes_on_past_a_pair_that_may_not_move() {
    let mut cluster = Cluster::of(4);
    cluster.index("a", 12, 0);
    for number in 0..12 {
        let shard = ShardId { index: "a".into(), number };
        cluster.state.assign(&shard, 0, HostId::search(if number < 8 { 1 } else { 2 }), None);
    }
    cluster.start_all();
    cluster.set(&[("cluster.routing.allocation.exclude._name", "search-3")]);
    cluster.converge();
    assert_eq!(cluster.count(3, any), 0);
    assert!(cluster.count(4, any) >= 3);
}

/// E9, Elasticsearch #14387: nothing is balanced while a copy waits for its node.
#[test]
fn nothing_is_balanced_while_a_copy_waits_for_its_node() {
    let (mut cluster, ..) = bereft();
    cluster.set(&[("cluster.routing.allocation.allow_rebalance", "always")]);
    cluster.index("b", 6, 0);
    for number in 0..6 {
        let shard = ShardId { index: "b".into(), number };
        let first = *cluster.state.nodes.keys().next().unwrap();
        cluster.state.assign(&shard, 0, first, None);
    }
    cluster.start_all();
    cluster.now = Instant(59);
    assert_eq!(cluster.reroute(), 0);
    cluster.now = Instant(60);
    cluster.reroute();
    assert!(cluster.relocations() > 0);
}

#[test]
fn limits_and_enable_keep_copies_unassigned() {
    let mut cluster = Cluster::of(2);
    cluster.set(&[("cluster.routing.allocation.total_shards_per_node", "2")]);
    cluster.index("a", 6, 0);
    cluster.converge();
    assert_eq!((cluster.count(1, any), cluster.count(2, any), cluster.unassigned()), (2, 2, 2));
    cluster.set(&[("cluster.routing.allocation.enable", "none")]);
    assert_eq!(cluster.reroute(), 0);
    cluster.set(&[("cluster.routing.allocation.enable", "primaries")]);
    cluster.index("b", 1, 1);
    cluster.converge();
    assert_eq!(cluster.unassigned(), 1, "the replica");
}

#[derive(Debug, Clone)]
struct Whim {
    exclude: u16,
    enable: &'static str,
    limit: u32,
    incoming: u32,
}

fn whim() -> impl Strategy<Value = Whim> {
    let enable = prop::sample::select(vec!["all", "primaries", "new_primaries", "none"]);
    (0u16..8, enable, 1u32..10, 0u32..3).prop_map(|(exclude, enable, limit, incoming)| Whim {
        exclude,
        enable,
        limit,
        incoming,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// RandomAllocationDeciderTests: whatever deciders said, once they all say yes everything is started and even.
    #[test]
    fn whims_of_deciders_leave_no_trace(
        whims in prop::collection::vec(whim(), 0..12),
        shapes in prop::collection::vec((1u32..5, 0u32..3), 1..5),
        kind in 0usize..3,
    ) {
        let mut cluster = Cluster::of(6);
        cluster.allocator = allocators()[kind].make();
        for ((shards, replicas), number) in shapes.into_iter().zip(0..) {
            cluster.index(&format!("i{number}"), shards, replicas);
        }
        for whim in whims {
            cluster.set(&[
                ("cluster.routing.allocation.exclude._name", &format!("search-{}", whim.exclude)),
                ("cluster.routing.allocation.enable", whim.enable),
                ("cluster.routing.allocation.total_shards_per_node", &whim.limit.to_string()),
                ("cluster.routing.allocation.node_concurrent_incoming_recoveries", &whim.incoming.to_string()),
            ]);
            cluster.reroute();
            cluster.start_all();
        }
        cluster.set(&[]);
        cluster.converge();
        prop_assert_eq!(cluster.unassigned(), 0);
        let all: usize = (1..=6).map(|node| started(&cluster, node)).sum();
        let average = all as f64 / 6.0;
        for node in 1..=6 {
            let count = started(&cluster, node) as f64;
            prop_assert!((count - average).abs() <= (average * 0.1).max(2.0), "{} of {}", count, average);
        }
        cluster.moves.clear();
        prop_assert_eq!(cluster.reroute(), 0, "a fixpoint stays");
    }

    /// With sizes and loads of all kinds, too, moves end, and none is undone by the next.
    #[test]
    fn any_sizes_come_to_a_fixpoint(
        sizes in prop::collection::vec((0u64..200_000_000_000, 0u64..4_000_000), 6..20),
        first in 1u16..5,
        kind in 0usize..3,
    ) {
        let mut cluster = Cluster::of(first);
        cluster.allocator = allocators()[kind].make();
        cluster.index("a", sizes.len() as u32, 1);
        for ((bytes, write_load_micros), number) in sizes.into_iter().zip(0..) {
            let shard = ShardId { index: "a".into(), number };
            cluster.info.shards.insert(shard, ShardLoad { bytes, write_load_micros });
        }
        cluster.converge();
        (first + 1..7).for_each(|node| cluster.join(node));
        cluster.moves.clear();
        cluster.converge();
        for pair in cluster.moves.windows(2) {
            if let (Action::Relocate { from, to, .. }, Action::Relocate { from: then_from, to: then_to, .. }) =
                (&pair[0].action, &pair[1].action)
            {
                let is_undone = pair[0].shard == pair[1].shard && (from, to) == (then_to, then_from);
                prop_assert!(!is_undone, "{} is undone", pair[0]);
            }
        }
    }
}
