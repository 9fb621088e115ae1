//! Replies — decides which record a reply is on the wire, by what was asked. It never decides the answer.

use super::{codes::*, output::Output};
use crate::zookeeper::wire::{Reply, ServerFrame, WatchChange, ZkError};

/// xid of notifications.
pub(super) const NOTIFICATION_XID: i32 = -1;
/// `KeeperState.SyncConnected`.
const SYNC_CONNECTED: i32 = 3;

/// How the reply to a request differs on the wire from what [`Reply`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// Not at all.
    Plain,
    /// create: no Stat.
    PathOnly,
    /// getChildren: no Stat.
    NamesOnly,
    /// addWatch: four bytes of zero.
    Zero,
    /// sync of a null path.
    NullPath,
    /// multi: the kind of each result.
    Multi(Vec<i32>),
}

impl Shape {
    /// The shape that the op code alone decides.
    pub(super) fn of(code: i32) -> Self {
        match code {
            CREATE => Self::PathOnly,
            GET_CHILDREN => Self::NamesOnly,
            ADD_WATCH => Self::Zero,
            _ => Self::Plain,
        }
    }
}

/// Number of a watch event (`Watcher.Event.EventType`).
pub(super) fn change_number(change: WatchChange) -> i32 {
    match change {
        WatchChange::NodeCreated => 1,
        WatchChange::NodeDeleted => 2,
        WatchChange::NodeDataChanged => 3,
        WatchChange::NodeChildrenChanged => 4,
    }
}

/// Writes everything but the answer to a connect request, as a frame.
pub(super) fn write(frame: &ServerFrame, shape: &Shape, bytes: &mut Vec<u8>) {
    let mut out = Output::begin(bytes);
    match frame {
        ServerFrame::Connected { .. } => unreachable!("only a connect request is answered so"),
        ServerFrame::Reply { xid, zxid, result } => {
            let error = result.as_ref().err().map_or(0, |error| error.code());
            out.int(*xid).long(zxid.0 as i64).int(error);
            if let Ok(reply) = result {
                body(reply, shape, &mut out);
            }
        }
        ServerFrame::Notification { event, zxid } => {
            out.int(NOTIFICATION_XID).long(zxid.0 as i64).int(0);
            out.int(change_number(event.change)).int(SYNC_CONNECTED).text(&event.path);
        }
    }
    out.end();
}

fn body(reply: &Reply, shape: &Shape, out: &mut Output<'_>) {
    match (reply, shape) {
        (Reply::Created { path, .. }, Shape::PathOnly) => out.text(path),
        (Reply::Created { path, stat }, _) => out.text(path).stat(stat),
        (Reply::Done, Shape::Zero) => out.int(0),
        (Reply::Done, _) => out,
        (Reply::Stat(stat), _) => out.stat(stat),
        (Reply::Data { data, stat }, _) => out.buffer(data.as_deref()).stat(stat),
        (Reply::Children { names, .. }, Shape::NamesOnly) => out.texts(names),
        (Reply::Children { names, stat }, _) => out.texts(names).stat(stat),
        (Reply::Acl { acl, stat }, _) => out.acl(acl).stat(stat),
        (Reply::Count(count), _) => out.int(*count),
        (Reply::Paths(paths), _) => out.texts(paths),
        (Reply::Ids(ids), _) => {
            out.count(ids.len());
            ids.iter().fold(out, |out, id| out.text(&id.scheme).text(&id.id))
        }
        (Reply::Synced { .. }, Shape::NullPath) => out.maybe_text(None),
        (Reply::Synced { path }, _) => out.text(path),
        (Reply::Multi(results), Shape::Multi(kinds)) => multi(results, kinds, out),
        (Reply::Multi(results), _) => multi_read(results, out),
    };
}

/// "Header err 0 even on failure: ops before the failing one `error 0`, it its code, later ones
/// RuntimeInconsistency": one failure turns every result into an error.
fn multi<'a, 'b>(
    results: &[Result<Reply, ZkError>],
    kinds: &[i32],
    out: &'b mut Output<'a>,
) -> &'b mut Output<'a> {
    let is_failure = results.iter().any(Result::is_err);
    for (at, result) in results.iter().enumerate() {
        match result {
            Ok(reply) if !is_failure => multi_success(reply, kinds.get(at).copied(), out),
            Ok(_) => failed(0, out),
            Err(error) => failed(error.code(), out),
        }
    }
    out.multi_header(-1, true, -1)
}

fn multi_success(reply: &Reply, kind: Option<i32>, out: &mut Output<'_>) {
    let shape = Shape::of(kind.unwrap_or_default());
    let kind = kind.unwrap_or(DELETE);
    out.multi_header(kind, false, 0);
    body(reply, &shape, out);
}

fn failed(code: i32, out: &mut Output<'_>) {
    out.multi_header(ERROR, false, code).int(code);
}

/// Every op has its own result, and children come without a Stat.
fn multi_read<'a, 'b>(results: &[Result<Reply, ZkError>], out: &'b mut Output<'a>) -> &'b mut Output<'a> {
    for result in results {
        match result {
            Ok(reply @ Reply::Children { .. }) => {
                body(reply, &Shape::NamesOnly, out.multi_header(GET_CHILDREN, false, 0));
            }
            Ok(reply) => body(reply, &Shape::Plain, out.multi_header(GET_DATA, false, 0)),
            Err(error) => failed(error.code(), out),
        }
    }
    out.multi_header(-1, true, -1)
}
