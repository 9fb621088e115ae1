//! Agreement — decides whether the ensemble agrees on who led an epoch and what a zxid names. It never looks
//! at the order in which servers apply.

use std::collections::BTreeMap;

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock},
    },
    event::{Digest, Event, EventKind, TxnRef},
    name::{Epoch, HostId, Zxid},
};

pub(super) const ONE_LEADER: Law = Law {
    name: "zab.one-leader",
    sentence: "At most one leader is established in an epoch, and it is so once.",
    source: "Zab (DSN 2011) §IV, Phase 1 and 2: an epoch is accepted by a quorum before it is led; ZOOKEEPER-335, \
             ZOOKEEPER-1291",
    monitor: || Box::<OneLeader>::default(),
};

pub(super) const AGREEMENT: Law = Law {
    name: "zab.agreement",
    sentence: "One zxid names one transaction, on every server and in every leader's history.",
    source: "Zab (DSN 2011) §III, total order and integrity; ZOOKEEPER-335, ZOOKEEPER-1154",
    monitor: || Box::<Agreement>::default(),
};

/// A leader that is established twice in one epoch breaks the law as two do: the second establishment could
/// give a zxid to another transaction (ZOOKEEPER-1291). Leaders that only believe they lead, without a
/// quorum's acknowledgement of NEWLEADER, are legal and not seen here.
#[derive(Default)]
struct OneLeader {
    established: BTreeMap<Epoch, (HostId, Point)>,
}

impl Monitor for OneLeader {
    fn observe(&mut self, event: &Event) -> Judged {
        let (EventKind::LeaderEstablished { epoch, .. }, Some(host)) = (&event.kind, event.host) else {
            return Ok(());
        };
        match self.established.insert(*epoch, (host, event.into())) {
            None => Ok(()),
            Some((first, since)) => broken(
                event,
                format!("{host} is established in epoch {epoch}, as {first} was at {}", clock(since.at)),
            ),
        }
    }
}

/// Uncommitted transactions count too: only the one leader of its epoch can have made a zxid.
#[derive(Default)]
struct Agreement {
    names: BTreeMap<Zxid, Naming>,
}

struct Naming {
    digest: Digest,
    host: Option<HostId>,
    act: &'static str,
    since: Point,
}

impl Agreement {
    fn see(&mut self, event: &Event, zxid: Zxid, digest: Digest, act: &'static str) -> Judged {
        let first = self.names.entry(zxid).or_insert_with(|| Naming {
            digest,
            host: event.host,
            act,
            since: event.into(),
        });
        if first.digest == digest {
            return Ok(());
        }
        let name = |host: Option<HostId>| host.map_or("nobody".to_owned(), |host| host.to_string());
        broken(
            event,
            format!(
                "zxid {zxid} names two transactions: {} {act} {:016x}, but {} {} {:016x} at {}",
                name(event.host),
                digest.0,
                name(first.host),
                first.act,
                first.digest.0,
                clock(first.since.at)
            ),
        )
    }
}

impl Monitor for Agreement {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::TxnProposed { zxid, digest, .. } => self.see(event, *zxid, *digest, "proposed"),
            EventKind::TxnLogged { zxid, digest } => self.see(event, *zxid, *digest, "logged"),
            EventKind::TxnCommitted { zxid, digest } => self.see(event, *zxid, *digest, "committed"),
            EventKind::TxnApplied { zxid, digest } => self.see(event, *zxid, *digest, "applied"),
            EventKind::LeaderEstablished { history, .. } => {
                history.iter().try_for_each(|TxnRef { zxid, digest }| {
                    self.see(event, *zxid, *digest, "has in its history")
                })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::record::Record;

    #[test]
    fn second_host_established_in_an_epoch_fails() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(1, |kind| matches!(kind, EventKind::LeaderEstablished { .. }));
        if let EventKind::LeaderEstablished { epoch, .. } = at {
            *epoch = Epoch(1);
        }
        record.assert_fails("zab.one-leader", "zk-2 is established in epoch 1, as zk-3 was");
    }

    #[test]
    fn same_host_established_again_in_its_epoch_fails() {
        let mut record = Record::healthy();
        let (index, _) = record.nth(0, |kind| matches!(kind, EventKind::LeaderEstablished { .. }));
        record.duplicate(index);
        record.assert_fails("zab.one-leader", "zk-3 is established in epoch 1, as zk-3 was");
    }

    #[test]
    fn zxid_with_another_content_on_one_server_fails() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(4, |kind| matches!(kind, EventKind::TxnApplied { .. }));
        if let EventKind::TxnApplied { digest, .. } = at {
            *digest = Digest(7);
        }
        record.assert_fails(
            "zab.agreement",
            "names two transactions: zk-2 applied 0000000000000007, but zk-3 proposed",
        );
    }

    #[test]
    fn history_with_another_content_fails() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(1, |kind| matches!(kind, EventKind::LeaderEstablished { .. }));
        if let EventKind::LeaderEstablished { history, .. } = at {
            history[2].digest = Digest(7);
        }
        record.assert_fails("zab.agreement", "zk-2 has in its history 0000000000000007");
    }
}
