//! Built-in scenarios — decides which scenario files the binary carries. It never changes one.

use crate::scenario::{check::Vocabulary, format::Scenario, read::read};

/// A scenario file that the binary carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// The name to run it by: the file's, without its ending.
    pub name: &'static str,
    /// The file's text.
    pub text: &'static str,
}

impl Builtin {
    /// What the file says.
    ///
    /// # Panics
    ///
    /// If a file that the binary carries is unsound, which a test rules out.
    pub fn scenario(&self) -> Scenario {
        let read = read(self.name, self.text, &Vocabulary::current());
        read.unwrap_or_else(|problems| panic!("a built-in scenario is sound\n{problems}"))
    }
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        /// Every built-in scenario; the first is the default, the first three are the standard ones.
        pub const ALL: &[Builtin] = &[
            $(Builtin { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) },)*
        ];
    };
}

builtin![
    "first-failover",
    "discovery",
    "balance",
    "power-loss",
    "deposed-primary",
    "deposed-controller",
    "rebuild",
    "allocation-stale-copy",
    "allocation-nodes-come-and-go",
    "zk-leader-crash-phases",
    "zk-quorum-loss",
    "zk-follower-lag",
    "zk-disk-loss",
    "zk-uncommitted-tail",
    "zk-torn-logs",
    "zk-session-storm",
    "zk-watch-storm",
    "zk-reconfig-partition",
    "zk-observers",
    "zk-read-only",
    "recipe-election",
    "recipe-membership",
    "recipe-configuration",
    "recipe-notification",
    "discovery-fast-restart",
    "settings-under-partition",
    "notices-through-failover",
    "replication-promotion",
    "replication-isolated-primary",
    "replication-recovery",
    "replication-flaky-links",
    "search-partial-results",
    "documents-primary",
    "documents-lease",
    "documents-delete-and-reorder",
    "standard",
    "large",
    "rolling-restart",
    "intersecting-partitions",
    "allocation-drain",
    "allocation-awareness",
    "allocation-reroute-commands",
    "documents-versions",
];

/// The scenario to run when none is named.
pub const DEFAULT: Builtin = ALL[0];

/// How many of the first are run where none is named.
pub const STANDARD: usize = 3;

/// More scenarios that speed and memory are measured on.
pub const MEASURED: [&str; 2] = ["standard", "large"];

/// The built-in scenario of this name.
pub fn named(name: &str) -> Option<Builtin> {
    ALL.iter().find(|builtin| builtin.name == name).copied()
}
