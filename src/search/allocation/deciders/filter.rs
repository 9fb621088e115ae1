//! Filter decider — decides whether settings keep a copy to some nodes, or away from them. It never says to
//! which of the others it goes.

use super::{Asked, Decision, Ruling, ruling};
use crate::{
    name::HostId,
    search::{
        allocation::{filter::Filters, round::RoutingAllocation},
        state::NodeEntry,
    },
};

/// Before a copy is built on the node.
pub(super) fn to_allocate(round: &RoutingAllocation<'_>, asked: &Asked<'_>, node: HostId) -> Ruling {
    let Some(entry) = round.state.nodes.get(&node) else { return passes() };
    let initial = round.rules(asked.shard).initial_recovery.as_ref();
    if let Some(filter) = initial.filter(|_| asked.is_new_primary())
        && !filter.matches(node, entry)
    {
        let why = round.say(|| {
            format!(
                "node does not match index setting [index.routing.allocation.initial_recovery] filters [{filter}]"
            )
        });
        return ruling(Decision::No, "filter", why);
    }
    by_filters(round, asked, node, entry)
}

/// For a copy that is there.
pub(super) fn to_remain(round: &RoutingAllocation<'_>, asked: &Asked<'_>) -> Ruling {
    let entry = asked.copy.node.and_then(|node| Some((node, round.state.nodes.get(&node)?)));
    entry.map_or_else(passes, |(node, entry)| by_filters(round, asked, node, entry))
}

fn passes() -> Ruling {
    ruling(Decision::Yes, "filter", "node passes include/exclude/require filters".into())
}

fn by_filters(round: &RoutingAllocation<'_>, asked: &Asked<'_>, node: HostId, entry: &NodeEntry) -> Ruling {
    let cluster = ("cluster", &round.settings().filters);
    let index = ("index", &round.rules(asked.shard).filters);
    for (scope, filters) in [cluster, index] {
        if let Some((kind, matches, shown)) = objection(filters, node, entry) {
            let verb = if matches { "matches" } else { "does not match" };
            let why = round.say(|| {
                format!(
                    "node {verb} {scope} setting [{scope}.routing.allocation.{kind}] filters [{}]",
                    shown()
                )
            });
            return ruling(Decision::No, "filter", why);
        }
    }
    passes()
}

/// The kind of filter that a node does not pass, whether it matches it, and its text.
fn objection<'a>(
    filters: &'a Filters,
    node: HostId,
    entry: &NodeEntry,
) -> Option<(&'static str, bool, impl Fn() -> String + use<'a>)> {
    let all = [("require", &filters.require), ("include", &filters.include), ("exclude", &filters.exclude)];
    all.into_iter().find_map(|(kind, filter)| {
        let filter = filter.as_ref()?;
        let matches = filter.matches(node, entry);
        let objects = matches == (kind == "exclude");
        objects.then_some((kind, matches, move || filter.to_string()))
    })
}
