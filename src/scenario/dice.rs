//! Fixed draws — decides how a scenario file fixes one draw of the dice, and what can be fixed. It never draws
//! anything.
//!
//! Every chance of a run is drawn by a key of its own: a question, such as `net.delay`, and whose it is. A file can say
//! what one of them shows, and every other stays as it was: one message comes late, one write is torn in the middle.

mod questions;

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::questions::*;
use crate::scenario::duration;

/// `[[dice]]`: what one draw shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedDraw {
    /// The question, such as `net.delay`; `shardarium list dice` has all. Required.
    pub key: String,
    /// Whose draw it is: what the question is asked with, such as `["zk-1", "zk-2", 17]`. Required.
    pub at: Vec<Part>,
    /// What it shows: a span in quotes, a number, a share from 0 to below 1, or true or false. A list, if several are
    /// drawn in a row; the rest is drawn. Required.
    pub value: Shown,
}

/// One part of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Part {
    /// A number.
    Number(u64),
    /// A host, a file, a time.
    Text(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What a draw shows, or several in a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Shown {
    /// Once.
    One(Written),
    /// The first so many times.
    Several(Vec<Written>),
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Written {
    /// Whether it happens.
    Flag(bool),
    /// A number.
    Number(i64),
    /// A share.
    Share(f64),
    /// A span.
    Span(String),
}

/// A value that a draw can show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Whether it happens.
    Flag(bool),
    /// A number.
    Number(i64),
    /// A share, from 0 to below 1.
    Share(f64),
    /// A span.
    Span(Duration),
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A span of time.
    Span,
    /// A number from 0.
    Number,
    /// A number from 0 to below this.
    Below(u32),
    /// A number that can be negative.
    Signed,
    /// A share, from 0 to below 1.
    Share,
    /// Whether it happens.
    Flag,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span => f.write_str("a span such as \"250ms\""),
            Self::Number => f.write_str("a number from 0"),
            Self::Below(end) => write!(f, "a number from 0 to {}", end - 1),
            Self::Signed => f.write_str("a number"),
            Self::Share => f.write_str("a share from 0 to below 1"),
            Self::Flag => f.write_str("true or false"),
        }
    }
}

impl Kind {
    /// The value that is written, if it is of this kind and within its range.
    fn read(self, written: &Written) -> Option<Value> {
        let number = match (self, written) {
            (Self::Span, Written::Span(text)) => return duration::parse(text).ok().map(Value::Span),
            (Self::Flag, Written::Flag(flag)) => return Some(Value::Flag(*flag)),
            (Self::Share, Written::Number(0)) => return Some(Value::Share(0.0)),
            (Self::Share, Written::Share(share)) => {
                return Some(Value::Share(*share)).filter(|_| (0.0..1.0).contains(share));
            }
            (_, Written::Number(number)) => *number,
            _ => return None,
        };
        let is_within = match self {
            Self::Number => number >= 0,
            Self::Below(end) => (0..i64::from(end)).contains(&number),
            Self::Signed => true,
            Self::Span | Self::Share | Self::Flag => false,
        };
        is_within.then_some(Value::Number(number))
    }
}

/// Why something cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unshowable {
    /// There are more values than draws in a row; so many there are.
    TooMany(usize),
    /// The value of this place is not of this kind.
    NotOfKind(usize, Kind),
}

impl FixedDraw {
    /// The question it answers, if there is such a one.
    pub fn question(&self) -> Option<&'static Entry> {
        QUESTIONS.iter().find(|entry| entry.name == self.key)
    }

    /// The values that its draws show.
    ///
    /// # Errors
    ///
    /// If they are not what is drawn.
    pub fn values(&self, question: &Entry) -> Result<Vec<Value>, Unshowable> {
        let written = match &self.value {
            Shown::One(one) => std::slice::from_ref(one),
            Shown::Several(several) => several,
        };
        if written.len() > question.values.len() {
            return Err(Unshowable::TooMany(question.values.len()));
        }
        let read = |(at, (written, kind)): (usize, (&Written, &Kind))| {
            kind.read(written).ok_or(Unshowable::NotOfKind(at, *kind))
        };
        written.iter().zip(question.values).enumerate().map(read).collect()
    }
}

impl fmt::Display for FixedDraw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at: Vec<String> = self.at.iter().map(Part::to_string).collect();
        write!(f, "{} of {}", self.key, at.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Result<Vec<Value>, Unshowable> {
        let fixed: FixedDraw = toml::from_str(text).unwrap();
        fixed.values(fixed.question().unwrap())
    }

    #[test]
    fn values_are_read_as_what_is_drawn() {
        let late = "key = \"net.delay\"\nat = [\"zk-1\", \"zk-2\", 17]\nvalue = \"3s\"";
        assert_eq!(values(late), Ok(vec![Value::Span(Duration::from_secs(3))]));
        let torn = "key = \"disk.crash\"\nat = [\"zk-1\", 1, \"log\"]\nvalue = [2, 40]";
        assert_eq!(values(torn), Ok(vec![Value::Number(2), Value::Number(40)]));
        let share = "key = \"zookeeper.operation\"\nat = [\"client-2\", 1, 2, 0]\nvalue = 0";
        assert_eq!(values(share), Ok(vec![Value::Share(0.0)]));
    }

    #[test]
    fn value_of_another_kind_or_out_of_range_is_told() {
        let fixed = |key: &str, value: &str| values(&format!("key = \"{key}\"\nat = []\nvalue = {value}"));
        assert_eq!(fixed("net.delay", "3"), Err(Unshowable::NotOfKind(0, Kind::Span)));
        assert_eq!(fixed("net.delay", "\"9w\""), Err(Unshowable::NotOfKind(0, Kind::Span)));
        assert_eq!(fixed("net.delay", "[\"1s\", \"2s\"]"), Err(Unshowable::TooMany(1)));
        assert_eq!(fixed("disk.crash", "4"), Err(Unshowable::NotOfKind(0, Kind::Below(4))));
        assert_eq!(fixed("disk.crash", "[0, -1]"), Err(Unshowable::NotOfKind(1, Kind::Number)));
        assert_eq!(fixed("zookeeper.operation", "1.0"), Err(Unshowable::NotOfKind(0, Kind::Share)));
        assert_eq!(fixed("recipes.resign", "1"), Err(Unshowable::NotOfKind(0, Kind::Flag)));
    }
}
