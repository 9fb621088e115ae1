//! Generation — decides what a random scenario looks like. It never makes one that makes no sense: each passes
//! [`check`](super::check::check), and runs within about a second.
//!
//! A [`Profile`] says how large and how rough; every part that it leaves to chance can be fixed instead.
//!
//! # Examples
//!
//! Whatever happens to a cluster of two nodes:
//!
//! ```
//! use shardarium::scenario::{format::Cluster, generate::{Profile, Scenarios}};
//!
//! let cluster = Cluster { zookeeper: 3, search: Some(2), ..Cluster::default() };
//! let scenarios = Scenarios::of(&Profile::DOCUMENTS).with_cluster(cluster);
//! let scenario = scenarios.at(7);
//! assert_eq!(scenario.cluster.search, Some(2));
//! assert_eq!(scenario, scenarios.at(7), "a seed is always the same scenario");
//! ```
//!
//! In a property test:
//!
//! ```no_run
//! use proptest::prelude::*;
//! use shardarium::{scenario::generate::{Profile, Scenarios}, trial};
//!
//! proptest!(|(scenario in Scenarios::of(&Profile::SMOKE).strategy(), seed in 0..1000_u64)| {
//!     trial::run(&scenario.plan(seed)).unwrap().assert_holds();
//! });
//! ```

mod cluster;
mod faults;
mod profile;
mod steps;
mod work;

use std::time::Duration;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

pub use self::profile::{Kind, PROFILES, Profile, named};
use crate::scenario::{
    ensemble::{ZooKeeperClients, ZooKeeperSettings},
    fault::Budget,
    format::{Clocks, Cluster, Disks, Fault, Index, Links, Scenario, Workload},
    nemesis::Swarm,
    recipes::RecipeClients,
    steps::Step,
};

/// Random scenarios of a profile, some parts of them fixed.
#[derive(Debug, Clone)]
pub struct Scenarios {
    profile: &'static Profile,
    fixed: Fixed,
}

/// What is not left to chance.
#[derive(Debug, Clone, Default)]
struct Fixed {
    duration: Option<Duration>,
    cluster: Option<Cluster>,
    zookeeper: Option<ZooKeeperSettings>,
    links: Option<Links>,
    clocks: Option<Clocks>,
    disks: Option<Disks>,
    indices: Option<Vec<Index>>,
    workloads: Option<Vec<Workload>>,
    zookeeper_clients: Option<Vec<ZooKeeperClients>>,
    recipe_clients: Option<Vec<RecipeClients>>,
    faults: Option<Vec<Fault>>,
    budget: Option<Budget>,
    swarm: Option<Option<Swarm>>,
    steps: Option<Vec<Step>>,
}

macro_rules! with {
    ($($(#[$doc:meta])* $with:ident $field:ident $kind:ty,)*) => {
        impl Scenarios {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $with(mut self, $field: $kind) -> Self {
                    self.fixed.$field = Some($field);
                    self
                }
            )*
        }
    };
}

with! {
    /// Each runs for so long.
    with_duration duration Duration,
    /// Each has this ensemble and these search nodes; `search` must be given.
    with_cluster cluster Cluster,
    /// Each has these settings of the servers.
    with_zookeeper zookeeper ZooKeeperSettings,
    /// Each has these links.
    with_links links Links,
    /// Each has these clocks.
    with_clocks clocks Clocks,
    /// Each has these disks.
    with_disks disks Disks,
    /// Each has these indices.
    with_indices indices Vec<Index>,
    /// Each has these clients of the search cluster; their indices should be fixed as well.
    with_workloads workloads Vec<Workload>,
    /// Each has these clients of ZooKeeper.
    with_zookeeper_clients zookeeper_clients Vec<ZooKeeperClients>,
    /// Each has these clients that follow a recipe.
    with_recipe_clients recipe_clients Vec<RecipeClients>,
    /// Each goes through these faults.
    with_faults faults Vec<Fault>,
    /// The faults of each keep to this budget.
    with_budget budget Budget,
    /// Each leaves kinds of faults out by this swarm, or none.
    with_swarm swarm Option<Swarm>,
    /// Each goes through these administrative steps.
    with_steps steps Vec<Step>,
}

/// What decides what is generated is said here: proptest's defaults can be changed by the environment.
fn config() -> Config {
    Config {
        failure_persistence: None,
        max_default_size_range: 100,
        max_local_rejects: 65_536,
        max_global_rejects: 1_024,
        ..Config::default()
    }
}

impl Scenarios {
    /// Any scenario of this profile.
    pub fn of(profile: &'static Profile) -> Self {
        Self { profile, fixed: Fixed::default() }
    }

    /// The strategy, for proptest.
    pub fn strategy(&self) -> BoxedStrategy<Scenario> {
        let (one, two, three) = (self.clone(), self.clone(), self.clone());
        let built = one.base().prop_flat_map(move |scenario| two.worked_on(scenario));
        built.prop_flat_map(move |scenario| three.broken(scenario)).boxed()
    }

    /// The scenario of this seed: always the same one for a profile and what is fixed.
    pub fn at(&self, seed: u64) -> Scenario {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config(), rng);
        let tree = self.strategy().new_tree(&mut runner).expect("nothing is rejected");
        let mut scenario = tree.current();
        scenario.seed = Some(seed);
        scenario.title = format!("{} {seed}", self.profile.title);
        scenario
    }

    /// The cluster, on which nothing works yet.
    fn base(self) -> BoxedStrategy<Scenario> {
        let profile = self.profile;
        let seconds = profile.seconds.clone().prop_map(Duration::from_secs);
        let fixed = self.fixed;
        let is_fixed = fixed.links.is_some();
        (
            fixed_or(fixed.duration, seconds),
            fixed_or(fixed.cluster, cluster::cluster(profile)),
            fixed_or(fixed.zookeeper, cluster::settings(profile)),
            fixed_or(fixed.links, cluster::links()),
            fixed_or(fixed.clocks, cluster::clocks()),
            fixed_or(fixed.disks, cluster::disks()),
        )
            .prop_map(move |(duration, cluster, zookeeper, links, clocks, disks)| Scenario {
                title: profile.title.to_owned(),
                duration,
                links: if is_fixed { links } else { cluster::tempered(links, &cluster) },
                cluster,
                zookeeper,
                clocks,
                disks,
                ..Scenario::default()
            })
            .boxed()
    }

    /// Indices and everybody who asks.
    fn worked_on(&self, scenario: Scenario) -> BoxedStrategy<Scenario> {
        let (profile, fixed) = (self.profile, self.fixed.clone());
        let nodes = scenario.cluster.search.unwrap_or(0);
        let indices = fixed_or(fixed.indices, work::indices(profile, nodes));
        let end = scenario.duration;
        (
            indices,
            fixed_or(fixed.zookeeper_clients, work::zookeeper_clients(profile, end)),
            fixed_or(fixed.recipe_clients, work::recipe_clients(profile)),
        )
            .prop_flat_map(move |(indices, zookeeper_clients, recipe_clients)| {
                let workloads = fixed_or(fixed.workloads.clone(), work::workloads(profile, &indices, end));
                let scenario = scenario.clone();
                workloads.prop_map(move |workloads| Scenario {
                    indices: indices.clone(),
                    workloads,
                    zookeeper_clients: zookeeper_clients.clone(),
                    recipe_clients: recipe_clients.clone(),
                    ..scenario.clone()
                })
            })
            .boxed()
    }

    /// What breaks and what is done on purpose.
    fn broken(&self, scenario: Scenario) -> BoxedStrategy<Scenario> {
        let ground = Ground::of(&scenario);
        let faults = fixed_or(self.fixed.faults.clone(), faults::faults(self.profile, &ground));
        let steps = fixed_or(self.fixed.steps.clone(), steps::steps(self.profile, &ground));
        let swarm = fixed_or(self.fixed.swarm.clone(), faults::swarm(self.profile));
        let fixed = self.fixed.budget;
        (faults, steps, swarm, faults::budget())
            .prop_map(move |(faults, steps, swarm, budget)| {
                let budget = fixed.unwrap_or_else(|| faults::within(budget, &faults));
                Scenario { faults, steps, swarm, budget, ..scenario.clone() }
            })
            .boxed()
    }
}

fn fixed_or<T: Clone + std::fmt::Debug + 'static>(
    fixed: Option<T>,
    random: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    match fixed {
        Some(fixed) => Just(fixed).boxed(),
        None => random.boxed(),
    }
}

/// What faults and steps can hit.
#[derive(Debug, Clone)]
struct Ground {
    end: Duration,
    servers: u16,
    nodes: u16,
    clients: u16,
    zones: Vec<String>,
    indices: Vec<Index>,
}

impl Ground {
    fn of(scenario: &Scenario) -> Self {
        let plan = scenario.plan(0);
        let mut zones: Vec<_> = plan.nodes.iter().map(|node| node.zone.clone()).collect();
        zones.sort_unstable();
        zones.dedup();
        Self {
            end: scenario.duration,
            servers: scenario.cluster.zookeeper,
            nodes: plan.nodes.len() as u16,
            clients: plan.clients().len() as u16,
            zones,
            indices: scenario.indices.clone(),
        }
    }

    /// A time for something to happen: when the cluster stands, and early enough to matter.
    fn time(&self) -> impl Strategy<Value = Duration> + use<> {
        let tenths = (self.end.as_millis() / 100) as u64;
        (15.min(tenths / 2)..(tenths * 9 / 10).max(2)).prop_map(tenth_seconds)
    }
}

fn tenth_seconds(tenths: u64) -> Duration {
    Duration::from_millis(tenths * 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{
        check::{Vocabulary, check},
        read::read,
    };

    #[test]
    fn every_scenario_of_every_profile_makes_sense_and_survives_its_file() {
        let vocabulary = Vocabulary::current();
        for profile in PROFILES {
            for seed in 0..50 {
                let scenario = Scenarios::of(profile).at(seed);
                assert_eq!(check(&scenario, &vocabulary), [], "{} {seed}", profile.name);
                let text = toml::to_string(&scenario).unwrap();
                let again = read("generated", &text, &vocabulary).unwrap();
                assert_eq!(again.plan(seed), scenario.plan(seed), "{} {seed}", profile.name);
            }
        }
    }

    #[test]
    fn seeds_differ_and_each_kind_of_fault_comes() {
        for profile in PROFILES {
            let all: Vec<Scenario> = (0..200).map(|seed| Scenarios::of(profile).at(seed)).collect();
            let texts: std::collections::BTreeSet<_> =
                all.iter().map(|one| format!("{:?}{:?}", one.cluster, one.faults)).collect();
            assert!(texts.len() > 190, "{}: {}", profile.name, texts.len());
            for (_, kind) in profile.kinds {
                let comes = all.iter().flat_map(|one| &one.faults).any(|fault| kind.is(fault));
                assert!(comes, "{}: {kind:?}", profile.name);
            }
        }
    }

    #[test]
    fn what_is_fixed_stays_and_the_rest_is_random() {
        let index = Index { name: "mine".into(), replicas: 0, ..Index::default() };
        let scenarios =
            Scenarios::of(&Profile::FAILOVER).with_indices(vec![index.clone()]).with_faults(vec![]);
        let [one, other] = [1, 2].map(|seed| scenarios.at(seed));
        assert_eq!((&one.indices, &other.indices), (&vec![index.clone()], &vec![index]));
        assert!(one.faults.is_empty() && one.workloads.iter().all(|workload| workload.index == "mine"));
        assert_ne!(one.workloads, other.workloads);
    }
}
