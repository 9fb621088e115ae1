//! Operations — decides what a write is once a primary has numbered it. It never applies one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    event::Digest,
    name::{SeqNo, Term},
};

/// A numbered operation: what primaries send, translogs keep and engines apply. (term, seq_no) names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Dense per shard.
    pub seq_no: SeqNo,
    /// Term of the primary that numbered it.
    pub term: Term,
    /// `_version` of the document after it.
    pub version: u64,
    /// What it does.
    pub action: Action,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Puts a document.
    Index {
        /// Document id.
        id: String,
        /// The document: a JSON object.
        source: Arc<str>,
        /// `_routing`: what it was routed by, if not its id.
        routing: Option<Arc<str>>,
    },
    /// Removes a document.
    Delete {
        /// Document id.
        id: String,
    },
    /// Takes up a number that a former primary left unused (gap filling on promotion).
    NoOp,
}

impl Operation {
    /// The id that it is about, empty if none, and the hash of the source that it puts, if it does.
    pub fn document(&self) -> (String, Option<Digest>) {
        match &self.action {
            Action::Index { id, source, .. } => (id.clone(), Some(Digest::of(source.as_bytes()))),
            Action::Delete { id, .. } => (id.clone(), None),
            Action::NoOp => (String::new(), None),
        }
    }

    /// The length of the source that it puts, in bytes.
    pub fn source_len(&self) -> u64 {
        match &self.action {
            Action::Index { source, .. } => source.len() as u64,
            Action::Delete { .. } | Action::NoOp => 0,
        }
    }

    /// Hash of all that it says; equal on all copies.
    pub fn digest(&self) -> Digest {
        let (tag, id, source, routing): (u8, &str, &str, &str) = match &self.action {
            Action::Index { id, source, routing } => (1, id, source, routing.as_deref().unwrap_or_default()),
            Action::Delete { id } => (2, id, "", ""),
            Action::NoOp => (3, "", "", ""),
        };
        let mut bytes = Vec::with_capacity(32 + id.len() + source.len());
        bytes.extend(self.seq_no.0.to_le_bytes());
        bytes.extend(self.term.0.to_le_bytes());
        bytes.extend(self.version.to_le_bytes());
        bytes.push(tag);
        bytes.extend((id.len() as u64).to_le_bytes());
        bytes.extend(id.as_bytes());
        bytes.extend(source.as_bytes());
        bytes.extend(routing.as_bytes());
        Digest::of(&bytes)
    }
}
