//! Coordinator — decides which client requests are under way, whom they wait for, and when waiting ends. It
//! never decides how a kind of request travels: its flow does.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Ask, CoordinationMessage, CreateCall, Outcome, Ticket, View,
    alarm::Alarms,
    flow::{self, Ending, Flow, Move},
    intake::{self, Beginning},
};
use crate::{
    core::{ConnId, Instant},
    name::HostId,
    search::{
        api::{ApiReply, ApiRequest},
        routing::Rotation,
        transport::{Ctx, Fate, Lost},
        wire::{Message, Transport},
    },
};

/// A client's request under way.
#[derive(Debug)]
struct Pending {
    conn: ConnId,
    id: u64,
    began: Instant,
    flow: Box<dyn Flow>,
    asks: BTreeSet<u64>,
}

/// Something asked of a node that has not answered yet.
#[derive(Debug)]
struct Asked {
    request: u64,
    part: u32,
    to: HostId,
    conn: Option<ConnId>,
    at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// This ask is long in coming: have the peer say something.
    Probe(u64),
    /// If the peer has said nothing since this ask, it is given up.
    Silent(u64),
    /// This request waits for a newer state: one more try, should only the way to the node have failed
    /// (Elasticsearch tries once more when its wait for a state ends).
    Retry(u64),
    /// This request's time is up.
    GiveUp(u64),
}

/// The requests that clients brought to this node.
#[derive(Debug)]
pub struct Coordinator {
    timeout: Duration,
    life: u64,
    next: u64,
    rotation: Rotation,
    requests: BTreeMap<u64, Pending>,
    asks: BTreeMap<u64, Asked>,
    alarms: Alarms<Alarm>,
    creates: Vec<(u64, CreateCall)>,
}

impl Coordinator {
    /// Requests end after `timeout`. `life` tells this life of the node from earlier ones; each shard's
    /// turns begin at copy `first_turn`.
    pub fn new(timeout: Duration, life: u64, first_turn: usize) -> Self {
        Self {
            timeout,
            life,
            next: 1,
            rotation: Rotation::starting_at(first_turn),
            requests: BTreeMap::new(),
            asks: BTreeMap::new(),
            alarms: Alarms::default(),
            creates: Vec::new(),
        }
    }

    /// A client asks something; the reply goes back on its connection, or nowhere if that has closed.
    pub fn request(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, conn: ConnId, request: ApiRequest) {
        let ApiRequest { id, call } = request;
        match intake::begin(view, &mut self.rotation, call) {
            Err(error) => reply(ctx, conn, id, Err(error)),
            Ok(Beginning::Answer(answer)) => reply(ctx, conn, id, Ok(answer)),
            Ok(Beginning::Flow(flow)) => {
                self.begin(ctx, view, conn, id, flow);
            }
            Ok(Beginning::Create(call, flow)) => {
                let token = self.begin(ctx, view, conn, id, Box::new(flow));
                self.creates.push((token, call));
            }
        }
    }

    /// Indices to be made, each with the token of its [`Coordinator::created`].
    pub fn take_creates(&mut self) -> Vec<(u64, CreateCall)> {
        std::mem::take(&mut self.creates)
    }

    /// The making of an index ended.
    pub fn created(&mut self, ctx: &mut Ctx<'_>, token: u64, result: Ending) {
        self.end(ctx, token, result);
    }

    /// A node answered. Answers to an earlier life, to what was given up, or from the wrong node count for
    /// nothing.
    pub fn answered(
        &mut self,
        ctx: &mut Ctx<'_>,
        view: View<'_>,
        from: HostId,
        ticket: Ticket,
        outcome: Outcome,
    ) {
        let expected = self.asks.get(&ticket.number).is_some_and(|asked| asked.to == from);
        if expected && ticket.life == self.life {
            self.heard(ctx, view, ticket.number, outcome);
        }
    }

    /// A connection to a peer was lost, and with it what was asked on it.
    pub fn peer_lost(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, lost: Lost) {
        let on_it = self.asks.iter().filter(|(_, asked)| asked.conn == Some(lost.conn));
        let numbers: Vec<u64> = on_it.map(|(number, _)| *number).collect();
        for number in numbers {
            self.heard(ctx, view, number, flow::lost(lost.fate == Fate::Unsent));
        }
    }

    /// A newer state was applied.
    pub fn state_applied(&mut self, ctx: &mut Ctx<'_>, view: View<'_>) {
        let numbers: Vec<u64> = self.requests.keys().copied().collect();
        for number in numbers {
            self.try_again(ctx, view, number);
        }
    }

    /// Time passed.
    pub fn wake(&mut self, ctx: &mut Ctx<'_>, view: View<'_>) {
        while let Some(alarm) = self.alarms.pop(ctx.now.mono) {
            match alarm {
                Alarm::Probe(ask) => self.probe(ctx, ask),
                Alarm::Silent(ask) => self.drop_if_silent(ctx, ask),
                Alarm::Retry(request) => self.try_again(ctx, view, request),
                Alarm::GiveUp(request) => self.give_up(ctx, request),
            }
        }
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        self.alarms.next()
    }

    fn begin(
        &mut self,
        ctx: &mut Ctx<'_>,
        view: View<'_>,
        conn: ConnId,
        id: u64,
        mut flow: Box<dyn Flow>,
    ) -> u64 {
        let moves = flow.begin(view.state.expect("a request begins only once a state is known"));
        let (number, began) = (self.draw(), ctx.now.mono);
        self.requests.insert(number, Pending { conn, id, began, flow, asks: BTreeSet::new() });
        self.alarms.set(began + self.timeout, Alarm::GiveUp(number));
        self.carry_out(ctx, view, number, moves);
        number
    }

    fn heard(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, number: u64, outcome: Outcome) {
        let Some(asked) = self.forget(number) else { return };
        let Some(pending) = self.requests.get_mut(&asked.request) else { return };
        pending.asks.remove(&number);
        let Some(state) = view.state else { return };
        let moves = pending.flow.heard(asked.part, outcome, state);
        self.carry_out(ctx, view, asked.request, moves);
    }

    fn try_again(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, number: u64) {
        let Some(state) = view.state else { return };
        let Some(pending) = self.requests.get_mut(&number) else { return };
        let moves = pending.flow.state_applied(state);
        self.carry_out(ctx, view, number, moves);
    }

    fn give_up(&mut self, ctx: &mut Ctx<'_>, number: u64) {
        let Some(pending) = self.requests.get_mut(&number) else { return };
        let ending = pending.flow.timed_out();
        self.end(ctx, number, ending);
    }

    fn carry_out(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, request: u64, moves: Vec<Move>) {
        for step in moves {
            match step {
                Move::Ask { to, part, ask } => self.ask(ctx, view, request, to, part, ask),
                Move::Wait => self.wait(ctx, request),
                Move::End(ending) => self.end(ctx, request, ending),
            }
        }
    }

    fn ask(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, request: u64, to: HostId, part: u32, ask: Ask) {
        let Some(routed_by) = view.position() else { return };
        let number = self.draw();
        let Some(pending) = self.requests.get_mut(&request) else { return };
        pending.asks.insert(number);
        send(ctx, to, CoordinationMessage::Ask { ticket: self.ticket(number), routed_by, ask });
        let asked = Asked { request, part, to, conn: ctx.links.to(to), at: ctx.now.mono };
        if to != ctx.me {
            self.alarms.set(self.probe_at(&asked), Alarm::Probe(number));
            self.alarms.set(self.silent_at(&asked), Alarm::Silent(number));
        }
        self.asks.insert(number, asked);
    }

    fn wait(&mut self, ctx: &Ctx<'_>, request: u64) {
        let Some(pending) = self.requests.get(&request) else { return };
        let retry_at = self.retry_at(pending);
        if ctx.now.mono < retry_at {
            self.alarms.set(retry_at, Alarm::Retry(request));
        }
    }

    fn end(&mut self, ctx: &mut Ctx<'_>, request: u64, ending: Ending) {
        let Some(pending) = self.requests.remove(&request) else { return };
        self.alarms.cancel(pending.began + self.timeout, Alarm::GiveUp(request));
        self.alarms.cancel(self.retry_at(&pending), Alarm::Retry(request));
        for number in &pending.asks {
            self.forget(*number);
        }
        reply(ctx, pending.conn, pending.id, ending);
    }

    fn forget(&mut self, number: u64) -> Option<Asked> {
        let asked = self.asks.remove(&number)?;
        self.alarms.cancel(self.probe_at(&asked), Alarm::Probe(number));
        self.alarms.cancel(self.silent_at(&asked), Alarm::Silent(number));
        Some(asked)
    }

    fn probe(&mut self, ctx: &mut Ctx<'_>, number: u64) {
        if let Some(asked) = self.asks.get(&number) {
            send(ctx, asked.to, CoordinationMessage::Ping);
        }
    }

    /// A machine without power and a cut link show only as silence. Whoever answers pings is merely slow, as
    /// a primary whose replica does not answer.
    fn drop_if_silent(&mut self, ctx: &mut Ctx<'_>, number: u64) {
        let Some(asked) = self.asks.get(&number) else { return };
        let heard = ctx.links.heard(asked.to);
        if heard.is_none_or(|at| at <= asked.at) && ctx.links.to(asked.to) == asked.conn {
            ctx.links.drop_peer(asked.to, ctx.out);
        }
    }

    fn probe_at(&self, asked: &Asked) -> Instant {
        asked.at + self.timeout / 4
    }

    fn silent_at(&self, asked: &Asked) -> Instant {
        asked.at + self.timeout / 2
    }

    fn retry_at(&self, pending: &Pending) -> Instant {
        pending.began + self.timeout / 2
    }

    fn ticket(&self, number: u64) -> Ticket {
        Ticket { life: self.life, number }
    }

    fn draw(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

fn send(ctx: &mut Ctx<'_>, to: HostId, message: CoordinationMessage) {
    ctx.send(to, Transport::Coordination(message));
}

fn reply(ctx: &mut Ctx<'_>, conn: ConnId, id: u64, result: Ending) {
    ctx.out.send(conn, Message::Reply(ApiReply { id, result }));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        core::{CloseReason, Effect, Now, Output},
        event::CopyState::{Initializing, Started},
        name::{IndexName, SeqNo, Term},
        search::{
            api::{ApiAnswer, ApiCall, ApiError, WriteResult},
            coordination::Served,
            fixture::{copy, state, table},
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
                coordinator: Coordinator::new(Duration::from_secs(8), LIFE, 0),
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
            let view = View { state: Some(&self.state), connected: true };
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
            let tickets = self.out.effects().iter().filter_map(|effect| match effect {
                Effect::Send {
                    message:
                        Message::Transport(Transport::Coordination(CoordinationMessage::Ask { ticket, .. })),
                    ..
                } => Some(*ticket),
                _ => None,
            });
            tickets.last().expect("something was asked")
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
            self.coordinator.next_wake().is_none() && self.coordinator.asks.is_empty()
        }
    }

    fn delete() -> ApiCall {
        ApiCall::Delete { index: "articles".into(), id: "a".to_owned() }
    }

    fn get() -> ApiCall {
        ApiCall::Get { index: "articles".into(), id: "a".to_owned() }
    }

    fn primary_on(node: u16) -> Vec<ShardTable> {
        vec![table(vec![copy(node, u64::from(node), true, Started)])]
    }

    fn written() -> Outcome {
        let result = WriteResult::Deleted;
        Ok(Served::Written(Written { result, seq_no: SeqNo(0), term: Term(1), version: 1, copies: (1, 1) }))
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
    fn silent_peer_is_given_up_and_the_next_copy_asked() {
        let mut bench = Bench::new(vec![table(vec![copy(2, 2, true, Started), copy(3, 3, false, Started)])]);
        bench.request(get());
        assert_eq!(bench.did(), "dial:search-2 get");
        bench.wake_at(2);
        assert_eq!(bench.did(), "ping");
        bench.wake_at(4);
        assert_eq!(bench.did(), "close dial:search-3 get");
    }

    #[test]
    fn peer_that_answers_pings_is_only_slow() {
        let mut bench = Bench::new(primary_on(2));
        bench.act(|_, ctx, _| ctx.links.accepted(ConnId(3), HostId::search(2), ctx.out));
        bench.request(delete());
        bench.wake_at(2);
        bench.act(|_, ctx, _| assert!(ctx.links.received(ConnId(3), ctx.now).is_some()));
        bench.wake_at(4);
        assert_eq!(bench.did(), "dial:search-2 delete ping");
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
        assert_eq!(bench.reply(), Ok(ApiAnswer::Got(None)));
    }

    #[test]
    fn index_is_made_by_the_control_part() {
        let mut bench = Bench::new(Vec::new());
        let index: IndexName = "books".into();
        bench.request(ApiCall::CreateIndex { index: index.clone(), shards: 2, replicas: 1 });
        let creates = bench.coordinator.take_creates();
        assert_eq!(creates[0].1, CreateCall { index, shards: 2, replicas: 1 });
        bench.act(|it, ctx, _| it.created(ctx, creates[0].0, Ok(ApiAnswer::Acknowledged)));
        assert_eq!(bench.reply(), Ok(ApiAnswer::Acknowledged));
        assert!(bench.idle());
    }

    #[test]
    fn index_that_is_not_made_in_time_is_unclear() {
        let mut bench = Bench::new(Vec::new());
        bench.request(ApiCall::CreateIndex { index: "books".into(), shards: 2, replicas: 1 });
        bench.wake_at(8);
        assert_eq!(bench.error(), ("process_cluster_event_timeout_exception".to_owned(), false));
    }
}
