//! Trimmer — decides which old notices of a topic go, and when. It never takes one away without raising the
//! floor in the same multi.

use super::{floor, sorted};
use crate::zookeeper::{
    client::{Client, ClientNews},
    recipes::{Meaning, Turn},
    wire::{Data, Op, Reply, ZkError},
};

/// The most notices that are trimmed at a time.
const TRIM_MAX: usize = 256;

/// Keeps about so many notices of a topic, whoever published them.
#[derive(Debug)]
pub struct Trimmer {
    topic: String,
    retained: usize,
    turn: Turn,
    step: Step,
    /// Published since the last trim.
    untrimmed: usize,
    /// The floor, and the version of the topic's data that says so.
    floor: (i64, i32),
}

/// What the request under way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Floor,
    List,
    Trim,
}

impl Trimmer {
    /// A trimmer of the topic at this path.
    ///
    /// # Panics
    ///
    /// If nothing is retained.
    pub fn new(topic: impl Into<String>, retained: usize) -> Self {
        assert!(retained > 0, "a topic keeps its last notice at least");
        Self {
            topic: topic.into(),
            retained,
            turn: Turn::Off,
            step: Step::Floor,
            untrimmed: 0,
            floor: (0, 0),
        }
    }

    /// A notice was published: once there are many, old ones go.
    pub fn published(&mut self, client: &mut Client) {
        self.untrimmed += 1;
        let is_free = matches!(self.turn, Turn::Off | Turn::Resting);
        if self.untrimmed > self.retained / 2 && is_free {
            self.untrimmed = 0;
            self.read_floor(client);
        }
    }

    /// Takes a piece of news.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) {
        match self.turn.take(news) {
            Meaning::Back => self.read_floor(client),
            Meaning::Answer(result) => self.answered(client, result),
            Meaning::Nothing => {}
        }
    }

    fn ask(&mut self, client: &mut Client, step: Step, op: Op) {
        self.step = step;
        self.turn.ask(client, op);
    }

    fn read_floor(&mut self, client: &mut Client) {
        self.ask(client, Step::Floor, Op::GetData { path: self.topic.clone(), watch: false });
    }

    fn answered(&mut self, client: &mut Client, result: Result<Reply, ZkError>) {
        match (self.step, result) {
            (Step::Floor, Ok(Reply::Data { data, stat })) => {
                self.floor = (floor(&data), stat.version);
                self.ask(client, Step::List, Op::GetChildren { path: self.topic.clone(), watch: false });
            }
            (Step::List, Ok(Reply::Children { names, .. })) => self.trim(client, &names),
            // Somebody else may have trimmed first; what is left is trimmed the next time.
            _ => {}
        }
    }

    /// Takes the oldest away and raises the floor, all or nothing, unless somebody else has raised it.
    fn trim(&mut self, client: &mut Client, names: &[String]) {
        let notices = sorted(names);
        let surplus = notices.len().saturating_sub(self.retained).min(TRIM_MAX);
        let Some((last, _)) = notices[..surplus].last() else { return };
        let (floor, version) = (self.floor.0.max(last + 1), self.floor.1);
        let data: Data = Some(floor.to_string().into_bytes().into());
        let raise = Op::SetData { path: self.topic.clone(), data, version };
        let path = |name: &String| format!("{}/{name}", self.topic);
        let deletes = notices[..surplus].iter().map(|(_, name)| Op::Delete { path: path(name), version: -1 });
        let op = Op::Multi(std::iter::once(raise).chain(deletes).collect());
        self.ask(client, Step::Trim, op);
    }
}
