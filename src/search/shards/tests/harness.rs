//! Harness — decides how the nodes of a test are wired: queues for links, two images for a disk, a controller
//! that does as it is told. It never checks anything.

mod calls;
mod damage;
mod knobs;
pub(super) mod look;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::disk::Disk;
pub(super) use super::disk::Loss;
use crate::{
    core::{CloseReason, ConnId, Deferred, Effect, FileName, Instant, Now, Output},
    defect::Defects,
    event::{CopyState, EventKind, HeldDoc},
    name::{AllocationId, Epoch, HostId, SessionId, ShardId, Term},
    scenario::plan::{ReadPolicy, SearchConfig},
    search::{
        api::GotDoc,
        control::ShardReport,
        settings::SettingsDocument,
        shards::{
            Copies, ReadCall, ShardMessage, ShardNews, ShardRefusal, Shards, ShardsConfig, WriteCall, Written,
        },
        state::{ClusterState, IndexMetadata, NodeEntry, ShardCopy, ShardTable},
        transport::{Ctx, Links},
        wire::{Message, Transport},
    },
};

pub(super) const A: HostId = HostId::search(1);
pub(super) const B: HostId = HostId::search(2);
pub(super) const C: HostId = HostId::search(3);
pub(super) const HOSTS: [HostId; 3] = [A, B, C];

struct Node {
    shards: Shards,
    links: Links,
    out: Output<Message>,
    disk: Disk,
    peers: BTreeMap<ConnId, HostId>,
    /// Syncs that are under way.
    syncing: VecDeque<(FileName, Deferred<Message>)>,
    /// After so many effects the process dies.
    effects_left: Option<usize>,
    effects_done: usize,
    sees_states: bool,
}

/// Nodes, links and a controller.
pub(super) struct Cluster {
    dead: BTreeMap<HostId, Disk>,
    nodes: BTreeMap<HostId, Node>,
    wires: BTreeMap<(HostId, HostId), VecDeque<ShardMessage>>,
    cut: BTreeSet<(HostId, HostId)>,
    pub(super) state: ClusterState,
    pub(super) now: Instant,
    pub(super) events: Vec<(HostId, EventKind)>,
    pub(super) written: BTreeMap<u64, Result<Written, ShardRefusal>>,
    pub(super) got: BTreeMap<u64, Result<Option<GotDoc>, ShardRefusal>>,
    pub(super) refreshed: BTreeMap<u64, Result<(u32, u32), ShardRefusal>>,
    pub(super) reports: Vec<ShardReport>,
    config: ShardsConfig,
    settings: Arc<SettingsDocument>,
    next_token: u64,
    story: Vec<(usize, String)>,
    /// Whether syncs end at once.
    pub(super) disks_are_quick: bool,
    /// Whether reports change the state at once.
    pub(super) controller_acts: bool,
}

pub(super) fn shard() -> ShardId {
    ShardId { index: "articles".into(), number: 0 }
}

pub(super) fn config() -> ShardsConfig {
    let search = SearchConfig {
        session_timeout: Duration::from_secs(4),
        refresh_interval: Duration::from_secs(1),
        delayed_allocation: Duration::from_secs(60),
        request_timeout: Duration::from_secs(2),
        flush_operations: 1_000,
        read_policy: Default::default(),
        write_threads: 1,
    };
    ShardsConfig { search, defects: Defects::default() }
}

pub(super) fn index(id: &str, text: &str) -> WriteCall {
    let source = serde_json::json!({ "text": text }).to_string();
    WriteCall::index(id, source)
}

impl Cluster {
    /// Three nodes; a primary on A and in-sync replicas on the other `copies - 1`, all started.
    pub(super) fn with_copies(copies: usize, config: ShardsConfig) -> Self {
        let mut cluster = Self::empty(config);
        cluster.add_copy(A, CopyState::Initializing);
        cluster.publish();
        for node in [B, C].into_iter().take(copies - 1) {
            cluster.add_copy(node, CopyState::Initializing);
            cluster.publish();
            cluster.run();
        }
        assert!(cluster.table().copies.iter().all(|copy| copy.state == CopyState::Started));
        cluster
    }

    /// Three nodes and an index of one shard without copies.
    pub(super) fn empty(config: ShardsConfig) -> Self {
        let nodes = [A, B, C].map(|host| (host, Node::boot(&config, Disk::default())));
        let entry = NodeEntry::new(SessionId(1), "a");
        let metadata = IndexMetadata {
            uuid: Default::default(),
            replicas: 1,
            read_only_allow_delete: false,
            routing_shards: 1,
            shards: vec![ShardTable { term: Term(1), ..ShardTable::default() }],
        };
        let state = ClusterState {
            epoch: Epoch(1),
            nodes: [A, B, C].map(|host| (host, entry.clone())).into(),
            indices: [("articles".into(), metadata)].into(),
            ..ClusterState::default()
        };
        Self {
            dead: BTreeMap::new(),
            nodes: nodes.into(),
            wires: BTreeMap::new(),
            cut: BTreeSet::new(),
            state,
            now: Instant(1),
            events: Vec::new(),
            written: BTreeMap::new(),
            got: BTreeMap::new(),
            refreshed: BTreeMap::new(),
            reports: Vec::new(),
            config,
            settings: Arc::default(),
            next_token: 1,
            story: Vec::new(),
            disks_are_quick: true,
            controller_acts: true,
        }
    }

    pub(super) fn table(&self) -> &ShardTable {
        self.state.shard(&shard()).unwrap()
    }

    pub(super) fn table_mut(&mut self) -> &mut ShardTable {
        &mut self.state.indices.get_mut(&"articles".into()).unwrap().shards[0]
    }

    /// Puts a copy into the state: the first one is the primary.
    pub(super) fn add_copy(&mut self, node: HostId, state: CopyState) -> AllocationId {
        let allocation = AllocationId((1 << 32) | u64::from(self.state.next_allocation));
        self.state.next_allocation += 1;
        let table = self.table_mut();
        let copy = ShardCopy {
            primary: table.copies.is_empty(),
            state,
            node: Some(node),
            allocation: Some(allocation),
            relocating: None,
            failures: 0,
            unassigned: None,
        };
        table.copies.push(copy);
        allocation
    }

    pub(super) fn copy_on(&self, node: HostId) -> AllocationId {
        let copy = self.table().copies.iter().find(|copy| copy.node == Some(node));
        copy.and_then(|copy| copy.allocation).unwrap()
    }

    /// The state of the moment reaches every node that sees states; then all runs until it is quiet.
    pub(super) fn publish(&mut self) {
        self.state.version += 1;
        let state = Arc::new(self.state.clone());
        for host in self.hosts() {
            if self.nodes[&host].sees_states {
                self.step(host, |shards, ctx| shards.apply(ctx, &state));
            }
        }
        self.run();
    }

    /// Whether newer states reach this node.
    pub(super) fn sees_states(&mut self, host: HostId, sees: bool) {
        self.nodes.get_mut(&host).unwrap().sees_states = sees;
        if sees {
            let state = Arc::new(self.state.clone());
            self.step(host, |shards, ctx| shards.apply(ctx, &state));
        }
    }

    fn hosts(&self) -> Vec<HostId> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn step<T>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&mut Shards, &mut Ctx<'_>) -> T,
    ) -> Option<T> {
        let now = Now { mono: self.now, wall_ms: 0 };
        let node = self.nodes.get_mut(&host)?;
        let mut ctx = Ctx { now, me: host, out: &mut node.out, links: &mut node.links };
        let result = act(&mut node.shards, &mut ctx);
        let news = node.shards.take_news();
        self.carry_out(host);
        // News reach others only through a living process.
        if self.nodes.contains_key(&host) {
            news.into_iter().for_each(|news| self.learn(news));
        }
        Some(result)
    }

    fn learn(&mut self, news: ShardNews) {
        match news {
            ShardNews::Write { token, result } => {
                let before = self.written.insert(token, result);
                assert!(before.is_none(), "a write ends once");
            }
            ShardNews::Get { token, result } => {
                self.got.insert(token, result);
            }
            ShardNews::Refresh { token, result } => {
                self.refreshed.insert(token, result);
            }
            ShardNews::Report(report) => self.reports.push(report),
        }
    }

    fn carry_out(&mut self, host: HostId) {
        let Some(node) = self.nodes.get_mut(&host) else { return };
        let effects: Vec<_> = node.out.drain().collect();
        for effect in effects {
            let node = self.nodes.get_mut(&host).unwrap();
            if node.effects_left == Some(0) {
                return self.die(host);
            }
            node.effects_left = node.effects_left.map(|left| left - 1);
            node.effects_done += 1;
            match effect {
                Effect::Note(event) => self.events.push((host, event)),
                Effect::Dial { conn, to } => {
                    node.peers.insert(conn, to.host);
                }
                Effect::Send { conn, message } => self.put_on_wire(host, conn, message),
                Effect::Close { .. } => {}
                Effect::Disk(op) => node.disk.carry_out(op),
                Effect::AfterSync { file, then } => node.syncing.push_back((file, then)),
                Effect::MeasureDisk => {}
                Effect::Halt { why } => panic!("{why}"),
            }
        }
    }

    fn put_on_wire(&mut self, host: HostId, conn: crate::core::ConnId, message: Message) {
        let Some(peer) = self.nodes[&host].peers.get(&conn).copied() else { return };
        let Message::Transport(Transport::Shard(message)) = message else { panic!("{message:?}") };
        self.wires.entry((host, peer)).or_default().push_back(message);
    }

    /// Puts a line into the story of the test.
    pub(super) fn tell(&mut self, line: String) {
        self.story.push((self.events.len(), line));
    }

    /// Prints what happened, with the lines told in between.
    pub(super) fn tell_story(&self) {
        let mut story = self.story.iter().peekable();
        for (nth, (host, event)) in self.events.iter().enumerate() {
            while let Some((_, line)) = story.next_if(|(at, _)| *at <= nth) {
                println!("{line}");
            }
            println!("{host} {event:?}");
        }
        story.for_each(|(_, line)| println!("{line}"));
    }

    /// Ends the oldest sync of a node.
    pub(super) fn end_sync(&mut self, host: HostId) -> bool {
        self.end_sync_of(host, 0)
    }

    /// Ends the oldest sync of the `nth` file (counted around) that a node syncs: files wait for one another
    /// in no order.
    pub(super) fn end_sync_of(&mut self, host: HostId, nth: usize) -> bool {
        let Some(node) = self.nodes.get_mut(&host) else { return false };
        let files: BTreeSet<FileName> = node.syncing.iter().map(|(file, _)| file.clone()).collect();
        let Some(file) = files.iter().nth(nth % files.len().max(1)) else { return false };
        let at = node.syncing.iter().position(|(other, _)| if nth == 0 { true } else { other == file });
        let Some((file, then)) = at.and_then(|at| node.syncing.remove(at)) else { return false };
        node.disk.sync(&file);
        match then {
            Deferred::Send { conn, message } => self.put_on_wire(host, conn, message),
            Deferred::Tell { token } => {
                self.step(host, |shards, ctx| shards.synced(ctx, token));
            }
            Deferred::Note(event) => self.events.push((host, event)),
        }
        true
    }

    /// Delivers the next message of the `nth` link (counted around) that has one and is not cut.
    pub(super) fn deliver_nth(&mut self, nth: usize) -> bool {
        let open = self.wires.iter().filter(|(link, queue)| !self.cut.contains(link) && !queue.is_empty());
        let open: Vec<_> = open.map(|(link, _)| *link).collect();
        let Some(&(from, to)) = open.get(nth % open.len().max(1)) else { return false };
        let message = self.wires.get_mut(&(from, to)).and_then(VecDeque::pop_front).unwrap();
        self.step(to, |shards, ctx| shards.message(ctx, from, message));
        true
    }

    /// Time passes for those nodes that want to be woken.
    pub(super) fn tick(&mut self, span: Duration) {
        self.now = self.now + span;
        for host in self.hosts() {
            if self
                .nodes
                .get(&host)
                .is_some_and(|node| node.shards.next_wake().is_some_and(|at| at <= self.now))
            {
                self.step(host, Shards::wake);
            }
        }
    }

    /// A state reaches one node.
    pub(super) fn show(&mut self, host: HostId, state: &Arc<ClusterState>) {
        self.tell(format!("{host} sees state {}", state.version));
        self.step(host, |shards, ctx| shards.apply(ctx, state));
    }

    /// The write addressed by what the given state says; none if that shows no primary.
    pub(super) fn write_as_routed(&mut self, state: &ClusterState, call: WriteCall) -> Option<u64> {
        let table = state.shard(&shard())?;
        let primary = table.primary()?;
        let (host, allocation, term) = (primary.node?, primary.allocation?, table.term);
        let token = self.next_token;
        self.next_token += 1;
        self.step(host, |shards, ctx| shards.write(ctx, &shard(), allocation, term, vec![(token, call)]))?;
        Some(token)
    }

    fn deliver(&mut self) -> bool {
        let open = self.wires.iter().find(|(link, queue)| !self.cut.contains(link) && !queue.is_empty());
        let Some((&(from, to), _)) = open else { return false };
        let message = self.wires.get_mut(&(from, to)).and_then(VecDeque::pop_front).unwrap();
        self.step(to, |shards, ctx| shards.message(ctx, from, message));
        true
    }

    /// Delivers what is on the way to one node.
    pub(super) fn deliver_to(&mut self, host: HostId) {
        let links: Vec<_> = self.wires.keys().copied().filter(|(_, to)| *to == host).collect();
        for (from, to) in links {
            for message in self.wires.remove(&(from, to)).unwrap_or_default() {
                self.step(to, |shards, ctx| shards.message(ctx, from, message));
            }
        }
    }

    /// Delivers, syncs and controls until nothing moves.
    pub(super) fn run(&mut self) {
        loop {
            let synced = self.disks_are_quick && self.hosts().into_iter().any(|host| self.end_sync(host));
            if !synced && !self.deliver() && !self.control() {
                return;
            }
        }
    }

    /// Time passes in small steps, with everything running.
    pub(super) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.now = self.now + Duration::from_millis(100);
            for host in self.hosts() {
                let due = self.nodes[&host].shards.next_wake().is_some_and(|at| at <= self.now);
                if due {
                    self.step(host, Shards::wake);
                }
            }
            self.run();
        }
    }

    // As the controller of this design does: started copies join the in-sync set, failed ones leave it, a
    // failed primary is replaced by an in-sync copy in the next term; reports of an older term are refused.
    fn control(&mut self) -> bool {
        if !self.controller_acts || self.reports.is_empty() {
            return false;
        }
        for report in std::mem::take(&mut self.reports) {
            match report {
                ShardReport::Started { allocation, term, .. } => self.mark_started(allocation, term),
                ShardReport::Failed { allocation, term, .. } if term >= self.table().term => {
                    self.mark_failed(allocation);
                }
                ShardReport::Failed { .. } => {}
            }
        }
        self.publish();
        true
    }

    pub(super) fn mark_started(&mut self, allocation: AllocationId, term: Term) {
        let table = self.table_mut();
        let Some(copy) = table.copies.iter_mut().find(|copy| copy.allocation == Some(allocation)) else {
            return;
        };
        if term != table.term || copy.state != CopyState::Initializing {
            return;
        }
        copy.state = CopyState::Started;
        table.in_sync.insert(allocation);
        if let Some(source) = copy.relocating.take() {
            let primary = table.copies.iter().any(|copy| copy.allocation == Some(source) && copy.primary);
            table.copies.retain(|copy| copy.allocation != Some(source));
            table.in_sync.remove(&source);
            let copy = table.copies.iter_mut().find(|copy| copy.allocation == Some(allocation)).unwrap();
            copy.primary = primary;
        }
    }

    /// What the controller does when a copy is gone for good.
    pub(super) fn mark_failed(&mut self, allocation: AllocationId) {
        let table = self.table_mut();
        table.in_sync.remove(&allocation);
        let was_primary = table.copies.iter().any(|copy| copy.allocation == Some(allocation) && copy.primary);
        table.copies.retain(|copy| copy.allocation != Some(allocation));
        if was_primary {
            table.copies.retain(|copy| copy.is_active());
            let in_sync = table.in_sync.clone();
            let next =
                table.copies.iter_mut().find(|copy| copy.allocation.is_some_and(|id| in_sync.contains(&id)));
            if let Some(copy) = next {
                copy.primary = true;
                table.term = table.term.next();
            }
        }
    }

    /// A client writes to the primary on this node.
    pub(super) fn write(&mut self, host: HostId, call: WriteCall) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        let (allocation, term) = self.primary_as_seen(host);
        self.step(host, |shards, ctx| shards.write(ctx, &shard(), allocation, term, vec![(token, call)]));
        token
    }

    fn primary_as_seen(&self, host: HostId) -> (AllocationId, Term) {
        let table = self.nodes[&host].shards.desk.state.shard(&shard()).unwrap();
        (table.primary().unwrap().allocation.unwrap(), table.term)
    }

    pub(super) fn acknowledged(&self, token: u64) -> Option<&Written> {
        self.written.get(&token)?.as_ref().ok()
    }

    pub(super) fn get(&mut self, host: HostId, id: &str) -> Option<String> {
        let token = self.ask(host, id, ReadPolicy::Any);
        let got = self.got.remove(&token).expect("a get of any copy is answered at once");
        got.unwrap().map(|doc| doc.source.to_string())
    }

    /// Begins a get; what it comes to is in `got`.
    pub(super) fn ask(&mut self, host: HostId, id: &str, policy: ReadPolicy) -> u64 {
        let call = ReadCall { id: id.to_owned(), realtime: true, refresh: false, policy };
        self.next_token += 1;
        let token = self.next_token;
        self.step(host, |shards, ctx| shards.get(ctx, token, &shard(), &call));
        token
    }

    /// What a node's active copy holds, and what it finds.
    pub(super) fn inspect(&mut self, host: HostId) -> Option<(Vec<HeldDoc>, Vec<String>)> {
        self.step(host, Shards::inspect);
        match self.events.pop() {
            Some((_, EventKind::CopyInspected { docs, searchable, .. })) => Some((docs, searchable)),
            other => {
                self.events.extend(other);
                None
            }
        }
    }

    /// Messages between two nodes wait.
    pub(super) fn cut(&mut self, one: HostId, other: HostId) {
        self.cut.extend([(one, other), (other, one)]);
    }

    /// Messages in one direction wait.
    pub(super) fn cut_one_way(&mut self, from: HostId, to: HostId) {
        self.cut.insert((from, to));
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    /// What is on the way between two nodes is lost, and both learn that.
    pub(super) fn break_connection(&mut self, one: HostId, other: HostId) {
        for (from, to) in [(one, other), (other, one)] {
            self.wires.remove(&(from, to));
            let Some(node) = self.nodes.get_mut(&from) else { continue };
            let ended: Vec<_> =
                node.peers.extract_if(.., |_, peer| *peer == to).map(|(conn, _)| conn).collect();
            for conn in ended {
                node.links.closed(conn, CloseReason::Reset, &mut Output::default());
            }
            for _ in 0..node.links.take_lost().len() {
                self.step(from, |shards, ctx| shards.peer_lost(ctx, to));
            }
        }
    }

    /// After so many more effects the process on this node dies.
    pub(super) fn die_after(&mut self, host: HostId, effects: usize) {
        self.nodes.get_mut(&host).unwrap().effects_left = Some(effects);
    }

    /// No process dies of [`Self::die_after`] any more.
    pub(super) fn spare_all(&mut self) {
        self.nodes.values_mut().for_each(|node| node.effects_left = None);
    }

    /// How many effects a node has carried out.
    pub(super) fn effects_done(&self, host: HostId) -> Option<usize> {
        self.nodes.get(&host).map(|node| node.effects_done)
    }

    fn die(&mut self, host: HostId) {
        let node = self.nodes.remove(&host).unwrap();
        self.dead.insert(host, node.disk);
        for peer in self.hosts() {
            self.break_connection(peer, host);
        }
    }

    pub(super) fn is_alive(&self, host: HostId) -> bool {
        self.nodes.contains_key(&host)
    }

    /// The process dies now.
    pub(super) fn kill(&mut self, host: HostId) {
        self.tell(format!("{host} dies"));
        self.die(host);
    }

    /// The process starts again on what the crash has left.
    pub(super) fn restart(&mut self, host: HostId, loss: Loss) {
        self.tell(format!("{host} starts after losing {loss:?}"));
        let mut disk = self.dead.remove(&host).unwrap();
        disk.crash(loss);
        let mut node = Node::boot(&self.config, disk);
        node.shards.apply_settings(&self.settings);
        self.nodes.insert(host, node);
    }

    /// Damages every durable file whose name ends so.
    pub(super) fn rot(&mut self, host: HostId, suffix: &str) {
        let disk = self.dead.get_mut(&host).unwrap();
        for (file, bytes) in disk.durable.iter_mut().filter(|(file, _)| file.ends_with(suffix)) {
            let mut rotten = bytes.to_vec();
            assert!(!rotten.is_empty(), "{file}");
            rotten[0] ^= 1;
            *bytes = rotten.into();
        }
        disk.volatile.clone_from(&disk.durable);
    }
}

impl Node {
    fn boot(config: &ShardsConfig, disk: Disk) -> Self {
        Self {
            shards: Shards::boot(config.clone(), &disk.volatile),
            links: Links::default(),
            out: Output::default(),
            disk,
            peers: BTreeMap::new(),
            syncing: VecDeque::new(),
            effects_left: None,
            effects_done: 0,
            sees_states: true,
        }
    }
}
