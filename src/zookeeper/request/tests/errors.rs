//! Tests of the order of checks: which error a write that is wrong gets.

use super::*;

/// The recording `create_bad_paths` of a 3.8.0 server: the parent is looked up before the path is
/// checked in full.
#[test]
fn create_looks_up_the_parent_before_it_checks_the_path() {
    let mut leader = leader_with(&["/r", "/r/a"]);
    let bad = [
        "",
        "x",
        "/r/a/",
        "/r/a/.",
        "/r/a/..",
        "/r/a/b\0c",
        "/nope\0/c",
        "/r/a/\u{1}",
        "/r/a/\u{1f}",
        "/r/a/\u{7f}",
        "/r/a/\u{9f}",
        "/r/a/\u{e000}",
        "/r/a/\u{fff0}",
    ];
    let missing = ["/r//b", "/r/a//b", "/r/./b", "/r/a/../b", "/nope/", "/nope/\u{1}", "/nope/x"];
    let good = ["/r/a/\u{feff}", "/r/a/é", "/r/a/...", "/r/a/.b", "/r/a/b.", "/r/a/b..c", "/r/a/ "];
    for path in bad {
        assert_eq!(leader.made(path, Persistent), Err(ZkError::BadArguments), "{path:?}");
    }
    for path in missing {
        assert_eq!(leader.made(path, Persistent), Err(ZkError::NoNode), "{path:?}");
    }
    for path in good {
        assert_eq!(leader.made(path, Persistent), Ok(path.to_owned()));
    }
    assert_eq!(leader.made("/", Persistent), Err(ZkError::NodeExists));
}

#[test]
fn create_under_an_ephemeral_is_refused_after_node_exists_would_be() {
    let mut leader = Leader::new();
    leader.made("/e", Ephemeral).unwrap();
    assert_eq!(leader.made("/e/k", Persistent), Err(ZkError::NoChildrenForEphemerals));
    assert_eq!(leader.made("/e/", Persistent), Err(ZkError::BadArguments));
    assert_eq!(leader.made("/e", Persistent), Err(ZkError::NodeExists));
}

/// The recording `delete_errors` of a 3.8.0 server.
#[test]
fn delete_answers_no_node_then_bad_version_then_not_empty() {
    let mut leader = leader_with(&["/r", "/r/p", "/r/p/k"]);
    for (path, version, error) in [
        ("/r/p", -1, ZkError::NotEmpty),
        ("/r/p", 5, ZkError::BadVersion),
        ("/r/p", 0, ZkError::NotEmpty),
        ("/r/nope", -1, ZkError::NoNode),
        ("/r/nope", 3, ZkError::NoNode),
        ("/r/nope/x", -1, ZkError::NoNode),
        ("/r/p/k/", -1, ZkError::NoNode),
        ("x", -1, ZkError::BadArguments),
        ("/r/p\0", -1, ZkError::BadArguments),
        ("/r//p", -1, ZkError::NoNode),
        ("/r/p/./k", -1, ZkError::NoNode),
    ] {
        assert_eq!(leader.write(A, &delete(path, version)), Err(error), "{path:?} {version}");
    }
    leader.write(A, &set("/r/p/k", -1)).unwrap();
    assert_eq!(leader.write(A, &delete("/r/p/k", 0)), Err(ZkError::BadVersion));
    assert_eq!(leader.write(A, &delete("/r/p/k", 1)), Ok(Reply::Done));
    assert_eq!(leader.stat("/r/p").cversion, 2);
    assert_eq!(leader.write(A, &delete("/r/p", 0)), Ok(Reply::Done));
}

#[test]
fn reserved_nodes_cannot_be_deleted() {
    let mut leader = Leader::new();
    for path in path::RESERVED.into_iter().chain([""]) {
        assert_eq!(leader.write(A, &delete(path, -1)), Err(ZkError::BadArguments), "{path:?}");
    }
}

/// The recording `set_versions` of a 3.8.0 server.
#[test]
fn set_data_checks_path_then_node_then_version() {
    let mut leader = leader_with(&["/n"]);
    for (path, version, error) in [
        ("/nope", -1, ZkError::NoNode),
        ("/nope", 4, ZkError::NoNode),
        ("nope", -1, ZkError::BadArguments),
        ("/n/", -1, ZkError::BadArguments),
        ("//n", -1, ZkError::BadArguments),
        ("", -1, ZkError::BadArguments),
        ("/n", 1, ZkError::BadVersion),
        ("/n", -2, ZkError::BadVersion),
    ] {
        assert_eq!(leader.write(A, &set(path, version)), Err(error), "{path:?} {version}");
        assert_eq!(leader.write(A, &check(path, version)), Err(error), "{path:?} {version}");
    }
    leader.write(A, &set("/n", 0)).unwrap();
    leader.write(A, &set("/n", -1)).unwrap();
    let stat = leader.stat("/n");
    assert_eq!((stat.version, stat.data_length, stat.pzxid), (2, 1, stat.czxid));
    assert_eq!((stat.mzxid, stat.mtime), (leader.db.last_processed(), 1_000 + leader.log.len() as i64));
}

/// "Failed writes use a zxid; reply zxids show it."
#[test]
fn failed_write_is_a_transaction_of_its_own() {
    let mut leader = Leader::new();
    let before = leader.db.last_processed();
    assert_eq!(leader.write(A, &delete("/nope", -1)), Err(ZkError::NoNode));
    assert_eq!(leader.db.last_processed().0, before.0 + 1);
    assert_eq!(leader.log.last().unwrap().txn, Txn::Error(ZkError::NoNode));
}

#[test]
#[should_panic(expected = "only writes are prepared")]
fn preparing_a_read_is_our_own_fault() {
    Leader::new().propose(A, &get("/"));
}
