//! Verdict — decides from the events whether an ensemble kept its promises.

use super::*;

impl World {
    pub(crate) fn of(&self, id: HostId) -> impl DoubleEndedIterator<Item = &EventKind> {
        self.events.iter().filter(move |(_, host, _)| *host == id).map(|(_, _, event)| event)
    }

    /// The established leader of the newest epoch.
    pub(crate) fn leader(&self) -> Option<HostId> {
        let established = |(_, host, event): &(u64, HostId, EventKind)| match event {
            EventKind::LeaderEstablished { epoch, .. } => Some((*epoch, *host)),
            _ => None,
        };
        self.events.iter().filter_map(established).max_by_key(|(epoch, _)| *epoch).map(|(_, host)| host)
    }

    /// Trees of all running servers, by inspection.
    pub(crate) fn inspect(&mut self) -> BTreeMap<HostId, (Zxid, u64)> {
        let from = self.events.len();
        for id in self.hosts.keys().copied().collect::<Vec<_>>() {
            if self.runs(id) {
                self.input(id, Input::Inspect);
            }
        }
        let inspected = |(_, host, event): &(u64, HostId, EventKind)| match event {
            EventKind::TreeInspected { zxid, digest, .. } => Some((*host, (*zxid, digest.0))),
            _ => None,
        };
        self.events[from..].iter().filter_map(inspected).collect()
    }

    /// After quiet time: all run, all have the same tree, and nobody disagrees on a transaction.
    pub(crate) fn assert_agreement(&mut self) {
        let trees = self.inspect();
        assert_eq!(trees.len(), self.hosts.len(), "all servers run");
        let distinct: BTreeSet<_> = trees.values().collect();
        assert_eq!(distinct.len(), 1, "one tree on all servers: {trees:?}");
        self.assert_one_history();
        self.assert_contract();
    }

    /// Committed and applied transactions agree, and are in the history of every later leader.
    pub(crate) fn assert_one_history(&self) {
        let mut committed = BTreeMap::new();
        for (_, host, event) in &self.events {
            match event {
                EventKind::TxnCommitted { zxid, digest } | EventKind::TxnApplied { zxid, digest } => {
                    let first = committed.entry(*zxid).or_insert(*digest);
                    assert_eq!(first, digest, "{host} has another {zxid}");
                }
                EventKind::LeaderEstablished { history, .. } if history.len() < 500 => {
                    let first = history.first().map_or(Zxid(u64::MAX), |txn| txn.zxid);
                    let had: BTreeMap<_, _> = history.iter().map(|txn| (txn.zxid, txn.digest)).collect();
                    for (zxid, digest) in committed.range(first..) {
                        assert_eq!(had.get(zxid), Some(digest), "{host} leads without {zxid}");
                    }
                }
                _ => {}
            }
        }
    }

    /// Every server's events tell one story: after what it says it has restored, cut to or installed, it
    /// applies onwards; and the sessions and ephemeral nodes it lists are those it told of.
    pub(crate) fn assert_contract(&self) {
        let mut told: BTreeMap<HostId, Told> = BTreeMap::new();
        for (_, host, event) in &self.events {
            told.entry(*host).or_default().hear(*host, event);
        }
    }
}

/// What a server's events say of its tree.
#[derive(Debug, Default)]
struct Told {
    zxid: Zxid,
    sessions: BTreeSet<SessionId>,
    ephemerals: BTreeSet<(String, SessionId)>,
    running: bool,
}

impl Told {
    fn hear(&mut self, host: HostId, event: &EventKind) {
        match event {
            EventKind::HostCrashed { .. } => self.running = false,
            EventKind::ServerRestored { zxid, sessions, ephemerals, .. } => {
                let now = Self::of(*zxid, sessions, ephemerals);
                if self.running && now.zxid == self.zxid {
                    assert_eq!(now.sessions, self.sessions, "{host} at {zxid}");
                    assert_eq!(now.ephemerals, self.ephemerals, "{host} at {zxid}");
                }
                *self = now;
            }
            EventKind::LogTruncated { zxid, sessions, ephemerals }
            | EventKind::SnapshotInstalled { zxid, sessions, ephemerals } => {
                *self = Self::of(*zxid, sessions, ephemerals);
            }
            EventKind::TxnApplied { zxid, .. } => {
                assert!(*zxid > self.zxid, "{host} applies {zxid} after {}", self.zxid);
                self.zxid = *zxid;
            }
            EventKind::SessionOpened { session, .. } => {
                assert!(self.sessions.insert(*session), "{host} opens {session} twice");
            }
            EventKind::SessionClosed { session, .. } => _ = self.sessions.remove(session),
            EventKind::EphemeralCreated { path, session, .. } => {
                assert!(self.sessions.contains(session), "{host}: an ephemeral without its session");
                assert!(self.ephemerals.insert((path.clone(), *session)));
            }
            EventKind::EphemeralDeleted { path, session, .. } => {
                assert!(self.ephemerals.remove(&(path.clone(), *session)), "{host}: {path} was not there");
            }
            _ => {}
        }
    }

    fn of(zxid: Zxid, sessions: &[SessionId], ephemerals: &[Ephemeral]) -> Self {
        Self {
            zxid,
            sessions: sessions.iter().copied().collect(),
            ephemerals: ephemerals.iter().map(|node| (node.path.clone(), node.session)).collect(),
            running: true,
        }
    }
}
