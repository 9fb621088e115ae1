//! Sources — decides what a scenario argument names: a file, or a built-in scenario. It never reads more into
//! a file than `scenario::read` does.

use std::{fs, io, path::Path};

use super::{args::Setting, exit::Failure};
use crate::{
    report::words::quoted,
    scenario::{
        builtin::{self, Builtin},
        check::Vocabulary,
        nearest::suggestion,
        plan::Plan,
        read::read,
    },
    sweep::Subject,
};

/// The scenario that an argument names; without one, the default.
pub(super) fn subject(argument: Option<&str>, settings: &[Setting]) -> Result<Subject, Failure> {
    let name = argument.unwrap_or(builtin::DEFAULT.name);
    let text = text(name)?;
    let scenario = read(name, &text, &Vocabulary::current())
        .map_err(|problems| Failure::Usage(problems.render_styled()))?;
    let mut plan = scenario.plan(0);
    for setting in settings {
        match setting {
            Setting::Defect(defect) => drop(plan.defects.0.insert(*defect)),
        }
    }
    Ok(Subject { name: name.to_owned(), text, plan })
}

/// A file of that name, else the built-in scenario.
fn text(name: &str) -> Result<String, Failure> {
    let builtin = builtin::named(name);
    match (fs::read(name), builtin) {
        (Ok(bytes), _) => String::from_utf8(bytes).map_err(|error| not_text(name, &error)),
        (Err(_), Some(Builtin { text, .. })) => Ok(text.to_owned()),
        (Err(error), None) => Err(missing(name, &error)),
    }
}

fn not_text(name: &str, error: &std::string::FromUtf8Error) -> Failure {
    let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    Failure::usage(format!("error: {name}:{line}: the file is not UTF-8 text"))
}

fn missing(name: &str, error: &io::Error) -> Failure {
    let names = builtin::ALL.iter().map(|builtin| builtin.name);
    let is_path = Path::new(name).components().count() > 1 || name.ends_with(".toml");
    let help = match is_path {
        true => String::new(),
        false => format!("\n  it is no built-in scenario either: {}", suggestion(name, names)),
    };
    Failure::usage(format!("error: cannot read scenario {name}: {error}{help}"))
}

/// The command that does this run again.
pub(super) fn command(name: &str, plan: &Plan, settings: &[Setting]) -> String {
    let mut command = format!("shardarium run {} --seed {}", quoted(name), plan.seed);
    for Setting::Defect(defect) in settings {
        command += &format!(" --set defect={}", defect.name());
    }
    command
}
