//! Stats — decides when a node tells the controller how full its disk is, and what it says. It never decides what
//! follows from that.
//!
//! Elasticsearch's controller asks every node each `cluster.info.update.interval`, and when a node joins or it takes
//! office (`InternalClusterInfoService`); here nodes say the same by themselves. A disk without a known size is never
//! measured.

use std::{collections::BTreeMap, time::Duration};

use super::{
    allocation::info::{CopyStats, DiskUsage, NodeStats},
    control::ControlMessage,
    settings::{Scope, SettingsDocument},
    shard::layout,
    state::ClusterState,
    transport::Ctx,
    wire::Transport,
};
use crate::{
    core::{FileName, Instant},
    name::{AllocationId, Epoch, HostId, SessionId, ShardId},
};

/// Whether a node knows how large its disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskSize {
    /// It does.
    Known,
    /// It does not, and never measures it.
    Unknown,
}

/// A node's part in what the controller knows of disks.
#[derive(Debug)]
pub struct Stats {
    size: DiskSize,
    interval: Duration,
    /// Whom it told last, and in which session of its own.
    told: Option<(HostId, Epoch, SessionId)>,
    next: Option<Instant>,
}

impl Stats {
    /// Nothing is measured before a cluster state shows that somebody wants to know.
    pub fn new(size: DiskSize) -> Self {
        Self { size, interval: interval(&SettingsDocument::default()), told: None, next: None }
    }

    /// A newer state is applied: a controller that knows nothing of this node's disk is told at once.
    pub fn state_applied(&mut self, ctx: &mut Ctx<'_>, state: &ClusterState) {
        if self.size == DiskSize::Unknown {
            return;
        }
        let session = state.nodes.get(&ctx.me).map(|node| node.session);
        let told = state.controller.zip(session).map(|(host, session)| (host, state.epoch, session));
        if told != self.told {
            self.told = told;
            self.measure(ctx);
        }
    }

    /// Newer settings are applied.
    pub fn settings_applied(&mut self, ctx: &mut Ctx<'_>, settings: &SettingsDocument) {
        let interval = interval(settings);
        if interval != self.interval {
            self.interval = interval;
            self.next = self.next.map(|_| ctx.now.mono + interval);
        }
    }

    /// Time passed.
    pub fn wake(&mut self, ctx: &mut Ctx<'_>) {
        if self.next.is_some_and(|at| at <= ctx.now.mono) {
            self.measure(ctx);
        }
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        self.next
    }

    /// There is nobody to tell while the node is not in the cluster.
    fn measure(&mut self, ctx: &mut Ctx<'_>) {
        self.next = self.told.map(|_| ctx.now.mono + self.interval);
        if self.told.is_some() {
            ctx.out.measure_disk();
        }
    }

    /// The disk was measured: `files` and their bytes.
    pub fn measured(
        &self,
        ctx: &mut Ctx<'_>,
        state: Option<&ClusterState>,
        disk: DiskUsage,
        files: &BTreeMap<FileName, u64>,
    ) {
        let (Some((controller, _, session)), Some(state)) = (self.told, state) else { return };
        let stats = NodeStats { disk, copies: copies(ctx.me, state, files) };
        ctx.send(controller, Transport::Control(ControlMessage::Stats { session, stats }));
    }
}

fn interval(settings: &SettingsDocument) -> Duration {
    let set = settings.cluster.span(Scope::Cluster, "cluster.info.update.interval");
    set.unwrap_or(Duration::from_secs(30))
}

/// What each copy that the state has on this node takes.
fn copies(me: HostId, state: &ClusterState, files: &BTreeMap<FileName, u64>) -> Vec<CopyStats> {
    let mut bytes: BTreeMap<(ShardId, AllocationId), u64> = BTreeMap::new();
    for (file, len) in files {
        if let Some(owner) = layout::owner(file) {
            *bytes.entry(owner).or_default() += len;
        }
    }
    let told = bytes.into_iter().filter_map(|((shard, allocation), bytes)| {
        let copy = state.shard(&shard)?.copy(allocation).filter(|copy| copy.node == Some(me))?;
        Some(CopyStats { shard, allocation, primary: copy.primary, bytes })
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::{Effect, Now, Output},
        event::CopyState::Started,
        search::{
            fixture::{copy, state, table},
            transport::Links,
            wire::Message,
        },
    };

    const ME: HostId = HostId::search(1);

    struct Bed {
        stats: Stats,
        links: Links,
        out: Output<Message>,
        now: Instant,
    }

    impl Bed {
        fn new(size: DiskSize) -> Self {
            let (links, out) = (Links::default(), Output::default());
            Self { stats: Stats::new(size), links, out, now: Instant(0) }
        }

        fn with(&mut self, act: impl FnOnce(&mut Stats, &mut Ctx<'_>)) -> Vec<Effect<Message>> {
            let now = Now { mono: self.now, wall_ms: 0 };
            let mut ctx = Ctx { now, me: ME, out: &mut self.out, links: &mut self.links };
            act(&mut self.stats, &mut ctx);
            self.out.drain().collect()
        }

        fn apply(&mut self, state: &ClusterState) -> usize {
            self.with(|stats, ctx| stats.state_applied(ctx, state)).len()
        }
    }

    fn led(by: u16, epoch: u32) -> ClusterState {
        let mut state = state(1, vec![table(vec![copy(1, 1, true, Started), copy(2, 2, false, Started)])]);
        (state.controller, state.epoch) = (Some(HostId::search(by)), Epoch(epoch));
        state
    }

    #[test]
    fn new_controller_is_told_at_once_and_then_every_interval() {
        let mut bed = Bed::new(DiskSize::Known);
        assert_eq!(bed.apply(&led(2, 1)), 1);
        assert_eq!(bed.apply(&led(2, 1)), 0, "it has been told");
        bed.now = bed.stats.next_wake().unwrap();
        assert_eq!(bed.now, Instant(30_000_000_000));
        assert_eq!(bed.with(|stats, ctx| stats.wake(ctx)), [Effect::MeasureDisk]);
        assert_eq!(bed.apply(&led(2, 2)), 1, "the same node in another epoch has forgotten");
    }

    #[test]
    fn disk_of_unknown_size_is_never_measured() {
        let mut bed = Bed::new(DiskSize::Unknown);
        assert_eq!(bed.apply(&led(2, 1)), 0);
        assert_eq!(bed.stats.next_wake(), None);
    }

    #[test]
    fn copies_are_told_with_their_files() {
        let file = |id, name: &str| -> FileName {
            format!("{}{name}", layout::copy_prefix(&"articles/0".parse().unwrap(), AllocationId(id))).into()
        };
        let files = [(file(1, "state"), 5), (file(1, "0/translog.1"), 7), (file(9, "state"), 3)];
        let files: BTreeMap<_, _> = files.into_iter().chain([("other".into(), 2)]).collect();
        let told = copies(ME, &led(2, 1), &files);
        let own = CopyStats {
            shard: "articles/0".parse().unwrap(),
            allocation: AllocationId(1),
            primary: true,
            bytes: 12,
        };
        assert_eq!(told, [own], "copy 9 is no copy of the state");
    }
}
