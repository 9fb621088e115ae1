//! Retention leases — decides which operations a copy keeps for others that may come back without them. It never
//! keeps or drops one itself.
//!
//! Elasticsearch's peer-recovery retention leases (`ReplicationTracker`): the primary holds one for each node
//! that has a copy, renews it as far as the copy is known to be safe, and hands all of them to the other copies
//! in the background, so that whoever is promoted has kept the same history.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::name::{HostId, SeqNo};

/// What is kept for the copy on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Operations from this one on are kept.
    pub retaining: SeqNo,
    /// The primary's wall clock when it was last renewed, in milliseconds since 1970.
    pub renewed_ms: i64,
}

/// The leases of a shard, by node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// One more with each change by the primary: a copy keeps the newest that it is told of.
    pub version: u64,
    by_node: BTreeMap<HostId, Lease>,
}

impl Leases {
    /// The lease for a node.
    pub fn get(&self, node: HostId) -> Option<Lease> {
        self.by_node.get(&node).copied()
    }

    /// Keeps operations from `retaining` on for a node, whatever its lease was.
    pub fn put(&mut self, node: HostId, retaining: SeqNo, wall_ms: i64) {
        self.version += 1;
        self.by_node.insert(node, Lease { retaining, renewed_ms: wall_ms });
    }

    /// The copy on a node needs nothing below `retaining`: its lease is renewed, never moved back. Gives whether
    /// it keeps less now, or was renewed after half of `period`.
    pub fn renew(&mut self, node: HostId, retaining: SeqNo, wall_ms: i64, period: Duration) -> bool {
        let Some(lease) = self.by_node.get_mut(&node) else {
            self.put(node, retaining, wall_ms);
            return true;
        };
        let ages = wall_ms.saturating_sub(lease.renewed_ms) > period.as_millis() as i64 / 2;
        let moves = retaining > lease.retaining;
        if moves || ages {
            *lease = Lease { retaining: lease.retaining.max(retaining), renewed_ms: wall_ms };
            self.version += 1;
        }
        moves || ages
    }

    /// Takes back the lease for a node: its copy gets files.
    pub fn drop_node(&mut self, node: HostId) {
        self.version += u64::from(self.by_node.remove(&node).is_some());
    }

    /// Takes back leases that nobody uses (no copy is on the node: `is_used`) and that were not renewed for
    /// `patience`.
    pub fn expire(&mut self, wall_ms: i64, patience: Duration, is_used: impl Fn(HostId) -> bool) {
        let before = self.by_node.len();
        self.by_node.retain(|node, lease| {
            is_used(*node) || wall_ms.saturating_sub(lease.renewed_ms) < patience.as_millis() as i64
        });
        self.version += u64::from(self.by_node.len() < before);
    }

    /// Operations from this one on are kept; none are kept for anyone if there is no lease.
    pub fn retained_from(&self) -> Option<SeqNo> {
        self.by_node.values().map(|lease| lease.retaining).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId::search(1);
    const B: HostId = HostId::search(2);
    const HOUR: i64 = 3_600_000;
    const PERIOD: Duration = Duration::from_secs(12 * 3_600);

    fn leases() -> Leases {
        let mut leases = Leases::default();
        leases.put(A, SeqNo(10), 0);
        leases.put(B, SeqNo(4), 0);
        leases
    }

    #[test]
    fn history_is_kept_for_the_copy_that_is_furthest_behind() {
        let mut leases = leases();
        assert_eq!(leases.retained_from(), Some(SeqNo(4)));
        leases.drop_node(B);
        assert_eq!(leases.retained_from(), Some(SeqNo(10)));
        assert_eq!(Leases::default().retained_from(), None);
    }

    #[test]
    fn renewed_lease_never_goes_back() {
        let mut leases = leases();
        assert!(leases.renew(B, SeqNo(7), 1, PERIOD));
        assert!(!leases.renew(B, SeqNo(5), 2, PERIOD), "nothing changes");
        assert_eq!(leases.get(B), Some(Lease { retaining: SeqNo(7), renewed_ms: 1 }));
        assert!(leases.renew(B, SeqNo(5), 7 * HOUR, PERIOD), "it must not grow old while its copy is there");
        assert_eq!(leases.get(B), Some(Lease { retaining: SeqNo(7), renewed_ms: 7 * HOUR }));
    }

    #[test]
    fn unused_lease_ends_when_patience_does() {
        for (wall_ms, patience, kept) in
            [(HOUR, PERIOD, true), (HOUR, Duration::ZERO, false), (13 * HOUR, PERIOD, false)]
        {
            let mut leases = leases();
            leases.expire(wall_ms, patience, |node| node == A);
            assert_eq!(leases.get(B).is_some(), kept, "{wall_ms} {patience:?}");
            assert!(leases.get(A).is_some(), "a lease in use stays");
        }
    }
}
