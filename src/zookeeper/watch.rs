//! Watches — decides which connection is told of which change, in which order. It never survives its
//! connection.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    tree::{Change, Database},
    wire::{Op, Reply, WatchEvent, ZkError},
};
use crate::{core::ConnId, name::Zxid};

/// The watches on one server. Not replicated, not persisted.
#[derive(Debug, Clone, Default)]
pub struct Watches {
    data: Table,
    child: Table,
}

/// Who waits for what path.
type Table = BTreeMap<String, BTreeSet<ConnId>>;

/// What a client re-arms after a reconnect.
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

#[allow(clippy::todo, missing_docs)]
impl Watches {
    /// Leaves the watch that a read asked for, if its result allows one: exists also when there is no node.
    pub fn after_read(&mut self, conn: ConnId, op: &Op, result: &Result<Reply, ZkError>) {
        let _ = (conn, op, result, &mut self.data, &mut self.child);
        todo!()
    }

    /// Events for these changes.
    pub fn trigger(&mut self, changes: &[Change]) -> Vec<(ConnId, WatchEvent)> {
        let _ = changes;
        todo!()
    }

    /// Re-arms, and returns the events that the client has missed.
    pub fn set_watches(&mut self, conn: ConnId, asked: &Rearm<'_>, db: &Database) -> Vec<WatchEvent> {
        let _ = (conn, asked, db);
        todo!()
    }

    /// Forgets everything this connection waits for.
    pub fn drop_connection(&mut self, conn: ConnId) {
        let _ = conn;
        todo!()
    }
}
