//! Shrinking without a world: a machine that panics by the look of a plan.

use super::*;
use crate::{
    name::HostId,
    scenario::{
        builtin,
        check::Vocabulary,
        plan::{FaultAction, Trigger},
        read::read,
        zookeeper_operations::{ZooKeeperAsk, ZooKeeperOperation},
    },
    sim::{EarlyEnd, RunError},
};

/// Panics if somebody writes after the fault on the ensemble's leader has struck.
fn run(plan: &Plan, _: Option<Duration>) -> Result<Run, RunError> {
    let strikes = plan.faults.iter().find_map(|fault| match (&fault.trigger, &fault.action) {
        (Trigger::At(at), FaultAction::Crash { target, power: true })
            if target.to_string() == "zk-leader" =>
        {
            Some(*at)
        }
        _ => None,
    });
    let writes = |at| plan.operations.iter().find(|one| one.at > at && one.client == HostId::client(3));
    match strikes.and_then(writes) {
        Some(operation) => Err(panicked(operation.at)),
        None => {
            let figures = crate::sim::Figures {
                events: 0,
                messages: 0,
                simulated: Duration::ZERO,
                wall: Duration::ZERO,
                cpu: None,
            };
            Ok(Run { events: Vec::new(), fingerprint: 0, figures, loose_dice: Vec::new() })
        }
    }
}

fn panicked(at: Duration) -> RunError {
    RunError { ending: EarlyEnd::Panicked, at, message: "no".into(), events: Vec::new() }
}

fn machine() -> Machine {
    Machine { run, run_wall_max: None }
}

fn plan() -> Plan {
    builtin::named("standard").unwrap().scenario().plan(3)
}

fn budget(runs: usize, threads: usize) -> Budget {
    Budget { runs, wall: None, threads: NonZeroUsize::new(threads).unwrap() }
}

fn shrunk(runs: usize, threads: usize) -> Shrunk {
    shrink(&plan(), &Target::Panic, &budget(runs, threads), machine()).unwrap()
}

#[test]
fn what_is_needed_is_all_that_is_left() {
    let shrunk = shrunk(600, 1);
    let plan = &shrunk.plan;
    assert_eq!((plan.faults.len(), plan.operations.len(), plan.nodes.len()), (1, 1, 1));
    assert_eq!((plan.zookeeper.servers.len(), plan.workloads.len()), (1, 2));
    assert!(shrunk.is_complete && shrunk.runs < 200 && shrunk.sizes.0.steps > 1000, "{}", story(&shrunk));
    assert_eq!(plan.operations[0].at.subsec_millis() % 100, 0, "{:?}", plan.operations[0]);
}

#[test]
fn number_of_threads_changes_nothing() {
    let [one, many] = [1, 5].map(|threads| shrunk(600, threads));
    assert_eq!((one.plan, one.runs, one.changes), (many.plan, many.runs, many.changes));
    let [one, many] = [1, 5].map(|threads| shrunk(17, threads));
    assert_eq!((one.plan, one.runs, one.changes), (many.plan, many.runs, many.changes));
}

#[test]
fn spent_budget_is_told() {
    let shrunk = shrunk(10, 2);
    assert!(!shrunk.is_complete && shrunk.runs <= 10 + CONFIRMATIONS, "{}", shrunk.runs);
    assert!(story(&shrunk).contains("more may be possible"));
}

#[test]
fn file_of_the_result_does_the_same() {
    let shrunk = shrunk(600, 2);
    let text = file(&shrunk).unwrap();
    assert!(text.starts_with("# Standard: panics at "), "{text}");
    let scenario = read("shrunk", &text, &Vocabulary::current()).unwrap();
    assert_eq!(scenario.plan(scenario.seed.unwrap()), shrunk.plan);
    assert_eq!(file_name(&shrunk), "panic-seed-3.toml");
}

#[test]
fn plan_that_keeps_the_law_is_not_shrunk() {
    let mut plan = plan();
    plan.faults.clear();
    let holds = shrink(&plan, &Target::Panic, &budget(9, 1), machine()).unwrap_err();
    assert_eq!(holds, Unshrinkable::Holds);
    assert_eq!(target(&plan, machine()), None);
    let target = Target::Law("zab.one-leeder".into());
    let unknown = shrink(&plan, &target, &budget(9, 1), machine()).unwrap_err();
    assert!(unknown.to_string().contains("`zab.one-leader`"), "{unknown}");
}

/// Panics if a client of ZooKeeper abandons its session while another one has made an ephemeral node just before.
fn abandons(plan: &Plan, most: Option<Duration>) -> Result<Run, RunError> {
    let abandoned = plan.zookeeper_operations.iter().filter(|one| one.ask == ZooKeeperAsk::Abandon);
    let second = Duration::from_secs(1);
    let follows = |it: &ZooKeeperOperation, one: &ZooKeeperOperation| {
        one.ephemeral && one.client < it.client && one.at < it.at && it.at - one.at < second
    };
    let mut both = abandoned.filter(|it| plan.zookeeper_operations.iter().any(|one| follows(it, one)));
    match both.next() {
        Some(it) => Err(panicked(it.at)),
        None => run(plan, most),
    }
}

#[test]
fn operations_on_zookeeper_are_taken_out_with_their_clients() {
    let plan = builtin::named("zk-session-storm").unwrap().scenario().plan(3);
    let shrunk =
        shrink(&plan, &Target::Panic, &budget(600, 1), Machine { run: abandons, ..machine() }).unwrap();
    let small = &shrunk.plan;
    assert_eq!((small.zookeeper_operations.len(), small.faults.len()), (2, 0), "{}", story(&shrunk));
    assert_eq!(small.zookeeper_clients.len(), 1);
    assert!(shrunk.is_complete && shrunk.sizes.0.steps > 1000, "{}", story(&shrunk));
    assert_eq!(small.unsound(&Vocabulary::current()), None);
}
