//! The document — decides what one document is after each write, and what may be answered then. It never
//! knows of copies: it is the one document that clients should believe in.

use crate::{
    check::{
        history::{Condition, Operation},
        linearizability::Model,
    },
    event::Digest,
    name::SeqNo,
};

/// A document that begins missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document;

/// A call that had or may have had an effect, or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// A write that took effect, if it is said to have returned.
    Write {
        /// The content; none: a delete.
        source: Option<Digest>,
        /// What it asks of the document before.
        condition: Condition,
        /// Its operation, if told.
        told: Option<Operation>,
    },
    /// A get.
    Get {
        /// Content and operation, if it found the document.
        found: Option<(Digest, Option<Operation>)>,
    },
}

/// The document between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    content: Option<Digest>,
    /// What made it so, if known.
    by: Option<Operation>,
    /// The highest number known to be taken: a shard numbers its operations upwards, and none that was
    /// acknowledged or shown is taken back once another has followed.
    highest: SeqNo,
}

impl State {
    /// The same state, now that its operation is known; none if it cannot be that one.
    fn known_as(self, operation: Operation) -> Option<Self> {
        match self.by {
            Some(by) => (by == operation).then_some(self),
            None => self.numbered(operation),
        }
    }

    fn numbered(self, operation: Operation) -> Option<Self> {
        let is_next = operation.0 > self.highest;
        is_next.then_some(Self { by: Some(operation), highest: operation.0, ..self })
    }

    fn meets(self, condition: Condition) -> Option<Self> {
        match condition {
            Condition::Any => Some(self),
            Condition::Missing => self.content.is_none().then_some(self),
            Condition::Is(operation) => self.content.and_then(|_| self.known_as(operation)),
        }
    }
}

impl Model for Document {
    type Op = Op;
    type State = State;

    fn initial(&self) -> State {
        State { content: None, by: None, highest: SeqNo::NONE }
    }

    fn step(&self, state: &State, op: &Op) -> Option<State> {
        match *op {
            Op::Write { source, condition, told } => {
                let before = state.meets(condition)?;
                let after = State { content: source, by: None, ..before };
                told.map_or(Some(after), |operation| after.numbered(operation))
            }
            Op::Get { found: None } => state.content.is_none().then_some(*state),
            Op::Get { found: Some((digest, operation)) } => {
                let same = (state.content == Some(digest)).then_some(*state)?;
                operation.map_or(Some(same), |operation| same.known_as(operation))
            }
        }
    }

    fn shows(&self, op: &Op, effect_of: &Op) -> bool {
        let Op::Write { source, told, .. } = effect_of else { return false };
        match op {
            Op::Get { found: Some((digest, _)) } => *source == Some(*digest),
            Op::Write { condition: Condition::Is(operation), .. } => *told == Some(*operation),
            Op::Get { found: None } | Op::Write { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Term;

    fn write(source: Option<u64>, condition: Condition, told: Option<i64>) -> Op {
        Op::Write { source: source.map(Digest), condition, told: told.map(|seq_no| (SeqNo(seq_no), Term(1))) }
    }

    fn get(source: u64, seq_no: i64) -> Op {
        Op::Get { found: Some((Digest(source), Some((SeqNo(seq_no), Term(1))))) }
    }

    fn allows(ops: &[Op]) -> bool {
        ops.iter().try_fold(Document.initial(), |state, op| Document.step(&state, op)).is_some()
    }

    #[test]
    fn numbers_go_up_and_a_get_tells_those_that_were_not_told() {
        let one = write(Some(1), Condition::Any, None);
        assert!(allows(&[one, get(1, 4), write(Some(2), Condition::Any, Some(5))]));
        assert!(!allows(&[one, get(1, 4), write(Some(2), Condition::Any, Some(4))]));
        assert!(!allows(&[one, get(1, 4), get(1, 5)]), "it was told to be 4");
        assert!(!allows(&[write(Some(1), Condition::Any, Some(4)), one, get(1, 3)]));
    }

    #[test]
    fn condition_holds_only_for_the_document_that_is_there() {
        let is = |seq_no| Condition::Is((SeqNo(seq_no), Term(1)));
        let one = write(Some(1), Condition::Any, Some(1));
        assert!(allows(&[one, write(Some(2), is(1), Some(2))]));
        assert!(!allows(&[one, write(Some(2), is(0), Some(2))]));
        assert!(!allows(&[one, write(None, Condition::Any, Some(2)), write(Some(3), is(2), Some(3))]));
        assert!(allows(&[write(Some(1), Condition::Any, None), write(Some(2), is(7), Some(8)), get(2, 8)]));
    }

    #[test]
    fn create_needs_a_missing_document() {
        let create = write(Some(1), Condition::Missing, Some(1));
        assert!(allows(&[
            create,
            write(None, Condition::Any, Some(2)),
            write(Some(2), Condition::Missing, Some(3))
        ]));
        assert!(!allows(&[create, write(Some(2), Condition::Missing, Some(3))]));
    }
}
