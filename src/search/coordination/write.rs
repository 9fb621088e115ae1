//! Writes — decides where a write goes, whether it may be tried again, and what an unclear end means. It
//! never numbers one.
//!
//! As in Elasticsearch's `TransportReplicationAction` a write goes to the active primary of the applied state,
//! and waits for a newer state when there is none or the primary turns out not to be one. Unlike there, a
//! write that may have been applied is never tried again, not even an unconditional one: applied a second time
//! it would undo what another client wrote in between, and a conditional one would conflict with itself. The
//! client is told that nobody knows.
//!
//! A write whose id was drawn here is the exception: nobody else can have written that document, so it is tried
//! again until it is answered, and however often it is applied it is one document (#7729, #9468). Its own first try
//! may be what a create conflicts with: the client is told of the conflict, as in Elasticsearch, but not that the
//! write had no effect. The shards look every id up, so there is no shortcut for drawn ids
//! (`max_unsafe_auto_id_timestamp`) that a second try could fool (D14, D22).

use std::time::Duration;

use super::{
    Ask, Outcome, Position, Served, error,
    flow::{Ending, Flow, Move, table_of},
};
use crate::{
    name::{IndexUuid, ShardId},
    search::{
        api::{ApiAnswer, ApiError, WriteAnswer},
        routing,
        shards::{ShardRefusal, WriteCall, Written},
        state::ClusterState,
    },
};

/// Where a document's id comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    /// From the client: others may use it too.
    Given,
    /// From this node, for this request alone. `tried`: the write may have been applied already.
    Drawn { tried: bool },
}

/// The course of an index or delete request.
#[derive(Debug)]
pub(super) struct WriteFlow {
    shard: ShardId,
    /// Of its index, once it was looked up.
    uuid: Option<IndexUuid>,
    call: WriteCall,
    timeout: Option<Duration>,
    id: Id,
    /// Why the last try could not begin.
    unavailable: Option<String>,
    under_way: Option<Position>,
}

impl WriteFlow {
    /// A write to this shard.
    pub(super) fn new(shard: ShardId, call: WriteCall, timeout: Option<Duration>) -> Self {
        Self { shard, uuid: None, call, timeout, id: Id::Given, unavailable: None, under_way: None }
    }

    /// A write of a document whose id was drawn for it.
    pub(super) fn of_drawn_id(shard: ShardId, call: WriteCall, timeout: Option<Duration>) -> Self {
        Self { id: Id::Drawn { tried: false }, ..Self::new(shard, call, timeout) }
    }

    fn route(&mut self, state: &ClusterState) -> Vec<Move> {
        let Some(table) = table_of(state, &self.shard, &mut self.uuid) else {
            return vec![Move::End(Err(ApiError::no_index(&self.shard.index)))];
        };
        let primary = routing::active_primary(table);
        let Some((allocation, to)) = primary.and_then(|(copy, node)| Some((copy.allocation?, node))) else {
            return vec![Move::Wait];
        };
        self.under_way = Some(Position::of(state));
        let (shard, call) = (self.shard.clone(), self.call.clone());
        vec![Move::Ask { to, part: 0, ask: Ask::Write { shard, allocation, term: table.term, call } }]
    }

    fn answer(&self, written: Written) -> ApiAnswer {
        let (index, id) = (self.shard.index.clone(), self.call.id.clone());
        let Written { result, seq_no, term, version, copies, forced_refresh } = written;
        ApiAnswer::Written(WriteAnswer { index, id, result, seq_no, term, version, copies, forced_refresh })
    }

    fn refused(&mut self, tried: Option<Position>, state: &ClusterState) -> Vec<Move> {
        if tried < Some(Position::of(state)) { self.route(state) } else { vec![Move::Wait] }
    }
}

impl Flow for WriteFlow {
    fn begin(&mut self, state: &ClusterState) -> Vec<Move> {
        self.route(state)
    }

    fn heard(&mut self, _part: u32, outcome: Outcome, state: &ClusterState) -> Vec<Move> {
        let tried = self.under_way.take();
        let ending = match outcome {
            Ok(Served::Written(written)) => Ok(self.answer(written)),
            Err(ShardRefusal::Error(error)) => {
                let certain = error.certain && self.id != Id::Drawn { tried: true };
                Err(ApiError { certain, ..error })
            }
            Err(ShardRefusal::NotHere { certain: true }) => return self.refused(tried, state),
            Err(ShardRefusal::Unavailable(why)) => {
                self.unavailable = Some(why);
                return self.refused(tried, state);
            }
            Err(ShardRefusal::NotHere { certain: false }) if self.id != Id::Given => {
                self.id = Id::Drawn { tried: true };
                return self.refused(tried, state);
            }
            Err(ShardRefusal::NotHere { certain: false }) | Ok(_) => Err(error::primary_lost(&self.shard)),
        };
        vec![Move::End(ending)]
    }

    fn state_applied(&mut self, state: &ClusterState) -> Vec<Move> {
        if self.under_way.is_some() { Vec::new() } else { self.route(state) }
    }

    fn patience(&self) -> Option<Duration> {
        self.timeout
    }

    fn timed_out(&mut self) -> Ending {
        Err(match (self.under_way, &self.unavailable) {
            (Some(_), _) => error::write_timed_out(&self.shard),
            (None, _) if self.id == (Id::Drawn { tried: true }) => error::primary_lost(&self.shard),
            (None, Some(why)) => error::unavailable(&self.shard, why),
            (None, None) => error::no_primary(&self.shard),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::CopyState::{Initializing, Started},
        name::{AllocationId, HostId, SeqNo, Term},
        search::{
            api::WriteResult,
            coordination::flow::lost,
            fixture::{copy, state, table},
            shards::Condition,
            state::ShardTable,
        },
    };

    fn flow() -> WriteFlow {
        let call = WriteCall::delete("a");
        WriteFlow::new("articles/0".parse().unwrap(), call, None)
    }

    fn on(node: u16, allocation: u64) -> ShardTable {
        table(vec![copy(node, allocation, true, Started)])
    }

    fn asked(moves: Vec<Move>) -> (HostId, AllocationId, Term) {
        match moves.as_slice() {
            [Move::Ask { to, ask: Ask::Write { allocation, term, .. }, .. }] => (*to, *allocation, *term),
            other => panic!("expected one write, not {other:?}"),
        }
    }

    fn failure(moves: Vec<Move>) -> ApiError {
        match moves.as_slice() {
            [Move::End(Err(error))] => error.clone(),
            other => panic!("expected a failure, not {other:?}"),
        }
    }

    #[test]
    fn write_goes_to_the_active_primary() {
        let copies = vec![copy(1, 11, false, Started), copy(2, 12, true, Started)];
        let moves = flow().begin(&state(1, vec![table(copies)]));
        assert_eq!(asked(moves), (HostId::search(2), AllocationId(12), Term(1)));
    }

    #[test]
    fn write_without_primary_waits_for_one() {
        let mut flow = flow();
        let booting = table(vec![copy(1, 11, true, Initializing)]);
        assert_eq!(flow.begin(&state(1, vec![booting.clone()])), [Move::Wait]);
        assert_eq!(flow.state_applied(&state(2, vec![booting])), [Move::Wait]);
        assert_eq!(asked(flow.state_applied(&state(3, vec![on(1, 11)]))).0, HostId::search(1));
    }

    #[test]
    fn write_without_primary_in_time_surely_failed() {
        let mut flow = flow();
        flow.begin(&state(1, vec![table(Vec::new())]));
        let error = flow.timed_out().unwrap_err();
        assert_eq!((error.status, &*error.kind, error.certain), (503, "unavailable_shards_exception", true));
    }

    #[test]
    fn unanswered_write_is_unclear() {
        let mut flow = flow();
        flow.begin(&state(1, vec![on(1, 11)]));
        let error = flow.timed_out().unwrap_err();
        assert_eq!((error.status, &*error.kind, error.certain), (503, "timeout_exception", false));
    }

    #[test]
    fn refused_write_waits_for_a_newer_state() {
        let mut flow = flow();
        let old = state(1, vec![on(1, 11)]);
        flow.begin(&old);
        assert_eq!(flow.heard(0, lost(true), &old), [Move::Wait]);
        assert_eq!(asked(flow.state_applied(&state(2, vec![on(2, 12)]))).0, HostId::search(2));
    }

    #[test]
    fn refused_write_goes_on_by_a_state_that_came_meanwhile() {
        let mut flow = flow();
        flow.begin(&state(1, vec![on(1, 11)]));
        let new = state(2, vec![on(2, 12)]);
        assert_eq!(flow.state_applied(&new), [], "one try at a time");
        assert_eq!(asked(flow.heard(0, lost(true), &new)).0, HostId::search(2));
    }

    /// D23: "versioned retry conflicts with own first try; update applied twice".
    #[test]
    fn write_that_may_have_been_applied_is_not_tried_again() {
        let mut flow = flow();
        flow.begin(&state(1, vec![on(1, 11)]));
        let error = failure(flow.heard(0, lost(false), &state(2, vec![on(2, 12)])));
        assert_eq!((error.status, &*error.kind, error.certain), (503, "unavailable_shards_exception", false));
    }

    /// "checks before the op only": too few active copies are waited for, then told.
    #[test]
    fn write_that_too_few_copies_are_active_for_waits_and_surely_failed() {
        let mut flow = flow();
        let state = state(1, vec![on(1, 11)]);
        flow.begin(&state);
        let too_few = Err(ShardRefusal::Unavailable("Not enough active copies.".to_owned()));
        assert_eq!(flow.heard(0, too_few, &state), [Move::Wait]);
        let error = flow.timed_out().unwrap_err();
        assert_eq!((error.status, &*error.kind, error.certain), (503, "unavailable_shards_exception", true));
        assert_eq!(error.reason, "[articles][0] Not enough active copies.");
    }

    /// D22: "retry of auto-id add".
    #[test]
    fn write_of_a_drawn_id_is_tried_again_and_may_conflict_with_itself() {
        let create = WriteCall { condition: Condition::Missing, ..WriteCall::index("drawn", "{}") };
        let mut flow = WriteFlow::of_drawn_id("articles/0".parse().unwrap(), create, None);
        flow.begin(&state(1, vec![on(1, 11)]));
        let newer = state(2, vec![on(2, 12)]);
        assert_eq!(asked(flow.heard(0, lost(false), &newer)).0, HostId::search(2));
        let conflict = ApiError::new(409, "version_conflict_engine_exception", "exists");
        let error = failure(flow.heard(0, Err(ShardRefusal::Error(conflict)), &newer));
        assert_eq!((error.status, error.certain), (409, false));
    }

    #[test]
    fn conflict_is_told_as_it_is() {
        let mut flow = flow();
        let state = state(1, vec![on(1, 11)]);
        flow.begin(&state);
        let conflict = ApiError {
            status: 409,
            kind: "version_conflict_engine_exception".into(),
            reason: String::new(),
            certain: true,
        };
        let outcome = Err(ShardRefusal::Error(conflict.clone()));
        assert_eq!(failure(flow.heard(0, outcome, &state)), conflict);
    }

    #[test]
    fn acknowledgement_carries_number_and_copies() {
        let mut flow = flow();
        let state = state(1, vec![on(1, 11)]);
        flow.begin(&state);
        let (result, seq_no, term, version, copies) = (WriteResult::Deleted, SeqNo(7), Term(1), 3, (2, 2));
        let written = Written { result, seq_no, term, version, copies, forced_refresh: false };
        let (index, id) = ("articles".into(), "a".to_owned());
        let answer = ApiAnswer::Written(WriteAnswer {
            index,
            id,
            result,
            seq_no,
            term,
            version,
            copies,
            forced_refresh: false,
        });
        assert_eq!(flow.heard(0, Ok(Served::Written(written)), &state), [Move::End(Ok(answer))]);
    }

    #[test]
    fn write_does_not_go_on_to_another_index_of_the_name() {
        let mut flow = flow();
        flow.begin(&state(1, vec![table(Vec::new())]));
        let mut anew = state(2, vec![on(1, 11)]);
        for index in anew.indices.values_mut() {
            index.uuid = IndexUuid(7);
        }
        let error = failure(flow.state_applied(&anew));
        assert_eq!((error.status, error.certain), (404, true));
    }

    #[test]
    fn write_to_a_removed_index_ends() {
        let mut flow = flow();
        flow.begin(&state(1, vec![table(Vec::new())]));
        let error = failure(flow.state_applied(&ClusterState { version: 2, ..Default::default() }));
        assert_eq!((error.status, error.certain), (404, true));
    }
}
