//! Merging — decides which segments become one. It never merges them.
//!
//! Lucene's tiered policy, by documents instead of bytes: segments of about one size make up a tier, and only
//! so many may be in one. What is smaller than the floor counts as that large, so that small segments meet.

use std::collections::BTreeSet;

/// Segments of a tier, and of a merge.
const SEGMENTS_PER_TIER: u64 = 8;
/// Smaller segments count as large as this, in documents.
const FLOOR_DOCS: u64 = 16;

/// The segments to be merged into one, by their numbers and living documents; none if there are few enough.
pub(super) fn choose(segments: impl Iterator<Item = (u64, usize)>) -> Option<BTreeSet<u64>> {
    let mut by_size: Vec<_> = segments.map(|(number, docs)| (FLOOR_DOCS.max(docs as u64), number)).collect();
    by_size.sort_unstable();
    let smallest = by_size.first()?.0;
    let total = by_size.iter().map(|(size, _)| size).sum();
    if by_size.len() as u64 <= allowed(total, smallest) {
        return None;
    }
    let chosen = by_size.into_iter().take(SEGMENTS_PER_TIER as usize);
    Some(chosen.map(|(_, number)| number).collect())
}

/// How many segments may hold `total` documents, if the smallest tier's hold `smallest`.
fn allowed(total: u64, smallest: u64) -> u64 {
    let (mut left, mut size, mut allowed) = (total, smallest, 0);
    loop {
        let in_tier = left.div_ceil(size);
        if in_tier <= SEGMENTS_PER_TIER {
            return allowed + in_tier;
        }
        allowed += SEGMENTS_PER_TIER;
        left -= SEGMENTS_PER_TIER * size;
        size *= SEGMENTS_PER_TIER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(sizes: &[usize]) -> Option<Vec<u64>> {
        choose((0..).zip(sizes.iter().copied())).map(|chosen| chosen.into_iter().collect())
    }

    #[test]
    fn few_segments_are_left_alone() {
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[1; 8]), None);
        assert_eq!(chosen(&[1, 1, 1, 1_000, 100_000]), None);
    }

    #[test]
    fn the_smallest_are_merged() {
        assert_eq!(
            chosen(&[500, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
            Some((1..9).collect())
        );
    }

    #[test]
    fn a_document_is_written_anew_about_a_logarithm_of_times() {
        let (mut segments, mut written) = (vec![], 0);
        for number in 0..4_096_u64 {
            segments.push((number, 1_usize));
            if let Some(chosen) = choose(segments.iter().copied()) {
                let size =
                    segments.iter().filter(|(number, _)| chosen.contains(number)).map(|part| part.1).sum();
                segments.retain(|(number, _)| !chosen.contains(number));
                segments.push((10_000 + number, size));
                written += size;
            }
            assert!(segments.len() < 48, "{}", segments.len());
        }
        assert!(written < 4_096 * 6, "{written}");
    }
}
