//! Operations on ZooKeeper — decides how single operations of ZooKeeper's clients are written in scenario files and
//! plans. It never draws one.
//!
//! A table of clients says how often they ask what; a plan can instead say every operation with its time and
//! arguments, so that one can be taken out without any other being changed. What hangs on the course of the run is
//! said as such: the version last seen, the oldest node made.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    name::HostId,
    scenario::{duration, recipes::Recipe},
};

/// `[[zookeeper_operations]]`: one operation of one of `[[zookeeper_clients]]` or `[[recipe_clients]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZooKeeperOperation {
    /// Who asks: `client-2` is the first one after those of `[[workloads]]`. Required.
    pub client: HostId,
    /// Its number among the operations of that client: what it writes hangs on it. Required.
    pub number: u32,
    /// When it is asked, since the start of the run by the client's own clock. Required.
    #[serde(with = "duration::Span")]
    pub at: Duration,
    /// What is asked. Required.
    pub ask: ZooKeeperAsk,
    /// The node's path; nothing of what is about no single node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Of a `multi`: the ephemeral node that it makes too. Default: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub beside: String,
    /// Of a `create`: whether the node goes with its session. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
    /// Of a `create`, and of what a `multi` makes `beside`: whether a number is put behind the path. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sequential: bool,
    /// Of a `set` or `delete`: whether it is of the version last seen, not of any. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen: bool,
    /// Of a `delete`: whether the oldest sequential node that the client has made goes instead, if there is one.
    /// Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oldest: bool,
    /// Of a read: whether it leaves a watch. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watch: bool,
}

/// What one operation on ZooKeeper asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZooKeeperAsk {
    /// create.
    Create,
    /// createContainer, and a child of it that is deleted again.
    CreateContainer,
    /// createTTL of a node that goes after a second.
    CreateTtl,
    /// delete.
    Delete,
    /// setData.
    Set,
    /// setACL of the version last seen, to what it was.
    SetAcl,
    /// multi of check of the version last seen, setData and create of a sequential node.
    Multi,
    /// getData.
    Get,
    /// exists.
    Exists,
    /// getChildren.
    Children,
    /// sync, and getData behind it.
    SyncRead,
    /// addWatch of a persistent watch.
    WatchPersistent,
    /// addWatch of a persistent recursive watch.
    WatchRecursive,
    /// closeSession; a new session is opened at once.
    Close,
    /// A new session is opened, and the old one left to its expiry.
    Abandon,
    /// Of an election: a write behind the fence of the leader, by who leads.
    Write,
    /// Of an election: who leads lays down its office.
    Resign,
    /// Of a membership: the member closes its session and comes back.
    Leave,
    /// Of a configuration: a change of the value last applied.
    Change,
    /// Of a notification: a notice.
    Publish,
}

impl ZooKeeperAsk {
    /// The recipe that it is an action of; none of what clients of ZooKeeper alone ask.
    pub fn recipe(self) -> Option<Recipe> {
        match self {
            Self::Write | Self::Resign => Some(Recipe::Election),
            Self::Leave => Some(Recipe::Membership),
            Self::Change => Some(Recipe::Configuration),
            Self::Publish => Some(Recipe::Notification),
            _ => None,
        }
    }

    /// Whether it is about one node that it names.
    pub fn names_a_node(self) -> bool {
        !matches!(self, Self::Close | Self::Abandon) && self.recipe().is_none()
    }

    /// Whether it can leave a watch that fires once.
    pub fn can_watch(self) -> bool {
        matches!(self, Self::Get | Self::Exists | Self::Children)
    }
}

impl ZooKeeperOperation {
    /// The plainest operation of this kind.
    pub fn new(client: HostId, number: u32, at: Duration, ask: ZooKeeperAsk) -> Self {
        Self {
            client,
            number,
            at,
            ask,
            path: String::new(),
            beside: String::new(),
            ephemeral: false,
            sequential: false,
            seen: false,
            oldest: false,
            watch: false,
        }
    }
}
