//! Shrinking — decides how a plan that breaks a law becomes a smaller one that breaks the same law. It never
//! compares messages or fingerprints: another way to break the law will do.
//!
//! The plan is taken apart as the scenario that it can be written as, with every request listed: whatever it is
//! shrunk to is a file that runs. Each pass proposes smaller scenarios, boldest first; the first one that still
//! breaks the law is gone on with. Proposals are tried side by side and counted in order, so that the result is
//! the same on any number of cores.

mod cluster;
mod items;
mod oracle;
mod plainer;
mod story;
#[cfg(test)]
mod tests;

use std::{num::NonZeroUsize, time::Duration};

use self::oracle::{Candidate, Oracle};
pub use self::story::{file, file_name, story};
use crate::{
    check::{law, verdict::Verdict},
    scenario::{format::Scenario, plan::Plan},
    sim::Run,
    sweep::cores,
    trial::{Machine, Trial},
    workload::arrivals::expand,
};

/// How much a shrinking may cost.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Runs at most.
    pub runs: usize,
    /// Wall time at most: when it is over, the smallest plan so far counts. Without it the result depends on the
    /// plan alone.
    pub wall: Option<Duration>,
    /// Runs at a time.
    pub threads: NonZeroUsize,
}

impl Default for Budget {
    /// Six hundred runs, as many at a time as there are cores.
    fn default() -> Self {
        Self { runs: 600, wall: None, threads: cores() }
    }
}

/// What a shrunk plan still does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// It breaks this law.
    Law(String),
    /// It panics outside what is tested.
    Panic,
}

/// How large a scenario is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Faults, administrative steps and requests.
    pub steps: usize,
    /// Servers, nodes and clients.
    pub hosts: usize,
    /// How long its workload runs.
    pub duration: Duration,
}

impl Size {
    /// The size of a scenario.
    pub fn of(scenario: &Scenario) -> Self {
        let plan = scenario.plan(0);
        Self {
            steps: plan.faults.len()
                + plan.steps.len()
                + plan.operations.len()
                + plan.zookeeper_operations.len(),
            hosts: plan.servers().count() + plan.nodes.len() + plan.clients().len(),
            duration: plan.duration,
        }
    }
}

/// One thing that was made smaller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub what: String,
    /// Runs until then.
    pub runs: usize,
}

/// A smaller plan that breaks the same law.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The plan, as it reads from its file.
    pub plan: Plan,
    /// What it does.
    pub target: Target,
    /// How it came to be.
    pub changes: Vec<Change>,
    /// Size before, every request counted, and after.
    pub sizes: (Size, Size),
    /// Runs that it took, those that confirm the result included.
    pub runs: usize,
    /// Whether the budget sufficed to try everything.
    pub is_complete: bool,
    /// Where and why the law is broken.
    pub broken: Broken,
}

/// How a run broke the law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// When it shows, in simulated time.
    pub at: Duration,
    /// Why.
    pub why: String,
    /// The run's fingerprint; of a panic, none.
    pub fingerprint: Option<u128>,
}

/// Why there is nothing to shrink.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unshrinkable {
    /// The plan does not do it.
    #[error("the plan keeps every law that was asked for")]
    Holds,
    /// There is no such law.
    #[error(transparent)]
    UnknownLaw(#[from] law::UnknownLaw),
    /// The plan breaks the law once, and not again.
    #[error("{0} runs of one plan ended differently: this is no deterministic run")]
    Unstable(usize),
}

/// Runs of the result that must all break the law in the same way.
const CONFIRMATIONS: usize = 3;

/// What a run of `plan` would be shrunk to keep: the law that breaks first among those the plan names, or a panic.
pub fn target(plan: &Plan, machine: Machine) -> Option<Target> {
    match machine.trial(plan) {
        Ok(trial) => target_of(&trial),
        Err(error) => (!error.is_given_up()).then_some(Target::Panic),
    }
}

/// The law that a trial breaks first.
pub fn target_of(trial: &Trial) -> Option<Target> {
    trial.first_failure().map(|judgement| Target::Law(judgement.law.clone()))
}

/// Shrinks a plan that breaks a law.
///
/// # Errors
///
/// If there is no such law, the plan does not break it, or the result does not do so three times in a row.
pub fn shrink(
    plan: &Plan,
    target: &Target,
    budget: &Budget,
    machine: Machine,
) -> Result<Shrunk, Unshrinkable> {
    if let Target::Law(name) = target {
        law::named(name)?;
    }
    let mut scenario = Scenario::from(&expand(plan));
    // A shrunk run need not reach what the whole one was there for.
    scenario.expect.goals.clear();
    let oracle = Oracle::new(target.clone(), *budget, machine);
    let broken = oracle.ask(&scenario).ok_or(Unshrinkable::Holds)?;
    let before = Size::of(&scenario);
    let mut shrinking = Shrinking { scenario, broken, changes: Vec::new(), oracle };
    while shrinking.round() {}
    shrinking.confirmed(before)
}

/// The file of a smaller plan that fails in the same way, found within this wall time on one thread; none if the
/// plan does not fail a second time.
pub fn within(plan: &Plan, target: &Target, wall: Duration, machine: Machine) -> Option<String> {
    let budget = Budget { wall: Some(wall), threads: NonZeroUsize::MIN, ..Budget::default() };
    let shrunk = shrink(plan, target, &budget, machine).ok()?;
    file(&shrunk).ok()
}

/// A shrinking under way.
struct Shrinking {
    scenario: Scenario,
    broken: Broken,
    changes: Vec<Change>,
    oracle: Oracle,
}

type Pass = fn(&Scenario, &Broken) -> Vec<Candidate>;

/// In the order of what each saves the later ones.
const PASSES: [Pass; 5] =
    [plainer::shorter, cluster::fewer_tables, cluster::smaller, plainer::plainer, plainer::rounder];

impl Shrinking {
    /// Every pass once, each until it finds nothing more; whether any of them did.
    fn round(&mut self) -> bool {
        let before = self.changes.len();
        for (nth, pass) in PASSES.iter().enumerate() {
            while self.step(pass(&self.scenario, &self.broken)) {}
            if nth == 1 {
                items::fewer(self);
            }
        }
        self.changes.len() > before && !self.oracle.is_spent()
    }

    /// Goes on with the first of these that still breaks the law.
    fn step(&mut self, candidates: Vec<Candidate>) -> bool {
        self.step_at(candidates).is_some()
    }

    /// The same; which it was.
    fn step_at(&mut self, candidates: impl IntoIterator<Item = Candidate>) -> Option<usize> {
        let (at, candidate, broken) = self.oracle.first(candidates)?;
        self.changes.push(Change { what: candidate.what, runs: self.oracle.runs() });
        (self.scenario, self.broken) = (candidate.scenario, broken);
        Some(at)
    }

    fn confirmed(self, before: Size) -> Result<Shrunk, Unshrinkable> {
        let again = self.oracle.again(&self.scenario, CONFIRMATIONS);
        if again.iter().any(|broken| broken.as_ref() != Some(&self.broken)) {
            return Err(Unshrinkable::Unstable(CONFIRMATIONS));
        }
        Ok(Shrunk {
            plan: self.scenario.plan(self.scenario.seed.unwrap_or_default()),
            target: self.oracle.target().clone(),
            sizes: (before, Size::of(&self.scenario)),
            changes: self.changes,
            runs: self.oracle.runs() + CONFIRMATIONS,
            is_complete: !self.oracle.is_spent(),
            broken: self.broken,
        })
    }
}

impl Broken {
    fn of(run: &Run, verdict: &Verdict) -> Option<Self> {
        let Verdict::Fail { at, why, .. } = verdict else { return None };
        let fingerprint = Some(run.fingerprint);
        Some(Self { at: at.since_start(), why: why.clone(), fingerprint })
    }
}
