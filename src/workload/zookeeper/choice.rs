//! Choice — decides by the dice what an operation of a client of ZooKeeper alone is about. It never knows what the
//! client has seen.

use std::time::Duration;

use crate::{
    name::HostId,
    scenario::{
        ensemble::ZooKeeperClients,
        zookeeper_operations::{ZooKeeperAsk, ZooKeeperOperation},
    },
    sim::dice::Die,
};

/// The node that everything is under.
pub(super) const WORK: &str = "/work";
/// Sequential nodes are under this one.
pub(super) const QUEUE: &str = "/work/queue";
/// Ephemeral nodes are under this one.
pub(super) const LIVE: &str = "/work/live";
/// What every sequential node's path begins with.
pub(super) const ITEM: &str = "/work/queue/item-";

/// Share of deletes that are of the client's own oldest sequential node.
const SHARE_OF_OLDEST: f64 = 0.5;

/// The key of this number.
pub(super) fn key(nth: u32) -> String {
    format!("{WORK}/key-{nth}")
}

/// The operation of this number and time.
pub(super) fn draw(
    table: &ZooKeeperClients,
    client: HostId,
    number: u32,
    at: Duration,
    mut die: Die,
) -> ZooKeeperOperation {
    let weights = table.mix.weights();
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = die.unit() * total;
    let drawn = weights.iter().find(|(_, weight)| {
        left -= weight;
        left < 0.0
    });
    let what = drawn.or(weights.last()).map_or("get", |(what, _)| *what);
    let base = ZooKeeperOperation::new(client, number, at, ZooKeeperAsk::Get);
    Choice { table, base, die }.of(what)
}

struct Choice<'a> {
    table: &'a ZooKeeperClients,
    /// Whose operation it is, its number and its time.
    base: ZooKeeperOperation,
    die: Die,
}

impl Choice<'_> {
    fn of(mut self, what: &str) -> ZooKeeperOperation {
        let path = self.key();
        let (client, number) = (self.base.client, self.base.number);
        match what {
            "create" => self.plain(ZooKeeperAsk::Create, path),
            "create_ephemeral" => self.ephemeral(),
            "create_sequential" => {
                let operation = self.plain(ZooKeeperAsk::Create, ITEM.into());
                ZooKeeperOperation { sequential: true, ..operation }
            }
            "create_container" => self.plain(ZooKeeperAsk::CreateContainer, format!("{WORK}/box-{client}")),
            "create_ttl" => self.plain(ZooKeeperAsk::CreateTtl, format!("{WORK}/brief-{client}-{number}")),
            "delete" => self.delete(path),
            "set" => self.plain(ZooKeeperAsk::Set, path),
            "set_version" => {
                let operation = self.plain(ZooKeeperAsk::Set, path);
                ZooKeeperOperation { seen: true, ..operation }
            }
            "set_acl" => self.plain(ZooKeeperAsk::SetAcl, path),
            "multi" => self.multi(path),
            "exists" => self.read(ZooKeeperAsk::Exists, path),
            "children" => {
                let parent = self.parent();
                self.read(ZooKeeperAsk::Children, parent)
            }
            "sync_read" => self.plain(ZooKeeperAsk::SyncRead, path),
            "watch_persistent" => self.plain(ZooKeeperAsk::WatchPersistent, path),
            "watch_recursive" => {
                let parent = self.parent();
                self.plain(ZooKeeperAsk::WatchRecursive, parent)
            }
            "close" => self.plain(ZooKeeperAsk::Close, String::new()),
            _ => self.read(ZooKeeperAsk::Get, path),
        }
    }

    fn plain(&self, ask: ZooKeeperAsk, path: String) -> ZooKeeperOperation {
        ZooKeeperOperation { ask, path, ..self.base.clone() }
    }

    fn read(&mut self, ask: ZooKeeperAsk, path: String) -> ZooKeeperOperation {
        let watch = self.die.chance(self.table.watch_share);
        ZooKeeperOperation { watch, ..self.plain(ask, path) }
    }

    fn key(&mut self) -> String {
        key(self.die.below(u64::from(self.table.keys)) as u32)
    }

    fn parent(&mut self) -> String {
        [WORK, QUEUE, LIVE][self.die.below(3) as usize].to_owned()
    }

    /// A node of one's own at a place that others want too, or a numbered one.
    fn ephemeral(&mut self) -> ZooKeeperOperation {
        let (path, sequential) = self.member();
        ZooKeeperOperation { ephemeral: true, sequential, ..self.plain(ZooKeeperAsk::Create, path) }
    }

    fn member(&mut self) -> (String, bool) {
        if self.die.chance(0.5) { (format!("{LIVE}/member-"), true) } else { (self.slot(), false) }
    }

    fn slot(&mut self) -> String {
        format!("{LIVE}/slot-{}", self.die.below(u64::from(self.table.keys)))
    }

    fn delete(&mut self, key: String) -> ZooKeeperOperation {
        let oldest = self.die.chance(SHARE_OF_OLDEST);
        let path = if self.die.chance(0.4) { self.slot() } else { key };
        let seen = self.die.chance(0.5);
        ZooKeeperOperation { oldest, seen, ..self.plain(ZooKeeperAsk::Delete, path) }
    }

    fn multi(&mut self, path: String) -> ZooKeeperOperation {
        let (beside, sequential) = if self.die.chance(0.5) { self.member() } else { Default::default() };
        ZooKeeperOperation { beside, sequential, ..self.plain(ZooKeeperAsk::Multi, path) }
    }
}
