//! Tests of primaries that come back — decides where one goes whose data several nodes have. It never times
//! anything.

use super::*;

/// A shard whose primary's node has been left by the primary and its twin, both of whose data is there again. Gives the
/// node of the last primary, and the other.
fn bereft_of_both() -> (Cluster, HostId, HostId) {
    let mut cluster = Cluster::of(2);
    cluster.index("a", 1, 1);
    cluster.converge();
    let table = cluster.state.shards().next().unwrap().1;
    let primary = table.primary().unwrap().node.unwrap();
    let other = table.copies.iter().find(|copy| !copy.primary).unwrap().node.unwrap();
    let mut members = cluster.state.nodes.clone();
    members.values_mut().for_each(|entry| entry.session.0 += 100);
    cluster.state.set_members(&members);
    (cluster, primary, other)
}

fn home_of_primary(cluster: &mut Cluster) -> Option<HostId> {
    cluster.reroute();
    cluster.state.shards().next().unwrap().1.primary().and_then(|primary| primary.node)
}

/// `PrimaryShardAllocator`: of the nodes with the data the first that deciders let have it.
#[test]
fn primary_comes_back_where_it_is_allowed_if_several_nodes_have_its_data() {
    let (mut cluster, primary, other) = bereft_of_both();
    cluster.set(&[("cluster.routing.allocation.exclude._name", &primary.to_string())]);
    assert_eq!(home_of_primary(&mut cluster), Some(other));
}

/// "This setting does not affect the recovery of local primary shards"
#[test]
fn primary_is_forced_upon_its_node_if_it_is_allowed_nowhere() {
    for (name, value) in [("exclude._name", "search-*"), ("enable", "none")] {
        let (mut cluster, primary, _) = bereft_of_both();
        cluster.set(&[(&format!("cluster.routing.allocation.{name}"), value)]);
        assert_eq!(home_of_primary(&mut cluster), Some(primary), "{name}");
    }
}

/// `MaxRetryAllocationDecider.canForceAllocatePrimary`
#[test]
fn primary_that_has_failed_too_often_is_not_forced() {
    let (mut cluster, ..) = bereft_of_both();
    let shard = "a/0".parse().unwrap();
    let (table, _) = cluster.state.table_mut(&shard).unwrap();
    table.copies.iter_mut().for_each(|copy| copy.failures = 5);
    assert_eq!(home_of_primary(&mut cluster), None);
}
