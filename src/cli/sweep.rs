//! Sweeping — decides the steps of a sweep: plan, make sure of the output, run, store, sum up. It never decides
//! what is kept of a run.

use std::{ffi::OsString, io, num::NonZeroUsize, path::Path, thread};

use super::{
    args::SweepArgs,
    exit::{Exit, Failure},
    output::say,
    source::{command, subjects},
    summary::Summary,
};
use crate::{
    sweep::{
        Sweep,
        seeds::{over_seeds, runs},
        store::{Manifest, Store},
        sweep as do_sweep,
    },
    trial::Machine,
};

pub(super) fn sweep(args: &SweepArgs, arguments: &[OsString], machine: Machine) -> Result<Exit, Failure> {
    let sweep = planned(args)?;
    let mut store = args.out.as_deref().map(|dir| open(dir, args, &sweep, arguments)).transpose()?;
    let mut summary = Summary::of(&sweep);
    let ending = do_sweep(&sweep, machine, |done| {
        let subject = &sweep.subjects[done.job.subject];
        let plan = sweep.plan(done.job);
        let again = command(&subject.name, &plan, &args.set);
        if let Some(store) = &mut store {
            store.add(&done, &plan, &again)?;
        }
        summary.add(&done, again);
        summary.show_progress();
        Ok::<(), io::Error>(())
    });
    summary.clear_progress();
    store.map_or(Ok(()), Store::close).map_err(|error| unfinished(&error))?;
    let ending = ending.map_err(|error| unfinished(&error))?;
    say(&summary.report(args.format, ending))?;
    Ok(summary.exit(ending))
}

fn unfinished(error: &io::Error) -> Failure {
    Failure::Unfinished(format!("error: cannot write results: {error}"))
}

fn planned(args: &SweepArgs) -> Result<Sweep, Failure> {
    let subjects = subjects(&args.scenarios, &args.set)?;
    let all = match (&args.seeds, args.runs) {
        (Some(seeds), _) => over_seeds(subjects.len(), seeds),
        (None, count) => runs(subjects.len(), count.unwrap_or_default()),
    };
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(Sweep {
        subjects,
        jobs: args.partition.of(all),
        threads: args.jobs.unwrap_or_else(cores),
        fail_max: args.max_fail,
        double: args.double,
        wall_max: args.wall,
    })
}

fn open(dir: &Path, args: &SweepArgs, sweep: &Sweep, arguments: &[OsString]) -> Result<Store, Failure> {
    let arguments =
        arguments.iter().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let titles = sweep.subjects.iter().map(|subject| subject.plan.title.clone()).collect();
    let partition = format!("{}/{}", args.partition.number, args.partition.of);
    let mut manifest = Manifest::new(arguments, titles, partition);
    manifest.runs = sweep.jobs.len();
    let seeds = sweep.jobs.iter().map(|job| job.seed);
    manifest.seeds = seeds.clone().min().zip(seeds.max());
    Store::open(dir, &manifest)
        .map_err(|error| Failure::usage(format!("error: cannot write results to {}: {error}", dir.display())))
}
