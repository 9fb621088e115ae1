//! Progress — decides what is shown of a sweep under way: on a terminal only, on stderr. It never counts a run.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar is drawn anew while nothing ends.
const TICK: Duration = Duration::from_millis(500);

/// A bar with rate, failing runs and time left; hidden where stderr is no terminal.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many runs.
    pub(super) fn of(runs: usize) -> Self {
        let bar = ProgressBar::new(runs as u64);
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} runs, {per_sec}, {msg}, {eta} left");
        bar.set_style(style.expect("the template is sound"));
        bar.set_message("none failing");
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }

    /// A run was done before: it says nothing about the rate.
    pub(super) fn skip(&self) {
        self.0.inc(1);
        self.0.reset_eta();
    }

    /// A run has ended.
    pub(super) fn step(&self, failing: usize) {
        self.0.inc(1);
        if failing > 0 {
            self.0.set_message(format!("{failing} failing"));
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
