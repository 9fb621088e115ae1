//! Core — decides the contract between pure protocol code and whatever carries out its wishes. It never
//! performs an effect itself.
//!
//! A core is a struct with a synchronous [`Core::step`]: one input in, effects out, in order. It has no
//! clock, no disk, no socket and no randomness of its own. Its host (the simulator, a unit test, later a
//! real socket loop) carries the effects out one by one, so that a crash can fall between any two.

use std::{collections::BTreeMap, fmt, ops::Add, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{event::EventKind, name::HostId};

/// A reading of a host's own monotonic clock: nanoseconds since an arbitrary origin that is fixed for the
/// life of the host. Readings of two hosts are not comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The span from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_nanos() as u64))
    }
}

/// What a host's clocks show when a core steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Instant,
    /// The wall clock, in milliseconds since 1970; may be wrong, as clocks are.
    pub wall_ms: i64,
}

/// A service of a host that can be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Port {
    /// ZooKeeper's client port (2181).
    ZkClient,
    /// ZooKeeper's quorum port (2888): followers to their leader.
    ZkQuorum,
    /// ZooKeeper's election port (3888).
    ZkElection,
    /// Search nodes among themselves (9300).
    Transport,
    /// Clients of a search node (9200).
    Api,
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The machine.
    pub host: HostId,
    /// The service on it.
    pub port: Port,
}

/// One end of a connection, as its own host numbers it. Never used twice on one host, not even after a
/// restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ConnId(pub u64);

/// Why a connection ended or could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// Nobody listens at the address (the host is up, its process is not).
    Refused,
    /// The peer closed in order; everything it sent before has been received.
    Closed,
    /// The connection was reset: the peer died, or the network broke it. What was in flight is lost.
    Reset,
}

/// What happens to a core.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input<M> {
    /// The first input after boot.
    Start,
    /// The time that [`Core::next_wake`] asked for has come.
    Wake,
    /// A dialled connection is established.
    Connected {
        /// The connection.
        conn: ConnId,
    },
    /// A peer has connected to one of this host's ports.
    Accepted {
        /// The connection.
        conn: ConnId,
        /// Who.
        from: HostId,
        /// On which port.
        port: Port,
    },
    /// A message arrived; messages of one connection arrive in the order sent.
    Received {
        /// The connection.
        conn: ConnId,
        /// The message.
        message: M,
    },
    /// A connection ended, or a dial failed. Nothing more arrives on it.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// All that [`Output::tell_after_sync`] waited for is durable.
    Synced {
        /// The token given with the wait.
        token: u64,
    },
    /// What [`Output::measure_disk`] asked for.
    DiskMeasured {
        /// The size of the disk in bytes.
        total: u64,
        /// What is free of it, in bytes.
        free: u64,
        /// This host's files, with their bytes; others may use the disk as well.
        files: BTreeMap<FileName, u64>,
    },
    /// The disk has refused something. Whatever waits for a sync of the file, and nothing that was asked of the file
    /// after what was refused, has been or will be done; from here on the file is as it is found.
    DiskFailed {
        /// The file.
        file: FileName,
        /// What it refused.
        error: DiskError,
        /// What the disk holds now.
        found: Files,
    },
    /// The page cache has dropped a file that the disk holds otherwise than it was written: this is what reading it
    /// gives from now on.
    Reread {
        /// The file.
        file: FileName,
        /// Its content.
        bytes: Arc<[u8]>,
    },
    /// The run is over and quiet: note what is held (copies, members, trees) for the laws to compare.
    Inspect,
}

/// What a disk refuses to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskError {
    /// To write (EIO); a part of it may have been written.
    Write,
    /// To write for want of space (ENOSPC).
    Full,
    /// To sync (EIO).
    Sync,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write failed: input/output error",
            Self::Full => "no space left on device",
            Self::Sync => "fsync failed: input/output error",
        })
    }
}

/// The name of a file on a host's disk; `/` separates parts, there are no directories to make.
pub type FileName = Arc<str>;

/// Contents of a disk, as a booting core finds it.
pub type Files = BTreeMap<FileName, Arc<[u8]>>;

/// A change to a host's disk. Visible at once to the host; durable only after a sync of that file.
///
/// The fault contract (which damage a crash may do to what is not synced) stands in `sim::disk`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DiskOp {
    /// Adds to the end of a file, which is created if missing.
    Append {
        /// The file.
        file: FileName,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// Cuts a file to this length in bytes.
    Truncate {
        /// The file.
        file: FileName,
        /// The new length, in bytes.
        len: u64,
    },
    /// Writes a file anew by way of a temporary file and a rename: after a crash it holds the old or
    /// the new content as a whole, never a mixture (ZooKeeper's `AtomicFileWritingIdiom`).
    Replace {
        /// The file.
        file: FileName,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// Removes a file.
    Remove {
        /// The file.
        file: FileName,
    },
}

impl DiskOp {
    /// The file concerned.
    pub fn file(&self) -> &FileName {
        match self {
            Self::Append { file, .. }
            | Self::Truncate { file, .. }
            | Self::Replace { file, .. }
            | Self::Remove { file } => file,
        }
    }
}

/// What may be held back until a file is durable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Deferred<M> {
    /// Send this message.
    Send {
        /// The connection.
        conn: ConnId,
        /// The message.
        message: M,
    },
    /// Give the core [`Input::Synced`] with this token.
    Tell {
        /// The token given with the wait.
        token: u64,
    },
    /// Record this event.
    Note(EventKind),
}

/// What a core wants done; carried out in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect<M> {
    /// Record an event. A fault may be triggered by it: then nothing after it is carried out.
    Note(EventKind),
    /// Open a connection; ends in [`Input::Connected`] or [`Input::Closed`], or in silence until the
    /// core gives up and closes it.
    Dial {
        /// The connection.
        conn: ConnId,
        /// Where to.
        to: Address,
    },
    /// Send. While the dial is under way the message waits for it, and is lost with it if it fails; on a
    /// connection that has ended nothing happens.
    Send {
        /// The connection.
        conn: ConnId,
        /// The message.
        message: M,
    },
    /// Close after what was sent before; no [`Input::Closed`] follows on this side.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Change the disk (volatile until synced).
    Disk(DiskOp),
    /// Sync `file` (all changes made to it up to here), then do this. Effects that wait for one file are
    /// released in order. This is the only way to say "it is durable" to anyone.
    AfterSync {
        /// The file.
        file: FileName,
        /// What waits.
        then: Deferred<M>,
    },
    /// Measure the disk: ends in [`Input::DiskMeasured`], at once, or in nothing if its size is not known.
    MeasureDisk,
    /// The process ends by itself, as after `System.exit`; its host may be restarted by a supervisor.
    Halt {
        /// The reason.
        why: String,
    },
}

/// Collects the effects of a step.
#[derive(Debug)]
pub struct Output<M> {
    effects: Vec<Effect<M>>,
    next_conn: u64,
}

impl<M> Default for Output<M> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<M> Output<M> {
    /// An empty output whose dialled connections are numbered from `next_conn` in steps of two.
    pub fn new(next_conn: u64) -> Self {
        Self { effects: Vec::new(), next_conn }
    }

    /// Records an event.
    pub fn note(&mut self, event: EventKind) {
        self.effects.push(Effect::Note(event));
    }

    /// Starts to open a connection.
    pub fn dial(&mut self, to: Address) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        self.effects.push(Effect::Dial { conn, to });
        conn
    }

    /// Sends a message that promises nothing about the disk.
    pub fn send(&mut self, conn: ConnId, message: impl Into<M>) {
        self.effects.push(Effect::Send { conn, message: message.into() });
    }

    /// Sends a message once everything written to `file` so far is durable.
    pub fn send_after_sync(&mut self, file: &FileName, conn: ConnId, message: impl Into<M>) {
        let then = Deferred::Send { conn, message: message.into() };
        self.effects.push(Effect::AfterSync { file: file.clone(), then });
    }

    /// Records an event once everything written to `file` so far is durable.
    pub fn note_after_sync(&mut self, file: &FileName, event: EventKind) {
        self.effects.push(Effect::AfterSync { file: file.clone(), then: Deferred::Note(event) });
    }

    /// Has the core told by [`Input::Synced`] once everything written to `file` so far is durable.
    pub fn tell_after_sync(&mut self, file: &FileName, token: u64) {
        self.effects.push(Effect::AfterSync { file: file.clone(), then: Deferred::Tell { token } });
    }

    /// Closes a connection.
    pub fn close(&mut self, conn: ConnId) {
        self.effects.push(Effect::Close { conn });
    }

    /// Changes the disk.
    pub fn disk(&mut self, op: DiskOp) {
        self.effects.push(Effect::Disk(op));
    }

    /// Has the core told how full its disk is.
    pub fn measure_disk(&mut self) {
        self.effects.push(Effect::MeasureDisk);
    }

    /// Ends the process.
    pub fn halt(&mut self, why: impl Into<String>) {
        self.effects.push(Effect::Halt { why: why.into() });
    }

    /// The effects so far, taken out; the numbering of connections goes on.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect<M>> {
        self.effects.drain(..)
    }

    /// The effects so far.
    pub fn effects(&self) -> &[Effect<M>] {
        &self.effects
    }
}

/// A pure protocol state machine.
pub trait Core {
    /// What it says to other cores.
    type Message: Clone + fmt::Debug;

    /// Takes one input and says what to do.
    fn step(&mut self, now: Now, input: Input<Self::Message>, out: &mut Output<Self::Message>);

    /// When, on the host's own monotonic clock, it next wants [`Input::Wake`]; asked after every step,
    /// the latest answer replaces earlier ones. A time that has passed means at once.
    fn next_wake(&self) -> Option<Instant>;
}

/// Unpredictable-looking numbers that a core draws from a seed its host gave it at boot (session ids,
/// shuffled server lists): a SplitMix64 sequence.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entropy(u64);

impl Entropy {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Puts `items` in an order that the sequence decides (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, (self.draw() % (last as u64 + 1)) as usize);
        }
    }
}
