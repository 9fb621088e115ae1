//! Tests of sessions — decides whether identities, chroots, closing, read-only servers and expiry are as in
//! the Java client. It never needs a world.

use super::*;
use crate::zookeeper::wire::{AUTH_XID, AddWatchMode, CreateMode, NO_ZXID, WatcherType};

fn bed(change: impl FnOnce(&mut ClientConfig)) -> Bed {
    let servers = vec![HostId::zookeeper(1), HostId::zookeeper(2), HostId::zookeeper(3)];
    let mut config = ClientConfig::new(servers, Duration::from_secs(6));
    change(&mut config);
    Bed { client: Client::new(config, Entropy::new(1)), out: Output::default(), now: Instant(0) }
}

fn up(change: impl FnOnce(&mut ClientConfig)) -> Bed {
    let mut bed = bed(change);
    bed.client.start(bed.now, &mut bed.out);
    bed.attach(5);
    bed.take();
    bed.client.take_news();
    bed
}

fn requests(frames: &[ClientFrame]) -> Vec<(i32, &'static str)> {
    let asked = frames.iter().filter_map(|frame| match frame {
        ClientFrame::Request { xid, op } => Some((*xid, op.name())),
        ClientFrame::Connect { .. } => None,
    });
    asked.collect()
}

fn auth(user: &str) -> Op {
    Op::Auth { scheme: "digest".to_owned(), credential: format!("{user}:secret").into_bytes().into() }
}

fn states(bed: &mut Bed) -> Vec<ClientState> {
    let states = bed.client.take_news().into_iter().filter_map(|news| match news {
        ClientNews::State(state) => Some(state),
        _ => None,
    });
    states.collect()
}

fn connected_read_only(session: u64) -> ServerFrame {
    ServerFrame::Connected { timeout_ms: 6_000, session: SessionId(session), password: 7, read_only: true }
}

/// `primeConnection`: identities go out on each connection, before watches and requests.
#[test]
fn identity_is_given_again_before_anything_else() {
    let mut bed = up(|_| ());
    let id = bed.ask(auth("ada"));
    assert_eq!(requests(&bed.sent()), [(AUTH_XID, "auth")]);
    bed.reply(AUTH_XID, 0, Ok(Reply::Done));
    assert_eq!(bed.replies(), [(id, Ok(Reply::Done))]);
    bed.ask(get("/a", true));
    bed.reply(1, 1, data());
    bed.cut();
    bed.ask(get("/b", false));
    bed.reconnect();
    bed.take();
    bed.receive(connected(6_000, 5));
    let sent = bed.sent();
    assert_eq!(requests(&sent), [(AUTH_XID, "auth"), (SET_WATCHES_XID, "setWatches"), (2, "getData")]);
}

#[test]
fn refused_identity_ends_everything() {
    let mut bed = up(|_| ());
    let identity = bed.ask(auth("mallory"));
    let read = bed.ask(get("/a", false));
    bed.reply(AUTH_XID, 0, Err(ZkError::AuthFailed));
    assert_eq!(bed.client.state(), ClientState::AuthFailed);
    assert_eq!(bed.client.next_wake(), None);
    let late = bed.ask(get("/a", false));
    let failed = Err(ZkError::AuthFailed);
    assert_eq!(bed.replies(), [(identity, failed.clone()), (read, failed.clone()), (late, failed)]);
}

#[test]
fn chroot_is_seen_by_servers_and_not_by_the_owner() {
    let mut bed = up(|config| config.chroot = Some("/app".to_owned()));
    let id = bed.ask(Op::create("/n", None, CreateMode::Persistent));
    bed.ask(get("/", true));
    let sent = bed.sent();
    let paths: Vec<&str> = sent
        .iter()
        .filter_map(|frame| match frame {
            ClientFrame::Request { op, .. } => Some(op.path()),
            ClientFrame::Connect { .. } => None,
        })
        .collect();
    assert_eq!(paths, ["/app/n", "/app"]);
    let created = |path: &str| Ok(Reply::Created { path: path.to_owned(), stat: Stat::default() });
    bed.reply(1, 1, created("/app/n"));
    assert_eq!(bed.replies(), [(id, created("/n"))]);
    bed.reply(2, 1, data());
    let event = |path: &str| WatchEvent { path: path.to_owned(), change: WatchChange::NodeDataChanged };
    bed.client.take_news();
    bed.take();
    bed.receive(ServerFrame::Notification { event: event("/app"), zxid: NO_ZXID });
    assert_eq!(bed.client.take_news(), [ClientNews::Watch(event("/"))]);
    let note = bed.take().into_iter().any(
        |effect| matches!(effect, Effect::Note(EventKind::ClientNotified { path, .. }) if path == "/app"),
    );
    assert!(note, "events name the servers' paths");
}

#[test]
fn malformed_path_is_refused_without_a_server() {
    let mut bed = up(|_| ());
    let id = bed.ask(get("a", false));
    assert_eq!(bed.replies(), [(id, Err(ZkError::BadArguments))]);
    assert_eq!(bed.take(), []);
}

#[test]
fn empty_multi_succeeds_without_a_server() {
    let mut bed = up(|_| ());
    let id = bed.ask(Op::Multi(vec![]));
    assert_eq!(bed.replies(), [(id, Ok(Reply::Multi(vec![])))]);
    assert_eq!(bed.take(), []);
}

/// "if (!state.isAlive() || closing) conLossPacket(packet)"
#[test]
fn nothing_is_asked_after_close() {
    let mut bed = up(|_| ());
    bed.ask(Op::CloseSession);
    let late = bed.ask(get("/a", false));
    assert_eq!(bed.replies(), [(late, Err(ZkError::ConnectionLoss))]);
}

/// "don't re-establish connection if we are closing"
#[test]
fn client_that_closes_does_not_look_for_another_server() {
    let mut bed = up(|_| ());
    let id = bed.ask(Op::CloseSession);
    bed.cut();
    assert_eq!(bed.client.state(), ClientState::Closed);
    assert_eq!(bed.client.next_wake(), None);
    let lost = ClientNews::Reply { id, result: Err(ZkError::ConnectionLoss) };
    let states = [ClientState::Disconnected, ClientState::Closed].map(ClientNews::State);
    assert_eq!(bed.client.take_news(), [vec![lost], states.to_vec()].concat());
}

/// "a ping request either time is due", also when a request wakes a client that was silent for long.
#[test]
fn request_after_a_long_silence_is_followed_by_a_ping() {
    let mut bed = up(|_| ());
    bed.now = Instant(SECOND / 2);
    bed.ask(get("/a", false));
    assert_eq!(requests(&bed.sent()), [(1, "getData")]);
    bed.now = Instant(SECOND / 2 + SECOND + 1);
    bed.ask(get("/a", false));
    assert_eq!(requests(&bed.sent()), [(2, "getData"), (PING_XID, "ping")]);
}

/// `if (replyHdr.getZxid() > 0) lastZxid = replyHdr.getZxid()`
#[test]
fn header_without_a_zxid_is_not_remembered() {
    let mut bed = up(|_| ());
    bed.ask(get("/a", false));
    bed.reply(1, 7, data());
    bed.ask(Op::Unknown);
    bed.receive(ServerFrame::Reply { xid: 2, zxid: NO_ZXID, result: Err(ZkError::Unimplemented) });
    bed.cut();
    bed.take();
    bed.reconnect();
    let sent = bed.sent();
    assert!(
        matches!(sent[..], [ClientFrame::Connect { last_zxid_seen, .. }] if last_zxid_seen == Zxid::new(Epoch(1), 7))
    );
}

#[test]
fn server_that_is_behind_hangs_up_and_the_next_one_is_tried() {
    let mut bed = up(|_| ());
    bed.cut();
    bed.reconnect();
    bed.client.take_news();
    bed.cut();
    assert_eq!(bed.client.state(), ClientState::Disconnected, "silence is no refusal");
    bed.reconnect();
    bed.receive(connected(6_000, 5));
    assert_eq!(states(&mut bed), [ClientState::Connected]);
}

/// "Unable to reconnect to ZooKeeper service, session has expired", whatever the session was.
#[test]
fn refused_first_session_is_expired() {
    let mut bed = bed(|_| ());
    bed.client.start(bed.now, &mut bed.out);
    bed.client.connected(bed.now, bed.conn(), &mut bed.out);
    bed.receive(connected(0, 0));
    assert_eq!(bed.client.state(), ClientState::Expired);
    assert!(bed.take().iter().all(|effect| !matches!(effect, Effect::Note(_))), "no session has expired");
}

/// "So when such client finds a r/w server, it sends 0 instead of fake sessionId"
#[test]
fn provisional_session_is_not_presented_elsewhere() {
    let mut bed = bed(|config| config.read_only = true);
    bed.client.start(bed.now, &mut bed.out);
    bed.client.connected(bed.now, bed.conn(), &mut bed.out);
    bed.receive(connected_read_only(9));
    assert_eq!(states(&mut bed), [ClientState::ConnectedReadOnly]);
    bed.cut();
    bed.take();
    bed.reconnect();
    let sent = bed.sent();
    assert!(
        matches!(sent[..], [ClientFrame::Connect { session: SessionId::NONE, read_only: true, .. }]),
        "{sent:?}"
    );
}

/// `seenRwServerBefore`: a true session stays one on a read-only server.
#[test]
fn true_session_is_presented_to_everybody() {
    let mut bed = up(|config| config.read_only = true);
    bed.cut();
    bed.reconnect();
    bed.receive(connected_read_only(5));
    bed.cut();
    bed.take();
    bed.reconnect();
    assert!(matches!(bed.sent()[..], [ClientFrame::Connect { session: SessionId(5), .. }]));
}

/// ZOOKEEPER-4508: `expirationTimeout = negotiatedSessionTimeout * 4 / 3`
#[test]
fn client_may_find_itself_that_its_session_is_over() {
    let mut bed = up(|config| config.expiry = Expiry::ByClient);
    bed.cut();
    let id = bed.ask(get("/a", false));
    while bed.client.state() == ClientState::Disconnected {
        bed.at(bed.client.next_wake().unwrap().0);
        assert!(bed.now.0 <= 8 * SECOND);
    }
    assert_eq!(bed.now, Instant(8 * SECOND));
    assert_eq!(bed.client.state(), ClientState::Expired);
    assert_eq!(bed.replies(), [(id, Err(ZkError::ConnectionLoss))], "a dial that failed took it along");
    assert!(!bed.take().contains(&Effect::Note(EventKind::ClientExpired { session: SessionId(5) })));
}

#[test]
fn session_is_never_given_up_by_the_client_alone_by_default() {
    let mut bed = up(|_| ());
    bed.cut();
    while bed.now.0 < 100 * SECOND {
        bed.at(bed.client.next_wake().unwrap().0);
    }
    assert_eq!(bed.client.state(), ClientState::Disconnected);
}

#[test]
fn removed_watch_is_told_and_not_set_again() {
    let mut bed = up(|_| ());
    bed.ask(Op::AddWatch { path: "/a".to_owned(), mode: AddWatchMode::Persistent });
    bed.reply(1, 1, Ok(Reply::Done));
    let id = bed.client.remove_watches("/a", WatcherType::Any, OnError::Keep);
    bed.client.flush(bed.now, &mut bed.out);
    bed.client.take_news();
    bed.reply(2, 1, Ok(Reply::Done));
    let removed = ClientNews::WatchRemoved { path: "/a".to_owned(), kind: Removed::Persistent };
    assert_eq!(bed.client.take_news(), [removed, ClientNews::Reply { id, result: Ok(Reply::Done) }]);
    assert_eq!(bed.client.watches.rearm(Zxid(0), str::to_owned), []);
}

#[test]
fn removal_may_be_forced_without_a_server() {
    let mut bed = up(|_| ());
    bed.ask(get("/a", true));
    bed.reply(1, 1, data());
    let id = bed.client.remove_watches("/a", WatcherType::Data, OnError::Forget);
    bed.client.flush(bed.now, &mut bed.out);
    bed.client.take_news();
    bed.cut();
    assert_eq!(bed.replies(), [(id, Ok(Reply::Done))]);
    assert_eq!(bed.client.watches.rearm(Zxid(0), str::to_owned), []);
}

#[test]
fn new_list_of_servers_may_move_the_client() {
    let mut bed = up(|_| ());
    bed.client.update_servers(bed.now, vec![HostId::zookeeper(7)], &mut bed.out);
    assert_eq!(bed.client.state(), ClientState::Disconnected);
    bed.take();
    bed.reconnect();
    let dialed = bed.take().into_iter().find_map(|effect| match effect {
        Effect::Dial { to, .. } => Some(to.host),
        _ => None,
    });
    assert_eq!(dialed, Some(HostId::zookeeper(7)));
}

#[test]
fn each_session_counts_its_requests_from_one() {
    let mut bed = up(|_| ());
    bed.ask(Op::CloseSession);
    bed.reply(1, 1, Ok(Reply::Done));
    bed.client.start(bed.now, &mut bed.out);
    bed.attach(6);
    bed.take();
    bed.ask(get("/a", false));
    assert_eq!(requests(&bed.sent()), [(1, "getData")]);
}
