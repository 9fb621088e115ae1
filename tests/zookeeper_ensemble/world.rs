//! World — decides, for these tests, how messages, disks and crashes of a few servers behave. It never
//! knows what a server is for.
//!
//! Every message takes [`LATENCY`], every sync [`World::sync`]; connections are first in, first out. A cut holds
//! messages until it heals.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use shardarium::{
    core::{
        CloseReason, ConnId, Core, Deferred, DiskOp, Effect, Entropy, FileName, Files, Input, Instant, Now,
        Output, Port,
    },
    defect::Defects,
    event::EventKind,
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
        let config = EnsembleConfig { servers, tick_ms: 200, init_limit: 10, sync_limit: 5, snap_count };
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
        for server in self.config.servers.clone() {
            self.start(server);
        }
    }

    fn clocks(&self) -> Now {
        Now { mono: Instant(self.now), wall_ms: (self.now / MS) as i64 }
    }

    fn at(&mut self, time: u64, due: Due) {
        self.seq += 1;
        self.due.insert((time, self.seq), due);
    }

    // ---- servers ----

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
        for other in self.config.servers.clone() {
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

    // ---- time ----

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
                self.links.insert((id, conn), Link { peer: (to.host, ConnId(u64::MAX)), waiting });
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
            Effect::Halt { why } => {
                self.events.push((self.now, id, EventKind::HostHalted { why }));
                self.crash(id, Unsynced::Kept);
            }
        }
    }

    // ---- connections ----

    fn send(&mut self, from: End, message: Message) {
        let Some(link) = self.links.get_mut(&from) else { return };
        match &mut link.waiting {
            Some(waiting) => waiting.push(message),
            None => {
                let to = link.peer;
                self.at(self.now + LATENCY, Due::Arrive { from: from.0, to, message });
            }
        }
    }

    fn end_link(&mut self, end: End, reason: CloseReason) {
        if let Some(link) = self.links.remove(&end)
            && link.waiting.is_none()
        {
            self.at(self.now + LATENCY, Due::Ended { to: link.peer, reason });
        }
    }

    fn ended(&mut self, to: End, reason: CloseReason) {
        if self.links.remove(&to).is_some() {
            self.input(to.0, Input::Closed { conn: to.1, reason });
        }
    }

    fn input(&mut self, id: HostId, input: Input<Message>) {
        if id == CLIENT {
            return self.client_input(input);
        }
        let incarnation = self.hosts[&id].incarnation;
        self.step(id, incarnation, input);
    }

    fn dialled(&mut self, from: End, to: HostId, port: Port) {
        if !self.links.contains_key(&from) {
            return;
        }
        if !self.runs(to) {
            self.links.remove(&from);
            return self.input(from.0, Input::Closed { conn: from.1, reason: CloseReason::Refused });
        }
        let host = self.hosts.get_mut(&to).expect("a host");
        let accepted = ConnId(host.next_conn + 1);
        host.next_conn += 2;
        self.links.insert((to, accepted), Link { peer: from, waiting: None });
        let link = self.links.get_mut(&from).expect("just seen");
        link.peer = (to, accepted);
        let waiting = link.waiting.take().unwrap_or_default();
        self.input(to, Input::Accepted { conn: accepted, from: from.0, port });
        for message in waiting {
            self.send(from, message);
        }
        if self.links.contains_key(&from) {
            self.input(from.0, Input::Connected { conn: from.1 });
        }
    }

    fn arrive(&mut self, to: End, message: Message) {
        if self.links.contains_key(&to) {
            self.input(to.0, Input::Received { conn: to.1, message });
        }
    }

    // ---- disks ----

    fn write(&mut self, id: HostId, op: DiskOp) {
        let files = &mut self.hosts.get_mut(&id).expect("a host").files;
        let file = files.entry(op.file().clone()).or_default();
        match op {
            DiskOp::Append { bytes, .. } => {
                let before = file.visible.take().unwrap_or_default();
                file.visible = Some([&*before, &*bytes].concat().into());
            }
            DiskOp::Truncate { len, .. } => {
                let before = file.visible.take().expect("a file is there when it is cut");
                assert!(before.len() as u64 >= len, "a file is never cut longer");
                file.visible = Some(before[..len as usize].into());
            }
            DiskOp::Replace { bytes, .. } => file.visible = Some(bytes),
            DiskOp::Remove { .. } => file.visible = None,
        }
    }

    fn synced(
        &mut self,
        id: HostId,
        incarnation: u32,
        file: FileName,
        content: Option<Arc<[u8]>>,
        then: Deferred<Message>,
    ) {
        let host = self.hosts.get_mut(&id).expect("a host");
        if host.server.is_none() || host.incarnation != incarnation {
            return;
        }
        host.files.entry(file).or_default().durable = content;
        match then {
            Deferred::Send { conn, message } => self.send((id, conn), message),
            Deferred::Tell { token } => self.step(id, incarnation, Input::Synced { token }),
            Deferred::Note(event) => self.events.push((self.now, id, event)),
        }
        self.crashes_here(id);
    }

    // ---- clients ----

    fn client_input(&mut self, input: Input<Message>) {
        match input {
            Input::Received { conn, message: Message::ToClient(frame) } => {
                self.inboxes.entry(conn).or_default().push_back(frame);
            }
            Input::Closed { conn, .. } => {
                self.closed.insert(conn);
            }
            _ => {}
        }
    }

    pub(crate) fn dial(&mut self, server: HostId) -> ConnId {
        self.seq += 1;
        let conn = ConnId(self.seq);
        let link = Link { peer: (server, ConnId(u64::MAX)), waiting: Some(Vec::new()) };
        self.links.insert((CLIENT, conn), link);
        self.at(self.now + LATENCY, Due::Dialled { from: (CLIENT, conn), to: server, port: Port::ZkClient });
        conn
    }

    pub(crate) fn say(&mut self, conn: ConnId, frame: ClientFrame) {
        self.send((CLIENT, conn), Message::ToServer(frame));
    }

    pub(crate) fn ask(&mut self, client: &mut Client, op: Op) -> i32 {
        client.xid += 1;
        self.say(client.conn, ClientFrame::Request { xid: client.xid, op });
        client.xid
    }

    /// The next frame, if one comes within this time.
    pub(crate) fn hear(&mut self, conn: ConnId, ms: u64) -> Option<ServerFrame> {
        self.run_until(ms, |world| {
            world.closed.contains(&conn) || world.inboxes.get(&conn).is_some_and(|inbox| !inbox.is_empty())
        });
        self.inboxes.get_mut(&conn)?.pop_front()
    }

    /// Asks, and waits for the reply; watch events in between are dropped.
    pub(crate) fn call(&mut self, client: &mut Client, op: Op) -> Option<Result<Reply, ZkError>> {
        let asked = self.ask(client, op);
        loop {
            match self.hear(client.conn, 2000)? {
                ServerFrame::Reply { xid, zxid, result } if xid == asked => {
                    client.seen = client.seen.max(zxid);
                    return Some(result);
                }
                _ => {}
            }
        }
    }

    /// One attempt to connect.
    pub(crate) fn connect_as(&mut self, server: HostId, as_of: &Client) -> Option<Client> {
        let conn = self.dial(server);
        self.say(
            conn,
            ClientFrame::Connect {
                last_zxid_seen: as_of.seen,
                timeout_ms: as_of.timeout_ms,
                session: as_of.session,
                password: as_of.password,
            },
        );
        match self.hear(conn, 1000)? {
            ServerFrame::Connected { timeout_ms, session, password } => {
                Some(Client { conn, session, password, timeout_ms, ..*as_of })
            }
            frame => panic!("{frame:?} is no answer to connect"),
        }
    }

    /// A new session on this server, as soon as it serves.
    pub(crate) fn connect(&mut self, server: HostId) -> Client {
        self.reconnect(server, &Client::default())
    }

    /// The session on this server, as soon as it serves.
    pub(crate) fn reconnect(&mut self, server: HostId, as_of: &Client) -> Client {
        for _ in 0..400 {
            if let Some(client) = self.connect_as(server, as_of) {
                return client;
            }
            self.run_for(20);
        }
        panic!("{server} does not serve; {:#?}", self.events.iter().rev().take(30).collect::<Vec<_>>());
    }

    // ---- what happened ----

    pub(crate) fn of<'a>(&'a self, id: HostId) -> impl DoubleEndedIterator<Item = &'a EventKind> {
        self.events.iter().filter(move |(_, host, _)| *host == id).map(|(_, _, event)| event)
    }

    /// The established leader of the newest epoch.
    pub(crate) fn leader(&self) -> Option<HostId> {
        let established = |(_, host, event): &(u64, HostId, EventKind)| match event {
            EventKind::LeaderEstablished { epoch, .. } => Some((*epoch, *host)),
            _ => None,
        };
        self.events.iter().filter_map(established).max_by_key(|(epoch, _)| *epoch).map(|(_, host)| host)
    }

    /// Trees of all running servers, by inspection.
    pub(crate) fn inspect(&mut self) -> BTreeMap<HostId, (Zxid, u64)> {
        let from = self.events.len();
        for id in self.config.servers.clone() {
            if self.runs(id) {
                self.input(id, Input::Inspect);
            }
        }
        let inspected = |(_, host, event): &(u64, HostId, EventKind)| match event {
            EventKind::TreeInspected { zxid, digest, .. } => Some((*host, (*zxid, digest.0))),
            _ => None,
        };
        self.events[from..].iter().filter_map(inspected).collect()
    }

    /// After quiet time: all run, all have the same tree, and nobody disagrees on a transaction.
    pub(crate) fn assert_agreement(&mut self) {
        let trees = self.inspect();
        assert_eq!(trees.len(), self.config.servers.len(), "all servers run");
        let distinct: BTreeSet<_> = trees.values().collect();
        assert_eq!(distinct.len(), 1, "one tree on all servers: {trees:?}");
        self.assert_one_history();
    }

    /// Committed and applied transactions agree, and are in the history of every later leader.
    pub(crate) fn assert_one_history(&self) {
        let mut committed = BTreeMap::new();
        for (_, host, event) in &self.events {
            match event {
                EventKind::TxnCommitted { zxid, digest } | EventKind::TxnApplied { zxid, digest } => {
                    let first = committed.entry(*zxid).or_insert(*digest);
                    assert_eq!(first, digest, "{host} has another {zxid}");
                }
                EventKind::LeaderEstablished { history, .. } if history.len() < 500 => {
                    let first = history.first().map_or(Zxid(u64::MAX), |txn| txn.zxid);
                    let had: BTreeMap<_, _> = history.iter().map(|txn| (txn.zxid, txn.digest)).collect();
                    for (zxid, digest) in committed.range(first..) {
                        assert_eq!(had.get(zxid), Some(digest), "{host} leads without {zxid}");
                    }
                }
                _ => {}
            }
        }
    }
}

fn torn(file: &File) -> Option<Arc<[u8]>> {
    match (&file.visible, &file.durable) {
        (Some(visible), None) => Some(visible[..visible.len() / 2].into()),
        (Some(visible), Some(durable)) if visible.starts_with(durable) => {
            Some(visible[..(visible.len() + durable.len()) / 2].into())
        }
        _ => file.durable.clone(),
    }
}

/// A test's end of a client connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) conn: ConnId,
    pub(crate) session: SessionId,
    pub(crate) password: Password,
    pub(crate) timeout_ms: u64,
    pub(crate) seen: Zxid,
    pub(crate) xid: i32,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            conn: ConnId(0),
            session: SessionId::NONE,
            password: 0,
            timeout_ms: 4000,
            seen: Zxid(0),
            xid: 0,
        }
    }
}
