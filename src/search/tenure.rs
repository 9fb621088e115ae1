//! Tenure — decides until when a node can prove that its session is not over: what it may answer without asking
//! anybody. It never decides who is a member.
//!
//! That a server answers proves little: a follower that has lost its leader answers pings for as long as it waits
//! (`syncLimit`), while the leader counts the session's time out and others take over. A transaction proves that, when
//! it was sent, a leader with a quorum knew of the session, and no later leader counts from an earlier time.
//!
//! The leader itself counts from what followers have told it: of contact that is older than the request by up to the
//! client's pings, a third of the timeout, and half a tick. So half of the timeout is safe, counted from when the
//! transaction was sent, by the node's own clock.

use std::time::Duration;

use crate::{
    core::Instant,
    name::SessionId,
    zookeeper::{
        client::{Client, ClientNews, ClientState, RequestId},
        wire::{Op, Reply},
    },
};

/// What a node has proven of its session.
#[derive(Debug, Default)]
pub struct Tenure {
    asked: Option<(RequestId, SessionId)>,
    /// When it was last asked, in this connection.
    asked_at: Option<Instant>,
    proven: Option<(SessionId, Instant)>,
}

impl Tenure {
    /// Whether the session is not over now: it was proven lately enough.
    pub fn holds(&self, session: SessionId, timeout: Duration, now: Instant) -> bool {
        self.proven.is_some_and(|(of, sent)| of == session && now < sent + timeout / 2)
    }

    /// Asks for proof, when it is time.
    pub fn act(&mut self, now: Instant, client: &mut Client) {
        let Some(session) = client.session() else { return };
        if client.state() != ClientState::Connected || self.next_wake(client).is_none_or(|at| now < at) {
            return;
        }
        // It changes nothing, but goes through the leader and a quorum.
        let check = Op::Check { path: "/".into(), version: -1 };
        self.asked = Some((client.ask(Op::Multi(vec![check])), session));
        self.asked_at = Some(now);
    }

    /// Reads news of the client.
    pub fn news(&mut self, news: &ClientNews) {
        match news {
            ClientNews::State(ClientState::Connected) => self.asked_at = None,
            ClientNews::Reply { id, result } => {
                let Some((_, session)) = self.asked.take_if(|(asked, _)| asked == id) else { return };
                let is_done = matches!(result, Ok(Reply::Multi(parts)) if parts.iter().all(Result::is_ok));
                if let Some(sent) = self.asked_at.filter(|_| is_done) {
                    self.proven = Some((session, sent));
                }
            }
            _ => {}
        }
    }

    /// When it wants to ask: with four requests in a timeout it bears one that is slow.
    pub fn next_wake(&self, client: &Client) -> Option<Instant> {
        let is_idle = self.asked.is_none() && client.state() == ClientState::Connected;
        let due = self.asked_at.map_or(Instant(0), |at| at + client.timeout() / 4);
        is_idle.then_some(due)
    }
}
