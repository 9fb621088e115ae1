//! Patience — decides whether a session was ended for silence before its time. It never judges one that ended late (`ends`).

use std::{collections::BTreeMap, time::Duration};

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, broken, clock},
    },
    event::{Event, EventKind},
    name::{HostId, SessionId, SimTime},
};

pub(super) const PATIENCE: Law = Law {
    name: "session.patience",
    sentence: "A leader ends no session for silence before the session's timeout has passed since it was opened, and \
               since the leader was established.",
    source: "ZooKeeper programmer's guide, sessions; ExpiryQueue.java, roundToNextInterval: never before the timeout; \
             LeaderZooKeeperServer.java, the session tracker of a new leader begins with fresh deadlines",
    monitor: || Box::<Patience>::default(),
};

/// How much faster than time a clock may run at the start of a run, in parts per million: no plan allows for more.
const DRIFT_PPM: u64 = 100_000;
const MILLION: u64 = 1_000_000;

/// Signs of life in between are between a session's server and the leader, and are not judged; neither are sessions
/// that one server keeps to itself. Allowed: an end that is early by as much as the leader's clock may run fast.
#[derive(Default)]
struct Patience {
    established: BTreeMap<HostId, SimTime>,
    opened: BTreeMap<SessionId, SimTime>,
    timeouts: BTreeMap<SessionId, Duration>,
    drifts: BTreeMap<HostId, u64>,
}

impl Patience {
    fn expired(&self, event: &Event, leader: HostId, session: SessionId) -> Judged {
        let (established, opened) = (self.established.get(&leader), self.opened.get(&session));
        let (Some(timeout), Some(since)) = (self.timeouts.get(&session), established.max(opened)) else {
            return Ok(());
        };
        let drift = self.drifts.get(&leader).copied().unwrap_or_default().max(DRIFT_PPM);
        let waited = Duration::from_nanos(event.at.0.saturating_sub(since.0));
        let by_fast_clock = waited.as_nanos() * u128::from(MILLION + drift) / u128::from(MILLION);
        if established.is_none() || by_fast_clock >= timeout.as_nanos() {
            return Ok(());
        }
        let since = clock(*since);
        broken(
            event,
            format!("{leader} ends session {session} {waited:?} after {since}, its timeout is {timeout:?}"),
        )
    }
}

impl Monitor for Patience {
    fn observe(&mut self, event: &Event) -> Judged {
        match (&event.kind, event.host) {
            (EventKind::LeaderEstablished { .. }, Some(host)) => _ = self.established.insert(host, event.at),
            (EventKind::HostStarted { .. }, Some(host)) => _ = self.established.remove(&host),
            (EventKind::ClockSet { drift_ppm, .. }, Some(host)) => {
                self.drifts.insert(host, u64::try_from(*drift_ppm).unwrap_or_default());
            }
            (EventKind::TxnProposed { session, op, .. }, _) if op == "createSession" => {
                self.opened.insert(*session, event.at);
            }
            (EventKind::SessionOpened { session, timeout_ms, .. }, _) => {
                self.timeouts.insert(*session, Duration::from_millis(*timeout_ms));
            }
            (EventKind::SessionExpired { session }, Some(host)) => {
                return self.expired(event, host, *session);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, txn, zk},
        event::{Digest, EventKind as E},
        name::{Epoch, Zxid},
    };

    const OURS: SessionId = SessionId(9);

    fn established() -> E {
        E::LeaderEstablished { epoch: Epoch(1), history: Vec::new() }
    }

    /// A session of four seconds, opened a second after the leader was established.
    fn opened() -> Record {
        let zxid: Zxid = txn(1, 1).zxid;
        let (digest, session, op) = (Digest(1), OURS, "createSession".into());
        let mut record = Record::default();
        record.on(zk(1), established()).wait(1_000);
        record.on(zk(1), E::TxnProposed { zxid, digest, session, xid: 0, op, changes: Vec::new() });
        record.on(zk(1), E::SessionOpened { session, zxid, timeout_ms: 4_000 });
        record
    }

    #[test]
    fn session_that_ends_before_its_timeout_fails() {
        for (waited, why) in
            [(3_000, Some("zk-1 ends session 0x9 3.0")), (3_990, None), (4_000, None), (9_000, None)]
        {
            let mut record = opened();
            record.wait(waited).on(zk(1), E::SessionExpired { session: OURS });
            match why {
                Some(why) => record.assert_fails("session.patience", why),
                None => record.assert_passes("session.patience"),
            }
        }
    }

    #[test]
    fn new_leader_waits_a_whole_timeout_again() {
        let mut record = opened();
        record.wait(3_000).on(zk(2), established()).wait(2_000);
        record.on(zk(2), E::SessionExpired { session: OURS });
        record.assert_fails("session.patience", "zk-2 ends session 0x9 2.0");
    }

    #[test]
    fn clock_that_runs_fast_makes_an_early_end() {
        let mut record = opened();
        record.on(zk(1), E::ClockSet { offset_ms: 0, drift_ppm: 200_000 }).wait(3_400);
        record.on(zk(1), E::SessionExpired { session: OURS });
        record.assert_passes("session.patience");
    }

    #[test]
    fn session_of_a_server_that_does_not_lead_is_its_own_affair() {
        let mut record = opened();
        record.wait(10).on(zk(2), E::SessionExpired { session: OURS });
        record.assert_passes("session.patience");
    }
}
