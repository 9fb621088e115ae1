//! Gets — decides which copies a get is asked of, one after the other. It never prefers the local one.
//!
//! As in Elasticsearch's `TransportSingleShardAction`: one active copy, on any failure the next of the list,
//! and no waiting for better times. The answer is realtime on the copy asked, and so may be stale or dirty
//! (elastic/elasticsearch#52400): a get is not a linearizable read.

use std::collections::VecDeque;

use super::{
    Ask, Outcome, Served, error,
    flow::{Ending, Flow, Move},
};
use crate::{
    name::{HostId, ShardId},
    search::{
        api::{ApiAnswer, GetAnswer},
        shards::ShardRefusal,
        state::ClusterState,
    },
};

/// The course of a get.
#[derive(Debug)]
pub(super) struct GetFlow {
    shard: ShardId,
    id: String,
    copies: VecDeque<HostId>,
}

impl GetFlow {
    /// A get from the first of these nodes that can.
    pub(super) fn new(shard: ShardId, id: String, copies: VecDeque<HostId>) -> Self {
        Self { shard, id, copies }
    }

    fn next(&mut self) -> Vec<Move> {
        let Some(to) = self.copies.pop_front() else {
            return vec![Move::End(Err(error::no_copy(&self.shard)))];
        };
        let ask = Ask::Get { shard: self.shard.clone(), id: self.id.clone() };
        vec![Move::Ask { to, part: 0, ask }]
    }
}

impl Flow for GetFlow {
    fn begin(&mut self, _state: &ClusterState) -> Vec<Move> {
        self.next()
    }

    fn heard(&mut self, _part: u32, outcome: Outcome, _state: &ClusterState) -> Vec<Move> {
        match outcome {
            Ok(Served::Got(doc)) => {
                let (index, id) = (self.shard.index.clone(), self.id.clone());
                vec![Move::End(Ok(ApiAnswer::Got(GetAnswer { index, id, doc })))]
            }
            Err(ShardRefusal::Error(error)) if self.copies.is_empty() => vec![Move::End(Err(error))],
            _ => self.next(),
        }
    }

    fn timed_out(&mut self) -> Ending {
        Err(error::no_copy(&self.shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::coordination::flow::lost;

    fn flow(nodes: &[u16]) -> GetFlow {
        let copies = nodes.iter().copied().map(HostId::search).collect();
        GetFlow::new("articles/0".parse().unwrap(), "a".to_owned(), copies)
    }

    fn asked(moves: Vec<Move>) -> u16 {
        match moves.as_slice() {
            [Move::Ask { to, ask: Ask::Get { .. }, .. }] => to.number,
            other => panic!("expected one get, not {other:?}"),
        }
    }

    #[test]
    fn failed_copy_is_followed_by_the_next() {
        let (mut flow, state) = (flow(&[2, 1]), ClusterState::default());
        assert_eq!(asked(flow.begin(&state)), 2);
        assert_eq!(asked(flow.heard(0, lost(false), &state)), 1);
        let answer = GetAnswer { index: "articles".into(), id: "a".to_owned(), doc: None };
        let end = Move::End(Ok(ApiAnswer::Got(answer)));
        assert_eq!(flow.heard(0, Ok(Served::Got(None)), &state), [end]);
    }

    #[test]
    fn get_without_any_copy_fails_at_once() {
        let (mut flow, state) = (flow(&[1]), ClusterState::default());
        flow.begin(&state);
        let moves = flow.heard(0, lost(false), &state);
        let [Move::End(Err(error))] = moves.as_slice() else { panic!("{moves:?}") };
        assert_eq!((error.status, &*error.kind), (503, "no_shard_available_action_exception"));
    }
}
