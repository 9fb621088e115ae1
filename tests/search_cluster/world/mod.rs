//! World — decides the plainest world in which cores can run together: constant delays, perfect clocks, disks
//! that keep exactly what was synced. It never plays tricks on them; that is what the simulator is for.

mod process;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use shardarium::{
    core::{
        Address, CloseReason, ConnId, Deferred, DiskOp, Effect, Entropy, FileName, Files, Input, Instant,
        Now, Port,
    },
    event::EventKind,
    name::HostId,
    search,
};

pub(crate) use self::process::{Boot, Letter, Process};

const DELAY: Duration = Duration::from_millis(1);

/// How a host dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// The process: its peers see resets.
    Process,
    /// The machine: its peers see silence.
    Power,
}

struct Host {
    boot: Boot,
    process: Option<Process>,
    power: bool,
    life: u64,
    next_conn: u64,
    files: BTreeMap<FileName, Vec<u8>>,
    durable: BTreeMap<FileName, Vec<u8>>,
}

/// One end of a connection, as its own host knows it.
struct End {
    port: Port,
    /// The other end; none while dialling.
    peer: Option<(HostId, ConnId)>,
    /// What waits for the dial.
    queue: VecDeque<Letter>,
}

enum Happening {
    Give { life: u64, input: Input<Letter> },
    Arrive { from: HostId, from_conn: ConnId, port: Port },
    Established { life: u64, conn: ConnId, peer: (HostId, ConnId) },
    Synced { life: u64, file: FileName, bytes: Vec<u8>, then: Deferred<Letter> },
}

/// Hosts, what is between them, and what happened.
pub(crate) struct World {
    now: Duration,
    seq: u64,
    agenda: BTreeMap<(Duration, u64), (HostId, Happening)>,
    hosts: BTreeMap<HostId, Host>,
    ends: BTreeMap<(HostId, ConnId), End>,
    /// Ways on which nothing gets through, and what waits there for them to be healed.
    cuts: BTreeSet<(HostId, HostId)>,
    stalled: Vec<(HostId, HostId, Happening)>,
    /// Hosts whose process is not scheduled, with what waits for it.
    paused: BTreeMap<HostId, Vec<Happening>>,
    /// What was said to clients, by the connection at the node.
    replies: BTreeMap<(HostId, ConnId), search::api::ApiReply>,
    /// What was noted, by whom, in order.
    pub(crate) events: Vec<(HostId, EventKind)>,
}

impl World {
    /// A world without hosts.
    pub(crate) fn new() -> Self {
        Self {
            now: Duration::ZERO,
            seq: 0,
            agenda: BTreeMap::new(),
            hosts: BTreeMap::new(),
            ends: BTreeMap::new(),
            cuts: BTreeSet::new(),
            stalled: Vec::new(),
            paused: BTreeMap::new(),
            replies: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Adds a host and starts its process.
    pub(crate) fn add(&mut self, id: HostId, boot: Boot) {
        let (files, durable) = (BTreeMap::new(), BTreeMap::new());
        let host = Host { boot, process: None, power: false, life: 0, next_conn: 1 << 20, files, durable };
        self.hosts.insert(id, host);
        self.start(id);
    }

    /// Starts a host's process on what was durable.
    pub(crate) fn start(&mut self, id: HostId) {
        let now = self.clock();
        let host = self.hosts.get_mut(&id).expect("a known host");
        assert!(host.process.is_none(), "{id} runs already");
        host.life += 1;
        host.files = host.durable.clone();
        let files: Files = host.files.iter().map(|(name, bytes)| (name.clone(), bytes[..].into())).collect();
        let seed = u64::from(id.number) * 1_000 + host.life;
        host.power = true;
        host.process = Some((host.boot)(Entropy::new(seed), &files, now));
        let life = host.life;
        self.schedule(Duration::ZERO, id, Happening::Give { life, input: Input::Start });
    }

    /// Ends a host's process.
    pub(crate) fn kill(&mut self, id: HostId, death: Death) {
        let host = self.hosts.get_mut(&id).expect("a known host");
        host.process = None;
        host.power = death == Death::Process;
        self.paused.remove(&id);
        let own: Vec<ConnId> =
            self.ends.keys().filter(|(host, _)| *host == id).map(|(_, conn)| *conn).collect();
        for conn in own {
            let end = self.ends.remove(&(id, conn)).expect("listed");
            if death == Death::Process {
                self.break_off(id, end.peer, CloseReason::Reset);
            }
        }
    }

    /// Stops scheduling a host's process; nobody notices but by its silence.
    pub(crate) fn pause(&mut self, id: HostId) {
        self.paused.entry(id).or_default();
    }

    /// Schedules all processes again; all that waited for them happens now.
    pub(crate) fn resume(&mut self) {
        for (id, waiting) in std::mem::take(&mut self.paused) {
            for what in waiting {
                self.schedule(Duration::ZERO, id, what);
            }
        }
    }

    /// Stops everything between two hosts, both ways; connections do not notice.
    pub(crate) fn cut(&mut self, one: HostId, other: HostId) {
        self.cuts.extend([(one, other), (other, one)]);
    }

    /// Lets everything get through again, also what was sent meanwhile.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        for (from, to, what) in std::mem::take(&mut self.stalled) {
            self.travel(from, to, what);
        }
    }

    /// Whether a host's process runs.
    pub(crate) fn runs(&self, id: HostId) -> bool {
        self.hosts[&id].process.is_some()
    }

    /// Gives a host an input out of the blue.
    pub(crate) fn give(&mut self, id: HostId, input: Input<Letter>) {
        let life = self.hosts[&id].life;
        self.schedule(Duration::ZERO, id, Happening::Give { life, input });
    }

    /// Sends a client's request to a node, and says where its reply will be.
    pub(crate) fn request(&mut self, id: HostId, call: search::api::ApiCall) -> (HostId, ConnId) {
        let conn = self.accept(id, Port::Api, (HostId::client(1), ConnId(0)));
        let request = search::api::ApiRequest { id: 1, call };
        self.give(id, Input::Accepted { conn, from: HostId::client(1), port: Port::Api });
        let message = Letter::Search(search::wire::Message::Request(request));
        self.give(id, Input::Received { conn, message });
        (id, conn)
    }

    /// The reply to a request, if it has come.
    pub(crate) fn reply(
        &mut self,
        at: (HostId, ConnId),
    ) -> Option<Result<search::api::ApiAnswer, search::api::ApiError>> {
        self.replies.remove(&at).map(|reply| reply.result)
    }

    /// Lets things happen until `done`, or for `limit`; says whether it came to be done.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            match self.next_time() {
                Some(time) if time <= end => self.happen(time),
                _ => {
                    self.now = end;
                    return false;
                }
            }
        }
        true
    }

    fn clock(&self) -> Now {
        let nanos = self.now.as_nanos() as u64;
        Now { mono: Instant(nanos), wall_ms: 1_700_000_000_000 + self.now.as_millis() as i64 }
    }

    fn schedule(&mut self, after: Duration, host: HostId, what: Happening) {
        self.seq += 1;
        self.agenda.insert((self.now + after, self.seq), (host, what));
    }

    fn next_wake(&self) -> Option<(Duration, HostId)> {
        let awake = self.hosts.iter().filter(|(id, _)| !self.paused.contains_key(id));
        let wakes = awake.filter_map(|(id, host)| {
            let at = host.process.as_ref()?.next_wake()?;
            Some((Duration::from_nanos(at.0).max(self.now), *id))
        });
        wakes.min()
    }

    fn next_time(&self) -> Option<Duration> {
        let next = self.agenda.keys().next().map(|(time, _)| *time);
        next.into_iter().chain(self.next_wake().map(|(time, _)| time)).min()
    }

    fn happen(&mut self, time: Duration) {
        self.now = time;
        if self.agenda.keys().next().is_some_and(|(at, _)| *at <= time) {
            let (_, (host, what)) = self.agenda.pop_first().expect("looked at");
            self.take(host, what);
        } else if let Some((_, host)) = self.next_wake() {
            self.step(host, Input::Wake);
        }
    }

    fn take(&mut self, id: HostId, what: Happening) {
        if let Some(waiting) = self.paused.get_mut(&id) {
            return waiting.push(what);
        }
        let life = self.hosts[&id].life;
        match what {
            Happening::Give { life: meant, input } if meant == life => self.step(id, input),
            Happening::Arrive { from, from_conn, port } => self.arrive(id, from, from_conn, port),
            Happening::Established { life: meant, conn, peer } if meant == life => {
                self.established(id, conn, peer);
            }
            Happening::Synced { life: meant, file, bytes, then } if meant == life && self.runs(id) => {
                let host = self.hosts.get_mut(&id).expect("a known host");
                host.durable.insert(file, bytes);
                self.release(id, then);
            }
            _ => {}
        }
    }

    fn step(&mut self, id: HostId, input: Input<Letter>) {
        match &input {
            Input::Received { conn, .. } | Input::Accepted { conn, .. } | Input::Connected { conn }
                if !self.ends.contains_key(&(id, *conn)) =>
            {
                return;
            }
            Input::Closed { conn, .. } if self.ends.remove(&(id, *conn)).is_none() => return,
            _ => {}
        }
        let now = self.clock();
        let host = self.hosts.get_mut(&id).expect("a known host");
        let Some(process) = &mut host.process else { return };
        let effects = process.step(now, input, host.next_conn);
        for effect in effects {
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: HostId, effect: Effect<Letter>) {
        match effect {
            Effect::Note(event) => self.events.push((id, event)),
            Effect::Dial { conn, to } => self.dial(id, conn, to),
            Effect::Send { conn, message } => self.send(id, conn, message),
            Effect::Close { conn } => {
                if let Some(end) = self.ends.remove(&(id, conn)) {
                    self.break_off(id, end.peer, CloseReason::Closed);
                }
            }
            Effect::Disk(op) => self.write(id, op),
            Effect::AfterSync { file, then } => {
                let host = &self.hosts[&id];
                let bytes = host.files.get(&file).cloned().unwrap_or_default();
                let life = host.life;
                self.schedule(DELAY, id, Happening::Synced { life, file, bytes, then });
            }
            Effect::MeasureDisk => {}
            Effect::Halt { why } => panic!("{id} halted: {why}"),
        }
    }

    fn release(&mut self, id: HostId, then: Deferred<Letter>) {
        match then {
            Deferred::Send { conn, message } => self.send(id, conn, message),
            Deferred::Tell { token } => self.step(id, Input::Synced { token }),
            Deferred::Note(event) => self.events.push((id, event)),
        }
    }

    fn write(&mut self, id: HostId, op: DiskOp) {
        let host = self.hosts.get_mut(&id).expect("a known host");
        match op {
            DiskOp::Append { file, bytes } => host.files.entry(file).or_default().extend(&*bytes),
            DiskOp::Truncate { file, len } => host.files.entry(file).or_default().truncate(len as usize),
            DiskOp::Replace { file, bytes } => {
                host.files.insert(file, bytes.to_vec());
            }
            DiskOp::Remove { file } => {
                host.files.remove(&file);
                host.durable.remove(&file);
            }
        }
    }

    fn dial(&mut self, id: HostId, conn: ConnId, to: Address) {
        let host = self.hosts.get_mut(&id).expect("a known host");
        assert!(conn.0 >= host.next_conn, "connections are numbered upwards");
        host.next_conn = conn.0 + 2;
        self.ends.insert((id, conn), End { port: to.port, peer: None, queue: VecDeque::new() });
        let dialled = Happening::Arrive { from: id, from_conn: conn, port: to.port };
        self.travel(id, to.host, dialled);
    }

    fn accept(&mut self, id: HostId, port: Port, peer: (HostId, ConnId)) -> ConnId {
        let host = self.hosts.get_mut(&id).expect("a known host");
        host.next_conn += 2;
        let conn = ConnId(host.next_conn - 1);
        self.ends.insert((id, conn), End { port, peer: Some(peer), queue: VecDeque::new() });
        conn
    }

    fn arrive(&mut self, id: HostId, from: HostId, from_conn: ConnId, port: Port) {
        let life = self.hosts[&from].life;
        if self.runs(id) {
            let conn = self.accept(id, port, (from, from_conn));
            let peer = (id, conn);
            self.travel(id, from, Happening::Established { life, conn: from_conn, peer });
            self.step(id, Input::Accepted { conn, from, port });
        } else if self.hosts[&id].power {
            let input = Input::Closed { conn: from_conn, reason: CloseReason::Refused };
            self.travel(id, from, Happening::Give { life, input });
        }
    }

    fn established(&mut self, id: HostId, conn: ConnId, peer: (HostId, ConnId)) {
        let Some(end) = self.ends.get_mut(&(id, conn)) else {
            return self.break_off(id, Some(peer), CloseReason::Closed);
        };
        end.peer = Some(peer);
        for letter in std::mem::take(&mut end.queue) {
            self.send(id, conn, letter);
        }
        self.step(id, Input::Connected { conn });
    }

    fn send(&mut self, id: HostId, conn: ConnId, message: Letter) {
        let Some(end) = self.ends.get_mut(&(id, conn)) else { return };
        match (end.peer, message) {
            (_, Letter::Search(search::wire::Message::Reply(reply))) if end.port == Port::Api => {
                self.replies.insert((id, conn), reply);
            }
            (None, message) => end.queue.push_back(message),
            (Some((to, conn)), message) => {
                let life = self.hosts[&to].life;
                let input = Input::Received { conn, message };
                self.travel(id, to, Happening::Give { life, input });
            }
        }
    }

    /// The other end learns, after what is in flight, that the connection is over.
    fn break_off(&mut self, id: HostId, peer: Option<(HostId, ConnId)>, reason: CloseReason) {
        let Some((to, conn)) = peer.filter(|(to, _)| self.hosts.contains_key(to)) else { return };
        let life = self.hosts[&to].life;
        self.travel(id, to, Happening::Give { life, input: Input::Closed { conn, reason } });
    }

    fn travel(&mut self, from: HostId, to: HostId, what: Happening) {
        if self.cuts.contains(&(from, to)) {
            self.stalled.push((from, to, what));
        } else {
            self.schedule(DELAY, to, what);
        }
    }
}
