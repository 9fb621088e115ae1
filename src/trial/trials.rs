//! Trials — decides how a scenario is tried over many seeds from one's own test. It never judges.

use std::{fmt::Write as _, future::Future, thread};

use super::{Standing, Trial};
use crate::{
    check::law::{Law, judge_by},
    defect::Defect,
    report::explain,
    scenario::{builtin, check::Vocabulary, format::Scenario, read::read},
    search::allocation::{Allocator, AllocatorFactory},
    sim::{self, Extensions, RunError},
    sweep::{cores, seeds::Seeds},
    workload::guest::{Cluster, WorkloadFactory},
};

/// The variable that says other seeds: `SHARDARIUM_SEEDS=7..8 cargo test NAME` does one run again.
pub const SEEDS: &str = "SHARDARIUM_SEEDS";

/// A scenario, seeds, and what of one's own goes into each run.
///
/// # Examples
///
/// An allocator, a law and a workload of one's own over four seeds:
///
/// ```
/// use shardarium::{
///     check::{law::{Law, Monitor}, verdict::{Judged, broken}},
///     event::{Event, EventKind},
///     search::allocation::LeastLoaded,
///     trial::Trials,
/// };
///
/// /// Watches for a second controller.
/// #[derive(Default)]
/// struct OneController(u32);
///
/// impl Monitor for OneController {
///     fn observe(&mut self, event: &Event) -> Judged {
///         self.0 += u32::from(matches!(event.kind, EventKind::ControllerElected { .. }));
///         if self.0 > 1 { broken(event, "a second controller") } else { Ok(()) }
///     }
/// }
///
/// Trials::of("quiet", "title = \"Quiet\"\nduration = \"5s\"\n[[indices]]\nname = \"notes\"\n")
///     .seeds(0..4)
///     .allocator(LeastLoaded::default)
///     .law(Law {
///         name: "mine.one-controller",
///         sentence: "In a quiet cluster there is one controller.",
///         source: "my service's promise",
///         monitor: || Box::new(OneController::default()),
///     })
///     .workload(|cluster| async move {
///         let node = cluster.nodes()[0];
///         while !cluster.is_over() {
///             let _ = cluster.index(node, "notes", "one", r#"{"body":"ledger"}"#).await;
///             let _ = cluster.get(node, "notes", "one").await;
///             cluster.sleep(std::time::Duration::from_millis(300)).await;
///         }
///     })
///     .assert_holds();
/// ```
#[derive(Debug, Clone)]
pub struct Trials {
    scenario: Scenario,
    seeds: Vec<u64>,
    extensions: Extensions,
    laws: Vec<Law>,
}

impl Trials {
    /// Trials of a scenario's text; `file` is for messages only. Seeds 0 to 9, unless others are given.
    ///
    /// # Panics
    ///
    /// If the text is no sound scenario, with every reason and its line.
    #[track_caller]
    pub fn of(file: &str, text: &str) -> Self {
        match read(file, text, &Vocabulary::current()) {
            Ok(scenario) => Self::of_scenario(scenario),
            Err(problems) => panic!("the scenario cannot be run\n{problems}"),
        }
    }

    /// Trials of a scenario that was built in code, or generated.
    pub fn of_scenario(scenario: Scenario) -> Self {
        Self { scenario, seeds: (0..10).collect(), extensions: Extensions::default(), laws: Vec::new() }
    }

    /// Trials of a built-in scenario.
    ///
    /// # Panics
    ///
    /// If there is none of this name.
    #[track_caller]
    pub fn builtin(name: &str) -> Self {
        let builtin = builtin::named(name);
        Self::of_scenario(builtin.unwrap_or_else(|| panic!("there is no scenario `{name}`")).scenario())
    }

    /// Runs with these seeds.
    #[must_use]
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = u64>) -> Self {
        self.seeds = seeds.into_iter().collect();
        self
    }

    /// Copies go where this allocator wants them.
    #[must_use]
    pub fn allocator<A: Allocator + 'static>(mut self, make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        self.extensions.allocator = Some(AllocatorFactory::new(make));
        self
    }

    /// This asks as well, beside the clients of the scenario.
    #[must_use]
    pub fn workload<F: Future<Output = ()> + 'static>(
        mut self,
        workload: impl Fn(Cluster) -> F + Send + Sync + 'static,
    ) -> Self {
        self.extensions.workload = Some(WorkloadFactory::new(workload));
        self
    }

    /// This must hold as well.
    #[must_use]
    pub fn law(mut self, law: Law) -> Self {
        self.laws.push(law);
        self
    }

    /// A historic bug is switched on.
    #[must_use]
    pub fn defect(mut self, defect: Defect) -> Self {
        self.scenario.defects.push(defect);
        self
    }

    /// The trial of one seed.
    ///
    /// # Errors
    ///
    /// If something panicked that is not being tested.
    pub fn run(&self, seed: u64) -> Result<Trial, RunError> {
        let plan = self.scenario.plan(seed);
        let run = sim::run_with(&plan, self.extensions.clone())?;
        let mut trial = Trial::of(&plan, run);
        trial.judgements.extend(judge_by(&trial.run.events, &self.laws));
        Ok(trial)
    }

    /// The first seed, in their order, whose run breaks a law or cannot be decided, or panics. Runs go side by side.
    pub fn first_failure(&self) -> Option<(u64, Result<Trial, RunError>)> {
        let wrong = |seed: u64| {
            let trial = self.run(seed);
            let holds = trial.as_ref().is_ok_and(|trial| trial.standing() == Standing::Holds);
            (!holds).then_some((seed, trial))
        };
        let seeds = self.seeds_to_run();
        seeds.chunks(cores().get()).find_map(|some| {
            thread::scope(|scope| {
                let runs: Vec<_> = some.iter().map(|seed| scope.spawn(|| wrong(*seed))).collect();
                let ended = runs.into_iter().map(|run| run.join().expect("panics inside a run are caught"));
                ended.collect::<Vec<_>>().into_iter().flatten().next()
            })
        })
    }

    /// Passes if every law holds with every seed.
    ///
    /// # Panics
    ///
    /// With the explanation and the command that does the failing run again.
    #[track_caller]
    pub fn assert_holds(&self) {
        let Some((seed, trial)) = self.first_failure() else { return };
        let mut message = match trial {
            Ok(trial) => explain::plain_page(&trial, None),
            Err(error) => format!("{}, seed {seed}: {error}\n", self.scenario.title),
        };
        let _ = writeln!(message, "again: {}", again(seed));
        panic!("{message}");
    }

    #[expect(clippy::disallowed_methods, reason = "which of the seeds are run, not what happens in one")]
    fn seeds_to_run(&self) -> Vec<u64> {
        match std::env::var(SEEDS).ok().and_then(|text| text.parse().ok()) {
            Some(Seeds(seeds)) => seeds.collect(),
            None => self.seeds.clone(),
        }
    }
}

/// The command that runs the test of this thread with one seed.
fn again(seed: u64) -> String {
    let thread = thread::current();
    let test = thread.name().filter(|name| *name != "main").unwrap_or_default();
    let end = u128::from(seed) + 1;
    format!("{SEEDS}={seed}..{end} cargo test {test}").trim_end().to_owned()
}
