//! Line — decides, from the record alone, what the tree is after each committed transaction. It never looks
//! at what a server holds.
//!
//! The oracle of every law on what clients are shown: a reply with zxid z shows the tree after exactly the
//! transactions up to z (ZooKeeper programmer's guide, consistency guarantees). Of `/zookeeper` only the
//! children are known, since servers fill it without transactions.

use std::collections::BTreeMap;

use crate::{
    check::committed::Proposal,
    event::{Act, Change},
    name::{SessionId, Zxid},
    zookeeper::wire::Stat,
};

/// A node's part of the tree after some transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) czxid: Zxid,
    pub(super) mzxid: Zxid,
    pub(super) pzxid: Zxid,
    version: i32,
    aversion: i32,
    creates: i32,
    children: i32,
    owner: SessionId,
    data_length: i32,
}

impl Node {
    fn initial(children: i32) -> Self {
        let zero = Zxid(0);
        Self { children, ..Self::created(zero, SessionId::NONE, 0) }
    }

    fn created(zxid: Zxid, owner: SessionId, data_length: i32) -> Self {
        Self {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            version: 0,
            aversion: 0,
            creates: 0,
            children: 0,
            owner,
            data_length,
        }
    }

    /// What a client is to be shown; the times are those that it is shown.
    pub(super) fn stat(&self, shown: &Stat) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: shown.ctime,
            mtime: shown.mtime,
            version: self.version,
            cversion: self.creates.wrapping_mul(2).wrapping_sub(self.children),
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            data_length: self.data_length,
            num_children: self.children,
            pzxid: self.pzxid,
        }
    }
}

/// A path's versions: since which transaction, and what; none: there is no node.
type Versions = Vec<(Zxid, Option<Node>)>;

/// The tree after each transaction.
#[derive(Debug)]
pub(super) struct Line {
    paths: BTreeMap<String, Versions>,
}

impl Default for Line {
    fn default() -> Self {
        let initial = [("/", 1), ("/zookeeper", 2), ("/zookeeper/config", 0), ("/zookeeper/quota", 0)];
        let node =
            |(path, children): (&str, i32)| (path.to_owned(), vec![(Zxid(0), Some(Node::initial(children)))]);
        Self { paths: initial.into_iter().map(node).collect() }
    }
}

/// Whether servers write this node on their own.
pub(super) fn is_reserved(path: &str) -> bool {
    path.strip_prefix("/zookeeper").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path of the node above.
pub(super) fn parent(path: &str) -> Option<&str> {
    let (parent, name) = path.rsplit_once('/')?;
    let parent = if parent.is_empty() { "/" } else { parent };
    (!name.is_empty()).then_some(parent)
}

impl Line {
    /// The node at this path after `zxid`.
    pub(super) fn at(&self, path: &str, zxid: Zxid) -> Option<&Node> {
        let versions = self.paths.get(if path.is_empty() { "/" } else { path })?;
        let count = versions.partition_point(|(since, _)| *since <= zxid);
        versions[..count].last()?.1.as_ref()
    }

    /// Adds a committed transaction. What of it does not hold at its place in the order, if anything.
    pub(super) fn add(&mut self, proposal: &Proposal) -> Option<String> {
        let wrong = proposal.changes.iter().map(|change| self.change(proposal.zxid, change));
        wrong.fold(None, |first, next| first.or(next))
    }

    fn change(&mut self, zxid: Zxid, Change { path, act }: &Change) -> Option<String> {
        let now = self.at(path, zxid).copied();
        match (act, now) {
            (Act::Created { .. }, Some(_)) => Some(format!("{path} is made, but is there")),
            (Act::Created { owner, parent_creates, data_length, .. }, None) => {
                let wrong = self.adopt(zxid, path, *parent_creates);
                self.set(zxid, path, Some(Node::created(zxid, *owner, *data_length)));
                wrong
            }
            (_, None) => Some(format!("{path} is changed or removed, but is not there")),
            (Act::Deleted, Some(node)) => {
                self.orphan(zxid, path);
                self.set(zxid, path, None);
                (node.children != 0).then(|| format!("{path} is removed, but has {} children", node.children))
            }
            (Act::DataSet { version, data_length }, Some(node)) => {
                let set = Node { mzxid: zxid, version: *version, data_length: *data_length, ..node };
                self.set(zxid, path, Some(set));
                let follows = is_reserved(path) || follows(*version, node.version);
                (!follows).then(|| format!("{path} gets version {version} after {}", node.version))
            }
            (Act::AclSet { version, .. }, Some(node)) => {
                self.set(zxid, path, Some(Node { aversion: *version, ..node }));
                let follows = is_reserved(path) || follows(*version, node.aversion);
                (!follows).then(|| format!("{path} gets aversion {version} after {}", node.aversion))
            }
        }
    }

    /// A child of the node above is made.
    fn adopt(&mut self, zxid: Zxid, path: &str, creates: i32) -> Option<String> {
        let Some((above, node)) = parent(path).and_then(|above| Some((above, *self.at(above, zxid)?))) else {
            return Some(format!("{path} is made, but the node above is not there"));
        };
        self.set(zxid, above, Some(Node { creates, children: node.children + 1, pzxid: zxid, ..node }));
        if node.owner != SessionId::NONE {
            return Some(format!("{path} is made below an ephemeral node"));
        }
        let expected = node.creates.wrapping_add(1);
        (creates != expected)
            .then(|| format!("{path} is child {creates} of {above}, but the next one is {expected}"))
    }

    fn orphan(&mut self, zxid: Zxid, path: &str) {
        let above = parent(path).and_then(|above| Some((above, *self.at(above, zxid)?)));
        if let Some((above, node)) = above {
            self.set(zxid, above, Some(Node { children: node.children - 1, pzxid: zxid, ..node }));
        }
    }

    fn set(&mut self, zxid: Zxid, path: &str, node: Option<Node>) {
        let versions = match self.paths.get_mut(path) {
            Some(versions) => versions,
            None => self.paths.entry(path.to_owned()).or_default(),
        };
        match versions.last_mut() {
            Some((since, last)) if *since == zxid => *last = node,
            _ => versions.push((zxid, node)),
        }
    }
}

/// Whether a version is the next one; −1 is left out when numbers wrap, as it means any version
/// (ZOOKEEPER-4743).
fn follows(next: i32, version: i32) -> bool {
    next == version.wrapping_add(1) || (version == -2 && next == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(path: &str, parent_creates: i32) -> Change {
        let act = Act::Created {
            owner: SessionId::NONE,
            lifetime: "persistent".into(),
            parent_creates,
            data_length: 2,
            open: true,
        };
        Change { path: path.into(), act }
    }

    fn txn(zxid: u64, changes: Vec<Change>) -> Proposal {
        Proposal { zxid: Zxid(zxid), session: SessionId(1), xid: 1, op: "multi".into(), changes }
    }

    fn deleted(path: &str) -> Change {
        Change { path: path.into(), act: Act::Deleted }
    }

    #[test]
    fn node_is_shown_as_it_was_after_each_transaction() {
        let mut line = Line::default();
        let set = Change { path: "/a".into(), act: Act::DataSet { version: 1, data_length: 7 } };
        for (zxid, change) in [(1, created("/a", 1)), (2, created("/a/b", 1)), (3, set), (4, deleted("/a/b"))]
        {
            assert_eq!(line.add(&txn(zxid, vec![change])), None);
        }
        let shown = |zxid| {
            let stat = line.at("/a", Zxid(zxid))?.stat(&Stat::default());
            Some((stat.mzxid.0, stat.pzxid.0, stat.version, stat.cversion, stat.num_children))
        };
        let expected = [
            None,
            Some((1, 1, 0, 0, 0)),
            Some((1, 2, 0, 1, 1)),
            Some((3, 2, 1, 1, 1)),
            Some((3, 4, 1, 2, 0)),
        ];
        assert_eq!([0, 1, 2, 3, 4].map(shown), expected);
        assert_eq!(line.at("/", Zxid(0)).map(|root| root.stat(&Stat::default()).cversion), Some(-1));
    }

    #[test]
    fn change_that_does_not_hold_in_its_place_is_told() {
        let wrong = |changes: Vec<Change>| Line::default().add(&txn(1, changes)).unwrap_or_default();
        assert!(wrong(vec![created("/a/b", 1)]).contains("the node above is not there"));
        assert!(wrong(vec![created("/a", 2)]).contains("child 2 of /, but the next one is 1"));
        assert!(wrong(vec![created("/a", 1), created("/a", 2)]).contains("/a is made, but is there"));
        assert!(wrong(vec![deleted("/a")]).contains("/a is changed or removed, but is not there"));
        let tree = [created("/a", 1), created("/a/b", 1), deleted("/a")];
        assert!(wrong(tree.to_vec()).contains("/a is removed, but has 1 children"));
        let set = |version| Change { path: "/a".into(), act: Act::DataSet { version, data_length: 0 } };
        assert!(wrong(vec![created("/a", 1), set(2)]).contains("/a gets version 2 after 0"));
    }

    #[test]
    fn version_leaves_minus_one_out_when_it_wraps() {
        assert!(follows(0, -2) && follows(i32::MIN, i32::MAX) && !follows(2, 0));
    }
}
