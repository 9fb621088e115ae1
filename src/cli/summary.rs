//! Summary — decides what a sweep comes to: counts, failing runs, goals never met, and the exit code. It never
//! does a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal},
    time::Duration,
};

use serde::Serialize;

use super::{args::Format, exit::Exit};
use crate::{
    report::{
        style::{Painted, Tone},
        words::{counted, grouped},
    },
    sweep::{Done, Ending, Finding, Job, Subject, Sweep},
};

/// Failing runs that the summary names.
const FAILURES_SHOWN: usize = 20;

/// What a sweep comes to.
pub(super) struct Summary {
    planned: usize,
    tallies: Vec<Tally>,
    failures: Vec<Failed>,
    internal: bool,
    wall: Duration,
    simulated: f64,
    events: u64,
    progress: bool,
}

/// The count of one scenario.
#[derive(Debug, Default, Serialize)]
struct Tally {
    scenario: String,
    runs: u64,
    pass: u64,
    fail: u64,
    unknown: u64,
    error: u64,
    /// Runs that met each goal.
    goals: BTreeMap<String, u64>,
    /// Goals of the scenario that no run met.
    unmet: BTreeSet<String>,
}

/// A failing run.
#[derive(Debug, Serialize)]
struct Failed {
    scenario: String,
    seed: u64,
    verdict: String,
    law: Option<String>,
    when: Option<f64>,
    why: Option<String>,
    command: String,
}

impl Summary {
    /// Nothing done yet.
    pub(super) fn of(sweep: &Sweep) -> Self {
        let tally = |subject: &Subject| {
            let unmet = subject.plan.expect.goals.iter().cloned().collect();
            Tally { scenario: subject.name.clone(), unmet, ..Tally::default() }
        };
        Self {
            planned: sweep.jobs.len(),
            tallies: sweep.subjects.iter().map(tally).collect(),
            failures: Vec::new(),
            internal: false,
            wall: Duration::ZERO,
            simulated: 0.0,
            events: 0,
            progress: io::stderr().is_terminal(),
        }
    }

    /// Counts a run; `command` reproduces it.
    pub(super) fn add(&mut self, done: &Done, command: String) {
        let Done { job: Job { subject, .. }, record, wall, finding } = done;
        self.wall += *wall;
        self.simulated += record.simulated;
        self.events += record.events;
        self.tallies[*subject].add(&record.verdict, &record.goals);
        self.internal |= finding.as_ref().is_some_and(Finding::is_internal);
        if finding.as_ref().is_some_and(Finding::is_failure) {
            self.failures.push(Failed {
                scenario: record.scenario.clone(),
                seed: record.seed,
                verdict: record.verdict.clone(),
                law: record.law.clone(),
                when: record.when,
                why: record.why.clone(),
                command,
            });
        }
    }

    fn runs(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.runs).sum()
    }

    /// The worst of what happened decides.
    pub(super) fn exit(&self, ending: Ending) -> Exit {
        let any = |count: fn(&Tally) -> u64| self.tallies.iter().any(|tally| count(tally) > 0);
        match () {
            () if self.internal => Exit::Internal,
            () if any(|tally| tally.fail) => Exit::Broken,
            () if ending == Ending::OutOfTime => Exit::Unfinished,
            () if self.planned == 0 => Exit::Nothing,
            () if any(|tally| tally.unknown) => Exit::Undecided,
            () if any(|tally| tally.unmet.len() as u64) => Exit::Idle,
            () => Exit::Fine,
        }
    }

    /// One line on stderr, if that is a terminal.
    pub(super) fn show_progress(&self) {
        if self.progress {
            let (runs, failures) = (self.runs(), self.failures.len());
            eprint!("\r{runs} of {} runs, {failures} failing\x1b[K", self.planned);
        }
    }

    /// Takes that line away.
    pub(super) fn clear_progress(&self) {
        if self.progress {
            eprint!("\r\x1b[K");
        }
    }

    /// For a person or a program.
    pub(super) fn report(&self, format: Format, ending: Ending) -> String {
        match format {
            Format::Text => self.text(ending),
            Format::Json => self.json(ending),
        }
    }

    fn text(&self, ending: Ending) -> String {
        let mut text: String = self.tallies.iter().map(Tally::text).collect();
        for failed in self.failures.iter().take(FAILURES_SHOWN) {
            text += &failed.text();
        }
        if let more @ 1.. = self.failures.len().saturating_sub(FAILURES_SHOWN) {
            text += &format!("… and {}\n", counted(more as u64, "more failing run", "more failing runs"));
        }
        text += match ending {
            Ending::Complete if self.planned == 0 => "Nothing to run.\n",
            Ending::Complete => "",
            Ending::EnoughFailures => "Stopped: enough runs have failed.\n",
            Ending::OutOfTime => "Stopped: the time is up.\n",
        };
        let wall = self.wall.as_secs_f64();
        text + &format!(
            "{}, {:.0} s simulated in {wall:.1} s of runs, {:.0} times real time, {} events\n",
            counted(self.runs(), "run", "runs"),
            self.simulated,
            self.simulated / wall.max(1e-9),
            grouped(self.events),
        )
    }

    fn json(&self, ending: Ending) -> String {
        let ending = match ending {
            Ending::Complete => "complete",
            Ending::EnoughFailures => "enough_failures",
            Ending::OutOfTime => "out_of_time",
        };
        let value = serde_json::json!({
            "ending": ending,
            "runs": self.runs(),
            "simulated_seconds": self.simulated,
            "wall_seconds": self.wall.as_secs_f64(),
            "events": self.events,
            "scenarios": self.tallies,
            "failures": self.failures,
        });
        format!("{value:#}\n")
    }
}

impl Tally {
    fn add(&mut self, verdict: &str, goals: &[String]) {
        self.runs += 1;
        match verdict {
            "pass" => self.pass += 1,
            "fail" => self.fail += 1,
            "unknown" => self.unknown += 1,
            _ => self.error += 1,
        }
        for goal in goals {
            *self.goals.entry(goal.clone()).or_default() += 1;
            self.unmet.remove(goal);
        }
    }

    fn text(&self) -> String {
        let verdicts = [
            (self.pass, "pass", Tone::Good),
            (self.fail, "fail", Tone::Bad),
            (self.unknown, "undecided", Tone::Fault),
            (self.error, "with an internal error", Tone::Bad),
        ];
        let shown = verdicts.iter().filter(|(count, ..)| *count > 0);
        let shown = shown.map(|(count, word, tone)| Painted(*tone, format!("{count} {word}")).to_string());
        let mut text = format!("{:<20} {}\n", self.scenario, shown.collect::<Vec<_>>().join(", "));
        if !self.goals.is_empty() {
            let goals = self.goals.iter().map(|(goal, runs)| format!("{goal} {runs}"));
            text += &format!("  goals met, by runs: {}\n", goals.collect::<Vec<_>>().join(", "));
        }
        if self.runs > 0 && !self.unmet.is_empty() {
            let unmet = self.unmet.iter().cloned().collect::<Vec<_>>().join(", ");
            text += &format!("  {}\n", Painted(Tone::Bad, format!("never met: {unmet}")));
        }
        text
    }
}

impl Failed {
    fn text(&self) -> String {
        let what = self.law.as_deref().unwrap_or(&self.verdict);
        let when = self.when.map_or(String::new(), |when| format!(" at {when:.3} s"));
        let why = self.why.as_deref().map_or(String::new(), |why| format!(": {why}"));
        let head = Painted(Tone::Bad, format!("{}, seed {}: {what}{when}", self.scenario, self.seed));
        format!("{head}{why}\n  {}\n", self.command)
    }
}
