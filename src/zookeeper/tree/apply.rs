//! Apply — decides how each kind of transaction changes a database. It never fires a watch: it says what
//! changed, in order.

use super::{Database, Tree, Znode, path};
use crate::{
    event::EventKind,
    name::Zxid,
    zookeeper::{
        txn::{Lifetime, LoggedTxn, Txn, TxnHeader},
        wire::{Data, Reply, ZkError},
    },
};

/// A change to a znode, before any watch is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A node was made at this path.
    Created(String),
    /// The node at this path was removed.
    Deleted(String),
    /// The node at this path got new data.
    DataChanged(String),
}

/// What came of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The answer to whoever asked.
    pub result: Result<Reply, ZkError>,
    /// What watches are to be told of, in ZooKeeper's order.
    pub changes: Vec<Change>,
    /// What to record: sessions and ephemeral nodes that came and went.
    pub notes: Vec<EventKind>,
}

impl Applied {
    /// Whether the client must be cut off in place of an answer, since its session has moved to another
    /// server, also if only an operation inside a multi says so (`FinalRequestProcessor.java`).
    pub fn session_moved(&self) -> bool {
        let moved = |result: &Result<Reply, ZkError>| *result == Err(ZkError::SessionMoved);
        match &self.result {
            Ok(Reply::Multi(results)) => results.iter().any(moved),
            result => moved(result),
        }
    }
}

impl Database {
    /// Applies a committed transaction. What is there already, or gone already, is skipped.
    pub fn apply(&mut self, logged: &LoggedTxn) -> Applied {
        let mut step = Step { db: self, header: &logged.header, changes: Vec::new(), notes: Vec::new() };
        let result = step.run(&logged.txn);
        let Step { changes, notes, .. } = step;
        self.last_processed = self.last_processed.max(logged.header.zxid);
        Applied { result, changes, notes }
    }
}

/// One transaction being applied.
struct Step<'a> {
    db: &'a mut Database,
    header: &'a TxnHeader,
    changes: Vec<Change>,
    notes: Vec<EventKind>,
}

impl Step<'_> {
    fn run(&mut self, txn: &Txn) -> Result<Reply, ZkError> {
        match txn {
            Txn::Create { path, data, lifetime, parent_cversion } => {
                self.create(path, data, *lifetime, *parent_cversion)
            }
            Txn::Delete { path } => self.delete(path),
            Txn::SetData { path, data, version } => self.set_data(path, data, *version),
            Txn::Check { .. } => Ok(Reply::Done),
            Txn::Multi(txns) => Ok(Reply::Multi(self.multi(txns))),
            Txn::CreateSession { timeout_ms } => Ok(self.create_session(*timeout_ms)),
            Txn::CloseSession { paths } => Ok(self.close_session(paths)),
            Txn::Error(error) => Err(*error),
        }
    }

    /// The log may hold a create whose node a fuzzy snapshot already has; the parent's counters may be
    /// older than it all the same.
    fn create(
        &mut self,
        path: &str,
        data: &Data,
        lifetime: Lifetime,
        parent_cversion: i32,
    ) -> Result<Reply, ZkError> {
        let TxnHeader { zxid, .. } = *self.header;
        let (parent, name) = path::split(path).ok_or(ZkError::NodeExists)?;
        let parent = self.db.tree.nodes.get_mut(parent).ok_or(ZkError::NoNode)?;
        parent.cversion = parent.cversion.max(parent_cversion);
        parent.pzxid = parent.pzxid.max(zxid);
        if !parent.children.insert(name.to_owned()) {
            return Err(ZkError::NodeExists);
        }
        let node = Znode::created(self.header, data.clone(), lifetime);
        let stat = node.stat();
        self.db.tree.nodes.insert(path.to_owned(), node);
        if let Lifetime::Ephemeral(session) = lifetime {
            self.db.tree.ephemerals.entry(session).or_default().insert(path.to_owned());
            self.notes.push(EventKind::EphemeralCreated { path: path.to_owned(), session, zxid });
        }
        self.changes.push(Change::Created(path.to_owned()));
        Ok(Reply::Created { path: path.to_owned(), stat })
    }

    fn delete(&mut self, path: &str) -> Result<Reply, ZkError> {
        let TxnHeader { zxid, .. } = *self.header;
        let node = self.db.tree.remove(path, zxid).ok_or(ZkError::NoNode)?;
        if let Lifetime::Ephemeral(session) = node.lifetime {
            self.notes.push(EventKind::EphemeralDeleted { path: path.to_owned(), session, zxid });
        }
        self.changes.push(Change::Deleted(path.to_owned()));
        Ok(Reply::Done)
    }

    fn set_data(&mut self, path: &str, data: &Data, version: i32) -> Result<Reply, ZkError> {
        let node = self.db.tree.nodes.get_mut(path).ok_or(ZkError::NoNode)?;
        node.data.clone_from(data);
        node.version = version;
        node.mzxid = self.header.zxid;
        node.mtime = self.header.wall_ms;
        self.changes.push(Change::DataChanged(path.to_owned()));
        Ok(Reply::Stat(node.stat()))
    }

    /// One failed operation makes all of them void: those before it are told 0, itself its error, those
    /// after it RuntimeInconsistency.
    fn multi(&mut self, txns: &[Txn]) -> Vec<Result<Reply, ZkError>> {
        let failed = txns.iter().any(|txn| matches!(txn, Txn::Error(_)));
        let result = |txn| match txn {
            &Txn::Error(error) => Err(error),
            _ if failed => Ok(Reply::Done),
            txn => self.run(txn),
        };
        txns.iter().map(result).collect()
    }

    fn create_session(&mut self, timeout_ms: u64) -> Reply {
        let TxnHeader { session, zxid, .. } = *self.header;
        self.db.sessions.insert(session, timeout_ms);
        self.notes.push(EventKind::SessionOpened { session, zxid, timeout_ms });
        Reply::Done
    }

    /// Deletes what the transaction lists, and then what the session still owns here and should not.
    fn close_session(&mut self, paths: &[String]) -> Reply {
        let TxnHeader { session, zxid, .. } = *self.header;
        for path in paths {
            let _gone_already = self.delete(path);
        }
        let left: Vec<String> = self.db.ephemerals_of(session).cloned().collect();
        for path in &left {
            let _gone_already = self.delete(path);
        }
        self.db.sessions.remove(&session);
        self.notes.push(EventKind::SessionClosed { session, zxid });
        Reply::Done
    }
}

impl Tree {
    /// Takes a node out. Its parent learns of it also if the node is gone already; pzxid only ever rises,
    /// since a replayed delete may meet a parent that has seen later creates (ZOOKEEPER-3145).
    fn remove(&mut self, path: &str, zxid: Zxid) -> Option<Znode> {
        let (parent, name) = path::split(path)?;
        let parent = self.nodes.get_mut(parent)?;
        parent.children.remove(name);
        parent.pzxid = parent.pzxid.max(zxid);
        let node = self.nodes.remove(path)?;
        self.forget_ephemeral(node.lifetime, path);
        self.prune(path, &node);
        Some(node)
    }

    /// Below a node deleted in replay there may be children of a later node of that name; the log that
    /// follows makes them again.
    fn prune(&mut self, path: &str, node: &Znode) {
        for name in &node.children {
            let child_path = format!("{path}/{name}");
            if let Some(child) = self.nodes.remove(&child_path) {
                self.forget_ephemeral(child.lifetime, &child_path);
                self.prune(&child_path, &child);
            }
        }
    }

    fn forget_ephemeral(&mut self, lifetime: Lifetime, path: &str) {
        let Lifetime::Ephemeral(session) = lifetime else { return };
        let Some(paths) = self.ephemerals.get_mut(&session) else { return };
        paths.remove(path);
        if paths.is_empty() {
            self.ephemerals.remove(&session);
        }
    }
}
