//! A modeled ZooKeeper ensemble elects, serves, survives crashes and keeps one history.

mod world;

use std::collections::BTreeSet;

use shardarium::{
    core::ConnId,
    defect::{Defect, Defects},
    event::{EventKind, SyncMode},
    name::{Epoch, HostId, SessionId, Zxid},
    zookeeper::wire::{
        ClientFrame, CreateMode, Op, PING_XID, Reply, ServerFrame, WatchChange, WatchEvent, ZkError,
    },
};
use world::{Client, CutPoint, Unsynced, World, zk};

fn create(path: &str) -> Op {
    Op::Create { path: path.into(), data: Some([1].into()), mode: CreateMode::Persistent }
}

fn create_ephemeral(path: &str) -> Op {
    Op::Create { path: path.into(), data: None, mode: CreateMode::Ephemeral }
}

fn exists(path: &str) -> Op {
    Op::Exists { path: path.into(), watch: false }
}

fn is_there(reply: &Option<Result<Reply, ZkError>>) -> bool {
    matches!(reply, Some(Ok(Reply::Stat(_) | Reply::Created { .. })))
}

/// An ensemble that serves, with a client on each server of the list.
fn serving(voters: u16, on: &[u16]) -> (World, Vec<Client>) {
    let mut world = World::started(voters);
    let clients = on.iter().map(|server| world.connect(zk(*server))).collect();
    (world, clients)
}

fn followers(world: &World, voters: u16) -> Vec<HostId> {
    let leader = world.leader().expect("a leader");
    (1..=voters).map(zk).filter(|server| *server != leader).collect()
}

// ---- election and service ----

#[test]
fn three_servers_serve_a_create_within_a_second() {
    let mut world = World::started(3);
    let mut client = world.connect(zk(1));
    assert!(is_there(&world.call(&mut client, create("/a"))));
    assert!(world.now < 1_000_000_000, "{}", world.now);
    world.run_for(1000);
    world.assert_agreement();
}

/// "compare: peerEpoch, then zxid, then sid": with equal histories the highest id leads.
#[test]
fn equal_histories_make_the_highest_id_lead() {
    let (world, _) = serving(3, &[1]);
    assert_eq!(world.leader(), Some(zk(3)));
}

#[test]
fn one_voter_serves_alone() {
    let (mut world, mut clients) = serving(1, &[1]);
    assert!(is_there(&world.call(&mut clients[0], create("/a"))));
    world.crash(zk(1), Unsynced::Lost);
    world.start(zk(1));
    let mut client = world.reconnect(zk(1), &clients[0]);
    assert!(is_there(&world.call(&mut client, exists("/a"))));
    world.assert_one_history();
}

#[test]
fn seven_voters_serve_with_three_dead() {
    let (mut world, _) = serving(7, &[1]);
    for dead in [7, 6, 5] {
        world.crash(zk(dead), Unsynced::Lost);
    }
    let mut client = world.connect(zk(1));
    assert!(is_there(&world.call(&mut client, create("/a"))));
    world.assert_one_history();
}

#[test]
fn five_voters_agree_through_leader_crashes() {
    let (mut world, mut clients) = serving(5, &[1]);
    for round in 0..4 {
        assert!(is_there(&world.call(&mut clients[0], create(&format!("/round-{round}")))));
        let leader = world.leader().unwrap();
        world.crash(leader, Unsynced::Torn);
        world.run_for(700);
        world.start(leader);
        clients[0] = world.reconnect(zk(1), &clients[0]);
    }
    world.run_for(2000);
    world.assert_agreement();
    for round in 0..4 {
        assert!(is_there(&world.call(&mut clients[0], exists(&format!("/round-{round}")))));
    }
}

/// "server joining a running ensemble: LOOKING to FOLLOWING 30 to 50 ms, no finalizeWait".
#[test]
fn late_joiner_follows_without_a_new_election() {
    let (mut world, _) = serving(3, &[1]);
    let late = followers(&world, 3)[1];
    world.crash(late, Unsynced::Lost);
    world.run_for(300);
    let before = world.events.len();
    world.start(late);
    assert!(world.run_until(150, |world| {
        world.events[before..]
            .iter()
            .any(|(_, host, event)| *host == late && matches!(event, EventKind::FollowerSynced { .. }))
    }));
    let elections = world.events[before..]
        .iter()
        .filter(|(_, _, event)| matches!(event, EventKind::ElectionStarted { .. }));
    assert_eq!(elections.count(), 1, "only the joiner looked");
}

/// "follower gives up: no packet for syncLimit x tick"; "leader gives up: checked once per tick".
#[test]
fn cut_off_leader_stops_serving_and_the_others_go_on() {
    let (mut world, _) = serving(3, &[1]);
    let old = world.leader().unwrap();
    let stale = world.connect(old);
    world.cut_off(old);
    world.run_for(2500);
    assert!(world.closed.contains(&stale.conn), "the cut off leader closes its clients");
    let new = world.leader().unwrap();
    assert_ne!(new, old);
    let mut client = world.connect(new);
    assert!(is_there(&world.call(&mut client, create("/a"))));
    assert_eq!(world.connect_as(old, &Client::default()).map(|client| client.session), None);
    world.heal();
    world.run_for(4000);
    world.assert_agreement();
}

/// Nothing polls: an idle server wakes for ticks, pings and expiry only.
#[test]
fn idle_ensemble_exchanges_nothing_but_pings() {
    let (mut world, _) = serving(3, &[]);
    world.run_for(1000);
    let before: u64 = world.effects.values().sum();
    world.run_for(1000);
    let ticks = 1000 / 200;
    let spent = world.effects.values().sum::<u64>() - before;
    assert!(spent <= ticks * 2 * 2 * 2, "2 pings a tick, each to 2 followers and answered: {spent}");
}

// ---- durability ----

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

// ---- synchronisation ----

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
        (SyncMode::Diff, behind_by(5) as fn() -> (World, HostId)),
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

fn behind_by(_count: u32) -> fn() -> (World, HostId) {
    || {
        let (mut world, mut clients) = serving(3, &[1]);
        let behind = followers(&world, 3).into_iter().find(|server| *server != zk(1)).unwrap();
        world.crash(behind, Unsynced::Lost);
        for number in 0..5 {
            assert!(is_there(&world.call(&mut clients[0], create(&format!("/node-{number}")))));
        }
        (world, behind)
    }
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

/// Writes go on while a random server dies at a random effect and returns.
#[test]
fn crashes_at_arbitrary_effects_keep_one_history() {
    for seed in 0..25_u64 {
        let mut dice = shardarium::core::Entropy::new(seed);
        let mut world = World::with_snapshots(3, 6);
        world.start_all();
        let mut client = Client::default();
        for round in 0..12 {
            let victim = zk(1 + (dice.draw() % 3) as u16);
            let unsynced = [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept][(dice.draw() % 3) as usize];
            if world.runs(victim) {
                world.cut_point = Some(CutPoint { host: victim, effects: 1 + dice.draw() % 120, unsynced });
            }
            let other = zk(1 + (victim.number + (dice.draw() % 2) as u16) % 3);
            client = world.reconnect(other, &Client { seen: Zxid(0), ..client });
            for number in 0..6 {
                if world.call(&mut client, create(&format!("/{round}-{number}"))).is_none() {
                    break;
                }
            }
            world.run_for(300);
            world.cut_point = None;
            for server in (1..=3).map(zk) {
                if !world.runs(server) {
                    world.start(server);
                }
            }
        }
        world.run_for(3000);
        world.assert_agreement();
    }
}

// ---- sessions ----

#[test]
fn session_moves_to_another_server() {
    let (mut world, clients) = serving(3, &[1]);
    let mut first = clients[0];
    assert!(is_there(&world.call(&mut first, create_ephemeral("/mine"))));
    let mut second = world.reconnect(zk(2), &first);
    assert_eq!(second.session, first.session);
    assert!(is_there(&world.call(&mut second, exists("/mine"))));
    assert!(is_there(&world.call(&mut second, create("/other"))));
}

/// "On the old connection: reads still answered; a write is refused by the leader with SessionMoved, uses
/// a zxid, and the old server closes the connection (no error frame)".
#[test]
fn old_connection_of_a_moved_session_is_closed_at_its_next_write() {
    let (mut world, clients) = serving(3, &[1]);
    let mut first = clients[0];
    let second = world.reconnect(zk(2), &first);
    first.xid = 100;
    assert_eq!(world.call(&mut first, exists("/zookeeper")).map(|reply| reply.is_ok()), Some(true));
    assert_eq!(world.call(&mut first, create("/late")), None);
    assert!(world.closed.contains(&first.conn));
    assert!(!world.closed.contains(&second.conn));
}

/// "deadline = (floor((now+timeout)/tick)+1)*tick"; "the leader alone expires".
#[test]
fn silent_session_expires_with_its_ephemerals() {
    let (mut world, _) = serving(3, &[1]);
    let mut watcher = world.connect(zk(1));
    let mut client = world.reconnect(zk(2), &Client { timeout_ms: 1000, ..Client::default() });
    assert!(is_there(&world.call(&mut client, create_ephemeral("/mine"))));
    let last_heard = world.now;
    while world.now < last_heard + 900_000_000 {
        world.say(watcher.conn, ClientFrame::Request { xid: PING_XID, op: Op::Ping });
        world.run_for(300);
    }
    assert!(is_there(&world.call(&mut watcher, exists("/mine"))));
    world.run_for(600);
    assert_eq!(world.call(&mut watcher, exists("/mine")), Some(Err(ZkError::NoNode)));
    assert!(world.closed.contains(&client.conn), "the expired session's connection is closed");
    let expired = |event: &EventKind| matches!(event, EventKind::SessionExpired { session } if *session == client.session);
    let at = world.events.iter().find(|(_, _, event)| expired(event)).unwrap().0;
    let late = at - last_heard;
    assert!((1_000_000_000..=1_310_000_000).contains(&late), "timeout + (0, tick] + up to tick/2: {late}");
    let refused = world.connect_as(zk(3), &Client { seen: Zxid(0), ..client }).unwrap();
    assert_eq!((refused.session, refused.timeout_ms), (SessionId::NONE, 0));
}

/// "touch: any packet from the client (ping or other) touches", also through a follower.
#[test]
fn pinging_session_lives() {
    for server in 1..=3 {
        let (mut world, _) = serving(3, &[]);
        let mut client = world.reconnect(zk(server), &Client { timeout_ms: 1000, ..Client::default() });
        for _ in 0..10 {
            world.say(client.conn, ClientFrame::Request { xid: PING_XID, op: Op::Ping });
            world.run_for(500);
        }
        world.inboxes.clear();
        assert!(is_there(&world.call(&mut client, create_ephemeral("/mine"))));
    }
}

/// "the new leader starts all deadlines afresh from the session table of its database".
#[test]
fn session_survives_a_change_of_leader() {
    let (mut world, clients) = serving(3, &[1]);
    let mut client = clients[0];
    assert!(is_there(&world.call(&mut client, create_ephemeral("/mine"))));
    let leader = world.leader().unwrap();
    world.crash(leader, Unsynced::Lost);
    let other = followers(&world, 3)[1];
    let mut client = world.reconnect(other, &client);
    assert!(is_there(&world.call(&mut client, exists("/mine"))));
}

#[test]
fn closed_session_takes_its_ephemerals_along() {
    let (mut world, clients) = serving(3, &[1, 2]);
    let (mut one, mut other) = (clients[0], clients[1]);
    assert!(is_there(&world.call(&mut one, create_ephemeral("/mine"))));
    assert_eq!(world.call(&mut one, Op::CloseSession), Some(Ok(Reply::Done)));
    world.run_for(50);
    assert!(world.closed.contains(&one.conn));
    assert_eq!(world.call(&mut other, exists("/mine")), Some(Err(ZkError::NoNode)));
}

/// "Password wrong …: refusal (zeros)"; "that server … has first closed that good connection".
#[test]
fn wrong_password_is_refused_and_kills_the_good_connection() {
    let (mut world, clients) = serving(3, &[1]);
    let thief = Client { password: clients[0].password ^ 1, ..clients[0] };
    let refused = world.connect_as(zk(1), &thief).unwrap();
    assert_eq!((refused.session, refused.timeout_ms), (SessionId::NONE, 0));
    world.run_for(10);
    assert!(world.closed.contains(&clients[0].conn));
    assert!(world.closed.contains(&refused.conn));
}

/// "lastZxidSeen > lastProcessedZxid: connection dropped with no reply".
#[test]
fn client_ahead_of_the_server_is_dropped_without_a_word() {
    let (mut world, clients) = serving(3, &[1]);
    let ahead = Client { seen: Zxid(u64::MAX), ..clients[0] };
    assert!(world.connect_as(zk(2), &ahead).is_none());
}

/// "timeout: asked value clamped to [2, 20] x tickTime".
#[test]
fn asked_timeout_is_clamped() {
    let (mut world, _) = serving(3, &[]);
    let short = world.reconnect(zk(1), &Client { timeout_ms: 1, ..Client::default() });
    let long = world.reconnect(zk(1), &Client { timeout_ms: 1_000_000, ..Client::default() });
    assert_eq!((short.timeout_ms, long.timeout_ms), (400, 4000));
}

// ---- order ----

/// "one connection: replies in request order, always; reads wait behind earlier writes".
#[test]
fn pipelined_requests_are_answered_in_order() {
    for server in 1..=3 {
        let (mut world, _) = serving(3, &[]);
        let mut client = world.connect(zk(server));
        let asked: Vec<i32> = [
            create("/a"),
            exists("/a"),
            create("/b"),
            Op::Sync { path: "/".into() },
            exists("/b"),
            Op::Ping,
            exists("/c"),
        ]
        .map(|op| world.ask(&mut client, op))
        .into();
        world.run_for(100);
        let replies: Vec<_> = world.inboxes[&client.conn].iter().filter_map(reply).collect();
        assert_eq!(replies.iter().map(|(xid, _)| *xid).collect::<Vec<_>>(), asked);
        let found: Vec<bool> = replies.iter().map(|(_, found)| *found).collect();
        assert_eq!(found, [true, true, true, true, true, true, false]);
    }
}

fn reply(frame: &ServerFrame) -> Option<(i32, bool)> {
    match frame {
        ServerFrame::Reply { xid, result, .. } => Some((*xid, result.is_ok())),
        _ => None,
    }
}

/// "client sees the event before the new data (on that connection)", and "before the reply of the op that
/// caused it".
#[test]
fn watch_event_comes_before_the_reply_that_shows_it() {
    let (mut world, clients) = serving(3, &[1, 2]);
    let (mut one, mut other) = (clients[0], clients[1]);
    let watch = Op::Exists { path: "/a".into(), watch: true };
    for client in [&mut one, &mut other] {
        assert_eq!(world.call(client, watch.clone()), Some(Err(ZkError::NoNode)));
    }
    world.ask(&mut one, create("/a"));
    let event = ServerFrame::Notification(WatchEvent { path: "/a".into(), change: WatchChange::NodeCreated });
    assert_eq!(world.hear(one.conn, 1000), Some(event.clone()));
    assert!(matches!(world.hear(one.conn, 1000), Some(ServerFrame::Reply { .. })));
    assert_eq!(world.hear(other.conn, 1000), Some(event));
}

/// "sync … waits for the proposals outstanding when it reached the leader".
#[test]
fn read_after_sync_sees_what_was_acknowledged_elsewhere() {
    let (mut world, clients) = serving(3, &[1, 2]);
    let (mut writer, mut reader) = (clients[0], clients[1]);
    for number in 0..20 {
        let path = format!("/node-{number}");
        assert!(is_there(&world.call(&mut writer, create(&path))));
        world.ask(&mut reader, Op::Sync { path: path.clone() });
        assert!(is_there(&world.call(&mut reader, exists(&path))));
    }
}

/// "the zxids a session sees (any server) never go back".
#[test]
fn reply_zxids_never_go_back_across_servers() {
    let (mut world, clients) = serving(3, &[1]);
    let mut client = clients[0];
    let mut seen = Zxid(0);
    for round in 0..9_u16 {
        client = world.reconnect(zk(1 + round % 3), &client);
        world.call(&mut client, create(&format!("/{round}")));
        let conns: BTreeSet<ConnId> = world.inboxes.keys().copied().collect();
        assert!(conns.contains(&client.conn));
        assert!(client.seen >= seen);
        seen = client.seen;
        world.run_for(50);
    }
}
