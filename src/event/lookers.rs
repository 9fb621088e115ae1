//! Lookers — decides, from events alone, for how long servers that look for a leader may go on when there is one. It
//! never says who leads.
//!
//! A server that looks tells the others its vote, and tells them again after 0.2 s, and then after ever twice as long, up
//! to a minute (`FastLeaderElection`: `minNotificationInterval`, `maxNotificationInterval`). Servers that serve do not
//! speak first: one that was cut off, or an observer while there was no leader, finds it when it asks again, which is
//! after as long again as it has looked so far. Each notification that is heard begins the wait anew, so that every other
//! who looks may put it off once.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    event::{Event, EventKind},
    name::{HostId, SimTime},
};

/// `FastLeaderElection.minNotificationInterval`.
const LEAST: Duration = Duration::from_millis(200);

/// `FastLeaderElection.maxNotificationInterval`.
const MOST: Duration = Duration::from_secs(60);

/// Servers that look for a leader, and since when.
#[derive(Debug, Clone, Default)]
pub struct Lookers(BTreeMap<HostId, SimTime>);

impl Lookers {
    /// Reads the next event.
    pub fn observe(&mut self, event: &Event) {
        let Some(host) = event.host else { return };
        match event.kind {
            EventKind::ElectionStarted { .. } => _ = self.0.insert(host, event.at),
            EventKind::ElectionDecided { .. }
            | EventKind::HostCrashed { .. }
            | EventKind::HostHalted { .. }
            | EventKind::HostStarted { .. } => _ = self.0.remove(&host),
            _ => {}
        }
    }

    /// How long it may take from now until the last of them has asked again.
    pub fn patience(&self, now: SimTime) -> Duration {
        let looked = |since: &SimTime| now.since_start().saturating_sub(since.since_start());
        self.0.values().map(|since| (looked(since) + LEAST).min(MOST)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seconds: u64, number: u16, kind: EventKind) -> Event {
        Event { seq: 0, at: SimTime(seconds * 1_000_000_000), host: Some(HostId::zookeeper(number)), kind }
    }

    fn patience(seconds: u64, events: &[Event]) -> Duration {
        let mut lookers = Lookers::default();
        events.iter().for_each(|event| lookers.observe(event));
        lookers.patience(SimTime(seconds * 1_000_000_000))
    }

    #[test]
    fn servers_ask_again_after_as_long_as_they_have_looked() {
        let looks = |seconds, number| event(seconds, number, EventKind::ElectionStarted { round: 1 });
        assert_eq!(patience(9, &[]), Duration::ZERO);
        assert_eq!(patience(9, &[looks(1, 1)]), Duration::from_millis(8_200));
        assert_eq!(patience(9, &[looks(1, 1), looks(4, 1)]), Duration::from_millis(5_200));
        assert_eq!(patience(9, &[looks(1, 1), looks(4, 2)]), Duration::from_millis(13_400));
        assert_eq!(patience(900, &[looks(1, 1)]), Duration::from_mins(1));
        assert_eq!(patience(1, &[looks(4, 1)]), LEAST, "a record whose time runs backwards");
    }

    #[test]
    fn who_has_decided_or_is_down_looks_no_more() {
        let leader = HostId::zookeeper(2);
        for kind in [
            EventKind::ElectionDecided { round: 1, leader },
            EventKind::HostCrashed { power: true },
            EventKind::HostHalted { why: "a test".into() },
            EventKind::HostStarted { incarnation: 2 },
        ] {
            let looked = event(1, 1, EventKind::ElectionStarted { round: 1 });
            assert_eq!(patience(9, &[looked, event(2, 1, kind)]), Duration::ZERO);
        }
    }
}
