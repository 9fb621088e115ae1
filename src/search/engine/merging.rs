//! Merging — decides which segments become one. It never merges them.
//!
//! A tiered policy as Lucene's, by documents instead of bytes: segments of about one size make up a tier, and
//! when a tier is full, its segments become one of the next. So a document is written anew once a tier.

use std::collections::BTreeSet;

/// Segments that make a tier full; each tier's are so many times as large as those of the one below.
const SEGMENTS_PER_TIER: usize = 8;

/// The segments to be merged into one, by their numbers and living documents; none if no tier is full.
pub(super) fn choose(segments: impl Iterator<Item = (u64, usize)>) -> Option<BTreeSet<u64>> {
    let mut by_tier: Vec<_> = segments.map(|(number, docs)| (tier(docs), number)).collect();
    by_tier.sort_unstable();
    let full = by_tier.chunk_by(|(a, _), (b, _)| a == b).find(|tier| tier.len() >= SEGMENTS_PER_TIER)?;
    Some(full.iter().map(|(_, number)| *number).collect())
}

fn tier(docs: usize) -> u32 {
    docs.max(1).ilog(SEGMENTS_PER_TIER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(sizes: &[usize]) -> Option<Vec<u64>> {
        choose((0..).zip(sizes.iter().copied())).map(|chosen| chosen.into_iter().collect())
    }

    #[test]
    fn tier_that_is_not_full_is_left_alone() {
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[1; 7]), None);
        assert_eq!(chosen(&[1, 2, 3, 4, 5, 6, 7, 10, 20, 1_000, 100_000]), None);
    }

    #[test]
    fn full_tier_is_merged_and_the_others_stay() {
        assert_eq!(chosen(&[500, 1, 1, 3, 1, 9, 7, 1, 1, 1]), Some(vec![1, 2, 3, 4, 6, 7, 8, 9]));
    }

    #[test]
    fn a_document_is_written_anew_once_a_tier() {
        let (mut segments, mut written) = (Vec::new(), 0);
        for number in 0..4_096_u64 {
            segments.push((number, 1_usize));
            while let Some(chosen) = choose(segments.iter().copied()) {
                let size: usize =
                    segments.iter().filter(|(number, _)| chosen.contains(number)).map(|part| part.1).sum();
                segments.retain(|(number, _)| !chosen.contains(number));
                segments.push((10_000 + number, size));
                written += size;
            }
            assert!(segments.len() < 4 * SEGMENTS_PER_TIER);
        }
        assert_eq!(written, 4 * 4_096);
    }
}
