//! Profiles — decides how large, how busy and how rough random scenarios are. It never draws one.

use std::ops::RangeInclusive;

use crate::scenario::{format::Fault, nearest::suggestion};

/// How large, how busy and how rough.
#[derive(Debug, Clone)]
pub struct Profile {
    /// How the command line calls it.
    pub name: &'static str,
    /// What it is about, in one sentence.
    pub sentence: &'static str,
    /// How the titles of its scenarios begin.
    pub title: &'static str,
    /// How long workloads run, in seconds.
    pub seconds: RangeInclusive<u64>,
    /// Numbers of voting servers.
    pub servers: &'static [u16],
    /// Search nodes.
    pub nodes: RangeInclusive<u16>,
    /// Indices.
    pub indices: RangeInclusive<usize>,
    /// Shards of an index, at most.
    pub shards_max: u32,
    /// Requests a second of one index, of all kinds.
    pub requests: RangeInclusive<u32>,
    /// Tables of clients of ZooKeeper alone.
    pub zookeeper_clients: RangeInclusive<usize>,
    /// Tables of clients that follow a recipe.
    pub recipes: RangeInclusive<usize>,
    /// Faults.
    pub faults: RangeInclusive<usize>,
    /// Kinds of faults, with weights.
    pub kinds: &'static [(u32, Kind)],
    /// Administrative steps.
    pub steps: RangeInclusive<usize>,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "faults are documented where scenario files are")]
pub enum Kind {
    Crash,
    PowerLoss,
    Pause,
    Cut,
    Partition,
    Slow,
    Expire,
    Wipe,
    Rot,
    Misdirect,
    ReadError,
    WriteError,
    FsyncError,
    Full,
    SlowDisk,
    LoseReply,
    Disconnect,
    Jump,
    Drift,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Crash,
        Self::PowerLoss,
        Self::Pause,
        Self::Cut,
        Self::Partition,
        Self::Slow,
        Self::Expire,
        Self::Wipe,
        Self::Rot,
        Self::Misdirect,
        Self::ReadError,
        Self::WriteError,
        Self::FsyncError,
        Self::Full,
        Self::SlowDisk,
        Self::LoseReply,
        Self::Disconnect,
        Self::Jump,
        Self::Drift,
    ];

    /// Whether a fault is of this kind.
    pub fn is(self, fault: &Fault) -> bool {
        match self {
            Self::Crash => fault.crash.is_some() && fault.power != Some(true),
            Self::PowerLoss => fault.crash.is_some() && fault.power == Some(true),
            Self::Pause => fault.pause.is_some(),
            Self::Cut => fault.cut.is_some(),
            Self::Partition => fault.partition.is_some(),
            Self::Slow => fault.slow.is_some(),
            Self::Expire => fault.expire.is_some(),
            Self::Wipe => fault.wipe.is_some(),
            Self::Rot => fault.rot.is_some(),
            Self::Misdirect => fault.misdirect.is_some(),
            Self::ReadError => fault.read_error.is_some(),
            Self::WriteError => fault.write_error.is_some(),
            Self::FsyncError => fault.fsync_error.is_some(),
            Self::Full => fault.full.is_some(),
            Self::SlowDisk => fault.slow_disk.is_some(),
            Self::LoseReply => fault.lose_reply.is_some(),
            Self::Disconnect => fault.disconnect.is_some(),
            Self::Jump => fault.jump.is_some(),
            Self::Drift => fault.drift.is_some(),
        }
    }

    /// Whether data can be gone for good: no more of such faults than the budget allows.
    pub fn destroys(self) -> bool {
        matches!(
            self,
            Self::Wipe
                | Self::Rot
                | Self::Misdirect
                | Self::ReadError
                | Self::WriteError
                | Self::FsyncError
                | Self::Full
        )
    }
}

const ALL_KINDS: &[(u32, Kind)] = &[
    (8, Kind::Crash),
    (6, Kind::PowerLoss),
    (6, Kind::Pause),
    (8, Kind::Cut),
    (4, Kind::Partition),
    (4, Kind::Slow),
    (3, Kind::Expire),
    (2, Kind::Wipe),
    (3, Kind::Rot),
    (2, Kind::Misdirect),
    (2, Kind::ReadError),
    (2, Kind::WriteError),
    (2, Kind::FsyncError),
    (2, Kind::Full),
    (2, Kind::SlowDisk),
    (3, Kind::LoseReply),
    (3, Kind::Disconnect),
    (2, Kind::Jump),
    (2, Kind::Drift),
];

impl Profile {
    /// A bit of everything, small.
    pub const SMOKE: Self = Self {
        name: "smoke",
        sentence: "A bit of everything in a small cluster.",
        title: "Smoke",
        seconds: 10..=20,
        servers: &[1, 3],
        nodes: 1..=3,
        indices: 1..=2,
        shards_max: 2,
        requests: 5..=30,
        zookeeper_clients: 0..=1,
        recipes: 0..=1,
        faults: 0..=3,
        kinds: ALL_KINDS,
        steps: 0..=1,
    };

    /// The ensemble alone.
    pub const ZOOKEEPER: Self = Self {
        name: "zookeeper",
        sentence: "The ensemble alone: clients, watches, sessions and recipes while servers come and go.",
        title: "ZooKeeper",
        seconds: 10..=30,
        servers: &[1, 3, 3, 5],
        nodes: 0..=0,
        indices: 0..=0,
        shards_max: 1,
        requests: 0..=0,
        zookeeper_clients: 1..=2,
        recipes: 0..=1,
        faults: 1..=8,
        kinds: ALL_KINDS,
        steps: 0..=0,
    };

    /// Clients that race on few documents.
    pub const DOCUMENTS: Self = Self {
        name: "documents",
        sentence: "Clients that race on few documents, under every read policy, while copies fail.",
        title: "Documents",
        seconds: 15..=30,
        servers: &[3],
        nodes: 2..=5,
        indices: 1..=2,
        shards_max: 2,
        requests: 20..=80,
        zookeeper_clients: 0..=0,
        recipes: 0..=0,
        faults: 1..=6,
        kinds: ALL_KINDS,
        steps: 0..=1,
    };

    /// Many shards that move.
    pub const BALANCE: Self = Self {
        name: "balance",
        sentence: "Many shards that move: nodes come, go and are drained, settings and indices change.",
        title: "Balance",
        seconds: 15..=30,
        servers: &[3],
        nodes: 3..=7,
        indices: 1..=4,
        shards_max: 6,
        requests: 2..=15,
        zookeeper_clients: 0..=0,
        recipes: 0..=0,
        faults: 0..=4,
        kinds: ALL_KINDS,
        steps: 1..=5,
    };

    /// Leaders, controllers and primaries that die.
    pub const FAILOVER: Self = Self {
        name: "failover",
        sentence: "Leaders, controllers and primaries die, sleep and are cut off, often in the midst of something.",
        title: "Failover",
        seconds: 20..=40,
        servers: &[3, 3, 5],
        nodes: 3..=5,
        indices: 1..=2,
        shards_max: 3,
        requests: 10..=40,
        zookeeper_clients: 0..=1,
        recipes: 0..=1,
        faults: 3..=9,
        kinds: ALL_KINDS,
        steps: 0..=2,
    };

    /// Everything at once.
    pub const STORM: Self = Self {
        name: "storm",
        sentence: "Everything at once, and more of it.",
        title: "Storm",
        seconds: 20..=40,
        servers: &[3, 5],
        nodes: 3..=6,
        indices: 1..=3,
        shards_max: 4,
        requests: 10..=50,
        zookeeper_clients: 0..=1,
        recipes: 0..=1,
        faults: 8..=25,
        kinds: ALL_KINDS,
        steps: 0..=4,
    };
}

/// Every profile, in the order of the list command.
pub static PROFILES: &[Profile] = &[
    Profile::SMOKE,
    Profile::ZOOKEEPER,
    Profile::DOCUMENTS,
    Profile::BALANCE,
    Profile::FAILOVER,
    Profile::STORM,
];

/// The profile of this name.
///
/// # Errors
///
/// If there is none, with the nearest name.
pub fn named(name: &str) -> Result<&'static Profile, String> {
    let found = PROFILES.iter().find(|profile| profile.name == name);
    let names = PROFILES.iter().map(|profile| profile.name);
    found.ok_or_else(|| format!("there is no profile `{name}`: {}", suggestion(name, names)))
}
