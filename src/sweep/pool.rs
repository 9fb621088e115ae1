//! The pool — decides how runs are shared among threads. It never lets a thread's speed show in a result: what
//! counts, counts in the order of the jobs.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::{Counted, Done, Ending, Finding, Job, Sweep, record::Record};
use crate::{
    scenario::plan::Plan,
    sim::RunError,
    trial::{Machine, Trial},
};

/// What becomes of runs.
pub trait Ledger {
    /// Why a run cannot be kept; ends the sweep.
    type Error;

    /// Keeps a run that has just ended. Runs end in any order.
    ///
    /// # Errors
    ///
    /// If it cannot be kept.
    fn keep(&mut self, done: &Done) -> Result<(), Self::Error>;

    /// Counts the next run, in the order of jobs; those that were known or given up are among them.
    fn count(&mut self, counted: Counted);
}

/// Does the runs of a sweep and hands each on: as it ends, and in the order of jobs.
///
/// # Errors
///
/// Whatever the ledger returns ends the sweep.
pub fn sweep<L: Ledger>(sweep: &Sweep, machine: Machine, ledger: &mut L) -> Result<Ending, L::Error> {
    let desk = Desk {
        sweep,
        machine,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        watch: Watch::start(),
    };
    thread::scope(|scope| {
        // What waits to be kept holds a whole record: a thread that is far ahead waits.
        let (sender, results) = mpsc::sync_channel(sweep.threads.get());
        for _ in 0..sweep.threads.get().min(sweep.jobs.len()) {
            let sender = sender.clone();
            let desk = &desk;
            scope.spawn(move || desk.work(&sender));
        }
        drop(sender);
        let ending = in_order(sweep, results, ledger);
        desk.stop.store(true, Ordering::Relaxed);
        ending
    })
}

/// A run as a thread hands it on.
enum Outcome {
    Ended(Done),
    Known(Job, Record),
    GivenUp(Job),
}

/// Keeps results as they come and counts them in order, until there are no more or enough have failed.
fn in_order<L: Ledger>(
    sweep: &Sweep,
    results: mpsc::Receiver<(usize, Outcome)>,
    ledger: &mut L,
) -> Result<Ending, L::Error> {
    let mut waiting = BTreeMap::new();
    let (mut next, mut failures, mut given_up) = (0, 0, 0);
    for (number, result) in results {
        waiting.insert(number, kept(result, ledger)?);
        while let Some(counted) = waiting.remove(&next) {
            next += 1;
            failures += usize::from(counted.record.as_ref().is_some_and(Record::is_failure));
            given_up += usize::from(counted.record.is_none());
            ledger.count(counted);
            if sweep.fail_max.is_some_and(|most| failures >= most.get()) {
                return Ok(Ending::EnoughFailures);
            }
        }
    }
    Ok(if next == sweep.jobs.len() && given_up == 0 { Ending::Complete } else { Ending::OutOfTime })
}

fn kept<L: Ledger>(result: Outcome, ledger: &mut L) -> Result<Counted, L::Error> {
    Ok(match result {
        Outcome::Ended(done) => {
            ledger.keep(&done)?;
            Counted { job: done.job, record: Some(done.record), wall: done.wall }
        }
        Outcome::Known(job, record) => Counted { job, record: Some(record), wall: Duration::ZERO },
        Outcome::GivenUp(job) => Counted { job, record: None, wall: Duration::ZERO },
    })
}

/// Where threads fetch their work.
struct Desk<'a> {
    sweep: &'a Sweep,
    machine: Machine,
    next: AtomicUsize,
    stop: AtomicBool,
    watch: Watch,
}

impl Desk<'_> {
    fn work(&self, results: &mpsc::SyncSender<(usize, Outcome)>) {
        while !self.stop.load(Ordering::Relaxed) && !self.is_time_up() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.sweep.jobs.get(number) else { return };
            if results.send((number, self.result(*job))).is_err() {
                return;
            }
        }
    }

    fn is_time_up(&self) -> bool {
        self.sweep.wall_max.is_some_and(|most| self.watch.elapsed() >= most)
    }

    fn result(&self, job: Job) -> Outcome {
        let key = self.sweep.key(job);
        match self.sweep.known.get(&key) {
            Some(record) => Outcome::Known(job, record.clone()),
            None => self.done(job, key).map_or(Outcome::GivenUp(job), Outcome::Ended),
        }
    }

    /// None if it took too long.
    fn done(&self, job: Job, key: String) -> Option<Done> {
        let set = self.sweep.subjects[job.subject].set_text();
        let plan = self.sweep.plan(job);
        let trial = match self.trial(&plan)? {
            Ok(trial) => trial,
            Err(error) => return Some(panicked(job, Record::of_panic(key, &set, &plan, &error), error)),
        };
        let (wall, cpu) = (trial.run.figures.wall, trial.run.figures.cpu);
        let mut record = Record::of(key, &set, &trial);
        let finding = match self.second(&record.key, &trial)? {
            Ok(None) => Finding::of(trial),
            Ok(Some(second)) => {
                record.verdict = "error".into();
                record.why = Some("two runs of one plan differ".into());
                Some(Finding::Differs { first: Box::new(trial), second: Box::new(second) })
            }
            Err(error) => {
                return Some(panicked(job, Record::of_panic(record.key, &set, &plan, &error), error));
            }
        };
        Some(Done { job, record, wall, cpu, finding })
    }

    /// The second run of a plan that is done twice, if it differs from the first; none if it took too long.
    fn second(&self, key: &str, first: &Trial) -> Option<Result<Option<Trial>, RunError>> {
        if !self.sweep.is_doubled(key) {
            return Some(Ok(None));
        }
        let second = self.trial(&first.plan)?;
        Some(second.map(|second| (second.run.fingerprint != first.run.fingerprint).then_some(second)))
    }

    /// Runs and judges a plan; none if it takes too long. What was given up may go on in the background until the
    /// process ends: a thread cannot be stopped from outside.
    #[expect(clippy::disallowed_methods, reason = "a thread that can be left behind, outside of any run")]
    fn trial(&self, plan: &Plan) -> Option<Result<Trial, RunError>> {
        let Some(most) = self.sweep.run_wall_max else { return Some(self.machine.trial(plan)) };
        let (sender, result) = mpsc::channel();
        let (machine, plan) = (self.machine, plan.clone());
        thread::spawn(move || {
            // Nobody listens any more if it took too long.
            let _ = sender.send(machine.trial(&plan));
        });
        result.recv_timeout(most).ok()
    }
}

fn panicked(job: Job, record: Record, error: RunError) -> Done {
    let finding = Some(Finding::Panicked(Box::new(error)));
    Done { job, record, wall: Duration::ZERO, cpu: None, finding }
}

/// Wall time since a start: outside of runs, where nothing simulated can see it.
pub(crate) struct Watch(
    #[expect(clippy::disallowed_types, reason = "the wall time of a sweep, outside of any run")]
    std::time::Instant,
);

impl Watch {
    #[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the wall time of a sweep")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
