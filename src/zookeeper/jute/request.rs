//! Requests — decides which operation a record asks for. It never decides the answer.
//!
//! Records are those of `zookeeper.jute`. What cannot be read, or means nothing, becomes [`Op::Malformed`],
//! because a server answers it like any other request.

use super::{
    codes::*,
    create::{mode_alone, mode_in_multi},
    input::{Input, Read},
    reply::Shape,
};
use crate::{
    name::Zxid,
    zookeeper::wire::{Acl, AclEntry, AddWatchMode, Compat, CreateMode, Data, Id, Op, WatcherType, ZkError},
};

/// What a request of this op code and body asks, as a server understands it.
pub fn read_request(code: i32, body: &[u8], compat: Compat) -> Op {
    request(code, &mut Input::new(body), compat).0
}

/// The same, with the shape that its reply will have. The body of an auth packet must have been seen to be
/// readable.
pub(super) fn request(code: i32, body: &mut Input<'_>, compat: Compat) -> (Op, Shape) {
    let malformed = |error| Op::Malformed { write: is_write(code), error };
    match code {
        MULTI => match multi(body, compat) {
            Ok((ops, kinds)) => (Op::Multi(ops), Shape::Multi(kinds)),
            Err(error) => (malformed(error), Shape::Plain),
        },
        SYNC => match body.string() {
            Ok(Some(path)) => (Op::Sync { path }, Shape::Plain),
            Ok(None) => (Op::Sync { path: String::new() }, Shape::NullPath),
            Err(error) => (malformed(error), Shape::Plain),
        },
        _ => (single(code, body, compat).unwrap_or_else(malformed), Shape::of(code)),
    }
}

fn single(code: i32, body: &mut Input<'_>, compat: Compat) -> Read<Op> {
    Ok(match code {
        CREATE | CREATE_2 | CREATE_CONTAINER | CREATE_TTL => return create(code, body),
        // "3.8.0: sent by a client it is always BadArguments": the leader alone deletes containers.
        DELETE_CONTAINER => return Err(ZkError::BadArguments),
        // Without a timeout in it: as the real server. With one, that opens the session anew with whatever
        // timeout the client likes; here it does not.
        CREATE_SESSION => return Err(ZkError::MarshallingError),
        DELETE | SET_DATA | CHECK => return change(code, body),
        SET_ACL => Op::SetAcl { path: lenient(body)?, acl: acl(body)?, version: body.int()? },
        RECONFIG => Op::Reconfig {
            joining: body.string()?,
            leaving: body.string()?,
            members: body.string()?,
            from_config: body.long()?,
        },
        CLOSE_SESSION => Op::CloseSession,
        EXISTS => Op::Exists { path: body.text()?, watch: body.bool()? },
        GET_DATA => Op::GetData { path: body.text()?, watch: body.bool()? },
        GET_CHILDREN | GET_CHILDREN_2 => Op::GetChildren { path: body.text()?, watch: body.bool()? },
        GET_ACL => Op::GetAcl { path: body.text()? },
        GET_ALL_CHILDREN_NUMBER => Op::GetAllChildrenNumber { path: body.text()? },
        GET_EPHEMERALS => Op::GetEphemerals { prefix: lenient(body)? },
        MULTI_READ => Op::MultiRead(multi_read(body)?),
        WHO_AM_I => Op::WhoAmI,
        AUTH => auth(body)?,
        SET_WATCHES | SET_WATCHES_2 => set_watches(code, body)?,
        ADD_WATCH => add_watch(body)?,
        REMOVE_WATCHES => Op::RemoveWatches { path: body.text()?, kind: watcher_type(body, compat)? },
        CHECK_WATCHES => Op::CheckWatches { path: body.text()?, kind: watcher_type(body, compat)? },
        PING => Op::Ping,
        _ => Op::Unknown,
    })
}

/// A path that a server takes as missing rather than unreadable when it is null.
fn lenient(body: &mut Input<'_>) -> Read<String> {
    Ok(body.string()?.unwrap_or_default())
}

fn data(body: &mut Input<'_>) -> Read<Data> {
    Ok(body.buffer()?.map(Into::into))
}

/// A null scheme names nobody; a null id is what Java trips over, except where `auth` ignores it.
fn acl(body: &mut Input<'_>) -> Read<Acl> {
    let entry = |body: &mut Input<'_>| {
        let perms = body.int()?;
        let scheme = lenient(body)?;
        let id = body.string()?;
        let is_needed = !matches!(scheme.as_str(), "" | "auth");
        let id = if is_needed { id.ok_or(ZkError::MarshallingError)? } else { id.unwrap_or_default() };
        Ok(AclEntry { perms, id: Id { scheme, id } })
    };
    Ok(Acl::new(body.vector(entry)?.unwrap_or_default()))
}

/// The fields of `CreateRequest` and `CreateTTLRequest`.
struct Create {
    path: Option<String>,
    data: Data,
    acl: Acl,
    flags: i32,
    ttl_ms: Option<i64>,
}

impl Create {
    fn read(code: i32, body: &mut Input<'_>) -> Read<Self> {
        let (path, data, acl, flags) = (body.string()?, data(body)?, acl(body)?, body.int()?);
        let ttl_ms = if code == CREATE_TTL { Some(body.long()?) } else { None };
        Ok(Self { path, data, acl, flags, ttl_ms })
    }

    fn op(self, mode: CreateMode) -> Read<Op> {
        let path = self.path.ok_or(ZkError::MarshallingError)?;
        Ok(Op::Create { path, data: self.data, acl: self.acl, mode })
    }
}

fn create(code: i32, body: &mut Input<'_>) -> Read<Op> {
    let create = Create::read(code, body)?;
    let mode = mode_alone(code, create.flags, create.ttl_ms)?;
    create.op(mode)
}

/// delete trips over a null path; setData and check refuse it like an empty one.
fn change(code: i32, body: &mut Input<'_>) -> Read<Op> {
    Ok(match code {
        DELETE => Op::Delete { path: body.text()?, version: body.int()? },
        SET_DATA => Op::SetData { path: lenient(body)?, data: data(body)?, version: body.int()? },
        _ => Op::Check { path: lenient(body)?, version: body.int()? },
    })
}

/// Ops up to the header that says it is the end, each read by `op` from its code.
fn until_end<'a, T>(
    body: &mut Input<'a>,
    mut op: impl FnMut(i32, &mut Input<'a>) -> Read<T>,
) -> Read<Vec<T>> {
    let mut ops = Vec::new();
    loop {
        let (code, is_end, _) = (body.int()?, body.bool()?, body.int()?);
        if is_end {
            return Ok(ops);
        }
        ops.push(op(code, body)?);
    }
}

/// The ops, and of what kind their results will be.
fn multi(body: &mut Input<'_>, compat: Compat) -> Read<(Vec<Op>, Vec<i32>)> {
    let ops = until_end(body, |code, body| match code {
        CREATE | CREATE_2 | CREATE_CONTAINER | CREATE_TTL => create_in_multi(code, body, compat),
        DELETE | SET_DATA | CHECK => {
            // Inside a multi a null path is what none can be read with.
            let is_null = Input::string(&mut body.clone())?.is_none();
            if is_null { Err(ZkError::MarshallingError) } else { Ok((change(code, body)?, code)) }
        }
        _ => Err(ZkError::MarshallingError),
    })?;
    Ok(ops.into_iter().unzip())
}

/// "create in 3.8.0 answers create2 inside multi as type create (ZOOKEEPER-4026)"; container and TTL nodes
/// always answer with a Stat.
fn create_in_multi(code: i32, body: &mut Input<'_>, compat: Compat) -> Read<(Op, i32)> {
    let create = Create::read(code, body)?;
    match mode_in_multi(create.flags, create.ttl_ms, compat)? {
        Err(error) => Ok((Op::Malformed { write: true, error }, CREATE)),
        Ok(mode) => {
            let kind = match mode {
                CreateMode::Container
                | CreateMode::PersistentTtl { .. }
                | CreateMode::PersistentSequentialTtl { .. } => CREATE_2,
                _ if compat == Compat::V3_9 && code == CREATE_2 => CREATE_2,
                _ => CREATE,
            };
            Ok((create.op(mode)?, kind))
        }
    }
}

/// "watch flags ignored (obs)"
fn multi_read(body: &mut Input<'_>) -> Read<Vec<Op>> {
    until_end(body, |code, body| {
        let (path, watch) = (body.text()?, false);
        body.bool()?;
        match code {
            GET_DATA => Ok(Op::GetData { path, watch }),
            GET_CHILDREN => Ok(Op::GetChildren { path, watch }),
            _ => Err(ZkError::MarshallingError),
        }
    })
}

/// A null scheme is unknown, and a null credential fails: both are refused as an unknown scheme is.
fn auth(body: &mut Input<'_>) -> Read<Op> {
    let (_, scheme, credential) = (body.int()?, body.string()?, body.buffer()?);
    Ok(match (scheme, credential) {
        (Some(scheme), Some(credential)) => Op::Auth { scheme, credential: credential.into() },
        _ => Op::Auth { scheme: String::new(), credential: [].into() },
    })
}

fn set_watches(code: i32, body: &mut Input<'_>) -> Read<Op> {
    let relative_zxid = Zxid(body.long()?.max(0) as u64);
    let mut paths = |is_sent: bool| match is_sent {
        true => body.vector(Input::text)?.ok_or(ZkError::MarshallingError),
        false => Ok(Vec::new()),
    };
    let stays = code == SET_WATCHES_2;
    Ok(Op::SetWatches {
        relative_zxid,
        data: paths(true)?,
        exist: paths(true)?,
        child: paths(true)?,
        persistent: paths(stays)?,
        recursive: paths(stays)?,
    })
}

/// A null path can be watched, if not recursively; it is never heard of again.
fn add_watch(body: &mut Input<'_>) -> Read<Op> {
    let path = body.string()?;
    match (body.int()?, path) {
        (0, path) => Ok(Op::AddWatch { path: path.unwrap_or_default(), mode: AddWatchMode::Persistent }),
        (1, Some(path)) => Ok(Op::AddWatch { path, mode: AddWatchMode::PersistentRecursive }),
        _ => Err(ZkError::MarshallingError),
    }
}

fn watcher_type(body: &mut Input<'_>, compat: Compat) -> Read<WatcherType> {
    match (body.int()?, compat) {
        (1, _) => Ok(WatcherType::Children),
        (2, _) => Ok(WatcherType::Data),
        (3, _) => Ok(WatcherType::Any),
        (4, Compat::V3_9) => Ok(WatcherType::Persistent),
        (5, Compat::V3_9) => Ok(WatcherType::PersistentRecursive),
        _ => Err(ZkError::MarshallingError),
    }
}
