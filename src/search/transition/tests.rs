//! Tests of the transitions — decides whether each sentence of the replication model holds for one shard. It
//! never asks the allocator.

use super::*;
use crate::{name::SessionId, search::soundness::assert_sound};

const A: HostId = HostId::search(1);
const B: HostId = HostId::search(2);
const C: HostId = HostId::search(3);

/// Members with the session of their first life, or of their `life`-th.
fn members(lives: &[(HostId, u64)]) -> BTreeMap<HostId, NodeEntry> {
    let entry = |life: u64| NodeEntry::new(SessionId(life), "a");
    lives.iter().map(|(host, life)| (*host, entry(*life))).collect()
}

fn shard() -> ShardId {
    "articles/0".parse().unwrap()
}

/// One shard on nodes A, B, C, with this many replicas, nothing assigned.
fn fresh(replicas: u32) -> ClusterState {
    let mut state = ClusterState::default();
    state.enter_epoch(Epoch(1), A);
    state.set_members(&members(&[(A, 1), (B, 1), (C, 1)]));
    state.create_index(&"articles".into(), 1, replicas).unwrap();
    state
}

fn table(state: &ClusterState) -> &ShardTable {
    assert_sound(state);
    state.shard(&shard()).unwrap()
}

fn on(state: &ClusterState, node: HostId) -> ShardCopy {
    table(state).on(node).cloned().unwrap()
}

fn id(state: &ClusterState, node: HostId) -> AllocationId {
    on(state, node).allocation.unwrap()
}

fn start(state: &mut ClusterState, node: HostId) -> bool {
    let (id, term) = (id(state, node), table(state).term);
    state.copy_started(&shard(), id, term, node)
}

/// A shard whose copies are started on these nodes, the primary on the first.
fn started(nodes: &[HostId]) -> ClusterState {
    let mut state = fresh(nodes.len() as u32 - 1);
    for (slot, node) in nodes.iter().enumerate() {
        state.assign(&shard(), slot, *node, None);
        assert!(start(&mut state, *node));
    }
    state
}

#[test]
fn routing_shards_is_the_largest_doubling_up_to_1024() {
    let cases = [(1, 1024), (2, 1024), (3, 768), (5, 640), (600, 600), (1024, 1024)];
    for (shards, expected) in cases {
        assert_eq!(routing_shards(shards), expected);
    }
}

#[test]
fn taken_name_is_refused() {
    let error = fresh(1).create_index(&"articles".into(), 1, 0).unwrap_err();
    assert_eq!((error.status, &*error.kind), (400, "resource_already_exists_exception"));
    assert!(error.certain);
}

#[test]
fn malformed_index_is_refused() {
    for name in ["", "Upper", "_x", "a b", "a/b", "a,b"] {
        let error = ClusterState::default().create_index(&name.into(), 1, 1).unwrap_err();
        assert_eq!(&*error.kind, "invalid_index_name_exception", "{name}");
    }
    for shards in [0, 1025, u32::MAX] {
        let error = ClusterState::default().create_index(&"a".into(), shards, 1).unwrap_err();
        assert_eq!((error.status, &*error.kind), (400, "illegal_argument_exception"));
    }
}

/// Elasticsearch's `cluster.max_shards_per_node`: 1000.
#[test]
fn more_copies_than_the_nodes_may_hold_are_refused() {
    let mut state = fresh(0);
    state.create_index(&"big".into(), 299, 9).unwrap();
    for (shards, replicas) in [(1, 9), (1, u32::MAX), (1024, u32::MAX)] {
        let error = state.create_index(&"more".into(), shards, replicas).unwrap_err();
        assert_eq!((error.status, &*error.kind), (400, "validation_exception"));
    }
    state.create_index(&"fits".into(), 1, 8).unwrap();
}

#[test]
fn allocation_ids_carry_the_epoch_and_are_counted_anew_in_each() {
    let mut state = fresh(1);
    state.assign(&shard(), 0, A, None);
    assert_eq!(id(&state, A), AllocationId(1 << 32));
    start(&mut state, A);
    state.enter_epoch(Epoch(2), B);
    state.assign(&shard(), 1, B, None);
    assert_eq!(id(&state, B), AllocationId(2 << 32));
}

/// "+1 whenever a primary is assigned/promoted"
#[test]
fn term_rises_when_a_primary_is_assigned_and_only_then() {
    let mut state = fresh(1);
    assert_eq!(table(&state).term, Term(0));
    state.assign(&shard(), 0, A, None);
    assert_eq!(table(&state).term, Term(1));
    start(&mut state, A);
    state.assign(&shard(), 1, B, None);
    assert_eq!(table(&state).term, Term(1));
}

/// "in-sync set grows when recovery finalises"
#[test]
fn copy_is_in_sync_when_it_has_started() {
    let mut state = started(&[A]);
    assert_eq!(table(&state).in_sync, [id(&state, A)].into());
    state = started(&[A, B]);
    assert_eq!(table(&state).in_sync, [id(&state, A), id(&state, B)].into());
}

#[test]
fn start_of_another_term_node_or_copy_is_moot() {
    let mut state = fresh(1);
    state.assign(&shard(), 0, A, None);
    let id = id(&state, A);
    assert!(!state.copy_started(&shard(), id, Term(0), A));
    assert!(!state.copy_started(&shard(), id, Term(2), A));
    assert!(!state.copy_started(&shard(), id, Term(1), B));
    assert!(!state.copy_started(&shard(), AllocationId(9), Term(1), A));
    assert!(!state.copy_started(&"other/0".parse().unwrap(), id, Term(1), A));
    assert!(state.copy_started(&shard(), id, Term(1), A));
    assert!(!state.copy_started(&shard(), id, Term(1), A), "it has started already");
}

/// "an active in-sync replica is promoted, term+1" and "routing entries of the node failed in same update"
#[test]
fn lost_primary_is_replaced_in_the_same_update() {
    let mut state = started(&[A, B]);
    let lost = id(&state, A);
    state.set_members(&members(&[(B, 1), (C, 1)]));
    assert!(on(&state, B).primary);
    assert_eq!(table(&state).term, Term(2));
    let waiting = table(&state).copy(lost).unwrap();
    assert_eq!((waiting.state, waiting.node, waiting.primary), (CopyState::Unassigned, None, false));
}

/// Elasticsearch #20023: "a copy becomes stale only when a write happens without it, not on node leave"
#[test]
fn copy_of_a_node_that_left_stays_in_sync() {
    let mut state = started(&[A, B]);
    let (lost, stays) = (id(&state, A), id(&state, B));
    state.set_members(&members(&[(B, 1)]));
    assert_eq!(table(&state).in_sync, [lost, stays].into());
}

#[test]
fn copy_that_a_write_went_without_is_stale_but_keeps_its_data() {
    let mut state = started(&[A, B]);
    let (lost, stays) = (id(&state, B), id(&state, A));
    state.set_members(&members(&[(A, 1)]));
    assert!(state.copy_failed(&shard(), lost, Term(1), A, "broken"));
    assert_eq!(table(&state).in_sync, [stays].into());
    assert!(table(&state).copy(lost).is_some(), "it recovers by operations when its node returns");
    assert_eq!(state.homes[&lost], B);
}

#[test]
fn restarted_node_has_lost_its_copies() {
    let mut state = started(&[A, B]);
    let why = state.set_members(&members(&[(A, 2), (B, 1), (C, 1)]));
    assert_eq!(why, ["search-1 left", "search-1 joined"]);
    assert!(on(&state, B).primary);
    assert!(table(&state).on(A).is_none());
}

#[test]
fn all_copies_lost_at_once_leave_no_primary_and_both_in_sync() {
    let mut state = started(&[A, B]);
    state.set_members(&members(&[(C, 1)]));
    let table = table(&state);
    assert!(table.primary().is_none());
    assert_eq!((table.in_sync.len(), table.term), (2, Term(1)), "nobody was promoted on the way");
    assert!(table.copies[0].primary, "the last primary is still meant to be it");
}

/// B6: "newer copy then overwritten by recovery", B7: "out-of-date replicas back first lead", D3.
#[test]
fn nothing_but_an_in_sync_copy_is_promoted() {
    let mut state = started(&[A, B, C]);
    let stale = id(&state, B);
    assert!(state.copy_failed(&shard(), stale, Term(1), A, "broken"));
    let slot = table(&state).copies.iter().position(|copy| copy.node.is_none()).unwrap();
    state.assign(&shard(), slot, B, None);
    state.set_members(&members(&[(B, 1)]));
    assert!(table(&state).primary().is_none(), "what is being built on B lacks writes");
}

/// "all initializing copies of that group are failed first"
#[test]
fn initializing_copies_are_failed_when_their_primary_goes() {
    let mut state = started(&[A, B]);
    state.indices.get_mut(&"articles".into()).unwrap().replicas = 2;
    state.indices.get_mut(&"articles".into()).unwrap().shards[0].copies.push(ShardCopy::unassigned(false));
    state.assign(&shard(), 2, C, None);
    let built = id(&state, C);
    state.set_members(&members(&[(B, 1), (C, 1)]));
    assert!(table(&state).on(C).is_none());
    assert!(table(&state).copy(built).is_none(), "it is built anew, under another identity");
    assert!(!state.copy_started(&shard(), built, Term(1), C), "its report comes too late");
}

#[test]
fn failed_replica_leaves_the_in_sync_set_and_its_identity_behind() {
    let mut state = started(&[A, B]);
    let (failed, stays) = (id(&state, B), id(&state, A));
    assert!(state.copy_failed(&shard(), failed, Term(1), A, "broken"));
    assert_eq!(table(&state).in_sync, [stays].into());
    let copy = table(&state).copies.iter().find(|copy| copy.node.is_none()).unwrap();
    assert_eq!((copy.allocation, copy.failures), (None, 1));
}

/// "the controller refuses a report of an older term (the reporter is deposed)"; B5: "a leader that lost its session
/// marks the real leader down", D11.
#[test]
fn deposed_primary_fails_nobody() {
    let mut state = started(&[A, B, C]);
    let target = id(&state, C);
    state.set_members(&members(&[(A, 2), (B, 1), (C, 1)]));
    assert_eq!(table(&state).term, Term(2));
    assert!(!state.copy_failed(&shard(), target, Term(1), A, "broken"));
    assert!(
        !state.copy_failed(&shard(), target, Term(1), B, "broken"),
        "nor does its successor under the old term"
    );
    assert!(!state.copy_failed(&shard(), target, Term(2), A, "broken"));
    assert!(state.copy_failed(&shard(), target, Term(2), B, "broken"));
}

#[test]
fn node_may_give_up_its_own_replica_in_any_term() {
    let mut state = started(&[A, B]);
    let own = id(&state, B);
    assert!(!state.copy_failed(&shard(), own, Term(0), C, "broken"));
    assert!(state.copy_failed(&shard(), own, Term(0), B, "broken"));
}

#[test]
fn failed_primary_hands_over_and_is_stale() {
    let mut state = started(&[A, B]);
    let (failed, heir) = (id(&state, A), id(&state, B));
    assert!(state.copy_failed(&shard(), failed, Term(1), A, "broken"));
    assert!(on(&state, B).primary);
    assert_eq!((table(&state).term, &table(&state).in_sync), (Term(2), &[heir].into()));
}

#[test]
fn last_copy_stays_in_sync_though_it_failed() {
    let mut state = started(&[A]);
    let only = id(&state, A);
    assert!(state.copy_failed(&shard(), only, Term(1), A, "broken"));
    assert_eq!(table(&state).in_sync, [only].into());
    assert_eq!(table(&state).copy(only).map(|copy| copy.failures), Some(1));
}

#[test]
fn returning_copy_keeps_its_identity() {
    let mut state = started(&[A, B]);
    let back = id(&state, B);
    state.set_members(&members(&[(A, 1)]));
    state.set_members(&members(&[(A, 1), (B, 2)]));
    let slot = table(&state).slot(back).unwrap();
    state.assign(&shard(), slot, B, Some(back));
    assert_eq!(on(&state, B).state, CopyState::Initializing);
    assert!(start(&mut state, B));
    assert_eq!(id(&state, B), back);
}

#[test]
fn chosen_primary_may_come_from_the_in_sync_set_alone() {
    let mut state = started(&[A, B]);
    let (gone, stays) = (id(&state, B), id(&state, A));
    state.set_members(&members(&[(A, 1), (C, 1)]));
    let slot = table(&state).slot(gone).unwrap();
    state.assign(&shard(), slot, C, None);
    assert!(table(&state).knows(gone), "in sync, though no copy of the table");
    state.set_members(&members(&[(B, 2), (C, 1)]));
    let slot = state.choose_primary(&shard(), gone);
    state.assign(&shard(), slot, B, Some(gone));
    assert!(on(&state, B).primary);
    assert_eq!(table(&state).term, Term(2));
    assert!(table(&state).knows(stays));
}

#[test]
fn target_takes_the_place_of_its_source_in_the_same_term() {
    let mut state = started(&[A, B]);
    let source = id(&state, A);
    let target = state.relocate(&shard(), source, C);
    assert_eq!(on(&state, A).state, CopyState::Relocating);
    assert_eq!(on(&state, C).relocating, Some(source));
    assert!(!table(&state).in_sync.contains(&target));
    assert!(start(&mut state, C));
    assert!(table(&state).on(A).is_none());
    assert!(on(&state, C).primary);
    assert_eq!(table(&state).term, Term(1));
    assert_eq!(table(&state).in_sync, [target, id(&state, B)].into());
    assert!(!table(&state).knows(source));
    assert!(!state.homes.contains_key(&source));
}

#[test]
fn lost_target_leaves_its_source_as_it_was() {
    let mut state = started(&[A, B]);
    let source = id(&state, B);
    state.relocate(&shard(), source, C);
    state.set_members(&members(&[(A, 1), (B, 1)]));
    assert_eq!((on(&state, B).state, on(&state, B).relocating), (CopyState::Started, None));
}

#[test]
fn failed_target_counts_against_its_source() {
    let mut state = started(&[A, B]);
    let source = id(&state, B);
    let target = state.relocate(&shard(), source, C);
    assert!(state.copy_failed(&shard(), target, Term(1), C, "broken"));
    assert_eq!(on(&state, B).failures, 1);
}

/// `MaxRetryAllocationDecider` asks of failed allocations first, and of failed moves only where there are none.
#[test]
fn failed_moves_do_not_count_once_the_copy_itself_has_failed() {
    let mut state = started(&[A, B]);
    let source = id(&state, B);
    for failures in 1..=4 {
        let target = state.relocate(&shard(), source, C);
        assert!(state.copy_failed(&shard(), target, Term(1), C, "broken"));
        assert_eq!(on(&state, B).failures, failures);
    }
    assert!(state.copy_failed(&shard(), source, Term(1), A, "broken"));
    let lost = table(&state).copies.iter().find(|copy| copy.node.is_none());
    assert_eq!(lost.map(|copy| copy.failures), Some(1));
}

#[test]
fn lost_source_takes_its_target_along() {
    let mut state = started(&[A, B]);
    let source = id(&state, B);
    state.relocate(&shard(), source, C);
    state.set_members(&members(&[(A, 1), (C, 1)]));
    assert!(table(&state).on(C).is_none());
    assert_eq!(table(&state).copy(source).map(|copy| copy.state), Some(CopyState::Unassigned));
}

#[test]
fn relocating_replica_can_be_promoted() {
    let mut state = started(&[A, B]);
    let source = id(&state, B);
    state.relocate(&shard(), source, C);
    state.set_members(&members(&[(B, 1), (C, 1)]));
    assert_eq!((on(&state, B).state, on(&state, B).primary), (CopyState::Started, true));
    assert!(table(&state).on(C).is_none());
}

/// Elasticsearch #21976: "trimmed only when it grows"
#[test]
fn in_sync_set_is_trimmed_of_absent_copies_when_it_grows() {
    let mut state = started(&[A, B]);
    let gone = id(&state, B);
    state.set_members(&members(&[(A, 1), (C, 1)]));
    assert!(table(&state).in_sync.contains(&gone));
    let slot = table(&state).slot(gone).unwrap();
    state.assign(&shard(), slot, C, None);
    start(&mut state, C);
    assert_eq!(table(&state).in_sync, [id(&state, A), id(&state, C)].into());
}

#[test]
fn success_ends_the_row_of_failures() {
    let mut state = started(&[A, B]);
    let failed = id(&state, B);
    state.copy_failed(&shard(), failed, Term(1), A, "broken");
    state.assign(&shard(), 1, B, None);
    start(&mut state, B);
    assert_eq!(on(&state, B).failures, 0);
}

#[test]
fn departure_ends_the_row_of_failures() {
    let mut state = started(&[A, B]);
    let failed = id(&state, B);
    state.copy_failed(&shard(), failed, Term(1), A, "broken");
    state.assign(&shard(), 1, B, None);
    assert_eq!(on(&state, B).failures, 1);
    state.set_members(&members(&[(A, 1), (C, 1)]));
    assert!(table(&state).copies.iter().all(|copy| copy.failures == 0));
}
