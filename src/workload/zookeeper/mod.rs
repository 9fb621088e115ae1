//! Workers — decides when one client of ZooKeeper alone asks, leaves its session or looks at everything. It
//! never chooses an operation itself (`choice` does) and never judges an answer.

mod choice;
mod memory;

use std::{collections::BTreeMap, time::Duration};

use self::memory::Memory;
use crate::{
    core::{ConnId, Core, Entropy, Input, Instant, Now, Output},
    defect::Defects,
    event::Word,
    name::{HostId, SessionId},
    scenario::ensemble::ZooKeeperClients,
    sim::dice::Dice,
    workload::administrator::Order,
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
    /// When it stops to ask by itself, on its own clock.
    pub ends_at: Instant,
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
    /// Sessions begun, and operations drawn: keys of the dice.
    sessions: u64,
    drawn: u64,
    next_operation: Instant,
    next_storm: Option<Instant>,
    open: BTreeMap<RequestId, Op>,
    memory: Memory,
}

impl Worker {
    /// A worker that has not begun.
    pub fn boot(plan: WorkerPlan) -> Self {
        let every = plan.table.reopens_every;
        let mut worker = Self {
            client: client(&plan, 0),
            conn: None,
            session: None,
            sessions: 0,
            drawn: 0,
            next_operation: plan.starts_at,
            next_storm: every.map(|every| plan.starts_at + every),
            open: BTreeMap::new(),
            memory: Memory::default(),
            plan,
        };
        worker.plan_next_operation();
        worker
    }

    fn plan_next_operation(&mut self) {
        let rate = self.plan.table.operations_per_second;
        if rate <= 0.0 {
            self.next_operation = self.plan.ends_at;
            return;
        }
        self.drawn += 1;
        let mut die = self.plan.dice.at("zookeeper.arrival", (self.plan.me, self.plan.life, self.drawn));
        self.next_operation = self.next_operation + die.exponential(Duration::from_secs_f64(1.0 / rate));
    }

    /// Does what is due.
    fn act(&mut self, now: Instant, out: &mut Output<Message>) {
        if now < self.plan.starts_at {
            return;
        }
        self.client.start(now, out);
        while let Some(at) = self.next_storm.filter(|at| now >= *at) {
            let every = self.plan.table.reopens_every.expect("storms come at intervals");
            self.next_storm = Some(at + every).filter(|next| *next < self.plan.ends_at);
            self.reopen(now, out);
        }
        while now >= self.next_operation && self.next_operation < self.plan.ends_at {
            self.plan_next_operation();
            self.operate(now);
        }
    }

    fn operate(&mut self, now: Instant) {
        if self.open.len() >= OPEN_MAX || now >= self.plan.ends_at || self.session.is_none() {
            return;
        }
        for nth in 0..self.plan.table.burst {
            let key = (self.plan.me, self.plan.life, self.drawn, nth);
            let die = self.plan.dice.at("zookeeper.operation", key);
            let stamp = format!("{}:{}:{}:{nth}", self.plan.me, self.plan.life, self.drawn);
            for op in choice::draw(&self.plan.table, &mut self.memory, self.plan.me, &stamp, die) {
                self.ask(op);
            }
        }
    }

    fn ask(&mut self, op: Op) {
        let id = self.client.ask(op.clone());
        self.open.insert(id, op);
    }

    /// Leaves the session: closed in order, or left to its expiry.
    fn reopen(&mut self, now: Instant, out: &mut Output<Message>) {
        if self.client.state() != ClientState::Connected {
            return;
        }
        let key = (self.plan.me, self.plan.life, self.sessions);
        if self.plan.dice.at("zookeeper.abandon", key).chance(self.plan.table.abandon_share) {
            self.abandon(now, out);
        } else {
            self.ask(Op::CloseSession);
        }
    }

    /// Goes on as a new client; nobody tells the ensemble about the old one.
    fn abandon(&mut self, now: Instant, out: &mut Output<Message>) {
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
        let keys = choice::look_at_keys(&self.plan.table);
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
        let operation = Some(self.next_operation).filter(|at| *at < self.plan.ends_at);
        let mine = [operation, self.next_storm].into_iter().flatten().min();
        let begun = self.sessions > 0 || self.client.state() != ClientState::Closed || self.session.is_some();
        let start = (!begun).then_some(self.plan.starts_at);
        [mine, start, self.client.next_wake()].into_iter().flatten().min()
    }
}

fn client(plan: &WorkerPlan, nth: u64) -> Client {
    let seed = plan.dice.at("zookeeper.client", (plan.me, plan.life, nth)).bits();
    let config = ClientConfig {
        read_only: plan.table.read_only,
        defects: plan.defects.clone(),
        ..ClientConfig::new(plan.servers.clone(), plan.table.session_timeout)
    };
    Client::new(config, Entropy::new(seed))
}

#[cfg(test)]
mod tests;
