//! Synchronisation — a returning server is brought level, whatever its log holds.

use crate::*;

/// A leader that alone has logged a transaction; returns with the old leader dead.
fn with_uncommitted_tail() -> (World, HostId) {
    let (mut world, _) = serving(3, &[1]);
    let old = world.leader().unwrap();
    let mut client = world.connect(old);
    assert!(is_there(&world.call(&mut client, create("/committed"))));
    for other in followers(&world, 3) {
        world.cut_between(old, other);
    }
    world.ask(&mut client, create("/uncommitted"));
    world.run_for(100);
    let logged = world.of(old).filter(|event| matches!(event, EventKind::TxnLogged { .. })).count();
    let committed = world.of(old).filter(|event| matches!(event, EventKind::TxnCommitted { .. })).count();
    assert!(logged > committed, "the tail is in the log");
    world.crash(old, Unsynced::Lost);
    world.heal();
    (world, old)
}

fn synced_by(world: &World, server: HostId, since: usize) -> Option<SyncMode> {
    world.events[since..].iter().rev().find_map(|(_, host, event)| match event {
        EventKind::FollowerSynced { mode, .. } if *host == server => Some(*mode),
        _ => None,
    })
}

/// "Not found, same epoch: TRUNC"; "> maxCommittedLog: TRUNC(maxCommittedLog)".
#[test]
fn uncommitted_tail_is_cut_off() {
    let (mut world, old) = with_uncommitted_tail();
    world.run_for(1000);
    let since = world.events.len();
    world.start(old);
    world.run_for(1000);
    assert_eq!(synced_by(&world, old, since), Some(SyncMode::Trunc));
    assert!(world.of(old).any(|event| matches!(event, EventKind::LogTruncated { .. })));
    world.assert_agreement();
    let mut client = world.connect(old);
    assert!(is_there(&world.call(&mut client, exists("/committed"))));
    assert_eq!(world.call(&mut client, exists("/uncommitted")), Some(Err(ZkError::NoNode)));
}

/// ZOOKEEPER-1154: a tail from an older epoch must not survive a DIFF.
#[test]
fn uncommitted_tail_of_an_older_epoch_is_replaced() {
    let (mut world, old) = with_uncommitted_tail();
    let survivor = followers(&world, 3)[0];
    let mut client = world.connect(survivor);
    for number in 0..3 {
        assert!(is_there(&world.call(&mut client, create(&format!("/new-{number}")))));
    }
    world.start(old);
    world.run_for(2000);
    world.assert_agreement();
    let mut client = world.connect(old);
    assert_eq!(world.call(&mut client, exists("/uncommitted")), Some(Err(ZkError::NoNode)));
}

/// "< min: … else SNAP".
#[test]
fn server_far_behind_gets_a_snapshot() {
    let (mut world, mut clients) = serving(3, &[1]);
    let behind = followers(&world, 3).into_iter().find(|server| *server != zk(1)).unwrap();
    world.crash(behind, Unsynced::Lost);
    for number in 0..510 {
        assert!(is_there(&world.call(&mut clients[0], create(&format!("/node-{number}")))));
    }
    let since = world.events.len();
    world.start(behind);
    world.run_for(1000);
    assert_eq!(synced_by(&world, behind, since), Some(SyncMode::Snap));
    world.assert_agreement();
    world.crash(behind, Unsynced::Lost);
    world.start(behind);
    world.run_for(1000);
    world.assert_agreement();
}

#[test]
fn server_a_little_behind_gets_what_it_lacks() {
    let (mut world, mut clients) = serving(3, &[1]);
    let behind = followers(&world, 3).into_iter().find(|server| *server != zk(1)).unwrap();
    world.crash(behind, Unsynced::Lost);
    for number in 0..10 {
        assert!(is_there(&world.call(&mut clients[0], create(&format!("/node-{number}")))));
    }
    let since = world.events.len();
    world.start(behind);
    world.run_for(1000);
    assert_eq!(synced_by(&world, behind, since), Some(SyncMode::Diff));
    world.assert_agreement();
}

#[test]
fn wiped_server_rejoins() {
    let (mut world, mut clients) = serving(3, &[1]);
    assert!(is_there(&world.call(&mut clients[0], create("/a"))));
    let wiped = followers(&world, 3).into_iter().find(|server| *server != zk(1)).unwrap();
    world.crash(wiped, Unsynced::Lost);
    world.wipe(wiped);
    world.start(wiped);
    world.run_for(1000);
    world.assert_agreement();
    let mut client = world.connect(wiped);
    assert!(is_there(&world.call(&mut client, exists("/a"))));
}

/// "a crashed node can restart", whatever it was doing: every point between two effects of a follower
/// that is being synchronised (ZOOKEEPER-1653, ZOOKEEPER-4643, ZOOKEEPER-3911).
#[test]
fn crash_between_any_two_effects_of_a_sync_always_restarts() {
    for (mode, prepare) in [
        (SyncMode::Diff, a_little_behind as fn() -> (World, HostId)),
        (SyncMode::Snap, wiped),
        (SyncMode::Trunc, with_uncommitted_tail),
    ] {
        let mut points = 0;
        for effects in 1.. {
            let unsynced = [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept][effects as usize % 3];
            if !restarts_after_crash(mode, prepare, effects, unsynced) {
                break;
            }
            points += 1;
        }
        assert!(points > 10, "{mode:?} was cut at {points} points");
    }
}

/// False if the sync was over before the crash was due.
fn restarts_after_crash(
    mode: SyncMode,
    prepare: fn() -> (World, HostId),
    effects: u64,
    unsynced: Unsynced,
) -> bool {
    let (mut world, victim) = prepare();
    assert!(world.run_until(5000, |world| world.leader().is_some_and(|leader| leader != victim)));
    world.run_for(500);
    let since = world.events.len();
    world.start(victim);
    world.cut_point = Some(CutPoint { host: victim, effects, unsynced });
    world.run_for(400);
    let crashed = world.cut_point.is_none();
    if !crashed {
        assert_eq!(synced_by(&world, victim, since), Some(mode));
        return false;
    }
    world.start(victim);
    world.run_for(1500);
    assert!(world.runs(victim), "crash after {effects} effects, {unsynced:?}");
    world.assert_agreement();
    true
}

fn a_little_behind() -> (World, HostId) {
    let (mut world, mut clients) = serving(3, &[1]);
    let behind = followers(&world, 3).into_iter().find(|server| *server != zk(1)).unwrap();
    world.crash(behind, Unsynced::Lost);
    for number in 0..5 {
        assert!(is_there(&world.call(&mut clients[0], create(&format!("/node-{number}")))));
    }
    (world, behind)
}

fn wiped() -> (World, HostId) {
    let mut world = World::with_snapshots(3, 4);
    world.start_all();
    let mut client = world.connect(zk(1));
    for number in 0..20 {
        assert!(is_there(&world.call(&mut client, create(&format!("/node-{number}")))));
    }
    let wiped = followers(&world, 3).into_iter().find(|server| *server != zk(1)).unwrap();
    world.crash(wiped, Unsynced::Lost);
    world.wipe(wiped);
    (world, wiped)
}
