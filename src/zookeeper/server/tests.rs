//! Tests of a server's client port — decides whether a connection sees what one to a real server does. It
//! never uses more than one server.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{Server, status::Mode};
use crate::{
    core::{ConnId, Core, Deferred, Effect, Entropy, Files, Input, Instant, Now, Output, Port},
    defect::Defects,
    name::{HostId, SessionId, Zxid},
    zookeeper::{
        access::digest_of,
        peer::Message,
        wire::{
            AUTH_XID, Acl, AddWatchMode, ClientFrame, Compat, CreateMode, Data, EnsembleConfig, Id,
            LocalSessions, NO_ZXID, Op, PING_XID, Password, Reply, ServerFrame, WatcherType, ZkError,
        },
    },
};

mod connections;
mod local;
mod read_only;
mod requests;

const ZK_1: HostId = HostId::zookeeper(1);
const HOST: HostId = HostId::client(1);
const TIMEOUT_MS: u64 = 10_000;

/// One server with a disk that takes no time, and its clients.
struct Lone {
    server: Server,
    now: Instant,
    out: Output<Message>,
    next_conn: u64,
    heard: BTreeMap<ConnId, VecDeque<ServerFrame>>,
    closed: BTreeSet<ConnId>,
}

/// A client with its session.
#[derive(Debug, Clone, Copy)]
struct Client {
    conn: ConnId,
    session: SessionId,
    password: Password,
}

fn config() -> EnsembleConfig {
    EnsembleConfig { servers: vec![ZK_1], ..EnsembleConfig::default() }
}

fn hello() -> ClientFrame {
    hello_of(SessionId::NONE, 0)
}

fn hello_of(session: SessionId, password: Password) -> ClientFrame {
    let (last_zxid_seen, timeout_ms, read_only) = (Zxid(0), TIMEOUT_MS, false);
    ClientFrame::Connect { last_zxid_seen, timeout_ms, session, password, read_only }
}

fn refused() -> ServerFrame {
    ServerFrame::Connected { timeout_ms: 0, session: SessionId::NONE, password: 0, read_only: false }
}

fn create(path: &str) -> Op {
    Op::create(path, None, CreateMode::Persistent)
}

fn ephemeral(path: &str) -> Op {
    Op::create(path, None, CreateMode::Ephemeral)
}

fn set(path: &str) -> Op {
    Op::SetData { path: path.into(), data: None, version: -1 }
}

fn exists(path: &str) -> Op {
    Op::Exists { path: path.into(), watch: false }
}

fn get(path: &str) -> Op {
    Op::GetData { path: path.into(), watch: false }
}

fn bytes(count: usize) -> Data {
    Some(vec![0; count].into())
}

impl Lone {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: EnsembleConfig) -> Self {
        let (now, files) = (Instant::default(), Files::new());
        let clocks = Now { mono: now, wall_ms: 0 };
        let server = Server::boot(config, ZK_1, Defects::default(), Entropy::new(1), &files, clocks);
        let (heard, closed) = Default::default();
        let mut lone = Self { server, now, out: Output::new(1), next_conn: 0, heard, closed };
        lone.step(Input::Start);
        lone.pass(1_000);
        lone
    }

    fn step(&mut self, input: Input<Message>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.server.step(Now { mono: self.now, wall_ms: 0 }, input, &mut self.out);
            let effects: Vec<_> = self.out.drain().collect();
            inputs.extend(effects.into_iter().filter_map(|effect| self.carry_out(effect)));
        }
    }

    fn carry_out(&mut self, effect: Effect<Message>) -> Option<Input<Message>> {
        match effect {
            Effect::Send { conn, message: Message::ToClient(frame) } => {
                assert!(!self.closed.contains(&conn), "nothing is sent on a closed connection");
                self.heard.entry(conn).or_default().push_back(frame);
            }
            Effect::Close { conn } => {
                self.closed.insert(conn);
            }
            Effect::AfterSync { then: Deferred::Tell { token }, .. } => return Some(Input::Synced { token }),
            _ => {}
        }
        None
    }

    /// Lets time pass.
    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(at) = self.server.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step(Input::Wake);
        }
        self.now = end;
    }

    fn dial(&mut self) -> ConnId {
        self.dial_from(HOST)
    }

    fn dial_from(&mut self, from: HostId) -> ConnId {
        self.next_conn += 2;
        let conn = ConnId(self.next_conn);
        self.step(Input::Accepted { conn, from, port: Port::ZkClient });
        conn
    }

    fn say(&mut self, conn: ConnId, frame: ClientFrame) {
        self.step(Input::Received { conn, message: Message::ToServer(frame) });
    }

    fn ask(&mut self, conn: ConnId, xid: i32, op: Op) {
        self.say(conn, ClientFrame::Request { xid, op });
    }

    /// Says all this before the disk has done anything that comes of it.
    fn say_at_once(&mut self, conn: ConnId, frames: impl IntoIterator<Item = ClientFrame>) {
        let now = Now { mono: self.now, wall_ms: 0 };
        for frame in frames {
            let input = Input::Received { conn, message: Message::ToServer(frame) };
            self.server.step(now, input, &mut self.out);
        }
        let effects: Vec<_> = self.out.drain().collect();
        let told: Vec<_> = effects.into_iter().filter_map(|effect| self.carry_out(effect)).collect();
        assert!(!told.is_empty(), "something waits for the disk");
        told.into_iter().for_each(|input| self.step(input));
    }

    fn ask_at_once(&mut self, client: Client, asked: impl IntoIterator<Item = (i32, Op)>) {
        let frame = |(xid, op)| ClientFrame::Request { xid, op };
        self.say_at_once(client.conn, asked.into_iter().map(frame));
    }

    fn hear(&mut self, conn: ConnId) -> Vec<ServerFrame> {
        self.heard.remove(&conn).unwrap_or_default().into()
    }

    fn is_closed(&self, conn: ConnId) -> bool {
        self.closed.contains(&conn)
    }

    /// A client with a new session.
    fn connect(&mut self) -> Client {
        self.connect_as(hello())
    }

    fn connect_as(&mut self, frame: ClientFrame) -> Client {
        let conn = self.dial();
        self.say(conn, frame);
        match self.hear(conn)[..] {
            [ServerFrame::Connected { session, password, .. }] => Client { conn, session, password },
            ref other => panic!("no session but {other:?}"),
        }
    }

    /// Asks, and takes the reply alone.
    fn call(&mut self, client: Client, op: Op) -> Result<Reply, ZkError> {
        self.ask(client.conn, 1, op);
        match self.hear(client.conn).pop() {
            Some(ServerFrame::Reply { xid: 1, result, .. }) => result,
            other => panic!("no reply but {other:?}"),
        }
    }

    fn who(&mut self, client: Client) -> Vec<(String, String)> {
        match self.call(client, Op::WhoAmI) {
            Ok(Reply::Ids(ids)) => ids.into_iter().map(|Id { scheme, id }| (scheme, id)).collect(),
            other => panic!("no identities but {other:?}"),
        }
    }

    fn auth(&mut self, client: Client, scheme: &str, credential: &str) -> Vec<ServerFrame> {
        let credential: Arc<[u8]> = credential.as_bytes().into();
        self.ask(client.conn, AUTH_XID, Op::Auth { scheme: scheme.into(), credential });
        self.hear(client.conn)
    }
}

/// What a test wants to know of a reply.
fn brief(frames: Vec<ServerFrame>) -> Vec<(i32, Option<ZkError>)> {
    let one = |frame| match frame {
        ServerFrame::Reply { xid, result, .. } => Some((xid, result.err())),
        ServerFrame::Notification { .. } => Some((-1, None)),
        ServerFrame::Connected { .. } => None,
    };
    frames.into_iter().filter_map(one).collect()
}
