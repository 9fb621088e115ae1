//! The document — decides what one document is after each write, and what may be answered then. It never
//! knows of copies: it is the one document that clients should believe in.

use crate::{
    check::{
        history::{Before, Condition, Operation},
        linearizability::Model,
    },
    event::Digest,
    name::SeqNo,
};

/// A document that begins missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document {
    /// Whether the version of a document that is gone is known: tombstones do not stay.
    pub(super) tombstones: Tombstones,
}

/// What copies know of documents that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tombstones {
    /// Their versions: none has been forgotten yet.
    Kept,
    /// Perhaps their versions.
    Pruned,
}

/// A call that had or may have had an effect, or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// A write that took effect, if it is said to have returned.
    Write {
        /// The content; none: a delete.
        source: Option<Digest>,
        /// What it asks of the document before.
        condition: Condition,
        /// What its client was told.
        told: Told,
    },
    /// A get.
    Get {
        /// Content and operation, if it found the document.
        found: Option<(Digest, Option<Operation>)>,
        /// Its version, if told.
        version: Option<u64>,
    },
}

/// What a client was told of its write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The operation.
    pub(super) operation: Option<Operation>,
    /// The document's version by it.
    pub(super) version: Option<u64>,
    /// Whether there was a document before.
    pub(super) before: Before,
}

/// The document between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    content: Option<Digest>,
    /// What made it so, if known.
    by: Option<Operation>,
    /// Its version, if known.
    version: Option<u64>,
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

    /// The same state, now that its version is known.
    fn versioned(self, version: Option<u64>) -> Option<Self> {
        let fits = self.version.is_none() || version.is_none() || self.version == version;
        fits.then_some(Self { version: self.version.or(version), ..self })
    }

    /// The version that the next write counts from or is compared with, if that is known.
    fn counted(self, tombstones: Tombstones) -> Option<u64> {
        match tombstones {
            Tombstones::Kept => self.version,
            Tombstones::Pruned => self.content.and(self.version),
        }
    }

    fn meets(self, condition: Condition, tombstones: Tombstones) -> Option<Self> {
        let version = self.counted(tombstones);
        let holds = match condition {
            Condition::Any => true,
            Condition::Missing => self.content.is_none(),
            Condition::Is(operation) => return self.content.and_then(|_| self.known_as(operation)),
            Condition::Below(given) => version.is_none_or(|version| version < given),
            Condition::UpTo(given) => version.is_none_or(|version| version <= given),
        };
        holds.then_some(self)
    }

    /// The version that a write gives to the document, if that is known. One that nobody was told is not counted
    /// up: what a chain of lost writes leads to would depend on its length, and there are too many of them.
    fn next_version(self, condition: Condition, told: Option<u64>, tombstones: Tombstones) -> Option<u64> {
        match condition {
            Condition::Below(given) | Condition::UpTo(given) => Some(given),
            _ => told.and(self.counted(tombstones)).map(|version| version + 1),
        }
    }

    fn fits(self, before: Before) -> bool {
        match before {
            Before::Untold => true,
            Before::Missing => self.content.is_none(),
            Before::There => self.content.is_some(),
        }
    }
}

impl Model for Document {
    type Op = Op;
    type State = State;

    fn initial(&self) -> State {
        State { content: None, by: None, version: None, highest: SeqNo::NONE }
    }

    fn step(&self, state: &State, op: &Op) -> Option<State> {
        match *op {
            Op::Write { source, condition, told } => {
                let before = state.meets(condition, self.tombstones);
                let before = before.filter(|state| state.fits(told.before))?;
                let version = before.next_version(condition, told.version, self.tombstones);
                let after = State { content: source, by: None, version, ..before };
                let after = after.versioned(told.version)?;
                told.operation.map_or(Some(after), |operation| after.numbered(operation))
            }
            Op::Get { found: None, .. } => state.content.is_none().then_some(*state),
            Op::Get { found: Some((digest, operation)), version } => {
                let same = (state.content == Some(digest)).then_some(*state)?.versioned(version)?;
                operation.map_or(Some(same), |operation| same.known_as(operation))
            }
        }
    }

    fn is_read(&self, op: &Op) -> bool {
        matches!(op, Op::Get { .. })
    }

    /// A shard numbers its operations upwards.
    fn precedes(&self, one: &Op, other: &Op) -> bool {
        let number = |op: &Op| match op {
            Op::Write { told, .. } => told.operation.map(|(seq_no, _)| seq_no),
            Op::Get { .. } => None,
        };
        number(one).zip(number(other)).is_some_and(|(one, other)| one < other)
    }

    fn shows(&self, op: &Op, effect_of: &Op) -> bool {
        let Op::Write { source, told, .. } = effect_of else { return false };
        match op {
            Op::Get { found: Some((digest, _)), .. } => *source == Some(*digest),
            Op::Write { condition: Condition::Is(operation), .. } => told.operation == Some(*operation),
            Op::Get { found: None, .. } | Op::Write { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Term;

    const UNTOLD: Told = Told { operation: None, version: None, before: Before::Untold };

    fn write(source: Option<u64>, condition: Condition, told: Option<i64>) -> Op {
        let operation = told.map(|seq_no| (SeqNo(seq_no), Term(1)));
        Op::Write { source: source.map(Digest), condition, told: Told { operation, ..UNTOLD } }
    }

    fn get(source: u64, seq_no: i64) -> Op {
        Op::Get { found: Some((Digest(source), Some((SeqNo(seq_no), Term(1))))), version: None }
    }

    fn allows(ops: &[Op]) -> bool {
        allows_with(Tombstones::Pruned, ops)
    }

    fn allows_with(tombstones: Tombstones, ops: &[Op]) -> bool {
        let document = Document { tombstones };
        ops.iter().try_fold(document.initial(), |state, op| document.step(&state, op)).is_some()
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
        let (create, delete) =
            (write(Some(1), Condition::Missing, Some(1)), write(None, Condition::Any, Some(2)));
        assert!(allows(&[create, delete, write(Some(2), Condition::Missing, Some(3))]));
        assert!(!allows(&[create, write(Some(2), Condition::Missing, Some(3))]));
    }

    #[test]
    fn result_says_whether_there_was_a_document() {
        let told = |source: Option<u64>, before| Op::Write {
            source: source.map(Digest),
            condition: Condition::Any,
            told: Told { before, ..UNTOLD },
        };
        let created = told(Some(1), Before::Missing);
        assert!(allows(&[created, told(Some(2), Before::There), told(None, Before::There), created]));
        assert!(!allows(&[created, created]));
        assert!(!allows(&[told(None, Before::There)]));
    }

    #[test]
    fn version_goes_on_from_that_of_a_tombstone_as_long_as_it_is_kept() {
        let versioned = |source: Option<u64>, version| Op::Write {
            source: source.map(Digest),
            condition: Condition::Any,
            told: Told { version: Some(version), ..UNTOLD },
        };
        let deleted = [versioned(Some(1), 1), versioned(None, 2)];
        let then = |version| [&deleted[..], &[versioned(Some(2), version)]].concat();
        for (version, tombstones, is_right) in [
            (3, Tombstones::Kept, true),
            (1, Tombstones::Kept, false),
            (1, Tombstones::Pruned, true),
            (3, Tombstones::Pruned, true),
        ] {
            assert_eq!(allows_with(tombstones, &then(version)), is_right, "{version} {tombstones:?}");
        }
        let lower = write(Some(2), Condition::Below(2), None);
        assert!(!allows_with(Tombstones::Kept, &[deleted[0], deleted[1], lower]));
        assert!(allows_with(Tombstones::Pruned, &[deleted[0], deleted[1], lower]));
    }

    #[test]
    fn version_of_a_living_document_goes_up_by_one_or_is_given() {
        let versioned = |condition, version| Op::Write {
            source: Some(Digest(1)),
            condition,
            told: Told { version, ..UNTOLD },
        };
        let internal = |version| versioned(Condition::Any, Some(version));
        assert!(allows(&[internal(3), internal(4)]));
        assert!(!allows(&[internal(3), internal(5)]));
        assert!(
            allows(&[internal(3), versioned(Condition::Any, None), internal(9)]),
            "nobody was told of one"
        );
        assert!(
            allows(&[internal(3), write(None, Condition::Any, None), internal(1)]),
            "a tombstone may be gone"
        );
        assert!(allows(&[internal(3), versioned(Condition::Below(9), None), internal(10)]));
        assert!(!allows(&[internal(3), versioned(Condition::Below(3), None)]));
        assert!(allows(&[internal(3), versioned(Condition::UpTo(3), None)]));
        assert!(!allows(&[internal(3), versioned(Condition::UpTo(2), None)]));
        let got = |version| Op::Get { found: Some((Digest(1), None)), version: Some(version) };
        assert!(allows(&[internal(3), got(3)]) && !allows(&[internal(3), got(2)]));
    }
}
