//! Tests of requests: each rule of the preparation, judged through what a leader alone would do.

mod errors;
mod kinds;
mod multi;
mod permissions;
mod quota;
mod reconfig;
mod sequence;
mod sessions;

use std::collections::BTreeMap;

use super::*;
use crate::{
    name::{Epoch, SessionId},
    zookeeper::{
        access,
        tree::{Applied, path},
        wire::{Compat, CreateMode, Reply, Stat},
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
    pub(super) config: EnsembleConfig,
    /// The identities of whoever asks.
    pub(super) ids: Vec<Id>,
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
        let (config, ids) = (EnsembleConfig::default(), vec![access::identity_of("127.0.0.1")]);
        let (proposed, log) = (Vec::new(), Vec::new());
        let mut leader = Self { db, sessions, preparer, config, ids, proposed, log };
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
        let desk = Desk { db: &self.db, sessions: &mut self.sessions, config: &self.config };
        let logged = self.preparer.prepare(desk, Asker { owner: ZK_1, ids: &self.ids }, header, op);
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
    Op::create(path, Some([].into()), mode)
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
