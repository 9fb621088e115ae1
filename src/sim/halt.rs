//! Halts — decides how a run ends that was given up: at the next thing that any of its tasks does. It never decides
//! that it is given up, and never looks at a clock.
//!
//! A run that is stuck may record nothing and let no time pass, but its tasks are polled over and over. Once asked to
//! halt, a task that is polled wakes the run as a whole and sleeps for ever, so that the executor runs out of work.

use std::{
    future::{Future, poll_fn},
    panic::resume_unwind,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Poll, Waker},
};

/// More events than any step records.
const STEP_EVENTS_MAX: u32 = 100_000;

/// Whether a run was asked to halt. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Halt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    asked: AtomicBool,
    /// Events recorded since.
    recorded: AtomicU32,
    whole: Mutex<Option<Waker>>,
}

/// What unwinds out of a step that never ends by itself.
#[derive(Debug)]
pub(super) struct Halted;

impl Halt {
    /// Asks the run to halt; from any thread.
    pub(super) fn ask(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }

    fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// The run as a whole; none if it was halted.
    pub(super) async fn whole<F: Future>(&self, run: F) -> Option<F::Output> {
        let mut run = pin!(run);
        poll_fn(|cx| {
            if self.is_asked() {
                return Poll::Ready(None);
            }
            *self.0.whole.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            run.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// A task of the run.
    pub(crate) async fn part<F: Future>(self, task: F) -> F::Output {
        let mut task = pin!(task);
        poll_fn(|cx| {
            if self.is_asked() {
                self.wake_whole();
                return Poll::Pending;
            }
            task.as_mut().poll(cx)
        })
        .await
    }

    fn wake_whole(&self) {
        let whole = self.0.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.iter().for_each(Waker::wake_by_ref);
    }

    /// For a step that records events without end: it is left by unwinding, past the hook that tells of panics. Any
    /// other ends before.
    pub(super) fn heed(&self) {
        if self.is_asked() && self.0.recorded.fetch_add(1, Ordering::Relaxed) > STEP_EVENTS_MAX {
            resume_unwind(Box::new(Halted));
        }
    }
}
