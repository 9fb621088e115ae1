//! Allocation's figures — decides how long a large cluster takes to be planned, and planned again when a node is
//! lost. It never simulates one.

use std::{collections::BTreeMap, time::Duration};

use super::Line;
use crate::{
    core::Instant,
    memory,
    name::{Epoch, HostId, SessionId},
    search::{
        allocation::{
            Balanced, ClusterInfo, Deadlines, Inputs, Lineage, Settings, allocate, desired::start_all,
        },
        state::{ClusterState, NodeEntry},
    },
};

const NODES: u16 = 1_000;
const INDICES: u32 = 500;
const SHARDS: u32 = 50;
const REPLICAS: u32 = 1;

/// A cluster planned from nothing, recoveries ending at once and throttles lifted; and one node lost from it.
pub(super) fn measure() -> Vec<Line> {
    memory::forget_peak();
    let mut state = empty();
    let lifted = Settings::default().unthrottled();
    let plan = timed(|| while plan_once(&mut state, &lifted) + start_all(&mut state) > 0 {});
    let mut members = state.nodes.clone();
    members.remove(&HostId::search(NODES / 2));
    let replan = timed(|| {
        state.set_members(&members);
        plan_once(&mut state, &Settings::default());
    });
    [("allocation-plan", plan), ("allocation-replan", replan)].map(|(name, wall)| line(name, wall)).into()
}

fn line(scenario: &'static str, wall: Duration) -> Line {
    Line {
        scenario,
        simulated_seconds: 0.0,
        wall_seconds: wall.as_secs_f64(),
        times_real_time: 0.0,
        events_per_second: 0.0,
        messages_per_second: 0.0,
        microseconds_per_write: None,
        copies: Some((INDICES * SHARDS * (1 + REPLICAS)) as usize),
        peak_memory_bytes: memory::peak(),
    }
}

#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "wall time is what is measured")]
fn timed(work: impl FnOnce()) -> Duration {
    let began = std::time::Instant::now();
    work();
    began.elapsed()
}

fn empty() -> ClusterState {
    let mut state = ClusterState::default();
    state.enter_epoch(Epoch(1), HostId::search(1));
    let entry = |number| NodeEntry::new(SessionId(u64::from(number)), "a");
    let members: BTreeMap<_, _> = (1..=NODES).map(|number| (HostId::search(number), entry(number))).collect();
    state.set_members(&members);
    for number in 0..INDICES {
        let made = state.create_index(&format!("index-{number}").as_str().into(), SHARDS, REPLICAS);
        made.expect("the index is allowed");
    }
    state
}

/// One call of the allocator; returns the moves.
fn plan_once(state: &mut ClusterState, settings: &Settings) -> usize {
    let (info, deadlines) = (&ClusterInfo::default(), &Deadlines::new());
    let (now, lineage) = (Instant(0), Lineage::InSync);
    let inputs = Inputs { settings, info, deadlines, now, lineage };
    let rerouted = allocate(&mut Balanced::default(), std::mem::take(state), inputs);
    *state = rerouted.state;
    rerouted.moves.len()
}
