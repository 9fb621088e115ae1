//! Watcher — decides what one client watches, and what it is to be told next. It never knows other clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::account::{Found, Happening, Past};
use crate::{
    check::{
        clients::Client,
        line::parent,
        verdict::{Point, clock},
    },
    event::Event,
    name::{SessionId, Zxid},
};

/// The ways to watch a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Once, a node that was there.
    Data,
    /// Once, a node that was not there.
    Exist,
    /// Once, its children.
    Child,
    /// Again and again, both.
    Persistent,
    /// Again and again, it and all below.
    Recursive,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Data, Self::Exist, Self::Child, Self::Persistent, Self::Recursive];
    /// Those that concern nothing but the path itself.
    const OWN: [Self; 4] = [Self::Data, Self::Exist, Self::Child, Self::Persistent];

    fn named(watch: &str, error: i32) -> Option<Self> {
        const NO_NODE: i32 = -101;
        match (watch, error) {
            ("exist", NO_NODE) => Some(Self::Exist),
            ("exist" | "data", 0) => Some(Self::Data),
            ("child", 0) => Some(Self::Child),
            ("persistent", 0) => Some(Self::Persistent),
            ("recursive", 0) => Some(Self::Recursive),
            _ => None,
        }
    }

    fn is_one_shot(self) -> bool {
        !matches!(self, Self::Persistent | Self::Recursive)
    }

    /// Whether this change of the path itself concerns it.
    fn hears(self, change: &str) -> bool {
        match self {
            Self::Data | Self::Exist | Self::Recursive => change != "NodeChildrenChanged",
            Self::Child => matches!(change, "NodeChildrenChanged" | "NodeDeleted"),
            Self::Persistent => true,
        }
    }
}

/// Which clients watch which paths; more than really do.
#[derive(Debug, Default)]
pub(super) struct Paths {
    own: BTreeMap<String, BTreeSet<Client>>,
    below: BTreeMap<String, BTreeSet<Client>>,
}

impl Paths {
    /// A client watches this path.
    pub(super) fn add(&mut self, path: &str, kind: Kind, client: Client) {
        let paths = if kind == Kind::Recursive { &mut self.below } else { &mut self.own };
        paths.entry(path.to_owned()).or_default().insert(client);
    }

    /// Forgets clients.
    pub(super) fn forget(&mut self, is_gone: impl Fn(Client) -> bool) {
        for clients in self.own.values_mut().chain(self.below.values_mut()) {
            clients.retain(|client| !is_gone(*client));
        }
    }

    /// Who may have to be told.
    pub(super) fn watching(&self, path: &str, change: &str) -> Vec<Client> {
        let mut clients: Vec<_> = self.own.get(path).into_iter().flatten().copied().collect();
        if !self.below.is_empty() && change != "NodeChildrenChanged" {
            let above = std::iter::successors(Some(path), |path| parent(path));
            clients.extend(above.filter_map(|path| self.below.get(path)).flatten().copied());
            clients.sort_unstable();
            clients.dedup();
        }
        clients
    }
}

/// What a client is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) zxid: Zxid,
    pub(super) path: String,
    pub(super) change: &'static str,
    /// Whether it may be withheld.
    pub(super) optional: bool,
    /// When the client was shown it without being told, and by what.
    pub(super) since: Option<(Point, Zxid)>,
}

#[derive(Debug)]
struct Watch {
    since: Zxid,
    /// Whether a server has used it up; the client may not know yet.
    used: bool,
}

/// One client's watches, and what it is owed.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    /// By kind, then path.
    watches: [BTreeMap<String, Watch>; Kind::ALL.len()],
    /// Paths whose watches cannot be told apart.
    mixed: BTreeSet<String>,
    /// Those of them whose recursive watch may be gone, so that nobody knows of what is below either.
    murky: BTreeSet<String>,
    /// In order of transactions.
    due: VecDeque<Due>,
    /// What a reply has shown already.
    overdue: Vec<Due>,
    asked: BTreeMap<i32, (String, String)>,
    /// The zxid of its last reply.
    shown: Zxid,
    /// Whether its watches stand on the server it is on.
    armed: bool,
    /// Whether its connection is not judged: in read-only mode, or with watches from one that was.
    read_only: bool,
    inherited: bool,
    connected: bool,
    /// setWatches that are not answered, and whether there were several.
    rearming: u32,
    in_parts: bool,
    /// What it was told before its watches stood again, and whether it watched that.
    caught: Vec<(String, String, Vec<Kind>)>,
}

impl Watcher {
    fn of(&self, kind: Kind) -> &BTreeMap<String, Watch> {
        &self.watches[kind as usize]
    }

    fn of_mut(&mut self, kind: Kind) -> &mut BTreeMap<String, Watch> {
        &mut self.watches[kind as usize]
    }

    /// A connection is established; `inherits`: by a client that brings watches which it left in read-only mode,
    /// as another session.
    pub(super) fn connect(&mut self, read_only: bool, inherits: bool) {
        self.inherited |= inherits;
        self.read_only = read_only || self.inherited;
        self.connected = true;
        self.armed = self.watches.iter().all(BTreeMap::is_empty);
        self.caught.clear();
        (self.rearming, self.in_parts) = (0, false);
        self.mixed.clear();
        self.murky.clear();
        self.watches.iter_mut().flat_map(BTreeMap::values_mut).for_each(|watch| watch.used = false);
        let paths: Vec<_> = self.watches.iter().flat_map(BTreeMap::keys).cloned().collect();
        paths.iter().for_each(|path| self.look_for_mixture(path));
    }

    /// The connection is over. What it has shown without telling, if anything.
    pub(super) fn leave(&mut self) -> Option<(Point, String)> {
        self.due.clear();
        self.asked.clear();
        self.connected = false;
        let lost = std::mem::take(&mut self.overdue).into_iter().find(|due| !due.optional)?;
        let (at, shown) = lost.since?;
        let Due { zxid, path, change, .. } = lost;
        let why = format!(
            "a client was shown {shown} and never told {change} of {path} ({zxid}), which it watched"
        );
        Some((at, why))
    }

    /// A request is sent.
    pub(super) fn asked(&mut self, xid: i32, op: &str, path: &str, watch: &str) {
        if op == "setWatches" {
            self.in_parts |= self.rearming > 0;
            self.rearming += 1;
        } else if !watch.is_empty() {
            self.asked.insert(xid, (path.to_owned(), watch.to_owned()));
        }
    }

    /// The path and the watch that an answered request is about.
    pub(super) fn answered(&mut self, xid: i32) -> Option<(String, String)> {
        if xid == -8 {
            self.rearming = self.rearming.saturating_sub(1);
        }
        self.asked.remove(&xid)
    }

    /// A reply shows the state after `zxid`. What it was told needlessly when it came back, if anything.
    pub(super) fn show(
        &mut self,
        event: &Event,
        session: SessionId,
        zxid: Zxid,
        past: &Past,
    ) -> Option<String> {
        let before = self.shown;
        self.shown = zxid.max(before);
        if self.read_only || self.rearming > 0 {
            return None;
        }
        let needless = if self.armed { None } else { self.settle(session, before, zxid, past) };
        let shown = Some((event.into(), zxid));
        while let Some(due) = self.due.pop_front_if(|due| due.zxid <= zxid) {
            self.overdue.push(Due { since: shown, ..due });
        }
        for due in self.overdue.iter_mut().filter(|due| due.since.is_none()) {
            due.since = shown;
        }
        needless
    }

    /// Its watches stand again, as of `zxid`; it had seen everything up to `before`.
    fn settle(&mut self, session: SessionId, before: Zxid, zxid: Zxid, past: &Past) -> Option<String> {
        self.armed = true;
        let caught = std::mem::take(&mut self.caught);
        let is_true =
            |path: &str, kind: Kind, change: &str| missed(past, (path, kind), before, zxid) == Some(change);
        let needless = caught.iter().find(|(path, change, kinds)| {
            !self.in_parts && !kinds.iter().any(|kind| is_true(path, *kind, change))
        });
        let paths = |kind: Kind| self.of(kind).keys().map(move |path| (path.clone(), kind));
        let all: Vec<_> = Kind::ALL.into_iter().flat_map(paths).collect();
        for (path, kind) in all {
            match missed(past, (&path, kind), before, zxid) {
                Some(change) => {
                    self.of_mut(kind).remove(&path);
                    let optional = past.is_closed(&path) || self.is_mixed(&path);
                    self.overdue.push(Due { zxid, path, change, optional, since: None });
                }
                None => self.arm(&path, kind, zxid, past),
            }
        }
        needless.map(|(path, change, _)| {
            format!("session {session} was told {change} of {path} when it came back, which was not so as of {zxid}")
        })
    }

    /// A watch stands since `zxid`; what has happened since is to be told.
    fn arm(&mut self, path: &str, kind: Kind, zxid: Zxid, past: &Past) {
        self.of_mut(kind).insert(path.to_owned(), Watch { since: zxid, used: false });
        if kind == Kind::Recursive {
            let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
            let below = past.happenings.range(prefix.clone()..).map(|(path, _)| path);
            let below: Vec<_> = below.take_while(|path| path.starts_with(&prefix)).cloned().collect();
            below.iter().for_each(|path| self.catch_up(path, zxid, past));
        }
        self.catch_up(path, zxid, past);
    }

    fn catch_up(&mut self, path: &str, zxid: Zxid, past: &Past) {
        past.since(path, zxid).iter().for_each(|happening| self.happen(path, happening));
    }

    /// A request that leaves a watch is answered: what it leaves, if anything.
    pub(super) fn left(
        &mut self,
        path: &str,
        watch: &str,
        error: i32,
        zxid: Zxid,
        past: &Past,
    ) -> Option<Kind> {
        let kind = Kind::named(watch, error)?;
        if matches!(kind, Kind::Data | Kind::Exist) {
            let other = if kind == Kind::Data { Kind::Exist } else { Kind::Data };
            self.of_mut(other).remove(path);
        }
        if self.of(kind).get(path).is_none_or(|watch| watch.used) {
            self.arm(path, kind, zxid, past);
        }
        self.look_for_mixture(path);
        Some(kind)
    }

    fn look_for_mixture(&mut self, path: &str) {
        let has = |kind| self.of(kind).contains_key(path);
        let one_shot = has(Kind::Data) || has(Kind::Exist) || has(Kind::Child);
        let modes = [one_shot, has(Kind::Persistent), has(Kind::Recursive)];
        if modes.iter().filter(|has| **has).count() > 1 {
            self.mixed.insert(path.to_owned());
            if modes[2] {
                self.murky.insert(path.to_owned());
            }
            self.doubt_dues();
        }
    }

    /// What it was to be told may not come any more where watches are mixed.
    fn doubt_dues(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        due.iter_mut().for_each(|due| due.optional |= self.is_mixed(&due.path));
        self.due = due;
    }

    /// Whether nobody can know what the client watches here.
    fn is_mixed(&self, path: &str) -> bool {
        let below = |path: &str| {
            std::iter::successors(Some(path), |path| parent(path)).any(|path| self.murky.contains(path))
        };
        self.mixed.contains(path) || (!self.murky.is_empty() && below(path))
    }

    /// Forgets the oldest of what it was owed that is like this.
    fn forgive(&mut self, path: &str, change: &str) {
        let is_such = |due: &Due| due.path == path && due.change == change;
        if let Some(late) = self.overdue.iter().position(is_such) {
            self.overdue.remove(late);
        } else if let Some(place) = self.due.iter().position(is_such) {
            self.due.remove(place);
        }
    }

    /// Watches are taken away at the client's wish.
    pub(super) fn remove(&mut self, path: &str, which: &str) {
        let had = |kind| self.of(kind).contains_key(path);
        let recursive = had(Kind::Recursive);
        if had(Kind::Persistent) || recursive {
            self.mixed.insert(path.to_owned());
        }
        if recursive {
            self.murky.insert(path.to_owned());
        }
        let kinds: &[Kind] = match which {
            "children" => &[Kind::Child],
            "data" => &[Kind::Data, Kind::Exist],
            "any" => &Kind::ALL,
            "persistent" => &[Kind::Persistent],
            _ => &[Kind::Recursive],
        };
        for kind in kinds {
            self.of_mut(*kind).remove(path);
        }
        let due = std::mem::take(&mut self.due);
        self.due = due.into_iter().filter(|due| self.is_heard(&due.path, due.change)).collect();
    }

    fn is_heard(&self, path: &str, change: &str) -> bool {
        let mut own = Kind::OWN.into_iter().filter(|kind| kind.hears(change));
        own.any(|kind| self.of(kind).contains_key(path)) || self.recursive_since(path, change).is_some()
    }

    /// Since when a recursive watch covers this path.
    fn recursive_since(&self, path: &str, change: &str) -> Option<Zxid> {
        let recursive = self.of(Kind::Recursive);
        if recursive.is_empty() {
            return None;
        }
        let above = std::iter::successors(Some(path), |path| parent(path));
        let covering = above.filter_map(|path| recursive.get(path));
        covering.map(|watch| watch.since).min().filter(|_| Kind::Recursive.hears(change))
    }

    /// Something happens to a path that it may watch.
    pub(super) fn happen(&mut self, path: &str, happening: &Happening) {
        if !self.connected || !self.armed || self.read_only {
            return;
        }
        let Happening { zxid, change, .. } = happening;
        let mut is_told = self.recursive_since(path, change).is_some_and(|since| since < *zxid);
        for kind in Kind::OWN {
            let Some(watch) = self.of_mut(kind).get_mut(path) else { continue };
            if kind.hears(change) && watch.since < *zxid && !watch.used {
                watch.used = kind.is_one_shot();
                is_told = true;
            }
        }
        let is_known = |due: &Due| (due.zxid, due.path.as_str(), due.change) == (*zxid, path, *change);
        if is_told && !self.due.iter().any(is_known) {
            let place = self.due.partition_point(|due| due.zxid <= *zxid);
            self.due.insert(place, Due::new(path, happening, !self.is_mixed(path)));
        }
    }

    /// It is told of a change.
    pub(super) fn told(&mut self, session: SessionId, path: &str, change: &str) -> Found {
        let kinds = self.use_up(path, change);
        if self.read_only || !self.connected {
            return Found::Nothing;
        }
        let is_such = |due: &Due| due.path == path && due.change == change;
        if !self.armed {
            let again = |known: &(String, String, _)| known.0 == path && known.1 == change;
            let is_watched = !kinds.is_empty() || self.is_mixed(path);
            let is_twice = change == "NodeDeleted" && self.caught.iter().any(again);
            if !is_watched && !is_twice {
                return Found::Needless(format!(
                    "session {session} was told {change} of {path} when it came back, which it does not watch"
                ));
            }
            if !kinds.is_empty() {
                self.caught.push((path.to_owned(), change.to_owned(), kinds));
            }
            return Found::Nothing;
        }
        if self.is_mixed(path) {
            self.forgive(path, change);
            return Found::Nothing;
        }
        if let Some(late) = self.overdue.iter().position(is_such) {
            let Due { zxid, since, .. } = self.overdue.remove(late);
            let (at, shown) = since.map_or((String::new(), zxid), |(point, shown)| (clock(point.at), shown));
            return Found::Late(format!(
                "session {session} is told {change} of {path} ({zxid}) after it was shown {shown} at {at}"
            ));
        }
        let Some(place) = self.due.iter().position(is_such) else {
            return Found::Needless(format!(
                "session {session} is told {change} of {path}, but nothing that it watches has changed so since it \
                 was told last"
            ));
        };
        self.take(session, place)
    }

    /// It is told what stands at this place of what it is owed.
    fn take(&mut self, session: SessionId, place: usize) -> Found {
        let told = self.due.remove(place).expect("it was just found there");
        let earlier = self.due.iter().find(|due| due.zxid < told.zxid && !due.optional);
        earlier.map_or(Found::Nothing, |earlier| {
            Found::Late(format!(
                "session {session} is told {} of {} ({}) before {} of {} ({})",
                told.change, told.path, told.zxid, earlier.change, earlier.path, earlier.zxid
            ))
        })
    }

    /// What the client holds to be used up by an event (`ZKWatchManager.materialize`): which of its watches
    /// concern it.
    fn use_up(&mut self, path: &str, change: &str) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for kind in [Kind::Data, Kind::Exist, Kind::Child] {
            if kind.hears(change) && self.of_mut(kind).remove(path).is_some() {
                kinds.push(kind);
            }
        }
        kinds
    }
}

/// What a client that comes back, having seen everything up to `before`, is told of a watch by a server that
/// has everything up to `zxid` (`DataTree.setWatches`).
fn missed(past: &Past, (path, kind): (&str, Kind), before: Zxid, zxid: Zxid) -> Option<&'static str> {
    let node = past.line.at(path, zxid);
    match (kind, node) {
        (Kind::Data | Kind::Child, None) => Some("NodeDeleted"),
        (Kind::Data, Some(node)) => (node.mzxid > before).then_some("NodeDataChanged"),
        (Kind::Exist, Some(_)) => Some("NodeCreated"),
        (Kind::Child, Some(node)) => (node.pzxid > before).then_some("NodeChildrenChanged"),
        (Kind::Exist, None) | (Kind::Persistent | Kind::Recursive, _) => None,
    }
}
