//! Tests of the control part — decides how three nodes without data hang together around a fake ensemble.
//! It never looks at shards beyond where they are.

mod administration;
mod disks;
mod fence;
mod loss;
mod membership;
mod rules;

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    core::{Core, Effect, Input, Now, Output, Port},
    event::{CopyState, EventKind},
    name::{Epoch, IndexUuid},
    scenario::plan::SearchConfig,
    search::{
        soundness::assert_sound,
        transport::Links,
        wire::{Message, Transport},
    },
    zookeeper::{
        client::bench::{Bench, Speaks},
        wire::{ClientFrame, Op},
    },
};

/// A node without data: copies that the state puts on it start at once.
struct Node {
    me: HostId,
    control: Control,
    links: Links,
    dialed: BTreeMap<ConnId, HostId>,
    accepted: BTreeMap<ConnId, HostId>,
    /// Whether copies start by themselves.
    eager: bool,
    /// Whether it tells what it has applied.
    tells: bool,
    wishes: Vec<(u64, AdminTask)>,
    inquiries: Vec<(u64, AdminCall)>,
    stats: Vec<NodeStats>,
    news: Vec<ControlNews>,
}

fn search_config() -> SearchConfig {
    SearchConfig {
        session_timeout: seconds(4),
        refresh_interval: seconds(1),
        delayed_allocation: seconds(10),
        request_timeout: seconds(5),
        flush_operations: 100,
        read_policy: Default::default(),
        write_threads: 1,
    }
}

fn node(me: HostId, defects: &[Defect]) -> Node {
    node_with(me, defects, search_config())
}

fn node_with(me: HostId, defects: &[Defect], search: SearchConfig) -> Node {
    let config = ControlConfig {
        me,
        zone: "a".to_owned(),
        attributes: Default::default(),
        allocator: Default::default(),
        servers: vec![HostId::zookeeper(1), HostId::zookeeper(2), HostId::zookeeper(3)],
        search,
        defects: Defects(defects.iter().copied().collect()),
    };
    Node {
        me,
        control: Control::new(config, Entropy::new(u64::from(me.number))),
        links: Links::default(),
        dialed: BTreeMap::new(),
        accepted: BTreeMap::new(),
        eager: true,
        tells: true,
        wishes: Vec::new(),
        inquiries: Vec::new(),
        stats: Vec::new(),
        news: Vec::new(),
    }
}

impl Node {
    fn take(&mut self, ctx: &mut Ctx<'_>, input: Input<Message>) {
        match input {
            Input::Start => self.control.start(ctx),
            Input::Wake => self.control.wake(ctx),
            Input::Connected { conn } if self.control.owns(conn) => self.control.connected(ctx, conn),
            Input::Accepted { conn, from, .. } => drop(self.accepted.insert(conn, from)),
            Input::Received { conn, message: Message::FromZooKeeper(frame) } => {
                self.control.received(ctx, conn, frame);
            }
            Input::Received { conn, message: Message::Transport(Transport::Control(message)) } => {
                let from = self.accepted.get(&conn).copied();
                from.into_iter().for_each(|from| self.control.message(ctx, from, message.clone()));
            }
            Input::Closed { conn, reason } if self.control.owns(conn) => {
                self.control.closed(ctx, conn, reason);
            }
            Input::Closed { conn, .. } => {
                if let Some(peer) = self.dialed.remove(&conn) {
                    *ctx.links = Links::default();
                    self.control.peer_lost(ctx, peer);
                }
            }
            _ => {}
        }
        for (token, call) in std::mem::take(&mut self.inquiries) {
            self.control.administer(ctx, token, call);
        }
        let session = self.control.session().unwrap_or(SessionId::NONE);
        for stats in std::mem::take(&mut self.stats) {
            ctx.send(A, Transport::Control(ControlMessage::Stats { session, stats }));
        }
        for (token, task) in std::mem::take(&mut self.wishes) {
            let (timeout, master_timeout) = (seconds(3), seconds(5));
            let what = Wanted::Change { task, timeout };
            self.control.administer(ctx, token, AdminCall { what, master_timeout });
        }
    }

    /// Reports every copy that the newest state puts here to be built.
    fn recover(&mut self, ctx: &mut Ctx<'_>) {
        let Some(state) = self.control.state().cloned().filter(|_| self.eager) else { return };
        for (shard, table) in state.shards() {
            let here = table.on(self.me).filter(|copy| copy.state == CopyState::Initializing);
            if let Some(allocation) = here.and_then(|copy| copy.allocation) {
                self.control.report(ctx, ShardReport::Started { shard, allocation, term: table.term });
            }
        }
    }

    fn answers(&self) -> Vec<(u64, Result<Granted, String>)> {
        let answers = self.news.iter().filter_map(|news| match news {
            ControlNews::Answer { token, result } => {
                Some((*token, result.clone().map_err(|error| error.kind.into_owned())))
            }
            _ => None,
        });
        answers.collect()
    }
}

impl Core for Node {
    type Message = Message;

    fn step(&mut self, now: Now, input: Input<Message>, out: &mut Output<Message>) {
        let before = out.effects().len();
        let mut links = std::mem::take(&mut self.links);
        let mut ctx = Ctx { now, me: self.me, out, links: &mut links };
        self.take(&mut ctx, input);
        loop {
            let news = self.control.take_news();
            let local = ctx.links.take_local();
            if news.is_empty() && local.is_empty() {
                break;
            }
            for news in &news {
                if let ControlNews::State(state) = news
                    && self.tells
                {
                    self.control.state_applied(&mut ctx, state);
                }
            }
            self.news.extend(news);
            self.recover(&mut ctx);
            for message in local {
                #[allow(irrefutable_let_patterns, reason = "the other parts may have nothing to say")]
                if let Transport::Control(message) = message {
                    self.control.message(&mut ctx, self.me, message);
                }
            }
        }
        for effect in &out.effects()[before..] {
            if let Effect::Dial { conn, to } = effect
                && to.port == Port::Transport
            {
                self.dialed.insert(*conn, to.host);
            }
        }
        self.links = links;
    }

    fn next_wake(&self) -> Option<Instant> {
        self.control.next_wake()
    }
}

impl Speaks for Node {
    fn to_zookeeper(message: Message) -> Option<ClientFrame> {
        match message {
            Message::ToZooKeeper(frame) => Some(frame),
            _ => None,
        }
    }

    fn from_zookeeper(frame: ServerFrame) -> Message {
        Message::FromZooKeeper(frame)
    }
}

const A: HostId = HostId::search(1);
const B: HostId = HostId::search(2);
const C: HostId = HostId::search(3);
const ALL: [HostId; 3] = [A, B, C];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Three nodes, A the controller.
fn cluster(defects: &[Defect]) -> Bench<Node> {
    let mut bench = Bench::new();
    for host in ALL {
        bench.start(host, node(host, defects));
        bench.run(seconds(1));
    }
    bench
}

/// The same, with an index of 2 shards with 1 replica, green.
fn green(defects: &[Defect]) -> Bench<Node> {
    let mut bench = cluster(defects);
    wish(&mut bench, B, 1, "articles");
    bench.run(seconds(2));
    assert_green(&mut bench, &ALL);
    bench
}

const DONE: Result<Granted, String> = Ok(Granted::Change { acknowledged: true });

/// An index of 2 shards with 1 replica.
fn wish(bench: &mut Bench<Node>, host: HostId, token: u64, index: &'static str) {
    let settings = [("number_of_shards".to_owned(), "2".to_owned())].into();
    let uuid = IndexUuid(u64::from(host.number) << 32 | token);
    ask(bench, host, token, AdminTask::CreateIndex { index: index.into(), uuid, settings });
}

fn ask(bench: &mut Bench<Node>, host: HostId, token: u64, task: AdminTask) {
    bench.core(host).wishes.push((token, task));
    bench.step(host, Input::Wake);
}

fn is_alive(bench: &mut Bench<Node>, host: HostId) -> bool {
    let now = Instant(bench.now);
    bench.core(host).control.is_certainly_alive(now)
}

fn state(bench: &mut Bench<Node>, host: HostId) -> Arc<ClusterState> {
    bench.core(host).control.state().cloned().unwrap()
}

fn assert_green(bench: &mut Bench<Node>, hosts: &[HostId]) {
    let newest = state(bench, hosts[0]);
    assert_sound(&newest);
    assert_eq!(newest.nodes.keys().copied().collect::<Vec<_>>(), hosts);
    let mut copies = newest.shards().flat_map(|(_, table)| &table.copies);
    assert!(copies.all(|copy| copy.state == CopyState::Started), "{newest:?}");
    for host in hosts {
        assert_eq!(state(bench, *host), newest, "every node has applied the same state");
    }
}

/// (epoch, version) of every published state, in order.
fn published(bench: &Bench<Node>) -> Vec<(Epoch, u64)> {
    let states = bench.notes(None).filter_map(|event| match event {
        EventKind::StatePublished { epoch, version, .. } => Some((*epoch, *version)),
        _ => None,
    });
    states.collect()
}

fn assert_forward(bench: &Bench<Node>) {
    let published = published(bench);
    assert!(published.is_sorted_by(|a, b| a < b), "epoch and version only rise: {published:?}");
    let versions: Vec<u64> = published.iter().map(|(_, version)| *version).collect();
    assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>(), "one more for each write");
}

fn elected(bench: &Bench<Node>, host: HostId) -> Vec<Epoch> {
    let epochs = bench.notes(Some(host)).filter_map(|event| match event {
        EventKind::ControllerElected { epoch } => Some(*epoch),
        _ => None,
    });
    epochs.collect()
}

fn resigned(bench: &Bench<Node>, host: HostId) -> usize {
    let is_it = |event: &&EventKind| matches!(event, EventKind::ControllerResigned { .. });
    bench.notes(Some(host)).filter(is_it).count()
}
