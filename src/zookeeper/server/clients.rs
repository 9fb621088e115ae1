//! Clients — decides which connection a session is on, who is on it and which of its requests is next. It
//! never answers one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    silence::{SESSIONLESS, Silence},
    tally::{Aside, LastAnswer, Traffic},
};
use crate::{
    core::{ConnId, Instant, Output},
    name::{HostId, SessionId},
    zookeeper::{
        access,
        peer::Message,
        wire::{Acl, Id, Op, ZkError, perms},
    },
};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Until the client says what it wants.
    Greeting,
    /// Its createSession is on its way.
    Opening,
    /// The leader is asked whether its session lives.
    Reattaching,
    /// Requests may come.
    Open,
    /// Its local session is to end when all before that is answered; nothing more is heard.
    Closing,
}

/// What a write that is on its way will be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// What comes of it.
    Outcome,
    /// The same, and it ends the session.
    Close,
    /// The same if it fails, else nothing: a check alone (ZOOKEEPER-2623).
    Failure,
    /// The same, but this error if it fails: the session could not be made global.
    FailureAs(ZkError),
}

/// A request that is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Pending {
    /// Waits for its transaction.
    Write { xid: i32, op: &'static str, answer: Answer, asked: Aside<Instant> },
    /// Waits for the leader's answer, or has it and waits for what stands before it.
    Sync { xid: i32, path: String, is_synced: bool, asked: Aside<Instant> },
    /// Waits for what stands before it. Whoever has asked is who the connection was then.
    Local { xid: i32, op: Op, ids: Arc<[Id]>, asked: Aside<Instant> },
}

/// A client's connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) stage: Stage,
    pub(super) session: SessionId,
    pub(super) timeout_ms: u64,
    /// The machine it comes from.
    pub(super) host: HostId,
    /// Its address.
    pub(super) address: Arc<str>,
    /// Its identities.
    pub(super) ids: Arc<[Id]>,
    /// Requests that came before the session was established.
    pub(super) early: VecDeque<(i32, Op)>,
    /// Requests in order.
    pub(super) pending: VecDeque<Pending>,
    pub(super) traffic: Aside<Traffic>,
    pub(super) last: Aside<Option<LastAnswer>>,
    pub(super) since: Aside<Instant>,
}

impl Client {
    fn new(host: HostId, address: Arc<str>, now: Instant) -> Self {
        Self {
            stage: Stage::Greeting,
            session: SessionId::NONE,
            timeout_ms: 0,
            host,
            ids: [access::identity_of(&address)].into(),
            address,
            early: VecDeque::new(),
            pending: VecDeque::new(),
            traffic: Aside::default(),
            last: Aside::default(),
            since: Aside(now),
        }
    }

    /// Requests that are not answered.
    pub(super) fn queued(&self) -> usize {
        self.pending.len()
    }
}

/// All connections of one server's client port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Clients {
    conns: BTreeMap<ConnId, Client>,
    by_session: BTreeMap<SessionId, ConnId>,
    /// How many connections each machine and address has; no zeros.
    by_origin: BTreeMap<(HostId, Arc<str>), u32>,
    silence: Silence,
}

impl Clients {
    /// A client has connected; false if it has `limit` connections already. No limit: 0.
    pub(super) fn accepted(
        &mut self,
        conn: ConnId,
        (host, address): (HostId, Arc<str>),
        limit: u32,
        now: Instant,
    ) -> bool {
        let count = self.by_origin.entry((host, address.clone())).or_default();
        if limit > 0 && *count >= limit {
            return false;
        }
        *count += 1;
        self.conns.insert(conn, Client::new(host, address, now));
        self.silence.broken(conn, SESSIONLESS, now);
        true
    }

    /// A packet has come from the client on this connection.
    pub(super) fn heard(&mut self, conn: ConnId, now: Instant) -> Option<&mut Client> {
        let client = self.conns.get_mut(&conn)?;
        let has_session = client.session != SessionId::NONE;
        let timeout = if has_session { Duration::from_millis(client.timeout_ms) } else { SESSIONLESS };
        self.silence.broken(conn, timeout, now);
        Some(client)
    }

    /// Connections that have been silent for too long.
    pub(super) fn silent(&self, now: Instant) -> Vec<ConnId> {
        self.silence.too_long(now)
    }

    /// When [`Self::silent`] next finds one.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.silence.next_wake()
    }

    /// The client on this connection.
    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Client> {
        self.conns.get_mut(&conn)
    }

    /// Every connection with its client.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Client)> {
        self.conns.iter().map(|(conn, client)| (*conn, client))
    }

    /// The connection of a session.
    pub(super) fn conn_of(&self, session: SessionId) -> Option<ConnId> {
        self.by_session.get(&session).copied()
    }

    /// The session on a connection; none while there is none.
    pub(super) fn session_of(&self, conn: ConnId) -> SessionId {
        self.conns.get(&conn).map_or(SessionId::NONE, |client| client.session)
    }

    /// The client of a session, with its connection.
    pub(super) fn of_session(&mut self, session: SessionId) -> Option<(ConnId, &mut Client)> {
        let conn = *self.by_session.get(&session)?;
        Some((conn, self.conns.get_mut(&conn)?))
    }

    /// Whether the client on this connection may read a node with this list.
    pub(super) fn may_read(&self, conn: ConnId, acl: &Acl) -> bool {
        let allows = |client: &Client| access::permit(acl, perms::READ, &client.ids).is_ok();
        self.conns.get(&conn).is_some_and(allows)
    }

    /// The client on this connection wants to be this session.
    pub(super) fn claim(&mut self, conn: ConnId, session: SessionId, timeout_ms: u64, stage: Stage) {
        let Some(client) = self.conns.get_mut(&conn) else { return };
        (client.stage, client.session, client.timeout_ms) = (stage, session, timeout_ms);
        self.by_session.insert(session, conn);
    }

    /// Forgets a connection, and returns its client if there was one.
    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Client> {
        let client = self.conns.remove(&conn)?;
        self.silence.forget(conn);
        if self.by_session.get(&client.session) == Some(&conn) {
            self.by_session.remove(&client.session);
        }
        let origin = (client.host, client.address.clone());
        if let Some(count) = self.by_origin.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.by_origin.remove(&origin);
            }
        }
        Some(client)
    }

    /// Forgets what went over every connection.
    pub(super) fn reset_traffic(&mut self) {
        for client in self.conns.values_mut() {
            (client.traffic, client.last) = Default::default();
        }
    }

    /// Closes all connections.
    pub(super) fn close_all(&mut self, out: &mut Output<Message>) {
        for conn in std::mem::take(self).conns.into_keys() {
            out.close(conn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(clients: &mut Clients, conn: u64, host: u16, limit: u32) -> bool {
        let from = (HostId::client(host), Arc::from("127.0.0.1"));
        clients.accepted(ConnId(conn), from, limit, Instant::default())
    }

    /// "maxClientCnxns | 60 per address"
    #[test]
    fn one_origin_has_no_more_connections_than_the_limit() {
        let mut clients = Clients::default();
        assert!(accept(&mut clients, 1, 1, 2) && accept(&mut clients, 2, 1, 2));
        assert!(!accept(&mut clients, 3, 1, 2));
        assert!(accept(&mut clients, 4, 2, 2), "another machine");
        assert!(accept(&mut clients, 5, 1, 0), "no limit");
        for conn in [1, 2, 5] {
            assert!(clients.remove(ConnId(conn)).is_some());
        }
        assert!(accept(&mut clients, 6, 1, 1));
    }

    #[test]
    fn session_that_moved_to_another_connection_stays_there_when_the_first_ends() {
        let mut clients = Clients::default();
        let session = SessionId(7);
        for conn in [1, 2] {
            assert!(accept(&mut clients, conn, 1, 0));
            clients.claim(ConnId(conn), session, 4_000, Stage::Open);
        }
        clients.remove(ConnId(1));
        assert_eq!(clients.conn_of(session), Some(ConnId(2)));
    }
}
