//! Leadership — decides whether epochs were led once, in order, and behind the fence. It never asks that one
//! process at a time believes that it leads, except when all is quiet.

use std::collections::BTreeMap;

use super::Sayings;
use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, Point, broken, clock},
    },
    event::{Event, EventKind},
    name::{Epoch, HostId, Zxid},
};

pub(in crate::check) const EPOCH_ONCE: Law = Law {
    name: "recipes.epoch-once",
    sentence: "An epoch of a group is drawn once, and later draws have greater epochs.",
    source: "zookeeper::recipes::leadership, 1 and 2: setData of the version read, linearizable writes",
    monitor: || Box::<EpochOnce>::default(),
};

pub(in crate::check) const FENCED: Law = Law {
    name: "recipes.fenced",
    sentence: "What a leader writes behind its fence takes effect after its own draw and before any later one.",
    source: "zookeeper::recipes::leadership, 3: the version of the counter is checked in the same multi",
    monitor: || Box::<Fenced>::default(),
};

pub(in crate::check) const LED: Law = Law {
    name: "recipes.led",
    sentence: "At the end each group that has live members has one leader, and only one believes that it leads.",
    source: "zookeeper::recipes::leadership, 4; ZooKeeper recipes, leader election",
    monitor: || Box::<Led>::default(),
};

/// Draws of one group, by transaction.
type Draws = BTreeMap<Zxid, (Epoch, HostId)>;

/// Order is judged along transactions, not along time: who is paused between its draw and the answer says so
/// late.
#[derive(Default)]
struct EpochOnce {
    groups: BTreeMap<String, Draws>,
}

impl Monitor for EpochOnce {
    fn observe(&mut self, event: &Event) -> Judged {
        let EventKind::LeadershipTaken { group, epoch, zxid } = &event.kind else { return Ok(()) };
        let Some(host) = event.host else { return Ok(()) };
        let draws = self.groups.entry(group.clone()).or_default();
        if let Some((zxid, (_, first))) = draws.iter().find(|(_, (other, _))| other == epoch) {
            return broken(
                event,
                format!("{host} leads {group} in epoch {epoch}, which {first} drew at {zxid}"),
            );
        }
        draws.insert(*zxid, (*epoch, host));
        let before = draws.range(..zxid).next_back().filter(|(_, (former, _))| former > epoch);
        let after = draws.range(zxid..).nth(1).filter(|(_, (later, _))| later < epoch);
        match before.or(after) {
            None => Ok(()),
            Some((other_zxid, (other, by))) => broken(
                event,
                format!(
                    "{host} drew epoch {epoch} of {group} at {zxid}, but {by} epoch {other} at {other_zxid}"
                ),
            ),
        }
    }
}

/// Draws that nobody spoke of, since their answers were lost, are not known here.
#[derive(Default)]
struct Fenced {
    draws: BTreeMap<String, Draws>,
    writes: BTreeMap<String, Draws>,
}

impl Fenced {
    /// The first write of `group` that its epoch's fence should have held back.
    fn breach(&self, group: &str) -> Option<String> {
        let (draws, writes) = (self.draws.get(group)?, self.writes.get(group)?);
        writes.iter().find_map(|(at, (epoch, host))| {
            let (drawn, (newest, by)) = draws.range(..at).next_back()?;
            let own = draws.iter().find(|(_, (other, _))| other == epoch);
            let write = format!("{host} wrote for {group} in epoch {epoch} at {at}");
            match own {
                Some((own, _)) if own > at => Some(format!("{write}, before its own draw at {own}")),
                _ if newest > epoch => Some(format!("{write}, after {by} drew epoch {newest} at {drawn}")),
                _ => None,
            }
        })
    }
}

impl Monitor for Fenced {
    fn observe(&mut self, event: &Event) -> Judged {
        let (table, group, epoch, zxid) = match &event.kind {
            EventKind::LeadershipTaken { group, epoch, zxid } => (&mut self.draws, group, epoch, zxid),
            EventKind::LeaderWrote { group, epoch, zxid } => (&mut self.writes, group, epoch, zxid),
            _ => return Ok(()),
        };
        let Some(host) = event.host else { return Ok(()) };
        table.entry(group.clone()).or_default().insert(*zxid, (*epoch, host));
        self.breach(group).map_or(Ok(()), |why| broken(event, why))
    }
}

/// Not judged if the run ended before its time to settle, or while links are cut.
#[derive(Default)]
struct Led {
    /// The epoch that each host leads in, if it does.
    sayings: Sayings<Option<Epoch>>,
}

impl Led {
    fn verdict(&self, end: Point) -> Option<(Point, String)> {
        self.sayings.live().find_map(|(group, hosts)| {
            let leaders: Vec<(HostId, Point)> = hosts
                .iter()
                .filter_map(|(host, said)| {
                    said.as_ref().filter(|(_, epoch)| epoch.is_some()).map(|(at, _)| (*host, *at))
                })
                .collect();
            match leaders[..] {
                [] if hosts.is_empty() => None,
                [_] => None,
                [] => Some((end, format!("nobody leads {group}"))),
                [(one, _), (two, at), ..] => {
                    Some((at, format!("both {one} and {two} (since {}) lead {group}", clock(at.at))))
                }
            }
        })
    }
}

impl Monitor for Led {
    fn observe(&mut self, event: &Event) -> Judged {
        self.sayings.observe(event);
        match &event.kind {
            EventKind::LeadershipTaken { group, epoch, .. } => self.sayings.says(event, group, Some(*epoch)),
            EventKind::LeadershipSought { group } | EventKind::LeadershipLost { group, .. } => {
                self.sayings.says(event, group, None)
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        if self.sayings.said.is_empty() {
            return Ok(());
        }
        self.sayings.calm.is_quiet()?;
        self.sayings.calm.judge_end(|end| self.verdict(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            recipes::tests::{client, quiet},
            record::{Record, txn},
        },
        event::EventKind as E,
    };

    fn taken(epoch: u32, counter: u32) -> E {
        E::LeadershipTaken { group: "/g".into(), epoch: Epoch(epoch), zxid: txn(1, counter).zxid }
    }

    fn wrote(epoch: u32, counter: u32) -> E {
        E::LeaderWrote { group: "/g".into(), epoch: Epoch(epoch), zxid: txn(1, counter).zxid }
    }

    #[test]
    fn epoch_drawn_twice_fails() {
        let mut record = Record::default();
        record.on(client(2), taken(1, 5)).on(client(3), taken(1, 6));
        record.assert_fails("recipes.epoch-once", "client-3 leads /g in epoch 1, which client-2 drew at");
    }

    #[test]
    fn epoch_that_goes_back_along_transactions_fails() {
        let mut record = Record::default();
        record.on(client(2), taken(2, 5)).on(client(3), taken(1, 6));
        record.assert_fails("recipes.epoch-once", "client-3 drew epoch 1 of /g");
    }

    #[test]
    fn draw_told_late_passes() {
        let mut record = Record::default();
        record.on(client(3), taken(2, 6)).on(client(2), taken(1, 5));
        record.assert_passes("recipes.epoch-once");
    }

    #[test]
    fn write_after_a_later_draw_fails() {
        let mut record = Record::default();
        record.on(client(2), taken(1, 5)).on(client(3), taken(2, 7)).on(client(2), wrote(1, 8));
        record.assert_fails(
            "recipes.fenced",
            "client-2 wrote for /g in epoch 1 at 0x100000008, after client-3",
        );
    }

    #[test]
    fn write_before_its_own_draw_fails() {
        let mut record = Record::default();
        record.on(client(2), taken(1, 5)).on(client(2), wrote(2, 6)).on(client(2), taken(2, 7));
        record.assert_fails("recipes.fenced", "before its own draw");
    }

    #[test]
    fn write_before_a_later_draw_passes() {
        let mut record = Record::default();
        record.on(client(2), taken(1, 5)).on(client(3), taken(2, 7)).on(client(2), wrote(1, 6));
        record.assert_passes("recipes.fenced");
    }

    #[test]
    fn two_leaders_when_all_is_quiet_fail() {
        let mut record = quiet(|record| {
            record.on(client(2), taken(1, 5)).on(client(3), taken(2, 7));
        });
        record.assert_fails("recipes.led", "both client-2 and client-3");
        record = quiet(|record| {
            let lost = E::LeadershipLost { group: "/g".into(), epoch: Epoch(1) };
            record.on(client(2), taken(1, 5)).on(client(3), taken(2, 7)).on(client(2), lost);
        });
        record.assert_passes("recipes.led");
    }

    #[test]
    fn group_without_a_leader_fails() {
        let record = quiet(|record| {
            record.on(client(2), taken(1, 5)).on(client(3), E::LeadershipSought { group: "/g".into() });
            record.on(client(2), E::HostCrashed { power: true });
        });
        record.assert_fails("recipes.led", "nobody leads /g");
    }
}
