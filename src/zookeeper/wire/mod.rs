//! Wire — decides what ZooKeeper's clients and servers can say to each other, typed. It never encodes
//! bytes: jute belongs to the server on real sockets.
//!
//! Names, op codes and error codes are those of `ZooDefs.java` and `KeeperException.java`.

mod acl;
mod config;
mod error;
mod op;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::{
    acl::{Acl, AclEntry, Id, perms},
    config::{Compat, EnsembleConfig, LocalSessions},
    error::ZkError,
    op::{AddWatchMode, CreateMode, Op, WatcherType},
};
use crate::{
    event::Word,
    name::{SessionId, Zxid},
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
    /// getACL.
    Acl {
        /// The list; without ADMIN, digests in it are hidden.
        acl: Acl,
        /// The node's Stat.
        stat: Stat,
    },
    /// getAllChildrenNumber.
    Count(i32),
    /// getEphemerals.
    Paths(Vec<String>),
    /// whoAmI.
    Ids(Vec<Id>),
    /// sync.
    Synced {
        /// The path.
        path: String,
    },
    /// multi, multiRead: one result per op. Of a multi: on failure ops before the failing one carry `Ok(Reply::Done)` (error 0 on
    /// the wire), it its error, later ones RuntimeInconsistency; the header's error is 0 all the same.
    Multi(Vec<Result<Reply, ZkError>>),
}

/// xid of pings.
pub const PING_XID: i32 = -2;
/// xid of auth.
pub const AUTH_XID: i32 = -4;
/// The zxid of headers that tell none: −1 on the wire.
pub const NO_ZXID: Zxid = Zxid(u64::MAX);
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
        /// Whether a server without a quorum will do.
        read_only: bool,
    },
    /// A request.
    Request {
        /// The client's number for it; −2, −4 and −8 are reserved.
        xid: i32,
        /// What it asks.
        op: Op,
    },
}

/// From server to client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerFrame {
    /// The answer to `Connect`. A refused session has timeout 0 and session 0; then the server closes.
    Connected {
        /// Negotiated timeout, in milliseconds.
        timeout_ms: u64,
        /// The session.
        session: SessionId,
        /// Its password.
        password: Password,
        /// Whether the server has no quorum and only answers reads.
        read_only: bool,
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
    Notification {
        /// What happened.
        event: WatchEvent,
        /// In the header: [`NO_ZXID`] in 3.8, the transaction's in 3.9.
        zxid: Zxid,
    },
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
    /// Whether it answers a request that a client has made for itself, not to be kept alive.
    pub fn answers(&self) -> bool {
        matches!(self, Self::Reply { xid, .. } if *xid >= 0)
    }

    /// A word for traces.
    pub fn label(&self) -> Word {
        match self {
            Self::Connected { .. } => "connected".into(),
            Self::Reply { xid: PING_XID, .. } => "pong".into(),
            Self::Reply { .. } => "reply".into(),
            Self::Notification { .. } => "notification".into(),
        }
    }
}
