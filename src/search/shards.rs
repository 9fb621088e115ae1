//! Shards — decides which copies live on this node and routes to them. It never decides where copies should
//! live (the controller does), and it never speaks to clients (`coordination` does).

use std::sync::Arc;

use crate::{
    core::{Files, Instant},
    defect::Defects,
    event::Word,
    name::{AllocationId, SeqNo, ShardId, Term},
    search::{
        api::{ApiError, GotDoc, Hit, Query, WriteResult},
        control::ShardReport,
        state::ClusterState,
        transport::Ctx,
    },
};

/// What copies on different nodes say to each other. (To be filled in: replicate, resync, recovery.)
#[derive(Debug, Clone, PartialEq)]
pub enum ShardMessage {}

impl ShardMessage {
    /// A word for traces.
    pub fn label(&self) -> Word {
        match *self {}
    }
}

/// A write, as it reaches the node of the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteCall {
    /// Put a document.
    Index {
        /// Document id.
        id: String,
        /// The document: a JSON object.
        source: Arc<str>,
        /// if_seq_no and if_primary_term.
        condition: Option<(SeqNo, Term)>,
    },
    /// Remove a document.
    Delete {
        /// Document id.
        id: String,
    },
}

/// A write that every in-sync copy has, durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What it did.
    pub result: WriteResult,
    /// The operation's number.
    pub seq_no: SeqNo,
    /// Its term.
    pub term: Term,
    /// `_version`.
    pub version: u64,
    /// Copies that the write should have gone to, and copies that have it.
    pub copies: (u32, u32),
}

/// Why a copy did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardRefusal {
    /// No such copy here, or it is not the active primary (of the expected allocation and term), or it was
    /// deposed before the write was acknowledged: route again with a newer state. `certain`: nothing was
    /// written.
    NotHere {
        /// Whether surely nothing was written.
        certain: bool,
    },
    /// The request itself fails, such as `version_conflict_engine_exception`.
    Error(ApiError),
}

/// What a node's other parts learn from its shards.
#[derive(Debug, Clone, PartialEq)]
pub enum ShardNews {
    /// A write ended.
    Write {
        /// The caller's token.
        token: u64,
        /// What came of it.
        result: Result<Written, ShardRefusal>,
    },
    /// Something for the controller.
    Report(ShardReport),
}

/// Hits of one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardHits {
    /// Documents that match.
    pub total: u64,
    /// The best, best first: score, then document id.
    pub hits: Vec<Hit>,
}

/// The copies on one node.
#[derive(Debug)]
pub struct Shards {}

/// Settings of [`Shards`].
#[derive(Debug, Clone)]
pub struct ShardsConfig {
    /// Settings of the search cluster.
    pub search: crate::scenario::plan::SearchConfig,
    /// Historic bugs switched on.
    pub defects: Defects,
}

#[allow(unused_variables, clippy::todo, reason = "contract, to be filled in")]
impl Shards {
    /// The copies that the disk holds; none serves before a cluster state says so.
    pub fn boot(config: ShardsConfig, files: &Files) -> Self {
        todo!()
    }

    /// Applies a newer cluster state: opens, promotes, resyncs, recovers, closes copies. Copies on disk
    /// whose allocation the state does not know any more are removed.
    pub fn apply(&mut self, ctx: &mut Ctx<'_>, state: &Arc<ClusterState>) {
        todo!()
    }

    /// A message from another node's shards.
    pub fn message(&mut self, ctx: &mut Ctx<'_>, from: crate::name::HostId, message: ShardMessage) {
        todo!()
    }

    /// The connection to a peer broke: what was sent to it may be lost.
    pub fn peer_lost(&mut self, ctx: &mut Ctx<'_>, peer: crate::name::HostId) {
        todo!()
    }

    /// What a token of this part waited for is durable.
    pub fn synced(&mut self, ctx: &mut Ctx<'_>, token: u64) {
        todo!()
    }

    /// A write for the primary `allocation` in `term`; ends in [`ShardNews::Write`] with this token.
    pub fn write(
        &mut self,
        ctx: &mut Ctx<'_>,
        token: u64,
        shard: &ShardId,
        allocation: AllocationId,
        term: Term,
        call: WriteCall,
    ) {
        todo!()
    }

    /// Realtime get from this node's active copy.
    pub fn get(
        &mut self,
        ctx: &mut Ctx<'_>,
        shard: &ShardId,
        id: &str,
    ) -> Result<Option<GotDoc>, ShardRefusal> {
        todo!()
    }

    /// Makes every operation of this node's active copy searchable now.
    pub fn refresh(&mut self, ctx: &mut Ctx<'_>, shard: &ShardId) -> Result<(), ShardRefusal> {
        todo!()
    }

    /// Searches this node's active copy, as of its last refresh.
    pub fn search(
        &mut self,
        ctx: &mut Ctx<'_>,
        shard: &ShardId,
        query: &Query,
        size: u32,
    ) -> Result<ShardHits, ShardRefusal> {
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
    pub fn take_news(&mut self) -> Vec<ShardNews> {
        todo!()
    }

    /// Notes what every copy holds.
    pub fn inspect(&mut self, ctx: &mut Ctx<'_>) {
        todo!()
    }
}
