//! Failovers — decides what each fault put out of office and how long its succession took. It never judges
//! whether that was quick enough.
//!
//! A fault that hits the ZooKeeper leader, the controller or the host of an acting primary, and can take the office
//! away, opens a failover for that office: one at a time, since what is under way may be why the next fault changes
//! nothing. Detection is when the others know; succession when another host holds the office; back when it first does
//! its work again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

use crate::{
    event::{Event, EventKind},
    name::{HostId, SessionId, ShardId, SimTime},
    report::faults::{Force, Planned},
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// Number of the fault in the plan.
    pub step: u32,
    /// When it struck.
    pub at: SimTime,
    /// What was held.
    pub office: Office,
    /// By whom.
    pub from: HostId,
    /// Until the others knew: the session that it had expired, or it was taken out of the cluster; for ZooKeeper, until
    /// one of its followers began an election.
    pub detected: Option<Duration>,
    /// Until another host held the office.
    pub succeeded: Option<Duration>,
    /// The successor.
    pub to: Option<HostId>,
    /// Until the office did its work again.
    pub back: Option<Duration>,
}

/// The failovers of a run, in order of faults.
pub fn failovers(events: &[Event], planned: Planned<'_>) -> Vec<Failover> {
    let mut watch = Watch { planned, ..Watch::default() };
    events.iter().for_each(|event| watch.observe(event));
    let failovers = watch.opened.into_iter().map(|opened| opened.failover);
    failovers.filter(|failover| failover.succeeded.is_some() || failover.detected.is_some()).collect()
}

#[derive(Default)]
struct Watch<'a> {
    planned: Planned<'a>,
    holders: BTreeMap<Office, HostId>,
    /// The newest session of each host.
    sessions: BTreeMap<HostId, SessionId>,
    /// Whom each server follows.
    following: BTreeMap<HostId, HostId>,
    /// The members by the newest cluster state.
    nodes: Option<BTreeSet<HostId>>,
    /// Faults that are not undone.
    under_way: BTreeSet<u32>,
    opened: Vec<Opened>,
}

/// A failover, and what will tell that it is noticed.
struct Opened {
    failover: Failover,
    force: Force,
    /// The session that the holder had.
    session: Option<SessionId>,
}

impl Watch<'_> {
    fn observe(&mut self, event: &Event) {
        self.detect(event);
        match (&event.kind, event.host) {
            (EventKind::FaultBegan { step, hosts, .. }, _) => self.open(*step, event.at, hosts),
            (EventKind::FaultEnded { step, .. }, _) => drop(self.under_way.remove(step)),
            (EventKind::ClientConnected { session, .. }, Some(host)) => {
                self.sessions.insert(host, *session);
            }
            (EventKind::FollowerSynced { leader, .. }, Some(host)) => {
                self.following.insert(host, *leader);
            }
            (EventKind::ElectionStarted { .. } | EventKind::HostCrashed { .. }, Some(host)) => {
                self.following.remove(&host);
            }
            (EventKind::StatePublished { nodes, .. }, _) => {
                self.nodes = Some(nodes.iter().copied().collect());
            }
            _ => {}
        }
        if let Some((office, host)) = taken(event) {
            self.succeed(&office, host, event.at);
            self.holders.insert(office, host);
        }
        if let Some(office) = at_work(event) {
            self.work(&office, event);
        }
    }

    fn open(&mut self, step: u32, at: SimTime, hosts: &[HostId]) {
        self.under_way.insert(step);
        let force = self.planned.force(step);
        if force == Force::Never {
            return;
        }
        let held = self
            .holders
            .iter()
            .filter(|(office, holder)| hosts.contains(holder) && self.holds(office, **holder));
        let held: Vec<(Office, HostId)> = held.map(|(office, holder)| (office.clone(), *holder)).collect();
        for (office, from) in held {
            let is_waited_for = |opened: &Opened| {
                opened.is_open() && self.under_way.contains(&opened.failover.step) && opened.force >= force
            };
            if self.newest(&office).is_some_and(is_waited_for) {
                continue;
            }
            self.opened.retain(|opened| opened.failover.office != office || !opened.is_unnoticed());
            let (detected, succeeded, to, back) = (None, None, None, None);
            let failover = Failover { step, at, office, from, detected, succeeded, to, back };
            self.opened.push(Opened { failover, force, session: self.sessions.get(&from).copied() });
        }
    }

    /// Whether the holder of an office is still in it, and not deposed without knowing.
    fn holds(&self, office: &Office, holder: HostId) -> bool {
        *office == Office::ZkLeader || self.nodes.as_ref().is_none_or(|nodes| nodes.contains(&holder))
    }

    fn detect(&mut self, event: &Event) {
        let (following, nodes) = (&self.following, &self.nodes);
        for opened in self.opened.iter_mut().filter(|opened| opened.failover.detected.is_none()) {
            let Opened { failover, session: had, .. } = opened;
            let from = failover.from;
            let detected = match &event.kind {
                EventKind::ElectionStarted { .. } => {
                    let leader = event.host.and_then(|host| following.get(&host));
                    failover.office == Office::ZkLeader && leader == Some(&from)
                }
                EventKind::SessionExpired { session } => {
                    failover.office != Office::ZkLeader && *had == Some(*session)
                }
                EventKind::StatePublished { nodes: now, .. } => {
                    let was = nodes.as_ref().is_none_or(|nodes| nodes.contains(&from));
                    failover.office != Office::ZkLeader && was && !now.contains(&from)
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
        let open = self.newest_mut(office).filter(|opened| opened.is_open() && opened.failover.from != host);
        if let Some(Opened { failover, .. }) = open {
            (failover.succeeded, failover.to) = (Some(since(failover.at, at)), Some(host));
        }
    }

    fn work(&mut self, office: &Office, event: &Event) {
        let Some(Opened { failover, .. }) = self.newest_mut(office) else { return };
        let by_successor = failover.to == event.host || *office == Office::ZkLeader;
        if failover.back.is_none() && failover.succeeded.is_some() && by_successor {
            failover.back = Some(since(failover.at, event.at));
        }
    }

    fn newest(&self, office: &Office) -> Option<&Opened> {
        self.opened.iter().rev().find(|opened| opened.failover.office == *office)
    }

    fn newest_mut(&mut self, office: &Office) -> Option<&mut Opened> {
        self.opened.iter_mut().rev().find(|opened| opened.failover.office == *office)
    }
}

impl Opened {
    fn is_open(&self) -> bool {
        self.failover.succeeded.is_none()
    }

    fn is_unnoticed(&self) -> bool {
        self.is_open() && self.failover.detected.is_none()
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
    use crate::{
        event::SyncMode,
        name::{AllocationId, Epoch, SeqNo, Term, Zxid},
        scenario::{
            builtin,
            plan::{FaultAction, FaultStep, Plan, Selector},
        },
    };

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

    fn failovers(events: &[Event]) -> Vec<Failover> {
        super::failovers(events, Planned::default())
    }

    fn published(ms: u64, nodes: &[u16]) -> Event {
        let nodes = nodes.iter().copied().map(HostId::search).collect();
        let (epoch, version, routing, unlisted, why) = (Epoch(1), 1, vec![], vec![], String::new());
        let kind = EventKind::StatePublished { epoch, version, nodes, routing, unlisted, why };
        event(ms, Some(HostId::search(3)), kind)
    }

    fn connected(ms: u64, node: u16, session: u64) -> Event {
        let (session, server) = (SessionId(session), HostId::zookeeper(1));
        let kind = EventKind::ClientConnected { session, server, resumed: false, read_only: false };
        event(ms, Some(HostId::search(node)), kind)
    }

    fn expired(ms: u64, session: u64) -> Event {
        event(ms, Some(HostId::zookeeper(2)), EventKind::SessionExpired { session: SessionId(session) })
    }

    fn struck(ms: u64, host: HostId) -> Event {
        event(ms, None, EventKind::FaultBegan { step: 0, what: "crash".into(), hosts: vec![host] })
    }

    #[test]
    fn primary_passes_by_expiry_promotion_and_first_write() {
        let node = HostId::search(1);
        let found = failovers(&[
            connected(0, 1, 9),
            activated(1, 1, 1),
            acknowledged(2, 1),
            struck(1_000, node),
            expired(5_000, 9),
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
        let follows = |ms, server, leader| {
            let (leader, epoch, mode) = (HostId::zookeeper(leader), Epoch(1), SyncMode::Diff);
            let kind = EventKind::FollowerSynced { leader, epoch, mode, zxid: Zxid(0) };
            event(ms, Some(HostId::zookeeper(server)), kind)
        };
        let found = failovers(&[
            leads(0, 3, 1),
            follows(1, 2, 3),
            struck(1_000, HostId::zookeeper(3)),
            election(1_200, 1),
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

    #[test]
    fn session_of_another_life_and_a_node_long_gone_tell_nothing() {
        let node = HostId::search(1);
        let found = failovers(&[
            connected(0, 1, 9),
            published(1, &[1, 2]),
            activated(2, 1, 1),
            connected(500, 1, 10),
            struck(1_000, node),
            expired(1_500, 9),
            expired(5_000, 10),
            published(5_010, &[2]),
            struck(6_000, node),
            published(6_010, &[2]),
            activated(7_000, 2, 2),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].detected, Some(Duration::from_millis(4_000)));
        assert_eq!(found[0].succeeded, Some(Duration::from_millis(6_000)));
    }

    #[test]
    fn jump_of_a_clock_opens_nothing_and_a_crash_takes_over_from_what_was_no_loss() {
        let plan = builtin::DEFAULT.scenario().plan(1);
        let target = Selector::Host(HostId::search(1));
        let actions = [
            FaultAction::JumpClock { target: target.clone(), by_ms: 1 },
            FaultAction::Disconnect { target: target.clone() },
            FaultAction::Crash { target: target.clone(), power: true },
            FaultAction::DriftClock { target, ppm: 9 },
        ];
        let faults = actions.map(|action| FaultStep { action, ..plan.faults[0].clone() });
        let plan = Plan { faults: faults.into(), ..plan };
        let began = |ms, step| {
            let kind = EventKind::FaultBegan { step, what: "a fault".into(), hosts: vec![HostId::search(1)] };
            event(ms, None, kind)
        };
        let of = |events: &[Event]| {
            let found = super::failovers(events, Planned::of(&plan));
            found.into_iter().map(|failover| (failover.step, failover.detected)).collect::<Vec<_>>()
        };
        let start = [connected(0, 1, 9), activated(2, 1, 1)];
        let end = [expired(5_000, 9), activated(5_100, 2, 2)];
        assert_eq!(of(&[&start[..], &[began(1_000, 0)], &end].concat()), []);
        assert_eq!(
            of(&[&start[..], &[began(1_000, 1), began(2_000, 2), began(3_000, 1)], &end].concat()),
            [(2, Some(Duration::from_secs(3)))]
        );
        assert_eq!(
            of(&[&start[..], &[began(1_000, 3), began(2_000, 1), began(3_000, 3)], &end].concat()),
            [(1, Some(Duration::from_secs(3)))]
        );
    }
}
