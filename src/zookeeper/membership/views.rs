//! Views — decides which configurations a server goes by: the committed one and the last one proposed. It
//! never proposes one.

use std::sync::Arc;

use super::Membership;
use crate::name::HostId;

/// The configurations that have to agree: the committed one, and the proposed one if it is newer
/// (`SyncedLearnerTracker`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Quorums {
    committed: Membership,
    proposed: Option<Membership>,
}

impl Quorums {
    /// Whether these servers are a quorum of each.
    pub fn agree(&self, contains: impl Fn(HostId) -> bool) -> bool {
        self.committed.is_quorum(&contains)
            && self.proposed.as_ref().is_none_or(|proposed| proposed.is_quorum(&contains))
    }

    /// Whether this server votes in any of them (`validVoter`).
    pub fn know(&self, host: HostId) -> bool {
        self.committed.is_voter(host)
            || self.proposed.as_ref().is_some_and(|proposed| proposed.is_voter(host))
    }

    /// Everyone who votes in any of them, in order (`getCurrentAndNextConfigVoters`).
    pub fn voters(&self) -> Vec<HostId> {
        let proposed = self.proposed.iter().flat_map(Membership::voters);
        let mut voters: Vec<_> = self.committed.voters().chain(proposed).collect();
        voters.sort_unstable();
        voters.dedup();
        voters
    }

    /// The newest of them.
    pub fn newest(&self) -> &Membership {
        self.proposed.as_ref().unwrap_or(&self.committed)
    }
}

/// What one server knows of its ensemble's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Views {
    committed: Membership,
    /// The last one it has seen proposed (`lastSeenQuorumVerifier`); not older than the committed one.
    proposed: Membership,
    quorums: Arc<Quorums>,
}

impl Views {
    /// What a server's files say; without a proposed one, the committed one is the last.
    pub fn new(committed: Membership, proposed: Option<Membership>) -> Self {
        let newer = proposed.filter(|proposed| proposed.version() > committed.version());
        let quorums = Arc::new(Quorums { committed: committed.clone(), proposed: newer.clone() });
        Self { proposed: newer.unwrap_or_else(|| committed.clone()), committed, quorums }
    }

    /// The committed configuration.
    pub fn committed(&self) -> &Membership {
        &self.committed
    }

    /// The last one proposed; the committed one if none is pending.
    pub fn proposed(&self) -> &Membership {
        &self.proposed
    }

    /// Whether a proposed configuration is not committed yet.
    pub fn is_changing(&self) -> bool {
        self.quorums.proposed.is_some()
    }

    /// Who has to agree to anything now.
    pub fn quorums(&self) -> &Arc<Quorums> {
        &self.quorums
    }

    /// A configuration was proposed. False if this one was seen before.
    pub fn see(&mut self, proposed: Membership) -> bool {
        if proposed.version() == self.proposed.version() {
            return false;
        }
        *self = Self::new(self.committed.clone(), Some(proposed));
        true
    }

    /// A configuration was committed; the one before it, unless this one is old.
    pub fn activate(&mut self, committed: Membership) -> Option<Membership> {
        if committed.version() <= self.committed.version() {
            return None;
        }
        let (before, proposed) = (self.committed.clone(), self.proposed.clone());
        *self = Self::new(committed, Some(proposed));
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::of, *};
    use crate::name::Zxid;

    fn zk(number: u16) -> HostId {
        HostId::zookeeper(number)
    }

    /// Servers 1 to 3, and proposed are 3 to 5.
    fn changing() -> Views {
        Views::new(of(&[1, 2, 3], &[]), Some(of(&[3, 4, 5], &[]).with_version(Zxid(7))))
    }

    /// "from propose on acks needed from quorums of old **and** new config".
    #[test]
    fn pending_change_needs_quorums_of_both() {
        let views = changing();
        let agree = |numbers: &[u16]| views.quorums().agree(|host| numbers.contains(&host.number));
        assert!(agree(&[1, 3, 4]) && agree(&[1, 2, 4, 5]));
        assert!(!agree(&[1, 2, 3]) && !agree(&[3, 4, 5]) && !agree(&[3]));
        assert_eq!(views.quorums().voters(), [1, 2, 3, 4, 5].map(zk));
        assert!(views.is_changing() && views.quorums().know(zk(5)) && !views.quorums().know(zk(6)));
    }

    #[test]
    fn committed_change_stands_alone() {
        let mut views = changing();
        let before = views.activate(views.proposed().clone());
        assert_eq!(before, Some(of(&[1, 2, 3], &[])));
        assert!(!views.is_changing() && views.quorums().agree(|host| [4, 5].contains(&host.number)));
        assert_eq!(views.activate(of(&[1], &[]).with_version(Zxid(7))), None, "it is known already");
    }

    #[test]
    fn proposal_that_was_seen_before_changes_nothing() {
        let mut views = changing();
        assert!(!views.see(of(&[1], &[]).with_version(Zxid(7))));
        assert!(views.see(of(&[1, 2], &[]).with_version(Zxid(9))));
        assert_eq!(views.proposed().version(), Zxid(9));
    }
}
