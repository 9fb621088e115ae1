//! Analysis — decides which words a text consists of. It never counts them.
//!
//! Elasticsearch's standard analyzer: words as Unicode's text segmentation (UAX #29) has them, in lower case.
//! Of its rules those are here that matter for text in alphabetic scripts and for ideographs: letters, digits
//! and `_` make words, an apostrophe, dot, colon or middle dot between two letters and a dot, comma, semicolon
//! or apostrophe between two digits belong to the word, and each ideograph is one.

use std::ops::Range;

/// Words longer than this are cut (`max_token_length`).
const WORD_CHARS_MAX: usize = 255;

/// The words of a text.
pub fn words(text: &str) -> Vec<String> {
    spans(text).into_iter().map(|span| text[span].to_lowercase()).collect()
}

/// Where the words of a text are, in bytes.
pub fn spans(text: &str) -> Vec<Range<usize>> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let end_of = |at: usize| chars.get(at).map_or(text.len(), |(offset, _)| *offset);
    let mut spans = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let end = word_end(&chars, at);
        if end > at {
            let cuts = (at..end).step_by(WORD_CHARS_MAX);
            spans.extend(cuts.map(|cut| chars[cut].0..end_of(end.min(cut + WORD_CHARS_MAX))));
        }
        at = end.max(at + 1);
    }
    spans
}

/// The first character after the word that begins at `at`; `at` itself if none does.
fn word_end(chars: &[(usize, char)], at: usize) -> usize {
    let get = |at: usize| chars.get(at).map(|(_, c)| *c);
    if get(at).is_some_and(is_ideograph) {
        return at + 1;
    }
    let mut end = at;
    while let Some(c) = get(end) {
        if is_ideograph(c) {
            break;
        } else if is_word(c) {
            end += 1;
        } else if end > at && joins(get(end - 1), c, get(end + 1)) {
            end += 2;
        } else {
            break;
        }
    }
    // `_` alone is no word.
    if chars[at..end].iter().any(|(_, c)| c.is_alphanumeric()) { end } else { at }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{3096}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3134f}')
}

fn joins(before: Option<char>, c: char, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    if is_ideograph(after) {
        return false;
    }
    let between_letters = matches!(c, '\'' | '\u{2019}' | '.' | ':' | '\u{b7}');
    let between_digits = matches!(c, '\'' | '\u{2019}' | '.' | ',' | ';');
    (between_letters && before.is_alphabetic() && after.is_alphabetic())
        || (between_digits && before.is_numeric() && after.is_numeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_those_of_the_standard_analyzer() {
        let cases = [
            (
                "The 2 QUICK Brown-Foxes jumped over the lazy dog's bone.",
                "the 2 quick brown foxes jumped over the lazy dog's bone",
            ),
            ("3.14 1,000 a.b x_y O'Neil's", "3.14 1,000 a.b x_y o'neil's"),
            ("doc-7 … _ ...", "doc 7"),
            ("漢字kana", "漢 字 kana"),
            ("Ünïcode Straße", "ünïcode straße"),
            ("", ""),
        ];
        for (text, wanted) in cases {
            assert_eq!(words(text).join(" "), wanted);
        }
    }

    #[test]
    fn long_words_are_cut() {
        let lengths: Vec<_> = words(&"x".repeat(600)).iter().map(String::len).collect();
        assert_eq!(lengths, [255, 255, 90]);
    }

    proptest! {
        #[test]
        fn spans_are_words_of_any_text(text in "\\PC{0,40}") {
            let spans = spans(&text);
            prop_assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
            for span in spans {
                prop_assert!(text[span].chars().any(char::is_alphanumeric));
            }
        }
    }
}
