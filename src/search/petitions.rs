//! Petitions — decides what this node still has to tell the controller, and when again. It never decides
//! what the controller makes of it.
//!
//! Messages may be lost with a connection or with a controller, so whatever matters is kept until the cluster
//! state shows it, and sent again when there is another controller, when the connection broke, and from time
//! to time.

use std::{collections::BTreeSet, time::Duration};

use super::{
    acknowledgements::Applied,
    administration::AdminTask,
    api::ApiError,
    control::{AdminCall, ControlMessage, ControlNews, Granted, Inquiry, ShardReport},
    state::{ClusterState, ShardTable},
    transport::Ctx,
    wire::Transport,
};
use crate::{
    core::{Entropy, Instant},
    name::{AllocationId, Epoch, HostId, SessionId, Term},
};

/// How long after a broken connection the controller is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// What waits for the controller.
#[derive(Debug)]
pub struct Petitions {
    timeout: Duration,
    entropy: Entropy,
    reports: Vec<ShardReport>,
    wishes: Vec<Wish>,
    /// What this node has applied, and whether the controller may not have heard of it.
    applied: Option<(Applied, bool)>,
    controller: Option<(HostId, Epoch)>,
    session: Option<SessionId>,
    resend_at: Option<Instant>,
}

/// What a client of this node wants of the controller.
#[derive(Debug)]
struct Wish {
    token: u64,
    request: u64,
    what: Wanted,
    /// Until when a controller must be known.
    sent_by: Instant,
    /// Until when it must have answered.
    deadline: Instant,
    is_sent: bool,
    /// Which controllers were told, by epoch.
    told: BTreeSet<Epoch>,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A change.
    Change {
        /// Which.
        task: AdminTask,
        /// How long nodes may take to apply it.
        timeout: Duration,
    },
    /// Only an answer.
    Knowledge(Inquiry),
}

impl Petitions {
    /// Nothing to tell. `timeout`: how long a client's request may take, and after how long without effect
    /// everything is sent again.
    pub fn new(timeout: Duration, entropy: Entropy) -> Self {
        let (reports, wishes) = (Vec::new(), Vec::new());
        let (applied, controller, session, resend_at) = (None, None, None, None);
        Self { timeout, entropy, reports, wishes, applied, controller, session, resend_at }
    }

    /// Adds a report, unless it waits already or the state makes it moot.
    pub fn report(&mut self, ctx: &mut Ctx<'_>, state: Option<&ClusterState>, report: ShardReport) {
        let moot = state.is_some_and(|state| is_settled(&report, state, ctx.me));
        if !moot && !self.reports.contains(&report) {
            self.send(ctx, self.wrapped(report.clone()));
            self.reports.push(report);
        }
    }

    /// Adds a client's wish.
    pub fn wish(&mut self, ctx: &mut Ctx<'_>, token: u64, call: AdminCall) {
        let AdminCall { what, master_timeout } = call;
        let sent_by = ctx.now.mono + master_timeout;
        let deadline = match &what {
            Wanted::Change { timeout, .. } => sent_by + *timeout,
            Wanted::Knowledge(_) => sent_by,
        };
        let (request, is_sent, told) = (self.entropy.draw(), false, BTreeSet::new());
        self.wishes.push(Wish { token, request, what, sent_by, deadline, is_sent, told });
        self.send_wishes(ctx);
    }

    /// The controller's answer. A refusal is certain only if no other controller was told before, who may have
    /// done it.
    pub fn answered(&mut self, request: u64, result: Result<Granted, ApiError>) -> Option<ControlNews> {
        let at = self.wishes.iter().position(|wish| wish.request == request)?;
        let Wish { token, told, .. } = self.wishes.remove(at);
        let result = result.map_err(|error| ApiError { certain: error.certain && told.len() < 2, ..error });
        Some(ControlNews::Answer { token, result })
    }

    /// All parts of this node have applied the newest state: whoever wrote it is told.
    pub fn state_applied(&mut self, ctx: &mut Ctx<'_>, applied: Applied) {
        self.applied = Some((applied, true));
        self.send_applied(ctx);
    }

    /// A newer state is applied: what it shows is settled; a new controller is told the rest. Reports are
    /// made in the name of the session that the applied state knows this node by: in another one its copies
    /// begin anew, and what was said of them before is void.
    pub fn applied(&mut self, ctx: &mut Ctx<'_>, state: &ClusterState) {
        let session = state.nodes.get(&ctx.me).map(|entry| entry.session);
        if self.session != session {
            self.session = session;
            self.reports.clear();
        }
        self.reports.retain(|report| !is_settled(report, state, ctx.me));
        let controller = state.controller.map(|host| (host, state.epoch));
        if self.controller != controller {
            self.controller = controller;
            self.send_all(ctx);
        }
    }

    /// The session is over: every copy here is lost to the cluster, so nothing can be said about one.
    pub fn session_lost(&mut self) {
        self.reports.clear();
    }

    /// The connection to a peer broke.
    pub fn peer_lost(&mut self, now: Instant, peer: HostId) {
        if self.controller.is_none_or(|(host, _)| host != peer) {
            return;
        }
        self.applied.iter_mut().for_each(|(_, is_due)| *is_due = true);
        if !self.is_empty() {
            let soon = now + RETRY_DELAY;
            self.resend_at = Some(self.resend_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// Time passed.
    pub fn wake(&mut self, ctx: &mut Ctx<'_>) -> Vec<ControlNews> {
        let now = ctx.now.mono;
        let (late, on_time): (Vec<_>, Vec<_>) = self.wishes.drain(..).partition(|wish| wish.ends_at() <= now);
        self.wishes = on_time;
        if self.resend_at.is_some_and(|at| at <= now) {
            self.resend_at = None;
            self.send_all(ctx);
        }
        late.into_iter().map(Wish::timed_out).collect()
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        let deadlines = self.wishes.iter().map(Wish::ends_at);
        let resend = self.resend_at.filter(|_| !self.is_empty());
        deadlines.chain(resend).min()
    }

    fn is_empty(&self) -> bool {
        let is_told = !self.applied.is_some_and(|(_, is_due)| is_due);
        self.reports.is_empty() && self.wishes.is_empty() && is_told
    }

    fn send_all(&mut self, ctx: &mut Ctx<'_>) {
        for report in self.reports.clone() {
            self.send(ctx, self.wrapped(report));
        }
        self.wishes.iter_mut().for_each(|wish| wish.is_sent = false);
        self.send_wishes(ctx);
        if self.applied.is_some_and(|(_, is_due)| is_due) {
            self.send_applied(ctx);
        }
    }

    fn send_wishes(&mut self, ctx: &mut Ctx<'_>) {
        let Some((_, epoch)) = self.controller else { return };
        let mut messages = Vec::new();
        for wish in self.wishes.iter_mut().filter(|wish| !wish.is_sent) {
            wish.is_sent = true;
            wish.told.insert(epoch);
            messages.push(wish.message());
        }
        for message in messages {
            self.send(ctx, message);
        }
    }

    /// It is told once to each controller, and once more if the connection broke: what is newer makes up for the rest.
    fn send_applied(&mut self, ctx: &mut Ctx<'_>) {
        let (Some((applied, is_due)), Some((controller, _))) = (&mut self.applied, self.controller) else {
            return;
        };
        *is_due = false;
        let session = self.session.unwrap_or(SessionId::NONE);
        let message = ControlMessage::Applied { session, applied: *applied };
        ctx.send(controller, Transport::Control(message));
    }

    fn wrapped(&self, report: ShardReport) -> ControlMessage {
        ControlMessage::Report { session: self.session.unwrap_or(SessionId::NONE), report }
    }

    fn send(&mut self, ctx: &mut Ctx<'_>, message: ControlMessage) {
        let Some((controller, _)) = self.controller else { return };
        ctx.send(controller, Transport::Control(message));
        let again = ctx.now.mono + self.timeout;
        self.resend_at = Some(self.resend_at.map_or(again, |at| at.min(again)));
    }
}

impl Wish {
    fn message(&self) -> ControlMessage {
        let request = self.request;
        match self.what.clone() {
            Wanted::Change { task, timeout } => ControlMessage::Administer { request, task, timeout },
            Wanted::Knowledge(inquiry) => ControlMessage::Inquire { request, inquiry },
        }
    }

    fn ends_at(&self) -> Instant {
        if self.is_sent { self.deadline } else { self.sent_by }
    }

    fn timed_out(self) -> ControlNews {
        let error = |kind: &'static str, reason: String, certain| ApiError {
            status: 503,
            kind: kind.into(),
            reason,
            certain,
        };
        let result = Err(match (&self.what, self.told.is_empty()) {
            (_, true) | (Wanted::Knowledge(_), _) => {
                error("master_not_discovered_exception", "no controller is known".to_owned(), true)
            }
            (Wanted::Change { task, .. }, false) => error(
                "process_cluster_event_timeout_exception",
                format!("failed to process cluster event ({}) in time", task.source()),
                false,
            ),
        });
        ControlNews::Answer { token: self.token, result }
    }
}

/// Whether this state shows what the report said, or makes it pointless.
fn is_settled(report: &ShardReport, state: &ClusterState, me: HostId) -> bool {
    let (ShardReport::Started { shard, .. } | ShardReport::Failed { shard, .. }) = report;
    let Some(table) = state.shard(shard) else { return true };
    match report {
        ShardReport::Started { allocation, term, .. } => start_is_settled(table, *allocation, *term),
        ShardReport::Failed { allocation, term, .. } => failure_is_settled(table, *allocation, *term, me),
    }
}

fn start_is_settled(table: &ShardTable, id: AllocationId, term: Term) -> bool {
    table.term > term || table.copy(id).is_none_or(|copy| copy.is_active() || copy.node.is_none())
}

/// A node's own replica must go whatever the term; all else is only for the primary of the term to say. A
/// copy that is on no node may still have to leave the in-sync set.
fn failure_is_settled(table: &ShardTable, id: AllocationId, term: Term, me: HostId) -> bool {
    let by_primary = table.primary().is_some_and(|primary| primary.node == Some(me));
    match table.copy(id).filter(|copy| copy.node.is_some()) {
        Some(copy) if copy.node == Some(me) && !copy.primary => false,
        Some(_) => table.term > term,
        None => !table.in_sync.contains(&id) || table.term > term || !by_primary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::{Effect, Now, Output},
        event::CopyState::{self, Initializing, Started, Unassigned},
        search::{
            state::{NodeEntry, ShardCopy},
            transport::Links,
            wire::Message,
        },
    };

    const ME: HostId = HostId::search(1);
    const OTHER: HostId = HostId::search(2);
    const ID: AllocationId = AllocationId(7);

    fn copy(state: CopyState, node: Option<HostId>, id: AllocationId) -> ShardCopy {
        ShardCopy { state, node, allocation: Some(id), ..ShardCopy::unassigned(false) }
    }

    /// Term 3; copy 7 like this, and a started primary, copy 1, on this node.
    fn table(seventh: ShardCopy, in_sync: bool) -> ShardTable {
        let primary = ShardCopy { primary: true, ..copy(Started, Some(ME), AllocationId(1)) };
        let in_sync = [AllocationId(1)].into_iter().chain(in_sync.then_some(ID)).collect();
        ShardTable { term: Term(3), in_sync, copies: vec![primary, seventh] }
    }

    const SHARD: &str = "a/0";

    /// A state in which this node, known by this session, builds copy 7 in term 1.
    fn state(epoch: u32, controller: HostId, session: u64) -> ClusterState {
        let mut state = ClusterState::default();
        state.enter_epoch(Epoch(epoch), controller);
        let entry = NodeEntry::new(SessionId(session), "a");
        state.set_members(&[(ME, entry)].into());
        state.create_index(&"a".into(), 1, 0).unwrap();
        state.assign(&SHARD.parse().unwrap(), 0, ME, Some(ID));
        state
    }

    struct Bed {
        petitions: Petitions,
        links: Links,
        out: Output<Message>,
        now: Instant,
    }

    impl Bed {
        fn new() -> Self {
            let petitions = Petitions::new(Duration::from_secs(5), Entropy::new(1));
            Self { petitions, links: Links::default(), out: Output::default(), now: Instant(0) }
        }

        fn with<T>(&mut self, act: impl FnOnce(&mut Petitions, &mut Ctx<'_>) -> T) -> T {
            let now = Now { mono: self.now, wall_ms: 0 };
            let mut ctx = Ctx { now, me: ME, out: &mut self.out, links: &mut self.links };
            act(&mut self.petitions, &mut ctx)
        }

        fn report(&mut self, state: &ClusterState) {
            let (shard, allocation, term) = (SHARD.parse().unwrap(), ID, Term(1));
            let report = ShardReport::Started { shard, allocation, term };
            self.with(|petitions, ctx| petitions.report(ctx, Some(state), report));
        }

        fn apply(&mut self, state: &ClusterState) {
            self.with(|petitions, ctx| petitions.applied(ctx, state));
        }

        /// Messages sent since the last look.
        fn sent(&mut self) -> usize {
            let is_message = |effect: &Effect<Message>| matches!(effect, Effect::Send { .. });
            self.out.drain().filter(is_message).count()
        }
    }

    #[test]
    fn report_is_told_at_once_and_once() {
        let mut bed = Bed::new();
        let state = state(1, OTHER, 5);
        bed.apply(&state);
        bed.report(&state);
        bed.report(&state);
        assert_eq!(bed.sent(), 1);
    }

    #[test]
    fn next_controller_is_told_at_once() {
        let mut bed = Bed::new();
        bed.apply(&state(1, OTHER, 5));
        bed.report(&state(1, OTHER, 5));
        bed.sent();
        bed.apply(&state(2, HostId::search(3), 5));
        assert_eq!(bed.sent(), 1);
    }

    #[test]
    fn silent_controller_is_told_again_after_the_timeout() {
        let mut bed = Bed::new();
        bed.apply(&state(1, OTHER, 5));
        bed.report(&state(1, OTHER, 5));
        bed.sent();
        let again = Instant(5_000_000_000);
        assert_eq!(bed.petitions.next_wake(), Some(again));
        bed.now = again;
        bed.with(|petitions, ctx| petitions.wake(ctx));
        assert_eq!(bed.sent(), 1);
    }

    #[test]
    fn lost_controller_is_told_again_soon() {
        let mut bed = Bed::new();
        bed.apply(&state(1, OTHER, 5));
        bed.report(&state(1, OTHER, 5));
        bed.petitions.peer_lost(Instant(7), OTHER);
        assert_eq!(bed.petitions.next_wake(), Some(Instant(7) + RETRY_DELAY));
    }

    /// What was said of a copy in an earlier session says nothing of it in this one.
    #[test]
    fn report_does_not_outlive_the_session_it_was_made_in() {
        let mut bed = Bed::new();
        bed.apply(&state(1, OTHER, 5));
        bed.report(&state(1, OTHER, 5));
        bed.sent();
        bed.apply(&state(2, HostId::search(3), 6));
        assert_eq!(bed.sent(), 0);
    }

    #[test]
    fn report_that_the_state_makes_moot_is_not_told() {
        let mut bed = Bed::new();
        let mut later = state(1, OTHER, 5);
        later.copy_started(&SHARD.parse().unwrap(), ID, Term(1), ME);
        bed.apply(&later);
        bed.report(&later);
        assert_eq!(bed.sent(), 0);
    }

    #[test]
    fn start_is_told_until_the_copy_is_active_gone_or_in_a_later_term() {
        let building = table(copy(Initializing, Some(OTHER), ID), false);
        assert!(!start_is_settled(&building, ID, Term(3)));
        assert!(start_is_settled(&building, ID, Term(2)));
        assert!(start_is_settled(&building, AllocationId(9), Term(3)));
        assert!(start_is_settled(&table(copy(Started, Some(OTHER), ID), true), ID, Term(3)));
        assert!(start_is_settled(&table(copy(Unassigned, None, ID), false), ID, Term(3)));
    }

    #[test]
    fn failure_is_told_by_the_primary_until_the_copy_is_off_its_node_and_out_of_sync() {
        let assigned = table(copy(Started, Some(OTHER), ID), true);
        assert!(!failure_is_settled(&assigned, ID, Term(3), ME));
        let away = table(copy(Unassigned, None, ID), true);
        assert!(
            !failure_is_settled(&away, ID, Term(3), ME),
            "a write went without it: it must leave the set"
        );
        assert!(failure_is_settled(&table(copy(Unassigned, None, ID), false), ID, Term(3), ME));
    }

    #[test]
    fn failure_told_by_a_deposed_primary_is_moot() {
        let assigned = table(copy(Started, Some(OTHER), ID), true);
        assert!(failure_is_settled(&assigned, ID, Term(2), ME));
    }

    #[test]
    fn own_replica_must_go_whatever_the_term() {
        let own = table(copy(Started, Some(OTHER), ID), true);
        assert!(!failure_is_settled(&own, ID, Term(1), OTHER));
    }

    #[test]
    fn failed_last_copy_is_settled_once_it_is_off_its_node() {
        let mut alone = table(copy(Unassigned, None, ID), true);
        alone.copies.remove(0);
        assert!(failure_is_settled(&alone, ID, Term(3), ME));
    }
}
