//! Table — decides who is told of an event on a path, and whose watch that uses up. It never knows which
//! events there are for it.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use super::modes::{Mode, Modes};
use crate::{
    core::ConnId,
    zookeeper::{
        tree::path,
        wire::{Compat, WatchChange},
    },
};

/// Who watches which path in which modes (`WatchManager.java`); the same watch set twice is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Table {
    /// No empty maps, no empty modes.
    by_path: BTreeMap<Arc<str>, BTreeMap<ConnId, Modes>>,
    /// The same the other way round.
    by_conn: BTreeMap<ConnId, BTreeSet<Arc<str>>>,
    /// Recursive watches: without any, only the path itself is looked up.
    recursive: usize,
}

impl Table {
    /// Starts to watch. In 3.8 a connection has one mode for a path, and the last call decides
    /// (ZOOKEEPER-4466).
    pub(super) fn add(&mut self, path: &str, conn: ConnId, mode: Mode, compat: Compat) {
        let path = match self.by_path.get_key_value(path) {
            Some((known, _)) => known.clone(),
            None => path.into(),
        };
        let modes = self.by_path.entry(path.clone()).or_default().entry(conn).or_default();
        let before = *modes;
        *modes = match compat {
            Compat::V3_8 => Modes::only(mode),
            Compat::V3_9 => before.with(Modes::only(mode)),
        };
        let after = *modes;
        self.count_recursive(before, after);
        if before.is_empty() {
            self.by_conn.entry(conn).or_default().insert(path);
        }
    }

    /// Those who are told of this change to this path, in order of their ids. Whoever watched for one event
    /// watches no longer.
    pub(super) fn fire(&mut self, path: &str, change: WatchChange) -> Vec<ConnId> {
        let mut told = self.fire_exactly(path, change);
        if self.recursive > 0 {
            let above = path::ancestors(path).filter_map(|ancestor| self.by_path.get(ancestor));
            let hears = |(conn, modes): (&ConnId, &Modes)| modes.hear_below(change).then_some(*conn);
            told.extend(above.flatten().filter_map(hears));
            told.sort_unstable();
            told.dedup();
        }
        told
    }

    fn fire_exactly(&mut self, path: &str, change: WatchChange) -> Vec<ConnId> {
        let Some(watchers) = self.by_path.get_mut(path) else { return Vec::new() };
        let hears = |(conn, modes): (&ConnId, &Modes)| modes.hear(change).then_some(*conn);
        let told = watchers.iter().filter_map(hears).collect();
        let once = Modes::only(Mode::Standard);
        for (conn, modes) in watchers.iter_mut() {
            *modes = modes.without(once);
            if modes.is_empty() {
                forget(&mut self.by_conn, *conn, path);
            }
        }
        watchers.retain(|_, modes| !modes.is_empty());
        if watchers.is_empty() {
            self.by_path.remove(path);
        }
        told
    }

    /// Takes modes of a connection's watch on this path away; false if there was none of them.
    pub(super) fn remove(&mut self, path: &str, conn: ConnId, less: Modes) -> bool {
        let Some(watchers) = self.by_path.get_mut(path) else { return false };
        let Entry::Occupied(mut entry) = watchers.entry(conn) else { return false };
        let before = *entry.get();
        let after = before.without(less);
        *entry.get_mut() = after;
        if after.is_empty() {
            entry.remove();
            forget(&mut self.by_conn, conn, path);
        }
        if watchers.is_empty() {
            self.by_path.remove(path);
        }
        self.count_recursive(before, after);
        before != after
    }

    /// Whether anybody watches this very path.
    pub(super) fn is_watched(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }

    /// How a connection watches this path.
    pub(super) fn modes(&self, path: &str, conn: ConnId) -> Modes {
        self.by_path.get(path).and_then(|watchers| watchers.get(&conn)).copied().unwrap_or_default()
    }

    /// Forgets everything that this connection waits for. Takes time for its own watches only.
    pub(super) fn drop_connection(&mut self, conn: ConnId) {
        for path in self.by_conn.remove(&conn).into_iter().flatten() {
            let Some(watchers) = self.by_path.get_mut(&path) else { continue };
            let before = watchers.remove(&conn).unwrap_or_default();
            if watchers.is_empty() {
                self.by_path.remove(&path);
            }
            self.count_recursive(before, Modes::default());
        }
    }

    /// Every watched path with those who watch it, in order.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = ConnId>)> {
        self.by_path.iter().map(|(path, watchers)| (path, watchers.keys().copied()))
    }

    /// The number of watches: one for each path and connection.
    pub(super) fn len(&self) -> usize {
        self.by_conn.values().map(BTreeSet::len).sum()
    }

    fn count_recursive(&mut self, before: Modes, after: Modes) {
        self.recursive += usize::from(after.has(Mode::Recursive));
        self.recursive -= usize::from(before.has(Mode::Recursive));
    }
}

fn forget(by_conn: &mut BTreeMap<ConnId, BTreeSet<Arc<str>>>, conn: ConnId, path: &str) {
    let Some(paths) = by_conn.get_mut(&conn) else { return };
    paths.remove(path);
    if paths.is_empty() {
        by_conn.remove(&conn);
    }
}
