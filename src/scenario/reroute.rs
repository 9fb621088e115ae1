//! Reroute steps — decides how orders about copies are written in scenario files: Elasticsearch's commands, with
//! selectors for nodes. It never carries one out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    name::{HostId, IndexName, ShardId},
    scenario::plan::Selector,
    search::allocation::reroute::Command as Order,
};

/// What is ordered at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reroute {
    /// The commands, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Command>,
    /// Whether only to ask what would become of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Whether commands that cannot be done are explained instead of refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub explain: bool,
    /// Whether copies that failed too often are tried again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retry_failed: bool,
}

/// A command; nodes are named by selectors, each of which must mean one node when the step is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// A started copy is to move.
    Move {
        /// Its index.
        index: String,
        /// Its shard.
        #[serde(default)]
        shard: u32,
        /// Where it is.
        from_node: Selector,
        /// Where it is to go.
        to_node: Selector,
    },
    /// A copy, or its recovery, is to be given up.
    Cancel {
        /// Its index.
        index: String,
        /// Its shard.
        #[serde(default)]
        shard: u32,
        /// Where it is.
        node: Selector,
        /// Whether it may be the primary.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        allow_primary: bool,
    },
    /// An unassigned replica is to be built.
    AllocateReplica {
        /// Its index.
        index: String,
        /// Its shard.
        #[serde(default)]
        shard: u32,
        /// Where.
        node: Selector,
    },
    /// A copy that may lack acknowledged writes is to be the primary.
    AllocateStalePrimary {
        /// Its index.
        index: String,
        /// Its shard.
        #[serde(default)]
        shard: u32,
        /// Where its data is.
        node: Selector,
        /// Must be true.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        accept_data_loss: bool,
    },
    /// An empty primary is to take the place of what was there.
    AllocateEmptyPrimary {
        /// Its index.
        index: String,
        /// Its shard.
        #[serde(default)]
        shard: u32,
        /// Where.
        node: Selector,
        /// Must be true if the shard ever had a primary.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        accept_data_loss: bool,
    },
}

impl Command {
    /// Its key in a scenario file, and each of its selectors with its own.
    pub fn selectors(&self) -> (&'static str, Vec<(&'static str, &Selector)>) {
        match self {
            Self::Move { from_node, to_node, .. } => {
                ("move", vec![("from_node", from_node), ("to_node", to_node)])
            }
            Self::Cancel { node, .. } => ("cancel", vec![("node", node)]),
            Self::AllocateReplica { node, .. } => ("allocate_replica", vec![("node", node)]),
            Self::AllocateStalePrimary { node, .. } => ("allocate_stale_primary", vec![("node", node)]),
            Self::AllocateEmptyPrimary { node, .. } => ("allocate_empty_primary", vec![("node", node)]),
        }
    }

    /// The shard it is about.
    pub fn shard(&self) -> ShardId {
        let (Self::Move { index, shard, .. }
        | Self::Cancel { index, shard, .. }
        | Self::AllocateReplica { index, shard, .. }
        | Self::AllocateStalePrimary { index, shard, .. }
        | Self::AllocateEmptyPrimary { index, shard, .. }) = self;
        ShardId { index: index.as_str().into(), number: *shard }
    }

    /// The order, with the nodes that its selectors mean, in the order of [`selectors`](Self::selectors).
    ///
    /// # Errors
    ///
    /// If a node is missing.
    pub fn order(&self, nodes: &[HostId]) -> Result<Order, String> {
        let (key, selectors) = self.selectors();
        let missing = || format!("{key}: not one node each is meant by its selectors");
        if nodes.len() != selectors.len() {
            return Err(missing());
        }
        let (node, last) = (nodes[0], nodes[nodes.len() - 1]);
        let ShardId { index, number: shard } = self.shard();
        Ok(match self {
            Self::Move { .. } => Order::Move { index, shard, from_node: node, to_node: last },
            Self::Cancel { allow_primary, .. } => {
                Order::Cancel { index, shard, node, allow_primary: *allow_primary }
            }
            Self::AllocateReplica { .. } => Order::AllocateReplica { index, shard, node },
            Self::AllocateStalePrimary { accept_data_loss, .. } => {
                Order::AllocateStalePrimary { index, shard, node, accept_data_loss: *accept_data_loss }
            }
            Self::AllocateEmptyPrimary { accept_data_loss, .. } => {
                Order::AllocateEmptyPrimary { index, shard, node, accept_data_loss: *accept_data_loss }
            }
        })
    }
}

impl Reroute {
    /// Every selector of every command, in order.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.commands.iter().flat_map(|command| command.selectors().1).map(|(_, selector)| selector)
    }

    /// The commands, with the nodes that all their selectors mean, in order.
    ///
    /// # Errors
    ///
    /// If a node is missing.
    pub fn orders(&self, mut nodes: &[HostId]) -> Result<Vec<Order>, String> {
        let order = |command: &Command| {
            let count = command.selectors().1.len().min(nodes.len());
            let (own, rest) = nodes.split_at(count);
            nodes = rest;
            command.order(own)
        };
        self.commands.iter().map(order).collect()
    }

    /// The indices that it names.
    pub fn indices(&self) -> impl Iterator<Item = IndexName> {
        self.commands.iter().map(|command| command.shard().index)
    }
}

impl fmt::Display for Reroute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.dry_run { "dry run of reroute" } else { "reroute" })?;
        for (nth, command) in self.commands.iter().enumerate() {
            let (key, selectors) = command.selectors();
            let nodes: Vec<_> = selectors.iter().map(|(_, selector)| selector.to_string()).collect();
            let lead = if nth == 0 { ":" } else { "," };
            write!(f, "{lead} {key} {} {}", command.shard(), nodes.join(" to "))?;
        }
        f.write_str(if self.retry_failed { ", failed copies again" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moving() -> Reroute {
        let (from_node, to_node) = (Selector::Controller, Selector::Host(HostId::search(2)));
        let command = Command::Move { index: "a".into(), shard: 1, from_node, to_node };
        Reroute { commands: vec![command], retry_failed: true, ..Reroute::default() }
    }

    #[test]
    fn selectors_become_nodes_in_order() {
        let [a, b] = [HostId::search(1), HostId::search(2)];
        let order = Order::Move { index: "a".into(), shard: 1, from_node: a, to_node: b };
        assert_eq!(moving().orders(&[a, b]), Ok(vec![order]));
        assert!(moving().orders(&[a]).is_err(), "its selector means nobody now");
    }

    #[test]
    fn orders_are_told_in_a_line() {
        let told = "reroute: move a/1 controller to search-2, failed copies again";
        assert_eq!(moving().to_string(), told);
    }
}
