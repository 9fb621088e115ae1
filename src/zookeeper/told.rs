//! Told — decides how a transaction is told to whoever judges the run: who asked for it, and what it does to
//! which znode. It never applies one.

use super::{
    txn::{Lifetime, LoggedTxn, Txn},
    wire::{Acl, Data, perms},
};
use crate::{
    event::{Act, Change, Digest, EventKind, Word},
    name::SessionId,
};

/// The node that holds the ensemble's configuration.
const CONFIG: &str = "/zookeeper/config";

/// The event that a leader has proposed this transaction.
pub(super) fn proposed(logged: &LoggedTxn, digest: Digest) -> EventKind {
    let mut changes = Vec::new();
    list(&logged.txn, &mut changes);
    let header = logged.header;
    let (zxid, session, xid) = (header.zxid, header.session, header.xid);
    EventKind::TxnProposed { zxid, digest, session, xid, op: name(&logged.txn), changes }
}

fn name(txn: &Txn) -> Word {
    let name = match txn {
        Txn::Create { .. } => "create",
        Txn::Delete { .. } => "delete",
        Txn::SetData { .. } => "setData",
        Txn::SetAcl { .. } => "setACL",
        Txn::Reconfig { .. } => "reconfig",
        Txn::Check { .. } => "check",
        Txn::Multi(_) => "multi",
        Txn::CreateSession { .. } => "createSession",
        Txn::CloseSession { .. } => "closeSession",
        Txn::Error(_) => "error",
    };
    name.into()
}

fn list(txn: &Txn, changes: &mut Vec<Change>) {
    let mut add = |path: &str, act| changes.push(Change { path: path.to_owned(), act });
    match txn {
        Txn::Create { path, data, acl, lifetime, parent_cversion } => {
            let (owner, data_length) = (lifetime.owner(), length(data));
            let lifetime = lifetime_name(*lifetime).into();
            let (parent_creates, open) = (*parent_cversion, is_open(acl));
            add(path, Act::Created { owner, lifetime, parent_creates, data_length, open });
        }
        Txn::Delete { path } => add(path, Act::Deleted),
        Txn::SetData { path, data, version } => {
            add(path, Act::DataSet { version: *version, data_length: length(data) });
        }
        Txn::SetAcl { path, acl, version } => {
            add(path, Act::AclSet { version: *version, open: is_open(acl) });
        }
        Txn::Reconfig { members, version } => {
            add(CONFIG, Act::DataSet { version: *version, data_length: members.len() as i32 });
        }
        Txn::CloseSession { paths } => paths.iter().for_each(|path| add(path, Act::Deleted)),
        // All or nothing: of a multi that failed the operations before the failing one stay in the
        // transaction, and do nothing.
        Txn::Multi(txns) if txns.iter().any(|txn| matches!(txn, Txn::Error(_))) => {}
        Txn::Multi(txns) => txns.iter().for_each(|txn| list(txn, changes)),
        Txn::Check { .. } | Txn::CreateSession { .. } | Txn::Error(_) => {}
    }
}

/// Whether everybody may read a node with this list.
fn is_open(acl: &Acl) -> bool {
    acl.iter().any(|entry| entry.id.scheme == "world" && entry.perms & perms::READ != 0)
}

fn length(data: &Data) -> i32 {
    data.as_ref().map_or(0, |bytes| bytes.len() as i32)
}

fn lifetime_name(lifetime: Lifetime) -> &'static str {
    match lifetime {
        Lifetime::Persistent => "persistent",
        Lifetime::Ephemeral(SessionId(_)) => "ephemeral",
        Lifetime::Container => "container",
        Lifetime::Ttl { .. } => "ttl",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{name::Zxid, zookeeper::txn::TxnHeader};

    fn told(txn: Txn) -> (String, Vec<Change>) {
        let header = TxnHeader { session: SessionId(7), xid: 3, zxid: Zxid(9), wall_ms: 0 };
        match proposed(&LoggedTxn { header, txn }, Digest(1)) {
            EventKind::TxnProposed { zxid: Zxid(9), session: SessionId(7), xid: 3, op, changes, .. } => {
                (op.into_owned(), changes)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn changes_of_a_multi_come_in_its_order_and_checks_change_nothing() {
        let set = Txn::SetData { path: "/a".into(), data: Some((*b"xyz").into()), version: 4 };
        let multi =
            Txn::Multi(vec![set, Txn::Check { path: "/c".into() }, Txn::Delete { path: "/b".into() }]);
        let expected = vec![
            Change { path: "/a".into(), act: Act::DataSet { version: 4, data_length: 3 } },
            Change { path: "/b".into(), act: Act::Deleted },
        ];
        assert_eq!(told(multi), ("multi".to_owned(), expected));
    }

    #[test]
    fn failed_multi_changes_nothing() {
        let set = Txn::SetData { path: "/a".into(), data: None, version: 1 };
        let failed = Txn::Multi(vec![set, Txn::Error(crate::zookeeper::wire::ZkError::NodeExists)]);
        assert_eq!(told(failed), ("multi".to_owned(), vec![]));
    }

    #[test]
    fn closing_a_session_removes_its_nodes() {
        let (op, changes) = told(Txn::CloseSession { paths: vec!["/a".into(), "/b".into()] });
        assert_eq!(op, "closeSession");
        assert!(changes.len() == 2 && changes.iter().all(|change| change.act == Act::Deleted));
    }
}
