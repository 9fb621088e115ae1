//! Smaller clusters — decides which parts of a cluster and of its load are taken away, boldest first. It never tries
//! whether that will do.

use super::{
    Broken,
    oracle::{Candidate, with},
};
use crate::{
    name::HostId,
    scenario::format::{Index, Scenario},
};

/// Whole tables gone.
pub(super) fn fewer_tables(scenario: &Scenario, _broken: &Broken) -> Vec<Candidate> {
    let mut all = Vec::new();
    if !scenario.operations.is_empty() {
        all.push(with(scenario, "no operations", |one| one.operations.clear()));
    }
    if scenario.faults.len() > 1 {
        all.push(with(scenario, "no faults", |one| one.faults.clear()));
    }
    for at in (0..scenario.indices.len()).rev() {
        let name = scenario.indices[at].name.clone();
        all.push(with(scenario, format!("no index `{name}`"), |one| drop_index(one, at)));
    }
    for at in (0..scenario.workloads.len()).rev() {
        all.push(with(scenario, format!("no workload {}", at + 1), |one| drop_workload(one, at)));
    }
    for at in (0..scenario.zookeeper_clients.len()).rev() {
        let what = format!("no [[zookeeper_clients]] {}", at + 1);
        all.push(with(scenario, what, |one| _ = one.zookeeper_clients.remove(at)));
    }
    for at in (0..scenario.recipe_clients.len()).rev() {
        let what = format!("no [[recipe_clients]] {}", at + 1);
        all.push(with(scenario, what, |one| _ = one.recipe_clients.remove(at)));
    }
    all
}

/// An index, and the workloads on it.
fn drop_index(scenario: &mut Scenario, at: usize) {
    let name = scenario.indices.remove(at).name;
    for workload in (0..scenario.workloads.len()).rev() {
        if scenario.workloads[workload].index == name {
            drop_workload(scenario, workload);
        }
    }
}

/// A workload with its operations; the clients after it move up by one.
fn drop_workload(scenario: &mut Scenario, at: usize) {
    scenario.workloads.remove(at);
    let gone = HostId::client(at as u16 + 2);
    scenario.operations.retain(|operation| operation.client != gone);
    for operation in scenario.operations.iter_mut().filter(|operation| operation.client > gone) {
        operation.client.number -= 1;
    }
}

/// Fewer hosts, copies, clients and keys.
pub(super) fn smaller(scenario: &Scenario, _broken: &Broken) -> Vec<Candidate> {
    let mut all = Vec::new();
    nodes(scenario, &mut all);
    servers(scenario, &mut all);
    for at in 0..scenario.indices.len() {
        copies(scenario, at, &mut all);
    }
    for at in 0..scenario.zookeeper_clients.len() {
        let table = &scenario.zookeeper_clients[at];
        for count in below(u32::from(table.count), 1) {
            let what = format!("{count} clients of ZooKeeper instead of {}", table.count);
            all.push(with(scenario, what, |one| one.zookeeper_clients[at].count = count as u16));
        }
        for keys in below(table.keys, 1) {
            let what = format!("{keys} keys instead of {}", table.keys);
            all.push(with(scenario, what, |one| one.zookeeper_clients[at].keys = keys));
        }
    }
    for at in 0..scenario.recipe_clients.len() {
        let table = &scenario.recipe_clients[at];
        for count in below(u32::from(table.count), 1) {
            let what = format!("{count} clients of a recipe instead of {}", table.count);
            all.push(with(scenario, what, |one| one.recipe_clients[at].count = count as u16));
        }
    }
    all
}

/// Smaller numbers to try, boldest first: the least, half, one less.
fn below(number: u32, least: u32) -> Vec<u32> {
    let mut all = vec![least, number / 2, number.saturating_sub(1)];
    all.retain(|one| (least..number).contains(one));
    all.dedup();
    all
}

/// Requests go to the nodes that are left.
fn nodes(scenario: &Scenario, all: &mut Vec<Candidate>) {
    let count = scenario.nodes.len() as u32;
    for left in below(count, 1) {
        all.push(with(scenario, format!("{left} search nodes instead of {count}"), |one| {
            one.nodes.truncate(left as usize);
            for operation in &mut one.operations {
                operation.node.number = (operation.node.number - 1) % left as u16 + 1;
            }
            for index in &mut one.indices {
                index.replicas = index.replicas.min(left - 1);
            }
        }));
    }
}

fn servers(scenario: &Scenario, all: &mut Vec<Candidate>) {
    let count = u32::from(scenario.cluster.zookeeper);
    for left in below(count, 1) {
        let what = format!("{left} ZooKeeper servers instead of {count}");
        all.push(with(scenario, what, |one| one.cluster.zookeeper = left as u16));
    }
    if scenario.zookeeper.observers > 0 {
        all.push(with(scenario, "no observers", |one| one.zookeeper.observers = 0));
    }
    if scenario.zookeeper.spares > 0 {
        all.push(with(scenario, "no spare servers", |one| one.zookeeper.spares = 0));
    }
}

fn copies(scenario: &Scenario, at: usize, all: &mut Vec<Candidate>) {
    let Index { name, shards, replicas, .. } = &scenario.indices[at];
    for left in below(*shards, 1) {
        let what = format!("{left} shards of `{name}` instead of {shards}");
        all.push(with(scenario, what, |one| one.indices[at].shards = left));
    }
    for left in below(*replicas, 0) {
        let what = format!("{left} replicas of `{name}` instead of {replicas}");
        all.push(with(scenario, what, |one| one.indices[at].replicas = left));
    }
}
