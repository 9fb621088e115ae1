//! ShiViz logs — decides the vector clock of each event, so that ShiViz can draw who knew what. It never shows single
//! deliveries and syncs: their order is in the clocks.
//!
//! Two lines an event: host and clock, then what happened (ShiViz's default format). The parser to give to ShiViz is
//! `(?<host>\S*) (?<clock>{.*})\n(?<event>.*)`.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use crate::{
    event::{Event, EventKind},
    name::HostId,
    report::explain::told,
};

/// How many shown events of each host are known.
type Clock = BTreeMap<HostId, u64>;

/// Writes the record.
///
/// # Errors
///
/// If `out` cannot be written.
pub fn write(out: &mut dyn Write, events: &[Event]) -> io::Result<()> {
    let mut clocks = Clocks::default();
    for (number, event) in events.iter().enumerate() {
        let Some(host) = event.host else { continue };
        if let EventKind::Delivered { from, sent, .. } = &event.kind {
            clocks.hear(number, host, *from, *sent);
        } else if is_shown(&event.kind) {
            let clock = clocks.tick(number, host);
            let clock: Vec<String> =
                clock.iter().map(|(host, count)| format!("\"{host}\":{count}")).collect();
            let what = told(&event.kind).replace('\n', " ");
            writeln!(out, "{host} {{{}}}\n{:.6} s {what}", clock.join(","), event.at.seconds())?;
        }
    }
    Ok(())
}

fn is_shown(kind: &EventKind) -> bool {
    !matches!(kind, EventKind::FileSynced { .. } | EventKind::ConnectionEnded { .. })
}

/// The clocks of all hosts, with all their pasts.
#[derive(Default)]
struct Clocks(BTreeMap<HostId, Vec<(usize, Clock)>>);

impl Clocks {
    fn tick(&mut self, number: usize, host: HostId) -> &Clock {
        let mut clock = self.now(host);
        *clock.entry(host).or_default() += 1;
        self.set(number, host, clock)
    }

    /// What the sender knew when it sent is known now.
    fn hear(&mut self, number: usize, host: HostId, from: HostId, sent: u64) {
        let Some(told) = self.0.get(&from) else { return };
        let until = told.partition_point(|(at, _)| (*at as u64) < sent);
        let Some((_, known)) = until.checked_sub(1).and_then(|last| told.get(last)) else { return };
        let mut clock = self.now(host);
        let before = clock.clone();
        for (other, count) in known {
            let mine = clock.entry(*other).or_default();
            *mine = (*mine).max(*count);
        }
        if clock != before {
            self.set(number, host, clock);
        }
    }

    fn now(&self, host: HostId) -> Clock {
        self.0.get(&host).and_then(|told| told.last()).map_or(Clock::new(), |(_, clock)| clock.clone())
    }

    fn set(&mut self, number: usize, host: HostId, clock: Clock) -> &Clock {
        let told = self.0.entry(host).or_default();
        told.push((number, clock));
        &told[told.len() - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::SimTime;

    #[test]
    fn clock_knows_what_a_message_brought_and_no_later_thing() {
        let (one, two) = (HostId::zookeeper(1), HostId::zookeeper(2));
        let round = |round| EventKind::ElectionStarted { round };
        let kinds = [
            (one, round(1)),
            (one, round(2)),
            (two, EventKind::Delivered { from: one, message: "vote".into(), sent: 1 }),
            (two, round(3)),
        ];
        let event = |(seq, (host, kind)): (u64, _)| Event { seq, at: SimTime(0), host: Some(host), kind };
        let events: Vec<Event> = (0..).zip(kinds).map(event).collect();
        let mut out = Vec::new();
        write(&mut out, &events).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert_eq!(lines[0], "zk-1 {\"zk-1\":1}");
        assert_eq!(lines[4], "zk-2 {\"zk-1\":1,\"zk-2\":1}");
        assert_eq!(lines[5], "0.000000 s ElectionStarted round 3");
    }
}
