//! Symbols — decides how what differs from run to run (zxids, sessions, times, the script's own folder) is
//! written so that it compares. It never compares.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::{jute::Reader, player::Stop, recording::Op};

/// How a container's owner is written inside the server.
const CONTAINER: i64 = i64::MIN;
/// The longest data that a recording shows as it is, in bytes.
const SHOWN_MAX: usize = 300;

/// What the symbols of a run stand for.
#[derive(Debug)]
pub(crate) struct Symbols {
    /// The folder that `$R` stands for.
    root: String,
    /// The zxid that made it.
    pub(crate) base: i64,
    saved: BTreeMap<String, i64>,
    owners: BTreeMap<i64, String>,
    /// The time first seen for each zxid.
    times: BTreeMap<i64, i64>,
}

impl Symbols {
    /// The symbols of a run of this script, before it has a base.
    pub(crate) fn new(script: &str) -> Self {
        Self {
            root: format!("/tr-{script}-5ade0f"),
            base: 0,
            saved: BTreeMap::new(),
            owners: BTreeMap::new(),
            times: BTreeMap::new(),
        }
    }

    /// A path of the script as the server gets it.
    pub(crate) fn path(&self, path: &str) -> String {
        path.replace("$R", &self.root)
    }

    /// A path of the server as a recording shows it.
    pub(crate) fn shown_path(&self, path: Option<String>) -> Value {
        path.map_or(Value::Null, |path| path.replace(&self.root, "$R").into())
    }

    /// Whose session this is, if nobody's yet.
    pub(crate) fn own(&mut self, session: i64, name: &str) {
        self.owners.entry(session).or_insert_with(|| name.to_owned());
    }

    /// Remembers a zxid.
    pub(crate) fn save(&mut self, name: &str, zxid: i64) {
        self.saved.insert(name.to_owned(), zxid);
    }

    /// A zxid as a recording shows it.
    pub(crate) fn zxid(&self, zxid: i64) -> String {
        let (epoch, base_epoch) = (zxid >> 32, self.base >> 32);
        match zxid {
            ..=0 => zxid.to_string(),
            _ if epoch == base_epoch => format!("z{:+}", zxid - self.base),
            _ => format!("e{:+}z{}", epoch - base_epoch, zxid & 0xFFFF_FFFF),
        }
    }

    /// A zxid that an argument gives: a number, `last`, `z+N` or a saved name.
    pub(crate) fn given_zxid(&self, given: Option<&Value>, last: i64) -> Result<i64, Stop> {
        let unknown = || Stop::Fault(format!("{given:?} is no zxid"));
        match given {
            None => Ok(last),
            Some(Value::Number(number)) => number.as_i64().ok_or_else(unknown),
            Some(Value::String(word)) if word == "last" => Ok(last),
            Some(Value::String(word)) => match self.saved.get(word) {
                Some(zxid) => Ok(*zxid),
                None => {
                    let offset = word.get(1..).and_then(|offset| offset.parse::<i64>().ok());
                    offset.map(|offset| self.base + offset).ok_or_else(unknown)
                }
            },
            Some(_) => Err(unknown()),
        }
    }

    fn owner(&self, owner: i64) -> String {
        match owner {
            0 => "0".into(),
            CONTAINER => "container".into(),
            _ if owner as u64 >> 56 == 0xFF => format!("ttl:{}", owner & 0xFF_FFFF_FFFF),
            _ => format!("@{}", self.owners.get(&owner).map_or("?", String::as_str)),
        }
    }

    /// Reads a Stat.
    pub(crate) fn stat(&mut self, reader: &mut Reader) -> Result<Value, Stop> {
        let (czxid, mzxid, ctime, mtime) = (reader.long()?, reader.long()?, reader.long()?, reader.long()?);
        let (version, cversion, aversion) = (reader.int()?, reader.int()?, reader.int()?);
        let (owner, len, kids, pzxid) = (reader.long()?, reader.int()?, reader.int()?, reader.long()?);
        let dated = [(czxid, ctime, "ctime"), (mzxid, mtime, "mtime")];
        let wrong = dated.into_iter().filter(|(zxid, time, _)| self.is_wrong(*zxid, *time));
        let wrong: Vec<_> = wrong.map(|(_, _, name)| name).collect();
        let times = if wrong.is_empty() { "ok".into() } else { format!("bad:{}", wrong.join(",")) };
        Ok(json!({
            "czxid": self.zxid(czxid), "mzxid": self.zxid(mzxid), "pzxid": self.zxid(pzxid),
            "version": version, "cversion": cversion, "aversion": aversion,
            "owner": self.owner(owner), "len": len, "kids": kids, "times": times,
        }))
    }

    /// Whether a transaction of the script has another time than when it was first seen.
    fn is_wrong(&mut self, zxid: i64, time: i64) -> bool {
        zxid > self.base && *self.times.entry(zxid).or_insert(time) != time
    }
}

/// Data as an argument gives it.
pub(crate) fn data_in(op: &Op, key: &str) -> Result<Option<Vec<u8>>, Stop> {
    let unknown = || Stop::Fault(format!("{:?} is no data", op.get(key)));
    match op.get(key) {
        None => Ok(Some(Vec::new())),
        Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone().into_bytes())),
        Some(value) => {
            let form = Op::of(value).ok_or_else(unknown)?;
            match (form.text("fill"), form.int("n"), form.text("hex")) {
                (Some(fill), Some(count), _) => Ok(Some(fill.repeat(count.max(0) as usize).into_bytes())),
                (None, _, Some(hex)) => bytes_of(hex).map(Some),
                _ => Err(unknown()),
            }
        }
    }
}

/// The bytes of hexadecimal digits.
pub(crate) fn bytes_of(hex: &str) -> Result<Vec<u8>, Stop> {
    let digits: Vec<u32> =
        hex.chars().filter(|c| !c.is_ascii_whitespace()).filter_map(|c| c.to_digit(16)).collect();
    let is_whole = digits.len().is_multiple_of(2)
        && digits.len() == hex.split_ascii_whitespace().map(str::len).sum::<usize>();
    let bytes = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8));
    if is_whole { Ok(bytes.collect()) } else { Err(Stop::Fault(format!("{hex} is not hexadecimal"))) }
}

/// Data as a recording shows it.
pub(crate) fn data_out(data: Option<Vec<u8>>) -> Value {
    let Some(bytes) = data else { return Value::Null };
    if bytes.len() > SHOWN_MAX {
        return json!({ "len": bytes.len(), "sha1": hex(&Sha1::digest(&bytes)) });
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains('\n') || text.chars().all(is_printable) => text.into(),
        _ => json!({ "hex": hex(&bytes) }),
    }
}

/// What Python's `isprintable` says of a character. The debug form of a text escapes just what is not
/// printable, and quotes and backslashes with one backslash.
fn is_printable(c: char) -> bool {
    let shown: String = format!("a{c}").escape_debug().skip(1).collect();
    shown.strip_prefix('\\').unwrap_or(&shown) == c.to_string() || shown == c.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes all");
        text
    })
}
