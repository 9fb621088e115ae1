//! Asking — decides how a client writes its requests. It never writes one that the Java client could not,
//! but for requests that are meant to be malformed.

use super::{codes::*, create::flag, output::Output};
use crate::zookeeper::wire::{AddWatchMode, CreateMode, Op, ZkError};

/// The op code of a request: of those that ask the same, the one whose reply says most.
pub(super) fn code(op: &Op) -> i32 {
    match op {
        Op::Create { mode, .. } => create_code(*mode),
        Op::Delete { .. } => DELETE,
        Op::DeleteContainer { .. } => DELETE_CONTAINER,
        Op::SetData { .. } => SET_DATA,
        Op::SetAcl { .. } => SET_ACL,
        Op::Check { .. } => CHECK,
        Op::Multi(_) => MULTI,
        Op::Reconfig { .. } => RECONFIG,
        Op::CloseSession => CLOSE_SESSION,
        Op::Exists { .. } => EXISTS,
        Op::GetData { .. } => GET_DATA,
        Op::GetChildren { .. } => GET_CHILDREN_2,
        Op::GetAcl { .. } => GET_ACL,
        Op::GetAllChildrenNumber { .. } => GET_ALL_CHILDREN_NUMBER,
        Op::GetEphemerals { .. } => GET_EPHEMERALS,
        Op::MultiRead(_) => MULTI_READ,
        Op::WhoAmI => WHO_AM_I,
        Op::Sync { .. } => SYNC,
        Op::Auth { .. } => AUTH,
        Op::SetWatches { .. } => SET_WATCHES_2,
        Op::AddWatch { .. } => ADD_WATCH,
        Op::RemoveWatches { .. } => REMOVE_WATCHES,
        Op::CheckWatches { .. } => CHECK_WATCHES,
        Op::Ping => PING,
        Op::Malformed { write: true, error: ZkError::BadArguments } => DELETE_CONTAINER,
        Op::Malformed { write: true, .. } => DELETE,
        Op::Malformed { write: false, .. } => EXISTS,
        Op::Unknown => NOTIFICATION,
    }
}

fn create_code(mode: CreateMode) -> i32 {
    match mode {
        CreateMode::Container | CreateMode::ContainerSequential => CREATE_CONTAINER,
        CreateMode::PersistentTtl { .. } | CreateMode::PersistentSequentialTtl { .. } => CREATE_TTL,
        _ => CREATE_2,
    }
}

fn flags(mode: CreateMode) -> i32 {
    match mode {
        CreateMode::Persistent => flag::PERSISTENT,
        CreateMode::Ephemeral => flag::EPHEMERAL,
        CreateMode::PersistentSequential | CreateMode::ContainerSequential => flag::PERSISTENT_SEQUENTIAL,
        CreateMode::EphemeralSequential => flag::EPHEMERAL_SEQUENTIAL,
        CreateMode::Container => flag::CONTAINER,
        CreateMode::PersistentTtl { .. } => flag::TTL,
        CreateMode::PersistentSequentialTtl { .. } => flag::TTL_SEQUENTIAL,
    }
}

/// Writes the body of a request.
pub(super) fn body<'a, 'b>(op: &Op, out: &'b mut Output<'a>) -> &'b mut Output<'a> {
    match op {
        Op::Create { path, data, acl, mode } => {
            out.text(path).buffer(data.as_deref()).acl(acl).int(flags(*mode));
            ttl(*mode, out)
        }
        Op::Delete { path, version } | Op::Check { path, version } => out.text(path).int(*version),
        Op::SetData { path, data, version } => out.text(path).buffer(data.as_deref()).int(*version),
        Op::SetAcl { path, acl, version } => out.text(path).acl(acl).int(*version),
        Op::Multi(ops) | Op::MultiRead(ops) => multi(ops, out),
        Op::Reconfig { joining, leaving, members, from_config } => out
            .maybe_text(joining.as_deref())
            .maybe_text(leaving.as_deref())
            .maybe_text(members.as_deref())
            .long(*from_config),
        Op::Exists { path, watch } | Op::GetData { path, watch } | Op::GetChildren { path, watch } => {
            out.text(path).bool(*watch)
        }
        Op::DeleteContainer { path }
        | Op::GetAcl { path }
        | Op::GetAllChildrenNumber { path }
        | Op::GetEphemerals { prefix: path }
        | Op::Sync { path } => out.text(path),
        Op::Auth { scheme, credential } => out.int(0).text(scheme).buffer(Some(credential)),
        Op::SetWatches { relative_zxid, data, exist, child, persistent, recursive } => {
            out.long(relative_zxid.0 as i64);
            [data, exist, child, persistent, recursive].into_iter().fold(out, |out, list| out.texts(list))
        }
        Op::AddWatch { path, mode } => out.text(path).int(match mode {
            AddWatchMode::Persistent => 0,
            AddWatchMode::PersistentRecursive => 1,
        }),
        Op::RemoveWatches { path, kind } | Op::CheckWatches { path, kind } => {
            out.text(path).int(*kind as i32)
        }
        Op::CloseSession | Op::WhoAmI | Op::Ping | Op::Malformed { .. } | Op::Unknown => out,
    }
}

fn ttl<'a, 'b>(mode: CreateMode, out: &'b mut Output<'a>) -> &'b mut Output<'a> {
    match mode {
        CreateMode::PersistentTtl { ttl_ms } | CreateMode::PersistentSequentialTtl { ttl_ms } => {
            out.long(ttl_ms)
        }
        _ => out,
    }
}

/// Children are read by getChildren here: a multi knows no other.
fn multi<'a, 'b>(ops: &[Op], out: &'b mut Output<'a>) -> &'b mut Output<'a> {
    for op in ops {
        let code = match op {
            Op::GetChildren { .. } => GET_CHILDREN,
            op => code(op),
        };
        body(op, out.multi_header(code, false, -1));
    }
    out.multi_header(-1, true, -1)
}
