//! Epochs — decides whether what a server has promised about epochs only grows. It never looks at
//! transactions.

use std::collections::BTreeMap;

use crate::{
    check::{
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind},
    name::{Epoch, HostId},
};

pub(super) const EPOCHS: Law = Law {
    name: "zab.epochs",
    sentence: "A server accepts each epoch once and never an older one; neither acceptedEpoch nor currentEpoch ever falls, \
               not by a crash either.",
    source: "Zab (DSN 2011) §IV, Phase 1: a follower accepts an epoch only if it is later than every one before; \
             QuorumPeer.java, acceptedEpoch and currentEpoch; ZOOKEEPER-335, ZOOKEEPER-1291",
    monitor: || Box::<Epochs>::default(),
};

/// Allowed: what was only in memory, and never told to be on disk, may be lost by a crash (what a server
/// restores after it gave a role up is such). A server whose disk was replaced begins anew: ZooKeeper's
/// guarantees end where disks are lost, and one of a minority does no harm.
#[derive(Default)]
struct Epochs {
    servers: BTreeMap<HostId, Promises>,
}

/// What is on a server's disk for sure.
#[derive(Default)]
struct Promises {
    accepted: Epoch,
    current: Epoch,
    /// Whether its process has read them and goes on from what it knows.
    is_read: bool,
}

impl Promises {
    fn accept(&mut self, event: &Event, host: HostId, epoch: Epoch) -> Judged {
        if epoch <= self.accepted {
            return broken(event, format!("{host} accepted epoch {epoch} after epoch {}", self.accepted));
        }
        self.accepted = epoch;
        Ok(())
    }

    fn enter(&mut self, event: &Event, host: HostId, epoch: Epoch) -> Judged {
        if epoch < self.current {
            return broken(event, format!("{host} entered epoch {epoch} after epoch {}", self.current));
        }
        if epoch > self.accepted {
            return broken(
                event,
                format!("{host} entered epoch {epoch}, but has accepted {} at most", self.accepted),
            );
        }
        self.current = epoch;
        Ok(())
    }

    fn restore(&mut self, event: &Event, host: HostId, accepted: Epoch, current: Epoch) -> Judged {
        if (accepted < self.accepted) || (current < self.current) {
            return broken(
                event,
                format!(
                    "{host} restored accepted epoch {accepted} and current epoch {current}, but had {} and {} on disk",
                    self.accepted, self.current
                ),
            );
        }
        if !self.is_read {
            *self = Self { accepted, current, is_read: true };
        }
        Ok(())
    }
}

impl Monitor for Epochs {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else { return Ok(()) };
        let known = self.servers.entry(host).or_default();
        match &event.kind {
            EventKind::EpochAccepted { epoch } => known.accept(event, host, *epoch),
            EventKind::EpochEntered { epoch } => known.enter(event, host, *epoch),
            EventKind::ServerRestored { accepted_epoch, current_epoch, .. } => {
                known.restore(event, host, *accepted_epoch, *current_epoch)
            }
            EventKind::DiskWiped => {
                *known = Promises::default();
                Ok(())
            }
            kind if is_new_life(kind) => {
                known.is_read = false;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, zk},
        event::EventKind as E,
        name::Zxid,
    };

    const LAW: &str = "zab.epochs";

    fn restored(accepted: u32, current: u32) -> E {
        let (accepted_epoch, current_epoch) = (Epoch(accepted), Epoch(current));
        E::ServerRestored {
            zxid: Zxid(0),
            accepted_epoch,
            current_epoch,
            sessions: vec![],
            ephemerals: vec![],
        }
    }

    fn told(kinds: &[E]) -> Record {
        let mut record = Record::default();
        kinds.iter().for_each(|kind| _ = record.on(zk(1), kind.clone()));
        record
    }

    fn accepted(epoch: u32) -> E {
        E::EpochAccepted { epoch: Epoch(epoch) }
    }

    fn entered(epoch: u32) -> E {
        E::EpochEntered { epoch: Epoch(epoch) }
    }

    const CRASH: E = E::HostCrashed { power: true };

    #[test]
    fn older_or_repeated_promise_fails() {
        told(&[accepted(3), accepted(2)]).assert_fails(LAW, "zk-1 accepted epoch 2 after epoch 3");
        told(&[accepted(3), accepted(3)]).assert_fails(LAW, "zk-1 accepted epoch 3 after epoch 3");
    }

    #[test]
    fn epoch_entered_without_promise_or_backwards_fails() {
        told(&[accepted(3), entered(4)]).assert_fails(LAW, "entered epoch 4, but has accepted 3 at most");
        told(&[accepted(3), entered(3), entered(2)]).assert_fails(LAW, "zk-1 entered epoch 2 after epoch 3");
    }

    #[test]
    fn promise_forgotten_by_a_restart_fails() {
        told(&[accepted(3), CRASH, E::HostStarted { incarnation: 2 }, restored(2, 2)])
            .assert_fails(LAW, "zk-1 restored accepted epoch 2 and current epoch 2, but had 3 and 0 on disk");
    }

    #[test]
    fn promise_that_was_only_in_memory_may_be_lost() {
        let start = E::HostStarted { incarnation: 1 };
        let again =
            [start.clone(), restored(2, 2), restored(3, 2), CRASH, start, restored(2, 2), accepted(3)];
        told(&again).assert_passes(LAW);
    }

    #[test]
    fn server_with_a_new_disk_begins_anew_and_only_then() {
        let begins =
            |wiped: &[E]| told(&[&[accepted(3), entered(3), CRASH], wiped, &[restored(0, 0)]].concat());
        begins(&[E::DiskWiped]).assert_passes(LAW);
        begins(&[]).assert_fails(LAW, "zk-1 restored accepted epoch 0 and current epoch 0");
    }

    #[test]
    fn epoch_entered_again_is_allowed() {
        told(&[accepted(3), entered(3), entered(3)]).assert_passes(LAW);
    }
}
