//! Control — decides whether there was one controller at a time and its states went only forward. It never
//! judges what a state says.

use std::collections::BTreeMap;

use crate::{
    check::{
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock},
    },
    event::{Event, EventKind},
    name::{Epoch, HostId},
};

pub(super) const ONE_CONTROLLER: Law = Law {
    name: "control.one-controller",
    sentence: "A controller epoch belongs to one host; every state version is published once and is the former plus one, \
               and epochs never go back along versions.",
    source: "SEARCH.md §a.3: an epoch drawn from a persistent counter before acting, every leader-only write a multi that \
             checks it; KAFKA-6082",
    monitor: || Box::<OneController>::default(),
};

pub(super) const APPLIED_FORWARD: Law = Law {
    name: "control.applied-forward",
    sentence: "A node applies cluster states only forward, and a state version is of one epoch for all who apply it.",
    source: "SEARCH.md §f: apply only if (term, version) is greater; Elasticsearch's cluster coordination TLA+ model, same \
             (term, version) implies the same value",
    monitor: || Box::<AppliedForward>::default(),
};

/// Order is judged along versions, not along time: a controller that is paused between its write and the
/// answer notes the publication after its successor's.
///
/// Allowed: versions that nobody noted, where a writer may have lost the answer to a write that took
/// effect (ZooKeeper's ConnectionLoss says nothing about the outcome): between two epochs, or within one if
/// the host was disconnected from ZooKeeper in between.
#[derive(Default)]
struct OneController {
    hosts: BTreeMap<Epoch, (HostId, &'static str, Point)>,
    published: BTreeMap<u64, Publication>,
    lost_answers: BTreeMap<HostId, u32>,
}

#[derive(Clone, Copy)]
struct Publication {
    epoch: Epoch,
    host: HostId,
    at: Point,
    lost_answers: u32,
}

impl OneController {
    fn claim(&mut self, event: &Event, host: HostId, epoch: Epoch, act: &'static str) -> Judged {
        let (first, former, since) = *self.hosts.entry(epoch).or_insert((host, act, event.into()));
        if first == host {
            return Ok(());
        }
        broken(
            event,
            format!(
                "{host} {act} in controller epoch {epoch}, in which {first} {former} at {}",
                clock(since.at)
            ),
        )
    }

    fn publish(&mut self, event: &Event, host: HostId, epoch: Epoch, version: u64) -> Judged {
        let lost_answers = self.lost_answers.get(&host).copied().unwrap_or_default();
        let new = Publication { epoch, host, at: event.into(), lost_answers };
        if let Some(twin) = self.published.insert(version, new) {
            return broken(
                event,
                format!(
                    "{host} published version {version} in epoch {epoch}, which {} had published in epoch {} at {}",
                    twin.host,
                    twin.epoch,
                    clock(twin.at.at)
                ),
            );
        }
        let before = self.published.range(..version).next_back();
        let after = self.published.range(version..).nth(1);
        let ahead = before.filter(|(_, former)| former.epoch > epoch);
        match ahead.or(after.filter(|(_, later)| later.epoch < epoch)) {
            None => Ok(()),
            Some((other, other_is)) => broken(
                event,
                format!(
                    "{host} published version {version} in epoch {epoch}, but version {other} is {}'s of epoch {} (at {})",
                    other_is.host,
                    other_is.epoch,
                    clock(other_is.at.at)
                ),
            ),
        }
    }
}

impl Monitor for OneController {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::ControllerElected { epoch } => self.claim(event, host, *epoch, "was elected"),
            EventKind::StatePublished { epoch, version, .. } => {
                self.claim(event, host, *epoch, "published")?;
                self.publish(event, host, *epoch, *version)
            }
            kind if is_new_life(kind) || matches!(kind, EventKind::ClientDisconnected { .. }) => {
                *self.lost_answers.entry(host).or_default() += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Judged {
        let pairs = self.published.iter().zip(self.published.iter().skip(1));
        for ((version, former), (next, later)) in pairs {
            let excused = former.epoch != later.epoch || former.lost_answers != later.lost_answers;
            if *next != version + 1 && !excused {
                return broken(
                    later.at,
                    format!(
                        "{} published version {next} right after version {version} in epoch {}, and had lost no answer in \
                         between",
                        later.host, later.epoch
                    ),
                );
            }
        }
        Ok(())
    }
}

/// Forward is judged within one life of a node: a restarted node begins anew with what it reads.
#[derive(Default)]
struct AppliedForward {
    nodes: BTreeMap<HostId, (Epoch, u64)>,
    epochs: BTreeMap<u64, (Epoch, HostId, &'static str)>,
}

impl AppliedForward {
    fn state(
        &mut self,
        event: &Event,
        host: HostId,
        epoch: Epoch,
        version: u64,
        act: &'static str,
    ) -> Judged {
        let (known, by, former) = *self.epochs.entry(version).or_insert((epoch, host, act));
        if known == epoch {
            return Ok(());
        }
        broken(
            event,
            format!(
                "{host} {act} version {version} of epoch {epoch}, but {by} {former} version {version} of epoch {known}"
            ),
        )
    }

    fn apply(&mut self, event: &Event, host: HostId, epoch: Epoch, version: u64) -> Judged {
        self.state(event, host, epoch, version, "applied")?;
        match self.nodes.insert(host, (epoch, version)) {
            Some((old_epoch, old_version)) if (old_epoch, old_version) > (epoch, version) => broken(
                event,
                format!(
                    "{host} applied version {version} of epoch {epoch} when it had applied version {old_version} of epoch \
                     {old_epoch}"
                ),
            ),
            _ => Ok(()),
        }
    }
}

impl Monitor for AppliedForward {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::StateApplied { epoch, version } => self.apply(event, host, *epoch, *version),
            EventKind::StatePublished { epoch, version, .. } => {
                self.state(event, host, *epoch, *version, "published")
            }
            kind if is_new_life(kind) => {
                self.nodes.remove(&host);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search},
        event::EventKind as E,
    };

    const ONE: &str = "control.one-controller";
    const FORWARD: &str = "control.applied-forward";

    fn published(record: &mut Record, nth: usize) -> (&mut Epoch, &mut u64) {
        match record.nth(nth, |kind| matches!(kind, E::StatePublished { .. })) {
            (_, E::StatePublished { epoch, version, .. }) => (epoch, version),
            _ => unreachable!("only publications are chosen"),
        }
    }

    #[test]
    fn two_hosts_in_one_epoch_fail() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(1, |kind| matches!(kind, E::ControllerElected { .. }));
        *at = E::ControllerElected { epoch: Epoch(1) };
        record.assert_fails(
            ONE,
            "search-2 was elected in controller epoch 1, in which search-1 was elected at",
        );
    }

    #[test]
    fn version_published_twice_fails() {
        let mut record = Record::healthy();
        *published(&mut record, 3).1 = 3;
        record.assert_fails(
            ONE,
            "search-1 published version 3 in epoch 1, which search-1 had published in epoch 1",
        );
    }

    /// KAFKA-6082: the deposed controller wakes up and writes.
    #[test]
    fn older_epoch_at_a_later_version_fails() {
        let mut record = Record::healthy();
        let index = record.last(|event| matches!(event.kind, E::StatePublished { .. }));
        let mut late = record.events[index].kind.clone();
        if let E::StatePublished { epoch, version, .. } = &mut late {
            (*epoch, *version) = (Epoch(1), *version + 1);
        }
        record.insert(index + 1, search(1), late);
        record.assert_fails(
            ONE,
            "search-1 published version 8 in epoch 1, but version 7 is search-2's of epoch 2",
        );
    }

    #[test]
    fn publication_noted_late_is_allowed() {
        let mut record = Record::healthy();
        let late = record.index(3, |event| matches!(event.kind, E::StatePublished { .. }));
        let next = record.index(4, |event| matches!(event.kind, E::StatePublished { .. }));
        let (kind, at) = (record.events[late].kind.clone(), next + 1);
        record.insert(at, search(1), kind);
        record.events.remove(late);
        record.assert_passes(ONE);
    }

    #[test]
    fn skipped_version_fails_unless_an_answer_was_lost() {
        let mut record = Record::healthy();
        let index = record.index(2, |event| matches!(event.kind, E::StatePublished { .. }));
        record.events.remove(index);
        record.assert_fails(ONE, "search-1 published version 4 right after version 2 in epoch 1");
        record.insert(index, search(1), E::ClientDisconnected { session: crate::name::SessionId(1) });
        record.assert_passes(ONE);
    }

    #[test]
    fn node_that_applies_backward_fails() {
        let mut record = Record::healthy();
        let index = record.last(|event| matches!(event.kind, E::StateApplied { .. }));
        let host = record.events[index].host.unwrap();
        record.insert(index + 1, host, E::StateApplied { epoch: Epoch(2), version: 6 });
        record.assert_fails(FORWARD, "applied version 6 of epoch 2 when it had applied version 7 of epoch 2");
    }

    #[test]
    fn version_applied_with_another_epoch_than_published_fails() {
        let mut record = Record::healthy();
        let (_, at) = record.nth(0, |kind| matches!(kind, E::StateApplied { version: 5, .. }));
        *at = E::StateApplied { epoch: Epoch(1), version: 5 };
        record.assert_fails(
            FORWARD,
            "applied version 5 of epoch 1, but search-2 published version 5 of epoch 2",
        );
    }
}
