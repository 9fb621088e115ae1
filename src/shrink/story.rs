//! The story of a shrinking — decides how its course and its result are told, on a terminal and in the file that is
//! kept. It never changes the result.

use super::{Shrunk, Size, Target};
use crate::{report::scenario_file, scenario::duration};

impl Target {
    /// Its name: the law's, or `panic`.
    pub fn name(&self) -> &str {
        match self {
            Self::Law(name) => name,
            Self::Panic => "panic",
        }
    }

    fn verb(&self) -> String {
        match self {
            Self::Law(name) => format!("breaks {name}"),
            Self::Panic => "panics".to_owned(),
        }
    }
}

fn size(size: Size) -> String {
    format!("{} steps, {} hosts, {}", size.steps, size.hosts, duration::show(size.duration))
}

/// What was done and what came of it, for a terminal.
pub fn story(shrunk: &Shrunk) -> String {
    let mut text = String::new();
    for change in &shrunk.changes {
        text += &format!("  {:>5} runs  {}\n", change.runs, change.what);
    }
    let (before, after) = shrunk.sizes;
    text +=
        &format!("\n  before  {}\n  after   {}\n  cost    {} runs", size(before), size(after), shrunk.runs);
    text += if shrunk.is_complete { "\n" } else { ", when the budget was spent: more may be possible\n" };
    let at = shrunk.broken.at.as_secs_f64();
    text + &format!("\nstill {} at {at:.3} s: {}\n", shrunk.target.verb(), shrunk.broken.why)
}

/// The scenario file of the result, with a first comment that says the law and the story.
///
/// # Errors
///
/// Why the plan cannot be run from a file.
pub fn file(shrunk: &Shrunk) -> Result<String, String> {
    let Shrunk { plan, broken, sizes: (before, after), .. } = shrunk;
    let at = broken.at.as_secs_f64();
    let mut comment = format!("{}: {} at {at:.3} s.\n\n{}\n\n", plan.title, shrunk.target.verb(), broken.why);
    if !plan.defects.0.is_empty() {
        let names: Vec<_> = plan.defects.0.iter().map(|defect| defect.name()).collect();
        comment += &format!("With the defect {} switched on.\n", names.join(", "));
    }
    comment += &format!("Shrunk from {} to {}, seed {}.", size(*before), size(*after), plan.seed);
    scenario_file::write(plan, &comment)
}

/// A name for that file.
pub fn file_name(shrunk: &Shrunk) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' };
    let law: String = shrunk.target.name().chars().map(plain).collect();
    format!("{law}-seed-{}.toml", shrunk.plan.seed)
}
