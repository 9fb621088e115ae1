//! Random clusters — decides how many servers and nodes there are, on which timeouts, links, clocks and disks. It
//! never says who works on them.

use std::time::Duration;

use proptest::{prelude::*, sample::select};

use super::Profile;
use crate::scenario::{
    ensemble::ZooKeeperSettings,
    format::{Clocks, Cluster, Disks, Links, Spread},
    plan::{AllocatorKind, DelayShape, ReadPolicy},
};

/// The ensemble and the search nodes.
pub(super) fn cluster(profile: &Profile) -> impl Strategy<Value = Cluster> + use<> {
    let ticks = select(vec![100, 200, 500]);
    let zones = select(vec![1, 1, 2, 3]);
    let policies = select(vec![ReadPolicy::Any, ReadPolicy::Any, ReadPolicy::Primary, ReadPolicy::Lease]);
    let allocators =
        select(vec![AllocatorKind::Balanced, AllocatorKind::LeastLoaded, AllocatorKind::DesiredBalance]);
    let servers = select(profile.servers.to_vec());
    let ensemble = (servers, ticks, 5..=12_u32, 3..=8_u32, select(vec![20, 100, 400]));
    // The session timeout in ticks: the ensemble grants 2 to 20.
    let nodes = (profile.nodes.clone(), zones, 4..=16_u32, select(vec![100, 500, 1_000, 3_000]), 1..=8_u64);
    let service = (2..=5_u64, select(vec![20, 100, 300]), policies, select(vec![1, 1, 4]), allocators);
    (ensemble, nodes, service).prop_map(|(ensemble, nodes, service)| {
        let (zookeeper, tick, init_limit, sync_limit, snap_count) = ensemble;
        let (search, zones, session_ticks, refresh, delayed) = nodes;
        let (request, flush_operations, read_policy, write_threads, allocator) = service;
        let tick = Duration::from_millis(tick);
        Cluster {
            zookeeper,
            tick,
            init_limit,
            sync_limit,
            snap_count,
            search: Some(search),
            zones: ["a", "b", "c"][..zones].iter().map(|zone| (*zone).to_owned()).collect(),
            session_timeout: tick * session_ticks,
            refresh_interval: Duration::from_millis(refresh),
            delayed_allocation: Duration::from_secs(delayed),
            request_timeout: Duration::from_secs(request),
            flush_operations,
            read_policy,
            write_threads,
            allocator,
            ..Cluster::default()
        }
    })
}

/// What the servers are set to.
pub(super) fn settings(profile: &Profile) -> impl Strategy<Value = ZooKeeperSettings> + use<> {
    let observers = if profile.nodes.end() == &0 { 0..=2_u16 } else { 0..=1 };
    (observers, proptest::bool::weighted(0.2)).prop_map(|(observers, read_only)| ZooKeeperSettings {
        observers,
        read_only,
        ..ZooKeeperSettings::default()
    })
}

fn spread(
    min: std::ops::RangeInclusive<u64>,
    rest: std::ops::RangeInclusive<u64>,
) -> impl Strategy<Value = Spread> {
    let shapes = select(vec![
        DelayShape::Exponential,
        DelayShape::Exponential,
        DelayShape::Constant,
        DelayShape::Uniform,
        DelayShape::LogNormal,
        DelayShape::SlowTail,
    ]);
    (min, rest, shapes).prop_map(|(min, rest, shape)| Spread {
        min: Duration::from_micros(min * 10),
        mean: Duration::from_micros((min + rest) * 10),
        shape,
        period: None,
    })
}

pub(super) fn links() -> impl Strategy<Value = Links> {
    (spread(1..=10, 1..=50), spread(10..=100, 10..=300)).prop_map(|(within_zone, between_zones)| Links {
        within_zone,
        between_zones,
        pairs: Vec::new(),
    })
}

/// Links whose late messages come well before a session runs out: else a session may end at any time, and no cluster
/// stays settled. Of 10⁶ messages the last takes 230 times the mean of a slow tail, 150 times that of a log-normal one; a
/// client that is silent for a third of its session's time moves on.
pub(super) fn tempered(links: Links, cluster: &Cluster) -> Links {
    let most = cluster.session_timeout / 700;
    let temper = |spread: Spread| match spread.shape {
        DelayShape::LogNormal | DelayShape::SlowTail => {
            Spread { mean: spread.mean.min(spread.min + most), ..spread }
        }
        DelayShape::Exponential | DelayShape::Constant | DelayShape::Uniform => spread,
    };
    let (within_zone, between_zones) = (temper(links.within_zone), temper(links.between_zones));
    Links { within_zone, between_zones, ..links }
}

pub(super) fn clocks() -> impl Strategy<Value = Clocks> {
    (select(vec![0, 20, 200]), select(vec![0, 100, 500])).prop_map(|(offset, drift_max_ppm)| Clocks {
        offset_max: Duration::from_millis(offset),
        drift_max_ppm,
    })
}

pub(super) fn disks() -> impl Strategy<Value = Disks> {
    spread(5..=50, 10..=500).prop_map(|sync| Disks { sync, ..Disks::default() })
}
