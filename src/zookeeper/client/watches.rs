//! Watches — decides which watches a client has left that have not fired yet, to set them again on another
//! server. It never decides whether a server fires one.

use std::collections::BTreeSet;

use crate::{
    name::Zxid,
    zookeeper::wire::{Op, Reply, WatchChange, WatchEvent, ZkError},
};

/// One-shot watches that the client has left and that have not fired (`ZKWatchManager`).
#[derive(Debug, Default)]
pub(super) struct Watches {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
}

impl Watches {
    /// Remembers the watch that an answered read has left: exists leaves one also on a node that is missing,
    /// the other reads only on success.
    pub(super) fn left_by(&mut self, op: &Op, result: &Result<Reply, ZkError>) {
        match (op, result) {
            (Op::Exists { path, watch: true }, Err(ZkError::NoNode)) => self.exist.insert(path.clone()),
            (Op::Exists { path, watch: true } | Op::GetData { path, watch: true }, Ok(_)) => {
                self.data.insert(path.clone())
            }
            (Op::GetChildren { path, watch: true }, Ok(_)) => self.child.insert(path.clone()),
            _ => false,
        };
    }

    /// Forgets what this event used up (`ZKWatchManager.materialize`).
    pub(super) fn fired(&mut self, WatchEvent { path, change }: &WatchEvent) {
        if *change != WatchChange::NodeChildrenChanged {
            self.data.remove(path);
            self.exist.remove(path);
        }
        if matches!(change, WatchChange::NodeChildrenChanged | WatchChange::NodeDeleted) {
            self.child.remove(path);
        }
    }

    /// The request that sets them all again on another server.
    pub(super) fn rearm(&self, relative_zxid: Zxid) -> Option<Op> {
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        let (data, exist, child) = (list(&self.data), list(&self.exist), list(&self.child));
        let empty = data.is_empty() && exist.is_empty() && child.is_empty();
        (!empty).then_some(Op::SetWatches {
            relative_zxid,
            data,
            exist,
            child,
            persistent: Vec::new(),
            recursive: Vec::new(),
        })
    }
}
