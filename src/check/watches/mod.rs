//! Watches — decides whether every client is told of what it watches: all of it, in order and before it is
//! shown, and nothing else. It never looks at a server's tables.
//!
//! What a client watches follows from what it asked and was answered; what there is to tell follows from the
//! committed transactions. Three laws are judged over the same account.
//!
//! Allowed, with the source: the gaps by design of a reconnect (`DataTree.setWatches`): of a node that was
//! removed and made again one event, or none if an existence watch finds nothing; of a persistent watch
//! nothing that happened meanwhile; a path watched for data and for children and gone meanwhile is told twice.
//! Events of nodes that not everybody may read may be withheld (ZOOKEEPER-4799). Where a client mixes watches
//! of different modes on one path, 3.8 keeps the last one only (ZOOKEEPER-4466): such a path is not judged
//! until the client's next connection. A connection in read-only mode is not
//! judged, nor a session that takes over its watches (`ClientCnxn`, seenRwServerBefore). Among clients there is
//! no order.

mod account;
mod watcher;

#[cfg(test)]
mod tests;

use self::account::{Account, Found};
use super::{
    law::{Law, Monitor},
    verdict::{Judged, broken},
};
use crate::event::{Event, EventKind};

pub(super) const IN_ORDER: Law = Law {
    name: "watch.in-order",
    sentence: "A client is told of what it watches in the order of transactions, and before any reply that shows them.",
    source: "ZooKeeper programmer's guide, what ZooKeeper guarantees about watches; ZOOKEEPER-2024, ZOOKEEPER-4475",
    monitor: || Box::<InOrder>::default(),
};

pub(super) const NONE_LOST: Law = Law {
    name: "watch.none-lost",
    sentence: "A client that is shown a change of what it watches is told of it, also if it comes from another server.",
    source: "ZooKeeper programmer's guide, what ZooKeeper guarantees about watches; SetWatches; ZOOKEEPER-442, \
             ZOOKEEPER-706, ZOOKEEPER-1220, ZOOKEEPER-4625",
    monitor: || Box::<NoneLost>::default(),
};

pub(super) const NO_MORE: Law = Law {
    name: "watch.no-more",
    sentence: "A client is told only of what it watches and what has happened; a one-shot watch tells once.",
    source: "ZooKeeper programmer's guide, ZooKeeper watches: one-time trigger; ZOOKEEPER-1297, ZOOKEEPER-4466",
    monitor: || Box::<NoMore>::default(),
};

/// See the room's introduction.
#[derive(Default)]
struct InOrder(Account);

impl Monitor for InOrder {
    fn observe(&mut self, event: &Event) -> Judged {
        match self.0.observe(event) {
            Found::Late(why) => broken(event, why),
            _ => Ok(()),
        }
    }
}

/// See the room's introduction. What is late and comes in the end is for [`InOrder`].
#[derive(Default)]
struct NoneLost {
    account: Account,
    ended: bool,
}

impl Monitor for NoneLost {
    fn observe(&mut self, event: &Event) -> Judged {
        self.ended |= event.kind == EventKind::RunEnded;
        match self.account.observe(event) {
            Found::Lost(at, why) => broken(at, why),
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Judged {
        match self.account.owed() {
            Some((at, why)) if self.ended => broken(at, why),
            _ => Ok(()),
        }
    }
}

/// See the room's introduction.
#[derive(Default)]
struct NoMore(Account);

impl Monitor for NoMore {
    fn observe(&mut self, event: &Event) -> Judged {
        match self.0.observe(event) {
            Found::Needless(why) => broken(event, why),
            _ => Ok(()),
        }
    }
}
