//! Modes — decides in which ways one connection watches one path, and which events that brings. It never
//! knows path or connection.

use crate::zookeeper::wire::WatchChange::{self, NodeChildrenChanged};

/// A way to watch (`WatcherMode.java`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Mode {
    /// Until the first event.
    Standard,
    /// Until it is taken away.
    Persistent,
    /// Until it is taken away, and everything below, but never that children come and go.
    Recursive,
}

/// A set of modes (`WatchStats.java`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Modes(u8);

impl Modes {
    /// This mode alone.
    pub(super) fn only(mode: Mode) -> Self {
        Self(1 << mode as u8)
    }

    /// Every mode.
    pub(super) fn all() -> Self {
        Self(0b111)
    }

    pub(super) fn has(self, mode: Mode) -> bool {
        self.0 & Self::only(mode).0 != 0
    }

    /// Whether the two have a mode in common.
    pub(super) fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// These and those.
    pub(super) fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// These without those.
    pub(super) fn without(self, less: Self) -> Self {
        Self(self.0 & !less.0)
    }

    /// Whether an event on the path itself is told.
    pub(super) fn hear(self, change: WatchChange) -> bool {
        let silent =
            if change == NodeChildrenChanged { Self::only(Mode::Recursive) } else { Self::default() };
        !self.without(silent).is_empty()
    }

    /// Whether an event on a path below is told.
    pub(super) fn hear_below(self, change: WatchChange) -> bool {
        self.has(Mode::Recursive) && change != NodeChildrenChanged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zookeeper::wire::WatchChange::NodeCreated;

    #[test]
    fn modes_are_added_and_taken_away_one_by_one() {
        let both = Modes::only(Mode::Standard).with(Modes::only(Mode::Recursive));
        assert!(both.has(Mode::Standard) && both.has(Mode::Recursive) && !both.has(Mode::Persistent));
        assert_eq!(both.without(Modes::only(Mode::Standard)), Modes::only(Mode::Recursive));
        assert!(both.without(both).is_empty());
    }

    /// "created/deleted/changed for the node and all below, never NodeChildrenChanged"
    #[test]
    fn recursive_watch_alone_never_hears_of_children() {
        let recursive = Modes::only(Mode::Recursive);
        assert!(recursive.hear(NodeCreated) && recursive.hear_below(NodeCreated));
        assert!(!recursive.hear(NodeChildrenChanged) && !recursive.hear_below(NodeChildrenChanged));
        let both = recursive.with(Modes::only(Mode::Standard));
        assert!(both.hear(NodeChildrenChanged) && !both.hear_below(NodeChildrenChanged));
        assert!(!Modes::only(Mode::Persistent).hear_below(NodeCreated));
    }
}
