//! Petitions — decides what this node still has to tell the controller, and when again. It never decides
//! what the controller makes of it.
//!
//! Messages may be lost with a connection or with a controller, so whatever matters is kept until the cluster
//! state shows it, and sent again when there is another controller, when the connection broke, and from time
//! to time.

use std::time::Duration;

use super::{
    api::{ApiAnswer, ApiError},
    control::{ControlMessage, ControlNews, ShardReport},
    state::{ClusterState, ShardTable},
    transport::Ctx,
    wire::Transport,
};
use crate::{
    core::{Entropy, Instant},
    name::{AllocationId, Epoch, HostId, IndexName, SessionId, Term},
};

/// How long after a broken connection the controller is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// What waits for the controller.
#[derive(Debug)]
pub struct Petitions {
    timeout: Duration,
    entropy: Entropy,
    reports: Vec<ShardReport>,
    creations: Vec<Creation>,
    controller: Option<(HostId, Epoch)>,
    session: Option<SessionId>,
    resend_at: Option<Instant>,
}

/// An index that a client of this node wants.
#[derive(Debug)]
struct Creation {
    token: u64,
    request: u64,
    index: IndexName,
    shards: u32,
    replicas: u32,
    deadline: Instant,
    progress: Progress,
}

/// How far a creation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// No controller is known yet.
    Unsent,
    /// A controller was asked.
    Sent,
    /// It is in the cluster state, though this node has not applied that yet.
    Published,
}

impl Petitions {
    /// Nothing to tell. `timeout`: how long a client's request may take, and after how long without effect
    /// everything is sent again.
    pub fn new(timeout: Duration, entropy: Entropy) -> Self {
        let (reports, creations) = (Vec::new(), Vec::new());
        Self { timeout, entropy, reports, creations, controller: None, session: None, resend_at: None }
    }

    /// Adds a report, unless it waits already or the state makes it moot.
    pub fn report(&mut self, ctx: &mut Ctx<'_>, state: Option<&ClusterState>, report: ShardReport) {
        let moot = state.is_some_and(|state| is_settled(&report, state, ctx.me));
        if !moot && !self.reports.contains(&report) {
            self.send(ctx, self.wrapped(report.clone()));
            self.reports.push(report);
        }
    }

    /// Adds a client's wish for an index.
    pub fn create_index(
        &mut self,
        ctx: &mut Ctx<'_>,
        token: u64,
        index: IndexName,
        shards: u32,
        replicas: u32,
    ) {
        let (request, deadline) = (self.entropy.draw(), ctx.now.mono + self.timeout);
        let progress = Progress::Unsent;
        self.creations.push(Creation { token, request, index, shards, replicas, deadline, progress });
        self.send_creations(ctx);
    }

    /// The controller's answer.
    pub fn answered(
        &mut self,
        request: u64,
        result: Result<(), ApiError>,
        state: Option<&ClusterState>,
    ) -> Option<ControlNews> {
        let at = self.creations.iter().position(|creation| creation.request == request)?;
        match result {
            Ok(()) => {
                self.creations[at].progress = Progress::Published;
                self.applied_creations(state?).pop()
            }
            Err(error) => {
                let token = self.creations.remove(at).token;
                Some(ControlNews::Answer { token, result: Err(error) })
            }
        }
    }

    /// A newer state is applied: what it shows is settled; a new controller is told the rest. Reports are
    /// made in the name of the session that the applied state knows this node by: in another one its copies
    /// begin anew, and what was said of them before is void.
    pub fn applied(&mut self, ctx: &mut Ctx<'_>, state: &ClusterState) -> Vec<ControlNews> {
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
        self.applied_creations(state)
    }

    /// The session is over: every copy here is lost to the cluster, so nothing can be said about one.
    pub fn session_lost(&mut self) {
        self.reports.clear();
    }

    /// The connection to a peer broke.
    pub fn peer_lost(&mut self, now: Instant, peer: HostId) {
        if self.controller.is_some_and(|(host, _)| host == peer) && !self.is_empty() {
            let soon = now + RETRY_DELAY;
            self.resend_at = Some(self.resend_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// Time passed.
    pub fn wake(&mut self, ctx: &mut Ctx<'_>) -> Vec<ControlNews> {
        let now = ctx.now.mono;
        let (late, on_time): (Vec<_>, Vec<_>) =
            self.creations.drain(..).partition(|creation| creation.deadline <= now);
        self.creations = on_time;
        if self.resend_at.is_some_and(|at| at <= now) {
            self.resend_at = None;
            self.send_all(ctx);
        }
        late.into_iter().map(Creation::timed_out).collect()
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        let deadlines = self.creations.iter().map(|creation| creation.deadline);
        let resend = self.resend_at.filter(|_| !self.is_empty());
        deadlines.chain(resend).min()
    }

    fn is_empty(&self) -> bool {
        self.reports.is_empty() && self.creations.is_empty()
    }

    fn send_all(&mut self, ctx: &mut Ctx<'_>) {
        for report in self.reports.clone() {
            self.send(ctx, self.wrapped(report));
        }
        for creation in &mut self.creations {
            if creation.progress == Progress::Sent {
                creation.progress = Progress::Unsent;
            }
        }
        self.send_creations(ctx);
    }

    fn send_creations(&mut self, ctx: &mut Ctx<'_>) {
        if self.controller.is_none() {
            return;
        }
        let mut messages = Vec::new();
        for creation in self.creations.iter_mut().filter(|creation| creation.progress == Progress::Unsent) {
            creation.progress = Progress::Sent;
            messages.push(creation.message());
        }
        for message in messages {
            self.send(ctx, message);
        }
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

    fn applied_creations(&mut self, state: &ClusterState) -> Vec<ControlNews> {
        let is_done = |creation: &Creation| {
            creation.progress == Progress::Published && state.indices.contains_key(&creation.index)
        };
        let (done, rest): (Vec<_>, Vec<_>) = self.creations.drain(..).partition(is_done);
        self.creations = rest;
        done.into_iter().map(Creation::acknowledged).collect()
    }
}

impl Creation {
    fn message(&self) -> ControlMessage {
        let Self { request, shards, replicas, .. } = *self;
        ControlMessage::CreateIndex { request, index: self.index.clone(), shards, replicas }
    }

    fn acknowledged(self) -> ControlNews {
        ControlNews::Answer { token: self.token, result: Ok(ApiAnswer::Acknowledged) }
    }

    fn timed_out(self) -> ControlNews {
        let error = |kind: &'static str, reason: String, certain| ApiError {
            status: 503,
            kind: kind.into(),
            reason,
            certain,
        };
        let result = Err(match self.progress {
            Progress::Unsent => {
                error("master_not_discovered_exception", "no controller is known".to_owned(), true)
            }
            Progress::Sent | Progress::Published => error(
                "process_cluster_event_timeout_exception",
                format!("failed to process cluster event (create-index [{}]) in time", self.index),
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
