//! Run — decides how a plan becomes a record: one fresh operating system thread and one madsim runtime a
//! run. It never decides what happens inside.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    time::Duration,
};

use madsim::runtime::Runtime;

use crate::{
    event::Event,
    scenario::plan::Plan,
    search::allocation::AllocatorFactory,
    sim::{
        halt::{Halt, Halted},
        world::World,
    },
    workload::guest::WorkloadFactory,
};

/// What a caller brings into a run that no plan can say. Runs with it are repeated by the same call, not by
/// their plan alone.
#[derive(Debug, Clone, Default)]
pub struct Extensions {
    /// What decides where copies go, instead of the plan's.
    pub allocator: Option<AllocatorFactory>,
    /// What asks beside the plan's clients.
    pub workload: Option<WorkloadFactory>,
}

/// What a run leaves behind.
#[derive(Debug, Clone)]
pub struct Run {
    /// Everything that happened, in order.
    pub events: Vec<Event>,
    /// The hash over all of it.
    pub fingerprint: u128,
    /// Its size.
    pub figures: Figures,
    /// Fixed draws that came to nothing, and why: no part of the record.
    pub loose_dice: Vec<String>,
}

/// The size of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Events recorded.
    pub events: u64,
    /// Messages that arrived at a core.
    pub messages: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Wall time.
    pub wall: Duration,
    /// Time on a processor, where the system tells.
    pub cpu: Option<Duration>,
}

/// A run that did not come to its end.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the run {} at simulated time {at:?}: {message}", ending.word())]
pub struct RunError {
    /// How it ended instead.
    pub ending: EarlyEnd,
    /// How far it came.
    pub at: Duration,
    /// What it said.
    pub message: String,
    /// What had happened until then.
    pub events: Vec<Event>,
}

/// How a run ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyEnd {
    /// Something panicked outside what is tested.
    Panicked,
    /// It took too long.
    GivenUp,
}

impl EarlyEnd {
    fn word(self) -> &'static str {
        match self {
            Self::Panicked => "panicked",
            Self::GivenUp => "was given up",
        }
    }
}

impl RunError {
    /// Whether it took too long, which says nothing about what was tested.
    pub fn is_given_up(&self) -> bool {
        self.ending == EarlyEnd::GivenUp
    }

    /// A halted run unwinds too, if it was in the middle of a step.
    fn of_unwinding(payload: &(dyn std::any::Any + Send)) -> Self {
        if payload.is::<Halted>() {
            return Self::given_up();
        }
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Self::new(EarlyEnd::Panicked, text.unwrap_or("no message"))
    }

    fn given_up() -> Self {
        Self::new(EarlyEnd::GivenUp, "it took too long")
    }

    fn new(ending: EarlyEnd, message: &str) -> Self {
        Self { ending, at: Duration::ZERO, message: message.to_owned(), events: Vec::new() }
    }
}

/// How long a run that was asked to halt may take to do so: no longer than any one step.
const LAST_STEP_MAX: Duration = Duration::from_secs(10);

/// Runs a plan on a fresh thread and waits for its end.
///
/// The thread is fresh since std's `RandomState` advances with each hash map that a thread makes: a run on a
/// used thread would see other map orders inside libraries.
///
/// # Errors
///
/// If anything panics inside the run.
pub fn run(plan: &Plan) -> Result<Run, RunError> {
    run_with(plan, Extensions::default())
}

/// The same with something of one's own in it.
///
/// # Errors
///
/// If anything panics inside the run.
pub fn run_with(plan: &Plan, extensions: Extensions) -> Result<Run, RunError> {
    run_within(plan, extensions, None)
}

/// The same, but given up after so much wall time.
///
/// The run ends with what it was doing then. Only a single step that neither ends nor records anything cannot be
/// stopped: its thread is left behind.
///
/// # Errors
///
/// If anything panics inside the run, or it takes too long.
pub fn run_within(plan: &Plan, extensions: Extensions, wall_max: Option<Duration>) -> Result<Run, RunError> {
    let (plan, halt, (sender, ended)) = (plan.clone(), Halt::default(), mpsc::channel());
    let heeded = halt.clone();
    let thread = std::thread::Builder::new().name(format!("run-{}", plan.seed));
    let work = move || {
        // Nobody listens any more to one that could not be stopped.
        let _ = sender.send(run_here(&plan, extensions, &heeded));
    };
    let thread = thread.spawn(work).expect("the system has a thread to give");
    let outcome = match wall_max {
        None => ended.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
        Some(most) => ended.recv_timeout(most).or_else(|_| {
            halt.ask();
            ended.recv_timeout(LAST_STEP_MAX)
        }),
    };
    if outcome.as_ref().is_err_and(|error| *error == mpsc::RecvTimeoutError::Timeout) {
        return Err(RunError::given_up());
    }
    thread.join().expect("panics inside a run are caught");
    outcome.expect("a run that ends says how")
}

#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "wall time is a figure, never an event"
)]
fn run_here(plan: &Plan, extensions: Extensions, halt: &Halt) -> Result<Run, RunError> {
    let began = std::time::Instant::now();
    let runtime = Runtime::with_seed_and_config(plan.seed, madsim::Config::default());
    let world = World::with_halt(plan, extensions, madsim_time(&runtime), halt.clone());
    let living = || runtime.block_on(halt.whole(Arc::clone(&world).live()));
    let outcome = catch_unwind(AssertUnwindSafe(living));
    let simulated = world.now().since_start();
    let (events, fingerprint, messages) = world.finish();
    // What panicked once may do so again; then what it holds stays.
    let _ = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { world.end() })));
    match outcome {
        Ok(Some(())) => {
            let (wall, cpu) = (began.elapsed(), processor_time());
            let figures = Figures { events: events.len() as u64, messages, simulated, wall, cpu };
            let loose_dice = world.dice().loose();
            Ok(Run { events, fingerprint, figures, loose_dice })
        }
        Ok(None) => Err(RunError { at: simulated, events, ..RunError::given_up() }),
        Err(payload) => Err(RunError { at: simulated, events, ..RunError::of_unwinding(&*payload) }),
    }
}

/// How long this thread has been on a processor: Linux counts it in nanoseconds.
fn processor_time() -> Option<Duration> {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    counts.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn madsim_time(runtime: &Runtime) -> madsim::time::TimeHandle {
    runtime.block_on(async { madsim::time::TimeHandle::current() })
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use super::*;
    use crate::scenario::{check::Vocabulary, read::read};

    #[test]
    fn ended_run_is_freed() {
        let text = "title = \"x\"\nduration = \"5s\"\n[[indices]]\nname = \"articles\"\n";
        let plan = read("x", text, &Vocabulary::current()).unwrap().plan(1);
        let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
        let world = World::new(&plan, Extensions::default(), madsim_time(&runtime));
        runtime.block_on(Arc::clone(&world).live());
        runtime.block_on(async { world.end() });
        let rest = Arc::downgrade(&world);
        drop((world, runtime));
        assert!(rest.upgrade().is_none(), "somebody holds the world");
    }
    #[test]
    fn run_that_hangs_without_an_event_is_given_up_and_freed() {
        let text = "title = \"x\"\nduration = \"24h\"\n";
        let plan = read("x", text, &Vocabulary::current()).unwrap().plan(1);
        let held = Arc::new(());
        let kept = Arc::downgrade(&held);
        let workload = WorkloadFactory::new(move |_| {
            let held = Arc::clone(&held);
            poll_fn(move |cx| {
                let _ = &held;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        });
        let extensions = Extensions { workload: Some(workload), ..Extensions::default() };
        let error = run_within(&plan, extensions, Some(Duration::from_secs(2))).unwrap_err();
        assert!(error.is_given_up() && !error.events.is_empty(), "{error}");
        assert!(kept.upgrade().is_none(), "the run goes on somewhere");
    }

    #[test]
    fn endless_step_is_left_by_unwinding() {
        let text = "title = \"x\"\nduration = \"24h\"\n";
        let plan = read("x", text, &Vocabulary::current()).unwrap().plan(1);
        let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
        let halt = Halt::default();
        let world = World::with_halt(&plan, Extensions::default(), madsim_time(&runtime), halt.clone());
        halt.ask();
        let step = AssertUnwindSafe(|| {
            loop {
                world.record(None, crate::event::EventKind::QuietBegan);
            }
        });
        let payload = catch_unwind(step).unwrap_err();
        assert!(RunError::of_unwinding(&*payload).is_given_up());
    }
}
