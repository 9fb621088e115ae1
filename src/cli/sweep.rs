//! Sweeping — decides the steps of a sweep: plan, make sure of the output, run, store, sum up. It never decides
//! what is kept of a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsString,
    fs, io,
    path::Path,
    time::Duration,
};

use super::{
    args::{Shard, SweepArgs},
    canary::{all_noticed, watched},
    exit::{Exit, Failure},
    output::{Outlet, say, told_of},
    progress::Progress,
    source::{command, subjects},
    summary::Summary,
};
use crate::{
    report::junit::Finding,
    scenario::plan::Plan,
    shrink::{self, Target},
    sweep::{
        self as sweeps, Counted, Done, Job, Ledger, Sweep, cores, explanation,
        manifest::Manifest,
        seeds::{Jobs, Partition},
        store::{ResumeError, Store, put},
        sweep as do_sweep,
    },
    trial::Machine,
};

pub(super) fn sweep(args: &SweepArgs, arguments: &[OsString], machine: Machine) -> Result<Exit, Failure> {
    let (partition, machine) = (partition(args)?, machine.within(args.time_limit));
    let mut sweep = planned(args, partition)?;
    let manifest = manifest(&sweep, partition, arguments);
    let mut summary = Summary::of(sweep.jobs.len(), &manifest.scenarios);
    let mut store =
        args.out.as_deref().map(|dir| open(dir, manifest, args.resume, &mut sweep)).transpose()?;
    if store.is_some() {
        summary.keep();
    }
    let junit = args.junit.as_deref().map(Outlet::open).transpose()?;
    let known = store.as_ref().map_or(&[][..], Store::canaries);
    let canaries = watched(&sweep, known, machine)?;
    store
        .as_mut()
        .map_or(Ok(()), |store| store.keep_canaries(&canaries))
        .map_err(|error| unfinished(&error))?;
    all_noticed(&canaries)?;
    summary.watch(canaries);
    let (progress, out) = (Progress::of(sweep.jobs.len() as u64), args.out.as_deref());
    let (counted, heads) = (BTreeSet::new(), BTreeMap::new());
    let shrinking = args.shrink.then_some(machine);
    let mut books = Books { sweep: &sweep, out, store, summary, progress, counted, heads, shrinking };
    let ending = do_sweep(&sweep, machine, &mut books);
    let Books { store, summary, progress, counted, .. } = books;
    progress.clear();
    // What was kept stays as it is if something could not be written.
    let ending = ending.map_err(|error| unfinished(&error))?;
    if let Some((store, dir)) = store.zip(out) {
        store
            .close(&counted, ending)
            .and_then(|()| summary.store(dir))
            .map_err(|error| unfinished(&error))?;
    }
    junit.map_or(Ok(()), |outlet| outlet.fill(|out| summary.junit(out)))?;
    say(&summary.report(args.format, ending))?;
    Ok(summary.exit(ending))
}

fn unfinished(error: &io::Error) -> Failure {
    Failure::Unfinished(format!(
        "error: cannot write results: {error}\n  what was kept stays: --resume goes on"
    ))
}

/// What shrinking one failing run of a sweep may take.
const SHRINKING: Duration = Duration::from_secs(60);

/// What is written down of a sweep.
struct Books<'a> {
    sweep: &'a Sweep,
    out: Option<&'a Path>,
    store: Option<Store>,
    summary: Summary,
    progress: Progress,
    counted: BTreeSet<String>,
    /// Beginnings of explanations, by key, of failing runs that do not count yet and are stored nowhere.
    heads: BTreeMap<String, String>,
    /// Runs smaller plans of those that fail, if that is asked for.
    shrinking: Option<Machine>,
}

impl Books<'_> {
    fn command(&self, job: Job) -> String {
        let subject = &self.sweep.subjects[job.subject];
        command(&subject.name, job.seed, &subject.set)
    }

    /// A smaller plan beside what is kept of a failing run.
    fn shrunk(&self, done: &Done, plan: &Plan) -> io::Result<()> {
        let (Some(machine), Some(out), Some(finding)) = (self.shrinking, self.out, &done.finding) else {
            return Ok(());
        };
        let target = match finding {
            sweeps::Finding::Judged(trial) => shrink::target_of(trial),
            sweeps::Finding::Panicked(_) => Some(Target::Panic),
            sweeps::Finding::Differs { .. } => None,
        };
        let text = target.and_then(|target| shrink::within(plan, &target, SHRINKING, machine));
        let Some(text) = text else { return Ok(()) };
        let path = out.join("failures").join(&done.record.key).join("shrunk.toml");
        put(&path, |file| file.write_all(text.as_bytes()))
    }
}

impl Ledger for Books<'_> {
    type Error = io::Error;

    fn keep(&mut self, done: &Done) -> io::Result<()> {
        let (plan, command) = (self.sweep.plan(done.job), self.command(done.job));
        let untold = done.finding.as_ref().filter(|_| self.store.is_none() && done.record.is_failure());
        if let Some(finding) = untold {
            self.heads.insert(done.record.key.clone(), head(&explanation(finding)));
        }
        self.store.as_mut().map_or(Ok(()), |store| store.keep(done, &plan, &command))?;
        self.shrunk(done, &plan)
    }

    fn count(&mut self, counted: Counted) {
        let command = self.command(counted.job);
        match counted.record {
            Some(record) => {
                let is_known = self.sweep.known.contains_key(&record.key);
                self.counted.insert(record.key.clone());
                let told = self.heads.remove(&record.key);
                let stored = || self.out.map_or(Finding::default(), |out| stored_finding(out, &record.key));
                let finding = match told {
                    Some(head) => Some(Finding { head, command }),
                    None if record.is_failure() => Some(Finding { command, ..stored() }),
                    None => None,
                };
                self.summary.add(record, counted.wall, || finding.unwrap_or_default());
                if is_known {
                    return self.progress.skip();
                }
            }
            None => self.summary.give_up(command),
        }
        self.progress.step(self.summary.wrong());
    }
}

/// Lines of an explanation that a report of many runs has room for.
const HEAD_LINES: usize = 14;

fn head(explanation: &str) -> String {
    explanation.lines().take(HEAD_LINES).collect::<Vec<_>>().join("\n")
}

/// What a results directory says of a failing run.
pub(super) fn stored_finding(dir: &Path, key: &str) -> Finding {
    let dir = dir.join("failures").join(key);
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    Finding { head: head(&read("explanation.txt")), command: read("command").trim_end().to_owned() }
}

#[expect(clippy::disallowed_methods, reason = "which shard is run, not what happens in a run")]
fn partition(args: &SweepArgs) -> Result<Partition, Failure> {
    match (args.partition, args.of) {
        (Shard::Given(_), Some(_)) => Err(Failure::usage("error: `--of N` goes with `--partition auto`")),
        (Shard::Given(partition), None) => Ok(partition),
        (Shard::Auto, of) => Partition::auto(|name| env::var(name).ok(), of)
            .map_err(|why| Failure::usage(format!("error: --partition auto: {why}"))),
    }
}

fn planned(args: &SweepArgs, partition: Partition) -> Result<Sweep, Failure> {
    let subjects = subjects(&args.scenarios, &args.set)?;
    let all = match (&args.seeds, args.runs) {
        (Some(seeds), _) => Jobs::over(subjects.len(), seeds),
        (None, count) => Jobs::spread(subjects.len(), count.unwrap_or_default()),
    };
    Ok(Sweep {
        subjects,
        jobs: all.of(partition),
        known: BTreeMap::new(),
        threads: args.jobs.unwrap_or_else(cores),
        fail_max: args.max_fail,
        double: args.double,
        wall_max: args.wall,
    })
}

fn manifest(sweep: &Sweep, partition: Partition, arguments: &[OsString]) -> Manifest {
    let arguments =
        arguments.iter().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    Manifest::of(sweep, partition, arguments)
}

fn open(dir: &Path, manifest: Manifest, resume: bool, sweep: &mut Sweep) -> Result<Store, Failure> {
    let opened = match resume {
        false => Store::open(dir, manifest).map_err(ResumeError::Io),
        true => Store::resume(dir, manifest).map(|(store, known)| {
            sweep.known = known;
            store
        }),
    };
    let opened = opened.inspect(|store| told_of(store.moved()));
    opened.map_err(|error| match error {
        ResumeError::Io(error) => {
            Failure::unwritable(format!("error: cannot write results to {}", dir.display()), &error)
        }
        other => Failure::usage(format!("error: cannot go on in {}: {other}", dir.display())),
    })
}
