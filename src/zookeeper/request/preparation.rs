//! Preparation — decides what one write becomes. It never sees the next one.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Asker, Desk, Standing,
    outstanding::{NodeView, Outstanding},
};
use crate::{
    name::SessionId,
    zookeeper::{
        access,
        tree::path,
        txn::{Lifetime, Txn, TxnHeader},
        wire::{Acl, Compat, CreateMode, Data, Op, ZkError, perms},
    },
};

/// The version that matches every version.
const ANY_VERSION: i32 = -1;

/// The longest TTL, in milliseconds: 40 bits (`EphemeralType.java`).
const TTL_MAX_MS: i64 = (1 << 40) - 1;

/// One write being prepared.
pub(super) struct Preparation<'a> {
    pub(super) outstanding: &'a mut Outstanding,
    pub(super) desk: Desk<'a>,
    pub(super) asker: Asker<'a>,
    pub(super) header: TxnHeader,
}

impl Preparation<'_> {
    pub(super) fn write(&mut self, op: &Op) -> Result<Txn, ZkError> {
        match op {
            Op::Multi(ops) => self.multi(ops),
            Op::CloseSession => Ok(self.close_session()),
            Op::DeleteContainer { path } => self.delete_container(path),
            Op::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            Op::Check { .. } if self.desk.config.compat == Compat::V3_9 => Err(ZkError::Unimplemented),
            Op::Reconfig { from_config, .. } => {
                self.reconfig(*from_config, Standing::Standalone, || Err(ZkError::Unimplemented))
            }
            op => {
                assert!(op.is_write(), "only writes are prepared, not {}", op.name());
                self.single(op)
            }
        }
    }

    /// What may also be in a multi.
    fn single(&mut self, op: &Op) -> Result<Txn, ZkError> {
        match op {
            Op::Create { path, data, acl, mode } => self.create(path, data, acl, *mode),
            Op::Delete { path, version } => self.delete(path, *version),
            Op::SetData { path, data, version } => self.set_data(path, data, *version),
            Op::Check { path, version } => self.check(path, *version),
            Op::Malformed { error, .. } => Err(*error),
            _ => Err(ZkError::MarshallingError),
        }
    }

    /// The parent is looked up before the name is checked, and the name is checked with its counter.
    fn create(&mut self, path: &str, data: &Data, acl: &Acl, mode: CreateMode) -> Result<Txn, ZkError> {
        let lifetime = self.lifetime(mode)?;
        self.check_creator(lifetime)?;
        let parent_path = path::parent_of_unchecked(path)?;
        let acl = access::expand(acl, self.asker.ids)?;
        let parent = self.node(parent_path)?;
        access::permit(&parent.acl, perms::CREATE, self.asker.ids)?;
        let path = full_name(path, mode, parent.cversion);
        path::validate(&path)?;
        self.check_place(&path, &parent)?;
        let node = NodeView::created(lifetime, acl.clone(), data);
        self.check_quota(&path, node.data_len, 1)?;
        let parent_cversion = parent.cversion.wrapping_add(1);
        let parent_after = NodeView { cversion: parent_cversion, children: parent.children + 1, ..parent };
        self.change(parent_path, Some(parent_after));
        self.change(&path, Some(node));
        Ok(Txn::Create { path, data: data.clone(), acl, lifetime, parent_cversion })
    }

    /// Ephemeral nodes need a session that the whole ensemble knows. Of one that is local to itself a leader
    /// knows better why not.
    fn check_creator(&mut self, lifetime: Lifetime) -> Result<(), ZkError> {
        let owner = self.asker.owner;
        match lifetime {
            Lifetime::Ephemeral(session) if self.desk.sessions.is_local_to_leader(session, owner) => {
                Err(ZkError::EphemeralOnLocalSession)
            }
            Lifetime::Ephemeral(session) => self.desk.sessions.check_global(session, owner),
            Lifetime::Persistent | Lifetime::Container | Lifetime::Ttl { .. } => self.check_session(),
        }
    }

    fn check_place(&self, path: &str, parent: &NodeView) -> Result<(), ZkError> {
        if self.node(path).is_ok() {
            return Err(ZkError::NodeExists);
        }
        match parent.lifetime {
            Lifetime::Ephemeral(_) => Err(ZkError::NoChildrenForEphemerals),
            Lifetime::Persistent | Lifetime::Container | Lifetime::Ttl { .. } => Ok(()),
        }
    }

    /// The right to delete is one of the parent, and is asked for before the node is looked up.
    fn delete(&mut self, path: &str, version: i32) -> Result<Txn, ZkError> {
        self.check_session()?;
        let parent_path = deletable(path)?;
        let parent = self.node(parent_path)?;
        access::permit(&parent.acl, perms::DELETE, self.asker.ids)?;
        let node = self.node(path)?;
        check_version(node.version, version)?;
        if node.children > 0 {
            return Err(ZkError::NotEmpty);
        }
        Ok(self.deleted(path, parent_path, parent))
    }

    /// For the leader's own search alone. From a client, 3.8.0 reads the path where there is none, and finds
    /// it bad; later versions would let anybody delete any empty node.
    fn delete_container(&mut self, path: &str) -> Result<Txn, ZkError> {
        if self.header.session != SessionId::NONE {
            return Err(ZkError::BadArguments);
        }
        let parent_path = deletable(path)?;
        let node = self.node(path)?;
        if node.children > 0 {
            return Err(ZkError::NotEmpty);
        }
        if matches!(node.lifetime, Lifetime::Ephemeral(_)) {
            return Err(ZkError::BadVersion);
        }
        let parent = self.node(parent_path)?;
        Ok(self.deleted(path, parent_path, parent))
    }

    fn deleted(&mut self, path: &str, parent_path: &str, parent: NodeView) -> Txn {
        self.change(parent_path, Some(NodeView { children: parent.children - 1, ..parent }));
        self.change(path, None);
        Txn::Delete { path: path.to_owned() }
    }

    fn set_data(&mut self, path: &str, data: &Data, version: i32) -> Result<Txn, ZkError> {
        let node = self.permitted(path, perms::WRITE)?;
        let data_len = len(data);
        self.check_quota(path, data_len - node.data_len, 0)?;
        check_version(node.version, version)?;
        let version = node.version.wrapping_add(1);
        self.change(path, Some(NodeView { version, data_len, ..node }));
        Ok(Txn::SetData { path: path.to_owned(), data: data.clone(), version })
    }

    /// A list that cannot be is refused before the node is looked up.
    fn set_acl(&mut self, path: &str, acl: &Acl, version: i32) -> Result<Txn, ZkError> {
        self.check_session()?;
        path::validate(path)?;
        let acl = access::expand(acl, self.asker.ids)?;
        let node = self.node(path)?;
        access::permit(&node.acl, perms::ADMIN, self.asker.ids)?;
        check_version(node.aversion, version)?;
        let version = node.aversion.wrapping_add(1);
        // What comes behind it in the queue is still judged by the old list (`PrepRequestProcessor.java`: the
        // change record is given the new aversion and no new list; seen on a real 3.8.0 server).
        self.change(path, Some(NodeView { aversion: version, ..node }));
        Ok(Txn::SetAcl { path: path.to_owned(), acl, version })
    }

    fn check(&mut self, path: &str, version: i32) -> Result<Txn, ZkError> {
        let node = self.permitted(path, perms::READ)?;
        check_version(node.version, version)?;
        Ok(Txn::Check { path: path.to_owned() })
    }

    /// Each operation sees what those before it will have done. After the first failure nothing of the
    /// multi stays, and what follows is not even looked at. One that cannot be read fails the whole, but
    /// only when its turn comes.
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
                    if error == ZkError::MarshallingError {
                        return Err(error);
                    }
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
        let mut paths: BTreeSet<Arc<str>> = self.desk.db.ephemerals_of(session).cloned().collect();
        for (path, after) in self.outstanding.latest() {
            match after {
                Some(node) if node.lifetime == Lifetime::Ephemeral(session) => paths.insert(path.clone()),
                _ => paths.remove(path),
            };
        }
        for path in &paths {
            self.change(path, None);
        }
        self.desk.sessions.mark_closing(session);
        Txn::CloseSession { paths: paths.iter().map(ToString::to_string).collect() }
    }

    pub(super) fn check_session(&mut self) -> Result<(), ZkError> {
        self.desk.sessions.check(self.header.session, self.asker.owner)
    }

    /// The checks that setData and check begin with.
    fn permitted(&mut self, path: &str, wanted: i32) -> Result<NodeView, ZkError> {
        self.check_session()?;
        path::validate(path)?;
        let node = self.node(path)?;
        access::permit(&node.acl, wanted, self.asker.ids)?;
        Ok(node)
    }

    pub(super) fn node(&self, path: &str) -> Result<NodeView, ZkError> {
        self.outstanding.node(self.desk.db, path).ok_or(ZkError::NoNode)
    }

    pub(super) fn change(&mut self, path: &str, after: Option<NodeView>) {
        self.outstanding.change(self.header.zxid, path, after);
    }

    /// What outstanding writes will use does not count.
    fn check_quota(&self, path: &str, bytes: i64, count: i64) -> Result<(), ZkError> {
        if self.desk.config.enforce_quota { self.desk.db.check_quota(path, bytes, count) } else { Ok(()) }
    }

    /// # Errors
    ///
    /// For a TTL: Unimplemented unless extended types are on, then BadArguments if it is out of range.
    fn lifetime(&self, mode: CreateMode) -> Result<Lifetime, ZkError> {
        use CreateMode::{
            Container, ContainerSequential, Ephemeral, EphemeralSequential, Persistent, PersistentSequential,
            PersistentSequentialTtl, PersistentTtl,
        };
        match mode {
            Persistent | PersistentSequential => Ok(Lifetime::Persistent),
            Ephemeral | EphemeralSequential => Ok(Lifetime::Ephemeral(self.header.session)),
            Container | ContainerSequential => Ok(Lifetime::Container),
            PersistentTtl { .. } | PersistentSequentialTtl { .. } if !self.desk.config.extended_types => {
                Err(ZkError::Unimplemented)
            }
            PersistentTtl { ttl_ms } | PersistentSequentialTtl { ttl_ms } => match ttl_ms {
                1..=TTL_MAX_MS => Ok(Lifetime::Ttl { ms: ttl_ms as u64 }),
                _ => Err(ZkError::BadArguments),
            },
        }
    }
}

/// The counter is the number of children ever created under the parent, in ten digits.
pub(super) fn full_name(path: &str, mode: CreateMode, parent_cversion: i32) -> String {
    if mode.is_sequential() { format!("{path}{parent_cversion:010}") } else { path.to_owned() }
}

/// The parent of a path that may be deleted.
fn deletable(path: &str) -> Result<&str, ZkError> {
    let parent = path::parent_of_unchecked(path)?;
    if path::RESERVED.contains(&path) { Err(ZkError::BadArguments) } else { Ok(parent) }
}

fn check_version(version: i32, expected: i32) -> Result<(), ZkError> {
    if expected == ANY_VERSION || expected == version { Ok(()) } else { Err(ZkError::BadVersion) }
}

/// One that cannot be read spoils only itself, as long as its kind may be there.
fn may_be_in_multi(op: &Op) -> bool {
    matches!(
        op,
        Op::Create { .. }
            | Op::Delete { .. }
            | Op::SetData { .. }
            | Op::Check { .. }
            | Op::Malformed { write: true, .. }
    )
}

fn len(data: &Data) -> i64 {
    data.as_ref().map_or(0, |data| data.len() as i64)
}
