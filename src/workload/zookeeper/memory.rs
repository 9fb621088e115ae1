//! Memory — decides what a worker remembers of nodes it has seen, made and watches. It never asks anything by
//! itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::choice::{LIVE, QUEUE, WORK, key};
use crate::{
    name::HostId,
    scenario::ensemble::ZooKeeperClients,
    zookeeper::wire::{AddWatchMode, CreateMode, Op, Reply, Stat, WatchChange, WatchEvent, ZkError},
};

/// What a worker remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The Stat last seen of a node.
    seen: BTreeMap<String, Stat>,
    /// Its own sequential nodes, oldest first.
    made: VecDeque<String>,
    /// Nodes that others build on, and that are there.
    founded: BTreeSet<String>,
    /// Nodes that this session has left a watch on.
    watched: BTreeSet<String>,
    /// Those with watches that stay: of the node alone, of all below it.
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
}

impl Memory {
    /// The version last seen; none known: any.
    pub(super) fn version(&self, path: &str) -> i32 {
        self.seen.get(path).map_or(-1, |stat| stat.version)
    }

    /// The version of the list last seen; none known: any.
    pub(super) fn aversion(&self, path: &str) -> i32 {
        self.seen.get(path).map_or(-1, |stat| stat.aversion)
    }

    /// The oldest of its own sequential nodes, which is forgotten.
    pub(super) fn take_oldest(&mut self) -> Option<String> {
        self.made.pop_front()
    }

    /// Watches end with their session.
    pub(super) fn session_is_over(&mut self) {
        self.watched.clear();
        self.persistent.clear();
        self.recursive.clear();
    }

    /// What must be there before work makes sense, and is not known to be.
    pub(super) fn foundations(&self, table: &ZooKeeperClients, me: HostId) -> Vec<Op> {
        let own = key(u32::from(me.number) % table.keys);
        let all = [WORK.to_owned(), QUEUE.to_owned(), LIVE.to_owned(), own];
        let missing = all.into_iter().filter(|path| !self.founded.contains(path));
        missing.map(|path| Op::create(path, None, CreateMode::Persistent)).collect()
    }

    /// What an answer tells.
    pub(super) fn answered(&mut self, op: &Op, result: &Result<Reply, ZkError>) {
        match result {
            Ok(Reply::Created { path, stat }) => self.created(op, path, *stat),
            Ok(Reply::Stat(stat) | Reply::Data { stat, .. } | Reply::Children { stat, .. }) => {
                self.seen.insert(op.path().to_owned(), *stat);
            }
            Err(ZkError::NodeExists) => {
                self.founded.insert(op.path().to_owned());
            }
            Err(ZkError::NoNode) => {
                self.seen.remove(op.path());
            }
            _ => {}
        }
        if result.is_ok() || matches!((op, result), (Op::Exists { .. }, Err(ZkError::NoNode))) {
            self.watch_left(op);
        }
    }

    fn created(&mut self, op: &Op, path: &str, stat: Stat) {
        if let Op::Create { mode: CreateMode::PersistentSequential, .. } = op {
            self.made.push_back(path.to_owned());
        } else {
            self.founded.insert(path.to_owned());
            self.seen.insert(path.to_owned(), stat);
        }
    }

    fn watch_left(&mut self, op: &Op) {
        let path = op.path().to_owned();
        match op {
            Op::Exists { watch: true, .. }
            | Op::GetData { watch: true, .. }
            | Op::GetChildren { watch: true, .. } => {
                self.watched.insert(path);
            }
            Op::AddWatch { mode: AddWatchMode::Persistent, .. } => {
                self.persistent.insert(path);
            }
            Op::AddWatch { mode: AddWatchMode::PersistentRecursive, .. } => {
                self.recursive.insert(path);
            }
            _ => {}
        }
    }

    /// The read that follows an event.
    pub(super) fn look_again(&self, event: &WatchEvent) -> Op {
        let path = event.path.clone();
        let watch = !self.stays(&path);
        match event.change {
            WatchChange::NodeChildrenChanged => Op::GetChildren { path, watch },
            WatchChange::NodeDeleted => Op::Exists { path, watch },
            WatchChange::NodeCreated | WatchChange::NodeDataChanged => Op::GetData { path, watch },
        }
    }

    /// Whether a watch that stays covers the node.
    fn stays(&self, path: &str) -> bool {
        let covers = |root: &String| {
            path.strip_prefix(root.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.persistent.contains(path) || self.recursive.iter().any(covers)
    }

    /// Reads of everything that is watched, without a watch.
    pub(super) fn look_at_watched(&self) -> Vec<Op> {
        let all: BTreeSet<&String> =
            self.watched.iter().chain(&self.persistent).chain(&self.recursive).collect();
        let reads = |path: &&String| {
            let path = (*path).clone();
            [Op::Exists { path: path.clone(), watch: false }, Op::GetChildren { path, watch: false }]
        };
        all.iter().flat_map(reads).collect()
    }
}
