//! Settings — decides what can be set for a client. It never acts on them.

use std::time::Duration;

use crate::{defect::Defects, name::HostId};

/// Settings of a [`Client`](super::Client).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The servers it may use; at least one. Each session goes through them in an order of its own.
    pub servers: Vec<HostId>,
    /// The session timeout it asks for; the server grants one within its own bounds.
    pub session_timeout: Duration,
    /// The node that the client takes for the root: every path it names, and is told, is below. None, or `/`:
    /// the real root.
    pub chroot: Option<String>,
    /// Whether a server without a quorum, which only answers reads, will do (`canBeReadOnly`).
    pub read_only: bool,
    /// Who may find that the session is over.
    pub expiry: Expiry,
    /// Historic bugs that are switched on.
    pub defects: Defects,
}

/// Who finds that a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// Only a server, when the client can ask one again: the Java client up to 3.9.
    #[default]
    ByServer,
    /// The client too, once it has heard nothing for 4/3 of the timeout (ZOOKEEPER-4508). Its session may
    /// then live on for a while as far as the servers know.
    ByClient,
}

impl ClientConfig {
    /// A client of these servers that asks for this session timeout, with the Java client's defaults for the
    /// rest.
    pub fn new(servers: Vec<HostId>, session_timeout: Duration) -> Self {
        Self {
            servers,
            session_timeout,
            chroot: None,
            read_only: false,
            expiry: Expiry::ByServer,
            defects: Defects::default(),
        }
    }
}
