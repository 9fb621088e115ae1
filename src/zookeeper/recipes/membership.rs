//! Membership — decides who is in a group: whoever has a live session and registered. It never decides what
//! members are told.
//!
//! # What holds
//!
//! 1. **A registration is its session's own**: it exists only while the session that made it lives, and a
//!    registration that was left by an earlier life of the same process is not taken for it.
//! 2. **Views go only forward** within a session.
//! 3. **In the end views are right**: once sessions stop coming and going, and messages arrive, every member's
//!    view is the set of registered members.
//!
//! # Why
//!
//! The znode is ephemeral, and its owner session is compared, not its content (1). Each view is read with the
//! watch that announces the next change, in one request, and a session is never shown the past (2, 3);
//! changes may be seen several at once.
//!
//! # What the caller must do
//!
//! Take a view for what it is, a picture of the past: a member in it may be gone, one not in it may be there.
//! Whoever must not be mistaken for a member takes [`Client::is_certainly_alive`] to heart.

use super::{Follow, Registration, Seen, What};
use crate::{
    name::SessionId,
    zookeeper::{
        client::{Client, ClientNews},
        wire::Data,
    },
};

/// What a member learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roll {
    /// We are registered, by this session.
    Joined(SessionId),
    /// The members' names, sorted.
    Members(Vec<String>),
}

/// One member of a group, which sees the others.
#[derive(Debug)]
pub struct Membership {
    registration: Registration,
    group: Follow,
}

impl Membership {
    /// A member of this name of the group whose members register below `group`, a znode that must exist.
    pub fn new(group: &str, name: &str, data: Data) -> Self {
        Self {
            registration: Registration::new(format!("{group}/{name}"), data),
            group: Follow::new(group, What::Children),
        }
    }

    /// Begins to register and to look, in a new session.
    pub fn begin(&mut self, client: &mut Client) {
        self.registration.begin(client);
        self.group.begin(client);
    }

    /// Takes a piece of news; returns what it means, in order.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> Vec<Roll> {
        let joined = self.registration.news(client, news).map(Roll::Joined);
        let seen = match self.group.news(client, news) {
            Some(Seen::Children(names)) => Some(Roll::Members(names)),
            _ => None,
        };
        joined.into_iter().chain(seen).collect()
    }
}
