//! Calls — decides how tests ask a shard for what is more than one write or get. It never says what comes of it.

use super::{Cluster, shard};
use crate::{
    name::HostId,
    search::shards::{Copies, WriteCall},
};

impl Cluster {
    /// A client writes several documents at once to the primary on this node.
    pub(in super::super) fn write_several(&mut self, host: HostId, calls: Vec<WriteCall>) -> Vec<u64> {
        let tokens: Vec<u64> = (self.next_token..).take(calls.len()).collect();
        self.next_token += calls.len() as u64;
        let (allocation, term) = self.primary_as_seen(host);
        let calls = tokens.iter().copied().zip(calls).collect();
        self.step(host, |shards, ctx| shards.write(ctx, &shard(), allocation, term, calls));
        tokens
    }

    /// A client asks this node to refresh the shard.
    pub(in super::super) fn refresh(&mut self, host: HostId) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.step(host, |shards, ctx| shards.refresh(ctx, token, &shard()));
        token
    }

    /// Messages on their way from one node to another.
    pub(in super::super) fn on_the_way(&self, from: HostId, to: HostId) -> usize {
        self.wires.get(&(from, to)).map_or(0, |queue| queue.len())
    }
}
