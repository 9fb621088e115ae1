//! Sense of the work — decides whether indices and workloads fit the cluster. It never counts load.

use super::{
    Flaws, INDICES, NODES, index_meant, indices, node_count,
    settings::{self, Use},
};
use crate::scenario::{
    format::{Index, Scenario, Workload},
    operations::Operation,
};

/// The longest document that a workload makes.
const DOCUMENT_BYTES_MAX: u32 = 1024 * 1024;
/// The most writes that one request takes.
const BULK_SIZE_MAX: u32 = Operation::ITEMS_MAX;

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    for (at, new) in scenario.indices.iter().enumerate() {
        let path = format!("indices.{at}");
        index(scenario, &path, new, flaws);
        if scenario.indices[..at].iter().any(|earlier| earlier.name == new.name) {
            let message = format!("a second index named `{}`", new.name);
            flaws.add(format!("{path}.name"), message, "names must differ");
        }
    }
    for (at, workload) in scenario.workloads.iter().enumerate() {
        target(scenario, at, workload, flaws);
        load(scenario, at, workload, flaws);
    }
}

/// Whether an index at this place can be created.
pub(super) fn index(scenario: &Scenario, place: &str, index: &Index, flaws: &mut Flaws) {
    let path = |key: &str| format!("{place}.{key}");
    if !is_index_name(&index.name) {
        let message = match index.name.as_str() {
            "" => "the index has no name".into(),
            name => format!("`{name}` is not an index name"),
        };
        let help = "lower-case letters, digits, `-` and `_`; a letter or digit first; at most 100";
        flaws.add(path("name"), message, help);
    }
    settings::of_index(&path("settings"), &index.settings, Use::Before, flaws);
    if !(1..=1024).contains(&index.shards) {
        flaws.add(path("shards"), format!("an index of {} shards", index.shards), "1 to 1024");
    }
    let nodes = node_count(scenario);
    if nodes > 0 && index.replicas as usize >= nodes {
        let message = format!("{} replicas and a primary do not fit on {nodes} nodes", index.replicas);
        let help = format!("no two copies of a shard share a node: at most {}", nodes - 1);
        flaws.add_if_read(NODES, path("replicas"), message, help);
    }
}

/// Elasticsearch's rules for index names, without the rarer characters.
fn is_index_name(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    name.len() <= 100
        && name.starts_with(plain)
        && name.chars().all(|char| plain(char) || "-_".contains(char))
}

fn target(scenario: &Scenario, at: usize, workload: &Workload, flaws: &mut Flaws) {
    if indices(scenario).any(|index| index.name == workload.index) {
        return;
    }
    let message = match workload.index.as_str() {
        "" => "the workload names no index".into(),
        name => format!("there is no index `{name}`"),
    };
    let help = index_meant(scenario, &workload.index);
    flaws.add_if_read(INDICES, format!("workloads.{at}.index"), message, help);
}

fn load(scenario: &Scenario, at: usize, workload: &Workload, flaws: &mut Flaws) {
    let path = |key: &str| format!("workloads.{at}.{key}");
    let rates = [
        ("writes_per_second", workload.writes_per_second),
        ("reads_per_second", workload.reads_per_second),
        ("searches_per_second", workload.searches_per_second),
    ];
    for (key, rate) in rates.iter().filter(|(_, rate)| !(0.0..=1e6).contains(rate)) {
        flaws.add(path(key), format!("a rate of {rate} a second"), "0 to 1000000");
    }
    // In a plan that was written down, a client may idle so that those after it keep their numbers.
    let is_listed = scenario.seed.is_some() || !scenario.operations.is_empty();
    if rates.iter().all(|(_, rate)| *rate == 0.0) && !is_listed {
        let help = "give it writes_per_second, reads_per_second or searches_per_second";
        flaws.add(format!("workloads.{at}"), "the workload does nothing", help);
    }
    if !(0.0..=1.0).contains(&workload.delete_ratio) {
        let message = format!("a share of {}", workload.delete_ratio);
        flaws.add(path("delete_ratio"), message, "0 to 1");
    }
    mixes(&path, workload, flaws);
    rivals(scenario, at, flaws);
    if workload.document_bytes > DOCUMENT_BYTES_MAX {
        let message = format!("documents of {} bytes", workload.document_bytes);
        flaws.add(path("document_bytes"), message, format!("at most {DOCUMENT_BYTES_MAX}"));
    }
    if workload.documents == 0 {
        flaws.add(path("documents"), "the workload has no documents to choose among", "at least 1");
    }
    if workload.timeout.is_zero() {
        flaws.add(path("timeout"), "a client that does not wait learns nothing", "such as \"10s\"");
    }
    if workload.starts_at >= scenario.duration {
        let message = "the workload begins when the run is over";
        flaws.add_if_read(&["duration"], path("starts_at"), message, "earlier than `duration`");
    }
}

/// A merge into a document that has other fields makes one that nobody has sent, which no history can explain. And
/// what is sent with two routings is two documents of one id.
fn rivals(scenario: &Scenario, at: usize, flaws: &mut Flaws) {
    let workload = &scenario.workloads[at];
    let earlier = scenario.workloads[..at].iter().filter(|other| other.index == workload.index);
    let merges = |one: &Workload| one.write_mix.update > 0.0;
    if earlier.clone().any(|other| other.fields != workload.fields && (merges(other) || merges(workload))) {
        let message =
            format!("two workloads that merge into documents of `{}` differ in `fields`", workload.index);
        flaws.add(format!("workloads.{at}.fields"), message, "the same for both");
    }
    if earlier.clone().any(|other| other.options.routed != workload.options.routed) {
        let message = format!("two workloads on `{}` differ in which documents are routed", workload.index);
        flaws.add(format!("workloads.{at}.options.routed"), message, "the same for both");
    }
}

fn mixes(path: &impl Fn(&str) -> String, workload: &Workload, flaws: &mut Flaws) {
    let writes = workload.write_mix.weights().map(|(key, _, weight)| (key, weight));
    let searches = workload.search_mix.weights().map(|(key, _, weight)| (key, weight));
    mix(&path("write_mix"), &writes, ("write", "cas"), flaws);
    mix(&path("search_mix"), &searches, ("search", "bool"), flaws);
    let shares = workload.options.shares();
    for (key, share) in shares.iter().filter(|(_, share)| !(0.0..=1.0).contains(share)) {
        flaws.add(path(&format!("options.{key}")), format!("a share of {share}"), "0 to 1");
    }
    let size = workload.options.bulk_size;
    if !(1..=BULK_SIZE_MAX).contains(&size) {
        let help = format!("1 to {BULK_SIZE_MAX}");
        flaws.add(path("options.bulk_size"), format!("{size} writes in one request"), help);
    }
}

fn mix(path: &str, weights: &[(&str, f64)], (what, such): (&str, &str), flaws: &mut Flaws) {
    for (key, weight) in weights.iter().filter(|(_, weight)| !(0.0..=1e6).contains(weight)) {
        flaws.add(format!("{path}.{key}"), format!("a weight of {weight}"), "0 to 1000000");
    }
    if weights.iter().all(|(_, weight)| *weight == 0.0) {
        let name = path.rsplit('.').next().unwrap_or(path);
        let help = format!("such as `{name} = {{ {such} = 1 }}`");
        flaws.add(path.to_owned(), format!("the mix has no kind of {what}"), help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_are_elasticsearch_like() {
        for name in ["articles", "logs-2024", "0_a"] {
            assert!(is_index_name(name), "{name}");
        }
        for name in ["", "Articles", "_x", "-x", "a/b", "ä", "a b", &"x".repeat(101)] {
            assert!(!is_index_name(name), "{name}");
        }
    }
}
