//! Failures — decides what is kept of a run that failed: plan, trace, explanation, command. It never decides that it
//! did.

use std::{fs, io, path::Path};

use super::{
    Finding,
    store::{difference, fingerprint, put},
};
use crate::{
    report::{explain, trace_file},
    scenario::plan::Plan,
    trial::Trial,
};

/// Writes what is kept into a folder of its own; `command` reproduces the run.
///
/// # Errors
///
/// If a file cannot be written.
pub(super) fn keep(dir: &Path, finding: &Finding, plan: &Plan, command: &str) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    put(&dir.join("plan.json"), |out| Ok(serde_json::to_writer_pretty(out, plan)?))?;
    put(&dir.join("command"), |out| writeln!(out, "{command}"))?;
    match finding {
        Finding::Judged(found) => trace(dir, "trace.ndjson", found)?,
        Finding::Differs { first, second } => {
            trace(dir, "trace.ndjson", first)?;
            trace(dir, "trace-second.ndjson", second)?;
        }
        Finding::Panicked(error) => {
            let fingerprint = fingerprint(&error.events);
            put(&dir.join("trace.ndjson"), |out| trace_file::write(out, plan, &error.events, fingerprint))?;
        }
    }
    put(&dir.join("explanation.txt"), |out| out.write_all(explanation(finding).as_bytes()))
}

fn trace(dir: &Path, name: &str, trial: &Trial) -> io::Result<()> {
    let run = &trial.run;
    put(&dir.join(name), |out| trace_file::write(out, &trial.plan, &run.events, run.fingerprint))
}

/// What is wrong, for a person.
pub fn explanation(finding: &Finding) -> String {
    match finding {
        Finding::Judged(trial) => explain::plain_page(trial, None),
        Finding::Differs { first, second } => difference(&first.run.events, &second.run.events),
        Finding::Panicked(error) => format!("{error}\n"),
    }
}
