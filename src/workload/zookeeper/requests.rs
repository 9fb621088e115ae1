//! Requests — decides which requests an operation comes to, by what the client remembers. It never sends one.

use std::sync::Arc;

use super::{
    choice::{ITEM, key},
    memory::Memory,
};
use crate::{
    scenario::{
        ensemble::ZooKeeperClients,
        zookeeper_operations::{ZooKeeperAsk, ZooKeeperOperation},
    },
    zookeeper::wire::{Acl, AddWatchMode, CreateMode, Op},
};

/// How long a TTL node lives without a change, in milliseconds.
const TTL_MS: i64 = 1_000;

/// What is asked at once; one request, but for those that make sense only together. `stamp` is what is written.
pub(super) fn requests(operation: &ZooKeeperOperation, memory: &mut Memory, stamp: &str) -> Vec<Op> {
    let ZooKeeperOperation { path, watch, .. } = operation.clone();
    let data = || Some(Arc::from(stamp.as_bytes()));
    let one = match operation.ask {
        ZooKeeperAsk::Create => Op::create(path, data(), mode(operation.ephemeral, operation.sequential)),
        ZooKeeperAsk::CreateContainer => return container(path),
        ZooKeeperAsk::CreateTtl => Op::create(path, None, CreateMode::PersistentTtl { ttl_ms: TTL_MS }),
        ZooKeeperAsk::Delete => delete(operation, memory),
        ZooKeeperAsk::Set => {
            let version = if operation.seen { memory.version(&path) } else { ANY };
            Op::SetData { path, data: data(), version }
        }
        ZooKeeperAsk::SetAcl => {
            let version = memory.aversion(&path);
            Op::SetAcl { path, acl: Acl::open(), version }
        }
        ZooKeeperAsk::Multi => multi(operation, memory, &data),
        ZooKeeperAsk::Get => Op::GetData { path, watch },
        ZooKeeperAsk::Exists => Op::Exists { path, watch },
        ZooKeeperAsk::Children => Op::GetChildren { path, watch },
        ZooKeeperAsk::SyncRead => return synced_read(path).into(),
        ZooKeeperAsk::WatchPersistent => Op::AddWatch { path, mode: AddWatchMode::Persistent },
        ZooKeeperAsk::WatchRecursive => Op::AddWatch { path, mode: AddWatchMode::PersistentRecursive },
        ZooKeeperAsk::Close => Op::CloseSession,
        // Not a request, or none of a client of ZooKeeper alone.
        ZooKeeperAsk::Abandon
        | ZooKeeperAsk::Write
        | ZooKeeperAsk::Resign
        | ZooKeeperAsk::Leave
        | ZooKeeperAsk::Change
        | ZooKeeperAsk::Publish => return Vec::new(),
    };
    vec![one]
}

/// Whatever the version is.
const ANY: i32 = -1;

/// A sync and a read of every key.
pub(super) fn look_at_keys(table: &ZooKeeperClients) -> Vec<Op> {
    (0..table.keys).flat_map(|nth| synced_read(key(nth))).collect()
}

fn synced_read(path: String) -> [Op; 2] {
    [Op::Sync { path: path.clone() }, Op::GetData { path, watch: false }]
}

fn mode(ephemeral: bool, sequential: bool) -> CreateMode {
    match (ephemeral, sequential) {
        (false, false) => CreateMode::Persistent,
        (false, true) => CreateMode::PersistentSequential,
        (true, false) => CreateMode::Ephemeral,
        (true, true) => CreateMode::EphemeralSequential,
    }
}

fn container(path: String) -> Vec<Op> {
    let child = format!("{path}/child");
    vec![
        Op::create(path, None, CreateMode::Container),
        Op::create(child.clone(), None, CreateMode::Persistent),
        Op::Delete { path: child, version: ANY },
    ]
}

fn delete(operation: &ZooKeeperOperation, memory: &mut Memory) -> Op {
    let oldest = operation.oldest.then(|| memory.take_oldest()).flatten();
    let path = oldest.unwrap_or_else(|| operation.path.clone());
    let version = if operation.seen { memory.version(&path) } else { ANY };
    Op::Delete { path, version }
}

fn multi(operation: &ZooKeeperOperation, memory: &Memory, data: &impl Fn() -> Option<Arc<[u8]>>) -> Op {
    let path = operation.path.clone();
    let check = Op::Check { path: path.clone(), version: memory.version(&path) };
    let set = Op::SetData { path, data: data(), version: ANY };
    let mut ops = vec![check, set, Op::create(ITEM, data(), CreateMode::PersistentSequential)];
    if !operation.beside.is_empty() {
        ops.push(Op::create(operation.beside.clone(), data(), mode(true, operation.sequential)));
    }
    Op::Multi(ops)
}
