//! Votes — decides which of two votes is better, and when votes are enough. It never remembers any.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    name::{Epoch, HostId, Zxid},
    zookeeper::membership::{Membership, Quorums},
};

/// What a server is, as it tells others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PeerState {
    /// In search of a leader.
    Looking,
    /// Follows one.
    Following,
    /// Leads.
    Leading,
    /// Follows one without a vote.
    Observing,
}

/// No server: ids begin at 1.
const NOBODY: HostId = HostId::zookeeper(0);

/// Whom a server would have lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vote {
    /// The candidate.
    pub leader: HostId,
    /// The candidate's last logged transaction.
    pub zxid: Zxid,
    /// The candidate's currentEpoch.
    pub peer_epoch: Epoch,
}

impl Vote {
    /// A vote for a server of which nothing is known.
    pub(super) fn default_for(leader: HostId) -> Self {
        Self { leader, zxid: Zxid(0), peer_epoch: Epoch(0) }
    }

    /// The first vote of a server that has none: for nobody, so that any other is better.
    pub fn for_nobody() -> Self {
        Self::default_for(NOBODY)
    }

    /// Whether this vote is the better one: newer epoch, then longer history, then higher server id
    /// (`totalOrderPredicate`).
    pub fn beats(self, other: Self) -> bool {
        self.rank() > other.rank()
    }

    fn rank(self) -> (Epoch, Zxid, u16) {
        (self.peer_epoch, self.zxid, self.leader.number)
    }
}

/// A vote on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notification {
    /// The sender's vote.
    pub vote: Vote,
    /// The sender's logical clock.
    pub round: u64,
    /// What the sender is.
    pub state: PeerState,
}

/// A vote with the configuration that its sender goes by, so that configurations spread in elections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notice {
    /// The vote.
    pub notification: Notification,
    /// The sender's committed configuration.
    pub configuration: Membership,
}

/// A vote as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ballot {
    vote: Vote,
    round: u64,
    state: PeerState,
}

impl Ballot {
    pub(super) fn of(heard: Notification) -> Self {
        Self { vote: heard.vote, round: heard.round, state: heard.state }
    }

    /// Equal votes as `Vote.equals` has it: between servers that are not looking, zxid and round do not
    /// matter, since each may have decided in another round.
    fn agrees(self, other: Self) -> bool {
        if self.state == PeerState::Looking || other.state == PeerState::Looking {
            return self.vote == other.vote && self.round == other.round;
        }
        self.vote.leader == other.vote.leader && self.vote.peer_epoch == other.vote.peer_epoch
    }
}

/// Whether a quorum, of each configuration that counts, cast this ballot.
pub(super) fn has_quorum(ballots: &BTreeMap<HostId, Ballot>, ballot: Ballot, quorums: &Quorums) -> bool {
    quorums.agree(|voter| ballots.get(&voter).is_some_and(|cast| cast.agrees(ballot)))
}

/// Whether the leader that others name can be believed in: it says so itself, or it is me and the round
/// is mine (`checkLeader`).
pub(super) fn checks_leader(
    ballots: &BTreeMap<HostId, Ballot>,
    leader: HostId,
    me: HostId,
    same_round: bool,
) -> bool {
    if leader == me {
        return same_round;
    }
    ballots.get(&leader).is_some_and(|ballot| ballot.state == PeerState::Leading)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(leader: u16, zxid: u64, epoch: u32) -> Vote {
        Vote { leader: HostId::zookeeper(leader), zxid: Zxid(zxid), peer_epoch: Epoch(epoch) }
    }

    /// "compare: peerEpoch, then zxid, then sid". ZOOKEEPER-1419 had a higher zxid win whatever the epoch.
    #[test]
    fn newer_epoch_beats_longer_history_beats_higher_id() {
        assert!(vote(1, 1, 2).beats(vote(2, 9, 1)));
        assert!(vote(1, 9, 1).beats(vote(2, 8, 1)));
        assert!(vote(2, 9, 1).beats(vote(1, 9, 1)));
        assert!(!vote(2, 9, 1).beats(vote(2, 9, 1)));
    }

    /// "Equality there ignores zxid and round (Vote.equals)."
    #[test]
    fn settled_votes_agree_across_rounds_and_zxids() {
        let ballot = |zxid, round, state| Ballot { vote: vote(3, zxid, 4), round, state };
        assert!(ballot(7, 1, PeerState::Leading).agrees(ballot(8, 2, PeerState::Following)));
        assert!(!ballot(7, 1, PeerState::Looking).agrees(ballot(8, 1, PeerState::Looking)));
        assert!(!ballot(7, 1, PeerState::Looking).agrees(ballot(7, 2, PeerState::Looking)));
    }

    #[test]
    fn leader_that_does_not_say_so_is_not_believed() {
        let (me, leader) = (HostId::zookeeper(1), HostId::zookeeper(3));
        let mut ballots = BTreeMap::new();
        assert!(!checks_leader(&ballots, leader, me, true));
        let notification = |state| Notification { vote: vote(3, 0, 1), round: 1, state };
        ballots.insert(leader, Ballot::of(notification(PeerState::Looking)));
        assert!(!checks_leader(&ballots, leader, me, true));
        ballots.insert(leader, Ballot::of(notification(PeerState::Leading)));
        assert!(checks_leader(&ballots, leader, me, false));
        assert!(checks_leader(&ballots, me, me, true) && !checks_leader(&ballots, me, me, false));
    }
}
