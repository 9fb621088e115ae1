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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::{Effect, Entropy, Output},
        name::{Epoch, HostId, Zxid},
        zookeeper::{
            client::ClientConfig,
            wire::{ClientFrame, ServerFrame, ZkError},
        },
    };

    const SECOND: u64 = 1_000_000_000;
    const SESSION: SessionId = SessionId(7);
    const TIMEOUT: Duration = Duration::from_secs(8);

    /// A client with a session of eight seconds.
    struct Bed {
        tenure: Tenure,
        client: Client,
        out: Output<ClientFrame>,
        answered: u32,
    }

    impl Bed {
        fn new() -> Self {
            let config = ClientConfig::new(vec![HostId::zookeeper(1)], TIMEOUT);
            let client = Client::new(config, Entropy::new(1));
            let mut bed = Self { tenure: Tenure::default(), client, out: Output::default(), answered: 0 };
            bed.client.start(Instant(0), &mut bed.out);
            bed.attach(Instant(0));
            bed
        }

        fn attach(&mut self, now: Instant) {
            let conn = self.client.conn().unwrap();
            self.client.connected(now, conn, &mut self.out);
            let timeout_ms = TIMEOUT.as_millis() as u64;
            let frame =
                ServerFrame::Connected { timeout_ms, session: SESSION, password: 7, read_only: false };
            self.client.received(now, conn, frame, &mut self.out);
            self.news();
        }

        fn news(&mut self) {
            self.client.take_news().iter().for_each(|news| self.tenure.news(news));
        }

        /// What it sends at this time, if that is the question.
        fn asks(&mut self, now: Instant) -> bool {
            self.tenure.act(now, &mut self.client);
            self.client.flush(now, &mut self.out);
            let sent = self.out.drain().filter(|effect| {
                matches!(effect, Effect::Send { message: ClientFrame::Request { op: Op::Multi(_), .. }, .. })
            });
            sent.count() == 1
        }

        fn answer(&mut self, now: Instant, part: Result<Reply, ZkError>) {
            self.answered += 1;
            let (xid, zxid) = (self.answered as i32, Zxid::new(Epoch(1), self.answered));
            let frame = ServerFrame::Reply { xid, zxid, result: Ok(Reply::Multi(vec![part])) };
            self.client.received(now, self.client.conn().unwrap(), frame, &mut self.out);
            self.news();
        }

        fn holds(&self, now: u64) -> bool {
            self.tenure.holds(SESSION, self.client.timeout(), Instant(now))
        }
    }

    #[test]
    fn proof_is_good_for_half_the_timeout_from_when_it_was_asked_for() {
        let mut bed = Bed::new();
        assert!(bed.asks(Instant(0)) && !bed.holds(0), "that it is connected proves nothing");
        assert!(!bed.asks(Instant(3 * SECOND)), "one question at a time");
        bed.answer(Instant(3 * SECOND), Ok(Reply::Done));
        assert!(bed.holds(4 * SECOND - 1) && !bed.holds(4 * SECOND));
        assert!(!bed.tenure.holds(SessionId(8), TIMEOUT, Instant(0)), "another session");
        assert!(bed.asks(Instant(3 * SECOND)), "a quarter of the timeout is over");
        bed.answer(Instant(3 * SECOND), Err(ZkError::NoNode));
        assert!(!bed.holds(4 * SECOND), "a refusal proves nothing");
        assert_eq!(bed.tenure.next_wake(&bed.client), Some(Instant(5 * SECOND)));
    }

    #[test]
    fn answer_that_was_lost_proves_nothing_and_the_next_connection_asks_at_once() {
        let mut bed = Bed::new();
        assert!(bed.asks(Instant(0)));
        let conn = bed.client.conn().unwrap();
        bed.client.closed(Instant(SECOND), conn, &mut bed.out);
        bed.news();
        assert_eq!(bed.tenure.next_wake(&bed.client), None);
        let dials = bed.client.next_wake().unwrap();
        bed.client.wake(dials, &mut bed.out);
        bed.attach(dials);
        assert!(!bed.holds(dials.0) && bed.asks(dials));
    }
}
