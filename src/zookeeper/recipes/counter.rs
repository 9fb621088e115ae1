//! Counter — decides which number nobody else has drawn. It never hands out one that was drawn before it.

use super::{Meaning, Turn};
use crate::{
    name::{Epoch, Zxid},
    zookeeper::{
        client::{Client, ClientNews},
        wire::{Data, Op, Reply, ZkError},
    },
};

/// A number drawn from the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The number: greater than all drawn before.
    pub epoch: Epoch,
    /// The znode's data version as of this draw: as long as it stands, nobody has drawn after us.
    pub version: i32,
    /// The transaction of this draw.
    pub zxid: Zxid,
}

/// Draws epochs from a persistent znode that holds the last one as decimal text, by compare-and-set.
///
/// A draw whose answer was lost is given up: numbers may be skipped, but never shared.
#[derive(Debug)]
pub struct EpochCounter {
    path: String,
    turn: Turn,
    attempt: Option<Epoch>,
}

impl EpochCounter {
    /// The counter at this path.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), turn: Turn::Off, attempt: None }
    }

    /// The number in a counter's data; 0 if none was drawn yet.
    pub fn parse(data: &Data) -> Epoch {
        let text = data.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        Epoch(text.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
    }

    /// Begins to draw.
    pub fn begin(&mut self, client: &mut Client) {
        self.attempt = None;
        self.turn.ask(client, Op::GetData { path: self.path.clone(), watch: false });
    }

    /// Draws no more.
    pub fn stop(&mut self) {
        self.turn = Turn::Off;
    }

    /// Takes a piece of news; returns the number when it is drawn.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> Option<Drawn> {
        match self.turn.take(news) {
            Meaning::Back => self.begin(client),
            Meaning::Answer(result) => return self.answered(client, result),
            Meaning::Nothing => {}
        }
        None
    }

    fn answered(&mut self, client: &mut Client, result: Result<Reply, ZkError>) -> Option<Drawn> {
        match (result, self.attempt) {
            (Ok(Reply::Data { data, stat }), None) => {
                let next = Self::parse(&data).0.saturating_add(1);
                self.write(client, Epoch(next), stat.version);
            }
            (Ok(Reply::Stat(stat)), Some(epoch)) => {
                self.turn = Turn::Off;
                return Some(Drawn { epoch, version: stat.version, zxid: stat.mzxid });
            }
            (Err(ZkError::BadVersion), Some(_)) => self.begin(client),
            _ => self.turn = Turn::Interrupted,
        }
        None
    }

    fn write(&mut self, client: &mut Client, epoch: Epoch, version: i32) {
        self.attempt = Some(epoch);
        let data: Data = Some(epoch.to_string().into_bytes().into());
        self.turn.ask(client, Op::SetData { path: self.path.clone(), data, version });
    }
}
