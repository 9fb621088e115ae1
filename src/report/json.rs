//! JSON — decides what a program gets to see of a run: one object. It never decides what is in a record of a
//! sweep.

use serde::Serialize;

use crate::{
    check::verdict::Judgement,
    report::failover::{Failover, failovers},
    trial::Trial,
};

#[derive(Serialize)]
struct Report<'a> {
    scenario: &'a str,
    seed: u64,
    verdict: &'static str,
    laws: &'a [Judgement],
    goals: &'a [&'static str],
    failovers: Vec<Failover>,
    events: u64,
    messages: u64,
    simulated_seconds: f64,
    wall_seconds: f64,
    fingerprint: String,
    command: &'a str,
}

/// The report of a trial; `command` repeats it.
pub fn report(trial: &Trial, command: &str) -> String {
    let figures = trial.run.figures;
    let report = Report {
        scenario: &trial.plan.title,
        seed: trial.plan.seed,
        verdict: trial.standing().word(),
        laws: &trial.judgements,
        goals: &trial.goals,
        failovers: failovers(&trial.run.events),
        events: figures.events,
        messages: figures.messages,
        simulated_seconds: figures.simulated.as_secs_f64(),
        wall_seconds: figures.wall.as_secs_f64(),
        fingerprint: format!("{:032x}", trial.run.fingerprint),
        command,
    };
    serde_json::to_string_pretty(&report).expect("names and numbers are JSON")
}
