//! Transport — decides which connection carries a message to another node. It never reads a message.
//!
//! A node keeps one outgoing connection to each peer it speaks to, dialled on demand; answers come back on
//! the peer's own outgoing connection. Messages to one peer arrive in order as long as the connection
//! stands; when it breaks, what was in flight is lost and the parts of the node are told that the peer is
//! lost, so that they fail or retry what waited for it.
//!
//! The two connections between two nodes are one link: when one of them is reset, or the peer is given up,
//! both go, since requests travel on one and their answers on the other. A peer that connects anew (after a
//! restart, or having given us up) replaces its earlier connection, from which nothing is heard any more.
//!
//! A machine without power and a cut link show only as silence, while a peer that has nothing to say is merely
//! quiet. So a peer that was sent something and says nothing is pinged after half of [`Links::new`]'s patience,
//! and given up at its end. (On real sockets TCP's user timeout does this.)

use std::{collections::BTreeMap, time::Duration};

use crate::{
    core::{Address, CloseReason, ConnId, FileName, Instant, Now, Output, Port},
    name::HostId,
    search::wire::{Message, Transport},
};

/// How long a dial may take (Elasticsearch's `discovery.probe.connect_timeout`). Nobody answers a dial to a
/// machine without power, nor says so when it is back.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What a part of a search node may use during a step.
pub struct Ctx<'a> {
    /// This host's clocks.
    pub now: Now,
    /// This node.
    pub me: HostId,
    /// Where effects go.
    pub out: &'a mut Output<Message>,
    /// Connections to other nodes.
    pub links: &'a mut Links,
}

impl Ctx<'_> {
    /// Sends to another node's like part, or to this node's own (through [`Links::take_local`]).
    pub fn send(&mut self, to: HostId, message: Transport) {
        self.links.send(self.now, self.me, to, None, message, self.out);
    }

    /// The same, once everything written to `file` so far is durable. Not to this node itself.
    pub fn send_after_sync(&mut self, file: &FileName, to: HostId, message: Transport) {
        assert!(to != self.me, "a node does not wait for its disk to speak to itself");
        self.links.send(self.now, self.me, to, Some(file), message, self.out);
    }
}

/// What became of the messages on a lost connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The connection was never established: none of them was sent.
    Unsent,
    /// Some may have arrived, and answers may have been lost.
    Unknown,
}

/// An outgoing connection that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Whom it led to.
    pub peer: HostId,
    /// Which one it was.
    pub conn: ConnId,
    /// What became of what was sent on it.
    pub fate: Fate,
}

#[derive(Debug, Clone, Copy)]
struct Outgoing {
    conn: ConnId,
    dialled: Instant,
    established: bool,
    silence: Option<Silence>,
}

/// A peer that was sent something since it was last heard.
#[derive(Debug, Clone, Copy)]
struct Silence {
    since: Instant,
    pinged: bool,
}

/// The connections of one node to its peers.
#[derive(Debug)]
pub struct Links {
    patience: Duration,
    outgoing: BTreeMap<HostId, Outgoing>,
    incoming: BTreeMap<HostId, ConnId>,
    lost: Vec<Lost>,
    local: Vec<Transport>,
}

impl Default for Links {
    /// With a patience of ten seconds.
    fn default() -> Self {
        Self::new(Duration::from_secs(10))
    }
}

impl Links {
    /// No connections yet. A peer that was sent something may be silent for `patience`.
    pub fn new(patience: Duration) -> Self {
        let (outgoing, incoming) = (BTreeMap::new(), BTreeMap::new());
        Self { patience, outgoing, incoming, lost: Vec::new(), local: Vec::new() }
    }

    fn send(
        &mut self,
        now: Now,
        me: HostId,
        to: HostId,
        after: Option<&FileName>,
        message: Transport,
        out: &mut Output<Message>,
    ) {
        if to == me {
            self.local.push(message);
            return;
        }
        let link = self.outgoing.entry(to).or_insert_with(|| Outgoing {
            conn: out.dial(Address { host: to, port: Port::Transport }),
            dialled: now.mono,
            established: false,
            silence: None,
        });
        if message != Transport::Pong {
            link.silence.get_or_insert(Silence { since: now.mono, pinged: false });
        }
        match after {
            None => out.send(link.conn, message),
            Some(file) => out.send_after_sync(file, link.conn, message),
        }
    }

    /// Messages of this node to itself, to be handled in the same step.
    pub fn take_local(&mut self) -> Vec<Transport> {
        std::mem::take(&mut self.local)
    }

    /// Outgoing connections that ended since the last call; their peers are lost.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    /// The outgoing connection to a peer, if there is one.
    pub fn to(&self, peer: HostId) -> Option<ConnId> {
        self.outgoing.get(&peer).map(|link| link.conn)
    }

    /// A dialled connection is established.
    pub fn connected(&mut self, conn: ConnId) {
        for link in self.outgoing.values_mut().filter(|link| link.conn == conn) {
            link.established = true;
        }
    }

    /// A peer connected to the transport port. If its earlier connection still stands, the peer does not
    /// remember it (its machine lost power, say), nor what came on ours: that link is over.
    pub fn accepted(&mut self, conn: ConnId, from: HostId, out: &mut Output<Message>) {
        if self.incoming.contains_key(&from) {
            self.drop_peer(from, out);
        }
        self.incoming.insert(from, conn);
    }

    /// Something was received on this connection: from whom; from nobody, if the connection was given up.
    pub fn received(&mut self, conn: ConnId) -> Option<HostId> {
        let peer = self.incoming_peer(conn)?;
        if let Some(link) = self.outgoing.get_mut(&peer) {
            link.silence = None;
        }
        Some(peer)
    }

    /// A connection ended, or could not be made.
    pub fn closed(&mut self, conn: ConnId, reason: CloseReason, out: &mut Output<Message>) {
        if let Some(peer) = self.outgoing_peer(conn) {
            let lost = self.lose(peer);
            self.lost.extend(lost);
            if reason == CloseReason::Reset {
                self.hang_up(peer, out);
            }
        } else if let Some(peer) = self.incoming_peer(conn) {
            self.incoming.remove(&peer);
            if reason == CloseReason::Reset {
                self.drop_peer(peer, out);
            }
        }
    }

    /// Gives up a peer that is silent or gone: both connections are closed, the next send dials anew, and
    /// every part of the node is told (through [`Links::take_lost`]).
    pub fn drop_peer(&mut self, peer: HostId, out: &mut Output<Message>) {
        if let Some(lost) = self.lose(peer) {
            out.close(lost.conn);
            // A dial that succeeds in this very moment may still deliver what was sent before the close.
            self.lost.push(Lost { fate: Fate::Unknown, ..lost });
        }
        self.hang_up(peer, out);
    }

    /// Pings peers that have fallen silent, and gives up those that stay so and dials that take too long.
    pub fn wake(&mut self, now: Now, out: &mut Output<Message>) {
        let due =
            self.outgoing.iter().filter(|(_, link)| self.deadline(link).is_some_and(|at| at <= now.mono));
        let due: Vec<(HostId, Outgoing)> = due.map(|(peer, link)| (*peer, *link)).collect();
        for (peer, link) in due {
            match link.silence {
                Some(Silence { since, pinged: false }) if link.established => {
                    out.send(link.conn, Transport::Ping);
                    let silence = Some(Silence { since, pinged: true });
                    self.outgoing.insert(peer, Outgoing { silence, ..link });
                }
                _ => self.drop_peer(peer, out),
            }
        }
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        self.outgoing.values().filter_map(|link| self.deadline(link)).min()
    }

    fn deadline(&self, link: &Outgoing) -> Option<Instant> {
        match link.silence {
            _ if !link.established => Some(link.dialled + CONNECT_TIMEOUT),
            Some(Silence { since, pinged: false }) => Some(since + self.patience / 2),
            Some(Silence { since, pinged: true }) => Some(since + self.patience),
            None => None,
        }
    }

    fn lose(&mut self, peer: HostId) -> Option<Lost> {
        let link = self.outgoing.remove(&peer)?;
        let fate = if link.established { Fate::Unknown } else { Fate::Unsent };
        Some(Lost { peer, conn: link.conn, fate })
    }

    fn hang_up(&mut self, peer: HostId, out: &mut Output<Message>) {
        if let Some(conn) = self.incoming.remove(&peer) {
            out.close(conn);
        }
    }

    fn outgoing_peer(&self, conn: ConnId) -> Option<HostId> {
        self.outgoing.iter().find(|(_, link)| link.conn == conn).map(|(peer, _)| *peer)
    }

    fn incoming_peer(&self, conn: ConnId) -> Option<HostId> {
        self.incoming.iter().find(|(_, incoming)| **incoming == conn).map(|(peer, _)| *peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Effect;

    const ME: HostId = HostId::search(1);
    const PEER: HostId = HostId::search(2);
    const PATIENCE: Duration = Duration::from_secs(10);
    const NOW: Now = Now { mono: Instant(5), wall_ms: 0 };
    /// Numbers of dialled connections are even here, those of accepted ones odd.
    const FROM_PEER: ConnId = ConnId(1);

    fn send(links: &mut Links, to: HostId) -> Vec<Effect<Message>> {
        let mut out = Output::new(10);
        links.send(NOW, ME, to, None, Transport::Ping, &mut out);
        out.drain().collect()
    }

    fn established() -> (Links, ConnId) {
        let mut links = Links::default();
        send(&mut links, PEER);
        let conn = links.to(PEER).unwrap();
        links.connected(conn);
        links.accepted(FROM_PEER, PEER, &mut Output::default());
        (links, conn)
    }

    fn closed(links: &mut Links, conn: ConnId, reason: CloseReason) -> Vec<Effect<Message>> {
        let mut out = Output::default();
        links.closed(conn, reason, &mut out);
        out.drain().collect()
    }

    #[test]
    fn peer_is_dialled_once() {
        let mut links = Links::default();
        let conn = ConnId(10);
        let to = Address { host: PEER, port: Port::Transport };
        let sent = Effect::Send { conn, message: Transport::Ping.into() };
        assert_eq!(send(&mut links, PEER), [Effect::Dial { conn, to }, sent.clone()]);
        assert_eq!(send(&mut links, PEER), [sent]);
    }

    #[test]
    fn message_to_itself_stays_on_the_node() {
        let mut links = Links::default();
        assert_eq!(send(&mut links, ME), []);
        assert_eq!(links.take_local(), [Transport::Ping]);
    }

    #[test]
    fn refused_dial_has_sent_nothing() {
        let mut links = Links::default();
        send(&mut links, PEER);
        closed(&mut links, ConnId(10), CloseReason::Refused);
        assert_eq!(links.take_lost(), [Lost { peer: PEER, conn: ConnId(10), fate: Fate::Unsent }]);
        assert_eq!(links.to(PEER), None, "the next send dials anew");
    }

    #[test]
    fn dial_into_the_void_is_given_up() {
        let mut links = Links::default();
        send(&mut links, PEER);
        let deadline = NOW.mono + CONNECT_TIMEOUT;
        assert_eq!(links.next_wake(), Some(deadline));
        let mut out = Output::default();
        links.wake(Now { mono: deadline, ..NOW }, &mut out);
        assert_eq!(out.effects(), [Effect::Close { conn: ConnId(10) }]);
        assert_eq!(links.take_lost(), [Lost { peer: PEER, conn: ConnId(10), fate: Fate::Unknown }]);
    }

    #[test]
    fn reset_of_either_connection_loses_both() {
        let (mut links, conn) = established();
        assert_eq!(closed(&mut links, conn, CloseReason::Reset), [Effect::Close { conn: FROM_PEER }]);
        assert_eq!(links.take_lost(), [Lost { peer: PEER, conn, fate: Fate::Unknown }]);
        assert_eq!(links.received(FROM_PEER), None, "a lost peer is not heard");

        let (mut links, conn) = established();
        assert_eq!(closed(&mut links, FROM_PEER, CloseReason::Reset), [Effect::Close { conn }]);
        assert_eq!(links.take_lost(), [Lost { peer: PEER, conn, fate: Fate::Unknown }]);
    }

    #[test]
    fn peer_that_closes_in_order_has_said_all() {
        let (mut links, conn) = established();
        assert_eq!(closed(&mut links, FROM_PEER, CloseReason::Closed), []);
        assert_eq!((links.take_lost(), links.to(PEER)), (Vec::new(), Some(conn)));
    }

    #[test]
    fn new_life_of_a_peer_replaces_the_earlier_one() {
        let (mut links, conn) = established();
        let mut out = Output::default();
        links.accepted(ConnId(3), PEER, &mut out);
        assert_eq!(out.effects(), [Effect::Close { conn }, Effect::Close { conn: FROM_PEER }]);
        assert_eq!(links.take_lost(), [Lost { peer: PEER, conn, fate: Fate::Unknown }]);
        assert_eq!(links.received(FROM_PEER), None, "the earlier life is not heard");
        assert_eq!(links.received(ConnId(3)), Some(PEER));
    }

    fn woken(links: &mut Links, at: Instant) -> Vec<Effect<Message>> {
        assert_eq!(links.next_wake(), Some(at));
        let mut out = Output::default();
        links.wake(Now { mono: at, ..NOW }, &mut out);
        out.drain().collect()
    }

    #[test]
    fn silent_peer_is_pinged_then_given_up() {
        let (mut links, conn) = established();
        let ping = Effect::Send { conn, message: Transport::Ping.into() };
        assert_eq!(woken(&mut links, NOW.mono + PATIENCE / 2), [ping]);
        let closed = [Effect::Close { conn }, Effect::Close { conn: FROM_PEER }];
        assert_eq!(woken(&mut links, NOW.mono + PATIENCE), closed);
        assert_eq!(links.take_lost(), [Lost { peer: PEER, conn, fate: Fate::Unknown }]);
        assert!(matches!(send(&mut links, PEER).as_slice(), [Effect::Dial { .. }, Effect::Send { .. }]));
    }

    #[test]
    fn peer_that_says_anything_may_be_quiet_again() {
        let (mut links, _) = established();
        woken(&mut links, NOW.mono + PATIENCE / 2);
        links.received(FROM_PEER);
        assert_eq!(links.next_wake(), None);
    }

    #[test]
    fn pong_asks_for_no_answer() {
        let (mut links, _) = established();
        links.received(FROM_PEER);
        links.send(NOW, ME, PEER, None, Transport::Pong, &mut Output::default());
        assert_eq!(links.next_wake(), None, "two quiet peers do not ping each other for ever");
    }
}
