//! Measures — decides how well a cluster came through a run, in a few figures: how long until a loss is noticed, until
//! a primary is replaced, until all is green again, how long requests fail, how many copies move. It never judges.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    event::{CopyState, Event, EventKind, Outcome},
    name::{AllocationId, SimTime},
    report::{
        failover::{Failover, Office, failovers},
        faults::Planned,
        health::health,
        style::Tone,
    },
};

/// The figures of one run; spans in simulated seconds. What did not occur is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measures {
    /// From a fault until the others know that a primary or a controller is gone: its session has expired, as a rule. The
    /// median of the run.
    pub detect: Option<f64>,
    /// From a fault until a follower of ZooKeeper's leader knows that it is gone: the median of the run.
    pub detect_leader: Option<f64>,
    /// From a fault until another copy is primary: the median of the run.
    pub promote: Option<f64>,
    /// From the loss of green until green again, once the cluster was: the longest of the run; to its end if it was
    /// never green again.
    pub green: Option<f64>,
    /// Time in which a request was under way that failed or got no answer; version conflicts are answers.
    pub unavailable: f64,
    /// Copies that left a node for another one.
    pub moves: u32,
}

/// The figures of a record of a plan.
pub fn measures(events: &[Event], planned: Planned<'_>) -> Measures {
    let failovers = failovers(events, planned);
    let detected = |of_leader: bool| {
        let of = failovers.iter().filter(move |failover| (failover.office == Office::ZkLeader) == of_leader);
        median(of.filter_map(|failover| failover.detected))
    };
    let promoted = failovers.iter().filter(|failover| matches!(failover.office, Office::Primary(_)));
    let mut watch = Watch::default();
    events.iter().for_each(|event| watch.observe(event));
    Measures {
        detect: detected(false),
        detect_leader: detected(true),
        promote: median(promoted.filter_map(|failover: &Failover| failover.succeeded)),
        green: watch.green(),
        unavailable: seconds(union(watch.troubles)),
        moves: watch.moves,
    }
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// The middle one; of two, the lower.
fn median(spans: impl Iterator<Item = Duration>) -> Option<f64> {
    let mut spans: Vec<Duration> = spans.collect();
    spans.sort_unstable();
    spans.get(spans.len().saturating_sub(1) / 2).map(Duration::as_secs_f64)
}

/// How much time these spans cover together, in nanoseconds.
fn union(mut spans: Vec<(SimTime, SimTime)>) -> u64 {
    spans.sort_unstable();
    let (mut covered, mut until) = (0, SimTime(0));
    for (from, to) in spans {
        covered += to.0.saturating_sub(from.max(until).0);
        until = until.max(to);
    }
    covered
}

#[derive(Default)]
struct Watch {
    was_green: bool,
    /// Since when it is not.
    lost: Option<SimTime>,
    longest: Option<u64>,
    moving: BTreeSet<AllocationId>,
    moves: u32,
    open: BTreeMap<u64, SimTime>,
    troubles: Vec<(SimTime, SimTime)>,
    end: SimTime,
}

impl Watch {
    fn observe(&mut self, event: &Event) {
        self.end = event.at;
        match &event.kind {
            EventKind::StatePublished { routing, .. } => {
                self.health(event.at, health(routing).1 == Tone::Good && !routing.is_empty());
                let leaving = routing.iter().filter(|copy| copy.state == CopyState::Relocating);
                let leaving = leaving.filter_map(|copy| copy.allocation).collect::<BTreeSet<_>>();
                self.moves += leaving.difference(&self.moving).count() as u32;
                self.moving = leaving;
            }
            EventKind::DocInvoked { request, .. } | EventKind::SearchInvoked { request, .. } => {
                self.open.insert(*request, event.at);
            }
            EventKind::DocCompleted { request, outcome, error, .. } => {
                let is_answer = error.as_ref().is_some_and(|error| error.contains("version_conflict"));
                self.completed(*request, event.at, *outcome == Outcome::Ok || is_answer);
            }
            EventKind::SearchCompleted { request, outcome, .. } => {
                self.completed(*request, event.at, *outcome == Outcome::Ok);
            }
            _ => {}
        }
    }

    fn health(&mut self, at: SimTime, is_green: bool) {
        match (is_green, self.lost) {
            (true, Some(since)) => {
                self.longest = self.longest.max(Some(at.0 - since.0));
                self.lost = None;
            }
            (false, None) if self.was_green => self.lost = Some(at),
            _ => {}
        }
        self.was_green |= is_green;
    }

    fn completed(&mut self, request: u64, at: SimTime, is_answered: bool) {
        if let Some(from) = self.open.remove(&request).filter(|_| !is_answered) {
            self.troubles.push((from, at));
        }
    }

    fn green(&self) -> Option<f64> {
        let open = self.lost.map(|since| self.end.0 - since.0);
        self.longest.max(open).map(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Placement, SyncMode},
        name::{Epoch, HostId, SessionId, ShardId, Term, Zxid},
    };

    fn event(ms: u64, kind: EventKind) -> Event {
        Event { seq: ms, at: SimTime(ms * 1_000_000), host: Some(HostId::search(1)), kind }
    }

    fn published(ms: u64, state: CopyState) -> Event {
        let copy = Placement {
            shard: ShardId { index: "a".into(), number: 0 },
            node: Some(HostId::search(1)),
            allocation: Some(AllocationId(1)),
            primary: true,
            state,
            in_sync: true,
            term: Term(1),
        };
        let (epoch, version, nodes, unlisted) = (Epoch(1), 1, vec![], vec![]);
        let (routing, why) = (vec![copy], String::new());
        event(ms, EventKind::StatePublished { epoch, version, nodes, routing, unlisted, why })
    }

    fn search(request: u64, from: u64, to: u64, outcome: &str) -> [Event; 2] {
        let asked = serde_json::json!({
            "event": "SearchInvoked", "request": request, "index": "a", "query": "{}",
        });
        let told = serde_json::json!({
            "event": "SearchCompleted", "request": request, "outcome": outcome, "shards_successful": 0,
            "shards_total": 1, "total": 0, "hits": [],
        });
        [(from, asked), (to, told)].map(|(ms, kind)| event(ms, serde_json::from_value(kind).unwrap()))
    }

    #[test]
    fn longest_time_without_green_counts_once_the_cluster_was_green() {
        let of = |states: &[(u64, CopyState)]| {
            measures(
                &states.iter().map(|(ms, state)| published(*ms, *state)).collect::<Vec<_>>(),
                Planned::default(),
            )
            .green
        };
        use CopyState::{Initializing, Started, Unassigned};
        assert_eq!(of(&[(0, Initializing), (500, Started)]), None);
        assert_eq!(
            of(&[(0, Started), (1_000, Unassigned), (2_000, Initializing), (4_000, Started)]),
            Some(3.0)
        );
        assert_eq!(of(&[(0, Started), (1_000, Unassigned), (2_500, Initializing)]), Some(1.5));
    }

    #[test]
    fn expiry_of_sessions_and_elections_are_measured_apart() {
        let told = |ms, host, kind| Event { host, ..event(ms, kind) };
        let (leader, follower) = (HostId::zookeeper(1), HostId::zookeeper(2));
        let session = SessionId(9);
        let (resumed, read_only) = (false, false);
        let connected = EventKind::ClientConnected { session, server: leader, resumed, read_only };
        let followed =
            EventKind::FollowerSynced { leader, epoch: Epoch(1), mode: SyncMode::Diff, zxid: Zxid(0) };
        let hosts = vec![leader, HostId::search(1)];
        let events = [
            told(0, Some(leader), EventKind::LeaderEstablished { epoch: Epoch(1), history: vec![] }),
            told(0, Some(follower), followed),
            event(1, connected),
            event(2, EventKind::ControllerElected { epoch: Epoch(1) }),
            told(1_000, None, EventKind::FaultBegan { step: 0, what: "crash".into(), hosts }),
            told(3_000, Some(follower), EventKind::ElectionStarted { round: 2 }),
            told(9_000, Some(follower), EventKind::SessionExpired { session }),
        ];
        let Measures { detect, detect_leader, .. } = measures(&events, Planned::default());
        assert_eq!((detect, detect_leader), (Some(8.0), Some(2.0)));
    }

    #[test]
    fn overlapping_failures_are_counted_once() {
        let mut events: Vec<Event> = [
            search(1, 0, 1_000, "failed"),
            search(2, 500, 2_000, "unknown"),
            search(3, 3_000, 4_000, "ok"),
            search(4, 5_000, 5_500, "failed"),
        ]
        .concat();
        events.sort_by_key(|event| event.at);
        assert_eq!(measures(&events, Planned::default()).unavailable, 2.5);
    }

    #[test]
    fn copy_that_moves_is_counted_once() {
        use CopyState::{Relocating, Started};
        let events = [(0, Started), (1, Relocating), (2, Relocating), (3, Started), (4, Relocating)];
        let events: Vec<Event> = events.iter().map(|(ms, state)| published(*ms, *state)).collect();
        assert_eq!(measures(&events, Planned::default()).moves, 2);
    }
}
