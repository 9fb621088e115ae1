//! Tests of requests: each rule of the preparation, judged through what a leader alone would do.

use std::collections::BTreeMap;

use super::*;
use crate::{
    name::{Epoch, SessionId},
    zookeeper::{
        tree::Applied,
        wire::{Reply, Stat},
    },
};

const ZK_1: HostId = HostId::zookeeper(1);
const ZK_2: HostId = HostId::zookeeper(2);
pub(super) const A: SessionId = SessionId(0xa);
pub(super) const B: SessionId = SessionId(0xb);

/// A leader without followers. It applies what it prepares when told so.
pub(super) struct Leader {
    pub(super) db: Database,
    pub(super) sessions: SessionTracker,
    pub(super) preparer: Preparer,
    /// Prepared, not applied.
    pub(super) proposed: Vec<LoggedTxn>,
    /// Every transaction prepared, oldest first.
    pub(super) log: Vec<LoggedTxn>,
}

impl Leader {
    /// With sessions A and B open.
    pub(super) fn new() -> Self {
        let sessions = SessionTracker::new(2_000, &BTreeMap::new(), Instant::default());
        let (db, preparer) = (Database::default(), Preparer::default());
        let mut leader = Self { db, sessions, preparer, proposed: Vec::new(), log: Vec::new() };
        for session in [A, B] {
            leader.open(session);
        }
        leader.apply_all();
        leader
    }

    pub(super) fn open(&mut self, session: SessionId) {
        let header = self.header(session);
        let Self { preparer, sessions, .. } = self;
        let txn = preparer.prepare_session(sessions, ZK_1, header, 4_000, Instant::default());
        self.proposed.push(txn.clone());
        self.log.push(txn);
    }

    fn header(&self, session: SessionId) -> TxnHeader {
        let counter = self.log.len() as u32 + 1;
        TxnHeader { session, xid: 1, zxid: Zxid::new(Epoch(1), counter), wall_ms: 1_000 + i64::from(counter) }
    }

    /// Prepares a write and leaves it outstanding.
    pub(super) fn propose(&mut self, session: SessionId, op: &Op) -> Txn {
        let header = self.header(session);
        let logged = self.preparer.prepare(&self.db, &mut self.sessions, ZK_1, header, op);
        self.proposed.push(logged.clone());
        self.log.push(logged.clone());
        logged.txn
    }

    /// Applies the oldest outstanding transaction.
    pub(super) fn apply_one(&mut self) -> Option<(LoggedTxn, Applied)> {
        if self.proposed.is_empty() {
            return None;
        }
        let logged = self.proposed.remove(0);
        let applied = self.db.apply(&logged);
        self.preparer.committed(logged.header.zxid);
        Some((logged, applied))
    }

    pub(super) fn apply_all(&mut self) -> Option<Applied> {
        std::iter::from_fn(|| self.apply_one()).last().map(|(_, applied)| applied)
    }

    /// Prepares and applies a write.
    fn write(&mut self, session: SessionId, op: &Op) -> Result<Reply, ZkError> {
        self.propose(session, op);
        self.apply_all().expect("a write was proposed").result
    }

    fn made(&mut self, path: &str, mode: CreateMode) -> Result<String, ZkError> {
        match self.write(A, &create(path, mode))? {
            Reply::Created { path, .. } => Ok(path),
            other => panic!("create answers with a path, not {other:?}"),
        }
    }

    fn stat(&self, path: &str) -> Stat {
        self.db.node(path).expect("the test made it").stat()
    }
}

use CreateMode::{Ephemeral, EphemeralSequential, Persistent, PersistentSequential};

pub(super) fn create(path: &str, mode: CreateMode) -> Op {
    Op::Create { path: path.into(), data: Some([].into()), mode }
}

pub(super) fn delete(path: &str, version: i32) -> Op {
    Op::Delete { path: path.into(), version }
}

pub(super) fn set(path: &str, version: i32) -> Op {
    Op::SetData { path: path.into(), data: Some([1].into()), version }
}

pub(super) fn check(path: &str, version: i32) -> Op {
    Op::Check { path: path.into(), version }
}

fn get(path: &str) -> Op {
    Op::GetData { path: path.into(), watch: false }
}

/// A leader with these nodes, in order.
fn leader_with(paths: &[&str]) -> Leader {
    let mut leader = Leader::new();
    for path in paths {
        leader.made(path, Persistent).unwrap();
    }
    leader
}

mod errors {
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
}

mod sequence {
    use super::*;

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
        let Txn::Create { path, parent_cversion, .. } =
            leader.propose(B, &create("/p/s", PersistentSequential))
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
        assert_eq!(full_name("/s", PersistentSequential, i32::MAX), "/s2147483647");
        assert_eq!(full_name("/s", PersistentSequential, -1), "/s-000000001");
    }
}

mod multi {
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
        for inner in [get("/n"), Op::Multi(vec![]), Op::Ping, Op::CloseSession, Op::Sync { path: "/".into() }]
        {
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
        let children: Vec<_> = leader.db.node("/p").unwrap().children.iter().collect();
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
}

mod sessions {
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
}
