//! Reading — decides what a scenario file says, or every reason why it says nothing that can be run. It never
//! guesses: what is misspelt is refused.
//!
//! Serde stops at the first error. To find them all, a value that cannot be read is noted, taken out of the
//! parsed tree, and the tree is read again; what the default in its place would then lead to is not reported.

use std::ops::Range;

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer, Error},
};

use crate::scenario::{
    aliases::ours,
    check::{Flaw, Vocabulary, check},
    format::Scenario,
    nearest::{nearest, suggestion, suggestion_of},
    problem::{Problem, Problems},
};

/// Errors after which a file is given up.
const PROBLEMS_MAX: usize = 40;

/// Reads a scenario from the text of a file.
///
/// # Errors
///
/// Every problem that could be found in one go, each with its place in the file.
pub fn read(file: &str, text: &str, vocabulary: &Vocabulary) -> Result<Scenario, Problems> {
    let found = match parse(text) {
        Ok(tree) => match interpret(&tree, vocabulary) {
            Ok(scenario) => return Ok(scenario),
            Err(problems) => problems,
        },
        Err(problems) => problems,
    };
    Err(in_order(file, text, found))
}

fn in_order(file: &str, text: &str, mut list: Vec<Problem>) -> Problems {
    list.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
    Problems { file: file.to_owned(), source: text.to_owned(), list }
}

type Tree<'a> = Spanned<DeTable<'a>>;

/// TOML's own rules.
fn parse(text: &str) -> Result<Tree<'_>, Vec<Problem>> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(tree);
    }
    let problem = |error: &Error| Problem {
        span: error.span(),
        message: error.message().to_owned(),
        help: String::new(),
    };
    Err(errors.iter().take(PROBLEMS_MAX).map(problem).collect())
}

/// The scenario's own rules.
fn interpret(tree: &Tree<'_>, vocabulary: &Vocabulary) -> Result<Scenario, Vec<Problem>> {
    let mut rest = tree.clone();
    let mut problems = Vec::new();
    let mut unread = Vec::new();
    while problems.len() < PROBLEMS_MAX {
        match Scenario::deserialize(Deserializer::from(rest.clone())) {
            Ok(scenario) => {
                let flaws = check(&scenario, vocabulary);
                problems
                    .extend(flaws.iter().filter(|flaw| !rests_on(flaw, &unread)).map(|flaw| at(tree, flaw)));
                return if problems.is_empty() { Ok(scenario) } else { Err(problems) };
            }
            Err(error) => {
                problems.push(explain(&error));
                let Some(path) = error.span().and_then(|span| take_out(rest.get_mut(), &span)) else { break };
                unread.push(meant(path, &error));
            }
        }
    }
    Err(problems)
}

/// Whether a flaw is, or relies on, something that was not read.
fn rests_on(flaw: &Flaw, unread: &[String]) -> bool {
    let one_within_other = |path: &str, other: &str| {
        let mut steps = path.split('.').zip(other.split('.'));
        steps.all(|(step, other)| step == other || [step, other].contains(&"*"))
    };
    unread.iter().any(|part| {
        let any_of_it = part.strip_suffix(ANY_KEY).map(|table| format!("{table}*"));
        let relied_on = any_of_it.as_deref().unwrap_or(part);
        let relies = flaw.hinges_on.iter().any(|hinge| one_within_other(relied_on, hinge));
        relies || one_within_other(part, &flaw.path)
    })
}

/// The step of a path to a key that may have been meant to be any other of its table.
const ANY_KEY: &str = "?";

/// What was probably meant at the path of an entry that could not be read: of a misspelt key, the nearest.
fn meant(path: String, error: &Error) -> String {
    let Some((name, expected)) = unknown_field(error.message()) else { return path };
    let table = path.strip_suffix(name).unwrap_or(&path);
    let names = quoted(expected);
    match ours(name, &names).map(|(key, _)| key).or_else(|| nearest(name, names.iter().copied())) {
        Some(key) => format!("{table}{key}"),
        None if table.is_empty() => path,
        None => format!("{table}{ANY_KEY}"),
    }
}

/// Serde lists what it expects in backticks.
fn quoted(expected: &str) -> Vec<&str> {
    expected.split('`').skip(1).step_by(2).collect()
}

fn unknown_field(message: &str) -> Option<(&str, &str)> {
    let (name, expected) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    Some((name, expected))
}

/// A flaw with its place in the file.
fn at(tree: &Tree<'_>, flaw: &Flaw) -> Problem {
    Problem {
        span: locate(tree.get_ref(), &flaw.path),
        message: flaw.message.clone(),
        help: flaw.help.clone(),
    }
}

/// The span of the value at `path`, or of the closest thing around it that is in the file.
fn locate(root: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let mut steps = path.split('.');
    let first = steps.next()?;
    let (key, mut value) = root.get_key_value(first)?;
    let mut span = if value.get_ref().is_table() { key.span() } else { value.span() };
    while let Some(step) = steps.next() {
        // A quoted key may have dots of its own.
        let rest = || [step].into_iter().chain(steps.clone()).collect::<Vec<_>>().join(".");
        let next = match value.get_ref() {
            DeValue::Table(table) if table.contains_key(step) => table.get(step),
            DeValue::Table(table) => match table.get(rest().as_str()) {
                Some(value) => return Some(value.span()),
                None => None,
            },
            DeValue::Array(array) => step.parse::<usize>().ok().and_then(|number| array.get(number)),
            _ => None,
        };
        let Some(next) = next else { break };
        value = next;
        span = value.span();
    }
    Some(span)
}

/// Takes the innermost entry out of the tree whose key or value is at `span`; its path.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let here = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span);
    if let Some(name) = here.map(|(key, _)| key.get_ref().to_string()) {
        table.remove(name.as_str());
        return Some(name);
    }
    let names: Vec<String> = table.iter().map(|(key, _)| key.get_ref().to_string()).collect();
    for name in names {
        let Some(value) = table.get_mut(name.as_str()) else { continue };
        match within(value.get_mut(), span) {
            Inside::Removed(path) => return Some(format!("{name}.{path}")),
            Inside::Itself => {
                table.remove(name.as_str());
                return Some(name);
            }
            Inside::Elsewhere => {}
        }
    }
    None
}

/// Where in a value a span was found.
enum Inside {
    /// In an entry of it, which was removed.
    Removed(String),
    /// In a part that cannot be removed alone.
    Itself,
    /// Not in it.
    Elsewhere,
}

fn within(value: &mut DeValue<'_>, span: &Range<usize>) -> Inside {
    match value {
        DeValue::Table(table) => take_out(table, span).map_or(Inside::Elsewhere, Inside::Removed),
        DeValue::Array(array) => {
            for (number, item) in array.iter_mut().enumerate() {
                let is_it = item.span() == *span;
                match within(item.get_mut(), span) {
                    Inside::Removed(path) => return Inside::Removed(format!("{number}.{path}")),
                    Inside::Elsewhere if !is_it => {}
                    _ => return Inside::Itself,
                }
            }
            Inside::Elsewhere
        }
        _ => Inside::Elsewhere,
    }
}

/// Serde's words, in ours.
fn explain(error: &Error) -> Problem {
    let (message, help) = match error.message().split_once('\n') {
        Some((message, help)) => (message.to_owned(), help.to_owned()),
        None => reword(error.message()),
    };
    Problem { span: error.span(), message, help }
}

fn reword(message: &str) -> (String, String) {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    if let Some((name, expected)) = unknown_field(message) {
        return (format!("there is no key `{name}` here"), among(name, expected));
    }
    if let Some(name) = what.strip_prefix("unknown variant ") {
        return (format!("{name} is not a choice here"), among(name, expected));
    }
    if let Some(name) = what.strip_prefix("missing field ") {
        return (format!("{name} is missing here"), String::new());
    }
    if expected.is_empty() {
        return (message.to_owned(), String::new());
    }
    (what.to_owned(), format!("expected {}", plainly(expected)))
}

/// What was probably meant, of what serde expects.
fn among(found: &str, expected: &str) -> String {
    let (found, names) = (found.trim_matches('`'), quoted(expected));
    match ours(found, &names) {
        Some((key, how)) => format!("here it is `{key}`: {how}"),
        None if names.contains(&"crash") => suggestion_of(found, names, "faults"),
        None => suggestion(found, names),
    }
}

/// Rust's names of types, in words.
fn plainly(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number, 0 to 65535",
        "u32" => "a whole number, 0 to 4294967295",
        "f64" => "a number",
        "a string" | "string" => "text in quotes",
        "a sequence" => "a list in brackets",
        "a boolean" => "true or false",
        "struct Spread" => "a table, such as `{ min = \"20ms\", mean = \"80ms\" }`",
        "struct When" => "a table, such as `{ event = \"PrimaryAppended\", nth = 3 }`",
        "struct Reconfiguration" => "a table, such as `{ joining = [\"zk-4\"], leaving = [\"zk-1\"] }`",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}
