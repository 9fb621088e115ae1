//! Asked — decides what a client's own requests do to its watches. It never fires one.

use super::{
    Watches,
    modes::{Mode, Modes},
};
use crate::{
    core::ConnId,
    zookeeper::wire::{AddWatchMode, Compat, Op, Reply, WatcherType, ZkError},
};

impl Watches {
    /// Leaves the watch that a read asked for, if its result allows one: exists leaves it also when there is
    /// no node, the others only when they succeed. To be called in the same step as the read.
    pub fn after_read(&mut self, conn: ConnId, op: &Op, result: &Result<Reply, ZkError>) {
        match (op, result) {
            (Op::Exists { path, watch: true }, Ok(_) | Err(ZkError::NoNode))
            | (Op::GetData { path, watch: true }, Ok(_)) => self.watch_data(path, conn, Mode::Standard),
            (Op::GetChildren { path, watch: true }, Ok(_)) => {
                self.watch_children(path, conn, Mode::Standard);
            }
            _ => {}
        }
    }

    /// Leaves a watch that stays: "no path, existence or ACL check".
    pub fn add(&mut self, conn: ConnId, path: &str, mode: AddWatchMode) {
        match mode {
            AddWatchMode::Persistent => {
                self.watch_data(path, conn, Mode::Persistent);
                self.watch_children(path, conn, Mode::Persistent);
            }
            AddWatchMode::PersistentRecursive => {
                self.watch_data(path, conn, Mode::Recursive);
                // Has no effect but to take the place of another mode.
                if self.compat == Compat::V3_8 {
                    self.watch_children(path, conn, Mode::Recursive);
                }
            }
        }
    }

    /// Takes this connection's watches on a path away (`DataTree.java`, `removeWatch`).
    ///
    /// # Errors
    ///
    /// MarshallingError for a kind that 3.8 does not know; NoWatcher if there is none.
    pub fn remove(&mut self, conn: ConnId, path: &str, kind: WatcherType) -> Result<Reply, ZkError> {
        let modes = self.modes_meant(kind)?;
        let in_data = kind != WatcherType::Children && self.data.remove(path, conn, modes);
        let in_child = kind != WatcherType::Data && self.child.remove(path, conn, modes);
        if in_data || in_child { Ok(Reply::Done) } else { Err(ZkError::NoWatcher) }
    }

    /// Whether this connection watches a path; in 3.8, whether any does: "3.8.0's containsWatcher ignores
    /// which session owns the watch".
    ///
    /// # Errors
    ///
    /// MarshallingError for a kind that 3.8 does not know; NoWatcher if there is none.
    pub fn check(&self, conn: ConnId, path: &str, kind: WatcherType) -> Result<Reply, ZkError> {
        let modes = self.modes_meant(kind)?;
        let is_there = |table: &super::Table| match self.compat {
            Compat::V3_8 => table.is_watched(path),
            Compat::V3_9 => table.modes(path, conn).meet(modes),
        };
        let in_data = kind != WatcherType::Children && is_there(&self.data);
        let in_child = matches!(kind, WatcherType::Children | WatcherType::Any) && is_there(&self.child);
        if in_data || in_child { Ok(Reply::Done) } else { Err(ZkError::NoWatcher) }
    }

    /// In 3.8 a watch has one mode, and every kind means it.
    fn modes_meant(&self, kind: WatcherType) -> Result<Modes, ZkError> {
        match (kind, self.compat) {
            (WatcherType::Any, _) | (WatcherType::Children | WatcherType::Data, Compat::V3_8) => {
                Ok(Modes::all())
            }
            (WatcherType::Children | WatcherType::Data, Compat::V3_9) => Ok(Modes::only(Mode::Standard)),
            (WatcherType::Persistent, Compat::V3_9) => Ok(Modes::only(Mode::Persistent)),
            (WatcherType::PersistentRecursive, Compat::V3_9) => Ok(Modes::only(Mode::Recursive)),
            (WatcherType::Persistent | WatcherType::PersistentRecursive, Compat::V3_8) => {
                Err(ZkError::MarshallingError)
            }
        }
    }
}
