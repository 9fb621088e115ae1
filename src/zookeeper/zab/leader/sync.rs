//! Sync — decides how a leader brings a learner level: DIFF, TRUNC or SNAP. It never sends anything.
//!
//! The rules of `LearnerHandler.syncFollower`. A leader's committed history is what its tree holds: the
//! history it began with, and what it has committed since.

use crate::{name::Zxid, zookeeper::log::Storage};

/// Committed transactions that are always sent one by one (`commitLogCount`).
pub(super) const COMMITTED_LOG_LEN: usize = 500;

/// What a leader sends before its newest proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// The transactions after this one, which the learner has.
    Diff { after: Zxid },
    /// First the learner cuts its log after this one, then come the transactions after it.
    Trunc { to: Zxid },
    /// The whole database.
    Snap,
}

/// What a learner said of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LearnerLog {
    /// Its last transaction.
    pub(super) last: Zxid,
    /// How far back it can be cut.
    pub(super) floor: Zxid,
}

/// The plan for a learner, where everything up to `committed` is committed.
pub(super) fn plan(storage: &Storage, committed: Zxid, learner: LearnerLog) -> Plan {
    match unlimited(storage, committed, learner.last) {
        Plan::Trunc { to } if to < learner.floor => Plan::Snap,
        plan => plan,
    }
}

fn unlimited(storage: &Storage, committed: Zxid, last: Zxid) -> Plan {
    if last > committed && last.counter() != 0 {
        return Plan::Trunc { to: committed };
    }
    if last >= committed {
        return Plan::Diff { after: committed };
    }
    let within_committed_log = || storage.after(last).len() <= COMMITTED_LOG_LEN;
    let cheaper_than_snapshot = || storage.log_len_after(last) * 3 <= storage.snapshot_len();
    if last >= storage.cut_floor() && (within_committed_log() || cheaper_than_snapshot()) {
        return from_log(storage, last);
    }
    Plan::Snap
}

/// The learner's last transaction lies within the log: perhaps in it, perhaps between two of it.
fn from_log(storage: &Storage, last: Zxid) -> Plan {
    let Some(before) = storage.at_or_before(last) else { return Plan::Snap };
    let next = storage.after(last).next().map(|record| record.zxid());
    if before == last || last.counter() == 0 {
        Plan::Diff { after: before }
    } else if next.is_some_and(|next| next.epoch() == last.epoch()) {
        Plan::Trunc { to: before }
    } else {
        Plan::Snap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::Files, name::Epoch, zookeeper::log::workshop::Workshop};

    fn zxid(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    /// A leader whose log holds 1:1 to 1:3 and 3:1 to 3:2, all committed.
    fn plan_for(last: Zxid) -> Plan {
        let mut leader = Workshop::on(Files::new());
        leader.log(1, 1..=3);
        leader.log(3, 1..=2);
        plan(&leader.storage, zxid(3, 2), LearnerLog { last, floor: Zxid(0) })
    }

    /// "= lastProcessed: DIFF, nothing".
    #[test]
    fn level_learner_gets_an_empty_diff() {
        assert_eq!(plan_for(zxid(3, 2)), Plan::Diff { after: zxid(3, 2) });
    }

    /// "> maxCommittedLog and low half != 0: TRUNC(maxCommittedLog)".
    #[test]
    fn learner_ahead_is_cut() {
        assert_eq!(plan_for(zxid(3, 7)), Plan::Trunc { to: zxid(3, 2) });
        assert_eq!(plan_for(zxid(4, 0)), Plan::Diff { after: zxid(3, 2) });
    }

    /// "entry found: DIFF + the later ones".
    #[test]
    fn learner_behind_gets_the_later_ones() {
        assert_eq!(plan_for(zxid(1, 2)), Plan::Diff { after: zxid(1, 2) });
        assert_eq!(plan_for(Zxid(0)), Plan::Diff { after: Zxid(0) });
    }

    /// "Not found and low half 0: DIFF. Not found, same epoch: TRUNC to the entry before. Not found, epochs
    /// differ: SNAP" (ZOOKEEPER-1154 sent a DIFF).
    #[test]
    fn learner_with_a_transaction_nobody_knows_loses_it() {
        let mut leader = Workshop::on(Files::new());
        leader.log(1, 1..=3);
        leader.log(3, 4..=5);
        let plan = |last| plan(&leader.storage, zxid(3, 5), LearnerLog { last, floor: Zxid(0) });
        assert_eq!(plan(zxid(3, 2)), Plan::Trunc { to: zxid(1, 3) });
        assert_eq!(plan(zxid(1, 7)), Plan::Snap);
        assert_eq!(plan(zxid(2, 1)), Plan::Snap);
        assert_eq!(plan(zxid(3, 0)), Plan::Diff { after: zxid(1, 3) });
    }

    #[test]
    fn learner_that_cannot_go_back_that_far_gets_a_snapshot() {
        let mut leader = Workshop::on(Files::new());
        leader.log(1, 1..=3);
        let log = LearnerLog { last: zxid(1, 9), floor: zxid(1, 4) };
        assert_eq!(plan(&leader.storage, zxid(1, 3), log), Plan::Snap);
    }

    /// "in [min, max] of the last 500 committed"; "< min: … else SNAP".
    #[test]
    fn learner_far_behind_gets_a_snapshot() {
        let mut leader = Workshop::on(Files::new());
        leader.log(1, 1..=600);
        let plan = |counter| {
            let log = LearnerLog { last: zxid(1, counter), floor: Zxid(0) };
            plan(&leader.storage, zxid(1, 600), log)
        };
        assert_eq!(plan(100), Plan::Diff { after: zxid(1, 100) });
        assert_eq!(plan(99), Plan::Snap);
    }

    /// "from txn log files (if their size <= 0.33 of the snapshot)".
    #[test]
    fn long_log_is_cheaper_than_a_large_snapshot() {
        let mut leader = Workshop::on(Files::new());
        leader.log(1, 1..=9000);
        leader.snapshot();
        leader.log(1, 9001..=9600);
        let log = LearnerLog { last: zxid(1, 9000), floor: Zxid(0) };
        assert_eq!(plan(&leader.storage, zxid(1, 9600), log), Plan::Diff { after: zxid(1, 9000) });
    }

    #[test]
    fn proposals_that_are_not_committed_do_not_count() {
        let mut leader = Workshop::on(Files::new());
        leader.log(1, 1..=3);
        let log = LearnerLog { last: zxid(1, 3), floor: Zxid(0) };
        assert_eq!(plan(&leader.storage, zxid(1, 2), log), Plan::Trunc { to: zxid(1, 2) });
    }
}
