//! Reroute steps — decides how orders about copies are written in scenario files: Elasticsearch's commands, with
//! selectors for nodes. It never carries one out.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{name::ShardId, scenario::plan::Selector};

/// What is ordered at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
}

impl Reroute {
    /// Every selector of every command, in order.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.commands.iter().flat_map(|command| command.selectors().1).map(|(_, selector)| selector)
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
    use crate::name::HostId;

    #[test]
    fn orders_are_told_in_a_line() {
        let (from_node, to_node) = (Selector::Controller, Selector::Host(HostId::search(2)));
        let command = Command::Move { index: "a".into(), shard: 1, from_node, to_node };
        let orders = Reroute { commands: vec![command], retry_failed: true, ..Reroute::default() };
        let told = "reroute: move a/1 controller to search-2, failed copies again";
        assert_eq!(orders.to_string(), told);
    }
}
