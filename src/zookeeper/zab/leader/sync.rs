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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
