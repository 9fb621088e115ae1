//! Cat — decides how the state of a cluster is written down in columns of text (`_cat`). It never counts anew: what
//! it shows is what the other replies say.
//!
//! Columns are Elasticsearch's default ones, without those about what is not modeled (addresses, load, bytes): those
//! who parse columns by name find the same names.

use std::collections::BTreeMap;

use super::health;
use crate::{
    event::CopyState,
    name::{HostId, IndexName},
    search::{
        api::admin::{CatRequest, CatTable, ClusterHealth, Health, HealthRequest, IndexCounts},
        routing,
        state::{ClusterState, ShardCopy, ShardTable},
    },
};

/// The table that is asked for, as of this state.
pub(super) fn text(state: &ClusterState, request: &CatRequest, pending_tasks: u32) -> String {
    let (head, rows) = match request.table {
        CatTable::Health => health_rows(state, pending_tasks),
        CatTable::Indices => indices(state),
        CatTable::Nodes => nodes(state),
        CatTable::Master => {
            let row = |node: HostId| vec![node.to_string(), node.to_string()];
            (vec!["id", "node"], state.controller.map(row).into_iter().collect())
        }
        CatTable::Shards => shards(state),
        CatTable::Allocation => allocation(state),
        CatTable::Recovery => recovery(state),
    };
    let head = request.verbose.then(|| head.into_iter().map(str::to_owned).collect());
    columns(&head.into_iter().chain(rows).collect::<Vec<_>>())
}

type Table = (Vec<&'static str>, Vec<Vec<String>>);

/// Rows with their columns below each other.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join(" ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn status(health: Health) -> String {
    match health {
        Health::Red => "red",
        Health::Yellow => "yellow",
        Health::Green => "green",
    }
    .to_owned()
}

fn of(state: &ClusterState, pending_tasks: u32) -> ClusterHealth {
    health::of(state, &HealthRequest::default(), pending_tasks)
}

fn health_rows(state: &ClusterState, pending_tasks: u32) -> Table {
    let ClusterHealth { nodes, counts, .. } = of(state, pending_tasks);
    let IndexCounts { active, active_primaries, relocating, initializing, unassigned, .. } = counts;
    let numbers =
        [nodes, nodes, active, active_primaries, relocating, initializing, unassigned, pending_tasks];
    let row = std::iter::once(status(counts.status)).chain(numbers.map(|number| number.to_string()));
    let head = vec![
        "status",
        "node.total",
        "node.data",
        "shards",
        "pri",
        "relo",
        "init",
        "unassign",
        "pending_tasks",
    ];
    (head, vec![row.collect()])
}

fn indices(state: &ClusterState) -> Table {
    let row = |(name, counts): (&IndexName, &IndexCounts)| {
        let uuid = state.indices.get(name).map_or(0, |metadata| metadata.uuid.0);
        let (pri, rep) = (counts.shards.to_string(), counts.replicas.to_string());
        vec![status(counts.status), "open".to_owned(), name.to_string(), format!("{uuid:016x}"), pri, rep]
    };
    let rows = of(state, 0).indices.iter().map(row).collect();
    (vec!["health", "status", "index", "uuid", "pri", "rep"], rows)
}

fn nodes(state: &ClusterState) -> Table {
    let row = |node: &HostId| {
        let master = if state.controller == Some(*node) { "*" } else { "-" };
        vec!["dm".to_owned(), master.to_owned(), node.to_string()]
    };
    (vec!["node.role", "master", "name"], state.nodes.keys().map(row).collect())
}

fn shards(state: &ClusterState) -> Table {
    let row = |(index, number): (&str, u32), table: &ShardTable, copy: &ShardCopy| {
        let role = if copy.primary { "p" } else { "r" };
        let target = copy.relocating.and_then(|other| table.copy(other)?.node);
        let node = match (copy.node, target) {
            (Some(node), Some(target)) if copy.state == CopyState::Relocating => {
                format!("{node} -> {target}")
            }
            (node, _) => node.map(|node| node.to_string()).unwrap_or_default(),
        };
        vec![
            index.to_owned(),
            number.to_string(),
            role.to_owned(),
            copy.state.routing_word().to_owned(),
            node,
        ]
    };
    // The target of a move stands in its source's row.
    let is_shown = |copy: &&ShardCopy| copy.relocating.is_none() || copy.state == CopyState::Relocating;
    let rows = state.shards().flat_map(|(shard, table)| {
        let (index, number) = (shard.index.to_string(), shard.number);
        let rows: Vec<_> =
            table.copies.iter().filter(is_shown).map(|copy| row((&index, number), table, copy)).collect();
        rows
    });
    (vec!["index", "shard", "prirep", "state", "node"], rows.collect())
}

fn allocation(state: &ClusterState) -> Table {
    let mut counts: BTreeMap<HostId, u32> = state.nodes.keys().map(|node| (*node, 0)).collect();
    let mut unassigned = 0_u32;
    for copy in state.shards().flat_map(|(_, table)| &table.copies) {
        match copy.node {
            Some(node) => *counts.entry(node).or_default() += 1,
            None => unassigned += 1,
        }
    }
    let rows = counts.into_iter().map(|(node, count)| vec![count.to_string(), node.to_string()]);
    let left = (unassigned > 0).then(|| vec![unassigned.to_string(), "UNASSIGNED".to_owned()]);
    (vec!["shards", "node"], rows.chain(left).collect())
}

/// Recoveries under way: what is over is not kept.
fn recovery(state: &ClusterState) -> Table {
    let mut rows = Vec::new();
    for (shard, table) in state.shards() {
        let primary = routing::active_primary(table).map(|(_, node)| node);
        for copy in table.copies.iter().filter(|copy| copy.state == CopyState::Initializing) {
            let Some(target) = copy.node else { continue };
            let (kind, source) = match primary {
                Some(source) => ("peer", source.to_string()),
                None => ("existing_store", "n/a".to_owned()),
            };
            let (index, number) = (shard.index.to_string(), shard.number.to_string());
            rows.push(vec![index, number, kind.to_owned(), source, target.to_string()]);
        }
    }
    (vec!["index", "shard", "type", "source_node", "target_node"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::CopyState::{Initializing, Relocating, Started, Unassigned},
        name::AllocationId,
        search::fixture::{copy, state, table},
    };

    fn shown(wanted: CatTable) -> String {
        let mut moving = copy(1, 11, true, Relocating);
        moving.relocating = Some(AllocationId(13));
        let mut target = copy(3, 13, true, Initializing);
        target.relocating = Some(AllocationId(11));
        let lost = ShardCopy { node: None, allocation: None, ..copy(2, 12, false, Unassigned) };
        let tables = vec![table(vec![moving, target]), table(vec![copy(2, 14, true, Started), lost])];
        let mut state = state(1, tables);
        state.controller = Some(HostId::search(2));
        text(&state, &CatRequest { table: wanted, verbose: true }, 0)
    }

    #[test]
    fn copies_stand_with_their_nodes_and_where_they_move() {
        let wanted = "index    shard prirep state      node\n\
                      articles 0     p      RELOCATING search-1 -> search-3\n\
                      articles 1     p      STARTED    search-2\n\
                      articles 1     r      UNASSIGNED\n";
        assert_eq!(shown(CatTable::Shards), wanted);
    }

    /// "`*` = elected master, `-` = other".
    #[test]
    fn elected_node_has_a_star() {
        let wanted = "node.role master name\ndm        -      search-1\ndm        *      search-2\ndm        -      search-3\n";
        assert_eq!(shown(CatTable::Nodes), wanted);
        assert_eq!(shown(CatTable::Master), "id       node\nsearch-2 search-2\n");
    }

    #[test]
    fn counts_are_those_of_the_cluster() {
        assert_eq!(
            shown(CatTable::Allocation),
            "shards node\n1      search-1\n1      search-2\n1      search-3\n1      UNASSIGNED\n"
        );
        let recovery = shown(CatTable::Recovery);
        assert!(recovery.contains("articles 0     peer search-1    search-3"), "{recovery}");
        let health = shown(CatTable::Health);
        assert!(health.lines().nth(1).is_some_and(|row| row.starts_with("yellow 3")), "{health}");
        assert!(shown(CatTable::Indices).contains("yellow open   articles"), "{}", shown(CatTable::Indices));
    }
}
