//! Recipes — decides how the classic uses of znodes are built from a client's requests and watches. It never
//! decides what the znodes mean.
//!
//! What every recipe keeps to:
//! - reading and leaving a watch is one request, so no change falls in between;
//! - a watch event says only "look again": it may stand for several changes;
//! - after a lost connection the outcome of a write is unknown, so the next thing is always to look;
//! - whose an ephemeral node is, only its owner session tells, never its content, which survives a restart;
//! - nothing is carried over from one session to the next.
//!
//! | recipe | module | parts |
//! |---|---|---|
//! | leader election | [`leadership`] | [`Candidacy`], [`EpochCounter`] |
//! | membership | [`membership`] | [`Registration`], [`Follow`] |
//! | configuration | [`configuration`] | [`Follow`], [`FreshRead`] |
//! | notification | [`notification`] | [`Publisher`], [`Subscription`] |
//!
//! The four recipes state in their docs what holds, why it follows from ZooKeeper's guarantees, and what the
//! caller must do; each sentence of the first kind is a law (`recipes.*`) that runs are judged by.
//!
//! A recipe is driven by [`begin`](Follow::begin) in each new session and by every piece of
//! [`ClientNews`]; its requests leave with the client's next
//! [`flush`](super::client::Client::flush).

mod candidacy;
pub mod configuration;
mod counter;
mod follow;
mod fresh;
mod layout;
pub mod leadership;
pub mod membership;
pub mod notification;
mod registration;

pub use self::{
    candidacy::{Candidacy, Standing},
    configuration::Configuration,
    counter::{Drawn, EpochCounter},
    follow::{Follow, Seen, What},
    fresh::FreshRead,
    layout::Layout,
    leadership::Leadership,
    membership::Membership,
    notification::{Publisher, Subscription},
    registration::{Ownership, Registration},
};
use super::{
    client::{Client, ClientNews, ClientState, RequestId},
    wire::{Op, Reply, ZkError},
};

/// The one request that a recipe waits for, and whether it has to begin again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Turn {
    /// Not begun in this session.
    #[default]
    Off,
    /// An answer is due.
    Asked(RequestId),
    /// A watch is left, or nothing is to be done.
    Resting,
    /// The connection broke: begin again on the next one.
    Interrupted,
}

/// What a piece of news means to a recipe.
enum Meaning {
    /// Nothing.
    Nothing,
    /// The connection is back: look again.
    Back,
    /// The answer it waits for.
    Answer(Result<Reply, ZkError>),
}

impl Turn {
    /// Asks, and waits for the answer.
    fn ask(&mut self, client: &mut Client, op: Op) {
        *self = Self::Asked(client.ask(op));
    }

    fn is_on(self) -> bool {
        self != Self::Off
    }

    /// Takes what concerns every recipe: lost connections, lost sessions, the answer that is due.
    fn take(&mut self, news: &ClientNews) -> Meaning {
        match news {
            ClientNews::State(state) if state.is_over() => *self = Self::Off,
            ClientNews::State(ClientState::Connected) if *self == Self::Interrupted => return Meaning::Back,
            ClientNews::Reply { id, result } if *self == Self::Asked(*id) => return self.answer(result),
            _ => {}
        }
        Meaning::Nothing
    }

    fn answer(&mut self, result: &Result<Reply, ZkError>) -> Meaning {
        if let Err(ZkError::ConnectionLoss | ZkError::SessionExpired | ZkError::SessionMoved) = result {
            *self = Self::Interrupted;
            return Meaning::Nothing;
        }
        *self = Self::Resting;
        Meaning::Answer(result.clone())
    }

    /// Whether a recipe that rests has to look again at `path`. An event that comes while an answer is due
    /// is older than that answer, since a connection keeps the order.
    fn is_woken(self, news: &ClientNews, path: &str) -> bool {
        self == Self::Resting && matches!(news, ClientNews::Watch(event) if event.path == path)
    }
}

#[cfg(test)]
mod tests;
