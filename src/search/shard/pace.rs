//! Pace — decides how eagerly the copies of an index sync, flush and recover, by the settings, read once for each version of the settings.
//! It never acts on one.

use std::time::Duration;

use crate::search::{
    recovery::CHUNK_BYTES,
    settings::{
        Scope::{Cluster, Index},
        Settings, SettingsDocument, value,
    },
};

/// The most that a primary waits, after its last write, before it tells the other copies the global checkpoint.
/// Elasticsearch does so at once after every operation that leaves nothing behind it
/// (`syncGlobalCheckpointAfterOperation`); here such messages are gathered, for each is an event.
const AFTER_OPERATION: Duration = Duration::from_secs(1);

/// When an operation is durable enough to be acknowledged (`index.translog.durability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When the translog is synced.
    Request,
    /// At once; the translog is synced from time to time.
    Async,
}

/// What the settings say to the copies of one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// `index.translog.durability`.
    pub durability: Durability,
    /// `index.translog.sync_interval`: of `async` durability.
    pub sync_interval: Duration,
    /// `index.translog.flush_threshold_size`, in bytes.
    pub flush_threshold: u64,
    /// How long other copies may go without the newest global checkpoint
    /// (`index.global_checkpoint_sync.interval`, and at most a second after a write).
    pub checkpoint_sync: Duration,
    /// `index.soft_deletes.retention_lease.period`.
    pub lease_period: Duration,
    /// `indices.recovery.max_bytes_per_sec`; 0 is no limit.
    pub recovery_rate: u64,
    /// `indices.recovery.max_concurrent_file_chunks`.
    pub chunks_on_the_way: usize,
    /// `indices.recovery.retry_delay_state_sync`: the primary was not ready.
    pub retry_state: Duration,
    /// `indices.recovery.retry_delay_network`: the connection broke.
    pub retry_network: Duration,
}

impl Pace {
    /// How long a piece of a file may have to wait at its source, which feeds a few recoveries at a time.
    pub fn recovery_pause(&self) -> Duration {
        let pieces = 4 * self.chunks_on_the_way as u64 * CHUNK_BYTES as u64;
        match self.recovery_rate {
            0 => Duration::ZERO,
            rate => Duration::from_millis(pieces.saturating_mul(1_000) / rate),
        }
    }

    /// What holds for an index with these settings.
    pub fn of(document: &SettingsDocument, index: &Settings) -> Self {
        let cluster = &document.cluster;
        let span = |name| index.span(Index, name).unwrap_or_default();
        let delay = |name| cluster.span(Cluster, name).unwrap_or_default();
        let durability = match index.text(Index, "index.translog.durability") {
            "async" => Durability::Async,
            _ => Durability::Request,
        };
        let bytes = |text: &str| value::bytes(text).unwrap_or_default();
        Self {
            durability,
            sync_interval: span("index.translog.sync_interval"),
            flush_threshold: bytes(index.text(Index, "index.translog.flush_threshold_size")),
            checkpoint_sync: span("index.global_checkpoint_sync.interval").min(AFTER_OPERATION),
            lease_period: span("index.soft_deletes.retention_lease.period"),
            recovery_rate: bytes(cluster.text(Cluster, "indices.recovery.max_bytes_per_sec")),
            chunks_on_the_way: cluster.integer(Cluster, "indices.recovery.max_concurrent_file_chunks")
                as usize,
            retry_state: delay("indices.recovery.retry_delay_state_sync"),
            retry_network: delay("indices.recovery.retry_delay_network"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_elasticsearchs() {
        let pace = Pace::of(&SettingsDocument::default(), &Settings::default());
        let wanted = Pace {
            durability: Durability::Request,
            sync_interval: Duration::from_secs(5),
            flush_threshold: 512 << 20,
            checkpoint_sync: AFTER_OPERATION,
            lease_period: Duration::from_secs(12 * 3_600),
            recovery_rate: 40 << 20,
            chunks_on_the_way: 2,
            retry_state: Duration::from_millis(500),
            retry_network: Duration::from_secs(5),
        };
        assert_eq!(pace, wanted);
    }

    #[test]
    fn what_is_set_holds() {
        let mut document = SettingsDocument::default();
        document.cluster.0.insert("indices.recovery.max_bytes_per_sec".into(), "1mb".into());
        let set =
            [("index.translog.durability", "async"), ("index.global_checkpoint_sync.interval", "200ms")];
        let index = Settings(set.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let pace = Pace::of(&document, &index);
        assert_eq!((pace.durability, pace.recovery_rate), (Durability::Async, 1 << 20));
        assert_eq!(pace.checkpoint_sync, Duration::from_millis(200));
    }
}
