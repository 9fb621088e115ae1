//! Names — decides which words and numbers identify things across rooms. It never gives them behaviour.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a host is for; the first half of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HostKind {
    /// A ZooKeeper server: `zk-1`. The number is its server id (`myid`).
    ZooKeeper,
    /// A search node: `search-1`.
    Search,
    /// A simulated client or operator: `client-1`.
    Client,
}

/// A simulated machine, written `zk-1`, `search-3`, `client-1`; numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId {
    /// What the host is for.
    pub kind: HostKind,
    /// One-based number among its kind.
    pub number: u16,
}

impl HostId {
    /// The ZooKeeper server with this `myid`.
    pub const fn zookeeper(number: u16) -> Self {
        Self { kind: HostKind::ZooKeeper, number }
    }

    /// The search node with this number.
    pub const fn search(number: u16) -> Self {
        Self { kind: HostKind::Search, number }
    }

    /// The client host with this number.
    pub const fn client(number: u16) -> Self {
        Self { kind: HostKind::Client, number }
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            HostKind::ZooKeeper => "zk",
            HostKind::Search => "search",
            HostKind::Client => "client",
        };
        f.pad(&format!("{kind}-{}", self.number))
    }
}

/// A host name that is not `zk-N`, `search-N` or `client-N` with N from 1 to 65535.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host name: expected `zk-N`, `search-N` or `client-N`, N from 1")]
pub struct BadHostName(pub String);

impl FromStr for HostId {
    type Err = BadHostName;

    fn from_str(text: &str) -> Result<Self, BadHostName> {
        let bad = || BadHostName(text.to_owned());
        let (kind, number) = text.split_once('-').ok_or_else(bad)?;
        let kind = match kind {
            "zk" => HostKind::ZooKeeper,
            "search" => HostKind::Search,
            "client" => HostKind::Client,
            _ => return Err(bad()),
        };
        if number.starts_with(['0', '+']) {
            return Err(bad());
        }
        Ok(Self { kind, number: number.parse().map_err(|_| bad())? })
    }
}

/// Its name where people read; two numbers where they do not: a cluster state names hosts by the thousand.
impl Serialize for HostId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.kind, self.number).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for HostId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return text.parse().map_err(serde::de::Error::custom);
        }
        let (kind, number) = Deserialize::deserialize(deserializer)?;
        Ok(Self { kind, number })
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!($format, self.0))
            }
        }
    };
}

number!(
    /// A Zab epoch, or a controller's epoch: how many leaders came before.
    Epoch(u32), "{}"
);
number!(
    /// A ZooKeeper transaction id: epoch in the high half, counter in the low half.
    Zxid(u64), "{:#x}"
);
number!(
    /// A ZooKeeper session id; 0 means none. The top byte is the server that made it.
    SessionId(u64), "{:#x}"
);
number!(
    /// A primary term: how often a primary of this shard has been assigned.
    Term(u64), "{}"
);
number!(
    /// A sequence number of an operation on a shard, dense from 0; -1 means none yet.
    SeqNo(i64), "{}"
);
number!(
    /// The identity of one copy of a shard for as long as its data is the same line of history.
    /// The controller draws it: its epoch in the high half, a counter in the low half.
    AllocationId(u64), "{:x}"
);
number!(
    /// The identity of an index: one that is made again under the same name is another. The node that was
    /// asked for it draws it, so that a wish that is told twice makes one index.
    IndexUuid(u64), "{:016x}"
);
number!(
    /// Simulated time since the start of the run, in nanoseconds.
    SimTime(u64), "{}ns"
);

impl Zxid {
    /// The zxid of `counter` in `epoch`.
    pub const fn new(epoch: Epoch, counter: u32) -> Self {
        Self(((epoch.0 as u64) << 32) | counter as u64)
    }

    /// The epoch in the high half.
    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// The counter in the low half.
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }
}

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Term {
    /// The term after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl SeqNo {
    /// No operation yet (Elasticsearch's `NO_OPS_PERFORMED`).
    pub const NONE: Self = Self(-1);

    /// The sequence number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl SimTime {
    /// The span since the start of the run.
    pub const fn since_start(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }

    /// Seconds since the start of the run, for display.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl From<std::time::Duration> for SimTime {
    fn from(span: std::time::Duration) -> Self {
        Self(span.as_nanos() as u64)
    }
}

/// The name of an index. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IndexName(pub Arc<str>);

impl fmt::Display for IndexName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for IndexName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

/// One shard of an index, written `articles/0`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    /// The index it belongs to.
    pub index: IndexName,
    /// Zero-based number within the index.
    pub number: u32,
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.index, self.number))
    }
}

impl FromStr for ShardId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.rsplit_once('/').and_then(|(index, number)| {
            let number = number.parse().ok()?;
            (!index.is_empty()).then(|| Self { index: index.into(), number })
        });
        parsed.ok_or_else(|| format!("`{text}` is not a shard: expected `index/number`"))
    }
}

impl Serialize for ShardId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ShardId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A client's request, by its number in the record: which request of which of its client's operations.
///
/// Written as scenario files name the operation, `310 of client-2` for `client = "client-2", number = 310`, with the
/// part of one that is made of several. A number that is no operation's stands as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl RequestId {
    /// Requests that an operation can be made of.
    pub const PER_OPERATION: u32 = 64;

    /// The first request of a client's operation.
    pub const fn first(client: HostId, operation: u32) -> Self {
        Self(((client.number as u64) << 32) | (operation as u64 * Self::PER_OPERATION as u64))
    }

    /// The client, the number of its operation, and which part of that it is, from 0.
    pub fn operation(self) -> Option<(HostId, u32, u32)> {
        let client = u16::try_from(self.0 >> 32).ok().filter(|number| *number > 0)?;
        let low = self.0 as u32;
        Some((HostId::client(client), low / Self::PER_OPERATION, low % Self::PER_OPERATION))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation() {
            None => write!(f, "{}", self.0),
            Some((client, number, 0)) => write!(f, "{number} of {client}"),
            Some((client, number, part)) => write!(f, "{number} of {client} (part {part})"),
        }
    }
}

/// A session id as text, for places where JSON's numbers would lose bits.
impl SessionId {
    /// No session.
    pub const NONE: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zxid_splits_into_epoch_and_counter() {
        let zxid = Zxid::new(Epoch(7), 9);
        assert_eq!((zxid.epoch(), zxid.counter()), (Epoch(7), 9));
        assert!(Zxid::new(Epoch(8), 0) > zxid);
    }

    #[test]
    fn request_is_named_as_its_operation_is() {
        let request = RequestId::first(HostId::client(2), 310);
        assert_eq!((request, request.to_string().as_str()), (RequestId(8_589_954_432), "310 of client-2"));
        assert_eq!(RequestId(request.0 + 3).to_string(), "310 of client-2 (part 3)");
        assert_eq!(
            (RequestId(7).to_string(), RequestId(1 << 48).to_string()),
            ("7".into(), (1u64 << 48).to_string())
        );
    }

    #[test]
    fn host_name_round_trips() {
        for text in ["zk-1", "search-12", "client-3"] {
            assert_eq!(text.parse::<HostId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn host_name_is_a_word_to_people_and_two_numbers_to_the_rest() {
        let host = HostId::search(300);
        assert_eq!(serde_json::to_string(&host).unwrap(), r#""search-300""#);
        let bytes = postcard::to_stdvec(&host).unwrap();
        assert_eq!(bytes.len(), 3, "a kind, and a number of two bytes");
        assert_eq!(postcard::from_bytes::<HostId>(&bytes).unwrap(), host);
    }

    #[test]
    fn malformed_host_name_is_refused() {
        for text in ["zk", "zk-0", "zk-01", "zk-+1", "node-1", "zk-70000", ""] {
            assert!(text.parse::<HostId>().is_err(), "{text}");
        }
    }

    #[test]
    fn shard_name_round_trips() {
        let shard: ShardId = "articles/2".parse().unwrap();
        assert_eq!(shard.to_string(), "articles/2");
        assert!("articles".parse::<ShardId>().is_err());
    }
}
