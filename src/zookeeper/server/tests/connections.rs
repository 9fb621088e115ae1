//! Tests of connections — decides whether those who come get the session they may have. It never asks
//! anything of the tree.

use super::*;

/// "body of the connect reply": the negotiated timeout, a session, its password.
#[test]
fn new_session_gets_a_clamped_timeout() {
    let mut lone = Lone::with(EnsembleConfig { session_timeout_max_ms: Some(7_000), ..config() });
    let conn = lone.dial();
    lone.say(conn, hello());
    let frames = lone.hear(conn);
    let [ServerFrame::Connected { timeout_ms: 7_000, session, read_only: false, .. }] = frames[..] else {
        panic!("{frames:?}");
    };
    assert_ne!(session, SessionId::NONE);
}

/// The recordings `session_wrong_password`, `session_unknown_id`: "wrong password: id 0, timeout 0, connection
/// closed; and the good connection of that session is cut too; session survives".
#[test]
fn wrong_password_is_refused_and_cuts_the_good_connection() {
    let mut lone = Lone::new();
    let client = lone.connect();
    let conn = lone.dial();
    lone.say(conn, hello_of(client.session, client.password ^ 1));
    assert_eq!(lone.hear(conn), [refused()]);
    assert!(lone.is_closed(conn) && lone.is_closed(client.conn));
    assert_eq!(lone.connect_as(hello_of(client.session, client.password)).session, client.session);
}

#[test]
fn unknown_session_is_refused_whatever_its_password() {
    let mut lone = Lone::new();
    let session = SessionId(0x0123_4567);
    let conn = lone.dial();
    lone.say(conn, hello_of(session, crate::zookeeper::session::password(session)));
    assert_eq!(lone.hear(conn), [refused()]);
    assert!(lone.is_closed(conn));
}

/// The recording `session_takeover_same_server`.
#[test]
fn second_connection_of_a_session_closes_the_first() {
    let mut lone = Lone::new();
    let first = lone.connect();
    let second = lone.connect_as(hello_of(first.session, first.password));
    assert!(lone.is_closed(first.conn) && !lone.is_closed(second.conn));
    assert!(lone.call(second, create("/n")).is_ok());
}

/// "lastZxidSeen ahead: silent close, no refusal"
#[test]
fn client_ahead_of_the_server_is_closed_without_a_word() {
    let mut lone = Lone::new();
    let conn = lone.dial();
    let last_zxid_seen = Zxid(u64::MAX >> 1);
    let (timeout_ms, session, password, read_only) = (TIMEOUT_MS, SessionId::NONE, 0, false);
    lone.say(conn, ClientFrame::Connect { last_zxid_seen, timeout_ms, session, password, read_only });
    assert!(lone.is_closed(conn) && lone.hear(conn).is_empty());
}

/// A real server does not read from a connection until its session is set up.
#[test]
fn requests_sent_with_the_connect_request_are_answered_behind_its_reply() {
    let mut lone = Lone::new();
    let client = lone.connect();
    lone.call(client, create("/n")).unwrap();
    let conn = lone.dial();
    lone.say_at_once(conn, [hello(), ClientFrame::Request { xid: 4, op: exists("/n") }]);
    let frames = lone.hear(conn);
    assert!(matches!(frames[0], ServerFrame::Connected { .. }));
    assert_eq!(brief(frames), [(4, None)]);
}

#[test]
fn request_before_the_connect_request_closes() {
    let mut lone = Lone::new();
    let conn = lone.dial();
    lone.ask(conn, 1, Op::Ping);
    assert!(lone.is_closed(conn));
    let client = lone.connect();
    lone.say(client.conn, hello());
    assert!(lone.is_closed(client.conn), "nor a second one");
}

/// "maxClientCnxns | 60 per address"
#[test]
fn connection_too_many_from_one_address_is_closed() {
    let mut lone = Lone::with(EnsembleConfig { max_client_connections: 2, ..config() });
    let [first, second, third] = [lone.dial(), lone.dial(), lone.dial()];
    assert_eq!([first, second, third].map(|conn| lone.is_closed(conn)), [false, false, true]);
    let elsewhere = lone.dial_from(HostId::client(2));
    assert!(!lone.is_closed(elsewhere));
    lone.step(Input::Closed { conn: first, reason: crate::core::CloseReason::Closed });
    let fourth = lone.dial();
    assert!(!lone.is_closed(fourth));
}

#[test]
fn address_of_a_connection_is_its_identity() {
    let mut lone = Lone::new();
    lone.server.comes_from(ConnId(2), "10.1.2.3");
    let client = lone.connect();
    assert_eq!(client.conn, ConnId(2));
    assert_eq!(lone.who(client), [("ip".to_owned(), "10.1.2.3".to_owned())]);
}

/// The recording `session_silent_expiry`: "a connected client that sends nothing expires and is
/// disconnected".
#[test]
fn silent_client_expires_and_is_cut_off() {
    let mut lone = Lone::new();
    let client = lone.connect();
    lone.call(client, ephemeral("/e")).unwrap();
    lone.pass(TIMEOUT_MS - 1);
    assert!(!lone.is_closed(client.conn));
    lone.ask(client.conn, PING_XID, Op::Ping);
    lone.pass(TIMEOUT_MS - 1);
    assert!(!lone.is_closed(client.conn), "a ping is a sign of life");
    lone.hear(client.conn);
    lone.pass(2 * lone.server.replica.config.tick_ms);
    assert!(lone.is_closed(client.conn) && lone.hear(client.conn).is_empty());
    let conn = lone.dial();
    lone.say(conn, hello_of(client.session, client.password));
    assert_eq!(lone.hear(conn), [refused()]);
}

#[test]
fn status_tells_what_the_four_letter_words_need() {
    let mut lone = Lone::new();
    let client = lone.connect();
    lone.call(client, ephemeral("/e")).unwrap();
    lone.call(client, Op::GetData { path: "/e".into(), watch: true }).unwrap();
    let status = lone.server.status();
    assert_eq!((status.mode, status.znodes, status.watches), (Some(Mode::Standalone), 5, 1));
    assert_eq!((status.traffic.received, status.traffic.sent), (3, 3));
    let [connection] = &status.connections[..] else { panic!("{:?}", status.connections) };
    assert_eq!(
        (connection.session, connection.timeout_ms, connection.queued),
        (client.session, TIMEOUT_MS, 0)
    );
    assert_eq!(connection.last.map(|last| (last.op, last.xid, last.zxid)), Some(("getData", 1, status.zxid)));
    assert_eq!(status.watched, [(Arc::from("/e"), vec![client.session])]);
    assert_eq!(status.sessions.into_iter().collect::<Vec<_>>(), [(client.session, TIMEOUT_MS)]);
    assert_eq!(status.expiries.into_values().flatten().collect::<Vec<_>>(), [client.session]);
    assert_eq!(status.ephemerals.len(), 1);
    lone.server.reset_traffic();
    assert_eq!(lone.server.status().traffic, Default::default());
}

/// `zookeeper.nio.sessionlessCnxnTimeout`: "a thousand connections that say nothing" do not stay.
#[test]
fn connection_that_says_nothing_is_closed() {
    let mut lone = Lone::new();
    let (mute, client) = (lone.dial(), lone.connect());
    for _ in 0..4 {
        lone.pass(5_000);
        lone.ask(client.conn, PING_XID, Op::Ping);
    }
    assert!(lone.is_closed(mute) && !lone.is_closed(client.conn));
    let status = lone.server.status();
    assert_eq!(
        status.connections.iter().map(|connection| connection.conn).collect::<Vec<_>>(),
        [client.conn]
    );
}

#[test]
fn connection_whose_session_has_gone_elsewhere_is_closed_when_it_is_silent() {
    let mut lone = Lone::with(EnsembleConfig { local_sessions: LocalSessions::On, ..config() });
    let client = lone.connect();
    lone.server.local.remove(client.session);
    lone.pass(2 * TIMEOUT_MS);
    assert!(lone.is_closed(client.conn));
}
