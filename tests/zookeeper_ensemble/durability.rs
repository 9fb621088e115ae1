//! Durability — what was acknowledged is on disk, and a server starts from whatever its disk kept.

use crate::*;

/// "a write acknowledged to any client is in every later leader's history".
#[test]
fn acknowledged_write_survives_the_leader() {
    for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
        let (mut world, _) = serving(3, &[]);
        assert!(world.run_until(2000, |world| world.leader().is_some()));
        let leader = world.leader().unwrap();
        let mut client = world.connect(leader);
        assert!(is_there(&world.call(&mut client, create("/a"))));
        world.crash(leader, unsynced);
        let survivor = followers(&world, 3)[0];
        let mut client = world.connect(survivor);
        assert!(is_there(&world.call(&mut client, exists("/a"))));
        world.start(leader);
        world.run_for(2000);
        world.assert_agreement();
    }
}

/// "Acknowledged means synced on a quorum": all lose power right after the reply.
#[test]
fn acknowledged_write_survives_power_loss_everywhere() {
    assert!(survives_power_loss(Defects::default()));
}

/// ZOOKEEPER-3911, ZOOKEEPER-4646: an acknowledgement before the sync loses it.
#[test]
fn acknowledgement_before_sync_loses_writes_at_power_loss() {
    assert!(!survives_power_loss(Defects([Defect::ZabAckBeforeSync].into())));
}

fn survives_power_loss(defects: Defects) -> bool {
    let mut world = World::new(3);
    world.defects = defects;
    world.sync = 20_000_000;
    world.start_all();
    let mut client = world.connect(zk(3));
    assert!(is_there(&world.call(&mut client, create("/a"))));
    for server in 1..=3 {
        world.crash(zk(server), Unsynced::Lost);
    }
    world.start_all();
    let mut client = world.connect(zk(1));
    is_there(&world.call(&mut client, exists("/a")))
}

/// "torn tail: last entry with bad checksum or short: ends the log silently".
#[test]
fn torn_log_tail_is_cut_off_and_written_over() {
    let (mut world, mut clients) = serving(3, &[1]);
    assert!(is_there(&world.call(&mut clients[0], create("/a"))));
    let victim = followers(&world, 3)[0];
    world.crash(victim, Unsynced::Kept);
    let name = world.file_names(victim).into_iter().rfind(|name| name.starts_with("log.")).unwrap();
    let mut log = world.file(victim, &name).unwrap().to_vec();
    log.truncate(log.len() - 3);
    world.write_file(victim, &name, &log);
    world.start(victim);
    world.run_for(1000);
    world.assert_agreement();
    let other = followers(&world, 3)[1];
    let mut client = world.connect(other);
    assert!(is_there(&world.call(&mut client, create("/b"))));
    world.run_for(500);
    world.crash(victim, Unsynced::Lost);
    world.start(victim);
    world.run_for(1000);
    world.assert_agreement();
}

#[test]
fn damaged_snapshot_falls_back_to_an_older_one() {
    let (mut world, victim) = with_many_snapshots();
    let snapshots = snapshots(&world, victim);
    assert_eq!(snapshots.len(), 3, "three snapshots are kept: {snapshots:?}");
    world.crash(victim, Unsynced::Lost);
    world.write_file(victim, &snapshots[2], b"no snapshot");
    world.start(victim);
    world.run_for(1000);
    world.assert_agreement();
}

#[test]
fn old_logs_go_with_old_snapshots() {
    let (world, victim) = with_many_snapshots();
    let logs = world.file_names(victim).into_iter().filter(|name| name.starts_with("log."));
    assert!(logs.count() <= 4);
}

/// A follower that has written more snapshots than it keeps.
fn with_many_snapshots() -> (World, HostId) {
    let mut world = World::with_snapshots(3, 8);
    world.start_all();
    let mut client = world.connect(zk(1));
    for number in 0..60 {
        assert!(is_there(&world.call(&mut client, create(&format!("/node-{number}")))));
    }
    world.run_for(500);
    let victim = followers(&world, 3)[0];
    (world, victim)
}

fn snapshots(world: &World, server: HostId) -> Vec<String> {
    world.file_names(server).into_iter().filter(|name| name.starts_with("snapshot.")).collect()
}

/// "no valid snapshot but logs present: refuses to start (ZOOKEEPER-2325)".
#[test]
fn log_without_snapshot_refuses_to_start() {
    let (mut world, mut clients) = serving(3, &[1]);
    assert!(is_there(&world.call(&mut clients[0], create("/a"))));
    let victim = followers(&world, 3)[0];
    world.crash(victim, Unsynced::Kept);
    for snapshot in snapshots(&world, victim) {
        world.write_file(victim, &snapshot, b"no snapshot");
    }
    world.start(victim);
    world.run_for(100);
    assert!(!world.runs(victim));
    assert!(world.of(victim).any(|event| matches!(event, EventKind::HostHalted { .. })));
}

/// "Start refused if … acceptedEpoch < currentEpoch".
#[test]
fn contradicting_epochs_refuse_to_start() {
    let (mut world, _) = serving(3, &[1]);
    world.crash(zk(1), Unsynced::Kept);
    world.write_file(zk(1), "acceptedEpoch", b"0");
    world.start(zk(1));
    world.run_for(100);
    assert!(!world.runs(zk(1)));
}

#[test]
fn epochs_on_disk_never_go_back() {
    let (mut world, _) = serving(3, &[1]);
    for round in 0..6_u16 {
        let victim = zk(1 + round % 3);
        world.crash(victim, Unsynced::Lost);
        world.run_for(900);
        world.start(victim);
        world.run_for(900);
    }
    for server in (1..=3).map(zk) {
        let (mut accepted, mut current) = (Epoch(0), Epoch(0));
        for event in world.of(server) {
            match event {
                EventKind::EpochAccepted { epoch } => {
                    assert!(*epoch > accepted, "{server} accepts {epoch} after {accepted}");
                    accepted = *epoch;
                }
                EventKind::EpochEntered { epoch } => {
                    assert!(*epoch >= current && *epoch <= accepted);
                    current = *epoch;
                }
                EventKind::ServerRestored { accepted_epoch, current_epoch, .. } => {
                    assert!(*accepted_epoch >= accepted && *current_epoch >= current);
                }
                _ => {}
            }
        }
        assert!(current >= Epoch(1));
    }
}
