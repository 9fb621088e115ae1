//! Bench — decides what of speed and memory is measured, and how. It never decides what is fast enough.

use std::{fs, time::Duration};

use serde::Serialize;

use super::{
    args::{BenchArgs, Format},
    exit::{Exit, Failure},
    output::say,
    source::subject,
};
use crate::{
    report::words::grouped,
    scenario::{builtin, plan::Plan},
    sim::Figures,
    sweep::store::peak_memory,
    trial::Machine,
};

/// The figures of one scenario: medians over its runs.
#[derive(Debug, Clone, Serialize)]
struct Line {
    scenario: &'static str,
    simulated_seconds: f64,
    wall_seconds: f64,
    times_real_time: f64,
    events_per_second: f64,
    messages_per_second: f64,
    peak_memory_bytes: Option<u64>,
}

pub(super) fn bench(args: &BenchArgs, machine: Machine) -> Result<Exit, Failure> {
    let standard = builtin::ALL.iter().take(builtin::STANDARD);
    let lines: Vec<Line> =
        standard.map(|one| measure(one.name, args.runs.get(), machine)).collect::<Result<_, _>>()?;
    let text = match args.format {
        Format::Text => lines.iter().map(shown).collect::<String>(),
        Format::Json => serde_json::to_string_pretty(&lines).expect("names and numbers are JSON") + "\n",
    };
    say(&text)?;
    Ok(Exit::Fine)
}

fn measure(name: &'static str, runs: usize, machine: Machine) -> Result<Line, Failure> {
    let plan = subject(Some(name), &[])?.plan;
    reset_peak();
    let mut figures = Vec::new();
    for seed in 0..runs as u64 {
        let plan = Plan { seed, ..plan.clone() };
        let run = (machine.run)(&plan)
            .map_err(|error| Failure::Internal(format!("internal error: {name}, seed {seed}: {error}")))?;
        figures.push(run.figures);
    }
    Ok(line(name, figures))
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
        peak_memory_bytes: peak_memory(),
    }
}

fn per_second(amount: f64, wall: Duration) -> f64 {
    amount / wall.as_secs_f64().max(1e-9)
}

fn shown(line: &Line) -> String {
    let memory = line.peak_memory_bytes.map_or("?".into(), |bytes| grouped(bytes / (1024 * 1024)));
    format!(
        "{:<16} {:>6.1} s in {:>7.3} s  {:>6.0} times real time  {:>11} events/s  {:>11} messages/s  {memory} MB\n",
        line.scenario,
        line.simulated_seconds,
        line.wall_seconds,
        line.times_real_time,
        grouped(line.events_per_second as u64),
        grouped(line.messages_per_second as u64),
    )
}

/// Linux forgets the highest memory use on request, so that each scenario gets its own; elsewhere the peak
/// is that of the process so far.
fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
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
        };
        let line = line("x", vec![figures(100), figures(10), figures(20)]);
        assert_eq!((line.wall_seconds, line.times_real_time), (0.02, 500.0));
        assert_eq!((line.events_per_second, line.messages_per_second), (5_000.0, 2_500.0));
    }
}
