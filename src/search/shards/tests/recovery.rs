//! Recovery: by operations, by files, under writes, with everything going wrong.

use std::time::Duration;

use super::harness::{A, B, C, Cluster, Loss, config, index};
use crate::{
    event::{CopyState, EventKind},
    search::{
        control::ShardReport,
        shards::{ShardsConfig, WriteCall},
        state::ShardCopy,
    },
};

fn flushing(operations: u32) -> ShardsConfig {
    let mut config = config();
    config.search.flush_operations = operations;
    config
}

fn recovered_from(cluster: &Cluster, name: &str) -> bool {
    cluster.events.iter().any(|(host, event)| {
        *host == B && matches!(event, EventKind::RecoveryStarted { from, .. } if from == name)
    })
}

fn fill(cluster: &mut Cluster, from: usize, to: usize) {
    for n in from..to {
        let id = (n % 40).to_string();
        let call = if n % 7 == 0 { WriteCall::delete(id) } else { index(&id, &format!("w{n}")) };
        cluster.write(A, call);
        cluster.run();
    }
}

fn join(cluster: &mut Cluster) {
    cluster.add_copy(B, CopyState::Initializing);
    cluster.publish();
}

fn is_started(cluster: &Cluster) -> bool {
    let copy = cluster.table().copies.iter().find(|copy| copy.node == Some(B));
    copy.is_some_and(|copy| copy.state == CopyState::Started)
}

#[test]
fn new_copy_gets_every_operation() {
    let mut cluster = Cluster::with_copies(1, config());
    fill(&mut cluster, 0, 250);
    join(&mut cluster);
    assert!(recovered_from(&cluster, "operations"));
    assert!(is_started(&cluster));
    cluster.assert_copies_equal(&[A, B]);
}

/// A node that comes back with a new session finds its copies assigned again under the identities and the term
/// they had, and its former reports void (`search::petitions`).
#[test]
fn recovered_copy_reports_again_when_its_node_has_a_new_session() {
    let mut cluster = Cluster::with_copies(1, config());
    fill(&mut cluster, 0, 20);
    cluster.controller_acts = false;
    join(&mut cluster);
    assert_eq!(std::mem::take(&mut cluster.reports).len(), 1);
    cluster.publish();
    assert_eq!(cluster.reports, [], "nothing has changed for this copy");
    cluster.state.nodes.get_mut(&B).unwrap().session.0 += 1;
    cluster.publish();
    let allocation = cluster.copy_on(B);
    let again = |report: &ShardReport| matches!(report, ShardReport::Started { allocation: started, .. } if *started == allocation);
    assert!(cluster.reports.iter().any(again), "{:?}", cluster.reports);
}

#[test]
fn files_are_sent_when_the_history_is_too_short() {
    let mut cluster = Cluster::with_copies(1, flushing(500));
    fill(&mut cluster, 0, 1_600);
    cluster.pass(Duration::from_secs(31));
    fill(&mut cluster, 1_600, 3_200);
    assert!(cluster.happened(A, "CopyFlushed"));
    join(&mut cluster);
    cluster.pass(Duration::from_secs(1));
    assert!(recovered_from(&cluster, "files"), "the first operations are not at hand any more");
    assert!(is_started(&cluster));
    cluster.assert_copies_equal(&[A, B]);
    fill(&mut cluster, 3_200, 3_250);
    cluster.assert_copies_equal(&[A, B]);
}

/// B13: "buffering starts after PeerSync began", B20: "compares lists while updates flow";
/// D27: "target joins tracking first, then the primary reads max seq_no".
#[test]
fn writes_during_recovery_are_not_lost() {
    for cut_after in 0..12 {
        let mut cluster = Cluster::with_copies(1, config());
        fill(&mut cluster, 0, 10);
        cluster.disks_are_quick = false;
        cluster.add_copy(B, CopyState::Initializing);
        cluster.publish();
        for n in 0..12 {
            if n == cut_after {
                cluster.write(A, index("late", &format!("after {n} syncs")));
                cluster.write(A, index("other", &format!("after {n} syncs")));
            }
            cluster.end_sync(B);
            cluster.end_sync(A);
            cluster.run();
        }
        cluster.disks_are_quick = true;
        cluster.run();
        assert!(is_started(&cluster));
        cluster.assert_copies_equal(&[A, B]);
        assert!(cluster.written.values().all(Result::is_ok), "{cut_after}");
    }
}

/// B14: "connection loss in recovery treated as done".
#[test]
fn recovery_starts_over_when_the_connection_breaks() {
    for step in 0..30 {
        let mut cluster = Cluster::with_copies(1, flushing(500));
        fill(&mut cluster, 0, 2_600);
        cluster.disks_are_quick = false;
        cluster.add_copy(B, CopyState::Initializing);
        cluster.publish();
        for _ in 0..step {
            cluster.end_sync(B);
            cluster.run();
        }
        cluster.break_connection(A, B);
        cluster.disks_are_quick = true;
        cluster.write(A, index("x", "under way"));
        cluster.pass(Duration::from_secs(5));
        assert!(is_started(&cluster), "broken after {step} syncs");
        cluster.assert_copies_equal(&[A, B]);
    }
}

/// "target listed in primary's routing table else delay and retry 500 ms".
#[test]
fn target_waits_until_the_primary_knows_it() {
    let mut cluster = Cluster::with_copies(1, config());
    fill(&mut cluster, 0, 3);
    cluster.sees_states(A, false);
    join(&mut cluster);
    cluster.pass(Duration::from_secs(2));
    assert!(!is_started(&cluster));
    cluster.sees_states(A, true);
    cluster.pass(Duration::from_secs(1));
    assert!(is_started(&cluster));
}

#[test]
fn returning_copy_recovers_by_operations_and_drops_what_nobody_else_has() {
    let mut cluster = Cluster::with_copies(2, flushing(4));
    fill(&mut cluster, 1, 6);
    cluster.pass(Duration::from_secs(2));
    let held = cluster.copy_on(B);
    cluster.kill(B);
    unassign(&mut cluster, |copy| copy.allocation == Some(held));
    cluster.publish();
    cluster.restart(B, Loss::All);
    assign(&mut cluster, |copy| copy.allocation == Some(held));
    cluster.events.clear();
    cluster.publish();
    assert!(recovered_from(&cluster, "operations"));
    assert!(is_started(&cluster));
    cluster.assert_copies_equal(&[A, B]);
}

fn unassign(cluster: &mut Cluster, which: impl Fn(&ShardCopy) -> bool) {
    for copy in cluster.table_mut().copies.iter_mut().filter(|copy| which(copy)) {
        (copy.node, copy.state) = (None, CopyState::Unassigned);
    }
}

fn assign(cluster: &mut Cluster, which: impl Fn(&ShardCopy) -> bool) {
    for copy in cluster.table_mut().copies.iter_mut().filter(|copy| which(copy)) {
        (copy.node, copy.state) = (Some(B), CopyState::Initializing);
    }
}

#[test]
fn copy_of_a_node_that_lost_its_session_is_reused_in_memory() {
    let mut cluster = Cluster::with_copies(2, config());
    fill(&mut cluster, 1, 6);
    let held = cluster.copy_on(B);
    unassign(&mut cluster, |copy| copy.allocation == Some(held));
    cluster.publish();
    assert!(cluster.inspect(B).is_none(), "closed");
    assign(&mut cluster, |copy| copy.allocation == Some(held));
    cluster.publish();
    assert!(is_started(&cluster));
    cluster.assert_copies_equal(&[A, B]);
}

#[test]
fn files_of_a_forgotten_copy_are_removed_but_never_those_of_an_in_sync_one() {
    let mut cluster = Cluster::with_copies(2, config());
    fill(&mut cluster, 1, 6);
    let held = cluster.copy_on(B);
    cluster.table_mut().copies.retain(|copy| copy.allocation != Some(held));
    cluster.publish();
    assert!(!cluster.happened(B, "CopyRemoved"), "it is in the in-sync set");
    cluster.table_mut().in_sync.remove(&held);
    cluster.publish();
    assert!(cluster.happened(B, "CopyRemoved"));
    cluster.kill(B);
    cluster.restart(B, Loss::Nothing);
    assert_eq!(cluster.durable_files(B), Vec::<std::sync::Arc<str>>::new());
}

/// A node that has just booted may read an old state: an allocation of a newer one is not unknown for good.
#[test]
fn copy_from_a_newer_state_is_kept() {
    let mut cluster = Cluster::with_copies(1, config());
    let old = cluster.state.clone();
    join(&mut cluster);
    fill(&mut cluster, 1, 4);
    let new = std::mem::replace(&mut cluster.state, old);
    cluster.kill(B);
    cluster.restart(B, Loss::Nothing);
    let stale = std::sync::Arc::new(cluster.state.clone());
    cluster.step(B, |shards, ctx| shards.apply(ctx, &stale));
    assert!(!cluster.happened(B, "CopyRemoved"));
    cluster.state = new;
    assert!(!cluster.durable_files(B).is_empty());
}

#[test]
fn primary_is_opened_from_its_own_disk() {
    for loss in [Loss::All, Loss::Nothing, Loss::Torn] {
        let mut cluster = Cluster::with_copies(1, flushing(10));
        fill(&mut cluster, 0, 34);
        let held = cluster.inspect(A).unwrap();
        cluster.kill(A);
        let table = cluster.table_mut();
        table.copies[0].state = CopyState::Initializing;
        table.term = table.term.next();
        cluster.restart(A, loss);
        cluster.events.clear();
        cluster.publish();
        assert!(cluster.happened(A, "PrimaryActivated"), "{loss:?}");
        assert_eq!(cluster.inspect(A).unwrap(), held, "{loss:?}");
    }
}

#[test]
fn in_sync_copy_whose_data_is_gone_or_rotten_fails() {
    for damage in ["state", "meta.json", ".store", "translog.1"] {
        let mut cluster = Cluster::with_copies(1, flushing(1_000));
        fill(&mut cluster, 1, 20);
        if damage != "translog.1" {
            cluster = Cluster::with_copies(1, flushing(5));
            fill(&mut cluster, 1, 20);
        }
        cluster.controller_acts = false;
        cluster.kill(A);
        cluster.restart(A, Loss::All);
        cluster.kill(A);
        cluster.rot(A, damage);
        let table = cluster.table_mut();
        table.copies[0].state = CopyState::Initializing;
        table.term = table.term.next();
        cluster.restart(A, Loss::All);
        cluster.events.clear();
        cluster.publish();
        assert!(cluster.happened(A, "CorruptionFound"), "{damage}");
        assert!(cluster.happened(A, "CopyFailed"), "{damage}");
        assert_eq!(cluster.reports.len(), 1);
        assert!(!cluster.happened(A, "PrimaryActivated"), "{damage}");
    }
}

#[test]
fn copy_shown_as_started_that_is_not_is_reported_after_a_while() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.controller_acts = false;
    cluster.kill(B);
    cluster.restart(B, Loss::All);
    cluster.publish();
    cluster.pass(Duration::from_secs(7));
    assert!(cluster.reports.is_empty(), "the controller has time to see the new session");
    cluster.pass(Duration::from_secs(2));
    assert_eq!(cluster.reports.len(), 1);
}

/// D25: "recovery goes on from a closed primary".
#[test]
fn recovery_from_a_deposed_primary_does_not_count() {
    let mut cluster = Cluster::with_copies(2, config());
    fill(&mut cluster, 1, 4);
    // A is deposed and does not know; C is told to recover by a state in which A is the primary.
    cluster.add_copy(C, CopyState::Initializing);
    cluster.controller_acts = false;
    cluster.sees_states(B, false);
    cluster.publish();
    assert_eq!(cluster.reports.len(), 1, "C has recovered from A");
    cluster.sees_states(B, true);
    cluster.sees_states(A, false);
    let deposed = cluster.copy_on(A);
    let target = cluster.copy_on(C);
    let table = cluster.table_mut();
    table.copies.retain(|copy| copy.allocation != Some(deposed));
    table.in_sync.remove(&deposed);
    table.copies[0].primary = true;
    table.term = table.term.next();
    cluster.reports.clear();
    cluster.publish();
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.reports.len(), 1, "C has recovered again, from B, in the new term");
    cluster.controller_acts = true;
    cluster.run();
    assert_eq!(cluster.table().copy(target).unwrap().state, CopyState::Started);
    cluster.assert_copies_equal(&[B, C]);
}

/// A node that has just booted sees an old state, in which a primary that has been deposed since, and does not
/// know it, would bring the copy level: what the copy has acknowledged in a newer term must survive.
#[test]
fn deposed_primary_cannot_void_what_a_restarted_copy_has_of_a_newer_term() {
    let mut cluster = Cluster::with_copies(1, config());
    join(&mut cluster);
    let (deposed, held) = (cluster.copy_on(A), cluster.copy_on(B));
    let stale = {
        let mut state = cluster.state.clone();
        let table = &mut state.indices.get_mut(&"articles".into()).unwrap().shards[0];
        table.in_sync.remove(&held);
        table.copies.iter_mut().find(|copy| copy.allocation == Some(held)).unwrap().state =
            CopyState::Initializing;
        state.version = cluster.state.version + 1;
        std::sync::Arc::new(state)
    };
    cluster.step(A, |shards, ctx| shards.apply(ctx, &stale));
    cluster.sees_states(A, false);
    cluster.mark_failed(deposed);
    cluster.publish();
    let token = cluster.write(B, index("1", "of term 2"));
    cluster.run();
    assert!(cluster.acknowledged(token).is_some());
    cluster.kill(B);
    cluster.restart(B, Loss::All);
    cluster.step(B, |shards, ctx| shards.apply(ctx, &stale));
    cluster.run();
    cluster.pass(Duration::from_secs(2));
    assert!(!cluster.happened(B, "OperationsTrimmed"));
    let table = cluster.table_mut();
    table.term = table.term.next();
    table.copies[0].state = CopyState::Initializing;
    cluster.state.version = stale.version;
    cluster.publish();
    assert!(cluster.get(B, "1").is_some());
}
