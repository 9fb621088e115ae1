//! Refreshes — decides which copies a refresh goes to, and when it is over. It never fails a copy: what was
//! missed comes with that copy's next refresh.

use std::collections::VecDeque;

use super::{
    Ask, Outcome, Served,
    flow::{Ending, Flow, Move},
};
use crate::{
    name::{HostId, IndexName, ShardId},
    search::{
        api::{ApiAnswer, RefreshAnswer},
        state::ClusterState,
    },
};

/// The course of a refresh: all active copies at once.
#[derive(Debug)]
pub(super) struct RefreshFlow {
    copies: Vec<(ShardId, HostId)>,
    ended: u32,
    successful: u32,
}

impl RefreshFlow {
    /// A refresh of each shard on all of its nodes.
    pub(super) fn new(index: &IndexName, shards: Vec<VecDeque<HostId>>) -> Self {
        let copies = (0..).zip(shards).flat_map(|(number, nodes)| {
            let shard = ShardId { index: index.clone(), number };
            nodes.into_iter().map(move |node| (shard.clone(), node))
        });
        Self { copies: copies.collect(), ended: 0, successful: 0 }
    }

    fn total(&self) -> u32 {
        self.copies.len() as u32
    }

    fn or_end(&self, moves: Vec<Move>) -> Vec<Move> {
        if self.ended == self.total() { vec![Move::End(self.ending())] } else { moves }
    }

    fn ending(&self) -> Ending {
        Ok(ApiAnswer::Refreshed(RefreshAnswer { successful: self.successful, total: self.total() }))
    }
}

impl Flow for RefreshFlow {
    fn begin(&mut self, _state: &ClusterState) -> Vec<Move> {
        let asks = (0..).zip(&self.copies).map(|(part, (shard, to))| {
            let ask = Ask::Refresh { shard: shard.clone() };
            Move::Ask { to: *to, part, ask }
        });
        self.or_end(asks.collect())
    }

    fn heard(&mut self, _part: u32, outcome: Outcome, _state: &ClusterState) -> Vec<Move> {
        self.ended += 1;
        self.successful += u32::from(outcome == Ok(Served::Refreshed));
        self.or_end(Vec::new())
    }

    fn timed_out(&mut self) -> Ending {
        self.ending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::coordination::flow::lost;

    fn flow(shards: &[&[u16]]) -> RefreshFlow {
        let nodes = |shard: &&[u16]| shard.iter().copied().map(HostId::search).collect();
        RefreshFlow::new(&"articles".into(), shards.iter().map(nodes).collect())
    }

    fn refreshed(successful: u32, total: u32) -> Vec<Move> {
        vec![Move::End(Ok(ApiAnswer::Refreshed(RefreshAnswer { successful, total })))]
    }

    #[test]
    fn every_active_copy_is_asked_and_failures_are_counted() {
        let (mut flow, state) = (flow(&[&[1, 2], &[3]]), ClusterState::default());
        assert_eq!(flow.begin(&state).len(), 3);
        assert_eq!(flow.heard(2, Ok(Served::Refreshed), &state), []);
        assert_eq!(flow.heard(0, lost(false), &state), []);
        assert_eq!(flow.heard(1, Ok(Served::Refreshed), &state), refreshed(2, 3));
    }

    #[test]
    fn refresh_of_nothing_is_done() {
        assert_eq!(flow(&[&[]]).begin(&ClusterState::default()), refreshed(0, 0));
    }
}
