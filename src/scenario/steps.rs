//! Steps — decides how administrative steps are written in scenario files and plans. It never carries one out.
//!
//! A step is something that an administrator of the cluster does on purpose, where a fault is something that
//! happens to it. Both wait for a time or for an event.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::scenario::reroute::{Command, Reroute};
use crate::{
    name::IndexName,
    scenario::{
        duration,
        format::{Index, When},
        plan::{IndexPlan, Selector, Trigger},
        values::Values,
    },
};

/// A step of a scenario file: one of `at` and `when`, and one deed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// Is done at this time.
    #[serde(with = "duration::OptionalSpan", skip_serializing_if = "Option::is_none")]
    pub at: Option<Duration>,
    /// Is done right after an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Cluster settings to set, or with `"null"` to take back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_cluster_settings: Option<Values>,
    /// Settings of an index to set or to take back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_index_settings: Option<IndexValues>,
    /// An index to create.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_index: Option<Index>,
    /// An index to delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_index: Option<String>,
    /// Nodes that all copies are to leave (`cluster.routing.allocation.exclude._name`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Selector>,
    /// Where copies are to go (`POST /_cluster/reroute`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reroute: Option<Reroute>,
    /// `true`: garbage is written over the cluster state in ZooKeeper, by somebody with a client of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt_state: Option<bool>,
}

/// Settings of one index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IndexValues {
    /// Its name. Required.
    pub index: String,
    /// The settings, with or without `index.` before their names.
    pub settings: Values,
}

/// A planned step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepPlan {
    /// When it is done.
    pub trigger: Trigger,
    /// What is done.
    pub action: StepAction,
}

/// What an administrator does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum StepAction {
    /// `PUT /_cluster/settings`.
    UpdateClusterSettings {
        /// What to set, or to take back.
        settings: Values,
    },
    /// `PUT /index/_settings`.
    UpdateIndexSettings {
        /// Of which index.
        index: IndexName,
        /// What to set, or to take back.
        settings: Values,
    },
    /// `PUT /index`.
    CreateIndex {
        /// Which.
        index: IndexPlan,
    },
    /// `DELETE /index`.
    DeleteIndex {
        /// Which.
        index: IndexName,
    },
    /// Excludes nodes from allocation by their names.
    Drain {
        /// Which.
        target: Selector,
    },
    /// `POST /_cluster/reroute`.
    Reroute {
        /// What is ordered.
        orders: Reroute,
    },
    /// Writes garbage over the cluster state in ZooKeeper.
    CorruptState,
}

impl StepAction {
    /// Whether it needs a client of ZooKeeper instead of one of the search cluster.
    pub fn is_of_zookeeper(&self) -> bool {
        matches!(self, Self::CorruptState)
    }
}

impl fmt::Display for StepAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpdateClusterSettings { settings } => write!(f, "cluster settings {}", listed(settings)),
            Self::UpdateIndexSettings { index, settings } => {
                write!(f, "settings of {index} {}", listed(settings))
            }
            Self::CreateIndex { index } => write!(f, "creation of index {}", index.name),
            Self::DeleteIndex { index } => write!(f, "deletion of index {index}"),
            Self::Drain { target } => write!(f, "drain of {target}"),
            Self::Reroute { orders } => write!(f, "{orders}"),
            Self::CorruptState => f.write_str("corruption of the cluster state"),
        }
    }
}

fn listed(values: &Values) -> String {
    let parts: Vec<_> = values.0.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    parts.join(", ")
}
