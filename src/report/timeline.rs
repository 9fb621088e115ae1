//! Timeline — decides which of a run's thousands of events a person wants to see, one line each. It never
//! judges, and what repeats within a moment becomes one line.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    check::verdict::listed,
    event::{CopyState, Event, EventKind, Outcome, Placement},
    name::{AllocationId, HostId, HostKind, SessionId, ShardId, SimTime, Term},
    report::{
        faults::{Planned, struck},
        health::{health, missing, target},
        style::Tone,
        words::counted,
    },
};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it happened, or the first of several.
    pub at: SimTime,
    /// On which host; several or none: a word for them.
    pub who: String,
    /// What happened.
    pub what: String,
    /// To what: shards, nodes, files.
    pub subjects: Vec<String>,
    /// Its looks.
    pub tone: Tone,
}

impl Entry {
    /// What happened and to what, in one line; of many subjects the first few.
    pub fn text(&self) -> String {
        const SHOWN: usize = 6;
        let subjects = listed(self.subjects.iter().cloned(), SHOWN);
        format!("{} {subjects}", self.what).trim_end().to_owned()
    }
}

/// The lines of a run, in order of time.
pub fn timeline(events: &[Event], planned: Planned<'_>) -> Vec<Entry> {
    let mut watch = Watch { planned, ..Watch::default() };
    for event in events {
        watch.observe(event);
    }
    watch.flush_trouble();
    watch.entries.sort_by_key(|entry| entry.at);
    watch.entries
}

/// Alike things within this span of the first are one line.
const MOMENT: Duration = Duration::from_millis(1500);

/// A first start within this span of the run's is no news.
const BOOT: Duration = Duration::from_secs(1);

/// Requests that fail with gaps no longer than this are one stretch of trouble.
const TROUBLE_GAP: Duration = Duration::from_secs(3);

/// What must be remembered to tell a story from single events.
#[derive(Default)]
struct Watch<'a> {
    planned: Planned<'a>,
    entries: Vec<Entry>,
    /// Where an entry of this host and wording was last put.
    recent: BTreeMap<(String, String), usize>,
    sessions: BTreeMap<SessionId, HostId>,
    /// Servers that lead, or believe so.
    leaders: BTreeSet<HostId>,
    /// Whom each fault under way has hit.
    struck: BTreeMap<u32, String>,
    halted: BTreeSet<HostId>,
    nodes: BTreeSet<HostId>,
    health: Option<&'static str>,
    /// Whether every copy was once started: until then copies are built, which is no news.
    has_been_whole: bool,
    moving: BTreeSet<(ShardId, AllocationId)>,
    primaries: BTreeMap<ShardId, (HostId, Term)>,
    begun: BTreeMap<(ShardId, Option<AllocationId>), (SimTime, String)>,
    trouble: Option<Trouble>,
    damage: Option<Damage>,
}

/// What one crash did to a disk.
struct Damage {
    at: SimTime,
    host: HostId,
    files: u64,
    lost: u64,
    torn: u64,
}

impl Damage {
    fn text(&self) -> String {
        let (bytes, files) = (counted(self.lost, "byte", "bytes"), counted(self.files, "file", "files"));
        let torn = match self.torn {
            0 => String::new(),
            torn => format!(", {} torn", counted(torn, "write", "writes")),
        };
        format!("loses {bytes} of unsynced data in {files}{torn}")
    }
}

/// A stretch of time in which clients' requests failed.
struct Trouble {
    from: SimTime,
    to: SimTime,
    failed: u64,
    unknown: u64,
}

impl Watch<'_> {
    fn observe(&mut self, event: &Event) {
        self.damage(event);
        self.world(event);
        self.ensemble(event);
        self.control(event);
        self.copies(event);
        if let EventKind::DocCompleted { outcome, .. } | EventKind::SearchCompleted { outcome, .. } =
            &event.kind
        {
            self.answered(event.at, *outcome);
        }
    }

    /// Adds a line, or a subject to a line of the same moment.
    fn add(
        &mut self,
        at: SimTime,
        who: impl ToString,
        tone: Tone,
        what: impl ToString,
        subject: impl ToString,
    ) {
        let (who, what, subject) = (who.to_string(), what.to_string(), subject.to_string());
        let subjects: Vec<String> = Some(subject).filter(|subject| !subject.is_empty()).into_iter().collect();
        let key = (who.clone(), what.clone());
        let recent = self.recent.get(&key).map(|index| &mut self.entries[*index]);
        match recent.filter(|entry| at.0 - entry.at.0 <= MOMENT.as_nanos() as u64 && !subjects.is_empty()) {
            Some(entry) => entry.subjects.extend(subjects),
            None => {
                self.recent.insert(key, self.entries.len());
                self.entries.push(Entry { at, who, what, subjects, tone });
            }
        }
    }

    fn world(&mut self, event: &Event) {
        let at = event.at;
        let host = event.host.map(|host| host.to_string()).unwrap_or_default();
        match &event.kind {
            EventKind::FaultBegan { step, what, hosts } => {
                self.struck.insert(*step, crowd(hosts));
                match struck(what, hosts) {
                    Some(names) if hosts.len() > 1 => {
                        self.add(at, crowd(hosts), Tone::Fault, format!("{what}:"), names);
                    }
                    _ => self.add(at, crowd(hosts), Tone::Fault, what, ""),
                }
            }
            EventKind::FaultEnded { step, .. } if self.planned.is_deed(*step) => {
                self.struck.remove(step);
            }
            EventKind::FaultEnded { step, what } => {
                let who = self.struck.remove(step).unwrap_or_else(|| crowd(&[]));
                self.add(at, who, Tone::Fault, "undone:", what);
            }
            EventKind::StepBegan { what, .. } => self.add(at, "operator", Tone::Plain, "asks for", what),
            EventKind::SetupFailed { what, error, .. }
            | EventKind::StepEnded { what, error: Some(error), .. } => {
                self.add(at, "operator", Tone::Bad, "does not get", format!("{what}: {error}"));
            }
            EventKind::IndexBlocked { index } => {
                self.add(
                    at,
                    host,
                    Tone::Bad,
                    "lets nobody write (a disk is nearly full):",
                    index.to_string(),
                );
            }
            EventKind::IndexReleased { index } => {
                self.add(at, host, Tone::Good, "lets everybody write again:", index.to_string());
            }
            EventKind::RetriesExhausted { shard, failures, .. } => {
                self.add(
                    at,
                    host,
                    Tone::Bad,
                    format!("leaves a copy alone after {failures} failures:"),
                    shard.to_string(),
                );
            }
            EventKind::RetriesReset { shards } => {
                let shards: Vec<_> = shards.iter().map(ToString::to_string).collect();
                self.add(at, host, Tone::Plain, "tries failed copies again:", shards.join(", "));
            }
            EventKind::FaultMissed { step, what } => {
                let what = self.planned.missed(*step, what);
                self.add(at, "world", Tone::Bad, "fault missed:", what);
            }
            EventKind::HostHalted { why } => {
                self.halted.extend(event.host);
                self.add(at, host, Tone::Bad, format!("halts: {why}"), "");
            }
            EventKind::HostStarted { incarnation } => self.started(event, *incarnation),
            EventKind::DiskRotted { file, .. } => self.add(at, host, Tone::Fault, "holds damage in", file),
            EventKind::DiskFailed { file, error } => {
                self.add(at, host, Tone::Bad, format!("is told: {error}"), file);
            }
            EventKind::ReplyLost { to } => self.add(at, host, Tone::Bad, "loses its answer to", to),
            EventKind::QuietBegan => self.add(at, "clients", Tone::Dim, "the workload ends", ""),
            EventKind::RunEnded => self.add(at, "world", Tone::Dim, "the run ends", ""),
            _ => {}
        }
    }

    /// Damage of one crash comes in one piece, file by file.
    fn damage(&mut self, event: &Event) {
        if let (EventKind::DiskDamaged { lost, torn, .. }, Some(host)) = (&event.kind, event.host) {
            let damage = self.damage.get_or_insert(Damage { at: event.at, host, files: 0, lost: 0, torn: 0 });
            if damage.host == host {
                damage.files += 1;
                damage.lost += lost;
                damage.torn += u64::from(*torn);
                return;
            }
        }
        if let Some(damage) = self.damage.take() {
            self.add(damage.at, damage.host, Tone::Bad, damage.text(), "");
            self.damage(event);
        }
    }

    fn started(&mut self, event: &Event, incarnation: u32) {
        let Some(host) = event.host else { return };
        if incarnation == 1 && event.at.since_start() > BOOT && host.kind != HostKind::Client {
            self.add(event.at, host, Tone::Plain, "starts for the first time", "");
        } else if self.halted.remove(&host) {
            self.add(event.at, host, Tone::Plain, "starts again", "");
        }
    }

    fn ensemble(&mut self, event: &Event) {
        let (at, Some(host)) = (event.at, event.host) else { return };
        match &event.kind {
            EventKind::LeaderEstablished { epoch, .. } => {
                self.leaders.insert(host);
                self.add(at, host, Tone::Good, format!("leads ZooKeeper in epoch {epoch}"), "");
            }
            EventKind::HostCrashed { .. } => drop(self.leaders.remove(&host)),
            EventKind::RoleLost { why } if self.leaders.remove(&host) => {
                self.add(at, host, Tone::Bad, format!("leads no more: {why}"), "");
            }
            EventKind::ClientConnected { session, .. } => drop(self.sessions.insert(*session, host)),
            EventKind::SessionExpired { session } => {
                let owner = self.sessions.get(session).map_or(session.to_string(), ToString::to_string);
                self.add(at, host, Tone::Plain, "expires the session of", owner);
            }
            EventKind::LogTruncated { zxid, .. } => {
                self.add(at, host, Tone::Plain, format!("cuts its log after {zxid}"), "");
            }
            EventKind::SnapshotInstalled { zxid, .. } => {
                self.add(at, host, Tone::Plain, format!("takes its leader's snapshot at {zxid}"), "");
            }
            _ => {}
        }
    }

    fn control(&mut self, event: &Event) {
        let (at, Some(host)) = (event.at, event.host) else { return };
        match &event.kind {
            EventKind::ControllerElected { epoch } => {
                self.add(at, host, Tone::Good, format!("is controller in epoch {epoch}"), "");
            }
            EventKind::ControllerResigned { epoch, why } => {
                self.add(at, host, Tone::Plain, format!("is controller no more (epoch {epoch}): {why}"), "");
            }
            EventKind::StatePublished { nodes, routing, .. } => {
                self.members(at, nodes);
                self.relocations(at, routing);
                self.health(at, routing);
            }
            _ => {}
        }
    }

    fn members(&mut self, at: SimTime, nodes: &[HostId]) {
        let nodes: BTreeSet<HostId> = nodes.iter().copied().collect();
        for gone in self.nodes.difference(&nodes).copied().collect::<Vec<_>>() {
            self.add(at, "cluster", Tone::Bad, "loses", gone);
        }
        for new in nodes.difference(&self.nodes).copied().collect::<Vec<_>>() {
            self.add(at, "cluster", Tone::Good, "gains", new);
        }
        self.nodes = nodes;
    }

    fn relocations(&mut self, at: SimTime, routing: &[Placement]) {
        let key = |copy: &Placement| copy.allocation.map(|allocation| (copy.shard.clone(), allocation));
        let leaving = routing.iter().filter(|copy| copy.state == CopyState::Relocating);
        let mut moving = BTreeSet::new();
        for copy in leaving {
            let Some((key, node)) = key(copy).zip(copy.node) else { continue };
            if !self.moving.contains(&key) {
                let to = target(copy, routing).map_or(String::new(), |target| format!(" to {target}"));
                self.add(at, node, Tone::Plain, "hands over", format!("{}{to}", copy.shard));
            }
            moving.insert(key);
        }
        self.moving = moving;
    }

    fn health(&mut self, at: SimTime, routing: &[Placement]) {
        let (health, tone) = health(routing);
        self.has_been_whole |= tone == Tone::Good && !routing.is_empty();
        if routing.is_empty() || self.health.replace(health) == Some(health) {
            return;
        }
        let detail = match missing(routing) {
            0 => "every copy is started".into(),
            missing => format!("{} not started", counted(missing as u64, "copy is", "copies are")),
        };
        self.add(at, "cluster", tone, format!("is {health}: {detail}"), "");
    }

    fn copies(&mut self, event: &Event) {
        let (at, Some(host)) = (event.at, event.host) else { return };
        match &event.kind {
            EventKind::PrimaryActivated { shard, term, .. } => self.activated(at, host, shard, *term),
            EventKind::PrimaryDeactivated { shard, why, .. } => {
                self.add(at, host, Tone::Plain, format!("is primary no more ({why}):"), shard);
            }
            EventKind::ResyncStarted { shard, operations, .. } => {
                let operations = counted(*operations, "operation", "operations");
                self.begun.insert((shard.clone(), None), (at, operations));
            }
            EventKind::ResyncCompleted { shard, .. } if self.has_been_whole => {
                let detail = self.ended(&(shard.clone(), None), at);
                self.add(at, host, Tone::Good, "has resynced", format!("{shard}{detail}"));
            }
            EventKind::RecoveryStarted { shard, allocation, from } => {
                let how = if from == "store" { "from its disk".into() } else { format!("by {from}") };
                self.begun.insert((shard.clone(), Some(*allocation)), (at, how));
            }
            EventKind::RecoveryCompleted { shard, allocation, .. } if self.has_been_whole => {
                let detail = self.ended(&(shard.clone(), Some(*allocation)), at);
                self.add(at, host, Tone::Good, "has recovered", format!("{shard}{detail}"));
            }
            EventKind::CorruptionFound { shard, file, .. } => {
                self.add(at, host, Tone::Bad, format!("finds {file} damaged, of"), shard);
            }
            EventKind::CopyFailed { shard, why, .. } => {
                self.add(at, host, Tone::Bad, format!("copy fails ({why}):"), shard);
            }
            _ => {}
        }
    }

    fn activated(&mut self, at: SimTime, host: HostId, shard: &ShardId, term: Term) {
        let before = self.primaries.insert(shard.clone(), (host, term));
        let (what, subject) = match before {
            Some((_, earlier)) if earlier < term => {
                ("is promoted: primary of", format!("{shard} in term {term}"))
            }
            Some((other, _)) if other != host => ("takes over as primary of", shard.to_string()),
            _ => ("is primary of", shard.to_string()),
        };
        self.add(at, host, Tone::Good, what, subject);
    }

    /// How a thing went and how long it took, in brackets.
    fn ended(&mut self, key: &(ShardId, Option<AllocationId>), at: SimTime) -> String {
        let begun = self.begun.remove(key);
        begun.map_or(String::new(), |(from, how)| format!(" ({how}, {} ms)", (at.0 - from.0) / 1_000_000))
    }

    fn answered(&mut self, at: SimTime, outcome: Outcome) {
        if outcome == Outcome::Ok {
            return;
        }
        if self.trouble.as_ref().is_some_and(|trouble| at.0 - trouble.to.0 > TROUBLE_GAP.as_nanos() as u64) {
            self.flush_trouble();
        }
        let trouble = self.trouble.get_or_insert(Trouble { from: at, to: at, failed: 0, unknown: 0 });
        trouble.to = at;
        match outcome {
            Outcome::Failed => trouble.failed += 1,
            _ => trouble.unknown += 1,
        }
    }

    fn flush_trouble(&mut self) {
        let Some(trouble) = self.trouble.take() else { return };
        let until = if trouble.to == trouble.from {
            String::new()
        } else {
            format!(", until {:.3}", trouble.to.seconds())
        };
        let requests = counted(trouble.failed + trouble.unknown, "request", "requests");
        let what = match (trouble.failed, trouble.unknown) {
            (_, 0) => format!("{requests} refused{until}"),
            (0, _) => format!("{requests} unanswered{until}"),
            (failed, unknown) => format!("{requests}: {failed} refused, {unknown} unanswered{until}"),
        };
        self.add(trouble.from, "clients", Tone::Bad, what, "");
    }
}

/// The word for the hosts of a fault.
fn crowd(hosts: &[HostId]) -> String {
    match hosts {
        [] => "world".into(),
        [host] => host.to_string(),
        hosts => format!("{} hosts", hosts.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::{Epoch, SessionId},
        scenario::{
            builtin,
            plan::{FaultAction, FaultStep, Plan, Selector},
        },
    };

    fn event(ms: u64, host: HostId, kind: EventKind) -> Event {
        Event { seq: ms, at: SimTime(ms * 1_000_000), host: Some(host), kind }
    }

    fn texts(events: &[Event]) -> Vec<String> {
        timeline(events, Planned::default())
            .iter()
            .map(|entry| format!("{} {} {}", entry.at.0 / 1_000_000, entry.who, entry.text()))
            .collect()
    }

    #[test]
    fn alike_events_of_a_moment_share_a_line() {
        let expired = |session| EventKind::SessionExpired { session: SessionId(session) };
        let leader = HostId::zookeeper(2);
        let connected = EventKind::ClientConnected {
            session: SessionId(1),
            server: leader,
            resumed: false,
            read_only: false,
        };
        let events = [
            event(1, HostId::search(4), connected),
            event(10, leader, expired(1)),
            event(20, leader, expired(2)),
            event(5_000, leader, expired(3)),
        ];
        assert_eq!(
            texts(&events),
            ["10 zk-2 expires the session of search-4, 0x2", "5000 zk-2 expires the session of 0x3"]
        );
    }

    #[test]
    fn hosts_of_a_fault_are_named_and_the_end_of_a_deed_is_no_news() {
        let plan = builtin::DEFAULT.scenario().plan(1);
        let expire = FaultAction::Expire { target: Selector::Controller };
        let plan = Plan { faults: vec![FaultStep { action: expire, ..plan.faults[0].clone() }], ..plan };
        let told = |ms, kind| Event { host: None, ..event(ms, HostId::search(1), kind) };
        let (step, what) = (0, "end of the session of all(search)".to_owned());
        let hosts = vec![HostId::search(1), HostId::search(2)];
        let events = [
            told(1, EventKind::FaultBegan { step, what: what.clone(), hosts }),
            told(1, EventKind::FaultEnded { step, what }),
        ];
        let lines: Vec<String> = timeline(&events, Planned::of(&plan)).iter().map(Entry::text).collect();
        assert_eq!(lines, ["end of the session of all(search): search-1, search-2"]);
    }

    #[test]
    fn failed_requests_are_one_stretch_of_trouble() {
        let completed = |outcome| EventKind::SearchCompleted {
            request: 1,
            outcome,
            shards_successful: 0,
            shards_total: 1,
            total: 0,
            hits: vec![],
            seen: vec![],
            timed_out: false,
            aggregations: String::new(),
            error: None,
        };
        let client = HostId::client(1);
        let events = [
            event(1_000, client, completed(Outcome::Failed)),
            event(2_500, client, completed(Outcome::Unknown)),
            event(2_600, client, completed(Outcome::Ok)),
            event(9_000, client, completed(Outcome::Failed)),
        ];
        assert_eq!(
            texts(&events),
            [
                "1000 clients 2 requests: 1 refused, 1 unanswered, until 2.500",
                "9000 clients 1 request refused"
            ]
        );
    }

    #[test]
    fn first_primary_is_no_promotion_a_second_one_is() {
        let activated = |term| EventKind::PrimaryActivated {
            shard: ShardId { index: "a".into(), number: 0 },
            allocation: AllocationId(1),
            term: Term(term),
        };
        let events = [event(1, HostId::search(1), activated(1)), event(2, HostId::search(2), activated(2))];
        assert_eq!(
            texts(&events),
            ["1 search-1 is primary of a/0", "2 search-2 is promoted: primary of a/0 in term 2"]
        );
    }

    #[test]
    fn damage_of_one_crash_is_one_line() {
        let damaged =
            |file: &str, lost, torn| EventKind::DiskDamaged { file: file.into(), kept: 0, lost, torn };
        let (one, other) = (HostId::zookeeper(1), HostId::zookeeper(2));
        let events = [
            event(5, one, damaged("a", 10, false)),
            event(5, one, damaged("b", 7, true)),
            event(5, other, damaged("a", 1, false)),
            event(9, other, EventKind::HostPaused),
        ];
        assert_eq!(
            texts(&events),
            [
                "5 zk-1 loses 17 bytes of unsynced data in 2 files, 1 write torn",
                "5 zk-2 loses 1 byte of unsynced data in 1 file"
            ]
        );
    }

    #[test]
    fn handed_over_primary_is_no_promotion() {
        let activated = |allocation| EventKind::PrimaryActivated {
            shard: ShardId { index: "a".into(), number: 0 },
            allocation: AllocationId(allocation),
            term: Term(1),
        };
        let events = [event(1, HostId::search(1), activated(1)), event(2, HostId::search(2), activated(2))];
        assert_eq!(
            texts(&events),
            ["1 search-1 is primary of a/0", "2 search-2 takes over as primary of a/0"]
        );
    }

    #[test]
    fn only_the_leader_can_lose_the_lead() {
        let lost = || EventKind::RoleLost { why: "no quorum".into() };
        let leads = EventKind::LeaderEstablished { epoch: Epoch(1), history: vec![] };
        let events = [
            event(1, HostId::zookeeper(1), leads),
            event(2, HostId::zookeeper(2), lost()),
            event(3, HostId::zookeeper(1), lost()),
        ];
        assert_eq!(texts(&events), ["1 zk-1 leads ZooKeeper in epoch 1", "3 zk-1 leads no more: no quorum"]);
    }
}
