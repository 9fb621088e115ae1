//! Look — decides what a test can see of the nodes it has wired. It never changes one.

use super::{Cluster, shard};
use crate::{
    core::FileName,
    name::{AllocationId, HostId},
    search::shards::{Copies, Fetch, SearchAsk, SearchServed},
};

/// A query for everything.
pub(in super::super) fn everything() -> SearchAsk {
    SearchAsk::Query { body: Default::default(), statistics: None, fetch: Fetch::Later }
}

impl Cluster {
    /// How many documents a search for everything finds.
    pub(in super::super) fn search(&mut self, host: HostId) -> u64 {
        let served = self.step(host, |shards, ctx| shards.search(ctx, &shard(), &everything()));
        match served.unwrap().unwrap() {
            SearchServed::Found(found) => found.found.total,
            other => panic!("{other:?}"),
        }
    }

    /// Whether a node is up and its disk holds this copy.
    pub(in super::super) fn holds(&self, host: HostId, allocation: AllocationId) -> bool {
        let state: FileName = crate::search::shard::layout::state_file(&shard(), allocation).into();
        self.nodes.get(&host).is_some_and(|node| node.disk.volatile.contains_key(&state))
    }

    /// Names of the files that a node's disk holds for sure.
    pub(in super::super) fn durable_files(&self, host: HostId) -> Vec<FileName> {
        self.nodes[&host].disk.durable.keys().cloned().collect()
    }

    /// Everything a node holds, and the primary's, must be equal.
    pub(in super::super) fn assert_copies_equal(&mut self, hosts: &[HostId]) {
        let held: Vec<_> = hosts.iter().map(|host| self.inspect(*host).expect("an active copy")).collect();
        for (docs, searchable) in &held {
            assert_eq!(docs, &held[0].0);
            let living: Vec<_> =
                docs.iter().filter(|doc| doc.source.is_some()).map(|doc| doc.id.clone()).collect();
            assert_eq!(searchable, &living);
        }
    }

    pub(in super::super) fn happened(&self, host: HostId, name: &str) -> bool {
        self.events.iter().any(|(at, event)| *at == host && event.name() == name)
    }

    pub(in super::super) fn count(&self, name: &str) -> usize {
        self.events.iter().filter(|(_, event)| event.name() == name).count()
    }
}
