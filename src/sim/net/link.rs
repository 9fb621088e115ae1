//! Links — decides what one direction between two hosts does to a packet. It never knows connections.

use std::time::Duration;

use crate::{
    name::SimTime,
    scenario::plan::{CutMode, Delay, InFlight},
};

/// One direction between two hosts.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) delay: Delay,
    /// Packets sent so far: the key of their delays.
    pub(super) sent: u64,
    /// Faults that cut it, the newest last.
    pub(super) cuts: Vec<Cut>,
    /// Faults that slow it down, the newest last.
    pub(super) slow: Vec<Slow>,
    /// Until when what was sent before keeps a narrow line busy.
    pub(super) busy_until: SimTime,
}

/// How a fault cuts a link.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Which fault.
    pub fault: u32,
    /// What connections notice.
    pub mode: CutMode,
    /// What becomes of packets on the wire.
    pub in_flight: InFlight,
    /// Those up to this number on the link; the network fills it in.
    pub sent_before: u64,
}

impl Cut {
    /// A cut of packets from now on and of those on the wire.
    pub fn new(fault: u32, mode: CutMode) -> Self {
        Self { fault, mode, in_flight: InFlight::Cut, sent_before: 0 }
    }
}

/// How a fault slows a link down.
#[derive(Debug, Clone, Copy)]
pub struct Slow {
    /// Which fault.
    pub fault: u32,
    /// How late packets are; none: as before.
    pub delay: Option<Delay>,
    /// Bytes a second that it carries; none: any number.
    pub bandwidth: Option<u64>,
}

/// What a cut does to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Passes,
    Waits,
    Vanishes,
}

impl Link {
    pub(super) fn new(delay: Delay) -> Self {
        Self { delay, sent: 0, cuts: Vec::new(), slow: Vec::new(), busy_until: SimTime(0) }
    }

    /// The number of the next packet, and how it is delayed.
    pub(super) fn next(&mut self) -> (u64, Delay) {
        self.sent += 1;
        let slow = self.slow.iter().rev().find_map(|slow| slow.delay);
        (self.sent, slow.unwrap_or(self.delay))
    }

    /// How long a packet of so many bytes waits for a narrow line, and takes to get onto it.
    pub(super) fn queue(&mut self, now: SimTime, bytes: impl FnOnce() -> u64) -> Duration {
        let Some(bandwidth) = self.slow.iter().filter_map(|slow| slow.bandwidth).min() else {
            return Duration::ZERO;
        };
        let takes = u128::from(bytes()) * 1_000_000_000 / u128::from(bandwidth);
        self.busy_until = SimTime(self.busy_until.max(now).0.saturating_add(takes as u64));
        Duration::from_nanos(self.busy_until.0 - now.0)
    }

    pub(super) fn cut(&self) -> Option<CutMode> {
        self.cuts.last().map(|cut| cut.mode)
    }

    /// What becomes of the packet of this number.
    pub(super) fn fate(&self, nth: u64) -> Fate {
        let one = |cut: &Cut| match (cut.in_flight, cut.mode) {
            (InFlight::Delivered, _) if nth <= cut.sent_before => Fate::Passes,
            (InFlight::Lost, _) if nth <= cut.sent_before => Fate::Vanishes,
            (_, CutMode::Drop) => Fate::Vanishes,
            _ => Fate::Waits,
        };
        self.cuts.iter().map(one).max().unwrap_or(Fate::Passes)
    }
}
