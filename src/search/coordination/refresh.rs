//! Refreshes — decides whom a refresh goes to, and when it is over. It never names copies: each primary knows its own.
//!
//! Elasticsearch's `TransportRefreshAction` since #13068: the primary of each shard refreshes and has every copy of
//! its replication group refresh, whichever copies the coordinating node's state knows of. A copy that does not is
//! counted, and not failed.

use super::{
    Ask, Outcome, Position, Served,
    flow::{Ending, Flow, Move},
};
use crate::{
    name::{IndexName, ShardId},
    search::{
        api::{ApiAnswer, RefreshAnswer},
        routing,
        shards::ShardRefusal,
        state::ClusterState,
    },
};

/// The course of a refresh: the primaries of all shards at once.
#[derive(Debug)]
pub(super) struct RefreshFlow {
    shards: Vec<(ShardId, Course)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// Until there is a primary, or another one.
    Waiting,
    UnderWay(Position),
    Ended {
        successful: u32,
        total: u32,
    },
}

impl RefreshFlow {
    /// A refresh of so many shards.
    pub(super) fn new(index: &IndexName, shards: u32) -> Self {
        let shard = |number| (ShardId { index: index.clone(), number }, Course::Waiting);
        Self { shards: (0..shards).map(shard).collect() }
    }

    fn route(&mut self, part: usize, state: &ClusterState) -> Move {
        let (shard, course) = &mut self.shards[part];
        let Some(table) = state.shard(shard) else {
            *course = Course::Ended { successful: 0, total: 0 };
            return Move::Wait;
        };
        let Some((_, to)) = routing::active_primary(table) else { return Move::Wait };
        *course = Course::UnderWay(Position::of(state));
        Move::Ask { to, part: part as u32, ask: Ask::Refresh { shard: shard.clone() } }
    }

    fn route_all(&mut self, state: &ClusterState) -> Vec<Move> {
        let waiting: Vec<usize> =
            (0..self.shards.len()).filter(|part| self.shards[*part].1 == Course::Waiting).collect();
        let moves = waiting.into_iter().map(|part| self.route(part, state)).collect();
        self.or_end(moves)
    }

    fn or_end(&self, moves: Vec<Move>) -> Vec<Move> {
        let is_over = self.shards.iter().all(|(_, course)| matches!(course, Course::Ended { .. }));
        if is_over { vec![Move::End(self.ending())] } else { moves }
    }

    // A shard that has not ended counts with the one copy that would have been asked.
    fn ending(&self) -> Ending {
        let counts = self.shards.iter().map(|(_, course)| match course {
            Course::Ended { successful, total } => (*successful, *total),
            Course::Waiting | Course::UnderWay(_) => (0, 1),
        });
        let (successful, total) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        Ok(ApiAnswer::Refreshed(RefreshAnswer { successful, total }))
    }
}

impl Flow for RefreshFlow {
    fn begin(&mut self, state: &ClusterState) -> Vec<Move> {
        self.route_all(state)
    }

    fn heard(&mut self, part: u32, outcome: Outcome, state: &ClusterState) -> Vec<Move> {
        let part = part as usize;
        let Some((_, course)) = self.shards.get_mut(part) else { return Vec::new() };
        let Course::UnderWay(tried) = *course else { return Vec::new() };
        let moves = match outcome {
            Ok(Served::Refreshed { successful, total }) => {
                *course = Course::Ended { successful, total };
                Vec::new()
            }
            Err(ShardRefusal::NotHere { .. }) => {
                *course = Course::Waiting;
                if tried < Position::of(state) { vec![self.route(part, state)] } else { vec![Move::Wait] }
            }
            Ok(_) | Err(_) => {
                *course = Course::Ended { successful: 0, total: 1 };
                Vec::new()
            }
        };
        self.or_end(moves)
    }

    fn state_applied(&mut self, state: &ClusterState) -> Vec<Move> {
        self.route_all(state)
    }

    fn timed_out(&mut self) -> Ending {
        self.ending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::CopyState::Started,
        search::{
            coordination::flow::lost,
            fixture::{copy, state, table},
        },
    };

    fn on(version: u64, nodes: [u16; 2]) -> ClusterState {
        let shard = |node: u16| table(vec![copy(node, u64::from(node), true, Started)]);
        state(version, nodes.map(shard).to_vec())
    }

    fn asked(moves: &[Move]) -> Vec<(u16, u32)> {
        let one = |step: &Move| match step {
            Move::Ask { to, part, ask: Ask::Refresh { .. } } => (to.number, *part),
            other => panic!("{other:?}"),
        };
        moves.iter().map(one).collect()
    }

    fn refreshed(successful: u32, total: u32) -> Vec<Move> {
        vec![Move::End(Ok(ApiAnswer::Refreshed(RefreshAnswer { successful, total })))]
    }

    #[test]
    fn every_primary_is_asked_and_copies_are_counted() {
        let (mut flow, state) = (RefreshFlow::new(&"articles".into(), 2), on(1, [1, 2]));
        assert_eq!(asked(&flow.begin(&state)), [(1, 0), (2, 1)]);
        assert_eq!(flow.heard(1, Ok(Served::Refreshed { successful: 1, total: 2 }), &state), []);
        let end = flow.heard(0, Ok(Served::Refreshed { successful: 2, total: 2 }), &state);
        assert_eq!(end, refreshed(3, 4));
    }

    #[test]
    fn primary_that_is_gone_is_followed() {
        let mut flow = RefreshFlow::new(&"articles".into(), 2);
        flow.begin(&on(1, [1, 2]));
        assert_eq!(flow.heard(0, lost(false), &on(1, [1, 2])), [Move::Wait]);
        assert_eq!(asked(&flow.state_applied(&on(2, [3, 2]))), [(3, 0)]);
        assert_eq!([Move::End(flow.timed_out())], *refreshed(0, 2));
    }

    #[test]
    fn refresh_of_nothing_is_done() {
        assert_eq!(RefreshFlow::new(&"articles".into(), 0).begin(&ClusterState::default()), refreshed(0, 0));
    }
}
