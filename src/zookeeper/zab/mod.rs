//! Zab — decides how a server plays the role that an election gave it. It never decides who leads.
//!
//! Discovery, synchronisation and broadcast as in `Leader.java`, `LearnerHandler.java`, `Learner.java` and
//! `Follower.java`. A role works on its server's [`Replica`]; when it can no longer play, it returns
//! [`GiveUp`] and its server looks for a leader again.
//!
//! Where this model differs from ZooKeeper on purpose:
//!
//! | here | ZooKeeper |
//! | --- | --- |
//! | what a learner gets before UPTODATE is logged at NEWLEADER and applied at UPTODATE, when it is committed for sure | applied at NEWLEADER, in memory only, and not served |
//! | a snapshot is named after the last transaction in it | after lastProcessedZxid, which may be `epoch:0` |
//! | a learner says how far back it can cut its log; if TRUNC is not possible it gets SNAP | it exits |
//! | a learner that lacks the transaction to cut after cuts what it can and joins again | it goes on as if it had it |
//! | a learner to which a message makes no sense gives up its role | some make the process exit |
//! | the snapshot with which a leader begins goes when there is a newer one | kept, and no log is purged by default |
//! | a snapshot is taken at once, between two transactions | while transactions are applied ("fuzzy"): what is replayed over it may be in it already |
//! | an observer, too, logs what it got before it acknowledges NEWLEADER | after UPTODATE |
//! | observers always follow the leader itself | or a follower's observerMasterPort |
//! | a reconfiguration changes neither ports nor election connections | rebinds the client port, restarts the election |
//! | damage in the middle of a log file is refused only where the newest snapshot does not cover it | always |
//! | currentEpoch may be older than the last transaction at start (a crash during synchronisation) | refused (ZOOKEEPER-1653) |
//!
//! What is the same, and may surprise: servers that have seen a reconfiguration proposed which the others never
//! saw stay out of the ensemble, looking, since they want a quorum of both configurations to follow its leader.
//! A later reconfiguration frees them (seen on 3.8.0 with three servers that had logged a change and two that
//! elected without it).

mod leader;
mod learner;
mod replica;

pub use leader::Leader;
pub use learner::Learner;
pub use replica::Replica;

use crate::{
    core::{Now, Output},
    zookeeper::peer::Message,
};

/// A role cannot be played any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiveUp(pub &'static str);

/// What a role works with during one step.
#[derive(Debug)]
pub struct Turn<'a> {
    /// What the clocks show.
    pub now: Now,
    /// What the server is and holds.
    pub replica: &'a mut Replica,
    /// What is to be done.
    pub out: &'a mut Output<Message>,
}
