//! Tests of disks and commands — decides whether the controller acts on what nodes say of their disks, and takes a primary
//! away only when its node knows. It never measures one.

use super::*;
use crate::{
    scenario::plan::ReadPolicy,
    search::allocation::{
        info::DiskUsage,
        reroute::{Command, Orders},
    },
};

/// These nodes say that so much of 100 bytes is free.
fn report(bench: &mut Bench<Node>, free: &[(HostId, u64)]) {
    for (host, free) in free {
        let stats = NodeStats { disk: DiskUsage { total: 100, free: *free }, copies: Vec::new() };
        bench.core(*host).stats.push(stats);
        bench.step(*host, Input::Wake);
    }
    bench.run(seconds(1));
}

fn is_blocked(bench: &mut Bench<Node>) -> bool {
    state(bench, C).indices[&"articles".into()].read_only_allow_delete
}

/// SEARCH-DEFECTS E14, Elasticsearch #99333: space that somebody else frees is enough to place what waits for it.
#[test]
fn freed_space_alone_has_copies_placed() {
    let mut bench = cluster(&[]);
    report(&mut bench, &ALL.map(|host| (host, 8)));
    wish(&mut bench, B, 1, "articles");
    bench.run(seconds(3));
    let unassigned = |bench: &mut Bench<Node>| {
        let state = state(bench, A);
        state.shards().flat_map(|(_, table)| table.copies.clone()).filter(|copy| copy.node.is_none()).count()
    };
    assert_eq!(unassigned(&mut bench), 4, "every disk is beyond the high watermark");
    report(&mut bench, &[(A, 50), (B, 50)]);
    bench.run(seconds(2));
    assert_eq!(unassigned(&mut bench), 0);
}

#[test]
fn index_is_blocked_beyond_the_flood_stage_and_released_when_there_is_room() {
    let mut bench = green(&[]);
    // Copies stay where they are.
    let enable = ("cluster.routing.allocation.enable".to_owned(), Some("none".to_owned()));
    ask(&mut bench, B, 2, AdminTask::ClusterSettings { changes: [enable].into() });
    report(&mut bench, &ALL.map(|host| (host, 50)));
    assert!(!is_blocked(&mut bench));
    let primary = state(&mut bench, A).shards().next().unwrap().1.primary().unwrap().node.unwrap();
    report(&mut bench, &[(primary, 2)]);
    assert!(is_blocked(&mut bench));
    report(&mut bench, &[(primary, 7)]);
    assert!(is_blocked(&mut bench), "it is beyond the high watermark still");
    report(&mut bench, &[(primary, 50)]);
    assert!(!is_blocked(&mut bench));
    let is_flood = |event: &&EventKind| {
        matches!(event, EventKind::IndexBlocked { .. } | EventKind::IndexReleased { .. })
    };
    assert_eq!(bench.notes(Some(A)).filter(is_flood).count(), 2);
}

/// Under the policy `lease` the next primary comes only after the last one's node has applied that it is to go.
#[test]
fn primary_under_lease_is_taken_away_when_its_node_knows_of_it() {
    let mut bench = Bench::new();
    for host in ALL {
        let search = SearchConfig { read_policy: ReadPolicy::Lease, ..search_config() };
        bench.start(host, node_with(host, &[], search));
        bench.run(seconds(1));
    }
    wish(&mut bench, B, 1, "articles");
    bench.run(seconds(2));
    let now = state(&mut bench, A);
    let (shard, table) = now.shards().find(|(_, table)| table.primary().unwrap().node != Some(A)).unwrap();
    let primary = table.primary().unwrap().node.unwrap();
    bench.core(primary).tells = false;
    let ShardId { index, number } = shard.clone();
    let cancel = Command::Cancel { index, shard: number, node: primary, allow_primary: true };
    let orders = Orders { commands: vec![cancel], ..Orders::default() };
    ask(&mut bench, A, 2, AdminTask::Reroute(orders));
    bench.run(seconds(2));
    let yields = state(&mut bench, primary);
    assert_eq!(yields.shard(&shard).unwrap().primary().unwrap().node, Some(primary));
    assert!(yields.yielding.contains_key(&shard));
    let core = bench.core(primary);
    core.tells = true;
    core.eager = false;
    // Whatever it applies next, it tells; a change makes it.
    ask(
        &mut bench,
        A,
        3,
        AdminTask::ClusterSettings {
            changes: [("cluster.routing.rebalance.enable".to_owned(), Some("none".to_owned()))].into(),
        },
    );
    bench.run(seconds(2));
    let after = state(&mut bench, A);
    assert_ne!(after.shard(&shard).unwrap().primary().unwrap().node, Some(primary));
    assert!(after.yielding.is_empty());
}
