//! Quota — decides how much of a subtree counts, and whether more is allowed. It never refuses what is
//! logged: only the leader asks before.
//!
//! Limits of `/a` are the data of `/zookeeper/quota/a/zookeeper_limits`, what is in use that of
//! `zookeeper_stats` beside it, which every server keeps up to date on its own when it applies a
//! transaction (`DataTree.java`, `Quotas.java`, `StatsTrack.java`).

use std::{collections::BTreeMap, fmt};

use super::{Database, Tree};
use crate::zookeeper::wire::{Data, ZkError};

const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "/zookeeper_limits";
const STATS: &str = "/zookeeper_stats";

/// The path whose limits this path holds. The root has none.
pub(super) fn limited_by(path: &str) -> Option<&str> {
    subject(path, LIMITS)
}

fn subject<'a>(path: &'a str, kind: &str) -> Option<&'a str> {
    path.strip_prefix(QUOTA)?.strip_suffix(kind).filter(|subject| subject.starts_with('/'))
}

/// Numbers by name, as limits and stats are written: `count=2,bytes=5=;countHardLimit=9`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Track(BTreeMap<String, i64>);

impl Track {
    fn of(count: i64, bytes: i64) -> Self {
        Self([("count".to_owned(), count), ("bytes".to_owned(), bytes)].into())
    }

    /// None if a number is missing or cannot be read. An empty text has no numbers. Java's `split` forgets
    /// empty parts at the end, not at the start.
    fn parse(data: &Data) -> Option<Self> {
        let text = std::str::from_utf8(data.as_deref()?).ok()?.trim_end_matches([',', ';']);
        let pair = |pair: &str| {
            let mut parts = pair.trim_end_matches('=').split('=');
            let (name, number) = (parts.next()?, parts.next()?);
            Some((name.to_owned(), if number.is_empty() { -1 } else { number.parse().ok()? }))
        };
        let pairs = text.split([',', ';']).enumerate();
        let pairs = pairs.filter(|(position, pair)| !pair.is_empty() || (*position == 0 && !text.is_empty()));
        pairs.map(|(_, text)| pair(text)).collect::<Option<_>>().map(Self)
    }

    /// −1 if it is not there: no limit.
    fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(-1)
    }

    fn add(&mut self, name: &str, more: i64) {
        let sum = self.get(name).wrapping_add(more);
        self.0.insert(name.to_owned(), sum);
    }
}

impl fmt::Display for Track {
    /// Count and bytes come first; the `=` after them keeps old readers from reading on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.get("count"), self.get("bytes"))?;
        let more = self.0.iter().filter(|(name, _)| !matches!(name.as_str(), "count" | "bytes"));
        for (position, (name, number)) in more.enumerate() {
            let mark = if position == 0 { "=" } else { "" };
            write!(f, "{mark};{name}={number}")?;
        }
        Ok(())
    }
}

/// Bytes of data; null counts 0.
pub(super) fn len(data: &Data) -> i64 {
    data.as_ref().map_or(0, |data| data.len() as i64)
}

impl Tree {
    /// A change below `path`, or of it, changes what is in use of the nearest quota. Neither version nor
    /// mzxid of the stats change.
    pub(super) fn charge(&mut self, path: &str, bytes: i64, count: i64) {
        let Some(limited) = self.index.limit_over(path) else { return };
        let Some(node) = self.nodes.get_mut(format!("{QUOTA}{limited}{STATS}").as_str()) else { return };
        if let Some(mut stats) = Track::parse(&node.data) {
            stats.add("count", count);
            stats.add("bytes", bytes);
            node.data = Some(stats.to_string().into_bytes().into());
        }
    }

    /// Stats that are created are filled with what is in use.
    pub(super) fn fill_new_stats(&mut self, path: &str) {
        if let Some(limited) = subject(path, STATS) {
            let stats = self.used_by(limited);
            let node = self.nodes.get_mut(path).expect("it was just created");
            node.data = Some(stats.to_string().into_bytes().into());
        }
    }

    /// Nodes and bytes of a subtree.
    fn used_by(&self, path: &str) -> Track {
        let Some(top) = self.nodes.get(path) else { return Track::of(0, 0) };
        let add = |(count, bytes), below| (count + 1, bytes + len(&self.nodes[below].data));
        let (count, bytes) = self.descendants(path).fold((1, len(&top.data)), add);
        Track::of(count, bytes)
    }

    /// A snapshot's stats may be older than its nodes, or newer (`DataTree.setupQuota`).
    pub(super) fn recount_quotas(&mut self) {
        let limited: Vec<_> = self.index.limited().cloned().collect();
        for path in limited {
            let stats = format!("{QUOTA}{path}{STATS}");
            if self.nodes.contains_key(stats.as_str()) {
                self.fill_new_stats(&stats);
            }
        }
    }
}

impl Database {
    /// Whether hard limits allow a change that adds so many bytes and nodes, as the committed stats have it
    /// (`ZooKeeperServer.checkQuota`). Soft limits only warn.
    ///
    /// # Errors
    ///
    /// QuotaExceeded; MarshallingError if limits or stats cannot be read.
    pub fn check_quota(&self, path: &str, bytes: i64, count: i64) -> Result<(), ZkError> {
        let Some(limited) = self.tree.index.limit_over(path) else { return Ok(()) };
        let Some(limits) = self.track(limited, LIMITS)? else { return Ok(()) };
        let mut limited_changes = [("count", "countHardLimit", count), ("bytes", "byteHardLimit", bytes)]
            .into_iter()
            .filter(|(_, hard, more)| *more != 0 && limits.get(hard) > -1)
            .peekable();
        if limited_changes.peek().is_none() {
            return Ok(());
        }
        let Some(stats) = self.track(limited, STATS)? else { return Ok(()) };
        let exceeded = limited_changes.any(|(used, hard, more)| stats.get(used) + more > limits.get(hard));
        if exceeded { Err(ZkError::QuotaExceeded) } else { Ok(()) }
    }

    fn track(&self, limited: &str, kind: &str) -> Result<Option<Track>, ZkError> {
        let Some(node) = self.node(&format!("{QUOTA}{limited}{kind}")) else { return Ok(None) };
        Track::parse(&node.data).map(Some).ok_or(ZkError::MarshallingError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(text: &str) -> Option<Track> {
        Track::parse(&Some(text.as_bytes().into()))
    }

    /// The forms in the recordings `quota_enforced` and `quota_stats_unenforced` of a 3.8.0 server.
    #[test]
    fn numbers_are_written_as_old_readers_need_them() {
        let limits = track("count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3").unwrap();
        assert_eq!(limits.to_string(), "count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3");
        assert_eq!([limits.get("byteHardLimit"), limits.get("nope")], [20, -1]);
        assert_eq!(track("bytes=5").unwrap().to_string(), "count=-1,bytes=5");
        assert_eq!(track("").unwrap().to_string(), "count=-1,bytes=-1");
    }

    #[test]
    fn unreadable_numbers_are_none() {
        for text in ["count", "count=", "count=x", "count=1,bytes", ";count=1"] {
            assert_eq!(track(text), None, "{text}");
        }
        assert_eq!(Track::parse(&None), None);
        assert_eq!(track("count==5").map(|track| track.get("count")), Some(-1));
        assert_eq!(track(",").unwrap(), track("").unwrap());
    }

    #[test]
    fn limits_are_of_the_path_between() {
        assert_eq!(limited_by("/zookeeper/quota/a/b/zookeeper_limits"), Some("/a/b"));
        for other in
            ["/zookeeper/quota/zookeeper_limits", "/a/zookeeper_limits", "/zookeeper/quota/a/zookeeper_stats"]
        {
            assert_eq!(limited_by(other), None, "{other}");
        }
    }
}
