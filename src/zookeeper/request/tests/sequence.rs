//! Tests of sequential names: which counter a node gets.

use super::*;
use crate::zookeeper::request::preparation;

/// The recording `seq_counter_is_creates_only` of a 3.8.0 server.
#[test]
fn counter_is_the_number_of_creates_and_never_falls() {
    let mut leader = leader_with(&["/p"]);
    let mut sequential = |path, mode| leader.made(path, mode).unwrap();
    assert_eq!(sequential("/p/s-", PersistentSequential), "/p/s-0000000000");
    assert_eq!(sequential("/p/s-", PersistentSequential), "/p/s-0000000001");
    leader.write(A, &delete("/p/s-0000000000", -1)).unwrap();
    assert_eq!(leader.stat("/p").cversion, 3);
    assert_eq!(leader.made("/p/s-", PersistentSequential).unwrap(), "/p/s-0000000002");
    leader.made("/p/plain", Persistent).unwrap();
    assert_eq!(leader.made("/p/s-", PersistentSequential).unwrap(), "/p/s-0000000004");
    leader.write(A, &delete("/p/plain", -1)).unwrap();
    leader.made("/p/plain", Persistent).unwrap();
    assert_eq!(leader.made("/p/t", EphemeralSequential).unwrap(), "/p/t0000000006");
    let stat = leader.stat("/p");
    assert_eq!((stat.cversion, stat.num_children, stat.pzxid), (9, 5, leader.db.last_processed()));
}

/// "a collision with an existing name gives NodeExists and the same number again next time"
#[test]
fn collision_uses_up_no_number() {
    let mut leader = leader_with(&["/p", "/p/n0000000001"]);
    assert_eq!(leader.made("/p/n", PersistentSequential), Err(ZkError::NodeExists));
    assert_eq!(leader.made("/p/n", PersistentSequential), Err(ZkError::NodeExists));
    leader.made("/p/other", Persistent).unwrap();
    assert_eq!(leader.made("/p/n", PersistentSequential).unwrap(), "/p/n0000000002");
}

#[test]
fn counter_starts_again_with_a_new_parent() {
    let mut leader = leader_with(&["/p", "/p/k"]);
    leader.write(A, &delete("/p/k", -1)).unwrap();
    leader.write(A, &delete("/p", -1)).unwrap();
    leader.made("/p", Persistent).unwrap();
    assert_eq!(leader.made("/p/s", PersistentSequential).unwrap(), "/p/s0000000000");
}

#[test]
fn outstanding_creates_count() {
    let mut leader = leader_with(&["/p"]);
    leader.propose(A, &create("/p/s", PersistentSequential));
    leader.propose(A, &create("/p/k/", Persistent));
    let Txn::Create { path, parent_cversion, .. } = leader.propose(B, &create("/p/s", PersistentSequential))
    else {
        panic!("a sequential create under an existing parent succeeds")
    };
    assert_eq!((path.as_str(), parent_cversion), ("/p/s0000000001", 2));
}

#[test]
fn trailing_slash_is_filled_by_the_counter() {
    let mut leader = leader_with(&["/p"]);
    assert_eq!(leader.made("/p/", PersistentSequential).unwrap(), "/p/0000000000");
}

/// "beyond 2147483647 it turns negative"
#[test]
fn counter_has_ten_digits_and_turns_negative() {
    assert_eq!(preparation::full_name("/s", PersistentSequential, i32::MAX), "/s2147483647");
    assert_eq!(preparation::full_name("/s", PersistentSequential, -1), "/s-000000001");
}
