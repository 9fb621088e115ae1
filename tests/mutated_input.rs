//! Mutated scenario files, plans and traces: each is refused with a reason or read as something that can be run; none
//! makes the tool panic, hang or eat memory.

use std::time::Duration;

use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::TestRunner,
};
use serde_json::Value;
use shardarium::{
    report::trace_file,
    scenario::{
        builtin,
        check::Vocabulary,
        generate::{PROFILES, Scenarios},
        plan::Plan,
        read::read,
    },
    sweep::store,
    trial,
    workload::arrivals::expand,
};

/// What text is mutated with: what the format knows, and what numbers, spans and quotes can go wrong by.
const PIECES: [&str; 40] = [
    "0",
    "1",
    "-1",
    "65536",
    "4294967295",
    "18446744073709551615",
    "1e308",
    "nan",
    "inf",
    "true",
    "\"\"",
    "\"1ns\"",
    "\"1d\"",
    "\"7days\"",
    "\"1us\"",
    "\"99999999s\"",
    "\"search-1\"",
    "\"zk-leader\"",
    "\"all\"",
    "\"random(search)\"",
    "\"primary(articles/0)\"",
    "[]",
    "{}",
    "[[faults]]",
    "[[operations]]",
    "[[steps]]",
    "[[workloads]]",
    "[cluster]",
    "\n",
    "=",
    "\"",
    "'",
    "#",
    ".",
    ",",
    "duration",
    "lasts",
    "count",
    "\u{0}",
    "ä",
];

#[derive(Debug, Clone)]
enum Edit {
    /// A piece over a word.
    Replace(Index, &'static str),
    /// A piece somewhere.
    Insert(Index, &'static str),
    /// A line twice.
    Double(Index),
    /// A line gone.
    Drop(Index),
    /// The rest gone.
    Cut(Index),
    /// Two lines change places.
    Swap(Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        6 => (at(), select(PIECES.to_vec())).prop_map(|(at, piece)| Edit::Replace(at, piece)),
        2 => (at(), select(PIECES.to_vec())).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        2 => at().prop_map(Edit::Double),
        2 => at().prop_map(Edit::Drop),
        1 => at().prop_map(Edit::Cut),
        2 => (at(), at()).prop_map(|(one, other)| Edit::Swap(one, other)),
    ]
}

fn edited(text: &str, edits: &[Edit]) -> String {
    edits.iter().fold(text.to_owned(), |text, edit| one_edit(&text, edit))
}

fn one_edit(text: &str, edit: &Edit) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return text.to_owned();
    }
    match edit {
        Edit::Replace(at, piece) => {
            // Values stand behind `=` or `:`, or are words of their own.
            let ends = |char: char| "=:,[]{} \n".contains(char);
            let starts: Vec<usize> = text
                .char_indices()
                .filter(|(at, char)| !ends(*char) && text[..*at].chars().next_back().is_none_or(ends))
                .map(|(at, _)| at)
                .collect();
            let Some(start) = starts.get(at.index(starts.len().max(1))) else { return text.to_owned() };
            let end = text[*start..].find(ends).map_or(text.len(), |length| start + length);
            return format!("{}{piece}{}", &text[..*start], &text[end..]);
        }
        Edit::Insert(at, piece) => {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let at = places[at.index(places.len())];
            return format!("{}{piece}{}", &text[..at], &text[at..]);
        }
        Edit::Double(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at]);
        }
        Edit::Drop(at) => drop(lines.remove(at.index(lines.len()))),
        Edit::Cut(at) => lines.truncate(at.index(lines.len())),
        Edit::Swap(one, other) => {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
        }
    }
    lines.join("\n")
}

/// Whether a run costs a test little.
fn is_tiny(plan: &Plan) -> bool {
    let clients: u32 = plan.zookeeper_clients.iter().map(|one| u32::from(one.count) * one.burst).sum();
    plan.duration < Duration::from_secs(2)
        && plan.nodes.len() + plan.zookeeper.servers.len() < 5
        && plan.workloads.iter().all(|one| one.writes_per_second < 20.0 && one.document_bytes < 10_000)
        && clients < 5
        && shardarium::scenario::settle::settle_bound(plan) < Duration::from_secs(60)
}

/// Reads, plans and lists a text as `run` would. A run of what is tiny ends.
fn takes(text: &str, runs_left: &mut u32) -> bool {
    let Ok(scenario) = read("mutated", text, &Vocabulary::current()) else { return false };
    let plan = scenario.plan(scenario.seed.unwrap_or(1));
    assert_eq!(plan.unsound(&Vocabulary::current()), None, "{text}");
    if *runs_left > 0 && is_tiny(&plan) {
        *runs_left -= 1;
        trial::run(&plan).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    true
}

/// Every built-in scenario, and some generated ones.
fn corpus() -> Vec<String> {
    let built_in = builtin::ALL.iter().map(|one| one.text.to_owned());
    let generated = PROFILES.iter().flat_map(|profile| (0..3).map(|seed| Scenarios::of(profile).at(seed)));
    built_in.chain(generated.map(|one| toml::to_string(&one).unwrap())).collect()
}

fn many(cases: u32, test: impl Fn(&[Edit], &Index) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let strategy = (prop::collection::vec(edit(), 1..6), any::<Index>());
    TestRunner::new(config).run(&strategy, |(edits, which)| test(&edits, &which)).unwrap();
}

#[test]
fn mutated_scenario_is_refused_or_planned() {
    let corpus = corpus();
    let (read, runs) = (std::cell::Cell::new(0), std::cell::Cell::new(5));
    many(7_000, |edits, which| {
        let mut left = runs.get();
        let is_read = takes(&edited(which.get::<String>(&corpus), edits), &mut left);
        runs.set(left);
        read.set(read.get() + u32::from(is_read));
        Ok(())
    });
    assert!(read.get() > 200, "only {} of the mutated files say something", read.get());
}

#[test]
fn mutated_plan_is_refused_or_sound() {
    let plan = |name: &str| builtin::named(name).unwrap().scenario().plan(3);
    let mut plans: Vec<Plan> = ["first-failover", "zk-watch-storm", "recipe-election"].map(plan).into();
    let mut listed = expand(&plans[0]);
    listed.operations.truncate(20);
    plans.push(listed);
    let mut listed = expand(&plans[1]);
    listed.zookeeper_operations.truncate(20);
    plans.push(listed);
    let corpus: Vec<String> = plans.iter().map(|plan| serde_json::to_string_pretty(plan).unwrap()).collect();
    let read = std::cell::Cell::new(0);
    many(3_000, |edits, which| {
        if let Ok(plan) = serde_json::from_str::<Plan>(&edited(which.get::<String>(&corpus), edits)) {
            let _ = plan.unsound(&Vocabulary::current());
            read.set(read.get() + 1);
        }
        Ok(())
    });
    assert!(read.get() > 30, "only {} of the mutated plans are plans", read.get());
}

/// A copy of a value for each object in it, with a key in that object that nobody knows; keys of maps are names.
fn with_unknown_keys(value: &Value) -> Vec<Value> {
    let deeper = |at: &dyn Fn(&mut Value) -> &mut Value, part: &Value| {
        let put = |changed: Value| {
            let mut whole = value.clone();
            *at(&mut whole) = changed;
            whole
        };
        with_unknown_keys(part).into_iter().map(put).collect::<Vec<_>>()
    };
    match value {
        Value::Object(keys) => {
            let mut whole = value.clone();
            whole["unknown"] = Value::Null;
            let maps = ["settings", "attributes", "addresses"];
            let parts = keys.iter().filter(|(key, _)| !maps.contains(&key.as_str()));
            let parts = parts.flat_map(|(key, part)| deeper(&|whole| &mut whole[key], part));
            [whole].into_iter().chain(parts).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(at, part)| deeper(&|whole| &mut whole[at], part)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn unknown_key_anywhere_in_a_plan_is_refused() {
    let built_in = builtin::ALL.iter().map(|one| one.scenario().plan(3));
    let generated = PROFILES.iter().map(|profile| Scenarios::of(profile).at(1).plan(1));
    let mut tried = 0;
    for mut plan in built_in.chain(generated) {
        plan.faults.truncate(12);
        plan.operations.truncate(2);
        plan.zookeeper_operations.truncate(2);
        let value = serde_json::to_value(&plan).unwrap();
        assert!(serde_json::from_value::<Plan>(value.clone()).is_ok_and(|read| read == plan));
        for changed in with_unknown_keys(&value) {
            tried += 1;
            let refused = serde_json::from_value::<Plan>(changed.clone()).is_err();
            assert!(refused, "{}: {changed:#}", plan.title);
        }
    }
    assert!(tried > 5_000, "only {tried} places were tried");
}

#[test]
fn mutated_trace_is_refused_or_judged() {
    let mut scenario = builtin::named("discovery").unwrap().scenario();
    scenario.duration = Duration::from_secs(1);
    scenario.faults.clear();
    scenario.steps.clear();
    let trial = trial::run(&scenario.plan(1)).unwrap();
    let mut bytes = Vec::new();
    let events = &trial.run.events[..trial.run.events.len().min(300)];
    trace_file::write(&mut bytes, &trial.plan, events, store::fingerprint(events)).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(trace_file::read(text.as_bytes()).is_ok(), "the trace is sound before it is mutated");
    many(1_500, |edits, _| {
        // What is read is judged; that the fingerprint no longer fits is told by the reader.
        if let Ok(trace) = trace_file::read(edited(&text, edits).as_bytes()) {
            trial::judge(&trace.events, &[]);
        }
        Ok(())
    });
}
