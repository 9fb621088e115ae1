//! Tombstones — decides how long it is remembered that a document was deleted. It never knows what is deleted.
//!
//! A tombstone keeps an older operation that comes late from bringing its document back, so it must stay until no
//! such operation can come, which is so once everything up to it has been processed; and `index.gc_deletes` beyond
//! the delete, so that a client that still holds an older external version is refused for that long
//! (Elasticsearch's `LiveVersionMap.pruneTombstones`; #28790).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{core::Instant, name::SeqNo};

/// Tombstones are looked through once in this part of the time they are kept
/// (`InternalEngine.maybePruneDeletes`).
const LOOKS: u32 = 4;

/// What is deleted, by the operation that did it.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// Those that no call of `prune` has seen yet have no time.
    held: BTreeMap<SeqNo, (Arc<str>, Option<Instant>)>,
    unseen: bool,
    looked_at: Instant,
}

impl Tombstones {
    /// A document was deleted.
    pub(super) fn add(&mut self, seq_no: SeqNo, id: Arc<str>) {
        self.held.insert(seq_no, (id, None));
        self.unseen = true;
    }

    /// Another operation has changed the document since.
    pub(super) fn remove(&mut self, seq_no: SeqNo) {
        self.held.remove(&seq_no);
    }

    /// Takes out those up to `up_to` that have been kept for `keep`. Gives their documents.
    pub(super) fn prune(&mut self, now: Instant, keep: Duration, up_to: SeqNo) -> Vec<Arc<str>> {
        if self.unseen {
            self.unseen = false;
            self.held.values_mut().for_each(|(_, since)| *since = since.or(Some(now)));
        }
        if self.held.is_empty() || now < self.looked_at + keep / LOOKS {
            return Vec::new();
        }
        self.looked_at = now;
        let is_due = |since: &Option<Instant>| since.is_some_and(|since| since + keep <= now);
        let due = self.held.range(..=up_to).filter(|(_, (_, since))| is_due(since));
        let due: Vec<SeqNo> = due.map(|(seq_no, _)| *seq_no).collect();
        due.iter().filter_map(|seq_no| self.held.remove(seq_no)).map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Instant {
        Instant(0) + Duration::from_secs(seconds)
    }

    fn pruned(tombstones: &mut Tombstones, seconds: u64, up_to: i64) -> Vec<String> {
        let pruned = tombstones.prune(at(seconds), KEEP, SeqNo(up_to));
        pruned.iter().map(|id| id.to_string()).collect()
    }

    /// "Delete tombstones: kept `index.gc_deletes` 60 s".
    #[test]
    fn tombstone_is_kept_for_its_time() {
        let mut tombstones = Tombstones::default();
        tombstones.add(SeqNo(0), "a".into());
        assert!(pruned(&mut tombstones, 100, 9).is_empty(), "seen for the first time");
        assert!(pruned(&mut tombstones, 159, 9).is_empty());
        assert_eq!(pruned(&mut tombstones, 175, 9), ["a"]);
    }

    /// "**and** until seq no ≤ local checkpoint (#28790)".
    #[test]
    fn tombstone_above_a_gap_is_kept_longer() {
        let mut tombstones = Tombstones::default();
        tombstones.add(SeqNo(5), "a".into());
        pruned(&mut tombstones, 0, 4);
        assert!(pruned(&mut tombstones, 1_000, 4).is_empty());
        assert_eq!(pruned(&mut tombstones, 2_000, 5), ["a"]);
    }

    #[test]
    fn document_that_was_put_again_has_no_tombstone() {
        let mut tombstones = Tombstones::default();
        tombstones.add(SeqNo(5), "a".into());
        tombstones.remove(SeqNo(5));
        pruned(&mut tombstones, 0, 9);
        assert!(pruned(&mut tombstones, 1_000, 9).is_empty());
    }
}
