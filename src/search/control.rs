//! Control — decides how a node hangs on ZooKeeper: its session, registration, view of members, followed
//! cluster state, candidacy. It never touches a shard's data.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    core::{CloseReason, ConnId, Entropy, Instant},
    defect::{Defect, Defects},
    event::Word,
    name::{AllocationId, HostId, IndexName, SessionId, ShardId, Term},
    search::{
        allocation::{AllocatorFactory, Balanced, Lineage, Worth},
        api::{ApiAnswer, ApiError},
        controller::{Controller, ControllerConfig, Fence},
        discovery::{self, Discovery, ELECTION, STATE},
        petitions::Petitions,
        reading,
        state::{ClusterState, NodeEntry},
        tasks::Task,
        transport::Ctx,
    },
    zookeeper::{
        client::{Client, ClientConfig, ClientNews, ClientState},
        recipes::{Candidacy, Follow, Layout, Ownership, Seen, Standing, What},
        wire::{Data, ServerFrame},
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
    /// To the controller: make an index. `request` is the sender's number.
    CreateIndex {
        /// The sender's number.
        request: u64,
        /// Its name.
        index: IndexName,
        /// number_of_shards.
        shards: u32,
        /// number_of_replicas.
        replicas: u32,
    },
    /// From the controller: the index is in the cluster state, or why not.
    IndexCreated {
        /// The sender's number.
        request: u64,
        /// What came of it.
        result: Result<(), ApiError>,
    },
}

impl ControlMessage {
    /// A word for traces.
    pub fn label(&self) -> Word {
        match self {
            Self::Report { report: ShardReport::Started { .. }, .. } => "shard-started".into(),
            Self::Report { report: ShardReport::Failed { .. }, .. } => "shard-failed".into(),
            Self::CreateIndex { .. } => "create-index".into(),
            Self::IndexCreated { .. } => "index-created".into(),
        }
    }
}

/// What a node's other parts learn from its control part.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlNews {
    /// A newer cluster state is to be applied.
    State(Arc<ClusterState>),
    /// An administrative request ended.
    Answer {
        /// The caller's token.
        token: u64,
        /// What came of it.
        result: Result<ApiAnswer, ApiError>,
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
    candidacy: Candidacy,
    controller: Controller,
    petitions: Petitions,
    state: Option<Arc<ClusterState>>,
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
            candidacy: Candidacy::new(ELECTION),
            controller: Controller::new(controller),
            petitions,
            state: None,
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
            ControlMessage::CreateIndex { request, index, shards, replicas } => {
                let task = Task::CreateIndex { from, request, index, shards, replicas };
                self.controller.create_index(ctx, task);
            }
            ControlMessage::IndexCreated { request, result } => {
                self.news.extend(self.petitions.answered(request, result, self.state.as_deref()));
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

    /// Has an index made; ends in [`ControlNews::Answer`] with this token.
    pub fn create_index(
        &mut self,
        ctx: &mut Ctx<'_>,
        token: u64,
        index: IndexName,
        shards: u32,
        replicas: u32,
    ) {
        self.petitions.create_index(ctx, token, index, shards, replicas);
    }

    /// Time passed.
    pub fn wake(&mut self, ctx: &mut Ctx<'_>) {
        self.client.wake(ctx.now.mono, ctx.out);
        self.news.extend(self.petitions.wake(ctx));
        self.settle(ctx);
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        let parts = [self.client.next_wake(), self.petitions.next_wake(), self.controller.next_wake()];
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
        self.client.flush(ctx.now.mono, ctx.out);
    }

    fn digest(&mut self, ctx: &mut Ctx<'_>, news: &ClientNews) {
        if let ClientNews::State(state) = news {
            self.session_news(ctx, *state);
        }
        self.controller.news(ctx, &mut self.client, news);
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
        if let Some(Seen::Data(data, _)) = self.followed.news(client, news) {
            self.read(ctx, &data);
        }
    }

    fn read(&mut self, ctx: &mut Ctx<'_>, data: &Data) {
        self.controller.state_changed(&mut self.client);
        if let Some(state) = reading::read(data) {
            self.controller.observed(ctx, state.epoch);
            self.apply(ctx, state);
        }
    }

    /// Applied only forward: a state of an earlier epoch, or an earlier version, is none.
    fn apply(&mut self, ctx: &mut Ctx<'_>, state: Arc<ClusterState>) {
        let newest = match &self.state {
            Some(current) => state.is_newer_than(current),
            None => state.is_newer_than(&ClusterState::default()),
        };
        if newest {
            self.state = Some(state.clone());
            self.news.push_back(ControlNews::State(state.clone()));
            self.news.extend(self.petitions.applied(ctx, &state));
        }
    }
}

#[cfg(test)]
mod tests;
