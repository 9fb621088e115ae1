//! What cannot be used is refused with exit code 64 and a message that says which file, where and why.

mod common;

use std::{fs, path::Path};

/// Runs the binary; exit code, stdout, stderr.
fn shardarium(arguments: &[&str]) -> (i32, String, String) {
    common::run_in(Path::new("."), arguments)
}

#[track_caller]
fn assert_refused(arguments: &[&str], parts: &[&str]) {
    let (code, out, err) = shardarium(arguments);
    assert_eq!((code, out.as_str()), (64, ""), "{err}");
    for part in parts {
        assert!(err.contains(part), "{part:?} is not in:\n{err}");
    }
    assert!(!err.contains("panicked") && !err.contains('\u{1b}'), "{err}");
}

fn file(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn wrong_arguments_are_usage() {
    assert_refused(&["rum"], &["rum", "run"]);
    assert_refused(&["run", "--sed", "1"], &["--sed"]);
    assert_refused(&["run", "--seed=-1"], &["--seed"]);
    assert_refused(&["sweep", "discovery"], &["--seeds"]);
    assert_refused(&["sweep", "--seeds", "5"], &["`5` is not a range of seeds"]);
    assert_refused(&["sweep", "--seeds", "5..3"], &["`5..3` ends before it begins"]);
    assert_refused(&["sweep", "--seeds", "0..2", "--partition", "3/2"], &["`3/2` is not a shard"]);
    assert_refused(
        &["run", "--set", "defect=zab-ack"],
        &["there is no defect `zab-ack`", "zab-ack-before-sync"],
    );
    assert_refused(&["sweep", "--runs", "1", "--jobs", "0"], &["--jobs", "at least 1"]);
    assert_refused(&["list", "lawz"], &["laws"]);
    assert_refused(
        &["check", "x", "--law", "nope"],
        &["there is no law `nope`", "`shardarium list laws` has them all"],
    );
}

#[test]
fn help_and_version_are_no_errors() {
    for argument in ["--help", "--version", "help"] {
        let (code, out, _) = shardarium(&[argument]);
        assert_eq!(code, 0);
        assert!(out.contains("hardarium"), "{out}");
    }
}

#[test]
fn unknown_scenario_names_the_nearest() {
    assert_refused(&["run", "first-fallover"], &["first-fallover", "did you mean `first-failover`?"]);
    assert_refused(
        &["run", "missing/file.toml"],
        &["cannot read scenario missing/file.toml", "No such file"],
    );
}

#[test]
fn bad_scenario_points_at_every_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = "title = \"t\"\nduration = \"10s\"\n[cluster]\nzookeper = 3\n[[faults]]\nat = \"10s\"\ncrash = \"search-9\"\n";
    let path = file(dir.path(), "bad.toml", text);
    let parts = [
        "zookeper",
        "bad.toml:4:1",
        "did you mean `zookeeper`?",
        "bad.toml:6:6",
        "the fault strikes at 10s, when the run is over",
        "bad.toml:7:9",
        "there is no host `search-9`",
        "`search-1` to `search-3`",
    ];
    assert_refused(&["run", &path], &parts);
    assert_refused(&["sweep", &path, "--runs", "1"], &parts);
}

#[test]
fn scenario_that_is_no_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "bad.toml", b"title = \"t\"\n\xff\xfe\n");
    assert_refused(&["run", &path], &["bad.toml:2: the file is not UTF-8 text"]);
}

#[test]
fn unwritable_trace_is_named_before_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().to_string_lossy().into_owned();
    assert_refused(&["run", "--trace", &directory], &[&directory, "it is a directory"]);
    assert_refused(
        &["run", "--trace", "/nonexistent/trace"],
        &["cannot write /nonexistent/trace", "No such file"],
    );
    let path = file(dir.path(), "occupied", "x");
    assert_refused(&["sweep", "--runs", "1", "--out", &path], &["cannot write results to", "occupied"]);
}

#[test]
fn bad_trace_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    assert_refused(&["check", "/nonexistent"], &["cannot read /nonexistent"]);
    let path = file(dir.path(), "a", "hello\n");
    assert_refused(&["check", &path], &["line 1: this is not a Shardarium trace"]);
    let path = file(dir.path(), "b", "{\"shardarium\":\"trace\",\"version\":77}\n");
    assert_refused(&["check", &path], &["version 77"]);
    let path = file(dir.path(), "c", "");
    assert_refused(&["check", &path], &["not a Shardarium trace"]);
}

#[test]
fn bad_plan_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_refused(&["replay", "/nonexistent"], &["cannot read /nonexistent"]);
    let path = file(dir.path(), "plan.json", "{}");
    assert_refused(&["replay", &path], &["neither a stored plan nor a trace", "missing field"]);
    let path = file(dir.path(), "tiny.toml", "title = \"t\"");
    assert_refused(&["replay", &path], &["neither a stored plan nor a trace", "for `shardarium run /"]);
    let plan = shardarium::scenario::builtin::named("discovery").unwrap().scenario().plan(1);
    let text = serde_json::to_string_pretty(&plan).unwrap().replace("\"defects\"", "\"defectz\"");
    let line = text.lines().position(|line| line.contains("defectz")).unwrap() + 1;
    let path = file(dir.path(), "plan.json", &text);
    assert_refused(&["replay", &path], &["unknown field `defectz`", &format!("line {line} ")]);
    let header = format!("{{\"shardarium\":\"trace\",\"version\":1,\"plan\":{}}}\n", text.replace('\n', ""));
    let path = file(dir.path(), "trace.ndjson", header);
    assert_refused(&["replay", &path], &["the plan of the trace", "unknown field `defectz`"]);
}

#[test]
fn lists_name_what_there_is() {
    let (code, out, _) = shardarium(&["list"]);
    assert_eq!(code, 0);
    for part in
        ["first-failover", "zab-ack-before-sync", "TxnCommitted", "minority(zookeeper)", "crash", "storm"]
    {
        assert!(out.contains(part), "{part}\n{out}");
    }
    let (_, out, _) = shardarium(&["list", "events"]);
    assert!(out.lines().all(|line| line.trim_end().ends_with('.')), "{out}");
    assert!(out.contains("The process stopped being scheduled."), "{out}");
    let topic = |topic: &str| shardarium(&["list", topic]).1;
    assert!(topic("steps").contains("drain = ") && topic("selectors").contains("random(search)"));
    assert_refused(&["list", "selector"], &["'selectors'"]);
    let (_, out, _) = shardarium(&["list", "profiles"]);
    assert!(out.lines().count() == 6 && out.contains("  failover  "), "{out}");
    let (_, out, _) = shardarium(&["list", "scenarios"]);
    let all = shardarium::scenario::builtin::ALL;
    let folders = all.chunk_by(|one, other| one.folder == other.folder).count();
    assert_eq!(out.lines().count(), all.len() + folders, "{out}");
    assert!(out.contains("failover/\n") && out.contains("  deposed-primary "), "{out}");
}
