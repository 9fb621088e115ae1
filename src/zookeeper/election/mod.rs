//! Election — decides which server this one holds to be the leader. It never opens a connection, touches
//! a disk or reads a clock.
//!
//! Fast leader election (`FastLeaderElection.java`): every server broadcasts its vote, adopts any better
//! one it hears, and decides when a quorum votes as it does and [`FINALIZE_WAIT`] brought nothing better.
//! Rounds keep votes of different attempts apart; a server that is not looking answers with the vote that
//! put it where it is, so that a late joiner finds a running ensemble.

mod links;
mod vote;

use std::{collections::BTreeMap, time::Duration};

pub use links::Links;
pub use vote::{Notification, PeerState, Vote};

use vote::{Ballot, checks_leader, has_quorum};

use crate::{
    core::Instant,
    name::{Epoch, HostId},
};

/// How long a decided server waits for a better vote (`finalizeWait`).
pub const FINALIZE_WAIT: Duration = Duration::from_millis(200);
/// The first wait for notifications before they are sent again (`minNotificationInterval`).
pub const NOTIFICATION_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// What that wait is doubled up to (`maxNotificationInterval`).
pub const NOTIFICATION_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// One server's part in elections, over its whole life.
#[derive(Debug)]
pub struct Election {
    me: HostId,
    voters: Vec<HostId>,
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
    pub fn new(me: HostId, voters: Vec<HostId>) -> Self {
        let nothing = Vote::default_for(me);
        Self {
            me,
            voters,
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

    /// Goes LOOKING with a vote for itself (`lookForLeader`).
    pub fn look(&mut self, now: Instant, own: Vote) {
        assert_eq!(own.leader, self.me, "a server begins an election with a vote for itself");
        self.round += 1;
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
        let known = |server| self.voters.contains(server);
        if self.round == 0 || from == self.me || !known(&from) || !known(&heard.vote.leader) {
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
        self.interrupt_wait(now, heard)?;
        match heard.state {
            PeerState::Looking => {
                self.hear_looking(now, from, heard);
                None
            }
            PeerState::Following | PeerState::Leading => self.hear_settled(from, heard),
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
            PeerState::Following | PeerState::Leading => None,
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
            if has_quorum(&self.received, ballot, self.voters.len())
                && checks_leader(&self.received, leader, self.me, self.round == heard.round)
            {
                return Some(self.settle(heard));
            }
        }
        self.out_of_election.insert(from, ballot);
        let found = has_quorum(&self.out_of_election, ballot, self.voters.len())
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
        if has_quorum(&self.received, Ballot::of(self.notification()), self.voters.len()) {
            self.finalize_at = Some(now + FINALIZE_WAIT);
        }
    }

    fn send_all(&mut self) {
        let notification = self.notification();
        let others = self.voters.iter().filter(|voter| **voter != self.me);
        self.outbox.extend(others.map(|voter| (*voter, notification)));
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
mod tests {
    use super::*;
    use crate::name::Zxid;

    fn zk(number: u16) -> HostId {
        HostId::zookeeper(number)
    }

    fn at(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    fn vote(leader: u16, zxid: u64, epoch: u32) -> Vote {
        Vote { leader: zk(leader), zxid: Zxid(zxid), peer_epoch: Epoch(epoch) }
    }

    fn says(state: PeerState, round: u64, vote: Vote) -> Notification {
        Notification { vote, round, state }
    }

    /// Server 1 of three, looking in round 1, with a vote for itself at zxid 5 of epoch 1.
    fn looking() -> Election {
        let mut election = Election::new(zk(1), (1..=3).map(zk).collect());
        election.look(at(0), vote(1, 5, 1));
        assert_eq!(election.drain().len(), 2, "its vote goes to both others");
        election
    }

    #[test]
    fn better_vote_is_adopted_and_told() {
        let mut election = looking();
        let better = vote(2, 6, 1);
        assert_eq!(election.receive(at(1), zk(2), says(PeerState::Looking, 1, better)), None);
        let told = says(PeerState::Looking, 1, better);
        assert_eq!(election.drain(), [(zk(2), told), (zk(3), told)]);
    }

    #[test]
    fn worse_vote_is_counted_but_not_adopted() {
        let mut election = looking();
        election.receive(at(1), zk(2), says(PeerState::Looking, 1, vote(2, 4, 1)));
        assert_eq!(election.drain(), []);
        assert_eq!(election.next_wake(), Some(at(201)));
    }

    /// "votes equal to own proposal from a quorum, then wait finalizeWait 200 ms for a better one".
    #[test]
    fn quorum_decides_after_the_final_wait() {
        let mut election = looking();
        election.receive(at(1), zk(3), says(PeerState::Looking, 1, vote(3, 5, 1)));
        assert_eq!(election.next_wake(), Some(at(201)));
        assert_eq!(election.wake(at(200)), None);
        assert_eq!(election.wake(at(201)), Some(zk(3)));
        assert_eq!(election.next_wake(), None);
    }

    #[test]
    fn better_vote_in_the_final_wait_reopens_the_election() {
        let mut election = looking();
        election.receive(at(1), zk(2), says(PeerState::Looking, 1, vote(2, 5, 1)));
        election.receive(at(100), zk(3), says(PeerState::Looking, 1, vote(3, 5, 1)));
        assert_eq!(election.wake(at(201)), None);
        assert_eq!(election.wake(at(300)), Some(zk(3)));
    }

    #[test]
    fn single_voter_elects_itself() {
        let mut election = Election::new(zk(1), vec![zk(1)]);
        election.look(at(0), vote(1, 0, 0));
        assert_eq!(election.wake(at(200)), Some(zk(1)));
    }

    /// "round greater: take the round, clear recvset, restart from better of (message, own initial vote)".
    #[test]
    fn newer_round_starts_over_from_the_own_first_vote() {
        let mut election = Election::new(zk(1), (1..=5).map(zk).collect());
        election.look(at(0), vote(1, 5, 1));
        election.receive(at(1), zk(3), says(PeerState::Looking, 1, vote(3, 9, 1)));
        election.drain();
        election.receive(at(2), zk(2), says(PeerState::Looking, 7, vote(2, 4, 1)));
        assert_eq!(election.round(), 7);
        let told = says(PeerState::Looking, 7, vote(1, 5, 1));
        assert_eq!(election.drain(), [2, 3, 4, 5].map(|other| (zk(other), told)));
        let late = vote(1, 5, 1);
        election.receive(at(3), zk(4), says(PeerState::Looking, 7, late));
        assert_eq!(election.next_wake(), Some(at(203)), "the vote of round 1 does not count");
        election.receive(at(4), zk(5), says(PeerState::Looking, 7, late));
        assert_eq!(election.wake(at(204)), Some(zk(1)));
    }

    /// "none [better]: LEADING or FOLLOWING": the wait looks at the order of votes, not at their rounds.
    #[test]
    fn worse_vote_in_the_final_wait_is_forgotten_and_prolongs_it() {
        let mut election = looking();
        election.receive(at(1), zk(3), says(PeerState::Looking, 1, vote(3, 9, 1)));
        election.receive(at(100), zk(2), says(PeerState::Looking, 7, vote(2, 4, 1)));
        assert_eq!(election.wake(at(201)), None);
        assert_eq!((election.wake(at(300)), election.round()), (Some(zk(3)), 1));
    }

    /// "smaller: drop (the receiver thread answers a looking peer behind it with the own vote)".
    #[test]
    fn older_round_is_answered_and_not_counted() {
        let mut election = looking();
        election.look(at(0), vote(1, 5, 1));
        election.drain();
        election.receive(at(1), zk(2), says(PeerState::Looking, 1, vote(1, 5, 1)));
        assert_eq!(election.drain(), [(zk(2), says(PeerState::Looking, 2, vote(1, 5, 1)))]);
        assert_eq!(election.wake(at(201)), None, "it was resent instead");
        assert_eq!(election.drain().len(), 2);
    }

    /// "poll 200 ms, doubled to 60 s; on timeout resend to all".
    #[test]
    fn silence_doubles_the_time_between_votes() {
        let mut election = looking();
        let mut waits = Vec::new();
        let mut now = Instant::default();
        for _ in 0..11 {
            let due = election.next_wake().unwrap();
            waits.push(due.since(now).as_millis() as u64);
            now = due;
            election.wake(now);
            assert_eq!(election.drain().len(), 2);
        }
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
    }

    /// "Any round: outofelection; quorum for it and checkLeader: adopt the round and follow."
    #[test]
    fn late_joiner_follows_the_leader_that_a_quorum_names() {
        let mut election = looking();
        let running = |state, zxid| says(state, 9, vote(3, zxid, 4));
        assert_eq!(election.receive(at(1), zk(2), running(PeerState::Following, 7)), None);
        assert_eq!(election.receive(at(2), zk(3), running(PeerState::Leading, 8)), Some(zk(3)));
        assert_eq!(election.round(), 9);
    }

    #[test]
    fn followers_alone_do_not_make_a_leader() {
        let mut election = Election::new(zk(1), (1..=5).map(zk).collect());
        election.look(at(0), vote(1, 5, 1));
        for follower in 2..=4 {
            let heard = says(PeerState::Following, 9, vote(5, 7, 4));
            assert_eq!(election.receive(at(1), zk(follower), heard), None, "nobody heard 5 say it leads");
        }
    }

    /// "peers not looking: answer a LOOKING one with their current vote", which carries the new epoch
    /// (ZOOKEEPER-1732).
    #[test]
    fn settled_server_answers_with_the_vote_of_its_leader() {
        let mut election = looking();
        election.receive(at(1), zk(3), says(PeerState::Looking, 1, vote(3, 5, 1)));
        election.wake(at(201));
        election.enter_epoch(Epoch(2));
        election.drain();
        let ask = says(PeerState::Looking, 4, vote(2, 0, 0));
        assert_eq!(election.receive(at(300), zk(2), ask), None);
        assert_eq!(election.drain(), [(zk(2), says(PeerState::Following, 1, vote(3, 5, 2)))]);
        election.receive(at(300), zk(2), says(PeerState::Leading, 4, vote(2, 0, 0)));
        assert_eq!(election.drain(), []);
    }

    #[test]
    fn strangers_are_not_heard() {
        let mut election = looking();
        for (from, candidate) in [(9, 3), (2, 9), (1, 3)] {
            let heard = says(PeerState::Looking, 8, vote(candidate, 99, 9));
            election.receive(at(1), zk(from), heard);
            assert_eq!((election.drain().len(), election.round()), (0, 1));
        }
    }
}
