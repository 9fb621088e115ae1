//! Fresh reads — decides what a znode holds at least as of now, on whichever server. It never leaves a watch.

use super::{Meaning, Turn};
use crate::zookeeper::{
    client::{Client, ClientNews},
    wire::{Data, Op, Reply, Stat},
};

/// Reads one znode after a sync, so that everything committed before the question is in the answer.
///
/// ZooKeeper's own limit holds: a leader that does not know yet that it is deposed answers a sync by itself,
/// so whoever acts on the answer has to write with a version check.
#[derive(Debug)]
pub struct FreshRead {
    path: String,
    turn: Turn,
}

impl FreshRead {
    /// A reader of this znode.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), turn: Turn::Off }
    }

    /// Begins to read.
    pub fn begin(&mut self, client: &mut Client) {
        client.ask(Op::Sync { path: self.path.clone() });
        self.turn.ask(client, Op::GetData { path: self.path.clone(), watch: false });
    }

    /// Wants nothing more.
    pub fn stop(&mut self) {
        self.turn = Turn::Off;
    }

    /// Takes a piece of news; returns the answer when it is there. A lost connection is made up for.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> Option<(Data, Stat)> {
        match self.turn.take(news) {
            Meaning::Back => self.begin(client),
            Meaning::Answer(Ok(Reply::Data { data, stat })) => {
                self.turn = Turn::Off;
                return Some((data, stat));
            }
            Meaning::Answer(_) => self.turn = Turn::Interrupted,
            Meaning::Nothing => {}
        }
        None
    }
}
