//! Writes: numbered, replicated, synced, acknowledged.

use std::time::Duration;

use super::harness::{A, B, C, Cluster, config, index, look::everything, shard};
use crate::{
    event::EventKind,
    name::{SeqNo, Term},
    scenario::plan::ReadPolicy,
    search::{
        api::WriteResult,
        shards::{Condition, Copies, ShardRefusal, WriteCall},
    },
};

fn delete(id: &str) -> WriteCall {
    WriteCall::delete(id)
}

#[test]
fn write_is_on_every_copy_when_acknowledged() {
    let mut cluster = Cluster::with_copies(3, config());
    let token = cluster.write(A, index("1", "hello"));
    cluster.run();
    let written = cluster.acknowledged(token).unwrap();
    assert_eq!((written.result, written.seq_no, written.version), (WriteResult::Created, SeqNo(0), 1));
    assert_eq!(written.copies, (3, 3));
    cluster.assert_copies_equal(&[A, B, C]);
    assert!(cluster.get(C, "1").unwrap().contains("hello"));
}

/// "`request` = fsync before ack on every copy" (index.translog.durability).
#[test]
fn nothing_is_acknowledged_before_every_disk_is_synced() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.disks_are_quick = false;
    let token = cluster.write(A, index("1", "hello"));
    cluster.run();
    assert!(cluster.end_sync(A));
    cluster.run();
    assert!(cluster.acknowledged(token).is_none(), "the replica has not synced");
    assert!(cluster.end_sync(B));
    cluster.run();
    assert!(cluster.acknowledged(token).is_some());
    let other = cluster.write(A, index("2", "hello"));
    cluster.run();
    assert!(cluster.end_sync(B));
    cluster.run();
    assert!(cluster.acknowledged(other).is_none(), "the primary has not synced");
    assert!(cluster.end_sync(A));
    assert!(cluster.acknowledged(other).is_some());
}

#[test]
fn results_and_versions_follow_the_document() {
    let mut cluster = Cluster::with_copies(2, config());
    let calls = [index("1", "a"), index("1", "b"), delete("1"), delete("1"), index("1", "c")];
    let tokens = calls.map(|call| cluster.write(A, call));
    cluster.run();
    let told = tokens.map(|token| {
        let written = cluster.acknowledged(token).unwrap();
        (written.result, written.version)
    });
    use WriteResult as R;
    assert_eq!(told, [(R::Created, 1), (R::Updated, 2), (R::Deleted, 3), (R::NotFound, 4), (R::Created, 5)]);
    cluster.assert_copies_equal(&[A, B]);
}

/// "`if_seq_no`+`if_primary_term` (equality) → 409".
#[test]
fn condition_is_met_or_conflicts() {
    let mut cluster = Cluster::with_copies(1, config());
    let write = |cluster: &mut Cluster, condition| {
        let token = cluster.write(A, WriteCall { condition, ..index("1", "a") });
        cluster.run();
        cluster.written.remove(&token).unwrap()
    };
    let is = |seq_no, term| Condition::LastChangedBy(SeqNo(seq_no), Term(term));
    let missing = write(&mut cluster, is(0, 1));
    let Err(ShardRefusal::Error(error)) = missing else { panic!("{missing:?}") };
    assert_eq!((error.status, &*error.kind), (409, "version_conflict_engine_exception"));
    assert_eq!(write(&mut cluster, Condition::None).unwrap().seq_no, SeqNo(0));
    assert_eq!(write(&mut cluster, is(0, 1)).unwrap().seq_no, SeqNo(1));
    for stale in [is(0, 1), is(1, 2)] {
        assert!(matches!(write(&mut cluster, stale), Err(ShardRefusal::Error(_))));
    }
}

#[test]
fn senseless_documents_are_refused_without_a_trace() {
    let mut cluster = Cluster::with_copies(1, config());
    let source = |source: &str| WriteCall::index("1", source);
    let calls = [source("{"), source("[1]"), index("", "x"), index(&"x".repeat(513), "x"), delete("")];
    for call in calls {
        let token = cluster.write(A, call);
        let Some(Err(ShardRefusal::Error(error))) = cluster.written.get(&token) else { panic!() };
        assert_eq!((error.status, error.certain), (400, true));
    }
    assert_eq!(cluster.count("PrimaryAppended"), 0);
}

/// #20320: a request is executed only by the allocation and in the term that it was routed to.
#[test]
fn write_of_another_term_or_to_a_replica_is_refused() {
    let mut cluster = Cluster::with_copies(2, config());
    let (primary, replica) = (cluster.copy_on(A), cluster.copy_on(B));
    for (host, allocation, term) in
        [(A, primary, Term(2)), (A, primary, Term(0)), (B, replica, Term(1)), (B, primary, Term(1))]
    {
        cluster.step(host, |shards, ctx| {
            shards.write(ctx, &shard(), allocation, term, vec![(77, index("1", "a"))])
        });
        assert_eq!(cluster.written.remove(&77), Some(Err(ShardRefusal::NotHere { certain: true })));
    }
}

/// "ack only after all targets answered or master confirmed removal".
#[test]
fn silent_replica_holds_the_acknowledgement_until_the_controller_removed_it() {
    let mut cluster = Cluster::with_copies(3, config());
    let silent = cluster.copy_on(C);
    cluster.controller_acts = false;
    cluster.cut(A, C);
    let token = cluster.write(A, index("1", "a"));
    cluster.pass(Duration::from_secs(10));
    assert!(cluster.acknowledged(token).is_none(), "reported, but still in the in-sync set");
    assert_eq!(cluster.reports.len(), 1, "reported once");
    cluster.mark_failed(silent);
    cluster.publish();
    assert_eq!(cluster.acknowledged(token).unwrap().copies, (3, 2));
    assert!(cluster.happened(C, "CopyRemoved"));
}

#[test]
fn broken_connection_is_tried_again_before_the_copy_is_reported() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.controller_acts = false;
    cluster.cut(A, B);
    let token = cluster.write(A, index("1", "a"));
    cluster.break_connection(A, B);
    assert!(cluster.reports.is_empty());
    cluster.heal();
    cluster.pass(Duration::from_millis(100));
    assert_eq!(cluster.acknowledged(token).unwrap().copies, (2, 2), "sent again");
    cluster.cut(A, B);
    let late = cluster.write(A, index("2", "a"));
    for _ in 0..4 {
        cluster.break_connection(A, B);
        cluster.pass(Duration::from_millis(400));
    }
    assert!(cluster.reports.is_empty(), "its time is not over");
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.reports.len(), 1, "it is over");
    assert!(cluster.acknowledged(late).is_none());
}

/// #20023: a copy becomes stale when a write happens without it, not when its node leaves.
#[test]
fn in_sync_copy_without_a_node_is_reported_by_the_first_write_that_it_misses() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.controller_acts = false;
    let gone = cluster.copy_on(B);
    let table = cluster.table_mut();
    let copy = table.copies.iter_mut().find(|copy| copy.allocation == Some(gone)).unwrap();
    (copy.node, copy.state) = (None, crate::event::CopyState::Unassigned);
    cluster.publish();
    assert!(cluster.reports.is_empty());
    let token = cluster.write(A, index("1", "a"));
    cluster.run();
    assert!(cluster.acknowledged(token).is_none());
    assert_eq!(cluster.reports.len(), 1);
    cluster.table_mut().in_sync.remove(&gone);
    cluster.publish();
    assert_eq!(cluster.acknowledged(token).unwrap().copies, (2, 1));
}

/// The same for a write that is under way when the node leaves.
#[test]
fn write_under_way_has_a_copy_reported_that_loses_its_node() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.controller_acts = false;
    let gone = cluster.copy_on(B);
    cluster.cut(A, B);
    let token = cluster.write(A, index("1", "a"));
    let table = cluster.table_mut();
    let copy = table.copies.iter_mut().find(|copy| copy.allocation == Some(gone)).unwrap();
    (copy.node, copy.state) = (None, crate::event::CopyState::Unassigned);
    cluster.publish();
    assert_eq!(cluster.reports.len(), 1);
    cluster.table_mut().in_sync.remove(&gone);
    cluster.publish();
    assert!(cluster.acknowledged(token).is_some());
}

/// The global checkpoint reaches the replicas without another write, so that commits become safe.
#[test]
fn global_checkpoint_is_told_after_the_last_write() {
    let mut config = config();
    config.search.flush_operations = 5;
    let mut cluster = Cluster::with_copies(2, config);
    for n in 0..5 {
        cluster.write(A, index(&n.to_string(), "a"));
        cluster.run();
    }
    assert!(cluster.happened(A, "CopyFlushed"));
    assert!(!cluster.happened(B, "CopyFlushed"), "it does not know yet that the last one is everywhere");
    cluster.pass(Duration::from_secs(2));
    assert!(cluster.happened(B, "CopyFlushed"));
}

#[test]
fn search_sees_what_was_there_at_the_last_multiple_of_the_interval() {
    let mut cluster = Cluster::with_copies(1, config());
    cluster.pass(Duration::from_millis(1_500));
    cluster.search(A);
    cluster.write(A, index("1", "a"));
    cluster.run();
    assert_eq!(cluster.search(A), 0);
    assert_eq!(cluster.count("CopyRefreshed"), 0, "nothing is built that nobody sees");
    cluster.pass(Duration::from_millis(600));
    assert_eq!(cluster.search(A), 1);
    cluster.write(A, index("2", "a"));
    cluster.run();
    assert_eq!(cluster.search(A), 1);
    cluster.refresh(A);
    assert_eq!(cluster.search(A), 2);
    assert_eq!(cluster.count("CopyRefreshed"), 2);
}

/// `TransportShardBulkAction`: the items of a shard go to each copy in one request, and each ends by itself.
#[test]
fn several_writes_are_one_request_to_each_copy() {
    let mut cluster = Cluster::with_copies(2, config());
    let bad = WriteCall::index("2", "[]");
    let tokens =
        cluster.write_several(A, vec![index("1", "a"), bad, WriteCall::delete("1"), index("3", "c")]);
    assert_eq!(cluster.on_the_way(A, B), 1);
    cluster.run();
    let numbers = tokens.iter().map(|token| cluster.acknowledged(*token).map(|written| written.seq_no.0));
    assert_eq!(numbers.collect::<Vec<_>>(), [Some(0), None, Some(1), Some(2)]);
    assert_eq!((cluster.get(B, "1"), cluster.get(B, "3")), (None, Some("{\"text\":\"c\"}".to_owned())));
}

#[test]
fn refusals_say_that_nothing_is_here() {
    let mut cluster = Cluster::with_copies(1, config());
    let token = cluster.ask(B, "1", ReadPolicy::Any);
    assert_eq!(cluster.got[&token], Err(ShardRefusal::NotHere { certain: true }));
    let other = "other/0".parse().unwrap();
    let found = cluster.step(A, |shards, ctx| shards.search(ctx, &other, &everything())).unwrap();
    assert!(found.is_err());
}

#[test]
fn primary_notes_what_it_did_in_order() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.events.clear();
    cluster.write(A, index("1", "a"));
    cluster.run();
    let names: Vec<_> = cluster.events.iter().map(|(host, event)| (*host, event.name())).collect();
    assert_eq!(
        names,
        [
            (A, "PrimaryAppended"),
            (B, "ReplicaAppended"),
            (A, "GlobalCheckpointAdvanced"),
            (A, "WriteAcknowledged")
        ]
    );
    let digests: Vec<_> = cluster
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            EventKind::PrimaryAppended { digest, .. } | EventKind::ReplicaAppended { digest, .. } => {
                Some(digest)
            }
            _ => None,
        })
        .collect();
    assert_eq!(digests[0], digests[1]);
}
