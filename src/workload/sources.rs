//! Sources — decides what documents say: words that searches look for, and nothing twice. It never sends one.

use super::history::Source;
use crate::sim::dice::Die;

/// Words that documents are made of and searches look for.
const WORDS: [&str; 16] = [
    "quorum", "leader", "replica", "shard", "primary", "epoch", "watch", "session", "segment", "term",
    "merge", "commit", "ledger", "zone", "fence", "clock",
];

/// Words that a document is filled with at least.
const WORDS_MIN: usize = 8;
/// Numbers in documents are below this.
pub(super) const NUMBERS: u64 = 100;
/// Keywords in documents are the first so many of the words.
const KEYWORDS: u64 = 8;
/// Days in documents: so many from the first of January.
const DAYS: u64 = 28;

/// How documents are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making {
    /// The least length, in bytes.
    pub(super) bytes: u32,
    /// Whether there are fields beside the words.
    pub(super) fields: bool,
}

/// One of the words.
pub(super) fn word(die: &mut Die) -> &'static str {
    WORDS[die.below(WORDS.len() as u64) as usize]
}

/// One of the words that are keywords.
pub(super) fn keyword(die: &mut Die) -> &'static str {
    WORDS[die.below(KEYWORDS) as usize]
}

/// The document that `request` writes, unlike any other.
pub(super) fn draw(id: &str, request: u64, making: Making, die: &mut Die) -> Source {
    let frame = format!(r#"{{"id":"{id}","write":{request},"body":""}}"#).len();
    let mut words = String::new();
    for nth in 0.. {
        if nth >= WORDS_MIN && frame + words.len() >= making.bytes as usize {
            break;
        }
        words.push_str(if nth == 0 { "" } else { " " });
        words.push_str(word(die));
    }
    let fields = if making.fields { draw_fields(die) } else { String::new() };
    let inner = fields.trim_start_matches('{').trim_end_matches('}');
    let comma = if inner.is_empty() { "" } else { "," };
    let text = format!(r#"{{"id":"{id}","write":{request},{inner}{comma}"body":"{words}"}}"#);
    Source { text, words, fields }
}

/// The same document as a shard writes it down that merges it into one of the same fields.
pub(super) fn merged(source: Source) -> Source {
    let document = serde_json::from_str::<serde_json::Value>(&source.text).expect("a document is JSON");
    Source { text: document.to_string(), ..source }
}

fn draw_fields(die: &mut Die) -> String {
    let (number, keyword) = (die.below(NUMBERS), keyword(die));
    let (day, hour) = (die.below(DAYS) + 1, die.below(24));
    format!(r#"{{"n":{number},"tag":"{keyword}","at":"2024-01-{day:02}T{hour:02}:00:00Z"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::dice::Dice;

    #[test]
    fn documents_are_json_of_the_length_and_fields_asked_for() {
        let mut die = Dice::new(1).at("test", 0);
        let plain = draw("a", 7, Making { bytes: 500, fields: false }, &mut die);
        assert!(plain.text.len() >= 500 && plain.fields.is_empty());
        let rich = draw("a", 8, Making { bytes: 0, fields: true }, &mut die);
        let (whole, fields): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&rich.text).unwrap(), serde_json::from_str(&rich.fields).unwrap());
        assert_eq!((&whole["n"], &whole["tag"]), (&fields["n"], &fields["tag"]));
        assert_eq!(whole["body"], rich.words.as_str());
        assert_ne!(plain.text, rich.text);
        let once = merged(rich);
        assert_eq!(merged(once.clone()).text, once.text);
    }
}
