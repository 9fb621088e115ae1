//! Ensemble tables — decides what a scenario can say of ZooKeeper alone: settings of its servers, clients that
//! speak to nothing else. It never says whether what is written makes sense; [`check`](super::check) does.
//!
//! Plans hold these tables as they are: all that a client draws is keyed by the seed in the world.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    scenario::duration,
    zookeeper::wire::{Compat, LocalSessions},
};

/// `[zookeeper]`: settings of the servers beyond those of `[cluster]`, as in `zoo.cfg`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ZooKeeperSettings {
    /// Servers that follow without a vote, numbered after the voters. Default 0.
    pub observers: u16,
    /// Servers that run but are no members until a `reconfig` adds them, numbered last. Default 0.
    pub spares: u16,
    /// Whose behaviour where versions differ, `3.8` or `3.9`. Default `3.8`.
    pub compat: Compat,
    /// zookeeper.extendedTypesEnabled: whether TTL nodes can be made. Default false.
    pub extended_types: bool,
    /// znode.container.checkIntervalMs: how often empty containers and TTL nodes are looked for. Default 10 s,
    /// so that a run sees it; ZooKeeper's own is a minute.
    #[serde(with = "duration::Span")]
    pub container_interval: Duration,
    /// localSessionsEnabled: `off`, `on`, or `upgrading` at the first ephemeral node. Default `off`.
    pub local_sessions: LocalSessions,
    /// readonlymode.enabled: whether a server without a quorum serves reads. Default false.
    pub read_only: bool,
    /// reconfigEnabled. Default false.
    pub reconfig: bool,
    /// zookeeper.enforceQuota. Default false.
    pub enforce_quota: bool,
}

impl Default for ZooKeeperSettings {
    fn default() -> Self {
        Self {
            observers: 0,
            spares: 0,
            compat: Compat::default(),
            extended_types: false,
            container_interval: Duration::from_secs(10),
            local_sessions: LocalSessions::default(),
            read_only: false,
            reconfig: false,
            enforce_quota: false,
        }
    }
}

/// `[[zookeeper_clients]]`: simulated clients of the ensemble, all alike, each on a host of its own.
///
/// They work on the nodes `/work/key-0`, `/work/key-1` … and on children of `/work/queue` and `/work/live`. A
/// one-shot watch that fires is left again by the read that follows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ZooKeeperClients {
    /// How many. Default 1.
    pub count: u16,
    /// Operations a second of each, on average; arrivals are a Poisson process. Default 10.
    pub operations_per_second: f64,
    /// Operations that are asked at once, without waiting for an answer. Default 1.
    pub burst: u32,
    /// Keys that they share. Default 8.
    pub keys: u32,
    /// Share of reads that leave a watch, 0 to 1. Default 0.3.
    pub watch_share: f64,
    /// What they ask.
    pub mix: Mix,
    /// The session timeout they ask for; granted within 2 to 20 ticks. Default 4 s.
    #[serde(with = "duration::Span")]
    pub session_timeout: Duration,
    /// When they begin. Default with the run.
    #[serde(with = "duration::Span")]
    pub starts_at: Duration,
    /// All of them leave their sessions and open new ones each time this span has passed: a session storm.
    /// Default: never.
    #[serde(with = "duration::OptionalSpan", skip_serializing_if = "Option::is_none")]
    pub reopens_every: Option<Duration>,
    /// Share of those that leave their session to its expiry instead of closing it, 0 to 1. Default 0.5.
    pub abandon_share: f64,
    /// Whether a server without a quorum will do. Default false.
    pub read_only: bool,
}

impl Default for ZooKeeperClients {
    fn default() -> Self {
        Self {
            count: 1,
            operations_per_second: 10.0,
            burst: 1,
            keys: 8,
            watch_share: 0.3,
            mix: Mix::default(),
            session_timeout: Duration::from_secs(4),
            starts_at: Duration::ZERO,
            reopens_every: None,
            abandon_share: 0.5,
            read_only: false,
        }
    }
}

macro_rules! mix {
    ($($(#[$doc:meta])* $field:ident $default:literal,)*) => {
        /// How often a client asks what: weights, of which only the proportions count.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct Mix {
            $($(#[$doc])* #[doc = concat!("Default ", stringify!($default), ".")] pub $field: f64,)*
        }

        impl Default for Mix {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Mix {
            /// Every weight with its key.
            pub fn weights(&self) -> [(&'static str, f64); [$(stringify!($field)),*].len()] {
                [$((stringify!($field), self.$field)),*]
            }
        }
    };
}

mix! {
    /// create of a key.
    create 2.0,
    /// create of an ephemeral node, half of them sequential.
    create_ephemeral 1.0,
    /// create of a persistent sequential node.
    create_sequential 1.0,
    /// createContainer of a node, and a child of it that is deleted again.
    create_container 0.0,
    /// createTTL of a node that goes after a second (`[zookeeper] extended_types = true`).
    create_ttl 0.0,
    /// delete of a key, of an ephemeral node or of one's oldest sequential node.
    delete 2.0,
    /// setData of any version.
    set 3.0,
    /// setData of the version last seen.
    set_version 2.0,
    /// setACL of the version last seen, to what it was.
    set_acl 0.2,
    /// multi of check, setData and create.
    multi 1.0,
    /// getData.
    get 4.0,
    /// exists.
    exists 2.0,
    /// getChildren.
    children 2.0,
    /// sync, and getData behind it.
    sync_read 1.0,
    /// addWatch of a persistent watch.
    watch_persistent 0.1,
    /// addWatch of a persistent recursive watch.
    watch_recursive 0.1,
    /// closeSession; a new session is opened at once.
    close 0.1,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_has_its_key() {
        let text = toml::to_string(&Mix::default()).unwrap();
        let keys: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(keys, Mix::default().weights().map(|(key, _)| key));
    }
}
