//! Check — decides the steps of judging stored runs. It never runs one.

use std::{
    fs,
    io::BufReader,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    args::{CheckArgs, Format},
    exit::{Exit, Failure},
    output::say,
};
use crate::{
    check::verdict::{Judgement, Verdict},
    report::{
        json, text,
        trace_file::{self, Trace},
        words::counted,
    },
    scenario::{check::Vocabulary, nearest::suggestion_of},
    sweep::merge,
    trial::{Standing, judge},
};

pub(super) fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    refuse_unknown(args)?;
    if args.trace.is_dir() {
        return check_all(args);
    }
    let trace = stored(&args.trace)?;
    let laws = chosen(args, &trace);
    let judgements = judge(&trace.events, &laws);
    say(&report(&trace, &judgements, args.format))?;
    Ok(Standing::of(&judgements).into())
}

/// Every trace of a results directory, a line each. Those that cannot be read are told at the end.
fn check_all(args: &CheckArgs) -> Result<Exit, Failure> {
    let (mut standing, mut unread) = (Standing::Holds, Vec::new());
    let paths = traces(&args.trace).map_err(|error| {
        Failure::usage(format!("error: cannot read results in {}: {error}", args.trace.display()))
    })?;
    for path in &paths {
        match stored(path) {
            Ok(trace) => {
                let judgements = judge(&trace.events, &chosen(args, &trace));
                standing = standing.max(Standing::of(&judgements));
                say(&line(&trace, &judgements, args.format))?;
            }
            Err(failure) => unread.push(failure.message().to_owned()),
        }
    }
    match (unread.is_empty(), paths.is_empty()) {
        (false, _) => Err(Failure::usage(unread.join("\n"))),
        (true, true) if args.format == Format::Text => say(&nothing(&args.trace)).map(|()| Exit::Nothing),
        (true, true) => Ok(Exit::Nothing),
        (true, false) => Ok(standing.into()),
    }
}

/// What there is in a results directory that has no trace.
fn nothing(dir: &Path) -> String {
    let runs = merge::Stored::read(dir).map_or(String::new(), |stored| {
        let failing = stored.records.iter().filter(|record| record.is_failure()).count();
        format!("{}, {failing} of them failing, and ", counted(stored.records.len() as u64, "run", "runs"))
    });
    format!("{}: {runs}no trace to judge; traces are kept of failing runs\n", dir.display())
}

/// The traces of a results directory's failures, in order of their keys.
fn traces(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir.join("failures"))?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<_> = entries.iter().map(|entry| entry.path().join("trace.ndjson")).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

fn line(trace: &Trace, judgements: &[Judgement], format: Format) -> String {
    let (scenario, seed) = (&trace.header.scenario, trace.header.seed);
    let verdict = Standing::of(judgements).word();
    let broken = |judgement: &&Judgement| matches!(judgement.verdict, Verdict::Fail { .. });
    let broken: Vec<&str> =
        judgements.iter().filter(broken).map(|judgement| judgement.law.as_str()).collect();
    let line = match format {
        Format::Text => format!("{scenario}, seed {seed}: {verdict} {}", broken.join(", ")),
        Format::Json => {
            serde_json::json!({ "scenario": scenario, "seed": seed, "verdict": verdict, "laws": broken })
                .to_string()
        }
    };
    format!("{}\n", line.trim_end())
}

/// The trace in a file.
pub(super) fn stored(path: &Path) -> Result<Trace, Failure> {
    let name = path.display();
    let file = fs::File::open(path)
        .map_err(|error| Failure::usage(format!("error: cannot read {name}: {error}")))?;
    trace_file::read(BufReader::new(file)).map_err(|error| Failure::usage(format!("error: {name}: {error}")))
}

fn refuse_unknown(args: &CheckArgs) -> Result<(), Failure> {
    let known = Vocabulary::current().laws;
    match args.law.iter().find(|law| !known.contains(&law.as_str())) {
        None => Ok(()),
        Some(unknown) => {
            let help = suggestion_of(unknown, known.iter().copied(), "laws");
            Err(Failure::usage(format!("error: there is no law `{unknown}`: {help}")))
        }
    }
}

/// The laws asked for, else those of the scenario that this version knows.
fn chosen(args: &CheckArgs, trace: &Trace) -> Vec<String> {
    match args.law.as_slice() {
        [] => trace.header.plan.expect.laws.clone(),
        laws => laws.to_vec(),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    scenario: &'a str,
    seed: u64,
    verdict: &'static str,
    laws: Vec<json::Law<'a>>,
    events: usize,
    fingerprint: &'a str,
}

fn report(trace: &Trace, judgements: &[Judgement], format: Format) -> String {
    let (header, fingerprint) = (&trace.header, format!("{:032x}", trace.fingerprint));
    match format {
        Format::Text => {
            let verdicts = text::verdicts_of(judgements);
            let events = trace.events.len();
            format!(
                "{}, seed {}, {events} events\n\n{verdicts}  fingerprint  {fingerprint}\n",
                header.scenario, header.seed
            )
        }
        Format::Json => {
            let verdict = Standing::of(judgements).word();
            let (scenario, seed, events) = (&header.scenario, header.seed, trace.events.len());
            let laws = judgements.iter().map(json::Law::from).collect();
            let report = Report { scenario, seed, verdict, laws, events, fingerprint: &fingerprint };
            serde_json::to_string_pretty(&report).expect("names and numbers are JSON") + "\n"
        }
    }
}
