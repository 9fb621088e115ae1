//! Plots — decides how a grid looks as a picture: a panel a measure, a point's median as a dot and its 95th percentile as
//! the end of a line above it. It never computes one.

use std::fmt::Write;

use crate::report::grid::{GridPoint, MEASURES, Measured};

const PANEL: (f64, f64) = (340.0, 240.0);
const COLUMNS: usize = 3;
/// Room of a panel for its labels: left, top, right, bottom.
const ROOM: (f64, f64, f64, f64) = (52.0, 34.0, 16.0, 46.0);
const HEAD: f64 = 46.0;
const COLOURS: [&str; 6] = ["#1f6feb", "#d1495b", "#2a9d8f", "#e09f3e", "#6f4e9c", "#5c677d"];

/// The grid as an SVG image; a line a scenario.
pub fn svg(points: &[GridPoint]) -> String {
    let mut scenarios: Vec<&str> = points.iter().map(|point| point.scenario.as_str()).collect();
    scenarios.dedup();
    let mut sets: Vec<&str> = Vec::new();
    for point in points {
        if !sets.contains(&point.set.as_str()) {
            sets.push(&point.set);
        }
    }
    let rows = MEASURES.len().div_ceil(COLUMNS);
    let (width, height) = (PANEL.0 * COLUMNS as f64, HEAD + PANEL.1 * rows as f64);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    legend(&mut out, &scenarios, &sets);
    for number in 0..MEASURES.len() {
        let corner = ((number % COLUMNS) as f64 * PANEL.0, HEAD + (number / COLUMNS) as f64 * PANEL.1);
        panel(&mut out, number, corner, points, (&scenarios, &sets));
    }
    out + "</svg>\n"
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#333\">{words}</text>"
    );
}

fn stroke(out: &mut String, from: (f64, f64), to: (f64, f64), looks: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(out, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {looks}/>");
}

fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

/// What all sets have in common is said once.
fn legend(out: &mut String, scenarios: &[&str], sets: &[&str]) {
    let mut x = 16.0;
    for (number, scenario) in scenarios.iter().enumerate() {
        let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"16\" r=\"4\" fill=\"{}\"/>", colour(number));
        text(out, (x + 10.0, 20.0), "start", scenario);
        x += 36.0 + 6.5 * scenario.chars().count() as f64;
    }
    let keys: Vec<&str> = sets.first().map_or(Vec::new(), |set| {
        set.split(", ").filter_map(|part| part.split_once('=')).map(|(key, _)| key).collect()
    });
    text(
        out,
        (12.0, 38.0),
        "start",
        &format!("by {}; dot: median, line: to the 95th percentile", keys.join(", ")),
    );
}

/// Of a set, the values alone.
fn values(set: &str) -> String {
    let parts = set.split(", ").map(|part| part.split_once('=').map_or(part, |(_, value)| value));
    parts.collect::<Vec<_>>().join(", ")
}

fn panel(
    out: &mut String,
    number: usize,
    (left, top): (f64, f64),
    points: &[GridPoint],
    (scenarios, sets): (&[&str], &[&str]),
) {
    let (name, _, unit) = MEASURES[number];
    let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
    let most = points.iter().filter_map(|point| point.measures[number].p95).fold(0.0, f64::max);
    let most = ceiling(most);
    let (west, east) = (left + ROOM.0, left + PANEL.0 - ROOM.2);
    let (north, south) = (top + ROOM.1, top + PANEL.1 - ROOM.3);
    text(out, (west, top + 20.0), "start", &format!("{name}{unit}"));
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let y = south - share * (south - north);
        stroke(out, (west, y), (east, y), "stroke=\"#ddd\"");
        text(out, (west - 6.0, y + 4.0), "end", &label(most * share));
    }
    let x = |set: &str| {
        let place = sets.iter().position(|other| *other == set).unwrap_or_default();
        west + (east - west) * (place as f64 + 0.5) / sets.len().max(1) as f64
    };
    for set in sets {
        text(out, (x(set), south + 18.0), "middle", &values(set));
    }
    let y = |value: f64| south - value / most * (south - north);
    for (which, scenario) in scenarios.iter().enumerate() {
        let aside = (which as f64 - (scenarios.len() as f64 - 1.0) / 2.0) * 6.0;
        let own = points.iter().filter(|point| point.scenario == *scenario);
        let own: Vec<(f64, Measured)> =
            own.map(|point| (x(&point.set) + aside, point.measures[number])).collect();
        series(out, &own, y, colour(which));
    }
}

fn series(out: &mut String, points: &[(f64, Measured)], y: impl Fn(f64) -> f64, colour: &str) {
    let mut before = None;
    for (x, measured) in points {
        let Some((median, p95)) = measured.median.zip(measured.p95) else {
            before = None;
            continue;
        };
        let here = (*x, y(median));
        let line = format!("stroke=\"{colour}\" stroke-width=\"1.5\"");
        stroke(out, here, (*x, y(p95)), &line);
        stroke(out, (*x - 4.0, y(p95)), (*x + 4.0, y(p95)), &line);
        if let Some(before) = before.replace(here) {
            stroke(out, before, here, &format!("stroke=\"{colour}\" stroke-opacity=\"0.5\""));
        }
        let _ =
            writeln!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>", here.0, here.1);
    }
}

/// A round number that is not less: 1, 2 or 5 and noughts.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let ten = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * ten).into_iter().find(|top| *top >= value).unwrap_or(value)
}

fn label(value: f64) -> String {
    match value {
        _ if value == 0.0 => "0".into(),
        _ if value >= 1_000.0 => format!("{:.0}k", value / 1_000.0),
        _ if value >= 10.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(set: &str, median: f64, p95: f64) -> GridPoint {
        let measured = |(_, measure, _): &(&str, &'static str, &str)| Measured {
            measure,
            median: (*measure != "promote").then_some(median),
            p95: (*measure != "promote").then_some(p95),
        };
        let measures = MEASURES.iter().map(measured).collect();
        GridPoint { scenario: "A <b> & c".into(), set: set.into(), runs: 3, measures }
    }

    #[test]
    fn axis_ends_at_a_round_number_above_all() {
        assert_eq!([0.0, 0.3, 1.0, 3.4, 70.0].map(ceiling), [1.0, 0.5, 1.0, 5.0, 100.0]);
    }

    #[test]
    fn every_point_that_was_measured_has_its_dot() {
        let svg = svg(&[point("k=2s", 1.0, 2.0), point("k=4s", 3.0, 4.0)]);
        let dots = svg.matches("<circle").count();
        assert_eq!(dots, 1 + 2 * (MEASURES.len() - 1), "{svg}");
        assert!(svg.contains("A &lt;b> &amp; c") && svg.contains(">2s<") && svg.contains("by k;"), "{svg}");
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }
}
