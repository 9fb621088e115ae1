//! Bench — decides what of speed and memory is measured, and how. It never decides what is fast enough.

use std::time::Duration;

use serde::Serialize;

mod allocation;
mod sweeping;

use self::sweeping::Figure;
use super::{
    args::{BenchArgs, Format},
    exit::{Exit, Failure},
    output::say,
    source::subject,
};
use crate::{
    event::EventKind,
    memory,
    report::words::grouped,
    scenario::{builtin, check::Vocabulary, plan::Plan, read::read},
    sim::Figures,
    trial::Machine,
};

/// Writes through an ensemble of three: what one costs, with everything recorded.
const WRITE: &str = r#"
title = "Writes"
duration = "10s"
[[zookeeper_clients]]
count = 4
operations_per_second = 400.0
watch_share = 0.0
mix = { create = 0, create_ephemeral = 0, create_sequential = 0, delete = 0, set = 1, set_version = 0, set_acl = 0, multi = 0, get = 0, exists = 0, children = 0, sync_read = 0, watch_persistent = 0, watch_recursive = 0, close = 0 }
"#;

/// An ensemble of three with a hundred sessions that ask nothing, on ZooKeeper's usual timeouts.
const IDLE: &str = r#"
title = "Idle"
duration = "10m"
[cluster]
tick = "2s"
[[zookeeper_clients]]
count = 100
operations_per_second = 0.0
session_timeout = "10s"
"#;

/// The figures of one scenario: medians over its runs.
#[derive(Debug, Clone, Serialize)]
struct Line {
    scenario: &'static str,
    simulated_seconds: f64,
    wall_seconds: f64,
    times_real_time: f64,
    events_per_second: f64,
    messages_per_second: f64,
    /// Of a scenario of writes: microseconds of wall time for each committed transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    microseconds_per_write: Option<f64>,
    /// Of a line on allocation alone: copies that are planned for. Nothing is simulated then.
    #[serde(skip_serializing_if = "Option::is_none")]
    copies: Option<usize>,
    peak_memory_bytes: Option<u64>,
}

pub(super) fn bench(args: &BenchArgs, machine: Machine) -> Result<Exit, Failure> {
    let mut lines = Vec::new();
    for name in builtin::MEASURED {
        lines.push(measure(name, &subject(Some(name), &[])?.plan, args.runs.get(), machine)?);
    }
    for (name, text) in [("zk-write", WRITE), ("zk-idle", IDLE)] {
        let scenario = read(name, text, &Vocabulary::current());
        let plan = scenario.map_err(|problems| Failure::Internal(problems.to_string()))?.plan(0);
        lines.push(measure(name, &plan, args.runs.get(), machine)?);
    }
    lines.extend(allocation::measure());
    let figures = sweeping::measure(args.runs.get(), machine)?;
    let text = match args.format {
        Format::Text => lines.iter().map(shown).chain(figures.iter().map(Figure::shown)).collect(),
        Format::Json => {
            let all = serde_json::json!({ "scenarios": lines, "figures": figures });
            format!("{all:#}\n")
        }
    };
    say(&text)?;
    Ok(Exit::Fine)
}

fn measure(name: &'static str, plan: &Plan, runs: usize, machine: Machine) -> Result<Line, Failure> {
    memory::forget_peak();
    let (mut figures, mut writes): (Vec<Figures>, usize) = (Vec::new(), 0);
    for seed in 0..runs as u64 {
        let plan = Plan { seed, ..plan.clone() };
        let run = machine
            .run(&plan)
            .map_err(|error| Failure::Internal(format!("internal error: {name}, seed {seed}: {error}")))?;
        writes +=
            run.events.iter().filter(|event| matches!(event.kind, EventKind::TxnCommitted { .. })).count();
        figures.push(run.figures);
    }
    let wall: Duration = figures.iter().map(|figures| figures.wall).sum();
    let cost = || wall.as_secs_f64() * 1e6 / writes.max(1) as f64;
    let mut line = line(name, figures);
    line.microseconds_per_write = (name == "zk-write").then(cost);
    Ok(line)
}

fn line(scenario: &'static str, mut figures: Vec<Figures>) -> Line {
    let speed = |figures: &Figures| per_second(figures.simulated.as_secs_f64(), figures.wall);
    figures.sort_by(|one, other| speed(one).total_cmp(&speed(other)));
    let median = figures[figures.len() / 2];
    Line {
        scenario,
        simulated_seconds: median.simulated.as_secs_f64(),
        wall_seconds: median.wall.as_secs_f64(),
        times_real_time: speed(&median),
        events_per_second: per_second(median.events as f64, median.wall),
        messages_per_second: per_second(median.messages as f64, median.wall),
        microseconds_per_write: None,
        copies: None,
        peak_memory_bytes: memory::peak(),
    }
}

fn per_second(amount: f64, wall: Duration) -> f64 {
    amount / wall.as_secs_f64().max(1e-9)
}

fn shown(line: &Line) -> String {
    let memory = line.peak_memory_bytes.map_or("?".into(), |bytes| grouped(bytes / (1024 * 1024)));
    if let Some(copies) = line.copies {
        let (name, wall) = (line.scenario, line.wall_seconds);
        return format!("{name:<16} {} copies in {wall:>7.3} s  {memory} MB\n", grouped(copies as u64));
    }
    let write = line.microseconds_per_write.map_or(String::new(), |cost| format!("  {cost:.1} us a write"));
    format!(
        "{:<16} {:>6.1} s in {:>7.3} s  {:>6.0} times real time  {:>11} events/s  {:>11} messages/s  {memory} MB{write}\n",
        line.scenario,
        line.simulated_seconds,
        line.wall_seconds,
        line.times_real_time,
        grouped(line.events_per_second as u64),
        grouped(line.messages_per_second as u64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_median_run() {
        let figures = |wall_ms| Figures {
            events: 100,
            messages: 50,
            simulated: Duration::from_secs(10),
            wall: Duration::from_millis(wall_ms),
            cpu: None,
        };
        let line = line("x", vec![figures(100), figures(10), figures(20)]);
        assert_eq!((line.wall_seconds, line.times_real_time), (0.02, 500.0));
        assert_eq!((line.events_per_second, line.messages_per_second), (5_000.0, 2_500.0));
    }
}
