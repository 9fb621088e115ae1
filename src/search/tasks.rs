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
    state::{ClusterState, ShardTable},
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
                done.notes.extend(exhausted(state, report, terms).filter(|_| before.is_none()));
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
fn exhausted(state: &ClusterState, report: &ShardReport, terms: &Terms<'_>) -> Option<EventKind> {
    let ShardReport::Failed { shard, .. } = report else { return None };
    left_alone(shard, state.shard(shard)?, terms.inputs.settings)
}

/// Notes that a copy of the shard has failed too often, if one has.
fn left_alone(shard: &ShardId, table: &ShardTable, settings: &Settings) -> Option<EventKind> {
    let most = settings.of_index(&shard.index).retries_max;
    let copy = table.copies.iter().find(|copy| copy.failures >= most)?;
    let (failures, moves) = (copy.failures, copy.state != CopyState::Unassigned);
    Some(EventKind::RetriesExhausted { shard: shard.clone(), failures, moves })
}

/// Notes of all shards of which a copy has failed too often.
pub fn all_left_alone(state: &ClusterState, settings: &Settings) -> Vec<EventKind> {
    state.shards().filter_map(|(shard, table)| left_alone(&shard, table, settings)).collect()
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
mod tests {
    use super::*;
    use crate::{
        name::{AllocationId, IndexUuid, Term},
        search::{allocation::Lineage, state::NodeEntry},
    };

    const A: HostId = HostId::search(1);

    /// One shard, being built on A, whose session is 2.
    fn state() -> ClusterState {
        let mut state = ClusterState::default();
        state.enter_epoch(Epoch(1), A);
        state.set_members(&[(A, NodeEntry::new(SessionId(2), "a"))].into());
        state.create_index(&"a".into(), 1, 0).unwrap();
        state.assign(&"a/0".parse().unwrap(), 0, A, None);
        state
    }

    fn started(session: u64) -> Task {
        let (shard, allocation, term) = ("a/0".parse().unwrap(), AllocationId(1 << 32), Term(1));
        let report = ShardReport::Started { shard, allocation, term };
        Task::Report { from: A, session: SessionId(session), report }
    }

    fn admin(request: u64, task: AdminTask) -> Task {
        Task::Admin { from: A, request, task, timeout: Duration::from_secs(30) }
    }

    fn create(request: u64, uuid: u64) -> Task {
        let (index, uuid) = ("b".into(), IndexUuid(uuid));
        admin(request, AdminTask::CreateIndex { index, uuid, settings: Default::default() })
    }

    fn apply(tasks: &mut Tasks, state: &mut ClusterState, document_is_whole: bool) -> Done {
        under(ReadPolicy::Any, None, |terms| {
            tasks.apply(state, &mut Vec::new(), &Terms { document_is_whole, ..*terms })
        })
    }

    /// By this read policy, when `told` names the state that has a primary yield and whether its node has applied it.
    fn under<T>(read_policy: ReadPolicy, told: Option<(u64, bool)>, act: impl FnOnce(&Terms<'_>) -> T) -> T {
        let (settings, info, deadlines) = Default::default();
        let (now, lineage) = (Instant(0), Lineage::InSync);
        let inputs = Inputs { settings: &settings, info: &info, deadlines: &deadlines, now, lineage };
        let shard = ("a/0".parse().unwrap(), (Epoch(1), told.map_or(0, |(version, _)| version)));
        let former: BTreeMap<_, _> = told.map(|_| shard).into_iter().collect();
        let has_applied = |_, _| told.is_some_and(|(_, has_applied)| has_applied);
        let (former, has_applied, document_is_whole) = (&former, &has_applied, true);
        act(&Terms { inputs, document_is_whole, read_policy, former, has_applied })
    }

    fn after(task: Task) -> CopyState {
        let (mut state, mut tasks) = (state(), Tasks::default());
        tasks.add(task);
        apply(&mut tasks, &mut state, true);
        state.placements()[0].state
    }

    /// SEARCH-DEFECTS D24: nothing that an earlier life of the node has said is taken as current.
    #[test]
    fn report_of_another_session_has_no_say() {
        assert_eq!(after(started(1)), CopyState::Initializing);
        assert_eq!(after(started(2)), CopyState::Started);
    }

    #[test]
    fn report_that_is_sent_twice_waits_once() {
        let mut tasks = Tasks::default();
        tasks.add(started(2));
        tasks.add(started(2));
        assert_eq!(apply(&mut tasks, &mut state(), true).tasks.len(), 1);
    }

    #[test]
    fn request_that_is_under_way_or_answered_is_not_taken_again() {
        let (mut state, mut tasks) = (state(), Tasks::default());
        assert_eq!(tasks.add_once(create(5, 1), [].iter()), None);
        let answers = apply(&mut tasks, &mut state, true).answers;
        assert_eq!(tasks.add_once(create(5, 1), answers.iter()), None);
        assert!(tasks.is_empty(), "it is under way");
        tasks.answered.extend(answers.clone());
        assert_eq!(tasks.add_once(create(5, 1), [].iter()).as_ref(), answers.first());
    }

    /// SEARCH-DEFECTS C11, C12: a state lies between the end of an index and the next one of its name.
    #[test]
    fn index_of_a_deleted_name_is_made_in_the_next_state() {
        let (mut state, mut tasks) = (state(), Tasks::default());
        tasks.add(create(1, 1));
        tasks.add(admin(2, AdminTask::DeleteIndex { index: "b".into() }));
        tasks.add(create(3, 2));
        let done = apply(&mut tasks, &mut state, true);
        assert_eq!((done.answers.len(), done.is_cut_short, tasks.len()), (2, true, 1));
        assert!(!state.indices.contains_key(&"b".into()));
        assert!(!apply(&mut tasks, &mut state, true).is_cut_short);
        assert_eq!(state.indices[&"b".into()].uuid, IndexUuid(2));
    }

    #[test]
    fn tasks_that_were_put_back_come_first_and_in_order() {
        let mut tasks = Tasks::default();
        tasks.add(create(3, 3));
        tasks.put_back(vec![create(1, 1), create(2, 2)]);
        assert_eq!(tasks.queue, [create(1, 1), create(2, 2), create(3, 3)]);
    }

    #[test]
    fn settings_that_are_not_whole_are_not_overwritten() {
        let (mut state, mut tasks) = (state(), Tasks::default());
        let changes = [("cluster.routing.allocation.enable".to_owned(), Some("none".to_owned()))].into();
        tasks.add(admin(1, AdminTask::ClusterSettings { changes }));
        tasks.add(create(2, 2));
        let before = state.settings.clone();
        let done = apply(&mut tasks, &mut state, false);
        let refused = done.answers[0].result.clone().unwrap_err();
        assert_eq!((refused.status, &*refused.kind), (500, "corrupt_state_exception"));
        assert!(done.answers[1].is_granted(), "an index without settings of its own needs no document");
        assert_eq!(state.settings, before);
    }

    /// One shard with a primary on A and a replica on B; and the order to give the primary up.
    fn doomed() -> (ClusterState, Tasks) {
        let b = HostId::search(2);
        let mut state = ClusterState::default();
        state.enter_epoch(Epoch(1), A);
        let entry = |session| NodeEntry::new(SessionId(session), "a");
        state.set_members(&[(A, entry(2)), (b, entry(3))].into());
        state.create_index(&"a".into(), 1, 1).unwrap();
        let shard: ShardId = "a/0".parse().unwrap();
        for (slot, node) in [(0, A), (1, b)] {
            state.assign(&shard, slot, node, None);
            let id = state.shard(&shard).unwrap().on(node).unwrap().allocation.unwrap();
            assert!(state.copy_started(&shard, id, Term(1), node));
        }
        let command = reroute::Command::Cancel { index: "a".into(), shard: 0, node: A, allow_primary: true };
        let orders = reroute::Orders { commands: vec![command], ..Default::default() };
        let mut tasks = Tasks::default();
        tasks.add(admin(9, AdminTask::Reroute(orders)));
        (state, tasks)
    }

    fn leader(state: &ClusterState) -> Option<HostId> {
        state.shard(&"a/0".parse().unwrap()).unwrap().primary().and_then(|copy| copy.node)
    }

    #[test]
    fn primary_is_taken_away_at_once_unless_gets_go_by_its_session() {
        let (mut state, mut tasks) = doomed();
        let done = apply(&mut tasks, &mut state, true);
        assert_eq!((leader(&state), done.answers.len()), (Some(HostId::search(2)), 1));
        assert!(state.yielding.is_empty());
    }

    #[test]
    fn primary_under_lease_yields_until_its_node_knows_and_only_then_goes() {
        let (mut state, mut tasks) = doomed();
        let mut step = |tasks: &mut Tasks, told| {
            state.forget_orders();
            let done =
                under(ReadPolicy::Lease, told, |terms| tasks.apply(&mut state, &mut Vec::new(), terms));
            (leader(&state), state.yielding.values().next().copied(), done.answers.len())
        };
        let yields = Some((Epoch(1), 1));
        assert_eq!(step(&mut tasks, None), (Some(A), yields, 0), "it is told first");
        assert_eq!(step(&mut tasks, Some((1, false))), (Some(A), yields, 0), "it has not heard");
        assert_eq!(tasks.len(), 1);
        assert_eq!(step(&mut tasks, Some((0, true))), (Some(HostId::search(2)), None, 1));
        assert!(tasks.is_empty());
    }

    #[test]
    fn command_that_waits_too_long_is_given_up() {
        let (mut state, mut tasks) = doomed();
        let mut step = |tasks: &mut Tasks, now| {
            under(ReadPolicy::Lease, None, |terms| {
                let inputs = Inputs { now, ..terms.inputs };
                tasks.apply(&mut state, &mut Vec::new(), &Terms { inputs, ..*terms })
            })
        };
        step(&mut tasks, Instant(0));
        let until = tasks.next_wake().unwrap();
        assert_eq!(until, Instant(0) + Duration::from_secs(30));
        let refused = step(&mut tasks, until).answers[0].result.clone().unwrap_err();
        assert_eq!((refused.status, &*refused.kind), (503, "process_cluster_event_timeout_exception"));
        assert_eq!(leader(&state), Some(A));
    }

    #[test]
    fn copy_that_fails_too_often_is_noted_once_and_again_when_it_is_retried() {
        let (mut state, mut tasks) = (state(), Tasks::default());
        let shard: ShardId = "a/0".parse().unwrap();
        let mut notes = Vec::new();
        for nth in 1..=5 {
            let table = state.shard(&shard).unwrap();
            let (allocation, term) = (table.copies[0].allocation.unwrap(), table.term);
            let report = ShardReport::Failed { shard: shard.clone(), allocation, term, why: "no".into() };
            tasks.add(Task::Report { from: A, session: SessionId(2), report });
            notes.extend(apply(&mut tasks, &mut state, true).notes);
            assert_eq!(notes.is_empty(), nth < 5);
            if nth < 5 {
                state.assign(&shard, 0, A, None);
            }
        }
        assert_eq!(all_left_alone(&state, &Settings::default()), notes, "a successor tells of it");
        let orders = reroute::Orders { retry_failed: true, ..Default::default() };
        tasks.add(admin(1, AdminTask::Reroute(orders)));
        notes.extend(apply(&mut tasks, &mut state, true).notes);
        let exhausted = EventKind::RetriesExhausted { shard: shard.clone(), failures: 5, moves: false };
        assert_eq!(all_left_alone(&state, &Settings::default()), []);
        assert_eq!(notes, [exhausted, EventKind::RetriesReset { shards: vec![shard] }]);
    }
}
