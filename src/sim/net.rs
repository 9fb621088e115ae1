//! Net — decides when and whether what one host sends reaches another. It knows connections, never what
//! is said on them.
//!
//! The fault contract. A connection is TCP's: a handshake, then two independent streams, first in first
//! out, nothing lost or doubled as long as it stands. Every packet draws its own delay; a packet never
//! overtakes an earlier one of its stream. A cut hits what is already on the wire too. Under a *stalling* cut
//! packets wait and go out again after the heal, later by a retransmission delay; each direction is cut by
//! itself. Under a *resetting* cut both ends see a reset. When a process dies its peers see a reset; when a
//! machine loses power they see silence, until it is back and answers what they sent with a reset. A paused
//! process still has its kernel: dials to it succeed, what is sent to it waits.

use std::{
    collections::{BTreeMap, VecDeque},
    task::{Context, Poll},
    time::Duration,
};

use madsim::time::TimeHandle;

use crate::{
    core::{Address, CloseReason, ConnId, Port},
    name::{HostId, SimTime},
    scenario::plan::{CutMode, Delay},
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
    /// The world wants the core inspected.
    Inspect,
}

#[derive(Debug)]
enum Item {
    Packet { pair: u64, side: usize, packet: Packet },
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
    conns: [Option<ConnId>; 2],
    /// Packets by sending side that wait for a link.
    stalled: [VecDeque<Packet>; 2],
    /// When the last packet of each side is due: none overtakes it.
    last_due: [SimTime; 2],
    /// Whether the handshake has come back to the dialler; before that its packets wait.
    established: bool,
    early: Vec<Packet>,
}

/// The network of a run.
pub struct Net {
    time: TimeHandle,
    dice: Dice,
    hosts: BTreeMap<HostId, Machine>,
    pairs: BTreeMap<u64, Pair>,
    next_pair: u64,
    links: BTreeMap<(HostId, HostId), Link>,
}

/// One direction between two hosts.
#[derive(Debug)]
struct Link {
    delay: Delay,
    /// Packets sent so far: the key of their delays.
    sent: u64,
    /// Faults that cut it, the newest last.
    cuts: Vec<(u32, CutMode)>,
    /// Faults that slow it down, the newest last.
    slow: Vec<(u32, Delay)>,
}

impl Link {
    fn new(delay: Delay) -> Self {
        Self { delay, sent: 0, cuts: Vec::new(), slow: Vec::new() }
    }

    fn cut(&self) -> Option<CutMode> {
        self.cuts.last().map(|(_, mode)| *mode)
    }
}

/// The delay of a host to itself.
const LOOPBACK: Delay = Delay { min: Duration::ZERO, mean: Duration::from_micros(20) };

/// The least time before a packet that met a cut is sent again once the link is healed.
const RETRANSMISSION: Delay = Delay { min: Duration::from_millis(10), mean: Duration::from_millis(120) };

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
                Poll::Ready(Some(Item::Packet { pair, side, packet })) => {
                    if let Some(arrival) = self.arrive(pair, side, packet) {
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

    /// Sends on a connection, with the number of events recorded so far; does nothing if it has ended.
    pub fn send(&mut self, from: HostId, conn: ConnId, message: Wire, sent: u64) {
        self.send_packet(from, conn, Packet::Data { message, sent });
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
                let delay = self.draw_delay(from, to);
                self.transmit_after(id, side, packet, delay);
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
        let delay = self.draw_delay(from, to) + self.draw_delay(to, from);
        self.transmit_after(id, 1 - side, Packet::Broken { reason }, delay);
    }

    fn draw_delay(&mut self, from: HostId, to: HostId) -> Duration {
        let link = self.link(from, to);
        link.sent += 1;
        let (nth, delay) = (link.sent, link.slow.last().map_or(link.delay, |(_, delay)| *delay));
        self.dice.at("net.delay", (from, to, nth)).delay(delay)
    }

    fn transmit_after(&mut self, id: u64, side: usize, packet: Packet, delay: Duration) {
        let now = elapsed(&self.time);
        let Some(pair) = self.pairs.get_mut(&id) else { return };
        let due = SimTime((now.0 + delay.as_nanos() as u64).max(pair.last_due[side].0 + 1));
        pair.last_due[side] = due;
        let to = pair.hosts[1 - side];
        let machine = self.hosts.get_mut(&to).expect("hosts never go");
        if machine.power == Power::Up {
            machine.inbox.push(&self.time, due, Item::Packet { pair: id, side, packet });
        }
    }

    /// A packet reaches the kernel of its receiver: what the process gets to see of it.
    fn arrive(&mut self, id: u64, side: usize, packet: Packet) -> Option<Arrival> {
        let pair = self.pairs.get_mut(&id)?;
        let (from, to) = (pair.hosts[side], pair.hosts[1 - side]);
        let cut = self.links[&(from, to)].cut().is_some();
        if !matches!(packet, Packet::Broken { .. }) && (cut || !pair.stalled[side].is_empty()) {
            pair.stalled[side].push_back(packet);
            return None;
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
        let delay = self.draw_delay(from, to);
        self.transmit_after(id, 1 - side, Packet::Rst { reason: CloseReason::Reset }, delay);
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
            if let Item::Packet { pair, side, packet: packet @ Packet::Syn { .. } } = item {
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
            if let Item::Packet { pair, side, packet } = item
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

    /// From now on packets of this direction do not get through, until the same fault is healed.
    pub fn cut(&mut self, from: HostId, to: HostId, fault: u32, mode: CutMode) {
        self.link(from, to).cuts.push((fault, mode));
        if mode == CutMode::Reset {
            self.break_connections(from, to);
        }
    }

    fn break_connections(&mut self, a: HostId, b: HostId) {
        let between = |pair: &Pair| pair.hosts == [a, b] || pair.hosts == [b, a];
        let ids: Vec<_> = self.pairs.iter().filter(|(_, pair)| between(pair)).map(|(id, _)| *id).collect();
        for id in ids {
            for side in 0..2 {
                let broken = Packet::Broken { reason: CloseReason::Reset };
                self.transmit_after(id, side, broken, Duration::from_micros(10));
            }
        }
    }

    /// Ends what this fault did to this direction. True if packets get through again.
    pub fn heal(&mut self, from: HostId, to: HostId, fault: u32) -> bool {
        let cuts = &mut self.link(from, to).cuts;
        let was_cut = !cuts.is_empty();
        cuts.retain(|(by, _)| *by != fault);
        if !was_cut || !cuts.is_empty() {
            return false;
        }
        self.retransmit(from, to);
        true
    }

    /// From now on packets of this direction take this long, until the same fault is undone.
    pub fn slow(&mut self, from: HostId, to: HostId, fault: u32, delay: Delay) {
        self.link(from, to).slow.push((fault, delay));
    }

    /// Ends what this fault did to this direction's delays.
    pub fn hasten(&mut self, from: HostId, to: HostId, fault: u32) {
        self.link(from, to).slow.retain(|(by, _)| *by != fault);
    }

    /// What waited for this direction goes out again, in order, if it may.
    fn retransmit(&mut self, from: HostId, to: HostId) {
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
            let again = self.dice.at("net.retransmission", (id, side, elapsed(&self.time)));
            let delay = again.clone().delay(RETRANSMISSION);
            for packet in packets {
                self.transmit_after(id, side, packet, delay);
            }
        }
    }

    fn link(&mut self, from: HostId, to: HostId) -> &mut Link {
        self.links.get_mut(&(from, to)).expect("every two hosts are linked")
    }

    fn host(&mut self, host: HostId) -> &mut Machine {
        self.hosts.get_mut(&host).expect("hosts never go")
    }
}
