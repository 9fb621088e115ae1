//! Faults — decides which goals a fault of a disk, a clock or a link meets. It never judges.

use std::collections::BTreeSet;

use super::{
    CLOCK_SET, DAMAGE_REFUSED, DAMAGED_REJOINED, DISK_FULL, FAULT_SPARED, Goal, READ_FAILED, REPLY_LOST,
    SYNC_FAILED, WRITE_FAILED,
};
use crate::{
    event::{Event, EventKind},
    name::{HostId, HostKind},
};

/// What must be remembered to tell.
#[derive(Default)]
pub(super) struct Faults {
    /// Servers with a damaged file.
    damaged: BTreeSet<HostId>,
    /// Servers that have started and not read their files yet.
    starting: BTreeSet<HostId>,
}

impl Faults {
    /// The goal that the next event meets.
    pub(super) fn observe(&mut self, event: &Event) -> Option<Goal> {
        match (&event.kind, event.host) {
            (EventKind::DiskFailed { error, .. }, _) => refused(error),
            (EventKind::ClockSet { .. }, _) => Some(CLOCK_SET),
            (EventKind::ReplyLost { .. }, _) => Some(REPLY_LOST),
            (EventKind::FaultMissed { what, .. }, _) => {
                what.ends_with("would be left").then_some(FAULT_SPARED)
            }
            (kind, Some(host)) if host.kind == HostKind::ZooKeeper => self.server(host, kind),
            _ => None,
        }
    }

    fn server(&mut self, host: HostId, kind: &EventKind) -> Option<Goal> {
        match kind {
            EventKind::DiskRotted { .. } => {
                self.damaged.insert(host);
                None
            }
            EventKind::HostStarted { .. } => {
                self.starting.insert(host);
                None
            }
            EventKind::ServerRestored { .. } => {
                self.starting.remove(&host);
                None
            }
            EventKind::HostHalted { .. } => {
                (self.starting.remove(&host) && self.damaged.contains(&host)).then_some(DAMAGE_REFUSED)
            }
            EventKind::FollowerSynced { .. } => self.damaged.remove(&host).then_some(DAMAGED_REJOINED),
            _ => None,
        }
    }
}

fn refused(error: &str) -> Option<Goal> {
    let goals = [
        ("write failed", WRITE_FAILED),
        ("fsync failed", SYNC_FAILED),
        ("read failed", READ_FAILED),
        ("no space", DISK_FULL),
    ];
    goals.into_iter().find(|(begin, _)| error.starts_with(begin)).map(|(_, goal)| goal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            goal::goals_met,
            record::{Record, search, zk},
        },
        event::{EventKind as E, SyncMode},
        name::{Epoch, Zxid},
    };

    fn met(events: &[(HostId, E)]) -> Vec<&'static str> {
        let mut record = Record::default();
        events.iter().for_each(|(host, event)| _ = record.on(*host, event.clone()));
        goals_met(&record.events)
    }

    #[test]
    fn refusals_of_a_disk_are_told_apart() {
        let goals = [
            ("write failed: input/output error", "write-failed"),
            ("fsync failed: input/output error", "sync-failed"),
            ("read failed: input/output error", "read-failed"),
            ("no space left on device", "disk-full"),
        ];
        for (error, goal) in goals {
            let failed = E::DiskFailed { file: "log.1".into(), error: error.into() };
            assert_eq!(met(&[(zk(1), failed)]), [goal]);
        }
    }

    #[test]
    fn damaged_server_that_ends_before_it_has_restored_refuses() {
        let rotted = (zk(1), E::DiskRotted { file: "log.1".into(), bytes: 1 });
        let started = (zk(1), E::HostStarted { incarnation: 2 });
        let halted = (zk(1), E::HostHalted { why: "damaged".into() });
        assert_eq!(met(&[rotted.clone(), started.clone(), halted.clone()]), ["damage-refused"]);
        assert_eq!(met(&[started.clone(), halted.clone()]), [""; 0]);
        let (leader, epoch) = (zk(2), Epoch(1));
        let synced = E::FollowerSynced { leader, epoch, mode: SyncMode::Snap, zxid: Zxid(1) };
        assert!(met(&[rotted, started, halted, (zk(1), synced)]).contains(&"damaged-server-rejoined"));
    }

    #[test]
    fn clocks_answers_and_budgets_meet_theirs() {
        let lost = E::ReplyLost { to: HostId::client(1) };
        assert_eq!(met(&[(search(1), lost)]), ["reply-lost"]);
        assert_eq!(met(&[(search(1), E::ClockSet { offset_ms: 5, drift_ppm: 0 })]), ["clock-set"]);
        let mut record = Record::default();
        record.world(E::FaultMissed { step: 0, what: "crash: only 1 of 3 servers would be left".into() });
        assert_eq!(goals_met(&record.events), ["fault-spared"]);
    }
}
