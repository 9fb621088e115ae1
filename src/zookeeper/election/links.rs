//! Links — decides over which connection servers exchange votes. It never reads a vote.
//!
//! As `QuorumCnxManager.java`: one connection a pair, dialled by the server with the higher id; the
//! lower one's dial only says who it is, is closed, and makes the other dial back. Of the messages to one
//! peer only the newest waits for a connection.

use std::{collections::BTreeMap, time::Duration};

use super::Notice;
use crate::{
    core::{Address, ConnId, Instant, Output, Port},
    name::{HostId, HostKind},
    zookeeper::peer::{ElectionFrame, Message},
};

/// How long a dial may take (`cnxTimeout`).
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum LinkState {
    Down,
    Dialling { conn: ConnId, give_up: Instant },
    Up { conn: ConnId },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Link {
    state: LinkState,
    /// The newest message to this peer; said again on a new connection.
    newest: Option<Notice>,
}

/// The connections of one server's election port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Links {
    me: HostId,
    peers: BTreeMap<HostId, Link>,
    owners: BTreeMap<ConnId, HostId>,
}

impl Links {
    /// No connections yet.
    pub fn new(me: HostId) -> Self {
        Self { me, peers: BTreeMap::new(), owners: BTreeMap::new() }
    }

    /// Whether this connection belongs here.
    pub fn owns(&self, conn: ConnId) -> bool {
        self.owners.contains_key(&conn)
    }

    /// Sends to a peer, by the connection there is or a new one.
    pub fn send(&mut self, now: Instant, to: HostId, message: Notice, out: &mut Output<Message>) {
        assert_ne!(to, self.me, "a server has no connection to itself");
        let link = self.link(to);
        link.newest = Some(message.clone());
        match link.state {
            LinkState::Up { conn } => out.send(conn, ElectionFrame::Notification(message)),
            LinkState::Dialling { .. } => {}
            LinkState::Down => self.dial(now, to, out),
        }
    }

    /// A peer dialled this server's election port.
    pub fn accepted(&mut self, conn: ConnId, from: HostId) {
        self.owners.insert(conn, from);
    }

    /// A dial of this server succeeded: the higher id keeps the connection.
    pub fn connected(&mut self, conn: ConnId, out: &mut Output<Message>) {
        let Some(&peer) = self.owners.get(&conn) else { return };
        if self.me.number < peer.number {
            self.drop_link(peer, out);
        } else {
            self.come_up(peer, conn, out);
        }
    }

    /// A peer said who it is, on a connection that it dialled.
    pub fn greeted(&mut self, now: Instant, conn: ConnId, peer: HostId, out: &mut Output<Message>) {
        self.owners.remove(&conn);
        if peer == self.me || peer.kind != HostKind::ZooKeeper || peer.number == 0 {
            out.close(conn);
        } else if peer.number < self.me.number {
            out.close(conn);
            self.dial_back(now, peer, out);
        } else {
            self.drop_link(peer, out);
            self.owners.insert(conn, peer);
            self.come_up(peer, conn, out);
        }
    }

    /// Who speaks on this connection, if it is the one in use.
    pub fn speaker(&self, conn: ConnId) -> Option<HostId> {
        let peer = *self.owners.get(&conn)?;
        (self.peers.get(&peer)?.state == LinkState::Up { conn }).then_some(peer)
    }

    /// A connection ended, or a dial failed.
    pub fn closed(&mut self, conn: ConnId) {
        let Some(peer) = self.owners.remove(&conn) else { return };
        if let Some(link) = self.peers.get_mut(&peer)
            && link.conn() == Some(conn)
        {
            link.state = LinkState::Down;
        }
    }

    /// Gives up dials that take too long.
    pub fn wake(&mut self, now: Instant, out: &mut Output<Message>) {
        let overdue = |link: &Link| link.give_up().is_some_and(|at| now >= at);
        let stuck: Vec<HostId> =
            self.peers.iter().filter(|(_, link)| overdue(link)).map(|(peer, _)| *peer).collect();
        for peer in stuck {
            self.drop_link(peer, out);
        }
    }

    /// When [`Links::wake`] has something to do.
    pub fn next_wake(&self) -> Option<Instant> {
        self.peers.values().filter_map(Link::give_up).min()
    }

    /// A lower server called: whatever connection stood is finished, and a new one dialled
    /// (`receiveConnection`). A dial under way serves as well.
    fn dial_back(&mut self, now: Instant, peer: HostId, out: &mut Output<Message>) {
        if matches!(self.link(peer).state, LinkState::Dialling { .. }) {
            return;
        }
        self.drop_link(peer, out);
        self.dial(now, peer, out);
    }

    fn dial(&mut self, now: Instant, peer: HostId, out: &mut Output<Message>) {
        let conn = out.dial(Address { host: peer, port: Port::ZkElection });
        out.send(conn, ElectionFrame::Hello { server: self.me });
        self.owners.insert(conn, peer);
        self.link(peer).state = LinkState::Dialling { conn, give_up: now + DIAL_TIMEOUT };
    }

    fn come_up(&mut self, peer: HostId, conn: ConnId, out: &mut Output<Message>) {
        let link = self.link(peer);
        link.state = LinkState::Up { conn };
        if let Some(message) = link.newest.clone() {
            out.send(conn, ElectionFrame::Notification(message));
        }
    }

    fn drop_link(&mut self, peer: HostId, out: &mut Output<Message>) {
        let link = self.link(peer);
        let conn = link.conn();
        link.state = LinkState::Down;
        if let Some(conn) = conn {
            self.owners.remove(&conn);
            out.close(conn);
        }
    }

    fn link(&mut self, peer: HostId) -> &mut Link {
        self.peers.entry(peer).or_insert(Link { state: LinkState::Down, newest: None })
    }
}

impl Link {
    fn conn(&self) -> Option<ConnId> {
        match self.state {
            LinkState::Down => None,
            LinkState::Dialling { conn, .. } | LinkState::Up { conn } => Some(conn),
        }
    }

    fn give_up(&self) -> Option<Instant> {
        match self.state {
            LinkState::Dialling { give_up, .. } => Some(give_up),
            LinkState::Down | LinkState::Up { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::Effect,
        name::{Epoch, Zxid},
        zookeeper::{
            election::{Notification, PeerState, Vote},
            membership::Membership,
            wire::EnsembleConfig,
        },
    };

    fn zk(number: u16) -> HostId {
        HostId::zookeeper(number)
    }

    fn notification(round: u64) -> Notice {
        let vote = Vote { leader: zk(2), zxid: Zxid(0), peer_epoch: Epoch(0) };
        let notification = Notification { vote, round, state: PeerState::Looking };
        Notice { notification, configuration: Membership::initial(&EnsembleConfig::default()) }
    }

    /// The links of server 2 of three.
    fn links() -> (Links, Output<Message>) {
        (Links::new(zk(2)), Output::new(0))
    }

    fn sent(out: &mut Output<Message>) -> Vec<(ConnId, Message)> {
        let send = |effect| match effect {
            Effect::Send { conn, message } => Some((conn, message)),
            _ => None,
        };
        out.drain().filter_map(send).collect()
    }

    fn vote_on(conn: ConnId, round: u64) -> (ConnId, Message) {
        (conn, ElectionFrame::Notification(notification(round)).into())
    }

    /// "one message per peer, newest replaces".
    #[test]
    fn only_the_newest_vote_waits_for_the_connection() {
        let (mut links, mut out) = links();
        for round in 1..=3 {
            links.send(Instant(0), zk(1), notification(round), &mut out);
        }
        let hello = (ConnId(0), ElectionFrame::Hello { server: zk(2) }.into());
        assert_eq!(sent(&mut out), [hello], "one dial, no vote yet");
        links.connected(ConnId(0), &mut out);
        assert_eq!(sent(&mut out), [vote_on(ConnId(0), 3)]);
        assert_eq!(links.speaker(ConnId(0)), Some(zk(1)));
    }

    /// "the higher sid keeps the connection of a pair, else it is closed and dialled back".
    #[test]
    fn dial_to_a_higher_server_only_says_hello() {
        let (mut links, mut out) = links();
        links.send(Instant(0), zk(3), notification(1), &mut out);
        links.connected(ConnId(0), &mut out);
        assert!(out.effects().contains(&Effect::Close { conn: ConnId(0) }));
        sent(&mut out);
        links.accepted(ConnId(7), zk(3));
        links.greeted(Instant(0), ConnId(7), zk(3), &mut out);
        assert_eq!(sent(&mut out), [vote_on(ConnId(7), 1)]);
        assert_eq!(links.speaker(ConnId(7)), Some(zk(3)));
    }

    #[test]
    fn call_of_a_lower_server_is_dialled_back() {
        let (mut links, mut out) = links();
        links.accepted(ConnId(7), zk(1));
        links.greeted(Instant(0), ConnId(7), zk(1), &mut out);
        assert_eq!(out.effects()[0], Effect::Close { conn: ConnId(7) });
        assert!(matches!(out.effects()[1], Effect::Dial { to: Address { host, .. }, .. } if host == zk(1)));
        assert_eq!(links.speaker(ConnId(7)), None);
    }

    #[test]
    fn new_connection_replaces_one_that_is_dead_unnoticed() {
        let (mut links, mut out) = links();
        for conn in [ConnId(7), ConnId(9)] {
            links.accepted(conn, zk(3));
            links.greeted(Instant(0), conn, zk(3), &mut out);
        }
        assert_eq!((links.speaker(ConnId(7)), links.speaker(ConnId(9))), (None, Some(zk(3))));
        assert!(out.effects().contains(&Effect::Close { conn: ConnId(7) }));
        links.closed(ConnId(7));
        assert_eq!(links.speaker(ConnId(9)), Some(zk(3)));
    }

    /// "connect timeout 5 s".
    #[test]
    fn dial_into_silence_is_given_up_and_tried_again_with_the_next_vote() {
        let (mut links, mut out) = links();
        links.send(Instant(0), zk(1), notification(1), &mut out);
        let due = links.next_wake().unwrap();
        assert_eq!(due.since(Instant(0)), DIAL_TIMEOUT);
        links.wake(due, &mut out);
        assert!(out.effects().contains(&Effect::Close { conn: ConnId(0) }));
        sent(&mut out);
        links.send(due, zk(1), notification(2), &mut out);
        assert!(out.effects().iter().any(|effect| matches!(effect, Effect::Dial { .. })));
    }
}
