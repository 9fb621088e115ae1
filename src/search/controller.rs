//! Controller — decides what the next cluster state is and writes it, fenced by its epoch. It never decides
//! who is controller (`zookeeper::recipes`) nor where copies go (`allocation`).
//!
//! The winner of the election draws an epoch from a counter before it acts. Each write of the state is a
//! multi that checks the counter's version as of that draw: as soon as somebody has drawn after us, none of
//! our writes succeeds, however long we slept. One write is under way at a time; whatever comes in meanwhile
//! is folded into the next one. A write whose answer was lost is looked up, and sent again as it was, before
//! anything else.

use std::{collections::BTreeMap, time::Duration};

use super::{
    allocation::{self, Allocator, AllocatorFactory, ClusterInfo, Deadlines, Inputs, Lineage, Settings},
    control::ShardReport,
    discovery::{CONTROLLER_EPOCH, STATE},
    state::{ClusterState, NodeEntry},
    tasks::{Answer, Task, Tasks},
    transport::Ctx,
};
use crate::{
    core::Instant,
    event::{EventKind, Word},
    name::{Epoch, HostId, IndexName, SessionId},
    zookeeper::{
        client::{Client, ClientNews, ClientState, RequestId},
        recipes::{Drawn, EpochCounter, FreshRead},
        wire::{Data, Op, Reply, Stat, ZkError},
    },
};

/// Whether a controller writes under the protection of its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// Every write checks the epoch, and the end of the session is the end of the office.
    Epoch,
    /// KAFKA-6082: writes check nothing, and go on until the controller happens to hear of another epoch.
    None,
}

/// Settings of a [`Controller`].
#[derive(Debug, Clone)]
pub struct ControllerConfig {
    /// This node.
    pub me: HostId,
    /// What makes its allocator.
    pub allocator: AllocatorFactory,
    /// From which copies a primary may come.
    pub lineage: Lineage,
    /// How long a replica waits for its node to return.
    pub delayed_allocation: Duration,
    /// Whether writes are fenced.
    pub fence: Fence,
}

/// The controller's part of a node; idle while another node has the office.
#[derive(Debug)]
pub struct Controller {
    config: ControllerConfig,
    counter: EpochCounter,
    fresh: FreshRead,
    phase: Phase,
    members: Option<BTreeMap<HostId, NodeEntry>>,
    tasks: Tasks,
    /// Something may have to be decided.
    stale: bool,
    /// A write is due even if nothing has changed.
    forced: bool,
    deadlines: Deadlines,
    decided_at: Instant,
    allocator: Box<dyn Allocator>,
    /// The version of the settings, and the nodes, that were noted last.
    noted: Option<(u64, BTreeMap<HostId, NodeEntry>)>,
    /// What the allocator goes by, as read from the state's settings.
    settings: Settings,
    info: ClusterInfo,
}

/// How far a controller has come.
#[derive(Debug)]
enum Phase {
    /// It is not the controller.
    Off,
    /// It has won, and draws its epoch.
    Drawing,
    /// It has its epoch, and reads the state it takes over.
    Reading(Drawn),
    /// It acts.
    Acting(Box<Office>),
}

/// What an acting controller holds.
#[derive(Debug)]
struct Office {
    drawn: Drawn,
    /// The newest state that is known to be written.
    state: ClusterState,
    /// The data version of its znode.
    version: i32,
    write: Option<Write>,
}

/// A write that is not known to have succeeded.
#[derive(Debug)]
struct Write {
    state: ClusterState,
    why: String,
    answers: Vec<Answer>,
    step: Step,
}

/// How a write stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Its answer is due.
    Asked(RequestId),
    /// Its answer was lost with the connection.
    Lost,
    /// The znode is being read, to see what became of it.
    LookedUp,
}

impl Controller {
    /// A controller that is not in office.
    pub fn new(config: ControllerConfig) -> Self {
        Self {
            counter: EpochCounter::new(CONTROLLER_EPOCH),
            fresh: FreshRead::new(STATE),
            phase: Phase::Off,
            members: None,
            tasks: Tasks::default(),
            stale: false,
            forced: false,
            deadlines: Deadlines::new(),
            decided_at: Instant(0),
            allocator: config.allocator.make(),
            settings: Settings::default(),
            noted: None,
            info: ClusterInfo::default(),
            config,
        }
    }

    /// Whether it has, or is about to take, the office.
    pub fn is_on(&self) -> bool {
        !matches!(self.phase, Phase::Off)
    }

    /// Its epoch, once drawn.
    pub fn epoch(&self) -> Option<Epoch> {
        match &self.phase {
            Phase::Off | Phase::Drawing => None,
            Phase::Reading(drawn) => Some(drawn.epoch),
            Phase::Acting(office) => Some(office.drawn.epoch),
        }
    }

    /// This node has won the election.
    pub fn elected(&mut self, ctx: &mut Ctx<'_>, client: &mut Client) {
        self.resign(ctx, "elected anew");
        self.phase = Phase::Drawing;
        self.allocator = self.config.allocator.make();
        self.noted = None;
        self.counter.begin(client);
    }

    /// Gives the office up.
    pub fn resign(&mut self, ctx: &mut Ctx<'_>, why: impl Into<Word>) {
        if let Some(epoch) = self.epoch() {
            ctx.out.note(EventKind::ControllerResigned { epoch, why: why.into() });
        }
        self.phase = Phase::Off;
        self.counter.stop();
        self.fresh.stop();
        self.tasks = Tasks::default();
        self.members = None;
        self.deadlines.clear();
    }

    /// The session is over, or the ticket is gone. An unfenced controller does not care.
    pub fn ticket_lost(&mut self, ctx: &mut Ctx<'_>, why: &'static str) {
        let goes_on = self.config.fence == Fence::None && matches!(self.phase, Phase::Acting(_));
        if !goes_on {
            self.resign(ctx, why);
        }
    }

    /// Another controller's state was seen.
    pub fn observed(&mut self, ctx: &mut Ctx<'_>, epoch: Epoch) {
        if self.epoch().is_some_and(|own| own < epoch) {
            self.resign(ctx, "another controller has drawn a later epoch");
        }
    }

    /// The registered nodes, with their sessions.
    pub fn members(&mut self, members: BTreeMap<HostId, NodeEntry>) {
        self.members = Some(members);
        self.stale = true;
    }

    /// A node reports on a copy.
    pub fn report(&mut self, from: HostId, session: SessionId, report: ShardReport) {
        if self.is_on() {
            self.tasks.add(Task::Report { from, session, report });
            self.stale = true;
        }
    }

    /// A node wants an index made.
    pub fn create_index(&mut self, ctx: &mut Ctx<'_>, task: Task) {
        if !self.is_on() {
            return;
        }
        let under_way = match &self.phase {
            Phase::Acting(office) => office.write.as_ref().map_or(&[][..], |write| &write.answers),
            _ => &[],
        };
        if let Some(answer) = self.tasks.add_once(task, under_way) {
            answer.send(ctx);
        }
        self.stale = true;
    }

    /// When it wants to be woken: at the next deadline of a delayed allocation; never, if it waits for
    /// contact or for an answer anyway.
    pub fn next_wake(&self) -> Option<Instant> {
        let next = self.deadlines.values().copied().filter(|deadline| *deadline > self.decided_at).min();
        next.filter(|_| !self.stale)
    }

    /// Takes a piece of news.
    pub fn news(&mut self, ctx: &mut Ctx<'_>, client: &mut Client, news: &ClientNews) {
        if let Some(drawn) = self.counter.news(client, news) {
            ctx.out.note(EventKind::ControllerElected { epoch: drawn.epoch });
            self.phase = Phase::Reading(drawn);
            self.fresh.begin(client);
        }
        if let Some((data, stat)) = self.fresh.news(client, news) {
            self.read(ctx, client, &data, stat);
        }
        match news {
            ClientNews::Reply { id, result } if self.awaits(*id) => self.written(ctx, client, result),
            ClientNews::State(ClientState::Connected) => self.reconnected(ctx, client),
            _ => {}
        }
    }

    /// Writes the next state, if there is anything to decide, no write is under way, and the session is known
    /// to live: a controller without contact for 2/3 of its timeout is silent until it hears again.
    pub fn act(&mut self, ctx: &mut Ctx<'_>, client: &mut Client) {
        let now = ctx.now.mono;
        self.stale |= self.next_wake().is_some_and(|deadline| deadline <= now);
        let certain = client.is_certainly_alive(now) || self.config.fence == Fence::None;
        if !self.stale || !certain || client.state() != ClientState::Connected {
            return;
        }
        let Phase::Acting(office) = &self.phase else { return };
        if office.write.is_none() && self.members.is_some() {
            self.stale = false;
            self.decide(ctx, client);
        }
    }

    /// Folds everything that has come in into one next state.
    fn decide(&mut self, ctx: &mut Ctx<'_>, client: &mut Client) {
        let (Phase::Acting(office), Some(members)) = (&mut self.phase, &self.members) else { return };
        let now = ctx.now.mono;
        self.decided_at = now;
        let mut next = office.state.clone();
        next.enter_epoch(office.drawn.epoch, self.config.me);
        next.commanded.clear();
        let mut why = next.set_members(members);
        let answers = self.tasks.apply(&mut next, &mut why);
        if next.settings.version != self.settings.version {
            self.settings = Settings::of(&next.settings);
        }
        let delay = |index: &_| self.settings.index(index).delayed_timeout;
        let deadline = |index: &_| now + delay(index).unwrap_or(self.config.delayed_allocation);
        note_deadlines(&mut self.deadlines, &next, deadline);
        let (settings, info, deadlines) = (&self.settings, &self.info, &self.deadlines);
        let inputs = Inputs { settings, info, deadlines, now, lineage: self.config.lineage };
        let rerouted = allocation::allocate(&mut *self.allocator, next, inputs);
        why.extend(rerouted.moves.iter().map(ToString::to_string));
        why.extend(rerouted.refused.iter().map(|refused| format!("not done: {refused}")));
        let forced = std::mem::take(&mut self.forced);
        if is_same(&rerouted.state, &office.state) && !forced {
            return self.tasks.answer(ctx, answers);
        }
        let mut state = rerouted.state;
        state.note_unassigned(ctx.now.wall_ms);
        state.version += 1;
        let why = if why.is_empty() { "took office".to_owned() } else { why.join("; ") };
        office.write = Some(Write { state, why, answers, step: Step::Lost });
        self.send(client);
    }

    fn send(&mut self, client: &mut Client) {
        let Phase::Acting(office) = &mut self.phase else { return };
        let Office { drawn, version, write: Some(write), .. } = &mut **office else { return };
        let (path, data) = (STATE.to_owned(), Some(write.state.to_bytes()));
        let op = match self.config.fence {
            Fence::Epoch => Op::Multi(vec![
                Op::Check { path: CONTROLLER_EPOCH.to_owned(), version: drawn.version },
                Op::SetData { path, data, version: *version },
            ]),
            Fence::None => Op::SetData { path, data, version: -1 },
        };
        write.step = Step::Asked(client.ask(op));
    }

    fn awaits(&self, id: RequestId) -> bool {
        let Phase::Acting(office) = &self.phase else { return false };
        office.write.as_ref().is_some_and(|write| write.step == Step::Asked(id))
    }

    fn written(&mut self, ctx: &mut Ctx<'_>, client: &mut Client, result: &Result<Reply, ZkError>) {
        let results = match result {
            Ok(Reply::Multi(results)) => results,
            other => std::slice::from_ref(other),
        };
        match results {
            [Ok(_), Ok(Reply::Stat(stat))] | [Ok(Reply::Stat(stat))] => self.published(ctx, *stat),
            [Err(_)] => self.step(Step::Lost),
            [Err(_), Err(ZkError::RuntimeInconsistency)] => self.resign(ctx, "fenced: its epoch is over"),
            _ => self.look_up(client),
        }
    }

    fn step(&mut self, step: Step) {
        let Phase::Acting(office) = &mut self.phase else { return };
        office.write.iter_mut().for_each(|write| write.step = step);
    }

    fn look_up(&mut self, client: &mut Client) {
        self.step(Step::LookedUp);
        self.fresh.begin(client);
    }

    /// What has become of a write whose answer was lost has to be known before the next one. An unfenced
    /// controller just writes again, whoever else may have written since, and before it looks around.
    fn reconnected(&mut self, ctx: &mut Ctx<'_>, client: &mut Client) {
        let Phase::Acting(office) = &self.phase else { return };
        let lost = office.write.as_ref().is_some_and(|write| write.step == Step::Lost);
        match (self.config.fence, lost) {
            (Fence::Epoch, true) => self.look_up(client),
            (Fence::None, true) => self.send(client),
            (Fence::None, false) => {
                (self.stale, self.forced) = (true, true);
                self.act(ctx, client);
            }
            (Fence::Epoch, false) => {}
        }
    }

    /// The state as it is in ZooKeeper: to take over, or to see what became of a write.
    fn read(&mut self, ctx: &mut Ctx<'_>, client: &mut Client, data: &Data, stat: Stat) {
        let found = ClusterState::from_bytes(data.as_deref());
        if let Some(found) = &found {
            self.observed(ctx, found.epoch);
        }
        match &mut self.phase {
            Phase::Reading(drawn) => {
                // What cannot be read is not thrown away: the office waits until somebody has repaired it.
                let Some(state) = found else { return };
                let office = Office { drawn: *drawn, state, version: stat.version, write: None };
                self.phase = Phase::Acting(Box::new(office));
                self.stale = true;
            }
            Phase::Acting(office) => {
                let is_there =
                    office.write.as_ref().is_some_and(|write| found.as_ref() == Some(&write.state));
                office.version = stat.version;
                if is_there {
                    self.published(ctx, stat);
                } else {
                    self.send(client);
                }
            }
            Phase::Off | Phase::Drawing => {}
        }
    }

    /// The state's znode has changed under a controller that waits for one it can read.
    pub fn state_changed(&mut self, client: &mut Client) {
        if matches!(self.phase, Phase::Reading(_)) {
            self.fresh.begin(client);
        }
    }

    fn published(&mut self, ctx: &mut Ctx<'_>, stat: Stat) {
        let Phase::Acting(office) = &mut self.phase else { return };
        let Some(Write { state, why, answers, .. }) = office.write.take() else { return };
        note_inputs(ctx, &mut self.noted, &state);
        ctx.out.note(EventKind::StatePublished {
            epoch: state.epoch,
            version: state.version,
            nodes: state.nodes.keys().copied().collect(),
            routing: state.placements(),
            unlisted: state.unlisted(),
            why,
        });
        office.state = state;
        office.version = stat.version;
        self.tasks.answer(ctx, answers);
    }
}

/// Notes what allocation went by, if anything is set and it has changed since; and what was ordered.
fn note_inputs(
    ctx: &mut Ctx<'_>,
    noted: &mut Option<(u64, BTreeMap<HostId, NodeEntry>)>,
    state: &ClusterState,
) {
    let is_plain = state.settings.version == 0 && state.nodes.values().all(|node| node.attributes.is_empty());
    let is_noted = |noted: &(u64, BTreeMap<HostId, NodeEntry>)| {
        noted.0 == state.settings.version && noted.1 == state.nodes
    };
    if !is_plain && !noted.as_ref().is_some_and(is_noted) {
        *noted = Some((state.settings.version, state.nodes.clone()));
        let all = |node: &NodeEntry| {
            let zone = ("zone".to_owned(), node.zone.clone());
            node.attributes.clone().into_iter().chain([zone]).collect()
        };
        let indices = state.settings.indices.iter();
        ctx.out.note(EventKind::AllocationInputs {
            cluster: state.settings.cluster.0.clone(),
            indices: indices.map(|(index, set)| (index.clone(), set.0.clone())).collect(),
            attributes: state.nodes.iter().map(|(host, node)| (*host, all(node))).collect(),
        });
    }
    if !state.commanded.is_empty() {
        ctx.out.note(EventKind::RerouteCommanded { shards: state.commanded.iter().cloned().collect() });
    }
}

/// Whether nothing has changed; that commands were carried out with the former state is nothing.
fn is_same(next: &ClusterState, former: &ClusterState) -> bool {
    if former.commanded.is_empty() || !next.commanded.is_empty() {
        return next == former;
    }
    ClusterState { commanded: former.commanded.clone(), ..next.clone() } == *former
}

/// Notes since when each replica waits for a node that is away. The clock starts when this controller first
/// sees it: what has passed under an earlier one is forgotten.
fn note_deadlines(deadlines: &mut Deadlines, state: &ClusterState, deadline: impl Fn(&IndexName) -> Instant) {
    let is_away = |id: &_| !state.homes.get(id).is_some_and(|home| state.nodes.contains_key(home));
    let mut waiting = Deadlines::new();
    for (index, metadata) in &state.indices {
        let copies = metadata.shards.iter().flat_map(|table| &table.copies);
        let unassigned = copies.filter(|copy| copy.node.is_none() && !copy.primary);
        for id in unassigned.filter_map(|copy| copy.allocation).filter(is_away) {
            waiting.insert(id, deadlines.get(&id).copied().unwrap_or_else(|| deadline(index)));
        }
    }
    *deadlines = waiting;
}
