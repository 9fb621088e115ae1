//! Tests of the replication group.

use super::*;
use crate::{
    name::Term,
    search::{api::WriteResult, leases::Leases, shard::store::Store},
};

const ME: AllocationId = AllocationId(1);
const B: AllocationId = AllocationId(2);
const C: AllocationId = AllocationId(3);
const LATER: Instant = Instant(100);

fn written(seq_no: i64) -> Written {
    let (seq_no, term) = (SeqNo(seq_no), Term(1));
    Written { result: WriteResult::Created, seq_no, term, version: 1, copies: (0, 0), forced_refresh: false }
}

fn sent(group: &mut Group, copy: AllocationId, request: u64, seq_no: i64) {
    let operations = vec![Store::no_op(SeqNo(seq_no), Term(1))];
    let global_checkpoint = group.global_checkpoint();
    let operations =
        Operations { request, purpose: Purpose::Write { refresh: false }, operations, global_checkpoint };
    group.sent(copy, operations, LATER);
}

/// Two in-sync replicas, tracked.
fn group() -> Group {
    let mut group = Group::new(SeqNo::NONE);
    group.adopt([B, C].into(), &[ME, B, C].into());
    group.track(B, HostId::search(2), None);
    group.track(C, HostId::search(3), None);
    group
}

fn write(group: &mut Group, seq_no: i64) {
    let unreachable = group.begin(seq_no as u64, written(seq_no), LATER, |_| true);
    assert!(unreachable.is_empty());
    sent(group, B, 2 * seq_no as u64, seq_no);
    sent(group, C, 2 * seq_no as u64 + 1, seq_no);
}

/// A copy that is built a second time under this primary has another life (#24333).
#[test]
fn finalized_copy_that_has_started_is_forgotten_with_its_life() {
    for has_started in [false, true] {
        let mut group = group();
        group.finalize(B);
        if has_started {
            group.started([B]);
        }
        group.forget_life(B, LATER);
        assert_eq!(group.channel(B).is_none(), has_started);
    }
}

/// Elasticsearch's `ReplicationGroup.getSkippedShards`: a copy without a node is counted, and has nothing.
#[test]
fn write_counts_the_copies_that_it_was_not_sent_to() {
    let mut group = group();
    let skipped = group.skipped([Some(B), Some(C), None, Some(AllocationId(9))]);
    assert_eq!(skipped, 2);
    group.begin(0, Written { copies: (skipped, 0), ..written(0) }, LATER, |_| true);
    sent(&mut group, B, 0, 0);
    sent(&mut group, C, 1, 0);
    group.synced(SeqNo(0));
    group.taken(B, 0, SeqNo(0));
    group.taken(C, 1, SeqNo(0));
    assert_eq!(group.complete()[0].written.copies, (5, 3));
}

/// "ack only after all targets answered": in whatever order, and the primary's own disk is one of them.
#[test]
fn write_completes_when_all_have_it() {
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut group = group();
        write(&mut group, 0);
        for who in order {
            assert!(group.complete().is_empty());
            match who {
                0 => group.synced(SeqNo(0)),
                1 => assert!(group.taken(B, 0, SeqNo(0)).is_some()),
                _ => assert!(group.taken(C, 1, SeqNo(0)).is_some()),
            }
        }
        let done = group.complete();
        assert_eq!((done.len(), done[0].written.copies), (1, (3, 3)));
        assert!(group.is_drained());
    }
}

#[test]
fn answers_of_unknown_requests_count_for_nothing() {
    let mut group = group();
    write(&mut group, 0);
    group.synced(SeqNo(0));
    assert!(group.taken(B, 77, SeqNo(0)).is_none());
    assert!(group.taken(ME, 0, SeqNo(0)).is_none());
    assert!(group.taken(B, 0, SeqNo(0)).is_some());
    assert!(group.taken(B, 0, SeqNo(0)).is_none(), "a second answer");
    assert!(group.complete().is_empty());
}

/// A target that asks anew has what was sent to it before, and was not answered for: its recovery leaves that out.
#[test]
fn answer_to_a_recovery_counts_for_writes_of_the_channel_before() {
    for (checkpoint, left) in [(1, 0), (0, 1)] {
        let mut group = group();
        (0..2).for_each(|seq_no| write(&mut group, seq_no));
        group.synced(SeqNo(1));
        (0..2).for_each(|seq_no| _ = group.taken(B, 2 * seq_no, SeqNo(seq_no as i64)));
        group.track(C, HostId::search(3), Some(SeqNo(0)));
        assert!(group.taken(C, 1, SeqNo(0)).is_none(), "the request is forgotten");
        let (purpose, operations) = (Purpose::Recovery { attempt: 2 }, vec![]);
        let global_checkpoint = group.global_checkpoint();
        let recovery = Operations { request: 9, purpose, operations, global_checkpoint };
        group.sent(C, recovery, LATER);
        assert!(group.complete().is_empty());
        assert!(group.taken(C, 9, SeqNo(checkpoint)).is_some());
        assert_eq!((group.complete().len(), group.is_drained()), (2 - left, left == 0));
    }
}

/// "min of local checkpoints of in-sync copies".
#[test]
fn global_checkpoint_is_the_lowest_and_never_goes_back() {
    let mut group = group();
    (0..3).for_each(|seq_no| write(&mut group, seq_no));
    group.synced(SeqNo(2));
    group.taken(B, 4, SeqNo(2));
    assert_eq!(group.advance(), SeqNo::NONE, "C is unknown");
    group.taken(C, 3, SeqNo(1));
    assert_eq!(group.advance(), SeqNo(1));
    group.track(C, HostId::search(3), Some(SeqNo(0)));
    assert_eq!(group.advance(), SeqNo(1), "a copy that starts over does not pull it back");
    group.adopt([B].into(), &[ME, B].into());
    assert_eq!(group.advance(), SeqNo(2), "C is out of the set");
}

#[test]
fn recovering_copy_counts_from_its_finalisation_on() {
    let mut group = Group::new(SeqNo::NONE);
    group.adopt([].into(), &[ME, B].into());
    group.track(B, HostId::search(2), Some(SeqNo::NONE));
    group.synced(SeqNo(5));
    assert_eq!(group.advance(), SeqNo(5), "not in sync yet");
    group.finalize(B);
    group.synced(SeqNo(6));
    assert_eq!(group.advance(), SeqNo(5));
    group.adopt([].into(), &[ME, B].into());
    assert!(group.is_in_sync(B), "the state does not know yet");
    group.adopt([].into(), &[ME].into());
    assert!(!group.is_in_sync(B), "the state has dropped it");
}

/// "mark unavailable in-sync ids stale via master" before the acknowledgement.
#[test]
fn in_sync_copy_out_of_reach_is_named_and_waited_for() {
    let mut group = Group::new(SeqNo::NONE);
    group.adopt([B, C].into(), &[ME, C].into());
    let unreachable = group.begin(1, written(0), LATER, |copy| copy == C);
    group.synced(SeqNo(0));
    assert_eq!(unreachable, [B]);
    assert!(group.overdue(Instant(99)).is_empty());
    assert_eq!(group.overdue(LATER), [C], "it had its time to turn up");
    assert_eq!(group.unreachable(LATER, |_| false), [B, C]);
    assert!(group.complete().is_empty());
    group.adopt([].into(), &[ME].into());
    assert_eq!(group.complete()[0].written.copies, (3, 1));
}

#[test]
fn silence_is_overdue_once() {
    let mut group = group();
    write(&mut group, 0);
    assert_eq!(group.next_deadline(), Some(LATER));
    group.taken(C, 1, SeqNo(0));
    assert_eq!(group.overdue(LATER), [B]);
    assert!(group.report(B));
    assert!(group.overdue(LATER).is_empty() && !group.report(B));
    assert_eq!(group.next_deadline(), None, "nothing to wake for");
}

/// "circuit breaker, rejected queue, connect error: back-off retry".
#[test]
fn lost_peer_gets_everything_again_after_ever_longer_pauses() {
    let mut group = group();
    let at = |millis: u64| Instant(millis * 1_000_000);
    let node = HostId::search(2);
    write(&mut group, 0);
    write(&mut group, 1);
    group.peer_lost(node, at(0));
    group.peer_lost(node, at(20));
    assert!(group.due_retries(at(49)).is_empty());
    assert_eq!(group.due_retries(at(50)).len(), 2);
    assert!(group.due_retries(at(60)).is_empty(), "they are on their way");
    group.peer_lost(node, at(60));
    assert!(group.due_retries(at(159)).is_empty());
    assert_eq!(group.due_retries(at(160)).len(), 2);
    group.taken(C, 1, SeqNo(0));
    group.taken(C, 3, SeqNo(1));
    group.peer_lost(HostId::search(3), at(160));
    assert!(group.due_retries(at(999)).is_empty(), "it owes nothing");
}

#[test]
fn context_names_every_in_sync_copy_but_the_successor() {
    let mut group = group();
    write(&mut group, 0);
    group.synced(SeqNo(0));
    group.taken(B, 0, SeqNo(0));
    group.finalize(C);
    let context = group.context(ME, C, Leases::default());
    assert_eq!(context.in_sync, [(ME, SeqNo(0)), (B, SeqNo(0))].into());
}
