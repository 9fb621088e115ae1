//! Run and replay — decides the steps of a single run: read, make sure of the outputs, run, report, store. It
//! never judges.

use std::{fs, path::Path};

use super::{
    args::{Format, ReplayArgs, RunArgs},
    exit::{Exit, Failure},
    output::{Outlet, apart, say},
    source::{command, subject},
};
use crate::{
    event::Event,
    report::{explain, json, scenario_file, text, trace_file, words::quoted_file},
    scenario::{check::Vocabulary, plan::Plan},
    sim::RunError,
    sweep::store,
    trial::{Machine, Standing, Trial},
    workload::arrivals::expand,
};

pub(super) fn run(args: &RunArgs, machine: Machine) -> Result<Exit, Failure> {
    let subject = subject(args.scenario.as_deref(), &args.set)?;
    let seed = args.seed.or(subject.seed).unwrap_or(RunArgs::SEED);
    let plan = subject.plan(seed);
    let again = command(&subject.name, seed, &subject.set);
    let outputs = Outputs::open(subject.name.as_ref(), args.trace.as_deref(), args.save.as_deref())?;
    once(&plan, outputs, View::Whole, (args.format, &again), machine)
}

pub(super) fn replay(args: &ReplayArgs, machine: Machine) -> Result<Exit, Failure> {
    let plan = stored_plan(&args.file)?;
    let again = format!("shardarium replay {}", quoted_file(&args.file.to_string_lossy()));
    let outputs = Outputs::open(&args.file, args.trace.as_deref(), args.save.as_deref())?;
    once(&plan, outputs, View::Explanation, (args.format, &again), machine)
}

/// What a run leaves behind beside its report.
struct Outputs {
    trace: Option<Outlet>,
    save: Option<Outlet>,
}

impl Outputs {
    /// Makes sure of each before the work; neither replaces the `source` of the run.
    fn open(source: &Path, trace: Option<&Path>, save: Option<&Path>) -> Result<Self, Failure> {
        apart(source, &[("--trace", trace), ("--save", save)])?;
        Ok(Self { trace: trace.map(Outlet::open).transpose()?, save: save.map(Outlet::open).transpose()? })
    }
}

fn once(
    plan: &Plan,
    outputs: Outputs,
    view: View,
    (format, again): (Format, &str),
    machine: Machine,
) -> Result<Exit, Failure> {
    let trial = match machine.trial(plan) {
        Ok(trial) => trial,
        Err(error) => return Err(panicked(plan, outputs, &error, again)),
    };
    if let Some(outlet) = outputs.trace {
        keep(outlet, plan, &trial.run.events, trial.run.fingerprint)?;
    }
    if let Some(outlet) = outputs.save {
        save(outlet, plan, &scenario_file::comment(&trial))?;
    }
    trial.run.loose_dice.iter().for_each(|loose| anstream::eprintln!("warning: {loose}"));
    say(&report(&trial, view, format, again))?;
    Ok(trial.standing().into())
}

/// What is shown of a run that broke no law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// All that is worth reading.
    Whole,
    /// The last state changes.
    Explanation,
}

/// A failure is always explained.
fn report(trial: &Trial, view: View, format: Format, again: &str) -> String {
    match format {
        Format::Text if view == View::Explanation || trial.standing() == Standing::Broken => {
            explain::page(trial, Some(again))
        }
        Format::Text => text::report(trial, again),
        Format::Json => json::report(trial, again) + "\n",
    }
}

fn keep(outlet: Outlet, plan: &Plan, events: &[Event], fingerprint: u128) -> Result<(), Failure> {
    outlet.fill(|out| trace_file::write(out, plan, events, fingerprint))
}

fn save(outlet: Outlet, plan: &Plan, comment: &str) -> Result<(), Failure> {
    let text = scenario_file::write(&expand(plan), comment)
        .map_err(|why| Failure::usage(format!("error: the plan cannot be saved: {why}")))?;
    outlet.fill(|out| out.write_all(text.as_bytes()))
}

/// What happened until the panic is stored all the same, and the plan that led to it.
fn panicked(plan: &Plan, outputs: Outputs, error: &RunError, again: &str) -> Failure {
    let fingerprint = store::fingerprint(&error.events);
    let kept = outputs.trace.map(|outlet| keep(outlet, plan, &error.events, fingerprint));
    let saved = outputs.save.map(|outlet| save(outlet, plan, &error.to_string()));
    let failures = [kept, saved].into_iter().flatten().filter_map(Result::err);
    let also: String = failures.map(|failure| format!("\n{}", failure.message())).collect();
    Failure::Internal(format!("internal error: {error}\n  again: {again}{also}"))
}

/// The plan of a `plan.json`, or in the first line of a trace.
pub(super) fn stored_plan(path: &Path) -> Result<Plan, Failure> {
    let name = path.display();
    let bytes =
        fs::read(path).map_err(|error| Failure::usage(format!("error: cannot read {name}: {error}")))?;
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match serde_json::from_slice::<trace_file::Header>(first) {
        Ok(header) => return sound(header.plan, path),
        Err(error) if first.starts_with(trace_file::MARK) => {
            return Err(Failure::usage(format!(
                "error: {name}: the plan of the trace cannot be read: {error}"
            )));
        }
        Err(_) => {}
    }
    let plan = serde_json::from_slice(&bytes).map_err(|error| {
        let why = match path.extension() {
            Some(end) if end == "toml" => {
                format!("a scenario file is for `shardarium run {}`", quoted_file(&path.to_string_lossy()))
            }
            _ => error.to_string(),
        };
        Failure::usage(format!("error: {name} is neither a stored plan nor a trace: {why}"))
    })?;
    sound(plan, path)
}

fn sound(plan: Plan, path: &Path) -> Result<Plan, Failure> {
    match plan.unsound(&Vocabulary::current()) {
        None => Ok(plan),
        Some(why) => Err(Failure::usage(format!("error: {}: the plan cannot be run: {why}", path.display()))),
    }
}
