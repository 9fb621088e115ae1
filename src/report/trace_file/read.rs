//! Reading traces — decides whether a file is a whole and unchanged trace of this version. It never trusts a
//! byte of it and never panics.

use std::io::{self, BufRead};

use serde::Deserialize;
use xxhash_rust::xxh3::Xxh3;

use super::{Footer, Header, MARK, hex};
use crate::event::{EVENT_VERSION, Event, Fingerprint};

/// A stored run.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Its first line.
    pub header: Header,
    /// Everything that happened, in order.
    pub events: Vec<Event>,
    /// The fingerprint, as computed from the events and as stored.
    pub fingerprint: u128,
}

/// Why a file is no trace that can be judged. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// It is something else.
    #[error("line 1: this is not a Shardarium trace: {why}")]
    NotATrace {
        /// What was expected.
        why: String,
    },
    /// It was written by another version.
    #[error(
        "line 1: the trace has version {found} of the event vocabulary, this tool reads version {EVENT_VERSION}; \
         run its plan again to get a new one"
    )]
    OtherVersion {
        /// The version of the file.
        found: u64,
    },
    /// A line is not an event.
    #[error("line {line}: not an event: {why}")]
    BadLine {
        /// Which.
        line: usize,
        /// Why.
        why: String,
    },
    /// Events are missing or out of order.
    #[error("line {line}: event {expected} should follow, but this is event {found}: the trace was edited")]
    Gap {
        /// Where.
        line: usize,
        /// The next number.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// An event is earlier than the one before it.
    #[error("line {line}: simulated time goes back: the trace was edited")]
    TimeGoesBack {
        /// Where.
        line: usize,
    },
    /// The file ends too early.
    #[error("line {line}: the trace ends here without its last line: it was cut off")]
    CutOff {
        /// The line that is missing.
        line: usize,
    },
    /// The content is not what was written.
    #[error("line {line}: {what} does not match what the lines above say: the trace was edited")]
    Edited {
        /// The last line.
        line: usize,
        /// What does not match.
        what: &'static str,
    },
    /// Something follows the end.
    #[error("line {line}: something follows the last line of the trace")]
    AfterTheEnd {
        /// Where.
        line: usize,
    },
    /// The file cannot be read.
    #[error("line {line}: {why}")]
    Unreadable {
        /// Where.
        line: usize,
        /// Why.
        why: String,
    },
}

/// Reads a trace to its end.
///
/// # Errors
///
/// If it is not a trace, of another version, cut off, edited, or cannot be read; the first reason found.
pub fn read(source: impl BufRead) -> Result<Trace, TraceError> {
    let mut lines = Lines { source, number: 0, whole: true, sum: Xxh3::new() };
    let first = lines.next()?.unwrap_or_default();
    let header = if lines.whole { header(&first)? } else { return Err(half_header(&first)) };
    let mut body = Body::default();
    loop {
        let checksum = hex(lines.sum.digest128());
        let line = lines.next()?.ok_or(TraceError::CutOff { line: lines.number })?;
        if let Ok(footer) = serde_json::from_slice::<Footer>(&line) {
            body.close(&footer, &checksum, lines.number)?;
            lines.expect_end()?;
            return Ok(Trace { header, events: body.events, fingerprint: body.fingerprint.value() });
        }
        body.add(lines.event(&line)?, lines.number)?;
    }
}

/// The first line has no end: the file was cut off within it, or is something else.
fn half_header(line: &[u8]) -> TraceError {
    if line.starts_with(MARK) {
        return TraceError::CutOff { line: 1 };
    }
    header(line).err().unwrap_or(TraceError::CutOff { line: 2 })
}

fn header(line: &[u8]) -> Result<Header, TraceError> {
    #[derive(Deserialize)]
    struct Mark {
        shardarium: String,
        version: u64,
    }
    let not = |why: String| TraceError::NotATrace { why };
    let mark: Mark = serde_json::from_slice(line)
        .map_err(|_| not("its first line is not `{\"shardarium\":\"trace\",\"version\":…}`".into()))?;
    if mark.shardarium != "trace" {
        return Err(not(format!("it is a `{}`", mark.shardarium.escape_debug())));
    }
    if mark.version != u64::from(EVENT_VERSION) {
        return Err(TraceError::OtherVersion { found: mark.version });
    }
    serde_json::from_slice(line).map_err(|error| not(format!("its plan cannot be read: {error}")))
}

/// The lines of a file, counted and summed.
struct Lines<S> {
    source: S,
    number: usize,
    /// Whether the last line read had its end.
    whole: bool,
    sum: Xxh3,
}

impl<S: BufRead> Lines<S> {
    /// The next line without its end; none at the end of the file.
    fn next(&mut self) -> Result<Option<Vec<u8>>, TraceError> {
        self.number += 1;
        let mut line = Vec::new();
        let read = self.source.read_until(b'\n', &mut line);
        match read.map_err(|error| self.unreadable(&error))? {
            0 => Ok(None),
            _ => {
                self.sum.update(&line);
                self.whole = line.pop_if(|last| *last == b'\n').is_some();
                Ok(Some(line))
            }
        }
    }

    fn event(&self, line: &[u8]) -> Result<Event, TraceError> {
        serde_json::from_slice(line).map_err(|error| match self.whole {
            true => TraceError::BadLine { line: self.number, why: error.to_string() },
            false => TraceError::CutOff { line: self.number },
        })
    }

    fn expect_end(&mut self) -> Result<(), TraceError> {
        match self.next()? {
            None => Ok(()),
            Some(_) => Err(TraceError::AfterTheEnd { line: self.number }),
        }
    }

    fn unreadable(&self, error: &io::Error) -> TraceError {
        TraceError::Unreadable { line: self.number, why: error.to_string() }
    }
}

/// The events read so far.
#[derive(Default)]
struct Body {
    events: Vec<Event>,
    fingerprint: Fingerprint,
}

impl Body {
    fn add(&mut self, event: Event, line: usize) -> Result<(), TraceError> {
        let expected = self.events.len() as u64;
        if event.seq != expected {
            return Err(TraceError::Gap { line, expected, found: event.seq });
        }
        if self.events.last().is_some_and(|last| last.at > event.at) {
            return Err(TraceError::TimeGoesBack { line });
        }
        self.fingerprint.add(&event);
        self.events.push(event);
        Ok(())
    }

    fn close(&self, footer: &Footer, checksum: &str, line: usize) -> Result<(), TraceError> {
        let edited = |what| Err(TraceError::Edited { line, what });
        if !footer.end {
            return Err(TraceError::BadLine { line, why: "`end` is not true".into() });
        }
        if footer.events != self.events.len() as u64 {
            return edited("the number of events");
        }
        if footer.fingerprint != hex(self.fingerprint.value()) {
            return edited("the fingerprint");
        }
        if footer.checksum != checksum { edited("the checksum") } else { Ok(()) }
    }
}
