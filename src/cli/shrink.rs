//! Shrinking from the command line — decides which plan is shrunk and where the result goes. It never decides what is
//! tried.

use std::path::{Path, PathBuf};

use super::{
    args::{RunArgs, ShrinkArgs},
    exit::{Exit, Failure},
    output::{Outlet, apart, say},
    run::stored_plan,
    source::subject,
};
use crate::{
    report::words::quoted_file,
    scenario::plan::Plan,
    shrink::{self, Budget, Target, Unshrinkable},
    sweep::aside::free,
    trial::Machine,
};

/// Where findings are kept.
const FINDINGS: &str = "scenarios/regress";

pub(super) fn shrink(args: &ShrinkArgs, machine: Machine) -> Result<Exit, Failure> {
    let plan = plan(args)?;
    apart(Path::new(&args.file), &[("--out", args.out.as_deref())])?;
    let outlet = args.out.as_deref().map(Outlet::open).transpose()?;
    let target = match &args.law {
        Some(law) => Some(Target::Law(law.clone())),
        None => shrink::target(&plan, machine),
    };
    let Some(target) = target else { return nothing(&Unshrinkable::Holds) };
    let default = Budget::default();
    let budget =
        Budget { runs: args.budget.get(), wall: args.wall, threads: args.jobs.unwrap_or(default.threads) };
    let shrunk = match shrink::shrink(&plan, &target, &budget, machine) {
        Ok(shrunk) => shrunk,
        Err(holds @ Unshrinkable::Holds) => return nothing(&holds),
        Err(error @ Unshrinkable::UnknownLaw(_)) => {
            return Err(Failure::usage(format!("error: {error}; `shardarium list laws` has them all")));
        }
        Err(error @ Unshrinkable::Unstable(_)) => {
            return Err(Failure::Internal(format!("internal error: {error}")));
        }
    };
    let text = shrink::file(&shrunk)
        .map_err(|why| Failure::Internal(format!("internal error: the result cannot be written: {why}")))?;
    let default = || free(&place(&shrink::file_name(&shrunk)), text.as_bytes());
    let path = args.out.clone().unwrap_or_else(default);
    let outlet = outlet.map_or_else(|| Outlet::open(&path), Ok)?;
    outlet.fill(|out| out.write_all(text.as_bytes()))?;
    let again = format!("\n  again   shardarium run {}\n", quoted_file(&path.to_string_lossy()));
    say(&(shrink::story(&shrunk) + &again))?;
    Ok(if shrunk.is_complete || args.wall.is_none() { Exit::Fine } else { Exit::Unfinished })
}

fn nothing(why: &Unshrinkable) -> Result<Exit, Failure> {
    say(&format!("nothing to shrink: {why}\n")).map(|()| Exit::Nothing)
}

/// A stored plan, else a scenario with its seed.
fn plan(args: &ShrinkArgs) -> Result<Plan, Failure> {
    let path = Path::new(&args.file);
    if path.extension().is_some_and(|end| end == "json" || end == "ndjson") {
        return stored_plan(path);
    }
    let subject = subject(Some(&args.file), &args.set)?;
    let seed = args.seed.or(subject.seed).unwrap_or(RunArgs::SEED);
    Ok(subject.plan(seed))
}

/// A place for a finding of this name.
pub(super) fn place(name: &str) -> PathBuf {
    let findings = Path::new(FINDINGS);
    if findings.is_dir() { findings.join(name) } else { PathBuf::from(name) }
}
