//! The command line.

use crate::scenario::check::Vocabulary;

/// The words that scenario files may use.
pub fn vocabulary() -> Vocabulary {
    Vocabulary::default()
}
