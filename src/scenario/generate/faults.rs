//! Random faults — decides what breaks, whom it hits and when. Each is undone, so that the cluster can settle; it
//! never checks whether somebody will be there to hit.

use std::time::Duration;

use proptest::{collection::vec, prelude::*, sample::select, strategy::Union};

use super::{Ground, Kind, Profile, tenth_seconds};
use crate::{
    name::{HostId, ShardId},
    scenario::{
        format::{Fault, Spread, When},
        plan::{CutMode, Direction, Selector},
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

fn fault(kind: Kind, ground: &Ground) -> BoxedStrategy<Fault> {
    let (trigger, lasts) = (trigger(ground), lasts());
    let deed = match kind {
        Kind::Crash | Kind::PowerLoss => {
            let power = Some(kind == Kind::PowerLoss);
            target(ground)
                .prop_map(move |whom| Fault { crash: Some(whom), power, ..Fault::default() })
                .boxed()
        }
        Kind::Pause => {
            target(ground).prop_map(|whom| Fault { pause: Some(whom), ..Fault::default() }).boxed()
        }
        Kind::Cut => {
            let mode = select(vec![CutMode::Stall, CutMode::Stall, CutMode::Reset]);
            link(ground, mode)
                .prop_map(|(cut, to, direction, mode)| Fault {
                    cut: Some(cut),
                    to,
                    direction: Some(direction),
                    mode: Some(mode),
                    ..Fault::default()
                })
                .boxed()
        }
        Kind::Slow => link(ground, (1..=50_u64, 1..=200_u64))
            .prop_map(|(slow, to, direction, (min, rest))| {
                let (min, mean) = (Duration::from_millis(min), Duration::from_millis(min + rest));
                let delay = Some(Spread { min, mean });
                Fault { slow: Some(slow), to, direction: Some(direction), delay, ..Fault::default() }
            })
            .boxed(),
        Kind::Expire => {
            with_session(ground).prop_map(|whom| Fault { expire: Some(whom), ..Fault::default() }).boxed()
        }
    };
    (deed, trigger, lasts)
        .prop_map(|(deed, (at, when), lasts)| {
            let lasts = deed.expire.is_none().then_some(lasts);
            Fault { at, when, lasts, ..deed }
        })
        .boxed()
}

/// Mostly a time; now and then an event.
fn trigger(ground: &Ground) -> impl Strategy<Value = (Option<Duration>, Option<When>)> + use<> {
    let when = (select(MOMENTS.to_vec()), ground.time(), 1..=20_u32).prop_map(|(event, after, nth)| {
        (None, Some(When { event: event.to_owned(), host: None, nth, after }))
    });
    prop_oneof![4 => ground.time().prop_map(|at| (Some(at), None)), 1 => when]
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

type Link<T> = (Selector, Option<Selector>, Direction, T);

fn link<T: std::fmt::Debug + Clone + 'static>(
    ground: &Ground,
    how: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Link<T>> {
    let directions = select(vec![Direction::Both, Direction::Both, Direction::Outgoing, Direction::Incoming]);
    (target(ground), proptest::option::weighted(0.4, target(ground)), directions, how).boxed()
}
