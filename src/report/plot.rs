//! Plots — decides how a grid looks as a picture: a panel a measure, a point's median as a dot and its 95th percentile as
//! the end of a line above it. It never computes one.

use std::fmt::Write;

use crate::report::grid::{GridPoint, MEASURES, Measured};

/// The least size of a panel.
const PANEL: (f64, f64) = (340.0, 240.0);
const COLUMNS: usize = 3;
/// Room of a panel for its labels: left, top, right, and below them at the bottom.
const ROOM: (f64, f64, f64, f64) = (52.0, 34.0, 16.0, 26.0);
/// Steps of an axis: a fifth of 1, 2, 5 or 10 is round.
const STEPS: u32 = 5;
/// What a character takes at most of a line, and a line of a page.
const CHARACTER: f64 = 6.4;
const LINE: f64 = 18.0;
/// The least distance of tilted labels.
const TILTED: f64 = 18.0;
/// The angle of tilted labels, in degrees.
const TILT: f64 = 45.0;
const COLOURS: [&str; 6] = ["#1f6feb", "#d1495b", "#2a9d8f", "#e09f3e", "#6f4e9c", "#5c677d"];

/// The grid as an SVG image; a line a scenario.
pub fn svg(points: &[GridPoint]) -> String {
    let page = Page::of(points);
    let rows = MEASURES.len().div_ceil(COLUMNS) as f64;
    let (width, height) = (page.width(), page.head() + page.panel.1 * rows);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    page.legend(&mut out);
    for number in 0..MEASURES.len() {
        page.panel(&mut out, number, points);
    }
    out + "</svg>\n"
}

/// What is shown, and how much room it takes.
struct Page<'a> {
    scenarios: Vec<&'a str>,
    sets: Vec<&'a str>,
    panel: (f64, f64),
    /// Of labels below a panel, and whether they are tilted.
    labels: (f64, bool),
}

impl<'a> Page<'a> {
    fn of(points: &'a [GridPoint]) -> Self {
        let (mut scenarios, mut sets): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for point in points {
            for (list, name) in [(&mut scenarios, &point.scenario), (&mut sets, &point.set)] {
                if !list.contains(&name.as_str()) {
                    list.push(name);
                }
            }
        }
        let longest = sets.iter().map(|set| breadth(&values(set))).fold(0.0, f64::max);
        let is_tilted = (longest + CHARACTER) * sets.len() as f64 > PANEL.0 - ROOM.0 - ROOM.2;
        let least = if is_tilted { ROOM.0 + ROOM.2 + TILTED * sets.len() as f64 } else { 0.0 };
        let high = if is_tilted { LINE + longest * TILT.to_radians().sin() } else { LINE };
        let panel = (PANEL.0.max(least), PANEL.1 + high);
        Self { scenarios, sets, panel, labels: (high, is_tilted) }
    }

    fn width(&self) -> f64 {
        self.panel.0 * COLUMNS as f64
    }

    /// Where the legend has each scenario's name.
    fn legend_places(&self) -> Vec<(f64, f64)> {
        let (mut x, mut y) = (16.0, LINE);
        let place = |scenario: &&str| {
            let needed = 36.0 + breadth(scenario);
            if x > 16.0 && x + needed > self.width() {
                (x, y) = (16.0, y + LINE);
            }
            x += needed;
            (x - needed, y)
        };
        self.scenarios.iter().map(place).collect()
    }

    fn head(&self) -> f64 {
        self.legend_places().last().map_or(0.0, |(_, y)| *y) + LINE + 8.0
    }

    fn legend(&self, out: &mut String) {
        for (number, ((x, y), scenario)) in self.legend_places().into_iter().zip(&self.scenarios).enumerate()
        {
            let colour = colour(number);
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>", y - 4.0);
            text(out, (x + 10.0, y), "start", scenario);
        }
        let words = format!("by {}; dot: median, line: to the 95th percentile", self.keys());
        text(out, (12.0, self.head() - 8.0), "start", &words);
    }

    /// What is varied.
    fn keys(&self) -> String {
        let set = self.sets.first().copied().unwrap_or_default();
        let keys = set.split(", ").filter_map(|part| part.split_once('=')).map(|(key, _)| key);
        keys.collect::<Vec<_>>().join(", ")
    }

    fn panel(&self, out: &mut String, number: usize, points: &[GridPoint]) {
        let (name, _, unit) = MEASURES[number];
        let left = (number % COLUMNS) as f64 * self.panel.0;
        let top = self.head() + (number / COLUMNS) as f64 * self.panel.1;
        let (west, east) = (left + ROOM.0, left + self.panel.0 - ROOM.2);
        let (north, south) = (top + ROOM.1, top + self.panel.1 - ROOM.3 - self.labels.0);
        let most = points.iter().filter_map(|point| point.measures[number].p95).fold(0.0, f64::max);
        let most = ceiling(most);
        let unit = if unit.is_empty() { "a run" } else { unit };
        text(out, (west, top + 20.0), "start", &format!("{name} ({unit})"));
        for step in 0..=STEPS {
            let share = f64::from(step) / f64::from(STEPS);
            let y = south - share * (south - north);
            stroke(out, (west, y), (east, y), "stroke=\"#ddd\"");
            text(out, (west - 6.0, y + 4.0), "end", &label(most * share));
        }
        let slot = (east - west) / self.sets.len().max(1) as f64;
        let x = |place: usize| west + slot * (place as f64 + 0.5);
        for (place, set) in self.sets.iter().enumerate() {
            self.below(out, (x(place), south), &values(set));
        }
        text(out, ((west + east) / 2.0, south + self.labels.0 + 16.0), "middle", &self.keys());
        let apart = (slot / (self.scenarios.len() + 1) as f64).min(6.0);
        for (which, scenario) in self.scenarios.iter().enumerate() {
            let aside = (which as f64 - (self.scenarios.len() as f64 - 1.0) / 2.0) * apart;
            let place = |set: &str| self.sets.iter().position(|other| *other == set).unwrap_or_default();
            let own = points.iter().filter(|point| point.scenario == *scenario);
            let own: Vec<(f64, Measured)> =
                own.map(|point| (x(place(&point.set)) + aside, point.measures[number])).collect();
            series(out, &own, |value| south - value / most * (south - north), colour(which));
        }
    }

    /// A label under an axis.
    fn below(&self, out: &mut String, (x, south): (f64, f64), words: &str) {
        if self.labels.1 {
            let (x, y) = (x + 4.0, south + 12.0);
            let _ = writeln!(out, "<g transform=\"rotate(-{TILT:.0} {x:.1} {y:.1})\">");
            text(out, (x, y), "end", words);
            let _ = writeln!(out, "</g>");
        } else {
            text(out, (x, south + LINE), "middle", words);
        }
    }
}

/// What words take of a line at most.
fn breadth(words: &str) -> f64 {
    CHARACTER * words.chars().count() as f64
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

/// Of a set, the values alone.
fn values(set: &str) -> String {
    let parts = set.split(", ").map(|part| part.split_once('=').map_or(part, |(_, value)| value));
    parts.collect::<Vec<_>>().join(", ")
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

/// Without noughts that say nothing.
fn label(value: f64) -> String {
    match value {
        _ if value >= 1_000_000.0 => format!("{}M", value / 1_000_000.0),
        _ if value >= 1_000.0 => format!("{}k", value / 1_000.0),
        _ => {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
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
    fn labels_of_an_axis_are_as_round_as_its_end() {
        let labels =
            |most: f64| (0..=STEPS).map(|step| label(most * f64::from(step) / 5.0)).collect::<Vec<_>>();
        assert_eq!(labels(0.5), ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(labels(20.0), ["0", "4", "8", "12", "16", "20"]);
        assert_eq!(labels(50_000.0), ["0", "10k", "20k", "30k", "40k", "50k"]);
    }

    #[test]
    fn labels_that_would_overlap_are_tilted_and_many_scenarios_take_several_lines() {
        let many: Vec<GridPoint> =
            (0..9).map(|at| point(&format!("key={at}s, other=20s"), 1.0, 2.0)).collect();
        assert!(svg(&many).contains("rotate(-45") && !svg(&many[..2]).contains("rotate"));
        let named = |at| GridPoint {
            scenario: format!("A scenario with a long name, {at}"),
            ..point("k=1", 1.0, 2.0)
        };
        let named: Vec<GridPoint> = (0..9).map(named).collect();
        let page = Page::of(&named);
        let places = page.legend_places();
        assert!(places.last().unwrap().1 > places[0].1 && page.head() > places.last().unwrap().1);
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
