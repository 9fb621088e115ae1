//! Profiles — decides which settings an ensemble has for a recording. It never starts one.

use shardarium::{
    name::HostId,
    zookeeper::wire::{EnsembleConfig, LocalSessions},
};

use crate::recording::Recording;

/// The superuser of recordings: `super:test`.
const SUPER_DIGEST: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
/// tickTime where a recording does not need another, in milliseconds.
const TICK_MS: u64 = 2_000;

/// The settings of an ensemble that a recording plays on.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) config: EnsembleConfig,
}

impl Profile {
    /// The profile that a recording names.
    ///
    /// # Errors
    ///
    /// If it is none that is known.
    pub(crate) fn of(recording: &Recording) -> Result<Self, String> {
        let super_digest = Some(SUPER_DIGEST.to_owned());
        let servers = if recording.profile.starts_with("ens") { 3 } else { 1 };
        let stock = stock(servers, recording);
        let config = match recording.profile.as_str() {
            "default" | "ens3" | "ens3fail" => stock,
            "extended" => {
                EnsembleConfig { extended_types: true, container_check_ms: 500, super_digest, ..stock }
            }
            "quota" => EnsembleConfig { enforce_quota: true, ..stock },
            "ens3local" => EnsembleConfig { local_sessions: LocalSessions::On, ..stock },
            "ens3ro" => EnsembleConfig { read_only: true, local_sessions: LocalSessions::Upgrading, ..stock },
            "ens3rc" => EnsembleConfig { reconfig_enabled: true, super_digest, ..stock },
            other => return Err(format!("`{other}` is no profile that is known")),
        };
        Ok(Self { config })
    }

    /// An ensemble of three that answers as the one stock server of the recording did, if there is any.
    pub(crate) fn in_ensemble(recording: &Recording) -> Option<Self> {
        let is_safe = recording.profile == "default" && !recording.danger;
        is_safe.then(|| Self { config: stock(3, recording) })
    }
}

/// The recorder's servers let any number of clients in from one address.
fn stock(servers: u16, recording: &Recording) -> EnsembleConfig {
    EnsembleConfig {
        servers: (1..=servers).map(HostId::zookeeper).collect(),
        tick_ms: recording.needs_tick.unwrap_or(TICK_MS),
        max_client_connections: 0,
        ..EnsembleConfig::default()
    }
}
