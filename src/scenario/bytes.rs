//! Bytes — decides how a number of bytes is written in a scenario file. It never decides what holds them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The units, each with what it stands for (Elasticsearch's `ByteSizeUnit`), the largest first.
const UNITS: [(&str, u64); 4] = [("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10), ("b", 1)];

/// A number of bytes: `"8mb"`, `"1500kb"`, `"70b"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub u64);

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let unit = UNITS.iter().find_map(|(unit, bytes)| Some((lower.strip_suffix(unit)?, *bytes)));
        let read = unit.and_then(|(count, unit)| count.trim().parse::<u64>().ok()?.checked_mul(unit));
        read.map(Self).ok_or_else(|| {
            format!("`{text}` is not a number of bytes\nwrite a whole number and a unit, such as `\"8mb\"`, `\"512kb\"`")
        })
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.to_string()
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = UNITS.iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        let (unit, bytes) = largest.copied().unwrap_or(("b", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

/// Writes a number of bytes so that it is read back as it was.
pub fn show(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_elasticsearchs() {
        let read = |text: &str| Bytes::try_from(text.to_owned());
        assert_eq!(read("8mb"), Ok(Bytes(8 << 20)));
        assert_eq!(read(" 3 KB"), Ok(Bytes(3 << 10)));
        for wrong in ["8", "mb", "1.5mb", "-1b", "99999999999999999999gb"] {
            assert!(read(wrong).unwrap_err().contains("is not a number of bytes"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(bytes in 0..u64::MAX) {
            prop_assert_eq!(Bytes::try_from(show(bytes)), Ok(Bytes(bytes)));
        }
    }
}
