//! Configuration — decides which value of a shared setting holds here, and whether a change of it took
//! effect. It never decides what the value means.
//!
//! # What holds
//!
//! 1. **Values are applied forward**: in the order in which they were written, over sessions and servers too.
//!    Values that were overwritten at once may be left out.
//! 2. **A change builds on what its author saw**: it takes effect only if nobody wrote in between.
//! 3. **A change is reported as it was**: `Written` and `Overtaken` are certain; what cannot be known is
//!    `Unknown`.
//! 4. **In the end all have the last value.**
//!
//! # Why
//!
//! The value is read with the watch that announces the next one; each is known by the transaction that wrote
//! it (`mzxid`), and one that is not greater than the last applied is left out: a new session may begin on a
//! server that lags behind (1, 4). A change is a setData that names the version it builds on (2). When its
//! answer is lost it is asked again: either it takes effect now, or the version has moved on, and a version
//! that is the next one and holds our own bytes is ours (3; bytes that differ by author make that certain).
//!
//! # What the caller must do
//!
//! Put something of its own into each value it proposes; build the next proposal on the value last applied;
//! treat `Unknown` as the open question it is.

use super::{Follow, FreshRead, Meaning, Seen, Turn, What};
use crate::{
    name::Zxid,
    zookeeper::{
        client::{Client, ClientNews},
        wire::{Data, Op, Reply, Stat, ZkError},
    },
};

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It took effect, and made the node's Stat this.
    Written(Stat),
    /// It did not, and never will: somebody else wrote first.
    Overtaken,
    /// Nobody knows whether it took effect before others wrote, or before the session ended.
    Unknown,
}

/// What the owner of a configuration learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// This value holds now.
    Applied(Data, Stat),
    /// What became of the change.
    Settled(Fate),
}

/// A value in a znode: followed, and changed by compare-and-set.
#[derive(Debug)]
pub struct Configuration {
    path: String,
    follow: Follow,
    applied: Zxid,
    change: Option<Change>,
    turn: Turn,
    fresh: FreshRead,
}

/// A change under way.
#[derive(Debug, Clone)]
struct Change {
    data: Data,
    version: i32,
    /// Whether an answer was lost: it may have taken effect already.
    doubtful: bool,
}

impl Configuration {
    /// The configuration at this path, a znode that must exist.
    pub fn new(path: impl Into<String>) -> Self {
        let path = path.into();
        Self {
            follow: Follow::new(path.clone(), What::Data),
            fresh: FreshRead::new(path.clone()),
            path,
            applied: Zxid(0),
            change: None,
            turn: Turn::Off,
        }
    }

    /// Begins to follow, in a new session.
    pub fn begin(&mut self, client: &mut Client) {
        self.follow.begin(client);
    }

    /// Whether a change can be proposed: none is under way.
    pub fn is_settled(&self) -> bool {
        self.change.is_none()
    }

    /// Proposes a value that builds on the one of this version.
    ///
    /// # Panics
    ///
    /// If another change is under way.
    pub fn propose(&mut self, client: &mut Client, data: Data, version: i32) {
        assert!(self.is_settled(), "one change at a time");
        self.change = Some(Change { data, version, doubtful: false });
        self.write(client);
    }

    /// Takes a piece of news; returns what it means, in order.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> Vec<Setting> {
        let fate = self.change_news(client, news).map(Setting::Settled);
        let applied = match self.follow.news(client, news) {
            Some(Seen::Data(data, stat)) => self.apply(data, stat),
            _ => None,
        };
        fate.into_iter().chain(applied).collect()
    }

    fn apply(&mut self, data: Data, stat: Stat) -> Option<Setting> {
        if stat.mzxid <= self.applied {
            return None;
        }
        self.applied = stat.mzxid;
        Some(Setting::Applied(data, stat))
    }

    fn write(&mut self, client: &mut Client) {
        if let Some(Change { data, version, .. }) = self.change.clone() {
            self.turn.ask(client, Op::SetData { path: self.path.clone(), data, version });
        }
    }

    fn settle(&mut self, fate: Fate) -> Option<Fate> {
        (self.turn, self.change) = (Turn::Off, None);
        self.fresh.stop();
        Some(fate)
    }

    fn change_news(&mut self, client: &mut Client, news: &ClientNews) -> Option<Fate> {
        self.change.as_ref()?;
        if matches!(news, ClientNews::State(state) if state.is_over()) {
            return self.settle(Fate::Unknown);
        }
        if let Some((data, stat)) = self.fresh.news(client, news) {
            return self.judge(&data, stat);
        }
        match self.turn.take(news) {
            Meaning::Back => {
                self.change.iter_mut().for_each(|change| change.doubtful = true);
                self.write(client);
                None
            }
            Meaning::Answer(Ok(Reply::Stat(stat))) => self.settle(Fate::Written(stat)),
            Meaning::Answer(result) => self.refused(client, &result),
            Meaning::Nothing => None,
        }
    }

    fn refused(&mut self, client: &mut Client, result: &Result<Reply, ZkError>) -> Option<Fate> {
        match self.change.as_ref()? {
            Change { doubtful: true, .. } if *result == Err(ZkError::BadVersion) => {
                self.fresh.begin(client);
                None
            }
            Change { doubtful: true, .. } => self.settle(Fate::Unknown),
            Change { doubtful: false, .. } => self.settle(Fate::Overtaken),
        }
    }

    /// The version that a doubtful change builds on is gone: was it ours that replaced it?
    fn judge(&mut self, data: &Data, stat: Stat) -> Option<Fate> {
        let Change { data: ours, version, .. } = self.change.as_ref()?;
        let fate = match (stat.version == version + 1, data == ours) {
            (true, true) => Fate::Written(stat),
            (true, false) => Fate::Overtaken,
            (false, _) => Fate::Unknown,
        };
        self.settle(fate)
    }
}
