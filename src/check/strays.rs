//! Strays — decides, from the record alone, which copies may serve although they are out of the in-sync set: they
//! need not have everything. It never judges.
//!
//! Such a copy served once and was taken out of the set, and its node has not applied that state, nor failed or
//! closed the copy, nor died. A state that nobody noted may have taken a copy out, and one may be noted late; so a
//! copy may be out from the first sight of any state after the last one that has it in.
//!
//! A primary that has handed over gets no more writes but serves reads until it is removed (`IndexShard.relocated`).

use std::collections::BTreeMap;

use crate::{
    check::{hosts::is_new_life, verdict::Point},
    event::{CopyRef, Event, EventKind, Placement},
    name::{AllocationId, HostId, IndexName},
};

/// The copies that went out of the in-sync set.
#[derive(Debug, Default)]
pub(super) struct Strays {
    version: u64,
    /// Copies that serve or once did, and are in the in-sync set.
    serving: BTreeMap<AllocationId, Served>,
    /// The place of the first event that shows a state of each version.
    sights: BTreeMap<u64, u64>,
    /// The last version that each node has applied, and where.
    applied: BTreeMap<HostId, (u64, u64)>,
    strays: Vec<Stray>,
}

#[derive(Debug)]
struct Served {
    index: IndexName,
    host: HostId,
    /// The last version that has it in the set.
    version: u64,
}

/// A copy that may show less than it should.
#[derive(Debug)]
pub(super) struct Stray {
    pub(super) index: IndexName,
    host: HostId,
    pub(super) allocation: AllocationId,
    /// The version that has it no more.
    version: u64,
    from: u64,
    until: Option<u64>,
}

impl Stray {
    /// No state takes it out: its removal does.
    fn handed_over(index: IndexName, host: HostId, allocation: AllocationId, from: u64) -> Self {
        Self { index, host, allocation, version: u64::MAX, from, until: None }
    }

    /// Whether it may have served between these places of the record.
    pub(super) fn may_have_served(&self, sent: Point, answered: Point) -> bool {
        self.from <= answered.seq && self.until.is_none_or(|until| until >= sent.seq)
    }
}

impl Strays {
    /// Reads the next event.
    pub(super) fn observe(&mut self, event: &Event) {
        let seq = event.seq;
        match (&event.kind, event.host) {
            (EventKind::StatePublished { version, routing, unlisted, .. }, _) => {
                self.published(seq, *version, routing, unlisted);
            }
            (EventKind::StateApplied { version, .. }, Some(host)) => {
                self.sights.entry(*version).or_insert(seq);
                self.applied.insert(host, (*version, seq));
                self.end(seq, |stray| stray.host == host && stray.version <= *version);
            }
            (EventKind::PrimaryDeactivated { shard, allocation, why, .. }, Some(host))
                if why == "handed-off" =>
            {
                self.strays.push(Stray::handed_over(shard.index.clone(), host, *allocation, seq));
            }
            (
                EventKind::CopyRemoved { allocation, .. }
                | EventKind::CopyFailed { allocation, .. }
                | EventKind::PrimaryActivated { allocation, .. },
                Some(host),
            ) => self.end(seq, |stray| stray.host == host && stray.allocation == *allocation),
            (kind, Some(host)) if is_new_life(kind) => {
                self.applied.remove(&host);
                self.end(seq, |stray| stray.host == host);
            }
            _ => {}
        }
    }

    fn published(&mut self, seq: u64, version: u64, routing: &[Placement], unlisted: &[CopyRef]) {
        self.sights.entry(version).or_insert(seq);
        if version < self.version {
            return;
        }
        self.version = version;
        for copy in routing.iter().filter(|copy| copy.in_sync) {
            let (Some(allocation), Some(host)) = (copy.allocation, copy.node) else { continue };
            if copy.state.is_active() {
                let index = copy.shard.index.clone();
                self.serving.insert(allocation, Served { index, host, version });
            }
        }
        let listed = routing.iter().filter(|copy| copy.in_sync).filter_map(|copy| copy.allocation);
        for allocation in listed.chain(unlisted.iter().map(|copy| copy.allocation)) {
            self.serving.entry(allocation).and_modify(|served| served.version = version);
        }
        let out = self.serving.extract_if(.., |_, served| served.version < version);
        for (allocation, Served { index, host, version: last }) in out {
            let from = self.sights.range(last + 1..).map(|(_, seq)| *seq).min().unwrap_or(seq);
            let knows = self.applied.get(&host).is_some_and(|(applied, _)| *applied >= version);
            let until = knows.then_some(seq);
            self.strays.push(Stray { index, host, allocation, version, from, until });
        }
    }

    fn end(&mut self, seq: u64, is_over: impl Fn(&Stray) -> bool) {
        let open = self.strays.iter_mut().filter(|stray| stray.until.is_none());
        open.filter(|stray| is_over(stray)).for_each(|stray| stray.until = Some(seq));
    }

    /// Whether this copy may have been one between these places. Of a state that nobody has told of yet, though a node
    /// has applied it, it is not known whom it takes out: any copy of a node that has not applied it when it is asked.
    pub(super) fn may_have_been(&self, copy: AllocationId, sent: Point, answered: Point) -> bool {
        let mut known = self.strays.iter().filter(|stray| stray.allocation == copy);
        let untold = self.sights.range(self.version + 1..).next_back();
        let may_be_out = |served: &Served| {
            let applied = self.applied.get(&served.host).filter(|(_, at)| *at <= sent.seq);
            untold.is_some_and(|(version, _)| applied.is_none_or(|(applied, _)| applied < version))
        };
        known.any(|stray| stray.may_have_served(sent, answered))
            || self.serving.get(&copy).is_some_and(may_be_out)
    }

    /// Every copy that was or is one.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Stray> {
        self.strays.iter()
    }
}
