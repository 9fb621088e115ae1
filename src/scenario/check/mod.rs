//! Sense — decides whether a well-formed scenario can be run at all. It never reads text or runs anything.
//!
//! Every flaw is found in one go and says where it is, as a path into the file (`faults.2.target`), so that
//! scenarios that were never a file can be checked as well.

mod clients;
mod cluster;
mod dice;
mod faults;
mod operations;
mod place;
mod recipes;
mod settings;
mod steps;
mod volume;
mod work;
mod zookeeper_operations;

use std::{collections::BTreeSet, time::Duration};

use crate::{
    check::{goal, law},
    scenario::{
        format::{Index, Scenario},
        make_plan,
        nearest::{suggestion, suggestion_of},
    },
};

/// The names that a scenario may expect something by.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// Names of laws.
    pub laws: Vec<&'static str>,
    /// Names of goals.
    pub goals: Vec<&'static str>,
}

impl Vocabulary {
    /// The words of this version.
    pub fn current() -> Self {
        Self {
            laws: law::LAWS.iter().map(|law| law.name).collect(),
            goals: goal::GOALS.iter().map(|goal| goal.name).collect(),
        }
    }
}

/// Something in a scenario that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where: keys and indices, joined by dots.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What was probably meant, or what is allowed.
    pub help: String,
    /// Other parts of the file that this judgement relies on, as paths in which `*` is any number: if one
    /// could not be read, this flaw may not be one.
    pub hinges_on: &'static [&'static str],
}

/// Everything that makes no sense in `scenario`, in the order of the file's usual layout.
pub fn check(scenario: &Scenario, vocabulary: &Vocabulary) -> Vec<Flaw> {
    let mut flaws = Flaws::default();
    run(scenario, &mut flaws);
    cluster::check(scenario, &mut flaws);
    work::check(scenario, &mut flaws);
    operations::check(scenario, &mut flaws);
    clients::check(scenario, &mut flaws);
    recipes::check(scenario, &mut flaws);
    zookeeper_operations::check(scenario, &mut flaws);
    faults::check(scenario, &mut flaws);
    steps::check(scenario, &mut flaws);
    dice::check(scenario, &mut flaws);
    volume::check(scenario, &mut flaws);
    expectations(scenario, vocabulary, &mut flaws);
    canary(scenario, &mut flaws);
    flaws.0
}

#[derive(Default)]
struct Flaws(Vec<Flaw>);

impl Flaws {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>, help: impl Into<String>) {
        self.add_if_read(&[], path, message, help);
    }

    /// A flaw that is one only if `hinges_on` could be read.
    fn add_if_read(
        &mut self,
        hinges_on: &'static [&'static str],
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (path, message, help) = (path.into(), message.into(), help.into());
        self.0.push(Flaw { path, message, help, hinges_on });
    }
}

/// The longest run: beyond it, memory for the record of a busy cluster runs out.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

fn run(scenario: &Scenario, flaws: &mut Flaws) {
    if scenario.title.trim().is_empty() {
        flaws.add(
            "title",
            "the scenario has no title",
            "add `title = \"…\"`: what it is about, in a few words",
        );
    }
    if scenario.duration.is_zero() {
        let help = "such as `duration = \"60s\"`: how long the workload runs";
        flaws.add("duration", "the scenario lasts no time: `duration` must be more than zero", help);
    }
    if scenario.duration > DURATION_MAX {
        flaws.add("duration", "the scenario lasts longer than a day", "runs are seconds or minutes long");
    }
}

fn expectations(scenario: &Scenario, vocabulary: &Vocabulary, flaws: &mut Flaws) {
    let lists = [
        ("law", "laws", &scenario.expect.laws, &vocabulary.laws),
        ("goal", "goals", &scenario.expect.goals, &vocabulary.goals),
    ];
    for (noun, key, names, known) in lists {
        for (at, name) in names.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
            let help = suggestion_of(name, known.iter().copied(), key);
            flaws.add(format!("expect.{key}.{at}"), format!("`{name}` is not a {noun}"), help);
        }
    }
}

fn canary(scenario: &Scenario, flaws: &mut Flaws) {
    if scenario.canary.as_ref().is_some_and(|canary| canary.defect.is_none()) {
        let help = "add `defect = \"…\"`: `shardarium list defects` has them";
        flaws.add("canary.defect", "the canary has no defect", help);
    }
}

/// What the number of servers relies on.
const SERVERS: &[&str] = &["cluster.zookeeper", "zookeeper.observers", "zookeeper.spares"];

/// What the number of clients relies on.
const CLIENTS: &[&str] = &["workloads", "zookeeper_clients.*.count", "recipe_clients.*.count"];

/// What the number of search nodes relies on.
const NODES: &[&str] = &["cluster.search", "nodes", "zookeeper_clients", "recipe_clients"];

/// What the zones of search nodes rely on.
const ZONES: &[&str] = &["cluster.search", "cluster.zones", "nodes"];

/// What the names of indices rely on.
const INDICES: &[&str] = &["indices.*.name", "steps.*.create_index.name"];

/// Every index that is there at some time: from the start, or by a step.
fn indices(scenario: &Scenario) -> impl Iterator<Item = &Index> + Clone {
    scenario.indices.iter().chain(scenario.steps.iter().filter_map(|step| step.create_index.as_ref()))
}

/// What was probably meant by the name of an index that there is not.
fn index_meant(scenario: &Scenario, name: &str) -> String {
    let mut names = indices(scenario).map(|index| index.name.as_str()).peekable();
    match names.peek() {
        Some(_) => suggestion(name, names),
        None => format!("add one: `[[indices]]` with `name = \"{name}\"`"),
    }
}

/// How many search nodes there will be.
fn node_count(scenario: &Scenario) -> usize {
    make_plan::nodes(scenario).len()
}

/// How many ZooKeeper servers there will be, members or not.
fn server_count(scenario: &Scenario) -> usize {
    let settings = &scenario.zookeeper;
    [scenario.cluster.zookeeper, settings.observers, settings.spares].map(usize::from).iter().sum()
}

/// How many clients there will be, the operator among them; the administrator cannot be hit.
fn client_count(scenario: &Scenario) -> usize {
    let alone: usize = scenario.zookeeper_clients.iter().map(|clients| usize::from(clients.count)).sum();
    let members: usize = scenario.recipe_clients.iter().map(|clients| usize::from(clients.count)).sum();
    1 + scenario.workloads.len() + alone + members
}

/// The zones that have a search node, sorted.
fn zones(scenario: &Scenario) -> BTreeSet<String> {
    make_plan::nodes(scenario).into_iter().map(|node| node.zone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::format::{Expect, Fault, Index, Workload};

    fn sound() -> Scenario {
        Scenario { title: "a".into(), duration: Duration::from_secs(10), ..Default::default() }
    }

    fn paths(scenario: &Scenario) -> Vec<String> {
        let vocabulary = Vocabulary { laws: vec!["one-leader"], goals: vec!["promotion"] };
        check(scenario, &vocabulary).into_iter().map(|flaw| flaw.path).collect()
    }

    #[test]
    fn least_scenario_is_sound() {
        assert_eq!(paths(&sound()), [""; 0]);
    }

    #[test]
    fn empty_scenario_lacks_title_and_duration() {
        assert_eq!(paths(&Scenario::default()), ["title", "duration"]);
    }

    #[test]
    fn zero_and_eight_servers_are_refused() {
        for zookeeper in [0, 8] {
            let mut scenario = sound();
            scenario.cluster.zookeeper = zookeeper;
            assert_eq!(paths(&scenario), ["cluster.zookeeper"]);
        }
    }

    #[test]
    fn indices_of_one_name_are_refused() {
        let index = Index { name: "articles".into(), ..Default::default() };
        let scenario = Scenario { indices: vec![index.clone(), index], ..sound() };
        assert_eq!(paths(&scenario), ["indices.1.name"]);
    }

    #[test]
    fn replicas_without_nodes_for_them_are_refused() {
        let index = Index { name: "articles".into(), replicas: 3, ..Default::default() };
        assert_eq!(paths(&Scenario { indices: vec![index], ..sound() }), ["indices.0.replicas"]);
    }

    #[test]
    fn workload_on_missing_index_is_refused() {
        let workload = Workload { index: "articles".into(), writes_per_second: 1.0, ..Default::default() };
        assert_eq!(paths(&Scenario { workloads: vec![workload], ..sound() }), ["workloads.0.index"]);
    }

    #[test]
    fn workloads_that_merge_agree_on_fields() {
        let index = Index { name: "articles".into(), ..Default::default() };
        let mut one = Workload { index: "articles".into(), writes_per_second: 1.0, ..Default::default() };
        let other = Workload { fields: true, ..one.clone() };
        let indices = vec![index];
        let apart = Scenario { indices, workloads: vec![one.clone(), other.clone()], ..sound() };
        assert_eq!(paths(&apart), [""; 0]);
        one.write_mix.update = 1.0;
        assert_eq!(paths(&Scenario { workloads: vec![one, other], ..apart }), ["workloads.1.fields"]);
    }

    #[test]
    fn workloads_on_one_index_agree_on_routing() {
        let index = |name: &str| Index { name: name.into(), ..Default::default() };
        let one = Workload { index: "articles".into(), writes_per_second: 1.0, ..Default::default() };
        let mut other = one.clone();
        other.options.routed = 0.5;
        let indices = vec![index("articles"), index("books")];
        let both = Scenario { indices, workloads: vec![one.clone(), other.clone()], ..sound() };
        assert_eq!(paths(&both), ["workloads.1.options.routed"]);
        other.index = "books".into();
        assert_eq!(paths(&Scenario { workloads: vec![one, other], ..both }), [""; 0]);
    }

    #[test]
    fn fault_at_the_end_is_refused() {
        let crash = Some("search-1".to_owned().try_into().unwrap());
        let fault = Fault { at: Some(Duration::from_secs(10)), crash, ..Default::default() };
        assert_eq!(paths(&Scenario { faults: vec![fault], ..sound() }), ["faults.0.at"]);
    }

    #[test]
    fn unknown_law_and_goal_are_refused() {
        let expect = Expect { laws: vec!["one-leeder".into()], goals: vec!["promotion".into(), "x".into()] };
        assert_eq!(paths(&Scenario { expect, ..sound() }), ["expect.laws.0", "expect.goals.1"]);
    }

    #[test]
    fn reroute_names_a_shard_and_one_node_each() {
        let step = |reroute: &str| {
            let text = format!(
                "title = \"a\"\nduration = \"9s\"\n[[indices]]\nname = \"a\"\n[[steps]]\nat = \"1s\"\nreroute = {reroute}\n"
            );
            paths(&toml::from_str(&text).unwrap())
        };
        let moving = |index: &str, shard: u32, to: &str| {
            step(&format!(
                "{{ commands = [{{ move = {{ index = \"{index}\", shard = {shard}, from_node = \"primary(a/0)\", to_node = \"{to}\" }} }}] }}"
            ))
        };
        assert_eq!(moving("a", 0, "search-2"), [""; 0]);
        assert_eq!(step("{ retry_failed = true }"), [""; 0]);
        assert_eq!(step("{ explain = true }"), ["steps.0.reroute"]);
        assert_eq!(moving("b", 0, "search-2"), ["steps.0.reroute.commands.0.move.index"]);
        assert_eq!(moving("a", 1, "search-2"), ["steps.0.reroute.commands.0.move.shard"]);
        for to in ["search", "zk-1", "event-host"] {
            assert_eq!(moving("a", 0, to), ["steps.0.reroute.commands.0.move.to_node"]);
        }
        assert_eq!(moving("a", 0, "search-9"), ["steps.0.reroute.commands.0.move.to_node"]);
    }

    #[test]
    fn disk_fills_by_so_much_if_it_has_a_size() {
        let fault = |more: &str, disks: &str| {
            let text = format!(
                "title = \"a\"\nduration = \"9s\"\n{disks}[[faults]]\nat = \"1s\"\nfill = \"search-1\"\n{more}"
            );
            paths(&toml::from_str(&text).unwrap())
        };
        let (bytes, sized) = ("bytes = \"1mb\"", "[disks]\ncapacity = \"8mb\"\n");
        assert_eq!(fault(bytes, sized), [""; 0]);
        assert_eq!(fault("", sized), ["faults.0.fill"]);
        assert_eq!(fault("bytes = \"0b\"", sized), ["faults.0.fill"]);
        assert_eq!(fault(bytes, ""), ["faults.0.fill"]);
        assert_eq!(fault(bytes, "[[nodes]]\ndisk = \"2mb\"\n"), [""; 0]);
    }
}
