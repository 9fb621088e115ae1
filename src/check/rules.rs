//! Rules — decides, from the record alone, where settings, filters and attributes let a copy be. It never asks the
//! allocator: what Elasticsearch's deciders say is written down here a second time.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    event::{CopyState, Event, EventKind, Placement},
    name::{HostId, IndexName},
};

/// Where the settings of allocation begin.
pub(super) const AREA: &str = "cluster.routing.allocation";

/// The settings that are set, and the attributes of nodes.
#[derive(Debug, Default)]
pub(super) struct Rules {
    cluster: BTreeMap<String, String>,
    indices: BTreeMap<IndexName, BTreeMap<String, String>>,
    attributes: BTreeMap<HostId, BTreeMap<String, String>>,
}

/// Whether a value is like a pattern with `*` in it.
fn is_like(pattern: &[u8], value: &[u8]) -> bool {
    match (pattern.first(), value.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            is_like(&pattern[1..], value) || !value.is_empty() && is_like(pattern, &value[1..])
        }
        (Some(a), Some(b)) if a == b => is_like(&pattern[1..], &value[1..]),
        _ => false,
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// Whether a setting `enable` with this value is for such a copy.
pub(super) fn is_enabled(value: &str, primary: bool) -> bool {
    match value {
        "all" => true,
        "none" => false,
        "replicas" => !primary,
        _ => primary,
    }
}

impl Rules {
    /// Reads the next event.
    pub(super) fn observe(&mut self, event: &Event) {
        if let EventKind::AllocationInputs { cluster, indices, attributes } = &event.kind {
            self.cluster.clone_from(cluster);
            self.indices.clone_from(indices);
            self.attributes.clone_from(attributes);
        }
    }

    /// A setting of the cluster's allocation, by the rest of its name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.cluster.get(&format!("{AREA}.{name}")).map(String::as_str)
    }

    /// The same as a number; what is none has no bound.
    pub(super) fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).map_or(default, |text| text.parse().unwrap_or(u64::MAX))
    }

    /// Whether any setting of the cluster's allocation begins so.
    pub(super) fn has_any(&self, prefix: &str) -> bool {
        let prefix = format!("{AREA}.{prefix}");
        self.cluster.range(prefix.clone()..).next().is_some_and(|(name, _)| name.starts_with(&prefix))
    }

    fn of_index(&self, index: &IndexName, name: &str) -> Option<&str> {
        self.indices.get(index)?.get(name).map(String::as_str)
    }

    /// Of which copies of the index the allocation is enabled.
    pub(super) fn enabled(&self, index: &IndexName) -> &str {
        let own = self.of_index(index, "index.routing.allocation.enable");
        own.or(self.text("enable")).unwrap_or("all")
    }

    /// Of which copies of the index the rebalancing is enabled.
    pub(super) fn rebalances(&self, index: &IndexName) -> &str {
        let cluster = || self.cluster.get("cluster.routing.rebalance.enable").map(String::as_str);
        self.of_index(index, "index.routing.rebalance.enable").or_else(cluster).unwrap_or("all")
    }

    /// How many copies a node may have: of all indices, and of this one.
    pub(super) fn limits(&self, index: &IndexName) -> (u64, u64) {
        let limit = |text: Option<&str>| {
            text.and_then(|text| text.parse().ok()).filter(|limit| *limit > 0).unwrap_or(u64::MAX)
        };
        let own = self.of_index(index, "index.routing.allocation.total_shards_per_node");
        (limit(self.text("total_shards_per_node")), limit(own))
    }

    fn attribute(&self, node: HostId, name: &str) -> Option<String> {
        if name.starts_with('_') {
            return Some(node.to_string());
        }
        self.attributes.get(&node)?.get(name).cloned()
    }

    /// Which filter keeps the index from the node.
    pub(super) fn filtered(&self, index: &IndexName, node: HostId) -> Option<String> {
        let own = self.indices.get(index).map(|set| (set, "index.routing.allocation"));
        for (set, area) in [Some((&self.cluster, AREA)), own].into_iter().flatten() {
            for kind in ["require", "include", "exclude"] {
                let prefix = format!("{area}.{kind}.");
                let conditions =
                    set.iter().filter_map(|(name, list)| Some((name.strip_prefix(&prefix)?, list)));
                let meets = |(name, list): (&str, &String)| {
                    let value = self.attribute(node, name);
                    words(list).any(|word| {
                        value.as_ref().is_some_and(|value| is_like(word.as_bytes(), value.as_bytes()))
                    })
                };
                let met: Vec<bool> =
                    conditions.filter(|(_, list)| words(list).next().is_some()).map(meets).collect();
                let passes = match kind {
                    "require" => met.iter().all(|met| *met),
                    "include" => met.is_empty() || met.iter().any(|met| *met),
                    _ => !met.iter().any(|met| *met),
                };
                if !passes {
                    return Some(format!("{area}.{kind}"));
                }
            }
        }
        None
    }

    /// Which attribute has too many copies of a shard with the node's value, if its copies are `held` there, the one
    /// on the node among them; those that are nowhere count for how many there may be.
    pub(super) fn crowded(&self, nodes: &[HostId], held: &[Option<HostId>], node: HostId) -> Option<String> {
        let is_crowded = |attribute: &&str| {
            let Some(own) = self.attribute(node, attribute) else { return true };
            let mut values: BTreeSet<String> =
                nodes.iter().filter_map(|node| self.attribute(*node, attribute)).collect();
            if let Some(forced) = self.text(&format!("awareness.force.{attribute}.values")) {
                values.extend(words(forced).map(str::to_owned));
            }
            let there = held.iter().flatten();
            let there = there.filter(|node| self.attribute(**node, attribute).as_ref() == Some(&own)).count();
            there > held.len().div_ceil(values.len().max(1))
        };
        words(self.text("awareness.attributes")?).find(is_crowded).map(str::to_owned)
    }

    /// Whether a state at rest would have room for this copy on the node, instead of where it is.
    pub(super) fn may_hold(
        &self,
        nodes: &[HostId],
        routing: &[Placement],
        copy: &Placement,
        node: HostId,
    ) -> bool {
        let index = &copy.shard.index;
        let there = || routing.iter().filter(|other| other.node == Some(node));
        let (most, most_of_index) = self.limits(index);
        let of_index = there().filter(|other| other.shard.index == *index).count() as u64;
        // One is taken out of the group for the copy's own place, and the node put in.
        let mut held: Vec<_> = routing
            .iter()
            .filter(|other| other.shard == copy.shard && other.state != CopyState::Relocating)
            .map(|other| other.node)
            .collect();
        if let Some(own) = held.iter().position(|held| *held == copy.node) {
            held[own] = Some(node);
        }
        self.filtered(index, node).is_none()
            && !there().any(|other| other.shard == copy.shard)
            && (there().count() as u64) < most
            && of_index < most_of_index
            && is_enabled(self.enabled(index), copy.primary)
            && self.crowded(nodes, &held, node).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search},
        name::{AllocationId, ShardId, Term},
    };

    fn rules(cluster: &[(&str, &str)]) -> Rules {
        let named = |(name, value): &(&str, &str)| (format!("{AREA}.{name}"), (*value).to_owned());
        let attributes = (1..=3).map(|number| {
            let zone = if number == 3 { "b" } else { "a" };
            (search(number), BTreeMap::from([("zone".to_owned(), zone.to_owned())]))
        });
        let mut record = Record::default();
        record.on(
            search(1),
            EventKind::AllocationInputs {
                cluster: cluster.iter().map(named).collect(),
                indices: BTreeMap::new(),
                attributes: attributes.collect(),
            },
        );
        let mut rules = Rules::default();
        record.events.iter().for_each(|event| rules.observe(event));
        rules
    }

    fn copy(number: u32, node: Option<u16>) -> Placement {
        Placement {
            shard: ShardId { index: "a".into(), number },
            node: node.map(search),
            allocation: node.map(|node| AllocationId(u64::from(node))),
            primary: node == Some(1),
            state: if node.is_some() { CopyState::Started } else { CopyState::Unassigned },
            in_sync: node.is_some(),
            term: Term(1),
        }
    }

    /// Where the second copy of a shard that has one on node 1 may be.
    fn rooms(cluster: &[(&str, &str)]) -> Vec<u16> {
        let nodes: Vec<_> = (1..=3).map(search).collect();
        let routing = [copy(0, Some(1)), copy(0, None), copy(1, Some(2))];
        let rules = rules(cluster);
        let may = |number: &u16| rules.may_hold(&nodes, &routing, &routing[1], search(*number));
        (1..=3).filter(may).collect()
    }

    #[test]
    fn copy_may_be_where_filters_limits_awareness_and_its_twin_let_it() {
        assert_eq!(rooms(&[]), [2, 3]);
        assert_eq!(rooms(&[("exclude._name", "search-3")]), [2]);
        assert_eq!(rooms(&[("total_shards_per_node", "1")]), [3]);
        assert_eq!(rooms(&[("awareness.attributes", "zone")]), [3]);
        assert_eq!(rooms(&[("enable", "primaries")]), [0; 0]);
    }
}
