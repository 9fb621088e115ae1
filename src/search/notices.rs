//! Notices — decides what of a change of the cluster state is announced, and how. It never decides what changes.
//!
//! A notice is written in the same multi as the state it tells of: there is no state without its notice and no
//! notice without its state, whoever the controller is. Its number is the state's version.

use serde::{Deserialize, Serialize};

use super::{
    discovery::CLUSTER_NOTICES,
    state::{ClusterState, ShardTable},
};
use crate::{
    event::{ClusterChange, CopyState},
    name::{Epoch, HostId, IndexName, ShardId},
    zookeeper::{recipes::notification, wire::Op},
};

/// The publisher's name of every notice of the cluster: the office, not the node that holds it.
pub const PUBLISHER: &str = "controller";

/// About how many notices are kept.
pub const RETAINED: usize = 32;

/// What a notice says, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Epoch of the controller that wrote the state.
    pub epoch: Epoch,
    /// The state's version.
    pub version: u64,
    /// What it changed; a change's position here is its ordinal.
    pub changes: Vec<ClusterChange>,
}

impl Announcement {
    /// What `next` changes against `former`, if that is worth a notice.
    pub fn of(former: &ClusterState, next: &ClusterState) -> Option<Self> {
        let changes = changes(former, next);
        let Epoch(epoch) = next.epoch;
        (!changes.is_empty()).then_some(Self { epoch: Epoch(epoch), version: next.version, changes })
    }

    /// The operation that publishes it.
    pub fn op(&self) -> Op {
        let json = serde_json::to_vec(self);
        let json = json.unwrap_or_else(|error| unreachable!("an announcement can be written down: {error}"));
        notification::publish(CLUSTER_NOTICES, PUBLISHER, self.version, Some(json.into()))
    }
}

/// What happened between two states: nodes, then indices, then shards, each in order.
pub fn changes(former: &ClusterState, next: &ClusterState) -> Vec<ClusterChange> {
    let mut changes = Vec::new();
    let session = |state: &ClusterState, host: &HostId| state.nodes.get(host).map(|entry| entry.session);
    let is_new = |in_one: &ClusterState, in_other: &ClusterState, host: &HostId| {
        session(in_one, host) != session(in_other, host)
    };
    let left = former.nodes.keys().filter(|host| is_new(former, next, host));
    changes.extend(left.map(|node| ClusterChange::NodeLeft { node: *node }));
    let joined = next.nodes.keys().filter(|host| is_new(next, former, host));
    changes.extend(joined.map(|node| ClusterChange::NodeJoined { node: *node }));
    let uuid =
        |state: &ClusterState, index: &IndexName| state.indices.get(index).map(|metadata| metadata.uuid);
    let is_other = |index: &IndexName| uuid(former, index) != uuid(next, index);
    let deleted = former.indices.keys().filter(|index| is_other(index));
    changes.extend(deleted.map(|index| ClusterChange::IndexDeleted { index: index.to_string() }));
    let created = next.indices.keys().filter(|index| is_other(index));
    changes.extend(created.map(|index| ClusterChange::IndexCreated { index: index.to_string() }));
    for (shard, was) in former.shards().filter(|(shard, _)| !is_other(&shard.index)) {
        let Some(is) = next.shard(&shard).filter(|is| *is != was) else { continue };
        let stays = |node: HostId| !is_new(former, next, &node) && next.nodes.contains_key(&node);
        let shrinks = is.copies.len() < was.copies.len();
        if !shrinks {
            changes.extend(failed(&shard, was, is, &stays));
        }
        changes.extend(promoted(&shard, was, is));
    }
    changes
}

/// Copies that served and have lost their place, though their node stays and the shard has no fewer places. The
/// source of a finished move has not failed.
fn failed(
    shard: &ShardId,
    was: &ShardTable,
    is: &ShardTable,
    stays: &dyn Fn(HostId) -> bool,
) -> Vec<ClusterChange> {
    let served = was.copies.iter().filter(|copy| copy.state == CopyState::Started);
    let lost = served.filter_map(|copy| {
        let (allocation, node) = (copy.allocation?, copy.node.filter(|node| stays(*node))?);
        let is_there = is.copy(allocation).is_some_and(|copy| copy.node.is_some());
        (!is_there).then(|| ClusterChange::ShardFailed { shard: shard.clone(), allocation, node })
    });
    lost.collect()
}

fn promoted(shard: &ShardId, was: &ShardTable, is: &ShardTable) -> Option<ClusterChange> {
    let primary = is.primary().filter(|copy| copy.is_active() && is.term > was.term)?;
    let (allocation, node) = (primary.allocation?, primary.node?);
    let was_replica = was.copy(allocation).is_some_and(|copy| copy.is_active() && !copy.primary);
    let term = is.term;
    was_replica.then(|| ClusterChange::ShardPromoted { shard: shard.clone(), allocation, node, term })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::{AllocationId, IndexUuid, SessionId, Term},
        search::fixture::{copy, state, table},
    };
    use CopyState::Started;

    const A: HostId = HostId::search(1);
    const B: HostId = HostId::search(2);

    fn both() -> ClusterState {
        state(1, vec![table(vec![copy(1, 1, true, Started), copy(2, 2, false, Started)])])
    }

    fn shard() -> ShardId {
        "articles/0".parse().unwrap()
    }

    #[test]
    fn nothing_new_is_no_notice() {
        assert_eq!(Announcement::of(&both(), &ClusterState { version: 2, ..both() }), None);
    }

    #[test]
    fn lost_node_is_told_with_the_promotion_it_causes() {
        let mut next = both();
        next.version = 2;
        let mut members = next.nodes.clone();
        members.remove(&A);
        next.homes = [(AllocationId(1), A), (AllocationId(2), B)].into();
        next.set_members(&members);
        let promoted = ClusterChange::ShardPromoted {
            shard: shard(),
            allocation: AllocationId(2),
            node: B,
            term: Term(2),
        };
        assert_eq!(changes(&both(), &next), [ClusterChange::NodeLeft { node: A }, promoted]);
    }

    #[test]
    fn node_in_another_session_has_left_and_joined() {
        let mut next = both();
        next.nodes.get_mut(&A).unwrap().session = SessionId(9);
        assert_eq!(
            changes(&both(), &next),
            [ClusterChange::NodeLeft { node: A }, ClusterChange::NodeJoined { node: A }]
        );
    }

    #[test]
    fn copy_that_failed_on_a_node_that_stays_is_told() {
        let mut next = both();
        next.homes = [(AllocationId(1), A), (AllocationId(2), B)].into();
        assert!(next.copy_failed(&shard(), AllocationId(2), Term(1), A, "gone"));
        let failed = ClusterChange::ShardFailed { shard: shard(), allocation: AllocationId(2), node: B };
        assert_eq!(changes(&both(), &next), [failed]);
    }

    #[test]
    fn index_that_was_made_again_is_told_twice() {
        let mut next = both();
        next.indices.get_mut(&"articles".into()).unwrap().uuid = IndexUuid(9);
        let index = || "articles".to_owned();
        assert_eq!(
            changes(&both(), &next),
            [ClusterChange::IndexDeleted { index: index() }, ClusterChange::IndexCreated { index: index() }]
        );
    }

    #[test]
    fn replica_that_was_taken_away_has_not_failed() {
        let mut next = both();
        next.set_replicas(&"articles".into(), 0);
        assert_eq!(changes(&both(), &next), []);
    }

    #[test]
    fn notice_carries_epoch_version_and_changes() {
        let mut next = ClusterState { version: 2, epoch: Epoch(3), ..both() };
        next.nodes.remove(&B);
        let announcement = Announcement::of(&both(), &next).unwrap();
        let Op::Create { path, data, .. } = announcement.op() else { panic!("a notice is a new znode") };
        assert_eq!(path, "/shardarium/notices/cluster/controller-0000000002-m_");
        assert_eq!(serde_json::from_slice::<Announcement>(&data.unwrap()).unwrap(), announcement);
    }
}
