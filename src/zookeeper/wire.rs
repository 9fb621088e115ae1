//! Wire — decides what ZooKeeper's clients and servers can say to each other, typed. It never encodes
//! bytes: jute belongs to the server on real sockets.
//!
//! Names, op codes and error codes are those of `ZooDefs.java` and `KeeperException.java`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    event::Word,
    name::{HostId, SessionId, Zxid},
};

/// Payload of a znode; `None` (null) and empty are told apart, as ZooKeeper does.
pub type Data = Option<Arc<[u8]>>;

/// What a znode's `Stat` shows a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Stat {
    /// Transaction that created it.
    pub czxid: Zxid,
    /// Transaction of the last setData.
    pub mzxid: Zxid,
    /// Wall time of the create, ms since 1970, by the leader's clock.
    pub ctime: i64,
    /// Wall time of the last setData.
    pub mtime: i64,
    /// Number of setData, from 0.
    pub version: i32,
    /// Child changes as the client sees them: 2 × internal − children.
    pub cversion: i32,
    /// Number of setACL.
    pub aversion: i32,
    /// Owner session of an ordinary ephemeral, else none.
    pub ephemeral_owner: SessionId,
    /// Bytes of data; null counts 0.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// Transaction of the last create or delete of a child.
    pub pzxid: Zxid,
}

/// How a node is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CreateMode {
    /// Stays until deleted.
    Persistent,
    /// Stays as long as its session.
    Ephemeral,
    /// Persistent, with a ten-digit counter appended.
    PersistentSequential,
    /// Ephemeral, with a ten-digit counter appended.
    EphemeralSequential,
}

impl CreateMode {
    /// Whether it lives only as long as its session.
    pub fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Whether its name gets a counter.
    pub fn is_sequential(self) -> bool {
        matches!(self, Self::PersistentSequential | Self::EphemeralSequential)
    }
}

/// ZooKeeper's error codes (`KeeperException.Code`), those that this model can answer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error,
)]
#[allow(missing_docs, reason = "the names are the definition")]
pub enum ZkError {
    #[error("RuntimeInconsistency")]
    RuntimeInconsistency = -2,
    /// Made by the client library: the connection went before the reply came.
    #[error("ConnectionLoss")]
    ConnectionLoss = -4,
    #[error("MarshallingError")]
    MarshallingError = -5,
    #[error("Unimplemented")]
    Unimplemented = -6,
    #[error("BadArguments")]
    BadArguments = -8,
    #[error("NoNode")]
    NoNode = -101,
    #[error("NoAuth")]
    NoAuth = -102,
    #[error("BadVersion")]
    BadVersion = -103,
    #[error("NoChildrenForEphemerals")]
    NoChildrenForEphemerals = -108,
    #[error("NodeExists")]
    NodeExists = -110,
    #[error("NotEmpty")]
    NotEmpty = -111,
    #[error("SessionExpired")]
    SessionExpired = -112,
    #[error("InvalidACL")]
    InvalidAcl = -114,
    #[error("SessionMoved")]
    SessionMoved = -118,
}

impl ZkError {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// Make a node. Replies [`Reply::Created`].
    Create {
        /// The path.
        path: String,
        /// The content.
        data: Data,
        /// How it lives and is named.
        mode: CreateMode,
    },
    /// Remove a node whose data version is this (−1: any). Replies [`Reply::Done`].
    Delete {
        /// The path.
        path: String,
        /// The expected data version; −1: any.
        version: i32,
    },
    /// Replace data. Replies [`Reply::Stat`].
    SetData {
        /// The path.
        path: String,
        /// The content.
        data: Data,
        /// The expected data version; −1: any.
        version: i32,
    },
    /// Only inside a multi: the version must be this. Replies [`Reply::Done`].
    Check {
        /// The path.
        path: String,
        /// The expected data version; −1: any.
        version: i32,
    },
    /// All or nothing. Replies [`Reply::Multi`].
    Multi(Vec<Op>),
    /// Does the node exist? A watch is left also if not. Replies [`Reply::Stat`] or NoNode.
    Exists {
        /// The path.
        path: String,
        /// Whether to leave a watch.
        watch: bool,
    },
    /// Data and Stat. Replies [`Reply::Data`].
    GetData {
        /// The path.
        path: String,
        /// Whether to leave a watch.
        watch: bool,
    },
    /// Names of children, and Stat (getChildren2). Replies [`Reply::Children`].
    GetChildren {
        /// The path.
        path: String,
        /// Whether to leave a watch.
        watch: bool,
    },
    /// Let this server catch up with the leader. Replies [`Reply::Synced`].
    Sync {
        /// The path.
        path: String,
    },
    /// Set watches again after a reconnect (xid −8). Replies [`Reply::Done`].
    SetWatches {
        /// The last zxid the client saw in a reply.
        relative_zxid: Zxid,
        /// Paths of data watches.
        data: Vec<String>,
        /// Paths of existence watches.
        exist: Vec<String>,
        /// Paths of child watches.
        child: Vec<String>,
    },
    /// Keep the session alive (xid −2). Replies [`Reply::Done`].
    Ping,
    /// End the session. Replies [`Reply::Done`], then the server closes.
    CloseSession,
}

impl Op {
    /// ZooKeeper's name for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Delete { .. } => "delete",
            Self::SetData { .. } => "setData",
            Self::Check { .. } => "check",
            Self::Multi(_) => "multi",
            Self::Exists { .. } => "exists",
            Self::GetData { .. } => "getData",
            Self::GetChildren { .. } => "getChildren",
            Self::Sync { .. } => "sync",
            Self::SetWatches { .. } => "setWatches",
            Self::Ping => "ping",
            Self::CloseSession => "closeSession",
        }
    }

    /// Whether it goes through the leader as a transaction.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Create { .. }
                | Self::Delete { .. }
                | Self::SetData { .. }
                | Self::Check { .. }
                | Self::Multi(_)
                | Self::CloseSession
        )
    }
}

/// What a server answers on success.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// create (as create2): the real path, and Stat.
    Created {
        /// The path.
        path: String,
        /// Its Stat.
        stat: Stat,
    },
    /// No body.
    Done,
    /// setData, exists.
    Stat(Stat),
    /// getData.
    Data {
        /// The content.
        data: Data,
        /// Its Stat.
        stat: Stat,
    },
    /// getChildren2; names sorted (ZooKeeper promises no order).
    Children {
        /// The names of its children.
        names: Vec<String>,
        /// Its Stat.
        stat: Stat,
    },
    /// sync.
    Synced {
        /// The path.
        path: String,
    },
    /// multi: one result per op. On failure ops before the failing one carry `Ok(Reply::Done)` (error 0 on
    /// the wire), it its error, later ones RuntimeInconsistency; the header's error is 0 all the same.
    Multi(Vec<Result<Reply, ZkError>>),
}

/// xid of pings.
pub const PING_XID: i32 = -2;
/// xid of setWatches.
pub const SET_WATCHES_XID: i32 = -8;

/// What happened to a watched path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the definition")]
pub enum WatchChange {
    NodeCreated,
    NodeDeleted,
    NodeDataChanged,
    NodeChildrenChanged,
}

impl WatchChange {
    /// ZooKeeper's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeCreated => "NodeCreated",
            Self::NodeDeleted => "NodeDeleted",
            Self::NodeDataChanged => "NodeDataChanged",
            Self::NodeChildrenChanged => "NodeChildrenChanged",
        }
    }
}

/// A watch event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WatchEvent {
    /// The path.
    pub path: String,
    /// What happened.
    pub change: WatchChange,
}

/// The 16 bytes that prove a session is the client's own.
pub type Password = u128;

/// From client to server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// The first frame of a connection.
    Connect {
        /// Highest zxid the client has seen in a reply header.
        last_zxid_seen: Zxid,
        /// Asked session timeout, in milliseconds.
        timeout_ms: u64,
        /// Session to go on with, or none.
        session: SessionId,
        /// Its password, or 0.
        password: Password,
    },
    /// A request.
    Request {
        /// The client's number for it; −2 and −8 are reserved.
        xid: i32,
        /// What it asks.
        op: Op,
    },
}

/// From server to client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFrame {
    /// The answer to `Connect`. A refused session has timeout 0 and session 0; then the server closes.
    Connected {
        /// Negotiated timeout, in milliseconds.
        timeout_ms: u64,
        /// The session.
        session: SessionId,
        /// Its password.
        password: Password,
    },
    /// The answer to a request.
    Reply {
        /// The request's.
        xid: i32,
        /// The server's last processed zxid.
        zxid: Zxid,
        /// What came of it.
        result: Result<Reply, ZkError>,
    },
    /// A watch fired.
    Notification(WatchEvent),
}

impl ClientFrame {
    /// A word for traces.
    pub fn label(&self) -> Word {
        match self {
            Self::Connect { .. } => "connect".into(),
            Self::Request { op, .. } => op.name().into(),
        }
    }
}

impl ServerFrame {
    /// A word for traces.
    pub fn label(&self) -> Word {
        match self {
            Self::Connected { .. } => "connected".into(),
            Self::Reply { xid: PING_XID, .. } => "pong".into(),
            Self::Reply { .. } => "reply".into(),
            Self::Notification(_) => "notification".into(),
        }
    }
}

/// Settings of an ensemble, as in `zoo.cfg`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnsembleConfig {
    /// The voters.
    pub servers: Vec<HostId>,
    /// tickTime, in milliseconds.
    pub tick_ms: u64,
    /// initLimit, in ticks.
    pub init_limit: u32,
    /// syncLimit, in ticks.
    pub sync_limit: u32,
    /// snapCount: transactions between snapshots.
    pub snap_count: u32,
}

impl EnsembleConfig {
    /// The least session timeout that is granted: 2 ticks.
    pub fn session_timeout_min_ms(&self) -> u64 {
        2 * self.tick_ms
    }

    /// The greatest session timeout that is granted: 20 ticks.
    pub fn session_timeout_max_ms(&self) -> u64 {
        20 * self.tick_ms
    }

    /// Votes that decide: more than half.
    pub fn quorum(&self) -> usize {
        self.servers.len() / 2 + 1
    }
}
