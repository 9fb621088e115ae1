//! Client — decides how an asynchronous workload speaks to search nodes over the simulated network. It never
//! decides what to ask.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_channel::oneshot;
use madsim::{
    task::spawn_local,
    time::{TimeHandle, sleep, timeout},
};

use crate::{
    core::{Address, ConnId, Port},
    event::EventKind,
    name::{HostId, SimTime},
    search::{
        api::{ApiAnswer, ApiCall, ApiError, ApiReply, ApiRequest},
        wire::Message,
    },
    sim::{dice::Dice, net::Arrival, wire::Wire, world::World},
    workload::operator::Task,
};

/// Set in the numbers of requests that no plan lists.
const OWN_REQUESTS: u64 = 1 << 48;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The node said no.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// No connection to the node: nothing was sent.
    #[error("no connection to the node")]
    NotSent,
    /// The connection broke before the answer came: nobody knows.
    #[error("the connection broke before the answer came")]
    Lost,
    /// No answer in time: nobody knows.
    #[error("no answer in time")]
    TimedOut,
}

/// A client of the search cluster, on a simulated host of its own. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    world: Arc<World>,
    host: HostId,
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    connections: BTreeMap<HostId, Connection>,
    waiting: BTreeMap<u64, Waiting>,
    next_request: u64,
    next_conn: u64,
    tasks: VecDeque<Task>,
    idle: Option<Waker>,
}

#[derive(Debug)]
struct Connection {
    conn: ConnId,
    established: bool,
}

#[derive(Debug)]
struct Waiting {
    conn: ConnId,
    answer: oneshot::Sender<Result<ApiAnswer, CallError>>,
}

impl Client {
    /// The client on this host; begins to listen. To be called on the host's own madsim node.
    pub fn start(world: Arc<World>, host: HostId) -> Self {
        let client = Self { world, host, state: Rc::default() };
        // Above the numbers of listed operations, and apart for each life of the host.
        let life = u64::from(client.world.incarnation(host)) << 24;
        client.state.borrow_mut().next_request = OWN_REQUESTS | u64::from(host.number) << 32 | life;
        let (halt, listening) = (client.world.halt(), client.clone());
        spawn_local(async move { halt.part(listening.listen()).await });
        client
    }

    /// Sends a call to a node and waits for the answer, at most `patience` of simulated time.
    ///
    /// # Errors
    ///
    /// [`CallError`]; only `NotSent` and a certain [`ApiError`] promise that nothing was done.
    pub async fn call(
        &self,
        node: HostId,
        call: ApiCall,
        patience: Duration,
    ) -> Result<ApiAnswer, CallError> {
        self.call_as(self.next_request(), node, call, patience).await
    }

    /// The same as the request of this number, which no other of the run may have.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call)'s.
    pub async fn call_as(
        &self,
        id: u64,
        node: HostId,
        call: ApiCall,
        patience: Duration,
    ) -> Result<ApiAnswer, CallError> {
        let answer = self.send(id, node, call);
        match timeout(patience, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_canceled)) => Err(CallError::Lost),
            Err(_elapsed) => {
                self.give_up(node, id);
                Err(CallError::TimedOut)
            }
        }
    }

    /// The next step that this client is to carry out.
    pub async fn task(&self) -> Task {
        poll_fn(|cx| self.state.borrow_mut().poll_task(cx)).await
    }

    /// A number for a request that no other of the run has: those of workloads that list their operations are below.
    pub fn next_request(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        state.next_request += 1;
        state.next_request
    }

    /// Records an event on this client's host.
    pub fn record(&self, event: EventKind) {
        self.world.record(Some(self.host), event);
    }

    /// The dice of the run.
    pub fn dice(&self) -> Dice {
        self.world.dice()
    }

    /// This client's host.
    pub fn host(&self) -> HostId {
        self.host
    }

    /// Whether clients are to stop asking.
    pub fn is_over(&self) -> bool {
        self.world.workload_is_over()
    }

    /// Simulated time.
    pub fn now(&self) -> SimTime {
        self.world.now()
    }

    /// Whether this host has started once only.
    pub fn is_in_first_life(&self) -> bool {
        self.world.incarnation(self.host) == 1
    }

    /// Sleeps until this time, to the nanosecond; not at all if it is over.
    pub async fn sleep_until(&self, due: SimTime) {
        let ahead = due.0.saturating_sub(self.now().0);
        if ahead == 0 {
            return;
        }
        let time = TimeHandle::current();
        let deadline = time.now_instant() + Duration::from_nanos(ahead);
        let mut sleep = std::pin::pin!(time.sleep(Duration::ZERO));
        sleep.as_mut().reset(deadline);
        sleep.await;
    }

    /// Sleeps for this span of simulated time (at least a millisecond).
    pub async fn sleep(&self, span: Duration) {
        sleep(span).await;
    }

    fn send(&self, id: u64, node: HostId, call: ApiCall) -> oneshot::Receiver<Result<ApiAnswer, CallError>> {
        let mut state = self.state.borrow_mut();
        let conn = self.connect(&mut state, node);
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(id, Waiting { conn, answer: sender });
        let request = Message::Request(ApiRequest { id, call });
        self.world.send(self.host, conn, Wire::Search(request));
        receiver
    }

    fn connect(&self, state: &mut State, node: HostId) -> ConnId {
        if let Some(connection) = state.connections.get(&node) {
            return connection.conn;
        }
        let conn = ConnId(state.next_conn);
        state.next_conn += 2;
        self.world.net().dial(self.host, conn, Address { host: node, port: Port::Api });
        state.connections.insert(node, Connection { conn, established: false });
        conn
    }

    /// A node that does not answer in time gets a new connection for the next call.
    fn give_up(&self, node: HostId, id: u64) {
        let mut state = self.state.borrow_mut();
        state.waiting.remove(&id);
        if let Some(connection) = state.connections.remove(&node) {
            self.world.net().close(self.host, connection.conn);
            state.lose(connection.conn, &CallError::Lost);
        }
    }

    async fn listen(self) {
        loop {
            let arrival = poll_fn(|cx| self.world.net().poll(self.host, None, cx)).await;
            if let Some(arrival) = arrival {
                self.arrive(arrival);
            }
        }
    }

    fn arrive(&self, arrival: Arrival) {
        match arrival {
            Arrival::Connected { conn } => self.state.borrow_mut().established(conn),
            Arrival::Message { from, message, sent, .. } => {
                self.record(EventKind::Delivered { from, message: message.label(), sent });
                match message {
                    Wire::Search(Message::Reply(reply)) => self.state.borrow_mut().answer(reply),
                    Wire::Task(task) => self.state.borrow_mut().take(task),
                    _ => {}
                }
            }
            Arrival::Closed { conn, peer, reason } => {
                self.record(EventKind::ConnectionEnded { peer, reason });
                self.state.borrow_mut().closed(conn);
            }
            Arrival::Accepted { .. }
            | Arrival::Synced { .. }
            | Arrival::Reread { .. }
            | Arrival::ClockSet
            | Arrival::Inspect => {}
        }
    }
}

impl State {
    fn take(&mut self, task: Task) {
        self.tasks.push_back(task);
        self.idle.take().into_iter().for_each(Waker::wake);
    }

    fn poll_task(&mut self, cx: &Context<'_>) -> Poll<Task> {
        match self.tasks.pop_front() {
            Some(task) => Poll::Ready(task),
            None => {
                self.idle = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn established(&mut self, conn: ConnId) {
        for connection in self.connections.values_mut().filter(|c| c.conn == conn) {
            connection.established = true;
        }
    }

    fn answer(&mut self, reply: ApiReply) {
        if let Some(waiting) = self.waiting.remove(&reply.id) {
            // The caller may have given up at this very moment.
            let _ = waiting.answer.send(reply.result.map_err(CallError::Refused));
        }
    }

    fn closed(&mut self, conn: ConnId) {
        let established = self.connections.values().any(|c| c.conn == conn && c.established);
        self.connections.retain(|_, connection| connection.conn != conn);
        self.lose(conn, if established { &CallError::Lost } else { &CallError::NotSent });
    }

    fn lose(&mut self, conn: ConnId, error: &CallError) {
        let lost: Vec<_> = self.waiting.iter().filter(|(_, w)| w.conn == conn).map(|(id, _)| *id).collect();
        for id in lost {
            let waiting = self.waiting.remove(&id).expect("listed");
            let _ = waiting.answer.send(Err(error.clone()));
        }
    }
}
