//! Follower — decides, at the leader, how far one learner has come and whether it is late. It never sends
//! anything.

use std::time::Duration;

use super::sync::LearnerLog;
use crate::{
    core::Instant,
    name::{HostId, Zxid},
    zookeeper::membership::Role,
};

/// How far a learner has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Connected.
    Calling,
    /// FOLLOWERINFO has come; no epoch is chosen yet.
    Met,
    /// LEADERINFO is sent.
    Informed,
    /// ACKEPOCH has come; a quorum of them has not.
    Accepted { log: LearnerLog },
    /// The history and NEWLEADER are sent.
    Synchronizing,
    /// NEWLEADER is acknowledged.
    Synchronized,
    /// UPTODATE is sent.
    Following,
}

/// A learner as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    pub(super) host: Option<HostId>,
    pub(super) role: Role,
    pub(super) stage: Stage,
    /// When it last said anything.
    pub(super) heard: Instant,
    /// The oldest proposal it owes an acknowledgement for that is watched, and the newest at that time.
    owed: Option<(Zxid, Instant)>,
    owed_next: Option<(Zxid, Instant)>,
}

impl Follower {
    /// A learner that has just connected.
    pub(super) fn new(now: Instant) -> Self {
        let role = Role::Participant;
        Self { host: None, role, stage: Stage::Calling, heard: now, owed: None, owed_next: None }
    }

    /// Whether it gets what happens from here on: proposals, or as an observer what is committed.
    pub(super) fn is_forwarded_to(&self) -> bool {
        matches!(self.stage, Stage::Synchronizing | Stage::Synchronized | Stage::Following)
    }

    /// Whether proposals go to it.
    pub(super) fn gets_proposals(&self) -> bool {
        self.is_forwarded_to() && self.role == Role::Participant
    }

    /// Whether it has acknowledged the leader's history.
    pub(super) fn is_synced(&self) -> bool {
        matches!(self.stage, Stage::Synchronized | Stage::Following)
    }

    /// A proposal goes to it. Of those outstanding two are watched, as `SyncLimitCheck` does.
    pub(super) fn proposed(&mut self, zxid: Zxid, now: Instant) {
        if self.owed.is_none() {
            self.owed = Some((zxid, now));
        } else {
            self.owed_next = Some((zxid, now));
        }
    }

    /// It has acknowledged a proposal.
    pub(super) fn acked(&mut self, zxid: Zxid) {
        if self.owed.is_some_and(|(owed, _)| owed <= zxid) {
            self.owed = self.owed_next.take().filter(|(next, _)| *next > zxid);
        }
    }

    /// Whether it has been silent, or has owed an acknowledgement, for too long.
    pub(super) fn is_overdue(&self, now: Instant, init_limit: Duration, sync_limit: Duration) -> bool {
        let limit = if self.is_synced() { sync_limit } else { init_limit };
        let owes = self.owed.is_some_and(|(_, since)| now.since(since) > sync_limit);
        now.since(self.heard) > limit || (owes && self.stage == Stage::Following)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(10);

    fn at(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    fn following() -> Follower {
        Follower { stage: Stage::Following, ..Follower::new(at(0)) }
    }

    /// "Learner closed when an ack is due longer than syncLimit x tick, or no packet for that long".
    #[test]
    fn owed_acknowledgement_makes_a_talking_follower_overdue() {
        let mut follower = following();
        follower.proposed(Zxid(1), at(0));
        follower.heard = at(11);
        assert!(follower.is_overdue(at(11), LIMIT * 9, LIMIT));
        follower.acked(Zxid(1));
        assert!(!follower.is_overdue(at(11), LIMIT * 9, LIMIT));
    }

    #[test]
    fn silence_makes_a_follower_overdue() {
        assert!(!following().is_overdue(at(10), LIMIT * 9, LIMIT));
        assert!(following().is_overdue(at(11), LIMIT * 9, LIMIT));
    }

    #[test]
    fn acknowledged_proposal_passes_the_watch_to_the_next_one() {
        let mut follower = following();
        follower.proposed(Zxid(1), at(0));
        follower.proposed(Zxid(2), at(5));
        follower.acked(Zxid(1));
        follower.heard = at(14);
        assert!(!follower.is_overdue(at(14), LIMIT * 9, LIMIT));
        follower.heard = at(16);
        assert!(follower.is_overdue(at(16), LIMIT * 9, LIMIT));
    }
}
