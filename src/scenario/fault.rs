//! Faults — decides what can break, and how a planned fault says so. It never breaks anything.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    defaults::is_default,
    plan::{Delay, Selector, Trigger},
};

/// A planned fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultStep {
    /// When it strikes.
    pub trigger: Trigger,
    /// What it does.
    pub action: FaultAction,
    /// After how long it is undone (restart, resume, heal); never, if none.
    pub lasts: Option<Duration>,
    /// What another fault heals it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which of all possible ones it is, where it leaves a choice (whom `random(search)` means, which bit is rotten):
    /// the same number draws the same. None: its number in the plan does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<u32>,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum FaultAction {
    /// The process dies (peers see resets) or the machine loses power (peers see silence); what was not
    /// synced meets the disk's fault contract. Undone: restart.
    Crash {
        /// Whom.
        target: Selector,
        /// True: the machine's power.
        power: bool,
    },
    /// The process is not scheduled. Undone: resume.
    Pause {
        /// Whom.
        target: Selector,
    },
    /// Messages do not get through. Undone: heal.
    Cut {
        /// One side.
        from: Selector,
        /// The other side; none: everybody else.
        to: Option<Selector>,
        /// Which way messages are lost.
        direction: Direction,
        /// Which links; none: all but those of clients.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        links: Option<LinkKind>,
        /// What connections notice.
        mode: CutMode,
        /// What becomes of messages that are on the wire.
        #[serde(default, skip_serializing_if = "is_default")]
        in_flight: InFlight,
    },
    /// A group of hosts falls into parts that do not reach each other. Undone: heal.
    Partition {
        /// Into which parts.
        shape: PartitionShape,
        /// Who.
        of: Selector,
        /// What connections notice.
        mode: CutMode,
        /// What becomes of messages that are on the wire.
        #[serde(default, skip_serializing_if = "is_default")]
        in_flight: InFlight,
    },
    /// The machine loses power and its disk is replaced by an empty one. Undone: restart.
    Wipe {
        /// Whom.
        target: Selector,
    },
    /// Messages take this long from now on, or queue for a line of this width. Undone: as before.
    Slow {
        /// One side.
        from: Selector,
        /// The other side; none: everybody else.
        to: Option<Selector>,
        /// Which way messages are late.
        direction: Direction,
        /// Which links; none: all but those of clients.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        links: Option<LinkKind>,
        /// How late; none: as before.
        delay: Option<Delay>,
        /// Bytes a second that a link carries; none: any number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bandwidth: Option<u64>,
    },
    /// The administrator ends the ZooKeeper sessions of these hosts, as somebody who has their passwords can.
    Expire {
        /// Whose.
        target: Selector,
    },
    /// The administrator changes the ensemble. Servers that are not named keep their part.
    Reconfigure {
        /// How.
        change: Reconfiguration,
    },
    /// Bits of a file are not what was written. Never undone.
    Rot {
        /// On whose disk.
        target: Selector,
        /// In which kind of file.
        files: FileKind,
        /// How many bits.
        bits: u32,
    },
    /// The last write to a file went to another one. Never undone.
    Misdirect {
        /// On whose disk.
        target: Selector,
        /// Meant for which kind of file.
        files: FileKind,
    },
    /// Operations on files fail. Undone: they succeed again.
    FailDisk {
        /// On whose disk.
        target: Selector,
        /// On which kind of file.
        files: FileKind,
        /// Which operations.
        how: DiskFailure,
    },
    /// Another program takes up a part of the disk. Undone: it gives it back.
    Fill {
        /// Whose disk; only those that have a size.
        target: Selector,
        /// How many bytes, or what there is.
        bytes: u64,
    },
    /// Syncs take this long. Undone: as before.
    SlowDisk {
        /// On whose disk.
        target: Selector,
        /// How long.
        delay: Delay,
    },
    /// The next answers vanish after what was asked has been done, and the connection breaks.
    LoseReply {
        /// Whose answers.
        target: Selector,
        /// To whom; none: to any client.
        to: Option<Selector>,
        /// How many.
        count: u32,
    },
    /// Connections to ZooKeeper are reset; whoever had one looks for another server.
    Disconnect {
        /// Whose.
        target: Selector,
    },
    /// The wall clock jumps. Undone: it jumps back.
    JumpClock {
        /// Whose.
        target: Selector,
        /// By so many milliseconds, forward or back.
        by_ms: i64,
    },
    /// The clocks run fast or slow from now on. Undone: as before.
    DriftClock {
        /// Whose.
        target: Selector,
        /// By so many parts per million.
        ppm: i32,
    },
    /// Other faults are undone before their time.
    Heal {
        /// Which: those of this name, or `all`.
        what: String,
    },
}

/// A heal of everything that is under way.
pub const HEAL_ALL: &str = "all";

impl FaultAction {
    /// The key that scenario files write it by; faults of a kind share it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Pause { .. } => "pause",
            Self::Cut { .. } => "cut",
            Self::Partition { .. } => "partition",
            Self::Wipe { .. } => "wipe",
            Self::Slow { .. } => "slow",
            Self::Expire { .. } => "expire",
            Self::Reconfigure { .. } => "reconfig",
            Self::Rot { .. } => "rot",
            Self::Misdirect { .. } => "misdirect",
            Self::FailDisk { how, .. } => how.key(),
            Self::Fill { .. } => "fill",
            Self::SlowDisk { .. } => "slow_disk",
            Self::LoseReply { .. } => "lose_reply",
            Self::Disconnect { .. } => "disconnect",
            Self::JumpClock { .. } => "jump",
            Self::DriftClock { .. } => "drift",
            Self::Heal { .. } => "heal",
        }
    }

    /// Whether there is nothing to undo: it is over as soon as it is done.
    pub fn is_done_at_once(&self) -> bool {
        matches!(
            self,
            Self::Expire { .. }
                | Self::Reconfigure { .. }
                | Self::Rot { .. }
                | Self::Misdirect { .. }
                | Self::Disconnect { .. }
                | Self::LoseReply { .. }
                | Self::Heal { .. }
        )
    }
}

/// A change of the ensemble.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reconfiguration {
    /// Servers that get a vote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub joining: Vec<Selector>,
    /// Servers that follow without a vote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub observing: Vec<Selector>,
    /// Servers that are members no longer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<Selector>,
}

/// Which way a cut works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both.
    Both,
    /// Only from `from` to `to`.
    Outgoing,
    /// Only from `to` to `from`.
    Incoming,
}

/// What connections across a cut notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CutMode {
    /// Nothing: data waits and is sent again some time after the heal, unless somebody gives up before.
    Stall,
    /// They are reset at once, and dials are refused.
    Reset,
    /// Nothing: data vanishes. A connection that lacks some is reset after the heal, as by a router that has forgotten it.
    Drop,
    /// Nothing: data waits, and all of it arrives at once with the heal.
    Hold,
}

/// What becomes of messages that are on the wire when a cut begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InFlight {
    /// The same as of those sent later.
    #[default]
    Cut,
    /// They arrive.
    Delivered,
    /// They are lost, and with them their connections.
    Lost,
}

/// Links between hosts of some kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// Between ZooKeeper servers.
    Zookeeper,
    /// Between search nodes.
    Nodes,
    /// Between clients and search nodes.
    Clients,
    /// Between ZooKeeper servers and whoever has sessions.
    Sessions,
}

/// How a group falls into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartitionShape {
    /// Two halves.
    Halves,
    /// One, and all others.
    IsolateOne,
    /// Fewer than half, and the rest.
    Minority,
    /// Two halves that do not reach each other, and one in between that both reach.
    Bridge,
    /// Each reaches a majority, no two the same.
    Ring,
    /// Each zone by itself.
    Zones,
}

/// Files by what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// All of them.
    #[default]
    Any,
    /// Segments of an index and the commit that names them.
    Segments,
    /// Operations of a copy.
    Translog,
    /// A ZooKeeper server's transaction log.
    Log,
    /// A ZooKeeper server's snapshots.
    Snapshot,
    /// What a copy is; a ZooKeeper server's epochs and configuration.
    State,
}

impl FileKind {
    /// Whether a file of this name is one.
    pub fn has(self, file: &str) -> bool {
        let last = file.rsplit('/').next().unwrap_or_default();
        match self {
            Self::Any => true,
            Self::Segments => file.contains("/index/"),
            Self::Translog => last.starts_with("translog."),
            Self::Log => last.starts_with("log."),
            Self::Snapshot => last.starts_with("snapshot."),
            Self::State => last == "state" || last.ends_with("Epoch") || last.starts_with("zoo.cfg"),
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "files",
            Self::Segments => "segments",
            Self::Translog => "translogs",
            Self::Log => "transaction logs",
            Self::Snapshot => "snapshots",
            Self::State => "state files",
        })
    }
}

/// Which operations on files fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFailure {
    /// A process that starts cannot read them.
    Read,
    /// Writes fail, perhaps after a part was written.
    Write,
    /// Writes fail for want of space; files can be cut and removed.
    Full,
    /// Syncs fail; what was to be synced stays to be synced (as FreeBSD and ZFS keep it).
    SyncKept,
    /// Syncs fail, and what was to be synced is dropped: readers see what the disk holds (as Btrfs does).
    SyncDropped,
}

impl DiskFailure {
    /// The key that scenario files write it by.
    pub fn key(self) -> &'static str {
        match self {
            Self::Read => "read_error",
            Self::Write => "write_error",
            Self::Full => "full",
            Self::SyncKept | Self::SyncDropped => "fsync_error",
        }
    }
}

/// Who must survive the faults of a run: a fault that would break the promise is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// At any time a quorum of the ensemble is unharmed.
    pub quorum: bool,
    /// At any time each shard has a good copy on a node that is unharmed.
    pub copies: bool,
    /// Nothing has to come about in the end: only the laws that hold at any time are judged.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub storm: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_names() {
        let names = [
            ("shards/a/0/0000000100000001/state", FileKind::State),
            ("shards/a/0/0000000100000001/0/index/x.idx", FileKind::Segments),
            ("shards/a/0/0000000100000001/0/translog.3", FileKind::Translog),
            ("log.100000001", FileKind::Log),
            ("snapshot.0", FileKind::Snapshot),
            ("acceptedEpoch", FileKind::State),
            ("zoo.cfg.dynamic.next", FileKind::State),
        ];
        let kinds =
            [FileKind::Segments, FileKind::Translog, FileKind::Log, FileKind::Snapshot, FileKind::State];
        for (name, kind) in names {
            assert_eq!(kinds.into_iter().filter(|kind| kind.has(name)).collect::<Vec<_>>(), [kind], "{name}");
        }
    }
}
