//! Notices — decides whether each change of the cluster was announced, once, with the state that brought it. It
//! never asks who listens: `recipes.notice-order` and `recipes.notices-whole` judge that.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock, listed},
    },
    event::{ClusterChange, CopyState, Event, EventKind, Placement},
    name::{AllocationId, HostId, ShardId, Term},
};

pub(super) const TELL_CHANGES: Law = Law {
    name: "notices.tell-changes",
    sentence: "Whatever a published state changes of nodes, indices and primaries is announced once, by the notice of that \
               state, and nothing else is.",
    source: "the cluster's own use of the notification recipe: state and notice are one multi, so that neither is without \
             the other",
    monitor: || Box::<TellChanges>::default(),
};

/// Allowed: a node that left and joined, or an index that was deleted and created, in one state, since the lists
/// of two states do not show that; copies said to have failed which the routing table cannot tell from copies that
/// gave their place to the target of a move; a notice that its controller could not tell of, since it died as it told of
/// the state. What is announced after a state whose predecessor nobody noted is not
/// judged, except that nothing is announced twice.
#[derive(Default)]
struct TellChanges {
    states: BTreeMap<u64, Published>,
    announced: BTreeMap<u64, (Point, BTreeSet<ClusterChange>)>,
    /// States whose controller died before it could tell of their notices.
    cut_off: BTreeSet<u64>,
}

/// What a published state says.
struct Published {
    at: Point,
    by: Option<HostId>,
    nodes: BTreeSet<HostId>,
    indices: BTreeSet<String>,
    copies: BTreeMap<AllocationId, Copy>,
}

struct Copy {
    shard: ShardId,
    node: Option<HostId>,
    leads: bool,
    state: CopyState,
    term: Term,
}

impl Published {
    fn of(event: &Event, nodes: &[HostId], routing: &[Placement]) -> Self {
        let copies = routing.iter().filter_map(|copy| {
            let Placement { shard, node, primary, state, term, .. } = copy.clone();
            Some((copy.allocation?, Copy { shard, node, leads: primary, state, term }))
        });
        let indices = routing.iter().map(|copy| copy.shard.index.to_string());
        let nodes = nodes.iter().copied().collect();
        let (at, by) = (event.into(), event.host);
        Self { at, by, nodes, indices: indices.collect(), copies: copies.collect() }
    }

    /// What must have been announced of the way from `former` to here.
    fn changes_since(&self, former: &Self) -> BTreeSet<ClusterChange> {
        use ClusterChange as C;
        let left = former.nodes.difference(&self.nodes).map(|node| C::NodeLeft { node: *node });
        let joined = self.nodes.difference(&former.nodes).map(|node| C::NodeJoined { node: *node });
        let deleted =
            former.indices.difference(&self.indices).map(|index| C::IndexDeleted { index: index.clone() });
        let created =
            self.indices.difference(&former.indices).map(|index| C::IndexCreated { index: index.clone() });
        let promoted =
            self.copies.iter().filter_map(|(id, copy)| copy.promoted_since(*id, former.copies.get(id)?));
        left.chain(joined).chain(deleted).chain(created).chain(promoted).collect()
    }

    /// Whether the lists of both states leave it open that this happened.
    fn is_hidden(&self, former: &Self, change: &ClusterChange) -> bool {
        match change {
            ClusterChange::NodeLeft { node } | ClusterChange::NodeJoined { node } => {
                self.nodes.contains(node) && former.nodes.contains(node)
            }
            ClusterChange::IndexDeleted { index } | ClusterChange::IndexCreated { index } => {
                self.indices.contains(index) && former.indices.contains(index)
            }
            ClusterChange::ShardFailed { allocation, node, .. } => {
                let was = former.copies.get(allocation).is_some_and(|copy| copy.node == Some(*node));
                was && self.copies.get(allocation).is_none_or(|copy| copy.node.is_none())
            }
            ClusterChange::ShardPromoted { .. } => false,
        }
    }
}

fn is_active(state: CopyState) -> bool {
    state.is_active()
}

impl Copy {
    fn promoted_since(&self, allocation: AllocationId, former: &Self) -> Option<ClusterChange> {
        let leads = self.leads && is_active(self.state);
        let followed = !former.leads && is_active(former.state);
        let (shard, node, term) = (self.shard.clone(), self.node?, self.term);
        (leads && followed && self.term > former.term).then_some(ClusterChange::ShardPromoted {
            shard,
            allocation,
            node,
            term,
        })
    }
}

impl TellChanges {
    fn announce(&mut self, event: &Event, version: u64, changes: &[ClusterChange]) -> Judged {
        let new = (event.into(), changes.iter().cloned().collect::<BTreeSet<_>>());
        if new.1.len() < changes.len() {
            return broken(event, format!("the notice of version {version} tells a change twice"));
        }
        match self.announced.insert(version, new) {
            None => Ok(()),
            Some((at, _)) => {
                let at = clock(at.at);
                broken(event, format!("version {version} is announced again, after {at}"))
            }
        }
    }

    /// A process dies: of a state that it told of just now it tells no more.
    fn cut_off(&mut self, event: &Event) {
        let Some((version, state)) = self.states.last_key_value() else { return };
        let is_its_own = state.by == event.host && state.at.at == event.at;
        if is_its_own && !self.announced.contains_key(version) {
            self.cut_off.insert(*version);
        }
    }

    /// The first difference between what happened and what was told.
    fn judge(&self, version: u64, former: &Published, state: &Published) -> Judged {
        let must = state.changes_since(former);
        let none = BTreeSet::new();
        let told = self.announced.get(&version).map_or(&none, |(_, told)| told);
        let text =
            |changes: Vec<&ClusterChange>| listed(changes.into_iter().map(|change| format!("{change:?}")), 4);
        let silent: Vec<_> = must.difference(told).collect();
        if !silent.is_empty() && !self.cut_off.contains(&version) {
            return broken(
                state.at,
                format!("version {version} was published without announcing {}", text(silent)),
            );
        }
        let false_alarms = told.difference(&must).filter(|change| !state.is_hidden(former, change));
        let false_alarms: Vec<_> = false_alarms.collect();
        if false_alarms.is_empty() {
            return Ok(());
        }
        broken(state.at, format!("version {version} announced {}, which did not happen", text(false_alarms)))
    }
}

impl Monitor for TellChanges {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::StatePublished { version, nodes, routing, .. } => {
                self.states.insert(*version, Published::of(event, nodes, routing));
                // Its notice is noted right behind it, so the one before it can be judged, and forgotten.
                self.settle_before(*version)
            }
            EventKind::ChangesAnnounced { version, changes, .. } => self.announce(event, *version, changes),
            EventKind::HostCrashed { .. } => {
                self.cut_off(event);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Judged {
        self.settle_before(u64::MAX)
    }
}

impl TellChanges {
    /// Judges every state below this version, and keeps the last one to compare with.
    fn settle_before(&mut self, version: u64) -> Judged {
        let ready: Vec<u64> = self.states.range(..version).map(|(version, _)| *version).collect();
        for pair in ready.windows(2).filter(|pair| pair[1] == pair[0] + 1) {
            self.judge(pair[1], &self.states[&pair[0]], &self.states[&pair[1]])?;
        }
        for version in ready.iter().rev().skip(1) {
            self.states.remove(version);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search},
        event::EventKind as E,
        name::Epoch,
    };

    const LAW: &str = "notices.tell-changes";

    fn copy(node: u16, id: u64, primary: bool, term: u64) -> Placement {
        Placement {
            shard: "articles/0".parse().unwrap(),
            node: Some(search(node)),
            allocation: Some(AllocationId(id)),
            primary,
            state: CopyState::Started,
            in_sync: true,
            term: Term(term),
        }
    }

    fn published(version: u64, nodes: &[u16], routing: Vec<Placement>) -> E {
        let nodes = nodes.iter().map(|node| search(*node)).collect();
        let (epoch, unlisted) = (Epoch(1), Vec::new());
        E::StatePublished { epoch, version, nodes, routing, unlisted, why: String::new() }
    }

    fn announced(version: u64, changes: Vec<ClusterChange>) -> E {
        E::ChangesAnnounced { epoch: Epoch(1), version, changes }
    }

    fn left() -> ClusterChange {
        ClusterChange::NodeLeft { node: search(1) }
    }

    fn promoted() -> ClusterChange {
        let (shard, allocation) = ("articles/0".parse().unwrap(), AllocationId(2));
        ClusterChange::ShardPromoted { shard, allocation, node: search(2), term: Term(2) }
    }

    /// search-1 with the primary is there, and then not.
    fn loss(notices: Vec<E>) -> Record {
        let mut record = Record::default();
        let both = vec![copy(1, 1, true, 1), copy(2, 2, false, 1)];
        record.on(search(3), published(5, &[1, 2], both));
        record.on(search(3), published(6, &[2], vec![copy(2, 2, true, 2)]));
        notices.into_iter().for_each(|notice| _ = record.on(search(3), notice));
        record
    }

    #[test]
    fn change_that_is_announced_once_passes() {
        loss(vec![announced(6, vec![left(), promoted()])]).assert_passes(LAW);
    }

    #[test]
    fn change_that_is_not_announced_fails() {
        loss(Vec::new()).assert_fails(LAW, "version 6 was published without announcing");
        loss(vec![announced(6, vec![left()])]).assert_fails(LAW, "ShardPromoted");
    }

    #[test]
    fn change_need_not_be_announced_by_a_controller_that_dies_as_it_tells_of_the_state() {
        let died = |host: HostId, is_at_once: bool| {
            let mut record = loss(Vec::new());
            record.on(host, E::HostCrashed { power: false });
            if is_at_once && let [.., told, crash] = &mut record.events[..] {
                crash.at = told.at;
            }
            record
        };
        died(search(3), true).assert_passes(LAW);
        died(search(3), false).assert_fails(LAW, "without announcing");
        died(search(2), true).assert_fails(LAW, "without announcing");
    }

    #[test]
    fn change_that_is_announced_twice_fails() {
        let again = || announced(6, vec![left(), promoted()]);
        loss(vec![again(), again()]).assert_fails(LAW, "version 6 is announced again");
        loss(vec![announced(6, vec![left(), left(), promoted()])]).assert_fails(LAW, "tells a change twice");
    }

    #[test]
    fn announcement_of_nothing_fails() {
        let joined = ClusterChange::NodeJoined { node: search(9) };
        let record = loss(vec![announced(6, vec![left(), promoted(), joined])]);
        record.assert_fails(LAW, "which did not happen");
    }

    #[test]
    fn node_that_left_and_joined_in_one_state_may_be_announced() {
        let mut record = Record::default();
        for version in [5, 6] {
            record.on(search(3), published(version, &[1], vec![copy(1, 1, true, 1)]));
        }
        let changes = vec![left(), ClusterChange::NodeJoined { node: search(1) }];
        record.on(search(3), announced(6, changes)).assert_passes(LAW);
    }

    #[test]
    fn change_after_a_state_that_nobody_noted_is_not_judged() {
        let mut record = Record::default();
        record.on(search(3), published(5, &[1, 2], vec![copy(1, 1, true, 1)]));
        record.on(search(3), published(7, &[2], Vec::new())).assert_passes(LAW);
    }
}
