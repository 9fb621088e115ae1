//! Status — decides what a server tells whoever asks how it does. It never formats it: the four-letter
//! words belong to the server on real sockets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Role, Server,
    tally::{LastAnswer, Traffic},
};
use crate::{
    core::{ConnId, Instant},
    event::Ephemeral,
    name::{Epoch, HostId, SessionId, Zxid},
    zookeeper::membership,
};

/// What a serving server is, as srvr and stat name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The only voter.
    Standalone,
    /// Leads others.
    Leader,
    /// Follows with a vote.
    Follower,
    /// Follows without a vote.
    Observer,
    /// Has no quorum and answers reads.
    ReadOnly,
}

/// A client's connection as cons tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Which.
    pub conn: ConnId,
    /// Where it comes from.
    pub address: Arc<str>,
    /// The session on it; none before it is established.
    pub session: SessionId,
    /// The session's timeout, in milliseconds.
    pub timeout_ms: u64,
    /// Requests that are not answered.
    pub queued: usize,
    /// Packets and latencies.
    pub traffic: Traffic,
    /// The last answer.
    pub last: Option<LastAnswer>,
    /// When it was accepted, by the server's monotonic clock.
    pub since: Instant,
}

/// A leader's learners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learners {
    /// Connected.
    pub connected: usize,
    /// Synced, with a vote.
    pub synced: usize,
    /// Synced, without a vote.
    pub synced_observers: usize,
    /// Syncs of clients that wait for a commit.
    pub pending_syncs: usize,
}

/// How a server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The server.
    pub server: HostId,
    /// What it is; none while it serves nobody.
    pub mode: Option<Mode>,
    /// What its reply headers show; while it serves nobody, the last transaction in its tree.
    pub zxid: Zxid,
    /// From the file.
    pub current_epoch: Epoch,
    /// When it started, by its monotonic clock.
    pub started: Instant,
    /// Packets and latencies of all connections since the start.
    pub traffic: Traffic,
    /// Requests of all clients that are not answered.
    pub outstanding: usize,
    /// Clients, in the order in which they came.
    pub connections: Vec<Connection>,
    /// Number of znodes.
    pub znodes: u64,
    /// Bytes of all paths and data.
    pub data_bytes: u64,
    /// Ephemeral znodes, sorted by path.
    pub ephemerals: Vec<Ephemeral>,
    /// Global sessions with their timeouts in milliseconds.
    pub sessions: BTreeMap<SessionId, u64>,
    /// Sessions that only this server knows.
    pub local_sessions: Vec<SessionId>,
    /// Sessions that this server will end, by deadline: on a leader the global ones, and its local ones.
    pub expiries: BTreeMap<Instant, BTreeSet<SessionId>>,
    /// The number of watches.
    pub watches: usize,
    /// Watched paths (child watches aside, as wchs, wchc and wchp have it) with the sessions that watch.
    pub watched: Vec<(Arc<str>, Vec<SessionId>)>,
    /// On a leader.
    pub learners: Option<Learners>,
}

impl Server {
    /// How the server does. Takes time for every connection, session and watch, and for every znode.
    pub fn status(&self) -> Status {
        let connections = self.connections();
        let (tree, storage) = (&self.replica.tree, &self.replica.storage);
        let (znodes, data_bytes) = tree.size();
        Status {
            server: self.replica.me,
            mode: self.mode(),
            zxid: self.header_zxid().unwrap_or(self.replica.applied()),
            current_epoch: storage.current_epoch(),
            started: self.started.0,
            traffic: self.traffic.0,
            outstanding: connections.iter().map(|connection| connection.queued).sum(),
            connections,
            znodes,
            data_bytes,
            ephemerals: tree.ephemerals(),
            sessions: tree.sessions().clone(),
            local_sessions: self.local.sessions().collect(),
            expiries: self.expiries(),
            watches: self.watches.count(),
            watched: self.watched(),
            learners: self.learners(),
        }
    }

    /// Forgets packets and latencies, as srst does.
    pub fn reset_traffic(&mut self) {
        self.traffic.0 = Traffic::default();
    }

    /// Forgets packets and latencies of every connection, as crst does.
    pub fn reset_connections(&mut self) {
        self.clients.reset_traffic();
    }

    fn mode(&self) -> Option<Mode> {
        match &self.role {
            Role::Leading(leader) if leader.serves() => {
                Some(if self.replica.config.servers.len() == 1 { Mode::Standalone } else { Mode::Leader })
            }
            Role::Following(learner) if learner.serves() => Some(match self.replica.role() {
                membership::Role::Participant => Mode::Follower,
                membership::Role::Observer => Mode::Observer,
            }),
            Role::Looking if self.read_only.serves() => Some(Mode::ReadOnly),
            _ => None,
        }
    }

    fn connections(&self) -> Vec<Connection> {
        let connection = |(conn, client): (ConnId, &super::clients::Client)| Connection {
            conn,
            address: client.address.clone(),
            session: client.session,
            timeout_ms: client.timeout_ms,
            queued: client.queued(),
            traffic: client.traffic.0,
            last: client.last.0,
            since: client.since.0,
        };
        self.clients.iter().map(connection).collect()
    }

    fn expiries(&self) -> BTreeMap<Instant, BTreeSet<SessionId>> {
        let mut expiries = self.local.expiries().clone();
        if let Role::Leading(leader) = &self.role {
            for (deadline, sessions) in leader.sessions().expiries() {
                expiries.entry(*deadline).or_default().extend(sessions);
            }
        }
        expiries
    }

    fn watched(&self) -> Vec<(Arc<str>, Vec<SessionId>)> {
        let sessions =
            |conns: Vec<ConnId>| conns.into_iter().map(|conn| self.clients.session_of(conn)).collect();
        self.watches.by_path().map(|(path, conns)| (path, sessions(conns))).collect()
    }

    fn learners(&self) -> Option<Learners> {
        let Role::Leading(leader) = &self.role else { return None };
        let configuration = self.replica.views.committed();
        let observes = |host: Option<HostId>| host.is_some_and(|host| configuration.is_observer(host));
        let synced = |without_vote| {
            leader.learners().filter(|(host, synced)| *synced && observes(*host) == without_vote).count()
        };
        Some(Learners {
            connected: leader.learners().count(),
            synced: synced(false),
            synced_observers: synced(true),
            pending_syncs: leader.pending_syncs(),
        })
    }
}
