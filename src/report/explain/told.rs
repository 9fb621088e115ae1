//! Words for events — decides how one event stands in a line, and which of them change a state. It never decides which
//! lines are shown.

use super::fields::plain;
use crate::{
    event::{EventKind, EventKind as E},
    report::faults::struck,
};

/// Whether an event changes a state that a person follows: who lives, who leads, who is primary, what is recovered.
pub(super) fn is_state_change(kind: &EventKind) -> bool {
    match kind {
        E::HostStarted { incarnation } => *incarnation > 1,
        E::DiskDamaged { lost, torn, .. } => *lost > 0 || *torn,
        E::QuietBegan
        | E::FaultBegan { .. }
        | E::FaultEnded { .. }
        | E::FaultMissed { .. }
        | E::SetupFailed { .. }
        | E::StepBegan { .. }
        | E::StepEnded { .. }
        | E::HostCrashed { .. }
        | E::HostHalted { .. }
        | E::HostPaused
        | E::HostResumed
        | E::DiskWiped
        | E::ElectionStarted { .. }
        | E::LeaderEstablished { .. }
        | E::FollowerSynced { .. }
        | E::RoleLost { .. }
        | E::LogTruncated { .. }
        | E::SnapshotInstalled { .. }
        | E::EnsembleChanged { .. }
        | E::SessionExpired { .. }
        | E::ClientExpired { .. }
        | E::NodeRegistered { .. }
        | E::ControllerElected { .. }
        | E::ControllerResigned { .. }
        | E::RerouteCommanded { .. }
        | E::StatePublished { .. }
        | E::StateCorrupt { .. }
        | E::PrimaryActivated { .. }
        | E::PrimaryDeactivated { .. }
        | E::TermAdopted { .. }
        | E::OperationsTrimmed { .. }
        | E::ResyncStarted { .. }
        | E::ResyncCompleted { .. }
        | E::CopyOpened { .. }
        | E::FilesInstalled { .. }
        | E::RecoveryStarted { .. }
        | E::RecoveryCompleted { .. }
        | E::CorruptionFound { .. }
        | E::CopyFailed { .. }
        | E::CopyRemoved { .. }
        | E::LeadershipTaken { .. }
        | E::LeadershipLost { .. } => true,
        _ => false,
    }
}

/// Whether an event is one of those that come by the thousand and say nothing alone.
pub(super) fn is_minor(kind: &EventKind) -> bool {
    match kind {
        E::HostStarted { .. } | E::DiskDamaged { .. } => !is_state_change(kind),
        kind => matches!(
            kind,
            E::RunStarted { .. }
                | E::RunEnded
                | E::FileSynced { .. }
                | E::LinkCut { .. }
                | E::LinkHealed { .. }
                | E::Delivered { .. }
                | E::ConnectionEnded { .. }
                | E::AllocationInputs { .. }
                | E::DiskReported { .. }
        ),
    }
}

/// An event in one line.
pub fn told(kind: &EventKind) -> String {
    match kind {
        E::FaultBegan { what, hosts, .. } => match struck(what, hosts) {
            Some(names) => format!("{what}: {names}"),
            None => what.clone(),
        },
        E::FaultEnded { what, .. } => format!("undone: {what}"),
        E::FaultMissed { what, .. } => format!("fault missed: {what}"),
        E::SetupFailed { what, error, .. } => format!("refused: {what}: {error}"),
        E::StepBegan { what, .. } => format!("asked for: {what}"),
        E::StepEnded { what, error: Some(error), .. } => format!("refused: {what}: {error}"),
        E::StepEnded { what, .. } => format!("done: {what}"),
        E::HostHalted { why } => format!("halts: {why}"),
        E::LeaderEstablished { epoch, .. } => format!("leads ZooKeeper in epoch {epoch}"),
        E::FollowerSynced { leader, epoch, zxid, .. } => {
            format!("follows {leader} in epoch {epoch}, level at {zxid}")
        }
        E::RoleLost { why } => format!("gives its role up: {why}"),
        E::ControllerElected { epoch } => format!("is controller in epoch {epoch}"),
        E::ControllerResigned { epoch, why } => format!("is controller no more (epoch {epoch}): {why}"),
        E::StatePublished { epoch, version, why, .. } => {
            format!("publishes state {version} (epoch {epoch}): {why}")
        }
        E::PrimaryActivated { shard, term, .. } => format!("is primary of {shard} in term {term}"),
        E::PrimaryDeactivated { shard, term, why, .. } => {
            format!("is primary of {shard} no more (term {term}): {why}")
        }
        kind => plain(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Epoch;

    #[test]
    fn event_without_words_of_its_own_is_told_by_its_fields() {
        assert_eq!(told(&E::EpochAccepted { epoch: Epoch(3) }), "EpochAccepted epoch 3");
        assert_eq!(told(&E::ControllerElected { epoch: Epoch(3) }), "is controller in epoch 3");
    }

    #[test]
    fn first_start_is_no_change() {
        assert!(!is_state_change(&E::HostStarted { incarnation: 1 }));
        assert!(is_state_change(&E::HostStarted { incarnation: 2 }));
    }
}
