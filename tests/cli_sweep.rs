//! A sweep is a pure function of its arguments: same flags, same records, however many threads; and its exit
//! code says what came of it. The machine here is a fake one, so that every ending can be had.

use std::{collections::BTreeSet, ffi::OsString, fs, path::Path, time::Duration};

use shardarium::{
    cli::{Exit, main_with},
    event::{Event, EventKind, Fingerprint},
    name::{Epoch, HostId, SimTime, Term},
    scenario::plan::Plan,
    sim::{EarlyEnd, Figures, Run, RunError},
    trial::Machine,
};

type Fake = fn(&Plan, Option<Duration>) -> Result<Run, RunError>;

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
        allocator: "balanced".into(),
    };
    let mut kinds = vec![(None, started)];
    for server in 1..=leaders(plan) {
        let kind = EventKind::LeaderEstablished { epoch: Epoch(1), history: vec![] };
        kinds.push((Some(HostId::zookeeper(server)), kind));
    }
    kinds.push((None, EventKind::RunEnded));
    let event = |(seq, (host, kind)): (u64, _)| Event { seq, at: SimTime(seq * 1_000), host, kind };
    (0..).zip(kinds).map(event).collect()
}

/// Every seventh seed has two leaders in one epoch, and so has any with a defect.
fn leaders(plan: &Plan) -> u16 {
    if plan.seed % 7 == 6 || !plan.defects.0.is_empty() { 2 } else { 1 }
}

fn recorded(events: Vec<Event>) -> Run {
    let mut fingerprint = Fingerprint::default();
    events.iter().for_each(|event| fingerprint.add(event));
    let figures = Figures {
        events: events.len() as u64,
        messages: 3,
        simulated: Duration::from_secs(60),
        wall: Duration::from_millis(100),
        cpu: None,
    };
    Run { events, fingerprint: fingerprint.value(), figures, loose_dice: Vec::new() }
}

fn sound(plan: &Plan, _: Option<Duration>) -> Result<Run, RunError> {
    Ok(recorded(events(plan)))
}

/// Every fifth seed panics.
fn panicking(plan: &Plan, most: Option<Duration>) -> Result<Run, RunError> {
    if plan.seed % 5 == 4 {
        let message = "index out of bounds".into();
        let (ending, at) = (EarlyEnd::Panicked, Duration::from_secs(3));
        return Err(RunError { ending, at, message, events: events(plan) });
    }
    sound(plan, most)
}

/// No two runs are alike.
fn wavering(plan: &Plan, _: Option<Duration>) -> Result<Run, RunError> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let mut events = events(plan);
    let last = events.last_mut().unwrap();
    last.at = SimTime(last.at.0 + RUNS.fetch_add(1, Ordering::Relaxed));
    Ok(recorded(events))
}

fn run(machine: Fake, line: &str) -> Exit {
    let arguments = line.split_whitespace().map(OsString::from);
    main_with(
        [OsString::from("shardarium")].into_iter().chain(arguments),
        Machine { run: machine, run_wall_max: None },
    )
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
    assert_eq!(run(sound, "sweep tests/scenarios/one-leader.toml --seeds 5..5"), Exit::Nothing);
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
    // More runs than memory has room for: they are not written down before they are done.
    for seeds in ["0..6", "0..99999999999999", "1..18446744073709551615"] {
        let sweep = format!("sweep tests/scenarios/one-leader.toml --seeds {seeds} --for 0s");
        assert_eq!(run(sound, &sweep), Exit::Unfinished);
    }
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
fn results_of_the_same_sweep_are_replaced_and_others_moved_aside() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("out");
    let failures = |dir: &Path| fs::read_dir(dir.join("failures")).unwrap().count();
    assert_eq!(sweep_into(panicking, &dir, "--seeds 4..5"), Exit::Internal);
    assert_eq!(sweep_into(panicking, &dir, "--seeds 4..5 --jobs 1"), Exit::Internal);
    assert_eq!((failures(&dir), fs::read_dir(root.path()).unwrap().count()), (1, 1));
    assert_eq!(sweep_into(sound, &dir, "--seeds 0..3"), Exit::Fine);
    assert_eq!((failures(&dir), seeds(&dir)), (0, (0..3).collect()));
    let first = root.path().join("out.1");
    assert_eq!((failures(&first), seeds(&first)), (1, [4].into()));
    assert_eq!(sweep_into(sound, &dir, "--seeds 0..2"), Exit::Fine);
    assert_eq!(seeds(&root.path().join("out.2")), (0..3).collect());
}

fn sweep_into(machine: Fake, dir: &Path, rest: &str) -> Exit {
    run(machine, &format!("sweep tests/scenarios/one-leader.toml --out {} {rest}", dir.display()))
}

fn bytes(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("runs.ndjson")).unwrap()
}

/// A directory as a kill would have left it: the first records in the order in which they ended, the last of them
/// torn, a file that was being written, and a manifest that knows no end.
fn killed(whole: &Path, dir: &Path, lines: usize) {
    fs::create_dir_all(dir.join("failures/0123456789abcdef")).unwrap();
    fs::write(dir.join(".shardarium-x"), "half").unwrap();
    let manifest = fs::read_to_string(whole.join("manifest.json")).unwrap();
    fs::write(dir.join("manifest.json"), manifest.replace("\"complete\"", "null")).unwrap();
    let text = fs::read_to_string(whole.join("runs.ndjson")).unwrap();
    let kept: Vec<&str> = text.lines().rev().take(lines).collect();
    fs::write(dir.join("runs.ndjson"), format!("{}\n{}", kept.join("\n"), "{\"key\":\"0012")).unwrap();
}

#[test]
fn resumed_sweep_equals_an_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    assert_eq!(sweep_into(sound, &whole, "--seeds 0..30"), Exit::Broken);
    killed(&whole, &broken, 12);
    // A run that was done before is not done again: this machine would panic in some of them.
    let known: BTreeSet<u64> = {
        let text = fs::read_to_string(broken.join("runs.ndjson")).unwrap();
        let seeds = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        seeds.map(|record| record["seed"].as_u64().unwrap()).collect()
    };
    assert_eq!(known.len(), 12);
    assert_eq!(sweep_into(sound, &broken, "--seeds 0..30 --resume"), Exit::Broken);
    assert_eq!(bytes(&whole), bytes(&broken));
    let names = |dir: &Path| {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&broken), names(&whole));
    let timed = fs::read_to_string(broken.join("timing.ndjson")).unwrap();
    assert_eq!(timed.lines().count(), 30 - 12);
}

#[test]
fn resumed_sweep_does_no_run_twice() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static RUNS: AtomicU64 = AtomicU64::new(0);
    fn counting(plan: &Plan, most: Option<Duration>) -> Result<Run, RunError> {
        RUNS.fetch_add(1, Ordering::Relaxed);
        sound(plan, most)
    }
    let dir = tempfile::tempdir().unwrap();
    sweep_into(counting, dir.path(), "--seeds 0..5");
    let before = bytes(dir.path());
    assert_eq!(sweep_into(counting, dir.path(), "--seeds 0..5 --resume"), Exit::Fine);
    assert_eq!((RUNS.load(Ordering::Relaxed), bytes(dir.path())), (5 + 1, before), "and the canary once");
}

#[test]
fn another_sweep_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    sweep_into(sound, dir.path(), "--seeds 0..5");
    let before = bytes(dir.path());
    assert_eq!(sweep_into(sound, dir.path(), "--seeds 0..6 --resume"), Exit::Usage);
    assert_eq!(bytes(dir.path()), before);
    assert_eq!(run(sound, "sweep tests/scenarios/one-leader.toml --seeds 0..5 --resume"), Exit::Usage);
}

#[test]
fn shards_merged_equal_the_whole_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    sweep_into(sound, &at("whole"), "--seeds 0..30");
    for number in 1..=3 {
        sweep_into(sound, &at(&number.to_string()), &format!("--seeds 0..30 --partition {number}/3"));
    }
    let merge = |dirs: &[&str], out: &str| {
        let dirs: Vec<String> = dirs.iter().map(|name| at(name).display().to_string()).collect();
        run(sound, &format!("merge {} --out {}", dirs.join(" "), at(out).display()))
    };
    assert_eq!(merge(&["1", "2", "3"], "there"), Exit::Broken);
    assert_eq!(merge(&["3", "1", "2", "1"], "back"), Exit::Broken);
    assert_eq!(merge(&["there", "2"], "there"), Exit::Broken);
    for name in ["there", "back"] {
        assert_eq!(bytes(&at(name)), bytes(&at("whole")));
        let failures = |name: &str| {
            let entries = fs::read_dir(at(name).join("failures")).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
        };
        assert_eq!(failures(name), failures("whole"));
    }
    let manifest = |name: &str| fs::read_to_string(at(name).join("manifest.json")).unwrap();
    assert_eq!(manifest("there"), manifest("back"));
}

#[test]
fn goal_that_one_shard_meets_is_met_by_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let sweep = |name: &str, seeds: &str| {
        let out = at(name);
        run(restless, &format!("sweep tests/scenarios/idle.toml --seeds {seeds} --out {}", out.display()))
    };
    assert_eq!((sweep("calm", "1..4"), sweep("more", "5..8")), (Exit::Idle, Exit::Idle));
    let merge = |other: &str| {
        let line =
            format!("merge {} {} --out {}", at("calm").display(), at(other).display(), at("both").display());
        run(sound, &line)
    };
    assert_eq!(merge("more"), Exit::Idle);
    assert_eq!(sweep("busy", "4..5"), Exit::Fine);
    assert_eq!(merge("busy"), Exit::Fine);
    assert_eq!(seeds(&at("both.1")), [1, 2, 3, 5, 6, 7].into(), "what is not in the union is kept");
    assert_eq!(merge("busy"), Exit::Fine);
    assert!(!at("both.2").exists());
}

/// Every fourth seed meets a goal.
fn restless(plan: &Plan, _: Option<Duration>) -> Result<Run, RunError> {
    let mut events = events(&Plan { seed: 0, ..plan.clone() });
    if plan.seed.is_multiple_of(4) {
        let last = events.pop().unwrap();
        let kind = EventKind::ResyncCompleted { shard: "articles/0".parse().unwrap(), term: Term(2) };
        events.push(Event { host: Some(HostId::search(1)), kind, ..last.clone() });
        events.push(Event { seq: last.seq + 1, ..last });
    }
    Ok(recorded(events))
}

#[test]
fn run_with_two_fingerprints_is_internal_and_leaves_both_directories() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    sweep_into(wavering, &at("one"), "--seeds 0..3");
    sweep_into(wavering, &at("two"), "--seeds 0..3");
    let before = (bytes(&at("one")), bytes(&at("two")));
    let line =
        format!("merge {} {} --out {}", at("one").display(), at("two").display(), at("both").display());
    assert_eq!(run(sound, &line), Exit::Internal);
    assert_eq!((bytes(&at("one")), bytes(&at("two"))), before);
    assert!(!at("both").exists());
}

#[test]
fn sweep_that_was_killed_is_unfinished_after_the_merge() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    sweep_into(sound, &at("whole"), "--seeds 0..5");
    killed(&at("whole"), &at("broken"), 3);
    let line = format!("merge {} --out {}", at("broken").display(), at("merged").display());
    assert_eq!(run(sound, &line), Exit::Unfinished);
    assert_eq!(seeds(&at("merged")).len(), 3);
    assert_eq!(
        run(sound, &format!("merge {} --out {}", dir.path().display(), at("x").display())),
        Exit::Usage
    );
}

#[test]
fn run_that_takes_too_long_is_given_up_and_done_again_later() {
    fn slow(plan: &Plan, most: Option<Duration>) -> Result<Run, RunError> {
        match most {
            Some(at) if plan.seed == 2 => {
                let (ending, message) = (EarlyEnd::GivenUp, "it took too long".into());
                Err(RunError { ending, at, message, events: events(plan) })
            }
            _ => sound(plan, most),
        }
    }
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(sweep_into(slow, dir.path(), "--seeds 0..5 --time-limit 500ms"), Exit::Unfinished);
    assert_eq!(seeds(dir.path()), [0, 1, 3, 4].into());
    assert_eq!(sweep_into(sound, dir.path(), "--seeds 0..5 --time-limit 500ms --resume"), Exit::Fine);
    assert_eq!(seeds(dir.path()), (0..5).collect());
}

#[test]
fn stored_failures_are_judged_again() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(sweep_into(sound, dir.path(), "--seeds 0..14"), Exit::Broken);
    assert_eq!(run(sound, &format!("check {}", dir.path().display())), Exit::Broken);
    assert_eq!(run(sound, &format!("check {} --law session.expires", dir.path().display())), Exit::Usage);
    assert_eq!(
        run(sound, &format!("check {} --law ensemble.settles", dir.path().display())),
        Exit::Undecided
    );
    let failure = fs::read_dir(dir.path().join("failures")).unwrap().next().unwrap().unwrap().path();
    fs::write(failure.join("trace.ndjson"), "torn").unwrap();
    assert_eq!(run(sound, &format!("check {}", dir.path().display())), Exit::Usage);
}

#[test]
fn every_point_of_a_grid_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let set = "--set zookeeper.session_timeout=2s,4s --set clocks.drift_max_ppm=0,50,100";
    assert_eq!(sweep_into(sound, dir.path(), &format!("--seeds 0..3 {set}")), Exit::Fine);
    let records = records(dir.path());
    let points: BTreeSet<String> =
        records.iter().map(|record| record["set"].as_str().unwrap().to_owned()).collect();
    assert_eq!((records.len(), points.len()), (18, 6));
    assert!(points.contains("zookeeper.session_timeout=4s, clocks.drift_max_ppm=50"), "{points:?}");
    for bad in
        ["cluster.sesion_timeout=2s", "cluster.session_timeout=2", "workloads.3.index=a", "defect=none"]
    {
        assert_eq!(sweep_into(sound, dir.path(), &format!("--seeds 0..3 --set {bad}")), Exit::Usage, "{bad}");
    }
    let one = "run tests/scenarios/one-leader.toml --set clocks.drift_max_ppm=";
    assert_eq!(run(sound, &format!("{one}50")), Exit::Fine);
    assert_eq!(run(sound, &format!("{one}50,100")), Exit::Usage);
}

#[test]
fn shard_that_nothing_names_is_refused() {
    let sweep = "sweep tests/scenarios/one-leader.toml --seeds 0..3";
    assert_eq!(run(sound, &format!("{sweep} --of 3")), Exit::Usage);
    assert_eq!(run(sound, &format!("{sweep} --partition 1/3 --of 3")), Exit::Usage);
}

/// Sees no defect.
fn blind(plan: &Plan, most: Option<Duration>) -> Result<Run, RunError> {
    sound(&Plan { defects: Default::default(), ..plan.clone() }, most)
}

fn manifest(dir: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(dir.join("manifest.json")).unwrap()).unwrap()
}

/// A scenario judged by one law, which has a canary.
fn with_canary(dir: &Path) -> String {
    let file = dir.join("mine.toml");
    let text = fs::read_to_string("tests/scenarios/one-leader.toml").unwrap();
    fs::write(&file, format!("{text}\n[canary]\ndefect = \"no-resync\"\nseed = 12\n")).unwrap();
    file.display().to_string()
}

#[test]
fn canary_that_no_law_notices_is_internal_until_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let [out, both] = ["out", "both"].map(|name| dir.path().join(name));
    let sweep = format!("sweep {} --seeds 0..3 --out {}", with_canary(dir.path()), out.display());
    assert_eq!(run(blind, &sweep), Exit::Internal);
    assert_eq!(manifest(&out)["canaries"][0]["law"], serde_json::Value::Null);
    assert!(records(&out).is_empty());
    let merge = format!("merge {} --out {}", out.display(), both.display());
    assert_eq!(run(sound, &merge), Exit::Internal);
    assert_eq!(run(sound, &format!("{sweep} --resume")), Exit::Fine);
    assert_eq!(manifest(&out)["canaries"][0]["law"], "zab.one-leader");
    assert_eq!(run(sound, &merge), Exit::Fine);
}

#[test]
fn canary_that_a_scenario_names_is_run_as_its_file_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (with_canary(dir.path()), dir.path().join("out"));
    let sweep = |set: &str| {
        let _ = fs::remove_dir_all(&out);
        let exit = run(sound, &format!("sweep {file} --seeds 0..3 {set} --out {}", out.display()));
        (exit, manifest(&out)["canaries"].as_array().unwrap().len())
    };
    assert_eq!(sweep("--set clocks.drift_max_ppm=0,50"), (Exit::Fine, 1));
    let canary = &manifest(&out)["canaries"][0];
    assert_eq!((&canary["defect"], &canary["seed"]), (&"no-resync".into(), &12.into()));
    assert_eq!(sweep("--set defect=no-resync"), (Exit::Broken, 0), "it is one itself");
    assert_eq!(sweep("--partition 4/4"), (Exit::Nothing, 0));
}

#[test]
fn sweep_without_a_canary_of_its_own_has_the_built_in_one_beside_its_runs() {
    let dir = tempfile::tempdir().unwrap();
    sweep_into(sound, dir.path(), "--seeds 0..4");
    assert_eq!(seeds(dir.path()), (0..4).collect());
    assert_eq!(manifest(dir.path())["canaries"][0]["scenario"], "zk-uncommitted-tail");
}
