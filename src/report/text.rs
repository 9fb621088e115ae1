//! Text — decides what a person gets to read of a run. It never decides what is worth a line; the timeline
//! does.

use std::{fmt::Write, time::Duration};

use comfy_table::{ContentArrangement, Table, presets};

use crate::{
    check::verdict::{Judgement, Verdict},
    name::SimTime,
    report::{
        failover::{Failover, failovers},
        faults::Planned,
        style::{Painted, Tone},
        timeline::{Entry, timeline},
        words::{counted, grouped},
    },
    scenario::plan::{Plan, WorkloadPlan},
    sim::Figures,
    trial::{self, Standing, Trial},
};

/// The most lines of a timeline; what is left out is said.
const LINES_MAX: usize = 70;

/// Width of tables, in characters.
const WIDTH: u16 = 110;

/// Blanks around what a column says.
const PADDING: usize = 2;

/// The whole report of a run; `command` repeats it. Coloured: the stream it goes to takes colours out.
pub fn report(trial: &Trial, command: &str) -> String {
    let mut text = built(&trial.plan);
    section(&mut text, "What happened");
    text += &story(trial);
    section(&mut text, "Laws");
    text += &verdicts(&trial.judgements);
    let failovers = failovers(&trial.run.events, Planned::of(&trial.plan));
    if !failovers.is_empty() {
        section(&mut text, "Failover times");
        text += &successions(&failovers);
    }
    section(&mut text, "Figures");
    text += &figures(&trial.run.figures);
    text += &line("fingerprint", &format!("{:032x}", trial.run.fingerprint));
    text += &line("again", command);
    text += &format!("\n{}\n", bottom_line(&trial.judgements));
    text
}

/// What a failing trial's message says: the seed, each broken law, where and why; the law that shows first is first.
pub(super) fn verdict(trial: &Trial) -> String {
    let plan = &trial.plan;
    let mut text = format!("{}, seed {}: {}\n", plan.title, plan.seed, bottom_line(&trial.judgements));
    let mut judgements: Vec<&Judgement> = trial.judgements.iter().collect();
    judgements.sort_by_key(|judgement| match judgement.verdict {
        Verdict::Fail { seq, .. } => seq,
        _ => u64::MAX,
    });
    judgements.iter().for_each(|judgement| text += &reason(judgement));
    text
}

/// Verdicts alone, for a stored run.
pub fn verdicts_of(judgements: &[Judgement]) -> String {
    format!("{}\n{}\n", verdicts(judgements), bottom_line(judgements))
}

fn section(text: &mut String, heading: &str) {
    let _ = writeln!(text, "\n{}", Painted(Tone::Heading, heading));
}

fn line(name: &str, value: &str) -> String {
    format!("  {:<12} {value}\n", Painted(Tone::Dim, name))
}

/// What was built.
fn built(plan: &Plan) -> String {
    let mut text = format!("{}, seed {}\n\n", Painted(Tone::Heading, &plan.title), plan.seed);
    text += &line("ensemble", &ensemble(plan));
    text += &line("nodes", &nodes(plan));
    for index in &plan.indices {
        let shards = counted(index.shards.into(), "shard", "shards");
        let replicas = counted(index.replicas.into(), "replica", "replicas");
        let value = format!("{}: {shards} with {replicas} each", index.name);
        text += &line("index", &value);
    }
    let asks =
        |one: &&WorkloadPlan| one.writes_per_second + one.reads_per_second + one.searches_per_second > 0.0;
    for workload in plan.workloads.iter().filter(asks) {
        text += &line("load", &load(workload));
    }
    let listed = plan.operations.len() + plan.zookeeper_operations.len();
    if listed > 0 {
        text += &line("load", &counted(listed as u64, "listed operation", "listed operations"));
    }
    for defect in &plan.defects.0 {
        let value = format!("{}: {}", Painted(Tone::Bad, defect.name()), defect.story());
        text += &line("defect", &value);
    }
    text
}

fn ensemble(plan: &Plan) -> String {
    let config = &plan.zookeeper;
    let servers = names(config.servers.iter());
    let (tick, init, sync) = (config.tick_ms, config.init_limit, config.sync_limit);
    format!("{servers}; tick {tick} ms, initLimit {init}, syncLimit {sync}")
}

/// Nodes by zone, in order of zones.
fn nodes(plan: &Plan) -> String {
    let mut zones: Vec<&str> = plan.nodes.iter().map(|node| node.zone.as_str()).collect();
    zones.sort_unstable();
    zones.dedup();
    let zone = |zone: &&str| {
        let members = plan.nodes.iter().filter(|node| node.zone == *zone).map(|node| node.host);
        format!("zone {zone}: {}", names(members))
    };
    let zones = zones.iter().map(zone).collect::<Vec<_>>().join("; ");
    format!("{zones}; session timeout {:?}", plan.search.session_timeout)
}

fn names(hosts: impl Iterator<Item = impl ToString>) -> String {
    let names: Vec<String> = hosts.map(|host| host.to_string()).collect();
    match names.as_slice() {
        [first, .., last] if names.len() > 8 => format!("{first} to {last} ({})", names.len()),
        names => names.join(" "),
    }
}

fn load(workload: &WorkloadPlan) -> String {
    let WorkloadPlan { index, writes_per_second, reads_per_second, searches_per_second, documents, .. } =
        workload;
    format!(
        "{index}: {writes_per_second} writes, {reads_per_second} gets, {searches_per_second} searches a second \
         over {documents} documents"
    )
}

/// The timeline, with broken laws where they show.
fn story(trial: &Trial) -> String {
    let mut entries = timeline(&trial.run.events, Planned::of(&trial.plan));
    entries.extend(trial.judgements.iter().filter_map(broken));
    entries.sort_by_key(|entry| entry.at);
    let hidden = entries.len().saturating_sub(LINES_MAX);
    let (head, tail) = (LINES_MAX * 2 / 3, entries.len() - LINES_MAX.min(entries.len()) / 3);
    let mut text = String::new();
    for (number, entry) in entries.iter().enumerate() {
        if hidden == 0 || number < head || number >= tail {
            text += &told(entry);
        } else if number == head {
            let _ =
                writeln!(text, "  {:>9}  … {} more lines: `--trace FILE` has everything", "", tail - head);
        }
    }
    text
}

fn told(entry: &Entry) -> String {
    let text = Painted(entry.tone, entry.text());
    format!("  {:>8.3} s  {:<10} {text}\n", entry.at.seconds(), entry.who)
}

fn broken(judgement: &Judgement) -> Option<Entry> {
    let Verdict::Fail { at, .. } = judgement.verdict else { return None };
    Some(Entry {
        at,
        who: "law".into(),
        what: format!("{} is broken", judgement.law),
        subjects: vec![],
        tone: Tone::Bad,
    })
}

fn verdicts(judgements: &[Judgement]) -> String {
    let header = ["law", "verdict", "promise"];
    let mut table = table(header);
    let longest = judgements.iter().map(|judgement| judgement.law.len()).max().unwrap_or_default();
    let room = usize::from(WIDTH).saturating_sub(longest + header[1].len() + header.len() * PADDING);
    for judgement in judgements {
        let promise = brief(sentence(&judgement.law), room);
        table.add_row([judgement.law.as_str(), word(judgement), promise.as_str()]);
    }
    let mut text = toned(&table.to_string());
    text += &judgements.iter().map(reason).collect::<String>();
    text
}

fn sentence(law: &str) -> &'static str {
    trial::laws().iter().find(|known| known.name == law).map_or("", |known| known.sentence)
}

/// As much of a sentence as fits into so many characters, in whole words.
fn brief(sentence: &str, room: usize) -> String {
    if sentence.chars().count() <= room {
        return sentence.to_owned();
    }
    let mut text = String::new();
    let mut left = room.saturating_sub(" …".chars().count());
    for word in sentence.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if length > left {
            break;
        }
        text.push_str(word);
        left = left.saturating_sub(word.chars().count());
    }
    format!("{} …", text.trim_end())
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table.set_header(header);
    table
}

fn word(judgement: &Judgement) -> &'static str {
    match judgement.verdict {
        Verdict::Pass => "pass",
        Verdict::Fail { .. } => "FAIL",
        Verdict::Unknown { .. } => "unknown",
    }
}

/// Paints the words of verdicts in a finished table, where they can no longer change its widths.
fn toned(table: &str) -> String {
    let words = [(" pass ", Tone::Good), (" FAIL ", Tone::Bad), (" unknown ", Tone::Fault)];
    let paint = |line: &str| {
        let found = words.iter().find(|(word, _)| line.contains(word));
        let line = found.map_or(line.to_owned(), |(word, tone)| {
            line.replacen(word, &Painted(*tone, word).to_string(), 1)
        });
        format!(" {}\n", line.trim_end())
    };
    table.lines().map(paint).collect()
}

/// Why a law is broken or undecided; nothing if it holds.
fn reason(judgement: &Judgement) -> String {
    match &judgement.verdict {
        Verdict::Pass => String::new(),
        Verdict::Unknown { budget } => format!("  {} is undecided: {budget}\n", judgement.law),
        Verdict::Fail { seq, at, why } => {
            let why = why.replace('\n', "\n    ");
            let law = Painted(Tone::Bad, format!("{} is broken", judgement.law));
            let promise = Painted(Tone::Dim, sentence(&judgement.law));
            format!("  {law} at {:.6} s (event {seq}):\n    {why}\n    {promise}\n", at.seconds())
        }
    }
}

fn successions(failovers: &[Failover]) -> String {
    let mut table = table(["fault at", "office", "from", "to", "detected", "succeeded", "back at work"]);
    for failover in failovers {
        let span =
            |span: Option<Duration>| span.map_or("-".into(), |span| format!("+{:.3} s", span.as_secs_f64()));
        table.add_row([
            clock(failover.at),
            failover.office.to_string(),
            failover.from.to_string(),
            failover.to.map_or("-".into(), |host| host.to_string()),
            span(failover.detected),
            span(failover.succeeded),
            span(failover.back),
        ]);
    }
    table.lines().map(|line| format!(" {}\n", line.trim_end())).collect()
}

fn clock(at: SimTime) -> String {
    format!("{:.3} s", at.seconds())
}

fn figures(figures: &Figures) -> String {
    let (simulated, wall) = (figures.simulated.as_secs_f64(), figures.wall.as_secs_f64());
    let speed = if wall > 0.0 { format!(", {:.0} times real time", simulated / wall) } else { String::new() };
    line("record", &format!("{} events, {} messages", grouped(figures.events), grouped(figures.messages)))
        + &line("time", &format!("{simulated:.1} s simulated in {wall:.3} s{speed}"))
}

fn bottom_line(judgements: &[Judgement]) -> String {
    let of = |verdict: fn(&Verdict) -> bool| {
        judgements.iter().filter(|judgement| verdict(&judgement.verdict)).count()
    };
    let broken = of(|verdict| matches!(verdict, Verdict::Fail { .. }));
    let unknown = of(|verdict| matches!(verdict, Verdict::Unknown { .. }));
    match Standing::of(judgements) {
        Standing::Holds if judgements.len() == 1 => Painted(Tone::Good, "The law holds.").to_string(),
        Standing::Holds => Painted(Tone::Good, format!("All {} laws hold.", judgements.len())).to_string(),
        Standing::Undecided => Painted(
            Tone::Fault,
            format!("No law is broken, {unknown} of {} are undecided.", judgements.len()),
        )
        .to_string(),
        Standing::Broken => {
            Painted(Tone::Bad, format!("{broken} of {} laws are broken.", judgements.len())).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Promise;

    #[test]
    fn long_sentence_ends_at_a_word() {
        assert_eq!(brief("A short one.", 12), "A short one.");
        assert_eq!(brief("A short one.", 11), "A short …");
        let long = "One zxid names one transaction, on every server and in every leader's whole history.";
        assert_eq!(brief(long, 70), "One zxid names one transaction, on every server and in every …");
    }

    #[test]
    fn every_law_takes_one_line() {
        let judgement = |law: &Promise| Judgement { law: law.name.into(), verdict: Verdict::Pass };
        let judgements: Vec<_> = trial::laws().iter().map(judgement).collect();
        let text = verdicts(&judgements);
        assert_eq!(text.lines().count(), 1 + judgements.len(), "{text}");
    }
}
