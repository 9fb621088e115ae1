//! Local checkpoint — decides up to which number a copy has every operation. It never looks at operations.
//!
//! Elasticsearch's `LocalCheckpointTracker`: the highest number so that it and all below are processed.

use std::collections::BTreeSet;

use crate::name::SeqNo;

/// Which numbers have been processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCheckpoint {
    reached: SeqNo,
    above: BTreeSet<SeqNo>,
}

impl LocalCheckpoint {
    /// All up to `reached`, nothing above.
    pub fn at(reached: SeqNo) -> Self {
        Self { reached, above: BTreeSet::new() }
    }

    /// The checkpoint.
    pub fn get(&self) -> SeqNo {
        self.reached
    }

    /// Whether this number has been processed.
    pub fn has(&self, seq_no: SeqNo) -> bool {
        seq_no <= self.reached || self.above.contains(&seq_no)
    }

    /// This number is processed.
    pub fn mark(&mut self, seq_no: SeqNo) {
        if seq_no > self.reached {
            self.above.insert(seq_no);
            self.close_up();
        }
    }

    /// All up to this number are processed.
    pub fn mark_up_to(&mut self, seq_no: SeqNo) {
        self.reached = self.reached.max(seq_no);
        self.above.retain(|above| *above > seq_no);
        self.close_up();
    }

    fn close_up(&mut self) {
        while self.above.remove(&self.reached.next()) {
            self.reached = self.reached.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoint_waits_for_the_gap() {
        let mut checkpoint = LocalCheckpoint::at(SeqNo::NONE);
        for seq_no in [0, 2, 3] {
            checkpoint.mark(SeqNo(seq_no));
        }
        assert_eq!(
            (checkpoint.get(), checkpoint.has(SeqNo(3)), checkpoint.has(SeqNo(1))),
            (SeqNo(0), true, false)
        );
        checkpoint.mark(SeqNo(1));
        assert_eq!(checkpoint, LocalCheckpoint::at(SeqNo(3)));
    }

    #[test]
    fn marking_up_to_closes_up_with_what_is_above() {
        let mut checkpoint = LocalCheckpoint::at(SeqNo::NONE);
        checkpoint.mark(SeqNo(4));
        checkpoint.mark_up_to(SeqNo(3));
        assert_eq!(checkpoint, LocalCheckpoint::at(SeqNo(4)));
        checkpoint.mark_up_to(SeqNo(1));
        assert_eq!(checkpoint.get(), SeqNo(4), "a checkpoint never goes back");
    }
}
