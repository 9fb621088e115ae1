//! Records — decides what is kept of each run: one flat line. It never decides whether the run was right.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    check::verdict::Verdict,
    event::{Event, EventKind},
    name::SimTime,
    report::{
        faults::Planned,
        measures::{Measures, measures},
    },
    scenario::plan::Plan,
    sim::RunError,
    trial::Trial,
};

/// One line of `runs.ndjson`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Hash of the scenario's text, the defects, the seed and the tool's version; 16 hexadecimal digits.
    pub key: String,
    /// Title of the scenario.
    pub scenario: String,
    /// What was set from outside, `KEY=VALUE` with commas between; empty if nothing was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub set: String,
    /// The seed.
    pub seed: u64,
    /// `pass`, `fail`, `unknown`; `error` if the tool itself is at fault.
    pub verdict: String,
    /// The broken law that shows first.
    pub law: Option<String>,
    /// When it shows, in simulated seconds.
    pub when: Option<f64>,
    /// Why, first line.
    pub why: Option<String>,
    /// Events recorded.
    pub events: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Simulated seconds.
    pub simulated: f64,
    /// Crashes that struck.
    pub crashes: u32,
    /// Pauses that struck.
    pub pauses: u32,
    /// Cuts that struck.
    pub cuts: u32,
    /// Faults that found nobody to hit.
    pub missed: u32,
    /// Seconds until the loss of a primary or a controller was noticed, the median of the run ([`Measures`]).
    pub detect: Option<f64>,
    /// Seconds until the loss of ZooKeeper's leader was noticed, the median of the run.
    #[serde(default)]
    pub detect_leader: Option<f64>,
    /// Seconds until another copy was primary, the median of the run.
    pub promote: Option<f64>,
    /// Seconds without green, the longest of the run.
    pub green: Option<f64>,
    /// Seconds in which requests failed.
    pub unavailable: f64,
    /// Copies that moved.
    pub moves: u32,
    /// Goals met.
    pub goals: Vec<String>,
    /// The run's fingerprint, 32 hexadecimal digits; none if it did not come to its end.
    pub fingerprint: Option<String>,
}

/// The key of a run: 16 hexadecimal digits.
pub fn key(text: &str, plan: &Plan, seed: u64) -> String {
    let mut hash = Xxh3::new();
    let defects: Vec<&str> = plan.defects.0.iter().map(|defect| defect.name()).collect();
    for part in [env!("CARGO_PKG_VERSION"), text, &defects.join(","), &seed.to_string()] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    format!("{:016x}", hash.digest())
}

impl Record {
    /// The record of a run that came to its end.
    pub fn of(key: String, set: &str, trial: &Trial) -> Self {
        let figures = trial.run.figures;
        let mut record = Self::empty(key, &trial.plan, trial.standing().word(), &trial.run.events);
        record.set = set.to_owned();
        record.measured(measures(&trial.run.events, Planned::of(&trial.plan)));
        record.events = figures.events;
        record.messages = figures.messages;
        record.simulated = figures.simulated.as_secs_f64();
        record.goals = trial.goals.iter().map(|goal| (*goal).to_owned()).collect();
        record.fingerprint = Some(format!("{:032x}", trial.run.fingerprint));
        if let Some((judgement, (at, why))) =
            trial.first_failure().and_then(|first| Some((first, failure(&first.verdict)?)))
        {
            record.law = Some(judgement.law.clone());
            record.when = Some(at.seconds());
            record.why = why.lines().next().map(str::to_owned);
        }
        record
    }

    fn measured(&mut self, measures: Measures) {
        let Measures { detect, detect_leader, promote, green, unavailable, moves } = measures;
        (self.detect, self.detect_leader) = (detect, detect_leader);
        (self.promote, self.green) = (promote, green);
        (self.unavailable, self.moves) = (unavailable, moves);
    }

    /// Whether the run counts as failing.
    pub fn is_failure(&self) -> bool {
        self.verdict == "fail" || self.is_internal()
    }

    /// Whether the tool itself is at fault.
    pub fn is_internal(&self) -> bool {
        self.verdict == "error"
    }

    /// The record of a run that panicked.
    pub fn of_panic(key: String, set: &str, plan: &Plan, error: &RunError) -> Self {
        let mut record = Self::empty(key, plan, "error", &error.events);
        record.set = set.to_owned();
        record.events = error.events.len() as u64;
        record.simulated = error.at.as_secs_f64();
        record.when = Some(record.simulated);
        record.why = error.message.lines().next().map(str::to_owned);
        record
    }

    fn empty(key: String, plan: &Plan, verdict: &str, events: &[Event]) -> Self {
        let faults = Faults::count(plan, events);
        Self {
            key,
            scenario: plan.title.clone(),
            set: String::new(),
            seed: plan.seed,
            verdict: verdict.to_owned(),
            law: None,
            when: None,
            why: None,
            events: 0,
            messages: 0,
            simulated: 0.0,
            crashes: faults.crashes,
            pauses: faults.pauses,
            cuts: faults.cuts,
            missed: faults.missed,
            detect: None,
            detect_leader: None,
            promote: None,
            green: None,
            unavailable: 0.0,
            moves: 0,
            goals: Vec::new(),
            fingerprint: None,
        }
    }
}

fn failure(verdict: &Verdict) -> Option<(SimTime, &str)> {
    match verdict {
        Verdict::Fail { at, why, .. } => Some((*at, why)),
        _ => None,
    }
}

/// Faults that struck, by kind.
#[derive(Default)]
struct Faults {
    crashes: u32,
    pauses: u32,
    cuts: u32,
    missed: u32,
}

impl Faults {
    fn count(plan: &Plan, events: &[Event]) -> Self {
        let mut faults = Self::default();
        for event in events {
            match &event.kind {
                EventKind::FaultMissed { .. } => faults.missed += 1,
                EventKind::FaultBegan { step, .. } => {
                    match plan.faults.get(*step as usize).map(|step| step.action.kind()) {
                        Some("crash" | "wipe") => faults.crashes += 1,
                        Some("pause") => faults.pauses += 1,
                        Some("cut" | "partition" | "slow") => faults.cuts += 1,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{defect::Defect, scenario::format::Scenario};

    #[test]
    fn key_depends_on_text_seed_and_defects() {
        let plan = Scenario::default().plan(0);
        let mut with_defect = plan.clone();
        with_defect.defects.0.insert(Defect::ZabAckBeforeSync);
        let keys = [key("a", &plan, 1), key("b", &plan, 1), key("a", &plan, 2), key("a", &with_defect, 1)];
        for (number, one) in keys.iter().enumerate() {
            assert!(!keys[..number].contains(one) && one.len() == 16, "{keys:?}");
        }
        assert_eq!(key("a", &plan, 1), keys[0]);
    }
}
