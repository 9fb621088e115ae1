//! Clients — decides what clients are promised: the laws over what they asked and were answered. It never
//! judges what they watch.

mod connections;
mod fifo;
mod forward;
mod over;
mod prefix;
#[cfg(test)]
pub(super) mod story;
mod sync;
mod writes;

pub(super) use connections::{Client, Connections};
pub(super) use fifo::FIFO;
pub(super) use forward::STAT_FORWARD;
pub(super) use over::OVER;
pub(super) use prefix::PREFIX;
pub(super) use sync::SYNC;
pub(super) use writes::{IN_PLACE, LINEARIZABLE};
