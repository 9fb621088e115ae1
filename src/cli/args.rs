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
    /// The laws over a stored trace.
    Check(CheckArgs),
    /// Many runs: scenarios × seeds, side by side.
    Sweep(SweepArgs),
    /// One stored plan again: `plan.json` of a failure, or the plan in a trace.
    Replay(ReplayArgs),
    /// Random scenarios: what fails is shrunk and saved as a scenario file.
    Fuzz(FuzzArgs),
    /// A smaller plan that breaks the same law, as a scenario file.
    Shrink(ShrinkArgs),
    /// What there is to name in scenario files and arguments.
    List {
        /// Of which kind; all if none is given.
        topic: Option<Topic>,
    },
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
    /// What can break, and whom it can hit.
    Faults,
    /// What a fault can wait for.
    Events,
    /// Historic bugs that can be switched on.
    Defects,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a person.
    #[default]
    Text,
    /// For a program.
    Json,
}

/// `--set KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    /// `defect=NAME`: switches a historic bug on.
    Defect(Defect),
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) =
            text.split_once('=').ok_or("write KEY=VALUE, such as defect=zab-ack-before-sync")?;
        if key != "defect" {
            return Err(format!("there is no setting `{key}`: {}", suggestion(key, ["defect"])));
        }
        let names = Defect::ALL.map(Defect::name);
        Defect::named(value)
            .map(Self::Defect)
            .ok_or_else(|| format!("there is no defect `{value}`: {}", suggestion(value, names)))
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
    /// Change a setting: `defect=NAME` switches a historic bug on.
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
    /// So many cases, with seeds from 0.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) runs: u64,
    /// The cases of these seeds. A seed of a profile is always the same scenario.
    #[arg(long, value_name = "A..B", conflicts_with = "runs")]
    pub(super) seeds: Option<Seeds>,
    /// Cases at a time. Default: one a core.
    #[arg(long, short = 'j', value_name = "J")]
    pub(super) jobs: Option<NonZeroUsize>,
    /// Stop after so many failing cases.
    #[arg(long, value_name = "F")]
    pub(super) max_fail: Option<NonZeroUsize>,
    /// Start no further case after so much wall time, such as `30m`.
    #[arg(long = "for", value_name = "SPAN", value_parser = crate::scenario::duration::parse)]
    pub(super) wall: Option<Duration>,
    /// Runs that shrinking a finding may take; 0: findings are saved as they are.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(super) budget: usize,
    /// Change a setting: `defect=NAME` switches a historic bug on.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<Setting>,
    /// Store a line a case and the findings here. Default: findings alone, in scenarios/regress if that is there.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// For whom the report is.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
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
    #[arg(long, value_name = "N", default_value = "600")]
    pub(super) budget: NonZeroUsize,
    /// Try nothing more after so much wall time, such as `5m`.
    #[arg(long = "for", value_name = "SPAN", value_parser = crate::scenario::duration::parse)]
    pub(super) wall: Option<Duration>,
    /// Runs at a time. Default: one a core.
    #[arg(long, short = 'j', value_name = "J")]
    pub(super) jobs: Option<NonZeroUsize>,
    /// The scenario file to write. Default: one named after law and seed, in scenarios/regress if that is there.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The trace, as `run --trace` stored it.
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
    #[arg(long, short = 'j', value_name = "J")]
    pub(super) jobs: Option<NonZeroUsize>,
    /// Only the K-th of N shards, from 1.
    #[arg(long, value_name = "K/N", default_value = "1/1")]
    pub(super) partition: Partition,
    /// Stop after so many failing runs.
    #[arg(long, value_name = "F")]
    pub(super) max_fail: Option<NonZeroUsize>,
    /// Start no further run after so much wall time, such as `30m`.
    #[arg(long = "for", value_name = "SPAN", value_parser = crate::scenario::duration::parse)]
    pub(super) wall: Option<Duration>,
    /// Do this share of the runs twice and compare fingerprints, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(super) double: f64,
    /// Change a setting: `defect=NAME` switches a historic bug on.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<Setting>,
    /// Store records, timings and failures here.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// For whom the report is.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Runs of each scenario; figures are medians.
    #[arg(long, value_name = "N", default_value = "5")]
    pub(super) runs: NonZeroUsize,
    /// For whom the report is.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
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
        assert!("defekt=x".parse::<Setting>().unwrap_err().contains("did you mean `defect`?"));
        assert!("x".parse::<Setting>().is_err());
    }

    #[test]
    fn share_is_between_none_and_all() {
        assert_eq!(share("0.05"), Ok(0.05));
        for text in ["-0.1", "1.1", "NaN", "x"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
