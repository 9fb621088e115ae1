//! Membership — decides who belongs to an ensemble, in which role, and which of its servers are a quorum. It
//! never counts who has said what.
//!
//! The dynamic configuration (`QuorumPeerConfig.java`, `QuorumMaj.java`, `QuorumPeer.QuorumServer`): one line
//! a server, then its version, which is the zxid of the transaction that made it, or 0 at the start. Each
//! server knows two of them ([`Views`]): the one that is committed and the last one proposed. While they
//! differ, whatever needs a quorum needs one of each.
//!
//! Where this model differs from ZooKeeper on purpose:
//!
//! | here | ZooKeeper |
//! | --- | --- |
//! | servers are numbered 1 to 65535, and are reached by their numbers whatever their addresses say | any long; by address |
//! | lines are in order of numbers | in the order of a hash table, which for numbers below 12 is the same |
//! | groups and weights are refused | hierarchical quorums |
//! | of all servers the mtime of `/zookeeper/config` shows 0 until a reconfiguration sets it | each server's own clock when it read its file |

mod address;
mod change;
mod text;
mod views;

use std::{collections::BTreeMap, sync::Arc};

pub use self::{
    address::Addresses,
    change::Wish,
    text::BadConfiguration,
    views::{Quorums, Views},
};
use super::wire::EnsembleConfig;
use crate::name::{HostId, Zxid};

/// What a server does in an ensemble (`LearnerType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Votes and can lead.
    Participant,
    /// Follows without a vote.
    Observer,
}

/// A server of an ensemble.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// What it does.
    pub role: Role,
    /// Where it is, as the configuration says.
    pub addresses: Addresses,
}

/// A configuration of an ensemble.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Membership {
    version: Zxid,
    members: Arc<BTreeMap<HostId, Member>>,
}

impl Membership {
    /// The configuration that an ensemble starts with: version 0.
    pub fn initial(config: &EnsembleConfig) -> Self {
        let member = |role| {
            move |host: &HostId| (*host, Member { role, addresses: Addresses::of(*host, &config.addresses) })
        };
        let voters = config.servers.iter().map(member(Role::Participant));
        let observers = config.observers.iter().map(member(Role::Observer));
        Self::new(Zxid(0), observers.chain(voters).collect())
    }

    fn new(version: Zxid, members: BTreeMap<HostId, Member>) -> Self {
        Self { version, members: Arc::new(members) }
    }

    /// Which configuration it is: later ones have higher versions.
    pub fn version(&self) -> Zxid {
        self.version
    }

    /// The same members under another version.
    #[must_use]
    pub fn with_version(&self, version: Zxid) -> Self {
        Self { version, members: self.members.clone() }
    }

    /// What the configuration says of a server.
    pub fn member(&self, host: HostId) -> Option<&Member> {
        self.members.get(&host)
    }

    /// The servers that vote, in order.
    pub fn voters(&self) -> impl Iterator<Item = HostId> {
        self.in_role(Role::Participant)
    }

    /// The servers that follow without a vote, in order.
    pub fn observers(&self) -> impl Iterator<Item = HostId> {
        self.in_role(Role::Observer)
    }

    /// Whether this server votes.
    pub fn is_voter(&self, host: HostId) -> bool {
        self.members.get(&host).is_some_and(|member| member.role == Role::Participant)
    }

    /// Whether this server is listed as an observer. One that is not listed at all follows as a participant
    /// whose vote does not count.
    pub fn is_observer(&self, host: HostId) -> bool {
        self.members.get(&host).is_some_and(|member| member.role == Role::Observer)
    }

    /// Whether more than half of the voters are among these.
    pub fn is_quorum(&self, contains: impl Fn(HostId) -> bool) -> bool {
        let (mut voters, mut among) = (0, 0);
        for voter in self.voters() {
            voters += 1;
            among += usize::from(contains(voter));
        }
        among > voters / 2
    }

    /// Whether both list the same servers in the same roles at the same addresses.
    pub fn lists_the_same(&self, other: &Self) -> bool {
        self.members == other.members
    }

    fn in_role(&self, role: Role) -> impl Iterator<Item = HostId> {
        self.members.iter().filter(move |(_, member)| member.role == role).map(|(host, _)| *host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zk(number: u16) -> HostId {
        HostId::zookeeper(number)
    }

    pub(super) fn of(voters: &[u16], observers: &[u16]) -> Membership {
        let hosts = |numbers: &[u16]| numbers.iter().map(|number| zk(*number)).collect();
        let (servers, observers) = (hosts(voters), hosts(observers));
        Membership::initial(&EnsembleConfig { servers, observers, ..EnsembleConfig::default() })
    }

    #[test]
    fn more_than_half_of_the_voters_are_a_quorum() {
        for (voters, needed) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let membership = of(&(1..=voters).collect::<Vec<_>>(), &[]);
            assert!(membership.is_quorum(|host| host.number <= needed), "{needed} of {voters}");
            assert!(!membership.is_quorum(|host| host.number < needed), "{} of {voters}", needed - 1);
        }
    }

    #[test]
    fn observers_and_strangers_never_make_a_quorum() {
        let membership = of(&[1, 2, 3], &[4, 5]);
        assert!(!membership.is_quorum(|host| [1, 4, 5, 9].contains(&host.number)));
        assert!(membership.is_observer(zk(4)) && !membership.is_observer(zk(9)));
        assert!(!membership.is_voter(zk(4)) && !membership.is_voter(zk(9)));
    }

    #[test]
    fn ensemble_without_voters_has_no_quorum() {
        assert!(!of(&[], &[]).is_quorum(|_| true));
    }
}
