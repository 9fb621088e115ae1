//! Sense of the volume — decides whether a run's record can be held in memory. It never counts what is refused on the
//! way.

use std::time::Duration;

use super::{Flaws, indices};
use crate::scenario::format::{Scenario, Workload};

/// Requests of a run, at most: each leaves some events.
const REQUESTS_MAX: f64 = 5e6;

/// Bytes that are written in a run, at most.
const BYTES_MAX: f64 = 2e9;

/// Copies of shards, at most.
const COPIES_MAX: u64 = 50_000;

/// What rates of clients rely on.
const RATES: &[&str] = &["duration", "workloads.*", "zookeeper_clients.*", "recipe_clients.*"];

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    let left = |starts_at| scenario.duration.saturating_sub(starts_at).as_secs_f64();
    requests(scenario, left, flaws);
    let bytes = |one: &Workload| one.writes_per_second * left(one.starts_at) * f64::from(one.document_bytes);
    if let Some(at) = scenario.workloads.iter().position(|one| bytes(one) > BYTES_MAX) {
        let message = format!("{:.0} megabytes of documents", bytes(&scenario.workloads[at]) / 1e6);
        let help = format!("at most {:.0}: shorter documents, or fewer", BYTES_MAX / 1e6);
        flaws.add_if_read(RATES, format!("workloads.{at}.document_bytes"), message, help);
    }
    let copies =
        indices(scenario).map(|one| u64::from(one.shards) * (1 + u64::from(one.replicas))).sum::<u64>();
    if copies > COPIES_MAX {
        let message = format!("{copies} copies of shards");
        flaws.add_if_read(&["indices"], "indices", message, format!("at most {COPIES_MAX} in all"));
    }
}

fn requests(scenario: &Scenario, left: impl Fn(Duration) -> f64, flaws: &mut Flaws) {
    let documents = scenario.workloads.iter().enumerate().map(|(at, one)| {
        let rate = one.writes_per_second + one.reads_per_second + one.searches_per_second;
        (format!("workloads.{at}"), rate * left(one.starts_at))
    });
    let alone = scenario.zookeeper_clients.iter().enumerate().map(|(at, one)| {
        let rate = f64::from(one.count) * f64::from(one.burst) * one.operations_per_second;
        (format!("zookeeper_clients.{at}"), rate * left(one.starts_at))
    });
    let recipes = scenario.recipe_clients.iter().enumerate().map(|(at, one)| {
        (format!("recipe_clients.{at}"), f64::from(one.count) * one.actions_per_second * left(one.starts_at))
    });
    let mut all = 0.0;
    // Rates without a bound are refused as rates.
    let finite = documents.chain(alone).chain(recipes).filter(|(_, requests)| requests.is_finite());
    for (path, requests) in finite {
        all += requests;
        if all > REQUESTS_MAX {
            let message = format!("about {all:.0} requests");
            let help = format!("at most {REQUESTS_MAX:.0} in a run: fewer a second, or a shorter run");
            return flaws.add_if_read(RATES, path, message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{check::Vocabulary, format::Index};

    fn paths(change: impl FnOnce(&mut Scenario)) -> Vec<String> {
        let workload = Workload { index: "a".into(), writes_per_second: 100.0, ..Workload::default() };
        let mut scenario = Scenario {
            title: "a".into(),
            duration: Duration::from_secs(60),
            indices: vec![Index { name: "a".into(), ..Index::default() }],
            workloads: vec![workload],
            ..Scenario::default()
        };
        change(&mut scenario);
        let flaws = crate::scenario::check::check(&scenario, &Vocabulary::default());
        flaws.into_iter().map(|flaw| flaw.path).collect()
    }

    #[test]
    fn what_no_memory_holds_is_refused() {
        assert_eq!(paths(|_| {}), [""; 0]);
        assert_eq!(paths(|one| one.workloads[0].reads_per_second = 1e6), ["workloads.0"]);
        assert_eq!(
            paths(|one| one.workloads[0].document_bytes = 1024 * 1024),
            ["workloads.0.document_bytes"]
        );
        let many = |nth| Index { name: format!("b{nth}"), shards: 1024, replicas: 2, ..Index::default() };
        assert_eq!(paths(|one| one.indices.extend((0..20).map(many))), ["indices"]);
    }
}
