//! The rules of section 7.1 of the semantics, one test each.

use super::*;
use crate::{
    name::Zxid,
    zookeeper::{
        membership::{Membership, Views},
        wire::EnsembleConfig,
    },
};

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

fn quorums(voters: u16) -> Arc<Quorums> {
    let servers = (1..=voters).map(zk).collect();
    let config = EnsembleConfig { servers, ..EnsembleConfig::default() };
    Views::new(Membership::initial(&config), None).quorums().clone()
}

/// Server 1 of three, looking in round 1, with a vote for itself at zxid 5 of epoch 1.
fn looking() -> Election {
    let mut election = Election::new(zk(1), quorums(3));
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
    let mut election = Election::new(zk(1), quorums(1));
    election.look(at(0), vote(1, 0, 0));
    assert_eq!(election.wake(at(200)), Some(zk(1)));
}

/// "round greater: take the round, clear recvset, restart from better of (message, own initial vote)".
#[test]
fn newer_round_starts_over_from_the_own_first_vote() {
    let mut election = Election::new(zk(1), quorums(5));
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
    let mut election = Election::new(zk(1), quorums(5));
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

/// "peers not looking | answer a LOOKING one with their current vote; observers ask and never count".
#[test]
fn strangers_are_answered_and_never_counted() {
    let mut election = looking();
    for (from, candidate, answers) in [(9, 3, 1), (2, 9, 0), (1, 3, 0)] {
        let heard = says(PeerState::Looking, 8, vote(candidate, 99, 9));
        election.receive(at(1), zk(from), heard);
        assert_eq!(election.round(), 1);
        assert_eq!(election.drain().len(), answers);
    }
}

/// "quorum of the (current and last seen) config".
#[test]
fn pending_reconfiguration_needs_quorums_of_both() {
    let of = |voters: &[u16]| {
        let servers = voters.iter().map(|number| zk(*number)).collect();
        Membership::initial(&EnsembleConfig { servers, ..EnsembleConfig::default() })
    };
    let views = Views::new(of(&[1, 2, 3]), Some(of(&[3, 4, 5]).with_version(Zxid(9))));
    let mut election = Election::new(zk(3), views.quorums().clone());
    election.look(at(0), vote(3, 5, 1));
    assert_eq!(election.drain().len(), 4, "all voters of both are asked");
    election.receive(at(1), zk(1), says(PeerState::Looking, 1, vote(3, 5, 1)));
    assert_eq!(election.wake(at(201)), None, "4 or 5 is missing");
    election.receive(at(202), zk(4), says(PeerState::Looking, 1, vote(3, 5, 1)));
    assert_eq!(election.wake(at(402)), Some(zk(3)));
}

/// A server without a vote decides by the votes of others.
#[test]
fn observer_follows_whom_a_quorum_follows() {
    let mut election = Election::new(zk(7), quorums(3));
    election.look(at(0), Vote::for_nobody());
    assert_eq!(election.drain().len(), 3);
    election.receive(at(1), zk(1), says(PeerState::Following, 4, vote(3, 5, 2)));
    let decided = election.receive(at(1), zk(3), says(PeerState::Leading, 4, vote(3, 5, 2)));
    assert_eq!(decided, Some(zk(3)));
    election.observe();
    election.receive(at(2), zk(2), says(PeerState::Looking, 9, vote(2, 5, 2)));
    assert_eq!(election.drain()[0].1.state, PeerState::Observing);
}
