//! Bench — decides, for tests, when messages between cores and a [`Fake`] ensemble arrive: 1 ms later, unless
//! the test wants otherwise. It never leaves the tests; the real world is `sim`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::fake::Fake;
use crate::{
    core::{CloseReason, ConnId, Core, Effect, Input, Instant, Now, Output, Port},
    event::EventKind,
    name::HostId,
    zookeeper::wire::{ClientFrame, ServerFrame},
};

const LATENCY: u64 = 1_000_000;

/// A core that can speak to ZooKeeper.
pub(crate) trait Speaks: Core {
    fn to_zookeeper(message: Self::Message) -> Option<ClientFrame>;
    fn from_zookeeper(frame: ServerFrame) -> Self::Message;
}

struct Host<C: Core> {
    core: C,
    out: Output<C::Message>,
    inbox: Vec<Input<C::Message>>,
    paused: bool,
}

enum Arrival<M> {
    AtHost(HostId, Input<M>),
    AtFake((HostId, ConnId), ClientFrame),
}

/// Cores around a fake ensemble.
pub(crate) struct Bench<C: Speaks> {
    pub(crate) now: u64,
    pub(crate) fake: Fake,
    hosts: BTreeMap<HostId, Host<C>>,
    queue: BTreeMap<(u64, u64), Arrival<C::Message>>,
    nth: u64,
    accepted: u64,
    /// Both ends of each connection between cores.
    pairs: BTreeMap<(HostId, ConnId), (HostId, ConnId)>,
    to_fake: BTreeSet<(HostId, ConnId)>,
    /// Frames to and from the ensemble so far.
    pub(crate) frames: u64,
    /// The frame that is lost, with its connection.
    pub(crate) lose_frame: Option<u64>,
    /// Frames to and from hosts that are cut off from the ensemble: they wait, as in TCP.
    stalled: BTreeMap<HostId, Vec<Arrival<C::Message>>>,
    pub(crate) events: Vec<(u64, HostId, EventKind)>,
}

impl<C: Speaks> Bench<C> {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            fake: Fake::default(),
            hosts: BTreeMap::new(),
            queue: BTreeMap::new(),
            nth: 0,
            accepted: 1,
            pairs: BTreeMap::new(),
            to_fake: BTreeSet::new(),
            frames: 0,
            lose_frame: None,
            stalled: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn core(&mut self, host: HostId) -> &mut C {
        &mut self.hosts.get_mut(&host).unwrap().core
    }

    /// Starts a process (again): connections of its former life are reset.
    pub(crate) fn start(&mut self, host: HostId, core: C) {
        self.kill(host);
        let out = Output::new(self.nth * 2_000);
        self.nth += 1;
        self.hosts.insert(host, Host { core, out, inbox: Vec::new(), paused: false });
        self.step(host, Input::Start);
    }

    pub(crate) fn kill(&mut self, host: HostId) {
        self.hosts.remove(&host);
        let ends = self.pairs.keys().chain(&self.to_fake).filter(|(at, _)| *at == host);
        for end in ends.copied().collect::<Vec<_>>() {
            self.disconnect(end);
        }
    }

    pub(crate) fn pause(&mut self, host: HostId) {
        self.hosts.get_mut(&host).unwrap().paused = true;
    }

    pub(crate) fn resume(&mut self, host: HostId) {
        let process = self.hosts.get_mut(&host).unwrap();
        process.paused = false;
        for input in std::mem::take(&mut process.inbox) {
            self.step(host, input);
        }
    }

    /// Breaks the host's connections to the ensemble.
    pub(crate) fn break_zookeeper(&mut self, host: HostId) {
        let ends = self.to_fake.iter().filter(|(at, _)| *at == host);
        for end in ends.copied().collect::<Vec<_>>() {
            self.disconnect(end);
        }
    }

    /// Frames to and from the ensemble wait until the host is heard again.
    pub(crate) fn silence(&mut self, host: HostId) {
        self.stalled.entry(host).or_default();
    }

    /// Undoes [`Bench::silence`].
    pub(crate) fn hear(&mut self, host: HostId) {
        for arrival in self.stalled.remove(&host).unwrap_or_default() {
            self.post(arrival);
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span.as_nanos() as u64;
        for turn in 0.. {
            assert!(turn < 200_000, "the cores keep each other busy for ever");
            match self.next_time().filter(|next| *next <= end) {
                Some(next) => self.advance(next),
                None => break,
            }
        }
        self.now = end;
    }

    fn next_time(&self) -> Option<u64> {
        let wakes = self.hosts.values().filter(|host| !host.paused).filter_map(|host| host.core.next_wake());
        let queue = self.queue.keys().next().map(|(at, _)| *at);
        let all = wakes.map(|wake| wake.0).chain(queue).chain(self.fake.deadline());
        all.min().map(|next| next.max(self.now))
    }

    fn advance(&mut self, to: u64) {
        self.now = to;
        self.fake.expire(to);
        self.carry_fake();
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= to) {
            match entry.remove() {
                Arrival::AtHost(host, input) => self.step(host, input),
                Arrival::AtFake(end, frame) if self.to_fake.contains(&end) => {
                    self.fake.receive(to, end, frame);
                    self.carry_fake();
                }
                Arrival::AtFake(..) => {}
            }
        }
        let is_due = |host: &Host<C>| !host.paused && host.core.next_wake().is_some_and(|at| at.0 <= to);
        for host in self.hosts.iter().filter(|(_, host)| is_due(host)).map(|(id, _)| *id).collect::<Vec<_>>()
        {
            self.step(host, Input::Wake);
        }
    }

    /// Gives an input to a core, unless its connection is gone, and carries its effects out.
    pub(crate) fn step(&mut self, host: HostId, input: Input<C::Message>) {
        let Some(process) = self.hosts.get_mut(&host) else { return };
        if process.paused {
            return process.inbox.push(input);
        }
        let now = Now { mono: Instant(self.now), wall_ms: 0 };
        process.core.step(now, input, &mut process.out);
        for effect in process.out.drain().collect::<Vec<_>>() {
            self.carry(host, effect);
        }
    }

    fn carry(&mut self, host: HostId, effect: Effect<C::Message>) {
        match effect {
            Effect::Note(event) => self.events.push((self.now, host, event)),
            Effect::Dial { conn, to } if to.port == Port::ZkClient => {
                self.to_fake.insert((host, conn));
                self.post(Arrival::AtHost(host, Input::Connected { conn }));
            }
            Effect::Dial { conn, to } => self.dial(host, conn, to.host),
            Effect::Send { conn, message } => self.send((host, conn), message),
            Effect::Close { conn } => self.disconnect_quietly((host, conn)),
            other => panic!("a control part does not ask for {other:?}"),
        }
    }

    fn post(&mut self, arrival: Arrival<C::Message>) {
        self.nth += 1;
        self.queue.insert((self.now + LATENCY, self.nth), arrival);
    }

    fn dial(&mut self, from: HostId, conn: ConnId, to: HostId) {
        if !self.hosts.contains_key(&to) {
            let input = Input::Closed { conn, reason: CloseReason::Refused };
            return self.post(Arrival::AtHost(from, input));
        }
        let peer = ConnId(self.accepted);
        self.accepted += 2;
        self.pairs.insert((from, conn), (to, peer));
        self.pairs.insert((to, peer), (from, conn));
        self.post(Arrival::AtHost(from, Input::Connected { conn }));
        self.post(Arrival::AtHost(to, Input::Accepted { conn: peer, from, port: Port::Transport }));
    }

    fn send(&mut self, end: (HostId, ConnId), message: C::Message) {
        if let Some((host, conn)) = self.pairs.get(&end).copied() {
            return self.post(Arrival::AtHost(host, Input::Received { conn, message }));
        }
        if self.to_fake.contains(&end) {
            let frame = C::to_zookeeper(message).expect("what is sent to the ensemble is a client's frame");
            self.post_frame(end, Arrival::AtFake(end, frame));
        }
    }

    fn carry_fake(&mut self) {
        for (end, frame) in std::mem::take(&mut self.fake.outbox) {
            match frame {
                _ if !self.to_fake.contains(&end) => {}
                None => self.disconnect(end),
                Some(frame) => {
                    let message = C::from_zookeeper(frame);
                    let input = Input::Received { conn: end.1, message };
                    self.post_frame(end, Arrival::AtHost(end.0, input));
                }
            }
        }
    }

    fn post_frame(&mut self, end: (HostId, ConnId), arrival: Arrival<C::Message>) {
        self.frames += 1;
        match self.stalled.get_mut(&end.0) {
            _ if self.lose_frame == Some(self.frames) => self.disconnect(end),
            Some(stalled) => stalled.push(arrival),
            None => self.post(arrival),
        }
    }

    /// Both ends learn of it.
    fn disconnect(&mut self, end: (HostId, ConnId)) {
        self.disconnect_quietly(end);
        let input = Input::Closed { conn: end.1, reason: CloseReason::Reset };
        self.post(Arrival::AtHost(end.0, input));
    }

    /// The other end learns of it.
    fn disconnect_quietly(&mut self, end: (HostId, ConnId)) {
        if self.to_fake.remove(&end) {
            self.fake.hang_up(end);
        }
        if let Some(peer) = self.pairs.remove(&end) {
            self.pairs.remove(&peer);
            let input = Input::Closed { conn: peer.1, reason: CloseReason::Closed };
            self.post(Arrival::AtHost(peer.0, input));
        }
    }

    /// The events of one host, or of all, in order.
    pub(crate) fn notes(&self, host: Option<HostId>) -> impl Iterator<Item = &EventKind> {
        let is_wanted = move |(_, at, _): &&(u64, HostId, EventKind)| host.is_none_or(|host| host == *at);
        self.events.iter().filter(is_wanted).map(|(_, _, event)| event)
    }
}

/// Any frame between a client and the ensemble.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    ToServer(ClientFrame),
    ToClient(ServerFrame),
}

impl From<ClientFrame> for Frame {
    fn from(frame: ClientFrame) -> Self {
        Self::ToServer(frame)
    }
}
