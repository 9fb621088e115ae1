//! Election — decides which server this one holds to be the leader. It never opens a connection, touches
//! a disk or reads a clock.
//!
//! Fast leader election (`FastLeaderElection.java`): every server broadcasts its vote, adopts any better
//! one it hears, and decides when a quorum votes as it does and [`FINALIZE_WAIT`] brought nothing better.
//! Rounds keep votes of different attempts apart; a server that is not looking answers with the vote that
//! put it where it is, so that a late joiner finds a running ensemble. Servers without a vote ask and
//! decide likewise, but nobody counts them. While a reconfiguration is pending, quorums of both configurations
//! have to agree.

mod links;
mod vote;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use links::Links;
pub use vote::{Notice, Notification, PeerState, Vote};

use vote::{Ballot, checks_leader, has_quorum};

use super::membership::Quorums;
use crate::{
    core::Instant,
    name::{Epoch, HostId, Zxid},
};

/// How long a decided server waits for a better vote (`finalizeWait`).
pub const FINALIZE_WAIT: Duration = Duration::from_millis(200);
/// The first wait for notifications before they are sent again (`minNotificationInterval`).
pub const NOTIFICATION_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// What that wait is doubled up to (`maxNotificationInterval`).
pub const NOTIFICATION_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// One server's part in elections, over its whole life.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Election {
    me: HostId,
    /// Who votes, and how many are enough.
    quorums: Arc<Quorums>,
    /// The logical clock.
    round: u64,
    state: PeerState,
    /// While looking: the vote to beat. Afterwards: the vote that was decided.
    vote: Vote,
    /// While looking: the vote for itself that it began with.
    own: Vote,
    /// Votes of this round.
    received: BTreeMap<HostId, Ballot>,
    /// Votes of servers that are not looking, of any round.
    out_of_election: BTreeMap<HostId, Ballot>,
    interval: Duration,
    resend_at: Instant,
    finalize_at: Option<Instant>,
    outbox: Vec<(HostId, Notification)>,
}

impl Election {
    /// A server that has not looked yet.
    pub fn new(me: HostId, quorums: Arc<Quorums>) -> Self {
        let nothing = Vote::default_for(me);
        Self {
            me,
            quorums,
            round: 0,
            state: PeerState::Following,
            vote: nothing,
            own: nothing,
            received: BTreeMap::new(),
            out_of_election: BTreeMap::new(),
            interval: NOTIFICATION_INTERVAL_MIN,
            resend_at: Instant::default(),
            finalize_at: None,
            outbox: Vec::new(),
        }
    }

    /// The logical clock.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// From now on these votes count.
    pub fn reconfigure(&mut self, quorums: Arc<Quorums>) {
        self.quorums = quorums;
    }

    /// A reconfiguration named the leader: there is nothing to elect (`updateVote`).
    pub fn appoint(&mut self, leader: HostId, zxid: Zxid) {
        let vote = Vote { leader, zxid, peer_epoch: Epoch(0) };
        self.settle(Notification { vote, round: self.round, state: PeerState::Looking });
    }

    /// Whether it is in search of a leader.
    pub fn is_looking(&self) -> bool {
        self.state == PeerState::Looking
    }

    /// The server follows what was decided without a vote.
    pub fn observe(&mut self) {
        if self.state == PeerState::Following {
            self.state = PeerState::Observing;
        }
    }

    /// Goes LOOKING with a vote for itself, or for nobody if it has no vote (`lookForLeader`).
    pub fn look(&mut self, now: Instant, own: Vote) {
        assert!(
            own.leader == self.me || own.leader == Vote::for_nobody().leader,
            "a server begins an election with a vote for itself"
        );
        self.round = self.round.saturating_add(1);
        self.state = PeerState::Looking;
        self.own = own;
        self.vote = own;
        self.received.clear();
        self.out_of_election.clear();
        self.interval = NOTIFICATION_INTERVAL_MIN;
        self.resend_at = now + self.interval;
        self.broadcast(now);
    }

    /// Gives the decided vote the epoch that its leader entered, so that a late joiner sees equal votes
    /// from all (`updateElectionVote`, ZOOKEEPER-1732).
    pub fn enter_epoch(&mut self, epoch: Epoch) {
        self.vote.peer_epoch = epoch;
    }

    /// Takes a notification; the leader, if it decides.
    pub fn receive(&mut self, now: Instant, from: HostId, heard: Notification) -> Option<HostId> {
        if self.round == 0 || from == self.me {
            return None;
        }
        if !self.quorums.know(from) {
            if heard.state == PeerState::Looking {
                self.answer(from);
            }
            return None;
        }
        if self.state != PeerState::Looking {
            if heard.state == PeerState::Looking {
                self.answer(from);
            }
            return None;
        }
        if heard.state == PeerState::Looking && heard.round < self.round {
            self.answer(from);
        }
        self.resend_at = now + self.interval;
        if !self.quorums.know(heard.vote.leader) {
            return None;
        }
        self.interrupt_wait(now, heard)?;
        match heard.state {
            PeerState::Looking => {
                self.hear_looking(now, from, heard);
                None
            }
            PeerState::Following | PeerState::Leading => self.hear_settled(from, heard),
            PeerState::Observing => None,
        }
    }

    /// Carries out what is due; the leader, if it decides.
    pub fn wake(&mut self, now: Instant) -> Option<HostId> {
        if self.state != PeerState::Looking {
            return None;
        }
        if let Some(at) = self.finalize_at {
            return (now >= at).then(|| self.decide());
        }
        if now >= self.resend_at {
            self.interval = (self.interval * 2).min(NOTIFICATION_INTERVAL_MAX);
            self.resend_at = now + self.interval;
            self.send_all();
        }
        None
    }

    /// When [`Election::wake`] has something to do.
    pub fn next_wake(&self) -> Option<Instant> {
        match self.state {
            PeerState::Looking => Some(self.finalize_at.unwrap_or(self.resend_at)),
            PeerState::Following | PeerState::Leading | PeerState::Observing => None,
        }
    }

    /// What is to be sent, taken out.
    pub fn drain(&mut self) -> Vec<(HostId, Notification)> {
        std::mem::take(&mut self.outbox)
    }

    /// During the final wait only a better vote matters; any other one is forgotten and starts the wait
    /// anew. `None` if the message is used up by that.
    fn interrupt_wait(&mut self, now: Instant, heard: Notification) -> Option<()> {
        if self.finalize_at.is_none() {
            return Some(());
        }
        if heard.vote.beats(self.vote) {
            self.finalize_at = None;
            return Some(());
        }
        self.finalize_at = Some(now + FINALIZE_WAIT);
        None
    }

    fn hear_looking(&mut self, now: Instant, from: HostId, heard: Notification) {
        if heard.round < self.round {
            return;
        }
        let mut changed = false;
        if heard.round > self.round {
            self.round = heard.round;
            self.received.clear();
            self.vote = if heard.vote.beats(self.own) { heard.vote } else { self.own };
            changed = true;
        } else if heard.vote.beats(self.vote) {
            self.vote = heard.vote;
            changed = true;
        }
        self.received.insert(from, Ballot::of(heard));
        if changed {
            self.broadcast(now);
        } else {
            self.count(now);
        }
    }

    /// A FOLLOWING or LEADING server spoke (`receivedFollowingNotification`).
    fn hear_settled(&mut self, from: HostId, heard: Notification) -> Option<HostId> {
        let ballot = Ballot::of(heard);
        let leader = heard.vote.leader;
        if heard.round == self.round {
            self.received.insert(from, ballot);
            if has_quorum(&self.received, ballot, &self.quorums)
                && checks_leader(&self.received, leader, self.me, self.round == heard.round)
            {
                return Some(self.settle(heard));
            }
        }
        self.out_of_election.insert(from, ballot);
        let found = has_quorum(&self.out_of_election, ballot, &self.quorums)
            && checks_leader(&self.out_of_election, leader, self.me, self.round == heard.round);
        found.then(|| {
            self.round = heard.round;
            self.settle(heard)
        })
    }

    fn broadcast(&mut self, now: Instant) {
        self.received.insert(self.me, Ballot::of(self.notification()));
        self.send_all();
        self.count(now);
    }

    fn count(&mut self, now: Instant) {
        if has_quorum(&self.received, Ballot::of(self.notification()), &self.quorums) {
            self.finalize_at = Some(now + FINALIZE_WAIT);
        }
    }

    fn send_all(&mut self) {
        let notification = self.notification();
        let others = self.quorums.voters().into_iter().filter(|voter| *voter != self.me);
        self.outbox.extend(others.map(|voter| (voter, notification)));
    }

    fn answer(&mut self, to: HostId) {
        self.outbox.push((to, self.notification()));
    }

    fn notification(&self) -> Notification {
        Notification { vote: self.vote, round: self.round, state: self.state }
    }

    fn decide(&mut self) -> HostId {
        let decided = self.notification();
        self.settle(decided)
    }

    fn settle(&mut self, decided: Notification) -> HostId {
        self.vote = decided.vote;
        self.finalize_at = None;
        self.received.clear();
        self.out_of_election.clear();
        let leader = decided.vote.leader;
        self.state = if leader == self.me { PeerState::Leading } else { PeerState::Following };
        leader
    }
}

#[cfg(test)]
mod tests;
