//! Arrivals — decides which requests the client of a workload asks, and when: drawn from its rates, or as the plan
//! lists them. It never asks one.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    agenda::{Merge, Source, gap},
    queries, recipes, sources, zookeeper,
};
use crate::{
    name::HostId,
    scenario::{
        cast::Part,
        dice::{RequestKind, WORKLOAD, WORKLOAD_OPTIONS},
        load::{SearchKind, WriteKind},
        operations::{Ask, Operation, REMEMBERED},
        plan::{Plan, WorkloadPlan},
    },
    sim::dice::{Dice, Die},
};

/// The plan with all that its clients do as operations of their own; it runs to the same fingerprint.
pub fn expand(plan: &Plan) -> Plan {
    let (mut expanded, dice) = (plan.clone(), Dice::of(plan));
    expanded.operations.clear();
    expanded.zookeeper_operations.clear();
    for (host, part) in plan.clients() {
        match part {
            Part::Documents { workload } => {
                expanded.operations.extend(operations(plan, dice.clone(), host, workload))
            }
            Part::ZooKeeper { table } => {
                expanded.zookeeper_operations.extend(zookeeper::arrivals::operations(
                    plan,
                    dice.clone(),
                    host,
                    table,
                ));
            }
            Part::Recipe { table } => {
                expanded.zookeeper_operations.extend(recipes::arrivals::operations(
                    plan,
                    dice.clone(),
                    host,
                    table,
                ));
            }
            Part::Operator | Part::Administrator => {}
        }
    }
    quiet(&mut expanded);
    // What was fixed of them is as it is listed.
    expanded.dice.retain(|fixed| fixed.question().is_none_or(|question| !question.makes_operations));
    expanded
}

/// No client does anything by its rates.
fn quiet(plan: &mut Plan) {
    for rates in &mut plan.workloads {
        (rates.writes_per_second, rates.reads_per_second, rates.searches_per_second) = (0.0, 0.0, 0.0);
    }
    for rates in &mut plan.zookeeper_clients {
        (rates.operations_per_second, rates.reopens_every) = (0.0, None);
    }
    for rates in &mut plan.recipe_clients {
        rates.actions_per_second = 0.0;
    }
}

/// The requests of one client in order of time: those listed and those drawn.
pub(super) fn operations(
    plan: &Plan,
    dice: Dice,
    client: HostId,
    workload: usize,
) -> impl Iterator<Item = Operation> {
    let workload = Arc::new(plan.workloads[workload].clone());
    let nodes: Arc<[HostId]> = plan.nodes.iter().map(|node| node.host).collect();
    let kinds = [
        (RequestKind::Write, workload.writes_per_second),
        (RequestKind::Read, workload.reads_per_second),
        (RequestKind::Search, workload.searches_per_second),
    ];
    let drawn = kinds.into_iter().filter_map(|(kind, rate)| {
        let arrivals = Arrivals {
            dice: dice.clone(),
            client,
            kind,
            mean: gap(rate)?,
            nodes: nodes.clone(),
            at: workload.starts_at,
            workload: workload.clone(),
            nth: 0,
        };
        Some(Box::new(arrivals) as Source<Operation>)
    });
    let listed = plan.operations.iter().filter(|one| one.client == client).cloned().collect();
    Merge::new(plan, listed, drawn)
}

/// A Poisson process of requests of one kind; none waits for another.
struct Arrivals {
    dice: Dice,
    client: HostId,
    kind: RequestKind,
    mean: Duration,
    nodes: Arc<[HostId]>,
    workload: Arc<WorkloadPlan>,
    at: Duration,
    nth: u32,
}

impl Iterator for Arrivals {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        let number = self.nth.checked_mul(RequestKind::COUNT)?.checked_add(self.kind as u32)?;
        let number = Some(number).filter(|number| *number <= Operation::NUMBER_MAX)?;
        let key = (self.client, self.kind, u64::from(self.nth));
        let (mut die, options) = (self.dice.at(WORKLOAD, key), self.dice.at(WORKLOAD_OPTIONS, key));
        self.at += die.exponential(self.mean);
        self.nth += 1;
        Some(self.drawn(number, die, options))
    }
}

impl Arrivals {
    // How a request is asked is drawn apart from what it is, so that one does not change the other.
    fn drawn(&self, number: u32, mut die: Die, mut options: Die) -> Operation {
        let node = self.nodes[die.below(self.nodes.len() as u64) as usize];
        let document = format!("doc-{}", die.below(u64::from(self.workload.documents)));
        let (client, at, word) = (self.client, self.at, String::new());
        let (ask, version, body, parameters) = (Ask::Get, None, String::new(), String::new());
        let (items, again) = (0, false);
        let base = Operation {
            client,
            number,
            at,
            node,
            ask,
            document,
            word,
            version,
            body,
            parameters,
            items,
            again,
        };
        let shares = &self.workload.options;
        let several =
            |ask| Operation { ask, document: String::new(), items: shares.bulk_size, ..base.clone() };
        match self.kind {
            RequestKind::Write if options.chance(shares.bulk) => {
                self.write_asked(several(Ask::Bulk), options)
            }
            RequestKind::Write if die.chance(self.workload.delete_ratio) => {
                self.write_asked(Operation { ask: Ask::Delete, ..base }, options)
            }
            RequestKind::Write => self.write_asked(self.write(base, die), options),
            RequestKind::Read if options.chance(shares.mget) => several(Ask::Mget),
            RequestKind::Read => base,
            RequestKind::Search => self.search(base, die, options),
        }
    }

    /// How a write is asked.
    fn write_asked(&self, write: Operation, mut die: Die) -> Operation {
        let shares = &self.workload.options;
        let mut parameters = Vec::new();
        if die.chance(shares.refresh) {
            parameters.push("refresh=true");
        } else if die.chance(shares.wait_for) {
            parameters.push("refresh=wait_for");
        }
        if die.chance(shares.active_shards) {
            parameters.extend(["wait_for_active_shards=all", "timeout=1s"]);
        }
        let again = write.ask == Ask::Add && die.chance(shares.retry);
        if write.ask == Ask::Cas && die.chance(shares.remembered) {
            parameters.push(REMEMBERED);
        }
        Operation { parameters: parameters.join("&"), again, ..write }
    }

    /// A write of the mix. Versions of the client's own grow from write to write, but for a few.
    fn write(&self, base: Operation, mut die: Die) -> Operation {
        let ask = match self.workload.write_mix.kind_at(die.unit()) {
            WriteKind::Index => Ask::Index,
            WriteKind::Create => Ask::Create,
            WriteKind::Cas => Ask::Cas,
            WriteKind::External => Ask::External,
            WriteKind::ExternalGte => Ask::ExternalGte,
            WriteKind::Update => Ask::Update,
            WriteKind::Add => return Operation { ask: Ask::Add, document: String::new(), ..base },
        };
        if !ask.is_versioned() {
            return Operation { ask, ..base };
        }
        let back = die.below(6).saturating_sub(3) as u32;
        let version = Some(self.nth.saturating_sub(back).max(1));
        Operation { ask, document: format!("ext-{}", base.document), version, ..base }
    }

    fn search(&self, base: Operation, mut die: Die, mut options: Die) -> Operation {
        let (ask, document) = (Ask::Search, String::new());
        let search = match self.workload.search_mix.kind_at(options.unit()) {
            SearchKind::Words => {
                let word = sources::word(&mut die);
                let word = if die.chance(0.1) { String::new() } else { word.to_owned() };
                Operation { ask, document, word, ..base }
            }
            kind => Operation { ask, document, body: queries::body(kind, &mut die).to_string(), ..base },
        };
        self.search_asked(search, options)
    }

    /// How a search is asked.
    fn search_asked(&self, search: Operation, mut die: Die) -> Operation {
        let shares = &self.workload.options;
        let mut parameters = Vec::new();
        if die.chance(shares.dfs) {
            parameters.push("search_type=dfs_query_then_fetch".to_owned());
        }
        if die.chance(shares.preference) {
            parameters.push(format!("preference={}", preference(&mut die)));
        }
        if die.chance(shares.strict) {
            parameters.push("allow_partial_search_results=false".to_owned());
        }
        let search = Operation { parameters: parameters.join("&"), ..search };
        if die.chance(shares.timeout) { hurried(search, die.below(4) + 1) } else { search }
    }
}

fn preference(die: &mut Die) -> String {
    match die.below(3) {
        0 => "_local".to_owned(),
        1 => "_shards:0".to_owned(),
        _ => format!("client-{}", die.below(100)),
    }
}

/// The same search, with a time limit in milliseconds.
fn hurried(search: Operation, millis: u64) -> Operation {
    let mut body = match (search.body.as_str(), search.word.as_str()) {
        ("", "") => queries::hits(&json!({ "match_all": {} })),
        ("", word) => queries::hits(&json!({ "match": { "body": word } })),
        (body, _) => serde_json::from_str(body).expect("a request that was drawn is JSON"),
    };
    body["timeout"] = format!("{millis}ms").into();
    Operation { body: body.to_string(), word: String::new(), ..search }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{
        builtin,
        format::{Index, Scenario, Workload},
    };

    fn plan(rate: f64) -> Plan {
        let index = Index { name: "a".into(), ..Index::default() };
        let mix = crate::scenario::load::WriteMix { external: 1.0, cas: 1.0, add: 1.0, ..Default::default() };
        let options = crate::scenario::load::Options { bulk: 0.2, timeout: 0.2, ..Default::default() };
        let workload = Workload {
            index: "a".into(),
            writes_per_second: rate,
            reads_per_second: rate / 2.0,
            searches_per_second: rate / 4.0,
            write_mix: mix,
            options,
            ..Workload::default()
        };
        let duration = Duration::from_secs(20);
        let (indices, workloads) = (vec![index], vec![workload.clone(), workload]);
        Scenario { title: "t".into(), duration, indices, workloads, ..Scenario::default() }.plan(7)
    }

    #[test]
    fn drawn_requests_keep_their_rates_and_their_order() {
        let expanded = expand(&plan(20.0));
        let of = |client| expanded.operations.iter().filter(move |one| one.client == client);
        for client in [HostId::client(2), HostId::client(3)] {
            assert!((600..800).contains(&of(client).count()), "{}", of(client).count());
            let times: Vec<_> = of(client).map(|one| one.at).collect();
            assert!(times.is_sorted() && times.last().is_some_and(|at| *at < expanded.duration));
        }
    }

    #[test]
    fn expanding_twice_changes_nothing() {
        let once = expand(&plan(5.0));
        assert_eq!(expand(&once), once);
    }

    #[test]
    fn request_numbers_are_unique() {
        let mut requests: Vec<_> = expand(&plan(20.0)).operations.iter().map(Operation::request).collect();
        let count = requests.len();
        requests.sort_unstable();
        requests.dedup();
        assert_eq!(requests.len(), count);
    }

    #[test]
    fn compare_and_sets_alone_count_on_remembered_numbers() {
        let mut plan = plan(20.0);
        plan.workloads.iter_mut().for_each(|workload| workload.options.remembered = 1.0);
        let expanded = expand(&plan).operations;
        let (with, without): (Vec<_>, Vec<_>) = expanded.iter().partition(|one| one.has(REMEMBERED));
        assert!(with.len() > 50 && with.iter().all(|one| one.ask == Ask::Cas));
        assert!(without.iter().all(|one| one.ask != Ask::Cas));
    }

    #[test]
    fn rate_of_once_in_an_age_draws_nothing() {
        assert_eq!(expand(&plan(1e-300)).operations, []);
    }

    #[test]
    fn operations_of_a_scenario_survive_its_file() {
        for name in
            ["documents-versions", "documents-terms", "documents-bulk-and-drawn-ids", "search-queries"]
        {
            let plan = expand(&builtin::named(name).unwrap().scenario().plan(3));
            assert!(plan.operations.len() > 100);
            assert_eq!(plan.unsound(&crate::scenario::check::Vocabulary::current()), None, "{name}");
        }
    }
}
