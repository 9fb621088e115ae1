//! Random steps — decides what an administrator does and when. It never undoes what a workload needs: indices that
//! are written to stay.

use proptest::{collection::vec, prelude::*, sample::select, strategy::Union};

use super::{Ground, Profile};
use crate::{
    name::HostId,
    scenario::{
        format::Index,
        plan::Selector,
        steps::{IndexValues, Step},
        values::{UNSET, Values},
    },
};

/// The setting that keeps copies off nodes, by their names.
const EXCLUDED: &str = "cluster.routing.allocation.exclude._name";

/// The steps of a scenario.
pub(super) fn steps(profile: &Profile, ground: &Ground) -> BoxedStrategy<Vec<Step>> {
    if ground.nodes == 0 {
        return Just(Vec::new()).boxed();
    }
    let one = (deed(ground), ground.time()).prop_map(|(deed, at)| Step { at: Some(at), ..deed });
    vec(one, profile.steps.clone()).prop_map(unique).boxed()
}

fn deed(ground: &Ground) -> BoxedStrategy<Step> {
    let cluster = select(vec![
        ("cluster.routing.allocation.cluster_concurrent_rebalance", "1"),
        ("cluster.routing.allocation.node_concurrent_incoming_recoveries", "1"),
        ("cluster.routing.allocation.balance.threshold", "1.5"),
        ("cluster.routing.use_adaptive_replica_selection", "false"),
        (EXCLUDED, UNSET),
    ]);
    let cluster = cluster.prop_map(|(name, value)| {
        let settings = Values([(name.to_owned(), value.to_owned())].into());
        Step { update_cluster_settings: Some(settings), ..Step::default() }
    });
    let mut all = vec![(2, cluster.boxed())];
    if ground.nodes > 1 {
        let drain = (1..=ground.nodes).prop_map(HostId::search);
        let drain = drain.prop_map(|node| Step { drain: Some(Selector::Host(node)), ..Step::default() });
        all.push((2, drain.boxed()));
    }
    let replicas = 0..=u32::from(ground.nodes - 1).min(2);
    let create = (1..=3_u32, replicas.clone(), 0..3_u8).prop_map(|(shards, replicas, nth)| {
        let index = Index { name: format!("late-{nth}"), shards, replicas, ..Index::default() };
        Step { create_index: Some(index), ..Step::default() }
    });
    all.push((2, create.boxed()));
    if !ground.indices.is_empty() {
        let change = (select(ground.indices.clone()), replicas).prop_map(|(index, replicas)| {
            let settings = Values([("number_of_replicas".to_owned(), replicas.to_string())].into());
            let change = IndexValues { index: index.name, settings };
            Step { update_index_settings: Some(change), ..Step::default() }
        });
        all.push((2, change.boxed()));
    }
    Union::new_weighted(all).boxed()
}

/// An index is created once.
fn unique(mut steps: Vec<Step>) -> Vec<Step> {
    let mut created = std::collections::BTreeSet::new();
    steps.retain(|step| step.create_index.as_ref().is_none_or(|index| created.insert(index.name.clone())));
    steps
}
