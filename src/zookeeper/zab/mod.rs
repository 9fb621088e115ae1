//! Zab — decides how a server plays the role that an election gave it. It never decides who leads.
//!
//! Discovery, synchronisation and broadcast as in `Leader.java`, `LearnerHandler.java`, `Learner.java` and
//! `Follower.java`. A role works on its server's [`Replica`]; when it can no longer play, it returns
//! [`GiveUp`] and its server looks for a leader again.

mod leader;
mod learner;
mod replica;

pub use leader::Leader;
pub use learner::Learner;
pub use replica::Replica;

use crate::{
    core::{Now, Output},
    zookeeper::peer::Message,
};

/// A role cannot be played any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiveUp(pub &'static str);

/// What a role works with during one step.
#[derive(Debug)]
pub struct Turn<'a> {
    /// What the clocks show.
    pub now: Now,
    /// What the server is and holds.
    pub replica: &'a mut Replica,
    /// What is to be done.
    pub out: &'a mut Output<Message>,
}
