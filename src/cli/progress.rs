//! Progress — decides what is shown of a sweep under way: on a terminal only, on stderr. It never counts a run.

use std::{fmt, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar is drawn anew while nothing ends.
const TICK: Duration = Duration::from_millis(500);

/// Runs that are not as they should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) failing: u64,
    pub(super) undecided: u64,
    pub(super) given_up: u64,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = [(self.undecided, "undecided"), (self.given_up, "given up")];
        match self.failing {
            0 => f.write_str("none failing")?,
            failing => write!(f, "{failing} failing")?,
        }
        others
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, word)| write!(f, ", {count} {word}"))
    }
}

/// A bar with rate, failing runs and time left; hidden where stderr is no terminal.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many runs.
    pub(super) fn of(runs: u64) -> Self {
        let template = "{wide_bar} {pos}/{len} runs, {per_sec}, {msg}, {eta} left";
        Self::shown(ProgressBar::new(runs), template)
    }

    /// A line for runs that only the time ends.
    pub(super) fn endless() -> Self {
        Self::shown(ProgressBar::no_length(), "{spinner} {pos} runs, {per_sec}, {msg}, {elapsed}")
    }

    fn shown(bar: ProgressBar, template: &str) -> Self {
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.expect("the template is sound"));
        bar.set_message(Wrong::default().to_string());
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

    /// A run has ended. So many are failing, undecided and given up by now.
    pub(super) fn step(&self, wrong: Wrong) {
        self.0.inc(1);
        if wrong != Wrong::default() {
            self.0.set_message(wrong.to_string());
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
