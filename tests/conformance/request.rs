//! Requests — decides the bytes of an operation. It never sends them.

use serde_json::Value;

use crate::{
    jute::Writer,
    player::Stop,
    recording::Op,
    symbols::{Symbols, bytes_of, data_in},
    words::{mode, op_code},
};

/// The op code of a request.
pub(crate) fn code(op: &Op) -> Result<i32, Stop> {
    let given = op.int("type_code").and_then(|code| i32::try_from(code).ok());
    given.or(op_code(op.name())).ok_or_else(|| Stop::Fault(format!("`{}` has no op code", op.name())))
}

/// The body of a request; `last` is the last zxid that its session saw.
pub(crate) fn body(op: &Op, symbols: &Symbols, last: i64) -> Result<Vec<u8>, Stop> {
    write(Writer::default(), op, symbols, last).map(|writer| writer.0)
}

fn write(to: Writer, op: &Op, symbols: &Symbols, last: i64) -> Result<Writer, Stop> {
    let path = op.text("path").map(|path| symbols.path(path));
    let path = path.as_deref();
    Ok(match op.name() {
        "create" | "create2" | "createContainer" => {
            let usual = if op.name() == "createContainer" { "c" } else { "p" };
            acl(to.string(path).buffer(data_in(op, "data")?.as_deref()), op, "open")?.int(flags(op, usual)?)
        }
        "createTTL" => acl(to.string(path).buffer(data_in(op, "data")?.as_deref()), op, "open")?
            .int(flags(op, "t")?)
            .long(op.int("ttl").unwrap_or(1000)),
        "delete" | "check" => to.string(path).int(version(op)),
        "exists" | "get" | "ls" | "ls2" => to.string(path).bool(op.flag("watch")),
        "set" => to.string(path).buffer(data_in(op, "data")?.as_deref()).int(version(op)),
        "getACL" | "sync" | "countChildren" | "deleteContainer" => to.string(path),
        "getEphemerals" => to.string(op.text("prefix").map(|prefix| symbols.path(prefix)).as_deref()),
        "setACL" => acl(to.string(path), op, "")?.int(version(op)),
        "multi" | "multiRead" => {
            let parts = op.ops().iter().try_fold(to, |to, part| {
                let code = op_code(part.name())
                    .ok_or_else(|| Stop::Fault(format!("`{}` has no op code", part.name())))?;
                write(to.int(code).bool(false).int(-1), part, symbols, last)
            })?;
            parts.int(-1).bool(true).int(-1)
        }
        "addWatch" => to.string(path).int(op.int("mode").unwrap_or(0) as i32),
        "removeWatches" | "checkWatches" => to.string(path).int(op.int("type").unwrap_or(0) as i32),
        "setWatches" => watches(to, op, &["data", "exist", "child"], symbols, last)?,
        "setWatches2" => {
            watches(to, op, &["data", "exist", "child", "persistent", "recursive"], symbols, last)?
        }
        "auth" => to.int(0).string(op.text("scheme")).buffer(data_in(op, "cred")?.as_deref()),
        "reconfig" => {
            let texts = ["joining", "leaving", "members"].map(|key| op.text(key));
            let to = texts.into_iter().fold(to, Writer::string);
            to.long(op.int("fromConfig").unwrap_or(-1))
        }
        "ping" | "close" | "whoami" => to,
        "raw" => to.bytes(&bytes_of(op.text("hex").unwrap_or_default())?),
        other => return Err(Stop::Fault(format!("`{other}` is no operation"))),
    })
}

fn version(op: &Op) -> i32 {
    op.int("version").unwrap_or(-1) as i32
}

fn flags(op: &Op, usual: &str) -> Result<i32, Stop> {
    let named = |name: &str| mode(name).ok_or_else(|| Stop::Fault(format!("`{name}` is no mode")));
    match op.get("mode") {
        None => named(usual),
        Some(Value::String(name)) => named(name),
        Some(_) => Ok(op.int("mode").unwrap_or_default() as i32),
    }
}

/// An access control list: by name, or a list of permissions, scheme and id.
fn acl(to: Writer, op: &Op, usual: &str) -> Result<Writer, Stop> {
    let world = |perms: i32| vec![(perms, Some("world".to_owned()), Some("anyone".to_owned()))];
    let name = if op.has("acl") { op.text("acl") } else { Some(usual) };
    let list = match (name, op.list("acl")) {
        (Some("open"), _) => Some(world(31)),
        (Some("read"), _) => Some(world(1)),
        (Some("creator"), _) => Some(vec![(31, Some("auth".into()), Some(String::new()))]),
        (Some("empty"), _) => Some(Vec::new()),
        (Some("null"), _) => None,
        (None, Some(entries)) => Some(entries.iter().map(entry).collect::<Result<_, _>>()?),
        (None, None) if op.get("acl") == Some(&Value::Null) => None,
        _ => return Err(Stop::Fault(format!("{:?} is no access control list", op.get("acl")))),
    };
    to.vector(list.as_deref(), |to, (perms, scheme, id)| {
        Ok(to.int(*perms).string(scheme.as_deref()).string(id.as_deref()))
    })
}

fn entry(value: &Value) -> Result<(i32, Option<String>, Option<String>), Stop> {
    let text = |at: usize| value.get(at).and_then(Value::as_str).map(str::to_owned);
    match value.get(0).and_then(Value::as_i64) {
        Some(perms) => Ok((perms as i32, text(1), text(2))),
        None => Err(Stop::Fault(format!("{value} is no entry of an access control list"))),
    }
}

fn watches(to: Writer, op: &Op, lists: &[&str], symbols: &Symbols, last: i64) -> Result<Writer, Stop> {
    let to = to.long(symbols.given_zxid(op.get("rel"), last)?);
    lists.iter().try_fold(to, |to, list| {
        let paths = op.list(list).unwrap_or_default();
        to.vector(Some(paths), |to, path| {
            Ok(to.string(path.as_str().map(|path| symbols.path(path)).as_deref()))
        })
    })
}
