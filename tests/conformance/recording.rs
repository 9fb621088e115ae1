//! Recordings — decides how a file of operations and of a real server's results is read. It never plays one.

use std::{fmt, fs, path::Path};

use serde_json::{Map, Value};

/// A script with the results that a real server gave.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) profile: String,
    /// How what came is collected after each step.
    pub(crate) drain: Drain,
    /// The server itself makes transactions meanwhile: only the order of zxids can be compared.
    pub(crate) zxid_gaps: bool,
    /// tickTime, if the results depend on it.
    pub(crate) needs_tick: Option<u64>,
    /// It must never be sent to an ensemble.
    pub(crate) danger: bool,
    pub(crate) steps: Vec<Op>,
    /// What the real server answered to each.
    pub(crate) results: Vec<Value>,
}

/// What tells a session that all it was sent has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    Ping,
    Sync,
}

/// An operation as the file has it.
#[derive(Debug, Clone)]
pub(crate) struct Op(Map<String, Value>);

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it is none of this format, with the reason.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&mend(&text)).map_err(|error| error.to_string())?;
        let Value::Object(top) = value else { return Err("no object".into()) };
        let top = Op(top);
        let steps = top.list("steps").ok_or("no list of steps")?;
        let mut ops = Vec::new();
        let mut results = Vec::new();
        for step in steps {
            let mut op = Op::of(step).ok_or("a step is no object")?;
            results.push(op.0.remove("result").ok_or("a step has no result")?);
            ops.push(op);
        }
        Ok(Self {
            name: top.text("name").ok_or("no name")?.to_owned(),
            profile: top.text("profile").ok_or("no profile")?.to_owned(),
            drain: if top.text("drain") == Some("sync") { Drain::Sync } else { Drain::Ping },
            zxid_gaps: top.flag("zxid_gaps"),
            needs_tick: top.int("needs_tick").and_then(|tick| u64::try_from(tick).ok()),
            danger: top.has("danger"),
            steps: ops,
            results,
        })
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Value::Object(self.0.clone()))
    }
}

impl Op {
    /// The operation that a value describes.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        value.as_object().cloned().map(Self)
    }

    /// An operation of this name on a path.
    pub(crate) fn new(name: &str, path: &str) -> Self {
        let fields = [("op", name), ("path", path)].map(|(key, text)| (key.to_owned(), text.into()));
        Self(fields.into_iter().collect())
    }

    /// What it does.
    pub(crate) fn name(&self) -> &str {
        self.text("op").unwrap_or_default()
    }

    /// An argument, if it is given.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Whether an argument is given, be it null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// A whole number.
    pub(crate) fn int(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_i64()
    }

    /// A flag: what Python takes for true.
    pub(crate) fn flag(&self, key: &str) -> bool {
        match self.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
            Some(Value::Bool(true)) => true,
        }
    }

    /// A list.
    pub(crate) fn list(&self, key: &str) -> Option<&[Value]> {
        self.get(key)?.as_array().map(Vec::as_slice)
    }

    /// The operations inside it.
    pub(crate) fn ops(&self) -> Vec<Self> {
        self.list("ops").unwrap_or_default().iter().filter_map(Self::of).collect()
    }
}

/// Where lone surrogates are kept in texts of ours, which cannot hold them: in a private plane, each at this
/// distance.
pub(crate) const SURROGATE_SHIFT: u32 = 0x10_0000;

/// The text with its escapes of lone surrogates replaced, which JSON allows and Rust's strings do not.
pub(crate) fn mend(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let lone = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => None,
            (Some(unit @ 0xD800..=0xDFFF), _) => char::from_u32(unit + SURROGATE_SHIFT),
            _ => None,
        };
        let length = match (lone, unit(rest)) {
            (Some(_), _) => 6,
            (None, Some(0xD800..=0xDBFF)) => 12,
            // A backslash and what it escapes.
            _ => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        match lone {
            Some(lone) => mended.push(lone),
            None => mended.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    mended + rest
}

/// The code unit that the text begins with, if with an escaped one.
fn unit(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}
