//! Tasks — decides what of all that nodes have told the controller goes into the next state, and what they
//! are answered. It never writes the state.

use std::collections::VecDeque;

use super::{
    api::ApiError,
    control::{ControlMessage, ShardReport},
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
    /// An index is to be made.
    CreateIndex {
        /// From which node.
        from: HostId,
        /// The node's number for it.
        request: u64,
        /// Its name.
        index: IndexName,
        /// number_of_shards.
        shards: u32,
        /// number_of_replicas.
        replicas: u32,
    },
}

/// The answer to a [`Task::CreateIndex`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    to: HostId,
    request: u64,
    result: Result<(), ApiError>,
}

impl Answer {
    /// Sends it.
    pub fn send(&self, ctx: &mut Ctx<'_>) {
        let Self { to, request, result } = self.clone();
        ctx.send(to, Transport::Control(ControlMessage::IndexCreated { request, result }));
    }
}

/// What waits for the next state, and what was answered lately.
#[derive(Debug, Default)]
pub struct Tasks {
    queue: VecDeque<Task>,
    answered: VecDeque<Answer>,
}

impl Tasks {
    /// Adds a task, unless it is waiting already.
    pub fn add(&mut self, task: Task) {
        if !self.queue.contains(&task) {
            self.queue.push_back(task);
        }
    }

    /// Adds a request unless it is under way; one that was answered is answered again instead, by what is
    /// returned.
    pub fn add_once(&mut self, task: Task, under_way: &[Answer]) -> Option<Answer> {
        let Task::CreateIndex { from, request, .. } = task else {
            self.add(task);
            return None;
        };
        let is_it = |answer: &&Answer| answer.to == from && answer.request == request;
        let answered = self.answered.iter().find(is_it).cloned();
        if answered.is_none() && !under_way.iter().any(|answer| is_it(&answer)) {
            self.add(task);
        }
        answered
    }

    /// Applies all that waits, in order; returns the answers to give once the state is written, and adds
    /// what changed to `why`.
    pub fn apply(&mut self, state: &mut ClusterState, why: &mut Vec<String>) -> Vec<Answer> {
        let mut answers = Vec::new();
        for task in std::mem::take(&mut self.queue) {
            match task {
                Task::Report { from, session, report } => {
                    why.extend(apply_report(state, from, session, report));
                }
                Task::CreateIndex { from: to, request, index, shards, replicas } => {
                    let result = state.create_index(&index, shards, replicas);
                    why.extend(result.is_ok().then(|| format!("{index} created")));
                    answers.push(Answer { to, request, result });
                }
            }
        }
        answers
    }

    /// Sends answers, and remembers them.
    pub fn answer(&mut self, ctx: &mut Ctx<'_>, answers: Vec<Answer>) {
        for answer in answers {
            answer.send(ctx);
            self.answered.push_back(answer);
        }
        let excess = self.answered.len().saturating_sub(ANSWERS_KEPT);
        self.answered.drain(..excess);
    }
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
        name::{AllocationId, Epoch, Term},
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

    fn wish(request: u64) -> Task {
        Task::CreateIndex { from: A, request, index: "b".into(), shards: 1, replicas: 0 }
    }

    fn after(task: Task) -> CopyState {
        let (mut state, mut tasks) = (state(), Tasks::default());
        tasks.add(task);
        tasks.apply(&mut state, &mut Vec::new());
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
        tasks.apply(&mut state(), &mut why);
        assert_eq!(why, ["a/0 started on search-1"]);
    }

    #[test]
    fn request_that_is_under_way_or_answered_is_not_taken_again() {
        let (mut state, mut tasks) = (state(), Tasks::default());
        assert_eq!(tasks.add_once(wish(5), &[]), None);
        let answers = tasks.apply(&mut state, &mut Vec::new());
        assert_eq!(tasks.add_once(wish(5), &answers), None);
        assert_eq!(tasks.apply(&mut state, &mut Vec::new()), [], "it is under way");
        tasks.answered.extend(answers.clone());
        assert_eq!(tasks.add_once(wish(5), &[]).as_ref(), answers.first());
    }
}
