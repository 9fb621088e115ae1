//! Subscription — decides which notice a subscriber receives next. It never leaves one out in silence.

use std::collections::VecDeque;

use super::{Name, floor, sorted};
use crate::zookeeper::{
    client::{Client, ClientNews},
    recipes::{Meaning, Turn},
    wire::{Data, Op, Reply, ZkError},
};

/// A notice, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its place in the topic's order. There may be numbers that no notice has.
    pub position: i64,
    /// Who published it.
    pub publisher: String,
    /// Its number among the publisher's own.
    pub number: u64,
    /// What it says.
    pub data: Data,
}

/// What a subscriber learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The next notice.
    Notice(Notice),
    /// The subscriber is too far behind: of the notices from `from` up to, not including, `first`, those that
    /// were not received are gone.
    Missed {
        /// The position it was at.
        from: i64,
        /// The position it goes on from.
        first: i64,
    },
}

/// Receives the notices of a topic from some position on.
#[derive(Debug)]
pub struct Subscription {
    topic: String,
    /// The least position that was not received yet; none: the oldest there is.
    position: Option<i64>,
    turn: Turn,
    step: Step,
    /// Names that are listed and not received, in order.
    listed: VecDeque<String>,
    /// Whether the topic has changed since it was listed.
    stale: bool,
    /// The notice that was listed and then not there any more.
    vanished: Option<i64>,
}

/// What the request under way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    List,
    Floor,
    Read,
}

impl Subscription {
    /// A subscription to the topic at this path, a znode that must exist, from this position on; none: from the
    /// oldest notice there is.
    pub fn new(topic: impl Into<String>, position: Option<i64>) -> Self {
        Self {
            topic: topic.into(),
            position,
            turn: Turn::Off,
            step: Step::List,
            listed: VecDeque::new(),
            stale: false,
            vanished: None,
        }
    }

    /// The position to subscribe from after a restart, once everything delivered is dealt with; none before
    /// the topic was first read.
    pub fn position(&self) -> Option<i64> {
        self.position
    }

    /// Begins to listen, in a new session.
    pub fn begin(&mut self, client: &mut Client) {
        self.list(client);
    }

    /// Takes a piece of news; returns what was received.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> Option<Delivery> {
        let is_changed = matches!(news, ClientNews::Watch(event) if event.path == self.topic);
        match self.turn.take(news) {
            Meaning::Back => self.list(client),
            Meaning::Answer(result) => return self.answered(client, result),
            Meaning::Nothing if is_changed && self.turn == Turn::Resting => self.list(client),
            Meaning::Nothing => self.stale |= is_changed,
        }
        None
    }

    fn ask(&mut self, client: &mut Client, step: Step, op: Op) {
        self.step = step;
        self.turn.ask(client, op);
    }

    fn list(&mut self, client: &mut Client) {
        self.stale = false;
        self.listed.clear();
        self.ask(client, Step::List, Op::GetChildren { path: self.topic.clone(), watch: true });
    }

    fn read_floor(&mut self, client: &mut Client) {
        self.ask(client, Step::Floor, Op::GetData { path: self.topic.clone(), watch: false });
    }

    /// Reads the next notice, lists again if there may be more, or rests.
    fn go_on(&mut self, client: &mut Client) {
        match self.listed.front() {
            Some(name) => {
                let path = format!("{}/{name}", self.topic);
                self.ask(client, Step::Read, Op::GetData { path, watch: false });
            }
            None if self.stale => self.list(client),
            None => {}
        }
    }

    fn answered(&mut self, client: &mut Client, result: Result<Reply, ZkError>) -> Option<Delivery> {
        match (self.step, result) {
            (Step::List, Ok(Reply::Children { names, .. })) => self.listed(client, &names),
            (Step::Floor, Ok(Reply::Data { data, .. })) => return self.floor_is(client, floor(&data)),
            (Step::Read, Ok(Reply::Data { data, .. })) => return self.read(client, data),
            (Step::Read, Err(ZkError::NoNode)) => {
                let gone = self.listed.pop_front();
                self.vanished = gone.and_then(|name| Name::parse(&name)).map(|name| name.position);
                self.read_floor(client);
            }
            _ => self.turn = Turn::Interrupted,
        }
        None
    }

    fn listed(&mut self, client: &mut Client, names: &[String]) {
        let from = self.position.unwrap_or(0);
        let wanted = sorted(names).into_iter().filter(|(position, _)| *position >= from);
        self.listed = wanted.map(|(_, name)| name.clone()).collect();
        self.read_floor(client);
    }

    /// The floor, read after the list, tells whether the list is whole from our position on.
    fn floor_is(&mut self, client: &mut Client, floor: i64) -> Option<Delivery> {
        let first = self.vanished.take().map_or(floor, |gone| floor.max(gone + 1));
        let from = self.position.unwrap_or(first);
        self.position = Some(from.max(first));
        self.listed.retain(|name| Name::parse(name).is_some_and(|name| name.position >= first));
        self.go_on(client);
        (first > from).then_some(Delivery::Missed { from, first })
    }

    fn read(&mut self, client: &mut Client, data: Data) -> Option<Delivery> {
        let name = self.listed.pop_front()?;
        let Name { publisher, number, position } = Name::parse(&name)?;
        self.position = Some(position + 1);
        self.go_on(client);
        Some(Delivery::Notice(Notice { position, publisher, number, data }))
    }
}
