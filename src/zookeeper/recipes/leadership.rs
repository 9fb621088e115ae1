//! Leadership — decides who leads a group, and by which epoch others can tell. It never decides what a leader
//! does.
//!
//! # What holds
//!
//! 1. **An epoch is led once.** Epochs are drawn from a counter by compare-and-set, so no two leaders ever
//!    have the same one.
//! 2. **Later leaders have greater epochs**, in the order of the draws' transactions.
//! 3. **What a leader writes behind its [`fence`](Leadership::fence) takes effect only before the next draw.**
//!    The fence is a check of the counter's version in the same multi; a draw changes that version.
//! 4. **Somebody leads** soon after the last one is gone: the lowest ticket's owner does, and an ephemeral
//!    ticket goes with its session.
//!
//! # Why
//!
//! Writes are linearizable and a multi is all or nothing, so 1 to 3 need no clocks and hold whatever becomes
//! of connections and sessions. They do *not* say that one process at a time *believes* that it leads: one
//! that is paused beyond its session's end goes on believing until it hears of it. That is what the fence is
//! for.
//!
//! # What the caller must do
//!
//! - write behind the fence, and hand the epoch to whatever else it commands, which must refuse lower ones;
//! - stop acting when [`Client::is_certainly_alive`] says so, well before a successor can be elected;
//! - [`resign`](Leadership::resign) when a fenced write fails with BadVersion: a later leader has drawn.

use super::{Candidacy, Drawn, EpochCounter, Standing};
use crate::{
    name::Zxid,
    zookeeper::{
        client::{Client, ClientNews},
        wire::{Op, Reply, ZkError},
    },
};

/// A change of leadership, as one member learns it of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Office {
    /// We lead, in this epoch.
    Taken(Drawn),
    /// We lead no more: what had been taken with this draw is over.
    Lost(Drawn),
}

/// What became of a fenced write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fenced {
    /// It took effect, by this transaction (none of its operations shows one: zxid 0).
    Written(Zxid),
    /// It did not: a later leader has drawn an epoch.
    Deposed,
    /// It failed for another reason, or nobody knows.
    Unknown,
}

impl Fenced {
    /// What the answer to a fenced write says.
    pub fn of(result: &Result<Reply, ZkError>) -> Self {
        match result {
            Ok(Reply::Multi(results)) if results.iter().all(Result::is_ok) => {
                let zxids = results.iter().filter_map(|result| match result {
                    Ok(Reply::Stat(stat) | Reply::Created { stat, .. }) => Some(stat.mzxid),
                    _ => None,
                });
                Self::Written(zxids.max().unwrap_or_default())
            }
            Ok(Reply::Multi(results)) if results.first() == Some(&Err(ZkError::BadVersion)) => Self::Deposed,
            _ => Self::Unknown,
        }
    }
}

/// Stands for election and, once elected, draws the epoch to lead in.
#[derive(Debug)]
pub struct Leadership {
    candidacy: Candidacy,
    counter: EpochCounter,
    counter_path: String,
    term: Option<Drawn>,
}

impl Leadership {
    /// A candidate with tickets below `tickets` and epochs from the counter at `counter`; both znodes must
    /// exist (see [`Layout`](super::Layout)).
    pub fn new(tickets: impl Into<String>, counter: impl Into<String>) -> Self {
        let counter_path = counter.into();
        Self {
            candidacy: Candidacy::new(tickets),
            counter: EpochCounter::new(counter_path.clone()),
            counter_path,
            term: None,
        }
    }

    /// Begins to stand, in a new session.
    pub fn begin(&mut self, client: &mut Client) {
        self.counter.stop();
        self.term = None;
        self.candidacy.begin(client);
    }

    /// The draw by which we lead, if we do.
    pub fn term(&self) -> Option<Drawn> {
        self.term
    }

    /// These operations, all or nothing, if nobody has drawn an epoch after us; none if we do not lead.
    pub fn fence(&self, ops: impl IntoIterator<Item = Op>) -> Option<Op> {
        let Drawn { version, .. } = self.term?;
        let check = Op::Check { path: self.counter_path.clone(), version };
        Some(Op::Multi(std::iter::once(check).chain(ops).collect()))
    }

    /// Leads no more, and stands again at the end of the queue.
    pub fn resign(&mut self, client: &mut Client) -> Option<Office> {
        self.counter.stop();
        self.candidacy.withdraw(client);
        self.term.take().map(Office::Lost)
    }

    /// Takes a piece of news; returns a change.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> Option<Office> {
        match self.candidacy.news(client, news) {
            Some(Standing::Leading) => self.counter.begin(client),
            Some(Standing::Lost) => {
                self.counter.stop();
                return self.term.take().map(Office::Lost);
            }
            None => {}
        }
        let drawn = self.counter.news(client, news)?;
        self.term = Some(drawn);
        Some(Office::Taken(drawn))
    }
}
