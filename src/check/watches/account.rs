//! Account — decides, from the record alone, what each client is owed. It never judges.

use std::collections::{BTreeMap, BTreeSet};

use super::watcher::{Due, Paths, Watcher};
use crate::{
    check::{
        clients::Client,
        committed::{Committed, Proposal},
        hosts::is_new_life,
        line::{Line, parent},
        verdict::Point,
    },
    event::{Act, Change, Event, EventKind},
    name::{HostId, SessionId, Zxid},
};

/// What an event shows to be wrong, if anything.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// The client is told after it should have been.
    Late(String),
    /// The client was shown this, was not told, and cannot be any more.
    Lost(Point, String),
    /// The client is told of what is not, or what it does not watch.
    Needless(String),
}

/// An event that servers send to whoever watches the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happening {
    pub(super) zxid: Zxid,
    pub(super) change: &'static str,
    /// Whether it may be withheld.
    pub(super) optional: bool,
}

/// The tree as it was, and what servers had to tell of each path.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) line: Line,
    pub(super) happenings: BTreeMap<String, Vec<Happening>>,
    /// Paths of nodes that not everybody may read, or could not once.
    closed: BTreeSet<String>,
}

impl Past {
    /// What happened to this path after `zxid`.
    pub(super) fn since(&self, path: &str, zxid: Zxid) -> &[Happening] {
        let all = self.happenings.get(path).map(Vec::as_slice).unwrap_or_default();
        &all[all.partition_point(|happening| happening.zxid <= zxid)..]
    }

    /// Whether events of this path may be withheld.
    pub(super) fn is_closed(&self, path: &str) -> bool {
        self.closed.contains(path)
    }

    fn add(&mut self, proposal: &Proposal) -> Vec<(String, Happening)> {
        self.line.add(proposal);
        let mut told = Vec::new();
        for Change { path, act } in &proposal.changes {
            if let Act::Created { open: false, .. } | Act::AclSet { open: false, .. } = act {
                self.closed.insert(path.clone());
            }
            let (change, above) = match act {
                Act::Created { .. } => ("NodeCreated", parent(path)),
                Act::Deleted => ("NodeDeleted", parent(path)),
                Act::DataSet { .. } => ("NodeDataChanged", None),
                Act::AclSet { .. } => continue,
            };
            told.push((path.as_str(), change));
            told.extend(above.map(|above| (above, "NodeChildrenChanged")));
        }
        let happen = |(path, change): (&str, _)| {
            let happening = Happening { zxid: proposal.zxid, change, optional: self.closed.contains(path) };
            (path.to_owned(), happening)
        };
        let told: Vec<_> = told.into_iter().map(happen).collect();
        for (path, happening) in &told {
            match self.happenings.get_mut(path) {
                Some(all) => all.push(happening.clone()),
                None => _ = self.happenings.insert(path.clone(), vec![happening.clone()]),
            }
        }
        told
    }
}

/// What every client is owed.
#[derive(Debug, Default)]
pub(super) struct Account {
    committed: Committed,
    past: Past,
    watchers: BTreeMap<Client, Watcher>,
    /// Clients whose last connection was in read-only mode, and whose session has not ended.
    read_only: BTreeSet<HostId>,
    /// Who watches a path, in whatever way.
    paths: Paths,
}

impl Account {
    /// Reads the next event.
    pub(super) fn observe(&mut self, event: &Event) -> Found {
        for proposal in self.committed.observe(event) {
            for (path, happening) in self.past.add(&proposal) {
                self.happen(&path, &happening);
            }
        }
        let Some(host) = event.host else { return Found::Nothing };
        match &event.kind {
            EventKind::ClientConnected { session, read_only, resumed, .. } => {
                let inherits = self.read_only.remove(&host) && !resumed;
                if *read_only {
                    self.read_only.insert(host);
                }
                let watcher = self.watchers.entry((host, *session)).or_default();
                let owed = watcher.leave();
                watcher.connect(*read_only, inherits);
                owed.map_or(Found::Nothing, |(at, why)| Found::Lost(at, why))
            }
            EventKind::ClientDisconnected { session } => self.part((host, *session)),
            EventKind::ClientExpired { session } => self.end((host, *session)),
            EventKind::ClientAsked { session, xid, op, path, watch } => {
                let watcher = self.watchers.entry((host, *session)).or_default();
                watcher.asked(*xid, op, path, watch);
                Found::Nothing
            }
            EventKind::ClientReplied { session, xid, op, zxid, error, .. } => {
                self.reply(event, (host, *session), *xid, op, (*zxid, *error))
            }
            EventKind::ClientNotified { session, path, change } => self.tell((host, *session), path, change),
            kind if is_new_life(kind) => self.crash(host),
            _ => Found::Nothing,
        }
    }

    /// What a client was shown without being told of it, and has not been told since.
    pub(super) fn owed(&mut self) -> Option<(Point, String)> {
        self.watchers.values_mut().find_map(Watcher::leave)
    }

    fn happen(&mut self, path: &str, happening: &Happening) {
        for client in self.paths.watching(path, happening.change) {
            if let Some(watcher) = self.watchers.get_mut(&client) {
                watcher.happen(path, happening);
            }
        }
    }

    fn reply(
        &mut self,
        event: &Event,
        client: Client,
        xid: i32,
        op: &str,
        (zxid, error): (Zxid, i32),
    ) -> Found {
        let Some(watcher) = self.watchers.get_mut(&client) else { return Found::Nothing };
        let asked = watcher.answered(xid);
        if zxid.0 == 0 || zxid.0 == u64::MAX {
            return Found::Nothing;
        }
        let needless = watcher.show(event, client.1, zxid, &self.past);
        if let Some((path, watch)) = asked {
            if op == "removeWatches" && error == 0 {
                watcher.remove(&path, &watch);
            } else if let Some(kind) = watcher.left(&path, &watch, error, zxid, &self.past) {
                self.paths.add(&path, kind, client);
            }
        }
        if op == "closeSession" && error == 0 {
            return self.end(client);
        }
        needless.map_or(Found::Nothing, Found::Needless)
    }

    fn tell(&mut self, client: Client, path: &str, change: &str) -> Found {
        self.watchers.entry(client).or_default().told(client.1, path, change)
    }

    fn part(&mut self, client: Client) -> Found {
        let owed = self.watchers.get_mut(&client).and_then(Watcher::leave);
        owed.map_or(Found::Nothing, |(at, why)| Found::Lost(at, why))
    }

    fn end(&mut self, client: Client) -> Found {
        self.read_only.remove(&client.0);
        let owed = self.watchers.remove(&client).and_then(|mut watcher| watcher.leave());
        self.paths.forget(|known| known == client);
        owed.map_or(Found::Nothing, |(at, why)| Found::Lost(at, why))
    }

    /// What a client that dies was still owed is nobody's loss.
    fn crash(&mut self, host: HostId) -> Found {
        self.read_only.remove(&host);
        let before = self.watchers.len();
        self.watchers.retain(|(owner, _): &(HostId, SessionId), _| *owner != host);
        if self.watchers.len() != before {
            self.paths.forget(|(owner, _)| owner == host);
        }
        Found::Nothing
    }
}

impl Due {
    /// What a server has to tell this client of a happening.
    pub(super) fn new(path: &str, happening: &Happening, is_certain: bool) -> Self {
        let Happening { zxid, change, optional } = happening;
        Self { zxid: *zxid, path: path.to_owned(), change, optional: *optional || !is_certain, since: None }
    }
}
