//! Client — decides what a ZooKeeper client may believe: which server it speaks to, whether its session
//! lives, what became of a request. It never decides what to ask (`recipes` and workloads do).
//!
//! Behaves as the Java client (`ClientCnxn.java`, `StaticHostProvider.java`) does: the server list is
//! shuffled once; a connection must be made within timeout / servers; a server that says nothing for 2/3 of
//! the timeout is left; a ping goes out when nothing was sent for 1/3; the next server is tried after up to
//! 1 s; whatever waits when a connection is lost fails with ConnectionLoss; watches are set again before
//! anything else on the next connection; only a server can say that the session is over.

mod watches;

use std::{collections::VecDeque, time::Duration};

use super::wire::{
    AddWatchMode, ClientFrame, Op, PING_XID, Password, Reply, SET_WATCHES_XID, ServerFrame, Stat, WatchEvent,
    ZkError,
};
use crate::{
    core::{Address, ConnId, Entropy, Instant, Output, Port},
    event::EventKind,
    name::{HostId, SessionId, Zxid},
};
use watches::Watches;

/// Longest silence of a client that is connected (`MAX_SEND_PING_INTERVAL`).
const PING_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// A client waits for a random part of this before it dials the next server.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

/// Settings of a [`Client`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The servers it may use; at least one.
    pub servers: Vec<HostId>,
    /// The session timeout it asks for; the server grants one within its own bounds.
    pub session_timeout: Duration,
}

/// Names a request of one client; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// How a client stands with its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientState {
    /// No session yet: the first connection is being made.
    Connecting,
    /// The session is alive on a server.
    Connected,
    /// The server is lost; the session may live on, and the client looks for another server.
    Disconnected,
    /// A server said that the session is over. [`Client::start`] asks for a new one.
    Expired,
    /// The client ended its session itself, or never began one.
    Closed,
}

/// What a client's owner learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientNews {
    /// The state changed to this one.
    State(ClientState),
    /// A request ended. `ConnectionLoss`: nobody knows whether it took effect, or will.
    Reply {
        /// The request's.
        id: RequestId,
        /// What came of it.
        result: Result<Reply, ZkError>,
    },
    /// Something watched has changed: look again.
    Watch(WatchEvent),
}

/// One client of an ensemble; embedded in a core whose messages can carry [`ClientFrame`]s.
#[derive(Debug)]
pub struct Client {
    servers: Vec<HostId>,
    turn: usize,
    asked: Duration,
    entropy: Entropy,
    session: SessionId,
    password: Password,
    granted: Duration,
    last_zxid: Zxid,
    link: Link,
    next_xid: i32,
    next_id: u64,
    waiting: VecDeque<Waiting>,
    pending: VecDeque<Pending>,
    pings: VecDeque<Instant>,
    watches: Watches,
    sent: Instant,
    heard: Instant,
    contact: Option<Instant>,
    news: VecDeque<ClientNews>,
}

/// Where the client is on its way to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// There is no session and none is wanted.
    Off { expired: bool },
    /// The next dial is at this time.
    Pausing { until: Instant },
    /// Dialled; must be established and answered before the deadline.
    Dialing { conn: ConnId, server: HostId, deadline: Instant },
    /// `Connect` was sent at `sent`; must be answered before the deadline.
    Greeting { conn: ConnId, server: HostId, sent: Instant, deadline: Instant },
    /// The session is attached.
    Up { conn: ConnId },
}

/// A request that is not sent yet.
#[derive(Debug)]
struct Waiting {
    id: RequestId,
    op: Op,
}

/// A request without an answer yet; answers come in the order of requests.
#[derive(Debug)]
struct Pending {
    xid: i32,
    id: Option<RequestId>,
    op: Op,
    sent: Instant,
}

impl Client {
    /// A client without a session.
    ///
    /// # Panics
    ///
    /// If there are no servers.
    pub fn new(config: ClientConfig, mut entropy: Entropy) -> Self {
        assert!(!config.servers.is_empty(), "a client needs a server to dial");
        let mut servers = config.servers;
        entropy.shuffle(&mut servers);
        Self {
            servers,
            turn: 0,
            asked: config.session_timeout,
            entropy,
            session: SessionId::NONE,
            password: 0,
            granted: config.session_timeout,
            last_zxid: Zxid(0),
            link: Link::Off { expired: false },
            next_xid: 1,
            next_id: 0,
            waiting: VecDeque::new(),
            pending: VecDeque::new(),
            pings: VecDeque::new(),
            watches: Watches::default(),
            sent: Instant(0),
            heard: Instant(0),
            contact: None,
            news: VecDeque::new(),
        }
    }

    /// Begins a session: dials a server at once. Does nothing if a session exists or is being made.
    pub fn start<M>(&mut self, now: Instant, out: &mut Output<M>) {
        if matches!(self.link, Link::Off { .. }) {
            self.dial(now, out);
        }
    }

    /// Whether this connection is the client's.
    pub fn owns(&self, conn: ConnId) -> bool {
        self.conn() == Some(conn)
    }

    /// The session; none before the first answer of a server and after the session's end.
    pub fn session(&self) -> Option<SessionId> {
        (self.session != SessionId::NONE).then_some(self.session)
    }

    /// How the client stands with its session.
    pub fn state(&self) -> ClientState {
        match self.link {
            Link::Off { expired: true } => ClientState::Expired,
            Link::Off { expired: false } => ClientState::Closed,
            Link::Up { .. } => ClientState::Connected,
            _ if self.session == SessionId::NONE => ClientState::Connecting,
            _ => ClientState::Disconnected,
        }
    }

    /// Until when the session is known to live: 2/3 of its timeout after the client *sent* the last thing
    /// that a server has answered. The server's own deadline is later, whatever the answer's delay was.
    pub fn certain_until(&self) -> Option<Instant> {
        self.contact.map(|contact| contact + self.granted * 2 / 3)
    }

    /// Whether the session is known to live now.
    pub fn is_certainly_alive(&self, now: Instant) -> bool {
        self.certain_until().is_some_and(|until| now < until)
    }

    /// Asks; ends in exactly one [`ClientNews::Reply`]. What is asked before there is a connection waits for
    /// it, and fails with it; without a session it fails at once with `SessionExpired`.
    pub fn request<M: From<ClientFrame>>(&mut self, now: Instant, op: Op, out: &mut Output<M>) -> RequestId {
        let id = self.ask(op);
        self.flush(now, out);
        id
    }

    /// As [`Client::request`], but the frame leaves with the next [`Client::flush`].
    pub fn ask(&mut self, op: Op) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        match self.link {
            Link::Off { .. } => self.tell(id, Err(ZkError::SessionExpired)),
            _ => self.waiting.push_back(Waiting { id, op }),
        }
        id
    }

    /// Sends what was asked, if there is a connection.
    pub fn flush<M: From<ClientFrame>>(&mut self, now: Instant, out: &mut Output<M>) {
        let Link::Up { conn } = self.link else { return };
        while let Some(Waiting { id, op }) = self.waiting.pop_front() {
            let xid = self.draw_xid();
            self.send(now, conn, Pending { xid, id: Some(id), op, sent: now }, out);
        }
    }

    /// A dialled connection is established: presents the session, or asks for one.
    pub fn connected<M: From<ClientFrame>>(&mut self, now: Instant, conn: ConnId, out: &mut Output<M>) {
        match self.link {
            Link::Dialing { conn: dialed, server, .. } if dialed == conn => {
                let deadline = now + self.connect_timeout();
                self.link = Link::Greeting { conn, server, sent: now, deadline };
                out.send(conn, self.greeting());
            }
            _ => {}
        }
    }

    /// A frame from a server.
    pub fn received<M: From<ClientFrame>>(
        &mut self,
        now: Instant,
        conn: ConnId,
        frame: ServerFrame,
        out: &mut Output<M>,
    ) {
        if !self.owns(conn) {
            return;
        }
        self.heard = now;
        match (frame, self.link) {
            (ServerFrame::Connected { timeout_ms: 0, .. }, Link::Greeting { .. }) => self.refused(now, out),
            (
                ServerFrame::Connected { timeout_ms, session, password, read_only },
                Link::Greeting { sent, .. },
            ) => {
                self.contact = Some(sent);
                self.granted = Duration::from_millis(timeout_ms);
                self.attach(now, (session, password), read_only, out);
            }
            (ServerFrame::Reply { xid: PING_XID, .. }, Link::Up { .. }) => {
                self.contact = self.contact.max(self.pings.pop_front());
            }
            (ServerFrame::Reply { xid, zxid, result }, Link::Up { .. }) => {
                self.answered(now, (xid, zxid), result, out);
            }
            (ServerFrame::Notification { event, .. }, Link::Up { .. }) => self.notified(event, out),
            _ => self.lose(now, out),
        }
    }

    /// The connection ended, or could not be made.
    pub fn closed<M>(&mut self, now: Instant, conn: ConnId, out: &mut Output<M>) {
        if self.owns(conn) {
            self.disconnect(now, out);
        }
    }

    /// Time passed: dials, pings or gives a silent server up, as is due.
    pub fn wake<M: From<ClientFrame>>(&mut self, now: Instant, out: &mut Output<M>) {
        match self.link {
            Link::Pausing { until } if now >= until => self.dial(now, out),
            Link::Dialing { deadline, .. } | Link::Greeting { deadline, .. } if now >= deadline => {
                self.lose(now, out);
            }
            Link::Up { .. } if now >= self.silence_deadline() => self.lose(now, out),
            Link::Up { conn } if now >= self.ping_due() => {
                self.pings.push_back(now);
                self.sent = now;
                out.send(conn, ClientFrame::Request { xid: PING_XID, op: Op::Ping });
            }
            _ => {}
        }
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        match self.link {
            Link::Off { .. } => None,
            Link::Pausing { until } => Some(until),
            Link::Dialing { deadline, .. } | Link::Greeting { deadline, .. } => Some(deadline),
            Link::Up { .. } => Some(self.silence_deadline().min(self.ping_due())),
        }
    }

    /// What happened since the last call, in order.
    pub fn take_news(&mut self) -> Vec<ClientNews> {
        self.news.drain(..).collect()
    }

    fn conn(&self) -> Option<ConnId> {
        match self.link {
            Link::Dialing { conn, .. } | Link::Greeting { conn, .. } | Link::Up { conn } => Some(conn),
            Link::Off { .. } | Link::Pausing { .. } => None,
        }
    }

    fn tell(&mut self, id: RequestId, result: Result<Reply, ZkError>) {
        self.news.push_back(ClientNews::Reply { id, result });
    }

    fn connect_timeout(&self) -> Duration {
        self.granted / self.servers.len() as u32
    }

    fn read_timeout(&self) -> Duration {
        self.granted * 2 / 3
    }

    fn silence_deadline(&self) -> Instant {
        self.heard + self.read_timeout()
    }

    fn ping_due(&self) -> Instant {
        self.sent + (self.read_timeout() / 2).min(PING_INTERVAL_MAX)
    }

    fn draw_xid(&mut self) -> i32 {
        let xid = self.next_xid;
        self.next_xid = xid.checked_add(1).unwrap_or(1);
        xid
    }

    fn dial<M>(&mut self, now: Instant, out: &mut Output<M>) {
        let server = self.servers[self.turn % self.servers.len()];
        self.turn = (self.turn + 1) % self.servers.len();
        let conn = out.dial(Address { host: server, port: Port::ZkClient });
        self.link = Link::Dialing { conn, server, deadline: now + self.connect_timeout() };
    }

    fn greeting(&self) -> ClientFrame {
        ClientFrame::Connect {
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.asked.as_millis() as u64,
            session: self.session,
            password: self.password,
            read_only: false,
        }
    }

    fn send<M: From<ClientFrame>>(
        &mut self,
        now: Instant,
        conn: ConnId,
        pending: Pending,
        out: &mut Output<M>,
    ) {
        let (xid, op) = (pending.xid, &pending.op);
        let (path, watch) = (op.path().to_owned(), watch_asked(op).into());
        out.note(EventKind::ClientAsked { session: self.session, xid, op: op.name().into(), path, watch });
        out.send(conn, ClientFrame::Request { xid, op: op.clone() });
        self.sent = now;
        self.pending.push_back(pending);
    }

    fn attach<M: From<ClientFrame>>(
        &mut self,
        now: Instant,
        (session, password): (SessionId, Password),
        read_only: bool,
        out: &mut Output<M>,
    ) {
        let Link::Greeting { conn, server, .. } = self.link else { return };
        let resumed = self.session == session;
        (self.session, self.password) = (session, password);
        self.link = Link::Up { conn };
        self.sent = now;
        out.note(EventKind::ClientConnected { session, server, resumed, read_only });
        self.news.push_back(ClientNews::State(ClientState::Connected));
        if let Some(op) = self.watches.rearm(self.last_zxid) {
            self.send(now, conn, Pending { xid: SET_WATCHES_XID, id: None, op, sent: now }, out);
        }
        self.flush(now, out);
    }

    /// The server has refused the session: it is over. If there was none, it just would not make one.
    fn refused<M>(&mut self, now: Instant, out: &mut Output<M>) {
        if self.session == SessionId::NONE {
            return self.lose(now, out);
        }
        out.note(EventKind::ClientExpired { session: self.session });
        self.end(Link::Off { expired: true }, out);
    }

    fn end<M>(&mut self, link: Link, out: &mut Output<M>) {
        self.hang_up(out);
        self.link = link;
        self.session = SessionId::NONE;
        self.password = 0;
        self.granted = self.asked;
        self.last_zxid = Zxid(0);
        self.contact = None;
        self.watches = Watches::default();
        self.fail_all(ZkError::SessionExpired);
        self.news.push_back(ClientNews::State(self.state()));
    }

    fn answered<M>(
        &mut self,
        now: Instant,
        (xid, zxid): (i32, Zxid),
        result: Result<Reply, ZkError>,
        out: &mut Output<M>,
    ) {
        if self.pending.front().is_none_or(|pending| pending.xid != xid) {
            return self.lose(now, out);
        }
        let Some(Pending { id, op, sent, .. }) = self.pending.pop_front() else { return };
        self.contact = self.contact.max(Some(sent));
        self.last_zxid = self.last_zxid.max(zxid);
        let error = result.as_ref().err().map_or(0, |error| error.code());
        let (path, stat) = shown(&op, &result);
        let (session, op_name) = (self.session, op.name().into());
        out.note(EventKind::ClientReplied { session, xid, zxid, op: op_name, error, path, stat });
        self.watches.left_by(&op, &result);
        if let Some(id) = id {
            self.tell(id, result);
        }
        if op == Op::CloseSession {
            self.end(Link::Off { expired: false }, out);
        }
    }

    fn notified<M>(&mut self, event: WatchEvent, out: &mut Output<M>) {
        let (path, change) = (event.path.clone(), event.change.name().into());
        out.note(EventKind::ClientNotified { session: self.session, path, change });
        self.watches.fired(&event);
        self.news.push_back(ClientNews::Watch(event));
    }

    fn hang_up<M>(&mut self, out: &mut Output<M>) {
        if let Some(conn) = self.conn() {
            out.close(conn);
        }
    }

    fn lose<M>(&mut self, now: Instant, out: &mut Output<M>) {
        self.hang_up(out);
        self.disconnect(now, out);
    }

    fn disconnect<M>(&mut self, now: Instant, out: &mut Output<M>) {
        let was_up = matches!(self.link, Link::Up { .. });
        let delay = self.entropy.draw() % RECONNECT_DELAY_MAX.as_nanos() as u64;
        self.link = Link::Pausing { until: now + Duration::from_nanos(delay) };
        self.fail_all(ZkError::ConnectionLoss);
        if was_up {
            out.note(EventKind::ClientDisconnected { session: self.session });
            self.news.push_back(ClientNews::State(ClientState::Disconnected));
        }
    }

    fn fail_all(&mut self, error: ZkError) {
        self.pings.clear();
        let sent = std::mem::take(&mut self.pending).into_iter().filter_map(|pending| pending.id);
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.id);
        for id in sent.chain(waiting).collect::<Vec<_>>() {
            self.tell(id, Err(error));
        }
    }
}

/// The path and Stat that a reply shows.
fn shown(op: &Op, result: &Result<Reply, ZkError>) -> (String, Option<Stat>) {
    let stat = match result {
        Ok(Reply::Created { path, stat }) => return (path.clone(), Some(*stat)),
        Ok(Reply::Stat(stat) | Reply::Data { stat, .. }) => Some(*stat),
        Ok(Reply::Children { stat, .. } | Reply::Acl { stat, .. }) => Some(*stat),
        _ => None,
    };
    (op.path().to_owned(), stat)
}

/// Which watch a request leaves if it succeeds; of exists also if there is no node.
fn watch_asked(op: &Op) -> &'static str {
    match op {
        Op::Exists { watch: true, .. } => "exist",
        Op::GetData { watch: true, .. } => "data",
        Op::GetChildren { watch: true, .. } => "child",
        Op::AddWatch { mode: AddWatchMode::Persistent, .. } => "persistent",
        Op::AddWatch { mode: AddWatchMode::PersistentRecursive, .. } => "recursive",
        Op::RemoveWatches { kind, .. } => kind.name(),
        _ => "",
    }
}

#[cfg(test)]
pub(crate) mod bench;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
