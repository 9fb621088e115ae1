//! Apply — decides how each kind of transaction changes a database. It never fires a watch: it says what
//! changed, in order.

use std::sync::Arc;

use super::{CONFIG, Database, Tree, Znode, path, quota, znode::shared};
use crate::{
    event::EventKind,
    name::Zxid,
    zookeeper::{
        txn::{Lifetime, LoggedTxn, Txn, TxnHeader},
        wire::{Acl, Data, Reply, ZkError},
    },
};

/// What became of a znode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was made.
    Created,
    /// It was removed.
    Deleted,
    /// It got new data.
    DataChanged,
}

/// A change to a znode, before any watch is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which node.
    pub path: String,
    /// What became of it.
    pub kind: ChangeKind,
    /// Who may do what with it; of a node that is gone, as it was.
    pub acl: Acl,
    /// Who may do what with its parent at the time; of a node that got new data, open.
    pub parent_acl: Acl,
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
            Txn::Create { path, data, acl, lifetime, parent_cversion } => {
                self.create(path, (data, acl), *lifetime, *parent_cversion)
            }
            Txn::Delete { path } => self.delete(path),
            Txn::SetData { path, data, version } => self.set_data(path, data, *version),
            Txn::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            Txn::Reconfig { members, version } => self.reconfig(members, *version),
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
        (data, acl): (&Data, &Acl),
        lifetime: Lifetime,
        parent_cversion: i32,
    ) -> Result<Reply, ZkError> {
        let TxnHeader { zxid, .. } = *self.header;
        let (parent, _) = path::split(path).ok_or(ZkError::NodeExists)?;
        let tree = &mut self.db.tree;
        let there = tree.nodes.contains_key(path);
        let parent = tree.nodes.get_mut(parent).ok_or(ZkError::NoNode)?;
        parent.cversion = parent.cversion.max(parent_cversion);
        parent.pzxid = parent.pzxid.max(zxid);
        if there {
            return Err(ZkError::NodeExists);
        }
        parent.children += 1;
        let parent_acl = parent.acl.clone();
        // Most nodes have the list of their parent: it is held once.
        let acl = if *acl == parent_acl { &parent_acl } else { acl };
        let node = Znode::created(self.header, data.clone(), acl.clone(), lifetime);
        let stat = node.stat();
        tree.insert(path.into(), node);
        if let Lifetime::Ephemeral(session) = lifetime {
            self.notes.push(EventKind::EphemeralCreated { path: path.to_owned(), session, zxid });
        }
        let (path, acl) = (path.to_owned(), acl.clone());
        self.changes.push(Change { path: path.clone(), kind: ChangeKind::Created, acl, parent_acl });
        Ok(Reply::Created { path, stat })
    }

    fn delete(&mut self, path: &str) -> Result<Reply, ZkError> {
        let TxnHeader { zxid, .. } = *self.header;
        let node = self.db.tree.remove(path, zxid).ok_or(ZkError::NoNode)?;
        if let Lifetime::Ephemeral(session) = node.lifetime {
            self.notes.push(EventKind::EphemeralDeleted { path: path.to_owned(), session, zxid });
        }
        let parent = path::split(path).and_then(|(parent, _)| self.db.tree.nodes.get(parent));
        let parent_acl = parent.map_or_else(Acl::open, |parent| parent.acl.clone());
        let (path, kind) = (path.to_owned(), ChangeKind::Deleted);
        self.changes.push(Change { path, kind, acl: node.acl, parent_acl });
        Ok(Reply::Done)
    }

    fn set_data(&mut self, path: &str, data: &Data, version: i32) -> Result<Reply, ZkError> {
        let node = self.db.tree.nodes.get_mut(path).ok_or(ZkError::NoNode)?;
        let before = std::mem::replace(&mut node.data, shared(data.clone()));
        node.version = version;
        node.mzxid = self.header.zxid;
        node.mtime = self.header.wall_ms;
        let (stat, acl) = (node.stat(), node.acl.clone());
        self.db.tree.charge(path, quota::len(data) - quota::len(&before), 0);
        let (path, parent_acl) = (path.to_owned(), Acl::open());
        self.changes.push(Change { path, kind: ChangeKind::DataChanged, acl, parent_acl });
        Ok(Reply::Stat(stat))
    }

    /// The answer has the new configuration, as `/zookeeper/config` has it.
    fn reconfig(&mut self, members: &str, version: i32) -> Result<Reply, ZkError> {
        let data = Some(members.as_bytes().into());
        self.set_data(CONFIG, &data, version)?;
        self.db.get_data(CONFIG)
    }

    /// Changes no zxid and fires no watch.
    fn set_acl(&mut self, path: &str, acl: &Acl, version: i32) -> Result<Reply, ZkError> {
        let node = self.db.tree.nodes.get_mut(path).ok_or(ZkError::NoNode)?;
        node.acl.clone_from(acl);
        node.aversion = version;
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
        let left: Vec<Arc<str>> = self.db.ephemerals_of(session).cloned().collect();
        for path in &left {
            let _gone_already = self.delete(path);
        }
        self.db.sessions.remove(&session);
        self.notes.push(EventKind::SessionClosed { session, zxid });
        Reply::Done
    }
}

impl Tree {
    /// Puts a node in whose parent counts it already.
    fn insert(&mut self, path: Arc<str>, node: Znode) {
        let (bytes, lifetime) = (quota::len(&node.data), node.lifetime);
        self.nodes.insert(path.clone(), Box::new(node));
        self.index.insert(&path, lifetime);
        self.fill_new_stats(&path);
        self.charge(&path, bytes, 1);
    }

    /// Takes a node out. Its parent learns of it also if the node is gone already; pzxid only ever rises,
    /// since a replayed delete may meet a parent that has seen later creates (ZOOKEEPER-3145).
    fn remove(&mut self, path: &str, zxid: Zxid) -> Option<Znode> {
        let (parent, _) = path::split(path)?;
        let there = self.nodes.contains_key(path);
        let parent = self.nodes.get_mut(parent)?;
        parent.pzxid = parent.pzxid.max(zxid);
        parent.children -= i32::from(there);
        let node = self.take_out(path)?;
        if node.children > 0 {
            self.prune(path);
        }
        Some(node)
    }

    /// Below a node deleted in replay there may be children of a later node of that name; the log that
    /// follows makes them again.
    fn prune(&mut self, path: &str) {
        let below: Vec<Arc<str>> = self.descendants(path).cloned().collect();
        for path in below {
            self.take_out(&path);
        }
    }

    fn take_out(&mut self, path: &str) -> Option<Znode> {
        let node = *self.nodes.remove(path)?;
        self.index.remove(path, node.lifetime);
        self.charge(path, -quota::len(&node.data), -1);
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ChangeKind::{Created, DataChanged, Deleted},
        *,
    };
    use crate::name::SessionId;

    const OURS: SessionId = SessionId(7);
    const OTHER: SessionId = SessionId(8);

    fn open_change(kind: ChangeKind, path: &str) -> Change {
        Change { path: path.to_owned(), kind, acl: Acl::open(), parent_acl: Acl::open() }
    }

    fn apply_as(db: &mut Database, session: SessionId, zxid: u64, txn: Txn) -> Applied {
        let header = TxnHeader { session, xid: 1, zxid: Zxid(zxid), wall_ms: 1_000 + zxid as i64 };
        db.apply(&LoggedTxn { header, txn })
    }

    fn apply(db: &mut Database, zxid: u64, txn: Txn) -> Applied {
        apply_as(db, OURS, zxid, txn)
    }

    fn create(path: &str, parent_cversion: i32) -> Txn {
        let lifetime = Lifetime::Persistent;
        Txn::Create {
            path: path.into(),
            data: Some([1, 2].into()),
            acl: Acl::open(),
            lifetime,
            parent_cversion,
        }
    }

    fn ephemeral(path: &str, session: SessionId, parent_cversion: i32) -> Txn {
        Txn::Create {
            path: path.into(),
            data: None,
            acl: Acl::open(),
            lifetime: Lifetime::Ephemeral(session),
            parent_cversion,
        }
    }

    fn delete(path: &str) -> Txn {
        Txn::Delete { path: path.into() }
    }

    fn set(path: &str, version: i32) -> Txn {
        Txn::SetData { path: path.into(), data: Some([3].into()), version }
    }

    fn close(paths: &[&str]) -> Txn {
        Txn::CloseSession { paths: paths.iter().map(ToString::to_string).collect() }
    }

    fn deleted(path: &str, session: SessionId, zxid: u64) -> EventKind {
        EventKind::EphemeralDeleted { path: path.into(), session, zxid: Zxid(zxid) }
    }

    #[test]
    fn created_node_starts_from_its_transaction() {
        let mut db = Database::default();
        let applied = apply(&mut db, 5, create("/a", 1));
        let Ok(Reply::Created { path, stat }) = applied.result else { panic!("{applied:?}") };
        assert_eq!((path.as_str(), stat), ("/a", db.node("/a").unwrap().stat()));
        assert_eq!([stat.czxid, stat.mzxid, stat.pzxid], [Zxid(5); 3]);
        assert_eq!([stat.ctime, stat.mtime], [1_005; 2]);
        assert_eq!([stat.version, stat.cversion, stat.aversion, stat.num_children], [0; 4]);
        assert_eq!((stat.data_length, stat.ephemeral_owner), (2, SessionId::NONE));
        assert_eq!(applied.changes, [open_change(Created, "/a")]);
        assert_eq!(db.last_processed(), Zxid(5));
    }

    /// "pzxid: last create or delete of a direct child"; "cversion … deletes do not count".
    #[test]
    fn parent_counts_creates_and_remembers_the_last_change() {
        let mut db = Database::default();
        apply(&mut db, 1, create("/a", 1));
        apply(&mut db, 2, create("/a/k", 1));
        apply(&mut db, 3, create("/a/k/g", 1));
        apply(&mut db, 4, set("/a/k", 1));
        let parent = db.node("/a").unwrap();
        assert_eq!((parent.cversion, parent.stat().cversion, parent.pzxid), (1, 1, Zxid(2)));
        apply(&mut db, 5, delete("/a/k/g"));
        apply(&mut db, 6, delete("/a/k"));
        let parent = db.node("/a").unwrap();
        assert_eq!((parent.cversion, parent.stat().cversion, parent.pzxid), (1, 2, Zxid(6)));
        assert_eq!((parent.mzxid, parent.version), (Zxid(1), 0));
    }

    #[test]
    fn set_data_touches_data_version_and_its_own_times_only() {
        let mut db = Database::default();
        apply(&mut db, 1, create("/a", 1));
        let before = db.node("/a").unwrap().clone();
        let applied = apply(&mut db, 2, set("/a", 1));
        let data = Some([3].into());
        let expected = Znode { data, version: 1, mzxid: Zxid(2), mtime: 1_002, ..before };
        assert_eq!(db.node("/a"), Some(&expected));
        assert_eq!(applied.result, Ok(Reply::Stat(expected.stat())));
        assert_eq!(applied.changes, [open_change(DataChanged, "/a")]);
    }

    #[test]
    fn failed_write_changes_nothing_but_the_last_zxid() {
        let mut db = Database::default();
        let before = db.inspect();
        let applied = apply(&mut db, 9, Txn::Error(ZkError::NoNode));
        let expected = Applied { result: Err(ZkError::NoNode), changes: vec![], notes: vec![] };
        assert_eq!((applied, db.inspect(), db.last_processed()), (expected, before, Zxid(9)));
    }

    #[test]
    fn check_and_failed_multi_change_nothing() {
        let mut db = Database::default();
        let before = db.inspect();
        let failed =
            vec![create("/a", 1), Txn::Error(ZkError::NoNode), Txn::Error(ZkError::RuntimeInconsistency)];
        let applied = apply(&mut db, 1, Txn::Multi(failed));
        let results = vec![Ok(Reply::Done), Err(ZkError::NoNode), Err(ZkError::RuntimeInconsistency)];
        assert_eq!(applied.result, Ok(Reply::Multi(results)));
        assert_eq!(applied.changes, []);
        assert_eq!(apply(&mut db, 2, Txn::Check { path: "/".into() }).result, Ok(Reply::Done));
        assert_eq!(db.inspect(), before);
    }

    #[test]
    fn multi_changes_in_the_order_of_its_operations() {
        let mut db = Database::default();
        let txns = vec![create("/a", 1), set("/a", 1), delete("/a")];
        let changes = apply(&mut db, 1, Txn::Multi(txns)).changes;
        let expected = [Created, DataChanged, Deleted].map(|kind| open_change(kind, "/a"));
        assert_eq!(changes, expected);
    }

    #[test]
    fn session_is_noted_from_open_to_close() {
        let mut db = Database::default();
        let opened = apply(&mut db, 1, Txn::CreateSession { timeout_ms: 4_000 });
        let zxid = Zxid(1);
        assert_eq!(opened.notes, [EventKind::SessionOpened { session: OURS, zxid, timeout_ms: 4_000 }]);
        assert_eq!(db.sessions().get(&OURS), Some(&4_000));
        let made = apply(&mut db, 2, ephemeral("/e", OURS, 1));
        let zxid = Zxid(2);
        assert_eq!(made.notes, [EventKind::EphemeralCreated { path: "/e".into(), session: OURS, zxid }]);
        let closed = apply(&mut db, 3, close(&["/e"]));
        let closing = EventKind::SessionClosed { session: OURS, zxid: Zxid(3) };
        assert_eq!(closed.notes, [deleted("/e", OURS, 3), closing]);
        assert_eq!(closed.changes, [open_change(Deleted, "/e")]);
        assert!(db.sessions().is_empty() && db.ephemerals().is_empty());
    }

    /// The paths of the transaction decide; what the session should not own any more goes too.
    #[test]
    fn close_deletes_what_is_listed_and_what_is_left() {
        let mut db = Database::default();
        apply(&mut db, 1, ephemeral("/left", OURS, 1));
        apply(&mut db, 2, ephemeral("/listed", OURS, 2));
        apply_as(&mut db, OTHER, 3, ephemeral("/theirs", OTHER, 3));
        let closed = apply(&mut db, 4, close(&["/gone", "/listed"]));
        let paths = ["/listed", "/left"].map(|path| open_change(Deleted, path));
        assert_eq!(closed.changes, paths);
        assert_eq!(db.ephemerals().len(), 1);
        assert_eq!(db.node("/").unwrap().pzxid, Zxid(4));
    }

    #[test]
    fn deleted_ephemeral_is_noted_for_its_owner_not_the_deleter() {
        let mut db = Database::default();
        apply(&mut db, 1, ephemeral("/e", OURS, 1));
        assert_eq!(apply_as(&mut db, OTHER, 2, delete("/e")).notes, [deleted("/e", OURS, 2)]);
        assert_eq!(db.ephemerals_of(OURS).count(), 0);
    }

    /// "create of existing, delete of missing are skipped; cversion/pzxid of the parent still set"
    #[test]
    fn replay_skips_what_is_there_or_gone_and_still_raises_the_parent() {
        let mut db = Database::default();
        apply(&mut db, 1, create("/a", 1));
        let again = apply(&mut db, 3, create("/a", 4));
        assert_eq!((again.result, again.changes), (Err(ZkError::NodeExists), vec![]));
        assert_eq!(db.node("/a").unwrap().czxid, Zxid(1));
        let root = db.node("/").unwrap();
        assert_eq!((root.cversion, root.pzxid), (4, Zxid(3)));
        let gone = apply(&mut db, 5, delete("/b"));
        assert_eq!((gone.result, gone.changes), (Err(ZkError::NoNode), vec![]));
        assert_eq!(db.node("/").unwrap().pzxid, Zxid(5));
    }

    /// "on replay only ever raised" (ZOOKEEPER-3145); the same holds of the counter and the last zxid.
    #[test]
    fn replay_lowers_neither_pzxid_nor_counter() {
        let mut db = Database::default();
        apply(&mut db, 8, create("/a", 5));
        apply(&mut db, 2, create("/b", 1));
        apply(&mut db, 3, delete("/b"));
        let root = db.node("/").unwrap();
        assert_eq!((root.cversion, root.pzxid, db.last_processed()), (5, Zxid(8), Zxid(8)));
    }

    #[test]
    fn replayed_delete_takes_a_later_nodes_children_along() {
        let mut db = Database::default();
        apply(&mut db, 5, create("/a", 2));
        apply(&mut db, 6, ephemeral("/a/e", OURS, 1));
        apply(&mut db, 3, delete("/a"));
        assert_eq!((db.node("/a/e"), db.ephemerals()), (None, vec![]));
    }

    /// ZOOKEEPER-4799: who may be told of a change follows from the lists at the time of the change.
    #[test]
    fn change_tells_the_lists_of_node_and_parent_as_they_were() {
        let mut db = Database::default();
        let of = |path: &str, acl: &Acl| {
            let (path, acl) = (path.to_owned(), acl.clone());
            Txn::Create { path, data: None, acl, lifetime: Lifetime::Persistent, parent_cversion: 1 }
        };
        let (read, none) = (Acl::read_only(), Acl::new([]));
        apply(&mut db, 1, of("/p", &read));
        let delete = Txn::Delete { path: "/p/k".into() };
        let applied = apply(&mut db, 2, Txn::Multi(vec![of("/p/k", &none), delete]));
        let lists: Vec<_> = applied.changes.iter().map(|change| (&change.acl, &change.parent_acl)).collect();
        assert_eq!(lists, [(&none, &read), (&none, &read)]);
    }
}
