//! Tests of local sessions on one server — decides whether they live without a transaction. It never moves
//! one: that takes an ensemble.

use super::*;

fn with(local_sessions: LocalSessions) -> Lone {
    Lone::with(EnsembleConfig { local_sessions, ..config() })
}

fn zxid(lone: &Lone) -> u64 {
    lone.server.status().zxid.0
}

/// "(localSessionsEnabled) no txn, no zxid"
#[test]
fn local_session_opens_and_closes_without_a_zxid() {
    let mut lone = with(LocalSessions::On);
    let before = zxid(&lone);
    let client = lone.connect();
    assert_eq!(lone.server.status().local_sessions, [client.session]);
    assert_eq!(lone.call(client, Op::CloseSession), Ok(Reply::Done));
    assert!(lone.is_closed(client.conn) && lone.server.status().local_sessions.is_empty());
    assert_eq!(zxid(&lone), before);
    let conn = lone.dial();
    lone.say(conn, hello_of(client.session, client.password));
    assert_eq!(lone.hear(conn), [refused()]);
}

#[test]
fn local_session_writes_and_comes_back_to_its_server() {
    let mut lone = with(LocalSessions::On);
    let first = lone.connect();
    assert!(lone.call(first, create("/n")).is_ok());
    let again = lone.connect_as(hello_of(first.session, first.password));
    assert_eq!(again.session, first.session);
    assert!(lone.call(again, set("/n")).is_ok());
}

/// The recording `local_session_ephemeral` of a 3.8.0 ensemble.
#[test]
fn local_session_cannot_own_an_ephemeral_if_it_may_not_be_upgraded() {
    let mut lone = with(LocalSessions::On);
    let client = lone.connect();
    let before = zxid(&lone);
    assert_eq!(lone.call(client, ephemeral("/e")), Err(ZkError::EphemeralOnLocalSession));
    assert_eq!(zxid(&lone), before + 1, "the refusal uses up a zxid");
    let refused = Err(ZkError::EphemeralOnLocalSession);
    assert_eq!(lone.call(client, Op::Multi(vec![ephemeral("/e")])), Ok(Reply::Multi(vec![refused])));
    assert!(lone.call(client, create("/n")).is_ok());
}

/// "first ephemeral create upgrades (a createSession txn first)"
#[test]
fn first_ephemeral_makes_a_local_session_global() {
    for op in [ephemeral("/e"), Op::Multi(vec![create("/p"), ephemeral("/e")])] {
        let mut lone = with(LocalSessions::Upgrading);
        let client = lone.connect();
        let before = zxid(&lone);
        assert!(lone.call(client, op).is_ok());
        assert_eq!(zxid(&lone), before + 2, "a createSession, then the write");
        let status = lone.server.status();
        assert!(status.local_sessions.is_empty() && status.sessions.contains_key(&client.session));
        assert!(lone.call(client, ephemeral("/f")).is_ok());
        assert_eq!(zxid(&lone), before + 3, "once");
        lone.call(client, Op::CloseSession).unwrap();
        assert_eq!(zxid(&lone), before + 4, "a global session closes by a transaction");
        assert!(lone.server.status().ephemerals.is_empty());
    }
}

/// ZOOKEEPER-3471: "Local session upgraded while its close is under way: ephemerals stay".
#[test]
fn ephemeral_behind_a_close_is_not_made() {
    let mut lone = with(LocalSessions::Upgrading);
    let client = lone.connect();
    lone.ask_at_once(client, [(1, create("/n")), (2, Op::CloseSession), (3, ephemeral("/e"))]);
    assert_eq!(brief(lone.hear(client.conn)), [(1, None), (2, None)]);
    let status = lone.server.status();
    assert!(lone.is_closed(client.conn) && status.ephemerals.is_empty() && status.sessions.is_empty());
}

/// "known only to their server … expire on their own server"
#[test]
fn silent_local_session_expires() {
    let mut lone = with(LocalSessions::On);
    let client = lone.connect();
    let before = zxid(&lone);
    lone.pass(TIMEOUT_MS + 2_000);
    assert!(lone.is_closed(client.conn) && lone.server.status().local_sessions.is_empty());
    assert_eq!(zxid(&lone), before);
}

#[test]
fn close_under_way_ends_a_local_session_whose_connection_is_lost() {
    let mut lone = with(LocalSessions::On);
    let client = lone.connect();
    let conn = client.conn;
    for (xid, op) in [(1, create("/n")), (2, Op::CloseSession)] {
        let message = Message::ToServer(ClientFrame::Request { xid, op });
        lone.server.step(
            Now { mono: lone.now, wall_ms: 0 },
            Input::Received { conn, message },
            &mut lone.out,
        );
    }
    assert_eq!(lone.server.status().local_sessions, [client.session], "the create comes first");
    lone.step(Input::Closed { conn, reason: crate::core::CloseReason::Reset });
    assert!(lone.server.status().local_sessions.is_empty());
}
