//! Health — decides how well a cluster state is: worst shard first. It never asks whether the state is new.

use std::time::Duration;

use super::{
    Outcome,
    flow::{Ending, Flow, Move},
};
use crate::{
    event::CopyState,
    search::{
        api::{
            ApiAnswer, ApiError,
            admin::{ActiveShards, ClusterHealth, Health, HealthRequest, IndexCounts, TIMEOUT},
        },
        state::{ClusterState, IndexMetadata, ShardCopy, ShardTable},
    },
};

/// The course of a health request: answered at once, or when the state is as wanted, or when time is up.
#[derive(Debug)]
pub(super) struct HealthFlow {
    request: HealthRequest,
    nodes: Option<(Comparison, u32)>,
    pending_tasks: u32,
    last: ClusterHealth,
}

/// How numbers of nodes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    AtLeast,
    AtMost,
    More,
    Less,
}

impl HealthFlow {
    /// Begins to wait.
    ///
    /// # Errors
    ///
    /// 400 if `wait_for_nodes` cannot be read.
    pub(super) fn new(
        request: HealthRequest,
        pending_tasks: u32,
        state: &ClusterState,
    ) -> Result<Self, ApiError> {
        let unreadable =
            |text: &str| ApiError::illegal(format!("failed to parse [wait_for_nodes] from [{text}]"));
        let nodes = match request.wait_for_nodes.as_deref() {
            Some(text) => Some(comparison(text).ok_or_else(|| unreadable(text))?),
            None => None,
        };
        let last = of(state, &request, pending_tasks);
        Ok(Self { request, nodes, pending_tasks, last })
    }

    fn look(&mut self, state: &ClusterState) -> Vec<Move> {
        self.last = of(state, &self.request, self.pending_tasks);
        let is_met = self.is_met(state);
        is_met.then(|| Move::End(Ok(ApiAnswer::Health(self.last.clone())))).into_iter().collect()
    }

    /// `TransportClusterHealthAction.prepareResponse`: all that is waited for must hold; an index that is asked
    /// for is waited for by itself.
    fn is_met(&self, state: &ClusterState) -> bool {
        let (request, counts) = (&self.request, &self.last.counts);
        let configured = counts.active + counts.initializing + counts.unassigned;
        let active = |wanted: ActiveShards| wanted.is_met(counts.active as usize, configured as usize);
        request.wait_for_status.is_none_or(|status| counts.status >= status)
            && !(request.wait_for_no_relocating_shards && counts.relocating > 0)
            && !(request.wait_for_no_initializing_shards && counts.initializing > 0)
            && request.wait_for_active_shards.is_none_or(active)
            && self.nodes.is_none_or(|(how, count)| how.holds(self.last.nodes, count))
            && request.index.as_ref().is_none_or(|index| state.indices.contains_key(index))
    }
}

impl Flow for HealthFlow {
    fn begin(&mut self, state: &ClusterState) -> Vec<Move> {
        self.look(state)
    }

    fn heard(&mut self, _part: u32, _outcome: Outcome, _state: &ClusterState) -> Vec<Move> {
        Vec::new()
    }

    fn state_applied(&mut self, state: &ClusterState) -> Vec<Move> {
        self.look(state)
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.request.timeout.unwrap_or(TIMEOUT))
    }

    fn timed_out(&mut self) -> Ending {
        Ok(ApiAnswer::Health(ClusterHealth { timed_out: true, ..self.last.clone() }))
    }
}

impl Comparison {
    fn holds(self, nodes: u32, count: u32) -> bool {
        match self {
            Self::Equal => nodes == count,
            Self::AtLeast => nodes >= count,
            Self::AtMost => nodes <= count,
            Self::More => nodes > count,
            Self::Less => nodes < count,
        }
    }
}

/// Reads `3`, `>=3`, `ge(3)` and the like.
fn comparison(text: &str) -> Option<(Comparison, u32)> {
    let named = [
        ("ge(", Comparison::AtLeast),
        ("le(", Comparison::AtMost),
        ("gt(", Comparison::More),
        ("lt(", Comparison::Less),
    ];
    let signs = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        (">", Comparison::More),
        ("<", Comparison::Less),
        ("", Comparison::Equal),
    ];
    let within = named.into_iter().find_map(|(word, how)| {
        let number = text.strip_prefix(word)?.strip_suffix(')')?;
        Some((how, number.parse().ok()?))
    });
    let behind =
        || signs.into_iter().find_map(|(sign, how)| Some((how, text.strip_prefix(sign)?.parse().ok()?)));
    within.or_else(behind)
}

/// Health of the indices asked for. An index that is not there is red.
pub(super) fn of(state: &ClusterState, request: &HealthRequest, pending_tasks: u32) -> ClusterHealth {
    let is_wanted = |name: &&_| request.index.as_ref().is_none_or(|index| index == *name);
    let wanted = state.indices.iter().filter(|(name, _)| is_wanted(name));
    let indices: std::collections::BTreeMap<_, _> =
        wanted.map(|(name, metadata)| (name.clone(), index(state, metadata))).collect();
    let mut counts = indices.values().fold(IndexCounts::NONE, add);
    if request.index.is_some() && indices.is_empty() {
        counts.status = Health::Red;
    }
    ClusterHealth { timed_out: false, nodes: state.nodes.len() as u32, counts, indices, pending_tasks }
}

fn index(state: &ClusterState, metadata: &IndexMetadata) -> IndexCounts {
    let shards = metadata.shards.iter().map(|table| shard(state, table));
    IndexCounts {
        replicas: metadata.replicas,
        ..shards.fold(IndexCounts::NONE, |sum, counts| add(sum, &counts))
    }
}

fn add(sum: IndexCounts, counts: &IndexCounts) -> IndexCounts {
    IndexCounts {
        status: sum.status.min(counts.status),
        shards: sum.shards + counts.shards,
        replicas: sum.replicas,
        active_primaries: sum.active_primaries + counts.active_primaries,
        active: sum.active + counts.active,
        relocating: sum.relocating + counts.relocating,
        initializing: sum.initializing + counts.initializing,
        unassigned: sum.unassigned + counts.unassigned,
        delayed: sum.delayed + counts.delayed,
    }
}

/// Red: the primary is not active; yellow: a replica is not (`ClusterShardHealth`). The target of a
/// relocation does not count for that, its source does.
fn shard(state: &ClusterState, table: &ShardTable) -> IndexCounts {
    let count =
        |is_it: &dyn Fn(&ShardCopy) -> bool| table.copies.iter().filter(|copy| is_it(copy)).count() as u32;
    let active_primaries = count(&|copy| copy.primary && copy.is_active());
    let status = match active_primaries > 0 {
        false => Health::Red,
        true if table.copies.iter().all(|copy| copy.is_active() || copy.is_target()) => Health::Green,
        true => Health::Yellow,
    };
    // It waits for the node that has its data, and which is away.
    let is_delayed = |copy: &ShardCopy| {
        let home = copy.allocation.and_then(|id| state.homes.get(&id));
        copy.node.is_none() && !copy.primary && home.is_some_and(|home| !state.nodes.contains_key(home))
    };
    IndexCounts {
        status,
        shards: 1,
        replicas: 0,
        active_primaries,
        active: count(&ShardCopy::is_active),
        relocating: count(&|copy| copy.state == CopyState::Relocating),
        initializing: count(&|copy| copy.state == CopyState::Initializing),
        unassigned: count(&|copy| copy.state == CopyState::Unassigned),
        delayed: count(&is_delayed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::CopyState::{Initializing, Relocating, Started},
        name::AllocationId,
        search::fixture::{copy, state, table},
    };

    fn status(state: &ClusterState) -> Health {
        of(state, &HealthRequest::default(), 0).counts.status
    }

    #[test]
    fn worst_shard_decides() {
        let green = table(vec![copy(1, 1, true, Started), copy(2, 2, false, Started)]);
        let yellow = table(vec![copy(1, 3, true, Started), copy(2, 4, false, Initializing)]);
        let red = table(vec![copy(1, 5, true, Initializing), copy(2, 6, false, Started)]);
        let cases = [
            (vec![], Health::Green),
            (vec![green.clone()], Health::Green),
            (vec![green.clone(), yellow.clone()], Health::Yellow),
            (vec![yellow, red, green], Health::Red),
        ];
        for (shards, expected) in cases {
            assert_eq!(status(&state(1, shards)), expected);
        }
    }

    fn moving() -> ClusterState {
        let source = ShardCopy { relocating: Some(AllocationId(2)), ..copy(1, 1, true, Relocating) };
        let target = ShardCopy { relocating: Some(AllocationId(1)), ..copy(2, 2, false, Initializing) };
        state(1, vec![table(vec![source, target])])
    }

    #[test]
    fn relocation_stays_green() {
        let health = of(&moving(), &HealthRequest::default(), 0);
        assert_eq!((health.counts.status, health.nodes), (Health::Green, 3));
        let counts = health.counts;
        assert_eq!((counts.active, counts.relocating, counts.initializing, counts.unassigned), (1, 1, 1, 0));
    }

    fn begin(request: HealthRequest, state: &ClusterState) -> Vec<Move> {
        HealthFlow::new(request, 0, state).unwrap().begin(state)
    }

    #[test]
    fn health_that_waits_for_nothing_is_told_at_once() {
        assert_eq!(begin(HealthRequest::default(), &moving()).len(), 1);
    }

    #[test]
    fn health_waits_until_all_that_is_wanted_holds() {
        let wants = [
            HealthRequest { wait_for_no_relocating_shards: true, ..HealthRequest::default() },
            HealthRequest { wait_for_no_initializing_shards: true, ..HealthRequest::default() },
            HealthRequest { wait_for_nodes: Some(">3".to_owned()), ..HealthRequest::default() },
            HealthRequest { index: Some("books".into()), ..HealthRequest::default() },
            HealthRequest {
                wait_for_active_shards: Some(ActiveShards::AtLeast(2)),
                ..HealthRequest::default()
            },
        ];
        for request in wants {
            assert_eq!(begin(request.clone(), &moving()), [], "{request:?}");
        }
        let yellow = state(1, vec![table(vec![copy(1, 3, true, Started), copy(2, 4, false, Initializing)])]);
        let request = HealthRequest { wait_for_status: Some(Health::Green), ..HealthRequest::default() };
        let mut flow = HealthFlow::new(request, 0, &yellow).unwrap();
        assert_eq!(flow.begin(&yellow), []);
        let green = state(2, vec![table(vec![copy(1, 3, true, Started), copy(2, 4, false, Started)])]);
        assert_eq!(flow.state_applied(&green).len(), 1);
    }

    #[test]
    fn health_that_does_not_come_is_told_as_timed_out() {
        let request = HealthRequest { index: Some("books".into()), ..HealthRequest::default() };
        let mut flow = HealthFlow::new(request, 2, &moving()).unwrap();
        let Ok(ApiAnswer::Health(health)) = flow.timed_out() else { panic!("a timeout is an answer") };
        assert_eq!((health.status(), health.counts.status, health.pending_tasks), (408, Health::Red, 2));
    }

    #[test]
    fn numbers_of_nodes_are_read_as_elasticsearchs() {
        assert_eq!(comparison("3"), Some((Comparison::Equal, 3)));
        assert_eq!(comparison(">=3"), Some((Comparison::AtLeast, 3)));
        assert_eq!(comparison("le(4)"), Some((Comparison::AtMost, 4)));
        assert_eq!(comparison("<5"), Some((Comparison::Less, 5)));
        assert_eq!(comparison("many"), None);
        let request = HealthRequest { wait_for_nodes: Some("many".to_owned()), ..HealthRequest::default() };
        assert_eq!(HealthFlow::new(request, 0, &moving()).unwrap_err().status, 400);
    }

    #[test]
    fn copies_that_wait_for_their_node_are_counted() {
        let away = ShardCopy { node: None, ..copy(9, 9, false, CopyState::Unassigned) };
        let mut waiting = state(1, vec![table(vec![copy(1, 1, true, Started), away])]);
        waiting.homes = [(AllocationId(9), crate::name::HostId::search(9))].into();
        let counts = of(&waiting, &HealthRequest::default(), 0).counts;
        assert_eq!((counts.unassigned, counts.delayed), (1, 1));
    }
}
