//! Transactions — decides what the leader writes down for all servers to repeat. It never applies one.
//!
//! A transaction holds outcomes, not wishes: versions and counters are final numbers, sequential names are
//! complete, and a write that failed is a transaction too, which only uses up a zxid (ZooKeeper's
//! `TxnHeader`, `Txn`, `ErrorTxn`, `CloseSessionTxn`).

use serde::{Deserialize, Serialize};

use super::wire::{Acl, Data, ZkError};
use crate::{
    event::{Digest, TxnRef},
    name::{SessionId, Zxid},
};

/// Who asked for a transaction, and where it stands in the order of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TxnHeader {
    /// The session that asked; the one opened or closed for session transactions.
    pub session: SessionId,
    /// The client's number for the request; 0 if a server asked.
    pub xid: i32,
    /// Place in the order.
    pub zxid: Zxid,
    /// The leader's wall clock at preparation, ms since 1970; becomes ctime and mtime.
    pub wall_ms: i64,
}

/// How long a znode stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Lifetime {
    /// Until it is deleted.
    Persistent,
    /// Until this session closes.
    Ephemeral(SessionId),
    /// Until the leader finds it empty after it has had children.
    Container,
    /// Until the leader finds it empty and unchanged for this long.
    Ttl {
        /// In milliseconds.
        ms: u64,
    },
}

impl Lifetime {
    /// The owner as a client's Stat shows it: the session of an ephemeral, else none.
    pub fn owner(self) -> SessionId {
        match self {
            Self::Ephemeral(session) => session,
            Self::Persistent | Self::Container | Self::Ttl { .. } => SessionId::NONE,
        }
    }
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Txn {
    /// Make a node.
    Create {
        /// Its full name, counter included.
        path: String,
        /// Its payload.
        data: Data,
        /// Who may do what with it: expanded, never empty.
        acl: Acl,
        /// How long it stays.
        lifetime: Lifetime,
        /// The parent's count of child creates after this one.
        parent_cversion: i32,
    },
    /// Remove a node.
    Delete {
        /// Which.
        path: String,
    },
    /// Replace a node's payload.
    SetData {
        /// Which.
        path: String,
        /// The new payload.
        data: Data,
        /// The version after it.
        version: i32,
    },
    /// Replace a node's access control list.
    SetAcl {
        /// Which.
        path: String,
        /// The new list: expanded, never empty.
        acl: Acl,
        /// The aversion after it.
        version: i32,
    },
    /// Change the ensemble: replaces the content of `/zookeeper/config`.
    Reconfig {
        /// The new configuration as `/zookeeper/config` has it; its version is the header's zxid.
        members: String,
        /// The data version of `/zookeeper/config` after it.
        version: i32,
    },
    /// Nothing: the version was found right when the multi was prepared.
    Check {
        /// Which node.
        path: String,
    },
    /// All of these under one zxid; or, if one of them failed, an `Error` for each and no effect.
    Multi(Vec<Txn>),
    /// Open the header's session.
    CreateSession {
        /// Negotiated timeout, in milliseconds.
        timeout_ms: u64,
    },
    /// Close the header's session.
    CloseSession {
        /// Its ephemeral nodes at that place in the order, sorted.
        paths: Vec<String>,
    },
    /// A write that failed.
    Error(ZkError),
}

/// A transaction as the log holds it and as proposals carry it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoggedTxn {
    /// Who and where.
    pub header: TxnHeader,
    /// What.
    pub txn: Txn,
}

impl LoggedTxn {
    /// A hash over header and content: two leaders' transactions of one zxid differ in it.
    pub fn digest(&self) -> Digest {
        let bytes = postcard::to_stdvec(self).expect("a transaction has nothing that postcard cannot write");
        Digest::of(&bytes)
    }

    /// The transaction as laws see it.
    pub fn txn_ref(&self) -> TxnRef {
        TxnRef { zxid: self.header.zxid, digest: self.digest() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(wall_ms: i64, txn: Txn) -> LoggedTxn {
        let header = TxnHeader { session: SessionId(7), xid: 1, zxid: Zxid(9), wall_ms };
        LoggedTxn { header, txn }
    }

    #[test]
    fn digest_differs_with_header_and_content() {
        let ours = logged(1, Txn::Delete { path: "/a".into() });
        assert_eq!(ours.digest(), ours.clone().digest());
        assert_ne!(ours.digest(), logged(2, Txn::Delete { path: "/a".into() }).digest());
        assert_ne!(ours.digest(), logged(1, Txn::Delete { path: "/b".into() }).digest());
        assert_eq!(ours.txn_ref(), TxnRef { zxid: Zxid(9), digest: ours.digest() });
    }

    #[test]
    fn null_and_empty_data_stay_apart_on_disk() {
        let set = |data| Txn::SetData { path: "/a".into(), data, version: 1 };
        for data in [None, Some([].as_slice().into())] {
            let txn = logged(1, set(data));
            let bytes = postcard::to_stdvec(&txn).unwrap();
            assert_eq!(postcard::from_bytes::<LoggedTxn>(&bytes).unwrap(), txn);
        }
        assert_ne!(logged(1, set(None)).digest(), logged(1, set(Some([].as_slice().into()))).digest());
    }
}
