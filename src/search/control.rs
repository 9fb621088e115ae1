//! Control — decides how a node hangs on ZooKeeper: its session, registration, view of members, followed
//! cluster state, candidacy. It never touches a shard's data.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    core::{CloseReason, ConnId, Entropy, Instant},
    defect::Defects,
    event::Word,
    name::{AllocationId, HostId, IndexName, ShardId, Term},
    search::{
        api::{ApiAnswer, ApiError},
        state::ClusterState,
        transport::Ctx,
    },
    zookeeper::wire::ServerFrame,
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
    Report(ShardReport),
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
            Self::Report(ShardReport::Started { .. }) => "shard-started".into(),
            Self::Report(ShardReport::Failed { .. }) => "shard-failed".into(),
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
    news: VecDeque<ControlNews>,
}

/// Settings of [`Control`].
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// This node.
    pub me: HostId,
    /// Its zone.
    pub zone: String,
    /// The ensemble.
    pub servers: Vec<HostId>,
    /// Settings of the search cluster.
    pub search: crate::scenario::plan::SearchConfig,
    /// Historic bugs switched on.
    pub defects: Defects,
}

#[allow(unused_variables, clippy::todo, reason = "contract, to be filled in")]
impl Control {
    /// A node that is not connected yet.
    pub fn new(config: ControlConfig, entropy: Entropy) -> Self {
        Self { news: VecDeque::new() }
    }

    /// The first step: dials ZooKeeper.
    pub fn start(&mut self, ctx: &mut Ctx<'_>) {
        todo!()
    }

    /// Whether this connection is the one to ZooKeeper.
    pub fn owns(&self, conn: ConnId) -> bool {
        todo!()
    }

    /// The connection to ZooKeeper is established.
    pub fn connected(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        todo!()
    }

    /// A frame from ZooKeeper.
    pub fn received(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, frame: ServerFrame) {
        todo!()
    }

    /// The connection to ZooKeeper ended.
    pub fn closed(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, reason: CloseReason) {
        todo!()
    }

    /// A message from another node's control part.
    pub fn message(&mut self, ctx: &mut Ctx<'_>, from: HostId, message: ControlMessage) {
        todo!()
    }

    /// The connection to a peer broke: what was sent to it may be lost.
    pub fn peer_lost(&mut self, ctx: &mut Ctx<'_>, peer: HostId) {
        todo!()
    }

    /// Tells the controller about a copy; kept and sent again until the state shows it.
    pub fn report(&mut self, ctx: &mut Ctx<'_>, report: ShardReport) {
        todo!()
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
        todo!()
    }

    /// Time passed.
    pub fn wake(&mut self, ctx: &mut Ctx<'_>) {
        todo!()
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        todo!()
    }

    /// What happened since the last call, in order.
    pub fn take_news(&mut self) -> Vec<ControlNews> {
        self.news.drain(..).collect()
    }

    /// The newest cluster state this node has applied, if any.
    pub fn state(&self) -> Option<&Arc<ClusterState>> {
        todo!()
    }

    /// Whether this node's session is known to be alive: contact within two thirds of its timeout.
    pub fn is_connected(&self) -> bool {
        todo!()
    }
}
