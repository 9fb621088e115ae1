//! World — decides, for these tests, how messages, disks and crashes of a few servers behave. It never
//! knows what a server is for.
//!
//! Every message takes [`LATENCY`], every sync [`World::sync`]; connections are first in, first out. A cut holds
//! messages until it heals.

mod client;
mod disks;
mod verdict;
mod wires;

pub(crate) use client::Client;
use disks::torn;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use shardarium::{
    core::{
        CloseReason, ConnId, Core, Deferred, DiskOp, Effect, Entropy, FileName, Files, Input, Instant, Now,
        Output, Port,
    },
    defect::Defects,
    event::{Ephemeral, EventKind},
    name::{HostId, SessionId, Zxid},
    zookeeper::{
        peer::Message,
        server::Server,
        wire::{ClientFrame, EnsembleConfig, Op, Password, Reply, ServerFrame, ZkError},
    },
};

pub(crate) const LATENCY: u64 = 500_000;
const MS: u64 = 1_000_000;

type End = (HostId, ConnId);

/// What happens to unsynced data at a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsynced {
    Lost,
    Kept,
    /// Half of what was appended survives; other changes are lost.
    Torn,
}

#[derive(Debug)]
enum Due {
    Input {
        host: HostId,
        incarnation: u32,
        input: Input<Message>,
    },
    Arrive {
        from: HostId,
        to: End,
        message: Message,
    },
    Dialled {
        from: End,
        to: HostId,
        port: Port,
    },
    Ended {
        to: End,
        reason: CloseReason,
    },
    Synced {
        host: HostId,
        incarnation: u32,
        file: FileName,
        content: Option<Arc<[u8]>>,
        then: Deferred<Message>,
    },
    Wake {
        host: HostId,
        incarnation: u32,
        at: u64,
    },
}

#[derive(Debug, Default)]
struct File {
    visible: Option<Arc<[u8]>>,
    durable: Option<Arc<[u8]>>,
}

#[derive(Debug, Default)]
struct Host {
    server: Option<Server>,
    incarnation: u32,
    files: BTreeMap<FileName, File>,
    next_conn: u64,
    wake: Option<u64>,
}

#[derive(Debug)]
struct Link {
    peer: End,
    /// Messages sent before the dial succeeded.
    waiting: Option<Vec<Message>>,
    /// When the last message from here arrives.
    busy_until: u64,
}

/// A crash in the middle of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CutPoint {
    pub(crate) host: HostId,
    /// Crash after so many more effects of this host.
    pub(crate) effects: u64,
    pub(crate) unsynced: Unsynced,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: u64,
    seq: u64,
    due: BTreeMap<(u64, u64), Due>,
    hosts: BTreeMap<HostId, Host>,
    links: BTreeMap<End, Link>,
    cuts: BTreeSet<(HostId, HostId)>,
    held: Vec<(HostId, HostId, Due)>,
    config: EnsembleConfig,
    pub(crate) defects: Defects,
    /// How long a sync takes, in nanoseconds.
    pub(crate) sync: u64,
    /// Adds to the latency of messages, if set; those of one connection stay in order.
    pub(crate) jitter: Option<Entropy>,
    pub(crate) events: Vec<(u64, HostId, EventKind)>,
    pub(crate) inboxes: BTreeMap<ConnId, VecDeque<ServerFrame>>,
    pub(crate) closed: BTreeSet<ConnId>,
    pub(crate) cut_point: Option<CutPoint>,
    pub(crate) effects: BTreeMap<HostId, u64>,
}

pub(crate) fn zk(number: u16) -> HostId {
    HostId::zookeeper(number)
}

const CLIENT: HostId = HostId::client(1);

impl World {
    pub(crate) fn new(voters: u16) -> Self {
        Self::with_snapshots(voters, 1000)
    }

    pub(crate) fn with_snapshots(voters: u16, snap_count: u32) -> Self {
        let servers: Vec<_> = (1..=voters).map(zk).collect();
        Self::of_ensemble(EnsembleConfig { servers, tick_ms: 200, snap_count, ..EnsembleConfig::default() })
    }

    pub(crate) fn of_ensemble(config: EnsembleConfig) -> Self {
        Self {
            now: 0,
            seq: 0,
            due: BTreeMap::new(),
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            held: Vec::new(),
            config,
            defects: Defects::default(),
            sync: MS,
            jitter: None,
            events: Vec::new(),
            inboxes: BTreeMap::new(),
            closed: BTreeSet::new(),
            cut_point: None,
            effects: BTreeMap::new(),
        }
    }

    pub(crate) fn started(voters: u16) -> Self {
        let mut world = Self::new(voters);
        world.start_all();
        world
    }

    pub(crate) fn start_all(&mut self) {
        for server in self.members() {
            self.start(server);
        }
    }

    /// Voters and observers at the start.
    pub(crate) fn members(&self) -> Vec<HostId> {
        self.config.servers.iter().chain(&self.config.observers).copied().collect()
    }

    fn clocks(&self) -> Now {
        Now { mono: Instant(self.now), wall_ms: (self.now / MS) as i64 }
    }

    fn at(&mut self, time: u64, due: Due) {
        self.seq += 1;
        self.due.insert((time, self.seq), due);
    }

    pub(crate) fn start(&mut self, id: HostId) {
        let (config, defects, now) = (self.config.clone(), self.defects.clone(), self.clocks());
        let host = self.hosts.entry(id).or_default();
        assert!(host.server.is_none(), "{id} runs already");
        host.incarnation += 1;
        let visible = |(name, file): (&FileName, &File)| Some((name.clone(), file.visible.clone()?));
        let files: Files = host.files.iter().filter_map(visible).collect();
        let entropy = Entropy::new(u64::from(host.incarnation));
        host.server = Some(Server::boot(config, id, defects, entropy, &files, now));
        let incarnation = host.incarnation;
        self.at(self.now, Due::Input { host: id, incarnation, input: Input::Start });
    }

    pub(crate) fn runs(&self, id: HostId) -> bool {
        self.hosts.get(&id).is_some_and(|host| host.server.is_some())
    }

    pub(crate) fn crash(&mut self, id: HostId, unsynced: Unsynced) {
        self.events.push((self.now, id, EventKind::HostCrashed { power: false }));
        let host = self.hosts.get_mut(&id).expect("a host");
        host.server = None;
        host.wake = None;
        for (name, file) in &mut host.files {
            match unsynced {
                Unsynced::Torn if name.starts_with("log.") => file.visible = torn(file),
                Unsynced::Lost | Unsynced::Torn => file.visible = file.durable.clone(),
                Unsynced::Kept => {}
            }
            file.durable = file.visible.clone();
        }
        let ends: Vec<End> = self.links.keys().filter(|end| end.0 == id).copied().collect();
        for end in ends {
            self.end_link(end, CloseReason::Reset);
        }
    }

    pub(crate) fn wipe(&mut self, id: HostId) {
        assert!(!self.runs(id));
        self.hosts.get_mut(&id).expect("a host").files.clear();
    }

    pub(crate) fn file(&self, id: HostId, name: &str) -> Option<Arc<[u8]>> {
        self.hosts[&id].files.get(name)?.visible.clone()
    }

    pub(crate) fn file_names(&self, id: HostId) -> Vec<String> {
        let there = self.hosts[&id].files.iter().filter(|(_, file)| file.visible.is_some());
        there.map(|(name, _)| name.to_string()).collect()
    }

    pub(crate) fn write_file(&mut self, id: HostId, name: &str, bytes: &[u8]) {
        let content: Option<Arc<[u8]>> = Some(bytes.into());
        let file = File { visible: content.clone(), durable: content };
        self.hosts.get_mut(&id).expect("a host").files.insert(name.into(), file);
    }

    pub(crate) fn cut_off(&mut self, id: HostId) {
        for other in self.hosts.keys().copied().filter(|other| *other != id) {
            self.cuts.insert((id, other));
            self.cuts.insert((other, id));
        }
    }

    pub(crate) fn cut_between(&mut self, one: HostId, other: HostId) {
        self.cuts.insert((one, other));
        self.cuts.insert((other, one));
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        for (_, _, due) in std::mem::take(&mut self.held) {
            self.at(self.now + LATENCY, due);
        }
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        let end = self.now + ms * MS;
        while let Some((&(time, seq), _)) = self.due.first_key_value()
            && time <= end
        {
            let due = self.due.remove(&(time, seq)).expect("just seen");
            self.now = self.now.max(time);
            self.carry_out(due);
        }
        self.now = end;
    }

    /// Runs until the condition holds; false if it does not within this time.
    pub(crate) fn run_until(&mut self, ms: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + ms * MS;
        while self.now < end {
            if done(self) {
                return true;
            }
            let next = self.due.first_key_value().map_or(end, |((time, _), _)| *time);
            let step = next.saturating_sub(self.now).max(1);
            self.advance(step.min(end - self.now));
        }
        done(self)
    }

    fn advance(&mut self, nanos: u64) {
        let end = self.now + nanos;
        while let Some((&(time, seq), _)) = self.due.first_key_value()
            && time <= end
        {
            let due = self.due.remove(&(time, seq)).expect("just seen");
            self.now = self.now.max(time);
            self.carry_out(due);
        }
        self.now = end;
    }

    fn carry_out(&mut self, due: Due) {
        match due {
            Due::Input { host, incarnation, input } => self.step(host, incarnation, input),
            Due::Arrive { from, to, message } => {
                if self.cuts.contains(&(from, to.0)) {
                    return self.held.push((from, to.0, Due::Arrive { from, to, message }));
                }
                self.arrive(to, message);
            }
            Due::Dialled { from, to, port } => {
                if self.cuts.contains(&(from.0, to)) {
                    return self.held.push((from.0, to, Due::Dialled { from, to, port }));
                }
                self.dialled(from, to, port);
            }
            Due::Ended { to, reason } => self.ended(to, reason),
            Due::Synced { host, incarnation, file, content, then } => {
                self.synced(host, incarnation, file, content, then);
            }
            Due::Wake { host, incarnation, at } => {
                if self.hosts[&host].wake == Some(at) {
                    self.hosts.get_mut(&host).expect("a host").wake = None;
                    self.step(host, incarnation, Input::Wake);
                }
            }
        }
    }

    fn step(&mut self, id: HostId, incarnation: u32, input: Input<Message>) {
        let now = self.clocks();
        let host = self.hosts.get_mut(&id).expect("a host");
        let Some(server) = host.server.as_mut().filter(|_| host.incarnation == incarnation) else { return };
        let mut out = Output::new(host.next_conn);
        server.step(now, input, &mut out);
        let wake = server.next_wake().map(|at| at.0.max(self.now));
        let dials = out.effects().iter().filter(|effect| matches!(effect, Effect::Dial { .. })).count();
        host.next_conn += 2 * dials as u64;
        let effects: Vec<_> = out.drain().collect();
        for effect in effects {
            self.effect(id, incarnation, effect);
            if self.crashes_here(id) {
                return;
            }
        }
        let host = self.hosts.get_mut(&id).expect("a host");
        if host.server.is_some() && wake != host.wake {
            host.wake = wake;
            if let Some(at) = wake {
                self.at(at, Due::Wake { host: id, incarnation, at });
            }
        }
    }

    fn crashes_here(&mut self, id: HostId) -> bool {
        *self.effects.entry(id).or_default() += 1;
        let Some(point) = self.cut_point.as_mut().filter(|point| point.host == id) else { return false };
        point.effects = point.effects.saturating_sub(1);
        if point.effects > 0 {
            return false;
        }
        let unsynced = point.unsynced;
        self.cut_point = None;
        self.crash(id, unsynced);
        true
    }

    fn effect(&mut self, id: HostId, incarnation: u32, effect: Effect<Message>) {
        match effect {
            Effect::Note(event) => self.events.push((self.now, id, event)),
            Effect::Dial { conn, to } => {
                let waiting = Some(Vec::new());
                self.links
                    .insert((id, conn), Link { peer: (to.host, ConnId(u64::MAX)), waiting, busy_until: 0 });
                let due = Due::Dialled { from: (id, conn), to: to.host, port: to.port };
                self.at(self.now + LATENCY, due);
            }
            Effect::Send { conn, message } => self.send((id, conn), message),
            Effect::Close { conn } => self.end_link((id, conn), CloseReason::Closed),
            Effect::Disk(op) => self.write(id, op),
            Effect::AfterSync { file, then } => {
                let content = self.file(id, &file);
                let due = Due::Synced { host: id, incarnation, file, content, then };
                self.at(self.now + self.sync, due);
            }
            Effect::MeasureDisk => {}
            Effect::Halt { why } => {
                self.events.push((self.now, id, EventKind::HostHalted { why }));
                self.crash(id, Unsynced::Kept);
            }
        }
    }
}
