//! Table — decides who waits for which path. It never knows what they wait for.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::ConnId;

/// Who waits for which path; the same watch set twice is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Table(BTreeMap<String, BTreeSet<ConnId>>);

impl Table {
    pub(super) fn add(&mut self, path: &str, conn: ConnId) {
        self.0.entry(path.to_owned()).or_default().insert(conn);
    }

    /// Those who wait for this path; they do no longer.
    pub(super) fn take(&mut self, path: &str) -> BTreeSet<ConnId> {
        self.0.remove(path).unwrap_or_default()
    }

    pub(super) fn drop_connection(&mut self, conn: ConnId) {
        self.0.retain(|_, conns| {
            conns.remove(&conn);
            !conns.is_empty()
        });
    }
}
