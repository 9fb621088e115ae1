//! Replicas — decides whether servers at the same point of history have the same tree. It never asks that
//! they be at the same point.

use std::collections::BTreeMap;

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, broken, clock},
    },
    event::{Digest, Event, EventKind},
    name::{Epoch, HostId, SimTime, Zxid},
};

pub(super) const REPLICAS_EQUAL: Law = Law {
    name: "zookeeper.replicas-equal",
    sentence: "Servers whose last applied transaction is the same have the same tree, to the last field of every Stat.",
    source: "Zab (DSN 2011) §III, primary-backup: a state is the fold of its history; ZOOKEEPER-1624, ZOOKEEPER-3145, \
             ZOOKEEPER-3642",
    monitor: || Box::<ReplicasEqual>::default(),
};

/// A new leader calls itself at `epoch:0` before the first transaction of its epoch, while followers synced
/// by an empty DIFF still show the last zxid of the old one (ZOOKEEPER.md §5). Both have the same history,
/// so `epoch:0` is read as the end of the leader's initial history.
#[derive(Default)]
struct ReplicasEqual {
    initial: BTreeMap<Epoch, Zxid>,
    trees: BTreeMap<Zxid, Tree>,
}

struct Tree {
    digest: Digest,
    znodes: u64,
    host: Option<HostId>,
    at: SimTime,
}

impl ReplicasEqual {
    fn canonical(&self, zxid: Zxid) -> Zxid {
        match self.initial.get(&zxid.epoch()) {
            Some(initial) if zxid.counter() == 0 => *initial,
            _ => zxid,
        }
    }
}

impl Monitor for ReplicasEqual {
    fn observe(&mut self, event: &Event) -> Judged {
        let (zxid, digest, znodes) = match &event.kind {
            EventKind::TreeInspected { zxid, digest, znodes } => (self.canonical(*zxid), *digest, *znodes),
            EventKind::LeaderEstablished { epoch, history } => {
                self.initial.extend(history.last().map(|txn| (*epoch, txn.zxid)));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let first = self.trees.entry(zxid).or_insert(Tree { digest, znodes, host: event.host, at: event.at });
        if (first.digest, first.znodes) == (digest, znodes) {
            return Ok(());
        }
        let name = |host: Option<HostId>| host.map_or("nobody".to_owned(), |host| host.to_string());
        broken(
            event,
            format!(
                "after {zxid} {} has a tree of {znodes} znodes, hash {:016x}, but {} had one of {} znodes, hash {:016x}, \
                 at {}",
                name(event.host),
                digest.0,
                name(first.host),
                first.znodes,
                first.digest.0,
                clock(first.at)
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::record::Record, event::EventKind as E};

    #[test]
    fn different_trees_after_the_same_transaction_fail() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(1, |kind| matches!(kind, E::TreeInspected { .. }));
        if let E::TreeInspected { znodes, .. } = at {
            *znodes += 1;
        }
        record.assert_fails("zookeeper.replicas-equal", "zk-2 has a tree of 8 znodes");
    }

    #[test]
    fn leader_at_the_start_of_its_epoch_is_compared_with_the_end_of_the_old_one() {
        for (znodes, fails) in [(5, false), (6, true)] {
            let mut record = Record::default();
            let history = vec![crate::check::record::txn(1, 7)];
            let leader = crate::check::record::zk(2);
            record.on(leader, E::LeaderEstablished { epoch: Epoch(2), history });
            record
                .on(leader, E::TreeInspected { zxid: Zxid::new(Epoch(2), 0), digest: Digest(1), znodes: 5 });
            let follower = crate::check::record::zk(1);
            record.on(follower, E::TreeInspected { zxid: Zxid::new(Epoch(1), 7), digest: Digest(1), znodes });
            if fails {
                record.assert_fails(
                    "zookeeper.replicas-equal",
                    "after 0x100000007 zk-1 has a tree of 6 znodes",
                );
            } else {
                record.assert_passes("zookeeper.replicas-equal");
            }
        }
    }
}
