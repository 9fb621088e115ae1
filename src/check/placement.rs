//! Placement — decides whether the routing table keeps copies of one shard apart and, in the end, evens out
//! the nodes. It never asks why a copy is where it is.

use std::collections::BTreeMap;

use crate::{
    check::{
        calm::Calm,
        disks::{Disks, Mark},
        exhausted::Exhausted,
        law::{Law, Monitor},
        rules::{Rules, is_enabled},
        verdict::{Judged, Point, broken},
    },
    event::{CopyState, Event, EventKind, Placement},
    name::{HostId, IndexName},
};

pub(super) const ONE_COPY_PER_NODE: Law = Law {
    name: "allocation.one-copy-per-node",
    sentence: "No published state has two copies of a shard on one node.",
    source: "Elasticsearch, SameShardAllocationDecider",
    monitor: || Box::<OneCopyPerNode>::default(),
};

pub(super) const BALANCED: Law = Law {
    name: "allocation.balanced",
    sentence: "In the end no node is so much heavier than another, as the allocator weighs, that a copy which may move \
               should have moved.",
    source: "Elasticsearch, BalancedShardsAllocator: weights 0.45 a copy and 0.55 a copy of the index, threshold 1.0; \
             #3580; of `least-loaded`: two copies more",
    monitor: || Box::<Balanced>::default(),
};

/// The source and the target of a relocation count as two copies.
#[derive(Default)]
struct OneCopyPerNode;

/// Two copies of one shard on one node, if there are such.
fn crowded(routing: &[Placement]) -> Option<(&Placement, &Placement)> {
    let mut placed: Vec<_> = routing.iter().filter(|copy| copy.node.is_some()).collect();
    placed.sort_by(|a, b| (a.node, &a.shard).cmp(&(b.node, &b.shard)));
    placed.windows(2).map(|pair| (pair[0], pair[1])).find(|(a, b)| (a.node, &a.shard) == (b.node, &b.shard))
}

impl Monitor for OneCopyPerNode {
    fn observe(&mut self, event: &Event) -> Judged {
        let EventKind::StatePublished { version, routing, .. } = &event.kind else { return Ok(()) };
        let Some((first, second)) = crowded(routing) else { return Ok(()) };
        let copy = |copy: &Placement| copy.allocation.map_or("?".to_owned(), |id| id.to_string());
        let node = first.node.map_or("?".to_owned(), |node| node.to_string());
        broken(
            event,
            format!(
                "version {version} has copies {} and {} of {} both on {node}",
                copy(first),
                copy(second),
                first.shard
            ),
        )
    }
}

/// Allowed: any lead over a node where a setting (filters, limits, awareness, `enable`) or the low watermark lets the
/// copy not go; a copy of a shard that has failed to move too often (`MaxRetryAllocationDecider`), until somebody has
/// retries begin anew; with `desired-balance` any spread while there is such a shard, for its goal counts that copy as
/// having gone where it cannot (`DesiredBalanceComputer` begins from the former goal, and asks no decider); any spread
/// while a copy is not started, for nothing moves for the sake of balance before every copy of every index is active
/// (`cluster.routing.allocation.allow_rebalance`: `indices_all_active`). Not judged: an allocator
/// of a user's own, other weights or thresholds than the usual (`…balance.*`), no moves at all
/// (`…cluster_concurrent_rebalance: 0`), a run that gave the cluster no time to settle.
#[derive(Default)]
struct Balanced {
    calm: Calm,
    disks: Disks,
    rules: Rules,
    scales: Scales,
    /// Shards of which a copy has failed too often.
    exhausted: Exhausted,
    last: Option<Published>,
}

/// How an allocator weighs a node against another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Scales {
    /// By a way of its own.
    #[default]
    Unknown,
    /// By copies of all indices and of the copy's.
    Weights,
    /// The same, for a goal that it holds on to.
    Goal,
    /// By copies alone.
    Counts,
}

impl Scales {
    fn of(allocator: &str) -> Self {
        match allocator {
            "balanced" => Self::Weights,
            "desired-balance" => Self::Goal,
            "least-loaded" => Self::Counts,
            _ => Self::Unknown,
        }
    }

    /// Whether a lead of so many copies, so many of them of the copy's index, is too much. In hundredths: the
    /// threshold is 1.0, and a move has to bring a little more.
    fn is_heavy(self, lead: i64, lead_of_index: i64) -> bool {
        match self {
            Self::Weights | Self::Goal => 45 * lead + 55 * lead_of_index > 100,
            Self::Counts => lead > 1,
            Self::Unknown => false,
        }
    }
}

/// The last published state.
struct Published {
    at: Point,
    version: u64,
    nodes: Vec<HostId>,
    routing: Vec<Placement>,
}

/// How many copies a node has, of all indices or of one.
type Counts<'a> = BTreeMap<(HostId, Option<&'a IndexName>), i64>;

impl Published {
    fn counts(&self) -> Counts<'_> {
        let mut counts = Counts::new();
        for (node, copy) in self.routing.iter().filter_map(|copy| Some((copy.node?, copy))) {
            *counts.entry((node, None)).or_default() += 1;
            *counts.entry((node, Some(&copy.shard.index))).or_default() += 1;
        }
        counts
    }

    /// A copy that should have moved, and where to.
    fn overdue(&self, balanced: &Balanced) -> Option<(&Placement, HostId, HostId)> {
        let counts = self.counts();
        let placed = self.routing.iter().filter_map(|copy| Some((copy, copy.node?)));
        let mut moves = placed.flat_map(|(copy, from)| self.nodes.iter().map(move |to| (copy, from, *to)));
        moves.find(|(copy, from, to)| {
            let index = Some(&copy.shard.index);
            let (all, of_index) = (lead(&counts, *from, *to, None), lead(&counts, *from, *to, index));
            balanced.scales.is_heavy(all, of_index) && balanced.may_move(self, copy, *to)
        })
    }
}

/// How many copies more the one node has than the other.
fn lead(counts: &Counts<'_>, from: HostId, to: HostId, index: Option<&IndexName>) -> i64 {
    let count = |node| counts.get(&(node, index)).copied().unwrap_or_default();
    count(from) - count(to)
}

impl Balanced {
    /// Whether nothing stands against it that this copy goes to the node.
    fn may_move(&self, state: &Published, copy: &Placement, to: HostId) -> bool {
        !self.disks.may_be_beyond(to, Mark::Low)
            && !self.exhausted.has_any(&copy.shard)
            && is_enabled(self.rules.rebalances(&copy.shard.index), copy.primary)
            && self.rules.may_hold(&state.nodes, &state.routing, copy, to)
    }

    /// Whether copies move for the sake of balance by the rule that is known here.
    fn is_usual(&self) -> bool {
        !self.rules.has_any("balance.") && self.rules.number("cluster_concurrent_rebalance", 2) > 0
    }
}

impl Monitor for Balanced {
    fn observe(&mut self, event: &Event) -> Judged {
        self.calm.observe(event);
        self.disks.observe(event);
        self.rules.observe(event);
        self.exhausted.follow(event);
        if let EventKind::RunStarted { allocator, .. } = &event.kind {
            self.scales = Scales::of(allocator);
        }
        if let EventKind::StatePublished { version, nodes, routing, .. } = &event.kind
            && self.last.as_ref().is_none_or(|last| *version >= last.version)
        {
            let (nodes, routing) = (nodes.clone(), routing.clone());
            self.last = Some(Published { at: event.into(), version: *version, nodes, routing });
        }
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        self.calm.is_long_enough()?;
        let Some(last) = &self.last else { return Ok(()) };
        if !self.is_usual() || last.routing.iter().any(|copy| copy.state != CopyState::Started) {
            return Ok(());
        }
        if self.scales == Scales::Goal && last.routing.iter().any(|copy| self.exhausted.has_any(&copy.shard))
        {
            return Ok(());
        }
        let Some((copy, from, to)) = last.overdue(self) else { return Ok(()) };
        let counts = last.counts();
        let count = |node| counts.get(&(node, None)).copied().unwrap_or_default();
        broken(
            last.at,
            format!(
                "in version {}, the last, {from} has {} copies and {to} has {}; a copy of {} should have moved",
                last.version,
                count(from),
                count(to),
                copy.shard
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::{
            record::{Record, search},
            rules::AREA,
        },
        event::{EventKind as E, Placement},
        name::{AllocationId, HostId, ShardId},
    };

    #[test]
    fn two_copies_on_one_node_fail() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(3, |kind| matches!(kind, E::StatePublished { .. }));
        if let E::StatePublished { routing, .. } = at {
            routing.iter_mut().for_each(|copy| copy.node = Some(search(2)));
        }
        record.assert_fails(
            "allocation.one-copy-per-node",
            "version 4 has copies 1 and 2 of articles/0 both on search-2",
        );
    }

    /// The healthy record, whose last state has these copies: index, shard, node.
    fn ending_with(copies: &[(&str, u32, HostId)]) -> Record {
        let mut record = Record::healthy();
        let last = record.last(|event| matches!(event.kind, E::StatePublished { .. }));
        if let E::StatePublished { routing, .. } = &mut record.events[last].kind {
            let like = routing[0].clone();
            let placement = |((index, number, node), id): (&(&str, u32, HostId), u64)| Placement {
                shard: ShardId { index: (*index).into(), number: *number },
                node: Some(*node),
                allocation: Some(AllocationId(id)),
                ..like.clone()
            };
            *routing = copies.iter().zip(1..).map(placement).collect();
        }
        record
    }

    #[test]
    fn node_two_copies_heavier_than_another_fails() {
        let (heavy, other, empty) = (search(1), search(2), search(3));
        let record = ending_with(&[("a", 0, heavy), ("a", 1, heavy), ("a", 2, other)]);
        record.assert_fails(
            "allocation.balanced",
            "search-1 has 2 copies and search-3 has 0; a copy of a/0 should have moved",
        );
        ending_with(&[("a", 0, heavy), ("a", 1, other), ("b", 0, empty)])
            .assert_passes("allocation.balanced");
    }

    /// The same with these settings of the cluster's allocation, and another allocator.
    fn lopsided(settings: &[(&str, &str)], by: &'static str) -> Record {
        let mut record = ending_with(&[("a", 0, search(1)), ("a", 1, search(1)), ("a", 2, search(2))]);
        let cluster = settings.iter().map(|(name, value)| (format!("{AREA}.{name}"), (*value).to_owned()));
        let inputs = E::AllocationInputs {
            cluster: cluster.collect(),
            indices: Default::default(),
            attributes: Default::default(),
        };
        record.insert(1, search(1), inputs);
        if let E::RunStarted { allocator, .. } = &mut record.events[0].kind {
            *allocator = by.into();
        }
        record
    }

    #[test]
    fn lead_that_settings_or_the_allocator_allow_passes() {
        const LAW: &str = "allocation.balanced";
        for by in ["balanced", "desired-balance", "least-loaded"] {
            lopsided(&[], by).assert_fails(LAW, "a copy of a/0 should have moved");
        }
        lopsided(&[], "first-fit").assert_passes(LAW);
        for (name, value) in [
            ("exclude._name", "search-3"),
            ("balance.threshold", "5.0"),
            ("cluster_concurrent_rebalance", "0"),
            ("enable", "none"),
        ] {
            lopsided(&[(name, value)], "balanced").assert_passes(LAW);
        }
        let mut still = lopsided(&[], "balanced");
        if let E::AllocationInputs { cluster, .. } = &mut still.events[1].kind {
            cluster.insert("cluster.routing.rebalance.enable".into(), "none".into());
        }
        still.assert_passes(LAW);
        let mut full = lopsided(&[], "balanced");
        let last = full.last(|event| matches!(event.kind, E::StatePublished { .. }));
        full.insert(last, search(1), E::DiskReported { node: search(3), total: 100, free: 5 });
        full.assert_passes(LAW);
    }

    #[test]
    fn copies_that_failed_to_move_too_often_may_stay() {
        let mut record = lopsided(&[], "balanced");
        for (number, passes) in [(0, false), (1, true)] {
            let shard = ShardId { index: "a".into(), number };
            record.insert(1, search(1), E::RetriesExhausted { shard, failures: 5, moves: true });
            if passes {
                record.assert_passes("allocation.balanced");
            } else {
                record.assert_fails("allocation.balanced", "a copy of a/1 should have moved");
            }
        }
        let shards = vec![ShardId { index: "a".into(), number: 0 }];
        record.insert(3, search(1), E::RetriesReset { shards });
        record.assert_fails("allocation.balanced", "a copy of a/0 should have moved");
    }

    #[test]
    fn goal_that_a_shard_cannot_reach_excuses_the_others() {
        for (by, passes) in [("balanced", false), ("desired-balance", true)] {
            let mut record = lopsided(&[], by);
            let shard = ShardId { index: "a".into(), number: 0 };
            record.insert(1, search(1), E::RetriesExhausted { shard, failures: 5, moves: true });
            if passes {
                record.assert_passes("allocation.balanced");
            } else {
                record.assert_fails("allocation.balanced", "a copy of a/1 should have moved");
            }
        }
    }

    #[test]
    fn even_counts_with_an_index_heaped_on_one_node_fail() {
        let record = ending_with(&[
            ("a", 0, search(1)),
            ("a", 1, search(1)),
            ("b", 0, search(2)),
            ("b", 1, search(2)),
            ("c", 0, search(3)),
            ("c", 1, search(3)),
        ]);
        record.assert_fails("allocation.balanced", "a copy of a/0 should have moved");
    }

    #[test]
    fn spread_is_not_judged_while_a_copy_is_not_started() {
        let mut record = ending_with(&[("a", 0, search(1)), ("a", 1, search(1)), ("a", 2, search(1))]);
        let last = record.last(|event| matches!(event.kind, E::StatePublished { .. }));
        if let E::StatePublished { routing, .. } = &mut record.events[last].kind {
            routing[2].state = crate::event::CopyState::Unassigned;
        }
        record.assert_passes("allocation.balanced");
    }
}
