//! Tests of tasks — decides whether each is done once, answered, and told. It never needs a controller.

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
        let done = under(ReadPolicy::Lease, told, |terms| tasks.apply(&mut state, &mut Vec::new(), terms));
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

#[test]
fn copy_that_failed_is_noted_beside_one_that_failed_to_move() {
    use crate::{
        event::CopyState::{Started, Unassigned},
        search::fixture::{copy, table},
    };
    let shard: ShardId = "a/0".parse().unwrap();
    let mut table = table(vec![copy(1, 11, true, Started), copy(2, 12, false, Unassigned)]);
    let noted = |table: &ShardTable| -> Vec<bool> {
        let notes = left_alone(&shard, table, &Settings::default()).into_iter();
        notes.map(|note| matches!(note, EventKind::RetriesExhausted { moves: true, .. })).collect()
    };
    table.copies[0].failures = 5;
    assert_eq!(noted(&table), [true]);
    table.copies[1].failures = 5;
    assert_eq!(noted(&table), [false, true]);
}
