//! Acknowledgements — decides when a change counts as applied by all nodes that must have applied it, and which
//! nodes lag behind. It never decides what changes.
//!
//! As Elasticsearch's `AckCountDownListener`: a change is acknowledged when every node of the state that brought
//! it has said that it has applied that state or a later one; a node that leaves before, or time, makes it
//! `acknowledged: false` although it is written.

use std::{collections::BTreeMap, time::Duration};

use super::{coordination::Position, state::NodeEntry};
use crate::{
    core::Instant,
    name::{HostId, SessionId},
};

/// What a node has said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The newest state it has applied.
    pub state: Position,
    /// The version of the settings it goes by.
    pub settings: u64,
}

/// Changes that wait for nodes; `T` is what is to be answered.
#[derive(Debug)]
pub struct Acknowledgements<T> {
    applied: BTreeMap<HostId, (SessionId, Applied)>,
    waiting: Vec<Waiting<T>>,
    /// The last published state, and when each node must have applied it to count as level.
    lag: Option<(Position, Instant)>,
    lagging: BTreeMap<HostId, SessionId>,
}

/// A change that waits.
#[derive(Debug)]
struct Waiting<T> {
    what: T,
    state: Position,
    nodes: BTreeMap<HostId, SessionId>,
    has_failed: bool,
    deadline: Instant,
}

impl<T> Default for Acknowledgements<T> {
    fn default() -> Self {
        Self { applied: BTreeMap::new(), waiting: Vec::new(), lag: None, lagging: BTreeMap::new() }
    }
}

impl<T> Acknowledgements<T> {
    /// A state was written that these nodes are to apply. `lag`: how long that may take. A node that is behind an
    /// earlier state already has its time running.
    pub fn published(
        &mut self,
        state: Position,
        nodes: &BTreeMap<HostId, NodeEntry>,
        now: Instant,
        lag: Duration,
    ) {
        let is_running = self.lag.is_some_and(|(earlier, _)| self.behind(earlier, nodes).next().is_some());
        if !is_running {
            self.lag = Some((state, now + lag));
        }
    }

    /// Nodes that have not said that they have applied this state.
    fn behind<'a>(
        &'a self,
        state: Position,
        nodes: &'a BTreeMap<HostId, NodeEntry>,
    ) -> impl Iterator<Item = (HostId, SessionId)> + 'a {
        let is_level = move |host: &HostId, session: SessionId| {
            self.applied.get(host).is_some_and(|(of, said)| *of == session && said.state >= state)
        };
        let behind = nodes.iter().filter(move |(host, entry)| !is_level(host, entry.session));
        behind.map(|(host, entry)| (*host, entry.session))
    }

    /// Has `what` wait until all these nodes have applied this state.
    pub fn wait(&mut self, what: T, state: Position, nodes: &BTreeMap<HostId, NodeEntry>, deadline: Instant) {
        let nodes = nodes.iter().map(|(host, entry)| (*host, entry.session)).collect();
        self.waiting.push(Waiting { what, state, nodes, has_failed: false, deadline });
    }

    /// A node says how far it is.
    pub fn heard(&mut self, from: HostId, session: SessionId, applied: Applied) {
        let newest =
            self.applied.get(&from).filter(|(of, said)| *of == session && said.state > applied.state);
        if newest.is_none() {
            self.applied.insert(from, (session, applied));
        }
    }

    /// Who is there now: others will not say anything more.
    pub fn members(&mut self, nodes: &BTreeMap<HostId, NodeEntry>) {
        let is_there =
            |host: &HostId, session: SessionId| nodes.get(host).is_some_and(|entry| entry.session == session);
        self.applied.retain(|host, (session, _)| is_there(host, *session));
        self.lagging.retain(|host, session| is_there(host, *session));
        for waiting in &mut self.waiting {
            let before = waiting.nodes.len();
            waiting.nodes.retain(|host, session| is_there(host, *session));
            waiting.has_failed |= waiting.nodes.len() < before;
        }
    }

    /// What has waited long enough, in the order it came, each with whether it is acknowledged.
    pub fn take_done(&mut self, now: Instant) -> Vec<(T, bool)> {
        for waiting in &mut self.waiting {
            let state = waiting.state;
            waiting.nodes.retain(|host, session| {
                !self.applied.get(host).is_some_and(|(of, said)| of == session && said.state >= state)
            });
        }
        let is_over = |waiting: &mut Waiting<T>| waiting.nodes.is_empty() || waiting.deadline <= now;
        let done = self.waiting.extract_if(.., is_over);
        done.map(|waiting| (waiting.what, waiting.nodes.is_empty() && !waiting.has_failed)).collect()
    }

    /// What still waits.
    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter().map(|waiting| &waiting.what)
    }

    /// Nodes that have begun to lag: time is up, and they have not applied what was published before.
    pub fn take_laggards(
        &mut self,
        nodes: &BTreeMap<HostId, NodeEntry>,
        now: Instant,
    ) -> Vec<(HostId, Position)> {
        let Some((state, due)) = self.lag else { return Vec::new() };
        let behind: BTreeMap<HostId, SessionId> = self.behind(state, nodes).collect();
        self.lagging.retain(|host, _| behind.contains_key(host));
        if behind.is_empty() || due <= now {
            self.lag = None;
        }
        let new = behind.into_iter().filter(|(host, _)| due <= now && !self.lagging.contains_key(host));
        let new: Vec<_> = new.collect();
        self.lagging.extend(new.iter().copied());
        new.into_iter().map(|(host, _)| (host, state)).collect()
    }

    /// What a node has said last, and whether it lags.
    pub fn standing(&self, host: HostId) -> (Option<Applied>, bool) {
        let applied = self.applied.get(&host).map(|(_, said)| *said);
        (applied, self.lagging.contains_key(&host))
    }

    /// When it wants to be asked again.
    pub fn next_wake(&self) -> Option<Instant> {
        let deadlines = self.waiting.iter().map(|waiting| waiting.deadline);
        deadlines.chain(self.lag.map(|(_, due)| due)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Epoch;

    const A: HostId = HostId::search(1);
    const B: HostId = HostId::search(2);
    const LAG: Duration = Duration::from_secs(90);

    fn nodes(sessions: &[(HostId, u64)]) -> BTreeMap<HostId, NodeEntry> {
        let entry = |session| NodeEntry::new(SessionId(session), "a");
        sessions.iter().map(|(host, session)| (*host, entry(*session))).collect()
    }

    fn applied(version: u64) -> Applied {
        Applied { state: at(version), settings: 0 }
    }

    fn at(version: u64) -> Position {
        Position { epoch: Epoch(1), version }
    }

    /// A change in state 5 waits for A and B until 30 ns.
    fn waiting() -> Acknowledgements<char> {
        let mut acks = Acknowledgements::default();
        acks.wait('x', at(5), &nodes(&[(A, 1), (B, 2)]), Instant(30));
        acks
    }

    /// SEARCH-DEFECTS A8: a change is not acknowledged before everybody has applied it.
    #[test]
    fn change_is_acknowledged_when_every_node_has_applied_it() {
        let mut acks = waiting();
        acks.heard(A, SessionId(1), applied(5));
        acks.heard(B, SessionId(2), applied(4));
        assert_eq!(acks.take_done(Instant(29)), []);
        acks.heard(B, SessionId(2), applied(6));
        assert_eq!(acks.take_done(Instant(29)), [('x', true)]);
    }

    #[test]
    fn change_that_a_node_has_not_applied_in_time_is_not_acknowledged() {
        let mut acks = waiting();
        acks.heard(A, SessionId(1), applied(5));
        assert_eq!(acks.next_wake(), Some(Instant(30)));
        assert_eq!(acks.take_done(Instant(30)), [('x', false)]);
    }

    #[test]
    fn change_is_not_acknowledged_if_a_node_leaves_first() {
        let mut acks = waiting();
        acks.heard(A, SessionId(1), applied(5));
        acks.members(&nodes(&[(A, 1), (B, 3)]));
        assert_eq!(acks.take_done(Instant(1)), [('x', false)]);
    }

    #[test]
    fn what_an_earlier_life_applied_does_not_count() {
        let mut acks = waiting();
        acks.heard(A, SessionId(1), applied(5));
        acks.heard(B, SessionId(1), applied(9));
        assert_eq!(acks.take_done(Instant(1)), []);
    }

    #[test]
    fn late_word_of_an_older_state_takes_nothing_back() {
        let mut acks = waiting();
        acks.heard(A, SessionId(1), applied(6));
        acks.heard(A, SessionId(1), applied(4));
        assert_eq!(acks.standing(A), (Some(applied(6)), false));
    }

    /// "lagging node" (`cluster.follower_lag.timeout`)
    #[test]
    fn node_that_stays_behind_lags_until_it_has_caught_up() {
        let (mut acks, members) = (Acknowledgements::<()>::default(), nodes(&[(A, 1), (B, 2)]));
        acks.published(at(5), &members, Instant(0), LAG);
        acks.heard(A, SessionId(1), applied(5));
        acks.published(at(6), &members, Instant(0) + LAG / 2, LAG);
        assert_eq!(acks.take_laggards(&members, Instant(0) + LAG / 2), []);
        assert_eq!(acks.take_laggards(&members, Instant(0) + LAG), [(B, at(5))]);
        assert!(acks.standing(B).1);
        acks.heard(B, SessionId(2), applied(6));
        acks.published(at(7), &members, Instant(0) + LAG, LAG);
        acks.heard(A, SessionId(1), applied(7));
        acks.heard(B, SessionId(2), applied(7));
        assert_eq!(acks.take_laggards(&members, Instant(0) + LAG), []);
        assert!(!acks.standing(B).1);
        assert_eq!(acks.next_wake(), None, "nobody waits for anything");
    }
}
