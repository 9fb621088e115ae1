//! Failover: promotion, resync, deposed primaries.

use std::time::Duration;

use super::harness::{A, B, C, Cluster, config, index};
use crate::{
    defect::Defect,
    event::{CopyState, EventKind},
    name::{SeqNo, Term},
    search::shards::{ShardRefusal, WriteCall},
};

fn term_of(cluster: &Cluster) -> Term {
    cluster.table().term
}

/// The primary on A dies; the state promotes the first in-sync copy.
fn fail_over(cluster: &mut Cluster) {
    let dead = cluster.copy_on(A);
    if cluster.is_alive(A) {
        cluster.kill(A);
    }
    cluster.mark_failed(dead);
    cluster.publish();
}

/// Three copies that show one document, and refresh when they are told to.
fn showing(id: &str) -> Cluster {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.set([("index.refresh_interval".to_owned(), "-1".to_owned())].into());
    cluster.write(A, index(id, "everywhere"));
    cluster.run();
    cluster.refresh(A);
    cluster.run();
    assert_eq!(cluster.search(C), 1);
    cluster
}

#[test]
fn promotion_makes_copies_equal_that_missed_an_operation() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.write(A, index("1", "everywhere"));
    cluster.run();
    cluster.cut(A, C);
    let token = cluster.write(A, index("2", "on the next primary only"));
    cluster.run();
    assert!(cluster.acknowledged(token).is_none());
    fail_over(&mut cluster);
    assert!(cluster.happened(B, "ResyncCompleted"));
    cluster.assert_copies_equal(&[B, C]);
    assert!(cluster.get(C, "2").is_some(), "what the new primary has is resent");
    assert_eq!(term_of(&cluster), Term(2));
}

/// "trim above max_seq_no"; the replica drops what the new primary does not have.
#[test]
fn resync_voids_what_the_new_primary_never_got() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.write(A, index("1", "everywhere"));
    cluster.run();
    cluster.cut(A, B);
    cluster.write(A, index("1", "overwritten on C only"));
    cluster.write(A, index("2", "on C only"));
    cluster.run();
    assert!(cluster.get(C, "2").is_some());
    fail_over(&mut cluster);
    assert!(cluster.happened(C, "OperationsTrimmed"));
    assert!(cluster.get(C, "2").is_none());
    assert!(cluster.get(C, "1").unwrap().contains("everywhere"));
    cluster.assert_copies_equal(&[B, C]);
}

/// `IndexShard.resetEngineToGlobalCheckpoint`: an engine that was built anew is refreshed before anybody searches it.
#[test]
fn copy_that_was_trimmed_goes_on_showing_what_it_showed() {
    let mut cluster = showing("1");
    cluster.cut(A, B);
    cluster.write(A, index("2", "on C only"));
    cluster.run();
    fail_over(&mut cluster);
    assert!(cluster.happened(C, "OperationsTrimmed"));
    assert_eq!(cluster.search(C), 1);
}

#[test]
fn number_of_a_voided_operation_is_used_again_by_the_new_primary() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.cut(A, B);
    cluster.write(A, index("1", "of term 1"));
    cluster.run();
    cluster.cut(B, C);
    fail_over(&mut cluster);
    let token = cluster.write(B, index("1", "of term 2"));
    cluster.run();
    assert!(cluster.acknowledged(token).is_none(), "it waits for the resync");
    cluster.heal();
    cluster.run();
    let written = cluster.acknowledged(token).unwrap();
    assert_eq!((written.seq_no, written.term), (SeqNo(0), Term(2)));
    cluster.assert_copies_equal(&[B, C]);
}

/// #24238: "on promotion gaps up to max_seq_no are filled with no-ops".
#[test]
fn gaps_are_filled_when_a_copy_is_promoted() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.cut_one_way(A, B);
    cluster.write(A, index("1", "never reaches B"));
    cluster.run();
    cluster.break_connection(A, B);
    // It would be sent again, but the next write is faster.
    cluster.heal();
    cluster.controller_acts = false;
    cluster.write(A, index("2", "reaches B"));
    cluster.run();
    fail_over(&mut cluster);
    let no_op = cluster.events.iter().any(|(host, event)| {
        *host == B && matches!(event, EventKind::PrimaryAppended { seq_no: SeqNo(0), term: Term(2), .. })
    });
    assert!(no_op, "number 0 is taken by a no-op");
    cluster.assert_copies_equal(&[B, C]);
    assert!(cluster.get(C, "1").is_none(), "superseded by the no-op");
    assert!(cluster.get(C, "2").is_some());
}

/// The engine is built anew as well when an operation is superseded.
#[test]
fn copy_whose_operation_is_superseded_goes_on_showing_the_others() {
    let mut cluster = showing("0");
    cluster.cut_one_way(A, B);
    cluster.write(A, index("1", "never reaches B"));
    cluster.run();
    cluster.break_connection(A, B);
    cluster.heal();
    cluster.controller_acts = false;
    cluster.write(A, index("2", "reaches B"));
    cluster.run();
    fail_over(&mut cluster);
    assert!(cluster.get(C, "1").is_none(), "superseded by a no-op");
    assert_eq!(cluster.search(C), 2, "all that is there, and not the last commit");
}

/// "every replica op carries the term; replica rejects lower".
#[test]
fn deposed_primary_is_refused_and_never_acknowledges() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.sees_states(A, false);
    let deposed = cluster.copy_on(A);
    cluster.mark_failed(deposed);
    cluster.publish();
    assert!(cluster.happened(B, "PrimaryActivated"));
    let token = cluster.write(A, index("1", "too late"));
    cluster.run();
    assert_eq!(cluster.written[&token], Err(ShardRefusal::NotHere { certain: false }));
    let why = cluster.events.iter().find_map(|(host, event)| match event {
        EventKind::PrimaryDeactivated { why, .. } if *host == A => Some(why.clone()),
        _ => None,
    });
    assert_eq!(why.as_deref(), Some("deposed"));
    assert!(cluster.get(B, "1").is_none() && cluster.get(C, "1").is_none());
    assert!(cluster.reports.is_empty(), "a deposed primary fails nobody");
}

/// The same with the defect: the replica takes it, and so does the new primary.
#[test]
fn deposed_primary_is_believed_with_the_defect() {
    let mut config = config();
    config.defects.0.insert(Defect::ReplicaIgnoresTerm);
    let mut cluster = Cluster::with_copies(3, config);
    cluster.sees_states(A, false);
    let deposed = cluster.copy_on(A);
    cluster.mark_failed(deposed);
    cluster.publish();
    let new = cluster.write(B, index("1", "of the new primary"));
    let old = cluster.write(A, index("1", "of the old primary"));
    cluster.run();
    assert!(cluster.acknowledged(old).is_some(), "two primaries acknowledge");
    assert!(cluster.acknowledged(new).is_some());
    let (old, new) = (cluster.acknowledged(old).unwrap(), cluster.acknowledged(new).unwrap());
    assert_eq!(old.seq_no, new.seq_no, "under one number");
    let stale = cluster
        .events
        .iter()
        .any(|(_, event)| matches!(event, EventKind::ReplicaAppended { sender_term: Term(1), .. }));
    assert!(stale);
}

#[test]
fn acknowledged_writes_survive_two_failovers_in_a_row() {
    let mut cluster = Cluster::with_copies(3, config());
    let tokens: Vec<_> = (0..5).map(|n| cluster.write(A, index(&n.to_string(), "x"))).collect();
    cluster.run();
    assert!(tokens.iter().all(|token| cluster.acknowledged(*token).is_some()));
    // C learns of the new term, but the resync never reaches it: what it has must not be dropped.
    cluster.cut(B, C);
    fail_over(&mut cluster);
    let dead = cluster.copy_on(B);
    cluster.kill(B);
    cluster.mark_failed(dead);
    cluster.publish();
    assert!(cluster.happened(C, "PrimaryActivated"));
    for n in 0..5 {
        assert!(cluster.get(C, &n.to_string()).is_some(), "document {n}");
    }
}

#[test]
fn replica_of_two_terms_ago_is_brought_level() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.write(A, index("1", "everywhere"));
    cluster.run();
    cluster.cut(A, B);
    cluster.write(A, index("2", "on C only"));
    cluster.run();
    cluster.cut(B, C);
    fail_over(&mut cluster);
    cluster.write(B, index("3", "waits"));
    cluster.pass(Duration::from_secs(1));
    cluster.heal();
    cluster.run();
    cluster.assert_copies_equal(&[B, C]);
    assert!(cluster.get(C, "2").is_none() && cluster.get(C, "3").is_some());
}

/// D18: "failed resync op ignored: hole stays".
#[test]
fn resync_waits_for_a_silent_copy_until_it_is_removed() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.controller_acts = false;
    cluster.cut(B, C);
    fail_over(&mut cluster);
    let token = cluster.write(B, index("1", "queued"));
    cluster.pass(Duration::from_millis(1_900));
    assert!(!cluster.happened(B, "ResyncCompleted"));
    assert!(!cluster.written.contains_key(&token));
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.written[&token], Err(ShardRefusal::NotHere { certain: true }), "queued for too long");
    assert_eq!(cluster.reports.len(), 1);
    let silent = cluster.copy_on(C);
    cluster.mark_failed(silent);
    cluster.publish();
    assert!(cluster.happened(B, "ResyncCompleted"));
    let token = cluster.write(B, index("2", "goes on"));
    cluster.run();
    assert!(cluster.acknowledged(token).is_some());
}

/// E15: a copy that the state shows as initializing again, though it has been started, recovers anew.
#[test]
fn started_copy_that_is_assigned_again_recovers_again() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.write(A, index("1", "x"));
    cluster.run();
    let replica = cluster.copy_on(B);
    let recovered = cluster.count("RecoveryCompleted");
    let table = cluster.table_mut();
    table.in_sync.remove(&replica);
    table.copies.iter_mut().find(|copy| copy.allocation == Some(replica)).unwrap().state =
        CopyState::Initializing;
    cluster.publish();
    assert_eq!(cluster.count("RecoveryCompleted"), recovered + 1);
    assert_eq!(cluster.table().copy(replica).unwrap().state, CopyState::Started);
    cluster.assert_copies_equal(&[A, B]);
}

/// A commit that holds an operation which is void later must not become the durable one.
#[test]
fn flush_waits_until_the_commit_is_safe() {
    let mut config = config();
    config.search.flush_operations = 3;
    let mut cluster = Cluster::with_copies(3, config);
    cluster.cut(A, B);
    for n in 0..3 {
        cluster.write(A, index(&n.to_string(), "on C only"));
    }
    cluster.run();
    assert_eq!(cluster.count("CopyFlushed"), 0, "the global checkpoint has not reached it");
    fail_over(&mut cluster);
    cluster.assert_copies_equal(&[B, C]);
    for n in 0..6 {
        cluster.write(B, WriteCall::delete(n.to_string()));
        cluster.run();
    }
    cluster.pass(Duration::from_secs(2));
    assert!(cluster.happened(B, "CopyFlushed") && cluster.happened(C, "CopyFlushed"));
    cluster.assert_copies_equal(&[B, C]);
}

/// D20, OpenSearch #21456: a write whose replication ends because its primary is closed is not acknowledged by that, nor
/// refused for certain: another copy may have it.
#[test]
fn write_under_way_when_its_primary_is_closed_is_neither_acknowledged_nor_surely_refused() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.controller_acts = false;
    cluster.cut(A, B);
    let token = cluster.write(A, index("1", "x"));
    cluster.run();
    assert!(!cluster.written.contains_key(&token));
    let deposed = cluster.copy_on(A);
    cluster.mark_failed(deposed);
    cluster.publish();
    assert_eq!(cluster.written[&token], Err(ShardRefusal::NotHere { certain: false }));
    assert!(cluster.get(B, "1").is_none(), "no copy that serves has it");
}
