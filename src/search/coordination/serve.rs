//! Serving — decides when this node's copies do what a coordinating node asks of them. It never routes.
//!
//! Whoever asks names the state by which it routed. A node that is behind that state waits until it has
//! caught up, so that "not here" means "not here any more" and never "not here yet".

use std::{collections::BTreeMap, time::Duration};

use super::{Ask, CoordinationMessage, Outcome, Position, Served, Ticket, View, alarm::Alarms};
use crate::{
    core::Instant,
    name::HostId,
    scenario::plan::ReadPolicy,
    search::{
        api::GotDoc,
        shards::{Copies, ReadCall, SearchServed, ShardRefusal, WriteCall, Written},
        transport::Ctx,
        wire::Transport,
    },
};

/// What a coordinating node wants of a copy here.
#[derive(Debug)]
pub struct Question {
    /// Who asks.
    pub from: HostId,
    /// To be sent back with the answer.
    pub ticket: Ticket,
    /// The state by which it was routed.
    pub routed_by: Position,
    /// What is asked.
    pub ask: Ask,
}

#[derive(Debug)]
struct Held {
    question: Question,
    until: Instant,
}

/// A get that a copy has not answered.
#[derive(Debug)]
struct PendingGet {
    from: HostId,
    ticket: Ticket,
    policy: ReadPolicy,
}

/// Whom the end of a write is for.
#[derive(Debug)]
enum Writer {
    /// Who asked for it alone.
    Alone(HostId, Ticket),
    /// The item of this place of several.
    Item(u64, usize),
}

/// Several writes under way.
#[derive(Debug)]
struct PendingBulk {
    from: HostId,
    ticket: Ticket,
    ended: Vec<Option<Result<Written, ShardRefusal>>>,
}

/// What other nodes, and this one, asked of the copies on this node.
#[derive(Debug)]
pub struct Serving {
    timeout: Duration,
    next: u64,
    held: BTreeMap<u64, Held>,
    writes: BTreeMap<u64, Writer>,
    bulks: BTreeMap<u64, PendingBulk>,
    refreshes: BTreeMap<u64, (HostId, Ticket)>,
    gets: BTreeMap<u64, PendingGet>,
    alarms: Alarms<u64>,
}

impl Serving {
    /// Nothing asked yet. What waits for a state is refused after `timeout`.
    pub fn new(timeout: Duration) -> Self {
        let (held, writes, bulks) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (gets, refreshes) = (BTreeMap::new(), BTreeMap::new());
        Self { timeout, next: 0, held, writes, bulks, refreshes, gets, alarms: Alarms::default() }
    }

    /// A node asks something.
    pub fn ask(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, copies: &mut impl Copies, question: Question) {
        if view.position() < Some(question.routed_by) {
            self.hold(Held { question, until: ctx.now.mono + self.timeout });
        } else {
            self.serve(ctx, view, copies, question);
        }
    }

    /// A newer state was applied: what waited for it is served.
    pub fn state_applied(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, copies: &mut impl Copies) {
        let ready = self.held.iter().filter(|(_, held)| Some(held.question.routed_by) <= view.position());
        let numbers: Vec<u64> = ready.map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(held) = self.release(number) {
                self.serve(ctx, view, copies, held.question);
            }
        }
    }

    /// A write of a copy on this node ended.
    pub fn write_ended(&mut self, ctx: &mut Ctx<'_>, token: u64, result: Result<Written, ShardRefusal>) {
        let writer = self.writes.remove(&token);
        assert!(writer.is_some(), "a write ends once");
        match writer {
            Some(Writer::Alone(from, ticket)) => answer(ctx, from, ticket, result.map(Served::Written)),
            Some(Writer::Item(bulk, nth)) => self.item_ended(ctx, bulk, nth, result),
            None => {}
        }
    }

    fn item_ended(
        &mut self,
        ctx: &mut Ctx<'_>,
        bulk: u64,
        nth: usize,
        result: Result<Written, ShardRefusal>,
    ) {
        let Some(pending) = self.bulks.get_mut(&bulk) else { return };
        pending.ended[nth] = Some(result);
        if pending.ended.iter().all(Option::is_some)
            && let Some(PendingBulk { from, ticket, ended }) = self.bulks.remove(&bulk)
        {
            answer(ctx, from, ticket, Ok(Served::Bulk(ended.into_iter().flatten().collect())));
        }
    }

    /// A refresh that a primary on this node saw to ended.
    pub fn refresh_ended(&mut self, ctx: &mut Ctx<'_>, token: u64, result: Result<(u32, u32), ShardRefusal>) {
        let asker = self.refreshes.remove(&token);
        assert!(asker.is_some(), "a refresh ends once");
        if let Some((from, ticket)) = asker {
            let served = result.map(|(successful, total)| Served::Refreshed { successful, total });
            answer(ctx, from, ticket, served);
        }
    }

    /// A get of a copy on this node ended. Under the policy `lease` it is answered only if the node can prove at this
    /// moment that it has been what it was, so that nobody else can have acted as the primary before.
    pub fn get_ended(
        &mut self,
        ctx: &mut Ctx<'_>,
        view: View<'_>,
        token: u64,
        result: Result<Option<GotDoc>, ShardRefusal>,
    ) {
        let asker = self.gets.remove(&token);
        assert!(asker.is_some(), "a get ends once");
        if let Some(PendingGet { from, ticket, policy }) = asker {
            let proven = policy != ReadPolicy::Lease || view.leased;
            let result = if proven { result } else { Err(ShardRefusal::NotHere { certain: true }) };
            answer(ctx, from, ticket, result.map(Served::Got));
        }
    }

    /// A peer is lost: it does not wait any more for what has not begun.
    pub fn peer_lost(&mut self, peer: HostId) {
        let numbers: Vec<u64> = self
            .held
            .iter()
            .filter(|(_, held)| held.question.from == peer)
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            self.release(number);
        }
    }

    /// Time passed.
    pub fn wake(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(number) = self.alarms.pop(ctx.now.mono) {
            if let Some(held) = self.held.remove(&number) {
                let Question { from, ticket, .. } = held.question;
                answer(ctx, from, ticket, Err(ShardRefusal::NotHere { certain: true }));
            }
        }
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        self.alarms.next()
    }

    fn serve(&mut self, ctx: &mut Ctx<'_>, view: View<'_>, copies: &mut impl Copies, question: Question) {
        let Question { from, ticket, mut ask, .. } = question;
        if let Ask::Get { shard, call } = &mut ask
            && call.policy == ReadPolicy::Lease
            && view.state.is_some_and(|state| state.yielding.contains_key(shard))
        {
            // Its session proves nothing any more: another copy may be the primary before it ends.
            call.policy = ReadPolicy::Primary;
        }
        let outcome = match ask {
            Ask::Write { .. } | Ask::Bulk { .. } if !view.connected => {
                Err(ShardRefusal::NotHere { certain: true })
            }
            Ask::Write { shard, allocation, term, call } => {
                let token = self.draw();
                self.writes.insert(token, Writer::Alone(from, ticket));
                return copies.write(ctx, &shard, allocation, term, vec![(token, call)]);
            }
            Ask::Bulk { shard, allocation, term, calls } => {
                let calls = self.items(from, ticket, calls);
                return copies.write(ctx, &shard, allocation, term, calls);
            }
            Ask::Get { call: ReadCall { policy: ReadPolicy::Lease, .. }, .. } if !view.leased => {
                Err(ShardRefusal::NotHere { certain: true })
            }
            Ask::Get { shard, call } => {
                let token = self.draw();
                self.gets.insert(token, PendingGet { from, ticket, policy: call.policy });
                return copies.get(ctx, token, &shard, &call);
            }
            Ask::Search { shard, ask } => {
                copies.search(ctx, &shard, &ask).map(|answer| self.searched(answer))
            }
            Ask::Refresh { shard } => {
                let token = self.draw();
                self.refreshes.insert(token, (from, ticket));
                return copies.refresh(ctx, token, &shard);
            }
        };
        answer(ctx, from, ticket, outcome);
    }

    /// Gives each of several writes its token.
    fn items(&mut self, from: HostId, ticket: Ticket, calls: Vec<WriteCall>) -> Vec<(u64, WriteCall)> {
        let bulk = self.draw();
        self.bulks.insert(bulk, PendingBulk { from, ticket, ended: vec![None; calls.len()] });
        let item = |(nth, call)| {
            let token = self.draw();
            self.writes.insert(token, Writer::Item(bulk, nth));
            (token, call)
        };
        calls.into_iter().enumerate().map(item).collect()
    }

    fn searched(&self, mut answer: SearchServed) -> Served {
        if let SearchServed::Found(found) = &mut answer {
            found.queue = self.held.len() as u32;
        }
        Served::Searched(answer)
    }

    fn hold(&mut self, held: Held) {
        let number = self.draw();
        self.alarms.set(held.until, number);
        self.held.insert(number, held);
    }

    fn release(&mut self, number: u64) -> Option<Held> {
        let held = self.held.remove(&number)?;
        self.alarms.cancel(held.until, number);
        Some(held)
    }

    fn draw(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

fn answer(ctx: &mut Ctx<'_>, to: HostId, ticket: Ticket, outcome: Outcome) {
    ctx.send(to, Transport::Coordination(CoordinationMessage::Answer { ticket, outcome }));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        core::{Now, Output},
        name::{AllocationId, Epoch, ShardId, Term},
        search::{
            fixture::state,
            shards::{SearchAsk, WriteCall},
            state::ClusterState,
            transport::Links,
        },
    };

    /// Copies that have no document and acknowledge nothing by themselves.
    #[derive(Default)]
    struct Fake {
        writes: Vec<u64>,
        gets: Vec<u64>,
        policies: Vec<ReadPolicy>,
        refreshes: Vec<u64>,
    }

    impl Copies for Fake {
        fn write(
            &mut self,
            _: &mut Ctx<'_>,
            _: &ShardId,
            _: AllocationId,
            _: Term,
            calls: Vec<(u64, WriteCall)>,
        ) {
            self.writes.extend(calls.into_iter().map(|(token, _)| token));
        }

        fn get(&mut self, _: &mut Ctx<'_>, token: u64, _: &ShardId, call: &ReadCall) {
            self.gets.push(token);
            self.policies.push(call.policy);
        }

        fn refresh(&mut self, _: &mut Ctx<'_>, token: u64, _: &ShardId) {
            self.refreshes.push(token);
        }

        fn search(
            &mut self,
            _: &mut Ctx<'_>,
            _: &ShardId,
            _: &SearchAsk,
        ) -> Result<SearchServed, ShardRefusal> {
            Ok(SearchServed::Released)
        }
    }

    const ME: HostId = HostId::search(1);
    const TIMEOUT: Duration = Duration::from_secs(8);

    /// The serving part of search-1, asked by itself so that answers can be read from the local queue.
    struct Bench {
        serving: Serving,
        fake: Fake,
        links: Links,
        state: Arc<ClusterState>,
        connected: bool,
        leased: bool,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                serving: Serving::new(TIMEOUT),
                fake: Fake::default(),
                links: Links::default(),
                state: Arc::new(state(3, Vec::new())),
                connected: true,
                leased: true,
                now: Instant(0),
            }
        }

        fn act(&mut self, act: impl FnOnce(&mut Serving, &mut Ctx<'_>, View<'_>, &mut Fake)) -> Vec<Outcome> {
            let (mut out, now) = (Output::default(), Now { mono: self.now, wall_ms: 0 });
            let mut ctx = Ctx { now, me: ME, out: &mut out, links: &mut self.links };
            let view = View { state: Some(&self.state), connected: self.connected, leased: self.leased };
            act(&mut self.serving, &mut ctx, view, &mut self.fake);
            for token in std::mem::take(&mut self.fake.gets) {
                self.serving.get_ended(&mut ctx, view, token, Ok(None));
            }
            let outcome = |message| match message {
                Transport::Coordination(CoordinationMessage::Answer { outcome, .. }) => outcome,
                other => panic!("{other:?}"),
            };
            self.links.take_local().into_iter().map(outcome).collect()
        }

        fn ask(&mut self, version: u64, ask: Ask) -> Vec<Outcome> {
            let ticket = Ticket { life: 1, number: 1 };
            let routed_by = Position { epoch: Epoch(0), version };
            let question = Question { from: ME, ticket, routed_by, ask };
            self.act(|it, ctx, view, fake| it.ask(ctx, view, fake, question))
        }
    }

    fn get() -> Ask {
        get_under(ReadPolicy::Any)
    }

    fn get_under(policy: ReadPolicy) -> Ask {
        let call = ReadCall { id: "a".to_owned(), realtime: true, refresh: false, policy };
        Ask::Get { shard: "articles/0".parse().unwrap(), call }
    }

    fn write() -> Ask {
        let call = WriteCall::delete("a");
        Ask::Write { shard: "articles/0".parse().unwrap(), allocation: AllocationId(1), term: Term(1), call }
    }

    fn not_here() -> Outcome {
        Err(ShardRefusal::NotHere { certain: true })
    }

    #[test]
    fn node_behind_the_asking_state_answers_when_it_has_caught_up() {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(4, get()), []);
        bench.state = Arc::new(state(4, Vec::new()));
        let answers = bench.act(|it, ctx, view, fake| it.state_applied(ctx, view, fake));
        assert_eq!(answers, [Ok(Served::Got(None))]);
        assert_eq!(bench.serving.next_wake(), None);
    }

    #[test]
    fn node_that_does_not_catch_up_refuses() {
        let mut bench = Bench::new();
        bench.ask(4, write());
        assert_eq!(bench.serving.next_wake(), Some(Instant(0) + TIMEOUT));
        bench.now = Instant(0) + TIMEOUT;
        assert_eq!(bench.act(|it, ctx, _, _| it.wake(ctx)), [not_here()]);
        bench.state = Arc::new(state(4, Vec::new()));
        assert_eq!(bench.act(|it, ctx, view, fake| it.state_applied(ctx, view, fake)), []);
        assert!(bench.fake.writes.is_empty(), "what was refused is not done later");
    }

    #[test]
    fn node_ahead_of_the_asking_state_answers_at_once() {
        assert_eq!(Bench::new().ask(2, get()), [Ok(Served::Got(None))]);
    }

    #[test]
    fn write_is_answered_when_it_ends() {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(3, write()), []);
        let token = bench.fake.writes[0];
        let refusal = ShardRefusal::NotHere { certain: false };
        let answers = bench.act(|it, ctx, _, _| it.write_ended(ctx, token, Err(refusal.clone())));
        assert_eq!(answers, [Err(refusal)]);
    }

    #[test]
    fn several_writes_are_answered_when_the_last_has_ended() {
        let mut bench = Bench::new();
        let calls = vec![WriteCall::delete("a"), WriteCall::delete("b")];
        let (shard, allocation) = ("articles/0".parse().unwrap(), AllocationId(1));
        assert_eq!(bench.ask(3, Ask::Bulk { shard, allocation, term: Term(1), calls }), []);
        let refused = |certain| Err(ShardRefusal::NotHere { certain });
        let [first, second] = bench.fake.writes[..] else { panic!("{:?}", bench.fake.writes) };
        assert_eq!(bench.act(|it, ctx, _, _| it.write_ended(ctx, second, refused(true))), []);
        let answers = bench.act(|it, ctx, _, _| it.write_ended(ctx, first, refused(false)));
        assert_eq!(answers, [Ok(Served::Bulk(vec![refused(false), refused(true)]))]);
    }

    #[test]
    fn refresh_is_answered_when_it_ends() {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(3, Ask::Refresh { shard: "articles/0".parse().unwrap() }), []);
        let token = bench.fake.refreshes[0];
        let answers = bench.act(|it, ctx, _, _| it.refresh_ended(ctx, token, Ok((1, 2))));
        assert_eq!(answers, [Ok(Served::Refreshed { successful: 1, total: 2 })]);
    }

    #[test]
    fn node_cut_off_from_zookeeper_begins_no_write() {
        let mut bench = Bench::new();
        bench.connected = false;
        assert_eq!(bench.ask(3, write()), [not_here()]);
        assert_eq!(bench.ask(3, get()), [Ok(Served::Got(None))]);
        assert!(bench.fake.writes.is_empty());
    }

    #[test]
    fn lost_peer_has_nothing_done_later() {
        let mut bench = Bench::new();
        bench.ask(4, write());
        bench.act(|it, _, _, _| it.peer_lost(ME));
        bench.state = Arc::new(state(4, Vec::new()));
        bench.act(|it, ctx, view, fake| it.state_applied(ctx, view, fake));
        assert_eq!((bench.fake.writes.len(), bench.serving.next_wake()), (0, None));
    }

    #[test]
    fn node_that_cannot_prove_its_session_gives_no_leased_answer() {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(3, get_under(ReadPolicy::Lease)), [Ok(Served::Got(None))]);
        bench.leased = false;
        assert_eq!(bench.ask(3, get_under(ReadPolicy::Lease)), [not_here()]);
        assert_eq!(bench.ask(3, get_under(ReadPolicy::Primary)), [Ok(Served::Got(None))]);
    }

    /// A session proves nothing of a primary that is to be replaced while it lives: the other copies are asked.
    #[test]
    fn primary_that_yields_gives_no_answer_by_its_session() {
        let mut bench = Bench::new();
        bench.leased = false;
        let mut yields = state(3, Vec::new());
        yields.yielding.insert("articles/0".parse().unwrap(), (Epoch(0), 3));
        bench.state = Arc::new(yields);
        assert_eq!(bench.ask(3, get_under(ReadPolicy::Lease)), [Ok(Served::Got(None))]);
        assert_eq!(bench.fake.policies, [ReadPolicy::Primary]);
    }
}
