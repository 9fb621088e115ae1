//! Znode — decides what one node holds, and what of it a client sees. It never knows its own path.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::{
    name::Zxid,
    zookeeper::{
        txn::{Lifetime, TxnHeader},
        wire::{Acl, Data, Stat},
    },
};

/// A node of the tree (`DataNode.java` with `StatPersisted`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Znode {
    /// Payload.
    pub data: Data,
    /// Who may do what with it.
    pub acl: Acl,
    /// How long it stays.
    pub lifetime: Lifetime,
    /// Transaction that created it.
    pub czxid: Zxid,
    /// Transaction of the last setData.
    pub mzxid: Zxid,
    /// Transaction of the last create or delete of a child.
    pub pzxid: Zxid,
    /// Wall time of the create, ms since 1970.
    pub ctime: i64,
    /// Wall time of the last setData, ms since 1970.
    pub mtime: i64,
    /// Number of setData.
    pub version: i32,
    /// Number of child creates; deletes do not count. The next sequential child gets this number.
    pub cversion: i32,
    /// Number of setACL.
    pub aversion: i32,
    /// Number of children. No snapshot has it: a fuzzy one may be older here than where the children are.
    #[serde(skip)]
    pub children: i32,
}

static EMPTY: LazyLock<Arc<[u8]>> = LazyLock::new(|| [].into());

/// The same data; all empty payloads are one.
pub(super) fn shared(data: Data) -> Data {
    data.map(|bytes| if bytes.is_empty() { EMPTY.clone() } else { bytes })
}

impl Znode {
    /// A node of the fresh tree: every number 0, data empty.
    pub(super) fn initial(children: i32) -> Self {
        Self {
            data: Some(EMPTY.clone()),
            acl: Acl::open(),
            lifetime: Lifetime::Persistent,
            czxid: Zxid(0),
            mzxid: Zxid(0),
            pzxid: Zxid(0),
            ctime: 0,
            mtime: 0,
            version: 0,
            cversion: 0,
            aversion: 0,
            children,
        }
    }

    /// A node as this transaction creates it.
    pub(super) fn created(header: &TxnHeader, data: Data, acl: Acl, lifetime: Lifetime) -> Self {
        Self {
            data: shared(data),
            acl,
            lifetime,
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.wall_ms,
            mtime: header.wall_ms,
            ..Self::initial(0)
        }
    }

    /// What a client sees. The client's cversion counts creates and deletes of children: every create was
    /// counted once, and those that are no longer here were also deleted (`DataNode.copyStat`).
    pub fn stat(&self) -> Stat {
        let num_children = self.children;
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: self.lifetime.owner(),
            data_length: self.data.as_ref().map_or(0, |data| data.len() as i32),
            num_children,
            pzxid: self.pzxid,
        }
    }
}
