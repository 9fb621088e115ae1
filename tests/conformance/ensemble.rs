//! Ensemble — decides how a script's bytes reach modeled servers: over the simulated network of every run, with
//! the server's codec at the far end. It never knows what the bytes mean.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::Arc,
    time::Duration,
};

use madsim::{
    runtime::Runtime,
    task::spawn_local,
    time::{TimeHandle, sleep},
};
use shardarium::{
    core::{Address, ConnId, Port},
    name::{HostId, SimTime},
    scenario::{
        builtin,
        plan::{Delay, Plan, Selector},
    },
    sim::{inbox::elapsed, net::Arrival, wire::Wire, world::World},
    zookeeper::{
        jute::ServerCodec,
        peer::Message,
        wire::{EnsembleConfig, ServerFrame},
    },
};

use crate::player::Stop;

/// Where a script's clients live. The plan's own clients have nothing to do.
const CLIENTS: HostId = HostId::client(99);
/// Loopback: what is sent back to back arrives before the first of it is answered.
const LOOPBACK: Delay = Delay::exponential(Duration::from_micros(10), Duration::from_micros(12));
/// A sync of a fast disk and what else a write takes on a real server.
const SYNC: Delay = Delay::exponential(Duration::from_micros(300), Duration::from_micros(400));
/// A server closes a connection that has been without a session for so long
/// (`zookeeper.nio.sessionlessCnxnTimeout`).
const SESSIONLESS_MAX: Duration = Duration::from_secs(10);
/// Words that any running server answers alike, and how; it closes the connection then. What others tell of
/// a server is put to the server on real sockets.
const WORDS: &[(&[u8; 4], &str)] =
    &[(b"ruok", "imok"), (b"crst", "Connection stats reset.\n"), (b"srst", "Server stats reset.\n")];
/// Longer than any script.
const LONG: Duration = Duration::from_secs(30 * 24 * 3600);
/// Within this time after the election of a leader all servers have joined it.
const JOINED: Duration = Duration::from_secs(3);
/// How long an orderly stop takes.
const STOP: Duration = Duration::from_millis(300);

/// Which of an ensemble's servers a script's clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// All, in the order of their numbers.
    All,
    /// The leader alone.
    Leader,
    /// One follower alone.
    Follower,
}

/// An ensemble that serves, and its clients' ends of connections.
pub(crate) struct Ensemble {
    world: Arc<World>,
    time: TimeHandle,
    servers: Vec<HostId>,
    ends: BTreeMap<ConnId, End>,
    next_conn: u64,
}

/// A client's end of a connection.
struct End {
    codec: ServerCodec,
    is_open: bool,
    is_over: bool,
    /// Whether the server has answered a connect request.
    is_greeted: bool,
    /// When it was dialled.
    since: SimTime,
    /// What came and is not read yet.
    bytes: VecDeque<u8>,
}

/// Starts an ensemble with these settings and plays on it, on a thread of its own.
///
/// # Errors
///
/// If anything panics.
pub(crate) fn play<T: Send + 'static>(
    config: EnsembleConfig,
    through: Through,
    play: impl AsyncFnOnce(Ensemble) -> T + Send + 'static,
) -> Result<T, String> {
    let run = move || {
        let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
        runtime.block_on(async {
            let ensemble = Ensemble::start(&plan(config), through).await;
            play(ensemble).await
        })
    };
    let thread = std::thread::Builder::new().spawn(run).expect("the system has a thread to give");
    thread.join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
    })
}

/// Servers and nothing else, on fast links, for ever.
fn plan(config: EnsembleConfig) -> Plan {
    let mut plan = builtin::DEFAULT.scenario().plan(1);
    plan.zookeeper = config;
    plan.nodes.clear();
    plan.indices.clear();
    plan.workloads.clear();
    plan.faults.clear();
    plan.links.within_zone = LOOPBACK;
    plan.links.between_zones = LOOPBACK;
    plan.links.pairs.clear();
    plan.disks.sync = SYNC;
    plan.duration = LONG;
    plan
}

impl Ensemble {
    /// Starts the servers, and waits until they serve.
    async fn start(plan: &Plan, through: Through) -> Self {
        let time = TimeHandle::current();
        let world = World::new(plan, Default::default(), time.clone());
        world.net().add_host(CLIENTS, |_, _| LOOPBACK);
        world.net().process_started(CLIENTS);
        spawn_local(world.clone().live());
        let leader = loop {
            sleep(Duration::from_millis(10)).await;
            if let [leader] = *world.roles().resolve(&Selector::ZkLeader) {
                break leader;
            }
        };
        sleep(JOINED).await;
        let servers = match through {
            Through::All => plan.zookeeper.servers.clone(),
            Through::Leader => vec![leader],
            Through::Follower => world.roles().resolve(&Selector::ZkFollower),
        };
        Self { world, time, servers, ends: BTreeMap::new(), next_conn: 0 }
    }

    /// How many servers the clients know.
    pub(crate) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Simulated time.
    pub(crate) fn now(&self) -> SimTime {
        elapsed(&self.time)
    }

    /// Waits.
    pub(crate) async fn sleep(&self, span: Duration) {
        sleep(span).await;
    }

    /// Opens a connection to a server, by its place among those that the clients know.
    pub(crate) async fn dial(&mut self, server: usize) -> Result<ConnId, Stop> {
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        let to = Address { host: self.servers[server % self.servers.len()], port: Port::ZkClient };
        let codec = ServerCodec::new(&self.world.plan().zookeeper);
        let (since, bytes) = (self.now(), VecDeque::new());
        self.ends
            .insert(conn, End { codec, is_open: false, is_over: false, is_greeted: false, since, bytes });
        self.world.net().dial(CLIENTS, conn, to);
        self.wait(conn, Duration::from_secs(10), |end| end.is_open || end.is_over).await?;
        if self.ends[&conn].is_open { Ok(conn) } else { Err(Stop::Closed) }
    }

    /// Sends bytes. The server's codec reads them; where it would close the connection, that is what happens.
    pub(crate) fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        let is_greeted = self.ends.get(&conn).is_some_and(|end| end.is_greeted);
        let word = WORDS.iter().find(|(word, _)| !is_greeted && bytes.starts_with(*word));
        match word {
            Some((_, answer)) => {
                self.with(conn, |end| end.bytes.extend(answer.bytes()));
                self.server_closes(conn);
            }
            None => {
                self.with(conn, |end| end.codec.feed(bytes));
                self.transmit(conn);
            }
        }
    }

    /// The server's end, which is here as far as bytes are concerned, closes.
    fn server_closes(&mut self, conn: ConnId) {
        self.world.net().close(CLIENTS, conn);
        self.with(conn, |end| end.is_over = true);
    }

    /// Sends the frames whose turn it is.
    fn transmit(&mut self, conn: ConnId) {
        let Some(end) = self.ends.get_mut(&conn).filter(|end| !end.is_over) else { return };
        loop {
            match end.codec.next_frame() {
                Ok(Some(frame)) => {
                    self.world.send(CLIENTS, conn, Wire::ZooKeeper(Message::ToServer(frame)));
                }
                Ok(None) => return,
                Err(_violation) => return self.server_closes(conn),
            }
        }
    }

    /// Takes so many bytes that came, waiting at most this long.
    pub(crate) async fn take(
        &mut self,
        conn: ConnId,
        count: usize,
        patience: Duration,
    ) -> Result<Vec<u8>, Stop> {
        self.wait(conn, patience, |end| end.bytes.len() >= count || end.is_over).await?;
        let end = self.ends.get_mut(&conn).expect("an open connection has its end");
        if end.bytes.len() < count {
            return Err(Stop::Closed);
        }
        Ok(end.bytes.drain(..count).collect())
    }

    /// Takes all bytes until the server closes; the flag says whether it did within this time.
    pub(crate) async fn take_all(&mut self, conn: ConnId, patience: Duration) -> (Vec<u8>, bool) {
        let is_over = self.wait(conn, patience, |end| end.is_over).await.is_ok();
        let end = self.ends.get_mut(&conn).expect("an open connection has its end");
        (end.bytes.drain(..).collect(), is_over)
    }

    /// Closes the client's end.
    pub(crate) fn close(&mut self, conn: ConnId) {
        self.ends.remove(&conn);
        self.world.net().close(CLIENTS, conn);
    }

    /// Stops the server of this number in good order.
    pub(crate) async fn stop(&self, number: u16) {
        self.world.crash(HostId::zookeeper(number), false);
        sleep(STOP).await;
    }

    /// Starts the server of this number.
    pub(crate) fn start_server(&self, number: u16) {
        self.world.start(HostId::zookeeper(number));
    }

    /// Takes in what comes until the condition holds of this end.
    async fn wait(
        &mut self,
        conn: ConnId,
        patience: Duration,
        done: impl Fn(&End) -> bool,
    ) -> Result<(), Stop> {
        let deadline = SimTime(self.now().0 + patience.as_nanos() as u64);
        while !self.ends.get(&conn).is_some_and(&done) {
            let until = self.sessionless_until(conn).map_or(deadline, |end| end.min(deadline));
            let world = self.world.clone();
            match poll_fn(|cx| world.net().poll(CLIENTS, Some(until), cx)).await {
                Some(arrival) => self.arrive(arrival),
                None if until < deadline => self.server_closes(conn),
                None => return Err(Stop::Silence),
            }
        }
        Ok(())
    }

    /// Until when a server bears a connection without a session.
    fn sessionless_until(&self, conn: ConnId) -> Option<SimTime> {
        let end = self.ends.get(&conn).filter(|end| !end.is_greeted)?;
        Some(SimTime(end.since.0 + SESSIONLESS_MAX.as_nanos() as u64))
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Connected { conn } => self.with(conn, |end| end.is_open = true),
            Arrival::Closed { conn, .. } => self.with(conn, |end| end.is_over = true),
            Arrival::Message { conn, message: Wire::ZooKeeper(Message::ToClient(frame)), .. } => {
                self.with(conn, |end| end.hear(&frame));
                self.transmit(conn);
            }
            _ => {}
        }
    }

    fn with(&mut self, conn: ConnId, change: impl FnOnce(&mut End)) {
        if let Some(end) = self.ends.get_mut(&conn) {
            change(end);
        }
    }
}

impl End {
    fn hear(&mut self, frame: &ServerFrame) {
        self.is_greeted = true;
        let mut bytes = Vec::new();
        self.codec.encode(frame, &mut bytes);
        self.bytes.extend(bytes);
    }
}
