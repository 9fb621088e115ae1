//! Ids — decides what a document is called that its client gives no id. It never gives one twice.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::core::Entropy;

/// Draws ids: 15 bytes, in 20 characters of URL-safe base64, as long as Elasticsearch's time-based ones
/// (`TimeBasedUUIDGenerator`), but all of them drawn.
#[derive(Debug)]
pub(super) struct Ids(pub(super) Entropy);

impl Ids {
    /// The next one.
    pub(super) fn draw(&mut self) -> String {
        let bytes: Vec<u8> =
            [self.0.draw(), self.0.draw()].iter().flat_map(|half| half.to_be_bytes()).collect();
        URL_SAFE_NO_PAD.encode(&bytes[..15])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_twenty_url_safe_characters_and_differ() {
        let mut ids = Ids(Entropy::new(7));
        let drawn = [ids.draw(), ids.draw()];
        let is_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(drawn.iter().all(|id| id.len() == 20 && id.chars().all(is_safe)));
        assert_ne!(drawn[0], drawn[1]);
    }
}
