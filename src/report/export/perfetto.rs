//! Chrome traces — decides which spans, instants and arrows of a record Perfetto draws. It never leaves a span open: what
//! did not end, ends with the record.
//!
//! A process a host; on it a track of lives (down, paused), one of offices (leads, controls), one for each shard.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde_json::{Value, json};

use crate::{
    event::{Event, EventKind as E},
    name::{HostId, RequestId},
    report::explain::told,
};

/// Writes the record as the JSON of Chrome's trace format.
///
/// # Errors
///
/// If `out` cannot be written.
pub fn write(out: &mut dyn Write, events: &[Event]) -> io::Result<()> {
    let mut sheet = Sheet::default();
    for event in events {
        sheet.observe(event, events);
    }
    let end = events.last().map_or(0, |event| event.at.0);
    sheet.close(end);
    serde_json::to_writer(out, &json!({ "traceEvents": sheet.items, "displayTimeUnit": "ms" }))?;
    Ok(())
}

/// How long a message is drawn at either end, in microseconds. Two slices of a track that overlap in part are dropped,
/// and two tasks of a run are at least so far apart.
const MESSAGE_MICROS: f64 = 0.05;

/// A track: whose, and which.
type Track = (Option<HostId>, String);

#[derive(Default)]
struct Sheet {
    items: Vec<Value>,
    processes: BTreeMap<Option<HostId>, u64>,
    tracks: BTreeMap<Track, u64>,
    open: BTreeMap<Track, (u64, String)>,
    arrows: u64,
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1_000.0
}

impl Sheet {
    fn observe(&mut self, event: &Event, events: &[Event]) {
        match &event.kind {
            E::Delivered { from, message, sent } => {
                let left = usize::try_from(*sent).ok().and_then(|sent| events.get(sent.checked_sub(1)?));
                let left = left.map_or(event.at.0, |event| event.at.0);
                self.arrow((*from, left), event, message);
            }
            E::FileSynced { .. } => {}
            kind => {
                self.instant(event, kind);
                self.spans(event);
            }
        }
    }

    fn spans(&mut self, event: &Event) {
        let (host, at) = (event.host, event.at.0);
        let track = |name: &str| (host, name.to_owned());
        match &event.kind {
            E::FaultBegan { step, what, .. } => self.begin((None, format!("fault {step}")), at, what.clone()),
            E::FaultEnded { step, .. } => self.end(&(None, format!("fault {step}")), at),
            E::HostCrashed { .. } | E::HostHalted { .. } => {
                let theirs: Vec<Track> =
                    self.open.keys().filter(|(owner, _)| *owner == host).cloned().collect();
                theirs.iter().for_each(|track| self.end(track, at));
                self.begin(track("life"), at, "down".into());
            }
            E::HostPaused => self.begin(track("life"), at, "paused".into()),
            E::HostStarted { .. } | E::HostResumed => self.end(&track("life"), at),
            E::ElectionStarted { .. } => self.begin(track("role"), at, "looks".into()),
            E::LeaderEstablished { epoch, .. } => {
                self.begin(track("role"), at, format!("leads, epoch {epoch}"))
            }
            E::FollowerSynced { leader, .. } => self.begin(track("role"), at, format!("follows {leader}")),
            E::RoleLost { .. } => self.end(&track("role"), at),
            E::ControllerElected { epoch } => {
                self.begin(track("control"), at, format!("controls, epoch {epoch}"))
            }
            E::ControllerResigned { .. } => self.end(&track("control"), at),
            E::PrimaryActivated { shard, term, .. } => {
                self.begin(track(&shard.to_string()), at, format!("primary of {shard}, term {term}"));
            }
            E::PrimaryDeactivated { shard, .. } => self.end(&track(&shard.to_string()), at),
            E::RecoveryStarted { shard, from, .. } => {
                self.begin(track(&format!("{shard} recovery")), at, format!("recovers {shard} by {from}"));
            }
            E::RecoveryCompleted { shard, .. } => self.end(&track(&format!("{shard} recovery")), at),
            E::DocInvoked { request, .. } | E::SearchInvoked { request, .. } => {
                self.request("b", *request, event);
            }
            E::DocCompleted { request, .. } | E::SearchCompleted { request, .. } => {
                self.request("e", *request, event);
            }
            _ => {}
        }
    }

    fn begin(&mut self, track: Track, at: u64, what: String) {
        self.end(&track, at);
        self.open.insert(track, (at, what));
    }

    fn end(&mut self, track: &Track, at: u64) {
        let Some((from, what)) = self.open.remove(track) else { return };
        let (pid, tid) = self.place(track);
        let span = micros(at.saturating_sub(from));
        self.items.push(
            json!({ "ph": "X", "name": what, "pid": pid, "tid": tid, "ts": micros(from), "dur": span }),
        );
    }

    fn close(&mut self, end: u64) {
        let open: Vec<Track> = self.open.keys().cloned().collect();
        open.iter().for_each(|track| self.end(track, end));
    }

    fn instant(&mut self, event: &Event, kind: &E) {
        let (pid, tid) = self.place(&(event.host, "events".into()));
        self.items.push(json!({
            "ph": "i", "s": "t", "name": kind.name(), "pid": pid, "tid": tid, "ts": micros(event.at.0),
            "args": { "seq": event.seq, "what": told(kind) },
        }));
    }

    fn request(&mut self, phase: &str, request: u64, event: &Event) {
        let (pid, tid) = self.place(&(event.host, "requests".into()));
        self.items.push(json!({
            "ph": phase, "cat": "request", "id": request, "name": format!("request {}", RequestId(request)), "pid": pid,
            "tid": tid, "ts": micros(event.at.0),
        }));
    }

    /// A message: two short slices, for arrows go from slice to slice, and an arrow.
    fn arrow(&mut self, (from, left): (HostId, u64), event: &Event, message: &str) {
        self.arrows += 1;
        let ends = [("s", Some(from), left), ("f", event.host, event.at.0)];
        for (phase, host, at) in ends {
            let (pid, tid) = self.place(&(host, "messages".into()));
            let place =
                json!({ "pid": pid, "tid": tid, "ts": micros(at), "name": message, "cat": "message" });
            let with = |extra: Value| {
                let mut item = place.clone();
                if let (Some(item), Value::Object(extra)) = (item.as_object_mut(), extra) {
                    item.extend(extra);
                }
                item
            };
            self.items.push(with(json!({ "ph": "X", "dur": MESSAGE_MICROS })));
            self.items.push(with(json!({ "ph": phase, "id": self.arrows, "bp": "e" })));
        }
    }

    /// The numbers of a track, which is named when it is first used.
    fn place(&mut self, track: &Track) -> (u64, u64) {
        let next = self.processes.len() as u64 + 1;
        let pid = *self.processes.entry(track.0).or_insert(next);
        if pid == next {
            let name = track.0.map_or("world".to_owned(), |host| host.to_string());
            self.items
                .push(json!({ "ph": "M", "name": "process_name", "pid": pid, "args": { "name": name } }));
        }
        let next = self.tracks.len() as u64 + 1;
        let tid = *self.tracks.entry(track.clone()).or_insert(next);
        if tid == next {
            let args = json!({ "name": track.1 });
            self.items
                .push(json!({ "ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": args }));
        }
        (pid, tid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Epoch, SimTime};

    fn items(kinds: Vec<(HostId, E)>) -> Vec<Value> {
        let event =
            |(seq, (host, kind)): (u64, _)| Event { seq, at: SimTime(seq * 1_000), host: Some(host), kind };
        let events: Vec<Event> = (0..).zip(kinds).map(event).collect();
        let mut out = Vec::new();
        write(&mut out, &events).unwrap();
        let trace: Value = serde_json::from_slice(&out).unwrap();
        trace["traceEvents"].as_array().unwrap().clone()
    }

    #[test]
    fn office_is_a_span_that_ends_with_its_holder_or_the_record() {
        let (one, two) = (HostId::zookeeper(1), HostId::search(1));
        let leads = E::LeaderEstablished { epoch: Epoch(1), history: vec![] };
        let controls = E::ControllerElected { epoch: Epoch(2) };
        let crash = E::HostCrashed { power: true };
        let items = items(vec![(one, leads), (two, controls), (one, crash), (two, E::HostPaused)]);
        let span = |name: &str| {
            let span = items.iter().find(|item| item["ph"] == "X" && item["name"] == name).unwrap();
            (span["ts"].as_f64().unwrap(), span["dur"].as_f64().unwrap())
        };
        assert_eq!((span("leads, epoch 1"), span("controls, epoch 2")), ((0.0, 2.0), (1.0, 2.0)));
        assert_eq!((span("down"), span("paused")), ((2.0, 1.0), (3.0, 0.0)));
    }

    #[test]
    fn message_is_an_arrow_from_when_it_was_sent() {
        let (one, two) = (HostId::zookeeper(1), HostId::zookeeper(2));
        let round = |round| E::ElectionStarted { round };
        let delivered = E::Delivered { from: one, message: "vote".into(), sent: 1 };
        let items = items(vec![(one, round(1)), (one, round(2)), (two, delivered)]);
        let at = |phase: &str| items.iter().find(|item| item["ph"] == phase).map(|item| item["ts"].clone());
        assert_eq!((at("s"), at("f")), (Some(json!(0.0)), Some(json!(2.0))));
    }
}
