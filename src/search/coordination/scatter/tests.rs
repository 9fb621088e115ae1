//! Tests of searches' courses.

use super::*;
use crate::{
    event::ShardSeen,
    name::{AllocationId, SeqNo},
    search::{
        api::SearchAnswer,
        coordination::flow::lost,
        engine::{Found, Ranked},
        query,
        shards::FetchedDoc,
    },
};

/// A search of these shards, each on these nodes.
fn flow_of(body: &str, shards: &[&[u16]], change: impl FnOnce(&mut SearchPlan)) -> SearchFlow {
    let mut plan = SearchPlan {
        index: "articles".into(),
        body: Arc::new(query::read(body).unwrap()),
        search_type: SearchType::QueryThenFetch,
        allow_partial: true,
        concurrent: 5,
        batch: 512,
        timeout: None,
    };
    change(&mut plan);
    let nodes = |shard: &&[u16]| shard.iter().copied().map(HostId::search).collect();
    SearchFlow::new(plan, (0..).zip(shards.iter().map(nodes)).collect())
}

fn flow(shards: &[&[u16]]) -> SearchFlow {
    flow_of("", shards, |_| {})
}

fn begin(flow: &mut SearchFlow) -> Vec<String> {
    told(&flow.begin(&ClusterState::default()))
}

/// The moves in words: `query 0 of 1` asks node 1 for shard 0.
fn told(moves: &[Move]) -> Vec<String> {
    let tell = |step: &Move| match step {
        Move::Ask { to, part, ask: Ask::Search { ask, .. } } => {
            format!("{} {part} of {}", ask.label(), to.number)
        }
        other => panic!("expected a search, not {other:?}"),
    };
    moves.iter().map(tell).collect()
}

fn heard(flow: &mut SearchFlow, part: u32, outcome: Outcome) -> Vec<Move> {
    flow.heard(part, outcome, &ClusterState::default())
}

/// What shard `part` finds: so many documents, and hits of these scores; its reader is 100 + `part`.
fn hits(part: u32, total: u64, scores: &[f32]) -> Outcome {
    let ranked = |(doc, score): (u32, &f32)| Ranked { segment: 1, doc, score: *score, sort: Vec::new() };
    let best: Vec<_> = (0..).zip(scores).map(ranked).collect();
    let max_score = scores.iter().copied().reduce(f32::max);
    let found = Found { total, max_score, best, ..Found::default() };
    let (allocation, up_to) = (AllocationId(1), SeqNo(9));
    let seen = ShardSeen { shard: part, allocation, up_to, max_seq_no: up_to, total };
    let context = (!scores.is_empty()).then_some(100 + u64::from(part));
    let found = ShardFound { found, context, docs: Vec::new(), seen, queue: 0 };
    Ok(Served::Searched(SearchServed::Found(Box::new(found))))
}

fn docs(ids: &[&str]) -> Outcome {
    let doc = |id: &&str| FetchedDoc { id: (*id).to_owned(), source: Some("{}".into()), routing: None };
    Ok(Served::Searched(SearchServed::Fetched(ids.iter().map(doc).collect())))
}

fn answer(moves: &[Move]) -> &SearchAnswer {
    let Some(Move::End(Ok(ApiAnswer::Found(answer)))) = moves.last() else {
        panic!("expected an answer, not {moves:?}")
    };
    answer
}

/// Shards asked and answered, the total and the ids.
fn found(moves: &[Move]) -> (u32, u32, u64, String) {
    let answer = answer(moves);
    let ids: Vec<&str> = answer.hits.iter().map(|hit| hit.id.as_str()).collect();
    (answer.shards_total, answer.shards_successful, answer.total.unwrap().value, ids.join(" "))
}

fn failed(moves: &[Move]) -> (u16, String) {
    let Some(Move::End(Err(error))) = moves.last() else { panic!("{moves:?}") };
    assert_eq!(&*error.kind, "search_phase_execution_exception");
    (error.status, error.reason.clone())
}

#[test]
fn winners_are_fetched_and_come_by_score_then_shard_then_place() {
    let mut flow = flow_of(r#"{"size":4}"#, &[&[1], &[2], &[3]], |_| {});
    assert_eq!(begin(&mut flow), ["query 0 of 1", "query 1 of 2", "query 2 of 3"]);
    heard(&mut flow, 1, hits(1, 3, &[2.0, 1.0, 0.5]));
    heard(&mut flow, 2, hits(2, 1, &[0.1]));
    let moves = heard(&mut flow, 0, hits(0, 2, &[1.0, 1.0]));
    assert_eq!(told(&moves), ["fetch 0 of 1", "fetch 1 of 2"]);
    assert_eq!(heard(&mut flow, 1, docs(&["top", "a"])), []);
    let end = heard(&mut flow, 0, docs(&["b", "c"]));
    assert_eq!(told(&end[..1]), ["free-context 2 of 3"], "nobody fetches from shard 2");
    assert_eq!(found(&end), (3, 3, 6, "top b c a".to_owned()));
    assert_eq!(answer(&end).max_score, Some(2.0));
}

#[test]
fn batches_change_nothing() {
    let scores: [&[f32]; 4] = [&[1.0, 0.5], &[1.0, 0.25], &[3.0], &[1.0, 0.5]];
    let run = |batch, order: [u32; 4]| {
        let mut flow = flow_of(r#"{"size":3}"#, &[&[1], &[1], &[1], &[1]], |plan| plan.batch = batch);
        begin(&mut flow);
        for part in order {
            heard(&mut flow, part, hits(part, 2, scores[part as usize]));
        }
        flow.winners.iter().map(|winner| (winner.shard, winner.ranked.doc)).collect::<Vec<_>>()
    };
    let wanted = [(2, 0), (0, 0), (1, 0)];
    assert_eq!(run(512, [0, 1, 2, 3]), wanted);
    assert_eq!(run(2, [3, 2, 1, 0]), wanted);
}

#[test]
fn search_of_one_shard_takes_one_round() {
    let mut flow = flow(&[&[1]]);
    begin(&mut flow);
    let Ok(Served::Searched(SearchServed::Found(mut found_there))) = hits(0, 1, &[1.0]) else { panic!() };
    found_there.context = None;
    found_there.docs = vec![FetchedDoc { id: "a".into(), source: None, routing: None }];
    let end = heard(&mut flow, 0, Ok(Served::Searched(SearchServed::Found(found_there))));
    assert_eq!((end.len(), found(&end)), (1, (1, 1, 1, "a".to_owned())));
}

#[test]
fn failed_copy_is_followed_by_the_next() {
    let mut flow = flow(&[&[1, 2], &[2]]);
    begin(&mut flow);
    assert_eq!(told(&heard(&mut flow, 0, lost(false))), ["query 0 of 2"]);
    heard(&mut flow, 1, hits(1, 0, &[]));
    heard(&mut flow, 0, hits(0, 1, &[1.0]));
    assert_eq!(found(&heard(&mut flow, 0, docs(&["a"]))), (2, 2, 1, "a".to_owned()));
}

#[test]
fn shard_without_copies_makes_results_partial() {
    let mut flow = flow(&[&[], &[2]]);
    assert_eq!(begin(&mut flow), ["query 1 of 2"]);
    heard(&mut flow, 1, hits(1, 1, &[1.0]));
    let end = heard(&mut flow, 1, docs(&["a"]));
    assert_eq!(found(&end), (2, 1, 1, "a".to_owned()));
    let failure = &answer(&end).failures[0];
    assert_eq!((failure.shard, failure.kind.as_str()), (0, "no_shard_available_action_exception"));
}

#[test]
fn copy_lost_between_the_rounds_makes_results_partial() {
    let mut flow = flow(&[&[1, 3], &[2]]);
    begin(&mut flow);
    heard(&mut flow, 0, hits(0, 1, &[2.0]));
    heard(&mut flow, 1, hits(1, 1, &[1.0]));
    assert_eq!(heard(&mut flow, 0, lost(false)), [], "no other copy has that reader");
    let end = heard(&mut flow, 1, docs(&["b"]));
    assert_eq!(found(&end), (2, 1, 2, "b".to_owned()));
    assert_eq!(answer(&end).failures[0].kind, "node_disconnected_exception");
}

#[test]
fn partial_results_can_be_refused() {
    let mut flow = flow_of("", &[&[1], &[]], |plan| plan.allow_partial = false);
    begin(&mut flow);
    let end = heard(&mut flow, 0, hits(0, 1, &[1.0]));
    assert_eq!(told(&end[..1]), ["free-context 0 of 1"]);
    assert_eq!(failed(&end), (503, "Partial shards failure".to_owned()));
}

#[test]
fn search_without_any_shard_fails() {
    let mut flow = flow(&[&[1], &[]]);
    begin(&mut flow);
    assert_eq!(failed(&heard(&mut flow, 0, lost(false))), (503, "all shards failed".to_owned()));
}

#[test]
fn request_that_every_shard_refuses_is_the_clients_fault() {
    let mut flow = flow(&[&[1]]);
    begin(&mut flow);
    let refusal = ShardRefusal::Error(ApiError::illegal("Text fields are not optimised"));
    assert_eq!(failed(&heard(&mut flow, 0, Err(refusal))), (400, "all shards failed".to_owned()));
}

#[test]
fn own_time_limit_gives_what_has_come_so_far() {
    let mut flow = flow(&[&[1], &[2]]);
    begin(&mut flow);
    heard(&mut flow, 1, hits(1, 1, &[1.0]));
    assert_eq!(told(&flow.hurry()), ["fetch 1 of 2"]);
    assert_eq!(heard(&mut flow, 0, hits(0, 5, &[9.0])), [], "too late");
    let end = heard(&mut flow, 1, docs(&["a"]));
    assert_eq!(found(&end), (2, 1, 1, "a".to_owned()));
    assert!(answer(&end).timed_out);
}

#[test]
fn found_and_not_fetched_in_time_is_a_failed_shard() {
    let mut flow = flow(&[&[1], &[2], &[3]]);
    begin(&mut flow);
    heard(&mut flow, 1, hits(1, 1, &[1.0]));
    heard(&mut flow, 2, hits(2, 0, &[]));
    let end = [Move::End(flow.timed_out())];
    assert_eq!(found(&end), (3, 1, 1, String::new()));
    assert!(answer(&end).timed_out);
    assert_eq!(flow_limit(Some(Duration::from_secs(9))), Duration::from_secs(6), "time is left to fetch");
    assert_eq!(flow_limit(Some(Duration::from_secs(2))), Duration::from_secs(2));
}

fn flow_limit(timeout: Option<Duration>) -> Duration {
    flow_of("", &[&[1]], |plan| plan.timeout = timeout).time_limit(Duration::from_secs(8)).unwrap()
}

#[test]
fn few_shards_of_a_node_are_asked_at_once() {
    let mut flow = flow_of("", &[&[1], &[1], &[1], &[2]], |plan| plan.concurrent = 2);
    assert_eq!(begin(&mut flow), ["query 0 of 1", "query 1 of 1", "query 3 of 2"]);
    assert_eq!(told(&heard(&mut flow, 1, hits(1, 0, &[]))), ["query 2 of 1"]);
    assert_eq!(heard(&mut flow, 0, hits(0, 0, &[])), []);
}

/// Shards that are late keep nobody from fetching what others have found.
#[test]
fn shards_that_were_given_up_leave_room_for_fetches() {
    let mut flow = flow_of("", &[&[1], &[1], &[1]], |plan| plan.concurrent = 2);
    begin(&mut flow);
    assert_eq!(told(&heard(&mut flow, 0, hits(0, 1, &[1.0]))), ["query 2 of 1"]);
    assert_eq!(told(&flow.hurry()), ["fetch 0 of 1"], "two queries go on");
}

#[test]
fn figures_of_all_shards_are_collected_first() {
    let dfs = |plan: &mut SearchPlan| plan.search_type = SearchType::DfsQueryThenFetch;
    let mut flow = flow_of("", &[&[1, 3], &[2]], dfs);
    assert_eq!(begin(&mut flow), ["dfs 0 of 1", "dfs 1 of 2"]);
    let figures = |docs| {
        let statistics =
            Statistics { docs: [(("body".into(), "a".into()), docs)].into(), ..Statistics::default() };
        Ok(Served::Searched(SearchServed::Statistics(statistics)))
    };
    heard(&mut flow, 0, figures(2));
    let moves = heard(&mut flow, 1, figures(3));
    assert_eq!(told(&moves), ["query 0 of 1", "query 1 of 2"]);
    let Move::Ask { ask: Ask::Search { ask: SearchAsk::Query { statistics: Some(all), .. }, .. }, .. } =
        &moves[0]
    else {
        panic!("{moves:?}")
    };
    assert_eq!(all.docs.values().sum::<u64>(), 5);
}

#[test]
fn search_of_no_shard_finds_nothing() {
    let end = flow(&[]).begin(&ClusterState::default());
    assert_eq!(found(&end), (0, 0, 0, String::new()));
}
