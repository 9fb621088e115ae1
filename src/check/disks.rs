//! Disks — decides how full the controller may have thought each disk when it decided a state, and whether it did
//! what a full one asks for. It never looks at a disk.
//!
//! A report that comes between a decision and its publication is not in the decision: as a watermark counts what
//! every reading since the last publication, and the last one before it, has in common.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind, Placement},
    name::{HostId, IndexName},
};

pub(super) const FLOOD_STAGE: Law = Law {
    name: "allocation.flood-stage",
    sentence: "An index with a copy on a node that is known to be beyond the flood stage takes no writes, and takes them \
               again when all of its nodes are known to be below the high watermark.",
    source: "Elasticsearch, DiskThresholdMonitor",
    monitor: || Box::<FloodStage>::default(),
};

const AREA: &str = "cluster.routing.allocation.disk";

/// A watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    Low,
    High,
    FloodStage,
}

impl Mark {
    fn setting(self) -> (&'static str, &'static str) {
        match self {
            Self::Low => ("low", "85%"),
            Self::High => ("high", "90%"),
            Self::FloodStage => ("flood_stage", "95%"),
        }
    }
}

/// Size and free bytes.
type Reading = (u64, u64);

/// What is known of disks.
#[derive(Debug, Default)]
pub(super) struct Disks {
    settings: BTreeMap<String, String>,
    readings: BTreeMap<HostId, Vec<Reading>>,
}

impl Disks {
    /// Reads the next event; a published state is judged before it is read. Gives the watermark that a node is
    /// beyond now, if that has changed.
    pub(super) fn observe(&mut self, event: &Event) -> Option<(HostId, Option<Mark>)> {
        match &event.kind {
            EventKind::AllocationInputs { cluster, .. } => self.settings.clone_from(cluster),
            EventKind::ControllerElected { .. } => self.readings.clear(),
            EventKind::StatePublished { nodes, .. } if !self.readings.is_empty() => {
                self.readings.retain(|node, _| nodes.contains(node));
                self.readings.values_mut().for_each(|readings| drop(readings.drain(..readings.len() - 1)));
            }
            EventKind::DiskReported { node, total, free } => {
                let readings = self.readings.entry(*node).or_default();
                let former = readings.last().copied();
                readings.push((*total, *free));
                let former = former.and_then(|reading| self.beyond(reading));
                let now = self.beyond((*total, *free));
                return (former != now).then_some((*node, now));
            }
            _ => {}
        }
        None
    }

    fn beyond(&self, reading: Reading) -> Option<Mark> {
        [Mark::FloodStage, Mark::High, Mark::Low].into_iter().find(|mark| self.is_passed(*mark, reading))
    }

    fn is_passed(&self, mark: Mark, (total, free): Reading) -> bool {
        let (name, default) = mark.setting();
        let text = self.settings.get(&format!("{AREA}.watermark.{name}")).map_or(default, String::as_str);
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().ok().map(|percent| percent / 100.0),
            None => text.parse::<f64>().ok(),
        };
        match share {
            Some(share) => (total - free.min(total)) as f64 > share * total as f64,
            None => bytes(text).is_some_and(|least| free < least),
        }
    }

    fn is_judged(&self) -> bool {
        self.settings.get(&format!("{AREA}.threshold_enabled")).is_none_or(|text| text != "false")
    }

    /// What was known of a node's disk whenever the controller decided, if watermarks count and anything was.
    fn known(&self, node: HostId) -> Option<&[Reading]> {
        self.readings.get(&node).filter(|_| self.is_judged()).map(Vec::as_slice)
    }

    /// Whether the controller knew, whenever it decided, that the node is beyond the mark.
    pub(super) fn is_beyond(&self, node: HostId, mark: Mark) -> bool {
        self.known(node).is_some_and(|known| known.iter().all(|reading| self.is_passed(mark, *reading)))
    }

    /// Whether it knew, whenever it decided, that it is not.
    fn is_below(&self, node: HostId, mark: Mark) -> bool {
        self.known(node).is_some() && !self.may_be_beyond(node, mark)
    }

    /// Whether it may have thought that the node is beyond the mark.
    pub(super) fn may_be_beyond(&self, node: HostId, mark: Mark) -> bool {
        self.known(node).is_some_and(|known| known.iter().any(|reading| self.is_passed(mark, *reading)))
    }
}

fn bytes(text: &str) -> Option<u64> {
    let units = [("kb", 10), ("mb", 20), ("gb", 30), ("tb", 40), ("pb", 50), ("b", 0)];
    let text = text.trim().to_ascii_lowercase();
    let (count, shift) = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))?;
    Some((count.trim().parse::<f64>().ok()? * (1_u64 << shift) as f64) as u64)
}

/// Judged are copies that were on their node before: what comes there with the state is not yet what it was blocked by.
#[derive(Default)]
struct FloodStage {
    disks: Disks,
    blocked: BTreeSet<IndexName>,
    /// Nodes of each index in the last state.
    nodes: BTreeMap<IndexName, BTreeSet<HostId>>,
}

impl FloodStage {
    fn judge(&self, event: &Event, version: u64, routing: &[Placement]) -> Judged {
        let now = holders(routing);
        for (index, nodes) in &self.nodes {
            let Some(nodes_now) = now.get(index) else { continue };
            let is_blocked = self.blocked.contains(index);
            let stayed = nodes.intersection(nodes_now);
            let mut flooded = stayed.filter(|node| self.disks.is_beyond(**node, Mark::FloodStage));
            if let Some(node) = flooded.next().filter(|_| !is_blocked) {
                let what = format!(
                    "version {version} lets {index} be written, though {node} is beyond the flood stage"
                );
                return broken(event, what);
            }
            let is_drained = nodes.union(nodes_now).all(|node| self.disks.is_below(*node, Mark::High));
            if is_blocked && is_drained {
                let what =
                    format!("version {version} keeps {index} blocked, though none of its disks is full");
                return broken(event, what);
            }
        }
        Ok(())
    }
}

fn holders(routing: &[Placement]) -> BTreeMap<IndexName, BTreeSet<HostId>> {
    let mut nodes: BTreeMap<IndexName, BTreeSet<HostId>> = BTreeMap::new();
    for copy in routing {
        nodes.entry(copy.shard.index.clone()).or_default().extend(copy.node);
    }
    nodes
}

impl Monitor for FloodStage {
    fn observe(&mut self, event: &Event) -> Judged {
        match &event.kind {
            EventKind::IndexBlocked { index } => drop(self.blocked.insert(index.clone())),
            EventKind::IndexReleased { index } => drop(self.blocked.remove(index)),
            EventKind::StatePublished { version, routing, .. } if !self.disks.readings.is_empty() => {
                self.judge(event, *version, routing)?;
                self.nodes = holders(routing);
                self.blocked.retain(|index| self.nodes.contains_key(index));
            }
            _ => {}
        }
        self.disks.observe(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search, shard},
        event::CopyState::Started,
    };

    const LAW: &str = "allocation.flood-stage";

    fn report(record: &mut Record, node: HostId, free: u64) {
        record.on(search(3), EventKind::DiskReported { node, total: 100, free });
    }

    /// Copies 1 and 2 are on nodes 1 and 2; node 1 is full.
    fn flooded() -> Record {
        let mut record = Record::default();
        for node in [1, 2] {
            report(&mut record, search(node), 50);
        }
        record.publish(search(3), 1, &[(1, Started), (2, Started)]);
        report(&mut record, search(1), 3);
        record
    }

    fn index() -> IndexName {
        shard().index
    }

    #[test]
    fn flooded_index_that_is_written_fails() {
        let mut record = flooded();
        record.publish(search(3), 2, &[(1, Started), (2, Started)]);
        record.assert_passes(LAW);
        record.publish(search(3), 3, &[(1, Started), (2, Started)]);
        record.assert_fails(LAW, "is beyond the flood stage");
    }

    #[test]
    fn blocked_index_passes_until_its_disks_have_room() {
        let mut record = flooded();
        record.on(search(3), EventKind::IndexBlocked { index: index() });
        record.publish(search(3), 2, &[(1, Started), (2, Started)]);
        record.publish(search(3), 3, &[(1, Started), (2, Started)]);
        report(&mut record, search(1), 60);
        record.publish(search(3), 4, &[(1, Started), (2, Started)]);
        let mut released = record.clone();
        released.on(search(3), EventKind::IndexReleased { index: index() });
        for (mut record, passes) in [(record, false), (released, true)] {
            record.publish(search(3), 5, &[(1, Started), (2, Started)]);
            if passes {
                record.assert_passes(LAW);
            } else {
                record.assert_fails(LAW, "keeps articles blocked");
            }
        }
    }

    #[test]
    fn marks_are_read_as_elasticsearch_reads_them() {
        let mut disks = Disks::default();
        assert_eq!(disks.beyond((100, 15)), None, "85 % is not beyond");
        assert_eq!(disks.beyond((100, 14)), Some(Mark::Low));
        assert_eq!(disks.beyond((100, 9)), Some(Mark::High));
        assert_eq!(disks.beyond((100, 4)), Some(Mark::FloodStage));
        disks.settings.insert(format!("{AREA}.watermark.low"), "1kb".into());
        assert_eq!(disks.beyond((100_000, 1_023)), Some(Mark::FloodStage));
        assert_eq!(disks.beyond((1_100, 1_023)), Some(Mark::Low));
        assert_eq!(["2kb", "1TB", "1pb"].map(bytes), [Some(2_048), Some(1 << 40), Some(1 << 50)]);
    }
}
