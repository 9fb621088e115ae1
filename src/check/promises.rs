//! Promises — decides whether a server has on disk what it tells others it has. It never decides what a
//! quorum makes of it.

use std::collections::BTreeMap;

use crate::{
    check::{
        held::Held,
        law::{Law, Monitor},
        verdict::{Judged, broken, listed},
    },
    event::{Event, EventKind, TxnRef},
    name::{Epoch, HostId},
};

pub(super) const ACKED: Law = Law {
    name: "zab.acked-durable",
    sentence: "What a server acknowledges is in its log, synced.",
    source: "Zab (DSN 2011) §IV, Phase 3: a follower acknowledges once it has written the proposal to stable storage; \
             ZOOKEEPER-3911, ZOOKEEPER-4646",
    monitor: || Box::<Acked>::default(),
};

pub(super) const NEW_LEADER: Law = Law {
    name: "zab.new-leader-quorum",
    sentence: "A leader is established only when a quorum has entered its epoch and has its history, both on disk.",
    source: "Zab (DSN 2011) §IV, Phase 2: NEWLEADER is acknowledged by a quorum before the leader commits it; \
             ZOOKEEPER-1192, ZOOKEEPER-3911, ZOOKEEPER-4643",
    monitor: || Box::<NewLeader>::default(),
};

/// Whether a quorum's acknowledgements are enough is for `zab.commit-quorum`.
#[derive(Default)]
struct Acked {
    held: Held,
}

impl Monitor for Acked {
    fn observe(&mut self, event: &Event) -> Judged {
        self.held.observe(event);
        let (EventKind::TxnAcked { zxid }, Some(host)) = (&event.kind, event.host) else { return Ok(()) };
        let last = self.held.last(host);
        if last >= *zxid {
            return Ok(());
        }
        broken(event, format!("{host} acknowledged {zxid}, but has synced its log only up to {last}"))
    }
}

/// Allowed: a server may have entered a later epoch meanwhile. A server that votes in no ensemble known to
/// the record counts for nothing.
#[derive(Default)]
struct NewLeader {
    held: Held,
    entered: BTreeMap<HostId, Epoch>,
}

impl NewLeader {
    fn establish(&self, event: &Event, host: HostId, epoch: Epoch, history: &[TxnRef]) -> Judged {
        let end = history.last().map_or(self.held.last(host), |txn| txn.zxid);
        let entered = |voter: &&HostId| self.entered.get(voter).is_some_and(|entered| *entered >= epoch);
        let voters = self.held.voters();
        let ready: Vec<_> =
            voters.iter().filter(entered).filter(|voter| self.held.last(**voter) >= end).collect();
        if voters.is_empty() || self.held.is_quorum(ready.len()) {
            return Ok(());
        }
        let names = listed(ready.iter().map(ToString::to_string), 7);
        broken(
            event,
            format!(
                "{host} is established in epoch {epoch} with a history up to {end}, but only {} of {} servers have both \
                 on disk ({names})",
                ready.len(),
                voters.len(),
            ),
        )
    }
}

impl Monitor for NewLeader {
    fn observe(&mut self, event: &Event) -> Judged {
        self.held.observe(event);
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::LeaderEstablished { epoch, history } => self.establish(event, host, *epoch, history),
            EventKind::EpochEntered { epoch } => {
                self.entered.insert(host, *epoch);
                Ok(())
            }
            EventKind::DiskWiped => {
                self.entered.remove(&host);
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
        check::record::{Record, txn, zk},
        event::EventKind as E,
    };

    #[test]
    fn acknowledgement_before_the_sync_fails() {
        let mut record = Record::healthy();
        let fourth = txn(1, 4).zxid;
        let is_such = |event: &Event| {
            event.host == Some(zk(2)) && matches!(event.kind, E::TxnLogged { zxid, .. } if zxid == fourth)
        };
        let logged = record.index(0, is_such);
        record.events.swap(logged, logged + 1);
        record.assert_fails(
            "zab.acked-durable",
            "zk-2 acknowledged 0x100000004, but has synced its log only up to 0x100000003",
        );
    }

    #[test]
    fn leader_established_before_a_quorum_has_entered_its_epoch_fails() {
        let mut record = Record::healthy();
        let established = record.index(1, |event| matches!(event.kind, E::LeaderEstablished { .. }));
        let entered = record.events[..established]
            .iter()
            .rposition(|event| event.host == Some(zk(1)) && matches!(event.kind, E::EpochEntered { .. }));
        record.events.remove(entered.unwrap());
        record.assert_fails("zab.new-leader-quorum", "but only 1 of 3 servers have both on disk (zk-2)");
    }

    #[test]
    fn leader_established_before_a_quorum_has_its_history_fails() {
        let mut record = Record::healthy();
        let established = record.index(1, |event| matches!(event.kind, E::LeaderEstablished { .. }));
        let last = record.events[..established]
            .iter()
            .rposition(|event| event.host == Some(zk(1)) && matches!(event.kind, E::TxnLogged { .. }));
        record.events.remove(last.unwrap());
        record.assert_fails("zab.new-leader-quorum", "but only 1 of 3 servers have both on disk (zk-2)");
    }

    #[test]
    fn voters_of_the_newest_ensemble_are_counted() {
        let mut record = Record::healthy();
        let established = record.index(1, |event| matches!(event.kind, E::LeaderEstablished { .. }));
        let voters = vec![zk(1), zk(2), zk(4), zk(5)];
        let changed = E::EnsembleChanged { zxid: txn(1, 1).zxid, voters, observers: vec![] };
        record.insert(established, zk(1), changed);
        record.assert_fails("zab.new-leader-quorum", "only 2 of 4 servers have both on disk (zk-1, zk-2)");
    }
}
