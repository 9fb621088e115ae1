//! Same plan, same build: same events, same fingerprint. In one process, in two, alone and in company.

use std::{process::Command, thread};

use shardarium::{
    scenario::{builtin, check::Vocabulary, format::Scenario, plan::Plan, read::read},
    sim::{Run, run},
    workload::arrivals::expand,
};

fn plan(name: &str, seed: u64) -> Plan {
    let builtin = builtin::named(name).expect("a built-in scenario");
    builtin.scenario().plan(seed)
}

fn run_of(name: &str, seed: u64) -> Run {
    run(&plan(name, seed)).expect("the run comes to its end")
}

/// The first event at which two records differ, for the message.
fn first_difference(a: &Run, b: &Run) -> Option<String> {
    let pairs = a.events.iter().zip(&b.events);
    let different = pairs.into_iter().find(|(a, b)| a != b);
    different.map(|(a, b)| format!("{a:?}\n{b:?}"))
}

#[test]
fn same_seed_twice_in_one_process_same_events() {
    let (first, second) = (run_of("first-failover", 11), run_of("first-failover", 11));
    assert_eq!(first_difference(&first, &second), None);
    assert_eq!(first.fingerprint, second.fingerprint);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about runs beside each other")]
fn same_seed_beside_others_in_parallel_same_fingerprint() {
    let alone = run_of("discovery", 5).fingerprint;
    let company: Vec<_> = [4, 5, 6, 5].map(|seed| thread::spawn(move || run_of("discovery", seed))).into();
    let company: Vec<_> = company.into_iter().map(|run| run.join().unwrap().fingerprint).collect();
    assert_eq!((company[1], company[3]), (alone, alone));
}

#[test]
fn listed_operations_and_their_file_give_the_fingerprint_of_the_rates() {
    let subjects = [
        ("first-failover", 4),
        ("documents-versions", 5),
        ("power-loss", 6),
        ("zk-session-storm", 2),
        ("zk-watch-storm", 3),
        ("recipe-election", 1),
        ("recipe-membership", 2),
        ("recipe-configuration", 3),
        ("recipe-notification", 4),
    ];
    for (name, seed) in subjects {
        let drawn = plan(name, seed);
        let listed = expand(&drawn);
        assert!(listed.operations.len() + listed.zookeeper_operations.len() > 40, "{name}");
        let text = toml::to_string(&Scenario::from(&listed)).unwrap();
        let read = read(name, &text, &Vocabulary::current()).unwrap();
        let [drawn, listed] = [drawn, read.plan(seed)].map(|plan| run(&plan).expect("the run ends"));
        assert_eq!(first_difference(&drawn, &listed), None, "{name}");
        assert_eq!(drawn.fingerprint, listed.fingerprint, "{name}");
    }
}

#[test]
fn two_seeds_two_fingerprints() {
    assert_ne!(run_of("discovery", 1).fingerprint, run_of("discovery", 2).fingerprint);
}

/// What the binary says of a run in a process of its own.
fn fingerprint_of_process(name: &str, seed: u64) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_shardarium"))
        .args(["run", name, "--seed", &seed.to_string(), "--format", "json"])
        .output()
        .expect("the binary runs");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a JSON report");
    report["fingerprint"].as_str().expect("a fingerprint").to_owned()
}

#[test]
fn same_seed_in_two_processes_same_fingerprint() {
    let here = format!("{:032x}", run_of("balance", 3).fingerprint);
    assert_eq!(fingerprint_of_process("balance", 3), here);
    assert_eq!(fingerprint_of_process("balance", 3), here);
}

/// `tests/fingerprints.txt`: scenario, seed, fingerprint. A change of behaviour changes it; then record the new
/// ones in the same commit. `.ci/run` compares the release binary with the same file.
#[test]
fn debug_and_release_give_the_recorded_fingerprints() {
    for line in include_str!("fingerprints.txt").lines() {
        let [name, seed, recorded] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("not `scenario seed fingerprint`: {line}")
        };
        let run = run_of(name, seed.parse().expect("a seed"));
        assert_eq!(format!("{:032x}", run.fingerprint), recorded, "{name} {seed}");
    }
}
