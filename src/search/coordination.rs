//! Coordination — decides how a client's request travels: to which shard, which copy, when again, and what
//! the client is told. It never holds data.

use crate::event::Word;

/// What the coordination parts of nodes say to each other. (To be filled in.)
#[derive(Debug, Clone, PartialEq)]
pub enum CoordinationMessage {}

impl CoordinationMessage {
    /// A word for traces.
    pub fn label(&self) -> Word {
        match *self {}
    }
}
