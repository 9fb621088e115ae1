//! Proposals — decides when a transaction is committed: a quorum has it, and everything before it is
//! committed. It never proposes one.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    name::{Epoch, HostId, Zxid},
    zookeeper::{log::Record, membership::Quorums},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Outstanding {
    record: Arc<Record>,
    /// Who has it in its log. Those who have no vote do not matter.
    acks: Vec<HostId>,
    /// Who had to agree when it was proposed.
    quorums: Arc<Quorums>,
}

impl Outstanding {
    fn is_chosen(&self) -> bool {
        self.quorums.agree(|voter| self.acks.contains(&voter))
    }
}

/// A proposal that a quorum has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Chosen {
    pub(super) record: Arc<Record>,
    pub(super) acks: Vec<HostId>,
    pub(super) quorums: Arc<Quorums>,
}

/// What a leader has proposed in its epoch and not committed yet, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Proposals {
    last: Zxid,
    outstanding: VecDeque<Outstanding>,
}

impl Proposals {
    /// The proposals of a new leader.
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { last: Zxid::new(epoch, 0), outstanding: VecDeque::new() }
    }

    /// The zxid of the next proposal; none if the epoch has no more: the highest counter is never used
    /// (ZOOKEEPER-1277).
    pub(super) fn next_zxid(&self) -> Option<Zxid> {
        let counter = self.last.counter() + 1;
        (counter < u32::MAX).then_some(Zxid::new(self.last.epoch(), counter))
    }

    /// The last proposal; `epoch:0` before the first.
    pub(super) fn last(&self) -> Zxid {
        self.last
    }

    /// Adds a proposal, which these have to agree to.
    pub(super) fn add(&mut self, record: Arc<Record>, quorums: Arc<Quorums>) {
        assert_eq!(Some(record.zxid()), self.next_zxid(), "one leader, zxid + 1 for each proposal");
        self.last = record.zxid();
        self.outstanding.push_back(Outstanding { record, acks: Vec::new(), quorums });
    }

    /// A server has this proposal in its log. One that is committed, or unknown, is no matter.
    pub(super) fn ack(&mut self, zxid: Zxid, server: HostId) {
        let Some(front) = self.outstanding.front().map(|first| first.record.zxid()) else { return };
        let index = zxid.0.checked_sub(front.0).and_then(|index| usize::try_from(index).ok());
        if let Some(proposal) = index.and_then(|index| self.outstanding.get_mut(index))
            && !proposal.acks.contains(&server)
        {
            proposal.acks.push(server);
        }
    }

    /// Takes out the oldest proposal if a quorum has it.
    pub(super) fn pop_chosen(&mut self) -> Option<Chosen> {
        let Outstanding { record, acks, quorums } =
            self.outstanding.pop_front_if(|first| first.is_chosen())?;
        Some(Chosen { record, acks, quorums })
    }

    /// Of these, one that has acknowledged as many of the outstanding proposals as any, in their order; the
    /// lowest of them.
    pub(super) fn most_up_to_date(&self, mut candidates: Vec<HostId>) -> Option<HostId> {
        for proposal in &self.outstanding {
            let level = |host: &HostId| proposal.acks.contains(host);
            if !candidates.iter().any(level) {
                break;
            }
            candidates.retain(level);
        }
        candidates.into_iter().min()
    }

    /// What is not committed, oldest first.
    pub(super) fn outstanding(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.outstanding.iter().map(|proposal| &proposal.record)
    }

    /// Whether everything proposed is committed.
    pub(super) fn is_empty(&self) -> bool {
        self.outstanding.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::SessionId,
        zookeeper::{
            membership::{Membership, Views},
            txn::{LoggedTxn, Txn, TxnHeader},
            wire::EnsembleConfig,
        },
    };

    fn record(counter: u32) -> Arc<Record> {
        let zxid = Zxid::new(Epoch(1), counter);
        let header = TxnHeader { session: SessionId(1), xid: 0, zxid, wall_ms: 0 };
        Arc::new(Record::new(LoggedTxn { header, txn: Txn::CreateSession { timeout_ms: 1 } }))
    }

    fn membership(voters: &[u16]) -> Membership {
        let servers = voters.iter().map(|number| HostId::zookeeper(*number)).collect();
        Membership::initial(&EnsembleConfig { servers, ..EnsembleConfig::default() })
    }

    fn three() -> (Vec<HostId>, Proposals) {
        let views = Views::new(membership(&[1, 2, 3]), None);
        let mut proposals = Proposals::new(Epoch(1));
        proposals.add(record(1), views.quorums().clone());
        proposals.add(record(2), views.quorums().clone());
        (views.quorums().voters(), proposals)
    }

    fn committed(proposals: &mut Proposals) -> Option<u32> {
        proposals.pop_chosen().map(|chosen| chosen.record.zxid().counter())
    }

    /// "commit: in zxid order, quorum …; needs zxid-1 no longer outstanding".
    #[test]
    fn later_proposal_waits_for_the_earlier_one() {
        let (voters, mut proposals) = three();
        proposals.ack(Zxid::new(Epoch(1), 2), voters[0]);
        proposals.ack(Zxid::new(Epoch(1), 2), voters[1]);
        assert_eq!(committed(&mut proposals), None);
        proposals.ack(Zxid::new(Epoch(1), 1), voters[1]);
        assert_eq!(committed(&mut proposals), None);
        proposals.ack(Zxid::new(Epoch(1), 1), voters[2]);
        assert_eq!(committed(&mut proposals), Some(1));
        assert_eq!(committed(&mut proposals), Some(2));
        assert!(proposals.is_empty());
    }

    #[test]
    fn same_voter_counts_once_and_strangers_never() {
        let (voters, mut proposals) = three();
        for _ in 0..2 {
            proposals.ack(Zxid::new(Epoch(1), 1), voters[0]);
        }
        proposals.ack(Zxid::new(Epoch(1), 1), HostId::zookeeper(9));
        proposals.ack(Zxid::new(Epoch(2), 9), voters[1]);
        assert_eq!(committed(&mut proposals), None);
    }

    /// "low half at 0xffffffff: leader steps down".
    #[test]
    fn epoch_without_numbers_left_has_no_next_zxid() {
        let mut proposals = Proposals::new(Epoch(1));
        proposals.last = Zxid::new(Epoch(1), u32::MAX - 2);
        assert_eq!(proposals.next_zxid(), Some(Zxid::new(Epoch(1), u32::MAX - 1)));
        proposals.last = Zxid::new(Epoch(1), u32::MAX - 1);
        assert_eq!(proposals.next_zxid(), None);
    }

    /// "quorum of each config that was valid at propose time".
    #[test]
    fn proposal_of_a_changing_ensemble_needs_both_quorums() {
        let next = membership(&[3, 4, 5]).with_version(Zxid(7));
        let views = Views::new(membership(&[1, 2, 3]), Some(next));
        let mut proposals = Proposals::new(Epoch(1));
        proposals.add(record(1), views.quorums().clone());
        for (voter, chosen) in [(1, None), (2, None), (4, None), (5, Some(1))] {
            proposals.ack(Zxid::new(Epoch(1), 1), HostId::zookeeper(voter));
            assert_eq!(committed(&mut proposals), chosen, "{voter}");
        }
    }

    /// "committed with the designated next leader (… else one that acked most)".
    #[test]
    fn most_up_to_date_is_who_acknowledged_most() {
        let (voters, mut proposals) = three();
        assert_eq!(proposals.most_up_to_date(voters.clone()), Some(voters[0]), "all are level");
        proposals.ack(Zxid::new(Epoch(1), 1), voters[1]);
        proposals.ack(Zxid::new(Epoch(1), 1), voters[2]);
        proposals.ack(Zxid::new(Epoch(1), 2), voters[2]);
        assert_eq!(proposals.most_up_to_date(voters.clone()), Some(voters[2]));
        assert_eq!(proposals.most_up_to_date(vec![voters[0]]), Some(voters[0]));
    }
}
