//! Run — decides how a plan becomes a record: one fresh operating system thread and one madsim runtime a
//! run. It never decides what happens inside.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use madsim::runtime::Runtime;

use crate::{
    event::Event, scenario::plan::Plan, search::allocation::AllocatorFactory, sim::world::World,
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

/// A run that did not come to its end: something panicked outside what is tested.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the run panicked at simulated time {at:?}: {message}")]
pub struct RunError {
    /// How far it came.
    pub at: Duration,
    /// What it said.
    pub message: String,
    /// What had happened until then.
    pub events: Vec<Event>,
}

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
    let plan = plan.clone();
    let thread = std::thread::Builder::new().name(format!("run-{}", plan.seed));
    let thread = thread.spawn(move || run_here(&plan, extensions)).expect("the system has a thread to give");
    thread.join().expect("panics inside a run are caught")
}

#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "wall time is a figure, never an event"
)]
fn run_here(plan: &Plan, extensions: Extensions) -> Result<Run, RunError> {
    let began = std::time::Instant::now();
    let runtime = Runtime::with_seed_and_config(plan.seed, madsim::Config::default());
    let world = World::new(plan, extensions, madsim_time(&runtime));
    let living = AssertUnwindSafe(|| runtime.block_on(Arc::clone(&world).live()));
    let outcome = catch_unwind(living);
    let simulated = world.now().since_start();
    let (events, fingerprint, messages) = world.finish();
    match outcome {
        Ok(()) => {
            runtime.block_on(async { world.end() });
            let (wall, cpu) = (began.elapsed(), processor_time());
            let figures = Figures { events: events.len() as u64, messages, simulated, wall, cpu };
            let loose_dice = world.dice().loose();
            Ok(Run { events, fingerprint, figures, loose_dice })
        }
        Err(panic) => Err(RunError { at: simulated, message: panic_message(&*panic), events }),
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

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
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
}
