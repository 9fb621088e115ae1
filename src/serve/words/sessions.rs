//! Sessions — decides how dump, wchs, wchc and wchp list sessions, ephemerals and watches. It never ends or
//! fires one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use super::{View, date::date};
use crate::{
    core::Instant,
    name::SessionId,
    zookeeper::server::status::{Mode, Status},
};

/// How long a connection without a session is left alone (`zookeeper.nio.sessionlessCnxnTimeout`).
pub(in super::super) const SESSIONLESS_MAX: Duration = Duration::from_secs(10);

/// As wchs has it.
pub(super) fn watch_summary(status: &Status) -> String {
    let sessions: BTreeSet<SessionId> =
        status.watched.iter().flat_map(|(_, sessions)| sessions).copied().collect();
    let paths = status.watched.iter().filter(|(_, sessions)| !sessions.is_empty()).count();
    let total: usize = status.watched.iter().map(|(_, sessions)| sessions.len()).sum();
    format!("{} connections watching {paths} paths\nTotal watches:{total}\n", sessions.len())
}

/// As wchc has it.
pub(super) fn watches_by_session(status: &Status) -> String {
    let mut by_session: BTreeMap<SessionId, Vec<&str>> = BTreeMap::new();
    for (path, sessions) in &status.watched {
        sessions.iter().for_each(|session| by_session.entry(*session).or_default().push(path));
    }
    let lists = by_session.into_iter();
    lists.map(|(session, paths)| list(&format!("{:#x}", session.0), paths)).collect()
}

/// As wchp has it.
pub(super) fn watches_by_path(status: &Status) -> String {
    let lists = status.watched.iter().filter(|(_, sessions)| !sessions.is_empty());
    lists.map(|(path, sessions)| list(path, sessions.iter().map(hex))).collect()
}

fn hex(session: &SessionId) -> String {
    format!("{:#x}", session.0)
}

fn list(head: &str, items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    items.into_iter().fold(format!("{head}\n"), |out, item| out + "\t" + item.as_ref() + "\n")
}

/// Sessions, ephemerals and connections, with the times at which they end.
pub(super) fn dump(view: &View<'_>) -> String {
    let status = view.status;
    let mut out = String::from("SessionTracker dump:\n");
    match status.mode {
        Some(Mode::Follower | Mode::Observer) => {
            writeln!(out, "Global Sessions({}):", status.sessions.len()).expect("a string takes everything");
            for (session, timeout_ms) in &status.sessions {
                writeln!(out, "{}\t{timeout_ms}ms", hex(session)).expect("a string takes everything");
            }
        }
        _ => {
            let sets = status.expiries.iter();
            let sets = sets.map(|(at, sessions)| (*at, sessions.iter().map(hex).collect()));
            out += &expiring(view, "Session", sets.collect());
        }
    }
    out += &ephemerals(status);
    out += "Connections dump:\n";
    out + &expiring(view, "Connections", connections(view))
}

fn ephemerals(status: &Status) -> String {
    let mut by_owner: BTreeMap<SessionId, Vec<&str>> = BTreeMap::new();
    for ephemeral in &status.ephemerals {
        by_owner.entry(ephemeral.session).or_default().push(&ephemeral.path);
    }
    let head = format!("ephemeral nodes dump:\nSessions with Ephemerals ({}):\n", by_owner.len());
    by_owner.into_iter().fold(head, |out, (owner, paths)| out + &list(&format!("{}:", hex(&owner)), paths))
}

/// When connections end if nothing more comes, in steps of a tick.
fn connections(view: &View<'_>) -> BTreeMap<Instant, Vec<String>> {
    let tick = (view.config.tick_ms * 1_000_000).max(1);
    let mut ends: BTreeMap<Instant, Vec<String>> = BTreeMap::new();
    for peer in view.peers {
        let known = view.status.connections.iter().find(|connection| connection.conn == peer.conn);
        let with_session = known.filter(|connection| connection.session != SessionId::NONE);
        let session = with_session.map_or(SessionId::NONE, |connection| connection.session);
        let end = match with_session {
            Some(connection) => {
                let heard = connection.last.map_or(connection.since, |last| last.at);
                heard + Duration::from_millis(connection.timeout_ms)
            }
            None => known.map_or(view.now.mono, |connection| connection.since) + SESSIONLESS_MAX,
        };
        let bucket = Instant((end.0 / tick + 1) * tick);
        let line = format!("ip: /{} sessionId: {}", peer.address, hex(&session));
        ends.entry(bucket).or_default().push(line);
    }
    ends
}

fn expiring(view: &View<'_>, what: &str, sets: BTreeMap<Instant, Vec<String>>) -> String {
    let all: usize = sets.values().map(Vec::len).sum();
    let head = format!("{what} Sets ({})/({all}):\n", sets.len());
    sets.into_iter().fold(head, |out, (at, items)| {
        let wall_ms = view.now.wall_ms + at.since(view.now.mono).as_millis() as i64;
        out + &list(&format!("{} expire at {}:", items.len(), date(wall_ms)), items)
    })
}
