//! Local sessions — known to one server until they own an ephemeral node.

use shardarium::zookeeper::wire::{EnsembleConfig, LocalSessions};

use crate::*;

fn local(local_sessions: LocalSessions, on: &[u16]) -> (World, Vec<Client>) {
    let servers = (1..=3).map(zk).collect();
    let config = EnsembleConfig { servers, tick_ms: 200, local_sessions, ..EnsembleConfig::default() };
    let mut world = World::of_ensemble(config);
    world.start_all();
    let clients = on.iter().map(|server| world.connect(zk(*server))).collect();
    (world, clients)
}

fn opened(world: &World) -> usize {
    world.events.iter().filter(|(_, _, event)| matches!(event, EventKind::SessionOpened { .. })).count()
}

/// The recording `local_session_no_move` of a 3.8.0 ensemble: "cannot move (elsewhere: expired)".
#[test]
fn local_session_comes_back_to_its_server_alone() {
    let (mut world, clients) = local(LocalSessions::Upgrading, &[1, 2, 3]);
    for (client, home) in clients.into_iter().zip(1..) {
        let again = world.reconnect(zk(home), &client);
        assert_eq!(again.session, client.session);
        let elsewhere = world.connect_as(zk(home % 3 + 1), &client).expect("an answer");
        assert_eq!(elsewhere.session, SessionId::NONE);
    }
    assert_eq!(opened(&world), 0, "no transaction");
}

/// The recording `local_session_ephemeral` of a 3.8.0 ensemble: on a follower the refusal inside a multi shows
/// as SessionExpired.
#[test]
fn ephemeral_is_refused_where_sessions_stay_local() {
    let (mut world, mut clients) = local(LocalSessions::On, &[1, 2, 3]);
    let leader = world.leader().expect("a leader");
    for (client, server) in clients.iter_mut().zip(1..) {
        assert!(is_there(&world.call(client, create(&format!("/{server}")))));
        let refused = Err(ZkError::EphemeralOnLocalSession);
        assert_eq!(world.call(client, create_ephemeral("/e")), Some(refused.clone()));
        let in_multi = if zk(server) == leader { refused } else { Err(ZkError::SessionExpired) };
        let multi = Op::Multi(vec![create_ephemeral("/e")]);
        assert_eq!(world.call(client, multi), Some(Ok(Reply::Multi(vec![in_multi]))));
    }
}

/// "first ephemeral create upgrades (a createSession txn first)"; then the session is as any other.
#[test]
fn upgraded_session_moves_and_its_ephemerals_go_with_it() {
    for home in 1..=3 {
        let (mut world, clients) = local(LocalSessions::Upgrading, &[home]);
        let mut client = clients[0];
        assert!(is_there(&world.call(&mut client, create_ephemeral("/e"))));
        assert!(opened(&world) > 0, "the whole ensemble knows it");
        let mut moved = world.reconnect(zk(home % 3 + 1), &client);
        assert_eq!(moved.session, client.session);
        assert!(is_there(&world.call(&mut moved, exists("/e"))));
        assert_eq!(world.call(&mut moved, Op::CloseSession), Some(Ok(Reply::Done)));
        let mut other = world.reconnect(zk(home), &Client { seen: moved.seen, ..Client::default() });
        assert_eq!(world.call(&mut other, exists("/e")), Some(Err(ZkError::NoNode)));
    }
}

/// "expire on their own server"; a session that was upgraded expires as any other, by the leader.
#[test]
fn silent_sessions_expire_local_or_not() {
    let (mut world, clients) = local(LocalSessions::Upgrading, &[1, 2]);
    let mut upgraded = clients[1];
    assert!(is_there(&world.call(&mut upgraded, create_ephemeral("/e"))));
    world.run_for(5_000);
    for client in clients {
        assert!(world.closed.contains(&client.conn));
        let expired = |event: &EventKind| matches!(event, EventKind::SessionExpired { session } if *session == client.session);
        assert!(world.events.iter().any(|(_, _, event)| expired(event)));
    }
    let mut other = world.reconnect(zk(3), &Client { seen: upgraded.seen, ..Client::default() });
    assert_eq!(world.call(&mut other, exists("/e")), Some(Err(ZkError::NoNode)));
}
