//! Messages — decides what copies of one shard say to each other. It never decides what follows from it.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    event::Word,
    name::{AllocationId, SeqNo, ShardId, Term},
    search::{leases::Leases, operation::Operation, recovery::CommitFile},
};

/// What one copy of a shard says to another.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardMessage {
    /// Their shard.
    pub shard: ShardId,
    /// Who speaks.
    pub from: AllocationId,
    /// Who is meant; a node may hold another copy of that shard by now.
    pub to: AllocationId,
    /// The primary term that the speaker knows.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// What can be said.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Primary to copy: operations to take.
    Operations(Operations),
    /// Copy to primary: those of this request are here, durable.
    Taken {
        /// Which request.
        request: u64,
        /// Every operation up to here is here, durable.
        local_checkpoint: SeqNo,
    },
    /// Copy to primary: what was taken without a sync is durable now.
    Persisted {
        /// Every operation up to here is here, durable.
        local_checkpoint: SeqNo,
    },
    /// Primary to copy: which operations to keep for whom. Nobody waits for it.
    RetentionLeases(Box<Leases>),
    /// Copy to primary: the term of the envelope is newer than yours.
    Refused {
        /// Which request.
        request: u64,
    },
    /// To the sender of a request: no such copy is open here.
    Absent {
        /// Which request, or which attempt of a recovery.
        request: u64,
    },
    /// Primary to copy: all that you have is to be searchable.
    Refresh {
        /// The sender's number; answers name it.
        request: u64,
    },
    /// Copy to primary: it is.
    Refreshed {
        /// Which request.
        request: u64,
    },
    /// Primary to copy, when no operation would carry it: the global checkpoint.
    GlobalCheckpoint(SeqNo),
    /// Target to primary: send me what I lack.
    Recover {
        /// The target's number of this attempt.
        attempt: u64,
        /// The first operation that it may lack.
        next: SeqNo,
    },
    /// Primary to target: not now.
    Later {
        /// Which attempt.
        attempt: u64,
    },
    /// Primary to target: operations would not do; these files make up a commit.
    Files {
        /// Which attempt.
        attempt: u64,
        /// The files.
        files: Vec<CommitFile>,
    },
    /// Target to primary: the next piece of a file.
    Fetch {
        /// Which attempt.
        attempt: u64,
        /// Which file.
        file: String,
        /// From which byte.
        offset: u64,
    },
    /// Primary to target: a piece of a file.
    Chunk {
        /// Which attempt.
        attempt: u64,
        /// Which file.
        file: String,
        /// From which byte.
        offset: u64,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// Primary to target: you are level with me and in sync, as far as I am concerned.
    Finalized {
        /// Which attempt.
        attempt: u64,
        /// The global checkpoint.
        global_checkpoint: SeqNo,
    },
    /// Primary to the target that replaces it: the last word of the relocation.
    HandOff {
        /// Which attempt.
        attempt: u64,
        /// All that the primary knew of its replication group.
        context: PrimaryContext,
    },
}

/// Operations from the primary.
#[derive(Debug, Clone, PartialEq)]
pub struct Operations {
    /// The sender's number; answers name it.
    pub request: u64,
    /// Why they are sent.
    pub purpose: Purpose,
    /// The operations, by number.
    pub operations: Vec<Arc<Operation>>,
    /// Every operation up to here is on all in-sync copies.
    pub global_checkpoint: SeqNo,
}

/// Why operations are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A client wrote, or reads and wants to know whether this is still the primary.
    Write {
        /// Whether the copy's next search has to see it.
        refresh: bool,
    },
    /// The primary is new.
    Resync {
        /// In the last message of a resync: the highest number of the primary when it began; what the copy
        /// has above and the primary has not sent is void.
        trim_above: Option<SeqNo>,
    },
    /// The copy recovers.
    Recovery {
        /// The target's number of the attempt.
        attempt: u64,
    },
}

/// What a primary knows of its replication group (Elasticsearch's `ReplicationTracker.PrimaryContext`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimaryContext {
    /// The global checkpoint.
    pub global_checkpoint: SeqNo,
    /// The local checkpoints of the in-sync copies.
    pub in_sync: BTreeMap<AllocationId, SeqNo>,
    /// The retention leases.
    pub leases: Leases,
}

impl ShardMessage {
    /// What the sender is told if no such copy is on the node; nothing if it expects no answer.
    pub(super) fn absent(&self) -> Option<Self> {
        let request = match &self.body {
            Body::Operations(operations) => operations.request,
            Body::Refresh { request } => *request,
            Body::Recover { attempt, .. } | Body::Fetch { attempt, .. } => *attempt,
            _ => return None,
        };
        let body = Body::Absent { request };
        Some(Self { shard: self.shard.clone(), from: self.to, to: self.from, term: self.term, body })
    }

    /// About how many bytes it carries.
    pub fn bytes(&self) -> u64 {
        match &self.body {
            Body::Chunk { bytes, .. } => bytes.len() as u64,
            Body::Operations(Operations { operations, .. }) => {
                operations.iter().map(|operation| 32 + operation.source_len()).sum()
            }
            _ => 64,
        }
    }

    /// A word for traces.
    pub fn label(&self) -> Word {
        let word = match &self.body {
            Body::Operations(operations) => match operations.purpose {
                Purpose::Write { .. } => "replicate",
                Purpose::Resync { .. } => "resync",
                Purpose::Recovery { .. } => "recovery-operations",
            },
            Body::Taken { .. } => "operations-taken",
            Body::Persisted { .. } => "operations-persisted",
            Body::RetentionLeases(_) => "retention-leases",
            Body::Refused { .. } => "operations-refused",
            Body::Absent { .. } => "copy-absent",
            Body::Refresh { .. } => "refresh",
            Body::Refreshed { .. } => "refreshed",
            Body::GlobalCheckpoint(_) => "global-checkpoint",
            Body::Recover { .. } => "recover",
            Body::Later { .. } => "recover-later",
            Body::Files { .. } => "recovery-files",
            Body::Fetch { .. } => "recovery-fetch",
            Body::Chunk { .. } => "recovery-chunk",
            Body::Finalized { .. } => "recovery-finalized",
            Body::HandOff { .. } => "primary-hand-off",
        };
        word.into()
    }
}
