//! Values — decides how the text of a setting is read: spans, bytes, watermarks, lists. It never knows a
//! setting.

use std::time::Duration;

use super::Kind;

/// How full a disk may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Watermark {
    /// So much of it may be used, 0 to 1.
    Used(f64),
    /// So many bytes must be free.
    Free(u64),
}

impl Watermark {
    /// Reads `85%`, `0.85` or `10gb`.
    pub fn read(text: &str) -> Option<Self> {
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().ok().map(|percent| percent / 100.0),
            None => text.parse::<f64>().ok(),
        };
        match share {
            Some(share) => (0.0..=1.0).contains(&share).then_some(Self::Used(share)),
            None => bytes(text).map(Self::Free),
        }
    }

    /// Whether a disk of `total` bytes with `free` of them free is beyond the mark.
    pub fn is_passed(self, total: u64, free: u64) -> bool {
        match self {
            Self::Used(share) => total.saturating_sub(free) as f64 > share * total as f64,
            Self::Free(bytes) => free < bytes,
        }
    }
}

/// A time span: a whole number with `d`, `h`, `m`, `s`, `ms`, `micros` or `nanos` (Elasticsearch's
/// `TimeValue`); none if it is none, or `-1`.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..digits].parse().ok()?;
    let nanos: u64 = match &text[digits..] {
        "d" => 86_400_000_000_000,
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "micros" => 1_000,
        "nanos" => 1,
        "" if count == 0 => 1,
        _ => return None,
    };
    count.checked_mul(nanos).map(Duration::from_nanos)
}

/// A number of bytes: a number with `b`, `kb`, `mb`, `gb` or `tb` (Elasticsearch's `ByteSizeValue`).
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let units = [("kb", 10), ("mb", 20), ("gb", 30), ("tb", 40), ("pb", 50), ("b", 0)];
    let (digits, shift) = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))?;
    let count: f64 = digits.trim().parse().ok().filter(|count: &f64| count.is_finite() && *count >= 0.0)?;
    let bytes = count * (1_u64 << shift) as f64;
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// Words with commas between.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// What is wrong with a value, as the end of a sentence.
pub(super) fn check(kind: Kind, text: &str) -> Result<(), String> {
    let holds = |holds: bool, why: &str| if holds { Ok(()) } else { Err(why.to_owned()) };
    match kind {
        Kind::Integer(min, max) => match text.parse::<i64>() {
            Err(_) => Err(String::new()),
            Ok(number) if number < min => Err(format!(" must be >= {min}")),
            Ok(number) if number > max => Err(format!(" must be <= {max}")),
            Ok(_) => Ok(()),
        },
        Kind::Decimal(min) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= min => Ok(()),
            Ok(_) => Err(format!(" must be >= {min:?}")),
            Err(_) => Err(String::new()),
        },
        Kind::Bool => holds(matches!(text, "true" | "false"), " as only [true] or [false] are allowed."),
        Kind::Span { off } => {
            let is_span = duration(text).is_some() || off && text == "-1";
            holds(is_span, " as a time value: unit is missing or unrecognized")
        }
        Kind::Bytes => holds(bytes(text).is_some(), " as a size in bytes: unit is missing or unrecognized"),
        Kind::Watermark => holds(Watermark::read(text).is_some(), " as a percentage, ratio or byte size"),
        Kind::Word(words) if words.contains(&text) => Ok(()),
        Kind::Word(words) => Err(format!(" must be one of [{}]", words.join(", "))),
        Kind::ActiveShards => {
            let is_number = text == "all" || text.parse::<u32>().is_ok();
            holds(is_number, " must be all or a number that is not negative")
        }
        Kind::List | Kind::Text => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_elasticsearchs() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("1m"), Some(Duration::from_secs(60)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        for wrong in ["-1", "1", "s", "1.5s", "1w", "99999999999999d", ""] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bytes_are_read_as_elasticsearchs() {
        assert_eq!((bytes("40mb"), bytes("512b"), bytes("1.5kb")), (Some(40 << 20), Some(512), Some(1536)));
        for wrong in ["", "mb", "-1b", "12", "1e40gb", "nanb"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn watermark_is_a_share_of_what_is_used_or_bytes_that_are_free() {
        assert_eq!(Watermark::read("85%"), Some(Watermark::Used(0.85)));
        assert_eq!(Watermark::read("0.9"), Some(Watermark::Used(0.9)));
        assert_eq!(Watermark::read("10gb"), Some(Watermark::Free(10 << 30)));
        assert_eq!((Watermark::read("101%"), Watermark::read("x")), (None, None));
        assert!(Watermark::Used(0.85).is_passed(100, 14) && !Watermark::Used(0.85).is_passed(100, 15));
        assert!(Watermark::Free(20).is_passed(100, 19) && !Watermark::Free(20).is_passed(100, 20));
    }
}
