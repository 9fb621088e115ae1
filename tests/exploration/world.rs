//! World — a state of the ensemble and what can happen next in it. One action is one input of one server, or
//! the world's doing.

use super::*;

/// Something shared by many states, with its hash once that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Hashed<T> {
    value: Arc<T>,
    hash: OnceCell<u128>,
}

impl<T: Clone + Hash> Hashed<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Arc::new(value), hash: OnceCell::new() }
    }

    pub(crate) fn get(&self) -> &T {
        &self.value
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.hash = OnceCell::new();
        change(Arc::make_mut(&mut self.value))
    }

    fn hash(&self) -> u128 {
        *self.hash.get_or_init(|| fingerprint(&*self.value))
    }
}

fn fingerprint(value: &impl Hash) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    value.hash(&mut hasher);
    hasher.digest128()
}

/// What travels on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Packet {
    Dial,
    Data(Message),
    End(CloseReason),
}

/// A connection: side 0 has dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    to: Address,
    ends: [Option<ConnId>; 2],
    /// By the side that sent them.
    sent: [VecDeque<Packet>; 2],
}

/// A connection's name: who dialled, and its number there.
type PairId = (HostId, ConnId);

/// What can happen next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// The oldest packet of that side arrives.
    Arrive(PairId, usize),
    /// A file of a host is synced.
    Sync(HostId, FileName),
    /// A timer that is due fires.
    Wake(HostId),
    /// Time goes on to the next timer.
    Advance,
    /// A machine loses power; what it sent arrives or is lost.
    Crash(HostId, Wire),
    /// Its process starts again.
    Restart(HostId),
    /// When all is over, one more client asks for a session.
    Ask,
}

/// What becomes of the packets that a crashed machine had sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Arrives,
    Lost,
}

/// When a crashed server may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    /// When the others serve again and nothing else can happen.
    WhenCalm,
    /// When nothing else can happen but that time goes on.
    WhenQuiet,
    /// At any time.
    AnyTime,
}

/// What is explored.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) config: EnsembleConfig,
    pub(crate) defects: Defects,
    /// Each opens a session, which is a transaction, on this server.
    pub(crate) clients: Vec<HostId>,
    /// How many crashes there may be, and of whom.
    pub(crate) crashes: u8,
    pub(crate) may_crash: Vec<HostId>,
    pub(crate) returns: Return,
}

/// A state.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) hosts: BTreeMap<HostId, Hashed<Host>>,
    pairs: BTreeMap<PairId, Hashed<Pair>>,
    pub(crate) clock: u64,
    pub(crate) crashes_left: u8,
    /// Whether the last client has asked.
    asked: bool,
    pub(crate) ghost: Hashed<Ghost>,
    /// Events since the state before.
    pub(crate) events: Vec<(HostId, EventKind)>,
    pub(crate) broken: Option<String>,
}

fn is_client(host: HostId) -> bool {
    host.kind == HostKind::Client
}

impl World {
    /// Three machines that have just been switched on.
    pub(crate) fn new(scope: &Scope) -> Self {
        let hosts = scope.config.servers.iter().map(|host| (*host, Hashed::new(Host::new()))).collect();
        let mut world = Self {
            hosts,
            pairs: BTreeMap::new(),
            clock: 1_000_000_000,
            crashes_left: scope.crashes,
            asked: false,
            ghost: Hashed::new(Ghost::default()),
            events: Vec::new(),
            broken: None,
        };
        scope.config.servers.iter().for_each(|host| world.restart(*host, scope));
        world
    }

    /// What tells this state from others.
    pub(crate) fn fingerprint(&self) -> u128 {
        let hosts: Vec<_> = self.hosts.values().map(|host| host.hash()).collect();
        let pairs: Vec<_> = self.pairs.iter().map(|(id, pair)| (id, pair.hash())).collect();
        fingerprint(&(hosts, pairs, self.clock, self.crashes_left, self.asked, self.ghost.hash()))
    }

    fn is_up(&self, host: HostId) -> bool {
        self.hosts[&host].get().server.is_some()
    }

    /// Whether all servers that are up serve in one epoch.
    fn is_calm(&self) -> bool {
        let serving = &self.ghost.get().serving;
        let live = self.hosts.values().filter(|host| host.get().server.is_some()).count();
        let mut epochs = serving.values();
        let first = epochs.next();
        serving.len() == live && epochs.all(|epoch| Some(epoch) == first)
    }

    /// Whether all servers are up and serve in one epoch.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_calm() && self.hosts.values().all(|host| host.get().server.is_some())
    }

    /// What servers and wires can do now, without the help of time or faults.
    pub(crate) fn moves(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (id, pair) in &self.pairs {
            for side in 0..2 {
                if !pair.get().sent[side].is_empty() {
                    actions.push(Action::Arrive(*id, side));
                }
            }
        }
        for (id, host) in &self.hosts {
            actions.extend(host.get().syncing().map(|file| Action::Sync(*id, file.clone())));
            if host.get().next_wake().is_some_and(|at| at <= self.clock) {
                actions.push(Action::Wake(*id));
            }
        }
        actions
    }

    /// What arrives before anything else happens: votes, pings and their answers, and what clients ask. In
    /// which order does not matter to what follows, or is not explored.
    fn hurries(&self) -> Option<Action> {
        let is_ping = |packet: &Packet| {
            let Packet::Data(message) = packet else { return false };
            matches!(
                message,
                Message::ToLearner(LeaderFrame::Ping) | Message::ToLeader(LearnerFrame::Pong { .. })
            )
        };
        self.pairs.iter().find_map(|(id, pair)| {
            let is_first = pair.get().to.port == Port::ZkElection || is_client(id.0);
            let hurries = |side: &usize| {
                pair.get().sent[*side].front().is_some_and(|packet| is_first || is_ping(packet))
            };
            (0..2).find(hurries).map(|side| Action::Arrive(*id, side))
        })
    }

    /// Everything that can happen next: none in the last state of a way.
    pub(crate) fn actions(&self, scope: &Scope) -> Vec<Action> {
        if let Some(first) = self.hurries() {
            return vec![first];
        }
        let mut actions = self.moves();
        let is_quiet = actions.is_empty();
        let down = self.hosts.iter().filter(|(_, host)| host.get().server.is_none());
        let may_return = match scope.returns {
            Return::WhenCalm => is_quiet && self.is_calm(),
            Return::WhenQuiet => is_quiet,
            Return::AnyTime => true,
        };
        if may_return {
            actions.extend(down.map(|(host, _)| Action::Restart(*host)));
        }
        if is_quiet && !self.is_calm() {
            actions.push(Action::Advance);
        }
        if is_quiet && self.is_settled() && self.crashes_left == 0 && !self.asked {
            actions.push(Action::Ask);
        }
        if self.crashes_left > 0 {
            let wires = [Wire::Arrives, Wire::Lost];
            let crash = |host: &HostId| wires.map(|wire| Action::Crash(*host, wire));
            actions.extend(scope.may_crash.iter().filter(|host| self.is_up(**host)).flat_map(crash));
        }
        actions
    }

    /// The state after an action.
    pub(crate) fn after(&self, action: &Action, scope: &Scope) -> Self {
        let mut next = Self { events: Vec::new(), ..self.clone() };
        match action {
            Action::Arrive(pair, side) => next.arrive(*pair, *side),
            Action::Sync(host, file) => {
                let released = next.on(*host).change(|host| host.sync(file));
                released.into_iter().for_each(|then| next.release(*host, then));
            }
            Action::Wake(host) => next.step(*host, Input::Wake),
            Action::Advance => next.advance(),
            Action::Crash(host, wire) => next.crash(*host, *wire),
            Action::Restart(host) => next.restart(*host, scope),
            Action::Ask => {
                next.asked = true;
                next.open_session(9, scope.config.servers[0]);
            }
        }
        next.check_disks();
        next
    }

    /// A client of the next number dials a server and asks for a session.
    pub(crate) fn open_session(&mut self, number: u16, server: HostId) {
        let (client, conn) = (HostId::client(number), ConnId(0));
        let connect = ClientFrame::Connect {
            last_zxid_seen: Zxid(0),
            timeout_ms: 40_000,
            session: SessionId::NONE,
            password: 0,
            read_only: false,
        };
        let sent = [Packet::Dial, Packet::Data(Message::ToServer(connect))];
        let to = Address { host: server, port: Port::ZkClient };
        let pair = Pair { to, ends: [Some(conn), None], sent: [sent.into(), VecDeque::new()] };
        self.pairs.insert((client, conn), Hashed::new(pair));
    }

    fn on(&mut self, host: HostId) -> &mut Hashed<Host> {
        self.hosts.get_mut(&host).expect("a host of the ensemble")
    }

    fn now(&self) -> Now {
        Now { mono: Instant(self.clock), wall_ms: (self.clock / 1_000_000) as i64 }
    }

    fn advance(&mut self) {
        let next = self.hosts.values().filter_map(|host| host.get().next_wake()).min();
        match next {
            Some(at) => self.clock = self.clock.max(at),
            None => self.broken = Some("progress: no server waits for anything".into()),
        }
    }

    fn crash(&mut self, host: HostId, wire: Wire) {
        self.crashes_left -= 1;
        self.on(host).change(Host::crash);
        self.note(host, EventKind::HostCrashed { power: true });
        let ends: Vec<_> =
            self.pairs.iter().filter_map(|(id, pair)| Some((*id, side_of(id, pair.get(), host)?))).collect();
        for (id, side) in ends {
            if is_client(id.0) || !self.is_open(id) {
                self.pairs.remove(&id);
                continue;
            }
            self.pair(id).change(|pair| {
                pair.ends[side] = None;
                pair.sent[1 - side].clear();
                if wire == Wire::Lost {
                    pair.sent[side].clear();
                }
                pair.sent[side].push_back(Packet::End(CloseReason::Reset));
            });
            self.bury(id);
        }
    }

    fn restart(&mut self, id: HostId, scope: &Scope) {
        let now = self.now();
        let incarnation = self.on(id).change(|host| {
            host.boot(&scope.config, id, &scope.defects, now);
            host.incarnation
        });
        self.note(id, EventKind::HostStarted { incarnation });
        self.step(id, Input::Start);
    }

    fn pair(&mut self, id: PairId) -> &mut Hashed<Pair> {
        self.pairs.get_mut(&id).expect("the connection is known")
    }

    /// Whether its dial has arrived.
    fn is_open(&self, id: PairId) -> bool {
        self.pairs[&id].get().sent[0].front() != Some(&Packet::Dial)
    }

    /// Forgets a connection that has no end any more.
    fn bury(&mut self, id: PairId) {
        if self.pairs.get(&id).is_some_and(|pair| pair.get().ends == [None, None]) {
            self.pairs.remove(&id);
        }
    }

    fn arrive(&mut self, id: PairId, side: usize) {
        let packet = self.pair(id).change(|pair| pair.sent[side].pop_front());
        let Some(pair) = self.pairs.get(&id).map(|pair| pair.get().clone()) else { return };
        let receiver = if side == 0 { pair.to.host } else { id.0 };
        match packet {
            Some(Packet::Dial) => self.shake_hands(id, pair.to),
            Some(Packet::Data(message)) => {
                if let Some(conn) = pair.ends[1 - side] {
                    self.step(receiver, Input::Received { conn, message });
                }
            }
            Some(Packet::End(reason)) => self.end(id, 1 - side, receiver, reason),
            None => {}
        }
    }

    /// The dial arrives, and both ends learn of it in one step.
    fn shake_hands(&mut self, id: PairId, to: Address) {
        if self.hosts[&to.host].get().server.is_none() {
            return self.end(id, 0, id.0, CloseReason::Refused);
        }
        let conn = self.on(to.host).change(Host::accept);
        self.pair(id).change(|pair| pair.ends[1] = Some(conn));
        self.step(to.host, Input::Accepted { conn, from: id.0, port: to.port });
        if self.pairs.get(&id).is_some_and(|pair| pair.get().ends[0].is_some()) {
            self.step(id.0, Input::Connected { conn: id.1 });
        }
    }

    fn end(&mut self, id: PairId, side: usize, host: HostId, reason: CloseReason) {
        let conn = self.pair(id).change(|pair| {
            pair.sent[side].clear();
            pair.ends[side].take()
        });
        let no_one_else = self.pairs[&id].get().ends[1 - side].is_none();
        if no_one_else {
            self.pairs.remove(&id);
        }
        if let Some(conn) = conn {
            self.step(host, Input::Closed { conn, reason });
        }
    }

    fn step(&mut self, id: HostId, input: Input<Message>) {
        if is_client(id) {
            return;
        }
        let now = self.now();
        let effects = self.on(id).change(|host| host.step(now, input));
        effects.into_iter().for_each(|effect| self.carry_out(id, effect));
    }

    fn carry_out(&mut self, host: HostId, effect: Effect<Message>) {
        match effect {
            Effect::Note(event) => self.note(host, event),
            Effect::Dial { conn, to } => {
                let sent = [VecDeque::from([Packet::Dial]), VecDeque::new()];
                self.pairs.insert((host, conn), Hashed::new(Pair { to, ends: [Some(conn), None], sent }));
            }
            Effect::Send { conn, message } => self.send(host, conn, Packet::Data(message)),
            Effect::Close { conn } => self.close(host, conn),
            Effect::Disk(op) => self.on(host).change(|host| host.change(op)),
            Effect::AfterSync { file, then } => {
                if let Some(then) = self.on(host).change(|host| host.after_sync(file, then)) {
                    self.release(host, then);
                }
            }
            Effect::MeasureDisk => {}
            Effect::Halt { why } => self.broken = Some(format!("progress: {host} halts: {why}")),
        }
    }

    fn release(&mut self, host: HostId, then: Deferred<Message>) {
        match then {
            Deferred::Send { conn, message } => self.send(host, conn, Packet::Data(message)),
            Deferred::Tell { token } => self.step(host, Input::Synced { token }),
            Deferred::Note(event) => self.note(host, event),
        }
    }

    fn find(&self, host: HostId, conn: ConnId) -> Option<(PairId, usize)> {
        let is_end = |id: &PairId, pair: &Pair, side| match side {
            0 => *id == (host, conn) && pair.ends[0].is_some(),
            _ => pair.to.host == host && pair.ends[1] == Some(conn),
        };
        self.pairs
            .iter()
            .find_map(|(id, pair)| (0..2).find(|side| is_end(id, pair.get(), *side)).map(|side| (*id, side)))
    }

    /// Nobody looks at what clients are answered.
    fn send(&mut self, host: HostId, conn: ConnId, packet: Packet) {
        let Some((id, side)) = self.find(host, conn) else { return };
        if !is_client(id.0) {
            self.pair(id).change(|pair| pair.sent[side].push_back(packet));
        }
    }

    fn close(&mut self, host: HostId, conn: ConnId) {
        let Some((id, side)) = self.find(host, conn) else { return };
        if is_client(id.0) || !self.is_open(id) {
            self.pairs.remove(&id);
            return;
        }
        self.pair(id).change(|pair| {
            pair.ends[side] = None;
            pair.sent[1 - side].clear();
            pair.sent[side].push_back(Packet::End(CloseReason::Closed));
        });
        self.bury(id);
    }

    fn note(&mut self, host: HostId, event: EventKind) {
        let disk = self.hosts[&host].clone();
        let verdict =
            self.ghost.change(|ghost| ghost.observe(host, &event, |zxid| disk.get().has_durable(zxid)));
        if let Err(why) = verdict {
            self.broken.get_or_insert(why);
        }
        self.events.push((host, event));
    }

    /// A transaction that a server has kept and that is not committed, when all is over.
    pub(crate) fn leftover(&self) -> Option<String> {
        self.hosts.iter().find_map(|(host, state)| {
            let left = state.get().logged().iter().find(|zxid| !self.ghost.get().committed.contains(zxid))?;
            Some(format!("log agreement: {host} follows with {left} in its log, which is not committed"))
        })
    }

    /// What is committed is on a quorum of disks, and each disk can be started from.
    fn check_disks(&mut self) {
        for (host, state) in &self.hosts {
            if let Some(why) = state.get().refusal() {
                let why = format!("a disk can be started from: {host} refuses: {why}");
                self.broken.get_or_insert(why);
            }
        }
        for zxid in &self.ghost.get().committed {
            let holders = self.hosts.values().filter(|host| host.get().has_durable(*zxid)).count();
            if holders <= self.hosts.len() / 2 {
                let why = format!("committed survives: {zxid} is on {holders} of {} disks", self.hosts.len());
                self.broken.get_or_insert(why);
            }
        }
    }
}

/// Which side of a connection a host is, if it is one that knows of it.
fn side_of(id: &PairId, pair: &Pair, host: HostId) -> Option<usize> {
    match host {
        _ if id.0 == host && pair.ends[0].is_some() => Some(0),
        _ if pair.to.host == host && pair.ends[1].is_some() => Some(1),
        _ => None,
    }
}
