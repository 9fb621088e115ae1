//! Sessions — they live, move, expire and close as clients are promised.

use crate::*;

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
