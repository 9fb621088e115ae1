//! Attachment — decides how a session comes to a server, leaves it, and ends. It never looks at requests
//! beyond failing them.

use super::{
    Client, Ended, Expiry, Link,
    news::{ClientNews, ClientState},
    timing::{Timing, pause},
    watches::Watches,
};
use crate::{
    core::{Address, ConnId, Instant, Output, Port},
    defect::Defect,
    event::EventKind,
    name::{HostId, SessionId, Zxid},
    zookeeper::wire::{ClientFrame, Op, Password, ServerFrame, ZkError},
};

/// What a server grants in its answer to `Connect`.
struct Grant {
    timeout: std::time::Duration,
    session: SessionId,
    password: Password,
    read_only: bool,
}

impl Client {
    /// As a new `ZooKeeper` object: nothing is left of the former session, identities aside.
    pub(super) fn begin<M>(&mut self, now: Instant, out: &mut Output<M>) {
        self.hosts.start_over(&mut self.entropy);
        self.timing = Timing::new(self.config.session_timeout, self.hosts.len());
        self.granted = self.config.session_timeout;
        let (server, _) = self.hosts.next(&mut self.entropy);
        self.heard = now;
        self.dial(now, server, out);
    }

    pub(super) fn dial<M>(&mut self, now: Instant, server: HostId, out: &mut Output<M>) {
        let conn = out.dial(Address { host: server, port: Port::ZkClient });
        self.link = Link::Dialing { conn, server, deadline: now + self.timing.connect };
    }

    /// A dialled connection is established: presents the session, or asks for one.
    pub fn connected<M: From<ClientFrame>>(&mut self, now: Instant, conn: ConnId, out: &mut Output<M>) {
        match self.link {
            Link::Dialing { conn: dialed, server, .. } if dialed == conn => {
                let deadline = now + self.timing.connect;
                self.link = Link::Greeting { conn, server, sent: now, deadline };
                self.has_connected = true;
                self.heard = now;
                out.send(conn, self.greeting());
            }
            _ => {}
        }
    }

    /// A session that only servers without a quorum know is nothing to go on with elsewhere.
    fn greeting(&self) -> ClientFrame {
        ClientFrame::Connect {
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.config.session_timeout.as_millis() as u64,
            session: if self.seen_read_write { self.session } else { SessionId::NONE },
            password: self.password,
            read_only: self.config.read_only,
        }
    }

    /// The answer to `Connect`.
    pub(super) fn greeted<M: From<ClientFrame>>(
        &mut self,
        now: Instant,
        frame: ServerFrame,
        out: &mut Output<M>,
    ) {
        match frame {
            ServerFrame::Connected { timeout_ms: 0, .. } => self.refused(out),
            ServerFrame::Connected { timeout_ms, session, password, read_only } => {
                let timeout = std::time::Duration::from_millis(timeout_ms);
                self.attach(now, &Grant { timeout, session, password, read_only }, out);
            }
            _ => self.lose(now, out),
        }
    }

    fn attach<M: From<ClientFrame>>(&mut self, now: Instant, grant: &Grant, out: &mut Output<M>) {
        let Link::Greeting { conn, server, sent, .. } = self.link else { return };
        let Grant { timeout, session, password, read_only } = *grant;
        let resumed = self.session == session;
        (self.session, self.password, self.granted) = (session, password, timeout);
        self.timing = Timing::new(timeout, self.hosts.len());
        self.hosts.connected();
        self.contact = Some(sent);
        self.sent = sent;
        self.seen_read_write |= !read_only;
        self.link = Link::Up { conn, server, read_only };
        out.note(EventKind::ClientConnected { session, server, resumed, read_only });
        self.news.push_back(ClientNews::State(self.state()));
        self.prime(now, out);
        self.flush(now, out);
    }

    /// Gives the identities, then sets the watches again, the last ones first
    /// (`ClientCnxn.primeConnection` puts each at the head of the queue).
    fn prime<M: From<ClientFrame>>(&mut self, now: Instant, out: &mut Output<M>) {
        for (scheme, credential) in self.identities.clone().into_iter().rev() {
            self.send_identity(now, None, Op::Auth { scheme, credential }, out);
        }
        if self.config.defects.has(Defect::WatchesNotSetAgain) {
            return;
        }
        let chroot = self.chroot.clone();
        let rearm = self.watches.rearm(self.last_zxid, |path| chroot.to_server(path));
        for op in rearm.into_iter().rev() {
            self.send_rearm(now, op, out);
        }
    }

    /// The server has refused the session: it is over, as is a session that never came to be.
    fn refused<M>(&mut self, out: &mut Output<M>) {
        if self.session != SessionId::NONE {
            out.note(EventKind::ClientExpired { session: self.session });
        }
        self.end(Ended::Expired, out);
    }

    /// The client itself takes its session for over. What the servers think of it nobody knows.
    pub(super) fn give_up<M>(&mut self, out: &mut Output<M>) {
        if let Link::Up { .. } = self.link {
            out.note(EventKind::ClientDisconnected { session: self.session });
        }
        self.end(Ended::Expired, out);
    }

    /// When the client itself takes its session for over, if it judges that.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        let is_alive = self.session != SessionId::NONE && self.config.expiry == Expiry::ByClient;
        is_alive.then(|| self.heard + self.timing.expiry)
    }

    /// An identity was not accepted; the session is left to its timeout.
    pub(super) fn auth_failed<M>(&mut self, out: &mut Output<M>) {
        out.note(EventKind::ClientDisconnected { session: self.session });
        self.identities.clear();
        self.end(Ended::AuthFailed, out);
    }

    /// The session is over; whatever waits fails.
    pub(super) fn end<M>(&mut self, ended: Ended, out: &mut Output<M>) {
        self.hang_up(out);
        self.link = Link::Off(ended);
        self.session = SessionId::NONE;
        self.password = 0;
        self.seen_read_write = false;
        self.has_connected = false;
        self.closing = false;
        self.last_zxid = Zxid(0);
        self.contact = None;
        self.news.push_back(ClientNews::State(self.state()));
        self.fail_all(match ended {
            Ended::AuthFailed => ZkError::AuthFailed,
            Ended::Closed | Ended::Expired => ZkError::SessionExpired,
        });
        self.watches = Watches::default();
        self.requests.start_over();
    }

    fn hang_up<M>(&mut self, out: &mut Output<M>) {
        if let Some(conn) = self.conn() {
            out.close(conn);
        }
    }

    pub(super) fn lose<M>(&mut self, now: Instant, out: &mut Output<M>) {
        self.hang_up(out);
        self.disconnect(now, out);
    }

    /// The connection is gone: whatever waits fails, and the next server's turn comes after a pause.
    pub(super) fn disconnect<M>(&mut self, now: Instant, out: &mut Output<M>) {
        let was_up = matches!(self.link, Link::Up { .. });
        let (server, round) = self.hosts.next(&mut self.entropy);
        let until = now + pause(&mut self.entropy, self.has_connected, round);
        self.link = Link::Pausing { until, server };
        self.fail_all(ZkError::ConnectionLoss);
        if was_up {
            out.note(EventKind::ClientDisconnected { session: self.session });
            self.news.push_back(ClientNews::State(ClientState::Disconnected));
        }
        if self.closing {
            self.end(Ended::Closed, out);
        }
    }
}
