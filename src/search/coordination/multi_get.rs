//! Multi-gets — decides how the gets of one request travel: each as the get that it is. It never lets one wait for
//! another.
//!
//! Elasticsearch sends those of one shard together (`TransportShardMultiGetAction`); what they show is no more of
//! one moment there than here.

use super::{
    Outcome,
    flow::{Ending, Flow, Move},
    get::GetFlow,
};
use crate::{
    name::IndexName,
    search::{
        api::{ApiAnswer, ApiError, FailedGet, GetAnswer, MultiGetAnswer},
        state::ClusterState,
    },
};

/// A get under way, or ended.
#[derive(Debug)]
enum Course {
    Get(Box<GetFlow>),
    Ended(Result<GetAnswer, FailedGet>),
}

/// The course of a multi-get.
#[derive(Debug)]
pub(super) struct MultiGetFlow {
    items: Vec<((IndexName, String), Course)>,
}

impl MultiGetFlow {
    /// Of these gets, some of which may have failed at once.
    pub(super) fn new(items: Vec<((IndexName, String), Result<GetFlow, ApiError>)>) -> Self {
        let course = |((index, id), get): ((IndexName, String), Result<GetFlow, ApiError>)| {
            let course = match get {
                Ok(flow) => Course::Get(Box::new(flow)),
                Err(error) => Course::Ended(Err(FailedGet { index: index.clone(), id: id.clone(), error })),
            };
            ((index, id), course)
        };
        Self { items: items.into_iter().map(course).collect() }
    }

    fn each(&mut self, mut act: impl FnMut(&mut GetFlow) -> Vec<Move>) -> Vec<Move> {
        let parts = 0..self.items.len();
        let moves = parts.flat_map(|part| self.advance(part, &mut act)).collect();
        self.or_end(moves)
    }

    fn advance(&mut self, part: usize, act: &mut impl FnMut(&mut GetFlow) -> Vec<Move>) -> Vec<Move> {
        let Some((names, course)) = self.items.get_mut(part) else { return Vec::new() };
        let Course::Get(flow) = course else { return Vec::new() };
        let mut wanted = Vec::new();
        for step in act(flow) {
            match step {
                Move::Ask { to, ask, .. } => wanted.push(Move::Ask { to, part: part as u32, ask }),
                Move::Wait => wanted.push(Move::Wait),
                Move::Patience(_) => {}
                Move::End(ending) => *course = Course::Ended(got(names, ending)),
            }
        }
        wanted
    }

    fn or_end(&self, moves: Vec<Move>) -> Vec<Move> {
        let ended = self.items.iter().map(|(_, course)| match course {
            Course::Ended(result) => Some(result.clone()),
            Course::Get(_) => None,
        });
        match ended.collect() {
            Some(items) => vec![Move::End(Ok(ApiAnswer::GotSeveral(MultiGetAnswer { items })))],
            None => moves,
        }
    }
}

fn got((index, id): &(IndexName, String), ending: Ending) -> Result<GetAnswer, FailedGet> {
    match ending {
        Ok(ApiAnswer::Got(answer)) => Ok(answer),
        Ok(other) => panic!("a get ends as one, not as {other:?}"),
        Err(error) => Err(FailedGet { index: index.clone(), id: id.clone(), error }),
    }
}

impl Flow for MultiGetFlow {
    fn begin(&mut self, state: &ClusterState) -> Vec<Move> {
        self.each(|flow| flow.begin(state))
    }

    fn heard(&mut self, part: u32, outcome: Outcome, state: &ClusterState) -> Vec<Move> {
        let mut outcome = Some(outcome);
        let mut act =
            |flow: &mut GetFlow| outcome.take().map_or(Vec::new(), |outcome| flow.heard(0, outcome, state));
        let moves = self.advance(part as usize, &mut act);
        self.or_end(moves)
    }

    fn state_applied(&mut self, state: &ClusterState) -> Vec<Move> {
        self.each(|flow| flow.state_applied(state))
    }

    fn timed_out(&mut self) -> Ending {
        match self.each(|flow| vec![Move::End(flow.timed_out())]).pop() {
            Some(Move::End(ending)) => ending,
            other => panic!("every get has ended, so the request has, not {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::HostId,
        scenario::plan::ReadPolicy,
        search::{
            coordination::{Served, flow::lost},
            shards::ReadCall,
        },
    };

    fn get(id: &str) -> ((IndexName, String), Result<GetFlow, ApiError>) {
        let call = ReadCall { id: id.to_owned(), realtime: true, refresh: false, policy: ReadPolicy::Any };
        let flow = GetFlow::new("articles/0".parse().unwrap(), call, [HostId::search(1)].into());
        (("articles".into(), id.to_owned()), Ok(flow))
    }

    fn told(moves: &[Move]) -> Vec<Result<bool, u16>> {
        let [Move::End(Ok(ApiAnswer::GotSeveral(answer)))] = moves else { panic!("{moves:?}") };
        let item = |item: &Result<GetAnswer, FailedGet>| match item {
            Ok(answer) => Ok(answer.doc.is_some()),
            Err(failed) => Err(failed.error.status),
        };
        answer.items.iter().map(item).collect()
    }

    #[test]
    fn each_get_ends_by_itself() {
        let bad = (("books".into(), "c".to_owned()), Err(ApiError::illegal("no")));
        let mut flow = MultiGetFlow::new(vec![get("a"), bad, get("b")]);
        let state = ClusterState::default();
        let asks = flow.begin(&state);
        assert!(
            matches!(asks.as_slice(), [Move::Ask { part: 0, .. }, Move::Ask { part: 2, .. }]),
            "{asks:?}"
        );
        assert_eq!(flow.heard(2, Ok(Served::Got(None)), &state), []);
        assert_eq!(told(&flow.heard(0, lost(false), &state)), [Err(503), Err(400), Ok(false)]);
    }

    #[test]
    fn gets_that_do_not_end_in_time_are_told_so() {
        let mut flow = MultiGetFlow::new(vec![get("a"), get("b")]);
        flow.begin(&ClusterState::default());
        flow.heard(0, Ok(Served::Got(None)), &ClusterState::default());
        assert_eq!(told(&[Move::End(flow.timed_out())]), [Ok(false), Err(503)]);
    }
}
