//! The pool — decides how runs are shared among threads. It never lets a thread's speed show in a result: what
//! it hands on is in the order of the jobs.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::{Done, Ending, Finding, Job, Sweep, record::Record};
use crate::{
    sim::RunError,
    trial::{Machine, Standing, Trial},
};

/// Does the runs of a sweep and hands each on, in the order of jobs.
///
/// # Errors
///
/// Whatever `each` returns ends the sweep.
pub fn sweep<E>(
    sweep: &Sweep,
    machine: Machine,
    mut each: impl FnMut(Done) -> Result<(), E>,
) -> Result<Ending, E> {
    let desk = Desk {
        sweep,
        machine,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        watch: Watch::start(),
    };
    thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        for _ in 0..sweep.threads.get().min(sweep.jobs.len()) {
            let sender = sender.clone();
            let desk = &desk;
            scope.spawn(move || desk.work(&sender));
        }
        drop(sender);
        let ending = in_order(sweep, &results, &mut each);
        desk.stop.store(true, Ordering::Relaxed);
        ending
    })
}

/// Takes results as they come and hands them on in order, until there are no more or enough have failed.
fn in_order<E>(
    sweep: &Sweep,
    results: &mpsc::Receiver<(usize, Done)>,
    each: &mut impl FnMut(Done) -> Result<(), E>,
) -> Result<Ending, E> {
    let mut waiting = BTreeMap::new();
    let (mut next, mut failures) = (0, 0);
    for (number, done) in results {
        waiting.insert(number, done);
        while let Some(done) = waiting.remove(&next) {
            next += 1;
            failures += usize::from(done.finding.as_ref().is_some_and(Finding::is_failure));
            each(done)?;
            if sweep.fail_max.is_some_and(|most| failures >= most.get()) {
                return Ok(Ending::EnoughFailures);
            }
        }
    }
    Ok(if next == sweep.jobs.len() { Ending::Complete } else { Ending::OutOfTime })
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
    fn work(&self, results: &mpsc::Sender<(usize, Done)>) {
        while !self.stop.load(Ordering::Relaxed) && !self.is_time_up() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.sweep.jobs.get(number) else { return };
            if results.send((number, self.done(*job))).is_err() {
                return;
            }
        }
    }

    fn is_time_up(&self) -> bool {
        self.sweep.wall_max.is_some_and(|most| self.watch.elapsed() >= most)
    }

    fn done(&self, job: Job) -> Done {
        let (key, plan) = (self.sweep.key(job), self.sweep.plan(job));
        let trial = match self.machine.trial(&plan) {
            Ok(trial) => trial,
            Err(error) => return panicked(job, Record::of_panic(key, &plan, &error), error),
        };
        let wall = trial.run.figures.wall;
        let mut record = Record::of(key, &trial);
        let finding = match self.second(&record.key, &trial) {
            Ok(None) => (trial.standing() != Standing::Holds).then(|| Finding::Judged(Box::new(trial))),
            Ok(Some(second)) => {
                record.verdict = "error".into();
                record.why = Some("two runs of one plan differ".into());
                Some(Finding::Differs { first: Box::new(trial), second: Box::new(second) })
            }
            Err(error) => return panicked(job, Record::of_panic(record.key, &plan, &error), error),
        };
        Done { job, record, wall, finding }
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
    Done { job, record, wall: Duration::ZERO, finding: Some(Finding::Panicked(Box::new(error))) }
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
