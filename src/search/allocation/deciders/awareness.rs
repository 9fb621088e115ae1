//! Awareness decider — decides that copies of a shard are spread over the values of attributes, such as racks
//! and zones. It never spreads over nodes.

use super::{Asked, Decision, Ruling, ruling};
use crate::{event::CopyState, name::HostId, search::allocation::round::RoutingAllocation};

/// Before a copy is built on the node.
pub(super) fn to_allocate(round: &RoutingAllocation<'_>, asked: &Asked<'_>, node: HostId) -> Ruling {
    by_awareness(round, asked, node, Arrives::Yes)
}

/// For a copy that is there.
pub(super) fn to_remain(round: &RoutingAllocation<'_>, asked: &Asked<'_>) -> Ruling {
    let node = asked.copy.node;
    node.map_or_else(is_disabled, |node| by_awareness(round, asked, node, Arrives::No))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrives {
    Yes,
    No,
}

fn is_disabled() -> Ruling {
    let why = "allocation awareness is not enabled, set cluster setting \
               [cluster.routing.allocation.awareness.attributes] to enable it";
    ruling(Decision::Yes, "awareness", why.into())
}

/// At most ceil(copies / values) copies for each value; forced values count even if no node has them.
fn by_awareness(round: &RoutingAllocation<'_>, asked: &Asked<'_>, node: HostId, arrives: Arrives) -> Ruling {
    let attributes = &round.settings().awareness;
    if attributes.is_empty() {
        return is_disabled();
    }
    for attribute in attributes {
        let Some(value) = round.state.nodes.get(&node).and_then(|entry| entry.attribute(attribute)) else {
            let why = round.say(|| {
                format!(
                    "node does not contain the awareness attribute [{attribute}]; required attributes cluster setting \
                     [cluster.routing.allocation.awareness.attributes={}]",
                    attributes.join(",")
                )
            });
            return ruling(Decision::No, "awareness", why);
        };
        let spread = Spread::of(round, asked, attribute, value, arrives);
        if spread.there > spread.most() {
            return ruling(Decision::No, "awareness", round.say(|| spread.words(attribute, value)));
        }
    }
    ruling(Decision::Yes, "awareness", "node meets all awareness attribute requirements".into())
}

/// How the copies of a shard are spread over the values of an attribute.
struct Spread {
    /// Copies that there should be.
    copies: usize,
    /// Values, forced ones included.
    values: usize,
    /// Copies that would be at nodes with the value in question.
    there: usize,
}

impl Spread {
    fn of(
        round: &RoutingAllocation<'_>,
        asked: &Asked<'_>,
        attribute: &str,
        value: &str,
        arrives: Arrives,
    ) -> Self {
        let value_of = |node: HostId| round.state.nodes.get(&node)?.attribute(attribute);
        let is_there = |node: HostId| value_of(node) == Some(value);
        // The target of a relocation counts, its source does not.
        let held = asked.table.copies.iter().filter(|copy| copy.state != CopyState::Relocating);
        let held = held.filter_map(|copy| copy.node).filter(|node| is_there(*node)).count();
        let comes_from_there = asked.copy.node.is_some_and(is_there);
        let added = arrives == Arrives::Yes && !comes_from_there;
        let none = Default::default();
        let actual = round.attribute_values.get(attribute).unwrap_or(&none);
        let forced = round.settings().forced.get(attribute);
        let absent = forced.into_iter().flatten().filter(|value| !actual.contains(*value)).count();
        let copies = asked.table.copies.iter().filter(|copy| !copy.is_target()).count();
        Self { copies, values: actual.len() + absent, there: held + usize::from(added) }
    }

    fn most(&self) -> usize {
        self.copies.div_ceil(self.values.max(1))
    }

    fn words(&self, attribute: &str, value: &str) -> String {
        let Self { copies, values, there } = self;
        format!(
            "there are [{copies}] copies of this shard and [{values}] values for attribute [{attribute}], so there may \
             be at most [{}] copies of this shard allocated to nodes with each value, but (including this copy) there \
             would be [{there}] copies allocated to nodes with [node.attr.{attribute}: {value}]",
            self.most()
        )
    }
}
