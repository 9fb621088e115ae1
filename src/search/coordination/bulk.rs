//! Bulks — decides how the items of a bulk request travel: those of one shard together, in order, and each as the
//! write that it is. It never lets the outcome of one item speak for another.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Ask, Outcome, Served,
    flow::{Ending, Flow, Move},
    write::WriteFlow,
};
use crate::{
    name::{AllocationId, HostId, IndexName, ShardId, Term},
    search::{
        api::{ApiAnswer, ApiError, BulkAction, BulkAnswer, BulkItem, WriteAnswer},
        shards::WriteCall,
        state::ClusterState,
    },
};

/// An item under way, or ended.
#[derive(Debug)]
pub(super) struct Item {
    action: BulkAction,
    index: IndexName,
    id: String,
    course: Course,
}

#[derive(Debug)]
enum Course {
    Write(Box<WriteFlow>),
    Ended(Result<WriteAnswer, ApiError>),
}

impl Item {
    /// An item that begins as this write, or fails at once.
    pub(super) fn new(
        action: BulkAction,
        (index, id): (IndexName, String),
        write: Result<WriteFlow, ApiError>,
    ) -> Self {
        let course = match write {
            Ok(flow) => Course::Write(Box::new(flow)),
            Err(error) => Course::Ended(Err(error)),
        };
        Self { action, index, id, course }
    }

    // What the write wants, as the item of this place.
    fn advance(&mut self, place: usize, moves: Vec<Move>, asks: &mut Vec<(usize, Wanted)>) -> Vec<Move> {
        let mut rest = Vec::new();
        for step in moves {
            match step {
                Move::Ask { to, ask: Ask::Write { shard, allocation, term, call }, .. } => {
                    asks.push((place, Wanted { to: (to, shard, allocation, term), call }));
                }
                Move::Ask { ask, .. } => panic!("a write asks for a write, not for {ask:?}"),
                // The call as a whole has its own time.
                Move::Patience(_) => {}
                Move::Wait => rest.push(Move::Wait),
                Move::End(ending) => self.course = Course::Ended(written(ending)),
            }
        }
        rest
    }
}

/// A write and the primary that it is for.
struct Wanted {
    to: (HostId, ShardId, AllocationId, Term),
    call: WriteCall,
}

fn written(ending: Ending) -> Result<WriteAnswer, ApiError> {
    match ending? {
        ApiAnswer::Written(answer) => Ok(answer),
        other => panic!("a write ends as one, not as {other:?}"),
    }
}

/// The course of a bulk request.
#[derive(Debug)]
pub(super) struct BulkFlow {
    items: Vec<Item>,
    timeout: Option<Duration>,
    /// What is asked of one primary together: the places of the items.
    groups: BTreeMap<u32, Vec<usize>>,
    next: u32,
}

impl BulkFlow {
    /// Of these items.
    pub(super) fn new(items: Vec<Item>, timeout: Option<Duration>) -> Self {
        Self { items, timeout, groups: BTreeMap::new(), next: 0 }
    }

    fn each(&mut self, mut act: impl FnMut(&mut WriteFlow) -> Vec<Move>) -> Vec<Move> {
        self.every(0..self.items.len(), |_, flow| act(flow))
    }

    fn every(
        &mut self,
        places: impl Iterator<Item = usize>,
        mut act: impl FnMut(usize, &mut WriteFlow) -> Vec<Move>,
    ) -> Vec<Move> {
        let (mut moves, mut asks) = (Vec::new(), Vec::new());
        for place in places {
            let Some(item) = self.items.get_mut(place) else { continue };
            if let Course::Write(flow) = &mut item.course {
                let wanted = act(place, flow);
                moves.extend(item.advance(place, wanted, &mut asks));
            }
        }
        moves.extend(self.group(asks));
        self.or_end(moves)
    }

    /// One request a shard (`TransportBulkAction`).
    fn group(&mut self, asks: Vec<(usize, Wanted)>) -> Vec<Move> {
        let mut groups: BTreeMap<_, (Vec<usize>, Vec<WriteCall>)> = BTreeMap::new();
        for (place, Wanted { to, call }) in asks {
            let (places, calls) = groups.entry(to).or_default();
            places.push(place);
            calls.push(call);
        }
        let ask = |((to, shard, allocation, term), (places, calls))| {
            let part = self.next;
            self.next += 1;
            self.groups.insert(part, places);
            Move::Ask { to, part, ask: Ask::Bulk { shard, allocation, term, calls } }
        };
        groups.into_iter().map(ask).collect()
    }

    fn or_end(&self, moves: Vec<Move>) -> Vec<Move> {
        let over = self.items.iter().all(|item| matches!(item.course, Course::Ended(_)));
        if over { vec![Move::End(Ok(self.answer()))] } else { moves }
    }

    fn answer(&self) -> ApiAnswer {
        let ended = self.items.iter().filter_map(|item| match &item.course {
            Course::Ended(result) => {
                let (index, id) = (item.index.clone(), item.id.clone());
                Some(BulkItem { action: item.action, index, id, result: result.clone() })
            }
            Course::Write(_) => None,
        });
        ApiAnswer::Bulk(BulkAnswer { items: ended.collect() })
    }
}

impl Flow for BulkFlow {
    fn begin(&mut self, state: &ClusterState) -> Vec<Move> {
        self.each(|flow| flow.begin(state))
    }

    fn heard(&mut self, part: u32, outcome: Outcome, state: &ClusterState) -> Vec<Move> {
        let Some(places) = self.groups.remove(&part) else { return Vec::new() };
        let count = places.len();
        let mut outcomes: BTreeMap<usize, Outcome> = match outcome {
            Ok(Served::Bulk(results)) if results.len() == count => {
                let results = results.into_iter().map(|result| result.map(Served::Written));
                places.iter().copied().zip(results).collect()
            }
            other => places.iter().map(|place| (*place, other.clone())).collect(),
        };
        self.every(places.into_iter(), |place, flow| match outcomes.remove(&place) {
            Some(outcome) => flow.heard(0, outcome, state),
            None => Vec::new(),
        })
    }

    fn state_applied(&mut self, state: &ClusterState) -> Vec<Move> {
        self.each(|flow| flow.state_applied(state))
    }

    fn patience(&self) -> Option<Duration> {
        self.timeout
    }

    fn timed_out(&mut self) -> Ending {
        self.each(|flow| vec![Move::End(flow.timed_out())]);
        Ok(self.answer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::CopyState::Started,
        name::SeqNo,
        search::{
            api::WriteResult,
            coordination::flow::lost,
            fixture::{copy, state, table},
            shards::{ShardRefusal, Written},
        },
    };

    fn item(id: &str, shard: &str) -> Item {
        let call = WriteCall::delete(id);
        let flow = WriteFlow::new(shard.parse().unwrap(), call, None);
        Item::new(BulkAction::Delete, ("articles".into(), id.to_owned()), Ok(flow))
    }

    fn two_shards() -> ClusterState {
        let on = |node, allocation| table(vec![copy(node, allocation, true, Started)]);
        state(1, vec![on(1, 11), on(2, 12)])
    }

    fn told(moves: &[Move]) -> Vec<(String, u16)> {
        let [Move::End(Ok(ApiAnswer::Bulk(answer)))] = moves else { panic!("{moves:?}") };
        let status = |item: &BulkItem| match &item.result {
            Ok(answer) => answer.status(),
            Err(error) => error.status,
        };
        answer.items.iter().map(|item| (item.id.clone(), status(item))).collect()
    }

    fn done() -> Result<Written, ShardRefusal> {
        let (result, seq_no, term, version) = (WriteResult::Deleted, SeqNo(0), Term(1), 2);
        Ok(Written { result, seq_no, term, version, copies: (1, 1), forced_refresh: false })
    }

    /// The parts that are asked, and the ids that each is about.
    fn asked(moves: &[Move]) -> Vec<(u32, Vec<String>)> {
        let one = |step: &Move| match step {
            Move::Ask { part, ask: Ask::Bulk { calls, .. }, .. } => {
                (*part, calls.iter().map(|call| call.id.clone()).collect())
            }
            other => panic!("{other:?}"),
        };
        moves.iter().map(one).collect()
    }

    #[test]
    fn items_of_one_shard_travel_together_and_end_by_themselves() {
        let bad =
            Item::new(BulkAction::Index, ("articles".into(), "d".to_owned()), Err(ApiError::illegal("no")));
        let items = vec![item("a", "articles/0"), item("b", "articles/1"), item("c", "articles/0"), bad];
        let (mut flow, state) = (BulkFlow::new(items, None), two_shards());
        let asks = flow.begin(&state);
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(asked(&asks), [(0, ids(&["a", "c"])), (1, ids(&["b"]))]);
        assert_eq!(flow.heard(1, lost(false), &state), []);
        let conflict = ApiError::new(409, "version_conflict_engine_exception", "no");
        let results = vec![done(), Err(ShardRefusal::Error(conflict))];
        let end = flow.heard(0, Ok(Served::Bulk(results)), &state);
        let wanted = [("a", 200), ("b", 503), ("c", 409), ("d", 400)];
        assert_eq!(told(&end), wanted.map(|(id, status)| (id.to_owned(), status)));
    }

    #[test]
    fn items_that_were_not_begun_go_to_the_new_primary() {
        let (mut flow, old) =
            (BulkFlow::new(vec![item("a", "articles/0"), item("b", "articles/0")], None), two_shards());
        flow.begin(&old);
        let refused = Err(ShardRefusal::NotHere { certain: true });
        assert_eq!(flow.heard(0, Ok(Served::Bulk(vec![done(), refused])), &old), [Move::Wait]);
        let new = state(2, vec![table(vec![copy(3, 13, true, Started)]); 2]);
        assert_eq!(asked(&flow.state_applied(&new)), [(1, vec!["b".to_owned()])]);
    }

    #[test]
    fn items_that_do_not_end_in_time_are_told_so() {
        let items = vec![item("a", "articles/0"), item("b", "articles/1")];
        let (mut flow, state) = (BulkFlow::new(items, None), two_shards());
        flow.begin(&state);
        flow.heard(0, Ok(Served::Bulk(vec![done()])), &state);
        let end = [Move::End(flow.timed_out())];
        assert_eq!(told(&end), [("a".to_owned(), 200), ("b".to_owned(), 503)]);
    }
}
