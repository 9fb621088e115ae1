//! Check — decides the steps of judging a stored run. It never runs one.

use std::{fs, io::BufReader};

use serde::Serialize;

use super::{
    args::{CheckArgs, Format},
    exit::{Exit, Failure},
    output::say,
};
use crate::{
    check::verdict::Judgement,
    report::{
        text,
        trace_file::{self, Trace},
    },
    scenario::{check::Vocabulary, nearest::suggestion},
    trial::{Standing, judge},
};

pub(super) fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let trace = stored(args)?;
    let laws = chosen(args, &trace)?;
    let judgements = judge(&trace.events, &laws);
    say(&report(&trace, &judgements, args.format))?;
    Ok(Standing::of(&judgements).into())
}

fn stored(args: &CheckArgs) -> Result<Trace, Failure> {
    let name = args.trace.display();
    let file = fs::File::open(&args.trace)
        .map_err(|error| Failure::usage(format!("error: cannot read {name}: {error}")))?;
    trace_file::read(BufReader::new(file)).map_err(|error| Failure::usage(format!("error: {name}: {error}")))
}

/// The laws asked for, else those of the scenario that this version knows.
fn chosen(args: &CheckArgs, trace: &Trace) -> Result<Vec<String>, Failure> {
    let known = Vocabulary::current().laws;
    if let Some(unknown) = args.law.iter().find(|law| !known.contains(&law.as_str())) {
        let help = suggestion(unknown, known.iter().copied());
        return Err(Failure::usage(format!("error: there is no law `{unknown}`: {help}")));
    }
    match args.law.as_slice() {
        [] => Ok(trace.header.plan.expect.laws.clone()),
        laws => Ok(laws.to_vec()),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    scenario: &'a str,
    seed: u64,
    verdict: &'static str,
    laws: &'a [Judgement],
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
            let report =
                Report { scenario, seed, verdict, laws: judgements, events, fingerprint: &fingerprint };
            serde_json::to_string_pretty(&report).expect("names and numbers are JSON") + "\n"
        }
    }
}
