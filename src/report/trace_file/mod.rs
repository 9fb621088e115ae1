//! Trace files — decides how a run is stored as lines of JSON. It never judges what happened.
//!
//! One header with the plan, one line an event, one footer. The footer carries the run's fingerprint and a
//! checksum over every byte before it, so that a file that was cut off or edited is noticed.

mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use self::{
    read::{Trace, TraceError, read},
    write::write,
};
use crate::scenario::plan::Plan;

/// What every trace begins with.
pub const MARK: &[u8] = b"{\"shardarium\":\"trace\"";

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Always `trace`.
    pub shardarium: String,
    /// The version of the vocabulary of events.
    pub version: u32,
    /// The version of the tool that wrote it.
    pub tool: String,
    /// Title of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The plan that was run.
    pub plan: Plan,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    /// Always true.
    end: bool,
    /// Number of events.
    events: u64,
    /// Fingerprint of the run, 32 hexadecimal digits.
    fingerprint: String,
    /// XXH3-128 over every byte before this line, 32 hexadecimal digits.
    checksum: String,
}

fn hex(hash: u128) -> String {
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        event::{EVENT_VERSION, Event, EventKind, Fingerprint},
        name::{HostId, SimTime},
        scenario::format::Scenario,
    };

    fn events(kinds: Vec<EventKind>) -> (Vec<Event>, u128) {
        let mut fingerprint = Fingerprint::default();
        let event = |(seq, kind): (u64, EventKind)| Event {
            seq,
            at: SimTime(seq * 1_000),
            host: (seq % 2 == 0).then(|| HostId::zookeeper(1)),
            kind,
        };
        let events: Vec<Event> = (0..).zip(kinds).map(event).collect();
        events.iter().for_each(|event| fingerprint.add(event));
        (events, fingerprint.value())
    }

    fn sample() -> (Vec<Event>, u128) {
        let digest = crate::event::Digest(u64::MAX);
        events(vec![
            EventKind::QuietBegan,
            EventKind::HostStarted { incarnation: 1 },
            EventKind::DocInvoked {
                request: 1,
                index: "artikel-ä".into(),
                id: "7".into(),
                op: crate::event::DocOp::Index,
                source: Some(digest),
                words: "quorum".into(),
                fields: String::new(),
                parameters: String::new(),
            },
            EventKind::HostHalted { why: "a \"quoted\"\nreason".into() },
            EventKind::RunEnded,
        ])
    }

    fn plan() -> Plan {
        Scenario { title: "a title".into(), ..Default::default() }.plan(3)
    }

    fn stored() -> Vec<u8> {
        let (events, fingerprint) = sample();
        let mut bytes = Vec::new();
        write(&mut bytes, &plan(), &events, fingerprint).unwrap();
        bytes
    }

    fn error(bytes: &[u8]) -> TraceError {
        read(bytes).expect_err("the trace should be refused")
    }

    #[test]
    fn trace_round_trips() {
        let (events, fingerprint) = sample();
        let trace = read(stored().as_slice()).unwrap();
        assert_eq!((trace.events, trace.fingerprint, trace.header.plan), (events, fingerprint, plan()));
    }

    #[test]
    fn trace_is_the_same_bytes_every_time() {
        assert_eq!(stored(), stored());
    }

    #[test]
    fn trace_cut_anywhere_is_refused() {
        let bytes = stored();
        for len in 1..bytes.len() - 1 {
            let error = error(&bytes[..len]);
            let begun = len >= "{\"shardarium\":\"trace\"".len();
            assert_eq!(matches!(error, TraceError::CutOff { .. }), begun, "cut at {len}: {error}");
        }
    }

    #[test]
    fn trace_without_its_last_line_is_cut_off() {
        let text = String::from_utf8(stored()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let cut = lines[..lines.len() - 1].join("\n");
        assert_eq!(error(cut.as_bytes()), TraceError::CutOff { line: 7 });
    }

    #[test]
    fn other_version_is_refused() {
        let text = String::from_utf8(stored()).unwrap();
        let text = text.replacen(&format!("\"version\":{EVENT_VERSION}"), "\"version\":999", 1);
        assert_eq!(error(text.as_bytes()), TraceError::OtherVersion { found: 999 });
    }

    #[test]
    fn something_else_is_no_trace() {
        for text in ["", "\n", "hello\n", "{}\n", "{\"a\":1}\n", "[1]\n", "\u{0}\n"] {
            assert!(matches!(error(text.as_bytes()), TraceError::NotATrace { .. }), "{text:?}");
        }
    }

    #[test]
    fn missing_event_is_a_gap() {
        let text = String::from_utf8(stored()).unwrap();
        let kept: String =
            text.lines().filter(|line| !line.contains("\"seq\":2,")).map(|l| format!("{l}\n")).collect();
        assert_eq!(error(kept.as_bytes()), TraceError::Gap { line: 4, expected: 2, found: 3 });
    }

    #[test]
    fn time_that_goes_back_is_refused() {
        let text = String::from_utf8(stored()).unwrap().replace("\"at\":3000", "\"at\":1000");
        assert_eq!(error(text.as_bytes()), TraceError::TimeGoesBack { line: 5 });
    }

    #[test]
    fn changed_event_is_noticed() {
        let text = String::from_utf8(stored()).unwrap().replace("\"id\":\"7\"", "\"id\":\"8\"");
        assert_eq!(error(text.as_bytes()), TraceError::Edited { line: 7, what: "the fingerprint" });
    }

    #[test]
    fn changed_plan_is_noticed() {
        let text = String::from_utf8(stored()).unwrap().replacen("a title", "b title", 2);
        assert_eq!(error(text.as_bytes()), TraceError::Edited { line: 7, what: "the checksum" });
    }

    #[test]
    fn line_that_is_no_event_is_numbered() {
        let text = String::from_utf8(stored()).unwrap().replace("HostHalted", "HostHolted");
        assert!(matches!(error(text.as_bytes()), TraceError::BadLine { line: 5, .. }));
    }

    #[test]
    fn lines_after_the_end_are_refused() {
        let mut bytes = stored();
        bytes.extend(b"{}\n");
        assert_eq!(error(&bytes), TraceError::AfterTheEnd { line: 8 });
    }

    proptest! {
        #[test]
        fn changed_byte_is_noticed(at in any::<prop::sample::Index>(), change in 1_u8..) {
            let mut bytes = stored();
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            let blank = bytes[at].is_ascii_whitespace();
            // White space for the last line's end, or around a footer's value, changes nothing.
            prop_assert!(read(bytes.as_slice()).is_err() || blank, "byte {at}");
        }

        #[test]
        fn any_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(bytes.as_slice()).is_err());
        }
    }
}
