//! Coordinator — decides which client requests are under way, whom they wait for, and when waiting ends. It
//! never decides how a kind of request travels: its flow does.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Ask, CoordinationMessage, Outcome, Served, Ticket, View,
    alarm::Alarms,
    flow::{self, Ending, Flow, Move},
    ids::Ids,
    intake::{self, Beginning, Choices},
    searches::Choice,
};
use crate::{
    core::{ConnId, Entropy, Instant},
    name::HostId,
    scenario::plan::ReadPolicy,
    search::{
        api::{ApiAnswer, ApiError, ApiReply, ApiRequest},
        control::{AdminCall, Granted},
        routing::{Rotation, adaptive::ResponseCollector},
        shards::{SearchAsk, SearchServed},
        transport::{Ctx, Fate, Lost},
        wire::{Message, Transport},
    },
};

/// What stands for the time that a search takes on a node, in milliseconds.
const SERVICE_MS: f64 = 1.0;

/// A client's request under way.
#[derive(Debug)]
struct Pending {
    conn: ConnId,
    id: u64,
    began: Instant,
    /// When its time is up.
    deadline: Instant,
    patience: Duration,
    flow: Box<dyn Flow>,
    asks: BTreeSet<u64>,
}

/// Something asked of a node that has not answered yet.
#[derive(Debug)]
struct Asked {
    request: u64,
    part: u32,
    to: HostId,
    /// The connection it was sent on; none: to this node itself.
    conn: Option<ConnId>,
    /// When it was sent.
    at: Instant,
    /// Whether it is the query of a search: the node's answer tells how quick it is.
    is_query: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// This request waits for a newer state: one more try, should only the way to the node have failed
    /// (Elasticsearch tries once more when its wait for a state ends).
    Retry(u64),
    /// This request has a time limit of its own.
    Hurry(u64),
    /// This request's time is up.
    GiveUp(u64),
}

/// The requests that clients brought to this node.
#[derive(Debug)]
pub struct Coordinator {
    timeout: Duration,
    life: u64,
    next: u64,
    choices: Choices,
    requests: BTreeMap<u64, Pending>,
    asks: BTreeMap<u64, Asked>,
    alarms: Alarms<Alarm>,
    petitions: Vec<(u64, AdminCall)>,
}

impl Coordinator {
    /// Requests end after `timeout`. `life` tells this life of the node from earlier ones; each shard's
    /// turns begin at copy `first_turn`; `read_policy` says which copies answer gets.
    pub fn new(timeout: Duration, life: u64, first_turn: usize, read_policy: ReadPolicy) -> Self {
        Self {
            timeout,
            life,
            next: 1,
            choices: Choices {
                copies: Choice {
                    rotation: Rotation::starting_at(first_turn),
                    responses: ResponseCollector::default(),
                },
                ids: Ids(Entropy::new(life)),
                read_policy,
                pending_tasks: 0,
            },
            requests: BTreeMap::new(),
            asks: BTreeMap::new(),
            alarms: Alarms::default(),
            petitions: Vec::new(),
        }
    }

    /// A client asks something; the reply goes back on its connection, or nowhere if that has closed.
    pub fn request(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, conn: ConnId, request: ApiRequest) {
        let ApiRequest { id, call } = request;
        match intake::begin(view, ctx.me, &mut self.choices, call) {
            Err(error) => reply(ctx, conn, id, Err(error)),
            Ok(Beginning::Answer(answer)) => reply(ctx, conn, id, Ok(answer)),
            Ok(Beginning::Flow(flow)) => {
                self.begin(ctx, view, conn, id, flow);
            }
            Ok(Beginning::Admin(call, flow)) => {
                let token = self.begin(ctx, view, conn, id, flow);
                self.petitions.push((token, call));
            }
        }
    }

    /// How many tasks wait, if this node is the controller: health tells it.
    pub fn note_pending_tasks(&mut self, count: u32) {
        self.choices.pending_tasks = count;
    }

    /// What the controller is to be asked, each with the token of its [`Coordinator::granted`].
    pub fn take_petitions(&mut self) -> Vec<(u64, AdminCall)> {
        std::mem::take(&mut self.petitions)
    }

    /// The controller has done what it was asked, or not.
    pub fn granted(
        &mut self,
        ctx: &mut Ctx<'_>,
        view: View<'_>,
        token: u64,
        result: Result<Granted, ApiError>,
    ) {
        let (Some(pending), Some(state)) = (self.requests.get_mut(&token), view.state) else { return };
        match result {
            Ok(granted) => {
                let moves = pending.flow.granted(granted, state);
                self.carry_out(ctx, view, token, moves);
            }
            Err(error) => self.end(ctx, token, Err(error)),
        }
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
        if let Some(state) = view.state {
            self.choices.copies.responses.forget(|node| !state.nodes.contains_key(&node));
        }
        let numbers: Vec<u64> = self.requests.keys().copied().collect();
        for number in numbers {
            self.try_again(ctx, view, number);
        }
    }

    /// Time passed.
    pub fn wake(&mut self, ctx: &mut Ctx<'_>, view: View<'_>) {
        while let Some(alarm) = self.alarms.pop(ctx.now.mono) {
            match alarm {
                Alarm::Retry(request) => self.try_again(ctx, view, request),
                Alarm::Hurry(request) => self.hurry(ctx, view, request),
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
        let patience = flow.patience().unwrap_or(self.timeout);
        let (deadline, limit, asks) = (began + patience, flow.time_limit(patience), BTreeSet::new());
        self.requests.insert(number, Pending { conn, id, began, deadline, patience, flow, asks });
        self.alarms.set(deadline, Alarm::GiveUp(number));
        if let Some(limit) = limit {
            self.alarms.set(began + limit, Alarm::Hurry(number));
        }
        self.carry_out(ctx, view, number, moves);
        number
    }

    fn heard(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, number: u64, outcome: Outcome) {
        let Some(asked) = self.asks.remove(&number) else { return };
        self.learn(ctx, &asked, &outcome);
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

    // An engine's steps take no simulated time: what the formula calls service time is a nominal one.
    fn learn(&mut self, ctx: &Ctx<'_>, asked: &Asked, outcome: &Outcome) {
        if !asked.is_query {
            return;
        }
        self.choices.copies.responses.ended(asked.to);
        if let Ok(Served::Searched(SearchServed::Found(found))) = outcome {
            let response_ms = ctx.now.mono.since(asked.at).as_secs_f64() * 1_000.0;
            self.choices.copies.responses.add(asked.to, found.queue, response_ms, SERVICE_MS);
        }
    }

    fn hurry(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, number: u64) {
        let Some(pending) = self.requests.get_mut(&number) else { return };
        let moves = pending.flow.hurry();
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
                Move::Patience(span) => self.grant_time(ctx, request, span),
                Move::End(ending) => self.end(ctx, request, ending),
            }
        }
    }

    fn ask(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, request: u64, to: HostId, part: u32, ask: Ask) {
        let Some(routed_by) = view.position() else { return };
        let number = self.draw();
        let Some(pending) = self.requests.get_mut(&request) else { return };
        pending.asks.insert(number);
        let is_query = matches!(&ask, Ask::Search { ask: SearchAsk::Query { .. }, .. });
        if is_query {
            self.choices.copies.responses.sent(to);
        }
        let ticket = Ticket { life: self.life, number };
        ctx.send(to, Transport::Coordination(CoordinationMessage::Ask { ticket, routed_by, ask }));
        let (conn, at) = (ctx.links.to(to), ctx.now.mono);
        self.asks.insert(number, Asked { request, part, to, conn, at, is_query });
    }

    fn wait(&mut self, ctx: &Ctx<'_>, request: u64) {
        let Some(pending) = self.requests.get(&request) else { return };
        let retry_at = retry_at(pending);
        if ctx.now.mono < retry_at {
            self.alarms.set(retry_at, Alarm::Retry(request));
        }
    }

    fn grant_time(&mut self, ctx: &Ctx<'_>, request: u64, span: Duration) {
        let Some(pending) = self.requests.get_mut(&request) else { return };
        let deadline = ctx.now.mono + span;
        self.alarms.cancel(std::mem::replace(&mut pending.deadline, deadline), Alarm::GiveUp(request));
        self.alarms.set(deadline, Alarm::GiveUp(request));
    }

    fn end(&mut self, ctx: &mut Ctx<'_>, request: u64, ending: Ending) {
        let Some(pending) = self.requests.remove(&request) else { return };
        self.alarms.cancel(pending.deadline, Alarm::GiveUp(request));
        self.alarms.cancel(retry_at(&pending), Alarm::Retry(request));
        if let Some(limit) = pending.flow.time_limit(pending.patience) {
            self.alarms.cancel(pending.began + limit, Alarm::Hurry(request));
        }
        for number in &pending.asks {
            if let Some(asked) = self.asks.remove(number).filter(|asked| asked.is_query) {
                self.choices.copies.responses.ended(asked.to);
            }
        }
        let took = ctx.now.mono.since(pending.began);
        reply(ctx, pending.conn, pending.id, timed(ending, took));
    }

    fn draw(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

/// A search says how long it took.
fn timed(mut ending: Ending, took: Duration) -> Ending {
    if let Ok(ApiAnswer::Found(answer)) = &mut ending {
        answer.took_ms = took.as_millis() as u64;
    }
    ending
}

fn retry_at(pending: &Pending) -> Instant {
    pending.began + pending.patience / 2
}

fn reply(ctx: &mut Ctx<'_>, conn: ConnId, id: u64, result: Ending) {
    ctx.out.send(conn, Message::Reply(ApiReply { id, result }));
}

#[cfg(test)]
mod tests;
