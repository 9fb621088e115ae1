//! Refusals — decides whether whoever is refused something by a disk, or finds damage on it, stops at once. It never
//! judges what a disk may refuse.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, broken, clock},
    },
    event::{Event, EventKind},
    name::{AllocationId, HostId, HostKind, SimTime},
};

pub(super) const SERVER_ENDS: Law = Law {
    name: "zab.refusal-ends",
    sentence: "A ZooKeeper server whose disk has refused a write or a sync proposes, logs and acknowledges nothing more \
               before it starts again.",
    source: "ZooKeeper's ZooKeeperCriticalThread (SyncRequestProcessor ends the process); ZOOKEEPER-2247",
    monitor: || Box::<ServerEnds>::default(),
};

pub(super) const COPY_FAILS: Law = Law {
    name: "copies.damage-never-served",
    sentence: "A copy whose disk has refused it something, or that has found damage in its files, takes no operation and \
               acknowledges no write before it is opened again.",
    source: "Elasticsearch's Engine.failEngine on a tragic event, Store.markStoreCorrupted",
    monitor: || Box::<CopyFails>::default(),
};

/// Allowed: what was under way to others (commits of what a quorum has logged), and a vote.
#[derive(Default)]
struct ServerEnds {
    refused: BTreeMap<HostId, (SimTime, String)>,
}

impl Monitor for ServerEnds {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host.filter(|host| host.kind == HostKind::ZooKeeper) else { return Ok(()) };
        match &event.kind {
            EventKind::DiskFailed { file, .. } => {
                self.refused.entry(host).or_insert((event.at, file.clone()));
            }
            EventKind::HostStarted { .. } => {
                self.refused.remove(&host);
            }
            EventKind::TxnProposed { zxid, .. }
            | EventKind::TxnLogged { zxid, .. }
            | EventKind::TxnAcked { zxid, .. } => {
                if let Some((at, file)) = self.refused.get(&host) {
                    let what = event.kind.name();
                    let why = format!(
                        "{host} goes on ({what} of {zxid}) although {file} was refused at {}",
                        clock(*at)
                    );
                    return broken(event, why);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Allowed: what the copy had taken before, and what others acknowledge by it.
#[derive(Default)]
struct CopyFails {
    failed: BTreeMap<(HostId, AllocationId), SimTime>,
    /// Hosts with copies that have failed: most events are on none.
    hosts: BTreeSet<HostId>,
}

impl CopyFails {
    fn fail(&mut self, host: HostId, allocation: Option<AllocationId>, at: SimTime) {
        if let Some(allocation) = allocation {
            self.failed.entry((host, allocation)).or_insert(at);
            self.hosts.insert(host);
        }
    }

    fn acts(&self, event: &Event, host: HostId, allocation: AllocationId) -> Judged {
        match self.failed.get(&(host, allocation)) {
            Some(at) => {
                let what = event.kind.name();
                broken(
                    event,
                    format!(
                        "copy {allocation} on {host} goes on ({what}) although it failed at {}",
                        clock(*at)
                    ),
                )
            }
            None => Ok(()),
        }
    }
}

impl Monitor for CopyFails {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host.filter(|host| host.kind == HostKind::Search) else { return Ok(()) };
        match &event.kind {
            EventKind::DiskFailed { file, .. } => self.fail(host, allocation_of(file), event.at),
            EventKind::CorruptionFound { allocation, .. } => self.fail(host, Some(*allocation), event.at),
            _ if !self.hosts.contains(&host) => {}
            EventKind::HostStarted { .. } => self.failed.retain(|(of, _), _| *of != host),
            EventKind::CopyOpened { allocation, .. } | EventKind::RecoveryStarted { allocation, .. } => {
                self.failed.remove(&(host, *allocation));
            }
            EventKind::PrimaryActivated { allocation, .. }
            | EventKind::PrimaryAppended { allocation, .. }
            | EventKind::ReplicaAppended { allocation, .. }
            | EventKind::RecoveryCompleted { allocation, .. } => return self.acts(event, host, *allocation),
            _ => {}
        }
        Ok(())
    }
}

/// The copy whose file this is, by the folder that is named after it.
fn allocation_of(file: &str) -> Option<AllocationId> {
    let is_name = |part: &&str| part.len() == 16;
    let name = file.strip_prefix("shards/")?.split('/').skip(2).find(is_name)?;
    u64::from_str_radix(name, 16).ok().map(AllocationId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search, shard, zk},
        event::{Digest, EventKind as E},
        name::{Epoch, SeqNo, Term, Zxid},
    };

    fn refused(file: &str) -> E {
        E::DiskFailed { file: file.into(), error: "no space left on device".into() }
    }

    #[test]
    fn server_that_goes_on_after_a_refusal_fails() {
        let logged = || E::TxnLogged { zxid: Zxid::new(Epoch(1), 7), digest: Digest(1) };
        let mut record = Record::default();
        record.on(zk(1), logged()).on(zk(1), refused("log.1")).on(zk(2), logged());
        record.on(zk(1), E::HostHalted { why: "log.1".into() }).on(zk(1), E::HostStarted { incarnation: 2 });
        record.on(zk(1), logged());
        record.assert_passes("zab.refusal-ends");
        record.on(zk(1), refused("log.2")).on(zk(1), logged());
        record.assert_fails("zab.refusal-ends", "zk-1 goes on (TxnLogged of");
    }

    #[test]
    fn copy_that_goes_on_after_a_refusal_or_damage_fails() {
        let allocation = AllocationId(0x1_0000_0002);
        let took = || E::ReplicaAppended {
            shard: shard(),
            allocation,
            sender_term: Term(1),
            term: Term(1),
            seq_no: SeqNo(3),
            digest: Digest(1),
            global_checkpoint: SeqNo(2),
        };
        let found = || E::CorruptionFound { shard: shard(), allocation, file: "a.store".into() };
        let opened = || E::CopyOpened { shard: shard(), allocation, up_to: SeqNo(1), above: vec![] };
        let file = "shards/articles/0/0000000100000002/0/translog.3";
        for ends in [refused(file), found()] {
            let mut record = Record::default();
            record.on(search(2), took()).on(search(2), ends.clone()).on(search(3), took());
            record.on(search(2), opened()).on(search(2), took());
            record.assert_passes("copies.damage-never-served");
            record.on(search(2), ends).on(search(2), took());
            record.assert_fails("copies.damage-never-served", "on search-2 goes on (ReplicaAppended)");
        }
    }
}
