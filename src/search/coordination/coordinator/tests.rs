//! Coordinator tests — requests through a coordinator whose shards and peers are played by hand. They never
//! reach a real shard.

use std::sync::Arc;

use super::*;
use crate::{
    core::{CloseReason, Effect, Now, Output},
    event::CopyState::{Initializing, Started},
    name::{SeqNo, Term},
    search::{
        administration::AdminTask,
        api::{
            ApiAnswer, ApiCall, ApiError, CreateIndexRequest, DeleteRequest, GetAnswer, GetRequest,
            WriteResult, admin::IndexCreated,
        },
        coordination::Served,
        fixture::{copy, state, table},
        petitions::Wanted,
        shards::{ShardRefusal, Written},
        state::{ClusterState, ShardTable},
        transport::Links,
    },
};

const LIFE: u64 = 77;
const CLIENT: ConnId = ConnId(1);
const SECOND: u64 = 1_000_000_000;

/// A coordinator on search-1 whose requests end after 8 s, and what it said since last asked.
struct Bench {
    coordinator: Coordinator,
    links: Links,
    state: Arc<ClusterState>,
    now: u64,
    out: Output<Message>,
}

impl Bench {
    fn new(shards: Vec<ShardTable>) -> Self {
        Self {
            coordinator: Coordinator::new(Duration::from_secs(8), LIFE, 0, ReadPolicy::Any),
            links: Links::default(),
            state: Arc::new(state(1, shards)),
            now: 0,
            out: Output::new(10),
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut Coordinator, &mut Ctx<'_>, View<'_>)) {
        let now = Now { mono: Instant(self.now * SECOND), wall_ms: 0 };
        let me = HostId::search(1);
        let mut ctx = Ctx { now, me, out: &mut self.out, links: &mut self.links };
        let view = View { state: Some(&self.state), connected: true, leased: true };
        act(&mut self.coordinator, &mut ctx, view);
        for lost in ctx.links.take_lost() {
            self.coordinator.peer_lost(&mut ctx, view, lost);
        }
    }

    fn request(&mut self, call: ApiCall) {
        self.act(|it, ctx, view| it.request(ctx, view, CLIENT, ApiRequest { id: 5, call }));
    }

    fn answer(&mut self, from: u16, ticket: Ticket, outcome: Outcome) {
        let from = HostId::search(from);
        self.act(|it, ctx, view| it.answered(ctx, view, from, ticket, outcome));
    }

    fn apply(&mut self, version: u64, shards: Vec<ShardTable>) {
        self.state = Arc::new(state(version, shards));
        self.act(|it, ctx, view| it.state_applied(ctx, view));
    }

    /// Moves on to the next wake, to see it at this second.
    fn wake_at(&mut self, second: u64) {
        assert_eq!(self.coordinator.next_wake(), Some(Instant(second * SECOND)));
        self.now = second;
        self.act(|it, ctx, view| it.wake(ctx, view));
    }

    /// What the coordinator did since last asked, a word each.
    fn did(&mut self) -> String {
        let word = |effect: Effect<Message>| match effect {
            Effect::Dial { to, .. } => format!("dial:{}", to.host),
            Effect::Send { message, .. } => message.label().into_owned(),
            Effect::Close { .. } => "close".to_owned(),
            other => panic!("{other:?}"),
        };
        let words: Vec<String> = self.out.drain().map(word).collect();
        words.join(" ")
    }

    fn ticket(&mut self) -> Ticket {
        let mut tickets = self.out.effects().iter().filter_map(|effect| match effect {
            Effect::Send {
                message: Message::Transport(Transport::Coordination(CoordinationMessage::Ask { ticket, .. })),
                ..
            } => Some(*ticket),
            _ => None,
        });
        tickets.next_back().expect("something was asked")
    }

    fn reply(&mut self) -> Result<ApiAnswer, ApiError> {
        let replies: Vec<_> = self.out.drain().collect();
        match replies.as_slice() {
            [Effect::Send { conn: CLIENT, message: Message::Reply(ApiReply { id: 5, result }) }] => {
                result.clone()
            }
            other => panic!("expected one reply, not {other:?}"),
        }
    }

    fn error(&mut self) -> (String, bool) {
        let error = self.reply().unwrap_err();
        (error.kind.into_owned(), error.certain)
    }

    fn idle(&self) -> bool {
        self.coordinator.next_wake().is_none() && self.coordinator.requests.is_empty()
    }
}

fn delete() -> ApiCall {
    ApiCall::Delete(DeleteRequest::new("articles".into(), "a"))
}

fn get() -> ApiCall {
    ApiCall::Get(GetRequest::new("articles".into(), "a"))
}

fn primary_on(node: u16) -> Vec<ShardTable> {
    vec![table(vec![copy(node, u64::from(node), true, Started)])]
}

fn written() -> Outcome {
    let result = WriteResult::Deleted;
    let (seq_no, term, version) = (SeqNo(0), Term(1), 1);
    Ok(Served::Written(Written { result, seq_no, term, version, copies: (1, 1), forced_refresh: false }))
}

#[test]
fn write_is_routed_and_its_answer_goes_to_the_client() {
    let mut bench = Bench::new(primary_on(2));
    bench.request(delete());
    let ticket = bench.ticket();
    assert_eq!(bench.did(), "dial:search-2 delete");
    bench.answer(2, ticket, written());
    assert!(bench.reply().is_ok());
    assert!(bench.idle(), "nothing is left to wait for");
    bench.answer(2, ticket, written());
    assert_eq!(bench.did(), "", "an answer counts once");
}

#[test]
fn answer_to_an_earlier_life_counts_for_nothing() {
    let mut bench = Bench::new(primary_on(2));
    bench.request(delete());
    let ticket = bench.ticket();
    bench.did();
    bench.answer(2, Ticket { life: LIFE + 1, ..ticket }, written());
    bench.answer(3, ticket, written());
    assert_eq!(bench.did(), "");
}

#[test]
fn refused_dial_is_followed_by_the_next_primary() {
    let mut bench = Bench::new(primary_on(2));
    bench.request(delete());
    bench.did();
    bench.act(|_, ctx, _| ctx.links.closed(ConnId(10), CloseReason::Refused, ctx.out));
    assert_eq!(bench.did(), "");
    bench.apply(2, primary_on(3));
    assert_eq!(bench.did(), "dial:search-3 delete");
}

#[test]
fn connection_lost_with_a_write_under_way_leaves_it_unclear() {
    let mut bench = Bench::new(primary_on(2));
    bench.request(delete());
    bench.did();
    bench.act(|_, ctx, _| ctx.links.connected(ConnId(10)));
    bench.act(|_, ctx, _| ctx.links.closed(ConnId(10), CloseReason::Reset, ctx.out));
    assert_eq!(bench.error(), ("unavailable_shards_exception".to_owned(), false));
    assert!(bench.idle());
}

#[test]
fn write_without_primary_fails_for_certain_when_its_time_is_up() {
    let mut bench = Bench::new(vec![table(vec![copy(2, 2, true, Initializing)])]);
    bench.request(delete());
    bench.wake_at(4);
    assert_eq!(bench.did(), "");
    bench.wake_at(8);
    assert_eq!(bench.error(), ("unavailable_shards_exception".to_owned(), true));
    assert!(bench.idle());
}

#[test]
fn waiting_write_is_tried_once_more_at_half_time() {
    let mut bench = Bench::new(primary_on(2));
    bench.request(delete());
    bench.act(|_, ctx, _| ctx.links.closed(ConnId(10), CloseReason::Refused, ctx.out));
    bench.did();
    bench.wake_at(4);
    assert_eq!(bench.did(), "dial:search-2 delete");
    bench.act(|_, ctx, _| ctx.links.closed(ConnId(12), CloseReason::Refused, ctx.out));
    bench.wake_at(8);
    assert_eq!(bench.error(), ("unavailable_shards_exception".to_owned(), true));
}

#[test]
fn lost_peer_of_a_read_is_followed_by_the_next_copy() {
    let mut bench = Bench::new(vec![table(vec![copy(2, 2, true, Started), copy(3, 3, false, Started)])]);
    bench.request(get());
    assert_eq!(bench.did(), "dial:search-2 get");
    bench.act(|_, ctx, _| ctx.links.drop_peer(HostId::search(2), ctx.out));
    assert_eq!(bench.did(), "close dial:search-3 get");
}

#[test]
fn write_that_is_not_answered_in_time_is_unclear() {
    let mut bench = Bench::new(primary_on(2));
    bench.request(delete());
    bench.did();
    bench.wake_at(8);
    assert_eq!(bench.error(), ("timeout_exception".to_owned(), false));
}

#[test]
fn refusal_by_a_deposed_primary_waits_for_the_state_that_deposed_it() {
    let mut bench = Bench::new(primary_on(2));
    bench.request(delete());
    let ticket = bench.ticket();
    bench.did();
    bench.answer(2, ticket, Err(ShardRefusal::NotHere { certain: true }));
    assert_eq!(bench.did(), "");
    bench.apply(2, primary_on(3));
    assert_eq!(bench.did(), "dial:search-3 delete");
}

#[test]
fn copy_on_this_node_is_asked_without_a_connection() {
    let mut bench = Bench::new(primary_on(1));
    bench.request(get());
    assert_eq!(bench.did(), "");
    let local = bench.links.take_local();
    let [Transport::Coordination(CoordinationMessage::Ask { ticket, .. })] = local.as_slice() else {
        panic!("{local:?}")
    };
    bench.answer(1, *ticket, Ok(Served::Got(None)));
    assert_eq!(
        bench.reply(),
        Ok(ApiAnswer::Got(GetAnswer { index: "articles".into(), id: "a".to_owned(), doc: None }))
    );
}

#[test]
fn index_is_made_by_the_controller() {
    let mut bench = Bench::new(Vec::new());
    bench.request(ApiCall::CreateIndex(CreateIndexRequest::new("books", 2, 1)));
    let petitions = bench.coordinator.take_petitions();
    let Wanted::Change { task: AdminTask::CreateIndex { index, settings, .. }, .. } = &petitions[0].1.what
    else {
        panic!("{petitions:?}")
    };
    assert_eq!((index, settings.len()), (&"books".into(), 2));
    let token = petitions[0].0;
    bench.act(|it, ctx, view| it.granted(ctx, view, token, Ok(Granted::Change { acknowledged: true })));
    let (acknowledged, shards_acknowledged, index) = (true, true, "books".into());
    let created = IndexCreated { acknowledged, shards_acknowledged, index };
    assert_eq!(bench.reply(), Ok(ApiAnswer::IndexCreated(created)));
    assert!(bench.idle());
}

#[test]
fn index_that_is_not_made_in_time_is_unclear() {
    let mut bench = Bench::new(Vec::new());
    bench.request(ApiCall::CreateIndex(CreateIndexRequest::new("books", 2, 1)));
    bench.wake_at(90);
    assert_eq!(bench.error(), ("process_cluster_event_timeout_exception".to_owned(), false));
}
