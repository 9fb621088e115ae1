//! Damage — decides what a test does to the disk under a process that runs. It never looks at what follows.

use std::sync::Arc;

use super::Cluster;
use crate::{
    core::{DiskError, FileName},
    name::HostId,
};

impl Cluster {
    /// The disk refuses the first file whose name ends so; whoever waits for it waits in vain.
    pub(in super::super) fn refuse(&mut self, host: HostId, suffix: &str, error: DiskError) {
        let node = self.nodes.get_mut(&host).unwrap();
        let file = node.disk.volatile.keys().find(|file| file.ends_with(suffix)).unwrap().clone();
        node.syncing.retain(|(waits, _)| *waits != file);
        let found = node.disk.volatile.clone();
        self.step(host, |shards, ctx| shards.disk_failed(ctx, &file, error, &found));
    }

    /// What was not synced is dropped, as by a sync that failed.
    pub(in super::super) fn lose_volatile(&mut self, host: HostId) {
        let disk = &mut self.nodes.get_mut(&host).unwrap().disk;
        disk.volatile.clone_from(&disk.durable);
    }

    /// Every durable file whose name ends so rots, and is not in the page cache any more.
    pub(in super::super) fn rot_under(&mut self, host: HostId, suffix: &str) {
        let disk = &mut self.nodes.get_mut(&host).unwrap().disk;
        let mut rotten: Vec<(FileName, Arc<[u8]>)> = Vec::new();
        for (file, bytes) in disk.durable.iter_mut().filter(|(file, _)| file.ends_with(suffix)) {
            let mut changed = bytes.to_vec();
            changed[0] ^= 1;
            *bytes = changed.into();
            rotten.push((file.clone(), bytes.clone()));
        }
        assert!(!rotten.is_empty(), "no file ends with {suffix}");
        for (file, bytes) in rotten {
            self.nodes.get_mut(&host).unwrap().disk.volatile.insert(file.clone(), bytes.clone());
            self.step(host, |shards, _| shards.reread(&file, &bytes));
        }
    }
}
