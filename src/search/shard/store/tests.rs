//! Tests of the store.

use super::*;
use crate::name::HostId;

fn shard() -> ShardId {
    ShardId { index: "i".into(), number: 0 }
}

fn operation(seq_no: i64, term: u64, id: &str) -> Arc<Operation> {
    let source = format!(r#"{{"of":"{seq_no} in {term}"}}"#).into();
    let action = Action::Index { id: id.into(), source, routing: None };
    Arc::new(Operation { seq_no: SeqNo(seq_no), term: Term(term), version: 1, action })
}

fn filled(numbers: impl IntoIterator<Item = i64>) -> Store {
    let mut store = Store::create(&shard(), AllocationId(1)).unwrap();
    for number in numbers {
        store.take(&operation(number, 1, &number.to_string())).unwrap();
    }
    store
}

fn committed(mut store: Store) -> Store {
    store.prepare_commit().unwrap();
    store.engine.begin_publish();
    store.engine.name_commit();
    store.engine.published();
    store.cut_translog();
    store.drop_old_translog();
    store
}

fn ids(store: &Store) -> Vec<String> {
    store.held().into_iter().map(|doc| doc.id).collect()
}

/// D26: "never above a copy's local checkpoint".
#[test]
fn global_checkpoint_stays_at_or_below_the_local_one() {
    let mut store = filled([0, 1, 3]);
    store.learn_global_checkpoint(SeqNo(3), false);
    assert_eq!((store.local_checkpoint(), store.global_checkpoint()), (SeqNo(1), SeqNo(1)));
    store.learn_global_checkpoint(SeqNo(3), true);
    assert_eq!(store.global_checkpoint(), SeqNo(1), "number 2 is not here, in sync or not");
    store.take(&operation(2, 1, "2")).unwrap();
    store.learn_global_checkpoint(SeqNo(3), false);
    assert_eq!(store.global_checkpoint(), SeqNo(3));
}

/// An in-sync copy that doubts what it has need not be sent again what is on all in-sync copies.
#[test]
fn doubt_ends_at_the_global_checkpoint_of_the_new_primary() {
    let mut store = filled(0..6);
    store.learn_global_checkpoint(SeqNo(1), true);
    store.doubt();
    assert_eq!(store.local_checkpoint(), SeqNo(1));
    store.learn_global_checkpoint(SeqNo(3), true);
    assert_eq!((store.local_checkpoint(), store.global_checkpoint()), (SeqNo(3), SeqNo(3)));
    assert_eq!(store.trim_unconfirmed().unwrap().len(), 2);
    assert_eq!((ids(&store).len(), store.max_seq_no()), (4, SeqNo(3)));
}

#[test]
fn superseded_operation_leaves_no_trace() {
    let mut store = filled([0]);
    store.take(&operation(1, 1, "0")).unwrap();
    assert_eq!(store.take(&operation(1, 2, "other")).unwrap(), Taken::Superseding);
    assert_eq!(store.engine.get("0").unwrap().unwrap().seq_no, SeqNo(0), "as before number 1");
    assert_eq!(ids(&store), ["0", "other"]);
    assert_eq!(store.take(&operation(1, 2, "other")).unwrap(), Taken::Known);
}

/// What a crash would bring back under a number is not what is there now: nobody may be told that it is durable.
#[test]
fn number_that_was_voided_or_superseded_is_not_durable_any_more() {
    let synced = || {
        let mut store = filled(0..6);
        store.learn_global_checkpoint(SeqNo(1), true);
        store.sync_begins();
        assert_eq!((store.sync_ended(), store.persisted_checkpoint()), (SeqNo(5), SeqNo(5)));
        store
    };
    for is_under_way in [false, true] {
        let mut superseded = synced();
        let mut voided = synced();
        voided.doubt();
        voided.learn_global_checkpoint(SeqNo(3), true);
        for store in [&mut superseded, &mut voided] {
            if is_under_way {
                store.confirm_all();
                store.sync_begins();
            }
        }
        superseded.take(&operation(4, 2, "4")).unwrap();
        voided.doubt();
        voided.learn_global_checkpoint(SeqNo(3), true);
        voided.trim_unconfirmed().unwrap();
        voided.take(&operation(4, 2, "4")).unwrap();
        for mut store in [superseded, voided] {
            if is_under_way {
                assert_eq!(store.sync_ended(), SeqNo(3));
            }
            assert_eq!(store.persisted_checkpoint(), SeqNo(3));
            store.sync_begins();
            store.sync_ended();
            assert!(store.persisted_checkpoint() >= SeqNo(4));
        }
    }
}

#[test]
fn commit_waits_for_missing_and_doubtful_operations() {
    let mut store = filled([0, 2]);
    store.prepare_commit().unwrap();
    assert!(store.engine.candidate().is_none(), "number 1 is missing");
    store.take(&operation(1, 1, "1")).unwrap();
    store.doubt();
    store.prepare_commit().unwrap();
    assert!(store.engine.candidate().is_none(), "all is in doubt");
    store.confirm_all();
    store.prepare_commit().unwrap();
    assert_eq!(store.engine.candidate().unwrap().max_seq_no, SeqNo(2));
}

/// If the primary dies before it has sent the rest, this copy may be the only one that is in sync.
#[test]
fn files_of_the_primary_do_not_displace_what_is_above_them() {
    let primary = committed(filled(0..4));
    let target = filled(0..7);
    let mut installed = target.install(&primary.engine.snapshot()).unwrap();
    installed.confirm_all();
    assert_eq!((installed.max_seq_no(), ids(&installed).len()), (SeqNo(6), 7));
    assert_eq!(installed.committed(), SeqNo(3));
    let kept = installed.operations_from(SeqNo(4)).unwrap();
    assert_eq!(kept.len(), 3);
    assert!(installed.operations_from(SeqNo(3)).is_none(), "in the files, not in the history");
}

#[test]
fn history_keeps_what_leases_and_recoveries_need() {
    let mut store = committed(filled(0..20));
    store.prune_history(SeqNo(3));
    assert!(store.operations_from(SeqNo(3)).is_none());
    assert!(store.operations_from(SeqNo(4)).is_some(), "above number 3 it is needed");
    store.leases.put(HostId::search(2), SeqNo(10), 0);
    store.prune_history(SeqNo(i64::MAX));
    assert!(store.operations_from(SeqNo(9)).is_none());
    assert!(store.operations_from(SeqNo(10)).is_some(), "a lease keeps it");
    store.leases.drop_node(HostId::search(2));
    store.prune_history(SeqNo(i64::MAX));
    assert!(store.operations_from(SeqNo(19)).is_none(), "all of it is in the commit");
}

#[test]
fn former_life_as_primary_of_a_term_is_not_repeated() {
    let mut store = filled([]);
    assert!(store.mark_primary(Term(3)) && store.mark_primary(Term(3)), "the same life may");
    let mut disk = Files::new();
    for op in store.drain() {
        if let DiskOp::Append { file, bytes } | DiskOp::Replace { file, bytes } = op {
            disk.insert(file, bytes);
        }
    }
    let mut reopened = Store::open(&shard(), AllocationId(1), &disk).unwrap().unwrap();
    assert_eq!(reopened.known_term(), Term(3));
    assert!(!reopened.mark_primary(Term(3)) && reopened.mark_primary(Term(4)));
}
