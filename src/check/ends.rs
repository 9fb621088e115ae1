//! Ends — decides whether a session whose client is gone is closed in the end. It never judges one that ended early.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    check::{
        calm::Calm,
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, Point, clock, listed, undecided},
    },
    event::{Event, EventKind},
    name::{Epoch, HostId, SessionId, SimTime},
};

pub(super) const ENDS: Law = Law {
    name: "session.ends",
    sentence: "A session whose client is gone, silent, or in another session is closed: when its timeout and the derived \
               bound are over, the leader's database has it no more.",
    source: "ZooKeeper programmer's guide, sessions: the cluster expires a session that it has not heard of for its \
             timeout; SessionTrackerImpl.java, LearnerSessionTracker.java; ZOOKEEPER-1367, ZOOKEEPER-1496",
    monitor: || Box::<Ends>::default(),
};

/// The database is what the leader's events say that it holds, so that a session counts however it came there, and a
/// closing too: in a snapshot, by a synchronisation, from the log.
///
/// Allowed: whatever time the cluster has to settle (`Calm`), and a session's timeout and half of that bound since its
/// client was last there, and since the leader was established, for that one's deadlines begin anew. Half of the bound
/// is for the tick that deadlines are rounded up to, the followers' next word to the leader of whom they have heard, a
/// leader's slow clock, and the commit: the bound has the longest timeout and its ticks twice, and the limits of the
/// ensemble beside. A client that lives and has no other session may keep it without a word to anyone, as far as the
/// record goes, and a session of which no opening was told, or that one server keeps to itself, is not judged. Neither
/// is one whose client could not be told of the end while links are cut, nor any where nobody leads at the end.
#[derive(Default)]
struct Ends {
    calm: Calm,
    leader: Option<(Epoch, HostId, SimTime)>,
    databases: BTreeMap<HostId, BTreeSet<SessionId>>,
    timeouts: BTreeMap<SessionId, Duration>,
    clients: BTreeMap<SessionId, Client>,
}

/// Who has a session, if anybody was ever told of it.
#[derive(Debug, Clone, Copy)]
struct Client {
    host: Option<HostId>,
    /// Since when its client is gone, and why.
    gone: Option<(SimTime, Gone)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    Down,
    Paused,
    Elsewhere,
    Told,
    Unknown,
}

impl Gone {
    fn word(self) -> &'static str {
        match self {
            Self::Down => "whose process ended",
            Self::Paused => "which was paused",
            Self::Elsewhere => "which took another session",
            Self::Told => "which was told of its end",
            Self::Unknown => "nobody, since it was opened",
        }
    }
}

impl Ends {
    fn of_host(&mut self, host: HostId) -> impl Iterator<Item = (&SessionId, &mut Client)> {
        self.clients.iter_mut().filter(move |(_, client)| client.host == Some(host))
    }

    /// All sessions of this host but one have lost their client, unless they had before.
    fn leave(&mut self, event: &Event, host: HostId, but: Option<SessionId>, why: Gone) {
        let others = self.of_host(host).filter(|(session, _)| Some(**session) != but);
        others.for_each(|(_, client)| _ = client.gone.get_or_insert((event.at, why)));
    }

    fn lives(&mut self, event: &Event, host: HostId) {
        match &event.kind {
            EventKind::HostPaused => self.leave(event, host, None, Gone::Paused),
            EventKind::HostResumed => self.of_host(host).for_each(|(_, client)| {
                client.gone = client.gone.filter(|(_, why)| *why != Gone::Paused);
            }),
            kind if is_new_life(kind) => {
                self.leave(event, host, None, Gone::Down);
                self.step_down(host);
            }
            _ => {}
        }
    }

    fn step_down(&mut self, host: HostId) {
        self.leader = self.leader.filter(|(_, leader, _)| *leader != host);
    }

    fn serves(&mut self, event: &Event, host: HostId) {
        match &event.kind {
            EventKind::LeaderEstablished { epoch, .. }
                if self.leader.is_none_or(|(newest, _, _)| *epoch >= newest) =>
            {
                self.leader = Some((*epoch, host, event.at));
            }
            EventKind::RoleLost { .. } | EventKind::ElectionStarted { .. } => self.step_down(host),
            EventKind::ServerRestored { sessions, .. }
            | EventKind::LogTruncated { sessions, .. }
            | EventKind::SnapshotInstalled { sessions, .. } => {
                self.databases.insert(host, sessions.iter().copied().collect());
            }
            EventKind::SessionOpened { session, timeout_ms, .. } => {
                self.databases.entry(host).or_default().insert(*session);
                self.timeouts.insert(*session, Duration::from_millis(*timeout_ms));
                let nobody = Client { host: None, gone: Some((event.at, Gone::Unknown)) };
                self.clients.entry(*session).or_insert(nobody);
            }
            EventKind::SessionClosed { session, .. } => {
                self.databases.entry(host).or_default().remove(session);
            }
            _ => {}
        }
    }

    fn connects(&mut self, event: &Event, host: HostId) {
        match &event.kind {
            EventKind::ClientConnected { session, .. } => {
                self.clients.insert(*session, Client { host: Some(host), gone: None });
                self.leave(event, host, Some(*session), Gone::Elsewhere);
            }
            EventKind::ClientExpired { session } => {
                if let Some(client) = self.clients.get_mut(session).filter(|of| of.host == Some(host)) {
                    client.gone.get_or_insert((event.at, Gone::Told));
                }
            }
            _ => {}
        }
    }

    /// When a session must have been closed whose client is gone since then, under a leader established then.
    fn due(&self, gone: SimTime, established: SimTime, timeout: Duration) -> Option<SimTime> {
        let (due, bound) = (self.calm.due()?, self.calm.bound()?);
        let from = SimTime(due.0.saturating_sub(bound)).max(gone).max(established);
        let span = (timeout.as_nanos() as u64).saturating_add(bound / 2);
        Some(due.max(SimTime(from.0.saturating_add(span))))
    }

    /// The sessions that the leader has although they should have been closed.
    fn left(&self, end: Point, leader: HostId, established: SimTime) -> Option<(Point, String)> {
        let held = self.databases.get(&leader)?.iter();
        let left = held.filter_map(|session| {
            let (client, timeout) = (self.clients.get(session)?, self.timeouts.get(session)?);
            let (since, why) = client.gone?;
            let due = self.due(since, established, *timeout)?;
            let whose = client.host.map_or(String::new(), |host| format!("{host}, "));
            let (why, since) = (why.word(), clock(since));
            let told = format!("{session} of {whose}{why}, at {since} (timeout {timeout:?})");
            (due < end.at).then_some(told)
        });
        let left: Vec<_> = left.collect();
        let established = clock(established);
        let why = || {
            format!(
                "{leader}, which leads since {established}, still has session {}",
                listed(left.clone(), 3)
            )
        };
        (!left.is_empty()).then(|| (end, why()))
    }
}

impl Monitor for Ends {
    fn observe(&mut self, event: &Event) -> Judged {
        self.calm.observe(event);
        if let Some(host) = event.host {
            self.lives(event, host);
            self.serves(event, host);
            self.connects(event, host);
        }
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        if self.timeouts.is_empty() {
            return Ok(());
        }
        self.calm.is_long_enough()?;
        match self.leader.filter(|(_, leader, _)| self.calm.hosts.is_live(*leader)) {
            Some((_, leader, established)) => self.calm.judge_end(|end| self.left(end, leader, established)),
            None => undecided("no ZooKeeper server leads at the end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::{
            record::{Record, search, txn, zk},
            verdict::Verdict,
        },
        event::EventKind as E,
        name::{Epoch, HostId, SessionId},
    };

    const LAW: &str = "session.ends";
    const OURS: SessionId = SessionId(9);

    fn opened(session: SessionId) -> E {
        E::SessionOpened { session, zxid: txn(1, 1).zxid, timeout_ms: 4_000 }
    }

    fn connected(session: SessionId) -> E {
        E::ClientConnected { session, server: zk(1), resumed: false, read_only: false }
    }

    fn established(epoch: u32) -> E {
        E::LeaderEstablished { epoch: Epoch(epoch), history: Vec::new() }
    }

    /// A run with a bound of ten seconds and a session of four, in which this happens, and which ends 14 seconds later.
    fn run(middle: impl FnOnce(&mut Record)) -> Record {
        let mut record = Record::default();
        record.world(E::RunStarted {
            scenario: "ends".into(),
            seed: 1,
            servers: vec![zk(1), zk(2), zk(3)],
            nodes: vec![],
            copies: 0,
            settle_bound: 10_000_000_000,
            read_policy: "any".into(),
            allocator: "balanced".into(),
        });
        for host in [zk(1), zk(2), zk(3), search(1)] {
            record.on(host, E::HostStarted { incarnation: 1 });
        }
        record.on(zk(1), established(1)).on(zk(1), opened(OURS)).on(search(1), connected(OURS));
        middle(&mut record);
        record.wait(14_000).world(E::RunEnded);
        record
    }

    fn crashes(host: HostId) -> impl Fn(&mut Record) {
        move |record| _ = record.on(host, E::HostCrashed { power: true })
    }

    fn closed() -> E {
        E::SessionClosed { session: OURS, zxid: txn(1, 2).zxid }
    }

    #[test]
    fn session_of_a_dead_client_that_stays_fails() {
        let why = "zk-1, which leads since 0.006 s, still has session 0x9 of search-1, whose process ended, at 0.009 s \
                   (timeout 4s)";
        run(crashes(search(1))).assert_fails(LAW, why);
    }

    #[test]
    fn session_that_is_closed_or_whose_client_lives_passes() {
        run(|_| ()).assert_passes(LAW);
        run(|record| {
            crashes(search(1))(record);
            record.wait(5_000).on(zk(1), closed());
        })
        .assert_passes(LAW);
        run(|record| _ = record.on(search(1), E::HostPaused).on(search(1), E::HostResumed))
            .assert_passes(LAW);
        Record::healthy().assert_passes(LAW);
    }

    /// ZOOKEEPER-1496: the expiry was never followed by a transaction.
    #[test]
    fn expiry_without_a_closing_fails() {
        let mut record = Record::healthy();
        let is_closed = |event: &crate::event::Event| matches!(event.kind, E::SessionClosed { .. });
        record.events.retain(|event| !is_closed(event));
        for event in &mut record.events {
            if let E::ServerRestored { sessions, .. } | E::LogTruncated { sessions, .. } = &mut event.kind
                && !sessions.is_empty()
            {
                sessions.insert(0, SessionId(1));
            }
        }
        record.assert_fails(LAW, "still has session 0x1 of search-1, whose process ended");
    }

    /// ZOOKEEPER-1367: a follower that leads now has a session that it does not track.
    #[test]
    fn session_that_a_new_leader_restored_and_never_ends_fails() {
        let sessions = vec![OURS];
        let (zxid, epoch, ephemerals) = (txn(1, 1).zxid, Epoch(1), vec![]);
        let restored =
            E::ServerRestored { zxid, accepted_epoch: epoch, current_epoch: epoch, sessions, ephemerals };
        run(|record| {
            crashes(search(1))(record);
            record.on(zk(1), E::RoleLost { why: "tired".into() });
            record.on(zk(2), restored.clone()).on(zk(2), established(2));
        })
        .assert_fails(LAW, "zk-2, which leads since");
        run(|record| {
            crashes(search(1))(record);
            crashes(zk(1))(record);
            record.on(zk(2), established(2));
        })
        .assert_passes(LAW);
    }

    #[test]
    fn session_that_its_client_has_left_or_nobody_has_fails() {
        let other = SessionId(10);
        run(|record| _ = record.on(search(1), connected(other)))
            .assert_fails(LAW, "0x9 of search-1, which took another session");
        run(|record| _ = record.on(search(1), E::ClientExpired { session: OURS }))
            .assert_fails(LAW, "which was told of its end");
        run(|record| _ = record.on(search(1), E::HostPaused)).assert_fails(LAW, "which was paused");
        run(|record| _ = record.on(zk(1), opened(other)))
            .assert_fails(LAW, "0xa of nobody, since it was opened");
        run(|record| _ = record.on(search(1), connected(other)).on(search(1), connected(OURS)))
            .assert_passes(LAW);
    }

    #[test]
    fn session_is_given_its_timeout_and_half_of_the_bound() {
        let ends = |millis, what: E, host| {
            run(|record| {
                crashes(search(1))(record);
                record.wait(millis).on(host, what).wait(9_010).world(E::QuietBegan);
                record.wait(0);
            })
        };
        let mut late = run(|record| _ = record.wait(10_000).on(search(1), E::HostCrashed { power: true }));
        late.assert_fails(LAW, "still has session");
        let end = late.events.len() - 1;
        late.events[end].at.0 -= 6_000_000_000;
        late.assert_passes(LAW);
        ends(12_000, established(2), zk(1)).assert_fails(LAW, "which leads since 12");
        let mut again = ends(12_000, established(2), zk(1));
        let end = again.events.len() - 1;
        again.events[end].at.0 -= 14_100_000_000;
        again.assert_passes(LAW);
    }

    #[test]
    fn nothing_is_judged_where_nobody_leads_or_links_are_cut() {
        for what in [E::RoleLost { why: "tired".into() }, E::LinkCut { from: zk(1), to: zk(2) }] {
            let record = run(|record| {
                crashes(search(1))(record);
                record.on(zk(1), what);
            });
            assert!(matches!(record.verdict(LAW), Verdict::Unknown { .. }));
        }
    }
}
