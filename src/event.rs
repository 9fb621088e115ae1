//! Events — decides the one public language of a run: what can be said to have happened. It never judges.
//!
//! Cores, clients and the world note typed events; laws, reports, fault triggers and the fingerprint read
//! nothing else. Fields hold what an outside observer could have written down, never a core's opinion of
//! whether it is right. A stored event is one flat JSON object.

mod lookers;

use std::{borrow::Cow, collections::BTreeMap, fmt, hash::Hash};

use serde::{Deserialize, Serialize};

pub use self::lookers::Lookers;

use crate::{
    core::CloseReason,
    name::{AllocationId, Epoch, HostId, IndexName, SeqNo, SessionId, ShardId, SimTime, Term, Zxid},
    zookeeper::wire::Stat,
};

/// The version of this vocabulary; stored traces carry it, and a trace of another version is refused.
pub const EVENT_VERSION: u32 = 4;

/// A 64-bit hash of some content (a transaction, a document source), enough to tell two apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub u64);

impl Digest {
    /// The digest of these bytes (XXH3, seed 0).
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(bytes))
    }
}

/// A word that is either built in or was read from a stored trace.
pub type Word = Cow<'static, str>;

/// Something that happened, somewhere, at some simulated time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Event {
    /// Position in the run, from 0, without gaps.
    pub seq: u64,
    /// Simulated time; never decreases along `seq`.
    pub at: SimTime,
    /// The host it happened on; none for the world itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// A transaction as laws see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TxnRef {
    /// Its id.
    pub zxid: Zxid,
    /// What it does, hashed.
    pub digest: Digest,
}

/// What a transaction does to one znode if it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub path: String,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// The ways to change a znode. Numbers are those after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// It is made.
    Created {
        /// The session it lives as long as; none unless it is an ephemeral.
        owner: SessionId,
        /// How long it stays: `persistent`, `ephemeral`, `container`, `ttl`.
        lifetime: Word,
        /// How often a child of its parent has been created.
        parent_creates: i32,
        /// Bytes of data; null counts 0.
        data_length: i32,
        /// Whether everybody may read it.
        open: bool,
    },
    /// It is removed.
    Deleted,
    /// Its data is replaced.
    DataSet {
        /// Its version.
        version: i32,
        /// Bytes of data; null counts 0.
        data_length: i32,
    },
    /// Its access control list is replaced.
    AclSet {
        /// Its aversion.
        version: i32,
        /// Whether everybody may read it.
        open: bool,
    },
}

/// An ephemeral znode and the session that owns it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ephemeral {
    /// Where it is.
    pub path: String,
    /// Whose it is.
    pub session: SessionId,
}

/// How a learner is brought level with its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncMode {
    /// The missing transactions.
    Diff,
    /// Uncommitted transactions cut off (and then the missing ones).
    Trunc,
    /// The whole database.
    Snap,
}

/// The state of one copy of a shard in the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// Not on any node.
    Unassigned,
    /// On a node, being built or recovered.
    Initializing,
    /// Serving.
    Started,
    /// Serving, while a copy that will replace it initializes elsewhere.
    Relocating,
}

impl CopyState {
    /// Whether such a copy serves: started, or the source of a relocation.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Started | Self::Relocating)
    }

    /// Elasticsearch's word for it (`ShardRoutingState`).
    pub fn routing_word(self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Initializing => "INITIALIZING",
            Self::Started => "STARTED",
            Self::Relocating => "RELOCATING",
        }
    }
}

/// One copy of a shard in the routing table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// Of which shard.
    pub shard: ShardId,
    /// On which node, unless unassigned.
    pub node: Option<HostId>,
    /// Its identity, unless unassigned.
    pub allocation: Option<AllocationId>,
    /// Whether it is the primary.
    pub primary: bool,
    /// Its state.
    pub state: CopyState,
    /// Whether its identity is in the in-sync set.
    pub in_sync: bool,
    /// The shard's primary term.
    pub term: Term,
}

/// One copy of a shard, by its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CopyRef {
    /// Of which shard.
    pub shard: ShardId,
    /// Which copy.
    pub allocation: AllocationId,
}

/// A change of the cluster that its controller announces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ClusterChange {
    /// A node is no member any more, or came back in another session (then it also joined).
    NodeLeft {
        /// Which.
        node: HostId,
    },
    /// A node is a member.
    NodeJoined {
        /// Which.
        node: HostId,
    },
    /// An index is gone, or another one has its name (then that was also created).
    IndexDeleted {
        /// Its name.
        index: String,
    },
    /// An index was made.
    IndexCreated {
        /// Its name.
        index: String,
    },
    /// A copy that served has lost its place, on a node that stays.
    ShardFailed {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// On which node it was.
        node: HostId,
    },
    /// A replica that served is the primary now, in a higher term.
    ShardPromoted {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// On which node it is.
        node: HostId,
        /// In which term.
        term: Term,
    },
}

/// A document or tombstone as a copy holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HeldDoc {
    /// Document id.
    pub id: String,
    /// Sequence number of the operation that made it so.
    pub seq_no: SeqNo,
    /// Term of the primary that numbered that operation.
    pub term: Term,
    /// Hash of the source; none for a tombstone.
    pub source: Option<Digest>,
}

/// As of which operations a copy answered a search, and what it counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShardSeen {
    /// Number of the shard.
    pub shard: u32,
    /// Which copy.
    pub allocation: AllocationId,
    /// Every operation up to here was searchable.
    pub up_to: SeqNo,
    /// Of those above, the ones that the copy had up to here were.
    pub max_seq_no: SeqNo,
    /// Documents that match.
    pub total: u64,
}

/// What a client asked of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocOp {
    /// Index (create or overwrite).
    Index,
    /// Index, only if there is no such document (op_type=create).
    Create,
    /// Index, or delete if no source is sent, only if this operation changed the document last.
    Cas {
        /// if_seq_no.
        seq_no: SeqNo,
        /// if_primary_term.
        term: Term,
    },
    /// Index, or delete if no source is sent, only if this version is higher than the document's, that of a
    /// known tombstone included.
    External {
        /// The version that it gets.
        version: u64,
    },
    /// The same, also if the version is the document's.
    ExternalGte {
        /// The version that it gets.
        version: u64,
    },
    /// Delete.
    Delete,
    /// Index, without an id: the node that coordinates it draws one.
    Add,
    /// Merge into the document, or put the source if there is none. What is sent says all that such a document
    /// says, so that the source is what comes of it.
    Update,
    /// Realtime get.
    Get,
}

/// How a client's request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done; for a write: acknowledged.
    Ok,
    /// Surely not done.
    Failed,
    /// Nobody knows: the answer was lost, or the request timed out.
    Unknown,
}

macro_rules! event_kinds {
    ($( $(#[doc = $doc:literal])* $name:ident $({ $( $(#[$fdoc:meta])* $field:ident: $ty:ty ),* $(,)? })? , )*) => {
        /// What can happen. Grouped by the room that notes it.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(tag = "event")]
        pub enum EventKind {
            $( $(#[doc = $doc])* $name $({ $( $(#[$fdoc])* $field: $ty ),* })? , )*
        }

        impl EventKind {
            /// The names of all kinds, in the order of their declaration.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// What each kind says, in the same order.
            pub const MEANINGS: &'static [&'static str] = &[$(concat!($($doc),*)),*];

            /// The kind's name, as traces and triggers write it.
            pub fn name(&self) -> &'static str {
                match self { $( Self::$name $({ $($field: _),* })? => stringify!($name), )* }
            }
        }
    };
}

event_kinds! {
    // ---- the world ----
    /// The run began. The first event of every run.
    RunStarted {
        /// Title of the scenario.
        scenario: String,
        /// The seed the plan was made from.
        seed: u64,
        /// Voting ZooKeeper servers.
        servers: Vec<HostId>,
        /// Search nodes of the plan, also those that join later.
        nodes: Vec<HostId>,
        /// Copies every index must have when green: shards × (1 + replicas), summed.
        copies: u32,
        /// How long after the last fault the cluster may take to settle, in nanoseconds; derived from the
        /// configured timeouts.
        settle_bound: u64,
        /// Which copies answer a realtime get: `any`, `primary` or `lease`.
        #[serde(default)]
        read_policy: Word,
        /// What decides where copies go, by its name: `balanced`, `least-loaded`, `desired-balance` or a user's own.
        #[serde(default)]
        allocator: Word,
    },
    /// The run ended, after its quiet period. The last event of every run.
    RunEnded,
    /// The workload stopped; what follows until the end is quiet.
    QuietBegan,
    /// A planned fault took effect.
    FaultBegan {
        /// Number of the step in the plan.
        step: u32,
        /// What it is, for people.
        what: String,
        /// The hosts it hit.
        hosts: Vec<HostId>,
    },
    /// A planned fault was undone (healed, restarted, resumed), or was over at once.
    FaultEnded {
        /// Number of the step in the plan.
        step: u32,
        /// What ended, for people.
        what: String,
    },
    /// A planned fault found nobody to hit.
    FaultMissed {
        /// Number of the step in the plan.
        step: u32,
        /// Why.
        what: String,
    },
    /// The plan's settings, or one of its indices, were refused or given up before the run began to be quiet.
    SetupFailed {
        /// What it is, for people.
        what: String,
        /// How it ended: not done, or nobody knows.
        outcome: Outcome,
        /// Why: the error's type and reason.
        error: String,
        /// Copies that every index must have when green from now on: shards × (1 + replicas), summed.
        copies: u32,
    },
    /// An administrator began to carry out a planned step.
    StepBegan {
        /// Number of the step in the plan.
        step: u32,
        /// What it is, for people.
        what: String,
    },
    /// An administrator's step is done, was refused, or was given up.
    StepEnded {
        /// Number of the step in the plan.
        step: u32,
        /// What it is, for people.
        what: String,
        /// How it ended.
        outcome: Outcome,
        /// Why it was not done: the error's type and reason.
        error: Option<String>,
        /// Copies that every index must have when green from now on, if the step changed that: shards ×
        /// (1 + replicas), summed.
        copies: Option<u32>,
    },
    /// The process on this host started (again).
    HostStarted {
        /// How often it has started, from 1.
        incarnation: u32,
    },
    /// The process or the machine died.
    HostCrashed {
        /// True if the machine lost power (peers see silence), false if the process was killed (peers
        /// see resets).
        power: bool,
    },
    /// The process ended by its own decision.
    HostHalted {
        /// The reason it gave.
        why: String,
    },
    /// The process stopped being scheduled.
    HostPaused,
    /// The process runs again.
    HostResumed,
    /// Unsynced data met a crash.
    DiskDamaged {
        /// The file.
        file: String,
        /// Unsynced bytes that survived.
        kept: u64,
        /// Unsynced bytes that are gone.
        lost: u64,
        /// Whether the last surviving write survived only in part.
        torn: bool,
    },
    /// Everything on this host's disk is gone: it was replaced by an empty one.
    DiskWiped,
    /// What a file holds is not what was written: bits of it have rotted, or a write went astray.
    DiskRotted {
        /// The file.
        file: String,
        /// How many bytes are not what they were.
        bytes: u32,
    },
    /// The disk refused to write or sync a file, or to read it for a process that starts.
    DiskFailed {
        /// The file.
        file: String,
        /// What was refused, as the system words it.
        error: Word,
    },
    /// This host's clocks are not as they were.
    ClockSet {
        /// By how much the wall clock is off, in milliseconds.
        offset_ms: i64,
        /// How fast both clocks run, in parts per million.
        drift_ppm: i64,
    },
    /// An answer of this host vanished, and its connection broke.
    ReplyLost {
        /// Whom it was for.
        to: HostId,
    },
    /// A file was synced.
    FileSynced {
        /// The file.
        file: String,
    },
    /// Messages from one host to another stopped getting through.
    LinkCut {
        /// The sending side.
        from: HostId,
        /// The receiving side.
        to: HostId,
    },
    /// Messages get through again.
    LinkHealed {
        /// The sending side.
        from: HostId,
        /// The receiving side.
        to: HostId,
    },
    /// A message arrived at this host's core.
    Delivered {
        /// Who sent it.
        from: HostId,
        /// Its kind.
        message: Word,
        /// Events of the run that had been recorded when it was sent: those of its sender among them can have
        /// caused it.
        sent: u64,
    },
    /// A connection of this host ended or could not be made.
    ConnectionEnded {
        /// The other end.
        peer: HostId,
        /// Why.
        reason: CloseReason,
    },

    // ---- zookeeper: election, Zab ----
    //
    // What a server's events say of its tree:
    //
    // - After `ServerRestored`, `LogTruncated` or `SnapshotInstalled` the tree holds the server's history
    //   up to the zxid given, committed or not, and the listed sessions and ephemeral nodes are all there
    //   are. Nothing that was told before counts any longer.
    // - From there on only `TxnApplied` changes the tree: one event for each transaction, in the order of
    //   zxids, each followed at once by the events of what it did to sessions and ephemeral nodes. The
    //   first one may have any zxid above the one restored, since zxids of other epochs are skipped.
    // - Transactions that reach the tree in any other way, from the server's own log at boot or when it
    //   gives up a role, are told by `ServerRestored` alone. They may have been committed or not.
    // - `TxnApplied` and `TxnCommitted` concern committed transactions only. A learner that gets its
    //   leader's history logs it (`TxnLogged`), but applies it only when the leader is established.
    /// The server has brought its tree level with its log: at boot, and after each `RoleLost`.
    ServerRestored {
        /// Last transaction in its log or snapshot, and in its tree; uncommitted ones count.
        zxid: Zxid,
        /// From the file.
        accepted_epoch: Epoch,
        /// From the file.
        current_epoch: Epoch,
        /// Sessions in its database.
        sessions: Vec<SessionId>,
        /// Ephemeral znodes in its database.
        ephemerals: Vec<Ephemeral>,
    },
    /// The server went LOOKING.
    ElectionStarted {
        /// The logical clock.
        round: u64,
    },
    /// The server decided who leads.
    ElectionDecided {
        /// The logical clock.
        round: u64,
        /// Whom it follows (itself: it leads).
        leader: HostId,
    },
    /// The server promised not to follow an older epoch: acceptedEpoch is on disk.
    EpochAccepted {
        /// The promised epoch.
        epoch: Epoch,
    },
    /// currentEpoch is on disk.
    EpochEntered {
        /// The epoch entered.
        epoch: Epoch,
    },
    /// The leader has a quorum of NEWLEADER acknowledgements and serves. All of its history is committed
    /// by that.
    LeaderEstablished {
        /// Its epoch.
        epoch: Epoch,
        /// The transactions of its log, oldest first, without gaps; at most the last 500, and none from
        /// before its oldest snapshot: so a list that is empty or short says nothing about what is older
        /// than its first entry.
        history: Vec<TxnRef>,
    },
    /// A learner is level with its leader and serves (UPTODATE).
    FollowerSynced {
        /// Whom it follows.
        leader: HostId,
        /// In which epoch.
        epoch: Epoch,
        /// How it was brought level.
        mode: SyncMode,
        /// The last transaction in its log; those that its tree lacks follow as `TxnApplied`, as they are
        /// committed.
        zxid: Zxid,
    },
    /// The leader or follower, or one that was about to be, gave its role up; its clients are cut off.
    /// `ServerRestored` and `ElectionStarted` follow.
    RoleLost {
        /// Why.
        why: Word,
    },
    /// The leader proposed a transaction. Whatever is committed later was told so once; what it does, it
    /// does only if it is committed.
    TxnProposed {
        /// Its id.
        zxid: Zxid,
        /// What it does, hashed.
        digest: Digest,
        /// The session that asked for it, or that it opens or closes.
        session: SessionId,
        /// The client's number for the request; 0 if a server asked.
        xid: i32,
        /// What kind it is: the operation, `createSession`, or `error` if it failed.
        op: Word,
        /// What it does to znodes, in order.
        changes: Vec<Change>,
    },
    /// The transaction is in this server's log, synced. One that the server had logged and not synced
    /// before a role was lost may be told late, or never, if it was cut off or the server crashed.
    TxnLogged {
        /// Its id.
        zxid: Zxid,
        /// What it does, hashed.
        digest: Digest,
    },
    /// The server acknowledges the proposal to its leader (to itself, if it leads).
    TxnAcked {
        /// Which.
        zxid: Zxid,
    },
    /// A quorum has the transaction: the leader commits it.
    TxnCommitted {
        /// Its id.
        zxid: Zxid,
        /// What it does, hashed.
        digest: Digest,
    },
    /// The server applied a committed transaction to its tree.
    TxnApplied {
        /// Its id.
        zxid: Zxid,
        /// What it does, hashed.
        digest: Digest,
    },
    /// The server cut its log after this transaction, as told by a leader, and rebuilt its tree.
    LogTruncated {
        /// The last one kept; the tree is that of this prefix.
        zxid: Zxid,
        /// Sessions in its database now.
        sessions: Vec<SessionId>,
        /// Ephemeral znodes in its database now.
        ephemerals: Vec<Ephemeral>,
    },
    /// The server replaced its log and its database by its leader's, whose history may be uncommitted
    /// until the leader is established.
    SnapshotInstalled {
        /// The last transaction in it.
        zxid: Zxid,
        /// Sessions in it.
        sessions: Vec<SessionId>,
        /// Ephemeral znodes in it.
        ephemerals: Vec<Ephemeral>,
    },
    /// A snapshot of the server's database is on disk.
    SnapshotTaken {
        /// Last transaction applied when it began.
        zxid: Zxid,
    },
    /// The end-of-run inspection of a server's tree.
    TreeInspected {
        /// Last transaction applied.
        zxid: Zxid,
        /// Every znode with data and Stat, hashed in order of path.
        digest: Digest,
        /// Number of znodes.
        znodes: u64,
    },

    /// A new ensemble is in force: this server has applied a committed reconfiguration.
    EnsembleChanged {
        /// The reconfiguration.
        zxid: Zxid,
        /// Those who vote from here on, sorted.
        voters: Vec<HostId>,
        /// Those who follow without a vote, sorted.
        observers: Vec<HostId>,
    },

    // ---- zookeeper: sessions, ephemerals, as applied on one server ----
    /// A createSession transaction was applied.
    SessionOpened {
        /// Which.
        session: SessionId,
        /// By which transaction.
        zxid: Zxid,
        /// Negotiated timeout, in milliseconds.
        timeout_ms: u64,
    },
    /// The leader found that nobody has heard of the session for its timeout; of a local session, its server
    /// did, and closed it by that.
    SessionExpired {
        /// Which.
        session: SessionId,
    },
    /// A closeSession transaction was applied.
    SessionClosed {
        /// Which.
        session: SessionId,
        /// By which transaction.
        zxid: Zxid,
    },
    /// A transaction made an ephemeral znode.
    EphemeralCreated {
        /// Where.
        path: String,
        /// Whose.
        session: SessionId,
        /// By which transaction.
        zxid: Zxid,
    },
    /// A transaction removed an ephemeral znode.
    EphemeralDeleted {
        /// Where.
        path: String,
        /// Whose it was.
        session: SessionId,
        /// By which transaction.
        zxid: Zxid,
    },

    /// A server turned a client away when it said who it is.
    ClientRefused {
        /// The session it wants to go on with; none if it wants a new one.
        session: SessionId,
        /// Why: `ahead` (it has seen more than this server), `password`, `expired`, `read-only`.
        why: Word,
    },

    // ---- zookeeper: the client's half ----
    /// A client's session is established on a server.
    ClientConnected {
        /// The session.
        session: SessionId,
        /// The server.
        server: HostId,
        /// Whether the session existed before.
        resumed: bool,
        /// Whether the server has no quorum and only answers reads.
        #[serde(default)]
        read_only: bool,
    },
    /// A client lost its server; the session may live on.
    ClientDisconnected {
        /// The session.
        session: SessionId,
    },
    /// A server told the client that its session is over.
    ClientExpired {
        /// The session.
        session: SessionId,
    },
    /// A client sent a request (pings aside).
    ClientAsked {
        /// The session.
        session: SessionId,
        /// The request's xid; rises within a session, −8 (setWatches) aside.
        xid: i32,
        /// The operation.
        op: Word,
        /// The path it names; empty if it names none or several.
        path: String,
        /// The watch it leaves if it succeeds (`exist`: also if there is no node): `data`, `exist`, `child`,
        /// `persistent`, `recursive`, or empty. Watches belong to the session's client, which sets them
        /// again on each server it comes to. Of removeWatches: which it takes away, `children`, `data`,
        /// `any`, `persistent` or `recursive`.
        watch: Word,
    },
    /// A reply reached the client.
    ClientReplied {
        /// The session.
        session: SessionId,
        /// The request's xid.
        xid: i32,
        /// The server's last applied transaction at the reply, from the header.
        zxid: Zxid,
        /// The operation.
        op: Word,
        /// ZooKeeper's error code; 0 is success.
        error: i32,
        /// The path concerned: of a create the real one; empty if none or several.
        path: String,
        /// The node's Stat as the reply shows it, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stat: Option<Stat>,
    },
    /// A watch event reached the client.
    ClientNotified {
        /// The session.
        session: SessionId,
        /// The path.
        path: String,
        /// Which event.
        change: Word,
    },

    // ---- search: discovery, controller ----
    /// The node's ephemeral registration exists and is owned by this session.
    NodeRegistered {
        /// The owner.
        session: SessionId,
    },
    /// The node read the list of members.
    MembershipSeen {
        /// Registered nodes, sorted.
        members: Vec<HostId>,
    },
    /// The node won the election and drew its epoch from the counter.
    ControllerElected {
        /// The epoch.
        epoch: Epoch,
    },
    /// The node stopped acting as controller.
    ControllerResigned {
        /// The epoch.
        epoch: Epoch,
        /// Why.
        why: Word,
    },
    /// What the controller's allocator goes by has changed: settings, or attributes of nodes. Comes before the
    /// state that was decided by it; not at all while nothing was ever set.
    AllocationInputs {
        /// Settings of the cluster that are set.
        cluster: BTreeMap<String, String>,
        /// Settings of indices that are set.
        indices: BTreeMap<IndexName, BTreeMap<String, String>>,
        /// Attributes of nodes; the zone is one.
        attributes: BTreeMap<HostId, BTreeMap<String, String>>,
    },
    /// Reroute commands were carried out; comes before the state that shows it.
    RerouteCommanded {
        /// The shards they were about.
        shards: Vec<ShardId>,
        /// Those of them that begin anew with less than was acknowledged, if need be.
        #[serde(default)]
        given_up: Vec<ShardId>,
    },
    /// A node has told the controller how full its disk is.
    DiskReported {
        /// Whose.
        node: HostId,
        /// Its size in bytes.
        total: u64,
        /// What is free of it, in bytes.
        free: u64,
    },
    /// An index takes no writes but deletes, since a disk with a copy of it is nearly full; comes before the state
    /// that shows it.
    IndexBlocked {
        /// Which.
        index: IndexName,
    },
    /// An index takes writes again, since its disks have room; comes before the state that shows it.
    IndexReleased {
        /// Which.
        index: IndexName,
    },
    /// A copy has failed so often in a row that it is left alone; comes before the state that shows it, and again when
    /// another controller takes office, since that one's predecessor may not have lived to tell.
    RetriesExhausted {
        /// Of which shard.
        shard: ShardId,
        /// How often.
        failures: u32,
        /// Whether it is where it is to move from: its targets have failed.
        #[serde(default)]
        moves: bool,
    },
    /// An operator has copies tried again that have failed; comes before the state that shows it.
    RetriesReset {
        /// Their shards.
        shards: Vec<ShardId>,
    },
    /// The controller's write of the cluster state succeeded.
    StatePublished {
        /// The controller's epoch.
        epoch: Epoch,
        /// The state's version: one more for each write.
        version: u64,
        /// Nodes of the cluster, sorted.
        nodes: Vec<HostId>,
        /// Every copy.
        routing: Vec<Placement>,
        /// In-sync copies that are none of `routing`: they may come back.
        #[serde(default)]
        unlisted: Vec<CopyRef>,
        /// What changed, for people.
        why: String,
    },
    /// The node applied a cluster state.
    StateApplied {
        /// Epoch of the controller that wrote it.
        epoch: Epoch,
        /// Its version.
        version: u64,
    },

    /// What the controller's write of this cluster state changed was announced by the same transaction.
    ChangesAnnounced {
        /// The controller's epoch.
        epoch: Epoch,
        /// The state's version.
        version: u64,
        /// In the order of the notice.
        changes: Vec<ClusterChange>,
    },
    /// The controller's write of the settings succeeded.
    SettingsWritten {
        /// Their version.
        version: u64,
        /// The whole document, hashed.
        digest: Digest,
    },
    /// The node goes by these settings now.
    SettingsApplied {
        /// Their version.
        version: u64,
        /// The whole document, hashed.
        digest: Digest,
    },
    /// The node read a znode of the cluster and what stands there is not whole; it goes on with what it read before.
    StateCorrupt {
        /// Which znode.
        path: String,
        /// The transaction that wrote it.
        zxid: Zxid,
    },
    /// The controller cannot write the next cluster state: ZooKeeper would not take so long a request.
    StateTooLong {
        /// Bytes it would have.
        bytes: u64,
        /// Bytes there is room for.
        room: u64,
    },
    /// A node has said for too long nothing of having applied a state; the controller lists it as lagging.
    NodeLagging {
        /// Which.
        node: HostId,
        /// The version it should have applied.
        version: u64,
    },

    // ---- search: copies ----
    /// A copy became the acting primary.
    PrimaryActivated {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// In which term.
        term: Term,
    },
    /// A copy stopped being the acting primary while its process lives.
    PrimaryDeactivated {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// Of which term.
        term: Term,
        /// `handed-off` to a relocation target, `deposed`, `failed`, `removed`.
        why: Word,
    },
    /// The acting primary numbered an operation and put it into its own engine and translog.
    PrimaryAppended {
        /// On which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// The operation's term.
        term: Term,
        /// Its number.
        seq_no: SeqNo,
        /// What it does, hashed.
        digest: Digest,
        /// The document that it is about; empty if about none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        id: String,
        /// Hash of the source that it puts; none unless it indexes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Digest>,
    },
    /// A copy that is not the primary took an operation.
    ReplicaAppended {
        /// On which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// The term of the primary that sent it.
        sender_term: Term,
        /// The operation's term.
        term: Term,
        /// Its number.
        seq_no: SeqNo,
        /// What it does, hashed.
        digest: Digest,
        /// The global checkpoint that came with it.
        global_checkpoint: SeqNo,
    },
    /// The acting primary moved the global checkpoint: every in-sync copy has told it that it is so far.
    GlobalCheckpointAdvanced {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// In which term.
        term: Term,
        /// Every operation up to here is on all in-sync copies.
        global_checkpoint: SeqNo,
    },
    /// A copy was told of a global checkpoint above the one it knew, without an operation.
    GlobalCheckpointLearned {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// The term of the primary that told it.
        sender_term: Term,
        /// What it was told.
        global_checkpoint: SeqNo,
    },
    /// A copy learned of a higher term and will take nothing from lower ones.
    TermAdopted {
        /// On which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// The term.
        term: Term,
    },
    /// A copy threw away operations above this number that the new primary does not have.
    OperationsTrimmed {
        /// On which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// The highest one that the primary sent.
        above: SeqNo,
        /// The numbers thrown away, in order.
        #[serde(default)]
        void: Vec<SeqNo>,
    },
    /// The acting primary acknowledged a write to its client.
    WriteAcknowledged {
        /// On which shard.
        shard: ShardId,
        /// The operation's term.
        term: Term,
        /// Its number.
        seq_no: SeqNo,
        /// Copies that have it.
        copies: u32,
        /// Whether all of them have it synced; with `index.translog.durability: async` they may not.
        durable: bool,
    },
    /// A new primary began to resend what the other copies may lack.
    ResyncStarted {
        /// On which shard.
        shard: ShardId,
        /// The new term.
        term: Term,
        /// Operations to resend.
        operations: u64,
    },
    /// Every in-sync copy has answered the resync (or is out of the set).
    ResyncCompleted {
        /// On which shard.
        shard: ShardId,
        /// The term.
        term: Term,
    },
    /// A copy was opened from what its disk holds, after its process had died.
    CopyOpened {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// It holds every operation up to here.
        up_to: SeqNo,
        /// And those of these numbers above.
        above: Vec<SeqNo>,
    },
    /// A recovering copy put the files of a commit of the primary in the place of its own.
    FilesInstalled {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// The commit has every operation up to here.
        up_to: SeqNo,
    },
    /// A copy began to recover.
    RecoveryStarted {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// `store`, `operations` or `files`.
        from: Word,
    },
    /// A file of a copy is not what was written: its checksum or form is wrong.
    CorruptionFound {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// Which file.
        file: String,
    },
    /// A copy of an index with `index.translog.durability: async` synced its translog.
    TranslogSynced {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// Every operation up to here is durable on it.
        up_to: SeqNo,
    },
    /// A copy has recovered and serves.
    RecoveryCompleted {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// Operations replayed or received.
        operations: u64,
    },
    /// A copy could not go on.
    CopyFailed {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// Why.
        why: String,
    },
    /// A copy is closed for good, and its files go: the cluster state does not know it any more, and it is
    /// not in the in-sync set.
    CopyRemoved {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
    },
    /// A copy made its operations searchable.
    CopyRefreshed {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// Every operation up to here is searchable.
        up_to: SeqNo,
    },
    /// A copy made one segment of several.
    SegmentsMerged {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// Of how many.
        segments: u32,
    },
    /// A copy forgot tombstones that nobody needs any more.
    TombstonesPruned {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// How many.
        tombstones: u64,
    },
    /// A copy made its segments durable and cut its translog.
    CopyFlushed {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// Every operation up to here is in durable segments.
        up_to: SeqNo,
    },
    /// The end-of-run inspection of a copy.
    CopyInspected {
        /// Of which shard.
        shard: ShardId,
        /// Which copy.
        allocation: AllocationId,
        /// Whether it is the acting primary.
        primary: bool,
        /// Its local checkpoint.
        local_checkpoint: SeqNo,
        /// The highest number it has seen.
        max_seq_no: SeqNo,
        /// Documents and known tombstones, by id.
        docs: Vec<HeldDoc>,
        /// Documents that a refresh made searchable now finds through the index, by id: must be the live
        /// ones of `docs`.
        searchable: Vec<String>,
    },

    // ---- recipes: what clients that follow them say of themselves ----
    /// A member of a group began to stand for election, in a new session.
    LeadershipSought {
        /// The group: the path of its znodes.
        group: String,
    },
    /// A member of a group was elected, and drew its epoch.
    LeadershipTaken {
        /// The group.
        group: String,
        /// The epoch drawn from the group's counter.
        epoch: Epoch,
        /// The transaction of the draw.
        zxid: Zxid,
    },
    /// A member leads its group no more, and knows it.
    LeadershipLost {
        /// The group.
        group: String,
        /// The epoch it led in.
        epoch: Epoch,
    },
    /// What a leader wrote behind its fence took effect.
    LeaderWrote {
        /// The group.
        group: String,
        /// The epoch it leads in.
        epoch: Epoch,
        /// The transaction.
        zxid: Zxid,
    },
    /// A member's registration exists and is owned by this session.
    MemberJoined {
        /// The group.
        group: String,
        /// The owner.
        session: SessionId,
    },
    /// A member read the list of the others, itself among them.
    MembersListed {
        /// The group.
        group: String,
        /// Names of members, sorted; a member's name is its host's.
        members: Vec<String>,
    },
    /// A change of a configuration took effect, as its author knows.
    ConfigWritten {
        /// The configuration's znode.
        path: String,
        /// The znode's version by that.
        version: i32,
        /// The transaction.
        zxid: Zxid,
        /// The value, hashed.
        value: Digest,
    },
    /// A value of a configuration holds on this host now.
    ConfigApplied {
        /// The configuration's znode.
        path: String,
        /// The znode's version.
        version: i32,
        /// The transaction that wrote the value.
        zxid: Zxid,
        /// The value, hashed.
        value: Digest,
    },
    /// A notice has its place in a topic's order, as its publisher knows.
    NoticePublished {
        /// The topic's znode.
        topic: String,
        /// The notice's number among those of this life of its publisher.
        number: u64,
        /// Its place.
        position: i64,
    },
    /// A subscriber received the next notice.
    NoticeReceived {
        /// The topic's znode.
        topic: String,
        /// Who published it.
        publisher: String,
        /// Its number among the publisher's own.
        number: u64,
        /// Its place.
        position: i64,
    },
    /// A subscriber was told that notices are gone which it has not received.
    NoticesMissed {
        /// The topic's znode.
        topic: String,
        /// The place from which they are gone.
        from: i64,
        /// The place from which they are there.
        first: i64,
    },

    // ---- workload: what clients asked and were told ----
    /// A client sent a document request.
    DocInvoked {
        /// Number of the request, unique in the run.
        request: u64,
        /// On which index.
        index: String,
        /// Document id; empty if it is to be drawn.
        id: String,
        /// What it asks.
        op: DocOp,
        /// Hash of the source sent; none if it deletes or gets.
        source: Option<Digest>,
        /// Words that the source has in its field `body`, with blanks between; empty unless it indexes.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        words: String,
        /// The other fields of the source, as a JSON object; empty if there are none that searches ask for.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        fields: String,
        /// How it was asked: `_bulk` or `_mget`, and parameters such as `refresh=wait_for`, with `&` between.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        parameters: String,
    },
    /// A client's document request ended.
    DocCompleted {
        /// Number of the request.
        request: u64,
        /// How.
        outcome: Outcome,
        /// Number of the operation (of a get: of the document), if told.
        seq_no: Option<SeqNo>,
        /// Its term, if told.
        term: Option<Term>,
        /// `_version`, if told.
        version: Option<u64>,
        /// `result` of a write, if told: `created`, `updated`, `deleted`, `not_found`, `noop`.
        result: Option<Word>,
        /// The source got, hashed; none unless a get found it.
        source: Option<Digest>,
        /// The error's type, if any.
        error: Option<Word>,
        /// The id that was drawn, if one was, and is told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drawn: Option<String>,
    },
    /// A client sent a search.
    SearchInvoked {
        /// Number of the request.
        request: u64,
        /// On which index.
        index: String,
        /// The request's body, as JSON.
        query: String,
        /// Parameters such as `preference=_local`, with `&` between.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        parameters: String,
    },
    /// A client's search ended.
    SearchCompleted {
        /// Number of the request.
        request: u64,
        /// How.
        outcome: Outcome,
        /// Shards that answered.
        shards_successful: u32,
        /// Shards asked.
        shards_total: u32,
        /// Documents that match.
        total: u64,
        /// Ids of the best hits, best first.
        hits: Vec<String>,
        /// As of which operations each shard that answered did so.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        seen: Vec<ShardSeen>,
        /// Whether time ran out before every shard had answered.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        timed_out: bool,
        /// What the aggregations come to, as a JSON object; empty if there are none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        aggregations: String,
        /// The error's type, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Word>,
    },
}

impl EventKind {
    /// The shard an event is about, if any.
    pub fn shard(&self) -> Option<&ShardId> {
        use EventKind as E;
        match self {
            E::PrimaryActivated { shard, .. }
            | E::PrimaryDeactivated { shard, .. }
            | E::PrimaryAppended { shard, .. }
            | E::ReplicaAppended { shard, .. }
            | E::GlobalCheckpointAdvanced { shard, .. }
            | E::GlobalCheckpointLearned { shard, .. }
            | E::CorruptionFound { shard, .. }
            | E::TranslogSynced { shard, .. }
            | E::TermAdopted { shard, .. }
            | E::OperationsTrimmed { shard, .. }
            | E::WriteAcknowledged { shard, .. }
            | E::ResyncStarted { shard, .. }
            | E::ResyncCompleted { shard, .. }
            | E::CopyOpened { shard, .. }
            | E::FilesInstalled { shard, .. }
            | E::RecoveryStarted { shard, .. }
            | E::RecoveryCompleted { shard, .. }
            | E::CopyFailed { shard, .. }
            | E::CopyRemoved { shard, .. }
            | E::CopyRefreshed { shard, .. }
            | E::CopyFlushed { shard, .. }
            | E::SegmentsMerged { shard, .. }
            | E::TombstonesPruned { shard, .. }
            | E::CopyInspected { shard, .. } => Some(shard),
            _ => None,
        }
    }
}

/// A running 128-bit hash over every event of a run, in order (XXH3 over each event's fields).
///
/// Equal plans on one build give equal fingerprints; so do a run and its stored trace.
#[derive(Clone)]
pub struct Fingerprint(Box<Gathered>);

/// XXH3 over what is written, which is gathered first: an event is a dozen small pieces.
#[derive(Clone)]
struct Gathered {
    hash: xxhash_rust::xxh3::Xxh3,
    pieces: [u8; 1024],
    len: usize,
}

impl Gathered {
    fn flush(&mut self) {
        self.hash.update(&self.pieces[..self.len]);
        self.len = 0;
    }
}

impl std::hash::Hasher for Gathered {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        if self.len + bytes.len() > self.pieces.len() {
            self.flush();
        }
        match self.pieces.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.hash.update(bytes),
        }
    }

    fn finish(&self) -> u64 {
        let mut all = self.clone();
        all.flush();
        all.hash.digest()
    }
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self(Box::new(Gathered { hash: xxhash_rust::xxh3::Xxh3::new(), pieces: [0; 1024], len: 0 }))
    }
}

impl Fingerprint {
    /// Adds the next event.
    pub fn add(&mut self, event: &Event) {
        event.hash(&mut *self.0);
    }

    /// The hash of all events added so far; written as 32 hexadecimal digits.
    pub fn value(&self) -> u128 {
        let mut all = self.0.clone();
        all.flush();
        all.hash.digest128()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:032x})", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_round_trips_as_one_flat_object() {
        let event = Event {
            seq: 4,
            at: SimTime(1_500),
            host: Some(HostId::zookeeper(2)),
            kind: EventKind::SessionOpened {
                session: SessionId(0x0200_0000_0000_0001),
                zxid: Zxid::new(Epoch(1), 1),
                timeout_ms: 4_000,
            },
        };
        let line = serde_json::to_string(&event).unwrap();
        assert!(line.starts_with(r#"{"seq":4,"at":1500,"host":"zk-2","event":"SessionOpened""#), "{line}");
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }

    #[test]
    fn names_are_those_of_the_json_tag() {
        let kind = EventKind::RunEnded;
        let json = serde_json::to_value(&kind).unwrap();
        assert_eq!(json["event"], kind.name());
        assert!(EventKind::NAMES.contains(&kind.name()));
    }

    #[test]
    fn every_kind_says_what_it_means() {
        let meaning = |name| {
            let at = EventKind::NAMES.iter().position(|one| *one == name).unwrap();
            EventKind::MEANINGS[at].trim()
        };
        assert_eq!(meaning("HostPaused"), "The process stopped being scheduled.");
        assert!(EventKind::MEANINGS.iter().all(|meaning| meaning.trim_end().ends_with('.')));
        assert_eq!(EventKind::MEANINGS.len(), EventKind::NAMES.len());
    }
}
