//! Publisher — decides when a notice is published. It never publishes the next one before it knows of the last.

use std::collections::VecDeque;

use super::{Name, Trimmer, publish};
use crate::{
    name::Zxid,
    zookeeper::{
        client::{Client, ClientNews},
        recipes::{Meaning, Turn},
        wire::{Data, Op, Reply, ZkError},
    },
};

/// A notice has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its number among the publisher's own.
    pub number: u64,
    /// Its place in the topic's order.
    pub position: i64,
    /// The transaction that published it; none if the answer was lost and the notice was found afterwards.
    pub zxid: Option<Zxid>,
}

/// Publishes notices on a topic, one after another, and has old ones trimmed.
#[derive(Debug)]
pub struct Publisher {
    topic: String,
    name: String,
    trimmer: Trimmer,
    next_number: u64,
    /// Notices that are not known to be published, by number.
    queue: VecDeque<(u64, Data)>,
    turn: Turn,
    step: Step,
}

/// What the request under way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Publish,
    Look,
}

impl Publisher {
    /// A publisher of this name, its own, on the topic at this path, a znode that must exist. It keeps about
    /// `retained` notices of the topic, its own and others'.
    ///
    /// # Panics
    ///
    /// If nothing is retained, or the name has a `/`.
    pub fn new(topic: impl Into<String>, name: impl Into<String>, retained: usize) -> Self {
        let (topic, name) = (topic.into(), name.into());
        assert!(!name.contains('/'), "a publisher's name is part of a znode's");
        Self {
            trimmer: Trimmer::new(topic.clone(), retained),
            topic,
            name,
            next_number: 0,
            queue: VecDeque::new(),
            turn: Turn::Off,
            step: Step::Look,
        }
    }

    /// Begins to publish, in a new session: looks first whether the notice that was under way in the last one
    /// is there.
    pub fn begin(&mut self, client: &mut Client) {
        self.look(client);
    }

    /// Takes a notice; returns its number. It is published when it is its turn.
    pub fn publish(&mut self, client: &mut Client, data: Data) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.queue.push_back((number, data));
        if self.turn == Turn::Resting {
            self.go_on(client);
        }
        number
    }

    /// Notices that are not known to be published.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes a piece of news; returns which notice is published by it.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> Option<Published> {
        self.trimmer.news(client, news);
        match self.turn.take(news) {
            Meaning::Back => self.look(client),
            Meaning::Answer(result) => return self.answered(client, result),
            Meaning::Nothing => {}
        }
        None
    }

    fn ask(&mut self, client: &mut Client, step: Step, op: Op) {
        self.step = step;
        self.turn.ask(client, op);
    }

    /// Whether the notice under way is there; behind a sync, so that it is not published twice.
    fn look(&mut self, client: &mut Client) {
        client.ask(Op::Sync { path: self.topic.clone() });
        self.ask(client, Step::Look, Op::GetChildren { path: self.topic.clone(), watch: false });
    }

    /// Publishes the next one, or rests.
    fn go_on(&mut self, client: &mut Client) {
        if let Some((number, data)) = self.queue.front() {
            let op = publish(&self.topic, &self.name, *number, data.clone());
            self.ask(client, Step::Publish, op);
        }
    }

    fn answered(&mut self, client: &mut Client, result: Result<Reply, ZkError>) -> Option<Published> {
        match (self.step, result) {
            (Step::Publish, Ok(Reply::Created { path, stat })) => {
                let name = path.rsplit('/').next().unwrap_or_default();
                return self.published(client, name, Some(stat.czxid));
            }
            (Step::Look, Ok(Reply::Children { names, .. })) => return self.looked(client, &names),
            _ => self.turn = Turn::Interrupted,
        }
        None
    }

    fn looked(&mut self, client: &mut Client, names: &[String]) -> Option<Published> {
        let prefix = self.queue.front().map(|(number, _)| Name::prefix(&self.name, *number));
        let found = names.iter().find(|name| prefix.as_ref().is_some_and(|prefix| name.starts_with(prefix)));
        match found {
            Some(name) => self.published(client, name, None),
            None => {
                self.go_on(client);
                None
            }
        }
    }

    fn published(&mut self, client: &mut Client, name: &str, zxid: Option<Zxid>) -> Option<Published> {
        let Name { number, position, .. } = Name::parse(name)?;
        self.queue.pop_front();
        self.trimmer.published(client);
        self.go_on(client);
        Some(Published { number, position, zxid })
    }
}
