//! Tests of multi: all or nothing, and what is rolled back.

use super::*;

fn results(reply: Result<Reply, ZkError>) -> Vec<Result<Reply, ZkError>> {
    match reply {
        Ok(Reply::Multi(results)) => results,
        other => panic!("a multi answers with results, not {other:?}"),
    }
}

/// The recording `multi_fail_middle` of a 3.8.0 server.
#[test]
fn first_failure_names_itself_and_voids_the_rest() {
    let mut leader = leader_with(&["/r", "/r/x"]);
    let before = leader.db.inspect();
    let zxid = leader.db.last_processed();
    let ops = [
        create("/r/a", Persistent),
        create("/r/b", Persistent),
        delete("/r/nope", -1),
        create("/r/c", Persistent),
        check("/r/nope", -1),
    ];
    let expected = [
        Ok(Reply::Done),
        Ok(Reply::Done),
        Err(ZkError::NoNode),
        Err(ZkError::RuntimeInconsistency),
        Err(ZkError::RuntimeInconsistency),
    ];
    assert_eq!(results(leader.write(A, &Op::Multi(ops.into()))), expected);
    assert_eq!(leader.db.inspect(), before);
    assert_eq!(leader.db.last_processed().0, zxid.0 + 1, "one zxid is used up");
}

#[test]
fn operations_see_what_those_before_them_do() {
    let mut leader = leader_with(&["/x"]);
    let ops = [
        create("/x/k", Persistent),
        delete("/x/k", -1),
        set("/x", 0),
        check("/x", 1),
        delete("/x", 1),
        create("/x", Ephemeral),
    ];
    assert!(results(leader.write(A, &Op::Multi(ops.into()))).iter().all(Result::is_ok));
    assert_eq!(leader.stat("/x").ephemeral_owner, A);
    let twice = [delete("/x", -1), delete("/x", -1)];
    let expected = [Ok(Reply::Done), Err(ZkError::NoNode)];
    assert_eq!(results(leader.write(A, &Op::Multi(twice.into()))), expected);
}

#[test]
fn all_operations_share_one_zxid() {
    let mut leader = leader_with(&["/a"]);
    let ops = [create("/b", Persistent), set("/a", -1), create("/a/k", Persistent)];
    leader.write(A, &Op::Multi(ops.into())).unwrap();
    let zxid = leader.db.last_processed();
    assert_eq!([leader.stat("/b").czxid, leader.stat("/a").mzxid, leader.stat("/a").pzxid], [zxid; 3]);
}

#[test]
fn empty_multi_succeeds_with_a_zxid() {
    let mut leader = Leader::new();
    let zxid = leader.db.last_processed();
    assert_eq!(results(leader.write(A, &Op::Multi(vec![]))), []);
    assert_eq!(leader.db.last_processed().0, zxid.0 + 1);
}

/// "an op that is not create*/delete*/setData/check -> MarshallingError for the whole"
#[test]
fn operation_that_may_not_be_inside_spoils_the_whole() {
    let mut leader = leader_with(&["/n"]);
    for inner in [get("/n"), Op::Multi(vec![]), Op::Ping, Op::CloseSession, Op::Sync { path: "/".into() }] {
        let ops = vec![create("/a", Persistent), inner];
        assert_eq!(leader.write(A, &Op::Multi(ops)), Err(ZkError::MarshallingError));
        assert_eq!(leader.db.node("/a"), None);
    }
}

/// The recording `multi_seq` of a 3.8.0 server: "multi rolls back sequence counters".
#[test]
fn failed_multi_rolls_back_the_counter() {
    let mut leader = leader_with(&["/p"]);
    let sequential = create("/p/s", PersistentSequential);
    let ops = vec![sequential.clone(), sequential.clone(), create("/p/t", EphemeralSequential)];
    leader.write(A, &Op::Multi(ops)).unwrap();
    let ops = vec![sequential.clone(), sequential.clone(), delete("/nope", -1)];
    leader.propose(A, &Op::Multi(ops));
    leader.propose(A, &sequential);
    leader.apply_all();
    let children: Vec<_> = leader.db.children("/p").collect();
    assert_eq!(children, ["s0000000000", "s0000000001", "s0000000003", "t0000000002"]);
}

/// ZOOKEEPER-1624: what earlier, still outstanding writes did to the parent shows again.
#[test]
fn failed_multi_restores_outstanding_changes_of_the_parent() {
    let mut leader = leader_with(&["/p"]);
    let sequential = create("/p/s", PersistentSequential);
    leader.propose(A, &sequential);
    leader.propose(A, &Op::Multi(vec![sequential.clone(), check("/nope", -1)]));
    let Txn::Create { path, .. } = leader.propose(A, &sequential) else {
        panic!("a sequential create under an existing parent succeeds")
    };
    assert_eq!(path, "/p/s0000000001");
}

#[test]
fn moved_session_inside_is_told_apart() {
    let mut leader = Leader::new();
    leader.sessions.claim(A, 4_000, ZK_2, Instant::default());
    leader.propose(A, &Op::Multi(vec![create("/a", Persistent)]));
    let applied = leader.apply_all().unwrap();
    assert!(applied.session_moved());
    assert_eq!(results(applied.result), [Err(ZkError::SessionMoved)]);
}
