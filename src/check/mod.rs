//! The laws: pure functions of the events. They see no live core and no randomness.

pub mod verdict;
