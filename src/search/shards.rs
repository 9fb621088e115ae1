//! Shards — decides which copies live on this node and routes to them. It never decides where copies should
//! live (the controller does), and it never speaks to clients (`coordination` does).

mod call;
mod copies;
mod desk;
mod message;
mod search;
#[cfg(test)]
mod tests;
mod tuning;

use std::{collections::BTreeMap, sync::Arc};

pub use self::call::{Condition, ReadCall, WriteAction, WriteCall, Written};
pub use self::copies::Copies;
pub(in crate::search) use self::desk::{Awaited, Desk, Step, Ticket};
pub use self::message::{Body, Operations, PrimaryContext, Purpose, ShardMessage};
pub use self::search::{Fetch, FetchedDoc, SearchAsk, SearchServed, ShardFound};
use crate::{
    core::{DiskError, FileName, Files, Instant},
    defect::Defects,
    name::{AllocationId, HostId, ShardId},
    search::{
        api::{ApiError, GotDoc},
        control::ShardReport,
        settings::SettingsDocument,
        shard::{Shard, layout},
        state::ClusterState,
        transport::Ctx,
    },
};

/// Why a copy did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardRefusal {
    /// No such copy here, or it is not the active primary (of the expected allocation and term), or it was
    /// deposed before the write was acknowledged: route again with a newer state. `certain`: nothing was
    /// written.
    NotHere {
        /// Whether surely nothing was written.
        certain: bool,
    },
    /// Not now, and nothing was written: fewer copies are active than the request asks for. Route again with a newer
    /// state; if none helps, the client is told this.
    Unavailable(String),
    /// The request itself fails, such as `version_conflict_engine_exception`.
    Error(ApiError),
}

/// What a node's other parts learn from its shards.
#[derive(Debug, Clone, PartialEq)]
pub enum ShardNews {
    /// A write ended.
    Write {
        /// The caller's token.
        token: u64,
        /// What came of it.
        result: Result<Written, ShardRefusal>,
    },
    /// A get ended.
    Get {
        /// The caller's token.
        token: u64,
        /// What came of it.
        result: Result<Option<GotDoc>, ShardRefusal>,
    },
    /// A refresh of all copies of a shard ended.
    Refresh {
        /// The caller's token.
        token: u64,
        /// Copies that refreshed, and copies that should have.
        result: Result<(u32, u32), ShardRefusal>,
    },
    /// Something for the controller.
    Report(ShardReport),
}

/// The copies on one node.
#[derive(Debug)]
pub struct Shards {
    desk: Desk,
    copies: BTreeMap<(ShardId, AllocationId), Shard>,
}

/// Settings of [`Shards`].
#[derive(Debug, Clone)]
pub struct ShardsConfig {
    /// Settings of the search cluster.
    pub search: crate::scenario::plan::SearchConfig,
    /// Historic bugs switched on.
    pub defects: Defects,
}

impl Shards {
    /// The copies that the disk holds; none serves before a cluster state says so.
    pub fn boot(config: ShardsConfig, files: &Files) -> Self {
        let mut held: BTreeMap<(ShardId, AllocationId), Files> = BTreeMap::new();
        for (file, bytes) in files {
            if let Some(owner) = layout::owner(file) {
                held.entry(owner).or_default().insert(file.clone(), bytes.clone());
            }
        }
        let copies = held.into_iter().map(|(owner, files)| {
            let copy = Shard::closed(owner.0.clone(), owner.1, files);
            (owner, copy)
        });
        Self { desk: Desk::new(config), copies: copies.collect() }
    }

    /// Applies a newer cluster state: opens, promotes, resyncs, recovers, closes copies. Copies on disk
    /// whose allocation the state does not know any more are removed, unless they may be of use.
    pub fn apply(&mut self, ctx: &mut Ctx<'_>, state: &Arc<ClusterState>) {
        if !state.is_newer_than(&self.desk.state) {
            return;
        }
        let former = std::mem::replace(&mut self.desk.state, state.clone());
        self.make_room(ctx.me);
        let session = |state: &ClusterState| state.nodes.get(&ctx.me).map(|node| node.session);
        let rejoined = session(&former).is_some_and(|former| session(state) != Some(former));
        let mut step = Step { ctx, desk: &mut self.desk };
        if rejoined {
            self.copies.values_mut().for_each(|copy| copy.begin_anew(&mut step));
        }
        self.copies.retain(|_, copy| !copy.react(&mut step));
    }

    /// Applies newer settings.
    pub fn apply_settings(&mut self, settings: &Arc<SettingsDocument>) {
        self.desk.apply_settings(settings.clone());
    }

    // A copy that the state puts on this node and that is not here yet.
    fn make_room(&mut self, me: HostId) {
        for (shard, table) in self.desk.state.shards() {
            for copy in table.copies.iter().filter(|copy| copy.node == Some(me)) {
                let Some(allocation) = copy.allocation else { continue };
                let new = || Shard::closed(shard.clone(), allocation, Files::new());
                self.copies.entry((shard.clone(), allocation)).or_insert_with(new);
            }
        }
    }

    /// A message from another node's shards.
    pub fn message(&mut self, ctx: &mut Ctx<'_>, from: HostId, message: ShardMessage) {
        let mut step = Step { ctx, desk: &mut self.desk };
        match self.copies.get_mut(&(message.shard.clone(), message.to)) {
            Some(copy) => copy.receive(&mut step, from, message),
            None => {
                if let Some(answer) = message.absent() {
                    step.send(from, answer);
                }
            }
        }
    }

    /// The connection to a peer broke: what was sent to it may be lost.
    pub fn peer_lost(&mut self, ctx: &mut Ctx<'_>, peer: HostId) {
        let mut step = Step { ctx, desk: &mut self.desk };
        self.copies.values_mut().for_each(|copy| copy.peer_lost(&mut step, peer));
    }

    /// What a token of this part waited for is durable.
    pub fn synced(&mut self, ctx: &mut Ctx<'_>, token: u64) {
        let Some(ticket) = self.desk.redeem(token) else { return };
        let mut step = Step { ctx, desk: &mut self.desk };
        if let Some(copy) = self.copies.get_mut(&(ticket.shard, ticket.allocation)) {
            copy.synced(&mut step, ticket.life, ticket.awaited);
        }
    }

    /// The disk has refused something: the copy whose file it is fails, and no other.
    pub fn disk_failed(&mut self, ctx: &mut Ctx<'_>, file: &FileName, error: DiskError, found: &Files) {
        let Some(owner) = layout::owner(file) else { return };
        let mut step = Step { ctx, desk: &mut self.desk };
        if let Some(copy) = self.copies.get_mut(&owner) {
            let own = found.iter().filter(|(file, _)| layout::owner(file).as_ref() == Some(&owner));
            let own = own.map(|(file, bytes)| (file.clone(), bytes.clone())).collect();
            copy.disk_failed(&mut step, &format!("{file}: {error}"), own);
        }
    }

    /// Reading a file gives something else than was written.
    pub fn reread(&mut self, file: &FileName, bytes: &Arc<[u8]>) {
        if let Some(copy) = layout::owner(file).and_then(|owner| self.copies.get_mut(&owner)) {
            copy.reread(file, bytes);
        }
    }

    fn serving<'s, 'a, 'c>(
        &'s mut self,
        ctx: &'a mut Ctx<'c>,
        shard: &ShardId,
    ) -> Result<(&'s mut Shard, Step<'a, 'c>), ShardRefusal>
    where
        's: 'a,
    {
        let from = (shard.clone(), AllocationId(0));
        let copies = self.copies.range_mut(from..).take_while(|((of, _), _)| of == shard);
        let copy = copies.map(|(_, copy)| copy).find(|copy| copy.serves());
        let copy = copy.ok_or(ShardRefusal::NotHere { certain: true })?;
        Ok((copy, Step { ctx, desk: &mut self.desk }))
    }

    /// Time passed.
    pub fn wake(&mut self, ctx: &mut Ctx<'_>) {
        let mut step = Step { ctx, desk: &mut self.desk };
        self.copies.values_mut().for_each(|copy| copy.wake(&mut step));
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        let missing_after = self.desk.missing_after();
        self.copies.values().filter_map(|copy| copy.next_wake(missing_after)).min()
    }

    /// What happened since the last call, in order.
    pub fn take_news(&mut self) -> Vec<ShardNews> {
        std::mem::take(&mut self.desk.news)
    }

    /// Notes what every active copy holds.
    pub fn inspect(&mut self, ctx: &mut Ctx<'_>) {
        let mut step = Step { ctx, desk: &mut self.desk };
        self.copies.values_mut().for_each(|copy| copy.inspect(&mut step));
    }
}
