//! Failovers — decides what each fault put out of office and how long its succession took. It never judges
//! whether that was quick enough.
//!
//! A fault that hits the ZooKeeper leader, the controller or the host of an acting primary opens a failover
//! for that office. Detection is when the others know; succession when another host holds the office; back
//! when it first does its work again.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{
    event::{Event, EventKind},
    name::{HostId, SessionId, ShardId, SimTime},
};

/// What a host can be for the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "office", content = "of")]
pub enum Office {
    /// ZooKeeper's leader; back with the first client that is served again, or the first commit.
    ZkLeader,
    /// The controller; back with its first publication.
    Controller,
    /// The acting primary of a shard; back with the first acknowledged write.
    Primary(ShardId),
}

impl std::fmt::Display for Office {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ZkLeader => f.write_str("ZooKeeper leader"),
            Self::Controller => f.write_str("controller"),
            Self::Primary(shard) => write!(f, "primary {shard}"),
        }
    }
}

/// How an office passed from one host to another. Spans count from the fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failover {
    /// Number of the fault in the plan.
    pub step: u32,
    /// When it struck.
    pub at: SimTime,
    /// What was held.
    #[serde(flatten)]
    pub office: Office,
    /// By whom.
    pub from: HostId,
    /// Until the others knew: its session expired or it was taken out of the cluster; for ZooKeeper, until
    /// another server began an election.
    pub detected: Option<Duration>,
    /// Until another host held the office.
    pub succeeded: Option<Duration>,
    /// The successor.
    pub to: Option<HostId>,
    /// Until the office did its work again.
    pub back: Option<Duration>,
}

/// The failovers of a run, in order of faults.
pub fn failovers(events: &[Event]) -> Vec<Failover> {
    let mut watch = Watch::default();
    events.iter().for_each(|event| watch.observe(event));
    watch.failovers.retain(|failover| failover.succeeded.is_some() || failover.detected.is_some());
    watch.failovers
}

#[derive(Default)]
struct Watch {
    holders: BTreeMap<Office, HostId>,
    sessions: BTreeMap<SessionId, HostId>,
    failovers: Vec<Failover>,
}

impl Watch {
    fn observe(&mut self, event: &Event) {
        if let EventKind::FaultBegan { step, hosts, .. } = &event.kind {
            self.open(*step, event.at, hosts);
        }
        if let (EventKind::ClientConnected { session, .. }, Some(host)) = (&event.kind, event.host) {
            self.sessions.insert(*session, host);
        }
        self.detect(event);
        if let Some((office, host)) = taken(event) {
            self.succeed(&office, host, event.at);
            self.holders.insert(office, host);
        }
        if let Some(office) = at_work(event) {
            self.work(&office, event);
        }
    }

    fn open(&mut self, step: u32, at: SimTime, hosts: &[HostId]) {
        let held = self.holders.iter().filter(|(_, holder)| hosts.contains(holder));
        let open = held.map(|(office, holder)| Failover {
            step,
            at,
            office: office.clone(),
            from: *holder,
            detected: None,
            succeeded: None,
            to: None,
            back: None,
        });
        self.failovers.extend(open.collect::<Vec<_>>());
    }

    fn detect(&mut self, event: &Event) {
        let sessions = &self.sessions;
        for failover in self.failovers.iter_mut().filter(|failover| failover.detected.is_none()) {
            let detected = match &event.kind {
                EventKind::ElectionStarted { .. } => {
                    failover.office == Office::ZkLeader && event.host != Some(failover.from)
                }
                EventKind::SessionExpired { session } => {
                    failover.office != Office::ZkLeader && sessions.get(session) == Some(&failover.from)
                }
                EventKind::StatePublished { nodes, .. } => {
                    failover.office != Office::ZkLeader && !nodes.contains(&failover.from)
                }
                _ => false,
            };
            if detected {
                failover.detected = Some(since(failover.at, event.at));
            }
        }
    }

    /// The newest open failover of an office is the one that a succession ends; an office that its holder
    /// took up again has not passed.
    fn succeed(&mut self, office: &Office, host: HostId, at: SimTime) {
        let open =
            self.newest(office).filter(|failover| failover.succeeded.is_none() && failover.from != host);
        if let Some(failover) = open {
            (failover.succeeded, failover.to) = (Some(since(failover.at, at)), Some(host));
        }
    }

    fn work(&mut self, office: &Office, event: &Event) {
        let back = |failover: &&mut Failover| {
            let by_successor = failover.to == event.host || *office == Office::ZkLeader;
            failover.back.is_none() && failover.succeeded.is_some() && by_successor
        };
        if let Some(failover) = self.newest(office).filter(back) {
            failover.back = Some(since(failover.at, event.at));
        }
    }

    fn newest(&mut self, office: &Office) -> Option<&mut Failover> {
        self.failovers.iter_mut().rev().find(|failover| failover.office == *office)
    }
}

fn since(from: SimTime, to: SimTime) -> Duration {
    Duration::from_nanos(to.0.saturating_sub(from.0))
}

/// The office that this event's host takes up.
fn taken(event: &Event) -> Option<(Office, HostId)> {
    let office = match &event.kind {
        EventKind::LeaderEstablished { .. } => Office::ZkLeader,
        EventKind::ControllerElected { .. } => Office::Controller,
        EventKind::PrimaryActivated { shard, .. } => Office::Primary(shard.clone()),
        _ => return None,
    };
    event.host.map(|host| (office, host))
}

/// The office whose work this event is.
fn at_work(event: &Event) -> Option<Office> {
    match &event.kind {
        EventKind::TxnCommitted { .. } | EventKind::ClientConnected { .. } => Some(Office::ZkLeader),
        EventKind::StatePublished { .. } => Some(Office::Controller),
        EventKind::WriteAcknowledged { shard, .. } => Some(Office::Primary(shard.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{AllocationId, Epoch, SeqNo, Term};

    fn event(ms: u64, host: Option<HostId>, kind: EventKind) -> Event {
        Event { seq: ms, at: SimTime(ms * 1_000_000), host, kind }
    }

    fn activated(ms: u64, node: u16, term: u64) -> Event {
        let shard = "a/0".parse().unwrap();
        let kind = EventKind::PrimaryActivated { shard, allocation: AllocationId(1), term: Term(term) };
        event(ms, Some(HostId::search(node)), kind)
    }

    fn acknowledged(ms: u64, node: u16) -> Event {
        let shard = "a/0".parse().unwrap();
        let kind =
            EventKind::WriteAcknowledged { shard, term: Term(1), seq_no: SeqNo(0), copies: 1, durable: true };
        event(ms, Some(HostId::search(node)), kind)
    }

    fn struck(ms: u64, host: HostId) -> Event {
        event(ms, None, EventKind::FaultBegan { step: 0, what: "crash".into(), hosts: vec![host] })
    }

    #[test]
    fn primary_passes_by_expiry_promotion_and_first_write() {
        let node = HostId::search(1);
        let session = SessionId(9);
        let connected = EventKind::ClientConnected {
            session,
            server: HostId::zookeeper(1),
            resumed: false,
            read_only: false,
        };
        let found = failovers(&[
            event(0, Some(node), connected),
            activated(1, 1, 1),
            acknowledged(2, 1),
            struck(1_000, node),
            event(5_000, Some(HostId::zookeeper(2)), EventKind::SessionExpired { session }),
            activated(5_100, 2, 2),
            acknowledged(5_200, 2),
            acknowledged(5_300, 2),
        ]);
        let ms = |span: Option<Duration>| span.map(|span| span.as_millis());
        assert_eq!(found.len(), 1);
        let one = &found[0];
        assert_eq!(
            (ms(one.detected), ms(one.succeeded), ms(one.back)),
            (Some(4_000), Some(4_100), Some(4_200))
        );
        assert_eq!((one.from, one.to), (node, Some(HostId::search(2))));
    }

    #[test]
    fn fault_that_moves_no_office_is_no_failover() {
        assert_eq!(failovers(&[activated(1, 1, 1), struck(1_000, HostId::search(3))]), []);
        assert_eq!(
            failovers(&[activated(1, 1, 1), struck(1_000, HostId::search(1)), acknowledged(2_000, 1)]),
            []
        );
    }

    #[test]
    fn leader_passes_by_election() {
        let leads = |ms, server, epoch| {
            let kind = EventKind::LeaderEstablished { epoch: Epoch(epoch), history: vec![] };
            event(ms, Some(HostId::zookeeper(server)), kind)
        };
        let election =
            |ms, server| event(ms, Some(HostId::zookeeper(server)), EventKind::ElectionStarted { round: 2 });
        let served = |ms| {
            let kind = EventKind::ClientConnected {
                session: SessionId(1),
                server: HostId::zookeeper(1),
                resumed: true,
                read_only: false,
            };
            event(ms, Some(HostId::search(1)), kind)
        };
        let found = failovers(&[
            leads(0, 3, 1),
            struck(1_000, HostId::zookeeper(3)),
            served(1_400),
            election(1_500, 3),
            election(3_500, 2),
            leads(3_800, 2, 2),
            served(3_900),
            served(4_000),
        ]);
        assert_eq!(found[0].detected, Some(Duration::from_millis(2_500)));
        assert_eq!((found[0].office.clone(), found[0].to), (Office::ZkLeader, Some(HostId::zookeeper(2))));
        assert_eq!(found[0].back, Some(Duration::from_millis(2_900)));
    }
}
