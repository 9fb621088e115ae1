//! Watches — decides which connection is told of which change, in which order. It never outlives its
//! server's process: watches are neither replicated nor persisted.

mod asked;
mod catch_up;
mod modes;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::catch_up::Rearm;
use self::{modes::Mode, table::Table};
use super::{
    tree::{Change, ChangeKind, path},
    wire::{
        Acl, Compat,
        WatchChange::{self, NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted},
        WatchEvent,
    },
};
use crate::core::ConnId;

/// The watches on one server (`DataTree.java`, `dataWatches` and `childWatches`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Watches {
    compat: Compat,
    /// Left by getData, exists and addWatch.
    data: Table,
    /// Left by getChildren and addWatch.
    child: Table,
}

/// Collects events as they are found.
struct Telling<'a, F> {
    may_read: &'a F,
    events: Vec<(ConnId, WatchEvent)>,
}

impl<F: Fn(ConnId, &Acl) -> bool> Telling<'_, F> {
    /// Tells those who may read the node. "event withheld if the connection may not READ the node (parent
    /// for the child event), one-shot watch still used up" (ZOOKEEPER-4799).
    fn tell(&mut self, conns: &[ConnId], path: &str, change: WatchChange, acl: &Acl) {
        for &conn in conns.iter().filter(|conn| (self.may_read)(**conn, acl)) {
            self.events.push((conn, WatchEvent { path: path.to_owned(), change }));
        }
    }
}

impl Watches {
    /// No watches yet.
    pub fn new(compat: Compat) -> Self {
        Self { compat, data: Table::default(), child: Table::default() }
    }

    /// Who is to be told what of these changes, in ZooKeeper's order; of several connections with the same
    /// event, in order of their ids. These events go out before the reply to the operation that caused them,
    /// and before any reply that shows the new state.
    ///
    /// `may_read` says whether a connection may read a node that has this list.
    pub fn trigger(
        &mut self,
        changes: &[Change],
        may_read: impl Fn(ConnId, &Acl) -> bool,
    ) -> Vec<(ConnId, WatchEvent)> {
        let mut telling = Telling { may_read: &may_read, events: Vec::new() };
        for change in changes {
            self.trigger_one(change, &mut telling);
        }
        telling.events
    }

    /// A connection that watched both data and children of a deleted node is told once.
    fn trigger_one<F>(&mut self, change: &Change, telling: &mut Telling<'_, F>)
    where
        F: Fn(ConnId, &Acl) -> bool,
    {
        let Change { path, kind, acl, parent_acl } = change;
        let event = match kind {
            ChangeKind::Created => NodeCreated,
            ChangeKind::DataChanged => NodeDataChanged,
            ChangeKind::Deleted => NodeDeleted,
        };
        let told = self.data.fire(path, event);
        telling.tell(&told, path, event, acl);
        if *kind == ChangeKind::Deleted {
            let mut rest = self.child.fire(path, event);
            rest.retain(|conn| told.binary_search(conn).is_err());
            telling.tell(&rest, path, event, acl);
        }
        if let Some(parent) = parent_with_other_children(change) {
            telling.tell(
                &self.child.fire(parent, NodeChildrenChanged),
                parent,
                NodeChildrenChanged,
                parent_acl,
            );
        }
    }

    /// Forgets everything this connection waits for.
    pub fn drop_connection(&mut self, conn: ConnId) {
        self.data.drop_connection(conn);
        self.child.drop_connection(conn);
    }

    /// The number of watches: one for each connection, path and table.
    pub fn count(&self) -> usize {
        self.data.len() + self.child.len()
    }

    /// Paths with watches that getData, exists or addWatch have left, and the connections they are for: what
    /// the four-letter words wchs, wchc and wchp tell (`DataTree.java`, `dumpWatches`).
    pub fn by_path(&self) -> impl Iterator<Item = (Arc<str>, Vec<ConnId>)> {
        self.data.paths().map(|(path, conns)| (path.clone(), conns.collect()))
    }

    fn watch_data(&mut self, path: &str, conn: ConnId, mode: Mode) {
        self.data.add(path, conn, mode, self.compat);
    }

    fn watch_children(&mut self, path: &str, conn: ConnId, mode: Mode) {
        self.child.add(path, conn, mode, self.compat);
    }
}

fn parent_with_other_children(change: &Change) -> Option<&str> {
    match change.kind {
        ChangeKind::Created | ChangeKind::Deleted => path::split(&change.path).map(|(parent, _)| parent),
        ChangeKind::DataChanged => None,
    }
}
