//! Net — decides when and whether what one host sends reaches another. It knows connections, never what
//! is said on them.
//!
//! The fault contract. A connection is TCP's: a handshake, then two independent streams, first in first
//! out, nothing lost or doubled as long as it stands. Every packet draws its own delay; a packet never
//! overtakes an earlier one of its stream. A cut hits what is already on the wire too, unless it says that this
//! arrives, or is lost. Under a *stalling* cut packets wait and go out again after the heal, later by a
//! retransmission delay; under a *holding* one they wait and all arrive with the heal; each direction is cut by
//! itself. Under a *resetting* cut both ends see a reset. Under a *dropping* one packets vanish: a stream that lacks
//! one brings nothing more, and its connection is reset some time after the heal. When a process dies its peers see a reset; when a
//! machine loses power they see silence, until it is back and answers what they sent with a reset. A paused
//! process still has its kernel: dials to it succeed, what is sent to it waits.

mod damage;
mod link;

use std::{
    collections::{BTreeMap, VecDeque},
    task::{Context, Poll},
    time::Duration,
};

use madsim::time::TimeHandle;

pub use self::link::{Cut, Slow};
use self::{
    damage::AT_ONCE,
    link::{Fate, Link},
};
use crate::{
    core::{Address, CloseReason, ConnId, Port},
    name::{HostId, SimTime},
    scenario::{
        dice::{NET_DELAY, NET_RETRANSMISSION},
        plan::{CutMode, Delay},
    },
    sim::{
        dice::Dice,
        inbox::{Inbox, elapsed},
        wire::Wire,
    },
};

/// What a task that owns a host gets to see.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are data: a box for each would cost more")]
#[derive(Debug)]
pub enum Arrival {
    /// A dial succeeded.
    Connected {
        /// The connection.
        conn: ConnId,
    },
    /// Somebody dialled.
    Accepted {
        /// The connection.
        conn: ConnId,
        /// Who.
        from: HostId,
        /// On which port.
        port: Port,
    },
    /// A message.
    Message {
        /// The connection.
        conn: ConnId,
        /// Who.
        from: HostId,
        /// The message.
        message: Wire,
        /// Events that had been recorded when it was sent.
        sent: u64,
    },
    /// A connection ended, or a dial failed.
    Closed {
        /// The connection.
        conn: ConnId,
        /// The other end.
        peer: HostId,
        /// Why.
        reason: CloseReason,
    },
    /// The sync of a file ended.
    Synced {
        /// The file.
        file: crate::core::FileName,
    },
    /// A file is not what it was, and no longer in the page cache.
    Reread {
        /// The file.
        file: crate::core::FileName,
    },
    /// The clocks were set.
    ClockSet,
    /// The world wants the core inspected.
    Inspect,
}

#[derive(Debug)]
enum Item {
    /// `nth` on its link.
    Packet {
        pair: u64,
        side: usize,
        nth: u64,
        packet: Packet,
    },
    Local(Arrival),
}

#[expect(clippy::large_enum_variant, reason = "nearly all of them are data: a box for each would cost more")]
#[derive(Debug)]
enum Packet {
    Syn {
        port: Port,
    },
    SynAck,
    Data {
        message: Wire,
        sent: u64,
    },
    Fin,
    Rst {
        reason: CloseReason,
    },
    /// A reset that the network itself makes, at each end.
    Broken {
        reason: CloseReason,
    },
}

impl Packet {
    /// What it takes on a line, in bytes.
    fn bytes(&self) -> u64 {
        let message = match self {
            Self::Data { message, .. } => message.bytes(),
            _ => 0,
        };
        message + PACKET_HEAD
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    /// Machine and process run.
    Up,
    /// The machine runs, the process does not.
    ProcessDown,
    /// The machine is off.
    Off,
}

#[derive(Debug)]
struct Machine {
    inbox: Inbox<Item>,
    power: Power,
    next_accept: u64,
    ends: BTreeMap<ConnId, (u64, usize)>,
}

/// Two ends of a connection; side 0 dialled.
#[derive(Debug)]
struct Pair {
    hosts: [HostId; 2],
    port: Port,
    conns: [Option<ConnId>; 2],
    /// By sending side, whether a packet of it is lost: nothing behind it arrives.
    gaps: [bool; 2],
    /// Packets by sending side that wait for a link.
    stalled: [VecDeque<Packet>; 2],
    /// When the last packet of each side is due: none overtakes it.
    last_due: [SimTime; 2],
    /// Whether the handshake has come back to the dialler; before that its packets wait.
    established: bool,
    early: Vec<Packet>,
}

impl Pair {
    fn links(&self, a: HostId, b: HostId) -> bool {
        self.hosts == [a, b] || self.hosts == [b, a]
    }
}

/// The network of a run.
pub struct Net {
    time: TimeHandle,
    dice: Dice,
    hosts: BTreeMap<HostId, Machine>,
    pairs: BTreeMap<u64, Pair>,
    next_pair: u64,
    links: BTreeMap<(HostId, HostId), Link>,
    /// Answers that are to vanish: whose, to whom, how many.
    losing: Vec<Losing>,
}

/// Answers that are to vanish.
#[derive(Debug)]
struct Losing {
    from: HostId,
    /// None: to any client.
    to: Option<Vec<HostId>>,
    left: u32,
}

/// The delay of a host to itself.
const LOOPBACK: Delay = Delay::exponential(Duration::ZERO, Duration::from_micros(20));

/// What headers add to a message, in bytes.
const PACKET_HEAD: u64 = 64;

/// The least time before a packet that met a cut is sent again once the link is healed.
const RETRANSMISSION: Delay = Delay::exponential(Duration::from_millis(10), Duration::from_millis(120));

impl Net {
    /// A network without hosts.
    pub fn new(time: TimeHandle, dice: Dice) -> Self {
        Self {
            time,
            dice,
            hosts: BTreeMap::new(),
            pairs: BTreeMap::new(),
            next_pair: 0,
            links: BTreeMap::new(),
            losing: Vec::new(),
        }
    }

    /// Adds a machine whose process does not run yet, with the delays to each host added before, and back.
    pub fn add_host(&mut self, host: HostId, delay: impl Fn(HostId, HostId) -> Delay) {
        for other in self.hosts.keys() {
            self.links.insert((host, *other), Link::new(delay(host, *other)));
            self.links.insert((*other, host), Link::new(delay(*other, host)));
        }
        self.links.insert((host, host), Link::new(LOOPBACK));
        let port = Machine {
            inbox: Inbox::default(),
            power: Power::ProcessDown,
            next_accept: 1,
            ends: BTreeMap::new(),
        };
        self.hosts.insert(host, port);
    }

    /// The next arrival at `host`, or `None` if `wake` comes first and has come.
    pub fn poll(&mut self, host: HostId, wake: Option<SimTime>, cx: &Context<'_>) -> Poll<Option<Arrival>> {
        loop {
            let port = self.hosts.get_mut(&host).expect("a host that runs is known");
            match port.inbox.poll(&self.time, wake, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Item::Local(arrival))) => return Poll::Ready(Some(arrival)),
                Poll::Ready(Some(Item::Packet { pair, side, nth, packet })) => {
                    if let Some(arrival) = self.arrive(pair, side, nth, packet) {
                        return Poll::Ready(Some(arrival));
                    }
                }
            }
        }
    }

    /// Puts something of the host's own into its inbox.
    pub fn push_local(&mut self, host: HostId, due: SimTime, arrival: Arrival) {
        let port = self.hosts.get_mut(&host).expect("a host that runs is known");
        port.inbox.push(&self.time, due, Item::Local(arrival));
    }

    /// Begins a handshake.
    pub fn dial(&mut self, from: HostId, conn: ConnId, to: Address) {
        let pair = self.next_pair;
        self.next_pair += 1;
        self.pairs.insert(
            pair,
            Pair {
                hosts: [from, to.host],
                port: to.port,
                gaps: [false; 2],
                conns: [Some(conn), None],
                stalled: Default::default(),
                last_due: [SimTime(0); 2],
                established: false,
                early: Vec::new(),
            },
        );
        self.host(from).ends.insert(conn, (pair, 0));
        self.transmit(pair, 0, Packet::Syn { port: to.port });
    }

    /// Sends on a connection, with the number of events recorded so far; does nothing if it has ended. Gives for whom a
    /// message was that a fault makes vanish.
    #[must_use]
    pub fn send(&mut self, from: HostId, conn: ConnId, message: Wire, sent: u64) -> Option<HostId> {
        if !self.losing.is_empty()
            && let Some((pair, to)) = self.loses(from, conn, &message)
        {
            self.break_pair(pair, AT_ONCE);
            return Some(to);
        }
        self.send_packet(from, conn, Packet::Data { message, sent });
        None
    }

    /// Closes this host's end, after what was sent.
    pub fn close(&mut self, from: HostId, conn: ConnId) {
        self.send_packet(from, conn, Packet::Fin);
        if let Some((pair, side)) = self.host(from).ends.remove(&conn) {
            self.drop_end(pair, side);
        }
    }

    fn send_packet(&mut self, from: HostId, conn: ConnId, packet: Packet) {
        let Some(&(id, side)) = self.host(from).ends.get(&conn) else { return };
        let pair = self.pairs.get_mut(&id).expect("an end has its pair");
        if side == 0 && !pair.established {
            pair.early.push(packet);
        } else {
            self.transmit(id, side, packet);
        }
    }

    /// Puts a packet on the wire.
    fn transmit(&mut self, id: u64, side: usize, packet: Packet) {
        let Some(pair) = self.pairs.get_mut(&id) else { return };
        let (from, to) = (pair.hosts[side], pair.hosts[1 - side]);
        let cut = self.links[&(from, to)].cut();
        match (self.hosts[&to].power, cut) {
            (_, Some(CutMode::Reset)) => self.refuse(id, side, packet),
            (Power::Off, _) | (Power::ProcessDown, Some(_)) => pair.stalled[side].push_back(packet),
            (Power::ProcessDown, None) => self.refuse(id, side, packet),
            (Power::Up, _) => {
                let now = elapsed(&self.time);
                let link = self.link(from, to);
                let (nth, delay) = link.next();
                let queued = link.queue(now, || packet.bytes());
                let delay = self.dice.at(NET_DELAY, (from, to, nth)).delay_at(now, delay);
                self.transmit_after(id, side, (nth, packet), delay + queued);
            }
        }
    }

    /// Nobody takes the packet: who sent it is told, a round trip later.
    fn refuse(&mut self, id: u64, side: usize, packet: Packet) {
        let reason = match packet {
            Packet::Syn { .. } => CloseReason::Refused,
            Packet::SynAck | Packet::Data { .. } => CloseReason::Reset,
            Packet::Fin | Packet::Rst { .. } | Packet::Broken { .. } => return,
        };
        let Some(pair) = self.pairs.get(&id) else { return };
        let (from, to) = (pair.hosts[side], pair.hosts[1 - side]);
        let (_, there) = self.draw_delay(from, to);
        let (nth, back) = self.draw_delay(to, from);
        self.transmit_after(id, 1 - side, (nth, Packet::Broken { reason }), there + back);
    }

    /// The number of the next packet on a link, and its delay.
    fn draw_delay(&mut self, from: HostId, to: HostId) -> (u64, Duration) {
        let now = elapsed(&self.time);
        let (nth, delay) = self.link(from, to).next();
        (nth, self.dice.at(NET_DELAY, (from, to, nth)).delay_at(now, delay))
    }

    fn transmit_after(&mut self, id: u64, side: usize, (nth, packet): (u64, Packet), delay: Duration) {
        let now = elapsed(&self.time);
        let Some(pair) = self.pairs.get_mut(&id) else { return };
        let due = SimTime((now.0 + delay.as_nanos() as u64).max(pair.last_due[side].0 + 1));
        pair.last_due[side] = due;
        let to = pair.hosts[1 - side];
        let machine = self.hosts.get_mut(&to).expect("hosts never go");
        if machine.power == Power::Up {
            machine.inbox.push(&self.time, due, Item::Packet { pair: id, side, nth, packet });
        }
    }

    /// A packet reaches the kernel of its receiver: what the process gets to see of it.
    fn arrive(&mut self, id: u64, side: usize, nth: u64, packet: Packet) -> Option<Arrival> {
        let pair = self.pairs.get_mut(&id)?;
        let (from, to) = (pair.hosts[side], pair.hosts[1 - side]);
        let fate = self.links[&(from, to)].fate(nth);
        if !matches!(packet, Packet::Broken { .. }) {
            if fate == Fate::Vanishes || pair.gaps[side] {
                pair.gaps[side] = true;
                return None;
            }
            if fate == Fate::Waits || !pair.stalled[side].is_empty() {
                pair.stalled[side].push_back(packet);
                return None;
            }
        }
        match packet {
            Packet::Syn { .. } if pair.conns[0].is_none() => {
                self.pairs.remove(&id);
                None
            }
            Packet::Syn { port } => Some(self.accept(id, from, to, port)),
            Packet::SynAck => self.establish(id),
            Packet::Data { message, sent } => match pair.conns[1 - side] {
                Some(conn) => Some(Arrival::Message { conn, from, message, sent }),
                None => {
                    self.answer_with_reset(id, side);
                    None
                }
            },
            Packet::Fin => self.end(id, 1 - side, CloseReason::Closed),
            Packet::Rst { reason } | Packet::Broken { reason } => self.end(id, 1 - side, reason),
        }
    }

    fn accept(&mut self, id: u64, from: HostId, to: HostId, port: Port) -> Arrival {
        let host = self.host(to);
        let conn = ConnId(host.next_accept);
        host.next_accept += 2;
        host.ends.insert(conn, (id, 1));
        self.pairs.get_mut(&id).expect("it just arrived").conns[1] = Some(conn);
        self.transmit(id, 1, Packet::SynAck);
        Arrival::Accepted { conn, from, port }
    }

    fn establish(&mut self, id: u64) -> Option<Arrival> {
        let pair = self.pairs.get_mut(&id)?;
        pair.established = true;
        let Some(conn) = pair.conns[0] else {
            self.answer_with_reset(id, 1);
            return None;
        };
        for packet in std::mem::take(&mut pair.early) {
            // Sent while the handshake was under way; the kernel held it back until now.
            self.transmit(id, 0, packet);
        }
        Some(Arrival::Connected { conn })
    }

    /// The end of `side` is told that the connection is over.
    fn end(&mut self, id: u64, side: usize, reason: CloseReason) -> Option<Arrival> {
        let pair = self.pairs.get_mut(&id)?;
        let (host, peer) = (pair.hosts[side], pair.hosts[1 - side]);
        let conn = pair.conns[side]?;
        self.host(host).ends.remove(&conn);
        self.drop_end(id, side);
        if self.pairs.get(&id).is_some_and(|pair| pair.conns == [None, None]) {
            self.pairs.remove(&id);
        }
        Some(Arrival::Closed { conn, peer, reason })
    }

    fn answer_with_reset(&mut self, id: u64, side: usize) {
        let Some(pair) = self.pairs.get(&id) else { return };
        let (from, to) = (pair.hosts[1 - side], pair.hosts[side]);
        let (nth, delay) = self.draw_delay(from, to);
        self.transmit_after(id, 1 - side, (nth, Packet::Rst { reason: CloseReason::Reset }), delay);
    }

    /// Forgets one end, and the pair with the second.
    fn drop_end(&mut self, id: u64, side: usize) {
        if let Some(pair) = self.pairs.get_mut(&id) {
            pair.conns[side] = None;
            // A packet still on its way to the other end keeps the pair known until it arrives.
            if pair.conns == [None, None] && pair.established {
                self.pairs.remove(&id);
            }
        }
    }

    /// The process starts on a machine that now certainly has power.
    pub fn process_started(&mut self, host: HostId) {
        let was = std::mem::replace(&mut self.host(host).power, Power::Up);
        assert!(was != Power::Up, "a process starts once a life");
        let from: Vec<_> = self.hosts.keys().copied().collect();
        for from in from {
            self.retransmit(from, host);
        }
    }

    /// The process died; the kernel lives and resets its connections.
    pub fn process_died(&mut self, host: HostId) {
        let (items, ends) = self.stop(host, Power::ProcessDown);
        for item in items {
            if let Item::Packet { pair, side, packet: packet @ Packet::Syn { .. }, .. } = item {
                self.refuse(pair, side, packet);
            }
        }
        for (pair, side) in ends.into_values() {
            self.transmit(pair, side, Packet::Rst { reason: CloseReason::Reset });
            self.drop_end(pair, side);
        }
    }

    /// The machine lost power: silence, until it is back.
    pub fn power_lost(&mut self, host: HostId) {
        let (items, ends) = self.stop(host, Power::Off);
        for item in items {
            if let Item::Packet { pair, side, packet, .. } = item
                && let Some(pair) = self.pairs.get_mut(&pair)
            {
                pair.stalled[side].push_back(packet);
            }
        }
        for (pair, side) in ends.into_values() {
            self.drop_end(pair, side);
        }
    }

    /// What was on its way to a process that stops, and its ends of connections.
    fn stop(&mut self, host: HostId, power: Power) -> (Vec<Item>, BTreeMap<ConnId, (u64, usize)>) {
        let machine = self.host(host);
        machine.power = power;
        machine.inbox.forget_owner();
        (machine.inbox.take_all(), std::mem::take(&mut machine.ends))
    }

    /// Whether the process runs.
    pub fn is_up(&self, host: HostId) -> bool {
        self.hosts[&host].power == Power::Up
    }

    /// What waited for this direction goes out again, in order, if it may.
    fn retransmit(&mut self, from: HostId, to: HostId) {
        let now = elapsed(&self.time);
        let dice = self.dice.clone();
        self.resend(from, to, |id, side| dice.at(NET_RETRANSMISSION, (id, side, now)).delay(RETRANSMISSION));
    }

    fn resend(&mut self, from: HostId, to: HostId, delay: impl Fn(u64, usize) -> Duration) {
        if self.links[&(from, to)].cut().is_some() || !self.is_up(to) {
            return;
        }
        let ids: Vec<_> = self.pairs.keys().copied().collect();
        for id in ids {
            let pair = self.pairs.get_mut(&id).expect("listed");
            let Some(side) = (0..2).find(|side| pair.hosts[*side] == from && pair.hosts[1 - side] == to)
            else {
                continue;
            };
            let packets = std::mem::take(&mut pair.stalled[side]);
            if packets.is_empty() {
                continue;
            }
            let (later, delay) = (self.take_behind(id, side), delay(id, side));
            for packet in packets {
                self.transmit_after(id, side, (0, packet), delay);
            }
            for (ahead, nth, packet) in later {
                self.transmit_after(id, side, (nth, packet), ahead);
            }
        }
    }

    /// Takes off the wire what was sent behind packets that wait, or lies in the kernel of a paused process, with how far
    /// ahead it is due: it must not overtake them.
    fn take_behind(&mut self, id: u64, side: usize) -> Vec<(Duration, u64, Packet)> {
        let now = elapsed(&self.time);
        let pair = self.pairs.get_mut(&id).expect("its packets wait");
        let machine = self.hosts.get_mut(&pair.hosts[1 - side]).expect("hosts never go");
        let is_behind = |item: &Item| {
            let Item::Packet { pair, side: sent_by, packet, .. } = item else { return false };
            (*pair, *sent_by) == (id, side) && !matches!(packet, Packet::Broken { .. })
        };
        let behind = machine.inbox.take_if(is_behind);
        if !behind.is_empty() {
            pair.last_due[side] = now;
        }
        let packet = |(due, item): (SimTime, Item)| match item {
            Item::Packet { nth, packet, .. } => {
                Some((Duration::from_nanos(due.0.saturating_sub(now.0)), nth, packet))
            }
            Item::Local(_) => None,
        };
        behind.into_iter().filter_map(packet).collect()
    }

    fn link(&mut self, from: HostId, to: HostId) -> &mut Link {
        self.links.get_mut(&(from, to)).expect("every two hosts are linked")
    }

    fn host(&mut self, host: HostId) -> &mut Machine {
        self.hosts.get_mut(&host).expect("hosts never go")
    }
}
