//! Tests of quotas: what counts, and when a write is too much.

use super::*;

fn create_with(path: &str, data: &str) -> Op {
    Op::create(path, Some(data.as_bytes().into()), Persistent)
}

fn set_to(path: &str, data: &str) -> Op {
    Op::SetData { path: path.into(), data: Some(data.as_bytes().into()), version: -1 }
}

const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";

/// A leader with `/q`, a child of 5 bytes, and these limits on it.
fn limited(limits: &str) -> Leader {
    let mut leader = leader_with(&["/q", "/zookeeper/quota/q"]);
    leader.write(A, &create_with("/q/pre", "12345")).unwrap();
    leader.write(A, &create_with("/zookeeper/quota/q/zookeeper_limits", limits)).unwrap();
    leader.write(A, &create_with(STATS, "count=0,bytes=0")).unwrap();
    leader
}

fn used(leader: &Leader) -> String {
    let data = leader.db.node(STATS).and_then(|node| node.data.clone()).expect("stats have data");
    String::from_utf8(data.to_vec()).unwrap()
}

/// The recording `quota_stats_unenforced` of a 3.8.0 server.
#[test]
fn use_is_counted_on_every_server_without_a_transaction() {
    let mut leader = limited("count=1,bytes=1");
    assert_eq!(used(&leader), "count=2,bytes=5");
    let before = leader.stat(STATS);
    for op in
        [create_with("/q/a", "123"), create_with("/q/a/b", "1"), set_to("/q/a", "1"), delete("/q/pre", -1)]
    {
        leader.write(A, &op).unwrap();
    }
    assert_eq!(used(&leader), "count=3,bytes=2");
    assert_eq!(leader.stat(STATS), before, "{before:?}");
    leader.write(A, &delete("/zookeeper/quota/q/zookeeper_limits", -1)).unwrap();
    leader.write(A, &create_with("/q/uncounted", "")).unwrap();
    assert_eq!(used(&leader), "count=3,bytes=2");
}

/// The recording `quota_enforced` of a 3.8.0 server.
#[test]
fn hard_limits_refuse_by_committed_use() {
    let mut leader = limited("count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3");
    leader.config.enforce_quota = true;
    leader.write(A, &set_to("/q/pre", "0123456789")).unwrap();
    leader.write(A, &create_with("/q/b", "0123456789")).unwrap();
    let exceeded = Err(ZkError::QuotaExceeded);
    assert_eq!(leader.write(A, &create_with("/q/c", "")), exceeded);
    assert_eq!(leader.write(A, &set_to("/q/b", "0123456789x")), exceeded);
    leader.write(A, &set_to("/q/b", "01")).unwrap();
    assert_eq!(used(&leader), "count=3,bytes=12");
    let swap = Op::Multi(vec![delete("/q/b", -1), create_with("/q/c", "")]);
    let results = vec![Ok(Reply::Done), Err(ZkError::QuotaExceeded)];
    assert_eq!(leader.write(A, &swap), Ok(Reply::Multi(results)), "the delete is not committed");
    leader.write(A, &delete("/q/pre", -1)).unwrap();
    leader.write(A, &create_with("/q/c", "")).unwrap();
    assert_eq!(leader.write(A, &set_to("/q", &"x".repeat(28))), exceeded);
    assert_eq!(used(&leader), "count=3,bytes=2");
}

#[test]
fn soft_limits_and_limits_unenforced_refuse_nothing() {
    for (limits, enforced) in [("count=1,bytes=1", true), ("count=1,bytes=1=;countHardLimit=1", false)] {
        let mut leader = limited(limits);
        leader.config.enforce_quota = enforced;
        assert!(leader.write(A, &create_with("/q/more", "123")).is_ok(), "{limits}");
    }
}

/// QuotaExceeded comes last of a create's errors, and before setData's BadVersion.
#[test]
fn quota_comes_after_the_place_and_before_the_version() {
    let mut leader = limited("count=-1,bytes=-1=;byteHardLimit=5;countHardLimit=2");
    leader.config.enforce_quota = true;
    assert_eq!(leader.write(A, &create_with("/q/pre", "")), Err(ZkError::NodeExists));
    assert_eq!(leader.write(A, &set("/q", 7)), Err(ZkError::QuotaExceeded));
}

/// A snapshot's stats may be older than its nodes: they are counted again when it is loaded.
#[test]
fn use_is_counted_again_at_load() {
    let mut leader = limited("count=9");
    leader.write(A, &set_to(STATS, "count=77,bytes=77")).unwrap();
    let bytes = postcard::to_stdvec(&leader.db).unwrap();
    leader.db = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(used(&leader), "count=2,bytes=5");
}
