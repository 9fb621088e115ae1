//! Allocation — decides where copies of shards go, with a reason for each move. It never decides what
//! happens to a copy that is lost (`transition`).
//!
//! Like Elasticsearch's `AllocationService`: copies whose data lies on some disk are dealt with first
//! (`gateway`), then an [`Allocator`] places, moves and balances the others, as far as the deciders let it.

pub mod balanced;
pub mod deciders;
pub mod desired;
pub mod explain;
mod filter;
pub mod flood;
mod gateway;
pub mod info;
pub mod least_loaded;
pub mod reroute;
pub mod round;
pub mod settings;
pub mod tally;
pub mod weights;

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::state::ClusterState;
use crate::{
    core::Instant,
    name::{AllocationId, HostId, ShardId},
};

pub use self::{
    balanced::{Balanced, Worth},
    deciders::{Decision, Ruling},
    desired::DesiredBalance,
    filter::{Filter, Filters},
    gateway::Lineage,
    info::ClusterInfo,
    least_loaded::LeastLoaded,
    round::{Inputs, RoutingAllocation, Unassigned},
    settings::Settings,
};

/// Decides where new copies go, which copies move, and when (Elasticsearch's `ShardsAllocator`).
///
/// It looks at a [`RoutingAllocation`] and makes moves through it: [`RoutingAllocation::assign`],
/// [`RoutingAllocation::move_away`], [`RoutingAllocation::rebalance`]. Each move is made only if every decider says
/// yes, whoever asks; what they refuse is noted. What stays out of its hands: copies whose data lies on some
/// disk, promotions, terms, in-sync sets.
///
/// It runs on the controller, each time a cluster state is decided, and must come to the same moves from the
/// same inputs: no clock of its own, no randomness, no order by accident. A new one is made whenever a node
/// becomes controller.
///
/// # Examples
///
/// An allocator that fills one node after the other:
///
/// ```
/// use shardarium::search::allocation::{Allocator, Decision, RoutingAllocation};
///
/// #[derive(Debug)]
/// struct FirstFit;
///
/// impl Allocator for FirstFit {
///     fn name(&self) -> &'static str {
///         "first-fit"
///     }
///
///     fn allocate(&mut self, round: &mut RoutingAllocation<'_>) {
///         for copy in round.unassigned() {
///             let nodes: Vec<_> = round.nodes().collect();
///             nodes.into_iter().any(|node| round.assign(&copy, node, "the first one") == Decision::Yes);
///         }
///     }
/// }
/// ```
pub trait Allocator: fmt::Debug + Send {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

    /// Makes moves.
    fn allocate(&mut self, round: &mut RoutingAllocation<'_>);
}

/// Makes an allocator for each term of office of a controller.
#[derive(Clone)]
pub struct AllocatorFactory(Arc<dyn Fn() -> Box<dyn Allocator> + Send + Sync>);

impl AllocatorFactory {
    /// One that makes allocators like this.
    pub fn new<A: Allocator + 'static>(make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::new(make())))
    }

    /// A new allocator.
    pub fn make(&self) -> Box<dyn Allocator> {
        (self.0)()
    }
}

impl Default for AllocatorFactory {
    fn default() -> Self {
        Self::new(Balanced::default)
    }
}

impl fmt::Debug for AllocatorFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AllocatorFactory").field(&self.make().name()).finish()
    }
}

/// Until when an unassigned copy waits for the node that has its data. A copy that is not named does not
/// wait.
pub type Deadlines = BTreeMap<AllocationId, Instant>;

/// What is done with a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// An unassigned primary goes to a node.
    AssignPrimary {
        /// Where.
        node: HostId,
        /// The copy of the in-sync set whose data it has; none: it is new and empty.
        from_disk: Option<AllocationId>,
    },
    /// An unassigned replica goes to a node.
    AssignReplica {
        /// Where.
        node: HostId,
        /// The copy that was there before and has come back; none: it is built anew.
        from_disk: Option<AllocationId>,
    },
    /// A started copy moves.
    Relocate {
        /// Which.
        copy: AllocationId,
        /// From where.
        from: HostId,
        /// To where.
        to: HostId,
    },
}

/// One decision of the allocator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The shard.
    pub shard: ShardId,
    /// What is done.
    pub action: Action,
    /// Why, for people.
    pub why: String,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shard, action, why } = self;
        match action {
            Action::AssignPrimary { node, .. } => write!(f, "{shard} primary to {node} ({why})"),
            Action::AssignReplica { node, .. } => write!(f, "{shard} replica to {node} ({why})"),
            Action::Relocate { from, to, .. } => write!(f, "{shard} from {from} to {to} ({why})"),
        }
    }
}

/// What an allocation came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Rerouted {
    /// The state after all moves.
    pub state: ClusterState,
    /// The moves, in order.
    pub moves: Vec<Move>,
    /// Moves that the allocator wanted and a decider refused.
    pub refused: Vec<Move>,
}

/// Places what is unassigned, moves what must go, then balances, as far as the deciders allow it now. The same
/// input gives the same moves.
pub fn allocate(allocator: &mut dyn Allocator, state: ClusterState, inputs: Inputs<'_>) -> Rerouted {
    let mut round = RoutingAllocation::new(state, inputs);
    if !round.state().nodes.is_empty() {
        round.allocate_existing();
        allocator.allocate(&mut round);
    }
    let (state, moves, refused) = round.into_parts();
    Rerouted { state, moves, refused }
}

#[cfg(test)]
mod tests;
