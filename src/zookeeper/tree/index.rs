//! Index — decides which nodes are found by what they are: ephemerals, containers, TTL nodes, limits. It
//! never holds what the nodes do not tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::quota;
use crate::{name::SessionId, zookeeper::txn::Lifetime};

/// Paths of nodes by what they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Index {
    /// By owner; no empty sets.
    ephemerals: BTreeMap<SessionId, BTreeSet<Arc<str>>>,
    containers: BTreeSet<Arc<str>>,
    ttls: BTreeSet<Arc<str>>,
    /// Paths, of nodes that may not be there, for which there is a `zookeeper_limits`.
    limited: BTreeSet<Arc<str>>,
}

impl Index {
    /// A node is there.
    pub(super) fn insert(&mut self, path: &Arc<str>, lifetime: Lifetime) {
        match lifetime {
            Lifetime::Persistent => {}
            Lifetime::Ephemeral(session) => {
                self.ephemerals.entry(session).or_default().insert(path.clone());
            }
            Lifetime::Container => {
                self.containers.insert(path.clone());
            }
            Lifetime::Ttl { .. } => {
                self.ttls.insert(path.clone());
            }
        }
        if let Some(limited) = quota::limited_by(path) {
            self.limited.insert(limited.into());
        }
    }

    /// A node is gone.
    pub(super) fn remove(&mut self, path: &str, lifetime: Lifetime) {
        match lifetime {
            Lifetime::Persistent => {}
            Lifetime::Ephemeral(session) => self.remove_ephemeral(path, session),
            Lifetime::Container => {
                self.containers.remove(path);
            }
            Lifetime::Ttl { .. } => {
                self.ttls.remove(path);
            }
        }
        if let Some(limited) = quota::limited_by(path) {
            self.limited.remove(limited);
        }
    }

    fn remove_ephemeral(&mut self, path: &str, session: SessionId) {
        let Some(paths) = self.ephemerals.get_mut(&session) else { return };
        paths.remove(path);
        if paths.is_empty() {
            self.ephemerals.remove(&session);
        }
    }

    pub(super) fn ephemerals(&self) -> impl Iterator<Item = (SessionId, &Arc<str>)> {
        self.ephemerals.iter().flat_map(|(session, paths)| paths.iter().map(|path| (*session, path)))
    }

    pub(super) fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = &Arc<str>> {
        self.ephemerals.get(&session).into_iter().flatten()
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.containers.iter()
    }

    pub(super) fn ttls(&self) -> impl Iterator<Item = &Arc<str>> {
        self.ttls.iter()
    }

    /// Paths with limits.
    pub(super) fn limited(&self) -> impl Iterator<Item = &Arc<str>> {
        self.limited.iter()
    }

    /// The path with limits that is nearest above this one, or it (`DataTree.getMaxPrefixWithQuota`).
    pub(super) fn limit_over<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.limited.is_empty() {
            return None;
        }
        let mut at = path;
        loop {
            if self.limited.contains(at) {
                return Some(at);
            }
            at = at.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_for_a_node_and_all_below_it() {
        let mut index = Index::default();
        assert_eq!(index.limit_over("/a"), None);
        for path in ["/zookeeper/quota/a/zookeeper_limits", "/zookeeper/quota/a/b/c/zookeeper_limits"] {
            index.insert(&path.into(), Lifetime::Persistent);
        }
        for (path, limit) in [
            ("/a", Some("/a")),
            ("/a/b", Some("/a")),
            ("/a/b/c/d", Some("/a/b/c")),
            ("/ab", None),
            ("/", None),
        ] {
            assert_eq!(index.limit_over(path), limit, "{path}");
        }
        index.remove("/zookeeper/quota/a/zookeeper_limits", Lifetime::Persistent);
        assert_eq!(index.limit_over("/a/b"), None);
    }
}
