//! Sources — decides what a scenario argument names: a file, or a built-in scenario. It never reads more into
//! a file than `scenario::read` does.

use std::{collections::BTreeSet, fs, io, path::Path};

use super::{
    args::{DEFECT, Setting, defect},
    exit::Failure,
};
use crate::{
    report::words::{quoted, quoted_file},
    scenario::{
        builtin::{self, Builtin},
        check::Vocabulary,
        format::Scenario,
        nearest::suggestion,
        overlay::{self, overlaid},
        read::read,
    },
    sweep::{Subject, canary::Canary, record::key},
};

/// The scenario that an argument names; without one, the default.
///
/// # Errors
///
/// If a setting has several values: that is for sweeps.
pub(super) fn subject(argument: Option<&str>, settings: &[Setting]) -> Result<Subject, Failure> {
    if let Some(grid) = settings.iter().find(|setting| setting.values.len() > 1) {
        let key = &grid.key;
        return Err(Failure::usage(format!("error: `--set {key}` has several values: `sweep` tries each")));
    }
    let name = argument.unwrap_or(builtin::DEFAULT.name);
    with_settings(name, &text(name)?, &grid(settings)[0])
}

/// The scenarios that arguments name, each at every point of the grid that the settings span. A name that ends with
/// `/`, or is a folder, stands for every scenario in it. What is named twice counts once.
pub(super) fn subjects(arguments: &[String], settings: &[Setting]) -> Result<Vec<Subject>, Failure> {
    let names = match arguments {
        [] => builtin::STANDARD.map(str::to_owned).to_vec(),
        _ => arguments.iter().map(|name| expanded(name)).collect::<Result<Vec<_>, _>>()?.concat(),
    };
    let (mut subjects, mut keys) = (Vec::new(), BTreeSet::new());
    for name in &names {
        let text = text(name)?;
        for point in grid(settings) {
            let subject = with_settings(name, &text, &point)?;
            if keys.insert(key(&subject.text, &subject.plan, 0)) {
                subjects.push(subject);
            }
        }
    }
    Ok(subjects)
}

/// Every combination of values; one without settings.
fn grid(settings: &[Setting]) -> Vec<Vec<overlay::Setting>> {
    settings.iter().fold(vec![Vec::new()], |points, Setting { key, values }| {
        let with = |point: &Vec<overlay::Setting>, value: &String| {
            point.iter().cloned().chain([(key.clone(), value.clone())]).collect()
        };
        points.iter().flat_map(|point| values.iter().map(move |value| with(point, value))).collect()
    })
}

/// The scenario of a text with these settings in it. What is wrong with one is told like a mistake in the file.
fn with_settings(name: &str, unset: &str, point: &[overlay::Setting]) -> Result<Subject, Failure> {
    let (defects, settings): (Vec<_>, Vec<_>) = point.iter().cloned().partition(|(key, _)| key == DEFECT);
    let usage = |why: String| Failure::usage(format!("error: {name}: {why}"));
    let shown = settings.iter().map(|(key, value)| format!(" --set {key}={value}")).collect::<String>();
    let text = overlaid(unset, &settings).map_err(usage)?;
    let scenario = read(&format!("{name}{shown}"), &text, &Vocabulary::current())
        .map_err(|problems| Failure::Usage(problems.render_styled()))?;
    let mut plan = scenario.plan(0);
    for (_, value) in &defects {
        plan.defects.0.insert(defect(value).map_err(usage)?);
    }
    let canary = canary(name, unset, &scenario);
    Ok(Subject {
        name: name.to_owned(),
        text,
        set: point.to_vec(),
        seed: scenario.seed,
        scenario,
        plan,
        canary,
    })
}

/// The canary of the file as it is. Where nothing can be said of that, there is none.
fn canary(name: &str, unset: &str, set: &Scenario) -> Option<Canary> {
    set.canary.as_ref()?;
    let scenario = read(name, unset, &Vocabulary::current()).ok()?;
    Canary::of(name, &scenario)
}

/// The scenarios of a folder, on disk or built in; else the name itself.
fn expanded(name: &str) -> Result<Vec<String>, Failure> {
    let is_folder = Path::new(name).is_dir() && builtin::named(name).is_none();
    if !is_folder && !name.ends_with('/') {
        return Ok(vec![name.to_owned()]);
    }
    let found = match is_folder {
        true => files(Path::new(name))
            .map_err(|error| Failure::usage(format!("error: cannot read {name}: {error}")))?,
        false => builtin::within(name.trim_end_matches('/')).map(|one| one.name.to_owned()).collect(),
    };
    if found.is_empty() {
        return Err(Failure::usage(format!("error: there is no scenario in {name}")));
    }
    Ok(found)
}

/// The scenario files of a folder and of those below it, in order of their names.
fn files(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        match path.extension() {
            _ if path.is_dir() => found.extend(files(&path)?),
            Some(ending) if ending == "toml" => found.push(path.to_string_lossy().into_owned()),
            _ => {}
        }
    }
    Ok(found)
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
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
    let help = match name.ends_with(".toml") {
        true => String::new(),
        false => format!("\n  it is no built-in scenario either: {}", suggestion(stem, names)),
    };
    Failure::usage(format!("error: cannot read scenario {name}: {error}{help}"))
}

/// The command that does this run again.
pub(super) fn command(name: &str, seed: u64, set: &[overlay::Setting]) -> String {
    let mut command = format!("shardarium run {} --seed {seed}", quoted_file(name));
    for (key, value) in set {
        command += &format!(" --set {}", quoted(&format!("{key}={value}")));
    }
    command
}
