//! Unplanning — decides which scenario a plan comes from. It never changes what the plan does.
//!
//! A stored plan can thus be written as a scenario file, and is sound if that file reads back as the plan.

use std::time::Duration;

use crate::scenario::{
    bytes::Bytes,
    check::Vocabulary,
    ensemble::ZooKeeperSettings,
    format::{Clocks, Cluster, Disks, Expect, Fault, Index, Links, Node, Pair, Scenario, When, Workload},
    plan::{Delay, FaultStep, IndexPlan, LinkPlan, Plan, Trigger, WorkloadPlan},
    read::read,
    steps::{IndexValues, Step, StepAction, StepPlan},
};

impl From<&Plan> for Scenario {
    fn from(plan: &Plan) -> Self {
        Self {
            title: plan.title.clone(),
            description: String::new(),
            duration: plan.duration,
            seed: Some(plan.seed),
            defects: plan.defects.0.iter().copied().collect(),
            cluster: cluster(plan),
            zookeeper: settings(plan),
            nodes: plan.nodes.iter().map(node).collect(),
            links: links(&plan.links),
            clocks: Clocks { offset_max: plan.clocks.offset_max, drift_max_ppm: plan.clocks.drift_max_ppm },
            disks: Disks { sync: plan.disks.sync.into(), capacity: None },
            indices: plan.indices.iter().map(index).collect(),
            workloads: plan.workloads.iter().map(workload).collect(),
            operations: plan.operations.clone(),
            zookeeper_clients: plan.zookeeper_clients.clone(),
            recipe_clients: plan.recipe_clients.clone(),
            zookeeper_operations: plan.zookeeper_operations.clone(),
            faults: plan.faults.iter().map(fault).collect(),
            swarm: None,
            dice: plan.dice.clone(),
            budget: plan.budget,
            steps: plan.steps.iter().map(step).collect(),
            expect: Expect { laws: plan.expect.laws.clone(), goals: plan.expect.goals.clone() },
            canary: None,
        }
    }
}

impl Plan {
    /// Why this plan cannot be run, if it cannot: it was not made from a scenario, or not by this version.
    pub fn unsound(&self, vocabulary: &Vocabulary) -> Option<String> {
        let scenario = Scenario::from(self);
        let text = match toml::to_string(&scenario) {
            Ok(text) => text,
            Err(error) => return Some(error.to_string()),
        };
        match read("the plan", &text, vocabulary) {
            Ok(scenario) if scenario.plan(self.seed) == *self => None,
            Ok(_) => Some("its hosts are not numbered from 1 on".into()),
            Err(problems) => Some(problems.to_string()),
        }
    }
}

fn cluster(plan: &Plan) -> Cluster {
    Cluster {
        zookeeper: plan.zookeeper.servers.len().try_into().unwrap_or(u16::MAX),
        tick: Duration::from_millis(plan.zookeeper.tick_ms),
        init_limit: plan.zookeeper.init_limit,
        sync_limit: plan.zookeeper.sync_limit,
        snap_count: plan.zookeeper.snap_count,
        search: Some(0),
        session_timeout: plan.search.session_timeout,
        refresh_interval: plan.search.refresh_interval,
        delayed_allocation: plan.search.delayed_allocation,
        request_timeout: plan.search.request_timeout,
        flush_operations: plan.search.flush_operations,
        read_policy: plan.search.read_policy,
        write_threads: plan.search.write_threads,
        allocator: plan.allocator,
        settings: plan.settings.clone(),
        ..Cluster::default()
    }
}

fn settings(plan: &Plan) -> ZooKeeperSettings {
    let ensemble = &plan.zookeeper;
    ZooKeeperSettings {
        observers: ensemble.observers.len().try_into().unwrap_or(u16::MAX),
        spares: plan.spares.len().try_into().unwrap_or(u16::MAX),
        compat: ensemble.compat,
        extended_types: ensemble.extended_types,
        container_interval: Duration::from_millis(ensemble.container_check_ms),
        local_sessions: ensemble.local_sessions,
        read_only: ensemble.read_only,
        reconfig: ensemble.reconfig_enabled,
        enforce_quota: ensemble.enforce_quota,
    }
}

fn node(node: &super::plan::NodePlan) -> Node {
    Node {
        zone: Some(node.zone.clone()),
        attributes: node.attributes.clone(),
        disk: node.disk.map(Bytes),
        joins_at: node.joins_at,
    }
}

fn links(links: &LinkPlan) -> Links {
    let pair =
        |(from, to, delay): &(_, _, Delay)| Pair { from: *from, to: *to, min: delay.min, mean: delay.mean };
    Links {
        within_zone: links.within_zone.into(),
        between_zones: links.between_zones.into(),
        pairs: links.pairs.iter().map(pair).collect(),
    }
}

fn index(index: &IndexPlan) -> Index {
    Index {
        name: index.name.to_string(),
        shards: index.shards,
        replicas: index.replicas,
        settings: index.settings.clone(),
    }
}

fn workload(workload: &WorkloadPlan) -> Workload {
    Workload {
        index: workload.index.to_string(),
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

fn trigger(trigger: &Trigger) -> (Option<Duration>, Option<When>) {
    match trigger {
        Trigger::At(at) => (Some(*at), None),
        Trigger::When { event, host, nth, after } => {
            let (event, host) = (event.clone(), host.clone());
            (None, Some(When { event, host, nth: *nth, after: *after }))
        }
    }
}

fn step(plan: &StepPlan) -> Step {
    let (at, when) = trigger(&plan.trigger);
    let mut step = Step { at, when, ..Step::default() };
    match &plan.action {
        StepAction::UpdateClusterSettings { settings } => {
            step.update_cluster_settings = Some(settings.clone());
        }
        StepAction::UpdateIndexSettings { index, settings } => {
            let (index, settings) = (index.to_string(), settings.clone());
            step.update_index_settings = Some(IndexValues { index, settings });
        }
        StepAction::CreateIndex { index: new } => step.create_index = Some(index(new)),
        StepAction::DeleteIndex { index } => step.delete_index = Some(index.to_string()),
        StepAction::Drain { target } => step.drain = Some(target.clone()),
        StepAction::Reroute { orders } => step.reroute = Some(orders.clone()),
        StepAction::CorruptState => step.corrupt_state = Some(true),
    }
    step
}

fn fault(step: &FaultStep) -> Fault {
    let (at, when) = trigger(&step.trigger);
    let (name, lasts, draw) = (step.name.clone(), step.lasts, step.draw);
    Fault { name, at, when, lasts, draw, ..Fault::from(&step.action) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{name::HostId, scenario::builtin};

    fn plans() -> Vec<Plan> {
        let words = Vocabulary::default();
        let plan = |one: &builtin::Builtin| {
            let mut scenario = read(one.name, one.text, &words).map_err(|problems| problems.list.len());
            scenario.as_mut().map(|scenario| scenario.plan(3)).ok()
        };
        builtin::ALL.iter().filter_map(plan).collect()
    }

    #[test]
    fn plan_of_a_scenario_is_sound() {
        let scenario = Scenario { title: "a".into(), duration: Duration::from_secs(1), ..Default::default() };
        let mut plans = plans();
        plans.push(scenario.plan(9));
        for plan in plans {
            assert_eq!(plan.unsound(&Vocabulary::default()), None);
        }
    }

    #[test]
    fn plan_without_servers_or_with_gaps_is_unsound() {
        let scenario = Scenario { title: "a".into(), duration: Duration::from_secs(1), ..Default::default() };
        let mut plan = scenario.plan(9);
        plan.zookeeper.servers[0] = HostId::zookeeper(7);
        assert!(plan.unsound(&Vocabulary::default()).unwrap().contains("not numbered"));
        plan.zookeeper.servers.clear();
        assert!(plan.unsound(&Vocabulary::default()).unwrap().contains("an ensemble of 0 servers"));
    }

    #[test]
    fn endless_span_in_a_plan_is_unsound() {
        let scenario = Scenario { title: "a".into(), duration: Duration::from_secs(1), ..Default::default() };
        let mut plan = scenario.plan(9);
        plan.search.session_timeout = Duration::MAX;
        assert!(plan.unsound(&Vocabulary::default()).is_some());
    }
}
