//! Four-letter words — decides what a server answers to plain words on its client port, in the formats of a
//! real 3.8.0 server (`server/command/*.java`). It never decides who may ask.

mod connections;
mod date;
mod sessions;

use std::{fmt::Write as _, net::SocketAddr, path::Path};

pub(super) use self::sessions::SESSIONLESS_MAX;

use crate::{
    core::{ConnId, Now},
    zookeeper::{
        server::status::{Mode, Status},
        wire::{Compat, EnsembleConfig},
    },
};

/// Words that there are.
const WORDS: [&str; 16] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "hash", "isro", "mntr", "ruok", "srst", "srvr", "stat",
    "wchc", "wchp", "wchs",
];
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// Whether this is a word.
pub(super) fn is_known(word: &str) -> bool {
    WORDS.contains(&word)
}

/// The word that a client sent in place of a length.
pub(super) fn word(head: [u8; 4]) -> Option<&'static str> {
    WORDS.into_iter().find(|word| word.as_bytes() == head)
}

/// A connection, whether or not the server knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) conn: ConnId,
    pub(super) address: SocketAddr,
    /// Whether anything is read from it.
    pub(super) is_read: bool,
}

/// What words are answered from.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) config: &'a EnsembleConfig,
    pub(super) status: &'a Status,
    pub(super) now: Now,
    /// Where the server listens.
    pub(super) address: SocketAddr,
    /// Where its files are.
    pub(super) data: Option<&'a Path>,
    /// How long they are, in bytes.
    pub(super) data_size: u64,
    /// All connections, this one included.
    pub(super) peers: &'a [Peer],
}

/// The answer to a word. What crst and srst reset is reset elsewhere.
pub(super) fn answer(word: &str, view: &View<'_>) -> String {
    match (word, view.status.mode) {
        ("ruok", _) => "imok".into(),
        ("envi", _) => environment(view.config.compat),
        ("isro", None) => "null".into(),
        ("isro", Some(Mode::ReadOnly)) => "ro".into(),
        ("isro", Some(_)) => "rw".into(),
        (_, None) => NOT_SERVING.into(),
        ("srvr", Some(mode)) => version_line(view.config.compat) + &server(view, mode),
        ("stat", Some(mode)) => {
            format!(
                "{}Clients:\n{}\n{}",
                version_line(view.config.compat),
                connections::brief(view),
                server(view, mode)
            )
        }
        ("mntr", Some(mode)) => monitor(view, mode),
        ("conf", Some(_)) => configuration(view),
        ("cons", Some(_)) => connections::full(view) + "\n",
        ("wchs", Some(_)) => sessions::watch_summary(view.status),
        ("wchc", Some(_)) => sessions::watches_by_session(view.status) + "\n",
        ("wchp", Some(_)) => sessions::watches_by_path(view.status) + "\n",
        ("dump", Some(_)) => sessions::dump(view),
        ("crst", Some(_)) => "Connection stats reset.\n".into(),
        ("srst", Some(_)) => "Server stats reset.\n".into(),
        ("dirs", Some(_)) => format!("datadir_size: {0}\nlogdir_size: {0}\n", view.data_size),
        // The digests of transactions that were to be kept: none are.
        _ => String::new(),
    }
}

/// The version that is modeled, and who models it.
fn version(compat: Compat) -> String {
    let modeled = match compat {
        Compat::V3_8 => "3.8.0",
        Compat::V3_9 => "3.9.0",
    };
    format!("{modeled}-shardarium-{}, built on 2026-01-01 00:00 UTC", env!("CARGO_PKG_VERSION"))
}

fn version_line(compat: Compat) -> String {
    format!("Zookeeper version: {}\n", version(compat))
}

fn environment(compat: Compat) -> String {
    format!(
        "Environment:\nzookeeper.version={}\nhost.name=localhost\nos.name={}\nos.arch={}\n",
        version(compat),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Standalone => "standalone",
        Mode::Leader => "leader",
        Mode::Follower => "follower",
        Mode::Observer => "observer",
        Mode::ReadOnly => "read-only",
    }
}

/// Java's way to write a number of at most four decimals.
fn decimal(value: f64) -> String {
    format!("{:?}", (value * 10_000.0).round() / 10_000.0)
}

/// ZooKeeper has the root twice in its table, as `/` and as an empty path (`DataTree.java`).
fn node_count(status: &Status) -> u64 {
    status.znodes + 1
}

fn server(view: &View<'_>, mode: Mode) -> String {
    let Status { traffic, zxid, outstanding, .. } = view.status;
    let znodes = node_count(view.status);
    let latency = traffic.latency;
    format!(
        "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\nOutstanding: {outstanding}\n\
         Zxid: {:#x}\nMode: {}\nNode count: {znodes}\n",
        latency.min.as_millis(),
        decimal(latency.avg().as_secs_f64() * 1_000.0),
        latency.max.as_millis(),
        traffic.received,
        traffic.sent,
        view.peers.len(),
        zxid.0,
        mode_name(mode),
    )
}

fn monitor(view: &View<'_>, mode: Mode) -> String {
    let status = view.status;
    let latency = status.traffic.latency;
    let mut out = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(out, "zk_{name}\t{value}").expect("a string takes everything");
    };
    line("version", &version(view.config.compat));
    line("server_state", &mode_name(mode));
    line("ephemerals_count", &status.ephemerals.len());
    line("num_alive_connections", &view.peers.len());
    line("avg_latency", &decimal(latency.avg().as_secs_f64() * 1_000.0));
    line("min_latency", &latency.min.as_millis());
    line("max_latency", &latency.max.as_millis());
    line("outstanding_requests", &status.outstanding);
    line("znode_count", &node_count(status));
    line("global_sessions", &status.sessions.len());
    line("local_sessions", &status.local_sessions.len());
    line("packets_sent", &status.traffic.sent);
    line("packets_received", &status.traffic.received);
    line("watch_count", &status.watches);
    line("uptime", &view.now.mono.since(status.started).as_millis());
    if mode != Mode::Standalone && mode != Mode::ReadOnly {
        line("quorum_size", &view.config.servers.len());
    }
    if let (Mode::Leader, Some(learners)) = (mode, status.learners) {
        line("learners", &learners.connected);
        line("synced_followers", &learners.synced);
        line("pending_syncs", &learners.pending_syncs);
    }
    out
}

fn configuration(view: &View<'_>) -> String {
    let config = view.config;
    let data = view.data.map_or("memory".into(), |path| path.display().to_string());
    let mut out = format!(
        "clientPort={}\nsecureClientPort=-1\ndataDir={data}\ndataDirSize={size}\ndataLogDir={data}\n\
         dataLogSize={size}\ntickTime={}\nmaxClientCnxns={}\nminSessionTimeout={}\nmaxSessionTimeout={}\n\
         clientPortListenBacklog=-1\nserverId={}\n",
        view.address.port(),
        config.tick_ms,
        config.max_client_connections,
        config.session_timeout_min_ms(),
        config.session_timeout_max_ms(),
        if config.servers.len() == 1 { 0 } else { view.status.server.number },
        size = view.data_size,
    );
    if config.servers.len() > 1 {
        let limits = format!(
            "initLimit={}\nsyncLimit={}\nelectionAlg=3\npeerType={}\n",
            config.init_limit,
            config.sync_limit,
            u8::from(config.observers.contains(&view.status.server)),
        );
        out += &limits;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_lengths() {
        assert_eq!(word(*b"ruok"), Some("ruok"));
        assert_eq!(word([0, 0, 0, 44]), None);
        assert_eq!(word(*b"zzzz"), None);
    }

    #[test]
    fn decimals_are_written_as_java_does() {
        assert_eq!(decimal(0.0), "0.0");
        assert_eq!(decimal(16.0 / 19.0), "0.8421");
        assert_eq!(decimal(2.0), "2.0");
    }

    /// kazoo and others read the version from envi: three numbers before anything else.
    #[test]
    fn version_begins_with_the_version_that_is_modeled() {
        assert!(environment(Compat::V3_8).contains("\nzookeeper.version=3.8.0-"));
        assert!(environment(Compat::V3_9).contains("\nzookeeper.version=3.9.0-"));
    }
}
