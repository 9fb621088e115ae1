//! News — decides what a client's owner can learn from it. It never decides when.

use crate::zookeeper::wire::{Reply, WatchEvent, ZkError};

/// Names a request of one client; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// How a client stands with its session (`ZooKeeper.States`, `Watcher.Event.KeeperState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientState {
    /// No session yet: the first connection is being made.
    Connecting,
    /// The session is alive on a server (`SyncConnected`).
    Connected,
    /// A server without a quorum answers reads (`ConnectedReadOnly`). A session that began there is
    /// provisional: it ends without a word when the client comes to a server with a quorum.
    ConnectedReadOnly,
    /// The server is lost; the session may live on, and the client looks for another server.
    Disconnected,
    /// The session is over, as a server said. [`Client::start`](super::Client::start) asks for a new one.
    Expired,
    /// A server did not accept an identity that the client gave.
    /// [`Client::start`](super::Client::start) begins anew, without identities.
    AuthFailed,
    /// The client ended its session itself, or never began one.
    Closed,
}

impl ClientState {
    /// Whether there is no session, and none will come by itself.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Expired | Self::AuthFailed | Self::Closed)
    }
}

/// Which kind of watch was taken away at the client's own wish (`Watcher.Event.EventType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Removed {
    /// `DataWatchRemoved`: left by getData or exists.
    Data,
    /// `ChildWatchRemoved`: left by getChildren.
    Child,
    /// `PersistentWatchRemoved`: left by addWatch.
    Persistent,
}

/// What a client's owner learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientNews {
    /// The state changed to this one.
    State(ClientState),
    /// A request ended. `ConnectionLoss`: nobody knows whether it took effect, or will.
    Reply {
        /// The request's.
        id: RequestId,
        /// What came of it.
        result: Result<Reply, ZkError>,
    },
    /// Something watched has changed: look again.
    Watch(WatchEvent),
    /// A watch on this path was taken away, as asked.
    WatchRemoved {
        /// The path.
        path: String,
        /// Which kind.
        kind: Removed,
    },
}
