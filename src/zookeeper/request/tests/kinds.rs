//! Tests of the kinds of nodes: containers, TTL nodes, and what a mode needs.

use super::*;
use crate::zookeeper::txn::Lifetime;

fn ttl(path: &str, ttl_ms: i64) -> Op {
    create(path, CreateMode::PersistentTtl { ttl_ms })
}

fn extended() -> Leader {
    let mut leader = Leader::new();
    leader.config.extended_types = true;
    leader
}

fn reap(path: &str) -> Op {
    Op::DeleteContainer { path: path.into() }
}

/// The recording `ttl_limits` of a 3.8.0 server.
#[test]
fn ttl_is_one_millisecond_to_forty_bits() {
    let mut leader = extended();
    for bad in [0, -1, i64::MIN, 1 << 40] {
        assert_eq!(leader.write(A, &ttl("/t", bad)), Err(ZkError::BadArguments), "{bad}");
    }
    for (path, good) in [("/a", 1), ("/b", (1 << 40) - 1)] {
        leader.write(A, &ttl(path, good)).unwrap();
        assert_eq!(leader.db.node(path).unwrap().lifetime, Lifetime::Ttl { ms: good as u64 });
        assert_eq!(leader.stat(path).ephemeral_owner, SessionId::NONE);
    }
    let sequential = CreateMode::PersistentSequentialTtl { ttl_ms: 5 };
    assert_eq!(leader.made("/s", sequential), Ok("/s0000000002".into()));
}

/// The recording `container_and_ttl_need_flag` of a 3.8.0 server: the mode is judged first of all.
#[test]
fn ttl_without_extended_types_is_unimplemented_before_anything_else() {
    let mut leader = Leader::new();
    for (path, ttl_ms) in [("/t", 1_000), ("/t", 0), ("/nope/t", 1_000), ("bad", 1_000)] {
        assert_eq!(leader.write(A, &ttl(path, ttl_ms)), Err(ZkError::Unimplemented), "{path}");
    }
    let unknown = SessionId(0xdead);
    assert_eq!(leader.write(unknown, &ttl("/t", 1_000)), Err(ZkError::Unimplemented));
    assert_eq!(leader.write(unknown, &create("/c", CreateMode::Container)), Err(ZkError::SessionExpired));
}

#[test]
fn containers_and_ttl_nodes_may_have_children_of_all_kinds() {
    let mut leader = extended();
    leader.made("/c", CreateMode::Container).unwrap();
    leader.write(A, &ttl("/t", 5)).unwrap();
    for path in ["/c/k", "/c/e", "/t/k"] {
        let mode = if path == "/c/e" { Ephemeral } else { Persistent };
        leader.made(path, mode).unwrap();
    }
    assert_eq!(leader.made("/c/s", CreateMode::ContainerSequential), Ok("/c/s0000000002".into()));
    let containers: Vec<_> = leader.db.containers().map(|path| &**path).collect();
    assert_eq!(containers, ["/c", "/c/s0000000002"]);
    assert_eq!(leader.db.ttls().map(|path| &**path).collect::<Vec<_>>(), ["/t"]);
}

/// The recording `container_delete_by_client` of a 3.8.0 server: "sent by a client it is always
/// BadArguments".
#[test]
fn client_may_not_ask_for_the_delete_of_a_container() {
    let mut leader = Leader::new();
    leader.made("/c", CreateMode::Container).unwrap();
    assert_eq!(leader.write(A, &reap("/c")), Err(ZkError::BadArguments));
    assert_eq!(leader.write(SessionId::NONE, &reap("/c")), Ok(Reply::Done));
    assert_eq!(leader.db.containers().count(), 0);
}

/// "Reserved or bad path: BadArguments; NoNode; NotEmpty; node is an ordinary ephemeral: BadVersion …
/// plain persistent nodes pass"
#[test]
fn leader_deletes_only_what_is_empty_and_nobodys() {
    let mut leader = leader_with(&["/p", "/p/k", "/plain"]);
    leader.made("/e", Ephemeral).unwrap();
    for (path, error) in [
        ("/zookeeper", ZkError::BadArguments),
        ("c", ZkError::BadArguments),
        ("/nope", ZkError::NoNode),
        ("/p", ZkError::NotEmpty),
        ("/e", ZkError::BadVersion),
    ] {
        assert_eq!(leader.write(SessionId::NONE, &reap(path)), Err(error), "{path}");
    }
    let counter = leader.stat("/").cversion;
    assert_eq!(leader.write(SessionId::NONE, &reap("/plain")), Ok(Reply::Done));
    assert_eq!(
        (leader.stat("/").cversion, leader.stat("/").pzxid),
        (counter + 1, leader.db.last_processed())
    );
}

/// "body too short: MarshallingError; a write op still uses up a zxid", inside a multi it is one failed
/// operation.
#[test]
fn malformed_write_fails_with_its_own_error() {
    let mut leader = Leader::new();
    let bad = |error| Op::Malformed { write: true, error };
    let zxid = leader.db.last_processed();
    assert_eq!(leader.write(A, &bad(ZkError::BadArguments)), Err(ZkError::BadArguments));
    assert_eq!(leader.db.last_processed().0, zxid.0 + 1);
    let ops = vec![create("/a", Persistent), bad(ZkError::BadArguments)];
    let expected = vec![Ok(Reply::Done), Err(ZkError::BadArguments)];
    assert_eq!(leader.write(A, &Op::Multi(ops)), Ok(Reply::Multi(expected)));
}

/// Seen on a 3.8.0 server: a create with a TTL flag and no ttl trips over itself when its turn comes.
#[test]
fn unreadable_operation_fails_the_whole_multi_unless_another_has_failed_before() {
    let mut leader = leader_with(&["/p"]);
    let bad = Op::Malformed { write: true, error: ZkError::MarshallingError };
    let ops = vec![create("/p/s", PersistentSequential), bad.clone()];
    assert_eq!(leader.write(A, &Op::Multi(ops)), Err(ZkError::MarshallingError));
    assert_eq!(leader.made("/p/s", PersistentSequential), Ok("/p/s0000000000".into()));
    let ops = vec![delete("/p", -1), bad];
    let expected = vec![Err(ZkError::NotEmpty), Err(ZkError::RuntimeInconsistency)];
    assert_eq!(leader.write(A, &Op::Multi(ops)), Ok(Reply::Multi(expected)));
}

/// The recording `check_op_alone` of a 3.8.0 server; ZOOKEEPER-2623 refuses it.
#[test]
fn lone_check_is_a_harmless_transaction_and_later_unimplemented() {
    let mut leader = leader_with(&["/n"]);
    for (path, version, error) in
        [("/n", 1, ZkError::BadVersion), ("/nope", 0, ZkError::NoNode), ("bad", 0, ZkError::BadArguments)]
    {
        assert_eq!(leader.write(A, &check(path, version)), Err(error));
    }
    let before = leader.db.inspect();
    assert_eq!(leader.write(A, &check("/n", 0)), Ok(Reply::Done));
    assert_eq!(leader.db.inspect(), before);
    leader.config.compat = Compat::V3_9;
    assert_eq!(leader.write(A, &check("/n", 0)), Err(ZkError::Unimplemented));
}
