//! Calls — decides what a write says when it reaches the node of the primary. It never decides what becomes of it.

use std::sync::Arc;

use crate::{
    name::{SeqNo, Term},
    scenario::plan::ReadPolicy,
    search::api::{ActiveShards, RefreshPolicy, VersionType, WriteResult},
};

/// A write, as it reaches the node of the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteCall {
    /// Document id.
    pub id: String,
    /// What it was routed by, if not its id.
    pub routing: Option<Arc<str>>,
    /// What it does.
    pub action: WriteAction,
    /// What it asks of the document before.
    pub condition: Condition,
    /// When it must be searchable.
    pub refresh: RefreshPolicy,
    /// Copies that must be active before; none: as the index has it.
    pub active_shards: Option<ActiveShards>,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteAction {
    /// Puts a document.
    Index {
        /// The document: a JSON object.
        source: Arc<str>,
    },
    /// Removes a document.
    Delete,
    /// Merges into a document.
    Update {
        /// What: a JSON object.
        doc: Arc<str>,
        /// What is put if there is none.
        upsert: Option<Arc<str>>,
        /// Whether an update that changes nothing is left out.
        detect_noop: bool,
    },
}

/// What a write asks of the document before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// That there is none (op_type=create).
    Missing,
    /// That this operation changed it last (if_seq_no and if_primary_term).
    LastChangedBy(SeqNo, Term),
    /// That its version gives way to this one, which it gets.
    Version(u64, VersionType),
}

impl WriteCall {
    fn new(id: impl Into<String>, action: WriteAction) -> Self {
        let (routing, condition, refresh, active_shards) = (None, Condition::None, RefreshPolicy::None, None);
        Self { id: id.into(), routing, action, condition, refresh, active_shards }
    }

    /// Puts a document, whatever was there.
    pub fn index(id: impl Into<String>, source: impl Into<Arc<str>>) -> Self {
        Self::new(id, WriteAction::Index { source: source.into() })
    }

    /// Removes a document, whatever is there.
    pub fn delete(id: impl Into<String>) -> Self {
        Self::new(id, WriteAction::Delete)
    }

    /// The document that it puts or merges; none if it removes one.
    pub fn source(&self) -> Option<&Arc<str>> {
        match &self.action {
            WriteAction::Index { source } | WriteAction::Update { doc: source, .. } => Some(source),
            WriteAction::Delete => None,
        }
    }
}

/// A get, as it reaches the node of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadCall {
    /// Document id.
    pub id: String,
    /// Whether operations count that are not searchable yet.
    pub realtime: bool,
    /// Whether to refresh first.
    pub refresh: bool,
    /// Which copies may answer, and when.
    pub policy: ReadPolicy,
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
    /// Whether a refresh was made for it.
    pub forced_refresh: bool,
}
