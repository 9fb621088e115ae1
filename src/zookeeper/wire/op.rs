//! Operations — decides what a client can ask. It never decides what the answer is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Acl, Data, ZkError};
use crate::name::Zxid;

/// How a node is created (`CreateMode.java`).
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
    /// Deleted by the leader once it has had children and has none.
    Container,
    /// As a container, with a ten-digit counter appended. No mode of the Java client, but what a server
    /// makes of createContainer with the flag of a sequential node.
    ContainerSequential,
    /// Deleted by the leader once it has no children and was not set for this long.
    PersistentTtl {
        /// In milliseconds.
        ttl_ms: i64,
    },
    /// The same with a ten-digit counter appended.
    PersistentSequentialTtl {
        /// In milliseconds.
        ttl_ms: i64,
    },
}

impl CreateMode {
    /// Whether it lives only as long as its session.
    pub fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Whether its name gets a counter.
    pub fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential
                | Self::EphemeralSequential
                | Self::ContainerSequential
                | Self::PersistentSequentialTtl { .. }
        )
    }
}

/// Modes of addWatch (`AddWatchMode.java`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AddWatchMode {
    /// All events of one node, again and again.
    Persistent,
    /// Created, deleted and changed for a node and everything below it, again and again.
    PersistentRecursive,
}

/// Which watches removeWatches and checkWatches mean (`Watcher.WatcherType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the definition")]
pub enum WatcherType {
    Children = 1,
    Data = 2,
    Any = 3,
    /// 3.9.
    Persistent = 4,
    /// 3.9.
    PersistentRecursive = 5,
}

impl WatcherType {
    /// A word for traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Children => "children",
            Self::Data => "data",
            Self::Any => "any",
            Self::Persistent => "persistent",
            Self::PersistentRecursive => "recursive",
        }
    }
}

/// What a client asks. A version of −1 means any version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "fields that recur are explained here: `path` is the node concerned, `data` \
    its content, `version` the expected data version (of setACL: the expected aversion), `watch` whether to \
    leave a watch"
)]
pub enum Op {
    /// Make a node (create, create2, createContainer, createTTL). Replies [`Reply::Created`].
    ///
    /// [`Reply::Created`]: super::Reply::Created
    Create { path: String, data: Data, acl: Acl, mode: CreateMode },
    /// Remove a node. Replies [`Reply::Done`](super::Reply::Done).
    Delete { path: String, version: i32 },
    /// Remove an empty container or TTL node; only the leader itself asks this.
    DeleteContainer { path: String },
    /// Replace data. Replies [`Reply::Stat`](super::Reply::Stat).
    SetData { path: String, data: Data, version: i32 },
    /// Replace the access control list. Replies [`Reply::Stat`](super::Reply::Stat).
    SetAcl { path: String, acl: Acl, version: i32 },
    /// The version must be this. Replies [`Reply::Done`](super::Reply::Done).
    Check { path: String, version: i32 },
    /// All or nothing. Replies [`Reply::Multi`](super::Reply::Multi).
    Multi(Vec<Op>),
    /// Change the ensemble. Replies [`Reply::Data`](super::Reply::Data) with the new configuration.
    Reconfig {
        /// Servers to add or change, as in the dynamic configuration file, separated by commas.
        joining: Option<String>,
        /// Numbers of servers to remove, separated by commas.
        leaving: Option<String>,
        /// The whole new membership, instead of both.
        members: Option<String>,
        /// The version of the configuration that is to be changed; −1: any.
        from_config: i64,
    },
    /// End the session. Replies [`Reply::Done`](super::Reply::Done), then the server closes.
    CloseSession,
    /// Does the node exist? A watch is left also if not. Replies [`Reply::Stat`](super::Reply::Stat) or
    /// NoNode.
    Exists { path: String, watch: bool },
    /// Data and Stat. Replies [`Reply::Data`](super::Reply::Data).
    GetData { path: String, watch: bool },
    /// Names of children, and Stat (getChildren, getChildren2). Replies
    /// [`Reply::Children`](super::Reply::Children).
    GetChildren { path: String, watch: bool },
    /// The access control list, and Stat. Replies [`Reply::Acl`](super::Reply::Acl).
    GetAcl { path: String },
    /// The number of all descendants. Replies [`Reply::Count`](super::Reply::Count).
    GetAllChildrenNumber { path: String },
    /// This session's ephemeral nodes whose paths begin with this string. Replies
    /// [`Reply::Paths`](super::Reply::Paths).
    GetEphemerals {
        /// A prefix of strings, not of paths; empty: all.
        prefix: String,
    },
    /// Several getData and getChildren, each with its own result. Replies
    /// [`Reply::Multi`](super::Reply::Multi).
    MultiRead(Vec<Op>),
    /// Who this connection is. Replies [`Reply::Ids`](super::Reply::Ids).
    WhoAmI,
    /// Let this server catch up with the leader. Replies [`Reply::Synced`](super::Reply::Synced).
    Sync { path: String },
    /// Add an identity to this connection (xid −4). Replies [`Reply::Done`](super::Reply::Done).
    Auth {
        /// The scheme; only `digest` is known.
        scheme: String,
        /// For `digest`: user, colon, password.
        credential: Arc<[u8]>,
    },
    /// Set watches again after a reconnect (xid −8; setWatches, setWatches2). Replies
    /// [`Reply::Done`](super::Reply::Done).
    SetWatches {
        /// The last zxid the client saw in a reply.
        relative_zxid: Zxid,
        /// Paths of data watches.
        data: Vec<String>,
        /// Paths of existence watches.
        exist: Vec<String>,
        /// Paths of child watches.
        child: Vec<String>,
        /// Paths of persistent watches.
        persistent: Vec<String>,
        /// Paths of persistent recursive watches.
        recursive: Vec<String>,
    },
    /// Leave a watch that stays. Replies [`Reply::Done`](super::Reply::Done).
    AddWatch { path: String, mode: AddWatchMode },
    /// Take this connection's watches away. Replies [`Reply::Done`](super::Reply::Done) or NoWatcher.
    RemoveWatches { path: String, kind: WatcherType },
    /// Whether this connection has such a watch. Replies [`Reply::Done`](super::Reply::Done) or NoWatcher.
    CheckWatches { path: String, kind: WatcherType },
    /// Keep the session alive (xid −2). Replies [`Reply::Done`](super::Reply::Done).
    Ping,
    /// A request whose body cannot be read or means nothing: refused with this error wherever its kind is
    /// judged. If it would have been a write, it uses up a zxid.
    Malformed {
        /// Whether it would have been a write.
        write: bool,
        /// The error.
        error: ZkError,
    },
    /// An unknown op code: answered Unimplemented with header zxid −1, then the connection is closed.
    Unknown,
}

/// The path that an operation carries, borrowed as the operation is.
macro_rules! named {
    ($op:expr) => {
        match $op {
            Op::Create { path, .. }
            | Op::Delete { path, .. }
            | Op::DeleteContainer { path }
            | Op::SetData { path, .. }
            | Op::SetAcl { path, .. }
            | Op::Check { path, .. }
            | Op::Exists { path, .. }
            | Op::GetData { path, .. }
            | Op::GetChildren { path, .. }
            | Op::GetAcl { path }
            | Op::GetAllChildrenNumber { path }
            | Op::Sync { path }
            | Op::AddWatch { path, .. }
            | Op::RemoveWatches { path, .. }
            | Op::CheckWatches { path, .. } => Some(path),
            _ => None,
        }
    };
}

impl Op {
    /// A create with everything open.
    pub fn create(path: impl Into<String>, data: Data, mode: CreateMode) -> Self {
        Self::Create { path: path.into(), data, acl: Acl::open(), mode }
    }

    /// ZooKeeper's name for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Delete { .. } => "delete",
            Self::DeleteContainer { .. } => "deleteContainer",
            Self::SetData { .. } => "setData",
            Self::SetAcl { .. } => "setACL",
            Self::Check { .. } => "check",
            Self::Multi(_) => "multi",
            Self::Reconfig { .. } => "reconfig",
            Self::CloseSession => "closeSession",
            Self::Exists { .. } => "exists",
            Self::GetData { .. } => "getData",
            Self::GetChildren { .. } => "getChildren",
            Self::GetAcl { .. } => "getACL",
            Self::GetAllChildrenNumber { .. } => "getAllChildrenNumber",
            Self::GetEphemerals { .. } => "getEphemerals",
            Self::MultiRead(_) => "multiRead",
            Self::WhoAmI => "whoAmI",
            Self::Sync { .. } => "sync",
            Self::Auth { .. } => "auth",
            Self::SetWatches { .. } => "setWatches",
            Self::AddWatch { .. } => "addWatch",
            Self::RemoveWatches { .. } => "removeWatches",
            Self::CheckWatches { .. } => "checkWatches",
            Self::Ping => "ping",
            Self::Malformed { .. } => "malformed",
            Self::Unknown => "unknown",
        }
    }

    /// The path it concerns; empty if it concerns none or several.
    pub fn path(&self) -> &str {
        match self {
            Self::Reconfig { .. } => "/zookeeper/config",
            op => op.named_path().unwrap_or_default(),
        }
    }

    /// The path it carries, if it carries one.
    pub fn named_path(&self) -> Option<&str> {
        named!(self).map(String::as_str)
    }

    /// The same, to be changed.
    pub fn named_path_mut(&mut self) -> Option<&mut String> {
        named!(self)
    }

    /// Whether it goes through the leader as a transaction.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Create { .. }
                | Self::Delete { .. }
                | Self::DeleteContainer { .. }
                | Self::SetData { .. }
                | Self::SetAcl { .. }
                | Self::Check { .. }
                | Self::Multi(_)
                | Self::Reconfig { .. }
                | Self::CloseSession
                | Self::Malformed { write: true, .. }
        )
    }
}
