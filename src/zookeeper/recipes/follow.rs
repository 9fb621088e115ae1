//! Follow — decides when a znode is read again, so that its reader ends up with the newest value. It never
//! compares values.

use super::{Meaning, Turn};
use crate::zookeeper::{
    client::{Client, ClientNews},
    wire::{Data, Op, Reply, Stat, ZkError},
};

/// What of a znode is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Its data.
    Data,
    /// The names of its children.
    Children,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The data, with the node's Stat.
    Data(Data, Stat),
    /// The children's names, sorted.
    Children(Vec<String>),
    /// There is no such znode (now).
    Missing,
}

/// Follows one znode for the length of a session.
///
/// Several changes between two reads are seen as one. The values seen never go back within a session.
#[derive(Debug)]
pub struct Follow {
    path: String,
    what: What,
    turn: Turn,
    probing: bool,
}

impl Follow {
    /// A follower of this znode.
    pub fn new(path: impl Into<String>, what: What) -> Self {
        Self { path: path.into(), what, turn: Turn::Off, probing: false }
    }

    /// Begins to follow, in a new session.
    pub fn begin(&mut self, client: &mut Client) {
        self.read(client);
    }

    /// Takes a piece of news; returns what was read, if it was an answer to a read.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> Option<Seen> {
        match self.turn.take(news) {
            Meaning::Back => self.read(client),
            Meaning::Answer(result) => return self.answered(client, result),
            Meaning::Nothing if self.turn.is_woken(news, &self.path) => self.read(client),
            Meaning::Nothing => {}
        }
        None
    }

    fn read(&mut self, client: &mut Client) {
        self.probing = false;
        let path = self.path.clone();
        let op = match self.what {
            What::Data => Op::GetData { path, watch: true },
            What::Children => Op::GetChildren { path, watch: true },
        };
        self.turn.ask(client, op);
    }

    /// Only exists leaves a watch on what is missing.
    fn probe(&mut self, client: &mut Client) {
        self.probing = true;
        self.turn.ask(client, Op::Exists { path: self.path.clone(), watch: true });
    }

    fn answered(&mut self, client: &mut Client, result: Result<Reply, ZkError>) -> Option<Seen> {
        match result {
            Ok(Reply::Data { data, stat }) => return Some(Seen::Data(data, stat)),
            Ok(Reply::Children { names, .. }) => return Some(Seen::Children(names)),
            Ok(_) => self.read(client),
            Err(_) if self.probing => {}
            Err(_) => {
                self.probe(client);
                return Some(Seen::Missing);
            }
        }
        None
    }
}
