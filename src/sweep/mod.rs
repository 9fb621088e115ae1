//! Sweeps — decides which runs a sweep consists of, in which order they count, and when it is over. It never
//! runs or judges one itself.
//!
//! Runs are independent; a shard of a sweep is a pure function of its number and their count. Runs are done
//! side by side, kept as they end and counted in order, so that the same sweep gives the same records, to the
//! byte, however many threads work on it and however often it was killed and resumed.

pub mod aside;
pub mod canary;
mod failures;
mod journal;
pub mod manifest;
pub mod merge;
mod pool;
pub mod record;
pub mod seeds;
pub mod store;

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

use serde::Serialize;

pub use self::failures::explanation;
pub(crate) use self::journal::Journal;
pub(crate) use self::pool::{Clerk, Watch, side_by_side};
pub use self::pool::{Ledger, cores, sweep};
use self::{
    canary::Canary,
    record::{Record, key},
    seeds::Jobs,
};
use crate::{
    scenario::{format::Scenario, overlay::Setting, plan::Plan},
    sim::RunError,
    trial::{Standing, Trial},
};

/// A scenario of a sweep: what was read, and the text it was read from.
#[derive(Debug, Clone)]
pub struct Subject {
    /// How the user names it: for the commands that reproduce.
    pub name: String,
    /// The file's text with what was set in it: part of each run's key.
    pub text: String,
    /// What was set from outside.
    pub set: Vec<Setting>,
    /// The seed that the file asks for.
    pub seed: Option<u64>,
    /// What it says.
    pub scenario: Scenario,
    /// Its plan for seed 0.
    pub plan: Plan,
    /// The run that must fail beside it, if the file names one.
    pub canary: Option<Canary>,
}

impl Subject {
    /// Its plan for a seed: what repeats at random strikes at other times.
    pub fn plan(&self, seed: u64) -> Plan {
        Plan { defects: self.plan.defects.clone(), ..self.scenario.plan(seed) }
    }

    /// What was set, in one line.
    pub fn set_text(&self) -> String {
        let parts: Vec<String> = self.set.iter().map(|(key, value)| format!("{key}={value}")).collect();
        parts.join(", ")
    }
}

/// One run to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// Number of the scenario.
    pub subject: usize,
    /// The seed.
    pub seed: u64,
}

/// How a sweep is done.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The scenarios.
    pub subjects: Vec<Subject>,
    /// The runs, in the order in which they count.
    pub jobs: Jobs,
    /// Runs that were done before, by key: they are counted and not done again.
    pub known: BTreeMap<String, Record>,
    /// Runs at a time.
    pub threads: NonZeroUsize,
    /// Stop after so many failing runs.
    pub fail_max: Option<NonZeroUsize>,
    /// The share of runs that are done twice and must give one fingerprint, 0 to 1.
    pub double: f64,
    /// Start no further run after so much wall time.
    pub wall_max: Option<Duration>,
}

impl Sweep {
    /// The plan of a job.
    pub fn plan(&self, job: Job) -> Plan {
        self.subjects[job.subject].plan(job.seed)
    }

    /// The key of a job.
    pub fn key(&self, job: Job) -> String {
        let subject = &self.subjects[job.subject];
        key(&subject.text, &subject.plan, job.seed)
    }

    /// Whether this run is done twice: by its key, so that it is the same ones every time.
    fn is_doubled(&self, key: &str) -> bool {
        let draw = u64::from_str_radix(key, 16).unwrap_or_default() as f64 / u64::MAX as f64;
        draw < self.double
    }
}

/// How one run of a sweep ended.
#[derive(Debug)]
pub struct Done {
    /// Which it was.
    pub job: Job,
    /// What is kept of it.
    pub record: Record,
    /// Wall time, its second run and the judgement not included.
    pub wall: Duration,
    /// Time on a processor, where the system tells.
    pub cpu: Option<Duration>,
    /// What is kept besides, if something is wrong.
    pub finding: Option<Finding>,
}

/// A run as it counts.
#[derive(Debug)]
pub struct Counted {
    /// Which it was.
    pub job: Job,
    /// What is kept of it; none if it was given up.
    pub record: Option<Record>,
    /// Wall time; zero if it was done before.
    pub wall: Duration,
}

/// What is wrong with a run.
#[derive(Debug)]
pub enum Finding {
    /// A law is broken or undecided.
    Judged(Box<Trial>),
    /// Something panicked that is not being tested.
    Panicked(Box<RunError>),
    /// The same plan gave two records.
    Differs {
        /// The first run.
        first: Box<Trial>,
        /// The second.
        second: Box<Trial>,
    },
}

impl Finding {
    fn of(trial: Trial) -> Option<Self> {
        (trial.standing() != Standing::Holds).then(|| Self::Judged(Box::new(trial)))
    }
}

/// Why a sweep ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every run was done.
    #[default]
    Complete,
    /// So many runs failed that it stopped.
    EnoughFailures,
    /// Its wall time was up, or that of a run.
    OutOfTime,
}

impl Ending {
    /// The word for reports and manifests.
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::EnoughFailures => "enough_failures",
            Self::OutOfTime => "out_of_time",
        }
    }
}
