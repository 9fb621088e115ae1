//! Asks — decides which nodes still owe an answer, and which of them have fallen silent. It never decides what
//! an answer is worth.
//!
//! A machine without power and a cut link show only as silence, while a primary whose replica does not answer
//! is merely slow. So whoever owes an answer for a quarter of the time that requests have is pinged, and given
//! up if nothing at all has come from it by half of that time.

use std::{collections::BTreeMap, time::Duration};

use super::{CoordinationMessage, alarm::Alarms};
use crate::{
    core::{ConnId, Instant},
    name::HostId,
    search::{transport::Ctx, wire::Transport},
};

/// Something asked of a node that has not answered yet.
#[derive(Debug)]
pub(super) struct Asked {
    /// For which request.
    pub(super) request: u64,
    /// The flow's number for it.
    pub(super) part: u32,
    /// Of whom.
    pub(super) to: HostId,
    /// On which connection; none: of this node itself.
    pub(super) conn: Option<ConnId>,
    /// When.
    pub(super) at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Ping(u64),
    Judge(u64),
}

/// Everything that was asked and not answered.
#[derive(Debug)]
pub(super) struct Asks {
    timeout: Duration,
    waiting: BTreeMap<u64, Asked>,
    alarms: Alarms<Alarm>,
}

impl Asks {
    /// Nothing asked yet; requests have `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, waiting: BTreeMap::new(), alarms: Alarms::default() }
    }

    /// Something was asked.
    pub(super) fn add(&mut self, number: u64, asked: Asked) {
        if asked.conn.is_some() {
            let [ping, judge] = self.alarms_of(&asked);
            self.alarms.set(ping, Alarm::Ping(number));
            self.alarms.set(judge, Alarm::Judge(number));
        }
        self.waiting.insert(number, asked);
    }

    /// It was answered, or does not matter any more.
    pub(super) fn take(&mut self, number: u64) -> Option<Asked> {
        let asked = self.waiting.remove(&number)?;
        let [ping, judge] = self.alarms_of(&asked);
        self.alarms.cancel(ping, Alarm::Ping(number));
        self.alarms.cancel(judge, Alarm::Judge(number));
        Some(asked)
    }

    /// Whether this node owes this answer.
    pub(super) fn awaits(&self, number: u64, from: HostId) -> bool {
        self.waiting.get(&number).is_some_and(|asked| asked.to == from)
    }

    /// What was asked on this connection.
    pub(super) fn sent_on(&self, conn: ConnId) -> Vec<u64> {
        let sent = self.waiting.iter().filter(|(_, asked)| asked.conn == Some(conn));
        sent.map(|(number, _)| *number).collect()
    }

    /// Time passed.
    pub(super) fn wake(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(alarm) = self.alarms.pop(ctx.now.mono) {
            match alarm {
                Alarm::Ping(number) => self.ping(ctx, number),
                Alarm::Judge(number) => self.judge(ctx, number),
            }
        }
    }

    /// When it wants to be woken.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.alarms.next()
    }

    fn ping(&self, ctx: &mut Ctx<'_>, number: u64) {
        if let Some(asked) = self.waiting.get(&number) {
            ctx.send(asked.to, Transport::Coordination(CoordinationMessage::Ping));
        }
    }

    fn judge(&self, ctx: &mut Ctx<'_>, number: u64) {
        let Some(asked) = self.waiting.get(&number) else { return };
        let silent = ctx.links.heard(asked.to).is_none_or(|heard| heard <= asked.at);
        if silent && ctx.links.to(asked.to) == asked.conn {
            ctx.links.drop_peer(asked.to, ctx.out);
        }
    }

    fn alarms_of(&self, asked: &Asked) -> [Instant; 2] {
        [asked.at + self.timeout / 4, asked.at + self.timeout / 2]
    }
}
