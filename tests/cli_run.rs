//! One run from the command line, through the real world: a passing first run, a stored trace that is judged
//! the same, and the same fingerprint from every process.

mod common;

use std::{fs, path::Path};

/// Runs the binary; exit code and stdout.
fn shardarium(arguments: &[&str]) -> (i32, String) {
    let (code, out, err) = common::run_in(Path::new("."), arguments);
    assert!(err.is_empty(), "{arguments:?}: {err}");
    (code, out)
}

fn fingerprint(report: &str) -> &str {
    let line = report.lines().find(|line| line.trim_start().starts_with("fingerprint")).unwrap();
    line.split_whitespace().last().unwrap()
}

#[test]
fn first_run_passes_and_says_how_to_repeat_it() {
    let (code, report) = shardarium(&[]);
    assert_eq!(code, 0, "{report}");
    assert!(
        report.contains("shardarium run first-failover --seed 1") && !report.contains('\u{1b}'),
        "{report}"
    );
    assert_eq!(fingerprint(&report).len(), 32);
    for part in ["What happened", "Laws", "Failover times", "Figures"] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    assert!(report.lines().count() < 150, "{report}");
    let (_, again) = shardarium(&["run", "first-failover", "--seed", "1"]);
    assert_eq!(fingerprint(&report), fingerprint(&again));
    let (_, other) = shardarium(&["run", "--seed", "2"]);
    assert_ne!(fingerprint(&report), fingerprint(&other));
}

#[test]
fn stored_run_is_judged_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("out.ndjson");
    let path = trace.to_str().unwrap();
    let (_, run) = shardarium(&["run", "discovery", "--format", "json", "--trace", path]);
    let (_, check) = shardarium(&["check", path, "--format", "json"]);
    let (_, replay) = shardarium(&["replay", path, "--format", "json"]);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let (run, check, replay) = (json(&run), json(&check), json(&replay));
    for key in ["fingerprint", "verdict", "laws", "scenario", "seed"] {
        assert_eq!(run[key], check[key], "{key}");
        assert_eq!(run[key], replay[key], "{key}");
    }
    let lines = fs::read_to_string(&trace).unwrap().lines().count() as u64;
    assert_eq!(run["events"].as_u64().unwrap() + 2, lines);
}

#[test]
fn saved_run_is_a_scenario_file_that_runs_to_the_same_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["one.toml", "two.toml"].map(|name| dir.path().join(name));
    let [first, second] = paths.each_ref().map(|path| path.to_str().unwrap());
    let (_, run) = shardarium(&["run", "balance", "--seed", "12", "--save", first]);
    let (code, again) = shardarium(&["run", first, "--save", second]);
    assert_eq!((code, fingerprint(&again)), (0, fingerprint(&run)));
    assert!(again.contains("seed 12") && again.contains("listed operations"), "{again}");
    assert_eq!(fs::read_to_string(first).unwrap(), fs::read_to_string(second).unwrap());
}

#[test]
fn sweep_is_the_same_on_one_thread_and_on_many() {
    let dir = tempfile::tempdir().unwrap();
    let records = |name: &str, jobs: &str| {
        let out = dir.path().join(name);
        let arguments =
            ["sweep", "--runs", "6", "--double", "0.5", "--jobs", jobs, "--out", out.to_str().unwrap()];
        let (code, report) = shardarium(&arguments);
        assert!([0, 3].contains(&code), "{report}");
        fs::read_to_string(out.join("runs.ndjson")).unwrap()
    };
    assert_eq!(records("one", "1"), records("many", "4"));
}
