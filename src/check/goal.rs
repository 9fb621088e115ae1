//! Goals — decides which rare things a run has reached, so that a sweep can show that it was not idle. It
//! never judges: a goal that one run misses is no fault of that run.

mod documents;
mod ensemble;
mod faults;
mod replication;
mod requests;
mod routing;

use std::collections::{BTreeMap, BTreeSet};

use self::{
    documents::Documents, ensemble::Ensemble, faults::Faults, replication::Replication, requests::Requests,
    routing::Routing,
};
use crate::{
    event::{CopyState, DocOp, Event, EventKind, Outcome, Placement, SyncMode},
    name::{AllocationId, HostId, HostKind, SessionId, ShardId, Term},
};

/// Something that should happen in some run of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    /// How scenario files, reports and the command line call it.
    pub name: &'static str,
    /// What happens, in one sentence.
    pub sentence: &'static str,
}

macro_rules! goals {
    ($($id:ident $name:literal $sentence:literal)*) => {
        /// Every goal, in the order of reports.
        pub static GOALS: &[Goal] = &[$($id),*];

        $(const $id: Goal = Goal { name: $name, sentence: $sentence };)*
    };
}

goals! {
    ZK_LEADER_CHANGED "zk-leader-changed" "A second ZooKeeper leader is established."
    SESSION_EXPIRED "session-expired" "The ZooKeeper leader expires a session."
    SESSION_MOVED "session-moved" "A client goes on with its session on another server."
    LOG_TRUNCATED "log-truncated" "A ZooKeeper server cuts uncommitted transactions off its log."
    SNAPSHOT_SYNC "snapshot-sync" "A ZooKeeper server is brought level by a snapshot."
    DIFF_SYNC "diff-sync" "A ZooKeeper server is brought level by the transactions it lacks."
    WIPED_REJOINED "wiped-server-rejoined" "A ZooKeeper server that has lost its disk follows again."
    ROUND_JOINED "election-round-joined" "A ZooKeeper election is decided in a later round than a server began it in."
    PROPOSALS_LEFT "proposals-left" "A ZooKeeper leader is lost with proposals that are not committed."
    RECONFIGURED "reconfigured" "The ZooKeeper ensemble is changed by a reconfiguration."
    CLIENT_AHEAD "client-ahead-refused" "A ZooKeeper server turns a client away that has seen more than it has."
    SESSION_UPGRADED "session-upgraded" "A session that only its server knew becomes global."
    OBSERVER_SERVED "observer-served" "A client is answered by an observer."
    READ_ONLY_SERVED "read-only-served" "A client is answered by a server without a quorum."
    SYNC_DEPOSED "sync-by-deposed-leader" "A deposed leader answers a sync, and lacks what was committed before."
    WATCH_CAUGHT_UP "watch-caught-up" "A client that comes back is told of a change it missed."
    WATCH_BEFORE_REPLY "watch-before-reply" "A client is told of a change before its own request for it is answered."
    CONTAINER_REAPED "container-reaped" "The ZooKeeper leader removes an empty container."
    TTL_REAPED "ttl-reaped" "The ZooKeeper leader removes a node whose time to live is over."
    TORN_WRITE_SEEN "torn-write-seen" "A crash leaves a write on disk in part."
    TORN_LOG_CUT "torn-log-cut" "A ZooKeeper server starts from a log whose end was torn."
    UNSYNCED_WRITE_LOST "unsynced-write-lost" "A crash loses bytes that were not synced."
    WRITE_FAILED "write-failed" "A disk refuses a write."
    SYNC_FAILED "sync-failed" "A disk refuses a sync."
    READ_FAILED "read-failed" "A process cannot read its files when it starts."
    DISK_FULL "disk-full" "A write finds no space left."
    DAMAGE_REFUSED "damage-refused" "A ZooKeeper server refuses to start from a damaged disk."
    DAMAGED_REJOINED "damaged-server-rejoined" "A ZooKeeper server whose disk was damaged follows again."
    CLOCK_SET "clock-set" "A host's clock jumps, or begins to run otherwise."
    REPLY_LOST "reply-lost" "An answer vanishes after what was asked has been done."
    FAULT_SPARED "fault-spared" "A fault is left out, since it would break what the run has promised to keep."
    CONTROLLER_CHANGED "controller-changed" "Another node becomes controller."
    PRIMARY_PROMOTED "primary-promoted" "Another copy becomes primary, in a higher term."
    RESYNC_RAN "resync-ran" "A new primary brings the other copies level."
    RECOVERY_BY_OPERATIONS "recovery-by-operations" "A copy recovers by the operations it lacks."
    RECOVERY_BY_FILES "recovery-by-files" "A copy recovers by files."
    SHARD_RELOCATED "shard-relocated" "A copy moves to another node."
    WRITE_UNKNOWN "write-unknown" "A client never learns what became of its write."
    PARTIAL_SEARCH "partial-search" "A search is answered by some of its shards only."
    NODE_REJOINED "node-rejoined" "A search node that was lost registers again."
    PRIMARY_HANDED_OFF "primary-handed-off" "A primary hands over to the target of its relocation."
    PRIMARY_FENCED "primary-fenced" "A primary is deposed with writes that it cannot acknowledge any more."
    TERM_ADOPTED "term-adopted" "A copy learns of a higher term."
    RESYNC_RESENT "resync-resent" "A new primary resends operations that the other copies may lack."
    GAP_FILLED "gap-filled" "A new primary takes up a number that its predecessor left unused, with a no-op."
    OPERATIONS_VOIDED "operations-voided" "A copy throws operations away that the new primary does not have."
    OPERATION_SUPERSEDED "operation-superseded" "A copy gives up an operation for another one of its number."
    OPERATIONS_LOST "operations-lost" "A machine that lost power took operations with it that a copy had not synced."
    HANDED_OFF_IN_WRITES "handed-off-in-writes" "A primary hands over, and its successor goes on numbering writes in its term."
    CHECKPOINT_SYNCED "checkpoint-synced" "A copy learns of the global checkpoint without an operation."
    ASYNC_ACKNOWLEDGED "async-acknowledged" "A write is acknowledged that not every copy has synced."
    ACKNOWLEDGED_LOST "acknowledged-write-lost" "A write that was acknowledged unsynced is gone, and its number is given again."
    LONE_WRITE "lone-write" "A write is acknowledged that only the primary has."
    IN_SYNC_SHRUNK "in-sync-shrunk" "A copy is taken out of the in-sync set, and a write is acknowledged without it."
    COPY_FLUSHED "copy-flushed" "A copy makes its segments durable and cuts its translog."
    PRIMARY_RETURNED "primary-returned" "A primary comes back from what its disk holds."
    COPY_RETURNED "copy-returned" "A copy that was away keeps what its disk holds and recovers by operations."
    COPY_REBUILT "copy-rebuilt" "A copy that was away is too far behind and recovers by files."
    RECOVERY_TRIED_AGAIN "recovery-tried-again" "A recovery is cut short and begins again."
    FAILED_COPY_REPLACED "failed-copy-replaced" "A copy fails, and another one recovers elsewhere."
    CORRUPTION_FOUND "corruption-found" "A copy finds one of its files corrupt."
    CORRUPTION_HEALED "corruption-healed" "A shard with a corrupt copy gets another one from a sound copy."
    COPY_WAITED_FOR "copy-waited-for" "A copy whose node is away is waited for."
    DELAY_MET "delay-met" "A copy that was waited for comes back in time."
    DELAY_OVER "delay-over" "A copy that was waited for is given up."
    CLUSTER_YELLOW "cluster-yellow" "A shard that served has a replica on no node."
    SHARD_RED "shard-red" "A shard that served has no primary on any node."
    SHARD_RED_HEALED "shard-red-healed" "A shard that had no primary gets one."
    REROUTE_COMMANDED "reroute-commanded" "An operator commands where copies go."
    DATA_GIVEN_UP "data-given-up" "An operator accepts the loss of data to get a primary."
    RETRIES_EXHAUSTED "retries-exhausted" "A copy fails so often in a row that it is left alone."
    RETRIES_RESET "retries-reset" "An operator has copies tried again that have failed."
    DISK_LOW "disk-low-watermark" "A disk is known to be beyond the low watermark."
    DISK_HIGH "disk-high-watermark" "A disk is known to be beyond the high watermark."
    DISK_FLOODED "disk-flood-stage" "A disk is known to be beyond the flood stage."
    DISK_FREED "disk-freed" "A disk that was beyond the high watermark is known to have room."
    DISK_RELIEVED "disk-relieved" "A copy moves away from a node whose disk is beyond the high watermark."
    INDEX_BLOCKED "index-blocked" "An index takes no writes, since a disk is nearly full."
    INDEX_RELEASED "index-released" "An index takes writes again, since its disks have room."
    SETTINGS_CHANGED "allocation-settings-changed" "What the allocator goes by is changed while it runs."
    NODE_DRAINED "node-drained" "A copy leaves a node that is excluded."
    AWARENESS_HELD "awareness-held" "A copy stays unassigned under forced awareness."
    INDEX_DELETED "index-deleted" "An index with shards that served is deleted."
    CAS_CONFLICT "cas-conflict" "A write with if_seq_no meets a version conflict."
    CREATE_CONFLICT "create-conflict" "A create meets a document that is there."
    EXTERNAL_CONFLICT "external-conflict" "A write with an external version meets one that is not lower."
    CAS_DONE "cas-done" "A write with if_seq_no takes effect."
    EXTERNAL_DONE "external-done" "A write with an external version takes effect."
    READ_REFUSED "read-refused" "A get is refused, since nobody can be sure to have the newest."
    WRITE_REFUSED "write-refused" "A client is told that its write surely has no effect."
    DELETED_NOTHING "deleted-nothing" "A document is deleted that was never written."
    STALE_READ "stale-read" "A get shows less than was acknowledged before it was sent."
    DIRTY_READ "dirty-read" "A get shows a write that nobody was told of yet."
    READ_BACKWARD "read-backward" "A get shows less than an earlier one did."
    BULK_ITEM_FAILED "bulk-item-failed" "An item of a bulk request surely has no effect."
    ROUTED "document-routed" "A request about a document that is not routed by its id is answered."
    UPDATED "document-updated" "An update is merged into a document that is there."
    DRAWN_RETRIED "drawn-id-retried" "A document whose id was drawn is numbered again, since its node had to try again."
    ACTIVE_REFUSED "active-copies-refused" "A write that waits for active copies is refused for lack of them."
    REFRESH_WAITED "refresh-waited-for" "A write is acknowledged once a refresh has made it searchable."
    DFS_ROUND "dfs-round" "A search collects the figures of several shards before it scores."
    AGGREGATION_MERGED "aggregation-merged" "An aggregation is made of what several shards computed."
    PARTIAL_REFUSED "partial-search-refused" "A search that takes all or nothing is refused."
    SEGMENTS_MERGED "segments-merged" "A copy makes one segment of several."
    TOMBSTONE_PRUNED "tombstone-pruned" "A copy forgets a tombstone that nobody needs any more."
    SEARCH_TIMED_OUT "search-timed-out" "A search gives what it has, since its time is up."
    LEADERSHIP_PASSED "leadership-passed" "A group that elects its leader gets another one."
    NOTICES_MISSED "notices-missed" "A subscriber is told that notices are gone which it has not received."
}

/// The goal of this name.
pub fn named(name: &str) -> Option<&'static Goal> {
    GOALS.iter().find(|goal| goal.name == name)
}

/// The names of the goals that this record reaches, in the order of [`GOALS`].
pub fn goals_met(events: &[Event]) -> Vec<&'static str> {
    let mut watch = Watch::default();
    events.iter().for_each(|event| watch.observe(event));
    GOALS.iter().map(|goal| goal.name).filter(|name| watch.met.contains(name)).collect()
}

/// What has been met, and what must be remembered to tell.
#[derive(Default)]
struct Watch {
    met: BTreeSet<&'static str>,
    zookeeper: Ensemble,
    faults: Faults,
    replication: Replication,
    routing: Routing,
    documents: Documents,
    requests: Requests,
    leader: bool,
    controller: Option<HostId>,
    servers: BTreeMap<SessionId, HostId>,
    primaries: BTreeMap<ShardId, (Term, AllocationId)>,
    recoveries: BTreeMap<AllocationId, Goal>,
    moves: BTreeMap<AllocationId, Vec<AllocationId>>,
    registered: BTreeMap<HostId, SessionId>,
    leaders: BTreeMap<String, HostId>,
    writes: BTreeSet<u64>,
}

impl Watch {
    fn meet(&mut self, goal: Goal, condition: bool) {
        if condition {
            self.met.insert(goal.name);
        }
    }

    fn observe(&mut self, event: &Event) {
        let met = [
            self.zookeeper.observe(event),
            self.replication.observe(event),
            self.routing.observe(event),
            self.documents.observe(event),
            self.requests.observe(event),
        ];
        self.met.extend(self.faults.observe(event).map(|goal| goal.name));
        self.met.extend(met.iter().flatten().map(|goal| goal.name));
        match &event.kind {
            EventKind::Delivered { .. } | EventKind::FileSynced { .. } => {}
            EventKind::DiskDamaged { lost, torn, .. } => {
                self.meet(TORN_WRITE_SEEN, *torn);
                self.meet(UNSYNCED_WRITE_LOST, *lost > 0);
            }
            kind => {
                self.ensemble(kind);
                self.cluster(kind, event.host);
                self.copies(kind);
                self.clients(kind);
            }
        }
    }

    fn ensemble(&mut self, kind: &EventKind) {
        match kind {
            EventKind::LeaderEstablished { .. } => {
                self.meet(ZK_LEADER_CHANGED, self.leader);
                self.leader = true;
            }
            EventKind::SessionExpired { .. } => self.meet(SESSION_EXPIRED, true),
            EventKind::LogTruncated { .. } => self.meet(LOG_TRUNCATED, true),
            EventKind::SnapshotInstalled { .. } => self.meet(SNAPSHOT_SYNC, true),
            EventKind::FollowerSynced { mode, .. } => self.meet(SNAPSHOT_SYNC, *mode == SyncMode::Snap),
            EventKind::ClientConnected { session, server, resumed, .. } => {
                let old = self.servers.insert(*session, *server);
                self.meet(SESSION_MOVED, *resumed && old.is_some_and(|old| old != *server));
            }
            _ => {}
        }
    }

    fn cluster(&mut self, kind: &EventKind, host: Option<HostId>) {
        match (kind, host) {
            (EventKind::ControllerElected { .. }, Some(host)) => {
                let old = self.controller.replace(host);
                self.meet(CONTROLLER_CHANGED, old.is_some_and(|old| old != host));
            }
            (EventKind::NodeRegistered { session }, Some(host)) if host.kind == HostKind::Search => {
                let old = self.registered.insert(host, *session);
                self.meet(NODE_REJOINED, old.is_some_and(|old| old != *session));
            }
            (EventKind::StatePublished { routing, .. }, _) => self.relocations(routing),
            (EventKind::LeadershipTaken { group, .. }, Some(host)) => {
                let old = self.leaders.insert(group.clone(), host);
                self.meet(LEADERSHIP_PASSED, old.is_some_and(|old| old != host));
            }
            (EventKind::NoticesMissed { .. }, _) => self.meet(NOTICES_MISSED, true),
            _ => {}
        }
    }

    /// A move is done when its source is gone and one of the copies that were built meanwhile has started.
    fn relocations(&mut self, routing: &[Placement]) {
        let find = |id: AllocationId| routing.iter().find(|copy| copy.allocation == Some(id));
        let arrived = |targets: &[AllocationId]| {
            targets.iter().any(|id| find(*id).is_some_and(|copy| copy.state == CopyState::Started))
        };
        let gone = self.moves.iter().filter(|(source, _)| find(**source).is_none());
        let is_done = gone.map(|(_, targets)| targets).any(|targets| arrived(targets));
        self.meet(SHARD_RELOCATED, is_done);
        self.moves.retain(|source, _| find(*source).is_some());
        for source in routing.iter().filter(|copy| copy.state == CopyState::Relocating) {
            let built = routing
                .iter()
                .filter(|copy| copy.shard == source.shard && copy.state == CopyState::Initializing);
            let targets = built.filter_map(|copy| copy.allocation).collect();
            self.moves.extend(source.allocation.map(|id| (id, targets)));
        }
    }

    fn copies(&mut self, kind: &EventKind) {
        match kind {
            EventKind::PrimaryActivated { shard, allocation, term } => {
                let old = self.primaries.insert(shard.clone(), (*term, *allocation));
                let is_promotion = old.is_some_and(|(before, copy)| *term > before && copy != *allocation);
                self.meet(PRIMARY_PROMOTED, is_promotion);
            }
            EventKind::SegmentsMerged { .. } => self.meet(SEGMENTS_MERGED, true),
            EventKind::TombstonesPruned { .. } => self.meet(TOMBSTONE_PRUNED, true),
            EventKind::PrimaryDeactivated { why, .. } => self.meet(PRIMARY_HANDED_OFF, why == "handed-off"),
            EventKind::ResyncCompleted { .. } => self.meet(RESYNC_RAN, true),
            EventKind::RecoveryStarted { allocation, from, .. } => {
                let goal = match from.as_ref() {
                    "operations" => RECOVERY_BY_OPERATIONS,
                    "files" => RECOVERY_BY_FILES,
                    _ => return,
                };
                self.recoveries.insert(*allocation, goal);
            }
            EventKind::RecoveryCompleted { allocation, .. } => {
                if let Some(goal) = self.recoveries.remove(allocation) {
                    self.meet(goal, true);
                }
            }
            _ => {}
        }
    }

    fn clients(&mut self, kind: &EventKind) {
        match kind {
            EventKind::DocInvoked { request, op, .. } if *op != DocOp::Get => {
                self.writes.insert(*request);
            }
            EventKind::DocCompleted { request, outcome, .. } => {
                let is_write = self.writes.remove(request);
                self.meet(WRITE_UNKNOWN, is_write && *outcome == Outcome::Unknown);
            }
            EventKind::SearchCompleted { outcome: Outcome::Ok, shards_successful, shards_total, .. } => {
                self.meet(PARTIAL_SEARCH, shards_successful < shards_total);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::record::{Record, client, search, shard, zk};
    use crate::event::EventKind as E;

    #[test]
    fn healthy_record_meets_what_its_faults_bring_about() {
        let met = goals_met(&Record::healthy().events);
        let expected = [
            "zk-leader-changed",
            "session-expired",
            "session-moved",
            "log-truncated",
            "diff-sync",
            "proposals-left",
            "unsynced-write-lost",
            "controller-changed",
            "primary-promoted",
            "resync-ran",
            "recovery-by-files",
            "node-rejoined",
            "in-sync-shrunk",
        ];
        assert_eq!(met, expected);
    }

    fn met_by(events: &[(HostId, E)]) -> Vec<&'static str> {
        let mut record = Record::default();
        events.iter().for_each(|(host, kind)| _ = record.on(*host, kind.clone()));
        goals_met(&record.events)
    }

    #[test]
    fn damage_and_snapshots_are_told_apart() {
        let torn = E::DiskDamaged { file: "log.1".into(), kept: 5, lost: 0, torn: true };
        assert_eq!(met_by(&[(zk(1), torn)]), ["torn-write-seen"]);
        let zxid = crate::check::record::txn(1, 1).zxid;
        let installed = E::SnapshotInstalled { zxid, sessions: vec![], ephemerals: vec![] };
        assert_eq!(met_by(&[(zk(1), installed)]), ["snapshot-sync"]);
    }

    #[test]
    fn recovery_counts_once_it_is_complete() {
        let allocation = AllocationId(7);
        let begun = E::RecoveryStarted { shard: shard(), allocation, from: "operations".into() };
        let done = E::RecoveryCompleted { shard: shard(), allocation, operations: 3 };
        assert!(met_by(&[(search(1), begun.clone())]).is_empty());
        assert_eq!(met_by(&[(search(1), begun), (search(1), done)]), ["recovery-by-operations"]);
    }

    #[test]
    fn move_counts_when_its_target_has_replaced_its_source() {
        let published = |copies: &[(u64, CopyState)]| {
            let mut record = Record::default();
            record.publish(search(1), 1, copies);
            record.events[0].kind.clone()
        };
        let moving = published(&[(1, CopyState::Relocating), (2, CopyState::Initializing)]);
        let failed = published(&[(1, CopyState::Started)]);
        let moved = published(&[(2, CopyState::Started)]);
        assert!(met_by(&[(search(1), moving.clone()), (search(1), failed)]).is_empty());
        assert_eq!(met_by(&[(search(1), moving), (search(1), moved)]), ["shard-relocated"]);
    }

    #[test]
    fn hand_off_unknown_write_and_partial_search_count() {
        let (allocation, term) = (AllocationId(1), Term(1));
        let handed = E::PrimaryDeactivated { shard: shard(), allocation, term, why: "handed-off".into() };
        assert_eq!(met_by(&[(search(1), handed)]), ["primary-handed-off"]);

        let mut record = Record::default();
        record.write(1, "a", Some(1)).complete(1, Outcome::Unknown, None).get(2, "a").complete(
            2,
            Outcome::Unknown,
            None,
        );
        assert_eq!(goals_met(&record.events), ["write-unknown"]);

        let (shards_successful, shards_total, total) = (1, 3, 0);
        let outcome = Outcome::Ok;
        let partial = E::SearchCompleted {
            request: 1,
            outcome,
            shards_successful,
            shards_total,
            total,
            hits: vec![],
            seen: vec![],
            timed_out: false,
            aggregations: String::new(),
            error: None,
        };
        assert_eq!(met_by(&[(client(), partial)]), ["partial-search"]);
    }

    #[test]
    fn another_leader_of_a_group_and_missed_notices_count() {
        let zxid = crate::check::record::txn(1, 1).zxid;
        let taken = |epoch| E::LeadershipTaken { group: "/g".into(), epoch: crate::name::Epoch(epoch), zxid };
        assert!(met_by(&[(client(), taken(1)), (client(), taken(2))]).is_empty());
        assert_eq!(met_by(&[(client(), taken(1)), (search(1), taken(2))]), ["leadership-passed"]);
        let missed = E::NoticesMissed { topic: "/t".into(), from: 1, first: 9 };
        assert_eq!(met_by(&[(client(), missed)]), ["notices-missed"]);
    }

    #[test]
    fn every_goal_is_found_by_its_name() {
        assert!(GOALS.iter().all(|goal| named(goal.name) == Some(goal) && goal.sentence.ends_with('.')));
        assert_eq!(named("zk-leader"), None);
    }
}
