//! Arguments — decides what can be asked for and how. It never does any of it.

use std::{num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::serve::{ControlArgs, ServeArgs};
use crate::{
    defect::Defect,
    scenario::{
        generate::{self, Profile},
        nearest::suggestion,
    },
    sweep::seeds::{Partition, Seeds},
};

/// Runs search clusters that coordinate through ZooKeeper in simulated time, breaks them on purpose, and says
/// which promise broke, where, when and why.
///
/// Without a command: runs the built-in scenario `first-failover`.
#[derive(Debug, Parser)]
#[command(name = "shardarium", version)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// One run: its timeline and verdicts.
    Run(RunArgs),
    /// The laws over a stored trace, or over those of a results directory.
    Check(CheckArgs),
    /// Many runs: scenarios × seeds, side by side.
    Sweep(SweepArgs),
    /// The union of results directories: shards of one sweep, or sweeps of other seeds.
    Merge(MergeArgs),
    /// One stored plan again: `plan.json` of a failure, or the plan in a trace.
    Replay(ReplayArgs),
    /// Random scenarios: what fails is shrunk and saved as a scenario file.
    Fuzz(FuzzArgs),
    /// A smaller plan that breaks the same law, as a scenario file.
    Shrink(ShrinkArgs),
    /// A stored trace in the form of another tool.
    Export(ExportArgs),
    /// What there is to name in scenario files and arguments.
    List {
        /// Of which kind; all if none is given.
        topic: Option<Topic>,
    },
    /// The JSON Schema of scenario files, for editors: draft 7.
    Schema,
    /// Speed and memory on the standard scenarios.
    Bench(BenchArgs),
    /// A ZooKeeper ensemble for real clients: the simulated servers on real sockets, until ctrl-c.
    Serve(Box<ServeArgs>),
    /// An order to an ensemble that is served: `shardarium control 127.0.0.1:7000 stop 2`.
    Control(ControlArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Topic {
    /// Built-in scenarios.
    Scenarios,
    /// What is judged.
    Laws,
    /// What a sweep should reach.
    Goals,
    /// What can break, and when.
    Faults,
    /// Whom faults and steps can hit: WHO.
    Selectors,
    /// What an administrator can do.
    Steps,
    /// What a fault can wait for.
    Events,
    /// Historic bugs that can be switched on.
    Defects,
    /// What random scenarios can look like.
    Profiles,
    /// Draws of the dice that can be fixed.
    Dice,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a person.
    #[default]
    Text,
    /// For a program.
    Json,
}

/// `--set KEY=VALUE`, or `--set KEY=VALUE,VALUE…` for a grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// A path in the scenario file, or `defect`.
    pub(super) key: String,
    /// At least one.
    pub(super) values: Vec<String>,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, values) = text
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty())
            .ok_or("write KEY=VALUE, such as cluster.session_timeout=2s or defect=zab-ack-before-sync")?;
        let setting = Self { key: key.trim().to_owned(), values: split(values) };
        if setting.key == DEFECT {
            setting.values.iter().try_for_each(|value| defect(value).map(drop))?;
        }
        Ok(setting)
    }
}

/// The key that switches a historic bug on.
pub(super) const DEFECT: &str = "defect";

/// The historic bug of this name.
pub(super) fn defect(name: &str) -> Result<Defect, String> {
    let names = Defect::ALL.map(Defect::name);
    Defect::named(name).ok_or_else(|| format!("there is no defect `{name}`: {}", suggestion(name, names)))
}

/// Splits at commas, but not within quotes or brackets.
fn split(text: &str) -> Vec<String> {
    let (mut depth, mut quoted) = (0_i32, false);
    let parts = text.split(|char: char| {
        match char {
            '"' => quoted = !quoted,
            '[' | '{' | '(' if !quoted => depth += 1,
            ']' | '}' | ')' if !quoted => depth -= 1,
            _ => {}
        }
        char == ',' && depth == 0 && !quoted
    });
    parts.map(|part| part.trim().to_owned()).collect()
}

/// `--partition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shard {
    /// The one that the environment names.
    Auto,
    /// This one.
    Given(Partition),
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Given) }
    }
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// A scenario file, or the name of a built-in scenario.
    pub(super) scenario: Option<String>,
    /// The seed of the dice. Default: the scenario's own, else 1.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Store everything that happens, as NDJSON.
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
    /// Write the run as a scenario file with every operation in it, which runs to the same fingerprint.
    #[arg(long, value_name = "FILE")]
    pub(super) save: Option<PathBuf>,
    /// Change a key of the scenario file, such as `cluster.session_timeout=2s`; `defect=NAME` switches a historic
    /// bug on. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<Setting>,
    /// For whom the report is.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

impl RunArgs {
    /// The seed where nobody says one.
    pub(super) const SEED: u64 = 1;
}

impl Default for RunArgs {
    fn default() -> Self {
        Self { scenario: None, seed: None, trace: None, save: None, set: Vec::new(), format: Format::Text }
    }
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The stored plan, or a trace.
    pub(super) file: PathBuf,
    /// Store everything that happens, as NDJSON.
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
    /// Write the plan as a scenario file with every operation in it, which runs to the same fingerprint.
    #[arg(long, value_name = "FILE")]
    pub(super) save: Option<PathBuf>,
    /// For whom the report is.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct FuzzArgs {
    /// What they look like: `smoke`, `zookeeper`, `documents`, `balance`, `failover` or `storm`.
    #[arg(long, value_name = "NAME", default_value = "smoke", value_parser = generate::named)]
    pub(super) profile: &'static Profile,
    /// So many cases, with seeds from 0. Default: 100, or with `--for` as many as there is time for.
    #[arg(long, value_name = "N")]
    pub(super) runs: Option<u64>,
    /// The cases of these seeds. A seed of a profile is always the same scenario.
    #[arg(long, value_name = "A..B", conflicts_with = "runs")]
    pub(super) seeds: Option<Seeds>,
    /// Cases at a time. Default: one a core.
    #[arg(long, short = 'j', value_name = "J", value_parser = at_least_one)]
    pub(super) jobs: Option<NonZeroUsize>,
    /// Stop after so many failing cases.
    #[arg(long, value_name = "F", value_parser = at_least_one)]
    pub(super) max_fail: Option<NonZeroUsize>,
    /// Start no further case after so much wall time, such as `30m`.
    #[arg(long = "for", value_name = "SPAN", value_parser = crate::scenario::duration::parse)]
    pub(super) wall: Option<Duration>,
    /// Give a case up after so much wall time, such as `60s`; in shrinking, a smaller plan as well.
    #[arg(long, value_name = "SPAN", value_parser = crate::scenario::duration::parse)]
    pub(super) time_limit: Option<Duration>,
    /// Runs that shrinking a finding may take; 0: findings are saved as they are.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(super) budget: usize,
    /// Switch a historic bug on in each; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = defect)]
    pub(super) defect: Vec<Defect>,
    /// Store a line a case and the findings here. Default: findings alone, in scenarios/regress if that is there. A
    /// finding never replaces another one: its name gets a number.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// For whom the report is.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

impl FuzzArgs {
    /// Cases where nobody says how many, nor for how long.
    pub(super) const RUNS: u64 = 100;
}

#[derive(Debug, Args)]
pub(super) struct ShrinkArgs {
    /// What fails: `plan.json` of a failure, a trace, a scenario file or the name of a built-in scenario.
    pub(super) file: String,
    /// The law that the smaller plan must break too. Default: the one that breaks first.
    #[arg(long, value_name = "NAME")]
    pub(super) law: Option<String>,
    /// Of a scenario: the seed that fails. Default: the scenario's own, else 1.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Of a scenario, change a setting: `defect=NAME` switches a historic bug on.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<Setting>,
    /// Runs at most.
    #[arg(long, value_name = "N", default_value = "600", value_parser = at_least_one)]
    pub(super) budget: NonZeroUsize,
    /// Try nothing more after so much wall time, such as `5m`.
    #[arg(long = "for", value_name = "SPAN", value_parser = crate::scenario::duration::parse)]
    pub(super) wall: Option<Duration>,
    /// Runs at a time. Default: one a core.
    #[arg(long, short = 'j', value_name = "J", value_parser = at_least_one)]
    pub(super) jobs: Option<NonZeroUsize>,
    /// The scenario file to write. Default: one named after law and seed, in scenarios/regress if that is there, with
    /// a number if there is another of that name.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The trace, as `run --trace` stored it, or a results directory, whose traces are those of its failures.
    pub(super) trace: PathBuf,
    /// Judge by this law only; may be repeated. Default: those of the scenario.
    #[arg(long, value_name = "NAME")]
    pub(super) law: Vec<String>,
    /// For whom the report is.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// Scenario files or names of built-in scenarios; `FOLDER/` stands for all of a folder. Default: the three
    /// standard ones.
    pub(super) scenarios: Vec<String>,
    /// Every seed from A to below B, for each scenario.
    #[arg(long, value_name = "A..B", required_unless_present = "runs", conflicts_with = "runs")]
    pub(super) seeds: Option<Seeds>,
    /// So many runs in all, spread over the scenarios, with seeds from 0.
    #[arg(long, value_name = "N")]
    pub(super) runs: Option<usize>,
    /// Runs at a time. Default: one a core.
    #[arg(long, short = 'j', value_name = "J", value_parser = at_least_one)]
    pub(super) jobs: Option<NonZeroUsize>,
    /// Only the K-th of N shards, from 1; `auto`: the one that the environment of a Slurm array, a Kubernetes Indexed
    /// Job or a CI matrix names.
    #[arg(long, value_name = "K/N|auto", default_value = "1/1")]
    pub(super) partition: Shard,
    /// Of `--partition auto`: how many shards there are, where the environment does not say it.
    #[arg(long, value_name = "N")]
    pub(super) of: Option<usize>,
    /// Stop after so many failing runs.
    #[arg(long, value_name = "F", value_parser = at_least_one)]
    pub(super) max_fail: Option<NonZeroUsize>,
    /// Start no further run after so much wall time, such as `30m`.
    #[arg(long = "for", value_name = "SPAN", value_parser = crate::scenario::duration::parse)]
    pub(super) wall: Option<Duration>,
    /// Give a run up after so much wall time, such as `60s`.
    #[arg(long, value_name = "SPAN", value_parser = crate::scenario::duration::parse)]
    pub(super) time_limit: Option<Duration>,
    /// Do this share of the runs twice and compare fingerprints, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(super) double: f64,
    /// Change a key of the scenario file, such as `cluster.session_timeout=2s`; of several values each is tried, and
    /// of several settings each combination. `defect=NAME` switches a historic bug on. May be repeated.
    #[arg(long, value_name = "KEY=VALUE[,VALUE…]")]
    pub(super) set: Vec<Setting>,
    /// Store records, timings and failures here. Those of the same sweep are replaced; other results that are there
    /// are moved to DIR.1, DIR.2 and so on.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Write the JUnit report here; DIR has one in any case.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Go on with what an earlier sweep of the same runs left in DIR, however it ended.
    #[arg(long, requires = "out")]
    pub(super) resume: bool,
    /// Shrink each failing run, a minute at most, and store the smaller plan beside it.
    #[arg(long, requires = "out")]
    pub(super) shrink: bool,
    /// For whom the report is.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ExportFormat {
    /// A log with vector clocks, for ShiViz: who knew what.
    Shiviz,
    /// Chrome's trace format, for Perfetto: spans, messages and requests on a line of time.
    Perfetto,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The trace, as `run --trace` stored it.
    #[arg(value_name = "FILE")]
    pub(super) trace: PathBuf,
    /// For which tool.
    #[arg(long, value_enum)]
    pub(super) format: ExportFormat,
    /// Where it goes. Default: to stdout.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// Results directories.
    #[arg(required = true, value_name = "DIR")]
    pub(super) dirs: Vec<PathBuf>,
    /// Where their union goes; it may be one of them. Runs that are there and not in the union are moved to DIR.1,
    /// DIR.2 and so on.
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Write the JUnit report here; the union has one in any case.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// For whom the report is.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Runs of each scenario; figures are medians.
    #[arg(long, value_name = "N", default_value = "5", value_parser = at_least_one)]
    pub(super) runs: NonZeroUsize,
    /// For whom the report is.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse::<usize>().map_err(|_| "write a whole number, at least 1")?;
    NonZeroUsize::new(number).ok_or_else(|| "at least 1".into())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is a number from 0 to 1".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn misspelt_defect_names_the_nearest() {
        let error = "defect=zab-ack-before-synk".parse::<Setting>().unwrap_err();
        assert!(error.contains("did you mean `zab-ack-before-sync`?"), "{error}");
        assert!("x".parse::<Setting>().is_err() && "=x".parse::<Setting>().is_err());
    }

    #[test]
    fn values_are_split_at_commas_outside_of_brackets() {
        let values = |text: &str| text.parse::<Setting>().unwrap().values;
        assert_eq!(values("a.b=2s,4s, 8s"), ["2s", "4s", "8s"]);
        assert_eq!(values("zones=[\"a\", \"b\"],[\"c\"]"), ["[\"a\", \"b\"]", "[\"c\"]"]);
        assert_eq!(values("cut=minority(a,b)"), ["minority(a,b)"]);
    }

    #[test]
    fn nothing_at_a_time_is_refused() {
        assert_eq!(at_least_one("3").map(NonZeroUsize::get), Ok(3));
        assert_eq!(at_least_one("0"), Err("at least 1".into()));
        assert!(at_least_one("-1").is_err());
    }

    #[test]
    fn share_is_between_none_and_all() {
        assert_eq!(share("0.05"), Ok(0.05));
        for text in ["-0.1", "1.1", "NaN", "x"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
