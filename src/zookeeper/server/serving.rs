//! Serving — decides what a server answers its clients, and in which order. It never decides what a write
//! does.
//!
//! Replies of one connection leave in the order of its requests; a read waits behind earlier writes of
//! its connection (`CommitProcessor.java`), and watch events of a transaction leave before the reply
//! that shows it. What needs no processor is answered at once: auth, and requests that nobody understands
//! (`ZooKeeperServer.java`, `processPacket`, `submitRequestNow`).
//!
//! Not modeled: a server that has too many requests outstanding stops to read from its connections
//! (globalOutstandingLimit), which delays and never fails a request.

use std::sync::Arc;

use super::{
    Out, Role, Server,
    clients::{Answer, Pending, Stage},
    read_only, size,
    tally::{Aside, LastAnswer},
};
use crate::{
    core::{ConnId, Instant, Now},
    event::EventKind,
    name::{SessionId, Zxid},
    zookeeper::{
        access,
        log::Record,
        peer::{Ask, LearnerFrame, Write},
        session::LocalSessionTracker,
        tree::{Applied, Change, Reader},
        txn::Txn,
        watch::{Rearm, Watches},
        wire::{Compat, Id, LocalSessions, NO_ZXID, Op, Reply, ServerFrame, ZkError},
        zab::Turn,
    },
};

/// A request that is answered now.
struct Asked {
    xid: i32,
    op: &'static str,
    at: Instant,
}

impl Server {
    pub(super) fn request(&mut self, conn: ConnId, xid: i32, op: Op, now: Now, out: &mut Out) {
        if size::is_too_long(&op, self.replica.config.max_buffer) {
            return self.drop_client(conn, out);
        }
        if let Op::Auth { scheme, credential } = &op {
            return self.authenticate(conn, xid, scheme, credential, out);
        }
        let Some(client) = self.clients.get_mut(conn) else { return };
        let (session, timeout_ms) = (client.session, client.timeout_ms);
        // A session that has ended: its connection is about to be closed.
        if !self.touch(session, timeout_ms, now) {
            return;
        }
        if self.is_unknown(&op) {
            self.send_reply(conn, (xid, NO_ZXID), Err(ZkError::Unimplemented), out);
            return self.drop_client(conn, out);
        }
        if self.read_only.serves() && read_only::is_refused(&op) {
            return self.refuse_write(conn, xid, &op, now, out);
        }
        let is_local = self.local.tracks(session);
        if op == Op::CloseSession && is_local {
            self.local.mark_closing(session);
            return self.ask_locally(conn, xid, op, now, out);
        }
        if op.is_write() {
            self.write(conn, xid, op, now, out)
        } else {
            self.ask_locally(conn, xid, op, now, out)
        }
    }

    /// From 3.9.3 on a check outside a multi is not understood (ZOOKEEPER-2623).
    fn is_unknown(&self, op: &Op) -> bool {
        match op {
            Op::Unknown => true,
            Op::Check { .. } => self.replica.config.compat == Compat::V3_9,
            _ => false,
        }
    }

    fn refuse_write(&mut self, conn: ConnId, xid: i32, op: &Op, now: Now, out: &mut Out) {
        let asked = Asked { xid, op: op.name(), at: now.mono };
        self.reply(conn, &asked, Err(ZkError::NotReadOnly), now, out);
    }

    /// "unknown scheme or failing: AuthFailed, connection closed; same id twice is kept once; per
    /// connection". The header's zxid is 0.
    fn authenticate(&mut self, conn: ConnId, xid: i32, scheme: &str, credential: &[u8], out: &mut Out) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        match access::authenticate(scheme, credential, &client.address, &self.replica.config) {
            Some(ids) => {
                client.ids = access::join(&client.ids, ids);
                self.send_reply(conn, (xid, Zxid(0)), Ok(Reply::Done), out);
            }
            None => {
                self.send_reply(conn, (xid, Zxid(0)), Err(ZkError::AuthFailed), out);
                self.drop_client(conn, out);
            }
        }
    }

    fn write(&mut self, conn: ConnId, xid: i32, op: Op, now: Now, out: &mut Out) {
        let Some(session) = self.clients.get_mut(conn).map(|client| client.session) else { return };
        let answer = match &op {
            Op::CloseSession => Answer::Close,
            Op::Check { .. } => Answer::Failure,
            op if makes_ephemeral(op) && self.local.tracks(session) => self.upgrade(conn, session, now, out),
            _ => Answer::Outcome,
        };
        let Some(client) = self.clients.get_mut(conn) else { return };
        let (op_name, asked) = (op.name(), Aside(now.mono));
        client.pending.push_back(Pending::Write { xid, op: op_name, answer, asked });
        let ids = client.ids.clone();
        self.submit(Write { session, xid, ids, ask: Ask::Op(op) }, now, out);
    }

    /// "first ephemeral create upgrades (a createSession txn first) or EphemeralOnLocalSession"
    /// (`QuorumZooKeeperServer.checkUpgradeSession`).
    fn upgrade(&mut self, conn: ConnId, session: SessionId, now: Now, out: &mut Out) -> Answer {
        let Some(timeout_ms) = self.clients.get_mut(conn).map(|client| client.timeout_ms) else {
            return Answer::Outcome;
        };
        if self.replica.config.local_sessions != LocalSessions::Upgrading {
            return Answer::FailureAs(ZkError::EphemeralOnLocalSession);
        }
        if self.local.upgrade(session) {
            let open = Write { session, xid: 0, ids: Arc::default(), ask: Ask::Open { timeout_ms } };
            self.submit(open, now, out);
        }
        Answer::Outcome
    }

    /// Takes a request that is no write. A sync on a follower asks the leader: "on a leader a local sync is
    /// answered with no round trip".
    fn ask_locally(&mut self, conn: ConnId, xid: i32, op: Op, now: Now, out: &mut Out) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if op == Op::CloseSession {
            client.stage = Stage::Closing;
        }
        let asked = Aside(now.mono);
        match (op, &mut self.role) {
            (Op::Sync { path }, Role::Following(learner)) => {
                let session = client.session;
                client.pending.push_back(Pending::Sync { xid, path, is_synced: false, asked });
                learner.tell_leader(LearnerFrame::Sync { session, xid }, out);
            }
            (op, _) if client.pending.is_empty() => {
                let ids = client.ids.clone();
                self.answer(conn, &Asked { xid, op: op.name(), at: now.mono }, op, &ids, now, out);
            }
            (op, _) => {
                let ids = client.ids.clone();
                client.pending.push_back(Pending::Local { xid, op, ids, asked });
            }
        }
    }

    /// Sends a write on its way.
    pub(super) fn submit(&mut self, write: Write, now: Now, out: &mut Out) {
        match &mut self.role {
            Role::Following(learner) => learner.tell_leader(LearnerFrame::Request(write), out),
            Role::Leading(leader) => {
                let me = self.replica.me;
                let mut turn = Turn { now, replica: &mut self.replica, out };
                let outcome = leader.submit(me, write, &mut turn);
                self.settle(outcome, now, out);
            }
            Role::Dormant | Role::Looking => {}
        }
    }

    /// A sign of life. False if this server knows that the session has ended; a follower without local
    /// sessions does not.
    pub(super) fn touch(&mut self, session: SessionId, timeout_ms: u64, now: Now) -> bool {
        if self.local.touch(session, timeout_ms, now.mono) {
            return true;
        }
        match &mut self.role {
            Role::Following(learner) => {
                let is_global = self.replica.config.local_sessions == LocalSessions::Off
                    || self.local.is_upgrading(session)
                    || self.replica.tree.sessions().contains_key(&session);
                if is_global {
                    learner.touch(session, timeout_ms);
                }
                is_global
            }
            Role::Leading(leader) => leader.touch(session, timeout_ms, now.mono),
            Role::Dormant | Role::Looking => false,
        }
    }

    /// A transaction has been applied: watches fire, then whoever asked for it is answered.
    pub(super) fn deliver(&mut self, record: &Record, applied: Applied, now: Now, out: &mut Out) {
        let header = record.txn().header;
        self.tell_watchers(&applied.changes, header.zxid, out);
        match &record.txn().txn {
            Txn::CreateSession { .. } => self.session_opened(header.session, now, out),
            Txn::CloseSession { .. } => self.session_closed(header.session, header.xid, applied, now, out),
            _ => self.written(header.session, header.xid, applied, now, out),
        }
    }

    /// In 3.8 the header of an event tells no zxid, from 3.9 on that of its transaction (ZOOKEEPER-4655).
    fn tell_watchers(&mut self, changes: &[Change], zxid: Zxid, out: &mut Out) {
        let zxid = match self.replica.config.compat {
            Compat::V3_8 => NO_ZXID,
            Compat::V3_9 => zxid,
        };
        let clients = &self.clients;
        let events = self.watches.trigger(changes, |conn, acl| clients.may_read(conn, acl));
        for (conn, event) in events {
            self.count_sent(conn);
            out.send(conn, ServerFrame::Notification { event, zxid });
        }
    }

    fn session_opened(&mut self, session: SessionId, now: Now, out: &mut Out) {
        self.local.remove(session);
        let Some((conn, client)) = self.clients.of_session(session) else { return };
        if client.stage == Stage::Opening {
            self.establish(conn, now, out);
        }
    }

    /// Answers whoever has closed the session, if it is a client of this server, and cuts its connection.
    fn session_closed(&mut self, session: SessionId, xid: i32, applied: Applied, now: Now, out: &mut Out) {
        self.local.remove(session);
        let Some((conn, client)) = self.clients.of_session(session) else { return };
        let asked = |front: &mut Pending| matches!(front, Pending::Write { xid: asked, answer: Answer::Close, .. } if *asked == xid);
        if let Some(Pending::Write { xid, op, asked, .. }) = client.pending.pop_front_if(asked) {
            self.reply(conn, &Asked { xid, op, at: asked.0 }, applied.result, now, out);
        }
        self.drop_client(conn, out);
    }

    /// Answers a write, and the reads that waited for it. "a write is refused by the leader with
    /// SessionMoved, uses a zxid, and the old server closes the connection (no error frame)".
    fn written(&mut self, session: SessionId, xid: i32, applied: Applied, now: Now, out: &mut Out) {
        let Some((conn, client)) = self.clients.of_session(session) else { return };
        let fits = |front: &mut Pending| matches!(front, Pending::Write { xid: asked, .. } if *asked == xid);
        let Some(Pending::Write { op, answer, asked, .. }) = client.pending.pop_front_if(fits) else {
            return;
        };
        if applied.session_moved() {
            return self.drop_client(conn, out);
        }
        let result = match (answer, applied.result) {
            (Answer::Failure, Ok(_)) => None,
            (Answer::FailureAs(error), Err(_)) => Some(Err(error)),
            (Answer::FailureAs(error), Ok(Reply::Multi(results))) => {
                Some(Ok(self.refused_multi(results, error)))
            }
            (_, result) => Some(result),
        };
        if let Some(result) = result {
            self.reply(conn, &Asked { xid, op, at: asked.0 }, result, now, out);
        }
        self.answer_next(conn, now, out);
    }

    /// "in a multi that failure shows as SessionExpired", which is how the leader refuses it; its own client
    /// is told why.
    fn refused_multi(&self, results: Vec<Result<Reply, ZkError>>, error: ZkError) -> Reply {
        let leads = matches!(self.role, Role::Leading(_));
        let told = |result| match result {
            Err(ZkError::SessionExpired) if leads => Err(error),
            result => result,
        };
        Reply::Multi(results.into_iter().map(told).collect())
    }

    /// The leader's answer to a sync, behind the commits it waited for.
    pub(super) fn synced(&mut self, session: SessionId, xid: i32, now: Now, out: &mut Out) {
        let Some((conn, client)) = self.clients.of_session(session) else { return };
        let waits = |pending: &&mut Pending| matches!(pending, Pending::Sync { xid: asked, is_synced: false, .. } if *asked == xid);
        if let Some(Pending::Sync { is_synced, .. }) = client.pending.iter_mut().find(waits) {
            *is_synced = true;
        }
        self.answer_next(conn, now, out);
    }

    /// Answers requests that need nobody else, up to the first that does.
    fn answer_next(&mut self, conn: ConnId, now: Now, out: &mut Out) {
        let is_ready = |front: &mut Pending| {
            matches!(front, Pending::Local { .. } | Pending::Sync { is_synced: true, .. })
        };
        while let Some(ready) =
            self.clients.get_mut(conn).and_then(|client| client.pending.pop_front_if(is_ready))
        {
            match ready {
                Pending::Local { xid, op, ids, asked } => {
                    self.answer(conn, &Asked { xid, op: op.name(), at: asked.0 }, op, &ids, now, out);
                }
                Pending::Sync { xid, path, asked, .. } => {
                    let asked = Asked { xid, op: "sync", at: asked.0 };
                    self.reply(conn, &asked, Ok(Reply::Synced { path }), now, out);
                }
                Pending::Write { .. } => unreachable!("a write waits for its transaction"),
            }
        }
    }

    /// Answers a request that needs nobody else. The end of a local session is one.
    fn answer(&mut self, conn: ConnId, asked: &Asked, op: Op, ids: &[Id], now: Now, out: &mut Out) {
        let closes = op == Op::CloseSession;
        let result = self.outcome(conn, op, ids, out);
        self.reply(conn, asked, result, now, out);
        if closes {
            self.local.remove(self.clients.session_of(conn));
            self.drop_client(conn, out);
        }
    }

    fn outcome(&mut self, conn: ConnId, op: Op, ids: &[Id], out: &mut Out) -> Result<Reply, ZkError> {
        if op == Op::Ping {
            return Ok(Reply::Done);
        }
        let session = self.clients.session_of(conn);
        let reader = Reader { session, ids, compat: self.replica.config.compat };
        if let Some(result) = self.replica.tree.read(&op, &reader) {
            self.watches.after_read(conn, &op, &result);
            return result;
        }
        match op {
            Op::CloseSession => Ok(Reply::Done),
            Op::Sync { path } => Ok(Reply::Synced { path }),
            Op::WhoAmI => Ok(Reply::Ids(access::names(ids))),
            Op::AddWatch { path, mode } => {
                self.watches.add(conn, &path, mode);
                Ok(Reply::Done)
            }
            Op::RemoveWatches { path, kind } => self.watches.remove(conn, &path, kind),
            Op::CheckWatches { path, kind } => self.watches.check(conn, &path, kind),
            Op::SetWatches { relative_zxid, data, exist, child, persistent, recursive } => {
                let (data, exist, child) = (&data[..], &exist[..], &child[..]);
                let (persistent, recursive) = (&persistent[..], &recursive[..]);
                self.catch_up(conn, &Rearm { relative_zxid, data, exist, child, persistent, recursive }, out);
                Ok(Reply::Done)
            }
            Op::Malformed { error, .. } => Err(error),
            _ => Err(ZkError::Unimplemented),
        }
    }

    /// Events that are caught up tell no zxid in any version, and nobody is asked who may read the node.
    fn catch_up(&mut self, conn: ConnId, asked: &Rearm<'_>, out: &mut Out) {
        for event in self.watches.set_watches(conn, asked, &self.replica.tree) {
            self.count_sent(conn);
            out.send(conn, ServerFrame::Notification { event, zxid: NO_ZXID });
        }
    }

    fn reply(
        &mut self,
        conn: ConnId,
        asked: &Asked,
        result: Result<Reply, ZkError>,
        now: Now,
        out: &mut Out,
    ) {
        let zxid = self.header_zxid().expect("only a serving server has clients");
        if let Some(client) = self.clients.get_mut(conn) {
            client.traffic.0.answered(asked.at, now.mono);
            client.last.0 = Some(LastAnswer { op: asked.op, xid: asked.xid, zxid, at: now.mono });
            self.traffic.0.answered(asked.at, now.mono);
        }
        out.send(conn, ServerFrame::Reply { xid: asked.xid, zxid, result });
    }

    /// Replies to what no processor has seen.
    fn send_reply(
        &mut self,
        conn: ConnId,
        (xid, zxid): (i32, Zxid),
        result: Result<Reply, ZkError>,
        out: &mut Out,
    ) {
        self.count_sent(conn);
        out.send(conn, ServerFrame::Reply { xid, zxid, result });
    }

    fn count_sent(&mut self, conn: ConnId) {
        self.traffic.0.sent += 1;
        if let Some(client) = self.clients.get_mut(conn) {
            client.traffic.0.sent += 1;
        }
    }

    /// Ends local sessions that nobody has heard of for too long, with their connections.
    pub(super) fn expire_local_sessions(&mut self, now: Now, out: &mut Out) {
        for session in self.local.expire(now.mono) {
            out.note(EventKind::SessionExpired { session });
            if let Some(conn) = self.clients.conn_of(session) {
                self.drop_client(conn, out);
            }
        }
    }

    /// Closes connections that have been silent for too long. Their sessions may live on.
    pub(super) fn close_silent(&mut self, now: Now, out: &mut Out) {
        for conn in self.clients.silent(now.mono) {
            self.drop_client(conn, out);
        }
    }

    /// Cuts all clients off, and forgets what only this role of the server knew.
    pub(super) fn cut_clients(&mut self, out: &mut Out) {
        self.clients.close_all(out);
        self.watches = Watches::new(self.replica.config.compat);
        self.local = LocalSessionTracker::new(self.replica.config.tick_ms);
    }

    pub(super) fn drop_client(&mut self, conn: ConnId, out: &mut Out) {
        self.forget_client(conn);
        out.close(conn);
    }

    /// A local session whose close was under way ends with its connection.
    pub(super) fn forget_client(&mut self, conn: ConnId) {
        let Some(client) = self.clients.remove(conn) else { return };
        self.watches.drop_connection(conn);
        if client.stage == Stage::Closing {
            self.local.remove(client.session);
        }
    }
}

/// Whether a session must be global for it.
fn makes_ephemeral(op: &Op) -> bool {
    match op {
        Op::Create { mode, .. } => mode.is_ephemeral(),
        Op::Multi(ops) => ops.iter().any(makes_ephemeral),
        _ => false,
    }
}
