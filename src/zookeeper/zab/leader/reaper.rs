//! Reaper — decides which containers and TTL nodes a leader lets go, and when. It never deletes one: that
//! takes a transaction, and what has got a child meanwhile stays (`ContainerManager.java`).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{
    core::{Instant, Now},
    zookeeper::{
        tree::{Database, Znode},
        txn::Lifetime,
        wire::EnsembleConfig,
    },
};

/// A leader's search for nodes that nobody needs any more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reaper {
    interval: Duration,
    /// Between two deletes.
    pause: Duration,
    search_at: Instant,
    /// What the last search has found and is not deleted yet, in order of paths.
    found: VecDeque<Arc<str>>,
    delete_at: Instant,
}

impl Reaper {
    /// The first search is one interval after the leader's start. Deletes are a fixed time apart, in whole
    /// milliseconds, so that not more than the maximum are made in a minute.
    pub(super) fn new(config: &EnsembleConfig, now: Instant) -> Self {
        let interval = Duration::from_millis(config.container_check_ms.max(1));
        let pause = Duration::from_millis(60_000 / u64::from(config.container_max_per_minute.max(1)));
        Self { interval, pause, search_at: now + interval, found: VecDeque::new(), delete_at: now }
    }

    /// The next node to delete, if it is time.
    pub(super) fn next(&mut self, db: &Database, now: Now) -> Option<Arc<str>> {
        if self.found.is_empty() && now.mono >= self.search_at {
            self.found = useless(db, now.wall_ms).cloned().collect();
            let next = self.search_at + self.interval;
            self.search_at = if next > now.mono { next } else { now.mono + self.interval };
        }
        if now.mono < self.delete_at {
            return None;
        }
        let path = self.found.pop_front()?;
        self.delete_at = now.mono + self.pause;
        Some(path)
    }

    /// When [`Reaper::next`] has something to do.
    pub(super) fn next_wake(&self) -> Instant {
        if self.found.is_empty() { self.search_at } else { self.delete_at }
    }
}

/// Containers that have had children and have none, and TTL nodes without children that nobody has set for
/// longer than their TTL.
fn useless(db: &Database, wall_ms: i64) -> impl Iterator<Item = &Arc<str>> {
    let is_useless = move |path: &&Arc<str>| {
        db.node(path).is_some_and(|node| node.children == 0 && has_had_its_time(node, wall_ms))
    };
    db.containers().chain(db.ttls()).filter(is_useless)
}

fn has_had_its_time(node: &Znode, wall_ms: i64) -> bool {
    match node.lifetime {
        Lifetime::Container => node.cversion > 0,
        Lifetime::Ttl { ms } => wall_ms.saturating_sub(node.mtime) > ms as i64,
        Lifetime::Persistent | Lifetime::Ephemeral(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::{SessionId, Zxid},
        zookeeper::{
            txn::{LoggedTxn, Txn, TxnHeader},
            wire::Acl,
        },
    };

    const SECOND: u64 = 1_000_000_000;

    /// Everything is made at the time 0.
    fn apply(db: &mut Database, txn: Txn) {
        let zxid = Zxid(db.last_processed().0 + 1);
        let header = TxnHeader { session: SessionId(1), xid: 0, zxid, wall_ms: 0 };
        db.apply(&LoggedTxn { header, txn }).result.unwrap();
    }

    fn make(db: &mut Database, path: &str, lifetime: Lifetime) {
        let (path, parent_cversion) = (path.into(), 1);
        apply(db, Txn::Create { path, data: None, acl: Acl::open(), lifetime, parent_cversion });
    }

    fn delete(db: &mut Database, path: &str) {
        apply(db, Txn::Delete { path: path.into() });
    }

    fn at(seconds: u64) -> Now {
        Now { mono: Instant(seconds * SECOND), wall_ms: seconds as i64 * 1_000 }
    }

    fn reaper() -> Reaper {
        Reaper::new(&EnsembleConfig::default(), at(0).mono)
    }

    fn all(reaper: &mut Reaper, db: &Database, now: Now) -> Vec<String> {
        let mut now = now;
        let mut paths = Vec::new();
        while let Some(path) = reaper.next(db, now) {
            paths.push(path.to_string());
            now.mono = now.mono + Duration::from_millis(6);
        }
        paths
    }

    /// "deleted when internal cversion > 0 and no child … 3.8.0: never-used ones stay"
    #[test]
    fn container_goes_when_its_last_child_has_gone() {
        let mut db = Database::default();
        for path in ["/fresh", "/left", "/used"] {
            make(&mut db, path, Lifetime::Container);
        }
        for path in ["/left/k", "/used/k"] {
            make(&mut db, path, Lifetime::Persistent);
        }
        delete(&mut db, "/left/k");
        assert_eq!(all(&mut reaper(), &db, at(60)), ["/left"]);
    }

    /// The recording `ttl_expires` of a 3.8.0 server: "deleted when no child and now - mtime > ttl".
    #[test]
    fn ttl_node_goes_when_it_is_old_and_alone() {
        let mut db = Database::default();
        for (path, ms) in [("/long", 61_000), ("/just", 60_000), ("/short", 59_999), ("/parent", 1)] {
            make(&mut db, path, Lifetime::Ttl { ms });
        }
        make(&mut db, "/parent/k", Lifetime::Persistent);
        assert_eq!(all(&mut reaper(), &db, at(60)), ["/short"]);
    }

    #[test]
    fn search_comes_once_an_interval() {
        let mut db = Database::default();
        let mut reaper = reaper();
        make(&mut db, "/t", Lifetime::Ttl { ms: 1 });
        assert_eq!(reaper.next_wake(), at(60).mono);
        assert_eq!(reaper.next(&db, at(59)), None);
        assert_eq!(all(&mut reaper, &db, at(60)), ["/t"]);
        assert_eq!((all(&mut reaper, &db, at(119)), reaper.next_wake()), (vec![], at(120).mono));
        assert_eq!(all(&mut reaper, &db, at(120)), ["/t"]);
        assert_eq!(all(&mut reaper, &db, at(1_000)), ["/t"], "a leader that was paused searches once");
    }

    /// "at most 10000 a minute": one in six milliseconds.
    #[test]
    fn deletes_are_spread_over_time() {
        let mut db = Database::default();
        for path in ["/a", "/b"] {
            make(&mut db, path, Lifetime::Ttl { ms: 1 });
        }
        let mut reaper = reaper();
        assert_eq!(reaper.next(&db, at(60)).as_deref(), Some("/a"));
        assert_eq!(reaper.next(&db, at(60)), None);
        assert_eq!(reaper.next_wake(), at(60).mono + Duration::from_millis(6));
        let later = Now { mono: reaper.next_wake(), ..at(60) };
        assert_eq!(reaper.next(&db, later).as_deref(), Some("/b"));
    }
}
