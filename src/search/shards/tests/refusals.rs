//! What copies do when a disk refuses them something, or rots under them.

use std::time::Duration;

use super::harness::{A, B, Cluster, config, index};
use crate::{
    core::DiskError,
    event::CopyState,
    search::{control::ShardReport, shards::Copies},
};

fn fill(cluster: &mut Cluster, documents: u32) {
    for number in 0..documents {
        cluster.write(A, index(&format!("doc-{number}"), "x"));
        cluster.run();
    }
}

fn flushed(copies: usize) -> Cluster {
    let mut flushing = config();
    flushing.search.flush_operations = 5;
    let mut cluster = Cluster::with_copies(copies, flushing);
    fill(&mut cluster, 20);
    // Until no lease keeps the operations that the files have.
    cluster.pass(Duration::from_secs(65));
    fill(&mut cluster, 20);
    cluster.pass(Duration::from_secs(65));
    cluster.events.clear();
    cluster
}

#[test]
fn copy_whose_file_is_refused_fails_with_the_reason_and_is_built_anew() {
    for (file, error) in
        [("translog.1", DiskError::Full), ("translog.1", DiskError::Sync), ("state", DiskError::Write)]
    {
        let mut cluster = Cluster::with_copies(2, config());
        fill(&mut cluster, 6);
        cluster.controller_acts = false;
        cluster.refuse(B, file, error);
        let [ShardReport::Failed { why, .. }] = &cluster.reports[..] else { panic!("{:?}", cluster.reports) };
        assert!(why.ends_with(&error.to_string()) && why.contains(file), "{why}");
        assert!(cluster.happened(B, "CopyFailed") && !cluster.happened(A, "CopyFailed"));
        assert!(
            cluster
                .step(B, |shards, ctx| shards.search(
                    ctx,
                    &super::harness::shard(),
                    &super::harness::look::everything()
                ))
                .unwrap()
                .is_err()
        );
        cluster.controller_acts = true;
        cluster.run();
        cluster.add_copy(B, CopyState::Initializing);
        cluster.publish();
        cluster.pass(Duration::from_secs(1));
        cluster.assert_copies_equal(&[A, B]);
    }
}

#[test]
fn primary_whose_disk_refuses_acknowledges_nothing_more() {
    let mut cluster = Cluster::with_copies(1, config());
    fill(&mut cluster, 3);
    cluster.controller_acts = false;
    let token = cluster.write(A, index("late", "x"));
    cluster.refuse(A, "translog.1", DiskError::Write);
    cluster.run();
    assert_eq!(cluster.acknowledged(token), None);
    assert!(cluster.happened(A, "PrimaryDeactivated"));
}

/// The only in-sync copy is opened again from what the disk holds, not from what the process remembers.
#[test]
fn copy_that_failed_is_opened_from_its_disk() {
    let mut cluster = Cluster::with_copies(1, config());
    fill(&mut cluster, 4);
    cluster.controller_acts = false;
    cluster.write(A, index("never-written", "x"));
    cluster.lose_volatile(A);
    cluster.refuse(A, "translog.1", DiskError::Sync);
    let table = cluster.table_mut();
    table.copies[0].state = CopyState::Initializing;
    table.copies[0].failures = 1;
    table.term = table.term.next();
    cluster.events.clear();
    cluster.controller_acts = true;
    cluster.publish();
    cluster.pass(Duration::from_secs(1));
    assert!(cluster.happened(A, "PrimaryActivated"));
    let (held, _) = cluster.inspect(A).unwrap();
    assert_eq!(held.len(), 4);
}

#[test]
fn rot_is_found_by_whoever_reads_next_and_never_served() {
    for reads in ["search", "get", "recovery"] {
        let mut cluster = flushed(2);
        cluster.controller_acts = false;
        let host = if reads == "recovery" { A } else { B };
        cluster.rot_under(host, ".store");
        assert!(!cluster.happened(host, "CorruptionFound"), "nobody has read yet");
        match reads {
            "search" => {
                let ask = super::harness::look::everything();
                let shard = super::harness::shard();
                assert!(cluster.step(B, |shards, ctx| shards.search(ctx, &shard, &ask)).unwrap().is_err());
            }
            "get" => {
                cluster.ask(B, "doc-1", crate::scenario::plan::ReadPolicy::Any);
            }
            _ => {
                cluster.add_copy(super::harness::C, CopyState::Initializing);
                cluster.publish();
                cluster.run();
            }
        }
        assert!(cluster.happened(host, "CorruptionFound") && cluster.happened(host, "CopyFailed"), "{reads}");
        assert!(!cluster.happened(super::harness::C, "RecoveryCompleted"));
    }
}

#[test]
fn corrupt_copy_in_sync_is_not_opened_again() {
    let mut cluster = flushed(1);
    cluster.controller_acts = false;
    cluster.rot_under(A, ".store");
    cluster.ask(A, "doc-1", crate::scenario::plan::ReadPolicy::Any);
    let table = cluster.table_mut();
    table.copies[0].state = CopyState::Initializing;
    table.copies[0].failures = 1;
    table.term = table.term.next();
    cluster.events.clear();
    cluster.publish();
    assert!(cluster.happened(A, "CorruptionFound") && !cluster.happened(A, "PrimaryActivated"));
}

/// The controller died with the report: the next one is told again.
#[test]
fn failure_that_no_controller_acted_on_is_reported_again() {
    let mut cluster = Cluster::with_copies(2, config());
    fill(&mut cluster, 3);
    cluster.controller_acts = false;
    cluster.refuse(B, "translog.1", DiskError::Full);
    for _ in 0..3 {
        cluster.reports.clear();
        cluster.publish();
        cluster.pass(Duration::from_secs(9));
        assert_eq!(cluster.reports.len(), 1, "{:?}", cluster.reports);
    }
}
