//! A modeled ZooKeeper ensemble elects, serves, survives crashes and keeps one history.

mod durability;
mod local_sessions;
mod nonsense;
mod observers;
mod order;
mod read_only;
mod reconfiguration;
mod service;
mod sessions;
mod storm;
mod sync;
mod timing;
mod world;

use std::collections::BTreeSet;

use shardarium::{
    core::ConnId,
    defect::{Defect, Defects},
    event::{EventKind, SyncMode},
    name::{Epoch, HostId, SessionId, Zxid},
    zookeeper::wire::{
        Acl, ClientFrame, CreateMode, NO_ZXID, Op, PING_XID, Reply, ServerFrame, WatchChange, WatchEvent,
        ZkError,
    },
};
use world::{Client, CutPoint, Unsynced, World, zk};

fn create(path: &str) -> Op {
    Op::create(path, Some([1].into()), CreateMode::Persistent)
}

fn create_ephemeral(path: &str) -> Op {
    Op::create(path, None, CreateMode::Ephemeral)
}

fn exists(path: &str) -> Op {
    Op::Exists { path: path.into(), watch: false }
}

fn is_there(reply: &Option<Result<Reply, ZkError>>) -> bool {
    matches!(reply, Some(Ok(Reply::Stat(_) | Reply::Created { .. })))
}

/// An ensemble that serves, with a client on each server of the list.
fn serving(voters: u16, on: &[u16]) -> (World, Vec<Client>) {
    let mut world = World::started(voters);
    let clients = on.iter().map(|server| world.connect(zk(*server))).collect();
    (world, clients)
}

fn followers(world: &World, voters: u16) -> Vec<HostId> {
    let leader = world.leader().expect("a leader");
    (1..=voters).map(zk).filter(|server| *server != leader).collect()
}
