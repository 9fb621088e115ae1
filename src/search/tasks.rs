//! Tasks — decides what of all that nodes have told the controller goes into the next state, and what they
//! are answered. It never writes the state.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    administration::AdminTask,
    api::ApiError,
    control::{ControlMessage, Granted, ShardReport},
    discovery::SETTINGS,
    state::ClusterState,
    transport::Ctx,
    wire::Transport,
};
use crate::name::{HostId, IndexName, SessionId};

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
        if let Ok(Granted::Change { acknowledged: told, .. }) = &mut self.result {
            *told = acknowledged;
        }
        self
    }

    fn is_to(&self, from: HostId, request: u64) -> bool {
        self.to == from && self.request == request
    }
}

/// What was done for one state.
#[derive(Debug, Default)]
pub struct Done {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Their answers, to be given once the state is written.
    pub answers: Vec<Answer>,
    /// Whether some tasks wait for the state after it.
    pub is_cut_short: bool,
}

/// What waits for the next state, and what was answered lately.
#[derive(Debug, Default)]
pub struct Tasks {
    queue: VecDeque<Task>,
    answered: VecDeque<Answer>,
}

impl Tasks {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a task, unless it is waiting already.
    pub fn add(&mut self, task: Task) {
        if !self.queue.contains(&task) {
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
    /// `settings`: whether the document of settings can be written.
    pub fn apply(&mut self, state: &mut ClusterState, why: &mut Vec<String>, settings: bool) -> Done {
        let mut done = Done::default();
        let mut deleted: BTreeSet<IndexName> = BTreeSet::new();
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
            match &task {
                Task::Report { from, session, report } => {
                    why.extend(apply_report(state, *from, *session, report.clone()));
                }
                Task::Admin { from: to, request, task, timeout } => {
                    let result = carry_out(state, task, settings);
                    why.extend(result.is_ok().then(|| task.source()));
                    done.answers.push(Answer { to: *to, request: *request, timeout: *timeout, result });
                }
            }
            done.tasks.push(task);
        }
        done
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
        event::CopyState,
        name::{AllocationId, Epoch, IndexUuid, Term},
        search::state::NodeEntry,
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

    fn after(task: Task) -> CopyState {
        let (mut state, mut tasks) = (state(), Tasks::default());
        tasks.add(task);
        tasks.apply(&mut state, &mut Vec::new(), true);
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
        let mut why = Vec::new();
        tasks.apply(&mut state(), &mut why, true);
        assert_eq!(why, ["a/0 started on search-1"]);
    }

    #[test]
    fn request_that_is_under_way_or_answered_is_not_taken_again() {
        let (mut state, mut tasks) = (state(), Tasks::default());
        assert_eq!(tasks.add_once(create(5, 1), [].iter()), None);
        let answers = tasks.apply(&mut state, &mut Vec::new(), true).answers;
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
        let done = tasks.apply(&mut state, &mut Vec::new(), true);
        assert_eq!((done.answers.len(), done.is_cut_short, tasks.len()), (2, true, 1));
        assert!(!state.indices.contains_key(&"b".into()));
        assert!(!tasks.apply(&mut state, &mut Vec::new(), true).is_cut_short);
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
        let done = tasks.apply(&mut state, &mut Vec::new(), false);
        let refused = done.answers[0].result.clone().unwrap_err();
        assert_eq!((refused.status, &*refused.kind), (500, "corrupt_state_exception"));
        assert!(done.answers[1].is_granted(), "an index without settings of its own needs no document");
        assert_eq!(state.settings, before);
    }
}
