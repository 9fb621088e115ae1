//! Deletes: how long they are remembered, and what overtakes them.

use std::time::Duration;

use super::harness::{A, B, Cluster, config, index};
use crate::{
    defect::Defect,
    search::{
        api::VersionType,
        shards::{Condition, ShardRefusal, ShardsConfig, WriteCall},
    },
};

fn external(version: u64, call: WriteCall) -> WriteCall {
    WriteCall { condition: Condition::Version(version, VersionType::External), ..call }
}

fn status(cluster: &mut Cluster, call: WriteCall) -> u16 {
    let token = cluster.write(A, call);
    cluster.run();
    match cluster.written.remove(&token).unwrap() {
        Ok(_) => 200,
        Err(ShardRefusal::Error(error)) => error.status,
        Err(other) => panic!("{other:?}"),
    }
}

/// "external (>) … → 409": a delete counts with its version for `index.gc_deletes`.
#[test]
fn deleted_document_keeps_its_version_for_a_while() {
    let mut cluster = Cluster::with_copies(2, config());
    assert_eq!(status(&mut cluster, external(5, index("1", "a"))), 200);
    assert_eq!(status(&mut cluster, external(5, index("1", "a"))), 409);
    assert_eq!(status(&mut cluster, external(7, WriteCall::delete("1"))), 200);
    cluster.pass(Duration::from_secs(40));
    assert_eq!(status(&mut cluster, external(6, index("1", "late"))), 409);
    cluster.pass(Duration::from_secs(40));
    cluster.search(A);
    assert_eq!(status(&mut cluster, external(6, index("1", "late"))), 200);
    cluster.assert_copies_equal(&[A, B]);
}

#[test]
fn copies_forget_tombstones_that_are_due() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.write(A, index("1", "a"));
    cluster.write(A, WriteCall::delete("1"));
    cluster.run();
    let held = |cluster: &mut Cluster| [A, B].map(|host| cluster.inspect(host).unwrap().0.len());
    assert_eq!(held(&mut cluster), [1, 1]);
    cluster.pass(Duration::from_secs(61));
    held(&mut cluster);
    cluster.pass(Duration::from_secs(20));
    held(&mut cluster);
    assert_eq!(held(&mut cluster), [0, 0]);
}

fn reordering(defect: Option<Defect>) -> Cluster {
    let mut config: ShardsConfig = config();
    config.search.write_threads = 2;
    config.defects.0.extend(defect);
    let mut cluster = Cluster::with_copies(2, config);
    for n in 0..40 {
        let id = n.to_string();
        cluster.write(A, index(&id, "a"));
        cluster.write(A, WriteCall::delete(id));
        cluster.run();
        cluster.pass(Duration::from_millis(10));
    }
    cluster
}

/// D14: "out-of-order index/delete".
#[test]
fn operations_that_overtake_each_other_leave_copies_equal() {
    let mut cluster = reordering(None);
    cluster.assert_copies_equal(&[A, B]);
    let (docs, found) = cluster.inspect(B).unwrap();
    assert!(docs.iter().all(|doc| doc.source.is_none()) && found.is_empty());
}

#[test]
fn tombstone_that_is_dropped_at_once_lets_a_late_operation_bring_its_document_back() {
    let mut cluster = reordering(Some(Defect::DropsTombstonesAtOnce));
    let (docs, _) = cluster.inspect(B).unwrap();
    assert!(docs.iter().any(|doc| doc.source.is_some()));
}
