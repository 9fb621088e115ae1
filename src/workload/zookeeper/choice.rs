//! Choice — decides which operation a worker asks next, by the dice and what it remembers. It never sends one.

use std::sync::Arc;

use super::memory::Memory;
use crate::{
    name::HostId,
    scenario::ensemble::ZooKeeperClients,
    sim::dice::Die,
    zookeeper::wire::{Acl, AddWatchMode, CreateMode, Op},
};

/// The node that everything is under.
pub(super) const WORK: &str = "/work";
/// Sequential nodes are under this one.
pub(super) const QUEUE: &str = "/work/queue";
/// Ephemeral nodes are under this one.
pub(super) const LIVE: &str = "/work/live";

/// How long a TTL node lives without a change, in milliseconds.
const TTL_MS: i64 = 1_000;

/// Sequential nodes that a worker keeps before it deletes none but them.
const SHARE_OF_OLDEST: f64 = 0.5;

/// The key of this number.
pub(super) fn key(nth: u32) -> String {
    format!("{WORK}/key-{nth}")
}

/// The operations that come next, to be asked at once; one, but for those that make sense only together.
pub(super) fn draw(
    table: &ZooKeeperClients,
    memory: &mut Memory,
    me: HostId,
    stamp: &str,
    mut die: Die,
) -> Vec<Op> {
    let weights = table.mix.weights();
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = die.unit() * total;
    let drawn = weights.iter().find(|(_, weight)| {
        left -= weight;
        left < 0.0
    });
    let what = drawn.or(weights.last()).map_or("get", |(what, _)| *what);
    Choice { table, memory, me, stamp, die }.of(what)
}

/// A sync and a read of every key.
pub(super) fn look_at_keys(table: &ZooKeeperClients) -> Vec<Op> {
    (0..table.keys).flat_map(|nth| synced_read(key(nth))).collect()
}

fn synced_read(path: String) -> [Op; 2] {
    [Op::Sync { path: path.clone() }, Op::GetData { path, watch: false }]
}

struct Choice<'a> {
    table: &'a ZooKeeperClients,
    memory: &'a mut Memory,
    me: HostId,
    stamp: &'a str,
    die: Die,
}

impl Choice<'_> {
    fn of(&mut self, what: &str) -> Vec<Op> {
        let path = self.key();
        match what {
            "create" => vec![Op::create(path, self.data(), CreateMode::Persistent)],
            "create_ephemeral" => vec![self.ephemeral()],
            "create_sequential" => vec![self.item()],
            "create_container" => self.container(),
            "create_ttl" => {
                let path = format!("{WORK}/brief-{}", self.stamp);
                vec![Op::create(path, None, CreateMode::PersistentTtl { ttl_ms: TTL_MS })]
            }
            "delete" => vec![self.delete(path)],
            "set" => vec![Op::SetData { path, data: self.data(), version: -1 }],
            "set_version" => vec![self.set_seen(path)],
            "set_acl" => {
                let version = self.memory.aversion(&path);
                vec![Op::SetAcl { path, acl: Acl::open(), version }]
            }
            "multi" => vec![self.multi(path)],
            "exists" => vec![Op::Exists { path, watch: self.watches() }],
            "children" => vec![self.children()],
            "sync_read" => synced_read(path).into(),
            "watch_persistent" => vec![Op::AddWatch { path, mode: AddWatchMode::Persistent }],
            "watch_recursive" => {
                vec![Op::AddWatch { path: self.parent().into(), mode: AddWatchMode::PersistentRecursive }]
            }
            "close" => vec![Op::CloseSession],
            _ => vec![Op::GetData { path, watch: self.watches() }],
        }
    }

    fn key(&mut self) -> String {
        key(self.die.below(u64::from(self.table.keys)) as u32)
    }

    fn parent(&mut self) -> &'static str {
        [WORK, QUEUE, LIVE][self.die.below(3) as usize]
    }

    fn watches(&mut self) -> bool {
        self.die.chance(self.table.watch_share)
    }

    fn data(&self) -> Option<Arc<[u8]>> {
        Some(self.stamp.as_bytes().into())
    }

    /// A node of one's own at a place that others want too, or a numbered one.
    fn ephemeral(&mut self) -> Op {
        if self.die.chance(0.5) {
            return Op::create(format!("{LIVE}/member-"), self.data(), CreateMode::EphemeralSequential);
        }
        Op::create(self.slot(), self.data(), CreateMode::Ephemeral)
    }

    fn slot(&mut self) -> String {
        format!("{LIVE}/slot-{}", self.die.below(u64::from(self.table.keys)))
    }

    fn item(&mut self) -> Op {
        Op::create(format!("{QUEUE}/item-"), self.data(), CreateMode::PersistentSequential)
    }

    fn container(&mut self) -> Vec<Op> {
        let path = format!("{WORK}/box-{}", self.me);
        let child = format!("{path}/child");
        vec![
            Op::create(path, None, CreateMode::Container),
            Op::create(child.clone(), None, CreateMode::Persistent),
            Op::Delete { path: child, version: -1 },
        ]
    }

    fn delete(&mut self, key: String) -> Op {
        let oldest = if self.die.chance(SHARE_OF_OLDEST) { self.memory.take_oldest() } else { None };
        let path = oldest.unwrap_or_else(|| if self.die.chance(0.4) { self.slot() } else { key });
        let version = if self.die.chance(0.5) { self.memory.version(&path) } else { -1 };
        Op::Delete { path, version }
    }

    fn set_seen(&mut self, path: String) -> Op {
        let version = self.memory.version(&path);
        Op::SetData { path, data: self.data(), version }
    }

    fn multi(&mut self, path: String) -> Op {
        let check = Op::Check { path: path.clone(), version: self.memory.version(&path) };
        let set = Op::SetData { path, data: self.data(), version: -1 };
        let mut ops = vec![check, set, self.item()];
        if self.die.chance(0.5) {
            ops.push(self.ephemeral());
        }
        Op::Multi(ops)
    }

    fn children(&mut self) -> Op {
        Op::GetChildren { path: self.parent().into(), watch: self.watches() }
    }
}
