//! Every state of a small ensemble: the very cores that runs drive, in all orders of what can happen.
//!
//! Three servers serve. Two clients ask for a session each, which is a transaction each, one through the
//! leader and one through a follower. At any step any machine may lose power with all that is not synced, and
//! comes back; when all serve again, one more client asks. Every message, every sync of a file, every timer and
//! the crash are interleaved in all orders; states that are equal in all that servers, disks, wires and the promises made so far hold are visited once.
//!
//! What is bounded: a step of a server is atomic, so that a crash falls between two, never into one (runs let
//! it fall between any two effects). Timers fire only when nothing else can happen: no message is slower than a
//! timeout, so that roles are lost by crashes alone. What a crashed machine had sent arrives in whole or not at
//! all; what it had not synced is gone in whole (runs tear it). A dial and its answer are one step. Clients do
//! not come back. Votes, pings and their answers, and what clients ask arrive before anything else, in one order.
//! The beginning, until all serve, is one fixed way.
//!
//! In every state: one leader an epoch, log agreement, committed survives (in each new leader's history, and on
//! a quorum of disks), acked is durable, epochs grow, each disk can be started from, and the ensemble comes to
//! rest, where no log holds what is not committed. Of one way to each last state the record is judged by the
//! laws of runs too.

mod ghost;
mod host;
mod search;
mod world;

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::Hash,
    sync::Arc,
};

use ghost::Ghost;
use host::Host;
use search::{Explored, explore};
use shardarium::{
    check::{
        law::{LAWS, judge},
        verdict::Verdict,
    },
    core::{
        Address, CloseReason, ConnId, Core, Deferred, DiskOp, Effect, Entropy, FileName, Input, Instant, Now,
        Output, Port,
    },
    defect::{Defect, Defects},
    event::{Digest, Event, EventKind, TxnRef},
    name::{Epoch, HostId, HostKind, SessionId, SimTime, Zxid},
    zookeeper::{
        log::restore,
        peer::{LeaderFrame, LearnerFrame, Message},
        server::Server,
        wire::{ClientFrame, EnsembleConfig},
    },
};
use world::{Action, Return, Scope, World};

fn scope(clients: &[u16], crashes: u8, returns: Return, defects: &[Defect]) -> Scope {
    let servers: Vec<_> = (1..=3).map(HostId::zookeeper).collect();
    Scope {
        may_crash: servers.clone(),
        config: EnsembleConfig { servers, ..EnsembleConfig::default() },
        defects: Defects(defects.iter().copied().collect()),
        clients: clients.iter().map(|number| HostId::zookeeper(*number)).collect(),
        crashes,
        returns,
    }
}

fn tell(title: &str, found: &Explored) {
    let Explored { states, steps, ends, depth, complete, .. } = found;
    println!(
        "{title}: {states} states, {steps} steps, {ends} last states, ways of up to {depth} steps, complete: {complete}"
    );
}

#[track_caller]
fn assert_sound(title: &str, found: &Explored, states_min: usize) {
    tell(title, found);
    if let Some((why, way)) = &found.broken {
        panic!("{title}: {why}\nafter {} steps:\n{}", way.len(), way.join("\n"));
    }
    assert!(found.complete, "nothing is left to visit");
    assert!(found.states >= states_min, "{} states are fewer than {states_min}", found.states);
}

/// No bound: whatever can be reached is visited.
const ALL: usize = usize::MAX;

#[test]
fn two_transactions_without_a_crash_keep_every_promise() {
    let found = explore(&scope(&[3, 1], 0, Return::WhenCalm, &[]), ALL);
    assert_sound("two transactions, no crash", &found, 500);
}

#[test]
fn two_transactions_and_a_crash_keep_every_promise() {
    let found = explore(&scope(&[3, 1], 1, Return::WhenCalm, &[]), ALL);
    assert_sound("two transactions, one crash, back when the others serve", &found, 50_000);
}

/// The server may be back before the others have elected, or while they do.
#[test]
fn crash_with_an_early_return_keeps_every_promise() {
    let found = explore(&scope(&[], 1, Return::WhenQuiet, &[]), ALL);
    assert_sound("no transaction, one crash, back when nothing else happens", &found, 5_000);
}

#[test]
#[ignore = "takes minutes"]
fn one_transaction_and_a_crash_with_an_early_return_keep_every_promise() {
    let found = explore(&scope(&[3], 1, Return::WhenQuiet, &[]), ALL);
    assert_sound("one transaction, one crash, back when nothing else happens", &found, 150_000);
}

#[test]
#[ignore = "takes minutes"]
fn crash_with_a_return_at_any_time_keeps_every_promise() {
    let found = explore(&scope(&[], 1, Return::AnyTime, &[]), ALL);
    assert_sound("no transaction, one crash, back at any time", &found, 5_000);
}

/// The defect is found: the explorer sees what it must not.
#[track_caller]
fn assert_found(defect: Defect, clients: &[u16], returns: Return, why: &str) {
    let found = explore(&scope(clients, 1, returns, &[defect]), ALL);
    tell(defect.name(), &found);
    let (broken, _) = found.broken.expect("the defect is found");
    assert!(broken.contains(why), "{}: {broken}", defect.name());
}

#[test]
fn acknowledgement_before_the_sync_is_found() {
    assert_found(Defect::ZabAckBeforeSync, &[3, 1], Return::WhenCalm, "acked is durable");
}

#[test]
fn leader_without_a_quorum_that_has_its_history_is_found() {
    assert_found(Defect::ZabNoQuorumOfNewLeader, &[3], Return::WhenCalm, "new-leader-quorum");
}

#[test]
fn tail_that_is_not_cut_is_found() {
    assert_found(Defect::ZabTruncLeftOut, &[3], Return::WhenCalm, "log agreement");
}
