//! Settling — decides how long a cluster may take to become whole after the last fault, from its configured
//! timeouts alone. It never measures.
//!
//! The worst case is a chain: the ensemble finds out, elects and synchronises (twice, since a first leader may
//! be lost to stale connections); nodes reconnect, or find their sessions over; the controller is replaced;
//! replicas wait for their nodes; copies recover one wave after another. Each link is a configured timeout or
//! a small number of them; ZooKeeper's constants are those of `FastLeaderElection` and `ClientCnxn`. Messages are taken
//! to be much quicker than any timeout: where links are so slow now and then that sessions end by themselves, a cluster
//! never stays settled, and its timeouts are to blame.

use std::time::Duration;

use crate::{scenario::plan::Plan, search::settings::duration};

/// One link of the chain: what is waited for, and for how long at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// What is waited for, for people.
    pub what: &'static str,
    /// At most.
    pub span: Duration,
}

/// Rounds of an election that may fail before one succeeds, the successful one included.
const ELECTIONS: u32 = 2;

/// What a round of notifications costs: `finalizeWait` (200 ms), once more for a second round, and the dial's
/// retries (`leaderConnectDelayDuringRetryMs`, five times 100 ms) rounded up.
const ELECTION: Duration = Duration::from_secs(1);

/// `ClientCnxn` takes 100 ms to clean up and waits up to a second before it tries another server.
const RECONNECT_PAUSE: Duration = Duration::from_millis(1_100);

/// One second more when it has tried every server in turn (`HostProvider.next`).
const ROUND_PAUSE: Duration = Duration::from_secs(1);

/// Copies that recover side by side in the worst case of a small cluster: two, both into or out of one node
/// (`node_concurrent_recoveries`).
const RECOVERIES_AT_ONCE: u32 = 2;

/// A target whose primary it cannot reach asks again after a while (`indices.recovery.retry_delay_network`).
const RECOVERY_RETRY: Duration = Duration::from_secs(5);

/// How long the cluster may take to settle after the last fault is undone: the sum of [`settle_waits`].
pub fn settle_bound(plan: &Plan) -> Duration {
    settle_waits(plan).iter().map(|wait| wait.span).sum()
}

/// The links of the chain, in order.
///
/// With tick *t*, session timeout *T* (granted within 2 t and 20 t), limits *i* and *s*:
///
/// What follows on the ensemble is waited for only if there are search nodes.
///
/// | waits for | at most |
/// |---|---|
/// | a server that is silent to be noticed | (s + 1) · t |
/// | a leader and its synchronisation | 2 · (1 s + i · t) |
/// | servers that have long looked for a leader to ask again | as long as they have looked, up to 1 min: known only in the run ([`Lookers`](crate::event::Lookers)) |
/// | clients to find a server, having tried each of *n* | T + n · 1.1 s + 1 s |
/// | sessions of the dead to expire, afresh under a new leader, heard of through a follower | T + 2 · t |
/// | a node that was told of its expiry, or a successor of the controller, to act | T + request timeout |
/// | replicas whose node may return | delayed allocation |
/// | copies to recover or move, *r* at a time | ⌈copies / r⌉ · (request timeout + 1 s) |
/// | disks that have a size to be measured and to be found as full as they are | 2 · `cluster.info.update.interval` |
/// | searches and replication that hang on a lost request | 2 · request timeout |
/// | a recovery whose request was lost to ask again | 5 s |
///
/// A recovery occupies two nodes, and each takes part in two at once: with *N* nodes *r* is at least N / 2, even
/// where every second node stands idle. Moves for balance go two at a time in the whole cluster
/// (`cluster_concurrent_rebalance`), but wait for nothing that was lost.
pub fn settle_waits(plan: &Plan) -> Vec<Wait> {
    let tick = Duration::from_millis(plan.zookeeper.tick_ms);
    let session = granted_session(plan);
    let request = plan.search.request_timeout;
    let servers = plan.zookeeper.servers.len() as u32;
    let wait = |what, span| Wait { what, span };
    let ensemble = [
        wait("silent servers to be noticed", (plan.zookeeper.sync_limit + 1) * tick),
        wait("a ZooKeeper leader", ELECTIONS * (ELECTION + plan.zookeeper.init_limit * tick)),
        wait("clients to find a server", session + servers * RECONNECT_PAUSE + ROUND_PAUSE),
        wait("sessions of the dead to expire", session + 2 * tick),
    ];
    let cluster = [
        wait("a controller to act", session + request),
        wait("nodes that may return", plan.search.delayed_allocation),
        wait("copies to recover", recovery_waves(plan) * (request + Duration::from_secs(1))),
        wait("disks to be measured", measured(plan)),
        wait("requests that were lost", 2 * request),
        wait("a recovery to ask again", RECOVERY_RETRY),
    ];
    let is_search = !plan.nodes.is_empty();
    ensemble.into_iter().chain(cluster.into_iter().filter(|_| is_search)).collect()
}

/// The longest session timeout that the ensemble grants to anyone of the plan
/// (`ZooKeeperServer.setupSession`: within 2 and 20 ticks).
pub fn granted_session(plan: &Plan) -> Duration {
    let least = Duration::from_millis(plan.zookeeper.session_timeout_min_ms());
    let most = Duration::from_millis(plan.zookeeper.session_timeout_max_ms());
    let nodes = (!plan.nodes.is_empty()).then_some(plan.search.session_timeout);
    let clients = plan.zookeeper_clients.iter().map(|clients| clients.session_timeout);
    let members = plan.recipe_clients.iter().map(|clients| clients.session_timeout);
    nodes.into_iter().chain(clients).chain(members).max().unwrap_or_default().clamp(least, most)
}

/// How long nobody may know how full a disk is, by the settings of the start.
fn measured(plan: &Plan) -> Duration {
    let set = plan.settings.0.get("cluster.info.update.interval");
    let interval = set.and_then(|text| duration(text)).unwrap_or(Duration::from_secs(30));
    if plan.nodes.iter().any(|node| node.disk.is_some()) { 2 * interval } else { Duration::ZERO }
}

/// Waves of recoveries until every copy has recovered once.
fn recovery_waves(plan: &Plan) -> u32 {
    let copies: u32 = plan.indices.iter().map(|index| index.shards.saturating_mul(index.replicas + 1)).sum();
    let at_once = RECOVERIES_AT_ONCE.max(plan.nodes.len() as u32 / 2);
    copies.div_ceil(at_once)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::format::{Index, Scenario};

    fn scenario() -> Scenario {
        let index = Index { name: "a".into(), shards: 3, replicas: 1, ..Default::default() };
        Scenario { indices: vec![index], ..Default::default() }
    }

    #[test]
    fn bound_of_the_defaults_is_under_two_minutes() {
        let bound = settle_bound(&scenario().plan(1));
        assert!(bound > Duration::from_secs(30) && bound < Duration::from_secs(120), "{bound:?}");
    }

    #[test]
    fn every_timeout_lengthens_the_bound() {
        let base = settle_bound(&scenario().plan(1));
        let longer: [fn(&mut Scenario); 7] = [
            |scenario| scenario.cluster.tick *= 2,
            |scenario| scenario.cluster.init_limit += 1,
            |scenario| scenario.cluster.sync_limit += 1,
            |scenario| scenario.cluster.session_timeout *= 2,
            |scenario| scenario.cluster.delayed_allocation *= 2,
            |scenario| scenario.cluster.request_timeout *= 2,
            |scenario| scenario.indices[0].shards += 1,
        ];
        for (which, change) in longer.into_iter().enumerate() {
            let mut changed = scenario();
            change(&mut changed);
            assert!(settle_bound(&changed.plan(1)) > base, "change {which}");
        }
    }

    #[test]
    fn copies_of_a_large_cluster_recover_side_by_side() {
        let mut scenario = scenario();
        scenario.indices[0].shards = 1000;
        scenario.cluster.search = Some(100);
        assert!(settle_bound(&scenario.plan(1)) < Duration::from_secs(600));
    }

    #[test]
    fn session_is_granted_within_two_and_twenty_ticks() {
        let mut scenario = scenario();
        scenario.cluster.session_timeout = Duration::from_secs(60);
        assert_eq!(granted_session(&scenario.plan(1)), Duration::from_secs(10));
        scenario.cluster.session_timeout = Duration::from_millis(10);
        assert_eq!(granted_session(&scenario.plan(1)), Duration::from_secs(1));
    }
}
