//! Planning — decides which explicit steps a scenario and a seed come to. It never draws anything itself: strikes
//! of a nemesis are drawn by [`nemesis`], all else that is left to chance is keyed by the seed in the world.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    check::law::LAWS,
    defect::Defects,
    name::HostId,
    scenario::{
        bytes::Bytes,
        format::{Cluster, Index, Links, Node, Scenario, When, Workload},
        nemesis,
        plan::{
            ClockPlan, Delay, DiskPlan, Expectations, IndexPlan, LinkPlan, NodePlan, Plan, SearchConfig,
            Trigger, WorkloadPlan,
        },
        steps::{Step, StepAction, StepPlan},
    },
    zookeeper::wire::EnsembleConfig,
};

/// The super user's digest, so that the administrator can change the ensemble (`super:administrator`).
const SUPER_DIGEST: &str = "super:UMWQSZT9uE/x1uugstnHyJ4Iix4=";

impl Scenario {
    /// The plan of this scenario for `seed`.
    ///
    /// The scenario should have passed [`check`](super::check::check): a fault without trigger or deed is
    /// left out.
    pub fn plan(&self, seed: u64) -> Plan {
        Plan {
            title: self.title.clone(),
            seed,
            zookeeper: ensemble(self),
            spares: spares(self),
            nodes: nodes(self),
            allocator: self.cluster.allocator,
            search: search(&self.cluster),
            settings: self.cluster.settings.clone(),
            links: links(&self.links),
            clocks: ClockPlan {
                offset_max: self.clocks.offset_max,
                drift_max_ppm: self.clocks.drift_max_ppm,
            },
            disks: DiskPlan { sync: self.disks.sync.into() },
            indices: self.indices.iter().map(index).collect(),
            workloads: self.workloads.iter().map(workload).collect(),
            operations: self.operations.clone(),
            zookeeper_clients: self.zookeeper_clients.clone(),
            recipe_clients: self.recipe_clients.clone(),
            zookeeper_operations: self.zookeeper_operations.clone(),
            faults: nemesis::strikes(self, seed),
            dice: self.dice.clone(),
            budget: self.budget,
            steps: self.steps.iter().filter_map(step).collect(),
            expect: Expectations { laws: laws(self), goals: self.expect.goals.clone() },
            duration: self.duration,
            defects: Defects(self.defects.iter().copied().collect()),
        }
    }
}

/// The laws that are asked for; in a storm those that hold at any time.
fn laws(scenario: &Scenario) -> Vec<String> {
    if !scenario.budget.storm || !scenario.expect.laws.is_empty() {
        return scenario.expect.laws.clone();
    }
    LAWS.iter().filter(|law| !law.is_eventual()).map(|law| law.name.to_owned()).collect()
}

fn ensemble(scenario: &Scenario) -> EnsembleConfig {
    let (cluster, settings) = (&scenario.cluster, &scenario.zookeeper);
    EnsembleConfig {
        servers: (1..=cluster.zookeeper).map(HostId::zookeeper).collect(),
        observers: numbers(cluster.zookeeper, settings.observers),
        tick_ms: cluster.tick.as_millis() as u64,
        init_limit: cluster.init_limit,
        sync_limit: cluster.sync_limit,
        snap_count: cluster.snap_count,
        compat: settings.compat,
        extended_types: settings.extended_types,
        container_check_ms: settings.container_interval.as_millis() as u64,
        local_sessions: settings.local_sessions,
        read_only: settings.read_only,
        reconfig_enabled: settings.reconfig,
        enforce_quota: settings.enforce_quota,
        super_digest: settings.reconfig.then(|| SUPER_DIGEST.to_owned()),
        ..EnsembleConfig::default()
    }
}

fn spares(scenario: &Scenario) -> Vec<HostId> {
    let members = scenario.cluster.zookeeper.saturating_add(scenario.zookeeper.observers);
    numbers(members, scenario.zookeeper.spares)
}

/// So many servers, numbered after the first `after`.
fn numbers(after: u16, count: u16) -> Vec<HostId> {
    (1..=count).filter_map(|nth| after.checked_add(nth)).map(HostId::zookeeper).collect()
}

/// Search nodes in order of their numbers: those of `cluster.search`, then those of `[[nodes]]`; zones go
/// round in that order.
pub(super) fn nodes(scenario: &Scenario) -> Vec<NodePlan> {
    let cluster = &scenario.cluster;
    let at_start = cluster.search.unwrap_or(if is_search(scenario) { 3 } else { 0 });
    let initial = std::iter::repeat_n(Node::default(), usize::from(at_start));
    let all = initial.chain(scenario.nodes.iter().cloned()).take(usize::from(u16::MAX));
    let turns = cluster.zones.iter().map(String::as_str).cycle().map(Some).chain(std::iter::repeat(None));
    all.zip(turns)
        .zip(1..)
        .map(|((node, turn), number)| NodePlan {
            host: HostId::search(number),
            zone: node.zone.unwrap_or_else(|| turn.unwrap_or("a").to_owned()),
            attributes: attributes(cluster, usize::from(number) - 1, node.attributes),
            joins_at: node.joins_at,
            disk: node.disk.or(scenario.disks.capacity).map(|Bytes(bytes)| bytes),
        })
        .collect()
}

/// The attributes of the `nth` node, from 0: those given in turn, then its own.
fn attributes(cluster: &Cluster, nth: usize, own: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let turns = cluster.attributes.iter().filter_map(|(name, values)| {
        let value = values.get(nth.checked_rem(values.len())?)?;
        Some((name.clone(), value.clone()))
    });
    turns.chain(own).collect()
}

/// Whether nodes are meant to be there although none are written down.
fn is_search(scenario: &Scenario) -> bool {
    scenario.nodes.is_empty() && scenario.zookeeper_clients.is_empty() && scenario.recipe_clients.is_empty()
}

fn search(cluster: &Cluster) -> SearchConfig {
    SearchConfig {
        session_timeout: cluster.session_timeout,
        refresh_interval: cluster.refresh_interval,
        delayed_allocation: cluster.delayed_allocation,
        request_timeout: cluster.request_timeout,
        flush_operations: cluster.flush_operations,
        read_policy: cluster.read_policy,
        write_threads: cluster.write_threads,
    }
}

fn links(links: &Links) -> LinkPlan {
    let delay = |pair: &super::format::Pair| Delay::exponential(pair.min, pair.mean);
    LinkPlan {
        within_zone: links.within_zone.into(),
        between_zones: links.between_zones.into(),
        pairs: links.pairs.iter().map(|pair| (pair.from, pair.to, delay(pair))).collect(),
    }
}

fn index(index: &Index) -> IndexPlan {
    IndexPlan {
        name: index.name.as_str().into(),
        shards: index.shards,
        replicas: index.replicas,
        settings: index.settings.of_index(),
    }
}

fn workload(workload: &Workload) -> WorkloadPlan {
    WorkloadPlan {
        index: workload.index.as_str().into(),
        writes_per_second: workload.writes_per_second,
        reads_per_second: workload.reads_per_second,
        searches_per_second: workload.searches_per_second,
        documents: workload.documents,
        delete_ratio: workload.delete_ratio,
        write_mix: workload.write_mix.clone(),
        search_mix: workload.search_mix.clone(),
        options: workload.options.clone(),
        fields: workload.fields,
        document_bytes: workload.document_bytes,
        starts_at: workload.starts_at,
        timeout: workload.timeout,
    }
}

/// The trigger that a file names; none if it repeats, or has none.
pub(super) fn trigger(at: Option<Duration>, when: Option<&When>) -> Option<Trigger> {
    let waits = |when: &When| Trigger::When {
        event: when.event.clone(),
        host: when.host.clone(),
        nth: when.nth,
        after: when.after,
    };
    at.map(Trigger::At).or_else(|| when.map(waits))
}

fn step(step: &Step) -> Option<StepPlan> {
    Some(StepPlan { trigger: trigger(step.at, step.when.as_ref())?, action: deed(step)? })
}

fn deed(step: &Step) -> Option<StepAction> {
    if let Some(settings) = step.update_cluster_settings.clone() {
        return Some(StepAction::UpdateClusterSettings { settings });
    }
    if let Some(change) = &step.update_index_settings {
        let (index, settings) = (change.index.as_str().into(), change.settings.of_index());
        return Some(StepAction::UpdateIndexSettings { index, settings });
    }
    let create = step.create_index.as_ref().map(|new| StepAction::CreateIndex { index: index(new) });
    let delete = || {
        let index = step.delete_index.as_deref()?;
        Some(StepAction::DeleteIndex { index: index.into() })
    };
    let drain = || step.drain.clone().map(|target| StepAction::Drain { target });
    let corrupt = || step.corrupt_state.filter(|corrupt| *corrupt).map(|_| StepAction::CorruptState);
    let reroute = || step.reroute.clone().map(|orders| StepAction::Reroute { orders });
    create.or_else(delete).or_else(drain).or_else(reroute).or_else(corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_go_round_and_explicit_ones_stay() {
        let mut scenario = Scenario::default();
        scenario.cluster.search = Some(3);
        scenario.cluster.zones = vec!["a".into(), "b".into()];
        let joins_at = Duration::from_secs(9);
        scenario.nodes = vec![Node::default(), Node { zone: Some("x".into()), joins_at, ..Node::default() }];
        let plan = scenario.plan(1);
        let zones: Vec<&str> = plan.nodes.iter().map(|node| node.zone.as_str()).collect();
        assert_eq!(zones, ["a", "b", "a", "b", "x"]);
        assert_eq!((plan.nodes[4].host, plan.nodes[4].joins_at), (HostId::search(5), joins_at));
    }

    #[test]
    fn attributes_go_round_and_a_node_may_have_its_own() {
        let mut scenario = Scenario::default();
        scenario.cluster.search = Some(2);
        scenario.cluster.attributes = [("rack".to_owned(), vec!["r1".to_owned(), "r2".to_owned()])].into();
        let own = [("rack".to_owned(), "r9".to_owned()), ("box".to_owned(), "hot".to_owned())].into();
        scenario.nodes = vec![Node { attributes: own, ..Node::default() }];
        let plan = scenario.plan(1);
        let racks: Vec<&str> = plan.nodes.iter().map(|node| node.attributes["rack"].as_str()).collect();
        assert_eq!(racks, ["r1", "r2", "r9"]);
        assert_eq!(plan.nodes[2].attributes["box"], "hot");
    }

    #[test]
    fn storm_is_judged_by_the_laws_that_hold_at_any_time() {
        let mut scenario = Scenario::default();
        scenario.budget.storm = true;
        let laws = scenario.plan(1).expect.laws;
        assert!(laws.contains(&"zab.agreement".to_owned()) && !laws.contains(&"cluster.settles".to_owned()));
        scenario.expect.laws = vec!["cluster.settles".to_owned()];
        assert_eq!(scenario.plan(1).expect.laws, ["cluster.settles"]);
    }

    #[test]
    fn seed_is_all_that_two_plans_of_a_scenario_differ_in() {
        let scenario = Scenario { title: "a".into(), ..Default::default() };
        assert_eq!(scenario.plan(1), Plan { seed: 1, ..scenario.plan(2) });
    }
}
