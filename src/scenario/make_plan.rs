//! Planning — decides which explicit steps a scenario and a seed come to. It never draws anything: all that is
//! left to chance is keyed by the seed in the world.

use crate::{
    defect::Defects,
    name::HostId,
    scenario::{
        format::{Cluster, Fault, Index, Links, Node, Scenario, Workload},
        plan::{
            ClockPlan, CutMode, Direction, DiskPlan, Expectations, FaultAction, FaultStep, IndexPlan,
            LinkPlan, NodePlan, Plan, SearchConfig, Trigger, WorkloadPlan,
        },
    },
    zookeeper::wire::EnsembleConfig,
};

impl Scenario {
    /// The plan of this scenario for `seed`.
    ///
    /// The scenario should have passed [`check`](super::check::check): a fault without trigger or deed is
    /// left out.
    pub fn plan(&self, seed: u64) -> Plan {
        Plan {
            title: self.title.clone(),
            seed,
            zookeeper: ensemble(&self.cluster),
            nodes: nodes(self),
            search: search(&self.cluster),
            links: links(&self.links),
            clocks: ClockPlan {
                offset_max: self.clocks.offset_max,
                drift_max_ppm: self.clocks.drift_max_ppm,
            },
            disks: DiskPlan { sync: self.disks.sync.into() },
            indices: self.indices.iter().map(index).collect(),
            workloads: self.workloads.iter().map(workload).collect(),
            faults: self.faults.iter().filter_map(fault).collect(),
            expect: Expectations { laws: self.expect.laws.clone(), goals: self.expect.goals.clone() },
            duration: self.duration,
            defects: Defects(self.defects.iter().copied().collect()),
        }
    }
}

fn ensemble(cluster: &Cluster) -> EnsembleConfig {
    EnsembleConfig {
        servers: (1..=cluster.zookeeper).map(HostId::zookeeper).collect(),
        tick_ms: cluster.tick.as_millis() as u64,
        init_limit: cluster.init_limit,
        sync_limit: cluster.sync_limit,
        snap_count: cluster.snap_count,
        ..EnsembleConfig::default()
    }
}

/// Search nodes in order of their numbers: those of `cluster.search`, then those of `[[nodes]]`; zones go
/// round in that order.
pub(super) fn nodes(scenario: &Scenario) -> Vec<NodePlan> {
    let cluster = &scenario.cluster;
    let at_start = cluster.search.unwrap_or(if scenario.nodes.is_empty() { 3 } else { 0 });
    let initial = std::iter::repeat_n(Node::default(), usize::from(at_start));
    let all = initial.chain(scenario.nodes.iter().cloned()).take(usize::from(u16::MAX));
    let turns = cluster.zones.iter().map(String::as_str).cycle().map(Some).chain(std::iter::repeat(None));
    all.zip(turns)
        .zip(1..)
        .map(|((node, turn), number)| NodePlan {
            host: HostId::search(number),
            zone: node.zone.unwrap_or_else(|| turn.unwrap_or("a").to_owned()),
            joins_at: node.joins_at,
        })
        .collect()
}

fn search(cluster: &Cluster) -> SearchConfig {
    SearchConfig {
        session_timeout: cluster.session_timeout,
        refresh_interval: cluster.refresh_interval,
        delayed_allocation: cluster.delayed_allocation,
        request_timeout: cluster.request_timeout,
        flush_operations: cluster.flush_operations,
    }
}

fn links(links: &Links) -> LinkPlan {
    let delay = |pair: &super::format::Pair| super::plan::Delay { min: pair.min, mean: pair.mean };
    LinkPlan {
        within_zone: links.within_zone.into(),
        between_zones: links.between_zones.into(),
        pairs: links.pairs.iter().map(|pair| (pair.from, pair.to, delay(pair))).collect(),
    }
}

fn index(index: &Index) -> IndexPlan {
    IndexPlan { name: index.name.as_str().into(), shards: index.shards, replicas: index.replicas }
}

fn workload(workload: &Workload) -> WorkloadPlan {
    WorkloadPlan {
        index: workload.index.as_str().into(),
        writes_per_second: workload.writes_per_second,
        reads_per_second: workload.reads_per_second,
        searches_per_second: workload.searches_per_second,
        documents: workload.documents,
        delete_ratio: workload.delete_ratio,
        starts_at: workload.starts_at,
        timeout: workload.timeout,
    }
}

fn fault(fault: &Fault) -> Option<FaultStep> {
    let trigger = match (fault.at, &fault.when) {
        (Some(at), _) => Trigger::At(at),
        (None, Some(when)) => Trigger::When {
            event: when.event.clone(),
            host: when.host.clone(),
            nth: when.nth,
            after: when.after,
        },
        (None, None) => return None,
    };
    Some(FaultStep { trigger, action: action(fault)?, lasts: fault.lasts })
}

fn action(fault: &Fault) -> Option<FaultAction> {
    let crash = |target| FaultAction::Crash { target, power: fault.power.unwrap_or(false) };
    let pause = |target| FaultAction::Pause { target };
    let cut = |from| FaultAction::Cut {
        from,
        to: fault.to.clone(),
        direction: fault.direction.unwrap_or(Direction::Both),
        mode: fault.mode.unwrap_or(CutMode::Stall),
    };
    let crash = fault.crash.clone().map(crash);
    crash.or_else(|| fault.pause.clone().map(pause)).or_else(|| fault.cut.clone().map(cut))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn zones_go_round_and_explicit_ones_stay() {
        let mut scenario = Scenario::default();
        scenario.cluster.search = Some(3);
        scenario.cluster.zones = vec!["a".into(), "b".into()];
        let joins_at = Duration::from_secs(9);
        scenario.nodes = vec![Node::default(), Node { zone: Some("x".into()), joins_at }];
        let plan = scenario.plan(1);
        let zones: Vec<&str> = plan.nodes.iter().map(|node| node.zone.as_str()).collect();
        assert_eq!(zones, ["a", "b", "a", "b", "x"]);
        assert_eq!((plan.nodes[4].host, plan.nodes[4].joins_at), (HostId::search(5), joins_at));
    }

    #[test]
    fn seed_is_all_that_two_plans_of_a_scenario_differ_in() {
        let scenario = Scenario { title: "a".into(), ..Default::default() };
        assert_eq!(scenario.plan(1), Plan { seed: 1, ..scenario.plan(2) });
    }
}
