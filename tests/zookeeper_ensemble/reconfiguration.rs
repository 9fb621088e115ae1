//! Reconfiguration — an ensemble changes while it runs, and keeps one history.

use shardarium::{core::Entropy, zookeeper::wire::EnsembleConfig};

use crate::*;

/// `super:test`.
const SUPER: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";

/// An ensemble of these servers that may be changed.
fn changeable(voters: &[u16], observers: &[u16]) -> World {
    let hosts = |numbers: &[u16]| numbers.iter().map(|number| zk(*number)).collect();
    let mut world = World::of_ensemble(EnsembleConfig {
        servers: hosts(voters),
        observers: hosts(observers),
        tick_ms: 200,
        snap_count: 1000,
        reconfig_enabled: true,
        super_digest: Some(SUPER.to_owned()),
        ..EnsembleConfig::default()
    });
    world.start_all();
    world
}

/// A client that may change the ensemble, on this server.
fn administrator(world: &mut World, server: HostId) -> Client {
    let mut client = world.connect(server);
    let auth = Op::Auth { scheme: "digest".into(), credential: b"super:test".as_slice().into() };
    assert_eq!(world.call(&mut client, auth), Some(Ok(Reply::Done)));
    client
}

fn joining(servers: &str) -> Op {
    Op::Reconfig { joining: Some(servers.into()), leaving: None, members: None, from_config: -1 }
}

fn leaving(servers: &str) -> Op {
    Op::Reconfig { joining: None, leaving: Some(servers.into()), members: None, from_config: -1 }
}

fn line(number: u16, role: &str) -> String {
    format!("server.{number}=zk-{number}:2888:3888:{role};0.0.0.0:2181")
}

/// What a reply or `/zookeeper/config` shows.
fn text(reply: Option<Result<Reply, ZkError>>) -> String {
    match reply {
        Some(Ok(Reply::Data { data: Some(data), .. })) => String::from_utf8(data.to_vec()).unwrap(),
        reply => panic!("{reply:?} shows no configuration"),
    }
}

fn configuration(world: &mut World, server: HostId) -> String {
    let mut client = world.connect(server);
    text(world.call(&mut client, Op::GetData { path: "/zookeeper/config".into(), watch: false }))
}

fn leads(event: &EventKind) -> bool {
    matches!(event, EventKind::LeaderEstablished { .. })
}

/// Some server that is not this one.
fn another(than: HostId, among: &[u16]) -> HostId {
    among.iter().map(|number| zk(*number)).find(|server| *server != than).unwrap()
}

#[test]
fn first_configuration_gets_the_version_of_its_epoch() {
    let mut world = changeable(&[1, 2, 3], &[4]);
    let lines = [line(1, "participant"), line(2, "participant"), line(3, "participant"), line(4, "observer")];
    let shown = format!("{}\nversion=100000000", lines.join("\n"));
    for server in 1..=4 {
        assert_eq!(configuration(&mut world, zk(server)), shown);
    }
}

/// "a joiner follows as a participant without a vote" until a reconfiguration lets it in.
#[test]
fn server_joins_as_a_follower_and_becomes_a_voter() {
    let mut world = changeable(&[1, 2, 3], &[]);
    let mut client = administrator(&mut world, zk(1));
    world.start(zk(4));
    let mut guest = world.connect(zk(4));
    assert!(is_there(&world.call(&mut guest, create("/by-guest"))), "it serves before it has a vote");
    let changed = text(world.call(&mut client, joining(&line(4, "participant"))));
    assert!(changed.contains(&line(4, "participant")), "{changed}");
    assert!(is_there(&world.call(&mut guest, create("/still-there"))), "its clients stay");
    assert_eq!(configuration(&mut world, zk(4)), changed);
    let leader = world.leader().unwrap();
    world.crash(leader, Unsynced::Lost);
    world.run_for(3000);
    let next = world.leader().unwrap();
    let mut client = world.connect(next);
    assert!(next != leader && is_there(&world.call(&mut client, create("/three-of-four"))));
    let since = world.events.len();
    let victim = (1..=4).map(zk).find(|server| *server != next && *server != leader).unwrap();
    world.crash(victim, Unsynced::Lost);
    world.ask(&mut client, create("/two-of-four"));
    world.run_for(3000);
    let committed = |event: &EventKind| matches!(event, EventKind::TxnCommitted { .. });
    assert!(!world.events[since..].iter().any(|(_, _, event)| committed(event)), "two of four are no quorum");
    world.start(leader);
    world.start(victim);
    world.run_for(3000);
    world.assert_agreement();
}

/// "NewConfigNoQuorum when a quorum of the new config is not connected and synced".
#[test]
fn configuration_whose_quorum_is_absent_is_refused() {
    let mut world = changeable(&[1, 2, 3], &[]);
    let mut client = administrator(&mut world, zk(1));
    let absent: Vec<String> = (4..=6).map(|number| line(number, "participant")).collect();
    let refused = world.call(&mut client, joining(&absent.join(",")));
    assert_eq!(refused, Some(Err(ZkError::NewConfigNoQuorum)));
    let accepted = world.call(&mut client, joining(&absent[..2].join(",")));
    assert!(text(accepted).contains("server.5="), "three of five are there");
}

/// "removed = non-voting follower": it goes on serving.
#[test]
fn removed_follower_goes_on_without_a_vote() {
    let mut world = changeable(&[1, 2, 3], &[]);
    let mut client = administrator(&mut world, zk(1));
    let leader = world.leader().unwrap();
    let gone = another(leader, &[2, 3]);
    let changed = text(world.call(&mut client, leaving(&gone.number.to_string())));
    assert!(!changed.contains(&format!("server.{}=", gone.number)), "{changed}");
    world.run_for(500);
    let mut guest = world.connect(gone);
    assert!(is_there(&world.call(&mut guest, create("/by-guest"))));
    assert!(!world.of(leader).any(|event| matches!(event, EventKind::RoleLost { .. })));
    world.crash(gone, Unsynced::Lost);
    let mut client = world.connect(leader);
    assert!(is_there(&world.call(&mut client, create("/two-of-two"))));
    let other = (1..=3).map(zk).find(|server| *server != gone && *server != leader).unwrap();
    world.crash(other, Unsynced::Lost);
    world.start(gone);
    world.ask(&mut client, create("/one-of-two"));
    let since = world.events.len();
    world.run_for(3000);
    assert!(!world.events[since..].iter().any(|(_, _, event)| leads(event)), "it has no vote");
    world.start(other);
    world.run_for(3000);
    world.assert_agreement();
}

/// "designated leader: self if still voter, else one that acked most": no election in between.
#[test]
fn removed_leader_hands_over() {
    let mut world = changeable(&[1, 2, 3], &[4]);
    world.connect(zk(1));
    let leader = world.leader().unwrap();
    let follower = another(leader, &[1, 2]);
    let mut client = administrator(&mut world, follower);
    let since = world.events.len();
    world.ask(&mut client, leaving(&leader.number.to_string()));
    world.run_for(1500);
    let next = world.leader().unwrap();
    assert_ne!(next, leader);
    let looked = |(_, host, event): &&(u64, HostId, EventKind)| {
        *host != leader && matches!(event, EventKind::ElectionStarted { .. })
    };
    assert_eq!(world.events[since..].iter().filter(looked).count(), 0, "nobody had to look");
    let mut client = world.connect(next);
    assert!(is_there(&world.call(&mut client, create("/after"))));
    assert!(!configuration(&mut world, zk(4)).contains(&format!("server.{}=", leader.number)));
    let mut guest = world.connect(leader);
    assert!(is_there(&world.call(&mut guest, exists("/after"))), "it follows without a vote");
    world.run_for(500);
    world.assert_agreement();
}

#[test]
fn voter_becomes_observer_and_voter_again() {
    let mut world = changeable(&[1, 2, 3, 4], &[]);
    let mut client = administrator(&mut world, zk(1));
    let leader = world.leader().unwrap();
    let changing = another(leader, &[2, 3]);
    for role in ["observer", "participant"] {
        let changed = text(world.call(&mut client, joining(&line(changing.number, role))));
        assert!(changed.contains(&line(changing.number, role)), "{changed}");
        let mut guest = world.connect(changing);
        assert!(is_there(&world.call(&mut guest, create(&format!("/as-{role}")))));
        assert_eq!(configuration(&mut world, changing), changed);
    }
    assert_eq!(world.leader(), Some(leader), "the others were not disturbed");
    world.run_for(500);
    world.assert_agreement();
}

#[test]
fn configuration_outlives_a_restart_of_all() {
    let mut world = changeable(&[1, 2, 3], &[]);
    let mut client = administrator(&mut world, zk(1));
    world.start(zk(4));
    world.connect(zk(4));
    let changed = text(world.call(&mut client, joining(&line(4, "observer"))));
    world.run_for(300);
    for server in 1..=4 {
        world.crash(zk(server), Unsynced::Lost);
    }
    for server in 1..=4 {
        world.start(zk(server));
    }
    for server in 1..=4 {
        assert_eq!(configuration(&mut world, zk(server)), changed, "zk-{server}");
    }
    world.run_for(500);
    world.assert_agreement();
}

/// Joint validity: what the new configuration alone has accepted is not committed. Those who have seen it stay
/// out of an ensemble whose quorum has not, until a later change reaches them with somebody's vote.
#[test]
fn change_cut_off_from_the_old_members_is_not_committed() {
    let mut world = changeable(&[1, 2, 3], &[]);
    world.start(zk(4));
    world.start(zk(5));
    for server in 4..=5 {
        world.connect(zk(server));
    }
    let leader = world.leader().unwrap();
    let mut client = administrator(&mut world, leader);
    let others = followers(&world, 3);
    for server in [others[0], others[1]] {
        world.cut_between(leader, server);
    }
    let since = world.events.len();
    let members = [line(leader.number, "participant"), line(4, "participant"), line(5, "participant")];
    let wish =
        Op::Reconfig { joining: None, leaving: None, members: Some(members.join(",")), from_config: -1 };
    world.ask(&mut client, wish);
    world.run_for(4000);
    let committed = |event: &EventKind| matches!(event, EventKind::EnsembleChanged { .. });
    assert!(!world.events[since..].iter().any(|(_, _, event)| committed(event)), "the old quorum is missing");
    world.heal();
    let mut client = world.connect(others[0]);
    assert!(is_there(&world.call(&mut client, create("/after"))));
    world.run_for(4000);
    let next = world.leader().unwrap();
    assert!(others.contains(&next));
    let late = |world: &World, server| world.of(server).rev().find(|event| settled(event)).is_some_and(joins);
    assert!(!late(&world, leader), "seen on a real 3.8.0: who has seen the change wants a quorum of it too");
    let mut client = administrator(&mut world, next);
    let later = line(leader.number, "participant");
    assert!(text(world.call(&mut client, joining(&later))).contains("version=2"));
    world.run_for(70_000);
    world.assert_agreement();
}

fn joins(event: &EventKind) -> bool {
    matches!(event, EventKind::FollowerSynced { .. } | EventKind::LeaderEstablished { .. })
}

fn settled(event: &EventKind) -> bool {
    joins(event) || matches!(event, EventKind::RoleLost { .. })
}

/// Whatever is changed and whoever crashes or is cut off meanwhile.
#[test]
fn storms_of_changes_keep_one_history() {
    for seed in 0..25 {
        let mut dice = Entropy::new(seed);
        let mut world = changeable(&[1, 2, 3], &[4]);
        world.start(zk(5));
        world.run_for(1000);
        for _ in 0..10 {
            let (victim, server) = (zk(1 + (dice.draw() % 5) as u16), zk(1 + (dice.draw() % 5) as u16));
            let changed = 1 + (dice.draw() % 5) as u16;
            let wish = match dice.draw() % 3 {
                0 => joining(&line(changed, "participant")),
                1 => joining(&line(changed, "observer")),
                _ => leaving(&changed.to_string()),
            };
            if let Some(mut client) = world.connect_as(server, &Client::default()) {
                let credential = b"super:test".as_slice().into();
                world.ask(&mut client, Op::Auth { scheme: "digest".into(), credential });
                world.ask(&mut client, wish);
            }
            world.run_for(dice.draw() % 20);
            match dice.draw() % 3 {
                0 => world.crash(victim, Unsynced::Lost),
                1 => world.cut_off(victim),
                _ => {}
            }
            world.run_for(dice.draw() % 1500);
            world.heal();
            if !world.runs(victim) {
                world.start(victim);
            }
            world.run_for(dice.draw() % 1500);
        }
        world.run_for(8000);
        world.assert_agreement();
        let mut client = world.connect(zk(5));
        assert!(is_there(&world.call(&mut client, create("/after"))), "seed {seed}");
    }
}
