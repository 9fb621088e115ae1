//! Durations — decides how a span of time is written in a scenario file. It never decides how long anything
//! lasts.
//!
//! A number and a unit, or several: `"250ms"`, `"12s"`, `"1m 30s"`, `"50us"`. Use with
//! `#[serde(with = "duration::Span")]`, or `duration::optional` for a value that may be absent.

use std::{fmt, time::Duration};

use serde::{Deserializer, Serializer, de};

/// The longest span a file may name. Far beyond any useful run, and small enough that no sum of a few spans
/// can overflow the nanoseconds of simulated time.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Reads a span.
///
/// # Errors
///
/// Says what was found and, on a second line, how a span is written.
pub fn parse(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if span <= LONGEST => Ok(span),
        Ok(_) => {
            Err(format!("`{text}` is longer than a week\na run is seconds or minutes of simulated time"))
        }
        Err(_) => Err(format!("`{text}` is not a duration\n{}", advice(text))),
    }
}

/// Writes a span so that [`parse`] reads it back.
pub fn show(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

/// A bare number most often means seconds.
fn advice(text: &str) -> String {
    let number = text.trim();
    if number.parse::<f64>().is_ok_and(f64::is_finite) {
        return format!("write a unit: `\"{number}s\"` or `\"{number}ms\"`");
    }
    "write a number and a unit, such as `\"250ms\"`, `\"12s\"`, `\"1m 30s\"`, `\"50us\"`".into()
}

struct SpanVisitor;

impl de::Visitor<'_> for SpanVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration in quotes, such as \"12s\" or \"250ms\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }
}

/// How serde and JSON Schema read and write a span: as a string.
#[derive(Debug)]
pub struct Span;

impl Span {
    /// Reads a span from a string.
    ///
    /// # Errors
    ///
    /// If it is no string or no span.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_str(SpanVisitor)
    }

    /// Writes a span as a string.
    ///
    /// # Errors
    ///
    /// If the serializer refuses.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*span))
    }
}

/// The same for a span that may be absent.
#[derive(Debug)]
pub struct OptionalSpan;

impl OptionalSpan {
    /// Reads a span that is there.
    ///
    /// # Errors
    ///
    /// If it is no string or no span.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Span::deserialize(deserializer).map(Some)
    }

    /// Writes a span, or nothing.
    ///
    /// # Errors
    ///
    /// If the serializer refuses.
    pub fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => Span::serialize(span, serializer),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_combine() {
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("50us"), Ok(Duration::from_micros(50)));
    }

    #[test]
    fn bare_number_is_told_the_unit() {
        assert!(parse("12").unwrap_err().contains("\"12s\""));
    }

    #[test]
    fn endless_span_is_refused() {
        assert!(parse("3years").unwrap_err().contains("longer than a week"));
    }

    proptest! {
        #[test]
        fn span_round_trips(nanos in 0..LONGEST.as_nanos() as u64) {
            let span = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&show(span)), Ok(span));
        }
    }
}
