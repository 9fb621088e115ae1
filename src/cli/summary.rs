//! Summary — decides what a sweep comes to: counts, failing runs, goals never met, and the exit code. It never
//! does a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    time::Duration,
};

use serde::Serialize;

use super::{args::Format, exit::Exit, progress::Wrong};
use crate::{
    report::{
        grid, junit, plot,
        style::{Painted, Tone},
        words::{counted, grouped},
    },
    sweep::{Ending, canary::Sighting, manifest::Listed, record::Record, store::put},
};

/// Failing runs that the summary names.
const FAILURES_SHOWN: usize = 20;

/// What a sweep comes to.
pub(super) struct Summary {
    planned: usize,
    tallies: Vec<Tally>,
    failures: Vec<Failed>,
    given_up: Vec<String>,
    canaries: Vec<Sighting>,
    /// Whether results are kept, so that a sweep can go on later.
    is_kept: bool,
    internal: bool,
    wall: Duration,
    simulated: f64,
    events: u64,
    /// Every run that counts, without its goals, which are tallied.
    records: Vec<Record>,
    /// What is said of failing runs, by key.
    findings: BTreeMap<String, junit::Finding>,
}

/// The count of one scenario.
#[derive(Debug, Default, Serialize)]
struct Tally {
    scenario: String,
    #[serde(skip)]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    set: String,
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
    /// Nothing counted yet, of so many runs of these scenarios.
    pub(super) fn of(planned: usize, scenarios: &[Listed]) -> Self {
        let tally = |listed: &Listed| Tally {
            scenario: listed.name.clone(),
            title: listed.title.clone(),
            set: listed.set.clone(),
            unmet: listed.goals.iter().cloned().collect(),
            ..Tally::default()
        };
        Self {
            planned,
            tallies: scenarios.iter().map(tally).collect(),
            failures: Vec::new(),
            given_up: Vec::new(),
            canaries: Vec::new(),
            is_kept: false,
            internal: false,
            wall: Duration::ZERO,
            simulated: 0.0,
            events: 0,
            records: Vec::new(),
            findings: BTreeMap::new(),
        }
    }

    /// Tells of canaries as well.
    pub(super) fn watch(&mut self, canaries: Vec<Sighting>) {
        self.canaries = canaries;
    }

    /// Tells how a sweep whose results are kept goes on.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Counts a run; of a failing one `finding` says more.
    pub(super) fn add(
        &mut self,
        mut record: Record,
        wall: Duration,
        finding: impl FnOnce() -> junit::Finding,
    ) {
        self.wall += wall;
        self.simulated += record.simulated;
        self.events += record.events;
        self.internal |= record.is_internal();
        self.tally(&record);
        if record.is_failure() {
            let finding = finding();
            self.failures.push(Failed {
                scenario: record.scenario.clone(),
                seed: record.seed,
                verdict: record.verdict.clone(),
                law: record.law.clone(),
                when: record.when,
                why: record.why.clone(),
                command: finding.command.clone(),
            });
            self.findings.insert(record.key.clone(), finding);
        }
        record.goals = Vec::new();
        self.records.push(record);
    }

    /// Two scenarios of one title count together.
    fn tally(&mut self, record: &Record) {
        let is_its = |tally: &Tally| tally.title == record.scenario && tally.set == record.set;
        let found = self.tallies.iter().position(is_its);
        let place = found.unwrap_or_else(|| {
            let (title, set) = (record.scenario.clone(), record.set.clone());
            self.tallies.push(Tally { scenario: title.clone(), title, set, ..Tally::default() });
            self.tallies.len() - 1
        });
        self.tallies[place].add(&record.verdict, &record.goals);
    }

    /// A run took too long.
    pub(super) fn give_up(&mut self, command: String) {
        self.given_up.push(command);
    }

    /// What is wrong so far.
    pub(super) fn wrong(&self) -> Wrong {
        Wrong {
            failing: self.failures.len() as u64,
            undecided: self.tallies.iter().map(|tally| tally.unknown).sum(),
            given_up: self.given_up.len() as u64,
        }
    }

    /// Writes the JUnit report.
    ///
    /// # Errors
    ///
    /// If `out` cannot be written.
    pub(super) fn junit(&self, out: &mut dyn io::Write) -> io::Result<()> {
        junit::write(out, &self.records, &self.findings)
    }

    /// Writes what a results directory holds beside the runs: the JUnit report and, of a grid, its plot. Without a grid
    /// the plot of an earlier one goes.
    ///
    /// # Errors
    ///
    /// If a file cannot be written or removed.
    pub(super) fn store(&self, dir: &Path) -> io::Result<()> {
        put(&dir.join("junit.xml"), |out| self.junit(out))?;
        let points = grid::points(&self.records);
        let path = dir.join("grid.svg");
        match points.is_empty() {
            true if path.exists() => fs::remove_file(path),
            true => Ok(()),
            false => put(&path, |out| out.write_all(plot::svg(&points).as_bytes())),
        }
    }

    fn runs(&self) -> u64 {
        self.records.len() as u64
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

    /// For a person or a program.
    pub(super) fn report(&self, format: Format, ending: Ending) -> String {
        match format {
            Format::Text => self.text(ending),
            Format::Json => self.json(ending),
        }
    }

    fn text(&self, ending: Ending) -> String {
        let mut text: String = self.tallies.iter().map(Tally::text).collect();
        text += &grid::table(&grid::points(&self.records));
        for failed in self.failures.iter().take(FAILURES_SHOWN) {
            text += &failed.text();
        }
        if let more @ 1.. = self.failures.len().saturating_sub(FAILURES_SHOWN) {
            text += &format!("… and {}\n", counted(more as u64, "more failing run", "more failing runs"));
        }
        for command in self.given_up.iter().take(FAILURES_SHOWN) {
            text += &format!("{}\n  {command}\n", Painted(Tone::Fault, "given up: it took too long"));
        }
        text += match ending {
            Ending::Complete if self.planned == 0 => "Nothing to run.\n",
            Ending::Complete => "",
            Ending::EnoughFailures => "Stopped: enough runs have failed.\n",
            Ending::OutOfTime if self.is_kept => "Not every run was done: --resume goes on.\n",
            Ending::OutOfTime => "Not every run was done.\n",
        };
        text += &self.figures();
        self.canaries.iter().for_each(|canary| text += &sighted(canary));
        text
    }

    fn figures(&self) -> String {
        let runs = counted(self.runs(), "run", "runs");
        let (simulated, events) = (self.simulated, grouped(self.events));
        match self.wall.as_secs_f64() {
            0.0 => format!("{runs}, {simulated:.0} s simulated, {events} events\n"),
            wall => format!(
                "{runs}, {simulated:.0} s simulated in {wall:.1} s of runs, {:.0} times real time, {events} events\n",
                simulated / wall,
            ),
        }
    }

    fn json(&self, ending: Ending) -> String {
        let value = serde_json::json!({
            "ending": ending.word(),
            "runs": self.runs(),
            "simulated_seconds": self.simulated,
            "wall_seconds": self.wall.as_secs_f64(),
            "events": self.events,
            "scenarios": self.tallies,
            "grid": grid::points(&self.records),
            "failures": self.failures,
            "given_up": self.given_up,
            "canaries": self.canaries,
        });
        format!("{value:#}\n")
    }
}

/// A canary that was noticed, in a line.
fn sighted(Sighting { scenario, defect, law, .. }: &Sighting) -> String {
    law.as_ref()
        .map_or(String::new(), |law| format!("canary: {law} notices {} in {scenario}\n", defect.name()))
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
        let set = if self.set.is_empty() { String::new() } else { format!("{}  ", self.set) };
        let mut text = format!("{:<20} {set}{}\n", self.scenario, shown.collect::<Vec<_>>().join(", "));
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
