//! Layout — decides that the persistent znodes an application builds on exist. It never removes or changes
//! one.

use std::collections::BTreeSet;

use super::{Meaning, Turn};
use crate::zookeeper::{
    client::{Client, ClientNews, RequestId},
    wire::{CreateMode, Data, Op, ZkError},
};

/// Makes a list of persistent znodes where they are missing, parents before children.
///
/// Whoever comes second finds `NodeExists`, which is just as good. A session that sees the last znode of the
/// list takes the others for granted, since all are created in one order.
#[derive(Debug)]
pub struct Layout {
    znodes: Vec<(String, Data)>,
    turn: Turn,
    creating: BTreeSet<RequestId>,
    failed: bool,
}

impl Layout {
    /// These znodes, each with the data it gets if it has to be made.
    ///
    /// # Panics
    ///
    /// If the list is empty.
    pub fn new(znodes: Vec<(String, Data)>) -> Self {
        assert!(!znodes.is_empty(), "a layout names at least one znode");
        Self { znodes, turn: Turn::Off, creating: BTreeSet::new(), failed: false }
    }

    /// Begins to look, in a new session.
    pub fn begin(&mut self, client: &mut Client) {
        self.creating.clear();
        let path = self.znodes[self.znodes.len() - 1].0.clone();
        self.turn.ask(client, Op::Exists { path, watch: false });
    }

    /// Takes a piece of news; true when every znode exists.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> bool {
        match self.turn.take(news) {
            Meaning::Back => self.begin(client),
            Meaning::Answer(Ok(_)) => return true,
            Meaning::Answer(Err(_)) => self.create_all(client),
            Meaning::Nothing => return self.creation_news(news),
        }
        false
    }

    /// All at once: a client's requests take effect in the order sent.
    fn create_all(&mut self, client: &mut Client) {
        self.failed = false;
        for (path, data) in &self.znodes {
            let (path, data) = (path.clone(), data.clone());
            self.creating.insert(client.ask(Op::create(path, data, CreateMode::Persistent)));
        }
    }

    fn creation_news(&mut self, news: &ClientNews) -> bool {
        match news {
            ClientNews::Reply { id, result } if self.creating.remove(id) => {
                self.failed |= !matches!(result, Ok(_) | Err(ZkError::NodeExists));
                if self.failed && self.turn.is_on() {
                    self.turn = Turn::Interrupted;
                }
                self.creating.is_empty() && !self.failed
            }
            ClientNews::State(state) if state.is_over() => {
                self.creating.clear();
                false
            }
            _ => false,
        }
    }
}
