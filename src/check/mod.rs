//! The laws: pure functions of the events. They see no live core and no randomness.
//!
//! [`law`] has the table and judges, [`goal`] says which rare things a run has reached; every other room
//! here holds one family of laws, each law a monitor that reads the record once.

mod agreement;
mod answers;
mod calm;
mod checkpoints;
mod clients;
mod committed;
mod control;
mod copies;
mod deciders;
mod disks;
mod documents;
mod durability;
mod ends;
mod ephemerals;
mod epochs;
mod exhausted;
mod fences;
mod forfeit;
pub mod goal;
mod held;
mod history;
mod holdings;
mod hosts;
mod in_sync;
mod inspected;
pub mod law;
mod line;
mod linearizability;
mod membership;
mod moves;
mod notices;
mod order;
mod patience;
mod placement;
mod primaries;
mod primary;
mod promises;
mod recipes;
#[cfg(test)]
mod record;
mod refreshed;
mod refusals;
mod replicas;
mod rules;
mod search;
mod session;
mod settings;
mod settle;
mod strays;
mod unsynced;
pub mod verdict;
mod watches;
