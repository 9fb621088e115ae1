//! Random faults — decides what breaks, whom it hits and when. Each is undone, so that the cluster can settle; it
//! never checks whether somebody will be there to hit.

use std::time::Duration;

use proptest::{collection::vec, prelude::*, sample::select, strategy::Union};

use super::{Ground, Kind, Profile, tenth_seconds};
use crate::{
    name::{HostId, ShardId},
    scenario::{
        deeds::{Fault, Page, Shift},
        fault::Budget,
        format::{Spread, When},
        nemesis::Swarm,
        plan::{CutMode, Direction, FileKind, Group, InFlight, LinkKind, PartitionShape, Selector},
    },
};

/// Events in whose midst something often goes wrong.
const MOMENTS: [&str; 8] = [
    "LeaderEstablished",
    "ElectionDecided",
    "SessionExpired",
    "ControllerElected",
    "StatePublished",
    "RecoveryStarted",
    "PrimaryAppended",
    "FileSynced",
];

/// The faults of a scenario.
pub(super) fn faults(profile: &Profile, ground: &Ground) -> BoxedStrategy<Vec<Fault>> {
    let kinds = profile.kinds.iter().map(|(weight, kind)| (*weight, fault(*kind, ground)));
    vec(Union::new_weighted(kinds.collect()), profile.faults.clone()).boxed()
}

/// Some runs promise that a quorum or a copy survives.
pub(super) fn budget() -> impl Strategy<Value = Budget> {
    let promised = || proptest::bool::weighted(0.3);
    (promised(), promised()).prop_map(|(quorum, copies)| Budget { quorum, copies, ..Budget::default() })
}

/// What is destroyed is never the last of its kind: nobody can bring that back.
pub(super) fn within(budget: Budget, faults: &[Fault]) -> Budget {
    let destroys = |fault: &Fault| Kind::ALL.iter().any(|kind| kind.destroys() && kind.is(fault));
    if faults.iter().any(destroys) {
        Budget { quorum: true, copies: true, ..Budget::default() }
    } else {
        budget
    }
}

/// Runs with many faults leave some kinds out now and then.
pub(super) fn swarm(profile: &Profile) -> BoxedStrategy<Option<Swarm>> {
    match profile.faults.end() {
        ..=9 => Just(None).boxed(),
        _ => proptest::option::weighted(0.5, Just(Swarm::default())).boxed(),
    }
}

fn fault(kind: Kind, ground: &Ground) -> BoxedStrategy<Fault> {
    (deed(kind, ground), trigger(ground), lasts())
        .prop_map(|(deed, trigger, lasts)| {
            let is_undone = deed.action().is_some_and(|action| !action.is_done_at_once());
            let Trigger { at, when, rate, times } = trigger;
            Fault { at, when, rate, times, lasts: is_undone.then_some(lasts), ..deed }
        })
        .boxed()
}

fn deed(kind: Kind, ground: &Ground) -> BoxedStrategy<Fault> {
    let none = Fault::default;
    match kind {
        Kind::Crash | Kind::PowerLoss => {
            let power = Some(kind == Kind::PowerLoss);
            target(ground).prop_map(move |whom| Fault { crash: Some(whom), power, ..none() }).boxed()
        }
        Kind::Pause => target(ground).prop_map(move |whom| Fault { pause: Some(whom), ..none() }).boxed(),
        Kind::Cut => cut(ground),
        Kind::Partition => partition(ground),
        Kind::Slow => slow(ground),
        Kind::Expire => with_session(ground).prop_map(move |it| Fault { expire: Some(it), ..none() }).boxed(),
        Kind::Disconnect => {
            with_session(ground).prop_map(move |it| Fault { disconnect: Some(it), ..none() }).boxed()
        }
        Kind::LoseReply => (target(ground), 1..=5_u32)
            .prop_map(move |(it, count)| Fault { lose_reply: Some(it), count: Some(count), ..none() })
            .boxed(),
        Kind::Jump => (target(ground), -100..=100_i64)
            .prop_map(move |(it, by)| Fault {
                jump: Some(it),
                by: Some(Shift(if by == 0 { 1 } else { by * 50 })),
                ..none()
            })
            .boxed(),
        Kind::Drift => (target(ground), select(vec![-500, -100, 100, 500]))
            .prop_map(move |(it, ppm)| Fault { drift: Some(it), ppm: Some(ppm), ..none() })
            .boxed(),
        _ => of_disk(kind, ground),
    }
}

/// What happens to the disk of one host.
fn of_disk(kind: Kind, ground: &Ground) -> BoxedStrategy<Fault> {
    (one(ground), files(), select(vec![Page::Kept, Page::Dropped]), 1..=8_u32, 5..=300_u64)
        .prop_map(move |(whom, files, page, bits, late)| {
            let (whom, none, files) = (Some(whom), Fault::default(), Some(files));
            match kind {
                Kind::Rot => Fault { rot: whom, files, bits: Some(bits), ..none },
                Kind::Misdirect => Fault { misdirect: whom, files, ..none },
                Kind::ReadError => Fault { read_error: whom, files, ..none },
                Kind::WriteError => Fault { write_error: whom, files, ..none },
                Kind::FsyncError => Fault { fsync_error: whom, files, page: Some(page), ..none },
                Kind::Full => Fault { full: whom, ..none },
                Kind::SlowDisk => Fault { slow_disk: whom, delay: Some(delay(late, late)), ..none },
                _ => Fault { wipe: whom, ..none },
            }
        })
        .boxed()
}

fn files() -> impl Strategy<Value = FileKind> {
    select(vec![
        FileKind::Any,
        FileKind::Segments,
        FileKind::Translog,
        FileKind::Log,
        FileKind::Snapshot,
        FileKind::State,
    ])
}

fn delay(min_ms: u64, rest_ms: u64) -> Spread {
    let (min, mean) = (Duration::from_millis(min_ms), Duration::from_millis(min_ms + rest_ms));
    Spread { min, mean, ..Spread::default() }
}

fn cut(ground: &Ground) -> BoxedStrategy<Fault> {
    (link(ground), mode(), in_flight())
        .prop_map(|((cut, to, direction, links), mode, in_flight)| Fault {
            cut: Some(cut),
            to,
            direction: Some(direction),
            links,
            mode: Some(mode),
            in_flight: Some(in_flight),
            ..Fault::default()
        })
        .boxed()
}

fn mode() -> impl Strategy<Value = CutMode> {
    select(vec![CutMode::Stall, CutMode::Stall, CutMode::Reset, CutMode::Drop, CutMode::Hold])
}

fn in_flight() -> impl Strategy<Value = InFlight> {
    select(vec![InFlight::Cut, InFlight::Cut, InFlight::Delivered, InFlight::Lost])
}

fn partition(ground: &Ground) -> BoxedStrategy<Fault> {
    let shapes = select(vec![
        PartitionShape::Halves,
        PartitionShape::IsolateOne,
        PartitionShape::Minority,
        PartitionShape::Bridge,
        PartitionShape::Ring,
        PartitionShape::Zones,
    ]);
    let groups = match ground.nodes {
        0 => vec![Selector::AllZooKeeper],
        _ => vec![Selector::AllZooKeeper, Selector::AllSearch, Selector::All],
    };
    (shapes, select(groups), mode(), in_flight())
        .prop_map(|(shape, of, mode, in_flight)| Fault {
            partition: Some(shape),
            of: Some(of),
            mode: Some(mode),
            in_flight: Some(in_flight),
            ..Fault::default()
        })
        .boxed()
}

fn slow(ground: &Ground) -> BoxedStrategy<Fault> {
    let bandwidth = proptest::option::weighted(0.2, select(vec![5_000, 50_000]));
    (link(ground), (1..=50_u64, 1..=200_u64), bandwidth)
        .prop_map(|((slow, to, direction, links), (min, rest), bandwidth)| Fault {
            slow: Some(slow),
            to,
            direction: Some(direction),
            links,
            delay: Some(delay(min, rest)),
            bandwidth,
            ..Fault::default()
        })
        .boxed()
}

/// When a fault strikes, and how often.
#[derive(Debug, Clone, Default)]
struct Trigger {
    at: Option<Duration>,
    when: Option<When>,
    rate: Option<f64>,
    times: Option<u32>,
}

/// Mostly a time; now and then an event, or again and again.
fn trigger(ground: &Ground) -> impl Strategy<Value = Trigger> + use<> {
    let when = (select(MOMENTS.to_vec()), ground.time(), 1..=20_u32).prop_map(|(event, after, nth)| {
        let when = When { event: event.to_owned(), host: None, nth, after };
        Trigger { when: Some(when), ..Trigger::default() }
    });
    let at = ground.time().prop_map(|at| Trigger { at: Some(at), ..Trigger::default() });
    let again = (1..=4_u32, 2..=4_u32).prop_map(|(rate, times)| Trigger {
        rate: Some(f64::from(rate) / 10.0),
        times: Some(times),
        ..Trigger::default()
    });
    prop_oneof![8 => at, 2 => when, 1 => again]
}

/// Shorter and longer than every timeout.
fn lasts() -> impl Strategy<Value = Duration> {
    prop_oneof![2 => 1..=20_u64, 3 => 20..=100_u64].prop_map(tenth_seconds)
}

/// A server or a node, or some of them.
fn target(ground: &Ground) -> BoxedStrategy<Selector> {
    let servers = server(ground);
    match ground.nodes {
        0 => servers,
        _ => prop_oneof![2 => servers, 3 => node(ground)].boxed(),
    }
}

fn server(ground: &Ground) -> BoxedStrategy<Selector> {
    let mut all = vec![
        (4, Just(Selector::ZkLeader).boxed()),
        (3, Just(Selector::ZkFollower).boxed()),
        (3, (1..=ground.servers).prop_map(HostId::zookeeper).prop_map(Selector::Host).boxed()),
        (1, Just(Selector::AllZooKeeper).boxed()),
        (2, Just(Selector::Random(Group::ZooKeeper)).boxed()),
    ];
    if ground.servers >= 3 {
        all.push((1, Just(Selector::ZkMinority).boxed()));
    }
    Union::new_weighted(all).boxed()
}

fn node(ground: &Ground) -> BoxedStrategy<Selector> {
    let mut all = vec![
        (3, Just(Selector::Controller).boxed()),
        (3, (1..=ground.nodes).prop_map(HostId::search).prop_map(Selector::Host).boxed()),
        (1, select(ground.zones.clone()).prop_map(Selector::Zone).boxed()),
        (2, Just(Selector::Random(Group::Search)).boxed()),
    ];
    if !ground.indices.is_empty() {
        all.push((4, shard(ground).prop_map(|(shard, _)| Selector::Primary(shard)).boxed()));
        let replica = |(shard, has_replica)| match has_replica {
            true => Selector::Replica(shard),
            false => Selector::Primary(shard),
        };
        all.push((2, shard(ground).prop_map(replica).boxed()));
    }
    Union::new_weighted(all).boxed()
}

/// A shard, and whether it has replicas.
fn shard(ground: &Ground) -> impl Strategy<Value = (ShardId, bool)> + use<> {
    (select(ground.indices.clone()), any::<prop::sample::Index>()).prop_map(|(index, at)| {
        let number = at.index(index.shards as usize) as u32;
        (ShardId { index: index.name.as_str().into(), number }, index.replicas > 0)
    })
}

/// Somebody who has a session.
fn with_session(ground: &Ground) -> BoxedStrategy<Selector> {
    let clients = (1..=ground.clients).prop_map(HostId::client).prop_map(Selector::Host);
    match ground.nodes {
        0 => clients.boxed(),
        _ => prop_oneof![3 => node(ground), 1 => clients].boxed(),
    }
}

/// One server or node.
fn one(ground: &Ground) -> BoxedStrategy<Selector> {
    let servers = (1..=ground.servers).prop_map(HostId::zookeeper).prop_map(Selector::Host);
    let nodes = (1..=ground.nodes.max(1)).prop_map(HostId::search).prop_map(Selector::Host);
    match ground.nodes {
        0 => servers.boxed(),
        _ => prop_oneof![2 => servers, 3 => nodes].boxed(),
    }
}

type Link = (Selector, Option<Selector>, Direction, Option<LinkKind>);

fn link(ground: &Ground) -> BoxedStrategy<Link> {
    let directions = select(vec![Direction::Both, Direction::Both, Direction::Outgoing, Direction::Incoming]);
    let links = proptest::option::weighted(
        0.2,
        select(vec![LinkKind::Zookeeper, LinkKind::Nodes, LinkKind::Clients, LinkKind::Sessions]),
    );
    (target(ground), proptest::option::weighted(0.4, target(ground)), directions, links).boxed()
}
