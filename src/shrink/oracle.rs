//! The oracle — decides whether a smaller scenario still does what it is to do, within a budget. It never proposes
//! one.

use std::{cell::Cell, thread};

use super::{Broken, Budget, Target};
use crate::{
    scenario::{
        check::{Flaw, Vocabulary, check},
        format::Scenario,
    },
    sweep::Watch,
    trial::{self, Machine},
};

/// A smaller scenario.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) scenario: Scenario,
    /// What was made smaller, for people.
    pub(super) what: String,
}

/// A candidate: a scenario with one change.
pub(super) fn with(
    scenario: &Scenario,
    what: impl Into<String>,
    change: impl FnOnce(&mut Scenario),
) -> Candidate {
    let mut smaller = scenario.clone();
    change(&mut smaller);
    Candidate { scenario: smaller, what: what.into() }
}

/// Runs scenarios and says whether they break the law.
pub(super) struct Oracle {
    target: Target,
    budget: Budget,
    machine: Machine,
    vocabulary: Vocabulary,
    watch: Watch,
    runs: Cell<usize>,
    /// Whether something was left untried.
    spent: Cell<bool>,
}

impl Oracle {
    pub(super) fn new(target: Target, budget: Budget, machine: Machine) -> Self {
        let (runs, spent) = Default::default();
        Self {
            target,
            budget,
            machine,
            vocabulary: Vocabulary::current(),
            watch: Watch::start(),
            runs,
            spent,
        }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Runs so far: those that count. What was tried beside one that was taken costs nothing, else the count
    /// would depend on the number of cores.
    pub(super) fn runs(&self) -> usize {
        self.runs.get()
    }

    /// Whether the budget is spent.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.get()
    }

    /// How this scenario breaks the law, if it does.
    pub(super) fn ask(&self, scenario: &Scenario) -> Option<Broken> {
        self.runs.set(self.runs.get() + 1);
        broken(scenario, &self.target, self.machine)
    }

    /// The same, so many times side by side.
    pub(super) fn again(&self, scenario: &Scenario, times: usize) -> Vec<Option<Broken>> {
        let all = vec![scenario; times];
        all.chunks(self.budget.threads.get()).flat_map(|some| self.side_by_side(some)).collect()
    }

    /// The first of these that can be run and breaks the law, with its place.
    pub(super) fn first(
        &self,
        candidates: impl IntoIterator<Item = Candidate>,
    ) -> Option<(usize, Candidate, Broken)> {
        let sound = candidates.into_iter().enumerate();
        let mut sound = sound.filter_map(|(at, one)| Some((at, self.repaired(one)?)));
        loop {
            let some: Vec<_> = sound.by_ref().take(self.budget.threads.get().min(self.left())).collect();
            if some.is_empty() {
                let is_over = sound.next().is_none();
                self.spent.set(self.spent.get() || !is_over);
                return None;
            }
            let scenarios: Vec<_> = some.iter().map(|(_, one)| &one.scenario).collect();
            let answers = self.side_by_side(&scenarios);
            let found = answers.iter().position(Option::is_some);
            self.runs.set(self.runs.get() + found.map_or(some.len(), |at| at + 1));
            if let Some(found) = found {
                let (at, candidate) = some.into_iter().nth(found)?;
                return answers.into_iter().nth(found)?.map(|broken| (at, candidate, broken));
            }
        }
    }

    fn left(&self) -> usize {
        let is_late = self.budget.wall.is_some_and(|most| self.watch.elapsed() >= most);
        if is_late { 0 } else { self.budget.runs.saturating_sub(self.runs.get()) }
    }

    fn side_by_side(&self, scenarios: &[&Scenario]) -> Vec<Option<Broken>> {
        let (target, machine) = (&self.target, self.machine);
        thread::scope(|scope| {
            let all = scenarios.iter().map(|one| scope.spawn(move || broken(one, target, machine)));
            let all: Vec<_> = all.collect();
            all.into_iter().map(|one| one.join().expect("panics inside a run are caught")).collect()
        })
    }

    /// A candidate without what has lost its sense, such as faults of hosts that are gone; none if it cannot be
    /// run at all.
    fn repaired(&self, mut candidate: Candidate) -> Option<Candidate> {
        for _ in 0..2 {
            let flaws = check(&candidate.scenario, &self.vocabulary);
            if flaws.is_empty() {
                return Some(candidate);
            }
            drop_flawed(&mut candidate.scenario, &flaws);
        }
        None
    }
}

fn broken(scenario: &Scenario, target: &Target, machine: Machine) -> Option<Broken> {
    let outcome = machine.run(&scenario.plan(scenario.seed.unwrap_or_default()));
    match (outcome, target) {
        (Ok(run), Target::Law(law)) => {
            let judgements = trial::judge(&run.events, std::slice::from_ref(law));
            judgements.iter().find_map(|judgement| Broken::of(&run, &judgement.verdict))
        }
        (Err(error), Target::Panic) if !error.is_given_up() => {
            Some(Broken { at: error.at, why: error.message, fingerprint: None })
        }
        _ => None,
    }
}

/// Takes out every fault, step, operation and link that a flaw is about.
fn drop_flawed(scenario: &mut Scenario, flaws: &[Flaw]) {
    let flawed = |table: &str, at: usize| {
        let place = format!("{table}.{at}");
        let is_within = |flaw: &Flaw| {
            flaw.path.strip_prefix(&place).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        flaws.iter().any(is_within)
    };
    keep(&mut scenario.faults, |at| !flawed("faults", at));
    keep(&mut scenario.steps, |at| !flawed("steps", at));
    keep(&mut scenario.operations, |at| !flawed("operations", at));
    keep(&mut scenario.zookeeper_operations, |at| !flawed("zookeeper_operations", at));
    keep(&mut scenario.dice, |at| !flawed("dice", at));
    keep(&mut scenario.links.pairs, |at| !flawed("links.pairs", at));
}

/// Keeps the items at these places.
pub(super) fn keep<T>(list: &mut Vec<T>, mut stays: impl FnMut(usize) -> bool) {
    let mut at = 0;
    list.retain(|_| {
        at += 1;
        stays(at - 1)
    });
}
