//! Watches — decides which watches a client has left that still stand: for whom an event is, and what to set
//! again on another server. It never decides whether a server fires one.
//!
//! The tables and their changes are those of `ZKWatchManager.java`, with one watcher: the client's owner.

use std::collections::BTreeSet;

use super::news::Removed;
use crate::{
    name::Zxid,
    zookeeper::wire::{AddWatchMode, Op, Reply, WatchChange, WatchEvent, WatcherType, ZkError},
};

/// Characters of paths after which another request is begun when watches are set again, so that none
/// outgrows what a server reads (`SET_WATCHES_MAX_LENGTH`, ZOOKEEPER-706).
const SET_WATCHES_LENGTH_MAX: usize = 128 * 1024;

/// What happens to the client's own record of a watch if the server does not confirm its removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The watch stays.
    #[default]
    Keep,
    /// It goes all the same, and the removal counts as done (`local` of `ZooKeeper.removeWatches`).
    Forget,
}

/// Watches of one client, by the client's paths.
#[derive(Debug, Clone, Default)]
pub(super) struct Watches {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
}

/// Paths to set again with one request, in the order of [`Op::SetWatches`].
#[derive(Debug, Default)]
struct Batch {
    lists: [Vec<String>; 5],
    length: usize,
}

impl Watches {
    /// Remembers the watch that an answered request has left (`WatchRegistration.register`): exists leaves one
    /// also on a node that is missing, addWatch does not mind, the other reads leave one only on success.
    pub(super) fn left_by(&mut self, op: &Op, result: &Result<Reply, ZkError>) {
        match (op, result) {
            (Op::Exists { path, watch: true }, Err(ZkError::NoNode)) => self.exist.insert(path.clone()),
            (Op::Exists { path, watch: true } | Op::GetData { path, watch: true }, Ok(_)) => {
                self.data.insert(path.clone())
            }
            (Op::GetChildren { path, watch: true }, Ok(_)) => self.child.insert(path.clone()),
            (Op::AddWatch { path, mode }, Ok(_) | Err(ZkError::NoNode)) => {
                self.table(*mode).insert(path.clone())
            }
            _ => false,
        };
    }

    fn table(&mut self, mode: AddWatchMode) -> &mut BTreeSet<String> {
        match mode {
            AddWatchMode::Persistent => &mut self.persistent,
            AddWatchMode::PersistentRecursive => &mut self.recursive,
        }
    }

    /// Whether an event is for the owner; forgets what it used up (`ZKWatchManager.materialize`).
    pub(super) fn fired(&mut self, WatchEvent { path, change }: &WatchEvent) -> bool {
        let mut hit = self.persistent.contains(path) || self.is_below_recursive(path);
        if *change != WatchChange::NodeChildrenChanged {
            hit |= self.data.remove(path);
            hit |= self.exist.remove(path);
        }
        if matches!(change, WatchChange::NodeChildrenChanged | WatchChange::NodeDeleted) {
            hit |= self.child.remove(path);
        }
        hit
    }

    fn is_below_recursive(&self, path: &str) -> bool {
        !self.recursive.is_empty() && with_ancestors(path).any(|path| self.recursive.contains(path))
    }

    /// Takes watches away once the server has answered (`ZKWatchManager.removeWatcher`); says what the answer
    /// comes to, and which kinds went.
    pub(super) fn removed(
        &mut self,
        (path, kind): (&str, WatcherType),
        on_error: OnError,
        result: Result<Reply, ZkError>,
    ) -> (Result<Reply, ZkError>, Vec<Removed>) {
        if !self.has(path, kind) {
            return (Err(ZkError::NoWatcher), Vec::new());
        }
        if result.is_err() && on_error == OnError::Keep {
            return (result, Vec::new());
        }
        let gone = self.take(path, kind);
        let result = if gone.is_empty() { Err(ZkError::NoWatcher) } else { Ok(Reply::Done) };
        (result, gone)
    }

    /// Persistent watches count as data and child watches here, but [`Watches::take`] leaves them alone.
    fn has(&self, path: &str, kind: WatcherType) -> bool {
        let persistent = self.persistent.contains(path);
        let recursive = self.recursive.contains(path);
        let child = self.child.contains(path);
        let data = self.data.contains(path) || self.exist.contains(path);
        match kind {
            WatcherType::Children => child || persistent || recursive,
            WatcherType::Data => data || persistent || recursive,
            WatcherType::Any => child || data || persistent || recursive,
            WatcherType::Persistent => persistent,
            WatcherType::PersistentRecursive => recursive,
        }
    }

    fn take(&mut self, path: &str, kind: WatcherType) -> Vec<Removed> {
        use WatcherType::{Any, Children, Data, Persistent, PersistentRecursive};
        let mut gone = Vec::new();
        let mut take = |table: &mut BTreeSet<String>, kinds: [WatcherType; 2], what| {
            if kinds.contains(&kind) && table.remove(path) && !gone.contains(&what) {
                gone.push(what);
            }
        };
        take(&mut self.child, [Children, Any], Removed::Child);
        take(&mut self.data, [Data, Any], Removed::Data);
        take(&mut self.exist, [Data, Any], Removed::Data);
        take(&mut self.persistent, [Persistent, Any], Removed::Persistent);
        take(&mut self.recursive, [PersistentRecursive, Any], Removed::Persistent);
        gone
    }

    /// The requests that set them all again on another server, as [`Op::SetWatches`] of paths translated by
    /// `to_server` (`ClientCnxn.primeConnection`).
    pub(super) fn rearm(&self, relative_zxid: Zxid, to_server: impl Fn(&str) -> String) -> Vec<Op> {
        let tables = [&self.data, &self.exist, &self.child, &self.persistent, &self.recursive];
        let mut batches: Vec<Batch> = Vec::new();
        let paths = (0..).zip(tables).flat_map(|(at, table)| table.iter().map(move |path| (at, path)));
        for (at, path) in paths {
            if batches.last().is_none_or(|batch| batch.length >= SET_WATCHES_LENGTH_MAX) {
                batches.push(Batch::default());
            }
            if let Some(batch) = batches.last_mut() {
                batch.add(at, to_server(path));
            }
        }
        batches.into_iter().map(|batch| batch.op(relative_zxid)).collect()
    }
}

impl Batch {
    /// The length of a Java string is counted in UTF-16.
    fn add(&mut self, at: usize, path: String) {
        self.length += path.encode_utf16().count();
        self.lists[at].push(path);
    }

    fn op(self, relative_zxid: Zxid) -> Op {
        let [data, exist, child, persistent, recursive] = self.lists;
        Op::SetWatches { relative_zxid, data, exist, child, persistent, recursive }
    }
}

/// A path, then its parent, up to the root (`PathParentIterator.forAll`).
fn with_ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        let (parent, name) = path.rsplit_once('/')?;
        (!name.is_empty()).then_some(if parent.is_empty() { "/" } else { parent })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: Result<Reply, ZkError> = Ok(Reply::Done);

    fn add(path: &str, mode: AddWatchMode) -> Op {
        Op::AddWatch { path: path.to_owned(), mode }
    }

    fn event(path: &str, change: WatchChange) -> WatchEvent {
        WatchEvent { path: path.to_owned(), change }
    }

    fn with(ops: &[Op]) -> Watches {
        let mut watches = Watches::default();
        ops.iter().for_each(|op| watches.left_by(op, &DONE));
        watches
    }

    fn data(path: &str) -> Op {
        Op::GetData { path: path.to_owned(), watch: true }
    }

    fn child(path: &str) -> Op {
        Op::GetChildren { path: path.to_owned(), watch: true }
    }

    /// The switch of `materialize`: which tables each event empties.
    #[test]
    fn event_uses_up_the_one_shot_watches_it_is_for() {
        use WatchChange::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
        for (change, data_left, child_left) in [
            (NodeCreated, false, true),
            (NodeDataChanged, false, true),
            (NodeChildrenChanged, true, false),
            (NodeDeleted, false, false),
        ] {
            let mut watches = with(&[data("/a"), child("/a")]);
            assert!(watches.fired(&event("/a", change)));
            assert_eq!((watches.data.len(), watches.child.len()), (data_left.into(), child_left.into()));
        }
    }

    #[test]
    fn persistent_watch_is_never_used_up() {
        let mut watches = with(&[add("/a", AddWatchMode::Persistent)]);
        for change in [WatchChange::NodeDeleted, WatchChange::NodeCreated, WatchChange::NodeChildrenChanged] {
            assert!(watches.fired(&event("/a", change)));
        }
        assert!(!watches.fired(&event("/a/b", WatchChange::NodeCreated)));
    }

    #[test]
    fn recursive_watch_is_for_everything_below() {
        let mut watches = with(&[add("/a", AddWatchMode::PersistentRecursive)]);
        for path in ["/a", "/a/b", "/a/b/c"] {
            assert!(watches.fired(&event(path, WatchChange::NodeCreated)), "{path}");
        }
        for path in ["/", "/ab", "/b/a"] {
            assert!(!watches.fired(&event(path, WatchChange::NodeCreated)), "{path}");
        }
        let mut root = with(&[add("/", AddWatchMode::PersistentRecursive)]);
        assert!(root.fired(&event("/a/b", WatchChange::NodeDeleted)));
    }

    #[test]
    fn event_that_nobody_watches_for_is_for_nobody() {
        assert!(!with(&[data("/a")]).fired(&event("/b", WatchChange::NodeDataChanged)));
    }

    #[test]
    fn failed_read_leaves_no_watch_but_exists_and_add_watch_do() {
        let mut watches = Watches::default();
        let missing = Err(ZkError::NoNode);
        watches.left_by(&data("/data"), &missing);
        watches.left_by(&child("/child"), &missing);
        watches.left_by(&Op::Exists { path: "/exist".into(), watch: true }, &missing);
        watches.left_by(&add("/all", AddWatchMode::Persistent), &missing);
        assert_eq!((watches.data.len(), watches.child.len()), (0, 0));
        assert_eq!((watches.exist.len(), watches.persistent.len()), (1, 1));
    }

    #[test]
    fn exists_of_a_node_that_is_there_leaves_a_data_watch() {
        let watches = with(&[Op::Exists { path: "/a".into(), watch: true }]);
        assert_eq!((watches.data.len(), watches.exist.len()), (1, 0));
    }

    #[test]
    fn removal_takes_the_kind_asked_for() {
        let mut watches = with(&[data("/a"), child("/a"), add("/a", AddWatchMode::Persistent)]);
        let (result, gone) = watches.removed(("/a", WatcherType::Data), OnError::Keep, DONE);
        assert_eq!((result, gone), (DONE, vec![Removed::Data]));
        let (result, gone) = watches.removed(("/a", WatcherType::Any), OnError::Keep, DONE);
        assert_eq!((result, gone), (DONE, vec![Removed::Child, Removed::Persistent]));
        let (result, gone) = watches.removed(("/a", WatcherType::Any), OnError::Keep, DONE);
        assert_eq!((result, gone), (Err(ZkError::NoWatcher), vec![]));
    }

    /// 3.8: a persistent watch is found as a data watch, but not taken away as one.
    #[test]
    fn persistent_watch_is_not_removed_as_a_data_watch() {
        let mut watches = with(&[add("/a", AddWatchMode::Persistent)]);
        let (result, gone) = watches.removed(("/a", WatcherType::Data), OnError::Keep, DONE);
        assert_eq!((result, gone), (Err(ZkError::NoWatcher), vec![]));
        assert_eq!(watches.persistent.len(), 1);
    }

    /// "ignore connectionloss when removing from local session"
    #[test]
    fn lost_removal_keeps_the_watch_unless_told_to_forget() {
        let lost = Err(ZkError::ConnectionLoss);
        let mut watches = with(&[data("/a")]);
        let kept = watches.removed(("/a", WatcherType::Data), OnError::Keep, lost.clone());
        assert_eq!(kept, (lost.clone(), vec![]));
        let gone = watches.removed(("/a", WatcherType::Data), OnError::Forget, lost);
        assert_eq!(gone, (DONE, vec![Removed::Data]));
        assert!(watches.rearm(Zxid(0), str::to_owned).is_empty());
    }

    #[test]
    fn all_five_kinds_are_set_again() {
        let mut watches = with(&[
            data("/data"),
            child("/child"),
            add("/all", AddWatchMode::Persistent),
            add("/tree", AddWatchMode::PersistentRecursive),
        ]);
        watches.left_by(&Op::Exists { path: "/exist".into(), watch: true }, &Err(ZkError::NoNode));
        let list = |path: &str| vec![format!("/app{path}")];
        let expected = Op::SetWatches {
            relative_zxid: Zxid(7),
            data: list("/data"),
            exist: list("/exist"),
            child: list("/child"),
            persistent: list("/all"),
            recursive: list("/tree"),
        };
        assert_eq!(watches.rearm(Zxid(7), |path| format!("/app{path}")), [expected]);
    }

    /// "we may exceed our max length by a bit when we add the last watch in the batch"
    #[test]
    fn many_watches_are_set_again_in_batches() {
        let paths: Vec<String> = (0..1_000).map(|at| format!("/{at:0>255}")).collect();
        let mut watches = with(&paths.iter().map(|path| data(path)).collect::<Vec<_>>());
        watches.left_by(&child("/child"), &DONE);
        let batches = watches.rearm(Zxid(7), str::to_owned);
        let sizes: Vec<(usize, usize)> = batches
            .iter()
            .map(|op| match op {
                Op::SetWatches { data, child, .. } => (data.len(), child.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sizes, [(512, 0), (488, 1)]);
    }
}
