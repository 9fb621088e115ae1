//! Hosts — decides which server a client dials next. It never dials.
//!
//! The order and the rebalancing after a change of the list are those of `StaticHostProvider.java`.

use super::timing::Round;
use crate::{core::Entropy, name::HostId};

/// The servers of a client, in its own order.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    servers: Vec<HostId>,
    current: Option<usize>,
    /// The server of the last connection, or the first one: back at it, a round is over.
    last: Option<usize>,
    moving: Option<Moving>,
}

/// The list has changed, and the client looks for another server by way of it.
#[derive(Debug, Clone)]
struct Moving {
    /// Servers that were in the former list too, and those that were not; not tried yet, in this order.
    old: Vec<HostId>,
    new: Vec<HostId>,
    /// The probability of taking a new one.
    to_new: f64,
}

impl Hosts {
    /// These servers, shuffled.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub(super) fn new(mut servers: Vec<HostId>, entropy: &mut Entropy) -> Self {
        assert!(!servers.is_empty(), "a client needs a server to dial");
        entropy.shuffle(&mut servers);
        Self { servers, current: None, last: None, moving: None }
    }

    /// The same servers for a new session, shuffled again.
    pub(super) fn start_over(&mut self, entropy: &mut Entropy) {
        *self = Self::new(std::mem::take(&mut self.servers), entropy);
    }

    pub(super) fn len(&self) -> usize {
        self.servers.len()
    }

    /// The server to dial next.
    pub(super) fn next(&mut self, entropy: &mut Entropy) -> (HostId, Round) {
        let was_moving = self.moving.is_some();
        if let Some(server) = self.moving.as_mut().and_then(|moving| moving.next(entropy)) {
            self.current = self.servers.iter().position(|other| *other == server);
            return (server, Round::GoesOn);
        }
        self.moving = None;
        let at = self.current.map_or(0, |at| (at + 1) % self.servers.len());
        self.current = Some(at);
        let round = if was_moving || self.last == Some(at) { Round::IsOver } else { Round::GoesOn };
        self.last.get_or_insert(0);
        (self.servers[at], round)
    }

    /// A session was attached on the server dialled last.
    pub(super) fn connected(&mut self) {
        self.last = self.current;
        self.moving = None;
    }

    /// Takes a new list, and decides whether the client has to leave `server`, where it is, so that all
    /// clients together load the servers evenly.
    ///
    /// # Panics
    ///
    /// If the list is empty.
    pub(super) fn update(
        &mut self,
        mut servers: Vec<HostId>,
        server: Option<HostId>,
        entropy: &mut Entropy,
    ) -> bool {
        assert!(!servers.is_empty(), "a client needs a server to dial");
        entropy.shuffle(&mut servers);
        let mine = if self.moving.is_some() { Some(self.next(entropy).0) } else { server };
        let mine = mine.unwrap_or_else(|| self.servers[self.last.unwrap_or(0)]);
        let is_known = |server: &HostId| self.servers.contains(server);
        let (old, new): (Vec<_>, Vec<_>) = servers.iter().copied().partition(is_known);
        let to_new =
            chance_of_new(self.servers.len(), old.len(), new.len(), servers.contains(&mine), entropy);
        let current = self.current.map(|at| self.servers[at]);
        self.moving = to_new.map(|to_new| Moving { old, new, to_new });
        self.current = match self.moving {
            Some(_) => None,
            None => servers.iter().position(|server| Some(*server) == current),
        };
        (self.servers, self.last) = (servers, self.current);
        self.moving.is_some()
    }
}

/// The probability with which a client that has to move takes a new server; none: it stays
/// (`StaticHostProvider.updateServerList`).
fn chance_of_new(before: usize, old: usize, new: usize, stays: bool, entropy: &mut Entropy) -> Option<f64> {
    let after = (old + new) as f64;
    match (old + new > before, stays) {
        (true, true) => (fraction(entropy) <= 1.0 - before as f64 / after).then_some(1.0),
        (true, false) => Some(1.0),
        (false, true) => None,
        (false, false) => {
            let to_old = (old as f64 * (before as f64 - after)) / (after * (before - old) as f64);
            Some(1.0 - to_old)
        }
    }
}

/// A number from 0 up to 1.
fn fraction(entropy: &mut Entropy) -> f64 {
    (entropy.draw() >> 11) as f64 / (1_u64 << 53) as f64
}

impl Moving {
    fn next(&mut self, entropy: &mut Entropy) -> Option<HostId> {
        let takes_new = fraction(entropy) <= self.to_new;
        let list = match takes_new || self.old.is_empty() {
            true if !self.new.is_empty() => &mut self.new,
            _ => &mut self.old,
        };
        (!list.is_empty()).then(|| list.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn servers(numbers: impl IntoIterator<Item = u16>) -> Vec<HostId> {
        numbers.into_iter().map(HostId::zookeeper).collect()
    }

    fn hosts(count: u16, seed: u64) -> (Hosts, Entropy) {
        let mut entropy = Entropy::new(seed);
        (Hosts::new(servers(1..=count), &mut entropy), entropy)
    }

    #[test]
    fn each_client_has_an_order_of_its_own() {
        let first = |seed| hosts(5, seed).0.servers[0];
        assert_eq!((0..100).map(first).collect::<BTreeSet<_>>().len(), 5);
    }

    /// `needToSleep = currentIndex == lastIndex`, and "We don't want to sleep on the first ever connect
    /// attempt"
    #[test]
    fn round_is_over_when_the_first_server_comes_again() {
        let (mut hosts, mut entropy) = hosts(3, 1);
        let rounds: Vec<_> = (0..7).map(|_| hosts.next(&mut entropy).1).collect();
        use Round::{GoesOn, IsOver};
        assert_eq!(rounds, [GoesOn, GoesOn, GoesOn, IsOver, GoesOn, GoesOn, IsOver]);
    }

    /// `onConnected`: `lastIndex = currentIndex`
    #[test]
    fn round_is_over_when_the_server_that_was_lost_comes_again() {
        let (mut hosts, mut entropy) = hosts(3, 1);
        hosts.next(&mut entropy);
        let lost = hosts.next(&mut entropy).0;
        hosts.connected();
        let rounds: Vec<_> = (0..3).map(|_| hosts.next(&mut entropy)).collect();
        assert_eq!(
            rounds.iter().map(|(_, round)| *round == Round::IsOver).collect::<Vec<_>>(),
            [false, false, true]
        );
        assert_eq!(rounds[2].0, lost);
    }

    #[test]
    fn only_server_is_a_round_by_itself() {
        let (mut hosts, mut entropy) = hosts(1, 1);
        assert_eq!(hosts.next(&mut entropy).1, Round::GoesOn);
        hosts.connected();
        assert_eq!(hosts.next(&mut entropy).1, Round::IsOver);
    }

    /// After a change every server has the same number of clients again, as far as chance goes.
    #[test]
    fn growing_from_three_to_five_moves_two_in_five_to_the_new_ones() {
        let mut on_new = 0;
        for seed in 0..2_000 {
            let (mut hosts, mut entropy) = hosts(3, seed);
            let mine = hosts.next(&mut entropy).0;
            hosts.connected();
            if hosts.update(servers(1..=5), Some(mine), &mut entropy) {
                assert!(hosts.next(&mut entropy).0.number > 3, "a client that moves takes a new server");
                on_new += 1;
            }
        }
        assert!((700..900).contains(&on_new), "{on_new} of 2000 moved");
    }

    #[test]
    fn shrinking_leaves_those_alone_whose_server_stays() {
        let (mut hosts, mut entropy) = hosts(5, 1);
        let mine = hosts.next(&mut entropy).0;
        hosts.connected();
        let others: Vec<u16> = (1..=5).filter(|number| *number != mine.number).collect();
        assert!(!hosts.clone().update(
            servers([mine.number, others[0], others[1]]),
            Some(mine),
            &mut entropy
        ));
        assert!(hosts.update(servers(others[..3].to_vec()), Some(mine), &mut entropy));
        assert!(others[..3].contains(&hosts.next(&mut entropy).0.number));
    }

    #[test]
    fn every_server_of_a_new_list_is_tried_before_a_pause() {
        let (mut hosts, mut entropy) = hosts(3, 1);
        let mine = hosts.next(&mut entropy).0;
        hosts.connected();
        assert!(hosts.update(servers(4..=6), Some(mine), &mut entropy));
        let tried: Vec<_> = (0..4).map(|_| hosts.next(&mut entropy)).collect();
        let names: BTreeSet<_> = tried[..3].iter().map(|(server, _)| *server).collect();
        assert_eq!(names.len(), 3);
        assert_eq!(tried[3].1, Round::IsOver);
    }
}
