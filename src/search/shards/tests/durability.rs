//! Durability and cost: async translogs, leases, throttled files, damaged files, idle copies.

use std::time::Duration;

use super::harness::{A, B, Cluster, HOSTS, Loss, config, index};
use crate::{
    event::{CopyState, EventKind},
    name::SeqNo,
    search::state::ShardCopy,
};

fn set_async(cluster: &mut Cluster) {
    cluster.set_index("index.translog.durability", "async");
}

fn fill(cluster: &mut Cluster, count: usize) {
    for n in 0..count {
        cluster.write(A, index(&n.to_string(), &format!("text {n}")));
        cluster.run();
    }
}

/// "async = every 5 s (loss window allowed)": the checkpoints wait for the disk, the client does not.
#[test]
fn async_write_is_acknowledged_at_once_and_synced_after_the_interval() {
    let mut cluster = Cluster::with_copies(2, config());
    set_async(&mut cluster);
    cluster.disks_are_quick = false;
    let token = cluster.write(A, index("1", "a"));
    cluster.run();
    assert_eq!(cluster.acknowledged(token).unwrap().copies, (2, 2));
    let durable = cluster.events.iter().find_map(|(_, event)| match event {
        EventKind::WriteAcknowledged { durable, .. } => Some(*durable),
        _ => None,
    });
    assert_eq!(durable, Some(false));
    assert!(!cluster.happened(A, "GlobalCheckpointAdvanced"), "no disk has it");
    cluster.disks_are_quick = true;
    cluster.pass(Duration::from_secs(4));
    assert!(!cluster.happened(A, "TranslogSynced"));
    cluster.pass(Duration::from_secs(2));
    assert!(cluster.happened(A, "TranslogSynced") && cluster.happened(B, "TranslogSynced"));
    assert!(cluster.happened(A, "GlobalCheckpointAdvanced"));
}

#[test]
fn shorter_interval_holds_for_what_is_written_next() {
    let mut cluster = Cluster::with_copies(1, config());
    cluster.set_index("index.translog.sync_interval", "60s");
    set_async(&mut cluster);
    fill(&mut cluster, 1);
    cluster.set_index("index.translog.sync_interval", "1s");
    fill(&mut cluster, 1);
    cluster.pass(Duration::from_secs(2));
    assert!(cluster.happened(A, "TranslogSynced"));
}

#[test]
fn async_write_of_a_lone_copy_is_acknowledged_and_lost_with_the_machine() {
    for (loss, kept) in [(Loss::All, false), (Loss::Nothing, true)] {
        let mut cluster = Cluster::with_copies(1, config());
        set_async(&mut cluster);
        cluster.disks_are_quick = false;
        let token = cluster.write(A, index("1", "a"));
        assert!(cluster.acknowledged(token).is_some());
        cluster.kill(A);
        cluster.restart(A, loss);
        cluster.disks_are_quick = true;
        let table = cluster.table_mut();
        (table.copies[0].state, table.term) = (CopyState::Initializing, table.term.next());
        cluster.publish();
        assert_eq!(cluster.get(A, "1").is_some(), kept, "{loss:?}");
    }
}

/// "flush at 512 MB": by bytes as well as by operations.
#[test]
fn translog_of_the_threshold_size_is_flushed() {
    let mut cluster = Cluster::with_copies(1, config());
    cluster.set_index("index.translog.flush_threshold_size", "1kb");
    fill(&mut cluster, 3);
    assert!(!cluster.happened(A, "CopyFlushed"));
    fill(&mut cluster, 40);
    assert!(cluster.happened(A, "CopyFlushed"));
}

/// "files … 40 MB/s": a piece waits until the ones before it have used up their time.
#[test]
fn files_are_sent_no_faster_than_the_limit() {
    let mut flushing = config();
    flushing.search.flush_operations = 50;
    let mut cluster = Cluster::with_copies(1, flushing);
    fill(&mut cluster, 100);
    cluster.pass(Duration::from_secs(31));
    fill(&mut cluster, 200);
    cluster.set_cluster("indices.recovery.max_bytes_per_sec", "4kb");
    cluster.add_copy(B, CopyState::Initializing);
    cluster.publish();
    cluster.pass(Duration::from_millis(500));
    assert!(!cluster.happened(B, "FilesInstalled"), "a commit has more than two thousand bytes");
    cluster.pass(Duration::from_secs(60));
    assert!(cluster.happened(B, "FilesInstalled") && cluster.happened(B, "RecoveryCompleted"));
    cluster.assert_copies_equal(&[A, B]);
}

/// Retention leases: history is kept for the copy on a node until it has told that it does not need it.
#[test]
fn returning_copy_finds_the_history_that_its_lease_kept() {
    let mut flushing = config();
    flushing.search.flush_operations = 20;
    let mut cluster = Cluster::with_copies(2, flushing);
    fill(&mut cluster, 30);
    cluster.pass(Duration::from_secs(31));
    let gone = cluster.copy_on(B);
    cluster.kill(B);
    let table = cluster.table_mut();
    table.in_sync.remove(&gone);
    let copy = table.copies.iter_mut().find(|copy| copy.allocation == Some(gone)).unwrap();
    (copy.node, copy.state) = (None, CopyState::Unassigned);
    cluster.publish();
    fill(&mut cluster, 200);
    cluster.pass(Duration::from_secs(31));
    fill(&mut cluster, 30);
    cluster.restart(B, Loss::Nothing);
    let table = cluster.table_mut();
    let copy = table.copies.iter_mut().find(|copy| copy.allocation == Some(gone)).unwrap();
    (copy.node, copy.state) = (Some(B), CopyState::Initializing);
    cluster.events.clear();
    cluster.publish();
    cluster.pass(Duration::from_secs(1));
    assert!(!cluster.happened(B, "FilesInstalled"), "nothing but operations");
    assert!(cluster.happened(B, "RecoveryCompleted"));
    cluster.assert_copies_equal(&[A, B]);
}

/// A damaged copy is failed, and recovered from another; it never serves.
#[test]
fn damaged_replica_is_built_anew_from_the_primary() {
    for damage in ["state", "meta.json", ".store", "translog.2"] {
        let mut flushing = config();
        flushing.search.flush_operations = 5;
        let mut cluster = Cluster::with_copies(2, flushing);
        fill(&mut cluster, 9);
        cluster.pass(Duration::from_secs(2));
        cluster.kill(B);
        cluster.rot(B, damage);
        cluster.restart(B, Loss::All);
        let held = cluster.copy_on(B);
        let table = cluster.table_mut();
        let copy = table.copies.iter_mut().find(|copy| copy.allocation == Some(held)).unwrap();
        copy.state = CopyState::Initializing;
        cluster.events.clear();
        cluster.publish();
        assert!(cluster.happened(B, "CorruptionFound"), "{damage}");
        assert!(cluster.happened(B, "CopyFailed") && !cluster.happened(B, "RecoveryCompleted"), "{damage}");
        cluster.add_copy(B, CopyState::Initializing);
        cluster.publish();
        cluster.pass(Duration::from_secs(1));
        cluster.assert_copies_equal(&[A, B]);
    }
}

#[test]
fn copies_without_operations_cost_nothing() {
    let mut cluster = Cluster::with_copies(3, config());
    let before = HOSTS.map(|host| cluster.effects_done(host));
    cluster.pass(Duration::from_secs(120));
    assert_eq!(HOSTS.map(|host| cluster.effects_done(host)), before);
    assert!(HOSTS.iter().all(|host| cluster.step(*host, |shards, _| shards.next_wake()) == Some(None)));
}

/// Refreshes, checkpoints and leases are told to other copies without an answer: losing them fails nobody.
#[test]
fn lost_background_messages_fail_nobody() {
    let mut cluster = Cluster::with_copies(2, config());
    fill(&mut cluster, 3);
    cluster.cut(A, B);
    cluster.pass(Duration::from_secs(40));
    cluster.break_connection(A, B);
    cluster.heal();
    cluster.pass(Duration::from_secs(10));
    assert!(cluster.reports.is_empty() && !cluster.happened(B, "CopyFailed"));
    let token = cluster.write(A, index("after", "x"));
    cluster.run();
    assert_eq!(cluster.acknowledged(token).map(|written| written.seq_no), Some(SeqNo(3)));
}

/// A sync that goes on while the files of a recovery take the place of the store is told to nobody.
#[test]
fn copy_that_was_given_files_syncs_in_the_background_as_before() {
    let mut flushing = config();
    flushing.search.flush_operations = 500;
    let mut cluster = Cluster::with_copies(2, flushing);
    cluster.set_index("index.translog.sync_interval", "100s");
    cluster.set_index("index.soft_deletes.retention_lease.period", "1s");
    cluster.set_cluster("indices.recovery.max_bytes_per_sec", "8kb");
    fill(&mut cluster, 30);
    set_async(&mut cluster);
    fill(&mut cluster, 1);
    cluster.set_index("index.translog.durability", "request");
    // It does not see that it was given up and assigned again, a lease later.
    let held = cluster.copy_on(B);
    cluster.sees_states(B, false);
    let table = cluster.table_mut();
    table.in_sync.remove(&held);
    let copy = table.copies.iter().position(|copy| copy.allocation == Some(held)).unwrap();
    let copy = table.copies.remove(copy);
    cluster.publish();
    fill(&mut cluster, 1_600);
    cluster.pass(Duration::from_secs(62));
    fill(&mut cluster, 1_600);
    cluster.pass(Duration::from_secs(37));
    cluster.table_mut().copies.push(ShardCopy { state: CopyState::Initializing, ..copy });
    cluster.sees_states(B, true);
    cluster.publish();
    cluster.pass(Duration::from_millis(500));
    cluster.disks_are_quick = false;
    cluster.pass(Duration::from_secs(60));
    assert!(cluster.happened(B, "FilesInstalled"));
    cluster.disks_are_quick = true;
    cluster.pass(Duration::from_secs(2));
    assert!(cluster.happened(B, "RecoveryCompleted"));
    set_async(&mut cluster);
    cluster.events.clear();
    fill(&mut cluster, 1);
    cluster.pass(Duration::from_secs(101));
    assert!(cluster.happened(A, "TranslogSynced") && cluster.happened(B, "TranslogSynced"));
}
