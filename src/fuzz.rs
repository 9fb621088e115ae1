//! Fuzzing — decides what becomes of random scenarios: each is made from its seed, run and judged; what breaks a law
//! is shrunk. It never decides what a scenario looks like.
//!
//! Cases run side by side and count in the order of their seeds, so that the same seeds give the same findings on
//! any number of cores.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    ops::{ControlFlow, Range},
    time::Duration,
};

use serde::Serialize;

use crate::{
    check::verdict::Verdict,
    defect::Defects,
    scenario::{generate::Scenarios, plan::Plan},
    shrink::{self, Budget, Shrunk, Target, Unshrinkable},
    sweep::{Clerk, Ending, side_by_side},
    trial::{Machine, Standing, Trial},
};

/// Which random scenarios are run, and how.
#[derive(Debug, Clone)]
pub struct Fuzz {
    /// What they look like.
    pub scenarios: Scenarios,
    /// Their seeds.
    pub seeds: Range<u64>,
    /// Historic bugs that are switched on in each.
    pub defects: Defects,
    /// Cases at a time.
    pub threads: NonZeroUsize,
    /// Stop after so many failing cases.
    pub fail_max: Option<NonZeroUsize>,
    /// Start no further case after so much wall time.
    pub wall_max: Option<Duration>,
    /// What the shrinking of one finding may cost; none: findings are not shrunk.
    pub shrinking: Option<Budget>,
}

/// The verdict of a case that took too long.
pub const GIVEN_UP: &str = "given up";

/// One case.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// The seed of the scenario and of its dice.
    pub seed: u64,
    /// `pass`, `fail`, `unknown`; `error` if something panicked that is not being tested; [`GIVEN_UP`].
    pub verdict: &'static str,
    /// The broken law that shows first.
    pub law: Option<String>,
    /// When it shows, in simulated seconds.
    pub when: Option<f64>,
    /// Why.
    pub why: Option<String>,
    /// Events recorded.
    pub events: u64,
    /// Simulated seconds.
    pub simulated: f64,
    /// Goals met.
    pub goals: Vec<&'static str>,
    /// The run's fingerprint, 32 hexadecimal digits; none if it did not come to its end.
    pub fingerprint: Option<String>,
    /// Wall time.
    #[serde(skip)]
    pub wall: Duration,
}

impl Case {
    /// Whether a law is broken or something panicked.
    pub fn is_failure(&self) -> bool {
        matches!(self.verdict, "fail" | "error")
    }

    fn target(&self) -> Option<Target> {
        match self.verdict {
            "error" => Some(Target::Panic),
            "fail" => self.law.clone().map(Target::Law),
            _ => None,
        }
    }

    fn of(seed: u64, trial: &Trial) -> Self {
        let standing = trial.standing();
        let shown = match standing {
            Standing::Broken => trial.first_failure(),
            _ => trial.judgements.iter().find(|one| one.verdict != Verdict::Pass),
        };
        let (when, why) = match shown.map(|judgement| &judgement.verdict) {
            Some(Verdict::Fail { at, why, .. }) => (Some(at.seconds()), Some(why.clone())),
            Some(Verdict::Unknown { budget }) => (None, Some(budget.clone())),
            _ => (None, None),
        };
        Self {
            seed,
            verdict: standing.word(),
            law: shown.map(|judgement| judgement.law.clone()),
            when,
            why,
            events: trial.run.figures.events,
            simulated: trial.run.figures.simulated.as_secs_f64(),
            goals: trial.goals.clone(),
            fingerprint: Some(format!("{:032x}", trial.run.fingerprint)),
            wall: trial.run.figures.wall,
        }
    }
}

/// What is learnt, case by case.
pub enum News<'a> {
    /// A case has ended.
    Ended(&'a Case),
    /// The first case that broke its law (or panicked) was shrunk.
    Shrunk(&'a Case, Box<Shrunk>),
    /// It was not, and this is its plan.
    Whole(&'a Case, Box<Plan>, Option<Unshrinkable>),
}

/// What it comes to.
#[derive(Debug, Default, Serialize)]
pub struct Tally {
    /// Why there are no more.
    pub ending: Ending,
    /// Cases that ended.
    pub cases: u64,
    /// Cases by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Failing cases by law; `panic` for those that panicked.
    pub laws: BTreeMap<String, Vec<u64>>,
    /// Cases by goal met.
    pub goals: BTreeMap<&'static str, u64>,
    /// Simulated seconds.
    pub simulated: f64,
    /// Events recorded.
    pub events: u64,
    /// Wall time of the runs.
    #[serde(skip)]
    pub wall: Duration,
}

impl Tally {
    fn add(&mut self, case: &Case) {
        self.cases += 1;
        *self.verdicts.entry(case.verdict).or_insert(0) += 1;
        if let Some(target) = case.target() {
            self.laws.entry(target.name().to_owned()).or_default().push(case.seed);
        }
        for goal in &case.goals {
            *self.goals.entry(goal).or_insert(0) += 1;
        }
        self.simulated += case.simulated;
        self.events += case.events;
        self.wall += case.wall;
    }

    /// How many cases had this verdict.
    pub fn of(&self, verdict: &str) -> u64 {
        self.verdicts.get(verdict).copied().unwrap_or(0)
    }
}

impl Fuzz {
    /// The plan of a case.
    pub fn plan(&self, seed: u64) -> Plan {
        let mut plan = self.scenarios.at(seed).plan(seed);
        plan.defects.0.extend(self.defects.0.iter().copied());
        plan
    }

    /// Runs the cases, and tells of each in the order of seeds.
    ///
    /// # Errors
    ///
    /// Whatever `tell` returns ends it.
    pub fn run<E>(
        &self,
        machine: Machine,
        mut tell: impl FnMut(News<'_>) -> Result<(), E>,
    ) -> Result<Tally, E> {
        let work = |number: usize| self.seed(number).map(|seed| self.case(seed, machine));
        let mut count = Count {
            fuzz: self,
            machine,
            tell: &mut tell,
            tally: Tally::default(),
            known: BTreeSet::new(),
            failures: 0,
        };
        let threads = self.threads.get();
        let flow = side_by_side((threads, threads * 4), self.wall_max, work, &mut count)?;
        let mut tally = count.tally;
        tally.ending = match flow {
            ControlFlow::Break(()) => Ending::EnoughFailures,
            ControlFlow::Continue(()) if self.seed(tally.cases as usize).is_some() => Ending::OutOfTime,
            ControlFlow::Continue(()) => Ending::Complete,
        };
        Ok(tally)
    }

    /// The seed of the case of this number.
    fn seed(&self, number: usize) -> Option<u64> {
        Some(self.seeds.start.saturating_add(number as u64)).filter(|seed| *seed < self.seeds.end)
    }

    fn case(&self, seed: u64, machine: Machine) -> Case {
        match machine.trial(&self.plan(seed)) {
            Ok(trial) => Case::of(seed, &trial),
            Err(error) => Case {
                seed,
                verdict: if error.is_given_up() { GIVEN_UP } else { "error" },
                law: None,
                when: Some(error.at.as_secs_f64()),
                why: Some(error.message),
                events: error.events.len() as u64,
                simulated: error.at.as_secs_f64(),
                goals: Vec::new(),
                fingerprint: None,
                wall: Duration::ZERO,
            },
        }
    }

    fn found<E>(
        &self,
        case: &Case,
        target: &Target,
        machine: Machine,
        tell: &mut impl FnMut(News<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let plan = self.plan(case.seed);
        match self.shrinking.map(|budget| shrink::shrink(&plan, target, &budget, machine)) {
            Some(Ok(shrunk)) => tell(News::Shrunk(case, Box::new(shrunk))),
            Some(Err(why)) => tell(News::Whole(case, Box::new(plan), Some(why))),
            None => tell(News::Whole(case, Box::new(plan), None)),
        }
    }
}

/// Cases as far as they have been counted.
struct Count<'a, T> {
    fuzz: &'a Fuzz,
    machine: Machine,
    tell: &'a mut T,
    tally: Tally,
    /// What has been broken so far: one finding a law, since the others are most likely the same bug.
    known: BTreeSet<String>,
    failures: usize,
}

impl<E, T: FnMut(News<'_>) -> Result<(), E>> Clerk for Count<'_, T> {
    type Work = Case;
    type Kept = Case;
    type Error = E;

    fn keep(&mut self, case: Case) -> Result<Case, E> {
        Ok(case)
    }

    fn count(&mut self, case: Case) -> Result<ControlFlow<()>, E> {
        self.tally.add(&case);
        (self.tell)(News::Ended(&case))?;
        if let Some(target) = case.target().filter(|target| self.known.insert(target.name().to_owned())) {
            self.fuzz.found(&case, &target, self.machine, self.tell)?;
        }
        self.failures += usize::from(case.is_failure());
        let is_enough = self.fuzz.fail_max.is_some_and(|most| self.failures >= most.get());
        Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scenario::generate::Profile,
        sim::{EarlyEnd, Figures, Run, RunError},
    };

    /// Panics on every plan with five servers.
    fn run(plan: &Plan, _: Option<Duration>) -> Result<Run, RunError> {
        if plan.zookeeper.servers.len() == 5 {
            let (ending, at) = (EarlyEnd::Panicked, Duration::from_secs(1));
            return Err(RunError { ending, at, message: "five".into(), events: Vec::new() });
        }
        let figures =
            Figures { events: 0, messages: 0, simulated: Duration::ZERO, wall: Duration::ZERO, cpu: None };
        Ok(Run { events: Vec::new(), fingerprint: plan.seed.into(), figures, loose_dice: Vec::new() })
    }

    fn fuzz(threads: usize) -> Fuzz {
        Fuzz {
            scenarios: Scenarios::of(&Profile::ZOOKEEPER),
            seeds: 5..45,
            defects: Defects::default(),
            threads: NonZeroUsize::new(threads).unwrap(),
            fail_max: None,
            wall_max: None,
            shrinking: Some(Budget { runs: 100, wall: None, threads: NonZeroUsize::MIN }),
        }
    }

    fn told(fuzz: &Fuzz) -> (Vec<String>, Tally) {
        let mut told = Vec::new();
        let tally = fuzz.run(Machine { run, run_wall_max: None }, |news| {
            told.push(match news {
                News::Ended(case) => format!("{} {}", case.seed, case.verdict),
                News::Shrunk(case, shrunk) => format!("{} {}", case.seed, shrink::file(&shrunk).unwrap()),
                News::Whole(case, _, why) => format!("{} {why:?}", case.seed),
            });
            Ok::<(), ()>(())
        });
        (told, tally.unwrap())
    }

    #[test]
    fn cases_count_in_order_and_one_finding_a_law_is_shrunk() {
        let (one, tally) = told(&fuzz(1));
        let (many, _) = told(&fuzz(5));
        assert_eq!(one, many);
        assert_eq!((tally.cases, tally.ending), (40, Ending::Complete));
        assert!(tally.of("error") > 2 && tally.laws["panic"].len() as u64 == tally.of("error"), "{tally:?}");
        let shrunk: Vec<_> = one.iter().filter(|text| text.contains("zookeeper = 5")).collect();
        assert!(shrunk.len() == 1 && !shrunk[0].contains("[[faults]]"), "{shrunk:?}");
    }

    #[test]
    fn enough_failures_end_it() {
        let (_, tally) = told(&Fuzz { fail_max: NonZeroUsize::new(2), ..fuzz(3) });
        assert_eq!((tally.of("error"), tally.ending), (2, Ending::EnoughFailures));
    }

    #[test]
    fn time_that_is_up_ends_it() {
        let (_, tally) = told(&Fuzz { wall_max: Some(Duration::ZERO), ..fuzz(3) });
        assert_eq!((tally.cases, tally.ending), (0, Ending::OutOfTime));
    }

    #[test]
    fn findings_that_are_not_shrunk_are_told_whole() {
        let (told, _) = told(&Fuzz { shrinking: None, ..fuzz(1) });
        assert!(told.iter().any(|line| line.ends_with(" None")), "{told:?}");
    }
}
