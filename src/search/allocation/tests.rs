//! Tests of the allocator — decides whether clusters converge as Elasticsearch's own tests expect, and
//! whether any history does. It never times anything.

mod commands;
mod disks;
mod elastic;
mod primaries;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{tally::Tally, weights::Weights, *};
use crate::{
    event::CopyState,
    name::{Epoch, SessionId, Term},
    search::{settings::SettingsDocument, soundness::assert_sound, state::NodeEntry, state::ShardCopy},
};

/// A cluster whose copies start as soon as somebody lets them.
#[derive(Debug)]
struct Cluster {
    state: ClusterState,
    allocator: Box<dyn Allocator>,
    settings: Settings,
    info: ClusterInfo,
    deadlines: Deadlines,
    now: Instant,
    moves: Vec<Move>,
    lives: u64,
}

impl Cluster {
    fn of(nodes: u16) -> Self {
        let mut state = ClusterState::default();
        state.enter_epoch(Epoch(1), HostId::search(1));
        let settings = Settings::default();
        let (deadlines, now) = (Deadlines::new(), Instant(0));
        let (allocator, info) = (AllocatorFactory::default().make(), ClusterInfo::default());
        let mut cluster =
            Self { state, allocator, settings, info, deadlines, now, moves: Vec::new(), lives: 0 };
        for number in 1..=nodes {
            cluster.join(number);
        }
        cluster
    }

    fn join(&mut self, number: u16) {
        self.lives += 1;
        let mut members = self.state.nodes.clone();
        let entry = NodeEntry::new(SessionId(self.lives), "a");
        members.insert(HostId::search(number), entry);
        self.state.set_members(&members);
    }

    fn join_with(&mut self, number: u16, attributes: &[(&str, &str)]) {
        self.lives += 1;
        let mut members = self.state.nodes.clone();
        let pairs = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let entry = NodeEntry { attributes: pairs.collect(), ..NodeEntry::new(SessionId(self.lives), "a") };
        members.insert(HostId::search(number), entry);
        self.state.set_members(&members);
    }

    /// These settings of the cluster, and no others.
    fn set(&mut self, settings: &[(&str, &str)]) {
        let pairs = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let cluster = crate::search::settings::Settings(pairs.collect());
        let version = self.settings.version + 1;
        self.settings = Settings::of(&SettingsDocument { version, cluster, ..SettingsDocument::default() });
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            settings: &self.settings,
            info: &self.info,
            deadlines: &self.deadlines,
            now: self.now,
            lineage: Lineage::InSync,
        }
    }

    fn leave(&mut self, number: u16) {
        let mut members = self.state.nodes.clone();
        members.remove(&HostId::search(number));
        self.state.set_members(&members);
    }

    fn index(&mut self, name: &str, shards: u32, replicas: u32) {
        self.state.create_index(&name.into(), shards, replicas).unwrap();
    }

    fn reroute(&mut self) -> usize {
        let state = std::mem::take(&mut self.state);
        let inputs = Inputs {
            settings: &self.settings,
            info: &self.info,
            deadlines: &self.deadlines,
            now: self.now,
            lineage: Lineage::InSync,
        };
        let rerouted = allocate(&mut *self.allocator, state, inputs);
        self.state = rerouted.state;
        assert_sound(&self.state);
        let moves = rerouted.moves.len();
        self.moves.extend(rerouted.moves);
        moves
    }

    /// Everything that is being built, as (shard, copy, node).
    fn initializing(&self) -> Vec<(ShardId, AllocationId, HostId)> {
        let copies = self.state.shards().flat_map(|(shard, table)| {
            let built = table.copies.iter().filter(|copy| copy.state == CopyState::Initializing);
            built.map(move |copy| (shard.clone(), copy.allocation.unwrap(), copy.node.unwrap()))
        });
        copies.collect()
    }

    fn start_all(&mut self) -> usize {
        let initializing = self.initializing();
        for (shard, id, node) in &initializing {
            let term = self.state.shard(shard).unwrap().term;
            assert!(self.state.copy_started(shard, *id, term, *node));
        }
        assert_sound(&self.state);
        initializing.len()
    }

    /// Lets copies start and the allocator run until nothing changes; returns the rounds it took.
    fn converge(&mut self) -> usize {
        for round in 0..200 {
            let moves = self.reroute();
            if moves + self.start_all() == 0 {
                return round;
            }
        }
        panic!("no end after 200 rounds: {:?}", self.moves.iter().rev().take(10).collect::<Vec<_>>());
    }

    fn count(&self, number: u16, is_counted: impl Fn(&ShardCopy) -> bool) -> usize {
        let copies = self.state.shards().flat_map(|(_, table)| &table.copies);
        copies.filter(|copy| copy.node == Some(HostId::search(number)) && is_counted(copy)).count()
    }

    fn copies_of(&self, index: &str, number: u16) -> u32 {
        Tally::of(&self.state, &self.info).copies_of(&index.into(), HostId::search(number))
    }

    fn unassigned(&self) -> usize {
        let copies = self.state.shards().flat_map(|(_, table)| &table.copies);
        copies.filter(|copy| copy.node.is_none()).count()
    }

    fn relocations(&self) -> usize {
        self.moves.iter().filter(|made| matches!(made.action, Action::Relocate { .. })).count()
    }
}

fn allocators() -> [AllocatorFactory; 3] {
    [
        AllocatorFactory::new(Balanced::default),
        AllocatorFactory::new(LeastLoaded::default),
        AllocatorFactory::new(DesiredBalance::default),
    ]
}

fn any(_: &ShardCopy) -> bool {
    true
}

/// Elasticsearch's AddIncrementallyTests.
#[test]
fn nodes_added_one_by_one_share_the_copies() {
    let mut cluster = Cluster::of(1);
    for index in ["a", "b", "c"] {
        cluster.index(index, 3, 1);
    }
    cluster.converge();
    assert_eq!((cluster.count(1, any), cluster.unassigned()), (9, 9));
    cluster.join(2);
    cluster.converge();
    assert_eq!((cluster.count(1, any), cluster.count(2, any), cluster.unassigned()), (9, 9, 0));
    cluster.join(3);
    cluster.converge();
    for (index, node) in [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3), ("c", 1)] {
        assert_eq!(cluster.copies_of(index, node), 2);
    }
    cluster.join(4);
    cluster.converge();
    for (index, node) in [("a", 1), ("a", 4), ("b", 4), ("c", 4)] {
        assert!((1..=2).contains(&cluster.copies_of(index, node)));
    }
}

/// Elasticsearch's AddIncrementallyTests: more copies than nodes wait for one.
#[test]
fn copies_without_a_node_of_their_own_wait_for_one() {
    let mut cluster = Cluster::of(3);
    cluster.index("a", 2, 3);
    cluster.converge();
    assert_eq!(cluster.unassigned(), 2);
    cluster.index("b", 2, 3);
    cluster.converge();
    assert_eq!(cluster.unassigned(), 4);
    cluster.join(4);
    cluster.converge();
    assert_eq!(cluster.unassigned(), 0);
}

/// Elasticsearch's AddIncrementallyTests: testMinimalRelocations.
#[test]
fn joining_node_gets_its_share_in_exactly_six_relocations() {
    let mut cluster = Cluster::of(2);
    for index in ["a", "b", "c"] {
        cluster.index(index, 3, 1);
    }
    cluster.converge();
    cluster.join(3);
    let mut seen = Vec::new();
    for _ in 0..4 {
        cluster.reroute();
        let initializing = cluster.count(3, |copy| copy.state == CopyState::Initializing);
        seen.push((initializing, cluster.count(3, |copy| copy.state == CopyState::Started)));
        cluster.start_all();
    }
    assert_eq!(seen, [(2, 0), (2, 2), (2, 4), (0, 6)]);
    assert_eq!(cluster.relocations(), 6);
    let to_third = |made: &Move| match made.action {
        Action::Relocate { to, .. } => to == HostId::search(3),
        _ => true,
    };
    assert!(cluster.moves.iter().all(to_third), "none between the old nodes");
}

/// Elasticsearch's IndexBalanceTests.
#[test]
fn two_indices_spread_evenly_over_three_nodes() {
    let mut cluster = Cluster::of(3);
    cluster.index("a", 3, 1);
    cluster.index("b", 3, 1);
    cluster.converge();
    for node in 1..=3 {
        assert_eq!(cluster.count(node, |copy| copy.state == CopyState::Started), 4);
        assert_eq!((cluster.copies_of("a", node), cluster.copies_of("b", node)), (2, 2));
    }
}

/// Elasticsearch's BalanceConfigurationTests, with the default factors.
#[test]
fn many_copies_on_many_nodes_are_even_within_one() {
    let mut cluster = Cluster::of(25);
    for index in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
        cluster.index(index, 2, 2);
    }
    for joined in [25, 26] {
        if joined == 26 {
            cluster.join(26);
        }
        cluster.converge();
        for node in 1..=joined {
            assert!((1..=4).contains(&cluster.count(node, any)), "{node}");
        }
    }
    for node in 14..=26 {
        cluster.leave(node);
    }
    cluster.converge();
    for node in 1..=13 {
        assert!((4..=7).contains(&cluster.count(node, any)), "{node}");
    }
}

/// "replica only when its primary is active"
#[test]
fn replica_waits_for_its_primary() {
    let mut cluster = Cluster::of(3);
    cluster.index("a", 1, 1);
    cluster.reroute();
    assert_eq!(cluster.initializing().len(), 1);
    cluster.start_all();
    cluster.reroute();
    assert_eq!(cluster.initializing().len(), 1);
}

/// "initial primaries per node; incoming and outgoing recoveries per node: 4 / 2 / 2"
#[test]
fn recoveries_are_throttled() {
    let mut cluster = Cluster::of(1);
    cluster.index("a", 10, 1);
    cluster.reroute();
    assert_eq!(cluster.initializing().len(), 4);
    while cluster.start_all() > 0 {
        cluster.reroute();
    }
    cluster.join(2);
    cluster.reroute();
    assert_eq!(cluster.initializing().len(), 2);
}

/// "THROTTLE = try later, not elsewhere": a copy waits for the lightest node, and weighs there already.
#[test]
fn throttled_copy_waits_for_the_lightest_node() {
    let mut cluster = Cluster::of(2);
    cluster.index("a", 20, 0);
    cluster.converge();
    cluster.join(3);
    cluster.index("b", 8, 0);
    cluster.reroute();
    let building = |node| cluster.count(node, |copy| copy.state == CopyState::Initializing);
    assert_eq!((building(1), building(2), building(3), cluster.unassigned()), (1, 1, 4, 2));
}

/// The same for copies that move: what may move to the lightest node later is not moved elsewhere now.
#[test]
fn throttled_move_is_not_made_to_a_heavier_node() {
    let mut cluster = Cluster::of(3);
    cluster.index("a", 13, 0);
    for number in 0..13 {
        let shard = ShardId { index: "a".into(), number };
        cluster.state.assign(&shard, 0, HostId::search(if number < 9 { 1 } else { 3 }), None);
    }
    cluster.start_all();
    cluster.settings.incoming_recoveries = 1;
    cluster.reroute();
    assert_eq!(cluster.relocations(), 1);
    assert_eq!(cluster.initializing()[0].2, HostId::search(2));
}

#[test]
fn copy_that_fails_again_and_again_is_left_alone() {
    let mut cluster = Cluster::of(3);
    cluster.index("a", 1, 1);
    cluster.reroute();
    cluster.start_all();
    for failure in 1..=5 {
        cluster.reroute();
        let (shard, id, node) = cluster.initializing().remove(0);
        let term = cluster.state.shard(&shard).unwrap().term;
        assert!(cluster.state.copy_failed(&shard, id, term, node, "broken"), "failure {failure}");
    }
    assert_eq!(cluster.reroute(), 0);
    assert_eq!(cluster.unassigned(), 1);
}

#[test]
fn nothing_moves_before_every_copy_is_active() {
    let mut cluster = Cluster::of(2);
    cluster.index("a", 4, 0);
    cluster.converge();
    cluster.index("b", 1, 2);
    cluster.join(3);
    cluster.reroute();
    assert_eq!(cluster.relocations(), 0, "b is not green");
    cluster.converge();
    assert!(cluster.relocations() > 0);
}

/// "concurrent_rebalance: cluster-wide relocations for balance: 2"
#[test]
fn only_two_copies_move_at_once() {
    let mut cluster = Cluster::of(1);
    cluster.index("a", 12, 0);
    cluster.converge();
    (2..=6).for_each(|node| cluster.join(node));
    for _ in 0..3 {
        cluster.reroute();
        assert_eq!(cluster.initializing().len(), 2);
        cluster.start_all();
    }
}

/// A cluster of four nodes, green, from which a node with a replica has gone.
fn bereft() -> (Cluster, u16, AllocationId) {
    let mut cluster = Cluster::of(4);
    cluster.index("a", 1, 1);
    cluster.converge();
    let (_, table) = cluster.state.shards().next().unwrap();
    let replica = table.copies.iter().find(|copy| !copy.primary).unwrap();
    let (node, id) = (replica.node.unwrap().number, replica.allocation.unwrap());
    cluster.leave(node);
    cluster.deadlines.insert(id, Instant(60));
    (cluster, node, id)
}

/// "`index.unassigned.node_left.delayed_timeout` 1 m; replicas only"
#[test]
fn replica_waits_for_its_node_until_the_deadline() {
    let (mut cluster, _, id) = bereft();
    cluster.now = Instant(59);
    assert_eq!(cluster.reroute(), 0);
    cluster.now = Instant(60);
    assert_eq!(cluster.reroute(), 1);
    assert!(cluster.initializing().iter().all(|(_, built, _)| *built != id), "built anew elsewhere");
}

/// "node returns early → its copy is reused"
#[test]
fn returning_node_gets_its_copy_back_at_once() {
    let (mut cluster, node, id) = bereft();
    cluster.join(node);
    assert_eq!(cluster.reroute(), 1);
    assert_eq!(cluster.initializing(), [("a/0".parse().unwrap(), id, HostId::search(node))]);
    let action = Action::AssignReplica { node: HostId::search(node), from_disk: Some(id) };
    assert_eq!(cluster.moves.last().unwrap().action, action);
}

/// "only a copy whose allocation id is in the in-sync set; otherwise stays unassigned (`no_valid_shard_copy`)"
#[test]
fn shard_without_an_in_sync_copy_here_stays_red() {
    let mut cluster = Cluster::of(2);
    cluster.index("a", 1, 0);
    cluster.converge();
    let (node, id) = {
        let (_, table) = cluster.state.shards().next().unwrap();
        (table.copies[0].node.unwrap().number, table.copies[0].allocation.unwrap())
    };
    cluster.leave(node);
    cluster.converge();
    assert_eq!(cluster.unassigned(), 1);
    cluster.join(node);
    cluster.converge();
    let (_, table) = cluster.state.shards().next().unwrap();
    assert_eq!((table.copies[0].allocation, table.term), (Some(id), Term(2)));
}

#[test]
fn index_that_never_started_begins_empty_elsewhere() {
    let mut cluster = Cluster::of(2);
    cluster.index("a", 1, 0);
    cluster.reroute();
    let (_, _, node) = cluster.initializing().remove(0);
    cluster.leave(node.number);
    cluster.converge();
    assert_eq!(cluster.unassigned(), 0);
}

#[test]
fn last_primary_is_preferred_when_several_in_sync_copies_are_back() {
    let mut cluster = Cluster::of(2);
    cluster.index("a", 1, 1);
    cluster.converge();
    let primary = cluster.state.shards().next().unwrap().1.primary().unwrap().clone();
    let mut members = cluster.state.nodes.clone();
    members.values_mut().for_each(|entry| entry.session.0 += 100);
    cluster.state.set_members(&members);
    cluster.reroute();
    let table = cluster.state.shards().next().unwrap().1;
    assert_eq!(table.primary().unwrap().allocation, primary.allocation);
}

#[test]
fn empty_cluster_makes_no_moves() {
    let mut cluster = Cluster::of(0);
    cluster.index("a", 3, 1);
    assert_eq!(cluster.reroute(), 0);
}

#[test]
fn moves_are_explained() {
    let mut cluster = Cluster::of(2);
    cluster.index("a", 1, 0);
    cluster.reroute();
    assert_eq!(cluster.moves[0].to_string(), "a/0 primary to search-1 (lightest allowed node, -0.045)");
}

/// No node may be heavier than another one that could take a copy from it, by more than the threshold.
fn assert_balanced(cluster: &Cluster) {
    let weights = Weights::of(&cluster.state, &cluster.settings, &cluster.info);
    for (shard, table) in cluster.state.shards() {
        for from in table.copies.iter().filter_map(|copy| copy.node) {
            for to in cluster.state.nodes.keys().filter(|node| table.on(**node).is_none()) {
                let is_worth =
                    weights.is_worth(&shard.index, ClusterInfo::default().shard(&shard), (from, *to));
                assert!(!is_worth, "{shard}: {from} over {to}");
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Join(u16),
    Leave(u16),
    Restart(u16),
    Index(u32, u32),
    StartSome(usize),
    FailOne(usize),
    Reroute,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (1u16..8).prop_map(Change::Join),
        (1u16..8).prop_map(Change::Leave),
        (1u16..8).prop_map(Change::Restart),
        (1u32..6, 0u32..3).prop_map(|(shards, replicas)| Change::Index(shards, replicas)),
        (0usize..5).prop_map(Change::StartSome),
        (0usize..20).prop_map(Change::FailOne),
        Just(Change::Reroute),
        Just(Change::Reroute),
    ]
}

impl Cluster {
    fn undergo(&mut self, change: &Change) {
        match *change {
            Change::Join(node) if !self.state.nodes.contains_key(&HostId::search(node)) => self.join(node),
            Change::Restart(node) if self.state.nodes.contains_key(&HostId::search(node)) => self.join(node),
            Change::Join(_) | Change::Restart(_) => {}
            Change::Leave(node) => self.leave(node),
            Change::Index(shards, replicas) => {
                let name = format!("i{}", self.state.indices.len());
                self.index(&name, shards, replicas);
            }
            Change::StartSome(some) => {
                for (shard, id, node) in self.initializing().into_iter().take(some) {
                    let term = self.state.shard(&shard).unwrap().term;
                    assert!(self.state.copy_started(&shard, id, term, node));
                }
            }
            Change::FailOne(nth) => self.fail(nth),
            Change::Reroute => drop(self.reroute()),
        }
        assert_sound(&self.state);
    }

    fn fail(&mut self, nth: usize) {
        let copies = self.state.shards().flat_map(|(shard, table)| {
            let term = table.term;
            let assigned = table.copies.iter().filter(|copy| copy.node.is_some());
            assigned.map(move |copy| (shard.clone(), copy.allocation.unwrap(), term, copy.node.unwrap()))
        });
        let copies: Vec<_> = copies.collect();
        if let Some((shard, id, term, node)) = copies.get(nth % copies.len().max(1)).cloned() {
            assert!(self.state.copy_failed(&shard, id, term, node, "broken"));
        }
    }

    fn in_sync(&self) -> BTreeMap<ShardId, BTreeSet<AllocationId>> {
        self.state.shards().map(|(shard, table)| (shard, table.in_sync.clone())).collect()
    }

    fn forgive(&mut self) {
        let tables = self.state.indices.values_mut().flat_map(|index| &mut index.shards);
        tables.flat_map(|table| &mut table.copies).for_each(|copy| copy.failures = 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Whatever happens, no state is unsound; a shard that has served never loses its last in-sync copy; and
    /// once all is quiet, everything that can be assigned is, and in balance, after a bounded number of moves.
    #[test]
    fn any_history_stays_sound_and_converges(
        nodes in 1u16..6,
        changes in prop::collection::vec(change(), 0..40),
    ) {
        let mut cluster = Cluster::of(nodes);
        for change in &changes {
            let before = cluster.in_sync();
            cluster.undergo(change);
            let after = cluster.in_sync();
            for (shard, was) in before {
                prop_assert!(was.is_empty() || !after[&shard].is_empty(), "{}: its in-sync set ran empty", shard);
            }
        }
        (1..8).for_each(|node| cluster.undergo(&Change::Join(node)));
        cluster.forgive();
        cluster.moves.clear();
        cluster.converge();
        let copies: usize = cluster.state.shards().map(|(_, table)| table.copies.len()).sum();
        prop_assert_eq!(cluster.unassigned(), 0);
        prop_assert!(cluster.relocations() <= copies, "a copy moves once at most, on average");
        assert_balanced(&cluster);
    }

    #[test]
    fn equal_states_give_equal_moves(
        nodes in 1u16..6,
        changes in prop::collection::vec(change(), 0..20),
    ) {
        let mut cluster = Cluster::of(nodes);
        for change in &changes {
            cluster.undergo(change);
        }
        let state = cluster.state.clone();
        cluster.moves.clear();
        cluster.reroute();
        let moves = std::mem::take(&mut cluster.moves);
        cluster.state = state;
        cluster.allocator = AllocatorFactory::default().make();
        cluster.reroute();
        prop_assert_eq!(cluster.moves, moves);
    }
}
