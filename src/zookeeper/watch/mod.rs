//! Watches — decides which connection is told of which change, in which order. It never outlives its
//! server's process: watches are neither replicated nor persisted.

mod catch_up;
mod table;

use std::collections::BTreeSet;

pub use self::catch_up::Rearm;
use self::table::Table;
use super::{
    tree::{Change, path},
    wire::{
        Op, Reply,
        WatchChange::{self, NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted},
        WatchEvent, ZkError,
    },
};
use crate::core::ConnId;

/// The watches on one server, all of them one-shot (`DataTree.java`, `dataWatches` and `childWatches`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Watches {
    /// Left by getData and exists.
    data: Table,
    /// Left by getChildren.
    child: Table,
}

impl Watches {
    /// Leaves the watch that a read asked for, if its result allows one: exists leaves it also when there is
    /// no node, the others only when they succeed. To be called in the same step as the read.
    pub fn after_read(&mut self, conn: ConnId, op: &Op, result: &Result<Reply, ZkError>) {
        match (op, result) {
            (Op::Exists { path, watch: true }, Ok(_) | Err(ZkError::NoNode))
            | (Op::GetData { path, watch: true }, Ok(_)) => self.data.add(path, conn),
            (Op::GetChildren { path, watch: true }, Ok(_)) => self.child.add(path, conn),
            _ => {}
        }
    }

    /// Who is to be told what of these changes, in ZooKeeper's order; of several connections with the same
    /// event, in order of their ids. These events go out before the reply to the operation that caused them,
    /// and before any reply that shows the new state.
    pub fn trigger(&mut self, changes: &[Change]) -> Vec<(ConnId, WatchEvent)> {
        let mut events = Vec::new();
        for change in changes {
            self.trigger_one(change, &mut events);
        }
        events
    }

    /// A connection that watched both data and children of a deleted node is told once.
    fn trigger_one(&mut self, change: &Change, events: &mut Vec<(ConnId, WatchEvent)>) {
        let mut tell = |conns: &BTreeSet<ConnId>, path: &str, change: WatchChange| {
            let event = WatchEvent { path: path.to_owned(), change };
            events.extend(conns.iter().map(|conn| (*conn, event.clone())));
        };
        match change {
            Change::Created(path) => tell(&self.data.take(path), path, NodeCreated),
            Change::DataChanged(path) => tell(&self.data.take(path), path, NodeDataChanged),
            Change::Deleted(path) => {
                let told = self.data.take(path);
                let rest = &self.child.take(path) - &told;
                tell(&told, path, NodeDeleted);
                tell(&rest, path, NodeDeleted);
            }
        }
        if let Some(parent) = parent_with_other_children(change) {
            tell(&self.child.take(parent), parent, NodeChildrenChanged);
        }
    }

    /// Forgets everything this connection waits for.
    pub fn drop_connection(&mut self, conn: ConnId) {
        self.data.drop_connection(conn);
        self.child.drop_connection(conn);
    }
}

fn parent_with_other_children(change: &Change) -> Option<&str> {
    match change {
        Change::Created(path) | Change::Deleted(path) => path::split(path).map(|(parent, _)| parent),
        Change::DataChanged(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);

    fn exists(path: &str) -> Op {
        Op::Exists { path: path.into(), watch: true }
    }

    fn get(path: &str) -> Op {
        Op::GetData { path: path.into(), watch: true }
    }

    fn list(path: &str) -> Op {
        Op::GetChildren { path: path.into(), watch: true }
    }

    /// Watches left by reads that succeed.
    fn watching(reads: &[(ConnId, Op)]) -> Watches {
        let mut watches = Watches::default();
        for (conn, op) in reads {
            watches.after_read(*conn, op, &Ok(Reply::Done));
        }
        watches
    }

    fn created(path: &str) -> Change {
        Change::Created(path.into())
    }

    fn deleted(path: &str) -> Change {
        Change::Deleted(path.into())
    }

    fn changed(path: &str) -> Change {
        Change::DataChanged(path.into())
    }

    fn fired(watches: &mut Watches, change: Change) -> Vec<(ConnId, String, WatchChange)> {
        let events = watches.trigger(&[change]).into_iter();
        events.map(|(conn, event)| (conn, event.path, event.change)).collect()
    }

    #[test]
    fn watch_fires_once() {
        let mut watches = watching(&[(A, get("/n"))]);
        assert_eq!(fired(&mut watches, changed("/n")), [(A, "/n".into(), NodeDataChanged)]);
        assert_eq!(fired(&mut watches, changed("/n")), []);
    }

    /// "the same watch set twice on one connection fires once; exists + getData on one path are one entry"
    #[test]
    fn exists_and_get_on_one_path_are_one_watch() {
        let mut watches = watching(&[(A, get("/n")), (A, get("/n")), (A, exists("/n"))]);
        assert_eq!(fired(&mut watches, changed("/n")).len(), 1);
    }

    /// "exists leaves a watch on NoNode; getData does not"
    #[test]
    fn only_exists_leaves_a_watch_when_there_is_no_node() {
        let mut watches = Watches::default();
        for op in [exists("/e"), get("/g"), list("/c")] {
            watches.after_read(A, &op, &Err(ZkError::NoNode));
        }
        watches.after_read(A, &exists("/bad"), &Err(ZkError::BadArguments));
        assert_eq!(fired(&mut watches, created("/e")), [(A, "/e".into(), NodeCreated)]);
        for path in ["/g", "/c", "/bad"] {
            assert_eq!(fired(&mut watches, created(path)), []);
        }
    }

    #[test]
    fn read_that_asks_for_no_watch_leaves_none() {
        let mut watches = Watches::default();
        watches.after_read(A, &Op::GetData { path: "/n".into(), watch: false }, &Ok(Reply::Done));
        assert_eq!(fired(&mut watches, changed("/n")), []);
    }

    #[test]
    fn create_tells_the_data_table_then_the_parents_child_table() {
        let mut watches = watching(&[(A, list("/p")), (B, list("/p")), (B, exists("/p/k"))]);
        let expected = [
            (B, "/p/k".into(), NodeCreated),
            (A, "/p".into(), NodeChildrenChanged),
            (B, "/p".into(), NodeChildrenChanged),
        ];
        assert_eq!(fired(&mut watches, created("/p/k")), expected);
    }

    /// "NodeDeleted to data table, NodeDeleted to the child table of the same path (not to those just told),
    /// then NodeChildrenChanged to the parent's"
    #[test]
    fn delete_tells_each_watcher_of_the_node_once_then_the_parents() {
        let mut watches = watching(&[(A, get("/n")), (A, list("/n")), (B, list("/n")), (A, list("/"))]);
        let expected = [
            (A, "/n".into(), NodeDeleted),
            (B, "/n".into(), NodeDeleted),
            (A, "/".into(), NodeChildrenChanged),
        ];
        assert_eq!(fired(&mut watches, deleted("/n")), expected);
        assert_eq!(fired(&mut watches, deleted("/n")), [], "the watch that kept silent is used up too");
    }

    #[test]
    fn child_watch_ignores_data_and_grandchildren() {
        let mut watches = watching(&[(A, list("/p"))]);
        assert_eq!(fired(&mut watches, changed("/p")), []);
        assert_eq!(fired(&mut watches, changed("/p/k")), []);
        assert_eq!(fired(&mut watches, created("/p/k/g")), []);
        assert_eq!(fired(&mut watches, deleted("/p/k")).len(), 1);
    }

    /// The recording `multi_watch_order` of a 3.8.0 server.
    #[test]
    fn events_of_a_multi_come_in_the_order_of_its_operations() {
        let ours = [get("/r/x"), get("/r/y"), exists("/r/z"), list("/r")].map(|op| (A, op));
        let theirs = [get("/r/x"), list("/r")].map(|op| (B, op));
        let mut watches = watching(&[ours.as_slice(), &theirs].concat());
        let changes = [changed("/r/y"), created("/r/z"), deleted("/r/x"), changed("/r/y")];
        let events = watches.trigger(&changes);
        let of = |conn| {
            let own = events.iter().filter(move |(to, _)| *to == conn);
            own.map(|(_, event)| (event.path.as_str(), event.change)).collect::<Vec<_>>()
        };
        let expected = [
            ("/r/y", NodeDataChanged),
            ("/r/z", NodeCreated),
            ("/r", NodeChildrenChanged),
            ("/r/x", NodeDeleted),
        ];
        assert_eq!(of(A), expected);
        assert_eq!(of(B), expected[2..]);
    }

    #[test]
    fn watches_are_gone_with_their_connection() {
        let mut watches = watching(&[(A, get("/n")), (B, get("/n")), (A, list("/"))]);
        watches.drop_connection(A);
        assert_eq!(fired(&mut watches, deleted("/n")), [(B, "/n".into(), NodeDeleted)]);
    }
}
