//! Control — decides how a node hangs on ZooKeeper: its session, registration, view of members, followed
//! cluster state, candidacy. It never touches a shard's data.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    core::{CloseReason, ConnId, Entropy, Instant},
    defect::{Defect, Defects},
    event::{EventKind, Word},
    name::{AllocationId, HostId, SessionId, ShardId, Term, Zxid},
    scenario::plan::ReadPolicy,
    search::{
        acknowledgements::Applied,
        administration::AdminTask,
        allocation::{
            AllocatorFactory, Balanced, Lineage, Worth,
            explain::{AllocationExplanation, Subject},
            info::NodeStats,
            reroute::Orders,
        },
        api::{
            ApiError,
            admin::{NodeList, PendingTasks, Rerouted},
        },
        controller::{Controller, ControllerConfig, Fence, LastGood},
        coordination::Position,
        discovery::{self, CLUSTER_NOTICES, Discovery, ELECTION, SETTINGS, STATE},
        petitions::{Petitions, Wanted},
        reading,
        settings::SettingsDocument,
        state::{ClusterState, NodeEntry},
        tasks::Task,
        tenure::Tenure,
        transport::Ctx,
        wire::Transport,
    },
    zookeeper::{
        client::{Client, ClientConfig, ClientNews, ClientState},
        recipes::{
            Candidacy, Follow, Layout, Ownership, Seen, Standing, Subscription, What,
            notification::{Delivery, Notice},
        },
        wire::{Data, ServerFrame, Stat},
    },
};

/// What a node's shards have to tell the controller. Kept and sent again until the cluster state shows it or
/// makes it moot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardReport {
    /// A copy has recovered and, if a replica, is level with the primary of `term`.
    Started {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// The shard's term, as the reporter knows it.
        term: Term,
    },
    /// A copy must go: it failed by itself, or the primary of `term` could not replicate to it.
    Failed {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// The primary's term; the controller refuses a report of an older term (the reporter is deposed).
        term: Term,
        /// Why.
        why: String,
    },
}

/// What the control parts of nodes say to each other.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlMessage {
    /// To the controller.
    Report {
        /// The session by which the sender's applied state knows the sender.
        session: SessionId,
        /// What it has to say.
        report: ShardReport,
    },
    /// To the controller: what the sender has applied, all its parts.
    Applied {
        /// The session by which the sender's applied state knows the sender.
        session: SessionId,
        /// What.
        applied: Applied,
    },
    /// To the controller: how full the sender's disk is.
    Stats {
        /// The session by which the sender's applied state knows the sender.
        session: SessionId,
        /// What.
        stats: NodeStats,
    },
    /// To the controller: change something.
    Administer {
        /// The sender's number.
        request: u64,
        /// What.
        task: AdminTask,
        /// How long nodes may take to apply it.
        timeout: Duration,
    },
    /// To the controller: tell something.
    Inquire {
        /// The sender's number.
        request: u64,
        /// What.
        inquiry: Inquiry,
    },
    /// From the controller: it is done, or why not.
    Answer {
        /// The asking node's number.
        request: u64,
        /// What came of it.
        result: Result<Granted, ApiError>,
    },
}

/// What only the controller knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inquiry {
    /// How many tasks wait.
    PendingTasks,
    /// What each node has applied.
    Nodes,
    /// Why a copy is where it is, or nowhere; none: some copy that is nowhere.
    Explain(Option<Subject>),
    /// What would become of reroute commands.
    DryRun(Orders),
}

/// What the controller has done, or knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Granted {
    /// The change is in the cluster state.
    Change {
        /// Whether every node has applied it in time.
        acknowledged: bool,
    },
    /// Tasks that wait.
    PendingTasks(PendingTasks),
    /// What each node has applied.
    Nodes(NodeList),
    /// Where copies go now, or would go.
    Rerouted(Rerouted),
    /// Why a copy is where it is.
    Explained(Box<AllocationExplanation>),
}

/// What a client of this node wants of the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminCall {
    /// What.
    pub what: Wanted,
    /// How long a controller may take to be found, and to take it up.
    pub master_timeout: Duration,
}

impl ControlMessage {
    /// A word for traces.
    pub fn label(&self) -> Word {
        match self {
            Self::Report { report: ShardReport::Started { .. }, .. } => "shard-started".into(),
            Self::Report { report: ShardReport::Failed { .. }, .. } => "shard-failed".into(),
            Self::Applied { .. } => "state-applied".into(),
            Self::Stats { .. } => "node-stats".into(),
            Self::Administer { .. } => "administer".into(),
            Self::Inquire { .. } => "inquire".into(),
            Self::Answer { .. } => "administered".into(),
        }
    }
}

/// What a node's other parts learn from its control part.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlNews {
    /// A newer cluster state is to be applied.
    State(Arc<ClusterState>),
    /// Newer settings are to be applied.
    Settings(Arc<SettingsDocument>),
    /// An administrative request ended.
    Answer {
        /// The caller's token.
        token: u64,
        /// What came of it.
        result: Result<Granted, ApiError>,
    },
    /// The ZooKeeper session ended: the node is out of the cluster until it has registered anew.
    SessionLost,
}

/// A node's link to ZooKeeper.
#[derive(Debug)]
pub struct Control {
    client: Client,
    /// The session in which the recipes below were begun.
    session: Option<SessionId>,
    layout: Layout,
    discovery: Discovery,
    followed: Follow,
    settings: Follow,
    notices: Subscription,
    candidacy: Candidacy,
    controller: Controller,
    petitions: Petitions,
    /// Only where reads go by it.
    tenure: Option<Tenure>,
    state: Option<Arc<ClusterState>>,
    last_good: LastGood,
    document: Arc<SettingsDocument>,
    /// The last transactions that left a znode which is not whole: of the state, of the settings.
    corrupt: [Zxid; 2],
    news: VecDeque<ControlNews>,
}

/// Settings of [`Control`].
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// This node.
    pub me: HostId,
    /// Its zone.
    pub zone: String,
    /// Its other attributes.
    pub attributes: BTreeMap<String, String>,
    /// What makes its allocator when it is controller.
    pub allocator: AllocatorFactory,
    /// The ensemble.
    pub servers: Vec<HostId>,
    /// Settings of the search cluster.
    pub search: crate::scenario::plan::SearchConfig,
    /// Historic bugs switched on.
    pub defects: Defects,
}

impl Control {
    /// A node that is not connected yet.
    ///
    /// # Panics
    ///
    /// If the ensemble has no servers.
    pub fn new(config: ControlConfig, mut entropy: Entropy) -> Self {
        let petitions = Petitions::new(config.search.request_timeout, Entropy::new(entropy.draw()));
        let unfenced = config.defects.has(Defect::ControllerUnfenced);
        let unchecked = config.defects.has(Defect::SkipsOwnershipCheck);
        let ownership = if unchecked { Ownership::Assumed } else { Ownership::Checked };
        let controller = ControllerConfig {
            me: config.me,
            allocator: match config.defects.has(Defect::MovesWithoutImprovement) {
                true => AllocatorFactory::new(|| Balanced::new(Worth::Ignored)),
                false => config.allocator.clone(),
            },
            lineage: match config.defects.has(Defect::PromotesStaleCopy) {
                true => Lineage::Any,
                false => Lineage::InSync,
            },
            delayed_allocation: config.search.delayed_allocation,
            read_policy: config.search.read_policy,
            fence: if unfenced { Fence::None } else { Fence::Epoch },
        };
        let content = NodeEntry::content(&config.zone, &config.attributes);
        let client = ClientConfig::new(config.servers, config.search.session_timeout);
        Self {
            client: Client::new(client, entropy),
            session: None,
            layout: discovery::layout(),
            discovery: Discovery::new(config.me, &content, ownership),
            followed: Follow::new(STATE, What::Data),
            settings: Follow::new(SETTINGS, What::Data),
            notices: Subscription::new(CLUSTER_NOTICES, None),
            candidacy: Candidacy::new(ELECTION),
            controller: Controller::new(controller),
            petitions,
            tenure: (config.search.read_policy == ReadPolicy::Lease).then(Tenure::default),
            state: None,
            last_good: None,
            document: Arc::default(),
            corrupt: [Zxid(0); 2],
            news: VecDeque::new(),
        }
    }

    /// The first step: dials ZooKeeper.
    pub fn start(&mut self, ctx: &mut Ctx<'_>) {
        self.client.start(ctx.now.mono, ctx.out);
    }

    /// Whether this connection is the one to ZooKeeper.
    pub fn owns(&self, conn: ConnId) -> bool {
        self.client.owns(conn)
    }

    /// The connection to ZooKeeper is established.
    pub fn connected(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        self.client.connected(ctx.now.mono, conn, ctx.out);
        self.settle(ctx);
    }

    /// A frame from ZooKeeper.
    pub fn received(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, frame: ServerFrame) {
        self.client.received(ctx.now.mono, conn, frame, ctx.out);
        self.settle(ctx);
    }

    /// The connection to ZooKeeper ended.
    pub fn closed(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, _reason: CloseReason) {
        self.client.closed(ctx.now.mono, conn, ctx.out);
        self.settle(ctx);
    }

    /// A message from another node's control part.
    pub fn message(&mut self, ctx: &mut Ctx<'_>, from: HostId, message: ControlMessage) {
        match message {
            ControlMessage::Report { session, report } => self.controller.report(from, session, report),
            ControlMessage::Applied { session, applied } => self.controller.applied(from, session, applied),
            ControlMessage::Stats { session, stats } => self.controller.measured(ctx, from, session, &stats),
            ControlMessage::Administer { request, task, timeout } => {
                self.controller.administer(ctx, Task::Admin { from, request, task, timeout });
            }
            ControlMessage::Inquire { request, inquiry } => {
                if let Some(result) = self.controller.inquire(ctx.now.mono, inquiry) {
                    let answer = ControlMessage::Answer { request, result };
                    ctx.send(from, Transport::Control(answer));
                }
            }
            ControlMessage::Answer { request, result } => {
                self.news.extend(self.petitions.answered(request, result));
            }
        }
        self.settle(ctx);
    }

    /// The connection to a peer broke: what was sent to it may be lost.
    pub fn peer_lost(&mut self, ctx: &mut Ctx<'_>, peer: HostId) {
        self.petitions.peer_lost(ctx.now.mono, peer);
    }

    /// Tells the controller about a copy; kept and sent again until the state shows it.
    pub fn report(&mut self, ctx: &mut Ctx<'_>, report: ShardReport) {
        self.petitions.report(ctx, self.state.as_deref(), report);
    }

    /// Has the controller asked; ends in [`ControlNews::Answer`] with this token.
    pub fn administer(&mut self, ctx: &mut Ctx<'_>, token: u64, call: AdminCall) {
        self.petitions.wish(ctx, token, call);
    }

    /// Every part of the node has applied this state.
    pub fn state_applied(&mut self, ctx: &mut Ctx<'_>, state: &ClusterState) {
        let applied = Applied { state: Position::of(state), settings: self.document.version };
        self.petitions.state_applied(ctx, applied);
    }

    /// Tasks that wait, on a node that is the controller.
    pub fn pending_tasks(&self) -> u32 {
        self.controller.pending_tasks()
    }

    /// Time passed.
    pub fn wake(&mut self, ctx: &mut Ctx<'_>) {
        self.client.wake(ctx.now.mono, ctx.out);
        self.news.extend(self.petitions.wake(ctx));
        self.settle(ctx);
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        let tenure = self.tenure.as_ref().and_then(|tenure| tenure.next_wake(&self.client));
        let parts =
            [self.client.next_wake(), self.petitions.next_wake(), self.controller.next_wake(), tenure];
        parts.into_iter().flatten().min()
    }

    /// What happened since the last call, in order.
    pub fn take_news(&mut self) -> Vec<ControlNews> {
        self.news.drain(..).collect()
    }

    /// The newest cluster state this node has applied, if any.
    pub fn state(&self) -> Option<&Arc<ClusterState>> {
        self.state.as_ref()
    }

    /// Whether this node's session is certainly alive now: contact within two thirds of its timeout, by the
    /// node's own clock. A process that wakes late from a pause may be asked something before it has looked
    /// at anything else, so the answer is for this moment and never for the last step.
    pub fn is_certainly_alive(&self, now: Instant) -> bool {
        self.client.is_certainly_alive(now)
    }

    /// Whether it is proven that this session of the node is not over now ([`Tenure`]).
    pub fn is_proven(&self, session: SessionId, now: Instant) -> bool {
        let tenure = self.tenure.as_ref();
        tenure.is_some_and(|tenure| tenure.holds(session, self.client.timeout(), now))
    }

    /// The ZooKeeper session of this node, if it has one.
    pub fn session(&self) -> Option<SessionId> {
        self.client.session()
    }

    /// Takes the client's news to the recipes, lets the controller act, sends what they ask.
    fn settle(&mut self, ctx: &mut Ctx<'_>) {
        loop {
            let news = self.client.take_news();
            if news.is_empty() {
                break;
            }
            for news in news {
                self.digest(ctx, &news);
            }
        }
        if !self.controller.is_on() {
            self.discovery.stop_entries();
            // Who has lost the office does not sit on the first ticket.
            self.candidacy.withdraw(&mut self.client);
        }
        self.controller.act(ctx, &mut self.client);
        if let Some(tenure) = &mut self.tenure {
            tenure.act(ctx.now.mono, &mut self.client);
        }
        self.client.flush(ctx.now.mono, ctx.out);
    }

    fn digest(&mut self, ctx: &mut Ctx<'_>, news: &ClientNews) {
        if let ClientNews::State(state) = news {
            self.session_news(ctx, *state);
        }
        self.controller.news(ctx, &mut self.client, news, &self.last_good);
        if let Some(tenure) = &mut self.tenure {
            tenure.news(news);
        }
        self.recipe_news(ctx, news);
        if matches!(news, ClientNews::State(ClientState::Connected)) && self.session != self.client.session()
        {
            self.session = self.client.session();
            self.layout.begin(&mut self.client);
        }
    }

    fn session_news(&mut self, ctx: &mut Ctx<'_>, state: ClientState) {
        if matches!(state, ClientState::Expired | ClientState::Closed) {
            self.session = None;
            self.petitions.session_lost();
            self.controller.ticket_lost(ctx, "its session is over");
            self.news.push_back(ControlNews::SessionLost);
            self.client.start(ctx.now.mono, ctx.out);
        }
    }

    fn recipe_news(&mut self, ctx: &mut Ctx<'_>, news: &ClientNews) {
        let client = &mut self.client;
        if self.layout.news(client, news) {
            self.discovery.begin(client);
            self.followed.begin(client);
            self.settings.begin(client);
            self.notices.begin(client);
            self.candidacy.begin(client);
        }
        if let Some(members) = self.discovery.news(ctx, client, news) {
            self.controller.members(members);
        }
        match self.candidacy.news(client, news) {
            Some(Standing::Leading) => {
                self.controller.elected(ctx, client);
                self.discovery.read_entries(client);
            }
            Some(Standing::Lost) => self.controller.ticket_lost(ctx, "its ticket is gone"),
            None => {}
        }
        if let Some(delivery) = self.notices.news(client, news) {
            ctx.out.note(told(delivery));
        }
        // Settings first: a state goes by settings that are at least as new.
        if let Some(Seen::Data(data, stat)) = self.settings.news(client, news) {
            self.read_settings(ctx, &data, stat);
        }
        if let Some(Seen::Data(data, stat)) = self.followed.news(&mut self.client, news) {
            self.read(ctx, &data, stat);
        }
    }

    fn read(&mut self, ctx: &mut Ctx<'_>, data: &Data, stat: Stat) {
        let state = reading::read(data);
        self.controller.state_changed(&mut self.client, state.is_some());
        match state {
            Some(state) => {
                self.controller.observed(ctx, state.epoch);
                self.apply(ctx, state, stat.version);
            }
            None => note_corrupt(ctx, &mut self.corrupt[0], STATE, stat),
        }
    }

    fn read_settings(&mut self, ctx: &mut Ctx<'_>, data: &Data, stat: Stat) {
        let document = SettingsDocument::from_bytes(data.as_deref()).map(Arc::new);
        match &document {
            Some(document) => self.apply_settings(document),
            None => note_corrupt(ctx, &mut self.corrupt[1], SETTINGS, stat),
        }
        self.controller.settings_changed(document, stat.version);
    }

    /// Applied only forward: a document of an earlier version is none.
    fn apply_settings(&mut self, document: &Arc<SettingsDocument>) {
        if document.version > self.document.version {
            self.document = document.clone();
            self.news.push_back(ControlNews::Settings(document.clone()));
        }
    }

    /// Applied only forward: a state of an earlier epoch, or an earlier version, is none.
    fn apply(&mut self, ctx: &mut Ctx<'_>, state: Arc<ClusterState>, read_at: i32) {
        let newest = match &self.state {
            Some(current) => state.is_newer_than(current),
            None => state.is_newer_than(&ClusterState::default()),
        };
        if newest {
            self.apply_settings(&state.settings);
            self.state = Some(state.clone());
            self.last_good = Some((state.clone(), read_at));
            self.news.push_back(ControlNews::State(state.clone()));
            self.petitions.applied(ctx, &state);
        }
    }
}

/// What is not whole is told once for each transaction that left it so.
fn note_corrupt(ctx: &mut Ctx<'_>, last: &mut Zxid, path: &str, stat: Stat) {
    if std::mem::replace(last, stat.mzxid) != stat.mzxid {
        ctx.out.note(EventKind::StateCorrupt { path: path.to_owned(), zxid: stat.mzxid });
    }
}

fn told(delivery: Delivery) -> EventKind {
    let topic = CLUSTER_NOTICES.to_owned();
    match delivery {
        Delivery::Notice(Notice { position, publisher, number, .. }) => {
            EventKind::NoticeReceived { topic, publisher, number, position }
        }
        Delivery::Missed { from, first } => EventKind::NoticesMissed { topic, from, first },
    }
}

#[cfg(test)]
mod tests;
