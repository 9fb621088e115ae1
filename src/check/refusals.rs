//! Refusals — decides whether whoever is refused something by a disk, or finds damage on it, stops at once. It never
//! judges what a disk may refuse.

use std::collections::BTreeMap;

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
    sentence: "A copy whose disk has refused it something, or that has found damage in its files, becomes no primary, numbers \
               and takes no operation, and completes no recovery before it is opened again.",
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
}

impl CopyFails {
    fn fail(&mut self, host: HostId, allocation: Option<AllocationId>, at: SimTime) {
        if let Some(allocation) = allocation {
            self.failed.entry((host, allocation)).or_insert(at);
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
            _ if self.failed.is_empty() => {}
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
        check::record::{Record, numbered, search, shard, zk},
        event::{Digest, EventKind as E},
        name::{Epoch, SeqNo, SessionId, Term, Zxid},
    };

    fn refused(file: &str) -> E {
        E::DiskFailed { file: file.into(), error: "no space left on device".into() }
    }

    #[test]
    fn server_that_goes_on_after_a_refusal_fails() {
        let (zxid, digest, op) = (Zxid::new(Epoch(1), 7), Digest(1), "create".into());
        let acts = [
            E::TxnProposed { zxid, digest, session: SessionId(1), xid: 1, op, changes: vec![] },
            E::TxnLogged { zxid, digest },
            E::TxnAcked { zxid },
        ];
        for act in acts {
            let mut record = Record::default();
            record.on(zk(1), act.clone()).on(zk(1), refused("log.1")).on(zk(2), act.clone());
            record
                .on(zk(1), E::HostHalted { why: "log.1".into() })
                .on(zk(1), E::HostStarted { incarnation: 2 });
            record.on(zk(1), act.clone());
            record.assert_passes("zab.refusal-ends");
            record.on(zk(1), refused("log.2")).on(zk(1), act.clone());
            record.assert_fails("zab.refusal-ends", &format!("zk-1 goes on ({} of", act.name()));
        }
    }

    #[test]
    fn copy_that_goes_on_after_a_refusal_or_damage_fails() {
        let allocation = AllocationId(0x1_0000_0002);
        let acts = [
            E::ReplicaAppended {
                shard: shard(),
                allocation,
                sender_term: Term(1),
                term: Term(1),
                seq_no: SeqNo(3),
                digest: Digest(1),
                global_checkpoint: SeqNo(2),
            },
            numbered((allocation.0, 1), 3, 1),
            E::PrimaryActivated { shard: shard(), allocation, term: Term(1) },
            E::RecoveryCompleted { shard: shard(), allocation, operations: 1 },
        ];
        let found = || E::CorruptionFound { shard: shard(), allocation, file: "a.store".into() };
        let opened = || E::CopyOpened { shard: shard(), allocation, up_to: SeqNo(1), above: vec![] };
        let file = "shards/articles/0/0000000100000002/0/translog.3";
        for (ends, act) in
            [refused(file), found()].iter().flat_map(|ends| acts.iter().map(move |act| (ends, act)))
        {
            let mut record = Record::default();
            record.on(search(2), act.clone()).on(search(2), ends.clone()).on(search(3), act.clone());
            record.on(search(2), opened()).on(search(2), act.clone());
            record.assert_passes("copies.damage-never-served");
            record.on(search(2), ends.clone()).on(search(2), act.clone());
            record
                .assert_fails("copies.damage-never-served", &format!("on search-2 goes on ({})", act.name()));
        }
    }
}
