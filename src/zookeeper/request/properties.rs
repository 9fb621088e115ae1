//! Properties of requests and tree together: what must hold of every sequence of writes.

use proptest::prelude::*;

use super::{
    tests::{A, B, Leader, check, create, delete, set},
    *,
};
use crate::{
    name::SessionId,
    zookeeper::{
        txn::Lifetime,
        wire::{Acl, CreateMode, Reply},
    },
};

const C: SessionId = SessionId(0xc);

#[derive(Debug, Clone)]
enum Move {
    Write(SessionId, Op),
    /// The oldest outstanding transaction is applied.
    Apply,
    /// Session C comes (again, under a new id).
    Open,
    /// The latest session C goes.
    Close,
    /// The leader deletes what may be a container.
    Reap(String),
}

fn path() -> impl Strategy<Value = String> {
    let names = ["/a", "/b", "/a/x", "/a/y", "/a/x/p", "/b/s", "/b/s0000000001", "/b//x", "/a/", "/"];
    prop::sample::select(names.map(str::to_owned).to_vec())
}

fn single() -> impl Strategy<Value = Op> {
    use CreateMode::{
        Container, Ephemeral, EphemeralSequential, Persistent, PersistentSequential, PersistentTtl,
    };
    let mode = prop::sample::select(vec![
        Persistent,
        Persistent,
        Ephemeral,
        PersistentSequential,
        EphemeralSequential,
        Container,
        PersistentTtl { ttl_ms: 5 },
    ]);
    let version = prop::sample::select(vec![-1, -1, 0, 1]);
    prop_oneof![
        4 => (path(), mode).prop_map(|(path, mode)| create(&path, mode)),
        3 => (path(), version.clone()).prop_map(|(path, version)| delete(&path, version)),
        2 => (path(), version.clone()).prop_map(|(path, version)| set(&path, version)),
        1 => (path(), version).prop_map(|(path, version)| check(&path, version)),
    ]
}

fn write() -> impl Strategy<Value = Move> {
    let acl = prop::sample::select(vec![Acl::open(), Acl::read_only(), Acl::new([])]);
    let op = prop_oneof![
        8 => single(),
        2 => prop::collection::vec(single(), 0..4).prop_map(Op::Multi),
        1 => (path(), acl, -1..2).prop_map(|(path, acl, version)| Op::SetAcl { path, acl, version }),
    ];
    (prop::sample::select(vec![A, B, C]), op).prop_map(|(session, op)| Move::Write(session, op))
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        12 => write(),
        8 => Just(Move::Apply),
        2 => Just(Move::Open),
        2 => Just(Move::Close),
        1 => path().prop_map(Move::Reap),
    ];
    prop::collection::vec(one, 1..60)
}

/// Plays moves, and checks on the way that what was prepared is what comes of it.
struct Play {
    leader: Leader,
    /// Sessions opened in the place of C.
    latest: SessionId,
}

impl Play {
    fn new() -> Self {
        let mut leader = Leader::new();
        leader.config.extended_types = true;
        Self { leader, latest: C }
    }

    fn make(&mut self, step: Move) {
        match step {
            Move::Write(C, op) => drop(self.leader.propose(self.latest, &op)),
            Move::Write(session, op) => drop(self.leader.propose(session, &op)),
            Move::Apply => self.apply(),
            Move::Open => {
                self.latest = SessionId(self.latest.0 + 1);
                self.leader.open(self.latest);
            }
            Move::Reap(path) => drop(self.leader.propose(SessionId::NONE, &Op::DeleteContainer { path })),
            Move::Close => drop(self.leader.propose(self.latest, &Op::CloseSession)),
        }
    }

    fn apply(&mut self) {
        let Some((logged, applied)) = self.leader.apply_one() else { return };
        match &logged.txn {
            Txn::Error(error) => assert_eq!(applied.result, Err(*error)),
            Txn::Multi(txns) => assert_multi(txns, &applied.result),
            txn => assert!(applied.result.is_ok(), "{txn:?} was prepared and cannot fail: {applied:?}"),
        }
    }

    fn finish(&mut self) {
        while !self.leader.proposed.is_empty() {
            self.apply();
        }
    }
}

fn assert_multi(txns: &[Txn], result: &Result<Reply, ZkError>) {
    let Ok(Reply::Multi(results)) = result else { panic!("a multi answers with results, not {result:?}") };
    for (txn, result) in txns.iter().zip(results) {
        match txn {
            Txn::Error(error) => assert_eq!(*result, Err(*error)),
            txn => assert!(result.is_ok(), "{txn:?} was prepared and cannot fail: {result:?}"),
        }
    }
}

fn assert_well_formed(db: &Database) {
    for ephemeral in db.ephemerals() {
        let node = db.node(&ephemeral.path).expect("every listed ephemeral node exists");
        assert_eq!(node.lifetime, Lifetime::Ephemeral(ephemeral.session));
        assert!(db.sessions().contains_key(&ephemeral.session), "{ephemeral:?} outlives its session");
        assert_eq!(node.children, 0);
    }
    let snapshot = postcard::to_stdvec(db).unwrap();
    assert_eq!(
        postcard::from_bytes::<Database>(&snapshot).unwrap(),
        *db,
        "counts and index follow the nodes"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prepared_writes_apply_as_prepared(moves in moves()) {
        let mut play = Play::new();
        for step in moves {
            play.make(step);
            assert_well_formed(&play.leader.db);
        }
        play.finish();
        assert_well_formed(&play.leader.db);
    }

    /// "replay from its zxid must be idempotent": a snapshot may already have any effects of the log that
    /// is replayed over it.
    #[test]
    fn replaying_any_suffix_over_its_result_changes_nothing(moves in moves(), from in any::<prop::sample::Index>()) {
        let mut play = Play::new();
        moves.into_iter().for_each(|step| play.make(step));
        play.finish();
        let Leader { db, log, .. } = play.leader;
        let mut replayed = db.clone();
        for logged in &log[from.index(log.len())..] {
            let _skipped_or_repeated = replayed.apply(logged);
        }
        prop_assert_eq!(&replayed, &db);
        prop_assert_eq!(replayed.inspect(), db.inspect());
    }

    /// Without closing sessions and setting lists, what is outstanding and what is applied make no difference
    /// to a write.
    #[test]
    fn transactions_do_not_depend_on_how_far_they_are_applied(ops in prop::collection::vec(write(), 1..40)) {
        let ops = ops.into_iter().filter(|step| !matches!(step, Move::Write(_, Op::SetAcl { .. })));
        let mut lagging = Play::new();
        let mut prompt = Play::new();
        for step in ops {
            lagging.make(step.clone());
            prompt.make(step);
            prompt.finish();
        }
        prop_assert_eq!(lagging.leader.log, prompt.leader.log);
    }
}
