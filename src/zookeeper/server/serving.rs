//! Serving — decides what a server answers its clients, and in which order. It never decides what a write
//! does.
//!
//! Replies of one connection leave in the order of its requests; a read waits behind earlier writes of
//! its connection (`CommitProcessor.java`), and watch events of a transaction leave before the reply
//! that shows it.

use std::sync::Arc;

use super::{
    Out, Role, Server,
    clients::{Client, Pending, Stage},
};
use crate::{
    core::{ConnId, Now},
    event::EventKind,
    name::{SessionId, Zxid},
    zookeeper::{
        log::Record,
        peer::{Ask, LearnerFrame, Write},
        session::{negotiate_timeout_ms, password},
        tree::{Applied, Reader},
        txn::Txn,
        watch::Rearm,
        wire::{ClientFrame, NO_ZXID, Op, Password, Reply, ServerFrame, ZkError},
        zab::Turn,
    },
};

/// What a client says when it connects.
struct Hello {
    last_zxid_seen: Zxid,
    timeout_ms: u64,
    session: SessionId,
    password: Password,
}

impl Server {
    pub(super) fn client_says(&mut self, conn: ConnId, frame: ClientFrame, now: Now, out: &mut Out) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        match (frame, client.stage) {
            (ClientFrame::Connect { last_zxid_seen, timeout_ms, session, password, .. }, Stage::Greeting) => {
                self.greet(conn, Hello { last_zxid_seen, timeout_ms, session, password }, now, out);
            }
            (ClientFrame::Request { xid, op }, Stage::Open) => self.request(conn, xid, op, now, out),
            _ => self.drop_client(conn, out),
        }
    }

    /// A server that is behind what the client has seen closes without a word, so that the client tries
    /// another one.
    fn greet(&mut self, conn: ConnId, hello: Hello, now: Now, out: &mut Out) {
        if self.header_zxid().is_none_or(|zxid| hello.last_zxid_seen > zxid) {
            out.note(EventKind::ClientRefused { session: hello.session, why: "ahead".into() });
            return self.drop_client(conn, out);
        }
        let timeout_ms = negotiate_timeout_ms(hello.timeout_ms, &self.replica.config);
        if hello.session == SessionId::NONE {
            let session = self.session_ids.draw();
            self.clients.claim(conn, session, timeout_ms, Stage::Opening);
            let open = Write { session, xid: 0, ids: Arc::default(), ask: Ask::Open { timeout_ms } };
            return self.submit(open, now, out);
        }
        self.reattach(conn, &hello, timeout_ms, now, out);
    }

    /// The session's former connection to this server is closed first, also when the password turns out
    /// to be wrong.
    fn reattach(&mut self, conn: ConnId, hello: &Hello, timeout_ms: u64, now: Now, out: &mut Out) {
        let session = hello.session;
        if let Some(former) = self.clients.conn_of(session) {
            self.drop_client(former, out);
        }
        if hello.password != password(session) {
            return self.refuse(conn, session, "password", out);
        }
        self.clients.claim(conn, session, timeout_ms, Stage::Reattaching);
        let me = self.replica.me;
        match &mut self.role {
            Role::Following(learner) => {
                learner.tell_leader(LearnerFrame::Revalidate { session, timeout_ms }, out)
            }
            Role::Leading(leader) => {
                let alive = leader.claim(session, timeout_ms, me, now.mono);
                self.revalidated(session, alive, now, out);
            }
            Role::Dormant | Role::Looking => {}
        }
    }

    /// The leader's answer to a re-attach.
    pub(super) fn revalidated(&mut self, session: SessionId, alive: bool, now: Now, out: &mut Out) {
        let Some((conn, client)) = self.clients.of_session(session) else { return };
        if client.stage != Stage::Reattaching {
            return;
        }
        if !alive {
            return self.refuse(conn, session, "expired", out);
        }
        open(conn, client, out);
        let timeout_ms = client.timeout_ms;
        self.touch(session, timeout_ms, now);
    }

    /// Tells a client that its session is over.
    fn refuse(&mut self, conn: ConnId, session: SessionId, why: &'static str, out: &mut Out) {
        out.note(EventKind::ClientRefused { session, why: why.into() });
        let (session, read_only) = (SessionId::NONE, false);
        out.send(conn, ServerFrame::Connected { timeout_ms: 0, session, password: 0, read_only });
        self.drop_client(conn, out);
    }

    fn request(&mut self, conn: ConnId, xid: i32, op: Op, now: Now, out: &mut Out) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let (session, timeout_ms) = (client.session, client.timeout_ms);
        if op.is_write() {
            client.pending.push_back(Pending::Write { xid });
            self.touch(session, timeout_ms, now);
            return self.submit(Write { session, xid, ids: Arc::default(), ask: Ask::Op(op) }, now, out);
        }
        match (op, &mut self.role) {
            (Op::Sync { path }, Role::Following(learner)) => {
                client.pending.push_back(Pending::Sync { xid, path });
                learner.tell_leader(LearnerFrame::Sync { session, xid }, out);
            }
            (op, _) => client.pending.push_back(Pending::Local { xid, op }),
        }
        self.touch(session, timeout_ms, now);
        self.answer_reads(conn, out);
    }

    /// Sends a write on its way.
    fn submit(&mut self, write: Write, now: Now, out: &mut Out) {
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

    fn touch(&mut self, session: SessionId, timeout_ms: u64, now: Now) {
        match &mut self.role {
            Role::Following(learner) => learner.touch(session, timeout_ms),
            Role::Leading(leader) => leader.touch(session, timeout_ms, now.mono),
            Role::Dormant | Role::Looking => {}
        }
    }

    /// A transaction has been applied: watches fire, then whoever asked for it is answered.
    pub(super) fn deliver(&mut self, record: &Record, applied: Applied, now: Now, out: &mut Out) {
        for (conn, event) in self.watches.trigger(&applied.changes, |_, _| true) {
            out.send(conn, ServerFrame::Notification { event, zxid: NO_ZXID });
        }
        let header = record.txn().header;
        let closes = matches!(record.txn().txn, Txn::CloseSession { .. });
        let Some((conn, client)) = self.clients.of_session(header.session) else { return };
        match (client.stage, client.pending.front()) {
            (Stage::Opening, _) if matches!(record.txn().txn, Txn::CreateSession { .. }) => {
                open(conn, client, out);
                let timeout_ms = client.timeout_ms;
                self.touch(header.session, timeout_ms, now);
            }
            (Stage::Open, Some(Pending::Write { xid })) if *xid == header.xid => {
                client.pending.pop_front();
                self.answer_write(conn, header.xid, applied, out);
            }
            _ => {}
        }
        if closes {
            self.drop_client(conn, out);
        }
    }

    /// Answers a write, and the reads that waited for it. "a write is refused by the leader with
    /// SessionMoved, uses a zxid, and the old server closes the connection (no error frame)".
    fn answer_write(&mut self, conn: ConnId, xid: i32, applied: Applied, out: &mut Out) {
        if applied.session_moved() {
            return self.drop_client(conn, out);
        }
        self.reply(conn, xid, applied.result, out);
        self.answer_reads(conn, out);
    }

    /// The leader's answer to a sync, behind the commits it waited for.
    pub(super) fn synced(&mut self, session: SessionId, asked: i32, out: &mut Out) {
        let Some((conn, client)) = self.clients.of_session(session) else { return };
        let fits = |front: &mut Pending| matches!(front, Pending::Sync { xid, .. } if *xid == asked);
        if let Some(Pending::Sync { xid, path }) = client.pending.pop_front_if(fits) {
            self.reply(conn, xid, Ok(Reply::Synced { path }), out);
            self.answer_reads(conn, out);
        }
    }

    /// Answers requests that need nobody else, up to the first that does.
    fn answer_reads(&mut self, conn: ConnId, out: &mut Out) {
        let local = |front: &mut Pending| matches!(front, Pending::Local { .. });
        while let Some(client) = self.clients.get_mut(conn)
            && let Some(Pending::Local { xid, op }) = client.pending.pop_front_if(local)
        {
            let result = self.answer(conn, op, out);
            self.reply(conn, xid, result, out);
        }
    }

    fn answer(&mut self, conn: ConnId, op: Op, out: &mut Out) -> Result<Reply, ZkError> {
        let session = self.clients.get_mut(conn).map_or(SessionId::NONE, |client| client.session);
        let reader = Reader { session, ids: &[], compat: self.replica.config.compat };
        if let Some(result) = self.replica.tree.read(&op, &reader) {
            self.watches.after_read(conn, &op, &result);
            return result;
        }
        match op {
            Op::Ping => Ok(Reply::Done),
            // On the leader itself: "a local sync is answered with no round trip".
            Op::Sync { path } => Ok(Reply::Synced { path }),
            Op::SetWatches { relative_zxid, data, exist, child, persistent, recursive } => {
                let (data, exist, child) = (&data[..], &exist[..], &child[..]);
                let (persistent, recursive) = (&persistent[..], &recursive[..]);
                let asked = Rearm { relative_zxid, data, exist, child, persistent, recursive };
                for event in self.watches.set_watches(conn, &asked, &self.replica.tree) {
                    out.send(conn, ServerFrame::Notification { event, zxid: NO_ZXID });
                }
                Ok(Reply::Done)
            }
            _ => Err(ZkError::Unimplemented),
        }
    }

    fn reply(&mut self, conn: ConnId, xid: i32, result: Result<Reply, ZkError>, out: &mut Out) {
        let zxid = self.header_zxid().expect("only a serving server has clients");
        out.send(conn, ServerFrame::Reply { xid, zxid, result });
    }

    pub(super) fn drop_client(&mut self, conn: ConnId, out: &mut Out) {
        self.forget_client(conn);
        out.close(conn);
    }

    pub(super) fn forget_client(&mut self, conn: ConnId) {
        if self.clients.remove(conn) {
            self.watches.drop_connection(conn);
        }
    }
}

/// The session is established on this connection.
fn open(conn: ConnId, client: &mut Client, out: &mut Out) {
    client.stage = Stage::Open;
    let (timeout_ms, session) = (client.timeout_ms, client.session);
    let password = password(session);
    out.send(conn, ServerFrame::Connected { timeout_ms, session, password, read_only: false });
}
