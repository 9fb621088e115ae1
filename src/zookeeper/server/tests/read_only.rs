//! Tests of read-only mode — decides whether a server without a quorum serves those who asked for no more.
//! It never finds a leader.

use super::*;

const TICK_MS: u64 = 2_000;

/// A server of three that is alone.
fn alone(read_only: bool) -> Lone {
    alone_with(EnsembleConfig { read_only, ..config() })
}

fn alone_with(config: EnsembleConfig) -> Lone {
    let servers = (1..=3).map(HostId::zookeeper).collect();
    Lone::with(EnsembleConfig { servers, tick_ms: TICK_MS, ..config })
}

fn reader(session: SessionId, password: Password) -> ClientFrame {
    let (last_zxid_seen, timeout_ms, read_only) = (Zxid(0), TIMEOUT_MS, true);
    ClientFrame::Connect { last_zxid_seen, timeout_ms, session, password, read_only }
}

/// "a server LOOKING longer than max(2000 ms, tick) serves reads from its own state"
#[test]
fn server_without_a_quorum_opens_after_its_grace_if_it_may() {
    for (read_only, serves) in [(true, true), (false, false)] {
        let mut lone = alone(read_only);
        let early = lone.dial();
        assert!(lone.is_closed(early), "a second has passed");
        lone.pass(TICK_MS);
        let late = lone.dial();
        assert_eq!(lone.is_closed(late), !serves);
        assert_eq!(lone.server.status().mode, serves.then_some(Mode::ReadOnly));
    }
}

/// The recording `read_only_mode` of a 3.8.0 ensemble: "ro client connects, reads work, writes give
/// NotReadOnly; non-ro client dropped".
#[test]
fn reader_is_served_and_writer_dropped() {
    let mut lone = alone(true);
    lone.pass(TICK_MS);
    let conn = lone.dial();
    lone.say(conn, hello());
    assert!(lone.is_closed(conn) && lone.hear(conn).is_empty());
    let conn = lone.dial();
    lone.say(conn, reader(SessionId::NONE, 0));
    let frames = lone.hear(conn);
    let [ServerFrame::Connected { timeout_ms: TIMEOUT_MS, session, password, read_only: true }] = frames[..]
    else {
        panic!("{frames:?}");
    };
    let client = Client { conn, session, password };
    for op in [
        create("/x"),
        set("/zookeeper"),
        Op::Delete { path: "/zookeeper".into(), version: -1 },
        Op::Multi(vec![]),
        Op::Sync { path: "/".into() },
        Op::SetAcl { path: "/".into(), acl: Acl::open(), version: -1 },
        Op::Malformed { write: true, error: ZkError::MarshallingError },
    ] {
        assert_eq!(lone.call(client, op), Err(ZkError::NotReadOnly));
    }
    for op in [
        exists("/zookeeper"),
        Op::GetData { path: "/zookeeper".into(), watch: true },
        Op::MultiRead(vec![get("/zookeeper")]),
        Op::GetEphemerals { prefix: String::new() },
        Op::WhoAmI,
        Op::Ping,
    ] {
        assert!(lone.call(client, op).is_ok());
    }
    assert_eq!(lone.call(client, Op::CloseSession), Ok(Reply::Done));
    assert!(lone.is_closed(conn));
}

#[test]
fn provisional_session_comes_back_and_expires() {
    let mut lone = alone(true);
    lone.pass(TICK_MS);
    let first = lone.connect_as(reader(SessionId::NONE, 0));
    let again = lone.connect_as(reader(first.session, first.password));
    assert_eq!(again.session, first.session);
    lone.pass(TIMEOUT_MS + TICK_MS);
    assert!(lone.is_closed(again.conn));
}

/// "sessions there are provisional (id keeps, expires not seen)"; a local session cannot move.
#[test]
fn session_that_is_not_known_here_goes_on_unless_it_is_local_elsewhere() {
    let session = SessionId(0x0200_0000_0000_0001);
    let password = crate::zookeeper::session::password(session);
    let come = |local_sessions| {
        let mut lone = alone_with(EnsembleConfig { read_only: true, local_sessions, ..config() });
        lone.pass(TICK_MS);
        let conn = lone.dial();
        lone.say(conn, reader(session, password));
        (lone.hear(conn), lone.is_closed(conn))
    };
    let connected = |timeout_ms, session, password| {
        vec![ServerFrame::Connected { timeout_ms, session, password, read_only: true }]
    };
    assert_eq!(come(LocalSessions::Off), (connected(TIMEOUT_MS, session, password), false));
    assert_eq!(come(LocalSessions::On), (connected(0, SessionId::NONE, 0), true));
}
