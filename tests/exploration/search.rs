//! Search — visits every state that can be reached, each once, and judges the ways by which it came to the
//! last ones.

use super::*;

/// Time may go on so often on one way; more is taken for no progress.
const ADVANCES_MAX: u32 = 60;

/// How a state was reached.
#[derive(Debug)]
struct Step {
    before: Option<Arc<Step>>,
    what: String,
    events: Vec<(HostId, EventKind)>,
    advances: u32,
}

impl Drop for Step {
    /// One by one: a way may be longer than the stack is deep.
    fn drop(&mut self) {
        let mut before = self.before.take();
        while let Some(step) = before.and_then(Arc::into_inner).as_mut() {
            before = step.before.take();
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    /// Different states seen.
    pub(crate) states: usize,
    /// Steps from one state to another.
    pub(crate) steps: usize,
    /// States after which nothing happens any more.
    pub(crate) ends: usize,
    /// The longest way, in steps.
    pub(crate) depth: usize,
    /// Whether nothing was left to visit.
    pub(crate) complete: bool,
    /// The first broken promise, and how it came to that.
    pub(crate) broken: Option<(String, Vec<String>)>,
}

/// Runs the world in the order of its actions until all serve, and lets the clients ask.
pub(crate) fn start(scope: &Scope) -> World {
    let mut world = World::new(scope);
    let mut events = std::mem::take(&mut world.events);
    while !(world.is_settled() && world.moves().is_empty()) {
        let action = world.moves().into_iter().next().unwrap_or(Action::Advance);
        world = world.after(&action, scope);
        assert_eq!(world.broken, None, "the beginning is sound");
        events.append(&mut world.events);
    }
    world.events = events;
    for (number, server) in (1..).zip(&scope.clients) {
        world.open_session(number, *server);
    }
    world
}

/// Visits every state that can be reached from the one in which all servers serve, or the first `states_max`.
pub(crate) fn explore(scope: &Scope, states_max: usize) -> Explored {
    let first = start(scope);
    let mut found = Explored::default();
    let mut seen = BTreeSet::from([first.fingerprint()]);
    let step = Step { before: None, what: "start".into(), events: first.events.clone(), advances: 0 };
    let mut open = vec![(first, Arc::new(step), 0)];
    while let Some((world, step, depth)) = open.pop() {
        found.depth = found.depth.max(depth);
        let actions = world.actions(scope);
        if is_end(&world, &actions) {
            found.ends += 1;
            let why = world.leftover().or_else(|| judge_way(scope, &world, &step));
            found.broken = why.map(|why| (why, way(&step)));
        }
        for action in actions {
            let next = world.after(&action, scope);
            found.steps += 1;
            let advances = step.advances + u32::from(action == Action::Advance);
            let broken = next.broken.clone().or_else(|| {
                (advances > ADVANCES_MAX).then(|| "progress: the ensemble does not come to rest".to_owned())
            });
            let is_new = seen.insert(next.fingerprint());
            if !is_new && broken.is_none() {
                continue;
            }
            let (what, events) = (format!("{action:?}"), next.events.clone());
            let step = Arc::new(Step { before: Some(step.clone()), what, events, advances });
            if let Some(why) = broken {
                found.broken.get_or_insert_with(|| (why, way(&step)));
                break;
            }
            open.push((next, step, depth + 1));
        }
        if found.broken.is_some() || seen.len() >= states_max {
            break;
        }
    }
    (found.states, found.complete) = (seen.len(), open.is_empty() && found.broken.is_none());
    found
}

/// Whether nothing happens any more, but for another crash.
fn is_end(world: &World, actions: &[Action]) -> bool {
    world.is_settled() && actions.iter().all(|action| matches!(action, Action::Crash(..)))
}

fn steps(step: &Arc<Step>) -> Vec<Arc<Step>> {
    let mut all: Vec<_> = std::iter::successors(Some(step.clone()), |step| step.before.clone()).collect();
    all.reverse();
    all
}

fn way(step: &Arc<Step>) -> Vec<String> {
    steps(step).iter().map(|step| step.what.clone()).collect()
}

/// Judges the record of one way by the laws that runs are judged by.
fn judge_way(scope: &Scope, world: &World, last: &Arc<Step>) -> Option<String> {
    let begun = EventKind::RunStarted {
        scenario: "exploration".into(),
        seed: 0,
        servers: scope.config.servers.clone(),
        nodes: Vec::new(),
        copies: 0,
        settle_bound: 0,
        read_policy: "any".into(),
        allocator: "balanced".into(),
    };
    let mut kinds = vec![(None, begun)];
    for step in steps(last) {
        kinds.extend(step.events.iter().map(|(host, event)| (Some(*host), event.clone())));
    }
    for (host, state) in &world.hosts {
        let mut inspected = state.get().clone();
        let now = Now { mono: Instant(world.clock), wall_ms: 0 };
        for effect in inspected.step(now, Input::Inspect) {
            if let Effect::Note(event) = effect {
                kinds.push((Some(*host), event));
            }
        }
    }
    kinds.push((None, EventKind::RunEnded));
    let event = |(seq, (host, kind))| Event { seq, at: SimTime(seq), host, kind };
    let events: Vec<_> = (0..).zip(kinds).map(event).collect();
    let broken = judge(&events, &laws())
        .expect("the laws exist")
        .into_iter()
        .find(|judged| judged.verdict != Verdict::Pass);
    broken.map(|judged| format!("{}: {:?}", judged.law, judged.verdict))
}

/// Everything that can be told without clients or search nodes.
fn laws() -> Vec<String> {
    let told = |name: &&str| name.starts_with("zab.") || name.starts_with("write.");
    let names = LAWS.iter().map(|law| law.name).filter(told);
    names.chain(["zookeeper.replicas-equal", "session.ephemerals"]).map(str::to_owned).collect()
}
