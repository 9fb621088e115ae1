//! Peers — decides what ZooKeeper servers say to each other, and in what envelope everything travels that
//! a server or a client says. It never decides when.
//!
//! Names are those of `Leader.java` (`FOLLOWERINFO`, `ACKEPOCH`, …) and `FastLeaderElection.java`.

use std::sync::Arc;

use super::{
    election::Notice,
    log::Record,
    membership::{Membership, Role},
    wire::{ClientFrame, Id, Op, ServerFrame},
};
use crate::{
    event::Word,
    name::{Epoch, HostId, SessionId, Zxid},
};

/// Everything that travels on a connection to or from a ZooKeeper server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// On the client port, from the client.
    ToServer(ClientFrame),
    /// On the client port, from the server.
    ToClient(ServerFrame),
    /// On the election port.
    Election(ElectionFrame),
    /// On the quorum port, from a learner to its leader.
    ToLeader(LearnerFrame),
    /// On the quorum port, from the leader to a learner.
    ToLearner(LeaderFrame),
}

/// Between any two voters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ElectionFrame {
    /// The first message on a connection, from the one who dialled.
    Hello {
        /// Who it is.
        server: HostId,
    },
    /// A vote.
    Notification(Notice),
}

/// From a learner to its leader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LearnerFrame {
    /// FOLLOWERINFO or OBSERVERINFO: who comes, and what it has promised.
    FollowerInfo {
        /// The learner.
        server: HostId,
        /// Whether it follows as a participant or as an observer.
        role: Role,
        /// Its acceptedEpoch.
        accepted_epoch: Epoch,
        /// The version of its committed configuration.
        configuration: Zxid,
    },
    /// ACKEPOCH: the new epoch is accepted, and on disk.
    AckEpoch {
        /// Its currentEpoch; none if it had accepted this epoch before, so that its promise does not count
        /// twice.
        current_epoch: Option<Epoch>,
        /// Its last logged transaction.
        last_zxid: Zxid,
        /// How far back it can cut its log: its oldest snapshot. Not in ZooKeeper, where a learner that is
        /// told to cut further back exits.
        cut_floor: Zxid,
    },
    /// The acknowledgement of NEWLEADER: the leader's history and its epoch are on disk.
    NewLeaderAck {
        /// The leader's epoch.
        epoch: Epoch,
    },
    /// ACK: a proposal is in the learner's log, synced.
    Ack {
        /// Which.
        zxid: Zxid,
    },
    /// The answer to a ping: sessions heard of since the last one, with their timeouts in milliseconds.
    Pong {
        /// The touched sessions.
        touched: Vec<(SessionId, u64)>,
    },
    /// REQUEST: a write of one of the learner's clients.
    Request(Write),
    /// SYNC: a client wants this learner to catch up.
    Sync {
        /// The client's session.
        session: SessionId,
        /// Its request.
        xid: i32,
    },
    /// REVALIDATE: a client has come to this learner with an existing session.
    Revalidate {
        /// Which session.
        session: SessionId,
        /// The timeout negotiated there, in milliseconds.
        timeout_ms: u64,
    },
}

/// A write on its way to the leader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Write {
    /// The session that asks; for a new session, its id.
    pub session: SessionId,
    /// The client's number for it; 0 for a new session.
    pub xid: i32,
    /// Who asks: the identities of the client's connection. Empty if a server asks.
    pub ids: Arc<[Id]>,
    /// What is asked.
    pub ask: Ask,
}

/// What a write asks of the leader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Open the session.
    Open {
        /// Negotiated timeout, in milliseconds.
        timeout_ms: u64,
    },
    /// A client's operation.
    Op(Op),
}

/// From the leader to a learner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LeaderFrame {
    /// LEADERINFO: the epoch that this leader proposes, on its disk.
    LeaderInfo {
        /// The new epoch.
        epoch: Epoch,
    },
    /// DIFF: what follows continues the learner's log.
    Diff,
    /// TRUNC: the learner's log is to be cut.
    Trunc {
        /// The last transaction to keep.
        zxid: Zxid,
    },
    /// SNAP: the learner's database is to be replaced.
    Snap {
        /// The last transaction in it.
        zxid: Zxid,
        /// The content of a snapshot file.
        bytes: Arc<[u8]>,
    },
    /// PROPOSAL.
    Proposal(Arc<Record>),
    /// COMMIT.
    Commit {
        /// Of which proposal.
        zxid: Zxid,
    },
    /// COMMITANDACTIVATE: the proposal is a reconfiguration, and holds from here on.
    CommitAndActivate {
        /// Of which proposal.
        zxid: Zxid,
        /// Who is to lead from now on.
        leader: HostId,
    },
    /// INFORM, to an observer: a transaction that is committed.
    Inform(Arc<Record>),
    /// INFORMANDACTIVATE, to an observer: a committed reconfiguration.
    InformAndActivate {
        /// The reconfiguration.
        record: Arc<Record>,
        /// Who is to lead from now on.
        leader: HostId,
    },
    /// NEWLEADER: the leader's history was sent.
    NewLeader {
        /// Its epoch.
        epoch: Epoch,
        /// The last configuration it has seen proposed: it is committed with this epoch.
        configuration: Membership,
    },
    /// UPTODATE: the leader is established; the learner may serve.
    UpToDate,
    /// PING.
    Ping,
    /// The answer to SYNC, behind all commits it waited for.
    Synced {
        /// The client's session.
        session: SessionId,
        /// Its request.
        xid: i32,
    },
    /// The answer to REVALIDATE.
    Revalidated {
        /// Which session.
        session: SessionId,
        /// Whether it lives.
        alive: bool,
    },
}

impl Message {
    /// A word for traces.
    pub fn label(&self) -> Word {
        match self {
            Self::ToServer(frame) => frame.label(),
            Self::ToClient(frame) => frame.label(),
            Self::Election(ElectionFrame::Hello { .. }) => "hello".into(),
            Self::Election(ElectionFrame::Notification(_)) => "vote".into(),
            Self::ToLeader(frame) => frame.label().into(),
            Self::ToLearner(frame) => frame.label().into(),
        }
    }

    /// About how many bytes it carries, where that is much.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::ToLearner(LeaderFrame::Snap { bytes, .. }) => bytes.len() as u64,
            Self::ToLearner(LeaderFrame::Proposal(record) | LeaderFrame::Inform(record)) => record.length(),
            _ => 64,
        }
    }
}

impl LearnerFrame {
    /// A word for traces.
    pub fn label(&self) -> &'static str {
        match self {
            Self::FollowerInfo { role: Role::Participant, .. } => "FOLLOWERINFO",
            Self::FollowerInfo { role: Role::Observer, .. } => "OBSERVERINFO",
            Self::AckEpoch { .. } => "ACKEPOCH",
            Self::NewLeaderAck { .. } => "NEWLEADER-ACK",
            Self::Ack { .. } => "ACK",
            Self::Pong { .. } => "PONG",
            Self::Request(_) => "REQUEST",
            Self::Sync { .. } => "SYNC",
            Self::Revalidate { .. } => "REVALIDATE",
        }
    }
}

impl LeaderFrame {
    /// A word for traces.
    pub fn label(&self) -> &'static str {
        match self {
            Self::LeaderInfo { .. } => "LEADERINFO",
            Self::Diff => "DIFF",
            Self::Trunc { .. } => "TRUNC",
            Self::Snap { .. } => "SNAP",
            Self::Proposal(_) => "PROPOSAL",
            Self::Commit { .. } => "COMMIT",
            Self::CommitAndActivate { .. } => "COMMITANDACTIVATE",
            Self::Inform(_) => "INFORM",
            Self::InformAndActivate { .. } => "INFORMANDACTIVATE",
            Self::NewLeader { .. } => "NEWLEADER",
            Self::UpToDate => "UPTODATE",
            Self::Ping => "PING",
            Self::Synced { .. } => "SYNCED",
            Self::Revalidated { .. } => "REVALIDATED",
        }
    }
}

macro_rules! wrap {
    ($($inner:ty => $variant:ident),*) => {$(
        impl From<$inner> for Message {
            fn from(frame: $inner) -> Self {
                Self::$variant(frame)
            }
        }
    )*};
}

wrap!(ClientFrame => ToServer, ServerFrame => ToClient, ElectionFrame => Election,
      LearnerFrame => ToLeader, LeaderFrame => ToLearner);
