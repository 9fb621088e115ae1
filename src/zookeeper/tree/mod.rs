//! Tree — decides what a transaction does to the znodes and sessions of one server. It never refuses one:
//! what the leader logged is applied.
//!
//! Applying is idempotent over a suffix, so that a log can be replayed over a fuzzy snapshot that already
//! has some of its effects (`DataTree.java`, `processTxn`).

mod apply;
pub mod path;
mod read;
pub mod znode;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::{
    apply::{Applied, Change},
    znode::Znode,
};
use crate::{
    event::{Digest, Ephemeral},
    name::{SessionId, Zxid},
};

/// The znodes, by path. Every node's parent is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    nodes: BTreeMap<String, Znode>,
    /// Paths of ephemeral nodes, by owner; no empty sets.
    ephemerals: BTreeMap<SessionId, BTreeSet<String>>,
}

impl Default for Tree {
    /// The tree of a server that has never seen a transaction.
    fn default() -> Self {
        let node = |path: &str, children: &[&str]| (path.to_owned(), Znode::initial(children));
        let nodes = [
            node(path::ROOT, &["zookeeper"]),
            node("/zookeeper", &["config", "quota"]),
            node("/zookeeper/config", &[]),
            node("/zookeeper/quota", &[]),
        ];
        Self { nodes: nodes.into(), ephemerals: BTreeMap::new() }
    }
}

/// Everything that transactions change: what a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Database {
    tree: Tree,
    sessions: BTreeMap<SessionId, u64>,
    last_processed: Zxid,
}

impl Database {
    /// The node at this path; the empty path is the root.
    pub fn node(&self, path: &str) -> Option<&Znode> {
        self.tree.nodes.get(path::canonical(path))
    }

    /// Open sessions with their timeouts in milliseconds, as negotiated when they were opened.
    pub fn sessions(&self) -> &BTreeMap<SessionId, u64> {
        &self.sessions
    }

    /// The last transaction applied.
    pub fn last_processed(&self) -> Zxid {
        self.last_processed
    }

    /// Sets what reply headers show, without a transaction: a new leader starts at `epoch:0`
    /// (`Leader.java`, `ZKDatabase.setlastProcessedZxid`).
    pub fn set_last_processed(&mut self, zxid: Zxid) {
        self.last_processed = zxid;
    }

    /// All ephemeral nodes, sorted by path.
    pub fn ephemerals(&self) -> Vec<Ephemeral> {
        let of = |(session, paths): (&SessionId, &BTreeSet<String>)| {
            let session = *session;
            paths.iter().cloned().map(move |path| Ephemeral { path, session }).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.tree.ephemerals.iter().flat_map(of).collect();
        all.sort();
        all
    }

    /// Paths of this session's ephemeral nodes, in order.
    pub fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = &String> {
        self.tree.ephemerals.get(&session).into_iter().flatten()
    }

    /// A hash over path, data and Stat of every znode in order of path, and how many there are.
    pub fn inspect(&self) -> (Digest, u64) {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for (path, node) in &self.tree.nodes {
            std::hash::Hash::hash(&(path, &node.data, node.stat()), &mut hash);
        }
        (Digest(hash.digest()), self.tree.nodes.len() as u64)
    }
}
