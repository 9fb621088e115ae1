//! Choice — decides which events of a run have a line in its explanation, and which of them are marked as causes. It
//! never decides how a line looks.
//!
//! Nearest to a break is what is about the same things as the broken law: the operation, the document, the request, the
//! session, the znode. The fewer alike there are of an event, the more it says. Then come faults on the hosts of all
//! that, what the same copies did around it, and changes of state of the same shards and hosts; what room is left goes
//! to the last changes of state of any other.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    Part,
    subjects::{Index, Matter, Subject},
    told::{is_minor, is_state_change},
};
use crate::{
    event::{Event, EventKind as E},
    name::HostId,
    report::{
        causality::{Causes, Hops},
        faults::Planned,
    },
};

/// The most lines of what is about the very things that the law is about.
const WITNESSES_MAX: usize = 20;
/// The most lines of what copies and hosts did around that.
const DEEDS_MAX: usize = 5;
/// The most lines of faults on hosts that it is about.
const FAULTS_MAX: usize = 7;
/// How many events of the record lie at most between a witness and what its host did around it.
const NEAR: usize = 60;
/// Of events that are alike, so many come at a time.
const ALIKE: usize = 2;
/// More alike events than these are a crowd: they come one at a time.
const CROWD: usize = 12;
/// So many times at most.
const ROUNDS_MAX: usize = 4;
/// The most lines of what has nothing to do with the break and is alike.
const UNRELATED_MAX: usize = 4;

/// The lines of an explanation.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Events that have one.
    pub shown: BTreeSet<usize>,
    /// Those of them that can have caused the break.
    pub causes: BTreeSet<usize>,
    /// The one that shows it.
    pub broken: Option<usize>,
}

impl Choice {
    /// What an event has to do with the break.
    pub(super) fn part(&self, at: usize) -> Part {
        match () {
            () if self.broken == Some(at) => Part::Break,
            () if self.causes.contains(&at) => Part::Cause,
            () => Part::Context,
        }
    }
}

/// The event that shows a break, and the law's message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Break<'a> {
    pub at: usize,
    pub why: &'a str,
}

/// At most `room` lines.
pub(super) fn choice(
    events: &[Event],
    planned: Planned<'_>,
    broken: Option<Break<'_>>,
    room: usize,
) -> Choice {
    let mut choice = broken.map_or(Choice::default(), |broken| related(events, planned, broken, room));
    let end = broken.map_or(events.len(), |broken| broken.at);
    let alike_max = if broken.is_some() { UNRELATED_MAX } else { usize::MAX };
    fill(&mut choice.shown, (&events[..end], planned), room, alike_max);
    choice
}

/// Whether an event says anything: the end of what was over at once does not.
fn is_news(event: &Event, planned: Planned<'_>) -> bool {
    match &event.kind {
        E::FaultEnded { step, .. } => !planned.is_deed(*step),
        kind => !is_minor(kind),
    }
}

/// What has to do with the break.
fn related(events: &[Event], planned: Planned<'_>, broken: Break<'_>, room: usize) -> Choice {
    let before = &events[..broken.at];
    let index = Index::of(&events[..=broken.at]);
    let mut matter = Matter::of(&index, &events[broken.at], broken.why);
    let is_news = |event: &&Event| is_news(event, planned);
    let told: Vec<Told> = before.iter().filter(is_news).map(|event| Told::new(event, &index)).collect();

    let witnesses = witnesses(events, &told, &matter);
    let places = |subject: &Subject| matches!(subject, Subject::Host(_) | Subject::Shard(_));
    let of_witnesses = told.iter().filter(|told| witnesses.contains(&told.at));
    let of_witnesses: Vec<Subject> = of_witnesses.flat_map(|told| told.subjects.iter().cloned()).collect();
    matter.extend(of_witnesses.into_iter().filter(places));

    let past = past(events, broken.at, &witnesses);
    let others: Vec<&Told> =
        told.iter().filter(|told| !witnesses.contains(&told.at) && told.is_beside(&matter)).collect();
    let anchors: BTreeSet<usize> = witnesses.iter().copied().chain([broken.at]).collect();

    let mut shown = witnesses;
    shown.extend(faults(events, &told, &past, &matter));
    shown.extend(deeds(events, &others, &anchors));
    let mut changes: Vec<(Hops, Reverse<usize>)> = others
        .iter()
        .filter(|told| is_state_change(&events[told.at].kind) && !shown.contains(&told.at))
        .map(|told| (past.get(&told.at).copied().unwrap_or(Hops::MAX), Reverse(told.at)))
        .collect();
    changes.sort_unstable();
    let left = room.saturating_sub(shown.len() + 1);
    shown.extend(changes.into_iter().take(left).map(|(_, Reverse(at))| at));
    let causes = shown.iter().copied().filter(|at| past.contains_key(at)).collect();
    shown.insert(broken.at);
    Choice { shown, causes, broken: Some(broken.at) }
}

/// An event, and what it is about.
struct Told {
    at: usize,
    subjects: BTreeSet<Subject>,
}

impl Told {
    fn new(event: &Event, index: &Index) -> Self {
        Self { at: event.seq as usize, subjects: index.subjects(event) }
    }

    /// The narrow subjects that it shares.
    fn shared(&self, matter: &Matter) -> Vec<&Subject> {
        let subjects = self.subjects.iter().filter(|subject| subject.is_narrow());
        subjects.filter(|subject| matter.is_about(subject, &self.subjects)).collect()
    }

    /// Whether it is about the same copy or shard, or about none and the same host.
    fn is_beside(&self, matter: &Matter) -> bool {
        let is_about = |subject: &&Subject| matter.is_about(subject, &self.subjects);
        let is_copy = |subject: &&Subject| matches!(subject, Subject::Copy(_) | Subject::Shard(_));
        let mut copies = self.subjects.iter().filter(is_copy).peekable();
        if matter.has_shard() && copies.peek().is_some() {
            return copies.any(|subject| is_about(&subject));
        }
        self.subjects.iter().filter(|subject| !subject.is_narrow()).any(|subject| is_about(&subject))
    }
}

/// Events about the very things that the law is about: of each sort some, the rare ones first. Of what only the event
/// that shows the break is about, and the law's message does not name, one of a sort is enough.
fn witnesses(events: &[Event], told: &[Told], matter: &Matter) -> BTreeSet<usize> {
    let mut sorts: BTreeMap<(&'static str, bool, Vec<&Subject>), Vec<usize>> = BTreeMap::new();
    for told in told {
        let shared = told.shared(matter);
        if !shared.is_empty() {
            let is_named = shared.iter().any(|subject| matter.names(subject, &told.subjects));
            sorts.entry((events[told.at].kind.name(), is_named, shared)).or_default().push(told.at);
        }
    }
    let some_are = sorts.keys().any(|(_, is_named, _)| *is_named);
    let mut ranked = Vec::new();
    for ((name, is_named, shared), mut alike) in sorts {
        let size = alike.len();
        let (at_once, rounds) = match () {
            () if some_are && !is_named => (1, 1),
            () if size > CROWD || is_routine(name) => (1, ROUNDS_MAX),
            () => (ALIKE, ROUNDS_MAX),
        };
        alike.sort_by_key(|at| (!matter.is_when(&events[*at]), Reverse(*at)));
        let rank = |(nth, at): (usize, usize)| (nth / at_once, Reverse(shared.len()), size, Reverse(at));
        ranked.extend(alike.into_iter().take(rounds * at_once).enumerate().map(rank));
    }
    ranked.sort_unstable();
    ranked.into_iter().take(WITNESSES_MAX).map(|(_, _, _, Reverse(at))| at).collect()
}

/// Whether every server does this to every transaction.
fn is_routine(name: &str) -> bool {
    ["TxnLogged", "TxnAcked", "TxnApplied"].contains(&name)
}

/// The last faults on these hosts, and those whose end of a connection tells of.
fn faults(events: &[Event], told: &[Told], past: &BTreeMap<usize, Hops>, matter: &Matter) -> Vec<usize> {
    let is_fault = |told: &&Told| {
        matches!(
            events[told.at].kind,
            E::FaultBegan { .. }
                | E::FaultEnded { .. }
                | E::HostCrashed { .. }
                | E::HostHalted { .. }
                | E::HostPaused
                | E::DiskWiped
                | E::DiskRotted { .. }
        )
    };
    let concerns = |told: &&Told| past.get(&told.at).is_some_and(|hops| *hops <= 1) || told.is_beside(matter);
    told.iter().rev().filter(is_fault).filter(concerns).take(FAULTS_MAX).map(|told| told.at).collect()
}

/// What else these copies and hosts did around a witness: the nearest, one of a sort on each host.
fn deeds(events: &[Event], others: &[&Told], anchors: &BTreeSet<usize>) -> Vec<usize> {
    let near = |at: usize| {
        let host = events[at].host;
        let around = anchors.range(at.saturating_sub(NEAR)..=at + NEAR);
        around.filter(|anchor| events[**anchor].host == host).map(|anchor| anchor.abs_diff(at)).min()
    };
    let is_deed = |told: &&&Told| {
        let is_of_another = told.subjects.iter().any(Subject::is_narrow);
        !is_of_another && !is_state_change(&events[told.at].kind)
    };
    let mut found: Vec<(usize, usize)> =
        others.iter().filter(is_deed).filter_map(|told| Some((near(told.at)?, told.at))).collect();
    found.sort_unstable();
    let mut sorts: BTreeSet<(&'static str, Option<HostId>)> = BTreeSet::new();
    found.retain(|(_, at)| sorts.insert((events[*at].kind.name(), events[*at].host)));
    found.into_iter().take(DEEDS_MAX).map(|(_, at)| at).collect()
}

/// What can have caused the break. What the world itself shows, at the end of a run, is caused by what led to the last
/// witness.
fn past(events: &[Event], broken: usize, witnesses: &BTreeSet<usize>) -> BTreeMap<usize, Hops> {
    let causes = Causes::of(events);
    match (events[broken].host, witnesses.last()) {
        (None, Some(last)) => {
            let mut past = causes.past(*last);
            past.insert(*last, 0);
            past
        }
        _ => causes.past(broken),
    }
}

/// Fills what room is left: what the world did, and the last changes.
fn fill(
    shown: &mut BTreeSet<usize>,
    (events, planned): (&[Event], Planned<'_>),
    room: usize,
    alike_max: usize,
) {
    let is_change = |at: &usize| is_state_change(&events[*at].kind) && is_news(&events[*at], planned);
    let changes = (0..events.len()).rev().filter(is_change).filter(|at| !shown.contains(at));
    let (worldly, others): (Vec<usize>, Vec<usize>) = changes.partition(|at| events[*at].host.is_none());
    let left = room.saturating_sub(shown.len());
    shown.extend(worldly.into_iter().take(left / 2));
    let mut alike: BTreeMap<(&'static str, Option<HostId>), usize> = BTreeMap::new();
    for at in others {
        if shown.len() >= room {
            break;
        }
        let count = alike.entry((events[at].kind.name(), events[at].host)).or_default();
        *count += 1;
        if *count <= alike_max {
            shown.insert(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Digest, Outcome},
        name::{AllocationId, Epoch, RequestId, SeqNo, SessionId, ShardId, SimTime, Term, Zxid},
    };

    fn record(kinds: Vec<(Option<HostId>, E)>) -> Vec<Event> {
        let event = |(seq, (host, kind)): (u64, _)| Event { seq, at: SimTime(seq * 1_000_000), host, kind };
        (0..).zip(kinds).map(event).collect()
    }

    fn shard() -> ShardId {
        "articles/0".parse().unwrap()
    }

    fn primary(id: &str, seq_no: i64) -> (Option<HostId>, E) {
        let kind = E::PrimaryAppended {
            shard: shard(),
            allocation: AllocationId(1 << 32),
            term: Term(1),
            seq_no: SeqNo(seq_no),
            digest: Digest(0),
            id: id.into(),
            source: None,
        };
        (Some(HostId::search(1)), kind)
    }

    fn replica(seq_no: i64) -> (Option<HostId>, E) {
        let kind = E::ReplicaAppended {
            shard: shard(),
            allocation: AllocationId((1 << 32) + 1),
            sender_term: Term(1),
            term: Term(1),
            seq_no: SeqNo(seq_no),
            digest: Digest(0),
            global_checkpoint: SeqNo(-1),
        };
        (Some(HostId::search(2)), kind)
    }

    fn completed(request: u64, seq_no: i64) -> (Option<HostId>, E) {
        let kind = E::DocCompleted {
            request,
            outcome: Outcome::Ok,
            seq_no: Some(SeqNo(seq_no)),
            term: None,
            version: None,
            result: None,
            source: None,
            error: None,
            drawn: None,
        };
        (Some(HostId::client(2)), kind)
    }

    fn kinds(events: &[Event], choice: &Choice) -> Vec<(usize, &'static str)> {
        choice.shown.iter().map(|at| (*at, events[*at].kind.name())).collect()
    }

    #[test]
    fn what_is_about_the_named_operations_comes_with_what_their_copies_did_between() {
        let request = RequestId::first(HostId::client(2), 310).0;
        let mut told: Vec<_> = (0..60).map(|number| primary("doc-1", number)).collect();
        let pruned =
            E::TombstonesPruned { shard: shard(), allocation: AllocationId((1 << 32) + 1), tombstones: 1 };
        told.extend((0..60).map(replica));
        told.extend([primary("doc-0", 60), primary("doc-0", 61), replica(61)]);
        told.extend([(Some(HostId::search(2)), pruned), replica(60), primary("doc-1", 62)]);
        told.push(completed(request, 60));
        let events = record(told);
        let why = "request 310 of client-2 for articles/doc-0 shows operation 60 of term 1, but operation 61 was \
                   acknowledged";
        let choice = choice(&events, Planned::default(), Some(Break { at: 126, why }), 40);
        assert_eq!(
            kinds(&events, &choice),
            [
                (120, "PrimaryAppended"),
                (121, "PrimaryAppended"),
                (122, "ReplicaAppended"),
                (123, "TombstonesPruned"),
                (124, "ReplicaAppended"),
                (126, "DocCompleted"),
            ]
        );
    }

    #[test]
    fn session_that_is_named_is_told_of_and_others_only_for_want_of_better() {
        let (leader, guilty) = (HostId::zookeeper(1), SessionId(0x0100_0000_0000_0001));
        let connected =
            |session| E::ClientConnected { session, server: leader, resumed: false, read_only: false };
        let mut told = vec![(Some(HostId::client(1)), connected(guilty))];
        for other in 2..30 {
            told.push((Some(leader), E::SessionExpired { session: SessionId(other) }));
        }
        let zxid = Zxid::new(Epoch(1), 7);
        told.push((Some(leader), E::SessionClosed { session: guilty, zxid }));
        told.push((Some(leader), E::TxnCommitted { zxid: Zxid::new(Epoch(1), 8), digest: Digest(1) }));
        let events = record(told);
        let why =
            "create of session 0x100000000000001 takes effect as 0x100000008, but 0x100000007 has closed it";
        let choice = choice(&events, Planned::default(), Some(Break { at: 30, why }), 40);
        assert_eq!(choice.shown.len(), 3 + UNRELATED_MAX);
        assert_eq!(choice.causes, [29].into(), "the client's side is in no message");
        assert!(choice.shown.contains(&0));
    }

    #[test]
    fn fault_is_a_cause_if_it_hit_the_host_that_broke_the_law() {
        let (one, two) = (HostId::zookeeper(1), HostId::zookeeper(2));
        let fault =
            |step, host| (None, E::FaultBegan { step, what: "failing writes".into(), hosts: vec![host] });
        let failed = E::DiskFailed { file: "zk/log.100000091".into(), error: "write failed".into() };
        let acked = E::TxnAcked { zxid: Zxid::new(Epoch(1), 0x92) };
        let events = record(vec![fault(0, two), fault(1, one), (Some(one), failed), (Some(one), acked)]);
        let why = "zk-1 goes on (TxnAcked of 0x100000092) although log.100000091 was refused at 0.002 s";
        let choice = choice(&events, Planned::default(), Some(Break { at: 3, why }), 40);
        assert_eq!((choice.causes, choice.shown), ([1, 2].into(), [0, 1, 2, 3].into()));
    }

    #[test]
    fn changes_of_another_shard_are_no_causes() {
        let activated = |number| E::PrimaryActivated {
            shard: ShardId { index: "a".into(), number },
            allocation: AllocationId((1 << 32) | u64::from(number)),
            term: Term(1),
        };
        let host = Some(HostId::search(1));
        let events = record(vec![(host, activated(0)), (host, activated(1)), (host, activated(1))]);
        let choice = choice(&events, Planned::default(), Some(Break { at: 2, why: "" }), 40);
        assert_eq!(choice.causes, [1].into());
    }
}
