//! Trials — decides what becomes of a plan: it is run, and the record is judged. It never shows or stores
//! anything.
//!
//! This is the room to call from one's own tests: [`assert_holds`] for a scenario over some seeds, [`Trials`] with an
//! allocator, a law or a workload of one's own, [`run`] for one plan and a look at its record.

mod trials;

use std::time::Duration;

pub use self::trials::{SEEDS, Trials};
use crate::{
    check::{
        goal, law,
        verdict::{Judgement, Verdict},
    },
    event::Event,
    scenario::plan::Plan,
    sim::{self, Extensions, Run, RunError},
};

/// A promise as reports show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Its name.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub sentence: &'static str,
    /// What makes it binding; empty if nothing does, as for a goal.
    pub source: &'static str,
    /// How it is kept.
    pub kind: law::Kind,
}

/// What runs a plan. A field, so that orchestration can be tested without a world.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Runs a plan to its end, or gives it up after so much wall time.
    pub run: fn(&Plan, Option<Duration>) -> Result<Run, RunError>,
    /// How much wall time a run may take.
    pub run_wall_max: Option<Duration>,
}

impl Default for Machine {
    fn default() -> Self {
        let run = |plan: &Plan, most| sim::run_within(plan, Extensions::default(), most);
        Self { run, run_wall_max: None }
    }
}

/// A plan, what came of it, and what the laws say.
#[derive(Debug, Clone)]
pub struct Trial {
    /// What was run.
    pub plan: Plan,
    /// What happened.
    pub run: Run,
    /// Each law's verdict, in the order of the table of laws.
    pub judgements: Vec<Judgement>,
    /// Goals that this run met.
    pub goals: Vec<&'static str>,
}

/// The sum of all verdicts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Every law holds.
    Holds,
    /// No law is broken, but a checker's budget ran out.
    Undecided,
    /// A law is broken.
    Broken,
}

impl Standing {
    /// The word for reports and records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "pass",
            Self::Undecided => "unknown",
            Self::Broken => "fail",
        }
    }

    /// The worst of these verdicts.
    pub fn of(judgements: &[Judgement]) -> Self {
        let one = |judgement: &Judgement| match judgement.verdict {
            Verdict::Pass => Self::Holds,
            Verdict::Unknown { .. } => Self::Undecided,
            Verdict::Fail { .. } => Self::Broken,
        };
        judgements.iter().map(one).max().unwrap_or(Self::Holds)
    }
}

/// Runs a scenario over some seeds; passes if every law holds in each run. For use in a test.
///
/// `file` is for messages only; `text` is the scenario.
///
/// # Panics
///
/// If the scenario cannot be read (with every reason and its line), if a law is broken or undecided (with
/// the seed, the place and the reason), or if the tool itself is at fault.
///
/// # Examples
///
/// ```no_run
/// let scenario = r#"
///     title = "A node is lost"
///     duration = "30s"
///
///     [[indices]]
///     name = "articles"
///
///     [[workloads]]
///     index = "articles"
///     writes_per_second = 20.0
///
///     [[faults]]
///     at = "10s"
///     crash = "primary(articles/0)"
///     lasts = "8s"
/// "#;
/// shardarium::trial::assert_holds("lost-node", scenario, 0..20);
/// ```
#[track_caller]
pub fn assert_holds(file: &str, text: &str, seeds: impl IntoIterator<Item = u64>) {
    Trials::of(file, text).seeds(seeds).assert_holds();
}

/// Runs a plan and judges it by the laws it names (all, if it names none).
///
/// # Errors
///
/// If something panicked that is not being tested.
pub fn run(plan: &Plan) -> Result<Trial, RunError> {
    Machine::default().trial(plan)
}

/// The same with something of one's own in it, such as an allocator.
///
/// # Errors
///
/// If something panicked that is not being tested.
///
/// # Examples
///
/// ```
/// use shardarium::{
///     scenario::builtin,
///     search::allocation::{AllocatorFactory, LeastLoaded},
///     sim::Extensions,
///     trial::run_with,
/// };
///
/// let plan = builtin::named("balance").expect("a built-in scenario").scenario().plan(7);
/// let allocator = Some(AllocatorFactory::new(LeastLoaded::default));
/// let trial = run_with(&plan, Extensions { allocator, ..Extensions::default() })?;
/// assert!(trial.run.figures.events > 0);
/// # Ok::<(), shardarium::sim::RunError>(())
/// ```
pub fn run_with(plan: &Plan, extensions: Extensions) -> Result<Trial, RunError> {
    sim::run_with(plan, extensions).map(|run| Trial::of(plan, run))
}

impl Machine {
    /// The same machine, which gives up a run that takes longer than this.
    #[must_use]
    pub fn within(self, run_wall_max: Option<Duration>) -> Self {
        Self { run_wall_max, ..self }
    }

    /// Runs a plan.
    ///
    /// # Errors
    ///
    /// If something panicked that is not being tested, or it took too long.
    pub fn run(&self, plan: &Plan) -> Result<Run, RunError> {
        (self.run)(plan, self.run_wall_max)
    }

    /// Runs a plan and judges it.
    ///
    /// # Errors
    ///
    /// If something panicked that is not being tested, or it took too long.
    pub fn trial(&self, plan: &Plan) -> Result<Trial, RunError> {
        self.run(plan).map(|run| Trial::of(plan, run))
    }
}

impl Trial {
    fn of(plan: &Plan, run: Run) -> Self {
        let judgements = judge(&run.events, &plan.expect.laws);
        let goals = goals_met(&run.events);
        Self { plan: plan.clone(), run, judgements, goals }
    }

    /// The sum of all verdicts.
    pub fn standing(&self) -> Standing {
        Standing::of(&self.judgements)
    }

    /// The broken law that shows first in the record, with the place and the reason.
    pub fn first_failure(&self) -> Option<&Judgement> {
        let seq = |judgement: &&Judgement| match judgement.verdict {
            Verdict::Fail { seq, .. } => Some(seq),
            _ => None,
        };
        self.judgements.iter().filter(|judgement| seq(judgement).is_some()).min_by_key(seq)
    }

    /// Passes if every law holds; for use in a test.
    ///
    /// # Panics
    ///
    /// If a law is broken or undecided, with the reason and the seed.
    #[track_caller]
    pub fn assert_holds(&self) {
        assert!(self.standing() == Standing::Holds, "{}", crate::report::explain::plain_page(self, None));
    }
}

/// Judges a record by these laws; none named: by all. Names that no law has are skipped: scenario files are
/// checked when they are read, and a stored trace may name a law of another version.
pub fn judge(events: &[Event], laws: &[String]) -> Vec<Judgement> {
    let known: Vec<String> = laws.iter().filter(|name| law::named(name).is_ok()).cloned().collect();
    law::judge(events, &known).unwrap_or_default()
}

/// Every law there is.
pub fn laws() -> Vec<Promise> {
    let promise = |law: &law::Law| Promise {
        name: law.name,
        sentence: law.sentence,
        source: law.source,
        kind: law.kind(),
    };
    law::LAWS.iter().map(promise).collect()
}

/// Every goal there is.
pub fn goals() -> Vec<Promise> {
    let promise = |goal: &goal::Goal| Promise {
        name: goal.name,
        sentence: goal.sentence,
        source: "",
        kind: law::Kind::Sometimes,
    };
    goal::GOALS.iter().map(promise).collect()
}

/// Goals that this record meets.
pub fn goals_met(events: &[Event]) -> Vec<&'static str> {
    goal::goals_met(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{check::Vocabulary, read::read};

    /// A client leaves a watch; by the defect it is not set again if the client has to come back.
    const WATCH: &str = r#"
        title = "One late answer"
        duration = "20s"
        defects = ["watches-not-set-again"]

        [cluster]
        zookeeper = 1

        [[zookeeper_clients]]
        count = 2
        operations_per_second = 0.0
        keys = 1

        [[zookeeper_operations]]
        client = "client-2"
        number = 0
        at = "3s"
        ask = "get"
        path = "/work/key-0"
        watch = true

        [[zookeeper_operations]]
        client = "client-3"
        number = 0
        at = "14s"
        ask = "set"
        path = "/work/key-0"
    "#;

    fn watched(dice: &str) -> Trial {
        let text = format!("{WATCH}\n[[dice]]\nkey = \"net.delay\"\n{dice}");
        run(&read("late", &text, &Vocabulary::current()).unwrap().plan(3)).unwrap()
    }

    #[test]
    fn one_late_answer_to_a_ping_breaks_what_holds_without_it() {
        let late = watched("at = [\"zk-1\", \"client-2\", 10]\nvalue = \"6s\"");
        assert_eq!(late.first_failure().map(|broken| broken.law.as_str()), Some("watch.none-lost"));
        assert_eq!(late.run.loose_dice, [""; 0]);

        let never = watched("at = [\"zk-1\", \"client-2\", 900]\nvalue = \"6s\"");
        never.assert_holds();
        let told = "[[dice]] 1: net.delay of zk-1, client-2, 900 was never drawn in this run";
        assert_eq!(never.run.loose_dice, [told]);
        let plain = run(&read("plain", WATCH, &Vocabulary::current()).unwrap().plan(3)).unwrap();
        assert_eq!(plain.run.fingerprint, never.run.fingerprint);
    }
}
