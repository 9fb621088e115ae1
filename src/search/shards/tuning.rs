//! Tuning — decides what the settings of an index amount to for its copies. It never applies them.

use std::time::Duration;

use crate::{
    scenario::plan::SearchConfig,
    search::{
        api::ActiveShards,
        settings::{Scope, Settings},
    },
};

/// Settings of an index, read once a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// `index.refresh_interval`; none: no refresh by itself.
    pub refresh_interval: Option<Duration>,
    /// `index.gc_deletes`: how long a tombstone is kept at least.
    pub gc_deletes: Duration,
    /// `index.write.wait_for_active_shards`.
    pub active_shards: ActiveShards,
}

impl Tuning {
    /// Of an index with these settings; where the run has a value of its own, it is the default.
    pub fn of(settings: &Settings, run: &SearchConfig) -> Self {
        let span = |name| settings.span(Scope::Index, name);
        let refresh = "index.refresh_interval";
        let is_set = settings.set(refresh).is_some();
        let active_shards = settings.text(Scope::Index, "index.write.wait_for_active_shards");
        Self {
            refresh_interval: if is_set { span(refresh) } else { Some(run.refresh_interval) },
            // Switched off, every tombstone is old enough at once, as in Elasticsearch.
            gc_deletes: span("index.gc_deletes").unwrap_or_default(),
            active_shards: ActiveShards::read(active_shards).unwrap_or(ActiveShards::AtLeast(1)),
        }
    }
}
