//! JSON — decides what a program gets to see of a run: one object, with every time in seconds. It never decides what is
//! in a record of a sweep.

use std::time::Duration;

use serde::Serialize;

use crate::{
    check::verdict::{Judgement, Verdict},
    event::Event,
    name::HostId,
    report::{
        explain::{Part, explanation},
        failover::{Failover, Office, failovers},
        faults::Planned,
    },
    trial::Trial,
};

#[derive(Serialize)]
struct Report<'a> {
    scenario: &'a str,
    seed: u64,
    verdict: &'static str,
    laws: Vec<Law<'a>>,
    /// Of the first broken law.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    explanation: Vec<Line<'a>>,
    goals: &'a [&'static str],
    failovers: Vec<Succession>,
    events: u64,
    messages: u64,
    simulated_seconds: f64,
    wall_seconds: f64,
    fingerprint: String,
    command: &'a str,
}

/// How a law was judged.
#[derive(Serialize)]
pub struct Law<'a> {
    law: &'a str,
    verdict: &'static str,
    /// The first event that shows a break.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    /// What ran out before it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<&'a str>,
}

impl<'a> From<&'a Judgement> for Law<'a> {
    fn from(judgement: &'a Judgement) -> Self {
        let none = Self {
            law: &judgement.law,
            verdict: "pass",
            seq: None,
            at_seconds: None,
            why: None,
            budget: None,
        };
        match &judgement.verdict {
            Verdict::Pass => none,
            Verdict::Fail { seq, at, why } => Self {
                verdict: "fail",
                seq: Some(*seq),
                at_seconds: Some(at.seconds()),
                why: Some(why),
                ..none
            },
            Verdict::Unknown { budget } => Self { verdict: "unknown", budget: Some(budget), ..none },
        }
    }
}

/// A line of the explanation.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    at_seconds: f64,
    host: Option<HostId>,
    part: Part,
    event: &'a str,
    what: String,
}

impl<'a> From<(&'a Event, Part, String)> for Line<'a> {
    fn from((event, part, what): (&'a Event, Part, String)) -> Self {
        let (seq, at_seconds, host) = (event.seq, event.at.seconds(), event.host);
        Self { seq, at_seconds, host, part, event: event.kind.name(), what }
    }
}

/// A failover; spans count from the fault.
#[derive(Serialize)]
struct Succession {
    step: u32,
    at_seconds: f64,
    #[serde(flatten)]
    office: Office,
    from: HostId,
    to: Option<HostId>,
    detected_seconds: Option<f64>,
    succeeded_seconds: Option<f64>,
    back_seconds: Option<f64>,
}

impl From<Failover> for Succession {
    fn from(failover: Failover) -> Self {
        let Failover { step, at, office, from, detected, succeeded, to, back } = failover;
        let [detected_seconds, succeeded_seconds, back_seconds] =
            [detected, succeeded, back].map(|span| span.as_ref().map(Duration::as_secs_f64));
        let at_seconds = at.seconds();
        Self { step, at_seconds, office, from, to, detected_seconds, succeeded_seconds, back_seconds }
    }
}

/// The report of a trial; `command` repeats it.
pub fn report(trial: &Trial, command: &str) -> String {
    let figures = trial.run.figures;
    let failovers = failovers(&trial.run.events, Planned::of(&trial.plan));
    let report = Report {
        scenario: &trial.plan.title,
        seed: trial.plan.seed,
        verdict: trial.standing().word(),
        laws: trial.judgements.iter().map(Law::from).collect(),
        explanation: explanation(trial).into_iter().map(Line::from).collect(),
        goals: &trial.goals,
        failovers: failovers.into_iter().map(Succession::from).collect(),
        events: figures.events,
        messages: figures.messages,
        simulated_seconds: figures.simulated.as_secs_f64(),
        wall_seconds: figures.wall.as_secs_f64(),
        fingerprint: format!("{:032x}", trial.run.fingerprint),
        command,
    };
    serde_json::to_string_pretty(&report).expect("names and numbers are JSON")
}
