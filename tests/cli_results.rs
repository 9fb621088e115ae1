//! Nothing that a user may want to keep is replaced or left to mislead: results of other runs are moved aside and that
//! is said, a run does not write over what it is run from, and nothing of an earlier sweep stays that is not of this one.

mod common;

use std::{fs, path::Path};

/// Runs the binary in a directory; exit code, stdout, stderr.
fn shardarium(dir: &Path, line: &str) -> (i32, String, String) {
    common::run_in(dir, line.split_whitespace())
}

/// One server and one node, for a second.
const TINY: &str = "title = \"Tiny\"\nduration = \"1s\"\n[cluster]\nsearch = 1\nzookeeper = 1\n";

fn with_tiny() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tiny.toml"), TINY).unwrap();
    dir
}

#[test]
fn other_results_are_moved_aside_and_that_is_said() {
    let dir = with_tiny();
    let sweep = |rest: &str| shardarium(dir.path(), &format!("sweep tiny.toml --out results {rest}"));
    let (code, _, err) = sweep("--seeds 0..1");
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(sweep("--seeds 0..1").2, "", "the same arguments");
    let (code, _, err) = sweep("--seeds 1..2");
    assert_eq!((code, err.lines().count()), (0, 1), "{err}");
    assert!(err.contains("it is in results.1 now") && dir.path().join("results.1/runs.ndjson").is_file());
    let (code, _, err) = shardarium(dir.path(), "merge results.1 --out results");
    assert!(code == 0 && err.contains("it is in results.2 now"), "{err}");
    let (code, _, err) = shardarium(dir.path(), "merge results results.2 --out results");
    assert_eq!((code, err.as_str()), (0, ""), "the directory is one of those that are merged");
    assert!(!dir.path().join("results.3").exists());
    let (_, _, err) = shardarium(dir.path(), "fuzz --runs 0 --out results");
    assert!(err.contains("it is in results.3 now"), "{err}");
}

#[test]
fn what_is_run_is_not_written_over() {
    let dir = with_tiny();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let refused = |line: &str, part: &str| {
        let (code, out, err) = shardarium(dir.path(), line);
        assert_eq!((code, out.as_str()), (64, ""), "{line}: {err}");
        assert!(err.contains(part), "{line}: {err}");
    };
    refused("run tiny.toml --save tiny.toml", "--save tiny.toml would replace what is run");
    refused("run tiny.toml --trace sub/../tiny.toml", "--trace sub/../tiny.toml would replace what is run");
    refused("run tiny.toml --trace new --save sub/../new", "--trace and --save both write to sub/../new");
    refused("shrink tiny.toml --out ./tiny.toml", "--out ./tiny.toml would replace");
    assert_eq!(fs::read_to_string(dir.path().join("tiny.toml")).unwrap(), TINY);
    assert_eq!(shardarium(dir.path(), "run tiny.toml --trace a.ndjson --save saved.toml").0, 0);
    refused("replay a.ndjson --trace a.ndjson", "--trace a.ndjson would replace what is run");
    refused("export a.ndjson --format shiviz --out a.ndjson", "--out a.ndjson would replace");
    assert_eq!(shardarium(dir.path(), "check a.ndjson").0, 0);
    assert_eq!(shardarium(dir.path(), "run tiny.toml --trace /dev/null --save /dev/null").0, 0);
}

#[test]
fn finding_of_other_content_gets_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let fuzz = |rest: &str| {
        let line = format!(
            "fuzz --profile zookeeper --budget 0 --max-fail 1 --out . --defect zab-ack-before-sync {rest}"
        );
        shardarium(dir.path(), &line)
    };
    let findings = || {
        let names =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut found: Vec<_> = names.filter(|name| name.ends_with(".toml")).collect();
        found.sort();
        found
    };
    let (code, out, err) = fuzz("--runs 1");
    assert_eq!(code, 1, "{out}{err}");
    let [first] = <[String; 1]>::try_from(findings()).unwrap();
    fuzz("--runs 1");
    assert_eq!(findings(), std::slice::from_ref(&first), "the same finding");
    fs::write(dir.path().join(&first), "mine").unwrap();
    let (_, out, _) = fuzz("--runs 1");
    let second = first.replace(".toml", "-2.toml");
    assert_eq!(findings(), [second.clone(), first.clone()]);
    assert_eq!(fs::read_to_string(dir.path().join(first)).unwrap(), "mine");
    assert!(out.contains(&second), "{out}");
}

#[test]
fn fuzz_that_time_cuts_short_says_so_unless_the_time_was_the_point() {
    let dir = tempfile::tempdir().unwrap();
    let fuzz = |rest: &str| shardarium(dir.path(), &format!("fuzz --profile zookeeper --budget 0 {rest}"));
    let (code, out, _) = fuzz("--runs 100000 --for 1s");
    assert!(code == 75 && out.contains("Not every case was run"), "{code} {out}");
    let (code, out, _) = fuzz("--runs 100000 --for 0s --format json");
    assert!(code == 75 && out.contains("\"ending\":\"out_of_time\""), "{code} {out}");
    let (code, out, _) = fuzz("--for 1s");
    assert!(code == 0 && !out.contains("Not every"), "{code} {out}");
    assert_eq!(fuzz("--runs 1 --for 10m").0, 0);
}

#[test]
fn results_without_a_failure_say_what_there_was() {
    let dir = with_tiny();
    assert_eq!(shardarium(dir.path(), "sweep tiny.toml --seeds 0..2 --out out").0, 0);
    let (code, out, _) = shardarium(dir.path(), "check out");
    assert!(
        code == 4 && out.contains("out: 2 runs, 0 of them failing, and no trace to judge"),
        "{code} {out}"
    );
    fs::create_dir_all(dir.path().join("bare/failures")).unwrap();
    let (code, out, _) = shardarium(dir.path(), "check bare");
    assert!(code == 4 && out.contains("bare: no trace to judge"), "{code} {out}");
}

#[test]
fn command_that_repeats_a_run_can_be_pasted() {
    let dir = with_tiny();
    fs::rename(dir.path().join("tiny.toml"), dir.path().join("-x.toml")).unwrap();
    let (code, out, _) = shardarium(dir.path(), "run -- -x.toml");
    let again = out.lines().find_map(|line| line.split_once("shardarium run ")).unwrap().1;
    assert_eq!((code, again), (0, "./-x.toml --seed 1"));
    assert_eq!(shardarium(dir.path(), &format!("run {again}")).0, 0);
    let (_, out, _) = shardarium(dir.path(), "sweep ./-x.toml --runs 1 --for 0s");
    assert!(out.contains("Not every run was done.\n"), "{out}");
    let (_, out, _) = shardarium(dir.path(), "sweep ./-x.toml --runs 1 --for 0s --out out");
    assert!(out.contains("Not every run was done: --resume goes on.\n"), "{out}");
}

#[test]
fn plot_of_an_earlier_grid_goes() {
    let dir = with_tiny();
    let plot = dir.path().join("out/grid.svg");
    let set = "--set clocks.drift_max_ppm=10,20";
    assert_eq!(shardarium(dir.path(), &format!("sweep tiny.toml --seeds 0..2 --out out {set}")).0, 0);
    assert!(plot.is_file());
    fs::copy(&plot, dir.path().join("kept.svg")).unwrap();
    assert_eq!(shardarium(dir.path(), "sweep tiny.toml --seeds 0..2 --out out").0, 0);
    assert!(!plot.exists(), "it was moved aside with the grid");
    fs::copy(dir.path().join("kept.svg"), &plot).unwrap();
    assert_eq!(shardarium(dir.path(), "sweep tiny.toml --seeds 0..2 --out out").0, 0);
    assert!(!plot.exists());
}
