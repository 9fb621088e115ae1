//! Proposals — decides when a transaction is committed: a quorum has it, and everything before it is
//! committed. It never proposes one.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    name::{Epoch, HostId, Zxid},
    zookeeper::log::Record,
};

/// A set of voters; there are at most 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct VoterSet(u8);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Outstanding {
    record: Arc<Record>,
    acks: VoterSet,
}

/// What a leader has proposed in its epoch and not committed yet, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Proposals {
    voters: Vec<HostId>,
    last: Zxid,
    outstanding: VecDeque<Outstanding>,
}

impl Proposals {
    /// The proposals of a new leader.
    pub(super) fn new(voters: Vec<HostId>, epoch: Epoch) -> Self {
        assert!(voters.len() <= 7, "an ensemble has 1 to 7 voters");
        Self { voters, last: Zxid::new(epoch, 0), outstanding: VecDeque::new() }
    }

    /// The zxid of the next proposal; none if the epoch has no more.
    pub(super) fn next_zxid(&self) -> Option<Zxid> {
        Some(Zxid::new(self.last.epoch(), self.last.counter().checked_add(1)?))
    }

    /// The last proposal; `epoch:0` before the first.
    pub(super) fn last(&self) -> Zxid {
        self.last
    }

    /// Adds a proposal.
    pub(super) fn add(&mut self, record: Arc<Record>) {
        assert_eq!(Some(record.zxid()), self.next_zxid(), "one leader, zxid + 1 for each proposal");
        self.last = record.zxid();
        self.outstanding.push_back(Outstanding { record, acks: VoterSet::default() });
    }

    /// A voter has this proposal in its log. One that is committed, or unknown, is no matter.
    pub(super) fn ack(&mut self, zxid: Zxid, voter: HostId) {
        let Some(bit) = self.voters.iter().position(|known| *known == voter) else { return };
        let Some(front) = self.outstanding.front().map(|first| first.record.zxid()) else { return };
        let index = zxid.0.checked_sub(front.0).and_then(|index| usize::try_from(index).ok());
        if let Some(proposal) = index.and_then(|index| self.outstanding.get_mut(index)) {
            proposal.acks.0 |= 1 << bit;
        }
    }

    /// Takes out the oldest proposal if a quorum has it.
    pub(super) fn pop_committed(&mut self) -> Option<Arc<Record>> {
        let majority = self.voters.len() / 2 + 1;
        let proposal =
            self.outstanding.pop_front_if(|first| first.acks.0.count_ones() as usize >= majority)?;
        Some(proposal.record)
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
        zookeeper::txn::{LoggedTxn, Txn, TxnHeader},
    };

    fn record(counter: u32) -> Arc<Record> {
        let zxid = Zxid::new(Epoch(1), counter);
        let header = TxnHeader { session: SessionId(1), xid: 0, zxid, wall_ms: 0 };
        Arc::new(Record::new(LoggedTxn { header, txn: Txn::CreateSession { timeout_ms: 1 } }))
    }

    fn three() -> (Vec<HostId>, Proposals) {
        let voters: Vec<_> = (1..=3).map(HostId::zookeeper).collect();
        let mut proposals = Proposals::new(voters.clone(), Epoch(1));
        proposals.add(record(1));
        proposals.add(record(2));
        (voters, proposals)
    }

    /// "commit: in zxid order, quorum …; needs zxid-1 no longer outstanding".
    #[test]
    fn later_proposal_waits_for_the_earlier_one() {
        let (voters, mut proposals) = three();
        proposals.ack(Zxid::new(Epoch(1), 2), voters[0]);
        proposals.ack(Zxid::new(Epoch(1), 2), voters[1]);
        assert!(proposals.pop_committed().is_none());
        proposals.ack(Zxid::new(Epoch(1), 1), voters[1]);
        assert!(proposals.pop_committed().is_none());
        proposals.ack(Zxid::new(Epoch(1), 1), voters[2]);
        assert_eq!(proposals.pop_committed().unwrap().zxid().counter(), 1);
        assert_eq!(proposals.pop_committed().unwrap().zxid().counter(), 2);
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
        assert!(proposals.pop_committed().is_none());
    }

    /// "low half at 0xffffffff: leader steps down".
    #[test]
    fn epoch_without_numbers_left_has_no_next_zxid() {
        let mut proposals = Proposals::new(vec![HostId::zookeeper(1)], Epoch(1));
        proposals.last = Zxid::new(Epoch(1), u32::MAX);
        assert_eq!(proposals.next_zxid(), None);
    }
}
