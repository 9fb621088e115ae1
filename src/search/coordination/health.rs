//! Health — decides how well a cluster state is: worst shard first. It never asks whether the state is new.

use crate::search::{
    api::{ApiAnswer, Health, HealthAnswer},
    state::{ClusterState, ShardCopy, ShardTable},
};

/// Health of all shards of a state, and its number of nodes.
pub(super) fn of(state: &ClusterState) -> ApiAnswer {
    let worst = state.shards().map(|(_, table)| shard(table)).min();
    let (status, nodes) = (worst.unwrap_or(Health::Green), state.nodes.len() as u32);
    ApiAnswer::Health(HealthAnswer { status, nodes })
}

/// Red: the primary is not active; yellow: a replica is not (`ClusterShardHealth`). The target of a
/// relocation does not count, its source does.
fn shard(table: &ShardTable) -> Health {
    let mut copies = table.copies.iter().filter(|copy| !is_target(copy));
    match table.active().any(|copy| copy.primary) {
        false => Health::Red,
        true if copies.all(ShardCopy::is_active) => Health::Green,
        true => Health::Yellow,
    }
}

fn is_target(copy: &ShardCopy) -> bool {
    copy.relocating.is_some() && !copy.is_active()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::CopyState::{Initializing, Relocating, Started},
        name::AllocationId,
        search::fixture::{copy, state, table},
    };

    #[test]
    fn worst_shard_decides() {
        let green = table(vec![copy(1, 1, true, Started), copy(2, 2, false, Started)]);
        let yellow = table(vec![copy(1, 3, true, Started), copy(2, 4, false, Initializing)]);
        let red = table(vec![copy(1, 5, true, Initializing), copy(2, 6, false, Started)]);
        let cases = [
            (vec![], Health::Green),
            (vec![green.clone()], Health::Green),
            (vec![green.clone(), yellow.clone()], Health::Yellow),
            (vec![yellow, red, green], Health::Red),
        ];
        for (shards, status) in cases {
            assert_eq!(of(&state(1, shards)), ApiAnswer::Health(HealthAnswer { status, nodes: 3 }));
        }
    }

    #[test]
    fn relocation_stays_green() {
        let source = ShardCopy { relocating: Some(AllocationId(2)), ..copy(1, 1, true, Relocating) };
        let target = ShardCopy { relocating: Some(AllocationId(1)), ..copy(2, 2, true, Initializing) };
        let moving = state(1, vec![table(vec![source, target])]);
        assert_eq!(of(&moving), ApiAnswer::Health(HealthAnswer { status: Health::Green, nodes: 3 }));
    }
}
