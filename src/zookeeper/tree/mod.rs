//! Tree — decides what a transaction does to the znodes and sessions of one server. It never refuses one:
//! what the leader logged is applied.
//!
//! Applying is idempotent over a suffix, so that a log can be replayed over a fuzzy snapshot that already
//! has some of its effects (`DataTree.java`, `processTxn`).

mod apply;
mod children;
mod index;
mod load;
pub mod path;
mod quota;
mod read;
pub mod znode;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use self::index::Index;
pub use self::{
    apply::{Applied, Change, ChangeKind},
    read::Reader,
    znode::Znode,
};
use super::wire::Acl;
use crate::{
    event::{Digest, Ephemeral},
    name::{SessionId, Zxid},
};

/// The node that holds the configuration of the ensemble.
pub const CONFIG: &str = "/zookeeper/config";

/// The znodes, by path. Every node's parent is there.
///
/// A node's children are found by their paths, so that every path is held once, and a million nodes fit
/// into a few hundred megabytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tree {
    nodes: BTreeMap<Arc<str>, Box<Znode>>,
    /// Nodes that are looked for by something else than their path.
    index: Index,
}

impl Default for Tree {
    /// The tree of a server that has never seen a transaction. The configuration is for nobody to change
    /// (ZOOKEEPER-2014); setting its list left the aversion at −1.
    fn default() -> Self {
        let config = Znode { acl: Acl::read_only(), aversion: -1, ..Znode::initial(0) };
        let nodes = [
            (path::ROOT, Znode::initial(1)),
            ("/zookeeper", Znode::initial(2)),
            (CONFIG, config),
            ("/zookeeper/quota", Znode::initial(0)),
        ];
        let nodes = nodes.map(|(path, node)| (path.into(), Box::new(node)));
        Self { nodes: nodes.into(), index: Index::default() }
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
        self.tree.nodes.get(path::canonical(path)).map(Box::as_ref)
    }

    /// Names of the children of this path, in order.
    pub fn children(&self, path: &str) -> impl Iterator<Item = &str> {
        self.tree.children(path)
    }

    /// Fills `/zookeeper/config` at start, before any reconfiguration has. `version` is that of the
    /// configuration: the zxid of the reconfiguration that made it (`ZKDatabase.initConfigInZKDatabase`).
    /// Not part of any transaction: every server of the ensemble has to do the same.
    pub fn init_config(&mut self, configuration: &str, version: Zxid) {
        let node = self.tree.nodes.get_mut(CONFIG).expect("the configuration cannot be deleted");
        if node.mzxid <= version {
            node.data = Some(configuration.as_bytes().into());
            node.version = -1;
            node.mzxid = version;
        }
    }

    /// Open sessions with their timeouts in milliseconds, as negotiated when they were opened.
    pub fn sessions(&self) -> &BTreeMap<SessionId, u64> {
        &self.sessions
    }

    /// The last transaction applied.
    pub fn last_processed(&self) -> Zxid {
        self.last_processed
    }

    /// All ephemeral nodes, sorted by path.
    pub fn ephemerals(&self) -> Vec<Ephemeral> {
        let node = |(session, path): (SessionId, &Arc<str>)| Ephemeral { path: path.to_string(), session };
        let mut all: Vec<_> = self.tree.index.ephemerals().map(node).collect();
        all.sort();
        all
    }

    /// Paths of this session's ephemeral nodes, in order.
    pub fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = &Arc<str>> {
        self.tree.index.ephemerals_of(session)
    }

    /// Paths of all containers, in order.
    pub fn containers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.tree.index.containers()
    }

    /// Paths of all TTL nodes, in order.
    pub fn ttls(&self) -> impl Iterator<Item = &Arc<str>> {
        self.tree.index.ttls()
    }

    /// The number of znodes, and the bytes of their paths and data together
    /// (`DataTree.java`, `approximateDataSize`).
    pub fn size(&self) -> (u64, u64) {
        let data = self.tree.nodes.values().map(|node| node.stat().data_length as u64);
        let paths = self.tree.nodes.keys().map(|path| path.len() as u64);
        (self.tree.nodes.len() as u64, paths.chain(data).sum())
    }

    /// A hash over path, data, list, kind and Stat of every znode in order of path, and how many there are.
    pub fn inspect(&self) -> (Digest, u64) {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for (path, node) in &self.tree.nodes {
            std::hash::Hash::hash(&(path, &node.data, &node.acl, node.lifetime, node.stat()), &mut hash);
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
        create_as(path, lifetime)
    }

    fn create_as(path: &str, lifetime: Lifetime) -> Txn {
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
        assert_eq!(
            db.size(),
            (4, ("/".len() + "/zookeeper".len() + CONFIG.len() + "/zookeeper/quota".len()) as u64)
        );
    }

    #[test]
    fn inspection_sees_path_data_list_kind_and_stat() {
        let with = |txns: &[Txn]| {
            let mut db = Database::default();
            txns.iter().zip(1..).for_each(|(txn, zxid)| apply(&mut db, zxid, txn.clone()));
            db.inspect()
        };
        let set = |data| Txn::SetData { path: "/a".into(), data, version: 1 };
        let listed = |acl| Txn::SetAcl { path: "/a".into(), acl, version: 1 };
        let empty = Some([].as_slice().into());
        let seen = [
            with(&[]),
            with(&[create("/a", 0)]),
            with(&[create("/b", 0)]),
            with(&[create("/a", 1)]),
            with(&[create("/a", 0), set(None)]),
            with(&[create("/a", 0), set(empty)]),
            with(&[create_as("/a", Lifetime::Container)]),
            with(&[create_as("/a", Lifetime::Ttl { ms: 1 })]),
            with(&[create_as("/a", Lifetime::Ttl { ms: 2 })]),
            with(&[create("/a", 0), listed(Acl::open())]),
            with(&[create("/a", 0), listed(Acl::read_only())]),
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
        let ours: Vec<_> = db.ephemerals_of(SessionId(1)).map(|path| &**path).collect();
        assert_eq!(ours, ["/b", "/c"]);
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
