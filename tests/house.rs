//! The house — decides whether the sources keep the rules they are built on: who may see whom, what cores
//! must not call, how files begin, how long they may be. It never looks at what the code does.
//!
//! The rules stand in the design ("Who may see whom") and the style of the house; each finding names file,
//! line and rule. The scanner knows Rust as rustfmt writes it, and no more.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// A source file.
struct Source {
    /// From the crate's root, with slashes: `src/check/law.rs`.
    path: String,
    text: String,
    /// Whether it is compiled for tests only.
    is_test: bool,
}

/// A place that breaks a rule.
#[derive(PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

// ---- reading ----

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(dir).into_iter().flatten().map(|entry| entry.expect("a readable folder").path());
    let mut paths: Vec<_> = entries.collect();
    paths.sort();
    let nested =
        paths.into_iter().flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] });
    nested.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = files_under(&root.join(folder));
    assert!(!paths.is_empty(), "there are sources in {folder}");
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
        source(&name, &fs::read_to_string(&path).expect("a readable source"))
    };
    mark_tests(paths.into_iter().map(read).collect())
}

/// Marks the files of modules that are declared `#[cfg(test)] mod name;`, and those below them.
fn mark_tests(mut sources: Vec<Source>) -> Vec<Source> {
    let roots: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let is_of = |root: &String| {
            source.path.strip_prefix(root).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        source.is_test = source.path.starts_with("tests/") || roots.iter().any(is_of);
    }
    sources
}

/// Where the test-only modules live that a file declares, without `.rs`.
fn test_modules(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let folder = stem.strip_suffix("/mod").or(stem.strip_suffix("/lib")).unwrap_or(stem);
    let lines = bare(&source.text);
    let declared = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    let names = declared.filter_map(|pair| pair[1].trim().strip_prefix("mod ")?.strip_suffix(';'));
    names.map(|name| format!("{folder}/{name}")).collect()
}

impl Source {
    /// The room it belongs to: `src/search/api.rs` is in `search`, `src/core.rs` in `core`.
    fn room(&self) -> &str {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        path.split(['/', '.']).next().unwrap_or_default()
    }

    /// Its lines from 1 with comments and the insides of strings taken out; all of them, or up to its first
    /// `#[cfg(test)]` module.
    fn code(&self, part: Part) -> Vec<(usize, String)> {
        let lines = bare(&self.text);
        let is_tests =
            |pair: &[String]| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ");
        let end = match part {
            Part::All => lines.len(),
            Part::BeforeTests if self.is_test => 0,
            Part::BeforeTests => {
                let opens_body = |at: &usize| lines[at + 1].trim_end().ends_with('{');
                let starts =
                    lines.windows(2).enumerate().filter(|(_, pair)| is_tests(pair)).map(|(at, _)| at);
                starts.into_iter().find(opens_body).unwrap_or(lines.len())
            }
        };
        (1..).zip(lines.into_iter().take(end)).collect()
    }

    fn finding(&self, line: usize, rule: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, rule: rule.into() }
    }

    /// Full paths that the code names, with the line where each begins: `use` trees spread out, and paths
    /// written in place.
    fn paths(&self, part: Part) -> Vec<(usize, String)> {
        let lines = self.code(part);
        let mut found = Vec::new();
        let mut tree: Option<(usize, String)> = None;
        for (number, line) in lines {
            let trimmed = line.trim();
            let starts = trimmed
                .split_once("use ")
                .filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
            match (&mut tree, starts) {
                (Some((_, text)), _) => text.push_str(trimmed),
                (None, Some((_, text))) => tree = Some((number, text.to_owned())),
                (None, None) => found.extend(inline_paths(trimmed).into_iter().map(|path| (number, path))),
            }
            if let Some((start, text)) = tree.take_if(|(_, text)| text.ends_with(';')) {
                found.extend(spread(text.trim_end_matches(';')).into_iter().map(|path| (start, path)));
            }
        }
        found
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    BeforeTests,
}

/// The lines of a source without comments and without what is inside its string literals.
fn bare(text: &str) -> Vec<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => string_length(rest),
            'r' if rest.starts_with("r\"") || rest.starts_with("r#") => raw_string_length(rest),
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\\"'") => 4,
            _ => 0,
        };
        if skipped == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            rest = &rest[skipped..];
        }
    }
    out.lines().map(str::to_owned).collect()
}

/// The length of the string literal that `rest` begins with.
fn string_length(rest: &str) -> usize {
    let mut is_escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    end.map_or(rest.len(), |(at, _)| at + 1)
}

/// The length of the raw string literal that `rest` begins with; 0 if it is a raw name such as `r#type`.
fn raw_string_length(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    if !rest[1 + hashes..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    rest[start..].find(&close).map_or(rest.len(), |at| start + at + close.len())
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn spread(tree: &str) -> Vec<String> {
    let tree = tree.trim().trim_end_matches(',');
    let Some((prefix, rest)) = tree.split_once('{') else { return vec![tree.replace(' ', "")] };
    let inside = rest.strip_suffix('}').unwrap_or(rest);
    let mut depth = 0;
    let parts = inside.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts = parts.filter(|part| !part.trim().is_empty()).flat_map(spread);
    parts.map(|part| format!("{}{part}", prefix.trim())).collect()
}

/// Paths written in place that begin at the crate's root or in std.
fn inline_paths(line: &str) -> Vec<String> {
    let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("crate::") || word.starts_with("std::")).map(str::to_owned).collect()
}

fn names(line: &str, word: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|part| part == word)
}

#[track_caller]
fn assert_clean(findings: Vec<Finding>) {
    let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "{} places break the rules of the house:\n{}", lines.len(), lines.join("\n"));
}

// ---- who may see whom ----

/// What a room may name of its own crate, beside itself. Rooms that are not listed see everything.
const MAY_SEE: &[(&str, &[&str])] = &[
    ("name", &[]),
    // A node's Stat is data that clients are shown.
    ("event", &["core", "name", "zookeeper::wire::Stat"]),
    ("core", &["event", "name"]),
    ("defect", &[]),
    ("zookeeper", &["core", "defect", "event", "name"]),
    (
        "search",
        &[
            "core",
            "defect",
            "event",
            "name",
            "zookeeper::client",
            "zookeeper::recipes",
            "zookeeper::wire",
            // Plan types are data: the settings of the search cluster are one of them.
            "scenario::plan::SearchConfig",
            "scenario::plan::ReadPolicy",
        ],
    ),
    ("check", &["core::CloseReason", "event", "name", "zookeeper::wire::Stat"]),
    // A scenario names laws, goals, defects and the ensemble's settings; it runs nothing.
    (
        "scenario",
        &[
            "check::goal",
            "check::law",
            "core",
            "defect",
            "event",
            "name",
            "search::settings",
            "zookeeper::wire",
        ],
    ),
    (
        "workload",
        &[
            "core",
            "defect",
            "event",
            "name",
            "scenario::cast",
            "scenario::dice",
            "scenario::ensemble",
            "scenario::load",
            "scenario::operations",
            "scenario::plan",
            "scenario::recipes",
            "scenario::steps",
            "scenario::values",
            "scenario::zookeeper_operations",
            "search::api",
            "search::wire",
            "sim",
            "zookeeper::client",
            "zookeeper::recipes",
            // An administrator has all passwords.
            "zookeeper::session::password",
            "zookeeper::wire",
        ],
    ),
    ("sim", &["core", "defect", "event", "name", "scenario", "search", "workload", "zookeeper"]),
];

/// Crates that only some files may name, test modules included.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("madsim", &["src/sim", "src/workload", "src/lib.rs"]),
    ("tantivy", &["src/search/engine"]),
    ("mio", &["src/serve"]),
    ("socket2", &["src/serve"]),
    ("ctrlc", &["src/serve"]),
];

fn sees_too_much(source: &Source) -> Vec<Finding> {
    let Some((room, allowed)) = MAY_SEE.iter().find(|(room, _)| *room == source.room()) else {
        return Vec::new();
    };
    let may_see = |path: &str| {
        let is_within = |open: &str| path == open || path.starts_with(&format!("{open}::"));
        is_within(room) || allowed.iter().any(|open| is_within(open))
    };
    let named = source.paths(Part::BeforeTests);
    let foreign = named.iter().filter_map(|(line, path)| Some((line, path.strip_prefix("crate::")?)));
    let foreign = foreign.filter(|(_, path)| !may_see(path));
    foreign
        .map(|(line, path)| source.finding(*line, format!("`{room}` may not see `crate::{path}`")))
        .collect()
}

fn names_a_reserved_crate(source: &Source) -> Vec<Finding> {
    let code = source.code(Part::All);
    let reserved =
        ONLY_IN.iter().filter(|(_, homes)| !homes.iter().any(|home| source.path.starts_with(home)));
    let findings = reserved.flat_map(|(name, homes)| {
        let lines = code.iter().filter(|(_, line)| names(line, name));
        let rule = format!("only {} may name `{name}`", homes.join(", "));
        lines.map(move |(line, _)| source.finding(*line, rule.clone()))
    });
    findings.collect()
}

#[test]
fn rooms_see_only_what_they_may() {
    assert_clean(sources("src").iter().flat_map(sees_too_much).collect());
}

#[test]
fn reserved_crates_stay_in_their_rooms() {
    assert_clean(sources("src").iter().flat_map(names_a_reserved_crate).collect());
}

#[test]
fn judges_and_cores_never_see_the_world_even_in_tests() {
    let cores =
        sources("src").into_iter().filter(|source| ["zookeeper", "search", "check"].contains(&source.room()));
    let findings = cores.flat_map(|source| {
        let paths = source.paths(Part::All);
        let world =
            paths.into_iter().filter(|(_, path)| path == "crate::sim" || path.starts_with("crate::sim::"));
        world
            .map(|(line, _)| source.finding(line, "a core or a law never sees `crate::sim`"))
            .collect::<Vec<_>>()
    });
    assert_clean(findings.collect());
}

// ---- what cores must not call ----

/// Rooms whose code must be a pure function of its inputs.
const PURE: &[&str] = &["name", "event", "core", "defect", "zookeeper", "search", "check"];

/// Paths that bring in time, order, entropy or the outside.
const IMPURE_PATHS: &[&str] = &[
    "std::time::Instant",
    "std::time::SystemTime",
    "std::thread",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::collections::hash_map",
    "rand",
    "rand_xoshiro",
];

/// Words that do the same, whatever their path.
const IMPURE_WORDS: &[&str] =
    &["HashMap", "HashSet", "SystemTime", "thread_rng", "println", "eprintln", "print", "dbg"];

fn impurities(source: &Source) -> Vec<Finding> {
    if !PURE.contains(&source.room()) {
        return Vec::new();
    }
    let is_within = |path: &str, root: &str| path == root || path.starts_with(&format!("{root}::"));
    let paths = source.paths(Part::BeforeTests).into_iter().filter_map(|(line, path)| {
        let root = IMPURE_PATHS.iter().find(|root| is_within(&path, root))?;
        Some((line, (*root).to_owned()))
    });
    let words = source.code(Part::BeforeTests).into_iter().filter_map(|(line, code)| {
        let word = IMPURE_WORDS.iter().find(|word| names(&code, word))?;
        Some((line, (*word).to_owned()))
    });
    let rule = |what: &str| format!("a pure room never uses `{what}`");
    paths.chain(words).map(|(line, what)| source.finding(line, rule(&what))).collect()
}

#[test]
fn pure_rooms_use_nothing_impure() {
    assert_clean(sources("src").iter().flat_map(impurities).collect());
}

// ---- how files begin, and how long they are ----

/// The most lines of a file, its tests included.
const FILE_LINES_MAX: usize = 600;
/// The most lines of a function.
const FUNCTION_LINES_MAX: usize = 100;
/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[("src/event.rs", "one vocabulary, one list: two sentences a word")];

/// Whether the file only lists modules (and says what they are for).
fn lists_modules(source: &Source) -> bool {
    let is_listing = |line: &str| {
        let line = line.trim();
        let words = ["mod ", "pub mod ", "pub use ", "use ", "#[", "pub(crate) mod "];
        line.is_empty() || words.iter().any(|word| line.starts_with(word))
    };
    source.path.ends_with("/mod.rs") && source.code(Part::All).iter().all(|(_, line)| is_listing(line))
}

fn bad_opening(source: &Source) -> Option<Finding> {
    let opening: Vec<_> = source.text.lines().map_while(|line| line.strip_prefix("//! ")).collect();
    let first = opening.first().copied().unwrap_or_default();
    if opening.is_empty() {
        Some(source.finding(1, "a file opens with `//! <Noun> — what it decides. It never …`"))
    } else if source.is_test || lists_modules(source) {
        None
    } else if !first.contains(" — ") {
        Some(source.finding(1, "the first line names the room and, after ` — `, what it decides"))
    } else if !names(&opening.join(" "), "never") {
        Some(source.finding(1, "the opening paragraph says what the file never does"))
    } else {
        None
    }
}

fn too_long(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    let is_excused = LONG_FILES.iter().any(|(path, _)| *path == source.path);
    let rule =
        || format!("the file has {lines} lines; {FILE_LINES_MAX} are the most: it wants a second room");
    (lines > FILE_LINES_MAX && !is_excused).then(|| source.finding(1, rule()))
}

fn is_function(line: &str) -> bool {
    let qualifiers = ["pub", "crate", "super", "in", "async", "const", "unsafe", "extern"];
    let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    words.into_iter().find(|word| !qualifiers.contains(word)) == Some("fn")
}

/// Functions that are too long. rustfmt closes a function with a brace as far in as its first line.
fn long_functions(source: &Source) -> Vec<Finding> {
    let lines = source.code(Part::All);
    let functions = lines.iter().enumerate().filter(|(_, (_, line))| is_function(line));
    let findings = functions.filter_map(|(start, (number, line))| {
        let indent = line.len() - line.trim_start().len();
        let close = format!("{}}}", " ".repeat(indent));
        let ends = |line: &str| {
            line == close || line.ends_with(';') && line.len() - line.trim_start().len() <= indent
        };
        let is_one_line = line.ends_with('}') || line.ends_with(';');
        let length =
            if is_one_line { 1 } else { lines[start..].iter().position(|(_, line)| ends(line))? + 1 };
        let rule = format!("the function has {length} lines; {FUNCTION_LINES_MAX} are the most");
        (length > FUNCTION_LINES_MAX).then(|| source.finding(*number, rule))
    });
    findings.collect()
}

#[test]
fn every_file_says_what_it_decides_and_what_it_never_does() {
    assert_clean(sources("src").iter().filter_map(bad_opening).collect());
}

#[test]
fn files_and_functions_fit_a_readers_head() {
    let all: Vec<_> = ["src", "tests"].into_iter().flat_map(sources).collect();
    let files = all.iter().filter_map(too_long);
    assert_clean(files.chain(all.iter().flat_map(long_functions)).collect());
}

// ---- nothing unfinished ----

fn unfinished(source: &Source) -> Vec<Finding> {
    let marks = ["TODO", "FIXME", "XXX", "todo!", "unimplemented!", "contract (pending)", "to be filled in"];
    let lines = (1..).zip(source.text.lines());
    let marked = lines.filter_map(|(number, line)| {
        let mark = marks.iter().find(|mark| line.contains(**mark))?;
        Some(source.finding(number, format!("`{mark}`: what is not done is an issue, not a line")))
    });
    marked.collect()
}

#[test]
fn nothing_is_left_unfinished() {
    assert_clean(sources("src").iter().flat_map(unfinished).collect());
}

// ---- the scanner sees what it must ----

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into(), is_test: false }
}

fn rules(findings: impl IntoIterator<Item = Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| finding.to_string()).collect()
}

#[test]
fn import_of_a_forbidden_room_is_found_in_trees_and_in_place() {
    let text = "use crate::{\n    name::HostId,\n    search::{api::Hit, node::Node},\n};\nlet x = crate::sim::run(&plan);\n";
    assert_eq!(
        rules(sees_too_much(&source("src/check/a.rs", text))),
        [
            "src/check/a.rs:1: `check` may not see `crate::search::api::Hit`",
            "src/check/a.rs:1: `check` may not see `crate::search::node::Node`",
            "src/check/a.rs:5: `check` may not see `crate::sim::run`",
        ]
    );
    let allowed = "use crate::{core::CloseReason, event::Event};\n/// Not `crate::sim::run`.\n#[cfg(test)]\nmod tests {\n use crate::cli::x;\n";
    assert!(sees_too_much(&source("src/check/a.rs", allowed)).is_empty());
}

#[test]
fn reserved_crate_is_found_outside_its_room() {
    let text = "use tantivy::Index;\n// tantivy is fine in words\n";
    assert_eq!(rules(names_a_reserved_crate(&source("src/search/shard.rs", text))).len(), 1);
    assert!(names_a_reserved_crate(&source("src/search/engine/segment.rs", text)).is_empty());
}

#[test]
fn impure_call_is_found_and_words_in_strings_are_not() {
    let text = "use std::{collections::BTreeMap, time::{Duration, Instant}};\nlet s = \"dbg! \\\n dbg!\";println!(\"{s}\");\n";
    assert_eq!(
        rules(impurities(&source("src/zookeeper/a.rs", text))),
        [
            "src/zookeeper/a.rs:1: a pure room never uses `std::time::Instant`",
            "src/zookeeper/a.rs:3: a pure room never uses `println`",
        ]
    );
    assert!(impurities(&source("src/sim/a.rs", text)).is_empty());
}

#[test]
fn opening_without_dash_or_never_is_found() {
    let opens = |text| bad_opening(&source("src/a.rs", text)).is_some();
    assert!(!opens("//! Votes — decides who leads. It never\n//! waits.\n"));
    assert!(
        opens("//! Votes decide. They never wait.\n")
            && opens("//! Votes — decide.\n//!\n//! They never wait.\n")
    );
    assert!(opens("use std::fmt;\n"));
    assert!(bad_opening(&source("src/a/mod.rs", "//! Rooms.\n\npub mod b;\nmod c;\n")).is_none());
}

#[test]
fn file_of_a_test_module_is_told_from_the_others() {
    let parent = source("src/a/b.rs", "#[cfg(test)]\nmod tests;\nmod rest;\n");
    let paths = ["src/a/b/tests.rs", "src/a/b/tests/more.rs", "src/a/b/rest.rs", "src/a/tests.rs"];
    let others = paths.map(|path| source(path, "//! Anything.\n"));
    let marked = mark_tests([parent].into_iter().chain(others).collect());
    assert_eq!(
        marked.iter().map(|source| source.is_test).collect::<Vec<_>>(),
        [false, true, true, false, false]
    );
    assert!(bad_opening(&marked[1]).is_none() && bad_opening(&marked[3]).is_some());
}

#[test]
fn long_file_and_long_function_are_found() {
    let function =
        |lines: usize| format!("    pub(super) fn long(\n{}    }}\n", "        x();\n".repeat(lines - 2));
    assert!(long_functions(&source("src/a.rs", &function(100))).is_empty());
    assert_eq!(
        rules(long_functions(&source("src/a.rs", &function(101)))),
        ["src/a.rs:1: the function has 101 lines; 100 are the most"]
    );
    assert!(too_long(&source("src/a.rs", &"x\n".repeat(601))).is_some());
    assert!(too_long(&source("src/a.rs", &"x\n".repeat(600))).is_none());
}

#[test]
fn unfinished_line_is_found() {
    let text = "fn a() {\n    todo!()\n}\n// FIXME later\n";
    assert_eq!(rules(unfinished(&source("src/a.rs", text))).len(), 2);
}
