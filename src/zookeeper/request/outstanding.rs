//! Outstanding — decides what the tree will look like once all prepared transactions are applied. It never
//! judges a request.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    name::Zxid,
    zookeeper::{
        tree::{Database, Znode},
        txn::Lifetime,
        wire::{Acl, Data},
    },
};

/// What the preparation needs to know of a node (`ChangeRecord`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct NodeView {
    pub(super) version: i32,
    /// Number of child creates.
    pub(super) cversion: i32,
    pub(super) lifetime: Lifetime,
    pub(super) children: i32,
    pub(super) acl: Acl,
    /// Number of setACL.
    pub(super) aversion: i32,
    /// Bytes of data.
    pub(super) data_len: i64,
}

impl NodeView {
    /// A node just made.
    pub(super) fn created(lifetime: Lifetime, acl: Acl, data: &Data) -> Self {
        let data_len = data.as_ref().map_or(0, |data| data.len() as i64);
        Self { version: 0, cversion: 0, lifetime, children: 0, acl, aversion: 0, data_len }
    }
}

impl From<&Znode> for NodeView {
    fn from(node: &Znode) -> Self {
        Self {
            version: node.version,
            cversion: node.cversion,
            children: node.children,
            aversion: node.aversion,
            ..Self::created(node.lifetime, node.acl.clone(), &node.data)
        }
    }
}

/// What outstanding transactions make of nodes, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Outstanding {
    /// Every change, in the order made.
    order: VecDeque<(Zxid, Arc<str>)>,
    /// The changes of each path, oldest first; none: deleted. No empty lists. The root has two names here, as
    /// in ZooKeeper, which does not see that they are of one node: as a parent it is the empty one.
    by_path: BTreeMap<Arc<str>, VecDeque<Option<NodeView>>>,
}

impl Outstanding {
    /// The node as it will be, if it will be there.
    pub(super) fn node(&self, db: &Database, path: &str) -> Option<NodeView> {
        match self.by_path.get(path).and_then(VecDeque::back) {
            Some(pending) => pending.clone(),
            None => db.node(path).map(NodeView::from),
        }
    }

    /// Adds what the transaction `zxid` makes of a node; none: it will be gone.
    pub(super) fn change(&mut self, zxid: Zxid, path: &str, after: Option<NodeView>) {
        assert!(
            self.order.back().is_none_or(|(last, _)| *last <= zxid),
            "writes are prepared in the order of their zxids"
        );
        let path: Arc<str> = path.into();
        self.order.push_back((zxid, path.clone()));
        self.by_path.entry(path).or_default().push_back(after);
    }

    /// Every path with a change outstanding, and what will be there.
    pub(super) fn latest(&self) -> impl Iterator<Item = (&Arc<str>, Option<&NodeView>)> {
        self.by_path.iter().map(|(path, changes)| (path, changes.back().and_then(Option::as_ref)))
    }

    /// Takes back all that the transaction `zxid` has changed, so that what earlier ones left shows again,
    /// parents included (ZOOKEEPER-1624).
    pub(super) fn roll_back(&mut self, zxid: Zxid) {
        while let Some((_, path)) = self.order.pop_back_if(|(last, _)| *last == zxid) {
            self.drop_change(&path, VecDeque::pop_back);
        }
    }

    /// Drops what transactions up to `zxid` have changed.
    pub(super) fn committed(&mut self, zxid: Zxid) {
        while let Some((_, path)) = self.order.pop_front_if(|(first, _)| *first <= zxid) {
            self.drop_change(&path, VecDeque::pop_front);
        }
    }

    fn drop_change(
        &mut self,
        path: &str,
        pop: fn(&mut VecDeque<Option<NodeView>>) -> Option<Option<NodeView>>,
    ) {
        let changes = self.by_path.get_mut(path).expect("every change in order is listed by its path");
        pop(changes);
        if changes.is_empty() {
            self.by_path.remove(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_version(version: i32) -> Option<NodeView> {
        Some(NodeView { version, ..NodeView::created(Lifetime::Persistent, Acl::open(), &None) })
    }

    #[test]
    fn newest_change_hides_older_ones_and_the_database() {
        let (mut outstanding, db) = (Outstanding::default(), Database::default());
        assert_eq!(outstanding.node(&db, "/").unwrap().children, 1);
        outstanding.change(Zxid(1), "/", with_version(1));
        outstanding.change(Zxid(2), "/", with_version(2));
        assert_eq!(outstanding.node(&db, "/"), with_version(2));
        outstanding.change(Zxid(3), "/", None);
        assert_eq!(outstanding.node(&db, "/"), None);
    }

    #[test]
    fn rolled_back_transaction_uncovers_what_earlier_ones_left() {
        let (mut outstanding, db) = (Outstanding::default(), Database::default());
        outstanding.change(Zxid(1), "/a", with_version(1));
        outstanding.change(Zxid(2), "/a", with_version(2));
        outstanding.change(Zxid(2), "/a", None);
        outstanding.change(Zxid(2), "/b", with_version(0));
        outstanding.roll_back(Zxid(2));
        assert_eq!(outstanding.node(&db, "/a"), with_version(1));
        assert_eq!(outstanding.node(&db, "/b"), None);
    }

    #[test]
    fn committed_changes_are_dropped_up_to_their_zxid() {
        let (mut outstanding, db) = (Outstanding::default(), Database::default());
        outstanding.change(Zxid(1), "/a", with_version(1));
        outstanding.change(Zxid(2), "/b", with_version(2));
        outstanding.change(Zxid(3), "/b", with_version(3));
        outstanding.committed(Zxid(2));
        assert_eq!(outstanding.node(&db, "/a"), None);
        assert_eq!(outstanding.node(&db, "/b"), with_version(3));
        outstanding.committed(Zxid(3));
        assert_eq!(outstanding.latest().count(), 0);
    }

    #[test]
    #[should_panic(expected = "in the order of their zxids")]
    fn change_out_of_order_is_our_own_fault() {
        let mut outstanding = Outstanding::default();
        outstanding.change(Zxid(2), "/a", None);
        outstanding.change(Zxid(1), "/a", None);
    }
}
