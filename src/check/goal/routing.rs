//! Routing — decides which goals of the routing table and its in-sync sets an event meets. It never judges.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CLUSTER_YELLOW, COPY_WAITED_FOR, DELAY_MET, DELAY_OVER, Goal, IN_SYNC_SHRUNK, INDEX_DELETED, SHARD_RED,
    SHARD_RED_HEALED,
};
use crate::{
    event::{CopyRef, CopyState, Event, EventKind, Placement},
    name::{AllocationId, ShardId},
};

/// What must be remembered to tell.
#[derive(Default)]
pub(super) struct Routing {
    in_sync: BTreeMap<ShardId, BTreeSet<AllocationId>>,
    /// Shards whose in-sync set lost a copy since the last acknowledgement.
    shrunk: BTreeSet<ShardId>,
    /// Copies that wait for their node.
    waiting: BTreeMap<AllocationId, ShardId>,
    /// Shards whose primary served once and does not now.
    red: BTreeSet<ShardId>,
    served: BTreeSet<ShardId>,
}

fn is_active(copy: &Placement) -> bool {
    matches!(copy.state, CopyState::Started | CopyState::Relocating)
}

impl Routing {
    /// The goals that the next event meets.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<Goal> {
        match &event.kind {
            EventKind::StatePublished { routing, unlisted, .. } => {
                let mut met = self.delays(routing);
                met.extend(self.health(routing));
                self.sets(routing, unlisted);
                met
            }
            EventKind::WriteAcknowledged { shard, .. } if self.shrunk.remove(shard) => vec![IN_SYNC_SHRUNK],
            _ => Vec::new(),
        }
    }

    fn delays(&mut self, routing: &[Placement]) -> Vec<Goal> {
        let mut met = Vec::new();
        let nodes: BTreeMap<_, _> =
            routing.iter().filter_map(|copy| Some((copy.allocation?, copy.node))).collect();
        let is_away = |id: &AllocationId| nodes.get(id).is_some_and(Option::is_none);
        for (id, _) in self.waiting.extract_if(.., |id, _| !is_away(id)) {
            met.push(if nodes.contains_key(&id) { DELAY_MET } else { DELAY_OVER });
        }
        for copy in routing.iter().filter(|copy| copy.node.is_none()) {
            let Some(id) = copy.allocation else { continue };
            if self.waiting.insert(id, copy.shard.clone()).is_none() {
                met.push(COPY_WAITED_FOR);
            }
        }
        met
    }

    fn health(&mut self, routing: &[Placement]) -> Vec<Goal> {
        let mut met = Vec::new();
        for copy in routing {
            match (copy.primary, is_active(copy)) {
                (true, true) => {
                    self.served.insert(copy.shard.clone());
                    met.extend(self.red.remove(&copy.shard).then_some(SHARD_RED_HEALED));
                }
                (true, false) if self.served.contains(&copy.shard) && copy.node.is_none() => {
                    self.red.insert(copy.shard.clone());
                    met.push(SHARD_RED);
                }
                (false, false) if self.served.contains(&copy.shard) && copy.node.is_none() => {
                    met.push(CLUSTER_YELLOW)
                }
                _ => {}
            }
        }
        let listed: BTreeSet<_> = routing.iter().map(|copy| &copy.shard).collect();
        let before = self.served.len();
        self.served.retain(|shard| listed.contains(shard));
        met.extend((self.served.len() < before).then_some(INDEX_DELETED));
        met
    }

    fn sets(&mut self, routing: &[Placement], unlisted: &[CopyRef]) {
        let mut sets: BTreeMap<ShardId, BTreeSet<AllocationId>> = BTreeMap::new();
        let listed = routing.iter().filter(|copy| copy.in_sync);
        let listed = listed.filter_map(|copy| Some((&copy.shard, copy.allocation?)));
        for (shard, id) in listed.chain(unlisted.iter().map(|copy| (&copy.shard, copy.allocation))) {
            match sets.get_mut(shard) {
                Some(copies) => _ = copies.insert(id),
                None => _ = sets.insert(shard.clone(), [id].into()),
            }
        }
        let old = std::mem::replace(&mut self.in_sync, sets);
        let lost = old
            .into_iter()
            .filter(|(shard, copies)| self.in_sync.get(shard).is_some_and(|now| !copies.is_subset(now)));
        self.shrunk.extend(lost.map(|(shard, _)| shard));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search, shard},
        event::{
            CopyState::{Started, Unassigned},
            EventKind as E,
        },
        name::{Epoch, SeqNo, Term},
    };

    /// One copy: its id, whether it is the primary, its state.
    type One = (u64, bool, CopyState);

    fn met(states: &[&[One]], then: Option<E>) -> Vec<&'static str> {
        let mut record = Record::default();
        for (copies, version) in states.iter().zip(1..) {
            let placement = |(id, primary, state): &One| Placement {
                shard: shard(),
                node: (*state != Unassigned).then_some(search(*id as u16)),
                allocation: Some(AllocationId(*id)),
                primary: *primary,
                state: *state,
                in_sync: true,
                term: Term(1),
            };
            let (epoch, nodes, why) = (Epoch(1), vec![], String::new());
            let routing = copies.iter().map(placement).collect();
            let unlisted = vec![];
            record.on(search(3), E::StatePublished { epoch, version, nodes, routing, unlisted, why });
        }
        then.into_iter().for_each(|kind| _ = record.on(search(1), kind));
        let mut routing = Routing::default();
        let met = record.numbered().iter().flat_map(|event| routing.observe(event)).collect::<Vec<_>>();
        met.into_iter().map(|goal| goal.name).collect()
    }

    const BOTH: &[One] = &[(1, true, Started), (2, false, Started)];

    #[test]
    fn delay_is_met_by_its_copy_and_over_without_it() {
        let away: &[One] = &[(1, true, Started), (2, false, Unassigned)];
        let moved: &[One] = &[(1, true, Started), (3, false, Started)];
        assert_eq!(met(&[BOTH, away, BOTH], None), ["copy-waited-for", "cluster-yellow", "delay-met"]);
        assert_eq!(met(&[BOTH, away, moved], None), ["copy-waited-for", "cluster-yellow", "delay-over"]);
    }

    #[test]
    fn shard_without_primary_is_red_until_it_is_back() {
        let red: &[One] = &[(1, true, Unassigned)];
        let back: &[One] = &[(1, true, Started)];
        assert_eq!(
            met(&[back, red, back], None),
            ["copy-waited-for", "shard-red", "delay-met", "shard-red-healed"]
        );
    }

    #[test]
    fn write_without_a_copy_that_was_taken_out_counts() {
        let acknowledged = E::WriteAcknowledged {
            shard: shard(),
            term: Term(1),
            seq_no: SeqNo(0),
            copies: 1,
            durable: true,
        };
        assert_eq!(met(&[BOTH, &[(1, true, Started)]], Some(acknowledged.clone())), ["in-sync-shrunk"]);
        assert!(met(&[BOTH, BOTH], Some(acknowledged)).is_empty());
    }

    #[test]
    fn index_that_is_gone_counts() {
        assert_eq!(met(&[BOTH, &[]], None), ["index-deleted"]);
    }
}
