//! A failing run becomes a small scenario file that breaks the same law, at most ten runs a step.

mod common;

use std::{fs, path::Path};

const SCENARIO: &str = r#"
title = "Two nodes"
duration = "8s"
defects = ["acknowledges-before-replicas"]

[[indices]]
name = "articles"
shards = 2

[[workloads]]
index = "articles"
writes_per_second = 20.0
reads_per_second = 5.0
starts_at = "2s"

[[faults]]
at = "4s"
crash = "zk-leader"
lasts = "1s"

[[faults]]
at = "5s"
pause = "replica(articles/1)"
lasts = "2s"
"#;

/// Runs the binary; exit code and stdout.
fn shardarium(arguments: &[&str]) -> (i32, String) {
    let (code, out, _) = common::run_in(Path::new("."), arguments);
    (code, out)
}

#[test]
fn shrunk_file_breaks_the_same_law_with_a_fifth_of_the_steps() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, small] = ["whole.toml", "small.toml"].map(|name| dir.path().join(name));
    fs::write(&whole, SCENARIO).unwrap();
    let [whole, small] = [&whole, &small].map(|path| path.to_str().unwrap());
    let (code, report) = shardarium(&["run", whole, "--format", "json"]);
    let law = |report: &str| {
        let report: serde_json::Value = serde_json::from_str(report).unwrap();
        let laws = report["laws"].as_array().unwrap().clone();
        let broken: Vec<String> = laws
            .iter()
            .filter(|law| law["verdict"] == "fail")
            .map(|law| law["law"].as_str().unwrap().to_owned())
            .collect();
        broken
    };
    assert_eq!(code, 1, "{report}");
    let (code, story) = shardarium(&["shrink", whole, "--out", small, "--law", "in-sync.complete"]);
    assert_eq!(code, 0, "{story}");
    let text = fs::read_to_string(small).unwrap();
    assert!(text.starts_with("# Two nodes: breaks in-sync.complete at "), "{text}");
    assert!(text.matches("[[operations]]").count() + text.matches("[[faults]]").count() <= 20, "{text}");
    let (code, again) = shardarium(&["run", small, "--format", "json"]);
    assert_eq!(code, 1, "{again}");
    assert!(
        law(&report).contains(&"in-sync.complete".into()) && law(&again).contains(&"in-sync.complete".into())
    );
}

#[test]
fn sweep_stores_a_smaller_plan_beside_each_failure() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("whole.toml"), dir.path().join("out"));
    fs::write(&file, SCENARIO).unwrap();
    let [file, out] = [&file, &out].map(|path| path.to_str().unwrap());
    let (code, report) = shardarium(&["sweep", file, "--seeds", "1..2", "--shrink", "--out", out]);
    assert_eq!(code, 1, "{report}");
    let failure = fs::read_dir(format!("{out}/failures")).unwrap().next().unwrap().unwrap().path();
    let small = failure.join("shrunk.toml");
    let (code, again) = shardarium(&["run", small.to_str().unwrap()]);
    assert_eq!(code, 1, "{again}");
}

#[test]
fn nothing_to_shrink_is_said() {
    let (code, report) = shardarium(&["shrink", "discovery", "--budget", "5"]);
    assert_eq!((code, report.trim()), (4, "nothing to shrink: the plan keeps every law that was asked for"));
}
