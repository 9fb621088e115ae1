//! Lists — decides what can be looked up. It never decides what there is.

use std::fmt::Write;

use super::args::Topic;
use crate::{
    defect::Defect,
    event::EventKind,
    report::style::{Painted, Tone},
    scenario::{
        builtin::{self, Builtin},
        select::SELECTORS,
    },
    trial,
};

const ALL: [Topic; 6] =
    [Topic::Scenarios, Topic::Laws, Topic::Goals, Topic::Faults, Topic::Events, Topic::Defects];

/// What a fault can do, as scenario files write it.
const DEEDS: [(&str, &str); 7] = [
    (
        "crash = \"WHO\"",
        "the process dies and what was not synced meets the disk's fault contract; `power = true`: peers see silence, not resets; undone: restart",
    ),
    ("pause = \"WHO\"", "the process is not scheduled; undone: resume"),
    (
        "cut = \"WHO\"",
        "messages do not get through to any other server or node, or `to = \"WHO\"`; `direction` both, outgoing, incoming; `mode` stall, reset; undone: heal",
    ),
    ("wipe = \"WHO\"", "the machine loses power, and its disk all it holds; undone: restart"),
    (
        "slow = \"WHO\"",
        "messages take `delay = { min = \"…\", mean = \"…\" }`; `to` and `direction` as of a cut; undone: as before",
    ),
    ("expire = \"WHO\"", "somebody who has their passwords ends the ZooKeeper sessions of these hosts"),
    (
        "reconfig = { … }",
        "the ensemble is changed: lists of WHO under `joining` (with a vote), `observing` (without), `leaving`",
    ),
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
        Topic::Events => "Events",
        Topic::Defects => "Defects",
    }
}

fn section(topic: Topic) -> String {
    match topic {
        Topic::Scenarios => scenarios(),
        Topic::Laws => {
            rows(trial::laws().iter().map(|law| (law.name, format!("{} ({})", law.sentence, law.source))))
        }
        Topic::Goals => rows(trial::goals().iter().map(|goal| (goal.name, goal.sentence.to_owned()))),
        Topic::Faults => {
            let deeds = rows(DEEDS.iter().map(|(deed, what)| (*deed, (*what).to_owned())));
            let targets = rows(SELECTORS.iter().map(|(who, what)| (*who, (*what).to_owned())));
            let steps = rows(STEPS.iter().map(|(deed, what)| (*deed, (*what).to_owned())));
            format!("{deeds}  WHO\n{targets}  STEPS\n{steps}")
        }
        Topic::Events => EventKind::NAMES.iter().map(|name| format!("  {name}\n")).collect(),
        Topic::Defects => rows(Defect::ALL.iter().map(|defect| (defect.name(), defect.story().to_owned()))),
    }
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
