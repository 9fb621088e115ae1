//! Random work — decides which indices there are and what clients ask of them. It never says what breaks.

use std::time::Duration;

use proptest::{collection::vec, prelude::*, sample::select};

use super::Profile;
use crate::scenario::{
    ensemble::{Mix, ZooKeeperClients},
    format::{Index, Workload},
    load::{Options, SearchMix, WriteMix},
    recipes::{Recipe, RecipeClients},
    values::Values,
};

const NAMES: [&str; 4] = ["articles", "events", "logs", "users"];

/// Indices that fit on so many nodes.
pub(super) fn indices(profile: &Profile, nodes: u16) -> BoxedStrategy<Vec<Index>> {
    if nodes == 0 {
        return Just(Vec::new()).boxed();
    }
    let replicas = 0..=u32::from(nodes - 1).min(2);
    let one = (1..=profile.shards_max, replicas, select(vec!["", "", "", "async"]));
    vec(one, profile.indices.clone())
        .prop_map(|all| {
            let index = |((shards, replicas, durability), name): ((u32, u32, &str), &&str)| Index {
                name: (*name).to_owned(),
                shards,
                replicas,
                settings: settings(durability),
            };
            all.into_iter().zip(&NAMES).map(index).collect()
        })
        .boxed()
}

fn settings(durability: &str) -> Values {
    let given = (!durability.is_empty()).then(|| ("translog.durability".to_owned(), durability.to_owned()));
    Values(given.into_iter().collect())
}

/// A client for each index, some with a rival.
pub(super) fn workloads(profile: &Profile, indices: &[Index], end: Duration) -> BoxedStrategy<Vec<Workload>> {
    let mut all: Vec<BoxedStrategy<Option<Workload>>> = Vec::new();
    for index in indices {
        all.push(workload(profile, &index.name, end).prop_map(Some).boxed());
        all.push(proptest::option::weighted(0.3, workload(profile, &index.name, end)).boxed());
    }
    all.prop_map(|all| {
        let mut all: Vec<Workload> = all.into_iter().flatten().collect();
        for at in 1..all.len() {
            // Who merges into the other's documents must have the same fields, and ask for them by the same routing.
            if all[at].index == all[at - 1].index {
                all[at].fields = all[at - 1].fields;
                all[at].options.routed = all[at - 1].options.routed;
            }
        }
        all
    })
    .boxed()
}

fn workload(profile: &Profile, index: &str, end: Duration) -> impl Strategy<Value = Workload> + use<> {
    let index = index.to_owned();
    let shares = (1..=6_u32, 0..=4_u32, 0..=2_u32);
    let starts = 0..=(end.as_millis() as u64 / 400).min(30);
    let documents = (select(vec![3, 12, 50, 200]), select(vec![0, 0, 500]), any::<bool>());
    let mixes = (0..=4_u32, write_mix(), search_mix(), options());
    (profile.requests.clone(), shares, documents, mixes, starts, 2..=8_u64).prop_map(
        move |(rate, (writes, reads, searches), documents, mixes, starts, timeout)| {
            let all = f64::from(writes + reads + searches);
            let share = |part: u32| (f64::from(rate.max(1) * part) / all * 10.0).ceil() / 10.0;
            let (documents, document_bytes, fields) = documents;
            let (deletes, write_mix, search_mix, options) = mixes;
            Workload {
                index: index.clone(),
                writes_per_second: share(writes),
                reads_per_second: share(reads),
                searches_per_second: share(searches),
                documents,
                delete_ratio: f64::from(deletes) / 10.0,
                write_mix,
                search_mix,
                options,
                fields,
                document_bytes,
                starts_at: super::tenth_seconds(starts),
                timeout: Duration::from_secs(timeout),
            }
        },
    )
}

fn write_mix() -> impl Strategy<Value = WriteMix> {
    let weights = (0..=3_u32, 0..=2_u32, 0..=3_u32, 0..=2_u32, 0..=1_u32, 0..=1_u32, 0..=1_u32);
    weights.prop_map(|(index, create, cas, external, gte, update, add)| {
        let is_nothing = index + create + cas + external + gte + update + add == 0;
        WriteMix {
            index: if is_nothing { 1.0 } else { index.into() },
            create: create.into(),
            cas: cas.into(),
            external: external.into(),
            external_gte: gte.into(),
            update: update.into(),
            add: add.into(),
        }
    })
}

fn search_mix() -> impl Strategy<Value = SearchMix> {
    let weights = (0..=2_u32, 0..=2_u32, 0..=1_u32, 0..=1_u32, 0..=1_u32, 0..=1_u32, 0..=1_u32);
    weights.prop_map(|(term, range, bool, phrase, prefix, sort, aggregations)| SearchMix {
        words: 1.0,
        term: term.into(),
        range: range.into(),
        bool: bool.into(),
        phrase: phrase.into(),
        prefix: prefix.into(),
        sort: sort.into(),
        aggregations: aggregations.into(),
    })
}

/// Mostly the plainest way, else a tenth or two of each other one.
fn options() -> impl Strategy<Value = Options> {
    let share = || prop_oneof![2 => Just(0.0), 1 => Just(0.1), 1 => Just(0.2)];
    let writes = (share(), 1..=8_u32, share(), share(), share(), share(), share());
    let others = (share(), share(), share(), share(), share(), share());
    (writes, others).prop_map(|(writes, others)| {
        let (bulk, bulk_size, refresh, wait_for, active_shards, retry, remembered) = writes;
        let (mget, routed, dfs, preference, strict, timeout) = others;
        Options {
            bulk,
            bulk_size,
            refresh,
            wait_for,
            active_shards,
            retry,
            remembered,
            mget,
            routed,
            dfs,
            preference,
            strict,
            timeout,
        }
    })
}

/// Clients of the ensemble alone.
pub(super) fn zookeeper_clients(profile: &Profile, end: Duration) -> BoxedStrategy<Vec<ZooKeeperClients>> {
    let who = (1..=6_u16, 1..=10_u32, 1..=3_u32, 1..=8_u32, 0..=10_u32);
    let reopens = proptest::option::weighted(0.2, 3..=(end.as_secs().max(4)));
    let one = (who, (0..=4_u32, 0..=3_u32, 0..=3_u32), reopens, 1..=6_u64, 0..=20_u64, any::<bool>())
        .prop_map(
            |(
                (count, rate, burst, keys, watches),
                (sets, ephemerals, multis),
                reopens,
                timeout,
                starts,
                read_only,
            )| {
                let mix = Mix {
                    set: sets.into(),
                    create_ephemeral: ephemerals.into(),
                    multi: multis.into(),
                    ..Mix::default()
                };
                ZooKeeperClients {
                    count,
                    operations_per_second: f64::from(rate) * 2.0,
                    burst,
                    keys,
                    watch_share: f64::from(watches) / 10.0,
                    mix,
                    session_timeout: Duration::from_secs(timeout),
                    starts_at: super::tenth_seconds(starts),
                    reopens_every: reopens.map(Duration::from_secs),
                    read_only,
                    ..ZooKeeperClients::default()
                }
            },
        );
    vec(one, profile.zookeeper_clients.clone()).boxed()
}

/// Clients that follow a recipe.
pub(super) fn recipe_clients(profile: &Profile) -> BoxedStrategy<Vec<RecipeClients>> {
    let recipes =
        select(vec![Recipe::Election, Recipe::Membership, Recipe::Configuration, Recipe::Notification]);
    let one = (recipes, 2..=5_u16, 1..=8_u32, 1..=6_u64, 0..=20_u64).prop_map(
        |(recipe, count, actions, timeout, starts)| RecipeClients {
            recipe,
            count,
            actions_per_second: f64::from(actions) / 2.0,
            session_timeout: Duration::from_secs(timeout),
            starts_at: super::tenth_seconds(starts),
            ..RecipeClients::default()
        },
    );
    vec(one, profile.recipes.clone()).boxed()
}
