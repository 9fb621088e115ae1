//! Client — decides what a ZooKeeper client may believe: which server it speaks to, whether its session
//! lives, what became of a request. It never decides what to ask (`recipes` and workloads do).
//!
//! Behaves as the Java client of 3.8 (`ClientCnxn.java`, `StaticHostProvider.java`, `ZKWatchManager.java`,
//! `ZooKeeper.java`) does: the server list is shuffled for each session; a connection must be made within
//! timeout / servers; a server that says nothing for 2/3 of the timeout is left; a ping goes out when nothing
//! was sent for 1/3; the next server is tried after up to 1.1 s, and one more when all were tried; whatever
//! waits when a connection is lost fails with ConnectionLoss; identities are given and watches are set again
//! before anything else on the next connection; only a server can say that the session is over.
//!
//! | part | decides |
//! |---|---|
//! | `hosts`, `timing` | which server is next, and when |
//! | `attach` | how a session comes to a server and leaves it |
//! | `traffic` | how requests, answers, events and pings travel |
//! | `watches` | for whom an event is, and what is set again |
//! | `chroot`, `validate` | what paths mean, and which are refused here |
//! | [`app`] | how a whole process is made of a client and what uses it |
//!
//! What is different from the Java client, on purpose: one watcher takes all events, the client's owner;
//! requests are never timed out one by one (`zookeeper.request.timeout`, off in Java too); a request made
//! while a connection is sought waits for it, as in Java, and the event `Closed` follows no other end of a
//! session; a client on a server without a quorum stays until that server hangs up, which it does when it
//! finds a quorum, and asks no other server whether it has one (`isro`); setWatches has the xid −8 that the
//! protocol names, where Java's sockets draw an ordinary one.

pub mod app;
mod attach;
mod chroot;
mod config;
mod hosts;
mod news;
mod timing;
mod traffic;
mod validate;
mod watches;

use std::{collections::VecDeque, sync::Arc};

use self::{chroot::Chroot, hosts::Hosts, timing::Timing, traffic::Requests, watches::Watches};
pub use self::{
    config::{ClientConfig, Expiry},
    news::{ClientNews, ClientState, Removed, RequestId},
    watches::OnError,
};
use super::wire::{ClientFrame, Op, Password, ServerFrame, WatcherType};
use crate::{
    core::{ConnId, Entropy, Instant, Output},
    name::{HostId, SessionId, Zxid},
};

/// One client of an ensemble; embedded in a core whose messages can carry [`ClientFrame`]s.
#[derive(Debug, Clone)]
pub struct Client {
    config: ClientConfig,
    chroot: Chroot,
    entropy: Entropy,
    hosts: Hosts,
    timing: Timing,
    session: SessionId,
    password: Password,
    granted: std::time::Duration,
    /// Whether the session is one that a server with a quorum knows.
    seen_read_write: bool,
    /// Whether a connection was ever made in this session.
    has_connected: bool,
    closing: bool,
    last_zxid: Zxid,
    link: Link,
    requests: Requests,
    /// Identities to give on each connection: schemes and credentials.
    identities: Vec<(String, Arc<[u8]>)>,
    watches: Watches,
    /// When each unanswered ping was sent.
    pings: VecDeque<Instant>,
    sent: Instant,
    heard: Instant,
    /// When a connected client wakes up by itself.
    due: Instant,
    contact: Option<Instant>,
    news: VecDeque<ClientNews>,
}

/// Where the client is on its way to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// There is no session and none is wanted.
    Off(Ended),
    /// This server is dialled next, at this time.
    Pausing { until: Instant, server: HostId },
    /// Dialled; must be established before the deadline.
    Dialing { conn: ConnId, server: HostId, deadline: Instant },
    /// `Connect` was sent at `sent`; must be answered before the deadline.
    Greeting { conn: ConnId, server: HostId, sent: Instant, deadline: Instant },
    /// The session is attached.
    Up { conn: ConnId, server: HostId, read_only: bool },
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Closed,
    Expired,
    AuthFailed,
}

impl Client {
    /// A client without a session.
    ///
    /// # Panics
    ///
    /// If there are no servers, or the chroot is not a path.
    pub fn new(config: ClientConfig, mut entropy: Entropy) -> Self {
        let hosts = Hosts::new(config.servers.clone(), &mut entropy);
        Self {
            chroot: Chroot::new(config.chroot.clone()),
            timing: Timing::new(config.session_timeout, hosts.len()),
            granted: config.session_timeout,
            hosts,
            config,
            entropy,
            session: SessionId::NONE,
            password: 0,
            seen_read_write: false,
            has_connected: false,
            closing: false,
            last_zxid: Zxid(0),
            link: Link::Off(Ended::Closed),
            requests: Requests::default(),
            identities: Vec::new(),
            watches: Watches::default(),
            pings: VecDeque::new(),
            sent: Instant(0),
            heard: Instant(0),
            due: Instant(0),
            contact: None,
            news: VecDeque::new(),
        }
    }

    /// Begins a session: dials a server at once. Does nothing if a session exists or is being made.
    pub fn start<M>(&mut self, now: Instant, out: &mut Output<M>) {
        if matches!(self.link, Link::Off(_)) {
            self.begin(now, out);
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

    /// The server that the session is attached to now.
    pub fn server(&self) -> Option<HostId> {
        match self.link {
            Link::Up { server, .. } => Some(server),
            _ => None,
        }
    }

    /// How the client stands with its session.
    pub fn state(&self) -> ClientState {
        match self.link {
            Link::Off(Ended::Closed) => ClientState::Closed,
            Link::Off(Ended::Expired) => ClientState::Expired,
            Link::Off(Ended::AuthFailed) => ClientState::AuthFailed,
            Link::Up { read_only: false, .. } => ClientState::Connected,
            Link::Up { read_only: true, .. } => ClientState::ConnectedReadOnly,
            _ if self.session == SessionId::NONE => ClientState::Connecting,
            _ => ClientState::Disconnected,
        }
    }

    /// Until when the session is known to live: 2/3 of its timeout after the client *sent* the last thing
    /// that a server has answered. The deadline of the leader is later, whatever the answer's delay was, as long as it is
    /// in contact with that server: a follower that has lost its leader answers for as long as `syncLimit` ticks.
    pub fn certain_until(&self) -> Option<Instant> {
        self.contact.map(|contact| contact + self.granted * 2 / 3)
    }

    /// The session's timeout: the one that was granted, or else the one that is asked for.
    pub fn timeout(&self) -> std::time::Duration {
        self.granted
    }

    /// Whether the session is known to live now.
    pub fn is_certainly_alive(&self, now: Instant) -> bool {
        self.certain_until().is_some_and(|until| now < until)
    }

    /// Asks; ends in exactly one [`ClientNews::Reply`]. What is asked before there is a connection waits for
    /// it, and fails with it; without a session it fails at once with `SessionExpired`, and what the Java
    /// client refuses itself (a malformed path) fails at once with `BadArguments` or `InvalidACL`.
    pub fn request<M: From<ClientFrame>>(&mut self, now: Instant, op: Op, out: &mut Output<M>) -> RequestId {
        let id = self.ask(op);
        self.flush(now, out);
        id
    }

    /// As [`Client::request`], but the frame leaves with the next [`Client::flush`].
    ///
    /// [`Op::Auth`] adds an identity that is given again on each connection (`addAuthInfo`);
    /// [`Op::CloseSession`] ends the session in any case (`close`).
    pub fn ask(&mut self, op: Op) -> RequestId {
        self.enqueue(op, OnError::Keep)
    }

    /// Takes watches on this path away, as [`Op::RemoveWatches`] does; `on_error` says what becomes of them
    /// if the server does not confirm it. Leaves with the next [`Client::flush`].
    pub fn remove_watches(
        &mut self,
        path: impl Into<String>,
        kind: WatcherType,
        on_error: OnError,
    ) -> RequestId {
        self.enqueue(Op::RemoveWatches { path: path.into(), kind }, on_error)
    }

    /// Takes a new list of servers, and leaves the present server if that evens out the load of all clients
    /// (`ZooKeeper.updateServerList`).
    ///
    /// # Panics
    ///
    /// If the list is empty.
    pub fn update_servers<M>(&mut self, now: Instant, servers: Vec<HostId>, out: &mut Output<M>) {
        let server = match self.link {
            Link::Greeting { server, .. } | Link::Up { server, .. } => Some(server),
            _ => None,
        };
        if self.hosts.update(servers, server, &mut self.entropy) && self.conn().is_some() {
            self.lose(now, out);
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
        if self.owns(conn) {
            self.heard = now;
            self.take_frame(now, frame, out);
            self.beat(now, out);
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
        if self.expires_at().is_some_and(|at| now >= at) {
            return self.give_up(out);
        }
        match self.link {
            Link::Pausing { until, server } if now >= until => self.dial(now, server, out),
            Link::Dialing { deadline, .. } | Link::Greeting { deadline, .. } if now >= deadline => {
                self.lose(now, out);
            }
            Link::Up { .. } if now >= self.heard + self.timing.read => self.lose(now, out),
            Link::Up { .. } if now >= self.due => self.beat(now, out),
            _ => {}
        }
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        let next = match self.link {
            Link::Off(_) => return None,
            Link::Pausing { until, .. } => until,
            Link::Dialing { deadline, .. } | Link::Greeting { deadline, .. } => deadline,
            Link::Up { .. } => self.due.min(self.heard + self.timing.read),
        };
        Some(self.expires_at().map_or(next, |at| next.min(at)))
    }

    /// What happened since the last call, in order.
    pub fn take_news(&mut self) -> Vec<ClientNews> {
        self.news.drain(..).collect()
    }

    pub(crate) fn conn(&self) -> Option<ConnId> {
        match self.link {
            Link::Dialing { conn, .. } | Link::Greeting { conn, .. } | Link::Up { conn, .. } => Some(conn),
            Link::Off(_) | Link::Pausing { .. } => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod bench;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
