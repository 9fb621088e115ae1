//! Grids — decides how the runs at each point of a parameter grid are summed up: medians and 95th percentiles. It never
//! decides which points there are.

use std::{cmp::Ordering, collections::BTreeMap};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::{scenario::duration, sweep::record::Record};

/// What is measured: its name in tables, its name in records, and its unit.
pub const MEASURES: [(&str, &str, &str); 7] = [
    ("detected", "detect", "s"),
    ("leader missed", "detect_leader", "s"),
    ("promoted", "promote", "s"),
    ("green", "green", "s"),
    ("failing", "unavailable", "s"),
    ("moves", "moves", ""),
    ("messages", "messages", ""),
];

/// A point of a grid, with its measures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GridPoint {
    /// Title of the scenario.
    pub scenario: String,
    /// What was set.
    pub set: String,
    /// Runs.
    pub runs: usize,
    /// By the name in records, in the order of [`MEASURES`].
    pub measures: Vec<Measured>,
}

/// One measure at one point; none if no run has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// Its name in records.
    pub measure: &'static str,
    /// The median.
    pub median: Option<f64>,
    /// The 95th percentile.
    pub p95: Option<f64>,
}

/// The points of a grid, by scenario and then by what was set, small values first; none unless something was set in
/// several ways.
pub fn points(records: &[Record]) -> Vec<GridPoint> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|record| !record.is_internal()) {
        let point = (record.scenario.as_str(), record.set.as_str());
        groups.entry(point).or_default().push(record);
    }
    // Merged records come in the order of their keys, which are hashes.
    let mut order: Vec<(&str, &str)> = groups.keys().copied().collect();
    order.sort_by(|(one, set), (other, reset)| one.cmp(other).then_with(|| compare(set, reset)));
    let of = |scenario: &str| order.iter().filter(move |(other, _)| *other == scenario).count();
    let points = order.iter().filter(|(scenario, _)| of(scenario) > 1);
    points.map(|(scenario, set)| point(scenario, set, &groups[&(*scenario, *set)])).collect()
}

/// Spans and numbers by their size, anything else as text.
fn compare(one: &str, other: &str) -> Ordering {
    let pairs = one.split(", ").zip(other.split(", "));
    let parts = pairs.map(|(part, counterpart)| match size(part).zip(size(counterpart)) {
        Some((less, more)) => less.total_cmp(&more),
        None => part.cmp(counterpart),
    });
    parts.fold(Ordering::Equal, Ordering::then).then_with(|| one.cmp(other))
}

fn size(part: &str) -> Option<f64> {
    let (_, value) = part.split_once('=')?;
    let span = duration::parse(value).ok().map(|span| span.as_secs_f64());
    span.or_else(|| value.parse().ok())
}

fn point(scenario: &str, set: &str, records: &[&Record]) -> GridPoint {
    let measures = MEASURES.iter().map(|(_, measure, _)| {
        let mut values: Vec<f64> = records.iter().filter_map(|record| value(record, measure)).collect();
        values.sort_by(f64::total_cmp);
        Measured { measure, median: percentile(&values, 50), p95: percentile(&values, 95) }
    });
    let (scenario, set) = (scenario.to_owned(), set.to_owned());
    GridPoint { scenario, set, runs: records.len(), measures: measures.collect() }
}

fn value(record: &Record, measure: &str) -> Option<f64> {
    match measure {
        "detect" => record.detect,
        "detect_leader" => record.detect_leader,
        "promote" => record.promote,
        "green" => record.green,
        "unavailable" => Some(record.unavailable),
        "moves" => Some(f64::from(record.moves)),
        _ => Some(record.messages as f64),
    }
}

/// The smallest value that so many in a hundred do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// The grid as a table: a line a point, in each cell the median and the 95th percentile.
pub fn table(points: &[GridPoint]) -> String {
    if points.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let heads = MEASURES.iter().map(|(head, ..)| (*head).to_owned());
    table.set_header(["median / 95th percentile".to_owned(), "runs".to_owned()].into_iter().chain(heads));
    for point in points {
        let cells = point.measures.iter().zip(MEASURES).map(|(measured, (_, _, unit))| cell(measured, unit));
        let name =
            format!("{}: {}", point.scenario, if point.set.is_empty() { "as it is" } else { &point.set });
        table.add_row([name, point.runs.to_string()].into_iter().chain(cells));
    }
    let lines: String = table.lines().map(|line| format!(" {}\n", line.trim_end())).collect();
    format!("\n{lines}\n")
}

fn cell(measured: &Measured, unit: &str) -> String {
    let digits = if unit.is_empty() { 0 } else { 2 };
    match (measured.median, measured.p95) {
        (Some(median), Some(p95)) => {
            format!("{median:.digits$} / {p95:.digits$} {unit}").trim_end().to_owned()
        }
        _ => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(set: &str, detect: f64) -> Record {
        let record = serde_json::json!({
            "key": "0", "scenario": "S", "set": set, "seed": 1, "verdict": "pass", "events": 0, "messages": 7,
            "simulated": 1.0, "crashes": 0, "pauses": 0, "cuts": 0, "missed": 0, "detect": detect,
            "unavailable": 0.0, "moves": 2, "goals": [],
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn percentiles_are_values_that_occur() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 95)), (Some(10.0), Some(19.0)));
        assert_eq!((percentile(&[3.0], 50), percentile(&[], 50)), (Some(3.0), None));
    }

    #[test]
    fn runs_are_summed_up_point_by_point_in_the_order_of_values() {
        let records = [record("a=10", 5.0), record("a=9", 1.0), record("a=9", 3.0), record("a=9", 2.0)];
        let points = points(&records);
        let found: Vec<_> =
            points.iter().map(|point| (point.set.as_str(), point.measures[0].median)).collect();
        assert_eq!(found, [("a=9", Some(2.0)), ("a=10", Some(5.0))]);
        let mut spans = ["a=1m, b=x", "a=800ms, b=y", "a=800ms, b=x", "a=2s, b=x"];
        spans.sort_by(|one, other| compare(one, other));
        assert_eq!(spans, ["a=800ms, b=x", "a=800ms, b=y", "a=2s, b=x", "a=1m, b=x"]);
        let table = table(&points);
        assert!(
            table.contains("S: a=9") && table.contains("2.00 / 3.00 s") && table.contains("7 / 7"),
            "{table}"
        );
    }

    #[test]
    fn one_point_is_no_grid() {
        assert!(points(&[record("a=1", 1.0), record("a=1", 2.0)]).is_empty());
    }
}
