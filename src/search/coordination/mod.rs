//! Coordination — decides how a client's request travels: to which shard, which copy, when again, and what
//! the client is told. It never holds data.
//!
//! Every node coordinates what clients ask of it ([`coordinator`]) and serves what other coordinating nodes
//! (and itself) ask of its copies ([`serve`]). How a kind of request travels is decided by its flow: `write`,
//! `get`, `scatter` (search), `refresh`, `create`, `admin`, `health`; flows are pure: cluster state and answers in, moves out.

mod admin;
mod alarm;
mod blocks;
mod bulk;
mod cat;
pub mod coordinator;
mod create;
mod documents;
mod error;
mod flow;
mod gather;
mod get;
mod health;
mod ids;
mod intake;
mod multi_get;
mod refresh;
mod scatter;
mod searches;
pub mod serve;
mod write;

use std::sync::Arc;

use crate::{
    event::Word,
    name::{AllocationId, Epoch, ShardId, Term},
    search::{
        api::GotDoc,
        shards::{ReadCall, SearchAsk, SearchServed, ShardRefusal, WriteAction, WriteCall, Written},
        state::ClusterState,
    },
};

pub use self::{
    coordinator::Coordinator,
    serve::{Question, Serving},
};

/// What a node knows when it decides where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The newest cluster state it has applied, if any.
    pub state: Option<&'a Arc<ClusterState>>,
    /// Whether its ZooKeeper session is known to be alive.
    pub connected: bool,
    /// Whether, beyond that, its session is proven not to be over, and is the one by which its cluster state knows this
    /// node: then nobody has taken its copies' place since.
    pub leased: bool,
}

impl View<'_> {
    /// The position of its state; none comes before all others.
    pub fn position(&self) -> Option<Position> {
        self.state.map(|state| Position::of(state))
    }
}

/// Which cluster state: states are ordered by epoch, then version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Epoch of the controller that wrote it.
    pub epoch: Epoch,
    /// Its version.
    pub version: u64,
}

impl Position {
    /// That of `state`.
    pub fn of(state: &ClusterState) -> Self {
        Self { epoch: state.epoch, version: state.version }
    }
}

/// The coordinating node's number for something it asked; a restarted node has another life, so that
/// answers to its earlier life are not taken for answers to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Drawn at boot.
    pub life: u64,
    /// One more for each.
    pub number: u64,
}

/// What is asked of one copy.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// A write, of the active primary.
    Write {
        /// The shard.
        shard: ShardId,
        /// The copy that the coordinating node takes for the primary.
        allocation: AllocationId,
        /// The shard's term in the coordinating node's state.
        term: Term,
        /// What to write.
        call: WriteCall,
    },
    /// Several writes, of the active primary: the items of a bulk request that its shard gets.
    Bulk {
        /// The shard.
        shard: ShardId,
        /// The copy that the coordinating node takes for the primary.
        allocation: AllocationId,
        /// The shard's term in the coordinating node's state.
        term: Term,
        /// What to write, in this order.
        calls: Vec<WriteCall>,
    },
    /// A get, of an active copy.
    Get {
        /// The shard.
        shard: ShardId,
        /// What to get.
        call: ReadCall,
    },
    /// A round of a search, of any active copy or of the one that the round before has asked.
    Search {
        /// The shard.
        shard: ShardId,
        /// The round.
        ask: SearchAsk,
    },
    /// A refresh of all copies, of the active primary.
    Refresh {
        /// The shard.
        shard: ShardId,
    },
}

impl Ask {
    fn label(&self) -> &'static str {
        match self {
            Self::Write { call: WriteCall { action: WriteAction::Index { .. }, .. }, .. } => "index",
            Self::Write { call: WriteCall { action: WriteAction::Delete, .. }, .. } => "delete",
            Self::Write { call: WriteCall { action: WriteAction::Update { .. }, .. }, .. } => "update",
            Self::Bulk { .. } => "bulk",
            Self::Get { .. } => "get",
            Self::Search { ask, .. } => ask.label(),
            Self::Refresh { .. } => "refresh",
        }
    }
}

/// What a copy did.
#[derive(Debug, Clone, PartialEq)]
pub enum Served {
    /// The write is acknowledged.
    Written(Written),
    /// What came of several writes, in their order.
    Bulk(Vec<Result<Written, ShardRefusal>>),
    /// The document, if there is one.
    Got(Option<GotDoc>),
    /// A round of a search.
    Searched(SearchServed),
    /// Every operation is searchable, on the first of so many copies.
    Refreshed {
        /// Copies that refreshed.
        successful: u32,
        /// Copies that should have.
        total: u32,
    },
}

impl Served {
    fn label(&self) -> &'static str {
        match self {
            Self::Written(_) => "written",
            Self::Bulk(_) => "bulk-written",
            Self::Got(_) => "got",
            Self::Searched(answer) => answer.label(),
            Self::Refreshed { .. } => "refreshed",
        }
    }
}

/// What came of an [`Ask`].
pub type Outcome = Result<Served, ShardRefusal>;

/// What the coordination parts of nodes say to each other.
#[derive(Debug, Clone, PartialEq)]
pub enum CoordinationMessage {
    /// To the node of a copy.
    Ask {
        /// To be sent back with the answer.
        ticket: Ticket,
        /// The state by which it was routed: whoever is behind waits until it has caught up
        /// (`routedBasedOnClusterVersion` of Elasticsearch's `ReplicationRequest`).
        routed_by: Position,
        /// What is asked.
        ask: Ask,
    },
    /// The answer.
    Answer {
        /// The ticket of what was asked.
        ticket: Ticket,
        /// What came of it.
        outcome: Outcome,
    },
}

impl CoordinationMessage {
    /// A word for traces.
    pub fn label(&self) -> Word {
        let word = match self {
            Self::Ask { ask, .. } => ask.label(),
            Self::Answer { outcome: Ok(served), .. } => served.label(),
            Self::Answer { outcome: Err(_), .. } => "refused",
        };
        word.into()
    }
}
