//! Observers — follow without a vote, and serve all the same.

use shardarium::zookeeper::wire::EnsembleConfig;

use crate::*;

/// Three voters, and servers 4 and 5 that observe.
fn observed() -> World {
    let config = EnsembleConfig {
        servers: [1, 2, 3].map(zk).to_vec(),
        observers: [4, 5].map(zk).to_vec(),
        tick_ms: 200,
        snap_count: 1000,
        ..EnsembleConfig::default()
    };
    let mut world = World::of_ensemble(config);
    world.start_all();
    world
}

#[test]
fn observer_serves_reads_and_forwards_writes() {
    let mut world = observed();
    let mut one = world.connect(zk(4));
    let mut other = world.connect(zk(1));
    assert!(is_there(&world.call(&mut one, create("/by-observer"))));
    assert!(is_there(&world.call(&mut other, create("/by-voter"))));
    world.run_for(50);
    assert!(is_there(&world.call(&mut one, exists("/by-voter"))));
    assert!(is_there(&world.call(&mut other, exists("/by-observer"))));
    let synced = world.call(&mut one, Op::Sync { path: "/".into() });
    assert_eq!(synced, Some(Ok(Reply::Synced { path: "/".into() })));
    world.run_for(500);
    world.assert_agreement();
}

#[test]
fn watch_on_an_observer_fires() {
    let mut world = observed();
    let (mut one, mut other) = (world.connect(zk(5)), world.connect(zk(2)));
    world.call(&mut one, Op::Exists { path: "/a".into(), watch: true });
    world.call(&mut other, create("/a"));
    let event = WatchEvent { path: "/a".into(), change: WatchChange::NodeCreated };
    assert_eq!(world.hear(one.conn, 500), Some(ServerFrame::Notification { event, zxid: NO_ZXID }));
}

/// "as follower without votes and acks": with one voter of three left, two observers are no help.
#[test]
fn observers_make_no_quorum() {
    let mut world = observed();
    world.connect(zk(1));
    let leader = world.leader().unwrap();
    let mut client = world.connect(leader);
    for follower in followers(&world, 3) {
        world.crash(follower, Unsynced::Lost);
    }
    world.ask(&mut client, create("/a"));
    world.run_for(1000);
    assert!(world.of(leader).any(|event| matches!(event, EventKind::RoleLost { .. })));
    let committed = |event: &EventKind| matches!(event, EventKind::TxnCommitted { .. });
    assert_eq!(world.of(leader).filter(|event| committed(event)).count(), 2, "the sessions alone");
    let since = world.events.len();
    world.run_for(5000);
    let leads = |event: &EventKind| matches!(event, EventKind::LeaderEstablished { .. });
    assert!(!world.events[since..].iter().any(|(_, _, event)| leads(event)));
}

/// ZOOKEEPER-764: an observer, however long its log, is never elected.
#[test]
fn observer_is_never_elected() {
    let mut world = observed();
    for _ in 0..3 {
        let mut client = world.connect(zk(5));
        world.call(&mut client, create("/a"));
        let leader = world.leader().unwrap();
        world.crash(leader, Unsynced::Lost);
        world.run_for(2000);
        let next = world.leader().unwrap();
        assert!(next != leader && next.number <= 3, "{next} leads");
        world.start(leader);
        world.run_for(1000);
    }
    world.assert_agreement();
}

/// "observers | election delay 200 ms": after a leader is lost voters elect, and observers come later.
#[test]
fn observer_follows_the_next_leader() {
    let mut world = observed();
    let mut client = world.connect(zk(4));
    assert!(is_there(&world.call(&mut client, create("/a"))));
    let leader = world.leader().unwrap();
    world.crash(leader, Unsynced::Lost);
    world.run_for(1500);
    let mut client = world.reconnect(zk(4), &client);
    assert!(is_there(&world.call(&mut client, create("/b"))));
    world.start(leader);
    world.run_for(1000);
    world.assert_agreement();
}

#[test]
fn restarted_observer_catches_up_from_its_log() {
    let mut world = observed();
    let mut client = world.connect(zk(1));
    for number in 0..20 {
        world.call(&mut client, create(&format!("/a-{number}")));
    }
    world.run_for(100);
    world.crash(zk(4), Unsynced::Lost);
    world.call(&mut client, create("/b"));
    let since = world.events.len();
    world.start(zk(4));
    world.run_for(1000);
    let mode = world.events[since..].iter().find_map(|(_, host, event)| match event {
        EventKind::FollowerSynced { mode, .. } if *host == zk(4) => Some(*mode),
        _ => None,
    });
    assert_eq!(mode, Some(SyncMode::Diff));
    world.assert_agreement();
}
