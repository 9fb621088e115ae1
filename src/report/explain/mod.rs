//! Explanations — decides which sixty lines of a run a person reads first: the broken law, the event that shows it, what
//! can have caused it, and the state changes around. It never judges.
//!
//! Causes are chosen by causality ([`causality`](super::causality)): the fewer messages between an event and what it
//! led to, the nearer. What else is shown is there for the time.

mod columns;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

pub use self::told::told;
use self::{
    columns::{Columns, WIDTH, head},
    told::is_state_change,
};
use crate::{
    check::verdict::Verdict,
    event::Event,
    name::{HostId, HostKind},
    report::{
        causality::{Causes, Hops},
        style::{Painted, Tone},
        text,
    },
    trial::Trial,
};

/// The most lines of an explanation.
pub const LINES_MAX: usize = 60;
/// Of these, state changes.
const CHANGES_MAX: usize = 40;
/// Of these, possible causes.
const CAUSES_MAX: usize = 22;
/// The most columns of hosts.
const COLUMNS_MAX: usize = 12;
/// Width of a line, in characters.
const LINE_WIDTH: usize = 118;
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
    let events = &trial.run.events;
    let broken = trial.first_failure().and_then(|judgement| match judgement.verdict {
        Verdict::Fail { seq, .. } => Some(seq as usize).filter(|seq| *seq < events.len()),
        _ => None,
    });
    page += &table(events, broken);
    let _ = writeln!(page, "fingerprint {:032x}", trial.run.fingerprint);
    if let Some(again) = again {
        let _ = writeln!(page, "again: {again}");
    }
    page
}

/// The same for a file or a panic: without colours.
pub fn plain_page(trial: &Trial, again: Option<&str>) -> String {
    anstream::adapter::strip_str(&page(trial, again)).to_string()
}

/// State changes, a line each, with the event that broke a law and its causes marked.
fn table(events: &[Event], broken: Option<usize>) -> String {
    let past = broken.map_or(BTreeMap::new(), |at| Causes::of(events).past(at));
    let causes = nearest(events, broken, &past);
    let shown = chosen(events, broken, &causes);
    let hosts = columns(events, &shown);
    let mut text = heading(&hosts, broken);
    let mut columns = Columns::default();
    let mut last = None;
    for (number, event) in events.iter().enumerate() {
        columns.observe(event);
        if !shown.contains(&number) {
            continue;
        }
        let mark = match () {
            () if broken == Some(number) => '>',
            () if causes.contains(&number) => '*',
            () => ' ',
        };
        text += &line(event, mark, &columns, &hosts);
        last = Some(number);
    }
    if last.is_none() {
        text += "  nothing changed its state\n";
    }
    text
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

fn line(event: &Event, mark: char, columns: &Columns, hosts: &[HostId]) -> String {
    let cells: String = hosts.iter().map(|host| format!("{:<WIDTH$}", columns.cell(*host))).collect();
    let who = event.host.map_or("world".to_owned(), |host| host.to_string());
    let text = format!(
        "{mark} {:>10.4}  {cells} {who:<9} {}",
        event.at.seconds(),
        told(&event.kind).replace('\n', " ")
    );
    let tone = match mark {
        '>' => Tone::Bad,
        '*' => Tone::Fault,
        _ => Tone::Plain,
    };
    format!("{}\n", Painted(tone, brief(&text)))
}

/// As much of a line as has room.
fn brief(text: &str) -> String {
    if text.chars().count() <= LINE_WIDTH {
        return text.trim_end().to_owned();
    }
    text.chars().take(LINE_WIDTH - 1).chain(['…']).collect()
}

/// The state changes that can have caused the break, nearest first: about its shard, if it is about one.
fn nearest(events: &[Event], broken: Option<usize>, past: &BTreeMap<usize, Hops>) -> BTreeSet<usize> {
    let shard = broken.and_then(|at| events[at].kind.shard());
    let concerns = |event: &Event| match (shard, event.kind.shard()) {
        (Some(shard), Some(other)) => shard == other,
        _ => true,
    };
    let changes = past.iter().filter(|(at, _)| {
        let event = &events[**at];
        is_state_change(&event.kind) && concerns(event)
    });
    let mut changes: Vec<(Hops, usize)> = changes.map(|(at, hops)| (*hops, usize::MAX - *at)).collect();
    changes.sort_unstable();
    changes.into_iter().take(CAUSES_MAX).map(|(_, at)| usize::MAX - at).collect()
}

/// The lines: the break, its causes, what the world did, and the last changes before.
fn chosen(events: &[Event], broken: Option<usize>, causes: &BTreeSet<usize>) -> BTreeSet<usize> {
    let end = broken.map_or(events.len(), |at| at + 1);
    let mut shown: BTreeSet<usize> = causes.iter().copied().chain(broken).collect();
    let changes = (0..end).rev().filter(|at| is_state_change(&events[*at].kind));
    let (worldly, others): (Vec<usize>, Vec<usize>) = changes.partition(|at| events[*at].host.is_none());
    let room = CHANGES_MAX.saturating_sub(shown.len());
    shown.extend(worldly.into_iter().take(room / 2));
    for at in others {
        if shown.len() >= CHANGES_MAX {
            break;
        }
        shown.insert(at);
    }
    shown
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
        name::{AllocationId, Epoch, SimTime, Term},
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
        let text = plain(&table(&events, Some(3)));
        let lines: Vec<&str> = text.lines().skip(2).collect();
        let marks: Vec<char> = lines.iter().filter_map(|line| line.chars().next()).collect();
        assert_eq!(marks, ['*', ' ', '>'], "{text}");
        assert!(lines[2].contains("search-2  is controller in epoch 3"), "{text}");
    }

    #[test]
    fn causes_about_another_shard_are_left_out() {
        let host = HostId::search(1);
        let activated = |number| E::PrimaryActivated {
            shard: crate::name::ShardId { index: "a".into(), number },
            allocation: AllocationId(1),
            term: Term(1),
        };
        let events =
            record(vec![(Some(host), activated(0)), (Some(host), activated(1)), (Some(host), activated(1))]);
        let past = Causes::of(&events).past(2);
        assert_eq!(nearest(&events, Some(2), &past), [1].into());
    }

    #[test]
    fn page_has_room_for_the_last_changes_only_and_lines_have_one_width_at_most() {
        let kinds = (0..500).map(|round| {
            let why = "a reason that goes on and on, ".repeat(9);
            (Some(HostId::zookeeper(1 + round % 40)), E::RoleLost { why: why.into() })
        });
        let events = record(kinds.collect());
        let text = plain(&table(&events, None));
        assert_eq!(text.lines().count(), 2 + CHANGES_MAX);
        assert!(text.lines().all(|line| line.chars().count() <= LINE_WIDTH), "{text}");
    }
}
