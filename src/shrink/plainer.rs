//! Plainer scenarios — decides which spans are shortened, which times are rounded and which settings go back to
//! their defaults. It never takes a host away.

use std::time::Duration;

use super::{
    Broken,
    oracle::{Candidate, keep, with},
};
use crate::scenario::{
    duration,
    format::{Clocks, Cluster, Links, Scenario, Spread},
    values::Values,
};

/// Over sooner: just after the law is broken, else earlier by parts.
pub(super) fn shorter(scenario: &Scenario, broken: &Broken) -> Vec<Candidate> {
    let now = scenario.duration;
    let after = rounded_up(broken.at + Duration::from_millis(1));
    let mut ends = vec![after, rounded_up(now / 2), rounded_up(now * 3 / 4), rounded_up(now * 9 / 10)];
    ends.retain(|end| *end < now && !end.is_zero());
    ends.dedup();
    let what = |end| format!("over after {} instead of {}", duration::show(end), duration::show(now));
    ends.into_iter().map(|end| with(scenario, what(end), |one| cut(one, end))).collect()
}

/// To a whole second, or to a tenth of one if it is short.
fn rounded_up(span: Duration) -> Duration {
    let unit = if span < Duration::from_secs(2) { 100 } else { 1_000 };
    Duration::from_millis((span.as_nanos() as u64).div_ceil(unit * 1_000_000) * unit)
}

/// Nothing begins after `end`.
fn cut(scenario: &mut Scenario, end: Duration) {
    scenario.duration = end;
    scenario.operations.retain(|operation| operation.at < end);
    scenario.zookeeper_operations.retain(|operation| operation.at < end);
    scenario.faults.retain(|fault| fault.at.is_none_or(|at| at < end));
    scenario.steps.retain(|step| step.at.is_none_or(|at| at < end));
    for node in &mut scenario.nodes {
        node.joins_at = node.joins_at.min(end);
    }
}

/// Makes one thing plain.
type Change<'a> = &'a dyn Fn(&mut Scenario);

/// Settings at their defaults, physics without surprises.
pub(super) fn plainer(scenario: &Scenario, _broken: &Broken) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = (0..scenario.defects.len())
        .filter(|_| scenario.defects.len() > 1)
        .map(|at| with(scenario, "a defect fewer", |one| keep(&mut one.defects, |nth| nth != at)))
        .collect();
    all.extend(
        (0..scenario.dice.len())
            .map(|at| with(scenario, "a fixed draw fewer", |one| keep(&mut one.dice, |nth| nth != at))),
    );
    let defaults = Cluster::default();
    let exact =
        Spread { min: Duration::from_micros(200), mean: Duration::from_micros(200), ..Spread::default() };
    let links = Links { within_zone: exact, between_zones: exact, pairs: Vec::new() };
    let changes: [(&str, Change<'_>); 12] = [
        ("no cluster settings", &|one| one.cluster.settings = Values::default()),
        ("no index settings", &|one| {
            one.indices.iter_mut().for_each(|index| index.settings = Values::default())
        }),
        ("links of one delay", &|one| one.links = links.clone()),
        ("disks of one delay", &|one| one.disks.sync = exact),
        ("clocks that are right", &|one| {
            one.clocks = Clocks { offset_max: Duration::ZERO, drift_max_ppm: 0 };
        }),
        ("one zone", &|one| one.nodes.iter_mut().for_each(|node| node.zone = Some("a".into()))),
        ("no attributes", &|one| one.nodes.iter_mut().for_each(|node| node.attributes.clear())),
        ("every node there from the start", &|one| {
            one.nodes.iter_mut().for_each(|node| node.joins_at = Duration::ZERO);
        }),
        ("one write thread", &|one| one.cluster.write_threads = 1),
        ("the default allocator", &|one| one.cluster.allocator = defaults.allocator),
        ("short documents", &|one| one.workloads.iter_mut().for_each(|workload| workload.document_bytes = 0)),
        ("flushes and snapshots as usual", &|one| {
            one.cluster.flush_operations = defaults.flush_operations;
            one.cluster.snap_count = defaults.snap_count;
        }),
    ];
    all.extend(changes.iter().map(|(what, change)| with(scenario, *what, change)));
    all.retain(|one| one.scenario != *scenario);
    all
}

/// Times that can be remembered: all at once, else one by one.
pub(super) fn rounder(scenario: &Scenario, _broken: &Broken) -> Vec<Candidate> {
    let mut all = Vec::new();
    for unit in [Duration::from_secs(1), Duration::from_millis(100), Duration::from_millis(1)] {
        let what = format!("times rounded to {}", duration::show(unit));
        all.push(with(scenario, what, |one| round_all(one, unit)));
    }
    for at in 0..scenario.faults.len() {
        one_fault(scenario, at, &mut all);
    }
    let asked = scenario.operations.iter().map(|one| (one.client, one.number, one.at));
    let on_zookeeper = scenario.zookeeper_operations.iter().map(|one| (one.client, one.number, one.at));
    let singly: Vec<_> = asked.chain(on_zookeeper).collect();
    if singly.len() <= SINGLY_MAX {
        for (nth, (client, number, at)) in singly.into_iter().enumerate() {
            let time = rounded(at, Duration::from_millis(100));
            let what = format!("operation {number} of {client} at {}", duration::show(time));
            all.push(with(scenario, what, |one| times(one).nth(nth).into_iter().for_each(|at| *at = time)));
        }
    }
    all.retain(|one| one.scenario != *scenario);
    all
}

/// When clients ask, first those of documents.
fn times(scenario: &mut Scenario) -> impl Iterator<Item = &mut Duration> {
    let asked = scenario.operations.iter_mut().map(|one| &mut one.at);
    asked.chain(scenario.zookeeper_operations.iter_mut().map(|one| &mut one.at))
}

/// So many operations are worth a run each.
const SINGLY_MAX: usize = 20;

fn one_fault(scenario: &Scenario, at: usize, all: &mut Vec<Candidate>) {
    let fault = &scenario.faults[at];
    let unit = Duration::from_secs(1);
    if let Some(lasts) = fault.lasts {
        for shorter in [unit, lasts / 2, rounded(lasts, unit)].into_iter().filter(|one| *one <= lasts) {
            let shorter =
                rounded(shorter, Duration::from_millis(100)).max(Duration::from_millis(100)).min(lasts);
            let what = format!("fault {} lasts {}", at + 1, duration::show(shorter));
            all.push(with(scenario, what, |one| one.faults[at].lasts = Some(shorter)));
        }
    }
    if let Some(time) = fault.at {
        let time = rounded(time, unit);
        let what = format!("fault {} at {}", at + 1, duration::show(time));
        all.push(with(scenario, what, |one| one.faults[at].at = Some(time)));
    }
    if fault.when.is_some() {
        let what = format!("fault {} from the start on", at + 1);
        let change =
            |one: &mut Scenario| one.faults[at].when.iter_mut().for_each(|when| when.after = Duration::ZERO);
        all.push(with(scenario, what, change));
    }
}

fn round_all(scenario: &mut Scenario, unit: Duration) {
    for at in times(scenario) {
        *at = rounded(*at, unit);
    }
    for fault in &mut scenario.faults {
        fault.at = fault.at.map(|at| rounded(at, unit));
        fault.lasts = fault.lasts.map(|lasts| rounded(lasts, unit).max(unit.min(lasts)));
    }
    for step in &mut scenario.steps {
        step.at = step.at.map(|at| rounded(at, unit));
    }
}

/// Down to a multiple of `unit`.
fn rounded(span: Duration, unit: Duration) -> Duration {
    Duration::from_nanos((span.as_nanos() - span.as_nanos() % unit.as_nanos()) as u64)
}
