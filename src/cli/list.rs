//! Lists — decides what can be looked up. It never decides what there is.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};

use super::args::Topic;
use crate::{
    defect::Defect,
    event::EventKind,
    report::style::{Painted, Tone},
    scenario::{
        builtin::{self, Builtin},
        dice::{Entry, QUESTIONS},
        generate::PROFILES,
        select::SELECTORS,
    },
    trial::{self, Promise},
};

/// Width of the table of laws, in characters.
const TABLE_WIDTH: u16 = 150;

const ALL: [Topic; 10] = [
    Topic::Scenarios,
    Topic::Laws,
    Topic::Goals,
    Topic::Faults,
    Topic::Selectors,
    Topic::Steps,
    Topic::Events,
    Topic::Defects,
    Topic::Profiles,
    Topic::Dice,
];

/// What a fault can do, as scenario files write it.
const DEEDS: [(&str, &str); 21] = [
    (
        "crash = \"WHO\"",
        "the process dies and what was not synced meets the disk's fault contract; `power = true`: peers see silence, not resets; undone: restart",
    ),
    ("pause = \"WHO\"", "the process is not scheduled; undone: resume"),
    ("wipe = \"WHO\"", "the machine loses power, and its disk all it holds; undone: restart"),
    (
        "cut = \"WHO\"",
        "messages do not get through to any other server or node, or `to = \"WHO\"`; `direction` both, outgoing, incoming; only `links` of zookeeper, nodes, clients, sessions; `mode` stall, reset, drop, hold; what is on the wire (`in_flight`) cut, delivered, lost; undone: heal",
    ),
    (
        "partition = \"SHAPE\"",
        "every server and node, or `of = \"WHO\"`, falls into halves, isolate_one, minority, bridge, ring, zones; `mode` and `in_flight` as of a cut; undone: heal",
    ),
    (
        "slow = \"WHO\"",
        "messages take `delay = { min = \"…\", mean = \"…\" }`, of `shape` exponential, constant, uniform, log-normal, slow-tail, varying over a `period`; or queue for `bandwidth` bytes a second; `to`, `direction`, `links` as of a cut; undone: as before",
    ),
    (
        "lose_reply = \"WHO\"",
        "the next answer, or `count` of them, vanishes after what was asked has been done, and its connection breaks; to any client, or `to = \"WHO\"`",
    ),
    ("disconnect = \"WHO\"", "connections to ZooKeeper are reset; whoever had one looks for another server"),
    (
        "rot = \"WHO\"",
        "`bits` of a file are flipped, of `files` any, segments, translog, log, snapshot, state; never undone",
    ),
    (
        "misdirect = \"WHO\"",
        "the last write to a file, of `files` as of rot, went to another one; never undone",
    ),
    (
        "write_error = \"WHO\"",
        "writes to `files` fail, perhaps after a part was written; undone: they succeed again, and so below",
    ),
    (
        "fsync_error = \"WHO\"",
        "syncs of `files` fail; what was to be synced is dropped, or with `page = \"kept\"` waits for the next sync",
    ),
    ("read_error = \"WHO\"", "a process that starts cannot read `files`"),
    ("full = \"WHO\"", "writes to `files` find no space; files can be cut and removed"),
    (
        "fill = \"WHO\"",
        "another program takes up `bytes = \"2mb\"` of a disk that has a size (`[disks] capacity`); undone: it gives it back",
    ),
    ("slow_disk = \"WHO\"", "a sync takes `delay`, as of a slow link"),
    ("jump = \"WHO\"", "the wall clock jumps `by = \"5s\"` or `by = \"-5s\"`; undone: it jumps back"),
    ("drift = \"WHO\"", "clocks run faster by `ppm` parts per million, or slower; undone: as before"),
    ("expire = \"WHO\"", "somebody who has their passwords ends the ZooKeeper sessions of these hosts"),
    (
        "reconfig = { … }",
        "the ensemble is changed: lists of WHO under `joining` (with a vote), `observing` (without), `leaving`",
    ),
    ("heal = \"NAME\"", "faults of this `name` are undone before their time, or `all`"),
];

/// When a fault strikes, as scenario files write it.
const TRIGGERS: [(&str, &str); 7] = [
    ("at = \"12s\"", "at this time"),
    ("when = { event = \"…\" }", "right after an event; on a `host`, its `nth`, not before `after`"),
    ("every = \"5s\"", "again and again; within `from` and `until`, at most `times`"),
    ("rate = 0.2", "at random times, so often a second; likewise"),
    (
        "rolling = \"2s\"",
        "beside `at` and `lasts`: one host of the target after the other, so long after each is back",
    ),
    ("[swarm]", "each kind of fault is in a run by `chance`, and repeats by a factor within `strength`"),
    (
        "[budget]",
        "`quorum`, `copies`: a fault that would harm the last quorum or the last good copy is left out; `storm`: only laws that hold at any time are judged",
    ),
];

/// Faults that have no name of their own.
const COMBINATIONS: [(&str, &str); 7] = [
    ("a crash loop", "`every = \"4s\"`, `crash = \"search-2\"`, `lasts = \"1s\"`, `times = 5`"),
    ("a rolling restart", "`at = \"10s\"`, `crash = \"search\"`, `lasts = \"2s\"`, `rolling = \"5s\"`"),
    ("a zone is lost", "`crash = \"zone(b)\"`, `power = true`"),
    ("a node leaves for good", "`crash = \"search-2\"` without `lasts`; one comes by `[[nodes]] joins_at`"),
    (
        "a follower lags",
        "`slow = \"zk-leader\"`, `to = \"zk-follower\"`, `direction = \"outgoing\"`, `delay = { … }`",
    ),
    ("a quorum is lost", "`crash = \"majority(zookeeper)\"`; a full restart: `crash = \"zookeeper\"`"),
    ("a client changes its server", "`disconnect = \"search-1\"`"),
];

/// What a step can do, as scenario files write it.
const STEPS: [(&str, &str); 7] = [
    (
        "update_cluster_settings = { … }",
        "`PUT /_cluster/settings`; the value `\"null\"` takes a setting back",
    ),
    ("update_index_settings = { index = \"…\", settings = { … } }", "`PUT /index/_settings`"),
    ("create_index = { name = \"…\", … }", "`PUT /index`; keys as in `[[indices]]`"),
    ("delete_index = \"…\"", "`DELETE /index`"),
    ("drain = \"WHO\"", "every copy leaves these nodes: `cluster.routing.allocation.exclude._name`"),
    (
        "reroute = { commands = [{ move = { … } }], … }",
        "`POST /_cluster/reroute`: Elasticsearch's commands with WHO for a node, `dry_run`, `explain`, `retry_failed`",
    ),
    ("corrupt_state = true", "garbage is written over the cluster state in ZooKeeper"),
];

/// The names of a topic, or of all.
pub(super) fn list(topic: Option<Topic>) -> String {
    match topic {
        Some(topic) => section(topic),
        None => ALL
            .map(|topic| format!("{}\n{}", Painted(Tone::Heading, heading(topic)), section(topic)))
            .join("\n"),
    }
}

fn heading(topic: Topic) -> &'static str {
    match topic {
        Topic::Scenarios => "Scenarios",
        Topic::Laws => "Laws",
        Topic::Goals => "Goals",
        Topic::Faults => "Faults",
        Topic::Selectors => "Selectors",
        Topic::Steps => "Steps",
        Topic::Events => "Events",
        Topic::Defects => "Defects",
        Topic::Profiles => "Profiles",
        Topic::Dice => "Dice",
    }
}

fn section(topic: Topic) -> String {
    match topic {
        Topic::Scenarios => scenarios(),
        Topic::Laws => promises(&trial::laws()),
        Topic::Goals => rows(trial::goals().iter().map(|goal| (goal.name, goal.sentence.to_owned()))),
        Topic::Faults => {
            let deeds = rows(DEEDS.iter().map(|(deed, what)| (*deed, (*what).to_owned())));
            let when = rows(TRIGGERS.iter().map(|(when, what)| (*when, (*what).to_owned())));
            let more = rows(COMBINATIONS.iter().map(|(name, how)| (*name, (*how).to_owned())));
            format!("{deeds}  WHEN\n{when}  WHO\n    shardarium list selectors\n  COMBINED\n{more}")
        }
        Topic::Selectors => rows(SELECTORS.iter().map(|(who, what)| (*who, (*what).to_owned()))),
        Topic::Steps => rows(STEPS.iter().map(|(deed, what)| (*deed, (*what).to_owned()))),
        Topic::Events => {
            let meanings = EventKind::MEANINGS.iter().map(|meaning| plain(meaning));
            rows(EventKind::NAMES.iter().copied().zip(meanings))
        }
        Topic::Defects => rows(Defect::ALL.iter().map(|defect| (defect.name(), defect.story().to_owned()))),
        Topic::Profiles => rows(PROFILES.iter().map(|profile| (profile.name, profile.sentence.to_owned()))),
        Topic::Dice => rows(QUESTIONS.iter().map(|question| (question.name, asked(question)))),
    }
}

/// A sentence of the code's documentation, without the marks of links.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace("[`", "`").replace("`]", "`")
}

/// What is drawn, what it is asked with, and what it can show.
fn asked(question: &Entry) -> String {
    let parts: Vec<_> = question.parts.iter().map(|(name, _)| *name).collect();
    let several = if question.values.len() > 1 { ", and more" } else { "" };
    format!("{} at = [{}], value: {}{several}", question.what.trim(), parts.join(", "), question.values[0])
}

/// One table: name, kind, sentence, source.
fn promises(promises: &[Promise]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(TABLE_WIDTH);
    table.set_header(["name", "kind", "promise", "source"]);
    for Promise { name, sentence, source, kind } in promises {
        table.add_row([*name, kind.word(), *sentence, *source]);
    }
    table.lines().map(|line| format!(" {}\n", line.trim_end())).collect()
}

/// Folder by folder; one line a scenario.
fn scenarios() -> String {
    let mut text = String::new();
    for folder in builtin::ALL.chunk_by(|one, other| one.folder == other.folder) {
        let _ = writeln!(text, "{}/", Painted(Tone::Heading, folder[0].folder));
        text += &rows(folder.iter().map(|one| (one.name, summary(one))));
    }
    text
}

fn summary(builtin: &Builtin) -> String {
    builtin.scenario().description.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn rows<'a>(rows: impl Iterator<Item = (&'a str, String)> + Clone) -> String {
    let width = rows.clone().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, what) in rows {
        let _ = writeln!(text, "  {name:<width$}  {}", Painted(Tone::Dim, what));
    }
    text
}
