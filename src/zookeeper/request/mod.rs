//! Requests — decides what a write becomes: a transaction, or the error that comes first. It never changes
//! the database.
//!
//! The leader judges each write against committed state overlaid with what earlier, still outstanding
//! transactions will do (`PrepRequestProcessor.java`). The order of the checks is part of the protocol: a
//! write that is wrong in two ways gets the first error.

mod outstanding;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use self::outstanding::{NodeView, Outstanding};
use super::{
    session::SessionTracker,
    tree::{Database, path},
    txn::{Lifetime, LoggedTxn, Txn, TxnHeader},
    wire::{Acl, CreateMode, Data, Op, ZkError},
};
use crate::{
    core::Instant,
    name::{HostId, Zxid},
};

/// The version that matches every version.
const ANY_VERSION: i32 = -1;

/// The leader's preparation of writes, in zxid order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Preparer {
    outstanding: Outstanding,
}

impl Preparer {
    /// Turns a write into the transaction of `header.zxid`, which is used up whatever comes of it: a
    /// refused write becomes [`Txn::Error`], a refused multi one `Error` for each of its operations. `owner`
    /// is the server whose client asked.
    ///
    /// A closeSession marks the session as closing.
    ///
    /// # Panics
    ///
    /// If `op` is not a write, or the zxid is below that of an outstanding change.
    pub fn prepare(
        &mut self,
        db: &Database,
        sessions: &mut SessionTracker,
        owner: HostId,
        header: TxnHeader,
        op: &Op,
    ) -> LoggedTxn {
        let outstanding = &mut self.outstanding;
        let mut preparation = Preparation { outstanding, db, sessions, owner, header };
        let txn = preparation.write(op).unwrap_or_else(Txn::Error);
        LoggedTxn { header, txn }
    }

    /// The transaction that opens `header.session`. The leader tracks the session from here on, as one of
    /// `owner`'s, so that it can expire even if its client is never told of it.
    pub fn prepare_session(
        &mut self,
        sessions: &mut SessionTracker,
        owner: HostId,
        header: TxnHeader,
        timeout_ms: u64,
        now: Instant,
    ) -> LoggedTxn {
        sessions.open(header.session, timeout_ms, now);
        sessions.claim(header.session, timeout_ms, owner, now);
        LoggedTxn { header, txn: Txn::CreateSession { timeout_ms } }
    }

    /// Drops what transactions up to this one have changed: the database shows it now. To be called
    /// whenever the leader has applied a transaction.
    pub fn committed(&mut self, zxid: Zxid) {
        self.outstanding.committed(zxid);
    }

    /// Drops everything: leadership is lost.
    pub fn clear(&mut self) {
        self.outstanding = Outstanding::default();
    }
}

/// One write being prepared.
struct Preparation<'a> {
    outstanding: &'a mut Outstanding,
    db: &'a Database,
    sessions: &'a mut SessionTracker,
    owner: HostId,
    header: TxnHeader,
}

impl Preparation<'_> {
    fn write(&mut self, op: &Op) -> Result<Txn, ZkError> {
        match op {
            Op::Multi(ops) => self.multi(ops),
            Op::CloseSession => Ok(self.close_session()),
            op => {
                assert!(op.is_write(), "only writes are prepared, not {}", op.name());
                self.single(op)
            }
        }
    }

    fn single(&mut self, op: &Op) -> Result<Txn, ZkError> {
        match op {
            Op::Create { path, data, acl, mode } => self.create(path, data, acl, *mode),
            Op::Delete { path, version } => self.delete(path, *version),
            Op::SetData { path, data, version } => self.set_data(path, data, *version),
            Op::Check { path, version } => self.check(path, *version),
            _ => Err(ZkError::MarshallingError),
        }
    }

    /// The parent is looked up before the name is checked, and the name is checked with its counter.
    fn create(&mut self, path: &str, data: &Data, acl: &Acl, mode: CreateMode) -> Result<Txn, ZkError> {
        self.check_session()?;
        let parent_path = path::parent_of_unchecked(path)?;
        let parent = self.node(parent_path)?;
        let path = full_name(path, mode, parent.cversion);
        path::validate(&path)?;
        if self.node(&path).is_ok() {
            return Err(ZkError::NodeExists);
        }
        if matches!(parent.lifetime, Lifetime::Ephemeral(_)) {
            return Err(ZkError::NoChildrenForEphemerals);
        }
        let parent_cversion = parent.cversion.wrapping_add(1);
        let lifetime = self.lifetime(mode);
        let parent_after = NodeView { cversion: parent_cversion, children: parent.children + 1, ..parent };
        self.change(parent_path, Some(parent_after));
        self.change(&path, Some(NodeView::created(lifetime)));
        Ok(Txn::Create { path, data: data.clone(), acl: acl.clone(), lifetime, parent_cversion })
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<Txn, ZkError> {
        self.check_session()?;
        let parent_path = path::parent_of_unchecked(path)?;
        if path::RESERVED.contains(&path) {
            return Err(ZkError::BadArguments);
        }
        let parent = self.node(parent_path)?;
        let node = self.node(path)?;
        check_version(&node, version)?;
        if node.children > 0 {
            return Err(ZkError::NotEmpty);
        }
        self.change(parent_path, Some(NodeView { children: parent.children - 1, ..parent }));
        self.change(path, None);
        Ok(Txn::Delete { path: path.to_owned() })
    }

    fn set_data(&mut self, path: &str, data: &Data, version: i32) -> Result<Txn, ZkError> {
        let node = self.versioned(path, version)?;
        let version = node.version.wrapping_add(1);
        self.change(path, Some(NodeView { version, ..node }));
        Ok(Txn::SetData { path: path.to_owned(), data: data.clone(), version })
    }

    fn check(&mut self, path: &str, version: i32) -> Result<Txn, ZkError> {
        self.versioned(path, version)?;
        Ok(Txn::Check { path: path.to_owned() })
    }

    /// Each operation sees what those before it will have done. After the first failure nothing of the
    /// multi stays, and what follows is not even looked at.
    fn multi(&mut self, ops: &[Op]) -> Result<Txn, ZkError> {
        if !ops.iter().all(may_be_in_multi) {
            return Err(ZkError::MarshallingError);
        }
        let mut txns = Vec::with_capacity(ops.len());
        for op in ops {
            match self.single(op) {
                Ok(txn) => txns.push(txn),
                Err(error) => {
                    self.outstanding.roll_back(self.header.zxid);
                    txns.push(Txn::Error(error));
                    txns.resize(ops.len(), Txn::Error(ZkError::RuntimeInconsistency));
                    break;
                }
            }
        }
        Ok(Txn::Multi(txns))
    }

    /// Lists the committed ephemeral nodes of the session with those about to be made and without those
    /// about to be deleted. Its owner is not checked: the leader itself closes what has expired.
    ///
    /// The parents keep counting these nodes as children until the transaction is applied, as in
    /// ZooKeeper: so long the delete of a parent is NotEmpty.
    fn close_session(&mut self) -> Txn {
        let session = self.header.session;
        let mut paths: BTreeSet<String> = self.db.ephemerals_of(session).cloned().collect();
        for (path, after) in self.outstanding.latest() {
            match after {
                Some(node) if node.lifetime == Lifetime::Ephemeral(session) => paths.insert(path.clone()),
                _ => paths.remove(path),
            };
        }
        for path in &paths {
            self.change(path, None);
        }
        self.sessions.mark_closing(session);
        Txn::CloseSession { paths: paths.into_iter().collect() }
    }

    fn check_session(&mut self) -> Result<(), ZkError> {
        self.sessions.check(self.header.session, self.owner)
    }

    /// The checks that setData and check share.
    fn versioned(&mut self, path: &str, version: i32) -> Result<NodeView, ZkError> {
        self.check_session()?;
        path::validate(path)?;
        let node = self.node(path)?;
        check_version(&node, version)?;
        Ok(node)
    }

    fn node(&self, path: &str) -> Result<NodeView, ZkError> {
        self.outstanding.node(self.db, path).ok_or(ZkError::NoNode)
    }

    fn change(&mut self, path: &str, after: Option<NodeView>) {
        self.outstanding.change(self.header.zxid, path, after);
    }

    fn lifetime(&self, mode: CreateMode) -> Lifetime {
        if mode.is_ephemeral() { Lifetime::Ephemeral(self.header.session) } else { Lifetime::Persistent }
    }
}

/// The counter is the number of children ever created under the parent, in ten digits.
fn full_name(path: &str, mode: CreateMode, parent_cversion: i32) -> String {
    if mode.is_sequential() { format!("{path}{parent_cversion:010}") } else { path.to_owned() }
}

fn check_version(node: &NodeView, expected: i32) -> Result<(), ZkError> {
    if expected == ANY_VERSION || expected == node.version { Ok(()) } else { Err(ZkError::BadVersion) }
}

fn may_be_in_multi(op: &Op) -> bool {
    matches!(op, Op::Create { .. } | Op::Delete { .. } | Op::SetData { .. } | Op::Check { .. })
}
