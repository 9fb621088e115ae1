//! Lease — decides when a primary renews the retention leases of its copies, and who is told. It never decides
//! which operations a lease keeps (`leases`).

use std::time::Duration;

use super::{Phase, Shard};
use crate::{
    core::Instant,
    name::{AllocationId, HostId, SeqNo, Term},
    search::{
        leases::Leases,
        shards::{Body, Step},
    },
};

/// How often leases are renewed, if some can be (`index.soft_deletes.retention_lease.sync_interval`).
const LEASE_SYNC: Duration = Duration::from_secs(30);

impl Shard {
    /// A new primary: every copy that it knows has a lease, its own among them
    /// (`ReplicationTracker.createMissingPeerRecoveryRetentionLeases`).
    pub(super) fn add_missing_leases(&mut self, step: &Step<'_, '_>) {
        let (me, wall_ms) = (step.ctx.me, step.ctx.now.wall_ms);
        let Phase::Primary(primary) = &self.phase else { return };
        let nodes: Vec<_> = primary.group.tracked().map(|(_, node)| node).chain([me]).collect();
        let store = self.open_store();
        let retaining = store.global_checkpoint().next();
        for node in nodes {
            if store.leases.get(node).is_none() {
                store.leases.put(node, retaining, wall_ms);
            }
        }
    }

    /// A recovery of the copy on a node begins: what it needs from here on is kept for it, and the other copies
    /// keep it too, in case this one dies.
    pub(super) fn lease_from(&mut self, step: &mut Step<'_, '_>, node: HostId, retaining: SeqNo) {
        let wall_ms = step.ctx.now.wall_ms;
        let leases = &mut self.open_store().leases;
        if leases.get(node).is_none_or(|lease| lease.retaining != retaining) {
            leases.put(node, retaining, wall_ms);
        }
        self.send_leases(step);
    }

    /// Has the leases renewed after a while, if one of them keeps what its copy does not need.
    pub(super) fn renew_leases_later(&mut self, at: Instant) {
        let store = self.open_store();
        let lags = store.leases.retained_from().is_some_and(|from| from <= store.global_checkpoint());
        if let Phase::Primary(primary) = &mut self.phase
            && primary.lease_sync_at.is_none()
            && lags
        {
            primary.lease_sync_at = Some(at + LEASE_SYNC);
        }
    }

    pub(super) fn renew_leases(&mut self, step: &mut Step<'_, '_>) {
        let (now, me, wall_ms) = (step.now(), step.ctx.me, step.ctx.now.wall_ms);
        let period = step.pace(&self.id).lease_period;
        let table = self.table(step).cloned().unwrap_or_default();
        let Phase::Primary(primary) = &mut self.phase else { return };
        if primary.lease_sync_at.is_none_or(|at| at > now) {
            return;
        }
        primary.lease_sync_at = None;
        let copies: Vec<_> = primary.group.tracked().collect();
        let safe = |copy: &AllocationId| primary.group.channel(*copy).map(|channel| channel.safe.next());
        let needs: Vec<_> = copies.iter().filter_map(|(copy, node)| Some((*node, safe(copy)?))).collect();
        let store = self.open_store();
        let before = store.leases.version;
        store.leases.renew(me, store.global_checkpoint().next(), wall_ms, period);
        for (node, retaining) in needs {
            store.leases.renew(node, retaining, wall_ms, period);
        }
        let all_started = table.copies.iter().all(|copy| copy.is_active() && copy.relocating.is_none());
        let patience = if all_started { Duration::ZERO } else { period };
        store.leases.expire(wall_ms, patience, |node| {
            node == me || table.copies.iter().any(|copy| copy.node == Some(node))
        });
        if store.leases.version > before {
            store.write_state();
            self.send_leases(step);
        }
    }

    /// Failing to tell a copy never fails it.
    pub(super) fn send_leases(&mut self, step: &mut Step<'_, '_>) {
        let leases = self.open_store().leases.clone();
        let Phase::Primary(primary) = &self.phase else { return };
        for (copy, node) in primary.group.tracked() {
            step.send(node, self.message(copy, Body::RetentionLeases(Box::new(leases.clone()))));
        }
    }

    /// The primary of `term` says which operations to keep.
    pub(super) fn take_leases(&mut self, term: Term, leases: Leases) {
        let takes = matches!(self.phase, Phase::Replica | Phase::Recovered { .. } | Phase::Recovering(_));
        if takes && term == self.term && self.replaced.is_none() {
            let store = self.open_store();
            store.leases = leases;
            store.write_state();
        }
    }
}
