//! Links — decides when what one server of the process says reaches another. It never looks at what is said.
//!
//! Servers of one process are not linked by sockets but by queues, one each way, that keep order as TCP
//! does. What is said over a cut waits until it is healed; a queue that grows too long breaks its link.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    core::{Address, CloseReason, ConnId, Input, Port},
    name::HostId,
};

/// Messages that may wait on one link in one direction: more, and it breaks as a connection whose buffers
/// are full for too long.
const WAITING_MAX: usize = 100_000;

/// Whether a server can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It runs.
    Up,
    /// It is held: what is sent to it waits.
    Paused,
    /// Nobody listens there.
    Down,
}

/// The servers at the ends of links.
pub(super) trait Hosts<M> {
    /// Whether a server can be reached.
    fn reach(&self, host: HostId) -> Reach;
    /// A fresh number for a connection that a server accepts.
    fn accept(&mut self, host: HostId) -> ConnId;
    /// Gives a server an input.
    fn give(&mut self, host: HostId, input: Input<M>);
}

/// What is on its way to one end.
#[derive(Debug)]
enum Item<M> {
    Dialled(Port),
    Connected,
    Message(M),
    Ended(CloseReason),
}

/// One end of a link.
#[derive(Debug)]
struct End<M> {
    host: HostId,
    /// None before it has accepted.
    conn: Option<ConnId>,
    /// Whether it has closed its end.
    is_gone: bool,
    /// On the way to it.
    queue: VecDeque<Item<M>>,
}

impl<M> End<M> {
    fn new(host: HostId, conn: Option<ConnId>) -> Self {
        Self { host, conn, is_gone: false, queue: VecDeque::new() }
    }
}

/// All links of the process.
#[derive(Debug)]
pub(super) struct Links<M> {
    /// Who dialled first, then who was dialled.
    lines: BTreeMap<u64, [End<M>; 2]>,
    by_end: BTreeMap<(HostId, ConnId), (u64, usize)>,
    cuts: BTreeSet<(HostId, HostId)>,
    next: u64,
}

impl<M> Links<M> {
    /// No links, nothing cut.
    pub(super) fn new() -> Self {
        Self { lines: BTreeMap::new(), by_end: BTreeMap::new(), cuts: BTreeSet::new(), next: 0 }
    }

    /// Begins a connection.
    pub(super) fn dial(&mut self, from: HostId, conn: ConnId, to: Address) {
        let mut ends = [End::new(from, Some(conn)), End::new(to.host, None)];
        ends[1].queue.push_back(Item::Dialled(to.port));
        self.by_end.insert((from, conn), (self.next, 0));
        self.lines.insert(self.next, ends);
        self.next += 1;
    }

    /// Sends on a connection; nothing happens if it has ended.
    pub(super) fn send(&mut self, from: HostId, conn: ConnId, message: M) {
        let Some((line, side)) = self.by_end.get(&(from, conn)) else { return };
        let ends = self.lines.get_mut(line).expect("an end belongs to a line");
        let other = &mut ends[1 - side];
        other.queue.push_back(Item::Message(message));
        if other.queue.len() > WAITING_MAX {
            for end in ends {
                end.queue = VecDeque::from([Item::Ended(CloseReason::Reset)]);
            }
        }
    }

    /// Ends a connection behind what was sent on it.
    pub(super) fn close(&mut self, from: HostId, conn: ConnId) {
        self.leave(from, conn, CloseReason::Closed);
    }

    /// Ends all connections of a server. After a reset, what was on its way is lost.
    pub(super) fn end_all(&mut self, host: HostId, reason: CloseReason) {
        let conns: Vec<_> =
            self.by_end.keys().filter(|(owner, _)| *owner == host).map(|(_, conn)| *conn).collect();
        conns.into_iter().for_each(|conn| self.leave(host, conn, reason));
    }

    fn leave(&mut self, from: HostId, conn: ConnId, reason: CloseReason) {
        let Some((line, side)) = self.by_end.remove(&(from, conn)) else { return };
        let ends = self.lines.get_mut(&line).expect("an end belongs to a line");
        ends[side].is_gone = true;
        ends[side].queue.clear();
        let other = &mut ends[1 - side];
        if reason == CloseReason::Reset || other.conn.is_none() {
            other.queue.clear();
        }
        other.queue.push_back(Item::Ended(reason));
        if other.is_gone || other.conn.is_none() {
            self.lines.remove(&line);
        }
    }

    /// Lets nothing through between two servers.
    pub(super) fn cut(&mut self, one: HostId, other: HostId) {
        self.cuts.insert((one.min(other), one.max(other)));
    }

    /// Lets everything through again.
    pub(super) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// What is cut.
    pub(super) fn cuts(&self) -> impl Iterator<Item = (HostId, HostId)> {
        self.cuts.iter().copied()
    }

    /// Delivers whatever can be delivered; whether anything was.
    pub(super) fn deliver(&mut self, hosts: &mut impl Hosts<M>) -> bool {
        let mut any = false;
        let lines: Vec<u64> = self.lines.keys().copied().collect();
        for line in lines {
            for side in [0, 1] {
                while let Some(item) = self.next_item(line, side, hosts) {
                    any = true;
                    self.arrive(line, side, item, hosts);
                }
            }
        }
        any
    }

    fn next_item(&mut self, line: u64, side: usize, hosts: &impl Hosts<M>) -> Option<Item<M>> {
        let ends = self.lines.get_mut(&line)?;
        let (one, other) = (ends[0].host, ends[1].host);
        let is_cut = self.cuts.contains(&(one.min(other), one.max(other)));
        if is_cut || hosts.reach(ends[side].host) == Reach::Paused {
            return None;
        }
        ends[side].queue.pop_front()
    }

    fn arrive(&mut self, line: u64, side: usize, item: Item<M>, hosts: &mut impl Hosts<M>) {
        let ends = self.lines.get_mut(&line).expect("an item was on this line");
        let host = ends[side].host;
        if ends[side].is_gone {
            return;
        }
        let input = match (item, ends[side].conn) {
            (Item::Dialled(_), _) if hosts.reach(host) == Reach::Down => {
                return self.refuse(line);
            }
            (Item::Dialled(port), _) => {
                let (conn, from) = (hosts.accept(host), ends[0].host);
                ends[1].conn = Some(conn);
                ends[0].queue.push_back(Item::Connected);
                self.by_end.insert((host, conn), (line, 1));
                Input::Accepted { conn, from, port }
            }
            (Item::Connected, Some(conn)) => Input::Connected { conn },
            (Item::Message(message), Some(conn)) => Input::Received { conn, message },
            (Item::Ended(reason), Some(conn)) => {
                self.by_end.remove(&(host, conn));
                ends[side].is_gone = true;
                if ends[1 - side].is_gone || ends[1 - side].conn.is_none() {
                    self.lines.remove(&line);
                }
                Input::Closed { conn, reason }
            }
            (_, None) => return,
        };
        hosts.give(host, input);
    }

    /// The dialler is told that nobody listens.
    fn refuse(&mut self, line: u64) {
        let ends = self.lines.get_mut(&line).expect("a dial was on this line");
        ends[1].queue.clear();
        ends[0].queue.push_back(Item::Ended(CloseReason::Refused));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId::zookeeper(1);
    const B: HostId = HostId::zookeeper(2);
    const DIALLED: ConnId = ConnId(2);
    const ACCEPTED: ConnId = ConnId(1);

    /// Two servers, one of which may be out of reach.
    struct Two {
        b: Reach,
        given: Vec<(HostId, Input<u8>)>,
    }

    impl Hosts<u8> for Two {
        fn reach(&self, host: HostId) -> Reach {
            if host == B { self.b } else { Reach::Up }
        }

        fn accept(&mut self, _: HostId) -> ConnId {
            ACCEPTED
        }

        fn give(&mut self, host: HostId, input: Input<u8>) {
            self.given.push((host, input));
        }
    }

    impl Two {
        fn after(&mut self, links: &mut Links<u8>) -> Vec<(HostId, Input<u8>)> {
            while links.deliver(self) {}
            std::mem::take(&mut self.given)
        }
    }

    fn dialled(b: Reach) -> (Links<u8>, Two) {
        let mut links = Links::new();
        links.dial(A, DIALLED, Address { host: B, port: Port::ZkQuorum });
        links.send(A, DIALLED, 7);
        (links, Two { b, given: Vec::new() })
    }

    fn received(conn: ConnId, message: u8) -> Input<u8> {
        Input::Received { conn, message }
    }

    #[test]
    fn what_is_sent_while_dialling_follows_the_dial() {
        let (mut links, mut two) = dialled(Reach::Up);
        let accepted = Input::Accepted { conn: ACCEPTED, from: A, port: Port::ZkQuorum };
        let connected = Input::Connected { conn: DIALLED };
        let all = two.after(&mut links);
        assert_eq!(all, [(B, accepted), (B, received(ACCEPTED, 7)), (A, connected)]);
        links.send(B, ACCEPTED, 8);
        links.close(B, ACCEPTED);
        links.send(B, ACCEPTED, 9);
        let closed = Input::Closed { conn: DIALLED, reason: CloseReason::Closed };
        assert_eq!(two.after(&mut links), [(A, received(DIALLED, 8)), (A, closed)]);
        assert!(links.lines.is_empty() && links.by_end.is_empty());
    }

    #[test]
    fn dial_of_a_server_that_is_down_is_refused() {
        let (mut links, mut two) = dialled(Reach::Down);
        let refused = Input::Closed { conn: DIALLED, reason: CloseReason::Refused };
        assert_eq!(two.after(&mut links), [(A, refused)]);
        assert!(links.lines.is_empty() && links.by_end.is_empty());
    }

    #[test]
    fn nothing_passes_a_cut_and_everything_after_it_is_healed() {
        let (mut links, mut two) = dialled(Reach::Up);
        links.cut(B, A);
        assert_eq!(two.after(&mut links), []);
        links.heal();
        assert_eq!(two.after(&mut links).len(), 3);
    }

    #[test]
    fn paused_server_hears_later_and_a_reset_loses_what_was_on_its_way() {
        let (mut links, mut two) = dialled(Reach::Up);
        two.after(&mut links);
        two.b = Reach::Paused;
        links.send(A, DIALLED, 8);
        assert_eq!(two.after(&mut links), []);
        links.end_all(A, CloseReason::Reset);
        two.b = Reach::Up;
        let reset = Input::Closed { conn: ACCEPTED, reason: CloseReason::Reset };
        assert_eq!(two.after(&mut links), [(B, reset)]);
    }

    #[test]
    fn link_on_which_too_much_waits_breaks_at_both_ends() {
        let (mut links, mut two) = dialled(Reach::Up);
        two.after(&mut links);
        links.cut(A, B);
        (0..=WAITING_MAX).for_each(|_| links.send(A, DIALLED, 8));
        links.heal();
        let reset = |conn| Input::Closed { conn, reason: CloseReason::Reset };
        assert_eq!(two.after(&mut links), [(A, reset(DIALLED)), (B, reset(ACCEPTED))]);
        assert!(links.lines.is_empty() && links.by_end.is_empty());
    }
}
