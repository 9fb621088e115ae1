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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
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

    /// Fills `/zookeeper/config` at start.
    pub fn init_config(&mut self, members: &str, version: Zxid) {
        let node = self.tree.nodes.get_mut("/zookeeper/config").expect("the configuration cannot be deleted");
        if node.mzxid <= version {
            node.data = Some(format!("{members}\nversion={:x}", version.0).into_bytes().into());
            node.version = -1;
            node.mzxid = version;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zookeeper::{
        txn::{Lifetime, LoggedTxn, Txn, TxnHeader},
        wire::Acl,
    };

    fn apply(db: &mut Database, zxid: u64, txn: Txn) {
        let header = TxnHeader { session: SessionId(1), xid: 0, zxid: Zxid(zxid), wall_ms: 0 };
        db.apply(&LoggedTxn { header, txn }).result.unwrap();
    }

    fn create(path: &str, owner: u64) -> Txn {
        let lifetime = if owner == 0 { Lifetime::Persistent } else { Lifetime::Ephemeral(SessionId(owner)) };
        Txn::Create { path: path.into(), data: None, acl: Acl::open(), lifetime, parent_cversion: 1 }
    }

    /// "Fresh `/` and `/zookeeper` therefore show negative numbers (-1, -2)"
    #[test]
    fn fresh_tree_has_the_reserved_nodes_alone() {
        let db = Database::default();
        let shown = path::RESERVED.map(|path| db.node(path).expect("it is there from the start").stat());
        assert_eq!(shown.map(|stat| stat.cversion), [-1, -2, 0, 0]);
        assert_eq!(shown.map(|stat| stat.num_children), [1, 2, 0, 0]);
        assert_eq!(db.inspect().1, 4);
    }

    #[test]
    fn inspection_sees_path_data_and_stat() {
        let with = |txns: &[Txn]| {
            let mut db = Database::default();
            txns.iter().zip(1..).for_each(|(txn, zxid)| apply(&mut db, zxid, txn.clone()));
            db.inspect()
        };
        let set = |data| Txn::SetData { path: "/a".into(), data, version: 1 };
        let empty = Some([].as_slice().into());
        let seen = [
            with(&[]),
            with(&[create("/a", 0)]),
            with(&[create("/b", 0)]),
            with(&[create("/a", 1)]),
            with(&[create("/a", 0), set(None)]),
            with(&[create("/a", 0), set(empty)]),
        ];
        for (at, one) in seen.iter().enumerate() {
            assert!(!seen[..at].contains(one), "{at}");
        }
        assert_eq!(with(&[create("/a", 0)]), seen[1]);
    }

    #[test]
    fn ephemerals_are_sorted_by_path() {
        let mut db = Database::default();
        apply(&mut db, 1, create("/b", 1));
        apply(&mut db, 2, create("/a", 2));
        apply(&mut db, 3, create("/c", 1));
        let paths: Vec<_> = db.ephemerals().into_iter().map(|node| node.path).collect();
        assert_eq!(paths, ["/a", "/b", "/c"]);
        assert_eq!(db.ephemerals_of(SessionId(1)).collect::<Vec<_>>(), ["/b", "/c"]);
    }

    #[test]
    fn database_survives_its_snapshot() {
        let mut db = Database::default();
        apply(&mut db, 1, Txn::CreateSession { timeout_ms: 4_000 });
        apply(&mut db, 2, create("/e", 1));
        let bytes = postcard::to_stdvec(&db).unwrap();
        assert_eq!(postcard::from_bytes::<Database>(&bytes).unwrap(), db);
    }
}
