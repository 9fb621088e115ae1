//! Settings — decides what can be set for an ensemble, and what holds where nothing is. It never reads a
//! file.
//!
//! Names and defaults are those of `zoo.cfg` (`QuorumPeerConfig.java`, `ZooKeeperServer.java`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::HostId;

/// Whose behaviour is modeled where versions differ on purpose.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
pub enum Compat {
    /// ZooKeeper 3.8.0.
    #[default]
    #[serde(rename = "3.8")]
    V3_8,
    /// ZooKeeper 3.9: a create inside a multi answers with its Stat (ZOOKEEPER-4026), watch events carry
    /// the zxid (4655), watch modes live side by side (4466), exists needs READ (2590), a lone check is
    /// refused (2623).
    #[serde(rename = "3.9")]
    V3_9,
}

/// Whether sessions are local to their server until they need not be.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum LocalSessions {
    /// Every session is global (`localSessionsEnabled=false`).
    #[default]
    Off,
    /// Sessions are local, and an ephemeral node is refused (`localSessionsUpgradingEnabled=false`).
    On,
    /// Sessions are local; the first ephemeral node makes a session global.
    Upgrading,
}

/// Settings of an ensemble, as in `zoo.cfg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnsembleConfig {
    /// The voters at the start.
    pub servers: Vec<HostId>,
    /// Servers that follow without a vote, at the start.
    pub observers: Vec<HostId>,
    /// Where servers are, as `/zookeeper/config` tells clients: `host:quorumPort:electionPort`, then perhaps
    /// `;[clientHost:]clientPort`. A server that is not listed is at its own name and the usual ports.
    pub addresses: BTreeMap<HostId, String>,
    /// tickTime, in milliseconds.
    pub tick_ms: u64,
    /// initLimit, in ticks.
    pub init_limit: u32,
    /// syncLimit, in ticks.
    pub sync_limit: u32,
    /// snapCount: transactions between snapshots.
    pub snap_count: u32,
    /// Whose behaviour where versions differ.
    pub compat: Compat,
    /// minSessionTimeout, in milliseconds; none: 2 ticks.
    pub session_timeout_min_ms: Option<u64>,
    /// maxSessionTimeout, in milliseconds; none: 20 ticks.
    pub session_timeout_max_ms: Option<u64>,
    /// zookeeper.extendedTypesEnabled: whether TTL nodes can be made.
    pub extended_types: bool,
    /// znode.container.checkIntervalMs: how often the leader looks for containers and TTL nodes to delete.
    pub container_check_ms: u64,
    /// znode.container.maxPerMinute.
    pub container_max_per_minute: u32,
    /// localSessionsEnabled and localSessionsUpgradingEnabled.
    pub local_sessions: LocalSessions,
    /// readonlymode.enabled.
    pub read_only: bool,
    /// reconfigEnabled.
    pub reconfig_enabled: bool,
    /// standaloneEnabled: a reconfiguration may not leave fewer than two voters.
    pub standalone_enabled: bool,
    /// zookeeper.enforceQuota.
    pub enforce_quota: bool,
    /// zookeeper.DigestAuthenticationProvider.superDigest: `super:` and the digest.
    pub super_digest: Option<String>,
    /// jute.maxbuffer: a longer frame closes the connection, in bytes.
    pub max_buffer: u32,
    /// maxClientCnxns: connections from one address; 0: any number.
    pub max_client_connections: u32,
}

impl Default for EnsembleConfig {
    /// ZooKeeper's defaults, with the sample file's tick and limits, and no servers.
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            observers: Vec::new(),
            addresses: BTreeMap::new(),
            tick_ms: 2_000,
            init_limit: 10,
            sync_limit: 5,
            snap_count: 100_000,
            compat: Compat::V3_8,
            session_timeout_min_ms: None,
            session_timeout_max_ms: None,
            extended_types: false,
            container_check_ms: 60_000,
            container_max_per_minute: 10_000,
            local_sessions: LocalSessions::Off,
            read_only: false,
            reconfig_enabled: false,
            standalone_enabled: true,
            enforce_quota: false,
            super_digest: None,
            max_buffer: 0xf_ffff,
            max_client_connections: 60,
        }
    }
}

impl EnsembleConfig {
    /// The least session timeout that is granted, in milliseconds.
    pub fn session_timeout_min_ms(&self) -> u64 {
        self.session_timeout_min_ms.unwrap_or(2 * self.tick_ms)
    }

    /// The greatest session timeout that is granted, in milliseconds.
    pub fn session_timeout_max_ms(&self) -> u64 {
        self.session_timeout_max_ms.unwrap_or(20 * self.tick_ms)
    }

    /// Votes that decide at the start: more than half.
    pub fn quorum(&self) -> usize {
        self.servers.len() / 2 + 1
    }

    /// Whether a server of this configuration is standalone, with no peers and no reconfiguration
    /// (`QuorumPeerConfig.isDistributed`).
    pub fn is_standalone(&self) -> bool {
        self.standalone_enabled && self.servers.len() <= 1
    }
}
