//! Knobs — decides how a test sets settings on the nodes that it has wired. It never looks at what follows.

use std::{collections::BTreeMap, sync::Arc};

use super::{Cluster, shard};
use crate::search::settings::Settings;

impl Cluster {
    /// Sets the index's settings, on every node at once.
    pub(in super::super) fn set(&mut self, settings: BTreeMap<String, String>) {
        Arc::make_mut(&mut self.settings).indices.insert(shard().index, Settings(settings));
        self.apply_settings();
    }

    /// Sets a setting of the index on every node, and on those that start later.
    pub(in super::super) fn set_index(&mut self, name: &str, value: &str) {
        let settings = Arc::make_mut(&mut self.settings);
        let index = settings.indices.entry("articles".into()).or_default();
        index.0.insert(name.to_owned(), value.to_owned());
        self.apply_settings();
    }

    /// The same for a setting of the cluster.
    pub(in super::super) fn set_cluster(&mut self, name: &str, value: &str) {
        Arc::make_mut(&mut self.settings).cluster.0.insert(name.to_owned(), value.to_owned());
        self.apply_settings();
    }

    fn apply_settings(&mut self) {
        for host in self.hosts() {
            let settings = self.settings.clone();
            self.step(host, |shards, _| shards.apply_settings(&settings));
        }
    }
}
