//! The pool — decides how runs are shared among threads. It never lets a thread's speed show in a result: what
//! counts, counts in the order of the jobs.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::{Counted, Done, Ending, Finding, Job, Sweep, record::Record};
use crate::{
    sim::RunError,
    trial::{Machine, Trial},
};

/// As many threads as there are cores.
pub fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

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
    let desk = Desk { sweep, machine };
    let mut count = Count { sweep, ledger, done: 0, failures: 0, given_up: 0 };
    let threads = sweep.threads.get().min(sweep.jobs.len());
    // What waits to be kept holds a whole record: a thread that is far ahead waits.
    let work = |number: usize| sweep.jobs.get(number).map(|job| desk.result(job));
    match side_by_side((threads, sweep.threads.get()), sweep.wall_max, work, &mut count)? {
        ControlFlow::Break(()) => Ok(Ending::EnoughFailures),
        ControlFlow::Continue(()) => Ok(count.ending()),
    }
}

/// Who takes what threads have done.
pub(crate) trait Clerk {
    /// What a thread has done.
    type Work: Send;
    /// What counts of it.
    type Kept;
    /// Why it cannot go on.
    type Error;

    /// Takes what has just been done, in any order.
    fn keep(&mut self, work: Self::Work) -> Result<Self::Kept, Self::Error>;

    /// Counts what was done, in the order of its numbers, until it is enough.
    fn count(&mut self, kept: Self::Kept) -> Result<ControlFlow<()>, Self::Error>;
}

/// Does work of the numbers from 0 on threads, until there is no such work, it is enough or the time is up; as much may
/// wait for the clerk as `ahead` says.
pub(crate) fn side_by_side<C: Clerk>(
    (threads, ahead): (usize, usize),
    wall_max: Option<Duration>,
    work: impl Fn(usize) -> Option<C::Work> + Sync,
    clerk: &mut C,
) -> Result<ControlFlow<()>, C::Error> {
    let (next, stop, watch) = (AtomicUsize::new(0), AtomicBool::new(false), Watch::start());
    let is_over = || stop.load(Ordering::Relaxed) || wall_max.is_some_and(|most| watch.elapsed() >= most);
    let fetch = |results: &mpsc::SyncSender<_>| {
        while !is_over() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(done) = work(number) else { return };
            if results.send((number, done)).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        let (sender, results) = mpsc::sync_channel(ahead);
        for _ in 0..threads {
            let (sender, fetch) = (sender.clone(), &fetch);
            scope.spawn(move || fetch(&sender));
        }
        drop(sender);
        let ending = in_order(results, clerk);
        stop.store(true, Ordering::Relaxed);
        ending
    })
}

fn in_order<C: Clerk>(
    results: mpsc::Receiver<(usize, C::Work)>,
    clerk: &mut C,
) -> Result<ControlFlow<()>, C::Error> {
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    for (number, work) in results {
        waiting.insert(number, clerk.keep(work)?);
        while let Some(kept) = waiting.remove(&next) {
            next += 1;
            if clerk.count(kept)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// A run as a thread hands it on.
enum Outcome {
    Ended(Done),
    Known(Job, Record),
    GivenUp(Job),
}

/// A sweep as far as it has been counted.
struct Count<'a, L> {
    sweep: &'a Sweep,
    ledger: &'a mut L,
    done: usize,
    failures: usize,
    given_up: usize,
}

impl<L> Count<'_, L> {
    fn ending(&self) -> Ending {
        if self.done == self.sweep.jobs.len() && self.given_up == 0 {
            Ending::Complete
        } else {
            Ending::OutOfTime
        }
    }
}

impl<L: Ledger> Clerk for Count<'_, L> {
    type Work = Outcome;
    type Kept = Counted;
    type Error = L::Error;

    fn keep(&mut self, result: Outcome) -> Result<Counted, L::Error> {
        kept(result, self.ledger)
    }

    fn count(&mut self, counted: Counted) -> Result<ControlFlow<()>, L::Error> {
        self.done += 1;
        self.failures += usize::from(counted.record.as_ref().is_some_and(Record::is_failure));
        self.given_up += usize::from(counted.record.is_none());
        self.ledger.count(counted);
        let is_enough = self.sweep.fail_max.is_some_and(|most| self.failures >= most.get());
        Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
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

/// What threads do their work with.
struct Desk<'a> {
    sweep: &'a Sweep,
    machine: Machine,
}

impl Desk<'_> {
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
        let trial = match self.machine.trial(&plan) {
            Ok(trial) => trial,
            Err(error) if error.is_given_up() => return None,
            Err(error) => return Some(panicked(job, Record::of_panic(key, &set, &plan, &error), error)),
        };
        let (wall, cpu) = (trial.run.figures.wall, trial.run.figures.cpu);
        let mut record = Record::of(key, &set, &trial);
        let finding = match self.second(&record.key, &trial) {
            Ok(None) => Finding::of(trial),
            Ok(Some(second)) => {
                record.verdict = "error".into();
                record.why = Some("two runs of one plan differ".into());
                Some(Finding::Differs { first: Box::new(trial), second: Box::new(second) })
            }
            Err(error) if error.is_given_up() => return None,
            Err(error) => {
                return Some(panicked(job, Record::of_panic(record.key, &set, &plan, &error), error));
            }
        };
        Some(Done { job, record, wall, cpu, finding })
    }

    /// The second run of a plan that is done twice, if it differs from the first.
    fn second(&self, key: &str, first: &Trial) -> Result<Option<Trial>, RunError> {
        if !self.sweep.is_doubled(key) {
            return Ok(None);
        }
        let second = self.machine.trial(&first.plan)?;
        Ok((second.run.fingerprint != first.run.fingerprint).then_some(second))
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
