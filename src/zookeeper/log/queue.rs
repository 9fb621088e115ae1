//! Queue — decides that changes to different files reach the disk in order where that matters. It never
//! knows what the files are for.
//!
//! A host syncs file by file, and promises nothing about two of them. Where one file relies on another,
//! a barrier between their changes holds back the later one until the earlier one is durable.

use std::collections::VecDeque;

use crate::{
    core::{Deferred, DiskOp, FileName, Output},
    zookeeper::peer::Message,
};

/// Something to be done to the disk, or once the disk has done something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// Change a file.
    Change(DiskOp),
    /// When this file is durable, do this.
    After(FileName, Deferred<Message>),
    /// Nothing that follows happens before this file is durable.
    Barrier(FileName),
}

/// Work in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Work>,
    barrier: Option<u64>,
    tokens: u64,
}

impl Queue {
    /// A token that was never used on this incarnation.
    pub(super) fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    /// Does it now, or when what stands before it is done.
    pub(super) fn push(&mut self, work: Work, out: &mut Output<Message>) {
        self.waiting.push_back(work);
        self.advance(out);
    }

    /// Goes on if this token was the barrier's; false if it was not.
    pub(super) fn synced(&mut self, token: u64, out: &mut Output<Message>) -> bool {
        if self.barrier != Some(token) {
            return false;
        }
        self.barrier = None;
        self.advance(out);
        true
    }

    fn advance(&mut self, out: &mut Output<Message>) {
        while self.barrier.is_none()
            && let Some(work) = self.waiting.pop_front()
        {
            match work {
                Work::Change(op) => out.disk(op),
                Work::After(file, then) => defer(&file, then, out),
                Work::Barrier(file) => {
                    let token = self.token();
                    out.tell_after_sync(&file, token);
                    self.barrier = Some(token);
                }
            }
        }
    }
}

fn defer(file: &FileName, then: Deferred<Message>, out: &mut Output<Message>) {
    match then {
        Deferred::Send { conn, message } => out.send_after_sync(file, conn, message),
        Deferred::Tell { token } => out.tell_after_sync(file, token),
        Deferred::Note(event) => out.note_after_sync(file, event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Effect;

    fn remove(file: &str) -> DiskOp {
        DiskOp::Remove { file: file.into() }
    }

    #[test]
    fn barrier_holds_what_follows_until_the_file_is_durable() {
        let (mut queue, mut out) = (Queue::default(), Output::default());
        queue.push(Work::Change(remove("a")), &mut out);
        queue.push(Work::Barrier("a".into()), &mut out);
        queue.push(Work::Change(remove("b")), &mut out);
        let effects: Vec<_> = out.drain().collect();
        let [Effect::Disk(first), Effect::AfterSync { then: Deferred::Tell { token }, .. }] = &effects[..]
        else {
            panic!("{effects:?}");
        };
        assert_eq!(*first, remove("a"));
        assert!(!queue.synced(token + 1, &mut out) && out.effects().is_empty());
        assert!(queue.synced(*token, &mut out));
        assert_eq!(out.effects(), [Effect::Disk(remove("b"))]);
    }
}
