//! Catch-up — decides what a client that was away has missed of what it watched. It never remembers a
//! client: all is told from the zxid that the client has seen last (`DataTree.java`, `setWatches`).

use super::{Watches, modes::Mode};
use crate::{
    core::ConnId,
    name::Zxid,
    zookeeper::{
        tree::{Database, Znode},
        wire::{
            AddWatchMode,
            WatchChange::{self, NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted},
            WatchEvent,
        },
    },
};

/// What a client re-arms after a reconnect (setWatches).
#[derive(Debug, Clone, Copy, Default)]
pub struct Rearm<'a> {
    /// The last zxid that the client has seen.
    pub relative_zxid: Zxid,
    /// Paths it watched by getData, or by exists when the node was there.
    pub data: &'a [String],
    /// Paths it watched by exists when there was no node.
    pub exist: &'a [String],
    /// Paths whose children it watched.
    pub child: &'a [String],
    /// Paths it watches until it says otherwise (setWatches2).
    pub persistent: &'a [String],
    /// Paths it watches so with all that is below (setWatches2).
    pub recursive: &'a [String],
}

impl Watches {
    /// Takes up a reconnected client's watches: what it has missed is returned, to be sent at once and before
    /// the reply; the rest is armed again. Not everything can be caught up: a node deleted and made again
    /// meanwhile looks changed, and persistent watches catch up nothing.
    pub fn set_watches(&mut self, conn: ConnId, asked: &Rearm<'_>, db: &Database) -> Vec<WatchEvent> {
        let since = asked.relative_zxid;
        let mut events = Vec::new();
        let mut missed = |path: &str, change| events.push(WatchEvent { path: path.to_owned(), change });
        for path in asked.data {
            match missed_data(db.node(path), since) {
                Some(change) => missed(path, change),
                None => self.watch_data(path, conn, Mode::Standard),
            }
        }
        for path in asked.exist {
            match db.node(path) {
                Some(_) => missed(path, NodeCreated),
                None => self.watch_data(path, conn, Mode::Standard),
            }
        }
        for path in asked.child {
            match missed_children(db.node(path), since) {
                Some(change) => missed(path, change),
                None => self.watch_children(path, conn, Mode::Standard),
            }
        }
        for path in asked.persistent {
            self.add(conn, path, AddWatchMode::Persistent);
        }
        for path in asked.recursive {
            self.add(conn, path, AddWatchMode::PersistentRecursive);
        }
        events
    }
}

fn missed_data(node: Option<&Znode>, since: Zxid) -> Option<WatchChange> {
    match node {
        None => Some(NodeDeleted),
        Some(node) => (node.mzxid > since).then_some(NodeDataChanged),
    }
}

fn missed_children(node: Option<&Znode>, since: Zxid) -> Option<WatchChange> {
    match node {
        None => Some(NodeDeleted),
        Some(node) => (node.pzxid > since).then_some(NodeChildrenChanged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::SessionId,
        zookeeper::{
            tree::{Change, ChangeKind},
            txn::{Lifetime, LoggedTxn, Txn, TxnHeader},
            wire::{Acl, Compat},
        },
    };

    const CONN: ConnId = ConnId(1);

    fn db(txns: impl IntoIterator<Item = (u64, Txn)>) -> Database {
        let mut db = Database::default();
        for (zxid, txn) in txns {
            let header = TxnHeader { session: SessionId(1), xid: 0, zxid: Zxid(zxid), wall_ms: 0 };
            db.apply(&LoggedTxn { header, txn }).result.unwrap();
        }
        db
    }

    fn create(path: &str) -> Txn {
        let lifetime = Lifetime::Persistent;
        Txn::Create { path: path.into(), data: None, acl: Acl::open(), lifetime, parent_cversion: 1 }
    }

    fn fire(watches: &mut Watches, kind: ChangeKind, path: &str) -> Vec<WatchChange> {
        let change = Change { path: path.into(), kind, acl: Acl::open(), parent_acl: Acl::open() };
        watches.trigger(&[change], |_, _| true).into_iter().map(|(_, event)| event.change).collect()
    }

    fn paths(of: &[&str]) -> Vec<String> {
        of.iter().map(ToString::to_string).collect()
    }

    /// The recording `setwatches_catch_up` of a 3.8.0 server: what changed after the relative zxid is
    /// reported at once, the rest is armed again.
    #[test]
    fn missed_changes_are_reported_and_the_rest_is_armed() {
        let before = ["/changed", "/same", "/p", "/q"].map(create);
        let set = Txn::SetData { path: "/changed".into(), data: None, version: 1 };
        let after = [set, create("/p/k"), create("/new")];
        let db = db((3..).zip(before.into_iter().chain(after)));
        let asked = Rearm {
            relative_zxid: Zxid(6),
            data: &paths(&["/changed", "/deleted", "/same"]),
            exist: &paths(&["/new", "/never"]),
            child: &paths(&["/p", "/q", "/gone"]),
            ..Rearm::default()
        };
        let mut watches = Watches::new(Compat::V3_8);
        let events = watches.set_watches(CONN, &asked, &db).into_iter();
        let events: Vec<_> = events.map(|event| (event.path, event.change)).collect();
        let expected = [
            ("/changed", NodeDataChanged),
            ("/deleted", NodeDeleted),
            ("/new", NodeCreated),
            ("/p", NodeChildrenChanged),
            ("/gone", NodeDeleted),
        ];
        assert_eq!(events, expected.map(|(path, change)| (path.to_owned(), change)));
        let mut fired = |kind, path: &str| fire(&mut watches, kind, path).len();
        for reported in ["/changed", "/deleted", "/new", "/p", "/gone"] {
            assert_eq!(fired(ChangeKind::Deleted, reported), 0, "{reported}");
        }
        assert_eq!(fired(ChangeKind::DataChanged, "/same"), 1);
        assert_eq!(fired(ChangeKind::Created, "/never"), 1);
        assert_eq!(fired(ChangeKind::Created, "/q/k"), 1);
    }

    /// "NodeCreated at once, whatever its czxid"
    #[test]
    fn exist_list_fires_on_any_node_that_is_there() {
        let db = db([(1, create("/n"))]);
        let exist = &paths(&["/n"]);
        let asked = Rearm { relative_zxid: Zxid(9), exist, ..Rearm::default() };
        let events = Watches::new(Compat::V3_8).set_watches(CONN, &asked, &db);
        assert_eq!(events, [WatchEvent { path: "/n".into(), change: NodeCreated }]);
    }

    #[test]
    fn replaced_node_looks_changed() {
        let db = db([(1, create("/n")), (2, Txn::Delete { path: "/n".into() }), (3, create("/n"))]);
        let (data, child) = (&paths(&["/n"]), &paths(&["/n"]));
        let asked = Rearm { relative_zxid: Zxid(1), data, child, ..Rearm::default() };
        let changes =
            Watches::new(Compat::V3_8).set_watches(CONN, &asked, &db).into_iter().map(|event| event.change);
        assert_eq!(changes.collect::<Vec<_>>(), [NodeDataChanged, NodeChildrenChanged]);
    }

    /// The recording `setwatches2_persistent` of a 3.8.0 server: "re-arms persistent watches without catch-up
    /// events".
    #[test]
    fn persistent_watches_are_armed_again_and_catch_up_nothing() {
        let db = db([(1, create("/n")), (2, create("/r")), (3, create("/r/k"))]);
        let (persistent, recursive) = (&paths(&["/n"]), &paths(&["/r"]));
        let asked = Rearm { relative_zxid: Zxid(0), persistent, recursive, ..Rearm::default() };
        let mut watches = Watches::new(Compat::V3_8);
        assert_eq!(watches.set_watches(CONN, &asked, &db), []);
        for _ in 0..2 {
            assert_eq!(fire(&mut watches, ChangeKind::DataChanged, "/n"), [NodeDataChanged]);
            assert_eq!(fire(&mut watches, ChangeKind::DataChanged, "/r/k"), [NodeDataChanged]);
            assert_eq!(fire(&mut watches, ChangeKind::Created, "/n/k"), [NodeChildrenChanged]);
            assert_eq!(fire(&mut watches, ChangeKind::Created, "/r/k/g"), [NodeCreated]);
        }
    }
}
