//! Connections — decides, from the record alone, which server each client is on. It never judges.

use std::collections::BTreeMap;

use crate::{
    check::hosts::is_new_life,
    event::{Event, EventKind},
    name::{HostId, SessionId},
};

/// A client as laws tell it from others: two hosts may hold the same session, one after the other.
pub(in crate::check) type Client = (HostId, SessionId);

/// The connections that clients have, or had last.
#[derive(Debug, Default)]
pub(in crate::check) struct Connections {
    all: BTreeMap<Client, (HostId, bool)>,
}

impl Connections {
    /// Reads the next event.
    pub(in crate::check) fn observe(&mut self, event: &Event) {
        let Some(host) = event.host else { return };
        match &event.kind {
            EventKind::ClientConnected { session, server, read_only, .. } => {
                self.all.insert((host, *session), (*server, *read_only));
            }
            kind if is_new_life(kind) => self.all.retain(|(owner, _), _| *owner != host),
            _ => {}
        }
    }

    /// The server that this client is on.
    pub(in crate::check) fn server(&self, client: Client) -> Option<HostId> {
        self.all.get(&client).map(|(server, _)| *server)
    }

    /// Whether that server has no quorum and only answers reads, from a state that may never be committed.
    pub(in crate::check) fn is_read_only(&self, client: Client) -> bool {
        self.all.get(&client).is_some_and(|(_, read_only)| *read_only)
    }
}

/// Whether an operation is a write that its own transaction answers.
pub(in crate::check) fn is_write(op: &str) -> bool {
    matches!(op, "create" | "delete" | "setData" | "setACL" | "multi" | "reconfig")
}
