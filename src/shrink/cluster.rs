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
    if !(scenario.operations.is_empty() && scenario.zookeeper_operations.is_empty()) {
        all.push(with(scenario, "no operations", |one| {
            one.operations.clear();
            one.zookeeper_operations.clear();
        }));
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
        all.push(with(scenario, what, |one| {
            drop_clients(one, Table::Alone(at), 0);
            one.zookeeper_clients.remove(at);
        }));
    }
    for at in (0..scenario.recipe_clients.len()).rev() {
        let what = format!("no [[recipe_clients]] {}", at + 1);
        all.push(with(scenario, what, |one| {
            drop_clients(one, Table::Recipe(at), 0);
            one.recipe_clients.remove(at);
        }));
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
    let gone = at as u16 + 2;
    drop_askers(scenario, gone..gone + 1);
}

/// A table of clients of ZooKeeper.
#[derive(Clone, Copy)]
enum Table {
    Alone(usize),
    Recipe(usize),
}

/// The clients of a table but the first so many, with their operations; those after them move up.
fn drop_clients(scenario: &mut Scenario, table: Table, left: u16) {
    let alone: Vec<u16> = scenario.zookeeper_clients.iter().map(|one| one.count).collect();
    let recipes: Vec<u16> = scenario.recipe_clients.iter().map(|one| one.count).collect();
    let (before, count): (u16, u16) = match table {
        Table::Alone(at) => (alone[..at].iter().sum(), alone[at]),
        Table::Recipe(at) => (alone.iter().chain(&recipes[..at]).sum(), recipes[at]),
    };
    let first = scenario.workloads.len() as u16 + 2 + before;
    drop_askers(scenario, first + left..first + count);
    match table {
        Table::Alone(at) => scenario.zookeeper_clients[at].count = left,
        Table::Recipe(at) => scenario.recipe_clients[at].count = left,
    }
}

/// The operations of these clients; those after them have moved up.
fn drop_askers(scenario: &mut Scenario, gone: std::ops::Range<u16>) {
    let moved =
        |client: &mut HostId| client.number -= if client.number >= gone.end { gone.len() as u16 } else { 0 };
    scenario.operations.retain(|one| !gone.contains(&one.client.number));
    scenario.operations.iter_mut().for_each(|one| moved(&mut one.client));
    scenario.zookeeper_operations.retain(|one| !gone.contains(&one.client.number));
    scenario.zookeeper_operations.iter_mut().for_each(|one| moved(&mut one.client));
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
            all.push(with(scenario, what, |one| drop_clients(one, Table::Alone(at), count as u16)));
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
            all.push(with(scenario, what, |one| drop_clients(one, Table::Recipe(at), count as u16)));
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
