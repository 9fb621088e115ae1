//! Tests of the client — decides whether each rule of the Java client holds. It never needs a world: frames
//! go in, frames come out.

mod session;

use std::{collections::BTreeSet, time::Duration};

use super::{bench::Frame, *};
use crate::{
    core::Effect,
    event::EventKind,
    name::Epoch,
    zookeeper::wire::{PING_XID, Reply, SET_WATCHES_XID, Stat, WatchChange, WatchEvent, ZkError},
};

const SECOND: u64 = 1_000_000_000;

/// An answer to connect.
fn connected(timeout_ms: u64, session: u64) -> ServerFrame {
    let password = if session == 0 { 0 } else { 7 };
    ServerFrame::Connected { timeout_ms, session: SessionId(session), password, read_only: false }
}

/// A client that asks for 6 s, with three servers: 2 s to connect, 4 s of silence, a ping after 2 s.
struct Bed {
    client: Client,
    out: Output<Frame>,
    now: Instant,
}

impl Bed {
    fn new() -> Self {
        let servers = vec![HostId::zookeeper(1), HostId::zookeeper(2), HostId::zookeeper(3)];
        let config = ClientConfig::new(servers, Duration::from_secs(6));
        let client = Client::new(config, Entropy::new(1));
        Self { client, out: Output::default(), now: Instant(0) }
    }

    fn up() -> Self {
        let mut bed = Self::new();
        bed.client.start(bed.now, &mut bed.out);
        bed.attach(5);
        bed.take();
        bed.client.take_news();
        bed
    }

    fn conn(&self) -> ConnId {
        self.client.conn().unwrap()
    }

    fn at(&mut self, nanos: u64) {
        self.now = Instant(nanos);
        self.client.wake(self.now, &mut self.out);
    }

    fn attach(&mut self, session: u64) {
        let conn = self.conn();
        self.client.connected(self.now, conn, &mut self.out);
        self.receive(connected(6_000, session));
    }

    fn receive(&mut self, frame: ServerFrame) {
        self.client.received(self.now, self.conn(), frame, &mut self.out);
    }

    fn reply(&mut self, xid: i32, counter: u32, result: Result<Reply, ZkError>) {
        self.receive(ServerFrame::Reply { xid, zxid: Zxid::new(Epoch(1), counter), result });
    }

    fn ask(&mut self, op: Op) -> RequestId {
        self.client.request(self.now, op, &mut self.out)
    }

    fn cut(&mut self) {
        let conn = self.conn();
        self.client.closed(self.now, conn, &mut self.out);
    }

    /// To the next server, as soon as the client dials it.
    fn reconnect(&mut self) {
        let dial = self.client.next_wake().unwrap();
        self.at(dial.0);
        let conn = self.conn();
        self.client.connected(self.now, conn, &mut self.out);
    }

    fn take(&mut self) -> Vec<Effect<Frame>> {
        self.out.drain().collect()
    }

    fn sent(&mut self) -> Vec<ClientFrame> {
        let sends = self.take().into_iter().filter_map(|effect| match effect {
            Effect::Send { message: Frame::ToServer(frame), .. } => Some(frame),
            _ => None,
        });
        sends.collect()
    }

    fn replies(&mut self) -> Vec<(RequestId, Result<Reply, ZkError>)> {
        let replies = self.client.take_news().into_iter().filter_map(|news| match news {
            ClientNews::Reply { id, result } => Some((id, result)),
            _ => None,
        });
        replies.collect()
    }
}

fn get(path: &str, watch: bool) -> Op {
    Op::GetData { path: path.to_owned(), watch }
}

fn data() -> Result<Reply, ZkError> {
    Ok(Reply::Data { data: None, stat: Stat::default() })
}

#[test]
fn first_connection_asks_for_a_new_session() {
    let mut bed = Bed::new();
    assert_eq!(bed.client.state(), ClientState::Closed);
    bed.client.start(bed.now, &mut bed.out);
    assert_eq!(bed.client.state(), ClientState::Connecting);
    bed.attach(5);
    let connect = ClientFrame::Connect {
        last_zxid_seen: Zxid(0),
        timeout_ms: 6_000,
        session: SessionId::NONE,
        password: 0,
        read_only: false,
    };
    assert_eq!(bed.sent(), [connect]);
    assert_eq!(bed.client.take_news(), [ClientNews::State(ClientState::Connected)]);
    assert_eq!(bed.client.session(), Some(SessionId(5)));
}

#[test]
fn server_list_is_shuffled_and_gone_round() {
    let mut bed = Bed::new();
    bed.client.start(bed.now, &mut bed.out);
    for _ in 0..3 {
        bed.cut();
        let dial = bed.client.next_wake().unwrap();
        bed.at(dial.0);
    }
    let dialed: Vec<HostId> = bed
        .take()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Dial { to, .. } => Some(to.host),
            _ => None,
        })
        .collect();
    assert_eq!(dialed[0], dialed[3]);
    assert_eq!(dialed.iter().collect::<BTreeSet<_>>().len(), 3);
}

/// "connect timeout = timeout/hosts"
#[test]
fn unanswered_dial_is_given_up_after_its_share_of_the_timeout() {
    let mut bed = Bed::new();
    bed.client.start(bed.now, &mut bed.out);
    assert_eq!(bed.client.next_wake(), Some(Instant(2 * SECOND)));
    bed.at(2 * SECOND - 1);
    assert!(bed.client.conn().is_some());
    bed.at(2 * SECOND);
    assert!(bed.client.conn().is_none());
}

#[test]
fn unanswered_greeting_is_given_up_after_its_share_of_the_timeout() {
    let mut bed = Bed::new();
    bed.client.start(bed.now, &mut bed.out);
    bed.now = Instant(SECOND);
    bed.client.connected(bed.now, bed.conn(), &mut bed.out);
    assert_eq!(bed.client.next_wake(), Some(Instant(3 * SECOND)));
}

/// "ping after 1/2 of [the read timeout] idle"
#[test]
fn idle_client_pings_after_a_third_of_the_timeout() {
    let mut bed = Bed::up();
    assert_eq!(bed.client.next_wake(), Some(Instant(2 * SECOND)));
    bed.at(2 * SECOND - 1);
    assert_eq!(bed.sent(), []);
    bed.at(2 * SECOND);
    assert_eq!(bed.sent(), [ClientFrame::Request { xid: PING_XID, op: Op::Ping }]);
}

/// "read timeout = 2/3 timeout"
#[test]
fn silent_server_is_left_after_two_thirds_of_the_timeout() {
    let mut bed = Bed::up();
    let id = bed.ask(get("/a", false));
    bed.at(2 * SECOND);
    bed.at(4 * SECOND - 1);
    assert_eq!(bed.client.state(), ClientState::Connected);
    bed.at(4 * SECOND);
    assert_eq!(bed.client.state(), ClientState::Disconnected);
    let lost = ClientNews::Reply { id, result: Err(ZkError::ConnectionLoss) };
    assert_eq!(bed.client.take_news(), [lost, ClientNews::State(ClientState::Disconnected)]);
}

#[test]
fn answered_pings_keep_the_connection() {
    let mut bed = Bed::up();
    for turn in 1..10 {
        bed.at(2 * turn * SECOND);
        bed.reply(PING_XID, 0, Ok(Reply::Done));
    }
    assert_eq!(bed.client.state(), ClientState::Connected);
    assert!(bed.take().iter().all(|effect| !matches!(effect, Effect::Note(_))), "pings are not noted");
}

/// "Lost leadership must be assumed locally at session_timeout × 2/3 (client side) without server contact"
#[test]
fn certainty_ends_two_thirds_after_the_last_answered_frame_was_sent() {
    let mut bed = Bed::up();
    bed.at(2 * SECOND);
    bed.now = Instant(3 * SECOND);
    bed.reply(PING_XID, 0, Ok(Reply::Done));
    assert_eq!(bed.client.certain_until(), Some(Instant(6 * SECOND)));
    assert!(bed.client.is_certainly_alive(Instant(6 * SECOND - 1)));
    assert!(!bed.client.is_certainly_alive(Instant(6 * SECOND)));
}

#[test]
fn pong_that_waited_through_a_pause_proves_nothing() {
    let mut bed = Bed::up();
    bed.at(2 * SECOND);
    bed.now = Instant(20 * SECOND);
    bed.reply(PING_XID, 0, Ok(Reply::Done));
    assert!(!bed.client.is_certainly_alive(bed.now));
}

#[test]
fn reconnect_presents_session_password_and_last_zxid_within_a_second() {
    let mut bed = Bed::up();
    bed.ask(get("/a", false));
    bed.reply(1, 8, data());
    bed.cut();
    bed.take();
    bed.reconnect();
    assert!(bed.now.0 < SECOND);
    let connect = ClientFrame::Connect {
        last_zxid_seen: Zxid::new(Epoch(1), 8),
        timeout_ms: 6_000,
        session: SessionId(5),
        password: 7,
        read_only: false,
    };
    assert_eq!(bed.sent(), [connect]);
}

#[test]
fn session_is_kept_over_a_reconnect() {
    let mut bed = Bed::up();
    bed.cut();
    bed.reconnect();
    bed.receive(connected(6_000, 5));
    let resumed = bed.take().into_iter().any(|effect| {
        matches!(
            effect,
            Effect::Note(EventKind::ClientConnected { resumed: true, session: SessionId(5), .. })
        )
    });
    assert!(resumed);
}

#[test]
fn request_before_the_connection_waits_for_it() {
    let mut bed = Bed::new();
    bed.client.start(bed.now, &mut bed.out);
    bed.ask(get("/a", false));
    bed.attach(5);
    let frames = bed.sent();
    assert_eq!(frames[1..], [ClientFrame::Request { xid: 1, op: get("/a", false) }]);
}

#[test]
fn waiting_request_fails_with_the_dial_it_waited_for() {
    let mut bed = Bed::new();
    bed.client.start(bed.now, &mut bed.out);
    let id = bed.ask(get("/a", false));
    bed.cut();
    assert_eq!(bed.replies(), [(id, Err(ZkError::ConnectionLoss))]);
}

#[test]
fn request_without_a_session_fails_at_once() {
    let mut bed = Bed::new();
    let id = bed.ask(get("/a", false));
    assert_eq!(bed.replies(), [(id, Err(ZkError::SessionExpired))]);
}

#[test]
fn refused_session_is_expired_and_a_new_one_can_be_started() {
    let mut bed = Bed::up();
    bed.cut();
    let id = bed.ask(get("/a", true));
    bed.reconnect();
    bed.receive(connected(0, 0));
    assert_eq!(bed.client.state(), ClientState::Expired);
    assert_eq!(bed.client.session(), None);
    assert_eq!(bed.replies(), [(id, Err(ZkError::SessionExpired))]);
    assert!(bed.take().contains(&Effect::Note(EventKind::ClientExpired { session: SessionId(5) })));
    bed.client.start(bed.now, &mut bed.out);
    bed.attach(6);
    assert_eq!(bed.client.session(), Some(SessionId(6)));
}

/// "setWatches (client sends after a reconnect, before any other op; relativeZxid = last zxid in a reply)"
#[test]
fn watches_are_set_again_before_any_other_op() {
    let mut bed = Bed::up();
    bed.ask(get("/data", true));
    bed.reply(1, 1, data());
    bed.ask(Op::Exists { path: "/exist".to_owned(), watch: true });
    bed.reply(2, 2, Err(ZkError::NoNode));
    bed.ask(Op::GetChildren { path: "/child".to_owned(), watch: true });
    bed.reply(3, 3, Ok(Reply::Children { names: vec![], stat: Stat::default() }));
    bed.cut();
    bed.reconnect();
    bed.ask(get("/next", false));
    bed.take();
    bed.receive(connected(6_000, 5));
    let rearm = Op::SetWatches {
        relative_zxid: Zxid::new(Epoch(1), 3),
        data: vec!["/data".to_owned()],
        exist: vec!["/exist".to_owned()],
        child: vec!["/child".to_owned()],
        persistent: vec![],
        recursive: vec![],
    };
    let expected = [
        ClientFrame::Request { xid: SET_WATCHES_XID, op: rearm },
        ClientFrame::Request { xid: 4, op: get("/next", false) },
    ];
    assert_eq!(bed.sent(), expected);
}

#[test]
fn no_watch_is_left_by_a_read_that_failed() {
    let mut bed = Bed::up();
    bed.ask(get("/a", true));
    bed.reply(1, 1, Err(ZkError::NoNode));
    assert_eq!(bed.client.watches.rearm(Zxid(0), str::to_owned), []);
}

#[test]
fn watch_that_fired_is_not_set_again() {
    let mut bed = Bed::up();
    bed.ask(get("/a", true));
    bed.reply(1, 1, data());
    let event = WatchEvent { path: "/a".to_owned(), change: WatchChange::NodeDataChanged };
    bed.client.take_news();
    bed.receive(ServerFrame::Notification { event: event.clone(), zxid: crate::zookeeper::wire::NO_ZXID });
    assert_eq!(bed.client.take_news(), [ClientNews::Watch(event)]);
    assert_eq!(bed.client.watches.rearm(Zxid(0), str::to_owned), []);
}

#[test]
fn reply_out_of_order_breaks_the_connection() {
    let mut bed = Bed::up();
    let id = bed.ask(get("/a", false));
    bed.reply(2, 1, data());
    assert_eq!(bed.client.state(), ClientState::Disconnected);
    assert_eq!(bed.replies(), [(id, Err(ZkError::ConnectionLoss))]);
}

#[test]
fn frame_of_a_connection_given_up_is_ignored() {
    let mut bed = Bed::up();
    let old = bed.conn();
    bed.cut();
    bed.client.take_news();
    let pong = ServerFrame::Reply { xid: PING_XID, zxid: Zxid(0), result: Ok(Reply::Done) };
    bed.client.received(bed.now, old, pong, &mut bed.out);
    assert_eq!(bed.client.take_news(), []);
}

#[test]
fn closed_session_is_over() {
    let mut bed = Bed::up();
    let id = bed.ask(Op::CloseSession);
    bed.reply(1, 1, Ok(Reply::Done));
    assert_eq!(bed.client.state(), ClientState::Closed);
    assert_eq!(bed.replies(), [(id, Ok(Reply::Done))]);
    assert_eq!(bed.client.next_wake(), None);
}

#[test]
fn reply_is_noted_with_session_xid_zxid_and_error() {
    let mut bed = Bed::up();
    bed.ask(get("/a", false));
    bed.reply(1, 9, Err(ZkError::NoNode));
    let note = EventKind::ClientReplied {
        session: SessionId(5),
        xid: 1,
        zxid: Zxid::new(Epoch(1), 9),
        op: "getData".into(),
        error: -101,
        path: "/a".into(),
        stat: None,
    };
    assert!(bed.take().contains(&Effect::Note(note)));
}

#[test]
fn timeout_is_negotiated_again_on_each_connection() {
    let mut bed = Bed::up();
    bed.cut();
    bed.reconnect();
    bed.receive(connected(3_000, 5));
    assert_eq!(bed.client.next_wake(), Some(bed.now + Duration::from_secs(1)));
}
