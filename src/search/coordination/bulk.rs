//! Bulks — decides how the items of a bulk request travel: each as the write that it is, in order. It never lets
//! one item wait for another.

use std::time::Duration;

use super::{
    Outcome,
    flow::{Ending, Flow, Move},
    write::WriteFlow,
};
use crate::{
    name::IndexName,
    search::{
        api::{ApiAnswer, ApiError, BulkAction, BulkAnswer, BulkItem, WriteAnswer},
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

    // What the write wants, as this part of the bulk.
    fn advance(&mut self, part: u32, moves: Vec<Move>) -> Vec<Move> {
        let mut wanted = Vec::new();
        for step in moves {
            match step {
                Move::Ask { to, ask, .. } => wanted.push(Move::Ask { to, part, ask }),
                // The call as a whole has its own time.
                Move::Patience(_) => {}
                Move::Wait => wanted.push(Move::Wait),
                Move::End(ending) => self.course = Course::Ended(written(ending)),
            }
        }
        wanted
    }
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
}

impl BulkFlow {
    /// Of these items.
    pub(super) fn new(items: Vec<Item>, timeout: Option<Duration>) -> Self {
        Self { items, timeout }
    }

    fn each(&mut self, mut act: impl FnMut(&mut WriteFlow) -> Vec<Move>) -> Vec<Move> {
        let mut moves = Vec::new();
        for (part, item) in (0..).zip(&mut self.items) {
            if let Course::Write(flow) = &mut item.course {
                let wanted = act(flow);
                moves.extend(item.advance(part, wanted));
            }
        }
        self.or_end(moves)
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
        let Some(item) = self.items.get_mut(part as usize) else { return Vec::new() };
        let Course::Write(flow) = &mut item.course else { return Vec::new() };
        let moves = flow.heard(0, outcome, state);
        let moves = item.advance(part, moves);
        self.or_end(moves)
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
        name::{SeqNo, Term},
        search::{
            api::WriteResult,
            coordination::{Ask, Served, flow::lost},
            fixture::{copy, state, table},
            shards::{WriteCall, Written},
        },
    };

    fn item(id: &str) -> Item {
        let call = WriteCall::delete(id);
        let flow = WriteFlow::new("articles/0".parse().unwrap(), call, None);
        Item::new(BulkAction::Delete, ("articles".into(), id.to_owned()), Ok(flow))
    }

    fn told(moves: &[Move]) -> Vec<(String, u16)> {
        let [Move::End(Ok(ApiAnswer::Bulk(answer)))] = moves else { panic!("{moves:?}") };
        let status = |item: &BulkItem| match &item.result {
            Ok(answer) => answer.status(),
            Err(error) => error.status,
        };
        answer.items.iter().map(|item| (item.id.clone(), status(item))).collect()
    }

    fn done() -> Outcome {
        let (result, seq_no, term, version) = (WriteResult::Deleted, SeqNo(0), Term(1), 2);
        Ok(Served::Written(Written { result, seq_no, term, version, copies: (1, 1), forced_refresh: false }))
    }

    #[test]
    fn each_item_ends_by_itself() {
        let bad =
            Item::new(BulkAction::Index, ("articles".into(), "c".to_owned()), Err(ApiError::illegal("no")));
        let mut flow = BulkFlow::new(vec![item("a"), item("b"), bad], None);
        let state = state(1, vec![table(vec![copy(1, 11, true, Started)])]);
        let asks = flow.begin(&state);
        let parts: Vec<_> = asks
            .iter()
            .map(|step| match step {
                Move::Ask { part, ask: Ask::Write { .. }, .. } => *part,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(parts, [0, 1]);
        assert_eq!(flow.heard(1, lost(false), &state), []);
        let end = flow.heard(0, done(), &state);
        let wanted = [("a", 200), ("b", 503), ("c", 400)].map(|(id, status)| (id.to_owned(), status));
        assert_eq!(told(&end), wanted);
    }

    #[test]
    fn items_that_do_not_end_in_time_are_told_so() {
        let mut flow = BulkFlow::new(vec![item("a"), item("b")], None);
        let state = state(1, vec![table(vec![copy(1, 11, true, Started)])]);
        flow.begin(&state);
        flow.heard(0, done(), &state);
        let end = [Move::End(flow.timed_out())];
        assert_eq!(told(&end), [("a".to_owned(), 200), ("b".to_owned(), 503)]);
    }
}
