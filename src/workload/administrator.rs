//! Administrator — decides how somebody with all passwords ends sessions and changes the ensemble when told
//! to. It never decides when.

use std::{collections::VecDeque, time::Duration};

use crate::{
    core::{Address, ConnId, Core, Entropy, Input, Instant, Now, Output, Port},
    name::{HostId, SessionId, Zxid},
    workload::zookeeper::Message,
    zookeeper::{
        client::{Client, ClientConfig, ClientNews, RequestId},
        session::password,
        wire::{ClientFrame, EnsembleConfig, Op, Reply, ServerFrame, ZkError},
    },
};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// End this session.
    Expire {
        /// Which.
        session: SessionId,
    },
    /// Write garbage over the data of this znode.
    Overwrite {
        /// Which.
        path: String,
    },
    /// Change the ensemble; who is not named keeps its part.
    Reconfigure {
        /// Servers that get a vote.
        joining: Vec<HostId>,
        /// Servers that follow without a vote.
        observing: Vec<HostId>,
        /// Servers that are members no longer.
        leaving: Vec<HostId>,
    },
}

/// How long an attempt to end a session may take before the next server is tried.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it waits before a change that was refused is asked for again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it asks.
const ATTEMPTS_MAX: u32 = 20;
/// What proves that it is the super user (`zookeeper.DigestAuthenticationProvider.superDigest`).
const CREDENTIAL: &[u8] = b"super:administrator";

/// What is written over a znode: nothing that anybody can read as what it was.
const GARBAGE: &[u8] = &[0xff, 0x00, 0xfe, 0x01, 0xfd, 0x02, 0xfc, 0x03];

/// Somebody with all passwords.
#[derive(Debug)]
pub struct Administrator {
    servers: Vec<HostId>,
    client: Client,
    orders: VecDeque<Order>,
    work: Work,
}

/// What it is about.
#[derive(Debug)]
enum Work {
    Nothing,
    /// Another's session is opened on a connection of its own, to be closed.
    Ending {
        session: SessionId,
        conn: ConnId,
        attempt: u32,
        until: Instant,
    },
    /// The change was asked for.
    Changing {
        op: Op,
        request: RequestId,
        attempt: u32,
    },
    /// The change will be asked for again.
    Pausing {
        op: Op,
        attempt: u32,
        until: Instant,
    },
}

impl Administrator {
    /// An administrator who has nothing to do.
    pub fn boot(ensemble: EnsembleConfig, mut entropy: Entropy) -> Self {
        let mut servers = ensemble.servers.clone();
        entropy.shuffle(&mut servers);
        let session_timeout = Duration::from_millis(ensemble.session_timeout_max_ms());
        let config = ClientConfig::new(ensemble.servers, session_timeout);
        let client = Client::new(config, entropy);
        Self { servers, client, orders: VecDeque::new(), work: Work::Nothing }
    }

    fn begin_next(&mut self, now: Instant, out: &mut Output<Message>) {
        if !matches!(self.work, Work::Nothing) {
            return;
        }
        match self.orders.pop_front() {
            Some(Order::Expire { session }) => self.dial(session, 0, now, out),
            Some(Order::Overwrite { path }) => {
                self.client.start(now, out);
                self.change(Op::SetData { path, data: Some(GARBAGE.into()), version: -1 }, 0);
            }
            Some(Order::Reconfigure { joining, observing, leaving }) => {
                self.client.start(now, out);
                self.change(change(&joining, &observing, &leaving), 0);
            }
            None => {}
        }
    }

    /// Opens another's session on the next server.
    fn dial(&mut self, session: SessionId, attempt: u32, now: Instant, out: &mut Output<Message>) {
        if attempt >= ATTEMPTS_MAX {
            self.work = Work::Nothing;
            return;
        }
        let host = self.servers[attempt as usize % self.servers.len()];
        let conn = out.dial(Address { host, port: Port::ZkClient });
        self.work = Work::Ending { session, conn, attempt, until: now + PATIENCE };
        let greeting = ClientFrame::Connect {
            last_zxid_seen: Zxid(0),
            timeout_ms: PATIENCE.as_millis() as u64,
            session,
            password: password(session),
            read_only: false,
        };
        out.send(conn, greeting);
    }

    fn change(&mut self, op: Op, attempt: u32) {
        self.client.ask(Op::Auth { scheme: "digest".into(), credential: CREDENTIAL.into() });
        let request = self.client.ask(op.clone());
        self.work = Work::Changing { op, request, attempt };
    }

    /// What the server says whose connection ends another's session.
    fn heard(&mut self, conn: ConnId, frame: &ServerFrame, out: &mut Output<Message>) {
        match frame {
            ServerFrame::Connected { timeout_ms, .. } if *timeout_ms > 0 => {
                out.send(conn, ClientFrame::Request { xid: 1, op: Op::CloseSession });
            }
            // There is no such session any longer, or there is none from now on.
            ServerFrame::Connected { .. } | ServerFrame::Reply { .. } => {
                out.close(conn);
                self.work = Work::Nothing;
            }
            ServerFrame::Notification { .. } => {}
        }
    }

    fn take_news(&mut self, now: Instant) {
        for news in self.client.take_news() {
            let ClientNews::Reply { id, result } = news else { continue };
            match &self.work {
                Work::Changing { op, request, attempt } if *request == id => {
                    self.work = match result {
                        Err(error) if *attempt < ATTEMPTS_MAX && is_worth_another_try(error) => {
                            Work::Pausing { op: op.clone(), attempt: attempt + 1, until: now + PAUSE }
                        }
                        Ok(Reply::Data { .. }) | Ok(_) | Err(_) => Work::Nothing,
                    };
                }
                _ => {}
            }
        }
    }

    fn wake(&mut self, now: Instant, out: &mut Output<Message>) {
        match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Ending { session, conn, attempt, until } if now >= until => {
                out.close(conn);
                self.dial(session, attempt + 1, now, out);
            }
            Work::Pausing { op, attempt, until } if now >= until => {
                self.client.start(now, out);
                self.change(op, attempt);
            }
            work => self.work = work,
        }
    }
}

impl Core for Administrator {
    type Message = Message;

    fn step(&mut self, now: Now, input: Input<Message>, out: &mut Output<Message>) {
        let now = now.mono;
        let own =
            |conn: ConnId, work: &Work| matches!(work, Work::Ending { conn: mine, .. } if *mine == conn);
        match input {
            Input::Received { message: Message::Order(order), .. } => self.orders.push_back(order),
            Input::Received { conn, message: Message::FromServer(frame) } if own(conn, &self.work) => {
                self.heard(conn, &frame, out);
            }
            Input::Received { conn, message: Message::FromServer(frame) } => {
                self.client.received(now, conn, frame, out);
            }
            Input::Connected { conn } => self.client.connected(now, conn, out),
            Input::Closed { conn, .. } => {
                if let Work::Ending { conn: mine, until, .. } = &mut self.work
                    && *mine == conn
                {
                    *until = now + PAUSE;
                }
                self.client.closed(now, conn, out);
            }
            Input::Wake => self.client.wake(now, out),
            _ => {}
        }
        self.wake(now, out);
        self.take_news(now);
        self.begin_next(now, out);
        self.client.flush(now, out);
    }

    fn next_wake(&self) -> Option<Instant> {
        let mine = match self.work {
            Work::Ending { until, .. } | Work::Pausing { until, .. } => Some(until),
            Work::Nothing | Work::Changing { .. } => None,
        };
        [mine, self.client.next_wake()].into_iter().flatten().min()
    }
}

/// Whether the ensemble may think otherwise a little later.
fn is_worth_another_try(error: ZkError) -> bool {
    matches!(
        error,
        ZkError::ConnectionLoss
            | ZkError::SessionExpired
            | ZkError::NewConfigNoQuorum
            | ZkError::ReconfigInProgress
    )
}

/// The request for a change, in the words of the dynamic configuration file.
fn change(joining: &[HostId], observing: &[HostId], leaving: &[HostId]) -> Op {
    let line =
        |server: &HostId, part: &str| format!("server.{}={server}:2888:3888:{part};2181", server.number);
    let voters = joining.iter().map(|server| line(server, "participant"));
    let others = observing.iter().map(|server| line(server, "observer"));
    let lines: Vec<_> = voters.chain(others).collect();
    let numbers: Vec<_> = leaving.iter().map(|server| server.number.to_string()).collect();
    let some = |list: Vec<String>| (!list.is_empty()).then(|| list.join(","));
    Op::Reconfig { joining: some(lines), leaving: some(numbers), members: None, from_config: -1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_is_written_as_the_dynamic_configuration_is() {
        let op = change(&[HostId::zookeeper(4)], &[], &[HostId::zookeeper(1), HostId::zookeeper(2)]);
        let Op::Reconfig { joining, leaving, .. } = op else { panic!("{op:?}") };
        assert_eq!(joining.as_deref(), Some("server.4=zk-4:2888:3888:participant;2181"));
        assert_eq!(leaving.as_deref(), Some("1,2"));
    }
}
