//! Health — decides how whole a routing table is, in Elasticsearch's words. It never judges how it came to be
//! so.

use std::collections::BTreeSet;

use crate::{
    event::{CopyState, Placement},
    name::{HostId, ShardId},
    report::style::Tone,
};

/// The node that a leaving copy moves to, if the table leaves no doubt: where the only copy of the shard that
/// initializes is.
pub(super) fn target(leaving: &Placement, routing: &[Placement]) -> Option<HostId> {
    let initializing =
        |copy: &&Placement| copy.shard == leaving.shard && copy.state == CopyState::Initializing;
    let mut targets = routing.iter().filter(initializing);
    targets.next().filter(|_| targets.next().is_none()).and_then(|copy| copy.node)
}

fn is_active(copy: &Placement) -> bool {
    copy.state.is_active()
}

/// Copies that the cluster should have and that do not serve; targets of relocations are extra.
pub(super) fn missing(routing: &[Placement]) -> usize {
    let extra = routing.iter().filter(|copy| copy.state == CopyState::Relocating).count();
    routing.iter().filter(|copy| !is_active(copy)).count().saturating_sub(extra)
}

/// Elasticsearch's health: red if a primary is not active, yellow if another copy is not.
pub(super) fn health(routing: &[Placement]) -> (&'static str, Tone) {
    let active = routing.iter().filter(|copy| copy.primary && is_active(copy));
    let active: BTreeSet<&ShardId> = active.map(|copy| &copy.shard).collect();
    if routing.iter().any(|copy| !active.contains(&copy.shard)) {
        return ("red", Tone::Bad);
    }
    if missing(routing) > 0 { ("yellow", Tone::Fault) } else { ("green", Tone::Good) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{AllocationId, Term};

    fn placement(number: u32, state: CopyState, primary: bool) -> Placement {
        Placement {
            shard: ShardId { index: "a".into(), number },
            node: Some(HostId::search(1)),
            allocation: Some(AllocationId(1)),
            primary,
            state,
            in_sync: true,
            term: Term(1),
        }
    }

    #[test]
    fn health_is_that_of_the_worst_shard() {
        let (started, starting) = (CopyState::Started, CopyState::Initializing);
        assert_eq!(health(&[placement(0, started, true), placement(0, started, false)]).0, "green");
        assert_eq!(health(&[placement(0, started, true), placement(0, starting, false)]).0, "yellow");
        assert_eq!(health(&[placement(0, started, true), placement(1, starting, true)]).0, "red");
    }

    #[test]
    fn relocation_keeps_the_cluster_green() {
        let routing =
            [placement(0, CopyState::Relocating, true), placement(0, CopyState::Initializing, false)];
        assert_eq!((health(&routing).0, missing(&routing)), ("green", 0));
    }
}
