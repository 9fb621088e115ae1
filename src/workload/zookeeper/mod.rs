//! Workers — decides when one client of ZooKeeper alone asks, leaves its session or looks at everything. It
//! never chooses an operation itself (`arrivals` does) and never judges an answer.

pub mod arrivals;
mod choice;
mod memory;
mod requests;

use std::collections::BTreeMap;

use self::memory::Memory;
use crate::{
    core::{ConnId, Core, Entropy, Input, Instant, Now, Output},
    defect::Defects,
    event::Word,
    name::{HostId, SessionId},
    scenario::{
        dice::ZOOKEEPER_CLIENT,
        ensemble::ZooKeeperClients,
        zookeeper_operations::{ZooKeeperAsk, ZooKeeperOperation},
    },
    sim::dice::Dice,
    workload::{administrator::Order, agenda::Agenda},
    zookeeper::{
        client::{Client, ClientConfig, ClientNews, ClientState, RequestId},
        wire::{ClientFrame, Op, Reply, ServerFrame, WatchEvent, ZkError},
    },
};

/// A worker asks nothing more while so many of its requests are open.
const OPEN_MAX: usize = 64;

/// What workers, the administrator and servers say to each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// To a server.
    ToServer(ClientFrame),
    /// From a server.
    FromServer(ServerFrame),
    /// To the administrator.
    Order(Order),
}

impl Message {
    /// A word for traces.
    pub fn label(&self) -> Word {
        match self {
            Self::ToServer(frame) => frame.label(),
            Self::FromServer(frame) => frame.label(),
            Self::Order(_) => "order".into(),
        }
    }
}

impl From<ClientFrame> for Message {
    fn from(frame: ClientFrame) -> Self {
        Self::ToServer(frame)
    }
}

/// All that a worker is given.
#[derive(Debug, Clone)]
pub struct WorkerPlan {
    /// Its host.
    pub me: HostId,
    /// How often the host has started.
    pub life: u32,
    /// Its table.
    pub table: ZooKeeperClients,
    /// The servers it may use.
    pub servers: Vec<HostId>,
    /// When it begins, on its own clock.
    pub starts_at: Instant,
    /// Historic bugs that are switched on.
    pub defects: Defects,
    /// The dice of the run.
    pub dice: Dice,
}

/// A client of ZooKeeper alone.
#[derive(Debug)]
pub struct Worker {
    plan: WorkerPlan,
    client: Client,
    /// The connection that was last established.
    conn: Option<ConnId>,
    session: Option<SessionId>,
    /// Sessions abandoned: a key of the dice.
    sessions: u64,
    agenda: Agenda,
    open: BTreeMap<RequestId, Op>,
    memory: Memory,
}

impl Worker {
    /// A worker that has not begun, and what it is to ask.
    pub fn boot(plan: WorkerPlan, agenda: Agenda) -> Self {
        Self {
            client: client(&plan, 0),
            conn: None,
            session: None,
            sessions: 0,
            agenda,
            open: BTreeMap::new(),
            memory: Memory::default(),
            plan,
        }
    }

    /// Does what is due.
    fn act(&mut self, now: Instant, out: &mut Output<Message>) {
        if now < self.plan.starts_at {
            return;
        }
        self.client.start(now, out);
        while let Some(operation) = self.agenda.due(now) {
            self.operate(&operation, now, out);
        }
    }

    fn operate(&mut self, operation: &ZooKeeperOperation, now: Instant, out: &mut Output<Message>) {
        if operation.ask == ZooKeeperAsk::Abandon {
            return self.abandon(now, out);
        }
        if self.open.len() >= OPEN_MAX || self.session.is_none() {
            return;
        }
        let stamp = format!("{}:{}:{}", self.plan.me, self.plan.life, operation.number);
        for op in requests::requests(operation, &mut self.memory, &stamp) {
            self.ask(op);
        }
    }

    fn ask(&mut self, op: Op) {
        let id = self.client.ask(op.clone());
        self.open.insert(id, op);
    }

    /// Goes on as a new client; nobody tells the ensemble about the old one.
    fn abandon(&mut self, now: Instant, out: &mut Output<Message>) {
        if self.client.state() != ClientState::Connected {
            return;
        }
        if let Some(conn) = self.conn.take() {
            out.close(conn);
        }
        self.sessions += 1;
        self.client = client(&self.plan, self.sessions);
        self.session = None;
        self.open.clear();
        self.memory.session_is_over();
        self.client.start(now, out);
    }

    fn take_news(&mut self) {
        for news in self.client.take_news() {
            match news {
                ClientNews::State(state) => self.stands(state),
                ClientNews::Reply { id, result } => self.answered(id, &result),
                ClientNews::Watch(event) => self.look_again(&event),
                ClientNews::WatchRemoved { .. } => {}
            }
        }
    }

    /// After the end of a session the next step begins another.
    fn stands(&mut self, state: ClientState) {
        match state {
            ClientState::Expired | ClientState::AuthFailed | ClientState::Closed => {
                self.session = None;
                self.memory.session_is_over();
            }
            ClientState::Connected => {
                self.session = self.client.session();
                for op in self.memory.foundations(&self.plan.table, self.plan.me) {
                    self.ask(op);
                }
            }
            ClientState::ConnectedReadOnly => self.session = self.client.session(),
            ClientState::Connecting | ClientState::Disconnected => {}
        }
    }

    fn answered(&mut self, id: RequestId, result: &Result<Reply, ZkError>) {
        if let Some(op) = self.open.remove(&id) {
            self.memory.answered(&op, result);
        }
    }

    /// A watch fired: the node is read again, and the watch left again if it was one-shot.
    fn look_again(&mut self, event: &WatchEvent) {
        if self.open.len() < OPEN_MAX {
            let op = self.memory.look_again(event);
            self.ask(op);
        }
    }

    /// Everything is quiet: reads what it watches, and every key behind a sync.
    fn look_at_everything(&mut self) {
        if self.client.state() != ClientState::Connected {
            return;
        }
        let watched = self.memory.look_at_watched();
        let keys = requests::look_at_keys(&self.plan.table);
        for op in watched.into_iter().chain(keys) {
            self.ask(op);
        }
    }
}

impl Core for Worker {
    type Message = Message;

    fn step(&mut self, now: Now, input: Input<Message>, out: &mut Output<Message>) {
        let now = now.mono;
        match input {
            Input::Connected { conn } => {
                self.conn = Some(conn).filter(|conn| self.client.owns(*conn)).or(self.conn);
                self.client.connected(now, conn, out);
            }
            Input::Received { conn, message: Message::FromServer(frame) } => {
                self.client.received(now, conn, frame, out);
            }
            Input::Closed { conn, .. } => self.client.closed(now, conn, out),
            Input::Wake => self.client.wake(now, out),
            Input::Inspect => self.look_at_everything(),
            Input::Start
            | Input::Accepted { .. }
            | Input::Received { .. }
            | Input::Synced { .. }
            | Input::DiskFailed { .. }
            | Input::DiskMeasured { .. }
            | Input::Reread { .. } => {}
        }
        self.take_news();
        self.act(now, out);
        self.client.flush(now, out);
        self.take_news();
    }

    fn next_wake(&self) -> Option<Instant> {
        let mine = self.agenda.next_at().map(|at| at.max(self.plan.starts_at));
        let begun = self.sessions > 0 || self.client.state() != ClientState::Closed || self.session.is_some();
        let start = (!begun).then_some(self.plan.starts_at);
        [mine, start, self.client.next_wake()].into_iter().flatten().min()
    }
}

fn client(plan: &WorkerPlan, nth: u64) -> Client {
    let seed = plan.dice.at(ZOOKEEPER_CLIENT, (plan.me, plan.life, nth)).bits();
    let config = ClientConfig {
        read_only: plan.table.read_only,
        defects: plan.defects.clone(),
        ..ClientConfig::new(plan.servers.clone(), plan.table.session_timeout)
    };
    Client::new(config, Entropy::new(seed))
}

#[cfg(test)]
mod tests;
