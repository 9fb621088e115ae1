//! Transport — decides which connection carries a message to another node. It never reads a message.
//!
//! A node keeps one outgoing connection to each peer it speaks to, dialled on demand; answers come back on
//! the peer's own outgoing connection. Messages to one peer arrive in order as long as the connection
//! stands; when it breaks, what was in flight is lost and the parts of the node are told that the peer is
//! lost, so that they fail or retry what waited for it.

use std::collections::BTreeMap;

use crate::{
    core::{Address, ConnId, FileName, Now, Output, Port},
    name::HostId,
    search::wire::{Message, Transport},
};

/// What a part of a search node may use during a step.
pub struct Ctx<'a> {
    /// This host's clocks.
    pub now: Now,
    /// This node.
    pub me: HostId,
    /// Where effects go.
    pub out: &'a mut Output<Message>,
    /// Connections to other nodes.
    pub links: &'a mut Links,
}

impl Ctx<'_> {
    /// Sends to another node's like part, or to this node's own (through [`Links::take_local`]).
    pub fn send(&mut self, to: HostId, message: Transport) {
        self.links.send(self.me, to, None, message, self.out);
    }

    /// The same, once everything written to `file` so far is durable. Not to this node itself.
    pub fn send_after_sync(&mut self, file: &FileName, to: HostId, message: Transport) {
        assert!(to != self.me, "a node does not wait for its disk to speak to itself");
        self.links.send(self.me, to, Some(file), message, self.out);
    }
}

/// The connections of one node to its peers.
#[derive(Debug, Default)]
pub struct Links {
    outgoing: BTreeMap<HostId, ConnId>,
    incoming: BTreeMap<ConnId, HostId>,
    local: Vec<Transport>,
}

impl Links {
    fn send(
        &mut self,
        me: HostId,
        to: HostId,
        after: Option<&FileName>,
        message: Transport,
        out: &mut Output<Message>,
    ) {
        if to == me {
            self.local.push(message);
            return;
        }
        let conn =
            *self.outgoing.entry(to).or_insert_with(|| out.dial(Address { host: to, port: Port::Transport }));
        match after {
            None => out.send(conn, message),
            Some(file) => out.send_after_sync(file, conn, message),
        }
    }

    /// Messages of this node to itself, to be handled in the same step.
    pub fn take_local(&mut self) -> Vec<Transport> {
        std::mem::take(&mut self.local)
    }

    /// A peer connected to the transport port.
    pub fn accepted(&mut self, conn: ConnId, from: HostId) {
        self.incoming.insert(conn, from);
    }

    /// Who speaks on this incoming connection.
    pub fn peer(&self, conn: ConnId) -> Option<HostId> {
        self.incoming.get(&conn).copied()
    }

    /// A connection ended. If it was the outgoing one to a peer: that peer, which is lost.
    pub fn closed(&mut self, conn: ConnId) -> Option<HostId> {
        if self.incoming.remove(&conn).is_some() {
            return None;
        }
        let peer = self.outgoing.iter().find(|(_, c)| **c == conn).map(|(peer, _)| *peer)?;
        self.outgoing.remove(&peer);
        Some(peer)
    }

    /// Gives up a peer that is silent: its outgoing connection is closed; the next send dials anew.
    pub fn drop_peer(&mut self, peer: HostId, out: &mut Output<Message>) {
        if let Some(conn) = self.outgoing.remove(&peer) {
            out.close(conn);
        }
    }
}
