//! Gets — decides which copies a get is asked of, one after the other. It never prefers the local one.
//!
//! Under the read policy `any` as in Elasticsearch's `TransportSingleShardAction`: one active copy, on any failure
//! the next of the list, and no waiting for better times. The answer is realtime on the copy asked, and so may be
//! stale or dirty (elastic/elasticsearch#52400): such a get is not a linearizable read. Under `primary` and `lease`
//! it goes to the primary, as a write does, and is tried again as long as there is time: it changes nothing.

use std::collections::VecDeque;

use super::{
    Ask, Outcome, Position, Served, error,
    flow::{Ending, Flow, Move, table_of},
};
use crate::{
    name::{HostId, IndexUuid, ShardId},
    scenario::plan::ReadPolicy,
    search::{
        api::{ApiAnswer, ApiError, GetAnswer, GotDoc},
        query::SourceFilter,
        routing,
        shards::{ReadCall, ShardRefusal},
        state::ClusterState,
    },
};

/// The course of a get.
#[derive(Debug)]
pub(super) struct GetFlow {
    shard: ShardId,
    /// Of its index, once it was looked up.
    uuid: Option<IndexUuid>,
    call: ReadCall,
    /// Copies not asked yet, unless the primary is to answer.
    copies: VecDeque<HostId>,
    /// What of the document is shown.
    source: SourceFilter,
    under_way: Option<Position>,
}

impl GetFlow {
    /// A get from the first of these nodes that can, or from the primary if the policy is that.
    pub(super) fn new(shard: ShardId, call: ReadCall, copies: VecDeque<HostId>) -> Self {
        Self { shard, uuid: None, call, copies, source: SourceFilter::default(), under_way: None }
    }

    /// Shows no more of the document than this.
    pub(super) fn showing(self, source: SourceFilter) -> Self {
        Self { source, ..self }
    }

    fn shown(&self, doc: GotDoc) -> GotDoc {
        let source = self.source.shown(doc.source).unwrap_or_default();
        GotDoc { source, ..doc }
    }

    fn asks_primary(&self) -> bool {
        self.call.policy != ReadPolicy::Any
    }

    fn ask(&self, to: HostId) -> Vec<Move> {
        let ask = Ask::Get { shard: self.shard.clone(), call: self.call.clone() };
        vec![Move::Ask { to, part: 0, ask }]
    }

    fn next(&mut self) -> Vec<Move> {
        match self.copies.pop_front() {
            Some(to) => self.ask(to),
            None => vec![Move::End(Err(error::no_copy(&self.shard)))],
        }
    }

    fn route(&mut self, state: &ClusterState) -> Vec<Move> {
        let Some(table) = table_of(state, &self.shard, &mut self.uuid) else {
            return vec![Move::End(Err(ApiError::no_index(&self.shard.index)))];
        };
        let Some((_, to)) = routing::active_primary(table) else { return vec![Move::Wait] };
        self.under_way = Some(Position::of(state));
        self.ask(to)
    }

    fn failed(&mut self, refusal: Option<ShardRefusal>, state: &ClusterState) -> Vec<Move> {
        let tried = self.under_way.take();
        match refusal {
            Some(ShardRefusal::Error(error)) if self.asks_primary() || self.copies.is_empty() => {
                vec![Move::End(Err(error))]
            }
            _ if !self.asks_primary() => self.next(),
            _ if tried < Some(Position::of(state)) => self.route(state),
            _ => vec![Move::Wait],
        }
    }
}

impl Flow for GetFlow {
    fn begin(&mut self, state: &ClusterState) -> Vec<Move> {
        if self.asks_primary() { self.route(state) } else { self.next() }
    }

    fn heard(&mut self, _part: u32, outcome: Outcome, state: &ClusterState) -> Vec<Move> {
        match outcome {
            Ok(Served::Got(doc)) => {
                let (index, id) = (self.shard.index.clone(), self.call.id.clone());
                let doc = doc.map(|doc| self.shown(doc));
                vec![Move::End(Ok(ApiAnswer::Got(GetAnswer { index, id, doc })))]
            }
            other => self.failed(other.err(), state),
        }
    }

    fn state_applied(&mut self, state: &ClusterState) -> Vec<Move> {
        if self.asks_primary() && self.under_way.is_none() { self.route(state) } else { Vec::new() }
    }

    fn timed_out(&mut self) -> Ending {
        Err(error::no_copy(&self.shard))
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

    fn flow(nodes: &[u16], policy: ReadPolicy) -> GetFlow {
        let copies = nodes.iter().copied().map(HostId::search).collect();
        let call = ReadCall { id: "a".to_owned(), realtime: true, refresh: false, policy };
        GetFlow::new("articles/0".parse().unwrap(), call, copies)
    }

    fn asked(moves: Vec<Move>) -> u16 {
        match moves.as_slice() {
            [Move::Ask { to, ask: Ask::Get { .. }, .. }] => to.number,
            other => panic!("expected one get, not {other:?}"),
        }
    }

    fn nothing() -> Move {
        let answer = GetAnswer { index: "articles".into(), id: "a".to_owned(), doc: None };
        Move::End(Ok(ApiAnswer::Got(answer)))
    }

    #[test]
    fn failed_copy_is_followed_by_the_next() {
        let (mut flow, state) = (flow(&[2, 1], ReadPolicy::Any), ClusterState::default());
        assert_eq!(asked(flow.begin(&state)), 2);
        assert_eq!(asked(flow.heard(0, lost(false), &state)), 1);
        assert_eq!(flow.heard(0, Ok(Served::Got(None)), &state), [nothing()]);
    }

    #[test]
    fn only_what_is_asked_of_the_source_is_shown() {
        let shown = |filter| {
            let mut flow = flow(&[1], ReadPolicy::Any).showing(filter);
            flow.begin(&ClusterState::default());
            let (seq_no, term) = (crate::name::SeqNo(1), crate::name::Term(1));
            let doc = GotDoc { source: r#"{"a":1,"b":2}"#.into(), routing: None, seq_no, term, version: 1 };
            match flow.heard(0, Ok(Served::Got(Some(doc))), &ClusterState::default()).as_slice() {
                [Move::End(Ok(ApiAnswer::Got(answer)))] => answer.doc.clone().unwrap().source.to_string(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(shown(SourceFilter::paths(Vec::new(), vec!["b".to_owned()])), r#"{"a":1}"#);
        assert_eq!(shown(SourceFilter::off()), "");
    }

    #[test]
    fn get_without_any_copy_fails_at_once() {
        let (mut flow, state) = (flow(&[1], ReadPolicy::Any), ClusterState::default());
        flow.begin(&state);
        let moves = flow.heard(0, lost(false), &state);
        let [Move::End(Err(error))] = moves.as_slice() else { panic!("{moves:?}") };
        assert_eq!((error.status, &*error.kind), (503, "no_shard_available_action_exception"));
    }

    #[test]
    fn get_of_the_primary_follows_it() {
        let mut flow = flow(&[1, 2], ReadPolicy::Lease);
        let on = |version, node, other| {
            state(version, vec![table(vec![copy(node, 11, true, Started), copy(other, 12, false, Started)])])
        };
        assert_eq!(asked(flow.begin(&on(1, 2, 1))), 2);
        assert_eq!(flow.heard(0, lost(false), &on(1, 2, 1)), [Move::Wait]);
        assert_eq!(asked(flow.state_applied(&on(2, 1, 2))), 1);
        assert_eq!(flow.state_applied(&on(3, 2, 1)), [], "one try at a time");
        assert_eq!(asked(flow.heard(0, lost(true), &on(3, 2, 1))), 2);
        assert_eq!(flow.heard(0, Ok(Served::Got(None)), &on(3, 2, 1)), [nothing()]);
    }
}
