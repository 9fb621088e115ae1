//! Ensemble — decides which goals of ZooKeeper itself, its servers and its clients, an event meets. It never
//! judges.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CLIENT_AHEAD, CONTAINER_REAPED, DIFF_SYNC, Goal, OBSERVER_SERVED, PROPOSALS_LEFT, READ_ONLY_SERVED,
    RECONFIGURED, ROUND_JOINED, SESSION_UPGRADED, SYNC_DEPOSED, TORN_LOG_CUT, TTL_REAPED, WATCH_BEFORE_REPLY,
    WATCH_CAUGHT_UP, WIPED_REJOINED,
};
use crate::{
    check::hosts::is_new_life,
    event::{Act, Change, Event, EventKind, SyncMode},
    name::{HostId, HostKind, SessionId, Zxid},
};

/// What must be remembered to tell.
#[derive(Default)]
pub(super) struct Ensemble {
    voters: BTreeSet<HostId>,
    rounds: BTreeMap<HostId, u64>,
    /// Each leader's last proposal and commit.
    proposed: BTreeMap<HostId, (Zxid, Zxid)>,
    committed: Zxid,
    torn: BTreeSet<HostId>,
    wiped: BTreeSet<HostId>,
    /// Nodes that the leader removes by itself, and why.
    reaped: BTreeMap<String, Goal>,
    clients: BTreeMap<SessionId, Client>,
}

#[derive(Default)]
struct Client {
    server: Option<HostId>,
    read_only: bool,
    /// It has come back, and its watches do not stand yet.
    returns: bool,
    /// Requests that are not answered: xid, path, and what was committed when it asked.
    asked: BTreeMap<i32, (String, Zxid)>,
}

impl Ensemble {
    /// The goals that the next event meets.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<Goal> {
        let Some(host) = event.host else {
            if let EventKind::RunStarted { servers, .. } = &event.kind {
                self.voters = servers.iter().copied().collect();
            }
            return Vec::new();
        };
        let met = match host.kind {
            HostKind::ZooKeeper => self.server(host, &event.kind),
            _ => self.client(&event.kind),
        };
        met.into_iter().collect()
    }

    fn server(&mut self, host: HostId, kind: &EventKind) -> Option<Goal> {
        match kind {
            EventKind::DiskDamaged { file, torn: true, .. } if file.starts_with("log.") => {
                self.torn.insert(host);
                None
            }
            EventKind::DiskWiped => {
                self.wiped.insert(host);
                None
            }
            EventKind::ServerRestored { .. } => self.torn.remove(&host).then_some(TORN_LOG_CUT),
            EventKind::FollowerSynced { .. } if self.wiped.remove(&host) => Some(WIPED_REJOINED),
            EventKind::FollowerSynced { mode: SyncMode::Diff, .. } => Some(DIFF_SYNC),
            EventKind::ElectionStarted { round } => {
                self.rounds.insert(host, *round);
                None
            }
            EventKind::ElectionDecided { round, .. } => {
                self.rounds.remove(&host).is_some_and(|begun| *round > begun).then_some(ROUND_JOINED)
            }
            EventKind::EnsembleChanged { voters, .. } => {
                self.voters = voters.iter().copied().collect();
                Some(RECONFIGURED)
            }
            EventKind::ClientRefused { why, .. } => (why == "ahead").then_some(CLIENT_AHEAD),
            EventKind::TxnProposed { zxid, session, xid, op, changes, .. } => {
                self.proposed.entry(host).or_default().0 = *zxid;
                self.propose(*session, *xid, op, changes)
            }
            EventKind::TxnCommitted { zxid, .. } => {
                self.proposed.entry(host).or_default().1 = *zxid;
                self.committed = self.committed.max(*zxid);
                None
            }
            EventKind::RoleLost { .. } => self.lose(host),
            kind if is_new_life(kind) => self.lose(host),
            _ => None,
        }
    }

    fn lose(&mut self, host: HostId) -> Option<Goal> {
        let (proposed, committed) = self.proposed.remove(&host)?;
        (proposed > committed).then_some(PROPOSALS_LEFT)
    }

    fn propose(&mut self, session: SessionId, xid: i32, op: &str, changes: &[Change]) -> Option<Goal> {
        let mut met =
            (op == "createSession" && self.clients.contains_key(&session)).then_some(SESSION_UPGRADED);
        for Change { path, act } in changes {
            match act {
                Act::Created { lifetime, .. } if lifetime == "container" => {
                    self.reaped.insert(path.clone(), CONTAINER_REAPED);
                }
                Act::Created { lifetime, .. } if lifetime == "ttl" => {
                    self.reaped.insert(path.clone(), TTL_REAPED);
                }
                Act::Deleted => met = self.reaped.remove(path).filter(|_| xid == 0).or(met),
                _ => {}
            }
        }
        met
    }

    fn client(&mut self, kind: &EventKind) -> Option<Goal> {
        match kind {
            EventKind::ClientConnected { session, server, resumed, read_only } => {
                let (server, asked) = (Some(*server), BTreeMap::new());
                let client = Client { server, read_only: *read_only, returns: *resumed, asked };
                self.clients.insert(*session, client);
                None
            }
            EventKind::ClientAsked { session, xid, path, .. } => {
                let asked = (path.clone(), self.committed);
                self.clients.entry(*session).or_default().asked.insert(*xid, asked);
                None
            }
            EventKind::ClientNotified { session, path, .. } => {
                let client = self.clients.get(session)?;
                let own = |(asked, _): &(String, Zxid)| !asked.is_empty() && asked == path;
                match () {
                    () if client.returns => Some(WATCH_CAUGHT_UP),
                    () if client.asked.values().any(own) => Some(WATCH_BEFORE_REPLY),
                    () => None,
                }
            }
            EventKind::ClientReplied { session, xid, op, zxid, error, .. } => {
                self.reply(*session, *xid, op, (*zxid, *error))
            }
            _ => None,
        }
    }

    fn reply(&mut self, session: SessionId, xid: i32, op: &str, (zxid, error): (Zxid, i32)) -> Option<Goal> {
        let client = self.clients.get_mut(&session)?;
        client.returns = false;
        let known = client.asked.remove(&xid).map(|(_, committed)| committed);
        let observer = |server: HostId| !self.voters.is_empty() && !self.voters.contains(&server);
        match op {
            _ if error != 0 => None,
            "sync" if known.is_some_and(|known| zxid < known) => Some(SYNC_DEPOSED),
            _ if client.read_only => Some(READ_ONLY_SERVED),
            _ if client.server.is_some_and(observer) => Some(OBSERVER_SERVED),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::{
            clients::story::{Story, client, made, set},
            goal::goals_met,
            record::{Record, proposed, txn, zk},
        },
        event::{Act, Change, EventKind as E, SyncMode},
        name::{Epoch, HostId, SessionId},
    };

    fn met_by(events: &[(HostId, E)]) -> Vec<&'static str> {
        let mut record = Record::default();
        events.iter().for_each(|(host, kind)| _ = record.on(*host, kind.clone()));
        goals_met(&record.events)
    }

    fn restored() -> E {
        let (accepted_epoch, current_epoch) = (Epoch(1), Epoch(1));
        let (zxid, sessions, ephemerals) = (txn(1, 1).zxid, vec![], vec![]);
        E::ServerRestored { zxid, accepted_epoch, current_epoch, sessions, ephemerals }
    }

    fn synced(mode: SyncMode) -> E {
        E::FollowerSynced { leader: zk(2), epoch: Epoch(1), mode, zxid: txn(1, 1).zxid }
    }

    #[test]
    fn servers_that_come_back_meet_their_goals() {
        let torn = E::DiskDamaged { file: "log.1".into(), kept: 5, lost: 0, torn: true };
        assert_eq!(met_by(&[(zk(1), torn), (zk(1), restored())]), ["torn-write-seen", "torn-log-cut"]);
        assert_eq!(met_by(&[(zk(1), synced(SyncMode::Diff))]), ["diff-sync"]);
        let wiped = [(zk(1), E::DiskWiped), (zk(1), synced(SyncMode::Snap))];
        assert_eq!(met_by(&wiped), ["snapshot-sync", "wiped-server-rejoined"]);
    }

    #[test]
    fn election_that_takes_up_a_later_round_counts() {
        let election = |begun, round| {
            let decided = E::ElectionDecided { round, leader: zk(2) };
            met_by(&[(zk(1), E::ElectionStarted { round: begun }), (zk(1), decided)])
        };
        assert_eq!(election(1, 2), ["election-round-joined"]);
        assert!(election(2, 2).is_empty());
    }

    #[test]
    fn leader_lost_with_a_proposal_counts_and_without_does_not() {
        let proposal = (zk(1), proposed(txn(1, 1), vec![]));
        let lost = (zk(1), E::RoleLost { why: "no quorum".into() });
        assert_eq!(met_by(&[proposal.clone(), lost.clone()]), ["proposals-left"]);
        let committed = E::TxnCommitted { zxid: txn(1, 1).zxid, digest: txn(1, 1).digest };
        assert!(met_by(&[proposal, (zk(1), committed), lost]).is_empty());
    }

    #[test]
    fn node_that_the_leader_removes_by_itself_is_reaped() {
        for (lifetime, goal) in [("container", "container-reaped"), ("ttl", "ttl-reaped")] {
            let act = Act::Created {
                owner: SessionId::NONE,
                lifetime: lifetime.into(),
                parent_creates: 1,
                data_length: 0,
                open: true,
            };
            let mut story = Story::new();
            story.propose(1, 1, vec![Change { path: "/c".into(), act }]);
            story.propose(1, 0, vec![Change { path: "/c".into(), act: Act::Deleted }]);
            assert_eq!(goals_met(&story.record.events), [goal]);
        }
    }

    #[test]
    fn refusals_and_reconfigurations_count() {
        let refused = |why: &'static str| E::ClientRefused { session: SessionId(1), why: why.into() };
        assert_eq!(met_by(&[(zk(1), refused("ahead"))]), ["client-ahead-refused"]);
        assert!(met_by(&[(zk(1), refused("expired"))]).is_empty());
        let changed = E::EnsembleChanged { zxid: txn(1, 1).zxid, voters: vec![zk(1)], observers: vec![] };
        assert_eq!(met_by(&[(zk(1), changed)]), ["reconfigured"]);
    }

    #[test]
    fn upgraded_session_counts() {
        let mut story = Story::new();
        story.connect(1, 1, false).propose(1, 0, vec![]);
        assert!(goals_met(&story.record.events).is_empty());
        if let Some(E::TxnProposed { op, .. }) = story.record.events.last_mut().map(|event| &mut event.kind) {
            *op = "createSession".into();
        }
        assert_eq!(goals_met(&story.record.events), ["session-upgraded"]);
    }

    #[test]
    fn who_serves_a_client_counts() {
        let mut story = Story::new();
        let changed =
            E::EnsembleChanged { zxid: txn(1, 1).zxid, voters: vec![zk(1)], observers: vec![zk(4)] };
        story.record.on(zk(1), changed);
        story.connect(1, 4, false).read(1, 1, 0, "getData", "/", "");
        let connected =
            |session| E::ClientConnected { session, server: zk(1), resumed: false, read_only: true };
        story.note(2, connected).read(2, 1, 0, "getData", "/", "");
        assert_eq!(goals_met(&story.record.events), ["reconfigured", "observer-served", "read-only-served"]);
    }

    #[test]
    fn sync_that_misses_what_was_committed_counts() {
        let mut story = Story::new();
        story.connect(1, 1, false).write(vec![made("/a", 1)]).read(1, 1, 1, "sync", "/", "");
        assert!(goals_met(&story.record.events).is_empty());
        story.read(1, 2, 0, "sync", "/", "");
        assert_eq!(goals_met(&story.record.events), ["sync-by-deposed-leader"]);
    }

    #[test]
    fn watch_that_tells_of_the_clients_own_write_or_at_its_return_counts() {
        let mut story = Story::new();
        story.connect(1, 1, false).ask(1, 1, "setData", "/a", "").write(vec![set("/a", 1)]);
        story.told(1, "/a", "NodeDataChanged");
        assert_eq!(goals_met(&story.record.events), ["watch-before-reply"]);

        let mut story = Story::new();
        story.connect(1, 1, true).ask(1, -8, "setWatches", "", "").told(1, "/a", "NodeDataChanged");
        assert_eq!(client(1).1, SessionId(1));
        assert_eq!(goals_met(&story.record.events), ["watch-caught-up"]);
    }
}
