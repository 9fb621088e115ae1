//! What a sweep has written survives whatever ends it: a kill at any moment, a disk that is full, a place that cannot be
//! written to. What was there is readable, and `--resume` goes on to the same bytes.

#![cfg(unix)]

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// Small, and with something to find: the first election of every run breaks a law.
const SCENARIO: &str = r#"
title = "Broken off"
duration = "1s"
defects = ["zab-epoch-not-written"]

[cluster]
search = 1

[expect]
laws = ["zab.epochs"]
"#;

const SEEDS: &str = "0..12";

fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("small.toml"), SCENARIO).unwrap();
    dir
}

/// `prefix shardarium sweep …`, as it is typed.
fn shell(dir: &Path, prefix: &str, command: &str) -> Command {
    let binary = env!("CARGO_BIN_EXE_shardarium");
    let mut shell = Command::new("sh");
    shell.current_dir(dir).args(["-c", &format!("{prefix} exec \"{binary}\" {command}")]);
    shell.stdout(Stdio::null()).stderr(Stdio::piped());
    shell
}

fn sweep(dir: &Path, prefix: &str, rest: &str) -> (Option<i32>, String) {
    let command = format!("sweep small.toml --seeds {SEEDS} --jobs 2 {rest}");
    let output = shell(dir, prefix, &command).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn lines(runs: &Path) -> usize {
    fs::read(runs).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

/// Every whole line is a record, and what is beside it for a failure is there.
fn assert_readable(out: &Path) {
    let text = fs::read_to_string(out.join("runs.ndjson")).unwrap_or_default();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let failure = out.join("failures").join(record["key"].as_str().unwrap());
        for name in ["plan.json", "trace.ndjson", "explanation.txt", "command"] {
            assert!(failure.join(name).is_file(), "{name} of {record}");
        }
    }
}

/// A draw below `most` that differs from time to time: a kill has no seed.
fn draw(most: u64) -> u64 {
    RandomState::new().hash_one(()) % most
}

/// Kills it some time after so many more runs were kept.
#[expect(clippy::disallowed_methods, reason = "a process in real time")]
fn killed_after(mut child: Child, runs: &Path, more: usize) -> ExitStatus {
    let before = lines(runs);
    while lines(runs) < before + more && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_micros(draw(40_000)));
    child.kill().unwrap();
    child.wait().unwrap()
}

#[test]
fn sweep_that_is_killed_again_and_again_comes_to_the_same_bytes() {
    let dir = folder();
    let (whole, out) = (dir.path().join("whole"), dir.path().join("out"));
    assert_eq!(sweep(dir.path(), "", "--out whole").0, Some(1));
    let runs = out.join("runs.ndjson");
    let mut kills = 0;
    for more in [0, 0, 1, 2, 3] {
        let command = format!("sweep small.toml --seeds {SEEDS} --jobs 2 --out out --resume");
        let child = shell(dir.path(), "", &command).spawn().unwrap();
        kills += u32::from(!killed_after(child, &runs, more).success());
        assert_readable(&out);
    }
    assert!(kills > 0, "every one had come to its end");
    assert_eq!(sweep(dir.path(), "", "--out out --resume").0, Some(1));
    let bytes = |dir: &Path| fs::read(dir.join("runs.ndjson")).unwrap();
    assert_eq!(bytes(&whole), bytes(&out));
    let failures = |dir: &Path| fs::read_dir(dir.join("failures")).unwrap().count();
    assert_eq!((failures(&whole), failures(&out)), (12, 12));
}

/// A limit on the size of a file fails a write as a full disk does, once its signal is ignored.
#[test]
fn sweep_without_room_says_so_and_goes_on_when_there_is_some() {
    let dir = folder();
    assert_eq!(sweep(dir.path(), "", "--out whole").0, Some(1));
    let (code, err) = sweep(dir.path(), "trap '' XFSZ; ulimit -f 3;", "--out out");
    assert_eq!(code, Some(75), "{err}");
    assert!(err.contains("cannot write results") && !err.contains("panicked"), "{err}");
    let out = dir.path().join("out");
    assert_readable(&out);
    assert!(lines(&out.join("runs.ndjson")) < 12);
    assert_eq!(sweep(dir.path(), "", "--out out --resume").0, Some(1));
    let bytes = |name: &str| fs::read(dir.path().join(name).join("runs.ndjson")).unwrap();
    assert_eq!(bytes("whole"), bytes("out"));
}

#[test]
fn place_that_cannot_be_written_to_is_named_before_the_first_run() {
    let dir = folder();
    fs::write(dir.path().join("file"), "mine").unwrap();
    fs::create_dir(dir.path().join("half")).unwrap();
    fs::write(dir.path().join("half/failures"), "mine").unwrap();
    // Nobody may make a folder in /proc, whoever it is.
    for place in ["file", "file/below", "half", "/proc/none"] {
        for command in [
            format!("sweep small.toml --seeds 0..2 --out {place}"),
            format!("sweep small.toml --seeds 0..2 --resume --out {place}"),
            format!("fuzz --runs 1 --out {}", if place == "half" { "file" } else { place }),
        ] {
            let output = shell(dir.path(), "", &command).output().unwrap();
            let err = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{command}: {err}");
            assert!(err.contains("cannot write") && !err.contains("panicked"), "{command}: {err}");
        }
    }
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "mine");
}

/// A case that has ended is on disk, whatever comes then.
#[test]
#[expect(clippy::disallowed_methods, reason = "a process in real time")]
fn cases_of_a_fuzz_that_is_killed_are_readable() {
    let dir = folder();
    let runs = dir.path().join("out/runs.ndjson");
    let mut child = shell(dir.path(), "", "fuzz --runs 100000 --jobs 2 --out out").spawn().unwrap();
    while lines(&runs) < 2 {
        thread::sleep(Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = fs::read_to_string(&runs).unwrap();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(case["verdict"].is_string(), "{case}");
    }
}
