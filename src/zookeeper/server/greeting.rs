//! Greeting — decides who a client that connects may be. It never answers a request.
//!
//! `ZooKeeperServer.java`: `processConnectRequest`, `reopenSession`, `finishSessionInit`; in read-only mode
//! `ReadOnlyZooKeeperServer.java`.

use std::sync::Arc;

use super::{Out, Role, Server, clients::Stage};
use crate::{
    core::{ConnId, Now},
    event::EventKind,
    name::{HostId, SessionId, Zxid},
    zookeeper::{
        peer::{Ask, LearnerFrame, Write},
        session::{negotiate_timeout_ms, password},
        wire::{ClientFrame, LocalSessions, Password, ServerFrame},
    },
};

/// The address of whoever connects, unless [`Server::comes_from`] has said another.
const LOOPBACK: &str = "127.0.0.1";

/// What a client says when it connects.
struct Hello {
    last_zxid_seen: Zxid,
    timeout_ms: u64,
    session: SessionId,
    password: Password,
    read_only: bool,
}

impl Server {
    /// The client on this connection, which is yet to be accepted, has this IP address, written without a
    /// port: it becomes its identity of the scheme `ip`. Without this it is 127.0.0.1.
    pub fn comes_from(&mut self, conn: ConnId, address: impl Into<Arc<str>>) {
        self.addresses.insert(conn, address.into());
    }

    pub(super) fn accept_client(&mut self, conn: ConnId, host: HostId, now: Now, out: &mut Out) {
        let address = self.addresses.remove(&conn).unwrap_or_else(|| Arc::from(LOOPBACK));
        let limit = self.replica.config.max_client_connections;
        let serves = self.header_zxid().is_some();
        if !serves || !self.clients.accepted(conn, (host, address), limit, now.mono) {
            out.close(conn);
        }
    }

    pub(super) fn client_says(&mut self, conn: ConnId, frame: ClientFrame, now: Now, out: &mut Out) {
        let Some(client) = self.clients.heard(conn, now.mono) else { return };
        client.traffic.0.received += 1;
        self.traffic.0.received += 1;
        match (frame, client.stage) {
            (
                ClientFrame::Connect { last_zxid_seen, timeout_ms, session, password, read_only },
                Stage::Greeting,
            ) => {
                let hello = Hello { last_zxid_seen, timeout_ms, session, password, read_only };
                self.greet(conn, &hello, now, out);
            }
            (ClientFrame::Request { xid, op }, Stage::Open) => self.request(conn, xid, op, now, out),
            (ClientFrame::Request { xid, op }, Stage::Opening | Stage::Reattaching) => {
                client.early.push_back((xid, op));
            }
            (ClientFrame::Request { .. }, Stage::Closing) => {}
            _ => self.drop_client(conn, out),
        }
    }

    /// A server that is behind what the client has seen closes without a word, so that the client tries
    /// another one; so does one without a quorum when the client wants more than to read.
    fn greet(&mut self, conn: ConnId, hello: &Hello, now: Now, out: &mut Out) {
        if self.read_only.serves() && !hello.read_only {
            return self.turn_away(conn, hello.session, "read-only", out);
        }
        if self.header_zxid().is_none_or(|zxid| hello.last_zxid_seen > zxid) {
            return self.turn_away(conn, hello.session, "ahead", out);
        }
        let timeout_ms = negotiate_timeout_ms(hello.timeout_ms, &self.replica.config);
        if hello.session == SessionId::NONE {
            self.open_session(conn, timeout_ms, now, out);
        } else {
            self.reattach(conn, hello, timeout_ms, now, out);
        }
    }

    /// Without a quorum every session is provisional: local to this server.
    fn open_session(&mut self, conn: ConnId, timeout_ms: u64, now: Now, out: &mut Out) {
        let session = self.session_ids.draw();
        if self.read_only.serves() || self.replica.config.local_sessions != LocalSessions::Off {
            self.local.open(session, timeout_ms, now.mono);
            self.clients.claim(conn, session, timeout_ms, Stage::Opening);
            return self.establish(conn, now, out);
        }
        self.clients.claim(conn, session, timeout_ms, Stage::Opening);
        let open = Write { session, xid: 0, ids: Arc::default(), ask: Ask::Open { timeout_ms } };
        self.submit(open, now, out);
    }

    /// The session's former connection to this server is closed first, also when the password turns out
    /// to be wrong. Without a quorum nobody can say whether a global session lives: its client is turned
    /// away. One that is not known here is taken for provisional, but with local sessions for one of another
    /// server, which cannot move (`LearnerSessionTracker.touchSession`).
    fn reattach(&mut self, conn: ConnId, hello: &Hello, timeout_ms: u64, now: Now, out: &mut Out) {
        let session = hello.session;
        if self.read_only.serves() && self.replica.tree.sessions().contains_key(&session) {
            return self.turn_away(conn, session, "read-only", out);
        }
        if let Some(former) = self.clients.conn_of(session) {
            self.drop_client(former, out);
        }
        if hello.password != password(session) {
            return self.refuse(conn, session, "password", out);
        }
        self.clients.claim(conn, session, timeout_ms, Stage::Reattaching);
        if self.local.tracks(session) {
            let alive = self.local.touch(session, timeout_ms, now.mono);
            return self.revalidated(session, alive, now, out);
        }
        let me = self.replica.me;
        match &mut self.role {
            Role::Following(learner) => {
                learner.tell_leader(LearnerFrame::Revalidate { session, timeout_ms }, out)
            }
            Role::Leading(leader) => {
                let alive = leader.claim(session, timeout_ms, me, now.mono);
                self.revalidated(session, alive, now, out);
            }
            Role::Dormant | Role::Looking => {
                let alive = self.replica.config.local_sessions == LocalSessions::Off;
                if alive {
                    self.local.open(session, timeout_ms, now.mono);
                }
                self.revalidated(session, alive, now, out);
            }
        }
    }

    /// The leader's answer to a re-attach.
    pub(super) fn revalidated(&mut self, session: SessionId, alive: bool, now: Now, out: &mut Out) {
        let Some((conn, client)) = self.clients.of_session(session) else { return };
        if client.stage != Stage::Reattaching {
            return;
        }
        if alive { self.establish(conn, now, out) } else { self.refuse(conn, session, "expired", out) }
    }

    /// The session is established on this connection; what the client has asked meanwhile is heard now.
    pub(super) fn establish(&mut self, conn: ConnId, now: Now, out: &mut Out) {
        let read_only = self.read_only.serves();
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.stage = Stage::Open;
        let (timeout_ms, session) = (client.timeout_ms, client.session);
        let early = std::mem::take(&mut client.early);
        client.traffic.0.sent += 1;
        self.traffic.0.sent += 1;
        let password = password(session);
        out.send(conn, ServerFrame::Connected { timeout_ms, session, password, read_only });
        self.touch(session, timeout_ms, now);
        for (xid, op) in early {
            if self.clients.get_mut(conn).is_some_and(|client| client.stage == Stage::Open) {
                self.request(conn, xid, op, now, out);
            }
        }
    }

    /// Tells a client that its session is over.
    fn refuse(&mut self, conn: ConnId, session: SessionId, why: &'static str, out: &mut Out) {
        out.note(EventKind::ClientRefused { session, why: why.into() });
        let (session, read_only) = (SessionId::NONE, self.read_only.serves());
        out.send(conn, ServerFrame::Connected { timeout_ms: 0, session, password: 0, read_only });
        self.drop_client(conn, out);
    }

    /// Closes without a word.
    fn turn_away(&mut self, conn: ConnId, session: SessionId, why: &'static str, out: &mut Out) {
        out.note(EventKind::ClientRefused { session, why: why.into() });
        self.drop_client(conn, out);
    }
}
