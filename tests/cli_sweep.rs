//! A sweep is a pure function of its arguments: same flags, same records, however many threads; and its exit
//! code says what came of it. The machine here is a fake one, so that every ending can be had.

use std::{collections::BTreeSet, ffi::OsString, fs, path::Path, time::Duration};

use shardarium::{
    cli::{Exit, main_with},
    event::{Event, EventKind, Fingerprint},
    name::{Epoch, HostId, SimTime},
    scenario::plan::Plan,
    sim::{Figures, Run, RunError},
    trial::Machine,
};

/// A record that depends on the seed alone.
fn events(plan: &Plan) -> Vec<Event> {
    let started = EventKind::RunStarted {
        scenario: plan.title.clone(),
        seed: plan.seed,
        servers: plan.zookeeper.servers.clone(),
        nodes: vec![],
        copies: 0,
        settle_bound: 0,
        read_policy: "any".into(),
    };
    let mut kinds = vec![(None, started)];
    for server in 1..=leaders(plan.seed) {
        let kind = EventKind::LeaderEstablished { epoch: Epoch(1), history: vec![] };
        kinds.push((Some(HostId::zookeeper(server)), kind));
    }
    kinds.push((None, EventKind::RunEnded));
    let event = |(seq, (host, kind)): (u64, _)| Event { seq, at: SimTime(seq * 1_000), host, kind };
    (0..).zip(kinds).map(event).collect()
}

/// Every seventh seed has two leaders in one epoch.
fn leaders(seed: u64) -> u16 {
    if seed % 7 == 6 { 2 } else { 1 }
}

fn recorded(events: Vec<Event>) -> Run {
    let mut fingerprint = Fingerprint::default();
    events.iter().for_each(|event| fingerprint.add(event));
    let figures = Figures {
        events: events.len() as u64,
        messages: 3,
        simulated: Duration::from_secs(60),
        wall: Duration::from_millis(100),
    };
    Run { events, fingerprint: fingerprint.value(), figures }
}

fn sound(plan: &Plan) -> Result<Run, RunError> {
    Ok(recorded(events(plan)))
}

/// Every fifth seed panics.
fn panicking(plan: &Plan) -> Result<Run, RunError> {
    if plan.seed % 5 == 4 {
        let message = "index out of bounds".into();
        return Err(RunError { at: Duration::from_secs(3), message, events: events(plan) });
    }
    sound(plan)
}

/// No two runs are alike.
fn wavering(plan: &Plan) -> Result<Run, RunError> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let mut events = events(plan);
    let last = events.last_mut().unwrap();
    last.at = SimTime(last.at.0 + RUNS.fetch_add(1, Ordering::Relaxed));
    Ok(recorded(events))
}

fn run(machine: fn(&Plan) -> Result<Run, RunError>, line: &str) -> Exit {
    let arguments = line.split_whitespace().map(OsString::from);
    main_with([OsString::from("shardarium")].into_iter().chain(arguments), Machine { run: machine })
}

fn records(dir: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(dir.join("runs.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn seeds(dir: &Path) -> BTreeSet<u64> {
    records(dir).iter().map(|record| record["seed"].as_u64().unwrap()).collect()
}

#[test]
fn same_flags_give_the_same_bytes_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mut texts = Vec::new();
    for (number, jobs) in [1, 4, 4].into_iter().enumerate() {
        let out = dir.path().join(number.to_string());
        run(
            sound,
            &format!(
                "sweep tests/scenarios/one-leader.toml tests/scenarios/idle.toml --seeds 0..20 --jobs {jobs} --out {}",
                out.display()
            ),
        );
        texts.push(fs::read(out.join("runs.ndjson")).unwrap());
    }
    assert_eq!(texts[0].iter().filter(|byte| **byte == b'\n').count(), 40);
    assert!(texts.iter().all(|text| *text == texts[0]));
}

#[test]
fn records_are_sorted_by_key_and_flat() {
    let dir = tempfile::tempdir().unwrap();
    run(
        sound,
        &format!("sweep tests/scenarios/one-leader.toml --seeds 0..10 --out {}", dir.path().display()),
    );
    let records = records(dir.path());
    let keys: Vec<&str> = records.iter().map(|record| record["key"].as_str().unwrap()).collect();
    assert!(keys.is_sorted() && keys.len() == 10);
    assert!(
        records.iter().all(|record| record.as_object().unwrap().values().all(|value| !value.is_object()))
    );
    let timings = fs::read_to_string(dir.path().join("timing.ndjson")).unwrap();
    assert_eq!(timings.lines().count(), 10);
}

#[test]
fn manifest_tells_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    run(
        sound,
        &format!(
            "sweep tests/scenarios/one-leader.toml --seeds 3..10 --partition 2/3 --out {}",
            dir.path().display()
        ),
    );
    let text = fs::read_to_string(dir.path().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["partition"], "2/3");
    assert_eq!(manifest["seeds"], serde_json::json!([4, 7]));
    assert_eq!(manifest["arguments"][0], "sweep");
}

#[test]
fn shards_together_are_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = BTreeSet::new();
    for number in 1..=3 {
        let out = dir.path().join(number.to_string());
        run(
            sound,
            &format!(
                "sweep tests/scenarios/one-leader.toml --seeds 0..10 --partition {number}/3 --out {}",
                out.display()
            ),
        );
        let part = seeds(&out);
        assert!(all.is_disjoint(&part));
        all.extend(part);
    }
    assert_eq!(all, (0..10).collect());
}

#[test]
fn empty_shard_has_nothing_to_run() {
    assert_eq!(
        run(sound, "sweep tests/scenarios/one-leader.toml --seeds 0..2 --partition 3/3"),
        Exit::Nothing
    );
}

#[test]
fn sweep_of_sound_runs_is_fine() {
    assert_eq!(run(sound, "sweep tests/scenarios/one-leader.toml --seeds 0..6"), Exit::Fine);
}

#[test]
fn broken_law_is_recorded_explained_and_reproduced() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let exit = run(sound, &format!("sweep tests/scenarios/one-leader.toml --seeds 0..7 --out {out}"));
    assert_eq!(exit, Exit::Broken);
    let broken = records(dir.path()).into_iter().find(|record| record["verdict"] == "fail").unwrap();
    assert_eq!((&broken["law"], &broken["seed"]), (&"zab.one-leader".into(), &6.into()));
    let failure = dir.path().join("failures").join(broken["key"].as_str().unwrap());
    let explanation = fs::read_to_string(failure.join("explanation.txt")).unwrap();
    assert!(explanation.contains("zab.one-leader is broken"), "{explanation}");
    let command = fs::read_to_string(failure.join("command")).unwrap();
    let again = command.trim().strip_prefix("shardarium ").unwrap();
    assert_eq!(run(sound, again), Exit::Broken);
    assert_eq!(run(sound, &format!("check {}", failure.join("trace.ndjson").display())), Exit::Broken);
    assert_eq!(run(sound, &format!("replay {}", failure.join("plan.json").display())), Exit::Broken);
}

#[test]
fn goal_that_no_run_meets_makes_the_sweep_idle() {
    assert_eq!(run(sound, "sweep tests/scenarios/idle.toml --seeds 0..3"), Exit::Idle);
    assert_eq!(run(sound, "run tests/scenarios/idle.toml"), Exit::Fine);
}

#[test]
fn defect_is_part_of_the_key_and_of_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let sweep = |name: &str, set: &str| {
        let out = dir.path().join(name);
        run(
            sound,
            &format!("sweep tests/scenarios/one-leader.toml --seeds 6..7 {set} --out {}", out.display()),
        );
        let key = records(&out)[0]["key"].as_str().unwrap().to_owned();
        (fs::read_to_string(out.join("failures").join(&key).join("command")).unwrap(), key)
    };
    let (plain, key) = sweep("a", "");
    let (set, other) = sweep("b", "--set defect=controller-unfenced");
    assert_ne!(key, other);
    assert_eq!(set.trim(), format!("{} --set defect=controller-unfenced", plain.trim()));
}

#[test]
fn panic_is_internal_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let exit = run(
        panicking,
        &format!("sweep tests/scenarios/one-leader.toml --seeds 0..6 --out {}", dir.path().display()),
    );
    assert_eq!(exit, Exit::Internal);
    let failure = fs::read_dir(dir.path().join("failures")).unwrap().next().unwrap().unwrap().path();
    let explanation = fs::read_to_string(failure.join("explanation.txt")).unwrap();
    assert!(explanation.contains("index out of bounds"), "{explanation}");
    assert_eq!(
        fs::read_to_string(failure.join("command")).unwrap(),
        "shardarium run tests/scenarios/one-leader.toml --seed 4\n"
    );
    let plan = failure.join("plan.json");
    assert_eq!(run(panicking, &format!("replay {}", plan.display())), Exit::Internal);
    assert_eq!(run(sound, &format!("replay {}", plan.display())), Exit::Fine);
    let trace = failure.join("trace.ndjson");
    assert_eq!(run(sound, &format!("replay {}", trace.display())), Exit::Fine);
}

#[test]
fn doubled_run_that_differs_keeps_both_traces() {
    let dir = tempfile::tempdir().unwrap();
    let sweep = format!(
        "sweep tests/scenarios/one-leader.toml --seeds 0..3 --double 1 --max-fail 1 --out {}",
        dir.path().display()
    );
    assert_eq!(run(wavering, &sweep), Exit::Internal);
    let failure = fs::read_dir(dir.path().join("failures")).unwrap().next().unwrap().unwrap().path();
    for file in ["trace.ndjson", "trace-second.ndjson"] {
        assert!(failure.join(file).is_file(), "{file}");
    }
    let explanation = fs::read_to_string(failure.join("explanation.txt")).unwrap();
    assert!(explanation.contains("differ at event 2"), "{explanation}");
    assert_eq!(run(wavering, "sweep tests/scenarios/one-leader.toml --seeds 0..3"), Exit::Fine);
}

#[test]
fn enough_failures_stop_the_sweep_at_the_same_run_every_time() {
    let dir = tempfile::tempdir().unwrap();
    for jobs in [1, 3, 8] {
        let out = dir.path().join(jobs.to_string());
        let sweep = format!(
            "sweep tests/scenarios/one-leader.toml --seeds 0..40 --max-fail 3 --jobs {jobs} --out {}",
            out.display()
        );
        assert_eq!(run(panicking, &sweep), Exit::Internal);
        assert_eq!(seeds(&out), (0..10).collect());
        assert_eq!(fs::read_dir(out.join("failures")).unwrap().count(), 3);
    }
}

#[test]
fn sweep_out_of_time_says_so() {
    assert_eq!(run(sound, "sweep tests/scenarios/one-leader.toml --seeds 0..6 --for 0s"), Exit::Unfinished);
}

#[test]
fn trace_of_a_panicked_run_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let line = format!("run tests/scenarios/one-leader.toml --seed 4 --trace {}", trace.display());
    assert_eq!(run(panicking, &line), Exit::Internal);
    assert!(trace.is_file());
}

#[test]
fn results_of_an_earlier_sweep_give_way() {
    let dir = tempfile::tempdir().unwrap();
    let sweep = |machine, seeds| {
        run(
            machine,
            &format!("sweep tests/scenarios/one-leader.toml --seeds {seeds} --out {}", dir.path().display()),
        )
    };
    assert_eq!(sweep(panicking, "4..5"), Exit::Internal);
    assert_eq!(sweep(sound, "0..3"), Exit::Fine);
    assert_eq!(fs::read_dir(dir.path().join("failures")).unwrap().count(), 0);
    assert_eq!(seeds(dir.path()), (0..3).collect());
}
