//! Tests of reroute commands and explanations — decides whether they are refused and told as Elasticsearch does.
//! It never times anything.

use super::*;
use crate::search::{
    allocation::{
        explain::{Subject, explain},
        reroute::{Command, Orders, apply},
    },
    api::ApiError,
};

impl Cluster {
    fn order(&mut self, command: Command) -> Result<(), ApiError> {
        let orders = Orders { commands: vec![command], ..Orders::default() };
        let (state, _) = apply(self.state.clone(), &orders, self.inputs())?;
        self.state = state;
        assert_sound(&self.state);
        Ok(())
    }

    fn refusal(&mut self, command: Command) -> String {
        let before = self.state.clone();
        let error = self.order(command).unwrap_err();
        assert_eq!(
            (error.status, before),
            (if error.kind == "index_not_found_exception" { 404 } else { 400 }, self.state.clone())
        );
        error.reason
    }

    fn told(&self, shard: &str, primary: bool) -> serde_json::Value {
        let subject = Subject { shard: shard.parse().unwrap(), primary, current_node: None };
        explain(&self.state, Some(&subject), self.inputs()).unwrap().body()
    }
}

fn node(number: u16) -> HostId {
    HostId::search(number)
}

fn moving(from: u16, to: u16) -> Command {
    Command::Move { index: "a".into(), shard: 0, from_node: node(from), to_node: node(to) }
}

fn green() -> (Cluster, u16, u16, u16) {
    let mut cluster = Cluster::of(3);
    cluster.index("a", 1, 1);
    cluster.converge();
    let table = cluster.state.shards().next().unwrap().1;
    let primary = table.primary().unwrap().node.unwrap().number;
    let replica = table.copies.iter().find(|copy| !copy.primary).unwrap().node.unwrap().number;
    (cluster, primary, replica, 6 - primary - replica)
}

#[test]
fn copy_moves_where_it_is_ordered_unless_a_decider_objects() {
    let (mut cluster, primary, replica, free) = green();
    assert_eq!(
        cluster.refusal(moving(primary, replica)),
        format!(
            "[move_allocation] can't move [a][0], from search-{primary}, to search-{replica}, since its not allowed, \
             reason: [NO(same_shard: a copy of this shard is already allocated to this node [search-{replica}])]"
        )
    );
    assert!(
        cluster.refusal(moving(free, primary)).ends_with(&format!("failed to find it on node search-{free}"))
    );
    assert_eq!(cluster.refusal(moving(primary, 9)), "failed to resolve [search-9], no matching nodes");
    cluster.order(moving(primary, free)).unwrap();
    assert!(cluster.state.commanded.contains(&"a/0".parse().unwrap()));
    assert!(cluster.refusal(moving(primary, free)).contains("shard is not started"));
    cluster.start_all();
    assert_eq!(cluster.count(free, |copy| copy.primary), 1);
}

/// Elasticsearch's `PendingDesiredBalanceMoves`.
#[test]
fn copy_stays_where_it_was_ordered_to_under_the_desired_balance() {
    let (mut cluster, primary, _, free) = green();
    cluster.allocator = AllocatorFactory::new(DesiredBalance::default).make();
    cluster.converge();
    cluster.order(moving(primary, free)).unwrap();
    cluster.reroute();
    cluster.state.forget_orders();
    cluster.converge();
    assert_eq!(cluster.count(free, |copy| copy.primary), 1);
}

#[test]
fn replica_is_cancelled_and_a_primary_only_if_that_is_allowed() {
    let (mut cluster, primary, replica, free) = green();
    let cancel = |number, allow_primary| Command::Cancel {
        index: "a".into(),
        shard: 0,
        node: node(number),
        allow_primary,
    };
    assert_eq!(
        cluster.refusal(cancel(primary, false)),
        format!(
            "[cancel_allocation] can't cancel [a][0] on node search-{primary}, shard is primary and started"
        )
    );
    assert!(cluster.refusal(cancel(free, true)).contains("can't find [a][0]"));
    cluster.order(cancel(replica, false)).unwrap();
    assert_eq!(cluster.unassigned(), 1);
    assert_eq!(cluster.told("a/0", false)["unassigned_info"]["reason"], "REROUTE_CANCELLED");
    cluster.order(Command::AllocateReplica { index: "a".into(), shard: 0, node: node(free) }).unwrap();
    let replica = Command::AllocateReplica { index: "a".into(), shard: 0, node: node(replica) };
    assert!(cluster.refusal(replica).contains("all copies of [a][0] are already assigned"));
    cluster.start_all();
    cluster.order(cancel(primary, true)).unwrap();
    assert_eq!(cluster.count(free, |copy| copy.primary), 1, "the replica is promoted");
}

/// A cluster whose only good copy is away, while a stale one is here.
fn red() -> (Cluster, u16) {
    let (mut cluster, primary, replica, _) = green();
    let id = cluster
        .state
        .shards()
        .next()
        .unwrap()
        .1
        .copies
        .iter()
        .find(|copy| !copy.primary)
        .unwrap()
        .allocation
        .unwrap();
    cluster.leave(replica);
    let term = cluster.state.shards().next().unwrap().1.term;
    assert!(cluster.state.copy_failed(
        &"a/0".parse().unwrap(),
        id,
        term,
        node(primary),
        "a write went on without it"
    ));
    cluster.leave(primary);
    cluster.join(replica);
    cluster.reroute();
    (cluster, replica)
}

#[test]
fn stale_primary_is_made_only_if_data_loss_is_accepted() {
    let (mut cluster, here) = red();
    assert_eq!(cluster.told("a/0", true)["can_allocate"], "no_valid_shard_copy");
    let stale = |number, accept_data_loss| Command::AllocateStalePrimary {
        index: "a".into(),
        shard: 0,
        node: node(number),
        accept_data_loss,
    };
    assert!(cluster.refusal(stale(here, false)).ends_with("setting the accept_data_loss parameter to true"));
    cluster.join(9);
    assert_eq!(
        cluster.refusal(stale(9, true)),
        "No data for shard [0] of index [a] found on node [search-9]"
    );
    let term = cluster.state.shards().next().unwrap().1.term;
    cluster.order(stale(here, true)).unwrap();
    let table = cluster.state.shards().next().unwrap().1;
    assert_eq!((table.term, table.primary().unwrap().node), (term.next(), Some(node(here))));
    assert_eq!(
        cluster.refusal(stale(here, true)),
        "[allocate_stale_primary] primary [a][0] is already assigned"
    );
    cluster.converge();
    assert_eq!(cluster.unassigned(), 0);
}

#[test]
fn empty_primary_is_made_only_if_data_loss_is_accepted() {
    let (mut cluster, here) = red();
    let empty = |accept_data_loss| Command::AllocateEmptyPrimary {
        index: "a".into(),
        shard: 0,
        node: node(here),
        accept_data_loss,
    };
    assert!(cluster.refusal(empty(false)).contains("can result in data loss"));
    cluster.order(empty(true)).unwrap();
    let table = cluster.state.shards().next().unwrap().1;
    assert!(table.in_sync.is_empty() && table.primary().is_some());
    cluster.converge();
    assert_eq!(cluster.unassigned(), 0);
}

#[test]
fn missing_index_and_shard_are_told() {
    let (mut cluster, ..) = green();
    let replica = |index: &str, shard| Command::AllocateReplica { index: index.into(), shard, node: node(1) };
    assert_eq!(cluster.refusal(replica("b", 0)), "no such index [b]");
    assert_eq!(cluster.refusal(replica("a", 7)), "no such shard [a][7]");
    let refused = |shard: &str, current_node| {
        let subject = Subject { shard: shard.parse().unwrap(), primary: true, current_node };
        explain(&cluster.state, Some(&subject), cluster.inputs()).unwrap_err()
    };
    let error = refused("b/0", None);
    assert_eq!((error.status, &*error.kind), (404, "index_not_found_exception"));
    assert_eq!(refused("a/7", None).status, 400);
    let elsewhere = refused("a/0", Some(node(9)));
    assert_eq!(elsewhere.reason, "unable to find primary shard assigned to node [search-9]");
}

#[test]
fn unassigned_copy_is_explained_node_by_node() {
    let mut cluster = Cluster::of(2);
    cluster.set(&[("cluster.routing.allocation.exclude._name", "search-2")]);
    cluster.index("a", 1, 1);
    cluster.converge();
    let body = cluster.told("a/0", false);
    assert_eq!((&body["current_state"], &body["can_allocate"]), (&"unassigned".into(), &"no".into()));
    assert_eq!(body["unassigned_info"]["reason"], "INDEX_CREATED");
    let nodes = body["node_allocation_decisions"].as_array().unwrap();
    let reasons: Vec<_> = nodes.iter().map(|node| (&node["node_name"], &node["deciders"][0])).collect();
    assert_eq!(reasons.len(), 2);
    for (name, decider) in reasons {
        let (expected, why) = match name.as_str().unwrap() {
            "search-1" => ("same_shard", "a copy of this shard is already allocated to this node [search-1]"),
            _ => (
                "filter",
                "node matches cluster setting [cluster.routing.allocation.exclude] filters [_name:\"search-2\"]",
            ),
        };
        assert_eq!((&decider["decider"], &decider["decision"]), (&expected.into(), &"NO".into()));
        assert_eq!(decider["explanation"], why);
    }
    let body = cluster.told("a/0", true);
    assert_eq!(body["can_remain_on_current_node"], "yes");
    assert_eq!(body["can_rebalance_cluster"], "no");
}

#[test]
fn delayed_copy_is_told_to_wait() {
    let (mut cluster, ..) = bereft();
    cluster.now = Instant(5);
    let body = cluster.told("a/0", false);
    assert_eq!(body["can_allocate"], "allocation_delayed");
    assert_eq!(body["unassigned_info"]["reason"], "NODE_LEFT");
}

/// `explain`: what cannot be done is told with its decider, and the rest is done.
#[test]
fn refused_command_is_explained_and_the_others_are_carried_out() {
    let (cluster, primary, replica, free) = green();
    let commands = vec![moving(primary, replica), moving(primary, free)];
    let orders = Orders { commands, explain: true, ..Orders::default() };
    let (state, explanations) = apply(cluster.state.clone(), &orders, cluster.inputs()).unwrap();
    let told: Vec<_> = explanations.iter().map(|explanation| &explanation.decisions[0]).collect();
    assert_eq!((&*told[0].decider, told[0].decision), ("move_allocation_command", Decision::No));
    assert!(told[0].explanation.starts_with("can't move [a][0]"), "{told:?}");
    assert_eq!((explanations[1].decisions.len(), told[1].decision), (9, Decision::Yes));
    assert!(state.shards().next().unwrap().1.on(node(free)).is_some());
}

/// `ignoreDisable`: an order is carried out though allocation is switched off.
#[test]
fn order_is_carried_out_though_allocation_is_switched_off() {
    let (mut cluster, primary, _, free) = green();
    cluster.set(&[("cluster.routing.allocation.enable", "none")]);
    cluster.order(moving(primary, free)).unwrap();
}

/// The target of a primary's move is given up without allow_primary: its source goes on.
#[test]
fn move_of_a_primary_is_given_up_at_its_target() {
    let (mut cluster, primary, _, free) = green();
    cluster.order(moving(primary, free)).unwrap();
    let (index, shard) = ("a".into(), 0);
    cluster.order(Command::Cancel { index, shard, node: node(free), allow_primary: false }).unwrap();
    assert_eq!(cluster.count(free, any), 0);
    assert_eq!(cluster.count(primary, |copy| copy.primary && copy.state == CopyState::Started), 1);
}

#[test]
fn first_unassigned_copy_is_explained_if_none_is_named() {
    let (mut cluster, ..) = green();
    assert_eq!(explain(&cluster.state, None, cluster.inputs()).unwrap_err().status, 400);
    cluster.index("b", 1, 3);
    let body = explain(&cluster.state, None, cluster.inputs()).unwrap().body();
    assert_eq!((&body["index"], &body["primary"]), (&"b".into(), &true.into()));
    assert!(body["note"].is_string());
}
