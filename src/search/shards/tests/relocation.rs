//! Relocation: a copy moves, also the primary, also under writes.

use std::time::Duration;

use super::harness::{A, B, C, Cluster, config, index};
use crate::{
    core::Instant,
    event::{CopyState, EventKind},
    name::{AllocationId, HostId, Term},
    search::shards::{Copies, ShardRefusal, Shards},
};

/// The copy on `from` begins to move to `to`.
pub(super) fn relocate(cluster: &mut Cluster, from: HostId, to: HostId) -> AllocationId {
    let source = cluster.copy_on(from);
    let target = cluster.add_copy(to, CopyState::Initializing);
    for copy in &mut cluster.table_mut().copies {
        if copy.allocation == Some(source) {
            (copy.state, copy.relocating) = (CopyState::Relocating, Some(target));
        }
        if copy.allocation == Some(target) {
            copy.relocating = Some(source);
        }
    }
    target
}

fn cancel(cluster: &mut Cluster, target: AllocationId) {
    cluster.table_mut().copies.retain(|copy| copy.allocation != Some(target));
    for copy in &mut cluster.table_mut().copies {
        if copy.relocating == Some(target) {
            (copy.state, copy.relocating) = (CopyState::Started, None);
        }
    }
}

/// At no time do two copies act as primary in one term.
fn assert_one_primary_at_a_time(cluster: &Cluster) {
    let mut acting: Option<(AllocationId, Term)> = None;
    for (_, event) in &cluster.events {
        match event {
            EventKind::PrimaryActivated { allocation, term, .. } => {
                assert!(acting.is_none_or(|(_, before)| before < *term), "{event:?} beside {acting:?}");
                acting = Some((*allocation, *term));
            }
            EventKind::PrimaryDeactivated { allocation, term, .. }
                if acting == Some((*allocation, *term)) =>
            {
                acting = None;
            }
            _ => {}
        }
    }
}

#[test]
fn replica_moves() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.write(A, index("1", "x"));
    cluster.run();
    relocate(&mut cluster, B, C);
    cluster.publish();
    assert_eq!(cluster.table().copies.len(), 2);
    cluster.assert_copies_equal(&[A, C]);
    assert!(cluster.happened(B, "CopyRemoved"));
    let token = cluster.write(A, index("2", "x"));
    cluster.run();
    assert_eq!(cluster.acknowledged(token).unwrap().copies, (2, 2));
}

#[test]
fn primary_moves_in_its_term() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.write(A, index("1", "x"));
    cluster.run();
    relocate(&mut cluster, A, C);
    cluster.publish();
    assert_eq!(cluster.table().primary().unwrap().node, Some(C));
    assert_eq!(cluster.table().term, Term(1));
    assert_eq!(cluster.count("ResyncStarted"), 1, "only that of the first primary");
    let token = cluster.write(C, index("2", "x"));
    cluster.run();
    assert_eq!(cluster.acknowledged(token).unwrap().copies, (2, 2));
    cluster.assert_copies_equal(&[C, B]);
    assert_one_primary_at_a_time(&cluster);
}

#[test]
fn primary_moves_under_writes_and_loses_none() {
    for syncs in 0..16 {
        let mut cluster = Cluster::with_copies(2, config());
        cluster.disks_are_quick = false;
        relocate(&mut cluster, A, C);
        cluster.publish();
        let mut tokens = Vec::new();
        for n in 0..16 {
            let primary = cluster.table().primary().and_then(|copy| copy.node).unwrap();
            tokens.push((n, cluster.write(primary, index(&n.to_string(), "x"))));
            if n == syncs {
                cluster.disks_are_quick = true;
            }
            for host in [A, B, C] {
                cluster.end_sync(host);
            }
            cluster.run();
        }
        let holder = cluster.table().primary().and_then(|copy| copy.node).unwrap();
        assert_eq!(holder, C);
        for (n, token) in tokens {
            let held = cluster.get(C, &n.to_string()).is_some();
            match &cluster.written[&token] {
                Ok(_) => assert!(held, "acknowledged {n} is gone"),
                Err(ShardRefusal::NotHere { certain: true }) => assert!(!held, "refused {n} is there"),
                Err(other) => panic!("{other:?}"),
            }
        }
        cluster.assert_copies_equal(&[C, B]);
        assert_one_primary_at_a_time(&cluster);
    }
}

#[test]
fn in_flight_writes_are_drained_before_the_hand_off() {
    let mut cluster = Cluster::with_copies(2, config());
    let target = relocate(&mut cluster, A, C);
    cluster.cut(A, B);
    let in_flight = cluster.write(A, index("1", "in flight"));
    cluster.publish();
    let queued = cluster.write(A, index("2", "queued"));
    cluster.run();
    assert!(!cluster.happened(A, "PrimaryDeactivated"), "a write is in flight");
    assert!(cluster.written.is_empty());
    cluster.heal();
    cluster.run();
    assert!(cluster.acknowledged(in_flight).is_some());
    assert_eq!(cluster.written[&queued], Err(ShardRefusal::NotHere { certain: true }));
    assert_eq!(cluster.table().primary().unwrap().allocation, Some(target));
    assert!(cluster.get(C, "1").is_some() && cluster.get(C, "2").is_none());
}

#[test]
fn cancelled_before_the_hand_off_the_source_goes_on() {
    let mut cluster = Cluster::with_copies(2, config());
    let target = relocate(&mut cluster, A, C);
    cluster.cut(A, B);
    cluster.write(A, index("1", "in flight"));
    cluster.publish();
    let queued = cluster.write(A, index("2", "queued"));
    cluster.run();
    cancel(&mut cluster, target);
    cluster.publish();
    cluster.heal();
    cluster.run();
    assert!(cluster.acknowledged(queued).is_some());
    assert!(!cluster.happened(A, "PrimaryDeactivated"));
    cluster.assert_copies_equal(&[A, B]);
}

#[test]
fn cancelled_after_the_hand_off_the_source_resumes() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.write(A, index("1", "x"));
    cluster.run();
    cluster.controller_acts = false;
    let target = relocate(&mut cluster, A, C);
    cluster.publish();
    assert!(cluster.happened(A, "PrimaryDeactivated"));
    let refused = cluster.write(A, index("2", "nobody acts"));
    assert_eq!(cluster.written[&refused], Err(ShardRefusal::NotHere { certain: true }));
    cancel(&mut cluster, target);
    cluster.publish();
    let token = cluster.write(A, index("3", "x"));
    cluster.run();
    assert_eq!(cluster.acknowledged(token).unwrap().copies, (2, 2));
    assert!(cluster.happened(C, "CopyRemoved"));
    assert_one_primary_at_a_time(&cluster);
    cluster.assert_copies_equal(&[A, B]);
}

#[test]
fn lost_hand_off_is_sent_again() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.disks_are_quick = false;
    relocate(&mut cluster, A, C);
    cluster.publish();
    while !cluster.happened(A, "PrimaryDeactivated") {
        for host in [A, B, C] {
            cluster.end_sync(host);
        }
        cluster.cut_one_way(A, C);
        cluster.deliver_to(A);
        cluster.heal();
        if !cluster.happened(A, "PrimaryDeactivated") {
            cluster.run();
        }
    }
    cluster.disks_are_quick = true;
    cluster.break_connection(A, C);
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.table().primary().unwrap().node, Some(C));
    assert_one_primary_at_a_time(&cluster);
}

/// D28, D9: the target goes on with what the source knew, and only once the state shows it.
#[test]
fn target_acts_only_when_the_state_shows_it_started() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.controller_acts = false;
    let target = relocate(&mut cluster, A, C);
    cluster.publish();
    let (term, shard) = (cluster.table().term, super::harness::shard());
    cluster.step(C, |shards, ctx| shards.write(ctx, &shard, target, term, vec![(99, index("1", "x"))]));
    assert_eq!(cluster.written[&99], Err(ShardRefusal::NotHere { certain: true }));
    assert!(!cluster.happened(C, "PrimaryActivated"));
    cluster.controller_acts = true;
    cluster.run();
    assert!(cluster.happened(C, "PrimaryActivated"));
}

#[test]
fn copy_that_recovers_while_the_primary_moves_is_complete() {
    let mut cluster = Cluster::with_copies(1, config());
    cluster.write(A, index("1", "x"));
    cluster.run();
    cluster.disks_are_quick = false;
    let source = cluster.copy_on(A);
    relocate(&mut cluster, A, C);
    cluster.add_copy(B, CopyState::Initializing);
    cluster.publish();
    for n in 0..30 {
        cluster.end_sync(C);
        cluster.end_sync(A);
        cluster.run();
        if n % 5 == 0 {
            cluster.end_sync(B);
            cluster.run();
        }
    }
    cluster.disks_are_quick = true;
    cluster.pass(Duration::from_secs(6));
    assert!(cluster.table().copies.iter().all(|copy| copy.allocation != Some(source)));
    let token = cluster.write(C, index("2", "x"));
    cluster.run();
    assert_eq!(cluster.acknowledged(token).unwrap().copies, (2, 2));
    cluster.assert_copies_equal(&[C, B]);
}

#[test]
fn idle_shards_never_wake() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.write(A, index("1", "x"));
    // Retention leases are renewed once more after half a minute.
    cluster.pass(Duration::from_secs(31));
    for host in [A, B, C] {
        let wake: Option<Option<Instant>> = cluster.step(host, |shards: &mut Shards, _| shards.next_wake());
        assert_eq!(wake, Some(None), "{host}");
    }
}

/// D10, Elasticsearch #20320: a write that was sent to a primary before it moved away and came back meets another copy
/// on the same node, which has nothing to do with it.
#[test]
fn write_routed_before_the_primary_moved_away_and_back_is_refused() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.write(A, index("1", "early"));
    cluster.run();
    let routed_by = cluster.state.clone();
    for (from, to) in [(A, C), (C, A)] {
        relocate(&mut cluster, from, to);
        cluster.publish();
        assert_eq!(cluster.table().primary().unwrap().node, Some(to));
    }
    let token = cluster.write_as_routed(&routed_by, index("1", "late")).unwrap();
    cluster.run();
    assert_eq!(cluster.written[&token], Err(ShardRefusal::NotHere { certain: true }));
    assert!(cluster.get(A, "1").unwrap().contains("early"));
}
