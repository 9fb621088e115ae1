//! Phrases — decides how often the words of a phrase follow each other in a document. It never scores.

/// How often the phrase occurs, an occurrence that takes moving words around counting less: one for each way
/// that needs no more than `slop` moves, divided by one more than it needs (Lucene's `SloppyPhraseMatcher`).
/// `positions` holds, for each word of the phrase, where it is, in order.
pub(super) fn frequency(positions: &[Vec<u32>], slop: u32) -> f32 {
    let shifted: Vec<Vec<i64>> = (0..).zip(positions).map(|(nth, at)| shift(at, nth)).collect();
    if shifted.iter().any(Vec::is_empty) {
        return 0.0;
    }
    if slop == 0 {
        let is_everywhere = |at: &&i64| shifted[1..].iter().all(|word| word.binary_search(at).is_ok());
        return shifted[0].iter().filter(is_everywhere).count() as f32;
    }
    sloppy(&shifted, i64::from(slop))
}

fn shift(positions: &[u32], nth: i64) -> Vec<i64> {
    positions.iter().map(|at| i64::from(*at) - nth).collect()
}

/// Moves the word that lies furthest back, again and again; each time that it passes the next one, the best
/// spread so far is an occurrence, if it is small enough.
fn sloppy(words: &[Vec<i64>], slop: i64) -> f32 {
    let mut next = vec![0; words.len()];
    let mut end = words.iter().map(|word| word[0]).max().unwrap_or(0);
    let mut frequency = 0.0;
    loop {
        let at = |word: usize, next: &[usize]| words[word][next[word]];
        let Some(last) = (0..words.len()).min_by_key(|word| (at(*word, &next), *word)) else {
            return frequency;
        };
        let ahead = (0..words.len()).filter(|word| *word != last).map(|word| at(word, &next)).min();
        let mut spread = end - at(last, &next);
        loop {
            next[last] += 1;
            let Some(position) = words[last].get(next[last]) else {
                return frequency + weight(spread, slop);
            };
            end = end.max(*position);
            if ahead.is_some_and(|ahead| *position > ahead) {
                frequency += weight(spread, slop);
                break;
            }
            spread = spread.min(end - position);
        }
    }
}

fn weight(spread: i64, slop: i64) -> f32 {
    if spread <= slop { 1.0 / (1.0 + spread as f32) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_a_row_are_counted() {
        assert_eq!(frequency(&[vec![0, 3, 9], vec![1, 4, 7]], 0), 2.0);
        assert_eq!(frequency(&[vec![0], vec![]], 0), 0.0);
        assert_eq!(frequency(&[vec![4, 6]], 0), 2.0);
    }

    #[test]
    fn moved_words_count_less_and_only_within_the_slop() {
        let apart = [vec![0], vec![3]];
        assert_eq!(frequency(&apart, 1), 0.0);
        assert_eq!(frequency(&apart, 2), 1.0 / 3.0);
        assert_eq!(
            frequency(&[vec![1], vec![0]], 2),
            1.0 / 3.0,
            "two words that change places are two moves"
        );
        assert_eq!(frequency(&[vec![0, 5], vec![1, 7]], 1), 1.5);
    }
}
