//! Traffic — decides how requests, answers, events and pings travel on the client's connection. It never
//! chooses a server.

use std::collections::VecDeque;

use super::{
    Client, Ended, Link,
    news::{ClientNews, RequestId},
    validate::validate,
    watches::OnError,
};
use crate::{
    core::{ConnId, Instant, Output},
    event::EventKind,
    name::Zxid,
    zookeeper::wire::{
        AUTH_XID, AddWatchMode, ClientFrame, NO_ZXID, Op, PING_XID, Reply, SET_WATCHES_XID, ServerFrame,
        Stat, WatchEvent, ZkError,
    },
};

/// Requests that were asked and are not answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    /// The xid drawn last.
    xid: i32,
    next_id: u64,
    waiting: VecDeque<Waiting>,
    pending: VecDeque<Pending>,
    /// Identities that were given and not answered yet, and who waits for the answer.
    identities: VecDeque<Option<RequestId>>,
}

/// A request that is not sent yet.
#[derive(Debug, Clone)]
struct Waiting {
    id: RequestId,
    op: Op,
    on_error: OnError,
}

/// A request without an answer yet; answers come in the order of requests.
#[derive(Debug, Clone)]
struct Pending {
    xid: i32,
    /// None: the client itself asked.
    asked: Option<Waiting>,
    name: &'static str,
    /// As the servers know it.
    path: String,
    sent: Instant,
}

impl Requests {
    fn draw_id(&mut self) -> RequestId {
        self.next_id += 1;
        RequestId(self.next_id - 1)
    }

    /// From 1; the greatest is left out (`ClientCnxn.getXid`).
    fn draw_xid(&mut self) -> i32 {
        self.xid = if self.xid >= i32::MAX - 1 { 1 } else { self.xid + 1 };
        self.xid
    }

    /// A new session counts from 1 again.
    pub(super) fn start_over(&mut self) {
        self.xid = 0;
    }
}

impl Client {
    pub(super) fn enqueue(&mut self, op: Op, on_error: OnError) -> RequestId {
        let id = self.requests.draw_id();
        match self.refusal(&op) {
            Some(result) => self.tell(id, result),
            None => {
                self.remember(&op);
                self.requests.waiting.push_back(Waiting { id, op, on_error });
            }
        }
        id
    }

    /// The answer that needs no server, if there is one.
    fn refusal(&self, op: &Op) -> Option<Result<Reply, ZkError>> {
        if let Err(error) = validate(op) {
            return Some(Err(error));
        }
        match (self.link, op) {
            (Link::Off(Ended::AuthFailed), _) => Some(Err(ZkError::AuthFailed)),
            (Link::Off(_), _) => Some(Err(ZkError::SessionExpired)),
            _ if self.closing => Some(Err(ZkError::ConnectionLoss)),
            (_, Op::Multi(ops) | Op::MultiRead(ops)) if ops.is_empty() => Some(Ok(Reply::Multi(Vec::new()))),
            _ => None,
        }
    }

    fn remember(&mut self, op: &Op) {
        match op {
            Op::CloseSession => self.closing = true,
            Op::Auth { scheme, credential } => {
                self.identities.push((scheme.clone(), credential.clone()));
            }
            _ => {}
        }
    }

    /// Sends what was asked, if there is a connection. A client that was silent for long pings as well, as it
    /// is awake (`ClientCnxn.SendThread.run`).
    pub fn flush<M: From<ClientFrame>>(&mut self, now: Instant, out: &mut Output<M>) {
        let Link::Up { conn, .. } = self.link else { return };
        if self.requests.waiting.is_empty() {
            return;
        }
        let was_silent = self.timing.ping_is_due(now.since(self.sent));
        while let Some(waiting) = self.requests.waiting.pop_front() {
            match waiting.op {
                Op::Auth { .. } => self.send_identity(now, Some(waiting.id), waiting.op, out),
                _ => self.send_asked(now, conn, waiting, out),
            }
        }
        if was_silent {
            self.ping(now, out);
        }
        self.beat(now, out);
    }

    fn send_asked<M: From<ClientFrame>>(
        &mut self,
        now: Instant,
        conn: ConnId,
        waiting: Waiting,
        out: &mut Output<M>,
    ) {
        let xid = self.requests.draw_xid();
        let op = self.chroot.op(&waiting.op);
        self.note_asked(xid, &op, out);
        let (name, path) = (op.name(), op.path().to_owned());
        self.requests.pending.push_back(Pending { xid, asked: Some(waiting), name, path, sent: now });
        self.post(now, conn, xid, op, out);
    }

    /// Sets watches again, with the servers' paths.
    pub(super) fn send_rearm<M: From<ClientFrame>>(&mut self, now: Instant, op: Op, out: &mut Output<M>) {
        let Link::Up { conn, .. } = self.link else { return };
        let (xid, name, path) = (SET_WATCHES_XID, op.name(), String::new());
        self.note_asked(xid, &op, out);
        self.requests.pending.push_back(Pending { xid, asked: None, name, path, sent: now });
        self.post(now, conn, xid, op, out);
    }

    pub(super) fn send_identity<M: From<ClientFrame>>(
        &mut self,
        now: Instant,
        id: Option<RequestId>,
        op: Op,
        out: &mut Output<M>,
    ) {
        let Link::Up { conn, .. } = self.link else { return };
        self.note_asked(AUTH_XID, &op, out);
        self.requests.identities.push_back(id);
        self.post(now, conn, AUTH_XID, op, out);
    }

    fn post<M: From<ClientFrame>>(
        &mut self,
        now: Instant,
        conn: ConnId,
        xid: i32,
        op: Op,
        out: &mut Output<M>,
    ) {
        self.sent = now;
        out.send(conn, ClientFrame::Request { xid, op });
    }

    fn note_asked<M>(&self, xid: i32, op: &Op, out: &mut Output<M>) {
        let (path, watch) = (op.path().to_owned(), watch_asked(op).into());
        out.note(EventKind::ClientAsked { session: self.session, xid, op: op.name().into(), path, watch });
    }

    fn ping<M: From<ClientFrame>>(&mut self, now: Instant, out: &mut Output<M>) {
        let Link::Up { conn, .. } = self.link else { return };
        self.pings.push_back(now);
        self.post(now, conn, PING_XID, Op::Ping, out);
    }

    /// Once round the loop of `SendThread.run`: pings if it is time, and says when to wake up.
    pub(super) fn beat<M: From<ClientFrame>>(&mut self, now: Instant, out: &mut Output<M>) {
        if !matches!(self.link, Link::Up { .. }) {
            return;
        }
        if self.timing.ping_is_due(now.since(self.sent)) {
            self.ping(now, out);
        }
        self.due = now + self.timing.next_ping(now.since(self.sent));
    }

    pub(super) fn take_frame<M: From<ClientFrame>>(
        &mut self,
        now: Instant,
        frame: ServerFrame,
        out: &mut Output<M>,
    ) {
        match (frame, self.link) {
            (frame, Link::Greeting { .. }) => self.greeted(now, frame, out),
            (ServerFrame::Reply { xid: PING_XID, .. }, Link::Up { .. }) => {
                self.contact = self.contact.max(self.pings.pop_front());
            }
            (ServerFrame::Reply { xid: AUTH_XID, zxid, result }, Link::Up { .. }) => {
                self.identity_answered(zxid, result, out);
            }
            (ServerFrame::Reply { xid, zxid, result }, Link::Up { .. }) => {
                self.answered(now, (xid, zxid), result, out);
            }
            (ServerFrame::Notification { event, .. }, Link::Up { .. }) => self.notified(event, out),
            _ => self.lose(now, out),
        }
    }

    fn identity_answered<M>(&mut self, zxid: Zxid, result: Result<Reply, ZkError>, out: &mut Output<M>) {
        let id = self.requests.identities.pop_front().flatten();
        let error = code(&result);
        let (session, op, path) = (self.session, "auth".into(), String::new());
        out.note(EventKind::ClientReplied { session, xid: AUTH_XID, zxid, op, error, path, stat: None });
        let failed = result == Err(ZkError::AuthFailed);
        if let Some(id) = id {
            self.tell(id, result);
        }
        if failed {
            self.auth_failed(out);
        }
    }

    fn answered<M>(
        &mut self,
        now: Instant,
        (xid, zxid): (i32, Zxid),
        result: Result<Reply, ZkError>,
        out: &mut Output<M>,
    ) {
        if self.requests.pending.front().is_none_or(|pending| pending.xid != xid) {
            return self.lose(now, out);
        }
        let Some(Pending { asked, name, path, sent, .. }) = self.requests.pending.pop_front() else { return };
        self.contact = self.contact.max(Some(sent));
        if zxid != NO_ZXID && zxid.0 > 0 {
            self.last_zxid = zxid;
        }
        let error = code(&result);
        let (path, stat) = shown(path, &result);
        let session = self.session;
        out.note(EventKind::ClientReplied { session, xid, zxid, op: name.into(), error, path, stat });
        let Some(waiting) = asked else { return };
        let closes = waiting.op == Op::CloseSession;
        self.finish(waiting, result);
        if closes {
            self.end(Ended::Closed, out);
        }
    }

    fn notified<M>(&mut self, event: WatchEvent, out: &mut Output<M>) {
        let (path, change) = (event.path.clone(), event.change.name().into());
        out.note(EventKind::ClientNotified { session: self.session, path, change });
        let event = self.chroot.event(event);
        if self.watches.fired(&event) {
            self.news.push_back(ClientNews::Watch(event));
        }
    }

    /// A request has its answer, from a server or for want of one (`ClientCnxn.finishPacket`).
    fn finish(&mut self, Waiting { id, op, on_error }: Waiting, result: Result<Reply, ZkError>) {
        self.watches.left_by(&op, &result);
        let result = match op {
            Op::RemoveWatches { path, kind } => {
                let (result, gone) = self.watches.removed((&path, kind), on_error, result);
                let removed = |kind| ClientNews::WatchRemoved { path: path.clone(), kind };
                self.news.extend(gone.into_iter().map(removed));
                result
            }
            _ => result.map(|reply| self.chroot.reply(reply)),
        };
        self.tell(id, result);
    }

    fn tell(&mut self, id: RequestId, result: Result<Reply, ZkError>) {
        self.news.push_back(ClientNews::Reply { id, result });
    }

    /// Whatever waits ends with this error, in the order asked.
    pub(super) fn fail_all(&mut self, error: ZkError) {
        self.pings.clear();
        for id in std::mem::take(&mut self.requests.identities).into_iter().flatten() {
            self.tell(id, Err(error));
        }
        let sent = std::mem::take(&mut self.requests.pending).into_iter().filter_map(|pending| pending.asked);
        let unsent = std::mem::take(&mut self.requests.waiting);
        for waiting in sent.chain(unsent) {
            self.finish(waiting, Err(error));
        }
    }
}

fn code(result: &Result<Reply, ZkError>) -> i32 {
    result.as_ref().err().map_or(0, |error| error.code())
}

/// The path and Stat that a reply shows.
fn shown(path: String, result: &Result<Reply, ZkError>) -> (String, Option<Stat>) {
    match result {
        Ok(Reply::Created { path, stat }) => (path.clone(), Some(*stat)),
        Ok(Reply::Stat(stat) | Reply::Data { stat, .. }) => (path, Some(*stat)),
        Ok(Reply::Children { stat, .. } | Reply::Acl { stat, .. }) => (path, Some(*stat)),
        _ => (path, None),
    }
}

/// Which watch a request leaves if it succeeds (of exists: also if there is no node), or takes away.
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
mod tests {
    use super::*;

    /// "Avoid negative cxid values. … Skip from MAX to 1."
    #[test]
    fn xids_go_from_the_greatest_but_one_to_one() {
        let mut requests = Requests { xid: i32::MAX - 2, ..Requests::default() };
        assert_eq!([requests.draw_xid(), requests.draw_xid(), requests.draw_xid()], [i32::MAX - 1, 1, 2]);
        requests.start_over();
        assert_eq!(requests.draw_xid(), 1);
    }
}
