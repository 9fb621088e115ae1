//! Answers — decides how the bytes of a reply or an event are shown. It never judges them.

use serde_json::{Map, Value, json};

use crate::{
    jute::Reader,
    player::Stop,
    recording::Op,
    symbols::{Symbols, data_out},
    words::{error_name, event_name, op_name, state_name},
};

/// A frame from the server, after the handshake.
#[derive(Debug)]
pub(crate) enum Frame {
    Event(Event),
    Reply(Reply),
}

/// A reply's header, and its body unread.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) xid: i32,
    pub(crate) zxid: i64,
    pub(crate) err: i32,
    body: Reader,
}

/// A watch event.
#[derive(Debug)]
pub(crate) struct Event {
    kind: i32,
    state: i32,
    path: Option<String>,
    zxid: i64,
}

/// xid of watch events.
const EVENT_XID: i32 = -1;

impl Frame {
    /// What these bytes are.
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, Stop> {
        let mut body = Reader::new(bytes);
        let (xid, zxid, err) = (body.int()?, body.long()?, body.int()?);
        if xid != EVENT_XID {
            return Ok(Self::Reply(Reply { xid, zxid, err, body }));
        }
        Ok(Self::Event(Event { kind: body.int()?, state: body.int()?, path: body.string()?, zxid }))
    }
}

impl Event {
    /// As recordings show it.
    pub(crate) fn shown(self, symbols: &Symbols) -> Value {
        json!({
            "type": event_name(self.kind).map_or(json!(self.kind), Value::from),
            "state": state_name(self.state).map_or(json!(self.state), Value::from),
            "path": symbols.shown_path(self.path),
            "hdr_zxid": symbols.zxid(self.zxid),
        })
    }
}

impl Reply {
    /// As recordings show the result of this operation.
    pub(crate) fn shown(mut self, op: &Op, symbols: &mut Symbols) -> Result<Map<String, Value>, Stop> {
        let mut shown = Map::new();
        shown.insert("err".into(), self.err.into());
        shown.insert("name".into(), error_name(self.err).into());
        shown.insert("zxid".into(), symbols.zxid(self.zxid).into());
        if self.xid < 0 {
            shown.insert("xid".into(), self.xid.into());
        }
        if self.body.left() == 0 {
            shown.insert("empty_body".into(), true.into());
            return Ok(shown);
        }
        if self.err == 0 {
            shown.extend(parse(op.name(), &mut self.body, symbols)?);
        }
        if self.body.left() > 0 {
            shown.insert("trailing".into(), self.body.left().into());
        }
        Ok(shown)
    }
}

fn parse(op: &str, body: &mut Reader, symbols: &mut Symbols) -> Result<Map<String, Value>, Stop> {
    let mut shown = Map::new();
    let mut show = |key: &str, value: Value| _ = shown.insert(key.to_owned(), value);
    match op {
        "create" | "sync" => show("path", symbols.shown_path(body.string()?)),
        "create2" | "createContainer" | "createTTL" => {
            show("path", symbols.shown_path(body.string()?));
            show("stat", symbols.stat(body)?);
        }
        "exists" | "set" | "setACL" => show("stat", symbols.stat(body)?),
        "get" | "reconfig" => {
            let data = data_out(body.buffer()?);
            if op == "get" {
                show("data", data);
            }
            show("stat", symbols.stat(body)?);
        }
        "getACL" => {
            let entry = |body: &mut Reader| Ok(json!([body.int()?, body.string()?, body.string()?]));
            show("acl", body.vector(entry)?.into());
            show("stat", symbols.stat(body)?);
        }
        "ls" => show("children", sorted(body)?.into()),
        "ls2" => {
            show("children", sorted(body)?.into());
            show("stat", symbols.stat(body)?);
        }
        "check" => {
            show("body_bytes", body.left().into());
            body.skip_rest();
        }
        "multi" | "multiRead" => show("results", results(body, symbols)?.into()),
        "countChildren" => show("count", body.int()?.into()),
        "getEphemerals" => {
            let paths = body.vector(Reader::string)?.unwrap_or_default().into_iter();
            let mut shown_paths: Vec<_> = paths.map(|path| symbols.shown_path(path)).collect();
            shown_paths.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
            show("paths", shown_paths.into());
        }
        "whoami" => {
            let id = |body: &mut Reader| Ok(json!([body.string()?, body.string()?]));
            show("ids", body.vector(id)?.into());
        }
        "addWatch" if body.left() >= 4 => show("body_err", body.int()?.into()),
        _ => {}
    }
    Ok(shown)
}

fn sorted(body: &mut Reader) -> Result<Vec<Option<String>>, Stop> {
    let mut names = body.vector(Reader::string)?.unwrap_or_default();
    names.sort();
    Ok(names)
}

/// The results of the parts of a multi.
fn results(body: &mut Reader, symbols: &mut Symbols) -> Result<Vec<Value>, Stop> {
    let mut results = Vec::new();
    loop {
        let (code, is_last, err) = (body.int()?, body.bool()?, body.int()?);
        if is_last {
            return Ok(results);
        }
        let mut result = Map::new();
        result.insert("type".into(), op_name(code).map_or(json!(code), Value::from));
        result.insert("hdr_err".into(), err.into());
        match op_name(code) {
            Some("error") => {
                let err = body.int()?;
                result.insert("err".into(), err.into());
                result.insert("name".into(), error_name(err).into());
            }
            Some(op @ ("create" | "create2" | "set" | "ls" | "get")) => {
                result.extend(parse(op, body, symbols)?);
            }
            _ => {}
        }
        results.push(result.into());
    }
}
