//! Explanations — decides which sixty lines of a run a person reads first: the broken law, the event that shows it, what
//! can have caused it, and the state changes around. It never judges.
//!
//! Causes are told by causality ([`causality`](super::causality)); lines are chosen by what they are about.

mod choice;
mod columns;
mod fields;
mod subjects;
mod told;

use std::{collections::BTreeSet, fmt::Write};

use serde::Serialize;

pub use self::told::told;
use self::{
    choice::{Break, choice},
    columns::{Columns, WIDTH, head},
};
use crate::{
    check::verdict::Verdict,
    event::{Event, EventKind},
    name::{HostId, HostKind},
    report::{
        faults::Planned,
        style::{Painted, Tone},
        text,
    },
    trial::Trial,
};

/// The most lines of an explanation.
pub const LINES_MAX: usize = 60;
/// Of these, events.
const CHANGES_MAX: usize = 40;
/// Of these, for the event that shows the break.
const BREAK_LINES_MAX: usize = 6;
/// The most columns of hosts.
const COLUMNS_MAX: usize = 12;
/// Width of a line, in characters.
const LINE_WIDTH: usize = 118;
/// How far in the lines of the break after its first one are.
const INDENT: usize = 16;
/// How far in what happened stands at most.
const START_MAX: usize = 25 + COLUMNS_MAX * WIDTH;
/// The most lines of one part before the table.
const REASON_LINES_MAX: usize = LINES_MAX - CHANGES_MAX - 6;

/// An explanation in at most [`LINES_MAX`] lines; `again` repeats the run. Coloured: the stream it goes to takes
/// colours out.
pub fn page(trial: &Trial, again: Option<&str>) -> String {
    let mut page = text::verdict(trial);
    if let Some((cut, _)) = page.match_indices('\n').nth(REASON_LINES_MAX - 1) {
        page.truncate(cut + 1);
        page += "  …\n";
    }
    page += &table(&trial.run.events, Planned::of(&trial.plan), broken(trial));
    let _ = writeln!(page, "fingerprint {:032x}", trial.run.fingerprint);
    if let Some(again) = again {
        let _ = writeln!(page, "again: {again}");
    }
    page
}

/// What an event of an explanation has to do with the break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It is what shows the break.
    Break,
    /// It can have caused it.
    Cause,
    /// It is there for the time, or for what it is about.
    Context,
}

/// The events of the explanation of the first broken law, as its page shows them: which, what part it has, and what
/// happened in one line. Nothing if all laws hold.
pub fn explanation(trial: &Trial) -> Vec<(&Event, Part, String)> {
    let (events, planned) = (&trial.run.events, Planned::of(&trial.plan));
    let Some(broken) = broken(trial) else { return Vec::new() };
    let chosen = choice(events, planned, Some(broken), room(events, planned, Some(broken)));
    let shown = chosen.shown.iter().map(|at| {
        let event = &events[*at];
        (event, chosen.part(*at), what(event, planned))
    });
    shown.collect()
}

/// The same for a file or a panic: without colours.
pub fn plain_page(trial: &Trial, again: Option<&str>) -> String {
    anstream::adapter::strip_str(&page(trial, again)).to_string()
}

/// The event that shows the first broken law.
fn broken(trial: &Trial) -> Option<Break<'_>> {
    match &trial.first_failure()?.verdict {
        Verdict::Fail { seq, why, .. } => {
            Some(Break { at: *seq as usize, why }).filter(|broken| broken.at < trial.run.events.len())
        }
        _ => None,
    }
}

/// Events, a line each, with the one that broke a law, which has several if need be, and its causes marked.
fn table(events: &[Event], planned: Planned<'_>, broken: Option<Break<'_>>) -> String {
    let chosen = choice(events, planned, broken, room(events, planned, broken));
    let hosts = columns(events, &chosen.shown);
    let mut text = heading(&hosts, chosen.broken);
    let mut columns = Columns::default();
    for (number, event) in events.iter().enumerate() {
        columns.observe(event);
        if !chosen.shown.contains(&number) {
            continue;
        }
        text += &line(event, &what(event, planned), chosen.part(number), (&columns, &hosts));
    }
    if chosen.shown.is_empty() {
        text += "  nothing changed its state\n";
    }
    text
}

/// How many events there is room for beside the lines of the break after its first one.
fn room(events: &[Event], planned: Planned<'_>, broken: Option<Break<'_>>) -> usize {
    let lines = |broken: Break<'_>| wrapped(&what(&events[broken.at], planned), START_MAX).len();
    CHANGES_MAX + 1 - broken.map_or(1, lines)
}

/// What happened, in one line.
fn what(event: &Event, planned: Planned<'_>) -> String {
    let what = match &event.kind {
        EventKind::FaultMissed { step, what } => format!("fault missed: {}", planned.missed(*step, what)),
        kind => told(kind),
    };
    what.replace('\n', " ")
}

fn heading(hosts: &[HostId], broken: Option<usize>) -> String {
    let heads: String = hosts.iter().map(|host| format!("{:<WIDTH$}", head(*host))).collect();
    let marks = match broken {
        Some(_) => "> the break, * possible causes by messages and order; ",
        None => "",
    };
    let key = format!("{marks}L leads, F follows, C controls, 2 primaries, x down, z paused");
    let head = Painted(Tone::Heading, brief(&format!("  {:>10}  {heads}", "seconds")));
    format!("{}\n{head}\n", Painted(Tone::Dim, brief(&key)))
}

fn line(event: &Event, what: &str, part: Part, (columns, hosts): (&Columns, &[HostId])) -> String {
    let cells: String = hosts.iter().map(|host| format!("{:<WIDTH$}", columns.cell(*host))).collect();
    let who = event.host.map_or("world".to_owned(), |host| host.to_string());
    let (mark, tone) = match part {
        Part::Break => ('>', Tone::Bad),
        Part::Cause => ('*', Tone::Fault),
        Part::Context => (' ', Tone::Plain),
    };
    let start = format!("{mark} {:>10.4}  {cells} {who:<9} ", event.at.seconds());
    let lines = match part {
        Part::Break => wrapped(what, start.chars().count()),
        _ => vec![what.to_owned()],
    };
    let indent = " ".repeat(INDENT);
    let starts = [start.as_str()].into_iter().chain(std::iter::repeat(indent.as_str()));
    let paint = |(start, text)| format!("{}\n", Painted(tone, brief(&format!("{start}{text}"))));
    starts.zip(&lines).map(paint).collect()
}

/// A text in lines of whole words, the first of which has another `start` than the others; what is too long for
/// [`BREAK_LINES_MAX`] of them stands on the last.
fn wrapped(text: &str, start: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').flat_map(pieces) {
        let taken = if lines.len() == 1 { start } else { INDENT };
        let is_last = lines.len() == BREAK_LINES_MAX;
        let line = lines.last_mut().expect("there is a line");
        let length = line.chars().count() + 1 + word.chars().count();
        if line.is_empty() {
            line.push_str(&word);
        } else if is_last || taken + length <= LINE_WIDTH {
            *line += &format!(" {word}");
        } else {
            lines.push(word);
        }
    }
    lines
}

/// A word in pieces that fit a line.
fn pieces(word: &str) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    let pieces = chars.chunks(LINE_WIDTH - INDENT).map(|piece| piece.iter().collect());
    if chars.is_empty() { vec![String::new()] } else { pieces.collect() }
}

/// As much of a line as has room.
fn brief(text: &str) -> String {
    if text.chars().count() <= LINE_WIDTH {
        return text.trim_end().to_owned();
    }
    text.chars().take(LINE_WIDTH - 1).chain(['…']).collect()
}

/// The hosts of the table: all, or if they are many those that the lines are about.
fn columns(events: &[Event], shown: &BTreeSet<usize>) -> Vec<HostId> {
    let mut all = Columns::default();
    events.iter().for_each(|event| all.observe(event));
    let hosts: Vec<HostId> = all.hosts().collect();
    if hosts.len() <= COLUMNS_MAX {
        return hosts;
    }
    let about = shown.iter().filter_map(|at| events[*at].host).filter(|host| host.kind != HostKind::Client);
    let about: BTreeSet<HostId> = about.collect();
    about.into_iter().take(COLUMNS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::EventKind as E,
        name::{Epoch, SimTime},
    };

    fn record(kinds: Vec<(Option<HostId>, E)>) -> Vec<Event> {
        let event = |(seq, (host, kind)): (u64, _)| Event { seq, at: SimTime(seq * 1_000_000), host, kind };
        (0..).zip(kinds).map(event).collect()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn break_and_causes_are_marked_and_the_rest_is_not() {
        let (one, two, other) = (HostId::search(1), HostId::search(2), HostId::search(3));
        let elected = |epoch| E::ControllerElected { epoch: Epoch(epoch) };
        let events = record(vec![
            (Some(one), elected(1)),
            (Some(other), elected(2)),
            (Some(two), E::Delivered { from: one, message: "m".into(), sent: 1 }),
            (Some(two), elected(3)),
        ]);
        let text =
            plain(&table(&events, Planned::default(), Some(Break { at: 3, why: "search-1 has epoch 1" })));
        let lines: Vec<&str> = text.lines().skip(2).collect();
        let marks: Vec<char> = lines.iter().filter_map(|line| line.chars().next()).collect();
        assert_eq!(marks, ['*', ' ', '>'], "{text}");
        assert!(lines[2].contains("search-2  is controller in epoch 3"), "{text}");
    }

    #[test]
    fn break_has_as_many_lines_as_it_needs() {
        let hits = (0..3).map(|number| format!("a-document-with-a-long-name-{number}"));
        let completed = E::SearchCompleted {
            request: 8_589_954_432,
            outcome: crate::event::Outcome::Ok,
            shards_successful: 1,
            shards_total: 1,
            total: 3,
            hits: hits.collect(),
            seen: vec![],
            timed_out: false,
            aggregations: "x".repeat(200),
            error: None,
        };
        let events = record(vec![(Some(HostId::client(2)), completed)]);
        let text = plain(&table(&events, Planned::default(), Some(Break { at: 0, why: "" })));
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert!(lines.len() > 2 && lines.len() <= BREAK_LINES_MAX, "{text}");
        assert!(
            lines[0]
                .ends_with("request 310 of client-2 outcome ok shards_successful 1 shards_total 1 total 3"),
            "{text}"
        );
        assert!(text.contains("a-document-with-a-long-name-2]"), "{text}");
    }

    #[test]
    fn page_has_room_for_the_last_changes_only_and_lines_have_one_width_at_most() {
        let kinds = (0..500).map(|round| {
            let why = "a reason that goes on and on, ".repeat(9);
            (Some(HostId::zookeeper(1 + round % 40)), E::RoleLost { why: why.into() })
        });
        let events = record(kinds.collect());
        let text = plain(&table(&events, Planned::default(), None));
        assert_eq!(text.lines().count(), 2 + CHANGES_MAX);
        assert!(text.lines().all(|line| line.chars().count() <= LINE_WIDTH), "{text}");
    }
}
