//! A search cluster of three nodes on three ZooKeeper servers: writes, reads, searches, and goes on when the
//! node of a primary dies.

mod cluster;
mod mishaps;
mod world;

use std::time::Duration;

use shardarium::{
    event::{CopyState, EventKind},
    name::HostId,
    search::api::{ApiCall, DeleteRequest, Health, IndexRequest, WriteOptions, WriteResult},
};

use crate::{
    cluster::{
        Cluster, NODES, SERVERS, articles, assert_copies_agree, index, other_than, search_config, shard,
        source, written, written_in_time,
    },
    world::Death,
};

const EVERYTHING: &str = r#"{"match_all":{}}"#;

#[test]
fn every_node_serves_what_any_node_wrote() {
    let mut cluster = Cluster::with_index(3, 1);
    for number in 0..12 {
        let node = NODES[number % 3];
        let (result, .., copies) = written(cluster.index(node, &number.to_string(), "red fox"));
        assert_eq!((result, copies), (WriteResult::Created, (2, 2)));
    }
    written(cluster.index(NODES[0], "3", "blue whale"));
    let delete = ApiCall::Delete(DeleteRequest::new(articles(), "4"));
    assert_eq!(written(cluster.ask(NODES[1], delete)).0, WriteResult::Deleted);
    for node in NODES {
        assert_eq!(cluster.get(node, "3"), Some(source("blue whale")));
        assert_eq!(cluster.get(node, "4"), None);
        assert_eq!(cluster.search(node, EVERYTHING).len(), 11);
        assert_eq!(cluster.search(node, r#"{"match":{"title":"whale"}}"#), ["3"]);
    }
}

#[test]
fn condition_that_does_not_hold_conflicts() {
    let mut cluster = Cluster::with_index(1, 1);
    let (_, seq_no, term, _) = written(cluster.index(NODES[0], "a", "one"));
    let conditional = |text: &str| {
        let options = WriteOptions::if_last_changed_by(seq_no, term);
        ApiCall::Index(IndexRequest { options, ..IndexRequest::new(articles(), "a", source(text)) })
    };
    written(cluster.ask(NODES[1], conditional("two")));
    let error = cluster.ask(NODES[2], conditional("three")).unwrap_err();
    assert_eq!((error.status, &*error.kind), (409, "version_conflict_engine_exception"));
    assert_eq!(cluster.get(NODES[2], "a"), Some(source("two")));
}

fn failover(death: Death) {
    let mut cluster = Cluster::with_index(1, 1);
    for number in 0..5 {
        written(cluster.index(NODES[number % 3], &number.to_string(), "before"));
    }
    let (first, term) = cluster.primary(&shard());
    let witness = other_than(&[first]);
    cluster.0.kill(first, death);

    let (_, _, new_term, _) = written_in_time(&mut cluster, witness);
    assert!(new_term > term, "a promoted primary writes in a higher term");
    assert_ne!(cluster.primary(&shard()).0, first);
    for number in 0..5 {
        assert_eq!(cluster.get(witness, &number.to_string()), Some(source("before")));
    }
    cluster.await_health(witness, Health::Green, 2);

    cluster.0.start(first);
    cluster.await_health(witness, Health::Green, 3);
    written(cluster.index(first, "after", "return"));
    assert_eq!(cluster.search(first, EVERYTHING).len(), 7);
    assert_copies_agree(&mut cluster);
}

#[test]
fn dead_process_of_a_primary_is_followed_by_a_promotion() {
    failover(Death::Process);
}

#[test]
fn dead_machine_of_a_primary_is_followed_by_a_promotion() {
    failover(Death::Power);
}

#[test]
fn node_that_restarts_before_its_session_expires_goes_on() {
    for primary in [true, false] {
        let mut cluster = Cluster::with_index(1, 1);
        for number in 0..5 {
            written(cluster.index(NODES[number % 3], &number.to_string(), "before"));
        }
        let restarted = cluster.holder(primary);
        cluster.0.kill(restarted, Death::Process);
        cluster.pass(Duration::from_millis(500));
        cluster.0.start(restarted);
        let witness = other_than(&[restarted]);
        written_in_time(&mut cluster, witness);
        cluster.pass(search_config().session_timeout * 2);
        cluster.await_health(witness, Health::Green, 3);
        assert_eq!(cluster.search(restarted, EVERYTHING).len(), 6);
        assert_copies_agree(&mut cluster);
    }
}

/// The writes of a stream that were acknowledged, while the node of a primary dies halfway.
fn acknowledged_of_a_hundred(cluster: &mut Cluster, victim: HostId, death: Death) -> Vec<String> {
    let witness = other_than(&[victim]);
    let mut asked = Vec::new();
    for number in 0..100 {
        let id = number.to_string();
        asked.push((id.clone(), cluster.0.request(witness, index(&id, "streamed"))));
        cluster.pass(Duration::from_millis(5));
        if number == 50 {
            cluster.0.kill(victim, death);
        }
    }
    asked.retain(|(_, at)| cluster.reply(*at).expect("an answer").is_ok());
    asked.into_iter().map(|(id, _)| id).collect()
}

#[test]
fn acknowledged_writes_outlive_their_primary() {
    // A dead process refuses connections, so that only the write under way is unclear; on a dead machine every
    // write is unclear until it is known to be dead.
    for (death, least) in [(Death::Process, 98), (Death::Power, 51)] {
        let mut cluster = Cluster::with_index(1, 1);
        let (victim, _) = cluster.primary(&shard());
        let acknowledged = acknowledged_of_a_hundred(&mut cluster, victim, death);
        assert!(acknowledged.len() >= least, "{death:?}: {} writes", acknowledged.len());
        let witness = other_than(&[victim]);
        for id in acknowledged {
            assert_eq!(cluster.get(witness, &id), Some(source("streamed")), "{death:?}: {id}");
        }
    }
}

#[test]
fn reads_go_on_while_a_replica_is_gone() {
    let mut cluster = Cluster::with_index(1, 1);
    written(cluster.index(NODES[0], "a", "one"));
    let replica = cluster.holder(false);
    cluster.0.kill(replica, Death::Process);
    let witness = other_than(&[replica]);
    for _ in 0..4 {
        assert_eq!(cluster.get(witness, "a"), Some(source("one")));
        assert_eq!(cluster.search(witness, EVERYTHING), ["a"]);
    }
}

#[test]
fn silence_between_two_nodes_is_noticed() {
    let mut cluster = Cluster::with_index(1, 1);
    written(cluster.index(NODES[0], "a", "one"));
    let (primary, _) = cluster.primary(&shard());
    let replica = cluster.holder(false);
    let witness = other_than(&[primary, replica]);
    cluster.0.cut(witness, primary);
    for _ in 0..2 {
        assert_eq!(cluster.get(witness, "a"), Some(source("one")), "the other copy answers in the end");
    }
    let error = cluster.index(witness, "a", "two").unwrap_err();
    assert!(!error.certain, "what was sent may still arrive");

    cluster.0.heal();
    written(cluster.index(witness, "a", "three"));
    assert_eq!(cluster.get(witness, "a"), Some(source("three")));
}

#[test]
fn cluster_without_zookeeper_serves_reads_and_refuses_writes() {
    let mut cluster = Cluster::with_index(1, 1);
    written(cluster.index(NODES[0], "a", "one"));
    for server in SERVERS {
        cluster.0.kill(server, Death::Power);
    }
    cluster.pass(Duration::from_secs(10));
    let error = cluster.index(NODES[1], "a", "two").unwrap_err();
    assert_eq!((error.status, &*error.kind, error.certain), (503, "cluster_block_exception", true));
    assert_eq!(cluster.get(NODES[1], "a"), Some(source("one")));
    for server in SERVERS {
        cluster.0.start(server);
    }
    cluster.await_health(NODES[1], Health::Green, 3);
    cluster.pass(Duration::from_secs(10));
    written(cluster.index(NODES[1], "a", "two"));
}

#[test]
fn same_world_gives_the_same_events() {
    let story = || {
        let mut cluster = Cluster::with_index(2, 1);
        written(cluster.index(NODES[0], "a", "one"));
        cluster.0.kill(NODES[1], Death::Process);
        cluster.await_health(NODES[0], Health::Green, 2);
        cluster.0.events
    };
    let (first, second) = (story(), story());
    assert!(first == second, "no order is an accident");
    assert!(first.iter().any(|(_, event)| matches!(event, EventKind::PrimaryActivated { .. })));
}

#[test]
fn copies_of_a_shard_are_on_different_nodes() {
    let cluster = Cluster::with_index(3, 2);
    for number in 0..3 {
        let copies = cluster.routing().iter().filter(|copy| copy.shard.number == number);
        let mut nodes: Vec<_> = copies.filter(|copy| copy.state == CopyState::Started).collect();
        nodes.sort_by_key(|copy| copy.node);
        nodes.dedup_by_key(|copy| copy.node);
        assert_eq!(nodes.len(), 3);
    }
}
