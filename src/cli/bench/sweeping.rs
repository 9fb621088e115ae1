//! Sweeping's figures — decides how well a sweep uses two cores, how much of a run's time its laws take, and whether
//! memory stays flat over many runs. It never decides what is good enough.

use std::{collections::BTreeMap, convert::Infallible, num::NonZeroUsize, time::Duration};

use serde::Serialize;

use crate::{
    cli::{exit::Failure, source::subject},
    memory,
    report::{faults::Planned, measures::measures},
    scenario::plan::Plan,
    sweep::{Counted, Done, Ledger, Subject, Sweep, Watch, seeds::Jobs, sweep},
    trial::{Machine, goals_met, judge},
};

/// What the runs are of.
const SCENARIO: &str = "standard";

/// Pairs of sweeps, at most.
const ROUNDS_MAX: usize = 3;

/// A sweep has so many times the runs of a scenario.
const SWEEP_TIMES: usize = 8;

/// What many runs are of, to see whether they leave something behind: a short one.
const SHORT: &str = "discovery";
/// So many times the others.
const SHORT_TIMES: usize = 32;

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
}

impl Figure {
    /// For a person.
    pub(super) fn shown(&self) -> String {
        format!("{:<32} {:>8.1} {}\n", self.name, self.value, self.unit)
    }
}

/// Sweeps on one core and on two, in turn; single runs, judged; and the memory before and after.
pub(super) fn measure(count: usize, machine: Machine) -> Result<Vec<Figure>, Failure> {
    let subject = subject(Some(SCENARIO), &[])?;
    let rounds = count.min(ROUNDS_MAX);
    let count = count.max(2).next_multiple_of(2);
    let ideal = 100.0 * use_of_two_cores(&subject, count, rounds, machine);
    let judged = share_of_laws(&subject.plan, count, machine)?;
    let mut figures = vec![
        Figure { name: "sweep on two cores", value: ideal, unit: "% of the ideal over one" },
        Figure { name: "laws, goals and measures", value: 100.0 * judged, unit: "% of a run with them" },
    ];
    let grown = growth(SHORT_TIMES * count, machine)?;
    figures.extend(grown.map(|value| Figure { name: "memory grown", value, unit: "kB a run" }));
    Ok(figures)
}

const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// One core's time over twice that of two, the median of several pairs: what else the machine does meanwhile touches one
/// pair, not all. A sweep is long enough for one core's wait for the other's last run not to count.
fn use_of_two_cores(subject: &Subject, count: usize, rounds: usize, machine: Machine) -> f64 {
    let count = SWEEP_TIMES * count;
    // The first runs touch memory that later ones use again.
    swept(subject, count, TWO, machine);
    let mut ratios: Vec<f64> = (0..rounds)
        .map(|_| {
            let one = swept(subject, count, NonZeroUsize::MIN, machine);
            let two = swept(subject, count, TWO, machine);
            one.as_secs_f64() / (2.0 * two.as_secs_f64()).max(1e-9)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// Memory that a run leaves behind, in kilobytes, where the system tells. What is freed is given back before each look,
/// and as many threads have run before the first: what each of them keeps for its next run is not a run's.
fn growth(count: usize, machine: Machine) -> Result<Option<f64>, Failure> {
    let subject = subject(Some(SHORT), &[])?;
    let resident = || {
        memory::forget_peak();
        memory::resident()
    };
    swept(&subject, count / 4, TWO, machine);
    let before = resident();
    swept(&subject, count, TWO, machine);
    let grown = |(before, after)| (after as f64 - before as f64) / (1024.0 * count as f64);
    Ok(before.zip(resident()).map(grown))
}

/// The wall time of a sweep that keeps nothing.
fn swept(subject: &Subject, count: usize, threads: NonZeroUsize, machine: Machine) -> Duration {
    let plan = Sweep {
        subjects: vec![subject.clone()],
        jobs: Jobs::spread(1, count),
        known: BTreeMap::new(),
        threads,
        fail_max: None,
        double: 0.0,
        wall_max: None,
    };
    let watch = Watch::start();
    let Ok(_) = sweep(&plan, machine, &mut Nothing);
    watch.elapsed()
}

/// Keeps no run.
struct Nothing;

impl Ledger for Nothing {
    type Error = Infallible;

    fn keep(&mut self, _: &Done) -> Result<(), Infallible> {
        Ok(())
    }

    fn count(&mut self, _: Counted) {}
}

/// The share of a run's time that judging takes, over several runs.
fn share_of_laws(plan: &Plan, count: usize, machine: Machine) -> Result<f64, Failure> {
    let (mut run_time, mut judge_time) = (Duration::ZERO, Duration::ZERO);
    for seed in 0..count as u64 {
        let plan = Plan { seed, ..plan.clone() };
        let run = machine.run(&plan).map_err(|error| {
            Failure::Internal(format!("internal error: {SCENARIO}, seed {seed}: {error}"))
        })?;
        let watch = Watch::start();
        judge(&run.events, &plan.expect.laws);
        goals_met(&run.events);
        measures(&run.events, Planned::of(&plan));
        judge_time += watch.elapsed();
        run_time += run.figures.wall;
    }
    Ok(judge_time.as_secs_f64() / (run_time + judge_time).as_secs_f64().max(1e-9))
}
