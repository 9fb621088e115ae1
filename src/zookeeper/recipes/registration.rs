//! Registration — decides that an ephemeral znode exists and belongs to this very session. It never trusts
//! its content.

use super::{Meaning, Turn};
use crate::{
    name::SessionId,
    zookeeper::{
        client::{Client, ClientNews},
        wire::{CreateMode, Data, Op, Reply, ZkError},
    },
};

/// Keeps one ephemeral znode of the current session in place.
///
/// A znode of an earlier session (of this process or of one before it, on the same host) is not ours: it will
/// vanish with its session, so its end is awaited and then ours is made. A create whose answer was lost is
/// recognised by its owner. A znode that somebody removed is made again.
#[derive(Debug)]
pub struct Registration {
    path: String,
    data: Data,
    ownership: Ownership,
    turn: Turn,
    creating: bool,
    owned_by: Option<SessionId>,
}

/// How a registration tells that a znode of its name is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// By the session that owns it.
    Checked,
    /// Not at all: what is there is taken for its own and never looked at again
    /// (KAFKA-1387, KAFKA-7165; a node then keeps a znode that goes with a dying session).
    Assumed,
}

impl Registration {
    /// A registration at this path.
    pub fn new(path: impl Into<String>, data: Data) -> Self {
        let (path, ownership) = (path.into(), Ownership::Checked);
        Self { path, data, ownership, turn: Turn::Off, creating: false, owned_by: None }
    }

    /// The same with another way to tell whose a znode is.
    pub fn with_ownership(self, ownership: Ownership) -> Self {
        Self { ownership, ..self }
    }

    /// Begins to register, in a new session.
    pub fn begin(&mut self, client: &mut Client) {
        self.owned_by = None;
        self.look(client);
    }

    /// Takes a piece of news; returns the owner when the znode was seen to be this session's (once, unless
    /// it vanishes).
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> Option<SessionId> {
        match self.turn.take(news) {
            Meaning::Back => self.look(client),
            Meaning::Answer(result) => return self.answered(client, result),
            Meaning::Nothing if self.turn.is_woken(news, &self.path) => self.look(client),
            Meaning::Nothing => {}
        }
        None
    }

    fn look(&mut self, client: &mut Client) {
        self.creating = false;
        self.turn.ask(client, Op::Exists { path: self.path.clone(), watch: true });
    }

    fn create(&mut self, client: &mut Client) {
        self.creating = true;
        let (path, data) = (self.path.clone(), self.data.clone());
        self.turn.ask(client, Op::create(path, data, CreateMode::Ephemeral));
    }

    fn answered(&mut self, client: &mut Client, result: Result<Reply, ZkError>) -> Option<SessionId> {
        let creating = std::mem::take(&mut self.creating);
        match result {
            // Made just now, or met: the look tells whose it is, and leaves the watch.
            Ok(_) | Err(ZkError::NodeExists) if creating => self.look(client),
            Ok(Reply::Stat(_)) if self.ownership == Ownership::Assumed => {
                self.turn = Turn::Off;
                return client.session();
            }
            Ok(Reply::Stat(stat)) => return self.found(client, stat.ephemeral_owner),
            Err(ZkError::NoNode) if !creating => {
                self.owned_by = None;
                self.create(client);
            }
            // The parent is missing or the server will not have it: the look's watch, or the next
            // connection, brings another chance.
            _ => self.turn = Turn::Interrupted,
        }
        None
    }

    fn found(&mut self, client: &Client, owner: SessionId) -> Option<SessionId> {
        let ours = client.session().filter(|session| *session == owner);
        let before = std::mem::replace(&mut self.owned_by, ours);
        ours.filter(|_| ours != before)
    }
}
