//! Damage — decides what faults do to links and connections. It never decides when a fault strikes.

use std::time::Duration;

use super::{Cut, Losing, Net, Packet, Pair, RETRANSMISSION, Slow};
use crate::{
    core::{CloseReason, ConnId, Port},
    name::HostId,
    scenario::{dice::NET_GAP, plan::CutMode},
    sim::{inbox::elapsed, wire::Wire},
};

/// How long a reset takes that nobody has to find out.
pub(super) const AT_ONCE: Duration = Duration::from_micros(10);

impl Net {
    /// The pair and the receiver of an answer that is to vanish.
    pub(super) fn loses(&mut self, from: HostId, conn: ConnId, message: &Wire) -> Option<(u64, HostId)> {
        let &(id, side) = self.hosts[&from].ends.get(&conn)?;
        let to = self.pairs[&id].hosts[1 - side];
        let hits = |losing: &&mut Losing| {
            let meant = losing.to.as_ref().is_none_or(|meant| meant.contains(&to));
            losing.from == from && meant
        };
        let losing = self.losing.iter_mut().find(hits).filter(|_| message.is_answer())?;
        losing.left -= 1;
        self.losing.retain(|losing| losing.left > 0);
        Some((id, to))
    }

    /// The next answers of a host vanish, to these hosts or to anybody, and their connections break.
    pub fn lose_answers(&mut self, from: HostId, to: Option<Vec<HostId>>, count: u32) {
        self.losing.push(Losing { from, to, left: count });
    }

    /// From now on packets of this direction do not get through, until the same fault is healed.
    pub fn cut(&mut self, from: HostId, to: HostId, cut: Cut) {
        let link = self.link(from, to);
        link.cuts.push(Cut { sent_before: link.sent, ..cut });
        if cut.mode == CutMode::Reset {
            self.break_connections(|pair| pair.links(from, to), |_| AT_ONCE);
        }
    }

    /// Both ends of these connections see a reset, so long after now.
    fn break_connections(&mut self, is_meant: impl Fn(&Pair) -> bool, delay: impl Fn(u64) -> Duration) {
        let ids: Vec<_> = self.pairs.iter().filter(|(_, pair)| is_meant(pair)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.break_pair(id, delay(id)));
    }

    pub(super) fn break_pair(&mut self, id: u64, delay: Duration) {
        for side in 0..2 {
            let broken = Packet::Broken { reason: CloseReason::Reset };
            self.transmit_after(id, side, (0, broken), delay);
        }
    }

    /// Resets a host's connections to ZooKeeper.
    pub fn disconnect(&mut self, host: HostId) {
        self.break_connections(|pair| pair.port == Port::ZkClient && pair.hosts[0] == host, |_| AT_ONCE);
    }

    /// Ends what this fault did to this direction. True if packets get through again.
    pub fn heal(&mut self, from: HostId, to: HostId, fault: u32) -> bool {
        let cuts = &mut self.link(from, to).cuts;
        let Some(last) = cuts.last().copied() else { return false };
        cuts.retain(|cut| cut.fault != fault);
        if !cuts.is_empty() {
            return false;
        }
        // Who sends on notices sooner or later that nothing is acknowledged.
        let (dice, now) = (self.dice.clone(), elapsed(&self.time));
        self.break_connections(
            |pair| pair.links(from, to) && (pair.gaps[0] || pair.gaps[1]),
            |id| dice.at(NET_GAP, (id, now)).delay(RETRANSMISSION),
        );
        match last.mode {
            CutMode::Hold => self.release(from, to),
            CutMode::Stall | CutMode::Reset | CutMode::Drop => self.retransmit(from, to),
        }
        true
    }

    /// From now on packets of this direction are slower, until the same fault is undone.
    pub fn slow(&mut self, from: HostId, to: HostId, slow: Slow) {
        self.link(from, to).slow.push(slow);
    }

    /// Ends what this fault did to this direction's delays.
    pub fn hasten(&mut self, from: HostId, to: HostId, fault: u32) {
        self.link(from, to).slow.retain(|slow| slow.fault != fault);
    }

    /// What was held back for this direction arrives.
    fn release(&mut self, from: HostId, to: HostId) {
        self.resend(from, to, |_, _| Duration::ZERO);
    }
}
