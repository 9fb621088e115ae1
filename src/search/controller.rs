//! Controller — decides what the next cluster state is and writes it, fenced by its epoch. It never decides
//! who is controller (`zookeeper::recipes`) nor where copies go (`allocation`).
//!
//! The winner of the election draws an epoch from a counter before it acts. Each write of the state is a
//! multi that checks the counter's version as of that draw: as soon as somebody has drawn after us, none of
//! our writes succeeds, however long we slept. The settings that a state goes by and the notice of what it
//! changes are in the same multi. One write is under way at a time; whatever comes in meanwhile is folded into
//! the next one. A write whose answer was lost is looked up, and sent again as it was, before anything else.

mod decide;
mod pages;
mod write;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use self::{
    decide::note_inputs,
    pages::{Both, Pages},
    write::{Outcome, Step, Versions, Write, document, outcome},
};
use super::{
    acknowledgements::{Acknowledgements, Applied},
    administration::STATE_BYTES_MAX,
    allocation::{
        Allocator, AllocatorFactory, ClusterInfo, Deadlines, Inputs, Lineage, Settings, allocate, explain,
        info::{DiskUsage, NodeStats},
        reroute,
    },
    api::{
        ApiError,
        admin::{NodeList, NodeStanding, PendingTasks, Rerouted},
    },
    control::{Granted, Inquiry, ShardReport},
    coordination::Position,
    discovery::{CLUSTER_NOTICES, CONTROLLER_EPOCH},
    notices::{self, Announcement},
    settings::SettingsDocument,
    state::{ClusterState, NodeEntry},
    tasks::{Answer, Task, Tasks},
    transport::Ctx,
};
use crate::{
    core::Instant,
    event::{EventKind, Word},
    name::{Epoch, HostId, SessionId},
    scenario::plan::ReadPolicy,
    zookeeper::{
        client::{Client, ClientNews, ClientState, RequestId},
        recipes::{Drawn, EpochCounter, notification::Trimmer},
        wire::{Reply, ZkError},
    },
};

/// How long a node may take to apply a state before it counts as lagging (`cluster.follower_lag.timeout`).
const FOLLOWER_LAG: Duration = Duration::from_secs(90);

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
    /// Which copies answer gets: under `lease`, a primary must know that it is to go before another one comes.
    pub read_policy: ReadPolicy,
    /// Whether writes are fenced.
    pub fence: Fence,
}

/// The last state that a node has read, and the data version of its znode then.
pub type LastGood = Option<(Arc<ClusterState>, i32)>;

/// The controller's part of a node; idle while another node has the office.
#[derive(Debug)]
pub struct Controller {
    config: ControllerConfig,
    counter: EpochCounter,
    pages: Pages,
    trimmer: Trimmer,
    phase: Phase,
    members: Option<BTreeMap<HostId, NodeEntry>>,
    tasks: Tasks,
    acks: Acknowledgements<Answer>,
    /// Something may have to be decided.
    stale: bool,
    /// A write is due even if nothing has changed.
    forced: bool,
    deadlines: Deadlines,
    decided_at: Instant,
    looked_at: Instant,
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
    /// The document of settings that is known to be written; none: what is there is not whole.
    document: Option<Arc<SettingsDocument>>,
    versions: Versions,
    write: Option<Write>,
}

impl Controller {
    /// A controller that is not in office.
    pub fn new(config: ControllerConfig) -> Self {
        Self {
            counter: EpochCounter::new(CONTROLLER_EPOCH),
            pages: Pages::new(),
            trimmer: Trimmer::new(CLUSTER_NOTICES, notices::RETAINED),
            phase: Phase::Off,
            members: None,
            tasks: Tasks::default(),
            acks: Acknowledgements::default(),
            stale: false,
            forced: false,
            deadlines: Deadlines::new(),
            decided_at: Instant(0),
            looked_at: Instant(0),
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

    /// Tasks that wait for the next write.
    pub fn pending_tasks(&self) -> u32 {
        self.tasks.len() as u32
    }

    /// This node has won the election.
    pub fn elected(&mut self, ctx: &mut Ctx<'_>, client: &mut Client) {
        self.resign(ctx, "elected anew");
        self.phase = Phase::Drawing;
        self.allocator = self.config.allocator.make();
        self.info = ClusterInfo::default();
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
        self.pages.stop();
        self.tasks = Tasks::default();
        self.acks = Acknowledgements::default();
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

    /// A node says which state and settings it has applied.
    pub fn applied(&mut self, from: HostId, session: SessionId, applied: Applied) {
        if self.is_on() {
            self.acks.heard(from, session, applied);
            self.stale |= self.tasks.await_nodes();
        }
    }

    /// A node says how full its disk is. What an earlier life of it says is not heard.
    pub fn measured(&mut self, ctx: &mut Ctx<'_>, from: HostId, session: SessionId, stats: &NodeStats) {
        let is_of = |entry: &NodeEntry| entry.session == session;
        if self.is_on() && self.members.as_ref().and_then(|members| members.get(&from)).is_some_and(is_of) {
            let DiskUsage { total, free } = stats.disk;
            ctx.out.note(EventKind::DiskReported { node: from, total, free });
            self.info.report(from, stats, ctx.now.mono);
            self.stale = true;
        }
    }

    /// A node wants something changed.
    pub fn administer(&mut self, ctx: &mut Ctx<'_>, task: Task) {
        if !self.is_on() {
            return;
        }
        let written = match &self.phase {
            Phase::Acting(office) => office.write.as_ref().map_or(&[][..], |write| &write.answers),
            _ => &[],
        };
        if let Some(answer) = self.tasks.add_once(task, written.iter().chain(self.acks.waiting())) {
            answer.send(ctx);
        }
        self.stale = true;
    }

    /// A node wants to know something: answered at once by an acting controller, by no other.
    pub fn inquire(&self, now: Instant, inquiry: Inquiry) -> Option<Result<Granted, ApiError>> {
        let Phase::Acting(office) = &self.phase else { return None };
        Some(match inquiry {
            Inquiry::PendingTasks => Ok(Granted::PendingTasks(PendingTasks { count: self.pending_tasks() })),
            Inquiry::Nodes => Ok(Granted::Nodes(self.list_nodes(&office.state))),
            Inquiry::Explain(subject) => {
                let explanation = explain::explain(&office.state, subject.as_ref(), self.inputs(now));
                explanation.map(|explanation| Granted::Explained(Box::new(explanation)))
            }
            Inquiry::DryRun(orders) => self.dry_run(&office.state, &orders, now).map(Granted::Rerouted),
        })
    }

    /// What would become of the state: the commands, and what the allocator would then do by itself.
    fn dry_run(
        &self,
        state: &ClusterState,
        orders: &reroute::Orders,
        now: Instant,
    ) -> Result<Rerouted, ApiError> {
        let (state, explanations) = reroute::apply(state.clone(), orders, self.inputs(now))?;
        let allocated = allocate(&mut *self.config.allocator.make(), state, self.inputs(now));
        let state = Some(Arc::new(allocated.state));
        Ok(Rerouted { acknowledged: true, explanations, explain: orders.explain, state })
    }

    fn inputs(&self, now: Instant) -> Inputs<'_> {
        let Self { settings, info, deadlines, config, .. } = self;
        Inputs { settings, info, deadlines, now, lineage: config.lineage }
    }

    fn list_nodes(&self, state: &ClusterState) -> NodeList {
        let standing = |(host, entry): (&HostId, &NodeEntry)| {
            let (applied, lagging) = self.acks.standing(*host);
            let applied = applied.map(|Applied { state, settings }| (state.epoch, state.version, settings));
            let mut attributes = entry.attributes.clone();
            attributes.insert("zone".to_owned(), entry.zone.clone());
            (*host, NodeStanding { attributes, applied, lagging })
        };
        NodeList { master: Some(self.config.me), nodes: state.nodes.iter().map(standing).collect() }
    }

    /// When it wants to be woken: at the next deadline of a delayed allocation; never, if it waits for
    /// contact or for an answer anyway. And when nodes should have applied what was written.
    pub fn next_wake(&self) -> Option<Instant> {
        if !self.is_on() {
            return None;
        }
        // What was due when it last looked, and could not act, waits for contact.
        let deadlines = [self.next_deadline(), self.acks.next_wake(), self.tasks.next_wake()];
        let due = deadlines.into_iter().flatten();
        due.filter(|at| *at > self.looked_at).min()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let next = self.deadlines.values().copied().filter(|deadline| *deadline > self.decided_at).min();
        next.filter(|_| !self.stale)
    }

    /// Takes a piece of news.
    pub fn news(&mut self, ctx: &mut Ctx<'_>, client: &mut Client, news: &ClientNews, last_good: &LastGood) {
        self.trimmer.news(client, news);
        if let Some(drawn) = self.counter.news(client, news) {
            ctx.out.note(EventKind::ControllerElected { epoch: drawn.epoch });
            self.phase = Phase::Reading(drawn);
            self.pages.begin(client);
        }
        if let Some(both) = self.pages.news(client, news) {
            self.read(ctx, client, &both, last_good);
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
        self.looked_at = now;
        let certain = client.is_certainly_alive(now) || self.config.fence == Fence::None;
        if !certain || client.state() != ClientState::Connected {
            return;
        }
        self.answer_acknowledged(ctx);
        let due = self.next_deadline().into_iter().chain(self.tasks.next_wake()).min();
        self.stale |= due.is_some_and(|due| due <= now);
        let Phase::Acting(office) = &self.phase else { return };
        if self.stale && office.write.is_none() && self.members.is_some() {
            self.stale = false;
            self.decide(ctx, client);
        }
    }

    /// Answers what every node has applied, or had its time to; lists who lags.
    fn answer_acknowledged(&mut self, ctx: &mut Ctx<'_>) {
        let Phase::Acting(office) = &self.phase else { return };
        let now = ctx.now.mono;
        for (node, behind) in self.acks.take_laggards(&office.state.nodes, now) {
            ctx.out.note(EventKind::NodeLagging { node, version: behind.version });
        }
        let done = self.acks.take_done(now);
        self.tasks
            .answer(ctx, done.into_iter().map(|(answer, acknowledged)| answer.acknowledged(acknowledged)));
    }

    /// ZooKeeper hangs up on a request that is too long, so that it would be sent for ever.
    fn send_new(&mut self, ctx: &mut Ctx<'_>, client: &mut Client, write: Write) {
        let Phase::Acting(office) = &mut self.phase else { return };
        let bytes = write.state.to_bytes().len();
        if bytes > STATE_BYTES_MAX {
            let (bytes, room) = (bytes as u64, STATE_BYTES_MAX as u64);
            ctx.out.note(EventKind::StateTooLong { bytes, room });
            return;
        }
        office.write = Some(write);
        self.send(client);
    }

    fn send(&mut self, client: &mut Client) {
        let Phase::Acting(office) = &mut self.phase else { return };
        let Office { drawn, versions, write: Some(write), .. } = &mut **office else { return };
        let op = write.op((self.config.fence == Fence::Epoch).then_some(drawn.version), *versions);
        write.step = Step::Asked(client.ask(op));
    }

    fn awaits(&self, id: RequestId) -> bool {
        let Phase::Acting(office) = &self.phase else { return false };
        office.write.as_ref().is_some_and(|write| write.step == Step::Asked(id))
    }

    fn written(&mut self, ctx: &mut Ctx<'_>, client: &mut Client, result: &Result<Reply, ZkError>) {
        match outcome(result, self.config.fence == Fence::Epoch) {
            Outcome::Written { versions: (state, settings), notice } => {
                if let Phase::Acting(office) = &mut self.phase {
                    let settings = settings.unwrap_or(office.versions.settings);
                    office.versions = Versions { state, settings };
                }
                self.published(ctx, client, notice);
            }
            Outcome::Fenced => self.resign(ctx, "fenced: its epoch is over"),
            Outcome::Lost => self.step(Step::Lost),
            Outcome::Surprised => self.look_up(client),
        }
    }

    fn step(&mut self, step: Step) {
        let Phase::Acting(office) = &mut self.phase else { return };
        office.write.iter_mut().for_each(|write| write.step = step);
    }

    fn look_up(&mut self, client: &mut Client) {
        self.step(Step::LookedUp);
        self.pages.begin(client);
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

    /// The znodes as they are in ZooKeeper: to take over, or to see what became of a write.
    fn read(&mut self, ctx: &mut Ctx<'_>, client: &mut Client, both: &Both, last_good: &LastGood) {
        let Both { state: (data, stat), settings: (settings, settings_stat) } = both;
        let found = ClusterState::from_bytes(data.as_deref());
        let document = document(settings).map(Arc::new);
        let versions = Versions { state: stat.version, settings: settings_stat.version };
        if let Some(found) = &found {
            self.observed(ctx, found.epoch);
        }
        match &mut self.phase {
            Phase::Reading(drawn) => {
                let Some(state) = found.or_else(|| rescued(last_good, stat.version)) else { return };
                let office = Office { drawn: *drawn, state, document, versions, write: None };
                self.phase = Phase::Acting(Box::new(office));
                self.stale = true;
            }
            Phase::Acting(office) => {
                (office.versions, office.document) = (versions, document);
                self.looked_up(ctx, client, found.as_ref());
            }
            Phase::Off | Phase::Drawing => {}
        }
    }

    /// What has become of the write: it is there; or it is sent again as it was; or, if it would overwrite
    /// settings that somebody else has written, its tasks are done again on those. A state that is not whole is
    /// replaced by the one that this controller knows to follow: only an acting one knows that.
    fn looked_up(&mut self, ctx: &mut Ctx<'_>, client: &mut Client, found: Option<&ClusterState>) {
        let Phase::Acting(office) = &mut self.phase else { return };
        let Some(write) = &office.write else { return };
        let follows = |document: &Arc<SettingsDocument>| document.version < write.state.settings.version;
        if found == Some(&write.state) {
            self.published(ctx, client, None);
        } else if write.with_settings && !office.document.as_ref().is_some_and(follows) {
            let write = office.write.take();
            self.tasks.put_back(write.map(|write| write.tasks).unwrap_or_default());
            self.stale = true;
        } else {
            self.send(client);
        }
    }

    /// The state's znode has changed: a controller that waits for one it can read looks again; an acting one
    /// mends one that cannot be read by its next write.
    pub fn state_changed(&mut self, client: &mut Client, is_whole: bool) {
        match &self.phase {
            Phase::Reading(_) => self.pages.begin(client),
            Phase::Acting(_) if !is_whole => (self.stale, self.forced) = (true, true),
            _ => {}
        }
    }

    /// The settings' znode has changed.
    pub fn settings_changed(&mut self, document: Option<Arc<SettingsDocument>>, version: i32) {
        let Phase::Acting(office) = &mut self.phase else { return };
        if version > office.versions.settings && office.write.is_none() {
            self.stale |= document.as_ref().is_some_and(|new| new.version > office.state.settings.version);
            (office.document, office.versions.settings) = (document, version);
        }
    }

    fn published(&mut self, ctx: &mut Ctx<'_>, client: &mut Client, notice: Option<i64>) {
        let Phase::Acting(office) = &mut self.phase else { return };
        let Some(write) = office.write.take() else { return };
        let Write { state, why, announcement, with_settings, answers, notes, .. } = write;
        let (epoch, version) = (state.epoch, state.version);
        note_inputs(ctx, &mut self.noted, &state);
        notes.into_iter().for_each(|note| ctx.out.note(note));
        ctx.out.note(EventKind::StatePublished {
            epoch,
            version,
            nodes: state.nodes.keys().copied().collect(),
            routing: state.placements(),
            unlisted: state.unlisted(),
            why,
        });
        if with_settings {
            let SettingsDocument { version, .. } = *state.settings;
            ctx.out.note(EventKind::SettingsWritten { version, digest: state.settings.digest() });
            office.document = Some(state.settings.clone());
        }
        if let Some(Announcement { changes, .. }) = announcement {
            ctx.out.note(EventKind::ChangesAnnounced { epoch, version, changes });
            let published = |position| EventKind::NoticePublished {
                topic: CLUSTER_NOTICES.to_owned(),
                number: version,
                position,
            };
            notice.into_iter().for_each(|position| ctx.out.note(published(position)));
            self.trimmer.published(client);
        }
        self.acks.members(&state.nodes);
        self.acks.published(Position::of(&state), &state.nodes, ctx.now.mono, FOLLOWER_LAG);
        office.state = state;
        self.settle_answers(ctx, answers);
    }

    /// Refusals are told at once; what is done is answered when every node has applied it.
    fn settle_answers(&mut self, ctx: &mut Ctx<'_>, answers: Vec<Answer>) {
        let Phase::Acting(office) = &self.phase else { return };
        let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Answer::is_granted);
        for answer in done {
            let deadline = ctx.now.mono + answer.timeout();
            self.acks.wait(answer, Position::of(&office.state), &office.state.nodes, deadline);
        }
        self.tasks.answer(ctx, refused);
    }
}

/// A state that is not whole is not thrown away by a new controller, unless its node has read the very state that
/// was there before it: one write lies between, and that is the one which left nothing whole.
fn rescued(last_good: &LastGood, version: i32) -> Option<ClusterState> {
    let (state, read_at) = last_good.as_ref()?;
    (*read_at + 1 == version).then(|| ClusterState::clone(state))
}
