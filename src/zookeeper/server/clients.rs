//! Clients — decides which connection a session is on and which of its requests is next. It never answers
//! one.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    core::{ConnId, Output},
    name::SessionId,
    zookeeper::{peer::Message, wire::Op},
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
}

/// A request that is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Pending {
    /// Waits for its transaction.
    Write { xid: i32 },
    /// Waits for the leader's answer.
    Sync { xid: i32, path: String },
    /// Waits for what stands before it.
    Local { xid: i32, op: Op },
}

/// A client's connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) stage: Stage,
    pub(super) session: SessionId,
    pub(super) timeout_ms: u64,
    /// Requests in order.
    pub(super) pending: VecDeque<Pending>,
}

/// All connections of one server's client port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Clients {
    conns: BTreeMap<ConnId, Client>,
    by_session: BTreeMap<SessionId, ConnId>,
}

impl Clients {
    /// A client has connected.
    pub(super) fn accepted(&mut self, conn: ConnId) {
        let session = SessionId::NONE;
        let client = Client { stage: Stage::Greeting, session, timeout_ms: 0, pending: VecDeque::new() };
        self.conns.insert(conn, client);
    }

    /// The client on this connection.
    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Client> {
        self.conns.get_mut(&conn)
    }

    /// The connection of a session.
    pub(super) fn conn_of(&self, session: SessionId) -> Option<ConnId> {
        self.by_session.get(&session).copied()
    }

    /// The client of a session, with its connection.
    pub(super) fn of_session(&mut self, session: SessionId) -> Option<(ConnId, &mut Client)> {
        let conn = *self.by_session.get(&session)?;
        Some((conn, self.conns.get_mut(&conn)?))
    }

    /// The client on this connection wants to be this session.
    pub(super) fn claim(&mut self, conn: ConnId, session: SessionId, timeout_ms: u64, stage: Stage) {
        let Some(client) = self.conns.get_mut(&conn) else { return };
        *client = Client { stage, session, timeout_ms, pending: VecDeque::new() };
        self.by_session.insert(session, conn);
    }

    /// Forgets a connection; false if it was no client's.
    pub(super) fn remove(&mut self, conn: ConnId) -> bool {
        let Some(client) = self.conns.remove(&conn) else { return false };
        if self.by_session.get(&client.session) == Some(&conn) {
            self.by_session.remove(&client.session);
        }
        true
    }

    /// Closes all connections.
    pub(super) fn close_all(&mut self, out: &mut Output<Message>) {
        self.by_session.clear();
        for conn in std::mem::take(&mut self.conns).into_keys() {
            out.close(conn);
        }
    }
}
