//! Connections — decides how stat and cons list who is connected. It never counts anything.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Peer, View};
use crate::{
    core::{ConnId, Instant},
    name::SessionId,
    zookeeper::server::status::Connection,
};

/// As stat lists them.
pub(super) fn brief(view: &View<'_>) -> String {
    lines(view, |_, _, out| out.push(')'))
}

/// As cons lists them.
pub(super) fn full(view: &View<'_>) -> String {
    lines(view, |view, connection, out| {
        if let Some(connection) = connection.filter(|connection| connection.session != SessionId::NONE) {
            session(view, connection, out).expect("a string takes everything");
        }
        out.push(')');
    })
}

fn lines(view: &View<'_>, tail: impl Fn(&View<'_>, Option<&Connection>, &mut String)) -> String {
    let known: BTreeMap<ConnId, &Connection> =
        view.status.connections.iter().map(|connection| (connection.conn, connection)).collect();
    let mut out = String::new();
    for Peer { conn, address, is_read } in view.peers {
        let connection = known.get(conn).copied();
        // One that the server does not know yet has said a word.
        let (queued, received, sent) = connection.map_or((0, 1, 0), |connection| {
            (connection.queued, connection.traffic.received, connection.traffic.sent)
        });
        let interest = u8::from(*is_read);
        write!(out, " /{address}[{interest}](queued={queued},recved={received},sent={sent}")
            .expect("a string takes everything");
        tail(view, connection, &mut out);
        out.push('\n');
    }
    out
}

fn session(view: &View<'_>, connection: &Connection, out: &mut String) -> std::fmt::Result {
    let latency = connection.traffic.latency;
    let ago = |at: Instant| view.now.mono.since(at).as_millis() as i64;
    write!(out, ",sid={:#x}", connection.session.0)?;
    let last_op = connection.last.map_or("NA", |last| code(last.op));
    write!(out, ",lop={last_op},est={}", view.now.wall_ms - ago(connection.since))?;
    write!(out, ",to={}", connection.timeout_ms)?;
    if let Some(last) = connection.last {
        if last.xid >= 0 {
            write!(out, ",lcxid={:#x}", last.xid)?;
        }
        write!(out, ",lzxid={:#x},lresp={}", last.zxid.0 as i64, last.at.0 / 1_000_000)?;
    }
    write!(
        out,
        ",llat={},minlat={},avglat={},maxlat={}",
        latency.last.as_millis(),
        latency.min.as_millis(),
        latency.avg().as_millis(),
        latency.max.as_millis()
    )
}

/// How `FinalRequestProcessor.java` abbreviates an operation.
fn code(op: &str) -> &'static str {
    match op {
        "create" => "CREA",
        "delete" | "deleteContainer" => "DELE",
        "setData" => "SETD",
        "setACL" => "SETA",
        "check" => "CHEC",
        "multi" => "MULT",
        "multiRead" => "MLTR",
        "reconfig" => "RECO",
        "closeSession" => "CLOS",
        "exists" => "EXIS",
        "getData" => "GETD",
        "getACL" => "GETA",
        "getChildren" => "GETC",
        "getAllChildrenNumber" => "GETACN",
        "getEphemerals" => "GETE",
        "whoAmI" => "HOMI",
        "sync" => "SYNC",
        "setWatches" => "SETW",
        "addWatch" => "ADDW",
        "removeWatches" => "REMW",
        "checkWatches" => "CHKW",
        "ping" => "PING",
        "createSession" => "SESS",
        _ => "NA",
    }
}
