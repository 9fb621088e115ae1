//! Run and replay — decides the steps of a single run: read, make sure of the outputs, run, report, store. It
//! never judges.

use std::{fs, path::Path};

use super::{
    args::{Format, ReplayArgs, RunArgs},
    exit::{Exit, Failure},
    output::{Outlet, say},
    source::{command, subject},
};
use crate::{
    event::Event,
    report::{json, text, trace_file, words::quoted},
    scenario::{check::Vocabulary, plan::Plan},
    sim::RunError,
    sweep::store,
    trial::{Machine, Trial},
};

pub(super) fn run(args: &RunArgs, machine: Machine) -> Result<Exit, Failure> {
    let subject = subject(args.scenario.as_deref(), &args.set)?;
    let plan = Plan { seed: args.seed, ..subject.plan };
    let again = command(&subject.name, &plan, &args.set);
    once(&plan, args.trace.as_deref(), args.format, &again, machine)
}

pub(super) fn replay(args: &ReplayArgs, machine: Machine) -> Result<Exit, Failure> {
    let plan = stored_plan(&args.file)?;
    let again = format!("shardarium replay {}", quoted(&args.file.to_string_lossy()));
    once(&plan, args.trace.as_deref(), args.format, &again, machine)
}

fn once(
    plan: &Plan,
    trace: Option<&Path>,
    format: Format,
    again: &str,
    machine: Machine,
) -> Result<Exit, Failure> {
    let outlet = trace.map(Outlet::open).transpose()?;
    let trial = match machine.trial(plan) {
        Ok(trial) => trial,
        Err(error) => return Err(panicked(plan, outlet, &error, again)),
    };
    if let Some(outlet) = outlet {
        keep(outlet, plan, &trial.run.events, trial.run.fingerprint)?;
    }
    say(&report(&trial, format, again))?;
    Ok(trial.standing().into())
}

fn report(trial: &Trial, format: Format, again: &str) -> String {
    match format {
        Format::Text => text::report(trial, again),
        Format::Json => json::report(trial, again) + "\n",
    }
}

fn keep(outlet: Outlet, plan: &Plan, events: &[Event], fingerprint: u128) -> Result<(), Failure> {
    outlet.fill(|out| trace_file::write(out, plan, events, fingerprint))
}

/// What happened until the panic is stored all the same.
fn panicked(plan: &Plan, outlet: Option<Outlet>, error: &RunError, again: &str) -> Failure {
    let kept = outlet.map(|outlet| keep(outlet, plan, &error.events, store::fingerprint(&error.events)));
    let also = kept.and_then(Result::err).map_or(String::new(), |failure| format!("\n{}", failure.message()));
    Failure::Internal(format!("internal error: {error}\n  again: {again}{also}"))
}

/// The plan of a `plan.json`, or in the first line of a trace.
fn stored_plan(path: &Path) -> Result<Plan, Failure> {
    let name = path.display();
    let bytes =
        fs::read(path).map_err(|error| Failure::usage(format!("error: cannot read {name}: {error}")))?;
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Ok(header) = serde_json::from_slice::<trace_file::Header>(first) {
        return sound(header.plan, path);
    }
    let plan = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::usage(format!("error: {name} is neither a stored plan nor a trace: {error}"))
    })?;
    sound(plan, path)
}

fn sound(plan: Plan, path: &Path) -> Result<Plan, Failure> {
    match plan.unsound(&Vocabulary::current()) {
        None => Ok(plan),
        Some(why) => Err(Failure::usage(format!("error: {}: the plan cannot be run: {why}", path.display()))),
    }
}
