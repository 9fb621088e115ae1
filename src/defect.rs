//! Defects — decides which historic bugs can be switched on, with one line of story each. It never says
//! how a core misbehaves: the core asks [`Defects::has`] at the one place where it would.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bug of a real system that a run can bring back, to prove that the laws catch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// Zab servers acknowledge proposals before the log is synced.
    ZabAckBeforeSync,
    /// A new Zab leader keeps its promise of an epoch in memory only.
    ZabEpochNotWritten,
    /// A Zab leader sends a DIFF to a learner that has to cut its log first.
    ZabTruncLeftOut,
    /// A Zab leader serves without a quorum that has its history.
    ZabNoQuorumOfNewLeader,
    /// A ZooKeeper server goes on when its disk refuses a write or a sync.
    ZkIgnoresDiskFailure,
    /// A session that is being closed goes on making ephemeral nodes.
    SessionLeavesEphemerals,
    /// A client does not set its watches again on another server.
    WatchesNotSetAgain,
    /// A replica takes operations of a primary whose term is over.
    ReplicaIgnoresTerm,
    /// A primary acknowledges a write as soon as its own disk has it.
    AcknowledgesBeforeReplicas,
    /// A new primary does not resend what the other copies may lack.
    NoResync,
    /// A primary samples the replication group before the global checkpoint.
    CheckpointAfterGroup,
    /// A primary tracks the target of a recovery only after it has read its highest number.
    TracksAfterSnapshot,
    /// A copy forgets a delete at once, though older operations on the document may still come.
    DropsTombstonesAtOnce,
    /// A replica takes a write with `refresh` without refreshing.
    ReplicaSkipsRefresh,
    /// The controller writes the cluster state without checking its epoch.
    ControllerUnfenced,
    /// A node takes any registration of its name for its own.
    SkipsOwnershipCheck,
    /// A copy that is not in sync may become primary.
    PromotesStaleCopy,
    /// Copies move although the cluster is no more even for it.
    MovesWithoutImprovement,
}

impl Defect {
    /// Every defect, in the order of the list command.
    pub const ALL: [Self; 18] = [
        Self::ZabAckBeforeSync,
        Self::ZabEpochNotWritten,
        Self::ZabTruncLeftOut,
        Self::ZabNoQuorumOfNewLeader,
        Self::ZkIgnoresDiskFailure,
        Self::SessionLeavesEphemerals,
        Self::WatchesNotSetAgain,
        Self::ReplicaIgnoresTerm,
        Self::AcknowledgesBeforeReplicas,
        Self::NoResync,
        Self::CheckpointAfterGroup,
        Self::TracksAfterSnapshot,
        Self::DropsTombstonesAtOnce,
        Self::ReplicaSkipsRefresh,
        Self::ControllerUnfenced,
        Self::SkipsOwnershipCheck,
        Self::PromotesStaleCopy,
        Self::MovesWithoutImprovement,
    ];

    /// The name that the command line and scenario files use.
    pub fn name(self) -> &'static str {
        match self {
            Self::ZabAckBeforeSync => "zab-ack-before-sync",
            Self::ZabEpochNotWritten => "zab-epoch-not-written",
            Self::ZabTruncLeftOut => "zab-trunc-left-out",
            Self::ZabNoQuorumOfNewLeader => "zab-no-quorum-of-new-leader",
            Self::ZkIgnoresDiskFailure => "zk-ignores-disk-failure",
            Self::SessionLeavesEphemerals => "session-leaves-ephemerals",
            Self::WatchesNotSetAgain => "watches-not-set-again",
            Self::ReplicaIgnoresTerm => "replica-ignores-term",
            Self::AcknowledgesBeforeReplicas => "acknowledges-before-replicas",
            Self::NoResync => "no-resync",
            Self::CheckpointAfterGroup => "checkpoint-after-group",
            Self::TracksAfterSnapshot => "tracks-after-snapshot",
            Self::DropsTombstonesAtOnce => "drops-tombstones-at-once",
            Self::ReplicaSkipsRefresh => "replica-skips-refresh",
            Self::ControllerUnfenced => "controller-unfenced",
            Self::SkipsOwnershipCheck => "skips-ownership-check",
            Self::PromotesStaleCopy => "promotes-stale-copy",
            Self::MovesWithoutImprovement => "moves-without-improvement",
        }
    }

    /// What went wrong where, in one line.
    pub fn story(self) -> &'static str {
        match self {
            Self::ZabAckBeforeSync => {
                "ZOOKEEPER-3911, ZOOKEEPER-4646: acknowledged before the log was synced, so a quorum's \
                 crash took committed transactions with it"
            }
            Self::ZabEpochNotWritten => {
                "ZOOKEEPER-1291, ZOOKEEPER-335: a new leader promised its epoch in memory only, so that the \
                 same epoch could be given out again"
            }
            Self::ZabTruncLeftOut => {
                "ZOOKEEPER-1154, ZOOKEEPER-1156: a learner with uncommitted transactions got a DIFF, not a \
                 TRUNC first, and kept what was never committed"
            }
            Self::ZabNoQuorumOfNewLeader => {
                "ZOOKEEPER-3911, ZOOKEEPER-790: a leader served before a quorum had its history, which was \
                 then not committed at all"
            }
            Self::ZkIgnoresDiskFailure => {
                "ZOOKEEPER-2247: the thread that writes the log died and the server lived on, as a leader that logs nothing"
            }
            Self::SessionLeavesEphemerals => {
                "ZOOKEEPER-1208: a session was not marked as closing, so that an ephemeral node made behind \
                 its closeSession stayed for good"
            }
            Self::WatchesNotSetAgain => {
                "ZOOKEEPER-23: a client that came to another server did not set its watches again, and never \
                 heard of the change"
            }
            Self::ReplicaIgnoresTerm => {
                "Elasticsearch #7572, #19269: a deposed primary's operations were taken, so two primaries \
                 wrote under one sequence"
            }
            Self::AcknowledgesBeforeReplicas => {
                "OpenSearch #21456, Elasticsearch #7572: a write was acknowledged although no replica had it, and was \
                 lost with its primary"
            }
            Self::NoResync => {
                "Elasticsearch #10708, #20031: after a promotion the other copies kept, or went on missing, what had \
                 been on its way when the old primary died"
            }
            Self::CheckpointAfterGroup => {
                "Elasticsearch, ReplicationOperation: an operation went to a group with the global checkpoint of a \
                 later, smaller one, so a copy was told of operations that it does not have"
            }
            Self::TracksAfterSnapshot => {
                "Elasticsearch, RecoverySourceHandler: what was written between the snapshot of a recovery and the \
                 tracking of its target reached the target never"
            }
            Self::DropsTombstonesAtOnce => {
                "Elasticsearch #28790: a tombstone was dropped on one copy before the operations below it had come, and one \
                 of them brought the document back"
            }
            Self::ReplicaSkipsRefresh => {
                "Elasticsearch #9421, #13068: a refresh left out a copy of the shard, and a search there missed what had \
                 been acknowledged as visible"
            }
            Self::ControllerUnfenced => {
                "KAFKA-6082: a controller that slept through its session's end went on writing state"
            }
            Self::SkipsOwnershipCheck => {
                "KAFKA-1387, KAFKA-7165: a node took the registration of its own dying session for the new one's, \
                 and was out of the cluster when that session ended"
            }
            Self::PromotesStaleCopy => {
                "Elasticsearch #14671: a copy that had missed writes became primary when the good one was away, \
                 and the writes were gone"
            }
            Self::MovesWithoutImprovement => {
                "Elasticsearch #88384: the balancer moved copies although the cluster was no more even for it, \
                 and went on doing so"
            }
        }
    }

    /// The defect of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|defect| defect.name() == name)
    }
}

/// The defects that are switched on in a run; usually none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Defects(pub BTreeSet<Defect>);

impl Defects {
    /// Whether this defect is on.
    pub fn has(&self, defect: Defect) -> bool {
        self.0.contains(&defect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_is_found_by_its_name() {
        for defect in Defect::ALL {
            assert_eq!(Defect::named(defect.name()), Some(defect));
            assert_eq!(serde_json::to_value(defect).unwrap(), defect.name());
        }
    }
}
