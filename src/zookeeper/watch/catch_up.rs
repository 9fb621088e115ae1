//! Catch-up — decides what a client that was away has missed of what it watched. It never remembers a
//! client: all is told from the zxid that the client has seen last (`DataTree.java`, `setWatches`).

use super::{Table, Watches};
use crate::{
    core::ConnId,
    name::Zxid,
    zookeeper::{
        tree::{Database, Znode},
        wire::{
            WatchChange::{self, NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted},
            WatchEvent,
        },
    },
};

/// What a client re-arms after a reconnect (setWatches).
#[derive(Debug, Clone, Copy)]
pub struct Rearm<'a> {
    /// The last zxid that the client has seen.
    pub relative_zxid: Zxid,
    /// Paths it watched by getData, or by exists when the node was there.
    pub data: &'a [String],
    /// Paths it watched by exists when there was no node.
    pub exist: &'a [String],
    /// Paths whose children it watched.
    pub child: &'a [String],
}

impl Watches {
    /// Takes up a reconnected client's watches: what it has missed is returned, to be sent at once and before
    /// the reply; the rest is armed again. Not everything can be caught up: a node deleted and made again
    /// meanwhile looks changed.
    pub fn set_watches(&mut self, conn: ConnId, asked: &Rearm<'_>, db: &Database) -> Vec<WatchEvent> {
        let since = asked.relative_zxid;
        let data = asked.data.iter().map(|path| (path, missed_data(db.node(path), since)));
        let missed = rearm(&mut self.data, conn, data);
        let exist = asked.exist.iter().map(|path| (path, db.node(path).map(|_| NodeCreated)));
        let created = rearm(&mut self.data, conn, exist);
        let child = asked.child.iter().map(|path| (path, missed_children(db.node(path), since)));
        let children = rearm(&mut self.child, conn, child);
        [missed, created, children].concat()
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

/// Returns what was missed, and waits for the rest.
fn rearm<'a>(
    table: &mut Table,
    conn: ConnId,
    paths: impl Iterator<Item = (&'a String, Option<WatchChange>)>,
) -> Vec<WatchEvent> {
    let mut events = Vec::new();
    for (path, missed) in paths {
        match missed {
            Some(change) => events.push(WatchEvent { path: path.clone(), change }),
            None => table.add(path, conn),
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::SessionId,
        zookeeper::{
            tree::Change,
            txn::{Lifetime, LoggedTxn, Txn, TxnHeader},
            wire::Acl,
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
        };
        let mut watches = Watches::default();
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
        let mut fired = |change| watches.trigger(&[change]).len();
        for reported in ["/changed", "/deleted", "/new", "/p", "/gone"] {
            assert_eq!(fired(Change::Deleted(reported.into())), 0, "{reported}");
        }
        assert_eq!(fired(Change::DataChanged("/same".into())), 1);
        assert_eq!(fired(Change::Created("/never".into())), 1);
        assert_eq!(fired(Change::Created("/q/k".into())), 1);
    }

    /// "NodeCreated at once, whatever its czxid"
    #[test]
    fn exist_list_fires_on_any_node_that_is_there() {
        let db = db([(1, create("/n"))]);
        let exist = &paths(&["/n"]);
        let asked = Rearm { relative_zxid: Zxid(9), data: &[], exist, child: &[] };
        let events = Watches::default().set_watches(CONN, &asked, &db);
        assert_eq!(events, [WatchEvent { path: "/n".into(), change: NodeCreated }]);
    }

    #[test]
    fn replaced_node_looks_changed() {
        let db = db([(1, create("/n")), (2, Txn::Delete { path: "/n".into() }), (3, create("/n"))]);
        let (data, child) = (&paths(&["/n"]), &paths(&["/n"]));
        let asked = Rearm { relative_zxid: Zxid(1), data, exist: &[], child };
        let changes = Watches::default().set_watches(CONN, &asked, &db).into_iter().map(|event| event.change);
        assert_eq!(changes.collect::<Vec<_>>(), [NodeDataChanged, NodeChildrenChanged]);
    }
}
