//! Tests of sessions at the preparation: who may write, and what a close takes along.

use super::*;

#[test]
fn session_comes_before_every_other_check() {
    let mut leader = Leader::new();
    leader.sessions.claim(A, 4_000, ZK_2, Instant::default());
    for op in [create("bad", Persistent), delete("bad", -1), set("bad", -1), check("bad", -1)] {
        assert_eq!(leader.write(A, &op), Err(ZkError::SessionMoved));
        assert_eq!(leader.write(SessionId(0xdead), &op), Err(ZkError::SessionExpired));
    }
}

/// ZOOKEEPER-1208: "later writes get SessionExpired, so no ephemeral can come after it"
#[test]
fn write_after_the_closing_mark_is_refused() {
    let mut leader = Leader::new();
    leader.propose(A, &Op::CloseSession);
    assert_eq!(leader.propose(A, &create("/e", Ephemeral)), Txn::Error(ZkError::SessionExpired));
    assert_ne!(leader.propose(B, &create("/e", Ephemeral)), Txn::Error(ZkError::SessionExpired));
}

/// "committed ephemerals plus pending creates minus pending deletes; all with one zxid"
#[test]
fn close_lists_committed_and_outstanding_ephemerals() {
    let mut leader = Leader::new();
    for path in ["/deleted", "/kept", "/taken"] {
        leader.made(path, Ephemeral).unwrap();
    }
    leader.propose(A, &create("/pending", Ephemeral));
    leader.propose(B, &delete("/deleted", -1));
    leader.propose(B, &delete("/taken", -1));
    leader.propose(B, &create("/taken", Ephemeral));
    leader.propose(B, &create("/brief", Persistent));
    let paths = ["/kept", "/pending"].map(str::to_owned).into();
    assert_eq!(leader.propose(A, &Op::CloseSession), Txn::CloseSession { paths });
    leader.apply_all();
    let left = leader.db.ephemerals();
    assert_eq!(left.iter().map(|node| node.path.as_str()).collect::<Vec<_>>(), ["/taken"]);
    assert!(!leader.db.sessions().contains_key(&A) && leader.db.sessions().contains_key(&B));
}

#[test]
fn nodes_of_a_closing_session_are_gone_for_later_writes() {
    let mut leader = Leader::new();
    leader.made("/e", Ephemeral).unwrap();
    leader.propose(A, &Op::CloseSession);
    assert_eq!(leader.propose(B, &set("/e", -1)), Txn::Error(ZkError::NoNode));
    leader.propose(B, &create("/e", Ephemeral));
    leader.apply_all();
    assert_eq!(leader.stat("/e").ephemeral_owner, B);
}

/// ZooKeeper does not lower the parent's count before the closeSession is applied.
#[test]
fn parent_of_a_closing_sessions_node_is_not_empty_until_the_close_is_applied() {
    let mut leader = leader_with(&["/p"]);
    leader.made("/p/e", Ephemeral).unwrap();
    leader.propose(A, &Op::CloseSession);
    assert_eq!(leader.propose(B, &delete("/p", -1)), Txn::Error(ZkError::NotEmpty));
    leader.apply_all();
    assert_eq!(leader.write(B, &delete("/p", -1)), Ok(Reply::Done));
}

#[test]
fn expired_session_is_closed_without_its_owner() {
    let mut leader = Leader::new();
    leader.made("/e", Ephemeral).unwrap();
    leader.sessions.claim(A, 4_000, ZK_2, Instant::default());
    let far = Instant(u64::MAX);
    assert_eq!(leader.sessions.expire(far), [A, B]);
    assert_eq!(leader.write(A, &Op::CloseSession), Ok(Reply::Done));
    assert_eq!(leader.db.ephemerals(), []);
}

#[test]
fn lost_leadership_forgets_what_was_outstanding() {
    let mut leader = Leader::new();
    leader.propose(A, &create("/a", Persistent));
    leader.preparer.clear();
    leader.proposed.clear();
    assert_eq!(leader.write(A, &delete("/a", -1)), Err(ZkError::NoNode));
}

/// A follower's client is told by its own server (`QuorumZooKeeperServer.checkUpgradeSession`); in a multi
/// it gets what the leader says: "in a multi that failure shows as SessionExpired (obs)".
#[test]
fn ephemeral_of_a_local_session_fails_by_whose_client_asks() {
    let mut leader = Leader::new();
    let theirs = SessionId(2 << 56);
    for (me, error) in [(ZK_1, ZkError::EphemeralOnLocalSession), (ZK_2, ZkError::SessionExpired)] {
        leader.sessions =
            SessionTracker::new(2_000, &BTreeMap::new(), Instant::default()).with_local_sessions(me);
        let ops = vec![create("/e", Ephemeral)];
        let expected = vec![Err(error)];
        assert_eq!(leader.write(theirs, &Op::Multi(ops)), Ok(Reply::Multi(expected)));
        assert!(leader.made("/p", PersistentSequential).is_ok(), "{me}");
    }
}
