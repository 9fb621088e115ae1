//! Tasks — decides what of all that nodes have told the controller goes into the next state, and what they
//! are answered. It never writes the state.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

use super::{
    administration::AdminTask,
    allocation::{Inputs, Settings, reroute},
    api::{ApiError, admin::Rerouted},
    control::{ControlMessage, Granted, ShardReport},
    coordination::Position,
    discovery::SETTINGS,
    state::{ClusterState, ShardCopy, ShardTable},
    transport::Ctx,
    wire::Transport,
};
use crate::{
    core::Instant,
    event::{CopyState, EventKind},
    name::{Epoch, HostId, IndexName, SessionId, ShardId},
    scenario::plan::ReadPolicy,
};

/// Answers that are remembered for a question that is asked again.
const ANSWERS_KEPT: usize = 64;

/// Something a node wants of the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// A report on a copy.
    Report {
        /// From which node.
        from: HostId,
        /// In which of its sessions.
        session: SessionId,
        /// What it says.
        report: ShardReport,
    },
    /// Something is to be changed.
    Admin {
        /// From which node.
        from: HostId,
        /// The node's number for it.
        request: u64,
        /// What.
        task: AdminTask,
        /// How long nodes may take to apply it.
        timeout: Duration,
    },
}

/// The answer to a [`Task::Admin`].
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    to: HostId,
    request: u64,
    timeout: Duration,
    result: Result<Granted, ApiError>,
}

impl Answer {
    /// Sends it.
    pub fn send(&self, ctx: &mut Ctx<'_>) {
        let Self { to, request, result, .. } = self.clone();
        ctx.send(to, Transport::Control(ControlMessage::Answer { request, result }));
    }

    /// Whether it says that what was wanted is done.
    pub fn is_granted(&self) -> bool {
        self.result.is_ok()
    }

    /// How long nodes may take to apply it.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same, with whether every node has applied it in time.
    pub fn acknowledged(mut self, acknowledged: bool) -> Self {
        match &mut self.result {
            Ok(Granted::Change { acknowledged: told }) => *told = acknowledged,
            Ok(Granted::Rerouted(rerouted)) => rerouted.acknowledged = acknowledged,
            _ => {}
        }
        self
    }

    fn is_to(&self, from: HostId, request: u64) -> bool {
        self.to == from && self.request == request
    }
}

/// What tasks are carried out by.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// What allocation goes by.
    pub inputs: Inputs<'a>,
    /// Whether the document of settings can be written.
    pub document_is_whole: bool,
    /// Which copies answer gets.
    pub read_policy: ReadPolicy,
    /// [`ClusterState::yielding`] of the state that is written.
    pub former: &'a BTreeMap<ShardId, (Epoch, u64)>,
    /// Whether a node has said that it has applied a state.
    pub has_applied: &'a dyn Fn(HostId, Position) -> bool,
}

impl fmt::Debug for Terms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("read_policy", &self.read_policy).finish_non_exhaustive()
    }
}

/// What was done for one state.
#[derive(Debug, Default)]
pub struct Done {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Their answers, to be given once the state is written.
    pub answers: Vec<Answer>,
    /// What there is to note once it is written.
    pub notes: Vec<EventKind>,
    /// Whether some tasks wait for the state after it.
    pub is_cut_short: bool,
}

/// What waits for the next state, and what was answered lately.
#[derive(Debug, Default)]
pub struct Tasks {
    queue: VecDeque<Task>,
    /// Commands that wait for nodes to know of them, and until when.
    waiting: Vec<(Instant, Task)>,
    answered: VecDeque<Answer>,
}

impl Tasks {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len() + self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether some wait for nodes to have applied a state.
    pub fn await_nodes(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When the first of those gives up.
    pub fn next_wake(&self) -> Option<Instant> {
        self.waiting.iter().map(|(until, _)| *until).min()
    }

    /// Adds a task, unless it is waiting already.
    pub fn add(&mut self, task: Task) {
        if !self.queue.contains(&task) && !self.waiting.iter().any(|(_, waiting)| *waiting == task) {
            self.queue.push_back(task);
        }
    }

    /// Adds a request unless it is under way; one that was answered is answered again instead, by what is
    /// returned.
    pub fn add_once<'a>(
        &mut self,
        task: Task,
        mut under_way: impl Iterator<Item = &'a Answer>,
    ) -> Option<Answer> {
        let Task::Admin { from, request, .. } = task else {
            self.add(task);
            return None;
        };
        let answered = self.answered.iter().find(|answer| answer.is_to(from, request)).cloned();
        if answered.is_none() && !under_way.any(|answer| answer.is_to(from, request)) {
            self.add(task);
        }
        answered
    }

    /// Puts tasks back in front: what was done for them was not written.
    pub fn put_back(&mut self, tasks: Vec<Task>) {
        tasks.into_iter().rev().for_each(|task| self.queue.push_front(task));
    }

    /// Applies what waits, in order, and adds what changed to `why`. An index that is made after one of its name
    /// was deleted has to wait for the next state: every state shows whether a name's index is another one.
    pub fn apply(&mut self, state: &mut ClusterState, why: &mut Vec<String>, terms: &Terms<'_>) -> Done {
        let mut done = Done::default();
        let mut deleted: BTreeSet<IndexName> = BTreeSet::new();
        for (until, task) in std::mem::take(&mut self.waiting) {
            self.take_up(state, why, terms, &mut done, (task, Some(until)));
        }
        while let Some(task) = self.queue.pop_front() {
            if let Task::Admin { task: admin, .. } = &task {
                let (makes, deletes) = admin.makes_and_deletes();
                if makes.is_some_and(|index| deleted.contains(index)) {
                    self.queue.push_front(task);
                    done.is_cut_short = true;
                    break;
                }
                deleted.extend(deletes.cloned());
            }
            self.take_up(state, why, terms, &mut done, (task, None));
        }
        done
    }

    /// Does a task, or has it wait; `until`: it has waited already.
    fn take_up(
        &mut self,
        state: &mut ClusterState,
        why: &mut Vec<String>,
        terms: &Terms<'_>,
        done: &mut Done,
        (task, until): (Task, Option<Instant>),
    ) {
        let now = terms.inputs.now;
        match &task {
            Task::Report { from, session, report } => {
                let before = exhausted(state, report, terms);
                why.extend(apply_report(state, *from, *session, report.clone()));
                let moves =
                    |note: &EventKind| matches!(note, EventKind::RetriesExhausted { moves: true, .. });
                let is_new = |note: &EventKind| !before.iter().any(|known| moves(known) == moves(note));
                done.notes.extend(exhausted(state, report, terms).into_iter().filter(is_new));
            }
            Task::Admin { from: to, request, task: admin, timeout } => {
                let until = until.unwrap_or(now + *timeout);
                let result = match admin {
                    AdminTask::Reroute(orders) if !primaries_know(state, orders, terms) => {
                        if now < until {
                            return self.waiting.push((until, task));
                        }
                        Err(timed_out(admin))
                    }
                    AdminTask::Reroute(orders) => {
                        let failed = if orders.retry_failed { failed(state) } else { Vec::new() };
                        let result = order(state, orders, terms);
                        let is_news = result.is_ok() && !failed.is_empty();
                        done.notes.extend(is_news.then_some(EventKind::RetriesReset { shards: failed }));
                        result
                    }
                    admin => carry_out(state, admin, terms.document_is_whole),
                };
                why.extend(result.is_ok().then(|| admin.source()));
                done.answers.push(Answer { to: *to, request: *request, timeout: *timeout, result });
            }
        }
        done.tasks.push(task);
    }

    /// Sends answers, and remembers them.
    pub fn answer(&mut self, ctx: &mut Ctx<'_>, answers: impl IntoIterator<Item = Answer>) {
        for answer in answers {
            answer.send(ctx);
            self.answered.push_back(answer);
        }
        let excess = self.answered.len().saturating_sub(ANSWERS_KEPT);
        self.answered.drain(..excess);
    }
}

/// Notes that the shard of which a report says that a copy failed has one that has failed too often.
fn exhausted(state: &ClusterState, report: &ShardReport, terms: &Terms<'_>) -> Vec<EventKind> {
    let ShardReport::Failed { shard, .. } = report else { return Vec::new() };
    state.shard(shard).map_or(Vec::new(), |table| left_alone(shard, table, terms.inputs.settings))
}

/// Notes that a copy of the shard has failed to start too often, or to move, if one has.
fn left_alone(shard: &ShardId, table: &ShardTable, settings: &Settings) -> Vec<EventKind> {
    let most = settings.of_index(&shard.index).retries_max;
    let notes = [false, true].into_iter().filter_map(|moves| {
        let is_such = |copy: &&ShardCopy| moves == (copy.state != CopyState::Unassigned);
        let copy = table.copies.iter().filter(is_such).find(|copy| copy.failures >= most)?;
        Some(EventKind::RetriesExhausted { shard: shard.clone(), failures: copy.failures, moves })
    });
    notes.collect()
}

/// Notes of all shards of which a copy has failed too often.
pub fn all_left_alone(state: &ClusterState, settings: &Settings) -> Vec<EventKind> {
    state.shards().flat_map(|(shard, table)| left_alone(&shard, table, settings)).collect()
}

/// Shards with copies that failed lately.
fn failed(state: &ClusterState) -> Vec<ShardId> {
    let has_failed = |table: &ShardTable| table.copies.iter().any(|copy| copy.failures > 0);
    state.shards().filter(|(_, table)| has_failed(table)).map(|(shard, _)| shard).collect()
}

/// Carries out reroute commands, all of them or none.
fn order(state: &mut ClusterState, orders: &reroute::Orders, terms: &Terms<'_>) -> Result<Granted, ApiError> {
    let fresh =
        (state.settings.version != terms.inputs.settings.version).then(|| Settings::of(&state.settings));
    let settings = fresh.as_ref().unwrap_or(terms.inputs.settings);
    let (next, explanations) = reroute::apply(state.clone(), orders, Inputs { settings, ..terms.inputs })?;
    *state = next;
    let (acknowledged, explain, state) = (true, orders.explain, None);
    Ok(Granted::Rerouted(Rerouted { acknowledged, explanations, explain, state }))
}

/// Whether the primaries that these commands would replace know it.
///
/// Elsewhere a primary is replaced because its session is over, or because it said itself that it is no good, or by
/// its own hand-off: each time it has stopped by then. One that is taken away by command while its session lives
/// has not; by the read policy `lease` it would answer gets until the next state reaches it, however late, and
/// show less than its successor has acknowledged. So a first state has it `yielding`: from then on it answers gets
/// only after a round among the in-sync copies, as by the policy `primary`. When its node has said that it has
/// applied that, the command is carried out; no command is, if it never says so.
fn primaries_know(state: &mut ClusterState, orders: &reroute::Orders, terms: &Terms<'_>) -> bool {
    if terms.read_policy != ReadPolicy::Lease {
        return true;
    }
    let next = (state.epoch, state.version + 1);
    let deposed = reroute::deposed(state, orders).into_iter();
    let since = |shard: &ShardId| terms.former.get(shard).copied().unwrap_or(next);
    let yields: Vec<_> = deposed.map(|(shard, node)| (since(&shard), shard, node)).collect();
    let knows = |((epoch, version), _, node): &((Epoch, u64), ShardId, HostId)| {
        (*epoch, *version) != next
            && (terms.has_applied)(*node, Position { epoch: *epoch, version: *version })
    };
    if yields.iter().all(knows) {
        return true;
    }
    state.yielding.extend(yields.into_iter().map(|(since, shard, _)| (shard, since)));
    false
}

fn timed_out(task: &AdminTask) -> ApiError {
    let reason = format!("failed to process cluster event ({}) in time", task.source());
    ApiError::new(503, "process_cluster_event_timeout_exception", reason)
}

/// What is in the settings' znode and not whole is not overwritten: it is somebody's to repair.
fn carry_out(state: &mut ClusterState, task: &AdminTask, settings: bool) -> Result<Granted, ApiError> {
    let before = (!settings).then(|| state.clone());
    state.carry_out(task)?;
    if let Some(before) = before.filter(|before| before.settings.version != state.settings.version) {
        *state = before;
        let reason = format!("the settings in [{SETTINGS}] are not whole");
        return Err(ApiError { status: 500, kind: "corrupt_state_exception".into(), reason, certain: true });
    }
    Ok(Granted::Change { acknowledged: true })
}

/// A report counts only if it comes from the session that the state knows: an earlier life of the node, or one
/// that is cut off from ZooKeeper, has no say.
fn apply_report(
    state: &mut ClusterState,
    from: HostId,
    session: SessionId,
    report: ShardReport,
) -> Option<String> {
    if state.nodes.get(&from).is_none_or(|entry| entry.session != session) {
        return None;
    }
    match report {
        ShardReport::Started { shard, allocation, term } => {
            state.copy_started(&shard, allocation, term, from).then(|| format!("{shard} started on {from}"))
        }
        ShardReport::Failed { shard, allocation, term, why } => state
            .copy_failed(&shard, allocation, term, from, &why)
            .then(|| format!("{shard} copy {allocation} failed, says {from}: {why}")),
    }
}

#[cfg(test)]
mod tests;
