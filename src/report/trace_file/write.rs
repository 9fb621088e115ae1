//! Writing traces — decides the bytes of a trace file: the same for the same run. It never leaves an event
//! out.

use std::io::{self, Write};

use xxhash_rust::xxh3::Xxh3;

use super::{Footer, Header, hex};
use crate::{
    event::{EVENT_VERSION, Event},
    scenario::plan::Plan,
};

/// Stores a run.
///
/// # Errors
///
/// If `out` cannot be written.
pub fn write(
    out: &mut (impl Write + ?Sized),
    plan: &Plan,
    events: &[Event],
    fingerprint: u128,
) -> io::Result<()> {
    let mut out = Summed { out, sum: Xxh3::new() };
    out.line(&header(plan))?;
    for event in events {
        out.line(event)?;
    }
    let checksum = hex(out.sum.digest128());
    out.line(&Footer { end: true, events: events.len() as u64, fingerprint: hex(fingerprint), checksum })
}

fn header(plan: &Plan) -> Header {
    Header {
        shardarium: "trace".into(),
        version: EVENT_VERSION,
        tool: env!("CARGO_PKG_VERSION").into(),
        scenario: plan.title.clone(),
        seed: plan.seed,
        plan: plan.clone(),
    }
}

/// A writer that keeps a checksum of what went through it.
struct Summed<'a, W: ?Sized> {
    out: &'a mut W,
    sum: Xxh3,
}

impl<W: Write + ?Sized> Summed<'_, W> {
    fn line(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.sum.update(&line);
        self.out.write_all(&line)
    }
}
